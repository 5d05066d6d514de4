"""The floor: every rack a column, every host a cell; what truly fails, and what the verdicts name, side by side."""

from collections import Counter

from fsmend_collector.simulate.report.result import OTHER, Cell, Result
from fsmend_collector.simulate.report.svg import element, label, picture, text

_CELL, _GAP = 6.0, 1.0
_STEP = _CELL + _GAP
_AISLE_X, _AISLE_Y, _NAME = 16.0, 12.0, 14.0
_ROWS_ACROSS = 5
_MOST_HUES = 4
_FEW, _RING = 6, 9.0
"""So few hosts of one colour are ringed, lest they are overlooked."""


def hue(number: int) -> str:
    """Return the class that colours a cause, and the verdicts that match it."""
    return "wrong" if number == OTHER else f"cause{number % _MOST_HUES}"


def truth_map(result: Result) -> str:
    """Draw what truly fails."""
    concerned = [(one, hue(one.truth[0])) for one in result.floor.cells if one.truth]
    return _map(result, f"{result.scenario}: hosts that truly fail", concerned)


def verdict_map(result: Result) -> str:
    """Draw what the verdicts name; a verdict that is not right about its cause shows as wrong."""

    def colour(cell: Cell) -> str:
        named = [result.verdicts[number] for number in cell.verdict]
        right = [one for one in named if one.right]
        return hue(right[0].cause) if right else hue(OTHER)

    concerned = [(one, colour(one)) for one in result.floor.cells if one.verdict]
    return _map(result, f"{result.scenario}: hosts that the verdicts name", concerned)


def _map(result: Result, title: str, concerned: list[tuple[Cell, str]]) -> str:
    floor = result.floor
    rows = -(-len(floor.racks) // floor.racks_a_row)
    across = min(rows, _ROWS_ACROSS)
    block_width = min(floor.racks_a_row, len(floor.racks)) * _STEP + _AISLE_X
    block_height = floor.hosts_a_rack * _STEP + _AISLE_Y + _NAME
    width = across * block_width - _AISLE_X
    height = -(-rows // across) * block_height - _AISLE_Y
    marks = []
    for row in range(rows):
        x, y = row % across * block_width, row // across * block_height
        racks = floor.racks[row * floor.racks_a_row : (row + 1) * floor.racks_a_row]
        marks.append(label(x, y + 9, f"row{row}", "place"))
        marks += [_rack(x + at * _STEP, y + _NAME, floor.hosts_a_rack) for at in range(len(racks))]
    alike = Counter(class_ for _, class_ in concerned)
    for cell, class_ in concerned:
        row, at = divmod(cell.column, floor.racks_a_row)
        x = row % across * block_width + at * _STEP
        y = row // across * block_height + _NAME + cell.row * _STEP
        marks.append(_mark(cell, class_, x, y))
        if alike[class_] <= _FEW:
            marks.append(element("circle", cx=x + _CELL / 2, cy=y + _CELL / 2, r=_RING, class_="ring"))
    named = f"{title} ({len(concerned)} of {result.hosts})"
    return picture(width, height, named, *marks)


def _rack(x: float, y: float, hosts: int) -> str:
    """Draw a whole rack of healthy hosts as one dashed line: thousands of cells would make the page heavy."""
    return element(
        "path",
        d=f"M{x + _CELL / 2:g} {y:g}v{hosts * _STEP - _GAP:g}",
        class_="rack",
        stroke_dasharray=f"{_CELL} {_GAP}",
    )


def _mark(cell: Cell, class_: str, x: float, y: float) -> str:
    name = element("title", text(f"{cell.host}, rack {cell.rack}"))
    box = element("rect", name, x=x, y=y, width=_CELL, height=_CELL, class_=class_)
    if class_ != "wrong":
        return box
    cross = f"M{x + 1:g} {y + 1:g}l{_CELL - 2:g} {_CELL - 2:g}m0 {2 - _CELL:g}l{2 - _CELL:g} {_CELL - 2:g}"
    return box + element("path", d=cross, class_="cross")
