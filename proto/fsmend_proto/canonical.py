"""What a signature covers: agents, which verify it, and operators, who make it, must mean the same bytes."""

from fsmend_proto.v1 import command_pb2


def canonical(command: command_pb2.Command) -> bytes:
    """Return the bytes that a signature of `command` covers: its deterministic serialisation without the signature."""
    copy = command_pb2.Command()
    copy.CopyFrom(command)
    copy.ClearField("signature")
    copy.ClearField("signer")
    return copy.SerializeToString(deterministic=True)
