"""The chapter's figures, each drawn from one experiment's result."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from companion import plotting
from companion.chapters.continual_linear_classification.experiments.clashing import ETA_COARSE, Clashing, Digits
from companion.chapters.continual_linear_classification.experiments.separable import (
    VARIANTS,
    Constants,
    Direction,
    Forgetting,
    Orders,
    Plane,
    StepSizes,
    TwoTasks,
)
from companion.plotting import PALETTE, THEORY, band, legend_below

COLOURS = {
    "GD": PALETTE["grey"],
    "sequential GD": PALETTE["blue"],
    "sequential GD, random order": PALETTE["orange"],
    "projections": PALETTE["purple"],
}
CYCLIC, RANDOM = COLOURS["sequential GD"], COLOURS["sequential GD, random order"]
PROJECTIONS, ALONE = COLOURS["projections"], COLOURS["GD"]
TASK = [PALETTE["red"], PALETTE["green"], PALETTE["sky"]]


@plotting.figure(
    alt="Above: in the plane, iterates zig-zag between the directions of three tasks and close in on the "
    "dashed joint max-margin direction. Below: against cycles, the angle to the joint direction falls for "
    "cyclic and random order and stays high for training on the first task alone."
)
def glance(plane: Plane, direction: Direction) -> Figure:
    """The toy's zig-zag, and the angle to the joint direction over the cycles."""
    fig, (left, right) = plotting.subplots(2, 1, size=(7.6, 7.6), height_ratios=(1.25, 1))
    reach = 2.6
    for task, color in enumerate(TASK):
        left.plot(*plane.x[task].T, "o", color=color, ms=6, zorder=4)
        end = plane.own[task] * reach
        left.annotate("", xy=end, xytext=(0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.2, "ls": ":"})
        first = plane.path[: 1 + len(plane.x) * plane.K * 12]
        for stage in range(task, 12 * len(plane.x), len(plane.x)):
            piece = first[stage * plane.K : (stage + 1) * plane.K + 1]
            left.plot(*piece.T, color=color, lw=2.2, solid_capstyle="round", zorder=3)
    last = plane.path[1 + len(plane.x) * plane.K * 12 :]
    left.plot(*last.T, color=ALONE, lw=1.0, zorder=2)
    left.plot([0, 5.0 * plane.joint[0]], [0, 5.0 * plane.joint[1]], **THEORY, zorder=1)
    left.text(3.15, 0.22, "joint max margin", fontsize=9.6)
    for task, place in enumerate([(1.0, 2.28), (1.75, -1.95), (1.2, -0.3)]):
        left.text(*place, f"task {task + 1} alone", color=TASK[task], fontsize=9.6)
    left.set(
        xlabel="w₁",
        ylabel="w₂",
        xlim=(-0.3, 5.0),
        ylim=(-2.2, 2.6),
        aspect="equal",
        title="Three tasks in turn, each with its own goal",
    )

    names = ("cyclic", "random", "first task alone")
    labels = ("cyclic order", "random order", "first task alone")
    for name, label, color in zip(names, labels, (CYCLIC, RANDOM, ALONE), strict=True):
        band(right, direction.cycles, direction.angle[VARIANTS.index(name)], color, label)
    own = direction.individual
    right.axhspan(own.min(), own.max(), color=PALETTE["grey"], alpha=0.10, lw=0)
    right.text(1.1, own.max() + 1, "max margins of single tasks", fontsize=9.6, color="#555555")
    right.set(
        xscale="log",
        ylim=(0, max(own.max(), direction.angle[3].max()) + 8),
        xlabel="cycle",
        ylabel="angle to the joint max margin (degrees)",
        title="… and in the end the joint one",
    )
    right.legend(loc="center right", bbox_to_anchor=(1.0, 0.30))
    return fig


