"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from companion import plotting
from companion.chapters.signsgd_scaling_laws.equations import FEATURES, RESIDUAL, SGD, SIGN
from companion.chapters.signsgd_scaling_laws.experiments import (
    NOISY,
    Drifts,
    Floors,
    Frontiers,
    Plane,
    Races,
    Schedules,
    Spectra,
    Terms,
)
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {
    "SGD": PALETTE["grey"],
    "signSGD": PALETTE["blue"],
    "sign of the residual only": PALETTE["green"],
    "sign of the features only": PALETTE["red"],
    "signSGD, WSD": PALETTE["sky"],
    "Adam": PALETTE["orange"],
    "Signum": PALETTE["purple"],
}

_MARKS = {"SGD": "s", "signSGD": "o", "sign of the residual only": "^", "sign of the features only": "v"}
_SHADES = [PALETTE[name] for name in ("blue", "orange", "green", "purple", "red", "sky")]


def _boundaries(ax) -> None:
    """Borders of the phases in the plane."""
    a = np.array([0.5, 1.4])
    for line in (a, a + 0.5):
        ax.plot(a, line, color="black", linewidth=0.9)
    ax.axhline(0.5, color="black", linewidth=0.9)


@plotting.figure(
    alt="Left: risk on the compute-optimal frontier over compute for SGD and signSGD at alpha 0.6 and beta 1.1, on "
    "log-log axes, multiplied by SGD's predicted power law. SGD's curve levels off; signSGD's starts above it, "
    "crosses it and keeps falling along a dashed line. Right: colour map of the difference of the slopes over alpha "
    "and beta; it vanishes in the lower phases and is largest in the upper left, where alpha is near one half."
)
def glance(frontiers: Frontiers, plane: Plane) -> Figure:
    """Frontiers at one point, and the difference of the slopes over the plane."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9), width_ratios=(1, 1.15))
    ax, (row,) = axes[0], frontiers.rows(((0.6, 1.1),))
    f, (eta, sign) = frontiers.compute, frontiers.predicted[row]
    for method in (SGD, SIGN):
        ax.plot(f, frontiers.risk[method.name][row] * f**eta, color=COLOURS[method.name], label=method.name)
    end = frontiers.risk[SIGN.name][row, -1] * f[-1] ** sign
    late = f >= f[-1] * 1e-4
    ax.plot(f[late], 0.8 * end * f[late] ** (eta - sign), **THEORY, label="predicted slope")
    ax.set(xscale="log", yscale="log", xlabel="compute $f=MN$", ylabel=f"risk $\\times f^{{\\,{eta:.3f}}}$",
           title="α = 0.6, β = 1.1: a crossing")  # fmt: skip
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend(loc="lower left")
    ax = axes[1]
    mesh = ax.pcolormesh(plane.alpha, plane.beta, plane.measured, shading="nearest", vmin=0, vmax=0.15)
    fig.colorbar(mesh, ax=ax, label="slope of signSGD less SGD's")
    _boundaries(ax)
    for name, at in (("I", (1.1, 0.33)), ("II", (1.1, 0.75)), ("III", (0.86, 1.08)), ("III+", (0.68, 1.5))):
        ax.text(*at, name, color="white", ha="center", va="center", fontweight="bold")
    step = np.diff(plane.alpha)[0] / 2, np.diff(plane.beta)[0] / 2
    ax.set(xlabel="feature decay $\\alpha$", ylabel="target decay $\\beta$", title="Measured in the plane",
           xlim=(plane.alpha[0] - step[0], plane.alpha[-1] + step[0]),
           ylim=(plane.beta[0] - step[1], plane.beta[-1] + step[1]))  # fmt: skip
    ax.grid(visible=False)
    headline(fig, "Steeper where noise dominates, equal elsewhere")
    return fig


@plotting.figure(
    alt="Mean risk over steps on log-log axes for three points of the plane and four methods, with dashed curves of "
    "the equations. At alpha 0.4 dots and curves coincide. At alpha 1 signSGD's dots run below its curve in the "
    "middle and meet it at the end."
)
def races(result: Races) -> Figure:
    """Simulated risks and their equations."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.4))
    axes = axes.ravel()
    for row, (ax, (alpha, beta)) in enumerate(zip(axes[:3], result.points, strict=True)):
        for name, risk in result.simulated.items():
            low, high = result.spread[name][:, row]
            ax.fill_between(result.steps, low, high, color=COLOURS[name], alpha=0.12, lw=0)
            ax.plot(result.steps, risk[row], _MARKS[name], color=COLOURS[name], markersize=4, label=name)
            ax.plot(result.steps, result.equation[name][row], **THEORY)
        ax.plot([], [], **THEORY, label="risk equations")
        ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="risk", title=f"α = {alpha:g}, β = {beta:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[3].set_axis_off()
    axes[3].legend(*axes[0].get_legend_handles_labels(), loc="center")
    headline(fig, "Equations for the risk follow all four methods")
    return fig


