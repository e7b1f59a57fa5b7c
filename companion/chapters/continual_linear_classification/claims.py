"""The claims, each below its measure, with their criteria and the controls that must fail them."""

from typing import Any

import numpy as np

from companion.analysis.rates import loglog_slope
from companion.chapters.continual_linear_classification import theory
from companion.chapters.continual_linear_classification.experiments import Results
from companion.chapters.continual_linear_classification.experiments.clashing import K_CLASH
from companion.chapters.continual_linear_classification.experiments.separable import SPLITS, VARIANTS
from companion.chapters.continual_linear_classification.parameters import PAPER, Parameters
from companion.chapters.continual_linear_classification.theory import outside
from companion.claims import Claim, Control, Undecided, Verdicts, judge

SETTLED = 0.1  # forgetting constants below this share of their scale are too near the zero crossing for a slope
AT_REST = 9  # times of relaxation 1/(μηK) after which a run with a constant step is taken to be at rest


def _range(values: np.ndarray) -> list[float]:
    """Least and largest."""
    return [float(values.min()), float(values.max())]


# --- C1, C2, C6: the direction ----------------------------------------------------------------------------------------


TO_JOINT = (
    "max(q_angle) < 4 and min(q_length) >= 0.95 and max(q_length) <= 1.05 and decreasing and max(angle) < 8 "
    "and correct and loss < 0.002"
)


def to_joint(results: Results, variant: str) -> dict[str, Any]:
    """Where a run is heading and has come; with random order the angle is judged in the mean over data sets."""
    found, v = results.direction, VARIANTS.index(variant)
    late = found.angle[v, found.cycles >= 10]
    steps = np.diff(late.mean(-1) if variant.startswith("random") else late, axis=0)
    measured = {
        "q_angle": _range(found.q_angle[v]),
        "q_length": _range(found.q_length[v]),
        "decreasing": bool((steps < 0).all()),
        "angle": _range(found.angle[v, -1]),
        "correct": bool(found.correct[v].all()),
        "loss": found.loss[v, -1].max(),
    }
    if variant.startswith("random"):
        measured |= {"repeated": found.repeated[0], "expected": found.repeated[1]}
    return measured


C1a = Claim(
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
    measure=to_joint,
    on="cyclic",
    control=Control("the same number of steps on the first task alone", on="first task alone"),
    figure="slopes",
    theorem="thm-continual-cyclic",
)

C2 = Claim(
    id="C2",
    says="Uniformly random task order: the same limit, the joint max-margin direction.",
    criterion=TO_JOINT + " and abs(repeated - expected) < 0.05",
    reason="As C1a; without a phase of the cycle q fluctuates, and the angle falls in the mean over data sets. "
    "Draws are independent: some task comes twice in a share 1 − M!/Mᴹ of the cycles.",
    measure=to_joint,
    on="random",
    control=Control("random order in which the last task is never drawn", on="random, never the last"),
    figure="slopes",
    theorem="thm-continual-random",
)


def to_own(results: Results, variant: str) -> dict[str, Any]:
    """Angles to the first task's own direction and to the joint one, and how far these lie apart."""
    found, v = results.direction, VARIANTS.index(variant)
    return {
        "own": found.q_own[v].max(),
        "joint": found.q_angle[v].min(),
        "individual": float(np.median(found.individual.min(-1))),
    }


C1b = Claim(
    id="C1b",
    says="GD on one task alone goes to that task's own max margin, far from the joint one.",
    criterion="own < 15 and joint > 15 and individual > 25",
    reason=(
        "Degrees: q to the task's own max-margin direction at most and to the joint one at least, over data sets; "
        "the nearest of the tasks' own directions to the joint one, in the median over data sets."
    ),
    measure=to_own,
    on="first task alone",
    control=Control("the cyclic run on the same tasks", on="cyclic"),
    stance="added",
    figure="slopes",
)


def limit(results: Results, scheme: str) -> dict[str, Any]:
    """The largest angle of a limit to the joint classifier over data sets."""
    found = results.direction
    if found.individual.shape[1] <= 2 and found.duals.shape[2] == 1:
        raise Undecided("n_per_task = 1, M = 2: two examples, for which projections end at the joint max margin, too")
    return {"q_angle": {"cyclic": found.q_angle[0], "projections": found.projections}[scheme].max()}


C1c = Claim(
    id="C1c",
    says="The limit is the joint max-margin direction and not just some direction that solves all tasks.",
    criterion="q_angle < 2",
    reason="Degrees, the largest over data sets; below the distance at which projections typically stop.",
    measure=limit,
    on="cyclic",
    control=Control(
        "training to convergence on every task, i.e. cyclic projections, which solve all tasks elsewhere",
        on="projections",
    ),
    figure="slopes",
    theorem="thm-continual-residual",
)


