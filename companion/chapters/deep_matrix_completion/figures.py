"""The chapter's figures, each drawn from an experiment's result."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from companion import plotting
from companion.chapters.deep_matrix_completion.experiments.interaction import (
    DEPTH_STARTS,
    LR,
    STEPS,
    Depths,
    Intervention,
    Spectrum,
)
from companion.chapters.deep_matrix_completion.experiments.limits import MENON_SCALES, Family, Map, Menon
from companion.chapters.deep_matrix_completion.experiments.plasticity import (
    SETUPS,
    Clean,
    Completion,
    Determinant,
    Resumed,
)
from companion.chapters.deep_matrix_completion.family import aligned_coupling, limit
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {
    "depth 2": PALETTE["blue"],
    "depth 3": PALETTE["orange"],
    "depth 4": PALETTE["green"],
    "depth 5": PALETTE["purple"],
    "depth 6": PALETTE["sky"],
    "warm start": PALETTE["red"],
    "cold start": PALETTE["sky"],
}
WARM, COLD = COLOURS["warm start"], COLOURS["cold start"]
WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_FLOOR = 1e-16  # below it a logarithmic axis would show rounding


def _depth(depth: int) -> str:
    return COLOURS[f"depth {depth}"]


def _excess_curves(ax, result: Family, column: int) -> None:
    """Stable rank minus one over the scale for one value of m, blocks of size one: equation and runs."""
    eps = np.geomspace(result.eps.min() / 2, min(0.5, 2 * result.eps.max()), 100)
    excess = ((result.measured[:, 0, column, :, 1:] / result.measured[:, 0, column, :, :1]) ** 2).sum(-1)
    for row, depth in enumerate(result.depths):
        largest, second = limit(int(depth), result.n, 1, eps, result.m[column])
        ax.plot(eps, np.maximum((result.n - 1) * (second / largest) ** 2, _FLOOR), **THEORY, zorder=1)
        size = max(9 - 2 * row, 2.5)  # markers that lie on each other are rings around each other
        ax.plot(result.eps, np.maximum(excess[row], _FLOOR), "o", color=_depth(depth), label=f"depth {depth}",
                markersize=size, zorder=2 + row)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="scale $\\varepsilon$ of the start")
    ax.plot([], [], **THEORY, label="equation")


@plotting.figure(
    alt="Left: stable rank minus one of the limit over the scale of the start, both logarithmic. Depth two stays level "
    "while the larger depths fall by orders of magnitude, all on dashed curves. Right: error on entries never seen, "
    "for each matrix from scratch and after pre-training; at depth two pre-training raises it by orders of magnitude, "
    "at the larger depths the two clouds lie at one height."
)
def glance(family: Family, resumed: Resumed) -> Figure:
    """The chapter in one figure: rank by depth, and what pre-training does to it."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    _excess_curves(axes[0], family, 0)
    axes[0].set(ylabel="stable rank of the limit, minus 1", title="A smaller start lowers the\nrank only if coupled")
    _pairs(axes[1], resumed, resumed.error)
    axes[1].set(
        yscale="log", ylabel="error on entries never seen", title="Pre-training on blocks hurts\ndepth two alone"
    )
    legend_below(fig, *axes, ncols=4)
    return fig


def _pairs(ax, result: Resumed, values: np.ndarray) -> None:
    """Cold and warm values of every matrix beside each other, one pair of clouds for each depth."""
    count = values.shape[-1]
    spread = 0.24 * (np.arange(count) / max(1, count - 1) - 0.5)
    for row in range(len(result.depths)):
        for stop, colour, name, shift in ((0, COLD, "from scratch", -0.18), (-1, WARM, "pre-trained", 0.18)):
            ax.plot(row + shift + spread, values[row, stop], "o", color=colour, markersize=4,
                    label=name if row == 0 else None)  # fmt: skip
            middle = np.median(values[row, stop])
            ax.plot([row + shift - 0.15, row + shift + 0.15], [middle, middle], color="black", linewidth=1.6)
    ax.plot([], [], color="black", linewidth=1.6, label="median")
    ax.set_xticks(range(len(result.depths)), [f"{depth}" for depth in result.depths])
    ax.set(xlabel="depth $L$", xlim=(-0.6, len(result.depths) - 0.4))


