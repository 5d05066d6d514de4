"""Bounds of the spool."""

from dataclasses import dataclass
from pathlib import Path

# Larger than any honest record, and small enough that one record fits in a seam frame and a gRPC message (4 MiB each).
MAX_RECORD_BYTES = 3 << 20


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """Say how much the spool may keep, where, and for how long.

    Attributes:
        max_bytes: on the disk under the spool directory, without the ballast.
        max_age_seconds: older records become a Gap, whether sent or not.
        segment_bytes: a segment file is closed when it reaches this size; space is given back a segment at a time.
        ballast_bytes: file kept to be given up when the disk is full; 0 for none.
        fallback_directory: where records go while the disk under the spool fails; should be a tmpfs.
        fallback_max_bytes: how much may be kept there.
        quarantine_max_bytes: how much of the records that the collector refused is kept to be looked at.
    """

    max_bytes: int = 256 << 20
    max_age_seconds: int = 604_800
    segment_bytes: int = 4 << 20
    ballast_bytes: int = 8 << 20
    fallback_directory: Path = Path("/run/fsmend-agent/spool")
    fallback_max_bytes: int = 16 << 20
    quarantine_max_bytes: int = 8 << 20

    def segment_bytes_within(self, bound_bytes: int) -> int:
        """Return the size at which a segment closes, so that at least eight fit in `bound_bytes`."""
        return max(1, min(self.segment_bytes, bound_bytes // 8))