def slope(results: Results, variant: str) -> dict[str, Any]:
    """Angle and length of the log-slope vector, and the ratio of the largest to the least budget."""
    found, v = results.direction, VARIANTS.index(variant)
    return {
        "q_angle": _range(found.q_angle[v]),
        "q_length": _range(found.q_length[v]),
        "unequal": found.budgets[1] / found.budgets[0],
    }


C1d = Claim(
    id="C1d",
    says="The limit direction does not depend on the budgets: unequal ones lead to the same joint classifier.",
    criterion="unequal >= 2 and max(q_angle) < 4 and min(q_length) >= 0.95 and max(q_length) <= 1.05",
    reason="As in C1a; the proof with budgets K_m absorbs them in the residual. The largest budget is at least twice "
    "the least.",
    measure=slope,
    on="unequal budgets",
    control=Control("a budget of zero for the last task", on="last task skipped"),
    stance="added",
    figure="slopes",
    theorem="thm-continual-residual",
)


def on_digits(results: Results, trained: str) -> dict[str, Any]:
    """The angle to the joint direction over the cycles, and those of the pairs' own directions."""
    found = results.digits
    if not len(found.individual):
        raise Undecided("the first three pairs of digits are not jointly separable")
    late = found.angle[:, ("three pairs in turn", "first pair alone").index(trained)]
    return {
        "angle": late[-1],
        "start": late[0],
        "individual": found.individual.tolist(),
        "decreasing": bool((np.diff(late) < 0).all()),
    }


C1e = Claim(
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
    measure=on_digits,
    on="three pairs in turn",
    control=Control("GD on the first pair alone", on="first pair alone"),
    stance="added",
    figure="digits",
)


def in_the_plane(results: Results, trained: str) -> dict[str, Any]:
    """Angles to the joint direction in the plane, the larger of both orders, and those of the tasks' own."""
    found, rows = results.plane, {"all tasks": [0, 1], "first task alone": [2]}[trained]
    return {
        "q_angle": theory.angle(found.q[rows], found.joint).max(),
        "angle": found.angle[rows, -1].max(),
        "individual": theory.angle(found.own, found.joint).tolist(),
    }


C6 = Claim(
    id="C6",
    says=(
        "Six points of the plane in three tasks: cyclic and random order turn to the joint direction, "
        "individual ones lie elsewhere."
    ),
    criterion="q_angle < 4 and angle < 8 and max(individual) > 25",
    reason="The toy that can be drawn; degrees, the larger of both orders.",
    measure=in_the_plane,
    on="all tasks",
    control=Control("the first task alone", on="first task alone"),
    figure="glance",
)


# --- C3: forgetting ---------------------------------------------------------------------------------------------------


def sign(results: Results, split: str) -> dict[str, Any]:
    """Least and largest forgetting of the four points in a split, and its limit."""
    found, column = results.forgetting, SPLITS.index(split)
    J = found.cycles[-1] - 1
    return {
        "least": found.four[:, column].min(),
        "largest": found.four[:, column].max(),
        "limit": J**2 * found.four[-1, column],
        "constant": found.constant[column],
    }


C3a = Claim(
    id="C3a",
    says="Contradicting tasks forget: cycle-averaged forgetting is positive in every cycle.",
    criterion="least > 0 and abs(limit / constant - 1) < 0.03",
    reason=(
        "Four points in two tasks; the sign at all recorded cycles, and J² times forgetting against its limit (3/4)."
    ),
    measure=sign,
    on="contradicting",
    control=Control("the same four points in the aligned split", on="aligned"),
    figure="forgetting",
    theorem="thm-continual-constants",
)

C3b = Claim(
    id="C3b",
    says="Aligned tasks transfer backwards: cycle-averaged forgetting is negative in every cycle.",
    criterion="largest < 0 and abs(limit / constant - 1) < 0.03",
    reason="The same four points, dealt to the tasks the other way; the limit of J² times forgetting is −0.205.",
    measure=sign,
    on="aligned",
    control=Control("the same four points in the contradicting split", on="contradicting"),
    figure="forgetting",
    theorem="thm-continual-constants",
)


