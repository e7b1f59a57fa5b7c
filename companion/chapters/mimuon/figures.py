"""The figures of the chapter: from an experiment's result to a drawing."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

from companion import plotting
from companion.chapters.mimuon.experiments import (  # fmt: skip
    Amplification,
    Convergence,
    Language,
    Neighbours,
    Networks,
    Sensitivity,
    Slider,
)
from companion.chapters.mimuon.experiments.language import ADAM
from companion.chapters.mimuon.experiments.language import SGD as SGD_TUNED
from companion.chapters.mimuon.experiments.linear import (
    CLIP,
    FAMILIES,
    FULL,
    GAP,
    LOOKED_AT,
    MATCHED,
    METHODS,
    MUON,
    NORM,
    SGD,
    SIGMA,
)
from companion.chapters.mimuon.experiments.networks import LAYERS
from companion.chapters.mimuon.experiments.networks import METHODS as NETWORK_METHODS
from companion.plotting import PALETTE, THEORY, legend_below

COLOURS = {
    "SGDM": PALETTE["grey"],
    "SGDM, larger step": PALETTE["black"],
    "Muon": PALETTE["blue"],
    "MiMuon, gap": PALETTE["purple"],
    "MiMuon, norm": PALETTE["sky"],
    "MiMuon, least value": PALETTE["red"],
    "clipped spectrum": PALETTE["green"],
    "Adam": PALETTE["orange"],
}
MARKERS = {SGD: "s", MATCHED: "x", MUON: "o", GAP: "D", NORM: "v", SIGMA: "P", CLIP: "^"}
LABELS = {
    SGD: "SGD with momentum",
    MATCHED: "SGD, larger step",
    GAP: "MiMuon, gap test",
    NORM: "MiMuon, norm test",
    SIGMA: "MiMuon, test of the least value",
}
SHADES = ("sky", "blue", "green", "orange", "red")


def _label(method: str) -> str:
    return LABELS.get(method, method)


def _sizes(ax: Axes, sizes: np.ndarray) -> None:
    """A logarithmic axis whose ticks are the training set sizes."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sizes))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("training examples $N$")


def _inverse(ax: Axes, sizes: np.ndarray, first: float) -> None:
    ax.plot(sizes, first * sizes[0] / sizes, **THEORY, label="slope $-1$")


