"""The chapter's figures, each drawn from one experiment's result."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from companion import plotting
from companion.chapters.sam_diagonal_networks import theory
from companion.chapters.sam_diagonal_networks.experiments import (
    Amplification,
    Boundary,
    DepthOne,
    Digits,
    Gates,
    Limits,
    Networks,
    Plane,
)
from companion.chapters.sam_diagonal_networks.experiments.long_run import DEPTH_ONE, DEPTHS, GATED, MANY, PLANE
from companion.chapters.sam_diagonal_networks.experiments.many_examples import ON_DIGITS, PAIR
from companion.chapters.sam_diagonal_networks.experiments.on_the_way import METHODS
from companion.plotting import PALETTE, THEORY

COLOURS = {
    "GD": PALETTE["grey"],
    "l2-SAM": PALETTE["blue"],
    "linf-SAM": PALETTE["orange"],
    "unnormalized SAM": PALETTE["purple"],
    "sign-GD": PALETTE["red"],
}
LABEL = {
    "GD": "GD",
    "sign-GD": "sign-GD",
    "l2-SAM": "ℓ₂-SAM",
    "linf-SAM": "ℓ∞-SAM",
    "unnormalized SAM": "un-normalized SAM",
    "unnormalized SAM, radius 1": "un-normalized SAM, radius 1",
}


def coordinate_colours(d: int) -> np.ndarray:
    """One colour per coordinate, dark for minor and light for major."""
    return mpl.colormaps["viridis"](np.linspace(0.12, 0.95, d))


def _edges(steps: np.ndarray) -> np.ndarray:
    """Borders of cells around recorded steps on a logarithmic axis."""
    if len(steps) == 1:
        return steps[0] * np.array([0.9, 1.1])
    return np.concatenate([steps[:1], np.sqrt(steps[:-1] * steps[1:]), steps[-1:]])


def _nth(index: int) -> str:
    return f"e{str(index + 1).translate(str.maketrans('0123456789', '₀₁₂₃₄₅₆₇₈₉'))}"


@plotting.figure(
    alt=(
        "Left: missing ℓ₂ margin against steps on log axes; GD, ℓ₂-SAM and ℓ∞-SAM lie on top of each other and "
        "fall with slope −1, sign-GD stays on a plateau. Right: on one example the margin of both SAMs over GD's "
        "grows along the dashed prediction to a constant, larger for ℓ∞-SAM."
    )
)
def depth_one(result: DepthOne) -> Figure:
    """Missing margin against steps, and the margin by which SAM leads GD on one example."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.7))
    missing = np.median(np.maximum(1 - result.ratio, 1e-12), axis=1)
    widths = {"GD": 4.5, "l2-SAM": 2.0, "linf-SAM": 1.6, "sign-GD": 1.6}
    for k, method in enumerate(DEPTH_ONE):
        left.loglog(result.steps, missing[:, k], lw=widths[method], color=COLOURS[method], label=LABEL[method])
    middle = len(result.steps) // 2
    guide = missing[middle, 0] * result.steps[middle] / result.steps
    left.loglog(result.steps[middle:], guide[middle:] * 0.55, **THEORY, label="theory")
    left.set(xlabel="step in rescaled time", ylabel="1 − margin / maximum", title="Many examples: one curve")
    steps = np.arange(1, len(result.margin) + 1)
    gd = result.margin[:, DEPTH_ONE.index("GD")]
    for k, method in enumerate(("l2-SAM", "linf-SAM")):
        right.plot(steps, result.margin[:, DEPTH_ONE.index(method)] - gd, color=COLOURS[method])
        right.plot(steps, result.predicted[:, k] - gd, **THEORY)
    right.set(xlabel="step", ylabel="margin − margin of GD", title="One example: a lead of ρ‖μ‖", ylim=(0, None))
    plotting.legend_below(fig, left, ncols=5)
    return fig


