"""Policy: which commands an incident calls for. Pure: no I/O, no clock.

The table `ANSWERS` says what each code on each type of filesystem calls for; the brakes are the same for all: one
action at a time on a filesystem, a back-off between attempts, a bound on attempts, and never a guess: without an
inventory, a filesystem's identity and the host's own word that it can, nothing is proposed.
"""

import enum
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace

from fsmend_collector.xfs_items import is_more_than_named, items_of
from fsmend_proto.v1 import command_pb2, incident_pb2, inventory_pb2

_SECONDS_NS = 1_000_000_000
_TAKEN_BACK_NS = 300 * _SECONDS_NS  # the first wait before what was taken back is ordered again
_MOST_DOUBLINGS = 20
_DEVID_DIMENSION = "btrfs_devid"  # of an incident's suspects: the faulty devices by their number

FINISHED = frozenset(
    {
        command_pb2.COMMAND_STATE_SUCCEEDED,
        command_pb2.COMMAND_STATE_FAILED,
        command_pb2.COMMAND_STATE_REFUSED,
        command_pb2.COMMAND_STATE_TIMED_OUT,
        command_pb2.COMMAND_STATE_CANCELLED,
        command_pb2.COMMAND_STATE_EXPIRED,
        command_pb2.COMMAND_STATE_UNKNOWN,
    }
)

_FOR_GOOD = frozenset(
    {
        command_pb2.REFUSAL_CODE_POLICY_DENIES,
        command_pb2.REFUSAL_CODE_SIGNATURE,
        command_pb2.REFUSAL_CODE_NOT_SUPPORTED,
        command_pb2.REFUSAL_CODE_HEALER_ACTIVE,
    }
)


class Mode(enum.Enum):
    """What becomes of a proposal."""

    AUTOMATIC = "automatic"  # queued
    SHADOW = "shadow"  # logged, never queued
    OFF = "off"  # nothing is proposed


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """Settings of the policy.

    Attributes:
        mode: what becomes of a proposal.
        attempts: how often one action is tried for one incident; after that a person is asked.
        back_off_seconds: least time between two attempts of one action for one incident.
        time_to_live_seconds: a command that has not begun by then never runs.
        repair_share_percent: of the fleet's hosts that may be under repair by the policy's commands at once; one at
            least.
        storm_incidents: so many new incidents within `storm_seconds`, not counting what a shared cause holds, stop
            automatic repairs until a person releases them.
        storm_seconds: see above.
    """

    mode: Mode = Mode.AUTOMATIC
    attempts: int = 3
    back_off_seconds: int = 3_600
    time_to_live_seconds: int = 900
    repair_share_percent: int = 2
    storm_incidents: int = 100
    storm_seconds: int = 600


