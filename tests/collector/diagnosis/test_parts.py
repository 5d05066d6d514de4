"""The sick parts of an XFS stand in the incident's places, by the latest reading of each."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence, scope_name
from fsmend_collector.diagnosis.fault import Fault
from fsmend_collector.diagnosis.joining import FaultKey
from fsmend_collector.diagnosis.parts import Parts
from fsmend_proto.v1 import event_pb2
from fsmend_proto.v1.incident_pb2 import Place

AG, INODE = event_pb2.XFS_SCOPE_AG, event_pb2.XFS_SCOPE_INODE


def told(scope, number, mask, time_ns=1):
    ino, group = (number, 0) if scope == INODE else (0, number)
    return Evidence(
        event_id=f"{scope}{number}{time_ns}",
        agent_id="a1",
        host_name="h1",
        kind=event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION,
        severity=event_pb2.SEVERITY_ERROR,
        source="xfs_health",
        time_ns=time_ns,
        received_ns=time_ns,
        ino=ino,
        generation=7 if ino else 0,
        sick=bool(mask),
        scope=scope_name(scope, number),
        xfs_scope=scope,
        xfs_number=group,
        xfs_sick=mask,
    )


def rows_after(*readings, rows=()):
    parts = Parts()
    for one in readings:
        parts.take(one)
    return parts.onto(list(rows), 64)


def test_a_sick_group_is_a_row_of_its_own_in_front():
    other = Place(function="xfs_da_read_buf", line=1)
    assert rows_after(told(AG, 1, 0x10), rows=[other]) == [Place(xfs_scope=AG, xfs_number=1, xfs_sick=0x10), other]


def test_a_sick_inode_joins_the_row_of_that_inode():
    (row,) = rows_after(told(INODE, 131, 0x10), rows=[Place(ino=131, function="xfs_da_read_buf", line=1)])
    assert (row.ino, row.generation, row.xfs_sick, row.function) == (131, 7, 0x10, "xfs_da_read_buf")


def test_what_is_healthy_again_is_no_row():
    assert rows_after(told(AG, 1, 0x10, 1), told(AG, 1, 0, 2)) == []


def test_a_stored_row_comes_back():
    parts = Parts()
    parts.take_row(Place(xfs_scope=AG, xfs_number=1, xfs_sick=0x10), 5)
    assert parts.onto([], 64) == [Place(xfs_scope=AG, xfs_number=1, xfs_sick=0x10)]


def test_a_sick_part_of_a_stored_incident_is_closed_by_its_health():
    fault = Fault(FaultKey("integrity", "a1", "u1"), 0, DiagnosisConfig())
    fault.latest = {"fs_metadata": 5}
    fault.opened_ns = 5
    fault.restore_place(Place(xfs_scope=AG, xfs_number=1, xfs_sick=0x10), 5)
    assert fault.proven() is None
    fault.take_scope(told(AG, 1, 0, 9))
    assert fault.proven() == (9, "healthy again: ag 1")
    assert fault.place_rows() == []


READINGS = st.lists(
    st.builds(told, st.sampled_from([AG, INODE]), st.integers(1, 3), st.integers(0, 3), st.integers(1, 4)),
    max_size=12,
)


@given(READINGS, st.randoms())
def test_the_order_of_arrival_changes_nothing(readings, chance):
    other = list(readings)
    chance.shuffle(other)
    assert rows_after(*readings) == rows_after(*other)
