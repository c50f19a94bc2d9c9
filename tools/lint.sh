#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: lint.sh [--fix]
# Checks the layout, the types and the C code of the whole tree; with --fix lays the sources out instead.
# Run by `make lint` and `make format`, which set up the tools in .venv.
set -eu

cd "$(dirname "$0")/.."
bin=.venv/bin

present() { # PATH...: those that are there
    for path in "$@"; do
        [ ! -e "$path" ] || printf '%s\n' "$path"
    done
}

code=$(present src include cli python builtin tests bench examples tools)
c_files() { # DIRECTORY... : their C, C++ and CUDA sources and headers
    find "$@" \( -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -type f | sort
}

if [ "${1:-}" = --fix ]; then
    c_files $code | xargs -r $bin/clang-format -i
    $bin/ruff check --fix --exit-zero --quiet $code
    $bin/ruff format --quiet $code
    exit
fi

failed=
step() { # NAME COMMAND...: runs it, goes on after a failure
    name=$1
    shift
    start=$(date +%s)
    if "$@"; then
        echo "lint: $name: ok, $(($(date +%s) - start)) s"
    else
        failed="$failed $name"
        echo "lint: $name: FAILED" >&2
    fi
}

check_clang_format() { c_files $code | xargs -r $bin/clang-format --dry-run -Werror; }
check_tidy() { $bin/python tools/tidy.py build/lint $(present src cli python/ext builtin); }
check_mypy() { # the stubs, and the examples as their users
    typed=$(find $(present python) $(present examples) -name '*.pyi' -o -path 'examples/*.py')
    [ -z "$typed" ] || $bin/mypy --cache-dir build/mypy $typed
}

step clang-format check_clang_format
step ruff $bin/ruff check --quiet $code
step ruff-format $bin/ruff format --check --quiet $code
step mypy check_mypy
step clang-tidy check_tidy

[ -z "$failed" ] || {
    echo "lint: failed:$failed ('make format' lays the sources out)" >&2
    exit 1
}
