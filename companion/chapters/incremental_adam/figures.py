"""The chapter's figures, each drawn from experiments' results."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from companion import plotting
from companion.chapters.incremental_adam.experiments.examples import Images, Reductions
from companion.chapters.incremental_adam.experiments.limits import EpochMap, FixedPoints, Scaling, Sweep
from companion.chapters.incremental_adam.experiments.training import Epsilon, Memory, Runs
from companion.plotting import PALETTE, THEORY, band, legend_below

COLOURS = {
    "Adam": PALETTE["orange"],
    "incremental Adam": PALETTE["blue"],
    "Adam proxy": PALETTE["green"],
    "Signum": PALETTE["purple"],
    "SGD": PALETTE["grey"],
}
KINDS = ("Gaussian data", "Scaled Rademacher data")
_FLOOR = 1e-12  # 1 - cos below rounding, on logarithmic axes
_SERIES = [PALETTE[name] for name in ("sky", "blue", "green", "purple", "orange", "red", "grey", "black")]


@plotting.figure(
    alt="Paths of four algorithms in the plane of the two normalized margins. On Gaussian data full-batch Adam and "
    "Signum end at the infinity-norm corner, SGD at the 2-norm corner, Adam with one sample a step at a dual fixed "
    "point, and larger batches between along the dashed line of fixed points. On scaled Rademacher data Adam with "
    "one sample a step ends with SGD at the 2-norm corner."
)
def glance(runs: Runs, found: FixedPoints) -> Figure:
    """Every rule's path in the plane of the two normalized margins, mean over the datasets, one panel for each kind."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.9), sharey=True)
    curves = [
        ("Adam, full batch", runs.adam[-1], COLOURS["Adam"], "-"),
        ("Adam, one sample", runs.adam[0], COLOURS["incremental Adam"], "-"),
        ("Signum, one sample", runs.signum[0], COLOURS["Signum"], "-"),
        ("SGD, one sample", runs.sgd[0], COLOURS["SGD"], (0, (2.2, 1.4))),  # seen where it lies on Adam's path
    ]
    titles = ("Gaussian: Adam's limit\ndepends on the batch size", "Scaled Rademacher:\none sample goes to $\\ell_2$")
    data = runs.data
    for kind, (ax, rows, title) in enumerate(zip(axes, runs.kinds, titles, strict=True)):
        for name, curve, colour, style in curves:
            x, y = curve.r2[:, rows], curve.rinf[:, rows]
            ax.plot(x, y, color=colour, linewidth=0.6, alpha=0.25)
            label = name if kind == 0 else None
            ax.plot(x.mean(1), y.mean(1), linestyle=style, color=colour, linewidth=2.4, label=label)
            ax.plot(x[-1].mean(), y[-1].mean(), "o", color=colour, markersize=6)
        ends = {
            "$\\ell_2$": (1.0, data.rinf(data.l2)[rows].mean()),
            "$\\ell_\\infty$": (data.r2(data.linf)[rows].mean(), 1.0),
        }
        for name, (x, y) in ends.items():
            ax.plot(x, y, "*", color="black", markersize=11, zorder=4)
            ax.annotate(name, (x, y), (7, 4), textcoords="offset points", fontsize=11)
        if kind == 0:
            _between(ax, runs, found)
        ax.set(xlabel="normalized $\\ell_2$ margin $r_2$", title=title, xlim=(0.55, 1.09), ylim=(0.3, 1.09))
    axes[0].set_ylabel("normalized $\\ell_\\infty$ margin $r_\\infty$")
    legend_below(fig, axes[0])
    return fig


