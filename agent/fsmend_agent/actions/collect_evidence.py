"""Collect what a person or the diagnosis needs to know about a filesystem and its devices; changes nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fsmend_agent import evidence
from fsmend_agent.actions import Action, ActionStopped
from fsmend_agent.health import read_health
from fsmend_proto.v1 import command_pb2 as pb
from fsmend_proto.v1 import inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem


class CollectEvidence(Action):
    """Kernel log, mount table, and of the filesystem, if the command names one, its counters and devices."""

    name = "collect_evidence"
    action_class = pb.ACTION_CLASS_OBSERVE
    idempotent = True
    needs_filesystem = False
    timeout_seconds = 60.0

    @classmethod
    def probe(cls, filesystem: "MountedFilesystem") -> inventory_pb2.Capability:
        """Say that it always works."""
        return inventory_pb2.Capability(name=f"action.{cls.name}", available=True, filesystem_uuid=filesystem.uuid)

    def check(self) -> None:
        """Find nothing to refuse."""

    def read_health(self) -> pb.HealthReading:
        """Read the filesystem's counters, if there is one."""
        if self.order.filesystem is None:
            return pb.HealthReading(clocks=self.order.clock.now())
        return read_health(self.order.fd, self.order.filesystem, self.order.clock)

    def run(self) -> pb.CommandResult:
        """Collect, one file after the other; what cannot be read says so in its place."""
        result = pb.CommandResult(verdict=pb.VERDICT_NOT_APPLICABLE)
        steps = self._steps()
        for number, (name, step) in enumerate(steps.items()):
            if self.order.cancelled.is_set():
                raise ActionStopped(f"stopped before {name}", result)
            self.order.report(pb.Progress(percent=100 * number / len(steps), stage=f"collecting {name}"))
            try:
                result.evidence.append(step())
            except OSError as error:
                result.evidence.append(pb.EvidenceFile(name=name, content=f"not readable: {error}".encode()))
        return result

    def _steps(self) -> dict[str, Callable[[], pb.EvidenceFile]]:
        """Return what there is to collect, by name."""
        lines = self.order.command.collect_evidence.kernel_log_lines
        steps: dict[str, Callable[[], pb.EvidenceFile]] = {
            "kernel_log": lambda: evidence.kernel_log(lines),
            "mountinfo": evidence.mount_table,
        }
        filesystem = self.order.filesystem
        if filesystem is not None:
            steps[f"{filesystem.type}_health"] = lambda: evidence.counters(filesystem, self.read_health())
            steps["devices"] = lambda: evidence.devices(filesystem)
            steps["diskstats"] = lambda: evidence.diskstats(filesystem)
        return steps
