"""A remote target goes away: the hosts that use it fail on it, whatever else they are."""

from dataclasses import replace

from fsmend_collector.simulate.world import HOUR, MINUTE, START, Unit, World

FAMILY = "target"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    users = world.rng.sample(world.fleet.views, world.rng.randint(6, 60))
    units: list[Unit] = []
    views = []
    for view in users:
        uuid = f"nfs-{view.agent_id}"
        views.append(replace(view, filesystems={**view.filesystems, uuid: ("nfs", (), "filer7")}))
        world.views[view.agent_id] = views[-1]
    for view in views:
        uuid = f"nfs-{view.agent_id}"
        time_ns = START + HOUR + world.rng.randrange(2 * MINUTE)
        for n in range(4):
            world.error(
                view, 0, "fs_io", time_ns + n * MINUTE // 2,
                filesystem_uuid=uuid, filesystem_type="nfs", filesystem_device="filer7:/export",
                device_id="", device_name="",
            )  # fmt: skip
        units.append((view.agent_id, uuid))
    world.cause("target", "filer7", units, aspect="media")
