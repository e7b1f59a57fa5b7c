"""The chapter's figures, each drawn from experiments' results."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from companion import plotting
from companion.chapters.progressive_sharpening.experiments.limits import SMALL_Q, Flips, Growth, Layers, Turning
from companion.chapters.progressive_sharpening.experiments.networks import Growth as NetworkGrowth
from companion.chapters.progressive_sharpening.experiments.networks import Noise
from companion.chapters.progressive_sharpening.experiments.runs import Edge, Flow, Imbalance
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {
    "depth 2": PALETTE["blue"],
    "depth 3": PALETTE["orange"],
    "depth 4": PALETTE["green"],
    "depth 5": PALETTE["purple"],
    "depth 6": PALETTE["sky"],
}
BEYOND, BELOW, EASY = PALETTE["red"], PALETTE["blue"], PALETTE["green"]
MARKERS = "osD^v"


def _depth(depth: int) -> str:
    return COLOURS[f"depth {depth}"]


def _whole(axis, values) -> None:
    """Ticks of a logarithmic axis at these values and nowhere else."""
    axis.set_major_locator(FixedLocator([float(value) for value in values]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(FixedLocator([]))


def _climb(ax: Axes, result: Edge, row: int) -> None:
    """Sharpness over the steps on the first data set, below and beyond the edge."""
    steps = np.maximum(result.steps, result.steps[1] / 2)
    for name, colour, words in (("below", BELOW, "small step"), ("beyond", BEYOND, "large step")):
        k = result.groups.index(name)
        ax.plot(steps, result.sharpness[k, row, 0], color=colour, label=words)
    ax.axhline(result.edge[result.groups.index("beyond"), row, 0], color=BEYOND, linewidth=1.1, linestyle=":",
               label="$2/\\eta$ of the large step")  # fmt: skip
    ax.axhline(result.predicted[result.groups.index("below"), row, 0, 0], **THEORY, label="limit of the flow")
    ax.set(xscale="log", xlabel="step", ylim=(0, None))


def _noise_collapse(ax: Axes, result: Imbalance, kind: str) -> None:
    """Predicted sharpness at the end, relative to the start, over the step size per sample."""
    k = result.kinds.index(kind)
    ratio = result.predicted[k, ..., -1].mean(-1) / result.predicted[k, ..., 0].mean(-1)
    for row, depth in enumerate(result.depths):
        for j, batch in enumerate(result.batches):
            size = result.lr[k, :, row].ravel() / batch
            ax.plot(size, ratio[:, row, :, j].ravel(), MARKERS[j % 5], color=_depth(depth), markersize=4.5,
                    label=f"depth {depth}" if j == 0 else None)  # fmt: skip
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set(xscale="log", xlabel="$\\eta/B$")


def _sizes(ax: Axes, result: NetworkGrowth) -> None:
    """Mean sharpness of trained networks over the size of the data set."""
    for row, depth in enumerate(result.depths):
        for k, (name, line) in enumerate(zip(result.labels, ("o-", "o:"), strict=True)):
            ax.plot(result.sizes, result.sharpness[k, row].mean(-1), line, color=_depth(depth),
                    markerfacecolor=_depth(depth) if k == 0 else "white",
                    label=f"depth {depth}, {name} labels")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="images $N$")
    _whole(ax.xaxis, result.sizes)
    _whole(ax.yaxis, [2, 5, 10, 20, 50, 100])


@plotting.figure(
    alt="Four panels. Sharpness over steps: with a small step it climbs to the dashed limit of gradient flow, with a "
    "large step to the dotted 2 over eta. Limit sharpness over difficulty: straight lines on logarithmic axes, steeper "
    "for deeper networks. Predicted sharpness over step size per sample: it falls from one. Tanh networks: sharpness "
    "rises with the number of images for noisy labels, and stays nearly level for clean ones."
)
def glance(edge: Edge, growth: Growth, imbalance: Imbalance, networks: NetworkGrowth) -> Figure:
    """The chapter in one figure: the climb, and what decides how far it goes."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.9))
    _climb(axes[0, 0], edge, 1)
    axes[0, 0].set(ylabel="sharpness $S$", title=f"Sharpness climbs to a limit,\nor to $2/\\eta$ (depth "
                                                 f"{edge.depths[1]})")  # fmt: skip
    axes[0, 0].legend(loc="lower right")
    _difficulty_law(axes[0, 1], growth)
    axes[0, 1].set(ylabel="limit sharpness $S_\\infty$", title="Hard data and depth\nraise the limit")
    axes[0, 1].legend(loc="upper left")
    _noise_collapse(axes[1, 0], imbalance, "negative")
    axes[1, 0].set(ylabel="limit sharpness, end over start", title="Large steps and small\nbatches lower it")
    axes[1, 0].legend(loc="lower left")
    _sizes(axes[1, 1], networks)
    for depth in networks.depths:
        axes[1, 1].plot([], [], color=_depth(depth))
    axes[1, 1].plot([], [], "o-", color=PALETTE["grey"], label="noisy labels")
    axes[1, 1].plot([], [], "o:", color=PALETTE["grey"], markerfacecolor="white", label="clean labels")
    axes[1, 1].legend(*_last_two(axes[1, 1]), loc="upper left")
    axes[1, 1].set(ylabel="sharpness after training", title="Tanh networks on images\nbehave likewise")
    return fig