def _between(ax: Axes, runs: Runs, found: FixedPoints) -> None:
    """Adam's ends for batch sizes below N on Gaussian data, and the fixed points that predict them."""
    predicted = [found.w, *found.batch_w]
    ax.plot([found.data.r2(w).mean() for w in predicted], [found.data.rinf(w).mean() for w in predicted], "x--",
            color="black", linewidth=1.2, markersize=7, zorder=5, label="dual fixed points")  # fmt: skip
    single = (found.data.r2(found.w).mean(), found.data.rinf(found.w).mean())
    ax.annotate("batch 1", single, (6, -16), textcoords="offset points", fontsize=9.6)
    rows = runs.kinds[0]
    for place, batch in enumerate(found.batches):
        end = runs.adam[runs.batches.index(batch)]
        x, y = end.r2[-1, rows].mean(), end.rinf[-1, rows].mean()
        label = "Adam, larger batches" if place == 0 else None
        ax.plot(x, y, "s", color=COLOURS["Adam"], markersize=8, zorder=4, label=label)
        ax.annotate(f"batch {batch}", (x, y), (9, 3), textcoords="offset points", fontsize=9.6)


@plotting.figure(
    alt="Normalized margins over the steps for two kinds of data. Full-batch Adam's infinity-norm margin rises to one "
    "while its 2-norm margin stays low; with one sample a step the infinity-norm margin stays low and the 2-norm "
    "margin rises, to one on scaled Rademacher data and to just below one on Gaussian data."
)
def margins(runs: Runs) -> Figure:
    """Both normalized margins over the steps, full batch against one sample a step."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.3), sharey=True)
    curves = (
        ("full batch", runs.adam[-1], COLOURS["Adam"]),
        ("one sample", runs.adam[0], COLOURS["incremental Adam"]),
    )
    titles = ("Gaussian: one sample\nstops short of $\\ell_2$", "Scaled Rademacher:\none sample goes to $\\ell_2$")
    for ax, rows, title in zip(axes, runs.kinds, titles, strict=True):
        for name, curve, colour in curves:
            band(ax, curve.steps, curve.r2[:, rows], colour, f"$r_2$, {name}")
            band(ax, curve.steps, curve.rinf[:, rows], colour, f"$r_\\infty$, {name}", ":")
        ax.axhline(1, **THEORY)
        ax.set(xscale="log", xlabel="steps", title=title, ylim=(0.2, 1.04))
    axes[0].set_ylabel("margin over the largest")
    legend_below(fig, axes[0], ncols=4)
    return fig


def _power(number: float) -> str:
    """A number as a power of ten, times a digit if need be, e.g. ``10^{-8}``."""
    digit, exponent = f"{number:.0e}".split("e")
    return ("" if digit == "1" else f"{digit}\\cdot") + f"10^{{{int(exponent)}}}"


@plotting.figure(
    alt="Normalized margins of full-batch Adam over the steps. Without epsilon the infinity-norm margin rises to the "
    "end; with every positive epsilon it turns and falls soon after a dot that marks where gradients are below "
    "epsilon, while the 2-norm margin rises."
)
def epsilon(result: Epsilon) -> Figure:
    """Both normalized margins of full-batch Adam over the steps, for several epsilons."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9))
    colours = [COLOURS["Adam"], *(c for c in _SERIES if c != COLOURS["Adam"]), PALETTE["yellow"]]
    for k, eps in enumerate(result.epsilons):
        label = "$\\epsilon=0$" if eps == 0 else f"$\\epsilon={_power(eps)}$"
        for ax, values in zip(axes, (result.rinf, result.r2), strict=True):
            curve = values[:, k].mean(-1)
            ax.plot(result.steps, curve, color=colours[k], label=label, linewidth=2)
            if np.isfinite(result.reached[k]):
                ax.plot(result.reached[k], np.interp(result.reached[k], result.steps, curve), "o", color=colours[k])
    axes[0].set(ylabel="$r_\\infty$", title="With ε Adam leaves $\\ell_\\infty$ …")
    axes[1].set(ylabel="$r_2$", title="… and turns towards $\\ell_2$")
    for ax in axes:
        ax.set(xscale="log", xlabel="steps")
    legend_below(fig, axes[0], ncols=min(5, len(result.epsilons)))
    return fig


