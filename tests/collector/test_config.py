import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.addresses import join_address, problem_of_address, problem_of_name, split_address
from fsmend_collector.config import Config, load_config, parse_config
from fsmend_collector.errors import ConfigError

EVERYTHING = """
state_directory = "/srv/fsmend"
listen_address = "10.0.0.1:9443"
enrol_listen_address = "[fd00::1]:9444"
advertise = ["collector.example", "10.0.0.1", "fd00::1"]
[store]
url = "sqlite:////srv/x.sqlite"
group_commit_seconds = 0.01
retention_days_events = 30
[sessions]
window_batches = 4
heartbeat_interval_seconds = 10
admit_per_second = 50
max_connection_age_seconds = 600
[certificates]
agent_days = 30
server_days = 90
authority_days = 900
token_ttl_seconds = 60
[diagnosis]
join_seconds = 3
[policy]
mode = "shadow"
"""


def test_an_empty_file_is_the_defaults(tmp_path):
    path = tmp_path / "collector.toml"
    path.write_text("")
    assert load_config(path) == Config()


def test_every_key_is_read(tmp_path):
    path = tmp_path / "collector.toml"
    path.write_text(EVERYTHING)
    config = load_config(path)
    assert config.advertise == ("collector.example", "10.0.0.1", "fd00::1")
    assert (config.store.retention_days_events, config.sessions.window_batches) == (30, 4)
    assert (config.certificates.token_ttl_seconds, config.diagnosis.join_seconds) == (60, 3)
    assert config.policy.mode.value == "shadow"
    assert config.store_url == "sqlite:////srv/x.sqlite"


def test_every_problem_is_told_at_once(tmp_path):
    path = tmp_path / "collector.toml"
    path.write_text(
        'listen_address = "nonsense"\nadvertise = ["bad name!"]\nstate_directory = "relative"\nsurprise = 1\n'
        "[store]\ngroup_commit_seconds = 5\n[sessions]\nwindow_batches = 0\nadmit_per_second = true\n"
        '[diagnosis]\nnope = 1\n[policy]\nmode = "sometimes"\n[certificates]\nserver_days = 9999\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    said = str(caught.value)
    for key in (
        "listen_address",
        "advertise",
        "state_directory",
        "surprise",
        "store.group_commit_seconds",
        "sessions.window_batches",
        "sessions.admit_per_second",
        "diagnosis.nope",
        "policy",
        "certificates.server_days",
    ):
        assert key in said
    assert all(line.startswith(str(path)) for line in said.splitlines())


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"[store\n"])
def test_what_is_no_toml_is_said_in_one_line(tmp_path, content):
    path = tmp_path / "collector.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*missing\.toml: it is not there"):
        load_config(tmp_path / "missing.toml")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["state_directory", "listen_address", "advertise", "store", "sessions", "certificates", "diagnosis", "policy"]


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), json_like, max_size=5))
def test_whatever_the_file_holds_gives_a_configuration_or_problems(raw):
    config, problems = parse_config(raw)
    assert isinstance(config, Config)
    assert all(isinstance(problem, str) and problem for problem in problems)


@pytest.mark.parametrize("address", ["a:1", "10.0.0.1:65535", "[::]:0", "[fd00::1]:9443", "a-b.example.:1"])
def test_an_address_survives_splitting_and_joining(address):
    assert problem_of_address(address) == ""
    assert join_address(*split_address(address)) == address


@pytest.mark.parametrize(
    "address", ["", "a", ":1", "a:", "a:65536", "a:-1", "fd00::1:9443", "a b:1", "a:\uff11", "[]:1"]
)
def test_what_is_no_address_is_refused(address):
    assert problem_of_address(address)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a-", "a..b", "x" * 64, "a/b", "a\nb", "1.2.3.4:5"])
def test_what_is_no_name_is_refused(name):
    assert problem_of_name(name)
