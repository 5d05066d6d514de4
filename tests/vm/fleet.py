"""Hosts in virtual machines, enrolled with a collector outside of them like any other host."""

import os
import time
from contextlib import suppress

from vm.filesystem import MOUNT
from vm.machine import MIB, Machine

from fsmend_collector.commands import FINAL_STATES
from fsmend_collector.query.client import Client
from fsmend_collector.query.contexts import load_context
from fsmend_collector.query.errors import QueryError
from fsmend_proto.v1 import command_pb2, query_pb2
from stage.processes import BIN, Stage, toml

PATIENCE = float(os.environ.get("FSMEND_VM_PATIENCE", "5"))
OUTSIDE = "10.0.2.2"  # this machine's loopback address, as QEMU's user networking shows it
STATE = "/run/mnt/state"
AGENT = "/run/mnt/state/agent"
SOURCES = {"xfs_health_interval_seconds": 1, "btrfs_stats_interval_seconds": 1, "ext4_stats_interval_seconds": 1}


class Collector:
    """A collector that hosts in virtual machines can reach, and an operator who asks it."""

    def __init__(self, directory, calendar="", **settings):
        self.stage = Stage(directory, collector={"advertise": ["127.0.0.1", "localhost", OUTSIDE], **settings})
        with self.stage.collector_config.open("a") as file:
            file.write(calendar)
        self.stage.start_collector()
        self._client = Client(load_context(self.stage.contexts, None), 30.0)

    def close(self):
        self._client.__exit__(None, None, None)
        self.stage.__exit__(None, None, None)

    def list(self, kind, **filters):
        """Return the objects of a kind, with everything that is known of each."""
        wanted = query_pb2.Filter(include_closed=True, **filters)
        request = query_pb2.ListRequest(kind=kind, filter=wanted, detail=True, page_size=1000)
        return [getattr(one, one.WhichOneof("body")) for one in self._client.list(request).objects]

    def incident_of(self, uuid, code="FS_CORRUPTION"):
        """Return a filesystem's newest incident of a code, or None."""
        found = [one for one in self.list(query_pb2.OBJECT_KIND_INCIDENT, filesystem_uuid=uuid) if one.code == code]
        return max(found, key=lambda one: one.opened_ns, default=None)

    def commands_of(self, uuid, action=""):
        """Return the commands for a filesystem, oldest first."""
        found = self.list(query_pb2.OBJECT_KIND_COMMAND, filesystem_uuid=uuid)
        mine = [one for one in found if action in {"", one.command.WhichOneof("action")}]
        return sorted(mine, key=lambda one: one.created_ns)

    def events_of(self, uuid):
        return self.list(query_pb2.OBJECT_KIND_EVENT, filesystem_uuid=uuid)

    def filesystem(self, uuid):
        """Return what the inventory has of a mounted filesystem, or None."""
        found = self.list(query_pb2.OBJECT_KIND_FILESYSTEM, filesystem_uuid=uuid)
        return found[0].filesystem if found else None

    def agent(self, host_name):
        found = [one for one in self.list(query_pb2.OBJECT_KIND_AGENT) if one.host_name == host_name]
        return found[0] if found else query_pb2.AgentView()

    def order(self, uuid, **action):
        """Order a command as an operator does; return its id."""
        command = command_pb2.Command(reason="a test", **action)
        command.target.filesystem_uuid = uuid

        def accepted():
            # The inventory follows the mounts with some seconds' delay.
            with suppress(QueryError):
                return self._client.run_repair(query_pb2.RunRepairRequest(command=command)).command.id
            return ""

        return wait_for(accepted, 60)

    def cancel(self, command_id):
        self._client.cancel_repair(query_pb2.CancelRepairRequest(command_id=command_id, reason="a test"))

    def command(self, command_id):
        request = query_pb2.ListRequest(kind=query_pb2.OBJECT_KIND_COMMAND, id=command_id, detail=True)
        request.filter.include_closed = True
        (found,) = self._client.list(request).objects
        return found.command

    def end_of(self, command_id, seconds=120.0):
        """Wait until a command has ended; return it."""
        return wait_for(lambda: ended(self.command(command_id)), seconds, lambda: str(self.command(command_id)))


