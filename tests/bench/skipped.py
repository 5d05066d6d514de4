"""How a measurement says that it cannot run here."""


class Skipped(Exception):  # noqa: N818  an outcome, not a fault
    """Say why a measurement cannot run on this machine."""
