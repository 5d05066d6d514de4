"""Every error that the agent raises itself.

The tree; a class answers who must act and whether a retry helps::

    AgentError
     ├── ConfigError       the operator's configuration; start-up stops, a retry does not help
     ├── DecodeError       bytes from outside that fit no declaration; kept raw and sent as `undecoded`
     ├── SpoolError        the spool's own files; the spool moves to its next storage
     ├── ActionRefused     a precondition does not hold: nothing was touched
     ├── ActionFailed      tried, and it did not work: verify before anything else
     ├── ProtocolError     the peer broke a promise of the wire; reconnect
     └── EnrolError        no usable identity; the operator must enrol the host

System calls raise OSError with errno and path, through `fsmend_agent.kernel.syscall`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsmend_proto.v1 import command_pb2


class AgentError(Exception):
    """Be the root of the agent's own errors."""


class ConfigError(AgentError):
    """Say what is wrong in the configuration, all problems at once."""


class DecodeError(AgentError, ValueError):
    """Say why bytes from outside could not be decoded, and keep them.

    Attributes:
        reason: one line, without the bytes.
        raw: what could not be decoded, from the first byte that made no sense.
    """

    def __init__(self, reason: str, raw: bytes) -> None:
        super().__init__(f"{reason} ({len(raw)} bytes)")
        self.reason = reason
        self.raw = raw


class SpoolError(AgentError):
    """Say that the spool cannot keep what it was given."""


class ActionRefused(AgentError):  # noqa: N818  a refusal is an outcome, not a fault
    """Say which precondition of an action does not hold; nothing was touched.

    Attributes:
        code: a RefusalCode of command.proto.
    """

    def __init__(self, code: "command_pb2.RefusalCode.ValueType", reason: str) -> None:
        super().__init__(reason)
        self.code = code


class ActionFailed(AgentError):  # noqa: N818  an outcome, as above
    """Say how an action failed after it began.

    Attributes:
        errno: positive, 0 when no system call said it.
        result: what was done and found until then, if anything.
    """

    def __init__(self, reason: str, errno: int = 0, result: "command_pb2.CommandResult | None" = None) -> None:
        super().__init__(reason)
        self.errno = errno
        self.result = result


class ProtocolError(AgentError):
    """Say which promise of the wire protocol the peer broke."""


class EnrolError(AgentError):
    """Say why the host has no usable identity."""
