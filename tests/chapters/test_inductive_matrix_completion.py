import dataclasses
import warnings

import numpy as np
import pytest
import torch

from companion.chapters.inductive_matrix_completion import CLAIMS, Parameters, run, theory, verify
from companion.chapters.inductive_matrix_completion.claims import (
    follows_floor,
    growth,
    isometry,
    multiple,
    noisy,
    on_stand_in,
    rates,
    shrinks,
)
from companion.chapters.inductive_matrix_completion.completion import (
    Sample,
    clip,
    descend,
    gradients,
    project,
    relative_error,
    shrink,
    spectral_start,
    step_of,
)
from companion.chapters.inductive_matrix_completion.experiments import errors, recommendation, sampling
from companion.chapters.inductive_matrix_completion.problems import draw, features, observe, repeat, singular_values
from companion.chapters.inductive_matrix_completion.ratings import (
    Fit,
    Ratings,
    biases,
    factorize,
    most_active,
    orthonormal_columns,
    shrunken,
    side_information,
    stand_in,
)
from companion.claims import Undecided

# tests/test_chapters.py runs these.
TINY = {
    "r": 2, "iters": 60, "a_list": [3, 6], "n_list": [40, 80], "n_mc": [20, 40], "m_over_ar": [3.0, 8.0],
    "m_over_nr": [4.0, 9.0], "trials": 2, "a": 5, "m": [100, 200], "repeats": 2, "tilts": [0.1, 0.3], "lams": [10.0],
    "users": 40, "fractions": [0.2, 0.8],
}  # fmt: skip
EXTREMES = [
    TINY | {"r": 1, "a": 1, "a_list": [1], "n_list": [12, 12], "n_mc": [12, 13], "kappa": 1.0, "m": [10]},
    TINY | {"kappa": 20.0, "eta": 0.8, "sigma": 2.0, "tilts": [0.01, 0.9], "lams": [0.01, 1e5], "tilt": 0.9},
    TINY | {"r": 5, "a": 5, "a_list": [5, 35], "eta": 0.05, "iters": 20, "m_over_ar": [0.5, 100.0], "private": 20},
    TINY | {"m": [10, 20_000], "m_over_nr": [0.5, 0.6], "fractions": [0.02, 0.03], "tilt": 0.0, "sigma": 1e-3},
    TINY | {"n_list": [300, 12_0], "a": 20, "m": [600, 1200], "users": 60, "splits": 2, "fractions": [0.1, 0.7]},
]
REFUSED = [
    ({"r": 0}, "r: got 0, allowed: an integer from 1 to 10"),
    ({"r": 10, "a_list": [9]}, "a_list: got 9, allowed: at least 10"),
    ({"a_list": [90], "n_list": [92, 400]}, "n_list: got 92, allowed: at least 93"),
    ({"n_mc": [12, 20], "r": 7}, "n_mc: got 12, allowed: at least 14"),
    ({"tilts": [0.1, 1.0]}, "tilts: got 1.0 in it"),
    ({"trials": 1000, "n_list": [100, 10_000]}, "trials: got 1000, allowed: at most"),
]


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def dense(sample, t, shape):
    """Mask and values of one run as matrices."""
    mask, values = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    of = sample.run == t
    mask[sample.row[of], sample.col[of]] = 1
    values[sample.row[of], sample.col[of]] = sample.value[of]
    return mask, values


def loss(sample, t, X, Y, U, V):
    mask, values = dense(sample, t, (len(X), len(Y)))
    fit = (mask * (X @ U @ V.T @ Y.T - values)).pow(2).sum() / 2 / sample.p[t]
    return fit + (U.T @ U - V.T @ V).pow(2).sum() / 8


@pytest.fixture(scope="module")
def case(rng):
    """Two matrices, seen to different shares."""
    problem = draw(rng, 2, 30, 6, 2, 2.0)
    return problem, observe(rng, problem, np.array([200.0, 500.0]), 0.3)


# --- the algorithm ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_features", [True, False])
def test_gradients_are_those_of_the_dense_loss(case, with_features, rng):
    problem, sample = case
    X, Y = (problem.X, problem.Y) if with_features else (torch.eye(30, dtype=torch.float64),) * 2
    U, V = (torch.from_numpy(rng.normal(size=(X.shape[1], 2, 2))).requires_grad_() for _ in range(2))
    total = sum(loss(sample, t, X, Y, U[:, t], V[:, t]) for t in range(2))
    expected = torch.autograd.grad(total, (U, V))
    given = (X, Y) if with_features else (None, None)
    found = gradients(sample, *given, U.detach(), V.detach())
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("with_features", [True, False])
def test_spectral_start_is_the_truncated_singular_value_decomposition(case, with_features):
    problem, sample = case
    X, Y = (problem.X, problem.Y) if with_features else (None, None)
    U, V, top = spectral_start(sample, X, Y, (30, 30), 2, steps=200)
    for t in range(2):
        W = dense(sample, t, (30, 30))[1] / sample.p[t]
        W = problem.X.T @ W @ problem.Y if with_features else W
        left, s, right = torch.linalg.svd(W)
        best = left[:, :2] * s[:2] @ right[:2]
        assert torch.allclose(U[:, t] @ V[:, t].T, best, atol=1e-7)
        assert torch.allclose(U[:, t].T @ U[:, t], V[:, t].T @ V[:, t], atol=1e-8)
        assert float(top[t]) == pytest.approx(float(s[0]), rel=1e-9)


