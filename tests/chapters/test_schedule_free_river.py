import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.analysis.curvature import dense_hessian
from companion.chapters.schedule_free_river import CLAIMS, Parameters, run, verify
from companion.chapters.schedule_free_river.averaging import (
    averaging_weights,
    coefficients,
    decay_weights,
    ema_weights,
    mean_age,
    pull,
)
from companion.chapters.schedule_free_river.language import AdamW, ScheduleFree, corpus, evaluate, halves, together
from companion.chapters.schedule_free_river.networks import SquaredLoss, digits, train
from companion.chapters.schedule_free_river.schedule_free import momentum_trajectory, trajectory
from companion.chapters.schedule_free_river.stability import (
    amplification,
    frozen_radius,
    frozen_stable,
    log_path,
    matrix,
    threshold,
    unstable_until,
)
from companion.chapters.schedule_free_river.valley import (
    average_variance,
    bent,
    bent_loss,
    distance,
    excess,
    gradient_variance,
    lag,
    river_speed,
    straight,
)
from companion.models import ensemble
from companion.models.ensemble import Shape
from companion.optim import ScheduleFreeAdamW, ScheduleFreeSGD
from companion.optim import averaging_weights as library_weights

TINY = {
    "betas": [0.1, 0.9],
    "rates": [3e-3, 1e-2],
    "steps": 60,
    "extra": 20,
    "big_batch": 4,
    "big_steps": 30,
    "big_replicas": 1,
    "starts": 2,
    "width": 16,
    "context": 16,
    "windows": 16,
    "edge_steps": 60,
    "edge_images": 40,
    "edge_width": 12,
    "bend_steps": 200,
    "replicas": 100,
    "river_steps": 400,
}
EXTREMES = (
    {**TINY, "betas": [0.05, 0.98], "rates": [1e-4, 0.05], "C": 1.0, "ema": 0.5, "heads": 1, "width": 8, "starts": 1},
    {**TINY, "C": 1000.0, "batch": 3, "blocks": 2, "context": 4, "windows": 8, "ema": 0.9999, "bend_C": 200.0},
    {**TINY, "edge_betas": [0.0, 0.98], "edge_rate": 0.3, "edge_adam": 3e-3, "edge_steps": 100, "bend_rate": 0.05},
    {**TINY, "river_rate": 0.5, "river_steps": 200, "replicas": 10, "bend_C": 1.0, "bend_steps": 100, "corpus": 20_000},
    {**TINY, "river_rate": 0.02, "edge_betas": [0.5, 0.5, 0.6], "edge_steps": 50, "edge_images": 20, "edge_width": 4},
)
REFUSED = (
    ({"betas": [0.5, 0.5]}, "betas: got [0.5, 0.5], allowed: at least two different values"),
    ({"rates": [1e-2, 1e-2]}, "rates: got"),
    ({"width": 33}, "width: got 33, allowed: a multiple of heads (2)"),
    ({"batch": 40}, "big_batch: got 32, allowed: more than batch (40)"),
    ({"width": 1024, "blocks": 12, "betas": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}, "width: got 1024, allowed: at most"),
    ({"context": 1024, "width": 1024, "big_batch": 1024}, "big_batch: got 1024, allowed: at most"),
    ({"betas": [0.1, 0.99]}, "betas: got 0.99 in it"),
    ({"C": 0.5}, "C: got 0.5, allowed: a number from 1 to 1000"),
)


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu")


@pytest.fixture(scope="module")
def results(params):
    return run(params)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def by_step(c):
    return torch.tensor(np.moveaxis(np.atleast_2d(c), 0, 1)[..., None])


