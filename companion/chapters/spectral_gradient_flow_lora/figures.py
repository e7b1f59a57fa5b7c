"""The chapter's figures, each drawn from experiments' results."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from companion import plotting
from companion.analysis.spectra import effective_rank
from companion.chapters.spectral_gradient_flow_lora import theory
from companion.chapters.spectral_gradient_flow_lora.claims import flatness
from companion.chapters.spectral_gradient_flow_lora.experiments.adaptation import Digits, Language, ratio
from companion.chapters.spectral_gradient_flow_lora.experiments.factorization import (
    Band,
    Convergence,
    Growth,
    Narrow,
    Portrait,
    Runs,
    Sweep,
)
from companion.chapters.spectral_gradient_flow_lora.finetuning import METHODS
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {
    "Muon": PALETTE["blue"],
    "AdamW": PALETTE["orange"],
    "SGD": PALETTE["grey"],
    "SpecGF": PALETTE["purple"],
    "GF": PALETTE["grey"],
}
MARKS = {"Muon": "o-", "AdamW": "s-", "SGD": "^-"}
_SERIES = [PALETTE[name] for name in ("red", "orange", "green", "sky", "blue")]
MOST = 5  # modes with a colour and a label of their own


def _shades(count: int) -> list:
    """Colours of modes, from the largest target to the smallest: warm to cold."""
    places = np.linspace(0, len(_SERIES) - 1, count).round().astype(int) if count > 1 else [0]
    return [_SERIES[place] for place in places]


def _some(count: int) -> np.ndarray:
    """At most five modes out of many, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int))


def _roots(ax: Axes, runs: Runs, s: np.ndarray, last: float) -> None:
    """Square roots of the modes of the first run from the smallest starts, until ``last``."""
    clock = runs.times[:, -1]
    shown = clock <= last
    chosen = _some(runs.modes.shape[-1])
    for colour, k in zip(_shades(len(chosen)), chosen, strict=True):
        values = np.sqrt(np.maximum(runs.modes[shown, -1, 0, 0, k], 0))
        ax.plot(clock[shown], values, color=colour, label=f"{s[k]:.3g}")
        ax.plot([0.97 * last, last], [s[k] ** 0.5] * 2, color=colour, linewidth=4, solid_capstyle="butt")


def _halfway(run) -> np.ndarray:
    return run.spectra() / run.spectra()[..., :1]


