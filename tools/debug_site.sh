#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: debug_site.sh BUILD CMAKE_OPTION...
# Builds the extension anew in BUILD, and lays out BUILD/site: the package of .venv with that extension in it.
set -eu

build=$1
shift
site=$PWD/$build/site
installed=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')

cmake -S . -B "$build" -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DKN_BUILD_PYTHON=ON \
    -DKN_BUILD_BUILTIN=OFF "$@"
cmake --build "$build"

rm -rf "$site"
mkdir -p "$site"
cp -r "$installed/kernels" "$installed"/kernels-*.dist-info "$site"
rm "$site"/kernels/_core*.so
cp "$build"/python/ext/_core*.so "$build/libkernels_net.so" "$site/kernels"
