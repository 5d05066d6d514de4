"""Survey: what the calendar knows of the fleet, read once and kept up with what changed since.

A look at a fleet of 20,000 hosts would otherwise decode every inventory to learn that nothing is due.
"""

import functools
import json
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, func, select

from fsmend_collector.background import ORDERED_BY, Candidate, PastScrub
from fsmend_collector.commands import OPEN_STATES, is_given_up
from fsmend_collector.store.schema import command_updates, commands, hosts
from fsmend_proto.v1 import command_pb2, inventory_pb2, record_pb2

_ACTION = "action."
_ROWS_A_READ = 500
_OVERLAP_NS = 60_000_000_000
"""A command's row carries the time at which it was written, and may be seen a little later than a newer one."""

# What was left is not there any more: the next check begins anew, or it would be refused for ever.
_CANNOT_GO_ON = frozenset({command_pb2.REFUSAL_CODE_TARGET_CHANGED, command_pb2.REFUSAL_CODE_MALFORMED})

_Key = tuple[str, str]  # agent, filesystem


@dataclass(slots=True)
class Survey:
    """The filesystems of every host, and of each the calendar's newest command and the one before it."""

    _hosts: dict[str, tuple[Candidate, ...]] = field(default_factory=dict)
    _inventories_through: int = 0
    _newest: dict[_Key, PastScrub] = field(default_factory=dict)
    _before: dict[_Key, PastScrub] = field(default_factory=dict)
    _open: dict[str, PastScrub] = field(default_factory=dict)
    _commands_through_ns: int = 0

    def read(
        self, connection: Connection, connected: AbstractSet[str]
    ) -> tuple[list[Candidate], list[PastScrub], set[_Key]]:
        """Return filesystems, the calendar's commands, and where any command is not over.

        The filesystems are those of connected hosts, and of the others on which a command of the calendar is not over.
        Of a filesystem's commands there is the newest, and each that is not over. Call it from one thread at a time.
        """
        self._read_inventories(connection)
        self._read_commands(connection)
        candidates = [one for agent_id in sorted(connected) for one in self._hosts.get(agent_id, ())]
        away = {one.key[0] for one in self._open.values()} - connected
        candidates += [
            replace(one, connected=False) for agent_id in sorted(away) for one in self._hosts.get(agent_id, ())
        ]
        columns = (commands.c.agent_id, commands.c.filesystem_uuid)
        unfinished = connection.execute(select(*columns).where(commands.c.state.in_(OPEN_STATES)))
        newest = {one.command_id: one for one in self._newest.values()}
        return candidates, list({**self._open, **newest}.values()), {(one.agent_id, one[1]) for one in unfinished}

    def _read_inventories(self, connection: Connection) -> None:
        """Take the inventories that came since the last time."""
        chosen = select(hosts.c.agent_id, hosts.c.labels, hosts.c.inventory, hosts.c.record_id)
        chosen = chosen.where(hosts.c.record_id > self._inventories_through)
        through = self._inventories_through
        for row in connection.execute(chosen).yield_per(_ROWS_A_READ):
            self._hosts[row.agent_id] = _candidates(row)
            through = max(through, row.record_id)
        self._inventories_through = through

    def _read_commands(self, connection: Connection) -> None:
        """Take the calendar's commands that changed since the last time, in the order in which they were ordered.

        At first these are all, and an index has them in that order. Later they are few among many: found by the time
        of their change, and sorted here, or SQLite would walk all commands to have them in order.
        """
        if time.time_ns() < self._commands_through_ns - _OVERLAP_NS // 2:  # set back: stamps do not say what is new
            self._commands_through_ns = 0
            self._open.clear()
        first = self._commands_through_ns == 0
        chosen = select(commands).where(commands.c.ordered_by == ORDERED_BY)
        if first:
            chosen = chosen.order_by(commands.c.created_ns, commands.c.id)
        else:
            since_ns = self._commands_through_ns - _OVERLAP_NS
            chosen = chosen.where(commands.c.updated_ns >= since_ns).order_by(commands.c.updated_ns)
        found = connection.execute(chosen).yield_per(_ROWS_A_READ)
        for row in found if first else sorted(found, key=lambda row: (row.created_ns, row.id)):
            self._take(_past(row, _progress(connection, row)), is_open=row.state in OPEN_STATES)
        newest_ns = connection.execute(select(func.max(commands.c.updated_ns))).scalar() or 0
        # A clock that ran ahead and was set back must not hide what changes until it is there again.
        self._commands_through_ns = min(max(newest_ns, self._commands_through_ns), time.time_ns())

    def _take(self, past: PastScrub, *, is_open: bool) -> None:
        """Take a command as it is now."""
        self._open.pop(past.command_id, None)
        if is_open:
            self._open[past.command_id] = past
        known = self._newest.get(past.key)
        if known is not None and known.command_id != past.command_id:
            if past.ordered_ns < known.ordered_ns:
                return
            if known.began:
                self._before[past.key] = known
        self._newest[past.key] = past.after(self._before.get(past.key))


