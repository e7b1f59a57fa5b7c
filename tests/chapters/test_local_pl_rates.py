import dataclasses
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.analysis.curvature import dense_hessian, gradient, jacobian
from companion.chapters.local_pl_rates import CLAIMS, Parameters, experiments, rates, run, verify
from companion.chapters.local_pl_rates.descent import asymptotic_rate, on_sphere, sgd
from companion.chapters.local_pl_rates.experiments.networks import GOAL, START, batch_step
from companion.chapters.local_pl_rates.experiments.valleys import starts
from companion.chapters.local_pl_rates.networks import descend, draw_task, extremes, linearized, train
from companion.chapters.local_pl_rates.valleys import Bowl, Valley, near_torus

SMALL = {
    "sigma_list": [2.0, 40.0],
    "n_gamma": 12,
    "n_rep": 4,
    "n_paths": 8,
    "n_momentum": 9,
    "n_noises": 300,
    "n_nets": 3,
    "n_samples": 4,
    "width": 12,
    "net_steps": 300,
}

# tests/test_chapters.py runs these.
TINY = SMALL | {
    "sigma_list": [2.0], "n_gamma": 5, "n_rep": 2, "n_steps": 500, "n_paths": 4, "n_momentum": 5, "n_noises": 10,
    "n_nets": 1, "n_samples": 2, "width": 4, "d_in": 2, "train_steps": 3000, "net_steps": 100,
}  # fmt: skip
EXTREMES = [
    TINY | {"mu": 10.0, "L": 15.0, "sigma_list": [0.1, 0.1], "sigma": 0.1, "h0": 0.09, "turn": 0.8, "batches": [64]},
    TINY | {"mu": 0.1, "L": 10.0, "sigma_list": [500.0], "sigma": 500.0, "h0": 1e-3, "turn": 0.1, "n_steps": 50},
    TINY | {"n_samples": 10, "d_in": 1, "width": 10, "init_scale": 3.0, "target_scale": 5.0, "train_steps": 100},
    TINY | {"n_samples": 6, "d_in": 20, "width": 30, "init_scale": 0.05, "target_scale": 0.1, "batches": [1, 1, 3]},
    TINY | {"L": 1.5, "sigma_list": [3.0], "sigma": 2.0, "train_steps": 1000},
]
REFUSED = [
    ({"L": 0.5}, "L: got 0.5, allowed: from 1.5 mu to 100 mu (1.5 to 100)"),
    ({"turn": 1.0}, "turn: got 1.0, allowed: a number from 0.1 to 0.8"),
    ({"n_samples": 64}, "n_samples: got 64, allowed: at most 60, half the number of weights"),
    ({"n_steps": 100_000, "n_gamma": 1000}, "n_steps: got 100000, allowed: about 25000 at these sizes (memory)"),
]


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu", **SMALL)


