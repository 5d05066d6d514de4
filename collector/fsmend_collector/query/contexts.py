"""Contexts: which collector to ask, and as whom.

A YAML file, `$XDG_CONFIG_HOME/fsmend/contexts.yaml` (`~/.config/…`) unless told otherwise::

    current: default
    contexts:
      default:
        address: collector.example:9443
        certificate: operator.crt   # relative paths start at this file's folder
        key: operator.key
        authority: authority.crt
        server_name: collector      # optional: the name in the collector's certificate, when it is not the address

`fsmend-collector init` writes the first one.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsmend_collector.query.errors import QueryError

_REQUIRED = ("address", "certificate", "key", "authority")
_ALLOWED = {*_REQUIRED, "server_name"}
_TOP = {"current", "contexts"}


def default_file() -> Path:
    """Return the contexts file of the calling user."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path("~/.config").expanduser()) / "fsmend" / "contexts.yaml"


@dataclass(frozen=True, slots=True)
class CollectorContext:
    """One collector and one operator.

    Attributes:
        address: host:port of the query service.
        authority: PEM file of the certificate authority that signed the collector.
        server_name: name expected in the collector's certificate; empty: the address's host.
    """

    name: str
    address: str
    certificate: Path
    key: Path
    authority: Path
    server_name: str = ""


def load_context(file: Path, name: str | None) -> CollectorContext:
    """Read one context, the file's `current` one when `name` is None.

    Raises:
        QueryError: the file, the context or a key is missing or malformed.
    """
    document = _document(file)
    contexts = document["contexts"]
    wanted = name or document.get("current") or ("default" if "default" in contexts else "")
    if not wanted:
        raise QueryError(f"{file} names no current context", f"pass --context; it has: {_names(contexts)}")
    if wanted not in contexts:
        raise QueryError(f"{file} has no context {wanted!r}", f"it has: {_names(contexts)}")
    fields = _fields(file, str(wanted), contexts[wanted])
    paths = {key: (file.parent / Path(fields[key]).expanduser()) for key in _REQUIRED[1:]}
    return CollectorContext(
        name=str(wanted), address=fields["address"], server_name=fields.get("server_name", ""), **paths
    )


def _document(file: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415  slow to import, and `fsmend --help` needs none

    try:
        document = yaml.safe_load(file.read_bytes())
    except FileNotFoundError:
        advice = "`fsmend-collector init` writes one on the collector; copy it here, or pass --contexts-file"
        raise QueryError(f"there is no contexts file {file}", advice) from None
    except OSError as error:
        raise QueryError(f"cannot read the contexts file {file}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise QueryError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not isinstance(document.get("contexts"), dict) or set(document) - _TOP:
        raise QueryError(f"{file} is not a contexts file", "it needs `current: NAME` and `contexts: {NAME: {…}}` only")
    return document


def _fields(file: Path, name: str, fields: Any) -> dict[str, str]:
    if not isinstance(fields, dict):
        raise QueryError(f"{file}: context {name!r} must be a mapping with {', '.join(_REQUIRED)}")
    problems = [f"unknown key {key!r}" for key in fields if key not in _ALLOWED]
    problems += [f"{key} is missing" for key in _REQUIRED if key not in fields]
    problems += [f"{key} must be text" for key, value in fields.items() if not isinstance(value, str) or not value]
    if problems:
        raise QueryError(f"{file}: context {name!r}: {'; '.join(problems)}")
    return fields


def _names(contexts: dict[Any, Any]) -> str:
    return ", ".join(str(name) for name in contexts) or "none"