def _candidates(row: Any) -> tuple[Candidate, ...]:
    """Return what of one host could be checked; what has no identity cannot be named by a command."""
    inventory = inventory_pb2.Inventory.FromString(row.inventory)
    labels = json.loads(row.labels or "{}")
    return tuple(
        Candidate(row.agent_id, labels, one.ref.uuid, one.ref.type, _actions(one))
        for one in inventory.filesystems
        if one.ref.uuid
    )


def _actions(filesystem: inventory_pb2.Filesystem) -> frozenset[str]:
    able = (one.name for one in filesystem.capabilities if one.available and one.name.startswith(_ACTION))
    return _shared(frozenset(name.removeprefix(_ACTION) for name in able))


@functools.lru_cache(maxsize=256)
def _shared(actions: frozenset[str]) -> frozenset[str]:
    """Return the same object for the same actions: a fleet has few kinds of filesystem, and many of each."""
    return actions


def _progress(connection: Connection, row: Any) -> command_pb2.Progress:
    """Return how far a command came whose end nobody saw: its last word before the host went down."""
    if row.state != command_pb2.COMMAND_STATE_UNKNOWN:
        return command_pb2.Progress()
    mine = (command_updates.c.command_id == row.id, command_updates.c.state == command_pb2.COMMAND_STATE_RUNNING)
    newest = select(command_updates.c.record).where(*mine).order_by(command_updates.c.id.desc()).limit(1)
    record = connection.execute(newest).scalar()
    return record_pb2.Record.FromString(record or b"").command_update.progress


def _past(row: Any, progress: command_pb2.Progress) -> PastScrub:
    last = command_pb2.CommandUpdate.FromString(row.last_update or b"")
    command = command_pb2.Command.FromString(row.command)
    if last.refusal in _CANNOT_GO_ON:
        command, progress = command_pb2.Command(), command_pb2.Progress()
    return PastScrub(
        command_id=row.id,
        key=(row.agent_id, row.filesystem_uuid),
        state=row.state,
        ordered_ns=row.created_ns,
        ended_ns=row.finished_ns,
        unfinished=_unfinished(command.scrub_btrfs, last.result, progress),
        position=_position(command, last.result, progress),
        unheard=is_given_up(row.state, row.last_update),
        cancelled=row.cancel_ns > 0,
        sent=row.sent_ns > 0,
    )


def _unfinished(
    order: command_pb2.ScrubBtrfs, result: command_pb2.CommandResult, progress: command_pb2.Progress
) -> tuple[tuple[int, int], ...]:
    """Return the devices of btrfs that are left: by the result, by the last progress, or by the order itself."""
    if result.scrubs:
        return tuple((one.devid, one.last_physical) for one in result.scrubs if one.errno)
    if progress.btrfs_positions:
        return tuple((one.devid, one.last_physical) for one in progress.btrfs_positions)
    return tuple((devid, order.start_byte) for devid in order.devids)


def _position(
    command: command_pb2.Command, result: command_pb2.CommandResult, progress: command_pb2.Progress
) -> command_pb2.XfsScrubPosition | None:
    """Return where a check or repair of a whole XFS is to go on, likewise."""
    if result.HasField("stopped_at"):
        return result.stopped_at
    if progress.HasField("xfs_position"):
        return progress.xfs_position
    order = command.repair_xfs if command.HasField("repair_xfs") else command.scrub_xfs
    return order.resume if order.resume.stage else None
