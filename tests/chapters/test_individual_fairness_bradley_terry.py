import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.integrate import quad
from scipy.linalg import subspace_angles
from scipy.optimize import minimize, minimize_scalar

from companion.chapters.individual_fairness_bradley_terry import (
    Parameters,
    claims,
    experiments,
    fairness,
    learning,
    run,
    triplets,
    verify,
)
from companion.chapters.individual_fairness_bradley_terry.experiments import metric
from companion.chapters.individual_fairness_bradley_terry.triplets import Triplets

SMALL = {
    "n_triplets": 4000,
    "dims": [6, 12, 24],
    "seeds": 6,
    "rate_seeds": 12,
    "pairs": 3000,
    "diabetes_replicas": 4,
    "tuning_replicas": 2,
}

# tests/test_chapters.py runs these.
TINY = {
    "d": 4,
    "rank": 1,
    "dims": [3, 6],
    "n_triplets": 300,
    "sizes": [200, 400],
    "seeds": 2,
    "rate_seeds": 2,
    "gd_steps": 15,
    "path_steps": 50,
    "pairs": 100,
    "n_train": 50,
    "diabetes_replicas": 2,
    "diabetes_triplets": 1000,
    "tuning_replicas": 2,
    "tuning_triplets": 3000,
}
EXTREMES = [
    TINY | {"d": 2, "dims": [2, 3], "sizes": [100, 200], "n_triplets": 150},
    TINY | {"d": 2, "dims": [2, 3], "sizes": [100, 200], "n_triplets": 150, "label_flip": 0.45, "init": "spectral"},
    TINY | {"d": 4, "dims": [199, 200], "n_triplets": 10_000, "gd_steps": 2},
    TINY | {"scale": 4.0, "cond": 10.0, "step_c": 2.0, "init": "random", "lipschitz": 100.0},
    TINY | {"scale": 0.05, "cond": 1.0, "init": "small_random", "protected_strength": 0.0, "lipschitz": 0.01},
    TINY
    | {"rank": 3, "dims": [5, 6], "n_triplets": 900, "sizes": [600, 900], "noise_scales": [4.0], "init": "spectral"}
    | {"flips": [0.45], "spurious": 0.5},
]
REFUSED = [
    ({"rank": 10, "dims": [11, 20], "n_triplets": 20_000}, "rank: got 10, allowed: below d = 10"),
    ({"n_triplets": 2000}, "n_triplets: got 2000, allowed: at least 50 d r = 4800 (d = 48)"),
    ({"sizes": [500, 1000]}, "sizes: got 500 in it, allowed: at least 50 d r = 1000"),
    ({"sizes": [2000, 1000]}, "sizes: got [2000, 1000], allowed: increasing numbers"),
    ({"dims": [2, 4]}, "dims: got 2 in it, allowed: above rank = 2"),
    ({"seeds": 30}, "rate_seeds: got 24, allowed: at least seeds = 30"),
    ({"scale": 0.01}, "scale: got 0.01, allowed: a number from 0.05 to 4"),
    ({"init": "zero"}, "init: got 'zero', allowed: spectral, spectral_rescaled, random, small_random"),
    ({"n_triplets": 1_000_000, "seeds": 100, "rate_seeds": 100, "path_steps": 5000}, "which takes one core some"),
]


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu", **SMALL)


@pytest.fixture(scope="module")
def results(params):
    return run(params)


def sample(seed=0, batch=3, d=6, rank=2, m=800, scale=0.25):
    source = triplets.generator("cpu", seed, 99)
    truth = triplets.ground_truth(batch, d, rank, scale, 2.0, source)
    return truth, triplets.gaussian_triplets(truth, m, 0.0, source), source


