import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.analysis import pruning
from companion.analysis.pruning import Recorder, TrainingDynamics


def random_dynamics(seed=0, epochs=14, shape=(3, 40)):
    rng = np.random.default_rng(seed)
    p = rng.random((epochs, *shape)).astype(np.float32)
    margin = 2 * p - 1
    return TrainingDynamics(p, margin, margin > 0, np.sqrt(2) * (1 - p))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_dual_is_the_mean_of_products_over_windows(power):
    dynamics, window, epochs = random_dynamics(), 5, 12
    expected = np.zeros((3, 40))
    for r in range(3):
        for i in range(40):
            terms = []
            for k in range(epochs - window + 1):
                seen = dynamics.target_prob[k : k + window, r, i].astype(np.float64)
                mean = sum(seen) / window
                std = (sum((seen - mean) ** 2) / (window - 1)) ** 0.5
                terms.append((1 - mean) ** power * std)
            expected[r, i] = sum(terms) / len(terms)
    np.testing.assert_allclose(dynamics.dual(window, epochs, power), expected, rtol=2e-5)
    if power == 0:
        np.testing.assert_array_equal(dynamics.dyn_unc(window, epochs), dynamics.dual(window, epochs, 0.0))


def test_the_other_scores_match_their_definitions():
    dynamics = random_dynamics(1)
    np.testing.assert_allclose(dynamics.aum(7), dynamics.margin[:7].mean(0), atol=1e-6)
    np.testing.assert_allclose(dynamics.mean_prob(7), dynamics.target_prob[:7].mean(0), rtol=1e-6)
    np.testing.assert_array_equal(dynamics.el2n(3), dynamics.error_norm[2])
    forgotten = dynamics.forgetting()
    for r, i in np.ndindex(3, 40):
        right = dynamics.correct[:, r, i]
        events = sum(a and not b for a, b in itertools.pairwise(right))
        assert forgotten[r, i] == (events if right.any() else np.inf)
    one = dynamics.first(9).replica(2)
    assert one.target_prob.shape == (9, 40)
    np.testing.assert_array_equal(one.dual(4), dynamics.dual(4, 9)[2])


def test_a_sample_never_right_is_forgotten_infinitely_often():
    p = np.full((5, 1), 0.1)
    assert TrainingDynamics(p, p - 1, p > 1, p).forgetting()[0] == np.inf


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda d: d.dual(1), "window"),
        (lambda d: d.dual(15), "window"),
        (lambda d: d.aum(0), "epochs"),
        (lambda d: d.mean_prob(15), "epochs"),
        (lambda d: d.el2n(0), "epoch"),
    ],
)
def test_arguments_out_of_range_are_named(call, name):
    with pytest.raises(ValueError, match=f"{name}: got"):
        call(random_dynamics())


def test_recorder_notes_softmax_quantities_of_the_given_label():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 3, 20, 5, generator=generator)
    labels = torch.randint(5, (3, 20), generator=generator)
    recorder = Recorder(labels, 2)
    for epoch in range(2):
        order = torch.rand(3, 20, generator=generator).argsort(1)
        for positions in order.split(7, dim=1):
            recorder.note(epoch, positions, logits[epoch].gather(1, positions[..., None].expand(-1, -1, 5)))
    dynamics = recorder.dynamics()
    p = logits.double().softmax(-1).numpy()
    onehot = np.eye(5)[labels.numpy()]
    target = (p * onehot).sum(-1)
    other = np.where(onehot > 0, -1, p).max(-1)
    np.testing.assert_allclose(dynamics.target_prob, target, atol=1e-3)  # half precision
    np.testing.assert_allclose(dynamics.margin, target - other, atol=1e-3)
    np.testing.assert_array_equal(dynamics.correct, p.argmax(-1) == labels.numpy())
    np.testing.assert_allclose(dynamics.error_norm, np.linalg.norm(p - onehot, axis=-1), atol=2e-3)


def test_a_diverged_network_is_noted_as_zero_probability():
    recorder = Recorder(torch.zeros(1, 4, dtype=torch.long), 1)
    recorder.note(0, torch.arange(4)[None], torch.full((1, 4, 3), float("nan")))
    dynamics = recorder.dynamics()
    assert not dynamics.target_prob.any()
    assert np.isfinite(dynamics.error_norm).all()


