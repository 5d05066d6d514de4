"""What may run, decided from what the host knows and never from what a command says of itself."""

from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.actions import Action, discover
from fsmend_agent.admission import Situation, admit
from fsmend_agent.errors import ActionRefused
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.policy import Policy, Rule
from fsmend_proto.v1 import command_pb2 as pb

S = 10**9
HOUR = 3600 * S
UUID = "0f5ac0de-1111-4222-8333-444444444444"
OTHER = "0f5ac0de-1111-4222-8333-555555555555"
ROOT = MountedFilesystem(UUID, "btrfs", "", 0, 40, ("sda", "sdb"), (b"/", b"/home"), read_only=False, options="")
DATA = MountedFilesystem(OTHER, "ext4", "", 8, 32, ("sdc",), (b"/srv",), read_only=False, options="")
SITUATION = Situation(
    wall_ns=1000 * HOUR,
    boot_ns=10 * HOUR,
    boot_id="boot",
    offset_ns=0,
    uncertainty_ns=0,
    host_name="db1",
    policy=Policy(signers={"ada": bytes(32)}),
    filesystems=FilesystemTable([ROOT, DATA]),
    device_ids=lambda filesystem: [f"serial:{name}" for name in filesystem.device_names],
    busy={},
)
ACTIONS = discover()


def order(**fields):
    command = pb.Command(id="c1", action_class=pb.ACTION_CLASS_REPAIR, time_to_live_seconds=60)
    command.target.filesystem_uuid = UUID
    command.scrub_btrfs.SetInParent()
    for name, value in fields.items():
        where, _, field = name.rpartition("__")
        setattr(getattr(command, where) if where else command, field, value)
    return command


def signed(**fields):
    command = order(
        **{
            "action_class": pb.ACTION_CLASS_CONTAIN,
            "not_after_wall_ns": SITUATION.wall_ns + HOUR,
            "target__boot_id": "boot",
            "target__host_name": "db1",
            "signature": bytes(64),
            "signer": "ada",
            **fields,
        }
    )
    command.remount_read_only.SetInParent()
    return command


def refusal(command, **changes):
    with pytest.raises(ActionRefused) as refused:
        admit(command, ACTIONS, replace(SITUATION, **changes))
    return refused.value.code


def test_the_packages_three_actions_are_found():
    assert {"scrub_btrfs", "collect_evidence", "remount_read_only"} <= set(ACTIONS)


def test_a_good_command_is_admitted_with_its_target():
    admitted = admit(order(), ACTIONS, SITUATION)
    assert admitted.filesystem == ROOT
    assert admitted.action is ACTIONS["scrub_btrfs"]
    assert admitted.signers is None
    assert admitted.start_before_boot_ns == SITUATION.boot_ns + 60 * S


@pytest.mark.parametrize(
    "command",
    [
        order(id=""),
        order(id="x" * 129),
        order(id="a\nb"),
        order(reason="x" * 70_000),
        order(target__filesystem_uuid=""),
        order(target__filesystem_uuid="no uuid"),
        order(time_to_live_seconds=0),
        order(action_class=pb.ACTION_CLASS_OBSERVE),
        order(action_class=pb.ACTION_CLASS_CHECK),
        order(scrub_btrfs__read_only=True),
        order(action_class=77),
        pb.Command(id="c1", time_to_live_seconds=60),
    ],
)
def test_malformed_commands_are_refused(command):
    assert refusal(command) == pb.REFUSAL_CODE_MALFORMED


def test_the_class_of_a_read_only_scrub_is_check():
    policy = Policy(classes={pb.ACTION_CLASS_CHECK: Rule.ALLOW})
    command = order(action_class=pb.ACTION_CLASS_CHECK, scrub_btrfs__read_only=True)
    assert admit(command, ACTIONS, replace(SITUATION, policy=policy)).action_class == pb.ACTION_CLASS_CHECK
    assert refusal(order(), policy=policy) == pb.REFUSAL_CODE_POLICY_DENIES


def test_what_a_command_calls_itself_does_not_get_it_past_the_policy():
    command = order(action_class=pb.ACTION_CLASS_UNSPECIFIED)
    command.remount_read_only.SetInParent()
    assert refusal(command) == pb.REFUSAL_CODE_SIGNATURE
    command.action_class = pb.ACTION_CLASS_OBSERVE
    assert refusal(command) == pb.REFUSAL_CODE_MALFORMED


