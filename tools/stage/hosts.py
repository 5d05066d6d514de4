"""Real hosts for the playbooks: systemd booted in namespaces, on a network of their own, reached by ssh."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BOOT = Path(__file__).with_name("boot-host.sh")
PREFIX = "10.77.61"
BOOT_SECONDS = 60


def why_not() -> str | None:
    """Say what this machine lacks to boot hosts, or None."""
    if os.geteuid() != 0:
        return "booting systemd in namespaces needs root"
    lacking = [
        tool for tool in ("unshare", "nsenter", "ip", "ssh", "ssh-keygen", "/usr/sbin/sshd") if not shutil.which(tool)
    ]
    if not Path("/lib/systemd/systemd").exists():
        lacking.append("systemd")
    return f"this machine lacks: {', '.join(lacking)}" if lacking else None


@dataclass
class SystemdHost:
    """One booted host; `pid` is its systemd, seen from outside."""

    name: str
    address: str
    pid: int

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside, as root, and return its output."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", f"--root=/proc/{self.pid}/root"]
        done = subprocess.run([*enter, *command], capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def path(self, inside: str) -> Path:
        """Name a file of the host as seen from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")


@dataclass
class Lan:
    """A network namespace with a bridge; the control node's commands run in it."""

    name: str
    key: Path
    hosts: list[SystemdHost] = field(default_factory=list)

    def inside(self, *command: str) -> list[str]:
        """Prefix a command so that it runs in this network."""
        return ["ip", "netns", "exec", self.name, *command]

    @contextmanager
    def host(self, name: str, number: int) -> Iterator[SystemdHost]:
        """Boot a host, plug it in, wait for its ssh; kill it at the end."""
        address = f"{PREFIX}.{number}"
        boot = subprocess.Popen(
            [str(BOOT), name, f"{self.key}.pub"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            host = SystemdHost(name, address, _child_of(boot))
            self._plug(host, number)
            self._wait(host)
            self.hosts.append(host)
            yield host
        finally:
            for child in Path(f"/proc/{boot.pid}/task/{boot.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)  # the init of the namespace: everything inside goes with it
            boot.kill()
            boot.wait(timeout=30)

    def _plug(self, host: SystemdHost, number: int) -> None:
        outer, inner = f"fsm{os.getpid() % 100000}v{number}", "eth0"
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", f"p{outer}")
        _run("ip", "link", "set", outer, "netns", self.name)
        _run("ip", "link", "set", f"p{outer}", "netns", str(host.pid))
        _run(*self.inside("ip", "link", "set", outer, "master", "br0", "up"))
        enter = ("nsenter", "-t", str(host.pid), "-n", "ip")
        _run(*enter, "link", "set", f"p{outer}", "name", inner)
        _run(*enter, "address", "add", f"{host.address}/24", "dev", inner)
        _run(*enter, "link", "set", inner, "up")

    def _wait(self, host: SystemdHost) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            done = subprocess.run(self.inside(*self.ssh(host), "true"), capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.3)
        raise AssertionError(f"{host.name} did not answer ssh within {BOOT_SECONDS} s: {done.stderr}")

    def ssh(self, host: SystemdHost) -> list[str]:
        """Give the ssh command for a host."""
        return ["ssh", *self.ssh_options(), "-o", "ConnectTimeout=3", f"root@{host.address}"]

    def ssh_options(self) -> list[str]:
        """Give the options that keep ssh to this network's own key and known hosts."""
        options = ["-i", str(self.key)]
        for option in (
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ):
            options += ["-o", option]
        return options


@contextmanager
def lan(directory: Path) -> Iterator[Lan]:
    """Make the network and the key, and take the network away at the end."""
    with ExitStack() as stack:
        name = f"fsmend-lan-{os.getpid()}"
        key = directory / "key"
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        _run("ip", "netns", "add", name)
        stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
        made = Lan(name, key)
        _run(*made.inside("ip", "link", "set", "lo", "up"))
        _run(*made.inside("ip", "link", "add", "br0", "type", "bridge"))
        _run(*made.inside("ip", "address", "add", f"{PREFIX}.1/24", "dev", "br0"))
        _run(*made.inside("ip", "link", "set", "br0", "up"))
        yield made


def _child_of(boot: subprocess.Popen[bytes]) -> int:
    """Wait until unshare has forked and the child has become systemd, and return the child's id."""
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline and boot.poll() is None:
        children = Path(f"/proc/{boot.pid}/task/{boot.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
            return int(children[0])
        time.sleep(0.05)
    raise AssertionError(f"no systemd below {boot.pid}, exit status {boot.poll()}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