@plotting.figure(
    alt="One diagonal entry over time, trained together with the others and alone. At depth two both curves are one; "
    "at the next depth the entry arrives at another time when the others are trained, too."
)
def watched(result: Intervention) -> Figure:
    """The entry's two paths, at depth two and at the next depth."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.8), sharey=True)
    time = LR * np.arange(1, STEPS + 1)
    for row, ax in enumerate(axes):
        depth = int(result.depths[row])
        ax.plot(time, result.path[row, 0], color=_depth(depth), linewidth=4, alpha=0.5, label="all observed")
        ax.plot(time, result.path[row, 1], color="black", linewidth=1.2, label="this entry only")
        apart = np.median(result.gap[row, 0])
        ax.set(
            xlabel="time $t$",
            title=f"Depth {WORDS[depth]}:\n" + ("one curve" if apart < 1e-8 else "two curves"),
        )
        ax.legend(loc="lower right")
    axes[0].set_ylabel("entry $f_{11}$")
    return fig


@plotting.figure(
    alt="Scatter of the two entries off the diagonal after training, one panel for each depth, with the dashed curve "
    "ab = 1. At depth two the points lie along the line a = b between the branches, at both scales; at larger depths "
    "they lie near the curve, and for the smaller scale on it."
)
def menon(result: Menon) -> Figure:
    """Where the 2×2 runs end, by depth and scale."""
    count = len(result.depths)
    rows = -(-(count + 1) // 2)
    fig, axes = plotting.subplots(rows, 2, size=(7.6, 3.5 * rows + 0.3), squeeze=False)
    axes, curve = axes.ravel(), np.geomspace(0.2, 5, 100)
    for ax, depth, entries in zip(axes[:count], result.depths, result.entries, strict=True):
        for sign in (-1, 1):
            ax.plot(sign * curve, sign / curve, **THEORY, label="$ab=1$: rank one" if sign > 0 else None)
        for k, (colour, marker) in enumerate(((PALETTE["grey"], "o"), (_depth(depth), "o"))):
            ax.plot(*entries[k, :400].T, marker, color=colour, markersize=3.5 - k,
                    label=f"$\\varepsilon={MENON_SCALES[k]:g}$")  # fmt: skip
        ax.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), box_aspect=1, xlabel="$a=w_{12}$", ylabel="$b=w_{21}$",
               title=f"Depth {WORDS[int(depth)]}")  # fmt: skip
    for ax in axes[count:]:
        ax.set_axis_off()
    axes[count].legend(*axes[0].get_legend_handles_labels(), loc="center", title="same starts, two scales;\n"
                       "the smaller scale in colour")  # fmt: skip
    headline(fig, "2×2 fits: anywhere at depth two, of rank one in deeper networks")
    return fig


@plotting.figure(
    alt="Stable rank minus one of the limit over the scale of the start. Left, coupled start: depth two is level, the "
    "larger depths fall with slope two. Right, diagonal start: all depths lie at one level, n minus one. Markers from "
    "training lie on the dashed curves of the equation."
)
def family(result: Family) -> Figure:
    """Runs and equation for the coupled and the diagonal start."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), sharey=True)
    for column, (ax, title) in enumerate(
        zip(axes, (f"m = {result.m[0]:g}: coupled if deep", "m = ∞: decoupled,\nfull rank at every depth"), strict=True)
    ):
        _excess_curves(ax, result, column)
        ax.set_title(title)
    axes[0].set_ylabel("stable rank of the limit, minus 1")
    legend_below(fig, axes[0], ncols=4)
    return fig


