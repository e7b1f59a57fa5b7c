import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from companion.analysis.finite_sum import FiniteSumQuadratic, step_grid, tune_step
from companion.chapters import incremental_gradient_small_epochs as chapter
from companion.chapters.incremental_gradient_small_epochs.experiments import (
    IDENTICAL_CONSTANT,
    MANY_EPOCHS_CONSTANT,
    polygon_radius,
)
from companion.chapters.incremental_gradient_small_epochs.instances import (
    concave_half,
    identical_hessians,
    log_level_concave,
    many_epochs_concave,
    many_epochs_convex,
    polygon,
)
from companion.chapters.incremental_gradient_small_epochs.large_epochs import random_problem
from companion.chapters.incremental_gradient_small_epochs.practice import _softmax_passes, heterogeneous_problem

MAKERS = [identical_hessians, polygon, concave_half, many_epochs_convex, many_epochs_concave]


@pytest.fixture(scope="module")
def params():
    """The quick profile with less of what only sharpens its statistics."""
    fewer = {"step_points": 80, "problems": 24, "images": 60, "image_epochs": 2, "rr_seeds": 4}
    return chapter.Parameters.resolve(device="cpu", epochs=[4, 8, 16, 32, 64, 128, 256], sizes=[32, 128, 512], **fewer)


@pytest.fixture(scope="module")
def results(params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return chapter.run(params)


def one_step(instance, eta, igd=True):
    problem, K = instance.problem, instance.epochs
    if igd:
        return problem.final_gap(instance.x0, K, np.array([eta]), np.arange(problem.n))[0]
    return problem.with_replacement_gap(instance.x0, problem.n * K, np.array([eta]))[0]


# --- instances ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("arguments", [(16, 8.0, 4), (64, 32.0, 16), (64, 32.0, 100)])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.3, 7.0)])
def test_instances_satisfy_the_assumptions_they_are_made_for(make, arguments, scales):
    mu, G = scales
    instance = make(*arguments, mu=mu, G=G)
    problem, L = instance.problem, arguments[1] * mu
    assert np.abs(problem.b.sum(0)).max() < 1e-9 * G
    assert np.linalg.norm(problem.b, axis=1).max() <= G * (1 + 1e-12)
    assert np.linalg.eigvalsh(problem.mean_hessian).min() >= mu * (1 - 1e-9)
    assert np.abs(np.linalg.eigvalsh(problem.H)).max() <= L * (1 + 1e-12)
    assert problem.gap(instance.common_start(G)) == pytest.approx(G**2 / (2 * mu))


@pytest.mark.parametrize(("make", "P"), [(identical_hessians, 0), (polygon, 1), (concave_half, 3)])
def test_noise_is_bounded_by_g_plus_p_times_the_gradient(make, P):
    instance = make(32, 16.0, 4)
    problem = instance.problem
    for x in np.random.default_rng(0).normal(size=(50, problem.d)) * 3:
        full = problem.mean_hessian @ x
        parts = np.linalg.norm(problem.H @ x - problem.b - full, axis=1)
        assert parts.max() <= 1 + P * np.linalg.norm(full) + 1e-9


def test_only_the_concave_instances_have_concave_components():
    for make in MAKERS:
        smallest = np.linalg.eigvalsh(make(32, 16.0, 4).problem.H).min()
        assert (smallest < 0) == (make in (concave_half, many_epochs_concave))
    assert np.linalg.eigvalsh(concave_half(32, 16.0, 4, convex=True).problem.H).min() >= 0


# Final gaps at the untuned step 1 / (mu n K) for n = kappa = 256, from an independent prototype in numpy.
REFERENCE = [
    (identical_hessians, 4, 2.415567e-02, 1.714492e-02),
    (identical_hessians, 16, 6.109781e-03, 4.289350e-03),
    (identical_hessians, 64, 1.527639e-03, 1.072531e-03),
    (polygon, 4, 2.326922e01, 1.730628e01),
    (polygon, 16, 1.736645e01, 1.731875e01),
    (polygon, 64, 6.822268e-02, 6.767889e-02),
    (concave_half, 4, 9.364083e09, 3.286718e09),
    (concave_half, 16, 1.919266e00, 6.970283e-01),
    (concave_half, 64, 3.301797e-03, 1.953449e-03),
]


@pytest.mark.parametrize(("make", "K", "igd", "sgd"), REFERENCE)
def test_gaps_match_reference_values(make, K, igd, sgd):
    instance = make(256, 256.0, K)
    assert one_step(instance, 1 / (256 * K)) == pytest.approx(igd, rel=1e-6)
    assert one_step(instance, 1 / (256 * K), igd=False) == pytest.approx(sgd, rel=1e-6)


@pytest.mark.parametrize(("K", "gap"), [(256, 3.819218e-04), (1024, 2.413735e-05)])
def test_many_epochs_gap_with_curvature_l_matches_reference_values(K, gap):
    instance = many_epochs_convex(256, 256.0, K, curvature=1.0)
    assert one_step(instance, 1 / (256 * K)) == pytest.approx(gap, rel=1e-6)


# --- closed forms -------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(half=st.integers(4, 40), K=st.integers(1, 8), c=st.floats(0.05, 20))
def test_identical_hessians_follow_the_formula_of_the_proof(half, K, c):
    n, kappa = 2 * half, 32.0
    instance = identical_hessians(n, kappa, K)
    eta, lam = c / (n * K), min(K, kappa / 2)
    rho = (1 - eta * lam) ** half
    y = (1 - rho) / (1 + rho) / lam * (1 - rho ** (2 * K))
    level = instance.level
    expected = lam * y**2 / 2 + level / 2 * ((1 - eta) ** (2 * n * K) + (1 - eta * kappa) ** (2 * n * K))
    assert one_step(instance, eta) == pytest.approx(expected, rel=1e-9)
    point = instance.problem.periodic_point(np.array([eta]), np.arange(n))[0]
    assert point[1] == pytest.approx((1 - rho) / (1 + rho) / lam, rel=1e-9)


def test_sgd_on_identical_hessians_follows_the_exact_formula():
    n, kappa, K, eta = 64, 32.0, 8, 0.004
    lam = 8.0
    level = identical_hessians(n, kappa, K).level
    noise = eta / (2 * (2 - eta * lam)) * (1 - (1 - eta * lam) ** (2 * n * K))
    expected = level / 2 * ((1 - eta) ** (2 * n * K) + (1 - eta * kappa) ** (2 * n * K)) + noise
    assert one_step(identical_hessians(n, kappa, K), eta, igd=False) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(3, 60), kappa=st.floats(2, 500), share=st.floats(0.01, 0.97))
