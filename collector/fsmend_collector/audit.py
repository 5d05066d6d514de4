"""The audit: one append-only row for whatever changes a host, an identity or a command."""

from sqlalchemy import Connection, insert

from fsmend_collector.store.schema import audit as audit_table


def audit(
    connection: Connection, at_ns: int, actor: str, action: str, object_kind: str, object_id: str, detail: str = ""
) -> None:
    """Append one row, in the transaction of the change itself.

    `actor` is agent:ID, operator:NAME, policy or collector; `action` what was done (command.created, token.used,
    session.fenced …); `object_kind` command, agent, token, certificate or incident. `at_ns` is the collector's clock.
    """
    row = {"at_ns": at_ns, "actor": actor, "action": action, "object_kind": object_kind, "object_id": object_id}
    connection.execute(insert(audit_table).values(detail=detail.replace("\0", "\ufffd"), **row))
