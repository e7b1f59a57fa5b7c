"""The claims of the abstract, their criteria, and the controls that must fail them."""

from typing import Any

import numpy as np

from companion.analysis.rates import loglog_slope
from companion.chapters.continual_linear_classification import theory
from companion.chapters.continual_linear_classification.nonseparable import Results
from companion.chapters.continual_linear_classification.separable import VARIANTS, outside
from companion.chapters.continual_linear_classification.setting import PAPER, Parameters
from companion.claims import Claim, Control, Undecided, Verdicts, judge

SETTLED = 0.1  # forgetting constants below this share of their scale are too near the zero crossing for a slope


def _range(values: np.ndarray) -> list[float]:
    """Least and largest."""
    return [float(values.min()), float(values.max())]


# --- C1, C2, C6: the direction ----------------------------------------------------------------------------------------

TO_JOINT = (
    "max(q_angle) < 4 and min(q_length) >= 0.95 and max(q_length) <= 1.05 and decreasing and max(angle) < 8 "
    "and correct and loss < 0.002"
)


def _direction(results: Results, variant: str, *, each: bool = True) -> dict[str, Any]:
    found, v = results.direction, VARIANTS.index(variant)
    late = found.angle[v, found.cycles >= 10]
    steps = np.diff(late if each else late.mean(-1), axis=0)
    return {
        "q_angle": _range(found.q_angle[v]),
        "q_length": _range(found.q_length[v]),
        "decreasing": bool((steps < 0).all()),
        "angle": _range(found.angle[v, -1]),
        "correct": bool(found.correct[v].all()),
        "loss": found.loss[v, -1].max(),
    }


def _own(results: Results, variant: str) -> dict[str, Any]:
    found, v = results.direction, VARIANTS.index(variant)
    return {
        "own": found.q_own[v].max(),
        "joint": found.q_angle[v].min(),
        "individual": float(np.median(found.individual.min(-1))),
    }


def _slope(results: Results, variant: str) -> dict[str, Any]:
    found, v = results.direction, VARIANTS.index(variant)
    return {
        "q_angle": _range(found.q_angle[v]),
        "q_length": _range(found.q_length[v]),
    }


def _plane(results: Results, rows: list[int]) -> dict[str, Any]:
    found = results.plane
    return {
        "q_angle": theory.angle(found.q[rows], found.joint).max(),
        "angle": found.angle[rows, -1].max(),
        "individual": theory.angle(found.own, found.joint).tolist(),
    }


def _digits(results: Results, column: int) -> dict[str, Any]:
    found = results.digits
    if not len(found.individual):
        raise Undecided("the first three pairs of digits are not jointly separable")
    late = found.angle[:, column]
    return {
        "angle": late[-1],
        "start": late[0],
        "individual": found.individual.tolist(),
        "decreasing": bool((np.diff(late) < 0).all()),
    }


# --- C3: forgetting ---------------------------------------------------------------------------------------------------


def _sign(results: Results, split: int) -> dict[str, Any]:
    found = results.forgetting
    J = found.cycles[-1] - 1
    return {
        "least": found.four[:, split].min(),
        "largest": found.four[:, split].max(),
        "limit": J**2 * found.four[-1, split],
        "constant": found.constant[split],
    }


def _bounds(results: Results, *, own: bool) -> dict[str, Any]:
    found = results.forgetting
    four = outside(found.four, found.lower, found.upper) if own else None
    if own:
        violations = int(four.sum()) + found.planted_violations + results.digits.violations
        return {"violations": violations, "checked": four.size + found.planted_checked + len(results.digits.cycles)}
    four = outside(found.four, found.lower_other, found.upper_other)
    return {"violations": int(four.sum()), "checked": four.size}


def _no_negative_product(results: Results, *, mirrored: bool) -> dict[str, Any]:
    single = results.forgetting.mirrored if mirrored else results.forgetting.friendly
    return {"average": single.mean(-1).max(), "single": single.max(), "cycles": single.shape[0] * single.shape[1]}


def _late_sign(results: Results, *, examples: bool) -> dict[str, Any]:
    found = results.two_tasks
    clear = np.abs(found.angles - 90) > 4
    if not clear.any():
        raise Undecided("every entry of angles is within 4 degrees of the zero crossing")
    predictor = found.examples if examples else np.broadcast_to(found.angles[:, None], found.measured.shape)
    agree = np.sign(found.measured) == np.sign(predictor - 90)
    return {"agreement": float(agree[clear].mean()), "settings": int(agree[clear].size)}


