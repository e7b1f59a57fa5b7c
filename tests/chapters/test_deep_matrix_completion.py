import dataclasses
import types
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from companion.analysis.spectra import effective_rank
from companion.chapters.deep_matrix_completion import CLAIMS, Parameters, claims, experiments, run, verify
from companion.chapters.deep_matrix_completion.coupling import (
    cross_coupling,
    gram_limit,
    log_determinant_path,
    polar_factor,
)
from companion.chapters.deep_matrix_completion.experiments import interaction, limits, plasticity
from companion.chapters.deep_matrix_completion.experiments.interaction import STARTS
from companion.chapters.deep_matrix_completion.experiments.plasticity import FITTED
from companion.chapters.deep_matrix_completion.family import (
    aligned_coupling,
    conserved,
    family_coupling,
    limit,
    ratio_kept,
    second_value_constant,
    stable_excess,
    start_eigenvalues,
)
from companion.chapters.deep_matrix_completion.observations import (
    blocks,
    components,
    is_connected,
    low_rank,
    random_mask,
    rank_one,
)
from companion.chapters.deep_matrix_completion.starts import diagonal, family, rotated, rotations
from companion.models.linear import Flow, gaussian_factors, gradient, gradient_flow, losses, product

SMALL = {
    "depths": [3],
    "deepest": 4,
    "eps_list": [1e-1, 1e-3, 1e-5],
    "n_starts": 8,
    "n_menon": 60,
    "n_depth": 10,
    "d_lop": 15,
    "n_lop": 5,
    "d_data": 16,
    "n_data": 5,
    "lop_steps": 1000,
    "data_steps": 1500,
}

# tests/test_chapters.py runs these.
TINY = SMALL | {
    "deepest": 3, "eps_list": [0.1, 0.01], "n_starts": 8, "n_menon": 20, "d_depth": 3, "n_depth": 4, "n_blocks": 2,
    "d_lop": 9, "n_lop": 3, "d_data": 10, "n_data": 2, "lop_steps": 100, "data_steps": 100,
}  # fmt: skip
EXTREMES = [
    TINY | {"depths": [6, 6, 3], "m": 4.0, "block_size": 4, "n_blocks": 8},
    TINY | {"m": 50.0, "eps_list": [1e-8, 0.3], "eps_lop": 1e-8, "eps_data": 1e-6, "d_depth": 8},
    TINY | {"deepest": 6, "p_obs": 0.2, "p_data": 0.1, "r_data": 2, "eps_lop": 1e-2, "eps_data": 0.1},
    TINY | {"p_obs": 0.8, "p_data": 0.8, "r_data": 1, "m": 4.0, "d_depth": 16},
]
REFUSED = [
    ({"depths": [2]}, "depths: got 2 in it"),
    ({"eps_list": [0.1, 0.1]}, "eps_list: got [0.1, 0.1], allowed: at least two different scales"),
    ({"d_lop": 16}, "d_lop: got 16, allowed: an integer from 9 to 60, a multiple of 3"),
    ({"r_data": 6, "d_data": 20}, "r_data: got 6, allowed: at most d_data / 4, 5"),
    ({"m": 1.0}, "m: got 1.0, allowed: a number from 4 to 50"),
]


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu", **SMALL)