@plotting.figure(
    alt="Relative error over an epoch against the step size on log axes. The epoch map's error falls in proportion to "
    "the step size, along the dashed line; the sign of the full gradient keeps an error of more than a half."
)
def epoch_map(result: EpochMap) -> Figure:
    """Relative error of an epoch's displacement over the step size."""
    fig, ax = plotting.subplots(size=(7.0, 3.9))
    rows = (
        ("epoch map", result.error, COLOURS["incremental Adam"]),
        ("sign of the full gradient", result.error_sign, COLOURS["Adam"]),
    )
    for name, error, colour in rows:
        ax.plot(result.eta, error, color=colour, linewidth=0.6, alpha=0.35)
        ax.plot(result.eta, error.mean(1), "o-", color=colour, label=name)
    line = result.error[-1].mean() * result.eta / result.eta[-1]
    ax.plot(result.eta, line, **THEORY, label="proportional to $\\eta$")
    ax.set(xscale="log", yscale="log", xlabel="step size $\\eta$", ylabel="relative error over an epoch",
           title="One epoch is one step of the epoch map, up to O(η)")  # fmt: skip
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    legend_below(fig)
    return fig


@plotting.figure(
    alt="Left: weights of the samples at one fixed point, unequal, around a dashed line at equal weights. Right: "
    "distances of incremental Adam's last direction from three candidates for four pairs of rates; its own fixed "
    "point is closest by far for all, AdamProxy's only for beta2 near one, the 2-norm direction for none."
)
def fixed_point(found: FixedPoints) -> Figure:
    """The dual weights of one dataset, and how far incremental Adam ends from three candidates."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), width_ratios=(1, 1.7))
    N = found.c.shape[1]
    axes[0].bar(np.arange(1, N + 1), found.c[0], color=COLOURS["Adam proxy"])
    axes[0].axhline(1 / N, **THEORY)
    axes[0].set(xlabel="sample", ylabel="weight $c^*_i$", title="Weights that fix\nthemselves")
    axes[0].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[0].grid(axis="x", visible=False)
    groups = (
        ("its own fixed point", found.own, COLOURS["incremental Adam"], "o"),
        ("AdamProxy's fixed point", found.limit, COLOURS["Adam proxy"], "s"),
        ("$\\ell_2$ direction", found.l2, COLOURS["SGD"], "^"),
    )
    order = np.argsort([b2 for _, b2 in found.betas], kind="stable")
    for k, (name, values, colour, marker) in enumerate(groups):
        for place, pair in enumerate(order):
            x = place + 0.2 * (k - 1) + np.zeros(values.shape[1])
            label = name if place == 0 else None
            axes[1].plot(x, np.maximum(values[pair], _FLOOR), marker, color=colour, label=label, alpha=0.8)
    axes[1].set_xticks(range(len(order)), [f"({found.betas[p][0]:g}, {found.betas[p][1]:g})" for p in order])
    axes[1].set(yscale="log", xlabel="$(\\beta_1,\\beta_2)$", ylabel="$1-\\cos$ of incremental Adam to …",
                title="Incremental Adam ends at\nits own fixed point")  # fmt: skip
    axes[1].grid(axis="x", visible=False)
    legend_below(fig, axes[1])
    return fig


@plotting.figure(
    alt="Distance of the epoch map's end from AdamProxy's fixed point over one minus beta2 on log axes: a straight "
    "line of slope two on the dashed line computed from fixed points alone; the distance to the 2-norm direction "
    "levels off."
)
def sweep(result: Sweep) -> Figure:
    """Distance of the epoch map's end from AdamProxy's fixed point over ``1 - beta2``."""
    fig, ax = plotting.subplots(size=(7.0, 4.0))
    gap = 1 - result.beta2
    for values, name, colour, marker in (
        (result.to_l2, "to the $\\ell_2$ direction", COLOURS["SGD"], "^"),
        (result.to_proxy, "to AdamProxy's fixed point", COLOURS["incremental Adam"], "o"),
    ):
        ax.plot(gap, np.maximum(values, _FLOOR), marker, color=colour, alpha=0.3, markersize=3.5)
        ax.plot(gap, values.mean(1), marker + "-", color=colour, label=name, markersize=6)
    ax.plot(1 - result.grid, result.predicted.mean(1), **THEORY, label="fixed points alone")
    ax.set(xscale="log", yscale="log", xlabel="$1-\\beta_2$", ylabel="$1-\\cos$ of the epoch map's end …",
           title="The limit tends to AdamProxy's like $(1-\\beta_2)^2$")  # fmt: skip
    legend_below(fig)
    return fig


@plotting.figure(
    alt="Normalized margins over the batch size. Adam's infinity-norm margin rises with the batch size along the "
    "dashed prediction of the fixed points, its 2-norm margin falls; Signum's and SGD's curves are flat."
)
def batches(runs: Runs, found: FixedPoints) -> Figure:
    """Normalized margins of three rules over the batch size on Gaussian data, with the predictions for Adam."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.1))
    rows = runs.kinds[0]
    places = np.arange(len(runs.batches))
    rules = (("Adam", runs.adam, COLOURS["Adam"], "o"), ("Signum", runs.signum, COLOURS["Signum"], "s"),
             ("SGD", runs.sgd, COLOURS["SGD"], "^"))  # fmt: skip
    for ax, norm in zip(axes, ("rinf", "r2"), strict=True):
        for name, curves, colour, marker in rules:
            values = np.array([getattr(curve, norm)[-1, rows] for curve in curves])
            ax.plot(places, values, color=colour, linewidth=0.6, alpha=0.35)
            ax.plot(places, values.mean(1), marker + "-", color=colour, label=name, markersize=6)
        of = getattr(found.data, norm)
        predicted = [of(w).mean() for w in [found.w, *found.batch_w, found.data.linf]]
        # The infinity-norm's direction need not be unique: only its own margin is.
        shown = len(predicted) if norm == "rinf" else len(predicted) - 1
        ax.plot(places[:shown], predicted[:shown], **THEORY, zorder=5, label="Adam, fixed points and $\\ell_\\infty$")
        ax.set_xticks(places, runs.batches)
        ax.set(xlabel="batch size", ylabel="$r_\\infty$" if norm == "rinf" else "$r_2$")
    axes[0].set_title("Adam moves with\nthe batch size …")
    axes[1].set_title("… Signum and SGD\ndo not")
    legend_below(fig, axes[0], ncols=4)
    return fig


