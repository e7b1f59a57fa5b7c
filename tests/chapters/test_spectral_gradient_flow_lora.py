import dataclasses
import math
import types
import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from companion.analysis.spectra import product_singular_values
from companion.chapters.spectral_gradient_flow_lora import CLAIMS, Parameters, claims, experiments, finetuning, theory
from companion.chapters.spectral_gradient_flow_lora.experiments import adaptation, factorization
from companion.chapters.spectral_gradient_flow_lora.experiments.factorization import Runs
from companion.chapters.spectral_gradient_flow_lora.finetuning import Adaptation, AdaptedMLP, follow, optimizer
from companion.chapters.spectral_gradient_flow_lora.flow import (
    gradient_flow,
    gradients,
    loss,
    muon_run,
    spectral_flow,
    warm_up,
)
from companion.chapters.spectral_gradient_flow_lora.muon import Muon, muon_step
from companion.models.batched import BatchedMLP
from companion.optim.orthogonalize import newton_schulz, polar

# tests/test_chapters.py runs these.
TINY = {
    "rows": 6, "columns": 5, "spectrum": [2.0, 1.0], "alphas": [0.02, 0.002], "seeds": 1, "eta": 1e-2,
    "narrow_rank": 2, "narrow_modes": 3, "band_beta": 0.02, "conv_rows": 4, "conv_columns": 4,
    "conv_spectrum": [2.0, 1.0, 0.5], "conv_rank": 2, "beta_conv": 0.5, "t_conv": 2.0, "lams": [0.3],
    "init_scales": [0.5], "conv_seeds": 1, "sweep_seeds": 1, "digits_seeds": 1, "digits_steps": 20,
    "lora_rank": 2, "width": 32, "context": 8, "text_bytes": 20_000, "pretrain_steps": 10, "batch": 2,
    "adapt_steps": 20, "loss_drop": 0.02,
}  # fmt: skip
EXTREMES = [
    TINY | {"spectrum": [20.0, 0.9], "alphas": [0.2, 0.2, 1e-4], "level": 0.5, "band_alpha": 0.05, "band_beta": 0.05},
    TINY
    | {"spectrum": [1.01, 1.0], "alphas": [0.2, 0.1], "level": 0.95, "beta": 1e-6, "adapt_steps": 4, "loss_drop": 1.5},
    TINY | {"conv_spectrum": [20.0, 0.3, 0.05], "lams": [0.3, 10.0, 0.05], "init_scales": [0.01, 4.0], "t_conv": 1.0},
    TINY
    | {
        "conv_rank": 3,
        "beta_conv": 1.0,
        "lora_rank": 32,
        "muon_lrs": [3.0, 1e-4],
        "adamw_lrs": [3.0],
        "sgd_lrs": [3.0],
    },
]
REFUSED = [
    ({"spectrum": [1.0, 2.0]}, "spectrum: got [1.0, 2.0], allowed: decreasing, no value twice"),
    ({"columns": 3}, "spectrum: got 5 values, allowed: at most 3 at this shape"),
    ({"narrow_rank": 10}, "narrow_rank: got 10, allowed: at most 9 here"),
    ({"conv_rank": 7}, "conv_rank: got 7, allowed: at most 6 here"),
    ({"spectrum": [2.0, 0.1]}, "band_alpha: got 0.3, allowed: a square below half the least of spectrum"),
    ({"alphas": [0.2, 0.1], "spectrum": [2.0, 0.5]}, "alphas: got 0.2 in it"),
    ({"spectrum": [20.0, 0.3], "band_alpha": 0.1}, "spectrum: got [20.0, 0.3], allowed: the largest at most 50 times"),
    ({"t_conv": 50.0, "beta_conv": 0.02}, "t_conv: got 50.0, allowed: at most"),
    ({"conv_rows": 256, "conv_columns": 256, "conv_seeds": 128}, "conv_seeds: got 128, allowed: at most"),
    ({"width": 66}, "width: got 66, allowed: an integer from 32 to 512, a multiple of 4"),
]