@pytest.fixture(scope="module")
def results(params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run(params)


def flow_by_solver(W, target, mask, time):
    """The gradient flow of one network by scipy, to a given time."""

    def slope(_, flat):
        one = torch.tensor(flat).view(W.shape)
        return -gradient(one, mask * (product(one) - target)).flatten().numpy()

    solved = solve_ivp(slope, (0, time), W.flatten().numpy(), method="LSODA", rtol=1e-9, atol=1e-12)
    return torch.tensor(solved.y[:, -1]).view(W.shape)


# --- the family ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "n", "s", "eps", "m", "w"),
    [(2, 3, 1, 0.1, 5.0, 1.0), (3, 2, 2, 0.05, 8.0, 2.0), (4, 3, 1, 0.2, 4.0, 0.5), (3, 3, 1, 0.3, np.inf, 1.0)],
)
def test_limit_of_the_family_is_where_a_solver_takes_the_full_matrices(depth, n, s, eps, m, w):
    d = n * s
    end = product(
        flow_by_solver(
            family(depth, d, eps, m), torch.full((d, d), w).double(), torch.tensor(blocks(n, s)), 400 if s > 1 else 60
        )
    )
    values = torch.linalg.svdvals(end).numpy()
    largest, second = limit(depth, n, s, eps, m, w)
    assert values[0] == pytest.approx(float(largest), rel=1e-4)
    assert values[1:n] == pytest.approx([float(second)] * (n - 1), rel=1e-3)
    assert (values[n:] < 0.02).all()


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_limit_solves_its_equation_as_brentq_does(depth):
    n, s, eps, m, w = 4, 2, 1e-3, 7.0, 1.5
    x0, y0 = start_eigenvalues(depth, n * s, eps, m)

    def partner(x):
        if depth == 2:
            return x * y0 / x0
        return (x ** (2 - depth) + y0 ** (2 - depth) - x0 ** (2 - depth)) ** (1 / (2 - depth))

    x = brentq(lambda x: x**depth + (n - 1) * partner(x) ** depth - n * s * w, 1e-9, 10, xtol=1e-14)
    largest, second = limit(depth, n, s, eps, m, w)
    assert (float(largest), float(second)) == pytest.approx((x**depth, partner(x) ** depth), rel=1e-9)
    assert conserved(depth, largest ** (1 / depth), second ** (1 / depth)) == pytest.approx(
        conserved(depth, x0, y0), rel=1e-6
    )


@settings(max_examples=40)
@given(
    depth=st.integers(2, 6), n=st.integers(2, 5), s=st.integers(1, 3), eps=st.floats(1e-6, 0.3), m=st.floats(1.5, 50)
)
def test_limit_fits_the_blocks_and_a_diagonal_start_has_equal_values(depth, n, s, eps, m):
    largest, second = limit(depth, n, s, eps, m)
    assert float(largest + (n - 1) * second) == pytest.approx(n * s, rel=1e-9)
    assert largest >= second
    assert limit(depth, n, s, eps, np.inf)[0] == pytest.approx(s, rel=1e-9)


def test_start_eigenvalues_are_those_of_the_factors():
    values = torch.linalg.eigvalsh(family(3, 5, 1e-3, 4.0)[0]).numpy()
    x, y = start_eigenvalues(3, 5, 1e-3, 4.0)
    assert values[-1] == pytest.approx(float(x))
    assert values[:-1] == pytest.approx([float(y)] * 4)
    assert float(product(family(3, 5, 1e-3, np.inf))[0, 0]) == pytest.approx(1e-3)


def test_depth_two_has_the_stable_rank_of_the_corollary():
    n, s, m = 3, 2, 10.0
    largest, second = limit(2, n, s, np.array([1e-1, 1e-6]), m)
    expected = (n - 1) * ((1 - 1 / m) / (1 + (n * s - 1) / m)) ** 4
    assert stable_excess(largest, second, n) == pytest.approx([expected, expected], rel=1e-9)
    assert ratio_kept(2, n, s, 1e-3, m)[1] == pytest.approx(float(limit(2, n, s, 1e-3, m)[1]), rel=1e-9)


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_second_value_falls_like_its_constant_times_the_scale(depth):
    second = limit(depth, 3, 1, 1e-24, 10.0)[1]
    assert float(second) / 1e-24 == pytest.approx(second_value_constant(depth, 3, 10.0), rel=1e-3)


# --- coupling --------------------------------------------------------------------------------------------------------


def brute_coupling(W):
    one = W.clone().requires_grad_()
    whole = product(one)
    slopes = torch.stack(
        [torch.autograd.grad(whole[i, i], one, retain_graph=True)[0].flatten() for i in range(W.shape[-1])]
    )
    cosines = torch.nn.functional.normalize(slopes, dim=1)
    cosines = (cosines @ cosines.T).abs()
    d = len(cosines)
    return (cosines.sum() - d) / (d * (d - 1))


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_cross_coupling_is_the_mean_cosine_of_gradients(depth):
    W = gaussian_factors(2, depth, 4, 0.5, torch.Generator().manual_seed(0))
    for k in range(2):
        assert float(cross_coupling(W)[k]) == pytest.approx(float(brute_coupling(W[k])), abs=1e-12)
    if depth == 2:
        assert cross_coupling(W).max() == 0
    else:
        assert cross_coupling(W).min() > 0.01


