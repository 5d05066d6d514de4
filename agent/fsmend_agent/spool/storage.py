"""Where the spool stands now: on its disk, or, while that fails, in memory."""

import errno
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent.spool.ballast import Ballast
from fsmend_agent.spool.files import remove, replace_file
from fsmend_agent.spool.limits import SpoolLimits

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PROBE = "probe"
_PROBE_BYTES = 65_536
# Each stay in memory is an epoch of its own and a new stream: a disk that comes and goes is believed less and less.
_CALM_SECONDS = 3_600.0
_SHORTEST_STAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StorageChange:
    """Tell that the spool moved, gave up its ballast, or could keep nothing.

    Attributes:
        durable: whether records outlive a reboot from now on.
        directory: where they go now.
        reason: one line.
        errno: of the failure that led to it; 0 for none.
    """

    durable: bool
    directory: Path
    reason: str
    errno: int = 0


class Storage:
    """Decide between the spool's directory and its fallback."""

    def __init__(self, directory: Path, limits: SpoolLimits, on_change: Callable[[StorageChange], object]) -> None:
        self.primary = directory
        self.current = directory
        self._limits = limits
        self._on_change = on_change
        self._ballast = Ballast(directory, limits.ballast_bytes)
        self._keeping = True
        self._left_seconds = -math.inf
        self._stay_seconds = 0.0

    @property
    def directories(self) -> tuple[Path, Path]:
        """Return both places, the durable one first."""
        return self.primary, self._limits.fallback_directory

    @property
    def durable(self) -> bool:
        """Tell whether the spool stands on its own disk."""
        return self.current == self.primary

    @property
    def bound_bytes(self) -> int:
        """Return how much may be kept here."""
        return self._limits.max_bytes if self.durable else self._limits.fallback_max_bytes

    @property
    def segment_bytes(self) -> int:
        """Return the size at which a segment closes here."""
        return self._limits.segment_bytes_within(self.bound_bytes)

    def prepare(self) -> None:
        """Make the directory and take the ballast; move at once when the disk does not serve."""
        try:
            self.primary.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._try_primary()
        except OSError as error:
            if not self.give_way(error):
                self.give_up(error)
            return
        self._ballast.take()

    def give_way(self, error: OSError) -> bool:
        """After a failed write: make another try possible, or tell that there is none."""
        number = error.errno or 0
        if self.durable and number in _FULL and self._ballast.release():
            self._on_change(StorageChange(True, self.current, "the disk is full: the ballast was given up", number))
            return True
        if not self.durable:
            return False
        fallback = self._limits.fallback_directory
        try:
            fallback.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return False
        self.current = fallback
        self._note_leaving()
        self._on_change(StorageChange(False, fallback, f"the spool moved to memory: {error}", number))
        return True

    def _note_leaving(self) -> None:
        now_seconds = time.monotonic()
        again = now_seconds - self._left_seconds < _CALM_SECONDS + self._stay_seconds
        longer = max(_SHORTEST_STAY_SECONDS, 2 * self._stay_seconds)
        self._stay_seconds = min(longer, _CALM_SECONDS) if again else 0.0
        self._left_seconds = now_seconds

    def give_up(self, error: OSError) -> None:
        """Say, once, that nothing can be kept anywhere."""
        if self._keeping:
            self._keeping = False
            reason = f"nothing can be kept, losses are counted: {error}"
            self._on_change(StorageChange(False, self.current, reason, error.errno or 0))

    def kept(self) -> None:
        """Note that a write worked."""
        self._keeping = True

    def returns(self) -> bool:
        """Tell whether the disk works again; then it is where the spool stands."""
        if self.durable or time.monotonic() - self._left_seconds < self._stay_seconds:
            return False
        try:
            self.primary.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._try_primary()
        except OSError:
            return False
        self.current = self.primary
        self._on_change(StorageChange(True, self.primary, "the spool moved back to its disk"))
        return True

    def tend(self) -> None:
        """Take the ballast again once there is clearly room for it."""
        if not self.durable or self._ballast.held:
            return
        try:
            free = os.statvfs(self.primary)
        except OSError:
            return
        if free.f_bavail * free.f_frsize > 4 * self._limits.ballast_bytes:
            self._ballast.take()

    def _try_primary(self) -> None:
        probe = self.primary / _PROBE
        try:
            replace_file(probe, os.urandom(_PROBE_BYTES))
        finally:
            remove(probe)
