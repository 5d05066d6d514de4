"""The composition of sense: what its parts tell each other."""

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from fsmend_agent import agent as room
from fsmend_agent import sources, supervise
from fsmend_agent.agent import Sense
from fsmend_agent.config import AgentConfig, SourcesConfig
from fsmend_agent.errors import ConfigError
from fsmend_agent.event import Clock, new_event
from fsmend_agent.spool import Spool
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import record_pb2

UUID = "d9d2c35b-0000-4000-8000-6d803ed30000"


def make_sense(folder, capture=None):
    """Make a sense without sources."""
    nothing = SourcesConfig(disabled=tuple(sources.discover()))
    return Sense(
        AgentConfig(state_directory=folder / "state", runtime_directory=folder / "run", sources=nothing), capture
    )


@asynccontextmanager
async def sense(folder, *, live=False):
    """Run sense over a capture in which nothing happens, or over this host's mounts."""
    capture = folder / "capture"
    capture.touch()
    made = make_sense(folder, None if live else capture)
    stopped = asyncio.Event()
    task = asyncio.create_task(made.run(stopped))
    await asyncio.sleep(0.1)
    try:
        yield made
    finally:
        stopped.set()
        await asyncio.wait_for(task, 20)


def spooled(folder):
    """Return the events that the spool holds."""
    spool = Spool.open(folder / "state" / "spool")
    batch = spool.read(spool.oldest_sequence, 1 << 20, 1000)
    return [record_pb2.Record.FromString(raw).event for raw in batch.records]


class Listening:
    """A source that notes what it is poked for."""

    def __init__(self, name):
        self.name, self.heard = name, []

    def poke(self, uuid):
        self.heard.append(uuid)


def finding(source, severity=pb.SEVERITY_ERROR):
    event = new_event(source, pb.EVENT_KIND_FS_ERROR, severity, Clock("b").now(), message="m", signature=source)
    event.filesystem.uuid = UUID
    return event


async def test_an_error_that_one_source_saw_makes_the_others_look(tmp_path):
    async with sense(tmp_path) as made:
        made._sources = [Listening("kmsg"), Listening("xfs_health")]
        made._watch().emit(finding("kmsg"))
        made._watch().emit(finding("kmsg", pb.SEVERITY_INFO))
        assert [source.heard for source in made._sources] == [[], [UUID]]
    assert [event.source for event in spooled(tmp_path) if event.filesystem.uuid] == ["kmsg", "kmsg"]


async def test_lines_of_the_journal_that_were_damaged_are_told(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "journal").write_bytes(b"00000000 {}\n" + os.urandom(20).replace(b"\n", b"x") + b"\n")
    async with sense(tmp_path):
        pass
    (told,) = [event for event in spooled(tmp_path) if "journal" in event.message]
    assert (told.kind, told.severity) == (pb.EVENT_KIND_AGENT_STATE, pb.SEVERITY_WARNING)
    assert "2 lines" in told.message


async def test_a_journal_that_is_whole_is_no_event(tmp_path):
    async with sense(tmp_path):
        pass
    messages = [event.message for event in spooled(tmp_path)]
    assert not [message for message in messages if "journal" in message]
    assert any("started" in message for message in messages)
    assert any("stopped" in message for message in messages)


@pytest.mark.parametrize("part", ["follow", "inventory.watch", "in_thread"])
async def test_a_part_that_breaks_is_told_and_ends_nothing(tmp_path, monkeypatch, part):
    async def broken(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(f"fsmend_agent.agent.{part}", broken)
    monkeypatch.setattr(room, "TEND_SECONDS", 0.001)
    monkeypatch.setattr(supervise, "FIRST_PAUSE_SECONDS", 0.001)
    async with sense(tmp_path, live=True) as made:
        await asyncio.sleep(0.2)
        assert made._seam._path.exists()
    monkeypatch.undo()
    told = [event.source_state for event in spooled(tmp_path) if event.HasField("source_state")]
    name = {"follow": "mount_table", "inventory.watch": "inventory", "in_thread": "spool"}[part]
    assert (name, pb.SOURCE_STATE_BROKEN) in {(one.name, one.state) for one in told}
    assert "can't start new thread" in {one.reason.partition(": ")[2] for one in told}


async def test_no_command_comes_before_the_mount_table_was_read(tmp_path, monkeypatch):
    def read(only):
        seen.append((tmp_path / "run/seam.sock").exists())
        return real(only)

    real, seen = room.read_mounted, []
    monkeypatch.setattr(room, "read_mounted", read)
    async with sense(tmp_path, live=True):
        assert (tmp_path / "run/seam.sock").exists()
    assert seen == [False]


async def test_a_socket_that_cannot_be_made_is_one_clear_error(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        await make_sense(folder).run(asyncio.Event())


async def test_a_capture_that_makes_no_sense_is_one_clear_error(tmp_path):
    (tmp_path / "capture").write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match="capture:1: "):
        await make_sense(tmp_path, tmp_path / "capture").run(asyncio.Event())


async def test_a_link_that_goes_on_breaking_rules_does_not_fill_the_spool(tmp_path):
    async with sense(tmp_path):
        for _ in range(50):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "run/seam.sock")
            writer.write(b"\xff" * 8)
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
    told = [event.message for event in spooled(tmp_path) if event.message.startswith("seam: ")]
    assert len(told) == 1
