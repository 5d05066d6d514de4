"""Learnt rates as text, so that a restart need not learn them anew."""

import json
from collections import Counter
from typing import Any

from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.rates import AspectGroup, Day, Rates

_VERSION = 1


def rates_to_text(rates: Rates) -> str:
    """Return what was learnt, totals and newest days, as JSON."""
    days = [[day.number, day.exposure, dict(day.marks), _rows(day.groups)] for day in rates.days]
    whole = [rates.exposure, dict(rates.marks), _rows(rates.groups), rates.hours]
    return json.dumps([_VERSION, whole, days], separators=(",", ":"))


def rates_from_text(text: str, rates: Rates) -> None:
    """Put what was learnt into fresh rates; an empty text changes nothing."""
    if not text:
        return
    version, whole, days = json.loads(text)
    if version != _VERSION:
        return  # of a later version: learning begins anew
    exposure, marks, groups, rates.hours = whole
    rates.exposure = dict.fromkeys(ASPECTS, 0.0) | exposure
    rates.marks, rates.groups = Counter(marks), _counter(groups)
    rates.days.clear()
    for number, exposed, seen, rows in days:
        rates.days.append(Day(number, dict.fromkeys(ASPECTS, 0.0) | exposed, Counter(seen), _counter(rows)))


def _rows(groups: Counter[AspectGroup]) -> list[list[Any]]:
    return [[aspect, name, value, count] for (aspect, (name, value)), count in sorted(groups.items())]


def _counter(rows: list[list[Any]]) -> Counter[AspectGroup]:
    return Counter({(aspect, (name, value)): count for aspect, name, value, count in rows})
