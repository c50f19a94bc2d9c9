#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the CUDA kernels of build/kernels/out under each tool of compute-sanitizer. Needs a CUDA device, a PYTHON with torch,
# and compute-sanitizer on the PATH. Run by `make test-cuda-sanitized`.
set -eu

cd "$(dirname "$0")/.."
export KN_BUILTIN_DIR="${KN_BUILTIN_DIR:-$PWD/build/kernels/out}"
export PYTORCH_NO_CUDA_MEMORY_CACHING=1 # so that the sanitizer knows where each tensor ends
for tool in memcheck racecheck synccheck initcheck; do
    echo "compute-sanitizer --tool $tool"
    compute-sanitizer --tool $tool --error-exitcode 1 --kernel-name-exclude kernel_substring=at:: \
        "${PYTHON:-python3}" tests/builtin/sanitize_cuda.py
done
