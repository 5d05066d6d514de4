"""Trace chosen kernel events through an instance of tracefs of one's own (Documentation/trace/ftrace.rst).

The instance has its own ring buffers and switches, so that nobody else's tracing is disturbed. It is named after the
process; what dead processes left is removed by `remove_stale`. Needs CAP_SYS_ADMIN or CAP_DAC_OVERRIDE (the files
belong to root) and, where tracefs is not mounted, CAP_SYS_ADMIN to mount it.
"""

import contextlib
import itertools
import os
import re
import select
import sys
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import syscall
from fsmend_agent.kernel.trace_format import EventFormat, parse_format
from fsmend_agent.kernel.trace_page import PageLayout, decode_page, missed, parse_header_page
from fsmend_agent.kernel.trace_records import TraceEvent

TRACEFS_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
BUFFER_KIB_PER_CPU = 256
"""About 5,000 events a CPU: a storm's first burst fits while the reader wakes up."""

_PREFIX = "fsmend-"
_STALE = re.compile(rf"{_PREFIX}(\d+)-\d+")
_COMMON_TYPE_BYTES = 2
_STATS_LINE = re.compile(r"^([a-z ]+): (\d+)$", re.MULTILINE)
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class CpuStats:
    """Counters of one CPU's ring since the instance was made.

    Attributes:
        cpu: its number.
        entries: events that wait.
        overrun: events overwritten before they were read.
        commit_overrun: events lost because an interrupt nested too deeply.
        dropped_events: events dropped in a ring that does not overwrite.
        read_events: events that were read.
    """

    cpu: int
    entries: int
    overrun: int
    commit_overrun: int
    dropped_events: int
    read_events: int

    @property
    def lost(self) -> int:
        """Return every event that was recorded and never read."""
        return self.overrun + self.commit_overrun + self.dropped_events


@dataclass(frozen=True, slots=True)
class TraceBatch:
    """What one `TraceInstance.read` found.

    Attributes:
        events: in the order of time.
        lost: events that were overwritten before they were read.
        lost_unknown: pages that say that events are missing, but not how many; `stats` has the sum.
        undecoded: bytes that fit no format, each with the reason.
        more: the limit was reached and more may wait.
    """

    events: list[TraceEvent]
    lost: int
    lost_unknown: int
    undecoded: list[DecodeError]
    more: bool


def find_tracefs(private: Path | None = None) -> Path:
    """Return where tracefs is mounted; mount it on `private` when it is nowhere. The caller unmounts that again.

    Raises:
        FileNotFoundError: it is not mounted and there is no private place.
        OSError: ENODEV when the kernel has no tracefs; EPERM.
    """
    for place in (*TRACEFS_PLACES, *([private] if private else [])):
        if (place / "instances").is_dir():
            return place
    if private is None:
        raise FileNotFoundError(2, "tracefs is not mounted", str(TRACEFS_PLACES[0]))
    private.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
    syscall.mount("tracefs", str(private), "tracefs", flags)
    return private


def remove_stale(root: Path) -> list[str]:
    """Remove the instances of fsmend processes that are dead; return their names.

    A process in another PID namespace looks dead from here; its open files make the kernel refuse (EBUSY).
    """
    removed = []
    for instance in sorted((root / "instances").iterdir()):
        match = _STALE.fullmatch(instance.name)
        if match is None or Path("/proc", match[1]).exists():
            continue
        with contextlib.suppress(OSError):
            instance.rmdir()
            removed.append(instance.name)
    return removed


def parse_stats(cpu: int, text: str) -> CpuStats:
    """Return the counters of a `stats` file; 0 for one that this kernel does not have."""
    values = {name: int(number) for name, number in _STATS_LINE.findall(text)}
    return CpuStats(
        cpu=cpu,
        entries=values.get("entries", 0),
        overrun=values.get("overrun", 0),
        commit_overrun=values.get("commit overrun", 0),
        dropped_events=values.get("dropped events", 0),
        read_events=values.get("read events", 0),
    )


