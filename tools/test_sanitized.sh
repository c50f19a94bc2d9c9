#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_sanitized.sh [PYTEST ARGUMENT...]
# Runs the tests of the Python package over an extension that is built with ASan and UBSan. torch and the first-party
# kernels are those of .venv. Leaks are not looked for: the interpreter keeps what it has until it ends.
set -eu

cd "$(dirname "$0")/.."
build=build/sanitized
site=$PWD/$build/site
tools/debug_site.sh $build -DKN_SANITIZE=address,undefined

# The documents build programs of their own, which have no sanitizers.
PYTHONPATH=$site ASAN_OPTIONS=detect_leaks=0 \
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    .venv/bin/python -m pytest tests/python --ignore=tests/python/test_docs.py "$@"
