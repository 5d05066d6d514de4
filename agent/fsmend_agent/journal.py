"""What became of every command, written ahead: "started" is on disk before an action begins.

The file holds lines of `CRC32 JSON`. A line names a command and what is new about it; of each field the last value
holds. A torn or damaged line is skipped and counted. The file is rewritten when it has grown, and after a write failed.

The ids of old commands stay known, so that a command which is sent again never runs again.
"""

import base64
import binascii
import contextlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from threading import Lock
from typing import Any

from fsmend_proto.v1 import command_pb2 as pb

HOUR_NS = 3600 * 10**9
KEEP_NS = 30 * 24 * HOUR_NS
KEEP_COMMANDS = 10_000
KEEP_BYTES = 32 * 1024 * 1024
REWRITE_BYTES = 1024 * 1024
UPDATE_LIMIT_BYTES = 64 * 1024
"""A final update above this is remembered without the evidence, then without the pieces: both went out before."""


class Step(IntEnum):
    """How far a command came."""

    ACCEPTED = 1
    STARTED = 2
    FINISHED = 3
    REPORTED = 4
    """Its final update is in the spool."""


@dataclass(slots=True)
class Entry:
    """One command.

    Attributes:
        id: the command's.
        digest: of the canonical command: the same id with another content is another command.
        action: its name.
        idempotent: whether the action may be run again after a crash.
        wall_ns: when it was received.
        keep_until_ns: until when it could be sent again and be believed; 0: no matter.
        step: how far it came.
        update: the serialised final update while it is not on disk.
        place: offset and length of the line that holds the final update.
        notes: what the action set and has to take back, in its own words.
    """

    id: str
    digest: str
    action: str = ""
    idempotent: bool = False
    wall_ns: int = 0
    keep_until_ns: int = 0
    step: Step = Step.ACCEPTED
    update: bytes | None = None
    place: tuple[int, int] | None = None
    notes: dict[str, str] = field(default_factory=dict)


