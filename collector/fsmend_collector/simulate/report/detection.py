"""How long detection took: the share of causes that were told within a time, and each of them as a dot."""

import math
from collections.abc import Sequence

from fsmend_collector.simulate.report.axes import Axes
from fsmend_collector.simulate.report.svg import element, label, picture, text

_WIDTH, _HEIGHT = 560.0, 260.0
_TARGET_SECONDS = 10.0
_LEAST_SECONDS = 0.1


def detection_curve(seconds: Sequence[tuple[float, str]], title: str) -> str:
    """Draw the distribution of times, on a logarithmic axis from 0.1 s.

    Args:
        seconds: from the arrival of the k-th unit's event to the telling, and of what.
        title: for those who cannot see it.
    """
    rows = sorted(seconds)
    most = max(_TARGET_SECONDS * 3, rows[-1][0] * 1.2)
    axes = Axes(_WIDTH, _HEIGHT, math.log10(_LEAST_SECONDS), math.log10(most))
    decades = range(math.ceil(axes.x_from), math.floor(axes.x_to) + 1)
    ticks = [(float(one), _name(10.0**one)) for one in decades]
    frame = axes.draw(ticks, "from the arrival of the k-th unit's event to the incident", "causes told")
    steps, share = [f"M{axes.x(axes.x_from):.1f} {axes.y(0):.1f}"], 0.0
    dots = []
    for at, (value, what) in enumerate(rows):
        x = axes.x(math.log10(max(value, _LEAST_SECONDS)))
        share = (at + 1) / len(rows)
        steps.append(f"H{x:.1f}V{axes.y(share):.1f}")
        name = element("title", text(f"{what}: {value:.2f} s"))
        dots.append(element("circle", name, cx=x, cy=axes.y(share), r=3.0, class_="dot"))
    steps.append(f"H{axes.x(axes.x_to):.1f}")
    x = axes.x(math.log10(_TARGET_SECONDS))
    bound = element("line", x1=x, x2=x, y1=axes.y(0), y2=axes.y(1), class_="bound")
    bound += label(x + 6, axes.y(0.06), "99 % within 10 s", "note")
    return picture(_WIDTH, _HEIGHT, title, frame, bound, element("path", d="".join(steps), class_="line"), *dots)


def _name(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds:g} s"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size * 10:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
