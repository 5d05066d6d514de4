"""The page: complete, from nowhere else, and safe whatever stands in the names."""

import json
import re
from html.parser import HTMLParser

from collector.simulate.report.results import RIGHT, result

from fsmend_collector.simulate.report.page import Report, page
from fsmend_collector.simulate.report.result import Floor, Truth, Verdict
from fsmend_collector.simulate.sweep import Point

VOID = {"meta", "br"}
POINTS = [Point(k, k - 1, 4, "hosts", min(k, 4)) for k in range(1, 6)]


class Reader(HTMLParser):
    """Check that elements are closed in order, and take what was said."""

    def __init__(self, text):
        super().__init__()
        self.open, self.names, self.attributes, self.scripts = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [(tag, *one) for one in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def made(*results, curves=None):
    return page(Report(results or (result(),), curves or {}, "2026-11-22 17:00 UTC", "fsmend simulate rack_power"))


def test_all_figures_are_inside_as_json():
    reader = Reader(made(result(seed=1), result(seed=2), curves={"rack_power": POINTS}))
    document = json.loads(reader.scripts[0])
    assert [row["seed"] for row in document["scenarios"]] == [1, 2]
    assert document["scenarios"][0]["floor"]["truth"] == ["host000021", "host000022"]
    assert document["scenarios"][0]["found"] == 1
    assert [point["k"] for point in document["curves"]["rack_power"]] == [1, 2, 3, 4, 5]


def test_nothing_comes_from_elsewhere_and_nothing_runs():
    text = made(curves={"rack_power": POINTS})
    reader = Reader(text)
    assert "http" not in text
    assert not re.search(r"url\(|@import|<link|<img", text)
    assert not [row for row in reader.attributes if row[1] in {"src", "onload", "onclick"}]
    assert [row for row in reader.attributes if row[0] == "script"] == [
        ("script", "type", "application/json"),
        ("script", "id", "results"),
    ]


def test_a_name_cannot_become_markup():
    evil = '</script><script>alert(1)</script><b a="\'">'
    truths = (Truth("rack", evil, 2, 3, optional=False, found=True),)
    verdicts = (Verdict("i", evil, evil, evil, 1, 0.5, 0, right=False),)
    reader = Reader(made(result(scenario=evil, text=evil, truths=truths, verdicts=verdicts)))
    assert reader.names.count("script") == 1
    assert json.loads(reader.scripts[0])["scenarios"][0]["scenario"] == evil


def test_every_picture_says_what_it_shows():
    reader = Reader(made(*(result(seed=seed) for seed in range(3)), curves={"rack_power": POINTS}))
    pictures = reader.names.count("svg")
    assert pictures == 4  # two floors, recall against k, time to detect
    assert len([row for row in reader.attributes if row[:2] == ("svg", "aria-label") and row[2]]) == pictures


def test_dark_and_light_are_both_there():
    assert "prefers-color-scheme: dark" in made()


def test_each_scenario_has_a_row_and_a_section():
    reader = Reader(made(result(), result(scenario="hba_fault")))
    ids = [row[2] for row in reader.attributes if row[:2] == ("section", "id")]
    links = [row[2] for row in reader.attributes if row[1] == "href"]
    assert "By family" in made(result(), result(scenario="hba_fault"))
    assert links == [f"#{one}" for one in ids] == ["#rack_power", "#hba_fault"]


def test_the_run_that_went_wrong_is_the_one_that_is_shown():
    wrong = {**RIGHT, "found": 0, "misses": ["missed: rack r1, 2 units"]}
    text = made(result(seed=1), result(seed=2, score=wrong))
    assert "Shown: seed 2" in text
    assert "missed: rack r1" in text
    assert "✗ look" in text


def test_a_scenario_without_a_cause_says_so():
    nothing = {"right": 0, "told": 0, "found": 0, "exact": 0, "causes": 0, "detect_seconds": [], "misses": []}
    text = made(result(truths=(), verdicts=(), score=nothing, floor=Floor((), 20, 10, ())))
    assert "nothing should be told" in text
    assert "✓ right" in text


def test_over_the_wire_the_page_says_how_the_fleet_got_there():
    figures = {"speed": 1.0, "enrolled": 120.0, "enrol_per_second": 48.0, "connect_seconds": 2.5}
    text = made(result(way="wire", figures=figures))
    assert "120 agents: 120 enrolled at 48/s, connected in 2.5 s; speed 1" in text
    assert "to a real collector" in text


def test_one_time_alone_is_no_distribution():
    assert "Time to detect" not in made()
    assert "Time to detect" in made(*(result(seed=seed) for seed in range(3)))
