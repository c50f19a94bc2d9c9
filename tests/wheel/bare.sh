#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: bare.sh DIR PACKAGE[,PACKAGE...]
# Makes a bare Debian 12 in DIR: what debootstrap calls minbase, and these packages. Needs root.
set -eu

if [ "$(id -u)" -ne 0 ]; then
    echo "bare.sh: run it as root: debootstrap and chroot need that" >&2
    exit 1
fi
if ! command -v debootstrap >/dev/null; then
    echo "bare.sh: apt-get install -y --no-install-recommends debootstrap"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap
fi

# The mirror that apt is configured with, else debootstrap's own.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1)
rm -rf "$1"
mkdir -p "$1"
debootstrap --variant=minbase --include="$2" bookworm "$1" $mirror >"$1.log" 2>&1 || {
    tail -n 20 "$1.log" >&2
    exit 1
}
