"""The settings of the group scan, read from a plain mapping, with every problem and what to do about it."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.settings import ScanSettings

_DAY_SECONDS = 86_400
_MOST_WINDOWS = 12
_Reader = Callable[[Any], Any]


def read_scan_settings(raw: Mapping[str, Any]) -> tuple[ScanSettings, list[str]]:
    """Read the table [groups]; return it with every problem found, each one line for the operator.

    Keys that are missing keep their default, and so does what is wrong.
    """
    known = {entry.name for entry in fields(ScanSettings)}
    problems = [
        f"groups.{key}: unknown setting; known are {', '.join(sorted(known))}" for key in sorted(set(raw) - known)
    ]
    values: dict[str, Any] = {}
    for key in sorted(known & set(raw)):
        try:
            values[key] = _READERS[key](raw[key])
        except ValueError as error:
            problems.append(f"groups.{key}: {error}")
    settings = replace(ScanSettings(), **values)
    if settings.most_shape < settings.shape:
        problems.append("groups.most_shape: must not be less than groups.shape; raise it, or leave it out")
        settings = replace(settings, shape=ScanSettings().shape, most_shape=ScanSettings().most_shape)
    return settings, problems


def _number(low: float, high: float, hint: str) -> _Reader:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
            raise ValueError(f"must be a number above {low:g}, and {high:g} at most, not {value!r}; {hint}")
        return float(value)

    return read


def _whole(low: int, high: int, hint: str) -> _Reader:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {value!r}; {hint}")
        return value

    return read


def _windows(value: Any) -> tuple[int, ...]:
    hint = "list lengths in seconds, shortest first, such as [300, 86400]"
    seconds = _whole(60, 90 * _DAY_SECONDS, hint)
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_WINDOWS:
        raise ValueError(f"must be a list of 1 to {_MOST_WINDOWS} lengths; {hint}")
    found = tuple(seconds(one) for one in value)
    if list(found) != sorted(set(found)):
        raise ValueError(f"must grow from one to the next; {hint}")
    return found


def _rates(value: Any) -> Mapping[str, float]:
    per_hour = _number(0.0, 1.0, "say how many units of a healthy fleet begin to fail so in an hour, such as 1e-6")
    if not isinstance(value, dict):
        raise ValueError("must be a table of aspects and rates, such as {lost = 1e-6}")  # noqa: TRY004  for operators
    unknown = sorted(set(value) - set(ASPECTS))
    if unknown:
        raise ValueError(f"no such aspect: {', '.join(unknown)}; known are {', '.join(ASPECTS)}")
    return MappingProxyType({name: per_hour(rate) for name, rate in value.items()})


_READERS: Mapping[str, _Reader] = {
    "budget_per_day": _number(0.0, 100.0, "0.01 is one false incident in a hundred days"),
    "least_units": _whole(2, 1_000, "3 is the least that tells a cause from chance"),
    "windows_seconds": _windows,
    "lateness_seconds": _whole(0, 30 * _DAY_SECONDS, "use the longest time an agent may be cut off"),
    "quiet_seconds": _whole(3_600, 90 * _DAY_SECONDS, "after less than an hour the same fault would count again"),
    "shape": _number(0.0, 1_000.0, "smaller means that groups differ more by nature"),
    "most_shape": _number(0.0, 100_000.0, "smaller trusts history less"),
    "pairs": _number(-1e-9, 1.0, "0 says that failures on one host are independent"),
    "prior_nats": _number(-1e-9, 100.0, "larger asks more of every shared cause"),
    "drift_ratio": _number(1.0, 1_000.0, "3 looks for rates that have tripled"),
    "rates": _rates,
}
