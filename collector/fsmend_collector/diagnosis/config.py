"""The settings of diagnosis, with sane defaults, read from a plain mapping."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

SECONDS_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SerdRule:
    """When errors of one class become a fault: at least `count` distinct locations within `seconds`.

    The long window catches a drip that is too slow for the short one. One location that fails over and over is one
    error to both, and still a fault after `repeats` occurrences within the long window.
    """

    count: int
    seconds: int
    long_count: int
    long_seconds: int
    repeats: int


_SOFT = SerdRule(count=10, seconds=600, long_count=50, long_seconds=7 * 86_400, repeats=1_000)

DEFAULT_RULES: Mapping[str, SerdRule] = MappingProxyType(
    {
        "fs_io": SerdRule(count=3, seconds=600, long_count=10, long_seconds=7 * 86_400, repeats=100),
        "fs_corrected": _SOFT,
        "device_io": SerdRule(count=5, seconds=600, long_count=20, long_seconds=7 * 86_400, repeats=200),
        "not_watched": SerdRule(count=10, seconds=600, long_count=50, long_seconds=7 * 86_400, repeats=50),
        "device_link": SerdRule(count=10, seconds=600, long_count=50, long_seconds=7 * 86_400, repeats=100),
    }
)
"""The classes that need a rate; every other class opens at its first error."""


@dataclass(frozen=True, slots=True)
class DiagnosisConfig:
    """Settings of diagnosis.

    Attributes:
        lateness_seconds: evidence may arrive this late, in any order, and still give the identical incident set.
        join_seconds: how far apart two sources may date the same error.
        scrub_holdoff_seconds: findings this long after a scrub that we ordered still belong to it.
        counter_holdoff_seconds: the same for counters, which are read only now and then.
        standstill_seconds: how long a watched counter must stand still to be proof.
        agent_silent_seconds: how long an agent may be away before that is an incident.
        forget_seconds: after so long a quiet a resolved incident is over for good; a later error opens a new one.
        mute_growth: a mute falls when the occurrences have grown by this factor since it was set.
        rules: soft-error rates by class.
    """

    lateness_seconds: int = 86_400
    join_seconds: int = 2
    scrub_holdoff_seconds: int = 30
    counter_holdoff_seconds: int = 120
    standstill_seconds: int = 86_400
    agent_silent_seconds: int = 300
    forget_seconds: int = 7 * 86_400
    mute_growth: float = 2.0
    rules: Mapping[str, SerdRule] = field(default_factory=lambda: DEFAULT_RULES)


def read_config(raw: Mapping[str, object]) -> tuple[DiagnosisConfig, list[str]]:
    """Read settings; return them with every problem found, each one line for the operator.

    Keys that are missing keep their default. Rules are merged class by class and key by key.
    """
    problems: list[str] = []
    known = {entry.name for entry in fields(DiagnosisConfig)}
    problems += [f"diagnosis.{key}: unknown setting" for key in sorted(set(raw) - known)]
    values: dict[str, object] = {}
    for key in sorted((known - {"rules"}) & set(raw)):
        number = _number(raw[key], f"diagnosis.{key}", problems, whole=key != "mute_growth")
        if number is not None:
            values[key] = number
    rules = _read_rules(raw.get("rules", {}), problems)
    return replace(DiagnosisConfig(rules=rules), **values), problems  # type: ignore[arg-type]


def _number(value: object, name: str, problems: list[str], *, whole: bool) -> int | float | None:
    """Return a positive number, or None after noting what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        problems.append(f"{name}: must be a {'whole ' if whole else ''}number, not {value!r}")
        return None
    if not 0 < value < float("inf"):
        problems.append(f"{name}: must be greater than zero and finite")
        return None
    return value


def _read_rules(raw: object, problems: list[str]) -> Mapping[str, SerdRule]:
    """Return the default rules with what `raw` changes."""
    if not isinstance(raw, Mapping):
        problems.append("diagnosis.rules: must be a mapping from class to rule")
        return DEFAULT_RULES
    rules = dict(DEFAULT_RULES)
    names = {entry.name for entry in fields(SerdRule)}
    for fault_class, rule in raw.items():
        where = f"diagnosis.rules.{fault_class}"
        if fault_class not in rules:
            problems.append(f"{where}: unknown class; known: {', '.join(sorted(rules))}")
        elif not isinstance(rule, Mapping):
            problems.append(f"{where}: must be a mapping")
        else:
            problems += [f"{where}.{key}: unknown setting" for key in sorted(set(map(str, rule)) - names)]
            numbers = {key: _number(rule[key], f"{where}.{key}", problems, whole=True) for key in names & set(rule)}
            rules[fault_class] = replace(rules[fault_class], **{k: int(v) for k, v in numbers.items() if v is not None})
    return MappingProxyType(rules)