def test_an_action_that_this_agent_lacks_is_not_supported():
    with pytest.raises(ActionRefused) as refused:
        admit(order(), {}, SITUATION)
    assert refused.value.code == pb.REFUSAL_CODE_NOT_SUPPORTED


def test_fields_of_a_newer_collector_are_not_left_out_silently():
    newer = b"\xfa\x7f\x01x"  # field 2047, one byte long
    for change in (lambda one: one.scrub_btrfs.MergeFromString(newer), lambda one: one.target.MergeFromString(newer)):
        command = order()
        change(command)
        assert refusal(command) == pb.REFUSAL_CODE_NOT_SUPPORTED
    command = order()
    command.MergeFromString(newer)
    assert admit(command, ACTIONS, SITUATION)


@pytest.mark.parametrize(
    ("after_ns", "offset_ns", "uncertainty_ns", "expired"),
    [
        (HOUR, 0, 0, False),
        (-1, 0, 0, True),
        (0, 0, 0, False),
        (HOUR, 2 * HOUR, 0, True),
        (-HOUR, -2 * HOUR, 0, False),
        (HOUR, 0, 2 * HOUR, True),
    ],
)
def test_absolute_expiry_counts_on_the_collectors_clock(after_ns, offset_ns, uncertainty_ns, expired):
    command = order(not_after_wall_ns=SITUATION.wall_ns + after_ns)
    changes = {"offset_ns": offset_ns, "uncertainty_ns": uncertainty_ns}
    if expired:
        assert refusal(command, **changes) == pb.REFUSAL_CODE_EXPIRED
    else:
        assert admit(command, ACTIONS, replace(SITUATION, **changes))


def test_the_earlier_of_both_limits_holds():
    admitted = admit(order(not_after_wall_ns=SITUATION.wall_ns + 5 * S), ACTIONS, SITUATION)
    assert admitted.start_before_boot_ns == SITUATION.boot_ns + 5 * S


def test_without_the_collectors_clock_only_a_time_to_live_counts():
    absolute = SITUATION.wall_ns + HOUR
    assert refusal(order(not_after_wall_ns=absolute, time_to_live_seconds=0), offset_ns=None) == (
        pb.REFUSAL_CODE_CLOCK_UNKNOWN
    )
    both = admit(order(not_after_wall_ns=1), ACTIONS, replace(SITUATION, offset_ns=None))
    assert both.start_before_boot_ns == SITUATION.boot_ns + 60 * S


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"target__filesystem_uuid": "0f5ac0de-1111-4222-8333-666666666666"}, pb.REFUSAL_CODE_NOT_MOUNTED),
        (
            {"target__filesystem_uuid": "0f5ac0de-1111-4222-8333-666666666666", "target__mount_point": "/srv"},
            pb.REFUSAL_CODE_WRONG_TARGET,
        ),
        ({"target__mount_point": "/srv"}, pb.REFUSAL_CODE_TARGET_CHANGED),
        ({"target__filesystem_type": "xfs"}, pb.REFUSAL_CODE_TARGET_CHANGED),
        ({"target__device_id": "serial:sdc"}, pb.REFUSAL_CODE_TARGET_CHANGED),
        ({"target__boot_id": "before"}, pb.REFUSAL_CODE_TARGET_CHANGED),
        ({"target__host_name": "db2"}, pb.REFUSAL_CODE_WRONG_TARGET),
    ],
)
def test_another_target_is_refused(fields, code):
    assert refusal(order(**fields)) == code


def test_a_target_that_fits_in_every_respect_is_admitted():
    fields = {
        "mount_point": "/home",
        "filesystem_type": "btrfs",
        "device_id": "serial:sdb",
        "boot_id": "boot",
        "host_name": "db1",
    }
    command = order(target__filesystem_uuid=UUID.upper(), **{f"target__{name}": it for name, it in fields.items()})
    assert admit(command, ACTIONS, SITUATION).filesystem == ROOT


def test_of_clones_one_must_be_named():
    clone = replace(ROOT, minor=41, device_names=("sdz",), mount_points=(b"/clone",))
    table = FilesystemTable([ROOT, clone])
    assert refusal(order(), filesystems=table) == pb.REFUSAL_CODE_WRONG_TARGET
    for fields in ({"target__mount_point": "/clone"}, {"target__device_id": "serial:sdz"}):
        assert admit(order(**fields), ACTIONS, replace(SITUATION, filesystems=table)).filesystem == clone