# --- C4: rates and constants ------------------------------------------------------------------------------------------


def _rates(results: Results) -> dict[str, Any]:
    found = results.constants
    settled = np.abs(found.forgetting_constant) > SETTLED * found.scale
    if not settled.any():
        raise Undecided("every forgetting constant is near its zero crossing; widen spreads")
    J = found.cycles - 1
    loss, forgetting = loglog_slope(J, found.loss.T), loglog_slope(J, np.abs(found.forgetting[:, settled].T))
    return {"loss": _range(loss), "forgetting": _range(forgetting)}


def _rates_clashing(results: Results) -> dict[str, Any]:
    found = results.clashing
    late = found.cycles >= found.cycles[-1] // 10
    J = found.cycles[late]
    loss, forgetting = (loglog_slope(J, np.moveaxis(y[late], 0, -1)) for y in (found.floor, found.forgetting))
    return {"loss": _range(loss), "forgetting": _range(forgetting)}


def _constants(results: Results, *, naive: bool) -> dict[str, Any]:
    found = results.constants
    J = found.cycles[-1] - 1
    loss = found.naive_loss_constant if naive else found.loss_constant
    forgetting = found.naive_constant if naive else found.forgetting_constant
    return {
        "loss_error": np.abs(J * found.loss[-1] / loss - 1).max(),
        "forgetting_error": (np.abs(J**2 * found.forgetting[-1] - forgetting) / found.scale).max(),
        "negative": int((found.forgetting_constant < 0).sum()),
        "positive": int((found.forgetting_constant > 0).sum()),
    }


def _spread(results: Results, *, single: bool) -> dict[str, Any]:
    found = results.orders
    values = (found.single if single else found.measured)[0]
    return {"spread": ((values.max(0) - values.min(0)) / found.scale[0, 0]).max(), "orders": len(values)}


# --- C5: no joint classifier ------------------------------------------------------------------------------------------


def _horizon(results: Results, *, constant: bool) -> dict[str, Any]:
    found = results.clashing
    scale = found.horizons / np.log(found.horizons)
    gap = found.gap_largest if constant else found.gap
    slope = loglog_slope(scale[-3:], gap[:, -3:])
    distance = found.distance_largest if constant else found.distance
    return {"slope": _range(slope), "distance": distance[:, -1].max()}


