"""One collector host and two agent hosts, the wheelhouse, the collection and the inventory: made once for the module."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stage.hosts import Lan, SystemdHost, lan, why_not

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK_SECONDS = 600
Recap = dict[str, dict[str, int]]  # host → ok, changed, failed …
RECAP = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)
RECAP_COUNT = re.compile(r"(\w+)=(\d+)")


@dataclass
class Fleet:
    """The booted hosts and how to run the collection's playbooks on them."""

    lan: Lan
    collector: SystemdHost
    agents: tuple[SystemdHost, SystemdHost]
    play: Callable[..., Recap]
    checked_first: Recap = field(default_factory=dict)

    def fsmend(self, *arguments: str) -> dict:
        """Ask the collector with its own operator's certificate; return the parsed JSON."""
        contexts = "--contexts-file=/var/lib/fsmend-collector/contexts.yaml"
        return json.loads(self.collector.run("/usr/local/bin/fsmend", contexts, *arguments, "-o", "json"))


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the archive that `make wheel` builds."""
    target = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, str(PROJECT / "tools/build_wheelhouse.py"), str(target)], check=True, timeout=300)
    (archive,) = target.glob("*.tar")
    return archive


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path) -> Iterator[Fleet]:
    """Boot the hosts. Nothing is installed on them yet."""
    if reason := why_not():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("fleet")
    collections = directory / "collections"
    galaxy = [str(Path(sys.executable).with_name("ansible-galaxy")), "collection", "install", "--offline", "-p"]
    subprocess.run([*galaxy, str(collections), str(PROJECT / "ansible")], check=True, capture_output=True, timeout=120)
    with lan(directory) as network, network.host("fsmend-1", 10) as collector:  # noqa: SIM117 - order matters
        with network.host("node-a", 11) as node_a, network.host("node-b", 12) as node_b:
            inventory = directory / "inventory.json"
            inventory.write_text(json.dumps(_inventory(network, collector, (node_a, node_b))))

            def play(*arguments: str) -> Recap:
                return _play(network, inventory, collections, wheelhouse, arguments)

            yield Fleet(network, collector, (node_a, node_b), play)


def _inventory(network: Lan, collector: SystemdHost, agents: tuple[SystemdHost, ...]) -> dict:
    ssh = {
        "ansible_user": "root",
        "ansible_ssh_common_args": " ".join(network.ssh_options()),
        "ansible_python_interpreter": "/usr/bin/python3",
        "agent_python": "/usr/bin/python3",
        "collector_python": "/usr/bin/python3",
        "agent_sources_ext4_stats_interval_seconds": 1,
    }
    racks = {agent.name: f"r{number}" for number, agent in enumerate(agents, 1)}
    return {
        "all": {
            "vars": ssh,
            "children": {
                "collector": {
                    "hosts": {
                        collector.name: {"ansible_host": collector.address, "collector_advertise": [collector.address]}
                    }
                },
                "agent": {
                    "hosts": {
                        agent.name: {"ansible_host": agent.address, "agent_labels": {"rack": racks[agent.name]}}
                        for agent in agents
                    },
                    "vars": {"agent_policy": {"classes": {"contain": "deny", "offline": "deny"}}},
                },
            },
        }
    }


def _play(network: Lan, inventory: Path, collections: Path, wheelhouse: Path, arguments: tuple[str, ...]) -> Recap:
    """Run site.yml and return the counts of its recap by host."""
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_HOME": str(collections.parent / "ansible-home"),
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/root",
    }
    command = network.inside("ansible-playbook", "--diff", "-i", str(inventory), "fsmend.fleet.site")
    command += ["-e", f"agent_wheelhouse={wheelhouse}", "-e", f"collector_wheelhouse={wheelhouse}", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=PLAYBOOK_SECONDS
    )
    if done.returncode != 0:
        raise AssertionError(
            f"ansible-playbook ended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
        )
    return {
        host: {name: int(count) for name, count in RECAP_COUNT.findall(counts)}
        for host, counts in RECAP.findall(done.stdout)
    }