def gaussian(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frame(size, count, seed):
    return torch.linalg.qr(gaussian(size, count, seed=seed)).Q


def aligned(s, a, b, seed=0, m=7, n=6):
    """Target and factors that share singular vectors, with a random rotation between the factors."""
    r = len(a)
    U, V, Q = frame(m, len(s), seed), frame(n, len(s), seed + 1), frame(r, r, seed + 2)
    s, a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (s, a, b))
    return (U * s) @ V.mT, (U[:, :r] * b) @ Q, Q.mT @ (V[:, :r] * a).mT, U, V


# --- the flows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.0, 0.7])
def test_gradients_are_those_of_the_loss(lam):
    B, A, M = gaussian(3, 5, 2).requires_grad_(), gaussian(3, 2, 4, seed=1).requires_grad_(), gaussian(5, 4, seed=2)
    loss(B, A, M, lam).sum().backward()
    assert torch.allclose(gradients(B.detach(), A.detach(), M, lam)[0], B.grad, atol=1e-12)
    assert torch.allclose(gradients(B.detach(), A.detach(), M, lam)[1], A.grad, atol=1e-12)
    direct = ((B @ A - M) ** 2).sum((1, 2)) / 2 + lam / 2 * ((B**2).sum((1, 2)) + (A**2).sum((1, 2)))
    assert torch.allclose(loss(B, A, M, torch.full((3,), lam, dtype=torch.float64)), direct, atol=1e-12)


def test_from_an_aligned_start_each_mode_follows_the_scalar_flow_and_no_other():
    s, a, b, beta = [4.0, 2.0, 1.0, 0.5], [0.3, 0.2, 0.4], [0.1, 0.5, 0.2], 0.05
    M, B, A, U, V = aligned(s, a, b)
    sizes = torch.full((400, 1), 0.002, dtype=torch.float64)
    (modes,) = spectral_flow(
        B[None], A[None], M, sizes, beta=beta, record=lambda B, A: ((U.mT @ B @ A @ V)[0],), every=50
    )
    path = theory.scalar_flow(np.array(a), np.array(b), np.array(s[:3]), beta, np.full(400, 0.002))
    expected = (path[0] * path[1])[::50]
    assert np.allclose(modes.diagonal(dim1=1, dim2=2)[:, :3].numpy(), expected, atol=1e-10)
    assert (modes - torch.diag_embed(modes.diagonal(dim1=1, dim2=2))).abs().max() < 1e-10


def test_scalar_flow_solves_its_equation_and_gradient_flow_is_its_limit():
    a, b, s = np.array([0.2, 0.1]), np.array([0.5, 0.1]), np.array([2.0, 1.0])
    for beta, tau in ((0.3, lambda g: g / np.hypot(g, 0.3)), (np.inf, lambda g: g)):
        found = theory.scalar_flow(a, b, s, beta, np.full(20_000, 1e-4))

        def slope(_, x, tau=tau):
            return np.concatenate([tau(x[2:] * (s - x[:2] * x[2:])), tau(x[:2] * (s - x[:2] * x[2:]))])

        exact = solve_ivp(slope, (0, 2), np.concatenate([a, b]), rtol=1e-10, atol=1e-12).y[:, -1]
        # Euler's method with a step of 1e-4 over a time of two.
        assert np.allclose(np.concatenate([found[0][-1], found[1][-1]]), exact, atol=1e-3)


def test_gradient_flow_follows_the_logistic_curve():
    s, alpha = np.array([3.0, 1.0]), 0.05
    M, B, A, U, V = aligned(s, [alpha] * 2, [alpha] * 2)
    (modes,) = gradient_flow(
        B[None], A[None], M, steps=100, size=0.04, every=10, record=lambda B, A: ((U.mT @ B @ A @ V)[0].diagonal(),)
    )
    t = 0.4 * np.arange(11)[:, None]
    assert np.allclose(modes.numpy(), theory.gradient_value(t, s, alpha), atol=1e-5)
    for level in (0.3, 0.9):
        at = theory.gradient_time(s, alpha, level)
        assert np.allclose(theory.gradient_value(at, s, alpha), level * s, rtol=1e-12)


