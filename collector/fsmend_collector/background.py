"""Background scrubs: which filesystems the calendar wants checked now, and which checks must stop. Pure.

A rule says for the hosts with its labels how often, in which hours (UTC) and on which share of them at once. A
filesystem belongs to the first rule that fits. What was interrupted goes on where it stopped: btrfs on its unfinished
devices, a check or repair of a whole XFS at the piece that came next. After the interval it begins anew.
"""

import hashlib
import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fsmend_collector.commands import BY_CALENDAR
from fsmend_collector.policy import FINISHED
from fsmend_proto.v1 import command_pb2

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
DAY_MINUTES = 1_440
ORDERED_BY = BY_CALENDAR
TYPES = ("btrfs", "xfs")
_MINUTE_NS = 60 * SECOND_NS
_RETRY_NS = 3_600 * SECOND_NS
NEVER_BEGAN = frozenset({command_pb2.COMMAND_STATE_REFUSED, command_pb2.COMMAND_STATE_EXPIRED})
"""What they were to go on with still waits."""

_INTERRUPTED = NEVER_BEGAN | {
    command_pb2.COMMAND_STATE_CANCELLED,
    command_pb2.COMMAND_STATE_TIMED_OUT,
    command_pb2.COMMAND_STATE_UNKNOWN,
}
FATAL_TRIES = 2
"""What ends the host so often at one place waits for its interval, and a person is told."""

