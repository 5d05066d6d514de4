"""What `fsmend-collector init` makes: authority, certificates, configuration, and an operator's context."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from fsmend_collector.addresses import join_address, problem_of_name, split_address
from fsmend_collector.config import Config, load_config
from fsmend_collector.errors import ConfigError
from fsmend_collector.pki.authority import Authority, write_file
from fsmend_collector.pki.certificates import certificate_pem, key_pem, new_key

OPERATOR_DAYS = 365


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator's certificate and where its context goes.

    Attributes:
        contexts_file: `contexts.yaml`; certificate and key are written beside it.
    """

    name: str
    contexts_file: Path


def write_config(path: Path, state_directory: Path, names: Sequence[str], listen: str, enrol_listen: str) -> Config:
    """Write a configuration unless there is one, and return it checked.

    Raises:
        ConfigError: a name is no name or none is given for a new file, or the file that is there is wrong.
    """
    problems = [problem for name in names if (problem := problem_of_name(name))]
    if problems:
        raise ConfigError("\n".join(problems))
    if not path.exists():
        if not names:
            raise ConfigError(f"{path} is not there, and to write it --name is needed")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, _config_text(state_directory, names, listen, enrol_listen).encode(), 0o644)
    return load_config(path)


def _config_text(state_directory: Path, names: Iterable[str], listen: str, enrol_listen: str) -> str:
    quoted = ", ".join(_toml(name) for name in names)
    return (
        "# fsmend collector; every key that is not here has its default.\n"
        f"state_directory = {_toml(str(state_directory))}\n"
        f"listen_address = {_toml(listen)}\n"
        f"enrol_listen_address = {_toml(enrol_listen)}\n"
        "# Names and addresses under which agents and operators reach this collector.\n"
        f"advertise = [{quoted}]\n"
    )


def _toml(text: str) -> str:
    """Quote a string for TOML; JSON's escapes are a subset of TOML's."""
    escaped = "".join(f"\\u{ord(one):04X}" if one < " " or one in '"\\\x7f' else one for one in text)
    return f'"{escaped}"'


def initialise(config: Config) -> Authority:
    """Make the authority and the collector's own certificate.

    Raises:
        ConfigError: there is an authority already, or the directory cannot be written.
    """
    now = datetime.now(UTC)
    name = f"fsmend authority of {config.advertise[0] if config.advertise else 'this fleet'}"[:64]
    try:
        config.state_directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        authority = Authority.create(config.pki_directory, name, now, config.certificates.authority_days)
        authority.issue_server(config.advertise, now, config.certificates.server_days)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error
    return authority


def issue_operator(authority: Authority, config: Config, operator: Operator) -> Path:
    """Issue an operator's certificate, write it with its key and context, and return the certificate's path.

    Raises:
        ConfigError: a file cannot be written.
    """
    key = new_key()
    certificate = authority.issue_client("operator", operator.name, key.public_key(), datetime.now(UTC), OPERATOR_DAYS)
    directory = operator.contexts_file.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate_path = directory / f"{operator.name}.crt"
        write_file(directory / f"{operator.name}.key", key_pem(key), 0o600)
        write_file(certificate_path, certificate_pem(certificate), 0o644)
        write_file(directory / "authority.crt", authority.pem, 0o644)
        _add_context(operator, config)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error
    return certificate_path


def _add_context(operator: Operator, config: Config) -> None:
    """Add or replace the context `default` in the contexts file; others stay."""
    document: dict[str, object] = {}
    if operator.contexts_file.exists():
        try:
            document = yaml.safe_load(operator.contexts_file.read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{operator.contexts_file} is not YAML: {error}") from error
    contexts = document.get("contexts")
    if not isinstance(contexts, dict):
        contexts = document["contexts"] = {}
    _host, port = split_address(config.listen_address)
    host = config.advertise[0] if config.advertise else "localhost"
    contexts["default"] = {
        "address": join_address(host, port),
        "certificate": f"{operator.name}.crt",
        "key": f"{operator.name}.key",
        "authority": "authority.crt",
    }
    document.setdefault("current", "default")
    write_file(operator.contexts_file, yaml.safe_dump(document, sort_keys=False).encode(), 0o600)


def default_contexts_file() -> Path:
    """Return the contexts file of the user who runs the command, with sudo of the one who called it."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "fsmend" / "contexts.yaml"
