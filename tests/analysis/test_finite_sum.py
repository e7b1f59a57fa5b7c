import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.analysis import finite_sum
from companion.analysis.finite_sum import (
    FiniteSumQuadratic,
    chain,
    herding_constant,
    herding_order,
    orders,
    product,
    reshuffled,
    second_moment_superoperator,
    step_grid,
    tune_step,
)


def random_sum(seed: int, n: int = 6, d: int = 3, centred: bool = False) -> FiniteSumQuadratic:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, d, d))
    H = A @ A.transpose(0, 2, 1) / d + 0.2 * np.eye(d)
    H[0] -= 0.5 * np.eye(d)  # one component need not be convex
    b = rng.normal(size=(n, d))
    return FiniteSumQuadratic(H, b - b.mean(0) if centred else b)


def plain_run(problem: FiniteSumQuadratic, x0: np.ndarray, eta: float, visited) -> np.ndarray:
    x = x0.copy()
    for i in visited:
        x = x - eta * (problem.H[i] @ x - problem.b[i])
    return x


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"got shapes \(3, 2, 2\) and \(3, 1\)"):
        FiniteSumQuadratic(np.ones((3, 2, 2)), np.ones((3, 1)))


def test_value_gap_and_minimizer_agree():
    problem = random_sum(0)
    x = np.random.default_rng(1).normal(size=(5, 3))
    assert np.allclose(problem.gap(x), problem.value(x) - problem.value(problem.minimizer))
    gradient = np.mean([problem.grad_i(problem.minimizer, i) for i in range(problem.n)], axis=0)
    assert np.abs(gradient).max() < 1e-12


def test_grad_i_matches_finite_differences_of_the_component():
    problem, x, h = random_sum(2), np.array([0.3, -1.0, 2.0]), 1e-6

    def component(x):
        return 0.5 * x @ problem.H[1] @ x - problem.b[1] @ x

    numeric = [(component(x + h * e) - component(x - h * e)) / (2 * h) for e in np.eye(3)]
    assert np.allclose(problem.grad_i(x, 1), numeric, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), d=st.integers(1, 4), epochs=st.integers(1, 6))
def test_final_gap_equals_a_plain_loop(seed, n, d, epochs):
    rng = np.random.default_rng(seed)
    problem = random_sum(seed, n=n, d=d)
    # A single shifted component may have no strongly convex mean; the iterates are compared all the same.
    visited, x0, etas = rng.permutation(n), rng.normal(size=d), np.array([1e-3, 0.05, 0.2])
    gaps = problem.final_gap(x0, epochs, etas, visited)
    expected = [problem.gap(plain_run(problem, x0, eta, np.tile(visited, epochs))) for eta in etas]
    assert np.allclose(gaps, expected, rtol=1e-9, atol=1e-12)


def test_epoch_map_does_not_depend_on_how_it_is_cut(monkeypatch):
    problem, etas = random_sum(3, n=7), np.linspace(0.01, 0.3, 11)
    visited = np.stack([np.random.default_rng(s).permutation(7) for s in range(6)]).reshape(2, 3, 7)
    whole = problem.epoch_map(etas, visited)
    assert whole.shape == (2, 3, 11, 4, 4)
    monkeypatch.setitem(finite_sum._ENTRIES, "cpu", 400)
    assert torch.allclose(whole, problem.epoch_map(etas, visited), rtol=1e-13, atol=0)
    one = problem.epoch_map(etas, visited[1, 2])
    assert torch.allclose(whole[1, 2], one, rtol=1e-13, atol=0)