@plotting.figure(
    alt=(
        "Trajectories of ℓ∞-SAM, ℓ₂-SAM and GD in the plane of predictors from four starts. Under ℓ∞-SAM they end "
        "at zero, on either axis or near the second axis, depending on the side of the dashed gates; under GD all "
        "turn to e₂."
    )
)
def paths(result: Gates) -> Figure:
    """Trajectories in the predictor's plane with the gates."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 6.6), sharex=True, sharey=True)
    colours = [PALETTE["purple"], PALETTE["blue"], PALETTE["orange"], PALETTE["green"]]
    titles = ("ℓ∞-SAM: every axis, or 0", "ℓ₂-SAM: minor first", "GD: always toward e₂")
    limit = 1.6
    for method, ax, title in zip(PLANE, axes.flat, titles, strict=False):
        for path, colour in zip(result.plane[:, PLANE.index(method)].swapaxes(0, 1), colours, strict=True):
            ax.plot(path[:, 0], path[:, 1], color=colour, clip_on=True)
            ax.plot(*path[0], "o", color=colour, ms=5)
        if method == "linf-SAM":
            ax.axvline(result.rho**2, **THEORY)
            ax.axhline(result.rho**2, **THEORY)
            ax.text(limit, result.rho**2 + 0.03, "gate ρ²", ha="right")
        ax.set(title=title, xlim=(-0.04, limit), ylim=(-0.04, limit))
    starts = np.sqrt(result.plane[0, 0]) / result.rho
    handles = [
        Line2D([], [], color=colour, marker="o", label=f"({a:.1f}, {b:.1f}) ρ")
        for colour, (a, b) in zip(colours, starts, strict=True)
    ]
    axes[1, 1].set_axis_off()
    axes[1, 1].legend(handles=handles, loc="center", title="start of every layer")
    for ax in (axes[0, 1], axes[1, 0]):
        ax.set_xlabel("β₁")
    axes[0, 1].tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel("β₂")
    return fig


@plotting.figure(
    alt=(
        "Four maps over the starts. ℓ∞-SAM at depth 2: a black square where both coordinates are below ρ, e₁ to "
        "its right, e₂ above. GD at depth 2: e₂ everywhere. Depth 3: slanted borders for both, as the theorem's "
        "dashed lines say."
    )
)
def winners(result: Gates) -> Figure:
    """Which axis leads at the end, over the square of starts."""
    fig, axes = plotting.subplots(2, 2, size=(7.6, 7.9), sharex=True, sharey=True)
    colours = ListedColormap(["black", *coordinate_colours(2)])
    edge = np.linspace(0, 2, len(result.map_scales) + 1)
    norm = BoundaryNorm([-1.5, -0.5, 0.5, 1.5], 3)
    theorem = THEORY | {"color": "white", "linewidth": 1.6}
    for row, depth in enumerate(DEPTHS):
        for column, method in enumerate(GATED):
            ax, gate = axes[row, column], 1.0 if method == "linf-SAM" else 0.0
            ax.pcolormesh(edge, edge, result.map[row, column], cmap=colours, norm=norm)
            if method == "linf-SAM":
                ax.plot([0, 1, 1], [1, 1, 0], **theorem)
                if depth == 2:
                    ax.plot([1, 2], [1, 1], **theorem)
            if depth == 3:  # mu_1 (alpha_1 - rho) = mu_2 (alpha_2 - rho)
                x = np.linspace(gate, 2, 2)
                ax.plot(x, gate + (x - gate) / 2, **theorem)
            ax.set(title=f"{LABEL[method]}, depth {depth}", aspect="equal")
            ax.grid(False)
    for ax in axes[-1]:
        ax.set_xlabel("α₁ / ρ")
    for ax in axes[:, 0]:
        ax.set_ylabel("α₂ / ρ")
    labels = ("no axis leads (0 or ρ³·1)", "e₁ leads", "e₂ leads")
    handles = [Patch(color=colours(i), label=label) for i, label in enumerate(labels)]
    handles.append(Line2D([], [], color="grey", ls="--", label="theorem"))
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    plotting.headline(fig, "ℓ∞-SAM has gates at ρ; GD ignores the start at depth 2 only")
    return fig


@plotting.figure(
    alt=(
        "ℓ₁ margin over its maximum against steps. Left, layers that start apart: GD and ℓ₂-SAM tend to one on "
        "every data set; ℓ∞-SAM with half of the coordinates below the gate stays far below. Right, equal layers, "
        "on the data sets whose max-margin direction has a negative entry: GD and ℓ₂-SAM stop at the dashed "
        "levels below one."
    )
)
def limits(result: Limits) -> Figure:
    """The l1 margin over its maximum at depth 2 on several examples."""
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.9), sharey=True)
    out = np.flatnonzero(result.out_of_reach)
    for ax, methods, chosen in (
        (left, ("GD", "l2-SAM", "linf-SAM"), range(result.history.shape[1])),
        (right, ("GD from equal layers", "l2-SAM from equal layers"), out),
    ):
        for name in methods:
            method = name.removesuffix(" from equal layers")
            for run in chosen:
                ax.semilogx(
                    result.steps,
                    result.history[:, run, MANY.index(name)],
                    color=COLOURS[method],
                    lw=2.6 if method == "GD" else 1.3,
                    alpha=0.85,
                    label=LABEL[method] if run == chosen[0] else None,
                )
        ax.set_xlabel("loss-normalized step")
    left.axhline(1, **THEORY, label="theory")
    for run in out:
        right.axhline(result.nonnegative[run], **THEORY)
    left.set(ylabel="ℓ₁ margin / maximum", ylim=(-0.6, 1.08), title="Layers apart: the ℓ₁ max margin")
    right.set_title("Equal layers: as far as β ≥ 0 goes")
    plotting.legend_below(fig, left, ncols=4)
    return fig


def _shown_rows(result: Amplification, most: int = 6) -> list[int]:
    """Positions in ``shown`` of up to six scales that do not collapse, those with the longest histories first."""
    alive = [i for i, position in enumerate(result.shown) if not result.collapsed[-1, position]]
    moves = {i: len(set(result.dominant("l2-SAM")[:, result.shown[i]].tolist())) for i in alive}
    return sorted(sorted(alive, key=lambda i: -moves[i])[:most])


@plotting.figure(
    alt=(
        "Share of each coordinate against steps, one panel per scale. Weight moves from minor to major "
        "coordinates; dashed vertical lines mark the predicted swaps and sit where the brightest row changes."
    )
)
def heat(result: Amplification) -> Figure:
    """Share of every coordinate against steps, one panel for each scale, with the predicted swaps."""
    rows = _shown_rows(result) or [0]
    columns = min(2, len(rows))
    lines = -(-len(rows) // columns)
    fig, axes = plotting.subplots(
        lines, columns, size=(7.6, 0.9 + 1.75 * lines), sharex=True, sharey=True, squeeze=False
    )
    d = len(result.mu)
    steps = _edges(result.steps)
    mesh = None
    for ax, row in zip(axes.flat, rows, strict=False):
        run = result.shown[row]
        beta = result.beta[METHODS.index("l2-SAM"), :, run]
        total = beta.sum(-1, keepdims=True)
        share = beta / np.where(total == 0, 1, total)
        mesh = ax.pcolormesh(steps, np.arange(d + 1) + 0.5, share.T, vmin=0, vmax=0.8, cmap="magma")
        ax.set_xscale("log")
        for swap in result.swaps[row]:
            at = swap.t / result.lr
            if result.steps[0] < at < result.steps[-1]:
                ax.axvline(at, color="white", ls="--", lw=1.2)
        ax.set(
            title=f"α = {result.scales[run]:.3g} ρ",
            yticks=np.arange(1, d + 1) if d <= 10 else [1, d],
            xlim=(steps[0], steps[-1]),
        )
        ax.grid(False)
    for ax in axes.flat[len(rows) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("step")
    for ax in axes[:, 0]:
        ax.set_ylabel("coordinate j")
    fig.colorbar(mesh, ax=axes, label="share of βⱼ", shrink=0.8)
    plotting.headline(fig, "Weight moves from minor to major when the theory says (dashed)")
    return fig


@plotting.figure(
    alt=(
        "Above: log β against μ at five times, dots on dashed parabolas whose marked top moves to the right. "
        "Below: the vertex against steps, crossing the dashed midpoints between the coordinates."
    )
)
def parabola(result: Amplification) -> Figure:
    """The parabola whose vertex moves right, and the vertex against steps."""
    fig, (upper, lower) = plotting.subplots(2, 1, size=(7.6, 7.4), height_ratios=(1.25, 1))
    row = max(
        _shown_rows(result) or [0], key=lambda i: (len(set(result.dominant("l2-SAM")[:, result.shown[i]].tolist())), -i)
    )
    run, mu, method = result.shown[row], result.mu, METHODS.index("l2-SAM")
    s, A = result.s[method, :, run], result.A[method, :, run]
    vertex = theory.vertex(s, A, result.rho, theory.initial_vertex(result.scales[run] * np.ones(len(mu)), mu, 1.0))
    last = np.flatnonzero(vertex < mu[-1] + 0.75 * (mu[-1] - mu[0]))
    stop = last.max() if len(last) else len(s) - 1
    levels = np.linspace(vertex[0], vertex[stop], 5)
    times = np.unique(np.abs(vertex[: stop + 1, None] - levels).argmin(0))
    colours = mpl.colormaps["plasma"](np.linspace(0, 0.85, len(times)))
    x = np.linspace(mu[0] - 0.35, mu[-1] + 0.35, 200)
    for k, colour in zip(times, colours, strict=True):
        points = np.log(np.maximum(result.beta[method, k, run], 1e-300))
        curve = 2 * np.log(result.rho * result.scales[run]) + 2 * x * s[k] - 2 * result.rho * x**2 * A[k]
        upper.plot(x, curve, color="black", ls="--", lw=1)
        upper.plot(mu, points, "o", color=colour, zorder=3, label=f"step {result.steps[k]}, m = {vertex[k]:.2f}")
        top = int(points.argmax())
        upper.plot(mu[top], points[top], "o", ms=11, mfc="none", mec=colour, mew=1.6)
        at = np.clip(vertex[k], x[0], x[-1])
        upper.plot(at, np.interp(at, x, curve) + 0.22, "v", color=colour, ms=6)
    upper.set(
        xlabel="μⱼ, strength of the coordinate",
        ylabel="log βⱼ",
        title=f"log β is a parabola in μ; its top moves right (α = {result.scales[run]:.3g} ρ)",
        xlim=(x[0], x[-1]),
        xticks=mu if len(mu) <= 10 else mu[:: len(mu) // 6],
    )
    upper.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    lower.semilogx(result.steps[: stop + 1], vertex[: stop + 1], color=COLOURS["l2-SAM"])
    for k, colour in zip(times, colours, strict=True):
        lower.plot(result.steps[k], vertex[k], "o", color=colour, zorder=3)
    for middle in (mu[:-1] + mu[1:]) / 2:
        lower.axhline(middle, **THEORY)
    if len(mu) <= 10:
        for j, value in enumerate(mu):
            lower.text(1.01, value, f"{_nth(j)} leads", transform=lower.get_yaxis_transform(), va="center")
    lower.set(
        xlabel="step",
        ylabel="vertex m = s / (2ρA)",
        title="Leaders change where m passes a midpoint (dashed)",
        ylim=(mu[0] - 0.5, mu[-1] + 0.9),
    )
    return fig


@plotting.figure(
    alt=(
        "Two phase diagrams over steps and initialization scale; colour is the leading coordinate. GD: one "
        "colour. ℓ₂-SAM: bands from minor coordinates at small scales and early steps to the largest coordinate "
        "at large scales; dashed predicted borders run along the bands; runs below the critical scale collapse."
    )
)
def phase(result: Amplification) -> Figure:
    """Who leads, over steps and scale, for GD and l2-SAM."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 4.3), sharey=True)
    d = len(result.mu)
    colours = ListedColormap(["black", *coordinate_colours(d)])
    norm = BoundaryNorm(np.arange(-1.5, d + 0.5), d + 1)
    steps = _edges(result.steps)
    middle = (result.scales[:-1] + result.scales[1:]) / 2
    edges = (
        np.concatenate([[result.scales[0]], middle, [result.scales[-1]]])
        if len(result.scales) > 1
        else np.array([0.9, 1.1]) * result.scales
    )
    titles = ("GD: e_d leads, always", "ℓ₂-SAM: minor first, major last")
    titles = (titles[0].replace("e_d", _nth(d - 1)), titles[1])
    for ax, method, title in zip(axes, ("GD", "l2-SAM"), titles, strict=True):
        index = result.dominant(method)
        if method == "l2-SAM":
            index = np.where(result.collapsed, -1, index)
        ax.pcolormesh(steps, edges, index.T, cmap=colours, norm=norm, rasterized=True)
        ax.set(xscale="log", xlabel="step (physical time)", xlim=(steps[0], steps[-1]), title=title)
        ax.grid(False)
    _overlay_swaps(axes[1], result)
    for value, name, colour, side in (
        (result.alpha_c, r"collapse below $\alpha_c$", "white", "top"),
        (result.gd_like, "GD-like above", "black", "bottom"),
    ):
        axes[1].axhline(value, **THEORY | {"color": colour, "linestyle": ":"})
        where = {"transform": axes[1].get_yaxis_transform(), "ha": "right", "va": side}
        axes[1].text(0.985, value, name, color=colour, **where)
    axes[0].set_ylabel("initialization scale α / ρ")
    shown = range(d) if d <= 8 else (0, d // 2, d - 1)
    handles = [Patch(color=colours(j + 1), label=f"{_nth(j)} leads") for j in shown]
    handles += [Patch(color="black", label="collapsed"), Line2D([], [], **THEORY, label="predicted swap")]
    fig.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), columnspacing=1.2)
    return fig


