"""Policy: which commands an incident calls for. Pure: no I/O, no clock."""

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fsmend_proto.v1 import command_pb2, incident_pb2, inventory_pb2


class Mode(enum.Enum):
    """What becomes of a proposal."""

    AUTOMATIC = "automatic"  # queued
    SHADOW = "shadow"  # written to the incident's timeline, never queued
    OFF = "off"  # nothing is proposed


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """Settings of the policy.

    Attributes:
        mode: what becomes of a proposal.
        attempts: how often one action is tried for one incident; after that a person is asked.
        back_off_seconds: least time between two attempts of one action for one incident.
        time_to_live_seconds: a command that has not begun by then never runs.
    """

    mode: Mode = Mode.AUTOMATIC
    attempts: int = 3
    back_off_seconds: int = 3600
    time_to_live_seconds: int = 900


@dataclass(frozen=True, slots=True)
class PastCommand:
    """A command that was already ordered, as the dispatch table has it.

    Attributes:
        action: name of the field of Command.action: scrub_btrfs, collect_evidence …
        ordered_ns: collector's wall clock.
    """

    command_id: str
    incident_id: str
    agent_id: str
    filesystem_uuid: str
    action: str
    state: command_pb2.CommandState.ValueType
    ordered_ns: int


@dataclass(frozen=True, slots=True)
class ProposedCommand:
    """A command that the policy wants.

    Attributes:
        command: complete but for signature and approval.
        agent_id: whom to send it to.
        reason: one line for a person; also in the command.
        shadow: log it, never send it.
    """

    command: command_pb2.Command
    agent_id: str
    reason: str
    shadow: bool = False


@dataclass(frozen=True, slots=True)
def propose(
    incident: incident_pb2.Incident,
    inventory: inventory_pb2.Inventory | None,
    commands: Collection[PastCommand],
    config: PolicyConfig,
    now_ns: int,
) -> list[ProposedCommand]:
    """Return the commands that the incident calls for now, in the order in which they should run.

    Args:
        incident: as diagnosis has it.
        inventory: of the incident's agent; None: unknown, then nothing is proposed.
        commands: all of this incident, and the unfinished ones of this agent.
        config: settings.
        now_ns: collector's wall clock.
    """
    raise NotImplementedError


def read_policy_config(raw: Mapping[str, object]) -> tuple[PolicyConfig, list[str]]:
    """Read settings; return them with every problem found, each one line for the operator."""
    raise NotImplementedError
