"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from companion import plotting
from companion.chapters.incremental_adam.experiments import (
    EpochMap,
    Epsilon,
    FixedPoints,
    Images,
    Memory,
    Reductions,
    Runs,
    Scaling,
    Sweep,
)
from companion.plotting import METHOD, PALETTE, THEORY

KINDS = ("Gaussian data", "Scaled Rademacher data")
_FLOOR = 1e-12  # 1 - cos below rounding, on logarithmic axes


@plotting.style()
def figure_glance(runs: Runs, found: FixedPoints) -> Figure:
    """Every rule's path in the plane of the two normalized margins, mean over the datasets, one panel for each kind."""
    fig, axes = plotting.subplots(1, 2, size=(9.2, 4.5))
    curves = [
        ("Adam, full batch", runs.full_batch, METHOD["Adam"], "-"),
        ("Adam, one sample a step", runs.cyclic[0], METHOD["incremental Adam"], "-"),
        ("Signum, one sample a step", runs.signum[0], METHOD["Signum"], "-"),
        ("SGD, one sample a step", runs.sgd[0], METHOD["SGD"], (0, (2.2, 1.4))),  # seen where it lies on Adam's path
    ]
    titles = (
        "Gaussian: Adam's limit\ndepends on the batch size",
        "Scaled Rademacher: one sample\na step goes where SGD goes",
    )
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
            ax.annotate(name, (x, y), (7, 4), textcoords="offset points", fontsize=10)
        if kind == 0:
            _between(ax, runs, found)
        ax.set(xlabel="normalized $\\ell_2$ margin $r_2$", title=title, xlim=(0.55, 1.06), ylim=(0.3, 1.06))
    axes[0].set_ylabel("normalized $\\ell_\\infty$ margin $r_\\infty$")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


def _between(ax, runs: Runs, found: FixedPoints) -> None:
    """Adam's ends for batch sizes below N on Gaussian data, and the fixed points that predict them."""
    predicted = [found.w, *found.batch_w]
    ax.plot([found.data.r2(w).mean() for w in predicted], [found.data.rinf(w).mean() for w in predicted], "x--",
            color="black", linewidth=1.2, markersize=7, zorder=5, label="dual fixed points")  # fmt: skip
    single = (found.data.r2(found.w).mean(), found.data.rinf(found.w).mean())
    ax.annotate("batch 1", single, (-4, -15), textcoords="offset points", fontsize=8.5)
    rows = runs.kinds[0]
    for place, batch in enumerate(found.batches):
        end = runs.adam[runs.batches.index(batch)]
        x, y = end.r2[-1, rows].mean(), end.rinf[-1, rows].mean()
        label = "Adam, larger batches" if place == 0 else None
        ax.plot(x, y, "s", color=METHOD["Adam"], markersize=8, zorder=4, label=label)
        ax.annotate(f"batch {batch}", (x, y), (9, 2), textcoords="offset points", fontsize=8.5)


@plotting.style()
def figure_margins(runs: Runs) -> Figure:
    """Both normalized margins over the steps, full batch against one sample a step."""
    fig, axes = plotting.subplots(1, 2, size=(9.2, 3.9), sharey=True)
    curves = (
        ("full batch", runs.full_batch, METHOD["Adam"]),
        ("one sample", runs.cyclic[0], METHOD["incremental Adam"]),
    )
    for kind, (ax, rows) in enumerate(zip(axes, runs.kinds, strict=True)):
        for name, curve, colour in curves:
            for values, style, norm in ((curve.r2, "-", "$r_2$"), (curve.rinf, ":", "$r_\\infty$")):
                label = f"{norm}, {name}" if kind == 0 else None
                ax.plot(curve.steps, values[:, rows].mean(1), style, color=colour, label=label, linewidth=2.2)
                low, high = values[:, rows].min(1), values[:, rows].max(1)
                ax.fill_between(curve.steps, low, high, color=colour, alpha=0.12, linewidth=0)
        ax.axhline(1, **THEORY)
        ax.set(xscale="log", xlabel="steps", title=KINDS[kind], ylim=(0.2, 1.04))
    axes[0].set_ylabel("margin over the largest")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


