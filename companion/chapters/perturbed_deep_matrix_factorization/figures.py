"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter

from companion import plotting
from companion.chapters.perturbed_deep_matrix_factorization.experiments.matrices import Gaussian
from companion.chapters.perturbed_deep_matrix_factorization.experiments.noiseless import Counts, Limits, Maps
from companion.chapters.perturbed_deep_matrix_factorization.experiments.noisy import (
    Limit,
    Passages,
    Paths,
    Recovery,
    Spectra,
    Threshold,
)
from companion.chapters.perturbed_deep_matrix_factorization.noise import denoising, nuclear_rank
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {"GD": PALETTE["grey"], "SpecGD": PALETTE["purple"]}
SIGNAL, NOISE, PHASE = PALETTE["blue"], PALETTE["orange"], PALETTE["green"]
DEPTHS = [PALETTE[name] for name in ("blue", "orange", "green", "purple", "sky", "red", "grey")]


def _shade(ax: Axes, begin: float, end: float, **kwargs: object) -> None:
    """The phase, where it is not empty."""
    if begin < end:
        ax.axvspan(max(begin, 1), end, color=PHASE, alpha=0.18, linewidth=0, **kwargs)


def _eigenvalues(ax: Axes, paths: Paths, passages: Passages, row: int, column: int, r: int) -> None:
    """Eigenvalues of the product over the iterations, with the measured phase and the promised edges."""
    at = np.maximum(paths.iterations[0, row], 1)
    products = paths.products[row, :, column]
    ax.plot(at, products[:, r:], color=NOISE, linewidth=0.7)
    ax.plot(at, products[:, :r], color=SIGNAL)
    size = paths.chosen[column]
    T0, T1 = passages.T0[0, row, size, 0], passages.T1[0, row, size, 0]
    _shade(ax, T0, min(T1, at[-1]))
    for edge in (passages.begin[row, size], passages.end[row, size]):
        if passages.begin[row, size] < passages.end[row, size] and np.isfinite(edge):
            ax.axvline(edge, **THEORY)
    ax.set(xscale="log", xlim=(max(2, T0 / 12) if np.isfinite(T0) else 2, at[-1]), xlabel="iteration $k$")


def _handles() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=SIGNAL, label="to be learned"),
        Line2D([], [], color=NOISE, label="noise"),
        Patch(color=PHASE, alpha=0.25, label="low-rank phase"),
        Line2D([], [], **THEORY, label="promised by the theorem"),
    ]


