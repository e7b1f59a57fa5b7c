import warnings

import numpy as np
import pytest
import torch

from companion.chapters.mimuon import CLAIMS, Parameters, experiments, run, verify
from companion.chapters.mimuon.bounds import (
    constants,
    convergence_bound,
    kappa_bound,
    least_horizon,
    travel_bound,
)
from companion.chapters.mimuon.experiments import linear
from companion.chapters.mimuon.experiments.language import TRIALS
from companion.chapters.mimuon.landscape import descend, gradient, value
from companion.chapters.mimuon.language import Member, matched
from companion.chapters.mimuon.language import train as train_language
from companion.chapters.mimuon.neighbours import neighbouring_pairs, softmax_gradient, squared_gradient, train
from companion.chapters.mimuon.networks import gradients, initial, scores
from companion.chapters.mimuon.networks import train as train_networks
from companion.chapters.mimuon.perturbation import amplification, matrix_pairs
from companion.chapters.mimuon.rule import Rule, direction, passes
from companion.chapters.mimuon.samples import LENGTH, images
from companion.chapters.mimuon.spectrum import (
    clipped,
    newton_schulz,
    newton_schulz_values,
    singular_values,
    smallest_gap,
    smallest_value,
)
from companion.models import ensemble
from companion.optim import MiMuon
from companion.optim import orthogonalize as library

# tests/test_chapters.py runs these.
TINY = {
    "sizes": [20, 40, 80], "replicas": 4, "steps": 30, "net_sizes": [20], "net_replicas": 2, "net_steps": 20,
    "width": 8, "horizons": [50, 60, 70], "rate_replicas": 2, "lm_steps": 20, "lm_batch": 1, "lm_width": 16,
    "lm_context": 8,
}  # fmt: skip
EXTREMES = [
    TINY | {"eta": 0.5, "beta": 1.0, "batch": 1, "label_noise": 0.0, "eta_matched": 10.0, "net_eta_matched": 10.0},
    TINY | {"eta": 1e-3, "beta": 0.01, "batch": 256, "label_noise": 0.5, "eta_matched": 1e-3, "rate_eta": 0.1},
    TINY | {"tau_gap": 100.0, "tau_norm": 100.0, "tau_sigma": 100.0, "tau_clip": 100.0, "net_tau_gap": 100.0},
    TINY | {"tau_gap": 1e-8, "tau_norm": 1e-8, "tau_sigma": 1e-8, "tau_clip": 1e-8, "net_tau_norm": 1e-8},
    TINY | {"images": "fashion-mini", "rate_eta": 10.0, "lm_trials": 5, "lm_blocks": 2, "width": 4, "net_batch": 1},
    TINY | {"sizes": [20, 21, 890], "batch": 1, "replicas": 12},
]
REFUSED = [
    ({"sizes": [100, 50, 200]}, "sizes: got [100, 50, 200], allowed: increasing, no value twice"),
    ({"sizes": [100, 200, 3000]}, "sizes: got 3000, allowed: at most 897 of digits"),
    ({"beta": 0.0}, "beta: got 0.0, allowed: a number from 0.01 to 1"),
    ({"images": "mnist"}, "images: got 'mnist', allowed: digits, fashion-mini"),
]

