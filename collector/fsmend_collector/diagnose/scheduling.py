"""Carry out the calendar of background scrubs: read who could, ask the pure part, order and cancel."""

import json
import logging
import time
from typing import Any

from sqlalchemy import Connection, select

from fsmend_collector.background import ORDERED_BY, CalendarConfig, Candidate, PastScrub, due, overdue
from fsmend_collector.commands import OPEN_STATES
from fsmend_collector.diagnose.braking import are_stopped
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import CommandRefused
from fsmend_collector.fleet import Presence
from fsmend_collector.store.engine import Store
from fsmend_collector.store.schema import command_updates, commands, hosts
from fsmend_proto.v1 import command_pb2, inventory_pb2, record_pb2

log = logging.getLogger(__name__)

_ACTION = "action."
# What was left is not there any more: the next check begins anew, or it would be refused for ever.
_CANNOT_GO_ON = frozenset({command_pb2.REFUSAL_CODE_TARGET_CHANGED, command_pb2.REFUSAL_CODE_MALFORMED})


class Background:
    """The calendar over the store. Without rules it reads nothing."""

    def __init__(self, store: Store, dispatch: Dispatch, presence: Presence, config: CalendarConfig) -> None:
        self._store = store
        self._dispatch = dispatch
        self._presence = presence
        self._config = config

    async def look(self) -> None:
        """Order what is due, and cancel what runs past its window.

        Raises:
            StoreError: the store does not answer; the next look comes all the same.
        """
        if not self._config.rules:
            return
        connected = frozenset(self._presence.connected_ids())
        candidates, past, busy = await self._store.read(situation, connected)
        now_ns = time.time_ns()
        for command_id in overdue(candidates, past, self._config, now_ns):
            await self._cancel(command_id)
        if await self._store.read(are_stopped):
            return  # a person is to look first
        for order in due(candidates, past, busy, self._config, now_ns):
            try:
                await self._dispatch.create(order.command, order.agent_id, ORDERED_BY)
            except CommandRefused as error:
                log.warning("the calendar's command for agent %s was not queued: %s", order.agent_id, error)

    async def _cancel(self, command_id: str) -> None:
        """Stop a command whose window has closed; it may have ended meanwhile."""
        try:
            await self._dispatch.cancel(command_id, "its window has closed", ORDERED_BY)
        except CommandRefused as error:
            log.info("the calendar's command %s was not cancelled: %s", command_id, error)


def situation(
    connection: Connection, connected: frozenset[str]
) -> tuple[list[Candidate], list[PastScrub], set[tuple[str, str]]]:
    """Return the filesystems of connected hosts, the calendar's commands, and where any command is not over."""
    rows = connection.execute(select(hosts.c.agent_id, hosts.c.labels, hosts.c.inventory))
    candidates = [one for row in rows if row.agent_id in connected for one in _candidates(row)]
    ordered = connection.execute(
        select(commands).where(commands.c.ordered_by == ORDERED_BY).order_by(commands.c.created_ns)
    )
    kept: dict[tuple[str, ...], Any] = {}
    for row in ordered:  # of each filesystem the newest, and all that are not over
        name = (row.id,) if row.state in OPEN_STATES else ()
        kept[row.agent_id, row.filesystem_uuid, *name] = row
    past = [_past(row, _progress(connection, row)) for row in kept.values()]
    columns = (commands.c.agent_id, commands.c.filesystem_uuid)
    unfinished = connection.execute(select(*columns).where(commands.c.state.in_(OPEN_STATES)))
    return candidates, past, {(row.agent_id, row.filesystem_uuid) for row in unfinished}


def _candidates(row: Any) -> list[Candidate]:
    """Return what of one host could be checked; what has no identity cannot be named by a command."""
    inventory = inventory_pb2.Inventory.FromString(row.inventory)
    labels = json.loads(row.labels or "{}")
    return [
        Candidate(row.agent_id, labels, one.ref.uuid, one.ref.type, _actions(one))
        for one in inventory.filesystems
        if one.ref.uuid
    ]


def _actions(filesystem: inventory_pb2.Filesystem) -> frozenset[str]:
    return frozenset(
        one.name.removeprefix(_ACTION)
        for one in filesystem.capabilities
        if one.available and one.name.startswith(_ACTION)
    )


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
    unfinished = _unfinished(command.scrub_btrfs, last.result, progress)
    position = _position(command.scrub_xfs, last.result, progress)
    began_at = tuple((devid, command.scrub_btrfs.start_byte) for devid in command.scrub_btrfs.devids)
    return PastScrub(
        command_id=row.id,
        key=(row.agent_id, row.filesystem_uuid),
        state=row.state,
        ordered_ns=row.created_ns,
        ended_ns=row.finished_ns,
        unfinished=unfinished,
        position=position,
        stood_still=(position is not None and position == command.scrub_xfs.resume)
        or (bool(began_at) and unfinished == began_at),
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
    order: command_pb2.ScrubXfs, result: command_pb2.CommandResult, progress: command_pb2.Progress
) -> command_pb2.XfsScrubPosition | None:
    """Return where a check of a whole XFS is to go on, likewise."""
    if result.HasField("stopped_at"):
        return result.stopped_at
    if progress.HasField("xfs_position"):
        return progress.xfs_position
    return order.resume if order.HasField("resume") else None
