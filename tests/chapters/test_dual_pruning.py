import dataclasses
import functools
import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import wrightomega
from scipy.stats import beta as beta_law

from companion.analysis import pruning
from companion.chapters.dual_pruning import (
    Parameters,
    claims,
    experiments,
    figures,
    learners,
    pools,
    resnet,
    run,
    scoring,
    selection,
    theory,
    verify,
)
from companion.data import Dataset
from companion.models import batched

TINY = {
    "datasets": ["digits"],
    "n_train": 500,
    "replicas": 2,
    "epochs_full": 4,
    "epochs_early": 3,
    "window": 2,
    "train_steps": 5,
    "ratios": [0.5, 0.9],
}

EXTREMES = [
    TINY | {"ratios": [0.4], "record": "train"},
    TINY | {"ratios": [0.999], "replicas": 1},
    TINY | {"score_lr": 10.0, "train_lr": 10.0, "ratios": [0.5, 0.9]},
    TINY | {"label_noise": 0.0, "corruption": 0.0, "difficulty_power": 0.0, "c_d": 100.0, "ratios": [0.3, 0.9]},
    TINY | {"label_noise": 0.8, "corruption": 1.0, "difficulty_power": 10.0, "c_d": 0.001, "model": "cnn"},
    TINY | {"window": 3, "epochs_full": 3, "n_train": 1_000_000, "ratios": [0.001]},
    TINY | {"datasets": ["fashion-mini", "digits"], "ratios": [0.7], "replicas": 1, "epochs_full": 3},
]

REFUSED = [
    ({"window": 20}, "window: got 20, allowed: at most epochs_early = 15"),
    ({"epochs_early": 200}, "epochs_early: got 200, allowed: at most epochs_full = 100"),
    ({"ratios": [0.5, 0.5]}, "ratios: got [0.5, 0.5], allowed: a list without repetitions"),
    ({"ratios": [1.0]}, "ratios: got 1.0 in it, allowed"),
    ({"datasets": ["mnist"]}, "datasets: got 'mnist' in it, allowed"),
    ({"datasets": ["cifar10"], "replicas": 50}, "replicas: got 50, allowed: what 16 GB hold"),
    ({"profile": "paper", "replicas": 50, "epochs_full": 1000}, "replicas: got 50, allowed: what 16 GB hold"),
    (
        {"epochs_full": 1000, "profile": "paper", "replicas": 1, "train_steps": 100_000},
        "epochs_full: got 1000, allowed: what 500000 updates make; fashion-mnist",
    ),
]


@pytest.fixture(scope="module")
def quick():
    """The quick profile, which the lab and the checks of all chapters compute too."""
    params = Parameters.resolve(device="cpu")
    return params, run(params)


@pytest.fixture(scope="module")
def tiny():
    params = Parameters.resolve(device="cpu", **TINY)
    return params, run(params)


# --- theory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("easy", "hard"), [(4.0, 1.0), (1.5, 1.4), (30.0, 0.5)])
def test_probability_solves_the_gradient_flow_of_exponential_loss(easy, hard):
    inputs = np.diag(np.sqrt([easy, hard]))
    flow = solve_ivp(
        lambda t, w: inputs.T @ np.exp(-inputs @ w), (0, 5), [0, 0], rtol=1e-10, atol=1e-12, dense_output=True
    )
    t = np.linspace(0, 5, 50)
    margins = inputs @ flow.sol(t)
    expected = theory.probability(np.array([[easy], [hard]]), t)
    np.testing.assert_allclose(1 / (1 + np.exp(-margins)), expected, rtol=1e-7)
    step = 1e-5
    speed = (theory.probability(easy, t + step) - theory.probability(easy, t)) / step
    np.testing.assert_allclose(
        (1 - theory.probability(easy, t)) ** 1.7 * speed, theory.weighted_speed(easy, t, 1.7), rtol=1e-3
    )


@pytest.mark.parametrize("power", [-0.5, 0.0, 0.3, 1.0, 3.0])
def test_crossing_time_is_a_root_and_its_special_cases_agree(power):
    for easy, hard in ((4.0, 1.0), (1.01, 1.0), (100.0, 2.0)):

        def lead(t, easy=easy, hard=hard):
            return theory.weighted_speed(easy, t, power) - theory.weighted_speed(hard, t, power)

        assert brentq(lead, 1e-9, 1e3) == pytest.approx(theory.crossing_time(easy, hard, power), rel=1e-6)
    assert theory.crossing_time(4.0, 1.0, 0.0) == pytest.approx(1.0)
    assert theory.crossing_time(8.0, 1.0, 1.0) == pytest.approx(2 / (2 * 3))
    assert theory.crossing_time(1.0001, 1.0, power) / theory.crossing_time(1.0001, 1.0, 0.0) == pytest.approx(
        1 / (1 + power), rel=1e-4
    )


