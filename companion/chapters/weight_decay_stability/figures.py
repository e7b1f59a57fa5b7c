"""The chapter's figures, each drawn from an experiment's result."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from companion import plotting
from companion.chapters.weight_decay_stability.experiments import Edge, Filtered, Identity, Map, Plateaus, Sharpening
from companion.chapters.weight_decay_stability.experiments.training import NORMALIZED
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {
    "GD": PALETTE["grey"],
    "MLP": PALETTE["blue"],
    "CNN": PALETTE["orange"],
    "decay across the sharpness gradient": PALETTE["red"],
    "decay along the sharpness gradient": PALETTE["green"],
}
ACROSS, ALONG = COLOURS["decay across the sharpness gradient"], COLOURS["decay along the sharpness gradient"]
MARKS = {"MLP": "o", "CNN": "s"}
WINDOW = 20  # steps of a moving average of the oscillation


def _shades(lam: np.ndarray, common: float) -> list[str]:
    """Grey without decay, black with the common one, colours for the others."""
    others = iter(("sky", "purple", "yellow", "green", "red", "orange", "blue") * 2)
    return [COLOURS["GD"] if one == 0 else PALETTE["black"] if one == common else PALETTE[next(others)] for one in lam]


def _runs(ax: Axes, x: np.ndarray, values: np.ndarray, colour: str, label: str) -> None:
    """Every seed as a line, ``values (T, S)``."""
    ax.plot(x, values, color=colour, linewidth=1.1)
    ax.plot([], [], color=colour, label=label)


@plotting.figure(
    alt="Sharpness over training, as a fraction of the edge two over eta, a line for each seed. Left, MLP: without "
    "decay it climbs to the dashed line and stays; with decay it settles below, the lower the larger the decay. "
    "Right, CNN: without decay and with the same common decay it stays at the dashed line; with three times as "
    "much it falls below."
)
def glance(mlp: Edge, cnn: Edge) -> Figure:
    """Sharpness of both architectures over training, for every decay."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    for ax, edge, title in (
        (axes[0], mlp, f"MLP: λ = {mlp.common:g} ends\nthe edge of stability"),
        (axes[1], cnn, f"CNN: λ = {cnn.common:g} leaves it\nthere; more ends it, too"),
    ):
        for row, (lam, colour) in enumerate(zip(edge.lam, _shades(edge.lam, edge.common), strict=True)):
            _runs(ax, edge.steps, edge.sharpness[:, row] * edge.lr / 2, colour, f"λ = {lam:g}")
        ax.axhline(1, **THEORY)
        ax.set(xlabel="steps", title=title, ylim=(0, 1.6))
        ax.legend(loc="upper right", ncols=2, columnspacing=1, handlelength=1.2)
    axes[0].set_ylabel("sharpness $S$ over $2/\\eta$")
    return fig