def _power(number: float) -> str:
    """A number as a power of ten, times a digit if need be, e.g. ``10^{-8}``."""
    digit, exponent = f"{number:.0e}".split("e")
    return ("" if digit == "1" else f"{digit}\\cdot") + f"10^{{{int(exponent)}}}"


@plotting.style()
def figure_epsilon(result: Epsilon) -> Figure:
    """Both normalized margins of full-batch Adam over the steps, for several epsilons."""
    fig, axes = plotting.subplots(1, 2, size=(9.2, 3.8))
    colours = [
        METHOD["Adam"],
        *(PALETTE[name] for name in ("sky", "blue", "purple", "green", "grey", "red", "yellow", "black")),
    ]
    for k, eps in enumerate(result.epsilons):
        label = "$\\epsilon=0$" if eps == 0 else f"$\\epsilon={_power(eps)}$"
        for ax, values in zip(axes, (result.rinf, result.r2), strict=True):
            curve = values[:, k].mean(-1)
            ax.plot(result.steps, curve, color=colours[k], label=label if ax is axes[0] else None, linewidth=2)
            if np.isfinite(result.reached[k]):
                ax.plot(result.reached[k], np.interp(result.reached[k], result.steps, curve), "o", color=colours[k])
    axes[0].set(ylabel="$r_\\infty$", title="With ε Adam leaves the $\\ell_\\infty$ direction …")
    axes[1].set(ylabel="$r_2$", title="… for the $\\ell_2$ direction")
    for ax in axes:
        ax.set(xscale="log", xlabel="steps")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(5, len(result.epsilons)))
    return fig


@plotting.style()
def figure_epoch_map(result: EpochMap) -> Figure:
    """Relative error of an epoch's displacement over the step size."""
    fig, ax = plotting.subplots(size=(7.6, 3.5))
    rows = (
        ("epoch map", result.error, METHOD["incremental Adam"]),
        ("sign of the full gradient", result.error_sign, METHOD["Adam"]),
    )
    for name, error, colour in rows:
        ax.plot(result.eta, error, color=colour, linewidth=0.6, alpha=0.35)
        ax.plot(result.eta, error.mean(1), "o-", color=colour, label=name)
    ax.plot(
        result.eta, result.error[-1].mean() * result.eta / result.eta[-1], **THEORY, label="proportional to $\\eta$"
    )
    ax.set(xscale="log", yscale="log", xlabel="step size $\\eta$", ylabel="relative error over an epoch",
           title="One epoch is one step of the epoch map, up to O(η)")  # fmt: skip
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


@plotting.style()
def figure_fixed_point(found: FixedPoints) -> Figure:
    """The dual weights of one dataset, and how far incremental Adam ends from three candidates."""
    fig, axes = plotting.subplots(1, 2, size=(9.2, 3.8), width_ratios=(1, 1.5))
    N = found.c.shape[1]
    axes[0].bar(np.arange(1, N + 1), found.c[0], color=METHOD["Adam proxy"])
    axes[0].axhline(1 / N, **THEORY)
    axes[0].set(xlabel="sample", ylabel="weight $c^*_i$", title="The weights that fix themselves")
    axes[0].grid(axis="x", visible=False)
    groups = (
        ("its own fixed point", found.own, METHOD["incremental Adam"], "o"),
        ("AdamProxy's fixed point", found.limit, METHOD["Adam proxy"], "s"),
        ("$\\ell_2$ direction", found.l2, METHOD["SGD"], "^"),
    )
    order = np.argsort([b2 for _, b2 in found.betas], kind="stable")
    for k, (name, values, colour, marker) in enumerate(groups):
        for place, pair in enumerate(order):
            x = place + 0.2 * (k - 1) + np.zeros(values.shape[1])
            label = name if place == 0 else None
            axes[1].plot(x, np.maximum(values[pair], _FLOOR), marker, color=colour, label=label, alpha=0.8)
    axes[1].set_xticks(range(len(order)), [f"({found.betas[p][0]:g}, {found.betas[p][1]:g})" for p in order])
    axes[1].set(yscale="log", xlabel="$(\\beta_1,\\beta_2)$", ylabel="$1-\\cos$ of incremental Adam to …",
                title="Incremental Adam ends at its own fixed point")  # fmt: skip
    axes[1].grid(axis="x", visible=False)
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


