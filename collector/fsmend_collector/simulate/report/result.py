"""What came of scenarios, as plain records: they go into the JSON as they are, and into the page."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fsmend_collector.diagnosis.groups import HostView
from fsmend_collector.simulate.resolve import UNIT_DIMENSIONS, Resolution
from fsmend_collector.simulate.run import Reported
from fsmend_collector.simulate.scenarios import Scenario
from fsmend_collector.simulate.score import Score, is_right, jaccard
from fsmend_collector.simulate.world import Cause, Unit, World

OTHER = -1
"""Marks units that fail by no shared cause, and verdicts that match no true cause."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One true cause.

    Attributes:
        units: how many failed by it.
        least: from how many hosts or units on the statistics tell it from chance; 0: not with what happens.
        found: some verdict is right about it.
    """

    dimension: str
    value: str
    units: int
    least: int
    optional: bool
    found: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """One incident that was told.

    Attributes:
        overlap: with the units of the cause that it overlaps most, 0 to 1.
        cause: number of that cause, OTHER when it overlaps none.
    """

    incident: str
    code: str
    dimension: str
    value: str
    units: int
    overlap: float
    cause: int
    right: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One host on the floor that is concerned, by truth or verdict.

    Attributes:
        column: number of its rack, in the order of the floor.
        row: its place in the rack.
        truth: numbers of the causes by which it fails.
        verdict: numbers of the verdicts that name it or one of its units.
    """

    host: str
    rack: str
    column: int
    row: int
    truth: tuple[int, ...]
    verdict: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Floor:
    """The racks, and the hosts that are concerned."""

    racks: tuple[str, ...]
    hosts_a_rack: int
    racks_a_row: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario, one seed.

    Attributes:
        way: memory or wire.
        score: the counts of `Score`.
        figures: further figures of the run by name, with their unit in the name.
    """

    scenario: str
    family: str
    text: str
    seed: int
    hosts: int
    way: str
    truths: tuple[Truth, ...]
    verdicts: tuple[Verdict, ...]
    score: dict[str, Any]
    floor: Floor
    figures: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types; the floor only as names of hosts."""
        document = asdict(self)
        document |= document.pop("score")
        cells = self.floor.cells
        document["floor"] = {
            "truth": sorted(one.host for one in cells if one.truth),
            "verdict": sorted(one.host for one in cells if one.verdict),
        }
        return document


def result_of(
    scenario: Scenario,
    world: World,
    seed: int,
    shared: list[Reported],
    units: list[Reported],
    score: Score,
    resolved: Sequence[Resolution | None],
    **figures: float,
) -> Result:
    """Put a run into a record.

    Args:
        scenario: that was played.
        world: its world, with the truth.
        seed: of both fleet and scenario.
        shared: shared causes that are told at the end.
        units: incidents of single units.
        score: of the run.
        resolved: when the statistics can tell each cause.
        figures: further ones.
    """
    alone = {unit for cause in world.causes if cause.dimension in UNIT_DIMENSIONS for unit in cause.members}
    told = [*shared, *(one for one in units if one.members & alone or one.members.isdisjoint(world.failing))]
    numbers = {name: value for name, value in score.row().items() if name not in {"scenario", "family", "seed"}}
    return Result(
        scenario=scenario.name,
        family=scenario.family,
        text=scenario.text,
        seed=seed,
        hosts=len(world.fleet.views),
        way="wire" if "speed" in figures else "memory",
        truths=tuple(_truth(one, told, needed) for one, needed in zip(world.causes, resolved, strict=True)),
        verdicts=tuple(_verdict(one, world.causes) for one in told),
        score=numbers,
        floor=_floor(world, told),
        figures=figures,
    )


def _truth(cause: Cause, told: list[Reported], needed: Resolution | None) -> Truth:
    found = any(is_right(one, cause) for one in told)
    least = 1 if needed is None else needed.from_chance.count if needed.from_chance else 0
    return Truth(cause.dimension, cause.value, len(cause.members), least, cause.optional, found)


def _verdict(one: Reported, causes: list[Cause]) -> Verdict:
    overlaps = [jaccard(one.members, cause.members) for cause in causes]
    best = max(range(len(causes)), key=overlaps.__getitem__, default=OTHER)
    overlap = overlaps[best] if causes else 0.0
    right = any(is_right(one, cause) for cause in causes)
    cause = best if overlap else OTHER
    return Verdict(one.incident_id, one.code, one.dimension, one.value, len(one.members), overlap, cause, right)


def _floor(world: World, told: list[Reported]) -> Floor:
    """Lay the fleet out: racks in their order, hosts in theirs."""
    shape = world.fleet.shape
    racks = tuple(f"r{number}" for number in range(-(-len(world.fleet.views) // shape.hosts_a_rack)))
    truth = _by_agent((number, one.members) for number, one in enumerate(world.causes))
    said = _by_agent((number, one.members) for number, one in enumerate(told))
    cells = [
        _cell(view, at, shape.hosts_a_rack, truth.get(view.agent_id, ()), said.get(view.agent_id, ()))
        for at, view in enumerate(world.fleet.views)
        if view.agent_id in truth or view.agent_id in said
    ]
    return Floor(racks, shape.hosts_a_rack, shape.racks_a_row, tuple(cells))


def _cell(view: HostView, at: int, hosts_a_rack: int, truth: tuple[int, ...], said: tuple[int, ...]) -> Cell:
    column, row = divmod(at, hosts_a_rack)
    return Cell(view.host_name, f"r{column}", column, row, truth, said)


def _by_agent(groups: Iterable[tuple[int, frozenset[Unit]]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for number, members in groups:
        for agent_id in {agent_id for agent_id, _ in members}:
            found.setdefault(agent_id, []).append(number)
    return {agent_id: tuple(numbers) for agent_id, numbers in found.items()}