SMALL = TINY | {"sizes": [50, 100, 200], "replicas": 12, "steps": 150, "net_steps": 60, "horizons": [50, 200, 800]}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrices(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu", **SMALL)


@pytest.fixture(scope="module")
def results(params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run(params)


# --- spectra ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 4, 9), (7, 9, 4), (3, 5, 5)])
def test_gram_matrices_give_singular_values_and_newton_schulz_steps(shape):
    M = matrices(*shape)
    assert torch.allclose(singular_values(M), torch.linalg.svdvals(M), atol=1e-10)
    for steps in (1, 2, 5):
        assert torch.allclose(newton_schulz(M, steps), library.newton_schulz(M, steps), atol=1e-10)


def test_newton_schulz_values_are_what_becomes_of_singular_values():
    M = matrices(4, 7)
    before = torch.linalg.svdvals(M) / torch.linalg.matrix_norm(M)
    after = torch.linalg.svdvals(newton_schulz(M))
    assert np.allclose(np.sort(newton_schulz_values(before.numpy())), np.sort(after.numpy()), atol=1e-10)
    slope = newton_schulz_values(np.array([1e-9]))[0] / 1e-9
    assert slope == pytest.approx(3.4445**5, rel=1e-6)
    assert 1.1 < newton_schulz_values(np.linspace(0, 1, 10_001)).max() < 1.25


def test_null_directions_stay_null_under_newton_schulz():
    M = matrices(5, 8)
    M = M - M.mean(0)
    assert newton_schulz(M).sum(0).abs().max() < 1e-10


@pytest.mark.parametrize("shape", [(4, 7), (7, 4)])
def test_clipped_spectrum_equals_the_decomposition_and_is_a_contraction_over_tau(shape):
    M, other = 3 * matrices(50, *shape), 3 * matrices(50, *shape, seed=1)
    left, values, right = torch.linalg.svd(M, full_matrices=False)
    expected = (left * (values / 2.0).clamp(max=1)[:, None, :]) @ right
    assert torch.allclose(clipped(M, 2.0), expected, atol=1e-10)
    assert amplification(M, other, lambda A: clipped(A, 2.0)).max() <= 0.5
    assert torch.allclose(clipped(M, 1e3), M / 1e3)
    assert torch.allclose(clipped(M, 1e-6), library.polar(M), atol=1e-8)


def test_gaps_and_least_values_leave_zero_out():
    values = torch.tensor([[5.0, 3.0, 2.5, 1e-9], [5.0, 3.0, 2.5, 0.1], [4.0, 0.0, 0.0, 0.0], [0.0] * 4])
    assert smallest_gap(values).tolist() == [0.5, 0.5, torch.inf, torch.inf]
    assert smallest_value(values).tolist() == pytest.approx([2.5, 0.1, 4.0, torch.inf])
    one = torch.tensor([[1.0, 1.0 - 1e-3, 0.3]])
    assert smallest_gap(one).item() == pytest.approx(1e-3, rel=1e-3)


def test_least_value_governs_rectangles_and_sums_of_two_govern_squares():
    rng = np.random.default_rng(0)
    for least, gap in ((0.01, 0.5), (0.5, 1e-3), (1.0, 1.0)):
        for shape, expected in (((9, 6), 1 / least), ((6, 6), 2 / (2 * least + gap))):
            A, B = matrix_pairs(*shape, least, gap, 1e-4, 30, rng)
            values = torch.linalg.svdvals(A[0]).numpy()
            assert np.allclose(np.diff(values[::-1]), gap)
            assert values[-1] == pytest.approx(least)
            assert torch.linalg.matrix_norm(B - A).numpy() == pytest.approx(1e-4 * least)
            ratio = amplification(A, B)
            assert ratio[0] == pytest.approx(expected, rel=1e-3)
            assert ratio.argmax() == 0


# --- the rule -----------------------------------------------------------------------------------------------------


def test_each_test_compares_what_it_says():
    M = torch.diag_embed(torch.tensor([[3.0, 1.0], [3.0, 2.9], [0.3, 0.1]], dtype=torch.float64))
    assert passes(M, "gap", 0.5).tolist() == [True, False, False]
    assert passes(M, "sigma_min", 0.5).tolist() == [True, True, False]
    assert passes(M, "fro", 3.5).tolist() == [False, True, False]
    assert passes(M, "always", 0.0).all()
    assert not passes(M, "never", 0.0).any()
    assert not passes(M, "clip", 0.0).any()
    with pytest.raises(ValueError, match="test: got 'gaps'"):
        Rule("x", "gaps")


def test_thresholds_are_reached_by_equality():
    M = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))[None]
    for test, at in (("gap", 2.0), ("sigma_min", 1.0)):
        assert passes(M, test, at - 1e-9).all()
        assert not passes(M, test, at + 1e-9).any()


