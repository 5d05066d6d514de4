"""The fleet's brakes on automatic repair: how many hosts at once, and when none at all. Pure: no I/O, no clock.

What the policy proposes passes through here before it is ordered. Observing is never braked: it changes nothing.
"""

import enum
from collections.abc import Collection, Iterable, Sequence

from fsmend_collector.policy import PolicyConfig, ProposedCommand
from fsmend_proto.v1 import command_pb2

EXPLAINED_SECONDS = 30
"""The group scan looks at least every ten seconds: after so long a shared cause is found, or there is none yet."""

_SECOND_NS = 1_000_000_000


def is_braked(action_class: int) -> bool:
    """Say whether actions of a class fall under the brakes: all that do more than look."""
    return action_class >= command_pb2.ACTION_CLASS_CHECK


def hosts_at_once(hosts: int, config: PolicyConfig) -> int:
    """Return how many hosts of a fleet may be under repair by the policy's commands at once: one at least."""
    return max(1, hosts * config.repair_share_percent // 100)


def within_share(
    proposed: Iterable[ProposedCommand], repairing: Collection[str], hosts: int, config: PolicyConfig
) -> list[ProposedCommand]:
    """Return what may be ordered now, in the order given; the rest is proposed again when others have ended.

    Args:
        proposed: what the policy wants, most urgent first.
        repairing: agents that have a braked command of the policy that is not over.
        hosts: in the fleet.
        config: settings.
    """
    busy, most = set(repairing), hosts_at_once(hosts, config)
    allowed = []
    for one in proposed:
        if is_braked(one.command.action_class) and not one.shadow:
            if one.agent_id not in busy and len(busy) >= most:
                continue
            busy.add(one.agent_id)
        allowed.append(one)
    return allowed


class Storm(enum.Enum):
    """Whether incidents come in a storm."""

    NONE = "none"
    WAIT = "wait"  # too many are new, but a shared cause may still explain them: order nothing now
    STOP = "stop"  # nothing explains them: a person must look before anything is repaired by itself


def storm_of(opened_ns: Sequence[int], released_ns: int, config: PolicyConfig, now_ns: int) -> Storm:
    """Say whether too many incidents are new.

    Args:
        opened_ns: when incidents opened that no shared cause holds.
        released_ns: when a person last let automatic repairs go on; incidents from before do not count. 0: never.
        config: settings.
        now_ns: collector's wall clock.
    """
    since_ns = max(now_ns - config.storm_seconds * _SECOND_NS, released_ns + 1)
    new = [one for one in opened_ns if since_ns <= one <= now_ns]
    if len(new) < config.storm_incidents:
        return Storm.NONE
    unexplained = sum(one <= now_ns - EXPLAINED_SECONDS * _SECOND_NS for one in new)
    return Storm.STOP if unexplained >= config.storm_incidents else Storm.WAIT
