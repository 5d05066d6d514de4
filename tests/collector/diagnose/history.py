"""Histories for replays: a store that a collector's diagnosis followed for days, on a clock of the test."""

import json
import random

from collector.diagnose.rack import DISKS, disk, filesystem, host_name
from collector.diagnose.rack import inventory as inventory_record
from sqlalchemy import insert

from fsmend_collector.ask.words import MUTE, RESOLVE, Word, write_word
from fsmend_collector.diagnose import following as following_module
from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnose.rebuilding import rebuild
from fsmend_collector.diagnose.writing import write_conclusions
from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.store import counters
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate
from fsmend_collector.store.schema import EVENT_CHUNK_BITS, agents, events, gaps, hosts
from fsmend_proto.v1 import event_pb2, record_pb2

SECOND = 10**9
HOUR = 3_600 * SECOND
START = 1_795_000_000 * SECOND
RACKS, PLACES = 5, 8
KIND, SEVERITY = event_pb2.EventKind, event_pb2.Severity
NAMES = [host_name(rack, place) for rack in range(RACKS) for place in range(PLACES)]


def event(kind, severity, wall_ns, **fields):
    found = event_pb2.Event(kind=kind, severity=severity, source="kmsg", count=1, **fields)
    found.clocks.wall_ns = wall_ns
    return found


class History:
    """A store, what happened, and the diagnosis that followed it."""

    def __init__(self, directory, monkeypatch):
        monkeypatch.setattr(following_module, "TICK_SECONDS", 0)
        monkeypatch.setattr(following_module, "LOOK_SECONDS", 0)
        self.url = f"sqlite:///{directory / 'store.sqlite'}"
        migrate(self.url, directory / "migrate.lock")
        self.engine = make_engine(self.url, writes=True)
        self.now_ns, self._id = START, 0
        self.connected = frozenset(NAMES)
        self._introduce()
        self.restart()

    def _introduce(self):
        with self.engine.begin() as connection:
            for number, name in enumerate(NAMES, 1):
                row = {"number": number, "agent_id": name, "host_name": name, "enrolled_ns": START, "connected_ns": 1}
                connection.execute(insert(agents).values(**row))
                whole = record_pb2.Record.FromString(inventory_record(1, name, int(name.split("-")[1]))).inventory
                self._id += 1
                row = {"agent_id": name, "name": name, "seen_ns": START, "record_id": self._id}
                row |= {"kernel_release": whole.host.kernel_release, "labels": json.dumps(dict(whole.host.labels))}
                blobs = {"host": whole.host.SerializeToString(), "inventory": whole.SerializeToString()}
                connection.execute(insert(hosts).values(**row, **blobs))
            self._count(connection)

    def _count(self, connection):
        counters.write(connection, counters.Position(self._id, self.now_ns))

    def restart(self):
        """Let the collector go on as a new process."""
        self.following = Following(DiagnosisConfig(), ScanSettings())
        with self.engine.begin() as connection:
            rebuild(connection, self.following, self.now_ns)
        self._connected = frozenset()

    def report(self, name, *found):
        with self.engine.begin() as connection:
            for one in found:
                self._id += 1
                row = {"id": self._id, "chunk": self._id >> EVENT_CHUNK_BITS, "agent": NAMES.index(name) + 1, "epoch": 1,
                       "sequence": self._id, "received_ns": self.now_ns, "wall_ns": one.clocks.wall_ns,
                       "kind": one.kind, "severity": one.severity, "source": one.source, "errno": 0,
                       "filesystem_uuid": one.filesystem.uuid, "device_id": one.device.id, "ino": 0, "count": one.count,
                       "command_id": "", "record": record_pb2.Record(event=one).SerializeToString()}  # fmt: skip
                connection.execute(insert(events).values(**row))
            self._count(connection)

    def lose(self, name):
        with self.engine.begin() as connection:
            self._id += 1
            gap = record_pb2.Gap(reason=record_pb2.GAP_REASON_SPOOL_FULL, lost=3, from_sequence=self._id)
            row = {"id": self._id, "agent": NAMES.index(name) + 1, "epoch": 1, "sequence": self._id,
                   "received_ns": self.now_ns, "reason": gap.reason,
                   "record": record_pb2.Record(gap=gap).SerializeToString()}  # fmt: skip
            connection.execute(insert(gaps).values(**row))
            self._count(connection)

    def say(self, rng):
        """Mute or resolve one of the open incidents."""
        found = [one for one in self.following.engine.incidents() if not one.resolved_ns]
        if found:
            one = rng.choice(found)
            what, until_ns = (MUTE, self.now_ns + HOUR) if rng.random() < 0.5 else (RESOLVE, 0)
            with self.engine.begin() as connection:
                write_word(connection, Word(self.now_ns, "operator:ada", what, one.id, "so it is", until_ns))

    def follow(self):
        """Let diagnosis read, and write what it concludes."""
        with self.engine.begin() as connection:
            while self.following.take(connection, self.connected, self.now_ns):
                pass
            write_conclusions(connection, self.following.pending)
        self.following.written()
        assert self.following.isolation.count == 0

    def wait(self, seconds):
        """Let time pass: two ticks at once, then every ten minutes."""
        until_ns = self.now_ns + seconds * SECOND
        for step in (1, 1, 1, *[600] * (seconds // 600)):
            self.now_ns = min(self.now_ns + step * SECOND, until_ns)
            self.follow()
        self.now_ns = until_ns

    def happen(self, rng: random.Random):
        """Let one thing happen."""
        name, number = rng.choice(NAMES), rng.randrange(DISKS)
        wall_ns = self.now_ns - rng.choice((0, 0, 0, 1, 600, 7_200)) * SECOND
        rng.choice((self._rack, self._disk, self._disk, self._filesystem, self._quiet))(rng, name, number, wall_ns)

    def _rack(self, rng, name, number, wall_ns):
        rack = [one for one in NAMES if one.split("-")[1] == name.split("-")[1]]
        for one in rng.sample(rack, rng.randint(3, PLACES)):
            self.report(one, event(KIND.EVENT_KIND_DEVICE_GONE, 4, wall_ns, device=disk(one, number)))

    def _disk(self, rng, name, number, wall_ns):
        sectors = [event_pb2.SectorRange(start=rng.randrange(9) * 8, count=8) for _ in range(rng.randint(1, 8))]
        slow = [event(KIND.EVENT_KIND_DEVICE_IO_ERROR, 3, wall_ns, device=disk(name, number), sectors=one)
                for one in sectors]  # fmt: skip
        medium = event(KIND.EVENT_KIND_DEVICE_MEDIUM_ERROR, 3, wall_ns, device=disk(name, number))
        added = event(KIND.EVENT_KIND_DEVICE_ADDED, 1, wall_ns, device=disk(name, number))
        self.report(name, *rng.choice((slow, [medium], [added])))

    def _filesystem(self, rng, name, number, wall_ns):
        corrupt = event(KIND.EVENT_KIND_FS_DATA_CORRUPTION, 3, wall_ns, filesystem=filesystem(name, number))
        healthy = event(KIND.EVENT_KIND_FS_HEALTHY, 1, wall_ns, filesystem=filesystem(name, number))
        self.report(name, rng.choice((corrupt, healthy)))

    def _quiet(self, rng, name, _number, _wall_ns):
        match rng.randrange(3):
            case 0:
                self.lose(name)
            case 1:
                self.connected = self.connected ^ {name}
            case _:
                self.say(rng)
