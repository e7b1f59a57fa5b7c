"""Slopes and fits against numpy's own least squares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from companion.analysis.rates import fit_r2, loglog_slope


@given(st.integers(0, 10**6), st.integers(2, 9))
def test_slopes_are_those_of_scipys_regression_curve_by_curve(seed, points):
    rng = np.random.default_rng(seed)
    x, y = np.cumsum(rng.uniform(0.1, 1, (3, points)), axis=1), rng.lognormal(size=(3, points))
    expected = [stats.linregress(np.log(a), np.log(b)).slope for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(loglog_slope(x, y), expected, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(3, 9))
def test_r2_is_the_squared_correlation(seed, points):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(4, points)), rng.normal(size=(4, points))
    expected = [stats.pearsonr(a, b).statistic ** 2 for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(fit_r2(x, y), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("power", [-2.0, -0.5, 1.0])
def test_a_power_law_has_its_exponent_and_is_explained_in_full(power):
    t = np.geomspace(1, 1e4, 12)
    assert loglog_slope(t, 7 * t**power) == pytest.approx(power, abs=1e-12)
    assert fit_r2(np.log(t), power * np.log(t)) == pytest.approx(1, abs=1e-12)


def test_one_x_serves_many_curves():
    t = np.geomspace(1, 100, 5)
    np.testing.assert_allclose(loglog_slope(t, np.stack([t, t**2])), [1, 2], atol=1e-12)


def test_a_curve_that_is_not_positive_has_no_slope_and_a_constant_no_r2():
    assert np.isnan(loglog_slope([1, 2, 4], [1, 0, 1]))
    assert np.isnan(loglog_slope([2, 2, 2], [1, 2, 3]))
    assert np.isnan(fit_r2([1, 2, 3], [5, 5, 5]))
