import dataclasses
import warnings
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.analysis.finite_sum import FiniteSumQuadratic, second_moment_superoperator
from companion.chapters.random_permutation_coordinate_descent import (
    CLAIMS,
    Parameters,
    experiments,
    operators,
    run,
    verify,
)
from companion.chapters.random_permutation_coordinate_descent.certificate import (
    _bernstein,
    _positive,
    _trace_and_determinant,
    certified,
)
from companion.chapters.random_permutation_coordinate_descent.closed_forms import (
    bound,
    class_maximum,
    expected_squares,
    rcd_block_rate,
    rcd_limit,
    rcd_matrix,
    rcd_rate,
    rpcd_limit,
    rpcd_matrix,
    rpcd_rate,
    worth,
)
from companion.chapters.random_permutation_coordinate_descent.descent import coordinate_descent, uniform
from companion.chapters.random_permutation_coordinate_descent.gram import gram_matrices
from companion.chapters.random_permutation_coordinate_descent.operators import (
    cyclic_rate,
    epoch_map,
    equicorrelation,
    map_radius,
    operator,
    order_rate,
    perron_radius,
    perron_rates,
    rates,
    rcd_moments,
    rpcd_moments,
    rpcd_moments_by_enumeration,
    simplex,
    spectral_radius,
    unit_diagonal,
    with_least_eigenvalue,
)
from companion.chapters.random_permutation_coordinate_descent.search import climb

SMALL = {
    "n_list": [2, 3, 10, 50],
    "sigma_list": [0.01, 0.1, 0.5, 0.9],
    "certified_n": 5,
    "block_n": 60,
    "torus_points": 25,
    "search_sigmas": [0.2, 0.7],
    "search_starts": 100,
    "search_rounds": 40,
    "search_seeds": 2,
    "random_n": 5,
    "random_count": 40,
    "features": 6,
    "mc_trials": 2000,
    "typical_trials": 100,
}


# tests/test_chapters.py runs these.
TINY = SMALL | {
    "certified_n": 2, "block_n": 2, "torus_points": 5, "search_starts": 4, "search_rounds": 0, "search_seeds": 1,
    "search_proposals": 1, "random_count": 1, "random_n": 2, "features": 2, "mc_trials": 10, "mc_epochs": 8,
    "typical_trials": 10, "typical_epochs": 10, "limit_n": 100,
}  # fmt: skip
EXTREMES = [
    TINY | {"n_list": [2, 2], "sigma_list": [0.999, 0.95], "mc_n": 2, "mc_sigma": 0.9, "mc_epochs": 100},
    TINY | {"n_list": [2, 10_000], "sigma_list": [1e-4, 0.999], "mc_sigma": 1e-3, "limit_n": 100_000},
    TINY | {"search_dims": [3, 3, 5], "search_sigmas": [1e-4, 0.999], "search_rounds": 2, "random_n": 6, "features": 9},
    TINY
    | {"n_list": [200, 300], "search_sigmas": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]}
    | {"typical_n": 5, "certified_n": 14},
]
REFUSED = [
    ({"n_list": [1, 2]}, "n_list: got 1 in it"),
    ({"sigma_list": [0.0, 0.5]}, "sigma_list: got 0.0 in it"),
    ({"search_dims": [7]}, "search_dims: got 7 in it, allowed: a list of 1 to 4, each an integer from 3 to 6"),
    ({"mc_n": 1000, "mc_trials": 10**6}, "mc_trials: got 1000000, allowed: at most 100000 at these sizes (memory)"),
]


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu", **SMALL)


@pytest.fixture(scope="module")
def results(params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run(params)


def random_matrix(seed: int, n: int, sigma: float = 0.2) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, n))
    return with_least_eigenvalue(torch.tensor(rng.normal(size=(n, rank))), sigma)


def update(A: np.ndarray, i: int) -> np.ndarray:
    identity = np.eye(len(A))
    return identity - np.outer(identity[i], A[i])


# --- operators ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_operators_equal_kronecker_products_summed_one_by_one(n):
    A = random_matrix(n, n)
    U = [update(A.numpy(), i) for i in range(n)]
    single = sum(np.kron(u, u) for u in U) / n
    epochs = [np.linalg.multi_dot([U[i] for i in p[::-1]]) if n > 1 else U[0] for p in permutations(range(n))]
    whole = sum(np.kron(T, T) for T in epochs) / len(epochs)
    assert rates(A[None], rcd_moments)[0] == pytest.approx(np.abs(np.linalg.eigvals(single)).max(), abs=1e-12)
    assert rates(A[None], rpcd_moments)[0] == pytest.approx(np.abs(np.linalg.eigvals(whole)).max(), abs=1e-12)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 5))
