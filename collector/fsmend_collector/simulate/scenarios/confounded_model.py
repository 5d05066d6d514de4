"""A model fails that stands mostly in one rack."""

from dataclasses import replace

from fsmend_collector.simulate.world import DAY, START, World

FAMILY = "confounded"


def build(world: World) -> None:
    """Make it happen."""
    world.background(3)
    rack = world.rng.choice(world.fleet.values("rack"))
    inside = world.rng.sample(world.fleet.members("rack", rack), 10)
    outside = world.rng.sample([one for one in world.fleet.views if ("rack", rack) not in one.labels], 8)
    hosts = []
    for view in (*inside, *outside):
        hosts.append(replace(view, devices=tuple(replace(one, model="RARE-2", firmware="R1") for one in view.devices)))
        world.views[view.agent_id] = hosts[-1]
    units = []
    for view in hosts:
        for at in world.rng.sample(range(len(view.devices)), world.rng.randint(1, 3)):
            units.append(world.errors(view, at, "media", START + DAY + world.rng.randrange(DAY)))  # noqa: PERF401  drawn in turn
    same = frozenset({("model+firmware", "RARE-2 R1")})
    world.cause("model", "RARE-2", units, same=same, window_seconds=86_400, aspect="media")
