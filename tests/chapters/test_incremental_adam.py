import dataclasses
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.analysis.max_margin import max_margin, weighted_svm
from companion.chapters.incremental_adam import Parameters, complementarity, experiments, figures, theory, verify
from companion.chapters.incremental_adam import run as run_all
from companion.chapters.incremental_adam.data import (
    TWO_SAMPLES,
    TWO_STARTS,
    Data,
    apart,
    cancelling_pair,
    distance,
    gaussian,
    scaled_rademacher,
    shifted_diagonal,
)
from companion.chapters.incremental_adam.incremental import incremental
from companion.data import load_dataset
from companion.optim import Signum

# tests/test_chapters.py runs these.
TINY = {
    "datasets": 2,
    "N": 4,
    "d": 8,
    "epochs": 60,
    "steps": 300,
    "batch_sizes": [2],
    "beta2_grid": [0.5, 0.9],
    "map_sizes": [2, 3],
    "images": 2,
}
EXTREMES = [
    TINY
    | {"N": 2, "d": 2, "datasets": 1, "batch_sizes": [1], "images": 1, "map_sizes": [2], "epochs": 10, "steps": 10},
    TINY | {"N": 12, "d": 12, "batch_sizes": [4], "eta0": 0.1, "decay": 0.0, "eta_signum": 0.1, "epsilons": [0.1]},
    TINY | {"N": 24, "d": 60, "batch_sizes": [12], "beta1": 0.0, "beta2": 0.1, "decay": 1.0, "t0": 1.0, "datasets": 1},
    TINY | {"beta1": 0.999, "beta2": 0.9999, "beta_signum": 0.0, "beta2_grid": [0.1, 0.9999], "deltas": [0.99, 1e-3]},
    TINY | {"beta2_grid": [0.5, 0.5], "epsilons": [1e-300] * 2, "deltas": [0.5, 0.5], "datasets": 1},
    TINY | {"beta1": 0.0, "beta2": 0.3, "images": 10, "seed": 3},
]
REFUSED = [
    ({"beta1": 0.96}, "beta1: got 0.96, allowed: at most beta2 = 0.95"),
    ({"d": 9}, "d: got 9, allowed: at least N = 10"),
    ({"batch_sizes": [1, 3]}, "batch_sizes: got 3 in it, allowed: divisors of N = 10"),
    ({"N": 1}, "N: got 1, allowed: an integer from 2 to 80"),
    ({"datasets": 1000, "N": 80, "d": 400, "batch_sizes": [1]}, "datasets: got 1000 for N = 80 and d = 400"),
    ({"steps": 10_000_000, "datasets": 1000}, "processor hours, allowed: less than 24"),
]


@pytest.fixture(scope="module")
def params():
    """The quick profile, which `companion check` and the lab run too."""
    return Parameters.resolve(device="cpu")


