#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: fuzz.sh [SECONDS]
# Builds the fuzz targets with clang and its sanitizers and runs each for SECONDS. What they find beyond the corpora in
# tests/fuzz/corpus stays in build/fuzz/corpus; a crash is left in build/fuzz and ends the run.
set -eu

cd "$(dirname "$0")/.."
seconds=${1:-60}
command -v clang >/dev/null || {
    echo "fuzz.sh: clang is needed: apt-get install clang libclang-rt-14-dev" >&2
    exit 1
}

cmake -S . -B build/fuzz -G Ninja --log-level=WARNING -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_C_FLAGS=-O1 -DKN_BUILD_TESTS=ON -DKN_BUILD_BUILTIN=OFF -DKN_WERROR=ON -DKN_FUZZ=ON \
    -DKN_SANITIZE=address,undefined,fuzzer-no-link
cmake --build build/fuzz

for corpus in tests/fuzz/corpus/*/; do
    name=$(basename "$corpus")
    found=build/fuzz/corpus/$name
    mkdir -p "$found"
    echo "fuzz.sh: $name, $seconds s"
    build/fuzz/tests/fuzz/libfuzz_"$name" -max_total_time="$seconds" -rss_limit_mb=2048 -verbosity=0 \
        -artifact_prefix=build/fuzz/ "$found" "$corpus"
done