# --- the model --------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    x=hnp.arrays(float, (3, 5), elements=st.floats(-20, 20)),
    factor=hnp.arrays(float, (5, 3), elements=st.floats(-3, 3)),
)
def test_difference_of_squared_distances_is_bilinear(x, factor):
    i, j, k = (torch.from_numpy(row[None]) for row in x)
    U = torch.from_numpy(factor)
    direct = triplets.squared_distance(U, i, k) - triplets.squared_distance(U, i, j)
    size = 1 + triplets.squared_distance(U, i, k) + triplets.squared_distance(U, i, j)
    assert (triplets.logits(U, *triplets.triplet_design(i, j, k)) - direct).abs() <= 1e-12 * size * 100


def test_answers_follow_the_law_and_turn_with_the_given_chance():
    source = triplets.generator("cpu", 1)
    z = torch.linspace(-2, 2, 5, dtype=torch.float64).expand(100_000, 5)
    for flip in (0.0, 0.3):
        expected = (1 - flip) * torch.sigmoid(z[0]) + flip * torch.sigmoid(-z[0])
        assert torch.allclose(triplets.answers(z, flip, source).mean(0), expected, atol=0.01)


def test_rows_of_a_triplet_differ_and_are_uniform():
    rows = triplets.distinct_rows(2, 60_000, 4, triplets.generator("cpu", 2)).numpy().reshape(-1, 3)
    assert (rows[:, 0] != rows[:, 1]).all()
    assert (rows[:, 0] != rows[:, 2]).all()
    assert (rows[:, 1] != rows[:, 2]).all()
    counts = np.unique(rows @ [16, 4, 1], return_counts=True)[1]
    assert len(counts) == 24
    assert np.abs(counts / len(rows) - 1 / 24).max() < 5 * np.sqrt(1 / 24 / len(rows))


def test_truth_has_the_eigenvalues_that_were_asked_for():
    truth = triplets.ground_truth(2, 7, 3, 0.5, 4.0, triplets.generator("cpu", 3))
    assert torch.allclose(torch.linalg.svdvals(truth) ** 2, torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64))


# --- the moment matrix ------------------------------------------------------------------------------------------------