@plotting.figure(
    alt="Four panels. Above: square roots of singular values over time; under spectral flow all lie on one straight "
    "line and leave it at their targets, the smallest first; under gradient flow they rise one after the other, the "
    "largest first. Below: the spectrum of BA in a language model at equal loss is as flat as the random factor under "
    "Muon and falls steeply under AdamW and SGD, at every stage of the training."
)
def glance(growth: Growth, language: Language) -> Figure:
    """Equal rates in the factorization, and a flat spectrum in a language model."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.6))
    ends = 1.1 * growth.s[0] ** 0.5, float(np.max(theory.gradient_time(growth.s, growth.alphas.min(), 0.99)))
    for ax, runs, end, name in zip(
        axes[0], (growth.spectral, growth.gradient), ends, ("Spectral", "Gradient"), strict=True
    ):
        _roots(ax, runs, growth.s, end)
        ax.set(xlabel="time $t$", ylabel="$\\sqrt{\\sigma_i}$", ylim=(0, 1.08 * growth.s[0] ** 0.5),
               title=f"{name} flow: {'smallest' if name == 'Spectral' else 'largest'} first")  # fmt: skip
    axes[0, 0].plot([0, ends[0]], [0, ends[0]], **THEORY)
    axes[0, 0].legend(title="target $s_i$", loc="upper left", ncols=2)
    first = [run for run, seed in zip(language.runs, language.seeds, strict=True) if seed == 0]
    names = [name for name, seed in zip(language.methods, language.seeds, strict=True) if seed == 0]
    for method in METHODS:
        own = [run for run, name in zip(first, names, strict=True) if name == method]
        run = next((run for run in own if run.arrivals()[0] >= 0), own[0])
        spectrum = np.median(_halfway(run)[0], axis=0)
        index = np.arange(1, len(spectrum) + 1)
        axes[1, 0].plot(index, spectrum, MARKS[method], color=COLOURS[method], label=method)
        fallen, flat = run.losses[0, 0] - run.losses[1:, 0], np.median(ratio(run.values[1:, 0]), axis=1)
        axes[1, 1].plot(fallen, flat, MARKS[method], color=COLOURS[method], label=method, markersize=3)
    start = np.median(language.start[0] / language.start[0][:, :1], axis=0)
    axes[1, 0].plot(np.arange(1, len(start) + 1), start, **THEORY, label="factor $A_0$")
    axes[1, 1].axhline(start[-1], **THEORY, label="factor $A_0$")
    axes[1, 0].set(xlabel="index $i$", ylabel="$\\sigma_i\\,/\\,\\sigma_1$ of $BA$", ylim=(0, 1.05),
                   title="Language model, equal loss")  # fmt: skip
    axes[1, 1].set(xlabel="fall of the loss, nats", ylabel="$\\sigma_r\\,/\\,\\sigma_1$ of $BA$", ylim=(0, None),
                   title="… and on the way there")  # fmt: skip
    legend_below(fig, axes[1, 0], ncols=4)
    return fig


@plotting.figure(
    alt="Singular values of BA over steps for three optimizers. Under Muon all rise together; under AdamW and "
    "SGD one or two lead and most stay near zero. Last panel: effective rank against loss, high under Muon throughout."
)
def digits(result: Digits) -> Figure:
    """Singular values of the second adapted matrix while a ReLU network learns turned digits."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.2))
    for ax, method, run in zip(axes.ravel(), METHODS, result.runs, strict=False):
        ax.plot(run.steps, run.values[:, 0, 1], color=COLOURS[method], linewidth=1.3)
        look = run.arrivals()[0]
        if look >= 0:
            ax.axvline(run.steps[look], **THEORY)
        ax.set(xlabel="step", ylabel="$\\sigma_i$ of $BA$", ylim=(0, None), title=method)
        ranks = effective_rank(np.where(run.values[1:, :, 1] > 0, run.values[1:, :, 1], 1e-30)).mean(1)
        axes[1, 1].plot(run.losses[1:].mean(1), ranks, MARKS[method], color=COLOURS[method], label=method, markersize=3)
    axes[1, 1].set(xlabel="loss on turned digits", ylabel="effective rank of $BA$", title="At equal loss",
                   ylim=(1, run.values.shape[-1] + 0.3))  # fmt: skip
    axes[1, 1].invert_xaxis()
    axes[1, 1].legend(loc="center right", bbox_to_anchor=(1, 0.72))
    headline(fig, "Under Muon all directions grow; under AdamW and SGD a few do")
    return fig


