#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_valgrind.sh
# Runs tests/valgrind/every_type.py under valgrind: no access to memory that is gone, and no block that nobody knows any
# more. Values that were never set are not looked for: CPython 3.11 multiplies some of its own by zero.
set -eu

cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || {
    echo "valgrind is missing: install it, on Debian with 'apt-get install valgrind'" >&2
    exit 1
}
build=build/valgrind
tools/debug_site.sh $build

PYTHONPATH=$PWD/$build/site:tests/valgrind:tests/python PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 \
    valgrind --quiet --error-exitcode=1 --undef-value-errors=no --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite --num-callers=40 .venv/bin/python tests/valgrind/every_type.py
