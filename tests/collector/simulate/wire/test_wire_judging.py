"""What a collector says is read back in the world's own names, and timed by its own clock."""

import pytest

from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.wire.judging import Judge
from fsmend_collector.simulate.world import SECOND
from fsmend_proto.v1 import event_pb2, incident_pb2
from fsmend_proto.v1 import query_pb2 as pb

BEGAN = 2_000 * SECOND
OPEN = incident_pb2.INCIDENT_STATE_OPEN


def real(agent_id):
    return f"uuid-of-{agent_id}"


class Collector:
    """A collector that says what it is told to say."""

    def __init__(self):
        self.said, self.received = [], []

    async def incidents(self):
        return [one for one in self.said if one.state == OPEN]

    async def incident(self, incident_id):
        return next(one for one in self.said if one.id == incident_id)

    async def events(self, since_ns):
        for one in self.received:
            if one.received_ns >= since_ns:
                yield one


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(FleetShape(hosts=400), seed=1)


@pytest.fixture
def world(fleet):
    return scenarios()["hba_fault"].world(fleet, seed=1)


@pytest.fixture
def collector():
    return Collector()


@pytest.fixture
def judge(collector, world):
    names = {real(one.agent_id): one.agent_id for one in world.fleet.views}
    return Judge(collector, world, names, BEGAN)


def shared(world, opened_ns=BEGAN + 9 * SECOND, state=OPEN, **changes):
    """Return what the collector says of the cause, with ids of its own."""
    (cause,) = world.causes
    agent_id, _, path = cause.value.partition(" ")
    fields = {"dimension": cause.dimension, "value": f"{real(agent_id)} {path}"} | changes
    return incident_pb2.Incident(
        id="i-1",
        code="HBA_FAULT",
        state=state,
        cause=incident_pb2.Cause(**fields),
        members=[incident_pb2.Unit(agent_id=real(agent), device_id=unit) for agent, unit in sorted(cause.members)],
        opened_ns=opened_ns,
        updated_ns=opened_ns,
        statistics=incident_pb2.GroupStatistics(observed=3),
    )


def arrivals(world):
    (cause,) = world.causes
    return [
        pb.EventView(
            agent_id=real(agent_id),
            received_ns=BEGAN + at * SECOND,
            event=event_pb2.Event(device=event_pb2.DeviceRef(id=unit)),
        )
        for at, (agent_id, unit) in enumerate(sorted(cause.members), 1)
    ]


async def test_a_right_incident_is_right_whatever_ids_the_collector_gave(judge, collector, world):
    collector.said, collector.received = [shared(world)], arrivals(world)
    assert not judge.satisfied()
    await judge.look()
    await judge.count_arrivals({})
    score = judge.score("topology")
    assert (score.found, score.right, score.told) == (1, 1, 1)
    assert judge.satisfied()
    k = judge.resolved()[0].from_chance.count
    assert score.detect_seconds == [pytest.approx(9 - k)]


async def test_a_host_is_known_by_its_id_and_by_its_name(judge, collector, world):
    view = world.fleet.views[7]
    for shown in (real(view.agent_id), view.host_name):
        collector.said = [shared(world, dimension="host", value=shown, opened_ns=BEGAN + len(shown))]
        await judge.look()
        assert judge.shared[0].value == view.agent_id


async def test_an_incident_of_another_adapter_is_wrong(judge, collector, world):
    collector.said = [shared(world, value=real(world.fleet.views[0].agent_id) + " 0000:99:00.0")]
    await judge.look()
    assert not judge.satisfied()
    assert judge.score("").right == 0


@pytest.mark.parametrize(
    "other", [{"opened_ns": BEGAN - 1}, {"state": incident_pb2.INCIDENT_STATE_MERGED}, {"state": 3}]
)
async def test_what_is_over_or_from_before_does_not_count(judge, collector, world, other):
    collector.said = [shared(world, **other)]
    await judge.look()
    assert judge.shared == []


async def test_an_incident_that_was_first_about_something_else_counts_from_its_change_on(judge, collector, world):
    collector.received = arrivals(world)
    collector.said = [shared(world, dimension="host", value=real(world.causes[0].value.split()[0]))]
    await judge.look()
    changed = shared(world)
    changed.updated_ns = BEGAN + 20 * SECOND
    collector.said = [changed]
    await judge.look()
    await judge.count_arrivals({})
    k = judge.resolved()[0].from_chance.count
    assert judge.score("").detect_seconds == [pytest.approx(20 - k)]


async def test_silence_arrives_when_it_has_lasted(judge, world):
    agent_id = world.fleet.views[0].agent_id
    await judge.count_arrivals({agent_id: BEGAN})
    assert judge.arrivals == {(agent_id, agent_id): BEGAN + 300 * SECOND}
