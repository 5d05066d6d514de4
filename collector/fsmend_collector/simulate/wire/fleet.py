"""All agents of a simulated fleet in this process: they connect, and what happens to the world happens to them."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import HostView
from fsmend_collector.simulate.wire.agent import SimulatedAgent
from fsmend_collector.simulate.wire.channels import Identity
from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.timetable import Timetable
from fsmend_collector.simulate.world import Presence, Restart, World

# A collector admits 100 sessions a second by default, and a handshake costs both sides some milliseconds.
_CONNECT_PER_SECOND = 80
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_BREATHE_EVERY = 100


class WireFleet:
    """The agents of one world.

    Attributes:
        agents: by the id that the world knows them by.
        told: happenings that were passed on.
        vanished: when hosts that are away went, by the world's ids.
    """

    def __init__(self, world: World, identities: dict[str, Identity], address: str) -> None:
        self.world = world
        self.told = 0
        self.vanished: dict[str, int] = {}
        self.agents = {
            view.agent_id: SimulatedAgent(
                world.views.get(view.agent_id, view), identities[view.host_name], address, self._changed
            )
            for view in world.fleet.views
        }
        self._tasks: list[asyncio.Task[None]] = []
        self._stirred = asyncio.Event()

    @property
    def names(self) -> dict[str, str]:
        """Return the world's id of each agent by the id that the collector gave it."""
        return {one.identity.name: agent_id for agent_id, one in self.agents.items()}

    def _changed(self) -> None:
        self._stirred.set()

    @property
    def ready(self) -> int:
        """Return how many agents are connected and have nothing left to tell."""
        return sum(one.connected and one.idle for one in self.agents.values())

    async def connect(self, progress: Callable[[int], None]) -> None:
        """Let all agents connect and tell their inventories; `progress` is called with how many have.

        Raises:
            SimulationRefused: the collector refuses one, or they do not all come through in time.
        """
        starting = asyncio.create_task(self._start())
        deadline = time.monotonic() + _PATIENCE_SECONDS + 5 * len(self.agents) / _CONNECT_PER_SECOND
        try:
            while (ready := self.ready) < len(self.agents):
                progress(ready)
                refused = next((one.refused for one in self.agents.values() if one.refused), "")
                if refused or time.monotonic() > deadline:
                    raise SimulationRefused(refused or f"only {ready} of {len(self.agents)} agents came through")
                await asyncio.sleep(_LOOK_SECONDS)
            progress(ready)
        finally:
            starting.cancel()

    async def _start(self) -> None:
        for one in self.agents.values():
            self._tasks.append(asyncio.create_task(one.run()))
            await asyncio.sleep(1 / _CONNECT_PER_SECOND)

    async def play(self, timetable: Timetable, restart: Callable[[], Awaitable[None]]) -> None:
        """Let everything happen at its time. What was before the start is told at once, dated as it happened."""
        away: dict[str, bool] = {}
        for when, _, what in sorted(self.world.happenings, key=lambda row: row[:2]):
            if when < timetable.from_ns and isinstance(what, Presence):
                away[what.agent_id] = not what.connected
                continue
            for agent_id in [one for one, gone in away.items() if gone]:
                self._lose_power(agent_id)
            away.clear()
            seconds = timetable.in_seconds(when, time.time_ns())
            if seconds > 0:
                await asyncio.sleep(seconds)
            elif self.told % _BREATHE_EVERY == 0:
                await asyncio.sleep(0)
            await self._pass_on(what, timetable, restart)
            self.told += 1

    async def _pass_on(self, what: object, timetable: Timetable, restart: Callable[[], Awaitable[None]]) -> None:
        if isinstance(what, Evidence):
            self.agents[what.agent_id].tell(what, timetable.wall_ns(what.time_ns))
        elif isinstance(what, Presence):
            if what.connected:
                self.vanished.pop(what.agent_id, None)
                self.agents[what.agent_id].boot(time.time_ns())
            else:
                self._lose_power(what.agent_id)
        elif isinstance(what, HostView):
            self.agents[what.agent_id].view = what
            self.agents[what.agent_id].tell_inventory(time.time_ns())
        elif isinstance(what, Restart):
            await restart()

    def _lose_power(self, agent_id: str) -> None:
        self.vanished[agent_id] = time.time_ns()
        self.agents[agent_id].lose_power()

    async def close(self) -> None:
        """End all agents."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A cancelled task holds its frames, they their calls, and those the connections, which would outlive us all.
        self._tasks.clear()
        gc.collect()