@pytest.fixture(scope="module")
def results(params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run_all(params)


def eta_at(t, eta0=0.01, t0=1000.0, decay=0.5):
    return eta0 * (1 + t / t0) ** -decay


def plain(Z, rule, index, eta, beta1=0.9, beta2=0.95, eps=0.0, dtype=np.longdouble, start=0.0):
    """One run as the formulas say it, with gradients as they are: extended precision reaches margins of thousands."""
    Z = Z.astype(dtype)
    w, m, v = (np.full(Z.shape[1], value, dtype=dtype) for value in (start, 0, 0))
    one, beta1, beta2 = dtype(1), dtype(beta1), dtype(beta2)
    for t, samples in enumerate(index):
        x = Z[samples]
        g = -(x / (one + np.exp(x @ w))[:, None]).mean(0)
        m = beta1 * m + (one - beta1) * g
        v = beta2 * v + (one - beta2) * g**2
        w = w - dtype(eta(t)) * (m / (np.sqrt(v) + dtype(eps)) if rule == "adam" else np.sign(m))
    return w.astype(float)


# --- the engine ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["adam", "signum"])
@pytest.mark.parametrize("batch", [1, 2, 6])
def test_scale_free_state_equals_the_plain_rule(rule, batch):
    Z = np.random.default_rng(0).normal(size=(2, 6, 8))
    epochs = 20 * batch
    path = incremental(Z, rule, epochs=epochs, batch_size=batch, eta0=np.array([0.01, 0.03]), beta1=0.8, beta2=0.9)
    index = [range(k, k + batch) for _ in range(epochs) for k in range(0, 6, batch)]
    for run, eta0 in enumerate((0.01, 0.03)):
        twin = plain(Z[run], rule, index, lambda t, eta0=eta0: eta_at(t, eta0), 0.8, 0.9, dtype=np.float64)
        assert np.allclose(path.last[run], twin, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rule", ["adam", "signum"])
@pytest.mark.parametrize("far", [1.0, 10.0])
def test_runs_may_start_anywhere(rule, far):
    Z = np.random.default_rng(18).normal(size=(2, 4, 6))
    start = far * np.random.default_rng(19).normal(size=(2, 6))
    path = incremental(Z, rule, epochs=60, beta1=0.8, beta2=0.9, start=start, keep=[0, 60])
    assert np.array_equal(path.w[0], start)
    index = [[i] for _ in range(60) for i in range(4)]
    for run in range(2):
        twin = plain(Z[run], rule, index, eta_at, 0.8, 0.9, dtype=np.float64, start=start[run])
        assert np.allclose(path.last[run], twin, rtol=1e-9, atol=1e-11)
    zero = incremental(Z, rule, epochs=3, beta1=0.8, beta2=0.9)
    assert np.array_equal(incremental(Z, rule, epochs=3, beta1=0.8, beta2=0.9, start=np.zeros(6)).w, zero.w)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 10_000, reason="needs long doubles with a wider exponent")
@pytest.mark.parametrize(("batch", "eps"), [(1, 0.0), (5, 0.0), (5, 1e-200)])
def test_scale_free_state_is_exact_where_squares_of_gradients_underflow(batch, eps):
    Z = np.random.default_rng(1).uniform(0.5, 2, size=(1, 5, 8))
    epochs, rates = 800 * batch, {"beta1": 0.3, "beta2": 0.5}  # a short memory: margins may grow by log(2) / 2 a step
    path = incremental(Z, "adam", epochs=epochs, batch_size=batch, eta0=0.05, decay=0.0, eps=eps, **rates)
    index = [range(k, k + batch) for _ in range(epochs) for k in range(0, 5, batch)]
    twin = plain(Z[0], "adam", index, lambda t: 0.05, eps=eps, **rates)
    assert (Z[0] @ twin).min() > 400  # squares of gradients are below exp(-800), out of float64's range
    assert np.allclose(path.last[0], twin, rtol=1e-7)


@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_engine_equals_torch_adam_freed_of_its_bias_correction(eps):
    Z = np.random.default_rng(2).normal(size=(4, 6))
    w = torch.nn.Parameter(torch.zeros(6, dtype=torch.float64))
    optimizer = torch.optim.Adam([w], betas=(0.7, 0.9), eps=eps)
    for t in range(40):
        optimizer.zero_grad()
        torch.nn.functional.softplus(-torch.tensor(Z[t % 4]) @ w).backward()
        root = np.sqrt(1 - 0.9 ** (t + 1))
        optimizer.param_groups[0].update(lr=eta_at(t) * (1 - 0.7 ** (t + 1)) / root, eps=eps / root)
        optimizer.step()
    path = incremental(Z[None], "adam", epochs=10, beta1=0.7, beta2=0.9, eps=eps)
    assert np.allclose(path.last[0], w.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_engine_equals_the_optimizer_signum(beta):
    Z = np.random.default_rng(3).normal(size=(4, 6))
    w = torch.nn.Parameter(torch.zeros(6, dtype=torch.float64))
    optimizer = Signum([w], lr=1.0, beta=beta)
    for t in range(80):
        optimizer.zero_grad()
        torch.nn.functional.softplus(-torch.tensor(Z[[2 * t % 4, 2 * t % 4 + 1]]) @ w).mean().backward()
        optimizer.param_groups[0]["lr"] = eta_at(t)
        optimizer.step()
    path = incremental(Z[None], "signum", epochs=40, batch_size=2, beta1=beta)
    assert np.allclose(path.last[0], w.detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize("rule", ["adam", "signum", "sgd"])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_torch_and_numpy_agree(rule, batch):
    Z = np.random.default_rng(4).normal(size=(3, 4, 6))
    orders = ["cyclic", "reshuffled", "replacement"]
    ends = [
        incremental(Z, rule, epochs=20, batch_size=batch, order=orders, eps=[0, 1e-8, 1e-3], keep=[0, 7, 20],
                    rng=np.random.default_rng(5), device=device)
        for device in ("cpu", "torch:cpu")
    ]  # fmt: skip
    assert ends[0].w.shape == (3, 3, 6)
    assert np.allclose(ends[0].w, ends[1].w, rtol=1e-9, atol=1e-12)
    maps = [
        theory.iterate_map(Z, np.full(3, 0.5), np.full(3, 0.9), steps=30, eta=0.05, device=device).last
        for device in ("cpu", "torch:cpu")
    ]
    assert np.allclose(*maps, rtol=1e-10)


def test_random_orders_visit_what_they_say():
    Z = np.random.default_rng(6).normal(size=(1, 5, 7))
    rng = np.random.default_rng(7)
    index = [[i] for _ in range(30) for i in rng.permuted(np.arange(5)[None], axis=1)[0]]
    path = incremental(Z, "adam", epochs=30, order="reshuffled", rng=np.random.default_rng(7))
    assert np.allclose(path.last[0], plain(Z[0], "adam", index, eta_at), rtol=1e-9)
    rng = np.random.default_rng(8)
    index = [[i] for _ in range(30) for i in rng.integers(5, size=(1, 5))[0]]
    path = incremental(Z, "adam", epochs=30, order="replacement", rng=np.random.default_rng(8))
    assert np.allclose(path.last[0], plain(Z[0], "adam", index, eta_at), rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta1": 0.9, "beta2": 0.5}, "beta1: got 0.9, allowed: at most beta2 = 0.5"),
        ({"beta1": [0.5, 0.95], "beta2": 0.9}, "beta1: got 0.95, allowed: at most beta2 = 0.9"),
        ({"beta2": 1.0}, "beta2: got 1, allowed: at least 0, below 1"),
        ({"batch_size": 3}, "batch_size: got 3, allowed: a divisor of N = 4"),
        ({"rule": "lion"}, "rule: got 'lion', allowed: adam, signum, sgd"),
        ({"order": "sorted"}, "order: got 'sorted', allowed"),
        ({"order": "reshuffled"}, "rng: got None"),
        ({"start": np.full(5, -40.0)}, "start: got a margin of -200, allowed: at least -100"),
    ],
)
def test_bad_options_of_the_engine_are_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match="allowed") as error:
        incremental(np.ones((2, 4, 5)), epochs=1, **options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_rates_the_engine_refuses_do_diverge():
    # beta1 > sqrt(beta2): the average of gradients outlives the root of the average of squares.
    x = np.concatenate([[1.0], np.zeros(60)])
    m = v = 0.0
    steps = []
    for g in x:
        m, v = 0.9 * m + 0.1 * g, 0.5 * v + 0.5 * g**2
        steps.append(m / np.sqrt(v))
    assert steps[-1] > 100 * steps[0]


# --- theory -------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), beta2=st.floats(0.1, 0.999), share=st.floats(0, 1), fall=st.floats(0, 0.3))
def test_what_a_step_of_adam_can_do(seed, beta2, share, fall):
    """The lemma behind the theorems: the root is an average of shorter ones, and no step is longer for long."""
    rng, beta1 = np.random.default_rng(seed), beta2 * share
    g = np.exp(-fall * np.arange(80) + rng.normal(size=80)) * rng.choice([-1, 1], 80)
    kappa = (1 - beta2) / (1 - beta1)
    longest = (1 - beta1) / np.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    m = v = short = e = 0.0
    for t in range(80):
        m, v = beta1 * m + (1 - beta1) * g[t], beta2 * v + (1 - beta2) * g[t] ** 2
        short, before = beta1 * short + (1 - beta1) * g[t] ** 2, e
        e = beta2 * e + (1 - beta2) * short
        assert v == pytest.approx(kappa * short + (1 - kappa) * before)
        assert m**2 <= short * (1 + 1e-9)
        assert abs(m) / np.sqrt(v) <= longest * (1 + 1e-9)
        if t:
            assert short / v <= 1 + (1 - kappa) / (1 - beta2) * np.log(e / before) + 1e-9


def test_epoch_map_is_what_adam_does_with_frozen_gradients():
    rng = np.random.default_rng(9)
    X, p, beta1, beta2 = rng.normal(size=(6, 5)), rng.uniform(0.1, 1, 6), 0.8, 0.93
    m, v, moved = np.zeros(5), np.zeros(5), np.zeros(5)
    for _ in range(200):
        moved = np.zeros(5)
        for i in range(6):
            g = p[i] * X[i]
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
            moved = moved + m / np.sqrt(v)
    A1, A2 = (theory.memory_weights(np.array([beta]), 6) for beta in (beta1, beta2))
    predicted = theory.epoch_constant(beta1, beta2, 6) * theory.epoch_map(np, X[None], p[None], A1, A2)[0]
    assert np.allclose(moved, predicted, rtol=1e-5)  # 0.93^1200 of the first gradients is left in the root of v


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_epoch_map_tends_to_adam_proxy(beta1):
    rng = np.random.default_rng(10)
    X, p = rng.normal(size=(1, 7, 9)), rng.uniform(0.1, 1, (1, 7))
    A1, A2 = theory.memory_weights(np.array([beta1]), 7), theory.memory_weights(np.array([1 - 1e-9]), 7)
    factor = theory.epoch_constant(beta1, 1 - 1e-9, 7)
    exact = np.sqrt(7) * theory.adam_proxy(np, X, p)
    assert np.allclose(factor * theory.epoch_map(np, X, p, A1, A2), exact, rtol=1e-6)


def test_one_batch_of_everything_is_sign_descent():
    rng = np.random.default_rng(11)
    g = (rng.uniform(0.1, 1, 7)[:, None] * rng.normal(size=(7, 9))).sum(0)
    ones = np.ones((1, 1, 1))
    moved = theory.epoch_map(np, g[None, None], np.ones((1, 1)), ones, ones)[0]
    assert np.allclose(moved, np.sign(g))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), skew=st.floats(0, 1))
