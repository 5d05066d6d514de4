"""Tables: the part of a configuration that diagnosis goes by, as plain data and back, to hand it to another process."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fsmend_collector.diagnosis import DiagnosisConfig, read_config
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.diagnosis.groups.configured import read_scan_settings

TABLES = ("diagnosis", "groups")


def tables_of(diagnosis: DiagnosisConfig, groups: ScanSettings) -> dict[str, Any]:
    """Return the tables that these settings come from."""
    return {"diagnosis": _plain(diagnosis), "groups": _plain(groups)}


def read_tables(raw: Mapping[str, Any]) -> tuple[DiagnosisConfig, ScanSettings, list[str]]:
    """Read the tables of a configuration, and no others; return every problem with them."""
    found = {name: raw.get(name, {}) for name in TABLES}
    problems = [f"{name}: must be a table, [{name}]" for name, table in found.items() if not isinstance(table, dict)]
    found = {name: table if isinstance(table, dict) else {} for name, table in found.items()}
    diagnosis, of_diagnosis = read_config(found["diagnosis"])
    groups, of_groups = read_scan_settings(found["groups"])
    return diagnosis, groups, [*problems, *of_diagnosis, *of_groups]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
