"""The collector: keeps what the agents of a fleet report, finds what it means, and orders repairs."""

__version__ = "0.1.0"
