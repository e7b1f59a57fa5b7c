import dataclasses
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from companion.chapters.perturbed_deep_matrix_factorization import CLAIMS, Parameters, experiments, run, verify
from companion.chapters.perturbed_deep_matrix_factorization.counts import (
    decay_bound,
    flow_time,
    k_lower,
    k_upper,
    k_upper_over,
    limit_ratio,
    phase_bounds,
    relative_time,
    step_limit,
    top_growth,
)
from companion.chapters.perturbed_deep_matrix_factorization.experiments.noisy import levels
from companion.chapters.perturbed_deep_matrix_factorization.noise import (
    denoising,
    goe,
    nuclear_rank,
    outlier_shift,
    perturbed_spectrum,
    squared_error,
    worst_spectrum,
)
from companion.chapters.perturbed_deep_matrix_factorization.recursion import (
    descent,
    first_passage,
    follow,
    increase,
    settling,
    spectral,
)
from companion.models.linear import gradient, product
from companion.optim.orthogonalize import polar

SMALL = {
    "n": 40,
    "depths": [2, 3],
    "noise_list": [0.05, 0.1, 0.2, 0.3, 0.6],
    "draws": 6,
    "seconds": [0.9, 0.5, 0.2],
    "starts": [1e-2, 1e-3, 1e-4],
    "map_points": 31,
    "limit_steps": 9000,
    "matrix_n": 16,
    "matrix_runs": 2,
    "matrix_steps": 1200,
}

# tests/test_chapters.py runs these.
TINY = SMALL | {
    "n": 12, "depths": [2], "draws": 2, "map_points": 21, "limit_steps": 500, "matrix_n": 6, "matrix_runs": 1,
    "matrix_steps": 200,
}  # fmt: skip
EXTREMES = [
    TINY | {"n": 4, "matrix_n": 4, "spectrum": [0.2], "delta": 0.05, "depths": [2, 2], "noise_list": [5.0, 5.0, 5.0]},
    TINY | {"depths": [8], "start": 0.01, "starts": [0.01, 0.015], "eps": 0.5, "seconds": [0.99, 0.05]},
    TINY | {"step": 1.0, "eps": 0.01, "delta": 1e-3, "start": 1e-6, "starts": [1e-6, 5e-4], "seconds": [0.99, 0.99]},
    TINY | {"spectrum": [10.0, 0.5, 10.0], "step": 0.02, "noise_list": [0.01, 0.02, 0.03], "n": 6},
    TINY | {"delta": 0.2, "start": 0.1, "starts": [0.1, 0.05], "spectrum": [1.0, 1.0], "matrix_noise": 1.0},
]
REFUSED = [
    ({"depths": [1]}, "depths: got 1 in it, allowed: a list of 1 to 7, each an integer from 2 to 8"),
    ({"spectrum": [1.0, 0.5, 0.4], "n": 4}, "spectrum: got 3 eigenvalues, allowed: at most n - 2"),
    ({"delta": 0.005}, "delta: got 0.005, allowed: above all starts of the product (0.01)"),
    (
        {"spectrum": [0.2], "delta": 0.15},
        "delta: got 0.15, allowed: below (1 - eps) times half the least eigenvalue (0.09)",
    ),
    ({"depths": [8], "start": 1e-6}, "start: got 1e-06, allowed: larger with 8 factors"),
    ({"n": 1000, "draws": 200}, "draws: got 200, allowed: fewer at n = 1000 (memory)"),
]


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu", **SMALL)


