#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: check_deb.sh PACKAGES ROOT LIBTVM_FFI
# Installs the Debian packages of the folder PACKAGES in the bare system ROOT, which has no Python, builds the C example
# there with pkg-config, and runs it, over that libtvm_ffi.so, and the command. Needs root. Run by `make test-deb`.
set -eu

packages=$1 root=$2
cd "$(dirname "$0")/../.."

enter() { # COMMAND...: in the system, with a /proc that goes away with it
    unshare --mount sh -c 'mount -t proc proc "$1/proc" && exec /usr/sbin/chroot "$@"' sh "$root" "$@"
}

[ ! -e "$root/usr/bin/python3" ] || { echo "check_deb: '$root' has a Python" >&2; exit 1; }
rm -rf "$root/tmp/deb"
mkdir -p "$root/tmp/deb"
cp "$packages"/*.deb examples/c_host/* "$3" "$root/tmp/deb"

enter sh -euc '
    cd /tmp/deb
    dpkg -i ./*.deb
    gcc -O3 -march=native -Wall -Werror c_host.c -o c_host $(pkg-config --cflags --libs kernels) -lm
    ! ./c_host mapping.toml 16 2>said
    grep "libtvm_ffi.so is needed here" said
    KERNELS_TVM_FFI_LIBRARY=/tmp/deb/libtvm_ffi.so ./c_host mapping.toml 512
    kernels --version
    HF_HUB_OFFLINE=1 kernels doctor
    test -s /usr/share/man/man1/kernels.1
    test -s /usr/share/bash-completion/completions/kernels
    dpkg --purge kernels libkernels-dev libkernels0
    test ! -e /usr/lib/x86_64-linux-gnu/libkernels.so.0
'
echo "check_deb: installed, used and removed without Python"
