"""The Enrol service: a token and a signing request for a certificate, and the renewal of one."""

import logging
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, select, update

from fsmend_collector.audit import audit
from fsmend_collector.errors import EnrolRefused, StoreError
from fsmend_collector.pki.authority import Authority
from fsmend_collector.pki.certificates import certificate_pem, check_issued, check_request, subject_of
from fsmend_collector.pki.tokens import NewAgent, check_token, redeem
from fsmend_collector.server.admission import Admission
from fsmend_collector.store.engine import Store
from fsmend_collector.store.schema import agents
from fsmend_proto.v1 import enrol_pb2, enrol_pb2_grpc

log = logging.getLogger(__name__)

# A host that was off for a while may still come back by itself.
RENEWAL_GRACE = timedelta(days=30)
MAX_NAME_LENGTH = 253
MAX_CERTIFICATE_BYTES = 16 << 10
REQUESTS_PER_SECOND = 50
SECOND_NS = 1_000_000_000


class EnrolService(enrol_pb2_grpc.EnrolServicer):
    """Issue agents' certificates."""

    def __init__(self, store: Store, authority: Authority, agent_days: int, collectors: Sequence[str]) -> None:
        self._store = store
        self._authority = authority
        self._agent_days = agent_days
        self._collectors = collectors
        self._admission = Admission(REQUESTS_PER_SECOND)

    async def Enrol(self, request: enrol_pb2.EnrolRequest, context: Any) -> enrol_pb2.EnrolReply:  # noqa: N802
        """Trade a one-use token for a certificate."""
        await self._admit(context)
        try:
            return await self._enrol(request)
        except EnrolRefused as error:
            log.warning("enrolment refused, from %s: %s", context.peer(), error)
            return await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))  # type: ignore[no-any-return]
        except StoreError as error:
            return await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))  # type: ignore[no-any-return]

    async def Renew(self, request: enrol_pb2.RenewRequest, context: Any) -> enrol_pb2.RenewReply:  # noqa: N802
        """Trade a certificate whose key is at hand for the next one."""
        await self._admit(context)
        try:
            return await self._renew(request)
        except EnrolRefused as error:
            log.warning("renewal refused, from %s: %s", context.peer(), error)
            return await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))  # type: ignore[no-any-return]
        except StoreError as error:
            return await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))  # type: ignore[no-any-return]

    async def _admit(self, context: Any) -> None:
        """Keep strangers from using up the processor with signatures."""
        if not self._admission.admit(time.monotonic()):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests at once; try again")

    async def _enrol(self, request: enrol_pb2.EnrolRequest) -> enrol_pb2.EnrolReply:
        host_name, machine_id = _name(request.host_name), _name(request.machine_id)
        # Before any signature is made, so that a guess costs us nothing; `redeem` checks again with the writer's view.
        await self._store.read(check_token, request.token, host_name, time.time_ns())
        key = check_request(request.signing_request)
        agent_id = str(uuid.uuid4())
        certificate = self._authority.issue_client("agent", agent_id, key, datetime.now(UTC), self._agent_days)
        serial, not_after_ns = _row_of(certificate)
        agent = NewAgent(agent_id, host_name, machine_id, serial, not_after_ns)
        await self._store.write(redeem, request.token, agent, time.time_ns())
        log.info("host %r enrolled as agent %s", host_name, agent_id)
        return enrol_pb2.EnrolReply(
            agent_id=agent_id,
            certificate_chain=certificate_pem(certificate),
            authorities=self._authority.pem,
            collectors=self._collectors,
        )

    async def _renew(self, request: enrol_pb2.RenewRequest) -> enrol_pb2.RenewReply:
        agent_id = check_renewal(request, self._authority.certificate, datetime.now(UTC))
        key = check_request(request.signing_request)
        certificate = self._authority.issue_client("agent", agent_id, key, datetime.now(UTC), self._agent_days)
        await self._store.write(note_renewal, agent_id, *_row_of(certificate), time.time_ns())
        chain = certificate_pem(certificate)
        return enrol_pb2.RenewReply(certificate_chain=chain, authorities=self._authority.pem)


def check_renewal(request: enrol_pb2.RenewRequest, authority: x509.Certificate, now: datetime) -> str:
    """Return the agent that the request proves to be.

    Raises:
        EnrolRefused: the certificate is not ours, too old, or not the sender's.
    """
    if len(request.certificate) > MAX_CERTIFICATE_BYTES:
        raise EnrolRefused("the certificate is too large")
    try:
        certificate = x509.load_pem_x509_certificate(request.certificate)
    except ValueError as error:
        raise EnrolRefused("the certificate is not PEM") from error
    check_issued(certificate, authority)
    subject = subject_of(certificate)
    if subject is None or subject.role != "agent":
        raise EnrolRefused("the certificate is not an agent's")
    if now > subject.not_after + RENEWAL_GRACE:
        raise EnrolRefused(f"the certificate expired more than {RENEWAL_GRACE.days} days ago; enrol the host anew")
    key = certificate.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise EnrolRefused("the certificate has no ECDSA key")
        key.verify(request.proof, request.signing_request, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise EnrolRefused("the proof was not made with the key of the certificate") from error
    return subject.name


def note_renewal(connection: Connection, agent_id: str, serial: str, not_after_ns: int, now_ns: int) -> None:
    """Write the new certificate's dates to the agent's row.

    Raises:
        EnrolRefused: the agent is unknown or revoked.
    """
    revoked_ns = connection.execute(select(agents.c.revoked_ns).where(agents.c.agent_id == agent_id)).scalar()
    if revoked_ns is None or revoked_ns:
        raise EnrolRefused(f"agent {agent_id} is {'unknown' if revoked_ns is None else 'revoked'}; enrol the host anew")
    values = {"certificate_serial": serial, "certificate_not_after_ns": not_after_ns}
    connection.execute(update(agents).where(agents.c.agent_id == agent_id).values(**values))
    audit(connection, now_ns, f"agent:{agent_id}", "certificate.renewed", "certificate", serial)


def _row_of(certificate: x509.Certificate) -> tuple[str, int]:
    not_after_ns = int(certificate.not_valid_after_utc.timestamp()) * SECOND_NS
    return f"{certificate.serial_number:x}", not_after_ns


def _name(text: str) -> str:
    return text[:MAX_NAME_LENGTH].replace("\0", "\ufffd")
