"""Enrolment and renewal: how the host gets its certificate. Server authentication only, on a port of its own."""

import os
import pwd
import socket
import ssl
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import grpc

from fsmend_agent import identity as files
from fsmend_agent import openssl
from fsmend_agent.config import is_address
from fsmend_agent.errors import EnrolError
from fsmend_agent.identity import Identity
from fsmend_agent.join_token import parse_join_token
from fsmend_proto.v1 import enrol_pb2
from fsmend_proto.v1.enrol_pb2_grpc import EnrolStub

_Reply = TypeVar("_Reply", enrol_pb2.EnrolReply, enrol_pb2.RenewReply)
_TIMEOUT_SECONDS = 20
# What another address, or the same one later, may answer differently.
_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }
)
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


def enrol(
    join_token: str,
    state_directory: Path,
    *,
    link_user: str = "",
    machine_id: str = "",
    host_name: str = "",
    force: bool = False,
) -> str:
    """Trade a join token for an identity, and return the agent's id.

    Args:
        join_token: as the operator got it.
        state_directory: `identity` is made in it.
        link_user: who will own the files; empty: who runs this.
        machine_id: hashed; tells clones apart.
        host_name: empty: what the kernel says.
        force: replace an identity that is there.

    Raises:
        EnrolError: no identity was made; the message says who has to do what.
    """
    token = parse_join_token(join_token)
    directory = state_directory / "identity"
    if not force and (directory / files.CERTIFICATE).exists():
        raise EnrolError(f"this host is enrolled already: {directory / files.CERTIFICATE} exists; --force replaces it")
    owner = _owner(link_user)
    authority = ssl.DER_cert_to_PEM_cert(token.authority).encode()
    with tempfile.TemporaryDirectory(prefix="fsmend-enrol-") as scratch:
        key, request = _new_request(Path(scratch))
        message = enrol_pb2.EnrolRequest(
            token=token.secret,
            signing_request=request,
            host_name=host_name or socket.gethostname(),
            machine_id=machine_id,
        )
        reply = _ask_any(token.enrol_addresses, authority, lambda stub: stub.Enrol(message, timeout=_TIMEOUT_SECONDS))
        facts = _checked(Path(scratch), reply.certificate_chain)
    collectors = [address for address in reply.collectors if is_address(address)]
    contents = {
        files.KEY: key,
        files.CERTIFICATE: reply.certificate_chain,
        files.AUTHORITY: reply.authorities or authority,
        files.AGENT_ID: f"{facts.agent_id}\n".encode(),
        files.COLLECTORS: "".join(f"{address}\n" for address in collectors).encode(),
        files.ENROL_ADDRESSES: "".join(f"{address}\n" for address in token.enrol_addresses).encode(),
    }
    try:
        files.write_identity(directory, contents, owner)
    except OSError as error:
        raise EnrolError(f"the identity cannot be written: {error}") from error
    return facts.agent_id


def renew(directory: Path, present: Identity, addresses: Sequence[str]) -> None:
    """Trade the present certificate for the next one, with a new key, and put it in place. Blocks.

    Raises:
        EnrolError: the present identity holds.
    """
    with tempfile.TemporaryDirectory(prefix="fsmend-renew-") as scratch:
        key, request = _new_request(Path(scratch))
        message = enrol_pb2.RenewRequest(
            signing_request=request,
            certificate=present.chain,
            proof=openssl.sign(directory / files.KEY, request),
        )
        reply = _ask_any(addresses, present.authority, lambda stub: stub.Renew(message, timeout=_TIMEOUT_SECONDS))
        facts = _checked(Path(scratch), reply.certificate_chain)
    if facts.agent_id != present.agent_id:
        raise EnrolError(f"the renewed certificate names {facts.agent_id}, this is {present.agent_id}")
    try:
        files.write_next(directory, key, reply.certificate_chain, reply.authorities)
    except OSError as error:
        raise EnrolError(f"the renewed identity cannot be written: {error}") from error


def _new_request(scratch: Path) -> tuple[bytes, bytes]:
    """Return a new key (PEM) and a signing request for it (DER); `scratch` is private to this user."""
    key = openssl.new_key()
    key_file = scratch / files.KEY
    key_file.touch(mode=0o600)
    key_file.write_bytes(key)
    return key, openssl.signing_request(key_file)


def _checked(scratch: Path, chain: bytes) -> openssl.CertificateFacts:
    facts = openssl.certificate_facts(chain)
    if facts.public_key != openssl.public_key(scratch / files.KEY):
        raise EnrolError("the collector answered with a certificate for another key")
    return facts


def _ask_any(addresses: Sequence[str], authority: bytes, ask: Callable[[EnrolStub], _Reply]) -> _Reply:
    """Ask one address after the other, as long as the failure is one that may pass."""
    credentials = grpc.ssl_channel_credentials(root_certificates=authority)
    failures = []
    for address in addresses:
        with grpc.secure_channel(address, credentials, options=_OPTIONS) as channel:
            try:
                return ask(EnrolStub(channel))
            except grpc.RpcError as error:
                said = f"{address}: {error.code().name}: {error.details()}"
                if error.code() not in _PASSING:
                    raise EnrolError(f"the collector refused: {said}") from error
                failures.append(said)
    raise EnrolError("no collector could be asked: " + ("; ".join(failures) or "no address is known"))


def _owner(link_user: str) -> tuple[int, int] | None:
    if not link_user:
        return None
    try:
        entry = pwd.getpwnam(link_user)
    except KeyError as error:
        raise EnrolError(f"the user {link_user!r} does not exist") from error
    if os.geteuid() not in {0, entry.pw_uid}:
        raise EnrolError(f"only root or {link_user} can make an identity for {link_user}")
    return entry.pw_uid, entry.pw_gid
