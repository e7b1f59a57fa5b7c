"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

from companion import plotting
from companion.chapters.random_permutation_coordinate_descent.closed_forms import bound, rpcd_rate
from companion.chapters.random_permutation_coordinate_descent.experiments.exact import (
    Blocks,
    Curves,
    RandomMatrices,
    RealData,
    Speedup,
    Torus,
)
from companion.chapters.random_permutation_coordinate_descent.experiments.runs import FIRST, Trajectories, Typical
from companion.chapters.random_permutation_coordinate_descent.experiments.search import Search
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {"RCD": PALETTE["red"], "RPCD": PALETTE["blue"], "CCD": PALETTE["green"]}

_TINY = np.finfo(float).tiny


def _decay(rate: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """``-log rate / (2 sigma)``: decay for each epoch in units of ``2 sigma``, in which every rate is near one."""
    return -np.log(np.maximum(rate, _TINY)) / (2 * sigma)


@plotting.figure(
    alt="Decay per epoch in units of two sigma over sigma for n = 3, 6 and 100. The curve of fresh "
    "permutations lies above the dashed bound and uniform sampling below it, at every sigma. One fixed "
    "order is best for n = 3, crosses both for n = 6, and is near zero for n = 100."
)
def glance(result: Curves) -> Figure:
    """Decay for each epoch over sigma, in units of ``2 sigma``, for three dimensions."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.2), sharey=True)
    axes = axes.ravel()
    for row, (ax, n) in enumerate(zip(axes[:3], result.dimensions, strict=True)):
        for name, label in (
            ("CCD", "one fixed order"),
            ("RPCD", "fresh permutations (RPCD)"),
            ("RCD", "uniform (RCD)"),
        ):
            rate = {"CCD": result.cyclic, "RPCD": result.rpcd, "RCD": result.rcd}[name][row]
            width = 1.2 if name == "CCD" else 2.2
            ax.plot(result.sigma, _decay(rate, result.sigma), color=COLOURS[name], linewidth=width, label=label)
        for name, points in (("RPCD", result.rpcd_points[row]), ("RCD", result.rcd_points[row])):
            ax.plot(result.points, _decay(points, result.points), "o", color=COLOURS[name], markersize=4,
                    markerfacecolor="white", zorder=4)  # fmt: skip
        ax.plot(result.sigma, _decay(result.bound[row], result.sigma), **THEORY, label="bound $B$ between the two")
        ax.set(xscale="log", ylim=(0, 2), xlabel="least eigenvalue $\\sigma$", title=f"n = {n}")
    for ax in axes[::2]:
        ax.set_ylabel("$-\\log\\rho\\,/\\,2\\sigma$ for an epoch")
    axes[3].set_axis_off()
    axes[3].legend(*axes[0].get_legend_handles_labels(), loc="center")
    headline(fig, "A bound lies between the two at every σ; one fixed order has no guarantee")
    return fig


@plotting.figure(
    alt="Left: colour map over sigma and n of how many epochs of RCD an epoch of RPCD is worth, close to one "
    "for small sigma and large n, larger for small n or large sigma. Right: the ratio over sigma for four "
    "dimensions, starting at the dashed values 1 + 1/n and approaching a dashed limit curve for large n."
)
def speedup(result: Speedup) -> Figure:
    """How many epochs of RCD one epoch of RPCD is worth, over n and sigma."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), width_ratios=(1.15, 1))
    mesh = axes[0].pcolormesh(result.sigma, result.n, result.ratio, shading="nearest", vmin=1, vmax=3)
    bar = fig.colorbar(mesh, ax=axes[0], extend="max")
    lines = axes[0].contour(result.sigma, result.n, result.ratio, levels=[1.05, 1.1, 1.25, 1.5, 2], colors="white",
                            linewidths=0.9)  # fmt: skip
    bar.add_lines(lines)
    axes[0].grid(visible=False)
    axes[0].set(xscale="log", yscale="log", xlabel="least eigenvalue $\\sigma$", ylabel="dimension $n$",
                title="RCD epochs in one")  # fmt: skip
    shades = (PALETTE["sky"], PALETTE["orange"], PALETTE["green"], PALETTE["blue"])
    for colour, wanted in zip(shades, (2, 4, 20, 1000), strict=True):
        row = int(np.abs(result.n - wanted).argmin())
        axes[1].plot(result.sigma, result.ratio[row], color=colour, label=f"n = {result.n[row]}")
        start = 1 + 1 / result.n[row]
        axes[1].plot([result.sigma[0], 4 * result.sigma[0]], [start, start], **THEORY)
    axes[1].plot(result.sigma, (1 + result.sigma) * np.arctanh(result.sigma) / result.sigma, **THEORY,
                 label="limits")  # fmt: skip
    axes[1].set(xscale="log", ylim=(0.95, 2.6), xlabel="least eigenvalue $\\sigma$",
                ylabel="$\\log\\rho_{RPCD}\\,/\\,\\log\\rho_{RCD}^{\\,n}$", title="Never below one")  # fmt: skip
    axes[1].legend(loc="upper left")
    return fig


@plotting.figure(
    alt="RPCD's rate over the block size, relative to its largest value, for several sigma. Up to sigma = 0.7 "
    "it rises with the block size; for larger sigma it has a maximum at a finite size, marked by a dot."
)
def blocks(result: Blocks) -> Figure:
    """RPCD's rate over the block size, relative to the largest."""
    fig, ax = plotting.subplots(size=(7.6, 4.3))
    shades = ("grey", "sky", "blue", "green", "orange", "red", "purple")
    for colour, sigma, rate in zip(shades, result.sigma, result.rate, strict=True):
        relative = rate / rate.max()
        ax.plot(result.k, relative, color=PALETTE[colour], label=f"$\\sigma={sigma:g}$")
        ax.plot(result.k[rate.argmax()], 1, "o", color=PALETTE[colour])
    ax.set(xscale="log", ylim=(0, 1.08), xlabel="block size $k$", ylabel="rate over its largest",
           title="Close to σ = 1 a smaller block is worse than the whole")  # fmt: skip
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Heat maps of RPCD's rate over two angles, one for each sigma. The bright maxima lie exactly at the "
    "circles, where all angles are 0 or 180 degrees; the dark minima at the crosses, where the three "
    "vectors form a simplex."
)
def torus(result: Torus) -> Figure:
    """RPCD's rate on all 3 x 3 matrices, one panel for each sigma."""
    count = len(result.sigma)
    cols = min(2, count)
    rows = -(-count // cols)
    fig, axes = plotting.subplots(rows, cols, size=(7.6, 3.3 * rows + 0.4), squeeze=False)
    degrees = np.degrees(result.angle)
    for k, ax in enumerate(axes.ravel()):
        if k >= count:
            ax.set_visible(False)
            continue
        low, high = result.rate[k].min(), result.rate[k].max()
        share = (result.rate[k] - low) / max(high - low, _TINY)
        mesh = ax.pcolormesh(degrees, degrees, share, shading="nearest", vmin=0, vmax=1, rasterized=True)
        signs = np.array([0, 180, 360])
        ax.plot(*np.meshgrid(signs, signs), "o", color=PALETTE["red"], markerfacecolor="none", markersize=8,
                clip_on=False, zorder=5)  # fmt: skip
        flat = np.array([(60, 120), (120, 60), (60, 300), (300, 60), (120, 240), (240, 120), (240, 300), (300, 240)])
        ax.plot(*flat.T, "+", color="white", markersize=6)
        ax.grid(visible=False)
        ax.set(xlim=(-4, 364), ylim=(-4, 364), box_aspect=1, title=f"$\\sigma={result.sigma[k]:g}$")
        ax.set_xticks([0, 180, 360])
        ax.set_yticks([0, 180, 360], ["0", "180", "360"] if k % cols == 0 else [])
        ax.set_xlabel("angle $\\alpha$, degrees")
        if k % cols == 0:
            ax.set_ylabel("angle $\\beta$, degrees")
    bar = fig.colorbar(mesh, ax=axes, shrink=0.75, pad=0.01)
    bar.set_label("RPCD's rate,\nleast to largest")
    headline(fig, "All 3×3 matrices: worst at the sign patterns (circles), best at the simplex (crosses)")
    return fig


@plotting.figure(
    alt="Distance of the best rate found from the class maximum over the rounds of local moves, on a log "
    "axis, for every dimension and sigma. All searches fall by orders of magnitude towards zero; dotted "
    "lines mark the simplex matrix, far above."
)
def search(result: Search) -> Figure:
    """Distance of the best matrix found from the class maximum, over the rounds."""
    count = len(result.n)
    rows, cols = -(-count // 2), min(2, count)
    fig, axes = plotting.subplots(rows, cols, size=(7.6, 3.4 * rows + 0.4), sharey=True, squeeze=False)
    shades = list(plotting.PALETTE.values())
    rounds = np.arange(result.best.shape[-1])
    for row, (ax, n) in enumerate(zip(axes.ravel()[:count], result.n, strict=True)):
        for k, sigma in enumerate(result.sigma):
            gap = np.maximum(1 - result.best[row, k] / result.maximum[row, k], 1e-16)
            for j, one in enumerate(gap):
                ax.plot(rounds, one, color=shades[k % len(shades)], linewidth=1.1,
                        label=f"$\\sigma={sigma:g}$" if j == 0 else None)  # fmt: skip
            ax.axhline(max(1 - result.simplex[row, k] / result.maximum[row, k], _TINY), linewidth=0.9, linestyle=":",
                       color=shades[k % len(shades)])  # fmt: skip
        ax.set(yscale="log", xlabel="round of local moves", title=f"n = {n}")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for ax in axes.ravel()[count:]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("$1-\\rho\\,/\\,$class maximum")
    headline(fig, "The searches climb towards the class, and none passes it")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Decay per epoch over sigma for random matrices on the left and real Gram matrices on the right. All "
    "points of RPCD lie on or above the dotted curve of the class, all points of RCD below the dashed "
    "bound."
)
def matrices(random: RandomMatrices, real: RealData) -> Figure:
    """Random and real matrices: decay for each epoch of both methods, with the bound between."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    n = int(random.n.max())
    of_n = random.n == n
    sigma = np.geomspace(0.01, 0.95, 200)
    groups = (
        (axes[0], n, random.sigma[of_n], random.rcd[of_n] ** n, random.rpcd[of_n], f"Random matrices, n = {n}", 3.2),
        (axes[1], real.n, real.sigma, real.rcd, real.rpcd, f"Real features, n = {real.n}", 5.0),
    )
    for ax, size, least, rcd, rpcd, title, marker in groups:
        if ax is axes[1]:
            sigma = np.geomspace(min(0.5, least.min() / 2), 0.95, 200)
        ax.plot(least, _decay(rpcd, least), "o", color=COLOURS["RPCD"], markersize=marker, label="RPCD")
        ax.plot(least, _decay(rcd, least), "s", color=COLOURS["RCD"], markersize=marker, label="RCD")
        ax.plot(sigma, _decay(bound(size, sigma), sigma), **THEORY, label="bound $B$")
        ax.plot(sigma, _decay(rpcd_rate(size, sigma), sigma), color=COLOURS["RPCD"], linewidth=1, linestyle=":",
                label="RPCD on the class")  # fmt: skip
        ax.set(xscale="log", yscale="log", ylim=(0.5, 3), xlabel="least eigenvalue $\\sigma$",
               title=title)  # fmt: skip
        ax.yaxis.set_major_locator(FixedLocator([0.5, 0.75, 1, 1.5, 2, 3]))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("$-\\log\\rho\\,/\\,2\\sigma$ for an epoch")
    headline(fig, "Off the class, too, the bound separates the methods: as conjectured")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="For twelve real Gram matrices, how many epochs of RCD one epoch is worth, on a log axis. Fresh "
    "permutations are always above one. A single random order kept for all epochs is worth two epochs or "
    "more on most centred features, and a fraction of one on features that are not centred with a ridge."
)
def once(result: RealData) -> Figure:
    """One order kept for all epochs, against fresh permutations, on real features."""
    fig, ax = plotting.subplots(size=(7.6, 4.6))
    unit = np.log(result.rcd)
    places = np.arange(len(result.names))[::-1]
    for k, place in enumerate(places):
        speed = np.log(result.once[k]) / unit[k]
        spread = place + 0.5 * (np.arange(len(speed)) / max(1, len(speed) - 1) - 0.5)
        ax.plot(speed, spread, ".", color=COLOURS["CCD"], markersize=3, alpha=0.7,
                label="one random order, kept: 200 orders" if k == 0 else None)  # fmt: skip
        ax.plot(np.log(result.rpcd[k]) / unit[k], place, "D", color=COLOURS["RPCD"], markersize=6, zorder=4,
                markeredgecolor="white", label="fresh permutations (RPCD)" if k == 0 else None)  # fmt: skip
    ax.axvline(1, color=COLOURS["RCD"], label="uniform (RCD)")
    ax.set(xscale="log", yticks=places, xlabel="epochs of RCD in one epoch",
           title="Shuffling once is a gamble, every epoch is not")  # fmt: skip
    ax.set_yticklabels(result.names)
    ax.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 4]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    legend_below(fig)
    return fig


@plotting.figure(
    alt="Mean squared distance over epochs on a log axis for RCD, RPCD and the cyclic order, with bands of "
    "the deciles. The means lie on the dashed exact curves; RPCD falls faster than the dotted slope of "
    "the bound, RCD slower, and the cyclic order flattens out."
)
def trajectories(result: Trajectories) -> Figure:
    """Mean squared distance over the epochs, with the exact expectation."""
    fig, ax = plotting.subplots(size=(7.6, 4.4))
    epochs = np.arange(result.mean.shape[1])
    for row, name in enumerate(result.names):
        ax.fill_between(epochs, np.maximum(result.low[row], _TINY), np.maximum(result.high[row], _TINY),
                        color=COLOURS[name], alpha=0.15, linewidth=0)  # fmt: skip
        ax.plot(
            epochs, np.maximum(result.mean[row], _TINY), "o", color=COLOURS[name], label=f"{name}, mean of the runs"
        )
        ax.plot(epochs, np.maximum(result.exact[row], _TINY), **THEORY, zorder=3)
    ax.plot([], [], **THEORY, label="exact")
    reference = np.maximum(result.exact[1, FIRST], _TINY) * result.bound ** (epochs - FIRST)
    ax.plot(epochs[FIRST:], reference[FIRST:], color="black", linewidth=0.9, linestyle=":", label="slope $B$")
    ax.set(yscale="log", xlabel="epochs $K$", ylabel="$E\\,\\|x_K\\|^2$",
           title=f"Runs on the class follow the exact rates (n = {result.n}, σ = {result.sigma:g})")  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Decay per epoch over sigma for typical runs and in mean square. RPCD's typical rate lies just above "
    "its dashed mean-square curve; RCD's gains more over its own but stays well below RPCD; one fixed "
    "order is lowest."
)
def typical(result: Typical) -> Figure:
    """Typical rates beside mean-square rates."""
    fig, ax = plotting.subplots(size=(7.6, 4.3))
    for name, square, rate, error in (
        ("RPCD", result.rpcd_square, result.rpcd, result.rpcd_error),
        ("RCD", result.rcd_square, result.rcd, result.rcd_error),
    ):
        ax.plot(result.sigma, _decay(square, result.sigma), **THEORY,
                label="mean square, exact" if name == "RPCD" else None)  # fmt: skip
        ax.errorbar(result.sigma, _decay(rate, result.sigma), 2 * error / (2 * result.sigma), fmt="o-",
                    color=COLOURS[name], linewidth=1.2, label=f"typical run, {name}")  # fmt: skip
    ax.plot(result.sigma, _decay(result.cyclic, result.sigma), "v-", color=COLOURS["CCD"], linewidth=1.2,
            label="one fixed order, every run")  # fmt: skip
    ax.set(xscale="log", xlabel="least eigenvalue $\\sigma$", ylabel="$-\\log\\rho\\,/\\,2\\sigma$ for an epoch",
           title=f"Typical runs keep the order of the methods (class, n = {result.n})")  # fmt: skip
    legend_below(fig, ncols=3)
    return fig
