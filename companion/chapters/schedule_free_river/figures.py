"""The figures of the chapter: results in, figures out."""

import numpy as np
from matplotlib.figure import Figure

from companion import plotting
from companion.chapters.schedule_free_river.experiments import (
    Bent,
    Language,
    Large,
    Sharpness,
    Straight,
    Thresholds,
    Weights,
)
from companion.chapters.schedule_free_river.valley import bent_loss
from companion.plotting import PALETTE, THEORY, headline, legend_below

COLOURS = {
    "AdamW": PALETTE["orange"],
    "Schedule-Free AdamW": PALETTE["red"],
    "refined Schedule-Free AdamW": PALETTE["green"],
}
ADAM, ORIGINAL, REFINED = COLOURS.values()
_SERIES = [PALETTE[name] for name in ("red", "purple", "blue", "sky", "green", "grey")]


def _best(result: Language) -> tuple[np.ndarray, float]:
    """Losses at the best rates: x for each beta and variant, and AdamW decayed."""
    chosen = result.chosen_x.argmin(0)
    x = np.take_along_axis(result.x, chosen[None], 0)[0]
    return x, float(result.adam_decayed[result.chosen_adam.argmin()])


@plotting.figure(
    alt="Left: validation loss over steps at one rate. AdamW stays high and falls steeply once it is decayed; "
    "Schedule-Free AdamW lies below all along, and its decay branch does not go lower. Right: loss at the best rate "
    "over beta. The original's rises towards small beta, the refined method's stays near the dashed line of decayed "
    "AdamW."
)
def glance(result: Language) -> Figure:
    """A run with and without decay, and what beta does to both variants."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2), width_ratios=(1.25, 1))
    b, steps = -1, result.steps
    left.plot(steps, result.adam_path, "o-", color=ADAM, label="AdamW, constant rate")
    left.plot(steps[-2:], [result.adam_path[-2], result.side_decayed[0, 0]], ":", color=ADAM, lw=2.4)
    left.plot(steps[-1], result.side_decayed[0, 0], "v", color=ADAM, ms=8, label="… after a decay phase")
    label = f"SF-AdamW, $\\beta={result.betas[b]:g}$"
    left.plot(steps, result.x_path[b, 0], "o-", color=ORIGINAL, label=label)
    left.plot(steps[-2:], [result.x_path[b, 0, -2], result.side_decayed[1, 0]], ":", color=ORIGINAL, lw=2.4)
    left.plot(steps[-1], result.side_decayed[1, 0], "v", color=ORIGINAL, ms=8, label="… after a decay phase")
    low = min(result.side_decayed[0, 0], result.x_path[b, 0].min())
    high = max(result.adam_path.max(), result.x_path[b, 0].max())
    left.set(xlabel="step", ylabel="validation loss (nats)", ylim=(low - 0.05, high + 0.3),
             title=f"No decay needed, $\\gamma={result.rates[-1]:g}$")  # fmt: skip
    x, decayed = _best(result)
    right.axhline(decayed, **THEORY, label="AdamW, decayed")
    right.plot(result.betas, x[:, 0], "o-", color=ORIGINAL, label="original SF-AdamW")
    right.plot(result.betas, x[:, 1], "s-", color=REFINED, label="refined SF-AdamW")
    right.set(xlabel="$\\beta$", ylabel="loss at the best rate", title="Refined: every β does well")
    left.legend(loc="upper right")
    right.legend(loc="upper right")
    right.set_ylim(top=right.get_ylim()[1] + 0.45 * np.ptp(right.get_ylim()))
    return fig


@plotting.figure(
    alt="Weights of the last thousand gradient points in the average, times their number. Left, the original: nearly "
    "uniform for small beta, concentrated on the last tenth for beta 0.9. Right: the refined method's three curves "
    "for the same betas fall together; beside them an exponential average and the uniform weights of a decay phase."
)
def weights(result: Weights) -> Figure:
    """What each kind of average weighs how."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.0), sharey=True)
    steps = result.ema.size
    place = np.arange(1, steps + 1) / steps
    for colour, beta, one, other in zip(_SERIES, result.beta, result.original, result.refined, strict=False):
        left.plot(place, steps * one, color=colour, label=f"$\\beta={beta:g}$")
        right.plot(place, steps * other, color=colour, lw=4.6 - 3.6 * beta, label=f"$\\beta={beta:g}$")
    right.plot(place[1:], steps * result.ema[1:], color=PALETTE["grey"], ls="--", label=f"EMA, $\\rho={result.rho:g}$")
    right.plot(place, steps * result.decay, color=PALETTE["orange"], ls="-.", label="linear decay")
    left.set(yscale="log", ylim=(0.02, 150), xlabel="step over $T$", ylabel="weight times $T$",
             title="Original: β sets the window")  # fmt: skip
    right.set(xlabel="step over $T$", title=f"Refined, $C={result.C:g}$: it does not")
    for ax in (left, right):
        ax.legend(loc="upper left")
    return fig


