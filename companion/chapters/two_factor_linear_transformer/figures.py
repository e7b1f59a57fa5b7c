"""The chapter's figures, each drawn from an experiment's result."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from scipy.ndimage import maximum_filter1d

from companion import plotting
from companion.chapters.two_factor_linear_transformer.cubic import (
    BANDS,
    BOUNDED,
    CONVERGENT,
    MONOTONE,
    TWO_CYCLE,
    accumulation,
    reach,
    superstable,
)
from companion.chapters.two_factor_linear_transformer.experiments.balanced import Diagram, Phases
from companion.chapters.two_factor_linear_transformer.experiments.noise import LabelNoise, Laws
from companion.chapters.two_factor_linear_transformer.experiments.plane import (
    EARLY,
    Basins,
    Escapes,
    Exponents,
    Sweep,
)
from companion.chapters.two_factor_linear_transformer.experiments.reduction import MU, Transformer
from companion.chapters.two_factor_linear_transformer.product_map import ellipse, ellipse_exponent
from companion.plotting import PALETTE, THEORY

COLOURS = {"GD": PALETTE["grey"]}

PHASES = {
    "monotone": PALETTE["green"],
    "catapult": PALETTE["sky"],
    "cycles": PALETTE["blue"],
    "chaos": PALETTE["red"],
    "divergence": PALETTE["grey"],
}
CHAOS = accumulation(superstable(9))  # where period doubling ends
BORDERS = (MONOTONE, CONVERGENT, CHAOS, BOUNDED)
WINDOW = 60  # points of an attractor below which it is a cycle, and no chaos
WHITE = np.ones(3)
DARK = np.array(to_rgb("#1B1B2F"))


def _phase(mu: np.ndarray) -> np.ndarray:
    """The number of the phase of each mu."""
    return np.searchsorted(BORDERS, mu, side="left")


def _blend(intensity: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """White at 0, the colour at 0.6, dark at 1; ``(..., 3)``."""
    x = intensity[..., None]
    low, high = np.clip(x / 0.6, 0, 1), np.clip((x - 0.6) / 0.4, 0, 1)
    return (WHITE * (1 - low) + colour * low) * (1 - 0.55 * high) + 0.55 * high * DARK


def _ribbon(ax: Axes, left: float, right: float) -> None:
    """The phases by name along mu."""
    ends = (left, *BORDERS, right)
    names = ("monotone", "catapult", "cycles", "chaos", "diverges")
    for name, colour, low, high in zip(names, PHASES.values(), ends, ends[1:], strict=False):
        low, high = max(low, left), min(high, right)
        if low < high:
            ax.axvspan(low, high, color=colour, lw=0)
        if high - low > 0.085 * (right - left):
            ax.text((low + high) / 2, 0.45, name, ha="center", va="center", color="white", fontweight="bold",
                    fontsize=9.6)  # fmt: skip
    ax.set(ylim=(0, 1), xlim=(left, right))
    ax.set_yticks([])
    ax.tick_params(bottom=False, labelbottom=False)
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    marks = ((MONOTONE, "$2\\sqrt{2}-2$", "center"), (CONVERGENT, "1", "center"), (TWO_CYCLE, "$\\sqrt{5}-1$", "right"),
             (CHAOS, "$\\mu_\\infty$", "left"), (BANDS, "$\\frac{3}{2}\\sqrt{3}-1$", "center"),
             (BOUNDED, "2", "center"))  # fmt: skip
    for mu, text, align in marks:
        if left < mu < right:
            ax.text(mu, 1.25, text, ha=align, va="bottom", fontsize=10)
            ax.plot([mu, mu], [1, 1.2], color="black", lw=0.8, clip_on=False)


@plotting.figure(
    alt="Map of the phases over the effective step size. Above, where balanced orbits end: a single line at one up to "
    "mu = 1, then a fork into two, four and more branches, then bands of chaos with windows, which merge across zero "
    "and end in divergence at 2. Below, the exponent along balance turns positive in the chaotic phase, the exponent "
    "across balance is zero up to 1 and negative beyond, and that of the ellipse is positive up to 2."
)
def glance(diagram: Diagram) -> Figure:
    """The phases of balanced training: attractors over mu, and below the exponents."""
    fig = plotting.blank(size=(7.6, 8.8))
    top, middle, bottom = fig.add_gridspec(3, 1, height_ratios=(0.28, 4.6, 2.3)).subplots(sharex=True)
    left, right = diagram.mu[0], diagram.mu[-1]
    _ribbon(top, left, right)

    visits = maximum_filter1d(diagram.visits, 2, axis=1)
    share = visits / np.maximum(visits.sum(1, keepdims=True), 1)
    intensity = np.round(20 * np.clip(np.log1p(800 * share) / np.log1p(60), 0, 1)) / 20
    colours = np.array([to_rgb(colour) for colour in PHASES.values()])[_phase(diagram.mu)]
    image = _blend(intensity, colours[:, None]).transpose(1, 0, 2)
    edges = diagram.edges
    middle.imshow(image, extent=(left, right, edges[0], edges[-1]), origin="lower", aspect="auto",
                  interpolation="nearest")  # fmt: skip
    inner = diagram.mu[diagram.mu <= BOUNDED]
    for sign in (1, -1):
        middle.plot(inner, sign * reach(inner), **THEORY)
    if reach(left + 0.42 * (right - left)) > 1.64:  # else the dashed line would run through it
        middle.text(0.02, 0.97, "balanced starts beyond the dashed line,\n$|z|>\\sqrt{1+2/\\mu}$, diverge",
                    fontsize=9.6, va="top", transform=middle.transAxes)  # fmt: skip
    middle.set(ylim=(edges[0], edges[-1]), ylabel="balanced factors $u=v=z$ after training")
    middle.grid(visible=False)
    if right > BOUNDED:
        middle.axvspan(BOUNDED, right, color=PHASES["divergence"], alpha=0.25, lw=0)
    top.set_title("Large steps change where training ends, not only how fast it gets there", pad=24, x=-0.06)

    mu = diagram.mu
    bottom.axhline(0, color="black", lw=0.8)
    bottom.fill_between(mu, 0, np.maximum(diagram.along, 0), color=PHASES["chaos"], alpha=0.35, lw=0)
    bottom.plot(
        mu,
        np.clip(diagram.along, -1.7, None),
        color=PHASES["chaos"],
        lw=1.1,
    )
    bottom.plot(mu, diagram.across, color=PHASES["cycles"], lw=1.4)
    bottom.plot(inner, ellipse_exponent(inner), **THEORY)
    for x, y, text, colour in (
        (0.42, 0.74, "across the ellipse, $\\Lambda_\\perp$: it repels", "black"),
        (0.71, -1.15, "along balance, $\\lambda$", PHASES["chaos"]),
        (1.49, -1.25, "across balance, $\\Lambda_T$: it attracts", PHASES["cycles"]),
    ):
        if left < x < right:
            bottom.text(x, y, text, color=colour, fontsize=9.6)
    bottom.set(xlim=(left, right), ylim=(-1.6, 1.15), xlabel="effective step size $\\mu$", ylabel="exponent per step")
    return fig


@plotting.figure(
    alt="Four panels, one for each step size. The loss of the trained transformer, dots, lies on the line of the "
    "product map: falling fast at mu = 0.4, slowly at 0.9, and up and down without order at 1.4 and 1.9."
)
def reduction(result: Transformer) -> Figure:
    """Losses of the transformer on one prompt beside those of the map."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 5.2), sharex=True)
    for k, (ax, mu) in enumerate(zip(axes.ravel(), MU, strict=True)):
        steps = np.arange(result.one.map.shape[2])
        loss = (np.prod(result.one.model[:, k], -1) - 1) ** 2 / 2
        expected = (np.prod(result.one.map[0, k], -1) - 1) ** 2 / 2
        ax.plot(steps, expected, **THEORY, label="product map")
        for row, marker in zip(loss, "os^vDP*X", strict=False):
            ax.plot(steps, row, marker, color=COLOURS["GD"], alpha=0.75, label="transformer")
        ax.set(yscale="log" if mu < 1 else "linear", title=f"$\\mu={mu:g}$")
        if k >= 2:
            ax.set_xlabel("step of gradient descent")
        if k % 2 == 0:
            ax.set_ylabel("loss $/\\ y^2$")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].legend(handles[:2], labels[:2], loc="lower left")
    plotting.headline(fig, "Whatever the prompt, the transformer's loss is that of the two-factor map")
    return fig