def _last_two(ax: Axes) -> tuple[list, list]:
    handles, labels = ax.get_legend_handles_labels()
    return handles[-2:], labels[-2:]


def _difficulty_law(ax: Axes, result: Growth) -> None:
    """Balanced limit sharpness of all data sets over their difficulty."""
    Q = result.Q[0].ravel()
    line = np.geomspace(Q.min(), Q.max(), 20)
    level = np.median(result.top / result.sizes[:, None])
    for row, depth in enumerate(result.depths):
        ax.plot(Q, result.balanced[0, row].ravel(), ".", color=_depth(depth), markersize=3.5, label=f"depth {depth}")
        ax.plot(line, level * line ** (2 - 2 / depth), **THEORY)
    ax.set(xscale="log", yscale="log", xlabel="difficulty $Q$")


@plotting.figure(
    alt="Sharpness and loss over steps at the smallest and the largest depth. With small steps the sharpness climbs to "
    "the dashed limit of gradient flow; with large steps it stops at the dotted 2 over eta; with easy labels it stays "
    "level. The loss falls by many orders of magnitude in all three."
)
def edge(result: Edge) -> Figure:
    """Sharpness above, loss below; the first data set."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.4), sharex=True)
    steps = np.maximum(result.steps, result.steps[1] / 2)
    for column, row in enumerate((0, len(result.depths) - 1)):
        _climb(axes[0, column], result, row)
        easy = result.groups.index("easy")
        axes[0, column].plot(steps, result.sharpness[easy, row, 0], color=EASY, label="small step, easy labels")
        axes[0, column].set(xlabel=None, title=f"Depth {result.depths[row]}")
        for name, colour in (("below", BELOW), ("beyond", BEYOND), ("easy", EASY)):
            loss = result.loss[result.groups.index(name), row, 0]
            axes[1, column].plot(steps, np.maximum(loss, 1e-16), color=colour)
        axes[1, column].set(xscale="log", yscale="log", xlabel="step")
    axes[0, 0].set_ylabel("sharpness $S$")
    axes[1, 0].set_ylabel("loss, relative to a zero output")
    headline(fig, "The climb ends at the limit of gradient flow or at 2/η, whichever is lower")
    legend_below(fig, axes[0, 0], ncols=3)
    return fig


@plotting.figure(
    alt="Sharpness at the end of gradient flow against the closed form, both logarithmic: all points on the diagonal. "
    "Crosses of the formula for a balanced start lie far to its left."
)
def limits(result: Flow) -> Figure:
    """Measured against predicted."""
    fig, ax = plotting.subplots(size=(7.6, 4.2))
    ends = np.array([result.balanced.min() / 1.2, max(result.measured.max(), result.predicted.max()) * 1.2])
    ax.plot(ends, ends, **THEORY, label="equality")
    for depth in np.unique(result.depths):
        chosen = result.depths == depth
        ax.plot(result.predicted[chosen], result.measured[chosen], "o", color=_depth(depth), markersize=7,
                label=f"depth {depth}")  # fmt: skip
        ax.plot(result.balanced[chosen], result.measured[chosen], "x", color=_depth(depth), markersize=7)
    ax.plot([], [], "x", color=PALETTE["grey"], label="balanced formula")
    ax.set(xscale="log", yscale="log", xlabel="closed form", ylabel="end of gradient flow",
           title="The limit sharpness is known before training")  # fmt: skip
    ticks = [10, 20, 30, 50, 70, 100, 150, 200]
    _whole(ax.xaxis, ticks)
    _whole(ax.yaxis, ticks)
    ax.set(xlim=ends, ylim=(result.measured.min() / 1.2, ends[1]))
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Left: difficulty over the number of images, for many data sets. With the classes as labels it rises from one "
    "to about eight, with labels that five directions explain it levels off at one. Right: limit sharpness as the "
    "labels turn from the first to the last singular vector; it rises by two orders of magnitude, and falls where "
    "the difficulty is kept fixed."
)
def difficulty(growth: Growth, turning: Turning) -> Figure:
    """More images, and harder directions."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    for k, (colour, words) in enumerate(((BEYOND, "the classes"), (EASY, "five directions"))):
        axes[0].plot(growth.sizes, growth.Q[k], color=colour, linewidth=0.6, alpha=0.4)
        axes[0].plot(growth.sizes, np.exp(np.log(growth.Q[k]).mean(-1)), "o-", color=colour, linewidth=2.4,
                     label=f"labels: {words}")  # fmt: skip
    axes[0].set(yscale="log", xlabel="images $N$", ylabel="difficulty $Q$", title="Adding images never\nlowers Q")
    axes[0].yaxis.set_minor_formatter(NullFormatter())
    axes[0].legend(loc="upper left")
    place = np.arange(1, len(turning.s) + 1)
    for k, (colour, words) in enumerate(((BEYOND, "length of labels fixed"), (EASY, "difficulty fixed"))):
        axes[1].plot(place, turning.sharpness[k], "o-", color=colour, label=words)
    axes[1].set(yscale="log", xlabel="singular vector that carries the labels", ylabel="limit sharpness $S_\\infty$",
                title="Labels on small directions\nend sharp")  # fmt: skip
    axes[1].legend(loc="upper left")
    return fig


