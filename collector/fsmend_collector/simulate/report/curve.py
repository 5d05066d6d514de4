"""Recall against k: of how many failing hosts, or units, a cause is found, over seeds."""

from collections.abc import Sequence

from fsmend_collector.simulate.report.axes import Axes
from fsmend_collector.simulate.report.svg import element, picture, text
from fsmend_collector.simulate.sweep import Point

_WIDTH, _HEIGHT = 560.0, 260.0
_TICKS = 12


def recall_curve(points: Sequence[Point], title: str) -> str:
    """Draw the share of seeds in which the cause was found, with its 95 % interval, against k.

    Args:
        points: by k; what the statistics can resolve is drawn as a dashed line.
        title: for those who cannot see it.
    """
    axes = Axes(_WIDTH, _HEIGHT, points[0].k, max(points[-1].k, points[0].k + 1))
    step = -(-len(points) // _TICKS)
    frame = axes.draw([(one.k, str(one.k)) for one in points[::step]], f"failing {points[0].counted} (k)", "recall")
    upper = [f"{axes.x(one.k):.1f} {axes.y(one.interval[1]):.1f}" for one in points]
    lower = [f"{axes.x(one.k):.1f} {axes.y(one.interval[0]):.1f}" for one in reversed(points)]
    bound = "L".join(f"{axes.x(one.k):.1f} {axes.y(one.resolvable / one.runs):.1f}" for one in points)
    band = element("path", d=f"M{'L'.join([*upper, *lower])}Z", class_="band")
    line = element(
        "path", d="M" + "L".join(f"{axes.x(one.k):.1f} {axes.y(one.recall):.1f}" for one in points), class_="line"
    )
    dots = [
        element(
            "circle",
            element("title", text(f"k = {one.k}: {one.found} of {one.runs}")),
            cx=axes.x(one.k),
            cy=axes.y(one.recall),
            r=3.5,
            class_="dot",
        )
        for one in points
    ]
    return picture(
        _WIDTH, _HEIGHT, title, frame, band, element("path", d=f"M{bound}", class_="bound", fill="none"), line, *dots
    )


def curve_caption(name: str, points: Sequence[Point]) -> str:
    """Say what the picture shows."""
    first = points[0]
    what = f"{name} with only k of its {first.counted} failing"
    line = "dashed: the share that can be told from chance and from other causes"
    return f"Recall against k: {what}, {first.runs} seeds at every k. Band: 95 % interval; {line}."