def test_dynamic_program_equals_enumeration_of_all_orders(seed, n):
    A = random_matrix(seed, n)
    G = torch.tensor(np.random.default_rng(seed).normal(size=(n, n)))
    orders = np.array(list(permutations(range(n))))
    expected = rpcd_moments_by_enumeration(A, G + G.T, orders)
    assert torch.allclose(rpcd_moments(A, G + G.T), expected, atol=1e-12)


def test_dynamic_program_equals_enumeration_in_six_dimensions_and_batched():
    A = torch.stack([random_matrix(seed, 6) for seed in range(3)])
    orders = np.array(list(permutations(range(6))))
    X = torch.eye(6, dtype=torch.float64)
    assert torch.allclose(rpcd_moments(A, X), rpcd_moments_by_enumeration(A, X, orders), atol=1e-12)


def test_rcd_is_sgd_with_step_one_on_rank_one_components():
    A = random_matrix(1, 4)
    values, vectors = torch.linalg.eigh(A)
    u = ((vectors * values.sqrt()) @ vectors.T).numpy()
    problem = FiniteSumQuadratic(u[:, :, None] * u[:, None, :], np.zeros((4, 4)))
    M = second_moment_superoperator(problem, np.ones(1))[0].reshape(5, 5, 5, 5)[:4, :4, :4, :4].reshape(16, 16)
    assert rates(A[None], rcd_moments)[0] == pytest.approx(np.abs(np.linalg.eigvals(M.numpy())).max(), abs=1e-12)
    order = np.array([3, 0, 2, 1])
    similar = problem.epoch_map(np.ones(1), order)[0, :4, :4]
    assert map_radius(epoch_map(A, order)) == pytest.approx(map_radius(similar), abs=1e-10)


def test_epoch_map_applies_the_first_coordinate_of_the_order_first():
    A = random_matrix(0, 4).numpy()
    expected = update(A, 1) @ update(A, 3) @ update(A, 0)
    assert np.allclose(epoch_map(torch.tensor(A), np.array([0, 3, 1])).numpy(), expected)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 5))
def test_rates_do_not_see_signs_nor_labels(seed, n):
    rng = np.random.default_rng(seed)
    A = random_matrix(seed, n).numpy()
    s, p = rng.choice([-1.0, 1.0], n), rng.permutation(n)
    B = (s[:, None] * A * s)[np.ix_(p, p)]
    both = torch.tensor(np.stack([A, B]))
    for moments in (rcd_moments, rpcd_moments):
        one, other = rates(both, moments)
        assert one == pytest.approx(other, abs=1e-11)


def test_rates_do_not_see_the_scale_of_the_variables():
    rng = np.random.default_rng(0)
    A = random_matrix(0, 4).numpy()
    d = np.exp(rng.normal(size=4))
    assert np.allclose(unit_diagonal(d[:, None] * A * d), A)


def test_a_dynamic_program_in_pieces_is_the_whole(monkeypatch):
    A = torch.stack([random_matrix(seed, 4) for seed in range(5)])
    whole = operator(A, rpcd_moments)
    for entries in (2000, 500):
        monkeypatch.setattr(operators, "_ENTRIES", {"cpu": entries})
        assert torch.allclose(operator(A, rpcd_moments), whole, atol=1e-15)


def test_power_iteration_by_squaring_equals_the_eigenvalue_solver():
    A = torch.stack([random_matrix(seed, 4, 0.05) for seed in range(30)])
    M = operator(A, rpcd_moments)
    assert np.allclose(perron_radius(M).numpy(), spectral_radius(M), atol=1e-12, rtol=0)


def test_identity_is_solved_in_one_epoch_by_permutations_only():
    A = torch.eye(4, dtype=torch.float64)[None]
    assert rates(A, rpcd_moments)[0] == 0
    assert perron_rates(A)[0] == 0
    assert rates(A, rcd_moments)[0] == pytest.approx(3 / 4)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 8), sigma=st.floats(0.001, 0.99))
def test_search_space_is_unit_diagonal_with_the_given_least_eigenvalue(seed, n, sigma):
    A = random_matrix(seed, n, sigma).numpy()
    assert np.array_equal(np.diag(A), np.ones(n))
    assert np.linalg.eigvalsh(A)[0] == pytest.approx(sigma, abs=1e-12)
    assert np.linalg.eigvalsh(simplex(n, sigma).numpy())[0] == pytest.approx(sigma, abs=1e-12)