def test_polygon_radius_is_that_of_the_periodic_orbit(n, kappa, share):
    eta = share * 2 / kappa
    problem = polygon(n, kappa, 4).problem
    point = problem.periodic_point(np.array([eta]), np.arange(n))[0]
    radii = np.linalg.norm(problem.orbit(point, eta, np.arange(n))[:, :2], axis=1)
    assert np.allclose(radii, polygon_radius(eta, n, 1.0, kappa, 1.0), rtol=1e-7)


def test_leading_order_radius_of_the_polygon():
    n, kappa, K, c = 4096, 256.0, 16, 2.0
    exact = polygon_radius(c / (n * K), n, 1.0, kappa, 1.0)
    assert exact == pytest.approx(
        1 / (1 + 4 * np.pi**2 * K**2 / (c**2 * kappa)), rel=0.03
    )  # corrections of order K / n


@settings(max_examples=20, deadline=None)
@given(quarter=st.integers(2, 20), c=st.floats(0.05, 6))
def test_concave_half_follows_the_formula_of_the_proof(quarter, c):
    n, kappa, K = 4 * quarter, 32.0, 8
    instance = concave_half(n, kappa, K)
    eta = c / (n * K)
    t = eta * kappa
    r1, r2 = (1 - t) ** (n // 2), (1 + t / 2) ** (n // 2)
    y = (2 - r2 * (1 + r1)) / kappa * sum((r1 * r2) ** j for j in range(K))
    expected = kappa / 8 * y**2 + instance.level / 2 * (1 - eta) ** (2 * n * K)
    assert one_step(instance, eta) == pytest.approx(expected, rel=1e-8)


def test_drift_of_the_many_epochs_instance_to_second_order():
    n, kappa, eta = 4096, 64.0, 1e-8
    problem = many_epochs_concave(n, kappa, 64, shares=(1, 0, 0)).problem
    after = problem.orbit(np.zeros(4), eta, np.arange(n))[-1]
    assert after[1] == pytest.approx(-(eta**2) * (kappa + 1) * n**2 / 8, rel=2e-3)
    halves = many_epochs_concave(n, kappa, 64, shares=(1, 0, 0), halves=True).problem
    assert abs(halves.orbit(np.zeros(4), eta, np.arange(n))[-1][1]) < 0.05 * abs(after[1])


@pytest.mark.parametrize(
    ("function", "value", "digits"),
    [
        (lambda c: (np.tanh(c / 4) ** 2 + np.exp(-2 * c)) / 2, IDENTICAL_CONSTANT, 8),
        (lambda c: c**2 / 64 + np.exp(-2 * c) / 2, MANY_EPOCHS_CONSTANT, 8),
        (lambda c: c**2 / 32 + np.exp(-2 * c) / 2, 0.0898, 4),
        (lambda c: c**2 / 128 * (1 - np.exp(-c)) ** 2 + np.exp(-2 * c) / 2, 0.0313, 4),
        (lambda c: 0.9 * c**2 / 128 * (1 - np.exp(-c)) ** 2 + np.exp(-2 * c) / 2, 0.0295, 4),
    ],
)
def test_printed_constants_are_the_minima_they_claim_to_be(function, value, digits):
    found = minimize_scalar(function, bounds=(0.1, 6), method="bounded", options={"xatol": 1e-10}).fun
    assert round(value, digits) == round(found, digits)


# --- theorems, for every step -------------------------------------------------------------------------------------


def best_gap(instance):
    n = instance.problem.n
    etas = step_grid(1e-3 / (n * instance.epochs), instance.L, 600)
    return tune_step(lambda e: instance.problem.final_gap(instance.x0, instance.epochs, e, np.arange(n)), etas).gap


@pytest.mark.parametrize("n", [2, 4, 6, 64])
@pytest.mark.parametrize(("kappa", "K"), [(2.0, 1), (16.0, 1), (16.0, 8), (256.0, 11)])
def test_identical_hessian_bound_holds_at_every_step(n, kappa, K):
    assert best_gap(identical_hessians(n, kappa, K)) >= 1 / (84 * K)


@pytest.mark.parametrize("n", [3, 4, 7, 64])
@pytest.mark.parametrize(("kappa", "K"), [(2.0, 1), (16.0, 2), (16.0, 40), (256.0, 16)])
def test_strongly_convex_bound_holds_at_every_step(n, kappa, K):
    instance = polygon(n, kappa, K)
    assert best_gap(instance) >= instance.level / 7600


@pytest.mark.parametrize("n", [8, 12, 64])
@pytest.mark.parametrize(("kappa", "K"), [(4.0, 1), (4.0, 2), (32.0, 3), (32.0, 16)])
def test_concave_bound_holds_at_every_step(n, kappa, K):
    instance = concave_half(n, kappa, K)
    assert best_gap(instance) >= instance.level / 250


@pytest.mark.parametrize("n", [2, 4, 64])
@pytest.mark.parametrize(("kappa", "K"), [(2.0, 2), (16.0, 16), (16.0, 400)])
def test_many_epochs_bound_holds_at_every_step(n, kappa, K):
    instance = many_epochs_convex(n, kappa, K)
    assert best_gap(instance) >= instance.level / 165


def test_many_epochs_bound_fails_just_below_two_over_l_if_the_curvature_is_l():
    instance = many_epochs_convex(64, 16.0, 64, curvature=1.0)
    assert best_gap(instance) < 1e-2 * instance.level


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), K=st.integers(1, 20), h=st.floats(1, 50), share=st.floats(0.01, 1))
def test_one_dimensional_upper_bound_holds_for_any_orders(seed, K, h, share):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 20))
    b = rng.normal(size=(n, 1))
    b -= b.mean(0)
    G = np.abs(b).max()
    problem = FiniteSumQuadratic(np.full((n, 1, 1), h), b)
    visited = [rng.permutation(n)[None] for _ in range(K)]
    M = max(np.abs(np.cumsum(b[order[0]], axis=0)).max() for order in visited)
    assert n * G / 2 + 1e-9 >= M
    eta, x0 = share / h, rng.normal(size=1) * 3
    gap = problem.shuffled_gap(x0, np.array([eta]), visited)[0, 0]
    assert gap <= 2 * np.exp(-2 * eta * n * K) * problem.gap(x0) + eta * M * G + 1e-12