@plotting.figure(
    alt="Angles to the joint max-margin direction on a log axis, one dot per data set. Smallest for cyclic "
    "order, then unequal budgets, random order; projections are often several degrees off; leaving out a "
    "task or training on one is far off."
)
def slopes(result: Direction) -> Figure:
    """Angle of the log-slope vector, or of a limit, to the joint classifier, one dot per data set."""
    fig, ax = plotting.subplots(size=(7.6, 3.6))
    rows = [
        ("cyclic order", result.q_angle[0], CYCLIC),
        ("cyclic, unequal budgets", result.q_angle[1], CYCLIC),
        ("random order", result.q_angle[4], RANDOM),
        ("projections (train to convergence)", result.projections, PROJECTIONS),
        ("last task never trained", result.q_angle[2], ALONE),
        ("first task alone", result.q_angle[3], ALONE),
        ("tasks' own max margins", result.individual.ravel(), PALETTE["black"]),
    ]
    for row, (_, values, color) in enumerate(rows):
        jitter = 0.5 * ((np.arange(len(values)) * 0.618034) % 1 - 0.5)
        ax.plot(np.maximum(values, 5e-3), row + jitter, "o", color=color, ms=3.5, alpha=0.6)
    ax.set(
        xscale="log",
        xlim=(3.5e-3, 120),
        yticks=range(len(rows)),
        yticklabels=[name for name, _, _ in rows],
        xlabel="angle to the joint max margin (degrees; below 0.005 drawn there)",
        title="Where it is heading: slope of w in ln J",
    )
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return fig


@plotting.figure(
    alt="Left: components of the residual against cycles, flat after some ten to a hundred. Right: weights "
    "during training against the multipliers of the joint max-margin problem, on the diagonal; other "
    "examples at zero."
)
def residual(result: Direction) -> Figure:
    """The bounded residual, and the multipliers that the run reveals."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.9))
    left.plot(result.cycles, result.residual, lw=1.3)
    left.set(
        xscale="log",
        xlabel="cycle J",
        ylabel="components of w − ln(J) ŵ",
        title="The residual comes to rest",
    )
    duals, estimated = result.duals.ravel(), result.estimated.ravel()
    support = duals > 0
    top = 1.08 * duals.max()
    right.plot([0, top], [0, top], **THEORY)
    right.plot(duals[support], estimated[support], "o", color=CYCLIC, alpha=0.6, label="support vectors")
    right.plot(duals[~support], estimated[~support], "x", color=PALETTE["grey"], label="other examples")
    right.set(
        xlabel="multiplier λᵢ of the joint max margin",
        ylabel="ηKJ |ℓ′ᵢ| during training",
        title="The run reveals λ",
    )
    right.legend(loc="upper left")
    return fig


@plotting.figure(
    alt="Joint loss against step size times budget times cycles on log axes: five step sizes follow one curve "
    "that ends on the dashed closed form; the theorems' step sizes cover only its start, the largest step "
    "starts off the curve and joins it."
)
def steps(result: StepSizes) -> Figure:
    """Loss against the amount of gradient flow, for the theorems' step sizes and larger ones."""
    fig, ax = plotting.subplots(size=(7.6, 4.2))
    names = [f"cyclic theorem, η = {result.eta[0]:.1e}", f"random-order theorem, η = {result.eta[1]:.1e}"]
    names += [f"η = {eta:g}" for eta in result.eta[2:]]
    colors = [PALETTE["green"], RANDOM, PALETTE["sky"], CYCLIC, PALETTE["red"]]
    widths = [4.5, 4.5, 3.0, 2.0, 1.2]
    for k, (name, color) in enumerate(zip(names, colors, strict=True)):
        time = result.eta[k] * result.K * result.cycles
        ax.loglog(time, result.loss[:, k], color=color, lw=widths[k], label=name, alpha=0.85)
    time = np.geomspace(1, result.eta[-1] * result.K * result.cycles[-1], 50)
    ax.loglog(time, 1 / (time * result.phi**2), **THEORY, label="1 / (ηKJφ²)")
    ax.set(xlabel="ηKJ", ylabel="joint loss", title="One curve: the theorems' steps see its start")
    ax.legend(loc="lower left")
    return fig