# --- closed forms -------------------------------------------------------------------------------------------------

# RPCD / B / RCD^n to six digits, from an independent prototype.
REFERENCE = {
    (2, 0.01): (0.970348, 0.980150, 0.980199), (2, 0.5): (0.156250, 0.316406, 0.390625),
    (3, 0.1): (0.759522, 0.815944, 0.824317), (3, 0.9): (0.010380, 0.296296, 0.303786),
    (5, 0.3): (0.458270, 0.538615, 0.604478), (10, 0.01): (0.978218, 0.980189, 0.980354),
    (10, 0.9): (0.065086, 0.348678, 0.362622), (50, 0.1): (0.814583, 0.818567, 0.833225),
    (1000, 0.01): (0.980178, 0.980199, 0.980392), (1000, 0.9): (0.055443, 0.367695, 0.387495),
}  # fmt: skip


@pytest.mark.parametrize(("n", "sigma"), REFERENCE)
def test_closed_forms_match_reference_values(n, sigma):
    found = (rpcd_rate(n, sigma), bound(n, sigma), rcd_rate(n, sigma) ** n)
    assert found == pytest.approx(REFERENCE[n, sigma], abs=6e-7)


def test_special_cases_of_the_closed_form():
    q = 1 - np.linspace(0.01, 0.99, 20)
    assert np.allclose(rpcd_rate(2, 1 - q), (q**2 + q**4) / 2, atol=1e-15)
    assert rpcd_rate(3, 0.4) == pytest.approx((4521 + 3 * np.sqrt(2321049)) / 31250, abs=1e-14)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_closed_forms_equal_the_operators(n):
    sigma = np.array([0.001, 0.05, 0.3, 0.7, 0.99])
    A = torch.stack([equicorrelation(n, s) for s in sigma])
    assert np.allclose(rates(A, rpcd_moments), rpcd_rate(n, sigma), atol=1e-12, rtol=0)
    assert np.allclose(rates(A, rcd_moments), rcd_rate(n, sigma), atol=1e-12, rtol=0)


def test_reduced_matrices_are_the_operators_on_the_invariant_matrices():
    n, sigma = 5, 0.3
    A, J = equicorrelation(n, sigma), torch.ones((n, n), dtype=torch.float64)
    identity = torch.eye(n, dtype=torch.float64)
    for moments, M in ((rpcd_moments, rpcd_matrix(n, sigma)), (rcd_moments, rcd_matrix(n, sigma))):
        for column, X in enumerate((identity, J)):
            alpha, beta = M[:, column]
            assert torch.allclose(moments(A, X), alpha * identity + beta * J, atol=1e-13)


