"""Totals of each family of scenarios, as a table. Pure."""

from collections.abc import Sequence

from fsmend_collector.simulate.report.result import Result
from fsmend_collector.simulate.report.svg import element, text
from fsmend_collector.simulate.report.totals import Totals, percent

_HEADINGS = ("Family", "Scenarios", "Precision", "Recall", "Exact cause")


def families_table(results: Sequence[Result]) -> str:
    """Return the table; one row a family, in the order of their first scenario."""
    groups: dict[str, list[Result]] = {}
    for one in results:
        groups.setdefault(one.family, []).append(one)
    heads = [element("th", name, scope="col", class_="n" if at else None) for at, name in enumerate(_HEADINGS)]
    rows = [_row(family, runs) for family, runs in groups.items()]
    return element("table", element("thead", element("tr", *heads)), element("tbody", *rows))


def _row(family: str, runs: list[Result]) -> str:
    totals = Totals.of(runs)
    cells = (
        str(len({one.scenario for one in runs})),
        percent(totals.right, totals.told),
        percent(totals.found, totals.causes),
        percent(totals.exact, totals.causes),
    )
    figures = "".join(element("td", text(one), class_="n") for one in cells)
    return element("tr", element("th", text(family), scope="row"), figures)