@plotting.figure(
    alt="Left: forgetting against cycles on a symmetric log axis, positive for contradicting tasks and "
    "negative for aligned ones, inside dotted bounds and on dashed lines constant over J squared. Right: "
    "saw-tooth of two contradicting tasks' losses; each falls while its task trains and rises while the "
    "other does."
)
def forgetting(result: Forgetting) -> Figure:
    """Forgetting of the four points in both splits with its bounds, and the saw-tooth of the tasks' losses."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.9))
    J = result.cycles
    for split, (name, color) in enumerate((("contradicting", PALETTE["red"]), ("aligned", PALETTE["green"]))):
        left.plot(J, result.four[:, split], color=color, label=name)
        for bound in (result.lower, result.upper):
            left.plot(J, bound[:, split], ":", color=color, lw=1.2)
        late = J >= 8
        left.plot(J[late], result.constant[split] / (J[late] - 1.0) ** 2, **THEORY)
    left.plot([], [], ":", color=PALETTE["grey"], lw=1.2, label="bounds")
    left.plot([], [], **THEORY, label="constant / J²")
    left.set(
        xscale="log",
        xlabel="cycle",
        ylabel="cycle-averaged forgetting",
        title="Four points, dealt in two ways",
    )
    left.set_yscale("symlog", linthresh=1e-8)
    left.set_yticks([-1e1, -1e-3, -1e-7, 0, 1e-7, 1e-3, 1e1])
    legend_below(fig, left, ncols=4)
    steps = np.arange(len(result.saw))
    for task in range(2):
        right.plot(steps, result.saw[:, task], color=TASK[task], label=f"loss of task {task + 1}")
    per_stage = (len(steps) - 1) // 8
    for stage in range(8):
        right.axvspan(stage * per_stage, (stage + 1) * per_stage, color=TASK[stage % 2], alpha=0.10, lw=0)
    right.set(xlabel="step (shade: task in training)", ylabel="loss", title="Contradicting, step by step")
    right.set_xlim(0, len(steps) - 1)
    right.legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Left: measured forgetting constants on the diagonal against the closed form, negative and positive. "
    "Right: relative errors of both constants against cycles on log axes, parallel to slope minus one."
)
def constants(result: Constants) -> Figure:
    """Measured constants of forgetting against the closed form, and the approach to both constants."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.9))
    late = (result.cycles[-1] - 1) ** 2 * result.forgetting[-1]
    unit = result.scale
    theory_value, measured = result.forgetting_constant / unit, late / unit
    for M, marker, color in zip(np.unique(result.M), "osD^vPX*", [*TASK, *PALETTE.values()], strict=False):
        chosen = result.M == M
        left.plot(theory_value[chosen], measured[chosen], marker, color=color, ms=4.5, alpha=0.75, label=f"{M} tasks")
    ends = np.array([theory_value.min(), theory_value.max()])
    pad = 0.05 * np.ptp(ends)
    ends = ends + np.array([-pad, pad])
    left.plot(ends, ends, **THEORY)
    left.axhline(0, color="#999999", lw=0.8)
    left.axvline(0, color="#999999", lw=0.8)
    left.set(
        xlabel="Theorem: (Σ‖v_m‖² − ‖ŵ‖²) / Σ‖v_m‖²",
        ylabel="J² forgetting, same unit",
        title="Forgetting late in training",
    )
    left.legend(loc="upper left")
    J = result.cycles - 1
    loss_error = np.abs(J[:, None] * result.loss / result.loss_constant - 1)
    error = np.abs(J[:, None] ** 2 * result.forgetting - result.forgetting_constant) / result.scale
    curves = ((loss_error, CYCLIC, ":", "J × loss"), (error, PALETTE["red"], "-.", "J² × forgetting"))
    for values, color, style, label in curves:
        right.loglog(J, np.median(values, -1), color=color, label=f"{label}: median")
        right.loglog(J, values.max(-1), style, color=color, lw=1.2, label=f"{label}: largest")
    middle = len(J) // 2
    right.loglog(J, np.median(error, -1)[middle] * J[middle] / J, **THEORY, label="slope −1 (h = 1)")
    ticks = [tick for tick in (m * 10**k for k in range(7) for m in (1, 3)) if 0.9 * J[0] < tick < 1.1 * J[-1]]
    right.set_xticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    right.minorticks_off()
    right.set(xlabel="cycle J", ylabel="relative error", title="The way to both constants")
    legend_below(fig, right, ncols=3)
    return fig


