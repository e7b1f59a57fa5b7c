"""Tasks without a joint classifier, and digits."""

from dataclasses import dataclass

import numpy as np

from companion.analysis.max_margin import NotSeparableError, max_margin
from companion.chapters.continual_linear_classification import tasks, theory
from companion.chapters.continual_linear_classification.parameters import Parameters, random_numbers
from companion.chapters.continual_linear_classification.sequential import log_spaced, sequential_gd
from companion.chapters.continual_linear_classification.theory import horizon_step, joint_loss, outside
from companion.results import experiment

M_CLASH, N_CLASH, D_CLASH, K_CLASH = 6, 4, 6, 5
SHIFT, LEAST_CURVATURE, LARGEST_STEP = 0.3, 0.1, 0.1


@dataclass(frozen=True)
class Clashing:
    """Gaussian tasks, each separable, together not; D data sets, H horizons, E constant steps."""

    #: cycles J of the runs with a horizon-dependent step, ``(H,)``
    horizons: np.ndarray
    #: least eigenvalue of the joint Hessian at the minimizer, ``(D,)``
    curvature: np.ndarray
    #: horizon-dependent steps, ``(D, H)``
    step: np.ndarray
    #: excess joint loss at the horizon, ``(D, H)``
    gap: np.ndarray
    #: the constant-step floor at that step, ``(D, H)``
    predicted: np.ndarray
    #: to the joint minimizer over its norm, at the horizon, ``(D, H)``
    distance: np.ndarray
    #: the same with the largest step, ``(D, H)``
    distance_largest: np.ndarray
    #: excess loss at the same cycles with the constant step ``LARGEST_STEP``, ``(D, H)``
    gap_largest: np.ndarray
    #: near, near_curvature: excess loss of nearly separable data sets ``(D', H)``, and their curvature
    near: np.ndarray
    near_curvature: np.ndarray
    #: constant steps, ``(E,)``
    eta: np.ndarray
    #: records of the constant-step runs, ``(R,)``
    cycles: np.ndarray
    #: excess loss with constant steps, ``(R, D, E)``
    floor: np.ndarray
    #: to first order in ``(eta K)^2``, ``(D, E)``
    floor_predicted: np.ndarray
    #: floor_dealt, forgetting_dealt: the same formulas after dealing the examples to the tasks at random, ``(D, E)``
    floor_dealt: np.ndarray
    #: excess loss with the same steps on all tasks at once, ``(R, D, E)``
    floor_joint: np.ndarray
    #: with constant steps, ``(R, D, E)``
    forgetting: np.ndarray
    #: ``eta K sum ||g_m||^2 / (2 M)``, ``(D, E)``
    forgetting_predicted: np.ndarray
    forgetting_dealt: np.ndarray
    #: how many random data sets it took
    drawn: int