@plotting.figure(
    alt="Left: eigenvalues of the product over iterations, for two factors. Two blue curves rise to their targets one "
    "after the other; then follows a shaded stretch, the low-rank phase, and only after it the orange curves of the "
    "noise rise. Dashed lines inside the stretch mark what the theorem promises. Right: beginning and end of the phase "
    "over the norm of the noise on log axes; the end falls inversely to the norm and meets the beginning."
)
def glance(paths: Paths, passages: Passages) -> Figure:
    """A run with its phase, and the phase over the norm of the noise."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0))
    r = passages.learned.shape[-1]
    _eigenvalues(axes[0], paths, passages, 0, 1, r)
    axes[0].set(ylabel="eigenvalues of $W(k)$", title=f"A phase of rank {r} (e = {paths.sizes[1]:g})")
    T0, T1 = passages.T0[0, 0, :, :-1], passages.T1[0, 0, :, :-1]
    sizes = passages.sizes
    known = np.isfinite(T1).all(-1) & np.isfinite(T0).all(-1)
    begin, end = T0[known].mean(-1), T1[known].mean(-1)
    axes[1].fill_between(sizes[known], begin, end, where=end > begin, color=PHASE, alpha=0.18, linewidth=0,
                         interpolate=True)  # fmt: skip
    axes[1].plot(sizes[known], begin, "o-", color=SIGNAL, label="begin $T_0$")
    axes[1].plot(sizes[known], end, "o-", color=NOISE, label="end $T_1$")
    both = np.isfinite(passages.begin[0])
    axes[1].plot(sizes[both], passages.begin[0][both], **THEORY)
    axes[1].plot(sizes, passages.end[0], **THEORY)
    axes[1].set(xscale="log", yscale="log", xlabel="norm of the noise $e$", ylabel="iteration",
                title="More noise ends it sooner")  # fmt: skip
    axes[1].xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes[1].xaxis.set_major_formatter("{x:g}")
    axes[1].xaxis.set_minor_formatter(NullFormatter())
    axes[1].tick_params(axis="x", rotation=45)
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes[1].yaxis.set_major_formatter("{x:g}")
    axes[1].yaxis.set_minor_formatter(NullFormatter())
    axes[1].legend(loc="upper right")
    fig.legend(handles=_handles(), loc="outside lower center", ncols=2)
    return fig


@plotting.figure(
    alt="Measured iterations over the lower and the upper bound, for every case of a grid, over the number of "
    "iterations. All points of the lower bound lie at or above one, all points of the upper bound at or below one."
)
def counts(result: Counts) -> Figure:
    """Measured first passages over both bounds."""
    steps = np.unique(result.step)[[0, -1]]
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9), sharey=True)
    for ax, step in zip(axes, steps, strict=True):
        own = (result.step == step) & (result.lower > 0.5)
        ax.plot(result.k[own], result.k[own] / result.lower[own], "^", color=SIGNAL, markersize=4,
                label="measured over lower bound")  # fmt: skip
        ax.plot(result.k[own], result.k[own] / result.upper[own], "v", color=NOISE, markersize=4,
                label="measured over upper bound")  # fmt: skip
        ax.axhline(1, **THEORY)
        ax.set(xscale="log", yscale="log", xlabel="iterations", title=f"$\\eta={step:g}\\,\\bar\\eta$")
    axes[0].set_ylabel("ratio")
    for ax in axes:
        ax.yaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5]))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    headline(fig, "Two closed forms enclose every count, at small steps closely")
    legend_below(fig, ncols=2)
    return fig


@plotting.figure(
    alt="Maps over second eigenvalue and start of the product, one for each of three depths, and one over second "
    "eigenvalue and step for two factors. A phase exists in the shaded region of small second eigenvalues and small "
    "starts, larger for more factors; the theorem's dashed line lies inside it. In the map of steps the region ends "
    "abruptly a little below twice the step without overshoot."
)
def phase_map(result: Maps) -> Figure:
    """Where the phase exists, with the theorem's boundary."""
    shown = min(3, len(result.depths))
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.6))
    axes = axes.ravel()
    colours = ListedColormap(["white", PHASE])
    for row in range(3):
        if row >= shown:
            axes[row].set_visible(False)
            continue
        ax = axes[row]
        ax.pcolormesh(result.seconds, result.starts, result.by_start[0, row], cmap=colours, alpha=0.35,
                      shading="nearest", vmin=0, vmax=1, rasterized=True)  # fmt: skip
        ax.plot(np.where(result.promised_by_start[row] > 0, result.promised_by_start[row], np.nan), result.starts,
                **THEORY)  # fmt: skip
        ax.set(yscale="log", ylabel="start $\\alpha^N$", title=f"N = {result.depths[row]}")
    ax = axes[3]
    ax.pcolormesh(result.seconds, result.steps, result.by_step[0], cmap=colours, alpha=0.35, shading="nearest", vmin=0,
                  vmax=1, rasterized=True)  # fmt: skip
    stable = result.steps <= 1
    ax.plot(np.where(result.promised_by_step > 0, result.promised_by_step, np.nan)[stable], result.steps[stable],
            **THEORY)  # fmt: skip
    ax.set(ylabel="step $\\eta/\\bar\\eta$", title="N = 2, over the step")
    for ax in axes:
        ax.grid(visible=False)
        ax.set(xlabel="second eigenvalue $\\lambda_2$", xlim=(0, 1))
    handles = [
        Patch(color=PHASE, alpha=0.35, label="a phase of rank one was measured"),
        Line2D([], [], **THEORY, label="promised to the left of this line"),
    ]
    headline(fig, "Gap, start and step: each alone can destroy the phase")
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
    return fig