def direct_shrinkage(lam):
    """Rank 1 straight from the definition: E[tanh(lam g h / 2) g h], two nested integrals."""

    def density(x, variance):
        return np.exp(-x * x / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    def inner(g):
        edge = min(6 / (lam * g), 15.0) if g > 0 else 15.0
        return quad(
            lambda h: np.tanh(lam * g * h / 2) * g * h * density(h, 6), 0, 15, points=[edge] if edge < 15 else None
        )[0]

    return 4 * quad(lambda g: inner(g) * density(g, 2), 0, 9)[0]


@pytest.mark.parametrize(
    ("lam", "value"),
    [(0.01, 0.05995), (0.05, 0.29369), (0.1, 0.55686), (0.25, 1.11479), (0.5, 1.57309), (1.0, 1.90731), (2.0, 2.08661)],
)
def test_shrinkage_at_rank_one_matches_the_double_integral(lam, value):
    assert triplets.shrinkage(np.array([lam]))[0] == pytest.approx(value, abs=1.5e-5)
    assert direct_shrinkage(lam) == pytest.approx(value, abs=1.5e-5)


@pytest.mark.parametrize("lam", [(0.5, 0.25), (1.0, 0.5), (2.0, 0.1), (1.0, 0.6, 0.2)])
def test_shrinkage_at_higher_rank_matches_simulation(lam):
    rng = np.random.default_rng(0)
    g, h = rng.normal(size=(2, 1_000_000, len(lam))) * np.sqrt([2.0, 6.0])[:, None, None]
    values = np.tanh((g * h) @ np.array(lam) / 2)[:, None] * g * h
    error = values.std(0) / np.sqrt(len(g))
    assert (np.abs(triplets.shrinkage(np.array(lam)) - values.mean(0)) < 5 * error).all()


@settings(max_examples=50)
@given(lam=st.lists(st.just(0.0) | st.floats(1e-6, 40), min_size=1, max_size=6))
def test_shrinkage_keeps_zeros_and_order_and_stays_below_its_bounds(lam):
    lam = np.sort(lam)[::-1]
    s = triplets.shrinkage(lam)
    assert (s <= 6 * lam * (1 + 1e-9)).all()
    assert (s <= 2 * np.sqrt(12) / np.pi + 1e-9).all()
    assert ((s > 0) == (lam > 0)).all()
    assert (np.diff(s) <= 1e-12).all()


def test_moment_matrix_equals_its_sum_and_its_mean_is_the_prediction():
    truth, data, _ = sample(m=300)
    brute = sum(
        (2 * data.y[1, t] - 1) * (torch.outer(data.u[1, t], data.v[1, t]) + torch.outer(data.v[1, t], data.u[1, t])) / 2
        for t in range(300)
    )
    assert torch.allclose(learning.moment_matrix(data)[1], brute / 300)
    truth, data, _ = sample(batch=1, m=400_000)
    frame = torch.linalg.qr(truth[0], mode="complete").Q
    rotated = frame.mT @ learning.moment_matrix(data)[0] @ frame
    expected = np.zeros((6, 6))
    expected[[0, 1], [0, 1]] = triplets.shrinkage(np.array([0.5, 0.25]))
    assert np.abs(rotated.numpy() - expected).max() < 5 * np.sqrt(12 / 400_000)


# --- the algorithm ----------------------------------------------------------------------------------------------------


def test_gradient_of_several_starts_matches_automatic_differentiation():
    _, data, source = sample()
    starts = torch.randn(4, 3, 6, 2, generator=source, dtype=torch.float64)
    found = learning.gradient(starts, data)
    for start, slope in zip(starts, found, strict=True):
        leaf = start.clone().requires_grad_()
        learning.loss(leaf, data).sum().backward()
        assert torch.allclose(slope, leaf.grad, atol=1e-12)


def test_rescaling_minimizes_the_loss_over_multiples():
    _, data, _ = sample(scale=1.0)
    raw = learning.spectral_init(data, 2, rescale=False)
    best = learning.rescaled(raw, data)
    for b in range(3):
        part = Triplets(data.u[b : b + 1], data.v[b : b + 1], data.y[b : b + 1])
        found = minimize_scalar(
            lambda a, b=b, part=part: float(learning.loss(a**0.5 * raw[b], part)), bounds=(1e-6, 100)
        )
        assert torch.linalg.matrix_norm(best[b]) / torch.linalg.matrix_norm(raw[b]) == pytest.approx(
            found.x**0.5, rel=1e-3
        )


def test_procrustes_distance_forgets_rotations_and_is_a_minimum():
    source = triplets.generator("cpu", 4)
    U, V = torch.randn(2, 6, 2, generator=source, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(2, 2, generator=source, dtype=torch.float64)).Q
    assert learning.procrustes_distance(U @ turn, U) < 1e-12
    angles = np.linspace(0, 2 * np.pi, 4001)
    every = [np.array([[np.cos(a), -s * np.sin(a)], [np.sin(a), s * np.cos(a)]]) for a in angles for s in (1, -1)]
    brute = min(np.linalg.norm(U.numpy() @ R - V.numpy()) for R in every)
    assert learning.procrustes_distance(U, V) == pytest.approx(brute, rel=1e-5)


def test_descent_with_a_full_factor_finds_the_convex_optimum():
    import cvxpy as cp

    _, data, _ = sample(batch=1, d=3, rank=1, m=400, scale=0.5)
    found = learning.learn(data, 3, 3000)[0]
    u, v, y = (t[0].numpy() for t in (data.u, data.v, data.y))
    M = cp.Variable((3, 3), PSD=True)
    z = cp.sum(cp.multiply(u @ M, v), axis=1)
    cp.Problem(cp.Minimize(cp.sum(cp.logistic(z) - cp.multiply(y, z)))).solve(solver=cp.CLARABEL)
    assert np.abs((found @ found.mT).numpy() - M.value).max() < 2e-3


def test_descent_of_low_rank_ends_where_quasi_newton_ends():
    truth, data, _ = sample(batch=1, m=1500)
    found = learning.learn(data, 2, 800)

    def objective(flat):
        leaf = torch.from_numpy(flat.reshape(1, 6, 2)).requires_grad_()
        value = learning.loss(leaf, data).sum()
        value.backward()
        return float(value.detach()), leaf.grad.numpy().ravel()

    best = minimize(objective, truth.numpy().ravel(), jac=True, method="BFGS", options={"gtol": 1e-9})
    assert learning.procrustes_distance(found, torch.from_numpy(best.x.reshape(1, 6, 2))) < 1e-5


def test_whole_matrix_regression_matches_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    _, data, _ = sample(batch=1, d=4, m=2000)
    upper = np.triu_indices(4)
    products = (data.u[0][:, :, None] * data.v[0][:, None]).numpy()
    features = (products + products.transpose(0, 2, 1))[:, *upper] / np.where(upper[0] == upper[1], 2, 1)
    fit = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-10, max_iter=1000).fit(features, data.y[0].numpy())
    assert np.abs(learning.convex_logistic(data, 400)[0].numpy()[upper] - fit.coef_[0]).max() < 1e-3