@pytest.mark.parametrize("method", [complementarity._block_pivoting, complementarity._lemke])
def test_complementarity_problems_are_solved(method, seed, n, skew):
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(2, n, n + 2))
    K = A @ A.T + 0.01 * np.eye(n)
    S = skew * (A @ B.T - B @ A.T) / 4
    K = K + S  # positive definite and not symmetric: all principal minors are positive
    x = complementarity.complementary(K)
    slack = K @ x - 1
    size = 1 + np.abs(K).max() * x.max()
    assert x.min() >= 0
    assert slack.min() >= -1e-9 * size
    assert np.abs(x * slack).max() <= 1e-8 * size * (1 + x.max())
    active = method(K)  # each method by itself finds the one solution that there is, or says that it found none
    if active is None:
        assert method is complementarity._block_pivoting
    else:
        assert np.allclose(complementarity._equal_margins(K, active), x, atol=1e-8 * size)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 12))
def test_matrices_of_positive_entries_are_solved_where_block_pivoting_gives_up(seed, n):
    K = np.random.default_rng(seed).uniform(0.01, 1, size=(n, n))
    x = complementarity.complementary(K)
    slack = K @ x - 1
    assert x.min() >= 0
    assert slack.min() > -1e-7
    assert np.minimum(x, np.abs(slack)).max() < 1e-6 * (1 + x.max())