@pytest.mark.parametrize(("depth", "d"), [(2, 3), (3, 4), (5, 3)])
def test_aligned_flat_factors_have_the_coupling_of_the_closed_form(depth, d):
    W = torch.full((depth, d, d), 1 / d, dtype=torch.float64)
    cosines = cross_coupling(W, of_diagonal=True)
    assert float(cosines[0, 1]) == pytest.approx(aligned_coupling(depth, d), abs=1e-12)
    assert float(cross_coupling(W)) == pytest.approx(aligned_coupling(depth, d), abs=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_coupling_of_equal_factors_is_that_of_their_two_eigenvalues(depth):
    d, x, y = 4, 1.3, 0.4
    factor = y * torch.eye(d, dtype=torch.float64) + (x - y) / d
    cosines = cross_coupling(factor.repeat(depth, 1, 1), of_diagonal=True)
    assert float(cosines[0, 1]) == pytest.approx(float(family_coupling(depth, d, x, y)), abs=1e-12)
    assert float(family_coupling(depth, d, 1.0, 0.0)) == pytest.approx(aligned_coupling(depth, d))


def test_a_gram_matrix_is_the_limit_of_depth_two_for_targets_of_both_signs():
    targets = torch.tensor([1.5, -0.7, 1.0], dtype=torch.float64)
    W = gaussian_factors(1, 2, 3, 1e-5, torch.Generator().manual_seed(3))
    end = product(flow_by_solver(W[0], torch.diag(targets), torch.eye(3).double(), 60))
    assert torch.allclose(end, gram_limit(W, targets)[0], atol=2e-4)
    for i in range(3):
        a, b = W[0, 1, i], W[0, 0, :, i]
        u = a + targets[i].sign() * b
        for j in range(3):
            v = W[0, 1, j] + targets[j].sign() * W[0, 0, :, j]
            cosine = u @ v / (u.norm() * v.norm())
            expected = targets[j].sign() * (targets[i] * targets[j]).abs().sqrt() * cosine
            assert float(gram_limit(W, targets)[0, i, j]) == pytest.approx(float(expected))


def test_blocks_of_depth_two_flow_as_if_alone_and_rotated_layers_change_nothing():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    both, one = torch.tensor(blocks(2, 3)), torch.tensor(blocks(2, 3))
    one[3:, 3:] = 0
    starts = {depth: gaussian_factors(2, depth, 6, 0.3, torch.Generator().manual_seed(depth)) for depth in (2, 3)}
    for depth, W in starts.items():
        ends = [gradient_flow(W, target, mask, tol=0.0, most=200, step=0.01).W for mask in (both, one)]
        apart = (product(ends[0]) - product(ends[1]))[:, :3, :3].abs().max()
        assert apart < 1e-12 if depth == 2 else apart > 1e-4
        turned = gradient_flow(rotated(W, torch.Generator().manual_seed(9)), target, both, tol=0.0, most=200, step=0.01)
        assert torch.allclose(product(turned.W), product(ends[0]), atol=1e-12)


def test_block_diagonal_starts_stay_block_diagonal_at_every_depth():
    mask = torch.tensor(blocks(2, 2))
    W = gaussian_factors(3, 4, 4, 0.5, torch.Generator().manual_seed(1)) * mask
    end = gradient_flow(W, torch.ones(4, 4), mask, tol=1e-6, most=500).W
    assert (end * (1 - mask)).abs().max() == 0


# --- starts and observations ------------------------------------------------------------------------------------------


def test_rotations_are_orthogonal_and_cancel_only_where_they_match():
    Q = rotations(2, 3, 5, torch.Generator().manual_seed(0))
    assert torch.allclose(Q @ Q.mT, torch.eye(5).double().expand(2, 3, 5, 5), atol=1e-12)
    W = diagonal(2, 3, 5, 0.2, torch.Generator().manual_seed(1))
    assert torch.allclose(product(rotated(W, torch.Generator().manual_seed(2))), product(W), atol=1e-14)
    apart = rotated(W, torch.Generator().manual_seed(2), matched=False)
    assert not torch.allclose(product(apart), product(W), atol=1e-4)
    assert torch.allclose(torch.linalg.svdvals(apart), torch.linalg.svdvals(W), atol=1e-12)
    on = W.diagonal(dim1=-2, dim2=-1)
    assert (on >= 0.5 * 0.2 ** (1 / 3)).all()
    assert (on <= 1.5 * 0.2 ** (1 / 3)).all()
    assert torch.equal(W, torch.diag_embed(on))


def test_masks_are_connected_and_have_the_share_asked_for():
    assert is_connected(np.ones((3, 3)))
    assert not is_connected(np.eye(3))
    assert components(np.eye(3)).tolist() == [0, 1, 2, 0, 1, 2]
    assert is_connected(np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]]))
    rng = np.random.default_rng(0)
    sparse = [random_mask(8, 0.05, rng) for _ in range(20)]
    assert all(is_connected(mask) for mask in sparse)
    assert np.mean([random_mask(30, 0.3, rng).mean() for _ in range(20)]) == pytest.approx(0.3, abs=0.02)
    assert np.array_equal(blocks(2, 2), [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])