@plotting.style()
def figure_sweep(result: Sweep) -> Figure:
    """Distance of the epoch map's end from AdamProxy's fixed point over ``1 - beta2``."""
    fig, ax = plotting.subplots(size=(7.6, 3.8))
    gap = 1 - result.beta2
    for values, name, colour, marker in (
        (result.to_l2, "to the $\\ell_2$ direction", METHOD["SGD"], "^"),
        (result.to_proxy, "to AdamProxy's fixed point", METHOD["incremental Adam"], "o"),
    ):
        ax.plot(gap, np.maximum(values, _FLOOR), marker, color=colour, alpha=0.3, markersize=3.5)
        ax.plot(gap, values.mean(1), marker + "-", color=colour, label=name, markersize=6)
    ax.plot(1 - result.grid, result.predicted.mean(1), **THEORY, label="fixed points alone")
    ax.set(xscale="log", yscale="log", xlabel="$1-\\beta_2$", ylabel="$1-\\cos$ of the epoch map's end …",
           title="The limit tends to AdamProxy's like $(1-\\beta_2)^2$")  # fmt: skip
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


@plotting.style()
def figure_batches(runs: Runs, found: FixedPoints) -> Figure:
    """Normalized margins of three rules over the batch size on Gaussian data, with the predictions for Adam."""
    fig, axes = plotting.subplots(1, 2, size=(9.2, 3.9))
    rows = runs.kinds[0]
    places = np.arange(len(runs.batches))
    rules = (("Adam", runs.adam, METHOD["Adam"], "o"), ("Signum", runs.signum, METHOD["Signum"], "s"),
             ("SGD", runs.sgd, METHOD["SGD"], "^"))  # fmt: skip
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
    axes[0].set_title("Adam moves with the batch size …")
    axes[1].set_title("… Signum and SGD do not")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


@plotting.style()
def figure_reductions(result: Reductions) -> Figure:
    """Directions on the shifted diagonal: fixed point, incremental Adam, the 2-norm."""
    fig, axes = plotting.subplots(1, 2, size=(9.2, 3.5), sharey=True)
    names = (("fixed point", METHOD["Adam proxy"]), ("Adam, one sample a step", METHOD["incremental Adam"]),
             ("$\\ell_2$ direction", METHOD["SGD"]))  # fmt: skip
    titles = ("Shifted diagonal: the limit is (1, 1, 1, 1)", "Signs flipped: the limit is the $\\ell_2$ direction")
    for row, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        for k, (name, colour) in enumerate(names):
            entries = result.directions[k, row, 0]
            x = np.arange(1, len(entries) + 1) + 0.26 * (k - 1)
            ax.bar(x, entries, width=0.25, color=colour, label=name)
        ax.set_xticks(range(1, result.directions.shape[-1] + 1))
        ax.grid(axis="x", visible=False)
        ax.set(xlabel="coordinate", title=title)
    axes[0].set_ylabel(f"entry over the largest, $\\delta={result.deltas[0]:g}$")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