@pytest.mark.parametrize("m", [1, 2, 3, 7, 8])
def test_chain_multiplies_later_factors_from_the_left(m):
    factors = torch.randn((2, m, 3, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(m))
    expected = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    for k in range(m):
        expected = factors[:, k] @ expected
    assert torch.allclose(chain(factors), expected)


def test_product_in_the_wrong_order_would_be_seen():
    problem = random_sum(4)
    etas = torch.tensor([0.1], dtype=torch.float64)
    assert not torch.allclose(product(problem.B, etas), product(problem.B.flip(0), etas))


def test_shuffled_gap_equals_a_plain_loop_however_many_epochs_fit_at_once(monkeypatch):
    problem, etas, x0 = random_sum(5), np.array([0.02, 0.1]), np.array([1.0, -2.0, 0.5])
    passes = list(reshuffled(problem.n, runs=3, epochs=5, seed=1))
    expected = [
        [problem.gap(plain_run(problem, x0, eta, torch.cat([order[run] for order in passes]).tolist())) for eta in etas]
        for run in range(3)
    ]
    for entries in (2**20, 1, 3 * 2 * 6 * 16 * 2):
        monkeypatch.setitem(finite_sum._ENTRIES, "cpu", entries)
        assert np.allclose(problem.shuffled_gap(x0, etas, iter(passes)), expected)


def test_superoperator_is_the_mean_of_kronecker_squares():
    problem, etas = random_sum(6), np.array([0.03, 0.4])
    S = second_moment_superoperator(problem, etas).numpy()
    for e, eta in enumerate(etas):
        maps = np.eye(4) + eta * problem.B.numpy()
        assert np.allclose(S[e], np.mean([np.kron(A, A) for A in maps], axis=0), rtol=1e-12, atol=1e-14)


def test_with_replacement_gap_is_within_three_standard_errors_of_monte_carlo():
    problem, eta, steps, x0 = random_sum(7), 0.07, 25, np.array([1.0, 0.0, -1.0])
    rng = np.random.default_rng(0)
    x = np.tile(x0, (40_000, 1))
    for _ in range(steps):
        i = rng.integers(problem.n, size=len(x))
        x = x - eta * (np.einsum("rij,rj->ri", problem.H[i], x) - problem.b[i])
    gaps = problem.gap(x)
    exact = problem.with_replacement_gap(x0, steps, np.array([eta]))[0]
    assert abs(gaps.mean() - exact) < 3 * gaps.std() / len(gaps) ** 0.5


def test_with_replacement_gap_of_one_step_by_hand():
    problem, eta, x0 = random_sum(8), 0.1, np.array([0.5, 1.0, -0.5])
    after = [problem.gap(plain_run(problem, x0, eta, [i])) for i in range(problem.n)]
    assert np.isclose(problem.with_replacement_gap(x0, 1, np.array([eta]))[0], np.mean(after))


def test_periodic_point_is_mapped_to_itself():
    problem, eta, visited = random_sum(9), 0.05, np.array([3, 1, 0, 5, 4, 2])
    point = problem.periodic_point(np.array([eta]), visited)[0]
    orbit = problem.orbit(point, eta, visited)
    assert orbit.shape == (7, 3)
    assert np.allclose(orbit[-1], point, atol=1e-12)


def test_diverged_steps_are_infinite_and_silent():
    problem, x0 = random_sum(10), np.ones(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        etas = np.array([0.01, 50.0, 1e6])
        assert np.isinf(problem.final_gap(x0, 5000, etas, np.arange(6))[1:]).all()
        assert np.isinf(problem.with_replacement_gap(x0, 5000, etas)[1:]).all()
        passes = reshuffled(6, 2, 200, seed=0)
        assert np.isinf(problem.shuffled_gap(x0, etas, passes)[:, 2]).all()


@pytest.mark.parametrize("kind", ["blocked", "alternating", "random", "reshuffled", "herded"])
@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_every_order_visits_each_component_once(kind, n):
    rng = np.random.default_rng(0)
    visited = orders(kind, n, epochs=3, rng=rng, vectors=rng.normal(size=(n, 2)))
    assert visited.shape == (3, n)
    assert (np.sort(visited, axis=1) == np.arange(n)).all()


def test_alternating_order_takes_the_halves_in_turn():
    assert orders("alternating", 6)[0].tolist() == [0, 3, 1, 4, 2, 5]
    assert orders("alternating", 5)[0].tolist() == [0, 3, 1, 4, 2]


def test_only_reshuffling_changes_the_order_between_epochs():
    rng = np.random.default_rng(0)
    assert len({tuple(order) for order in orders("reshuffled", 20, 4, rng)}) == 4
    assert len({tuple(order) for order in orders("random", 20, 4, rng)}) == 1


def test_unknown_order_is_refused():
    with pytest.raises(ValueError, match="got 'sorted', allowed: blocked"):
        orders("sorted", 4)


def test_reshuffling_in_blocks_keeps_the_blocks():
    drawn = torch.stack(list(reshuffled(12, runs=5, epochs=4, seed=3, block=4)))
    assert (drawn // 4 == torch.arange(12) // 4).all()
    assert len(drawn.reshape(20, 12).unique(dim=0)) > 15
    assert (drawn.sort(-1).values == torch.arange(12)).all()


def test_reshuffling_is_a_function_of_its_seed():
    first, again = (torch.stack(list(reshuffled(9, 2, 3, seed=5))) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.stack(list(reshuffled(9, 2, 3, seed=6))))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), d=st.integers(1, 5))
def test_herding_of_vectors_of_zero_sum_stays_within_a_few_of_the_longest(seed, n, d):
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    vectors -= vectors.mean(0)
    # On a line greedy never exceeds the longest vector; in d dimensions sqrt(d) is the right order.
    assert herding_constant(vectors, herding_order(vectors)) <= (1 if d == 1 else 2 * d**0.5) + 1e-9


def test_herding_constant_by_hand():
    vectors = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    assert herding_constant(vectors, np.arange(4)) == 2
    assert herding_constant(vectors, herding_order(vectors)) == 1
    assert herding_constant(np.zeros((3, 2)), np.arange(3)) == 0


def test_step_grid_is_sorted_and_closes_in_on_two_over_l():
    etas = step_grid(1e-6, L=4.0, points=50)
    assert (np.diff(etas) >= 0).all()
    assert etas[0] == pytest.approx(1e-6)
    assert etas[-1] == pytest.approx(0.75)
    assert np.abs(etas - 0.5).min() < 1e-6


def test_tuned_step_finds_a_minimum_between_grid_points():
    tuned = tune_step(lambda etas: (np.log(etas) - 0.123) ** 2 + 1, np.geomspace(0.1, 10, 9), refine=201)
    assert tuned.interior
    assert tuned.eta == pytest.approx(np.exp(0.123), rel=0.01)
    assert tuned.gap == pytest.approx(1, abs=1e-4)


def test_tuned_step_reports_a_minimum_on_the_border():
    tuned = tune_step(lambda etas: etas, np.geomspace(0.1, 10, 9))
    assert not tuned.interior
    assert tuned.eta == pytest.approx(0.1)
