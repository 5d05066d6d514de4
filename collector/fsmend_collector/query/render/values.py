"""Small values as people read them: ages, sizes, enumerations, errno names. Pure: `now_ns` is an argument."""

import errno
import os
import re
from datetime import UTC, datetime

from google.protobuf.descriptor import EnumDescriptor

_SECOND_NS = 1_000_000_000
_AGES = ((86_400 * 365, "y"), (86_400, "d"), (3_600, "h"), (60, "m"))
_SIZES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_MAX_TIME_NS = 253_402_300_799 * _SECOND_NS  # end of the year 9999: the last that RFC 3339 can write


def age(then_ns: int, now_ns: int) -> str:
    """Return the distance in its largest unit: 45s, 3m, 7h, 12d, 2y; `-` for no time at all."""
    if not then_ns:
        return "-"
    return duration((now_ns - then_ns) / _SECOND_NS) if now_ns >= then_ns else "0s"


def until(then_ns: int, now_ns: int) -> str:
    """Return how far `then_ns` is ahead, `expired` once it is past, `-` for no time at all."""
    if not then_ns:
        return "-"
    return duration((then_ns - now_ns) / _SECOND_NS) if then_ns > now_ns else "expired"


def duration(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for size, unit in _AGES:
        if seconds >= 2 * size or (size <= 60 and seconds >= size):
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def rfc3339(time_ns: int) -> str | None:
    """Return UTC time with nanoseconds, None for 0; a time past the year 9999 is written as its last second."""
    if not time_ns:
        return None
    seconds, rest = divmod(min(time_ns, _MAX_TIME_NS), _SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def local_time(time_ns: int) -> str:
    """Return local time to the millisecond, `-` for 0."""
    if not time_ns:
        return "-"
    seconds, rest = divmod(min(time_ns, _MAX_TIME_NS), _SECOND_NS)
    moment = datetime.fromtimestamp(seconds, UTC)
    if seconds < _MAX_TIME_NS // _SECOND_NS - 86_400:
        moment = moment.astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03d}"


def size(count_bytes: int) -> str:
    """Return bytes in binary units with at most three digits before the point: 512, 1.5Gi, 20Ti."""
    value = float(count_bytes)
    for unit in _SIZES:
        if value < 1000 or unit == _SIZES[-1]:
            break
        value /= 1024
    return f"{value:.1f}{unit}" if unit and value < 10 else f"{value:.0f}{unit}"


def word(descriptor: EnumDescriptor, number: int) -> str:
    """Return an enumeration's value without its prefix, in lower case; the bare number for one this version lacks."""
    value = descriptor.values_by_number.get(number)
    if value is None:
        return str(number)
    return str(value.name)[len(_prefix(descriptor.name)) :].lower()


def number_of(descriptor: EnumDescriptor, text: str) -> int | None:
    """Return the number of the value that `word` writes as `text`; dashes are taken for underscores."""
    value = descriptor.values_by_name.get(_prefix(descriptor.name) + text.upper().replace("-", "_"))
    return None if value is None else int(value.number)


def words(descriptor: EnumDescriptor) -> list[str]:
    """Return every value but the unspecified one."""
    return [word(descriptor, value.number) for value in descriptor.values if value.number]


def _prefix(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"


def errno_name(number: int) -> str:
    """Return `EIO (Input/output error)`; Linux's EUCLEAN and EBADMSG with what filesystems mean by them."""
    if not number:
        return "-"
    meaning = {117: "structure needs cleaning: corrupt", 74: "bad message: checksum"}.get(number) or os.strerror(number)
    return f"{errno.errorcode.get(number, number)} ({meaning})"