def test_targets_have_their_rank_and_unit_mean_square():
    rng = np.random.default_rng(0)
    for matrix, rank in ((rank_one(12, rng), 1), (low_rank(12, 3, rng), 3)):
        assert np.linalg.matrix_rank(matrix) == rank
        assert (matrix**2).mean() == pytest.approx(1)
    u = rank_one(2000, rng)[:, 0]
    # normal entries, half a unit further out: none near zero, and a known least over mean
    assert np.abs(u).min() / np.abs(u).mean() == pytest.approx(0.5 / (0.5 + np.sqrt(2 / np.pi)), abs=0.01)


# --- the determinant -------------------------------------------------------------------------------------------------


def test_log_determinant_moves_as_the_theorem_says():
    W = family(2, 3, 0.5, 6.0)[None]
    target = torch.ones(3, 3, dtype=torch.float64)
    mask = torch.tensor(np.triu(np.ones((3, 3))))
    path = log_determinant_path(W, target, mask, steps=400, stable=0.02, relative=0.002)
    change = path["logdet"][-1] - path["logdet"][0]
    assert path["integral"][-1] == pytest.approx(change, rel=5e-3)
    assert (np.abs(path["logdet"] - path["logdet"][0]) <= path["bound"] + 1e-12).all()
    plain = flow_by_solver(W[0], target, mask, float(path["time"][-1, 0]))
    assert np.abs(product(plain).numpy() - path["product"][-1, 0]).max() < 2e-3
    assert path["loss"][0] == pytest.approx(losses(W, target, mask).numpy())
    assert path["bound"][1] == pytest.approx(2 * 3**0.5 * path["time"][1] * np.sqrt(2 * path["loss"][0]))


def test_polar_factor_is_orthogonal_and_leaves_a_symmetric_positive_rest():
    W = gaussian_factors(3, 1, 4, 1.0, torch.Generator().manual_seed(0))[:, 0]
    Q = polar_factor(W)
    assert torch.allclose(Q @ Q.mT, torch.eye(4).double().expand(3, 4, 4), atol=1e-12)
    rest = Q.mT @ W
    assert torch.allclose(rest, rest.mT, atol=1e-12)
    assert torch.linalg.eigvalsh(rest).min() > 0


# --- what is trained on, and where runs are judged -------------------------------------------------------------------