def test_a_problem_without_a_solution_is_an_error_and_a_fixed_point_without_one_is_nan(monkeypatch):
    for K in ([[-1.0]], [[1.0, -2.0], [-2.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]):
        with pytest.raises(complementarity.UnsolvedError, match="no solution found"):
            complementarity.complementary(np.array(K))
    X = gaussian(np.random.default_rng(20), 3, 5)
    monkeypatch.setattr(complementarity, "_block_pivoting", lambda K: None)
    monkeypatch.setattr(complementarity, "_lemke", lambda K: np.arange(len(K)) == 0)  # not a solution
    found = theory.fixed_point(X, (0.5, 0.9))
    assert np.isnan(found.w).all()
    assert np.isnan(found.c).all()
    assert found.residual == np.inf


def test_an_iteration_that_does_not_settle_is_no_fixed_point():
    X = gaussian(np.random.default_rng(20), 6, 9)
    assert np.isnan(theory.fixed_point(X, most=2).w).all()
    assert theory.fixed_point(X).residual < 1e-12


def test_dual_maps_of_images_far_from_beta_one_have_their_solutions():
    """Exchanging all wrong signs at once goes round in circles on some of these."""
    digits = load_dataset("digits", normalize="standard", flatten=True, dtype="float64", seed=0)
    rng, gave_up = np.random.default_rng(0), 0
    for pair in ((0, 1), (3, 8), (4, 9)):
        picked = [rng.choice(np.flatnonzero(digits.y_train == label), 10, replace=False) for label in pair]
        X = np.concatenate([digits.x_train[picked[0]], -digits.x_train[picked[1]]])
        A1, A2 = (theory.memory_weights(np.array([beta]), 20)[0] for beta in (0.0, 0.3))
        for c in rng.dirichlet(0.2 * np.ones(20), size=6):
            g = np.maximum(c, 1e-9)[:, None] * X
            K = X @ ((A1.T @ (1 / np.sqrt(A2 @ (g * g)))) * X).T
            gave_up += complementarity._block_pivoting(K) is None
            x = complementarity.complementary(K)
            assert complementarity.residual(K, x) < 1e-8
    assert gave_up > 0


def test_symmetric_complementarity_problem_is_the_support_vector_machine():
    X = np.random.default_rng(12).normal(size=(9, 12))
    metric = np.random.default_rng(13).uniform(0.5, 2, 12)
    w, multipliers = weighted_svm(X, metric)
    solved = complementarity.complementary(X @ (X / metric).T)
    assert np.allclose(solved, multipliers, atol=1e-9)
    assert np.allclose(X.T @ solved / metric, w, atol=1e-9)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_fixed_point_satisfies_the_optimality_conditions(seed):
    X = gaussian(np.random.default_rng(seed), 6, 20)
    found = theory.fixed_point(X)
    metric = theory.proxy_metric(X, found.c)
    z = X @ found.w
    assert found.residual < 1e-12
    assert z.min() == pytest.approx(1)
    assert np.abs(found.c * (z - 1)).max() < 1e-8  # weight on samples of least margin only
    assert distance(found.w, (found.c @ X) / metric) < 1e-10


def test_own_fixed_point_is_where_the_epoch_map_points():
    X = gaussian(np.random.default_rng(14), 6, 20)
    for batch in (1, 2, 3):
        n = 6 // batch
        found = theory.fixed_point(X, (0.5, 0.7), batch_size=batch)
        g = (found.c[:, None] * X).reshape(n, batch, -1).sum(1)
        A1, A2 = (theory.memory_weights(np.array([beta]), n) for beta in (0.5, 0.7))
        moved = theory.epoch_map(np, g[None], np.ones((1, n)), A1, A2)[0]
        assert distance(moved, found.w) < 1e-10
        assert (X @ found.w).min() == pytest.approx(1)


def test_own_fixed_point_tends_to_adam_proxys_and_does_not_start_there():
    X = gaussian(np.random.default_rng(15), 6, 20)
    limit = theory.fixed_point(X)
    near, far = theory.fixed_point(X, (0.0, 1 - 1e-7)), theory.fixed_point(X, (0.0, 0.5))
    assert distance(near.w, limit.w) < 1e-10
    assert distance(far.w, limit.w) > 1e-3


def test_two_samples_have_two_attracting_fixed_points_and_one_between():
    X, found = TWO_SAMPLES, [theory.fixed_point(TWO_SAMPLES, start=c) for c in TWO_STARTS]
    for point in found:
        assert np.abs(theory.dual_map(X, point.c)[0] - point.c).max() < 1e-11
    assert np.allclose(found[0].c, [0, 1], atol=1e-12)
    assert 0.8 < found[1].c[0] < 0.9
    assert distance(found[0].w, max_margin(X, np.inf).w) < 1e-12
    assert distance(found[0].w, found[1].w) > 0.003
    moved = [theory.dual_map(X, np.array([c, 1 - c]))[0][0] - c for c in (0.7, 0.8, 0.9)]
    assert np.sign(moved).tolist() == [-1, 1, -1]  # so there is one more between 0.7 and 0.8, which repels


def test_start_has_gradients_in_the_proportions_asked_for():
    Z = gaussian(np.random.default_rng(17), 5, 8)
    c = np.array([0.4, 0.3, 0.2, 0.1, 0.0])
    z = Z @ theory.weights_for(Z[None], c[None])[0]
    assert np.allclose(1 / (1 + np.exp(z)), np.maximum(c, 1e-6) / 2)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), beta1=st.floats(0, 0.5), beta2=st.floats(0.5, 0.99))