@plotting.figure(
    alt="Left: the error after a step over the error before, for three step sizes. Up to the threshold the curve stays "
    "in the grey region where the loss falls, at the threshold it touches the border, at 0.95 a part lies beyond. "
    "Right: share of balanced starts whose loss rises over mu, zero up to the dashed threshold, then climbing to one."
)
def catapult(phases: Phases) -> Figure:
    """A step of the error against the error, and the share of starts whose loss rises."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.8))
    for mu, name in ((0.5, "monotone"), (MONOTONE, "monotone"), (0.95, "catapult")):
        e = np.linspace(-1, min(2 / mu, 2.2), 400)
        after = e * (1 - 2 * mu + (mu**2 - 2 * mu) * e + mu**2 * e**2)
        axes[0].plot(e, after, color=PHASES[name], lw=1.3 if mu < 0.8 else 2.0,
                     label=f"$\\mu={mu:.3g}$")  # fmt: skip
    e = np.array([-1, 2.2])
    axes[0].fill_between([-1, 0, 2.2], [1, 0, 2.2], [-1, 0, -2.2], color=PALETTE["grey"], alpha=0.15, lw=0)
    axes[0].set(xlabel="error $e=z^2-1$", ylabel="error after a step", ylim=(-1.05, 2.2), xlim=(-1, 2.2),
                title="Within grey the loss falls")  # fmt: skip
    axes[0].legend(loc="upper left")
    axes[1].plot(phases.mu, phases.rising_near, color=PHASES["catapult"])
    axes[1].axvline(MONOTONE, **THEORY, label="$2\\sqrt{2}-2$")
    axes[1].set(xlabel="effective step size $\\mu$", ylabel="share of starts whose loss rises", ylim=(-0.02, 1.02),
                title="A sharp threshold")  # fmt: skip
    axes[1].legend(loc="upper left")
    return fig


def _portrait(basins: Basins, k: int) -> np.ndarray:
    """Colours of the plane for one mu, ``(rows, columns, 3)``."""
    mu = basins.mu[k]
    settled, escape = basins.settled[k], basins.escape[k]
    rest = np.isnan(escape)
    slow = np.where(np.isnan(settled), np.nanmax(settled[rest], initial=1), settled)
    depth = np.log1p(np.maximum(slow, 0))
    low, high = np.percentile(depth[rest], [1, 99]) if rest.any() else (0, 1)
    depth = np.clip((depth - low) / max(high - low, 1e-9), 0, 1)
    right, other = np.array(to_rgb(PALETTE["blue"])), np.array(to_rgb(PALETTE["orange"]))
    if mu >= BANDS:
        right = other = np.array(to_rgb(PHASES["chaos"]))
    towards = basins.sign[k][..., None] >= 0
    out = np.clip(np.log1p(np.maximum(np.nan_to_num(escape), 0)) / np.log(12), 0, 1)
    outside = _blend(0.04 + 0.8 * np.round(24 * out**1.5) / 24, np.array(to_rgb("#8A8577")))
    shade = 0.22 + 0.68 * np.round(24 * depth) / 24
    quarters = []
    for here, there in ((right, other), (other, right)):  # a reflection of u + v swaps the two sides
        inside = _blend(shade, np.where(towards, here, there))
        quarters.append(np.where(rest[..., None], inside, outside))
    half = np.concatenate([quarters[1][:, ::-1], quarters[0]], axis=1)
    return np.concatenate([half[::-1], half], axis=0)


@plotting.figure(
    alt="Maps of the plane of both factors for several step sizes. Inside an ellipse, drawn dashed, training stays "
    "bounded, and the inside is divided between the two signs of the solution with an ever finer border; outside, all "
    "starts diverge. The hyperbola of solutions crosses the ellipse at four points; the attractor, in white, is a part "
    "of the hyperbola, then two points on the axis of balance, then intervals of it."
)
def atlas(basins: Basins) -> Figure:
    """What becomes of each start of the plane, for each mu."""
    count = len(basins.mu)
    rows = -(-count // 2)
    fig, axes = plotting.subplots(rows, 2, size=(7.6, 3.2 * rows + 0.5), squeeze=False, sharex=True, sharey=True)
    width = basins.total[-1] + basins.total[0]
    height = basins.gap[-1] + basins.gap[0]
    for k, ax in enumerate(axes.ravel()):
        if k >= count:
            ax.set_visible(False)
            continue
        mu = basins.mu[k]
        ax.imshow(_portrait(basins, k), extent=(-width, width, -height, height), origin="lower", aspect="equal",
                  interpolation="nearest")  # fmt: skip
        ax.plot(*_rotated(ellipse(np.linspace(0, 2 * np.pi, 400), mu)), color="black", lw=1.1, ls="--")
        gap = np.linspace(-height, height, 300)
        for side in (1, -1):
            ax.plot(side * np.sqrt(4 + gap**2), gap, color="white", lw=0.9)
            stable = 4 + 2 * gap**2 <= 4 / mu  # R = 2 + gap^2 / 2 at most 2 / mu
            if stable.any():
                ax.plot(side * np.sqrt(4 + gap**2)[stable], gap[stable], color="white", lw=3.2)
            if mu > 1:
                z = basins.attractor[k]
                ax.plot(side * 2 * z, 0 * z, ".", color="white", markersize=4.5, markeredgewidth=0)
        ax.set(xlim=(-width, width), ylim=(-height, height))
        ax.grid(visible=False)
        name = list(PHASES)[int(_phase(np.array(mu)))]
        if name == "chaos" and len(np.unique(np.abs(basins.attractor[k]).round(4))) < WINDOW:
            name = "a window"
        ax.set_title(f"$\\mu={mu:g}$: {name}")
        if k >= count - 2:
            ax.set_xlabel("$u+v$")
        if k % 2 == 0:
            ax.set_ylabel("$u-v$")
    return fig


def _rotated(point: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return point[0] + point[1], point[0] - point[1]


@plotting.figure(
    alt="Left: angles of orbits kept on the ellipse fill all classes of a histogram evenly. Right: the median distance "
    "from the ellipse of orbits that start on it up to rounding grows along dashed lines of the predicted slopes until "
    "it is of order one."
)
def on_ellipse(exponents: Exponents, escapes: Escapes) -> Figure:
    """Chaos on the ellipse, and the flight from it."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.8), width_ratios=(0.8, 1.2))
    mu = exponents.mu[len(exponents.mu) // 2]
    axes[0].hist(exponents.angles, bins=np.linspace(-np.pi, np.pi, 25), density=True, color=PALETTE["purple"],
                 alpha=0.7)  # fmt: skip
    axes[0].axhline(1 / (2 * np.pi), **THEORY)
    axes[0].set(xlabel=f"angle on the ellipse, $\\mu={mu:.3g}$", ylabel="density", title="Chaos fills it evenly")
    axes[0].set_xticks([-np.pi, 0, np.pi], ["$-\\pi$", "0", "$\\pi$"])
    steps = np.arange(escapes.ellipse.shape[1])
    shades = (PALETTE["green"], PALETTE["sky"], PALETTE["blue"], PALETTE["red"])
    for colour, one, path in zip(shades, escapes.mu, escapes.ellipse, strict=True):
        near = int(np.argmax(np.append(path > 0.3, True)))
        axes[1].plot(steps[: near + 1], path[: near + 1], color=colour, label=f"$\\mu={one:g}$")
        slope = float(ellipse_exponent(one))
        last = min(near, len(steps) - 1)
        axes[1].plot([3, last], path[3] * np.exp(slope * np.array([0, last - 3])), **THEORY)
    axes[1].set(
        yscale="log", ylim=(1e-17, 10), xlabel="step", ylabel="median $|1-Q|$", title="Rounding is enough to leave it"
    )
    axes[1].legend(loc="lower right")
    return fig


@plotting.figure(
    alt="Exponents over mu. That across the ellipse is positive, its dots on a dashed line that falls to zero at two. "
    "That across balanced attractors is negative between one and two, dots from orbits in the plane on the line of the "
    "cubic map, and meets zero at both ends."
)
def exponents(result: Exponents) -> Figure:
    """What repels and what attracts."""
    fig, ax = plotting.subplots(size=(7.6, 4.2))
    ax.axhline(0, color="black", lw=0.8)
    ax.plot(result.mu, result.off_ellipse, "o", color=PALETTE["purple"], label="off the ellipse, measured in the plane")
    fine = np.linspace(result.mu[0], 2, 300)
    ax.plot(fine, ellipse_exponent(fine), **THEORY, label="closed forms")
    ax.plot(result.balanced_mu, result.off_balance_scalar, color=PALETTE["blue"], lw=1.2, label="cubic map alone")
    ax.plot(
        result.balanced_mu,
        result.off_balance,
        "s",
        color=PALETTE["blue"],
        markerfacecolor="white",
        label="off balance, measured in the plane",
    )
    cycle = np.linspace(1.001, TWO_CYCLE, 60)
    ax.plot(cycle, np.log(np.abs(3 - 2 * cycle)) / 2, **THEORY)
    ax.set(xlabel="effective step size $\\mu$", ylabel="exponent per step", ylim=(-1.5, 1.1),
           title="The ellipse repels, balance attracts")  # fmt: skip
    ax.legend(loc="lower left")
    return fig


@plotting.figure(
    alt="Loss over mu of random starts inside the ellipse. After thirty steps it is least around mu = 0.4 and rises "
    "again; the final average is at rounding below one; beyond, it climbs to the order of a tenth and stays there."
)
def training(sweep: Sweep) -> Figure:
    """The loss after some steps and at the end, over mu."""
    fig, ax = plotting.subplots(size=(7.6, 4.0))
    for values, colour, label in (
        (sweep.early, PALETTE["orange"], f"after {EARLY} steps"),
        (sweep.late, PALETTE["blue"], "at the end, averaged over 100 steps"),
    ):
        ax.fill_between(sweep.mu, values[0], values[2], color=colour, alpha=0.2, lw=0)
        ax.plot(sweep.mu, values[1], color=colour, label=label)
    ax.axvline(CONVERGENT, **THEORY)
    ax.set(yscale="log", ylim=(1e-34, 10), xlim=(0, 2), xlabel="effective step size $\\mu$", ylabel="loss",
           title="Faster up to a half, slower up to one, then another attractor")  # fmt: skip
    ax.legend(loc="lower right")
    return fig


@plotting.figure(
    alt="Map over mean and half width of the step. Starts converge in the region between the dashed curves, where the "
    "mean of ln|1 - 2 mu| is negative, and not beside it. One marked law, of mean 1.1, converges with noise only, "
    "another, of mean 0.9, without noise only."
)
def laws(result: Laws, mean: list[float], half_width: list[float]) -> Figure:
    """Where random steps converge, over mean and half width."""
    fig, ax = plotting.subplots(size=(7.6, 4.4))
    mesh = ax.pcolormesh(
        result.mean, result.half_width, result.share, shading="nearest", vmin=0, vmax=1, cmap="cividis"
    )
    fig.colorbar(mesh, ax=ax, label="share of starts that converge")
    m, r = np.meshgrid(np.linspace(0, 2, 400), np.linspace(0, 1, 300))
    product = np.abs((1 - 2 * m) ** 2 - 4 * r**2)
    product[(r > m) | (m + r >= 2)] = np.nan
    ax.contour(m, r, product, levels=[1], colors="white", linewidths=2.6)
    ax.contour(m, r, product, levels=[1], colors="black", linestyles="--", linewidths=1.4)
    for x, y in zip(mean, half_width, strict=True):
        ax.plot([x, x], [0, y], color=PALETTE["red"], lw=1.5, clip_on=False)
        ax.plot([x], [y], "o", color=PALETTE["red"], markersize=8, clip_on=False)
        ax.plot([x], [0], "o", color=PALETTE["red"], markersize=8, markerfacecolor="white", clip_on=False)
    ax.set(xlim=(0, 2), ylim=(-0.02, 1), xlabel="mean step $m$", ylabel="half width $r$",
           title="Noise in the step stabilizes some laws and destabilizes others")  # fmt: skip
    ax.grid(visible=False)
    return fig


@plotting.figure(
    alt="Left: variance of the error over mu, dots on a dashed curve that grows without bound towards one. Right: the "
    "rate at which the imbalance dies out, dots on a dashed curve likewise."
)
def disagreement(result: LabelNoise) -> Figure:
    """Batches that disagree: floor of the loss and rate of balancing."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.4))
    panels = (
        (result.floor[0], result.floor_theory, "mean square of the error", "A floor that grows with the step"),
        (result.balancing[0], result.balancing_theory, "fall of $\\ln|u^2-v^2|$ in a step", "Balance comes for free"),
    )
    for ax, (found, theory, label, title) in zip(axes, panels, strict=True):
        ax.plot(result.mu, theory, **THEORY, label="first order")
        ax.plot(result.mu, found, "o", color=COLOURS["GD"], label="measured")
        ax.set(yscale="log", xlabel="effective step size $\\mu$", ylabel=label, title=title)
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].legend(loc="upper left")
    return fig