@plotting.figure(
    alt="Ratio of signSGD's simulated risk to the prediction over steps, for two points with alpha 1. With the linear "
    "drift it dips to about a half in the middle of the run; with the exact drift it stays near one."
)
def arcsine(result: Races) -> Figure:
    """How far the linear and the exact drift are from the runs."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.4), sharey=True)
    for row, ax in zip((1, 2), axes, strict=True):
        alpha, beta = result.points[row]
        ax.plot(result.steps, result.ratio[SIGN.name][row], "o--", color=PALETTE["orange"], label="linear drift")
        ax.plot(result.steps, result.arcsine_ratio[row], "D-", color=COLOURS["signSGD"], label="exact drift (arcsine)")
        ax.axhline(1, **THEORY)
        ax.set(xscale="log", xlabel="steps", title=f"α = {alpha:g}, β = {beta:g}")
    axes[0].set(ylabel="simulated / predicted risk", ylim=(0, 1.4))
    legend_below(fig)
    headline(fig, "The early lag of the equation is the arcsine's")
    return fig


@plotting.figure(
    alt="Left: least risk of M random features over M on log-log axes, sampled sketches as dots on lines of the "
    "deterministic equivalent, for several points of the plane. Right: the noise sum of signed features over M, "
    "growing like a power, and that of plain features, which stays constant for alpha 1."
)
def terms(result: Terms) -> Figure:
    """Approximation error and noise sum over the width."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.4))
    ax = axes[0]
    for colour, (alpha, beta), line, dots in zip(_SHADES, result.points, result.sketched, result.sampled, strict=True):
        label = f"α = {alpha:g}, β = {beta:g}"
        ax.plot(result.widths, line, color=colour, label=label)
        ax.plot(result.sampled_widths, dots, "o", color=colour)
    ax.set(xscale="log", yscale="log", xlabel="width $M$", ylabel="least risk $R$", title="Approximation")
    ax = axes[1]
    for colour, alpha, signed, plain in zip(
        (PALETTE["red"], PALETTE["purple"], PALETTE["blue"]),
        result.alphas, result.signed_noise, result.plain_noise, strict=True,
    ):  # fmt: skip
        ax.plot(result.sampled_widths, signed, "o-", color=colour, label=f"α = {alpha:g}: signed")
        ax.plot(result.sampled_widths, plain, "s:", color=colour, label="plain")
    ax.set(xscale="log", yscale="log", xlabel="width $M$", ylabel="noise sum, squared", title="Noise",
           ylim=(1, None))  # fmt: skip
    axes[0].legend(loc="lower left")
    axes[1].legend(loc="upper left", ncols=2, columnspacing=1.0)
    axes[0].set_ylim(1e-12, 10)
    axes[1].set_ylim(1, 1e5)
    axes[1].set_xticks(result.sampled_widths, [str(width) for width in result.sampled_widths])
    axes[1].xaxis.set_minor_formatter(NullFormatter())
    headline(fig, "Both terms are powers of the width")
    return fig