def test_clipping_shortens_long_rows_only():
    A = torch.tensor([[[3.0, 4.0]], [[0.3, 0.4]], [[0.0, 0.0]]], dtype=torch.float64)
    found = clip(A, torch.tensor([1.0], dtype=torch.float64))
    assert torch.allclose(found[:, 0], torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]], dtype=torch.float64))


def test_projection_clips_in_the_space_of_rows_and_maps_back(rng):
    X = features(rng, 30, 6)
    U = torch.from_numpy(rng.normal(size=(6, 2, 2)))
    lengths = (X @ U[:, 0]).norm(dim=1)
    radius = torch.tensor([float(lengths.median()), 1e9], dtype=torch.float64)
    found = project(X, U, radius)
    factor = (radius[0] / lengths).clamp_max(1)
    assert torch.allclose(found[:, 0], X.T @ (factor[:, None] * (X @ U[:, 0])), atol=1e-12)
    assert torch.allclose(found[:, 1], U[:, 1], atol=1e-12)


def test_each_factor_is_projected_with_its_own_features(case):
    problem, sample = case
    rng = np.random.default_rng(1)
    U, V = (torch.from_numpy(rng.normal(size=(6, 2, 2))) for _ in range(2))
    length, radius = torch.full((2,), 1e-3, dtype=torch.float64), torch.full((2,), 0.3, dtype=torch.float64)
    found = step_of(sample, problem.X, problem.Y, length, radius)(U, V)
    slopes = gradients(sample, problem.X, problem.Y, U, V)
    for P, F, slope, got in zip((problem.X, problem.Y), (U, V), slopes, found, strict=True):
        assert torch.allclose(got, project(P, F - 1e-3 * slope, radius), atol=1e-12)


def test_shrinking_solves_the_implicit_step(rng):
    P = features(rng, 12, 4)
    A = torch.from_numpy(rng.normal(size=(12, 3, 2)))
    found = shrink(P, A, torch.tensor([0.7, 0.0, np.inf], dtype=torch.float64))
    outside = torch.eye(12, dtype=torch.float64) - P @ P.T
    solved = torch.linalg.solve(torch.eye(12, dtype=torch.float64) + 0.7 * outside, A[:, 0])
    assert torch.allclose(found[:, 0], solved, atol=1e-12)
    assert torch.allclose(found[:, 1], A[:, 1], atol=1e-15)
    assert torch.allclose(found[:, 2], P @ (P.T @ A[:, 2]), atol=1e-12)


def test_a_step_is_descent_then_penalty_then_projection(case, rng):
    problem, sample = case
    U, V = (torch.from_numpy(rng.normal(size=(30, 2, 2))) for _ in range(2))
    length, radius, lam = (torch.tensor(v, dtype=torch.float64) for v in ([0.01, 0.02], [1.0, 2.0], [5.0, 0.0]))
    found = step_of(sample, None, None, length, radius, (problem.X, problem.Y), lam)(U, V)
    slopes = gradients(sample, None, None, U, V)
    for F, slope, P, got in zip((U, V), slopes, (problem.X, problem.Y), found, strict=True):
        for t in range(2):
            moved = F[:, t] - length[t] * slope[:, t]
            inside = P @ (P.T @ moved)
            moved = inside + (moved - inside) / (1 + length[t] * lam[t])
            moved = moved * (radius[t] / moved.norm(dim=1, keepdim=True)).clamp_max(1)
            assert torch.allclose(got[:, t], moved, atol=1e-12)


def test_errors_are_those_of_the_matrices_down_to_rounding(rng):
    A, B = (torch.from_numpy(rng.normal(size=(20, 3, 2))) for _ in range(2))
    C, D = (torch.from_numpy(rng.normal(size=(20, 3, 2))) for _ in range(2))
    found = relative_error(C, D, A, B)
    for t in range(3):
        L, M = A[:, t] @ B[:, t].T, C[:, t] @ D[:, t].T
        assert float(found[t]) == pytest.approx(float((M - L).norm() / L.norm()), rel=1e-10)
    assert (relative_error(A * (1 + 1e-12), B, A, B) - 1e-12).abs().max() < 1e-15


def test_runs_of_a_batch_do_not_see_each_other_and_stop_where_they_arrive(rng):
    problem = draw(rng, 4, 40, 5, 2, 2.0)
    sample = observe(rng, problem, np.array([20.0, 300.0, 150.0, 600.0]))
    truth = problem.A, problem.B
    together = descend(sample, problem.X, problem.Y, truth, iters=100, stop=1e-3)
    for t in range(4):
        alone = descend(
            sample.keep(torch.tensor([t])), problem.X, problem.Y, tuple(F[:, [t]] for F in truth), iters=100, stop=1e-3
        )
        steps = len(alone.errors)
        assert torch.allclose(together.errors[:steps, t], alone.errors[:, 0], rtol=1e-6)
        assert torch.allclose(together.A[:, [t]], alone.A, rtol=1e-6, atol=1e-9)
    final = together.errors[-1]
    assert final[1] < 1e-3
    assert final[3] < 1e-3
    assert final[0] > 0.1
    assert torch.allclose(relative_error(together.A, together.B, *truth), final)