def test_directions_of_a_batch_are_those_of_each_matrix_alone():
    rules = [
        Rule("a", "always"),
        Rule("n", "never"),
        Rule("g", "gap", 0.3),
        Rule("f", "fro", 4.5),
        Rule("c", "clip", 2),
    ]
    M = matrices(5, 8, 4, 5)
    update, chosen = direction(M, rules)
    assert 0 < chosen[2].sum() < 8
    assert 0 < chosen[3].sum() < 8
    for k, rule in enumerate(rules):
        for j in range(8):
            one = M[k, j]
            values = torch.linalg.svdvals(one)
            orthogonal = {
                "always": True, "never": False, "clip": False,
                "gap": bool((values[:-1] - values[1:]).min() >= 0.3), "fro": bool(one.norm() >= 4.5),
            }[rule.test]  # fmt: skip
            expected = library.newton_schulz(one) if orthogonal else clipped(one, 2) if rule.test == "clip" else one
            assert bool(chosen[k, j]) == orthogonal
            assert torch.allclose(update[k, j], expected, atol=1e-10)


# --- neighbouring data sets ---------------------------------------------------------------------------------------


def test_pairs_differ_in_one_example_and_hold_out_all_others():
    labels = np.arange(200) % 10
    pairs = neighbouring_pairs(labels, 30, 5, 0.2, np.random.default_rng(0))
    first, second = pairs.members.unbind(1)
    assert (first[:, 1:] == second[:, 1:]).all()
    assert (first[:, 0] != second[:, 0]).all()
    for k in range(5):
        used = set(first[k].tolist()) | set(second[k].tolist())
        assert len(used) == 31
        assert set(pairs.held_out[k].nonzero()[:, 0].tolist()) == set(range(200)) - used
    assert 0.15 < (pairs.labels != torch.tensor(labels)).double().mean() < 0.25
    assert neighbouring_pairs(labels, 30, 5, 0.0, np.random.default_rng(0)).labels.equal(
        torch.tensor(labels).expand(5, -1)
    )


def test_images_are_centred_and_of_one_length():
    for name, pixels in (("digits", 64), ("fashion-mini", 196)):
        x, labels = images(name)
        assert x.shape == (len(labels), pixels)
        assert np.abs(x.mean(0)).max() < 1e-12
        assert np.sqrt((x**2).sum(1).mean()) == pytest.approx(LENGTH)


@pytest.mark.parametrize("slopes", [softmax_gradient, squared_gradient])
def test_gradients_of_the_scores_are_autograds(slopes):
    scores_, labels = matrices(6, 10).requires_grad_(), torch.arange(6)
    one_hot = torch.nn.functional.one_hot(labels, 10)
    loss = {
        softmax_gradient: torch.nn.functional.cross_entropy(scores_, labels, reduction="sum"),
        squared_gradient: (scores_ - one_hot).square().sum() / 2,
    }[slopes]
    assert torch.allclose(slopes(scores_.detach(), labels), torch.autograd.grad(loss, scores_)[0])


def problem(steps: int, runs: int = 3, b: int = 6, d: int = 12):
    x, labels = matrices(steps, runs, b, d), torch.randint(4, (steps, runs, b), generator=generator(2))
    return lambda step: (x[step], labels[step]), torch.zeros(1, runs, 4, d, dtype=torch.float64)


@pytest.mark.parametrize(
    ("test", "criterion", "tau"),
    [("gap", "gap", 0.02), ("fro", "fro", 0.5), ("sigma_min", "sigma_min", 0.1), ("always", "gap", 0.0),
     ("never", "gap", float("inf"))],
)  # fmt: skip
def test_training_equals_the_optimizer_of_the_library(test, criterion, tau):
    steps, eta, beta = 60, 0.05, 0.1
    inputs, start = problem(steps)
    shares = []
    W = train(inputs, [Rule("x", test, tau)], start, steps, eta, beta, watch=lambda *a: shares.append(a[3]))
    for k in range(3):
        weights = torch.nn.Parameter(torch.zeros(4, 12, dtype=torch.float64))
        optimizer = MiMuon([weights], lr=eta, momentum=1 - beta, tau=tau, criterion=criterion, dtype=torch.float64)
        for step in range(steps):
            x, labels = (each[k] for each in inputs(step))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(x @ weights.T, labels).backward()
            optimizer.step()
        # The library takes singular values from a decomposition, we from Gram matrices: rounding.
        assert torch.allclose(W[0, k], weights.data, atol=1e-8)
        assert optimizer.state[weights]["n_orth"] == sum(int(s[0, k]) for s in shares)