def noisy(seed, steps, size=4):
    """A stochastic gradient of a quadratic, the same at every call."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(steps, size, generator=generator, dtype=torch.float64)
    scales = torch.linspace(0.2, 2, size, dtype=torch.float64)
    return lambda w, step: scales * w + noise[step]


# --- the rule and its averages --------------------------------------------------------------------------------------


def test_coefficients_are_shares_of_squared_rates_and_at_most_one():
    lrs = np.array([0.1, 0.2, 0.3, 0.3])
    squares = lrs**2
    expected = [squares[k] / squares[: k + 1].sum() for k in range(4)]
    assert np.allclose(coefficients(lrs, 0.9), expected)
    assert np.allclose(coefficients(lrs, 0.9, 20.0), np.minimum(1, 2 * np.array(expected)))
    assert np.allclose(coefficients(np.ones(5), 0.5, 4.0), [1, 1, 2 / 3, 1 / 2, 2 / 5])
    assert np.allclose(coefficients(np.ones((2, 5)), [0.5, 0.9], [2.0, 10.0]), 1 / np.arange(1, 6))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), beta=st.floats(0, 0.98), C=st.floats(1, 60))
def test_x_is_the_weighted_average_of_the_points_where_gradients_were_taken(seed, beta, C):
    steps = 40
    c = coefficients(np.ones(steps), beta, max(C, 1 / (1 - beta)))
    paths = trajectory(noisy(seed, steps), torch.ones(1, 4, dtype=torch.float64), 0.2, by_step(c), column(beta))
    alpha = averaging_weights(c, beta)
    assert alpha.min() >= 0
    assert alpha.sum() == pytest.approx(1, abs=1e-12)
    average = torch.einsum("t,trd->rd", torch.tensor(alpha), paths.y[1:])
    assert torch.allclose(average, paths.x[-1], atol=1e-10 * float(paths.y.abs().max() + 1))
    a = torch.tensor(pull(c, beta))[:, None, None]
    step = (1 - a) * paths.x[:-1] + a * paths.y[1:]
    assert torch.allclose(step, paths.x[1:], atol=1e-10 * float(paths.y.abs().max() + 1))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), beta=st.floats(0, 0.98), C=st.floats(1, 60))
def test_momentum_form_gives_the_same_paths(seed, beta, C):
    c = by_step(coefficients(np.ones(40), beta, C))
    given_ = (noisy(seed, 40), torch.ones(1, 4, dtype=torch.float64), 0.2, c, column(beta))
    one, other = trajectory(*given_), momentum_trajectory(*given_)
    size = float(one.y.abs().max() + 1)
    for name in ("x", "y", "z"):
        assert torch.allclose(getattr(one, name), getattr(other, name), atol=1e-10 * size), name


@pytest.mark.parametrize(("beta", "C"), [(0.1, None), (0.9, None), (0.5, 12.0), (0.9, 5.0)])
def test_weights_are_those_of_the_library_and_of_the_closed_form(beta, C):
    steps = 60
    alpha = averaging_weights(coefficients(np.ones(steps), beta, C), beta)
    assert np.allclose(alpha, library_weights(steps, beta, C).numpy(), atol=1e-14)
    constant = C or 1 / (1 - beta)
    k = np.arange(1, steps + 1)
    a = constant / (k + beta * constant)
    late = k > (1 - beta) * constant
    assert np.allclose(pull(coefficients(np.ones(steps), beta, C), beta)[late], a[late])


def test_refined_weights_do_not_depend_on_beta_and_original_ones_do():
    ages = [
        [mean_age(averaging_weights(coefficients(np.ones(4000), b, C), b)) / 4000 for b in (0.1, 0.5, 0.9)]
        for C in (None, 20.0)
    ]
    assert np.allclose(ages[0], [0.9 / 1.9, 0.5 / 1.5, 0.1 / 1.1], atol=2e-3)
    assert np.allclose(ages[1], 1 / 21, atol=1e-3)


def test_weights_of_other_averages():
    w = np.random.default_rng(0).normal(size=30)
    e = w[0]
    for value in w[1:]:
        e = 0.9 * e + 0.1 * value
    assert ema_weights(30, 0.9) @ w == pytest.approx(e)
    decay = decay_weights(50, 10)
    assert decay @ np.arange(50.0) == pytest.approx(np.arange(40, 50).mean())
    # Directions that do not depend on the rates: a decay phase ends at the average of the constant run's iterates.
    steps = np.random.default_rng(1).normal(size=50)
    constant = -np.cumsum(steps)
    decayed = -(steps * np.concatenate([np.ones(41), 1 - np.arange(1, 10) / 10])).sum()
    assert decay @ constant == pytest.approx(decayed)


@pytest.mark.parametrize("C", [None, 7.0])
def test_paths_are_those_of_the_optimizers_of_the_library(C):
    beta, lr, steps = 0.8, 0.05, 30
    gradient = noisy(3, steps)
    c = by_step(coefficients(np.ones(steps), beta, C))
    for beta2 in (None, 0.95):
        w = torch.ones(4, dtype=torch.float64, requires_grad=True)
        if beta2 is None:
            optimizer = ScheduleFreeSGD([w], lr=lr, momentum=beta, C=C)
        else:
            optimizer = ScheduleFreeAdamW([w], lr=lr, betas=(beta, beta2), C=C)
        paths = trajectory(gradient, torch.ones(1, 4, dtype=torch.float64), lr, c, column(beta), beta2)
        for k in range(steps):
            w.grad = gradient(w.detach(), k)
            optimizer.step()
        assert torch.allclose(w.detach(), paths.y[-1, 0], atol=1e-12)
        optimizer.eval()
        assert torch.allclose(w.detach(), paths.x[-1, 0], atol=1e-12)


# --- stability ------------------------------------------------------------------------------------------------------


def test_matrix_is_the_step():
    q, beta, c, z, x = 1.7, 0.6, 0.3, 0.8, -1.1
    z_next = z - q * ((1 - beta) * z + beta * x)
    assert np.allclose(matrix(q, beta, c) @ [z, x], [z_next, (1 - c) * x + c * z_next])
    assert np.trace(matrix(q, beta, c)) == pytest.approx(1 - q * (1 - beta) + 1 - c - c * q * beta)
    assert np.linalg.det(matrix(q, beta, c)) == pytest.approx((1 - q * (1 - beta)) * (1 - c))


@settings(max_examples=200)
@given(q=st.floats(0.01, 40), beta=st.floats(0, 0.99), c=st.floats(0.01, 1))
def test_frozen_condition_is_the_spectral_radius(q, beta, c):
    radius = float(frozen_radius(q, beta, c))
    if abs(radius - 1) > 1e-9:
        assert (radius < 1) == bool(frozen_stable(q, beta, c))


def test_unstable_until_is_the_last_unstable_step():
    for q, beta, C in ((6.0, 0.8, 5.0), (9.0, 0.8, 5.0), (2.5, 0.3, 1 / 0.7), (15.0, 0.9, 30.0), (1.9, 0.9, 10.0)):
        k = np.arange(1, 5000)
        c = np.minimum(1, (1 - beta) * C / k)
        unstable = ~frozen_stable(q, beta, c)
        last = k[unstable].max(initial=0)
        assert last <= unstable_until(q, beta, C) < last + 1 or (last == 0 and unstable_until(q, beta, C) == 0)


def test_log_path_follows_the_plain_recursion():
    q, beta, C = 1.3, 0.7, 6.0
    c = coefficients(np.ones(30), beta, C)
    paths = trajectory(
        lambda w, step: q * w, torch.ones(1, 1, dtype=torch.float64), 1.0, by_step(c), column(beta)
    )  # fmt: skip
    x, y = log_path(q, beta, C, 30)
    assert np.allclose(x, np.log10(paths.x[1:, 0, 0].abs().numpy()), atol=1e-9)
    assert np.allclose(y, np.log10(paths.y[1:, 0, 0].abs().numpy()), atol=1e-9)


def test_runs_without_interpolation_are_gradient_descent_at_y():
    _, y = log_path(0.4, 0.0, 1.0, 20)
    assert np.allclose(y, np.arange(1, 21) * np.log10(0.6), atol=1e-12)
    assert threshold(0.0) == 2


def test_blow_up_is_early_and_below_the_threshold():
    beta, q = 0.9, 15.0
    assert 2 < q < threshold(beta)
    x, y = log_path(q, beta, 10.0, 3000)
    assert amplification(q, beta, 10.0, 3000) > 1
    assert y.argmax() <= unstable_until(q, beta, 10.0) + 2
    assert max(x[-1], y[-1]) < 0
    assert amplification(1.5, beta, 10.0, 3000) == 0


# --- rivers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("beta", "C"), [(0.2, 1.25), (0.5, 8.0)])
def test_straight_river_follows_its_laws_by_exact_covariances(beta, C):
    lr, curvature, noise, steps = 0.15 / (1 - beta), 1.3, 0.7, 6000
    c = np.minimum(1, (1 - beta) * C / np.arange(1, steps + 1))
    P, r = np.zeros((2, 2)), np.zeros(2)
    for c_k in c:
        M = matrix(lr * curvature, beta, c_k)
        b = lr * np.array([1, c_k])
        P = M @ P @ M.T + noise**2 * np.outer(b, b)
        before, r = r, matrix(0, beta, c_k) @ r + 2.0 * b
    mix = np.array([1 - beta, beta])
    assert mix @ P @ mix == pytest.approx(gradient_variance(lr, beta, curvature, noise), rel=0.02)
    assert P[1, 1] == pytest.approx(average_variance(steps, C, curvature, noise), rel=0.02)
    speed = mix @ (r - before)
    assert speed == pytest.approx(river_speed(lr, 2.0, beta, C), rel=2e-3)
    assert (mix @ r - r[1]) / speed == pytest.approx(lag(steps, C), rel=5e-3)
    total = 2.0 * (mix @ r - r[1]) + curvature / 2 * P[1, 1]
    assert total == pytest.approx(excess(steps, C, lr, 2.0, beta, curvature, noise), rel=5e-3)


def test_gradients_of_the_rivers_are_those_of_their_losses():
    w = torch.tensor([[0.7, 1.9], [2.0, 0.4]], dtype=torch.float64, requires_grad=True)
    loss = ((w[:, 0] * w[:, 1] - 1) ** 2 / 2 + torch.log1p(torch.exp(-w[:, 1]))).sum()
    assert torch.allclose(torch.autograd.grad(loss, w)[0], bent(w.detach(), 0))
    assert bent_loss(0.7, 1.9) + bent_loss(2.0, 0.4) == pytest.approx(loss.item())
    assert distance(w.detach()).tolist() == pytest.approx([0.33, 0.2])
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 5, dtype=torch.float64)
    slope = straight(0.3, 1.7, 0.0, generator)(points, 0)
    assert torch.allclose(slope[:, 1:], 1.7 * points[:, 1:])
    assert torch.allclose(slope[:, 0], torch.tensor(-0.3, dtype=torch.float64))


# --- networks -------------------------------------------------------------------------------------------------------


def test_sharpness_is_the_largest_eigenvalue_of_the_preconditioned_hessian():
    rng = np.random.default_rng(0)
    loss = SquaredLoss(*digits(15, rng), [3])
    start = loss.start(torch.Generator().manual_seed(0)).expand(2, -1).clone()
    beta, adaptive, lr, beta2, steps = column(0.3, 0.3), torch.tensor([[False], [True]]), column(0.2, 0.01), 0.9, 12
    c = by_step(coefficients(np.ones((2, steps)), [0.3, 0.3]))
    found = train(loss, start, lr, c, beta, adaptive, beta2, 1, steps, 60, torch.Generator().manual_seed(1))
    gradients = []

    def gradient(w, step):
        w = w.detach().requires_grad_(True)
        gradients.append(torch.autograd.grad(loss(w).sum(), w)[0])
        return gradients[-1]

    paths = trajectory(gradient, start[:1], 0.01, c[:, :1], column(0.3), beta2)
    v = sum((1 - beta2) * beta2 ** (steps - 1 - k) * g[0] ** 2 for k, g in enumerate(gradients)) / (1 - beta2**steps)
    D = v.sqrt() + 1e-8
    for place, point in enumerate((paths.x[-1], paths.y[-1])):
        H = dense_hessian(loss, point)[0]
        top = torch.linalg.eigvalsh(H / (D[:, None] * D).sqrt())[-1]
        assert found.sharpness[place, 1, 0] == pytest.approx(top.item() * 0.01 / 2, rel=1e-4)
    assert found.plain[1, 0] == pytest.approx(torch.linalg.eigvalsh(H)[-1].item() * 0.01 / 2, rel=1e-4)
    assert found.loss[1, 1, 0] == pytest.approx(loss(paths.y[-1]).item())
    plain = trajectory(gradient, start[:1], 0.2, c[:, :1], column(0.3))
    H = dense_hessian(loss, plain.y[-1])[0]
    assert found.sharpness[1, 0, 0] == pytest.approx(torch.linalg.eigvalsh(H)[-1].item() * 0.2 / 2, rel=1e-4)


def test_a_run_that_diverges_has_no_sharpness():
    loss = SquaredLoss(*digits(15, np.random.default_rng(0)), [3])
    start = loss.start(torch.Generator().manual_seed(0)).expand(2, -1).clone()
    c = by_step(coefficients(np.ones((2, 30)), [0.5, 0.5]))
    adaptive = torch.tensor([[False], [False]])
    generator = torch.Generator().manual_seed(1)
    found = train(loss, start, column(0.1, 1e200), c, column(0.5, 0.5), adaptive, 0.9, 1, 30, 5, generator)
    assert np.isfinite(found.sharpness[:, 0]).all()
    assert np.isnan(found.sharpness[:, 1]).all()


def test_digits_are_centred_distinct_and_labelled():
    images, targets = digits(50, np.random.default_rng(0))
    assert torch.allclose(images.mean(0), torch.zeros(64, dtype=torch.float64), atol=1e-12)
    assert torch.equal(targets.sum(1), torch.ones(50, dtype=torch.float64))
    assert len(torch.unique(images, dim=0)) == 50


# --- language models ------------------------------------------------------------------------------------------------

SHAPE = Shape(width=8, blocks=1, heads=2, context=8)


def started(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ensemble.flatten(ensemble.initial(SHAPE, count, generator, distinct=True, dtype=torch.float64))


def some_windows(steps):
    return torch.randint(96, (steps, 2, 9), generator=torch.Generator().manual_seed(5))


def test_members_move_as_the_optimizers_of_torch_and_of_the_library_move_one_model():
    start, symbols = started(1), some_windows(12)
    factors = [min(1.0, k / 4) for k in range(1, 13)]
    adam = AdamW(start.repeat(2, 1), [1e-3, 2e-2], (0.9, 0.99))
    free = ScheduleFree(start.repeat(2, 1), [1e-2, 1e-2], [0.9, 0.9], [10.0, 25.0], 0.99)
    for drawn, factor in zip(symbols, factors, strict=True):
        together(SHAPE, (adam, free), drawn, (factor, factor))
    for member, make in enumerate(
        (
            lambda w: torch.optim.AdamW([w], lr=2e-2, betas=(0.9, 0.99), weight_decay=0),
            lambda w: ScheduleFreeAdamW([w], lr=1e-2, betas=(0.9, 0.99), warmup_steps=4),
            lambda w: ScheduleFreeAdamW([w], lr=1e-2, betas=(0.9, 0.99), warmup_steps=4, C=25.0),
        )
    ):
        w = start[0].clone().requires_grad_(True)
        optimizer = make(w)
        for drawn, factor in zip(symbols, factors, strict=True):
            if member == 0:
                optimizer.param_groups[0]["lr"] = 2e-2 * factor
            optimizer.zero_grad()
            ensemble.losses(SHAPE, ensemble.unflatten(SHAPE, w[None]), drawn).sum().backward()
            optimizer.step()
        if member == 0:
            assert torch.allclose(adam.points[1], w.detach(), atol=1e-10)
        else:
            assert torch.allclose(free.points[member - 1], w.detach(), atol=1e-10)
            optimizer.eval()
            assert torch.allclose(free.x[member - 1], w.detach(), atol=1e-10)


def test_a_branch_goes_on_with_the_moments_and_leaves_the_run_alone():
    adam = AdamW(started(2), [1e-2, 1e-3], (0.9, 0.99))
    for drawn in some_windows(4):
        together(SHAPE, (adam,), drawn, (1.0,))
    twin, before = adam.branch(), adam.points.clone()
    together(SHAPE, (twin,), some_windows(1)[0], (0.5,))
    assert torch.equal(adam.points, before)
    assert not torch.equal(twin.points, before)
    together(SHAPE, (adam,), some_windows(1)[0], (0.5,))
    assert torch.equal(adam.points, twin.points)


def test_text_is_split_by_position_and_evaluated_apart():
    text = corpus(20_000, 8)
    assert len(text.train) + len(text.validation) == 20_000
    assert len(text.validation) == 2000
    sets = torch.stack([ensemble.spread(text.validation, 6, 8), ensemble.spread(text.validation, 6, 8).flip(0)])
    found = evaluate(SHAPE, started(2), sets)
    assert found.shape == (2, 2)
    assert np.allclose(found[:, 0], found[:, 1])


# --- the whole ------------------------------------------------------------------------------------------------------


def test_halves_of_the_validation_windows_are_disjoint():
    text = torch.arange(500)
    chosen, reported = halves(text, 21, 8)
    assert chosen.shape == reported.shape == (10, 9)
    assert not set(chosen[:, 0].tolist()) & set(reported[:, 0].tolist())
    assert (reported[:, 0] > chosen[:, 0]).all()


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {claim.id[:2] for claim in CLAIMS} == {f"C{k}" for k in range(1, 9)}


def test_members_share_start_and_windows(results):
    r = results.language
    # C = 1/(1 - beta) by either name, so the largest beta's variants differ by C alone; all begin alike.
    assert r.x.shape == (3, 3, 2)
    assert r.side.shape == r.side_decayed.shape == r.side_average.shape == (2, 3)
    assert r.side[0, 0] == r.adam[-1]
    assert r.side[1, 0] == r.x[-1, -1, 0]
    assert len(np.unique(r.side[0])) == 3
    assert len(r.steps) == r.x_path.shape[-1] == len(r.adam_path)
    assert np.allclose(r.x_path[..., -1], r.x[-1])
    assert (r.z[-1, -1] > r.x[-1, -1] + 0.2).all()


def test_storage_counts_what_is_kept(results):
    assert results.storage.numbers.tolist() == [2, 2, 2, 3]


def test_distances_on_the_bent_river_have_their_reference_values(results):
    assert results.bent.x_distance[0] == pytest.approx([0.4327, 0.2088, 0.0163], abs=2e-3)
    assert results.bent.y_distance[0] == pytest.approx([0.0323, 0.0109, 0.0001], abs=2e-3)
    assert results.bent.x_distance[1] == pytest.approx([0.0023, 0.0024, 0.0034], abs=1e-3)


def test_the_best_constant_grows_like_the_root_of_the_batch(results):
    r = results.straight
    best = r.constants[r.excess_law.argmin(1)]
    assert (np.diff(best) > 0).all()
    assert best[-1] / best[1] == pytest.approx(10, rel=0.7)


@pytest.mark.parametrize(
    ("claims", "broken"),
    [
        (["C1"], lambda r: {"language": dataclasses.replace(r.language, side=r.language.side_decayed)}),
        (["C2a"], lambda r: {"language": dataclasses.replace(r.language, side_decayed=r.language.side_decayed - 0.1)}),
        (
            ["C2b"],
            lambda r: {"language": dataclasses.replace(r.language, side_segment=r.language.side_segment[[0, 0]])},
        ),
        (["C3a"], lambda r: {"identities": dataclasses.replace(r.identities, weighted=r.identities.uniform)}),
        (["C4a"], lambda r: {"thresholds": dataclasses.replace(r.thresholds, above=r.thresholds.below)}),
        (["C4d"], lambda r: {"oscillation": dataclasses.replace(r.oscillation, amplitude=2 * r.oscillation.law)}),
        (["C4e", "C4f"], lambda r: {"sharpness": dataclasses.replace(r.sharpness, y=r.sharpness.plain / 2)}),
        (["C5a"], lambda r: {"straight": dataclasses.replace(r.straight, lag=2 * r.straight.lag)}),
        (["C5b"], lambda r: {"bent": dataclasses.replace(r.bent, x_distance=r.bent.y_distance)}),
        (["C5c"], lambda r: {"language": dataclasses.replace(r.language, y_average=r.language.x)}),
        (["C6"], lambda r: {"language": dataclasses.replace(r.language, x=r.language.x[..., [0, 0]])}),
        (["C7a"], lambda r: {"large": dataclasses.replace(r.large, large=-r.large.large)}),
        (["C7b"], lambda r: {"straight": dataclasses.replace(r.straight, excess=r.straight.still)}),
        (["C8"], lambda r: {"language": dataclasses.replace(r.language, x=r.language.z)}),
    ],
)
def test_broken_runs_make_the_verdict_unsound(params, results, claims, broken):
    verdicts = verify(params, dataclasses.replace(results, **broken(results)))
    for claim in claims:
        assert verdicts[claim].holds is False


def test_too_short_runs_leave_the_language_models_undecided():
    tiny = Parameters.resolve(device="cpu", **TINY)
    verdicts = verify(tiny, run(tiny))
    undecided = {v.claim for v in verdicts if not v.decided}
    assert {"C1", "C2a", "C2b", "C5a", "C5c", "C6", "C7a", "C8"} <= undecided
    assert all("steps" in verdicts[claim].criterion for claim in undecided)
    assert len(undecided) < len(CLAIMS) / 2
