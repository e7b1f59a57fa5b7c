import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.analysis.max_margin import (
    NotSeparableError,
    max_margin,
    normalized_margin,
    weighted_svm,
)

NORMS = [1, 2, np.inf]
DUAL = {1: np.inf, 2: 2, np.inf: 1}


def separable(seed, n, d):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=d)
    direction /= np.linalg.norm(direction)
    z = rng.normal(size=(n, d))
    return z * np.where(z @ direction < 0, -1.0, 1.0)[:, None] + 0.1 * direction


def with_cvxpy(Z, p):
    w = cp.Variable(Z.shape[1])
    norm = {1: 1, 2: 2, np.inf: "inf"}[p]
    problem = cp.Problem(cp.Maximize(cp.min(Z @ w)), [cp.norm(w, norm) <= 1])
    return problem.solve(solver=cp.CLARABEL), w.value


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 4), (5, 1), (3, 8), (20, 5), (40, 12)])
def test_margin_equals_cvxpy(p, n, d):
    Z = separable(n * 100 + d, n, d)
    solution = max_margin(Z, p)
    expected, direction = with_cvxpy(Z, p)
    assert solution.margin == pytest.approx(expected, rel=1e-6, abs=1e-8)  # the interior-point solver's accuracy
    if p == 2:  # the only norm with a unique solution
        assert np.allclose(solution.w, direction, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 25),
    d=st.integers(1, 10),
    p=st.sampled_from(NORMS),
    size=st.sampled_from([1e-4, 1.0, 1e4]),
)
def test_dual_solution_certifies_the_margin_on_any_separable_set(seed, n, d, p, size):
    Z = size * separable(seed, n, d)
    solution = max_margin(Z, p)
    scale = np.linalg.norm(Z, ord=DUAL[p], axis=1).max()
    assert np.linalg.norm(solution.w, ord=p) == pytest.approx(1, abs=1e-9)
    assert (solution.q >= 0).all()
    assert solution.q.sum() == pytest.approx(1)
    assert solution.margin == pytest.approx(float((Z @ solution.w).min()))
    assert abs(solution.gap) <= 1e-7 * scale
    assert np.linalg.norm(Z.T @ solution.q, ord=DUAL[p]) == pytest.approx(solution.margin, abs=1e-7 * scale)
    # complementary slackness: weight only where the margin is attained
    assert (solution.q * (Z @ solution.w - solution.margin) <= 1e-6 * scale).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), p=st.sampled_from(NORMS))
def test_no_direction_has_a_larger_normalized_margin(seed, p):
    Z = separable(seed, 12, 4)
    best = max_margin(Z, p)
    others = np.random.default_rng(seed + 1).normal(size=(500, 4)) * 0.2 + best.w
    assert (normalized_margin(others, Z, p) <= best.margin * (1 + 1e-9)).all()
    assert normalized_margin(5 * best.w, Z, p) == pytest.approx(best.margin)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize(
    "Z",
    [
        np.array([[1.0, 0.0], [-1.0, 0.0]]),
        np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]),
        np.array([[1.0, 2.0], [0.0, 0.0]]),
        np.zeros((2, 3)),
    ],
    ids=["opposite", "surrounding", "zero example", "all zero"],
)
def test_data_that_cannot_be_separated_are_refused(p, Z):
    with pytest.raises(NotSeparableError, match="not separable"):
        max_margin(Z, p)


@pytest.mark.parametrize("bad", [np.ones(3), np.empty((0, 2)), np.array([[np.nan, 1.0]])])
def test_bad_examples_are_refused(bad):
    with pytest.raises(ValueError, match="Z: got"):
        max_margin(bad)


def test_unknown_norm_is_refused_with_its_value():
    with pytest.raises(ValueError, match="got 3"):
        max_margin(np.ones((1, 2)), 3)


