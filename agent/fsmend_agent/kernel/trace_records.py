"""Turn the fields of trace events into the records that the agent works with. Pure."""

from dataclasses import dataclass

from fsmend_agent.errors import DecodeError

_MINOR_BITS = 20  # the kernel's own dev_t (include/linux/kdev_t.h), not the one of stat(2)


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One event of the ring buffer.

    Attributes:
        system: such as block.
        name: such as block_rq_error.
        fields: by the kernel's names; texts as bytes.
        timestamp_ns: CLOCK_BOOTTIME.
        cpu: where it happened.
    """

    system: str
    name: str
    fields: dict[str, int | bytes]
    timestamp_ns: int
    cpu: int


@dataclass(frozen=True, slots=True)
class BlockRequestError:
    """A request that the block layer ended with an error (block:block_rq_error, Linux 5.18).

    Attributes:
        timestamp_ns: CLOCK_BOOTTIME.
        cpu: where the request was completed.
        pid: what ran there then; often not who asked for the I/O.
        major: of the device.
        minor: of the device.
        sector: first of the part that was not done, in units of 512 bytes.
        sectors: how many.
        error: errno, positive.
        operation: the kernel's letters, such as R, WS, D, RA.
        command: bytes of a pass-through command as text; empty for ordinary I/O.
    """

    timestamp_ns: int
    cpu: int
    pid: int
    major: int
    minor: int
    sector: int
    sectors: int
    error: int
    operation: str
    command: str


@dataclass(frozen=True, slots=True)
class Ext4Error:
    """An error that ext4 met in its metadata (ext4:ext4_error); never rate-limited.

    Attributes:
        timestamp_ns: CLOCK_BOOTTIME.
        cpu: where it happened.
        pid: who met it.
        major: of the device.
        minor: of the device.
        function: kernel function, or None when its name could not be found out.
        line: line in the kernel's source.
    """

    timestamp_ns: int
    cpu: int
    pid: int
    major: int
    minor: int
    function: str | None
    line: int


def block_request_error(event: TraceEvent) -> BlockRequestError:
    """Return the record of a block_rq_error event.

    Raises:
        DecodeError: this kernel's event lacks a field.
    """
    major, minor = device_number(_integer(event, "dev"))
    return BlockRequestError(
        timestamp_ns=event.timestamp_ns,
        cpu=event.cpu,
        pid=_integer(event, "common_pid"),
        major=major,
        minor=minor,
        sector=_integer(event, "sector"),
        sectors=_integer(event, "nr_sector"),
        error=abs(_integer(event, "error")),
        operation=_text(event, "rwbs"),
        command=_text(event, "cmd"),
    )


def ext4_error(event: TraceEvent, function: str | None) -> Ext4Error:
    """Return the record of an ext4_error event.

    Args:
        event: its field `function` is the address of a string in the kernel.
        function: that string, see `trace_names.FunctionNames`.

    Raises:
        DecodeError: this kernel's event lacks a field.
    """
    major, minor = device_number(_integer(event, "dev"))
    return Ext4Error(
        timestamp_ns=event.timestamp_ns,
        cpu=event.cpu,
        pid=_integer(event, "common_pid"),
        major=major,
        minor=minor,
        function=function,
        line=_integer(event, "line"),
    )


def device_number(dev: int) -> tuple[int, int]:
    """Return major and minor of the kernel's own dev_t."""
    return dev >> _MINOR_BITS, dev & (1 << _MINOR_BITS) - 1


def _integer(event: TraceEvent, name: str) -> int:
    value = event.fields.get(name)
    if not isinstance(value, int):
        raise DecodeError(f"{event.name} without a number {name}", repr(event.fields).encode())
    return value


def _text(event: TraceEvent, name: str) -> str:
    """Return a text field, or nothing when this kernel's event has none."""
    value = event.fields.get(name, b"")
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else ""
