"""A fault of a rack that is four fifths one model, most of which stands in that rack."""

from dataclasses import replace

from fsmend_collector.simulate.world import HOUR, MINUTE, START, World

FAMILY = "confounded"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    rack = world.rng.choice(world.fleet.values("rack"))
    hosts = []
    for at, view in enumerate(world.fleet.members("rack", rack)):
        rare = [replace(one, model="RARE-1", firmware="R1") for one in view.devices] if at % 5 else list(view.devices)
        hosts.append(replace(view, devices=tuple(rare)))
        world.views[view.agent_id] = hosts[-1]
    outside = world.rng.sample([one for one in world.fleet.views if ("rack", rack) not in one.labels], 8)
    for view in outside:
        world.views[view.agent_id] = replace(
            view, devices=tuple(replace(one, model="RARE-1", firmware="R1") for one in view.devices)
        )
    units = []
    for view in world.rng.sample(hosts, world.rng.randint(8, 20)):
        for at in world.rng.sample(range(len(view.devices)), 3):
            units.append(world.errors(view, at, "io", START + HOUR + world.rng.randrange(10 * MINUTE)))  # noqa: PERF401  drawn in turn
    world.cause("rack", rack, units, aspect="media")