def _minimizers(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimizers ``(D, d)``, their losses and least curvatures ``(D,)`` of flattened data sets ``(D, N, d)``."""
    solved = [tasks.joint_minimizer(each) for each in x]
    w = np.array([s[0] for s in solved])
    return w, joint_loss(x, w), np.array([np.linalg.eigvalsh(s[1])[0] for s in solved])


@experiment
def clashing(params: Parameters) -> Clashing:
    """C5: the horizon-dependent step, constant steps, and GD on all tasks at once."""
    rng = random_numbers(params, 10)
    D, K = params.clashing_sets, K_CLASH
    x, drawn, rejected = tasks.clashing(rng, D, M_CLASH, N_CLASH, D_CLASH, SHIFT, LEAST_CURVATURE)
    flat = x.reshape(D, -1, D_CLASH)
    w_star, least, curvature = _minimizers(flat)
    horizons, eta = np.array(params.horizons), np.array(params.eta_const)
    H, E = len(horizons), len(eta)
    step = horizon_step(curvature, horizons, K, LARGEST_STEP)

    near = np.array(rejected[: min(D, len(rejected))]).reshape(-1, M_CLASH, N_CLASH, D_CLASH)
    near_flat = near.reshape(len(near), M_CLASH * N_CLASH, D_CLASH)
    near_least, near_curvature = np.zeros(0), np.zeros(0)
    if len(near):
        _, near_least, near_curvature = _minimizers(near_flat)
    near_step = horizon_step(near_curvature, horizons, K, LARGEST_STEP)

    last = max(6000, int(horizons[-1]))  # by half of which the smallest constant step is at rest
    records = np.union1d(np.union1d(log_spaced(10, last, 12), horizons), last // 2)
    per_set = np.concatenate([step, np.full((D, 1), LARGEST_STEP), np.tile(eta, (D, 1))], 1)
    run = sequential_gd(
        np.concatenate([np.repeat(x, H + 1 + E, 0), np.repeat(near, H, 0)]),
        eta=np.concatenate([per_set.ravel(), near_step.ravel()]),
        budget=K,
        cycles=last,
        record=records,
        device=params.device,
    )
    at = np.searchsorted(records, horizons)
    own, others = np.split(run.loss, [D * (H + 1 + E)], axis=1)
    gap = own.reshape(len(records), D, H + 1 + E) - least[:, None]
    w = run.w[:, : D * (H + 1 + E)].reshape(len(records), D, H + 1 + E, -1)
    away = np.linalg.norm(w - w_star[:, None], axis=-1) / np.linalg.norm(w_star, axis=-1)[:, None]
    near_gap = others.reshape(len(records), len(near), H) - near_least[:, None]
    each = np.arange(H)
    joint = sequential_gd(
        np.repeat(flat[:, None], E, 0),
        eta=np.tile(eta, D),
        budget=K,
        cycles=last,
        record=records,
        device=params.device,
    )
    gradient, hessian = theory.task_derivatives(x, w_star)
    dealt = rng.permuted(np.arange(M_CLASH * N_CLASH))
    other, other_hessian = theory.task_derivatives(flat[:, dealt].reshape(x.shape), w_star)
    floor = theory.stalling_point(gradient, hessian, K)[1]
    forgets = run.forgetting[:, : D * (H + 1 + E)].reshape(len(records), D, H + 1 + E)
    return Clashing(
        horizons=horizons,
        curvature=curvature,
        step=step,
        gap=gap[at, :, each].T,
        predicted=floor[:, None] * (K * step) ** 2,
        distance=away[at, :, each].T,
        distance_largest=away[at, :, H].T,
        gap_largest=gap[at, :, H].T,
        near=near_gap[at, :, each].T,
        near_curvature=near_curvature,
        eta=eta,
        cycles=records,
        floor=gap[:, :, H + 1 :],
        floor_predicted=floor[:, None] * (K * eta) ** 2,
        floor_dealt=theory.stalling_point(other, other_hessian, K)[1][:, None] * (K * eta) ** 2,
        floor_joint=joint.loss.reshape(len(records), D, E) - least[:, None],
        forgetting=forgets[:, :, H + 1 :],
        forgetting_predicted=theory.forgetting_floor(gradient)[:, None] * K * eta,
        forgetting_dealt=theory.forgetting_floor(other)[:, None] * K * eta,
        drawn=drawn,
    )


# --- digits -----------------------------------------------------------------------------------------------------------

# Step sizes for 170 images per task; the loss is a sum, so they go with 1 / images.
ETA_DIGITS, K_DIGITS = 0.02, 10
ETA_COARSE, K_COARSE = np.array([4e-3, 2e-3]), 5
IMAGES, ATTEMPTS = 170, 8


@dataclass(frozen=True)
class Digits:
    """Pairs of digits: three tasks with a joint classifier, and all pairs at half the resolution, without one."""

    #: records of the separable tasks, ``(R,)``
    cycles: np.ndarray
    #: to the joint max-margin direction, ``(R, 2)``: cyclic, the first pair alone
    angle: np.ndarray
    #: angles of the pairs' own max-margin directions to the joint one, ``(3,)``; empty if not separable
    individual: np.ndarray
    #: joint margin, zero if not separable
    margin: float
    #: of J in the approach to the limit of the residual, see the chapter; zero if not separable
    exponent: float
    #: loss, forgetting: in cyclic order, ``(R,)``
    loss: np.ndarray
    forgetting: np.ndarray
    #: records outside the a-posteriori bounds
    violations: int
    #: draws of images until each of all pairs was separable at half the resolution
    attempts: int
    #: separable, joint_separable: whether each pair is then, and whether their union is
    separable: tuple[bool, ...]
    joint_separable: bool
    #: records there, ``(R',)``
    coarse_cycles: np.ndarray
    #: excess joint loss there: two constant steps, and the second on the first pair alone, ``(R', E + 1)``
    gap: np.ndarray
    #: to the joint minimizer over its norm, ``(R', E + 1)``
    distance: np.ndarray
    #: floors of the excess loss to first order, ``(E,)``
    predicted: np.ndarray
    #: coarse_forgetting, coarse_predicted: at the end, and to first order, ``(E,)``
    coarse_forgetting: np.ndarray
    coarse_predicted: np.ndarray
    #: least and largest eigenvalue of the joint Hessian at the minimizer, ``(2,)``
    curvature: np.ndarray


@experiment
def digits(params: Parameters) -> Digits:
    """C1 and C5 on real tasks."""
    x = tasks.digit_tasks(params.digit_pairs[:3], params.digits_per_task, params.seed)
    eta, eta_coarse = ETA_DIGITS * IMAGES / x.shape[1], ETA_COARSE * IMAGES / x.shape[1]
    try:
        joint = max_margin(x.reshape(-1, x.shape[-1]))
        direction, margin = joint.w, joint.margin
        individual = theory.angle(np.array([max_margin(task).w for task in x]), direction)
        exponent = theory.residual_exponent(x.reshape(-1, x.shape[-1]), joint.separator, joint.multipliers)
    except NotSeparableError:
        direction, margin, individual, exponent = np.zeros(x.shape[-1]), 0.0, np.zeros(0), 0.0
    records = np.union1d([1, 10, 100], log_spaced(1, params.cycles_digits, 20))
    records = records[records <= params.cycles_digits]
    pair = sequential_gd(
        np.tile(x, (2, 1, 1, 1)),
        eta=eta,
        budget=K_DIGITS,
        cycles=params.cycles_digits,
        record=records,
        order=np.array([[0, 1, 2], [0, 0, 0]]),
        device=params.device,
    )
    bounds = theory.forgetting_bounds(pair.highest[:, :1], x[None], eta, K_DIGITS)

    for attempt in range(ATTEMPTS):
        z = tasks.digit_tasks(params.digit_pairs, params.digits_per_task, params.seed, coarse=True, attempt=attempt)
        separable = tuple(tasks.is_separable(task) for task in z)
        if all(separable):
            break
    M, flat = len(z), z.reshape(1, -1, z.shape[-1])
    joint_separable = tasks.is_separable(flat[0])
    w_star, hessian = tasks.joint_minimizer(flat[0])
    least = joint_loss(flat, w_star[None])[0]
    E, coarse_cycles = len(eta_coarse), 2 * params.cycles_digits
    coarse_records = log_spaced(1, coarse_cycles, 25)
    run = sequential_gd(
        np.tile(z, (E + 1, 1, 1, 1)),
        eta=np.append(eta_coarse, eta_coarse[-1]),
        budget=K_COARSE,
        cycles=coarse_cycles,
        record=coarse_records,
        order=np.concatenate([np.tile(np.arange(M), (E, 1)), np.zeros((1, M), dtype=int)]),
        device=params.device,
    )
    if joint_separable:
        predicted, forgets = np.full(E, np.nan), np.full(E, np.nan)
    else:
        g, H = theory.task_derivatives(z[None], w_star[None])
        predicted = theory.stalling_point(g, H, K_COARSE)[1] * (K_COARSE * eta_coarse) ** 2
        forgets = theory.forgetting_floor(g) * K_COARSE * eta_coarse
    return Digits(
        cycles=records,
        angle=theory.angle(pair.w, direction),
        individual=individual,
        margin=margin,
        exponent=exponent,
        loss=pair.loss[:, 0],
        forgetting=pair.forgetting[:, 0],
        violations=int(outside(pair.forgetting[:, :1], *bounds).sum()),
        attempts=attempt + 1,
        separable=separable,
        joint_separable=joint_separable,
        coarse_cycles=coarse_records,
        gap=run.loss - least,
        distance=np.linalg.norm(run.w - w_star, axis=-1) / np.linalg.norm(w_star),
        predicted=predicted,
        coarse_forgetting=run.forgetting[-1, :E],
        coarse_predicted=forgets,
        curvature=np.linalg.eigvalsh(hessian)[[0, -1]],
    )
