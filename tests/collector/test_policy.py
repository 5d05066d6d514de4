"""The policy proposes what the table says, one action at a time, within its brakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.policy import (
    ANSWERS,
    Mode,
    PastCommand,
    PolicyConfig,
    command_id,
    propose,
    read_policy_config,
    recommend,
)
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2, inventory_pb2

NOW = 1_700_000_000 * 10**9
HOUR = 3_600 * 10**9
UUID = "11111111-2222-3333-4444-555555555555"
CONFIG = PolicyConfig()
EXPIRED = command_pb2.COMMAND_STATE_EXPIRED


def incident(code="FS_DATA_CORRUPTION", kind="btrfs", devids=(2,), **fields):
    one = incident_pb2.Incident(id="inc-1", code=code, state=incident_pb2.INCIDENT_STATE_OPEN, **fields)
    one.recommendation = "let the scrub run"
    one.unit.agent_id, one.unit.filesystem_uuid, one.unit.filesystem_type = "a1", UUID, kind
    one.suspects.extend(incident_pb2.Cause(dimension="btrfs_devid", value=str(devid)) for devid in devids)
    return one


def inventory(*, scrub=True, collect=True):
    known = inventory_pb2.Inventory()
    filesystem = known.filesystems.add()
    filesystem.ref.uuid = UUID
    filesystem.capabilities.add(name="action.scrub_btrfs", available=scrub, filesystem_uuid=UUID)
    known.host.capabilities.add(name="action.collect_evidence", available=collect)
    return known


def past(action, state="SUCCEEDED", hours_ago=2.0, number=0, **fields):
    row = {"incident_id": "inc-1", "agent_id": "a1", "filesystem_uuid": UUID}
    return PastCommand(
        command_id=f"{action}{number}",
        action=action,
        state=command_pb2.CommandState.Value(f"COMMAND_STATE_{state}"),
        ordered_ns=NOW - int(hours_ago * HOUR),
        **(row | fields),
    )


def actions(proposals):
    return [one.command.WhichOneof("action") for one in proposals]


def test_btrfs_checksum_errors_first_save_the_evidence():
    (one,) = propose(incident(), inventory(), [], CONFIG, NOW)
    assert one.command.WhichOneof("action") == "collect_evidence"
    assert one.command.action_class == command_pb2.ACTION_CLASS_OBSERVE


def test_then_scrub_the_device_that_shows_errors_with_repair():
    (one,) = propose(incident(), inventory(), [past("collect_evidence")], CONFIG, NOW)
    command = one.command
    assert list(command.scrub_btrfs.devids) == [2]
    assert not command.scrub_btrfs.read_only
    assert command.action_class == command_pb2.ACTION_CLASS_REPAIR
    assert (command.target.filesystem_uuid, command.target.filesystem_type) == (UUID, "btrfs")
    assert command.not_after_wall_ns == NOW + 15 * 60 * 10**9
    assert command.time_to_live_seconds == 900
    assert (command.ordered_by, command.incident_id, one.agent_id) == ("policy", "inc-1", "a1")
    assert command.reason == one.reason != ""


def test_scrub_waits_a_moment_for_the_counters_to_name_the_device():
    just_opened = incident(devids=(), opened_ns=NOW - 10 * 10**9)
    assert propose(just_opened, inventory(), [past("collect_evidence")], CONFIG, NOW) == []
    named = incident(opened_ns=NOW - 10 * 10**9)
    assert actions(propose(named, inventory(), [past("collect_evidence")], CONFIG, NOW)) == ["scrub_btrfs"]


def test_an_attempt_that_never_reached_the_host_is_none():
    lost = [past("collect_evidence", "EXPIRED", hours_ago=9.0), past("collect_evidence", "EXPIRED", number=1)]
    (one,) = propose(incident(), inventory(), lost, CONFIG, NOW)
    assert one.command.WhichOneof("action") == "collect_evidence"
    assert one.command.id == command_id("inc-1", "collect_evidence", 2)
    scrubs = [past("scrub_btrfs", "EXPIRED", hours_ago=hours) for hours in (9.0, 8.0, 7.0)]
    done = [past("collect_evidence")]
    assert actions(propose(incident(), inventory(), [*done, *scrubs], CONFIG, NOW)) == ["scrub_btrfs"]
    assert recommend(incident(), inventory(), [*done, *scrubs], CONFIG) == "let the scrub run"


def test_scrub_takes_every_device_when_none_is_named():
    (one,) = propose(incident(devids=()), inventory(), [past("collect_evidence")], CONFIG, NOW)
    assert list(one.command.scrub_btrfs.devids) == []
    assert one.command.WhichOneof("action") == "scrub_btrfs"


def test_evidence_that_could_not_be_saved_does_not_keep_the_scrub_away():
    assert actions(propose(incident(), inventory(), [past("collect_evidence", "FAILED")], CONFIG, NOW)) == [
        "scrub_btrfs"
    ]
    assert actions(propose(incident(), inventory(collect=False), [], CONFIG, NOW)) == ["scrub_btrfs"]


def test_nothing_is_proposed_where_the_agent_cannot():
    done = [past("collect_evidence")]
    assert propose(incident(), inventory(scrub=False), done, CONFIG, NOW) == []
    assert propose(incident(), inventory_pb2.Inventory(), done, CONFIG, NOW) == []
    assert propose(incident(), None, done, CONFIG, NOW) == []


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_corruption_without_online_repair_only_saves_evidence_and_asks_a_person(kind):
    one = incident("FS_CORRUPTION", kind, devids=())
    assert actions(propose(one, inventory(), [], CONFIG, NOW)) == ["collect_evidence"]
    assert propose(one, inventory(), [past("collect_evidence")], CONFIG, NOW) == []
    assert {"ext4": "e2fsck", "xfs": "xfs_repair"}[kind] in recommend(one, inventory(), [], CONFIG)


@pytest.mark.parametrize("state", ["QUEUED", "SENT", "ACCEPTED", "RUNNING"])
def test_one_action_at_a_time_on_a_filesystem_whoever_ordered_it(state):
    running = past("remount_read_only", state, incident_id="another")
    assert propose(incident(), inventory(), [running], CONFIG, NOW) == []


def test_command_on_another_filesystem_is_no_obstacle():
    running = past("scrub_btrfs", "RUNNING", incident_id="another", filesystem_uuid="other")
    assert actions(propose(incident(), inventory(), [running], CONFIG, NOW)) == ["collect_evidence"]


def test_not_again_within_the_back_off():
    done = [past("collect_evidence"), past("scrub_btrfs", "FAILED", hours_ago=0.9)]
    assert propose(incident(), inventory(), done, CONFIG, NOW) == []
    done[1] = past("scrub_btrfs", "FAILED", hours_ago=1.0)
    assert actions(propose(incident(), inventory(), done, CONFIG, NOW)) == ["scrub_btrfs"]


def taken_back(number, minutes_ago):
    return past(
        "scrub_btrfs", "CANCELLED", hours_ago=3.0, number=number, withdrawn_ns=NOW - int(minutes_ago * 60 * 10**9)
    )


@pytest.mark.parametrize(("times", "wait_minutes"), [(1, 5), (2, 10), (4, 40), (5, 60), (50, 60)])
def test_what_was_taken_back_waits_longer_each_time_up_to_the_back_off_and_is_no_attempt(times, wait_minutes):
    done = [past("collect_evidence")]
    earlier = [taken_back(number, 170) for number in range(times - 1)]
    for minutes_ago, wanted in ((wait_minutes - 0.1, []), (wait_minutes, ["scrub_btrfs"])):
        commands = [*done, *earlier, taken_back(times, minutes_ago)]
        assert actions(propose(incident(), inventory(), commands, CONFIG, NOW)) == wanted


def test_after_the_last_attempt_a_person_is_asked():
    done = [past("collect_evidence")] + [past("scrub_btrfs", hours_ago=5, number=n) for n in range(2)]
    assert actions(propose(incident(), inventory(), done, CONFIG, NOW)) == ["scrub_btrfs"]
    assert recommend(incident(), inventory(), done, CONFIG) == "let the scrub run"
    done.append(past("scrub_btrfs", hours_ago=5, number=3))
    assert propose(incident(), inventory(), done, CONFIG, NOW) == []
    assert "replace the device" in recommend(incident(), inventory(), done, CONFIG)


def test_every_attempt_has_an_id_of_its_own_and_the_same_attempt_always_the_same():
    first = propose(incident(), inventory(), [past("collect_evidence")], CONFIG, NOW)
    again = propose(incident(), inventory(), [past("collect_evidence")], CONFIG, NOW + HOUR)
    second = propose(incident(), inventory(), [past("collect_evidence"), past("scrub_btrfs", "FAILED")], CONFIG, NOW)
    assert first[0].command.id == again[0].command.id != second[0].command.id


def test_shadow_mode_marks_and_off_mode_says_nothing():
    (one,) = propose(incident(), inventory(), [], PolicyConfig(mode=Mode.SHADOW), NOW)
    assert one.shadow
    assert propose(incident(), inventory(), [], PolicyConfig(mode=Mode.OFF), NOW) == []


@pytest.mark.parametrize("state", ["REPAIRING", "RESOLVED", "MERGED"])
def test_only_an_open_incident_calls_for_action(state):
    one = incident()
    one.state = incident_pb2.IncidentState.Value(f"INCIDENT_STATE_{state}")
    assert propose(one, inventory(), [], CONFIG, NOW) == []


def test_muted_incident_is_left_to_who_muted_it():
    assert propose(incident(muted_until_ns=NOW + 1), inventory(), [], CONFIG, NOW) == []
    assert propose(incident(muted_until_ns=NOW), inventory(), [], CONFIG, NOW) != []


def test_device_incident_is_left_to_a_person():
    assert propose(incident("DEVICE_MEDIUM_ERRORS"), inventory(), [], CONFIG, NOW) == []
    assert recommend(incident("DEVICE_MEDIUM_ERRORS"), inventory(), [], CONFIG) == "let the scrub run"


@given(
    st.sampled_from(sorted(ANSWERS)),
    st.lists(
        st.builds(
            past,
            st.sampled_from(["collect_evidence", "scrub_btrfs"]),
            st.sampled_from(["SUCCEEDED", "FAILED", "REFUSED", "EXPIRED", "UNKNOWN", "RUNNING"]),
            st.floats(0, 10),
        ),
        max_size=8,
    ),
)
def test_brakes_hold_whatever_was_ordered_before(answer, commands):
    proposals = propose(incident(*answer), inventory(), commands, CONFIG, NOW)
    assert len(proposals) <= 1
    for one in proposals:
        action = one.command.WhichOneof("action")
        tried = [command for command in commands if command.action == action]
        assert sum(command.state != EXPIRED for command in tried) < CONFIG.attempts
        assert all(NOW - command.ordered_ns >= CONFIG.back_off_seconds * 10**9 for command in tried)
        assert all(command.state != command_pb2.COMMAND_STATE_RUNNING for command in commands)
        assert action in {step.action for step in ANSWERS[answer].steps}


def test_answers_never_repair_offline_or_contain_by_themselves():
    classes = {step.action_class for answer in ANSWERS.values() for step in answer.steps}
    assert classes <= {
        command_pb2.ACTION_CLASS_OBSERVE,
        command_pb2.ACTION_CLASS_CHECK,
        command_pb2.ACTION_CLASS_REPAIR,
    }


def test_config_lists_every_problem():
    config, problems = read_policy_config({"mode": "wild", "attempts": 0, "typo": 1, "back_off_seconds": True})
    assert len(problems) == 4
    assert config == PolicyConfig()
    assert read_policy_config({"mode": "shadow", "attempts": 5}) == (PolicyConfig(Mode.SHADOW, attempts=5), [])


def sick_xfs(opened_seconds_ago=1, sick=0x10):
    one = incident("FS_CORRUPTION", "xfs", devids=(), opened_ns=NOW - opened_seconds_ago * 10**9)
    if sick:
        one.places.add(xfs_scope=event_pb2.XFS_SCOPE_AG, xfs_number=1, xfs_sick=sick)
    return one


def xfs_inventory(*, repair=True, check=True):
    known = inventory()
    capabilities = known.filesystems[0].capabilities
    capabilities.add(name="action.repair_xfs", available=repair, filesystem_uuid=UUID)
    capabilities.add(name="action.scrub_xfs", available=check, filesystem_uuid=UUID)
    return known


COLLECTED = past("collect_evidence")


def test_what_is_sick_in_an_xfs_is_repaired_piece_by_piece():
    (one,) = propose(sick_xfs(), xfs_inventory(), [COLLECTED], CONFIG, NOW)
    assert [(item.type, item.agno) for item in one.command.repair_xfs.items] == [(5, 1)]
    assert one.command.action_class == command_pb2.ACTION_CLASS_REPAIR


def test_a_repair_of_xfs_waits_a_while_for_the_names_of_what_is_sick():
    unnamed = sick_xfs(opened_seconds_ago=5, sick=0)
    assert propose(unnamed, xfs_inventory(), [COLLECTED], CONFIG, NOW) == []
    (one,) = propose(sick_xfs(opened_seconds_ago=61, sick=0), xfs_inventory(), [COLLECTED], CONFIG, NOW)
    assert list(one.command.repair_xfs.items) == []


def test_where_xfs_cannot_be_repaired_it_is_checked():
    assert actions(propose(sick_xfs(), xfs_inventory(repair=False), [COLLECTED], CONFIG, NOW)) == ["scrub_xfs"]


def test_where_the_host_denies_the_repair_xfs_is_checked():
    denied = past("repair_xfs", "REFUSED", refusal=command_pb2.REFUSAL_CODE_POLICY_DENIES)
    assert actions(propose(sick_xfs(), xfs_inventory(), [COLLECTED, denied], CONFIG, NOW)) == ["scrub_xfs"]


def test_where_neither_is_possible_a_person_is_asked():
    known = xfs_inventory(repair=False, check=False)
    assert propose(sick_xfs(), known, [COLLECTED], CONFIG, NOW) == []
    assert recommend(sick_xfs(), known, [COLLECTED], CONFIG) == ANSWERS["FS_CORRUPTION", "xfs"].person


def test_a_repair_that_found_that_only_offline_helps_is_not_repeated():
    offline = past("repair_xfs", verdict=command_pb2.VERDICT_OFFLINE_NEEDED)
    assert propose(sick_xfs(), xfs_inventory(), [COLLECTED, offline], CONFIG, NOW) == []
    assert recommend(sick_xfs(), xfs_inventory(), [offline], CONFIG) == ANSWERS["FS_CORRUPTION", "xfs"].person


@pytest.mark.parametrize("repair", [True, False])
def test_where_the_kernel_merged_errors_the_whole_xfs_is_taken_at_once(repair):
    merged = sick_xfs()
    merged.others_unknown = True
    (one,) = propose(merged, xfs_inventory(repair=repair), [COLLECTED], CONFIG, NOW)
    action = one.command.WhichOneof("action")
    assert action == ("repair_xfs" if repair else "scrub_xfs")
    assert list(getattr(one.command, action).items) == []
