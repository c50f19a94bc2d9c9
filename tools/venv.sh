#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: venv.sh DIR NAME...
# Makes the virtual environment DIR if it is missing and installs tools/requirements-NAME.txt into it.
#
# PYTHON                the interpreter to begin with (default: python3)
# KERNELS_TORCH_INDEX   the package index that torch comes from. Default: PyTorch's CPU builds, unless pip is
#                       configured (file or environment) with an index or links of its own, which then decide.
set -eu

tools=$(dirname "$0")
dir=$1
shift

[ -x "$dir/bin/python" ] || "${PYTHON:-python3}" -m venv "$dir"

pip() {
    "$dir/bin/python" -m pip --disable-pip-version-check "$@"
}

install() {
    pip install --quiet --no-compile --root-user-action=ignore "$@"
}

pip_has_own_source() {
    pip config list | grep -Eq '[.](index-url|extra-index-url|find-links|no-index)='
}

# torch goes in by itself: its index serves nothing else that is wanted here.
install_torch() {
    if [ -n "${KERNELS_TORCH_INDEX:-}" ]; then
        install --index-url "$KERNELS_TORCH_INDEX" "$1"
    elif pip_has_own_source; then
        install "$1"
    else
        install --index-url https://download.pytorch.org/whl/cpu "$1"
    fi
}

for name in "$@"; do
    requirements=$tools/requirements-$name.txt
    echo "$dir: installing $requirements"
    torch=$(sed -n 's/^\(torch==.*\)$/\1/p' "$requirements")
    [ -z "$torch" ] || install_torch "$torch"
    case $name in
        model | ecosystem) install --no-deps -r "$requirements" ;;
        *) install -r "$requirements" ;;
    esac
done
