"""Times and lengths of time as operators type them, for --since, --until and --ttl. Pure: `now` is an argument."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(?:\d+(?:\.\d+)?(?:min|[smhdw]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(min|[smhdw])")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_LATEST_NS = (1 << 63) - 1  # 2262-04-11: neither the store nor a kernel counts further
_LONGEST_SECONDS = 100 * 366 * 86_400

TIME_HELP = "-1h, 2d, yesterday, 13:00, 2026-11-22 13:00, or RFC 3339"


def parse_length(text: str) -> float:
    """Return seconds for `90s`, `1h30m`, `2d`, or a bare number of seconds.

    Raises:
        ValueError: it is not a length of time.
    """
    lowered = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", lowered):
        seconds = float(lowered)
    elif _LENGTH.fullmatch(lowered):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(lowered))
    else:
        raise ValueError(f"{text!r} is not a length of time; write 90s, 30m, 1h30m, 2d or 1w")
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f"{text!r} is longer than a century")
    return seconds


def parse_time(text: str, now: datetime) -> datetime:
    """Return the moment that `text` means; a time without a zone is in the zone of `now`.

    Raises:
        ValueError: it is no time.
    """
    lowered = text.strip().lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if lowered in words:
        return words[lowered]
    if _LENGTH.fullmatch(lowered.removeprefix("-").removesuffix(" ago")):
        return now - timedelta(seconds=parse_length(lowered.removeprefix("-").removesuffix(" ago")))
    if re.fullmatch(r"@\d{1,11}", lowered):
        return datetime.fromtimestamp(int(lowered[1:]), UTC)
    if _CLOCK.fullmatch(lowered):
        lowered = f"{now:%Y-%m-%d} {lowered.rjust(5, '0')}"
    try:
        moment = datetime.fromisoformat(lowered.upper())
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write {TIME_HELP}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


def to_ns(moment: datetime) -> int:
    """Return nanoseconds since 1970, 1 for anything before (0 means no bound).

    Raises:
        ValueError: 64 bits do not hold them.
    """
    distance = moment - datetime(1970, 1, 1, tzinfo=UTC)
    since_ns = (distance.days * 86_400 + distance.seconds) * 1_000_000_000 + distance.microseconds * 1_000
    if since_ns > _LATEST_NS:
        raise ValueError(f"{moment:%Y-%m-%d} is later than 2262-04-11, the latest time that there is")
    return max(1, since_ns)


class TimeParameter(click.ParamType[int]):
    """A time on the command line, as nanoseconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse against the clock and zone of this machine."""
        if isinstance(value, int):
            return value
        try:
            return to_ns(parse_time(value, datetime.now().astimezone()))
        except (ValueError, OverflowError) as error:
            self.fail(str(error), param, ctx)


class LengthParameter(click.ParamType[int]):
    """A length of time on the command line, as whole seconds, within bounds."""

    name = "length"

    def __init__(self, least_seconds: int = 1, most_seconds: int = _LONGEST_SECONDS) -> None:
        self.least_seconds, self.most_seconds = least_seconds, most_seconds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse `1h30m` or a number of seconds; less than a second is one."""
        if isinstance(value, int):
            return value
        try:
            seconds = max(1, int(parse_length(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not self.least_seconds <= seconds <= self.most_seconds:
            self.fail(f"{value!r} is not from {self.least_seconds} s to {self.most_seconds} s", param, ctx)
        return seconds


class FiniteRange(click.FloatRange):
    """A number of seconds or a factor, within bounds; `nan` is within all of them, and nothing waits for `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number