def test_gradient_flow_takes_four_orders():
    M, B, A, *_ = aligned([2.0, 1.0], [0.5, 0.5], [0.4, 0.3])
    ends = [
        gradient_flow(B[None], A[None], M, steps=n, size=1 / n, every=n, record=lambda B, A: (B @ A,))[0][-1]
        for n in (5, 10, 160)
    ]
    coarse, fine = ((end - ends[-1]).norm() for end in ends[:2])
    assert 12 < coarse / fine < 22


def test_polar_flow_moves_at_unit_speed_whatever_the_target():
    s, alpha = np.array([4.0, 2.0, 0.5]), 0.1
    M, B, A, U, V = aligned(s, [alpha] * 3, [alpha] * 3)
    sizes = torch.full((1500, 1), 1e-3, dtype=torch.float64)
    (modes,) = spectral_flow(
        B[None], A[None], M, sizes, beta=1e-7, every=100, record=lambda B, A: ((U.mT @ B @ A @ V)[0].diagonal(),)
    )
    t = 0.1 * np.arange(16)[:, None]
    # Steps of 1e-3 overshoot a target by as much.
    assert np.allclose(modes.numpy(), theory.spectral_value(t, s, alpha), atol=5e-3)
    at = theory.spectral_time(s, alpha, 0.9)
    assert np.allclose(theory.spectral_value(at, s, alpha), 0.9 * s, rtol=1e-12)
    assert theory.spectral_time(1.0, 2.0, 0.9) == theory.gradient_time(1.0, 2.0, 0.9) == 0


def test_two_orthogonalizations_align_by_themselves_while_the_product_is_small():
    m, n, r, size = 8, 7, 4, 1e-3
    U, V, s = frame(m, r, 3), frame(n, r, 4), torch.tensor([3.0, 2.0, 1.5, 1.0], dtype=torch.float64)
    M, A0 = (U * s) @ V.mT, 0.3 * gaussian(r, n, seed=5)
    B, A = torch.zeros(m, r, dtype=torch.float64), A0
    O = polar(torch.diag(s) @ (A0 @ V).mT)  # noqa: E741 - the orthogonal factor
    for _ in range(800):  # the residual kept at -M
        B, A = B + size * polar(M @ A.mT), A + size * polar(B.mT @ M) * (B.abs().max() > 0)
    t = 800 * size
    assert torch.allclose(B, t * U @ O, atol=1e-10)
    # B is zero in the first step, so A starts one step later.
    assert torch.allclose(A, A0 + (t - size) * O.mT @ V.mT, atol=1e-10)
    values = product_singular_values(B, A)
    assert (values - t**2).abs().max() <= t * (torch.linalg.matrix_norm(A0, 2) + size)


@pytest.mark.parametrize("K", [3.0, 10.0])
def test_band_has_the_width_of_the_theorem(K):
    t = np.linspace(0, 3, 7)
    low, high = theory.band(t, 0.1, K)
    assert np.all(high - low >= 0)
    assert np.all(high - low <= t / (2 * K**2))
    assert np.allclose((low - 0.1) / np.where(t > 0, t, 1), np.where(t > 0, K / np.hypot(K, 1), 0))


def test_warm_up_reaches_the_end_and_starts_below_the_start():
    starts = np.array([0.1, 0.001])
    sizes = warm_up(5e-3, starts, 1.0)
    assert np.allclose(sizes.sum(0), 1.0, atol=1e-12)
    assert np.all(sizes[0] < 1e-3 * starts)
    assert sizes.max() == 5e-3
    before = np.concatenate([np.zeros((1, 2)), np.cumsum(sizes, 0)[:-1]])
    assert np.all(sizes <= 0.02 * (before + 0.01 * starts) + 1e-15)


