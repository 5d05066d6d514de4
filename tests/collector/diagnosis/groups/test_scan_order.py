"""Duplicates, reordering, lateness and a restart give the identical verdicts."""

from collector.diagnosis.groups.fleets import DISKS, POPULATION, START, content, error, feed, scanned
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_collector.diagnosis.groups import GroupScan

DAY_SECONDS = 86_400


@st.composite
def streams(draw):
    """Draw a few causes and some noise, within a day."""
    stream = []
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, DAY_SECONDS // 2))
        number = draw(st.integers(0, 39)) * 10
        match draw(st.sampled_from(["hba", "host", "rack", "kernel"])):
            case "hba":
                stream += [error(number, disk, "lost", at + disk) for disk in range(4)]
            case "host":
                stream += [error(number, disk, "corrupt", at + 60 * disk) for disk in range(DISKS)]
            case "rack":
                stream += [error(number + n, disk, "lost", at + n) for n in range(10) for disk in range(3)]
            case "kernel":
                stream += [error(4 * n + 1, n % DISKS, "corrupt", at + 300 * n) for n in range(20)]
                # One line after another of the same error, of which the first may say nothing of the code.
                places = draw(st.lists(st.sampled_from(["xfs_a", "xfs_b", ""]), min_size=1, max_size=3))
                stream += [
                    error(4 * n + 1, n % DISKS, "corrupt", at + 300 * n + late, function=place, line=7)
                    for late, place in enumerate(places)
                    for n in range(20)
                ]
    for _ in range(draw(st.integers(0, 8))):
        number, disk = draw(st.integers(0, 399)), draw(st.integers(0, DISKS - 1))
        stream.append(
            error(number, disk, draw(st.sampled_from(["media", "lost"])), draw(st.integers(0, DAY_SECONDS - 1)))
        )
    return stream


@settings(deadline=None, max_examples=examples(30))
@given(streams(), st.data())
def test_any_order_and_any_repetition_gives_the_identical_verdicts(stream, data):
    repeats = data.draw(st.lists(st.sampled_from(stream), max_size=20))
    mixed = stream + repeats
    data.draw(st.randoms(use_true_random=False)).shuffle(mixed)
    assert content(scanned(mixed)) == content(scanned(stream)) == content(scanned(mixed, ticks=False))


@settings(deadline=None, max_examples=examples(8))
@given(streams(), st.data())
def test_a_restart_in_the_middle_gives_the_identical_verdicts(stream, data):
    cut = data.draw(st.integers(0, len(stream)))
    first = GroupScan(POPULATION)
    feed(first, stream[:cut])
    second = GroupScan(POPULATION)
    feed(second, stream[:cut], ticks=False)  # as the store gives it back
    feed(second, stream[cut:])
    second.settle(START + 2 * DAY_SECONDS * 10**9)
    assert content(second) == content(scanned(stream))
