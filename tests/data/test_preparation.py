import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.data.preparation import at_random, normalized, split_at_random, stratified


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=80),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
def test_a_stratified_subset_gives_every_class_its_share(labels, share, seed):
    labels = np.array(labels)
    n = max(1, round(share * len(labels)))
    chosen = stratified(labels, n, np.random.default_rng(seed))
    assert len(chosen) == n
    assert (np.diff(chosen) > 0).all()
    for label in np.unique(labels):
        count, exact = (labels[chosen] == label).sum(), (labels == label).sum() * n / len(labels)
        assert abs(count - exact) < 1


def test_leftover_examples_go_to_the_largest_remainders():
    labels = np.repeat([0, 1, 2], [5, 4, 3])
    chosen = stratified(labels, 4, np.random.default_rng(0))  # shares 1.67, 1.33, 1
    assert np.bincount(labels[chosen]).tolist() == [2, 1, 1]


def test_subsets_reach_every_example():
    labels = np.repeat([0, 1], 10)
    draws = [stratified(labels, 4, np.random.default_rng(seed)) for seed in range(200)]
    assert set(np.concatenate(draws)) == set(range(20))
    assert set(np.concatenate([at_random(9, 2, np.random.default_rng(seed)) for seed in range(200)])) == set(range(9))


@given(st.integers(2, 50), st.data())
def test_a_random_split_leaves_nothing_out(n, data):
    n_test = data.draw(st.integers(1, n - 1))
    train, test = split_at_random(n, n_test, np.random.default_rng(0))
    assert len(test) == n_test
    assert sorted([*train, *test]) == list(range(n))


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize(
    ("shape", "axes"), [((50, 4, 4), (0, 1, 2)), ((50, 3, 4, 4), (0, 2, 3)), ((50, 7), (0,))], ids=str
)
def test_standard_uses_the_training_part_only(shape, axes, integers):
    rng = np.random.default_rng(1)
    if integers:
        x, z = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
        z = z // 2
    else:
        x, z = rng.normal(3, 5, (2, *shape))
    train, test = normalized(x, z, "standard", top=255, dtype=np.dtype(np.float64))
    mean, deviation = (f(x.astype(float), axis=axes, keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(train, (x - mean) / deviation, atol=1e-12)
    np.testing.assert_allclose(test, (z - mean) / deviation, atol=1e-12)


def test_unit_takes_images_by_their_largest_pixel_and_tables_by_their_range():
    images = np.array([[[0, 51], [102, 204]]], dtype=np.uint8)
    scaled, _ = normalized(images, images, "unit", top=255, dtype=np.dtype(np.float64))
    np.testing.assert_allclose(scaled, images / 255)
    table = np.array([[1.0, 10.0], [3.0, 30.0]])
    train, test = normalized(table, 2 * table, "unit", top=None, dtype=np.dtype(np.float64))
    np.testing.assert_allclose(train, [[0, 0], [1, 1]])
    np.testing.assert_allclose(test, [[0.5, 0.5], [2.5, 2.5]])


@pytest.mark.parametrize("how", ["standard", "unit"])
def test_a_constant_feature_becomes_zero_not_nan(how):
    table = np.array([[7.0, 1.0], [7.0, 2.0]])
    train, test = normalized(table, table, how, top=None, dtype=np.dtype(np.float32))
    assert (train[:, 0] == 0).all()
    assert np.isfinite(test).all()


def test_none_changes_the_type_only():
    images = np.array([[[0, 255]]], dtype=np.uint8)
    same, _ = normalized(images, images, "none", top=255, dtype=np.dtype(np.float32))
    assert same.dtype == np.float32
    assert same.tolist() == [[[0.0, 255.0]]]
