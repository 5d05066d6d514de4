"""What `fsmend simulate` does: both ways out, with progress bars on a terminal, and what it prints."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fsmend_collector.query.cli import Settings
from fsmend_collector.query.errors import QueryError
from fsmend_collector.simulate.fleet import FleetShape, SimulatedFleet, make_fleet
from fsmend_collector.simulate.in_memory import FleetTooSmall, play, truth_of, world_of
from fsmend_collector.simulate.report.page import Report, page, wire_line
from fsmend_collector.simulate.report.result import Result, result_of
from fsmend_collector.simulate.report.totals import Totals, duration
from fsmend_collector.simulate.scenarios import Scenario
from fsmend_collector.simulate.sweep import Point, sweep
from fsmend_collector.simulate.wire.drive import WireRun, Wish, simulate
from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.operator import Access
from fsmend_collector.simulate.wire.started import StartedCollector
from fsmend_collector.simulate.world import World

_LARGER = "give it more with --hosts"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be run."""

    scenarios: list[Scenario]
    seed: int
    seeds: int
    hosts: int
    curve: bool

    @property
    def every_seed(self) -> list[int]:
        """Return the seeds."""
        return list(range(self.seed, self.seed + self.seeds))


@dataclass(slots=True)
class Done:
    """What came of it: results, truths and curves."""

    results: list[Result] = field(default_factory=list)
    truths: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    curves: dict[str, list[Point]] = field(default_factory=dict)

    @property
    def report(self) -> Report:
        """Return what a page shows."""
        command = " ".join(["fsmend", *sys.argv[1:]])
        return Report(self.results, self.curves, f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}", command)

    def page(self) -> str:
        """Return the HTML report."""
        return page(self.report)

    def to_text(self, output: str) -> str:
        """Return what goes to standard output."""
        if output == "json":
            return json.dumps(self.report.to_json(), indent=1)
        lines = [
            f"{'SCENARIO':20} {'CAUSES':>6} {'FOUND':>6} {'TOLD':>5} {'RIGHT':>6} {'AFTER':>8}  CAUSE AS DIAGNOSED"
        ]
        for name in dict.fromkeys(one.scenario for one in self.results):
            runs = [one for one in self.results if one.scenario == name]
            totals = Totals.of(runs)
            said = ", ".join(f"{one.dimension} {one.value}" for one in runs[0].verdicts)
            counts = f"{totals.causes:>6} {totals.found:>6} {totals.told:>5} {totals.right:>6}"
            lines.append(f"{name:20} {counts} {duration(totals.quantile(0.5)):>8}  {said[:32]}")
        return "\n".join([*lines, *filter(None, map(wire_line, self.results))])


def run_in_memory(choice: Choice) -> Done:
    """Run all scenarios and seeds."""

    @cache
    def fleet(seed: int) -> SimulatedFleet:
        return make_fleet(FleetShape(hosts=choice.hosts), seed)

    done = Done()
    with _progress() as bar:
        task = bar.add_task("", total=len(choice.scenarios) * choice.seeds)
        for seed in choice.every_seed:
            for scenario in choice.scenarios:
                bar.update(task, description=scenario.name)
                result, truth = _played(scenario, fleet(seed), seed)
                done.results.append(result)
                done.truths.setdefault(scenario.name, []).extend(truth)
                bar.advance(task)
        for scenario in choice.scenarios if choice.curve else ():
            task = bar.add_task(f"{scenario.name}: k", total=None)
            points = sweep(scenario, fleet, choice.every_seed, lambda task=task: bar.advance(task))  # type: ignore[misc]
            bar.update(task, total=bar.tasks[-1].completed)
            if points:
                done.curves[scenario.name] = points
    return done


def _played(scenario: Scenario, fleet: SimulatedFleet, seed: int) -> tuple[Result, list[dict[str, Any]]]:
    try:
        return play(scenario, fleet, seed)
    except FleetTooSmall as error:
        raise QueryError(str(error), _LARGER) from None


def run_over_wire(choice: Choice, options: dict[str, Any]) -> Done:
    """Play one scenario over the wire.

    Raises:
        QueryError: the collector is not meant for it, or cannot be reached.
    """
    (scenario,) = choice.scenarios
    fleet = make_fleet(FleetShape(hosts=choice.hosts), choice.seed)
    try:
        world = world_of(scenario, fleet, choice.seed)
        run = asyncio.run(_over_wire(world, _wish(options)))
    except FleetTooSmall as error:
        raise QueryError(str(error), _LARGER) from None
    except SimulationRefused as error:
        raise QueryError(*str(error).split("\n", 1)) from None
    judge = run.judge
    names = {agent_id: name for name, agent_id in run.names.items()}
    figures = {
        "speed": run.speed,
        "enrolled": float(run.enrolled),
        "enrol_per_second": run.enrolled / run.enrol_seconds if run.enrol_seconds else 0.0,
        "connect_seconds": run.connect_seconds,
    }
    scored = judge.score(scenario.family)
    result = result_of(scenario, world, choice.seed, judge.shared, judge.units, scored, judge.resolved(), **figures)
    return Done([result], {scenario.name: truth_of(world, choice.seed, names)})


def _wish(options: dict[str, Any]) -> Wish:
    access = None
    if not options["start_collector"]:
        settings = click.get_current_context().find_object(Settings)
        assert settings is not None  # noqa: S101  `main` always sets it
        context = settings.context()
        access = Access.of(
            context.address, context.certificate, context.key, context.authority, server_name=context.server_name
        )
    return Wish(
        access=access,
        consent=options["into_this_collector"],
        speed=options["speed"] or 0.0,
        wait_seconds=options["wait_seconds"] or 0.0,
        directory=options["directory"],
        stay=options["stay"],
    )


async def _over_wire(world: World, wish: Wish) -> WireRun:
    """Play, and end well when interrupted: while it plays with what is known, before that with nothing."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    with _progress() as bar:
        stages = _Bars(bar)

        def interrupted() -> None:
            if stages.name == "playing" and not wish.stop.is_set():
                wish.stop.set()
            elif task is not None:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted)
        try:
            return await simulate(world, wish, stages, _announce(bar.console.print))
        except asyncio.CancelledError:
            raise SimulationRefused("interrupted before anything happened") from None


def _announce(say: Callable[..., None]) -> Callable[[StartedCollector | None], None]:
    def ready(started: StartedCollector | None) -> None:
        if started is not None:
            say(
                f"collector started; ask it with fsmend --contexts-file {started.contexts_file} get incidents -w",
                soft_wrap=True,
            )

    return ready


class _Bars:
    """One progress bar a stage."""

    def __init__(self, bar: Progress) -> None:
        self.name = ""
        self._bar = bar
        self._task: Any = None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage."""
        self.name = name
        self._task = self._bar.add_task(name, total=total)

    def done(self, steps: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=steps)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show progress on standard error when it is a terminal, and nowhere otherwise."""
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        yield bar
