"""Jointly separable tasks: where the iterate goes, what is forgotten, and which constants rule it."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from companion.analysis.max_margin import max_margin
from companion.chapters.continual_linear_classification import tasks, theory
from companion.chapters.continual_linear_classification.parameters import Parameters, random_numbers, random_seed
from companion.chapters.continual_linear_classification.sequential import (
    cyclic,
    log_spaced,
    random_order,
    sequential_gd,
    unequal,
)
from companion.chapters.continual_linear_classification.theory import outside
from companion.results import experiment

VARIANTS = ("cyclic", "unequal budgets", "last task skipped", "first task alone", "random", "random, never the last")


# --- where the iterate goes -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Direction:
    """Planted tasks, trained on in six ways (``VARIANTS``, the leading axis V); D data sets, R records."""

    #: completed cycles at the records, ``(R,)``
    cycles: np.ndarray
    #: of the iterate to the joint classifier in degrees, ``(V, R, D)``
    angle: np.ndarray
    #: joint loss, ``(V, R, D)``
    loss: np.ndarray
    #: q_angle, q_length: of the log-slope vector, to the joint classifier and over its norm, ``(V, D)``
    q_angle: np.ndarray
    q_length: np.ndarray
    #: its angle to the first task's own max-margin direction, ``(V, D)``
    q_own: np.ndarray
    #: whether the last iterate classifies all examples correctly, ``(V, D)``
    correct: np.ndarray
    #: angles of the tasks' own max-margin directions to the joint one, ``(D, M)``
    individual: np.ndarray
    #: angle of the mean of all examples to the joint classifier, ``(D,)``
    mean: np.ndarray
    #: the same for the limit of projections, ``(D,)``
    projections: np.ndarray
    #: ``w - ln(J) w_hat`` of the first data set in cyclic order, ``(R, d)``
    residual: np.ndarray
    #: least and largest number of steps that a task of the run with unequal budgets got, ``(2,)``
    budgets: np.ndarray
    #: share of the cycles in random order in which some task comes twice, and its expectation, ``(2,)``
    repeated: np.ndarray
    #: duals, estimated: joint multipliers, and ``eta K J |l'_i|`` at the last cyclic iterate, ``(D, M, n)``
    duals: np.ndarray
    estimated: np.ndarray


def _planted(params: Parameters, stream: int, datasets: int | None = None) -> tasks.Planted:
    rng = random_numbers(params, stream)
    return tasks.planted(
        rng,
        datasets or params.datasets,
        params.M,
        params.n_per_task,
        params.d,
        between=params.between,
        bias=params.bias,
        gap=params.gap,
    )


@experiment
def direction(params: Parameters) -> Direction:
    """C1 and C2: the six ways of training, on the same data."""
    data = _planted(params, 1)
    D, M = params.datasets, params.M
    records = np.union1d(log_spaced(1, params.n_cycles, 30), max(1, round(0.13 * params.n_cycles)))
    equal, skipping = np.full(M, params.K), np.append(np.full(M - 1, params.K), 0)
    common = {"eta": params.eta, "cycles": params.n_cycles, "record": records, "device": params.device}
    budget = np.repeat([equal, unequal(params.K, M), skipping, equal], D, 0)
    in_turn = sequential_gd(
        np.tile(data.x, (4, 1, 1, 1)),
        budget=budget,
        order=np.concatenate([np.tile(cyclic(D, M), (3, 1)), np.zeros((D, M), dtype=int)]),
        **common,
    )
    repeats: list[float] = []

    def watched(order: np.ndarray) -> np.ndarray:
        repeats.append((np.diff(np.sort(order)) == 0).any(-1).mean())
        return order

    free, confined = (random_order(D, M, random_seed(params, 2, last), last) for last in (M, M - 1))
    drawn = sequential_gd(
        np.tile(data.x, (2, 1, 1, 1)),
        budget=params.K,
        order=lambda cycle: np.concatenate([watched(free(cycle)), confined(cycle)]),
        **common,
    )
    w = np.concatenate([in_turn.w, drawn.w], 1).reshape(len(records), len(VARIANTS), D, -1)
    loss = np.concatenate([in_turn.loss, drawn.loss], 1).reshape(len(records), len(VARIANTS), D)
    own = np.array([[max_margin(x).w for x in each] for each in data.x])
    q = theory.log_slope(records, w)
    slope = 1 / (1 + np.exp(np.einsum("bmnd,bd->bmn", data.x, w[-1, 0])))
    return Direction(
        cycles=records,
        angle=theory.angle(w, data.w).swapaxes(0, 1),
        loss=loss.swapaxes(0, 1),
        q_angle=theory.angle(q, data.w),
        q_length=np.linalg.norm(q, axis=-1) / np.linalg.norm(data.w, axis=-1),
        q_own=theory.angle(q, own[:, 0]),
        correct=(np.einsum("bmnd,vbd->vbmn", data.x, w[-1]) > 0).all((-2, -1)),
        individual=theory.angle(own, data.w[:, None]),
        mean=theory.angle(data.x.mean((1, 2)), data.w),
        projections=theory.angle(np.array([theory.projections(x) for x in data.x]), data.w),
        residual=w[:, 0, 0] - np.log(records)[:, None] * data.w[0],
        budgets=np.sort(budget[D])[[0, -1]],
        repeated=np.array([np.mean(repeats), 1 - math.factorial(M) / M**M]),
        duals=data.duals,
        estimated=params.eta * params.K * params.n_cycles * slope,
    )


@dataclass(frozen=True)
class Plane:
    """Six points of the plane in three tasks."""

    #: the points, ``(3, 2, 2)``
    x: np.ndarray
    #: joint, own: the joint max-margin direction ``(2,)`` and those of the tasks, ``(3, 2)``
    joint: np.ndarray
    own: np.ndarray
    #: iterates of the first cycles, step by step, ``(T + 1, 2)``; a stage is K steps
    path: np.ndarray
    #: steps per stage
    K: int
    #: records, ``(R,)``
    cycles: np.ndarray
    #: to the joint direction, ``(3, R)``: cyclic order, random order, the first task alone
    angle: np.ndarray
    #: the log-slope vectors, ``(3, 2)``
    q: np.ndarray
    #: path of the cyclic projections, one per stage, ``(S + 1, 2)``
    projections: np.ndarray


@experiment
def plane(params: Parameters) -> Plane:
    """C6: the toy that can be drawn."""
    x = tasks.plane()
    joint, own = max_margin(x.reshape(-1, 2)).w, np.array([max_margin(task).w for task in x])
    common = {"eta": params.eta, "budget": params.K, "device": params.device}
    first = np.arange(1, 41)
    early = sequential_gd(x[None], cycles=40, record=first, keep_path=True, **common)
    records = np.union1d(log_spaced(1, params.n_cycles, 40), max(1, round(0.13 * params.n_cycles)))
    common |= {"cycles": params.n_cycles, "record": records}
    orders = np.array([[0, 1, 2], [0, 0, 0]])
    fixed = sequential_gd(np.tile(x, (2, 1, 1, 1)), order=orders, **common)
    drawn = sequential_gd(x[None], order=random_order(1, 3, random_seed(params, 3)), **common)
    w = np.stack([fixed.w[:, 0], drawn.w[:, 0], fixed.w[:, 1]])
    u, visited = np.zeros(2), [np.zeros(2)]
    for _ in range(4):
        for task in x:
            u = theory.project(u, task)
            visited.append(u)
    steps = [early.path[0, :, 0], *(early.path[1:, 1:, 0])]
    return Plane(
        x=x,
        joint=joint,
        own=own,
        path=np.concatenate(steps),
        K=params.K,
        cycles=records,
        angle=theory.angle(w, joint),
        q=theory.log_slope(records, w.swapaxes(0, 1)),
        projections=np.array(visited),
    )


@dataclass(frozen=True)
class StepSizes:
    """One data set, cyclic, at the two step sizes of the theorems and at larger ones."""

    #: step sizes, ``(E,)``: that of the cyclic theorem, that of the random-order theorem, then larger ones
    eta: np.ndarray
    #: steps per stage
    K: int
    #: ``(R,)``
    cycles: np.ndarray
    #: joint loss, ``(R, E)``
    loss: np.ndarray
    #: margin of the joint classifier
    phi: float


@experiment
def step_sizes(params: Parameters) -> StepSizes:
    """The theorems' sufficient step sizes beside those that work."""
    data = _planted(params, 1, 1)
    flat, phi = data.x[0].reshape(-1, params.d), 1 / float(np.linalg.norm(data.w[0]))
    eta = [theory.cyclic_step_size(flat, phi, params.M, params.K), theory.random_step_size(flat, phi)]
    eta = np.array([*eta, 0.01, 0.1, 0.5])
    records = log_spaced(1, params.n_cycles, 60)
    run = sequential_gd(
        np.tile(data.x, (len(eta), 1, 1, 1)),
        eta=eta,
        budget=params.K,
        cycles=params.n_cycles,
        record=records,
        device=params.device,
    )
    return StepSizes(eta, params.K, records, run.loss, phi)


