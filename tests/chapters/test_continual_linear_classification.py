import itertools
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from companion.analysis.max_margin import max_margin
from companion.analysis.rates import loglog_slope
from companion.chapters.continual_linear_classification import (
    Parameters,
    claims,
    experiments,
    run,
    sequential,
    tasks,
    theory,
    verify,
)
from companion.chapters.continual_linear_classification.experiments import separable

SMALL = {
    "datasets": 6,
    "n_cycles": 1200,
    "cycles_constants": 1200,
    "clashing_sets": 4,
    "tasks_list": [2, 3],
    "budgets": [5, 10],
    "horizons": [200, 400, 800],
    "cycles_digits": 500,
    "angles": [70.0, 110.0, 140.0],
}


# tests/test_chapters.py runs these.
TINY = {
    "datasets": 2,
    "n_cycles": 100,
    "cycles_constants": 100,
    "clashing_sets": 2,
    "tasks_list": [2],
    "budgets": [5],
    "horizons": [20, 40, 80],
    "cycles_digits": 100,
    "angles": [70.0, 120.0],
    "digits_per_task": 60,
}
EXTREMES = [
    TINY | {"M": 10, "d": 10, "n_per_task": 1, "K": 1, "eta": 1e-6},
    TINY | {"eta": 0.5, "K": 60, "between": 10.0, "bias": 10.0, "gap": 1.05},
    TINY | {"M": 2, "d": 2, "between": 0.2, "bias": 0.0, "n_per_task": 1},
    TINY | {"tasks_list": [10], "budgets": [1, 200], "spreads": [0.2, 10.0], "angles": [89.0, 91.0]},
    TINY | {"eta_const": [0.5, 1e-4], "horizons": [20, 21, 22]},
    TINY | {"eta_const": [0.02, 1e-6], "digits_per_task": 10},
    TINY | {"digits_per_task": 340, "digit_pairs": [[1, 8], [3, 9], [5, 8], [1, 9]]},
]
REFUSED = [
    ({"M": 9, "d": 8}, "M: got 9, allowed: at most d = 8"),
    ({"eta": 0.0}, "eta: got 0.0, allowed:"),
    ({"digit_pairs": [[1, 1], [2, 3], [4, 5]]}, "digit_pairs: got"),
    ({"horizons": [100, 100, 200]}, "horizons: got"),
    ({"eta_const": [0.01, 0.02]}, "eta_const: got"),
    ({"digits_per_task": 171}, "digits_per_task: got 171, allowed:"),
    ({"angles": [30.0, 90.0]}, "angles: got"),
    ({"datasets": 5000, "d": 64, "n_per_task": 100, "M": 10}, "datasets: got 5000, allowed: at most"),
]


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu", **SMALL)


@pytest.fixture(scope="module")
def results(params):
    return run(params)


def plain_run(x, eta, budget, cycles, order):
    """Brute force: sequential GD on one sequence of tasks, everything recorded in every cycle."""
    w, rows = np.zeros(x.shape[-1]), []

    def loss(m):
        return np.logaddexp(0, -x[m] @ w).sum()

    for cycle in range(cycles):
        after, highest = [], sum(loss(m) for m in range(len(x)))
        for m in order(cycle):
            for _ in range(budget[m]):
                w = w + eta * x[m].T @ expit(-x[m] @ w)
                highest = max(highest, sum(loss(m) for m in range(len(x))))
            after.append(loss(m))
        end = [loss(m) for m in order(cycle)]
        rows.append((w, sum(loss(m) for m in range(len(x))), highest, after, end))
    return [np.array(column) for column in zip(*rows, strict=True)]


# --- the batched engine -----------------------------------------------------------------------------------------------