@plotting.figure(
    alt="Forgetting constants in six orders of three tasks: flat for equal budgets, varying and on the theory "
    "for unequal budgets; the forgetting of task 1 alone varies widely."
)
def orders(result: Orders) -> Figure:
    """Forgetting in all orders of three tasks, with equal and unequal budgets."""
    fig, ax = plotting.subplots(size=(7.6, 4.2))
    names = ["→".join(str(task + 1) for task in order) for order in result.orders]
    place = np.arange(len(names))
    rows = [
        (result.measured[0], result.predicted[0], result.scale[0], CYCLIC, "average, equal budgets"),
        (result.measured[1], result.predicted[1], result.scale[1], PALETTE["orange"], "average, unequal budgets"),
    ]
    for measured, predicted, scale, color, label in rows:
        ax.plot(place, predicted[:, 0] / scale[0, 0], **THEORY)
        ax.plot(place, measured[:, 0] / scale[0, 0], "o", color=color, label=label, ms=6)
    ax.plot(
        place,
        result.single[0, :, 0] / result.scale[0, 0, 0],
        "s",
        color=PALETTE["grey"],
        label="task 1, equal budgets",
        ms=5,
    )
    ax.plot([], [], **THEORY, label="theory")
    ax.set(
        xticks=place,
        xticklabels=names,
        xlabel="order of the tasks",
        ylabel="J² forgetting / scale",
        title="The average does not depend on the order",
    )
    legend_below(fig, ncols=2)
    return fig