def ended(view):
    """Return the view when its command has ended."""
    return view if view.state in FINAL_STATES else None


class Host:
    """A machine with the agent of this checkout; its state survives a power cut on /dev/vda, the others are for tests."""

    def __init__(self, collector, directory, name, data_bytes=400 * MIB, kernel=None, **labels):
        self.collector = collector
        self.name = name
        self.labels = {"rack": "vm", **labels}
        directory.mkdir(parents=True, exist_ok=True)
        self.machine = Machine(directory, name, [], kernel=kernel)
        self.machine.add_disk(96 * MIB)
        self.disk = self.machine.add_disk(data_bytes)
        self.image = self.machine.disks[-1]
        self.realtime_disk = self.machine.add_disk(64 * MIB)

    def boot(self):
        """Boot it, with its state mounted."""
        self.machine.boot()
        self.machine.sh(
            f"mkdir -p {STATE} && (blkid /dev/vda >/dev/null || mkfs.ext4 -q /dev/vda) && mount /dev/vda {STATE}"
        )
        return self

    def configure(self, **labels):
        """Write the agent's configuration; it holds from the agent's next start."""
        self.labels |= labels
        stage = self.collector.stage
        agent = {
            "state_directory": AGENT,
            "runtime_directory": "/run/fsmend-agent",
            "policy": {"file": f"{STATE}/policy.toml"},
            "collector": {
                "addresses": [f"{OUTSIDE}:{stage.port}"],
                "enrol_addresses": [f"{OUTSIDE}:{stage.enrol_port}"],
            },
            "sources": {**SOURCES, "mount_points": [MOUNT]},
            "labels": self.labels,
        }
        self.write(f"{STATE}/agent.toml", toml(agent))
        return self

    def enrol(self):
        """Trade a token for a certificate, once."""
        stage = self.collector.stage
        self.configure()
        token = stage.run("fsmend-collector", "token", "create", "--config", str(stage.collector_config)).strip()
        self.write(f"{STATE}/token", token)
        self.machine.sh(f"{BIN}/fsmend-agent enrol --config {STATE}/agent.toml --token-file {STATE}/token")
        return self

    def start_agent(self):
        """Start the agent, and wait until the collector sees it."""
        self.machine.sh(
            f"{BIN}/fsmend-agent run --config {STATE}/agent.toml >>{STATE}/agent.log 2>&1 </dev/null &\n"
            "echo $! >/run/agent.pid"
        )
        wait_for(
            lambda: self.collector.agent(self.name).connected,
            90,
            lambda: self.machine.sh(f"tail -20 {STATE}/agent.log"),
        )
        return self

    def stop_agent(self):
        """End the agent as a service manager does, and wait for it."""
        self.machine.sh("agent=$(cat /run/agent.pid); kill $agent; while [ -e /proc/$agent/exe ]; do sleep 0.2; done")
        return self

    def write(self, path, content):
        done = self.machine.run("/bin/sh", "-c", f"cat > {path}", stdin=content)
        assert done.status == 0, done

    def sh(self, script, timeout=300.0):
        return self.machine.sh(script, timeout=timeout)

    def clock_ahead_ns(self):
        """Return by how much its wall clock is ahead: that of an emulated machine on a busy host drifts."""
        before = time.time_ns()
        inside = int(self.sh("date +%s%N"))
        return inside - (before + time.time_ns()) // 2

    def aside(self, script):
        """Run a script whose mounts nobody else sees: each that the agent saw would cost it an inventory."""
        done = self.machine.run("unshare", "--mount", "/bin/sh", "-euc", script)
        assert done.status == 0, done
        return done.stdout

    def log_end(self):
        agent = self.machine.run("tail", "-n", "30", f"{STATE}/agent.log").stdout
        return f"{agent}\n{self.machine.run('dmesg').stdout[-3000:]}"


def wait_for(condition, seconds, explain=lambda: ""):
    """Return the first true answer of `condition`; fail with what `explain` says.

    Args:
        seconds: what it may take where nothing else runs; PATIENCE times as long is waited, for an emulated machine
            gets only what others leave.
    """
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s\n{explain()}"
        time.sleep(0.2)
    return answer
