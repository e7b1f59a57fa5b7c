"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from companion import plotting
from companion.chapters.newton_nntk.experiments import (
    METHODS,
    Convergence,
    Definiteness,
    Noise,
    Regularization,
    Scales,
    Spectra,
    Speed,
)
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {"Newton": PALETTE["blue"], "Gauss-Newton": PALETTE["green"], "GD": PALETTE["grey"]}
SHADES = ("sky", "blue", "green", "orange", "red", "purple", "grey", "black")  # of widths, frequencies, exponents

_TINY = np.finfo(float).tiny


def _shade(k: int) -> str:
    return PALETTE[SHADES[k % len(SHADES)]]


def _rms(values: np.ndarray) -> np.ndarray:
    return np.sqrt((values**2).mean(-1))


@plotting.figure(
    alt="Left: speed of learning over the frequency, on a log axis, for Newton's method and gradient descent, points "
    "of a wide network on dashed curves of the limits. Newton's points lie within a factor of three, gradient "
    "descent's fall by a factor of forty. Right: distance from the limit falling with the width on log axes."
)
def glance(speed: Speed, convergence: Convergence) -> Figure:
    """Speeds by frequency of both methods, and the distance of networks from Newton's limit."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2))
    rates = speed.rates()
    every = np.arange(len(speed.mu))
    limits = {
        "Newton": -np.log(1 - _eta(speed) * speed.mu / (speed.mu + speed.lam)),
        "GD": -np.log(np.maximum(1 - speed.mu / speed.mu.max(), _TINY)),
    }
    for name, mark in (("Newton", "o"), ("GD", "s")):
        axes[0].plot(every[1:], limits[name][1:], **THEORY)
        axes[0].plot(speed.freqs, rates[METHODS.index(name)], mark, color=COLOURS[name], markersize=8,
                     label="Newton" if name == "Newton" else "gradient descent")  # fmt: skip
    axes[0].plot([], [], **THEORY, label="limits")
    axes[0].set(yscale="log", xlabel="frequency $k$", ylabel="rate for each step",
                title=f"Speed, N = {speed.width}")  # fmt: skip
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    r = convergence
    axes[1].plot(r.widths, r.error[1], ".", color=COLOURS["Newton"], alpha=0.5)
    axes[1].plot(r.widths, _rms(r.error[1]), "o-", color=COLOURS["Newton"], markersize=7)
    axes[1].plot(r.widths, r.error_gd.mean(-1), "s-", color=COLOURS["GD"], markersize=6)
    axes[1].set(xscale="log", yscale="log", xlabel="width $N$", ylabel="largest distance",
                title="From Newton's limit")  # fmt: skip
    headline(fig, "Newton's speeds lie close together, gradient descent's far apart")
    legend_below(fig, axes[0])
    return fig


def _eta(speed: Speed) -> float:
    """The step size, from what a step leaves of the first of the target's frequencies."""
    mu = speed.mu[speed.freqs[0]]
    return float((1 - speed.factor[0, 0]) * (mu + speed.lam) / mu)


