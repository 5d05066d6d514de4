"""The tails against scipy's."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from fsmend_collector.diagnosis.groups.tails import (
    gamma_poisson_sf,
    hypergeometric_sf,
    log_likelihood_ratio,
    poisson_interval,
    poisson_sf,
)

MEANS = st.floats(1e-9, 200)


@settings(deadline=None)
@given(st.integers(0, 300), MEANS)
def test_poisson_tail_is_scipys(count, mean):
    assert poisson_sf(count, mean) == pytest.approx(stats.poisson.sf(count - 1, mean), rel=1e-6, abs=1e-12)


@settings(deadline=None)
@given(st.integers(0, 300), MEANS, st.floats(0.05, 50))
def test_gamma_poisson_tail_is_scipys(count, mean, shape):
    expected = stats.nbinom.sf(count - 1, shape, shape / (shape + mean))
    assert gamma_poisson_sf(count, mean, shape) == pytest.approx(expected, rel=1e-6, abs=1e-11)


@settings(deadline=None)
@given(st.integers(1, 20_000), st.floats(1e-6, 20_000), st.floats(0.05, 50))
def test_gamma_poisson_tail_of_large_groups_is_scipys(count, mean, shape):
    expected = special.betainc(count, shape, mean / (shape + mean))
    assert gamma_poisson_sf(count, mean, shape) == pytest.approx(expected, rel=1e-6, abs=1e-250)


@settings(deadline=None)
@given(st.data())
def test_hypergeometric_tail_is_scipys(data):
    population = data.draw(st.integers(1, 5_000))
    marked, drawn = data.draw(st.integers(0, population)), data.draw(st.integers(0, population))
    count = data.draw(st.integers(0, population))
    expected = stats.hypergeom.sf(count - 1, population, marked, drawn)
    assert hypergeometric_sf(count, population, marked, drawn) == pytest.approx(expected, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("count", [0, 1, 3, 17, 100, 101, 5_000])
def test_interval_is_the_exact_one(count):
    low, high = poisson_interval(count)
    assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, rel=2e-3)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2, rel=2e-3)


def test_a_far_tail_is_not_rounded_to_nothing():
    assert math.isclose(poisson_sf(12, 1e-5), stats.poisson.sf(11, 1e-5), rel_tol=1e-9)
    assert 0 < poisson_sf(12, 1e-5) < 1e-60


def test_likelihood_ratio_is_that_of_two_binomials():
    by_hand = stats.binom.logpmf(5, 12, 5 / 12) - stats.binom.logpmf(5, 12, 0.01)
    assert log_likelihood_ratio(5, 12, 0.01) == pytest.approx(by_hand)
    assert log_likelihood_ratio(1, 1_000, 0.5) == 0.0