def test_rules_may_have_a_step_size_of_their_own():
    inputs, start = problem(20)
    both = train(inputs, [Rule("a", "never"), Rule("b", "never", lr=0.3)], start.repeat(2, 1, 1, 1), 20, 0.1, 0.2)
    assert torch.allclose(both[1], train(inputs, [Rule("a", "never")], start, 20, 0.3, 0.2)[0])
    assert torch.allclose(both[0], train(inputs, [Rule("a", "never")], start, 20, 0.1, 0.2)[0])


def test_two_runs_coincide_until_the_example_is_drawn_and_share_their_draws(params):
    found = [neighbouring_pairs(np.arange(1797) % 10, n, 12, 0.2, params.rng(1, k)) for k, n in enumerate([50, 100])]
    x, _ = images("digits")
    draw = linear._draws(params, found, torch.tensor(x, dtype=torch.float32))
    for step in range(5):
        batch, labels = (each.view(2, 12, 2, params.batch, *each.shape[2:]) for each in draw(step))
        same = (batch[:, :, 0] == batch[:, :, 1]).all(-1)
        places = params.rng(2, 0).integers(0, 50, (params.steps, 12, 1, params.batch))[step, :, 0]
        assert (same[0].numpy() == (places != 0)).all()
        assert (labels[:, :, 0] == labels[:, :, 1])[same].all()


# --- bounds -------------------------------------------------------------------------------------------------------


def test_constants_bound_gradients_and_curvatures():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5))
    G, L = constants(x)
    W = torch.tensor(rng.normal(size=(300, 4, 5)) * 3)
    other = W + 1e-3 * matrices(300, 4, 5)
    X, labels = torch.tensor(x), torch.tensor(rng.integers(4, size=40))
    slopes = [softmax_gradient(X @ w.mT, labels)[..., None] * X[:, None] for w in (W, other)]
    assert torch.linalg.matrix_norm(slopes[0]).max() <= G
    ratio = torch.linalg.matrix_norm(slopes[0] - slopes[1]) / torch.linalg.matrix_norm(W - other)[:, None]
    assert ratio.max() <= L
    two = torch.tensor([[0.0, 0.0], [2e-3, -2e-3]])  # two classes at even odds: the bound on curvature is attained
    moved = (softmax_gradient(two, torch.zeros(2, dtype=int)).diff(dim=0)).norm() / two.diff(dim=0).norm()
    assert moved.item() == pytest.approx(0.5, rel=1e-3)
    assert pytest.approx(2 * L) == (G / np.sqrt(2)) ** 2


def test_the_bound_with_singular_values_has_its_closed_form_and_does_not_overflow():
    eta, G, L, n, kappa = 0.05, 3.0, 4.0, 100, 0.2
    closed = 2 * G / (L * n) * ((1 + eta * L / kappa) ** np.arange(1, 30) - 1)
    assert np.allclose(kappa_bound(np.full(29, kappa), eta, G, L, n), np.log10(closed))
    b = 0.0
    kappas = np.array([0.5, 0.1, 0.3])
    for k in kappas:
        b = (1 + eta * L / k) * b + 2 * eta * G / (k * n)
    assert kappa_bound(kappas, eta, G, L, n)[-1] == pytest.approx(np.log10(b))
    assert 500 < kappa_bound(np.full(200, 1e-4), eta, G, L, n)[-1] < 1000


