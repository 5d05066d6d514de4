"""What `fsmend-collector init` makes: authority, the collector's own certificate, configuration."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from fsmend_collector.addresses import problem_of_name
from fsmend_collector.config import Config, load_config
from fsmend_collector.errors import ConfigError
from fsmend_collector.pki.authority import Authority, write_file


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
