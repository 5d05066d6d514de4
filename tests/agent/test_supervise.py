import asyncio
import errno
import os
from typing import ClassVar

import pytest

from fsmend_agent import supervise as room
from fsmend_agent.event import Clock
from fsmend_agent.sources import SourceUnavailableError
from fsmend_proto.v1 import event_pb2 as pb


class Fake:
    name: ClassVar[str] = "fake"

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    async def run(self):
        if not self.outcomes:
            await asyncio.Event().wait()
        if (outcome := self.outcomes.pop(0)) is not None:
            raise outcome


async def states(source, number):
    """Supervise until `number` states were reported, and return them with their reasons."""
    seen, enough = [], asyncio.Event()

    def emit(event):
        seen.append((event.source_state.state, event.source_state.reason))
        if len(seen) >= number:
            enough.set()

    task = asyncio.create_task(room.supervise(source, emit, Clock("boot")))
    await asyncio.wait_for(enough.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return seen


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(room, "FIRST_PAUSE_SECONDS", 0.001)


async def test_source_that_breaks_is_reported_and_started_again():
    seen = await states(Fake(OSError(5, "Input/output error")), 3)
    assert [state for state, _ in seen] == [pb.SOURCE_STATE_STARTED, pb.SOURCE_STATE_BROKEN, pb.SOURCE_STATE_STARTED]
    assert "Input/output error" in seen[1][1]


async def test_source_with_a_fault_of_its_own_does_not_end_the_agent():
    seen = await states(Fake(ZeroDivisionError("no"), KeyError("x")), 5)
    assert [state for state, _ in seen].count(pb.SOURCE_STATE_BROKEN) == 2


async def test_source_that_ends_by_itself_counts_as_broken():
    assert (await states(Fake(None), 2))[1] == (pb.SOURCE_STATE_BROKEN, "it ended by itself")


async def test_source_that_the_kernel_does_not_have_is_not_tried_again():
    source = Fake(SourceUnavailableError("not in this kernel"), OSError())
    seen = await states(source, 2)
    assert seen[1] == (pb.SOURCE_STATE_UNAVAILABLE, "not in this kernel")
    assert len(source.outcomes) == 1


async def test_a_reason_that_is_no_utf_8_is_told_all_the_same():
    seen = await states(Fake(ValueError("\udcff")), 2)
    assert seen[1] == (pb.SOURCE_STATE_BROKEN, "ValueError: \\udcff")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
async def test_what_the_kernel_refuses_only_now_is_tried_again(number):
    refused = SourceUnavailableError("fanotify_init")
    refused.__cause__ = OSError(number, os.strerror(number))
    seen = await states(Fake(refused), 3)
    assert [state for state, _ in seen] == [pb.SOURCE_STATE_STARTED, pb.SOURCE_STATE_BROKEN, pb.SOURCE_STATE_STARTED]
