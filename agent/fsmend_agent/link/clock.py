"""The collector's clock as seen from here: pure, all readings are arguments."""

from dataclasses import dataclass

from fsmend_proto.v1.seam_pb2 import SeamClock

# Two good quartz clocks drift apart by less.
_DRIFT = 100e-6


@dataclass(slots=True)
class ClockEstimate:
    """Estimate the offset from question and answer, as NTP does: half the round trip is the uncertainty.

    Round trips are taken on the boot clock, so that a wall clock which is set meanwhile does not spoil them.
    """

    _asked_wall_ns: int = 0
    _asked_boot_ns: int = 0

    def asked(self, wall_ns: int, boot_ns: int) -> None:
        """Note when a question left; only one is open at a time."""
        self._asked_wall_ns = wall_ns
        self._asked_boot_ns = boot_ns

    def answered(self, server_wall_ns: int, wall_ns: int, boot_ns: int, echo_wall_ns: int = 0) -> SeamClock | None:
        """Return the offset that an answer tells, or nothing when it answers no open question.

        Args:
            server_wall_ns: what the collector's clock showed when it answered.
            wall_ns: what ours shows now.
            boot_ns: likewise, of the boot clock.
            echo_wall_ns: which question is answered; 0: the latest.
        """
        if not self._asked_boot_ns or not server_wall_ns or (echo_wall_ns and echo_wall_ns != self._asked_wall_ns):
            return None
        round_trip_ns = max(0, boot_ns - self._asked_boot_ns)
        self._asked_boot_ns = 0
        offset_ns = server_wall_ns + round_trip_ns // 2 - wall_ns
        if not -(1 << 62) < offset_ns < 1 << 62:
            return None
        return SeamClock(offset_ns=offset_ns, uncertainty_ns=round_trip_ns // 2 + int(round_trip_ns * _DRIFT) + 1)
