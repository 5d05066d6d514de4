"""The ledger of faults: finds them, numbers them, and says what changed since it last told."""

from collections.abc import Collection, Iterator
from functools import partial
from itertools import islice

from fsmend_collector.diagnosis.agenda import Agenda
from fsmend_collector.diagnosis.codes import CLASSES, Family
from fsmend_collector.diagnosis.config import SECONDS_NS, DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fault import Fault
from fsmend_collector.diagnosis.incident import IncidentChange, incident_of, other_names, own_names
from fsmend_collector.diagnosis.joining import FaultKey, Joining
from fsmend_collector.diagnosis.timeline import EVIDENCE
from fsmend_collector.diagnosis.told import Face, Told
from fsmend_collector.diagnosis.view import IncidentView
from fsmend_proto.v1 import incident_pb2

_PENDING_KEPT = 1_000
_GROWTH_TOLD = 100  # a tick: what a storm adds to incidents that are told already can wait, and the store is spared
_DEVICE, _INTEGRITY = Family.DEVICE.value, Family.INTEGRITY.value
_DEVICE_PREFIX = "device_"
_CONSEQUENCES = frozenset(name for name, row in CLASSES.items() if row.consequence)


class Ledger:
    """Hold the faults of the fleet; memory grows with what is faulty.

    Of a unit that is well again only a number stays: that of its next incident.
    """

    def __init__(self, config: DiagnosisConfig, joining: Joining) -> None:
        self._config = config
        self._joining = joining
        self._faults: dict[FaultKey, Fault] = {}
        self._by_agent: dict[str, dict[FaultKey, None]] = {}
        self._filesystems: dict[str, dict[FaultKey, None]] = {}  # of them those of filesystems
        self._waiting: dict[FaultKey, None] = {}
        self._generations: dict[FaultKey, int] = {}
        self.agenda = Agenda()

    def __iter__(self) -> Iterator[Fault]:
        """Yield every fault in memory."""
        return iter(list(self._faults.values()))

    def get(self, key: FaultKey) -> Fault | None:
        """Return the fault of a key, if there is one."""
        return self._faults.get(key)

    def obtain(self, key: FaultKey) -> Fault:
        """Return the fault of a key, a new one when there is none."""
        fault = self._faults.get(key)
        return fault if fault is not None else self.put(Fault(key, self._generations.get(key, 0), self._config))

    def obtain_at(self, key: FaultKey, time_ns: int) -> Fault:
        """Return the fault that an error of a time belongs to. Not by when it is heard of: it may come late."""
        fault = self._faults.get(key)
        if fault is not None and fault.ended_before(time_ns):
            self.forget(fault)
        return self.obtain(key)

    def put(self, fault: Fault) -> Fault:
        """Take a fault in, in place of what had its key."""
        self._faults[fault.key] = fault
        self.agenda.look(fault.key)
        self._by_agent.setdefault(fault.key.agent_id, {})[fault.key] = None
        if fault.key.family == _INTEGRITY:
            self._filesystems.setdefault(fault.key.agent_id, {})[fault.key] = None
        return fault

    def restored(self, fault: Fault, merged_into: str) -> None:
        """Take back a stored incident, which needs no telling."""
        self.put(fault)
        fault.merged_into = merged_into
        told = fault.told
        told.face, told.state, told.occurrences = _face(fault, None), fault.state, fault.tally.occurrences

    def settle_restored(self) -> None:
        """Find out anew what explains what, once all are back; only what is explained otherwise now needs telling."""
        for fault in self:
            before = fault.merged_into
            beneath = self._explain(fault)
            fault.told.face = _face(fault, beneath) if fault.merged_into == before else ()

    def _explain(self, fault: Fault) -> Fault | None:
        """Note which incident explains a fault; return the active fault of the device below it."""
        beneath = self.beneath(fault)
        explained = beneath is not None and fault.tally.live and _CONSEQUENCES.issuperset(fault.latest)
        fault.merged_into = beneath.id if explained and beneath is not None else ""
        return beneath

    def spend(self, key: FaultKey, generation: int) -> None:
        """Note that an incident of this number is over: the next one gets another id."""
        self._generations[key] = max(self._generations.get(key, 0), generation + 1)

    def forget(self, fault: Fault) -> None:
        """Forget a fault; when it was an incident, its number stays spent."""
        if fault.opened_ns:
            self.spend(fault.key, fault.generation)
        del self._faults[fault.key]
        self._waiting.pop(fault.key, None)
        self.agenda.forget(fault.key)
        if fault.key.family == _INTEGRITY:
            _take_off(self._filesystems, fault.key)
        keys = _take_off(self._by_agent, fault.key)
        for key in keys:
            self.agenda.look(key)  # what it explained is to be told otherwise

    @property
    def agents(self) -> Collection[str]:
        """Name the agents that have faults."""
        return self._by_agent.keys()

    def of_agent(self, agent_id: str) -> list[Fault]:
        """Return the faults of one agent's units."""
        return [self._faults[key] for key in self._by_agent.get(agent_id, ())]

    def missing(self, evidence: Evidence) -> Fault | None:
        """Return the fault of a btrfs device that went missing without telling its identity."""
        for fault in self.of_agent(evidence.agent_id):
            known = fault.key.family == _DEVICE and set(fault.tally.devids) == {evidence.devid}
            if known and evidence.filesystem_uuid in fault.tally.filesystems:
                return fault
        return None

    def grew(self, fault: Fault, event_id: str, now_ns: int) -> list[IncidentChange]:
        """Keep an event id for the next telling, and tell at once what changed but for the growth."""
        told = fault.told
        pending = told.pending
        if len(pending) < _PENDING_KEPT:
            pending.append(event_id)
        if not fault.opened_ns:
            return []
        if not told.waits:
            told.waits = True
            self._waiting[fault.key] = None
        if len(pending) < _PENDING_KEPT and self._as_told(fault):
            return []
        return self.tell(fault, now_ns)

    def heard(self, fault: Fault, now_ns: int, what: str = "") -> list[IncidentChange]:
        """Tell what a new proof changed; one that changes nothing yet is told too, for a restart: it may, later."""
        changes = self.tell(fault, now_ns, what)
        if changes or fault.told.state == incident_pb2.INCIDENT_STATE_UNSPECIFIED or fault.proven() is not None:
            return changes
        return [self._tell(fault, fault.told.face, EVIDENCE, now_ns)]

    def _as_told(self, fault: Fault) -> bool:
        """Say whether a fault surely has the face that was told; it may have it otherwise too."""
        return fault.told.plain != 0 and fault.told.plain == self._plain(fault)

    def _plain(self, fault: Fault) -> int:
        """Return what decides how a fault is shown that only grows; 0: more than that."""
        plain = fault.plain()
        if plain and fault.key.family == _INTEGRITY:
            others = self._by_agent[fault.key.agent_id]
            return 0 if any(key.family == _DEVICE for key in others) else plain
        return plain

    def waiting(self) -> list[Fault]:
        """Return faults that grew and wait for `tell` with `flush`, those that wait longest; the others wait on."""
        keys = list(islice(self._waiting, _GROWTH_TOLD))
        faults = [self._faults[key] for key in keys]
        for fault in faults:
            del self._waiting[fault.key]
            fault.told.waits = False
        return faults

    def beneath(self, fault: Fault) -> Fault | None:
        """Return the active fault of a device below a filesystem, the smallest id of several."""
        if fault.key.family != _INTEGRITY:
            return None
        keys = [key for key in self._by_agent.get(fault.key.agent_id, ()) if key.family == _DEVICE]
        found = [one for one in (self._faults[key] for key in keys) if self._stands_on(fault, one)]
        return min(found, key=lambda one: one.id, default=None)

    def _stands_on(self, fault: Fault, device: Fault) -> bool:
        if not device.active:
            return False
        if not any(name.startswith(_DEVICE_PREFIX) for name in device.latest):
            return False
        below = self._joining.devices(fault.key.agent_id, fault.key.value)
        return fault.key.value in device.tally.filesystems or device.key.value in below

    def consequences(self, fault: Fault) -> list[Fault]:
        """Return the faults that this one explains: of filesystems, by the device below."""
        if fault.key.family != _DEVICE:
            return []
        found = [self._faults[key] for key in self._filesystems.get(fault.key.agent_id, ())]
        return [one for one in found if one.opened_ns and one.merged_into == fault.id]

    def view(self, fault: Fault) -> IncidentView:
        """Return the incident that a fault is now."""
        proven = fault.proven()
        return IncidentView(
            fault.id,
            fault.key.agent_id,
            max(fault.tally.onset_ns, fault.opened_ns),
            partial(self._incident, fault),
            partial(self._names, fault),
            resolved=proven is not None,
            resolved_ns=proven[0] if proven else 0,
            since=fault.since_ns,
            growth=partial(self._growth, fault),
        )

    def _growth(self, fault: Fault) -> tuple[str, ...]:
        """Take out what waits to be told of a fault; it is told with what was told last."""
        if not fault.told.pending or self._faults.get(fault.key) is not fault:
            return ()
        return self._take_pending(fault)

    def _take_pending(self, fault: Fault) -> tuple[str, ...]:
        told = fault.told
        fault.timeline.note_evidence(fault.tally.latest_ns, fault.tally.evidence_count)
        told.occurrences = fault.tally.occurrences
        pending, told.pending = tuple(told.pending), []
        return pending

    def _incident(self, fault: Fault) -> incident_pb2.Incident:
        return incident_of(fault, self.beneath(fault), self.consequences(fault))

    def _names(self, fault: Fault) -> Iterator[str]:
        """Yield the units that the incident of a fault names, its own first; who looks for one mostly needs no more."""
        yield from filter(None, own_names(fault))
        yield from filter(None, other_names(fault, self.beneath(fault), self.consequences(fault)))

    def tell(
        self, fault: Fault, now_ns: int, what: str = "", *, flush: bool = False, growth: bool = True
    ) -> list[IncidentChange]:
        """Return the changes of a fault, and of what it explains, that are due to be told.

        A change of code, severity, state or count of places is due at once. Mere growth is due once a second, when a
        thousand event ids wait, or with `flush`, and never without `growth`; see also `grew`.
        """
        if not fault.opened_ns:
            return []
        told, face = fault.told, fault.told.face
        if not self._as_told(fault):
            beneath = self._explain(fault)
            if fault.merged_into and told.state == incident_pb2.INCIDENT_STATE_UNSPECIFIED:
                return []
            face = _face(fault, beneath)
        due = what or face != told.face or (growth and self._growth_due(fault, told, now_ns, flush=flush))
        if not due:
            return []
        changes = [self._tell(fault, face, what, now_ns)]
        return changes + (self._tell_above(fault, now_ns) if fault.key.family == _DEVICE else [])

    def settle_agent(self, agent_id: str, text: str, now_ns: int) -> list[IncidentChange]:
        """Close all incidents of an agent with one proof."""
        changes: list[IncidentChange] = []
        for fault in self.of_agent(agent_id):
            fault.settled = (max([now_ns, *fault.latest.values()]), text)
            changes += self.tell(fault, now_ns)
        return changes

    def told_again(self) -> list[IncidentChange]:
        """Return every incident that was ever told, as it is now, with the evidence that it lists."""
        known = [fault for fault in self if fault.told.state != incident_pb2.INCIDENT_STATE_UNSPECIFIED]
        return [IncidentChange(self.view(fault), EVIDENCE, tuple(fault.tally.evidence)) for fault in known]

    def _growth_due(self, fault: Fault, told: Told, now_ns: int, *, flush: bool) -> bool:
        if not told.pending and fault.tally.occurrences == told.occurrences:
            return False
        return flush or now_ns - told.told_ns >= SECONDS_NS or len(told.pending) >= _PENDING_KEPT

    def _tell(self, fault: Fault, face: Face, what: str, now_ns: int) -> IncidentChange:
        told, state = fault.told, fault.state
        what = what or _what(told, state, face)
        if what != EVIDENCE:
            self.agenda.look(fault.key)
        if what in {"opened", "reopened", "resolved", "merged", "changed"}:
            proven = fault.proven() if what == "resolved" else None
            text = proven[1] if proven else fault.code.code
            fault.timeline.add(now_ns, what, text)
        pending = self._take_pending(fault)
        fault.updated_ns = now_ns
        told.face, told.state, told.told_ns = face, state, now_ns
        told.plain = self._plain(fault)
        return IncidentChange(self.view(fault), what, pending)

    def _tell_above(self, device: Fault, now_ns: int) -> list[IncidentChange]:
        """Tell what changed for the filesystems on a device whose fault changed."""
        changes = []
        for key in list(self._filesystems.get(device.key.agent_id, ())):
            changes += self.tell(self._faults[key], now_ns)
        return changes


