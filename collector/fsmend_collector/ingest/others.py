"""Rows of what is no event: gaps, command updates, inventories."""

from sqlalchemy import Connection, insert, select, update

from fsmend_collector.commands import FINAL_STATES, SENT, is_given_up, may_follow
from fsmend_collector.ingest.inventory import replace_inventory
from fsmend_collector.ingest.plan import MAX_SIGNED, Other
from fsmend_collector.store.schema import command_updates, commands, gaps
from fsmend_proto.v1 import command_pb2


def write_other(
    connection: Connection,
    other: Other,
    agent_id: str,
    number: int,
    epoch: int,
    record_id: int,
    received_ns: int,
    now_ns: int,
) -> str:
    """Write one record that is no event; return the id of the command it reports on, or an empty string.

    The record is received at `received_ns`, which may be ahead of the collector's clock, `now_ns`; see `commit`.
    """
    place = {"agent": number, "epoch": epoch, "sequence": other.sequence, "received_ns": received_ns, "id": record_id}
    match other.record.WhichOneof("body"):
        case "gap":
            _write_gap(connection, other, place)
        case "inventory":
            replace_inventory(connection, agent_id, other.record.inventory, record_id, now_ns)
        case "command_update":
            update_ = other.record.command_update
            row = {"command_id": clean(update_.command_id), "state": update_.state, "record": other.raw}
            connection.execute(insert(command_updates).values(**place, **row))
            advance_command(connection, agent_id, update_, now_ns)
            return clean(update_.command_id)
    return ""


def _write_gap(connection: Connection, other: Other, place: dict[str, int]) -> None:
    gap = other.record.gap
    row = {
        "reason": gap.reason,
        "from_sequence": min(gap.from_sequence, MAX_SIGNED),
        "to_sequence": min(gap.to_sequence, MAX_SIGNED),
        "lost": min(gap.lost, MAX_SIGNED),
        "source": clean(gap.source),
        "filesystem_uuid": clean(gap.filesystem.uuid),
        "record": other.raw,
    }
    connection.execute(insert(gaps).values(**place, **row))


def advance_command(connection: Connection, agent_id: str, report: command_pb2.CommandUpdate, now_ns: int) -> None:
    """Move a command's state forward; a final state never changes, and only its own agent reports on a command.

    What was given up because its agent was silent goes on as the agent says.
    """
    mine = (commands.c.id == report.command_id, commands.c.agent_id == agent_id)
    row = connection.execute(select(commands.c.state, commands.c.last_update).where(*mine)).first()
    if row is None:
        return
    present = SENT if is_given_up(row.state, row.last_update) else row.state
    if not may_follow(present, report.state):
        return
    values: dict[str, object] = {
        "state": report.state,
        "updated_ns": now_ns,
        "last_update": report.SerializeToString(),
    }
    values["finished_ns"] = now_ns if report.state in FINAL_STATES else 0
    connection.execute(update(commands).where(*mine).values(**values))


def clean(text: str) -> str:
    """Return text that every database takes: PostgreSQL has no NUL in text."""
    return text.replace("\0", "\ufffd") if "\0" in text else text