# --- the rest of the experiments ----------------------------------------------------------------------------------


def test_random_problems_are_what_they_say():
    rng = np.random.default_rng(0)
    for concave in (False, True):
        problem = random_problem(rng, 32, 4, 1.0, 16.0, 2.0, concave)
        eigenvalues = np.linalg.eigvalsh(problem.H)
        assert np.linalg.eigvalsh(problem.mean_hessian).min() >= 1 - 1e-9
        assert np.abs(eigenvalues).max() <= 16 + 1e-9
        assert (eigenvalues.min() < 0) == concave
        assert np.linalg.norm(problem.b, axis=1).max() == pytest.approx(2)
        assert np.abs(problem.minimizer).max() < 1e-12
    problem = heterogeneous_problem(rng, 64, 5, 1.0, 32.0, 1.0)
    assert np.linalg.eigvalsh(problem.H).min() > 0
    assert np.linalg.eigvalsh(problem.H).max() <= 32
    assert np.linalg.eigvalsh(problem.mean_hessian)[[0, -1]] == pytest.approx([1, 16])


def test_softmax_passes_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(7, 3)), np.array([0, 1, 2, 0, 1, 2, 2])
    visited = np.stack([[rng.permutation(7) for _ in range(2)] for _ in range(2)])
    etas = np.array([0.05, 0.5])
    after = _softmax_passes(X, y, visited, etas, "cpu")
    for run in range(2):
        for e, eta in enumerate(etas):
            W = np.zeros((3, 3))
            for i in visited[run].ravel():
                p = np.exp(W @ X[i])
                W = W - eta * (np.outer(p / p.sum() - np.eye(3)[y[i]], X[i]) + 0.005 * W)
            scores = X @ W.T
            loss = np.mean(np.log(np.exp(scores).sum(1)) - scores[np.arange(7), y]) + 0.0025 * (W**2).sum()
            assert after[run, e, -1] == pytest.approx(loss, rel=1e-10)


