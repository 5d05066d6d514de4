"""A drive is moved to another host and fails there too."""

from dataclasses import replace

from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    old, new = world.rng.sample(world.fleet.views, 2)
    disk = old.devices[2]
    first = world.error(old, 2, "lost", START + HOUR)
    slot = new.devices[0]
    moved = replace(disk, name="sdz", hba=slot.hba, enclosure=slot.enclosure)
    grown = replace(new, devices=(*new.devices, moved))
    world.views[new.agent_id] = grown
    world.at(START + HOUR, grown)
    second = world.errors(grown, len(new.devices), "media", START + 2 * HOUR, count=5)
    world.cause("device", disk.device_id, [first], optional=True)
    world.cause("device", disk.device_id, [second])