@pytest.mark.parametrize(("ratio", "expected"), [(4.0, 0.539), (2.0, 0.555), (1.02, 0.560), (100.0, 0.394)])
def test_crossing_ratio_under_logistic_loss(ratio, expected):
    def score(a, t, power):
        s = wrightomega(1 + a * t).real
        p = s / (1 + s)
        return a * p * (1 - p) ** (2 + power)

    def crossing(power):
        return brentq(lambda t: np.log(score(ratio, t, power) / score(1.0, t, power)), 1e-6, 1e3)

    assert crossing(1) / crossing(0) == pytest.approx(expected, abs=1e-3)
    # The same margins, by integrating the flow.
    flow = solve_ivp(lambda t, m: ratio / (1 + np.exp(m)), (0, 3), [0.0], rtol=1e-10, atol=1e-12)
    assert np.exp(flow.y[0, -1]) == pytest.approx(wrightomega(1 + 3 * ratio).real, rel=1e-6)


def test_every_pair_begins_with_the_easy_sample_and_turns_to_the_hard_one_earlier_under_dual():
    result = experiments.crossing(Parameters.resolve(device="cpu", seed=7))
    assert not result.behind.any()
    assert not result.violations.any()
    assert result.swapped.all()
    assert (result.first_dual < result.first_spread).all()
    assert result.first_dual.min() > 0
    assert result.first_spread.max() < result.windows
    assert np.abs(result.simulated / result.formula - 1).max() < 0.01


def test_training_a_pair_is_gradient_descent_on_the_named_loss():
    inputs = theory.random_pairs(3, np.random.default_rng(0))
    losses = {
        theory.logistic_pull: torch.nn.functional.softplus,
        theory.exponential_pull: torch.exp,
    }
    for pull, loss in losses.items():
        weights = torch.zeros(3, inputs.shape[-1], dtype=torch.float64, requires_grad=True)
        for probability in theory.train_pairs(inputs, np.array([0.1, 0.2, 0.05]), 4, pull):
            margins = torch.einsum("pid,pd->pi", torch.from_numpy(inputs), weights)
            np.testing.assert_allclose(probability, torch.sigmoid(margins).detach(), rtol=1e-12)
            (gradient,) = torch.autograd.grad(loss(-margins).sum(), weights)
            weights = (
                (weights - torch.tensor([[0.1], [0.2], [0.05]], dtype=torch.float64) * gradient)
                .detach()
                .requires_grad_()
            )


def test_random_pairs_have_the_norms_and_correlations_they_promise():
    pairs = theory.random_pairs(500, np.random.default_rng(1))
    squares = (pairs**2).sum(-1)
    assert squares[:, 0].min() >= 1.2
    assert squares[:, 0].max() <= 8
    np.testing.assert_allclose(squares[:, 1], 1)
    cosine = (pairs[:, 0] * pairs[:, 1]).sum(-1) / np.sqrt(squares[:, 0])
    assert np.abs(cosine).max() <= 0.6
    assert cosine.std() > 0.3


def test_a_windows_score_is_difficulty_times_spread():
    history = np.random.default_rng(2).random((9, 3, 2))
    for power in (0.0, 1.0, 2.0):
        scores = theory.window_scores(history, 4, power)
        for k in range(6):
            seen = history[k : k + 4]
            wanted = (1 - seen.mean(0)) ** power * seen.std(0, ddof=1)
            np.testing.assert_allclose(scores[k], wanted, rtol=1e-5)


def test_spread_of_a_line_is_its_speed_times_a_constant():
    for window in (2, 5, 10):
        points = 0.3 + 0.02 * np.arange(window)
        assert points.std(ddof=1) == pytest.approx(0.02 * np.sqrt(window * (window + 1) / 12))


@pytest.mark.parametrize("start", [0.0, 0.3, 1.0])
def test_averages_turn_under_dual_before_they_turn_under_uncertainty_and_never_from_a_common_start(start):
    t = np.linspace(start, 60, 20_001)
    p = theory.probability(np.array([4.0, 1.0]), t[:, None])
    uncertain = p - p[0]
    score = np.cumsum((1 - (p[1:] + p[:-1]) / 2) * np.diff(p, axis=0), axis=0)  # of (1 - P) dP
    np.testing.assert_allclose(score, uncertain[1:] * (1 - (p[1:] + p[0]) / 2), atol=1e-9)
    hard_unc, hard_dual = uncertain[1:, 1] >= uncertain[1:, 0], score[:, 1] > score[:, 0]
    assert (hard_dual | ~hard_unc).all()
    if start == 0:
        assert not hard_dual.any()
    else:
        assert hard_dual.argmax() < hard_unc.argmax() or hard_unc[0]
        assert hard_unc[-1]