def test_batched_run_equals_the_plain_loop_for_orders_budgets_and_steps():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3, 5, 4)) + 0.2
    budget = np.array([[3, 3, 3], [1, 4, 2], [0, 2, 5], [3, 1, 1]])
    eta = np.array([0.1, 0.3, 0.05, 0.2])
    drawn = np.random.default_rng(1).integers(0, 3, size=(12, 4, 3))
    found = sequential.sequential_gd(
        x, eta=eta, budget=budget, cycles=12, record=np.arange(1, 13), order=lambda cycle: drawn[cycle]
    )
    for b in range(4):
        w, loss, highest, after, end = plain_run(x[b], eta[b], budget[b], 12, lambda cycle, b=b: drawn[cycle, b])
        assert np.allclose(found.w[:, b], w, rtol=1e-11)
        assert np.allclose(found.loss[:, b], loss, rtol=1e-11)
        assert np.allclose(found.highest[:, b], highest, rtol=1e-11)
        assert np.allclose(found.after[:, b], after, rtol=1e-11)
        assert np.allclose(found.end[:, b], end, rtol=1e-11)
        assert np.allclose(found.forgetting[:, b], (end - after).mean(1), atol=1e-12)


def test_path_is_the_run_step_by_step_and_absent_examples_add_nothing():
    rng = np.random.default_rng(2)
    x, present = rng.normal(size=(2, 2, 4, 3)), np.ones((2, 2, 4), dtype=bool)
    x[1, 0, 2:], present[1, 0, 2:] = 0, False
    settings = {"eta": 0.1, "budget": 3, "cycles": 2, "record": np.array([1, 2])}
    found = sequential.sequential_gd(x, present=present, keep_path=True, **settings)
    assert found.path.shape == (2, 7, 2, 3)
    assert np.array_equal(found.path[0, -1], found.w[0])
    assert np.array_equal(found.path[1, 0], found.w[0])
    step = 0.1 * x[0, 0].T @ expit(-x[0, 0] @ np.zeros(3))
    assert np.allclose(found.path[0, 1, 0], step)
    alone = [np.logaddexp(0, -x[1, 0, :2] @ found.w[-1, 1]).sum(), np.logaddexp(0, -x[1, 1] @ found.w[-1, 1]).sum()]
    assert np.allclose(found.end[-1, 1], alone)


def test_random_order_draws_each_task_and_can_leave_the_last_one_out():
    free, confined = sequential.random_order(5, 3, [0]), sequential.random_order(5, 3, [0], 2)
    seen = np.array([free(cycle) for cycle in range(700)])
    assert np.allclose(np.bincount(seen.ravel()) / seen.size, 1 / 3, atol=0.02)
    assert max(confined(cycle).max() for cycle in range(300)) == 1
    again = sequential.random_order(5, 3, [0])
    assert np.array_equal([again(cycle) for cycle in range(700)], seen)


# --- data -------------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**20),
    M=st.integers(2, 5),
    extra=st.integers(0, 3),
    between=st.floats(0.2, 5),
    within=st.floats(0.3, 3),
)
def test_planted_classifier_and_multipliers_are_those_of_the_solver(seed, M, extra, between, within):
    data = tasks.planted(
        np.random.default_rng(seed), 2, M, 5, M + 4, between=between, within=within, supports=M + extra
    )
    for x, w, duals in zip(data.x, data.w, data.duals, strict=True):
        solution = max_margin(x.reshape(-1, M + 4))
        assert np.allclose(solution.separator, w, atol=1e-7)
        assert np.allclose(solution.multipliers, duals.ravel(), atol=1e-6)
    weight = data.duals.sum(-1)
    assert np.allclose(data.shares.sum(1), data.w)
    squares = (weight**2).sum(-1)
    assert np.allclose((data.shares**2).sum((1, 2)), squares + between * (1 - squares))


def test_joint_minimizer_agrees_with_a_general_solver():
    x, _, _ = tasks.clashing(np.random.default_rng(0), 2, 6, 4, 6, 0.3, 0.1)
    for each in x.reshape(2, -1, 6):
        w, hessian = tasks.joint_minimizer(each)
        found = minimize(lambda w, each=each: np.logaddexp(0, -each @ w).sum(), np.zeros(6), tol=1e-12)
        assert np.allclose(w, found.x, atol=1e-4)
        assert np.abs(each.T @ expit(-each @ w)).max() < 1e-10
        assert np.linalg.eigvalsh(hessian)[0] >= 0.1


