"""The composition of sense: what its parts tell each other."""

import asyncio
import os
from contextlib import asynccontextmanager

from fsmend_agent.agent import Sense
from fsmend_agent.config import AgentConfig
from fsmend_agent.event import Clock, new_event
from fsmend_agent.spool import Spool
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import record_pb2

UUID = "d9d2c35b-0000-4000-8000-6d803ed30000"


@asynccontextmanager
async def sense(folder):
    """Run sense over a capture in which nothing happens."""
    capture = folder / "capture"
    capture.touch()
    made = Sense(AgentConfig(state_directory=folder / "state", runtime_directory=folder / "run"), capture)
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
