"""Fault: what is known of one family of errors of one unit, from the first error to the proof of its end."""

import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from fsmend_collector.diagnosis.codes import CLASSES, CODE_OF_CLASS, IncidentCode, Proof
from fsmend_collector.diagnosis.config import SECONDS_NS, DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence, scope_name
from fsmend_collector.diagnosis.joining import FaultKey
from fsmend_collector.diagnosis.parts import Parts
from fsmend_collector.diagnosis.places import PLACES_LISTED, Places
from fsmend_collector.diagnosis.serd import SerdWindow
from fsmend_collector.diagnosis.tally import Tally
from fsmend_collector.diagnosis.timeline import Timeline
from fsmend_collector.diagnosis.told import Told
from fsmend_proto.v1 import event_pb2, incident_pb2

_NEVER_NS = 1 << 63
_LONGEST_TEXT = 1_000  # of a proof, which hosts may make as long as an event is
_PARTS_NAMED = 20
_SCOPES_KEPT = 1_024
_OTHER_SCOPES = "other parts"  # sick ones beyond those: only what speaks of the whole filesystem proves them well
_ACTIVE = frozenset({incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_REPAIRING})
_STANDING = frozenset(name for name, row in CLASSES.items() if Proof.STANDSTILL in row.closed_by)
_NONE: frozenset[str] = frozenset()
_NO_TIME: Mapping[str, int] = MappingProxyType({})
_NO_WINDOW: Mapping[str, SerdWindow] = MappingProxyType({})
_NO_PROOF: Mapping[Proof, tuple[int, str]] = MappingProxyType({})


def incident_id(key: FaultKey, generation: int) -> str:
    """Return the id of a unit's n-th incident of one family: the same in every replay."""
    text = "\0".join((key.family, key.agent_id, key.value, str(generation)))
    return "inc-" + hashlib.sha256(text.encode()).hexdigest()[:16]


