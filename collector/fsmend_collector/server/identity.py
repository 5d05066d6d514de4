"""Who is calling: the verified client certificate, never a field of a message."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import grpc
from cryptography import x509

from fsmend_collector.errors import IdentityError
from fsmend_collector.pki.certificates import Subject, subject_of

Role = Literal["agent", "operator"]
_CERTIFICATE = "x509_pem_cert"
SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Gate:
    """Let callers in by the role in their certificate.

    Attributes:
        revoked: certificates that are no longer accepted: serial, or operator:NAME for all that were issued to it until
            then → nanoseconds since 1970.
    """

    revoked: Mapping[str, int] = field(default_factory=dict)

    def subject(self, pem: bytes, role: Role, now: datetime) -> Subject:
        """Return the owner of a certificate that TLS has verified.

        Raises:
            IdentityError: it may not use a service for `role`.
        """
        try:
            subject = subject_of(x509.load_pem_x509_certificate(pem))
        except ValueError:
            subject = None
        if subject is None:
            raise IdentityError("the certificate names no agent or operator", authenticated=False)
        self.check(subject, now)
        if subject.role != role:
            article = "an" if role[0] in "ao" else "a"
            reason = f"this service needs {article} {role}'s certificate, not that of {subject.role} {subject.name}"
            raise IdentityError(reason, authenticated=True)
        return subject

    def check(self, subject: Subject, now: datetime) -> None:
        """Check that a certificate is good still; a call that lasts asks again and again.

        Raises:
            IdentityError: it expired or was revoked.
        """
        if subject.not_after <= now:
            raise IdentityError("the certificate has expired", authenticated=False)
        issued_ns = int(subject.issued.timestamp()) * SECOND_NS
        if subject.serial in self.revoked or issued_ns <= self.revoked.get(subject.actor, -1):
            raise IdentityError("the certificate is revoked", authenticated=False)

    async def require(self, context: Any, role: Role) -> Subject:
        """Return the caller of a gRPC method, or end the call with UNAUTHENTICATED or PERMISSION_DENIED."""
        pem = (context.auth_context().get(_CERTIFICATE) or [b""])[0]
        try:
            return self.subject(pem, role, datetime.now(UTC))
        except IdentityError as error:
            await context.abort(status_of(error), str(error))
            raise


def status_of(error: IdentityError) -> grpc.StatusCode:
    """Return the status code for a caller that is not let in."""
    return grpc.StatusCode.PERMISSION_DENIED if error.authenticated else grpc.StatusCode.UNAUTHENTICATED


def seconds_until(moment: datetime) -> float:
    """Return the seconds from now until `moment`, negative when it has passed."""
    return moment.timestamp() - time.time()
