"""`fsmend change`: what is done to a part of the fleet, declared, listed and ended, with the operator's name."""

import json

import pytest
from sqlalchemy import text


def rows(collector, sql):
    async def read():
        return await collector.store.read(lambda c: c.execute(text(sql)).all())

    return collector.run(read())


@pytest.fixture(autouse=True)
def rack(collector, make):
    """A host in rack r1, with kernel 6.18.0."""
    collector.report(collector.enrol("web9"), make.inventory("web9", rack="r1", role="db"))


def test_maintenance_is_declared_listed_and_ended(collector, fsmend):
    name = fsmend("change", "add", "new switches", "--scope", "rack=r1", "--for", "2h", "-o", "name").output.strip()
    assert name.startswith("change/maintenance-")
    (one,) = json.loads(fsmend("change", "list", "-o", "json").output)["items"]
    assert (one["name"], one["dimension"], one["value"], one["kind"]) == ("new switches", "rack", "r1", "maintenance")
    assert one["expects_silence"]
    assert one["declared_by"] == "operator:ada"
    assert "rack=r1" in fsmend("change", "list").output
    assert "has ended" in fsmend("change", "end", one["id"][:20]).output
    (left,) = json.loads(fsmend("change", "list", "-o", "json").output)["items"]
    assert left["until_time"] < one["until_time"]
    actions = [row.action for row in rows(collector, "SELECT action FROM audit ORDER BY id")]
    assert actions == ["maintenance.declared", "maintenance.ended"]


def test_a_roll_out_is_a_candidate_cause_and_hides_nothing(collector, fsmend):
    fsmend("change", "add", "image 12", "--scope", "image=12", "--kind", "rollout", "--until", "2099-01-01", status=1)
    image = ("change", "add", "image 12", "--scope", "image=12", "--kind", "rollout", "--for", "1d")
    assert "no host has a label 'image'" in fsmend(*image, status=1).stderr
    fsmend(*image, "--force")
    (row,) = rows(collector, "SELECT * FROM changes")
    assert (row.kind, row.dimension, row.value, row.expects_silence) == ("rollout", "label:image", "12", 0)
    assert "has ended" in fsmend("change", "end", row.id).output


def test_a_dry_run_changes_nothing(collector, fsmend):
    assert (
        "would be declared" in fsmend("change", "add", "x", "--scope", "fleet=all", "--for", "1h", "--dry-run").output
    )
    assert rows(collector, "SELECT * FROM changes") == []


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["add", "x", "--scope", "rack", "--for", "1h"], 1, "'rack' names no part of the fleet"),
        (["add", "x", "--scope", "rack=r1"], 2, "give one of --for and --until"),
        (["add", "x", "--scope", "rack=r1", "--for", "1h", "--from", "2020-01-01"], 1, "is over already"),
        (["add", " ", "--scope", "rack=r1", "--for", "1h"], 1, "needs a name"),
        (["add", "x", "--scope", "rack=r1", "--for", "800d"], 1, "within a year"),
        (["add", "x", "--scope", "rack=r9", "--for", "1h"], 1, "no host has rack=r9"),
        (["add", "x", "--scope", "rack=r9", "--for", "1h"], 1, "of rack there are r1; with --force"),
        (["add", "x", "--scope", "rak=r1", "--for", "1h"], 1, "no host has a label 'rak'"),
        (["add", "x", "--scope", "rak=r1", "--for", "1h"], 1, "there are rack, host, kernel, model, role"),
        (["add", "x", "--scope", "kernel=6.18", "--for", "1h"], 1, "of kernel there are 6.18.0"),
        (["add", "x", "--scope", "fleet=al", "--for", "1h"], 1, "the whole fleet is fleet=all"),
        (["add", "x", "--scope", "model=ST1", "--for", "1h"], 1, "no host has model=ST1\nof model none is known"),
        (["end", "maintenance-1"], 1, "there is no change 'maintenance-1' that goes on"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(fsmend, arguments, status, problem):
    assert problem in fsmend("change", *arguments, status=status).stderr


def test_what_the_collector_saw_itself_ends_by_itself(collector, fsmend):
    now = "1" + "0" * 18
    sql = f"INSERT INTO changes VALUES ('rollout-1','rollout','kernel','kernel','6.8',{now},{4 * int(now)},0,'collector',1)"
    collector.write(lambda c: c.execute(text(sql)) and None)
    assert "was seen by the collector itself" in fsmend("change", "end", "rollout-1", status=1).stderr
