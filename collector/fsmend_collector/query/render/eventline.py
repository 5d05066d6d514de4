"""One event on one line, for a stream whose later lines are not known yet: fixed columns."""

import click

from fsmend_collector.query.render.columns import colour, event_place
from fsmend_collector.query.render.escape import cut, visible, width
from fsmend_collector.query.render.values import errno_name, local_time, word
from fsmend_proto.v1 import event_pb2
from fsmend_proto.v1 import query_pb2 as pb

_SIZES = (12, 8, 10, 12)  # time, severity, host, place
_BEFORE_MESSAGE = sum(_SIZES) + 2 * len(_SIZES)


def _row(*cells: str, severity_colour: str | None = None) -> str:
    padded = [cell + " " * max(0, size - width(cell)) for cell, size in zip(cells, (*_SIZES, 0), strict=True)]
    if severity_colour:
        padded[1] = click.style(padded[1], fg=severity_colour)
    return "  ".join(padded).rstrip()


HEADING = _row("TIME", "SEVERITY", "HOST", "WHERE", "MESSAGE")


def event_line(view: pb.EventView, *, wide: bool, line_width: int = 80) -> str:
    """Return one line; `wide` adds date, id, kind, source, count, errno and inode, and cuts nothing."""
    event = view.event
    severity = word(event_pb2.Severity.DESCRIPTOR, event.severity)
    moment = local_time(event.clocks.wall_ns or view.received_ns)
    host, place, message = (
        visible(text) or "-" for text in (view.host_name or view.agent_id, event_place(event), event.message)
    )
    if wide:
        shown = click.style(severity, fg=colour(severity)) if colour(severity) else severity
        return "  ".join((moment, shown, host, place, view.id, _facts(event), message))
    room = max(line_width, 80) - _BEFORE_MESSAGE
    cells = (cut(host, _SIZES[2]), cut(place, _SIZES[3], keep_end=True), cut(message, room))
    return _row(moment.partition(" ")[2] or "-", severity, *cells, severity_colour=colour(severity))


def _facts(event: event_pb2.Event) -> str:
    """Return kind, source and, where given, count, errno, inode and path."""
    facts = [word(event_pb2.EventKind.DESCRIPTOR, event.kind), visible(event.source)]
    if event.count > 1:
        facts.append(f"count={event.count}")
    if event.errno:
        facts.append(f"errno={errno_name(event.errno).split(' ', maxsplit=1)[0]}")
    if event.inode.ino:
        facts.append(f"inode={event.inode.ino}")
    if event.inode.path:
        facts.append(f"path={visible(event.inode.path)}")
    return " ".join(facts)