def test_the_bound_without_singular_values_sums_probabilities():
    found = travel_bound(np.array([3, 7]), 0.1, 4, 10, 50, 1.2)
    for value_, T in zip(found, (3, 7), strict=True):
        expected = sum(2 * 0.1 * 1.2 * 2 * min(1, 10 * t / 50) for t in range(1, T + 1))
        assert value_ == pytest.approx(expected)
        assert value_ <= 0.1 * 1.2 * 2 * 10 * T * (T + 1) / 50 + 1e-12


def test_the_bound_on_the_rate_is_the_pages():
    found = convergence_bound(np.array([16.0]), 0.5, 3.0, 4, 2.0, 1.5)[0]
    first = 3 / 0.5 + 2 * np.sqrt(4 * (2 * 1.5 + 4 * 0.25 * 4))
    second = 8 * 4 * 4 * 0.25 + 1.5 + 0.5 * 4 * 0.25 * 4
    assert found == pytest.approx(first / 2 + second / 4 + 2 * 0.5 * 4 / 2 / 8)
    assert least_horizon(0.25, 3.7) == pytest.approx((8 * 3.7**2 / 16) ** 2)
    assert least_horizon(0.01, 1.0) == pytest.approx(0.04 ** (4 / 3))


# --- the bowl -----------------------------------------------------------------------------------------------------


def test_the_bowls_gradient_is_autograds_and_its_lipschitz_constant_attained():
    W = matrices(3, 4, 5).requires_grad_()
    assert torch.allclose(gradient(W.detach(), 0.3, 3.0), torch.autograd.grad(value(W, 0.3, 3.0).sum(), W)[0])
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    assert gradient(zero + 1e-6, 0.3, 3.0).item() / 1e-6 == pytest.approx(3.7, rel=1e-6)
    assert value(zero, 0.3, 3.0).item() == 0


def test_descending_equals_a_loop_over_single_matrices():
    start, steps, eta, beta = matrices(2, 4, 3), 25, 0.1, 0.3
    rules = [Rule("m", "always"), Rule("f", "fro", 2.0)]
    norm, left, share = descend(start, rules, steps, eta, beta, 0.3, 3.0, 0.5, generator(3))
    random = generator(3)
    noise = [0.5 / 12**0.5 * torch.randn(2, 4, 3, generator=random, dtype=torch.float64) for _ in range(steps)]
    for k, rule in enumerate(rules):
        norms, lefts, shares = [], [], []
        for r in range(2):
            W, M = start[r].clone(), None
            for t in range(steps):
                slope = gradient(W, 0.3, 3.0)
                M = slope + noise[t][r] if M is None else (1 - beta) * M + beta * (slope + noise[t][r])
                orthogonal = rule.test == "always" or M.norm() >= 2.0
                norms.append(slope.norm())
                lefts.append(torch.linalg.svdvals(slope).sum() if orthogonal else slope.norm() ** 2 / 2)
                shares.append(float(orthogonal))
                W = W - eta * (library.polar(M) if orthogonal else M)
        for found, expected in ((norm, norms), (left, lefts), (share, shares)):
            assert found[k, -1] == pytest.approx(float(sum(expected)) / (2 * steps))
    assert 0 < share[1, -1] < 1


# --- networks -----------------------------------------------------------------------------------------------------


def test_gradients_of_networks_are_autograds():
    layers = [w.double().requires_grad_() for w in initial([6, 5, 4, 3], 2, generator())]
    x, labels = matrices(2, 7, 6), torch.randint(3, (2, 7), generator=generator())
    z = scores(layers, x)
    loss = sum(torch.nn.functional.cross_entropy(z[k], labels[k]) for k in range(2))
    expected = torch.autograd.grad(loss, layers)
    found = gradients([w.detach() for w in layers], x, labels)
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))


def test_networks_start_with_the_variance_that_keeps_scales():
    first, second = initial([400, 100, 10], 5, generator())
    assert first.var().item() == pytest.approx(2 / 400, rel=0.05)
    assert second.var().item() == pytest.approx(2 / 100, rel=0.1)


