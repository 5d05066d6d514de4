"""The page: one HTML file without anything from outside, and without a script. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fsmend_collector.simulate.report.curve import curve_caption, recall_curve
from fsmend_collector.simulate.report.detection import detection_curve
from fsmend_collector.simulate.report.families import families_table
from fsmend_collector.simulate.report.result import Result
from fsmend_collector.simulate.report.section import scenario_section
from fsmend_collector.simulate.report.style import STYLE
from fsmend_collector.simulate.report.svg import element, text
from fsmend_collector.simulate.report.totals import Totals, duration, percent
from fsmend_collector.simulate.sweep import Point

FORMAT_VERSION = 1
_LEAST_TIMES = 3
"""Fewer have no distribution."""
_HEADINGS = (
    ("Scenario", ""), ("What happens", ""), ("Runs", "n"), ("Precision", "n"), ("Recall", "n"), ("Exact cause", "n"),
    ("Told after", "n"), ("", ""),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """What a page shows.

    Attributes:
        results: every run, scenario by scenario.
        curves: recall against k, by scenario.
        made_at: for people.
        command: with which it can be made again.
    """

    results: Sequence[Result]
    curves: Mapping[str, Sequence[Point]]
    made_at: str
    command: str

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON's types."""
        curves = {name: [asdict(one) for one in points] for name, points in self.curves.items()}
        return {
            "version": FORMAT_VERSION,
            "command": self.command,
            "scenarios": [one.to_json() for one in self.results],
            "curves": curves,
        }


def page(report: Report) -> str:
    """Return the file's text."""
    groups = _by_scenario(report.results)
    title = f"fsmend simulate: {next(iter(groups)) if len(groups) == 1 else f'{len(groups)} scenarios'}"
    body = element(
        "main",
        _head(report, title),
        _tiles(Totals.of(report.results)),
        _summary(groups),
        _pictures(report, Totals.of(report.results)),
        *(
            scenario_section(runs, report.curves.get(name, ()) if len(groups) > 1 else ())
            for name, runs in groups.items()
        ),
        _foot(report),
    )
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style>"
    )
    # "<" inside JSON strings is escaped, so that no text can end the element.
    data = json.dumps(report.to_json()).replace("<", "\\u003c")
    embedded = f'<script type="application/json" id="results">{data}</script>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}{embedded}</body></html>\n'


def _by_scenario(results: Iterable[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for one in results:
        groups.setdefault(one.scenario, []).append(one)
    return groups


def _head(report: Report, title: str) -> str:
    first = report.results[0]
    how = "over the wire, to a real collector" if first.way == "wire" else "in memory"
    seeds = sorted({one.seed for one in report.results})
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    said = f"{first.hosts:,} simulated hosts, {how}, {span}. Made {report.made_at}."
    lines = [element("p", text(one), class_="soft") for one in (said, wire_line(first)) if one]
    return element("header", element("h1", text(title)), *lines)


def wire_line(result: Result) -> str:
    """Say how the fleet got over the wire; empty for what was run in memory."""
    figures = result.figures
    if result.way != "wire":
        return ""
    enrolled = f"{figures['enrolled']:.0f} enrolled at {figures['enrol_per_second']:.0f}/s"
    connected = f"connected in {figures['connect_seconds']:.1f} s"
    return f"{result.hosts} agents: {enrolled}, {connected}; speed {figures['speed']:g}"


def _tiles(totals: Totals) -> str:
    rows = (
        (percent(totals.right, totals.told), f"precision: {totals.right} of {totals.told} incidents are right"),
        (percent(totals.found, totals.causes), f"recall: {totals.found} of {totals.causes} true causes found"),
        (percent(totals.exact, totals.causes), "exact cause: named as the first suspect"),
        (duration(totals.quantile(0.5)), "median time to detect a shared cause"),
        (duration(totals.quantile(0.99)), "99th percentile of the same"),
    )
    tiles = [
        element("div", element("b", text(value)), element("span", text(what)), class_="tile") for value, what in rows
    ]
    return element("div", *tiles, class_="tiles")


def _summary(groups: Mapping[str, list[Result]]) -> str:
    heads = [element("th", text(name), scope="col", class_=class_ or None) for name, class_ in _HEADINGS]
    rows = [_summary_row(name, runs) for name, runs in groups.items()]
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows))
    return element("h2", "Truth and verdicts") + element("div", element("div", table, class_="scroll"), class_="card")


def _summary_row(name: str, runs: list[Result]) -> str:
    totals = Totals.of(runs)
    good = totals.found == totals.causes and totals.right == totals.told
    verdict = element("span", "✓ right" if good else "✗ look", class_="good" if good else "bad")
    cells = (
        (str(len(runs)), "n"), (percent(totals.right, totals.told), "n"), (percent(totals.found, totals.causes), "n"),
        (percent(totals.exact, totals.causes), "n"), (duration(totals.quantile(0.5)), "n"),
    )  # fmt: skip
    link = element("th", element("a", text(name), href=f"#{name}"), scope="row")
    figures = "".join(element("td", text(value), class_=class_) for value, class_ in cells)
    return element("tr", link, element("td", text(runs[0].text)), figures, element("td", verdict, class_="n"))


def _pictures(report: Report, totals: Totals) -> str:
    """Draw what spans scenarios."""
    cards = []
    if len(totals.seconds) >= _LEAST_TIMES:
        named = [(one, run.scenario) for run in report.results for one in run.score["detect_seconds"]]
        cards.append(_figure(detection_curve(named, "Time to detect"), "Time to detect, each dot one true cause."))
    several = len(_by_scenario(report.results)) > 1
    if several:
        table = element("div", families_table(report.results), class_="scroll")
        cards.append(element("div", element("h3", "By family"), table, class_="card"))
    if not several and report.curves:
        ((name, points),) = report.curves.items()
        drawn = recall_curve(points, f"{name}: recall against k")
        cards.append(_figure(drawn, curve_caption(name, points)))
    return element("div", *cards, class_="pair") if cards else ""


def _figure(drawn: str, caption: str) -> str:
    return element("figure", drawn, element("figcaption", text(caption)), class_="card")


def _foot(report: Report) -> str:
    how = element("p", "Made again with ", element("code", text(report.command)), class_="soft")
    note = text(
        "An incident is right when it names the true cause and its members overlap the truth by 0.8 or more (Jaccard). "
        "Causes that the statistics cannot resolve at the declared budget of false incidents are not asked for. "
        "All figures are in this file as JSON, in the element with the id “results”."
    )
    return element("footer", element("h2", "How to read it"), element("p", note, class_="soft"), how)
