"""The collector's configuration file, TOML: every problem at once, unknown keys refused."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fsmend_collector.addresses import problem_of_address, problem_of_name
from fsmend_collector.background import CalendarConfig
from fsmend_collector.calendar_rules import read_calendar_config
from fsmend_collector.diagnosis import DiagnosisConfig, read_config
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.diagnosis.groups.configured import read_scan_settings
from fsmend_collector.errors import ConfigError
from fsmend_collector.policy import PolicyConfig, read_policy_config
from fsmend_collector.store.engine import default_url


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where the rows are, and for how long.

    Attributes:
        url: SQLAlchemy URL; empty: SQLite in the state directory.
        group_commit_seconds: how long a transaction takes in what is queued; it never waits for more.
        retention_days_events: events, gaps, finished commands and resolved incidents are kept so long.
    """

    url: str = ""
    group_commit_seconds: float = 0.005
    retention_days_events: int = 90


@dataclass(frozen=True, slots=True)
class SessionsConfig:
    """What holds for the agents' streams.

    Attributes:
        window_batches: unacknowledged batches that one agent may have.
        heartbeat_interval_seconds: what agents are told.
        admit_per_second: new sessions; the rest is told to come back.
        max_connection_age_seconds: after that the agent is asked to connect anew.
    """

    window_batches: int = 8
    heartbeat_interval_seconds: int = 30
    admit_per_second: int = 100
    max_connection_age_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class CertificatesConfig:
    """Life times."""

    agent_days: int = 90
    server_days: int = 365
    authority_days: int = 3650
    token_ttl_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration.

    Attributes:
        listen_address: of the link and query services, host:port; [::] is every address.
        enrol_listen_address: of the enrolment service.
        advertise: host names and addresses under which agents and operators reach this collector.
    """

    state_directory: Path = Path("/var/lib/fsmend-collector")
    listen_address: str = "[::]:9443"
    enrol_listen_address: str = "[::]:9444"
    advertise: tuple[str, ...] = ()
    store: StoreConfig = field(default_factory=StoreConfig)
    sessions: SessionsConfig = field(default_factory=SessionsConfig)
    certificates: CertificatesConfig = field(default_factory=CertificatesConfig)
    diagnosis: DiagnosisConfig = field(default_factory=DiagnosisConfig)
    groups: ScanSettings = field(default_factory=ScanSettings)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    calendar: CalendarConfig = field(default_factory=CalendarConfig)

    @property
    def store_url(self) -> str:
        """Return the URL of the store."""
        return self.store.url or default_url(self.state_directory)

    @property
    def pki_directory(self) -> Path:
        """Return where authority and server certificate are."""
        return self.state_directory / "pki"


_SECTIONS: Mapping[str, Any] = {"store": StoreConfig, "sessions": SessionsConfig, "certificates": CertificatesConfig}
_ELSEWHERE = ("diagnosis", "groups", "policy", "calendar")


def load_config(path: Path) -> Config:
    """Read the file.

    Raises:
        ConfigError: it cannot be read or something in it is wrong; one line a problem.
    """
    try:
        text = path.read_bytes().decode()
        raw = tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError(f"cannot read {path}: it is not there; `fsmend-collector init` writes it") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    config, problems = parse_config(raw)
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    return config


def parse_config(raw: Mapping[str, Any]) -> tuple[Config, list[str]]:
    """Turn parsed TOML into a configuration and the list of everything that is wrong with it."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    top = _scalars("", Config, {key: value for key, value in raw.items() if key not in (*_SECTIONS, *_ELSEWHERE)})
    values.update(top.values)
    problems.extend(top.problems)
    for name, kind in _SECTIONS.items():
        section = _scalars(f"{name}.", kind, _table(raw, name, problems))
        problems.extend(section.problems)
        values[name] = kind(**section.values)
    values["diagnosis"], found = read_config(_table(raw, "diagnosis", problems))
    problems.extend(found)
    values["groups"], found = read_scan_settings(_table(raw, "groups", problems))
    problems.extend(found)
    values["policy"], found = read_policy_config(_table(raw, "policy", problems))
    problems.extend(found)
    values["calendar"], found = read_calendar_config(_table(raw, "calendar", problems))
    problems.extend(found)
    config = Config(**values)
    problems.extend(_cross_checks(config))
    return config, problems


def _table(raw: Mapping[str, Any], name: str, problems: list[str]) -> Mapping[str, Any]:
    table = raw.get(name, {})
    if isinstance(table, dict):
        return table
    problems.append(f"{name}: must be a table, [{name}]")
    return {}


@dataclass(frozen=True, slots=True)
class _Read:
    values: dict[str, Any]
    problems: list[str]


def _scalars(prefix: str, kind: Any, raw: Mapping[str, Any]) -> _Read:
    """Take the keys of one table that are plain values."""
    defaults = {
        one.name: getattr(kind(), one.name) for one in fields(kind) if one.name not in (*_SECTIONS, *_ELSEWHERE)
    }
    read = _Read({}, [])
    for key, value in raw.items():
        if key not in defaults:
            read.problems.append(f"{prefix}{key}: unknown key; known are {', '.join(sorted(defaults))}")
            continue
        convert = _CONVERT[type(defaults[key])]
        try:
            read.values[key] = convert(value)
        except ValueError as error:
            read.problems.append(f"{prefix}{key}: {error}")
    return read


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004  one kind of error for the operator
    return value


def _path(value: Any) -> Path:
    path = Path(_string(value))
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("must be a list of host names or addresses")
    return tuple(value)


_CONVERT: Mapping[type, Callable[[Any], Any]] = {
    int: _integer,
    float: _number,
    str: _string,
    tuple: _names,
    type(Path()): _path,
}


def _cross_checks(config: Config) -> list[str]:
    """Return what is wrong with values that are of the right type."""
    problems = [
        f"{key}: {problem}"
        for key in ("listen_address", "enrol_listen_address")
        if (problem := problem_of_address(getattr(config, key)))
    ]
    problems.extend(f"advertise: {problem}" for name in config.advertise if (problem := problem_of_name(name)))
    if config.listen_address == config.enrol_listen_address and not config.listen_address.endswith(":0"):
        problems.append("enrol_listen_address: must differ from listen_address")
    if config.certificates.server_days >= config.certificates.authority_days:
        problems.append("certificates.server_days: must be less than certificates.authority_days")
    return problems