@plotting.figure(
    alt="Left: output at a point between the training points over the steps, one curve for each width, approaching "
    "dashed curves of the limits at the same regularizations. Right: distance from the limit over the width on log "
    "axes; with a fixed regularization it follows the slope minus one half, with a vanishing one it falls more "
    "slowly, and gradient descent stays far away."
)
def convergence(result: Convergence) -> Figure:
    """Outputs over the steps at one point, and distances from the limit over the width."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.4))
    point = len(result.angles) // 2  # the first between the training points
    for k, width in enumerate(result.widths):
        axes[0].plot(result.outputs[k, :, point], color=_shade(k), label=f"N = {width}")
        axes[0].plot(result.limit[k, :, point], **THEORY)
    axes[0].plot([], [], **THEORY, label="limits")
    axes[0].set(xlabel="step", ylabel="output between two points", title="One network of each width")
    axes[0].legend()
    for row, name, colour, mark in ((0, "Newton, fixed λ", "blue", "o"), (1, "Newton, vanishing λ", "sky", "D")):
        axes[1].plot(result.widths, result.error[row], ".", color=PALETTE[colour], alpha=0.5)
        axes[1].plot(result.widths, _rms(result.error[row]), mark + "-", color=PALETTE[colour], label=name)
    axes[1].plot(result.widths, _rms(result.error_gd), "s-", color=COLOURS["GD"], label="gradient descent")
    axes[1].plot(result.widths, 0.8 * _rms(result.error[0])[0] * (result.widths / result.widths[0]) ** -0.5,
                 **THEORY, label="slope −1/2")  # fmt: skip
    axes[1].set(xscale="log", yscale="log", xlabel="width $N$", ylabel="largest distance from the limit",
                title="Distances fall like $N^{-1/2}$")  # fmt: skip
    axes[1].set_ylim(top=8)
    axes[1].legend(loc="upper right")
    headline(fig, "Wide networks follow the limit equation of their own regularization")
    return fig


@plotting.figure(
    alt="What is left of each frequency over the steps, on a log axis, in four panels. Newton's lines for the "
    "frequencies stay together, gradient descent's fan out: the highest hardly falls, also with the larger step. "
    "Dashed lines of the limits lie on the curves."
)
def frequencies(result: Speed) -> Figure:
    """What is left of each frequency over the steps, for Newton's method and for gradient descent with two steps."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.6), sharex=True, sharey=True)
    names = {"Newton": "Newton", "Newton, λ = 10": "Newton, λ = 10", "GD": "GD, half of the stable step",
             "GD, large step": "GD, 95 % of it"}  # fmt: skip
    steps = np.arange(result.steps + 1)
    for ax, name in zip(axes.ravel(), METHODS, strict=True):
        row = METHODS.index(name)
        for k, freq in enumerate(result.freqs):
            left = np.maximum(result.left[row, : len(steps), k], 1e-9)
            ax.plot(steps, left, color=_shade(2 * k + 1), label=f"frequency {freq}")
            limit = np.maximum(np.abs(result.factor[row, k]) ** steps, _TINY)
            ax.plot(steps, limit, **THEORY, label="limit" if k == 0 else None)
        ax.set(yscale="log", ylim=(5e-4, 1.5), title=names[name])
    for ax in axes[1]:
        ax.set_xlabel("step")
    for ax in axes[:, 0]:
        ax.set_ylabel("amplitude left")
    headline(fig, "Newton's frequencies fall together, gradient descent's one after another")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Left: eigenvalues over the frequency on a log axis for 64 points: the tangent kernel's fall over many orders "
    "of magnitude; the Newton kernel's start at one and bend down where the tangent kernel's fall below the "
    "regularization. Right: least eigenvalue of the Newton kernel over the width; with a vanishing regularization it "
    "rises to one, networks on the curve; with a fixed one it stays near zero."
)
def spectra(result: Spectra, convergence: Convergence) -> Figure:
    """Both kernels' eigenvalues over the frequency, and the least of the Newton kernel over the width."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.6))
    mu = result.mu[-1]
    every = np.arange(len(mu))
    axes[0].plot(every, mu / np.nanmax(mu), color=COLOURS["GD"], label="tangent kernel")
    for k, lam in enumerate(result.lam):
        axes[0].plot(every, mu / (mu + lam), color=_shade(k), label=f"Newton kernel, λ = {lam:g}")
    axes[0].set(yscale="log", ylim=(1e-7, 3), xlabel="frequency $k$", ylabel="eigenvalue, of the largest",
                title=f"A plateau, then the fall (M = {result.M[-1]})")  # fmt: skip
    r = convergence
    axes[1].plot(result.widths, result.schedule, **THEORY, label="limit, vanishing λ")
    axes[1].plot(r.widths, r.least[1].min(-1), "D", color=PALETTE["sky"], label="networks, vanishing λ")
    axes[1].plot(result.widths, np.full(len(result.widths), r.least_limit[0, 0]), **THEORY | {"linestyle": ":"},
                 label="limit, fixed λ")  # fmt: skip
    axes[1].plot(r.widths, r.least[0].min(-1), "o", color=PALETTE["blue"], label="networks, fixed λ")
    axes[1].set(xscale="log", ylim=(0, 1.05), xlabel="width $N$", ylabel="least eigenvalue",
                title="λ has to vanish")  # fmt: skip
    legend_below(fig, ncols=2)
    return fig


@plotting.figure(
    alt="Left: the blocks' least eigenvalue over the regularization, at the start, over the width on log axes, one "
    "line for each decay: below one half they fall under the dashed line of definiteness, above it they rise away "
    "from it. Right: distance from the limit at the largest width over the decay: the full Hessian's jumps beyond "
    "one half, Gauss and Newton's does not."
)
def window(result: Regularization) -> Figure:
    """Which regularizations keep the blocks definite, and what happens to the others."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.6))
    for k, decay in enumerate(result.decays):
        axes[0].plot(result.widths, -result.first[k].min(-1), "o-", color=_shade(k), label=f"δ = {decay:g}")
    axes[0].axhline(1, **THEORY)
    axes[0].set(xscale="log", yscale="log", xlabel="width $N$", ylabel="$-\\min\\lambda(B_i)\\,/\\,\\lambda_N$",
                title="Indefinite above the line")  # fmt: skip
    axes[0].xaxis.set_minor_formatter(NullFormatter())
    for name, error, mark in (("Newton", result.error, "o"), ("Gauss-Newton", result.error_gauss, "s")):
        last = np.maximum(error[:, -1], 1e-6)
        axes[1].plot(result.decays, last, mark, color=COLOURS[name], alpha=0.5)
        axes[1].plot(result.decays, np.exp(np.log(last).mean(-1)), "-", color=COLOURS[name],
                     label="full Hessian" if name == "Newton" else "Gauss–Newton")  # fmt: skip
    axes[1].axvline(0.5, **THEORY)
    axes[1].set(yscale="log", xlabel="decay $\\delta$ of $\\lambda_N$", ylabel="distance from the limit",
                title=f"Training, N = {result.widths[-1]}")  # fmt: skip
    headline(fig, "λ may vanish, but not faster than $N^{-1/2}$")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="The lowest eigenvalues of the Hessian, sorted, at each step of training, in two panels. Within the window all "
    "stay above the dashed line at minus the regularization; beyond it many lie below. In both about half of them "
    "are negative."
)
def hessian(result: Definiteness) -> Figure:
    """The lower part of the whole Hessian's spectrum during training, with minus the regularization."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    count = result.eigenvalues.shape[-1]
    least = min(1.3 * -result.lam.max(), 1.1 * result.eigenvalues[0].min())
    for k, ax in enumerate(axes):
        for step, values in enumerate(result.eigenvalues[k]):
            ax.plot(np.arange(count) / count, values, color=_shade(step), linewidth=1.2, label=f"step {step}")
        ax.axhline(-result.lam[k], **THEORY, label="$-\\lambda_N$")
        title = f"δ = {result.decays[k]:g}: " + ("all above $-\\lambda_N$" if k == 0 else "many below")
        ax.set(xlabel="share of all eigenvalues", ylim=(least, 0.3 * -least), xlim=(-0.02, 0.9), title=title)
    axes[0].set_ylabel("eigenvalue of $H$")
    headline(fig, f"Half of the Hessian's eigenvalues are negative (N = {result.width})")
    legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Left: largest displacement of a unit over the width on log axes, one line for each exponent b: they fall, "
    "with dashed slopes b minus one, except the mean-field line b = 1, which is flat. Right: distance between network "
    "and linearization, falling steeply except at b = 1."
)
def lazy(result: Scales) -> Figure:
    """Displacement of the units and distance from the linearization, over the width."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.4))
    for k, b in enumerate(result.b):
        name = "b = 1, mean field" if k == len(result.b) - 1 else f"b = {b:g}"
        for ax, values in ((axes[0], result.displacement), (axes[1], result.nonlinearity)):
            ax.plot(result.widths, values[k], "o-", color=_shade(k + 1), label=name)
        theory = result.displacement[k, 0] * (result.widths / result.widths[0]) ** (b - 1)
        axes[0].plot(result.widths, theory, **THEORY, label="slope $b-1$" if k == 0 else None)
    for ax, label in zip(axes, ("largest displacement of a unit", "distance from the linearization"), strict=True):
        ax.set(xscale="log", yscale="log", xlabel="width $N$", ylabel=label)
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_title("No unit moves far")
    axes[1].set_title("The network is linear")
    headline(fig, "In wide networks the weights hardly move, unless b = 1")
    legend_below(fig, ncols=5)
    return fig


@plotting.figure(
    alt="Error between the training points over the steps in two panels. Left, a slow function with noisy labels: both "
    "fall and rise again, and gradient descent's lowest point is below Newton's. Right, a fast function without noise: "
    "Newton's error falls quickly to its floor, gradient descent's slowly."
)
def noise(result: Noise) -> Figure:
    """Error between the points over the steps, with and without noise."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    panels = (("Slow function, noisy labels", result.noisy), ("Fast function, no noise", result.clean))
    for ax, (title, errors) in zip(axes, panels, strict=True):
        for name, values in zip(("Newton", "GD"), errors, strict=True):
            ax.plot(values, color=COLOURS[name],
                    label=f"Newton, λ = {result.lam:g}" if name == "Newton" else "gradient descent")  # fmt: skip
            ax.plot(values.argmin(), values.min(), "o", color=COLOURS[name])
        ax.set(xlabel="step", title=title)
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("error between the points")
    headline(fig, "One pace for all frequencies is one pace for the noise, too")
    legend_below(fig, ncols=2)
    return fig
