"""Every dimension leads to a code, and the page for people says what the table says."""

from pathlib import Path

import pytest

from fsmend_collector.diagnosis.groups.codes import CLOSES, GROUP_CODES
from fsmend_collector.diagnosis.groups.dimensions import DIMENSIONS, dimension
from fsmend_collector.diagnosis.groups.verdict import _code

PAGE = " ".join((Path(__file__).resolve().parents[4] / "docs/incidents.md").read_text().split())


def test_every_dimension_has_a_code():
    assert {row.code for row in DIMENSIONS.values()} | {dimension("label:x").code} <= set(GROUP_CODES)


def test_a_slow_fault_of_a_place_is_its_environment_and_silence_alone_is_the_connection():
    assert _code(("row", "w1"), {"health"}, 10**15) == "ENVIRONMENT_DRIFT"
    assert _code(("row", "w1"), {"health"}, 10**9) == "AREA_FAULT"
    assert _code(("rack", "r1"), {"silent"}, 10**9) == "CONNECTION_LOST"
    assert _code(("rack", "r1"), {"silent", "lost"}, 10**9) == "RACK_FAULT"


@pytest.mark.parametrize("code", GROUP_CODES)
def test_page_says_what_the_table_says(code):
    row = GROUP_CODES[code]
    for part in (f"## {code}", row.meaning, row.action, CLOSES):
        assert " ".join(part.split()) in PAGE
