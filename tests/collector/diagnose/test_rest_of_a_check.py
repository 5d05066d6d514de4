"""What is told to diagnosis of a check that went on where an earlier one was cut short."""

from types import SimpleNamespace

import pytest

from fsmend_collector.diagnose import following
from fsmend_collector.diagnose.following import Following
from fsmend_proto.v1 import command_pb2 as pb

WHERE = pb.XfsScrubPosition(stage=pb.XFS_SCRUB_STAGE_INODES, ino=131)


@pytest.mark.parametrize(
    ("scrub", "action"),
    [
        (pb.ScrubXfs(resume=WHERE), "rest of scrub_xfs"),
        (pb.ScrubXfs(items=[pb.XfsScrubItem(type=5)]), "part of scrub_xfs"),
        (pb.ScrubXfs(), "scrub_xfs"),
    ],
)
def test_its_end_is_told_as_that_of_the_rest(monkeypatch, scrub, action):
    row = SimpleNamespace(
        id="c1", agent_id="a1", action="scrub_xfs", command=pb.Command(id="c1", scrub_xfs=scrub).SerializeToString()
    )
    monkeypatch.setattr(following.queries, "command", lambda _connection, _id: row)
    told = []
    engine = SimpleNamespace(observe_update=lambda *arguments: told.append(arguments[-1]) or [])
    origin = SimpleNamespace(agent_id="a1", clock_offset_ns=0)
    Following._observe_update(SimpleNamespace(engine=engine), None, pb.CommandUpdate(command_id="c1"), origin, 5)
    assert told == [action]
