"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from companion import plotting
from companion.chapters.incremental_gradient_small_epochs.experiments import (
    BoundsMap,
    PhaseMap,
    Polygon,
    Sizes,
    StepDilemma,
    WithinEpoch,
)
from companion.chapters.incremental_gradient_small_epochs.large_epochs import ManyEpochs, UpperBounds
from companion.chapters.incremental_gradient_small_epochs.practice import CommonStart, Digits, Herding
from companion.chapters.incremental_gradient_small_epochs.settings import INSTANCES
from companion.plotting import METHOD, PALETTE, THEORY

_ORDER = {"herded": METHOD["alternating"], "one random order": PALETTE["purple"], "sorted": METHOD["IGD"]}
_MARK = {"color": PALETTE["grey"], "linewidth": 0.9, "linestyle": ":"}


def _powers_of_two(ax, epochs: np.ndarray) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xlabel("epochs $K$")
    if len(epochs) and epochs.max() / epochs.min() > 2**6:
        ax.xaxis.set_major_locator(LogLocator(base=4))


def _readable_decades(ax, values: np.ndarray) -> None:
    """Thin out the decades of an axis that spans very many."""
    values = values[np.isfinite(values) & (values > 0)]
    if len(values):
        decades = np.log10(values.max() / values.min())
        ax.yaxis.set_major_locator(LogLocator(base=10.0 ** max(1, int(np.ceil(decades / 7)))))
        ax.yaxis.set_minor_formatter(NullFormatter())


@plotting.style()
def figure_glance(result: BoundsMap) -> Figure:
    """Tuned final gaps over the number of epochs, one panel for each kind of components, with the lower bounds."""
    fig, axes = plotting.subplots(1, 3, size=(9.6, 3.7))
    unit = result.mu / result.G**2
    titles = ("One Hessian for all:\nalmost n times SGD's gap", "Strongly convex: worse,\nmost of all below √κ epochs",
              "Half of them concave:\nexponential while K ≪ κ")  # fmt: skip
    for row, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        curves = {
            "IGD": (result.igd[row], METHOD["IGD"], "o-"),
            "IGD, alternating order": (result.alternating[row], METHOD["alternating"], "v-"),
            "SGD with replacement": (result.sgd[row], METHOD["SGD"], "s-"),
            "random reshuffling": (result.rr_mean[row], METHOD["RR"], "^-"),
        }
        # Past K = kappa another instance is the hardest of its kind: no line joins the two.
        few = result.epochs < result.kappa
        for k, piece in enumerate((few, ~few)):
            for name, (values, colour, style) in curves.items():
                order = 3 if name == "IGD" else 2
                ax.plot(result.epochs[piece], values[piece] * unit, style, color=colour, zorder=order,
                        label=name if k == 0 else None)  # fmt: skip
            known = piece & np.isfinite(result.level[row])
            label = "lower bound, without its constant" if k == 0 else None
            ax.plot(result.epochs[known], result.level[row][known] * unit, **THEORY, label=label)
        ax.axvline(result.kappa, **_MARK)
        ax.set_yscale("log")
        _powers_of_two(ax, result.epochs)
        drawn = np.concatenate([values * unit for values, _, _ in curves.values()] + [result.level[row] * unit])
        _readable_decades(ax, drawn)
        ax.annotate("$K=\\kappa$", (result.kappa, 1), (3, -2), xycoords=("data", "axes fraction"),
                    textcoords="offset points", va="top", fontsize=8, color=PALETTE["grey"])  # fmt: skip
        ax.set_title(title)
    axes[0].set_ylabel("best final gap  $F-F^*$  in $G^2/\\mu$")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return fig


@plotting.style()
def figure_dilemma(result: StepDilemma) -> Figure:
    """The final gap over the step on identical Hessians, with the leading-order curves."""
    fig, ax = plotting.subplots(size=(7.6, 3.8))
    c, K, n = result.c, result.K, result.n
    curves = (
        ("IGD", result.igd, METHOD["IGD"], 0.5 * (np.tanh(c / 4) ** 2 * (1 - np.exp(-c * K)) ** 2 + np.exp(-2 * c))),
        ("SGD with replacement", result.sgd, METHOD["SGD"], c / (4 * n) + 0.5 * np.exp(-2 * c)),
        ("IGD, alternating order", result.alternating, METHOD["alternating"], None),
    )
    for name, gaps, colour, theory in curves:
        ax.plot(c, gaps, color=colour, label=name, linewidth=2.4)
        best = int(np.argmin(gaps))
        ax.plot(c[best], gaps[best], "o", color=colour)
        if theory is not None:
            ax.plot(c, theory, **THEORY, label="theory, leading order" if name == "IGD" else None)
    low = min(gaps.min() for _, gaps, _, _ in curves)
    ax.set(xscale="log", yscale="log", ylim=(low / 5, 5), xlim=(c[0], c[-1]))
    ax.axvline(result.largest, **_MARK)
    ax.annotate("$\\eta=2/L$", (result.largest, 0.02), (-4, 0), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="right", fontsize=8.5, color=PALETTE["grey"])  # fmt: skip
    ax.axvline(1, **_MARK)
    ax.annotate("$\\eta=1/(\\mu nK)$", (1, 0.02), (-4, 0), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="right", fontsize=8.5, color=PALETTE["grey"])  # fmt: skip
    ax.set(
        xlabel="step  $c=\\eta\\mu nK$",
        ylabel="final gap in $G^2/(\\mu K)$",
        title=f"No step suits IGD: too small to arrive, or too large to stay (K = {K})",
    )
    ax.legend(loc="lower left", fontsize=8)
    return fig