def test_a_step_that_is_too_long_at_the_start_never_ends_as_the_warm_up_is_for():
    """A mode with factors of opposite sign jumps over zero for ever unless the first steps are shorter than both."""
    M, B, A, U, V = aligned([2.0, 1.0], [1e-3, -1e-3], [2e-3, 1.2e-3])
    ends = []
    for sizes in (np.full((300, 1), 5e-3), warm_up(5e-3, np.array([1e-3]), 1.5)):
        found = spectral_flow(B[None], A[None], M, torch.tensor(sizes), beta=1e-7, every=len(sizes),
                              record=lambda B, A: ((U.mT @ B @ A @ V)[0].diagonal(),))  # fmt: skip
        ends.append(found[0][-1].numpy())
    assert abs(ends[0][1]) < 0.01
    assert ends[1][1] == pytest.approx(1, abs=0.02)


def test_least_loss_is_the_minimum_that_descent_finds():
    s, lam, rank = np.array([3.0, 1.5, 1.0, 0.4]), 1.2, 3
    M, *_ = aligned(s, [0.1] * 3, [0.1] * 3)
    B, A = gaussian(7, rank, seed=8).requires_grad_(), gaussian(rank, 6, seed=9).requires_grad_()
    search = torch.optim.LBFGS([B, A], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        search.zero_grad()
        value = loss(B, A, M, lam)
        value.backward()
        return value

    search.step(closure)
    assert loss(B, A, M, lam).item() == pytest.approx(theory.least_loss(s, rank, lam), abs=1e-8)
    assert np.allclose(product_singular_values(B, A).detach().numpy(), [1.8, 0.3, 0], atol=1e-4)
    assert theory.soft_threshold(s, rank, lam).tolist() == pytest.approx([1.8, 0.3, 0, 0])


def test_slowest_rate_is_the_least_positive_curvature_at_the_minimum():
    for s, rank, lam in (([3.0, 1.5, 1.0, 0.4], 2, 0.0), ([3.0, 1.5, 1.0], 3, 1.2), ([3.0, 2.0, 1.7], 2, 0.6)):
        M, _, _, U, V = aligned(np.array(s), [0.1], [0.1], m=5, n=4)
        root = torch.tensor(np.sqrt(theory.soft_threshold(np.array(s), rank, lam)[:rank]))
        point = torch.cat([(U[:, :rank] * root).flatten(), (V[:, :rank] * root).mT.flatten()])

        def value(x, M=M, rank=rank, lam=lam):
            return loss(x[: 5 * rank].view(5, rank), x[5 * rank :].view(rank, 4), M, lam)

        curvature = torch.linalg.eigvalsh(torch.func.hessian(value)(point))
        least = float(curvature[curvature > 1e-8].min())
        assert theory.slowest_rate(np.array(s), rank, lam) <= least + 1e-9
        assert theory.slowest_rate(np.array(s), rank, lam) >= least / 3


def test_order_of_arrival():
    assert theory.order(np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])).tolist() == [1, -1, 0]
    assert theory.order(np.array([1.0, 2.0, np.inf])) == -1
    close = np.array([2.0, 1.0, 3.0])
    assert theory.order(close) == pytest.approx(-1 / 3)
    assert theory.order(close, np.array([5.0, 4.5, 1.0]), 1.5) == -1


def test_gradient_flow_has_an_order_from_small_starts_only():
    s = np.array([5.0, 2.0, 1.0])
    assert theory.largest_first(s, 0.01, 0.9)
    assert not theory.largest_first(s, 0.9, 0.9)
    assert theory.gradient_time(s, 0.9, 0.9).round(2).tolist() == [0.38, 0.65, 0.37]


def test_a_wide_gaussian_matrix_is_as_flat_as_the_edges_of_its_law():
    values = torch.linalg.svdvals(gaussian(100, 400, seed=3))
    assert float(values[-1] / values[0]) == pytest.approx(theory.gaussian_flatness(100, 400), abs=0.03)


