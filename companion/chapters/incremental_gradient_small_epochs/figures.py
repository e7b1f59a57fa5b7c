"""The chapter's figures, each drawn from an experiment's result."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from companion import plotting
from companion.chapters.incremental_gradient_small_epochs.closed_forms import (
    DRIFTING_CONSTANT,
    IDENTICAL_CONSTANT,
    MANY_EPOCHS_CONSTANT,
    factor_over_sgd,
)
from companion.chapters.incremental_gradient_small_epochs.experiments.few_epochs import (
    BoundsMap,
    PhaseMap,
    Polygon,
    Sizes,
    StepDilemma,
    WithinEpoch,
)
from companion.chapters.incremental_gradient_small_epochs.experiments.many_epochs import (
    ORDERS,
    STEPS,
    ManyEpochs,
    UpperBounds,
)
from companion.chapters.incremental_gradient_small_epochs.experiments.practice import (
    HERDED_ORDERS,
    CommonStart,
    Digits,
    Herding,
)
from companion.chapters.incremental_gradient_small_epochs.instances import KINDS
from companion.plotting import PALETTE, THEORY

COLOURS = {
    "IGD": PALETTE["red"],
    "SGD": PALETTE["grey"],
    "RR": PALETTE["blue"],
    "alternating": PALETTE["green"],
}
LABEL = {
    "IGD": "IGD",
    "SGD": "SGD with replacement",
    "alternating": "IGD, alternating order",
    "RR": "random reshuffling",
}
LINE = {"IGD": "o-", "SGD": "s-", "alternating": "v-", "RR": "^-"}
ORDER = {"herded": COLOURS["alternating"], "one random order": PALETTE["purple"], "sorted": COLOURS["IGD"]}
MARK = {"color": PALETTE["grey"], "linewidth": 0.9, "linestyle": ":"}
SMALL = 9.6  # points; the smallest text that can be read on the page


def _powers_of_two(ax: Axes, epochs: np.ndarray) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xlabel("epochs $K$")
    if len(epochs) and epochs.max() / epochs.min() > 2**6:
        ax.xaxis.set_major_locator(LogLocator(base=4))


def _readable_decades(ax: Axes, values: np.ndarray) -> None:
    """Thin out the decades of an axis that spans very many."""
    values = values[np.isfinite(values) & (values > 0)]
    if len(values):
        decades = np.log10(values.max() / values.min())
        ax.yaxis.set_major_locator(LogLocator(base=10.0 ** max(1, int(np.ceil(decades / 6)))))
        ax.yaxis.set_minor_formatter(NullFormatter())


def _three_panels(height: float) -> tuple[Figure, list[Axes], Axes]:
    """Three panels, two above, and the fourth place for the legend."""
    fig, grid = plotting.subplots(2, 2, size=(plotting.WIDTH, height))
    grid[1, 1].axis("off")
    return fig, [grid[0, 0], grid[0, 1], grid[1, 0]], grid[1, 1]


def _legend_at(place: Axes, source: Axes) -> None:
    place.legend(*source.get_legend_handles_labels(), loc="center left")


@plotting.figure(
    alt="Three panels: best final gap over the number of epochs for components with one Hessian, strongly convex "
    "components, and half-concave components. IGD's curve is parallel to the dashed lower bound in each, far above SGD "
    "and random reshuffling for few epochs; the alternating order is lowest."
)
def glance(result: BoundsMap) -> Figure:
    """Tuned final gaps over the number of epochs, one panel for each kind of components, with the lower bounds."""
    fig, axes, corner = _three_panels(6.2)
    unit = result.mu / result.G**2
    titles = ("One Hessian: IGD loses almost n", "Strongly convex: worse",
              "Half concave: exponential")  # fmt: skip
    few = result.epochs < result.kappa
    for row, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        # Past K = kappa another instance is the hardest of its kind: no line joins the two.
        for k, piece in enumerate((few, ~few)):
            for name, label in LABEL.items():
                ax.plot(result.epochs[piece], result.of(name)[row, piece] * unit, LINE[name], color=COLOURS[name],
                        zorder=3 if name == "IGD" else 2, label=label if k == 0 else None)  # fmt: skip
            known = piece & np.isfinite(result.level[row])
            label = "lower bound, without its constant" if k == 0 else None
            ax.plot(result.epochs[known], result.level[row][known] * unit, **THEORY, label=label)
        ax.axvline(result.kappa, **MARK, label="$K=\\kappa$")
        ax.set_yscale("log")
        _powers_of_two(ax, result.epochs)
        drawn = [result.of(name)[row] for name in LABEL] + [result.level[row]]
        _readable_decades(ax, np.concatenate(drawn) * unit)
        ax.set_title(title)
        ax.set_ylabel("best gap in $G^2/\\mu$")
    _legend_at(corner, axes[0])
    return fig


@plotting.figure(
    alt="Final gap over the step size on log axes. The curves of SGD and of the alternating order dip into deep "
    "valleys; IGD's valley is shallow. Dashed leading-order theory lies on IGD's and SGD's curves."
)
def dilemma(result: StepDilemma) -> Figure:
    """The final gap over the step on identical Hessians, with the leading-order curves."""
    fig, ax = plotting.subplots(size=(plotting.WIDTH, 4.3))
    c, K, n = result.c, result.K, result.n
    curves = (
        ("IGD", result.igd, 0.5 * (np.tanh(c / 4) ** 2 * (1 - np.exp(-c * K)) ** 2 + np.exp(-2 * c))),
        ("SGD", result.sgd, c / (4 * n) + 0.5 * np.exp(-2 * c)),
        ("alternating", result.alternating, None),
    )
    for name, gaps, theory in curves:
        ax.plot(c, gaps, color=COLOURS[name], label=LABEL[name], linewidth=2.4)
        best = int(np.argmin(gaps))
        ax.plot(c[best], gaps[best], "o", color=COLOURS[name])
        if theory is not None:
            ax.plot(c, theory, **THEORY, label="theory, leading order" if name == "IGD" else None)
    low = min(gaps.min() for _, gaps, _ in curves)
    ax.set(xscale="log", yscale="log", ylim=(low / 5, 5), xlim=(c[0], c[-1]))
    for x, text in ((result.largest, "$\\eta=2/L$"), (1, "$\\eta=1/(\\mu nK)$")):
        ax.axvline(x, **MARK)
        ax.annotate(text, (x, 0.03), (-4, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
                    ha="right", fontsize=SMALL, color="#555555")  # fmt: skip
    ax.set(
        xlabel="step  $c=\\eta\\mu nK$",
        ylabel="final gap in $G^2/(\\mu K)$",
        title=f"No step suits IGD: too small to arrive, or too large to stay (K = {K})",
    )
    plotting.legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Tuned gap over SGD's for several numbers of components. IGD in the blocked order rises almost like n along "
    "the dashed prediction; the alternating order lies below one and falls."
)
def sizes(result: Sizes) -> Figure:
    """IGD's gap over SGD's for several numbers of components."""
    fig, ax = plotting.subplots(size=(plotting.WIDTH, 3.6))
    n = np.geomspace(result.n.min(), result.n.max(), 100)
    ax.plot(result.n, result.igd / result.sgd, "o-", color=COLOURS["IGD"], label=LABEL["IGD"])
    ax.plot(result.n, result.alternating / result.sgd, "v-", color=COLOURS["alternating"], label=LABEL["alternating"])
    ax.plot(n, factor_over_sgd(n), **THEORY, label=f"${IDENTICAL_CONSTANT:.4f}\\cdot 8n/(1+\\ln 4n)$")
    ax.axhline(1, color=COLOURS["SGD"], linewidth=1.2, label=LABEL["SGD"])
    ax.set(xscale="log", yscale="log", xlabel="components $n$", ylabel="best gap over SGD's best gap",
           title=f"The blocked order costs a factor of almost n (K = {result.K})")  # fmt: skip
    plotting.legend_below(fig, ncols=4)
    return fig


@plotting.figure(
    alt="Left: the iterates of IGD's last epoch form a circle around the optimum, on the dashed radius of the closed "
    "form, inside the larger circle of the components' minimizers. Right: the orbit of a random order, enlarged, is a "
    "small cloud around the optimum."
)
def polygon(result: Polygon) -> Figure:
    """Where the iterates of a late pass lie, in the polygon's own order and in a random one."""
    fig, axes = plotting.subplots(1, 2, size=(plotting.WIDTH, 4.7))
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    corners = result.minimizers[:: max(1, result.n // 32)]
    own, shuffled = result.last[0], result.orbit[1]
    axes[0].plot(*corners.T, "s", color=PALETTE["grey"], markersize=3, label="minimizers of the components")
    axes[0].plot(*own.T, "o", color=COLOURS["IGD"], markersize=2.5, label="IGD's iterates in the last epoch")
    axes[0].plot(*circle * result.radius, **THEORY, label="radius in closed form")
    axes[1].plot(*shuffled.T, "-o", color=ORDER["one random order"], markersize=2.5, linewidth=0.4,
                 label="periodic orbit of one random order")  # fmt: skip
    farthest = np.linalg.norm(shuffled, axis=1).max()
    for ax, half in zip(axes, (1.15 * max(1, result.radius), 1.2 * farthest), strict=True):
        ax.plot(0, 0, "k+", markersize=11, label="optimum" if ax is axes[0] else None)
        ax.set(box_aspect=1, xlim=(-half, half), ylim=(-half, half), xlabel="$x_1$ in $G/\\mu$")
        ax.xaxis.set_major_locator(MaxNLocator(5))
    axes[0].set(ylabel="$x_2$ in $G/\\mu$", title=f"IGD settles on a circle (K = {result.K})")
    axes[1].set_title(f"A random order: {result.radius / farthest:.2g} times closer")
    plotting.legend_below(fig, ncols=2)
    return fig


@plotting.figure(
    alt="Distance of one coordinate from the optimum within one epoch, logarithmic. IGD's curve, on the dashed closed "
    "form, falls in the convex half and grows exponentially in the concave half; three runs of random reshuffling "
    "fluctuate at a low level."
)
def within_epoch(result: WithinEpoch) -> Figure:
    """The noisy coordinate through one pass of the half-concave instance."""
    fig, ax = plotting.subplots(size=(plotting.WIDTH, 4.2))
    i = np.arange(result.n + 1)
    ax.axvspan(result.n / 2, result.n, color="#F3F3F3", zorder=0)
    for k, path in enumerate(result.rr):
        ax.plot(i, np.abs(path), color=COLOURS["RR"], linewidth=0.8, alpha=0.8,
                label="random reshuffling, three runs" if k == 0 else None)  # fmt: skip
    ax.plot(i, np.abs(result.igd), color=COLOURS["IGD"], linewidth=2.4, label=LABEL["IGD"])
    ax.plot(i, np.abs(result.predicted), **THEORY, label="closed form")
    top = np.abs(result.igd).max()
    ax.set(yscale="log", xlim=(0, result.n), ylim=(1e-3 * min(1, top), 30 * top), xlabel="step $i$ within an epoch",
           ylabel="$|y|$ in $G/L$",
           title=f"The convex half contracts, the concave half expands what is left (K = {result.K})")  # fmt: skip
    for x, text in ((0.25, "convex half in IGD's order"), (0.75, "concave half")):
        ax.annotate(text, (x, 0.96), xycoords="axes fraction", ha="center", va="top", fontsize=SMALL)
    plotting.legend_below(fig)
    return fig


@plotting.figure(
    alt="Tuned gap on instances with concave components over that on the strongly convex one, against the number of "
    "epochs up to half the condition number. The half-concave instance falls below one, the drifting instance stays "
    "well above it."
)
def throughout(result: BoundsMap) -> Figure:
    """Two instances with concave components against the strongly convex one."""
    fig, ax = plotting.subplots(size=(plotting.WIDTH, 3.8))
    small = result.epochs <= result.kappa / 2
    convex = result.of("IGD")[1, small]
    drawn = []
    for values, label, colour, marker in (
        (result.of("IGD")[2], "half of the components concave", COLOURS["IGD"], "o-"),
        (result.drifting, "drifting instance", PALETTE["purple"], "D-"),
    ):
        drawn.append(values[small] / convex)
        ax.plot(result.epochs[small], drawn[-1], marker, color=colour, label=label)
    ax.axhline(1, color="black", linewidth=1, label="strongly convex components")
    ax.axhline(0.2 * result.kappa**0.5, **THEORY, label="$\\sqrt{\\kappa}/5$")
    _powers_of_two(ax, result.epochs[small])
    ax.set(yscale="log", ylabel="gap over strongly convex gap",
           title="Where one concave instance has become easy, another one is hard")  # fmt: skip
    _readable_decades(ax, np.concatenate(drawn))
    plotting.legend_below(fig, ncols=2)
    return fig


@plotting.figure(
    alt="Colour map of the logarithm of IGD's over SGD's tuned gap over epochs and condition number. A broad band of "
    "one colour between the lines K = 4 kappa / n and K = kappa, falling off to the right, where IGD wins in the end."
)
def phase_map(result: PhaseMap) -> Figure:
    """IGD over SGD for condition numbers and epochs."""
    fig, ax = plotting.subplots(size=(plotting.WIDTH, 4.2))
    mesh = ax.pcolormesh(np.log2(result.epochs), np.log2(result.kappas), result.log_ratio, shading="nearest")
    bar = fig.colorbar(mesh, ax=ax)
    bar.set_label("$\\log_{10}$ (IGD's best gap / SGD's)")
    ax.grid(visible=False)
    line = np.log2(result.kappas)
    ax.plot(line, line, color="white", linestyle="--", label="$K=\\kappa$")
    limit = 4 * result.kappas / result.n
    shown = limit >= result.epochs.min() / 2**0.5
    ax.plot(np.log2(limit[shown]), line[shown], color="white", linestyle=":", label="$K=4\\kappa/n$")
    ax.legend(loc="lower right", labelcolor="white")
    ticks = np.arange(0, 13, 2)
    ax.set(xticks=ticks, xticklabels=[f"$2^{{{k}}}$" for k in ticks], yticks=np.arange(3, 13, 3),
           yticklabels=[f"$2^{{{k}}}$" for k in range(3, 13, 3)], xlabel="epochs $K$",
           ylabel="condition number $\\kappa$", xlim=(-0.5, 12.5), ylim=(2.5, 12.5),
           title=f"From 4κ/n to κ epochs IGD loses one and the same factor (n = {result.n})")  # fmt: skip
    return fig


@plotting.figure(
    alt="Left: best gap over the bound, flat in K and on the dashed constants for both instances. Right: the ratio of "
    "the two gaps grows like kappa if the concave parts let a pass drift, and not if they lie in two halves."
)
def many_epochs(result: ManyEpochs) -> Figure:
    """The many-epochs instances against their bounds."""
    fig, axes = plotting.subplots(1, 2, size=(plotting.WIDTH, 4.6))
    markers, colours = "osD^vP*X", {"convex": PALETTE["orange"], "concave": PALETTE["purple"]}
    for k, kappa in enumerate(result.kappas):
        for name, colour in colours.items():
            axes[0].plot(result.multiples, getattr(result, name)[k], markers[k] + "-", color=colour, fillstyle="none")
        axes[0].plot([], [], markers[k], color="black", fillstyle="none", label=f"κ = {kappa:g}")
    for name, constant, text in (
        ("convex", MANY_EPOCHS_CONSTANT, "convex: $LG^2/(\\mu K)^2$"),
        ("concave", DRIFTING_CONSTANT, "partly concave: $L^2G^2/(\\mu^3K^2)$"),
    ):
        axes[0].axhline(constant, **THEORY)
        axes[0].annotate(text, (0.98, constant + 0.0045), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                         color=colours[name], fontsize=SMALL)  # fmt: skip
    top = 1.2 * max(MANY_EPOCHS_CONSTANT, float(np.max([result.convex, result.concave])))
    axes[0].set(xscale="log", xlabel="epochs $K$ in $\\kappa$", ylabel="best gap over the bound", ylim=(0, top),
                title="Both bounds are met for K ≥ κ")  # fmt: skip
    axes[0].set_xticks(result.multiples, [str(m) for m in result.multiples])
    axes[0].legend(loc="lower left")
    for label, ratio, colour in (
        ("drifting parts", result.ratio, colours["concave"]),
        ("in two halves", result.ratio_halves, PALETTE["grey"]),
    ):
        for j in range(len(result.multiples)):
            axes[1].plot(result.kappas, ratio[:, j], markers[j] + "-", color=colour, label=label if j == 0 else None)
    expected = DRIFTING_CONSTANT / MANY_EPOCHS_CONSTANT * (result.kappas + 1) ** 2 / result.kappas
    axes[1].plot(result.kappas, expected, **THEORY, label="theory, $\\propto\\kappa(1+1/\\kappa)^2$")
    axes[1].set(xscale="log", yscale="log", xlabel="condition number $\\kappa$", ylabel="concave gap over convex gap",
                title="Concave parts cost a factor κ")  # fmt: skip
    axes[1].set_xticks(result.kappas, [f"{kappa:g}" for kappa in result.kappas])
    for ax in axes:
        ax.minorticks_off()
    axes[1].legend(loc="center right", bbox_to_anchor=(1, 0.4))
    return fig


@plotting.figure(
    alt="Gaps over the upper bounds for random problems of four kinds in random and sorted orders, all below one, with "
    "the lower-bound instances as stars just below; the drifting instance held against the convex bound crosses one as "
    "kappa grows. Below, the median over sorted orders is flat in K at the theory's step and rises at a fixed one."
)
def upper_bounds(result: UpperBounds) -> Figure:
    """Random problems and the hard instances against the upper bounds, and how the share of the bound goes with K."""
    fig = plotting.blank((plotting.WIDTH, 8.0))
    ax, lower = fig.subplots(2, 1, height_ratios=[1.5, 1])
    step = STEPS.index("theory")
    concave = result.concave / result.concave_kappas[:, None, None]
    groups = (
        ("1-D, one\ncurvature, few", result.line, None),
        ("strongly\nconvex, few", result.few, result.few_polygon),
        ("convex,\nmany", result.convex[step, ..., 0], result.hard_convex),
        ("concave,\nmany", concave[step, ..., 0], result.hard_concave),
    )
    colours = {"random": PALETTE["purple"], "sorted": COLOURS["IGD"]}
    for k, (_, values, hard) in enumerate(groups):
        for j, name in enumerate(ORDERS):
            spread = (np.arange(len(values)) / max(1, len(values) - 1) - 0.5) * 0.22
            ax.plot(k - 0.16 + 0.32 * j + spread, values[:, j], ".", color=colours[name], markersize=4,
                    label=f"random problems, {name} order" if k == 0 else None)  # fmt: skip
        if hard is not None and len(hard):
            ax.plot(k, hard.max(), "*", color="black", markersize=11, label="lower-bound instance" if k == 3 else None)
    last = len(groups)
    ax.plot(np.full(4, last), result.hard_mixed, "X", color=PALETTE["orange"], markersize=8)
    for value, kappa in zip(result.hard_mixed, result.drifting_kappas, strict=True):
        ax.annotate(f"κ = {kappa:g}", (last, value), (8, 0), textcoords="offset points", va="center", fontsize=SMALL)
    ax.axhline(1, **THEORY, label="the bound, constant 1")
    ax.set(yscale="log", xticks=range(last + 1), xlim=(-0.5, last + 0.8), ylabel="gap over upper bound",
           title="Every order stays below its bound; concave parts cross the convex one")  # fmt: skip
    ax.set_xticklabels([name for name, _, _ in groups] + ["drifting,\nconvex bound"])
    _readable_decades(ax, np.concatenate([values.ravel() for _, values, _ in groups]))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    tidy = ORDERS.index("sorted")
    for values, kind, colour in ((result.convex, "convex", PALETTE["orange"]), (concave, "concave", PALETTE["purple"])):
        for name, style in zip(STEPS, ("o-", "x:"), strict=True):
            words = {"theory": "step $\\log(K^2)/(\\mu nK)$", "fixed": "step $1/(nL)$"}[name]
            lower.plot(result.multiples, np.median(values[STEPS.index(name), :, tidy], axis=0), style, color=colour,
                       label=f"{kind}, {words}")  # fmt: skip
    lower.set(xscale="log", yscale="log", xlabel="epochs $K$ in $\\kappa$", ylabel="median, sorted orders",
              title="At the theory's step the gap falls as its bound does")  # fmt: skip
    lower.set_xticks(result.multiples, [str(m) for m in result.multiples])
    lower.minorticks_off()
    lower.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    return fig


@plotting.figure(
    alt="Best final gap over the initial gap for the three kinds of components from one common start. IGD makes almost "
    "no progress for few epochs on strongly convex and half-concave components; SGD and random reshuffling are orders "
    "of magnitude lower."
)
def common_start(result: CommonStart) -> Figure:
    """Tuned gaps from one common start."""
    fig, axes, corner = _three_panels(5.6)
    for row, (ax, title) in enumerate(zip(axes, KINDS, strict=True)):
        for name, values in (("IGD", result.igd), ("SGD", result.sgd), ("RR", result.rr)):
            ax.plot(result.epochs, values[row], LINE[name], color=COLOURS[name], label=LABEL[name])
        ax.axvline(result.kappa, **MARK, label="$K=\\kappa$")
        ax.set_yscale("log")
        _powers_of_two(ax, result.epochs)
        ax.set_title({2: "Half concave"}.get(row, title[0].upper() + title[1:]))
        ax.set_ylabel("best gap over initial gap")
    bottom, top = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(bottom, top)
    _legend_at(corner, axes[0])
    plotting.headline(fig, "From one common start the exponential means: almost no progress")
    return fig


@plotting.figure(
    alt="Tuned gap over SGD's against the herding constant for random problems with different Hessians: herded orders "
    "far below one, random orders below one, sorted orders above it."
)
def herding(result: Herding) -> Figure:
    """Orders against SGD: partial sums and gaps on random problems."""
    fig, ax = plotting.subplots(size=(plotting.WIDTH, 3.9))
    for k, name in enumerate(HERDED_ORDERS):
        ax.plot(result.constants[:, k], result.ratios[:, k], "o", color=ORDER[name], label=name, alpha=0.8)
    ax.axhline(1, color=COLOURS["SGD"], linewidth=1.2, label=LABEL["SGD"])
    ax.set(xscale="log", yscale="log", xlabel="herding constant $H$: longest partial sum over $G$",
           ylabel="best gap over SGD's best gap",
           title=f"Short partial sums make small gaps (random problems, K = {result.K})")  # fmt: skip
    ax.legend(loc="lower right")
    return fig


@plotting.figure(
    alt="Best gap over the initial gap after each epoch of logistic regression on digits: sorted by class is slowest "
    "by far, with replacement and reshuffled are close to each other, herded is lowest."
)
def digits(result: Digits) -> Figure:
    """Logistic regression on digits in four orders."""
    fig, ax = plotting.subplots(size=(plotting.WIDTH, 4.2))
    colours = (COLOURS["IGD"], COLOURS["alternating"], COLOURS["RR"], COLOURS["SGD"])
    labels = ("IGD, sorted by class", "IGD, herded", LABEL["RR"], LABEL["SGD"])
    for label, gaps, colour, style in zip(labels, result.gaps, colours, ("o-", "v-", "^-", "s-"), strict=True):
        ax.plot(result.epochs, gaps, style, color=colour, label=label, markersize=3.5)
    ax.set(yscale="log", xlabel="epochs $K$", ylabel="best gap over initial gap",
           title=f"Digits sorted by class: the order decides (κ ≤ {result.kappa:.0f}, n = {result.n})")  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plotting.legend_below(fig, ncols=4)
    return fig