@plotting.figure(
    alt="Left: how unequal singular values are against the size of the start, on logarithmic axes: a line of slope one "
    "for spectral flow, a flat line at one for gradient flow. Right: the largest singular value over time: under "
    "spectral flow on or below the dashed bound, under gradient flow far above it."
)
def deviation(growth: Growth) -> Figure:
    """Deviations from equal rates over the size of the start; the ceiling on the largest value."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9))
    for name, runs in (("SpecGF", growth.spectral), ("GF", growth.gradient)):
        unequal = 1 - np.sqrt(flatness(runs, growth.s[-1] / 2))
        sizes = np.broadcast_to(growth.alphas[:, None, None], unequal.shape)
        axes[0].plot(sizes.ravel(), unequal.ravel(), ".", color=COLOURS[name], alpha=0.5)
        axes[0].plot(growth.alphas, unequal.mean((1, 2)), "-", color=COLOURS[name], label=name)
        if name == "SpecGF":
            line = 3 * unequal[-1].mean() * growth.alphas / growth.alphas[-1]
            axes[0].plot(growth.alphas, line, **THEORY, label="slope one; bound")
        size = len(growth.alphas) // 2
        one = runs.at(size)
        norms = growth.norms[:, size, 0, 0]
        shown = (one.times[:, 0] <= 1.1 * growth.s[0] ** 0.5) & (one.times[:, 0] > 0)
        axes[1].plot(one.times[shown, 0], one.values[shown, 0, 0, 0, 0], color=COLOURS[name], label=name)
    clock = growth.spectral.at(size).times[1:, 0]
    axes[1].plot(clock, (norms[0] + clock) * (norms[1] + clock), **THEORY)
    axes[0].set(xscale="log", yscale="log", xlabel="size $\\alpha$ of the start",
                ylabel="$1-\\sqrt{\\sigma_r/\\sigma_1}$", title="Deviations fall like the start")  # fmt: skip
    axes[1].set(xlabel="time $t$", ylabel="largest singular value $\\sigma_1$", title="No mode runs ahead")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Square roots of the singular values of BA over time, factors of smaller rank than the target. Left, spectral "
    "flow: all on one line, leaving it at the largest targets. Right, gradient flow: one after the other."
)
def narrow(result: Narrow) -> Figure:
    """Rank smaller than the target's: growth of the product's own singular values."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.7), sharey=True)
    slowest = float(theory.gradient_time(result.s[result.rank - 1], result.alpha, 0.99))
    for ax, runs, name, end in (
        (axes[0], result.spectral, "SpecGF", np.inf),
        (axes[1], result.gradient, "GF", slowest),
    ):
        clock = runs.times[:, 0]
        shown = clock <= end
        ax.plot(clock[shown], np.sqrt(runs.values[shown, 0, 0, 0]), color=COLOURS[name])
        for value in result.s:
            held = value >= result.s[result.rank - 1]
            ax.axhline(value**0.5, color=PALETTE["black"] if held else "#BBBBBB", linewidth=0.7, linestyle=":")
        ax.set(xlabel="time $t$", title=f"{'Spectral' if name == 'SpecGF' else 'Gradient'} flow", ylim=(0, None))
    axes[0].plot([0, result.s[0] ** 0.5], [0, result.s[0] ** 0.5], **THEORY)
    axes[0].set_ylabel("$\\sqrt{\\sigma_i}$ of $BA$, all $i$")
    return fig


