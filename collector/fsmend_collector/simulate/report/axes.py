"""Axes of the pictures: a frame, ticks, and where a value lies in it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from fsmend_collector.simulate.report.svg import element, label

LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 14.0, 38.0


@dataclass(frozen=True, slots=True)
class Axes:
    """A frame for values from `x_from` to `x_to` and from 0 to 1."""

    width: float
    height: float
    x_from: float
    x_to: float

    def x(self, value: float) -> float:
        """Return where a value lies across."""
        span = max(self.x_to - self.x_from, 1e-9)
        return LEFT + (value - self.x_from) / span * (self.width - LEFT - RIGHT)

    def y(self, share: float) -> float:
        """Return where a share lies."""
        return TOP + (1 - share) * (self.height - TOP - BOTTOM)

    def draw(self, ticks: Iterable[tuple[float, str]], x_name: str, y_name: str) -> str:
        """Draw grid, ticks and names."""
        marks = []
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            marks.append(
                element("line", x1=LEFT, x2=self.width - RIGHT, y1=self.y(share), y2=self.y(share), class_="grid")
            )
            marks.append(label(LEFT - 6, self.y(share) + 4, f"{share:.0%}", "tick", "end"))
        for value, name in ticks:
            marks.append(label(self.x(value), self.height - BOTTOM + 16, name, "tick", "middle"))
        marks.append(label((LEFT + self.width - RIGHT) / 2, self.height - 6, x_name, "name", "middle"))
        marks.append(label(LEFT, TOP - 4, y_name, "name"))
        return "".join(marks)
