#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: static_deps.sh DIR
# Builds the libraries that the wheel carries as static, position-independent archives into DIR/prefix, from Debian's
# sources, which tools/static_deps.pins lists with their digests. They are small: what the library does not use of
# them is left out. DIR/sources and DIR/src hold what was fetched and unpacked.
#
# KERNELS_DEPS_SOURCES   a folder that holds the files of the list. Default: they are fetched from the mirrors that
#                        apt is configured with.
# CC                     the compiler
set -eu

tools=$(cd "$(dirname "$0")" && pwd)
pins=$tools/static_deps.pins
mkdir -p "$1/sources" "$1/src" "$1/prefix/include" "$1/prefix/lib" "$1/prefix/licenses"
dir=$(cd "$1" && pwd)
prefix=$dir/prefix
unset MAKEFLAGS # of a make that runs this
jobs=-j$(nproc)

# Speed is in OpenSSL's assembler; everything else is for size, and the linker drops what nobody calls.
hidden="-fPIC -fvisibility=hidden -ffunction-sections -fdata-sections"
small="-Os $hidden -fno-asynchronous-unwind-tables"
fast="-O2 $hidden"

fail() {
    echo "static_deps: $*" >&2
    exit 1
}

# ---- the sources ----

is_whole() { # FILE SHA256
    echo "$2  $1" | sha256sum --check --status 2>/dev/null
}

mirrors() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | sort -u
}

fetch() { # SHA256 PATH-IN-THE-ARCHIVE
    file=$dir/sources/${2##*/}
    ! is_whole "$file" "$1" || return 0
    if [ -n "${KERNELS_DEPS_SOURCES:-}" ]; then
        cp "$KERNELS_DEPS_SOURCES/${2##*/}" "$file" || fail "KERNELS_DEPS_SOURCES holds no '${2##*/}'"
    else
        for mirror in $(mirrors); do
            echo "static_deps: fetching $mirror$2"
            /usr/lib/apt/apt-helper download-file "$mirror$2" "$file" >"$dir/fetch.log" 2>&1 && break
        done
    fi
    is_whole "$file" "$1" || fail "'$2' is not to be had with the digest in $pins. Where Debian has a newer version, move" \
        "the list to it; where a mirror lacks the file, put it into a folder and name that in KERNELS_DEPS_SOURCES." \
        "$(tail -n 2 "$dir/fetch.log" 2>/dev/null)"
}

fetch_all() {
    while read -r digest path; do
        case $digest in '' | '#'*) continue ;; esac
        fetch "$digest" "$path"
    done <"$pins"
}

listed() { # NAME KIND: the file of the list
    sed -n "s|^[0-9a-f]* .*/\\($1_.*\\.$2\\.tar\\..*\\)|$dir/sources/\\1|p" "$pins"
}

# Debian's patches are applied, and the times made equal: nothing that a patch touches is to be generated anew.
unpack() { # NAME
    rm -rf "$dir/src/$1"
    mkdir -p "$dir/src/$1"
    cd "$dir/src/$1"
    tar -xf "$(listed "$1" orig)" --strip-components=1
    patches=$(listed "$1" debian)
    if [ -n "$patches" ]; then
        tar -xf "$patches"
        sed -n 's/^\([^# ]\+\).*/\1/p' debian/patches/series | while read -r patch; do
            patch --quiet --strip=1 --input="debian/patches/$patch"
        done
    fi
    find . -exec touch --reference="$pins" {} +
}

# ---- their builds ----

run() { # COMMAND...: quiet unless it fails
    "$@" >"$dir/build.log" 2>&1 || {
        tail -n 40 "$dir/build.log" >&2
        fail "in $PWD: $* (the whole of it is in $dir/build.log)"
    }
}

with_configure() { # OPTION...
    run env CFLAGS="$fast" PKG_CONFIG_LIBDIR="$prefix/lib/pkgconfig" ./configure --quiet --prefix="$prefix" \
        --libdir="$prefix/lib" --disable-shared --enable-static --with-pic --disable-dependency-tracking "$@"
}

with_cmake() { # OPTION...
    run cmake -S . -B build -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$fast" -DCMAKE_INSTALL_PREFIX="$prefix" \
        -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF "$@"
    run cmake --build build "$jobs" --target install
}