@given(
    total=st.integers(20, 300),
    ratio=st.floats(0.01, 0.99),
    c_d=st.floats(0.01, 100),
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 1e-9, 0.3, 1.0]),
)
@settings(max_examples=80, deadline=None)
def test_every_selector_returns_n_distinct_indices(total, ratio, c_d, seed, spread):
    rng = np.random.default_rng(seed)
    score, mean = spread * rng.random(total), np.clip(spread * rng.normal(0.8, 0.3, total), 0, 1)
    aum = 2 * mean - 1
    n = pruning.kept(total, ratio)
    cut = min(0.3, ratio)
    for chosen in (
        pruning.top_n(score, n),
        pruning.random(total, n, rng),
        pruning.beta_sampling(score, mean, n=n, ratio=ratio, c_d=c_d, rng=rng),
        pruning.ccs(aum, cut, n, rng),
        pruning.aum_cutoff(aum, cut, n),
    ):
        assert len(set(chosen.tolist())) == len(chosen) == n
        assert chosen.min() >= 0
        assert chosen.max() < total


def test_kept_is_not_fooled_by_rounding():
    assert [pruning.kept(4000, r) for r in (0.3, 0.5, 0.7, 0.8, 0.9)] == [2800, 2000, 1200, 800, 400]
    assert pruning.kept(1297, 0.9) == 129
    for ratio in (0, 1, -0.1):
        with pytest.raises(ValueError, match="ratio: got"):
            pruning.kept(10, ratio)


def test_top_n_takes_the_largest_and_sizes_are_checked():
    np.testing.assert_array_equal(pruning.top_n(np.array([3.0, 5.0, 1.0, 5.0]), 3), [1, 3, 0])
    for n in (0, 5):
        with pytest.raises(ValueError, match="n: got"):
            pruning.top_n(np.ones(4), n)
    with pytest.raises(ValueError, match="cut: got"):
        pruning.aum_cutoff(np.ones(4), 1.0, 1)


def test_beta_sampling_draws_with_its_weights():
    rng = np.random.default_rng(0)
    score, mean = rng.random(50), rng.random(50)
    weights = pruning.beta_weights(score, mean, 0.7, 2.0)
    drawn = [pruning.beta_sampling(score, mean, n=1, ratio=0.7, c_d=2.0, rng=rng)[0] for _ in range(8_000)]
    counts = np.bincount(drawn, minlength=50) / 8_000
    assert np.abs(counts - weights).max() < 5 * np.sqrt(weights.max() / 8_000)


def test_beta_weights_are_density_times_score():
    from scipy.stats import beta

    rng = np.random.default_rng(1)
    score, mean = rng.random(100), rng.uniform(0.05, 0.95, 100)
    top = mean[np.argsort(-score)[:10]].mean()
    b = 15 * (1 - top) * (1 - 0.5**3)
    expected = beta(16 - b, b).pdf(mean) * score
    np.testing.assert_allclose(pruning.beta_weights(score, mean, 0.5, 3.0), expected / expected.sum(), rtol=1e-9)


def test_ccs_drops_the_cut_and_covers_all_strata():
    rng = np.random.default_rng(0)
    aum = np.concatenate([rng.uniform(-1, -0.9, 100), rng.uniform(-0.5, 1, 100), rng.uniform(0.99, 1, 800)])
    chosen = pruning.ccs(aum, 0.1, 100, rng, bins=50)
    assert (aum[chosen] >= np.sort(aum)[100]).all()
    strata = np.unique(np.floor((aum[chosen] + 0.5) / 1.5 * 50))
    assert len(strata) > 35
    # An even budget: the crowded top stratum gets far less than its share of the data.
    assert (aum[chosen] > 0.98).mean() < 0.5
    np.testing.assert_array_equal(
        np.sort(aum[pruning.aum_cutoff(aum, 0.1, 50)]), np.sort(aum)[100:150]
    )  # fmt: skip


def test_overlap_is_the_share_of_the_reference():
    assert pruning.overlap(np.array([1, 2, 3]), np.array([3, 4])) == 0.5