_Key = tuple[str, str]  # agent, filesystem


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
    types: tuple[str, ...] = TYPES
    interval_days: float = 30
    window: tuple[int, int] = (0, DAY_MINUTES)
    share_percent: int = 5
    repair: bool = False

    def is_open(self, now_ns: int) -> bool:
        """Say whether the window is open."""
        minute = now_ns // _MINUTE_NS % DAY_MINUTES
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
    """A mounted filesystem, and the actions that can be done on it.

    Attributes:
        connected: its host has a link; without one nothing new is ordered, but what goes on has its place of the share.
    """

    agent_id: str
    labels: Mapping[str, str]
    uuid: str
    type: str
    actions: frozenset[str]
    connected: bool = True

    @property
    def key(self) -> _Key:
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
        cancelled: somebody asked that it ends; until it has, it is not over.
        sent: to its agent; what was cancelled before never began.
    """

    command_id: str
    key: _Key
    state: command_pb2.CommandState.ValueType
    ordered_ns: int
    ended_ns: int = 0
    unfinished: tuple[tuple[int, int], ...] = ()
    position: command_pb2.XfsScrubPosition | None = None
    unheard: bool = False
    tries: int = 0
    cancelled: bool = False
    sent: bool = True

    @property
    def began(self) -> bool:
        """Say whether it may have begun."""
        recalled = self.state == command_pb2.COMMAND_STATE_CANCELLED and not self.sent
        return self.state not in NEVER_BEGAN and not recalled

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
    busy: Collection[_Key],
    config: CalendarConfig,
    now_ns: int,
) -> list[ScrubOrder]:
    """Return what is to be ordered now: the filesystems that waited longest first, one a host.

    A check that is not over has its place of the share, on a host without a link too: what nothing is heard of for a
    day the collector gives up, and then it is over.

    Args:
        candidates: what could be checked at this moment, and what hosts without a link have on which a check may go on.
        past: the calendar's earlier commands.
        busy: filesystems on which any command is not over.
        config: the calendar.
        now_ns: collector's wall clock.
    """
    work = _Work.of(past, candidates, busy)
    rules = [
        (_Places(rule, _free(rule, mine, work)), mine)
        for rule, mine in _by_rule(candidates, config)
        if rule.is_open(now_ns)
    ]
    waiting = (_waiting(places, mine, work, now_ns) for places, mine in rules if places.free > 0)
    most = sum(max(0, places.free) for places, _ in rules)
    longest_first = heapq.merge(*waiting, key=lambda one: work.waited(one[0]))
    return list(itertools.islice(_order(longest_first, work, now_ns), most))


def _by_rule(candidates: Iterable[Candidate], config: CalendarConfig) -> list[tuple[CalendarRule, list[Candidate]]]:
    by_rule: dict[int, list[Candidate]] = {}
    numbers: dict[tuple[str, str], int | None] = {}  # what is of one type on one host has one rule
    for one in candidates:
        kind = (one.agent_id, one.type)
        if kind not in numbers:
            numbers[kind] = next((number for number, rule in enumerate(config.rules) if rule.fits(one)), None)
        number = numbers[kind]
        if number is not None:
            by_rule.setdefault(number, []).append(one)
    return [(config.rules[number], mine) for number, mine in sorted(by_rule.items())]


@dataclass(frozen=True, slots=True)
class _Work:
    """What was done and what goes on.

    Attributes:
        newest: command of each filesystem.
        unfinished: filesystems with a command that is not over.
        busy: those, and those with a command of somebody else that is not.
        gone: hosts on which one is not over whose filesystem is not known any more.
        taken: hosts where nothing more is ordered now, whatever the rule.
    """

    newest: Mapping[_Key, PastScrub]
    unfinished: Collection[_Key]
    busy: Collection[_Key]
    gone: Collection[str]
    taken: set[str]

    @classmethod
    def of(cls, past: Iterable[PastScrub], candidates: Iterable[Candidate], busy: Collection[_Key]) -> "_Work":
        in_order = sorted(past, key=lambda one: one.ordered_ns)
        unfinished = {one.key for one in in_order if one.state not in FINISHED}
        taken = {agent_id for agent_id, _ in unfinished}
        found = {one.agent_id for one in candidates if one.agent_id in taken and one.key in unfinished}
        return cls({one.key: one for one in in_order}, unfinished, busy, taken - found, taken)

    def holds(self, candidate: Candidate) -> bool:
        """Say whether its host takes a place of the share because of it; any of its will do when the right one left."""
        return candidate.key in self.unfinished or candidate.agent_id in self.gone

    def waited(self, candidate: Candidate) -> tuple[int, _Key]:
        """Return what sorts the filesystems that waited longest first: the end of the last command."""
        last = self.newest.get(candidate.key)
        return last.ended_ns if last else 0, candidate.key


def _free(rule: CalendarRule, candidates: Sequence[Candidate], work: _Work) -> int:
    """Return how many more hosts may check by a rule, given the filesystems that are its."""
    hosts = {one.agent_id for one in candidates if one.connected}
    running = {one.agent_id for one in candidates if one.agent_id in work.taken and work.holds(one)}
    return max(1, len(hosts) * rule.share_percent // 100) - len(running)


@dataclass(slots=True)
class _Places:
    """How many more hosts may check by a rule."""

    rule: CalendarRule
    free: int


def _waiting(
    places: _Places, candidates: Sequence[Candidate], work: _Work, now_ns: int
) -> Iterator[tuple[Candidate, _Places]]:
    """Yield what is due by one rule, what waited longest first."""
    able = [one for one in candidates if one.connected and _is_due(places.rule, work.newest.get(one.key), now_ns)]
    for one in sorted(able, key=work.waited):
        yield one, places


def _order(waiting: Iterable[tuple[Candidate, _Places]], work: _Work, now_ns: int) -> Iterator[ScrubOrder]:
    for one, places in waiting:
        if places.free <= 0 or one.agent_id in work.taken or one.key in work.busy:
            continue
        command = _command(places.rule, one, work.newest.get(one.key), now_ns)
        if command is not None:
            places.free -= 1
            work.taken.add(one.agent_id)
            yield ScrubOrder(command, one.agent_id)


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
    """Return the command for a filesystem; None when the host cannot do it.

    Two looks give it the same id, and it is queued once: by the command before it. Where none is known, a store that
    was lost say, the agent may have done the filesystem's first one already, and does no id twice: then by the hour.
    """
    before = last.command_id if last else f"none\0{now_ns // _RETRY_NS}"
    seed = f"{candidate.agent_id}\0{candidate.uuid}\0{before}"
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
    """Return the ids of commands that still run although the window of their rule has closed, and nobody said so."""
    closed = set()
    for one in candidates:
        rule = next((rule for rule in config.rules if rule.fits(one)), None)
        if rule is not None and not rule.is_open(now_ns):
            closed.add(one.key)
    going_on = (one for one in past if one.state not in FINISHED and not one.cancelled)
    return [one.command_id for one in going_on if one.key in closed]