@plotting.figure(
    alt="Two colour maps of the limit's stable rank over the scale of the start and the ratio m. At depth two the "
    "bands are level: only m matters. At the next depth a dark region of rank one fills all small scales."
)
def chart(result: Map) -> Figure:
    """The stable rank of the limit, from the equation alone."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9), sharey=True)
    for ax, depth, rank in zip(axes, result.depths, result.stable_rank, strict=True):
        mesh = ax.pcolormesh(result.eps, result.m, rank, shading="nearest", vmin=1, vmax=result.stable_rank.max(),
                             rasterized=True)  # fmt: skip
        ax.contour(result.eps, result.m, rank, levels=[1.01, 1.1, 1.5, 2], colors="white", linewidths=0.9)
        ax.grid(visible=False)
        ax.set(xscale="log", yscale="log", xlabel="scale $\\varepsilon$ of the start",
               title=f"Depth {WORDS[int(depth)]}")  # fmt: skip
    axes[0].set_ylabel("ratio $m$ of diagonal to other entries")
    bar = fig.colorbar(mesh, ax=axes)
    bar.set_label("stable rank of the limit")
    headline(fig, "A smaller start leads to rank one, but not at depth two")
    return fig


@plotting.figure(
    alt="Singular values of the product over time under diagonal observations. At depth two most of them rise together "
    "to values of order one. At the next depth one rises alone and the others stay far below it."
)
def spectrum(result: Spectrum) -> Figure:
    """Singular values over time, at depth two and at the next depth."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.8), sharey=True)
    for ax, depth, time, values in zip(axes, result.depths, result.times, result.values, strict=True):
        ax.plot(time, np.maximum(values, 1e-6), color=_depth(depth), linewidth=1.4)
        ax.set(yscale="log", xlabel="time $t$", ylim=(1e-4, 20),
               title=f"Depth {WORDS[int(depth)]}: " + ("many values rise" if depth == 2 else "one leads"))  # fmt: skip
    axes[0].set_ylabel("singular values of $W_{L:1}$")
    return fig


