#!/bin/sh
# Make .venv with everything that the make target at hand needs. Idempotent; quick when nothing is to be done.
#   tools/setup.sh run|dev|vm    (vm: only the programs that virtual machines need)
# Missing system packages are installed with apt when this is root on Debian or Ubuntu, and named in one line otherwise.
set -eu
cd "$(dirname "$0")/.."
purpose=${1:-dev}
stamp=.venv/.ready-$purpose

missing=""
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null 2>&1; then
    missing="$missing python3 python3-venv"
elif ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    missing="$missing python3-venv"
fi
need openssl openssl
if [ "$(id -u)" = 0 ]; then # what only root can use: real filesystems on loop devices
    need mkfs.ext4 e2fsprogs
    need mkfs.xfs xfsprogs
    need btrfs btrfs-progs
    need losetup mount
    if [ "$purpose" = dev ]; then
        need ip iproute2
        need gcc gcc
        need git git
        [ -x /lib/systemd/systemd ] || missing="$missing systemd"
        [ -e /usr/include/linux/btrfs.h ] || missing="$missing linux-libc-dev"
        [ -e /usr/include/xfs/xfs_fs.h ] || missing="$missing xfslibs-dev"
        [ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
    fi
fi
if [ "$purpose" = vm ]; then
    need qemu-system-x86_64 qemu-system-x86
    need ip iproute2
    need xfs_scrub xfsprogs
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing:$missing"
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of package names
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "fsmend: please install these packages first:$missing" >&2
        exit 1
    fi
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "fsmend: needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Name another one: make PYTHON=python3.12 …" >&2
    exit 1
fi

[ "$purpose" != vm ] || exit 0
if [ -e "$stamp" ] && [ "$stamp" -nt pyproject.toml ] && [ "$stamp" -nt constraints.txt ]; then exit 0; fi
[ "$purpose" = run ] && [ -e .venv/.ready-dev ] && [ .venv/.ready-dev -nt pyproject.toml ] && exit 0
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "preparing .venv ($purpose) …"
install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"; }
case $purpose in
run) install --editable '.[agent,collector]' ;;
dev)
    install 'pip>=25.1' # the first that installs dependency groups
    install --group dev --editable '.[agent,collector]'
    ;;
esac
touch "$stamp"
