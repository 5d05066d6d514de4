"""A restart of the collector: processor time until diagnosis goes on, with 5,000 hosts and 50,000 stored errors."""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, Engine, insert

from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnose.rebuilding import rebuild
from fsmend_collector.diagnose.writing import write_conclusions
from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.groups import HostView, ScanSettings, bounds
from fsmend_collector.ingest.inventory import replace_inventory
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.wire.inventory import inventory_of
from fsmend_collector.store import counters
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate
from fsmend_collector.store.schema import EVENT_CHUNK_BITS, agents, epochs, events
from fsmend_proto.v1 import event_pb2, record_pb2

HOSTS = 5_000
FAILING_DISKS = 500
ERRORS_A_DISK = 90
BURSTS = 3
SOFT_ERRORS = 5_000
DAYS = 28
TICK_NS = 5_000_000_000
QUIET_TICKS = bounds.LONGEST_PAUSE_NS // TICK_NS + 2  # after a storm all of it is looked at once more
_DAY_NS = 86_400_000_000_000
_MEDIUM, _IO = event_pb2.EVENT_KIND_DEVICE_MEDIUM_ERROR, event_pb2.EVENT_KIND_DEVICE_IO_ERROR


def measure() -> dict[str, float]:
    """Fill a store, let diagnosis read it and come to rest, and start anew on it."""
    with tempfile.TemporaryDirectory(prefix="fsmend-") as folder:
        url = f"sqlite:///{Path(folder) / 'store.sqlite'}"
        migrate(url, Path(folder) / "lock")
        engine = make_engine(url, writes=True)
        views = make_fleet(FleetShape(hosts=HOSTS), 1).views
        now_ns = time.time_ns()
        with engine.begin() as connection:
            errors = _fill(connection, views, now_ns)
        figures = {"restart_decoding_seconds": _seconds(engine, now_ns)[0]}
        followed = time.process_time()
        following = _follow(engine, now_ns)
        figures["restart_errors_read_a_second"] = errors / (time.process_time() - followed)
        now_ns = _rest(engine, following, now_ns)
        figures["restart_seconds"], following = _seconds(engine, now_ns)
        figures["restart_told_again"] = len(following.pending.latest)
        engine.dispose()
        return figures


def _seconds(engine: Engine, now_ns: int) -> tuple[float, Following]:
    following = Following(DiagnosisConfig(), ScanSettings())
    began = time.process_time()
    with engine.connect() as connection:
        rebuild(connection, following, now_ns)
    took = time.process_time() - began
    with engine.begin() as connection:
        write_conclusions(connection, following.pending)
    return took, following


def _fill(connection: Connection, views: list[HostView], now_ns: int) -> int:
    clocks = event_pb2.Clocks(wall_ns=now_ns, boot_ns=1, boot_id="boot")
    connection.execute(
        insert(agents),
        [
            {"number": at, "agent_id": one.agent_id, "host_name": one.host_name, "machine_id": one.agent_id}
            for at, one in enumerate(views, 1)
        ],
    )
    connection.execute(insert(epochs), [{"number": at, "agent": at, "epoch": "e"} for at in range(1, HOSTS + 1)])
    for view in views:
        replace_inventory(connection, view.agent_id, inventory_of(view, clocks), 0, now_ns)
    rows = list(_rows(views, now_ns))
    for start in range(0, len(rows), 5_000):
        connection.execute(insert(events), rows[start : start + 5_000])
    counters.write(connection, counters.Position(len(rows), now_ns))
    return len(rows)


def _rows(views: list[HostView], now_ns: int) -> Iterable[dict[str, object]]:
    """Yield errors by time: bursts of the same disks, and single soft ones all over."""
    numbers = {one.agent_id: at for at, one in enumerate(views, 1)}
    stride, burst = len(views) // FAILING_DISKS, ERRORS_A_DISK // BURSTS
    bursts = FAILING_DISKS * BURSTS
    step_ns = DAYS * _DAY_NS // bursts
    soft_every = max(1, bursts // SOFT_ERRORS)
    at = soft = 0
    for number in range(bursts):
        begins_ns = now_ns - (bursts - number) * step_ns
        rows = [(views[number % FAILING_DISKS * stride], _MEDIUM)] * burst
        if number % soft_every == 0:
            several = min(SOFT_ERRORS // (bursts // soft_every), SOFT_ERRORS - soft)
            rows += [(views[(soft + one) % len(views)], _IO) for one in range(several)]
            soft += several
        for place, (view, kind) in enumerate(rows):
            yield _row(at, view, numbers[view.agent_id], kind, begins_ns + place * 1_000)
            at += 1


def _row(
    at: int, view: HostView, number: int, kind: event_pb2.EventKind.ValueType, received_ns: int
) -> dict[str, object]:
    disk = view.devices[0 if kind == _MEDIUM else 1]
    event = event_pb2.Event(
        kind=kind,
        severity=event_pb2.SEVERITY_ERROR,
        source="kmsg",
        count=1,
        clocks=event_pb2.Clocks(wall_ns=received_ns, boot_ns=at + 1, boot_id="boot"),
        device=event_pb2.DeviceRef(id=disk.device_id, name=disk.name),
        sectors=event_pb2.SectorRange(start=at, count=8),
    )
    return {
        "id": at + 1,
        "chunk": (at + 1) >> EVENT_CHUNK_BITS,
        "agent": number,
        "epoch": number,
        "sequence": at + 1,
        "received_ns": received_ns,
        "wall_ns": received_ns,
        "kind": kind,
        "severity": event.severity,
        "source": event.source,
        "errno": 0,
        "filesystem_uuid": "",
        "device_id": disk.device_id,
        "ino": 0,
        "count": 1,
        "command_id": "",
        "record": record_pb2.Record(sequence=at + 1, event=event).SerializeToString(),
    }


def _follow(engine: Engine, now_ns: int) -> Following:
    """Let diagnosis read everything, as the bridge does it."""
    following = Following(DiagnosisConfig(), ScanSettings())
    with engine.connect() as connection:
        rebuild(connection, following, now_ns)
    more = True
    while more:
        with engine.connect() as connection:
            more = following.take(connection, frozenset(), now_ns)
        _write(engine, following)
    return following


def _rest(engine: Engine, following: Following, now_ns: int) -> int:
    """Let time pass until diagnosis has nothing more to tell; return when that is."""
    quiet = 0
    while quiet < QUIET_TICKS:
        now_ns += TICK_NS
        with engine.connect() as connection:
            for changes in following.tick(connection, now_ns):
                following.pending.add(changes)
        following.pending.put_together(following.isolation, now_ns)
        quiet = 0 if following.pending.latest else quiet + 1
        _write(engine, following)
    return now_ns


def _write(engine: Engine, following: Following) -> None:
    with engine.begin() as connection:
        write_conclusions(connection, following.pending)
    following.written()