def _take_off(index: dict[str, dict[FaultKey, None]], key: FaultKey) -> dict[FaultKey, None]:
    """Take a key off the index of the agents; return the agent's other keys."""
    keys = index[key.agent_id]
    del keys[key]
    if not keys:
        del index[key.agent_id]
    return keys


def _face(fault: Fault, beneath: Fault | None) -> Face:
    """Return what must be told at once when it changes."""
    if not fault.opened_ns:
        return ()
    return (
        fault.state,
        fault.code.code,
        fault.severity,
        fault.merged_into,
        tuple(fault.latest),  # it only grows, so the order tells nothing
        beneath and beneath.id,
    )


def _what(told: Told, state: incident_pb2.IncidentState.ValueType, face: Face) -> str:
    """Name the change to a state and face."""
    if state != told.state:
        match state:
            case incident_pb2.INCIDENT_STATE_RESOLVED:
                return "resolved"
            case incident_pb2.INCIDENT_STATE_MERGED:
                return "merged"
            case incident_pb2.INCIDENT_STATE_REPAIRING:
                return "repairing"
        if told.state == incident_pb2.INCIDENT_STATE_UNSPECIFIED:
            return "opened"
        return "repair finished" if told.state == incident_pb2.INCIDENT_STATE_REPAIRING else "reopened"
    return "changed" if face != told.face else EVIDENCE