def test_networks_train_as_each_rule_alone_would():
    x, labels = matrices(10, 2, 5, 6).float(), torch.randint(3, (10, 2, 5), generator=generator())
    start = initial([6, 5, 3], 2, generator())
    rules = [Rule("m", "always"), Rule("s", "never", lr=0.5)]
    seen = []
    layers = train_networks(
        lambda t: (x[t], labels[t]), rules, start, 10, 0.1, 0.2, lambda step, momenta, chosen: seen.append(chosen)
    )
    assert len(seen) == 10
    assert seen[0][0][0].all()
    assert not seen[0][0][1].any()
    for k, (lr, orthogonal) in enumerate([(0.1, True), (0.5, False)]):
        W, M = [w.clone() for w in start], [torch.zeros_like(w) for w in start]
        for t in range(10):
            for j, slope in enumerate(gradients(W, x[t], labels[t])):
                M[j] = 0.8 * M[j] + 0.2 * slope
            W = [w - lr * (library.newton_schulz(m) if orthogonal else m) for w, m in zip(W, M, strict=True)]
        for a, b in zip(layers, W, strict=True):
            assert torch.allclose(a[k], b, atol=1e-4)


# --- language models ----------------------------------------------------------------------------------------------


def test_orthogonalized_steps_have_the_root_mean_square_of_adams():
    for shape in ((96, 32), (32, 32), (32, 128)):
        step = matched(matrices(*shape), 5)
        assert 0.15 < step.square().mean().sqrt() < 0.24


def test_language_models_train_as_torchs_optimizers_would():
    shape, steps = ensemble.Shape(width=8, blocks=1, heads=2, context=6), 12
    weights = ensemble.initial(shape, 3, generator(), dtype=torch.float64)
    text = torch.randint(96, (500,), generator=generator(1))
    batches = [ensemble.windows(text, 2, 6, generator(t)) for t in range(steps)]
    members = [Member(Rule("m", "always"), 0.02), Member(Rule("s", "never"), 0.3), Member(None, 0.004)]
    found, losses, share = train_language(shape, weights, members, batches, 0.1, 0.01)
    assert share.shape == (steps, 2)
    assert share[:, 0].eq(1).all()
    assert share[:, 1].eq(0).all()
    for k, member in enumerate(members):
        mine = {name: torch.nn.Parameter(w[k : k + 1].clone()) for name, w in weights.items()}
        blocks = [p for name, p in mine.items() if ensemble.hidden(name)]
        others = [p for name, p in mine.items() if not ensemble.hidden(name)]
        options = {"betas": (0.9, 0.99), "eps": 1e-8}
        optimizers = [torch.optim.Adam(others, lr=0.01, **options)]
        if member.rule is None:
            optimizers.append(torch.optim.Adam(blocks, lr=member.lr, **options))
        buffers = [torch.zeros_like(p) for p in blocks]
        for t in range(steps):
            left = 1 - t / steps
            loss = ensemble.losses(shape, mine, batches[t]).sum()
            assert loss.item() == pytest.approx(losses[t, k].item(), abs=1e-9)
            slopes = torch.autograd.grad(loss, list(mine.values()))
            for p, slope in zip(mine.values(), slopes, strict=True):
                p.grad = slope
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = left * (0.01 if optimizer is optimizers[0] else member.lr)
                optimizer.step()
            if member.rule is not None:
                with torch.no_grad():
                    for p, M in zip(blocks, buffers, strict=True):
                        M.mul_(0.9).add_(p.grad, alpha=0.1)
                        scale = 0.2 * max(p.shape[-2:]) ** 0.5
                        p -= left * member.lr * (M if k == 1 else scale * library.newton_schulz(M))
        for name, p in mine.items():
            assert torch.allclose(found[name][k], p[0], atol=1e-8), (k, name)
    with pytest.raises(ValueError, match="those with a rule come first"):
        train_language(shape, weights, members[::-1], batches, 0.1, 0.01)