@plotting.figure(
    alt="Entries of three directions on the shifted diagonal. Left: fixed point and incremental Adam have four equal "
    "entries, the 2-norm direction falls off. Right, with flipped signs: all three fall off alike."
)
def reductions(result: Reductions) -> Figure:
    """Directions on the shifted diagonal: fixed point, incremental Adam, the 2-norm."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9), sharey=True)
    names = (("fixed point", COLOURS["Adam proxy"]), ("Adam, one sample a step", COLOURS["incremental Adam"]),
             ("$\\ell_2$ direction", COLOURS["SGD"]))  # fmt: skip
    titles = ("Shifted diagonal:\nthe limit is (1, 1, 1, 1)", "Signs flipped:\nthe limit is $\\ell_2$")
    for row, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        for k, (name, colour) in enumerate(names):
            entries = result.directions[k, row, 0]
            x = np.arange(1, len(entries) + 1) + 0.26 * (k - 1)
            ax.bar(x, entries, width=0.25, color=colour, label=name)
        ax.set_xticks(range(1, result.directions.shape[-1] + 1))
        ax.grid(axis="x", visible=False)
        ax.set(xlabel="coordinate", title=title)
    axes[0].set_ylabel(f"entry over the largest, $\\delta={result.deltas[0]:g}$")
    legend_below(fig, axes[0])
    return fig


@plotting.figure(
    alt="Signum's normalized infinity-norm margin with one sample a step over one minus beta. For small steps it rises "
    "to nearly one and drops at the longest memory; for larger steps it drops sooner. The dashed lower bound rises "
    "from below zero and is crossed only where steps are too large for the memory."
)
def memory(result: Memory) -> Figure:
    """Signum's infinity-norm margin over its momentum for three step sizes, with the bound."""
    fig, ax = plotting.subplots(size=(7.0, 4.1))
    gap = 1 - result.beta
    colours = (COLOURS["Signum"], PALETTE["sky"], PALETTE["grey"])
    for rinf, eta, colour in zip(result.rinf, result.eta, colours, strict=True):
        ax.plot(gap, rinf, color=colour, linewidth=0.6, alpha=0.3)
        ax.plot(gap, rinf.mean(1), "o-", color=colour, label=f"$\\eta_0={eta:g}$")
    ax.plot(1 - result.grid, result.grid_bound.mean(1), **THEORY, label="$1-\\varepsilon(\\beta)R/\\gamma_\\infty$")
    ax.set(xscale="log", xlabel="$1-\\beta$", ylabel="$r_\\infty$ of Signum, one sample a step", ylim=(-0.05, 1.05),
           title="β close to 1, and steps small against 1 − β")  # fmt: skip
    ax.invert_xaxis()
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Left: colour map of the distance between the limit direction and AdamProxy's over the number of samples and "
    "one minus beta2. Right: all values fall within a factor of about two of one dashed line when drawn over the "
    "square root of N times one minus beta2."
)
def scaling(result: Scaling) -> Figure:
    """Distance of the limit from AdamProxy's over ``(N, 1 - beta2)``, and the combination it depends on."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    values = np.maximum(result.distance, _FLOOR)
    ax = axes[0]
    low, high = 10.0 ** np.floor(np.log10(np.nanmin(values))), 10.0 ** np.ceil(np.log10(np.nanmax(values)))
    image = ax.pcolormesh(
        np.log10(result.gap), np.arange(len(result.N)), values, norm=LogNorm(low, high), shading="nearest"
    )
    ax.set_yticks(np.arange(len(result.N)), result.N)
    ax.grid(visible=False)
    ax.set(xlabel="$\\log_{10}(1-\\beta_2)$", ylabel="samples $N$", title="Far from AdamProxy:\nsmall β₂, many samples")
    fig.colorbar(image, ax=ax, label="$1-\\cos$", location="bottom")
    ax = axes[1]
    for N, row, colour in zip(result.N, values, _SERIES, strict=False):
        ax.plot(np.sqrt(N) * result.gap, row, "o", color=colour, label=f"$N={N}$")
    x = np.sqrt(np.geomspace(result.N.min(), result.N.max(), 2)) * result.gap[[0, -1]]
    ax.plot(x, x**2 / 48, **THEORY, label="$N(1-\\beta_2)^2/48$")
    ax.set(xscale="log", yscale="log", xlabel="$\\sqrt{N}(1-\\beta_2)$", title="What counts is\n√N (1 − β₂)")
    ax.legend(loc="upper left")
    return fig


@plotting.figure(
    alt="Distances on three pairs of digits: incremental Adam is closest to its dual fixed point by two orders of "
    "magnitude, farther from the 2-norm direction, farthest from an infinity-norm direction; full-batch Adam is far "
    "from the fixed point."
)
def images(result: Images) -> Figure:
    """Distances of incremental Adam's end on pairs of digits from three directions, and of full-batch Adam's."""
    fig, ax = plotting.subplots(size=(7.0, 4.1))
    rows = (
        ("one sample, to its fixed point", result.prediction, COLOURS["incremental Adam"]),
        ("one sample, to the $\\ell_2$ direction", result.l2, COLOURS["SGD"]),
        ("one sample, to an $\\ell_\\infty$ direction", result.linf, COLOURS["Signum"]),
        ("full batch, to the fixed point", result.full, COLOURS["Adam"]),
    )
    places = np.arange(len(result.pairs))
    for k, (name, values, colour) in enumerate(rows):
        ax.plot(places + 0.12 * (k - 1.5), np.maximum(values, _FLOOR), "o", color=colour, label=name, markersize=8)
    ax.set_xticks(places, [f"{a} or {b}" for a, b in result.pairs])
    ax.grid(axis="x", visible=False)
    ax.set(yscale="log", xlabel="scanned digits", ylabel="$1-\\cos$", xlim=(-0.5, len(places) - 0.5),
           title="On scanned digits, too, the fixed point predicts the limit")  # fmt: skip
    legend_below(fig, ncols=2)
    return fig
