import numpy as np
import pytest
import torch

from companion.analysis.spectra import (
    effective_rank,
    hitting_time,
    product_singular_values,
    stable_rank,
)


def test_equal_values_count_as_so_many_directions_at_any_scale():
    for scale in (1e-200, 1.0, 1e200):
        flat = scale * np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
        for rank in (effective_rank(flat), stable_rank(flat)):
            assert np.allclose(rank, [4, 2, 1], atol=1e-12)


def test_ranks_follow_their_formulas():
    s = np.random.default_rng(0).uniform(size=(3, 5, 6))
    p = s / s.sum(-1, keepdims=True)
    assert np.allclose(effective_rank(s), np.exp(-(p * np.log(p)).sum(-1)))
    matrix = np.random.default_rng(1).normal(size=(4, 7))
    values = np.linalg.svd(matrix, compute_uv=False)
    assert np.isclose(stable_rank(values), np.linalg.norm(matrix) ** 2 / np.linalg.norm(matrix, 2) ** 2)


def test_a_zero_spectrum_has_no_rank_and_a_negative_value_is_refused():
    assert np.isnan(effective_rank([0.0, 0.0]))
    assert np.isnan(stable_rank([0.0, 0.0]))
    with pytest.raises(ValueError, match="values: got"):
        effective_rank([1.0, -0.5])


def test_first_time_at_a_level():
    times = np.array([0.0, 1.0, 2.0, 4.0])
    series = np.array([[0.0, 1.0, 3.0, 5.0], [2.0, 1.0, 0.0, 3.0], [0.0, 0.5, 0.5, 0.9], [0.0, 2.0, 1.0, 3.0]])
    assert hitting_time(series, times, 2.0).tolist() == [1.5, 0.0, np.inf, 1.0]
    assert hitting_time(series, times, [5.0, 2.5, 0.5, 2.5]).tolist() == [4.0, pytest.approx(2 + 2 * 2.5 / 3), 1.0, 3.5]


def test_times_of_a_curve_with_known_crossings():
    t = np.linspace(0, 3, 301)
    levels = np.array([0.25, 1.0, 4.0])
    found = hitting_time(np.broadcast_to(t**2, (3, 301)), t, levels)
    # The chord of a parabola over a step of 0.01 is off by less than an eighth of a step's square over the slope.
    assert np.allclose(found, np.sqrt(levels), atol=1e-4)


@pytest.mark.parametrize(("m", "n", "r"), [(6, 5, 3), (4, 7, 4), (3, 3, 1)])
def test_singular_values_of_a_product(m, n, r):
    generator = torch.Generator().manual_seed(2)
    left = torch.randn(2, 3, m, r, generator=generator, dtype=torch.float64)
    right = torch.randn(2, 3, r, n, generator=generator, dtype=torch.float64)
    direct = torch.linalg.svdvals(left @ right)[..., :r]
    assert torch.allclose(product_singular_values(left, right), direct, atol=1e-12)
    with pytest.raises(ValueError, match="left, right"):
        product_singular_values(left, right.mT[..., :1] if r > 1 else left)
