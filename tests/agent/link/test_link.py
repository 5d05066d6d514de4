"""The whole link: a real spool, the real seam, mutual TLS over loopback, a collector that misbehaves."""

import asyncio
import os
import threading
import time

import pytest
from agent.link.certifying import TestAuthority
from agent.link.collecting import FakeCollector, until
from agent.spool.spooling import Bench, event

from fsmend_agent.config import AgentConfig, CollectorConfig
from fsmend_agent.identity import load_identity
from fsmend_agent.link import link as link_module
from fsmend_agent.link.link import Link
from fsmend_agent.notify_socket import Notifier
from fsmend_agent.seam_server import SeamCalls, SeamServer
from fsmend_proto.v1 import command_pb2, link_pb2

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(link_module, "SEAM_RETRY_SECONDS", 0.05)
    monkeypatch.setattr("fsmend_agent.link.backoff.FIRST_SECONDS", 0.05)


class Host:
    """An agent: sense's spool and seam, and link."""

    def __init__(self, root, authority):
        self.bench = Bench(root)
        self.spool = self.bench.open()
        self.commands, self.cancels, self.clocks = [], [], []
        calls = SeamCalls(
            on_command=self.commands.append,
            on_cancel=self.cancels.append,
            on_clock=lambda *clock: self.clocks.append(clock),
        )
        self.config = AgentConfig(state_directory=root, runtime_directory=root)
        self.authority = authority
        self.seam = SeamServer(
            self.spool, self.config.seam_path, calls, boot_id="b", agent_version="1", allowed_uids={os.getuid()}
        )
        self.task = None

    async def start(self, *addresses, **times):
        if not self.config.identity_directory.exists():
            self.authority.write_identity(self.config.identity_directory, collectors=addresses, **times)
        await self.seam.start()
        self.link = Link(self.config, Notifier({}))
        self.task = asyncio.create_task(self.link.run())

    def append(self, *texts):
        self.spool.append([event(text) for text in texts])
        self.seam.notify()

    async def stop(self):
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self.seam.close()
        self.bench.abandon()


@pytest.fixture(scope="module")
def authority():
    return TestAuthority()


@pytest.fixture
async def collector(authority):
    collector = FakeCollector(authority)
    yield collector
    await collector.stop()


@pytest.fixture
async def host(tmp_path, authority):
    host = Host(tmp_path, authority)
    yield host
    await host.stop()


def messages(collector, epoch):
    return [record.event.message for _, record in sorted(collector.records.get(epoch, {}).items())]


async def all_there(host, collector, count):
    await until(lambda: host.spool.oldest_sequence == count + 1)
    assert messages(collector, host.spool.epoch) == [str(i) for i in range(count)]


async def test_records_go_up_and_are_forgotten_once_acknowledged(host, collector):
    host.append("0", "1")
    await host.start(await collector.start())
    await until(lambda: host.spool.oldest_sequence == 3)
    host.append("2")
    await all_there(host, collector, 3)
    assert collector.peers == [b"fsmend://agent/a1"]
    await until(lambda: host.clocks)


async def test_a_collector_killed_in_the_middle_of_batches_gets_all_once(host, collector):
    address = await collector.start()
    collector.die_after_batches = 2
    await host.start(address)
    for i in range(40):
        host.append(str(i))
        if i < 2:  # a slow machine might put all of them into two batches
            await until(lambda following=i + 2: host.spool.oldest_sequence == following)
        await asyncio.sleep(0.005)
    await until(lambda: len(collector.hellos) >= 2)
    await collector.stop()
    await asyncio.sleep(0.1)
    await collector.start()
    await all_there(host, collector, 40)


async def test_repeated_acknowledgements_do_no_harm(host, collector):
    collector.acks_per_batch = 3
    await host.start(await collector.start())
    for i in range(20):
        host.append(str(i))
        await asyncio.sleep(0.002)
    await all_there(host, collector, 20)
    assert len(collector.hellos) == 1


async def test_drain_means_come_back_later_as_the_same(host, collector):
    collector.drains = 2
    host.append("0")
    await host.start(await collector.start())
    await all_there(host, collector, 1)
    assert len(collector.hellos) == 3
    assert len({hello.epoch for hello in collector.hellos}) == 1


async def test_a_stale_epoch_is_followed_by_a_new_one_with_the_same_records(host, collector):
    old = host.spool.epoch
    collector.stale.add(old)
    host.append("0", "1")
    await host.start(await collector.start())
    await until(lambda: host.spool.epoch != old)
    await all_there(host, collector, 2)
    assert collector.hellos[0].epoch == old
    assert not collector.records.get(old)