def _overlay_swaps(ax: Axes, result: Amplification) -> None:
    """Contours of the vertex at the midpoints, from the reduced flow."""
    scales = np.linspace(max(result.scales[0], result.alpha_c * 1.001), result.scales[-1], 60)
    flow = theory.l2_flow(result.rho * scales[:, None] * np.ones(len(result.mu)), result.mu, result.rho, until=1e6)
    steps = np.geomspace(result.steps[0], result.steps[-1], 200)
    vertex = np.empty((len(scales), len(steps)))
    for run in range(len(scales)):
        t = np.log(flow.t[1:, run])
        m = flow.s[1:, run] / (2 * result.rho * flow.A[1:, run])
        vertex[run] = np.interp(np.log(steps * result.lr), t, m)
    levels = (result.mu[:-1] + result.mu[1:]) / 2
    if len(result.mu) <= 10:
        ax.contour(steps, scales, vertex, levels=levels, colors="black", linestyles="--", linewidths=1.2)


@plotting.figure(
    alt=(
        "Shares of the coordinates against steps under GD, ℓ₂-SAM, ℓ∞-SAM, un-normalized SAM and un-normalized "
        "SAM with radius 1, from the same start."
    )
)
def ablation(result: Amplification) -> Figure:
    """Shares of the coordinates under every perturbation from the same starts."""
    shown = _shown_rows(result) or [0]
    row = shown[len(shown) // 2]
    run, d = result.shown[row], len(result.mu)
    fig, axes = plotting.subplots(3, 2, size=(7.6, 6.6), sharex=True, sharey=True)
    colours = coordinate_colours(d)
    for ax, (k, method) in zip(axes.flat, enumerate(METHODS), strict=False):
        beta = result.beta[k, :, run]
        total = beta.sum(-1, keepdims=True)
        share = beta / np.where(total == 0, 1, total)
        gone = np.abs(total[:, 0]) < 1e-2 * (result.rho * result.scales[run]) ** 2
        for j in range(d):
            ax.semilogx(result.steps, np.where(gone, np.nan, share[:, j]), color=colours[j])
        if gone[-1]:
            ax.text(0.5, 0.5, "collapses to 0", transform=ax.transAxes, ha="center")
        ax.set(title=LABEL[method], ylim=(-0.02, 1.02), xlim=_edges(result.steps)[[0, -1]])
    axes[1, 1].tick_params(labelbottom=True)
    for ax in (axes[2, 0], axes[1, 1]):
        ax.set_xlabel("step")
    for ax in axes[:, 0]:
        ax.set_ylabel("share of βⱼ")
    axes[2, 1].set_axis_off()
    listed = range(d) if d <= 8 else (0, d // 2, d - 1)
    handles = [Line2D([], [], color=colours[j], label=f"j = {j + 1}, μⱼ = {result.mu[j]:g}") for j in listed]
    axes[2, 1].legend(handles=handles, loc="center", title=f"coordinate, α = {result.scales[run]:.3g} ρ")
    plotting.headline(fig, "The factor 1/‖∇L‖ is what lets minor coordinates lead at this radius")
    return fig


@plotting.figure(
    alt=(
        "Collapse boundary of discrete SAM over the critical scale against the step size: three points on a line "
        "that ends at one."
    )
)
def boundary(result: Boundary) -> Figure:
    """The collapse boundary of the algorithm against the flow's critical scale."""
    fig, ax = plotting.subplots(size=(7.6, 3.4))
    found, lr = result.found, result.lr
    error = result.resolution / 2
    ax.errorbar(lr, found, yerr=error, fmt="o", color=COLOURS["l2-SAM"], capsize=3, label="discrete SAM")
    ax.axhline(1, **THEORY, label="flow")
    slope = ((found - 1) * lr).sum() / (lr**2).sum()
    x = np.linspace(0, lr.max() * 1.05, 20)
    ax.plot(x, 1 + slope * x, color=COLOURS["l2-SAM"], lw=1, alpha=0.6, label="line through (0, 1)")
    ax.set(
        xlabel="step size η",
        ylabel=r"collapse boundary / $\alpha_c$",
        xlim=(0, None),
        title="The boundary of discrete SAM tends to the flow's" if result.enough else "Runs too short for a boundary",
    )
    ax.legend()
    return fig


@plotting.figure(
    alt=(
        "Effective pixel strength against falling training loss for pairs of digits: GD rises at once; ℓ₂-SAM "
        "dips below one, then rises, and stays below GD, the more so the smaller the start."
    )
)
def digits(result: Digits) -> Figure:
    """Effective strength against training loss."""
    count = min(len(result.pairs), 4)
    lines = -(-count // 2)
    fig, axes = plotting.subplots(lines, 2, size=(7.6, 0.9 + 2.6 * lines), sharex=True, sharey=True, squeeze=False)
    fades = np.linspace(0.4, 1.0, len(result.fractions))
    for p, ax in enumerate(axes.flat[:count]):
        for name in ("GD", "l2-SAM"):
            for f, fade in enumerate(fades):
                ax.semilogx(
                    result.loss[:, p, ON_DIGITS.index(name), f],
                    result.effective[:, p, ON_DIGITS.index(name), f],
                    color=COLOURS[name],
                    alpha=fade,
                    lw=1.6,
                )
        ax.axvline(result.target, color="black", lw=0.8, ls=":")
        ax.axhline(1, color="black", lw=0.8)
        a, b = result.pairs[p]
        ax.set(title=f"{a} against {b}", xlim=(0.72, 0.012), xlabel="training loss (falls to the right)")
        ax.set_xticks([0.5, 0.2, 0.1, 0.05, 0.02], ["0.5", "0.2", "0.1", "0.05", "0.02"])
        ax.tick_params(labelbottom=True)
        ax.minorticks_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("strength of the pixels used\n(relative to the start)")
    handles = [
        Line2D([], [], color=COLOURS[name], alpha=alpha, label=f"{LABEL[name]}, {size} start")
        for name in ("GD", "l2-SAM")
        for size, alpha in (("largest", 1.0), ("smallest", 0.4))
    ]
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    if count % 2:
        axes[-1, 1].legend(handles=handles, loc="center")
    else:
        fig.legend(handles=handles, loc="outside lower center", ncols=2)
    plotting.headline(fig, "On digits, SAM dips to weak pixels first; GD goes straight to strong ones")
    return fig


@plotting.figure(
    alt=(
        "8x8 maps at equal loss, a row for each pair of digits: pixel strength, GD's predictor on the strongest "
        "pixels, SAM's from a small start on weak and border pixels, SAM's from a larger start nearer to the "
        "strong ones."
    )
)
def pixels(result: Digits) -> Figure:
    """The predictor as an 8x8 map at equal loss."""
    count, gap = min(len(result.pairs), 3), 1
    fig, ax = plotting.subplots(size=(7.6, 0.9 + 1.75 * count))
    smallest, largest = 0, len(result.fractions) - 1
    gd, sam = ON_DIGITS.index("GD"), ON_DIGITS.index("l2-SAM")
    sheet = np.full((count * (8 + gap) - gap, 4 * (8 + gap) - gap), np.nan)
    for p in range(count):
        images = (
            result.strength[p],
            result.maps[p, gd, smallest],
            result.maps[p, sam, smallest],
            result.maps[p, sam, largest],
        )
        for k, image in enumerate(images):
            rows, columns = p * (8 + gap), k * (8 + gap)
            sheet[rows : rows + 8, columns : columns + 8] = image.reshape(8, 8) / max(image.max(), 1e-300)
    ax.imshow(sheet, cmap="magma", vmin=0, vmax=1)
    centres = 3.5 + (8 + gap) * np.arange(4)
    ax.set_xticks(
        centres, ["pixel strength\n|mean|", "GD,\nsmall start", "ℓ₂-SAM,\nsmall start", "ℓ₂-SAM,\nlarger start"]
    )
    ax.set_yticks(centres[:count], [f"{a} against {b}" for a, b in result.pairs[:count]])
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(False)
    ax.set_title(f"At loss {result.target:g}, SAM from a small start uses weak pixels")
    return fig


@plotting.figure(
    alt=(
        "Share of the larger coordinate against steps: GD rises at once; ℓ₂-SAM from small scales dips first, the "
        "deeper the smaller the scale, then rises."
    )
)
def plane_data(result: Plane) -> Figure:
    """Share of the larger coordinate against steps on Gaussian examples."""
    fig, ax = plotting.subplots(size=(7.6, 3.8))
    fades = np.linspace(0.35, 1, len(result.scales))
    middle = np.median(result.share, axis=1)
    for k, (scale, fade) in enumerate(zip(result.scales, fades, strict=True)):
        label = f"ℓ₂-SAM, α = {scale:.2f} ρ"
        ax.semilogx(result.steps, middle[:, PAIR.index("l2-SAM"), k], color=COLOURS["l2-SAM"], alpha=fade, label=label)
    label = f"GD, α = {result.scales[0]:.2f} ρ"
    ax.semilogx(result.steps, middle[:, PAIR.index("GD"), 0], color=COLOURS["GD"], label=label)
    ax.axhline(0.5, color="black", lw=0.8, ls=":")
    ax.set(
        xlabel="step",
        ylabel="share of β₂ (median of data sets)",
        ylim=(0, 1),
        title="Many examples around (1, 2): β₁ first, β₂ last",
    )
    ax.legend()
    return fig


@plotting.figure(
    alt=lambda relu, cnn: (
        "Strength of the pixels that ℓ₂-SAM's networks use against that of GD's from the same weights, at losses "
        "0.5 and 0.1. ReLU networks lie along the diagonal"
        + ("; convolutional ones below it, at the larger loss clearly." if cnn.trained else ".")
    )
)
def networks(relu: Networks, cnn: Networks) -> Figure:
    """Strengths at equal loss, SAM's against GD's."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.9), sharex=True, sharey=True)
    kinds = [("two-layer ReLU", relu, "o", PALETTE["sky"])]
    if cnn.trained:
        kinds.append(("convolutional", cnn, "s", PALETTE["green"]))
    strengths = np.concatenate([found.strength.ravel() for _, found, _, _ in kinds])
    low, high = (np.nanmin(strengths), np.nanmax(strengths)) if np.isfinite(strengths).any() else (0.0, 1.0)
    ends = np.array([low - 0.05 * (high - low), high + 0.05 * (high - low)])
    for k, (ax, target) in enumerate(zip(axes, relu.targets, strict=True)):
        ax.plot(ends, ends, **THEORY | {"linewidth": 1.0}, label="equal")
        for name, found, marker, colour in kinds:
            gd, sam = (found.strength[k, :, PAIR.index(method)].ravel() for method in PAIR)
            ax.plot(gd, sam, marker, color=colour, ms=5, label=name)
        ax.set(xlabel="strength of the pixels used, GD", title=f"at loss {target:g}")
    axes[0].set_ylabel("the same, ℓ₂-SAM")
    plotting.legend_below(fig, axes[0])
    return fig