@plotting.figure(
    alt="Distance of the square roots of the modes from the line alpha plus t, over time. Each stays in a narrow wedge "
    "between two dashed lines until its target is near, then falls away."
)
def band(result: Band) -> Figure:
    """Lag of each mode behind ``alpha + t``, with the band for K = 10."""
    fig, ax = plotting.subplots(size=(7.6, 3.9))
    chosen = _some(len(result.s))
    for colour, k in zip(_shades(len(chosen)), chosen, strict=True):
        lag = result.spectral[:, k] - result.alpha - result.times
        ax.plot(result.times, lag, color=colour, label=f"$s_i={result.s[k]:.3g}$")
        active = (result.spectral[:, k] * (result.s[k] - result.spectral[:, k] ** 2) >= 10 * result.beta).cumprod()
        end = int(active.sum()) - 1
        if end >= 0:
            ax.plot(result.times[end], lag[end], "o", color=colour)
    low, high = theory.band(result.times, result.alpha, 10.0)
    ax.plot(result.times, low - result.alpha - result.times, **THEORY, label="band, $K=10$")
    ax.plot(result.times, high - result.alpha - result.times, **THEORY)
    deepest = float((low - high).min())
    ax.set(xlabel="time $t$", ylabel="$\\sqrt{\\sigma_i}-(\\alpha+t)$", ylim=(2.2 * deepest, -0.25 * deepest),
           title="Active modes keep within a narrow band, whatever their target")  # fmt: skip
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Square roots of singular values over time under Muon with momentum and Newton-Schulz steps: a sheaf of lines "
    "inside a wedge of slopes 0.68 to 1.21, each bending off at its target."
)
def muon(growth: Growth) -> Figure:
    """Muon's own step on the factorization."""
    fig, ax = plotting.subplots(size=(7.6, 3.9))
    runs = growth.muon
    clock = runs.times[:, 0]
    chosen = _some(len(growth.s))
    for colour, k in zip(_shades(len(chosen)), chosen, strict=True):
        values = np.sqrt(np.maximum(runs.modes[:, 0, 0, :, k], 0))
        ax.plot(clock, values, color=colour, linewidth=0.9, alpha=0.8)
        ax.plot([], [], color=colour, label=f"$s_i={growth.s[k]:.3g}$")
    for slope, label in ((0.68, "slopes 0.68 and 1.21"), (1.21, None)):
        ax.plot(clock, slope * clock, **THEORY, label=label)
    ax.set(xlabel="time $t$ (sum of step sizes)", ylabel="$\\sqrt{\\sigma_i}$", ylim=(0, 1.1 * growth.s[0] ** 0.5),
           title="Muon: nearly one pace for all modes, and an overshoot at the end")  # fmt: skip
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Arrival time of each mode over its target. Spectral flow: rising dots on a dashed square-root curve. Gradient "
    "flow: falling dots around a dashed curve, the smallest target many times later than the largest."
)
def arrivals(growth: Growth) -> Figure:
    """When each mode arrives, over its target, from the smallest starts."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    s = np.linspace(growth.s[-1], growth.s[0], 200)
    alpha = growth.alphas[-1]
    for name, runs, law in (
        ("SpecGF", growth.spectral, theory.spectral_time(s, alpha, growth.level)),
        ("GF", growth.gradient, theory.gradient_time(s, alpha, growth.level)),
    ):
        times = runs.arrivals(growth.level * growth.s)[-1].reshape(-1, len(growth.s))
        targets = np.broadcast_to(growth.s, times.shape)
        ax.plot(targets.ravel(), times.ravel(), ".", color=COLOURS[name], alpha=0.7, markersize=7)
        ax.plot([], [], "o", color=COLOURS[name], label=name)
        ax.plot(s, law, **THEORY, label="theory, aligned start" if name == "GF" else None)
    ax.set(yscale="log", xlabel="target $s_i$", ylabel=f"time to reach ${growth.level:g}\\,s_i$",
           title="Opposite orders of arrival")  # fmt: skip
    ax.legend(loc="best")
    return fig


@plotting.figure(
    alt="Left: rank correlation of arrival times with targets over the smoothing, from plus one to minus one for small "
    "starts; for large starts it stops in between. Right: arrival times over the first one, the order of the modes "
    "reverses as the smoothing grows."
)
def sweep(result: Sweep) -> Figure:
    """Order of arrival over the smoothing."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9))
    for row, (style, label) in enumerate((("o-", "small"), ("s--", "large"))):
        axes[0].plot(result.betas, result.order[row].mean(-1), style, color=(COLOURS["SpecGF"], PALETTE["green"])[row],
                     label=f"{label} start, $\\alpha={result.alphas[row]:.2g}$")  # fmt: skip
    axes[0].set(xscale="log", ylim=(-1.1, 1.1), xlabel="smoothing $\\beta$", ylabel="Kendall's $\\tau$",
                title="+1: smallest first")  # fmt: skip
    legend_below(fig, axes[0], ncols=2)
    chosen = _some(len(result.s))
    for colour, k in zip(_shades(len(chosen)), chosen, strict=True):
        axes[1].plot(result.betas, result.relative[0, :, k], color=colour, label=f"{result.s[k]:.3g}")
    axes[1].set(xscale="log", ylim=(0.8, None), xlabel="smoothing $\\beta$", ylabel="arrival over the first one",
                title="Small start: order reverses")  # fmt: skip
    axes[1].legend(title="target $s_i$", loc="upper left")
    return fig