# --- forgetting -------------------------------------------------------------------------------------------------------

SPLITS = ("contradicting", "aligned")
ETA_FOUR, K_FOUR = 0.05, 10


@dataclass(frozen=True)
class Forgetting:
    """Cycle-averaged forgetting: the four points in two splits, planted tasks, tasks without a negative product."""

    #: completed cycles J + 1 of the four points' records, ``(R,)``
    cycles: np.ndarray
    #: forgetting, ``(R, 2)``, contradicting split first
    four: np.ndarray
    #: lower, upper: the bounds with each split's own alignment, ``(R, 2)``
    lower: np.ndarray
    upper: np.ndarray
    #: lower_other, upper_other: with the alignment of the other split
    lower_other: np.ndarray
    upper_other: np.ndarray
    #: the limit of J^2 times forgetting, ``(2,)``
    constant: np.ndarray
    #: losses of the two tasks along the first cycles of the contradicting split, step by step, ``(T + 1, 2)``
    saw: np.ndarray
    #: planted_violations, planted_checked: records of planted tasks outside their bounds, and how many there are
    planted_violations: int
    planted_checked: int
    #: forgetting of tasks whose examples have no negative product, task by task, ``(R', D, M)``
    friendly: np.ndarray
    #: the same after mirroring every other task across the joint classifier
    mirrored: np.ndarray


