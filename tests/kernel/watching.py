"""Run real sources over real filesystems and collect what they say."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fsmend_agent import filesystems
from fsmend_agent.config import SourcesConfig
from fsmend_agent.devices import DeviceTable
from fsmend_agent.event import Clock
from fsmend_agent.sources import Watch

QUICK = SourcesConfig(
    ext4_stats_interval_seconds=0.3, btrfs_stats_interval_seconds=0.3, xfs_health_interval_seconds=0.3
)


@dataclass
class Seen:
    """What the sources sent, of the filesystems and devices of one test only: others run tests at the same time."""

    uuid: str = ""
    device: str = ""
    everything: list = field(default_factory=list)
    gaps: list = field(default_factory=list)
    sources: list = field(default_factory=list)
    table: object = None
    watch: object = None
    forward: object = field(default=lambda _event: None)

    def emit(self, event):
        self.everything.append(event)
        self.forward(event)
        for source in self.sources:
            if source.name != event.source:
                source.poke(event.filesystem.uuid)

    def of(self, source, **wanted):
        return [
            event
            for event in self.everything
            if event.source == source
            and (event.filesystem.uuid == self.uuid or (self.device and event.device.name == self.device))
            and all(getattr(event, name) == value for name, value in wanted.items())
        ]

    async def until(self, condition, seconds=10.0):
        """Wait for the first true answer of `condition`, without holding the sources."""
        async with asyncio.timeout(seconds):
            while not (answer := condition()):  # noqa: ASYNC110  anything may be waited for
                await asyncio.sleep(0.01)
        return answer


@asynccontextmanager
async def watching(*kinds, config=QUICK):
    """Run sources over the real mount table until the block ends; fails when one of them broke."""
    seen, table = Seen(), filesystems.FilesystemTable(filesystems.read_mounted())
    watch = Watch(config, Clock(), table, DeviceTable(), seen.emit, seen.gaps.append)
    sources = [kind(watch) for kind in kinds]
    seen.sources.extend(sources)
    seen.table, seen.watch = table, watch
    tasks = [asyncio.create_task(source.run()) for source in sources]
    tasks.append(asyncio.create_task(filesystems.follow(table)))
    await asyncio.sleep(0.3)
    try:
        yield seen
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def mounted_table(seen, filesystem):
    """Wait until the table knows a filesystem that was just mounted; note its UUID and first device."""
    mount_point = str(filesystem.mount_point).encode()
    found = await seen.until(lambda: seen.table.by_mount_point(mount_point))
    seen.uuid, seen.device = found.uuid, filesystem.loop.name
    await asyncio.sleep(0.05)
    return found