@plotting.style()
def figure_sizes(result: Sizes) -> Figure:
    """IGD's gap over SGD's for several numbers of components."""
    fig, ax = plotting.subplots(size=(7.6, 3.4))
    n = np.geomspace(result.n.min(), result.n.max(), 100)
    ax.plot(result.n, result.igd / result.sgd, "o-", color=METHOD["IGD"], label="IGD, blocked order")
    ax.plot(result.n, result.alternating / result.sgd, "v-", color=METHOD["alternating"], label="IGD, alternating")
    ax.plot(n, 0.0864 * 8 * n / (1 + np.log(4 * n)), **THEORY, label="$0.0864\\cdot 8n/(1+\\ln 4n)$")
    ax.axhline(1, color=METHOD["SGD"], linewidth=1.2, label="SGD with replacement")
    ax.set(xscale="log", yscale="log", xlabel="components $n$", ylabel="best gap over SGD's best gap",
           title=f"The blocked order costs a factor of almost n (K = {result.K})")  # fmt: skip
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


@plotting.style()
def figure_polygon(result: Polygon) -> Figure:
    """Where the iterates of a late pass lie, in the polygon's own order and in a random one."""
    fig, axes = plotting.subplots(1, 2, size=(8.6, 5.0))
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    corners = result.minimizers[:: max(1, result.n // 32)]
    axes[0].plot(*corners.T, "s", color=PALETTE["grey"], markersize=3, label="minimizers of the components")
    axes[0].plot(*result.last.T, "o", color=METHOD["IGD"], markersize=2.5, label="IGD's iterates in the last epoch")
    axes[0].plot(*circle * result.radius, **THEORY, label="radius in closed form")
    axes[1].plot(*result.shuffled.T, "-o", color=PALETTE["purple"], markersize=2.5, linewidth=0.4,
                 label="periodic orbit of one random order")  # fmt: skip
    farthest = np.linalg.norm(result.shuffled, axis=1).max()
    for ax, half in zip(axes, (1.15 * max(1, result.radius), 1.2 * farthest), strict=True):
        ax.plot(0, 0, "k+", markersize=11, label="optimum" if ax is axes[0] else None)
        ax.set(box_aspect=1, xlim=(-half, half), ylim=(-half, half), xlabel="$x_1$ in $G/\\mu$")
    axes[0].set(ylabel="$x_2$ in $G/\\mu$", title=f"IGD settles on a circle (K = {result.K})")
    axes[1].set_title(f"A random order stays {result.radius / farthest:.2g} times closer")
    fig.legend(loc="outside lower center", ncols=3, fontsize=8)
    return fig


@plotting.style()
def figure_within_epoch(result: WithinEpoch) -> Figure:
    """The noisy coordinate through one pass of the half-concave instance."""
    fig, ax = plotting.subplots(size=(7.6, 3.7))
    i = np.arange(result.n + 1)
    ax.axvspan(result.n / 2, result.n, color="#F3F3F3", zorder=0)
    for k, path in enumerate(result.rr):
        ax.plot(i, np.abs(path), color=METHOD["RR"], linewidth=0.8, alpha=0.8,
                label="random reshuffling, three runs" if k == 0 else None)  # fmt: skip
    ax.plot(i, np.abs(result.igd), color=METHOD["IGD"], linewidth=2.4, label="IGD, blocked order")
    ax.plot(i, np.abs(result.predicted), **THEORY, label="closed form")
    top = np.abs(result.igd).max()
    ax.set(yscale="log", xlim=(0, result.n), ylim=(1e-3 * min(1, top), 30 * top), xlabel="step $i$ within an epoch",
           ylabel="$|y|$ in $G/L$",
           title=f"The convex half contracts, the concave half expands what is left (K = {result.K})")  # fmt: skip
    for x, text in ((0.25, "convex half in the blocked order"), (0.75, "concave half")):
        ax.annotate(text, (x, 0.96), xycoords="axes fraction", ha="center", va="top", fontsize=8.5)
    ax.legend(loc="lower left", ncols=3, fontsize=8)
    return fig


@plotting.style()
def figure_phase_map(result: PhaseMap) -> Figure:
    """IGD over SGD for condition numbers and epochs."""
    fig, ax = plotting.subplots(size=(7.0, 4.0))
    mesh = ax.pcolormesh(np.log2(result.epochs), np.log2(result.kappas), result.log_ratio, shading="nearest")
    bar = fig.colorbar(mesh, ax=ax)
    bar.set_label("$\\log_{10}$ (IGD's best gap / SGD's)")
    ax.grid(visible=False)
    line = np.log2(result.kappas)
    ax.plot(line, line, color="white", linestyle="--", label="$K=\\kappa$")
    limit = 4 * result.kappas / result.n
    shown = limit >= result.epochs.min() / 2**0.5
    ax.plot(np.log2(limit[shown]), line[shown], color="white", linestyle=":", label="$K=4\\kappa/n$")
    ax.legend(loc="lower right", labelcolor="white", fontsize=9)
    ticks = np.arange(0, 13, 2)
    ax.set(xticks=ticks, xticklabels=[f"$2^{{{k}}}$" for k in ticks], yticks=np.arange(3, 13, 3),
           yticklabels=[f"$2^{{{k}}}$" for k in range(3, 13, 3)], xlabel="epochs $K$",
           ylabel="condition number $\\kappa$", xlim=(-0.5, 12.5), ylim=(2.5, 12.5),
           title=f"From 4κ/n to κ epochs IGD loses one and the same factor (n = {result.n})")  # fmt: skip
    return fig


@plotting.style()
def figure_many_epochs(result: ManyEpochs) -> Figure:
    """The many-epochs instances against their bounds."""
    fig, axes = plotting.subplots(1, 2, size=(8.6, 3.6))
    markers = "osD^vP*X"
    for k in range(len(result.kappas)):
        for ax, values, colour in (
            (axes[0], result.convex, PALETTE["orange"]),
            (axes[0], result.concave, PALETTE["purple"]),
        ):
            label = f"κ = {result.kappas[k]:g}" if colour == PALETTE["purple"] else None
            ax.plot(result.multiples, values[k], markers[k] + "-", color=colour, fillstyle="none", label=label)
    axes[0].legend(loc="lower left")
    axes[0].axhline(0.0600, **THEORY)
    axes[0].axhline(0.0295, **THEORY)
    axes[0].set(xscale="log", xlabel="epochs $K$ in $\\kappa$", ylabel="best gap over the bound", ylim=(0, 0.075),
                title="Both bounds are met at every K ≥ κ")  # fmt: skip
    axes[0].annotate("convex: $LG^2/(\\mu K)^2$", (0.98, 0.0625), xycoords=("axes fraction", "data"), ha="right",
                     va="bottom", color=PALETTE["orange"])  # fmt: skip
    axes[0].annotate("partly concave: $L^2G^2/(\\mu^3K^2)$", (0.98, 0.0355), xycoords=("axes fraction", "data"),
                     ha="right", va="bottom", color=PALETTE["purple"])  # fmt: skip
    axes[0].set_xticks(result.multiples, [str(m) for m in result.multiples])
    axes[0].minorticks_off()
    styles = (
        ("drifting concave parts", result.ratio, PALETTE["purple"]),
        ("the same parts in two halves", result.ratio_halves, PALETTE["grey"]),
    )
    for label, ratio, colour in styles:
        for j in range(len(result.multiples)):
            axes[1].plot(result.kappas, ratio[:, j], markers[j] + "-", color=colour, label=label if j == 0 else None)
    axes[1].plot(result.kappas, 0.0295 / 0.06 * result.kappas, **THEORY, label="$\\kappa\\cdot 0.0295/0.0600$")
    axes[1].set(xscale="log", yscale="log", xlabel="condition number $\\kappa$", ylabel="gap concave / gap convex",
                title="Concave parts cost a factor κ")  # fmt: skip
    axes[1].set_xticks(result.kappas, [f"{kappa:g}" for kappa in result.kappas])
    axes[1].minorticks_off()
    axes[1].legend(fontsize=7.5)
    return fig


@plotting.style()
def figure_upper_bounds(result: UpperBounds) -> Figure:
    """Random problems and the hard instances against the upper bounds."""
    fig, ax = plotting.subplots(size=(8.0, 3.6))
    groups = (
        ("one curvature,\n1-D, small K", result.one_dimensional, None),
        ("strongly convex,\nsmall K", result.few, result.hard_few),
        ("convex,\nK = 16κ", result.convex, result.hard_convex),
        ("partly concave,\nK = 16κ", result.concave, result.hard_concave),
    )
    for k, (_, values, hard) in enumerate(groups):
        for j, (label, colour) in enumerate((("random order", PALETTE["purple"]), ("sorted order", METHOD["IGD"]))):
            spread = (np.arange(len(values)) / max(1, len(values) - 1) - 0.5) * 0.22
            ax.plot(k - 0.16 + 0.32 * j + spread, values[:, j], ".", color=colour, markersize=4,
                    label=f"random problems, {label}" if k == 0 else None)  # fmt: skip
        if hard is not None:
            ax.plot(k, hard, "*", color="black", markersize=11, label="lower-bound instance" if k == 1 else None)
    last = len(groups)
    shades = np.linspace(0.35, 1, len(result.drifting))
    for value, kappa, shade in zip(result.drifting, result.drifting_kappas, shades, strict=True):
        ax.plot(last, value, "X", color=PALETTE["orange"], alpha=shade, markersize=8)
        ax.annotate(f"κ = {kappa:g}", (last, value), (8, 0), textcoords="offset points", va="center", fontsize=8)
    ax.axhline(1, **THEORY, label="the bound, constant 1")
    ax.set(yscale="log", xticks=range(last + 1), xlim=(-0.6, last + 0.7), ylabel="gap over upper bound",
           title="Every order stays below its bound; concave parts cross the convex one")  # fmt: skip
    ax.set_xticklabels([name for name, _, _ in groups] + ["drifting instance\nvs convex bound"])
    ax.legend(loc="lower right", fontsize=8)
    return fig


@plotting.style()
def figure_common_start(result: CommonStart) -> Figure:
    """Tuned gaps from one common start."""
    fig, axes = plotting.subplots(1, 3, size=(9.6, 3.5), sharey=True)
    for row, (ax, title) in enumerate(zip(axes, INSTANCES, strict=True)):
        ax.plot(result.epochs, result.igd[row], "o-", color=METHOD["IGD"], label="IGD")
        ax.plot(result.epochs, result.sgd[row], "s-", color=METHOD["SGD"], label="SGD with replacement")
        ax.plot(result.epochs, result.rr[row], "^-", color=METHOD["RR"], label="random reshuffling")
        ax.axvline(result.kappa, **_MARK)
        ax.set_yscale("log")
        _powers_of_two(ax, result.epochs)
        ax.set_title(title[0].upper() + title[1:], fontsize=9.5)
    axes[0].set_ylabel("best final gap over initial gap")
    fig.suptitle("From one common start the exponential means: almost no progress", x=0.01, ha="left",
                 fontsize=10.5, fontweight="bold")  # fmt: skip
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


@plotting.style()
def figure_herding(result: Herding) -> Figure:
    """Orders against SGD: partial sums and gaps on random problems."""
    fig, ax = plotting.subplots(size=(7.0, 3.7))
    for k, name in enumerate(result.names):
        ax.plot(result.constants[:, k], result.ratios[:, k], "o", color=_ORDER[name], label=name, alpha=0.8)
    ax.axhline(1, color=METHOD["SGD"], linewidth=1.2, label="SGD with replacement")
    ax.set(xscale="log", yscale="log", xlabel="herding constant $H$: longest partial sum over $G$",
           ylabel="best gap over SGD's best gap",
           title=f"Short partial sums make small gaps (random problems, K = {result.K})")  # fmt: skip
    ax.legend(loc="lower right")
    return fig


@plotting.style()
def figure_digits(result: Digits) -> Figure:
    """Logistic regression on digits in four orders."""
    fig, ax = plotting.subplots(size=(7.2, 3.7))
    colours = (METHOD["IGD"], METHOD["alternating"], METHOD["RR"], METHOD["SGD"])
    labels = ("IGD, sorted by class", "IGD, herded", "random reshuffling", "SGD with replacement")
    for label, gaps, colour, style in zip(labels, result.gaps, colours, ("o-", "v-", "^-", "s-"), strict=True):
        ax.plot(result.epochs, gaps, style, color=colour, label=label, markersize=3.5)
    ax.set(yscale="log", xlabel="epochs $K$", ylabel="best gap over initial gap",
           title=f"Digits sorted by class: the order decides (κ ≤ {result.kappa:.0f}, n = {result.n})")  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="lower left", fontsize=8)
    return fig