def test_dynamic_program_sums_ten_factorial_orders():
    n, sigma = 10, 0.2
    image = rpcd_moments(equicorrelation(n, sigma), torch.eye(n, dtype=torch.float64))
    alpha, beta = rpcd_matrix(n, sigma)[:, 0]
    expected = alpha * torch.eye(n, dtype=torch.float64) + beta
    assert torch.allclose(image, expected, atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_a_block_has_the_rate_of_its_own_size(k):
    n, sigma = 5, 0.3
    A = equicorrelation(n, sigma, block=k)[None]
    assert rates(A, rpcd_moments)[0] == pytest.approx(rpcd_rate(k, sigma), abs=1e-12)
    theta = k * (1 - rcd_rate(k, sigma))
    assert rates(A, rcd_moments)[0] == pytest.approx(1 - theta / n, abs=1e-12)


def test_averaging_two_members_of_the_class_lowers_the_rate(results):
    assert results.reduction.averaged == pytest.approx(0.2448, abs=1e-12)
    assert results.reduction.member == pytest.approx(0.290928, abs=1e-6)
    assert results.reduction.averaged_least == pytest.approx(0.4, abs=1e-12)


def test_limits_and_slopes():
    sigma = np.array([0.01, 0.2, 0.5, 0.8])
    assert np.allclose(rpcd_rate(100_000, sigma), rpcd_limit(sigma), atol=1e-4)
    assert np.allclose(rcd_rate(100_000, sigma) ** 100_000, rcd_limit(sigma), atol=1e-4)
    for n in (2, 3, 7, 40):
        assert (1 - rpcd_rate(n, 1e-7)) / 1e-7 == pytest.approx(2 * (1 + 1 / n), rel=1e-4)
        assert (1 - rcd_rate(n, 1e-7) ** n) / 1e-7 == pytest.approx(2, rel=1e-4)


def test_worst_block_is_the_whole_up_to_sigma_0_7_and_smaller_beyond():
    blocks = experiments.blocks(Parameters.resolve(device="cpu"))
    assert dict(zip(blocks.sigma, blocks.worst, strict=True)) == {
        0.3: 200, 0.5: 200, 0.7: 200, 0.8: 21, 0.9: 23, 0.95: 40, 0.99: 183,
    }  # fmt: skip
    assert class_maximum(200, 0.9) == pytest.approx(rpcd_rate(23, 0.9))


# --- theorems -----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6), sigma=st.floats(0.01, 0.95))
def test_rcd_bounds_hold_strictly_for_every_matrix(seed, n, sigma):
    rate = rates(random_matrix(seed, n, sigma)[None], rcd_moments)[0]
    assert max(1 - 1 / n, (1 - sigma / n) ** 2) < rate < 1 - 2 * sigma / (n * (1 + sigma))


def test_rcd_bounds_hold_strictly_with_isolated_coordinates():
    A = torch.block_diag(random_matrix(0, 3, 0.6), torch.eye(3, dtype=torch.float64), random_matrix(1, 2, 0.9))
    rate, n, sigma = rates(A[None], rcd_moments)[0], 8, 0.6
    assert np.linalg.eigvalsh(A.numpy())[0] == pytest.approx(sigma)
    assert max(1 - 1 / n, (1 - sigma / n) ** 2) + 1e-6 < rate < 1 - 2 * sigma / (n * (1 + sigma)) - 1e-6


@settings(max_examples=60)
@given(n=st.integers(2, 3000), sigma=st.floats(1e-3, 0.999))
def test_bound_separates_the_methods_on_the_class(n, sigma):
    assert rpcd_rate(n, sigma) < bound(n, sigma) < rcd_rate(n, sigma) ** n


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6), sigma=st.floats(0.01, 0.95))
def test_eigenvalues_of_a_fixed_order_obey_the_identity(seed, n, sigma):
    A = random_matrix(seed, n, sigma).numpy()
    order = np.random.default_rng(seed).permutation(n)
    rank = np.argsort(order)
    L = np.where(rank[:, None] >= rank, A, 0)
    T = np.eye(n) - np.linalg.solve(L, A)
    assert np.allclose(T, epoch_map(torch.tensor(A), order).numpy(), atol=1e-12)
    mu, x = np.linalg.eig(T)
    a = np.einsum("ik,ij,jk->k", x.conj(), A, x).real
    b = np.einsum("ik,ij,jk->k", x.conj(), L, x).imag
    # eigenvectors of a defective T are only good to half the digits
    assert np.allclose(np.abs(mu) ** 2, 1 - a / ((1 + a) ** 2 / 4 + b**2), atol=1e-6)
    if sigma * np.linalg.eigvalsh(A)[-1] <= 1:
        real = mu[np.abs(mu.imag) == 0].real
        assert (real**2 <= ((1 - sigma) / (1 + sigma)) ** 2 + 1e-6).all()


def test_cyclic_order_on_the_class_is_slower_by_the_square_of_the_dimension():
    n, sigma = 200, 0.01
    predicted = 1 - 4 * np.pi**2 * sigma / ((1 - sigma) * n) ** 2
    found = float(cyclic_rate(equicorrelation(n, sigma)))
    assert (1 - found) / (1 - predicted) == pytest.approx(1, abs=0.03)


def test_one_real_slow_mode_makes_a_fixed_order_worth_two_epochs_of_rcd():
    A = with_least_eigenvalue(torch.tensor(np.random.default_rng(0).normal(size=(5, 4))), 1e-5)
    rate = rates(A[None], rcd_moments)[0] ** 5
    assert np.log(cyclic_rate(A)) / np.log(rate) == pytest.approx(2, abs=0.01)


# --- the proof by exact arithmetic --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 6])
def test_polynomials_of_the_certificate_are_those_of_the_matrix(n):
    for sigma in (Fraction(1, 10), Fraction(3, 4)):
        trace, determinant = (
            float(sum(c * sigma**k for k, c in enumerate(p))) for p in _trace_and_determinant(n)
        )  # fmt: skip
        M = rpcd_matrix(n, float(sigma))
        assert trace == pytest.approx(np.trace(M), abs=1e-14)
        assert determinant == pytest.approx(np.linalg.det(M), abs=1e-13)


