"""One scenario on the page: truth, verdicts and floor of its first run that went wrong, or of its first run. Pure."""

from collections.abc import Sequence

from fsmend_collector.simulate.report.curve import curve_caption, recall_curve
from fsmend_collector.simulate.report.floor import hue, truth_map, verdict_map
from fsmend_collector.simulate.report.result import OTHER, Result, Truth, Verdict
from fsmend_collector.simulate.report.svg import element, text
from fsmend_collector.simulate.sweep import Point

_MOST_ROWS = 12


def scenario_section(runs: Sequence[Result], points: Sequence[Point]) -> str:
    """Return the section of one scenario."""
    shown = next((one for one in runs if not _is_right(one)), runs[0])
    which = f"Shown: seed {shown.seed}." if len(runs) > 1 else ""
    parts = [element("h2", text(shown.scenario)), element("p", text(f"{shown.text} {which}".strip()), class_="soft")]
    parts.append(_tables(shown))
    if shown.floor.cells:
        parts.append(_maps(shown))
    if points:
        drawn = recall_curve(points, f"{shown.scenario}: recall against k")
        caption = element("figcaption", text(curve_caption(shown.scenario, points)))
        parts.append(element("figure", drawn, caption, class_="card"))
    misses = shown.score["misses"]
    if misses:
        rows = [element("li", text(one)) for one in misses[:_MOST_ROWS]]
        parts.append(element("div", element("h3", "What is not right"), element("ul", *rows), class_="card"))
    return element("section", *parts, id=shown.scenario)


def _is_right(result: Result) -> bool:
    score = result.score
    return bool(score["found"] == score["causes"] and score["right"] == score["told"])


def _tables(result: Result) -> str:
    truth = [_truth_row(number, one) for number, one in enumerate(result.truths[:_MOST_ROWS])]
    said = [_verdict_row(one) for one in result.verdicts[:_MOST_ROWS]]
    left = _table("Truth", ("Cause", "Units", "Resolvable from", "Found"), truth, "No cause: nothing should be told.")
    right = _table("Verdicts", ("Incident", "Cause", "Units", "Overlap"), said, "Nothing was told.")
    return element("div", left, right, class_="pair")


def _table(name: str, heads: tuple[str, ...], rows: list[str], nothing: str) -> str:
    if not rows:
        return element("div", element("h3", name), element("p", text(nothing), class_="soft"), class_="card")
    head = element(
        "tr", *(element("th", text(one), scope="col", class_="n" if at > 0 else None) for at, one in enumerate(heads))
    )
    table = element("table", element("thead", head), element("tbody", *rows))
    return element("div", element("h3", name), element("div", table, class_="scroll"), class_="card")


def _truth_row(number: int, one: Truth) -> str:
    key = element("span", class_=f"key {hue(number)}")
    name = element("th", key, text(f"{one.dimension} {one.value}"), scope="row")
    found = ("✓", "good") if one.found else ("not asked for", "soft") if one.optional or not one.least else ("✗", "bad")
    mark = element("span", found[0], class_=found[1])
    cells = (str(one.units), f"k = {one.least}" if one.least else "too few")
    return element(
        "tr", name, *(element("td", text(cell), class_="n") for cell in cells), element("td", mark, class_="n")
    )


def _verdict_row(one: Verdict) -> str:
    key = element("span", class_=f"key {hue(one.cause if one.right else OTHER)}")
    name = element("th", key, element("code", text(one.code)), scope="row")
    overlap = element("span", text(f"{one.overlap:.0%}"), class_="good" if one.right else "bad")
    cause = element("td", text(f"{one.dimension} {one.value}"), class_="n")
    return element("tr", name, cause, element("td", str(one.units), class_="n"), element("td", overlap, class_="n"))


def _maps(result: Result) -> str:
    caption = "each column a rack, each cell a host"
    left = element("figure", element("h3", "Floor: truth"), truth_map(result), _caption(caption), class_="card")
    said = f"{caption}; crossed out: named by a verdict that is not right"
    right = element("figure", element("h3", "Floor: verdicts"), verdict_map(result), _caption(said), class_="card")
    return element("div", left, right, class_="pair")


def _caption(content: str) -> str:
    return element("figcaption", text(f"Hosts with failing units, {content}."))
