"""Find out which function an ext4_error event names.

The event's record holds the *address* of the name, a string constant of the kernel, and nothing else. Seen on 6.18:
`printk_formats` and kallsyms do not list such strings, `options/fields` prints the address of the record instead of
that of the string, and an event probe (which could copy the string) is a build option that is not always there.
But the kernel's own text output follows the address. So a second, small instance keeps the last errors to be read as
text, and only when an unknown address appears is its text matched with the record: same process, device and line
within a millisecond. One function is looked up once; a name that was overwritten too early is None, never a guess.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent.kernel.trace import TraceInstance
from fsmend_agent.kernel.trace_records import TraceEvent, device_number

NAMES_KIB_PER_CPU = 32
MAX_NAMES = 4096
"""ext4 has some hundred functions that report errors."""
TRIES_PER_BATCH = 8
"""Events of one address that are compared with the text; when the newest are not in it, older ones are not either."""

_NEAR_NS = 1_000_000
# The command name on the left may hold anything, also what looks like a process number; so the last one in the line
# counts. With at most 15 bytes it is too short to forge a whole line.
_LINE = re.compile(
    r"^.*-(\d+)\s+\[(\d+)\] \S+ +(\d+)\.(\d{6}): ext4_error: dev (\d+),(\d+) function (\w+) line (\d+)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class NamedError:
    """One ext4_error event as the kernel prints it; its time is rounded to microseconds."""

    pid: int
    cpu: int
    timestamp_ns: int
    major: int
    minor: int
    function: str
    line: int


def parse_text(text: str) -> list[NamedError]:
    """Return the ext4_error lines of a `trace` file; whatever else is in it is left out."""
    return [
        NamedError(
            int(pid), int(cpu), int(seconds) * 10**9 + int(micros) * 1000, int(major), int(minor), name, int(line)
        )
        for pid, cpu, seconds, micros, major, minor, name, line in _LINE.findall(text)
    ]


def match(event: TraceEvent, lines: Iterable[NamedError]) -> str | None:
    """Return the function of an event, or None when no line or more than one function fits."""
    fields = event.fields
    major, minor = device_number(int(fields["dev"]))
    wanted = (fields["common_pid"], event.cpu, major, minor, fields["line"])
    found = {
        line.function
        for line in lines
        if (line.pid, line.cpu, line.major, line.minor, line.line) == wanted
        and abs(line.timestamp_ns - event.timestamp_ns) <= _NEAR_NS
    }
    return found.pop() if len(found) == 1 else None


class FunctionNames:
    """Names by address. Make it before the instance that is read: its event then comes first at every error."""

    def __init__(self, root: Path) -> None:
        self._names: dict[int, str] = {}
        self._event_id = 0
        self._instance = TraceInstance(root, buffer_kib_per_cpu=NAMES_KIB_PER_CPU)

    def enable(self) -> bool:
        """Switch the event on; False while the kernel has no ext4. A new ext4 module has new addresses."""
        layout = self._instance.enable("ext4", "ext4_error")
        if layout is not None and layout.event_id != self._event_id:
            self._names.clear()
            self._event_id = layout.event_id
        return layout is not None

    def learn(self, events: Iterable[TraceEvent]) -> None:
        """Look up the functions of ext4_error events whose address is new.

        The kernel is asked at most once for every CPU that met a new address.
        """
        unknown = [event for event in events if event.name == "ext4_error" and self.name(event) is None]
        if not unknown or len(self._names) >= MAX_NAMES:
            return
        lines = {cpu: parse_text(self._instance.text(cpu)) for cpu in {event.cpu for event in unknown}}
        tried: Counter[int | bytes] = Counter()
        # Newest first: the older ones are the first to be overwritten, and one event of an address is enough.
        for event in reversed(unknown):
            address = event.fields["function"]
            if self.name(event) is not None or tried[address] >= TRIES_PER_BATCH:
                continue
            tried[address] += 1
            if (function := match(event, lines[event.cpu])) is not None:
                self._names[int(address)] = function

    def name(self, event: TraceEvent) -> str | None:
        """Return the function of an ext4_error event, or None when it is unknown."""
        address = event.fields.get("function")
        return self._names.get(address) if isinstance(address, int) else None

    def close(self) -> None:
        """Remove the instance."""
        self._instance.close()