def test_with_noise_the_descent_ends_where_the_gradient_vanishes(rng):
    problem = draw(rng, 2, 50, 6, 2, 2.0)
    sample = observe(rng, problem, np.array(800.0), 0.5)
    ended = descend(sample, problem.X, problem.Y, (problem.A, problem.B), iters=600, every=600)
    U, V = problem.X.T @ ended.A.flatten(1), problem.Y.T @ ended.B.flatten(1)
    slopes = gradients(sample, problem.X, problem.Y, U.view(6, 2, 2), V.view(6, 2, 2))
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-8


def test_step_length_is_bounded_by_the_truth_and_the_start(rng):
    problem = draw(rng, 2, 40, 5, 2, 2.0)
    sample = observe(rng, problem, np.array([30.0, 1600.0]))
    ended = descend(sample, problem.X, problem.Y, (problem.A, problem.B), eta=0.4, iters=10)
    largest = singular_values(40, 2, 2.0).max()
    assert float(ended.length[1]) == pytest.approx(0.4 / float(largest), rel=1e-6)
    top = spectral_start(sample, problem.X, problem.Y, (40, 40), 2)[2]
    bounded = np.clip(float(top[0]), float(largest) / 4, 4 * float(largest))
    assert float(ended.length[0]) == pytest.approx(0.4 / bounded, rel=1e-9)


def test_few_entries_without_projection_diverge_and_with_it_stay_bounded(rng):
    problem = draw(rng, 4, 100, 5, 2, 2.0)
    sample = observe(rng, problem, np.array(300.0))
    ended = descend(sample, None, None, (problem.A, problem.B), iters=200)
    longest = max(float(F.norm(dim=-1).max()) for F in (problem.A, problem.B))
    assert float(ended.A.norm(dim=-1).max()) <= 1.5 * longest * (1 + 1e-9)
    U, V, _ = spectral_start(sample, None, None, (100, 100), 2)
    step = step_of(sample, None, None, 2 * ended.length, torch.full((4,), np.inf, dtype=torch.float64))
    for _ in range(200):
        U, V = step(U, V)
    assert not float(U.norm(dim=-1).max()) < 10 * longest


def test_the_mixture_has_both_methods_at_its_ends(rng):
    one = draw(rng, 1, 40, 6, 2, 2.0, tilt=0.2)
    sample = observe(rng, one, np.array(900.0), 0.1)
    many = repeat(one, 2)
    count = len(sample.run)
    same = Sample(
        torch.arange(2).repeat_interleave(count),
        *(part.repeat(2) for part in (sample.row, sample.col, sample.value, sample.p)),
    )
    lam = torch.tensor([0.0, np.inf], dtype=torch.float64)
    mixed = descend(same, None, None, (many.A, many.B), iters=200, toward=(one.X, one.Y), lam=lam)
    plain = descend(sample, None, None, (one.A, one.B), iters=200)
    inside = descend(sample, one.X, one.Y, (one.A, one.B), iters=200)
    assert float(mixed.errors[-1, 0]) == pytest.approx(float(plain.errors[-1, 0]), rel=1e-6)
    assert float(mixed.errors[-1, 1]) == pytest.approx(float(inside.errors[-1, 0]), rel=1e-4)


def test_a_penalty_on_far_tilted_matrices_does_not_make_the_steps_too_long():
    rng = np.random.default_rng(3)
    one = draw(rng, 1, 60, 6, 2, 2.0, tilt=0.84)
    sample = observe(rng, one, np.array(1500.0), 0.1)
    lam = torch.tensor([20.0], dtype=torch.float64)
    mixed = descend(sample, None, None, (one.A, one.B), eta=0.7, iters=60, toward=(one.X, one.Y), lam=lam)
    largest = float(torch.linalg.eigvalsh(one.A[:, 0].T @ one.A[:, 0])[-1])
    assert float(mixed.length[0]) <= 0.7 / largest * (1 + 1e-9)
    assert float(mixed.errors[-1, 0]) < 1


# --- problems -----------------------------------------------------------------------------------------------------


def test_matrices_have_the_spectrum_and_the_tilt_that_are_asked_for(rng):
    tilts = np.array([0.0, 0.1, 0.5])
    problem = draw(rng, 3, 50, 6, 3, 4.0, tilt=tilts)
    for t, tilt in enumerate(tilts):
        L = problem.A[:, t] @ problem.B[:, t].T
        s = torch.linalg.svdvals(L)[:3]
        assert float(L.norm()) == pytest.approx(50)
        assert float(s[0] / s[2]) == pytest.approx(4)
        assert float(s[1] / s[2]) == pytest.approx(2.5)
        inside = problem.X @ problem.X.T @ L @ problem.Y @ problem.Y.T
        assert float((L - inside).norm() / L.norm()) == pytest.approx(float(theory.floor(tilt)), abs=1e-10)
        assert torch.allclose(problem.A[:, t].T @ problem.A[:, t], problem.B[:, t].T @ problem.B[:, t], atol=1e-9)
    identity = torch.eye(6, dtype=torch.float64)
    assert torch.allclose(problem.X.T @ problem.X, identity, atol=1e-12)