@plotting.figure(
    alt="Difficulty over the share of wrong labels. Starting from the classes it rises steeply and then levels off, on "
    "average to about three times its value. Starting from random labels it stays level."
)
def flips(result: Flips) -> Figure:
    """Difficulty over the share of wrong labels, each data set and the mean."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    for k, (colour, words) in enumerate(((BEYOND, "the classes"), (PALETTE["grey"], "random labels"))):
        ax.plot(result.rates, result.Q[k], color=colour, linewidth=0.6, alpha=0.4)
        ax.plot(result.rates, np.exp(np.log(result.Q[k]).mean(-1)), "o-", color=colour, linewidth=2.4,
                label=f"signs turned in {words}")  # fmt: skip
    ax.set(yscale="log", xlabel="share of signs turned", ylabel="difficulty $Q$",
           title="Wrong labels make images hard; turning random labels changes nothing")  # fmt: skip
    _whole(ax.yaxis, [2, 5, 10, 20])
    ax.legend(loc="lower right")
    return fig


@plotting.figure(
    alt="Limit sharpness over depth, relative to depth two. Curves of data sets as they are rise, those with labels "
    "scaled to a small difficulty fall."
)
def depth(result: Growth) -> Figure:
    """Balanced limit sharpness over the depth, for data sets with Q of at least one, and with small labels."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    hard = result.Q[0] >= 1
    for values, colour, words in (
        (result.balanced[0][:, hard], BEYOND, "$Q\\geq1$: labels as they are"),
        (result.scaled[:, hard], EASY, f"$Q={SMALL_Q:g}$: the same labels, scaled down"),
    ):
        relative = values / values[0]
        ax.plot(result.depths, relative, color=colour, linewidth=0.5, alpha=0.3)
        ax.plot(result.depths, np.exp(np.log(relative).mean(-1)), "o-", color=colour, linewidth=2.4, label=words)
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set(yscale="log", xlabel="depth $D$", ylabel=f"$S_\\infty$ relative to depth {result.depths[0]}",
           title="Depth sharpens where the labels are hard, and flattens where they are easy")  # fmt: skip
    ax.xaxis.set_major_locator(FixedLocator(result.depths))
    _whole(ax.yaxis, [0.2, 0.5, 1, 2, 5, 10])
    ax.legend(loc="upper left")
    return fig


