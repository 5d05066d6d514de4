"""The coalescer never loses a count, and what it lets out is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent import coalesce
from fsmend_agent.coalesce import MAX_PLACES, Coalescer
from fsmend_agent.event import new_event
from fsmend_proto.v1 import event_pb2 as pb


def finding(*, ino=0, signature="ext4_lookup:1787 errno 117", count=1, at=0, uuid="u-1", errno=117, source="trace"):
    event = new_event(
        source,
        pb.EVENT_KIND_FS_METADATA_CORRUPTION,
        pb.SEVERITY_ERROR,
        pb.Clocks(boot_ns=at, wall_ns=at),
        message=f"{signature} {ino}",
        signature=signature,
    )
    event.count = count
    event.errno = errno
    event.filesystem.uuid = uuid
    if ino:
        event.inode.ino = ino
    return event


def test_the_first_of_a_kind_goes_out_at_once_and_unchanged():
    event = finding(ino=12)
    before = event.SerializeToString()
    assert [out.SerializeToString() for out in Coalescer(1.0).add(event, 5.0)] == [before]


def test_repeats_come_out_at_the_end_of_the_window_with_exact_count_and_first_and_last_time():
    folding = Coalescer(2.0)
    folding.add(finding(ino=12, at=100), 0.0)
    for at in (300, 200, 400):
        assert folding.add(finding(ino=12, at=at, count=5), 0.5) == []
    assert folding.due(1.9) == []
    (event,) = folding.due(2.0)
    assert (event.count, event.clocks.boot_ns, event.last.boot_ns) == (15, 200, 400)
    assert event.inode.ino == 12
    assert not event.others_unknown
    assert "15 times" in event.message


def test_a_single_repeat_is_still_an_ordinary_event():
    folding = Coalescer(1.0)
    folding.add(finding(ino=12, at=1), 0.0)
    folding.add(finding(ino=12, at=2), 0.1)
    (event,) = folding.due(1.0)
    assert (event.count, event.clocks.boot_ns, event.HasField("last")) == (1, 2, False)


def test_a_few_inodes_are_each_visible():
    folding = Coalescer(1.0)
    out = [event for ino in range(1, 1 + MAX_PLACES) for event in folding.add(finding(ino=ino), 0.0)]
    assert [event.inode.ino for event in out] == list(range(1, 1 + MAX_PLACES))


def test_ten_thousand_inodes_stay_bounded_and_exact():
    folding = Coalescer(1.0)
    out = [event for ino in range(1, 10_001) for event in folding.add(finding(ino=ino), 0.0)]
    assert len(out) == MAX_PLACES
    (rest,) = folding.due(1.0)
    assert rest.count == 10_000 - MAX_PLACES
    assert rest.others_unknown
    assert f"more than {coalesce.DISTINCT_LIMIT} places" in rest.message
    assert f"inode {MAX_PLACES + 1}" in rest.message


def test_a_storm_that_goes_on_gives_one_event_a_window():
    folding, out = Coalescer(1.0), []
    for tick in range(100):
        now = tick / 10
        out += folding.due(now)
        out += folding.add(finding(ino=12), now)
    assert len(out) == 1 + 9
    assert sum(event.count for event in out + folding.flush()) == 100


def test_after_a_quiet_window_the_next_one_goes_out_at_once_again():
    folding = Coalescer(1.0)
    folding.add(finding(ino=12), 0.0)
    assert folding.due(1.0) == []
    assert folding.due(2.0) == []
    assert len(folding) == 0
    assert len(folding.add(finding(ino=12), 2.0)) == 1


def test_places_are_shown_again_once_the_earlier_ones_are_quiet():
    folding = Coalescer(1.0)
    for ino in range(1, MAX_PLACES + 2):
        folding.add(finding(ino=ino), 0.0)
    folding.due(1.0)
    assert len(folding.add(finding(ino=999), 1.5)) == 1


def test_readings_of_counters_are_never_folded():
    folding = Coalescer(1.0)
    event = finding()
    event.ext4_counters.new_errors = 3
    assert folding.add(event, 0.0) == [event]
    assert folding.add(event, 0.0) == [event]
    assert len(folding) == 0


def test_a_window_of_nothing_folds_nothing():
    folding = Coalescer(0)
    assert [len(folding.add(finding(ino=1), 0.0)) for _ in range(3)] == [1, 1, 1]


def test_too_many_signatures_fold_into_the_unit_and_say_so():
    folding = Coalescer(1.0, max_signatures=8)
    out = [event for number in range(50) for event in folding.add(finding(signature=f"s{number}"), 0.0)]
    rest = folding.due(1.0)
    assert sum(event.count for event in out + rest) == 50
    (mixed,) = rest
    assert mixed.filesystem.uuid == "u-1"
    assert mixed.errno == 0
    assert mixed.others_unknown
    assert mixed.message.startswith("findings of many signatures")


def test_too_many_units_fold_into_the_kind_and_name_no_unit():
    folding = Coalescer(1.0, max_signatures=4)
    out = [event for number in range(50) for event in folding.add(finding(uuid=f"u{number}"), 0.0)]
    rest = folding.due(1.0)
    assert sum(event.count for event in out + rest) == 50
    assert [event.HasField("filesystem") for event in rest] == [False]


def test_the_worst_severity_of_a_folded_event_is_kept():
    folding = Coalescer(1.0)
    folding.add(finding(), 0.0)
    folding.add(finding(), 0.0)
    worst = finding()
    worst.severity = pb.SEVERITY_CRITICAL
    folding.add(worst, 0.0)
    assert [event.severity for event in folding.due(1.0)] == [pb.SEVERITY_CRITICAL]


def test_a_count_that_would_not_fit_goes_out_early():
    folding, huge = Coalescer(1.0), 2**64 - 1
    out = [event for _ in range(3) for event in folding.add(finding(count=huge), 0.0)]
    assert sum(event.count for event in out + folding.flush()) == 3 * huge


def test_next_due_is_the_end_of_the_oldest_window():
    folding = Coalescer(2.0)
    assert folding.next_due() is None
    folding.add(finding(uuid="a"), 1.0)
    folding.add(finding(uuid="b"), 2.0)
    assert folding.next_due() == 3.0


steps = st.lists(
    st.tuples(
        st.floats(0, 0.7),  # time that passes before
        st.integers(0, 200),  # inode
        st.integers(0, 12),  # signature
        st.integers(0, 5),  # filesystem
        st.integers(0, 2**32 - 1),  # count; 0 stands for 1
        st.booleans(),  # whether `due` is asked
    ),
    max_size=200,
)


@given(steps, st.integers(0, 40))
def test_the_sum_of_counts_out_is_the_sum_in_and_the_table_is_bounded(story, max_signatures):
    folding, now, total, out = Coalescer(1.0, max_signatures), 0.0, 0, []
    for wait, ino, signature, uuid, count, asks in story:
        now += wait
        if asks:
            out += folding.due(now)
        total += max(1, count)
        out += folding.add(finding(ino=ino, signature=f"s{signature}", uuid=f"u{uuid}", count=count, at=int(now)), now)
        assert len(folding) <= max_signatures + max_signatures // 4 + 1
    out += folding.flush()
    assert sum(max(1, event.count) for event in out) == total
    assert len(folding) == 0


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=400))
def test_the_events_let_out_in_one_window_are_bounded(storm):
    folding, bound = Coalescer(1.0, max_signatures=16), 2 * (16 + 4 + 1)
    out = [
        event
        for ino, number in storm
        for event in folding.add(finding(ino=ino, signature=str(number % 50), uuid=str(number % 7)), 0.0)
    ]
    out += folding.due(1.0)
    assert len(out) <= bound


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_distinct_findings_are_never_mixed_while_there_is_room(story):
    folding = Coalescer(1.0)
    out = [event for letter in story for event in folding.add(finding(signature=letter), 0.0)] + folding.due(1.0)
    for letter in "abc":
        assert sum(event.count for event in out if event.signature == letter) == story.count(letter)