def test_the_two_sides_have_features_of_their_own():
    problem = draw(np.random.default_rng(1), 1, 40, 5, 2, 2.0)
    assert float((problem.X.T @ problem.Y).norm()) < 0.8 * 5**0.5
    assert float((problem.A - problem.B).norm() / problem.A.norm()) > 0.5


def test_private_features_belong_to_one_row_each(rng):
    X = features(rng, 20, 5, private=2)
    assert torch.allclose(X[:2].norm(dim=1), torch.ones(2, dtype=torch.float64))
    assert X[2:, :2].abs().max() < 1e-12
    assert X[:2, 2:].abs().max() < 1e-12


def test_entries_are_distinct_as_many_as_asked_and_noisy_as_asked(rng):
    problem = draw(rng, 2, 60, 5, 2, 2.0)
    sample = observe(rng, problem, np.array([1000.0, 2000.0]), np.array([0.0, 0.5]))
    for t, m in enumerate((1000, 2000)):
        of = sample.run == t
        cells = sample.row[of] * 60 + sample.col[of]
        assert len(cells.unique()) == len(cells)
        assert abs(len(cells) - m) < 6 * m**0.5
        assert float(sample.p[t]) == pytest.approx(m / 3600)
        truth = (problem.A[:, t] @ problem.B[:, t].T)[sample.row[of], sample.col[of]]
        assert float((sample.value[of] - truth).std()) == pytest.approx(0.5 * t, abs=0.03)
        assert sample.row[of].double().mean() == pytest.approx(29.5, abs=3)


# --- theory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_features", [True, False])
def test_the_tangent_space_is_that_of_the_dense_projection(with_features, rng):
    problem = draw(rng, 1, 12, 5, 2, 2.0)
    A, B = problem.A[:, 0], problem.B[:, 0]
    X, Y = (problem.X, problem.Y) if with_features else (None, None)
    row, col = (part.flatten() for part in torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij"))
    Phi = theory.tangent_rows(X, Y, A, B, row, col)
    df = theory.degrees_of_freedom(5 if with_features else 12, 2)
    assert Phi.shape == (144, df)
    assert torch.allclose(Phi.T @ Phi, torch.eye(df, dtype=torch.float64), atol=1e-12)
    PX, PY = (P @ P.T if with_features else torch.eye(12, dtype=torch.float64) for P in (problem.X, problem.Y))
    U, V = torch.linalg.svd(A @ B.T)[0][:, :2], torch.linalg.svd(A @ B.T)[2][:2].T
    PU, PV = U @ U.T, V @ V.T
    for k in (0, 17, 143):
        E = torch.zeros((12, 12), dtype=torch.float64)
        E[row[k], col[k]] = 1
        projected = PU @ E @ PY + PX @ E @ PV - PU @ E @ PV
        assert float(Phi[k].norm()) == pytest.approx(float(projected.norm()), abs=1e-12)
    assert theory.coherence(X, Y, A, B) == pytest.approx(144 * float((Phi**2).sum(1).max()), rel=1e-10)


@pytest.mark.parametrize("with_features", [True, False])
def test_the_hessian_is_that_of_the_loss(with_features, rng):
    problem = draw(rng, 1, 14, 4, 2, 2.0)
    sample = observe(rng, problem, np.array(90.0))
    A, B = problem.A[:, 0], problem.B[:, 0]
    X, Y = (problem.X, problem.Y) if with_features else (torch.eye(14, dtype=torch.float64),) * 2
    given = (X, Y) if with_features else (None, None)
    found = theory.hessian(*given, A, B, sample.row, sample.col, float(sample.p[0]))
    a = X.shape[1]

    def of(F):
        return loss(sample, 0, X, Y, F[:a], F[a:])

    expected = torch.autograd.functional.hessian(of, torch.cat([X.T @ A, Y.T @ B])).reshape(4 * a, 4 * a)
    assert torch.allclose(found, expected, atol=1e-8)


def test_with_every_entry_the_hessian_lies_between_sigma_r_and_twice_sigma_1(rng):
    problem = draw(rng, 1, 20, 5, 3, 3.0)
    sample = observe(rng, problem, np.array(400.0))
    values = torch.linalg.eigvalsh(
        theory.hessian(problem.X, problem.Y, problem.A[:, 0], problem.B[:, 0], sample.row, sample.col, 1.0)
    )
    s = singular_values(20, 3, 3.0)
    assert values[:3].abs().max() < 1e-9
    assert float(values[3]) == pytest.approx(float(s.min()))
    assert float(values[-1]) == pytest.approx(2 * float(s.max()))
    length = 0.5 / float(s.max())
    assert theory.contraction(values, length, 3) == pytest.approx(theory.population_contraction(length, s))
    assert theory.contraction(values, 0.9 / float(s.max()), 3) == pytest.approx(0.8)


def test_what_is_only_rotated_is_at_the_truth(rng):
    truth = torch.from_numpy(rng.normal(size=(9, 3)))
    Q = torch.linalg.qr(torch.from_numpy(rng.normal(size=(4, 3, 3))))[0]
    assert theory.from_nearest(truth @ Q, truth).abs().max() < 1e-12
    near = truth @ Q + 0.01 * torch.from_numpy(rng.normal(size=(4, 9, 3)))
    found = theory.from_nearest(near, truth)
    shift = (near - found).mT @ found  # at the nearest rotation the way there is symmetric
    assert (shift - shift.mT).abs().max() < 1e-12


def test_a_run_whose_entries_miss_the_features_stays_where_it_is():
    """Features of rows of which nothing is seen: the start is zero, and so is its largest singular value."""
    rng = np.random.default_rng(1)
    problem = draw(rng, 1, 60, 2, 1, 2.0, private=2)
    sample = observe(rng, problem, np.array(12.0))
    kept = (sample.row > 1) & (sample.col > 1)
    sample = Sample(sample.run[kept], sample.row[kept], sample.col[kept], sample.value[kept], sample.p)
    ended = descend(sample, problem.X, problem.Y, (problem.A, problem.B), iters=20)
    assert float(ended.errors[-1]) == pytest.approx(1)


def test_only_rotations_are_left_out_of_the_rate():
    values = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.5, 1.0, 2.0], dtype=torch.float64)
    assert theory.contraction(values, 0.5, 3) == pytest.approx(0.95)
    assert theory.contraction(values, 0.99, 3) == pytest.approx(0.98)
    assert theory.contraction(values[3:], 0.5, 1) == pytest.approx(0.95)


