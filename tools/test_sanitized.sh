#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_sanitized.sh [PYTEST ARGUMENT...]
# Runs the tests of the Python package over an extension that is built with ASan and UBSan. torch and the first-party
# kernels are those of .venv. Leaks are not looked for: the interpreter keeps what it has until it ends.
set -eu

cd "$(dirname "$0")/.."
build=build/sanitized
site=$PWD/$build/site
installed=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')

cmake -S . -B $build -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DKN_BUILD_PYTHON=ON \
    -DKN_BUILD_BUILTIN=OFF -DKN_SANITIZE=address,undefined
cmake --build $build

rm -rf "$site"
mkdir -p "$site"
cp -r "$installed/kernels" "$installed"/kernels-*.dist-info "$site"
cp $build/python/ext/_core.abi3.so $build/libkernels_net.so "$site/kernels"

# The documents build programs of their own, which have no sanitizers.
PYTHONPATH=$site ASAN_OPTIONS=detect_leaks=0 \
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    .venv/bin/python -m pytest tests/python --ignore=tests/python/test_docs.py "$@"