@plotting.figure(
    alt="Left: generalization gap over the number of training examples, log-log; Muon highest, MiMuon with the gap "
    "test and the clipped spectrum below, MiMuon with the norm test lower, SGD lowest, all falling about like 1/N. "
    "Right: distance of two runs whose data differ in one example; all fall like 1/N but MiMuon with the gap test, "
    "whose curve flattens and ends above Muon's."
)
def glance(result: Neighbours) -> Figure:
    """Generalization gap and distance of neighbouring runs, over N."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.4))
    gap, distance = (result.test - result.train).mean(-1), result.distance.mean(-1)
    for ax, values in ((left, gap), (right, distance)):
        for method in (MUON, GAP, CLIP, NORM, SGD):
            ax.plot(result.sizes, _drawable(values[METHODS.index(method)]), MARKERS[method] + "-",
                    color=COLOURS[method], label=_label(method))  # fmt: skip
        _inverse(ax, result.sizes, 1.25 * values.max(initial=0, where=np.isfinite(values)))
        ax.set_yscale("log")
        _sizes(ax, result.sizes)
    left.set(ylabel="held-out minus training loss", title="Generalization: MiMuon below Muon")
    right.set(ylabel="distance $\\|W_T-W_T'\\|_F$", title="Stability: one rule is off")
    legend_below(fig)
    return fig


def _drawable(values: np.ndarray) -> np.ndarray:
    """What a logarithmic axis can show."""
    return np.where(values > 0, values, np.nan)


@plotting.figure(
    alt="Amplification over the least singular value, log-log. Left, rectangular matrices: the points of all gaps lie "
    "on one line 1 over the least value. Right, square matrices: curves level off at 2 over the gap for small moves, "
    "while pairs on two sides of a singular matrix stay on the line."
)
def lipschitz(result: Amplification) -> Figure:
    """Reaction of the orthogonal factor to a small move in the worst direction."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), sharey=True)
    titles = ("9×6: the gap is no help", "6×6: small moves only")
    for ax, worst, title in zip(axes, result.worst[::-1], titles, strict=True):
        for k, (gap, shade) in enumerate(zip(result.gaps, SHADES, strict=True)):
            ax.plot(result.least, worst[:, k], "o", color=PALETTE[shade], markersize=10 - 1.6 * k,
                    label=f"gap {gap:g}")  # fmt: skip
        ax.plot(result.least, 1 / result.least, **THEORY, label="1 / least value")
        ax.set(xscale="log", yscale="log", xlabel="least singular value", title=title)
    fine = np.geomspace(result.least[0], result.least[-1], 200)
    for gap, shade in zip(result.gaps, SHADES, strict=True):
        axes[1].plot(fine, 2 / (2 * fine + gap), color=PALETTE[shade], linewidth=1)
    axes[1].plot(result.least, result.diagonal, "kx", markersize=8, label="diag(1, ε) and diag(1, −ε)")
    axes[0].set_ylabel("amplification by the factor $UV^T$")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Left: distance of neighbouring runs over the steps, log-log; Muon's grows about linearly, SGD's below it, "
    "and the dashed bound by the length of the steps lies well above both. Right: the base-ten logarithm of the bound "
    "with the measured least singular values climbs steadily to some hundreds."
)
def bounds(result: Neighbours) -> Figure:
    """Measured distances over the steps, and two bounds."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2), width_ratios=(1.3, 1))
    steps = np.arange(1, len(result.kappa) + 1)
    for method in (MUON, GAP, SGD):
        left.plot(steps, _drawable(result.path[METHODS.index(method)]), color=COLOURS[method], label=_label(method))
    left.plot(steps, result.travel_path, **THEORY, label="bound by the length of the steps")
    n = result.sizes[LOOKED_AT]
    left.set(xscale="log", yscale="log", xlabel="steps $t$", ylabel="distance $\\|W_t-W_t'\\|_F$",
             title=f"About linear in time (N = {n})")  # fmt: skip
    right.plot(steps, result.kappa_bound, color=PALETTE["red"], label="bound with $1/\\kappa$, measured $\\kappa$")
    right.set(xlabel="steps $t$", ylabel="$\\log_{10}$ of the bound", title="The bound is exponential")
    right.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Left: generalization gap over training examples for Muon, MiMuon with both tests and SGD with a larger step; "
    "MiMuon with the gap test and that SGD coincide below Muon. Right: held-out loss; Muon's is highest for few "
    "examples, SGD with a small step is highest for many."
)
def generalization(result: Neighbours) -> Figure:
    """Generalization gaps and held-out losses over N."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.4))
    gap, test = (result.test - result.train).mean(-1), result.test.mean(-1)
    for method in (MUON, MATCHED, GAP, NORM, SIGMA, SGD):
        style = "--" if method == MATCHED else "-"
        for ax, values in ((left, gap), (right, test)):
            size = 8 if method == MATCHED else 4.5
            ax.plot(result.sizes, _drawable(values[METHODS.index(method)]), MARKERS[method] + style,
                    color=COLOURS[method], label=_label(method), markersize=size)  # fmt: skip
    left.set(yscale="log", ylabel="held-out minus training loss", title="The gap test equals a larger step")
    right.set(ylabel="held-out loss", title="The gap test also has the lower loss")
    for ax in (left, right):
        _sizes(ax, result.sizes)
    legend_below(fig)
    return fig