def test_certificate_accepts_the_theorem_and_refuses_what_is_false():
    assert all(certified(n) for n in range(2, 9))
    assert certified(30)
    assert not any(certified(n, 2 * n + 3) for n in range(2, 9))
    assert not certified(4, 40)


def test_positivity_is_proved_only_of_positive_polynomials():
    zero, one = Fraction(0), Fraction(1)
    dips = [Fraction(26, 100), Fraction(-1), Fraction(1)]  # 0.01 + (x - 1/2)^2
    touches = [Fraction(1, 4), Fraction(-1), Fraction(1)]  # (x - 1/2)^2
    crosses = [Fraction(24, 100), Fraction(-1), Fraction(1)]
    assert _positive(dips, zero, one, 12)
    assert not _positive(touches, zero, one, 12)
    assert not _positive(crosses, zero, one, 12)
    assert _bernstein([zero, one], zero, one) == [0, 1]


# --- runs ---------------------------------------------------------------------------------------------------------


def test_coordinate_descent_equals_a_plain_loop():
    rng = np.random.default_rng(0)
    A = random_matrix(0, 4)
    x = rng.normal(size=(3, 4))
    passes = [rng.integers(4, size=(3, 4)) for _ in range(2)]
    after = list(coordinate_descent(A, torch.tensor(x), [torch.tensor(p) for p in passes]))[-1].numpy()
    for row in range(3):
        for i in np.concatenate([p[row] for p in passes]):
            x[row] = update(A.numpy(), i) @ x[row]
    assert np.allclose(after, x)


def test_means_of_the_runs_follow_the_exact_expectation(results):
    r = results.trajectories
    assert np.abs(r.mean / r.exact - 1).max() < 0.15
    assert r.slopes()[1] == pytest.approx(r.rates[1], rel=0.03)


def test_exact_expectation_equals_powers_of_the_operator():
    n, sigma = 4, 0.3
    A, X = equicorrelation(n, sigma), torch.eye(n, dtype=torch.float64) / n
    squares = [1.0]
    for _ in range(5):
        X = rpcd_moments(A, X)
        squares.append(float(X.trace()))
    assert np.allclose(expected_squares(rpcd_matrix(n, sigma), n, 5), squares, atol=1e-14)


def test_typical_rates_do_not_exceed_mean_square_rates(results):
    r = results.typical
    assert (np.log(r.rcd) <= np.log(r.rcd_square) + 4 * r.rcd_error).all()
    assert (np.log(r.rpcd) <= np.log(r.rpcd_square) + 4 * r.rpcd_error).all()


def test_gram_matrices_have_unit_diagonal_and_are_positive_definite():
    names, A = gram_matrices(10)
    assert len(names) == len(A) == 12
    assert np.allclose(np.diagonal(A, axis1=1, axis2=2), 1)
    assert np.linalg.eigvalsh(A).min() > 0


def test_rates_of_a_real_gram_matrix_match_reference_values():
    names, A = gram_matrices(10)
    k = names.index("diabetes, centred")
    found = rates(torch.tensor(A[[k]]), rpcd_moments)[0], rates(torch.tensor(A[[k]]), rcd_moments)[0] ** 10
    assert found == pytest.approx((0.97568, 0.98305), abs=1e-5)


# --- the whole ----------------------------------------------------------------------------------------------------


def test_map_has_its_maximum_at_the_class_and_its_minimum_at_the_simplex(results):
    assert np.allclose(results.torus.rate.max((1, 2)), results.torus.maximum, atol=1e-12)
    assert np.allclose(results.torus.rate.min((1, 2)), results.torus.simplex, atol=1e-12)


def test_search_only_climbs(results):
    assert (np.diff(results.search.best, axis=-1) >= 0).all()


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {claim.id[:2] for claim in CLAIMS} == {"C1", "C2", "C3", "C4", "C5", "C6"}


