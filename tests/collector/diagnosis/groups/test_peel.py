"""The peel gives what scoring everything again at each step would give; and it is not slow."""

import random

from collector.diagnosis.groups import naive_peel
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_collector.diagnosis.groups.candidate import Candidate, Tally
from fsmend_collector.diagnosis.groups.explain import explain
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.peel import Peel

MINUTE = 60_000_000_000
DISKS = 4
HOSTS = 60


def groups_of(number, disk):
    """Return what a disk is in: an adapter, its host, rack and row; model, firmware, kernel and role by numbers."""
    return (
        ("fleet", "all"),
        ("row", f"w{number // 20}"),
        ("rack", f"r{number // 5}"),
        ("power_feed", f"p{number // 8}"),
        ("host", f"a{number}"),
        ("hba", f"a{number} h{disk // 2}"),
        ("model", f"M{number % 3}"),
        ("model+firmware", f"M{number % 3} F{number // 3 % 2}"),
        ("kernel", f"k{number // 2 % 4}"),
        ("label:role", f"x{number // 7 % 3}"),
    )


SIZES = {}
for _number in range(HOSTS):
    for _disk in range(DISKS):
        for _group in groups_of(_number, _disk):
            SIZES.setdefault(_group, set()).add((_number, _disk))


def mark(number, disk, minute):
    return Mark(minute * MINUTE, ("media", 0, f"a{number}", f"d{disk}"), "e", groups_of(number, disk))


def candidates_of(marks, least, rate):
    """Return a candidate for each group with enough marks in an hour, and one for each half of it."""
    rows = {}
    for one in marks:
        for group in one.groups:
            rows.setdefault(group, []).append(one)
    found = []
    for group, mine in sorted(rows.items()):
        for start, end in ((0, 60), (0, 30), (30, 60)):
            inside = frozenset(one for one in mine if start * MINUTE <= one.time_ns <= end * MINUTE)
            if len(inside) >= least:
                found.append(candidate(group, inside, start, end, least, rate))
    return found


def candidate(group, marks, start, end, least, rate):
    units = SIZES[group]
    hosts = len({number for number, _ in units})

    def here(agent_id):
        return sum(f"a{number}" == agent_id for number, _ in units)

    return Candidate(
        group,
        "media",
        1_800,
        start * MINUTE,
        end * MINUTE,
        least,
        marks,
        len(units),
        hosts,
        rate,
        rate,
        0.58,
        3.0,
        here,
    )


def within_of(marks):
    def within(_aspect, group):
        inside = sorted((one for one in marks if group in one.groups), key=lambda one: one.identity)
        return inside, len({number for number, _ in SIZES[group]})

    return within


@st.composite
def failings(draw):
    """Draw a few groups of which a share fails, and some noise; some disks fail twice."""
    rng = draw(st.randoms(use_true_random=False))
    wanted = draw(st.lists(st.sampled_from(sorted(SIZES)), min_size=1, max_size=4))
    hit = {(rng.randrange(HOSTS), rng.randrange(DISKS)) for _ in range(draw(st.integers(0, 12)))}
    for group in wanted:
        share = draw(st.sampled_from([0.2, 0.5, 1.0]))
        hit |= {unit for unit in sorted(SIZES[group]) if rng.random() < share}
    marks = [mark(number, disk, rng.randrange(61)) for number, disk in sorted(hit)]
    again = rng.sample(marks, min(len(marks), draw(st.integers(0, 4))))
    marks += [mark(int(one.agent_id[1:]), int(one.key[3][1:]), rng.randrange(61)) for one in again]
    return marks


@settings(deadline=None, max_examples=examples(150))
@given(failings(), st.integers(1, 4), st.sampled_from([1e-5, 1e-3, 0.05]))
def test_the_peel_gives_what_scoring_everything_again_would_give(marks, least, rate):
    candidates, within = candidates_of(marks, least, rate), within_of(marks)
    found = [
        (one.candidate.group, one.marks, one.score, one.suspects, dict(one.rivals), one.around)
        for one in explain(candidates, within)
    ]
    assert found == naive_peel.explain(candidates, within)


@settings(deadline=None, max_examples=examples(60))
@given(failings(), st.data())
def test_taking_marks_off_a_tally_gives_the_tally_of_the_rest(marks, data):
    group = data.draw(st.sampled_from(sorted({group for one in marks for group in one.groups}))) if marks else None
    mine = [one for one in marks if group in one.groups]
    if not mine:
        return
    gone = data.draw(st.lists(st.sampled_from(mine), unique_by=id))
    one = candidate(group, frozenset(mine), 0, 60, 1, 1e-3)
    tally = Tally(one, mine)
    tally.remove(gone)
    assert tally.score() == one.score(set(mine) - set(gone))


