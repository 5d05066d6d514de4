"""Background scrubs: which filesystems the calendar wants checked now, and which checks must stop. Pure.

A rule says for the hosts with its labels how often, in which hours (UTC) and on which share of them at once. A
filesystem belongs to the first rule that fits. What was interrupted goes on where it stopped: btrfs on its unfinished
devices, a check or repair of a whole XFS at the piece that came next. After the interval it begins anew.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fsmend_collector.policy import FINISHED
from fsmend_proto.v1 import command_pb2

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
ORDERED_BY = "calendar"
_MINUTE_NS = 60 * SECOND_NS
_DAY_MINUTES = 1_440
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_RETRY_NS = 3_600 * SECOND_NS
_TYPES = ("btrfs", "xfs")
NEVER_BEGAN = frozenset({command_pb2.COMMAND_STATE_REFUSED, command_pb2.COMMAND_STATE_EXPIRED})
"""What they were to go on with still waits."""

_INTERRUPTED = NEVER_BEGAN | {
    command_pb2.COMMAND_STATE_CANCELLED,
    command_pb2.COMMAND_STATE_TIMED_OUT,
    command_pb2.COMMAND_STATE_UNKNOWN,
}
FATAL_TRIES = 2
"""What ends the host so often at one place waits for its interval, and a person is told."""


@dataclass(frozen=True, slots=True)
class CalendarRule:
    """One line of the calendar.

    Attributes:
        labels: a host must have all of them; none: every host.
        types: of filesystem.
        interval_days: a filesystem is checked again so long after the end of its last complete check.
        window: first and last minute of the day, UTC; it may cross midnight.
        share_percent: of the hosts of this rule that may check at once; at least one.
        repair: mend what is found, instead of only checking.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    types: tuple[str, ...] = _TYPES
    interval_days: float = 30
    window: tuple[int, int] = (0, _DAY_MINUTES)
    share_percent: int = 5
    repair: bool = False

    def is_open(self, now_ns: int) -> bool:
        """Say whether the window is open."""
        minute = now_ns // _MINUTE_NS % _DAY_MINUTES
        first, last = self.window
        return first <= minute < last if first < last else minute >= first or minute < last

    def fits(self, candidate: "Candidate") -> bool:
        """Say whether the rule is about this filesystem."""
        return candidate.type in self.types and self.labels.items() <= candidate.labels.items()

    @property
    def action(self) -> str:
        """Return what XFS is to do."""
        return "repair_xfs" if self.repair else "scrub_xfs"


@dataclass(frozen=True, slots=True)
class CalendarConfig:
    """The calendar; without rules nothing is ordered.

    Attributes:
        rules: in the order in which they are tried.
        look_seconds: time between two looks at what is due.
    """

    rules: tuple[CalendarRule, ...] = ()
    look_seconds: int = 60


DEFAULTS = CalendarConfig()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mounted filesystem of a connected host, and the actions that can be done on it."""

    agent_id: str
    labels: Mapping[str, str]
    uuid: str
    type: str
    actions: frozenset[str]

    @property
    def key(self) -> tuple[str, str]:
        """Name the filesystem in the fleet: clones share a UUID."""
        return self.agent_id, self.uuid


@dataclass(frozen=True, slots=True)
class PastScrub:
    """A command of the calendar.

    Attributes:
        key: agent and filesystem.
        ended_ns: 0 while it is not over.
        unfinished: btrfs devices that it did not finish, and the byte where each stopped.
        position: where a check or repair of a whole XFS stopped.
        unheard: the collector gave it up after a day without news; that its host ended with it, nobody says.
        tries: so many in a row ended with their host, at the same place; the beginning, before any progress, is one.
    """

    command_id: str
    key: tuple[str, str]
    state: command_pb2.CommandState.ValueType
    ordered_ns: int
    ended_ns: int = 0
    unfinished: tuple[tuple[int, int], ...] = ()
    position: command_pb2.XfsScrubPosition | None = None
    unheard: bool = False
    tries: int = 0

    @property
    def is_fatal(self) -> bool:
        """Say whether it ends its host again and again."""
        return self.tries >= FATAL_TRIES

    def after(self, before: "PastScrub | None") -> "PastScrub":
        """Return it with its tries counted, given the filesystem's command before it that began."""
        if self.state != command_pb2.COMMAND_STATE_UNKNOWN or self.unheard:
            return self
        place = (self.position, self.unfinished)
        same = before is not None and (before.position, before.unfinished) == place
        return replace(self, tries=1 + (before.tries if before is not None and same else 0))


