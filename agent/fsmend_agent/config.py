"""The agent's configuration: one TOML file, read once at start. Every problem in it is told at once.

Keys are the fields of the classes below; the file's tables are theirs: `[collector]`, `[spool]`, `[sources]`,
`[inventory]`, `[policy]` and the free table `[labels]`. Keys that are not known are refused, so that a mistyped one
does not silently do nothing. A missing file means the defaults.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from fsmend_agent.errors import ConfigError
from fsmend_agent.spool import SpoolLimits

DEFAULT_PATH = Path("/etc/fsmend/agent.toml")
_LIMIT_BYTES = 1 << 20
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """`[collector]`: where the collectors are.

    Attributes:
        addresses: host:port of the link service; empty: those learnt at enrolment.
        enrol_addresses: host:port of the enrolment service, for renewals; empty: those of the join token.
    """

    addresses: tuple[str, ...] = ()
    enrol_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpoolConfig:
    """`[spool]`: bounds of what is kept until a collector has it.

    Attributes:
        max_bytes: on disk; beyond it the lightest records go and leave a Gap.
        max_age_seconds: older records become a Gap.
        segment_bytes: size at which a segment file closes.
        ballast_bytes: space kept back for a full disk; 0 for none.
        fallback_max_bytes: kept in memory, below the runtime directory, while the disk fails.
    """

    max_bytes: int = 268_435_456
    max_age_seconds: int = 604_800
    segment_bytes: int = 4_194_304
    ballast_bytes: int = 8_388_608
    fallback_max_bytes: int = 16_777_216


@dataclass(frozen=True, slots=True)
class SourcesConfig:
    """`[sources]`: what is watched, and how often what must be polled.

    Attributes:
        disabled: names of sources that do not run.
        ext4_stats_interval_seconds: between two readings of the superblock's error counters.
        btrfs_stats_interval_seconds: between two readings of the device statistics.
        xfs_health_interval_seconds: between two readings of the health masks.
        coalesce_window_seconds: repeats of one finding within it become one event with a count; 0 turns it off.
        mount_points: only filesystems mounted there; empty: all.
    """

    disabled: tuple[str, ...] = ()
    ext4_stats_interval_seconds: float = 30.0
    btrfs_stats_interval_seconds: float = 30.0
    xfs_health_interval_seconds: float = 10.0
    coalesce_window_seconds: float = 1.0
    mount_points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InventoryConfig:
    """`[inventory]`: how often the inventory is sent without a change.

    Attributes:
        interval_seconds: between two of them.
    """

    interval_seconds: int = 86_400


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """`[policy]`: what a collector may order on this host.

    Attributes:
        file: the host's own policy file.
    """

    file: Path = Path("/etc/fsmend/policy.toml")


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """The top of the file.

    Attributes:
        state_directory: identity, spool, journal; survives reboots.
        runtime_directory: the seam's socket and the spool's fallback; a tmpfs.
        link_group: name of the group that may use the seam and the identity; empty: only the user that runs `sense`.
        labels: `[labels]`, free: rack, row, site, role …
    """

    state_directory: Path = Path("/var/lib/fsmend-agent")
    runtime_directory: Path = Path("/run/fsmend-agent")
    link_group: str = ""
    collector: CollectorConfig = field(default_factory=CollectorConfig)
    spool: SpoolConfig = field(default_factory=SpoolConfig)
    sources: SourcesConfig = field(default_factory=SourcesConfig)
    inventory: InventoryConfig = field(default_factory=InventoryConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def spool_directory(self) -> Path:
        """Return where the spool's files are."""
        return self.state_directory / "spool"

    @property
    def identity_directory(self) -> Path:
        """Return where key and certificates are."""
        return self.state_directory / "identity"

    @property
    def seam_path(self) -> Path:
        """Return the socket between sense and link."""
        return self.runtime_directory / "seam.sock"

    def spool_limits(self) -> SpoolLimits:
        """Return the spool's bounds."""
        return SpoolLimits(**dataclasses.asdict(self.spool), fallback_directory=self.runtime_directory / "spool")


