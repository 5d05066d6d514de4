"""A file that holds space for the worst moment: given up when the disk is full, so that the spool can still act."""

import os
from pathlib import Path

from fsmend_agent.spool.files import remove

NAME = "ballast"


class Ballast:
    """Keep `size_bytes` of the disk back in `directory`."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self._path = directory / NAME
        self._size_bytes = size_bytes

    @property
    def held(self) -> bool:
        """Tell whether there is something to release."""
        try:
            return self._path.stat().st_blocks > 0
        except OSError:
            return False

    def take(self) -> bool:
        """Allocate the file unless it is there; a disk that is too full for it is no error.

        See posix_fallocate(3).
        """
        if self._size_bytes == 0 or self.held:
            return self.held
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size_bytes)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            remove(self._path)
            return False
        return True

    def release(self) -> bool:
        """Give the space back; tell whether there was any."""
        return self.held and remove(self._path)