@plotting.figure(
    alt="Above: gain of the imbalance over step size per sample, both logarithmic, near one rising line. "
    "Below: limit sharpness at the end relative to the start, over step size per sample; it falls below one "
    "from the usual start, and rises above one from the start with positive imbalance."
)
def imbalance(result: Imbalance) -> Figure:
    """Gain of the imbalance, and what it does to the limit sharpness, from both starts."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.6))
    axes = axes.ravel()
    k = result.kinds.index("negative")
    gain = (result.C[k, ..., -1] - result.C[k, ..., 0]).mean(-1)
    for row, depth in enumerate(result.depths):
        for j, batch in enumerate(result.batches):
            axes[0].plot(result.lr[k, :, row].ravel() / batch, gain[:, row, :, j].ravel(), MARKERS[j % 5],
                         color=_depth(depth))  # fmt: skip
    axes[0].set(xscale="log", yscale="log", xlabel="$\\eta/B$", ylabel="gain of $C$", title="Noise adds imbalance")
    for j, batch in enumerate(result.batches):
        axes[1].plot([], [], MARKERS[j % 5], color=PALETTE["grey"], label=f"$B={batch}$")
    for depth in result.depths:
        axes[1].plot([], [], "s", color=_depth(depth), label=f"depth {depth}")
    axes[1].set_axis_off()
    axes[1].legend(loc="center")
    _noise_collapse(axes[2], result, "negative")
    axes[2].set(ylabel="limit sharpness, end over start", title="From C < 0 it lowers\nthe limit")
    _noise_collapse(axes[3], result, "positive")
    axes[3].set(yscale="log", title="From C > 0 it can raise it")
    _whole(axes[3].yaxis, [1, 2, 5])
    return fig


@plotting.figure(
    alt="Limit sharpness over a common imbalance of all layers, for several depths. Each curve falls up to and beyond "
    "zero imbalance."
)
def layers(result: Layers) -> Figure:
    """Limit sharpness over the imbalance."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    for depth, values in zip(result.depths, result.sharpness, strict=True):
        ax.plot(result.C, values, color=_depth(depth), label=f"depth {depth}")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yscale="log", xlabel="imbalance $C=\\|u\\|^2-v_i^2$ of all layers", ylabel="limit sharpness $S_\\infty$",
           title="Long later layers, C < 0, end sharp")  # fmt: skip
    ax.legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Left: sharpness of trained tanh networks over the number of images, noisy labels rising, clean labels nearly "
    "level, higher for deeper networks. Right: sharpness at the end over that at the start, over depth: rising for "
    "noisy labels, near one for short labels."
)
def networks(result: NetworkGrowth) -> Figure:
    """Networks on images: size of the data set, labels and depth."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.6))
    _sizes(axes[0], result)
    axes[0].set(ylabel="sharpness after training", title="Noisy labels sharpen,\nclean ones hardly")
    noisy = result.sharpness[0, :, -1] / result.start[:, -1]
    small = result.small / result.start[:, 0]
    for values, colour, words in ((noisy, BEYOND, "noisy labels"), (small, EASY, "short labels")):
        axes[1].plot(result.depths, values, ".", color=colour, markersize=5)
        axes[1].plot(result.depths, np.exp(np.log(values).mean(-1)), "-", color=colour, linewidth=2.4, label=words)
    axes[1].axhline(1, color="black", linewidth=0.8)
    axes[1].set(yscale="log", xlabel="depth $D$", ylabel="sharpness, end over start",
                title="Depth amplifies it, given\nsomething hard to learn")  # fmt: skip
    axes[1].xaxis.set_major_locator(FixedLocator(result.depths))
    _whole(axes[1].yaxis, [0.5, 1, 2, 5, 10, 20])
    axes[1].legend(loc="upper left")
    legend_below(fig, axes[0], ncols=2)
    return fig


@plotting.figure(
    alt="Left: sharpness after training by batch size, for two step sizes; single samples with the larger step end at "
    "half the sharpness of the full batch, with a third of the step near it. Right: sharpness over 2 over eta during "
    "training; runs with a large step climb to one and stay there, those with a small step stay far below."
)
def noise(result: Noise) -> Figure:
    """Batch and step size on networks, and their edge of stability."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    groups = (
        (f"all {result.size}", result.sharpness[0]),
        (f"{result.batch}", np.stack([result.middle, np.full_like(result.middle, np.nan)])),
        ("1", result.sharpness[1]),
    )
    scale = result.sharpness[0, 0]
    for place, (_, values) in enumerate(groups):
        for k, (colour, shift) in enumerate(((BEYOND, -0.08), (BELOW, 0.08))):
            axes[0].plot(place + shift + np.zeros(len(scale)), values[k] / scale, "o", color=colour,
                         label=f"$\\eta={result.lr[k]:.3g}$" if place == 0 else None)  # fmt: skip
    axes[0].set_xticks(range(3), [name for name, _ in groups])
    axes[0].set(xlabel="batch size", ylabel="sharpness, relative to the full batch", ylim=(0, 1.15),
                title="Small batches with a large\nstep end flatter")  # fmt: skip
    axes[0].legend(loc="lower left")
    for path, lr, colour, words in (
        (result.edge_path, result.edge_lr, BEYOND, "large step"),
        (result.small_path, result.lr[0] + np.zeros(len(scale)), BELOW, "small step"),
    ):
        steps = result.look * np.arange(len(path))[:, None] * lr
        axes[1].plot(steps, path * lr / 2, color=colour, linewidth=1.1)
        axes[1].plot([], [], color=colour, label=words)
    axes[1].axhline(1, **THEORY)
    axes[1].set(xlabel="time $\\eta t$", ylabel="$S\\eta/2$", title="The full batch has an edge\nof stability, too")
    axes[1].legend(loc="center right")
    return fig


