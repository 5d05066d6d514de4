"""What the store says to an agent's Hello: who it is, whether its spool may go on, and from where."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from fsmend_collector.audit import audit
from fsmend_collector.errors import EpochStale, IdentityError, ProtocolError, Quarantined
from fsmend_collector.ingest.plan import MAX_SIGNED
from fsmend_collector.store.schema import agents, epochs
from fsmend_proto.v1 import link_pb2

PROTOCOL_VERSION = 1
MAX_EPOCH_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that the store agreed to.

    Attributes:
        agent: `agents.number`.
        durable_through: the agent sends from the next sequence on.
    """

    agent: int
    agent_id: str
    host_name: str
    session_id: str
    durable_through: int


def check_hello(hello: link_pb2.Hello) -> None:
    """Check what can be checked without the store.

    Raises:
        ProtocolError: another protocol, or no usable epoch.
    """
    if hello.protocol_version != PROTOCOL_VERSION:
        raise ProtocolError(f"protocol version {hello.protocol_version}; this collector speaks {PROTOCOL_VERSION}")
    if not 0 < len(hello.epoch) <= MAX_EPOCH_LENGTH or "\0" in hello.epoch:
        raise ProtocolError("Hello needs an epoch of 1 to 128 characters")
    if not 0 < hello.next_sequence <= MAX_SIGNED:
        raise ProtocolError(f"Hello has next_sequence {hello.next_sequence}")


def open_session(connection: Connection, agent_id: str, hello: link_pb2.Hello, session_id: str, now_ns: int) -> Opened:
    """Begin a session, and a new epoch when the spool has one.

    Raises:
        IdentityError: the agent is unknown or revoked.
        Quarantined: two hosts used its identity.
        EpochStale: the spool must begin a new epoch.
    """
    row = connection.execute(select(agents).where(agents.c.agent_id == agent_id)).first()
    if row is None or row.revoked_ns:
        reason = "revoked" if row else "not known to this collector"
        raise IdentityError(f"agent {agent_id} is {reason}; enrol the host anew", authenticated=True)
    if row.quarantined:
        raise Quarantined(row.quarantine_reason)
    number, durable_through = _epoch(connection, row, hello, now_ns)
    values = {
        "epoch": hello.epoch,
        "epoch_number": number,
        "durable_through": durable_through,
        "boot_id": hello.boot_id.replace("\0", ""),
        "agent_version": hello.agent_version.replace("\0", ""),
        "spool_durable": hello.spool_durable,
        "clock_offset_ns": now_ns - min(hello.wall_ns, MAX_SIGNED) if hello.wall_ns else 0,
        "session_id": session_id,
        "connected_ns": now_ns,
        "disconnected_ns": 0,
        "last_seen_ns": now_ns,
    }
    connection.execute(update(agents).where(agents.c.number == row.number).values(**values))
    return Opened(row.number, agent_id, row.host_name, session_id, durable_through)


def _epoch(connection: Connection, row: Any, hello: link_pb2.Hello, now_ns: int) -> tuple[int, int]:
    """Return number and watermark of the epoch that Hello names."""
    if hello.epoch == row.epoch:
        # The spool never wrote what the store already has: it was restored from an older copy.
        if hello.next_sequence <= row.durable_through:
            reason = f"the next sequence is {hello.next_sequence}, but {row.durable_through} is stored already"
            raise EpochStale(reason)
        return row.epoch_number, row.durable_through
    chosen = select(epochs.c.number).where(epochs.c.agent == row.number, epochs.c.epoch == hello.epoch)
    if connection.execute(chosen).first() is not None:
        raise EpochStale(f"epoch {hello.epoch!r} was left for {row.epoch!r}")
    added = connection.execute(insert(epochs).values(agent=row.number, epoch=hello.epoch, begun_ns=now_ns))
    if row.epoch:
        detail = f"{row.epoch} (through {row.durable_through}) -> {hello.epoch}"
        audit(connection, now_ns, f"agent:{row.agent_id}", "agent.new_epoch", "agent", row.agent_id, detail)
    (number,) = added.inserted_primary_key or (0,)
    return int(number), 0
