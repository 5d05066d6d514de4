"""What a unit showed is a function of the set of its errors: what is called a repeat changes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.diagnosis.groups.marks import Sightings
from fsmend_collector.diagnosis.groups.settings import HOUR_NS

KEY = ("corrupt", 1, "a1", "fs")
ERRORS = st.lists(
    st.tuples(st.integers(0, 300).map(lambda at: at * HOUR_NS // 3), st.sampled_from(["", "xfs_a:1", "xfs_b:2"])),
    min_size=1,
)


def shown(errors, *, repeats):
    sightings, skipped = Sightings(36 * HOUR_NS), 0
    for number, (time_ns, signature) in enumerate(errors):
        if repeats and sightings.hours and sightings.repeats(time_ns, signature):
            skipped += 1
            continue
        hour, moved = sightings.add(time_ns, f"e{time_ns}-{number:03}")
        if signature:
            hour.sign(signature)
        if moved:
            sightings.update(KEY)
    hours = [(hour.end_ns, hour.time_ns, hour.evidence, hour.signature) for hour in sightings.hours]
    return hours, [(mark.identity, mark.evidence, mark.signature) for mark in sightings.marks], skipped


@given(ERRORS)
def test_leaving_repeats_out_leaves_all_as_it_is(errors):
    assert shown(errors, repeats=True)[:2] == shown(errors, repeats=False)[:2]


def test_later_in_the_hour_the_same_again_is_a_repeat_and_a_signature_before_it_is_none():
    first = (0, "xfs_b:2")
    assert shown([first, (HOUR_NS // 3, "xfs_b:2")], repeats=True)[2] == 1
    assert shown([first, (HOUR_NS // 3, "xfs_a:1")], repeats=True)[2] == 0
    assert shown([first, (HOUR_NS, "xfs_b:2")], repeats=True)[2] == 0


@given(ERRORS, st.randoms(use_true_random=False))
def test_the_marks_do_not_depend_on_the_order(errors, rng):
    errors = list(dict(errors).items())
    mixed = rng.sample(errors, len(errors))
    times = [identity for identity, _, _ in shown(errors, repeats=True)[1]]
    assert [identity for identity, _, _ in shown(mixed, repeats=True)[1]] == times