def test_separator_has_margin_one_and_is_spanned_by_its_multipliers():
    Z = separable(3, 15, 4)
    solution = max_margin(Z, 2)
    assert (Z @ solution.separator).min() == pytest.approx(1)
    assert np.allclose(Z.T @ solution.multipliers, solution.separator)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_svm_equals_cvxpy(seed):
    Z = separable(seed, 12, 4)
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(4, 4)) + 2 * np.eye(4)
    for metric in (root @ root.T, rng.uniform(0.2, 5, size=4)):
        matrix = np.diag(metric) if metric.ndim == 1 else metric
        w, multipliers = weighted_svm(Z, metric)
        variable = cp.Variable(4)
        cp.Problem(cp.Minimize(cp.quad_form(variable, cp.psd_wrap(matrix))), [Z @ variable >= 1]).solve(
            solver=cp.CLARABEL
        )
        assert np.allclose(w, variable.value, rtol=1e-4, atol=1e-5)
        assert np.allclose(matrix @ w, Z.T @ multipliers)
        assert (multipliers >= 0).all()
        assert (multipliers * (Z @ w - 1) < 1e-8).all()


def test_weighted_svm_in_the_euclidean_metric_is_the_max_margin():
    Z = separable(9, 10, 3)
    assert np.allclose(weighted_svm(Z, np.ones(3))[0], max_margin(Z, 2).separator)


@pytest.mark.parametrize(("metric", "says"), [(np.ones(2), "shape"), (np.array([1.0, -1.0, 1.0]), "positive definite")])
def test_bad_metric_is_refused(metric, says):
    with pytest.raises(ValueError, match=says):
        weighted_svm(separable(0, 5, 3), metric)


def test_normalized_margin_broadcasts_and_takes_zero():
    Z = np.stack([separable(k, 6, 3) for k in range(2)])
    w = np.stack([np.zeros((2, 3)), np.ones((2, 3))])
    found = normalized_margin(w, Z, 1)
    assert found.shape == (2, 2)
    assert np.array_equal(found[0], [0, 0])
    assert np.allclose(found[1], Z.sum(-1).min(-1) / 3)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("factor", [2.0**-1060, 2.0**-700, 2.0**-60, 2.0**600, 2.0**1020])
def test_a_common_factor_changes_nothing_but_the_margin(p, factor):
    Z = np.ldexp(np.rint(np.ldexp(separable(5, 15, 4), 8)), -8)  # eight bits: the smallest factor leaves no more
    one, other = max_margin(Z, p), max_margin(factor * Z, p)
    assert np.array_equal(other.w, one.w)
    assert np.array_equal(other.q, one.q)
    assert other.margin == pytest.approx(factor * one.margin, rel=1e-2)  # a few bits near the smallest numbers
    assert normalized_margin(one.w, factor * Z, p) == pytest.approx(other.margin)
    if factor > 2.0**-1000:
        assert other.margin == factor * one.margin
        assert (factor * Z @ other.separator).min() == pytest.approx(1)


def test_multipliers_of_small_data_are_right_where_the_squared_margin_underflows():
    Z = 1e-153 * separable(3, 15, 4)
    solution = max_margin(Z, 2)
    assert np.allclose(Z.T @ solution.multipliers / solution.separator, 1)


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_normalized_margin_does_not_depend_on_the_length_of_the_direction(factor):
    Z = separable(2, 9, 3)
    w = max_margin(Z, 2).w
    for p in NORMS:
        assert normalized_margin(factor * w, Z, p) == pytest.approx(normalized_margin(w, Z, p))


@pytest.mark.parametrize("factor", [1e-200, 1e200])
@pytest.mark.parametrize("p", NORMS)
def test_data_of_extreme_scale_that_cannot_be_separated_are_still_refused(p, factor):
    with pytest.raises(NotSeparableError, match="not separable"):
        max_margin(factor * np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]), p)


def test_a_small_margin_that_the_dual_proves_is_found():
    Z = separable(3, 12, 3) * np.geomspace(1, 1e-10, 12)[:, None]
    solution = max_margin(Z, 2)
    assert 1e-10 < solution.margin < 1e-9
    assert abs(solution.gap) < 1e-6 * solution.margin


@pytest.mark.parametrize("p", NORMS)
def test_separable_examples_of_too_different_lengths_are_not_called_inseparable(p):
    Z = separable(4, 12, 3) * np.geomspace(1, 1e-300, 12)[:, None]
    with pytest.raises(ValueError, match="lengths differ too much") as caught:
        max_margin(Z, p)
    assert not isinstance(caught.value, NotSeparableError)
