"""Whether a simulated fleet may be let into a collector: never into one that watches real hosts by accident."""

import ipaddress
import re

from fsmend_collector.addresses import split_address
from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.inventory import MARK
from fsmend_collector.simulate.wire.operator import Operator
from fsmend_proto.v1 import query_pb2 as pb

FLAG = "--into-this-collector"
_HOST_NAME = re.compile(r"host[0-9]{6}")


def on_loopback(address: str) -> bool:
    """Say whether host:port is this machine's own loopback address; a name other than localhost is not asked for."""
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def check(operator: Operator, *, consent: bool) -> None:
    """Refuse a collector that is elsewhere, or that has agents which are not simulated, unless the operator insists.

    Raises:
        SimulationRefused: it is one of these.
    """
    if consent:
        return
    address = operator.access.address
    advice = f"`--start-collector` starts a throw-away one; {FLAG} says that the store of this one may be spoilt"
    if not on_loopback(address):
        raise SimulationRefused(f"collector {address} is not on this machine's loopback address\n{advice}")
    real = [one for one in await operator.agents() if not is_simulated(one)]
    if real:
        named = ", ".join(one.host_name for one in real[:3]) + (" …" if len(real) > 3 else "")
        raise SimulationRefused(f"collector {address} has {len(real)} agents that are not simulated: {named}\n{advice}")


def is_simulated(agent: pb.AgentView) -> bool:
    """Say whether an agent is one of ours; one that never connected is known by its host's name only."""
    if not agent.agent_version:
        return bool(_HOST_NAME.fullmatch(agent.host_name))
    return agent.agent_version.endswith(MARK)