def test_a_diverging_run_stays_finite():
    _, data, _ = sample()
    run = learning.factored_gd(learning.spectral_init(data, 2)[None], data, 300, c=2.0)
    assert torch.isfinite(run.last).all()
    assert torch.isfinite(learning.procrustes_distance(run.last, learning.spectral_init(data, 2))).all()


def test_largest_angle_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 7, 2))
    assert metric._largest_angle(a[None], b)[0, 1] == pytest.approx(subspace_angles(a[1], b[1])[0])


def test_chunks_cover_the_batch_in_order(monkeypatch):
    monkeypatch.setattr(metric, "CHUNK", 16 * 1000 * 10 * 4)
    parts = list(metric.chunks(10, 1000, 10))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(10))
    assert max(part.stop - part.start for part in parts) == 4
    few = Parameters.resolve(device="cpu", **SMALL | {"gd_steps": 2, "path_steps": 50})
    assert experiments.rates(few).truth.shape == (12, 10, 2)
    assert experiments.spectral(few).start_error.shape == (2, 4, 6)
    assert experiments.convergence(few).to_truth.shape == (51, 5, 6)


# --- fairness ---------------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(
    d=st.integers(2, 8),
    rank=st.integers(1, 4),
    noise=st.floats(0, 3),
    seed=st.integers(0, 10_000),
    lipschitz=st.floats(0.1, 5),
)
def test_transfer_bound_holds_for_any_matrix_and_any_pair(d, rank, noise, seed, lipschitz):
    rng = np.random.default_rng(seed)
    truth = torch.from_numpy(rng.normal(size=(d, rank)))
    factor = truth + noise * torch.from_numpy(rng.normal(size=(d, rank)))
    turned = factor @ torch.from_numpy(np.linalg.qr(rng.normal(size=(rank, rank)))[0])
    slack = fairness.transfer_slack(turned, truth)
    x, other = torch.from_numpy(rng.normal(size=(2, 50, d)))
    other[:10] = x[:10] + (x[:10] @ truth) @ torch.linalg.pinv(truth) - x[:10]  # some pairs near one another in range
    anchors = torch.from_numpy(rng.normal(size=(6, rank)))
    change = (
        fairness.lipschitz_functions(x @ turned, anchors) - fairness.lipschitz_functions(other @ turned, anchors)
    ).abs()
    extremal = ((x - other) @ turned).norm(dim=-1)
    assert (change <= extremal + 1e-9).all()
    for form in (slack.root, slack.factor, slack.best):
        bound = ((x - other) @ truth).norm(dim=-1) + form * (x - other).norm(dim=-1)
        assert (lipschitz * extremal <= lipschitz * bound * (1 + 1e-9) + 1e-9).all()


def test_dropping_the_slack_breaks_the_bound_on_pairs_in_the_kernel():
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.normal(size=(5, 2)))
    factor = truth + 0.1 * torch.from_numpy(rng.normal(size=(5, 2)))
    kernel = torch.linalg.svd(truth).U[:, -1]
    assert (kernel @ truth).norm() < 1e-12
    assert (kernel @ factor).norm() > 0.01
    assert (kernel @ factor).norm() <= fairness.transfer_slack(factor, truth).best


