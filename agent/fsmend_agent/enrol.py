"""Enrolment and renewal: how the host gets its certificate. Server authentication only, on a port of its own."""

import grp
import socket
import ssl
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import grpc

from fsmend_agent import identity as files
from fsmend_agent import openssl
from fsmend_agent.config import AgentConfig, is_address
from fsmend_agent.errors import EnrolError
from fsmend_agent.identity import Identity
from fsmend_agent.inventory.host import HERE, machine_id
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


def enrol(join_token: str, config: AgentConfig, *, force: bool = False) -> str:
    """Trade a join token for an identity, and return the agent's id.

    Args:
        join_token: as the operator got it.
        config: says where the identity goes and which group `link` runs in.
        force: replace an identity that is there.

    Raises:
        EnrolError: no identity was made; the message says who has to do what.
    """
    token = parse_join_token(join_token)
    directory = config.identity_directory
    if not force and (directory / files.CERTIFICATE).exists():
        raise EnrolError(f"this host is enrolled already; remove {directory / files.CERTIFICATE} to enrol it anew")
    group_id = _group_id(config.link_group)
    authority = ssl.DER_cert_to_PEM_cert(token.authority).encode()
    with tempfile.TemporaryDirectory(prefix="fsmend-enrol-") as scratch:
        key, request = _new_request(Path(scratch))
        message = enrol_pb2.EnrolRequest(
            token=token.secret,
            signing_request=request,
            host_name=socket.gethostname(),
            machine_id=machine_id(HERE),
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
        files.write_identity(directory, contents, group_id)
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


def _group_id(name: str) -> int | None:
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise EnrolError(f"the group {name!r} does not exist; make it with groupadd --system") from None
