"""The chapter's figures: results in, matplotlib figures out."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from companion import plotting
from companion.analysis.rates import fit_r2
from companion.chapters.generalized_bilinear_preference_rlhf.experiments import (
    BOUND_ETAS,
    Commit,
    Cycle,
    GapLaw,
    Ranks,
)
from companion.chapters.generalized_bilinear_preference_rlhf.greedy import BURN_IN, Learning, Simplex, increment

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    plotting.PALETTE[name] for name in ("blue", "orange", "green", "red", "purple", "sky", "grey")
)
GREEDY, COMMIT = plotting.METHOD["greedy sampling"], plotting.METHOD["explore then commit"]
REWARDS, EVEN = plotting.METHOD["Bradley-Terry"], plotting.METHOD["uniform policy"]
FIRST = 10  # first round drawn


def _shades(count: int) -> list[tuple[float, ...]]:
    """Shades from light to dark for growing eta."""
    return [colormaps["viridis"](0.85 - 0.8 * k / max(count - 1, 1)) for k in range(count)]


def _label(eta: float) -> str:
    return f"$\\eta = {eta:g}$" if eta < 1e4 else "$\\eta = 10^4$"


@plotting.style()
def figure_glance(law: GapLaw, run: Learning) -> Figure:
    """The second-order law, and what it gives: regret that is a line in log t."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.8, 3.6), width_ratios=(1, 1.12))
    _gap_lines(left, law)
    left.set_title("A second-order dual gap …")
    some = [k for k in range(len(run.etas)) if run.etas[k] <= 10][-3:]
    end = run.t[-1]
    shown = run.t >= FIRST
    for k, color in zip(some, (SKY, GREEDY, GREEN), strict=False):
        right.plot(
            run.t[shown], run.regret[k, shown] / run.etas[k], color=color, label=f"greedy, {_label(run.etas[k])}"
        )
    huge = run.t_huge >= FIRST
    at = run.regret[some[-1], -1] / run.etas[some[-1]] if some else 1.0
    right.plot(
        run.t_huge[huge],
        run.regret_huge[huge] * (1.9 * at / run.regret_huge[-1]),
        color=RED,
        label=f"greedy, {_label(run.eta_huge)}, rescaled",
    )
    right.plot(
        run.t[shown], run.starved[shown] * (2.4 * at / run.starved[-1]), color=ORANGE, label="$C_{min} = 0$, rescaled"
    )
    if some:
        k = some[len(some) // 2]
        start = int(np.searchsorted(run.t, end / 20))
        line = run.regret[k, start] / run.etas[k] + run.constant[k] / run.etas[k] * np.log(run.t / run.t[start])
        right.plot(run.t[run.t >= 30], line[run.t >= 30], **plotting.THEORY, label="predicted slope")
    right.set(xscale="log", xlabel="round $t$", ylabel="regret / $\\eta$", ylim=(0, 2.6 * at))
    right.set_title("… makes regret logarithmic")
    right.legend(loc="upper left", fontsize=8)
    return fig


def _gap_lines(axis: Axes, law: GapLaw) -> None:
    for k, (eta, color) in enumerate(zip(law.etas, (SKY, GREEDY, GREEN, RED), strict=True)):
        axis.loglog(law.sizes, law.gaps[k], "o-", color=color, ms=3.5, lw=1.5)
        axis.annotate(
            _label(eta),
            (law.sizes[-1], law.gaps[k, -1]),
            xytext=(5, -1),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=8.5,
        )
    x = law.sizes
    axis.loglog(x, law.gaps[0, 0] * 0.25 * (x / x[0]) ** 2, **plotting.THEORY)
    axis.annotate(
        "slope 2",
        (x[3], law.gaps[0, 0] * 0.25 * (x[3] / x[0]) ** 2),
        xytext=(4, -10),
        textcoords="offset points",
        fontsize=8.5,
    )
    axis.loglog(x, law.gaps[-1, 0] * 4 * (x / x[0]), **plotting.THEORY)
    axis.annotate(
        "slope 1",
        (x[3], law.gaps[-1, 0] * 4 * (x[3] / x[0])),
        xytext=(-14, 8),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
    )
    axis.set(xlabel="error $\\Vert\\hat\\Theta - \\Theta_\\star\\Vert_F$", ylabel="dual gap of the greedy policy")
    axis.set_xlim(x[0] * 0.9, x[-1] * 2.6)


@plotting.style()
def figure_cycle(result: Cycle) -> Figure:
    """Three actions in a circle: true probabilities, and the two fitted models."""
    fig, axes = plotting.subplots(1, 3, size=(7.6, 2.9))
    panels = (
        ("true", result.truth, GREY),
        ("bilinear fit", result.bilinear, GREEDY),
        ("Bradley–Terry fit", result.bradley_terry, REWARDS),
    )
    points = result.features
    for axis, (name, matrix, color) in zip(axes, panels, strict=True):
        for a in range(3):
            b = (a + 1) % 3
            start, stop = points[a], points[b]
            along = stop - start
            axis.annotate(
                "",
                start + 0.86 * along,
                start + 0.14 * along,
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": color,
                    "lw": 1.0 + 3 * abs(matrix[a, b] - 0.5) * 2,
                    "mutation_scale": 13,
                },
            )
            middle = (start + stop) / 2
            axis.annotate(
                f"{matrix[a, b]:.2f}",
                middle * 1.75 if a != 1 else middle * 1.7,
                ha="center",
                va="center",
                fontsize=9.5,
                color="black",
            )
            axis.plot(*start, "o", color="black", ms=5)
            axis.annotate(f"{a + 1}", start * 1.22, ha="center", va="center", fontsize=10, fontweight="bold")
        axis.set(xlim=(-1.45, 1.6), ylim=(-1.35, 1.35), aspect="equal", title=name)
        axis.set_axis_off()
    _headline(fig, "P(1 beats 2), P(2 beats 3), P(3 beats 1): rewards cannot go round")
    return fig


