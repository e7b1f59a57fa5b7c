"""The chapter's figures, each drawn from one experiment's result."""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from companion import plotting
from companion.chapters.sam_diagonal_networks import theory
from companion.chapters.sam_diagonal_networks.examples import Digits, Plane
from companion.chapters.sam_diagonal_networks.experiments import DEPTH_ONE, MULTI, DepthOne, Gates, Limits
from companion.chapters.sam_diagonal_networks.trajectories import METHODS, Amplification, Boundary
from companion.plotting import METHOD, PALETTE, THEORY

LABEL = {
    "GD": "GD",
    "sign-GD": "sign-GD",
    "l2-SAM": "ℓ₂-SAM",
    "linf-SAM": "ℓ∞-SAM",
    "unnormalized SAM": "un-normalized",
    "unnormalized SAM, radius 1": "un-normalized, radius 1",
}
TITLE = {"fontsize": 10.5, "fontweight": "bold", "x": 0.01, "ha": "left"}
COLOR = METHOD | {"sign-GD": PALETTE["red"]}


def coordinate_colors(d: int) -> np.ndarray:
    """One colour per coordinate, dark for minor and light for major."""
    return mpl.colormaps["viridis"](np.linspace(0.12, 0.95, d))


def _edges(steps: np.ndarray) -> np.ndarray:
    """Borders of cells around recorded steps on a logarithmic axis."""
    return np.concatenate([steps[:1], np.sqrt(steps[:-1] * steps[1:]), steps[-1:]])


def _nth(index: int) -> str:
    return f"e{str(index + 1).translate(str.maketrans('0123456789', '₀₁₂₃₄₅₆₇₈₉'))}"


@plotting.style()
def figure_depth_one(result: DepthOne) -> Figure:
    """Missing margin against steps."""
    fig, ax = plotting.subplots(size=(6.4, 3.4))
    missing = np.median(np.maximum(1 - result.ratio, 1e-12), axis=1)
    styles = {"GD": ("-", 4.5), "l2-SAM": ("-", 2.0), "linf-SAM": ("-", 1.6), "sign-GD": ("-", 1.6)}
    for k, method in enumerate(DEPTH_ONE):
        line, width = styles[method]
        ax.loglog(result.steps, missing[:, k], line, lw=width, color=COLOR[method], label=LABEL[method])
    middle = len(result.steps) // 2
    guide = missing[middle, 0] * result.steps[middle] / result.steps
    ax.loglog(result.steps[middle:], guide[middle:] * 0.55, **THEORY, label="slope −1")
    ax.set(
        xlabel="step",
        ylabel="1 − margin / maximum (ℓ₂)",
        title="At depth 1, SAM maximizes GD's margin, along GD's curve",
    )
    ax.legend()
    return fig


@plotting.style()
def figure_paths(result: Gates) -> Figure:
    """Trajectories in the predictor's plane with the gates."""
    fig, axes = plotting.subplots(1, 3, size=(9.2, 3.4), sharex=True, sharey=True)
    colors = [PALETTE["purple"], PALETTE["blue"], PALETTE["orange"], PALETTE["green"]]
    names = ("linf-SAM", "l2-SAM", "GD")
    titles = ("ℓ∞-SAM: every axis, or 0", "ℓ₂-SAM: minor first", "GD: always toward e₂")
    limit = 1.6
    for k, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        for path, color in zip(result.plane[:, k].swapaxes(0, 1), colors, strict=True):
            ax.plot(path[:, 0], path[:, 1], color=color, clip_on=True)
            ax.plot(*path[0], "o", color=color, ms=5)
        if names[k] == "linf-SAM":
            for draw in (ax.axvline, ax.axhline):
                draw(result.rho**2, **THEORY)
            ax.text(result.rho**2 + 0.03, limit * 0.93, "gate ρ²", fontsize=8)
        ax.set(xlabel="β₁", title=title, xlim=(-0.04, limit), ylim=(-0.04, limit))
    axes[0].set_ylabel("β₂")
    return fig