class TraceInstance:
    """One instance: made on construction, removed by `close`. `fileno` fits asyncio's add_reader."""

    def __init__(self, root: Path, *, buffer_kib_per_cpu: int = BUFFER_KIB_PER_CPU) -> None:
        self.path = root / "instances" / f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        self._formats: dict[int, EventFormat] = {}
        self._pipes: dict[int, int] = {}
        self.path.mkdir()
        self._epoll = select.epoll()
        try:
            # The size before the first event is switched on: the kernel then never makes its larger default rings.
            self._write("buffer_size_kb", str(buffer_kib_per_cpu))
            # Comparable with CLOCK_BOOTTIME, the clock of the events' own times.
            self._write("trace_clock", "boot")
            # Wake the reader for every event, and not when half of the ring is full.
            self._write("buffer_percent", "0")
            self._layout = self._read_layout()
            self._open_pipes()
        except BaseException:
            self.close()
            raise

    def enable(self, system: str, name: str) -> EventFormat | None:
        """Switch an event on and return its layout, or None when this kernel (or no module yet) has it.

        Call it again when a filesystem's module may have been loaded.
        """
        folder = self.path / "events" / system / name
        try:
            layout = parse_format(system, (folder / "format").read_text())
            (folder / "enable").write_text("1")
        except FileNotFoundError:
            return None
        self._formats[layout.event_id] = layout
        return layout

    def fileno(self) -> int:
        """Return a descriptor that is readable while events wait."""
        return self._epoll.fileno()

    def read(self, max_pages_per_cpu: int = 64) -> TraceBatch:
        """Return the events that wait, at most some pages of every CPU; never waits."""
        batch = TraceBatch([], 0, 0, [], more=False)
        lost = unknown = 0
        more = False
        for cpu, pipe in self._pipes.items():
            pages = self._read_pages(pipe, max_pages_per_cpu)
            more = more or len(pages) == max_pages_per_cpu
            for page in pages:
                gap = missed(page, self._layout)
                lost += (gap.count or 0) if gap else 0
                unknown += gap is not None and gap.count is None
                self._take_apart(page, cpu, batch)
        batch.events.sort(key=lambda event: event.timestamp_ns)
        return TraceBatch(batch.events, lost, unknown, batch.undecoded, more=more)

    def stats(self) -> list[CpuStats]:
        """Return the counters of every CPU's ring."""
        return [parse_stats(cpu, (self.path / "per_cpu" / f"cpu{cpu}" / "stats").read_text()) for cpu in self._pipes]

    def text(self, cpu: int) -> str:
        """Return what waits in one CPU's ring as the kernel prints it, without taking it."""
        path = self.path / "per_cpu" / f"cpu{cpu}" / "trace"
        return path.read_text(encoding="utf-8", errors="backslashreplace")

    def close(self) -> None:
        """Remove the instance; the kernel switches its events off."""
        self._epoll.close()
        while self._pipes:
            os.close(self._pipes.popitem()[1])
        with contextlib.suppress(FileNotFoundError):
            self.path.rmdir()

    def _write(self, name: str, value: str) -> None:
        (self.path / name).write_text(value)

    def _read_layout(self) -> PageLayout:
        return parse_header_page((self.path / "events" / "header_page").read_text())

    def _open_pipes(self) -> None:
        for folder in (self.path / "per_cpu").iterdir():
            pipe = os.open(folder / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._pipes[int(folder.name.removeprefix("cpu"))] = pipe
            self._epoll.register(pipe, select.EPOLLIN)

    def _read_pages(self, pipe: int, limit: int) -> list[bytes]:
        """Return the pages that one CPU has, up to a limit."""
        pages: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while len(pages) < limit and (page := os.read(pipe, self._layout.page_bytes)):
                pages.append(page)
        return pages

    def _take_apart(self, page: bytes, cpu: int, batch: TraceBatch) -> None:
        """Append a page's events to the batch."""
        try:
            for raw in decode_page(page, self._layout):
                event_id = int.from_bytes(raw.data[:_COMMON_TYPE_BYTES], sys.byteorder)
                layout = self._formats.get(event_id)
                if layout is None:
                    batch.undecoded.append(DecodeError(f"trace event of unknown type {event_id}", raw.data))
                    continue
                fields = layout.values(raw.data)
                batch.events.append(TraceEvent(layout.system, layout.name, fields, raw.timestamp_ns, cpu))
        except DecodeError as error:
            batch.undecoded.append(error)
