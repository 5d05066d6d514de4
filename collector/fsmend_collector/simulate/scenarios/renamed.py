"""Names change after a reboot: sdb is another drive now, errors follow the drive."""

from dataclasses import replace

from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    view = world.rng.choice(world.fleet.views)
    unit = world.errors(view, 1, "media", START + HOUR, count=10)
    names = [one.name for one in view.devices]
    turned = replace(
        view,
        devices=tuple(replace(one, name=name) for one, name in zip(view.devices, names[1:] + names[:1], strict=True)),
    )
    world.at(START + 2 * HOUR, turned)
    world.errors(turned, 1, "media", START + 3 * HOUR, count=10)
    world.cause("device", unit[1], [unit])