@dataclass(frozen=True, slots=True)
class PastCommand:
    """A command that was already ordered, as the dispatch table has it.

    Attributes:
        action: name of the field of Command.action: scrub_btrfs, collect_evidence …
        ordered_ns: collector's wall clock.
        refusal: the agent's code when it was refused.
        verdict: of its result.
        withdrawn_ns: when the policy itself took it back, because a shared cause or the storm brake holds it; 0: never.
    """

    command_id: str
    incident_id: str
    agent_id: str
    filesystem_uuid: str
    action: str
    state: command_pb2.CommandState.ValueType
    ordered_ns: int
    refusal: command_pb2.RefusalCode.ValueType = command_pb2.REFUSAL_CODE_UNSPECIFIED
    verdict: command_pb2.Verdict.ValueType = command_pb2.VERDICT_UNSPECIFIED
    withdrawn_ns: int = 0


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
class Step:
    """One action of an answer.

    Attributes:
        action: name of the field of Command.action; `action.NAME` is the capability that it needs.
        action_class: who may order it.
        attempts: at most, for one incident; 0: as the configuration says.
        fill: sets the action's message from the incident.
        instead_of: only where this other action cannot be done, or was refused for good.
        named: whether the incident names what the action needs; until then it waits, for `patience_seconds`.
        patience_seconds: from the opening of the incident.
    """

    action: str
    action_class: command_pb2.ActionClass.ValueType
    fill: Callable[[command_pb2.Command, incident_pb2.Incident], None]
    attempts: int = 0
    instead_of: str = ""
    named: Callable[[incident_pb2.Incident], bool] = lambda _incident: True
    patience_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one code on one type of filesystem calls for: actions in turn, and what is left to a person."""

    steps: tuple[Step, ...]
    person: str


def _collect(command: command_pb2.Command, incident: incident_pb2.Incident) -> None:
    del incident
    command.collect_evidence.SetInParent()


def _scrub_btrfs(command: command_pb2.Command, incident: incident_pb2.Incident) -> None:
    """Scrub the devices that show errors, or all of them when none is named."""
    devids = {int(one.value) for one in incident.suspects if one.dimension == _DEVID_DIMENSION and one.value.isdigit()}
    command.scrub_btrfs.devids.extend(sorted(devids))
    command.scrub_btrfs.SetInParent()


def _repair_xfs(command: command_pb2.Command, incident: incident_pb2.Incident) -> None:
    """Repair what is sick; the whole filesystem when nothing says what that is."""
    command.repair_xfs.items.extend(items_of(incident.places, others_unknown=incident.others_unknown))
    command.repair_xfs.SetInParent()


def _scrub_xfs(command: command_pb2.Command, incident: incident_pb2.Incident) -> None:
    """Check the same."""
    command.scrub_xfs.items.extend(items_of(incident.places, others_unknown=incident.others_unknown))
    command.scrub_xfs.SetInParent()


def _names_btrfs_devices(incident: incident_pb2.Incident) -> bool:
    return any(one.dimension == _DEVID_DIMENSION for one in incident.suspects)


def _names_xfs_parts(incident: incident_pb2.Incident) -> bool:
    return bool(items_of(incident.places)) or is_more_than_named(
        incident.places, others_unknown=incident.others_unknown
    )


_EVIDENCE = Step("collect_evidence", command_pb2.ACTION_CLASS_OBSERVE, _collect, attempts=1)
# The kernel log speaks first; counters and what is sick are polled some seconds later.
_SCRUB_BTRFS = Step(
    "scrub_btrfs", command_pb2.ACTION_CLASS_REPAIR, _scrub_btrfs, named=_names_btrfs_devices, patience_seconds=30
)
_REPAIR_XFS = Step(
    "repair_xfs", command_pb2.ACTION_CLASS_REPAIR, _repair_xfs, named=_names_xfs_parts, patience_seconds=60
)
_SCRUB_XFS = Step("scrub_xfs", command_pb2.ACTION_CLASS_CHECK, _scrub_xfs, attempts=1, instead_of="repair_xfs")
_XFS_PERSON = (
    "It was not, or cannot be, repaired while mounted; the commands below say why. Save what still reads, unmount, run "
    "xfs_repair, and mount again."
)
_BTRFS_PERSON = (
    "Scrubbing did not heal it: restore the files that the evidence names from a backup, and replace the device that "
    "shows the errors."
)

ANSWERS: Mapping[tuple[str, str], Answer] = {
    ("FS_DATA_CORRUPTION", "btrfs"): Answer((_EVIDENCE, _SCRUB_BTRFS), _BTRFS_PERSON),
    ("FS_CORRUPTION", "btrfs"): Answer((_EVIDENCE, _SCRUB_BTRFS), _BTRFS_PERSON),
    ("FS_CORRUPTION", "ext4"): Answer(
        (_EVIDENCE,), "ext4 has no online repair: plan an unmount, run e2fsck -f, and mount again."
    ),
    ("FS_ERROR", "ext4"): Answer(
        (_EVIDENCE,), "ext4 has no online repair: plan an unmount, run e2fsck -f, and mount again."
    ),
    ("FS_CORRUPTION", "xfs"): Answer((_EVIDENCE, _REPAIR_XFS, _SCRUB_XFS), _XFS_PERSON),
}
"""(code, filesystem type) → answer. What is not here is left to a person from the start."""


def propose(
    incident: incident_pb2.Incident,
    inventory: inventory_pb2.Inventory | None,
    commands: Collection[PastCommand],
    config: PolicyConfig,
    now_ns: int,
) -> list[ProposedCommand]:
    """Return the command that the incident calls for now: none or one, because a filesystem bears one at a time.

    Ask again when the command has ended: the answer's next step follows.

    Args:
        incident: as diagnosis has it.
        inventory: of the incident's agent; None: unknown, then nothing is proposed.
        commands: all of this incident, and the unfinished ones of this agent.
        config: settings.
        now_ns: collector's wall clock.
    """
    unit = incident.unit
    answer = ANSWERS.get((incident.code, unit.filesystem_type))
    if answer is None or config.mode is Mode.OFF or not _may_act(incident, now_ns):
        return []
    if inventory is None or not unit.filesystem_uuid or _busy(incident, commands):
        return []
    for step in answer.steps:
        past = [one for one in commands if one.incident_id == incident.id and one.action == step.action]
        if _done(step, past) or not _available(inventory, step.action, unit.filesystem_uuid):
            continue
        if not _may_try(step, past, config):
            continue
        if step.instead_of and _can_still(step.instead_of, incident, inventory, commands):
            continue
        if not step.named(incident) and now_ns - incident.opened_ns < step.patience_seconds * _SECONDS_NS:
            return []
        if now_ns < _not_before_ns(past, config):
            return []
        return [_proposed(step, incident, len(past), config, now_ns)]
    return []


def recommend(
    incident: incident_pb2.Incident,
    inventory: inventory_pb2.Inventory | None,
    commands: Collection[PastCommand],
    config: PolicyConfig,
) -> str:
    """Return what a person should do: the answer's own words once the policy can do no more, else the incident's."""
    answer = ANSWERS.get((incident.code, incident.unit.filesystem_type))
    if answer is None:
        return incident.recommendation
    for step in answer.steps:
        past = [one for one in commands if one.incident_id == incident.id and one.action == step.action]
        able = inventory is not None and _available(inventory, step.action, incident.unit.filesystem_uuid)
        if step.action_class >= command_pb2.ACTION_CLASS_REPAIR and able and _may_try(step, past, config):
            return incident.recommendation
    return answer.person


def _may_act(incident: incident_pb2.Incident, now_ns: int) -> bool:
    """Say whether the incident is open and nobody muted it: who mutes an incident has taken it over."""
    return incident.state == incident_pb2.INCIDENT_STATE_OPEN and incident.muted_until_ns <= now_ns


def _busy(incident: incident_pb2.Incident, commands: Collection[PastCommand]) -> bool:
    unit = incident.unit
    return any(
        one.state not in FINISHED and one.agent_id == unit.agent_id and one.filesystem_uuid == unit.filesystem_uuid
        for one in commands
    )


def _done(step: Step, past: list[PastCommand]) -> bool:
    """Say whether the step needs no repeat: evidence that was collected stays collected."""
    observed = step.action_class == command_pb2.ACTION_CLASS_OBSERVE
    return observed and any(one.state == command_pb2.COMMAND_STATE_SUCCEEDED for one in past)


def _may_try(step: Step, past: list[PastCommand], config: PolicyConfig) -> bool:
    """Say whether attempts are left; what expired before it reached the host, or was taken back, was none."""
    tried = sum(one.state != command_pb2.COMMAND_STATE_EXPIRED and not one.withdrawn_ns for one in past)
    return tried < (step.attempts or config.attempts) and not any(_is_hopeless(one) for one in past)


def _not_before_ns(past: list[PastCommand], config: PolicyConfig) -> int:
    """Return when an action may be ordered again: after the back-off, and not soon after it was taken back.

    What comes and goes, a shared cause on the edge of the evidence say, must not order and cancel all day: each time
    that a command is taken back doubles the wait, up to the back-off.
    """
    back_off_ns = config.back_off_seconds * _SECONDS_NS
    withdrawn = [one.withdrawn_ns for one in past if one.withdrawn_ns]
    tried = [one.ordered_ns for one in past if not one.withdrawn_ns]
    doubled = _TAKEN_BACK_NS << min(max(len(withdrawn) - 1, 0), _MOST_DOUBLINGS)
    return max(
        max(tried) + back_off_ns if tried else 0,
        max(withdrawn) + min(doubled, back_off_ns) if withdrawn else 0,
    )


def _is_hopeless(past: PastCommand) -> bool:
    """Say whether the same again would come to the same: the host does not want it, or only offline helps."""
    return past.refusal in _FOR_GOOD or past.verdict == command_pb2.VERDICT_OFFLINE_NEEDED


def _can_still(
    action: str,
    incident: incident_pb2.Incident,
    inventory: inventory_pb2.Inventory,
    commands: Collection[PastCommand],
) -> bool:
    """Say whether an action can be done on the incident's filesystem, by the agent's word and by what became of it."""
    refused = any(
        one.incident_id == incident.id and one.action == action and one.refusal in _FOR_GOOD for one in commands
    )
    return not refused and _available(inventory, action, incident.unit.filesystem_uuid)


def _available(inventory: inventory_pb2.Inventory, action: str, filesystem_uuid: str) -> bool:
    """Say whether the filesystem is there, and the agent says that the action can be done, on it and on the host."""
    filesystem = next((one for one in inventory.filesystems if one.ref.uuid == filesystem_uuid), None)
    if filesystem is None:
        return False
    rows = [*filesystem.capabilities, *inventory.host.capabilities]
    own = [row for row in rows if row.name == f"action.{action}" and row.filesystem_uuid in {"", filesystem_uuid}]
    return bool(own) and all(row.available for row in own)


def _proposed(
    step: Step, incident: incident_pb2.Incident, attempt: int, config: PolicyConfig, now_ns: int
) -> ProposedCommand:
    unit = incident.unit
    reason = f"{incident.code} on {unit.filesystem_type} filesystem {unit.filesystem_uuid}, attempt {attempt + 1}"
    command = command_pb2.Command(
        id=command_id(incident.id, step.action, attempt),
        incident_id=incident.id,
        action_class=step.action_class,
        target=command_pb2.Target(filesystem_uuid=unit.filesystem_uuid, filesystem_type=unit.filesystem_type),
        not_after_wall_ns=now_ns + config.time_to_live_seconds * _SECONDS_NS,
        time_to_live_seconds=config.time_to_live_seconds,
        ordered_by="policy",
        reason=reason,
    )
    step.fill(command, incident)
    return ProposedCommand(command, unit.agent_id, reason, shadow=config.mode is Mode.SHADOW)


def command_id(incident_id: str, action: str, attempt: int) -> str:
    """Return the id of the n-th attempt of an action for an incident: ordering it twice orders it once."""
    return "cmd-" + hashlib.sha256(f"{incident_id}\0{action}\0{attempt}".encode()).hexdigest()[:16]


def read_policy_config(raw: Mapping[str, object]) -> tuple[PolicyConfig, list[str]]:
    """Read settings; return them with every problem found, each one line for the operator."""
    known = {entry.name for entry in fields(PolicyConfig)}
    problems = [f"policy.{key}: unknown setting" for key in sorted(set(raw) - known)]
    config = PolicyConfig()
    for key in sorted(known & set(raw)):
        value = raw[key]
        if key == "mode":
            names = [mode.value for mode in Mode]
            if value in names:
                config = replace(config, mode=Mode(value))
            else:
                problems.append(f"policy.mode: must be one of {', '.join(names)}, not {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
            problems.append(f"policy.{key}: must be a whole number greater than zero, not {value!r}")
        elif key.endswith("_percent") and value > 100:
            problems.append(f"policy.{key}: must be at most 100, not {value}")
        else:
            config = replace(config, **{key: value})  # type: ignore[arg-type]
    return config, problems
