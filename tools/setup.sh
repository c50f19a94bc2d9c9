#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks that this machine can build and test libkernels. What is missing is installed with apt-get when run
# as root; otherwise the command to run is printed and the exit status is 1. What is asked is whether a thing
# works, not where it came from: a compiler or a Python from elsewhere is as good as Debian's.
#
# PYTHON, CC, CXX, CMAKE, PKG_CONFIG   the programs to use, if not the usual ones
set -eu

python=${PYTHON:-python3}
cc=${CC:-gcc}
cxx=${CXX:-g++}
cmake=${CMAKE:-cmake}
pkg_config=${PKG_CONFIG:-pkg-config}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

compiles() { # COMPILER LANGUAGE HEADER [FLAG...]
    compiler=$1 language=$2 header=$3
    shift 3
    printf '#include <%s>\nint main(void) { return 0; }\n' "$header" |
        $compiler -x "$language" - -x none "$@" -o "$scratch/a.out"
}

has_c() { compiles "$cc" c stdio.h; }
has_cxx() { compiles "$cxx" c++ vector; }
has_pkg_config() { "$pkg_config" --version; }
has_jansson() { compiles "$cc" c jansson.h $("$pkg_config" --cflags --libs jansson); }
has_curl() { compiles "$cc" c curl/curl.h $("$pkg_config" --cflags --libs "libcurl >= 7.85"); }
has_crypto() { compiles "$cc" c openssl/evp.h $("$pkg_config" --cflags --libs "libcrypto >= 3.0"); }
has_tomlplusplus() { compiles "$cxx" c++ toml++/toml.h -std=c++17; }
has_microhttpd() { compiles "$cc" c microhttpd.h $("$pkg_config" --cflags --libs "libmicrohttpd >= 0.9.75"); }
has_cmocka() {
    printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n' >"$scratch/all.h"
    printf '#include <cmocka.h>\n' >>"$scratch/all.h"
    compiles "$cc" c all.h "-I$scratch" $("$pkg_config" --cflags --libs cmocka)
}
has_cmake() { "$cmake" --version; }
has_ninja() { ninja --version; }
has_perl() { perl -MIPC::Cmd -e 1; } # with its modules
has_patch() { patch --version; }
has_openssl() { openssl version; }
has_nghttpx() { PATH=$PATH:/usr/sbin nghttpx --version; }
has_python() { "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; }
has_venv() { "$python" -c 'import ensurepip, venv'; }
has_python_headers() {
    "$python" -c 'import os, sysconfig; os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))'
}

missing=
need() { # CHECK PACKAGE...
    if ! "$1" >"$scratch/log" 2>&1; then
        shift
        missing="$missing $*"
    fi
}

check() {
    missing=
    need has_c gcc libc6-dev
    need has_cxx g++
    need has_pkg_config pkg-config
    need has_jansson libjansson-dev
    need has_curl libcurl4-openssl-dev
    need has_crypto libssl-dev
    need has_tomlplusplus libtomlplusplus-dev
    need has_microhttpd libmicrohttpd-dev
    need has_cmocka libcmocka-dev
    need has_cmake cmake
    need has_ninja ninja-build
    need has_perl perl
    need has_patch patch
    need has_openssl openssl
    need has_nghttpx nghttp2-proxy
    need has_python python3
    need has_venv python3-venv
    need has_python_headers python3-dev
}

check
[ -n "$missing" ] || exit 0
install="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null; then
    echo "setup: missing here, by the names of Debian's packages:$missing" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "setup: some system packages are missing. As root, run:" >&2
    echo "    apt-get update && $install" >&2
    exit 1
fi
echo "setup: $install"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive $install
check
if [ -n "$missing" ]; then
    echo "setup: still missing after the installation:$missing" >&2
    echo "setup: is PYTHON=$python or CC=$cc another one than Debian's?" >&2
    exit 1
fi
