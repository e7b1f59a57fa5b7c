"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from companion import plotting
from companion.chapters.inductive_matrix_completion.experiments import (
    Cold,
    Convergence,
    Films,
    Inexact,
    Mixture,
    Noise,
    Spectrum,
    Thresholds,
)
from companion.plotting import PALETTE, THEORY, legend_below

COLOURS = {
    "IMC": PALETTE["blue"],
    "MC": PALETTE["orange"],
    "IMC and MC mixed": PALETTE["green"],
    "user and film biases": PALETTE["grey"],
    "IMC, random features": PALETTE["purple"],
    "IMC, genres": PALETTE["sky"],
}
IMC, MC, MIXED = (COLOURS[name] for name in ("IMC", "MC", "IMC and MC mixed"))
MARKERS = "osD^vP"


@plotting.figure(
    alt="Share of runs that recover the matrix, over the number of entries seen on a log axis. With features the "
    "curves of the two sizes lie on top of each other for each number of features, which shifts them to the right. "
    "Without features the curve of the larger size lies far to the right of that of the smaller."
)
def glance(result: Thresholds) -> Figure:
    """Success over the entries seen, with features and without."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), sharey=True)
    styles = ("-", "--", ":", "-.", (0, (6, 1)), (0, (1, 2)))
    shades = ("sky", "blue", "purple", "green", "grey", "red", "black", "yellow")
    for k, a in enumerate(result.a):
        for j in range(len(result.n)):
            label = f"a = {a}" if j == 0 else None
            axes[0].plot(result.m[k], result.rate[k, j], styles[j], marker=MARKERS[j], color=PALETTE[shades[k]],
                         label=label, markerfacecolor="white" if j else None)  # fmt: skip
    for j, n in enumerate(result.n_mc):
        axes[1].plot(result.m_mc[j], result.rate_mc[j], styles[j], marker=MARKERS[j], color=MC,
                     markerfacecolor="white" if j else None, label=f"n = {n}")  # fmt: skip
    every = np.concatenate([result.m.ravel(), result.m_mc.ravel()])
    for ax in axes:
        ax.set(xscale="log", xlim=(every.min() / 1.3, every.max() * 1.3), xlabel="entries seen, $m$")
    for j, n in enumerate(result.n):
        axes[0].plot([], [], styles[j], marker=MARKERS[j], color="black", label=f"n = {n}",
                     markerfacecolor="white" if j else None)  # fmt: skip
    axes[0].set(title="With features, n drops out", ylabel="share of runs that succeed", ylim=(-0.04, 1.04))
    axes[1].set(title="Without, it decides")
    axes[0].legend(loc="lower right")
    axes[1].legend(loc="upper left")
    return fig


@plotting.figure(
    alt="Left: ranges of the extreme eigenvalues on the tangent space for every size, at two numbers of entries. With "
    "features they stay around one, the same for all sizes; without features the least is zero. Right: the constant "
    "of the regularity condition at each point. With features all points are above a quarter; without, the flattest "
    "directions are near zero."
)
def spectrum(result: Spectrum) -> Figure:
    """Extreme eigenvalues on the tangent space, and the regularity constant at points near the truth."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.3))
    count = len(result.m)
    shades = ("sky", "blue", "purple", "green", "red", "grey")
    names = [f"n = {n}" for n in result.n] + [f"no features,\nn = {result.n_mc}"]
    for k, m in enumerate(result.m):
        shift = 0.34 * ((k + 0.5) / count - 0.5)
        for j in range(len(result.n)):
            for values in (result.least[j, k], result.largest[j, k]):
                place = np.full(len(values), j + shift)
                axes[0].plot(place, values, "_", color=PALETTE[shades[k]], markersize=11,
                             label=f"m = {m}" if j == 0 and values is result.least[j, k] else None)  # fmt: skip
            axes[0].plot([j + shift] * 2, [result.least[j, k].min(), result.largest[j, k].max()],
                         color=PALETTE[shades[k]], linewidth=1)  # fmt: skip
        axes[0].plot([len(result.n) + shift] * 2, [result.least_mc[k], result.largest_mc[k]], "_-", color=MC,
                     markersize=11, linewidth=1)  # fmt: skip
        axes[0].plot([], [], "_", color=PALETTE[shades[k]], markersize=11, label=f"m = {m}")
    axes[0].axhline(1, **THEORY)
    axes[0].set(title="Curvature survives sampling", ylabel="extreme eigenvalues", xlim=(-0.5, len(result.n) + 0.5))
    axes[0].set_xticks(range(len(names)), names)
    axes[0].legend(loc="upper left")
    for j, values in enumerate([*result.convex, result.convex_mc]):
        spread = j + 0.5 * (np.arange(len(values)) / max(len(values) - 1, 1) - 0.5)
        axes[1].plot(spread, values, ".", color=IMC if j < len(result.n) else MC, markersize=6)
    axes[1].set(title="The gradient points home", ylim=(0, None), xlim=(-0.5, len(result.n) + 0.5),
                ylabel=r"$\langle\nabla f,D\rangle\,/\,\sigma_r\|D\|^2$")  # fmt: skip
    axes[1].set_xticks(range(len(names)), names)
    return fig