def _friendly(rng: np.random.Generator, datasets: int, M: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Tasks ``(1, V)`` with ``V >= 0``, so that no product is negative, and with every other task ``(1, -V)``."""
    x = np.concatenate([np.ones((datasets, M, n, 1)), np.abs(rng.normal(size=(datasets, M, n, d - 1)))], -1)
    mirrored = x.copy()
    mirrored[:, 1::2, :, 1:] *= -1
    return x, mirrored


@experiment
def forgetting(params: Parameters) -> Forgetting:
    """C3: the sign of forgetting and its bounds."""
    four = tasks.four_points()
    cycles = np.union1d(np.arange(1, 41), log_spaced(40, 2000, 40))
    settings = {"eta": ETA_FOUR, "budget": K_FOUR, "device": params.device}
    run = sequential_gd(four, cycles=2000, record=cycles, **settings)
    lower, upper = theory.forgetting_bounds(run.highest, four, ETA_FOUR, K_FOUR)
    lower_other, upper_other = theory.forgetting_bounds(run.highest, four[::-1], ETA_FOUR, K_FOUR)
    shares = np.concatenate([tasks.known(split).shares for split in four])
    path = sequential_gd(four[:1], cycles=4, record=np.arange(1, 5), keep_path=True, **settings).path[:, :, 0]
    path = np.concatenate([path[0], *path[1:, 1:]])
    saw = np.logaddexp(0, -np.einsum("mnd,td->tmn", four[0], path)).sum(-1)

    data = _planted(params, 4)
    settings = {"eta": params.eta, "budget": params.K, "device": params.device}
    few = min(params.n_cycles, 500)
    records = np.union1d(np.arange(1, 21), log_spaced(21, few, 15))
    planted = sequential_gd(data.x, cycles=few, record=records, **settings)
    bad = outside(planted.forgetting, *theory.forgetting_bounds(planted.highest, data.x, params.eta, params.K))

    rng = random_numbers(params, 5)
    both = _friendly(rng, min(params.datasets, 50), params.M, params.n_per_task, params.d)
    runs = sequential_gd(np.concatenate(both), cycles=60, record=np.arange(1, 61), **settings)
    single = runs.end - runs.after
    friendly, mirrored = np.split(single, 2, axis=1)
    return Forgetting(
        cycles=cycles,
        four=run.forgetting,
        lower=lower,
        upper=upper,
        lower_other=lower_other,
        upper_other=upper_other,
        constant=theory.forgetting_constant(shares, np.full(2, ETA_FOUR), K_FOUR),
        saw=saw,
        planted_violations=int(bad.sum()),
        planted_checked=int(bad.size),
        friendly=friendly,
        mirrored=mirrored,
    )


# --- exact constants --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constants:
    """Loss and forgetting late in training against the exact constants, over D planted data sets, all M together."""

    #: M, K: tasks and budget of each data set, ``(D,)``
    M: np.ndarray
    K: np.ndarray
    #: variance between the tasks, ``(D,)``
    between: np.ndarray
    #: records J + 1, ``(R,)``
    cycles: np.ndarray
    #: loss, forgetting: ``(R, D)``
    loss: np.ndarray
    forgetting: np.ndarray
    #: loss_constant, forgetting_constant: the theorem's, ``(D,)``
    loss_constant: np.ndarray
    forgetting_constant: np.ndarray
    #: the formula with every task's own max-margin solution in place of its share, ``(D,)``
    naive_constant: np.ndarray
    #: the loss constant with the largest of the tasks' own margins, ``(D,)``
    naive_loss_constant: np.ndarray
    #: sum of the ``||v_m||^2 / (2 eta K M)``, the size against which errors are measured, ``(D,)``
    scale: np.ndarray

    @property
    def forgetting_error(self) -> np.ndarray:
        """Late J^2 times forgetting minus the theorem's constant, over ``scale``, ``(D,)``."""
        return ((self.cycles[-1] - 1) ** 2 * self.forgetting[-1] - self.forgetting_constant) / self.scale


@experiment
def constants(params: Parameters) -> Constants:
    """C4: one run per number of tasks; budgets and variances differ from data set to data set."""
    records = log_spaced(params.cycles_constants // 10, params.cycles_constants, 12)
    D = params.datasets
    parts = []
    for M in params.tasks_list:
        rng = random_numbers(params, 6, M)
        n, d = max(params.n_per_task, 3), max(params.d, M + 2)
        between = rng.permutation(np.geomspace(*params.spreads, D))
        data = tasks.planted(rng, D, M, n, d, between=between, supports=M + 2, bias=params.bias, gap=params.gap)
        K = np.resize(params.budgets, D)
        run = sequential_gd(
            data.x,
            eta=params.eta,
            budget=np.tile(K[:, None], (1, M)),
            cycles=params.cycles_constants,
            record=records,
            device=params.device,
        )
        own = [[max_margin(task) for task in each] for each in data.x]
        naive = np.array([[s.separator for s in each] for each in own])
        widest = np.array([max(s.margin for s in each) for each in own])
        parts.append(
            (
                np.full(D, M),
                K,
                between,
                run.loss,
                run.forgetting,
                theory.loss_constant(data.duals, params.eta, K[:, None]),
                theory.forgetting_constant(data.shares, params.eta, K[:, None]),
                theory.forgetting_constant(naive, params.eta, K[:, None]),
                1 / (params.eta * K * widest**2),
                (data.shares**2).sum((1, 2)) / (2 * params.eta * K * M),
            )
        )
    columns = [np.concatenate(column, axis=-1) for column in zip(*parts, strict=True)]
    return Constants(*columns[:3], records, *columns[3:])


@dataclass(frozen=True)
class Orders:
    """Three tasks in all six orders, with equal and with unequal budgets; D data sets."""

    #: ``(6, 3)``
    orders: np.ndarray
    #: measured, predicted: J^2 times cycle-averaged forgetting and its exact limit, ``(2 budgets, 6, D)``
    measured: np.ndarray
    predicted: np.ndarray
    #: J^2 times the forgetting of task 0 alone, ``(2, 6, D)``
    single: np.ndarray
    #: ``sum_m ||v_m||^2 / (2 eta M K_m)``, ``(2, 1, D)``
    scale: np.ndarray


@experiment
def orders(params: Parameters) -> Orders:
    """Extension: the limit of forgetting does not depend on the order, unless the budgets are unequal."""
    D, cycles = min(params.datasets, 8), max(100, params.cycles_constants // 2)
    rng = random_numbers(params, 7)
    data = tasks.planted(rng, D, 3, max(params.n_per_task, 3), max(params.d, 5), between=2.0, supports=5)
    permutations = np.array(list(itertools.permutations(range(3))))
    budgets = np.stack([np.full(3, params.K), unequal(params.K, 3)])
    order = np.tile(np.repeat(permutations, D, 0), (2, 1))
    run = sequential_gd(
        np.tile(data.x, (12, 1, 1, 1)),
        eta=params.eta,
        budget=np.repeat(budgets, 6 * D, 0),
        cycles=cycles,
        record=np.array([cycles]),
        order=order,
        device=params.device,
    )
    shares = data.shares[:, permutations].swapaxes(0, 1)  # (6, D, 3, d)
    predicted = [theory.forgetting_constant(shares, params.eta, budget[permutations][:, None]) for budget in budgets]
    late = (cycles - 1) ** 2 * (run.end[0] - run.after[0])
    first = late[np.arange(len(order)), (order == 0).argmax(-1)]
    scale = np.stack([((data.shares**2).sum(-1) / budget).sum(-1) / (6 * params.eta) for budget in budgets])
    return Orders(
        permutations,
        late.mean(-1).reshape(2, 6, D),
        np.array(predicted),
        first.reshape(2, 6, D),
        scale[:, None],
    )


@dataclass(frozen=True)
class TwoTasks:
    """Two tasks at several angles, D data sets each."""

    #: between the tasks' shares of the joint classifier, degrees, ``(A,)``
    angles: np.ndarray
    #: late J^2 times forgetting, times ``8 eta K``, ``(A, D)``
    measured: np.ndarray
    #: forgetting in the first cycle, ``(A, D)``
    first: np.ndarray
    #: angle between the sums of the two tasks' examples, ``(A, D)``
    examples: np.ndarray
    #: the theorem on a grid, ``(2, G)``: angle and constant
    curve: np.ndarray


@experiment
def two_tasks(params: Parameters) -> TwoTasks:
    """Extension: the angle at which forgetting turns into backward transfer."""
    angles, D, cycles = np.array(params.angles), max(2, min(params.datasets // 3, 50)), params.cycles_constants
    rng = random_numbers(params, 8)
    between = np.repeat(np.tan(np.radians(angles) / 2) ** 2, D)
    n, d = params.n_per_task, max(params.d, 3)
    data = tasks.planted(rng, len(between), 2, n, d, between=between, bias=params.bias, gap=params.gap, equal=True)
    run = sequential_gd(
        data.x,
        eta=params.eta,
        budget=params.K,
        cycles=cycles,
        record=np.array([1, cycles]),
        device=params.device,
    )
    sums = data.x.sum(2)
    grid = np.radians(np.linspace(min(55, angles.min()), angles.max(), 200))
    return TwoTasks(
        angles=angles,
        measured=(8 * params.eta * params.K * (cycles - 1) ** 2 * run.forgetting[-1]).reshape(len(angles), D),
        first=run.forgetting[0].reshape(len(angles), D),
        examples=theory.angle(sums[:, 0], sums[:, 1]).reshape(len(angles), D),
        curve=np.stack([np.degrees(grid), -np.cos(grid) / np.cos(grid / 2) ** 2]),
    )
