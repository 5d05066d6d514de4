"""Hypotheses: the cause of a shared incident and its suspects, each with its figures and what would change our mind."""

from collections.abc import Mapping

from fsmend_collector.diagnosis.groups.figures import Statistics, statistics_of
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.minds import Kind, MindChange, of_cause, of_suspect
from fsmend_collector.diagnosis.groups.verdict import Suspect, Verdict
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_proto.v1 import incident_pb2

Names = Mapping[str, str]
"""Agent id → host name."""


def cause_of(verdict: Verdict, names: Names) -> incident_pb2.Cause:
    """Return the cause that a verdict names."""
    dimension, _ = verdict.cause
    cause = incident_pb2.Cause(dimension=dimension, value=shown_value(verdict.cause, names), odds=verdict.odds)
    if verdict.best is not None:
        hosts = verdict.statistics.observed
        cause.mind_changes.extend(
            _of_cause(one, hosts, named(verdict.group, names), names, verdict) for one in of_cause(verdict.best)
        )
    return cause


def suspect_of(verdict: Verdict, suspect: Suspect, names: Names) -> incident_pb2.Cause:
    """Return one suspect of a verdict."""
    shown = shown_value(suspect.group, names)
    cause = incident_pb2.Cause(dimension=suspect.group[0], value=shown, odds=suspect.odds)
    if verdict.best is None or verdict.counting is None or suspect.group not in verdict.best.rivals:
        return cause
    candidate, marks = verdict.best.rivals[suspect.group]
    row = statistics_of(candidate, marks, candidate.score(marks), verdict.counting)
    cause.figures.CopyFrom(figures(row, marks))
    cause.figures.explains = _units(marks & verdict.marks)
    changes = of_suspect(verdict.best, suspect.group)
    cause.mind_changes.extend(_of_suspect(one, verdict, suspect.group, row, names) for one in changes)
    return cause


def figures(row: Statistics, marks: list[Mark] | frozenset[Mark]) -> incident_pb2.GroupStatistics:
    """Return figures as the wire has them."""
    return incident_pb2.GroupStatistics(
        aspect=row.aspect,
        counted=row.counted,
        observed=row.observed,
        expected=row.expected,
        population=row.units,
        exposure_hours=row.unit_hours,
        ratio_low=row.ratio_low,
        ratio_high=row.ratio_high,
        p=row.p,
        spent_per_day=row.spent_per_day,
        window_seconds=row.window_seconds,
        aspects=sorted({mark.aspect for mark in marks}),
        hosts=row.hosts,
        group_per_hour=row.per_hour,
        fleet_per_hour=row.fleet_per_hour,
        score=row.score,
        penalty=row.penalty,
        least=row.least,
        explains=_units(marks),
        shape=row.shape,
    )


def shown_value(group: Group, names: Names) -> str:
    """Return the value of a group: a host by its name, everything else as it is."""
    return names.get(group[1]) or group[1]


def named(group: Group, names: Names) -> str:
    """Name a group in a sentence: "rack r7", "model M1", "the fleet"."""
    if group[0] == "fleet":
        return "the fleet"
    if group[0] == "hba":
        agent_id, _, address = group[1].partition(" ")
        return f"adapter {address} of {names.get(agent_id) or agent_id}"
    return f"{group[0].removeprefix('label:').replace('_', ' ')} {shown_value(group, names)}"


def _units(marks: list[Mark] | frozenset[Mark]) -> int:
    return len({mark.key[1:] for mark in marks})


def _of_suspect(
    one: MindChange, verdict: Verdict, suspect: Group, row: Statistics, names: Names
) -> incident_pb2.MindChange:
    cause, mine = named(verdict.group, names), named(suspect, names)
    match one.kind:
        case Kind.MORE_OUTSIDE:
            more = f"{_count(one, 'more ')} of {mine}, outside {cause}, that fail{_s(one)} alike ({row.aspect})"
            text = f"{mine} comes first with {more}"
        case Kind.FEWER_INSIDE:
            apart = f"{_count(one)} of {cause} that {_are(one)} not of it"
            text = f"{mine} comes first when {apart} fail{_s(one)} for another reason"
        case _:
            text = f"no further failures put {mine} first: whatever it explains {cause} explains too"
    return _mind(one, text)


def _of_cause(one: MindChange, observed: int, cause: str, names: Names, verdict: Verdict) -> incident_pb2.MindChange:
    if one.kind is Kind.SIBLINGS:
        around = named(one.group, names)
        text = f"it no longer stands out when {_count(one, 'more ')} of {around} outside {cause} fail{_s(one)} alike"
    else:
        some = f"{one.count} of its {observed} {one.counted} fail{_s(one)}"
        text = f"nothing is shared when {some} for a reason of {_own(one)}"
        text += f"; at least {verdict.statistics.least} in a window are asked for"
    return _mind(one, text)


def _mind(one: MindChange, text: str) -> incident_pb2.MindChange:
    kind = incident_pb2.MindChangeKind.Value(f"MIND_CHANGE_KIND_{one.kind.name}")
    return incident_pb2.MindChange(kind=kind, count=one.count, counted=one.counted, text=text)


def _count(one: MindChange, more: str = "") -> str:
    return f"{one.count} {more}{one.counted if one.count != 1 else one.counted[:-1]}"


def _s(one: MindChange) -> str:
    return "s" if one.count == 1 else ""


def _are(one: MindChange) -> str:
    return "is" if one.count == 1 else "are"


def _own(one: MindChange) -> str:
    return "its own" if one.count == 1 else "their own"
