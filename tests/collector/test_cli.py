"""`fsmend-collector` as an operator runs it."""

import os
import stat
import subprocess
import sys

import pytest
import yaml
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from collector.rig import parse_join_token
from cryptography import x509

from fsmend_collector import entry
from fsmend_collector.cli import main
from fsmend_collector.config import load_config
from fsmend_collector.pki.authority import Authority
from fsmend_collector.pki.certificates import subject_of
from fsmend_collector.store.migrate import alembic_config, file_lock


@pytest.fixture
def run(tmp_path):
    runner = CliRunner()

    def call(*arguments):
        return runner.invoke(main, [*arguments, "--config", str(tmp_path / "etc/collector.toml")])

    return call


@pytest.fixture
def initialised(run, tmp_path):
    done = run(
        "init",
        "--name=collector.example",
        "--address=10.0.0.1",
        f"--directory={tmp_path / 'state'}",
        "--operator=kim",
        f"--contexts-file={tmp_path / 'home/contexts.yaml'}",
    )
    assert done.exit_code == 0, done.output
    return tmp_path


def test_init_makes_all_that_a_collector_and_its_operator_need(initialised):
    config = load_config(initialised / "etc/collector.toml")
    assert config.advertise == ("collector.example", "10.0.0.1")
    assert Authority.load(config.pki_directory).server_pair() is not None
    document = yaml.safe_load((initialised / "home/contexts.yaml").read_text())
    context = document["contexts"]["default"]
    assert context["address"] == "collector.example:9443"
    for name in ("certificate", "key", "authority"):
        assert (initialised / "home" / context[name]).exists()


def test_keys_are_readable_by_their_owner_only(initialised):
    keys = [*(initialised / "state/pki").glob("*.key"), *(initialised / "home").glob("*.key")]
    assert len(keys) == 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_init_never_replaces_an_authority(initialised, run):
    before = (initialised / "state/pki/authority.key").read_bytes()
    done = run("init", "--name=other.example", f"--contexts-file={initialised / 'other.yaml'}")
    assert done.exit_code == 1
    assert "already has an authority" in done.output
    assert (initialised / "state/pki/authority.key").read_bytes() == before


def test_init_refuses_a_name_that_is_none(run, tmp_path):
    done = run("init", "--name=not a name", f"--directory={tmp_path}")
    assert (done.exit_code, "neither a host name" in done.output) == (1, True)


def test_a_token_can_be_made_without_a_running_collector(initialised, run):
    done = run("token", "create", "--host=db-1")
    assert done.exit_code == 0, done.output
    token = parse_join_token(done.output.strip())
    config = load_config(initialised / "etc/collector.toml")
    assert token.authority == Authority.load(config.pki_directory).der
    assert list(token.enrol_addresses) == ["collector.example:9444", "10.0.0.1:9444"]
    assert len(token.secret) >= 40


def test_another_operator_gets_a_context_of_its_own_and_keeps_the_others(initialised, run):
    contexts = initialised / "home/contexts.yaml"
    done = run("operator", "create", "lee", f"--contexts-file={contexts}")
    assert done.exit_code == 0, done.output
    document = yaml.safe_load(contexts.read_text())
    assert (set(document["contexts"]), document["current"]) == ({"default", "lee"}, "default")
    subject = subject_of(x509.load_pem_x509_certificate((contexts.parent / "lee.crt").read_bytes()))
    assert (subject.role, subject.name) == ("operator", "lee")
    assert stat.S_IMODE((contexts.parent / "lee.key").stat().st_mode) == 0o600


def test_a_new_operators_folder_holds_nobody_elses_key(initialised, run, monkeypatch):
    monkeypatch.chdir(initialised)
    assert run("operator", "create", "lee").exit_code == 0
    assert {one.name for one in (initialised / "fsmend-lee").iterdir()} == {
        "contexts.yaml", "lee.crt", "lee.key", "authority.crt"
    }  # fmt: skip
    assert yaml.safe_load((initialised / "fsmend-lee/contexts.yaml").read_text())["current"] == "lee"


@pytest.mark.parametrize("verb", ["create", "revoke"])
@pytest.mark.parametrize("name", ["../x", "a b", "", ".", "x" * 129])
def test_a_name_that_no_certificate_can_hold_is_refused(initialised, run, verb, name):
    done = run("operator", verb, name)
    assert (done.exit_code, "is no name for an operator" in done.output) == (1, True)


def test_a_contexts_file_that_is_none_is_left_alone(initialised, run):
    other = initialised / "list.yaml"
    other.write_text("[1]")
    done = run("operator", "create", "lee", f"--contexts-file={other}")
    assert (done.exit_code, "holds no contexts" in done.output) == (1, True)
    assert [one.name for one in initialised.glob("lee.*")] == []