def test_level_of_the_concave_instance_in_logarithms():
    instance = concave_half(64, 32.0, 4)
    assert np.log(instance.level * 32) == pytest.approx(log_level_concave(64, 32.0, 4))
    assert np.isinf(concave_half(2048, 4096.0, 1).level)


def test_scaling_mu_and_g_scales_the_gaps(params):
    scaled = params.model_copy(update={"mu": 3.0, "G": 0.2})
    one, other = chapter.sizes(params), chapter.sizes(scaled)
    assert np.allclose(other.igd, one.igd * 0.2**2 / 3, rtol=1e-6)
    assert np.allclose(other.sgd, one.sgd * 0.2**2 / 3, rtol=1e-6)


def test_iterates_of_the_last_epoch_have_reached_the_polygon(results):
    assert results.polygon.error(results.polygon.last) < 1e-5


def test_closed_form_within_the_epoch_is_the_orbit(results):
    assert np.allclose(results.within_epoch.igd, results.within_epoch.predicted, rtol=1e-7, atol=1e-9)


def test_all_tuned_steps_are_interior(results):
    assert results.bounds_map.interior.all()


def test_verdicts_are_sound(params, results):
    verdicts = chapter.verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {claim.id[:3].rstrip("abcd") for claim in chapter.CLAIMS} == {"C1", "C2", "C3", "C4", "C5"}


