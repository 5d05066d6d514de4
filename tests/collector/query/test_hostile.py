"""Text that comes from a host can do nothing to a terminal, and keeps the shape of every output."""

import base64
import json
import unicodedata

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.query.kinds import KINDS
from fsmend_collector.query.render.escape import cut, escape_json, visible, width
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2, inventory_pb2, record_pb2

EVIL = "\x1b]0;owned\x07\x1b[2Jx\ny\r\u202etxt.exe\u2028\x9b31m\u200b"
EVIL_BYTES = EVIL.encode() + b"\xff\xfe\\"
LONG = "very-long-" * 30


def is_quiet(text):
    """Say whether a terminal would do nothing but print and go to the next line."""
    return all(character == "\n" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in text)  # fmt: skip


@pytest.fixture(params=[EVIL, LONG, "名前" * 60, "ordinary"], ids=["evil", "long", "wide", "ordinary"])
def fleet(request, collector, make):
    """A fleet in which every text is the same hostile one."""
    text = request.param
    raw = EVIL_BYTES if text == EVIL else text.encode()
    agent_id = collector.enrol(text)
    device = inventory_pb2.Device(kind=text, model=text, vendor=text, serial=text, state=text, size_bytes=10**15)
    device.ref.id, device.ref.name = text, text
    filesystem = make.filesystem(mount=raw, label=text, options=text, features=[text])
    filesystem.ref.type = text
    filesystem.capabilities.add(name=text, reason=text)
    event = make.event(text, source=text, signature=text, inode={"ino": 12, "path": raw},
                       filesystem={"uuid": make.UUID, "mount_point": raw}, errno=117, count=10**18,
                       kernel_log={"text": raw, "form": text, "fields": {text: text}})  # fmt: skip
    gap = record_pb2.Record(gap=record_pb2.Gap(reason=1, source=text, message=text, lost=10**18))
    collector.report(agent_id, make.inventory(text, [filesystem], [device], rack=text), event, gap)
    command = command_pb2.Command(
        id="cmd-1", action_class=command_pb2.ACTION_CLASS_REPAIR, reason=text, incident_id="inc-1", ordered_by=text
    )
    command.scrub_btrfs.SetInParent()
    command.target.filesystem_uuid, command.target.mount_point = make.UUID, text
    collector.run(collector.dispatch.create(command, agent_id, text))
    update = command_pb2.CommandUpdate(
        command_id="cmd-1", state=command_pb2.COMMAND_STATE_FAILED, message=text, errno=5
    )
    update.progress.percent, update.progress.stage = 50, text
    update.result.before.counters[text] = 1
    update.result.after.sick.append(text)
    update.result.evidence.add(name=text, content=raw)
    collector.report(agent_id, record_pb2.Record(command_update=update))
    incident = make.incident(
        "inc-1", agent_id, text, summary=text, recommendation=text, sources=[text], resolution=text
    )
    incident.unit.mount_point = raw
    incident.places.add(ino=1, path=raw, function=text)
    incident.timeline.add(wall_ns=1, what=text, text=text)
    incident.cause.CopyFrom(incident_pb2.Cause(dimension=text, value=text, odds=0.5))
    collector.incident(incident)
    return text


def _rows(kind) -> int:
    """Return how many objects there are of a kind: the audit has the order and the token."""
    return 2 if kind.singular == "audit" else 1


def test_tables_keep_one_object_a_row_within_80_columns(fsmend, fleet):
    assert fsmend("token", "create", "--host", fleet).stdout
    for kind in KINDS:
        shown = (
            fsmend("get", kind.plural, "--all").stdout
            if kind.singular not in {"event", "gap"}
            else fsmend("get", kind.plural).stdout
        )
        assert is_quiet(shown), kind
        assert len(shown.splitlines()) == 1 + _rows(kind), (kind, shown)
        assert all(width(line) <= 80 for line in shown.splitlines()), (kind, shown)
        assert shown.splitlines()[0].split()[-1] == "AGE"
    events = fsmend("events").stdout
    assert is_quiet(events)
    assert [width(line) <= 80 for line in events.splitlines()] == [True, True]


def test_every_other_output_is_quiet_and_machine_readable_ones_round_trip(fsmend, fleet):
    fsmend("token", "create", "--host", fleet)
    for kind in KINDS:
        wide = fsmend("get", kind.plural, "-a", "-o", "wide").stdout
        names = fsmend("get", kind.plural, "-a", "-o", "name").stdout
        assert is_quiet(wide)
        assert is_quiet(names)
        assert len(names.splitlines()) == len(wide.splitlines()) - 1 == _rows(kind)
        as_json, as_yaml, as_lines = (
            fsmend("get", kind.plural, "-a", "-o", o).stdout for o in ("json", "yaml", "jsonl")
        )
        assert is_quiet(as_json + as_yaml + as_lines)
        assert json.loads(as_json) == yaml.safe_load(as_yaml)
        assert json.loads(as_json)["items"] == [json.loads(line) for line in as_lines.splitlines()]


def test_descriptions_are_quiet(fsmend, fleet):
    for kind in KINDS:
        for item in json.loads(fsmend("get", kind.plural, "-a", "-o", "json").stdout)["items"]:
            name = {"Host": "agent_id", "Agent": "agent_id"}.get(item["kind"], "id")
            identity = item.get(name) or {"Device": fleet, "Filesystem": "6f2c1", "Command": "cmd-1"}[item["kind"]]
            for output in ("table", "json", "yaml"):
                assert is_quiet(fsmend("describe", kind.singular, identity, "-o", output).stdout)
    assert is_quiet(fsmend("health", "detail").stdout)
    assert is_quiet(fsmend("repair", "watch", "cmd-1", status=1).stdout)


def test_json_keeps_the_exact_text_and_the_exact_bytes(fsmend, collector, make):
    agent_id = collector.enrol("web1")
    collector.report(agent_id, make.event(EVIL, inode={"ino": 1, "path": EVIL_BYTES}))
    event = json.loads(fsmend("get", "events", "-o", "jsonl").stdout)["event"]
    assert event["message"] == EVIL
    assert event["inode"]["path"].startswith(EVIL)
    assert base64.b64decode(event["inode"]["path_base64"]) == EVIL_BYTES


@given(st.text(st.characters()) | st.binary())
def test_visible_text_is_one_quiet_line(text):
    shown = visible(text)
    assert shown.isprintable()
    assert "\n" not in shown


@given(st.text(st.characters(codec="utf-8")))
def test_escaped_json_is_the_same_value(text):
    document = escape_json(json.dumps({text: text}, ensure_ascii=False))
    assert json.loads(document) == {text: text}
    assert is_quiet(document)


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 40), st.booleans())
def test_cut_text_fits(text, limit, keep_end):
    assert width(cut(visible(text), limit, keep_end=keep_end)) <= limit


def test_unknown_kinds_of_a_newer_collector_are_shown_as_numbers(fsmend, collector, make):
    agent_id = collector.enrol("web1")
    record = make.event("from the future")
    record.event.kind = 999
    collector.report(agent_id, record)
    assert json.loads(fsmend("get", "events", "-o", "jsonl").stdout)["event"]["kind"] == "999"
    assert "999" in fsmend("events", "-o", "wide").stdout
    assert event_pb2.EventKind.DESCRIPTOR.values_by_number.get(999) is None
