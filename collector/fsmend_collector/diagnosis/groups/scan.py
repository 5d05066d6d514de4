"""The group scan: marks in, verdicts out."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain

from fsmend_collector.diagnosis.config import SECONDS_NS
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import bounds
from fsmend_collector.diagnosis.groups.aspects import ASPECTS, DEVICE, FILESYSTEM, HOST, aspect_of
from fsmend_collector.diagnosis.groups.candidate import Candidate
from fsmend_collector.diagnosis.groups.changes import Change, expected_by
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.dimensions import FLEET_VALUE, dimension
from fsmend_collector.diagnosis.groups.drift import Drift, bound
from fsmend_collector.diagnosis.groups.explain import Explanation, explain
from fsmend_collector.diagnosis.groups.gathering import gather
from fsmend_collector.diagnosis.groups.marks import Journal, Mark, Sightings, UnitKey
from fsmend_collector.diagnosis.groups.population import Population
from fsmend_collector.diagnosis.groups.rates import AspectGroup, Rates
from fsmend_collector.diagnosis.groups.series import Interval, Series
from fsmend_collector.diagnosis.groups.settings import DAY_NS, HOUR_NS, ScanSettings
from fsmend_collector.diagnosis.groups.verdict import Verdict
from fsmend_collector.diagnosis.groups.views import Group, HostView

_FLEET: Group = ("fleet", FLEET_VALUE)


class GroupScan:
    """Find what failing units have in common. Memory follows the units that fail and the groups, never the fleet."""

    def __init__(self, population: Population, settings: ScanSettings | None = None) -> None:
        self.settings = settings or ScanSettings()
        self.population = population
        self.rates = Rates(self.settings)
        self.counting = Counting(self.settings, population, self.rates)
        self.changes: list[Change] = []
        self.swallowed = self.disowned = 0
        self.journal: Journal | None = None
        self._views: dict[str, HostView] = {}
        self._sightings: dict[UnitKey, Sightings] = {}
        self._series: dict[AspectGroup, Series] = {}
        self._drift: dict[AspectGroup, Drift] = {}
        self._by_day: defaultdict[int, dict[Mark, None]] = defaultdict(dict)
        self._dirty: dict[AspectGroup, None] = {}
        self._cache: dict[AspectGroup, list[Candidate]] = {}
        self._parents: dict[tuple[str, Group, int, int], frozenset[Mark]] = {}
        self._owned: dict[tuple[str, int], frozenset[str]] = {}
        self._pending: dict[AspectGroup, None] = {}
        self._new_marks = self._solved_marks = self._solved_ns = 0
        self._explanations: list[Explanation] = []
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
        self._owned[view.agent_id, DEVICE] = frozenset(one.device_id for one in view.devices)
        self._owned[view.agent_id, FILESYSTEM] = frozenset(view.filesystems)
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
        self.sight((aspect, kind, evidence.agent_id, unit), time_ns, evidence.event_id)

    def observe_silence(self, agent_id: str, since_ns: int) -> None:
        """Say that an agent is away since a time, for longer than a reboot takes."""
        self.sight(("silent", HOST, agent_id, agent_id), since_ns, f"silent:{agent_id}:{since_ns}")

    def _owns(self, agent_id: str, kind: int, unit: str) -> bool:
        """Say whether the unit is in the host's inventory: of others it speaks against its own host only."""
        owned = self._owned.get((agent_id, kind))
        return not owned or unit in owned

    def _unit(self, evidence: Evidence, aspect: str) -> tuple[int, str]:
        """Name the unit that a finding is counted for: what fails is the disk, where it is known."""
        view = self._views.get(evidence.agent_id)
        if ASPECTS[aspect].kind == FILESYSTEM:
            return FILESYSTEM, evidence.filesystem_uuid or evidence.device_id or evidence.device_name
        if evidence.device_id or view is None:
            return DEVICE, evidence.device_id or evidence.device_name or evidence.filesystem_uuid
        below = view.filesystems.get(evidence.filesystem_uuid, ("", (), ""))
        if len(below[1]) == 1 and not below[2]:
            return DEVICE, below[1][0]
        named = [one.device_id for one in view.devices if one.name and one.name == evidence.device_name]
        if named:
            return DEVICE, named[0]
        return FILESYSTEM, evidence.filesystem_uuid or evidence.device_name

    def sight(self, key: UnitKey, time_ns: int, event_id: str) -> None:
        """Take an error of a unit."""
        sightings = self._sightings.get(key)
        if sightings is None:
            sightings = self._sightings[key] = Sightings(self.settings.quiet_seconds * SECONDS_NS // HOUR_NS)
        if not sightings.add(time_ns, event_id):
            return
        if self.journal is not None:
            self.journal.note(key, time_ns, event_id)
        gone, come = sightings.update(key)
        for mark in gone:
            self._remove(mark)
        for mark in come:
            self._insert(mark)

    def _insert(self, mark: Mark) -> None:
        _, kind, agent_id, unit = mark.key
        view = self._views.get(agent_id) or HostView(agent_id)
        owns = self._owns(agent_id, kind, unit)
        mark.groups = tuple(self._worth(view.unit_groups(kind, unit) if owns else [("host", agent_id)]))
        if expected_by(self.changes, mark) is not None:
            mark.groups = ()
            self.swallowed += 1
            return
        self._by_day[mark.time_ns // DAY_NS][mark] = None
        self._new_marks += 1
        for group in mark.groups:
            series = self._series.get((mark.aspect, group))
            if series is None:
                series = self._series[mark.aspect, group] = Series(wide=not dimension(group[0]).local)
            series.insert(mark)
            self._dirty[mark.aspect, group] = None
            drift = self._drift.get((mark.aspect, group))
            if drift is not None and mark.time_ns < drift.at_ns:
                del self._drift[mark.aspect, group]  # a late one: the sum is taken anew

    def _worth(self, groups: Iterable[Group]) -> list[Group]:
        return [one for one in groups if dimension(one[0]).local or self.population.worth_counting(one)]

    def _remove(self, mark: Mark) -> None:
        if not mark.groups:
            return
        self._by_day[mark.time_ns // DAY_NS].pop(mark, None)
        for group in mark.groups:
            self._series[mark.aspect, group].remove(mark)
            self._drift.pop((mark.aspect, group), None)
            self._dirty[mark.aspect, group] = None

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
            for mark in sightings.marks.values() if sightings else ():
                for group in mark.groups:
                    near = self._series[aspect, group].between(mark.time_ns - DAY_NS, mark.time_ns + DAY_NS)
                    others = len({one.key[1:] for one in near}) - 1
                    expected = self.counting.expect(aspect, group, mark.time_ns)
                    if others and expected.per_hour * self.counting.units(group, row.kind) * 48 < 0.1:
                        found[group] = max(found.get(group, 0), others)
        return sorted(found.items(), key=lambda row: (dimension(row[0][0]).rank, row[0]))

    def tick(self, now_ns: int, *, rebuilding: bool = False) -> list[tuple[Verdict, str]]:
        """Look at what changed; return the verdicts that are new, changed, or gone (explained otherwise now)."""
        # While rebuilding, time learns nothing: it must first be known what explains the findings.
        quiet = not self._dirty
        told = {one.group for one in self._verdicts.values()}
        for key in self._dirty:
            self._cache.pop(key, None)
            if self._evaluate(key) or key[1] in told:  # a verdict may absorb what trickles into its group
                self._pending[key] = None
        self._dirty.clear()
        if not rebuilding and now_ns // DAY_NS != self._expired_day:
            self._housekeep(now_ns)
        if not self._pending or not self._due(quiet, now_ns):
            return []
        return self._solve()

    def settle(self, now_ns: int, *, rebuilding: bool = False) -> list[tuple[Verdict, str]]:
        """Do all work that waits, as `tick` does once marks stop coming."""
        return self.tick(now_ns, rebuilding=rebuilding) + self.tick(now_ns, rebuilding=rebuilding)

    def _due(self, quiet: bool, now_ns: int) -> bool:
        """Say whether to look now: in a storm only when what crosses has grown, so that it costs as the marks do."""
        storm = self._solved_marks > bounds.STORM
        grown = self._new_marks >= self._solved_marks * (bounds.GROWTH_IN_STORMS if storm else bounds.GROWTH)
        pause_ns = bounds.SOLVE_AT_LEAST_NS * max(1, self._solved_marks // bounds.STORM)
        due = quiet or grown or now_ns - self._solved_ns >= pause_ns
        if due:
            self._new_marks, self._solved_ns = 0, now_ns
        return due

    def _evaluate(self, key: AspectGroup) -> bool:
        series = self._series.get(key)
        if series is None:
            return False
        aspect, group = key

        def threshold(seconds: int, end_ns: int) -> int:
            return self.counting.threshold(aspect, group, seconds, end_ns)

        crosses = series.evaluate(bounds.WINDOWS_LOCAL if not series.wide else self.settings.windows_seconds, threshold)
        if series.wide and len(series.entries) >= bounds.DRIFT_MARKS:
            crosses = self._evaluate_drift(key, series) or crosses
        return crosses

    def _evaluate_drift(self, key: AspectGroup, series: Series) -> bool:
        drift = self._drift.get(key)
        if drift is None:
            drift = self._drift[key] = Drift(self.settings.drift_ratio, self.settings.quiet_seconds * SECONDS_NS)
            series.crossings.pop(0, None)
        units = self.counting.units(key[1], ASPECTS[key[0]].kind)
        for entry in series.entries[drift.count :]:
            per_hour = self.counting.expect(*key, entry[0] - 30 * DAY_NS).per_hour * units
            height = drift.add(entry[0], entry[2].agent_id, per_hour)
            if height >= bound(per_hour, self.counting.ways(key[1]), self.settings.budget_per_day):
                intervals = series.crossings.setdefault(0, [])
                if intervals and intervals[-1].start_ns == drift.onset_ns:
                    intervals[-1].end_ns = entry[0]
                else:
                    intervals.append(Interval(drift.onset_ns, entry[0]))
        return 0 in series.crossings

    def _solve(self) -> list[tuple[Verdict, str]]:
        self._parents.clear()
        closure = self._closure(self._pending)
        self._pending.clear()
        candidates = [one for key in closure for one in self._candidates(key)]
        touched = frozenset(chain.from_iterable(one.marks for one in candidates))
        self._solved_marks = len(touched)
        kept = [
            one
            for one in self._explanations
            if (one.candidate.aspect, one.candidate.group) not in closure and one.marks.isdisjoint(touched)
        ]
        self._explanations = kept + (explain(candidates, self._within) if candidates else [])
        return self._tell(gather(self._explanations, self._series, self.changes, self.counting))

    def _tell(self, verdicts: list[Verdict]) -> list[tuple[Verdict, str]]:
        now = {one.incident_id: one for one in verdicts}
        changes = [
            (one, "changed" if one.incident_id in self._verdicts else "opened")
            for one in verdicts
            if one.incident_id not in self._verdicts or self._verdicts[one.incident_id].face != one.face
        ]
        changes += [(one, "gone") for key, one in self._verdicts.items() if key not in now]
        self._verdicts = now
        self._members = {(mark.key[2], mark.key[3]): key for key, one in now.items() for mark in one.marks}
        return changes

    def _closure(self, start: Iterable[AspectGroup]) -> dict[AspectGroup, None]:
        """Return the groups that cross and share marks with these, directly or over others."""
        found = dict.fromkeys(start)
        waiting = list(found)
        seen: set[Mark] = set()
        while waiting:
            series = self._series.get(waiting.pop())
            if series is None:
                continue
            near: set[AspectGroup] = set()
            for one in chain.from_iterable(series.crossings.values()):
                new = set(series.between(one.start_ns, one.end_ns)) - seen
                seen |= new
                for mark in new:
                    near.update((mark.aspect, group) for group in mark.groups)
            for key in sorted(near - found.keys()):
                if self._series[key].crossings:
                    found[key] = None
                    waiting.append(key)
        return found

    def _candidates(self, key: AspectGroup) -> list[Candidate]:
        series = self._series.get(key)
        if series is None:
            return []
        known = self._cache.get(key)
        if known is not None:
            return known
        found: dict[frozenset[Mark], Candidate] = {}
        for seconds in sorted(series.crossings, key=lambda one: one or 1 << 40):
            for interval in series.crossings[seconds]:
                marks = frozenset(series.between(interval.start_ns, interval.end_ns))
                if marks and marks not in found:
                    found[marks] = self._candidate(key, seconds, interval, marks)
        self._cache[key] = list(found.values())
        return self._cache[key]

    def _candidate(self, key: AspectGroup, seconds: int, interval: Interval, marks: frozenset[Mark]) -> Candidate:
        aspect, group = key
        kind = ASPECTS[aspect].kind
        counting = self.counting
        expected = counting.expect(aspect, group, interval.start_ns)
        return Candidate(
            group=group,
            aspect=aspect,
            seconds=seconds,
            start_ns=interval.start_ns,
            end_ns=interval.end_ns,
            least=counting.threshold(aspect, group, seconds or interval.seconds, interval.end_ns),
            marks=marks,
            units=counting.units(group, kind),
            hosts=counting.units(group, HOST),
            per_hour=expected.per_hour,
            base_per_hour=expected.fleet_per_hour,
            shape=expected.shape,
            penalty=counting.penalty(group),
            here=partial(counting.units_here, group=group, kind=kind),
        )

    def _within(self, aspect: str, group: Group, start_ns: int, end_ns: int) -> tuple[frozenset[Mark], int]:
        key = (aspect, group, start_ns, end_ns)
        marks = self._parents.get(key)
        if marks is None:
            series = self._series.get((aspect, group))
            marks = self._parents[key] = frozenset(series.between(start_ns, end_ns) if series is not None else ())
        return marks, self.counting.units(group, HOST)

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
                    self._drop(mark)
            if sightings.hours:
                hosts.add(key[2])
            else:
                del self._sightings[key]
        for day in [day for day in self._by_day if (day + 1) * DAY_NS < before_ns]:
            del self._by_day[day]
        for agent_id in self._views.keys() - hosts:
            del self._views[agent_id], self._owned[agent_id, DEVICE], self._owned[agent_id, FILESYSTEM]
            self.counting.forget(agent_id)
        for group in [key for key, series in self._series.items() if not series.entries]:
            del self._series[group]
            self._drift.pop(group, None)
            self._cache.pop(group, None)
            self._pending.pop(group, None)

    def _drop(self, mark: Mark) -> None:
        for group in mark.groups:
            self._series[mark.aspect, group].remove(mark)
            self._dirty[mark.aspect, group] = None
            if (mark.aspect, group) in self._drift:
                self._drift[mark.aspect, group].count -= 1

    def close(self, incident_id: str) -> Verdict | None:
        """Take a verdict out that is resolved, with its marks; return it."""
        verdict = self._verdicts.pop(incident_id, None)
        if verdict is None:
            return None
        self._explanations = [one for one in self._explanations if one.marks.isdisjoint(verdict.marks)]
        for mark in sorted(verdict.marks, key=lambda one: one.identity):
            self._drop(mark)
            self._by_day[mark.time_ns // DAY_NS].pop(mark, None)
            mark.groups = ()
        self._members = {unit: key for unit, key in self._members.items() if key != incident_id}
        return verdict