class Journal:
    """The journal in one file. Its methods block on the disk; they may be called from several threads.

    Every method that writes raises OSError when the line is not on disk. What it says is known in memory all the same,
    and the next write tries to bring all of it to disk.
    """

    def __init__(self, path: Path, wall_clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Read the journal at `path`, if there is one.

        Never raises for what the disk does: the journal may lie on the very filesystem that fails, and the agent must
        start to tell of it. Where nothing can be written, every write says so, and nothing begins.
        """
        self._path = path
        self._wall_clock_ns = wall_clock_ns
        self._lock = Lock()
        self._entries: dict[str, Entry] = {}
        self._unreadable: OSError | None = None
        self._size = 0
        self.damaged = 0
        """Lines that did not pass their checksum; what they said is lost."""
        self._fd, writable = self._open()
        self._load()
        # A torn tail would swallow the next line, so a damaged file is rewritten before it is used.
        self._rewrite_above = max(REWRITE_BYTES, 2 * self._size) if writable and not self.damaged else 0

    def __getitem__(self, command_id: str) -> Entry:
        """Return what is known of a command."""
        return self._entries[command_id]

    def get(self, command_id: str) -> Entry | None:
        """Return what is known of a command; None for a new one."""
        return self._entries.get(command_id)

    def at(self, *steps: Step) -> list[Entry]:
        """Return the commands that stand at one of `steps`, oldest first."""
        return [entry for entry in list(self._entries.values()) if entry.step in steps]

    def accept(self, entry: Entry) -> None:
        """Note a new command."""
        with self._lock:
            self._entries[entry.id] = entry
            self._append(entry, _head(entry))

    def start(self, command_id: str) -> None:
        """Note that the action begins now. Only when this returned may it touch anything."""
        with self._lock:
            entry = self._entries[command_id]
            entry.step = Step.STARTED
            self._append(entry, {"step": int(entry.step)})

    def note(self, command_id: str, key: str, value: str) -> None:
        """Note what a running action is about to set, so that the agent's next life can take it back."""
        with self._lock:
            entry = self._entries[command_id]
            entry.notes[key] = value
            self._append(entry, {"step": int(entry.step), "notes": entry.notes})

    def finish(self, update: pb.CommandUpdate) -> None:
        """Note the end of a command."""
        with self._lock:
            entry = self._entries[update.command_id]
            entry.step = Step.FINISHED
            entry.update = _trimmed(update)
            self._append(entry, {"step": int(entry.step), "final": base64.b64encode(entry.update).decode()})

    def reported(self, command_id: str) -> None:
        """Note that the final update is in the spool. Not synced: at worst the update is sent twice."""
        with self._lock:
            entry = self._entries.get(command_id)
            if entry is not None and entry.step is Step.FINISHED:
                entry.step = Step.REPORTED
                self._append(entry, {"step": int(entry.step)}, sync=False)

    def final_update(self, command_id: str) -> pb.CommandUpdate | None:
        """Return the final update of a command; None when it has none, or it cannot be read any more."""
        with self._lock:
            entry = self._entries.get(command_id)
            try:
                data = None if entry is None else self._final(entry)
            except OSError:
                data = None
        return None if data is None else pb.CommandUpdate.FromString(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _open(self) -> tuple[int, bool]:
        """Return a descriptor of the file, or of nothing, and whether it can be written."""
        with contextlib.suppress(OSError):
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), True
        try:
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC), False
        except FileNotFoundError:
            pass
        except OSError as error:
            self._unreadable = error
        return os.memfd_create("journal", os.MFD_CLOEXEC), False

    def _final(self, entry: Entry) -> bytes | None:
        """Return the serialised final update from memory or disk."""
        if entry.update is not None or entry.place is None:
            return entry.update
        length, offset = entry.place[1], entry.place[0]
        fields = _decode(os.pread(self._fd, length, offset))
        return None if fields is None or "final" not in fields else base64.b64decode(fields["final"])

    def _append(self, entry: Entry, fields: dict[str, Any], *, sync: bool = True) -> None:
        """Add one line, or all lines anew when the file is large or not to be trusted."""
        if self._unreadable is not None:
            # Not even a new file: it would take the place of one that knows which commands ran.
            raise OSError(self._unreadable.errno, self._unreadable.strerror, str(self._path))
        line = _encode({"id": entry.id, **fields})
        if self._size + len(line) > self._rewrite_above or len(self._entries) > KEEP_COMMANDS:
            self._rewrite()
            return
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError(28, "No space left on device", str(self._path))  # noqa: TRY301  a short write says no more
            if sync:
                os.fsync(self._fd)
        except OSError:
            # Nobody knows what of it is on disk: a failed fsync drops the pages and forgets the error.
            self._rewrite_above = 0
            raise
        if "final" in fields and sync:
            entry.place, entry.update = (self._size, len(line)), None
        self._size += len(line)

    def _rewrite(self) -> None:
        """Write what is worth keeping to a new file and put it in place of the old one."""
        self._rewrite_above = 0
        self._forget()
        temporary = self._path.with_name(f"{self._path.name}.new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        with contextlib.ExitStack() as closing:
            fd = os.open(temporary, flags, 0o600)
            closing.callback(os.close, fd)
            places = self._write_all(fd)
            os.fsync(fd)
            temporary.replace(self._path)
            _sync_folder(self._path.parent)
            closing.pop_all()
        os.close(self._fd)
        self._fd, self._size = fd, os.fstat(fd).st_size
        self._rewrite_above = max(REWRITE_BYTES, 2 * self._size)
        for entry, place in places:
            entry.place, entry.update = place, None

    def _write_all(self, fd: int) -> list[tuple[Entry, tuple[int, int] | None]]:
        """Write every entry's line; return where each is, for those with a final update."""
        places: list[tuple[Entry, tuple[int, int] | None]] = []
        offset = 0
        for entry in self._entries.values():
            final = self._final(entry)
            fields = {"id": entry.id, **_head(entry)}
            if final is not None:
                fields["final"] = base64.b64encode(final).decode()
            line = _encode(fields)
            view = memoryview(line)
            while view:
                view = view[os.write(fd, view) :]
            places.append((entry, None if final is None else (offset, len(line))))
            offset += len(line)
        return places

    def _forget(self) -> None:
        """Drop the ids that may go: too old, too many, or too large; never a command that has not ended."""
        now_ns = self._wall_clock_ns()
        ended = [entry for entry in self._entries.values() if entry.step is Step.REPORTED]
        # What was signed must stay known for as long as its signature is worth anything: it goes last.
        ended.sort(key=lambda entry: (entry.keep_until_ns > now_ns, entry.wall_ns))
        sizes = {entry.id: 512 + (entry.place[1] if entry.place else 0) for entry in self._entries.values()}
        total = sum(sizes.values())
        for entry in ended:
            old = entry.wall_ns + KEEP_NS < now_ns and entry.keep_until_ns <= now_ns
            # A tenth below the bounds, so that a full journal is not rewritten at every command.
            if not old and len(self._entries) <= KEEP_COMMANDS * 0.9 and total <= KEEP_BYTES * 0.9:
                break
            total -= sizes[entry.id]
            del self._entries[entry.id]

    def _load(self) -> None:
        """Read the whole file."""
        try:
            for line, offset in _lines(self._fd):
                self._size = offset + len(line)
                fields = _decode(line)
                if fields is None or not self._apply(fields, (offset, len(line))):
                    self.damaged += 1
        except OSError as error:
            self._unreadable = error

    def _apply(self, fields: dict[str, Any], place: tuple[int, int]) -> bool:
        """Take in one line; False when it makes no sense."""
        try:
            step, command_id = Step(fields["step"]), str(fields["id"])
            # A line whose command's first line is damaged still tells that this id was used.
            entry = self._entries.get(command_id) or Entry(command_id, "")
            if "digest" in fields:
                entry.digest, entry.action = str(fields["digest"]), str(fields["action"])
                entry.idempotent, entry.wall_ns = bool(fields["idempotent"]), int(fields["wall_ns"])
                entry.keep_until_ns = int(fields["keep_until_ns"])
            entry.notes |= {str(key): str(value) for key, value in fields.get("notes", {}).items()}
        except (AttributeError, KeyError, TypeError, ValueError):
            return False
        entry.step = max(entry.step, step)
        if "final" in fields:
            entry.place = place
        self._entries[command_id] = entry
        return True


def _head(entry: Entry) -> dict[str, Any]:
    """Return everything but the final update."""
    return {
        "step": int(entry.step),
        "digest": entry.digest,
        "action": entry.action,
        "idempotent": entry.idempotent,
        "wall_ns": entry.wall_ns,
        "keep_until_ns": entry.keep_until_ns,
        **({"notes": entry.notes} if entry.notes else {}),
    }


def _encode(fields: dict[str, Any]) -> bytes:
    """Return one line."""
    payload = json.dumps(fields, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def _decode(line: bytes) -> dict[str, Any] | None:
    """Return what a line says; None when it is damaged."""
    checksum, _, payload = line.rstrip(b"\n").partition(b" ")
    with contextlib.suppress(ValueError, RecursionError, binascii.Error):
        if line.endswith(b"\n") and len(checksum) == 8 and int(checksum, 16) == zlib.crc32(payload):
            fields = json.loads(payload)
            return fields if isinstance(fields, dict) else None
    return None


def _lines(fd: int) -> Iterator[tuple[bytes, int]]:
    """Yield every line and its offset; the last may lack its newline."""
    offset = 0
    with open(os.dup(fd), "rb") as file:  # noqa: PTH123  a descriptor has no Path
        for line in file:
            yield line, offset
            offset += len(line)


def _trimmed(update: pb.CommandUpdate) -> bytes:
    """Return the update as it is remembered."""
    if update.ByteSize() <= UPDATE_LIMIT_BYTES:
        return update.SerializeToString()
    copy = pb.CommandUpdate()
    copy.CopyFrom(update)
    for file in copy.result.evidence:
        file.content, file.truncated = b"", True
    if copy.ByteSize() > UPDATE_LIMIT_BYTES:  # verdict, summary and the place to go on from are worth more
        copy.result.ClearField("xfs_scrubs")
    if copy.ByteSize() > UPDATE_LIMIT_BYTES:
        copy.ClearField("result")
    copy.message = copy.message[:4096]
    return copy.SerializeToString()


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def orphaned(entry: Entry) -> pb.CommandUpdate:
    """Return the end of a command that an earlier life of the agent left open."""
    if entry.step is Step.ACCEPTED:
        message = "the agent stopped before it began: nothing was touched"
        return pb.CommandUpdate(command_id=entry.id, state=pb.COMMAND_STATE_EXPIRED, message=message)
    message = f"the agent stopped while {entry.action or 'it'} ran; it is not run again by itself"
    if entry.idempotent:
        message += ". A new command for the same may be sent"
    return pb.CommandUpdate(command_id=entry.id, state=pb.COMMAND_STATE_UNKNOWN, message=message)