def load(path: Path = DEFAULT_PATH) -> AgentConfig:
    """Read the configuration.

    Raises:
        ConfigError: the file cannot be read or has problems; the message lists them all, one a line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return AgentConfig()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if len(data) > _LIMIT_BYTES:
        raise ConfigError(f"{path}: larger than {_LIMIT_BYTES} bytes")
    try:
        return parse(data.decode())
    except ConfigError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error


def parse(text: str) -> AgentConfig:
    """Parse the text of a configuration file.

    Raises:
        ConfigError: as `load`.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"no valid TOML: {error}") from error
    problems: list[str] = []
    config: AgentConfig = _fill(AgentConfig, table, "", problems)
    if not problems:
        problems.extend(_senseless(config))
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _fill(cls: Any, table: dict[str, Any], prefix: str, problems: list[str]) -> Any:
    """Make a `cls` from a table; note every problem and go on."""
    kinds = get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        kind = kinds.get(key)
        if kind is None:
            problems.append(f"{name}: unknown key; known here: {', '.join(sorted(kinds))}")
        elif dataclasses.is_dataclass(kind):
            if isinstance(value, dict):
                values[key] = _fill(kind, value, f"{name}.", problems)
            else:
                problems.append(f"{name}: must be a table")
        else:
            values[key] = _value(kind, value, name, problems)
    return cls(**values)


def _value(kind: Any, value: object, name: str, problems: list[str]) -> object:
    """Return the value as the field holds it, or note why it does not fit."""
    if kind is Path and isinstance(value, str) and value.startswith("/") and "\0" not in value:
        return Path(value)
    if kind is str and isinstance(value, str):
        return value
    if kind in {int, float} and isinstance(value, (int, kind)) and not isinstance(value, bool):
        return value
    if kind == tuple[str, ...] and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind == Mapping[str, str] and isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return value
    expected = {
        Path: "an absolute path",
        str: "a string",
        int: "a whole number",
        float: "a number",
        tuple[str, ...]: "a list of strings",
        Mapping[str, str]: "a table of strings",
    }
    problems.append(f"{name}: must be {expected[kind]}")
    return None


def _senseless(config: AgentConfig) -> list[str]:
    """Return what has the right type and still makes no sense."""
    spool, sources = config.spool, config.sources
    least = {
        "spool.max_bytes": (spool.max_bytes, 1 << 20),
        "spool.max_age_seconds": (spool.max_age_seconds, 60),
        "spool.segment_bytes": (spool.segment_bytes, 4096),
        "spool.ballast_bytes": (spool.ballast_bytes, 0),
        "spool.fallback_max_bytes": (spool.fallback_max_bytes, 64 << 10),
        "sources.ext4_stats_interval_seconds": (sources.ext4_stats_interval_seconds, 0.1),
        "sources.btrfs_stats_interval_seconds": (sources.btrfs_stats_interval_seconds, 0.1),
        "sources.xfs_health_interval_seconds": (sources.xfs_health_interval_seconds, 0.1),
        "sources.coalesce_window_seconds": (sources.coalesce_window_seconds, 0),
        "inventory.interval_seconds": (config.inventory.interval_seconds, 1),
    }
    most = 1 << 40
    problems = [
        f"{name}: must be from {bound} to {most}"
        for name, (value, bound) in least.items()
        if not bound <= value <= most  # not a number is refused as well
    ]
    addresses = {
        "collector.addresses": config.collector.addresses,
        "collector.enrol_addresses": config.collector.enrol_addresses,
    }
    problems += [
        f"{name}: {address!r} is not HOST:PORT"
        for name, listed in addresses.items()
        for address in listed
        if not is_address(address)
    ]
    return problems


def is_address(address: str) -> bool:
    """Tell whether a string is HOST:PORT, with an IPv6 address in brackets."""
    match = _ADDRESS.fullmatch(address)
    return match is not None and 0 < int(match[1]) < 65_536