@plotting.figure(
    alt="Ratio of end to beginning of the phase over the start of a factor, shrinking to the right, for each depth. "
    "The curves of gradient descent rise to their dashed limits, well above one; those of spectral descent stay far "
    "below one."
)
def limits(result: Limits) -> Figure:
    """``T1 / T0`` as the start shrinks."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    two = result.depths == 2
    for ax, chosen, title in ((axes[0], two, "Two factors"), (axes[1], ~two, "Three and more")):
        if not chosen.any():
            ax.set_visible(False)
            continue
        for row in np.flatnonzero(chosen):
            colour = DEPTHS[(result.depths[row] - 2) % len(DEPTHS)]
            for k, (marker, style) in enumerate((("o", "-"), ("s", ":"))):
                ax.plot(result.alphas[row], result.ratio[k, row], marker, linestyle=style, color=colour,
                        label=f"N = {result.depths[row]}, {('GD', 'SpecGD')[k]}")  # fmt: skip
            ax.axhline(result.limit[row], **THEORY)
        ax.axhline(1, color=PALETTE["black"], linewidth=0.9)
        ax.set(xscale="log", xlabel="start of a factor $\\alpha$", ylim=(0, 2.15), title=title)
        ax.invert_xaxis()
    axes[0].xaxis.set_major_locator(FixedLocator([1.0, 1e-25, 1e-50, 1e-75, 1e-100]))
    axes[0].set_ylabel("$T_1/T_0$")
    headline(fig, "Above one is a phase: smaller starts reach a limit, spectral descent never has one")
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Product of the largest eigenvalue over iterations at two steps. At the step for the noisy target both runs "
    "settle at their dashed limits. At the step for the target alone the run without noise oscillates and settles, "
    "while the run with noise keeps jumping between two values."
)
def steps(result: Limit) -> Figure:
    """The largest eigenvalue at both steps, without and with noise."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    goals = (result.target[0], result.target[0] + result.sizes.max(initial=0))
    titles = ("A step for $\\lambda_1+e$", "A step for $\\lambda_1$ alone")
    for ax, lines, title in zip(axes, result.products, titles, strict=True):
        for line, goal, colour, name in zip(
            lines, goals, (SIGNAL, NOISE), ("without noise", "with noise"), strict=True
        ):
            ax.plot(result.iterations, line, ".-", color=colour, linewidth=1.2, label=name,
                    zorder=3 if name == "without noise" else 2)  # fmt: skip
            ax.axhline(goal, **THEORY)
        ax.set(xlabel="iteration $k$", title=title)
    axes[0].set_ylabel("largest eigenvalue $d_1^N$")
    headline(fig, "Noise lowers the admissible step")
    legend_below(fig, ncols=2)
    return fig