@plotting.figure(
    alt="Late risk over three step sizes, relative to the smallest, for signSGD and SGD at alpha 0.4 and 1. signSGD's "
    "risk grows fast with the step size, close to its dashed closed form; SGD's grows little."
)
def floors(result: Floors) -> Figure:
    """Late risk over the step size."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.5))
    share = result.gammas / result.gammas[0]
    for row, ax in enumerate(axes):
        for method in (SIGN, SGD):
            measured, closed = result.measured[method.name][row], result.closed[method.name][row]
            ax.plot(share, measured / measured[0], _MARKS[method.name] + "-", color=COLOURS[method.name],
                    label=method.name)  # fmt: skip
            ax.plot(share, closed / closed[0], **THEORY)
        ax.plot([], [], **THEORY, label="closed form")
        ax.set(xscale="log", yscale="log", xlabel="step size, over the smallest", title=f"α = {result.alphas[row]:g}")
        ax.set_xticks(share, [f"{value:g}" for value in share])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
    axes[0].set_ylabel("late risk, over the smallest")
    legend_below(fig)
    headline(fig, "signSGD's floor goes with the step size, SGD's with the least risk")
    return fig


@plotting.figure(
    alt="Noise in the eigenbasis over the number of the eigenvalue, on log-log axes. Signed features: falling at "
    "first, then flat at a level of 0.36, along the dashed formula. Plain features: a straight line falling through "
    "all modes."
)
def spectra(result: Spectra) -> Figure:
    """Noise spectra of plain and of signed features, both with trace M."""
    fig, ax = plotting.subplots(size=(7.6, 3.8))
    plain = result.plain * len(result.index) / result.plain.sum()
    ax.plot(result.index, plain, ".", color=COLOURS["SGD"], label="plain features: eigenvalues, scaled to trace $M$")
    ax.plot(result.index, result.signed, ".", color=COLOURS["signSGD"], label="signed features")
    ax.plot(result.index, result.formula, **THEORY, label="formula")
    ax.set(xscale="log", yscale="log", xlabel="number $j$ of the eigenvalue", ylabel="noise in direction $j$",
           title="Signs spread the noise over the tail", ylim=(1e-3, None))  # fmt: skip
    legend_below(fig)
    return fig


@plotting.figure(
    alt="Left: simulated risk over steps on log-log axes for SGD, the two halves, signSGD, Adam and Signum. The "
    "curves with a normalized step bend down more and more steeply. Right: exponents of these runs, one point a "
    "sketch: SGD and the sign of the features alone lie together, all others higher."
)
def drifts(result: Drifts) -> Figure:
    """Simulated drift and its exponents."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    for name, risk in result.risk.items():
        axes[0].plot(result.steps, risk, color=COLOURS[name], label=name)
    axes[0].set(xscale="log", yscale="log", xlabel="steps", ylabel="risk", title="Simulated runs")
    for place, (name, found) in enumerate(result.simulated.items()):
        axes[1].plot(np.full(len(found), place), found, "o", color=COLOURS[name], alpha=0.8)
    for value, word in ((result.plain[0], "$p$"), (result.normalized[0], "$2p/(2-p)$")):
        axes[1].axhline(value, **THEORY)
        axes[1].text(-0.4, value, word, va="bottom")
    axes[1].set(xticks=[], ylim=(0, 2.1), xlim=(-0.5, 5.5), ylabel="exponent in $N$", title="Their exponents")
    legend_below(fig)
    headline(fig, "A residual's sign is enough to speed up the drift; a feature's is not")
    return fig


