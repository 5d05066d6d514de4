"""Diagnosis: records and `now` in, incidents out. Pure: no I/O, no clock.

Use it like this::

    config, problems = read_config(settings)
    diagnosis = FleetDiagnosis(config, population)
    diagnosis.restore(stored_incidents, now_ns)  # then the findings of the horizon to diagnosis.scan
    diagnosis.resume(now_ns)
    for change in diagnosis.observe(Evidence.of(event_id, agent_id, host, event, received_ns, offset_ns), now_ns):
        store(change.incident)
"""

from fsmend_collector.diagnosis.config import DiagnosisConfig, SerdRule, read_config
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fleet import FleetDiagnosis
from fsmend_collector.diagnosis.incident import IncidentChange
from fsmend_collector.diagnosis.unit import UnitDiagnosis

__all__ = [
    "DiagnosisConfig",
    "Evidence",
    "FleetDiagnosis",
    "IncidentChange",
    "SerdRule",
    "UnitDiagnosis",
    "read_config",
]
