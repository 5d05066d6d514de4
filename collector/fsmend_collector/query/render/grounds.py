"""The grounds of one unit's incident, and the groups of a unit with what fails in them. Pure."""

from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.section import grid, section
from fsmend_collector.query.render.values import duration
from fsmend_proto.v1 import why_pb2


def grounds_lines(unit: why_pb2.UnitGrounds, insufficient: str) -> list[str]:
    """Return classes with their rates, sources, and what else fails nearby."""
    lines = section("Errors and their rates", [_class(one) for one in unit.classes])
    sources: list[list[str | bytes]] = [[one.source, str(one.events), str(one.errors)] for one in unit.sources]
    lines += section("Seen by (the same errors, so not added up)", grid(("SOURCE", "EVENTS", "ERRORS"), sources))
    nearby = [visible(insufficient)] if insufficient else []
    return lines + section("Is it only this one?", nearby + group_rows(list(unit.nearby)))


def _class(one: why_pb2.ErrorClassGrounds) -> str:
    counted = f"{one.errors} error{'s' * (one.errors != 1)} at {one.places} place{'s' * (one.places != 1)}"
    if not one.HasField("rule"):
        return f"{one.name}: {counted}; this class opens an incident at its first error"
    rule = one.rule
    long = duration(rule.long_seconds)
    text = (
        f"{one.name}: {counted}; {_reached(one.most_in_window, rule.count)} in {duration(rule.seconds)}, "
        f"{_reached(one.most_in_long, rule.long_count)} in {long}, "
        f"{_reached(one.most_at_one_place, rule.repeats)} at one place"
    )
    return text + ("; one was critical, which opens at once" if one.critical else "")


def _reached(count: int, limit: int) -> str:
    return f"{count} of {limit}" + (" (crossed)" if count >= limit else "")


def group_rows(groups: list[why_pb2.SharedGroup]) -> list[str]:
    """Return a table of groups, most surprising first."""
    rows: list[list[str | bytes]] = []
    for one in groups:
        local = one.counted == "devices"
        rows.append(
            [
                f"{one.dimension} {one.value}",
                str(one.devices if local else one.hosts),
                str(one.failing_now + one.failed_recently if local else one.failing_hosts),
                f"{one.expected:.2g}",
                f"{one.p:.2g}",
                one.counted,
                str(one.failing_now),
                str(one.failed_recently),
            ]
        )
    return grid(("SHARES", "OTHERS", "FAIL", "EXPECTED", "CHANCE", "COUNTED", "DISKS NOW", "LATELY"), rows)
