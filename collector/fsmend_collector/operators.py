"""Operators: their certificates, the contexts with which `fsmend` uses them, and how they are shut out."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Connection, delete, insert

from fsmend_collector.addresses import join_address, split_address
from fsmend_collector.audit import audit
from fsmend_collector.config import Config
from fsmend_collector.errors import ConfigError
from fsmend_collector.pki.authority import Authority, write_file
from fsmend_collector.pki.certificates import certificate_pem, identity_name, key_pem, new_key
from fsmend_collector.store.schema import revocations

OPERATOR_DAYS = 365
AUTHORITY_FILE = "authority.crt"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator's certificate and where its context goes.

    Attributes:
        contexts_file: `contexts.yaml`; certificate, key and authority are written beside it.
        context: its name in there.
    """

    name: str
    contexts_file: Path
    context: str = "default"


def issue_operator(authority: Authority, config: Config, operator: Operator) -> None:
    """Issue an operator's certificate, and write it with its key and context.

    Raises:
        ConfigError: the name is none, the folder belongs to another collector, or a file cannot be written.
    """
    refuse_others_folder(operator.contexts_file, authority.pem)
    key = new_key()
    certificate = authority.issue_client("operator", operator.name, key.public_key(), datetime.now(UTC), OPERATOR_DAYS)
    directory = operator.contexts_file.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        contexts = _with_context(operator, config)
        write_file(directory / f"{operator.name}.key", key_pem(key), 0o600)
        write_file(directory / f"{operator.name}.crt", certificate_pem(certificate), 0o644)
        write_file(directory / AUTHORITY_FILE, authority.pem, 0o644)
        write_file(operator.contexts_file, contexts, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error


def refuse_others_folder(contexts_file: Path, authority_pem: bytes | None) -> None:
    """Refuse a folder whose contexts are of another collector: its authority, certificates and keys have these names.

    Args:
        contexts_file: where a context is to be written.
        authority_pem: of this collector; None: it is still to be made, so any other one is another's.

    Raises:
        ConfigError: there is another authority beside it.
    """
    other = contexts_file.parent / AUTHORITY_FILE
    try:
        known = other.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"cannot read {other}: {error.strerror}") from error
    if known != authority_pem:
        problem = f"{contexts_file} belongs to another collector: {other} is not this one's authority"
        advice = "pass --contexts-file with another folder; or move that folder away, when its collector is gone"
        raise ConfigError(f"{problem}\n{advice}")


def _with_context(operator: Operator, config: Config) -> bytes:
    """Return the contexts file with the operator's context added or replaced; others stay."""
    path = operator.contexts_file
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    document = {} if document is None else document
    if not isinstance(document, dict) or not isinstance(document.setdefault("contexts", {}), dict):
        raise ConfigError(f"{path} holds no contexts; move it away, or pass --contexts-file")
    _host, port = split_address(config.listen_address)
    host = config.advertise[0] if config.advertise else "localhost"
    document["contexts"][operator.context] = {
        "address": join_address(host, port),
        "certificate": f"{operator.name}.crt",
        "key": f"{operator.name}.key",
        "authority": AUTHORITY_FILE,
    }
    document.setdefault("current", operator.context)
    return yaml.safe_dump(document, sort_keys=False).encode()


def note_issued(connection: Connection, name: str, by: str, now_ns: int) -> None:
    """Write to the audit that an operator got a certificate."""
    audit(connection, now_ns, by, "operator.created", "certificate", f"operator:{name}")


def default_contexts_file() -> Path:
    """Return the contexts file of the user who runs the command."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "fsmend" / "contexts.yaml"


def revoke_operator(connection: Connection, name: str, by: str, now_ns: int) -> None:
    """Refuse every certificate that was issued to an operator until now; a later one is good.

    Raises:
        ConfigError: no operator can have this name.
    """
    identity_name("operator", name)
    serial = f"operator:{name}"
    connection.execute(delete(revocations).where(revocations.c.serial == serial))
    connection.execute(insert(revocations).values(serial=serial, revoked_ns=now_ns, revoked_by=by))
    audit(connection, now_ns, by, "operator.revoked", "certificate", serial)
