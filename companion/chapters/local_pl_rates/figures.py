"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from companion import plotting
from companion.chapters.local_pl_rates import rates
from companion.chapters.local_pl_rates.experiments.networks import Networks
from companion.chapters.local_pl_rates.experiments.noise import Limits, Noisy, Optimum, Paths
from companion.chapters.local_pl_rates.experiments.valleys import Descent, Geometry, Momentum, Ring
from companion.plotting import PALETTE, THEORY, legend_below

COLOURS = {
    "GD": PALETTE["grey"],
    "multiplicative noise": PALETTE["blue"],
    "additive noise": PALETTE["red"],
    "heavy ball": PALETTE["green"],
}
TEXTBOOK = {"color": PALETTE["orange"], "linestyle": "-.", "linewidth": 1.6}
SHADES = (PALETTE["sky"], PALETTE["blue"], PALETTE["purple"], PALETTE["red"])
_MARKS = "os^Dv<>P"


def _above(values: np.ndarray, floor: float = 1e-26) -> np.ndarray:
    """The values that rounding leaves alone."""
    return np.where(values > floor, values, np.nan)


@plotting.figure(
    alt="Left: a ring-shaped valley seen from above, with a shaded region inside the ring where f is not convex, and "
    "two paths that descend to the ring. Right: the factor of f per step over the step size; circles measured with GD "
    "and squares measured with SGD lie on dashed V-shaped curves, far below the textbook's curve."
)
def glance(ring: Ring, result: Descent, noisy: Noisy) -> Figure:
    """The valley, and rates of gradient descent and of SGD in it."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.3), width_ratios=(1, 1.12))
    levels = np.geomspace(2e-3, 1.5, 9)
    left.contour(ring.axis, ring.axis, ring.value, levels=levels, colors="#B0B0B0", linewidths=0.7)
    left.contourf(ring.axis, ring.axis, ring.curvature, levels=[-np.inf, -1e-6], colors=["#FBE3C8"])
    angle = np.linspace(0, 2 * np.pi, 200)
    left.plot(np.cos(angle), np.sin(angle), color="black", lw=1.6)
    for path, name in ((ring.gd, "GD"), (ring.sgd, "multiplicative noise")):
        left.plot(*path.T, "-o", color=COLOURS[name], markersize=3.2, lw=1.2)
        left.plot(*path[0], "o", color=COLOURS[name], markersize=7)
    left.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal", title="A valley that is not convex")
    left.set_xticks([-1, 0, 1])
    left.set_yticks([-1, 0, 1])
    left.grid(visible=False)
    handles = [
        Line2D([], [], color="black", lw=1.6, label="minimizers"),
        Patch(color="#FBE3C8", label="not convex"),
        Line2D([], [], color=COLOURS["GD"], marker="o", markersize=4, label="GD"),
        Line2D([], [], color=COLOURS["multiplicative noise"], marker="o", markersize=4, label="SGD"),
    ]
    left.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    lr = np.linspace(result.lr[0], result.lr[-1], 300)
    right.plot(lr, rates.textbook_rate(lr, result.mu, result.L), **TEXTBOOK, label="textbook PL bound")
    right.plot(lr, rates.rate(lr, result.mu, result.L), **THEORY, label="convex quadratic")
    right.plot(result.lr, result.valley, "o", color=COLOURS["GD"], label="GD in the valley")
    row = (len(noisy.sigma) - 1) // 2
    sigma, blue = noisy.sigma[row], COLOURS["multiplicative noise"]
    stable = lr[lr < rates.largest_step(noisy.L, sigma)]
    right.plot(stable, rates.rate(stable, noisy.mu, noisy.L, sigma), **THEORY)
    right.plot(noisy.lr[row], noisy.valley[row], "s", color=blue, markersize=6.5, label=f"SGD, $\\sigma$ = {sigma:g}")
    right.xaxis.set_major_locator(MaxNLocator(5))
    right.set(xlabel="step size $\\gamma$", ylabel="factor of $f$ per step", title="The rate of a convex quadratic")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    return fig


@plotting.figure(
    alt="Left: the PL constant in ever thinner shells around the minimizers tends to mu in the valley and falls like "
    "the square of the thickness in the quartic valley. Right: f over steps falls on a straight line in the valley and "
    "levels off in the quartic one."
)
def geometry(result: Geometry, descent: Descent) -> Figure:
    """PL constants close to the minimizers, and what they do to gradient descent."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.5))
    both = zip(("valley, $\\lambda h^2/2$", "quartic, $\\lambda h^4$"), (PALETTE["blue"], PALETTE["red"]), strict=True)
    for row, (name, colour) in enumerate(both):
        left.plot(result.shells, result.constant[row] / result.mu, "o-", color=colour, label=name)
        right.plot(_above(descent.decay[row, :, 0]), color=colour, label=name)
    left.plot(result.shells, (1 - result.shells) ** 2, **THEORY, label="$(1-s)^2$ and $\\propto s^2$")
    left.plot(result.shells, result.constant[1, 0] / result.mu * (result.shells / result.shells[0]) ** 2, **THEORY)
    left.set(xscale="log", yscale="log", xlabel="thickness $s$ of the shell", ylabel="PL constant / $\\mu$",
             title="Close to the minimizers")  # fmt: skip
    left.legend(loc="lower right")
    right.set(yscale="log", xlabel="steps", ylabel="$f$", title="Steady only under PL")
    right.legend(loc="lower left")
    return fig


