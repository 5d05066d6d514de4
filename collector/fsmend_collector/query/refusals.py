"""From a gRPC status to one or two lines that say what is wrong, where, and what to do next.

A failed TLS handshake looks like plain UNAVAILABLE, so the operator's own certificate is examined here to tell an
expired or foreign one from a collector that is down.
"""

from datetime import UTC, datetime
from typing import Any

import grpc

from fsmend_collector.query.contexts import CollectorContext
from fsmend_collector.query.errors import QueryError

NEW_CERTIFICATE = "`fsmend-collector operator create NAME` on the collector makes a new one; name it in the context"

# What gRPC's text contains: what it means, what to do, and whether a retry helps. The first that matches counts.
_CAUSES: tuple[tuple[tuple[str, ...], str, str, bool], ...] = (
    (
        ("hostname verification", "peer name"),
        "shows a certificate for another name",
        "set server_name in the context to a name that its certificate has",
        False,
    ),
    (
        ("certificate_verify_failed", "certificate verify failed"),
        "shows a certificate that {authority} did not sign",
        "compare {authority} with that collector's authority; do not go on without knowing why they differ",
        False,
    ),
    (
        ("connection refused",),
        "is not listening",
        "is it running? `systemctl status fsmend-collector` there says",
        True,
    ),
    (
        ("dns", "name resolution", "resolve"),
        "is not found: its name does not resolve",
        "check the address in context {context!r}",
        True,
    ),
    (
        ("handshake", "ssl", "tls"),
        "speaks no TLS that we accept: {details}",
        "is this the port of the query service, and does it know our authority?",
        True,  # a collector that stops in the middle of a handshake looks the same
    ),
)


def explain(error: grpc.RpcError, context: CollectorContext) -> QueryError:
    """Turn a failed call into an error for a person."""
    call: Any = error  # every RpcError of a call is also a Call
    code, details = call.code(), str(call.details() or "")
    at = f"collector {context.address} (context {context.name!r})"
    if code is grpc.StatusCode.UNAVAILABLE:
        return _unavailable(details, context, at)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return QueryError(f"{at} did not answer in time", "try again, or give it longer with --timeout", retry=True)
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        advice = f"the certificate {context.certificate} must be an operator's; {NEW_CERTIFICATE}"
        return QueryError(f"{at} refuses: {details}", advice)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        advice = "its version differs from this fsmend's; compare with `fsmend version --collector`"
        return QueryError(f"{at} does not know this request: {details}", advice)
    if code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}:
        problem, _, advice = details.partition("\n")
        return QueryError(problem, advice)
    return QueryError(f"{at} failed: {code.name}: {details}", "its log says more", retry=True)


def _unavailable(details: str, context: CollectorContext, at: str) -> QueryError:
    from fsmend_collector.query.own_certificate import certificate_problem  # noqa: PLC0415  slow, and rarely needed

    if own := certificate_problem(context, datetime.now(UTC)):
        return QueryError(f"{at} cannot be asked: {own}", NEW_CERTIFICATE)
    lowered = details.lower()
    for needles, problem, advice, retry in _CAUSES:
        if any(needle in lowered for needle in needles):
            words = {"authority": context.authority, "context": context.name, "details": _short(details)}
            return QueryError(f"{at} {problem.format(**words)}", advice.format(**words), retry=retry)
    advice = "check the address, the network, and that it runs"
    return QueryError(f"{at} cannot be reached: {_short(details)}", advice, retry=True)


def _short(details: str) -> str:
    """Return the last error of gRPC's nested texts."""
    return details.rpartition("last error: ")[2][:200] or "no details"
