#!/bin/bash
# Build the test kernel once, and print the path of its image. Cached outside the checkout, keyed by source version and
# configuration; about 13 minutes on two cores.
#   build-kernel.sh [--cached-only]   with it: print the path if it is there, else exit 3
set -euo pipefail
cd "$(dirname "$0")"
package=linux-source-6.12
cache=${FSMEND_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fsmend/vm}

version=$(apt-cache policy $package | sed -n 's/^ *Candidate: //p')
if [ -z "$version" ] || [ "$version" = "(none)" ]; then
    echo "build-kernel: no package $package here; run apt-get update on Debian 12 (bookworm-backports) or 13" >&2
    exit 1
fi
key=$(printf '%s\n' "$version" | cat - kernel.config | sha256sum | cut -c1-16)
image=$cache/bzImage-$key
if [ -e "$image" ]; then echo "$image"; exit 0; fi
[ "${1:-}" != --cached-only ] || exit 3

exec 9>"${TMPDIR:-/tmp}/fsmend-vm-kernel.lock"
flock 9
if [ -e "$image" ]; then echo "$image"; exit 0; fi # somebody else built it meanwhile
{
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends \
        $package build-essential flex bison bc libelf-dev libssl-dev xz-utils cpio kmod
    mkdir -p "$cache"
    build=$(mktemp -d "$cache/build.XXXXXX")
    trap 'rm -rf "$build"' EXIT
    tar -C "$build" --strip-components=1 -xf /usr/src/$package.tar.xz
    make -C "$build" x86_64_defconfig kvm_guest.config
    cat kernel.config >> "$build/.config"
    make -C "$build" olddefconfig
    # a line that the configuration does not take would be missed only much later
    missing=$(grep '^CONFIG_' kernel.config | grep -vxFf "$build/.config" || true)
    [ -z "$missing" ] || { echo "build-kernel: not taken: $missing"; exit 1; }
    nice -n "${NICE:-0}" make -C "$build" -j"${JOBS:-$(nproc)}" bzImage
    mv "$build/arch/x86/boot/bzImage" "$image.new"
    mv "$image.new" "$image"
} >&2
echo "$image"