def test_separability_matches_the_margin_solver():
    x, _, rejected = tasks.clashing(np.random.default_rng(3), 3, 6, 4, 6, 0.3, 0.1)
    for each in [*x, *rejected]:
        assert not tasks.is_separable(each.reshape(-1, 6))
        for task in each:
            assert max_margin(task).margin > 0


def test_projection_agrees_with_a_quadratic_program():
    rng = np.random.default_rng(4)
    for _ in range(5):
        x, w = rng.normal(size=(5, 4)) + 0.8, rng.normal(size=4)
        u = cp.Variable(4)
        cp.Problem(cp.Minimize(cp.sum_squares(u - w)), [x @ u >= 1]).solve()
        assert np.allclose(theory.project(w, x), u.value, atol=1e-4)


def test_projections_end_where_all_tasks_are_solved():
    data = tasks.planted(np.random.default_rng(5), 4, 3, 6, 8)
    for x, w in zip(data.x, data.w, strict=True):
        end = theory.projections(x)
        assert (np.einsum("mnd,d->mn", x, end) > 1 - 1e-7).all()
        assert np.linalg.norm(end) >= np.linalg.norm(w) - 1e-9


# --- theory -----------------------------------------------------------------------------------------------------------


def test_angle_is_exact_for_small_and_large_angles():
    for degrees in (1e-7, 0.01, 45, 90, 179.9):
        a, b = np.array([1.0, 0.0]), 3 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        assert theory.angle(a, b) == pytest.approx(degrees, rel=1e-6)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**20), eta=st.floats(0.01, 0.3), K=st.integers(1, 8))
def test_bounds_on_forgetting_hold_for_any_tasks_and_step(seed, eta, K):
    x = np.random.default_rng(seed).normal(size=(2, 3, 4, 5))  # separable or not, aligned or not
    found = sequential.sequential_gd(x, eta=eta, budget=K, cycles=15, record=np.arange(1, 16))
    lower, upper = theory.forgetting_bounds(found.highest, x, eta, K)
    assert not theory.outside(found.forgetting, lower, upper).any()


def test_alignment_matches_a_double_loop():
    x = np.random.default_rng(6).normal(size=(3, 4, 5))
    positive = negative = 0.0
    for p, q in itertools.combinations(range(3), 2):
        for a, b in itertools.product(x[p], x[q]):
            positive, negative = positive + max(a @ b, 0), negative + min(a @ b, 0)
    assert theory.alignment(x) == (pytest.approx(positive), pytest.approx(negative))


@pytest.mark.parametrize("budget", [[5, 5, 5], [2, 5, 9]])
def test_exact_constants_match_a_plain_run_with_the_solvers_multipliers(budget):
    """Brute-force twin: no planted knowledge, the plain loop, and the constants task by task."""
    x = tasks.planted(np.random.default_rng(7), 1, 3, 4, 6, between=1.5, supports=5).x[0]
    solution = max_margin(x.reshape(-1, 6))
    duals = solution.multipliers.reshape(3, 4)
    shares = np.einsum("mn,mnd->md", duals, x)
    eta, cycles = 0.2, 1500
    w, loss, _, after, end = plain_run(x, eta, budget, cycles, lambda cycle: range(3))
    J = cycles - 1
    expected_loss = sum(duals[m].sum() / (eta * budget[m]) for m in range(3))
    assert J * loss[-1] == pytest.approx(expected_loss, rel=0.01)
    assert theory.loss_constant(duals, eta, np.array(budget)) == pytest.approx(expected_loss)
    by_task = [-shares[p] @ sum(shares[p + 1 :], np.zeros(6)) / (eta * budget[p]) for p in range(3)]
    scale = np.abs(by_task).max()
    assert np.allclose(J**2 * (end - after)[-1], by_task, atol=0.01 * scale)
    assert np.allclose(theory.task_constants(shares, eta, np.array(budget)), by_task)
    if len(set(budget)) == 1:
        squares = (shares**2).sum() - solution.separator @ solution.separator
        assert theory.forgetting_constant(shares, eta, np.array(budget)) == pytest.approx(squares / (2 * eta * 5 * 3))
    weights = eta * np.array(budget)[:, None] * J * expit(-np.einsum("mnd,d->mn", x, w[-1]))
    assert np.allclose(weights, duals, atol=0.005)


