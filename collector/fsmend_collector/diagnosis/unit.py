"""Stage 1 of diagnosis: from evidence about one unit to one incident.

This module is pure: no I/O and no clock, `now_ns` is always an argument.
"""

from collections.abc import Iterable

from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.incident import IncidentChange
from fsmend_proto.v1 import command_pb2, incident_pb2, inventory_pb2, record_pb2


class UnitDiagnosis:
    """Join evidence of all interfaces into incidents of single units.

    Every method returns the incidents that it changed, at most one change per incident, in a stable order.
    """

    def __init__(self, config: DiagnosisConfig) -> None:
        self._config = config

    def observe(self, evidence: Evidence, now_ns: int) -> list[IncidentChange]:
        """Take one finding; the same event id twice changes nothing."""
        raise NotImplementedError

    def note_command(
        self,
        command_id: str,
        agent_id: str,
        target: command_pb2.Target,
        state: command_pb2.CommandState.ValueType,
        now_ns: int,
        incident_id: str = "",
    ) -> list[IncidentChange]:
        """Say that a command was queued, sent or ended without an agent's update (expired, cancelled)."""
        raise NotImplementedError

    def observe_update(
        self,
        agent_id: str,
        command_id: str,
        target: command_pb2.Target,
        update: command_pb2.CommandUpdate,
        time_ns: int,
        now_ns: int,
    ) -> list[IncidentChange]:
        """Take an agent's report on a command.

        Args:
            agent_id: whose command it is.
            command_id: the command.
            target: as the command named it.
            update: the report.
            time_ns: when it happened, collector's wall clock (host's clock plus offset).
            now_ns: collector's wall clock.
        """
        raise NotImplementedError

    def observe_gap(
        self, gap: record_pb2.Gap, agent_id: str, now_ns: int, host_name: str = "", gap_id: str = ""
    ) -> list[IncidentChange]:
        """Take a loss of telemetry: what is unknown is not healthy."""
        raise NotImplementedError

    def observe_presence(
        self, agent_id: str, host_name: str, *, connected: bool, since_ns: int, now_ns: int
    ) -> list[IncidentChange]:
        """Say that an agent is connected or away, and since when; `tick` opens AGENT_SILENT when it stays away."""
        raise NotImplementedError

    def observe_inventory(self, agent_id: str, inventory: inventory_pb2.Inventory, now_ns: int) -> list[IncidentChange]:
        """Take an agent's inventory: which device carries which filesystem, and which device was replaced."""
        raise NotImplementedError

    def mute(self, incident_id: str, until_ns: int, now_ns: int, by: str) -> list[IncidentChange]:
        """Mute an incident until a time; `until_ns` at or before `now_ns` takes the mute off.

        Raises:
            KeyError: no such incident in memory.
        """
        raise NotImplementedError

    def tick(self, now_ns: int) -> list[IncidentChange]:
        """Do what time alone decides: silent agents, counters that stood still, mutes that end, forgetting."""
        raise NotImplementedError

    def restore(self, incidents: Iterable[incident_pb2.Incident], now_ns: int) -> None:
        """Go on with stored incidents after a restart; call it once, before anything else.

        Give it every incident that is not resolved, and at least the newest resolved one of each unit and code, so that
        a later fault of the unit gets a new id.
        """
        raise NotImplementedError

    def incidents(self) -> list[incident_pb2.Incident]:
        """Return the incidents in memory, ordered by id."""
        raise NotImplementedError