@plotting.figure(
    alt="Colour map over beta and the rate times the curvature: by how many orders of magnitude a run blows up on its "
    "way. It is black below 2, and above the dashed curve 2 over one minus beta all runs diverge; between the two "
    "lines a blow-up comes early and passes, the larger the nearer to the curve."
)
def stability(result: Thresholds) -> Figure:
    """Where runs converge, diverge, and blow up on their way."""
    fig, ax = plotting.subplots(size=(7.6, 4.4))
    mesh = ax.pcolormesh(result.map_beta, result.map_q, result.amplification, shading="nearest", vmin=0, vmax=8)
    fig.colorbar(mesh, ax=ax, extend="max", label="largest $\\log_{10}|y_k|$ of a run from one")
    line = {**THEORY, "color": "white", "linewidth": 2.2}
    ax.plot(result.map_beta, 2 / (1 - result.map_beta), **line)
    ax.axhline(2, color="white", lw=1.4, ls=":")
    ax.text(0.4, 2.15, "gradient descent: $\\gamma\\lambda=2$", color="white", va="bottom")
    ax.text(0.53, 6.3, "$\\gamma\\lambda=\\frac{2}{1-\\beta}$", color="black", fontsize=14)
    ax.grid(visible=False)
    ax.set(xlabel="$\\beta$", ylabel="$\\gamma\\lambda$", ylim=(result.map_q[0], result.map_q[-1]),
           title="Below the threshold, a run may still blow up at first")  # fmt: skip
    return fig


@plotting.figure(
    alt="Sharpness over its threshold against steps for several beta, at y and at x. Left, Schedule-Free gradient "
    "descent, right, SF-AdamW with the preconditioned Hessian: all curves at y rise to one and stay there; at x they "
    "come later, and for small beta stay below."
)
def edge(result: Sharpness) -> Figure:
    """Sharpness at y and x over the threshold."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.2), sharey=True)
    for ax, title, x, y in zip(axes, ("SF-GD", "SF-AdamW, preconditioned"), result.x, result.y, strict=True):
        for colour, beta, at_x, at_y in zip(_SERIES, result.beta, x, y, strict=False):
            ax.plot(result.steps, at_y * (1 - beta), color=colour, label=f"at $y$, $\\beta={beta:g}$")
            ax.plot(result.steps, at_x * (1 - beta), color=colour, lw=1.2, ls=":", label=f"at $x$, $\\beta={beta:g}$")
        ax.axhline(1, **THEORY)
        ax.set(xlabel="step", title=title, ylim=(0, 2))
    axes[0].set_ylabel("sharpness over $2/((1-\\beta)\\gamma)$")
    headline(fig, "The points where gradients are taken settle at the edge of stability")
    legend_below(fig, axes[0])
    return fig


@plotting.figure(
    alt="Paths of x and y over the contours of the bent river, three betas in rows. In the left column, the original, "
    "x cuts across the bend for small beta while y follows the river; for beta 0.9 both follow it. In the right "
    "column, the refined method, x follows the river for every beta."
)
def bend(result: Bent) -> Figure:
    """Paths on the bent river."""
    rows = len(result.beta)
    fig, axes = plotting.subplots(rows, 2, size=(7.6, 2.5 * rows + 0.6), sharex=True, sharey=True)
    w1, w2 = np.linspace(0, 2.3, 120), np.linspace(0.2, 5.5, 120)
    height = np.log10(bent_loss(*np.meshgrid(w1, w2)))
    floor = np.linspace(0.15, 2.3, 200)
    names = ("original", f"refined, $C={result.C:g}$")
    for col, colour in enumerate((ORIGINAL, REFINED)):
        for row, beta in enumerate(result.beta):
            ax = axes[row, col]
            ax.contourf(w1, w2, height, levels=14, cmap="Greys", alpha=0.5)
            ax.plot(floor, 1 / floor, **THEORY, label="river")
            ax.plot(*result.y[col, row].T, color=PALETTE["blue"], lw=1.1, label="$y$")
            ax.plot(*result.x[col, row].T, color=colour, lw=2.2, label=f"$x$, {('original', 'refined')[col]}")
            ax.set(xlim=(0, 2.3), ylim=(0.2, 5.5), title=f"{names[col]}, $\\beta={beta:g}$")
            ax.grid(visible=False)
    for ax in axes[:, 0]:
        ax.set_ylabel("$w_2$")
    for ax in axes[-1]:
        ax.set_xlabel("$w_1$")
    legend_below(fig, axes[0, 0], axes[0, 1], ncols=4)
    return fig


@plotting.figure(
    alt="Left: excess loss of x over C for four batch sizes, circles simulated, dashed the law; the minimum, marked, "
    "moves to larger C as the batch grows. Right: lag of x behind y over the number of steps against C, on the "
    "dashed curve one over one plus C."
)
def tradeoff(result: Straight) -> Figure:
    """What C costs at several batch sizes, and the lag."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2), width_ratios=(1.3, 1))
    for colour, batch, one, law in zip(_SERIES, result.batches, result.excess, result.excess_law, strict=False):
        left.plot(result.constants, law, **{**THEORY, "color": colour})
        left.plot(result.constants, one, "o", color=colour, label=f"batch {batch}")
        left.plot(result.constants[one.argmin()], one.min(), "v", color=colour, ms=11)
    left.set(xscale="log", yscale="log", xlabel="$C$", ylabel="excess loss of $x$",
             title="The best C grows with the batch")  # fmt: skip
    left.legend(loc="upper left")
    shown = np.geomspace(1, max(30.0, 1.2 * result.C.max()), 100)
    right.plot(shown, 1 / (1 + shown), **THEORY, label="$1/(1+C)$")
    half = len(result.C) // 2
    right.plot(result.C[:half], result.lag[:half] / result.steps, "o", color=ORIGINAL, ms=8, label="original")
    right.plot(result.C[half:], result.lag[half:] / result.steps, "s", color=REFINED, ms=8, label="refined")
    right.set(xscale="log", xlabel="$C$", ylabel="lag of $x$ behind $y$, over $T$", title="… and shortens the lag")
    right.legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Loss on the segment between the weights at the branching step and at the end, less that at its start. AdamW's "
    "curve is a bowl below both ends; that of SF-AdamW with the largest beta falls slowly and is nearly straight; "
    "with the smallest beta it falls steeply."
)
def segment(result: Language) -> Figure:
    """Loss between two checkpoints."""
    fig, ax = plotting.subplots(size=(7.6, 3.9))
    adam, free = result.side_segment[:, 0]
    least, largest = result.betas[[0, -1]]
    for losses, line, colour, label in (
        (adam, "o-", ADAM, "AdamW, constant rate"),
        (free, "s-", ORIGINAL, f"SF-AdamW, $\\beta={largest:g}$"),
        (result.small_segment, "^--", ORIGINAL, f"SF-AdamW, $\\beta={least:g}$"),
    ):
        ax.plot(result.alpha, losses - losses[0], line, color=colour, label=label)
    ax.set(xlabel="place between step $S$ (0) and step $S+S'$ (1)", ylabel="loss, less that at step $S$",
           title="AdamW jumps from wall to wall; SF-AdamW goes along the floor")  # fmt: skip
    ax.legend(loc="best")
    return fig


