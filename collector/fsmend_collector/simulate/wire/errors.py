"""What can keep a simulation over the wire from being run; one class, because the operator must act on each."""


class SimulationRefused(Exception):  # noqa: N818  an outcome
    """Say why nothing was simulated, and what to do."""
