"""Whatever happens, automatic repairs stay within their share of the fleet."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fsmend_collector.brakes import Storm, hosts_at_once, storm_of, within_share
from fsmend_collector.policy import PolicyConfig, ProposedCommand
from fsmend_proto.v1 import command_pb2

REPAIR, OBSERVE = command_pb2.ACTION_CLASS_REPAIR, command_pb2.ACTION_CLASS_OBSERVE
SECOND_NS = 1_000_000_000
AGENTS = [f"agent-{number}" for number in range(120)]


def proposed(agent_id, action_class=REPAIR, *, shadow=False):
    return ProposedCommand(command_pb2.Command(action_class=action_class), agent_id, "why", shadow=shadow)


class Fleet(RuleBasedStateMachine):
    """Proposals come in any order and size, repairs end in any order, hosts come and go."""

    def __init__(self):
        super().__init__()
        self.config = PolicyConfig(repair_share_percent=5)
        self.hosts = 100
        self.repairing = []

    @rule(agents=st.lists(st.sampled_from(AGENTS), max_size=40), action_class=st.sampled_from([REPAIR, OBSERVE]))
    def propose(self, agents, action_class):
        wanted = [proposed(one, action_class) for one in agents]
        before = set(self.repairing)
        room = max(0, hosts_at_once(self.hosts, self.config) - len(before))
        allowed = within_share(wanted, before, self.hosts, self.config)
        assert [one for one in wanted if one in allowed] == allowed
        if action_class == OBSERVE:
            assert allowed == wanted
            return
        assert len({one.agent_id for one in allowed} - before) == min(room, len(set(agents) - before))
        self.repairing += [one.agent_id for one in allowed]

    @rule(data=st.data())
    def end(self, data):
        if self.repairing:
            self.repairing.remove(data.draw(st.sampled_from(self.repairing)))

    @invariant()
    def no_more_than_the_share_is_under_repair(self):
        assert len(set(self.repairing)) <= 5


TestFleet = Fleet.TestCase


@given(st.integers(min_value=0, max_value=300_000), st.integers(min_value=1, max_value=100))
def test_the_share_is_rounded_down_and_one_host_is_always_allowed(hosts, percent):
    most = hosts_at_once(hosts, PolicyConfig(repair_share_percent=percent))
    assert most >= 1
    assert most == 1 or most * 100 <= hosts * percent


def test_a_host_under_repair_may_have_its_other_filesystem_repaired_too():
    config = PolicyConfig(repair_share_percent=1)
    allowed = within_share([proposed("a"), proposed("b")], {"a"}, 100, config)
    assert [one.agent_id for one in allowed] == ["a"]


def test_what_is_only_logged_takes_no_place():
    config = PolicyConfig(repair_share_percent=1)
    rows = [proposed("a", shadow=True), proposed("b", shadow=True), proposed("c")]
    assert within_share(rows, set(), 100, config) == rows


def test_many_new_incidents_that_nothing_explains_are_a_storm_until_a_person_releases_them():
    config = PolicyConfig(storm_incidents=3, storm_seconds=90)
    now_ns = 1_000 * SECOND_NS
    opened = [now_ns - seconds * SECOND_NS for seconds in (30, 60, 90)]
    assert storm_of(opened, 0, config, now_ns) is Storm.STOP
    assert storm_of(opened, 0, config, now_ns + SECOND_NS) is Storm.NONE
    assert storm_of(opened[1:], 0, config, now_ns) is Storm.NONE
    assert storm_of(opened, opened[0], config, now_ns) is Storm.NONE
    assert storm_of([now_ns + SECOND_NS] * 9, 0, config, now_ns) is Storm.NONE


def test_repairs_wait_while_a_shared_cause_may_still_explain_what_is_new():
    config = PolicyConfig(storm_incidents=3, storm_seconds=90)
    now_ns = 1_000 * SECOND_NS
    assert storm_of([now_ns] * 3, 0, config, now_ns) is Storm.WAIT
    assert storm_of([now_ns] * 3, 0, config, now_ns + 29 * SECOND_NS) is Storm.WAIT
    assert storm_of([now_ns] * 3, 0, config, now_ns + 30 * SECOND_NS) is Storm.STOP
