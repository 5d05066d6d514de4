"""How many sessions may begin, and which identities are used by two hosts. Pure: `now` is an argument."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

MAX_REMEMBERED_AGENTS = 100_000
REMEMBERED_BOOTS = 8
# A network that loses connections without a word is slower than this: its agent waits for keepalive first.
FLAPPING_WINDOW_SECONDS = 60.0
FLAPPING_FENCES = 10
MAX_RETRY_SECONDS = 60


class Admission:
    """Admit a bounded number of sessions a second, with a burst of one second's worth."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._room = float(per_second)
        self._at_seconds = 0.0
        self._refused = 0

    def admit(self, now_seconds: float) -> bool:
        """Say whether one more session may begin now (monotonic clock)."""
        passed = max(0.0, now_seconds - self._at_seconds)
        self._at_seconds = now_seconds
        self._room = min(float(self._per_second), self._room + passed * self._per_second)
        if self._room < 1:
            self._refused += 1
            return False
        self._room -= 1
        self._refused = max(0, self._refused - 1)
        return True

    def retry_after_seconds(self) -> int:
        """Return when a refused agent should come back: after those before it were let in."""
        return min(MAX_RETRY_SECONDS, 1 + self._refused // self._per_second)


@dataclass(slots=True)
class _Seen:
    boot_id: str = ""
    left: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BOOTS))
    fences: deque[float] = field(default_factory=lambda: deque(maxlen=FLAPPING_FENCES))


class CloneWatch:
    """Find identities that two hosts use at once.

    A boot id that comes back after another one was seen cannot be one host: boots do not return. Two clones on one
    kernel (containers) share the boot id; they are found by how often one throws a living session of the other out.
    """

    def __init__(self) -> None:
        self._agents: OrderedDict[str, _Seen] = OrderedDict()

    def observe(self, agent_id: str, boot_id: str, *, fenced_living: bool, now_seconds: float) -> str:
        """Note a new session; return why the identity must be shared, or an empty string.

        Args:
            agent_id: from the certificate.
            boot_id: as Hello says.
            fenced_living: the session threw out an older one that had been heard from a moment ago.
            now_seconds: monotonic clock.
        """
        seen = self._agents.setdefault(agent_id, _Seen())
        self._agents.move_to_end(agent_id)
        if len(self._agents) > MAX_REMEMBERED_AGENTS:
            self._agents.popitem(last=False)
        if boot_id and boot_id in seen.left:
            return f"boot {boot_id} came back after boot {seen.boot_id}: two hosts use this identity"
        if seen.boot_id and boot_id != seen.boot_id:
            seen.left.append(seen.boot_id)
        seen.boot_id = boot_id
        if fenced_living:
            seen.fences.append(now_seconds)
        if len(seen.fences) == FLAPPING_FENCES and now_seconds - seen.fences[0] <= FLAPPING_WINDOW_SECONDS:
            return (
                f"{FLAPPING_FENCES} living sessions were thrown out within {FLAPPING_WINDOW_SECONDS:.0f} s by another"
            )
        return ""

    def forget(self, agent_id: str) -> None:
        """Begin anew with an agent that an operator released."""
        self._agents.pop(agent_id, None)