def test_each_step_looks_only_at_candidates_that_lost_marks(monkeypatch):
    """Two hundred hosts fail apart from each other, each with its adapters: scoring follows the marks."""
    marks = [
        Mark(n, ("media", 0, f"b{n}", f"d{disk}"), "e", (("host", f"b{n}"), ("hba", f"b{n} {disk // 2}")))
        for n in range(200)
        for disk in range(4)
    ]
    random.Random(1).shuffle(marks)
    groups = {}
    for one in marks:
        for group in one.groups:
            groups.setdefault(group, set()).add(one)
    candidates = [
        Candidate(group, "media", 300, 0, 60 * MINUTE, 2, frozenset(mine), len(mine), 1, 1e-6, 1e-6, 0.58, 3.0)
        for group, mine in groups.items()
    ]
    scored = []
    whole = Tally.score
    monkeypatch.setattr(Tally, "score", lambda tally: scored.append(1) or whole(tally))
    assert len(explain(candidates, lambda *_: (frozenset(), 0))) == 200
    assert len(scored) <= 4 * len(candidates)


def test_what_is_left_for_a_rival_is_what_was_left_when_the_cause_was_chosen():
    marks = [mark(number, disk, 5) for number in range(20) for disk in range(DISKS)]
    candidates = candidates_of(marks, 3, 1e-5)
    peel = Peel(candidates, within_of(marks))
    row = next(one for one in candidates if one.group[0] == "row")
    before = peel.rivals({row.group: row})
    peel.take(frozenset(marks[:10]))
    after = peel.rivals({row.group: row})
    assert before[row.group] == (row, frozenset(marks))
    assert after[row.group] == (row, frozenset(marks[10:]))


def test_a_group_that_was_like_its_siblings_is_looked_at_again_when_something_else_explains_them():
    """All hosts fail, those of one model with a disk each, the others as a whole: these are explained one by one."""
    hit = [(number, disk) for number in range(HOSTS) for disk in range(1 if number % 3 == 1 else DISKS)]
    marks = [mark(number, disk, 5) for number, disk in hit]
    alone = {("host", f"a{number}") for number in range(HOSTS) if number % 3 != 1}
    candidates = [one for one in candidates_of(marks, 3, 1e-5) if one.group in alone | {("model", "M1")}]
    found = [one.candidate.group for one in explain(candidates, within_of(marks))]
    assert found == [group for group, *_ in naive_peel.explain(candidates, within_of(marks))]
    assert 0 < found.index(("model", "M1")) < len(alone)


def two_racks(hosts, disks, shared, penalty):
    """Return the candidates of two racks that fail: power feeds hold all of the first, and some hosts of the second."""
    first = [mark(number, disk, 5) for number in range(5) for disk in range(DISKS)]
    second = [mark(number, disk, 5) for number in range(45, 45 + hosts) for disk in range(disks)]
    groups = {
        ("fleet", "all"): (first + second, 60),
        ("rack", "r0"): (first, 5),
        ("rack", "r9"): (second, hosts),
        **{("host", f"a{number}"): ([one for one in first if one.agent_id == f"a{number}"], 1) for number in range(5)},
    }
    groups |= {
        ("power_feed", f"p{at}"): (first + [one for one in second if int(one.agent_id[1:]) - 45 < some], 30 + at)
        for at, some in enumerate(shared)
    }
    return [
        Candidate(
            group, "media", 300, 0, 60 * MINUTE, 5, frozenset(mine), size * DISKS, size, 1e-3, 1e-3, 0.58,
            penalty if group[0] == "rack" else 3.0, 0.0, _four,
        )
        for group, (mine, size) in groups.items()
    ]  # fmt: skip


def _four(_agent_id):
    return DISKS


def test_a_group_that_holds_a_cause_and_by_chance_some_of_another_leaves_both_their_own(monkeypatch):
    candidates = two_racks(5, 2, [3], 3.0)
    found = {one.candidate.group: one.marks for one in explain(candidates, lambda *_: (frozenset(), 0))}
    assert found == {group: one.marks for one in candidates if (group := one.group)[0] == "rack"}
    monkeypatch.setattr("fsmend_collector.diagnosis.groups.explain._LED_AT_MOST", sum(map(len, found.values())))
    (whole,) = explain(candidates, lambda *_: (frozenset(), 0))
    assert whole.candidate.group == ("fleet", "all")


@settings(deadline=None, max_examples=examples(150))
@given(
    st.integers(3, 6),
    st.integers(1, DISKS),
    st.lists(st.integers(1, 5), max_size=4),
    st.sampled_from([1.0, 3.0, 9.0, 12.0]),
)
def test_other_groups_that_are_taken_first_give_what_the_naive_peel_gives(hosts, disks, shared, penalty):
    candidates = two_racks(hosts, disks, shared, penalty)
    found = [(one.candidate.group, one.marks, one.score) for one in explain(candidates, lambda *_: (frozenset(), 0))]
    assert found == [row[:3] for row in naive_peel.explain(candidates, lambda *_: (frozenset(), 0))]