class Fitted:
    """In place of training: the observed entries of the target and zeros elsewhere. Remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def __call__(self, W, target, mask, *, tol, most, **_):
        target, mask = (part.double().expand(len(W), *W.shape[-2:]) for part in (target, mask))
        self.calls.append((W, target, mask))
        end = torch.eye(W.shape[-1], dtype=torch.float64).repeat(*W.shape[:2], 1, 1)
        end[:, 0] = mask * target
        steps = torch.zeros(len(W))
        return Flow(end, losses(end, target, mask), steps, steps.long(), steps == 0)


@pytest.fixture
def fitted(monkeypatch):
    made = Fitted()
    for module in (limits, plasticity):
        monkeypatch.setattr(module, "gradient_flow", made)
    return made


def left_over(target, mask):
    """Mean square of the target's entries outside the mask, for every matrix."""
    return ((target * (1 - mask)) ** 2).sum((-2, -1)) / (1 - mask).sum((-2, -1))


def test_errors_of_resumed_runs_are_on_entries_that_neither_phase_observed(params, fitted):
    result = experiments.resumed.compute(params)
    _, target, after = fitted.calls[len(FITTED) - 1]
    before = fitted.calls[0][2]
    assert ((before <= after[: params.n_lop]).all() and (before < after[: params.n_lop]).any()).item()
    assert result.error[0].ravel() == pytest.approx(left_over(target, after).numpy())
    assert (result.loss == 0).all()
    alpha = fitted.calls[0][0].std() * params.d_lop**0.5
    assert alpha**2 == pytest.approx(params.eps_lop, rel=0.2)


def test_the_three_by_three_matrix_is_judged_on_its_three_unseen_entries(params, fitted):
    result = experiments.clean.compute(params)
    assert result.error.ravel() == pytest.approx(1.0)
    (_, _, first), (_, _, second) = fitted.calls[:2]
    assert first.sum((-2, -1)).tolist() == [3, 3, 0, 0, 5, 5, 3, 3]
    assert (second.sum((-2, -1)) == 6).all()
    assert is_connected(first[4].numpy())
    assert is_connected(second[0].numpy())
    assert all(torch.equal(one, torch.eye(3).double()) for one in (first[0], first[6]))


def test_completion_starts_all_layers_at_one_matrix_and_is_judged_on_hidden_entries(params, fitted):
    result = experiments.completion.compute(params)
    for row, (W, target, mask) in enumerate(fitted.calls):
        assert (W[:, :1] == W).all()
        assert result.error[row] == pytest.approx(left_over(target, mask).numpy())
        assert result.target_rank == pytest.approx(effective_rank(torch.linalg.svdvals(target).numpy()))
        assert result.rank[row] == pytest.approx(effective_rank(torch.linalg.svdvals(mask * target).numpy()))
        assert (result.residual[row] == 0).all()


def test_two_scales_are_two_sizes_of_the_same_starts(params, fitted):
    experiments.menon.compute(params)
    experiments.gram.compute(params)
    ratios = [(1e-1 / 1e-3) ** (1 / depth) for depth in (2, 3)] + [(1e-3 / 1e-6) ** (1 / depth) for depth in (2, 3)]
    for (W, target, _), ratio in zip(fitted.calls, ratios, strict=True):
        large, small = W.chunk(2)
        assert torch.allclose(large, ratio * small, rtol=1e-12)
        assert W.shape[-1] == 2 or sorted(set(target.diagonal(dim1=1, dim2=2).sign().flatten().tolist())) == [-1, 1]


def test_the_map_is_the_stable_rank_of_the_equation(params):
    made = experiments.chart.compute(params)
    for row, depth in enumerate(made.depths):
        values = limit(int(depth), params.n_blocks, 1, made.eps[7], made.m[11])
        spectrum = np.array([values[0], *[values[1]] * (params.n_blocks - 1)])
        assert made.stable_rank[row, 11, 7] == pytest.approx((spectrum**2).sum() / spectrum.max() ** 2)


def test_unmatched_rotations_hide_from_the_kernel_at_the_start_up_to_depth_four():
    for depth, hidden in ((3, True), (4, True), (5, False)):
        generator = torch.Generator().manual_seed(depth)
        W = rotated(diagonal(3, depth, 6, 0.3, generator), generator, matched=False)
        assert (cross_coupling(W) < 1e-14).all() == hidden


