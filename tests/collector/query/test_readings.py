"""What is shown of a command's result, without a collector."""

from fsmend_collector.query.render.incident import incident_lines
from fsmend_collector.query.render.readings import result_lines
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2, query_pb2


def test_the_pieces_of_an_xfs_repair_are_listed_and_safe_for_a_terminal():
    view = query_pb2.CommandView()
    result = view.last_update.result
    result.verdict = command_pb2.VERDICT_HEALED
    result.xfs_scrubs.add(name="bnobt of ag 1", corrupt=True, repaired=True, calls=2)
    result.xfs_scrubs.add(name="dir of inode 131\x1b[2J", corrupt=True, errno=95, flag_names=["corrupt"], calls=2)
    shown = "\n".join(result_lines(view))
    assert "bnobt of ag 1" in shown
    assert "repaired" in shown
    assert "ENOTSUP" in shown
    assert "\x1b[2J" not in shown


def test_the_sick_parts_of_an_xfs_are_among_the_places():
    incident = incident_pb2.Incident(code="FS_CORRUPTION")
    incident.places.add(xfs_scope=event_pb2.XFS_SCOPE_AG, xfs_number=1, xfs_sick=0x10)
    incident.places.add(ino=131)
    shown = "\n".join(incident_lines(incident, [], []))
    assert "ag 1 0x10" in shown
    incident.places[0].xfs_sick = 0
    assert "SICK" not in "\n".join(incident_lines(incident, [], []))
