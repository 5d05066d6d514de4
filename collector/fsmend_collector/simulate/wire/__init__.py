"""The simulator's second way out: every host is an agent that speaks the real protocol to a real collector."""
