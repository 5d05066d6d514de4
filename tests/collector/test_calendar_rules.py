"""The calendar is read from the configuration, with every problem at once."""

from fsmend_collector.background import CalendarRule
from fsmend_collector.calendar_rules import read_calendar_config


def test_the_calendar_is_read_with_every_problem():
    row = {"labels": {"rack": "r1"}, "interval_days": 7, "window": "22:00-02:30", "share_percent": 2, "repair": True}
    config, problems = read_calendar_config({"rules": [row]})
    assert problems == []
    assert config.rules == (CalendarRule({"rack": "r1"}, ("btrfs", "xfs"), 7, (1_320, 150), 2, repair=True),)
    bad = {
        "labels": [],
        "types": ["ext4"],
        "interval_days": 0,
        "window": "5-6",
        "share_percent": 101,
        "repair": 1,
        "x": 1,
    }
    assert len(read_calendar_config({"rules": [bad], "y": 1})[1]) == 8
    assert len(read_calendar_config({"rules": 3})[1]) == 1
    assert len(read_calendar_config({"look_seconds": 0})[1]) == 1
    assert read_calendar_config({"look_seconds": 5})[0].look_seconds == 5