@plotting.figure(
    alt="Paths in the plane of two factors with target one. Left, spectral flow: diagonals of slope plus or minus one "
    "to the hyperbola a b = 1. Right, gradient flow: hyperbolas. In both, the line a = -b leads into the saddle at the "
    "origin."
)
def portrait(result: Portrait) -> Figure:
    """One mode: phase portraits of both flows."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    x = np.linspace(0.3, 2.2, 100)
    for ax, (a, b), name in zip(axes, (result.spectral, result.gradient), ("SpecGF", "GF"), strict=True):
        stuck = np.hypot(a[-1], b[-1]) < 0.3
        ax.plot(a[:, ~stuck], b[:, ~stuck], color=COLOURS[name], linewidth=1.2)
        ax.plot(a[:, stuck], b[:, stuck], color=PALETTE["red"], linewidth=2)
        ax.plot(a[0], b[0], ".", color=PALETTE["black"], markersize=4)
        for sign in (1, -1):
            ax.plot(sign * x, sign / x, **THEORY)
        ax.plot(0, 0, "x", color=PALETTE["red"])
        ax.set(xlim=(-2, 2), ylim=(-2, 2), aspect="equal", xlabel="$a$",
               title="Spectral flow: straight" if name == "SpecGF" else "Gradient flow: hyperbolas")  # fmt: skip
    axes[0].set_ylabel("$b$")
    return fig


@plotting.figure(
    alt="Excess loss over time on a logarithmic axis: from every random start it falls to rounding; the start on a "
    "saddle's stable manifold levels off, and the one beside it leaves the plateau and falls."
)
def convergence(result: Convergence) -> Figure:
    """Excess loss of all runs without squared norms, and of the two at the saddle."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    shades = [PALETTE[name] for name in ("sky", "blue", "green", "purple")]
    end = result.times[-1].min()
    for colour, k in zip(shades, range(len(result.scales)), strict=False):
        times, excess = result.times[:, k], np.maximum(result.excess[:, 0, k], 1e-16)
        times = np.where(times <= end, times, np.nan)
        ax.plot(times, excess, color=colour, linewidth=1)
        ax.plot([], [], color=colour, label=f"random, size {result.scales[k]:g}")
    for k, (style, label) in enumerate((("-", "on the saddle's manifold"), ("--", "beside it"))):
        ax.plot(result.saddle_times, np.maximum(result.saddle[:, k], 1e-16), style, color=PALETTE["red"], linewidth=2.2,
                label=label)  # fmt: skip
    ax.set(yscale="log", ylim=(1e-16, None), xlabel="time $t$", ylabel="loss above the least",
           title="From all but exceptional starts to a global minimum")  # fmt: skip
    legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Left: final singular values against the target's; dots on the dashed soft-threshold lines, zero below lambda. "
    "Right: imbalance of the factors over time: it falls to rounding with squared norms in the loss and stays without."
)
def thresholds(result: Convergence) -> Figure:
    """Where the regularized flow ends, and what balances the factors."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0))
    shades = [PALETTE[name] for name in ("grey", "green", "blue", "purple", "orange")]
    styles = ("o", "s", "^", "v", "D")
    end = result.times[-1].min()
    for k, (colour, mark, lam) in enumerate(zip(shades, styles, result.lams, strict=False)):
        ends = np.median(result.final[k], (0, 1))
        targets = result.s[: result.rank]
        axes[0].plot(targets, ends, mark, color=colour, label=f"$\\lambda={lam:g}$")
        s = np.linspace(0, result.s[0], 200)
        axes[0].plot(s, np.maximum(s - lam, 0), **THEORY)
        times, imbalance = result.times[:, -1, 0], np.maximum(result.imbalance[:, k, -1, 0], 1e-16)
        axes[1].plot(times[times <= end], imbalance[times <= end], color=colour)
    axes[0].set(xlabel="target $s_i$", ylabel="final $\\sigma_i$ of $BA$", title="Soft thresholds")
    axes[1].set(yscale="log", xlabel="time $t$", ylabel="$\\|B^\\top B-AA^\\top\\|_F$", title="Balance")
    legend_below(fig, axes[0], ncols=5)
    return fig