def test_every_optimizer_has_as_many_trials():
    assert {len(settings) for settings in TRIALS.values()} == {5}
    assert all(len(set(settings)) == 5 for settings in TRIALS.values())


# --- experiments --------------------------------------------------------------------------------------------------


def test_judging_takes_means_over_the_right_examples():
    x, labels = images("digits")
    pair = neighbouring_pairs(labels, 40, 2, 0.3, np.random.default_rng(1))
    W = matrices(1, 2, 10, 64)
    trained, tested, wrong, unseen = linear._judge(W, pair, torch.tensor(x))
    for r in range(2):
        z = torch.tensor(x) @ W[0, r].T
        losses = torch.nn.functional.cross_entropy(z, pair.labels[r], reduction="none")
        members, others = pair.members[r, 0], pair.held_out[r].nonzero()[:, 0]
        assert trained[0, r] == pytest.approx(losses[members].mean().item())
        assert tested[0, r] == pytest.approx(losses[others].mean().item())
        assert wrong[0, r] == pytest.approx((z.argmax(1) != pair.labels[r])[others].double().mean().item())
        assert unseen[0, r] == pytest.approx(losses[others].sum().item() / len(others), abs=3)


def test_runs_of_a_pair_end_closer_than_strangers_and_below_the_bound(results):
    near = results.neighbours
    assert (near.distance.mean(-1) < near.strangers.mean(-1)).all()
    assert (near.path[linear.METHODS.index(linear.MUON)] <= near.travel_path).all()
    assert np.allclose(near.path[:, -1], near.distance[:, linear.LOOKED_AT].mean(-1), rtol=1e-5)
    assert near.travel[linear.LOOKED_AT] == pytest.approx(near.travel_path[-1])
    assert (near.disagree[[0, 1, 2, 6]] == 0).all()
    assert near.share[2] == pytest.approx(np.ones(3))
    assert (near.share[[0, 1, 6]] == 0).all()


def test_the_larger_step_reaches_the_training_loss_of_the_gap_rule(results):
    loss = results.neighbours.train.mean(-1)
    matched_, gap = (loss[linear.METHODS.index(name)] for name in (linear.MATCHED, linear.GAP))
    assert np.abs(matched_ / gap - 1).max() < 0.15


def test_fixed_steps_are_those_of_the_first_horizon(results):
    found = results.convergence
    assert np.allclose(found.fixed[:, 0], found.norm[:, 0])
    assert (found.careful < found.bound).all()
    assert found.least_horizons[1] < 50 < found.least_horizons[0]


def test_spectra_are_those_of_muon_and_in_order(results):
    nets = results.networks
    assert (nets.smallest <= nets.mean + 1e-12).all()
    assert nets.share[2] == pytest.approx(np.ones(3))
    assert (nets.share[:2] == 0).all()
    assert nets.shapes == ("8×64", "8×8", "10×8")


def test_the_rule_that_never_differs_reacts_as_muon(results):
    r = results.sensitivity
    tiny, muon = (r.ratio[r.names.index(name)] for name in (linear.TINY, linear.MUON))
    assert np.allclose(tiny, muon, rtol=1e-3)


def test_a_language_model_is_kept_by_validation_loss():
    params = Parameters.resolve(device="cpu", **TINY | {"lm_trials": 2, "lm_steps": 30})
    found = experiments.language(params)
    assert found.validation.shape == (5, 2)
    assert (found.kept == found.validation.argmin(1)).all()
    assert found.share[3:].max() == 0
    assert found.losses[:, 0] == pytest.approx(np.full(5, np.log(96)), abs=0.1)


HOLD = ("C1a", "C1b", "C1c", "C1d", "C1e", "C2a", "C2b", "C2c", "C2f", "C2g", "C3", "C6")


def test_at_a_small_size_most_claims_hold_and_their_controls_fail(params, results):
    verdicts = verify(params, results)
    assert [v.claim for v in verdicts] == [claim.id for claim in CLAIMS]
    assert [name for name in HOLD if not (verdicts[name].decided and verdicts[name].sound)] == []
