r"""Any message as plain data for JSON and YAML: the proto's words, numbers as numbers, times as RFC 3339.

- `…_ns` fields that are moments become `…_time`, RFC 3339 in UTC with nanoseconds, null when unset; lengths of time and
  boot clocks stay numbers under their own name.
- Enumerations become their word in lower case, `null` when unspecified.
- Bytes that are names or text become text; undecodable bytes are written as `\xff`, and then the exact bytes
  stand beside it as `…_base64`. Other bytes are base64.
- Every plain field is there, set or not; of a `oneof` only the one that is set.
"""

import base64
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from fsmend_collector.query.render.values import rfc3339, word

_NOT_MOMENTS = {"boot_ns", "duration_ns", "clock_offset_ns", "uncertainty_ns"}
_TEXT_BYTES = {"mount_point", "mount_points", "path", "text", "content"}


def plain(message: Message) -> dict[str, Any]:
    """Return `message` as a dictionary of plain data."""
    result: dict[str, Any] = {}
    fields: Any = message.DESCRIPTOR.fields  # the stubs know two classes with one interface
    for field in fields:
        if field.containing_oneof is not None and not message.HasField(field.name):
            continue
        _put(result, message, field)
    return result


def _put(result: dict[str, Any], message: Message, field: FieldDescriptor) -> None:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        result[field.name] = {key: value[key] for key in sorted(value)}
    elif field.is_repeated:
        result[field.name] = [_single(field, item) for item in value]
        _put_exact(result, field, list(value))
    elif field.message_type is not None:
        result[field.name] = plain(value) if message.HasField(field.name) else None
    elif field.name.endswith("_ns") and field.name not in _NOT_MOMENTS:
        result[field.name.removesuffix("_ns") + "_time"] = rfc3339(value)
    else:
        result[field.name] = _single(field, value)
        _put_exact(result, field, [value])


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return plain(value)
    if field.enum_type is not None:
        return word(field.enum_type, value) if value else None
    if isinstance(value, bytes):
        if field.name in _TEXT_BYTES:
            return value.decode("utf-8", "backslashreplace")
        return base64.b64encode(value).decode()
    return value


def _put_exact(result: dict[str, Any], field: FieldDescriptor, values: list[Any]) -> None:
    """Add the exact bytes beside a text that could not be decoded."""
    if field.type != FieldDescriptor.TYPE_BYTES or field.name not in _TEXT_BYTES:
        return
    if any(value.decode("utf-8", "replace").encode() != value for value in values):
        encoded = [base64.b64encode(value).decode() for value in values]
        result[f"{field.name}_base64"] = encoded if field.is_repeated else encoded[0]