# --- Muon --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_muon_moves_as_torchs_does(shape):
    ours, theirs = (torch.nn.Parameter(torch.zeros(shape)) for _ in range(2))
    rules = Muon([ours], lr=0.1), torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0)
    for step in range(4):
        for p in (ours, theirs):
            p.grad = gaussian(*shape, seed=step).float()
        for rule in rules:
            rule.step()
    # torch orthogonalizes in bfloat16, which keeps three digits.
    assert torch.allclose(ours, theirs, atol=0.03)
    assert ours.norm() > 0.3


def test_muon_takes_a_batch_as_its_members_and_remembers_by_exponential_averages():
    batch, alone = torch.nn.Parameter(torch.zeros(3, 4, 2)), [torch.nn.Parameter(torch.zeros(4, 2)) for _ in range(3)]
    rules = Muon([batch], lr=0.1), Muon(alone, lr=0.1)
    for step in range(3):
        batch.grad = gaussian(3, 4, 2, seed=step).float()
        for k, p in enumerate(alone):
            p.grad = batch.grad[k].clone()
        for rule in rules:
            rule.step()
    assert torch.allclose(batch, torch.stack([p.detach() for p in alone]), atol=1e-6)
    average, _ = muon_step(torch.ones(2, 2), 3 * torch.ones(2, 2), momentum=0.75)
    assert torch.allclose(average, torch.full((2, 2), 1.5))
    before, gradient = gaussian(4, 3), gaussian(4, 3, seed=1)
    average, direction = muon_step(before, gradient, momentum=0.75)
    assert torch.allclose(direction, newton_schulz(0.75 * average + 0.25 * gradient, eps=1e-30))
    with pytest.raises(ValueError, match="lr, momentum: got -1"):
        Muon([batch], lr=-1.0)


def test_muon_run_is_the_optimizer_on_the_loss():
    M, B, A, *_ = aligned([2.0, 1.0], [0.3, 0.2], [0.1, 0.2], m=5, n=5)
    found = muon_run(B[None], A[None], M, torch.full((5, 1), 0.01, dtype=torch.float64), every=5,
                     record=lambda B, A: (B[0], A[0]))  # fmt: skip
    factors = [torch.nn.Parameter(part.clone()) for part in (B, A)]
    rules = [Muon([p], lr=0.01 / max(1, p.shape[0] / p.shape[1]) ** 0.5) for p in factors]
    for _ in range(5):
        for rule in rules:
            rule.zero_grad()
        loss(*factors, M).backward()
        for rule in rules:
            rule.step()
    for end, factor in zip(found, factors, strict=True):
        assert torch.allclose(end[-1], factor, atol=1e-10)


# --- adaptation --------------------------------------------------------------------------------------------------


def test_an_adapted_network_changes_its_first_two_matrices_by_products():
    base = BatchedMLP((64, 128, 128, 10), 2, generator=torch.Generator().manual_seed(0))
    x, y = torch.randn(2, 5, 64), torch.randint(10, (2, 5))
    adapted = AdaptedMLP(base, 3, torch.Generator().manual_seed(1))
    plain = torch.nn.functional.cross_entropy(base(x).transpose(1, 2), y, reduction="none").mean(1)
    assert torch.allclose(adapted.losses(x, y), plain)
    for B, A in adapted.factors:
        assert A.std().item() == pytest.approx(A.shape[-1] ** -0.5, rel=0.15)
        torch.nn.init.normal_(B, std=0.1)
    adapted.losses(x, y).sum().backward()
    merged = base.select([0, 1])
    for weight, (B, A) in zip(merged.weights[:2], adapted.factors, strict=True):
        weight.data += (B @ A).detach()
    direct = torch.nn.functional.cross_entropy(merged(x).transpose(1, 2), y, reduction="none").mean(1)
    assert torch.allclose(adapted.losses(x, y), direct, atol=1e-5)
    assert all(weight.grad is None for weight in base.weights)


def test_turned_digits_are_the_upright_ones_turned():
    upright, turned, labels = finetuning.digit_tasks(0)
    assert upright.shape == turned.shape == (len(labels), 64)
    one = upright[5].view(8, 8)
    assert torch.equal(turned[5].view(8, 8), torch.rot90(one))
    assert not torch.equal(upright, turned)