@plotting.figure(
    alt="Reaction of the trained weights to one example moved by a tiny amount, a point for each run, log axis. SGD "
    "reacts least, then MiMuon with the norm test, the clipped spectrum and the gap test, then Muon; Muon with the "
    "full factor of a singular value decomposition lies seven orders of magnitude to the right."
)
def sensitivity(result: Sensitivity) -> Figure:
    """Distance of two runs over the distance of their data."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    order = np.argsort(np.median(result.ratio, axis=1), kind="stable")
    colours = {FULL: PALETTE["red"]} | COLOURS
    for place, k in enumerate(order):
        name, values = result.names[k], result.ratio[k]
        spread = place + 0.35 * (np.arange(len(values)) / max(1, len(values) - 1) - 0.5)
        colour = colours.get(name, COLOURS[GAP])
        ax.plot(_drawable(values), spread, ".", color=colour, alpha=0.7)
        ax.plot(np.exp(np.log(np.maximum(values, 1e-300)).mean()), place, "k|", markersize=16, markeredgewidth=2)
    ax.set(xscale="log", yticks=np.arange(len(order)), xlabel="distance of the weights / distance of the data",
           title="One example moved by a ten-millionth")  # fmt: skip
    ax.set_yticklabels([_label(result.names[k]).replace("MiMuon, gap τ", "gap test, τ") for k in order])
    return fig


@plotting.figure(
    alt="Generalization gap over training loss, log axis, for five families whose step size or threshold slides. All "
    "points lie on one falling curve, that of SGD with momentum over its step size."
)
def slider(result: Slider) -> Figure:
    """Generalization gap against training loss."""
    fig, ax = plotting.subplots(size=(7.6, 4.3))
    for family, train, gap in zip(FAMILIES, result.train, result.gap, strict=True):
        order = np.argsort(train)
        style = "-" if family == SGD else ""
        ax.plot(train[order], _drawable(gap[order]), MARKERS[family] + style, color=COLOURS[family], markersize=7,
                label=_label(family) + (", step size slides" if family in (SGD, MUON) else ", τ slides"))  # fmt: skip
    ax.set(yscale="log", xlabel="training loss", ylabel="held-out minus training loss",
           title="At equal training loss all methods generalize alike")  # fmt: skip
    ax.yaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5]))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend()
    return fig


@plotting.figure(
    alt="Held-out loss on a log axis, left, and held-out error, right, of small networks for two training set sizes, a "
    "point for each network. Muon's are highest; MiMuon's and those of SGD with the larger step are lower."
)
def networks(result: Networks) -> Figure:
    """Held-out loss and error of the networks."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.4))
    places = np.arange(len(result.sizes))
    for k, method in enumerate(NETWORK_METHODS):
        shift = 0.16 * (k - (len(NETWORK_METHODS) - 1) / 2)
        for ax, values in ((left, result.test), (right, result.error)):
            for place, runs in zip(places, values[k], strict=True):
                ax.plot(np.full(len(runs), place + shift), runs, ".", color=COLOURS[method], alpha=0.6)
            ax.plot(places + shift, values[k].mean(-1), "_", color=COLOURS[method], markersize=14, markeredgewidth=2.5,
                    label=_label(method))  # fmt: skip
    left.set(yscale="log", ylabel="held-out loss", title="Muon's loss is far higher")
    left.yaxis.set_major_locator(FixedLocator([1, 1.5, 2, 3, 5, 10, 20]))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter(NullFormatter())
    right.set(ylabel="held-out error", title="and so is its error")
    for ax in (left, right):
        ax.set_xticks(places, [f"{n:g}" for n in result.sizes])
        ax.set_xlabel("training examples $N$")
    legend_below(fig)
    return fig


