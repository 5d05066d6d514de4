"""A kernel corrupts filesystems: one signature, mixed hardware, one release."""

from fsmend_collector.diagnosis.groups.dimensions import PAIR
from fsmend_collector.simulate.world import DAY, START, World

FAMILY = "kernel"
_FUNCTION, _LINE = "xfs_buf_ioend_handle_error", 1307


def build(world: World) -> None:
    """Make it happen."""
    world.background(3)
    kernel = world.rng.choice([one for one in world.fleet.values("kernel") if one != "6.1.0-37"])
    hosts = world.fleet.members("kernel", kernel)
    units = []
    for view in world.rng.sample(hosts, min(len(hosts), world.rng.randint(20, 50))):
        at = world.rng.randrange(len(view.devices))
        time_ns = START + DAY // 2 + world.rng.randrange(DAY)
        units.append(world.error(view, at, "corrupt", time_ns, function=_FUNCTION, line=_LINE))
    same = frozenset({("signature+kernel", f"{_FUNCTION}:{_LINE}{PAIR}{kernel}")})
    world.cause("kernel", kernel, units, same=same, window_seconds=86_400, aspect="corrupt")