@plotting.figure(
    alt="Relative error over the steps on a log axis. With features all runs of all sizes fall along straight lines "
    "of nearly the same slope down to rounding, close to the dashed prediction. Without features the smallest size "
    "falls much more slowly, and the larger ones not at all."
)
def convergence(result: Convergence) -> Figure:
    """Errors over the steps, with the rate that the Hessian predicts."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), sharey=True)
    shades = ("sky", "blue", "purple", "green", "red", "grey")
    for ax, errors in zip(axes, (result.errors, result.errors_mc), strict=True):
        for j, n in enumerate(result.n):
            ax.plot(result.steps, np.maximum(errors[j], 1e-16), color=PALETTE[shades[j]], linewidth=1)
            ax.plot([], [], color=PALETTE[shades[j]], label=f"n = {n}")
        ax.set(yscale="log", ylim=(1e-15, 5), xlabel="steps")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    start, factor = len(result.steps) // 5, result.predicted.mean()
    level = np.exp(np.log(np.maximum(result.errors[:, start], 1e-16)).mean())
    line = level * factor ** (result.steps - result.steps[start])
    axes[0].plot(result.steps[start:], line[start:], **THEORY, label="mean predicted rate", zorder=5)
    axes[0].set(title=f"With features, m = {result.m}", ylabel="relative error")
    axes[1].set(title="Without, as many entries")
    axes[0].legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Measured relative error over the predicted one, both on log axes, for every cell and matrix. All points "
    "with features lie on the dashed diagonal, whatever size, features, entries and noise. The points without "
    "features lie far above it at the same prediction, and near the line at a prediction of their own."
)
def noise(result: Noise) -> Figure:
    """Measured against predicted error."""
    fig, ax = plotting.subplots(size=(7.6, 4.6))
    for k in range(len(result.n)):
        ax.plot(np.full(result.error.shape[1], result.predicted[k]), result.error[k], "o", color=IMC, markersize=4,
                alpha=0.6, label="with features" if k == 0 else None)  # fmt: skip
    for place, marker, label in (
        (result.predicted_imc, "s", "without, by the features' prediction"),
        (result.predicted_mc, "D", "without, by (2n − r)r degrees of freedom"),
    ):
        ax.plot(np.full(len(result.error_mc), place), result.error_mc, marker, color=MC, markersize=6, label=label)
    ends = np.array([result.error.min() / 1.3, max(result.error.max(), result.error_mc.max()) * 1.3])
    ax.plot(ends, ends, **THEORY, label="error = prediction")
    ax.set(xscale="log", yscale="log", xlabel="predicted error, $\\sigma\\sqrt{df/(m-df)}$", ylabel="relative error",
           title="The effective size alone decides")  # fmt: skip
    ax.legend(loc="upper left")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    return fig


@plotting.figure(
    alt="Relative error over the tilt on log axes. With features, few entries or many, the error lies on the dashed "
    "floor. Without features it is about one with as few entries, at every tilt, and far below the floor with many."
)
def inexact(result: Inexact) -> Figure:
    """Error over the tilt, beside the floor of the features."""
    fig, ax = plotting.subplots(size=(7.6, 4.5))
    tilt = result.tilt[1:]
    for k, (m, marker) in enumerate(zip(result.m, "os", strict=True)):
        for error, colour, name in ((result.error, IMC, "with features"), (result.error_mc, MC, "without")):
            ax.plot(tilt, error[k, 1:].mean(1), marker, color=colour, markerfacecolor="white" if k else colour,
                    linestyle="-" if k == 0 else ":", linewidth=1, markersize=8 if k else 4.5, zorder=3 - k,
                    label=f"{name}, m = {m}")  # fmt: skip
    ax.plot(tilt, result.floor[1:], **THEORY, label="floor of the features")
    ax.set(xscale="log", yscale="log", xlabel="tilt $\\tau$ out of the features' span", ylabel="relative error",
           title="Inexact features: few entries are enough, down to a floor")  # fmt: skip
    ax.xaxis.set_major_locator(FixedLocator(tilt))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Relative error over the weight of the penalty, from zero, completion without features, to infinity, features "
    "only. With inexact features both curves have a minimum in between, at a smaller weight for more entries. With "
    "exact features the error falls all the way to infinity."
)
def mixture(result: Mixture) -> Figure:
    """Error between matrix completion and its inductive form."""
    fig, ax = plotting.subplots(size=(7.6, 4.4))
    place = np.arange(len(result.lam))
    for k, m in enumerate(result.m):
        ax.plot(place, result.tilted[k], "-o" if k == 0 else "--s", color=MIXED, label=f"inexact features, m = {m}")
        low = int(result.tilted[k].argmin())
        ax.plot(low, result.tilted[k, low], "*", color=PALETTE["red"], markersize=13, zorder=5,
                label="least" if k == 0 else None)  # fmt: skip
    ax.plot(place, result.exact, ":^", color=PALETTE["grey"], label=f"exact features, m = {result.m[0]}")
    ax.set(yscale="log", xlabel="weight λ of the penalty", ylabel="relative error",
           title="Between the two methods there is a better one")  # fmt: skip
    names = [f"{lam:g}" for lam in result.lam]
    names[0], names[-1] = "0\nMC", "∞\nIMC"
    ax.set_xticks(place, names)
    ax.yaxis.set_major_locator(FixedLocator([0.02, 0.05, 0.1, 0.2, 0.5, 1]))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    legend_below(fig, ncols=2)
    return fig


@plotting.figure(
    alt="Relative error of every row, rows never seen first. Without features the rows never seen have errors of one, "
    "the others small ones. With features the rows never seen are only a little worse than the others."
)
def cold(result: Cold) -> Figure:
    """Error of each row, the rows that are never seen first."""
    fig, ax = plotting.subplots(size=(7.6, 4.2))
    row = np.arange(len(result.imc))
    for error, colour, marker, name in (
        (result.mc, MC, "x", "without features"),
        (result.imc, IMC, ".", "with features"),
    ):
        ax.plot(row, np.median(error, axis=1), marker, color=colour, label=name, markersize=6)
    ax.axvspan(-0.5, result.hidden - 0.5, color=PALETTE["grey"], alpha=0.15, linewidth=0, label="rows never seen")
    ax.set(xlabel="row", ylabel="relative error of the row", ylim=(0, 1.35),
           title="Cold start: features speak for rows without an entry")  # fmt: skip
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt=lambda result: (
        "Root-mean-square error over the share of ratings seen. With features from a subspace or from "
        "genres the error is low from the start; completion without features starts at the level of the mean and comes "
        f"close only with most of the ratings; random features never help. Ratings: {result.name}."
    )
)
def films(result: Films) -> Figure:
    """Errors of all methods over the share of ratings seen."""
    fig, ax = plotting.subplots(size=(7.6, 4.8))
    drawn = (
        ("IMC, random features", "IMC, random features", "v:"),
        ("MC", "MC", "s-"),
        ("biases", "user and film biases", "D--"),
        ("IMC, genres", "IMC, genres", "^-"),
        ("IMC, subspace", "IMC", "o-"),
        ("interpolation", "IMC and MC mixed", "P--"),
    )
    for method, colour, style in drawn:
        error = result.of(method)
        ax.plot(result.fraction, error.mean(1), style, color=COLOURS[colour], linewidth=1.4,
                label={"MC": "MC, no features", "biases": "biases"}.get(method, method))  # fmt: skip
    ax.axhline(result.of("mean").mean(), **THEORY, label="the mean rating")
    title = {"movielens-small": "MovieLens", "stand-in": "Synthetic ratings"}[result.name]
    ax.set(xscale="log", xlabel="share of the ratings that is seen", ylabel="root-mean-square error",
           title=f"{title}: features pay where ratings are few")  # fmt: skip
    ax.xaxis.set_major_locator(FixedLocator(result.fraction))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")
    legend_below(fig, ncols=3)
    return fig