def test_migrate_says_what_it_did(initialised, run):
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert f"migrated from empty to {newest}" in run("migrate").output
    assert f"store is at {newest}" in run("migrate").output


@pytest.mark.parametrize("verb", ["revoke", "release"])
def test_an_unknown_agent_is_an_error_that_says_where_to_look(initialised, run, verb):
    done = run("agent", verb, "nobody")
    assert done.exit_code == 1
    assert "there is no agent 'nobody'" in done.output
    assert "`fsmend get agents` lists them" in done.output


def test_the_end_of_a_maintenance_that_there_is_not_is_an_error(initialised, run):
    done = run("maintenance", "end", "maintenance-1")
    assert done.exit_code == 1
    assert "there is no maintenance 'maintenance-1' that goes on" in done.output
    assert "`fsmend-collector maintenance list` lists them" in done.output


def test_maintenance_of_what_nobody_has_asks_for_a_word(initialised, run):
    declare = ("maintenance", "declare", "new rack", "--scope", "rack=r1")
    done = run(*declare)
    assert done.exit_code == 1
    assert "no host has a label 'rack'" in done.output
    assert run(*declare, "--force").output.startswith("maintenance-")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("maintenance", "declare", "x", "--scope", "fleet=all", "--for", "90m"), 0, "maintenance-"),
        (("maintenance", "declare", "x", "--scope", "fleet=all", "--for", "4"), 2, "'4' is not from 60 s"),
        (("maintenance", "declare", "x", "--scope", "fleet=all", "--for", "2x"), 2, "write 90s, 30m, 1h30m"),
        (("token", "create", "--ttl", "30m"), 0, ""),
        (("token", "create", "--ttl", "31d"), 2, "to 2592000 s"),
    ],
)
def test_lengths_of_time_are_what_they_are_in_every_other_command(initialised, run, arguments, status, told):
    done = run(*arguments)
    assert (done.exit_code, told in done.output) == (status, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("agent", "revoke", "a\udcff"),
        ("agent", "release", "a\udcff"),
        ("maintenance", "declare", "a\udcff", "--scope", "fleet=all"),
        ("maintenance", "declare", "x", "--scope", "rack=a\udcff", "--force"),
        ("maintenance", "end", "a\udcff"),
        ("token", "create", "--host", "a\udcff"),
    ],
)
def test_a_name_that_is_not_utf_8_is_one_clear_line_and_changes_nothing(initialised, run, arguments):
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith("a\\xff' is not UTF-8")
    assert run("maintenance", "list").output == ""


@pytest.mark.parametrize("command", [("run",), ("migrate",), ("token", "create")])
def test_a_missing_configuration_is_one_clear_line(run, command):
    done = run(*command)
    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1
    assert "cannot read" in done.output
    assert "fsmend-collector init" in done.output


def test_running_before_init_says_what_to_do(run, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/collector.toml").write_text(f'state_directory = "{tmp_path}"\n')
    assert "fsmend-collector init" in run("run").output


@pytest.mark.parametrize("script", ["collector", "query"])
def test_the_console_scripts_name_the_missing_extra(monkeypatch, capsys, script):
    monkeypatch.setattr(entry, "find_spec", lambda name: None if name == "click" else object())
    with pytest.raises(SystemExit) as caught:
        getattr(entry, script)()
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert "click not installed" in said
    assert "fsmend[collector]" in said
    assert len(said.splitlines()) == 1


def test_a_second_collector_on_one_state_directory_is_refused(initialised, tmp_path):
    command = [sys.executable, "-m", "fsmend_collector.cli", "run", "--config", str(tmp_path / "etc/collector.toml")]
    with file_lock(tmp_path / "state/collector.lock", wait=False):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ, timeout=60)
    assert done.returncode == 1
    assert "another collector runs" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [("init", "--name=b.example", "--operator=kim"), ("operator", "create", "kim")])
def test_the_folder_of_another_collectors_contexts_is_left_alone(initialised, tmp_path, verb):
    """Its authority, certificates and keys would be overwritten, and its contexts would trust the wrong collector."""
    home, other = initialised / "home", tmp_path / "other"
    config = f"--config={other / 'collector.toml'}"
    if verb[0] == "operator":
        init = ("init", "--name=b.example", f"--directory={other / 'state'}", f"--contexts-file={other / 'c.yaml'}")
        assert CliRunner().invoke(main, [*init, config]).exit_code == 0
    before = {file.name: file.read_bytes() for file in home.iterdir()}
    arguments = [*verb, f"--contexts-file={home / 'contexts.yaml'}", config]
    if verb[0] == "init":
        arguments.append(f"--directory={other / 'state'}")
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "belongs to another collector" in done.output
    assert "pass --contexts-file with another folder" in done.output
    assert {file.name: file.read_bytes() for file in home.iterdir()} == before
    if verb[0] == "init":
        assert not (other / "state/pki").exists()
