#!/bin/bash
# Boot a throw-away host with a real systemd: its own mount, pid, UTS, IPC, network and cgroup namespaces, on an overlay of
# this machine's root that lives in memory. Runs until it is killed; everything goes with its mount namespace.
#   boot-host.sh NAME AUTHORIZED_KEYS_FILE
# MemoryMax and CPUQuota are accepted but not enforced where the controllers belong to cgroup v1.
set -eu
name=${1:?name}; keys=${2:?file with the public key}
if [ "${IN_NAMESPACES:-}" != 1 ]; then
    IN_NAMESPACES=1 exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup "$0" "$@"
fi
mount --make-rprivate /
hostname "$name"
ip link set lo up
top=/mnt # hidden in this mount namespace only
mount -t tmpfs tmpfs "$top"
mkdir "$top"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$top/root"
keys=$(cat "$keys")
cd "$top/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
for device in null zero full random urandom tty kmsg loop-control; do
    [ ! -e "/dev/$device" ] || { touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; }
done
for device in /dev/loop[0-9]*; do
    touch "dev/${device##*/}"; mount --bind "$device" "dev/${device##*/}"
done
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin; ln -s /proc/self/fd/1 dev/stdout; ln -s /proc/self/fd/2 dev/stderr
mount -t cgroup2 cgroup2 sys/fs/cgroup
tr -d - < /proc/sys/kernel/random/uuid > etc/machine-id
echo "$name" > etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" > etc/hosts
# what belongs to the machine below, or would fight with it
for unit in systemd-tmpfiles-setup systemd-udevd systemd-resolved systemd-networkd systemd-timesyncd systemd-logind \
    getty@ console-getty fsmend-collector fsmend-agent-sense fsmend-agent-link; do
    rm -f "etc/systemd/system/$unit.service"
done
for unit in systemd-tmpfiles-setup systemd-udevd systemd-resolved systemd-networkd systemd-timesyncd systemd-logind \
    getty@ console-getty; do
    ln -s /dev/null "etc/systemd/system/$unit.service"
done
rm -rf etc/fsmend opt/fsmend-* var/lib/fsmend-* root/.ssh root/.ansible
mkdir -m 700 root/.ssh
printf '%s\n' "$keys" > root/.ssh/authorized_keys
cat > etc/systemd/system/host.target <<UNIT
[Unit]
Wants=basic.target systemd-journald.service ssh.service
After=systemd-journald.service
AllowIsolate=yes
UNIT
export container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset IN_NAMESPACES
exec chroot . /lib/systemd/systemd --system --unit=host.target --show-status=no --log-target=journal
