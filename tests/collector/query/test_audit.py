"""`fsmend get audit`: who did what, as nobody can change it."""

import json

import pytest

from fsmend_collector.audit import audit
from fsmend_collector.query.client import Client
from fsmend_collector.query.contexts import load_context
from fsmend_collector.query.errors import QueryError
from fsmend_collector.store.keyset import encode_token
from fsmend_collector.store.listings import LISTINGS
from fsmend_proto.v1 import query_pb2 as pb


def rows(fsmend, *options):
    """Return actor, action, object and detail of each row, newest first."""
    shown = fsmend("get", "audit", *options, "-o", "jsonl").stdout.splitlines()
    found = [json.loads(line) for line in shown]
    return [(one["actor"], one["action"], one["object_id"], one["detail"]) for one in found]


def ordered(fsmend, make, reason, incident=""):
    """Order a repair; return the command's id."""
    options = ["--incident", incident] if incident else []
    done = fsmend("repair", "run", "scrub_btrfs", "--fs", make.UUID, "--reason", reason, *options, "-o", "json")
    return json.loads(done.stdout)["command"]["id"]


def test_orders_of_operators_are_shown_with_name_and_reason_newest_first(fsmend, host, make):
    first = ordered(fsmend, make, "after the power cut")
    fsmend("repair", "cancel", first, "--reason", "wrong host")
    assert rows(fsmend)[:2] == [
        ("operator:ada", "command.cancelled", first, "wrong host"),
        ("operator:ada", "command.created", first, "after the power cut"),
    ]
    heading, row, *_ = fsmend("get", "audit").stdout.splitlines()
    assert heading.split() == ["BY", "ACTION", "OBJECT", "DETAIL", "AGE"]
    assert row.startswith("operator:ada  command.cancelled")


def test_a_host_has_its_commands_its_identity_and_what_it_did(fsmend, collector, host, make):
    other = collector.enrol("db1")
    command = ordered(fsmend, make, "mine")
    for agent_id, actor, action, kind in (
        (other, "operator:ada", "agent.released", "agent"),
        (host, "operator:ada", "agent.quarantined", "agent"),
        (host, f"agent:{host}", "certificate.renewed", "certificate"),
    ):
        collector.write(audit, 1, actor, action, kind, agent_id if kind == "agent" else "serial 7")
    assert {(action, name) for _, action, name, _ in rows(fsmend, "--host", "web1")} >= {
        ("command.created", command),
        ("agent.quarantined", host),
        ("certificate.renewed", "serial 7"),
    }
    assert "agent.released" not in {action for _, action, *_ in rows(fsmend, "--host", "web1")}
    assert "no host 'web7'" in fsmend("get", "audit", "--host", "web7", status=1).stderr


def test_an_incident_has_the_words_on_it_and_its_commands(fsmend, collector, host, make):
    collector.incident(make.incident("inc-1", host))
    collector.incident(make.incident("inc-2", host))
    fsmend("mute", "inc-1", "--for", "2h", "--reason", "known")
    fsmend("mute", "inc-2", "--for", "2h")
    command = ordered(fsmend, make, "for it", "inc-1")
    assert {name for _, _, name, _ in rows(fsmend, "--incident", "inc-1")} == {"inc-1", command}


def test_one_row_is_described_by_its_number_and_time_chooses(fsmend, collector, host, make):
    collector.write(audit, 1_000_000_000, "collector", "repairs.stopped", "repairs", "", "too many at once")
    (line,) = fsmend("get", "audit", "--until", "1970-01-02", "-o", "name").stdout.splitlines()
    shown = fsmend("describe", "audit", line.removeprefix("audit/")).stdout
    assert "repairs.stopped" in shown
    assert "too many at once" in shown
    assert "no audit" in fsmend("describe", "audit", "12345", status=1).stderr


def test_a_filesystem_and_a_device_choose_what_is_about_their_commands_and_incidents(fsmend, collector, host, make):
    mine = ordered(fsmend, make, "mine")
    fsmend("repair", "run", "scrub_xfs", "--fs", make.UUID_XFS)
    assert {name for _, _, name, _ in rows(fsmend, "--fs", make.UUID)} == {mine}
    one = json.loads(
        fsmend("repair", "run", "scrub_btrfs", "--fs", make.UUID, "--device", "loop0", "-o", "json").stdout
    )
    assert {name for _, _, name, _ in rows(fsmend, "--device", "loop0")} == {one["command"]["id"]}
    for option in (("--severity", "error"), ("--source", "kmsg"), ("--kind", "fs_error")):
        assert "choose events" in fsmend("get", "audit", *option, status=2).stderr


def test_pages_go_on_where_the_last_one_ended_while_rows_come(fsmend, collector, host):
    for number in range(250):
        collector.write(audit, number + 1, "collector", "numbered", "test", str(number))
    found = [name for _, action, name, _ in rows(fsmend, "--limit", "0") if action == "numbered"]
    assert found == [str(number) for number in reversed(range(250))]
    assert len(fsmend("get", "audit").stdout.splitlines()) == 101


def test_the_newest_rows_are_read_by_the_index(collector):
    chosen = LISTINGS[pb.OBJECT_KIND_AUDIT]
    statement = chosen.statement.where(chosen.key[0] < 10).order_by(chosen.key[0].desc())

    def plan(connection):
        text = str(statement.compile(connection, compile_kwargs={"literal_binds": True}))
        return " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))

    assert "TEMP B-TREE" not in collector.run(collector.store.read(plan))


def test_a_page_token_of_an_older_collector_is_refused_and_not_taken_for_the_end(collector, host):
    with Client(load_context(collector.contexts("paging"), None), 10) as client:
        wanted = pb.ListRequest(kind=pb.OBJECT_KIND_AUDIT, page_token=encode_token([-8]))
        with pytest.raises(QueryError, match="older collector"):
            client.list(wanted)