def bounds(results: Results, which: str) -> dict[str, Any]:
    """Records outside the bounds, and how fast these close."""
    found = results.forgetting
    own = which == "own alignment"
    lower, upper = (found.lower, found.upper) if own else (found.lower_other, found.upper_other)
    violations, checked = int(outside(found.four, lower, upper).sum()), found.four.size
    if own:
        violations += found.planted_violations + results.digits.violations
        checked += found.planted_checked + len(results.digits.cycles)
    late = found.cycles >= found.cycles[-1] / 10
    slopes = loglog_slope(found.cycles[late] - 1, (upper - lower)[late].T)
    return {"violations": violations, "checked": checked, "slope": _range(slopes)}


C3c = Claim(
    id="C3c",
    says="Forgetting stays within the non-asymptotic bounds by alignment, in every cycle looked at.",
    criterion="violations == 0 and -2.2 <= min(slope) and max(slope) <= -1.8",
    reason="A theorem: both splits of the four points, planted tasks, digits. The bounds themselves vanish like 1/J², "
    "as the square of the loss does: slopes of their widths late in training.",
    measure=bounds,
    on="own alignment",
    control=Control(
        "the four points with the alignment of their other split in the bounds", on="alignment of the other split"
    ),
    figure="forgetting",
    theorem="thm-continual-bounds",
)


def single_tasks(results: Results, tasks: str) -> dict[str, Any]:
    """The largest forgetting of the average and of any single task."""
    single = {"no negative product": results.forgetting.friendly, "mirrored": results.forgetting.mirrored}[tasks]
    return {"average": single.mean(-1).max(), "single": single.max(), "cycles": single.shape[0] * single.shape[1]}


C3d = Claim(
    id="C3d",
    says="Without any negative product between examples of different tasks no task is ever forgotten.",
    criterion="average < 0 and single <= 0",
    reason="The upper bound is then zero, task by task; largest values over data sets and cycles.",
    measure=single_tasks,
    on="no negative product",
    control=Control(
        "every other task mirrored across the joint classifier, which makes products negative", on="mirrored"
    ),
    unseen="a sign in every cycle",
    theorem="thm-continual-bounds",
)


def late_sign(results: Results, angle: str) -> dict[str, Any]:
    """Share of data sets of which an angle predicts the sign of late forgetting."""
    found = results.two_tasks
    clear = np.abs(found.angles - 90) > 4
    if not clear.any():
        raise Undecided("every entry of angles is within 4 degrees of the zero crossing")
    misled = np.sign(found.examples - 90) != np.sign(found.angles[:, None] - 90)
    if not misled[clear].any():
        raise Undecided("bias, n_per_task: the sums of the examples show no other sign than the shares")
    shares = np.broadcast_to(found.angles[:, None], found.measured.shape)
    predictor = {"shares": shares, "sums of examples": found.examples}[angle]
    agree = np.sign(found.measured) == np.sign(predictor - 90)
    return {"agreement": float(agree[clear].mean()), "settings": int(agree[clear].size)}


C3e = Claim(
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
    measure=late_sign,
    on="shares",
    control=Control(
        "the angle between the sums of the tasks' examples, most of which are no support vectors", on="sums of examples"
    ),
    stance="added",
    figure="angle",
    theorem="thm-continual-geometry",
)


# --- C4: rates and constants ------------------------------------------------------------------------------------------


def rates(results: Results, tasks: str) -> dict[str, Any]:
    """Slopes of loss and forgetting, or of excess loss and forgetting, in the number of cycles."""
    if tasks == "clashing":
        clash = results.clashing
        late = clash.cycles >= clash.cycles[-1] // 10
        loss, forgetting = (
            loglog_slope(clash.cycles[late], np.abs(y[late, :, 0]).T) for y in (clash.floor, clash.forgetting)
        )
    else:
        found = results.constants
        settled = np.abs(found.forgetting_constant) > SETTLED * found.scale
        if not settled.any():
            raise Undecided("every forgetting constant is near its zero crossing; widen spreads")
        J = found.cycles - 1
        loss, forgetting = loglog_slope(J, found.loss.T), loglog_slope(J, np.abs(found.forgetting[:, settled].T))
    return {"loss": _range(loss), "forgetting": _range(forgetting)}


C4a = Claim(
    id="C4a",
    says="Forgetting vanishes as cycles repeat, like 1/J², faster than the loss, 1/J.",
    criterion="-1.05 <= min(loss) and max(loss) <= -0.95 and -2.1 <= min(forgetting) and max(forgetting) <= -1.9",
    reason=(
        "The exact constants; the logarithms of the paper's bounds are absent. Slopes on log axes over the last "
        "factor of ten in cycles; forgetting where its constant is at least a tenth of its scale."
    ),
    measure=rates,
    on="separable",
    control=Control(
        "tasks that are not jointly separable, with a constant step: neither excess loss nor forgetting vanishes",
        on="clashing",
    ),
    figure="constants",
    theorem="thm-continual-constants",
)