@plotting.figure(
    alt="Left: late forgetting against the angle between the tasks' shares, on a dashed curve that crosses "
    "zero at 90 degrees. Right: forgetting in the first cycle, whose zero crossing lies at a larger "
    "angle."
)
def angle(result: TwoTasks) -> Figure:
    """The constant of forgetting, and forgetting in the first cycle, against the angle between two tasks."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.9), sharex=True)
    left.plot(*result.curve, **THEORY, label="−cos θ / cos²(θ/2)")
    spread = np.linspace(-1.5, 1.5, result.measured.shape[1])
    left.plot(result.angles[:, None] + spread, result.measured, "o", color=CYCLIC, alpha=0.6, ms=4)
    left.plot([], [], "o", color=CYCLIC, label="measured, one dot per data set")
    left.set(ylabel="8ηK J² forgetting", title="Late: the sign turns at 90°")
    left.legend(loc="upper left")
    right.plot(result.angles[:, None] + spread, result.first, "o", color=PALETTE["orange"], alpha=0.6, ms=4)
    right.set(ylabel="forgetting in the first cycle", title="Early: all have a say")
    for ax in (left, right):
        ax.axhline(0, color="#999999", lw=0.8)
        ax.axvline(90, color="#999999", lw=0.8)
        ax.set_xlabel("angle θ between shares (degrees)")
        ax.set_xlim(result.angles.min() - 4, result.angles.max() + 4)
    return fig


@plotting.figure(
    alt="Left: excess loss against the horizon falls along dashed predictions for horizon-dependent steps, "
    "more slowly for nearly separable sets, and not at all for the largest step kept constant. Right: "
    "constant steps end on dashed floors, GD on all tasks at once falls on."
)
def clashing(result: Clashing) -> Figure:
    """Horizon-dependent steps on the left, constant steps on the right."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.9))
    h = result.horizons
    chosen = np.argsort(result.gap[:, -1])[[0, len(result.gap) // 2, -1]]  # best, middle and worst data set
    left.loglog(h, result.gap[chosen].T, color=CYCLIC)
    left.loglog(h, result.predicted[chosen].T, "o", color="black", mfc="none", ms=5)
    left.loglog(h, np.median(result.gap_largest, 0), color=PALETTE["red"])
    handles = [
        Line2D([], [], color=CYCLIC, label="step ln J / (μKJ): three sets"),
        Line2D([], [], color="black", mfc="none", marker="o", ls="", label="floor of that step, theory"),
    ]
    if len(result.near):
        left.loglog(h, result.near.T, color=PALETTE["purple"], lw=1.2, ls="-.")
        handles.append(Line2D([], [], color=PALETTE["purple"], ls="-.", label="the same, nearly separable"))
    handles.append(Line2D([], [], color=PALETTE["red"], label="largest step, constant: median"))
    left.legend(handles=handles, loc="lower left")
    left.set(
        xlabel="horizon J (cycles)",
        ylabel="excess joint loss",
        ylim=(result.gap.min() / 60, None),
        title="It knows its horizon",
    )
    shades = ["#0072B2", "#3E97CC", "#7FBDE3", "#A9D3EC"]
    for k, eta in enumerate(result.eta):
        color = shades[min(k, 3)]
        right.loglog(result.cycles, np.median(result.floor[:, :, k], 1), color=color, label=f"η = {eta:g}")
        right.axhline(np.median(result.floor_predicted[:, k]), **THEORY)
    joint = np.median(result.floor_joint[:, :, 0], 1)
    right.loglog(
        result.cycles, np.maximum(joint, 1e-9), color=ALONE, ls=":", label=f"all tasks at once, η = {result.eta[0]:g}"
    )
    right.set(
        xlabel="cycle",
        ylabel="excess joint loss (median)",
        ylim=(np.median(result.floor_predicted[:, -1]) / 30, None),
        title="It stalls where predicted",
    )
    right.legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Left: the angle to the joint max-margin direction falls steadily when three pairs are learned in "
    "turn, and stays high on the first pair alone. Right: excess loss of clashing pairs falls to floors "
    "near the dashed predictions and grows on one pair alone."
)
def digits(result: Digits) -> Figure:
    """Digits: angle to the joint direction where there is one, excess loss where there is none."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.9))
    left.semilogx(result.cycles, result.angle[:, 0], color=CYCLIC, label="three pairs in turn")
    left.semilogx(result.cycles, result.angle[:, 1], color=ALONE, label="first pair alone")
    for k, value in enumerate(result.individual):
        left.axhline(value, color=PALETTE["black"], lw=0.8, ls=":", label="own max margins" if k == 0 else None)
    left.set(xlabel="cycle", ylabel="angle to joint max margin (°)", title="Three separable pairs")
    left.set_ylim(0, 92)
    left.legend(loc="lower left")
    for k, (eta, color) in enumerate(zip(ETA_COARSE, (CYCLIC, PALETTE["sky"]), strict=True)):
        right.loglog(result.coarse_cycles, result.gap[:, k], color=color, label=f"all pairs in turn, η = {eta:g}")
        right.axhline(result.predicted[k], **THEORY)
    right.loglog(result.coarse_cycles, result.gap[:, -1], color=ALONE, label="first pair alone")
    right.plot([], [], **THEORY, label="predicted floors")
    right.set(xlabel="cycle", ylabel="excess joint loss", title="Five clashing pairs")
    right.legend(loc="center right")
    return fig
