"""The group scan: marks in, verdicts out."""

from collections import defaultdict
from dataclasses import replace

from fsmend_collector.diagnosis.config import SECONDS_NS
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import bounds
from fsmend_collector.diagnosis.groups.absorbing import Absorbing
from fsmend_collector.diagnosis.groups.aspects import ASPECTS, DEVICE, FILESYSTEM, HOST, aspect_of
from fsmend_collector.diagnosis.groups.cells import Cells
from fsmend_collector.diagnosis.groups.changes import Change, expected_by
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.crossing import Crossings
from fsmend_collector.diagnosis.groups.dimensions import FLEET_VALUE, dimension
from fsmend_collector.diagnosis.groups.gathering import gather
from fsmend_collector.diagnosis.groups.marks import Journal, Mark, Sightings, UnitKey
from fsmend_collector.diagnosis.groups.population import Population
from fsmend_collector.diagnosis.groups.rates import AspectGroup, Rates
from fsmend_collector.diagnosis.groups.settings import DAY_NS, HOUR_NS, ScanSettings
from fsmend_collector.diagnosis.groups.signatures import SIGNED, signature_of
from fsmend_collector.diagnosis.groups.solving import Solving
from fsmend_collector.diagnosis.groups.verdict import Verdict
from fsmend_collector.diagnosis.groups.views import Group, HostView

_FLEET: Group = ("fleet", FLEET_VALUE)
_Owned = tuple[frozenset[str], frozenset[str], frozenset[str]]
"""Of each kind, the units of a host."""
_NOTHING: _Owned = (frozenset(), frozenset(), frozenset())