@plotting.figure(
    alt="Measured rates in the winding valley over the rates that theory predicts, for gradient descent and SGD. With "
    "the spectrum at the limit all points lie on the diagonal; with that at the start most lie above it."
)
def limits(result: Limits) -> Figure:
    """Measured against predicted rates, from the spectrum at the limit and at the start."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9), sharex=True, sharey=True)
    ends = [np.nanmin(result.at_start), np.nanmax(result.at_start)]
    names = (("GD", "GD"), ("multiplicative noise", "SGD"))
    panels = ((result.at_limit, "Spectrum at the limit"), (result.at_start, "Spectrum at the start"))
    for ax, (expected, title) in zip(axes, panels, strict=True):
        ax.plot(ends, ends, **THEORY)
        for row, (name, label) in enumerate(names):
            ax.plot(expected[row], result.measured[row], _MARKS[row], color=COLOURS[name], label=label, alpha=0.85)
        ax.set(xlabel="predicted factor of $f$", title=title)
    axes[0].set_ylabel("measured factor of $f$")
    axes[0].legend(loc="upper left")
    return fig


@plotting.figure(
    alt="The factor of f per step over the step size for several noise levels. Markers measured in the valley and on "
    "the quadratic lie on the dashed curves; triangles of isotropic noise lie slightly below at the best step, and "
    "crosses of noise along the valley on the value without noise."
)
def noise(result: Noisy) -> Figure:
    """Rates of SGD over the step size for each noise level."""
    fig, ax = plotting.subplots(size=(7.6, 4.4))
    for row, sigma in enumerate(result.sigma):
        colour = SHADES[row % len(SHADES)]
        lr = np.linspace(0.25 * result.lr[row].min(), float(rates.largest_step(result.L, sigma)), 200)
        ax.plot(lr, rates.rate(lr, result.mu, result.L, sigma), color=colour, ls="--", lw=1.2)
        ax.plot(result.lr[row], result.valley[row], "o", color=colour, markersize=7, label=f"$\\sigma$ = {sigma:g}")
        ax.plot(result.lr[row], result.bowl[row], "+", color="black", markersize=8, zorder=4)
        ax.plot(result.lr[row, 0], result.isotropic[row], "v", color=colour, mfc="white", markersize=7)
        ax.plot(result.lr[row, 0], result.tangential[row], "x", color=colour, markersize=7, mew=2)
    styles = (("o", "valley, worst case", "grey"), ("+", "quadratic, worst case", "black"),
              ("v", "all normal directions", "grey"), ("x", "along the valley", "grey"))  # fmt: skip
    for mark, label, colour in styles:
        ax.plot([], [], mark, color=colour, label=label, mfc="white" if mark == "v" else colour)
    ax.plot([], [], **THEORY, label="theory")
    ax.set(xlabel="step size $\\gamma$", ylabel="factor of $f$ per step", title="SGD, too, has the quadratic's rate")
    legend_below(fig, ax, ncols=3)
    return fig


@plotting.figure(
    alt="Left: the best rate over the noise level for three values of L. Each curve rises, kinks where the noise is "
    "twice L minus mu, and then joins one common curve. Right: the best step over the noise level, with the same kinks."
)
def optimum(result: Optimum) -> Figure:
    """Best rate and step over the noise level."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.7))
    for row, L in enumerate(result.L):
        kink = rates.critical_noise(result.mu, L)
        some = slice(row, None, 3)  # markers of the three curves apart where these coincide
        for ax, curve, found in ((left, result.best, result.found), (right, result.step, result.found_step)):
            ax.plot(result.sigma, curve[row], color=SHADES[row], label=f"L = {L:g}")
            ax.plot(result.sigma[some], found[row][some], _MARKS[row], color=SHADES[row], markersize=4)
        if kink <= result.sigma[-1]:
            left.plot(kink, rates.optimal_rate(result.mu, L, kink), "o", mfc="white", color="black", zorder=5)
            right.plot(kink, rates.optimal_step(result.mu, L, kink), "o", mfc="white", color="black", zorder=5)
    alone = result.sigma / (2 * result.mu + result.sigma)
    left.plot(result.sigma, alone, **THEORY, label="$\\sigma/(2\\mu+\\sigma)$")
    right.plot(result.sigma, 2 / (2 * result.mu + result.sigma), **THEORY, label="$2/(2\\mu+\\sigma)$")
    left.set(xlabel="noise level $\\sigma$", ylabel="best factor of $f$", title="Beyond its kink $L$ is forgotten",
             ylim=(min(result.best.min(), 0.3), 1))  # fmt: skip
    right.set(xlabel="noise level $\\sigma$", ylabel="best step $\\gamma^*$", title="by the best step, too",
              ylim=(0, 1.25 * result.step.max()))  # fmt: skip
    left.legend(loc="lower right")
    right.legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Left: f over steps; runs with multiplicative noise fall on the dashed line of the mean square, runs with "
    "additive noise stay on a plateau. Right: the factor along a path over the dimension of the noise, rising from a "
    "low value for one direction to the dashed line of the mean square."
)
def paths(result: Paths) -> Figure:
    """Noise that vanishes and noise that stays; paths and the mean square."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.7))
    for row, name in enumerate(("multiplicative noise", "additive noise")):
        left.plot(result.decay[row], color=COLOURS[name], lw=1)
        left.plot([], [], color=COLOURS[name], label=name)
    steps = np.arange(result.decay.shape[1])
    left.plot(steps, result.decay[0, 0].mean() * result.mean_square**steps, **THEORY, label="mean square")
    left.set(yscale="log", xlabel="steps", ylabel="$f$", title="Noise has to vanish")
    left.legend(loc="lower left")
    right.axhline(result.mean_square, **THEORY, label="mean square")
    right.plot(result.dimensions, result.predicted, color=COLOURS["multiplicative noise"], label="mean logarithm")
    right.plot(result.dimensions, result.measured, "o", color=COLOURS["multiplicative noise"], label="measured")
    right.set(xscale="log", xlabel="dimension of the noise", ylabel="factor of $f$ along a path",
              title="A path is luckier")  # fmt: skip
    right.legend(loc="lower right")
    return fig


@plotting.figure(
    alt="Left: gradient noise over what is left of the loss, in units of its bound. Over-parameterized networks stay "
    "level below one while the loss falls by more than ten decades; networks that cannot interpolate rise without "
    "bound. Right: the loss of one network under gradient descent and SGD lies on the dashed linear recursion at the "
    "limit, not on the dotted one at the random start."
)
def networks(result: Networks) -> Figure:
    """The noise model on networks, and their linear recursion."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2))
    kinds = (
        (result.over, "multiplicative noise", "over-parameterized"),
        (result.under, "additive noise", "too few weights"),
    )  # fmt: skip
    for one, name, label in kinds:
        left.plot(one.gap, one.noise / one.gap / one.bound, color=COLOURS[name], lw=1, alpha=0.8)
        left.plot([], [], color=COLOURS[name], label=label)
    left.axhline(1, **THEORY, label="bound")
    left.set(xscale="log", yscale="log", xlabel="$f-f^*$", ylabel="noise $/\\,(f-f^*)$, over its bound",
             title="Noise vanishes with the loss")  # fmt: skip
    left.invert_xaxis()
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    for row, (name, label) in enumerate((("GD", "GD"), ("multiplicative noise", "SGD"))):
        network, limit, start = map(_above, result.curves[row])
        right.plot(network, color=COLOURS[name], lw=3.6, alpha=0.6, label=label)
        right.plot(limit, **THEORY, label="kernel at the limit")
        right.plot(start, color="black", ls=":", lw=1.4, label="kernel at the start")
    right.set(yscale="log", xlabel="steps", ylabel="$f$ of the first network", title="The kernel at the limit decides")
    handles, labels = right.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    right.legend(unique.values(), unique.keys(), loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return fig


@plotting.figure(
    alt="The factor of f per step under heavy ball over the momentum: measured circles follow the dashed curve of the "
    "quadratic down to its minimum, far below the line of gradient descent's best rate."
)
def momentum(result: Momentum) -> Figure:
    """Rates of heavy ball over the momentum."""
    fig, ax = plotting.subplots(size=(7.6, 3.7))
    ax.axhline(result.plain, color=COLOURS["GD"], lw=1.8, label="GD at its best step")
    ax.plot(result.momentum, result.predicted, **THEORY, label="heavy ball on the quadratic")
    ax.plot(result.momentum, result.measured, "o", color=COLOURS["heavy ball"], label="heavy ball in the valley")
    ax.axvline(result.optimum, color="#999999", lw=1)
    ax.annotate("$\\beta^*$", (result.optimum, 0.05), xytext=(4, 0), textcoords="offset points")
    ax.set(xlabel="momentum $\\beta$", ylabel="factor of $f$ per step", ylim=(0, 1),
           title="Momentum keeps its gain in the valley")  # fmt: skip
    ax.legend(loc="lower right")
    return fig
