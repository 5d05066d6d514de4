"""Every dimension leads to a code, and the page for people says what the table says."""

import re
from pathlib import Path

import pytest

from fsmend_collector.ask.pages import page_of
from fsmend_collector.diagnosis.codes import CODES
from fsmend_collector.diagnosis.groups.codes import CLOSES, GROUP_CODES
from fsmend_collector.diagnosis.groups.dimensions import DIMENSIONS, dimension
from fsmend_collector.diagnosis.groups.verdict import _code
from fsmend_proto.v1 import event_pb2

PAGE = (Path(__file__).resolve().parents[4] / "docs/incidents.md").read_text()


def test_every_dimension_has_a_code():
    assert {row.code for row in DIMENSIONS.values()} | {dimension("label:x").code} <= set(GROUP_CODES)


def test_a_slow_fault_of_a_place_is_its_environment_and_silence_alone_is_the_connection():
    assert _code(("row", "w1"), {"health"}, 10**15) == "ENVIRONMENT_DRIFT"
    assert _code(("row", "w1"), {"health"}, 10**9) == "AREA_FAULT"
    assert _code(("rack", "r1"), {"silent"}, 10**9) == "CONNECTION_LOST"
    assert _code(("rack", "r1"), {"silent", "lost"}, 10**9) == "RACK_FAULT"


def section(code):
    """Return the page's section of a code, white space squeezed."""
    (found,) = re.findall(rf"^## {code}\n(.*?)(?=^##? |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return " ".join(found.split())


@pytest.mark.parametrize("code", GROUP_CODES)
def test_page_says_what_the_table_says(code):
    row = GROUP_CODES[code]
    severity = event_pb2.Severity.Name(row.severity).removeprefix("SEVERITY_").lower()
    wanted = (
        f"Severity: {severity}.",
        row.meaning,
        f"**Evidence:** {row.seen_by}",
        f"**What to do:** {row.action}",
        f"**Closes:** {CLOSES}",
    )
    assert section(code) == " ".join(" ".join(part.split()) for part in wanted)


def test_page_has_no_section_of_a_shared_cause_that_is_none():
    shared = PAGE.split("\n# Shared causes\n")[1].split("\n# Codes\n")[0]
    assert re.findall(r"^## (\w+)$", shared, re.MULTILINE) == list(GROUP_CODES)


def test_the_table_of_all_codes_has_each_once_and_links_to_its_section():
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \|", PAGE, re.MULTILINE)
    assert [code for code, _, _ in rows] == [*CODES, *GROUP_CODES]
    assert all(link == code.lower() for code, link, _ in rows)
    table = CODES | GROUP_CODES
    severities = {
        code: event_pb2.Severity.Name(table[code].severity).removeprefix("SEVERITY_").lower() for code in table
    }
    assert {code: severity for code, _, severity in rows} == severities


@pytest.mark.parametrize("code", [*CODES, *GROUP_CODES])
def test_why_names_the_page_of_every_code_with_its_four_parts(code):
    page = page_of(code)
    name, _, anchor = page.page.partition("#")
    assert (Path(__file__).resolve().parents[4] / name).exists()
    assert f"\n## {anchor.upper()}\n" in PAGE
    assert all((page.meaning, page.seen_by, page.action, page.closes))


def test_a_code_of_a_later_version_has_no_page():
    assert page_of("LATER_FAULT").page == ""
