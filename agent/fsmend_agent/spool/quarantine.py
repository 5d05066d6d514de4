"""Records that the collector refused, raw, to be looked at by a person. Bounded: the oldest go first."""

from pathlib import Path

from fsmend_agent.spool.files import remove, replace_file

NAME = "quarantine"
_SUFFIX = ".record"
_MAX_FILES = 1000


class Quarantine:
    """Keep refused records below `directory`, up to `max_bytes`."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory / NAME
        self._max_bytes = max_bytes

    def keep(self, epoch: str, sequence: int, payload: bytes) -> bool:
        """Write one serialised Record; a disk that refuses is no error, and is told by the result."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._trim(len(payload))
            replace_file(self._directory / f"{epoch}.{sequence:016x}{_SUFFIX}", payload)
        except OSError:
            return False
        return True

    def _trim(self, incoming_bytes: int) -> None:
        kept = [
            (stat.st_mtime_ns, stat.st_size, path)
            for path in self._directory.glob(f"*{_SUFFIX}")
            if (stat := path.stat())
        ]
        kept.sort()
        total = sum(size for _, size, _ in kept) + incoming_bytes
        while kept and (total > self._max_bytes or len(kept) >= _MAX_FILES):
            _, size, path = kept.pop(0)
            remove(path)
            total -= size
