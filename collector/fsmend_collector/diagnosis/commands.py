"""What our own commands mean for the faults: under repair, findings explained, proof, or no proof."""

from fsmend_collector.diagnosis.codes import CLASSES, Family, Proof
from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fault import Fault
from fsmend_collector.diagnosis.holds import NO_REPAIR, PART_OF, Hold, Holds
from fsmend_collector.diagnosis.incident import IncidentChange
from fsmend_collector.diagnosis.joining import FaultKey
from fsmend_collector.diagnosis.ledger import Ledger
from fsmend_collector.diagnosis.looked import Looked
from fsmend_proto.v1 import command_pb2, event_pb2

FINAL_STATES = frozenset(
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
_STATES = {number: name.removeprefix("COMMAND_STATE_").lower() for name, number in command_pb2.CommandState.items()}
_VERDICTS = {
    number: name.removeprefix("VERDICT_").lower().replace("_", " ") for name, number in command_pb2.Verdict.items()
}
_GOOD = frozenset({command_pb2.VERDICT_HEALED, command_pb2.VERDICT_CLEAN})
_BAD = frozenset({command_pb2.VERDICT_NOT_HEALED, command_pb2.VERDICT_OFFLINE_NEEDED})


class CommandWatch:
    """Follow the commands that were ordered, and turn their results into proof or evidence."""

    def __init__(self, config: DiagnosisConfig, ledger: Ledger) -> None:
        self._holds = Holds(config)
        self._ledger = ledger

    def knows(self, agent_id: str) -> bool:
        """Say whether a command of an agent runs or ran lately: else only a finding that names one is caught."""
        return self._holds.of_agent(agent_id)

    def catches(self, evidence: Evidence, fault_class: str, now_ns: int) -> bool:
        """Say whether a finding is the result of a command of ours, and keep it with the command when it is."""
        by_command = bool(evidence.command_id) and fault_class == "fs_io"
        if evidence.severity == event_pb2.SEVERITY_CRITICAL or not (CLASSES[fault_class].holds or by_command):
            return False
        hold = self._holds.covering(evidence, now_ns)
        if hold is None or (hold.ended_ns and not (hold.healed and hold.explains(evidence))):
            return False
        if not hold.ended_ns:
            hold.keep(evidence)
        return True

    def expire(self, now_ns: int) -> list[Evidence]:
        """Return the findings of commands that never told their end."""
        return self._holds.expire(now_ns)

    def restore(self, fault: Fault, now_ns: int) -> None:
        """Go on with the commands that ran on a stored incident's unit."""
        for command_id in fault.running:
            hold = self._holds.of_command(command_id, fault.key.agent_id, fault.key.value, now_ns)
            hold.started_ns = fault.updated_ns

    def take(
        self,
        agent_id: str,
        target: command_pb2.Target,
        update: command_pb2.CommandUpdate,
        times_ns: tuple[int, int],
        action: str,
    ) -> tuple[list[IncidentChange], list[Evidence]]:
        """Take one step of a command: (when it happened, now).

        Returns:
            what changed, and the findings that turned out to be faults after all.
        """
        time_ns, now_ns = times_ns
        hold = self._holds.of_command(update.command_id, agent_id, target.filesystem_uuid, now_ns)
        hold.action = action or hold.action
        given_up = update.state == command_pb2.COMMAND_STATE_UNKNOWN and not update.clocks.wall_ns
        if hold.given_up and not given_up:
            hold.resume()
        if update.state in FINAL_STATES:
            hold.given_up = hold.given_up or (given_up and not hold.ended_ns)
            return self._end(hold, target, update, times_ns)
        if update.state == command_pb2.COMMAND_STATE_QUEUED:
            return self._ordered(hold, target, now_ns), []
        if update.state != command_pb2.COMMAND_STATE_RUNNING or hold.ended_ns:
            return [], []
        hold.started_ns = min(hold.started_ns or time_ns, time_ns)
        changes: list[IncidentChange] = []
        for fault in self._targets(agent_id, target):
            if hold.action not in NO_REPAIR and hold.command_id not in fault.running:
                fault.running |= {hold.command_id}
                if fault.active:
                    fault.timeline.add(time_ns, "repairing", update.message or "the command runs", hold.command_id)
                    changes += self._ledger.tell(fault, now_ns, "repairing")
        return changes, []

    def _ordered(self, hold: Hold, target: command_pb2.Target, now_ns: int) -> list[IncidentChange]:
        changes: list[IncidentChange] = []
        for fault in self._targets(hold.agent_id, target):
            if fault.active:
                fault.timeline.add(now_ns, "repair ordered", hold.action or "a command", hold.command_id)
                changes += self._ledger.tell(fault, now_ns, "repair ordered")
        return changes

    def _targets(self, agent_id: str, target: command_pb2.Target) -> list[Fault]:
        """Return the faults of the target: of the filesystem, of the device, and of the device below it."""
        found = []
        for fault in self._ledger.of_agent(agent_id):
            device = fault.key.family == Family.DEVICE.value
            own = target.device_id if device else target.filesystem_uuid
            on_it = device and bool(target.filesystem_uuid) and target.filesystem_uuid in fault.tally.filesystems
            if fault.key.family in {Family.DEVICE.value, Family.INTEGRITY.value} and (own == fault.key.value or on_it):
                found.append(fault)
        return found

    def _end(
        self, hold: Hold, target: command_pb2.Target, update: command_pb2.CommandUpdate, times_ns: tuple[int, int]
    ) -> tuple[list[IncidentChange], list[Evidence]]:
        if hold.ended_ns:
            return [], []
        time_ns, now_ns = times_ns
        result = update.result
        left = sum(scrub.errors_uncorrectable for scrub in result.scrubs)
        succeeded = update.state == command_pb2.COMMAND_STATE_SUCCEEDED
        hold.healed = succeeded and result.verdict in _GOOD and not left
        hold.ended_ns = max(time_ns, hold.started_ns, 1)
        hold.looked = Looked.of(result) if hold.action.startswith(PART_OF) else None
        if hold.healed:
            hold.findings = [one for one in hold.findings if not hold.explains(one)]
        if hold.proves and hold.looked is None:
            self._keep_proof(hold.agent_id, target)
        text = _result_text(update, hold)
        changes: list[IncidentChange] = []
        for fault in self._targets(hold.agent_id, target):
            changes += self._finish(fault, hold, target, text, now_ns)
        findings, hold.findings = hold.findings, []
        if left or (succeeded and result.verdict in _BAD):
            findings.append(_unhealed(hold, target, text, max(left, 1), times_ns))
        return changes, findings

    def _keep_proof(self, agent_id: str, target: command_pb2.Target) -> None:
        """Keep the proof also for errors that arrive after it."""
        if target.filesystem_uuid:
            self._ledger.obtain(FaultKey(Family.INTEGRITY.value, agent_id, target.filesystem_uuid))

    def _finish(
        self, fault: Fault, hold: Hold, target: command_pb2.Target, text: str, now_ns: int
    ) -> list[IncidentChange]:
        was_active = fault.active
        fault.running -= {hold.command_id}
        if was_active:
            what = "command finished" if hold.action in NO_REPAIR else "repair finished"
            fault.timeline.add(hold.ended_ns, what, text, hold.command_id)
        if hold.proves_well(fault):
            proof = Proof.FS_CHECK if target.filesystem_uuid else Proof.DEVICE_CHECK
            fault.prove(proof, hold.ended_ns, text)
        return self._ledger.heard(fault, now_ns, "repair finished" if was_active and fault.active else "")


def _unhealed(hold: Hold, target: command_pb2.Target, text: str, left: int, times_ns: tuple[int, int]) -> Evidence:
    """Return the evidence that a command could not heal its target."""
    kind = event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION
    if target.filesystem_type == "btrfs":
        kind = event_pb2.EVENT_KIND_FS_DATA_CORRUPTION
    elif not target.filesystem_uuid:
        kind = event_pb2.EVENT_KIND_DEVICE_MEDIUM_ERROR
    return Evidence(
        event_id=f"command:{hold.command_id}",
        agent_id=hold.agent_id,
        host_name="",
        kind=kind,
        severity=event_pb2.SEVERITY_ERROR,
        source="command",
        time_ns=times_ns[0] + 1,
        received_ns=times_ns[1],
        count=left,
        filesystem_uuid=target.filesystem_uuid,
        filesystem_type=target.filesystem_type,
        device_id=target.device_id,
        message=text,
    )


def _result_text(update: command_pb2.CommandUpdate, hold: Hold) -> str:
    """Say in one line what a command came to, with the readings before and after it."""
    state, verdict = _STATES[update.state], _VERDICTS.get(update.result.verdict, str(update.result.verdict))
    words = [state if update.result.verdict == command_pb2.VERDICT_UNSPECIFIED else f"{state}, {verdict}"]
    message = update.message
    scrubs = update.result.scrubs
    if scrubs:
        found, corrected, left = (
            sum(getattr(scrub, f"errors_{name}") for scrub in scrubs)
            for name in ("found", "corrected", "uncorrectable")
        )
        words.append(f"{found} errors found, {corrected} corrected, {left} uncorrectable")
        message = message.removeprefix(f"{verdict}: {words[-1]}").lstrip("; ")  # the agent's own words for the same
    if update.HasField("result"):
        words += [f"before: {_reading(update.result.before)}", f"after: {_reading(update.result.after)}"]
    if hold.found:
        words.append(f"{hold.found} errors reported meanwhile are its findings")
    return "; ".join([*words, *([message] if message else [])])


def _reading(reading: command_pb2.HealthReading) -> str:
    """Say in a few words what a reading holds: what is sick, and the counters that are not zero."""
    words = [f"{name} sick" for name in reading.sick]
    words += [f"{name} {count}" for name, count in sorted(reading.counters.items()) if count]
    words += ["read-only"] if reading.read_only else []
    return ", ".join(words) if words else "all counters zero, nothing sick"
