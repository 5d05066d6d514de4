"""Build a command's typed action from words: the message in command.proto's `oneof action` is the only list there is.

A new action with plain fields needs no change here: its name and fields are read from the message.
"""

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from fsmend_proto.v1 import command_pb2

_WHOLE = {
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def action_names() -> list[str]:
    """Return every action, sorted."""
    return sorted(field.name for field in command_pb2.Command.DESCRIPTOR.oneofs_by_name["action"].fields)


def fields_of(action: str) -> list[str]:
    """Return the fields of an action that can be set from the command line."""
    message = getattr(command_pb2.Command(), action)
    return [field.name for field in message.DESCRIPTOR.fields if field.message_type is None]


def new_command(action: str, settings: Iterable[str]) -> command_pb2.Command:
    """Return a Command with that action and `FIELD=VALUE` settings; a repeated field may be given several times.

    Raises:
        ValueError: an unknown action or field, or a value that does not fit.
    """
    name = action.replace("-", "_")
    if name not in action_names():
        raise ValueError(f"{action!r} is not an action; there are: {', '.join(action_names())}")
    command = command_pb2.Command()
    message = getattr(command, name)
    message.SetInParent()
    for setting in settings:
        field_name, equals, text = setting.partition("=")
        if not equals or field_name not in fields_of(name):
            known = ", ".join(fields_of(name)) or "none"
            raise ValueError(f"{setting!r}: {name} takes FIELD=VALUE with these fields: {known}")
        _set(message, message.DESCRIPTOR.fields_by_name[field_name], text)
    return command


def _set(message: Any, field: FieldDescriptor, text: str) -> None:
    value = _value(field, text)
    try:
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    except (ValueError, TypeError):
        raise ValueError(f"{field.name}: {text!r} is out of range") from None


def _value(field: FieldDescriptor, text: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL:
        if text.lower() not in _TRUTH:
            raise ValueError(f"{field.name}: {text!r} is neither true nor false")
        return _TRUTH[text.lower()]
    if field.type in _WHOLE:
        try:
            return int(text, 0)
        except ValueError:
            raise ValueError(f"{field.name}: {text!r} is not a whole number") from None
    return text