def test_on_scaled_rademacher_data_every_fixed_point_is_the_l2_direction(seed, beta1, beta2):
    X = scaled_rademacher(np.random.default_rng(seed), 5, 24)
    w = max_margin(X, 2).w
    assert distance(theory.fixed_point(X).w, w) < 1e-10
    assert distance(theory.fixed_point(X, (beta1, beta2)).w, w) < 1e-9


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), d=st.integers(2, 6))
def test_a_sample_whose_signs_classify_the_others_better_takes_all_weight(seed, d):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(4, d))
    s = np.sign(X[0])
    X[1:] *= np.sign(X[1:] @ s)[:, None]
    X[1:] *= (1.5 * np.abs(X[0]).sum() / (X[1:] @ s))[:, None]  # now x_i . sign(x_0) > ||x_0||_1
    image, w = theory.dual_map(X, np.array([1.0, 0, 0, 0]))
    assert np.allclose(image, [1, 0, 0, 0], atol=1e-10)
    assert distance(w, s) < 1e-12
    assert max_margin(X, np.inf).margin == pytest.approx(np.abs(X[0]).sum())


def test_shifted_diagonal_loses_the_property_when_signs_are_flipped():
    for flipped in (False, True):
        found = theory.fixed_point(shifted_diagonal([1, 2, 4, 8], 0.1, flipped))
        assert (found.c[0] > 1 - 1e-9) != flipped


