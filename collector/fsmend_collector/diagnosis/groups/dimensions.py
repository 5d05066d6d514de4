"""Dimensions: what units can have in common, one row each."""

from dataclasses import dataclass

FLEET_VALUE = "all"
PAIR = " on "


@dataclass(frozen=True, slots=True)
class Dimension:
    """One row of the table.

    Attributes:
        name: stable name.
        code: of the incident when it is the cause.
        local: lies within one host or one enclosure: its units are counted one by one. Others count hosts, because the
            units of one host do not fail independently.
        parents: dimensions within which the exact test must show the group to differ from its siblings.
        rank: prefers the lower one of causes that explain the same equally well.
    """

    name: str
    code: str
    local: bool = False
    parents: tuple[str, ...] = ()
    rank: int = 50


DIMENSIONS: dict[str, Dimension] = {
    row.name: row
    for row in (
        Dimension("hba", "HBA_FAULT", local=True, rank=12),
        Dimension("enclosure", "ENCLOSURE_FAULT", local=True, rank=11),
        Dimension("host", "HOST_FAULT", local=True, rank=10),
        Dimension("rack", "RACK_FAULT", rank=20),
        Dimension("power_feed", "POWER_FAULT", rank=21),
        Dimension("row", "AREA_FAULT", parents=("fleet",), rank=22),
        Dimension("room", "AREA_FAULT", parents=("fleet",), rank=23),
        Dimension("site", "AREA_FAULT", parents=("fleet",), rank=24),
        Dimension("target", "TARGET_LOST", rank=15),
        Dimension("model+firmware", "FIRMWARE_FAULT", parents=("model",), rank=30),
        Dimension("model", "MODEL_FAULT", parents=("fleet",), rank=31),
        Dimension("kernel", "KERNEL_REGRESSION", parents=("fleet",), rank=32),
        Dimension("model+kernel", "MODEL_KERNEL_FAULT", parents=("model", "kernel"), rank=33),
        Dimension("hours", "WEAR_OUT", parents=("fleet",), rank=40),
        Dimension("filesystem_type", "FILESYSTEM_TYPE_FAULT", parents=("fleet",), rank=41),
        Dimension("fleet", "FLEET_WIDE", rank=60),
    )
}
LABEL_DIMENSIONS = {"rack", "power_feed", "row", "room", "site"}
"""Labels of a host that mean a place; every other label becomes the dimension `label:NAME`."""

_LABEL = "label:"


def dimension(name: str) -> Dimension:
    """Return the row of a dimension; a label of an operator has one like all its kind."""
    row = DIMENSIONS.get(name)
    return row if row is not None else Dimension(name, "LABEL_FAULT", parents=("fleet",), rank=45)


def label_dimension(label: str) -> str:
    """Return the dimension that a label of a host is."""
    return label if label in LABEL_DIMENSIONS else _LABEL + label


def parent_value(value: str, parent: str) -> str:
    """Return the group of the parent dimension that a group lies in."""
    if parent == "fleet":
        return FLEET_VALUE
    parts = value.split(PAIR)
    return parts[1] if parent == "kernel" else parts[0] if PAIR in value else value.rsplit(" ", 1)[0]