def test_predictions():
    assert theory.degrees_of_freedom(20, 3) == 111
    assert theory.predicted_error(0.5, 20, 3, 3000) == pytest.approx(0.5 * (111 / 2889) ** 0.5)
    assert theory.floor(0.1) == pytest.approx(0.02**0.5, rel=0.01)


def test_least_squares_on_the_tangent_space_has_the_predicted_error(rng):
    """The linear problem behind the prediction, by its normal equations."""
    problem = draw(rng, 6, 100, 8, 2, 2.0)
    sample = observe(rng, problem, np.array(600.0))
    squares = []
    for t in range(6):
        of = sample.run == t
        Phi = theory.tangent_rows(
            problem.X, problem.Y, problem.A[:, t], problem.B[:, t], sample.row[of], sample.col[of]
        )
        squares.append(float(torch.linalg.inv(Phi.T @ Phi).trace()) / 100**2)
    assert np.sqrt(np.mean(squares)) == pytest.approx(theory.predicted_error(1.0, 8, 2, 600), rel=0.06)


def test_regularity_constants_of_a_quadratic():
    away = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    slope = away * torch.tensor([2.0, 6.0], dtype=torch.float64)
    convex, smooth = theory.regularity(slope, away, torch.tensor(2.0), torch.tensor(3.0))
    assert convex.tolist() == pytest.approx([1.0, 2.0])
    assert smooth.tolist() == pytest.approx([3 * 2 / 4, 3 * 8 / 40])


# --- ratings ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def some(rng):
    return stand_in(rng, 40, 50)


def test_stand_in_is_on_the_grid_and_uneven(some):
    assert set(np.unique(some.rating)) <= set(np.arange(1, 11) / 2)
    assert len(np.unique(some.user * 50 + some.movie)) == len(some.rating)
    counts = np.bincount(some.movie, minlength=50)
    assert counts.max() > 2 * np.median(counts)


def test_means_are_shrunken_towards_zero():
    found = shrunken(np.array([0, 0, 2]), np.array([1.0, 3.0, 6.0]), 3)
    assert found.tolist() == pytest.approx([4 / 7, 0.0, 1.0])


def test_biases_settle(some):
    mean, of_user, of_movie = biases(some, sweeps=200)
    rest = some.rating - mean - of_user[some.user]
    assert np.allclose(shrunken(some.movie, rest, 50), of_movie, atol=1e-8)
    rest = some.rating - mean - of_movie[some.movie]
    assert np.allclose(shrunken(some.user, rest, 40), of_user, atol=1e-8)


@pytest.mark.parametrize("kind", ["genre", "subspace", "random"])
def test_features_are_orthonormal_and_hold_the_constant(some, kind, rng):
    for F in side_information(some, kind, rng):
        assert torch.allclose(F.T @ F, torch.eye(F.shape[1], dtype=torch.float64), atol=1e-10)
        ones = torch.ones(len(F), dtype=torch.float64)
        inside = float((F @ (F.T @ ones) - ones).norm() / ones.norm())
        assert inside < 1e-9 if kind != "random" else inside > 0.1


def test_features_of_genres_are_about_tastes_for_genres(rng):
    """A user who alone likes the films of one genre has a large coordinate there."""
    genres = np.zeros((12, 2), bool)
    genres[:6, 0], genres[6:, 1] = True, True
    user, movie = (part.ravel() for part in np.meshgrid(np.arange(10), np.arange(12), indexing="ij"))
    rating = 3.0 + 1.5 * (user == 4) * (movie < 6) - 1.5 * (user == 4) * (movie >= 6)
    left, right = side_information(Ratings(user, movie, rating, genres, np.full(12, 1995), 10), "genre", rng)
    lone = torch.zeros(10, dtype=torch.float64)
    lone[4] = 1
    assert float((left.T @ lone).norm()) > 0.99
    one = torch.from_numpy(genres[:, 0].astype(float))
    assert float((right.T @ one).norm() / one.norm()) > 1 - 1e-9