@pytest.mark.parametrize(("beta", "batch"), [(0.9, 1), (0.99, 2), (0.5, 5)])
def test_bound_of_signum_is_the_mean_deviation_of_the_frozen_average(beta, batch):
    rng = np.random.default_rng(16)
    Z, p, n = rng.normal(size=(10, 7)), rng.uniform(0, 1, 10), 10 // batch
    g = (p[:, None] * Z).reshape(n, batch, -1).mean(1)
    weights = theory.memory_weights(np.array(beta), n) * (1 - beta) / (1 - beta**n)
    eps, R = theory.signum_bound(Z, beta, batch)
    assert np.abs(n * weights - 1).mean() == pytest.approx(eps)
    m = weights @ g
    assert np.allclose(m.mean(0), g.mean(0))  # over a cycle every batch has the same weight
    lost = np.abs(g.mean(0)).sum() - (np.sign(m) * g.mean(0)).sum(-1).mean()
    off = np.abs(m - g.mean(0)).sum(-1).mean()
    assert lost <= off <= eps * R * p.mean()
    assert eps == pytest.approx(n * (1 - beta) / 4, rel=0.5) or beta < 0.9


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99])
def test_cancelling_pairs_lose_nearly_all_of_the_bound(beta):
    Z = cancelling_pair(beta)
    g = Z / 2
    weights = theory.memory_weights(np.array(beta), 2) * (1 - beta) / (1 - beta**2)
    signs = np.sign(weights @ g)
    assert signs.tolist() == [[1, 1, -1], [1, -1, 1]]
    eps, R = theory.signum_bound(Z, beta)
    margin = max_margin(Z, np.inf).margin
    lost = margin - (Z @ signs.mean(0)).min()
    assert 0.9 < lost / (eps * R) < 1


def test_runs_are_told_apart_by_their_least_distance():
    a = np.array([[[2.0, 0.0]], [[2.0, 0.2]], [[0.0, 2.0]]])
    assert apart(a) == pytest.approx(0.2 / np.hypot(2, 0.2))
    assert apart(a[[0, 0, 2]]) == 0
    assert np.isnan(apart(a[:1]))


# --- the chapter --------------------------------------------------------------------------------------------------


def test_data_are_separable_and_of_their_kind(params):
    data = experiments.draw(params)
    sizes = np.abs(data.Z[params.datasets :])
    assert np.ptp(sizes, axis=-1).max() < 1e-12
    assert np.allclose(data.r2(data.l2), 1)
    assert np.allclose(data.rinf(data.linf), 1)
    assert data.margins.min() > 0
    assert np.array_equal(experiments.draw_gaussian(params).Z, data.Z[: params.datasets])
    assert np.abs(data.Z[: params.datasets]).min(-1).max() < 0.5  # and the other half is not of that kind
    assert not np.array_equal(data.Z, experiments.draw(params.model_copy(update={"seed": 1})).Z)


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {verdict.claim[:2] for verdict in verdicts} == {f"C{k}" for k in range(1, 9)}


def test_runs_that_are_compared_do_not_start_alike(results):
    found = results.fixed_points
    assert found.again_apart.min() > 0  # the control of C4f
    assert found.starts_apart > 0


def test_images_are_judged_by_digits_that_no_run_has_seen(params, monkeypatch):
    """Distances, accuracies and support of given weights, by hand."""
    from companion.chapters.incremental_adam.experiments import examples
    from companion.chapters.incremental_adam.incremental import Path

    ends = np.random.default_rng(21).normal(size=(2, 3, 64))
    asked = []

    def given(Z, rule, *, epochs, batch_size=1, **options):
        asked.append((Z, batch_size))
        return Path(np.array([epochs]), ends[[int(batch_size > 1)]])

    monkeypatch.setattr(examples, "incremental", given)
    found = experiments.images(params.model_copy(update={"images": 3}))
    assert [batch for _, batch in asked] == [1, 6]
    digits = load_dataset("digits", normalize="standard", flatten=True, dtype="float64", seed=0)
    for k, (pair, Z) in enumerate(zip(found.pairs, asked[0][0], strict=True)):
        signs = np.where(np.arange(6) % 2, -1, 1)  # the classes in turn
        seen = [int(np.flatnonzero((digits.x_train == x).all(1))[0]) for x in Z * signs[:, None]]
        assert np.array_equal(digits.y_train[seen], np.tile(pair, 3))
        others = np.setdiff1d(np.flatnonzero(np.isin(digits.y_train, pair)), seen)
        y = np.where(digits.y_train[others] == pair[0], 1, -1)
        for row in range(2):
            right = (np.sign(digits.x_train[others] @ ends[row, k]) == y).mean()
            assert found.accuracy[row, k] == pytest.approx(right)
        point = theory.fixed_point(Z, (params.beta1, params.beta2))
        assert found.prediction[k] == pytest.approx(distance(ends[0, k], point.w))
        assert found.full[k] == pytest.approx(distance(ends[1, k], point.w))
        assert found.l2[k] == pytest.approx(distance(ends[0, k], max_margin(Z, 2).w), rel=1e-5)
        assert found.linf[k] == pytest.approx(distance(ends[0, k], max_margin(Z, np.inf).w), rel=1e-5)
        assert found.support[k] == (point.c > 1e-9).sum()


def test_the_epoch_maps_ends_are_its_own_fixed_points(results):
    """The dashed line of the sweep, at the ends of its grid."""
    sweep = results.sweep
    assert sweep.grid[[0, -1]] == pytest.approx(sweep.beta2[[0, -1]])
    for end in (0, -1):
        assert sweep.predicted[end] == pytest.approx(sweep.to_proxy[end], rel=0.05)


def test_the_distance_from_adam_proxy_is_near_its_estimate(results):
    scaling = results.scaling
    estimate = scaling.N[:, None] * scaling.gap**2 / 48
    assert (np.abs(np.log(scaling.distance / estimate)) < np.log(3)).all()
    assert np.array_equal(scaling.N, [5, 10, 20, 40])


def test_epsilon_is_reached_when_the_gradient_has_fallen_below_it(results):
    """The first step at which the mean gradient is below each, on the way that all runs share until then."""
    epsilon, data = results.epsilon, results.fixed_points.data
    steps = epsilon.steps.tolist()
    path = incremental(data.Z, "adam", epochs=2000, batch_size=10, keep=steps)
    z = np.einsum("rnd,krd->krn", data.Z, path.w)
    gradients = np.einsum("krn,rnd->krd", 1 / (1 + np.exp(z)), data.Z) / 10
    largest = np.median(np.abs(gradients).max(-1), axis=-1)
    for constant, reached in zip(epsilon.epsilons[1:], epsilon.reached[1:], strict=True):
        first = path.epochs[np.flatnonzero(largest < constant)[0]]
        assert reached == first
    assert np.isnan(epsilon.reached[0])


def test_runs_too_short_for_a_direction_decide_nothing(params, results):
    """No margin is larger than the steps allow, up to the lemma's constant; where they allow little, nothing shows."""
    runs = results.runs
    steps = (1 + np.arange(20_000) / params.t0) ** -params.decay
    assert runs.room == pytest.approx(runs.data.margins[1].min() * params.eta0 * steps.sum())
    assert runs.room_signum == pytest.approx(runs.room * params.eta_signum / params.eta0)
    largest = max(curve.margin.min() for curve in (*runs.signum, runs.sign_sgd))
    assert largest <= runs.room_signum * (runs.data.margins[1].max() / runs.data.margins[1].min())
    verdicts = verify(params, dataclasses.replace(results, **swapped_runs(results, room=1.0)))
    assert [v.claim for v in verdicts if not v.decided] == [
        "C1a", "C1b", "C2", "C4c", "C4e", "C4f", "C5b", "C7a", "C7b", "C7c", "C7d", "C8",
    ]  # fmt: skip
    verdicts = verify(params, dataclasses.replace(results, **swapped_runs(results, room_signum=1.0)))
    assert [v.claim for v in verdicts if not v.decided] == ["C6a", "C7c"]


def swapped_runs(results, **changes):
    return {"runs": dataclasses.replace(results.runs, **changes)}


def swapped(results, name, **changes):
    return {name: dataclasses.replace(getattr(results, name), **changes)}


@pytest.mark.parametrize(
    ("claims", "broken"),
    [
        (["C1a", "C7b"], lambda r: swapped_runs(r, adam=r.runs.adam[::-1])),
        (["C1b"], lambda r: swapped(r, "epsilon", r2=r.epsilon.r2[:, :1].repeat(4, 1),
                                    rinf=r.epsilon.rinf[:, :1].repeat(4, 1))),
        (["C2", "C7a"], lambda r: swapped_runs(r, cyclic=r.runs.full)),
        (["C2"], lambda r: swapped_runs(r, cyclic=r.runs.cyclic[:1] * 3)),
        (["C3"], lambda r: swapped(r, "epoch_map", error=r.epoch_map.error**2)),
        (["C4a", "C4b", "C4c", "C4e"], lambda r: swapped(
            r, "fixed_points", proxy=r.fixed_points.proxy_once, spread=np.ptp(r.fixed_points.two_c, axis=0),
            limit=r.fixed_points.l2, own=r.fixed_points.limit)),
        (["C4f"], lambda r: swapped(
            r, "fixed_points", starts_own=r.fixed_points.starts_own + r.fixed_points.starts_apart)),
        (["C4f"], lambda r: swapped(r, "fixed_points", starts_apart=0.0)),
        (["C4d"], lambda r: swapped(r, "sweep", to_proxy=np.sqrt(r.sweep.to_proxy))),
        (["C5a", "C5b"], lambda r: swapped(
            r, "reductions", rademacher=r.reductions.gaussian, first=r.reductions.first[::-1])),
        (["C6a"], lambda r: swapped_runs(r, signum=(*r.runs.signum[:-1], r.runs.sign_sgd))),
        (["C6b", "C6c"], lambda r: swapped(r, "memory", rinf=r.memory.rinf[::-1])),
        (["C6d"], lambda r: swapped(r, "attained", bound=(1 + r.attained.bound) / 2)),
        (["C6d"], lambda r: swapped(r, "attained", bound=2 * r.attained.bound - 1)),
        (["C7a"], lambda r: swapped_runs(r, sampled=r.runs.cyclic[:1] * 2)),
        (["C7c", "C7d"], lambda r: swapped_runs(r, signum=r.runs.adam, sgd=r.runs.adam)),
        (["C7c", "C7d"], lambda r: swapped_runs(r, signum=r.runs.signum[:1] * 4, sgd=r.runs.sgd[:1] * 4)),
        (["C8"], lambda r: swapped(r, "images", prediction=r.images.full)),
        (["C8"], lambda r: swapped(r, "images", accuracy=np.full((2, 3), 0.5))),
    ],
)  # fmt: skip
def test_broken_runs_make_the_verdict_unsound(params, results, claims, broken):
    verdicts = verify(params, dataclasses.replace(results, **broken(results)))
    for claim in claims:
        assert verdicts[claim].holds is False, claim


@pytest.mark.parametrize(
    ("claims", "lost"),
    [
        (["C4a", "C4c"], lambda r: swapped(r, "fixed_points", proxy=r.fixed_points.proxy * np.nan,
                                           limit=r.fixed_points.limit * np.nan)),
        (["C4b", "C4f"], lambda r: swapped(r, "fixed_points", spread=r.fixed_points.spread * np.nan,
                                           starts_own=r.fixed_points.starts_own * np.nan)),
        (["C4e"], lambda r: swapped(r, "fixed_points", batch_w=r.fixed_points.batch_w * np.nan)),
        (["C4d"], lambda r: swapped(r, "sweep", to_proxy=r.sweep.to_proxy * np.nan)),
        (["C5a", "C5b"], lambda r: swapped(r, "reductions", rademacher=r.reductions.rademacher * np.nan,
                                           first=r.reductions.first * np.nan)),
        (["C8"], lambda r: swapped(r, "images", prediction=r.images.prediction * np.nan)),
    ],
)  # fmt: skip
def test_where_no_fixed_point_was_found_nothing_is_decided(params, results, claims, lost):
    verdicts = verify(params, dataclasses.replace(results, **lost(results)))
    for claim in claims:
        assert verdicts[claim].holds is None
        assert "no dual fixed point was found" in verdicts[claim].criterion


def drawn(results):
    yield figures.glance(results.runs, results.fixed_points)
    yield figures.margins(results.runs)
    yield figures.epsilon(results.epsilon)
    yield figures.epoch_map(results.epoch_map)
    yield figures.fixed_point(results.fixed_points)
    yield figures.sweep(results.sweep)
    yield figures.batches(results.runs, results.fixed_points)
    yield figures.reductions(results.reductions)
    yield figures.memory(results.memory)
    yield figures.scaling(results.scaling)
    yield figures.images(results.images)


@pytest.mark.parametrize("extreme", [EXTREMES[0], EXTREMES[3]])
def test_extreme_parameters_give_finite_runs_and_figures_without_warnings(extreme):
    params = Parameters.resolve(device="cpu", **extreme)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = run_all(params)
        verify(params, results)
        assert len(list(drawn(results))) == 11
    for curve in (*results.runs.cyclic, *results.runs.adam, *results.runs.signum, *results.runs.sgd):
        assert np.isfinite(curve.last).all()


def test_experiments_give_the_same_with_torch():
    # Short: where m passes zero, rounding decides Signum's sign.
    on_numpy = Parameters.resolve(device="cpu", **TINY | {"epochs": 20, "steps": 100})
    on_torch = on_numpy.model_copy(update={"device": "torch:cpu"})
    for name in ("runs", "epsilon", "epoch_map", "fixed_points", "sweep", "reductions", "memory", "attained", "images"):
        experiment = getattr(experiments, name)
        for one, other in zip(leaves(experiment(on_numpy)), leaves(experiment(on_torch)), strict=True):
            assert np.allclose(one, other, rtol=1e-6, atol=1e-8, equal_nan=True), name


def leaves(result):
    """All floating-point arrays of a result."""
    if dataclasses.is_dataclass(result):
        result = [getattr(result, field.name) for field in dataclasses.fields(result)]
    if isinstance(result, tuple | list):
        return [leaf for part in result for leaf in leaves(part)]
    return [result] if isinstance(result, np.ndarray) and result.dtype.kind == "f" else []


def test_data_of_a_batch_measures_each_dataset_by_its_own_margins():
    Z = np.stack([gaussian(np.random.default_rng(k), 3, 6) for k in range(2)])
    data = Data.of(Z)
    assert np.allclose(data.r2(np.stack([data.l2, data.linf]))[0], 1)
    assert (data.r2(data.linf) < 1).all()