@plotting.style()
def figure_bounds(law: GapLaw) -> Figure:
    """The dual gap against the error with both bounds, and how much of each bound random games use."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.8, 3.6), width_ratios=(1.1, 1))
    for k, color in ((0, SKY), (2, GREEN)):
        left.loglog(law.sizes, law.gaps[k], "o-", color=color, ms=3.5, label=f"dual gap, {_label(law.etas[k])}")
        left.loglog(
            law.sizes, law.bounds[0][k], color=color, lw=1.1, ls=(0, (1, 1)), label=f"bound with {_label(law.etas[k])}"
        )
    left.loglog(law.sizes, law.gaps[-1], "o-", color=RED, ms=3.5, label=f"dual gap, {_label(law.etas[-1])}")
    left.loglog(law.sizes, law.bounds[1], **plotting.THEORY, label="bound without $\\eta$")
    left.set(xlabel="error $\\Vert\\hat\\Theta - \\Theta_\\star\\Vert_F$", ylabel="dual gap (mean over games)")
    left.set_title("Two bounds: second and first order")
    low, high = law.gaps[0, 0], law.bounds[1][-1]
    left.set_ylim(low / 3, high * 30_000)
    left.legend(loc="upper left", fontsize=7.8, ncols=1)
    width, names = 0.26, list(BOUND_ETAS)
    series = (
        ("as printed", [law.printed[n].max() for n in names], GREY),
        ("corrected proof", [law.smooth[n].max() for n in names], ORANGE),
        ("by duality, in $h$", [law.sharp[n][0].max() for n in names], BLUE),
    )
    for j, (label, values, color) in enumerate(series):
        right.bar(np.arange(len(names)) + (j - 1) * width, values, width, color=color, label=label)
    right.axhline(1, **plotting.THEORY)
    right.set_yscale("log")
    right.set_ylim(0.005, 20)
    right.set_xticks(range(len(names)), ["KL", "Tsallis", "$\\chi^2$", "mixed"])
    right.set_ylabel("largest dual gap / bound")
    right.set_title("How tight are bounds with η?")
    right.legend(loc="upper left", fontsize=8, ncols=1)
    right.grid(axis="x", visible=False)
    return fig


@plotting.style()
def figure_greedy(run: Learning) -> Figure:
    """Regret against log t for every eta, and which law fits."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.8, 3.6), width_ratios=(1.25, 1))
    shown = run.t >= FIRST
    for k, color in enumerate(_shades(len(run.etas))):
        left.plot(run.t[shown], run.regret[k, shown] / run.regret[k, -1], color=color, label=_label(run.etas[k]))
    huge = run.t_huge >= FIRST
    left.plot(
        run.t_huge[huge],
        run.regret_huge[huge] / run.regret_huge[-1],
        color=RED,
        label=f"{_label(run.eta_huge)}, shorter run",
    )
    left.plot(run.t[shown], run.starved[shown] / run.starved[-1], color=ORANGE, label="$C_{min} = 0$")
    left.plot(run.t[shown], run.t[shown] / run.t[-1], color=EVEN, label="uniform policy")
    left.set(xscale="log", xlabel="round $t$", ylabel="regret / final regret")
    left.set_title("Straight lines are logarithms")
    left.legend(loc="upper left", fontsize=7.8)
    settled, settled_huge = run.t > BURN_IN, run.t_huge > BURN_IN
    etas = np.append(run.etas, run.eta_huge)
    order = np.argsort(etas)
    for transform, color, marker, name in ((np.log, GREEDY, "o", "$\\log t$"), (np.sqrt, RED, "s", "$\\sqrt{t}$")):
        fits = fit_r2(transform(run.t[settled]), run.regret[:, settled])
        last = fit_r2(transform(run.t_huge[settled_huge]), run.regret_huge[settled_huge])
        right.semilogx(etas[order], np.append(fits, last)[order], marker + "-", color=color, label=f"fit in {name}")
    right.set(xlabel="$\\eta$", ylabel="$R^2$")
    right.set_title("The better law changes with η")
    low, high = right.get_ylim()
    right.set_ylim(low, high + 0.22 * (high - low))
    right.set_yticks([tick for tick in right.get_yticks() if low <= tick <= 1])
    right.legend(loc="upper center", fontsize=8.5, ncols=2)
    return fig