@plotting.figure(
    alt="Sharpness after training over the kernel difficulty at the start, one panel for each depth, both logarithmic. "
    "The points of noisy and clean labels rise together along a line, which lies higher for deeper networks."
)
def kernel(result: NetworkGrowth) -> Figure:
    """Sharpness at the end against the difficulty at the start."""
    fig, ax = plotting.subplots(size=(7.6, 4.6))
    for row, depth in enumerate(result.depths):
        known, ends = result.difficulty[:, row], result.sharpness[:, row]
        for k, words in enumerate(result.labels):
            ax.plot(known[k].ravel(), ends[k].ravel(), MARKERS[row % 5], color=_depth(depth),
                    markerfacecolor=_depth(depth) if k == 0 else "white", label=f"depth {depth}, {words}")  # fmt: skip
        slope, level = np.polyfit(np.log(known.ravel()), np.log(ends.ravel()), 1)
        line = np.array([known.min(), known.max()])
        ax.plot(line, np.exp(level) * line**slope, color=_depth(depth), linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="kernel difficulty $Q_K$ before training",
           ylabel="sharpness after training", title="The kernel knows beforehand what will be sharp")  # fmt: skip
    _whole(ax.xaxis, [0.5, 1, 2, 5, 10, 20])
    _whole(ax.yaxis, [2, 5, 10, 20, 50])
    legend_below(fig, ncols=3)
    return fig