def test_the_two_texts_differ_and_windows_are_successive_symbols():
    text = finetuning.texts(200_000)
    assert len(text.home) == len(text.away) == 200_000
    counts = [torch.bincount(part, minlength=96).double() / len(part) for part in (text.home, text.away)]
    assert (counts[0] - counts[1]).abs().sum() > 0.1
    pieces = finetuning.windows(torch.arange(100), 50, 8, torch.Generator().manual_seed(0))
    assert pieces.shape == (50, 9)
    assert torch.equal(pieces.diff(dim=1), torch.ones(50, 8, dtype=torch.long))


def test_without_headers_the_second_text_is_the_first_one_with_cases_exchanged(monkeypatch, tmp_path):
    monkeypatch.setattr(finetuning.torch, "__file__", str(tmp_path / "__init__.py"))
    text = finetuning.texts(5000)
    assert finetuning.decode(text.away.numpy()) == finetuning.decode(text.home.numpy()).swapcase()


def test_spectra_are_taken_where_the_loss_has_fallen():
    steps, level = np.array([0, 2, 4, 6]), np.array([1.0, 1.0])
    losses = np.array([[3.0, 3.0], [2.0, 2.0], [0.9, 1.5], [0.5, 1.2]])
    values = np.arange(4.0)[:, None, None, None] ** 2 * np.array([2.0, 1.0]) * np.ones((1, 2, 3, 1))
    run = Adaptation(steps, losses, values, level)
    assert run.arrivals().tolist() == [2, -1]
    assert run.spectra()[0, 0].tolist() == [8.0, 4.0]
    assert np.isnan(run.spectra()[1]).all()
    assert run.growth()[0, 0].tolist() == [6.0, 3.0]


def test_training_follows_the_optimizer_until_the_level(monkeypatch):
    for method, expected in (("AdamW", torch.optim.AdamW), ("SGD", torch.optim.SGD), ("Muon", Muon)):
        B, A = torch.nn.Parameter(torch.zeros(4, 2)), torch.nn.Parameter(gaussian(2, 3).float())
        rule = optimizer(method, [B, A], 0.05)
        assert isinstance(rule, expected)
        assert rule.param_groups[0].get("weight_decay", 0.0) == 0
        assert rule.param_groups[0].get("momentum") == {"AdamW": None, "SGD": 0.9, "Muon": 0.95}[method]
        target = gaussian(4, 3, seed=1).float()

        def value(B=B, A=A, target=target):
            return ((B @ A - target) ** 2).sum()

        first = value().item()
        run = follow([(B, A)], value, lambda value=value: np.array([value().item()]), rule,
                     level=np.array([0.9 * first]), steps=200, every=2)  # fmt: skip
        assert run.losses[-1, 0] <= 0.9 * first
        assert run.losses[-2, 0] > 0.9 * first
        assert run.steps[-1] == 2 * (len(run.steps) - 1)
        assert np.allclose(run.values[-1, 0, 0], np.linalg.svd((B @ A).detach(), compute_uv=False)[:2], atol=1e-5)


def test_the_language_model_is_trained_with_a_rate_that_falls_like_a_cosine(monkeypatch):
    rates = []

    class Watched(torch.optim.AdamW):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(finetuning.torch.optim, "AdamW", Watched)
    model = finetuning.Decoder(8, 1, 2, 4, generator=torch.Generator().manual_seed(0))
    finetuning.train_language(
        model, torch.arange(50) % 7, steps=4, batch=2, lr=0.1, generator=torch.Generator().manual_seed(1)
    )
    assert rates == pytest.approx([0.1 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)])