def test_fair_logistic_matches_a_convex_solver_and_obeys_its_bound():
    import cvxpy as cp

    rng = np.random.default_rng(0)
    x, factor = rng.normal(size=(200, 4)), rng.normal(size=(4, 2))
    y = (rng.random(200) < 1 / (1 + np.exp(-x @ [2.0, -1.0, 0.5, 0.0] - 0.4))).astype(float)
    U = torch.stack([torch.eye(4, dtype=torch.float64), fairness.pad(torch.from_numpy(factor), 4)])[:, None]
    limits = torch.tensor([torch.inf, 0.2], dtype=torch.float64)
    fit = fairness.fair_logistic(torch.from_numpy(x)[None], torch.from_numpy(y)[None], U, limits, steps=600)
    for row, (matrix, limit) in enumerate([(np.eye(4), None), (factor, 0.2)]):
        c, b = cp.Variable(matrix.shape[1]), cp.Variable()
        z = x @ (matrix @ c) + b
        rule = [] if limit is None else [cp.norm(c) <= 4 * limit]
        cp.Problem(cp.Minimize(cp.sum(cp.logistic(z) - cp.multiply(y, z))), rule).solve(solver=cp.CLARABEL)
        assert np.abs(fit.w[0, :, row].numpy() - matrix @ c.value).max() < 2e-3
        assert float(fit.b[0, row]) == pytest.approx(float(b.value), abs=2e-3)
    pairs = torch.from_numpy(rng.normal(size=(2, 1, 5000, 4)) * 3)
    change = (fit.probabilities(pairs[0]) - fit.probabilities(pairs[1])).abs()[0, :, 1]
    assert (change <= 0.2 * ((pairs[0] - pairs[1])[0] @ torch.from_numpy(factor)).norm(dim=-1) + 1e-12).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), noise=st.floats(0, 1), lipschitz=st.floats(0.05, 3))
def test_leak_is_at_most_four_l_times_the_slack_of_the_factor(seed, noise, lipschitz):
    rng = np.random.default_rng(seed)
    truth = torch.from_numpy(rng.normal(size=(6, 2)))
    factor = truth + noise * torch.from_numpy(rng.normal(size=(6, 2)))
    c = torch.from_numpy(rng.normal(size=(2, 1)))
    w = factor @ (c / c.norm() * 4 * lipschitz)
    leak = fairness.leakage(w[None], truth[None])[0, 0]
    assert leak <= 4 * lipschitz * fairness.transfer_slack(factor, truth).factor + 1e-9


def test_leak_is_the_component_in_the_kernel():
    truth = torch.zeros(1, 4, 2, dtype=torch.float64)
    truth[0, 0, 0], truth[0, 1, 1] = 2.0, 0.5
    w = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]], dtype=torch.float64)
    assert fairness.leakage(w, truth)[0, 0] == pytest.approx(5.0)


def test_least_squares_in_a_ball_sits_on_its_border_and_points_down_the_gradient():
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(size=(2, 100, 5))), torch.from_numpy(rng.normal(size=(2, 100)))
    radius = torch.tensor([0.1, 1e3], dtype=torch.float64)
    w = fairness.least_squares_in_ball(x, y, radius)
    centred, target = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    slope = (centred.mT @ (target - (centred @ w[..., None])[..., 0])[..., None])[..., 0]
    assert w[0].norm() == pytest.approx(0.1)
    assert torch.nn.functional.cosine_similarity(slope[0], w[0], dim=0) == pytest.approx(1.0, abs=1e-6)
    assert slope[1].abs().max() < 1e-4


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert all(verdict.decided for verdict in verdicts)


def test_same_seed_gives_the_same_numbers_and_another_seed_others(params, results):
    again = experiments.spectral(params)
    assert np.array_equal(again.sine, results.spectral.sine)
    other = experiments.spectral(params.model_copy(update={"seed": 1}))
    assert not np.array_equal(other.sine, results.spectral.sine)


