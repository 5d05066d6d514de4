"""What a replay of diagnosis found, as people read it. Pure."""

from collections.abc import Sequence

from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.section import facts, heading, section
from fsmend_collector.query.render.values import local_time, size
from fsmend_proto.v1 import why_pb2

DIFFERS = (
    why_pb2.DIFFERENCE_KIND_ONLY_NOW,
    why_pb2.DIFFERENCE_KIND_ONLY_THEN,
    why_pb2.DIFFERENCE_KIND_CHANGED,
)
_TITLES = (
    (why_pb2.DIFFERENCE_KIND_ONLY_NOW, "Only now: this diagnosis finds them, the stored one did not"),
    (why_pb2.DIFFERENCE_KIND_ONLY_THEN, "Only then: they are stored, this diagnosis does not find them"),
    (why_pb2.DIFFERENCE_KIND_CHANGED, "Changed"),
)
_LISTED = 100
_MEMBERS_NAMED = 3


def replay_lines(found: Sequence[why_pb2.ReplayDifference], summary: why_pb2.ReplaySummary) -> list[str]:
    """Return the verdict, the differences, and what the store could not give back."""
    different = summary.only_now + summary.only_then + summary.changed
    verdict = "identical" if not different else f"{different} of {different + summary.same} incidents differ"
    lines = [
        heading(verdict),
        *facts(
            [
                ("Time", f"{local_time(summary.from_ns)} to {local_time(summary.until_ns)}"),
                ("Same", summary.same),
                ("Only now", summary.only_now),
                ("Only then", summary.only_then),
                ("Changed", summary.changed),
                (
                    "Cost",
                    f"{summary.records} records in {summary.seconds:.1f} s, {size(summary.peak_rss_bytes)} of memory",
                ),
            ]
        ),
    ]
    for kind, title in _TITLES:
        mine = [one for one in found if one.kind == kind]
        rows = [_row(one) for one in mine[:_LISTED]]
        if len(mine) > _LISTED:
            rows.append(f"{len(mine) - _LISTED} more: with -o json all of them")
        lines += section(title, rows)
    return lines + section("Not the same as it was then", [visible(one) for one in summary.not_stored])


def _row(one: why_pb2.ReplayDifference) -> str:
    if one.kind != why_pb2.DIFFERENCE_KIND_CHANGED:
        side = one.now if one.kind == why_pb2.DIFFERENCE_KIND_ONLY_NOW else one.then
        return visible(f"{one.id}  {side.code}  {local_time(side.onset_ns)}  {side.summary or side.cause}")
    return visible(f"{one.id}  {'; '.join(_change(one, name) for name in one.changed)}")


def _change(one: why_pb2.ReplayDifference, name: str) -> str:
    if name == "members":
        then, now = set(one.then.members), set(one.now.members)
        words = [f"{len(then)} → {len(now)}"]
        words += [f"{sign}{member}" for sign, some in (("+", now - then), ("-", then - now))
                  for member in sorted(some)[:_MEMBERS_NAMED]]  # fmt: skip
        return f"members {' '.join(words)}"
    if name == "onset":
        return f"onset {local_time(one.then.onset_ns)} → {local_time(one.now.onset_ns)}"
    return f"{name} {getattr(one.then, name)} → {getattr(one.now, name)}"
