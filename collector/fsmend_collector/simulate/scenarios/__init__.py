"""The scenarios, one module each. A module has `FAMILY` and `build(world)`; adding one touches nothing else."""

import importlib
import pkgutil
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from fsmend_collector.simulate.fleet import SimulatedFleet
from fsmend_collector.simulate.world import World


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        family: device, topology, target, model, kernel, environment, confounded, negative or safety.
        text: what happens.
    """

    name: str
    family: str
    text: str
    build: Callable[[World], None]

    def world(self, fleet: SimulatedFleet, seed: int) -> World:
        """Let it happen to a fleet."""
        world = World(fleet, self.name, random.Random(f"{self.name} {seed}"))  # noqa: S311  not a secret
        self.build(world)
        return world


@cache
def scenarios() -> dict[str, Scenario]:
    """Find all scenarios."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        text = (module.__doc__ or "").strip().splitlines()[0]
        found[info.name] = Scenario(info.name, module.FAMILY, text, module.build)
    return found
