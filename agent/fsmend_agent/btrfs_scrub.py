"""One device's part of a btrfs scrub: the blocking call, what it counted, and its bandwidth limit."""

import errno
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock

from fsmend_agent.kernel import btrfs, syscall
from fsmend_proto.v1 import command_pb2 as pb

_UUID = re.compile(r"[0-9a-fA-F-]{36}")


class DeviceScrub:
    """One device being scrubbed. `run` blocks in a thread of its own; `poll` may be called from another meanwhile.

    Attributes:
        devid: of the device.
        outcome: what is known up to now.
        bytes_expected: an estimate of what there is to read.
        done: whether `run` has ended.
        never_began: whether the kernel refused to begin.
    """

    def __init__(self, fd: int, device: btrfs.DeviceInfo, message: pb.ScrubBtrfs) -> None:
        self.devid = device.device_id
        self.outcome = pb.ScrubOutcome(devid=device.device_id)
        self.done = False
        self.never_began = False
        self._fd = fd
        self._missing = not device.path
        self._lock = Lock()
        self._ended = False
        self._message = message
        left = max(0, device.total_bytes - message.start_byte) / max(1, device.total_bytes)
        self.bytes_expected = int(device.bytes_used * left)

    def run(self) -> None:
        """Scrub it. Never raises: an error is part of the outcome."""
        try:
            # Linux 6.18 reads in this thread, so its priority is the scrub's. Without it the scrub is only less polite.
            with suppress(OSError):
                syscall.ioprio_set(syscall.IOPRIO_CLASS_IDLE)
            if self._missing:
                raise OSError(errno.ENODEV, "the device is missing")  # noqa: TRY301  the same road as the kernel's own
            read_only, start = self._message.read_only, self._message.start_byte
            self._take(btrfs.scrub(self._fd, self.devid, read_only=read_only, start=start), last=True)
        except btrfs.ScrubStopped as stopped:
            self._take(stopped.progress, last=True)
            self.outcome.errno = stopped.errno or errno.EIO
        except OSError as error:
            self.never_began = True
            self.outcome.errno = error.errno or errno.EIO
        finally:
            self.done = True

    def poll(self) -> None:
        """Ask how far it is."""
        if self.done:
            return
        with suppress(OSError):
            progress = btrfs.scrub_progress(self._fd, self.devid)
            if progress is not None:
                self._take(progress)

    def _take(self, progress: btrfs.ScrubProgress, *, last: bool = False) -> None:
        """Note the kernel's counts in the outcome; nothing replaces the last ones."""
        with self._lock:
            if self._ended:
                return
            self._ended = last
            self._note(progress)

    def _note(self, progress: btrfs.ScrubProgress) -> None:
        """Write the counts into the outcome."""
        outcome = self.outcome
        outcome.bytes = progress.data_bytes_scrubbed + progress.tree_bytes_scrubbed
        outcome.errors_found = (
            progress.read_errors + progress.csum_errors + progress.verify_errors + progress.super_errors
        )
        # Linux 6.18 counts what it could correct as corrected in a read-only scrub too, where nothing is written.
        outcome.errors_corrected = 0 if self._message.read_only else progress.corrected_errors
        outcome.errors_uncorrectable = progress.uncorrectable_errors
        outcome.last_physical = progress.last_physical
        for name, value in asdict(progress).items():
            outcome.counters[name] = value


class ScrubSpeed:
    """The bandwidth limit of scrubs of one device: /sys/fs/btrfs/UUID/devinfo/ID/scrub_speed_max (Linux 5.14)."""

    def __init__(self, root: Path, uuid: str, devid: int) -> None:
        self.key = f"{uuid} {devid}"
        self._path = root / uuid / "devinfo" / str(devid) / "scrub_speed_max"
        self._before = ""
        self._set = ""

    def limit(self, bytes_per_second: int, remember: Callable[[str, str], None] = lambda _key, _value: None) -> None:
        """Set the limit and remember the one before; 0 leaves it.

        Raises:
            OSError: EOPNOTSUPP: the kernel has none. Others: it cannot be set, or what was there before cannot be
                remembered. Nothing was changed then.
        """
        if not bytes_per_second:
            return
        if not self._path.exists():
            raise OSError(errno.EOPNOTSUPP, "this kernel has no limit for scrubs, Linux 5.14 has one", str(self._path))
        before = self._path.read_text(encoding="ascii").strip()
        remember(self.key, f"{before} {bytes_per_second}")
        self._path.write_text(str(bytes_per_second), encoding="ascii")
        self._before, self._set = before, str(bytes_per_second)
        with suppress(OSError):
            self._set = self._path.read_text(encoding="ascii").strip()

    def restore(self) -> None:
        """Put the former limit back, unless it was changed by somebody else or the device went away."""
        if not self._before:
            return
        with suppress(OSError):
            if self._path.read_text(encoding="ascii").strip() == self._set:
                self._path.write_text(self._before, encoding="ascii")

    @classmethod
    def restore_noted(cls, root: Path, key: str, value: str) -> None:
        """Do the same for a limit that an earlier life of the agent set; what makes no sense is left alone."""
        uuid, _, devid = key.partition(" ")
        before, _, limit = value.partition(" ")
        if _UUID.fullmatch(uuid) and devid.isdigit() and before.isdigit() and limit.isdigit():
            speed = cls(root, uuid, int(devid))
            speed._before, speed._set = before, limit
            speed.restore()