class Fault:
    """Hold the state of one (possible) incident.

    Open, or resolved, is a comparison of times: of the latest error of every class present with the latest proof that
    closes the class. So it does not depend on the order in which errors and proofs arrive either. For the same reason
    one error after the proof reopens, also of a class that needs a rate to open: the unit has shown that it fails.

    Attributes:
        key: what it is of.
        provisional: as the key says, which is asked at every error.
        generation: the unit's incidents of this family are numbered from 0.
        others_ns: latest error that stands for more places than it names, 0: none does.
        opened_ns: when it became an incident, 0: it has not crossed its rate yet.
        settled: time and text of the proof that a stored incident was closed with.
        merged_into: id of the incident that explains this one.
        running: commands of ours that run on the unit.
        told: what was last told of it; kept by the ledger.
    """

    __slots__ = (
        "_config",
        "_ever_sick",
        "_firsts",
        "_known_since_ns",
        "_mute_mark",
        "_parts",
        "_proofs",
        "_scopes",
        "_windows",
        "generation",
        "id",
        "key",
        "latest",
        "merged_into",
        "muted_until_ns",
        "opened_ns",
        "others_ns",
        "places",
        "provisional",
        "running",
        "settled",
        "tally",
        "timeline",
        "told",
        "updated_ns",
    )

    def __init__(self, key: FaultKey, generation: int, config: DiagnosisConfig) -> None:
        self.key = key
        self.provisional = key.provisional
        self.generation = generation
        self.id = incident_id(key, generation)
        self._config = config
        self.tally = Tally(config.lateness_seconds)
        self.places = Places(config.join_seconds)
        self._parts: Parts | None = None
        self.timeline = Timeline()
        self.told = Told()
        self.latest: dict[str, int] = {}
        self._windows = _NO_WINDOW
        self._proofs = _NO_PROOF
        self._scopes: dict[str, tuple[int, int, bool]] | None = None
        self._ever_sick = _NONE
        self._firsts = _NO_TIME
        self._known_since_ns = 0
        self.others_ns = 0
        self.opened_ns = 0
        self.updated_ns = 0
        self.settled: tuple[int, str] = (0, "")
        self.merged_into = ""
        self.running = _NONE
        self.muted_until_ns = 0
        self._mute_mark = (0, 0)

    def add(self, evidence: Evidence, fault_class: str, now_ns: int) -> bool:
        """Take a finding; say whether it was new."""
        if self.tally.seen(evidence.event_id):
            return False
        if not self.opened_ns and self._crosses(evidence, fault_class):
            self._windows = _NO_WINDOW
            self.opened_ns = now_ns
        latest_ns = evidence.latest_ns if evidence.last_ns else evidence.time_ns
        if self._firsts or (self.latest and fault_class not in self.latest):
            self._note_first(fault_class, evidence.onset_ns)
        self.tally.add(evidence, latest_ns)
        self.places.add(evidence)
        if evidence.scope or evidence.xfs_scope:
            self.take_scope(evidence)
        if evidence.others_unknown:
            self.others_ns = max(self.others_ns, latest_ns)
        if latest_ns > self.latest.get(fault_class, 0):
            self.latest[fault_class] = latest_ns
        return True

    def _crosses(self, evidence: Evidence, fault_class: str) -> bool:
        """Say whether the finding makes an incident: by its class, its severity, or its rate."""
        rule = self._config.rules.get(fault_class)
        if rule is None or evidence.severity == event_pb2.SEVERITY_CRITICAL:
            return True
        window = self._windows.get(fault_class)
        if window is None:
            window = SerdWindow(rule, self._config.lateness_seconds)
            self._windows = {**self._windows, fault_class: window}
        return window.add(evidence.time_ns, evidence.location, evidence.count)

    def prove(self, proof: Proof, time_ns: int, text: str) -> bool:
        """Take a proof that all is well at a time; say whether it is news."""
        known = self._proofs.get(proof, (0, ""))
        self._proofs = {**self._proofs, proof: max(known, (time_ns, text[:_LONGEST_TEXT]))}
        return self._proofs[proof] != known

    def _note_first(self, fault_class: str, time_ns: int) -> None:
        """Keep when each class of error was first seen, where there are several: of a single one it is the onset."""
        firsts = self._firsts or dict.fromkeys(self.latest, self.tally.onset_ns)
        self._firsts = {**firsts, fault_class: min(firsts.get(fault_class, time_ns), time_ns)}

    def since_ns(self) -> int:
        """Return when the earliest error happened that no proof covers, as far as is remembered."""
        onset_ns, found = self.tally.onset_ns, []
        if not (self._proofs or self._ever_sick or self.settled[0]):
            return onset_ns
        for fault_class, latest_ns in self.latest.items():
            proven_ns, first_ns = self._best_proof(fault_class)[0], self._firsts.get(fault_class, onset_ns)
            if proven_ns < first_ns:
                found.append(first_ns)
            elif proven_ns < latest_ns:
                known_ns = (self.tally.earliest_after(proven_ns), self._known_since_ns, latest_ns)
                found.append(min(one for one in known_ns if one > proven_ns))
        return min(found, default=onset_ns)

    def classes(self) -> Iterator[tuple[str, int, int, bool]]:
        """Yield each class of error present: name, time of the first and of the latest, whether it is open."""
        plain = not (self._proofs or self._ever_sick or self.settled[0])
        for name, latest_ns in self.latest.items():
            is_open = plain or self.leaves_open(name, latest_ns)
            yield name, self._firsts.get(name, self.tally.onset_ns), latest_ns, is_open

    def proofs(self) -> Iterator[tuple[Proof, int, str]]:
        """Yield the latest proof of each sort there is: its time and text."""
        for proof in Proof if self._proofs else ():
            if proof in self._proofs:
                yield proof, *self._proofs[proof]

    def scopes(self) -> list[tuple[str, int, int, bool, bool]]:
        """Return the latest reading of each part by name: times, is it sick, was it ever."""
        return sorted((name, *row, name in self._ever_sick) for name, row in (self._scopes or {}).items())

    def restore_classes(self, rows: list[tuple[str, int, int]], since_ns: int) -> None:
        """Take back the classes of a stored incident (name, first, latest), and since when it fails."""
        self.latest = {name: latest_ns for name, _, latest_ns in rows}
        self._firsts = {name: first_ns for name, first_ns, _ in rows} if len(rows) > 1 else _NO_TIME
        self._known_since_ns = since_ns

    def leaves_open(self, fault_class: str, time_ns: int) -> bool:
        """Say whether an error of a time keeps it open: no proof covers it."""
        return self._best_proof(fault_class)[0] < time_ns

    def take_scope(self, evidence: Evidence) -> bool:
        """Take what the finding says of the health of one part; say whether it is news."""
        if evidence.xfs_scope:
            self._parts = self._parts or Parts()
            self._parts.take(evidence)
        if evidence.sick is not None and evidence.scope:
            new = (evidence.time_ns, evidence.host_ns, evidence.sick)
            name = self._scope_kept(evidence.scope, sick=evidence.sick)
            known = self._scopes.get(name) if self._scopes else None
            if name:
                read = max(known or new, new)
                self.keep_scope(name, read[:2], sick=read[2], was_sick=evidence.sick)
                return read != known
        return False

    def _scope_kept(self, name: str, *, sick: bool) -> str:
        """Return under which name a reading of a part is kept; empty: not at all. Of very many parts the sick stay."""
        kept = self._scopes or {}
        if name in kept or len(kept) < _SCOPES_KEPT:
            return name
        if not sick:
            return ""
        well = next((one for one in kept if one not in self._ever_sick), None)
        if well is None:
            return _OTHER_SCOPES
        del kept[well]
        return name

    @property
    def others_unknown(self) -> bool:
        """Say whether more is broken than the places name, and no check looked at all since."""
        if not self.others_ns:
            return False
        checked_ns, _ = max(self._proofs.get(Proof.FS_CHECK, (0, "")), self.settled)
        return self.others_ns > checked_ns

    def place_rows(self, *, ever: bool = False) -> list[incident_pb2.Place]:
        """Return the places, those that are sick by the latest reading in front, or those that `ever` were."""
        beside = incident_pb2.Incident()
        self.places.write(beside)
        return (self._parts or Parts()).onto(beside.places, PLACES_LISTED, ever=ever)

    def write_places(self, incident: incident_pb2.Incident) -> None:
        """Put the places into the message of the incident, those that are sick by the latest reading in front."""
        if self._parts is not None:
            incident.places.extend(self.place_rows())
        else:
            self.places.write(incident)

    def restore_place(self, place: incident_pb2.Place, time_ns: int) -> None:
        """Take back a place of a stored incident."""
        if place.ino or place.function or place.HasField("sectors"):
            self.places.add_row(place, time_ns)
        if place.xfs_scope:
            self._parts = self._parts or Parts()
            self._parts.take_row(place, time_ns)
        if place.xfs_sick:
            scope = scope_name(place.xfs_scope, place.ino or place.xfs_number)
            self.keep_scope(scope, (time_ns, 0), sick=True, was_sick=True)

    def keep_scope(self, name: str, times_ns: tuple[int, int], *, sick: bool, was_sick: bool) -> None:
        """Keep what was last read of one part."""
        self._scopes = self._scopes or {}
        self._scopes[name] = (*times_ns, sick)
        if sick or was_sick:
            self._ever_sick |= {name}

    def _parts_healthy(self) -> tuple[int, str]:
        """Return since when every part that was sick is healthy, or (0, "")."""
        parts = [self._scopes[scope] for scope in self._ever_sick] if self._scopes else []
        if not parts or any(sick for *_, sick in parts):
            return 0, ""
        names = sorted(self._ever_sick)
        more = f" and {len(names) - _PARTS_NAMED} more" if names[_PARTS_NAMED:] else ""
        return max(time for time, *_ in parts), f"healthy again: {', '.join(names[:_PARTS_NAMED])}{more}"

    def proven(self) -> tuple[int, str] | None:
        """Return time and text of the proof that closes every class of error present, or None."""
        if not (self._proofs or self._ever_sick or self.settled[0]):
            return None
        best = (0, "")
        for fault_class, latest in self.latest.items():
            found = self._best_proof(fault_class)
            if found[0] < latest:
                return None
            best = max(best, found)
        return best if best[0] else None

    def _best_proof(self, fault_class: str) -> tuple[int, str]:
        """Return time and text of the latest proof that closes a class of error."""
        return max([self.settled, *(self._proof(proof) for proof in CLASSES[fault_class].closed_by)])

    def _proof(self, proof: Proof) -> tuple[int, str]:
        known = self._proofs.get(proof, (0, ""))
        return max(known, self._parts_healthy()) if proof is Proof.FS_HEALTHY else known

    @property
    def state(self) -> incident_pb2.IncidentState.ValueType:
        """Return the state, UNSPECIFIED while this is no incident."""
        if not self.opened_ns:
            return incident_pb2.INCIDENT_STATE_UNSPECIFIED
        if self.proven() is not None:
            return incident_pb2.INCIDENT_STATE_RESOLVED
        if self.merged_into:
            return incident_pb2.INCIDENT_STATE_MERGED
        return incident_pb2.INCIDENT_STATE_REPAIRING if self.running else incident_pb2.INCIDENT_STATE_OPEN

    @property
    def active(self) -> bool:
        """Say whether the incident is open or under repair."""
        return self.state in _ACTIVE

    @property
    def code(self) -> IncidentCode:
        """Return the row of the highest-ranked class present."""
        if len(self.latest) == 1:
            return CODE_OF_CLASS[next(iter(self.latest))]
        return max((CODE_OF_CLASS[name] for name in self.latest), key=lambda row: row.rank)

    @property
    def severity(self) -> event_pb2.Severity.ValueType:
        """Return how bad it is; errors from before the agent watched are a warning."""
        if not self.tally.live:
            return event_pb2.SEVERITY_WARNING
        severity = max(self.code.severity, self.tally.severity)
        for name in self.latest:
            severity = max(severity, CLASSES[name].severity)
        return severity

    def plain(self) -> int:
        """Return what decides code, state and severity while nothing but errors came, as one number; 0: else came.

        A small number takes no room and costs no look into memory, and there is one for each unit that fails.
        """
        if self._proofs or self.settled[0] or self._scopes or self.running or self.merged_into or self.muted_until_ns:
            return 0
        return len(self.latest) << 4 | self.tally.severity << 1 | self.tally.live

    @property
    def stands_still(self) -> bool:
        """Say whether a counter that stands still may close what is still open."""
        return _STANDING.issuperset(self.latest) and self.active

    def mute(self, until_ns: int) -> None:
        """Mute until a time, or take the mute off with 0."""
        self.muted_until_ns = until_ns
        self._mute_mark = (self.tally.occurrences, self.severity)

    def mute_falls(self, now_ns: int) -> str:
        """Return why the mute ends now, or an empty text."""
        if not self.muted_until_ns:
            return ""
        if now_ns >= self.muted_until_ns:
            return "the mute ended"
        occurrences, severity = self._mute_mark
        if self.severity > severity or self.tally.occurrences > occurrences * self._config.mute_growth:
            return "the mute fell, because it got worse"
        return ""

    def quiet_since(self) -> int:
        """Return the time of the last thing that happened, collector's wall clock in nanoseconds."""
        proven = self.proven()
        latest_ns = max(self.tally.latest_ns, proven[0] if proven else 0)
        return max(latest_ns, *(time for time, _ in self._proofs.values())) if self._proofs else latest_ns

    def forgettable_ns(self) -> int:
        """Return after when it may leave memory; far away while it is an incident that is not resolved."""
        if not self.opened_ns:
            longest = max((rule.long_seconds for rule in self._config.rules.values()), default=0)
            return self.quiet_since() + (longest + self._config.lateness_seconds) * SECONDS_NS
        if self.state != incident_pb2.INCIDENT_STATE_RESOLVED:
            return _NEVER_NS
        return self.quiet_since() + (self._config.forget_seconds + self._config.lateness_seconds) * SECONDS_NS

    def ended_before(self, time_ns: int) -> bool:
        """Say whether it had been over and quiet for so long at a time that an error of that time is something new."""
        forget_ns = self._config.forget_seconds * SECONDS_NS
        if not self.opened_ns or time_ns - self.tally.latest_ns <= forget_ns:
            return False  # as nearly always
        return self.proven() is not None and time_ns - self.quiet_since() > forget_ns

    def forgettable(self, now_ns: int) -> bool:
        """Say whether it may leave memory: resolved and quiet, or never an incident and quiet for a whole window."""
        return now_ns > self.forgettable_ns()
