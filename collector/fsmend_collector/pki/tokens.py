"""Join tokens: used once, kept only as a hash, and good for a while."""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from fsmend_collector.audit import audit
from fsmend_collector.errors import EnrolRefused
from fsmend_collector.store.schema import agents, tokens
from fsmend_proto.v1 import enrol_pb2

PREFIX = "fsm1."
MAX_SECRET_LENGTH = 256
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token at the only moment at which its secret is known."""

    id: str
    secret: str
    created_ns: int
    not_after_ns: int
    created_by: str
    host_name: str


def new_token(created_by: str, host_name: str, ttl_seconds: int, now_ns: int) -> NewToken:
    """Make a token; nothing is stored yet."""
    not_after_ns = now_ns + ttl_seconds * SECOND_NS
    return NewToken(uuid.uuid4().hex[:12], secrets.token_urlsafe(32), now_ns, not_after_ns, created_by, host_name)


def store_token(connection: Connection, token: NewToken) -> None:
    """Keep a token's hash."""
    row = {"created_ns": token.created_ns, "not_after_ns": token.not_after_ns, "created_by": token.created_by}
    secret_hash = hash_of(token.secret)
    connection.execute(insert(tokens).values(id=token.id, secret_hash=secret_hash, host_name=token.host_name, **row))
    audit(connection, token.created_ns, token.created_by, "token.created", "token", token.id, token.host_name)


def join_token(secret: str, authority_der: bytes, enrol_addresses: Iterable[str]) -> str:
    """Return the one string that a new host needs."""
    message = enrol_pb2.JoinToken(secret=secret, authority=authority_der, enrol_addresses=enrol_addresses)
    return PREFIX + base64.urlsafe_b64encode(message.SerializeToString()).rstrip(b"=").decode()


def hash_of(secret: str) -> bytes:
    """Return what is stored of a secret; it is 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def check_token(connection: Connection, secret: str, host_name: str, now_ns: int) -> str:
    """Return the id of a token that this host may use now.

    Raises:
        EnrolRefused: there is none; the reason is the same whether it is unknown, used or expired.
    """
    chosen = select(tokens).where(tokens.c.secret_hash == hash_of(secret[:MAX_SECRET_LENGTH]))
    row = connection.execute(chosen).first()
    if row is None or row.used_ns or row.not_after_ns <= now_ns:
        raise EnrolRefused("the token is unknown, used or expired; make a new one with `fsmend token create`")
    if row.host_name and row.host_name != host_name:
        raise EnrolRefused(f"the token is for another host than {host_name!r}")
    return str(row.id)


@dataclass(frozen=True, slots=True)
class NewAgent:
    """A host that is about to join."""

    agent_id: str
    host_name: str
    machine_id: str
    certificate_serial: str
    certificate_not_after_ns: int


def redeem(connection: Connection, secret: str, agent: NewAgent, now_ns: int) -> None:
    """Use a token up and add its agent, in one transaction.

    Raises:
        EnrolRefused: the token may not be used.
    """
    token_id = check_token(connection, secret, agent.host_name, now_ns)
    used = update(tokens).where(tokens.c.id == token_id).values(used_ns=now_ns, used_by=agent.agent_id)
    connection.execute(used)
    row = {
        "agent_id": agent.agent_id,
        "host_name": agent.host_name,
        "machine_id": agent.machine_id,
        "enrolled_ns": now_ns,
        "certificate_serial": agent.certificate_serial,
        "certificate_not_after_ns": agent.certificate_not_after_ns,
    }
    connection.execute(insert(agents).values(**row))
    audit(connection, now_ns, f"agent:{agent.agent_id}", "token.used", "token", token_id, agent.host_name)
