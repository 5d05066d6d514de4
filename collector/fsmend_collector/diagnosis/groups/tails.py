"""Tails of the counting distributions, from `math.lgamma` alone. The tests compare each with scipy.

Poisson counts here are small and tails far out, so that a sum of a few terms is both quick and exact. Those of the
gamma-Poisson are long, so it goes by the incomplete beta function.
"""

import functools
import math
from collections.abc import Callable
from statistics import NormalDist

_NEGLIGIBLE = 1e-17
_EXACT_UP_TO = 100
_MOST_STEPS = 10_000
_PRECISE = 1e-15
_TINY = 1e-300


def poisson_sf(count: int, mean: float) -> float:
    """Return P(X >= count) for a Poisson variable."""
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    if count > mean:
        return _upward(math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)), count, lambda j: mean / j)
    return 1.0 - _below(count, lambda j: j * math.log(mean) - mean - math.lgamma(j + 1))


def gamma_poisson_sf(count: int, mean: float, shape: float) -> float:
    """Return P(X >= count) for a Poisson variable whose rate is gamma distributed (a negative binomial).

    Args:
        count: at least so many.
        mean: of the counts.
        shape: of the gamma; variance = mean + mean² / shape.
    """
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    return _incomplete_beta(count, shape, mean / (shape + mean), shape / (shape + mean))


def hypergeometric_sf(count: int, population: int, marked: int, drawn: int) -> float:
    """Return P(X >= count) of marked ones among `drawn` from a population: Fisher's exact test, one-sided."""
    low, high = max(0, drawn + marked - population), min(marked, drawn)
    if count <= low:
        return 1.0
    if count > high:
        return 0.0
    rest = population - marked - drawn
    # From the side that is smaller: near 1 the other side's terms would have to grow from next to nothing.
    if count <= (drawn + 1) * (marked + 1) // (population + 2):
        total = term = _hypergeometric(count - 1, population, marked, drawn)
        for j in range(count - 1, low, -1):
            term *= j * (rest + j) / ((marked - j + 1) * (drawn - j + 1))
            total += term
            if term < total * _NEGLIGIBLE:
                break
        return max(1.0 - total, 0.0)
    total = term = _hypergeometric(count, population, marked, drawn)
    for j in range(count + 1, high + 1):
        term *= (marked - j + 1) * (drawn - j + 1) / (j * (rest + j))
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return min(total, 1.0)


def _hypergeometric(count: int, population: int, marked: int, drawn: int) -> float:
    """Return P(X = count)."""
    ways = _log_choose(marked, count) + _log_choose(population - marked, drawn - count)
    return math.exp(ways - _log_choose(population, drawn))


@functools.lru_cache(maxsize=1_024)
def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a Poisson mean (Garwood), by bisection on the tail.

    Above a hundred it is Wilson and Hilferty's, which is then right to a thousandth.
    """
    half = (1 - confidence) / 2
    if count > _EXACT_UP_TO:
        z = NormalDist().inv_cdf(1 - half)
        above = count + 1
        low = count * (1 - 1 / (9 * count) - z / (3 * math.sqrt(count))) ** 3
        return low, above * (1 - 1 / (9 * above) + z / (3 * math.sqrt(above))) ** 3
    low = 0.0 if count == 0 else _solve(lambda mean: poisson_sf(count, mean) < half, 0.0, count + 10.0)
    high = _solve(lambda mean: poisson_sf(count + 1, mean) < 1 - half, 0.0, 2 * count + 40.0)
    return low, high


def log_likelihood_ratio(failed: float, units: float, probability: float) -> float:
    """Return how much better the group's own failing share explains its count than the expected one; 0 below it.

    Args:
        failed: units that failed.
        units: units in the group.
        probability: that a unit fails in the window when nothing is shared.
    """
    if units <= 0 or failed <= 0:
        return 0.0
    failed = min(failed, units)
    expected = min(max(probability, 1e-300), 0.999999)
    share = failed / units
    if share <= expected:
        return 0.0
    ratio = failed * math.log(share / expected)
    if failed < units:
        ratio += (units - failed) * math.log((1 - share) / (1 - expected))
    return max(ratio, 0.0)


def _upward(first: float, count: int, step: Callable[[int], float]) -> float:
    """Sum terms from the first, each a factor times the one before, until they no longer count."""
    total = term = first
    j = count
    while term > total * _NEGLIGIBLE:
        j += 1
        term *= step(j)
        total += term
    return min(total, 1.0)


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return I_x(a, b), regularised, with rest = 1 - x; few steps where a sum of the tail takes thousands."""
    log_front = a * math.log(x) + b * math.log(rest) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    if x * (a + b + 2) < a + 1:
        return min(math.exp(log_front) * _continued_fraction(a, b, x) / a, 1.0)
    return max(1.0 - math.exp(log_front) * _continued_fraction(b, a, rest) / b, 0.0)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (DLMF 8.17.22) by Lentz's method."""
    above, below = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1))
    product = below
    for step in range(1, _MOST_STEPS):
        twice = a + 2 * step
        even = step * (b - step) * x / ((twice - 1) * twice)
        odd = -(a + step) * (a + b + step) * x / (twice * (twice + 1))
        for term in (even, odd):
            below = 1.0 / _not_zero(1.0 + term * below)
            above = _not_zero(1.0 + term / above)
            product *= above * below
        if abs(above * below - 1.0) < _PRECISE:
            break
    return product


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _below(count: int, log_term: Callable[[int], float]) -> float:
    return min(math.fsum(math.exp(log_term(j)) for j in range(count)), 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _solve(below: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a monotone condition turns false."""
    for _ in range(60):
        middle = (low + high) / 2
        if below(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2