class GroupScan:
    """Find what failing units have in common. Memory follows the units that fail and the groups, never the fleet."""

    def __init__(self, population: Population, settings: ScanSettings | None = None) -> None:
        self.settings = settings or ScanSettings()
        self.population = population
        self._quiet_ns = self.settings.quiet_seconds * SECONDS_NS // HOUR_NS * HOUR_NS
        self.rates = Rates(self.settings)
        self.counting = Counting(self.settings, population, self.rates)
        self.changes: list[Change] = []
        self.swallowed = self.disowned = 0
        self.journal: Journal | None = None
        self._views: dict[str, HostView] = {}
        self._sightings: dict[UnitKey, Sightings] = {}
        self._by_day: defaultdict[int, dict[Mark, None]] = defaultdict(dict)
        self._owned: dict[str, _Owned] = {}
        self._cells = Cells(self.counting)
        self._crossings = Crossings(self.settings, self.counting)
        self._series = self._crossings.series
        self._solving = Solving(self.counting, self._series)
        self._absorbing = Absorbing()
        self._verdicts: dict[str, Verdict] = {}
        self._members: dict[tuple[str, str], str] = {}
        self._expired_day = 0
        self._learn_day = 0

    def wants_view(self, agent_id: str) -> bool:
        """Say whether the view of a host should be given before a finding of it."""
        return agent_id not in self._views

    def learn_view(self, view: HostView) -> None:
        """Take the view of a host that has a fault. Disks that left the inventory stay known: they may be the fault."""
        known = self._views.get(view.agent_id)
        if known is not None:
            present = {one.device_id for one in view.devices}
            gone = tuple(one for one in known.devices if one.device_id not in present)
            view = replace(view, devices=view.devices + gone)
        self._views[view.agent_id] = view
        if self.journal is not None:
            self.journal.views[view.agent_id] = view
        devices = frozenset(one.device_id for one in view.devices)
        self._owned[view.agent_id] = (devices, frozenset(view.filesystems), frozenset())
        self._cells.forget(view.agent_id)
        self.counting.learn(view)

    def observe(self, evidence: Evidence) -> None:
        """Take a finding."""
        aspect = aspect_of(evidence)
        if not aspect:
            return
        time_ns = evidence.time_ns
        if time_ns < bounds.PLAUSIBLE_NS or time_ns > evidence.received_ns + bounds.FUTURE_NS:
            time_ns = evidence.received_ns
        kind, unit = self._unit(evidence, aspect)
        self.disowned += not self._owns(evidence.agent_id, kind, unit)
        signature = signature_of(evidence) if aspect == SIGNED else ""
        self.sight((aspect, kind, evidence.agent_id, unit), time_ns, evidence.event_id, signature)

    def observe_silence(self, agent_id: str, since_ns: int) -> None:
        """Say that an agent is away since a time, for longer than a reboot takes."""
        self.sight(("silent", HOST, agent_id, agent_id), since_ns, f"silent:{agent_id}:{since_ns}")

    def _owns(self, agent_id: str, kind: int, unit: str) -> bool:
        """Say whether the unit is in the host's inventory: of others it speaks against its own host only."""
        owned = self._owned.get(agent_id, _NOTHING)[kind]
        return not owned or unit in owned

    def _unit(self, evidence: Evidence, aspect: str) -> tuple[int, str]:
        """Name the unit that a finding is counted for: what fails is the disk, where it is known."""
        if ASPECTS[aspect].kind == FILESYSTEM:
            return FILESYSTEM, evidence.filesystem_uuid or evidence.device_id or evidence.device_name
        if evidence.device_id:
            return DEVICE, evidence.device_id
        view = self._views.get(evidence.agent_id)
        if view is None:
            return DEVICE, evidence.device_name or evidence.filesystem_uuid
        below = view.filesystems.get(evidence.filesystem_uuid, ("", (), ""))
        if len(below[1]) == 1 and not below[2]:
            return DEVICE, below[1][0]
        named = [one.device_id for one in view.devices if one.name and one.name == evidence.device_name]
        if named:
            return DEVICE, named[0]
        return FILESYSTEM, evidence.filesystem_uuid or evidence.device_name

    def sight(self, key: UnitKey, time_ns: int, event_id: str, signature: str = "") -> None:
        """Take an error of a unit, and the signature of a filesystem's."""
        sightings = self._sightings.get(key)
        if sightings is None:
            view = self._views.get(key[2])
            if view is not None:  # one name for all that is kept of a host
                key = (key[0], key[1], view.agent_id, key[3])
            sightings = self._sightings[key] = Sightings(self._quiet_ns)
        elif sightings.repeats(time_ns, signature):
            return
        hour, moved = sightings.add(time_ns, event_id)
        signed = bool(signature) and hour.sign(signature)
        if signed and hour.mark is not None:
            self._crossings.touch(hour.mark)
        if self.journal is not None and (moved or signed):
            self.journal.note(key, hour.time_ns, hour.evidence, hour.signature)
        if not moved:
            return
        gone, come = sightings.update(key)
        for mark in gone:
            self._remove(mark)
        for mark in come:
            self._insert(mark)

    def _insert(self, mark: Mark) -> None:
        _, kind, agent_id, unit = mark.key
        view = self._views.get(agent_id) or HostView(agent_id)
        own = self._owns(agent_id, kind, unit)
        mark.groups, mark.keys = self._cells.groups(mark.aspect, view, kind, unit, own=own)
        if self.changes and expected_by(self.changes, mark) is not None:
            mark.groups, mark.keys = (), ()
            self.swallowed += 1
            return
        self._by_day[mark.time_ns // DAY_NS][mark] = None
        into = self._absorbing.into(mark)
        self._crossings.insert(mark, explained=bool(into))
        if into:
            self._members.setdefault(mark.unit, into)
        self._solving.came(mark, absorbed=bool(into))

    def _remove(self, mark: Mark) -> None:
        if mark.groups:
            self._by_day[mark.time_ns // DAY_NS].pop(mark, None)
            self._crossings.remove(mark)
            self._solving.went(mark)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Return the shared causes as they were at the last tick, by incident id."""
        return self._verdicts

    def member_of(self, agent_id: str, unit: str) -> str:
        """Return the id of the shared cause that explains a unit's failing; empty: none does."""
        return self._members.get((agent_id, unit), "")

    def neighbours(self, agent_id: str, unit: str) -> list[tuple[Group, int]]:
        """Return the groups in which other units began to fail within a day of this one, too few for a verdict."""
        found: dict[Group, int] = {}
        for aspect, row in ASPECTS.items():
            sightings = self._sightings.get((aspect, row.kind, agent_id, unit))
            for mark in sightings.marks if sightings else ():
                for group in mark.groups:
                    expected = self.counting.expect(aspect, group, mark.time_ns)
                    if expected.per_hour * self.counting.units(group, row.kind) * 48 >= 0.1:
                        continue
                    near = self._series[aspect, group].between(mark.time_ns - DAY_NS, mark.time_ns + DAY_NS)
                    others = len({one.key[1:] for one in near}) - 1
                    if others:
                        found[group] = max(found.get(group, 0), others)
        return sorted(found.items(), key=lambda row: (dimension(row[0][0]).rank, row[0]))

    def tick(self, now_ns: int, *, rebuilding: bool = False, all_of_it: bool = False) -> list[tuple[Verdict, str]]:
        """Look at what changed; return the verdicts that are new, changed, or gone (explained otherwise now).

        Args:
            now_ns: collector's wall clock.
            rebuilding: the findings come from the store.
            all_of_it: also what a storm would put off.
        """
        # While rebuilding, time learns nothing: it must first be known what explains the findings.
        told = {one.group for one in self._verdicts.values()}

        def look(aspect: str = "") -> list[tuple[AspectGroup, bool]]:
            if aspect:
                self._crossings.admit(aspect)
            changed = self._crossings.look()
            # A verdict may absorb what trickles into its group.
            self._solving.note((key, crosses or key[1] in told) for key, crosses in changed)
            return changed

        busy = {key[0] for key, _ in look()}
        if not rebuilding and now_ns // DAY_NS != self._expired_day:
            self._housekeep(now_ns)
        if not self._solving.solve(busy, now_ns, look, all_of_it=all_of_it):
            return []
        return self._tell(gather(self._solving.explanations, self._series, self.changes, self.counting))

    def settle(self, now_ns: int, *, rebuilding: bool = False) -> list[tuple[Verdict, str]]:
        """Do all work that waits, as `tick` does once marks stop coming."""
        return self.tick(now_ns, rebuilding=rebuilding) + self.tick(now_ns, rebuilding=rebuilding, all_of_it=True)

    def _tell(self, verdicts: list[Verdict]) -> list[tuple[Verdict, str]]:
        now = {one.incident_id: one for one in verdicts}
        changes = [
            (one, "changed" if one.incident_id in self._verdicts else "opened")
            for one in verdicts
            if one.incident_id not in self._verdicts or self._verdicts[one.incident_id].face != one.face
        ]
        changes += [(one, "gone") for key, one in self._verdicts.items() if key not in now]
        self._verdicts = now
        self._members = {mark.unit: key for key, one in now.items() for mark in one.marks}
        self._absorbing = Absorbing(verdicts)
        return changes

    def _housekeep(self, now_ns: int) -> None:
        self._expired_day = now_ns // DAY_NS
        self._learn(now_ns)
        self._expire(now_ns - self.settings.horizon_ns)

    def _learn(self, now_ns: int) -> None:
        """Learn the days of which nothing can come late any more."""
        newest = (now_ns - self.settings.lateness_seconds * SECONDS_NS) // DAY_NS - 1
        if not self._learn_day:
            self._learn_day = self.rates.learnt_through + 1 if self.rates.days else min([newest + 1, *self._by_day])
        units = self.population.sizes.get(_FLEET, [0, 0, 0])
        explained = {mark for one in self._verdicts.values() for mark in one.marks}
        while self._learn_day <= newest:
            marks = [one for one in self._by_day.get(self._learn_day, ()) if one not in explained]
            seen = ((one.aspect, one.groups) for one in marks)
            self.rates.learn(self._learn_day, (units[0], units[1], units[2]), seen)
            self._learn_day += 1

    def _expire(self, before_ns: int) -> None:
        """Forget marks before a time that no verdict holds, and hosts without marks."""
        held = {mark for one in self._verdicts.values() for mark in one.marks}
        hosts = {mark.agent_id for mark in held}
        for key, sightings in list(self._sightings.items()):
            for mark in sightings.forget(before_ns):
                if mark not in held:
                    self._crossings.drop(mark)
            if sightings.hours:
                hosts.add(key[2])
            else:
                del self._sightings[key]
        for day in [day for day in self._by_day if (day + 1) * DAY_NS < before_ns]:
            del self._by_day[day]
        for agent_id in self._views.keys() - hosts:
            del self._views[agent_id], self._owned[agent_id]
            self.counting.forget(agent_id)
            self._cells.forget(agent_id)
        for group in self._crossings.forget_empty():
            self._solving.forget(group)

    def close(self, incident_id: str) -> Verdict | None:
        """Take a verdict out that is resolved, with its marks; return it."""
        verdict = self._verdicts.pop(incident_id, None)
        if verdict is None:
            return None
        self._solving.close(verdict.marks)
        for mark in sorted(verdict.marks, key=lambda one: one.identity):
            self._crossings.drop(mark)
            self._by_day[mark.time_ns // DAY_NS].pop(mark, None)
            mark.groups, mark.keys = (), ()
        self._members = {unit: key for unit, key in self._members.items() if key != incident_id}
        return verdict