@dataclass(frozen=True, slots=True)
class ScrubOrder:
    """A command that the calendar wants."""

    command: command_pb2.Command
    agent_id: str


def due(
    candidates: Sequence[Candidate],
    past: Iterable[PastScrub],
    busy: Collection[tuple[str, str]],
    config: CalendarConfig,
    now_ns: int,
) -> list[ScrubOrder]:
    """Return what is to be ordered now: the filesystems that waited longest first, one a host.

    Args:
        candidates: what could be checked at this moment.
        past: the calendar's earlier commands.
        busy: filesystems on which any command is not over.
        config: the calendar.
        now_ns: collector's wall clock.
    """
    newest = _newest(past)
    by_rule: dict[int, list[Candidate]] = {}
    numbers: dict[tuple[str, str], int | None] = {}  # what is of one type on one host has one rule
    for one in candidates:
        kind = (one.agent_id, one.type)
        if kind not in numbers:
            numbers[kind] = next((number for number, rule in enumerate(config.rules) if rule.fits(one)), None)
        number = numbers[kind]
        if number is not None:
            by_rule.setdefault(number, []).append(one)
    orders: list[ScrubOrder] = []
    for number, mine in sorted(by_rule.items()):
        rule = config.rules[number]
        if rule.is_open(now_ns):
            orders += _due_by_rule(rule, mine, newest, busy, now_ns)
    return orders


def _newest(past: Iterable[PastScrub]) -> dict[tuple[str, str], PastScrub]:
    newest: dict[tuple[str, str], PastScrub] = {}
    for one in sorted(past, key=lambda one: one.ordered_ns):
        newest[one.key] = one
    return newest