def _floor(results: Results, *, joint: bool) -> dict[str, Any]:
    found = results.clashing
    gap = np.maximum(found.floor_joint if joint else found.floor, 1e-15)
    exponent = loglog_slope(found.eta, gap[-1])
    half = int(np.searchsorted(found.cycles, found.cycles[-1] // 2))
    ends = gap[[half, -1]]
    return {
        "exponent": _range(exponent),
        "ratio": _range((gap[-1] / found.floor_predicted)[:, -1]),
        "drift": np.abs(np.log(ends[0] / ends[1])).max(),
    }


def _forgetting_floor(results: Results, *, dealt: bool) -> dict[str, Any]:
    found = results.clashing
    predicted = found.forgetting_dealt if dealt else found.forgetting_predicted
    ratio = (found.forgetting[-1] / predicted)[:, -1]
    return {"least": found.forgetting[-1].min(), "ratio": _range(ratio)}


def _digits_clashing(results: Results, column: int) -> dict[str, Any]:
    found = results.digits
    if found.joint_separable or not all(found.separable):
        raise Undecided("these digits, at half the resolution, are not separable pair by pair and clashing together")
    return {
        "pairs": sum(found.separable),
        "distance": found.distance[-1, column],
        "ratio": found.gap[-1, column] / found.predicted[-1],
    }


CLAIMS = (
    Claim(
        id="C1a",
        says=(
            "Cyclic order, fixed budget per task: the loss vanishes and the iterate turns to the joint max-margin "
            "direction, "
            "growing like ln J times the joint classifier."
        ),
        criterion=TO_JOINT,
        reason=(
            "The log-slope vector q between two cycles tends to the joint classifier as a vector, without a "
            "logarithmic "
            "error: its angle (degrees) and its length in units of the classifier. The iterate's own angle falls only"
            " like "
            "1/ln J: decreasing at every record from cycle 10 on. Extremes over data sets."
        ),
        measure=lambda r: _direction(r, "cyclic"),
        control=Control(
            says="the same number of steps on the first task alone",
            measure=lambda r: _direction(r, "first task alone"),
        ),
    ),
    Claim(
        id="C1b",
        says="GD on one task alone goes to that task's own max margin, far from the joint one.",
        criterion="own < 15 and joint > 15 and individual > 25",
        reason=(
            "Degrees: q to the task's own max-margin direction at most and to the joint one at least, over data sets; "
            "the nearest of the tasks' own directions to the joint one, in the median over data sets."
        ),
        measure=lambda r: _own(r, "first task alone"),
        control=Control(says="the cyclic run on the same tasks", measure=lambda r: _own(r, "cyclic")),
    ),
    Claim(
        id="C1c",
        says="The limit is the joint max-margin direction and not just some direction that solves all tasks.",
        criterion="q_angle < 2",
        reason="Degrees, the largest over data sets; below the distance at which projections typically stop.",
        measure=lambda r: {"q_angle": r.direction.q_angle[0].max()},
        control=Control(
            says="training to convergence on every task, i.e. cyclic projections, which solve all tasks elsewhere",
            measure=lambda r: {"q_angle": r.direction.projections.max()},
        ),
    ),
    Claim(
        id="C1d",
        says="The limit direction does not depend on the budgets: unequal ones lead to the same joint classifier.",
        criterion="max(q_angle) < 4 and min(q_length) >= 0.95 and max(q_length) <= 1.05",
        reason="As in C1a; the proof with budgets K_m absorbs them in the residual.",
        measure=lambda r: _slope(r, "unequal budgets"),
        control=Control(says="a budget of zero for the last task", measure=lambda r: _slope(r, "last task skipped")),
        stance="restated",
    ),
    Claim(
        id="C1e",
        says=(
            "Digits: three pairs learned in turn, the classifier turns to the joint max margin and leaves the "
            "pairs' own behind."
        ),
        criterion="decreasing and angle < min(individual) / 2",
        reason=(
            "Real tasks have many near-support vectors, so the approach is slow: the angle has to fall at every "
            "record, and below half of that of the nearest pair's own direction."
        ),
        measure=lambda r: _digits(r, 0),
        control=Control(says="GD on the first pair alone", measure=lambda r: _digits(r, 1)),
    ),
    Claim(
        id="C2",
        says="Uniformly random task order: the same limit, the joint max-margin direction.",
        criterion=TO_JOINT,
        reason="As C1a; without a phase of the cycle q fluctuates, and the angle falls in the mean over data sets.",
        measure=lambda r: _direction(r, "random", each=False),
        control=Control(
            says="random order in which the last task is never drawn",
            measure=lambda r: _direction(r, "random, never the last", each=False),
        ),
    ),
    Claim(
        id="C3a",
        says="Contradicting tasks forget: cycle-averaged forgetting is positive in every cycle.",
        criterion="least > 0 and abs(limit / constant - 1) < 0.03",
        reason=(
            "Four points in two tasks; the sign at all recorded cycles, and J² times forgetting against its limit"
            " (3/4)."
        ),
        measure=lambda r: _sign(r, 0),
        control=Control(says="the same four points in the aligned split", measure=lambda r: _sign(r, 1)),
    ),
    Claim(
        id="C3b",
        says="Aligned tasks transfer backwards: cycle-averaged forgetting is negative in every cycle.",
        criterion="largest < 0 and abs(limit / constant - 1) < 0.03",
        reason="The same four points, dealt to the tasks the other way; the limit of J² times forgetting is −0.205.",
        measure=lambda r: _sign(r, 1),
        control=Control(says="the same four points in the contradicting split", measure=lambda r: _sign(r, 0)),
    ),
    Claim(
        id="C3c",
        says="Forgetting stays within the non-asymptotic bounds by alignment, in every cycle looked at.",
        criterion="violations == 0",
        reason="A theorem: both splits of the four points, planted tasks, digits.",
        measure=lambda r: _bounds(r, own=True),
        control=Control(
            says="the four points with the alignment of their other split in the bounds",
            measure=lambda r: _bounds(r, own=False),
        ),
    ),
    Claim(
        id="C3d",
        says="Without any negative product between examples of different tasks no task is ever forgotten.",
        criterion="average < 0 and single <= 0",
        reason="The upper bound is then zero, task by task; largest values over data sets and cycles.",
        measure=lambda r: _no_negative_product(r, mirrored=False),
        control=Control(
            says="every other task mirrored across the joint classifier, which makes products negative",
            measure=lambda r: _no_negative_product(r, mirrored=True),
        ),
    ),
    Claim(
        id="C3e",
        says=(
            "Late in training, alignment means the angle between the tasks' shares of the joint classifier: "
            "forgetting is "
            "positive above 90 degrees and negative below."
        ),
        criterion="agreement == 1",
        reason=(
            "The exact constants for two tasks; share of data sets, at angles at least 4 degrees away from 90, with "
            "the predicted sign."
        ),
        measure=lambda r: _late_sign(r, examples=False),
        control=Control(
            says="the angle between the sums of the tasks' examples, most of which are no support vectors",
            measure=lambda r: _late_sign(r, examples=True),
        ),
        stance="restated",
    ),
    Claim(
        id="C4a",
        says="Forgetting vanishes as cycles repeat, like 1/J², faster than the loss, 1/J.",
        criterion="-1.05 <= min(loss) and max(loss) <= -0.95 and -2.1 <= min(forgetting) and max(forgetting) <= -1.9",
        reason=(
            "The exact constants; the logarithms of the paper's bounds are absent. Slopes on log axes over the last "
            "factor of ten in cycles; forgetting where its constant is at least a tenth of its scale."
        ),
        measure=_rates,
        control=Control(
            says=(
                "tasks that are not jointly separable, with a constant step: neither excess loss nor forgetting "
                "vanishes"
            ),
            measure=_rates_clashing,
        ),
    ),
    Claim(
        id="C4b",
        says=(
            "J times the loss and J² times forgetting tend to constants given by the duals of the joint max-"
            "margin problem."
        ),
        criterion="loss_error < 0.01 and forgetting_error < 0.02",
        reason="The exact constants; largest relative error over data sets, of forgetting in units of Σ‖v_m‖²/(2ηKM).",
        measure=lambda r: _constants(r, naive=False),
        control=Control(
            says="the same formulas with every task's own max-margin problem",
            measure=lambda r: _constants(r, naive=True),
        ),
        stance="restated",
    ),
    Claim(
        id="C4c",
        says="The limit of cycle-averaged forgetting is the same for all orders of the tasks.",
        criterion="spread < 0.02",
        reason=(
            "The sum over pairs in the exact constant is symmetric; range over the six orders in units of the scale, "
            "largest over data sets."
        ),
        measure=lambda r: _spread(r, single=False),
        control=Control(
            says="the forgetting of one single task, which does depend on the order",
            measure=lambda r: _spread(r, single=True),
        ),
        stance="restated",
    ),
    Claim(
        id="C5a",
        says=(
            "Tasks without a joint classifier, cyclic, horizon-dependent step: the iterate converges to the unique "
            "minimizer of "
            "the joint loss, the excess loss like (ln J / J)²."
        ),
        criterion="-2.35 <= min(slope) and max(slope) <= -1.65 and distance < 0.1",
        reason=(
            "Slope of the excess loss against J / ln J over the last three horizons; relative distance to the "
            "minimizer."
        ),
        measure=lambda r: _horizon(r, constant=False),
        control=Control(says="the largest step, kept constant", measure=lambda r: _horizon(r, constant=True)),
    ),
    Claim(
        id="C5b",
        says=(
            "With a constant step the iterate stalls: the excess loss has a floor, proportional to (ηK)² with a "
            "known constant."
        ),
        criterion=(
            "1.6 <= min(exponent) and max(exponent) <= 2.4 and 0.85 <= min(ratio) and max(ratio) <= 1.15 and "
            "drift < 0.1"
        ),
        reason=(
            "First order in ηK: exponent of the floor in η, floor over prediction at the smallest step, and the "
            "change of the "
            "log of the floor over the last half of the cycles."
        ),
        measure=lambda r: _floor(r, joint=False),
        control=Control(says="the same steps on all tasks at once: no floor", measure=lambda r: _floor(r, joint=True)),
        stance="restated",
    ),
    Claim(
        id="C5c",
        says="Tasks without a joint classifier forget on average: with a small constant step, by "
        "ηK Σ‖∇L_m(w*)‖²/(2M) per cycle.",
        criterion="least > 0 and 0.9 <= min(ratio) and max(ratio) <= 1.1",
        reason="First order in ηK, at the smallest step; extremes over data sets.",
        measure=lambda r: _forgetting_floor(r, dealt=False),
        control=Control(
            says="the formula after dealing the same examples to the tasks at random",
            measure=lambda r: _forgetting_floor(r, dealt=True),
        ),
        stance="restated",
    ),
    Claim(
        id="C5d",
        says=(
            "Digits: pairs that are separable one by one and not together, learned in turn, end near the minimizer of"
            " the joint "
            "loss, at the predicted floor."
        ),
        criterion="distance < 0.2 and 0.75 <= ratio <= 1.25",
        reason=(
            "Pixels averaged in 2 × 2 blocks; relative distance to the minimizer, excess loss over the floor's "
            "first order."
        ),
        measure=lambda r: _digits_clashing(r, -2),
        control=Control(says="the same steps on the first pair alone", measure=lambda r: _digits_clashing(r, -1)),
    ),
    Claim(
        id="C6",
        says=(
            "Six points of the plane in three tasks: cyclic and random order turn to the joint direction, "
            "individual ones lie elsewhere."
        ),
        criterion="q_angle < 4 and angle < 8 and max(individual) > 25",
        reason="The toy that can be drawn; degrees, the larger of both orders.",
        measure=lambda r: _plane(r, [0, 1]),
        control=Control(says="the first task alone", measure=lambda r: _plane(r, [2])),
    ),
)


def _quantities(params: Parameters, results: Results) -> dict[str, Any]:
    found, steps, digits, clash = results.direction, results.step_sizes, results.digits, results.clashing
    pair, order = results.two_tasks, results.orders
    marks = [c for c in (10, 100, params.n_cycles) if c <= params.n_cycles]
    near = [int(np.abs(found.cycles - c).argmin()) for c in marks]
    scale = np.log(clash.horizons[-3:])
    near_slope = loglog_slope(clash.horizons[-3:] / scale, clash.near[:, -3:]) if len(clash.near) else np.zeros(0)
    return {
        "datasets": params.datasets,
        "n_cycles": params.n_cycles,
        "mean_angle_cycles": found.cycles[near].tolist(),
        "mean_angle": found.angle[0, near].mean(-1).tolist(),
        "mean_angle_random": found.angle[VARIANTS.index("random"), near].mean(-1).tolist(),
        "individual": _range(found.individual),
        "mean_direction": _range(found.mean),
        "projections_off": int((found.projections > 2).sum()),
        "projections_max": found.projections.max(),
        "multiplier_error": np.abs(found.estimated - found.duals).max(),
        "theory_eta": steps.eta[:2].tolist(),
        "theory_loss": [steps.loss[0, 0], steps.loss[-1, 0]],
        "theory_cycles_needed": params.n_cycles * 0.1 / steps.eta[0],
        "two_tasks_runs": int(pair.first.size),
        "first_negative_late_positive": int(((pair.first < 0) & (pair.measured > 0)).sum()),
        "orders_error": (np.abs(order.measured - order.predicted) / order.scale).max((1, 2)).tolist(),
        "orders_unequal": (np.ptp(order.measured[1], axis=0) / order.scale[1, 0]).max(),
        "near_slope": near_slope[np.argsort(clash.near_curvature)].tolist(),
        "near_curvature": np.sort(clash.near_curvature).tolist(),
        "clashing_drawn": clash.drawn,
        "horizon_ratio": _range((clash.gap / clash.predicted)[:, -1]),
        "digits_margin": digits.margin,
        "digits_exponent": digits.exponent,
        "digits_forgetting": [digits.forgetting[0], digits.forgetting[-1]],
        "digits_curvature": digits.curvature.tolist(),
        "digits_gap": digits.gap[-1, :-1].tolist(),
        "digits_floor": digits.predicted.tolist(),
        "digits_forgets": digits.coarse_forgetting.tolist(),
        "digits_forgets_predicted": digits.coarse_predicted.tolist(),
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(params, results))