def constants(results: Results, problem: str) -> dict[str, Any]:
    """Largest relative errors of the two limits, with multipliers of the joint or of the tasks' own problems."""
    found = results.constants
    J = found.cycles[-1] - 1
    loss, forgetting = {
        "joint max margin": (found.loss_constant, found.forgetting_constant),
        "own max margins": (found.naive_loss_constant, found.naive_constant),
    }[problem]
    return {
        "loss_error": np.abs(J * found.loss[-1] / loss - 1).max(),
        "forgetting_error": (np.abs(J**2 * found.forgetting[-1] - forgetting) / found.scale).max(),
        "negative": int((found.forgetting_constant < 0).sum()),
        "positive": int((found.forgetting_constant > 0).sum()),
    }


C4b = Claim(
    id="C4b",
    says=(
        "J times the loss and J² times forgetting tend to constants given by the duals of the joint max-margin problem."
    ),
    criterion="loss_error < 0.01 and forgetting_error < 0.02",
    reason="The exact constants; largest relative error over data sets, of forgetting in units of Σ‖v_m‖²/(2ηKM).",
    measure=constants,
    on="joint max margin",
    control=Control("the same formulas with every task's own max-margin problem", on="own max margins"),
    stance="added",
    figure="constants",
    theorem="thm-continual-constants",
)


def spread(results: Results, budgets: str) -> dict[str, Any]:
    """Range of the limit over all orders in units of its scale, largest over data sets."""
    found, row = results.orders, ("equal budgets", "unequal budgets").index(budgets)
    values = found.measured[row]
    return {"spread": (np.ptp(values, axis=0) / found.scale[row, 0]).max(), "orders": len(values)}


C4c = Claim(
    id="C4c",
    says="With equal budgets the limit of cycle-averaged forgetting is the same for all orders of the tasks.",
    criterion="spread < 0.02",
    reason=(
        "The sum over pairs in the exact constant is symmetric; range over the six orders in units of the scale, "
        "largest over data sets."
    ),
    measure=spread,
    on="equal budgets",
    control=Control("unequal budgets, with which the average does depend on the order", on="unequal budgets"),
    stance="added",
    figure="orders",
    theorem="thm-continual-geometry",
)


# --- C5: no joint classifier ------------------------------------------------------------------------------------------


def horizon(results: Results, step: str) -> dict[str, Any]:
    """Slopes of the excess loss against J / ln J, and the largest distance at the last horizon."""
    found = results.clashing
    scale = found.horizons / np.log(found.horizons)
    gap, distance = {
        "knows its horizon": (found.gap, found.distance),
        "largest, constant": (found.gap_largest, found.distance_largest),
    }[step]
    return {"slope": _range(loglog_slope(scale[-3:], gap[:, -3:])), "distance": distance[:, -1].max()}


C5a = Claim(
    id="C5a",
    says=(
        "Tasks without a joint classifier, cyclic, horizon-dependent step: the iterate converges to the unique "
        "minimizer of "
        "the joint loss, the excess loss like (ln J / J)²."
    ),
    criterion="-2.35 <= min(slope) and max(slope) <= -1.65 and distance < 0.1",
    reason=(
        "Slope of the excess loss against J / ln J over the last three horizons; relative distance to the minimizer."
    ),
    measure=horizon,
    on="knows its horizon",
    control=Control("the largest step, kept constant", on="largest, constant"),
    figure="clashing",
    theorem="thm-continual-clashing",
)


def _ensure_rest(results: Results) -> None:
    """The smallest constant step must have had time to come to rest."""
    found = results.clashing
    times = found.curvature.min() * K_CLASH * found.eta[-1] * found.cycles[-1]
    if times < AT_REST:
        raise Undecided(
            f"eta_const: with the step {found.eta[-1]:g} the runs end after {times:.2g} times of relaxation, before "
            f"they come to rest; {AT_REST} are needed"
        )


