"""A whole run over the wire: let the fleet in, let the scenario happen, and wait for what the collector says."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fsmend_collector.simulate.wire.certificates import identities
from fsmend_collector.simulate.wire.consent import check
from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.fleet import WireFleet
from fsmend_collector.simulate.wire.judging import Judge
from fsmend_collector.simulate.wire.limits import make_room
from fsmend_collector.simulate.wire.operator import Access, Operator
from fsmend_collector.simulate.wire.started import StartedCollector, started_collector
from fsmend_collector.simulate.wire.timetable import Timetable, default_speed, truth_span
from fsmend_collector.simulate.world import SECOND, Restart, World

_LEAD_SECONDS = 3.0
_LOOK_SECONDS = 1.0
_WAIT_SECONDS = 60.0
# An agent's silence is an incident after 300 s, and the collector looks once a second.
_SILENCE_SECONDS = 330.0


class Stages(Protocol):
    """What is told of how far a run is."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many steps."""

    def done(self, steps: int) -> None:
        """Say how many steps of the stage are done."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a scenario is to be simulated.

    Attributes:
        access: of the collector; None: start one.
        consent: it may be any collector.
        speed: seconds of the scenario in a second; 0: as it is, or so that its truth happens within two minutes.
        wait_seconds: how long to wait for verdicts once the truth has happened; 0: as long as silence takes to be told.
        directory: where certificates, and a started collector, are kept for the next run.
        stay: hold the connections after the verdicts until told to stop.
        stop: ends the playing when it is set.
    """

    access: Access | None = None
    consent: bool = False
    speed: float = 0.0
    wait_seconds: float = 0.0
    directory: Path | None = None
    stay: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class WireRun:
    """What came of it.

    Attributes:
        judge: holds incidents, arrivals and scores.
        names: the world's id of an agent by the collector's.
        enrol_seconds: for how many new certificates; 0 of them when all were kept.
        connect_seconds: from the first connection to the last inventory that was durable.
    """

    judge: Judge
    names: dict[str, str]
    speed: float
    enrolled: int
    enrol_seconds: float
    connect_seconds: float


async def simulate(
    world: World, wish: Wish, stages: Stages, ready: Callable[[StartedCollector | None], None] = lambda _: None
) -> WireRun:
    """Let a world happen to a collector.

    Args:
        world: fleet and scenario.
        wish: where and how.
        stages: is told of the progress.
        ready: is called when all agents are connected, before anything happens.

    Raises:
        SimulationRefused: the collector is not meant for it, or does not let the fleet in.
    """
    make_room(len(world.fleet.views))
    async with _collector(wish, world) as (access, started), Operator(access) as operator:
        if started is None:
            await check(operator, consent=wish.consent)
        return await _run(world, wish, stages, operator, started, ready)


@contextlib.asynccontextmanager
async def _collector(wish: Wish, world: World) -> AsyncGenerator[tuple[Access, StartedCollector | None]]:
    if wish.access is not None:
        if any(isinstance(what, Restart) for _, _, what in world.happenings):
            raise SimulationRefused(f"{world.name} restarts the collector; use --start-collector")
        yield wish.access, None
        return
    where = wish.directory / "collector" if wish.directory else None
    async with started_collector(where) as started:
        yield started.access, started


async def _run(
    world: World,
    wish: Wish,
    stages: Stages,
    operator: Operator,
    started: StartedCollector | None,
    ready: Callable[[StartedCollector | None], None],
) -> WireRun:
    hosts = [one.host_name for one in world.fleet.views]
    begun = time.monotonic()
    counter = _Counter(stages, "enrolling", len(hosts))
    found, enrolled = await identities(operator, hosts, wish.directory, counter.one)
    enrol_seconds, begun = time.monotonic() - begun, time.monotonic()
    fleet = WireFleet(world, found, operator.access.address)
    try:
        stages.stage("connecting", len(hosts))
        await fleet.connect(stages.done)
        connect_seconds = time.monotonic() - begun
        ready(started)
        span = truth_span(world)
        speed = wish.speed or default_speed(span)
        judge = Judge(operator, world, fleet.names, time.time_ns())
        at_ns = time.time_ns() + int(_LEAD_SECONDS * SECOND)
        timetable = Timetable(span[0], at_ns, speed)
        await _play(fleet, timetable, span[1], judge, wish, stages, started)
        await judge.count_arrivals(fleet.vanished)
    finally:
        await fleet.close()
    return WireRun(judge, fleet.names, speed, enrolled, enrol_seconds, connect_seconds)


async def _play(
    fleet: WireFleet,
    timetable: Timetable,
    truth_ns: int,
    judge: Judge,
    wish: Wish,
    stages: Stages,
    started: StartedCollector | None,
) -> None:
    """Let everything happen, and look what the collector says until it is right or time is up."""
    restart: Callable[[], Awaitable[None]] = started.restart if started else _nothing
    playing = asyncio.create_task(fleet.play(timetable, restart))
    wait_seconds = wish.wait_seconds or (_SILENCE_SECONDS if _vanishes(fleet.world) else _WAIT_SECONDS)
    total = timetable.in_seconds(truth_ns, time.time_ns()) + wait_seconds
    begun = time.monotonic()
    stages.stage("playing", round(total))
    try:
        while (passed := time.monotonic() - begun) < total or wish.stay:
            stages.done(min(round(passed), round(total)))
            with contextlib.suppress(SimulationRefused):  # a collector that restarts answers again in a moment
                await judge.look()
            if playing.done() and playing.exception() is not None:
                await playing
            if passed >= total - wait_seconds and judge.satisfied() and not wish.stay:
                break
            if await _stopped(wish.stop):
                break
        await judge.look()
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


def _vanishes(world: World) -> bool:
    """Say whether hosts are among the true members: they are told by their silence."""
    return any(agent_id == unit for cause in world.causes for agent_id, unit in cause.members)


async def _stopped(stop: asyncio.Event) -> bool:
    """Wait until the next look is due; say whether to look no more."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_SECONDS):
            return await stop.wait()
    return False


async def _nothing() -> None:
    """Restart nothing: the collector is not ours."""


@dataclass(slots=True)
class _Counter:
    stages: Stages
    name: str
    total: int
    count: int = 0

    def __post_init__(self) -> None:
        self.stages.stage(self.name, self.total)

    def one(self) -> None:
        self.count += 1
        self.stages.done(self.count)