@pytest.mark.parametrize("window", [2, 4, 9])
def test_spread_stays_under_the_half_moon_and_touches_it(window):
    rng = np.random.default_rng(window)
    p = rng.beta(0.2, 0.2, (window, 20_000))
    p[:, :2000] = rng.integers(0, 2, (window, 2000))
    mean, bound = p.mean(0), None
    bound = np.sqrt(window / (window - 1) * mean * (1 - mean))
    assert (p.std(0, ddof=1) <= bound + 1e-12).all()
    np.testing.assert_allclose(p.std(0, ddof=1)[:2000], bound[:2000], atol=1e-12)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_the_envelope_peaks_where_the_proposition_says(power):
    grid = np.linspace(0, 1, 200_001)
    envelope = (1 - grid) ** (power + 0.5) * np.sqrt(grid)
    assert grid[envelope.argmax()] == pytest.approx(1 / (2 * (1 + power)), abs=1e-5)
    if power == 1:
        assert envelope.max() == pytest.approx(3 * np.sqrt(3) / 16)


def test_moments_and_monotonicity_of_the_beta_law():
    top = 0.3
    for ratio in (0.0, 0.3, 0.9):
        for c_d in (0.5, 2.0, 5.5):
            alpha, beta = pruning.beta_parameters(top, ratio, c_d)
            mean = 1 - 15 / 16 * (1 - top) * (1 - ratio**c_d)
            assert beta_law(alpha, beta).mean() == pytest.approx(mean)
            assert beta_law(alpha, beta).var() == pytest.approx(mean * (1 - mean) / 17)
    means = [[1 - pruning.beta_parameters(top, r, c)[1] / 16 for r in np.linspace(0.1, 0.9, 9)] for c in (1, 2, 4)]
    assert (np.diff(means, axis=1) > 0).all()
    assert (np.diff(means, axis=0) < 0).all()
    alpha, beta = pruning.beta_parameters(0.3, 0.99, 2.0)
    assert beta < 1
    assert (np.diff(beta_law(alpha, beta).pdf(np.linspace(0.01, 0.99, 500))) > 0).all()


def test_of_two_samples_of_one_probability_the_larger_score_is_drawn_more_often_in_proportion():
    score, mean = np.linspace(0.1, 0.4, 30), np.full(30, 0.6)
    np.testing.assert_allclose(pruning.beta_weights(score, mean, 0.7, 2.0), score / score.sum())


# --- pools ---------------------------------------------------------------------------------------------------------


def fake_dataset(side: int = 8, channels: int | None = None, count: int = 120) -> Dataset:
    rng = np.random.default_rng(3)
    shape = (side, side) if channels is None else (channels, side, side)
    return Dataset(
        x_train=rng.random((count, *shape), dtype=np.float32),
        y_train=np.arange(count) % 10,
        x_test=rng.random((30, *shape), dtype=np.float32),
        y_test=np.arange(30) % 10,
        name="fake",
        n_classes=10,
        image_shape=shape,
        source="",
        sha256="0" * 64,
        licence="",
        citation="",
    )


def fake_pool(dataset: Dataset, **given) -> pools.Pool:
    settings = dict(n_train=80, validation=25, replicas=3, label_noise=0.3, corruption=0.5, device="cpu") | given
    rngs = {name: np.random.default_rng(k) for k, name in enumerate(("rng_split", "rng_spoil"))}
    return pools.make_pool(dataset, **settings, **rngs)


