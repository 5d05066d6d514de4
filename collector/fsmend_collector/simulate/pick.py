"""Pick disks that have something in common, from a fleet."""

from fsmend_collector.diagnosis.groups import HostView
from fsmend_collector.simulate.world import World

Disk = tuple[HostView, int]


def firmware(world: World, least: int, most: int) -> tuple[tuple[str, str], list[Disk]]:
    """Pick a firmware of a model that has another one too, with so many disks."""
    groups: dict[tuple[str, str], list[Disk]] = {}
    for view in world.fleet.views:
        for at, one in enumerate(view.devices):
            groups.setdefault((one.model, one.firmware), []).append((view, at))
    sizes: dict[str, int] = {}
    for (model, _), disks in groups.items():
        sizes[model] = sizes.get(model, 0) + len(disks)
    fits = [
        group
        for group, disks in groups.items()
        if least <= len(disks) <= most
        and len(disks) <= 0.7 * sizes[group[0]]
        and len({one.agent_id for one, _ in disks}) > 10
    ]
    chosen = world.rng.choice(sorted(fits))
    return chosen, groups[chosen]


def model_of_many(world: World, least: int) -> tuple[str, list[Disk]]:
    """Pick a model with several firmwares and so many disks; of each firmware many."""
    groups: dict[str, list[Disk]] = {}
    versions: dict[str, dict[str, int]] = {}
    for view in world.fleet.views:
        for at, one in enumerate(view.devices):
            groups.setdefault(one.model, []).append((view, at))
            counts = versions.setdefault(one.model, {})
            counts[one.firmware] = counts.get(one.firmware, 0) + 1
    fits = [
        model
        for model, disks in groups.items()
        if len(disks) >= least and max(versions[model].values()) < 0.75 * len(disks)
    ]
    chosen = world.rng.choice(sorted(fits) or sorted(groups))
    return chosen, groups[chosen]


def model_on_kernel(world: World, least: int) -> tuple[tuple[str, str], list[Disk]]:
    """Pick a model under a kernel release that is not the usual one."""
    groups: dict[tuple[str, str], list[Disk]] = {}
    for view in world.fleet.views:
        for at, one in enumerate(view.devices):
            groups.setdefault((one.model, view.kernel), []).append((view, at))
    fits = [
        group
        for group, disks in groups.items()
        if len(disks) >= least and group[1] != "6.1.0-37" and len({one.agent_id for one, _ in disks}) >= 25
    ]
    chosen = world.rng.choice(sorted(fits))
    return chosen, groups[chosen]
