"""A provisional incident that turns out to be of a unit that a shared cause explains does not keep that cause open."""

from dataclasses import replace

from collector.diagnosis.groups.fleets import DISKS, error
from collector.diagnosis.test_fleet_diagnosis import diagnosed, rack

from fsmend_proto.v1 import event_pb2, incident_pb2

BACK = {"kind": event_pb2.EVENT_KIND_DEVICE_ADDED, "severity": event_pb2.SEVERITY_INFO}


def test_a_shared_cause_ends_although_a_member_had_another_name_first():
    diagnosis, _ = diagnosed(rack())
    known = error(20, 0, "lost", 250)
    nameless = replace(known, event_id="p1", device_id="", device_name="sdq", filesystem_uuid="")
    named = replace(known, event_id="p2", device_name="sdq")
    changes = [change for one in (nameless, named) for change in diagnosis.observe(one, one.time_ns)]
    (retired,) = [change.incident for change in changes if change.what == "merged" and "sdq" in change.incident.summary]
    assert retired.state == incident_pb2.INCIDENT_STATE_MERGED
    for one in [error(20 + host, disk, "lost", 300, **BACK) for host in range(10) for disk in range(DISKS)]:
        diagnosis.observe(one, one.time_ns)
    assert {one.state for one in diagnosis.incidents()} == {incident_pb2.INCIDENT_STATE_RESOLVED}