@plotting.figure(
    alt="Sharpness over time below the edge, one panel for each network, a line for each seed. In every panel but the "
    "last the curves are the lower the larger the decay. In the last, with normalized layers, the order is "
    "reversed."
)
def sharpening(result: Sharpening) -> Figure:
    """Progressive sharpening with and without decay."""
    count = len(result.names)
    rows = -(-(count + 1) // 2)
    fig, axes = plotting.subplots(rows, 2, size=(7.6, 2.5 * rows), sharex=True, squeeze=False)
    for k, (ax, name) in enumerate(zip(axes.ravel(), result.names, strict=False)):
        shades = (COLOURS["GD"], PALETTE["purple"], PALETTE["black"], PALETTE["green"], PALETTE["sky"], "red", "blue")
        for row, lam in enumerate(result.lam):
            _runs(ax, result.time, result.sharpness[k, :, row], shades[row], f"λ = {lam:g}")
        title = "MLP, normalized layers: reversed" if name == NORMALIZED else name if "N" in name else f"MLP, {name}"
        ax.set(title="MLP, ReLU" if name == "MLP" else title, ylim=(0, None))
    for ax in axes.ravel()[count:]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("sharpness $S$")
    for ax in axes.ravel()[max(0, count - 2) : count]:
        ax.set_xlabel("steps × step size")
        ax.tick_params(labelbottom=True)
    axes.ravel()[count].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")
    headline(fig, "Decay slows progressive sharpening, unless layers are normalized")
    return fig


@plotting.figure(
    alt="Relative change of the loss from step to step over training on a log axis, averaged over twenty steps. CNN: "
    "the curves without decay are highest, those with more decay fall below by a factor of ten or more. MLP: the "
    "same, and already with small decays."
)
def runs(mlp: Edge, cnn: Edge) -> Figure:
    """How much the loss jumps from one step to the next."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9), sharey=True)
    for ax, edge, name in ((axes[0], cnn, "CNN"), (axes[1], mlp, "MLP")):
        window = min(WINDOW, len(edge.losses) // 2)
        jumps = np.abs(np.diff(edge.losses, axis=0)) / np.maximum(edge.losses[:-1], 1e-30)
        sums = np.cumsum(np.concatenate([np.zeros_like(jumps[:1]), jumps]), axis=0)
        smooth = np.maximum((sums[window:] - sums[:-window]) / window, 1e-9)
        at = np.arange(len(smooth)) + window
        for row, (lam, colour) in enumerate(zip(edge.lam, _shades(edge.lam, edge.common), strict=True)):
            _runs(ax, at, smooth[:, row], colour, f"λ = {lam:g}")
        still = "at the edge" if name == "CNN" else "below the edge"
        ax.set(yscale="log", xlabel="steps", title=f"{name}: with λ = {edge.common:g}\ncalm {still}")
        ax.legend(loc="upper right", ncols=2, columnspacing=1, handlelength=1.2)
    axes[0].set_ylabel("mean of $|L_{t+1}-L_t|\\,/\\,L_t$")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, 8 * high)
    return fig


@plotting.figure(
    alt="Every run with decay as a point: progressive sharpening over the decay's pull on a log axis, and the plateau "
    "of the sharpness over two over eta. Points below the edge stand on the dashed vertical line at one; points "
    "at the edge, most of the CNN's, lie to its right."
)
def law(mlp: Edge, cnn: Edge) -> Figure:
    """One law for both architectures: force against plateau."""
    fig, ax = plotting.subplots(size=(7.6, 4.4))
    for name, edge in (("MLP", mlp), ("CNN", cnn)):
        for row, lam in enumerate(edge.lam[1:]):
            size = 5 + 5 * row / max(1, len(edge.lam) - 2)
            ax.plot(np.clip(edge.force[row], 0.3, 30), edge.plateau[row + 1], MARKS[name], color=COLOURS[name],
                    markersize=size, alpha=0.8, label=f"{name}, λ = {lam:g}")  # fmt: skip
    ax.axvline(1, **THEORY)
    ax.axhline(1, color=COLOURS["GD"], linewidth=1)
    ax.set(xscale="log", ylim=(0, 1.2), xlabel="progressive sharpening over the pull of decay",
           ylabel="plateau, $S$ over $2/\\eta$",
           title="Below the edge the two forces balance, in both architectures")  # fmt: skip
    ax.xaxis.set_major_locator(FixedLocator([0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Plateau of the sharpness over the step size, both logarithmic. Without decay the points follow the dashed "
    "line two over eta; with decay they are level until that line cuts them off."
)
def plateaus(result: Plateaus) -> Figure:
    """The plateau against the step size."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    for row, (lam, colour) in enumerate(zip(result.lam, (COLOURS["GD"], COLOURS["MLP"]), strict=True)):
        ax.plot(result.lrs, result.sharpness[:, row], "o", color=colour)
        ax.plot(result.lrs, np.median(result.sharpness[:, row], axis=1), color=colour, label=f"λ = {lam:g}")
    lrs = np.geomspace(result.lrs[0] / 1.1, result.lrs[-1] * 1.1, 50)
    ax.plot(lrs, 2 / lrs, **THEORY, label="edge, $2/\\eta$")
    ax.set(xscale="log", yscale="log", xlabel="step size $\\eta$", ylabel="plateau of the sharpness $S$",
           title="MLP: with decay the plateau does not know the step size")  # fmt: skip
    ax.xaxis.set_major_locator(FixedLocator(result.lrs))
    ax.yaxis.set_major_locator(FixedLocator([0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8]))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ax.legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Sharpness over two over eta while the MLP trains with a part of its decay. Left: without the part along the "
    "sharpness gradient the curves climb to the dashed edge, with that part alone they stay below like the whole "
    "decay. Right: with a random direction at the same angle the roles are exchanged."
)
def filters(result: Filtered) -> Figure:
    """The intervention: which part of the decay does it."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), sharey=True)
    titles = ("Along the sharpness gradient:\nthat part does it", "A random direction, same angle:\nit hardly matters")
    for ax, curves, title in zip(axes, result.sharpness, titles, strict=True):
        _runs(ax, result.whole_steps, result.whole, "black", "whole decay")
        _runs(ax, result.steps, curves[0], ACROSS, "without the part along the direction")
        _runs(ax, result.steps, curves[1], ALONG, "that part alone")
        ax.axhline(1, **THEORY)
        ax.set(xlabel="steps", title=title, ylim=(0, 1.35))
    axes[0].set_ylabel("sharpness $S$ over $2/\\eta$")
    legend_below(fig, axes[0], ncols=3)
    return fig


@plotting.figure(
    alt="Alignment over sharpness for random networks of six kinds. The points of the Gauss-Newton sharpness lie on "
    "the dashed predictions 2, 4, 6, 4 and -2, and below for tanh; those of the Hessian lie off by what the "
    "labels add, and on crosses that include it."
)
def alignment(result: Identity) -> Figure:
    """The alignment identity on random networks."""
    fig, ax = plotting.subplots(size=(7.6, 4.4))
    places = np.arange(len(result.names))
    expected = 2 * (result.degree - 1)
    for k, place in enumerate(places):
        ax.plot([place - 0.4, place + 0.4], [expected[k]] * 2, **THEORY, label="$2(m-1)$" if k == 0 else None)
        spread = 0.1 * (np.arange(result.ratio.shape[1]) - (result.ratio.shape[1] - 1) / 2)
        spread = np.clip(spread, -0.15, 0.15)
        ax.plot(place - 0.2 + spread, result.ratio[k], "o", color=PALETTE["blue"],
                label="Gauss–Newton" if k == 0 else None)  # fmt: skip
        ax.plot(place + 0.2 + spread, result.full[k], "s", color=PALETTE["orange"], markersize=6,
                label="Hessian" if k == 0 else None)  # fmt: skip
        ax.plot(place + 0.2 + spread, expected[k] + result.correction[k], "x", color="black",
                label="$2(m-1)+m\\kappa/S$" if k == 0 else None)  # fmt: skip
    ax.set_xticks(places, [name.replace(", ", ",\n") for name in result.names])
    ax.set(ylabel="$\\theta\\cdot\\nabla S\\,/\\,S$", title="Homogeneity fixes the alignment; tanh is not homogeneous")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="The reduced model. Left: sharpness above the edge over steps for four decays: a growing cycle without decay, "
    "a smaller one with half of the critical decay, nearly a point with 0.9 of it, and a fall below the edge with "
    "twice as much. Right: energy and plateau over the decay follow the dashed lines, straight to zero at one and "
    "flat, then falling."
)
def reduced(result: Map) -> Figure:
    """Orbits of the reduced model, and their averages over the decay."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    lam = result.ratio * result.model.critical
    shades = (COLOURS["GD"], PALETTE["sky"], PALETTE["blue"], PALETTE["black"])
    for ratio, colour in zip((0, 0.5, 0.9, 2), shades, strict=True):
        row = int(np.flatnonzero(np.isclose(result.ratio, ratio))[0])
        axes[0].plot(result.y[:, row], color=colour, linewidth=1.2, label=f"{ratio:g} $\\lambda_c$")
    axes[0].axhline(0, **THEORY)
    axes[0].set(xlabel="steps", ylabel="$y$, sharpness above $2/\\eta$", ylim=(-1.0, 1.1),
                title="Cycles, smaller with decay;\nthen a fall")  # fmt: skip
    axes[0].legend(loc="upper left", ncols=2)
    zero = result.model.energy(np.zeros(1))[0]
    axes[1].plot(result.ratio, result.energy[0] / zero, "o", color=ACROSS, label="energy, mean of $x^2$")
    axes[1].plot(result.ratio, result.plateau[0] * result.model.lr / 2, "s", color=COLOURS["MLP"],
                 label="plateau over $2/\\eta$")  # fmt: skip
    fine = np.linspace(0, result.ratio.max(), 200) * result.model.critical
    axes[1].plot(fine / result.model.critical, result.model.energy(fine) / zero, **THEORY)
    axes[1].plot(fine / result.model.critical, result.model.plateau(fine) * result.model.lr / 2, **THEORY,
                 label="theory")  # fmt: skip
    axes[1].set(xlabel="$\\lambda/\\lambda_c$", xlim=(0, lam.max() / result.model.critical), ylim=(0, 1.65),
                title="Averages follow the laws\nof both phases")  # fmt: skip
    axes[1].legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Left: relative change of the outputs in one step, on a log axis: highest without decay and with the decay "
    "that lacks its part along the sharpness gradient, ten times lower with the whole decay and with that part "
    "alone. Right: change of the tangent kernel without and with decay: much lower with it for GELU, about half "
    "for the CNN, hardly for the ReLU MLP."
)
def functions(mlp: Edge, cnn: Edge, filtered: Filtered, smooth: Edge) -> Figure:
    """Steps of outputs and of tangent kernels."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), width_ratios=(1.25, 1))
    row = mlp.at(mlp.common)
    groups = (
        ("none", mlp.output_step[:, 0].mean(0), COLOURS["GD"]),
        ("whole", mlp.output_step[:, row].mean(0), "black"),
        ("without\nthe part", filtered.output_step[0, 0], ACROSS),
        ("the part\nalone", filtered.output_step[0, 1], ALONG),
    )
    for place, (_, values, colour) in enumerate(groups):
        axes[0].plot(np.full(len(values), place), values, "o", color=colour, alpha=0.8)
        axes[0].plot([place - 0.25, place + 0.25], [np.median(values)] * 2, color=colour)
    axes[0].set_xticks(range(4), [name for name, _, _ in groups])
    axes[0].set(yscale="log", xlim=(-0.6, 3.6), xlabel="decay that is kept", ylabel="relative change in one step",
                title="MLP: outputs calm down\nby the part along $\\nabla S$")  # fmt: skip
    nets = (("MLP,\nGELU", smooth), ("CNN,\nReLU", cnn), ("MLP,\nReLU", mlp))
    for place, (_, edge) in enumerate(nets):
        for k, colour in enumerate((COLOURS["GD"], "black")):
            values = edge.kernel_step[:, k].mean(0)
            axes[1].plot(np.full(len(values), place + 0.4 * k - 0.2), values, "o", color=colour, alpha=0.8)
            axes[1].plot([place + 0.4 * k - 0.35, place + 0.4 * k - 0.05], [np.median(values)] * 2, color=colour,
                         label=("no decay", "decay")[k] if place == 0 else None)  # fmt: skip
    axes[1].set_xticks(range(3), [name for name, _ in nets])
    axes[1].set(yscale="log", xlim=(-0.6, 2.6), title="Kernels: smooth networks\ncome to rest")
    axes[1].legend(loc="lower right")
    return fig