@plotting.style()
def figure_eta(run: Learning) -> Figure:
    """Final regret against eta, with the prediction, and the exponential bound that it does not need."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.8, 3.5))
    left.loglog(run.etas, run.regret[:, -1], "o-", color=GREEDY, label="greedy sampling")
    left.loglog(run.tilted_etas, run.tilted, "s--", color=ORANGE, label="coverage falling as $e^{-\\eta}$")
    start = run.regret[0, -1] / run.etas[0]
    left.loglog(run.etas, start * run.etas, **plotting.THEORY, label="$\\propto\\eta$")
    grid = np.geomspace(run.etas[0], run.etas[-1], 300)
    exponential = run.regret[0, -1] * np.exp(np.minimum(9 * (grid - run.etas[0]), 600))
    inside = exponential < 1e5 * run.regret[:, -1].max()
    left.loglog(grid[inside], exponential[inside], color=GREY, lw=1.3, ls=(0, (1, 1)), label="$\\propto e^{9\\eta}$")
    left.set(
        xlabel="$\\eta$",
        ylabel=f"regret at $T = {run.t[-1]:,}$".replace(",", "\\,"),
        ylim=(run.regret[0, -1] / 2, 1e5 * run.regret[:, -1].max()),
    )
    left.set_title("Regret is proportional to η")
    left.legend(loc="upper right", fontsize=8)
    measured = [increment(run.t, curve) for curve in run.regret]
    right.semilogx(run.etas, np.array(measured) / run.etas, "o", color=GREEDY, label="measured")
    right.semilogx(run.etas, run.constant / run.etas, **plotting.THEORY, label="$\\frac{1}{2}$ tr$(I^{-1}Q)$")
    right.set(xlabel="$\\eta$", ylabel="growth per unit of log t, over $\\eta$")
    middle = float(np.median(run.constant / run.etas))
    right.set_ylim(0, 2.4 * middle)
    right.set_title("The constant is explicit")
    right.legend(loc="upper left")
    return fig


@plotting.style()
def figure_symmetric(run: Learning) -> Figure:
    """Regret of both players together: with an exploring opponent, and when both play the equilibrium."""
    fig, axis = plotting.subplots(1, 1, size=(5.6, 3.3))
    shown = run.t >= FIRST
    axis.loglog(run.t[shown], run.one_sided[shown], color=ORANGE, label="one player explores: linear")
    axis.loglog(run.t[shown], run.symmetric[shown], color=GREEDY, label="both play the equilibrium")
    axis.loglog(
        run.t[shown],
        run.explore[run.etas == run.eta_control][0] * run.t[shown],
        **plotting.THEORY,
        label="gap of the explorer × t",
    )
    axis.set(xlabel="round $t$", ylabel="regret of both players")
    axis.set_title(f"The regularizer explores by itself ({_label(run.eta_control)})")
    axis.legend(loc="upper left")
    return fig


@plotting.style()
def figure_commit(result: Commit) -> Figure:
    """The committed gap against the length of exploration, and regret against the horizon for three schedules."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.8, 3.5))
    x = result.lengths
    left.loglog(x, result.gaps, "o-", color=COMMIT, label=_label(result.eta))
    left.loglog(x, result.gaps_huge, "o-", color=RED, label=_label(result.eta_huge))
    left.loglog(x, result.gaps[0] * 0.6 * (x / x[0]) ** -1.0, **plotting.THEORY, label="slopes $-1$, $-1/2$")
    left.loglog(x, result.gaps_huge[0] * 1.5 * (x / x[0]) ** -0.5, **plotting.THEORY)
    left.set(xlabel="exploration rounds $T_0$", ylabel="dual gap of the committed policy")
    left.set_title("One over $T_0$ after commitment")
    left.legend(loc="lower left", fontsize=8)
    for row, (name, color, marker) in enumerate(
        zip(
            ("$T_0\\propto\\sqrt{T}$", "$T_0\\propto T^{2/3}$", "$T_0$ constant"),
            (COMMIT, PURPLE, GREY),
            "osD",
            strict=True,
        )
    ):
        right.loglog(result.horizons, result.regret[row], marker + "-", color=color, label=name)
    late = result.greedy_t >= result.horizons[0]
    right.loglog(result.greedy_t[late], result.greedy[late], color=GREEDY, label="greedy sampling")
    guide = result.regret[0, 0] * 0.62 * (result.horizons / result.horizons[0]) ** 0.5
    right.loglog(result.horizons, guide, **plotting.THEORY, label="slopes 1/2, 2/3")
    guide = result.regret[1, 0] * 0.62 * (result.horizons / result.horizons[0]) ** (2 / 3)
    right.loglog(result.horizons, guide, **plotting.THEORY)
    right.set(xlabel="horizon $T$", ylabel="regret")
    right.set_ylim(result.greedy[late][0] / 1.6, result.regret.max() * 25)
    right.set_title("Regret of explore-then-commit")
    right.legend(loc="upper left", fontsize=8, ncols=2)
    return fig