def test_negative_constant_means_a_slow_residual():
    rng = np.random.default_rng(8)
    for _ in range(200):  # random bases: any linearly independent support vectors are those of some data set
        S, M = 5, 3
        X = rng.normal(size=(S, 7)) * rng.uniform(0.3, 2) + rng.normal(size=7)
        w = np.linalg.pinv(X) @ np.ones(S)  # the point at which all margins are 1
        duals = np.linalg.solve(X @ X.T, np.ones(S))
        if duals.min() <= 0:
            continue
        owner = rng.permutation(np.arange(S) % M)
        shares = np.array([duals[owner == m] @ X[owner == m] for m in range(M)])
        weight = np.array([duals[owner == m].sum() for m in range(M)])
        h, size = theory.residual_exponent(X, w, duals), w @ w
        assert (shares**2).sum() - size >= (h - 1) * (size - (weight**2).sum() / size) - 1e-9
        assert h <= 1 + 1e-9


def test_residual_settles_with_the_predicted_exponent():
    data = tasks.planted(np.random.default_rng(9), 6, 3, 4, 6, between=0.5, supports=5)
    for x, w, duals in zip(data.x, data.w, data.duals, strict=True):
        assert theory.residual_exponent(x.reshape(-1, 6), w, duals.ravel()) == pytest.approx(0.5)
    found = sequential.sequential_gd(
        data.x, eta=0.1, budget=10, cycles=4000, record=np.array([250, 500, 1000, 2000, 4000])
    )
    margins = np.einsum("bmnd,rbd->rbmn", data.x, found.w)
    error = np.where(data.duals > 0, found.cycles[:, None, None, None] * expit(-margins) - data.duals, 0)
    size = np.linalg.norm(error, axis=(-2, -1))
    slopes = loglog_slope(found.cycles, size.T)
    assert np.median(slopes) == pytest.approx(-0.5, abs=0.15)


def test_log_slope_finds_the_classifier_where_the_iterate_does_not():
    data = tasks.planted(np.random.default_rng(10), 4, 3, 6, 8)
    found = sequential.sequential_gd(data.x, eta=0.1, budget=10, cycles=1000, record=np.array([1, 50, 1000]))
    q = theory.log_slope(found.cycles, found.w)
    assert theory.angle(q, data.w).max() < 0.5
    assert theory.angle(found.w[-1], data.w).min() > 1


def test_constant_step_stalls_at_the_predicted_point_and_forgets_the_predicted_amount():
    x, _, _ = tasks.clashing(np.random.default_rng(11), 2, 3, 5, 4, 0.2, 0.3)
    w = np.array([tasks.joint_minimizer(each.reshape(-1, 4))[0] for each in x])
    gradient, hessian = theory.task_derivatives(x, w)
    shift, floor = theory.stalling_point(gradient, hessian, 4)
    for eta in (1e-3, 5e-4):
        found = sequential.sequential_gd(x, eta=eta, budget=4, cycles=8000, record=np.array([8000]))
        s = 4 * eta
        least = np.logaddexp(0, -np.einsum("bmnd,bd->bmn", x, w)).sum((1, 2))
        assert np.allclose((found.w[0] - w) / s, shift, rtol=0.1, atol=0.05 * np.abs(shift).max())
        assert np.allclose((found.loss[0] - least) / s**2, floor, rtol=0.1)
        assert np.allclose(found.forgetting[0] / s, theory.forgetting_floor(gradient), rtol=0.1)


