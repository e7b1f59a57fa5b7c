"""The chapter's figures, each drawn from experiments' results."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from companion import plotting
from companion.analysis.rates import fit_r2
from companion.chapters.generalized_bilinear_preference_rlhf.commitment import SCHEDULES
from companion.chapters.generalized_bilinear_preference_rlhf.experiments.commitment import (
    ESTIMATORS,
    ETA_SCHEDULES,
    RANK_D,
    Commit,
    Ranks,
)
from companion.chapters.generalized_bilinear_preference_rlhf.experiments.cycles import Cycle
from companion.chapters.generalized_bilinear_preference_rlhf.experiments.gap_law import BOUND_ETAS, CONSTANTS, GapLaw
from companion.chapters.generalized_bilinear_preference_rlhf.experiments.learning import MODERATE, Learning, Simplex
from companion.chapters.generalized_bilinear_preference_rlhf.greedy import growth_per_factor
from companion.plotting import PALETTE, THEORY

COLOURS = {
    "greedy sampling": PALETTE["blue"],
    "explore then commit": PALETTE["orange"],
    "uniform policy": PALETTE["grey"],
    "Bradley-Terry": PALETTE["purple"],
}
GREEDY, COMMIT = COLOURS["greedy sampling"], COLOURS["explore then commit"]
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    PALETTE[name] for name in ("blue", "orange", "green", "red", "purple", "sky", "grey")
)
FIRST = 10  # first round drawn
SETTLED = 100  # rounds before which no law is fitted
REGULARIZER = {"kl": "KL", "tsallis": "Tsallis", "chi2": "$\\chi^2$", "mixed": "mixed"}
THOUSANDS = {"xscale": "log", "xlabel": "round $t$"}


def _shades(count: int) -> list[tuple[float, ...]]:
    """Shades from light to dark for growing eta."""
    return [colormaps["viridis"](0.85 - 0.8 * k / max(count - 1, 1)) for k in range(count)]


def _label(eta: float) -> str:
    return f"$\\eta = {eta:g}$" if eta < 1e4 else "$\\eta = 10^4$"


def _note(axis: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **options: Any) -> None:
    axis.annotate(text, at, xytext=shift, textcoords="offset points", va="center", fontsize=9.6, **options)


@plotting.figure(
    alt="Left: the dual gap of the greedy policy against the estimation error for four eta on logarithmic axes; lines"
    " of slope two, and slope near one at the largest eta. Right: regret over eta against the logarithm of the "
    "round: straight lines that coincide with a predicted dashed slope for moderate eta; curves that bend upwards"
    " without regularization or without exploration."
)
def glance(law: GapLaw, run: Learning) -> Figure:
    """The second-order law, and what it gives: regret that is a line in log t."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.1), width_ratios=(1, 1.1))
    _gap_lines(left, law)
    left.set_title("A second-order dual gap …")
    some = [k for k in range(len(run.etas)) if run.etas[k] <= MODERATE][-3:]
    shown, huge = run.t >= FIRST, run.t_huge >= FIRST
    for k, color in zip(some, (SKY, GREEDY, GREEN), strict=False):
        right.plot(run.t[shown], run.regret[k, shown] / run.etas[k], color=color, label=_label(run.etas[k]))
    at = run.regret[some[-1], -1] / run.etas[some[-1]] if some else 1.0
    for t, curve, scale, color, label in (
        (run.t_huge[huge], run.regret_huge[huge], 1.4, RED, f"{_label(run.eta_huge)}, rescaled"),
        (run.t[shown], run.starved[shown], 1.75, ORANGE, "$C_{min} = 0$, rescaled"),
    ):
        right.plot(t, curve * (scale * at / max(curve[-1], 1e-300)), color=color, label=label)
    if some:
        k = some[len(some) // 2]
        start = int(np.searchsorted(run.t, run.t[-1] / 20))
        line = run.regret[k, start] / run.etas[k] + run.constant[k] / run.etas[k] * np.log(run.t / run.t[start])
        right.plot(run.t[run.t >= 30], line[run.t >= 30], **THEORY, label="predicted slope")
    right.set(**THOUSANDS, ylabel="regret / $\\eta$", ylim=(0, 1.85 * at))
    right.set_title("… makes regret logarithmic")
    plotting.legend_below(fig, right)
    return fig


def _gap_lines(axis: Axes, law: GapLaw) -> None:
    for k, (eta, color) in enumerate(zip(law.etas, (SKY, GREEDY, GREEN, RED), strict=True)):
        axis.loglog(law.sizes, law.gaps[k], "o-", color=color, ms=3.5, lw=1.5)
        _note(axis, _label(eta), (law.sizes[-1], law.gaps[k, -1]), (5, -1), color=color)
    x = law.sizes
    for slope, start, shift, side in (
        (2, law.gaps[0, 0] * 0.25, (4, -11), "left"),
        (1, law.gaps[-1, 0] * 4, (-12, 9), "right"),
    ):
        guide = start * (x / x[0]) ** slope
        axis.loglog(x, guide, **THEORY)
        _note(axis, f"slope {slope}", (x[3], guide[3]), shift, ha=side)
    axis.set(xlabel="error $\\Vert\\hat\\Theta - \\Theta_\\star\\Vert_F$", ylabel="dual gap of the greedy policy")
    axis.set_xlim(x[0] * 0.9, x[-1] * 3.3)


@plotting.figure(
    alt="Two triangles of actions with arrows from winner to loser, with the fitted and the true probability on each "
    "side. The bilinear fit and the truth agree, near one; the Bradley-Terry fit says one half on each side."
)
def cycle(result: Cycle) -> Figure:
    """Three actions in a circle: the two fitted models beside the true probabilities."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.6))
    panels = (
        ("Bilinear fit", result.fitted["bilinear"], GREEDY),
        ("Bradley–Terry fit", result.fitted["Bradley-Terry"], COLOURS["Bradley-Terry"]),
    )
    points = result.features
    for axis, (name, matrix, color) in zip(axes, panels, strict=True):
        for a in range(3):
            b = (a + 1) % 3
            start, along = points[a], points[b] - points[a]
            width = 1.0 + 3 * abs(matrix[a, b] - 0.5) * 2
            arrow = {"arrowstyle": "-|>", "color": color, "lw": width, "mutation_scale": 13}
            axis.annotate("", start + 0.86 * along, start + 0.14 * along, arrowprops=arrow)
            text = f"{matrix[a, b]:.2f}\n(true {result.truth[a, b]:.2f})"
            side = (points[a] + points[b]) * np.array([1.0, 0.95])
            axis.annotate(text, side, ha="center", va="center", fontsize=10)
            axis.plot(*start, "o", color="black", ms=5)
            axis.annotate(f"{a + 1}", start * 1.2, ha="center", va="center", fontsize=10, fontweight="bold")
        axis.set(xlim=(-1.6, 1.6), ylim=(-1.15, 1.15), aspect="equal", title=name)
        axis.set_axis_off()
    plotting.headline(fig, "P(1 beats 2), P(2 beats 3), P(3 beats 1): rewards cannot go round")
    return fig


@plotting.figure(
    alt="Left: dual gap against the size of the error. With moderate regularization the lines have slope two and lie "
    "below the bound with eta; at huge eta the slope is near one, below the dashed first-order bound. Right: "
    "largest ratio of dual gap to three bounds for four regularizers; the bound by duality is nearly attained, "
    "the other two are loose."
)
def bounds(law: GapLaw) -> Figure:
    """The dual gap against the error with both bounds, and how much of each bound random games use."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.3), width_ratios=(1.1, 1))
    for k, color in ((0, SKY), (2, GREEN)):
        left.loglog(law.sizes, law.gaps[k], "o-", color=color, ms=3.5, label=f"gap, {_label(law.etas[k])}")
        bound = f"bound, {_label(law.etas[k])}"
        left.loglog(law.sizes, law.bounds[0][k], color=color, lw=1.3, ls=(0, (1, 1)), label=bound)
    left.loglog(law.sizes, law.gaps[-1], "o-", color=RED, ms=3.5, label=f"gap, {_label(law.etas[-1])}")
    left.loglog(law.sizes, law.bounds[1], **THEORY, label="bound without $\\eta$")
    left.set(xlabel="error $\\Vert\\hat\\Theta - \\Theta_\\star\\Vert_F$", ylabel="dual gap (mean over games)")
    left.set_title("Second and first order")
    width, names = 0.26, list(BOUND_ETAS)
    series = (
        ("share of: printed", law.printed, GREY),
        ("corrected proof", law.squared["equilibrium"], ORANGE),
        ("by duality, in $h$", law.sharp, BLUE),
    )
    for j, (label, values, color) in enumerate(series):
        places = np.arange(len(names)) + (j - 1) * width
        right.bar(places, [values[name] for name in names], width, color=color, label=label)
    right.axhline(1, **THEORY)
    right.set(yscale="log", ylim=(0.005, 2), ylabel="largest dual gap / bound")
    right.set_xticks(range(len(names)), [REGULARIZER[name] for name in names])
    right.set_title("How tight, with $\\eta$?")
    right.grid(axis="x", visible=False)
    plotting.legend_below(fig)
    return fig


@plotting.figure(
    alt="Dual gap of the two-action game over the bound without eta. Left: at huge eta, against the size of the "
    "error: with the printed constant the ratio rises from below one to nearly two as the error vanishes, with "
    "the corrected one it stays just below one. Right: largest ratio against eta: the printed bound fails from "
    "eta of about two hundred on."
)
def pair(law: GapLaw) -> Figure:
    """The game of two actions against the bound without eta."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.5), sharey=True)
    for name, color, marker in zip(CONSTANTS, (RED, GREEDY), "so", strict=True):
        left.semilogx(law.epsilons, law.pair[name], marker + "-", color=color, label=f"constant as {name}")
        right.semilogx(law.pair_etas, law.pair_worst[name], marker + "-", color=color)
    for axis in (left, right):
        axis.axhline(1, **THEORY)
    left.set(xlabel="size of the truth, $\\varepsilon$", ylabel="dual gap / bound without $\\eta$", ylim=(0, 2.15))
    left.set_title("As $\\eta\\to\\infty$: towards two")
    right.set(xlabel="$\\eta$")
    right.set_title("At any error: fails from $\\eta\\approx 200$")
    plotting.legend_below(fig)
    return fig


@plotting.figure(
    alt="Left: regret divided by its final value against log t. Moderate eta give straight lines; large eta, missing "
    "coverage and the uniform policy bend upwards. Right: the fit in log t is better at small eta, the fit in the"
    " square root of t at the largest."
)
def greedy(run: Learning) -> Figure:
    """Regret against log t for every eta, and which law fits."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.4), width_ratios=(1.2, 1))
    shown, huge = run.t >= FIRST, run.t_huge >= FIRST
    for k, color in enumerate(_shades(len(run.etas))):
        left.plot(run.t[shown], run.regret[k, shown] / run.regret[k, -1], color=color, label=_label(run.etas[k]))
    last = run.regret_huge[huge] / run.regret_huge[-1]
    left.plot(run.t_huge[huge], last, color=RED, label=f"{_label(run.eta_huge)}, shorter")
    left.plot(run.t[shown], run.starved[shown] / run.starved[-1], color=ORANGE, label="$C_{min} = 0$")
    even = COLOURS["uniform policy"]
    left.plot(run.t[shown], run.t[shown] / run.t[-1], color=even, ls=(0, (4, 1)), label="uniform policy")
    left.set(**THOUSANDS, ylabel="regret / final regret")
    left.set_title("Straight lines are logarithms")
    settled, settled_huge = run.t > SETTLED, run.t_huge > SETTLED
    etas = np.append(run.etas, run.eta_huge)
    order = np.argsort(etas)
    for transform, color, marker, name in ((np.log, GREEDY, "o", "$\\log t$"), (np.sqrt, RED, "s", "$\\sqrt{t}$")):
        fits = fit_r2(transform(run.t[settled]), run.regret[:, settled])
        fit_huge = fit_r2(transform(run.t_huge[settled_huge]), run.regret_huge[settled_huge])
        values = np.append(fits, fit_huge)[order]
        right.semilogx(etas[order], values, marker + "-", color=color, label=f"fit in {name}")
    right.set(xlabel="$\\eta$", ylabel="$R^2$")
    right.set_title("The better law changes")
    plotting.legend_below(fig)
    return fig


@plotting.figure(
    alt="Left: final regret against eta on logarithmic axes follows a dashed line proportional to eta; exploration "
    "with exponentially small coverage lies far above; the exponential bound leaves the plot at once. Right: "
    "measured growth per unit of log t over eta lies on the dashed prediction for moderate eta."
)
def eta(run: Learning) -> Figure:
    """Final regret against eta, with the prediction, and the exponential bound that it does not need."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2))
    left.loglog(run.etas, run.regret[:, -1], "o-", color=GREEDY, label="greedy sampling")
    left.loglog(run.tilted_etas, run.tilted, "s--", color=ORANGE, label="coverage falling as $e^{-\\eta}$")
    left.loglog(run.etas, run.regret[0, -1] / run.etas[0] * run.etas, **THEORY, label="$\\propto\\eta$")
    grid = np.geomspace(run.etas[0], run.etas[-1], 300)
    exponential = run.regret[0, -1] * np.exp(np.minimum(9 * (grid - run.etas[0]), 600))
    top = 1e3 * run.regret[:, -1].max()
    inside = exponential < top
    left.loglog(grid[inside], exponential[inside], color=GREY, lw=1.3, ls=(0, (1, 1)), label="$\\propto e^{9\\eta}$")
    horizon = f"{run.t[-1]:,}".replace(",", "\\,")
    left.set(xlabel="$\\eta$", ylabel=f"regret at $T = {horizon}$", ylim=(run.regret[0, -1] / 2, top))
    left.set_title("Regret is proportional to η")
    measured = np.array([growth_per_factor(run.t, curve) for curve in run.regret])
    right.semilogx(run.etas, measured / run.etas, "o", color=GREEDY)
    right.semilogx(run.etas, run.constant / run.etas, color=GREEN, label="predicted, $\\frac{1}{2}$ tr$(I^{-1}Q)$")
    right.set(xlabel="$\\eta$", ylabel="growth per unit of log t, over $\\eta$")
    right.set_ylim(0, 1.8 * max(float(np.median(run.constant / run.etas)), 1e-12))
    right.set_title("The constant is explicit")
    plotting.legend_below(fig)
    return fig


@plotting.figure(
    alt="Regret of both players together against rounds on logarithmic axes: linear when one player explores, "
    "flattening like a logarithm when both play the equilibrium."
)
def symmetric(run: Learning) -> Figure:
    """Regret of both players together: with an exploring opponent, and when both play the equilibrium."""
    fig, axis = plotting.subplots(1, 1, size=(6.4, 3.6))
    shown = run.t >= FIRST
    axis.loglog(run.t[shown], run.one_sided[shown], color=ORANGE, label="one player explores: linear")
    axis.loglog(run.t[shown], run.symmetric[shown], color=GREEDY, label="both play the equilibrium")
    explorer = run.explore[run.etas == run.eta_control][0] * run.t[shown]
    axis.loglog(run.t[shown], explorer, **THEORY, label="gap of the explorer × t")
    axis.set(xlabel="round $t$", ylabel="regret of both players")
    axis.set_title(f"The regularizer explores by itself ({_label(run.eta_control)})")
    axis.legend(loc="upper left")
    return fig


@plotting.figure(
    alt="Left: committed gap against exploration rounds: slope minus one at moderate eta, minus one half at huge eta."
    " Right: regret against horizon: slope one half for the square-root schedule, two thirds for the usual one, "
    "growing steepness for constant exploration; greedy sampling far below all."
)
def commit(result: Commit) -> Figure:
    """The committed gap against the length of exploration, and regret against the horizon for three schedules."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2))
    x = result.lengths
    left.loglog(x, result.gaps, "o-", color=COMMIT, label=f"gap, {_label(result.eta)}")
    left.loglog(x, result.gaps_huge, "o-", color=RED, label=f"gap, {_label(result.eta_huge)}")
    for start, slope, name, at, shift, side in (
        (result.gaps[0] * 0.6, -1.0, "$-1$", 3, (-4, -9), "right"),
        (result.gaps_huge[0] * 1.5, -0.5, "$-1/2$", 1, (6, 8), "left"),
    ):
        guide = start * (x / x[0]) ** slope
        left.loglog(x, guide, **THEORY)
        _note(left, f"slope {name}", (x[at], guide[at]), shift, ha=side)
    left.set(xlabel="exploration rounds $T_0$", ylabel="dual gap after commitment")
    left.set_title("One over $T_0$ after commitment")
    names = ("$T_0\\propto\\sqrt{T}$", "$T_0\\propto T^{2/3}$", "$T_0$ constant")
    for schedule, name, color, marker in zip(SCHEDULES, names, (COMMIT, PURPLE, GREY), "osD", strict=True):
        right.loglog(result.horizons, result.regret[schedule], marker + "-", color=color, label=name)
    late = result.greedy_t >= result.horizons[0]
    right.loglog(result.greedy_t[late], result.greedy[late], color=GREEDY, label="greedy sampling")
    for schedule, slope, name in ((SCHEDULES[0], 1 / 2, "1/2"), (SCHEDULES[1], 2 / 3, "2/3")):
        guide = result.regret[schedule][0] * 0.6 * (result.horizons / result.horizons[0]) ** slope
        right.loglog(result.horizons, guide, **THEORY)
        middle = len(guide) // 2
        _note(right, f"slope {name}", (result.horizons[middle], guide[middle]), (8, -8))
    right.set(xlabel="horizon $T$", ylabel="regret")
    right.set_title("Regret, by schedule")
    plotting.legend_below(fig)
    return fig


@plotting.figure(
    alt="Three panels. Regret of the commit phase against eta: slope one half where the exploration grows with the "
    "root of eta, slope one where it does not. Mean squared relative error against the dimension: the nuclear "
    "norm follows the dashed count of unknowns of rank two, plain maximum likelihood the steeper count of all. "
    "Against the rank: the nuclear norm's error grows, plain maximum likelihood's does not."
)
def scaling(result: Commit, found: Ranks) -> Figure:
    """What the regret of explore-then-commit is made of: eta, the dimension and the rank."""
    fig = plotting.blank((7.6, 6.4))
    grid = fig.add_gridspec(2, 2)
    top, left, right = fig.add_subplot(grid[0, :]), fig.add_subplot(grid[1, 0]), fig.add_subplot(grid[1, 1])
    shown = ("$T_0\\propto\\sqrt{\\eta T}$", "$T_0\\propto\\sqrt{T}$, whatever $\\eta$")
    for name, label, color, marker, power in zip(ETA_SCHEDULES, shown, (COMMIT, GREY), "oD", (0.5, 1.0), strict=True):
        values = result.eta_committed[name]
        top.loglog(result.etas, values, marker + "-", color=color, label=label)
        middle = len(result.etas) // 2
        top.loglog(result.etas, values[middle] * (result.etas / result.etas[middle]) ** power, **THEORY)
    top.set(xlabel="$\\eta$", ylabel="regret after commitment")
    top.set_title("In η: slopes 1/2 and 1 (dashed)")
    top.legend(loc="upper left")
    colours = dict(zip(ESTIMATORS, (COMMIT, GREY), strict=False))
    for axis, x, error in ((left, found.d, found.error[0]), (right, found.single, found.single_error)):
        for k, (name, color) in enumerate(colours.items()):
            label = {"nuclear": "nuclear norm", "plain": "plain maximum likelihood"}[name]
            axis.loglog(x, (error[..., k] ** 2).mean(-1), "oD"[k] + "-", color=color, label=label)
    d, squared = found.d, (found.error[0] ** 2).mean(1)
    left.loglog(d, squared[0, 0] * (2 * d - 3) / (2 * d[0] - 3), **THEORY)
    left.loglog(d, squared[0, 1] * d * (d - 1) / (d[0] * (d[0] - 1)), **THEORY)
    left.set(xlabel="dimension $d$, at rank 2", ylabel="mean squared relative error")
    left.set_title("In $d$: like the unknowns")
    half = found.single / 2
    count = half * (2 * RANK_D - 2 * half - 1)
    right.loglog(found.single, (found.single_error[0, :, 0] ** 2).mean() * count / count[0], **THEORY)
    right.set(xlabel=f"rank, at $d = {RANK_D}$")
    right.set_title("In the rank")
    for axis, x in ((left, found.d), (right, found.single)):
        axis.set_xticks(x, [str(int(value)) for value in x])
        axis.minorticks_off()
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plotting.legend_below(fig, left)
    return fig


@plotting.figure(
    alt="Errors and committed gaps of plain and ridge fits over those of the nuclear norm against the dimension; "
    "growing beyond one at rank two, mostly below one at full rank. Below: singular values in pairs; the nuclear "
    "norm keeps one large pair and shrinks the rest."
)
def ranks(result: Ranks) -> Figure:
    """Gains of the nuclear norm against the dimension for low and full rank, and singular values of the estimates."""
    fig = plotting.blank((7.6, 6.2))
    grid = fig.add_gridspec(2, 2)
    left, right, below = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1]), fig.add_subplot(grid[1, :])
    for axis, values, title in (
        (left, result.error, "Error / the nuclear norm's"),
        (right, result.gap, "Gap / the nuclear norm's"),
    ):
        mean = values.mean(2)
        for rank, (name, color) in enumerate((("rank 2", GREEDY), ("rank $d$", RED))):
            axis.plot(result.d, mean[rank, :, 1] / mean[rank, :, 0], "o-", color=color, label=f"plain, {name}")
            axis.plot(result.d, mean[rank, :, 2] / mean[rank, :, 0], ".:", color=color, label=f"ridge, {name}")
        axis.axhline(1, **THEORY)
        axis.set(xlabel="dimension $d$", xscale="log", ylim=(0, None))
        axis.set_xticks(result.d, [str(d) for d in result.d])
        axis.minorticks_off()
        axis.set_title(title)
    right.legend(loc="upper left")
    right.set_ylim(0, 1.5 * right.get_ylim()[1])
    index = np.arange(1, result.singular.shape[-1] + 1)
    for row, (name, color, marker) in enumerate((("nuclear norm", COMMIT, "o"), ("plain", GREY, "s"))):
        below.plot(index, result.singular[0, row], marker, color=color, ms=4, label=name)
    below.plot(index, result.singular[0, 2], "_", color="black", ms=8, label="$\\Theta_\\star$, rank 2")
    below.set(xlabel="index", ylim=(-0.03 * result.singular[0].max(), 1.15 * result.singular[0].max()))
    below.set_title(f"Singular values come in pairs, d = {result.d[-1]}")
    below.legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Two triangles of policies over three actions, coloured by the dual gap, with paths of three runs from the "
    "centre to a star at the bottom of the valley; at the larger eta the valley is narrower and the paths wander "
    "more."
)
def simplex(result: Simplex) -> Figure:
    """Policies of greedy sampling in the triangle of three actions, over contours of the dual gap."""
    fig, axes = plotting.subplots(1, len(result.etas), size=(7.6, 3.7), squeeze=False)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
    for axis, eta, policies, equilibrium, gaps in zip(
        axes[0], result.etas, result.policies, result.equilibrium, result.gaps, strict=True
    ):
        xy = result.grid @ corners
        height, levels = np.log10(np.maximum(gaps, 1e-6)), np.arange(-5, 0.6, 0.5)
        shades = axis.tricontourf(xy[:, 0], xy[:, 1], height, levels=levels, cmap="Blues", extend="both")
        for path, color in zip(policies, (ORANGE, GREEN, PURPLE), strict=False):
            line = path @ corners
            axis.plot(line[:, 0], line[:, 1], "-", color=color, lw=2.0)
            axis.plot(*line[-1], "o", color=color, ms=4)
        axis.plot(*(equilibrium @ corners), "*", color="black", ms=11)
        axis.plot(*(policies[0, 0] @ corners), "o", mfc="white", mec="black", ms=6)
        for k, (corner, shift) in enumerate(zip(corners, ((-8, -3), (8, -3), (0, 8)), strict=True)):
            _note(axis, f"{k + 1}", corner, shift, ha="center", fontweight="bold")
        axis.set(aspect="equal", title=_label(eta), xlim=(-0.08, 1.08), ylim=(-0.08, 0.97))
        axis.set_axis_off()
    bar = fig.colorbar(shades, ax=axes[0].tolist(), shrink=0.75, aspect=22)
    bar.set_label("$\\log_{10}$ dual gap")
    plotting.headline(fig, "From even play (white) to the equilibrium (star), three runs each")
    return fig