@plotting.style()
def figure_winners(result: Gates) -> Figure:
    """Which axis leads at the end, over the square of starts."""
    fig, axes = plotting.subplots(1, 4, size=(9.6, 3.3), sharex=True, sharey=True)
    colors = ListedColormap(["black", *coordinate_colors(2)])
    edge = np.linspace(0, 2, len(result.map_scales) + 1)
    titles = ("ℓ∞-SAM, depth 2", "GD, depth 2", "ℓ∞-SAM, depth 3", "GD, depth 3")
    for k, ax in enumerate(axes):
        depth, method = divmod(k, 2)
        ax.pcolormesh(edge, edge, result.map[depth, method], cmap=colors, norm=BoundaryNorm([-1.5, -0.5, 0.5, 1.5], 3))
        gate = 1.0 if method == 0 else 0.0
        if method == 0 and depth == 0:
            ax.plot([1, 1, 2], [0, 1, 1], **THEORY | {"color": "white"})
            ax.plot([0, 1], [1, 1], **THEORY | {"color": "white"})
        if depth == 1:  # mu_1 (alpha_1 - rho) = mu_2 (alpha_2 - rho)
            x = np.linspace(gate, 2, 2)
            ax.plot(x, gate + (x - gate) / 2, **THEORY | {"color": "white"})
            if method == 0:
                ax.plot([0, 1, 1], [1, 1, 0], **THEORY | {"color": "white"})
        ax.set(xlabel="α₁ / ρ", title=titles[k], aspect="equal")
        ax.grid(False)
    axes[0].set_ylabel("α₂ / ρ")
    handles = [Patch(color=colors(i), label=label) for i, label in enumerate(("no axis leads (0 or ρ³·1)", "e₁", "e₂"))]
    handles.append(Line2D([], [], color="grey", ls="--", label="theorem"))
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    fig.suptitle("Which axis leads in the end: ℓ∞-SAM has gates at ρ; GD ignores the start at depth 2 only", **TITLE)
    return fig


@plotting.style()
def figure_limits(result: Limits) -> Figure:
    """l1 margin over its maximum at depth 2 on several examples."""
    fig, ax = plotting.subplots(size=(6.4, 3.4))
    methods = ("GD", "l2-SAM", "linf-SAM")
    labels = ("GD", "ℓ₂-SAM", "ℓ∞-SAM, half the coordinates below ρ")
    assert len(methods) == len(MULTI)
    for k, (method, label) in enumerate(zip(methods, labels, strict=True)):
        for run in range(result.history.shape[1]):
            ax.semilogx(
                result.steps,
                result.history[:, run, k],
                color=COLOR[method],
                lw=2.6 if method == "GD" else 1.3,
                alpha=0.85,
                label=label if run == 0 else None,
            )
    ax.axhline(1, **THEORY)
    ax.set(
        xlabel="loss-normalized step",
        ylabel="ℓ₁ margin / maximum",
        ylim=(-0.6, 1.08),
        title="At depth 2, ℓ₂-SAM ends where GD ends: the ℓ₁ max margin",
    )
    ax.legend(loc="lower right")
    return fig


def _shown_rows(result: Amplification, most: int = 6) -> list[int]:
    """Positions in ``shown`` of up to six scales that do not collapse, those with the longest histories first."""
    alive = [i for i, position in enumerate(result.shown) if not result.collapsed[-1, position]]
    moves = {i: len(set(result.dominant("l2-SAM")[:, result.shown[i]].tolist())) for i in alive}
    return sorted(sorted(alive, key=lambda i: -moves[i])[:most])


