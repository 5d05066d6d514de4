"""One XFS in a virtual machine: made, filled, damaged while unmounted, mounted, checked by xfs_repair in the end."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MOUNT = "/run/mnt/data"
ASIDE = "/run/mnt/aside"  # where the agent does not look: a filesystem is known from the moment of the test on

# A directory in each of the four groups; holes between files make records of the free-space btrees, shared blocks
# those of the reference-count btree.
FILL = """
for d in 0 1 2 3; do
    mkdir d$d
    for f in 1 2 3 4 5; do head -c 49152 /dev/urandom >d$d/f$f; done
    sync d$d/f5
    rm d$d/f2 d$d/f4
    cp --reflink=always d$d/f1 d$d/shared1
    cp --reflink=always d$d/f3 d$d/shared3
done
mkdir big
cd big
touch $(seq -f 'a-file-with-quite-a-long-name-%.0f' 1 100)
cd ..
ln -s $(seq -s / 1 250) link
"""


@dataclass
class Xfs:
    """A filesystem on the host's data disk; `tools` begins a command that runs a program of another xfsprogs."""

    host: object
    uuid: str = ""
    tools: str = ""

    @property
    def disk(self):
        return self.host.disk

    def make(self, options="-m rmapbt=1,reflink=1", more="", mounted_with="defaults"):
        """Make and fill a new one, and leave it unmounted; return its UUID.

        Args:
            options: of mkfs.xfs.
            more: a shell script that fills it further.
            mounted_with: options of the mount in which it is filled.
        """
        self.host.sh(
            f"wipefs -aq {self.disk}; {self.tools} mkfs.xfs -q -f {options} {self.disk}; mkdir -p {MOUNT} {ASIDE}"
        )
        self.uuid = self.host.sh(f"blkid -o value -s UUID -p {self.disk}").strip()
        fill = FILL if "reflink=1" in options else FILL.replace("--reflink=always ", "")
        self.host.aside(f"mount -o {mounted_with} {self.disk} {ASIDE}; cd {ASIDE}; {fill}{more}\ncd /; umount {ASIDE}")
        return self.uuid

    def mount(self, options="", *, exchange=True):
        """Mount it, able to repair directories and symlinks too."""
        if exchange:
            self.exchange("on")
        self.host.sh(f"mkdir -p {MOUNT}; mount {f'-o {options}' if options else ''} {self.disk} {MOUNT}")

    def exchange(self, state):
        self.host.sh(f"{sys.executable} -I {HERE / 'exchange_bit.py'} {state} {self.disk}")

    def unmount(self):
        self.host.sh(
            f"for _ in 1 2 3 4 5 6 7 8; do umount {MOUNT} && break || sleep 0.5; done; ! mountpoint -q {MOUNT}"
        )

    def release(self):
        """Leave the disk to the next test, whatever became of this one: a command may still hold it for a while."""
        self.host.machine.run(
            "/bin/sh",
            "-c",
            f"for i in $(seq 400); do umount {MOUNT} && break || mountpoint -q {MOUNT} || break; sleep 0.5; done",
        )

    def problems(self, *options):
        """Return what xfs_repair says of the unmounted filesystem; empty when it is clean."""
        if not self.tools:
            self.exchange("off")  # for an xfs_repair that does not know it
        done = self.host.machine.run(*self.tools.split(), "xfs_repair", "-n", *options, self.disk)
        # It names its own addresses in memory, which differ every time.
        return "" if done.status == 0 else re.sub(r"\b(?:0x)?[0-9a-f]{10,16}\b", "ADDRESS", done.stdout + done.stderr)

    def db(self, *commands, write=False):
        """Run xfs_db on the unmounted filesystem; return what it printed."""
        words = " ".join(f"-c '{command}'" for command in commands)
        return self.host.sh(f"{self.tools} xfs_db {'-x' if write else '-r'} {words} {self.disk}")

    def set(self, *commands):
        """Write fields with a good checksum: what was wrong is then found by what refers to it."""
        before = self.db(*commands[:-1], "print")
        self.db(*commands, write=True)
        assert self.db(*commands[:-1], "print") != before, commands

    def scribble(self, *commands):
        """Overwrite the metadata block that a walk of xfs_db ends at, so that its checksum is bad."""
        sector = int(re.findall(r"daddr is (\d+)", self.db(*commands, "daddr"))[-1])
        self.host.sh(
            f"printf 'scribbled' | dd of={self.disk} bs=1 seek={sector * 512 + 300} conv=notrunc,fsync status=none"
        )

    def inode(self, path):
        """Return the number of a file's inode, of an unmounted filesystem."""
        return int(self.host.aside(f"mount {self.disk} {ASIDE}; stat -c %i {ASIDE}/{path}; umount {ASIDE}"))
