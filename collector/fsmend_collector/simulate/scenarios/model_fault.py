"""A model fails under every firmware, over two weeks."""

from fsmend_collector.simulate.pick import model_of_many
from fsmend_collector.simulate.world import DAY, START, World

FAMILY = "model"


def build(world: World) -> None:
    """Make it happen; drives of the model that fail alike meanwhile are members: nobody could tell them apart."""
    world.background(14)
    model, disks = model_of_many(world, 1_000)
    units = []
    for view, at in world.rng.sample(disks, world.rng.randint(40, 80)):
        units.append(world.errors(view, at, "media", START + world.rng.randrange(13 * DAY)))
    world.slow_cause("model", model, units, window_seconds=1_209_600, aspect="media")