@plotting.figure(
    alt="Iterations with noise over iterations without, over the ratio of the eigenvalue without noise to that with, "
    "for all draws and norms. The points of gradient descent lie on the diagonal; those of spectral descent fall as "
    "the ratio grows."
)
def slowdown(passages: Passages, spectra: Spectra, recovery: Recovery) -> Figure:
    """The law ``lam / lam_hat`` for the number of iterations."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    target = recovery.target
    chosen = passages.sizes <= target[-1] / 2
    change = target / spectra.values[chosen][..., : len(target)]
    ends = np.array([change.min(initial=1), change.max(initial=1)])
    for ax, row in zip(axes, (0, len(passages.depths) - 1), strict=True):
        for name, learned, clean, marker in (
            ("SpecGD", passages.spectral_learned, passages.spectral_clean, "s"),
            ("GD", passages.learned, passages.clean, "o"),
        ):
            ax.plot(change.ravel(), (learned[row][chosen] / clean[row]).ravel(), marker, color=COLOURS[name],
                    markersize=3.5, alpha=0.8, label=name)  # fmt: skip
        ax.plot(ends, ends, **THEORY, label="$\\lambda/\\hat\\lambda$")
        ax.set(xlabel="$\\lambda/\\hat\\lambda$", title=f"N = {passages.depths[row]}")
    axes[0].set_ylabel("iterations, with over without noise")
    headline(fig, "An eigenvalue lowered by noise takes longer in proportion")
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Left: error of each eigenvalue at the end of the runs over the norm of the noise; all points lie between "
    "minus one and one, and only the noise made for it reaches one. Right: mean shift of the learned eigenvalues over "
    "the norm of the noise on log axes, close to dashed lines of slope two and far below the line of Weyl's bound."
)
def recovery(limit: Limit, result: Recovery) -> Figure:
    """Recovery of eigenvalues: worst case and Gaussian noise."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    r = len(result.target)
    axes[0].set_visible(len(limit.sizes) > 0)  # no norm is small enough for runs of the limit
    shift = (limit.final[0] - limit.target) / limit.sizes[:, None, None]
    for k, size in enumerate(limit.sizes):
        spread = size * np.exp(0.12 * np.linspace(-1, 1, shift.shape[1] - 1))
        axes[0].plot(spread, shift[k, :-1, r:].max(-1), ".", color=NOISE,
                     label="Gaussian, largest unlearned" if k == 0 else None)  # fmt: skip
        axes[0].plot(spread, shift[k, :-1, :r], ".", color=SIGNAL,
                     label=None)  # fmt: skip
        axes[0].plot(size, shift[k, -1, 0], "D", color=PALETTE["red"],
                     label="the noise made for $\\lambda_1$" if k == 0 else None)  # fmt: skip
    axes[0].plot([], [], ".", color=SIGNAL, label="Gaussian, learned")
    for bound in (-1, 1):
        axes[0].axhline(bound, **THEORY)
    axes[0].set(xscale="log" if len(limit.sizes) else "linear", xlabel="norm of the noise $e$",
                ylabel="shift of an eigenvalue, over $e$",
                ylim=(-1.15, 1.15), title="At most the norm")  # fmt: skip
    for i in (0, r - 1) if r > 1 else (0,):
        colour = DEPTHS[0] if i == 0 else PALETTE["sky"]
        axes[1].errorbar(result.sizes, result.mean[:, i], yerr=2 * result.error[:, i], fmt="o", color=colour,
                         label=f"mean, $\\lambda={result.target[i]:g}$")  # fmt: skip
        axes[1].plot(result.sizes, result.predicted[:, i], **THEORY, label="$e^2/4\\lambda$" if i == 0 else None)
    axes[1].plot(result.sizes, result.sizes, color=PALETTE["red"], linewidth=1.2, label="$e$, the bound")
    low = result.sizes[0] ** 2 / (12 * result.target[0])
    axes[1].set(xscale="log", yscale="log", ylim=(low, 2 * result.sizes[-1]), xlabel="norm of the noise $e$",
                ylabel="mean shift", title="Gaussian noise: second order")  # fmt: skip
    for ax, sizes in zip(axes, (limit.sizes, result.sizes), strict=True):
        ax.xaxis.set_major_locator(FixedLocator(list(sizes)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.tick_params(axis="x", rotation=45)
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Eigenvalues of the product over iterations, one panel for each of three norms of the noise and two depths. "
    "Blue curves rise first, orange ones later; the shaded phase between is long for little noise, short for more, "
    "and gone or nearly so for the largest. Three factors have longer phases than two."
)
def eigenvalues(paths: Paths, passages: Passages) -> Figure:
    """Eigenvalues along runs with three norms of the noise."""
    rows = list(range(min(2, len(paths.depths))))
    fig, axes = plotting.subplots(3, len(rows), size=(7.6, 8.4), sharey="row", squeeze=False)
    r = passages.learned.shape[-1]
    for row in rows:
        for column in range(3):
            ax = axes[column, row]
            _eigenvalues(ax, paths, passages, row, column, r)
            ax.set_title(f"N = {paths.depths[row]}, e = {paths.sizes[column]:g}")
            if column < 2:
                ax.set_xlabel("")
    for ax in axes[:, 0]:
        ax.set_ylabel("eigenvalues of $W(k)$")
    headline(fig, "The phase shrinks with the noise, and outlives the theorem's promise")
    fig.legend(handles=_handles(), loc="outside lower center", ncols=4)
    return fig


@plotting.figure(
    alt="End of the phase over the norm of the noise on log axes, for each depth. For the target of exact low rank it "
    "falls along dashed lines of slope minus one; for a target with a further eigenvalue it is flat while the noise is "
    "small."
)
def length(result: Passages) -> Figure:
    """The end of the phase over the norm of the noise."""
    fig, ax = plotting.subplots(size=(7.6, 4.4))
    for row, depth in enumerate(result.depths):
        colour = DEPTHS[(depth - 2) % len(DEPTHS)]
        ends = result.T1[0, row, :, :-1].mean(-1)
        ax.plot(result.sizes, ends, "o-", color=colour, label=f"N = {depth}")
        ax.plot(result.sizes, result.tail_end[row].mean(-1), "s:", color=colour)
        ax.plot(result.sizes, result.end[row], **THEORY)
    ax.plot([], [], "o-", color=PALETTE["black"], label="exact low rank")
    ax.plot([], [], "s:", color=PALETTE["black"], label="with a tail")
    ax.plot([], [], **THEORY, label="promised end")
    ax.set(xscale="log", yscale="log", xlabel="norm of the noise $e$", ylabel="end of the phase $T_1$, iterations",
           title="Exact low rank: the end goes like 1/e. With a tail: like 1/(λ + e)")  # fmt: skip
    ax.xaxis.set_major_locator(FixedLocator(list(result.sizes)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Ratio of end to beginning of the phase at a very small start over the norm of the noise, in units of the gap. "
    "Under the worst noise the ratio falls to one at half the gap and stays there; under Gaussian noise it stays above "
    "one much longer, close to the dashed prediction, which reaches one at twice the gap."
)
def threshold(result: Threshold) -> Figure:
    """How much noise the phase bears."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), sharey=True)
    for ax, row in zip(axes, (0, min(1, len(result.depths) - 1)), strict=True):
        low, high = result.gaussian[row].min(-1), result.gaussian[row].max(-1)
        ax.fill_between(result.fractions, low, high, color=SIGNAL, alpha=0.3, linewidth=0,
                        label="Gaussian noise, all draws")  # fmt: skip
        ax.plot(result.fractions, result.worst[row], "o", color=PALETTE["red"], markersize=3.5, label="worst noise")
        ax.plot(result.fractions, result.predicted[row], **THEORY, label="predicted")
        ax.plot(result.fractions, result.predicted_worst[row], **THEORY)
        ax.axhline(1, color=PALETTE["black"], linewidth=0.9)
        ax.axvline(0.5, color=PALETTE["red"], linewidth=0.9, linestyle=":")
        ax.set(yscale="log", ylim=(0.7, 14), xlabel="norm of the noise over the gap", title=f"N = {result.depths[row]}")
        ax.yaxis.set_major_locator(FixedLocator([1, 2, 5, 10]))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("$T_1/T_0$")
    headline(fig, "Half the gap is the limit for the worst noise, not for Gaussian noise")
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Error over that of the limit, over iterations, for gradient descent and spectral descent at two depths. "
    "Gradient descent falls to the dashed prediction, stays there during the shaded phase and rises to one; spectral "
    "descent never falls below one."
)
def denoise(paths: Paths, passages: Passages, spectra: Spectra) -> Figure:
    """Error along the runs at the second norm of the noise."""
    rows = range(min(2, len(paths.depths)))
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    size, r = paths.chosen[1], passages.learned.shape[-1]
    for ax, row in zip(axes, rows, strict=False):
        for k, name in enumerate(COLOURS):
            at = np.maximum(paths.iterations[k, row], 1)
            relative = paths.error[k, row, :, 1] / paths.final[1]
            plotting.band(ax, at, relative, COLOURS[name], label=name)
        last = min(passages.T1[0, row, size, :-1].min(), paths.iterations[0, row, -1])
        _shade(ax, passages.T0[0, row, size, :-1].max(), last, label="phase of GD")
        ax.axhline(denoising(spectra.values.shape[-1], r), **THEORY, label="predicted in the phase")
        ax.axhline(1, color=PALETTE["black"], linewidth=0.9)
        ax.set(xscale="log", yscale="log", xlim=(10, None), ylim=(0.25, 8), xlabel="iteration $k$",
               title=f"N = {paths.depths[row]}")  # fmt: skip
        ax.yaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 5]))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    for ax in axes[len(rows) :]:
        ax.set_visible(False)
    axes[0].set_ylabel("$\\|W(k)-W\\|_F$ over its limit")
    headline(fig, f"Stopped in the phase, GD removes noise (e = {paths.sizes[1]:g})")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Nuclear rank and error over iterations for full gradient descent from Gaussian factors. From a small start "
    "the rank falls to that of the first eigenvalue, rests at the target's rank, where the error is least, and rises; "
    "from a large start it stays above and the error changes little."
)
def gaussian(result: Gaussian) -> Figure:
    """Rank and error from Gaussian factors."""
    shown = min(2, len(result.depths))
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.6), sharex="col", sharey="row")
    wanted = float(nuclear_rank(result.target))
    at = np.maximum(result.iterations, 1)
    for row in range(shown):
        for k, (name, colour) in enumerate((("small start", SIGNAL), ("large start", NOISE))):
            for ax, values in ((axes[0, row], result.rank), (axes[1, row], result.error)):
                ax.plot(at, values[k, row], color=colour, linewidth=1.0)
            axes[0, row].plot([], [], color=colour, label=name)
        axes[0, row].axhline(wanted, **THEORY, label="the target's rank")
        axes[0, row].set(ylim=(0.8, 3.2 * wanted), title=f"N = {result.depths[row]}")
        axes[1, row].axhline(1, color=PALETTE["black"], linewidth=0.9)
        axes[1, row].set(xscale="log", ylim=(0, 2), xlabel="iteration $k$")
        axes[1, row].yaxis.set_major_locator(MaxNLocator(4))
    for ax in axes[:, shown:].ravel():
        ax.set_visible(False)
    axes[0, 0].set_ylabel("nuclear rank of $W(k)$")
    axes[1, 0].set_ylabel("error over that of $\\widehat W$")
    headline(fig, "From small Gaussian factors, too, the rank rests at the target's")
    legend_below(fig, axes[0, 0], ncols=3)
    return fig
