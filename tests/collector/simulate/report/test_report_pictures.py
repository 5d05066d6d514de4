"""The pictures say what the figures say."""

import re

from collector.simulate.report.results import result

from fsmend_collector.simulate.report.curve import curve_caption, recall_curve
from fsmend_collector.simulate.report.detection import detection_curve
from fsmend_collector.simulate.report.floor import truth_map, verdict_map
from fsmend_collector.simulate.report.result import Cell, Floor, Verdict
from fsmend_collector.simulate.report.svg import element, number, text
from fsmend_collector.simulate.sweep import Point


def test_attributes_and_text_are_escaped():
    assert (
        element("a", text("<&>"), class_='"', stroke_width=1.50)
        == '<a class="&quot;" stroke-width="1.5">&lt;&amp;&gt;</a>'
    )
    assert number(2.0) == "2"


def cells(drawn):
    return re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"[^>]*class="(\w+)"><title>(\w+)', drawn)


def test_the_floor_has_a_mark_for_every_host_that_is_concerned():
    truth, said = truth_map(result()), verdict_map(result())
    assert [row[2:] for row in cells(truth)] == [("cause0", "host000021"), ("cause0", "host000022")]
    assert [row[2:] for row in cells(said)] == [("cause0", "host000021")]
    assert cells(truth)[0] == cells(said)[0]
    assert "(2 of 120)" in truth


def test_hosts_of_one_rack_stand_in_a_column_and_racks_of_one_row_side_by_side():
    floor = Floor(tuple(f"r{at}" for at in range(6)), 20, 3, tuple(
        Cell(f"h{column}{row}", f"r{column}", column, row, (0,), ()) for column, row in ((0, 0), (0, 1), (1, 0), (3, 0))
    ))  # fmt: skip
    (first, below, beside, next_row) = [(float(x), float(y)) for x, y, *_ in cells(truth_map(result(floor=floor)))]
    assert (below[0], beside[1]) == first
    assert below[1] > first[1]
    assert next_row[0] - first[0] > 3 * (beside[0] - first[0])


def test_a_verdict_that_is_not_right_is_crossed_out():
    wrong = (Verdict("i", "HOST_FAULT", "host", "agent-000021", 1, 0.1, 0, right=False),)
    drawn = verdict_map(result(verdicts=wrong))
    assert cells(drawn)[0][2] == "wrong"
    assert 'class="cross"' in drawn


def test_few_hosts_of_a_colour_are_ringed_and_many_are_not():
    many = Floor(("r0",), 20, 3, tuple(Cell(f"h{row}", "r0", 0, row, (int(row == 19),), ()) for row in range(20)))
    assert truth_map(result(floor=many)).count('class="ring"') == 1


def points(*found, runs=10):
    return [Point(at + 1, one, runs, "hosts", runs if at else 0) for at, one in enumerate(found)]


def test_recall_rises_to_the_top_of_its_frame():
    drawn = recall_curve(points(0, 5, 10), "recall")
    heights = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', drawn)]
    assert heights[0] > heights[1] > heights[2]
    assert heights[1] * 2 == heights[0] + heights[2]
    assert "k = 2: 5 of 10" in drawn
    assert "10 seeds" in curve_caption("rack_power", points(0, 5, 10))


def test_one_point_alone_can_be_drawn():
    assert "k = 1" in recall_curve(points(1), "recall")


def test_the_band_holds_the_share():
    for one in points(0, 3, 10):
        low, high = one.interval
        assert 0 <= low <= one.recall <= high <= 1


def test_times_are_drawn_from_the_quickest_to_the_slowest():
    drawn = detection_curve([(70.0, "late"), (0.0, "at once"), (0.8, "soon")], "times")
    assert re.findall(r"<title>([\w ]+): ", drawn) == ["at once", "soon", "late"]
    across = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', drawn)]
    assert across == sorted(across)
    assert max(across) <= 560
