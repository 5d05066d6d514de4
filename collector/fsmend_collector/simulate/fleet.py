"""A simulated fleet: sites, rows, racks, feeds, hosts, adapters, shelves, disks, kernels; all from a seed."""

import random
from collections import Counter
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups import DeviceView, HostView, Population
from fsmend_collector.simulate.derived import RealDrives

KERNELS = (("6.1.0-37", 0.45), ("6.6.58", 0.3), ("6.8.0-51", 0.2), ("6.12.9", 0.05))
ROLES = ("database", "object", "compute", "backup")
_ADAPTERS = ((6, 6), (3, 4, 5), (4, 4, 4), (12,))
_RACKS_A_DELIVERY = 8
_RACKS_A_FEED = 5
_REPLACED = 0.03


@dataclass(frozen=True, slots=True)
class FleetShape:
    """How large a fleet is, and how it stands."""

    hosts: int = 5_000
    disks_a_host: int = 12
    hosts_a_rack: int = 20
    racks_a_row: int = 10
    rows_a_site: int = 5


@dataclass(slots=True)
class SimulatedFleet:
    """One fleet.

    Attributes:
        views: the hosts, in the order of their places.
        frailty: model and firmware → factor on the rate of its faults.
        targets: remote targets by name → agents that use it.
    """

    shape: FleetShape
    seed: int
    drives: RealDrives
    views: list[HostView] = field(default_factory=list)
    population: Population = field(default_factory=Population)
    frailty: dict[tuple[str, str], float] = field(default_factory=dict)
    by_agent: dict[str, HostView] = field(default_factory=dict)

    def members(self, dimension: str, value: str) -> list[HostView]:
        """Return the hosts of a group that spans hosts and is theirs as a whole."""
        return [one for one in self.views if (dimension, value) in one.groups()]

    def values(self, dimension: str) -> list[str]:
        """Return the values of a dimension that spans hosts."""
        return sorted(value for name, value in self.population.sizes if name == dimension)


@dataclass(frozen=True, slots=True)
class _Delivery:
    number: int
    models: tuple[str, str]
    firmwares: tuple[str, ...]
    hours: int


def make_fleet(shape: FleetShape, seed: int, drives: RealDrives | None = None) -> SimulatedFleet:
    """Make a fleet from a seed."""
    rng = random.Random(f"fleet {seed}")  # noqa: S311  not a secret
    fleet = SimulatedFleet(shape, seed, drives or RealDrives())
    models = _models(fleet, rng)
    deliveries: dict[int, _Delivery] = {}
    for number in range(shape.hosts):
        rack = number // shape.hosts_a_rack
        delivery = deliveries.get(rack // _RACKS_A_DELIVERY)
        if delivery is None:
            delivery = _delivery(len(deliveries), models, fleet, rng)
            deliveries[rack // _RACKS_A_DELIVERY] = delivery
        view = _host(number, rack, shape, delivery, models, rng)
        fleet.views.append(view)
        fleet.by_agent[view.agent_id] = view
        fleet.population.add(view)
    return fleet


def _models(fleet: SimulatedFleet, rng: random.Random) -> dict[str, tuple[str, ...]]:
    """Make models with one to four firmwares each, and how frail each is."""
    models = {}
    shape = fleet.drives.rate_shape
    for number in range(len(fleet.drives.model_shares)):
        firmwares = tuple(f"F{number:02}{letter}" for letter in "ABCD"[: rng.choice((1, 2, 2, 3, 3, 4))])
        models[f"MODEL-{number:02}"] = firmwares
        for firmware in firmwares:
            fleet.frailty[f"MODEL-{number:02}", firmware] = rng.gammavariate(shape, 1 / shape)
    return models


def _delivery(number: int, models: dict[str, tuple[str, ...]], fleet: SimulatedFleet, rng: random.Random) -> _Delivery:
    first, second = rng.choices(list(models), weights=fleet.drives.model_shares, k=2)
    return _Delivery(
        number, (first, second), (rng.choice(models[first]), rng.choice(models[second])), rng.randrange(2_000, 45_000)
    )


def _host(
    number: int,
    rack: int,
    shape: FleetShape,
    delivery: _Delivery,
    models: dict[str, tuple[str, ...]],
    rng: random.Random,
) -> HostView:
    row = rack // shape.racks_a_row
    site = row // shape.rows_a_site
    labels = (
        ("delivery", f"d{delivery.number}"),
        ("power_feed", f"feed{rack // _RACKS_A_FEED}"),
        ("rack", f"r{rack}"),
        ("role", rng.choice(ROLES)),
        ("row", f"row{row}"),
        ("site", f"site{site}"),
    )
    agent_id = f"agent-{number:06}"
    pick = 0 if rng.random() < 0.7 else 1
    model = delivery.models[pick]
    firmware = delivery.firmwares[pick] if rng.random() < 0.6 else rng.choice(models[model])
    adapters = _ADAPTERS[rng.choices(range(4), weights=(4, 3, 2, 3))[0]]
    devices = []
    at = 0
    for adapter, count in enumerate(adapters):
        for _ in range(count):
            disk = (model, firmware)
            if rng.random() < _REPLACED:
                other = rng.choice(list(models))
                disk = (other, rng.choice(models[other]))
            shelf = f"{agent_id} expander-{at // 6}:0" if len(adapters) == 1 else ""
            hours = delivery.hours + rng.randrange(200)
            devices.append(
                DeviceView(
                    f"wwid:{number:06}{at:02}",
                    f"sd{chr(97 + at)}",
                    *disk,
                    f"0000:{adapter + 1:02x}:00.0",
                    shelf,
                    "",
                    hours,
                )
            )
            at += 1
    filesystems: dict[str, tuple[str, tuple[str, ...], str]] = {
        f"fs-{number:06}-{at:02}": ("xfs" if number % 3 else "ext4", (one.device_id,), "")
        for at, one in enumerate(devices)
    }
    kernel = rng.choices([name for name, _ in KERNELS], weights=[share for _, share in KERNELS])[0]
    return HostView(agent_id, f"host{number:06}", kernel, labels, tuple(devices), filesystems)


def history(
    fleet: SimulatedFleet, days: int, rates: dict[str, float], rng: random.Random
) -> Counter[tuple[str, tuple[str, str]]]:
    """Draw how many units of each group began to fail in so many days when nothing was shared."""
    counts: Counter[tuple[str, tuple[str, str]]] = Counter()
    hours = 24 * days
    for aspect, per_hour in rates.items():
        expected = per_hour * hours * len(fleet.views) * fleet.shape.disks_a_host
        for _ in range(_poisson(expected, rng)):
            view, at = frail_unit(fleet, rng)
            unit = view.devices[at].device_id
            counts.update((aspect, group) for group in view.unit_groups(0, unit))
            counts["", (aspect, "")] += 1
    return counts


def frail_unit(fleet: SimulatedFleet, rng: random.Random) -> tuple[HostView, int]:
    """Draw a disk, frail ones more often."""
    while True:
        view = rng.choice(fleet.views)
        at = rng.randrange(len(view.devices))
        one = view.devices[at]
        if rng.random() * 6 < fleet.frailty[one.model, one.firmware]:
            return view, at


def _poisson(mean: float, rng: random.Random) -> int:
    """Draw a Poisson count as the number of arrivals in a time."""
    count, spent = 0, rng.expovariate(1.0)
    while spent < mean:
        count += 1
        spent += rng.expovariate(1.0)
    return count