def test_convergence_bound_holds_with_its_constants():
    x = tasks.clashing(np.random.default_rng(12), 1, 3, 5, 3, 0.1, 0.5)[0]
    flat = x.reshape(-1, 3)
    w, _ = tasks.joint_minimizer(flat)
    D = np.linalg.norm(w)
    B = sum(np.linalg.norm(task, 2) ** 2 / 4 for task in x[0])
    G = np.linalg.norm(flat, axis=1).sum()
    directions = np.random.default_rng(0).normal(size=(2000, 3))
    around = w + D * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    slope = expit(-(around @ flat.T))
    mu = np.linalg.eigvalsh(np.einsum("kn,ni,nj->kij", slope * (1 - slope), flat, flat))[:, 0].min()
    s = min(1 / B, mu * D / (B * G))
    cycles = np.unique(np.geomspace(1, 3000, 20).astype(int))
    found = sequential.sequential_gd(x, eta=s / 4, budget=4, cycles=3000, record=cycles)
    assert (np.linalg.norm(found.w[:, 0] - w, axis=-1) <= (1 - s * mu) ** cycles * D + s * B * G / mu).all()


def test_four_points_have_the_published_constants(results):
    assert np.allclose(results.forgetting.constant, [0.75, -0.205])
    positive, negative = theory.alignment(tasks.four_points())
    assert positive[0] == 0
    assert positive[1] > 0 > negative[1]


def test_plane_has_its_joint_direction_at_ten_degrees():
    x = tasks.plane()
    joint = max_margin(x.reshape(-1, 2)).w
    assert theory.angle(joint, np.array([1.0, 0.0])) == pytest.approx(10)
    assert theory.angle(np.array([max_margin(task).w for task in x]), joint) == pytest.approx([60, 60, 10])


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert all(verdict.decided for verdict in verdicts)


def test_same_seed_gives_the_same_results_and_another_seed_other_data(params, results):
    again = experiments.two_tasks(params)
    assert np.array_equal(again.measured, results.two_tasks.measured)
    other = experiments.two_tasks(Parameters.resolve(device="cpu", **SMALL | {"seed": 1}))
    assert not np.array_equal(other.first, results.two_tasks.first)


@pytest.mark.parametrize("broken", ["mean loss", "ascent", "hinge-like slope"])
def test_broken_descent_makes_claims_fail(params, results, monkeypatch, broken):
    right = separable.sequential_gd

    def wrong(x, **settings):
        if broken == "hinge-like slope":  # squared examples: another problem
            return right(x * np.abs(x), **settings)
        scale = -1.0 if broken == "ascent" else 1 / x.shape[-2]
        return right(x, **settings | {"eta": scale * np.asarray(settings["eta"])})

    monkeypatch.setattr(separable, "sequential_gd", wrong)
    with np.errstate(all="ignore"):  # ascent overflows
        found = replace(results, constants=experiments.constants(params), forgetting=experiments.forgetting(params))
        verdicts = verify(params, found)
    assert not verdicts["C4b"].holds
    assert not (verdicts["C3a"].holds and verdicts["C3b"].holds)


def test_training_to_convergence_misses_the_joint_direction(params, results):
    found = results.direction
    stuck = replace(found, q_angle=np.tile(found.projections, (len(found.q_angle), 1)))
    assert not verify(params, replace(results, direction=stuck))["C1c"].holds


def test_a_task_that_is_never_drawn_breaks_the_random_order_claim(params, results):
    found = results.direction
    swapped = replace(
        found, **{name: getattr(found, name)[[0, 1, 2, 3, 5, 5]] for name in ("angle", "q_angle", "q_length")}
    )
    assert not verify(params, replace(results, direction=swapped))["C2"].holds


def test_shares_in_another_order_break_the_single_task_constants():
    shares = np.random.default_rng(13).normal(size=(3, 5))
    right = theory.task_constants(shares, 0.1, np.array([5, 5, 5]))
    assert not np.allclose(theory.task_constants(shares[::-1], 0.1, np.array([5, 5, 5]))[::-1], right)
    assert theory.forgetting_constant(shares[::-1], 0.1, 5) == pytest.approx(theory.forgetting_constant(shares, 0.1, 5))


def test_undecided_where_the_digits_do_not_fit_the_claim(params, results):
    digits = replace(results.digits, individual=np.zeros(0), joint_separable=True)
    verdicts = verify(params, replace(results, digits=digits))
    assert {v.claim for v in verdicts if not v.decided} == {"C1e", "C5d"}
    assert claims.CLAIMS[0].id == "C1a"


