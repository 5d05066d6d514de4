"""A virtual machine whose kernel can repair XFS: boot it, run commands in it, cut its power.

Its root is this machine's own root, read-only over 9p, so that this checkout and all tools are there under the same
paths; its disks are raw images. No privileges are needed but those to read the root.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fsmend_agent.both import SMALL
from stage.processes import BIN, PYCACHE

HERE = Path(__file__).resolve().parent
QEMU = "qemu-system-x86_64"
COMMANDS_PORT = "fsmend.commands"
BOOT_SECONDS = 120
BOOT_ATTEMPTS = 3
MIB = 1 << 20
ACCELERATOR = os.environ.get("FSMEND_VM_ACCELERATOR", "tcg,thread=single")
"""Software emulation: a /dev/kvm that exists need not work."""


class MachineError(RuntimeError):
    """The machine did not do what it should; the message holds the end of its console."""


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    status: int
    stdout: str
    stderr: str


def cached_kernel():
    """Return the kernel's image, or None when it was not built."""
    done = subprocess.run([HERE / "build-kernel.sh", "--cached-only"], capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def missing():
    """Say what this needs and does not find; empty when all is there."""
    if shutil.which(QEMU) is None:
        return f"{QEMU} is not installed"
    return "" if cached_kernel() else "the test kernel is not built: tests/vm/build-kernel.sh"


def compile_agent():
    """Compile, out here, what the agent imports in there, each way in which it is started."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(PYCACHE), "PYTHONDONTWRITEBYTECODE": ""}
    modules = "import fsmend_agent.agent, fsmend_agent.link.link, fsmend_agent.enrol, fsmend_agent.both"
    for arguments in (
        (sys.executable, "-c", modules),
        (sys.executable, *SMALL, "-c", modules),
        (sys.executable, *SMALL, "-m", "fsmend_agent", "inventory", "--binary"),
        (BIN / "fsmend-agent", "probe"),
    ):
        subprocess.run(arguments, env=environment, stdout=subprocess.DEVNULL, check=True)


@dataclass
class Machine:
    """One virtual machine; its disks are /dev/vda, /dev/vdb … in the order of `disks`."""

    directory: Path
    name: str
    disks: list[Path]
    memory_mib: int = 1024
    kernel: Path | None = None
    _process: subprocess.Popen | None = field(default=None, repr=False)
    _socket: socket.socket | None = field(default=None, repr=False)
    _received: bytes = field(default=b"", repr=False)

    @property
    def console(self):
        return self.directory / f"{self.name}.console"

    def add_disk(self, size_bytes):
        """Make a disk; before the first boot. Return its path in the machine."""
        image = self.directory / f"{self.name}-{len(self.disks)}.img"
        with image.open("wb") as file:
            file.truncate(size_bytes)
        self.disks.append(image)
        return f"/dev/vd{chr(ord('a') + len(self.disks) - 1)}"

    def boot(self):
        """Start it, and wait until it takes commands; once more when its kernel did not come up.

        An emulated machine on a busy host may find its timers too slow, and panic before it has begun.
        """
        for _ in range(BOOT_ATTEMPTS - 1):
            with suppress(MachineError):
                return self._boot()
            self.cut_power()
        return self._boot()

    def _boot(self):
        path = self.directory / f"{self.name}.sock"
        path.unlink(missing_ok=True)
        with self.console.open("ab") as log:
            self._process = subprocess.Popen(self._arguments(path), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._received = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._until(lambda: self._connect(path), "QEMU does not open its socket")
        assert self.run("true", timeout=BOOT_SECONDS).status == 0
        return self

    def _connect(self, path):
        with suppress(OSError):
            self._socket.connect(os.fspath(path))
            return True
        return False

    def _arguments(self, path):
        root = "root=/dev/root rootfstype=9p rootflags=trans=virtio,version=9p2000.L,msize=512000,cache=loose ro"
        start = f"init={sys.executable} -- -I {HERE / 'guest.py'} {self.name} {PYCACHE}"
        arguments = [
            *(QEMU, "-accel", ACCELERATOR, "-cpu", "Nehalem", "-smp", "1", "-m", str(self.memory_mib)),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *("-serial", f"file:{self.console}"),
            *("-kernel", os.fspath(self.kernel or cached_kernel())),
            *(
                "-append",
                f"{root} console=ttyS0 quiet loglevel=4 panic=-1 no_timer_check mitigations=off raid=noautodetect net.ifnames=0 {start}",
            ),
            *("-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"),
            *("-device", "virtio-9p-pci,fsdev=root,mount_tag=/dev/root"),
            *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-chardev", f"socket,id=commands,path={path},server=on,wait=off"),
            *("-device", "virtio-serial-pci", "-device", f"virtserialport,chardev=commands,name={COMMANDS_PORT}"),
        ]
        for number, disk in enumerate(self.disks):
            # What was written stays when QEMU is killed, because this machine's page cache has it; flushes cost only.
            arguments += ["-drive", f"if=none,id=disk{number},format=raw,cache=unsafe,discard=unmap,file={disk}"]
            arguments += ["-device", f"virtio-blk-pci,drive=disk{number},serial={self.name}-{number}"]
        return arguments

    def run(self, *argv, stdin="", timeout=300.0):
        """Run a program to its end."""
        request = {"argv": [str(part) for part in argv], "input": stdin, "timeout": timeout}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        self._socket.settimeout(timeout + 60)
        while b"\n" not in self._received:
            try:
                data = self._socket.recv(65536)
            except OSError as error:
                raise MachineError(f"{argv}: {error}\n{self.console_end()}") from error
            if not data:
                raise MachineError(f"{argv}: the machine is gone\n{self.console_end()}")
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        return Done(**json.loads(line))

    def sh(self, script, timeout=300.0):
        """Run a shell script that must succeed; return what it printed."""
        done = self.run("/bin/sh", "-euc", script, timeout=timeout)
        if done.status != 0:
            raise MachineError(f"{self.name}: {script}\n→ {done.status}: {done.stdout}{done.stderr}")
        return done.stdout

    def cut_power(self):
        """Stop it as a power failure does: nothing in it learns of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._socket is not None:
            self._socket.close()
        self._process = self._socket = None

    def discard(self):
        """Stop it for good; pytest keeps the folders of three runs, and the disks are the large part of it."""
        self.cut_power()
        for disk in self.disks:
            disk.unlink(missing_ok=True)

    def console_end(self):
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-30:])

    def _until(self, condition, problem, seconds=BOOT_SECONDS):
        deadline = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise MachineError(f"{self.name}: {problem}\n{self.console_end()}")
            time.sleep(0.02)