@plotting.figure(
    alt="Left: loss of x less that of a running average of its last gradient points, over beta, a line for each rate. "
    "The original's is up to 0.2 for small beta and near zero for the largest; the refined method's is zero "
    "throughout. Right: loss of x at every rate; the refined lines lie lower and are flatter."
)
def betas(result: Language) -> Figure:
    """Both variants over beta at every rate."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.4))
    gap = result.x - result.y_average
    for k, (colour, name) in enumerate(((ORIGINAL, "original"), (REFINED, "refined"))):
        for g, (rate, mark) in enumerate(zip(result.rates, "^osvDP", strict=False)):
            left.plot(result.betas, gap[g, :, k], f"{mark}-", color=colour, label=f"{name}, $\\gamma={rate:g}$", lw=1.4)
            right.plot(result.betas, result.x[g, :, k], f"{mark}-", color=colour, lw=1.4)
    left.set(xlabel="$\\beta$", ylabel="loss of $x$ less that of an average of $y$", title="Small β: x falls behind")
    right.set(xlabel="$\\beta$", ylabel="validation loss at $x$", title="Loss of x at every rate")
    right.axhline(_best(result)[1], **THEORY, label="AdamW, decayed, best rate")
    legend_below(fig, left, right, ncols=3)
    return fig


@plotting.figure(
    alt="How much lower the refined method's loss is than the original's, a point for each replica: negative or around "
    "zero with the small batch, positive with the large one."
)
def batch(result: Large) -> Figure:
    """The refined method's gain with a small and a large batch."""
    fig, ax = plotting.subplots(size=(7.6, 2.6))
    gain = (result.small, result.large)
    for row, values in enumerate(gain):
        ax.plot(values, np.full(len(values), row), "o", color=REFINED, ms=7)
        ax.plot(values.mean(), row, "|", color="black", ms=26, mew=2)
    ax.axvline(0, color="black", lw=1)
    ax.set(yticks=range(len(gain)), yticklabels=[f"batch {b}" for b in result.batches], ylim=(-0.6, len(gain) - 0.4),
           xlabel="loss of the original less that of the refined method (nats)",
           title="With a large batch the refined method is ahead")  # fmt: skip
    return fig
