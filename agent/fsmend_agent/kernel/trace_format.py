"""Parse the `format` files of tracefs and take events apart by them (Documentation/trace/events.rst).

Layouts change between kernels, so none is compiled in.
"""

import re
import sys
from dataclasses import dataclass
from enum import Enum

from fsmend_agent.errors import DecodeError

_NAME = re.compile(r"^name: (\S+)$", re.MULTILINE)
_ID = re.compile(r"^ID: (\d+)$", re.MULTILINE)
_FIELD = re.compile(r"^\tfield:([^;]+);\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:(\d);)?", re.MULTILINE)
_ARRAY = re.compile(r"\[[^\]]*\]$")
_SCALAR_SIZES = frozenset({1, 2, 4, 8})


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

    def value(self, data: bytes) -> int | bytes:
        """Return the field's value in an event's bytes; b"" when what it points to lies outside."""
        raw = data[self.offset : self.offset + self.size]
        if self.kind is FieldKind.INTEGER:
            return int.from_bytes(raw, sys.byteorder, signed=self.signed)
        if self.kind in {FieldKind.DATA_LOC, FieldKind.REL_DATA_LOC}:
            location = int.from_bytes(raw, sys.byteorder)
            start, length = location & 0xFFFF, location >> 16
            if self.kind is FieldKind.REL_DATA_LOC:
                start += self.offset + self.size
            raw = data[start : start + length]
        return raw.split(b"\0", 1)[0] if self.is_text else raw


@dataclass(frozen=True, slots=True)
class EventFormat:
    """The layout of one kind of event on the running kernel."""

    system: str
    name: str
    event_id: int
    fields: tuple[Field, ...]
    size: int

    def values(self, data: bytes) -> dict[str, int | bytes]:
        """Return every field of an event.

        Raises:
            DecodeError: the event is shorter than its fixed part.
        """
        if len(data) < self.size:
            raise DecodeError(f"truncated {self.name} event", data)
        return {field.name: field.value(data) for field in self.fields}


def parse_format(system: str, text: str) -> EventFormat:
    """Return the layout that a `format` file describes.

    Raises:
        DecodeError: it lacks the name, the id or the fields.
    """
    name, event_id = _NAME.search(text), _ID.search(text)
    fields = tuple(_field(*match) for match in _FIELD.findall(text))
    if name is None or event_id is None or not fields:
        raise DecodeError("event format without name, id or fields", text.encode())
    size = max(field.offset + field.size for field in fields)
    return EventFormat(system, name[1], int(event_id[1]), fields, size)


def _field(declaration: str, offset: str, size: str, signed: str) -> Field:
    """Return the field of one line, such as `char rwbs[10]` or `__data_loc char[] cmd`."""
    declared = declaration.split()
    name = _ARRAY.sub("", declared[-1])
    is_array = name != declared[-1]
    is_text = "char" in declared or "char[]" in declared
    if declared[0] == "__data_loc":
        kind = FieldKind.DATA_LOC
    elif declared[0] == "__rel_data_loc":
        kind = FieldKind.REL_DATA_LOC
    elif not is_array and int(size) in _SCALAR_SIZES:
        kind = FieldKind.INTEGER
    else:
        kind = FieldKind.TEXT if is_text else FieldKind.BYTES
    return Field(name.lstrip("*"), int(offset), int(size), signed == "1", kind, is_text)
