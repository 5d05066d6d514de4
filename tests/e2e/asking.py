"""What the end-to-end tests ask the collector, and how long they wait for the answer."""

import time

SECONDS = 30.0


def until(look, seconds=SECONDS, otherwise=str):
    """Return the first true answer of `look`; fail with the last one, and what `otherwise` tells, when time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        late = time.monotonic() > deadline
        assert not late, f"not within {seconds} s; the last answer was {answer!r}\n{otherwise()}"
        time.sleep(0.2)
    return answer


def incidents_of(stage, uuid, *devices):
    """Return every incident that concerns a filesystem or one of its devices, merged ones too."""
    found = []
    for incident in stage.fsmend("get", "incidents", "--all"):
        units = [incident["unit"], *incident["members"]]
        if any(unit["filesystem_uuid"] == uuid or unit["device_name"] in devices for unit in units):
            found.append(stage.fsmend("describe", "incident", incident["id"]))
    return found


def standing(incidents):
    """Return those that stand for themselves: not merged into another one."""
    return [incident for incident in incidents if incident["state"] != "merged"]


def events_of(stage, uuid, source):
    """Return what a source said of a filesystem, oldest first, but for what tells of health."""
    found = stage.fsmend("get", "events", "--fs", uuid, "--source", source, "--limit", "0")
    return [one for one in reversed(found) if one["event"]["severity"] not in {"info", "notice"}]


def seen_by(stage, uuid, *sources):
    """Wait until every one of these sources is among the evidence of one incident of the filesystem."""
    deadline = time.monotonic() + SECONDS
    while True:
        seen = [set(incident["sources"]) for incident in incidents_of(stage, uuid)]
        if any(set(sources) <= one for one in seen):
            return
        gaps = [one["gap"] for one in stage.fsmend("get", "gaps", "--limit", "0")]
        assert time.monotonic() < deadline, f"seen by {seen} only; gaps {gaps}"
        time.sleep(0.2)