@pytest.fixture(scope="module")
def results(params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run(params)


def passage(lam, level, depth, alpha, eta, most=10**5):
    """The recursion in plain Python."""
    d, k = alpha, 0
    while d**depth < level:
        d += eta * d ** (depth - 1) * (lam - d**depth)
        k += 1
        if k > most:
            return np.inf
    return k


# --- closed forms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 4, 7])
def test_flow_times_equal_quadrature(depth):
    for lam in (0.2, 3.0):
        for alpha in (0.05, 0.3):
            for share in (0.3, 0.9999):
                if alpha**depth >= share * lam:
                    continue
                wanted, _ = quad(
                    lambda x, lam=lam: 1 / (x ** (depth - 1) * (lam - x**depth)),
                    alpha, (share * lam) ** (1 / depth), limit=400, epsabs=0, epsrel=1e-11,
                )  # fmt: skip
                assert float(flow_time(lam, depth, alpha, share * lam)) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_top_growth_is_the_largest_growth_of_a_step(depth):
    x = np.linspace(0, 2.5 ** (1 / depth), 200_001)
    assert float(top_growth(2.5, depth)) == pytest.approx((x ** (depth - 2) * (2.5 - x**depth)).max(), rel=1e-8)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_step_limit_is_where_overshoot_begins_and_twice_it_where_stability_ends(depth):
    lam, alpha = 1.7, 0.1
    limit = float(step_limit(lam, depth))
    near = lam ** (1 / depth) * (1 - 1e-3)
    moved = near + limit * near ** (depth - 1) * (lam - near**depth)
    assert near < moved <= lam ** (1 / depth)
    _, run_at = follow(descent, np.array([lam]), depth=depth, alpha=alpha, eta=limit, steps=200)
    assert (np.diff(run_at[:, 0]) >= -1e-15).all()
    for factor, settles in ((1.9, True), (2.1, False)):
        _, run_at = follow(descent, np.array([lam]), depth=depth, alpha=alpha, eta=factor * limit, steps=2000)
        assert (abs(run_at[-1, 0] - lam) < 1e-9) == settles


@settings(max_examples=40)
@given(
    depth=st.integers(2, 5), lam=st.floats(0.3, 4), alpha=st.floats(0.1, 0.8), share=st.floats(0.02, 0.99),
    step=st.floats(0.05, 3),
)  # fmt: skip
def test_counts_lie_between_the_bounds_at_every_step(depth, lam, alpha, share, step):
    level = share * lam
    if alpha**depth >= level:
        assert float(k_upper(lam, depth, alpha, step, level)) == 0
        return
    eta = step * float(step_limit(lam, depth))
    k = passage(lam, level, depth, alpha, eta)
    assert float(k_lower(lam, depth, alpha, eta, level)) <= k <= float(k_upper(lam, depth, alpha, eta, level))


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_the_lower_bound_is_the_time_to_the_peak_of_the_speed(depth):
    lam, alpha, eta = 1.4, 0.1, 0.05
    x = np.linspace(0, lam ** (1 / depth), 400_001)
    peak = x[(x ** (depth - 1) * (lam - x**depth)).argmax()] ** depth
    wanted = float(flow_time(lam, depth, alpha, peak)) / eta
    assert float(k_lower(lam, depth, alpha, eta, 0.95 * lam)) == pytest.approx(wanted, rel=1e-4)


def test_bounds_say_never_and_at_once():
    assert np.isinf(k_upper(1.0, 3, 0.1, 0.1, 1.0))
    assert np.isinf(k_lower(1.0, 3, 0.1, 0.1, 1.0))
    assert np.isinf(k_lower(-0.5, 2, 0.1, 0.1, 0.2))
    assert float(k_lower(1.0, 2, 0.5, 0.1, 0.2)) == 0
    assert np.isinf(k_upper_over(-0.1, 0.3, 2, 0.1, 0.1, 0.9))


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_bound_over_an_interval_holds_at_every_point_and_is_tight(depth):
    low, high, alpha, eta, kept = 0.5, 1.4, 0.2, 0.1, 0.9
    lam = np.linspace(low, high, 400)
    pointwise = k_upper(lam, depth, alpha, eta, kept * lam)
    whole = k_upper_over(low, high, depth, alpha, eta, kept)
    assert pointwise.max() <= whole <= 1.02 * pointwise.max()
    assert k_upper_over(low, low, depth, alpha, eta, kept) == pytest.approx(float(pointwise[0]))


def test_the_last_eigenvalue_need_not_be_the_slowest():
    """The counterexample of the page: a start close to the second eigenvalue."""
    alpha, eta = 0.85**0.5, 0.5 * float(step_limit(3.0, 2))
    counts = [passage(lam, 0.9 * lam, 2, alpha, eta) for lam in (3.0, 1.0)]
    assert counts == [6, 3]
    assert float(k_upper(1.0, 2, alpha, eta, 0.9)) < counts[0] <= float(k_upper(3.0, 2, alpha, eta, 2.7))
    begin, _ = phase_bounds([3.0, 1.0], 2, 0.0, 2, alpha, eta, 0.1, 0.9)
    assert begin >= counts[0]


def test_the_bound_over_an_interval_sees_a_maximum_at_its_upper_end():
    alpha, eta = 0.85**0.5, 0.5 * float(step_limit(3.0, 2))
    top = float(k_upper(3.0, 2, alpha, eta, 2.7))
    assert float(k_upper(1.0, 2, alpha, eta, 0.9)) < top
    for pieces in (1, 8, 256):
        assert k_upper_over(1.0, 3.0, 2, alpha, eta, 0.9, pieces) >= top


def test_promises_depend_on_noise_through_both_eigenvalues():
    given_ = (3, 0.1, 0.05, 0.1, 0.02)
    begin, end = phase_bounds([1.5, 1.0, 0.1], 2, 0.05, *given_)
    assert begin >= float(k_upper(0.95, 3, 0.1, 0.05, 0.9 * 0.95))
    assert end == pytest.approx(float(k_lower(0.15, 3, 0.1, 0.05, 0.02)))
    assert np.isinf(phase_bounds([1.5, 1.0], 2, 1.0, *given_)[0])
    assert np.isinf(phase_bounds([1.5, 1.0], 2, 0.0, *given_)[1])


@pytest.mark.parametrize(("depth", "alpha"), [(2, 1e-120), (3, 1e-3), (4, 0.02)])
def test_ratios_of_counts_tend_to_their_limits(depth, alpha):
    eta = float(step_limit(1.0, depth))
    first, second = (passage(lam, 0.5 * lam, depth, alpha, eta) for lam in (1.0, 0.6))
    assert second / first == pytest.approx(float(limit_ratio(1.0, 0.6, depth, eta)), rel=0.01)


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("lam", [0.0, -0.3])
def test_decay_below_zero_obeys_its_bound_and_comes_near(depth, lam):
    d, alpha, eta, steps = 0.3, 0.3, 0.2, 4000
    for _ in range(steps):
        d += eta * d ** (depth - 1) * (lam - d**depth)
    bound = float(decay_bound(lam, depth, alpha, eta, steps))
    assert d <= bound * (1 + 1e-12)
    if depth > 2 or lam == 0:
        assert d > 0.9 * bound


def test_relative_time_is_the_time_for_one():
    assert float(relative_time(0.01, 0.5, 3)) == pytest.approx(float(flow_time(1.0, 3, 0.01 ** (1 / 3), 0.5)))


# --- the recursion and full matrices ------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_full_matrices_from_equal_starts_are_the_recursion_for_both_methods(depth):
    n, alpha, eta, steps = 6, 0.3137, 0.02, 12  # no eigenvalue comes near zero, where signs are arbitrary
    g = np.random.default_rng(depth).normal(size=(n, n))
    target = torch.tensor((g + g.T) / 4)
    values, V = np.linalg.eigh(target.numpy())
    for method, direction in ((descent, lambda x: x), (spectral, polar)):
        W = (alpha * torch.eye(n, dtype=torch.float64)).expand(1, depth, n, n)
        for _ in range(steps):
            W = W - eta * direction(gradient(W, product(W) - target))
        _, p = follow(method, values, depth=depth, alpha=alpha, eta=eta, steps=steps)
        assert np.allclose(product(W)[0].numpy(), (V * p[-1]) @ V.T, atol=1e-9)


def test_first_passages_equal_a_plain_loop():
    lam, level = np.array([0.4, 1.0, 2.0]), np.array([0.3, 0.95, 0.05])
    found = first_passage(descent, lam, level, depth=3, alpha=0.2, eta=0.1, most=5000)
    assert found.tolist() == [passage(x, y, 3, 0.2, 0.1) for x, y in zip(lam, level, strict=True)]
    assert np.isinf(first_passage(descent, np.array([0.4]), np.array([np.inf]), depth=2, alpha=0.2, eta=0.1, most=99))
    assert first_passage(descent, np.array([0.4]), np.array([0.03]), depth=2, alpha=0.2, eta=0.1, most=99) == 0


def test_settling_is_the_first_passage_without_overshoot_and_never_beyond_stability():
    eta = float(step_limit(1.0, 2))
    given_ = {"depth": 2, "alpha": 0.1, "steps": 3000}
    passed = first_passage(descent, np.array([1.0]), np.array([0.9]), depth=2, alpha=0.1, eta=0.7 * eta, most=999)
    assert settling(descent, np.array([1.0]), 0.1, eta=0.7 * eta, **given_) == passed
    assert np.isinf(settling(descent, np.array([1.0]), 0.1, eta=2.2 * eta, **given_))


def test_spectral_descent_moves_every_eigenvalue_by_the_step_and_fits_small_ones_first():
    _, p = follow(spectral, np.array([0.2, 1.0, -0.5]), depth=2, alpha=0.1, eta=0.01, steps=5)
    assert np.allclose(p[-1], [0.15**2, 0.15**2, 0.05**2])
    first = first_passage(spectral, np.array([0.2, 1.0]), np.array([0.18, 0.9]), depth=2, alpha=0.1, eta=0.01, most=999)
    assert first[0] < first[1]


def test_recorded_products_start_at_the_start_and_keep_every_so_many():
    at, p = follow(descent, np.array([0.5, 1.0]), depth=3, alpha=0.4, eta=0.1, steps=12, every=4)
    _, every = follow(descent, np.array([0.5, 1.0]), depth=3, alpha=0.4, eta=0.1, steps=12)
    assert at.tolist() == [0, 4, 8, 12]
    assert np.allclose(p, every[::4])
    assert np.allclose(p[0], 0.4**3)


def test_increase_sees_an_overshoot_and_nothing_else():
    lam = np.array([1.0, 0.3, 0.0, -0.4, 1e-4])
    limit = float(step_limit(1.0, 2))
    p, rise = increase(lam, depth=2, alpha=0.05, eta=limit, steps=3000)
    assert rise <= 1e-15
    assert np.allclose(p[[0, 1, 3]], [1.0, 0.3, 0.0], atol=1e-9)
    assert increase(lam, depth=2, alpha=0.05, eta=2.2 * limit, steps=300)[1] > 0.01
    # past zero the product of three factors approaches a negative eigenvalue, and leaves its limit
    assert increase(np.array([-0.5]), depth=3, alpha=0.9, eta=1.5, steps=2)[1] > 0.1


# --- noise --------------------------------------------------------------------------------------------------------


def test_gaussian_noise_is_symmetric_of_norm_one_and_of_the_right_shape():
    E = goe(120, 4, np.random.default_rng(0))
    assert torch.equal(E, E.mT)
    assert np.allclose(np.linalg.norm(E.numpy(), 2, axis=(1, 2)), 1)
    off = E[:, ~torch.eye(120, dtype=torch.bool)].std()
    assert float(torch.diagonal(E, dim1=1, dim2=2).std() / off) == pytest.approx(2**0.5, rel=0.1)
    assert float(off) * 2 * 120**0.5 == pytest.approx(1, rel=0.1)


def test_perturbed_spectra_are_those_of_the_matrices():
    E, target = goe(8, 2, np.random.default_rng(1)), np.array([2.0, 1.0])
    values, seen = perturbed_spectrum(target, E, np.array([0.1, 0.7]))
    W = np.diag([2.0, 1.0, 0, 0, 0, 0, 0, 0])
    lam, V = np.linalg.eigh(W + 0.7 * E[1].numpy())
    assert np.allclose(values[1, 1], lam[::-1])
    assert np.allclose(seen[1, 1], np.diag(V.T @ W @ V)[::-1])
    kept = np.maximum(values[1, 1], 0)
    limit = (V * np.maximum(lam, 0)) @ V.T
    assert squared_error(kept, seen[1, 1], target) == pytest.approx(((limit - W) ** 2).sum())


def test_the_worst_noise_has_its_norm_and_closes_the_gap_as_far_as_it_can():
    sizes = np.array([0.2, 0.5, 0.9])
    values = worst_spectrum(np.array([1.5, 1.0]), 6, sizes)
    clean = np.array([1.5, 1.0, 0, 0, 0, 0])
    assert np.allclose(np.abs(values - clean).max(-1), sizes)
    assert np.allclose(values[:, 1] - values[:, 2], np.maximum(1 - 2 * sizes, 0))


def test_outliers_and_denoising_are_as_predicted_for_large_matrices():
    n, r, e = 300, 2, 0.5
    target = np.array([2.0, 1.0])
    values, seen = perturbed_spectrum(target, goe(n, 6, np.random.default_rng(2)), np.array([e, 0.05]))
    shift = (values[0, :, :r] - target).mean(0)
    assert shift == pytest.approx(outlier_shift(target, e), rel=0.25)
    cut = np.where(np.arange(n) < r, values[1], 0)
    ratio = np.sqrt(
        squared_error(cut, seen[1], target) / squared_error(np.maximum(values[1], 0), seen[1], target)
    ).mean()
    assert ratio == pytest.approx(denoising(n, r), rel=0.05)
    assert denoising(10**6, 2) == pytest.approx(2 * (2e-6) ** 0.5, rel=1e-3)


def test_the_phase_keeps_the_largest_eigenvalues_not_the_largest_in_size():
    """Noise of norm above half the least eigenvalue: the best approximation of rank one is the negative part."""
    lam = np.array([0.4, 0.0, -0.7])  # diag(1, 0, 0) and noise of norm 0.7
    _, p = follow(descent, lam, depth=2, alpha=0.03, eta=0.3, steps=400)
    assert np.allclose(p[-1], [0.4, 0, 0], atol=1e-2)


def test_nuclear_rank_counts_equal_values():
    assert nuclear_rank(np.array([[2.0, 2.0, 0.0], [3.0, 0.0, 0.0]])).tolist() == [2, 1]


def test_levels_are_relative_up_to_the_rank_and_never_where_out_of_reach():
    found = levels(np.array([2.0, -0.1, 0.5, 0.01]), 2, 0.1, 0.02)
    assert found.tolist() == [1.8, np.inf, 0.02, np.inf]


def test_a_plateau_is_one_stretch_without_a_break_and_learned():
    at = np.arange(0, 70, 10)
    rank = np.array([3.0, 1.0, 1.05, 3.0, 1.0, 1.0, 0.95])[None, None, :, None]
    singular = np.ones((1, 1, 7, 1, 3))
    r = experiments.matrices.Gaussian(
        np.array([1e-3]), np.array([2]), at, singular, rank, rank, np.array([1.0]), 6, 0.1
    )  # fmt: skip
    assert r.plateau().tolist() == [[[2.0]]]
    late = singular * np.where(at < 50, 0.7, 1.0)[:, None, None]
    assert dataclasses.replace(r, singular=late).plateau().tolist() == [[[1.2]]]
    assert dataclasses.replace(r, rank=rank + 0.2).plateau().tolist() == [[[1.0]]]


def test_noise_is_borne_where_every_draw_has_a_phase_and_up_to_the_first_that_has_none():
    three = np.zeros((1, 4))
    r = experiments.noisy.Threshold(
        np.array([2]), np.array([0.1, 0.2, 0.3, 0.4]), np.array([[[2.0, 3.0], [1.5, 2.0], [0.9, 9.0], [2.0, 2.0]]]),
        np.array([[2.0, 1.0, 2.0, 2.0]]), three, three, np.zeros(1),
    )  # fmt: skip
    assert r.last("Gaussian").tolist() == [0.2]
    assert r.last("worst").tolist() == [0.1]
    assert dataclasses.replace(r, worst=0 * r.worst).last("worst").tolist() == [0]


# --- the whole ----------------------------------------------------------------------------------------------------


def test_error_on_the_phase_obeys_the_theorem(params, results):
    """|W(k) - W| <= 2 e + max(eps lam_1, delta) for the matrices themselves, at both ends of the phase."""
    n, r = params.n, len(params.target)
    E = goe(n, params.draws, params.rng(1))
    W = np.diag(np.append(params.target, np.zeros(n - r)))
    p = results.passages
    for row, depth in enumerate(p.depths):
        for k, e in enumerate(p.sizes[:3]):
            T0, T1 = p.T0[0, row, k, 0], p.T1[0, row, k, 0]
            lam, V = np.linalg.eigh(W + e * E[0].numpy())
            _, run_at = follow(
                descent, lam, depth=depth, alpha=params.alpha(depth), eta=params.eta(depth), steps=int(T1)
            )
            for at in (int(T0), int(T1) - 1):
                product_at = (V * run_at[at]) @ V.T
                allowed = 2 * e + max(params.eps * lam[-1], params.delta)
                assert np.linalg.norm(product_at - W, 2) <= allowed
            assert run_at[int(T0) - 1][-r] < (1 - params.eps) * lam[-r]


def test_phases_are_those_of_plain_loops(params, results):
    r = results.phases
    for row, depth in enumerate(r.depths):
        eta = params.step * float(step_limit(1.0, depth))
        alpha = r.starts[1] ** (1 / depth)
        assert r.T0[0, row, 1, 1] == passage(1.0, 1 - params.eps, depth, alpha, eta)
        assert r.T1[0, row, 1, 1] == passage(r.seconds[1], params.delta, depth, alpha, eta)


def test_maps_are_those_of_plain_loops(params, results):
    m = results.maps
    for row, depth in enumerate(m.depths):
        eta = params.step * float(step_limit(1.0, depth))
        for i in (0, 15, 25):
            alpha = m.starts[i] ** (1 / depth)
            begin = passage(1.0, 1 - params.eps, depth, alpha, eta)
            wanted = [begin < passage(second, params.delta, depth, alpha, eta) for second in m.seconds[::6]]
            assert m.by_start[0, row, i, ::6].tolist() == wanted
    assert not m.by_start[1].any()
    assert not m.by_step[0, m.steps > 2.2].any()


def test_deeper_products_have_relatively_longer_phases(results):
    p = results.passages
    relative = ((p.T1[0] - p.T0[0]) / p.T0[0])[:, :3, :-1].mean(-1)
    assert (np.diff(relative, axis=0) > 0).all()


def test_steps_suit_the_largest_eigenvalue_that_the_noise_can_make(params):
    for depth in params.depths:
        largest = params.target[0] + params.sizes[-1]
        assert params.eta(depth) == pytest.approx(0.5 * float(step_limit(largest, depth)))


def test_ratios_at_small_starts_are_near_their_predicted_limits(results):
    r = results.threshold
    below = r.fractions < 0.5
    worst = np.abs(r.worst / r.predicted_worst - 1)[:, below].max(1)
    gaussian = np.abs(np.median(r.gaussian, axis=-1) / r.predicted - 1)[:, below].max(1)
    assert (worst < [0.05, 0.15]).all()  # of the order of what the starts are still away from the limit
    assert (gaussian < [0.06, 0.12]).all()  # and of how draws of this size scatter


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {claim.id[:2] for claim in CLAIMS} == {"C0", "C1", "C2", "C3", "C4", "C5"}


def replaced(results, field, **changes):
    return dataclasses.replace(results, **{field: dataclasses.replace(getattr(results, field), **changes)})


@pytest.mark.parametrize(
    ("claims", "broken"),
    [
        (["C0"], lambda r: replaced(r, "counts", k=r.counts.k + 5)),
        (["C1a"], lambda r: replaced(r, "phases", T1=r.phases.T0)),
        (["C1b"], lambda r: replaced(r, "maps", by_start=r.maps.by_start | True)),
        (["C1c"], lambda r: replaced(r, "limits", ratio=r.limits.ratio * 0 + 1)),
        (["C2a"], lambda r: replaced(r, "limit", decay=r.limit.decay * 2)),
        (["C2b"], lambda r: replaced(r, "limit", error=r.limit.error * 0)),
        (["C2c"], lambda r: replaced(r, "passages", learned=r.passages.clean[:, None, None] + 0 * r.passages.learned)),
        (["C3a"], lambda r: replaced(r, "limit", final=r.limit.target + 0 * r.limit.final)),
        (["C3b"], lambda r: replaced(r, "recovery", mean=-r.recovery.mean)),
        (["C4a"], lambda r: replaced(r, "passages", T1=r.passages.T1[::-1])),
        (["C4b"], lambda r: replaced(r, "passages", T1=r.passages.T1 * 0 + 500)),
        (["C4c"], lambda r: replaced(r, "threshold", worst=r.threshold.gaussian.min(-1))),
        (["C4d"], lambda r: replaced(r, "threshold", gaussian=r.threshold.worst[..., None])),
        (["C4e"], lambda r: replaced(r, "paths", error=0 * r.paths.error + r.paths.final)),
        (["C5a"], lambda r: replaced(r, "reduction", error=r.reduction.error[::-1])),
        (["C5b"], lambda r: replaced(r, "gaussian", rank=r.gaussian.rank * 1.3)),
    ],
)
def test_broken_runs_make_the_verdict_unsound(params, results, claims, broken):
    verdicts = verify(params, broken(results))
    for claim in claims:
        assert verdicts[claim].holds is False


def test_recovery_is_undecided_where_the_start_itself_exceeds_the_noise(params, results):
    broken = replaced(results, "limit", products=results.limit.products + 0.06)
    assert verify(params, broken)["C3a"].holds is None


def test_same_seed_gives_the_same_noise_and_runs(params, results):
    again = experiments.spectra.compute(params)
    assert np.array_equal(again.values, results.spectra.values)
    assert np.array_equal(experiments.gaussian.compute(params).rank, results.gaussian.rank)