def test_blocks_of_any_size_are_coupled_from_the_family_at_depth_three():
    W, target, both = family(3, 6, 0.2, 6.0)[None], torch.ones(6, 6, dtype=torch.float64), torch.tensor(blocks(3, 2))
    alone = both.clone()
    alone[2:, 2:] = 0
    velocities = []
    for mask in (both, alone):
        step = 1e-6 * gradient(W, mask * (product(W) - target))
        velocities.append((product(W - step) - product(W))[0, :2, :2] / 1e-6)
    difference = velocities[0] - velocities[1]
    # One kernel for all pairs of entries of different blocks, times the residuals of two blocks of four entries.
    assert torch.allclose(difference, difference.mean().expand(2, 2), rtol=1e-6)
    square = (W[0, 0] @ W[0, 0])[0, 2]
    residual = (both * (product(W)[0] - target))[2:, 2:].sum()
    assert float(difference[0, 0]) == pytest.approx(float(-(square**2) * residual), rel=1e-4)


def test_the_worst_depth_and_the_worst_matrix_decide():
    clean = types.SimpleNamespace(
        depths=np.array([2, 3, 4]),
        setups=("warm",) * 3,
        error=np.array([[0.3, 0.3], [1e-2, 1e-5], [1e-2, 0.2]]),
        rank=1 + np.array([[0.1, 0.1], [1e-2, 1e-4], [0, 0.3]]),
    )
    found = claims.kept(types.SimpleNamespace(clean=clean), "deeper, warm")
    assert found == pytest.approx({"error": 0.2, "excess": 0.3})
    shape = (2, len(FITTED), 3)
    resumed = types.SimpleNamespace(
        loss=np.zeros(shape), pre_loss=np.zeros(shape), error=np.ones(shape), rank=np.ones(shape)
    )
    resumed.rank[0, -1] = [2.0, 1.05, 3.0]
    assert claims.random_loss(types.SimpleNamespace(resumed=resumed), "depth two")["rank"] == pytest.approx(0.05)


# --- the whole -------------------------------------------------------------------------------------------------------


def test_experiments_record_the_run_that_they_say(params, results):
    d = params.d_depth
    identity = torch.eye(d, dtype=torch.float64)
    for row, depth in enumerate(results.spectrum.depths):
        W = gaussian_factors(1, int(depth), d, interaction.DEPTH_SCALE, params.generator(4, int(depth)))
        end = gradient_flow(W, torch.ones(d, d), identity, tol=1e-6, most=3000, stable=0.2, relative=0.05).W
        assert results.spectrum.values[row][-1] == pytest.approx(torch.linalg.svdvals(product(end))[0].numpy())
    assert results.depths.depths.tolist() == list(range(2, params.deepest + 1))
    # Runs stop where the mean square over what is observed falls below 1e-5.
    assert np.median(results.completion.residual[0]) == pytest.approx(1e-5, rel=0.1)
    together = gradient_flow(
        interaction._start("Gaussian", params, 3, 30), torch.ones(6, 6), torch.eye(6), tol=0.0,
        most=interaction.STEPS, step=interaction.LR,
    )  # fmt: skip
    assert results.intervention.coupling[1, 0] == pytest.approx(cross_coupling(together.W).numpy())


def test_the_unbalanced_run_starts_at_the_warm_product(results):
    r = results.determinant
    for values in (r.loss, r.logdet, r.unseen):
        assert values[0, 2] == pytest.approx(values[0, 0], rel=1e-12)
    assert r.time[1, 2] != r.time[1, 0]


def test_watched_entry_is_trained_alone_in_the_second_run(results):
    r = results.intervention
    assert r.gap.shape == (2, len(STARTS), 8)
    assert r.path[:, 0, -1] == pytest.approx([1, 1], abs=0.05)
    assert r.off_diagonal[:, STARTS.index("diagonal")].max() < 1e-12


def test_a_shrinking_start_leaves_the_coupled_limit_at_the_solution_of_rank_one(results):
    r = results.family
    assert r.converged[:, 0].all()
    assert r.measured[1:, 0, 0, -1, 0] == pytest.approx(r.n, abs=5e-3)