@pytest.mark.parametrize(
    ("claims", "broken"),
    [
        (
            ["C1a"],
            lambda r: {"random_matrices": dataclasses.replace(r.random_matrices, rcd=r.random_matrices.rpcd)},
        ),
        (
            ["C1b"],
            lambda r: {"random_matrices": dataclasses.replace(r.random_matrices, rcd=r.random_matrices.rcd + 0.1)},
        ),
        (["C2a", "C3"], lambda r: {"grid": dataclasses.replace(r.grid, rpcd=r.grid.rcd)}),
        (["C3"], lambda r: {"grid": dataclasses.replace(r.grid, rcd=r.grid.rpcd)}),
        (["C2b"], lambda r: {"limits": dataclasses.replace(r.limits, ratio=r.limits.ratio * 0 + 1)}),
        (["C4b"], lambda r: {"search": dataclasses.replace(r.search, outside=r.search.outside + 1e-3)}),
        (["C2c"], lambda r: {"reduction": dataclasses.replace(r.reduction, enumerated=r.reduction.shifts)}),
        (["C2d"], lambda r: {"certificates": dataclasses.replace(r.certificates, proved=r.certificates.too_sharp)}),
        (["C4a"], lambda r: {"search": dataclasses.replace(r.search, best=r.search.best + 1e-3)}),
        (["C4b"], lambda r: {"search": dataclasses.replace(r.search, best=r.search.best * 0.99)}),
        (
            ["C5a"],
            lambda r: {"random_matrices": dataclasses.replace(r.random_matrices, rpcd=r.random_matrices.cyclic)},
        ),
        (["C5b"], lambda r: {"real_data": dataclasses.replace(r.real_data, rpcd=r.real_data.once.max(1))}),
        (["C6a"], lambda r: {"trajectories": dataclasses.replace(r.trajectories, mean=r.trajectories.mean[[1, 0, 2]])}),
        (["C6b"], lambda r: {"typical": dataclasses.replace(r.typical, rpcd=r.typical.rcd)}),
    ],
)
def test_broken_runs_make_the_verdict_unsound(params, results, claims, broken):
    verdicts = verify(params, dataclasses.replace(results, **broken(results)))
    for claim in claims:
        assert verdicts[claim].holds is False


def test_same_seed_gives_the_same_search_and_runs(params, results):
    again = experiments.search(params)
    assert np.array_equal(again.best, results.search.best)
    assert np.array_equal(experiments.trajectories(params).mean, results.trajectories.mean)


def test_a_block_among_isolated_coordinates_has_the_operators_rate_under_uniform_sampling():
    for n, k in ((4, 2), (5, 3), (5, 5)):
        A = equicorrelation(n, 0.3, block=k)
        assert rcd_block_rate(n, k, 0.3) == pytest.approx(float(rates(A[None], rcd_moments)[0]) ** n, abs=1e-12)


def test_worth_counts_epochs_on_both_sides():
    rcd, rpcd = (float(rates(equicorrelation(4, 0.2)[None], moments)[0]) for moments in (rcd_moments, rpcd_moments))
    assert float(worth(4, 0.2)) == pytest.approx(np.log(rpcd) / (4 * np.log(rcd)), rel=1e-10)


def test_the_rate_of_a_kept_order_is_that_of_its_mean_square():
    A, order = random_matrix(3, 4), np.array([2, 0, 3, 1])
    T, x = epoch_map(A, order).numpy(), np.random.default_rng(0).normal(size=4)
    squares = []
    for _ in range(400):
        x = T @ x
        squares.append(x @ x)
    slope = np.exp((np.log(squares[-1]) - np.log(squares[100])) / 299)
    assert float(order_rate(A, order)) == pytest.approx(slope, rel=0.02)


def test_uniform_draws_are_independent_and_uniform_not_permutations():
    (drawn,) = uniform(5, 20_000, 1, 7, "cpu")
    counts = np.bincount(drawn.numpy().ravel(), minlength=5) / drawn.numel()
    assert np.abs(counts - 0.2).max() < 0.01
    same = (drawn[:, 0] == drawn[:, 1]).double().mean()
    assert float(same) == pytest.approx(0.2, abs=0.015)


def test_searches_are_independent_and_stay_among_the_matrices_asked_for():
    sigma = np.array([0.2, 0.6])
    found = climb(4, sigma, np.random.default_rng(0), starts=20, rounds=5, proposals=4, seeds=3)
    assert len(np.unique(found.best[..., 0])) == 6
    assert np.allclose(np.diagonal(found.matrices, axis1=-2, axis2=-1), 1)
    assert np.allclose(np.linalg.eigvalsh(found.matrices)[..., 0], sigma[:, None])
    again = rates(torch.tensor(found.matrices.reshape(-1, 4, 4)), rpcd_moments).reshape(2, 3)
    assert np.allclose(again, found.best[..., -1])


def test_slopes_of_exact_expectations_are_the_exact_rates(results):
    exact = dataclasses.replace(results.trajectories, mean=results.trajectories.exact)
    assert np.allclose(np.log(exact.slopes()[:2]) / np.log(exact.rates[:2]), 1, atol=0.03)
