"""Let through as much progress as a person can follow and a spool should keep. Pure: `now` is an argument."""

from dataclasses import dataclass, field

from fsmend_proto.v1 import command_pb2

SECOND_NS = 10**9
LEAST_PERCENT = 1.0
LIFE_SIGN_NS = 10 * SECOND_NS


@dataclass(slots=True)
class Thinning:
    """What was let through last, of one command.

    A change of at least one percent passes at once, a new count of errors or a new stage at most once a second, and
    anything else every ten seconds as a sign of life.
    """

    _last: command_pb2.Progress = field(default_factory=command_pb2.Progress)
    _last_ns: int | None = None

    def passes(self, progress: command_pb2.Progress, now_ns: int) -> bool:
        """Tell whether `progress` is to be sent, and remember it when it is."""
        if self._last_ns is not None and not self._is_news(progress, now_ns - self._last_ns):
            return False
        self._last = command_pb2.Progress()
        self._last.CopyFrom(progress)
        self._last_ns = now_ns
        return True

    def _is_news(self, progress: command_pb2.Progress, elapsed_ns: int) -> bool:
        """Tell whether it says enough that the last one did not."""
        if abs(progress.percent - self._last.percent) >= LEAST_PERCENT:
            return True
        return elapsed_ns >= (SECOND_NS if _facts(progress) != _facts(self._last) else LIFE_SIGN_NS)


def _facts(progress: command_pb2.Progress) -> tuple[int, int, int, str]:
    """Return what is not merely how far it came."""
    return progress.errors_found, progress.errors_corrected, progress.errors_uncorrectable, progress.stage
