"""Parse the `format` files of tracefs and take events apart by them (Documentation/trace/events.rst).

Layouts change between kernels, so none is compiled in.
"""

import re
import struct
from dataclasses import dataclass, field
from enum import Enum

from fsmend_agent.errors import DecodeError

_NAME = re.compile(r"^name: (\S+)$", re.MULTILINE)
_ID = re.compile(r"^ID: (\d+)$", re.MULTILINE)
_FIELD = re.compile(r"^\tfield:([^;]+);\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:(\d);)?", re.MULTILINE)
_ARRAY = re.compile(r"\[[^\]]*\]$")
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_LOCATION_BYTES = 4
MAX_EVENT_BYTES = 1 << 16
"""No event is longer than a page of the ring, and none of those is so large."""


class FieldKind(Enum):
    """How a field's bytes are to be read."""

    INTEGER = "integer"
    BYTES = "bytes"
    TEXT = "text"
    """A char array, up to its NUL."""
    DATA_LOC = "data_loc"
    """Length << 16 | offset of what stands behind the fixed part; offset from the event's begin."""
    REL_DATA_LOC = "rel_data_loc"
    """The same, offset from the end of this field."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event."""

    name: str
    offset: int
    size: int
    signed: bool
    kind: FieldKind
    is_text: bool

    @property
    def code(self) -> str:
        """Return how the struct module reads it."""
        if self.kind is FieldKind.INTEGER:
            return _CODES[self.size].lower() if self.signed else _CODES[self.size]
        return "I" if self.kind in {FieldKind.DATA_LOC, FieldKind.REL_DATA_LOC} else f"{self.size}s"

    def behind(self, data: bytes, location: int) -> bytes:
        """Return what a location field points to; b"" when it lies outside of the event."""
        start, length = location & 0xFFFF, location >> 16
        if self.kind is FieldKind.REL_DATA_LOC:
            start += self.offset + self.size
        return data[start : start + length]


@dataclass(frozen=True, slots=True)
class EventFormat:
    """The layout of one kind of event on the running kernel; `size` is that of its fixed part."""

    system: str
    name: str
    event_id: int
    fields: tuple[Field, ...]
    size: int
    _layout: struct.Struct = field(repr=False, compare=False)
    _names: tuple[str, ...] = field(repr=False, compare=False)
    _not_integers: tuple[Field, ...] = field(repr=False, compare=False)

    def values(self, data: bytes) -> dict[str, int | bytes]:
        """Return every field of an event.

        Raises:
            DecodeError: the event is shorter than its fixed part.
        """
        if len(data) < self.size:
            raise DecodeError(f"truncated {self.name} event", data)
        values = dict(zip(self._names, self._layout.unpack_from(data), strict=True))
        for part in self._not_integers:
            raw = values[part.name]
            if isinstance(raw, int):
                raw = part.behind(data, raw)
            values[part.name] = raw.split(b"\0", 1)[0] if part.is_text else raw
        return values


def parse_format(system: str, text: str) -> EventFormat:
    """Return the layout that a `format` file describes.

    Raises:
        DecodeError: it lacks the name, the id or the fields, or its fields overlap.
    """
    name, event_id = _NAME.search(text), _ID.search(text)
    fields = tuple(sorted((_field(*match) for match in _FIELD.findall(text)), key=lambda part: part.offset))
    if name is None or event_id is None or not fields:
        raise DecodeError("event format without name, id or fields", text.encode())
    codes, size = "=", 0
    for part in fields:
        if part.offset < size or part.offset + part.size > MAX_EVENT_BYTES:
            raise DecodeError(f"event format with field {part.name} at {part.offset}", text.encode())
        codes += f"{part.offset - size}x{part.code}"
        size = part.offset + part.size
    return EventFormat(
        system=system,
        name=name[1],
        event_id=int(event_id[1]),
        fields=fields,
        size=size,
        _layout=struct.Struct(codes),
        _names=tuple(part.name for part in fields),
        _not_integers=tuple(part for part in fields if part.kind is not FieldKind.INTEGER),
    )


def _field(declaration: str, offset: str, size: str, signed: str) -> Field:
    """Return the field of one line, such as `char rwbs[10]` or `__data_loc char[] cmd`."""
    declared = declaration.split()
    name = _ARRAY.sub("", declared[-1])
    is_array = name != declared[-1]
    is_text = "char" in declared or "char[]" in declared
    if declared[0] == "__data_loc" and int(size) == _LOCATION_BYTES:
        kind = FieldKind.DATA_LOC
    elif declared[0] == "__rel_data_loc" and int(size) == _LOCATION_BYTES:
        kind = FieldKind.REL_DATA_LOC
    elif not is_array and int(size) in _CODES:
        kind = FieldKind.INTEGER
    else:
        kind = FieldKind.TEXT if is_text else FieldKind.BYTES
    return Field(name.lstrip("*"), int(offset), int(size), signed == "1", kind, is_text)