@plotting.figure(
    alt="Left: smallest gaps of singular values of Muon's momenta in a network, one row of points for each layer on a "
    "log axis; those of the two hidden layers lie mostly left of the dashed threshold, those of the head right of it. "
    "Right: share of orthogonalized steps over time for linear classifiers; near one early, falling later."
)
def spectra(networks: Networks, neighbours: Neighbours, tau: float) -> Figure:
    """Where gaps lie, and how often the tests pass."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2))
    shades = (PALETTE["orange"], PALETTE["red"], PALETTE["green"])
    for row, (values, shade) in enumerate(zip(networks.kappa, shades, strict=True)):
        spread = row + 0.6 * (np.arange(len(values)) * 0.618 % 1 - 0.5)
        left.plot(_drawable(np.where(np.isfinite(values), values, np.nan)), spread, ".", color=shade, alpha=0.5)
    left.axvline(tau, **THEORY, label="threshold τ")
    left.set(xscale="log", xlabel="smallest gap $\\kappa$ of a momentum", title="κ is small in hidden layers")
    left.set_yticks(range(3), [f"{layer}\n{shape}" for layer, shape in zip(LAYERS, networks.shapes, strict=True)])
    steps = np.arange(1, len(neighbours.kappa) + 1)
    for method in (GAP, SIGMA, NORM):
        right.plot(steps, neighbours.share_path[METHODS.index(method)], color=COLOURS[method], label=_label(method))
    right.set(xlabel="steps $t$", ylabel="share orthogonalized", ylim=(-0.03, 1.03), title="Muon early, SGD late")
    legend_below(fig, ncols=2)
    return fig


@plotting.figure(
    alt="Left: mean gradient norm over the number of steps, log-log; Muon and MiMuon with scheduled steps fall at "
    "least as fast as the dashed slope minus one quarter, Muon with fixed steps levels off. Right: the left-hand side "
    "of the theorem, for small steps, below its dashed bound."
)
def convergence(result: Convergence) -> Figure:
    """Rates on the rippled bowl, and the bound."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2), width_ratios=(1.3, 1))
    names = (MUON, GAP, NORM)
    for k, name in enumerate(names):
        left.plot(result.horizons, result.norm[k], MARKERS[name] + "-", color=COLOURS[name], label=_label(name))
    left.plot(result.horizons, result.fixed[0], "o:", color=COLOURS[MUON], label="Muon, fixed steps")
    reference = 1.15 * result.norm[0, 0] * (result.horizons / result.horizons[0]) ** -0.25
    left.plot(result.horizons, reference, **THEORY, label="slope $-1/4$; right: bound")
    left.set(xscale="log", yscale="log", xlabel="steps $T$", ylabel="mean of $\\|\\nabla F\\|_F$",
             title="No slower than Muon")  # fmt: skip
    places = np.arange(2)
    for k, name in enumerate(names):
        right.plot(places + 0.12 * (k - 1), result.careful[k], MARKERS[name], color=COLOURS[name])
    right.plot(places, result.bound, "k_", markersize=40, markeredgewidth=2)
    right.set(ylim=(0, 1.1 * result.bound.max()), xlim=(-0.5, 1.5), ylabel="left-hand side, and bound",
              title="Small steps: below the bound")  # fmt: skip
    right.set_xticks(places, [f"T = {T}" for T in result.horizons[:2]])
    for ax, axis in ((left, left.xaxis), (left, left.yaxis)):
        ticks = result.horizons if axis is ax.xaxis else [0.2, 0.5, 1, 2, 5]
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Left: training loss minus Muon's, smoothed, over the steps; both MiMuon stay near zero, SGD and Adam rise to "
    "about a tenth. Right: their test losses; three on the left are equal, two lie higher."
)
def language(result: Language) -> Figure:
    """Training curves and test losses of the best trials."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.4), width_ratios=(1.4, 1))
    markers = {SGD_TUNED: "s", ADAM: "X"} | MARKERS
    colours = {SGD_TUNED: COLOURS[SGD]} | COLOURS
    window = max(1, result.losses.shape[1] // 12)
    for k, method in enumerate(result.methods):
        behind = result.losses[k] - result.losses[result.methods.index(MUON)]
        smooth = np.convolve(behind, np.full(window, 1 / window), "valid")
        name = _label(SGD) if method == SGD_TUNED else _label(method)
        left.plot(np.arange(len(smooth)) + window, smooth, color=colours[method], label=name)
        right.plot(k, result.test[k], markers[method], color=colours[method], markersize=9)
    finite = result.test[np.isfinite(result.test)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0, 1)
    right.set(ylim=(low - 0.3 * (high - low) - 0.01, high + 0.3 * (high - low) + 0.01), xticks=[],
              xlim=(-0.6, len(result.methods) - 0.4), ylabel="test loss", title="Equal trials each")  # fmt: skip
    left.set(xlabel="steps", ylabel="training loss minus Muon's", title="MiMuon trains like Muon")
    legend_below(fig)
    return fig
