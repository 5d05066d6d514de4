"""Diagnosing again, and a restart, know what the collector itself did with a command, also with one that had begun."""

from collector.diagnose.history import SECOND, START, History, event
from collector.diagnose.rack import filesystem

from fsmend_collector.diagnose.again import Again
from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.dispatch import expire_commands, queue_command
from fsmend_collector.ingest.others import write_other
from fsmend_collector.ingest.plan import Other
from fsmend_collector.store.engine import make_engine
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2, record_pb2, why_pb2

NAME, COMMAND_ID = "h-0-00", "scrub-1"


def queue(history):
    target = command_pb2.Target(filesystem_uuid=filesystem(NAME, 0).uuid, filesystem_type="btrfs")
    command = command_pb2.Command(id=COMMAND_ID, target=target, scrub_btrfs=command_pb2.ScrubBtrfs())
    with history.engine.begin() as connection:
        queue_command(connection, command, NAME, history.now_ns)


def tell(history, state):
    update = command_pb2.CommandUpdate(command_id=COMMAND_ID, state=state)
    update.clocks.wall_ns = history.now_ns
    record = record_pb2.Record(command_update=update)
    with history.engine.begin() as connection:
        history._id += 1
        other = Other(history._id, history._id, 0, record, record.SerializeToString())
        write_other(connection, other, NAME, 1, 1, history._id, history.now_ns, history.now_ns)
        history._count(connection)


def test_what_waited_for_a_command_that_was_given_up_is_found_again(tmp_path, monkeypatch):
    history = History(tmp_path, monkeypatch)
    queue(history)
    tell(history, command_pb2.COMMAND_STATE_RUNNING)
    history.wait(10)
    corrupt = event_pb2.EVENT_KIND_FS_DATA_CORRUPTION
    history.report(NAME, event(corrupt, 3, history.now_ns, filesystem=filesystem(NAME, 0)))
    history.wait(10)
    assert history.following.engine.incidents() == []
    history.now_ns += 2 * 86_400 * SECOND
    with history.engine.begin() as connection:
        assert expire_commands(connection, history.now_ns) == 1
    history.wait(10)
    (found,) = history.following.engine.incidents()
    engine, told = make_engine(history.url, writes=False), []
    try:
        Again(engine, Following(DiagnosisConfig(), ScanSettings()), START, history.now_ns, told.append).run()
    finally:
        engine.dispose()
    (one,) = [one.difference for one in told if one.HasField("difference")]
    assert (one.id, one.kind) == (found.id, why_pb2.DIFFERENCE_KIND_SAME)


def test_a_restart_knows_what_was_given_up_since_diagnosis_last_read(tmp_path, monkeypatch):
    history = History(tmp_path, monkeypatch)
    corrupt = event_pb2.EVENT_KIND_FS_DATA_CORRUPTION
    history.report(NAME, event(corrupt, 3, history.now_ns, filesystem=filesystem(NAME, 0)))
    queue(history)
    history.wait(10)
    tell(history, command_pb2.COMMAND_STATE_RUNNING)
    history.wait(10)
    (found,) = history.following.engine.incidents()
    assert found.state == incident_pb2.INCIDENT_STATE_REPAIRING
    history.now_ns += 2 * 86_400 * SECOND
    with history.engine.begin() as connection:
        assert expire_commands(connection, history.now_ns) == 1
    history.now_ns += SECOND
    history.restart()
    history.wait(10)
    (found,) = history.following.engine.incidents()
    assert found.state == incident_pb2.INCIDENT_STATE_OPEN