@pytest.mark.parametrize(
    ("claims", "broken"),
    [
        # IGD replaced by the alternating order: every lower bound for the blocked order breaks.
        (
            ["C1a", "C1b", "C2a"],
            lambda r: {"bounds_map": dataclasses.replace(r.bounds_map, igd=r.bounds_map.alternating)},
        ),
        (["C1c"], lambda r: {"sizes": dataclasses.replace(r.sizes, igd=r.sizes.alternating)}),
        (["C1d"], lambda r: {"polygon": dataclasses.replace(r.polygon, orbit=r.polygon.orbit + 1e-6)}),
        (["C2b"], lambda r: {"bounds_map": dataclasses.replace(r.bounds_map, rr_mean=r.bounds_map.igd)}),
        (["C3"], lambda r: {"bounds_map": dataclasses.replace(r.bounds_map, igd=r.bounds_map.igd[::-1])}),
        (["C4a"], lambda r: {"many_epochs": dataclasses.replace(r.many_epochs, convex=r.many_epochs.convex / 2)}),
        (["C4b"], lambda r: {"many_epochs": dataclasses.replace(r.many_epochs, concave=r.many_epochs.concave / 2)}),
        (["C4c"], lambda r: {"many_epochs": dataclasses.replace(r.many_epochs, ratio=r.many_epochs.ratio**1.5)}),
        (["C4d"], lambda r: {"upper_bounds": dataclasses.replace(r.upper_bounds, hard_convex=1.5)}),
        (["C5a"], lambda r: {"herding": dataclasses.replace(r.herding, identical=r.herding.identical_blocked)}),
        (["C5b"], lambda r: {"herding": dataclasses.replace(r.herding, ratios=r.herding.ratios[:, ::-1])}),
    ],
)  # fmt: skip
def test_broken_runs_make_the_verdict_unsound(params, results, claims, broken):
    verdicts = chapter.verify(params, dataclasses.replace(results, **broken(results)))
    for claim in claims:
        assert verdicts[claim].holds is False


SMALL = {
    "step_points": 20,
    "problems": 2,
    "images": 50,
    "image_epochs": 1,
    "rr_seeds": 1,
    "sizes": [8, 12],
    "large_kappas": [8.0, 8.5],
    "large_n": 8,
}


@pytest.mark.parametrize(
    "extreme",
    [
        {"n": 8, "kappa": 8.0, "epochs": [1]},
        {"n": 8, "kappa": 65536.0, "epochs": [1, 65536], "rr_epochs": 1},
        {"n": 8, "kappa": 8.0, "epochs": [65536], "large_kappas": [8.0, 8.0], "sizes": [8, 8]},
        {"n": 2048, "kappa": 4096.0, "epochs": [1, 8], "rr_epochs": 1},
        {"n": 256, "kappa": 256.0, "epochs": [4, 8, 16], "order": "alternating", "rr_epochs": 16},
        {"mu": 1e-3, "G": 1e3, "n": 32, "kappa": 32.0, "epochs": [1, 4, 8, 16], "order": "random"},
    ],
)
def test_extreme_parameters_run_to_the_end_without_warnings(extreme):
    params = chapter.Parameters.resolve(device="cpu", **(SMALL | extreme))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = chapter.run(params)
        verdicts = chapter.verify(params, results)
        chapter.figure_glance(results.bounds_map)
        chapter.figure_common_start(results.common_start)
        chapter.figure_many_epochs(results.many_epochs)
        chapter.figure_sizes(results.sizes)
        chapter.figure_within_epoch(results.within_epoch)
        chapter.figure_digits(results.digits)
    assert len(verdicts.verdicts) == len(chapter.CLAIMS)