def test_plateau_is_the_error_of_the_samples_optimum(results):
    runs = results.convergence
    assert np.abs(runs.to_truth[-1, :4] / runs.floor - 1).max() < 0.01
    assert runs.to_optimum[-1, 1].max() < 1e-4 < runs.floor.min()


def test_raw_start_tends_to_the_predicted_bias(params, results):
    quantities = verify(params, results).quantities
    assert quantities["raw_error"] == pytest.approx(quantities["raw_bias"], rel=0.03)


def broken(results, **changed):
    return dataclasses.replace(results, **changed)


def test_answers_of_the_wrong_sign_break_the_spectral_claims(params, results, monkeypatch):
    right = metric.gaussian_triplets

    def turned(*arguments):
        data = right(*arguments)
        return Triplets(data.u, data.v, 1 - data.y)

    monkeypatch.setattr(metric, "gaussian_triplets", turned)
    verdicts = verify(params, broken(results, spectral=experiments.spectral(params)))
    assert not any(verdicts[claim].holds for claim in ("C2a", "C2b", "C2c"))


def test_least_squares_on_the_answers_does_not_converge_to_the_truth(params, results, monkeypatch):
    def squares(factor, data):
        z = torch.stack([triplets.logits(one, data.u, data.v) for one in factor])
        residual = ((z - (2 * data.y - 1)) / data.y.shape[-1] / 4)[..., None]
        return data.u.mT @ (residual * (data.v @ factor)) + data.v.mT @ (residual * (data.u @ factor))

    monkeypatch.setattr(learning, "gradient", squares)
    few = params.model_copy(update={"rate_seeds": 4, "seeds": 4, "dims": [6, 12]})
    verdicts = verify(few, broken(results, rates=experiments.rates(few)))
    assert not verdicts["C4a"].holds


def test_training_on_a_wrong_representation_breaks_the_fairness_claims(params, results):
    rates = dataclasses.replace(
        results.rates, at_default=np.roll(results.rates.at_default, 1, 0), factor=np.roll(results.rates.factor, 1, 1)
    )
    verdicts = verify(params, broken(results, downstream=experiments.downstream(params, rates)))
    assert not any(verdicts[claim].holds for claim in ("C6a", "C6b", "C6c", "C6d"))


def test_linear_rate_reads_a_geometric_sequence():
    factor, r2 = claims.linear_rate(0.9 ** np.arange(100)[:, None] * np.ones(3))
    assert np.allclose(factor, 0.9)
    assert np.allclose(r2, 1)


# --- what predictors are judged by -----------------------------------------------------------------------------------


def single(w, b=0.0):
    w = torch.tensor(w, dtype=torch.float64)[None, :, None]
    return fairness.Predictors(w, torch.full((1, 1), b, dtype=torch.float64))


def test_gap_of_twins_is_taken_between_both_sides():
    p = torch.tensor([[[0.0], [1.0]]], dtype=torch.float64)
    x = torch.zeros(1, 3, 2, dtype=torch.float64)
    sigma = 1 / (1 + np.exp(-2.0))
    assert fairness.twin_gap(single([5.0, 2.0]), x, p)[0, 0] == pytest.approx(sigma - (1 - sigma))
    assert fairness.twin_gap(single([5.0, 0.0]), x, p)[0, 0] == 0


def test_violation_is_the_mean_excess_over_the_bound_with_its_constant():
    change = torch.tensor([[0.9, 0.9], [0.5, 0.5]], dtype=torch.float64)
    distance = torch.tensor([0.4, 2.0], dtype=torch.float64)
    found = fairness.violation(change, distance, torch.tensor([1.0, 0.5], dtype=torch.float64))
    assert found.tolist() == pytest.approx([(0.9 - 0.4) / 2, (0.9 - 0.2) / 2])