@plotting.style()
def figure_memory(result: Memory) -> Figure:
    """Signum's infinity-norm margin over its momentum for three step sizes, with the bound."""
    fig, ax = plotting.subplots(size=(7.6, 3.9))
    gap = 1 - result.beta
    colours = (METHOD["Signum"], PALETTE["sky"], PALETTE["grey"])
    for rinf, eta, colour in zip(result.rinf, result.eta, colours, strict=True):
        ax.plot(gap, rinf, color=colour, linewidth=0.6, alpha=0.3)
        ax.plot(gap, rinf.mean(1), "o-", color=colour, label=f"$\\eta_0={eta:g}$")
    ax.plot(1 - result.grid, result.grid_bound.mean(1), **THEORY, label="$1-2\\varepsilon(\\beta)R/\\gamma_\\infty$")
    ax.set(xscale="log", xlabel="$1-\\beta$", ylabel="$r_\\infty$ of Signum, one sample a step", ylim=(-0.05, 1.05),
           title="β close to 1, and steps small against 1 − β")  # fmt: skip
    ax.invert_xaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


@plotting.style()
def figure_scaling(result: Scaling) -> Figure:
    """Distance of the limit from AdamProxy's over ``(N, 1 - beta2)``, and the combination it depends on."""
    fig, axes = plotting.subplots(1, 2, size=(9.2, 3.9))
    values = np.maximum(result.distance, _FLOOR)
    ax = axes[0]
    low, high = 10.0 ** np.floor(np.log10(values.min())), 10.0 ** np.ceil(np.log10(values.max()))
    image = ax.pcolormesh(
        np.log10(result.gap), np.arange(len(result.N)), values, norm=LogNorm(low, high), shading="nearest"
    )
    ax.set_yticks(np.arange(len(result.N)), result.N)
    ax.grid(visible=False)
    ax.set(xlabel="$\\log_{10}(1-\\beta_2)$", ylabel="samples $N$", title="Far from AdamProxy: small β₂, many samples")
    fig.colorbar(image, ax=ax, label="$1-\\cos$")
    ax = axes[1]
    colours = [PALETTE[name] for name in ("sky", "blue", "green", "purple", "orange", "red", "grey", "black")]
    for N, row, colour in zip(result.N, values, colours, strict=False):
        ax.plot(np.sqrt(N) * result.gap, row, "o", color=colour, label=f"$N={N}$")
    x = np.sqrt(np.geomspace(result.N.min(), result.N.max(), 2)) * result.gap[[0, -1]]
    ax.plot(x, x**2 / 48, **THEORY, label="$N(1-\\beta_2)^2/48$")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="$\\sqrt{N}(1-\\beta_2)$",
        title="It is √N (1 − β₂) that counts",
    )
    ax.legend(loc="upper left", fontsize=8)
    return fig


@plotting.style()
def figure_images(result: Images) -> Figure:
    """Distances of incremental Adam's end on pairs of digits from three directions, and of full-batch Adam's."""
    fig, ax = plotting.subplots(size=(7.6, 3.5))
    rows = (
        ("one sample, to its fixed point", result.prediction, METHOD["incremental Adam"]),
        ("one sample, to the $\\ell_2$ direction", result.l2, METHOD["SGD"]),
        ("one sample, to an $\\ell_\\infty$ direction", result.linf, METHOD["Signum"]),
        ("full batch, to the fixed point", result.full, METHOD["Adam"]),
    )
    places = np.arange(len(result.pairs))
    for k, (name, values, colour) in enumerate(rows):
        ax.plot(places + 0.12 * (k - 1.5), np.maximum(values, _FLOOR), "o", color=colour, label=name, markersize=8)
    ax.set_xticks(places, [f"{a} or {b}" for a, b in result.pairs])
    ax.grid(axis="x", visible=False)
    ax.set(yscale="log", xlabel="scanned digits", ylabel="$1-\\cos$", xlim=(-0.5, len(places) - 0.5),
           title="On scanned digits, too, the fixed point predicts the limit")  # fmt: skip
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig
