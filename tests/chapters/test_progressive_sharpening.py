import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.analysis import curvature
from companion.chapters.progressive_sharpening import Parameters, networks, neuron, run, verify
from companion.chapters.progressive_sharpening.claims import C3, C1b
from companion.chapters.progressive_sharpening.experiments import runs
from companion.chapters.progressive_sharpening.experiments.limits import MANY, SMALL_Q
from companion.chapters.progressive_sharpening.experiments.runs import _layers, _limits, _problems, _shares
from companion.chapters.progressive_sharpening.limit import difficulty, limit, limit_sharpness, sharpness_at
from companion.chapters.progressive_sharpening.samples import drawn, flipped, reduced, two_classes

# tests/test_chapters.py runs these.
TINY = {
    "depths": [2, 3], "n_samples": 8, "draws": 2, "n_steps": 500, "batch_sizes": [1], "sgd_steps": 120, "replicas": 1,
    "sizes": [5, 20], "data_sets": 3, "cases": 200, "mlp_depths": [2, 3], "mlp_samples": [4, 8], "mlp_draws": 2,
    "mlp_width": 8, "mlp_batch": 2, "mlp_loss": 0.05, "mlp_steps": 2000,
}  # fmt: skip
EXTREMES = [
    TINY | {"classes": [0, 6], "n_samples": 30, "init_scale": 1e-3, "v0": 1.5, "beyond": 0.5, "below": 4.0}
    | {"batch_sizes": [29, 1], "step_fracs": [0.1, 1.2], "easy": 0.01, "sizes": [2, 3]},
    TINY | {"depths": [6, 2], "init_scale": 0.3, "v0": 0.8, "beyond": 0.9, "below": 1.2, "easy": 0.2}
    | {"sizes": [39, 40], "flip_rates": [0.1, 0.2], "step_fracs": [1.2, 1.1]},
    TINY | {"mlp_depths": [6, 2], "mlp_lr": 0.05, "mlp_classes": [1, 7], "label_flip": 0.2, "mlp_loss": 1e-4}
    | {"mlp_steps": 500, "mlp_batch": 7},
    TINY | {"dataset": "fashion-mini", "mlp_classes": [4, 6], "mlp_lr": 1e-3, "mlp_steps": 500},
]  # fmt: skip
REFUSED = [
    ({"classes": [3, 3]}, "classes: got [3, 3], allowed: two different classes"),
    ({"batch_sizes": [20]}, "batch_sizes: got 20 in it, allowed: less than n_samples"),
    ({"sizes": [10, 41]}, "sizes: got 41 in it, allowed: a list of 2 to 8, each an integer from 2 to 40"),
    ({"mlp_samples": [8, 400]}, "mlp_samples: got 400 in it, allowed: at most 300 of digits"),
    ({"depths": [4, 4]}, "depths: got [4, 4], allowed: at least two different values"),
    ({"draws": 50, "replicas": 32, "n_samples": 30}, "replicas: got 32, allowed: at most"),
]


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu")