def _due_by_rule(
    rule: CalendarRule,
    candidates: list[Candidate],
    newest: Mapping[tuple[str, str], PastScrub],
    busy: Collection[tuple[str, str]],
    now_ns: int,
) -> list[ScrubOrder]:
    hosts = {one.agent_id for one in candidates}
    running = {one.key[0] for one in newest.values() if one.state not in FINISHED and one.key[0] in hosts}
    free = max(1, len(hosts) * rule.share_percent // 100) - len(running)
    taken = set(running)
    orders: list[ScrubOrder] = []
    waiting = [one for one in candidates if free > 0 and _is_due(rule, newest.get(one.key), now_ns)]
    for one in sorted(waiting, key=lambda one: (_last_ns(newest.get(one.key)), one.key)):
        last = newest.get(one.key)
        if free <= len(orders):
            break
        if one.agent_id in taken or one.key in busy:
            continue
        command = _command(rule, one, last, now_ns)
        if command is not None:
            taken.add(one.agent_id)
            orders.append(ScrubOrder(command, one.agent_id))
    return orders


def _last_ns(last: PastScrub | None) -> int:
    return last.ended_ns if last else 0


def _is_due(rule: CalendarRule, last: PastScrub | None, now_ns: int) -> bool:
    """Say whether a check is due: the interval is over, or the last one was cut short and an hour is (or that time)."""
    if last is None:
        return True
    if last.state not in FINISHED:
        return False
    interval_ns = int(rule.interval_days * DAY_NS)
    waits = last.state == command_pb2.COMMAND_STATE_SUCCEEDED or last.is_fatal
    return now_ns - last.ended_ns >= (interval_ns if waits else min(interval_ns, _RETRY_NS))


def _command(
    rule: CalendarRule, candidate: Candidate, last: PastScrub | None, now_ns: int
) -> command_pb2.Command | None:
    """Return the command for a filesystem; None when the host cannot do it."""
    seed = f"{candidate.agent_id}\0{candidate.uuid}\0{last.command_id if last else ''}"
    command = command_pb2.Command(
        id="cal-" + hashlib.sha256(seed.encode()).hexdigest()[:16],
        target=command_pb2.Target(filesystem_uuid=candidate.uuid, filesystem_type=candidate.type),
        not_after_wall_ns=now_ns + _RETRY_NS,
        time_to_live_seconds=_RETRY_NS // SECOND_NS,
        ordered_by=ORDERED_BY,
        reason=f"background {'repair' if rule.repair else 'check'}, every {rule.interval_days:g} days",
    )
    action = "scrub_btrfs" if candidate.type == "btrfs" else rule.action
    if action not in candidate.actions:
        return None
    getattr(command, action).SetInParent()
    check, mend = command_pb2.ACTION_CLASS_CHECK, command_pb2.ACTION_CLASS_REPAIR
    command.action_class = mend if rule.repair else check
    if action == "repair_xfs":
        command.repair_xfs.resume.SetInParent()  # piece by piece, so that it can go on where it stopped
    if candidate.type == "btrfs":
        command.scrub_btrfs.read_only = not rule.repair
    # What was checked longer ago than the interval is due itself: then all of it is checked again.
    recent = last is not None and now_ns - last.ended_ns < max(int(rule.interval_days * DAY_NS), DAY_NS)
    if last is not None and recent and last.state in _INTERRUPTED:
        _resume(command, last)
    return command


def _resume(command: command_pb2.Command, last: PastScrub) -> None:
    """Go on where the last one was interrupted: btrfs on its unfinished devices, with one device at the byte itself."""
    if last.unfinished and command.HasField("scrub_btrfs"):
        command.scrub_btrfs.devids.extend(devid for devid, _ in last.unfinished)
        if len(last.unfinished) == 1:
            command.scrub_btrfs.start_byte = last.unfinished[0][1]
    if last.position is not None and not command.HasField("scrub_btrfs"):
        order = command.repair_xfs if command.HasField("repair_xfs") else command.scrub_xfs
        order.resume.CopyFrom(last.position)


def is_rest(command: command_pb2.Command) -> bool:
    """Say whether a check goes on where an earlier one was cut short, and leaves out what that one had seen."""
    scrub = command.scrub_btrfs
    unfinished_only = command.ordered_by == ORDERED_BY and bool(scrub.devids)
    xfs_from = command.scrub_xfs.resume.stage or command.repair_xfs.resume.stage
    return bool(xfs_from) or scrub.start_byte > 0 or unfinished_only


def overdue(
    candidates: Iterable[Candidate], past: Iterable[PastScrub], config: CalendarConfig, now_ns: int
) -> list[str]:
    """Return the ids of commands that still run although the window of their rule has closed."""
    closed = set()
    for one in candidates:
        rule = next((rule for rule in config.rules if rule.fits(one)), None)
        if rule is not None and not rule.is_open(now_ns):
            closed.add(one.key)
    return [one.command_id for one in past if one.state not in FINISHED and one.key in closed]


def read_calendar_config(raw: Mapping[str, Any]) -> tuple[CalendarConfig, list[str]]:
    """Read the calendar; return it with every problem found, each one line for the operator."""
    problems = [f"calendar.{key}: unknown setting" for key in sorted(set(raw) - {"rules", "look_seconds"})]
    seconds = raw.get("look_seconds", DEFAULTS.look_seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= 3_600:
        problems.append("calendar.look_seconds: must be a whole number from 1 to 3600")
        seconds = DEFAULTS.look_seconds
    rows = raw.get("rules", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return CalendarConfig(), [*problems, "calendar.rules: must be a list of tables, [[calendar.rules]]"]
    rules = [_read_rule(row, f"calendar.rules[{number}]", problems) for number, row in enumerate(rows)]
    return CalendarConfig(tuple(rules), seconds), problems


def _read_rule(row: Mapping[str, Any], where: str, problems: list[str]) -> CalendarRule:
    known: dict[str, Any] = {}
    for key, value in row.items():
        reader = _READERS.get(key)
        if reader is None:
            problems.append(f"{where}.{key}: unknown setting")
            continue
        try:
            known[key] = reader(value)
        except ValueError as error:
            problems.append(f"{where}.{key}: {error}")
    return CalendarRule(**known)


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError("must be a table of texts")
    return dict(value)


def _types_of(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not set(map(str, value)) <= set(_TYPES):
        raise ValueError(f"must be a list of {', '.join(_TYPES)}")
    return tuple(value)


def _days(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0001 <= value <= 3_650:
        raise ValueError("must be a number from 0.0001 to 3650")
    return value


def _percent(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
        raise ValueError("must be a whole number from 1 to 100")
    return value


def _window(value: Any) -> tuple[int, int]:
    found = _WINDOW.fullmatch(value) if isinstance(value, str) else None
    first, last = (int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])) if found else (0, 0)
    if first == last or last > _DAY_MINUTES:
        raise ValueError('must be hours of the day, UTC, such as "01:00-05:00"')
    return first, last


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004  one kind of error for the operator
    return value


_READERS = {
    "labels": _labels,
    "types": _types_of,
    "interval_days": _days,
    "window": _window,
    "share_percent": _percent,
    "repair": _truth,
}
