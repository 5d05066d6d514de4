"""The contexts file: flag over environment over file, and every mistake in one line."""

import click.testing
import pytest

from fsmend_collector.query.cli import main
from fsmend_collector.query.contexts import load_context
from fsmend_collector.query.errors import QueryError

GOOD = """
current: lab
contexts:
  lab: {address: "a:1", certificate: me.crt, key: /abs/me.key, authority: authority.crt}
  other: {address: "b:2", certificate: me.crt, key: me.key, authority: authority.crt, server_name: c}
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "contexts.yaml").write_text(GOOD)
    return tmp_path / "contexts.yaml"


def test_the_current_context_is_taken_and_paths_start_at_the_files_folder(file, tmp_path):
    context = load_context(file, None)
    assert (context.name, context.address) == ("lab", "a:1")
    assert context.certificate == tmp_path / "me.crt"
    assert str(context.key) == "/abs/me.key"


def test_a_context_can_be_named(file):
    assert load_context(file, "other").server_name == "c"


def test_default_is_taken_when_the_file_names_none(file):
    file.write_text(GOOD.replace("current: lab\n", "").replace("lab:", "default:"))
    assert load_context(file, None).name == "default"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a contexts file"),
        ("[1, 2]", "is not a contexts file"),
        ("contexts: {a: 1}\ncurrent: a", "must be a mapping"),
        ("contexts: {a: {address: x}}\ncurrent: a", "certificate is missing; key is missing"),
        (GOOD.replace("server_name", "sever_name"), "unknown key 'sever_name'"),
        (GOOD.replace('"b:2"', "7"), "address must be text"),
        ("{[", "is not YAML"),
        ("contexts: {}\n", "names no current context"),
        ("a: 1\ncontexts: {}\n", "is not a contexts file"),
    ],
)
def test_a_mistake_is_named(file, text, problem):
    file.write_text(text)
    with pytest.raises(QueryError, match=problem):
        load_context(file, "other" if "other" in text else None)


def test_bytes_that_are_no_text_are_no_yaml(file):
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(QueryError, match="is not YAML"):
        load_context(file, None)


def test_an_unknown_context_lists_the_known_ones(file):
    with pytest.raises(QueryError) as caught:
        load_context(file, "nope")
    assert "it has: lab, other" in caught.value.message


def test_a_missing_file_says_who_writes_one(tmp_path):
    with pytest.raises(QueryError, match="fsmend-collector init"):
        load_context(tmp_path / "none.yaml", None)


def test_environment_and_flags_choose_file_and_context(fsmend, collector, monkeypatch):
    good = collector.contexts("good")
    monkeypatch.setenv("FSMEND_CONTEXT", "nope")
    assert "no context 'nope'" in fsmend("health", contexts=good, status=1).stderr
    assert fsmend("--context", "lab", "health", contexts=good).stdout
    monkeypatch.setenv("FSMEND_CONTEXT", "lab")
    monkeypatch.setenv("FSMEND_CONTEXTS", str(good))
    assert click.testing.CliRunner().invoke(main, ["health"]).exit_code == 0