@pytest.fixture(scope="module")
def results(params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run(params)


def data(seed: int, sets: int = 2, n: int = 4, d: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(sets, n, d, generator=generator, dtype=torch.float64)
    return X, torch.randn(sets, n, generator=generator, dtype=torch.float64)


def point(seed: int, sets: int = 2, runs: int = 3, d: int = 6, depth: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 + seed)
    u = torch.randn(sets, runs, d, generator=generator, dtype=torch.float64)
    return u, 0.5 + torch.rand(sets, runs, depth - 1, generator=generator, dtype=torch.float64)


def written_out(theta: torch.Tensor, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of one run, from its rows ``theta (1, d + D - 1)``."""
    d = X.shape[1]
    outputs = theta[:, :d] @ X.T
    for v in theta[:, d:].unbind(1):
        outputs = outputs * v[:, None]
    return ((outputs - y) ** 2).sum(1) / (2 * len(y))


# --- the model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_gradient_and_hessian_are_those_of_the_loss_written_out(depth):
    X, y = data(depth)
    u, v = point(depth, depth=depth)
    du, dv = neuron.gradient(X, y, u, v)
    H = neuron.hessian(X, y, u, v)
    loss, S = neuron.loss(X, y, u, v), neuron.sharpness(X, y, u, v)
    for k in range(2):
        for r in range(3):
            theta = torch.cat([u[k, r], v[k, r]])[None]
            expected = written_out(theta, X[k], y[k])
            assert torch.allclose(loss[k, r], expected[0], rtol=1e-13)
            slope = curvature.gradient(lambda t, k=k: written_out(t, X[k], y[k]), theta)[0]
            assert torch.allclose(torch.cat([du[k, r], dv[k, r]]), slope, atol=1e-12)
            dense = curvature.dense_hessian(lambda t, k=k: written_out(t, X[k], y[k]), theta)[0]
            assert torch.allclose(H[k, r], dense, atol=1e-12)
            assert float(S[k, r]) == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-12)


def test_a_layer_that_is_masked_is_as_good_as_absent():
    X, y = data(0)
    u, v = point(0, depth=3)
    padded = torch.cat([v, torch.ones(2, 3, 2, dtype=torch.float64)], dim=-1)
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64).expand(2, 3, 4)
    assert torch.allclose(neuron.sharpness(X, y, u, padded, mask), neuron.sharpness(X, y, u, v), rtol=1e-12)
    lr = torch.full((2, 3, 1), 0.01, dtype=torch.float64)
    u1, v1 = neuron.descent(X, y, lr)(u, v)
    u2, v2 = neuron.descent(X, y, lr, mask)(u, padded)
    assert torch.allclose(u1, u2, rtol=1e-14)
    assert torch.allclose(v1, v2[..., :2], rtol=1e-14)
    assert (v2[..., 2:] == 1).all()


def test_a_diverged_run_has_no_sharpness_and_spoils_no_other():
    X, y = data(0)
    u, v = point(0)
    broken = u.clone()
    broken[0, 1] = torch.inf
    found = neuron.sharpness(X, y, broken, v)
    assert bool(found[0, 1].isnan())
    assert int(found.isnan().sum()) == 1


def test_a_batch_is_the_mean_over_its_samples():
    X, y = data(3)
    u, v = point(3)
    share = torch.zeros(2, 3, 4, dtype=torch.float64)
    share[:, :, [0, 2]] = 0.5
    by_hand = neuron.pull(X[:, [0, 2]], y[:, [0, 2]], u, v)
    assert torch.allclose(neuron.pull(X, y, u, v, share), by_hand, atol=1e-14)
    full = torch.full((2, 3, 4), 0.25, dtype=torch.float64)
    assert torch.allclose(neuron.pull(X, y, u, v, full), neuron.pull(X, y, u, v), atol=1e-14)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), depth=st.integers(2, 5), lr=st.floats(1e-3, 2.0))
def test_one_step_changes_the_imbalance_by_the_formula(seed, depth, lr):
    X, y = data(seed)
    u, v = point(seed, depth=depth)
    du, dv = neuron.gradient(X, y, u, v)
    direct = neuron.imbalance(u - lr * du, v - lr * dv) - neuron.imbalance(u, v)
    formula = neuron.imbalance_step(u, v, neuron.pull(X, y, u, v), lr)
    scale = 1 + lr**2 * (du.square().sum() + dv.square().sum())
    assert float((direct - formula).abs().max() / scale) < 1e-12
    if depth > 2:  # scalar layers: (v_i^2 - v_j^2)+ = (v_i^2 - v_j^2) (1 - eta^2 p^2 (u g)^2 / (v_i v_j)^2)
        p = v.prod(-1)
        along = (u * neuron.pull(X, y, u, v)).sum(-1)
        apart, after = v[..., 0] ** 2 - v[..., 1] ** 2, (v - lr * dv)[..., :2] ** 2
        factor = 1 - lr**2 * p**2 * along**2 / (v[..., 0] * v[..., 1]) ** 2
        assert float((after[..., 0] - after[..., 1] - apart * factor).abs().max() / scale) < 1e-12


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), depth=st.integers(2, 5))
def test_the_imbalance_never_falls_while_it_is_not_positive(seed, depth):
    u, v = point(seed, depth=depth)
    u = u / u.norm(dim=-1, keepdim=True) * v.min(-1, keepdim=True).values  # C_i <= 0, one of them zero
    g = torch.randn(u.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert float(neuron.imbalance_step(u, v, g, 0.3).min()) >= -1e-15
    assert float(neuron.imbalance_step(u, v, u, 0.3).min()) == pytest.approx(0, abs=1e-12)  # sharp


# --- the limit ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), depth=st.integers(2, 6), size=st.floats(-4, 4))
def test_the_limit_solves_its_equation(seed, depth, size):
    rng = np.random.default_rng(seed)
    C, Q = 10**size * rng.normal(size=(5, depth - 1)), np.exp(3 * rng.normal(size=5))
    ends = limit(C, Q)
    assert (ends.a > 0).all()
    assert (ends.v2 > 0).all()
    assert np.allclose(np.log(ends.a) + np.log(ends.v2).sum(-1), 2 * np.log(Q), atol=1e-9)
    assert np.allclose(ends.a[:, None] - ends.v2, C, atol=1e-9 * np.abs(C).max() + 1e-12)
    assert np.allclose(ends.p2, ends.v2.prod(-1))
    assert np.allclose(ends.h, (1 / ends.v2).sum(-1))


def test_special_cases_of_the_limit():
    C, Q = np.array([[-1.5], [0.0], [2.0]]), 1.7
    p2 = (np.sqrt(C[:, 0] ** 2 + 4 * Q**2) - C[:, 0]) / 2
    assert np.allclose(limit(C, Q).p2, p2, rtol=1e-13)
    for depth in (2, 3, 5):
        ends = limit(np.zeros(depth - 1), Q)
        assert ends.p2 == pytest.approx(Q ** (2 - 2 / depth), rel=1e-13)
        assert ends.h == pytest.approx((depth - 1) * Q ** (-2 / depth), rel=1e-13)


def test_limit_sharpness_is_that_of_an_interpolator_with_these_imbalances():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5, 9)), rng.normal(size=5)
    _, s, W = reduced(X)
    C, aside = np.array([-0.7, -0.2, 0.4]), 0.5
    ends = limit(C - aside**2, difficulty(s, W.T @ y))
    v = np.sqrt(ends.v2) * np.array([1, -1, 1])
    interpolator = np.linalg.pinv(X) @ y
    perpendicular = np.linalg.svd(X)[2][-1] * aside
    u = interpolator / v.prod() + perpendicular
    layers = torch.tensor(u)[None, None], torch.tensor(v)[None, None]
    both = torch.tensor(X)[None], torch.tensor(y)[None]
    assert np.linalg.norm(interpolator) == pytest.approx(float(difficulty(s, W.T @ y)), rel=1e-12)
    assert float(neuron.loss(*both, *layers)) < 1e-25
    assert np.allclose(neuron.imbalance(*layers)[0, 0], C, atol=1e-12)
    found = limit_sharpness(s, W.T @ y, C - aside**2)
    assert float(neuron.sharpness(*both, *layers)) == pytest.approx(float(found), rel=1e-10)
    assert float(sharpness_at(s, W.T @ y, ends.p2, ends.h)) == float(found)


def test_gradient_descent_with_a_tiny_step_ends_at_the_closed_form():
    X, y = data(5, sets=1, n=3, d=3)
    _, s, W = reduced(X[0].numpy())
    u, v = 0.1 * point(5, sets=1, runs=1, d=3)[0], torch.ones(1, 1, 2, dtype=torch.float64)
    predicted = limit_sharpness(s, W.T @ y[0].numpy(), neuron.imbalance(u, v)[0, 0].numpy())
    step = neuron.descent(X, y, torch.full((1, 1, 1), 0.01, dtype=torch.float64))
    for _ in range(5000):
        u, v = step(u, v)
    assert float(neuron.loss(X, y, u, v)) < 1e-10
    assert float(neuron.sharpness(X, y, u, v)) == pytest.approx(float(predicted), rel=0.01)


# --- theorems -------------------------------------------------------------------------------------------------------


def spectrum(seed: int, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(size=n)), np.exp(rng.normal()) * rng.normal(size=n)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), depth=st.integers(2, 6))
def test_sandwich_of_the_balanced_limit(seed, depth):
    s, d = spectrum(seed)
    unit = s.max() ** 2 * difficulty(s, d) ** (2 - 2 / depth) / len(s)
    assert unit * (1 - 1e-12) <= limit_sharpness(s, d, np.zeros(depth - 1)) <= depth * unit * (1 + 1e-12)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), depth=st.integers(2, 6), C=st.floats(-3, 0))
def test_depth_sharpens_where_the_later_layers_end_above_one(seed, depth, C):
    s, d = spectrum(seed)
    Q = float(difficulty(s, d))
    above = float(limit(np.full(depth - 1, C), Q).v2[0]) - 1
    assert np.sign(above) == np.sign(Q**2 - 1 - C) or abs(above) < 1e-9
    if above >= 0:
        shallow, deep = (limit_sharpness(s, d, np.full(D - 1, C)) for D in (depth, depth + 1))
        assert deep >= shallow * (1 - 1e-12)


def test_depth_flattens_where_the_labels_are_small():
    s, d = spectrum(0)
    d = d * 0.01 / difficulty(s, d)
    values = [float(limit_sharpness(s, d, np.zeros(D - 1))) for D in (2, 3, 4)]
    assert values == sorted(values, reverse=True)


def test_depth_turns_with_the_start_and_with_the_depth():
    one = np.ones(1)
    # One image, u of length 0.1 and all v = 1: depth flattens below a difficulty of 0.1 and sharpens above.
    for Q, order in ((0.05, -1), (0.2, 1)):
        values = [float(limit_sharpness(one, Q * one, np.full(D - 1, 0.1**2 - 1))) for D in (2, 3, 5)]
        assert values == sorted(values)[::order]
    two, three, four = (float(limit_sharpness(one, 0.2 * one, np.zeros(D - 1))) for D in (2, 3, 4))
    assert three < two
    assert three < four


def test_the_sandwich_needs_a_start_in_the_row_space():
    one = np.ones(1)
    assert limit_sharpness(one, one, np.array([0.0 - 2**2])) == pytest.approx(2 * np.sqrt(5))  # above D = 2


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), depth=st.integers(2, 6))
def test_imbalance_lowers_the_limit_sharpness_up_to_zero(seed, depth):
    s, d = spectrum(seed)
    C = np.linspace(-4, 0, 30)
    values = limit_sharpness(s, d, np.repeat(C[:, None], depth - 1, 1))
    assert (np.diff(values) <= 1e-12 * values[1:]).all()


def test_unequal_layers_are_a_counterexample_with_the_golden_ratio():
    one = np.ones(1)
    before = limit_sharpness(one, one, np.array([-0.25, -1, -1]))
    after = limit_sharpness(one, one, np.array([0.0, -1, -1]))
    assert after == pytest.approx(2 * np.sqrt(5), rel=1e-12)
    assert after > 1.009 * before


def test_labels_along_a_singular_vector_have_a_limit_sharpness_by_hand():
    s, depth = np.array([3.0, 1.0, 0.5]), 3
    for k in range(3):
        d = 2.0 * np.eye(3)[k]
        Q = 2.0 / s[k]
        expected = Q ** (2 - 2 / depth) * max(s[0] ** 2, depth * s[k] ** 2) / 3
        assert limit_sharpness(s, d, np.zeros(depth - 1)) == pytest.approx(expected, rel=1e-12)


# --- data -----------------------------------------------------------------------------------------------------------


def test_two_classes_of_digits_have_independent_rows_and_right_labels():
    X, y = two_classes("digits", [3, 8], centre=False)
    assert X.shape == (357, 64)
    assert (X.min(), X.max()) == (0, 1)
    assert int((y == 1).sum()) == 174
    assert np.allclose(two_classes("digits", [3, 8], centre=True)[0].mean(0), 0, atol=1e-14)
    chosen = drawn(np.random.default_rng(0), len(X), 40, 20)
    assert all(len(set(row)) == 40 for row in chosen.tolist())
    assert np.linalg.svd(X[chosen], compute_uv=False)[:, -1].min() > 1e-3


def test_reduced_rows_have_the_inner_products_of_the_images():
    X = np.random.default_rng(0).normal(size=(3, 5, 9))
    rows, s, W = reduced(X)
    assert rows.shape == (3, 5, 5)
    assert np.allclose(rows @ rows.swapaxes(1, 2), X @ X.swapaxes(1, 2))
    assert np.allclose(W @ (s[..., None] * W.swapaxes(1, 2)) @ W @ (s[..., None] * W.swapaxes(1, 2)),
                       X @ X.swapaxes(1, 2))  # fmt: skip


def test_signs_are_turned_where_the_uniform_number_is_below_the_rate():
    y = np.array([1.0, 1.0, -1.0])
    assert flipped(y, 0.5, np.array([0.1, 0.9, 0.2])).tolist() == [-1, 1, 1]


@pytest.mark.parametrize("size", [1, 2, 8])
def test_shares_count_as_many_samples_as_the_batch_has(size):
    shares = _shares(torch.Generator().manual_seed(0), 50, 2, 8, [size], 3)
    assert shares.shape == (50, 2, 3, 8)
    assert ((shares > 0).sum(-1) == size).all()
    assert torch.allclose(shares.sum(-1), torch.ones((), dtype=torch.float64))
    assert abs(float((shares[..., 0] > 0).double().mean()) - size / 8) < 0.1


def test_layers_of_all_depths_stand_in_one_batch():
    v, mask = _layers(0.7, [2, 4], 3, 2)
    assert v.shape == mask.shape == (3, 4, 3)
    assert mask[0].tolist() == [[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]]
    assert v[0, 0].tolist() == [0.7, 1, 1]
    s, d = spectrum(1)
    C = np.full((1, 4, 3), -0.5)
    C[0, 3] = np.nan
    found = _limits(s[None], d[None], C, [2, 4], 2)
    assert found[0, 0] == pytest.approx(float(limit_sharpness(s, d, np.array([-0.5]))))
    assert found[0, 2] == pytest.approx(float(limit_sharpness(s, d, np.full(3, -0.5))))
    assert np.isnan(found[0, 3])


# --- networks -------------------------------------------------------------------------------------------------------


def network(depth: int = 3, runs: int = 2, n: int = 5, d: int = 4, width: int = 6):
    weights = networks.starts(runs, (d, *[width] * (depth - 1), 1), 7, torch.Generator().manual_seed(0))
    X, y = data(1, sets=runs, n=n, d=d)
    return weights, X, y


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_tangent_kernel_and_gradient_are_those_of_automatic_differentiation(depth):
    weights, X, y = network(depth)
    shapes = [W.shape[1:] for W in weights]
    theta = torch.cat([W.flatten(1) for W in weights], dim=1)

    def outputs(rows):
        return networks.forward(tuple(curvature.split(rows, shapes)), X)[0]

    J = curvature.jacobian(outputs, theta)
    K = networks.tangent_kernel(weights, X)
    assert torch.allclose(K, J @ J.mT, atol=1e-12)
    assert torch.allclose(networks.kernel_sharpness(weights, X), torch.linalg.eigvalsh(K)[:, -1] / 5, rtol=1e-12)
    f, given = networks.forward(weights, X)
    expected = curvature.gradient(lambda rows: (outputs(rows) - y).square().mean(-1) / 2, theta)
    found = networks.gradient(weights, given, (f - y) / 5)
    assert torch.allclose(torch.cat([G.flatten(1) for G in found], dim=1), expected, atol=1e-12)
    missing = y - f
    expected = (missing[:, None] @ torch.linalg.solve(K, missing[..., None])).sqrt().flatten()
    assert torch.allclose(networks.kernel_difficulty(weights, X, y), expected, rtol=1e-8)


def test_kernel_difficulty_is_q_for_a_linear_network_of_one_layer():
    X, y = data(2, sets=1, n=3, d=5)
    weights = (torch.zeros(1, 1, 5, dtype=torch.float64),)
    _, s, W = reduced(X[0].numpy())
    found = float(networks.kernel_difficulty(weights, X, y))
    assert found == pytest.approx(float(difficulty(s, W.T @ y[0].numpy())), rel=1e-10)


def test_first_layer_has_the_variance_that_it_would_have_on_the_images():
    weights = networks.starts(400, (10, 20, 1), 64, torch.Generator().manual_seed(0))
    assert float(weights[0].var()) == pytest.approx(1 / 64, rel=0.02)
    assert float(weights[1].var()) == pytest.approx(1 / 20, rel=0.05)


def test_where_the_labels_are_fitted_the_hessian_has_the_sharpness_of_the_kernel():
    weights, X, _ = network()
    y = networks.forward(weights, X)[0]
    found = networks.hessian_sharpness(weights, X, y, 30)
    assert torch.allclose(found, networks.kernel_sharpness(weights, X), rtol=1e-8)
    shapes = [W.shape[1:] for W in weights]
    theta = torch.cat([W.flatten(1) for W in weights], dim=1)

    def loss(rows):
        return (networks.forward(tuple(curvature.split(rows, shapes)), X)[0] - y - 1).square().mean(-1) / 2

    dense = torch.linalg.eigvalsh(curvature.dense_hessian(loss, theta))[:, -1]
    assert torch.allclose(networks.hessian_sharpness(weights, X, y + 1, 60), dense, rtol=1e-6)


def test_training_stops_each_network_at_its_loss_and_is_gradient_descent():
    weights, X, y = network(depth=2)
    lr, target = torch.tensor([0.05, 0.02]), torch.tensor([0.02, 0.01])
    trained = networks.train(weights, X, y, lr, target, 20_000, watch=True)
    losses = (networks.forward(trained.weights, X)[0] - y).square().mean(-1) / 2
    assert bool(trained.reached.all())
    assert bool((losses <= target * 1.001).all())
    assert bool((losses > target / 2).all())
    assert torch.allclose(trained.path[-1], networks.kernel_sharpness(trained.weights, X))
    one = networks.train(weights, X, y, lr, torch.zeros(2), networks.CHECK)
    by_hand = tuple(W.float() for W in weights)
    for _ in range(networks.CHECK):
        f, given = networks.forward(by_hand, X.float())
        slopes = networks.gradient(by_hand, given, (f - y.float()) / 5)
        by_hand = tuple(W - lr[:, None, None] * G for W, G in zip(by_hand, slopes, strict=True))
    for W, expected in zip(one.weights, by_hand, strict=True):
        assert torch.allclose(W, expected.double(), atol=1e-6)
    assert not bool(one.reached.any())


def test_batches_of_all_samples_are_gradient_descent():
    weights, X, y = network(depth=2)
    lr, never = torch.tensor([0.05, 0.02]), torch.zeros(2)
    full = networks.train(weights, X, y, lr, never, 100)
    shuffled = networks.train(weights, X, y, lr, never, 100, 5, torch.Generator().manual_seed(0))
    single = networks.train(weights, X, y, lr, never, 100, 1, torch.Generator().manual_seed(0))
    for W, same, other in zip(full.weights, shuffled.weights, single.weights, strict=True):
        assert torch.allclose(W, same, atol=1e-5)
        assert float((W - other).abs().max()) > 1e-3


# --- the chapter ----------------------------------------------------------------------------------------------------


def test_claims_hold_and_controls_are_refuted(params, results):
    assert verify(params, results).sound, str(verify(params, results))


def test_edge_runs_start_alike_and_their_limits_are_those_of_the_closed_form(params, results):
    r = results.edge
    assert r.steps[-1] == params.n_steps
    assert np.array_equal(r.sharpness[0, ..., 0], r.sharpness[1, ..., 0])
    for k, share in enumerate((params.beyond, params.below, params.below)):
        assert np.allclose(r.edge[k], share * r.predicted[k, ..., 0], rtol=1e-12)
    assert r.loss[1, ..., -1].max() < 1e-4
    assert np.allclose(r.loss[:2, ..., 0], 1, atol=0.3)
    _, s, d, _ = _problems(params, params.rng(7), params.draws)
    for k, share in enumerate((1, 1, params.easy)):
        for row, depth in enumerate(r.depths):
            by_hand = limit_sharpness(s, share * d, np.full(depth - 1, params.init_scale**2 - params.v0**2))
            assert np.allclose(r.predicted[k, row, :, 0], by_hand, rtol=0.04)


def test_gradient_flow_is_tried_from_unequal_layers_of_both_signs_and_a_part_aside(params, monkeypatch):
    found = []
    monkeypatch.setattr(runs, "_flow", lambda *start: found.append(start) or (1.0,) * 5)
    runs.flow.compute(params)
    layers = np.concatenate([v for *_, v in found])
    assert min((layers > 0).sum(), (layers < 0).sum()) > 3
    assert sorted({len(v) + 1 for *_, v in found}) == params.all_depths
    for X, _, u, v in found:
        assert np.linalg.norm(u - np.linalg.pinv(X) @ (X @ u)) > 0.2
        assert len(v) == 1 or np.ptp(np.abs(v)) > 0.005


def test_small_batches_drift_like_the_step_per_sample(results):
    r = results.imbalance
    gain = (r.C[0, ..., -1] - r.C[0, ..., 0]).mean((0, -1))
    assert (gain[..., 0] < 0.05 * gain[..., -1]).all()
    # twice the step makes a single sample's gain at least twice as large: squares of it in every step, half the time
    assert (gain[:, 1] / gain[:, 0] > 1.8).all()
    assert (gain[:, 1] / gain[:, 0] < 3.5).all()


def test_networks_at_the_edge_have_a_step_that_is_too_large_for_the_sharpness_of_the_small_one(params, results):
    r = results.noise
    assert np.allclose(2 / r.edge_lr, params.beyond * r.sharpness[0, 0], rtol=1e-12)
    assert r.edge_path[1:].max() * r.edge_lr.min() / 2 > 1
    assert np.array_equal(r.edge_path[0], r.small_path[0])


def test_networks_that_are_not_trained_are_not_compared(params):
    short = Parameters.resolve(device="cpu", **TINY | {"mlp_steps": 500, "mlp_loss": 1e-4, "mlp_lr": 1e-3})
    verdicts = verify(short, run(short))
    assert verdicts["C6a"].holds is None
    assert verdicts["C6a"].criterion.startswith("mlp_steps:")


def test_nested_data_sets_and_the_two_kinds_of_labels(results):
    r = results.growth
    assert (r.Q[:, 1:] >= r.Q[:, :-1] * (1 - 1e-9)).all()
    assert (r.least * (1 - 1e-9) <= r.Q).all()
    assert r.balanced.shape == (2, len(r.depths), len(r.sizes), r.Q.shape[-1])
    by_hand = r.top[0, 0] * r.Q[0, 0, 0] ** (2 - 2 / r.depths) / r.sizes[0]
    assert ((r.balanced[0, :, 0, 0] >= by_hand) & (r.balanced[0, :, 0, 0] <= r.depths * by_hand)).all()


def test_limits_of_data_sets_lie_between_those_that_their_difficulty_allows(params, results):
    r = results.growth
    for found, Q, C in (
        (r.scaled, np.full_like(r.Q[0], SMALL_Q), 0.0),
        (r.started, r.Q[0], params.init_scale**2 - params.v0**2),
    ):
        for row, depth in enumerate(r.depths):
            ends = limit(np.full((*Q.shape, depth - 1), C), Q)
            unit = r.top / r.sizes[:, None]
            assert (found[row] >= unit * ends.p2 * (1 - 1e-9)).all()
            assert (found[row] <= unit * (ends.p2 + ends.h * Q**2) * (1 + 1e-9)).all()


def test_turned_labels_are_as_long_as_signs_and_have_limits_by_hand(results):
    r = results.turning
    assert np.allclose(r.Q, MANY**0.5 / r.s, rtol=1e-12)
    for found, Q in zip(r.sharpness, (r.Q, r.Q[:1]), strict=True):
        assert np.allclose(found, Q ** (4 / 3) * np.maximum(r.s[0] ** 2, 3 * r.s**2) / MANY, rtol=1e-9)


def test_starts_with_small_batches_have_the_imbalances_they_are_said_to_have(params, results):
    r = results.imbalance
    length = r.C[0, ..., 0] + params.v0**2
    assert 0.3 * params.init_scale**2 < length.min() <= length.max() < 3 * params.init_scale**2
    assert np.allclose(r.C[1, ..., 0], runs.LONG**2 - runs.SHORT**2)


def test_measures_of_the_claims_by_hand():
    by_draws = np.array([[1.0, 4.0], [9.0, 1.0]])
    path = np.repeat(np.stack([by_draws, 2 * by_draws], -1), [5, 195], axis=-1)[None]
    edge = SimpleNamespace(groups=("below",), sharpness=path, predicted=np.full_like(path, 4.0))
    found = C1b.measured(SimpleNamespace(edge=edge))
    assert found == {"rise": pytest.approx(2), "reached": pytest.approx(1), "most": pytest.approx(1.5)}
    growth = SimpleNamespace(
        Q=np.array([[[0.5, 2.0]], [[2.0, 0.5]]]),  # hard by the classes: the second data set
        balanced=np.array([[[[1.0, 1.0]], [[0.5, 3.0]]]] * 2),
        scaled=np.array([[[1.0, 1.0]], [[4.0, 0.25]]]),
        started=np.array([[[1.0, 1.0]], [[1.5, 2.0]]]),
    )
    results = SimpleNamespace(growth=growth)
    assert C3.measured(results) == {"balanced": 3.0, "median": 3.0, "started": 1.5}
    assert C3.measured_in_control(results)["balanced"] == 0.25
