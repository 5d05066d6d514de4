"""Two diagnoses of one history are compared by what they say in the end."""

import pytest

from fsmend_collector.diagnose.comparing import brief, differences, taken_back
from fsmend_proto.v1 import incident_pb2, why_pb2

STATE = incident_pb2.IncidentState


def incident(name="inc-1", **fields):
    base = {"id": name, "code": "DEVICE_GONE", "onset_ns": 10, "state": STATE.INCIDENT_STATE_OPEN}
    found = incident_pb2.Incident(**(base | fields))
    found.cause.dimension, found.cause.value = found.cause.dimension or "device", found.cause.value or "wwid:1"
    return found


def briefs(*incidents):
    return {one.id: brief(one) for one in incidents}


def compared(then, now):
    return {one.id: (one.kind, list(one.changed)) for one in differences(briefs(*then), briefs(*now))}


def test_the_same_is_the_same_whatever_its_state_and_times():
    later = incident(state=STATE.INCIDENT_STATE_RESOLVED, resolved_ns=99, updated_ns=99, occurrences=7)
    assert compared([incident()], [later]) == {"inc-1": (why_pb2.DIFFERENCE_KIND_SAME, [])}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("code", {"code": "DEVICE_HEALTH"}),
        ("cause", {"cause": incident_pb2.Cause(dimension="rack", value="r1")}),
        ("members", {"members": [incident_pb2.Unit(agent_id="a", device_id="d")]}),
        ("onset", {"onset_ns": 10 + 3 * 10**9}),
    ],
)
def test_what_differs_is_named(name, fields):
    assert compared([incident()], [incident(**fields)]) == {"inc-1": (why_pb2.DIFFERENCE_KIND_CHANGED, [name])}


def test_clocks_that_were_known_otherwise_are_no_difference():
    assert compared([incident()], [incident(onset_ns=10 + 2 * 10**9)])["inc-1"][1] == []


def test_the_order_of_members_is_no_difference():
    units = [incident_pb2.Unit(agent_id="a", device_id=f"d{at}") for at in range(3)]
    assert compared([incident(members=units)], [incident(members=units[::-1])])["inc-1"][1] == []


def test_what_one_side_lacks_is_told_with_the_side_that_has_it():
    found = compared([incident("inc-a")], [incident("inc-b")])
    assert found == {
        "inc-a": (why_pb2.DIFFERENCE_KIND_ONLY_THEN, []),
        "inc-b": (why_pb2.DIFFERENCE_KIND_ONLY_NOW, []),
    }


def test_an_incident_that_is_explained_by_one_that_both_have_is_no_difference():
    merged = incident("inc-m", state=STATE.INCIDENT_STATE_MERGED, merged_into="inc-1")
    assert set(compared([incident(), merged], [incident()])) == {"inc-1"}
    assert set(compared([incident()], [incident(), merged])) == {"inc-1"}
    elsewhere = incident("inc-m", state=STATE.INCIDENT_STATE_MERGED, merged_into="inc-other")
    assert compared([incident()], [incident(), elsewhere])["inc-m"][0] == why_pb2.DIFFERENCE_KIND_ONLY_NOW


def test_a_shared_cause_that_was_taken_back_is_nobodys_last_word():
    figures = incident_pb2.GroupStatistics(observed=3)
    merged = incident(statistics=figures, state=STATE.INCIDENT_STATE_MERGED)
    withdrawn = incident(
        statistics=figures, state=STATE.INCIDENT_STATE_RESOLVED, resolution="withdrawn: nothing shared"
    )
    over = incident(statistics=figures, state=STATE.INCIDENT_STATE_RESOLVED, resolution="all 3 incidents are resolved")
    assert [taken_back(one) for one in (merged, withdrawn, over, incident())] == [True, True, False, False]


def test_they_come_by_the_time_they_began():
    then = [incident("inc-c", onset_ns=3), incident("inc-a", onset_ns=5)]
    assert [one.id for one in differences(briefs(*then), briefs(incident("inc-b", onset_ns=4)))] == [
        "inc-c",
        "inc-b",
        "inc-a",
    ]