def test_features_of_users_are_shrunken_mean_residuals_of_the_films_of_a_genre(some, rng):
    left, _ = side_information(some, "genre", rng)
    mean, of_user, of_movie = biases(some)
    genre = int(some.genres.sum(0).argmax())
    taste = torch.zeros(40, dtype=torch.float64)
    for user in range(40):
        own = [k for k in np.flatnonzero(some.user == user) if some.genres[some.movie[k], genre]]
        rest = [some.rating[k] - mean - of_user[user] - of_movie[some.movie[k]] for k in own]
        taste[user] = sum(rest) / (len(own) + 5)
    assert float((left.T @ taste).norm()) == pytest.approx(float(taste.norm()))


def test_each_method_gets_its_own_features(some, rng, monkeypatch):
    calls = []

    def watch(train, test, X, Y, toward=None):
        calls.append((X, Y, toward))
        return np.ones(len(train))

    monkeypatch.setattr(recommendation, "side_information", lambda known, kind, rng: (f"{kind} X", f"{kind} Y"))
    monkeypatch.setattr(recommendation, "_chosen", watch)
    recommendation._split(some, np.array([0.2, 0.8]), rng)
    sides = [(f"{kind} X", f"{kind} Y", None) for kind in ("genre", "subspace", "random")]
    assert calls == [(None, None, None), *sides, (None, None, ("subspace X", "subspace Y"))]
    assert recommendation.METHODS[2:] == (
        "MC", "IMC, genres", "IMC, subspace", "IMC, random features", "interpolation",
    )  # fmt: skip


def test_dependent_columns_are_dropped():
    raw = np.column_stack([np.ones(6), np.arange(6.0), 2 + 3 * np.arange(6.0)])
    assert orthonormal_columns(raw).shape == (6, 2)


@pytest.mark.parametrize("kind", ["features", "none", "mixed"])
def test_factorization_ends_at_a_minimum_of_the_penalized_sum_of_squares(some, kind, rng):
    sample, _ = recommendation._joined([some, some])
    X, Y = side_information(some, "subspace", rng)
    sides = (X, Y) if kind == "features" else (None, None)
    toward = (X, Y) if kind == "mixed" else None
    fits = [Fit(1, 2.0, 4.0), Fit(2, 6.0, 0.5)]
    A, B = factorize(sample, *sides, (40, 50), fits, toward, iters=4000)
    assert A[:, 0, 1].abs().max() == 0
    assert np.linalg.matrix_rank(A[:, 1].numpy()) == 2
    for t, fit in enumerate(fits):
        mask, values = dense(sample, t, (40, 50))
        F, G = (part[:, t].clone().requires_grad_() for part in (A, B))
        total = (mask * (F @ G.T - values)).pow(2).sum() / 2 + fit.ridge * (F.pow(2).sum() + G.pow(2).sum()) / 2
        if kind == "mixed":
            for P, H in ((X, F), (Y, G)):
                total = total + fit.lam * (H - P @ (P.T @ H)).pow(2).sum() / 2
        slopes = torch.autograd.grad(total, (F, G))
        if kind == "features":
            slopes = [P.T @ slope for P, slope in zip((X, Y), slopes, strict=True)]
        assert max(float(slope.abs().max()) for slope in slopes) < 1e-3


def test_the_most_rated_films_and_their_most_active_users_are_taken():
    pairs = np.array([(0, 0), (0, 1), (1, 1), (2, 1), (2, 2), (2, 0), (3, 3), (3, 1), (3, 0)])
    data = type("Data", (), {"x_train": pairs, "y_train": np.arange(9) / 2, "extra": {"year": np.arange(1990, 1994)}})
    found = most_active(data, 2, 2)  # films 1 (four times) and 0 (three times); users 0, 2 and 3 rated both
    assert found.users == 2
    assert sorted(zip(found.user, found.movie, found.rating, strict=True)) == [
        (0, 0, 0.5), (0, 1, 0.0), (1, 0, 1.5), (1, 1, 2.5),
    ]  # fmt: skip
    assert found.year.tolist() == [1991, 1990]
    assert found.genres.shape == (2, 0)


def test_no_rating_serves_twice(some, rng, monkeypatch):
    """Side information, training, validation and test: disjoint, and each where it belongs."""
    numbered = dataclasses.replace(some, rating=np.arange(len(some.rating)) / 1e3)
    known, fitted = [], []
    original = recommendation._fitted

    def watch_sides(ratings, kind, rng):
        known.append(set(ratings.rating))
        return side_information(ratings, kind, rng)

    def watch_fits(train, judge, *rest):
        fitted.append([(set(a.rating), set(b.rating)) for a, b in zip(train, judge, strict=True)])
        return original(train, judge, *rest)

    monkeypatch.setattr(recommendation, "side_information", watch_sides)
    monkeypatch.setattr(recommendation, "_fitted", watch_fits)
    rmse, count = recommendation._split(numbered, np.array([0.2, 0.8]), rng)
    assert rmse.shape == (len(recommendation.METHODS), 2)
    (side,) = {frozenset(one) for one in known}
    choosing, final = fitted[0::2], fitted[1::2]
    (test,) = {frozenset(judge) for fits in final for _, judge in fits}
    assert len(side) == len(some.rating) // 2
    assert not side & test
    for fits in fitted:
        for train, judge in fits:
            assert not train & judge
            assert not train & side
            assert not train & test
    for fits in choosing:
        assert all(not judge & (side | test) for _, judge in fits)
    assert len(test) == pytest.approx(len(some.rating) / 10, abs=1)
    assert count[1] == pytest.approx(0.4 * len(some.rating), abs=2)
    assert count[0] == pytest.approx(count[1] / 4, abs=1)