@plotting.style()
def figure_ranks(result: Ranks) -> Figure:
    """Gains of the nuclear norm against the dimension for low and full rank, and singular values of the estimates."""
    fig, (left, middle, right) = plotting.subplots(1, 3, size=(8.2, 3.3), width_ratios=(1, 1, 1.15))
    for axis, values, title in (
        (left, result.error, "error / nuclear's"),
        (middle, result.gap, "gap / nuclear's"),
    ):
        mean = values.mean(2)
        for rank, (name, color) in enumerate((("rank 2", GREEDY), ("rank $d$", RED))):
            axis.plot(result.d, mean[rank, :, 1] / mean[rank, :, 0], "o-", color=color, label=f"plain, {name}")
            axis.plot(result.d, mean[rank, :, 2] / mean[rank, :, 0], ".:", color=color, label=f"ridge, {name}")
        axis.axhline(1, **plotting.THEORY)
        axis.set(xlabel="dimension $d$", xscale="log", ylim=(0, None))
        axis.set_xticks(result.d, [str(d) for d in result.d])
        axis.minorticks_off()
        axis.set_title(title)
    middle.legend(loc="upper left")
    middle.set_ylim(0, 1.5 * middle.get_ylim()[1])
    index = np.arange(1, result.singular.shape[-1] + 1)
    for row, (name, color, marker) in enumerate((("nuclear", ORANGE, "o"), ("plain", GREY, "s"))):
        right.plot(index, result.singular[0, row], marker, color=color, ms=4, label=name)
    right.plot(index, result.singular[0, 2], "_", color="black", ms=8, label="$\\Theta_\\star$, rank 2")
    right.set(xlabel="index", ylim=(-0.03 * result.singular[0].max(), 1.15 * result.singular[0].max()))
    right.set_title(f"singular values, d = {result.d[-1]}")
    right.legend(loc="upper right")
    _headline(fig, "The nuclear norm gains at low rank and loses at full rank")
    return fig