@pytest.mark.parametrize("channels", [None, 3])
def test_a_pool_keeps_training_validation_and_test_apart_and_spoils_only_what_it_says(channels):
    dataset = fake_dataset(channels=channels)
    pool = fake_pool(dataset)
    clean = pool.x[:80]
    np.testing.assert_allclose(clean.mean((0, 2, 3)).numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(clean.std((0, 2, 3), correction=0).numpy(), 1, atol=1e-5)
    everything, test = (x.reshape(len(x), *pool.shape) for x in (dataset.x_train, dataset.x_test))
    # Test images are standardized by the same constants, which a straight line through their pixels recovers.
    lines = [np.polyfit(pool.x_test[:, c].numpy().ravel(), test[:, c].ravel(), 1) for c in range(len(test[0]))]
    slope, shift = (np.array(values).reshape(1, -1, 1, 1) for values in zip(*lines, strict=True))
    np.testing.assert_allclose(pool.x_test.numpy() * slope + shift, test, atol=1e-5)

    def find(images):
        """Positions among all training images."""
        return [int(np.abs(everything - image).max((1, 2, 3)).argmin()) for image in images.numpy() * slope + shift]

    train, held_out = find(clean), find(pool.x_validation)
    assert len(set(train)) == 80
    assert len(set(held_out)) == 25
    assert not set(train) & set(held_out)
    np.testing.assert_array_equal(pool.labels["clean"][0], dataset.y_train[train])
    np.testing.assert_array_equal(pool.y_validation, dataset.y_train[held_out])
    np.testing.assert_array_equal(np.bincount(dataset.y_train[train]), 8)  # each class in its share

    for s in range(3):
        np.testing.assert_array_equal(pool.labels["noise"][s] != pool.labels["clean"][s], pool.wrong[s])
        rows = pool.x[pool.offset["corrupt"][s] + np.arange(80)]
        changed = (rows - clean).abs().amax((1, 2, 3)).numpy() > 1e-6
        np.testing.assert_array_equal(changed, pool.kind[s] >= 0)
        assert changed.sum() == 40
    assert 10 < pool.wrong.sum(1).mean() < 40
    assert (pool.wrong[0] != pool.wrong[1]).any()
    assert (pool.kind[0] != pool.kind[1]).any()
    for scenario in ("clean", "noise"):
        assert not pool.offset[scenario].any()
    np.testing.assert_array_equal(pool.labels["corrupt"], pool.labels["clean"])


# --- scoring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", ["eval", "train"])
def test_operations_are_those_of_the_passes_that_were_made(record):
    pool = fake_pool(fake_dataset())
    network = batched.BatchedMLP((64, 16, 10), 2, generator=torch.Generator().manual_seed(0))
    seen = scoring.watch(
        network,
        pool.x,
        np.stack([np.arange(80)] * 2),
        pool.labels["clean"][:2],
        epochs=3,
        horizon=5,
        lr=0.1,
        batch=32,
        record=record,
        generator=torch.Generator().manual_seed(1),
        streams=[0, 1],
    )
    forward = 2 * (64 * 16 + 16 * 10)
    backward = 2 * (64 * 16 + 2 * 16 * 10)  # no gradient with respect to images
    assert seen.operations == 3 * 80 * (forward + backward + (forward if record == "eval" else 0))
    assert seen.dynamics.target_prob.shape == (3, 2, 80)
    assert (seen.dynamics.target_prob > 0).all()


def test_operations_of_a_convolutional_network_do_not_depend_on_how_many_are_trained_side_by_side():
    counted = []
    for replicas in (1, 3):
        network = batched.GroupedCNN((1, 8, 8), 10, replicas, channels=(4, 6), generator=torch.Generator())
        counted.append(scoring.operations_per_sample(network, torch.randn(1, 1, 8, 8)))
    first, second, head = 2 * 64 * 4 * 9, 2 * 16 * 6 * 4 * 9, 2 * 24 * 10
    assert counted == [(first + second + head, first + 2 * second + 2 * head)] * 2


def test_counting_operations_leaves_the_network_as_it_was():
    network = resnet.BatchedResNet18(3, 10, 2, width=2, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    forward, backward = scoring.operations_per_sample(network, torch.randn(1, 3, 32, 32))
    assert 1.5 < backward / forward < 2.1
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_run_that_stops_early_is_the_beginning_of_the_long_one(tiny):
    params, results = tiny
    for entry in results.scored.sets.values():
        assert entry.early["clean"].dynamics.epochs == params.epochs_early
        first = entry.full.dynamics.first(params.epochs_early)
        for ours, theirs in zip(vars(entry.early["clean"].dynamics).values(), vars(first).values(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-3)
        spread = entry.full.dynamics.target_prob
        assert np.abs(spread[:, 0] - spread[:, 1]).max() > 0.05  # replicas start from weights of their own


# --- selection -----------------------------------------------------------------------------------------------------


def test_every_score_comes_from_the_run_that_it_may_use(tiny):
    params, results = tiny
    (entry,) = results.scored.sets.values()
    early, full, scores = entry.early["clean"].dynamics, entry.full.dynamics, entry.scores["clean"]
    np.testing.assert_array_equal(scores.dual, early.dual(params.window))
    np.testing.assert_array_equal(scores.mean_prob, early.mean_prob())
    np.testing.assert_array_equal(scores.el2n, early.el2n(params.epochs_early))
    np.testing.assert_array_equal(scores.aum_early, early.aum())
    np.testing.assert_array_equal(scores.aum, full.aum())
    np.testing.assert_array_equal(scores.dyn_unc, full.dyn_unc(params.window))
    for method in ("DUAL", "DUAL+Beta", "EL2N", "CCS early"):
        assert scores.operations[method] == entry.early["clean"].operations
    for method in ("AUM", "CCS", "Dyn-Unc"):
        assert scores.operations[method] == entry.full.operations


def test_each_method_keeps_what_its_definition_says():
    rng = np.random.default_rng(4)
    arrays = {name: rng.random((2, 200)) for name in ("dual", "mean_prob", "el2n", "aum_early", "aum", "dyn_unc")}
    scores = selection.Scores(**arrays, operations={})
    chosen = selection.select(scores, 1, n=20, ratio=0.9, c_d=2.0, cut=0.2, rng=np.random.default_rng(5))
    assert all(len(set(picks.tolist())) == 20 for picks in chosen.values())
    for method, score in (
        ("EL2N", scores.el2n),
        ("AUM", -scores.aum),
        ("Dyn-Unc", scores.dyn_unc),
        ("DUAL", scores.dual),
        ("lowest DUAL", -scores.dual),
    ):
        assert set(chosen[method]) == set(np.argsort(-score[1])[:20]), method
    for method, aum in (("CCS", scores.aum), ("CCS early", scores.aum_early)):
        assert not set(chosen[method]) & set(np.argsort(aum[1])[:40]), method
    assert set(chosen["CCS uncut"]) & set(np.argsort(scores.aum[1])[:40])


@pytest.mark.parametrize(
    ("scenario", "ratio", "noise", "cut"),
    [
        ("clean", 0.5, 0.2, 0.0),
        ("clean", 0.9, 0.2, 0.3),
        ("noise", 0.7, 0.2, 0.3),
        ("noise", 0.9, 0.4, 0.6),
        ("noise", 0.5, 0.4, 0.5),
        ("corrupt", 0.5, 0.2, 0.1),
    ],
)
def test_the_cut_of_ccs(scenario, ratio, noise, cut):
    assert selection.ccs_cut(scenario, ratio, noise) == pytest.approx(cut)


def test_the_smallest_exponent_within_a_standard_error_of_the_best_is_chosen():
    accuracy = np.array([[0.70, 0.72], [0.79, 0.81], [0.80, 0.80], [0.60, 0.90]])[:, None]  # (4, 1, 2)
    # The third is best on average with the second; behind it by 0.09 ± 0.01 is the first.
    assert selection.choose_exponent((1.0, 2.0, 3.0, 4.0), accuracy) == 2.0
    assert selection.choose_exponent((1.0, 2.0), np.array([[[0.7]], [[0.8]]])) == 2.0


def test_the_standard_error_of_a_candidate_falls_with_the_number_of_runs():
    behind = np.array([0.0, 0.02, 0.02, 0.0])  # 0.01 with a standard deviation of 0.0115, a standard error of 0.006
    accuracy = np.stack([0.8 - behind, np.full(4, 0.8)])[:, None]
    assert selection.choose_exponent((1.0, 2.0), accuracy) == 2.0


def test_the_exponent_is_tried_at_heavy_pruning_from_seven_tenths_on(tiny, monkeypatch):
    asked = []

    def tried(params, name, scores, ratios):
        asked.append(ratios)
        return np.zeros((len(experiments.C_CANDIDATES), len(ratios), 2))

    monkeypatch.setattr(experiments, "_try_exponents", tried)
    _, results = tiny
    for ratios in ([0.9, 0.5, 0.7], [0.3, 0.5]):
        params = Parameters.resolve(device="cpu", **TINY | {"ratios": ratios})
        experiments.tune.__wrapped__(params, results.scored)
    assert asked == [(0.7, 0.9), (0.5,)]


def test_the_choice_and_the_coresets_never_see_the_test_set(tiny, monkeypatch):
    params, results = tiny
    pool = experiments._pool(params, "digits")
    blind = dataclasses.replace(pool, x_test=None, y_test=None)
    monkeypatch.setattr(experiments, "_pool", lambda params, name: blind)
    tuned = experiments.tune(params, results.scored)
    assert tuned.c_d == results.tuned.c_d
    np.testing.assert_array_equal(tuned.accuracy["digits"], results.tuned.accuracy["digits"])
    again = experiments.prune(params, results.scored, tuned)
    for cell, chosen in results.coresets.sets["digits"].chosen.items():
        np.testing.assert_array_equal(again.sets["digits"].chosen[cell], chosen)


def test_a_given_exponent_is_used_and_nothing_is_tried():
    params = Parameters.resolve(device="cpu", **TINY, c_d=2.5)
    tuned = experiments.tune(params, experiments.score(params))
    assert tuned.c_d == {"digits": 2.5}
    assert tuned.accuracy == {}


# --- retraining ----------------------------------------------------------------------------------------------------


def test_equal_coresets_reach_equal_accuracies_whatever_the_method_is_called(tiny):
    params, results = tiny
    coresets = results.coresets.sets["digits"]
    same = {cell: coresets.chosen["clean", 0.5, "random"] for cell in coresets.chosen if cell[1] == 0.5}
    wanted = [(scenario, 0.5, method) for scenario in ("clean", "noise") for method in ("random", "DUAL", "CCS")]
    swapped = experiments.CoresetsOfSet(same, {})
    reached = experiments._fit_cells(params, "digits", swapped, wanted, lambda cell: 2, steps=40)
    np.testing.assert_array_equal(reached["clean", 0.5, "random"], reached["clean", 0.5, "DUAL"])
    np.testing.assert_array_equal(reached["noise", 0.5, "CCS"], reached["noise", 0.5, "DUAL"])
    # Wrong labels are trained on, and replicas differ.
    assert reached["noise", 0.5, "DUAL"].mean() < reached["clean", 0.5, "DUAL"].mean() - 0.02
    assert reached["clean", 0.5, "random"][0] != reached["clean", 0.5, "random"][1]


def test_damaged_images_are_trained_on_where_the_scenario_says_so(monkeypatch):
    params = Parameters.resolve(device="cpu", **TINY | {"corruption": 1.0, "ratios": [0.5]})
    results = run(params)
    seen = []
    monkeypatch.setattr(
        learners, "fit_coresets", lambda start, pool, rows, *a, **k: seen.append(rows) or np.zeros(len(rows))
    )
    wanted = [("clean", 0.5, "random"), ("corrupt", 0.5, "random")]
    experiments._fit_cells(params, "digits", results.coresets.sets["digits"], wanted, lambda cell: 2)
    clean, damaged = np.split(seen[0], [-2])
    assert clean.max() < 500
    assert damaged[0].min() >= 500
    assert damaged[1].min() >= 1000


def test_further_draws_are_new_and_start_from_other_weights(quick):
    params, results = quick
    for name, coresets in results.coresets.sets.items():
        preset = params.preset(name)
        for cell, again in coresets.again.items():
            first = coresets.chosen[cell]
            assert len(again) == (preset.draws - 1) * preset.replicas
            for k, picks in enumerate(again):
                same = set(picks) == set(first[k % preset.replicas])
                assert same == (cell[2] == "DUAL")
            assert len(results.retrained.sets[name][cell]) == preset.draws * preset.replicas


def test_further_draws_follow_the_law_and_the_cut_of_the_first(tiny, monkeypatch):
    params, results = tiny
    (entry,) = results.scored.sets.values()
    scores, preset = entry.scores["clean"], params.preset("digits")
    laws = []

    def drawn(score, mean_prob, **law):
        laws.append({key: value for key, value in law.items() if key != "rng"})
        return pruning.top_n(score, law["n"])

    first = results.coresets.sets["digits"].chosen["clean", 0.9, "CCS"]
    again = experiments._draw_again(params, preset, scores, 2.5, ("clean", 0.9, "CCS"), first)
    further = preset.draws - 1
    for picks, aum in zip(again, np.tile(scores.aum, (further, 1)), strict=True):
        assert not set(picks) & set(np.argsort(aum, kind="stable")[:150])  # the cut at 0.9 is 0.3 of 500
    monkeypatch.setattr(pruning, "beta_sampling", drawn)
    experiments._draw_again(params, preset, scores, 2.5, ("clean", 0.9, "DUAL+Beta"), first)
    assert laws == [dict(n=50, ratio=0.9, c_d=2.5)] * 2 * further


def test_a_replicas_further_trainings_start_from_other_weights(tiny, monkeypatch):
    params, results = tiny
    seen = []

    def watched(start, pool, rows, labels, streams, **_):
        seen.append((rows, np.asarray(streams)))
        return np.zeros(len(rows))

    monkeypatch.setattr(learners, "fit_coresets", watched)
    wanted = [("clean", 0.5, "DUAL")]
    coresets = results.coresets.sets["digits"]
    assert wanted[0] in coresets.again
    experiments._fit_cells(params, "digits", coresets, wanted, lambda cell: 2)
    ((rows, streams),) = seen
    draws = params.preset("digits").draws
    np.testing.assert_array_equal(rows, np.tile(rows[:2], (draws, 1)))
    np.testing.assert_array_equal(streams, [(s + draw) % 2 for draw in range(draws) for s in range(2)])


@pytest.mark.parametrize("model", ["mlp", "resnet18"])
def test_networks_of_one_stream_are_trained_alike_in_whatever_company(model, monkeypatch):
    monkeypatch.setattr(learners, "BatchedResNet18", functools.partial(resnet.BatchedResNet18, width=2))
    monkeypatch.setattr(learners, "RESNETS_AT_ONCE", 2)
    pool = fake_pool(fake_dataset(channels=3))
    start = learners.build(model, pool, 2, hidden=8, channels=(2, 2), generator=torch.Generator().manual_seed(0))
    rows = np.stack([np.arange(20)] * 5)
    labels = np.take_along_axis(pool.labels["clean"][[0] * 5], rows, axis=1)
    settings = dict(model=model, steps=6, batch=8, lr=0.05, seed=3)
    streams = np.array([0, 1, 0, 0, 1])
    reached = learners.fit_coresets(start, pool, rows, labels, streams, **settings)
    assert reached[0] == reached[2] == reached[3]
    assert reached[1] == reached[4]


def test_kernel_and_neighbours_do_with_one_class():
    x, y = np.random.default_rng(6).random((6, 4)), np.array([1, 1, 1, 1, 1, 1])
    assert learners.svm_accuracy(x, y, x, np.array([1, 1, 1, 0, 0, 0])) == 0.5
    assert learners.neighbour_accuracy(x[:2], y[:2], x, y) == 1.0


# --- ResNet and CIFAR ----------------------------------------------------------------------------------------------


def test_resnet18_is_the_one_for_small_images():
    network = resnet.resnet18(3, 10)
    assert sum(p.numel() for p in network.parameters()) == 11_173_962
    assert resnet.resnet18(3, 100, width=4)(torch.zeros(2, 3, 32, 32)).shape == (2, 100)
    shapes = []
    for stage in network[3:11]:
        stage.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    network.eval()(torch.zeros(1, 3, 32, 32))
    assert shapes == [(64, 32, 32)] * 2 + [(128, 16, 16)] * 2 + [(256, 8, 8)] * 2 + [(512, 4, 4)] * 2


def test_a_residual_block_adds_its_input():
    block = resnet.resnet18(3, 10, width=4)[3]
    torch.nn.init.zeros_(block.norms[1].weight)
    x = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(block.eval()(x), x)


def test_crops_are_shifts_and_mirrors_and_alike_within_a_stream():
    images = torch.rand(3, 40, 2, 6, 6)
    images[2] = images[0]
    seen = resnet.crop_and_flip(images, torch.Generator().manual_seed(0), [0, 1, 0], margin=1)
    assert torch.equal(seen[0], seen[2])
    shifted = 0
    for image, result in zip(images.flatten(0, 1), seen.flatten(0, 1), strict=True):
        padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
        options = [padded[:, i : i + 6, j : j + 6] for i in range(3) for j in range(3)]
        plain = [torch.equal(result, option) for option in options]
        mirrored = [torch.equal(result, option.flip(-1)) for option in options]
        assert any(plain) or any(mirrored)
        shifted += any(mirrored)
    assert 30 < shifted < 90


def test_cifar_with_resnets_runs_to_the_end_and_decides_its_claim(monkeypatch):
    monkeypatch.setattr(learners, "BatchedResNet18", functools.partial(resnet.BatchedResNet18, width=2))
    dataset = fake_dataset(side=16, channels=3, count=500)
    monkeypatch.setattr(experiments, "load_dataset", lambda name, **_: dataset)
    monkeypatch.setattr(experiments, "_pool_of", experiments._pool_of.__wrapped__)
    given = dict(datasets=["cifar10"], model="resnet18", n_train=500, replicas=1, epochs_full=4, epochs_early=2)
    params = Parameters.resolve(device="cpu", window=2, ratios=[0.9], train_steps=2, record="train", **given)
    verdicts = verify(params, run(params))
    assert verdicts["C9b"].measured["work"] == pytest.approx(0.5)
    # Crops are those of the stream, so that the early run is the beginning of the full one here too.
    assert verdicts["C2b"].holds


# --- claims and figures --------------------------------------------------------------------------------------------


def test_all_claims_hold(quick):
    verdicts = verify(*quick)
    assert verdicts.sound, str(verdicts)
    assert {v.claim for v in verdicts if not v.decided} == {"C4e", "C9a", "C9b"}


def broken(params, results, **changed):
    """The results with other scores, and all that follows from them but retraining."""
    sets = {name: change(entry, **changed) for name, entry in results.scored.sets.items()}
    scored = dataclasses.replace(results.scored, sets=sets)
    return dataclasses.replace(results, scored=scored, coresets=experiments.prune(params, scored, results.tuned))


def change(entry, **changed):
    """A scored set with other scores, each given as a function of the set and the scenario."""
    scores = {
        scenario: dataclasses.replace(kept, **{name: made(entry, scenario) for name, made in changed.items()})
        for scenario, kept in entry.scores.items()
    }
    return dataclasses.replace(entry, scores=scores)


def test_scores_of_the_full_run_fail_the_claim_that_they_are_early(quick):
    params, results = quick
    for field, late in (
        ("dual", lambda entry, s: entry.full.dynamics.dual(params.window)),
        ("mean_prob", lambda entry, s: entry.full.dynamics.mean_prob()),
    ):
        assert not verify(params, broken(params, results, **{field: late}))["C2b"].holds


def test_without_difficulty_the_early_score_has_no_lead(quick):
    params, results = quick
    spread = broken(params, results, dual=lambda entry, s: entry.early[s].dynamics.dyn_unc(params.window))
    assert not verify(params, spread)["C2a"].holds


def test_one_replica_without_a_lead_is_enough_to_fail(quick):
    params, results = quick

    def first_without(entry, scenario):
        spread = entry.early[scenario].dynamics.dyn_unc(params.window)
        return np.concatenate([spread[:1], entry.scores[scenario].dual[1:]])

    assert not verify(params, broken(params, results, dual=first_without))["C2a"].holds


def test_random_coresets_do_not_pass_for_beta_sampling(quick):
    params, results = quick
    sets, trained = {}, {}
    for name, entry in results.coresets.sets.items():
        chosen, reached = dict(entry.chosen), dict(results.retrained.sets[name])
        for scenario, ratio, method in entry.chosen:
            if method == "DUAL+Beta":
                chosen[scenario, ratio, method] = chosen[scenario, ratio, "random"]
                if (scenario, ratio, method) in reached:
                    reached[scenario, ratio, method] = reached[scenario, ratio, "random"]
        sets[name], trained[name] = experiments.CoresetsOfSet(chosen, entry.again), reached
    replaced = dataclasses.replace(
        results, coresets=experiments.Coresets(sets), retrained=experiments.Retrained(trained)
    )
    verdicts = verify(params, replaced)
    for claim in ("C5b", "C5c", "C6a", "C6b", "C7"):
        assert not verdicts[claim].holds, claim


def test_replicas_that_are_one_and_the_same_are_no_repetitions(quick):
    params, results = quick
    alike = broken(params, results, dual=lambda entry, s: np.repeat(entry.scores[s].dual[:1], len(entry.wrong), 0))
    assert not verify(params, alike)["C2a"].holds


def test_a_score_that_prefers_wrong_labels_fails_the_purity_claim(quick):
    params, results = quick
    worse = broken(params, results, dual=lambda entry, s: entry.scores[s].el2n)
    assert not verify(params, worse)["C6a"].holds


def test_a_cost_that_is_that_of_the_full_run_fails_its_claim(quick):
    params, results = quick
    dear = broken(params, results, operations=lambda e, s: e.scores[s].operations | {"DUAL+Beta": e.full.operations})
    assert not verify(params, dear)["C3"].holds


def test_what_cannot_be_decided_says_what_it_needs(tiny):
    params, results = tiny
    verdicts = verify(params, results)
    assert verdicts["C8"].criterion == "needs pruning ratio 0.7 among ratios"
    scored = dataclasses.replace(results.scored, label_noise=0.0, corruption=0.0, power=0.0, epochs_early=4)
    verdicts = verify(params, dataclasses.replace(results, scored=scored))
    for claim, reason in (
        ("C2b", "epochs_early"),
        ("C3", "epochs_early"),
        ("C4d", "label_noise"),
        ("C6b", "label_noise"),
        ("C7", "corruption"),
    ):
        assert not verdicts[claim].decided
        assert reason in verdicts[claim].criterion


def test_where_nothing_collapses_nothing_is_repaired(tiny):
    params, results = tiny
    trained = dict(results.retrained.sets["digits"])
    trained["clean", 0.9, "DUAL"] = trained["clean", 0.9, "random"]
    verdicts = verify(params, dataclasses.replace(results, retrained=experiments.Retrained({"digits": trained})))
    for claim in ("C4c", "C5b"):
        assert not verdicts[claim].decided
        assert verdicts[claim].criterion.startswith("needs a collapse")


def test_criteria_are_joined_over_the_datasets_that_were_run():
    params = Parameters.resolve(datasets=["digits", "fashion-mini"], device="cpu")
    assert claims.joined("gain_@ > 0")(params) == "gain_digits > 0 and gain_mini > 0"


@pytest.mark.parametrize("extreme", [EXTREMES[1], EXTREMES[3], EXTREMES[6]], ids=["one", "given", "two"])
def test_figures_draw_without_a_warning(extreme):
    params = Parameters.resolve(device="cpu", **extreme)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scored = experiments.score(params)
        tuned = experiments.tune(params, scored)
        coresets = experiments.prune(params, scored, tuned)
        retrained = experiments.retrain(params, scored, coresets)
        for figure in (
            figures.crossing(experiments.crossing(params)),
            figures.plane(scored),
            figures.overlap(experiments.overlap_curves(params, scored), scored),
            figures.tuning(tuned),
            figures.glance(scored, retrained),
            figures.beta(scored, tuned, coresets),
            figures.noise(scored, coresets, retrained),
            figures.damage(retrained),
            figures.transfer(experiments.transfer(params, scored, coresets), scored),
            figures.images(experiments.pictures(params, scored, coresets)),
            figures.heat(experiments.heat_maps(params, scored)),
        ):
            figure.canvas.draw()
