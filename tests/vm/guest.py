"""Be the first process of a test's virtual machine: bring it up, then run the commands that come through a port.

Usage: guest.py HOST-NAME PYCACHE. The root is the machine's own, read-only over 9p; only /run can be written. A request is one
line of JSON, {"argv", "input", "timeout"}; the answer one line, {"status", "stdout", "stderr"}. Standard library only.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path

PORT_NAME = "fsmend.commands"
ADDRESS, GATEWAY = "10.0.2.15/24", "10.0.2.2"  # of QEMU's user networking
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, options=""):
    if libc.mount(source.encode(), target.encode(), kind.encode(), 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {kind} on {target}")


def bring_up(host_name, pycache=""):
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")
    mount("run", "/run", "tmpfs", "mode=755")
    mount("tracefs", "/sys/kernel/tracing", "tracefs")
    for folder in ("/run/tmp", "/run/mnt", "/dev/shm", "/dev/pts"):
        Path(folder).mkdir(exist_ok=True)
    mount("shm", "/dev/shm", "tmpfs")
    mount("devpts", "/dev/pts", "devpts")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path(f"/dev/{name}").symlink_to(target)
    os.environ.update(
        PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME="/run",
        TMPDIR="/run/tmp",
        LC_ALL="C.UTF-8",
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONPYCACHEPREFIX=pycache,  # compiled outside: to compile in here at each start takes longer than to start
        PYTHONUNBUFFERED="1",
    )
    socket.sethostname(host_name)
    for arguments in (
        ("link", "set", "lo", "up"),
        ("address", "add", ADDRESS, "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("route", "add", "default", "via", GATEWAY),
    ):
        subprocess.run(["ip", *arguments], check=True)


def open_port():
    for entry in Path("/sys/class/virtio-ports").iterdir():
        if (entry / "name").exists() and (entry / "name").read_text().strip() == PORT_NAME:
            return open(f"/dev/{entry.name}", "r+b", buffering=0)  # noqa: PTH123  a device, open for ever
    raise FileNotFoundError(PORT_NAME)


def text(raw):
    return raw.decode("utf-8", "backslashreplace") if raw else ""


def run(request):
    # Files, not pipes: what a command leaves running in the background would keep a pipe open.
    with open("/run/out", "w+b") as out, open("/run/err", "w+b") as err:  # noqa: PTH123
        process = subprocess.Popen(
            request["argv"], stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True, cwd="/run"
        )
        try:
            process.communicate(request.get("input", "").encode(), timeout=request["timeout"])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        out.seek(0)
        err.seek(0)
        return {"status": process.returncode, "stdout": text(out.read()), "stderr": text(err.read())}


def reap():
    """Bury what commands left behind: orphans are the first process's."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def serve(port):
    while True:
        line = b""
        while not line.endswith(b"\n"):
            line += port.read(65536)
        reap()
        try:
            answer = run(json.loads(line))
        except (OSError, subprocess.SubprocessError) as error:
            answer = {"status": 127, "stdout": "", "stderr": f"{type(error).__name__}: {error}"}
        data = json.dumps(answer).encode() + b"\n"
        while data:
            data = data[port.write(data) :]


if __name__ == "__main__":
    try:
        bring_up(*sys.argv[1:3])
        serve(open_port())
    except BaseException:
        traceback.print_exc()  # on the console; the end of the first process is a panic, and QEMU leaves
        raise
