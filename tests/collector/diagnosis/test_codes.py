"""The tables of codes and classes are whole, and the page for people says the same."""

import re
from pathlib import Path

import pytest

from fsmend_collector.diagnosis.codes import CLASS_OF_KIND, CLASSES, CODES, Family, Proof
from fsmend_collector.diagnosis.config import DEFAULT_RULES
from fsmend_proto.v1 import event_pb2

PAGE = Path(__file__).resolve().parents[3] / "docs/incidents.md"


def sections():
    """Return the page's section of every code, white space squeezed."""
    codes = PAGE.read_text().split("\n# Codes\n")[1]
    found = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", codes, re.MULTILINE | re.DOTALL)
    return {code: " ".join(text.split()) for code, text in found}


def test_page_has_one_section_for_each_code():
    assert list(sections()) == list(CODES)


@pytest.mark.parametrize("code", CODES)
def test_page_says_what_the_table_says(code):
    row, text = CODES[code], sections()[code]
    severity = event_pb2.Severity.Name(row.severity).removeprefix("SEVERITY_").lower()
    for part in (severity, row.meaning, row.seen_by, row.action, row.closes):
        assert " ".join(part.split()) in text


def test_page_names_the_default_rates():
    for name, rule in DEFAULT_RULES.items():
        row = f"| {name} | {rule.count} in {rule.seconds} s | {rule.long_count} in {rule.long_seconds} s | {rule.repeats} |"
        assert row in PAGE.read_text()


def test_every_code_is_reached_by_a_class_and_every_class_leads_to_a_code():
    assert {row.code for row in CLASSES.values()} == set(CODES)


def test_every_class_can_be_closed_by_some_proof_and_every_proof_closes_something():
    assert all(row.closed_by for row in CLASSES.values())
    assert set.union(*(set(row.closed_by) for row in CLASSES.values())) == set(Proof)


def test_ranks_within_a_family_are_distinct():
    for family in Family:
        ranks = [row.rank for row in CODES.values() if row.family is family]
        assert len(ranks) == len(set(ranks)) > 0


def test_rates_are_of_classes_that_exist():
    assert set(DEFAULT_RULES) <= set(CLASSES)


def test_every_kind_that_is_an_error_has_a_class():
    errors = {
        number
        for name, number in event_pb2.EventKind.items()
        if re.search(r"ERROR|CORRUPT|SHUTDOWN|READ_ONLY|CORRECTED|GONE|DEVICE_HEALTH|SOURCE_STATE", name)
    }
    assert set(CLASS_OF_KIND) == errors
    assert set(CLASS_OF_KIND.values()) <= set(CLASSES)


def test_every_summary_can_be_filled():
    for row in CODES.values():
        text = row.summary.format(host="h", unit="u", device="d", counts="c")
        assert "{" not in text
        assert len(text) < 120
