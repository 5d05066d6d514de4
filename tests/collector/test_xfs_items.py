"""The collector's table of XFS health bits is the agent's, and an incident's places become pieces to mend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.kernel.xfs_health import HEALTH_BITS, HealthDomain, MetaPath, ScrubType
from fsmend_collector.diagnosis.places import PLACES_LISTED
from fsmend_collector.xfs_items import (
    ITEMS_LIMIT,
    METAPATH,
    PLACES_LIMIT,
    SCRUB_TYPES,
    is_more_than_named,
    items_of,
)
from fsmend_proto.v1 import event_pb2
from fsmend_proto.v1.incident_pb2 import Place

SCOPES = {
    HealthDomain.FS: event_pb2.XFS_SCOPE_FS,
    HealthDomain.AG: event_pb2.XFS_SCOPE_AG,
    HealthDomain.RTGROUP: event_pb2.XFS_SCOPE_RTGROUP,
    HealthDomain.INODE: event_pb2.XFS_SCOPE_INODE,
}


def rows(*places):
    return [(one.type, one.agno, one.ino, one.generation) for one in items_of(places)]


@pytest.mark.parametrize("domain", HealthDomain)
def test_both_sides_have_the_same_table(domain):
    assert SCRUB_TYPES[SCOPES[domain]] == tuple(tuple(map(int, bit.scrub_types)) for bit in HEALTH_BITS[domain])


def test_one_piece_for_each_bit_of_a_group():
    mask = 1 << 4 | 1 << 5
    assert rows(Place(xfs_scope=event_pb2.XFS_SCOPE_AG, xfs_number=3, xfs_sick=mask)) == [
        (ScrubType.BNOBT, 3, 0, 0),
        (ScrubType.CNTBT, 3, 0, 0),
    ]


def test_an_inode_with_its_generation():
    place = Place(ino=131, generation=7, xfs_scope=event_pb2.XFS_SCOPE_INODE, xfs_sick=1 << 4)
    assert rows(place) == [(ScrubType.DIR, 0, 131, 7)]


def test_an_inode_that_does_not_load_is_mended_whole():
    assert (ScrubType.INODE, 0, 131, 0) in rows(Place(ino=131))


def test_a_metadata_path_asks_for_every_path():
    found = rows(Place(xfs_scope=event_pb2.XFS_SCOPE_FS, xfs_sick=1 << 9))
    assert found == [(METAPATH, 0, path, 0) for path in MetaPath if path]


def test_places_without_a_part_name_nothing():
    assert rows(Place(function="xfs_dinode_verify", line=3)) == []


@pytest.mark.parametrize(("count", "is_more"), [(PLACES_LIMIT - 1, False), (PLACES_LIMIT, True)])
def test_when_more_is_sick_than_an_incident_lists_the_whole_is_taken(count, is_more):
    places = [Place(xfs_scope=event_pb2.XFS_SCOPE_AG, xfs_number=number, xfs_sick=1) for number in range(count)]
    assert is_more_than_named(places) is is_more
    assert bool(items_of(places)) is not is_more


def test_more_pieces_than_a_command_takes_are_the_whole():
    places = [Place(ino=number, xfs_scope=event_pb2.XFS_SCOPE_INODE, xfs_sick=0x7F) for number in range(1, 60)]
    assert is_more_than_named(places)
    assert items_of(places) == []


def test_the_limit_is_what_an_incident_lists():
    assert PLACES_LIMIT == PLACES_LISTED


@given(
    st.lists(
        st.builds(
            Place,
            ino=st.integers(0, 2**64 - 1),
            xfs_scope=st.sampled_from([*SCOPES.values(), 0]),
            xfs_number=st.integers(0, 2**32 - 1),
            xfs_sick=st.integers(0, 2**32 - 1),
        ),
        max_size=80,
    )
)
def test_any_places_give_bounded_known_and_distinct_pieces(places):
    found = rows(*places)
    assert len(found) == len(set(found)) <= ITEMS_LIMIT
    assert {one[0] for one in found} <= set(ScrubType)