@plotting.figure(
    alt="Left: cross kernel at the end of training over depth; it rises from zero at depth two for Gaussian starts, "
    "near the dashed curve of aligned factors, and is zero for diagonal starts. Right: effective rank of each run over "
    "depth; it falls from about five towards one, and stays at the dimension for diagonal starts."
)
def depths(result: Depths) -> Figure:
    """Coupling and effective rank at the end, by depth."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0))
    spread = 0.3 * (np.arange(result.rank.shape[-1]) / max(1, result.rank.shape[-1] - 1) - 0.5)
    for k, (start, colour) in enumerate(zip(DEPTH_STARTS, (PALETTE["black"], PALETTE["grey"]), strict=True)):
        for row, depth in enumerate(result.depths):
            shade = _depth(depth) if start == "Gaussian" else colour
            for ax, values in ((axes[0], result.coupling), (axes[1], result.rank)):
                ax.plot(depth + spread, values[row, k], "o" if k == 0 else "_", color=shade, markersize=3.5)
    axes[0].plot(result.depths, [aligned_coupling(int(depth), result.d) for depth in result.depths], **THEORY)
    for ax in axes:
        ax.plot([], [], "o", color=PALETTE["black"], markersize=3.5, label="Gaussian starts (coloured by depth)")
        ax.plot([], [], "_", color=PALETTE["grey"], label="diagonal starts")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("depth $L$")
    axes[0].plot([], [], **THEORY, label="aligned factors of rank one")
    axes[0].set(ylabel="mean normalized cross kernel", title="Coupling grows with depth")
    axes[1].set(ylabel="effective rank", ylim=(0.7, None), title="and the rank falls")
    legend_below(fig, axes[0], ncols=3)
    return fig


@plotting.figure(
    alt="Error on the unseen entries of the 3 by 3 matrix at two scales of the start, for four ways to get there and "
    "each depth. Depth two after diagonal pre-training, and every depth from a diagonal start, stay at errors of order "
    "one at both scales; all others fall by orders of magnitude when the start is smaller."
)
def clean(result: Clean) -> Figure:
    """Unseen error at two scales for four set-ups and every depth."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.2), sharex=True, sharey=True)
    titles = {
        "warm": "Pre-trained on the diagonal",
        "cold": "From scratch",
        "connected": "Pre-trained on a connected set",
        "from diagonal": "Diagonal start, pre-trained\non the diagonal",
    }
    for ax, setup in zip(axes.ravel(), SETUPS, strict=True):
        for row, depth in enumerate(result.depths):
            if result.setups[row] == setup:
                ax.plot(result.eps, np.maximum(result.error[row], 1e-12), "o-", color=_depth(depth),
                        label=f"depth {depth}", markersize=max(11 - 1.8 * depth, 2.5))  # fmt: skip
        ax.set(xscale="log", yscale="log", title=titles[setup])
    for ax in axes[1]:
        ax.set_xlabel("scale $\\varepsilon$ of the start")
    for ax in axes[:, 0]:
        ax.set_ylabel("error on unseen entries")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Random rank-one matrices, from scratch and after pre-training, by depth. Left: effective rank, which "
    "pre-training raises at depth two for every matrix and hardly at larger depths. Right: error on entries never "
    "seen, raised by orders of magnitude at depth two; a few deep networks may stay at a large error."
)
def resumed(result: Resumed) -> Figure:
    """Effective rank and error of every matrix, cold and warm."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    _pairs(axes[0], result, result.rank)
    _pairs(axes[1], result, result.error)
    axes[0].set(ylabel="effective rank", title="Rank: raised at depth two")
    axes[1].set(yscale="log", ylabel="error on entries never seen", title="Error: raised at depth two")
    legend_below(fig, axes[0], ncols=3)
    return fig


@plotting.figure(
    alt="Median error on unseen entries over the share of pre-training that was fitted before the other entries came. "
    "At depth two it rises by orders of magnitude, at larger depths it stays level."
)
def critical(result: Resumed) -> Figure:
    """Error over the share of pre-training that was fitted, by depth."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    for row, depth in enumerate(result.depths):
        low, middle, high = np.quantile(result.error[row], [0.25, 0.5, 0.75], axis=-1)
        ax.fill_between(result.fitted, low, high, color=_depth(depth), alpha=0.15, linewidth=0)
        ax.plot(result.fitted, middle, "o-", color=_depth(depth), label=f"depth {depth}")
    ax.set(yscale="log", xlabel="share of the pre-training loss fitted before the rest came",
           ylabel="error on entries never seen", title="At depth two, fitting the first entries hurts")  # fmt: skip
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Left: loss over time after one entry was added, falling exponentially for the warm and the cold start. Right: "
    "logarithm of the determinant over time, flat for the warm start on the dashed integral; for the cold start it "
    "rises from far below and stays far lower."
)
def determinant(result: Determinant) -> Figure:
    """Loss and log-determinant after an entry was added, warm and cold."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0))
    for k, (name, colour) in enumerate((("warm start", WARM), ("cold start", COLD))):
        shown = result.time[:, k] <= 12
        time = result.time[shown, k]
        axes[0].plot(time, np.maximum(result.loss[shown, k], 1e-12), color=colour, label=name)
        axes[1].plot(time, result.logdet[shown, k], color=colour, label=name)
        axes[1].plot(time, result.logdet[0, k] + result.integral[shown, k], **THEORY,
                     label="start + integral" if k == 0 else None)  # fmt: skip
    axes[0].set(yscale="log", ylim=(1e-10, 3), xlabel="time since the entry was added", ylabel="loss",
                title="The warm start fits at once")  # fmt: skip
    axes[1].set(xlabel="time since the entry was added", ylabel="$\\ln|\\det W|$",
                title="and its determinant stays")  # fmt: skip
    legend_below(fig, axes[1], ncols=3)
    return fig


@plotting.figure(
    alt="Random matrices of low rank from random entries. Left: effective rank of the product over that of the target, "
    "for each problem and depth; depth two lies clearly above one, the larger depths near one. Right: error on unseen "
    "entries, smaller for the larger depths."
)
def completion(result: Completion) -> Figure:
    """Effective rank and unseen error by depth."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9))
    spread = 0.3 * (np.arange(result.rank.shape[-1]) / max(1, result.rank.shape[-1] - 1) - 0.5)
    for row, depth in enumerate(result.depths):
        axes[0].plot(row + spread, result.rank[row] / result.target_rank, "o", color=_depth(depth))
        axes[1].plot(row + spread, result.error[row], "o", color=_depth(depth))
    axes[0].axhline(1, **THEORY)
    for ax in axes:
        ax.set_xticks(range(len(result.depths)), [f"{depth}" for depth in result.depths])
        ax.set(xlabel="depth $L$", xlim=(-0.5, len(result.depths) - 0.5))
    axes[0].set(ylabel="effective rank over the target's", title="Depth two overshoots\nthe rank")
    axes[1].set(yscale="log", ylabel="error on entries never seen", title="and completes less well")
    return fig
