import dataclasses
import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import wrightomega
from scipy.stats import beta as beta_law

from companion.analysis import pruning
from companion.chapters import dual_pruning as chapter
from companion.chapters.dual_pruning import claims, theory
from companion.parameters import ParameterError


@pytest.fixture(scope="module")
def digits():
    params = chapter.Parameters.resolve(device="cpu", datasets=["digits"])
    return params, chapter.run(params)


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


def test_the_easy_sample_stays_ahead_in_every_pair():
    result = theory.crossing(7)
    assert not result.behind.any()
    assert not result.violations.any()
    assert result.swapped.all()
    assert result.earlier.all()


def test_spread_of_a_line_is_its_speed_times_a_constant():
    for window in (2, 5, 10):
        points = 0.3 + 0.02 * np.arange(window)
        assert points.std(ddof=1) == pytest.approx(0.02 * np.sqrt(window * (window + 1) / 12))


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


# --- the experiment -----------------------------------------------------------------------------------------------


def test_all_claims_hold_on_digits_alone(digits):
    params, results = digits
    verdicts = chapter.verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {v.claim for v in verdicts if not v.decided} == {"C9a", "C9b"}
    assert "mini" not in verdicts["C4a"].criterion


def test_without_difficulty_the_early_score_has_no_lead(digits, monkeypatch):
    params, results = digits
    whole = pruning.TrainingDynamics.dual
    monkeypatch.setattr(
        pruning.TrainingDynamics, "dual", lambda self, window=10, epochs=None, power=1: whole(self, window, epochs, 0.0)
    )
    assert not chapter.verify(params, results)["C2"].holds


def test_without_adaptation_the_sampling_claims_fail(digits, monkeypatch):
    params, results = digits
    law = pruning.beta_parameters
    monkeypatch.setattr(pruning, "beta_parameters", lambda top, ratio, c_d, c=15.0: law(top, 0.3, c_d, c))
    broken = dataclasses.replace(results, coresets=chapter.prune(params, results.proxies))
    assert not chapter.verify(params, broken)["C5c"].holds


def test_a_score_that_prefers_wrong_labels_fails_the_purity_claim(digits, monkeypatch):
    params, results = digits
    monkeypatch.setattr(pruning.TrainingDynamics, "dual", lambda self, window=10, epochs=None, power=1: self.el2n(15))
    broken = dataclasses.replace(results, coresets=chapter.prune(params, results.proxies))
    assert not chapter.verify(params, broken)["C6a"].holds


def test_selection_never_sees_the_test_labels(digits):
    params, results = digits
    blind = dataclasses.replace(results.proxies[0], y_test=None, x_test=None)
    again = chapter.prune(params, (blind,))[0]
    for cell, chosen in results.coresets[0].chosen.items():
        np.testing.assert_array_equal(again.chosen[cell], chosen)


def test_the_early_run_processes_its_share_of_the_samples(digits):
    params, results = digits
    work = results.proxies[0].work
    assert work["full"].trained == params.epochs_full * results.proxies[0].wrong.size
    assert work["early"].trained == params.epochs_early * results.proxies[0].wrong.size


def test_figures_draw_on_one_dataset(digits):
    params, results = digits
    proxy, coresets = results.proxies[0], results.coresets[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in (
            chapter.figure_crossing(results.crossing),
            chapter.figure_plane(proxy),
            chapter.figure_overlap({"digits": chapter.overlap_curve(params, proxy)}, params.epochs_early),
            chapter.figure_accuracy(params, results.proxies, results.retrained),
            chapter.figure_beta(proxy, coresets),
            chapter.figure_noise(results),
            chapter.figure_images(proxy, coresets),
            chapter.figure_heat({"digits": chapter.heat_map(params, proxy)}),
        ):
            figure.canvas.draw()


SMALL = dict(
    device="cpu", datasets=["digits"], n_train=500, replicas=2, epochs_full=4, epochs_early=3, window=2, train_steps=5
)


@pytest.mark.parametrize(
    "odd",
    [
        dict(ratios=[0.4], record="train"),
        dict(ratios=[0.7, 0.999], replicas=1),
        dict(score_lr=10.0, train_lr=10.0, ratios=[0.5, 0.7, 0.9]),
        dict(label_noise=0.0, corruption=0.0, difficulty_power=0.0, c_d=100.0, ratios=[0.7, 0.9]),
        dict(label_noise=0.8, corruption=1.0, difficulty_power=10.0, c_d=0.001, model="cnn", ratios=[0.7, 0.9]),
        dict(window=3, epochs_full=3, n_train=1_000_000, ratios=[0.001]),
    ],
)
def test_odd_parameters_run_to_the_end_without_a_warning(odd):
    params = chapter.Parameters.resolve(**SMALL | odd)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = chapter.run(params)
        verdicts = chapter.verify(params, results)
        chapter.figure_plane(results.proxies[0])
        chapter.figure_overlap({"digits": chapter.overlap_curve(params, results.proxies[0])}, params.epochs_early)
        chapter.figure_accuracy(params, results.proxies, results.retrained)
        chapter.figure_beta(results.proxies[0], results.coresets[0])
        chapter.figure_images(results.proxies[0], results.coresets[0])
        chapter.figure_noise(results)
        chapter.figure_heat({"digits": chapter.heat_map(params, results.proxies[0])})
    assert len(verdicts.verdicts) == len(chapter.CLAIMS)


def test_the_same_seed_gives_the_same_verdicts():
    params = chapter.Parameters.resolve(**SMALL, seed=5)
    assert chapter.verify(params, chapter.run(params)) == chapter.verify(params, chapter.run(params))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(window=20), "window: got 20, allowed: at most epochs_early = 15"),
        (dict(epochs_early=200), "epochs_early: got 200, allowed: at most epochs_full = 100"),
        (dict(ratios=[0.5, 0.5]), "ratios: got"),
        (dict(ratios=[1.0]), "ratios: got"),
        (dict(datasets=["mnist"]), "datasets: got"),
    ],
)
def test_parameters_that_do_not_fit_are_named(given, message):
    with pytest.raises(ParameterError, match=message):
        chapter.Parameters.resolve(**given)


def test_criteria_are_joined_over_the_datasets_that_were_run():
    criterion = claims._joined("gain_@ > 0", digits="gain_digits > -0.02")
    params = chapter.Parameters.resolve(datasets=["digits", "fashion-mini"], device="cpu")
    assert criterion(params) == "gain_digits > -0.02 and gain_mini > 0"
