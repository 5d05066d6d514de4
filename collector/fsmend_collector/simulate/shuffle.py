"""The same world as an unlucky collector learns it: late, out of order, twice, and with a restart in the middle."""

import random
from dataclasses import replace

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.simulate.run import Outcome
from fsmend_collector.simulate.world import DAY, HOUR, SECOND, START, Happening, Restart, World

_REPEATED = 0.3
_LATE = 0.5
_SLIGHTLY_LATE_NS = 1_800 * SECOND
_SET_CLOCK_NS = 946_684_800 * SECOND  # 2000-01-01
AFTER_NS = DAY + HOUR
"""After so long nothing of a world comes any more, whatever its order."""


def let_settle(world: World) -> World:
    """Let a world go on until nothing can come late any more."""
    world.end_ns += AFTER_NS
    return world


def shuffle(world: World, seed: int) -> World:
    """Put a world's findings in another order, each up to 24 h late, repeat some, and restart the collector once.

    A quarter is in time, a quarter up to half an hour late, half up to a day. Presence and inventories keep their
    times: the first is the collector's own observation, the second always the newest.
    """
    rng = random.Random(f"shuffle {world.name} {seed}")  # noqa: S311  not a secret
    rows, end_ns = list(world.happenings), world.end_ns
    world.happenings.clear()
    for arrival_ns, _, what in rows:
        if not isinstance(what, Evidence):
            world.at(arrival_ns, what)
            continue
        for _ in range(1 + (rng.random() < _REPEATED)):
            late_ns = arrival_ns + _lateness(rng)
            world.at(late_ns, _received(what, late_ns))
    world.at(START + int(rng.uniform(0.1, 0.9) * (end_ns - START)), Restart())
    world.end_ns = end_ns
    return let_settle(world)


def _lateness(rng: random.Random) -> int:
    if rng.random() < _LATE:
        return rng.randrange(_SLIGHTLY_LATE_NS) if rng.random() < _LATE else 0
    return rng.randrange(DAY - SECOND)


def _received(what: Evidence, late_ns: int) -> Happening:
    """Date the receipt anew; where the clock was never set the receipt is all there is, so it stays what it was."""
    usable = _SET_CLOCK_NS < what.time_ns <= what.received_ns
    return replace(what, received_ns=late_ns) if usable else what


def incident_set(outcome: Outcome) -> set[object]:
    """Return what must be identical: shared causes and incidents of single units, with their members."""
    shared: set[object] = {(one.incident_id, one.code, one.dimension, one.value, one.members) for one in outcome.shared}
    return shared | {(one.incident_id, one.code, one.members) for one in outcome.units}
