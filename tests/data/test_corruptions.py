import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.data.corruptions import CORRUPTIONS, corrupt_images, long_tail_indices, symmetric_label_noise


@given(share=st.floats(0, 1), classes=st.integers(2, 12), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_noise_changes_exactly_the_labels_it_marks(share, classes, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 200)
    noisy, wrong = symmetric_label_noise(labels, share, classes, rng)
    np.testing.assert_array_equal(noisy != labels, wrong)
    assert noisy.min() >= 0
    assert noisy.max() < classes


def test_noise_rate_and_uniform_wrong_classes():
    labels = np.zeros(60_000, dtype=int)
    noisy, wrong = symmetric_label_noise(labels, 0.3, 4, np.random.default_rng(0))
    assert abs(wrong.mean() - 0.3) < 4 * np.sqrt(0.21 / 60_000)
    assert np.allclose(np.bincount(noisy[wrong])[1:] / wrong.sum(), 1 / 3, atol=0.02)


@pytest.mark.parametrize("shape", [(200, 8, 8), (200, 14, 14), (50, 3, 32, 32), (10, 1, 1), (20, 2, 2)])
def test_corruption_touches_its_share_evenly_and_stays_in_range(shape):
    images = np.random.default_rng(1).random(shape).astype(np.float32)
    before = images.copy()
    corrupted, kind = corrupt_images(images, 0.3, np.random.default_rng(2))
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(corrupted[kind < 0], images[kind < 0])
    assert (kind >= 0).sum() == round(0.3 * len(images))
    counts = np.bincount(kind[kind >= 0], minlength=len(CORRUPTIONS))
    assert np.ptp(counts) <= 1
    assert np.isfinite(corrupted).all()
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1 + 1e-6


def test_each_damage_is_what_it_says():
    images = np.full((500, 8, 8), 0.5, dtype=np.float32)
    images[:, 2, 3] = 1.0
    corrupted, kind = corrupt_images(images, 1.0, np.random.default_rng(3))
    for image in corrupted[kind == 1]:
        rows, cols = np.nonzero(image == 0)
        assert len(rows) == 16  # a square of half the side
        assert np.ptp(rows) == np.ptp(cols) == 3
    coarse = corrupted[kind == 2]
    np.testing.assert_allclose(coarse[:, :4, :4], np.broadcast_to(coarse[:, :1, :1], (len(coarse), 4, 4)), rtol=1e-6)
    np.testing.assert_allclose(coarse.mean((1, 2)), images[0].mean(), rtol=1e-5)
    offset = np.arange(8) - 3.5
    t = np.exp(-0.4 * (np.sqrt(8) - 0.04 * np.hypot(offset[:, None], offset)))
    np.testing.assert_allclose(corrupted[kind == 3][0], images[0] * t + 0.5 * (1 - t), rtol=1e-5)
    np.testing.assert_allclose(corrupted[kind == 4].max((1, 2)), 1)


def test_motion_blur_spreads_a_point_along_the_diagonal():
    images = np.zeros((5, 8, 8), dtype=np.float32)
    images[:, 4, 4] = 1
    corrupted, kind = corrupt_images(images, 1.0, np.random.default_rng(0))
    rows, cols = np.nonzero(corrupted[kind == 4][0])
    np.testing.assert_array_equal(rows, cols)
    np.testing.assert_array_equal(rows, [3, 4, 5, 6])


def test_long_tail_sizes_fall_geometrically():
    labels = np.repeat(np.arange(5), 1000)
    kept = long_tail_indices(labels, 100, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(labels[kept]), [1000, 316, 100, 32, 10])
    assert len(np.unique(kept)) == len(kept)
    assert len(long_tail_indices(labels, 1, np.random.default_rng(0))) == 5000


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range_is_named(share):
    with pytest.raises(ValueError, match="share: got"):
        symmetric_label_noise(np.zeros(3, int), share, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="share: got"):
        corrupt_images(np.zeros((3, 4, 4)), share, np.random.default_rng(0))
    with pytest.raises(ValueError, match="imbalance: got"):
        long_tail_indices(np.zeros(3, int), 0.5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="images: got shape"):
        corrupt_images(np.zeros((3, 4, 5)), 0.5, np.random.default_rng(0))
