"""Ids of signed commands that were refused: they are remembered for as long as the signature could be believed."""

from dataclasses import replace

import pytest
from agent.executing import Bench
from agent.signing import Signer

from fsmend_agent.policy import Policy
from fsmend_agent.signature import OFFSET_NS, OPENSSL
from fsmend_proto.v1 import command_pb2 as pb


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


@pytest.mark.skipif(not OPENSSL.exists(), reason="needs openssl")
async def test_a_refused_id_is_kept_for_as_long_as_its_signature_holds(path, tmp_path):
    bench = Bench(path)
    ada, eve = Signer(tmp_path / "ada"), Signer(tmp_path / "eve")
    bench.policy = replace(bench.policy, signers={"ada": ada.public})
    not_after_ns = bench.clock.now().wall_ns + 60 * 10**9
    kept = {}
    for name, signer in (("hers", ada), ("forged", eve)):
        command = bench.command(name, not_after_wall_ns=not_after_ns)
        command.target.boot_id = "an earlier one"
        end = await bench.run(signer.sign(command))
        assert end.state == pb.COMMAND_STATE_REFUSED
        kept[name] = bench.journal.get(name).keep_until_ns
    assert kept == {"hers": not_after_ns + 2 * OFFSET_NS, "forged": 0}


async def test_a_signed_id_that_came_while_the_policy_was_broken_is_kept(path):
    bench = Bench(path)
    bench.executor.set_clock(0, 0)
    bench.policy = Policy(broken="line 3")
    until_ns = bench.clock.now().wall_ns + 60 * 10**9
    for name, signed in (("signed", bytes(64)), ("unsigned", b"")):
        command = bench.command(
            name, time_to_live_seconds=60, not_after_wall_ns=until_ns, signature=signed, signer="ada" if signed else ""
        )
        assert (await bench.run(command)).refusal == pb.REFUSAL_CODE_POLICY_DENIES
    assert bench.journal.get("signed").keep_until_ns == until_ns + 2 * OFFSET_NS
    assert bench.journal.get("unsigned").keep_until_ns == 0