def test_on_digits_every_optimizer_starts_from_the_same_factors_and_sees_the_same_batches(monkeypatch):
    monkeypatch.setattr(adaptation, "METHODS", ("SGD", "SGD", "AdamW"))
    runs = experiments.digits.compute(Parameters.resolve(device="cpu", **TINY)).runs
    assert np.array_equal(runs[0].losses, runs[1].losses)
    assert np.array_equal(runs[0].values, runs[1].values)
    assert runs[2].losses[0] == runs[0].losses[0]
    assert not np.array_equal(runs[2].losses[1], runs[0].losses[1])


# --- measures ----------------------------------------------------------------------------------------------------


def runs(roots, times):
    """Runs of one start whose singular values have the given roots, ``(looks, r)``."""
    values = np.asarray(roots, dtype=float)[:, None, None, None] ** 2
    return Runs(np.asarray(times, dtype=float)[:, None], values, values)


def test_spread_and_flatness_are_what_they_say():
    t, s = np.linspace(0, 2, 201), np.array([4.0, 1.0])
    made = runs(np.stack([1.1 * t, t], 1), t)
    assert claims.spread(made, s)[0, 0, 0] == pytest.approx(0.1)
    assert claims.flatness(made, 0.5)[0, 0, 0] == pytest.approx(1 / 1.21)
    assert np.isnan(claims.flatness(made, 100.0)).all()
    assert made.arrivals(0.9 * s)[0, 0, 0] == pytest.approx([1.8973 / 1.1, 0.9487], abs=1e-3)


def test_the_least_stretched_start_decides_about_one_after_the_other():
    times = np.array([[[[[1.0, 3.0, 9.0], [1.0, 2.0, 4.0]]]]])[0]
    growth = types.SimpleNamespace(
        s=np.array([8.0, 4.0, 1.0]),
        alphas=np.array([0.01]),
        level=0.9,
        gradient=types.SimpleNamespace(arrivals=lambda levels: times),
        spectral=None,
        muon=None,
    )
    found = claims.largest_first(types.SimpleNamespace(growth=growth), "GF")
    assert found == pytest.approx({"order": -1.0, "stretch": 4.0})


def test_muon_is_held_against_both_others_and_sgd_against_adamw():
    language = types.SimpleNamespace(
        seeds=np.array([0] * 4 + [1] * 4),
        methods=("Muon", "Muon", "AdamW", "SGD") * 2,
        runs=[types.SimpleNamespace(arrivals=lambda: np.array([3]))] * 8,
        flatness=lambda: np.array([0.4, 0.3, 0.1, 0.05, 0.6, 0.5, 0.1, 0.2]),
    )
    results = types.SimpleNamespace(language=language)
    assert claims.distinctive(results, "Muon") == {"margin": pytest.approx(2.5)}
    assert claims.distinctive(results, "SGD") == {"margin": pytest.approx(0.5)}


def test_random_starts_have_entries_of_the_variance_that_is_said():
    params = Parameters.resolve(device="cpu", **TINY | {"rows": 60, "columns": 40, "seeds": 20})
    B, A = factorization._starts(params, 5, np.array([0.1, 0.01]), 0)
    assert B.shape == (2, 2, 20, 60, 5)
    assert A.shape == (2, 2, 20, 5, 40)
    for size, alpha in enumerate((0.1, 0.01)):
        assert B[size, 0].std().item() == pytest.approx(alpha / 60**0.5, rel=0.05)
        assert A[size].std().item() == pytest.approx(alpha / 40**0.5, rel=0.05)
    assert (B[:, 1] == 0).all()


