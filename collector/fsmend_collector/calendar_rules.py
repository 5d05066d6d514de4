"""The calendar as the operator writes it, `[calendar]` of the configuration. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from fsmend_collector.background import DAY_MINUTES, DEFAULTS, TYPES, CalendarConfig, CalendarRule

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


def read_calendar_config(raw: Mapping[str, Any]) -> tuple[CalendarConfig, list[str]]:
    """Read the calendar; return it with every problem found, each one line for the operator."""
    problems = [f"calendar.{key}: unknown setting" for key in sorted(set(raw) - {"rules", "look_seconds"})]
    seconds = raw.get("look_seconds", DEFAULTS.look_seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= 3_600:
        problems.append("calendar.look_seconds: must be a whole number from 1 to 3600")
        seconds = DEFAULTS.look_seconds
    rows = raw.get("rules", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return CalendarConfig(), [*problems, "calendar.rules: must be a list of tables, [[calendar.rules]]"]
    rules = [_read_rule(row, f"calendar.rules[{number}]", problems) for number, row in enumerate(rows)]
    return CalendarConfig(tuple(rules), seconds), problems


def _read_rule(row: Mapping[str, Any], where: str, problems: list[str]) -> CalendarRule:
    known: dict[str, Any] = {}
    for key, value in row.items():
        reader = _READERS.get(key)
        if reader is None:
            problems.append(f"{where}.{key}: unknown setting")
            continue
        try:
            known[key] = reader(value)
        except ValueError as error:
            problems.append(f"{where}.{key}: {error}")
    return CalendarRule(**known)


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError("must be a table of texts")
    return dict(value)


def _types_of(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not set(map(str, value)) <= set(TYPES):
        raise ValueError(f"must be a list of {', '.join(TYPES)}")
    return tuple(value)


def _days(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0001 <= value <= 3_650:
        raise ValueError("must be a number from 0.0001 to 3650")
    return value


def _percent(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
        raise ValueError("must be a whole number from 1 to 100")
    return value


def _window(value: Any) -> tuple[int, int]:
    found = _WINDOW.fullmatch(value) if isinstance(value, str) else None
    first, last = (int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])) if found else (0, 0)
    if first == last or last > DAY_MINUTES:
        raise ValueError('must be hours of the day, UTC, such as "01:00-05:00"')
    return first, last


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004  one kind of error for the operator
    return value


_READERS = {
    "labels": _labels,
    "types": _types_of,
    "interval_days": _days,
    "window": _window,
    "share_percent": _percent,
    "repair": _truth,
}
