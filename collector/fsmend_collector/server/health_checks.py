"""Judge the fleet's health: OK, WARN or ERR, and the checks that say why. Pure: facts and `now_ns` in, answer out."""

from collections.abc import Callable

from fsmend_collector import __version__
from fsmend_collector.store.health_reads import HealthFacts
from fsmend_collector.store.views import is_connected
from fsmend_proto.v1 import event_pb2
from fsmend_proto.v1 import query_pb2 as pb

# Agents renew long before; one that is so close to the end has failed to.
CERTIFICATE_WARNING_NS = 7 * 86_400_000_000_000
POLICY_LATE_SECONDS = 60
LISTED_DETAILS = 20

OK, WARN, ERR = pb.HEALTH_STATUS_OK, pb.HEALTH_STATUS_WARN, pb.HEALTH_STATUS_ERR


def assess(facts: HealthFacts, now_ns: int) -> pb.GetHealthReply:
    """Return the answer to `fsmend health`."""
    checks = [check for assess_one in _CHECKS for check in assess_one(facts, now_ns)]
    return pb.GetHealthReply(
        status=max((check.status for check in checks), default=OK),
        checks=checks,
        agents=len(facts.agents),
        agents_connected=sum(is_connected(row, now_ns) for row in facts.agents),
        filesystems=facts.filesystems,
        devices=facts.devices,
        incidents_open=facts.incidents_open,
        commands_running=facts.commands_running,
        events_last_hour=facts.events_last_hour,
        collector_version=__version__,
    )


def _check(code: str, status: "pb.HealthStatus.ValueType", summary: str, details: list[str]) -> list[pb.HealthCheck]:
    """Return one check about `details`, none when there are none; a long list is cut and says so."""
    if not details:
        return []
    shown = details[:LISTED_DETAILS]
    if len(details) > LISTED_DETAILS:
        shown.append(f"… and {len(details) - LISTED_DETAILS} more")
    return [pb.HealthCheck(code=code, status=status, summary=summary, count=len(details), details=shown)]


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _incidents(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    def lines(low: int, high: int) -> list[str]:
        return [
            f"{row.id} {row.code} on {row.host_name}: {row.summary}"
            for row in facts.incidents
            if low <= row.severity <= high
        ]

    critical = lines(event_pb2.SEVERITY_CRITICAL, event_pb2.SEVERITY_CRITICAL)
    errors = lines(event_pb2.SEVERITY_ERROR, event_pb2.SEVERITY_ERROR)
    rest = lines(0, event_pb2.SEVERITY_WARNING)
    return [
        *_check("INCIDENTS_CRITICAL", ERR, f"{_several(len(critical), 'critical incident')} open", critical),
        *_check("INCIDENTS_ERROR", ERR, f"{_several(len(errors), 'incident')} with errors open", errors),
        *_check("INCIDENTS_WARNING", WARN, f"{_several(len(rest), 'incident')} with warnings open", rest),
    ]


def _silent(facts: HealthFacts, now_ns: int) -> list[pb.HealthCheck]:
    details = [
        f"{row.host_name} ({row.agent_id}) was last heard {_ago(row.last_seen_ns, now_ns)}"
        for row in facts.agents
        if not row.quarantined and not is_connected(row, now_ns)
    ]
    return _check("AGENTS_SILENT", WARN, f"{_several(len(details), 'agent')} silent: their hosts are unseen", details)


def _ago(then_ns: int, now_ns: int) -> str:
    return f"{max(0, now_ns - then_ns) // 1_000_000_000} s ago" if then_ns else "never"


def _quarantined(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    details = [f"{row.host_name} ({row.agent_id}): {row.quarantine_reason}" for row in facts.agents if row.quarantined]
    return _check("AGENTS_QUARANTINED", ERR, f"{_several(len(details), 'agent')} quarantined", details)


def _certificates(facts: HealthFacts, now_ns: int) -> list[pb.HealthCheck]:
    details = [
        f"{row.host_name} ({row.agent_id}): {max(0, row.certificate_not_after_ns - now_ns) // 3_600_000_000_000} h left"
        for row in facts.agents
        if row.certificate_not_after_ns and row.certificate_not_after_ns - now_ns < CERTIFICATE_WARNING_NS
    ]
    return _check("CERTIFICATES_EXPIRING", WARN, f"{_several(len(details), 'certificate')} about to expire", details)


def _gaps(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    details = [f"{one.host_name}: {_several(one.gaps, 'gap')}, at least {one.lost} lost" for one in facts.gaps]
    return _check("GAPS", WARN, f"{_several(len(details), 'host')} lost records within a day", details)


def _sources(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    details = [f"{one.host_name}: {one.source}: {one.reason}" for one in facts.broken_sources]
    return _check(
        "SOURCES_BROKEN", WARN, f"{_several(len(details), 'source')} broken: what they watched is unseen", details
    )


def _commands(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    details = [f"{row.id} {row.action} on {row.host_name}" for row in facts.failed_commands]
    return _check("COMMANDS_FAILED", WARN, f"{_several(len(details), 'command')} failed within a day", details)


def _set_aside(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    summary = f"{_several(len(facts.set_aside), 'background check')} set aside: their hosts did not survive them"
    return _check("CHECKS_SET_ASIDE", WARN, summary, facts.set_aside)


def _diagnosis(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    details = facts.diagnosis_faults[::-1]
    summary = f"diagnosis went on without {_several(len(details), 'record')} within a day; the collector's log says why"
    return _check("DIAGNOSIS_FAULT", ERR, summary, details)


def _repairs(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    details = [facts.repairs_stopped] if facts.repairs_stopped else []
    return _check("REPAIRS_STOPPED", ERR, "automatic repairs are stopped until a person releases them", details)


def _policy(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    late = facts.policy_backlog
    details = []
    if late.oldest_seconds >= POLICY_LATE_SECONDS:
        details.append(f"{_several(late.waiting, 'incident')} wait, the first for {late.oldest_seconds:.0f} s")
        details += [f"{late.put_off} times since the start there was no place to wait"] if late.put_off else []
    return _check("POLICY_BEHIND", WARN, "the policy is behind: evidence and repairs are ordered late", details)


def _store(facts: HealthFacts, _: int) -> list[pb.HealthCheck]:
    details = [facts.store_failure] if facts.store_failure else []
    return _check("STORE_FAILING", ERR, "the store takes no writes; agents keep what they have", details)


_CHECKS: tuple[Callable[[HealthFacts, int], list[pb.HealthCheck]], ...] = (
    _store,
    _diagnosis,
    _repairs,
    _policy,
    _incidents,
    _quarantined,
    _silent,
    _sources,
    _gaps,
    _commands,
    _set_aside,
    _certificates,
)
