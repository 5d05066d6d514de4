"""Findings for the tests of diagnosis: what the agents would send, in few words."""

import itertools
from dataclasses import replace

from fsmend_collector.diagnosis import DiagnosisConfig, Evidence, IncidentChange, UnitDiagnosis
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
START = 1_700_000_000 * SECOND
UUID = "11111111-2222-3333-4444-555555555555"
_numbers = itertools.count()


def finding(kind: str, seconds: float = 0, **fields) -> Evidence:
    """Return a finding of host h1's agent, `seconds` after the start."""
    time_ns = START + int(seconds * SECOND)
    severity = fields.pop("severity", "ERROR")
    base = Evidence(
        event_id=fields.pop("event_id", f"e{next(_numbers)}"),
        agent_id=fields.pop("agent_id", "a1"),
        host_name="h1",
        kind=event_pb2.EventKind.Value(f"EVENT_KIND_{kind}"),
        severity=event_pb2.Severity.Value(f"SEVERITY_{severity}"),
        source=fields.pop("source", "kmsg"),
        time_ns=time_ns,
        received_ns=time_ns,
    )
    return replace(base, **fields)


def ext4(kind: str, seconds: float = 0, **fields) -> Evidence:
    """Return a finding about one ext4 filesystem on loop0."""
    names = {
        "filesystem_uuid": UUID,
        "filesystem_type": "ext4",
        "filesystem_device": "loop0",
        "device_id": "loop:0",
        "device_name": "loop0",
        "mount_point": b"/srv/data",
    }
    return finding(kind, seconds, **(names | fields))


def btrfs(kind: str, seconds: float = 0, **fields) -> Evidence:
    """Return a finding about one btrfs filesystem on loop0 and loop1, of whose devices the second is faulty."""
    names = {
        "filesystem_uuid": UUID,
        "filesystem_type": "btrfs",
        "filesystem_device": "loop0",
        "device_id": "loop:1",
        "device_name": "loop1",
        "devid": 2,
        "source": "btrfs_stats",
    }
    return finding(kind, seconds, **(names | fields))


def engine(**settings) -> UnitDiagnosis:
    return UnitDiagnosis(DiagnosisConfig(**settings))


def feed(diagnosis: UnitDiagnosis, findings, *, now_ns: int | None = None) -> list[IncidentChange]:
    """Give findings in turn, each received when it happened unless `now_ns` says otherwise."""
    changes = []
    for one in findings:
        changes += diagnosis.observe(one, now_ns or one.time_ns)
    return changes


def update(state: str, verdict: str = "UNSPECIFIED", **scrub) -> command_pb2.CommandUpdate:
    """Return an agent's report on a command, with one scrub outcome when its counts are given."""
    report = command_pb2.CommandUpdate(state=command_pb2.CommandState.Value(f"COMMAND_STATE_{state}"))
    if verdict != "UNSPECIFIED":
        report.result.verdict = command_pb2.Verdict.Value(f"VERDICT_{verdict}")
        report.result.before.counters["devid 2 corruption_errors"] = 12
        report.result.after.sick.extend([])
    if scrub:
        report.result.scrubs.add(**scrub)
    return report


def target(kind: str = "btrfs") -> command_pb2.Target:
    return command_pb2.Target(filesystem_uuid=UUID, filesystem_type=kind)


def run(diagnosis: UnitDiagnosis, report, seconds: float, *, command_id="c1", kind="btrfs") -> list[IncidentChange]:
    """Give an agent's report on a command."""
    now = START + int(seconds * SECOND)
    return diagnosis.observe_update("a1", command_id, target(kind), report, now, now)


def state_name(incident: incident_pb2.Incident) -> str:
    return incident_pb2.IncidentState.Name(incident.state).removeprefix("INCIDENT_STATE_").lower()


def only(diagnosis: UnitDiagnosis) -> incident_pb2.Incident:
    """Return the one incident there is."""
    (incident,) = diagnosis.incidents()
    return incident


def content(incident: incident_pb2.Incident) -> incident_pb2.Incident:
    """Return what must not depend on order: everything but when the collector knew and told it."""
    copy = incident_pb2.Incident()
    copy.CopyFrom(incident)
    for name in ("opened_ns", "updated_ns", "timeline"):
        copy.ClearField(name)
    return copy
