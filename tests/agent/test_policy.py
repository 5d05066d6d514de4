"""The host's own policy: what it allows, and that nothing broken ever allows anything."""

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.filesystems import MountedFilesystem
from fsmend_agent.policy import POLICY_LIMIT_BYTES, Policy, Rule, load, parse
from fsmend_proto.v1 import command_pb2 as pb

UUID = "0f5ac0de-1111-4222-8333-444444444444"
KEY = base64.b64encode(bytes(range(32))).decode()
ROOT = MountedFilesystem(UUID, "btrfs", "", 0, 40, ("sda",), (b"/", b"/home"), read_only=False, options="")
DATA = MountedFilesystem("", "ext4", "", 8, 1, ("sdb",), (b"/srv/data",), read_only=False, options="")
CLASSES = [
    pb.ACTION_CLASS_OBSERVE,
    pb.ACTION_CLASS_CHECK,
    pb.ACTION_CLASS_REPAIR,
    pb.ACTION_CLASS_CONTAIN,
    pb.ACTION_CLASS_OFFLINE,
]
DEFAULTS = [Rule.ALLOW, Rule.ALLOW, Rule.ALLOW, Rule.REQUIRE_SIGNATURE, Rule.REQUIRE_SIGNATURE]


@pytest.fixture
def policy_file(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    path = folder / "policy.toml"
    path.write_text('[classes]\nrepair = "deny"\n')
    path.chmod(0o644)
    return path


def load_here(path):
    return load(path, owner_uid=os.geteuid())


def rules(policy, filesystem=None):
    return [policy.rule("some_action", one, filesystem) for one in CLASSES]


def test_without_a_file_the_defaults_hold(tmp_path):
    policy = load(tmp_path / "none.toml")
    assert policy.broken == ""
    assert rules(policy) == DEFAULTS


def test_an_empty_file_means_the_defaults():
    assert rules(parse(b"")) == DEFAULTS


def test_a_class_nobody_knows_is_denied():
    assert Policy().rule("some_action", 17, None) is Rule.DENY


def test_a_class_can_be_changed_and_the_others_stay():
    policy = parse(b'[classes]\nrepair = "require-signature"\nobserve = "deny"\n')
    expected = [Rule.DENY, Rule.ALLOW, Rule.REQUIRE_SIGNATURE, Rule.REQUIRE_SIGNATURE, Rule.REQUIRE_SIGNATURE]
    assert rules(policy) == expected


def test_the_narrower_rule_holds():
    policy = parse(
        f"""
        [classes]
        repair = "deny"
        [actions]
        scrub_btrfs = "require-signature"
        [[filesystems]]
        uuid = "{UUID.upper()}"
        classes.repair = "deny"
        actions.scrub_btrfs = "allow"
        [[filesystems]]
        mount_point = "/srv/data/"
        classes.repair = "allow"
        """.encode()
    )
    assert policy.broken == ""
    assert policy.rule("scrub_btrfs", pb.ACTION_CLASS_REPAIR, ROOT) is Rule.ALLOW
    assert policy.rule("repair_xfs", pb.ACTION_CLASS_REPAIR, ROOT) is Rule.DENY
    assert policy.rule("scrub_btrfs", pb.ACTION_CLASS_REPAIR, DATA) is Rule.ALLOW
    assert policy.rule("scrub_btrfs", pb.ACTION_CLASS_REPAIR, None) is Rule.REQUIRE_SIGNATURE
    assert policy.rule("repair_xfs", pb.ACTION_CLASS_REPAIR, None) is Rule.DENY


def test_of_two_overrides_for_one_filesystem_the_stricter_holds():
    policy = parse(
        f"""
        filesystems = [
            {{uuid = "{UUID}", classes = {{repair = "deny"}}}},
            {{mount_point = "/home", classes = {{repair = "allow"}}}},
            {{uuid = "{UUID}", mount_point = "/elsewhere", classes = {{check = "deny"}}}},
        ]
        """.encode()
    )
    assert policy.rule("x", pb.ACTION_CLASS_REPAIR, ROOT) is Rule.DENY
    assert policy.rule("x", pb.ACTION_CLASS_CHECK, ROOT) is Rule.ALLOW


def test_every_problem_is_listed_and_everything_denied():
    policy = parse(
        f"""
        clases = {{}}
        [classes]
        repair = "alow"
        repairs = "deny"
        [actions]
        scrub_zfs = "deny"
        [[filesystems]]
        uuid = "none"
        mount_point = "srv"
        [[filesystems]]
        classes = []
        [signers]
        ada = "AAAA"
        eve = 3
        bob = "{KEY}"
        """.encode()
    )
    for problem in (
        "unknown key clases",
        "classes.repair is not one of allow, require-signature, deny",
        "unknown key classes.repairs",
        "unknown key actions.scrub_zfs",
        "filesystems[0].uuid is no UUID",
        "filesystems[0].mount_point is no absolute path",
        "filesystems[1] names neither uuid nor mount_point",
        "filesystems[1].classes is no table",
        "signers.ada is no base64",
        "signers.eve is no base64",
    ):
        assert problem in policy.broken
    assert "bob" not in policy.broken
    assert rules(policy) == [Rule.DENY] * 5
    assert policy.signers == {}


def test_the_documented_file_is_a_good_one_and_keeps_the_defaults():
    page = (Path(__file__).parents[2] / "docs/policy.md").read_text()
    policy = parse(page.split("```toml\n")[1].split("```")[0].encode())
    assert policy.broken == ""
    assert rules(policy) == DEFAULTS
    assert set(policy.signers) == {"ada"}
    assert policy.rule("remount_read_only", pb.ACTION_CLASS_CONTAIN, ROOT) is Rule.DENY


def test_signers_are_raw_keys():
    assert parse(f'[signers]\nada = "{KEY}"\n'.encode()).signers == {"ada": bytes(range(32))}


def test_a_trusted_file_is_read(policy_file):
    assert load_here(policy_file).rule("x", pb.ACTION_CLASS_REPAIR, None) is Rule.DENY
    assert load_here(policy_file).broken == ""


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_denies_everything(policy_file, mode):
    policy_file.chmod(mode)
    policy = load_here(policy_file)
    assert "writable by others" in policy.broken
    assert rules(policy) == [Rule.DENY] * 5


def test_a_folder_that_others_may_write_denies_everything(policy_file):
    policy_file.parent.chmod(0o777)
    assert "its folder is writable by others" in load_here(policy_file).broken


def test_a_file_of_somebody_else_denies_everything(policy_file):
    policy = load(policy_file, owner_uid=os.geteuid() + 1)
    assert f"belongs to uid {os.geteuid()}" in policy.broken
    assert rules(policy) == [Rule.DENY] * 5


def test_links_folders_and_fifos_deny_everything(policy_file):
    link = policy_file.with_name("link.toml")
    link.symlink_to(policy_file)
    os.mkfifo(policy_file.with_name("fifo"), 0o600)
    assert load_here(link).broken
    assert "no regular file" in load_here(policy_file.with_name("fifo")).broken
    assert "no regular file" in load_here(policy_file.parent).broken


def test_a_dangling_link_is_not_taken_for_no_file(policy_file):
    link = policy_file.with_name("dangling.toml")
    link.symlink_to("nowhere")
    assert load_here(link).broken


def test_a_huge_file_denies_everything(policy_file):
    policy_file.write_bytes(b"#" * (POLICY_LIMIT_BYTES + 1))
    assert "larger than" in load_here(policy_file).broken


def test_a_file_that_breaks_later_denies_everything(policy_file):
    assert load_here(policy_file).broken == ""
    policy_file.write_text("[classes\n")
    assert rules(load_here(policy_file)) == [Rule.DENY] * 5


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"[classes]\n{text}".encode()))
def test_any_bytes_give_a_policy_and_broken_ones_deny(data):
    policy = parse(data)
    if policy.broken:
        assert rules(policy, ROOT) == [Rule.DENY] * 5


toml_values = st.recursive(
    st.sampled_from(["allow", "deny", "require-signature", "x", 1, True, UUID, "/srv"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["uuid", "mount_point", "classes", "actions", "repair", "scrub_btrfs", "y"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def as_toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'


@given(st.dictionaries(st.sampled_from(["classes", "actions", "filesystems", "signers", "z"]), toml_values, max_size=4))
def test_any_toml_gives_a_policy_that_never_allows_by_mistake(document):
    policy = parse("\n".join(f"{key} = {as_toml(value)}" for key, value in document.items()).encode())
    if policy.broken:
        assert rules(policy, ROOT) == [Rule.DENY] * 5
    else:
        assert set(document) <= {"classes", "actions", "filesystems", "signers"}
