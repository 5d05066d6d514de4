"""The same fault with only k of its hosts or units."""

from functools import cache

import pytest

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.in_memory import play
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.sweep import keys_of, limited, shared_cause, sweep
from fsmend_collector.simulate.world import Presence


@cache
def fleet(seed):
    return make_fleet(FleetShape(hosts=400), seed)


@pytest.mark.parametrize(("name", "k"), [("rack_power", 3), ("hba_fault", 2), ("target_loss", 2)])
def test_what_is_spared_does_not_fail(name, k):
    world = scenarios()[name].world(fleet(1), seed=1)
    whole = shared_cause(world) or world.causes[0]
    left = limited(world, whole, k)
    assert len(keys_of(left)) == k
    assert left.members < whole.members
    assert world.causes[0] is left
    spared = {agent_id for agent_id, _ in whole.members} - {agent_id for agent_id, _ in left.members}
    happened = {what.agent_id for _, _, what in world.happenings if isinstance(what, (Evidence, Presence))}
    assert not spared & {one for one in happened if (one, one) in whole.members}
    units = {(what.agent_id, what.device_id) for _, _, what in world.happenings if isinstance(what, Evidence)}
    assert not units & (whole.members - left.members)


def test_recall_rises_with_k():
    calls = []
    points = sweep(scenarios()["hba_fault"], fleet, [1, 2], lambda: calls.append(1))
    assert [one.k for one in points] == list(range(1, len(points) + 1))
    assert (points[0].found, points[-1].found) == (0, 2)
    assert points[-1].resolvable == 2
    assert len(calls) == 2 * len(points)


def test_a_fault_of_one_disk_has_no_curve():
    assert sweep(scenarios()["dying_drive"], fleet, [1], lambda: None) == []


def test_a_run_in_memory_is_a_result_with_its_truth():
    result, truth = play(scenarios()["hba_fault"], fleet(1), 1)
    assert (result.way, result.score["found"], result.verdicts[0].right) == ("memory", 1, True)
    assert truth[0]["value"] == result.truths[0].value
    assert {one.host for one in result.floor.cells if one.verdict} == {
        one.host for one in result.floor.cells if one.truth
    }
    assert truth[0]["members"]