def test_data_are_observed_in_the_shares_asked_for_and_pretraining_stops_where_it_should(params, results):
    r = results.resumed
    assert r.observed[1] == pytest.approx(params.p_obs, abs=0.1)
    assert r.observed[0] == pytest.approx(r.observed[1] / 3, abs=0.05)
    first = r.pre_loss[:, :1]
    for stop, share in enumerate(FITTED[1:-1], 1):
        assert (r.pre_loss[:, stop] <= (1 - share) * first[:, 0] + 1e-12).all()
        assert np.median(r.pre_loss[:, stop] / first[:, 0]) == pytest.approx(1 - share, abs=0.1)
    assert np.median(r.error[:, 0]) < 0.01
    # entries have a mean square of one, and nothing was learned about them at first
    assert first[:, 0].mean() / (params.d_lop**2 * r.observed[0] / 2) == pytest.approx(1, abs=0.3)


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {claim.id[:2] for claim in CLAIMS} == {"C1", "C2", "C3", "C4", "C5"}


def swapped(values, first, second, axis=0):
    """The same array with two of its rows exchanged."""
    order = np.arange(values.shape[axis])
    order[first], order[second] = second, first
    return np.take(values, order, axis)


@pytest.mark.parametrize(
    ("names", "part", "broken"),
    [
        (["C1a", "C1c"], "intervention", lambda r: {"gap": swapped(r.gap, 0, 2, 1)}),
        (["C1b"], "intervention", lambda r: {"gap": swapped(r.gap, 0, 1)}),
        (["C1b"], "intervention", lambda r: {"path": 0 * r.path}),
        (["C1c"], "intervention", lambda r: {"off_diagonal": 0 * r.off_diagonal}),
        (["C2a"], "family", lambda r: {"implicit": r.ratio}),
        (["C2b", "C3b"], "family", lambda r: {"measured": r.measured[..., ::-1, :], "coupling": r.coupling[..., ::-1]}),
        (["C2c"], "family", lambda r: {"measured": swapped(r.measured, 0, 1)}),
        (["C2d"], "menon", lambda r: {"entries": swapped(r.entries, 0, 1)}),
        (["C2e"], "gram", lambda r: {"error": r.error[::-1]}),
        (["C3a"], "depths", lambda r: {"coupling": r.coupling[::-1]}),
        (["C3a"], "depths", lambda r: {"rank": r.rank[::-1]}),
        (["C3c"], "completion", lambda r: {"rank": swapped(r.rank, 0, 1)}),
        (["C4a", "C4b"], "clean", lambda r: {"error": swapped(r.error, 0, 4)}),
        (["C4c", "C4d", "C4e"], "resumed", lambda r: {"error": swapped(r.error, 0, 1), "rank": swapped(r.rank, 0, 1)}),
        (["C5a"], "determinant", lambda r: {"integral": -r.integral}),
        (["C5b"], "determinant", lambda r: {"unseen": r.unseen[:, ::-1] + 0.5}),
        (["C5c"], "clean", lambda r: {"error": swapped(r.error, 7, 5)}),
    ],
)
def test_broken_runs_make_the_verdict_unsound(params, results, names, part, broken):
    changed = dataclasses.replace(getattr(results, part), **broken(getattr(results, part)))
    verdicts = verify(params, dataclasses.replace(results, **{part: changed}))
    for claim in names:
        assert verdicts[claim].holds is False, str(verdicts[claim])


def test_nothing_is_decided_where_scales_are_large_or_steps_too_few(params, results):
    early = dataclasses.replace(results.family, implicit=results.family.implicit[..., ::-1, :])
    verdicts = verify(params, dataclasses.replace(results, family=early))
    assert verdicts["C2b"].holds is None
    assert "eps_list" in verdicts["C2b"].criterion
    unfitted = dataclasses.replace(results.resumed, loss=results.resumed.loss + 10)
    verdicts = verify(params, dataclasses.replace(results, resumed=unfitted))
    assert verdicts["C4c"].holds is None
    assert "lop_steps" in verdicts["C4c"].criterion


def test_same_seed_gives_the_same_runs_and_another_one_others(params, results):
    again = experiments.menon.compute(params)
    assert np.array_equal(again.entries, results.menon.entries)
    other = experiments.menon.compute(params.model_copy(update={"seed": 1}))
    assert not np.array_equal(other.entries, results.menon.entries)