def test_held_out_rows_are_no_training_rows():
    train, test = fairness.split(3, 20, 6, triplets.generator("cpu", 5))
    assert train.shape == (3, 14)
    assert test.shape == (3, 6)
    for one, other in zip(train.tolist(), test.tolist(), strict=True):
        assert sorted(one + other) == list(range(20))
    assert train[0].tolist() != train[1].tolist()


def test_smaller_slack_is_the_one_that_is_used():
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.normal(size=(4, 6, 2)))
    slack = fairness.transfer_slack(truth + 0.1 * torch.from_numpy(rng.normal(size=(4, 6, 2))), truth)
    assert (slack.best <= slack.root).all()
    assert (slack.best <= slack.factor).all()
    assert ((slack.best == slack.root) | (slack.best == slack.factor)).all()


def test_step_size_is_set_by_the_largest_eigenvalue_of_the_metric():
    _, data, _ = sample()
    start = learning.spectral_init(data, 2)[None]
    eta = 1 / 12 / torch.linalg.svdvals(start)[..., 0] ** 2
    expected = start - eta[..., None, None] * learning.gradient(start, data)
    assert torch.allclose(learning.factored_gd(start, data, 1).last, expected)


def test_ridge_on_a_representation_solves_its_normal_equations():
    rng = np.random.default_rng(1)
    x, y = torch.from_numpy(rng.normal(size=(1, 60, 4))), torch.from_numpy(rng.normal(size=(1, 60)))
    factor = torch.from_numpy(rng.normal(size=(1, 4, 2)))
    z = (x - x.mean(1, keepdim=True))[0].numpy() @ factor[0].numpy()
    penalty = fairness.RIDGE * (z**2).mean() * 60
    c = np.linalg.solve(z.T @ z + penalty * np.eye(2), z.T @ (y - y.mean())[0].numpy())
    assert np.allclose(fairness.ridge(x, y, factor)[0].numpy(), factor[0].numpy() @ c)


def test_each_experiment_draws_from_a_stream_of_its_own():
    folder = Path(experiments.__file__).parent
    streams = [
        n for file in folder.glob("*.py") for n in re.findall(r"random_numbers\(params, (\d+)\)", file.read_text())
    ]
    assert len(streams) == 10
    assert len(set(streams)) == len(streams)


def test_dependence_sees_squares_that_go_together():
    source = triplets.generator("cpu", 6)
    for population, low, high in (("Gaussian", 0, 6), ("Laplace", 10, 100)):
        x = triplets.individuals(population, (3, 8000, 4), source)
        assert x.std() == pytest.approx(1, abs=0.02)
        assert abs(float(x.mean())) < 0.02
        assert low <= triplets.dependence(*triplets.triplet_design(*x)) <= high


def test_learned_from_is_not_judged_on(params, results):
    """On the triplets that it was learned from, the loss is below the truth's."""
    truth, data, source = sample(batch=20, d=6, m=1000)
    learned_from, fresh = data, triplets.gaussian_triplets(truth, 1000, 0.0, source)
    factor = learning.learn(data, 2, 60)
    excess = [(learning.loss(factor, d) - learning.loss(truth, d)).mean() for d in (learned_from, fresh)]
    unit = learning.degrees_of_freedom(6, 2) / 2000
    assert -1.5 * unit < excess[0] < -0.5 * unit
    assert 0.5 * unit < excess[1] < 1.7 * unit


def test_unequal_features_are_scaled_before_answers_are_given():
    source = triplets.generator("cpu", 7)
    truth = triplets.ground_truth(2, 5, 2, 0.25, 2.0, source)
    data = triplets.gaussian_triplets(truth, 20_000, 0.0, source, triplets.spread(5, truth))
    assert torch.allclose(data.u.std(1), 2**0.5 * triplets.spread(5, truth).expand(2, 5), rtol=0.03)
    z = triplets.logits(truth, data.u, data.v)
    assert torch.allclose(data.y.mean(1), torch.sigmoid(z).mean(1), atol=0.015)
    assert torch.allclose((data.y * z).mean(1), (torch.sigmoid(z) * z).mean(1), atol=0.05)
