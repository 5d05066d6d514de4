"""What the store tells of a time that is past."""

from collector.diagnose.history import START, History, event
from collector.diagnose.rack import filesystem

from fsmend_collector.diagnose.rewinding import incidents_as_of
from fsmend_proto.v1 import event_pb2, incident_pb2

SECOND = 1_000_000_000


def test_what_was_seen_and_proven_later_is_not_known_then(tmp_path, monkeypatch):
    history = History(tmp_path, monkeypatch)
    broken = filesystem("h-0-00", 0)
    for kind, severity in [
        (event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION, event_pb2.SEVERITY_ERROR),
        (event_pb2.EVENT_KIND_FS_SHUTDOWN, event_pb2.SEVERITY_CRITICAL),
        (event_pb2.EVENT_KIND_FS_HEALTHY, event_pb2.SEVERITY_INFO),
    ]:
        history.report("h-0-00", event(kind, severity, history.now_ns, filesystem=broken))
        history.wait(10)
    with history.engine.connect() as connection:
        times = {seconds: next(incidents_as_of(connection, START + seconds * SECOND)) for seconds in (5, 15, 25)}
    shown = {
        seconds: (
            incident_pb2.IncidentState.Name(one.state).removeprefix("INCIDENT_STATE_"),
            [row.name for row in one.classes],
            [row.name for row in one.proofs],
        )
        for seconds, one in times.items()
    }
    assert shown == {
        5: ("OPEN", ["fs_metadata"], []),
        15: ("OPEN", ["fs_metadata", "fs_shutdown"], []),
        25: ("RESOLVED", ["fs_metadata", "fs_shutdown"], ["fs_healthy"]),
    }


def test_a_part_that_healed_later_is_sick_then(tmp_path, monkeypatch):
    history = History(tmp_path, monkeypatch)
    broken = filesystem("h-0-00", 0)
    for sick in (1, 0):
        kind = event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION if sick else event_pb2.EVENT_KIND_FS_HEALTHY
        health = event_pb2.XfsHealthDetail(scope=event_pb2.XFS_SCOPE_AG, number=1, sick=sick)
        severity = event_pb2.SEVERITY_ERROR if sick else event_pb2.SEVERITY_INFO
        history.report("h-0-00", event(kind, severity, history.now_ns, filesystem=broken, xfs_health=health))
        history.wait(10)
    with history.engine.connect() as connection:
        times = {seconds: next(incidents_as_of(connection, START + seconds * SECOND)) for seconds in (5, 15)}
    assert {seconds: [part.sick for part in one.parts] for seconds, one in times.items()} == {5: [True], 15: [False]}
