"""Which of several groups of the same units is the cause, where a large one holds what chance brings, or began twice."""

from collector.diagnosis.groups.fleets import DAY, START

from fsmend_collector.diagnosis.groups.candidate import Candidate
from fsmend_collector.diagnosis.groups.explain import explain
from fsmend_collector.diagnosis.groups.marks import Mark

DISKS = 8


def marks(hosts, days):
    """Return one failing disk on each of the hosts, at these days."""
    return [
        Mark(
            START + int(day * DAY),
            ("media", 0, f"a{number}", f"wwid:{number}-0"),
            f"e{number}",
            (("power_feed", f"p{number // 100}"),),
        )
        for number, day in zip(hosts, days, strict=True)
    ]


def candidate(group, found, *, hosts, times=1.0):
    """Return a group that fails so, and is known to fail so many times as often as the fleet."""
    return Candidate(
        group=group,
        aspect="media",
        seconds=2_592_000,
        start_ns=min(mark.time_ns for mark in found),
        end_ns=max(mark.time_ns for mark in found),
        least=3,
        marks=frozenset(found),
        units=hosts * DISKS,
        hosts=hosts,
        per_hour=3.5e-6 * times,
        base_per_hour=3.5e-6,
        shape=5.0,
        penalty=10.0,
        prior=7.0,
    )


def test_what_the_rest_of_a_room_always_did_is_no_reason_to_blame_the_room():
    wears = marks(range(120, 148, 2), [1.5 * at for at in range(14)])
    frail = marks(range(160, 240, 9), [0.5 + 2 * at for at in range(9)])
    delivery = candidate(("label:delivery", "d3"), wears, hosts=40)
    for times, cause in ((1.0, ("room", "o1")), (5.0, ("label:delivery", "d3"))):
        room = candidate(("room", "o1"), wears + frail, hosts=120, times=times)
        (one,) = explain([room, delivery], lambda *_: (wears + frail, 5_000))
        assert one.candidate.group == cause


def test_of_a_room_that_wears_out_as_a_whole_a_half_that_began_later_is_no_cause_of_its_own():
    early = marks(range(30), [0.3 + 0.91 * at for at in range(30)])
    late = marks(range(100, 130), [8.5 + 0.63 * at for at in range(30)])
    feeds = [candidate(("power_feed", f"p{at}"), half, hosts=100) for at, half in enumerate((early, late))]
    room = candidate(("room", "o0"), early + late, hosts=200)
    assert sum(one.whole for one in feeds) > room.whole
    (one,) = explain([room, *feeds], lambda *_: (early + late, 5_000))
    assert one.candidate.group == ("room", "o0")


def test_two_halves_of_a_room_that_fail_weeks_apart_are_two_causes():
    early = marks(range(20), [0.05 * at for at in range(20)])
    late = marks(range(100, 130), [20 + 0.05 * at for at in range(30)])
    feeds = [candidate(("power_feed", f"p{at}"), half, hosts=100) for at, half in enumerate((early, late))]
    room = candidate(("room", "o0"), early + late, hosts=200)
    found = explain([room, *feeds], lambda *_: (early + late, 5_000))
    assert {one.candidate.group for one in found} == {("power_feed", "p0"), ("power_feed", "p1")}