@plotting.style()
def figure_simplex(result: Simplex) -> Figure:
    """Policies of greedy sampling in the triangle of three actions, over contours of the dual gap."""
    fig, axes = plotting.subplots(1, len(result.etas), size=(7.6, 3.6), squeeze=False)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
    for axis, eta, policies, equilibrium, gaps in zip(
        axes[0], result.etas, result.policies, result.equilibrium, result.gaps, strict=True
    ):
        xy = result.grid @ corners
        shades = axis.tricontourf(
            xy[:, 0],
            xy[:, 1],
            np.log10(np.maximum(gaps, 1e-6)),
            levels=np.arange(-5, 0.6, 0.5),
            cmap="Blues",
            extend="both",
        )
        for path, color in zip(policies, (ORANGE, GREEN, PURPLE), strict=False):
            line = path @ corners
            axis.plot(line[:, 0], line[:, 1], "-", color=color, lw=2.0)
            axis.plot(*line[-1], "o", color=color, ms=4)
        axis.plot(*(equilibrium @ corners), "*", color="black", ms=11)
        axis.plot(*(policies[0, 0] @ corners), "o", mfc="white", mec="black", ms=6)
        for k, (corner, shift) in enumerate(zip(corners, ((-8, -3), (8, -3), (0, 8)), strict=True)):
            axis.annotate(
                f"{k + 1}",
                corner,
                xytext=shift,
                textcoords="offset points",
                ha="center",
                va="center",
                fontweight="bold",
            )
        axis.set(aspect="equal", title=_label(eta), xlim=(-0.08, 1.08), ylim=(-0.08, 0.97))
        axis.set_axis_off()
    bar = fig.colorbar(shades, ax=axes[0].tolist(), shrink=0.75, aspect=22)
    bar.set_label("$\\log_{10}$ dual gap")
    _headline(fig, "From even play (white) to the equilibrium (star), three runs each")
    return fig


def _headline(fig: Figure, text: str) -> None:
    fig.get_layout_engine().set(rect=(0, 0, 1, 0.93))
    fig.suptitle(text, x=0.01, y=0.985, ha="left", fontsize=10.5, fontweight="bold")
