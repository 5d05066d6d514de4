"""The simulator's second way out: every host of a fleet as an agent that speaks the real protocol to a real collector."""
