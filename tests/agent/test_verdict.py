"""When a scrub healed something, and when it only says so."""

import pytest

from fsmend_agent.verdict import judge
from fsmend_proto.v1 import command_pb2 as pb


def result(found=0, corrected=0, uncorrectable=0, before=None, after=None, sick=(), errno=0, supers=0):
    made = pb.CommandResult(
        scrubs=[
            pb.ScrubOutcome(devid=1),
            pb.ScrubOutcome(
                devid=2,
                errors_found=found,
                errors_corrected=corrected,
                errors_uncorrectable=uncorrectable,
                errno=errno,
                counters={"super_errors": supers},
            ),
        ]
    )
    made.before.counters.update(before or {})
    made.after.CopyFrom(pb.HealthReading(counters=after or {}, sick=sick))
    return made


CORRUPTION = "devid 2 corruption_errors"


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        ("CLEAN", {}),
        ("CLEAN", {"before": {CORRUPTION: 3}, "after": {CORRUPTION: 3}}),
        ("HEALED", {"found": 5, "corrected": 5}),
        ("HEALED", {"found": 5, "corrected": 5, "before": {CORRUPTION: 2}, "after": {CORRUPTION: 7}}),
        ("HEALED", {"found": 6, "corrected": 5, "supers": 1}),
        ("NOT_HEALED", {"found": 5, "corrected": 4, "uncorrectable": 1}),
        ("NOT_HEALED", {"found": 5, "corrected": 4}),
        ("NOT_HEALED", {"found": 5, "corrected": 0}),
        ("NOT_HEALED", {"found": 1, "corrected": 0, "supers": 1}),
        ("NOT_HEALED", {"found": 5, "corrected": 5, "errno": 5}),
        ("NOT_HEALED", {"found": 5, "corrected": 5, "after": {"devid 1 write_errors": 1}}),
        ("NOT_HEALED", {"found": 5, "corrected": 5, "after": {"devid 1 flush_errors": 1}}),
        ("HEALED", {"found": 5, "corrected": 5, "after": {CORRUPTION: 60}}),  # others read the damage meanwhile
        ("NOT_HEALED", {"found": 5, "corrected": 5, "after": {"devid 2 generation_errors": 6}}),
        ("NOT_HEALED", {"found": 5, "corrected": 5, "after": {"devid 2 read_errors": 6}}),
        ("NOT_HEALED", {"found": 5, "corrected": 5, "sick": ["devid 1 missing"]}),
        ("NOT_HEALED", {"after": {CORRUPTION: 1}}),
        ("NOT_HEALED", {"errno": 125}),
    ],
)
def test_verdict(verdict, fields):
    assert pb.Verdict.Name(judge(result(**fields))) == f"VERDICT_{verdict}"


def test_without_a_second_reading_nothing_is_healed():
    unread = result(found=5, corrected=5)
    unread.ClearField("after")
    assert judge(unread) == pb.VERDICT_NOT_HEALED
