"""Where the page of an incident's code is, and what it says in short."""

from fsmend_collector.diagnosis.codes import CODES
from fsmend_collector.diagnosis.groups.codes import CLOSES, GROUP_CODES, SEEN_BY
from fsmend_proto.v1 import why_pb2

PAGE = "docs/incidents.md"


def page_of(code: str) -> why_pb2.IncidentPage:
    """Return the row of a code; of one that this version does not know only its name."""
    own, shared = CODES.get(code), GROUP_CODES.get(code)
    page = why_pb2.IncidentPage(code=code)
    if own is not None:
        page.meaning, page.seen_by, page.action, page.closes = own.meaning, own.seen_by, own.action, own.closes
    elif shared is not None:
        page.meaning, page.seen_by = shared.meaning, f"{shared.seen_by} {SEEN_BY}"
        page.action, page.closes = shared.action, CLOSES
    else:
        return page
    page.page = f"{PAGE}#{code.lower()}"
    return page