def floor(results: Results, dealt: str) -> dict[str, Any]:
    """Exponent of the floor in the step, its ratio to a prediction for small steps, and how much it still moves.

    The prediction is of first order: the ratio is ``1 + O(eta)``. Its limit is read off the line through the ratios at
    the two smallest steps.
    """
    found = results.clashing
    gap = np.maximum(found.floor, 1e-15)
    half = int(np.searchsorted(found.cycles, found.cycles[-1] // 2))
    _ensure_rest(results)
    predicted = {"tasks": found.floor_predicted, "dealt at random": found.floor_dealt}[dealt]
    (larger, smaller), ratio = found.eta[-2:], (gap[-1] / predicted)[:, -2:]
    return {
        "exponent": _range(loglog_slope(found.eta, gap[-1])),
        "ratio": _range((larger * ratio[:, 1] - smaller * ratio[:, 0]) / (larger - smaller)),
        "drift": np.abs(np.log(gap[half] / gap[-1])).max(),
    }


C5b = Claim(
    id="C5b",
    says=(
        "With a constant step the iterate stalls: the excess loss has a floor, proportional to (ηK)² with a "
        "known constant."
    ),
    criterion=(
        "1.6 <= min(exponent) and max(exponent) <= 2.4 and 0.95 <= min(ratio) and max(ratio) <= 1.05 and drift < 0.1"
    ),
    reason=(
        "First order in ηK: exponent of the floor in η, floor over prediction extrapolated to small steps (off by 2 % "
        "at most in development, single steps by up to 18 %), and the change of the log of the floor over "
        "the last half of the cycles."
    ),
    measure=floor,
    on="tasks",
    control=Control("the floor predicted for the same examples, dealt to the tasks at random", on="dealt at random"),
    stance="added",
    figure="clashing",
    theorem="thm-continual-floor",
)


def forgetting_floor(results: Results, dealt: str) -> dict[str, Any]:
    """Forgetting at rest over a prediction, at the smallest step."""
    _ensure_rest(results)
    found = results.clashing
    predicted = {"tasks": found.forgetting_predicted, "dealt at random": found.forgetting_dealt}[dealt]
    ratio = (found.forgetting[-1] / predicted)[:, -1]
    return {"least": found.forgetting[-1].min(), "ratio": _range(ratio)}


C5c = Claim(
    id="C5c",
    says="Tasks without a joint classifier forget on average: with a small constant step, by "
    "ηK Σ‖∇L_m(w*)‖²/(2M) per cycle.",
    criterion="least > 0 and 0.9 <= min(ratio) and max(ratio) <= 1.1",
    reason="First order in ηK, at the smallest step; extremes over data sets.",
    measure=forgetting_floor,
    on="tasks",
    control=Control("the formula after dealing the same examples to the tasks at random", on="dealt at random"),
    stance="added",
    figure="clashing",
    theorem="thm-continual-floor",
)


def on_clashing_digits(results: Results, trained: str) -> dict[str, Any]:
    """Distance to the minimizer of the joint loss, and the floor over its prediction, at the smaller step."""
    found = results.digits
    if found.joint_separable or not all(found.separable):
        raise Undecided("these digits, at half the resolution, are not separable pair by pair and clashing together")
    column = {"all pairs in turn": -2, "first pair alone": -1}[trained]
    return {
        "pairs": sum(found.separable),
        "distance": found.distance[-1, column],
        "ratio": found.gap[-1, column] / found.predicted[-1],
    }


C5d = Claim(
    id="C5d",
    says=(
        "Digits: pairs that are separable one by one and not together, learned in turn, end near the minimizer of"
        " the joint "
        "loss, at the predicted floor."
    ),
    criterion="distance < 0.2 and 0.75 <= ratio <= 1.25",
    reason=(
        "Pixels averaged in 2 × 2 blocks; relative distance to the minimizer, excess loss over the floor's first order."
    ),
    measure=on_clashing_digits,
    on="all pairs in turn",
    control=Control("the same steps on the first pair alone", on="first pair alone"),
    stance="added",
    figure="digits",
    theorem="thm-continual-floor",
)


CLAIMS = (C1a, C1b, C1c, C1d, C1e, C2, C3a, C3b, C3c, C3d, C3e, C4a, C4b, C4c, C5a, C5b, C5c, C5d, C6)


def _quantities(params: Parameters, results: Results) -> dict[str, Any]:
    found, steps, digits, clash = results.direction, results.step_sizes, results.digits, results.clashing
    pair, order = results.two_tasks, results.orders
    marks = [c for c in (10, 100, params.n_cycles) if c <= params.n_cycles]
    near = [int(np.abs(found.cycles - c).argmin()) for c in marks]
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
        "theory_cycles_needed": params.n_cycles * 0.1 / steps.eta[0],
        "two_tasks_runs": int(pair.first.size),
        "first_negative_late_positive": int(((pair.first < 0) & (pair.measured > 0)).sum()),
        "orders_error": (np.abs(order.measured - order.predicted) / order.scale).max((1, 2)).tolist(),
        "orders_unequal": (np.ptp(order.measured[1], axis=0) / order.scale[1, 0]).max(),
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
