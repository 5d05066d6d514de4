"""Wherever a collector stops in a stream, it goes on with the same incidents, and tells nothing twice."""

from collector.diagnosis.groups.fleets import HOSTS, POPULATION, SECOND, START, error
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_collector.diagnosis import DiagnosisConfig, FleetDiagnosis
from fsmend_collector.diagnosis.groups.learnt import rates_from_text, rates_to_text
from fsmend_collector.diagnosis.groups.marks import Journal
from fsmend_proto.v1 import event_pb2, incident_pb2

BACK = {"kind": event_pb2.EVENT_KIND_DEVICE_ADDED, "severity": event_pb2.SEVERITY_INFO}


class Life:
    """A diagnosis whose process may end at any time; what it has told and noted is all that stays."""

    def __init__(self):
        self.stored: dict[str, incident_pb2.Incident] = {}
        self.told: list[tuple[str, str]] = []
        self.views, self.sightings, self.rates = {}, {}, ""
        self.diagnosis = self._fresh()

    def _fresh(self):
        diagnosis = FleetDiagnosis(DiagnosisConfig(), POPULATION)
        diagnosis.scan.journal = Journal()
        return diagnosis

    def keep(self, changes):
        for change in changes:
            self.stored[change.incident.id] = change.incident
            self.told.append((change.incident.id, change.what))
        journal = self.diagnosis.scan.journal
        self.views |= journal.views
        self.sightings |= journal.sightings
        self.rates = rates_to_text(self.diagnosis.scan.rates)

    def observe(self, one):
        self.diagnosis.learn_view(HOSTS[int(one.agent_id[1:])])
        self.keep(self.diagnosis.observe(one, one.time_ns))

    def tick(self, now_ns):
        for _ in range(2):
            self.keep(self.diagnosis.tick(now_ns))

    def restart(self, now_ns):
        self.diagnosis = self._fresh()
        scan = self.diagnosis.scan
        self.diagnosis.restore(self.stored.values(), now_ns)
        rates_from_text(self.rates, scan.rates)
        for view in self.views.values():
            self.diagnosis.learn_view(view)
        for (key, _), row in self.sightings.items():
            scan.sight(key, *row)
        changes = self.diagnosis.resume(now_ns)
        for view in self.views.values():
            changes += self.diagnosis.observe_presence(
                view.agent_id, view.host_name, connected=True, since_ns=now_ns, now_ns=now_ns
            )
        return changes


def face(incidents):
    """Return what a person sees of the incidents that go on, or are over."""
    return sorted(
        (
            one.id,
            one.code,
            one.state,
            one.merged_into,
            one.opened_ns,
            one.cause.dimension,
            one.cause.value,
            len(one.members) if one.HasField("statistics") else 0,
            sum(entry.what == "opened" for entry in one.timeline),
            sum(entry.what == "merged" for entry in one.timeline),
        )
        for one in incidents.values()
    )


def stream(racks):
    """Return errors of whole racks, by time, and afterwards what says that some disks are back."""
    found = []
    for rack, delay, hosts, returns in racks:
        for place in range(hosts):
            host = rack * 10 + place
            for disk in range(2):
                found.append(error(host, disk, "lost", delay + place))
                if returns:
                    found.append(error(host, disk, "lost", delay + 3_000 + place, **BACK))
    return sorted(found, key=lambda one: (one.time_ns, one.event_id))


racks = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2_000), st.integers(1, 10), st.booleans()),
    min_size=1,
    max_size=2,
    unique_by=lambda row: row[0],
)


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(racks=racks, cut=st.floats(0, 1))
@example(racks=[(0, 324, 10, False), (1, 0, 4, False)], cut=0.5)  # a cause that is merged shows again after the restart
def test_a_restart_anywhere_changes_nothing(racks, cut):
    whole, broken, events = Life(), Life(), stream(racks)
    at = int(cut * len(events))
    for number, one in enumerate(events):
        if number == at:
            for life in (whole, broken):
                life.tick(one.time_ns)
            assert broken.restart(one.time_ns) == []
        for life in (whole, broken):
            life.observe(one)
            if number % 10 == 9:
                life.tick(one.time_ns)
    for life in (whole, broken):
        life.tick(START + 9_000 * SECOND)
    assert face(broken.stored) == face(whole.stored)
    assert broken.told == whole.told
