"""A command's life and result for a person: progress, readings before and after, scrubs, evidence files. Pure."""

from fsmend_collector.query.render.columns import action_name
from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.section import Fact, facts, grid, section
from fsmend_collector.query.render.values import duration, errno_name, local_time, size, word
from fsmend_proto.v1 import command_pb2
from fsmend_proto.v1 import query_pb2 as pb

FINAL = frozenset(range(command_pb2.COMMAND_STATE_SUCCEEDED, command_pb2.COMMAND_STATE_UNKNOWN + 1))
_EVIDENCE_LINES = 12


def state_word(state: int) -> str:
    """Return the state's word."""
    return word(command_pb2.CommandState.DESCRIPTOR, state)


def command_facts(view: pb.CommandView) -> list[Fact]:
    """Return what was ordered, by whom, and what became of it."""
    command, target = view.command, view.command.target
    return [
        ("Command", command.id),
        ("Action", action_name(command) + (" (dry run)" if command.dry_run else "")),
        ("Class", word(command_pb2.ActionClass.DESCRIPTOR, command.action_class) if command.action_class else ""),
        ("Arguments", arguments(command)),
        ("State", state_word(view.state) if view.state else ""),
        ("Host", f"{view.host_name} (agent {view.agent_id})"),
        ("Filesystem", " ".join(part for part in (target.filesystem_type, target.filesystem_uuid) if part)),
        ("Mount point", target.mount_point),
        ("Device", target.device_id),
        ("Boot", target.boot_id),
        ("Incident", command.incident_id),
        ("Ordered by", command.ordered_by),
        ("Approved by", command.approved_by),
        ("Signer", command.signer),
        ("Reason", command.reason),
        ("Created", local_time(view.created_ns)),
        ("Good until", local_time(command.not_after_wall_ns)),
        ("Message", view.last_update.message),
    ]


def arguments(command: command_pb2.Command) -> str:
    """Return the fields of a command's action that are set."""
    action = command.WhichOneof("action")
    if action is None:
        return ""
    return ", ".join(f"{field.name}={str(value).strip()}" for field, value in getattr(command, action).ListFields())


def update_text(update: command_pb2.CommandUpdate) -> str:
    """Return one step in one line."""
    parts = [state_word(update.state)]
    if update.HasField("progress"):
        parts.append(progress_text(update.progress))
    if update.refusal:
        parts.append(word(command_pb2.RefusalCode.DESCRIPTOR, update.refusal))
    if update.errno:
        parts.append(errno_name(update.errno))
    verdict = word(command_pb2.Verdict.DESCRIPTOR, update.result.verdict) if update.result.verdict else ""
    if verdict and not update.message.startswith(verdict.replace("_", " ")):  # mostly the message begins with it
        parts.append(f"verdict {verdict}")
    if update.message:
        parts.append(visible(update.message))
    return ": ".join((parts[0], ", ".join(parts[1:]))) if parts[1:] else parts[0]


def progress_text(progress: command_pb2.Progress) -> str:
    """Return percent, bytes, errors and the time left."""
    parts = [f"{progress.percent:.0f}%"]
    if progress.bytes_total:
        parts.append(f"{size(progress.bytes_done)}/{size(progress.bytes_total)}")
    if progress.bytes_total or progress.errors_found:
        parts.append(
            f"{progress.errors_found} errors, {progress.errors_corrected} corrected, "
            f"{progress.errors_uncorrectable} uncorrectable"
        )
    if progress.remaining_seconds > 0:
        parts.append(f"{duration(progress.remaining_seconds)} left")
    if progress.stage:
        parts.append(visible(progress.stage))
    return ", ".join(parts)


def history_lines(view: pb.CommandView) -> list[str]:
    """Return each step with its time."""
    updates = view.history or ([view.last_update] if view.HasField("last_update") else [])
    return [f"{local_time(update.clocks.wall_ns)}  {update_text(update)}" for update in updates]


def result_lines(view: pb.CommandView) -> list[str]:
    """Return the sections about the result; nothing before there is one. Of evidence files only the names."""
    if not view.last_update.HasField("result"):
        return []
    result = view.last_update.result
    scrubs = [
        [str(number) for number in (one.devid, one.bytes, one.errors_found, one.errors_corrected)]
        + [str(one.errors_uncorrectable), errno_name(one.errno) if one.errno else "-"]
        for one in result.scrubs
    ]
    titles = ("DEVID", "BYTES", "FOUND", "CORRECTED", "UNCORRECTABLE", "ERRNO")
    summary: list[Fact] = [
        ("Verdict", word(command_pb2.Verdict.DESCRIPTOR, result.verdict) if result.verdict else "none given"),
        ("Took", f"{result.duration_ns / 1e9:.3f} s"),
    ]
    lines = section("Result", facts(summary))
    lines += section("Scrubs", grid(titles, scrubs))
    lines += section("Metadata", grid(("PIECE", "CAME TO", "FLAGS", "ERRNO", "CALLS"), _pieces(result)))
    lines += section("Readings", reading_lines(result.before, result.after))
    files = [f"{visible(file.name)} ({len(file.content)} bytes)" for file in result.evidence]
    return lines + section("Evidence files", [", ".join(files)] if files else [])


def _pieces(result: command_pb2.CommandResult) -> list[list[str | bytes]]:
    """Return what became of each piece of XFS metadata."""
    rows: list[list[str | bytes]] = []
    for one in result.xfs_scrubs:
        outcome = "repaired" if one.repaired else "corrupt" if one.corrupt else "clean"
        number = errno_name(one.errno) if one.errno else "-"
        rows.append([one.name, outcome, ", ".join(one.flag_names) or "-", number, str(one.calls)])
    return rows


def evidence_lines(view: pb.CommandView) -> list[str]:
    """Return the beginning of each evidence file."""
    lines: list[str] = []
    for file in view.last_update.result.evidence:
        title = f"Evidence file {visible(file.name)}{', cut by the agent' if file.truncated else ''}"
        lines += section(title, _beginning(file.content, view.command.id))
    return lines


def reading_lines(before: command_pb2.HealthReading, after: command_pb2.HealthReading) -> list[str]:
    """Return counters and health, before and after beside each other."""
    names = sorted({*before.counters, *after.counters})
    rows: list[list[str]] = [
        [name, str(before.counters.get(name, "-")), str(after.counters.get(name, "-"))] for name in names
    ]
    rows.append(["sick", ", ".join(before.sick) or "nothing", ", ".join(after.sick) or "nothing"])
    rows.append(["mode", *("read-only" if reading.read_only else "read-write" for reading in (before, after))])
    return grid(("READING", "BEFORE", "AFTER"), rows)


def _beginning(content: bytes, command_id: str) -> list[str]:
    lines = content.split(b"\n")
    shown = [visible(line) for line in lines[:_EVIDENCE_LINES]]
    if len(lines) > _EVIDENCE_LINES:
        shown.append(f"… {len(lines) - _EVIDENCE_LINES} more lines: `fsmend get command {visible(command_id)} -o json`")
    return shown
