"""A simulated fleet gets into no collector by accident."""

from types import SimpleNamespace

import pytest

from fsmend_collector.simulate.wire.consent import check, on_loopback
from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.inventory import AGENT_VERSION
from fsmend_proto.v1 import query_pb2 as pb


def operator(address="127.0.0.1:9443", *agents):
    async def known():
        return list(agents)

    return SimpleNamespace(access=SimpleNamespace(address=address), agents=known)


SIMULATED = pb.AgentView(host_name="host000001", agent_version=AGENT_VERSION)
REAL = pb.AgentView(host_name="db7", agent_version="0.1.0")
NEVER_SEEN = pb.AgentView(host_name="db8")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.9.9.9:1"])
def test_loopback_is_known(address):
    assert on_loopback(address)


@pytest.mark.parametrize("address", ["collector.example:9443", "10.0.0.1:9443", "[::]:1", "localhost.example:1"])
def test_everything_else_is_elsewhere(address):
    assert not on_loopback(address)


async def test_a_collector_elsewhere_is_refused():
    with pytest.raises(SimulationRefused, match="not on this machine's loopback"):
        await check(operator("collector.example:9443"), consent=False)


@pytest.mark.parametrize("agent", [REAL, NEVER_SEEN])
async def test_a_collector_of_real_hosts_is_refused_wherever_it_is(agent):
    with pytest.raises(SimulationRefused, match="1 agents that are not simulated: db"):
        await check(operator("127.0.0.1:9443", SIMULATED, agent), consent=False)


async def test_an_empty_or_simulated_fleet_on_loopback_is_good():
    await check(operator(), consent=False)
    await check(operator("127.0.0.1:1", SIMULATED, pb.AgentView(host_name="host000002")), consent=False)


async def test_an_operator_may_insist():
    await check(operator("collector.example:9443", REAL), consent=True)