@pytest.fixture(scope="module")
def results(params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run(params)


# --- closed forms -------------------------------------------------------------------------------------------------

ends = st.tuples(st.floats(0.2, 2), st.floats(1.1, 30), st.floats(0, 80))


@settings(max_examples=40)
@given(ends, st.floats(0.02, 0.99))
def test_the_rate_is_the_worst_over_the_spectrum_and_below_the_textbook(case, fraction):
    mu, condition, sigma = case
    L = mu * condition
    lr = fraction * 2 / L
    between = np.linspace(mu, L, 301)
    worst = ((1 - lr * between) ** 2 + lr**2 * sigma * between / 2).max()
    assert rates.rate(lr, mu, L, sigma) == pytest.approx(worst, rel=1e-12)
    assert rates.rate(lr, mu, L, sigma) < rates.textbook_rate(lr, mu, L, sigma)
    assert (rates.rate(lr, mu, L, sigma) < 1) == (lr < rates.largest_step(L, sigma))
    # by the descent lemma: f - lr |grad|^2 + L/2 lr^2 (|grad|^2 + sigma f) with |grad|^2 = 2 mu f at its least
    f = 1.0
    after = f - lr * 2 * mu * f + L / 2 * lr**2 * (2 * mu * f + sigma * f)
    assert rates.textbook_rate(lr, mu, L, sigma) == pytest.approx(after)
    many = rates.textbook_rate(np.linspace(0, 1 / L, 20_001), mu, L, sigma).min()
    assert rates.textbook_optimum(mu, L, sigma) == pytest.approx(many, abs=1e-4)


@settings(max_examples=40)
@given(ends)
def test_the_optimal_step_is_the_best_of_many(case):
    mu, condition, sigma = case
    L = mu * condition
    steps = np.linspace(0, rates.largest_step(L, sigma), 20_001)
    best = rates.rate(steps, mu, L, sigma)
    assert rates.optimal_rate(mu, L, sigma) == pytest.approx(best.min(), abs=1e-4)
    assert rates.optimal_rate(mu, L, sigma) <= best.min() + 1e-12
    assert rates.rate(rates.optimal_step(mu, L, sigma), mu, L, sigma) == pytest.approx(rates.optimal_rate(mu, L, sigma))


def test_without_noise_and_at_the_kink_the_rates_are_the_known_ones():
    assert rates.optimal_rate(1.0, 9.0) == pytest.approx(0.8**2)
    assert rates.optimal_step(1.0, 9.0) == pytest.approx(0.2)
    kink = rates.critical_noise(1.0, 9.0)
    assert rates.optimal_step(1.0, 9.0, kink) == pytest.approx(1 / 9)
    assert rates.optimal_rate(1.0, 9.0, kink) == pytest.approx(1 - 1 / 9)
    assert rates.textbook_rate(1 / 9, 1.0, 9.0) == pytest.approx(1 - 1 / 9)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_second_moments_follow_from_the_definition_and_no_covariance_is_worse_than_one_direction(seed, d):
    rng = np.random.default_rng(seed)
    lam, sigma = rng.uniform(0.5, 5, d), rng.uniform(0, 20)
    lr = rng.uniform(0.05, 0.95) * rates.largest_step(lam.max(), sigma)
    q, x = rng.dirichlet(np.full(d, 0.5)), rng.normal(size=d)
    # noise of covariance sigma f(x) diag(q), f = sum lambda x^2 / 2
    after = (1 - lr * lam) ** 2 * x**2 + lr**2 * sigma * (lam * x**2).sum() / 2 * q
    assert np.allclose(rates.moment_matrix(lr, lam, q, sigma) @ x**2, after)
    rate = rates.moment_rate(lr, lam, q, sigma)
    single = rates.mode_rate(lr, lam, sigma)
    assert rate <= single.max() + 1e-12
    if rate > ((1 - lr * lam) ** 2).max() + 1e-6:
        assert (lr**2 * sigma / 2 * (q * lam / (rate - (1 - lr * lam) ** 2)).sum()) == pytest.approx(1, rel=1e-6)
    k = single.argmax()
    assert rates.moment_rate(lr, lam, np.eye(d)[k], sigma) == pytest.approx(single[k])


@pytest.mark.parametrize("m", [1, 2, 3, 10])
def test_the_factor_along_a_path_is_the_mean_logarithm(m):
    lr, lam, sigma = 0.125, 1.0, 10.0
    z = np.random.default_rng(m).normal(size=(200_000, m))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    w = np.zeros(m)
    w[0] = 1.0  # of length one, so that f = lambda / 2
    after = (1 - lr * lam) * w - lr * np.sqrt(sigma * lam / 2) * z
    expected = np.exp(np.log((after**2).sum(1)).mean())
    assert rates.path_rate(lr, lam, sigma, m) == pytest.approx(expected, rel=0.01)
    assert rates.path_rate(lr, lam, sigma, m) < rates.mode_rate(lr, lam, sigma)


def test_in_many_dimensions_paths_have_the_rate_of_the_mean_square():
    lr, lam, sigma, m = 0.125, 1.0, 10.0, 400
    a, b, rho = 1 - lr * lam, lr * np.sqrt(sigma * lam / 2), rates.mode_rate(lr, lam, sigma)
    assert rates.path_rate(lr, lam, sigma, m) / rho - 1 == pytest.approx(-2 * (a * b / rho) ** 2 / m, rel=0.02)


@settings(max_examples=30)
@given(st.floats(0.02, 0.98), st.floats(1.5, 50))
def test_heavy_balls_rate_is_the_squared_spectral_radius(beta, condition):
    mu, L = 1.0, condition
    lr, best = rates.momentum_optimum(mu, L)
    radii = []
    for lam in np.linspace(mu, L, 41):
        step = np.array([[1 + beta - lr * lam, -beta], [1, 0]])
        radii.append(np.abs(np.linalg.eigvals(step)).max() ** 2)
    assert rates.momentum_rate(lr, beta, mu, L) == pytest.approx(max(radii), rel=1e-6)
    assert rates.momentum_rate(lr, best, mu, L) == pytest.approx(best, rel=1e-5)
    assert rates.momentum_rate(lr, beta, mu, L) >= best * (1 - 1e-5)
    assert np.sqrt(best) == pytest.approx((condition**0.5 - 1) / (condition**0.5 + 1))


# --- valleys ------------------------------------------------------------------------------------------------------


def points(seed: int, *shape: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return near_torus(torch.tensor(rng.uniform(-0.3, 0.5, shape)), torch.tensor(rng.uniform(0, 7, shape)))


@pytest.mark.parametrize("turn", [0.0, 0.5])
@pytest.mark.parametrize("power", [2, 4])
def test_gradients_of_valleys_are_those_of_their_values(turn, power):
    lam, x = torch.tensor([1.0, 3.0, 7.0], dtype=torch.float64), points(0, 5, 3)
    valley = Valley(lam, turn, power)
    h = (x.square().sum(-1) - 1) / 2
    angle = torch.atan2(x[:, 0, 1], x[:, 0, 0])
    level = 1 + turn * torch.sin(angle)
    expected = level * (lam * (h**2 / 2 if power == 2 else h**4)).sum(-1)
    value, slope = valley.value_and_gradient(x)
    assert torch.allclose(value, expected, atol=1e-14)
    assert torch.allclose(valley.level(x), level)
    x.requires_grad_()
    (by_autograd,) = torch.autograd.grad(valley.value(x).sum(), x)
    assert torch.allclose(slope, by_autograd, atol=1e-12)


def test_the_normal_hessian_on_the_torus_and_the_curvature_along_it():
    lam = torch.tensor([1.0, 4.0], dtype=torch.float64)
    valley, x = Valley(lam), points(1, 2)

    def hessian(at):
        return dense_hessian(lambda flat: valley.value(flat.reshape(-1, 2, 2)), at.reshape(1, 4))[0]

    n, t = valley.normals(x), valley.tangents(x)
    H = hessian(n)
    for i in range(2):
        normal, tangent = torch.zeros(2, 2, 2, dtype=torch.float64)
        normal[i], tangent[i] = n[i], t[i]
        assert float(normal.flatten() @ H @ normal.flatten()) == pytest.approx(float(lam[i]))
        assert float((H @ tangent.flatten()).norm()) < 1e-12
        h = float((x[i].square().sum() - 1) / 2)
        assert float(tangent.flatten() @ hessian(x) @ tangent.flatten()) == pytest.approx(float(lam[i]) * h)
    assert torch.allclose((n * t).sum(-1), torch.zeros(2, dtype=torch.float64), atol=1e-15)
    assert torch.allclose(t.norm(dim=-1), torch.ones(2, dtype=torch.float64))


def test_starts_near_the_torus_have_the_heights_asked_for():
    h = torch.tensor([0.05, -0.2, 0.0], dtype=torch.float64)
    x = near_torus(h, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64))
    assert torch.allclose((x.square().sum(-1) - 1) / 2, h)
    assert float(Valley(torch.ones(3)).value(x)) == pytest.approx(float((h**2).sum() / 2))


def test_starts_lie_on_both_sides_at_different_heights():
    heights, angles = starts(np.random.default_rng(0), 100, 4, 0.02)
    assert 0.3 < (heights > 0).mean() < 0.7
    assert 0.01 <= np.abs(heights).min() < 0.011
    assert 0.019 < np.abs(heights).max() <= 0.02
    assert np.ptp(angles) > 6


# --- descent ------------------------------------------------------------------------------------------------------


def test_descent_with_momentum_equals_a_plain_loop():
    lam, x = torch.tensor([1.0, 6.0], dtype=torch.float64), points(2, 3, 2)
    valley, momentum = Valley(lam, 0.3), torch.tensor([0.0, 0.2, 0.5])
    last, values = sgd(valley, x, 0.2, 7, momentum=momentum)
    for run_ in range(3):
        at, before = x[run_].numpy(), x[run_].numpy()
        for step in range(7):
            value, slope = valley.value_and_gradient(torch.tensor(at)[None])
            assert values[step, run_] == pytest.approx(float(value[0]))
            at, before = at - 0.2 * slope[0].numpy() + float(momentum[run_]) * (at - before), at
        assert np.allclose(last[run_].numpy(), at)


def test_noise_has_the_second_moment_and_the_place_asked_for():
    lam, runs, block = torch.ones(5, dtype=torch.float64), 4000, 3
    x = points(3, 1, 5).expand(runs, 5, 2)
    valley, generator = Valley(lam, 0.4), torch.Generator().manual_seed(0)
    f, slope = valley.value_and_gradient(x)
    moved, _ = sgd(valley, x, 0.1, 1, sigma=3.0, directions=on_sphere(generator, block, tangential=2000))
    xi = (x - moved) / 0.1 - slope
    assert torch.allclose(xi.square().sum((1, 2)), 3.0 * f)
    assert float(xi[:, block:].abs().max()) < 1e-12
    n, t = valley.normals(x), valley.tangents(x)
    assert float((xi * t)[:2000].sum(-1).abs().max()) < 1e-12
    assert float((xi * n)[2000:].sum(-1).abs().max()) < 1e-12
    along = (xi * n).sum(-1)[:2000, :block]
    assert along.square().mean(0).numpy() == pytest.approx(float(f[0]) * np.ones(block), rel=0.1)
    assert float(along.mean(0).abs().max()) < 0.1 * float(f[0]) ** 0.5
    fixed, _ = sgd(valley, x, 0.1, 1, sigma=3.0, additive=2e-3, directions=on_sphere(generator, block))
    assert torch.allclose(((x - fixed) / 0.1 - slope).square().sum((1, 2)), torch.full((runs,), 2e-3).double())
    more = on_sphere(generator, block, along=0.5)(valley, x)
    assert float((more[:, 0] * t[:, 0]).sum(-1).square().mean()) == pytest.approx(0.5, rel=0.1)


def test_noise_in_one_direction_is_a_fair_sign():
    z = on_sphere(torch.Generator().manual_seed(1), 1)(Bowl(torch.ones(1)), torch.ones(1000, 1, 1).double())
    assert set(z.flatten().tolist()) == {-1.0, 1.0}
    assert abs(float(z.mean())) < 0.1


def test_a_run_stops_where_all_are_at_the_bottom():
    start = torch.ones(2, 1, 1, dtype=torch.float64)
    _, values = sgd(Bowl(torch.ones(1).double()), start, torch.tensor([0.5, 0.3]), 500, until=1e-10)
    assert len(values) < 100
    assert (values[-1] < 1e-10).all()
    assert values[3, 0] == pytest.approx(0.5 * 0.25**3)


def test_rates_are_read_in_the_window_only():
    steps = np.arange(200)
    values = np.stack([0.7**steps, np.where(steps < 20, 1.0, 0.8 ** (steps - 20.0)), np.ones(200)], axis=1)
    values[:, 0] = np.where(values[:, 0] > 1e-28, values[:, 0], 1e-28)
    found = asymptotic_rate(values, 1e-2, 1e-15)
    assert found[:2] == pytest.approx([0.7, 0.8])
    assert np.isnan(found[2])
    assert np.isnan(asymptotic_rate(0.1 ** steps[:40], 1e-2, 1e-15, least=20))
    assert np.isnan(asymptotic_rate(0.99 ** steps[:40], 0.9, 1e-15))


def test_a_path_has_exactly_the_mean_squares_rate_if_the_noise_is_orthogonal_to_the_iterate():
    def orthogonal(problem, x):
        return torch.stack([-x[:, 1], x[:, 0]], dim=1) / x.norm(dim=(1, 2), keepdim=True)

    x = torch.tensor([[[0.3], [-0.4]]], dtype=torch.float64)
    _, values = sgd(Bowl(torch.full((2,), 2.0).double()), x, 0.3, 20, sigma=3.0, directions=orthogonal)
    assert values[1:, 0] / values[:-1, 0] == pytest.approx(float(rates.mode_rate(0.3, 2.0, 3.0)))


# --- networks -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nets():
    return draw_task(np.random.default_rng(0), 3, 5, 7, 4, 0.8, 1.0)


def test_networks_and_their_derivatives_equal_a_plain_computation(nets):
    task, theta = nets
    for k in range(3):
        w, v = theta[k, :28].reshape(7, 4), theta[k, 28:]
        for i in range(5):
            out = float((v * torch.tanh(w @ task.inputs[k, i])).sum() - task.targets[k, i])
            assert float(task.residuals(theta)[k, i]) == pytest.approx(out)
    assert torch.allclose(task.loss(theta), task.residuals(theta).square().sum(1) / 10)
    assert torch.allclose(task.pull(theta), gradient(task.loss, theta), atol=1e-12)
    J = jacobian(task.residuals, theta)
    assert torch.allclose(task.kernel(theta), J @ J.mT, atol=1e-12)
    assert torch.allclose(task.trace(theta), J.square().sum((1, 2)))
    chosen = torch.tensor([[0, 3], [2, 2], [4, 1]])
    each = task.residuals(theta)[..., None] * J
    mean = torch.stack([each[k, chosen[k]].mean(0) for k in range(3)])
    assert torch.allclose(task.pull(theta, chosen), mean, atol=1e-12)


def test_sizes_of_weights_and_targets_are_those_asked_for():
    task, theta = draw_task(np.random.default_rng(1), 40, 30, 50, 3, 0.7, 2.5)
    w, v = task.layers(theta)
    for found, size in ((w, 0.7), (v, 0.7 / 50**0.5), (task.targets, 2.5), (task.inputs, 1)):
        assert float(found.std()) == pytest.approx(size, rel=0.05)


def test_the_noise_of_one_sample_is_its_variance_and_below_the_bound(nets):
    task, theta = nets
    J = jacobian(task.residuals, theta)
    each = task.residuals(theta)[..., None] * J
    value, noise = task.noise(theta)
    assert torch.allclose(noise, (each - each.mean(1, keepdim=True)).square().sum(-1).mean(1))
    assert torch.allclose(value, task.loss(theta))
    assert (noise <= 2 * J.square().sum(-1).amax(-1) * value).all()


def test_training_stops_each_network_at_the_goal(nets):
    task, theta = nets
    trained = train(task, theta, 20_000, 1e-3)
    assert (trained.values[-1] <= 1e-3).all()
    assert (trained.values[-1] > 0.5e-3).all()
    assert trained.values.shape == trained.noise.shape
    short = train(task, theta, 150, 0.0)
    assert short.values.shape == (3, 3)
    low, high = extremes(task.kernel(theta) / task.samples)
    by_hand, first = theta, task.trace(theta)
    for _ in range(100):
        lr = 0.5 / high * first / task.trace(by_hand)
        by_hand = by_hand - lr[:, None] * task.pull(by_hand)
    assert torch.allclose(task.loss(by_hand), torch.tensor(short.values[1]))
    assert (low > 0).all()


def test_the_linear_recursion_equals_powers_of_its_matrix(nets):
    task, theta = nets
    K, r = task.kernel(theta), task.residuals(theta)
    lr = torch.tensor([0.1, 0.2, 0.05], dtype=torch.float64)
    found = linearized(K, r, lr, 6)
    for k in range(3):
        M = torch.eye(5).double() - lr[k] * K[k] / 5
        at = torch.linalg.matrix_power(M, 6) @ r[k]
        assert float(found[-1, k]) == pytest.approx(float(at @ at) / 10)
    chosen = torch.tensor(np.random.default_rng(1).integers(5, size=(4, 3, 2)))
    found = linearized(K, r, lr, 4, chosen)
    for k in range(3):
        at = r[k].clone()
        for b in chosen[:, k]:
            at = at - lr[k] / 2 * (K[k][:, b] @ at[b])
        assert float(found[-1, k]) == pytest.approx(float(at @ at) / 10)


def test_residuals_of_networks_follow_it_to_first_order(nets):
    task, theta = nets
    K, r = task.kernel(theta), task.residuals(theta)
    lr, chosen = torch.full((3,), 1e-6).double(), torch.tensor([[[0, 1], [4, 4], [2, 3]]])
    for batch in ((), (chosen,)):
        _, values = descend(task, theta, lr, 1, *batch)
        linear = linearized(K, r, lr, 1, *batch)
        change = (values[0] - task.loss(theta)) / (linear[0] - task.loss(theta))
        assert change.numpy() == pytest.approx(np.ones(3), abs=1e-3)


def test_steps_of_batches_grow_with_the_batch_up_to_that_of_the_whole_sample(nets):
    task, theta = nets
    K = task.kernel(theta)
    single = 1 / K.diagonal(dim1=-2, dim2=-1).amax(-1)
    whole = task.samples / torch.linalg.eigvalsh(K)[:, -1]
    assert torch.allclose(batch_step(K, 1), single)
    assert torch.allclose(batch_step(K, 64), whole)
    assert (whole >= single).all()


# --- the whole ----------------------------------------------------------------------------------------------------


def test_networks_are_compared_with_the_recursion_at_the_steps_and_on_the_batches_that_are_named(params, results):
    found = results.networks
    shape = params.d_in, params.init_scale, params.target_scale
    task, initial = draw_task(params.rng(11), params.n_nets, params.n_samples, params.width, *shape)
    trained = train(task, initial, params.train_steps, START)
    ended = train(task, trained.theta, params.train_steps, GOAL)
    J, steps = jacobian(task.residuals, ended.theta), params.net_steps
    kernel, r = J @ J.mT, task.residuals(trained.theta)
    low, high = extremes(kernel / params.n_samples)
    assert found.condition == pytest.approx((high / low).numpy())
    assert found.over.bound == pytest.approx(2 * J.square().sum(-1).amax(-1).numpy())
    assert found.over.noise[0] == pytest.approx(task.noise(initial)[1].numpy())

    def same(ratios, lr, *batch):
        _, losses = descend(task, trained.theta, lr, steps, *batch)
        linear = linearized(kernel, r, lr, steps, *batch)
        for net in range(params.n_nets):
            both = np.stack([losses[:, net], linear[:, net]])
            last = int((both.min(0) > 1e-24).cumprod().sum()) - 1
            fall = np.log(both[:, last] / both[:, last // 4])
            assert ratios[net] == pytest.approx(fall[0] / fall[1], rel=1e-6)

    for row, lr in enumerate((1 / high, 2 / (low + high), 0.6 / (low + high))):
        same(found.gd[row], lr)
    rng = params.rng(13)
    for row, batch in enumerate(params.batches):
        chosen = torch.tensor(rng.integers(params.n_samples, size=(steps, params.n_nets, batch)))
        same(found.sgd[row], batch_step(kernel, batch), chosen)


def test_the_picture_shows_the_valley_and_its_least_curvature(results):
    r = results.ring

    def f(x, y):
        return (1 + 0.5 * y / np.hypot(x, y)) * ((x * x + y * y - 1) / 2) ** 2 / 2

    d = 1e-4
    for i, j in ((40, 90), (20, 64), (75, 80)):
        x, y = r.axis[j], r.axis[i]
        assert r.value[i, j] == pytest.approx(f(x, y))
        xx, yy = f(x + d, y) + f(x - d, y) - 2 * f(x, y), f(x, y + d) + f(x, y - d) - 2 * f(x, y)
        xy = (f(x + d, y + d) + f(x - d, y - d) - f(x + d, y - d) - f(x - d, y + d)) / 4
        least = np.linalg.eigvalsh(np.array([[xx, xy], [xy, yy]]) / d**2)[0]
        assert r.curvature[i, j] == pytest.approx(least, abs=1e-5)
    assert f(*r.gd[-1]) < 1e-6 < f(*r.gd[0])


def test_the_spectrum_of_the_valley_is_that_of_the_page(params, results):
    between = [params.mu] * 3 + [(params.mu * params.L) ** 0.5] + [params.L] * 3
    assert np.allclose(results.geometry.eigenvalues[0], [0] * 7 + between, atol=1e-8)
    assert results.momentum.plain == pytest.approx(((params.L - params.mu) / (params.L + params.mu)) ** 2)


def test_sgd_is_run_at_the_best_step_at_six_tenths_of_it_and_half_way_to_the_largest(results):
    r = results.noisy
    for sigma, (best, less, more) in zip(r.sigma, r.lr, strict=True):
        steps = np.linspace(0, 2 / (r.L + sigma / 2), 4001)
        assert best == pytest.approx(steps[rates.rate(steps, r.mu, r.L, sigma).argmin()], abs=steps[1] * 1.1)
        assert (less, more) == pytest.approx((0.6 * best, (best + steps[-1]) / 2))


def test_random_covariances_come_near_the_worst_one_and_do_not_all(results):
    r = results.covariances
    assert r.excess.max() > -0.01
    assert np.median(r.excess) < -1e-3
    assert 0.1 < (r.excess > r.even + 1e-6).mean() < 0.9  # some are worse than noise spread evenly, some better


def test_additive_noise_ends_on_its_stationary_plateau(params, results):
    decay = results.paths.decay[1]
    lr, a = rates.optimal_step(params.mu, params.L, params.sigma), 1e-6
    stationary = params.mu / 2 * lr**2 * a / (1 - (1 - lr * params.mu) ** 2)
    assert decay[len(decay) // 2 :].mean() == pytest.approx(stationary, rel=0.1)


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {claim.id[:2] for claim in CLAIMS} == {"C1", "C2", "C3", "C4", "C5", "C6"}


@pytest.mark.parametrize(
    ("claims", "field", "broken"),
    [
        (["C1a"], "geometry", lambda r: {"constant": r.constant[::-1]}),
        (["C1a"], "geometry", lambda r: {"eigenvalues": r.eigenvalues + 1e-3}),
        (["C1b"], "networks", lambda r: {"hessian": r.hessian + 0.1}),
        (["C2a"], "descent", lambda r: {"valley": r.valley + 0.02}),
        (["C2a"], "descent", lambda r: {"valley": np.sqrt(r.valley)}),
        (["C2b"], "descent", lambda r: {"decay": r.decay[::-1]}),
        (["C2c"], "limits", lambda r: {"measured": r.measured[::-1]}),
        (["C3a"], "noisy", lambda r: {"valley": r.noiseless}),
        (["C3a"], "noisy", lambda r: {"bowl": r.noiseless}),
        (["C3a"], "noisy", lambda r: {"tangential": r.isotropic}),
        (["C3b"], "paths", lambda r: {"decay": r.decay[::-1]}),
        (["C3b"], "paths", lambda r: {"decay": r.decay**2}),
        (["C4a"], "covariances", lambda r: {"excess": r.excess + 1e-3}),
        (["C4b"], "optimum", lambda r: {"at_step": r.at_step + 1e-3}),
        (["C4c"], "paths", lambda r: {"measured": r.measured[::-1]}),
        (["C5a"], "networks", lambda r: {"over": r.under}),
        (["C5b", "C5c"], "networks", lambda r: {"gd": r.gd_initial, "sgd": r.sgd_initial}),
        (["C6"], "momentum", lambda r: {"measured": r.measured * 0 + r.plain}),
    ],
)
def test_broken_runs_make_the_verdict_unsound(params, results, claims, field, broken):
    one = getattr(results, field)
    verdicts = verify(params, dataclasses.replace(results, **{field: dataclasses.replace(one, **broken(one))}))
    for claim in claims:
        assert verdicts[claim].holds is False


def test_networks_that_are_not_trained_to_the_end_are_not_judged(params, results):
    networks = results.networks
    limit, hessian = networks.limit.copy(), networks.hessian.copy()
    limit[0], hessian[0, 0] = 1e-5, 1.0
    verdicts = verify(
        params, dataclasses.replace(results, networks=dataclasses.replace(networks, limit=limit, hessian=hessian))
    )
    assert verdicts["C1b"].holds
    verdicts = verify(
        params, dataclasses.replace(results, networks=dataclasses.replace(networks, limit=np.ones_like(limit)))
    )
    for claim in ("C1b", "C5a", "C5b", "C5c"):
        assert verdicts[claim].holds is None
        assert "train_steps" in verdicts[claim].criterion


def test_too_few_steps_leave_rates_undecided():
    few = Parameters.resolve(device="cpu", **(TINY | {"n_steps": 50, "L": 30.0}))
    verdicts = verify(few, run(few))
    for claim in ("C2a", "C2c", "C3a", "C6"):
        assert verdicts[claim].holds is None
        assert "n_steps" in verdicts[claim].criterion


def test_pl_constants_of_shells_come_near_their_infimum_from_above(params, results):
    r = results.geometry
    infimum = params.mu * (1 - r.shells) ** 2
    assert (r.constant[0] >= infimum).all()
    assert np.allclose(r.constant[0], infimum, rtol=0.06)
    # for lambda h^4 and one circle at the inner edge of the outer half: 8 mu h^2 |x|^2, other circles lower it somewhat
    edge = 1 - r.shells / 2
    single = 8 * params.mu * ((1 - edge**2) / 2) ** 2 * edge**2
    assert (r.constant[1] < 1.1 * single).all()
    assert (r.constant[1] > 0.7 * single).all()


def test_beyond_the_largest_step_nothing_converges(results):
    assert results.descent.unstable > 1e-3


def test_inside_the_circles_the_valley_is_not_convex(results):
    assert results.geometry.inside[0] < -0.1


def test_no_noise_is_worse_than_that_of_the_theorem(results):
    r = results.noisy
    assert (r.isotropic < r.predicted[:, 0] + 0.005).all()
    assert np.allclose(r.isotropic, r.isotropic_predicted, atol=0.01)


def test_same_seed_gives_the_same_runs(params, results):
    assert np.array_equal(experiments.limits(params).measured, results.limits.measured)
