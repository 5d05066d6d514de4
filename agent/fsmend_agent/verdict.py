"""Say from counts and readings whether an action healed its target. Pure."""

from collections.abc import Mapping

from fsmend_proto.v1 import command_pb2 as pb

# A write that failed is never part of what a scrub finds: it means that a correction may not have reached the disk.
_WRITING = ("write_errors", "flush_errors")
# Checksum mismatches are counted for everybody who reads: a program that read the damage while the scrub was on its way
# makes this one grow by more than the scrub found, and still all of it was corrected (seen on 6.18).
_SHARED = ("corruption_errors",)


def judge(result: pb.CommandResult) -> "pb.Verdict.ValueType":
    """Return the verdict over a scrub that ran to its end, from its outcomes and the two readings.

    HEALED: something was found, all of it was corrected, nothing is sick, and no counter grew by more than the scrub
    itself explains. CLEAN: nothing was found and no counter grew.
    """
    found = sum(scrub.errors_found for scrub in result.scrubs)
    corrected = sum(scrub.errors_corrected for scrub in result.scrubs)
    uncorrectable = sum(scrub.errors_uncorrectable for scrub in result.scrubs)
    superblocks = sum(scrub.counters.get("super_errors", 0) for scrub in result.scrubs)
    grown = _growth(result.before.counters, result.after.counters)
    failed = any(scrub.errno for scrub in result.scrubs)
    sick = result.after.sick or not result.HasField("after")
    if failed or sick or uncorrectable or any(name.endswith(_WRITING) for name in grown):
        return pb.VERDICT_NOT_HEALED
    if found == 0:
        return pb.VERDICT_NOT_HEALED if grown else pb.VERDICT_CLEAN
    # Superblocks are not corrected by the scrub but written anew with the next transaction, so they count apart.
    if corrected == 0 or corrected + superblocks < found:
        return pb.VERDICT_NOT_HEALED
    unexplained = any(grew > found for name, grew in grown.items() if not name.endswith(_SHARED))
    return pb.VERDICT_NOT_HEALED if unexplained else pb.VERDICT_HEALED


def _growth(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much each counter grew, for those that did."""
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: grew for name, grew in grown.items() if grew > 0}
