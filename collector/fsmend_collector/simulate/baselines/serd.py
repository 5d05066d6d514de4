"""Soft-error-rate discrimination for each device alone, as a local fault manager does it."""

from fsmend_collector.diagnosis.classing import class_of
from fsmend_collector.diagnosis.config import DEFAULT_RULES
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups.aspects import aspect_of
from fsmend_collector.diagnosis.serd import SerdWindow
from fsmend_collector.simulate.run import Reported
from fsmend_collector.simulate.world import Unit, World

_LATENESS_SECONDS = 86_400


def report(world: World) -> list[Reported]:
    """Return one incident for each unit that crosses its rate; nothing is shared."""
    windows: dict[tuple[Unit, str], SerdWindow] = {}
    found: dict[Unit, Reported] = {}
    for arrival_ns, _, what in sorted(world.happenings, key=lambda row: row[:2]):
        if not isinstance(what, Evidence) or not aspect_of(what):
            continue
        name = what.device_id or what.filesystem_uuid
        unit, fault_class = (what.agent_id, name), class_of(what)
        rule = DEFAULT_RULES.get(fault_class)
        crossed = rule is None
        if rule is not None:
            window = windows.setdefault((unit, fault_class), SerdWindow(rule, _LATENESS_SECONDS))
            crossed = window.add(what.time_ns, what.location, what.count)
        if crossed and unit not in found:
            found[unit] = Reported(f"{unit}", fault_class, "device", name, frozenset({unit}), (), arrival_ns)
    return list(found.values())