def test_predictions_are_clipped_to_the_scale(some):
    assert recommendation._rmse(np.full(len(some.rating), 99.0), some) == recommendation._rmse(
        np.full(len(some.rating), 5.0), some
    )


def films_of(**rmse):
    """Errors of the methods that are named, one otherwise, at three fractions and two splits."""
    table = np.ones((len(recommendation.METHODS), 3, 2))
    for method, given in rmse.items():
        table[recommendation.METHODS.index(method)] = given
    return recommendation.Films("stand-in", "", np.array([0.1, 0.3, 0.8]), np.array([400, 1200, 3200]), table)


def test_leads_are_over_the_better_of_completion_and_the_mean_on_the_worst_split():
    r = films_of(MC=[[1.2, 1.2], [0.9, 1.0], [0.7, 0.7]], mean=1.1, biases=1.05)
    subspace = recommendation.METHODS.index("IMC, subspace")
    r.rmse[subspace] = [[0.9, 0.8], [0.8, 0.85], [0.8, 0.8]]
    assert np.allclose(r.ahead("IMC, subspace"), [[0.2, 0.3], [0.1, 0.15], [-0.1, -0.1]])
    results = type("Only", (), {"films": r})
    assert on_stand_in(results, "IMC, subspace") == {
        "over_mc": pytest.approx(0.1), "over_biases": pytest.approx(0.15),
    }  # fmt: skip
    assert shrinks(results, "IMC, subspace") == {"few": pytest.approx(0.25), "most": pytest.approx(-0.1)}


# --- experiments --------------------------------------------------------------------------------------------------


def test_a_threshold_is_interpolated():
    m = np.array([10.0, 20.0, 30.0])
    assert sampling.crossing(m, np.array([0.0, 0.25, 0.75])) == pytest.approx(25)
    assert sampling.crossing(m, np.array([0.75, 1.0, 1.0])) == 10
    assert sampling.crossing(m, np.array([0.0, 0.1, 0.4])) == np.inf
    assert sampling.middle([400, 100]) == 100
    assert sampling.middle([3, 1, 2]) == 2


def test_successes_belong_to_their_number_of_entries(rng):
    params = Parameters.resolve(device="cpu", **TINY)
    for with_features in (True, False):
        found = sampling._success(params, rng, 40, 5, np.array([10.0, 1500.0]), features=with_features)
        assert found.tolist() == [0.0, 1.0]


def test_rates_are_fitted_past_the_start_and_above_rounding():
    steps = 5 * np.arange(40)
    one = np.maximum(np.minimum(0.8**steps, 0.02), 1e-13)
    errors_ = np.stack([one, np.full(40, 0.7)], 1)[None]
    r = sampling.Convergence(np.array([9]), steps, errors_, errors_, np.ones((1, 2)), np.ones((1, 2)), 5)
    factor, straight = r.fits(errors_)
    assert factor[0].tolist() == pytest.approx([0.8, 1.0])
    assert straight[0, 0] == pytest.approx(1)


def test_regularity_is_measured_away_from_the_truth_and_along_the_flattest_directions(monkeypatch):
    rng, seen = np.random.default_rng(2), []
    original = theory.from_nearest

    def watch(points, truth):
        seen.append(original(points, truth))
        return seen[-1]

    monkeypatch.setattr(theory, "from_nearest", watch)
    params = Parameters.resolve(device="cpu", **TINY)
    problem = draw(rng, 1, 40, 5, 2, 2.0)
    sample = observe(rng, problem, np.array(500.0))
    convex, _ = sampling._regular(params, problem.X, problem.Y, problem, sample, rng)
    least = singular_values(40, 2, 2.0).min()
    lengths = seen[0].flatten(1).norm(dim=1) / (2 * least) ** 0.5
    flat = 2 * sampling.FLATTEST
    assert lengths[-flat:].tolist() == pytest.approx([sampling.DISTANCE] * flat, rel=0.1)
    assert float(lengths[:-flat].min()) > 0.5 * sampling.DISTANCE
    at_truth = theory.hessian(
        problem.X, problem.Y, problem.A[:, 0], problem.B[:, 0], sample.row, sample.col, float(sample.p[0])
    )
    flattest = (torch.linalg.eigvalsh(at_truth)[1 : 1 + sampling.FLATTEST] / least).numpy()
    both = convex[-flat:].reshape(2, -1).mean(0)  # there and back: what is odd in the distance drops out
    assert both == pytest.approx(flattest, rel=0.25)
    assert convex[-flat:].max() < convex[:-flat].min()


def test_least_squares_needs_as_many_entries_as_products(rng):
    problem = draw(rng, 2, 40, 5, 2, 2.0)
    few = sampling._least_squares(problem, observe(rng, problem, np.array(15.0)))
    many = sampling._least_squares(problem, observe(rng, problem, np.array(80.0)))
    assert few.min() > 0.1
    assert many.max() < 1e-9


