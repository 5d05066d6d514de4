"""Bounds of the scan that are nobody's setting: which times are believed, and how often it looks anew."""

_SECONDS_NS = 1_000_000_000
FUTURE_NS = 60 * _SECONDS_NS
PLAUSIBLE_NS = 946_684_800 * _SECONDS_NS  # 2000-01-01: a clock before it was never set
GROWTH = 0.2
GROWTH_IN_STORMS = 1.0
STORM = 2_000
PAUSE_NS = 2 * _SECONDS_NS
PAUSE_A_MARK_NS = 5_000_000
LONGEST_PAUSE_NS = 60 * _SECONDS_NS
DRIFT_MARKS = 6
WINDOWS_LOCAL = (300, 1_800, 21_600, 86_400)  # what lies within a host fails at once; over weeks it is chance