def test_step_sizes_of_the_theorems_are_their_formulas():
    """Two orthogonal examples of length two: the norm is 2, the joint margin the square root of 2."""
    x, beta, sigma, phi, M, K = 2 * np.eye(2), 0.25, 2.0, np.sqrt(2.0), 2, 3
    assert 1 / np.linalg.norm(max_margin(x).separator) == pytest.approx(phi)
    first = 1 / (2 * M * K * beta * sigma**2)
    second = phi**2 / (4 * K * beta * sigma**3 * (M * phi + sigma))
    assert theory.cyclic_step_size(x, phi, M, K) == pytest.approx(min(first, second))
    assert theory.cyclic_step_size(x, 100.0, M, K) == pytest.approx(first)
    assert theory.random_step_size(x, phi) == pytest.approx(2 * phi**2 / (beta * sigma**4))


def test_at_the_step_sizes_of_the_theorems_the_joint_loss_never_rises(results):
    steps = results.step_sizes
    assert (np.diff(steps.loss[:, :2], axis=0) < 0).all()


def test_bounds_close_like_the_square_of_the_loss():
    four = tasks.four_points()
    lower, upper = theory.forgetting_bounds(np.array([[0.5, 0.5], [0.25, 0.25]]), four, 0.05, 10)
    positive, negative = theory.alignment(four)
    assert np.allclose(upper[0], -0.05 * 10 / 2 * 0.5**2 * negative)
    assert np.allclose(lower[0], -0.05 * 10 / 2 * 0.5**2 * positive)
    assert np.allclose(upper[0], 4 * upper[1])


def test_unequal_budgets_differ_and_a_random_order_is_no_permutation():
    assert sequential.unequal(10, 3).tolist() == [5, 10, 20]
    order = sequential.random_order(200, 3, [0])
    repeats = np.mean([(np.diff(np.sort(order(k))) == 0).any(-1).mean() for k in range(50)])
    assert repeats == pytest.approx(1 - 6 / 27, abs=0.02)


@pytest.mark.parametrize("kind", ["cyclic", "random", "unequal"])
def test_cycles_as_one_function_give_the_numbers_of_the_loop(kind):
    """What a GPU records is the same run, here step by step on the CPU."""
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    budget = np.array([[2, 2], [1, 4], [3, 1]]) if kind == "unequal" else 3
    runs = [
        sequential.sequential_gd(
            x,
            eta=0.1,
            budget=budget,
            cycles=25,
            record=np.array([1, 10, 24]),
            order=sequential.random_order(3, 2, [1]) if kind == "random" else None,
            graphs=graphs,
        )
        for graphs in (False, True)
    ]
    for name in ("w", "loss", "after", "end", "highest"):
        assert np.allclose(getattr(runs[0], name), getattr(runs[1], name), rtol=1e-12, atol=1e-14), name


def test_horizon_step_falls_with_curvature_and_horizon_and_has_a_cap():
    step = theory.horizon_step(np.array([0.5, 2.0]), np.array([10, 1000]), 5, 0.1)
    assert step[0, 0] == pytest.approx(min(0.1, np.log(10) / (0.5 * 5 * 10)))
    assert step[1, 1] == pytest.approx(np.log(1000) / (2.0 * 5 * 1000))
    assert theory.horizon_step(np.array([1e-9]), np.array([10]), 5, 0.1)[0, 0] == 0.1


def test_coarse_digits_are_means_of_blocks_and_labels_are_signs():
    fine = tasks.digit_tasks([[0, 1]], 20, 3)
    coarse = tasks.digit_tasks([[0, 1]], 20, 3, coarse=True)
    assert np.allclose(coarse[0], fine[0].reshape(20, 4, 2, 4, 2).mean((2, 4)).reshape(20, 16))
    assert (fine[0, :10] <= 0).all()
    assert (fine[0, 10:] >= 0).all()
    assert np.abs(fine).max() <= 1
