"""Signatures: the place in a filesystem's code at which it fails, and whether one kernel's failing is all at one place.

No population has signatures: any filesystem may show any of them. So they are no groups to count in. What they tell is
the second question about a kernel that is found to be at fault: does it break filesystems, or one line of code? Most
of its hosts show one signature then, and the hosts that fail elsewhere do not.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.tails import log_likelihood_ratio

SIGNED = "corrupt"
"""The aspect of filesystems: what disks show has no place in a filesystem's code."""


def signature_of(evidence: Evidence) -> str:
    """Return where in the kernel's code a filesystem failed, else the form of the line that says so; empty: unknown."""
    if evidence.function:
        return f"{evidence.function}:{evidence.line}" if evidence.line else evidence.function
    return evidence.form


def common_signature(marks: Iterable[Mark], others: Iterable[Mark], prior_nats: float) -> str:
    """Return the signature at which most hosts of a cause fail, when that is no chance; empty: there is none.

    Args:
        marks: of the cause.
        others: that began to fail at about the time for which signatures are remembered.
        prior_nats: what it must earn, beyond which signature it is.
    """
    mine, rest = _hosts_by_signature(marks), _hosts_by_signature(others)
    hosts, outside = _count(mine), _count(rest)
    if not hosts:
        return ""
    best = min((name for name in mine if name), key=lambda name: (-len(mine[name]), name), default="")
    if not best or 2 * len(mine[best]) <= hosts:
        return ""
    # As often as it is elsewhere, with one more host that shows it and one that does not.
    share = (len(rest.get(best, ())) + 1) / (outside + 2)
    told = log_likelihood_ratio(len(mine[best]), hosts, share)
    return best if told > prior_nats + math.log(len(mine.keys() | rest.keys())) else ""


def _hosts_by_signature(marks: Iterable[Mark]) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for mark in marks:
        if mark.aspect == SIGNED:
            found[mark.signature].add(mark.agent_id)
    return found


def _count(hosts: dict[str, set[str]]) -> int:
    return len(set().union(*hosts.values()))