# TLS 1.2 and 1.3, the digests, ciphers and curves that they and certificates use. No configuration file is read and
# no module loaded.
build_openssl() {
    run env CFLAGS="$small" ./Configure --prefix="$prefix" --libdir=lib --openssldir=/etc/ssl \
        no-shared no-dso no-module no-legacy no-engine no-tests no-autoload-config no-filenames no-makedepend \
        no-ui-console no-comp no-ssl3 no-tls1 no-tls1_1 no-dtls no-srp no-psk no-srtp no-sctp no-nextprotoneg no-ct \
        no-ts no-cms no-cmp no-ocsp no-rfc3779 no-aria no-bf no-blake2 no-camellia no-cast no-des no-dsa no-ec2m \
        no-gost no-idea no-md4 no-mdc2 no-ocb no-rc2 no-rc4 no-rmd160 no-scrypt no-seed no-siphash no-siv no-sm2 \
        no-sm3 no-sm4 no-whirlpool
    run make "$jobs" build_generated
    run make "$jobs" libcrypto.a libssl.a
    cp -R include/openssl "$prefix/include/"
    cp libcrypto.a libssl.a "$prefix/lib/"
}

build_nghttp2() {
    with_cmake -DENABLE_LIB_ONLY=ON -DENABLE_STATIC_LIB=ON -DENABLE_SHARED_LIB=OFF
}

build_curl() {
    with_configure --with-openssl="$prefix" --with-nghttp2="$prefix" --without-ca-bundle --without-ca-path \
        --without-zlib --without-brotli --without-zstd --without-libpsl --without-libidn2 --without-librtmp \
        --without-libssh2 --disable-ftp --disable-file --disable-ldap --disable-ldaps --disable-rtsp --disable-dict \
        --disable-telnet --disable-tftp --disable-pop3 --disable-imap --disable-smb --disable-smtp --disable-gopher \
        --disable-mqtt --disable-manual --disable-libcurl-option --disable-get-easy-options --disable-ntlm \
        --disable-ntlm-wb --disable-tls-srp --disable-unix-sockets --disable-cookies --disable-dateparse \
        --disable-netrc --disable-alt-svc --disable-hsts --disable-doh --disable-mime --disable-progress-meter \
        --disable-aws --disable-openssl-auto-load-config --enable-threaded-resolver --enable-ipv6 --enable-proxy
    run make "$jobs" -C lib install
    run make -C include install
}

build_jansson() {
    with_cmake -DJANSSON_BUILD_DOCS=OFF -DJANSSON_EXAMPLES=OFF -DJANSSON_WITHOUT_TESTS=ON
}

build_libmicrohttpd() {
    with_configure --disable-https --disable-doc --disable-examples --disable-curl --disable-dauth \
        --disable-postprocessor
    run make -C src/include install
    run make "$jobs" -C src/microhttpd install
}

# What has to be said wherever the library goes.
keep_licence() { # NAME
    for file in COPYING LICENSE LICENSE.txt; do
        [ ! -e "$dir/src/$1/$file" ] || break
    done
    cp "$dir/src/$1/$file" "$prefix/licenses/$1.txt"
}

# toml++ is headers only, and the system's.
keep_licence_of_tomlplusplus() {
    cp /usr/share/doc/libtomlplusplus-dev/copyright "$prefix/licenses/tomlplusplus.txt" ||
        fail "the licence of toml++ is part of Debian's package libtomlplusplus-dev: install it"
}

# A library is built again when this script or the list has changed.
is_built() { # NAME
    stamp=$dir/src/$1/.built
    [ -e "$stamp" ] && [ "$stamp" -nt "$pins" ] && [ "$stamp" -nt "$tools/static_deps.sh" ]
}

fetch_all
for name in openssl nghttp2 curl jansson libmicrohttpd; do
    ! is_built "$name" || continue
    start=$(date +%s)
    unpack "$name"
    "build_$name"
    keep_licence "$name"
    touch "$dir/src/$name/.built"
    echo "static_deps: $name: $(($(date +%s) - start)) s"
done
keep_licence_of_tomlplusplus