def test_a_hidden_row_costs_completion_everything_and_features_little():
    r = errors.cold.compute(Parameters.resolve(device="cpu", n_list=[100, 200], a=8, r=2))
    assert np.median(r.mc[: r.hidden]) == pytest.approx(1, abs=0.02)
    assert np.median(r.mc[r.hidden :]) < 0.3
    assert np.median(r.imc[: r.hidden]) < 0.4
    assert r.hidden == 10


@pytest.fixture(scope="module")
def tiny():
    params = Parameters.resolve(device="cpu", **TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return params, run(params)


def test_every_claim_is_judged_without_a_warning(tiny):
    assert len(list(verify(*tiny))) == len(CLAIMS)


def changed(results, experiment, **fields):
    part = dataclasses.replace(getattr(results, experiment), **fields)
    return dataclasses.replace(results, **{experiment: part})


def test_what_cannot_be_decided_names_the_parameter(tiny):
    _, results = tiny
    rate, rate_mc = results.thresholds.rate, results.thresholds.rate_mc
    for broken, measure, name in (
        (changed(results, "thresholds", rate=0 * rate, trials=6), growth, "m_over_ar"),
        (changed(results, "thresholds", rate=1 + 0 * rate, rate_mc=0 * rate_mc, trials=6), multiple, "m_over_nr"),
        (changed(results, "spectrum", m=np.array([5, 10])), isometry, "m:"),
        (changed(results, "spectrum", m=np.array([10**6])), isometry, "m:"),
        (changed(results, "noise", predicted=np.full(7, np.nan)), noisy, "a:"),
        (results, noisy, "repeats"),
        (results, growth, "trials"),
    ):
        with pytest.raises(Undecided, match=name):
            measure(broken, "IMC")


def test_slow_descents_get_more_steps_and_are_undecided_where_these_are_too_few():
    fast, slow = (Parameters.resolve(device="cpu", kappa=kappa) for kappa in (1.0, 5.0))
    assert [errors._steps(p, 100) for p in (fast, slow)] == [100, 250]
    assert errors._steps(slow.model_copy(update={"iters": 120}), 100) == 120
    assert sampling.left_after(100, slow.eta, slow.kappa) == pytest.approx(0.95**100)


def test_what_is_noisy_and_what_is_not(monkeypatch):
    levels = []

    def watch(rng, problem, m, sigma=0.0):
        levels.append(sigma)
        return observe(rng, problem, m, sigma)

    monkeypatch.setattr(errors, "observe", watch)
    params = Parameters.resolve(device="cpu", **TINY)
    for name, wanted in (("inexact", {0.0}), ("mixture", {0.3}), ("cold", {0.3}), ("noise", {0.1, 0.5, 1.0})):
        levels.clear()
        getattr(errors, name).compute(params)
        assert set(levels) == wanted


def test_least_squares_fails_with_few_entries_and_not_with_more_than_products():
    r = sampling.unstructured.compute(Parameters.resolve(device="cpu", **TINY | {"r": 1, "a": 12}))
    assert r.m < r.a**2
    assert r.error_full > 0.05
    assert r.error_more < 1e-8


def test_what_has_not_ended_is_undecided(tiny):
    _, results = tiny
    for broken, measure in (
        (changed(results, "inexact", left=1e-3), follows_floor),
        (changed(results, "noise", left=1e-2), noisy),
        (changed(results, "convergence", errors=np.ones((2, 40, 6))), rates),
    ):
        with pytest.raises(Undecided, match="iters"):
            measure(broken, "IMC")


def test_twice_the_size_is_held_against_the_size(tiny):
    _, results = tiny
    error = np.array([[[0.0], [0.15], [0.44]]] * 2)
    r = changed(
        results, "inexact", tilt=np.array([0.0, 0.1, 0.3]), floor=np.array([0.0, 0.14, 0.42]), left=0.0, n=200,
        error=error, error_large=1.2 * error[0] + 1e-5,
    )  # fmt: skip
    found = follows_floor(r, "IMC")
    assert found["size"] == pytest.approx(0.2, abs=1e-4)
    assert found["exact"] == pytest.approx(1e-5)
    assert found["least"] == pytest.approx(0.44 / 0.42)


def test_thresholds_are_compared_in_their_units(tiny):
    _, results = tiny
    rate = np.array([[[0.0, 1.0], [0.0, 1.0]]])
    r = changed(
        results, "thresholds", a=np.array([4]), r=2, n=np.array([40, 80]), m=np.array([[16.0, 32.0]]), rate=rate,
        n_mc=np.array([20, 40]), m_mc=np.array([[80.0, 160.0], [160.0, 320.0]]), rate_mc=np.array([[0.0, 1.0]] * 2),
        trials=6,
    )  # fmt: skip
    assert growth(r, "IMC") == {"mean": pytest.approx(1), "largest": pytest.approx(1)}
    assert growth(r, "MC") == {"mean": pytest.approx(2), "largest": pytest.approx(2)}
    assert multiple(r, "IMC") == {"least": pytest.approx(3), "most": pytest.approx(3)}
    assert multiple(r, "MC") == {"least": pytest.approx(15), "most": pytest.approx(30)}
