"""Rows and watermark of many batches in one transaction.

Two clocks: `received_ns` of records never falls, so that it has the order of the ids also after the collector's clock
was set back; everything that is compared with the present time (commands, inventories, when an agent was heard) has
the present time.

The rules, for each batch: its epoch is the agent's present one, it begins at or before the watermark + 1, and only what
is past the watermark becomes rows. The watermark moves in the same transaction, so each record is in the store once.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from fsmend_collector.errors import CollectorError, EpochStale, SequenceGap
from fsmend_collector.ingest.others import write_other
from fsmend_collector.ingest.plan import Plan, Rejection
from fsmend_collector.store import counters
from fsmend_collector.store.bulk import insert_events, write_watermarks
from fsmend_collector.store.schema import EVENT_CHUNK_BITS, agents


@dataclass(frozen=True, slots=True)
class Submission:
    """One batch of one agent.

    Attributes:
        agent: `agents.number`.
        received_ns: collector's clock.
    """

    agent: int
    agent_id: str
    plan: Plan
    received_ns: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a batch.

    Attributes:
        durable_through: the agent's watermark.
        events: rows added to `events`.
        last_record_id: id of the newest record.
        commands: ids of commands that the batch reported on.
        inventory: it held one.
        rejection: the record at which it ended early.
    """

    durable_through: int
    events: int
    last_record_id: int
    commands: tuple[str, ...]
    inventory: bool
    rejection: Rejection | None


@dataclass(slots=True)
class _Agent:
    """The part of an agent's row that ingest changes."""

    number: int
    epoch: str
    epoch_number: int
    durable_through: int
    gaps: int = 0
    undecoded: int = 0


def commit_batches(connection: Connection, submissions: list[Submission]) -> list[Committed | CollectorError]:
    """Write the new records of all submissions; a refused one has its error in its place."""
    known = _load(connection, {one.agent for one in submissions})
    position = counters.read(connection)
    now_ns = time.time_ns()
    received_ns = max(position.received_ns, now_ns)
    rows: list[tuple[Any, ...]] = []
    results: list[Committed | CollectorError] = []
    next_id = position.record_id + 1
    for one in submissions:
        agent = known[one.agent]
        error = _refusal(agent, one.plan)
        if error is not None:
            results.append(error)
            continue
        plan = one.plan.after(agent.durable_through)
        before = len(rows)
        next_id, commands = _write(connection, one, agent, plan, next_id, received_ns, now_ns, rows)
        agent.durable_through = plan.through
        agent.undecoded += plan.undecoded
        inventory = any(other.record.HasField("inventory") for other in plan.others)
        results.append(Committed(plan.through, len(rows) - before, next_id - 1, commands, inventory, plan.rejection))
    insert_events(connection, rows)
    counters.write(connection, counters.Position(next_id - 1, received_ns))
    _store(connection, known.values(), now_ns)
    return results


def _load(connection: Connection, numbers: set[int]) -> dict[int, _Agent]:
    columns = (agents.c.number, agents.c.epoch, agents.c.epoch_number, agents.c.durable_through)
    rows = connection.execute(select(*columns).where(agents.c.number.in_(numbers)))
    return {row.number: _Agent(*row) for row in rows}


def _refusal(agent: _Agent, plan: Plan) -> CollectorError | None:
    """Say why a batch cannot be taken, or None."""
    if plan.epoch != agent.epoch:
        return EpochStale(f"epoch {plan.epoch!r} is not the agent's present one")
    if plan.first > agent.durable_through + 1:
        return SequenceGap(f"batch begins at {plan.first}, but only {agent.durable_through} and before are durable")
    return None


def _write(
    connection: Connection,
    one: Submission,
    agent: _Agent,
    plan: Plan,
    next_id: int,
    received_ns: int,
    now_ns: int,
    rows: list[tuple[Any, ...]],
) -> tuple[int, tuple[str, ...]]:
    """Append the events' rows, write everything else, in the order of the sequences; return the next id."""
    number, epoch = agent.number, agent.epoch_number
    start = 0
    commands: list[str] = []
    for other in plan.others:
        next_id = _append(rows, plan.events[start : other.events_before], number, epoch, next_id, received_ns)
        start = other.events_before
        command_id = write_other(connection, other, one.agent_id, number, epoch, next_id, received_ns, now_ns)
        if command_id:
            commands.append(command_id)
        agent.gaps += other.record.HasField("gap")
        next_id += 1
    events = plan.events[start:] if start else plan.events
    return _append(rows, events, number, epoch, next_id, received_ns), tuple(commands)


def _append(
    rows: list[tuple[Any, ...]], events: list[Any], number: int, epoch: int, next_id: int, received_ns: int
) -> int:
    rows.extend(
        (id_, id_ >> EVENT_CHUNK_BITS, number, epoch, row[0], received_ns, *row[1:])
        for id_, row in enumerate(events, next_id)
    )
    return next_id + len(events)


def _store(connection: Connection, changed: Iterable[_Agent], now_ns: int) -> None:
    """Move the watermarks."""
    rows = [(one.durable_through, now_ns, one.gaps, one.undecoded, one.number) for one in changed]
    if rows:
        write_watermarks(connection, rows)
