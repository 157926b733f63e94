#!/bin/sh
# Two base images from Debian's packages alone, where no registry of images can be reached:
#   debootstrap_base.sh ENGINE BUILD_IMAGE PYTHON_IMAGE
# The first has pip and binutils besides. Runs as root; about a minute. DEBIAN_MIRROR names another mirror.
set -eu
engine=$1 build_image=$2 python_image=$3
rootfs=$(mktemp -d)
trap 'rm -rf "$rootfs"' EXIT

debootstrap --variant=minbase --include=ca-certificates,python3,python-is-python3,python3-pip,binutils \
    bookworm "$rootfs" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} > "$rootfs.log" 2>&1 || { tail -n 20 "$rootfs.log" >&2; exit 1; }
rm -rf "$rootfs.log" "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
tar -C "$rootfs" -c . | "$engine" import - "$build_image" > /dev/null

chroot "$rootfs" apt-get -qq purge --auto-remove -y python3-pip binutils > /dev/null 2>&1
# What slim images of Debian leave out as well: pages to read, but for licences
find "$rootfs/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$rootfs"/usr/share/man/* "$rootfs"/usr/share/locale/* "$rootfs"/var/cache/debconf/*-old
tar -C "$rootfs" -c . | "$engine" import - "$python_image" > /dev/null
echo "$build_image" "$python_image"