@plotting.style()
def figure_heat(result: Amplification) -> Figure:
    """Share of every coordinate against steps, one panel for each scale, with the predicted swaps."""
    rows = _shown_rows(result) or [0]
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    fig, axes = plotting.subplots(
        lines, columns, size=(9.4, 0.9 + 2.1 * lines), sharex=True, sharey=True, squeeze=False
    )
    d = len(result.mu)
    steps = _edges(result.steps)
    mesh = None
    for ax, row in zip(axes.flat, rows, strict=False):
        run = result.shown[row]
        beta = result.beta[METHODS.index("l2-SAM"), :, run]
        mesh = ax.pcolormesh(
            steps, np.arange(d + 1) + 0.5, (beta / beta.sum(-1, keepdims=True)).T, vmin=0, vmax=0.8, cmap="magma"
        )
        ax.set_xscale("log")
        for swap in result.swaps[row]:
            at = swap.t / result.lr
            if result.steps[0] < at < result.steps[-1]:
                ax.axvline(at, color="white", ls="--", lw=1.2)
        ax.set(
            title=f"α = {result.scales[run]:.3g} ρ",
            yticks=np.arange(1, d + 1) if d <= 10 else [1, d],
            xlim=(result.steps[0], steps[-1]),
        )
        ax.grid(False)
    for ax in axes.flat[len(rows) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("step")
    for ax in axes[:, 0]:
        ax.set_ylabel("coordinate j")
    fig.colorbar(mesh, ax=axes, label="share of βⱼ", shrink=0.8)
    fig.suptitle(
        "Weight moves from minor to major coordinates, at the times that the theory predicts (dashed)", **TITLE
    )
    return fig


@plotting.style()
def figure_parabola(result: Amplification) -> Figure:
    """The parabola whose vertex moves right, and the vertex against steps."""
    fig, (left, right) = plotting.subplots(1, 2, size=(9.6, 3.9), width_ratios=(1.25, 1))
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
    colors = mpl.colormaps["plasma"](np.linspace(0, 0.85, len(times)))
    x = np.linspace(mu[0] - 0.35, mu[-1] + 0.35, 200)
    for k, color in zip(times, colors, strict=True):
        points = np.log(np.maximum(result.beta[method, k, run], 1e-300))
        curve = 2 * np.log(result.rho * result.scales[run]) + 2 * x * s[k] - 2 * result.rho * x**2 * A[k]
        left.plot(x, curve, color="black", ls="--", lw=1)
        left.plot(mu, points, "o", color=color, zorder=3)
        top = int(points.argmax())
        left.plot(mu[top], points[top], "o", ms=11, mfc="none", mec=color, mew=1.6)
        at = np.clip(vertex[k], x[0], x[-1])
        left.plot(at, np.interp(at, x, curve) + 0.22, "v", color=color, ms=6)
        label = f"step {result.steps[k]}\nm = {vertex[k]:.2f}"
        left.text(x[-1] + 0.03 * (x[-1] - x[0]), curve[-1], label, color=color, va="center", fontsize=8)
    left.set(
        xlabel="μⱼ, strength of the coordinate",
        ylabel="log βⱼ",
        title=f"log β is a parabola in μ; its top moves right (α = {result.scales[run]:.3g} ρ)",
        xlim=(x[0], x[-1] + 0.2 * (x[-1] - x[0])),
        xticks=mu if len(mu) <= 10 else mu[:: len(mu) // 6],
    )
    right.semilogx(result.steps[: stop + 1], vertex[: stop + 1], color=COLOR["l2-SAM"])
    for k, color in zip(times, colors, strict=True):
        right.plot(result.steps[k], vertex[k], "o", color=color, zorder=3)
    for middle in (mu[:-1] + mu[1:]) / 2:
        right.axhline(middle, **THEORY)
    if len(mu) <= 10:
        for j, value in enumerate(mu):
            right.text(1.01, value, _nth(j), transform=right.get_yaxis_transform(), va="center", fontsize=9)
    right.set(
        xlabel="step",
        ylabel="vertex m = s / (2ρA)",
        title="Leaders change where m passes a midpoint",
        ylim=(mu[0] - 0.5, mu[-1] + 0.9),
    )
    return fig


@plotting.style()
def figure_phase(result: Amplification) -> Figure:
    """Who leads, over steps and scale, for GD and l2-SAM."""
    fig, axes = plotting.subplots(1, 2, size=(9.4, 3.9), sharey=True)
    d = len(result.mu)
    colors = ListedColormap(["black", *coordinate_colors(d)])
    norm = BoundaryNorm(np.arange(-1.5, d + 0.5), d + 1)
    steps = _edges(result.steps)
    middle = (result.scales[:-1] + result.scales[1:]) / 2
    edges = (
        np.concatenate([[result.scales[0]], middle, [result.scales[-1]]])
        if len(result.scales) > 1
        else np.array([0.9, 1.1]) * result.scales
    )
    for ax, method in zip(axes, ("GD", "l2-SAM"), strict=True):
        index = result.dominant(method)
        if method == "l2-SAM":
            index = np.where(result.collapsed, -1, index)
        ax.pcolormesh(steps, edges, index.T, cmap=colors, norm=norm, rasterized=True)
        ax.set(xscale="log", xlabel="step (physical time)", xlim=(result.steps[0], steps[-1]), title=LABEL[method])
        ax.grid(False)
    axes[0].set_title("GD: the largest coordinate leads, always")
    axes[1].set_title("ℓ₂-SAM: minor first, major last")
    _overlay_swaps(axes[1], result)
    for value, name, color, side in (
        (result.alpha_c, r"collapse below $\alpha_c$", "white", "top"),
        (result.gd_like, "GD-like above", "black", "bottom"),
    ):
        axes[1].axhline(value, **THEORY | {"color": color, "linestyle": ":"})
        where = {"transform": axes[1].get_yaxis_transform(), "ha": "right", "va": side, "fontsize": 8.5}
        axes[1].text(0.985, value, name, color=color, **where)
    axes[0].set_ylabel("initialization scale α / ρ")
    shown = range(d) if d <= 8 else (0, d // 2, d - 1)
    handles = [Patch(color=colors(j + 1), label=f"{_nth(j)} leads") for j in shown]
    handles += [Patch(color="black", label="collapsed"), Line2D([], [], **THEORY, label="predicted swap")]
    fig.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6))
    return fig


def _overlay_swaps(ax, result: Amplification) -> None:
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


@plotting.style()
def figure_ablation(result: Amplification) -> Figure:
    """Shares of the coordinates under every perturbation from the same starts."""
    shown = _shown_rows(result) or [0]
    row = shown[len(shown) // 2]
    run, d = result.shown[row], len(result.mu)
    fig, axes = plotting.subplots(1, len(METHODS), size=(10.4, 2.9), sharey=True)
    colors = coordinate_colors(d)
    for ax, (k, method) in zip(axes, enumerate(METHODS), strict=True):
        beta = result.beta[k, :, run]
        total = beta.sum(-1, keepdims=True)
        share = beta / np.where(total == 0, 1, total)
        gone = np.abs(total[:, 0]) < 1e-2 * (result.rho * result.scales[run]) ** 2
        for j in range(d):
            ax.semilogx(
                result.steps, np.where(gone, np.nan, share[:, j]), color=colors[j], label=_nth(j) if d <= 8 else None
            )
        if gone[-1]:
            ax.text(0.5, 0.5, "collapses to 0", transform=ax.transAxes, ha="center")
        ax.set(
            xlabel="step",
            title=LABEL[method].replace(", ", ",\n"),
            ylim=(-0.02, 1.02),
            xlim=(result.steps[0], result.steps[-1]),
        )
    axes[0].set_ylabel(f"share of βⱼ, α = {result.scales[run]:.3g} ρ")
    fig.suptitle("The factor 1/‖∇L‖ is what lets minor coordinates lead at this radius", **TITLE)
    if d <= 8:
        handles = [Line2D([], [], color=colors[j], label=_nth(j)) for j in range(d)]
        fig.legend(handles=handles, loc="outside lower center", ncols=d)
    return fig


@plotting.style()
def figure_boundary(result: Boundary) -> Figure:
    """The collapse boundary of the algorithm against the flow's critical scale."""
    fig, ax = plotting.subplots(size=(5.6, 3.1))
    ax.errorbar(
        result.lr,
        result.found,
        yerr=result.resolution / 2,
        fmt="o",
        color=COLOR["l2-SAM"],
        capsize=3,
        label="discrete SAM",
    )
    ax.axhline(1, **THEORY, label="flow")
    slope = (result.found * result.lr).sum() / (result.lr**2).sum() - result.lr.sum() / (result.lr**2).sum()
    x = np.linspace(0, result.lr.max() * 1.05, 20)
    ax.plot(x, 1 + slope * x, color=COLOR["l2-SAM"], lw=1, alpha=0.6, label="line through (0, 1)")
    ax.set(
        xlabel="step size η",
        ylabel=r"collapse boundary / $\alpha_c$",
        xlim=(0, None),
        title=r"The boundary of discrete SAM tends to the flow's",
    )
    ax.legend()
    return fig


@plotting.style()
def figure_digits(result: Digits) -> Figure:
    """Effective strength against training loss."""
    count = min(len(result.pairs), 4)
    fig, axes = plotting.subplots(1, count, size=(3.2 * count, 3.4), sharey=True, squeeze=False)
    fades = np.linspace(0.4, 1.0, len(result.fractions))
    for p, ax in enumerate(axes[0]):
        for method, name in ((0, "GD"), (1, "l2-SAM")):
            for f, fade in enumerate(fades):
                ax.semilogx(
                    result.loss[:, p, method, f],
                    result.effective[:, p, method, f],
                    color=COLOR[name],
                    alpha=fade,
                    lw=1.6,
                )
        ax.axvline(result.target, color="black", lw=0.8, ls=":")
        ax.axhline(1, color="black", lw=0.8)
        a, b = result.pairs[p]
        ax.set(xlabel="training loss (falls to the right)", title=f"{a} against {b}", xlim=(0.72, 0.012))
        ax.set_xticks([0.5, 0.2, 0.1, 0.05, 0.02], ["0.5", "0.2", "0.1", "0.05", "0.02"])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("strength of the pixels used\n(relative to the start)")
    fig.suptitle("On digits, SAM dips to weak pixels first; GD goes straight to strong ones", **TITLE)
    handles = [
        Line2D([], [], color=COLOR[name], alpha=alpha, label=f"{LABEL[name]}, {size} start")
        for name in ("GD", "l2-SAM")
        for size, alpha in (("largest", 1.0), ("smallest", 0.4))
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    return fig


@plotting.style()
def figure_pixels(result: Digits) -> Figure:
    """The predictor as an 8x8 map at equal loss."""
    count = min(len(result.pairs), 3)
    fig, axes = plotting.subplots(count, 4, size=(8.0, 2.0 * count + 0.3), squeeze=False)
    smallest, largest = 0, len(result.fractions) - 1
    for p in range(count):
        panels = (
            (result.strength[p], "pixel strength |mean|"),
            (result.maps[p, 0, smallest], "GD, small start"),
            (result.maps[p, 1, smallest], "ℓ₂-SAM, small start"),
            (result.maps[p, 1, largest], "ℓ₂-SAM, larger start"),
        )
        for ax, (image, title) in zip(axes[p], panels, strict=True):
            ax.imshow(image.reshape(8, 8), cmap="magma")
            ax.set(xticks=[], yticks=[], title=title if p == 0 else "")
            ax.grid(False)
        a, b = result.pairs[p]
        axes[p, 0].set_ylabel(f"{a} against {b}")
    fig.suptitle(f"At loss {result.target:g}, SAM from a small start uses weak pixels", **TITLE)
    return fig


@plotting.style()
def figure_plane_data(result: Plane) -> Figure:
    """Share of the larger coordinate against steps on Gaussian examples."""
    fig, ax = plotting.subplots(size=(6.4, 3.4))
    fades = np.linspace(0.35, 1, len(result.scales))
    middle = np.median(result.share, axis=1)
    for k, (scale, fade) in enumerate(zip(result.scales, fades, strict=True)):
        ax.semilogx(
            result.steps, middle[:, 1, k], color=COLOR["l2-SAM"], alpha=fade, label=f"ℓ₂-SAM, α = {scale:.2f} ρ"
        )
    ax.semilogx(result.steps, middle[:, 0, 0], color=COLOR["GD"], label=f"GD, α = {result.scales[0]:.2f} ρ")
    ax.axhline(0.5, color="black", lw=0.8, ls=":")
    ax.set(
        xlabel="step",
        ylabel="share of β₂ (median of data sets)",
        ylim=(0, 1),
        title="Many examples around (1, 2): β₁ first, β₂ last",
    )
    ax.legend()
    return fig
