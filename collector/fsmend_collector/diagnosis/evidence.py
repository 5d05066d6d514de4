"""Evidence: what diagnosis needs of an Event, frozen, on the collector's clock."""

from dataclasses import dataclass

from fsmend_proto.v1 import event_pb2

_LARGEST_ERRNO = 4_095  # MAX_ERRNO, linux/err.h
_LONGEST_NAME = 1_024
_SCOPES: dict[int, str] = {
    number: name.removeprefix("XFS_SCOPE_").lower() for name, number in event_pb2.XfsScope.items()
}
_CORRUPTION_KINDS = (event_pb2.EVENT_KIND_FS_DATA_CORRUPTION, event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One finding about one unit.

    Attributes:
        event_id: unique in the store; the same id twice is the same finding.
        time_ns: when it happened, wall clock of the collector.
        host_ns: the same by the host's clock; it orders what was received before it happened, and so at one time.
        received_ns: when the collector received it, wall clock of the collector.
        count: occurrences that it stands for, at least 1.
        signature: what the agent coalesces by; the location of last resort.
        form: name of the kernel log line's form; one error may write a line of each of several forms.
        devid: btrfs device number, 0: none.
        before_agent: the errors are older than the agent's watch.
        reading: total of a kernel counter (ext4) or of the counters of one device (btrfs); None: no counter reading.
        sick: whether the part named by `scope` is sick (XFS health, a source), None when the event says nothing of it.
        scope: which part of the filesystem `sick` speaks of: "ag 1", "inode 131", "fs 0"; empty: the whole of it.
        xfs_scope: the same part as a number of XfsScope; 0: none.
        xfs_number: of the AG or realtime group.
        xfs_sick: the part's health mask.
        passed: a device's own verdict (SMART), None when it gave none.
        others_unknown: more inodes are concerned than `ino` names.
        subject: name of the source that a source state is about.
        last_ns: when the last occurrence was, when there are several; 0: as `time_ns`.
        since_ns: date of the first of the errors from before the agent, by the host's clock; 0: unknown.
    """

    event_id: str
    agent_id: str
    host_name: str
    kind: event_pb2.EventKind.ValueType
    severity: event_pb2.Severity.ValueType
    source: str
    time_ns: int
    received_ns: int
    host_ns: int = 0
    count: int = 1
    filesystem_uuid: str = ""
    filesystem_type: str = ""
    filesystem_device: str = ""
    device_id: str = ""
    device_name: str = ""
    mount_point: bytes = b""
    ino: int = 0
    generation: int = 0
    subvolume: int = 0
    path: bytes = b""
    function: str = ""
    line: int = 0
    errno: int = 0
    sector: int | None = None
    sector_count: int = 0
    signature: str = ""
    form: str = ""
    devid: int = 0
    command_id: str = ""
    message: str = ""
    before_agent: bool = False
    reading: int | None = None
    sick: bool | None = None
    scope: str = ""
    xfs_scope: int = 0
    xfs_number: int = 0
    xfs_sick: int = 0
    passed: bool | None = None
    others_unknown: bool = False
    subject: str = ""
    since_ns: int = 0
    last_ns: int = 0

    @property
    def location(self) -> str:
        """Name the place that failed, as exactly as the event says; empty when it says nothing.

        The same sector read ten times is one location, hence one error for the soft-error rate.
        """
        if self.sector is not None:
            return f"sector {self.sector}"
        if self.ino:
            return f"inode {self.subvolume}/{self.ino}"
        if self.function:
            return f"code {self.function}:{self.line}"
        return ""

    @property
    def latest_ns(self) -> int:
        """Return when the last of the occurrences was, at least `time_ns`."""
        return max(self.last_ns, self.time_ns)

    @property
    def onset_ns(self) -> int:
        """Return when the first of the occurrences was, as far as it is known."""
        return self.since_ns if self.before_agent and self.since_ns else self.time_ns

    @classmethod
    def of(
        cls,
        event_id: str,
        agent_id: str,
        host_name: str,
        event: event_pb2.Event,
        received_ns: int,
        clock_offset_ns: int = 0,
    ) -> "Evidence":
        """Take from an Event what diagnosis needs.

        Args:
            event_id: unique and stable over redelivery (agent, epoch, sequence).
            agent_id: from the client's certificate, never from the message.
            host_name: for people.
            event: as the agent sent it.
            received_ns: collector's wall clock at receipt.
            clock_offset_ns: collector's wall clock minus the host's; added to the event's wall time.
        """
        code = _code_location(event)
        # Nothing is received before it happens: a clock that runs ahead of its known offset must not outrun all proof.
        wall_ns = min(event.clocks.wall_ns + clock_offset_ns, received_ns) if event.clocks.wall_ns else received_ns
        has_sectors = event.HasField("sectors")
        detail = event.WhichOneof("detail")
        return cls(
            event_id=event_id,
            agent_id=agent_id,
            host_name=host_name,
            kind=event.kind,
            severity=min(event.severity, event_pb2.SEVERITY_CRITICAL),
            source=event.source,
            time_ns=max(wall_ns, 1),
            received_ns=received_ns,
            host_ns=event.clocks.wall_ns,
            count=_occurrences(event),
            filesystem_uuid=_name(event.filesystem.uuid),
            filesystem_type=event.filesystem.type,
            filesystem_device=_name(event.filesystem.device_name),
            device_id=_name(event.device.id),
            device_name=_name(event.device.name),
            mount_point=event.filesystem.mount_point,
            ino=event.inode.ino or event.ext4_counters.last.ino,
            generation=event.inode.generation if event.inode.generation_known else 0,
            subvolume=event.inode.subvolume,
            path=event.inode.path,
            function=_name(code[0]),
            line=code[1],
            errno=min(abs(event.errno), _LARGEST_ERRNO),
            sector=event.sectors.start if has_sectors else None,
            sector_count=event.sectors.count if has_sectors else 0,
            signature=_name(event.signature),
            form=_name(event.kernel_log.form),
            devid=event.btrfs_device.devid or event.scrub.devid,
            command_id=event.command_id,
            message=event.message,
            others_unknown=event.others_unknown,
            subject=_name(event.source_state.name),
            before_agent=event.ext4_counters.before_agent or event.btrfs_device.before_agent,
            reading=_reading(event),
            last_ns=min(event.last.wall_ns + clock_offset_ns, received_ns) if event.last.wall_ns else 0,
            since_ns=min(event.ext4_counters.first.time_seconds * 1_000_000_000, received_ns),
            sick=_sick(event),
            scope=_scope(event),
            xfs_scope=event.xfs_health.scope,
            xfs_number=event.xfs_health.number,
            xfs_sick=event.xfs_health.sick | event.xfs_health.became_sick,
            passed=event.smart.passed if detail == "smart" else None,
        )


def _name(text: str) -> str:
    """Return a host's text as a key: bounded, and without NUL, which PostgreSQL has not in text."""
    return text[:_LONGEST_NAME].replace("\0", "\ufffd") if len(text) > _LONGEST_NAME or "\0" in text else text


def _code_location(event: event_pb2.Event) -> tuple[str, int]:
    """Return function and line of the kernel's code, or ("", 0)."""
    match event.WhichOneof("detail"):
        case "ext4_error":
            return event.ext4_error.function, event.ext4_error.line
        case "kernel_log":
            return event.kernel_log.function, event.kernel_log.line
        case "ext4_counters":
            return event.ext4_counters.last.function, event.ext4_counters.last.line
        case _:
            return "", 0


def _occurrences(event: event_pb2.Event) -> int:
    """Return how many errors the event stands for; a counter's own difference wins over `count`."""
    match event.WhichOneof("detail"):
        case "ext4_counters":
            counted = event.ext4_counters.new_errors
        case "btrfs_device":
            counted = _relevant(event.kind, event.btrfs_device.added)
        case _:
            counted = 0
    return max(counted, event.count, 1)


def _reading(event: event_pb2.Event) -> int | None:
    """Return the total that the kernel's counters stand at, None when the event is no such reading."""
    match event.WhichOneof("detail"):
        case "ext4_counters":
            return event.ext4_counters.errors_count
        case "btrfs_device":
            return _relevant(event.kind, event.btrfs_device.total)
        case _:
            return None


def _relevant(kind: int, counters: event_pb2.BtrfsCounters) -> int:
    """Add up the counters of a btrfs device that an event of this kind speaks of."""
    if kind in _CORRUPTION_KINDS:
        return counters.corruption_errors + counters.generation_errors
    return counters.write_errors + counters.read_errors + counters.flush_errors


def _sick(event: event_pb2.Event) -> bool | None:
    """Say whether the part that the event speaks of is sick now; None when it says nothing of it."""
    match event.WhichOneof("detail"):
        case "xfs_health":
            return bool(event.xfs_health.sick)
        case "source_state":
            if event.source_state.state == event_pb2.SOURCE_STATE_BROKEN:
                return True
            return False if event.source_state.state == event_pb2.SOURCE_STATE_STARTED else None
        case _:
            return None


def _scope(event: event_pb2.Event) -> str:
    """Name the part that `sick` speaks of."""
    if event.WhichOneof("detail") != "xfs_health":
        return ""
    return scope_name(event.xfs_health.scope, event.inode.ino or event.xfs_health.number)


def scope_name(scope: int, number: int) -> str:
    """Name a part of an XFS: "ag 1", "inode 131", "fs 0"."""
    return f"{_SCOPES.get(scope, str(scope))} {number}"
