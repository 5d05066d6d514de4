"""Soft-error-rate discrimination: when do soft errors of one unit become a fault?"""

from bisect import insort

from fsmend_collector.diagnosis.config import SECONDS_NS, SerdRule

_Entry = tuple[int, str, int]  # time_ns, location, count


class SerdWindow:
    """Keep the soft errors of one unit and class until they cross their rule.

    Whether a *set* of errors crosses does not depend on the order in which it arrived: any window that could still
    fill up (its length plus the lateness) is kept whole. The memory is bounded by the rule itself, because `repeats`
    occurrences in the long window cross it.
    """

    __slots__ = ("_entries", "_keep_ns", "_rule", "_total")

    def __init__(self, rule: SerdRule, lateness_seconds: int) -> None:
        self._rule = rule
        self._keep_ns = (max(rule.long_seconds, rule.seconds) + lateness_seconds) * SECONDS_NS
        self._entries: list[_Entry] = []
        self._total = 0

    def __len__(self) -> int:
        """Count the entries kept."""
        return len(self._entries)

    def add(self, time_ns: int, location: str, count: int) -> bool:
        """Add an error that stands for `count` occurrences; say whether the rule is crossed (at least N)."""
        entries, entry = self._entries, (time_ns, location, count)
        if not entries or entries[-1] <= entry:
            entries.append(entry)  # as most come by time
        else:
            insort(entries, entry)
        self._total += count
        self._forget(entries[-1][0] - self._keep_ns)
        rule, total = self._rule, self._total
        if total < rule.count and total < rule.long_count and total < rule.repeats:
            return False  # whatever the window
        return self._crosses(time_ns, rule.seconds, rule.count, None) or self._crosses(
            time_ns, rule.long_seconds, rule.long_count, rule.repeats
        )

    def _forget(self, before_ns: int) -> None:
        if self._entries[0][0] < before_ns:
            self._entries = [entry for entry in self._entries if entry[0] >= before_ns]
            self._total = sum(count for _, _, count in self._entries)

    def _crosses(self, time_ns: int, seconds: int, distinct: int, repeats: int | None) -> bool:
        """Look at every window of the length that holds `time_ns`."""
        length_ns = seconds * SECONDS_NS
        near = self._entries
        if near[0][0] < time_ns - length_ns or near[-1][0] > time_ns + length_ns:
            near = [entry for entry in near if abs(entry[0] - time_ns) <= length_ns]
        seen: dict[str, int] = {}
        unplaced = total = start = 0
        for time, location, count in near:
            while near[start][0] < time - length_ns:
                _, old, old_count = near[start]
                start += 1
                total -= old_count
                unplaced -= 0 if old else old_count
                if old:
                    seen[old] -= 1
                    if not seen[old]:
                        del seen[old]
            total += count
            unplaced += 0 if location else count
            if location:
                seen[location] = seen.get(location, 0) + 1
            if len(seen) + unplaced >= distinct or (repeats is not None and total >= repeats):
                return True
        return False
