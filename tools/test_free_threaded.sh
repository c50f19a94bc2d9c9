#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_free_threaded.sh PYTHON
# Builds the extension for a free-threaded interpreter and runs tests/valgrind/every_type.py with it, without torch.
set -eu

cd "$(dirname "$0")/.."
build=build/free-threaded
python=${1:?"usage: test_free_threaded.sh PYTHON, such as python3.13t"}
"$python" -c 'import sysconfig; assert sysconfig.get_config_var("Py_GIL_DISABLED"), "this Python is not free-threaded"'
tools/debug_site.sh $build -DPython_EXECUTABLE="$(command -v "$python")"

PYTHONPATH=$PWD/$build/site:tests/valgrind:tests/python PYTHONDONTWRITEBYTECODE=1 \
    "$python" -W ignore::RuntimeWarning tests/valgrind/every_type.py