async def test_a_rejected_record_is_replaced_by_a_gap_and_the_rest_follows(host, collector):
    collector.poison.add("bad")
    host.append("0", "bad", "2", "3")
    await host.start(await collector.start())
    host.append("4")
    await until(lambda: host.spool.oldest_sequence == 6)
    kept = collector.records[host.spool.epoch]
    assert [kept[s].event.message for s in (1, 3, 4, 5)] == ["0", "2", "3", "4"]
    assert kept[2].gap.message == "poison"


async def test_commands_come_down(host, collector):
    collector.to_send = [
        link_pb2.ConnectResponse(command=command_pb2.Command(id="c1")),
        link_pb2.ConnectResponse(cancel=command_pb2.CancelCommand(command_id="c1")),
    ]
    await host.start(await collector.start())
    await until(lambda: host.cancels)
    assert [command.id for command in host.commands] == ["c1"]


async def test_heartbeats_are_sent_at_the_interval_of_the_collector(host, collector):
    await host.start(await collector.start())
    await until(lambda: len(collector.heartbeats) >= 2)


async def test_another_address_is_tried_when_one_does_not_answer(host, collector):
    host.append("0")
    await host.start("127.0.0.1:1", await collector.start())
    await all_there(host, collector, 1)


async def test_a_collector_of_another_authority_gets_nothing(host, collector):
    collector.authority = TestAuthority()
    host.append("0")
    await host.start(await collector.start())
    await asyncio.sleep(0.5)
    assert not collector.hellos
    assert host.spool.oldest_sequence == 1


async def test_sense_may_come_and_go(host, collector):
    await host.start(await collector.start())
    host.append("0")
    await until(lambda: host.spool.oldest_sequence == 2)
    await host.seam.close()
    await asyncio.sleep(0.1)
    await host.seam.start()
    host.append("1")
    await all_there(host, collector, 2)


async def test_an_expired_certificate_is_not_even_tried(host, collector):
    await host.start(await collector.start(), lasts_seconds=-1, began_seconds=1000)
    await asyncio.sleep(0.3)
    assert not collector.peers
    assert not host.task.done()


async def test_a_host_that_is_not_enrolled_waits(host):
    host.config = AgentConfig(
        state_directory=host.config.state_directory / "none",
        runtime_directory=host.config.runtime_directory,
        collector=CollectorConfig(addresses=("127.0.0.1:1",)),
    )
    host.config.identity_directory.mkdir(parents=True)
    await host.start()
    await asyncio.sleep(0.2)
    assert not host.task.done()


async def test_a_certificate_past_two_thirds_of_its_life_is_renewed_and_the_channel_rebuilt(
    host, collector, monkeypatch
):
    address = await collector.start()

    def renew(directory, present, addresses):
        assert addresses == ("127.0.0.1:9",)
        host.authority.write_identity(directory, "a1", renewed=True, lasts_seconds=7200)

    monkeypatch.setattr(link_module, "renew", renew)
    host.append("0")
    # Nearly over, yet valid: the first check is at once.
    directory = host.config.identity_directory
    host.authority.write_identity(directory, "a1", (address,), ("127.0.0.1:9",), lasts_seconds=60, began_seconds=3600)
    await host.start()
    await until(lambda: load_identity(directory).facts.not_after_seconds > time.time() + 3600)
    host.append("1")
    await all_there(host, collector, 2)


async def test_one_record_at_a_time_is_acknowledged_quickly(host, collector):
    await host.start(await collector.start())
    host.append("warm")
    await until(lambda: host.spool.oldest_sequence == 2)
    began = time.perf_counter()
    for i in range(20):
        host.append(str(i))
        await until(lambda following=3 + i: host.spool.oldest_sequence == following)
    assert (time.perf_counter() - began) / 20 < 0.5


async def test_a_renewal_that_finds_no_room_for_its_files_ends_nothing(host, collector, monkeypatch):
    def renew(*_):
        tried.set()
        raise OSError(28, "No space left on device")

    tried = threading.Event()
    monkeypatch.setattr(link_module, "renew", renew)
    address = await collector.start()
    directory = host.config.identity_directory
    host.authority.write_identity(directory, "a1", (address,), ("127.0.0.1:9",), lasts_seconds=60, began_seconds=3600)
    await host.start()
    await until(tried.is_set)
    host.append("0")
    await all_there(host, collector, 1)
    assert not host.task.done()