@pytest.fixture(scope="module")
def tiny():
    params = Parameters.resolve(device="cpu", **TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return params, experiments.run(params)


def test_fields_are_finite_and_shaped_as_documented(tiny):
    params, results = tiny
    growth, convergence = results.growth, results.convergence
    shape = (len(growth.alphas), 2, params.seeds, len(growth.s))
    assert growth.spectral.values.shape[1:] == growth.gradient.modes.shape[1:] == shape
    assert np.all(np.diff(growth.alphas) < 0)
    assert np.all(growth.spectral.times[-1] == pytest.approx(1.1 * growth.s[0] ** 0.5))
    assert np.all(growth.norms[0, :, 1] == 0)
    assert np.all(growth.norms[1, :, 0] == growth.norms[1, :, 1])
    assert convergence.excess.shape[1:] == (2, 1, 1)
    assert convergence.lams.tolist() == [0.0, 0.3]
    assert results.language.start.shape == (1, 6, 2)
    for part in (growth.spectral, growth.gradient, growth.muon):
        assert np.isfinite(part.values).all()
    # The squared norms are what lambda adds to the loss.
    added = convergence.first[1] - convergence.first[0]
    assert added == pytest.approx(0.3 / 2 * convergence.squares[0, 0])


def test_what_figures_show_follows_the_formulas(tiny):
    params, results = tiny
    band, sweep, language = results.band, results.sweep, results.language
    curve = np.sqrt(theory.gradient_value(band.times[:, None], band.s, band.alpha))
    assert np.abs(band.gradient - curve).max() < 1e-3
    # The first to arrive is the smallest target at one end of the dial and the largest at the other.
    assert sweep.relative.min(-1) == pytest.approx(np.ones((2, len(sweep.betas))), abs=1e-6)
    assert sweep.relative[0, 0, 0] > 1.2
    assert sweep.relative[0, -1, -1] > 1.2
    a, b = results.portrait.spectral
    assert np.abs(np.diff(a, axis=0)).max() <= 0.004 * (1 + 1e-9)
    a, b = results.portrait.gradient
    away = np.abs(a[0] ** 2 - b[0] ** 2) > 0.5
    kept = (a**2 - b**2)[:, away]
    assert kept[-1] == pytest.approx(kept[0], rel=0.05)
    assert np.abs(np.diff(a, axis=0)).max() > 0.005
    for run in language.runs:
        assert run.losses[0] == pytest.approx(language.before[1], rel=1e-6)
        assert run.level == pytest.approx(run.losses[0] - params.loss_drop)


def test_excess_loss_is_zero_at_the_global_minimum_and_the_distance_is_of_it():
    params = Parameters.resolve(device="cpu", **TINY | {"t_conv": 12.0, "beta_conv": 0.1})
    end = experiments.convergence(params)
    assert np.abs(end.excess[-1]).max() < 1e-9
    assert end.distance.max() < 1e-5
    assert np.allclose(end.final[:, 0, 0], [[2.0, 1.0], [1.7, 0.7]], atol=1e-5)
    # With squared norms in it the least loss is larger.
    assert end.first[1, 0, 0] > end.first[0, 0, 0]
    assert end.saddle[-1, 0] == pytest.approx(0.5, abs=1e-9)
    assert end.saddle[-1, 1] < 1e-9
    assert 0.5 < end.speed.max() <= 1


def test_every_optimizer_starts_from_the_same_factors_and_sees_the_same_batches():
    twice = TINY | {"adamw_lrs": [0.01, 0.01], "muon_lrs": [0.03], "sgd_lrs": [0.1], "adapt_steps": 8, "loss_drop": 1.5}
    result = experiments.language(Parameters.resolve(device="cpu", **twice))
    assert result.methods == ("Muon", "AdamW", "AdamW", "SGD")
    assert np.array_equal(result.runs[1].losses, result.runs[2].losses)
    assert np.array_equal(result.runs[1].values, result.runs[2].values)
    assert not np.array_equal(result.runs[0].losses, result.runs[1].losses)
    assert all(run.losses[0] == result.runs[0].losses[0] for run in result.runs)


def test_a_claim_is_undecided_where_an_optimizer_does_not_arrive(tiny):
    params, results = tiny
    stuck = tuple(dataclasses.replace(run, level=np.array([-1.0])) for run in results.language.runs)
    changed = dataclasses.replace(results, language=dataclasses.replace(results.language, runs=stuck))
    verdicts = claims.verify(params, changed)
    assert verdicts["C1a"].holds is None
    assert "adapt_steps" in verdicts["C1a"].criterion


def test_each_claim_names_a_figure():
    assert all(claim.figure for claim in CLAIMS)