def test_a_broken_policy_denies_and_says_why():
    with pytest.raises(ActionRefused, match="is writable by others") as refused:
        admit(order(), ACTIONS, replace(SITUATION, policy=Policy(broken="x is writable by others")))
    assert refused.value.code == pb.REFUSAL_CODE_POLICY_DENIES


def test_a_busy_filesystem_is_busy_for_all_but_other_filesystems_are_not():
    assert refusal(order(), busy={(0, 40): "c0"}) == pb.REFUSAL_CODE_BUSY
    assert admit(order(), ACTIONS, replace(SITUATION, busy={(8, 32): "c0"}))


def test_a_host_action_needs_no_target_but_obeys_one():
    command = pb.Command(id="c1", time_to_live_seconds=60, collect_evidence=pb.CollectEvidence())
    assert admit(command, ACTIONS, SITUATION).filesystem is None
    command.target.boot_id = "boot"
    assert admit(command, ACTIONS, SITUATION).filesystem is None
    command.target.filesystem_uuid = OTHER
    assert admit(command, ACTIONS, SITUATION).filesystem == DATA
    command.target.boot_id = "before"
    assert refusal(command) == pb.REFUSAL_CODE_TARGET_CHANGED


def test_a_signed_command_is_admitted_for_verification_and_remembered_longer():
    admitted = admit(signed(), ACTIONS, SITUATION)
    assert admitted.signers == {"ada": bytes(32)}
    assert admitted.keep_until_ns > SITUATION.wall_ns + HOUR


@pytest.mark.parametrize(
    ("fields", "changes", "code"),
    [
        ({"signature": b""}, {}, pb.REFUSAL_CODE_SIGNATURE),
        ({"signer": "eve"}, {}, pb.REFUSAL_CODE_SIGNATURE),
        ({"target__boot_id": ""}, {}, pb.REFUSAL_CODE_SIGNATURE),
        ({"target__host_name": ""}, {}, pb.REFUSAL_CODE_SIGNATURE),
        ({"target__host_name": "db2"}, {}, pb.REFUSAL_CODE_WRONG_TARGET),
        ({"not_after_wall_ns": 0}, {}, pb.REFUSAL_CODE_SIGNATURE),
        ({"not_after_wall_ns": SITUATION.wall_ns + 200 * HOUR}, {}, pb.REFUSAL_CODE_SIGNATURE),
        ({}, {"offset_ns": None}, pb.REFUSAL_CODE_CLOCK_UNKNOWN),
        ({"not_after_wall_ns": SITUATION.wall_ns - HOUR}, {"offset_ns": -3 * HOUR}, pb.REFUSAL_CODE_CLOCK_UNKNOWN),
    ],
)
def test_a_signed_command_must_be_for_this_host_and_this_time(fields, changes, code):
    assert refusal(signed(**fields), **changes) == code


class Anything(Action):
    """An action of whatever class."""

    name = "scrub_btrfs"
    action_class: ClassVar = pb.ACTION_CLASS_OFFLINE
    idempotent = False


@given(
    st.builds(
        pb.Command,
        id=st.sampled_from(["", "c1", "x\x00"]),
        action_class=st.integers(0, 7),
        not_after_wall_ns=st.integers(0, 2**64 - 1),
        time_to_live_seconds=st.integers(0, 2**64 - 1),
        target=st.builds(
            pb.Target,
            filesystem_uuid=st.sampled_from([UUID, OTHER, "", "x"]),
            boot_id=st.sampled_from(["", "boot", "before"]),
            mount_point=st.sampled_from(["", "/", "/srv", "\udcff".encode("utf-8", "ignore").decode()]),
        ),
        scrub_btrfs=st.just(pb.ScrubBtrfs()) | st.none(),
        signature=st.sampled_from([b"", bytes(64)]),
        signer=st.sampled_from(["", "ada"]),
    ),
    st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_whatever_comes_offline_actions_never_pass_without_signature_target_boot_and_expiry(command, offset_ns):
    try:
        admitted = admit(command, {"scrub_btrfs": Anything}, replace(SITUATION, offset_ns=offset_ns))
    except ActionRefused:
        return
    assert admitted.signers
    assert command.signature
    assert command.target.boot_id == "boot"
    assert command.not_after_wall_ns >= SITUATION.wall_ns - HOUR
    assert admitted.filesystem.uuid == command.target.filesystem_uuid
