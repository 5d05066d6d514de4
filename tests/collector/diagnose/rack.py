"""A small fleet for the bridge's tests: racks of hosts with disks, straight in the store and over the wire."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from collector.rig import Agent, Identity, Rig, Stream, batch, event_record

from fsmend_collector.pki.authority import Authority
from fsmend_collector.pki.certificates import certificate_pem, new_key
from fsmend_collector.pki.tokens import NewAgent, new_token, redeem, store_token
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate
from fsmend_proto.v1 import event_pb2, inventory_pb2, record_pb2

DISKS = 4
SECOND_NS = 1_000_000_000


def host_name(rack: int, place: int) -> str:
    return f"h-{rack}-{place:02}"


def enrol_all(config: Any, names: list[str]) -> dict[str, Identity]:
    """Enrol hosts without a collector, straight in the store."""
    migrate(config.store_url, config.state_directory / "migrate.lock")
    authority = Authority.load(config.pki_directory)
    engine = make_engine(config.store_url, writes=True)
    key, found = new_key(), {}
    with engine.begin() as connection:
        for name in names:
            certificate = authority.issue_client("agent", name, key.public_key(), datetime.now(UTC), 30)
            token = new_token("operator:test", "", 600, 1)
            store_token(connection, token)
            redeem(connection, token.secret, NewAgent(name, name, "", name, time.time_ns()), 2)
            found[name] = Identity(name, key, certificate_pem(certificate), authority.pem)
    engine.dispose()
    return found


def disk(name: str, number: int) -> event_pb2.DeviceRef:
    return event_pb2.DeviceRef(id=f"serial:{name}-{number}", name=f"sd{'abcdefgh'[number]}")


def filesystem(name: str, number: int) -> event_pb2.FilesystemRef:
    return event_pb2.FilesystemRef(uuid=f"{name}-fs-{number}", type="btrfs", device_name=f"sd{'abcdefgh'[number]}")


def inventory(sequence: int, name: str, rack: int, kernel: str = "6.8.0") -> bytes:
    able = [
        inventory_pb2.Capability(name=f"action.{action}", available=True)
        for action in ("collect_evidence", "scrub_btrfs")
    ]
    numbers = range(DISKS)
    whole = inventory_pb2.Inventory(
        host=inventory_pb2.Host(
            name=name, kernel_release=kernel, labels={"rack": f"r{rack}", "row": f"row{rack % 2}"}, capabilities=able
        ),
        devices=[
            inventory_pb2.Device(ref=disk(name, one), kind="disk", model=f"model-{one}", firmware="f1")
            for one in numbers
        ],
        filesystems=[
            inventory_pb2.Filesystem(ref=filesystem(name, one), devices=[disk(name, one)], capabilities=able)
            for one in numbers
        ],
    )
    return record_pb2.Record(sequence=sequence, inventory=whole).SerializeToString()


def lost_disk(sequence: int, name: str, number: int, wall_ns: int = 0) -> bytes:
    return event_record(
        sequence,
        kind=event_pb2.EVENT_KIND_DEVICE_GONE,
        severity=event_pb2.SEVERITY_CRITICAL,
        source="kmsg",
        device=disk(name, number),
        clocks=event_pb2.Clocks(wall_ns=wall_ns or time.time_ns(), boot_ns=sequence, boot_id="boot-1"),
    )


def corrupt(sequence: int, name: str, number: int) -> bytes:
    return event_record(
        sequence,
        kind=event_pb2.EVENT_KIND_FS_DATA_CORRUPTION,
        severity=event_pb2.SEVERITY_ERROR,
        source="kmsg",
        filesystem=filesystem(name, number),
        clocks=event_pb2.Clocks(wall_ns=time.time_ns(), boot_ns=sequence, boot_id="boot-1"),
    )


class Racks:
    """The hosts of some racks, connected to a collector."""

    def __init__(self, port: int, identities: dict[str, Identity]) -> None:
        self.agents = {name: Agent(identity, port) for name, identity in identities.items()}
        self.streams: dict[str, Stream] = {}
        self._next = dict.fromkeys(identities, 1)

    async def connect(self) -> None:
        async def one(name: str) -> None:
            stream = self.streams[name] = await self.agents[name].connect()
            self._next[name] = stream.welcome.durable_through + 1

        await asyncio.gather(*(one(name) for name in self.agents))

    async def send(self, name: str, *makes: Any) -> None:
        """Send records, each made of its sequence, and wait until they are durable."""
        first = self._next[name]
        records = [make(first + at) for at, make in enumerate(makes)]
        self._next[name] = first + len(records)
        await self.streams[name].send(batch(self.agents[name].epoch, first, *records))
        await self.streams[name].acked(first + len(records) - 1)

    async def introduce(self, kernel: str = "6.8.0") -> None:
        """Send every host's inventory; the rack is in the name."""
        sends = [
            self.send(name, lambda at, name=name: inventory(at, name, int(name.split("-")[1]), kernel))
            for name in self.agents
        ]
        await asyncio.gather(*sends)

    async def close(self) -> None:
        for stream in self.streams.values():
            stream.call.cancel()
        for agent in self.agents.values():
            await agent.close()


def names(racks: int, hosts: int) -> list[str]:
    return [host_name(rack, place) for rack in range(racks) for place in range(hosts)]


async def started(config: Any) -> Rig:
    rig = Rig(config)
    await rig.start()
    return rig