@plotting.figure(
    alt="Risk over compute on log-log axes at alpha 0.6 and beta 1.1, one thin curve for each width and the frontier "
    "as their envelope, for SGD and for signSGD. Each thin curve levels off at its approximation error."
)
def frontiers(result: Frontiers) -> Figure:
    """Risk over compute for each width, and the envelope."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    (row,) = result.rows(((0.6, 1.1),))
    for ax, method in zip(axes, (SGD, SIGN), strict=True):
        for curve in result.by_width[method.name][::3]:
            ax.plot(result.compute, curve, color=COLOURS[method.name], linewidth=0.8, alpha=0.6)
        best = result.risk[method.name][row]
        ax.plot(result.compute, best, color=COLOURS[method.name], linewidth=2.6, label="frontier")
        eta = result.predicted[row, 0 if method is SGD else 1]
        line = best[-1] * (result.compute / result.compute[-1]) ** -eta
        ax.plot(result.compute, 0.4 * line, **THEORY, label=f"slope {eta:.3f}")
        ax.set(xscale="log", yscale="log", xlabel="compute $f=MN$", title=method.name,
               ylim=(0.2 * result.risk[SIGN.name][row, -1], 3))  # fmt: skip
        ax.legend(loc="lower left")
    axes[0].set_ylabel("risk, best step size")
    headline(fig, "The frontier is the envelope over widths")
    return fig


@plotting.figure(
    alt="Slope of the frontier less SGD's predicted one, at four points of phase III, for four methods, and the "
    "prediction for signSGD as dashes. The sign of the residual alone reaches signSGD's slope; the sign of the "
    "features alone stays with SGD."
)
def halves(result: Frontiers) -> Figure:
    """Slopes of the four methods in phase III."""
    fig, ax = plotting.subplots(size=(7.6, 3.9))
    rows = result.rows(NOISY)
    for shift, method in zip((-0.24, -0.08, 0.08, 0.24), (SGD, FEATURES, RESIDUAL, SIGN), strict=True):
        excess = [result.slope[method.name][row, 1] - result.predicted[row, 0] for row in rows]
        ax.plot(np.arange(len(rows)) + shift, excess, _MARKS[method.name], color=COLOURS[method.name], markersize=8,
                label=method.name)  # fmt: skip
    for place, row in enumerate(rows):
        level = result.predicted[row, 1] - result.predicted[row, 0]
        ax.plot([place - 0.35, place + 0.35], [level, level], **THEORY,
                label="signSGD, predicted" if place == 0 else None)  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(rows)), [f"({result.points[row][0]:g}, {result.points[row][1]:g})" for row in rows])
    ax.set(xlabel="$(\\alpha,\\beta)$", ylabel="slope less SGD's predicted",
           title="The sign of the residual makes the slope steeper")  # fmt: skip
    legend_below(fig)
    return fig


@plotting.figure(
    alt="Left: risk with a decaying step size over that with the best constant one, against compute on the "
    "deterministic equivalent. For slow feature decay the curve stays at one; at alpha 1 and beta 0.3 it falls and "
    "levels off near a half; elsewhere it keeps falling. Right: the same on sampled sketches at small compute, "
    "falling for fast feature decay and flat for slow."
)
def schedules(result: Schedules) -> Figure:
    """What the decay of the step size gains."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), sharey=True, width_ratios=(1.3, 1))
    colours = {(1.0, 0.3): PALETTE["blue"], (1.0, 0.7): PALETTE["green"], (0.6, 1.4): PALETTE["purple"],
               (0.4, 0.3): PALETTE["red"]}  # fmt: skip
    for point, ratio in zip(result.points, result.ratio, strict=True):
        axes[0].plot(result.compute, ratio, "o-", color=colours[tuple(point)],
                     label=f"α = {point[0]:g}, β = {point[1]:g}")  # fmt: skip
    for point, (constant, decayed) in zip(result.sketched_points, result.sketched_risk, strict=True):
        axes[1].plot(result.sketched_compute, decayed / constant, "o-", color=colours[tuple(point)])
    axes[0].set(ylabel="risk of WSD over constant", ylim=(0, 1.1), title="Equivalent, far out")
    axes[1].set(title="Sampled sketches")
    for ax in axes:
        ax.axhline(1, **THEORY)
        ax.set(xscale="log", xlabel="compute $f=MN$")
    legend_below(fig, ncols=4, columnspacing=1.2)
    headline(fig, "Decay helps where features decay fast; at (1, 0.3) by a bounded factor")
    return fig
