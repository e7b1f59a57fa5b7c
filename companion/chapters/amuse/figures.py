"""Figures of the chapter: from an experiment's result to a matplotlib figure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from companion import plotting
from companion.chapters.amuse.experiments.averaging import Averages, Walls
from companion.chapters.amuse.experiments.races import Images, Language
from companion.chapters.amuse.experiments.valleys import Networks, Rivers
from companion.plotting import PALETTE, THEORY

COLOURS = {
    "Muon": PALETTE["blue"],
    "Muon, cosine": PALETTE["sky"],
    "AMUSE": PALETTE["purple"],
    "fixed coefficient": PALETTE["green"],
    "Schedule-Free AdamW": PALETTE["red"],
    "AdamW": PALETTE["orange"],
    "Adam": PALETTE["orange"],
    "SGD": PALETTE["grey"],
}
MARKS = {"Muon": "o", "AMUSE": "D", "fixed coefficient": "^", "Adam": "s", "SGD": "v", "Muon, slow": "o"}
SERIES = [PALETTE[name] for name in ("green", "sky", "purple", "red", "orange")]
RACERS = ("Muon", "Muon, cosine", "AMUSE", "Schedule-Free AdamW", "AdamW")


def _best(result: Language | Images, name: str, values: np.ndarray) -> int:
    """The run of a method whose values are least over the last three quarters."""
    rows = result.entrants.of(name)
    settled = values[result.t > result.t[-1] / 4].mean(0)
    return rows[int(settled[rows].argmin())]


def _ratelabel(result: Language | Images, name: str, row: int) -> str:
    return f"{name}, {result.entrants.lr[row]:g}"


@plotting.figure(
    alt="Left: the last steps of two networks in the plane of the leading eigenvector and the way along the bulk. "
    "Muon's path zigzags from side to side, AMUSE's is nearly straight. Right: how much higher the loss on text is "
    "than AMUSE's over the steps: Muon at a constant rate, Schedule-Free AdamW and AdamW lie mostly above zero from "
    "the second quarter on, and Muon with a cosine comes down towards zero at the end."
)
def glance(network: Networks, language: Language) -> Figure:
    """The zigzag, and the race."""
    fig, (left, right) = plotting.subplots(1, 2, size=(plotting.WIDTH, 3.7), width_ratios=(1, 1.35))
    for name in ("Muon", "AMUSE"):
        across, ahead = network.trace[:, network.of(name)].T
        left.plot(ahead, across - across.mean(), "-", color=COLOURS[name], lw=1.2, label=name)
    left.set(xlabel="along the bulk", ylabel="along the leading eigenvector", title="Across a valley")
    left.set_ylim(None, 1.45 * max(left.get_ylim()[1], 1e-6))
    left.legend(loc="upper left", ncols=2)
    own = language.loss[:, _best(language, "AMUSE", language.loss)]
    for name in ("AdamW", "Schedule-Free AdamW", "Muon", "Muon, cosine"):
        over = language.loss[:, language.entrants.of(name)].min(1) - own
        right.plot(language.t, over, "-", color=COLOURS[name], label=name)
    right.axhline(0, color=COLOURS["AMUSE"], lw=2, label="AMUSE")
    right.set(xlabel="step", ylabel="loss over AMUSE's, nats", title="Text: AMUSE stays ahead")
    plotting.legend_below(fig, right, ncols=3)
    return fig


@plotting.figure(
    alt="Left: interpolation coefficients over the steps, flat for exponent zero and rising towards one the faster, "
    "the larger the exponent. Right: the averaging window over the steps on logarithmic axes, straight lines of slope "
    "one minus the exponent, dashed, and the mean age of what is averaged beside them."
)
def window(result: Averages) -> Figure:
    """Coefficient and window."""
    fig, (left, right) = plotting.subplots(1, 2, size=(plotting.WIDTH, 3.5))
    for k, rho in enumerate(result.rho):
        colour = SERIES[k % len(SERIES)]
        left.semilogx(result.t, result.beta[:, k], color=colour, label=f"$\\rho={rho:g}$")
        right.loglog(result.t, result.age[:, k], color=colour)
        right.loglog(result.t, result.window[:, k], **THEORY)
    left.set(xlabel="step $t$", ylabel="coefficient $\\beta_t$", title="It rises towards one", ylim=(0.5, 1.02))
    right.set(xlabel="step $t$", ylabel="steps", title="The window grows like $t^{1-\\rho}$")
    right.plot([], [], color="black", label="mean age")
    right.plot([], [], label="window $1/a_t$", **THEORY)
    plotting.legend_below(fig, ncols=3)
    return fig


@plotting.figure(
    alt="Amplitude of the motion between two walls over the steps on logarithmic axes. Muon's and that of a fixed "
    "coefficient are level; with a rising coefficient it falls along dashed lines of slope minus rho."
)
def walls(result: Walls) -> Figure:
    """Amplitudes with the slopes of the proposition."""
    fig, ax = plotting.subplots(size=(6.4, 3.7))
    for k, rho in enumerate(result.rho):
        muon = np.isnan(rho)
        colour = COLOURS["Muon"] if muon else SERIES[(k - 1) % len(SERIES)]
        ax.loglog(result.t, result.amplitude[:, k], "o-", ms=3, color=colour,
                  label="Muon" if muon else f"$\\rho={rho:g}$")  # fmt: skip
        if not muon:
            line = result.amplitude[-1, k] * (result.t / result.t[-1]) ** -rho
            ax.loglog(result.t, line, **THEORY)
    ax.plot([], [], label="$t^{-\\rho}$", **THEORY)
    ax.set(xlabel="step $t$", ylabel="rms of $Y_t$", title="Coming to rest at a constant rate")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def _bars(ax: Axes, names: list[str], momentum: np.ndarray, orthogonal: np.ndarray) -> None:
    places = np.arange(len(names))
    ax.barh(places + 0.2, momentum, 0.38, color=PALETTE["grey"], label="momentum")
    ax.barh(places - 0.2, orthogonal, 0.38, color=PALETTE["blue"], label="orthogonalized")
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)


@plotting.figure(
    alt="Bars of the share of an update that lies in the dominant directions, for momentum and for orthogonalized "
    "momentum of each method. In the river valley and in the network the orthogonalized bars are much shorter."
)
def shares(river: Rivers, network: Networks) -> Figure:
    """Dominant shares before and after orthogonalizing."""
    fig, axes = plotting.subplots(1, 2, size=(plotting.WIDTH, 3.6))
    for ax, result, title in ((axes[0], river, "River valley"), (axes[1], network, "Network on digits")):
        names = [name.replace("fixed coefficient", "fixed") for name in result.names]
        _bars(ax, names, result.momentum_share.mean(1), result.orthogonal_share.mean(1))
        ax.set(xlabel="share in dominant directions", title=title)
    plotting.legend_below(fig, axes[0])
    return fig


@plotting.figure(
    alt="Two panels over the steps on logarithmic axes. Left: excess loss in the steep directions; level for Muon and "
    "a fixed coefficient, falling for AMUSE, and high until late for a large fixed coefficient. Right: loss left in "
    "the flat directions; it falls first for Muon, then for the fixed coefficient 0.6 and AMUSE, then for 0.95."
)
def river(result: Rivers) -> Figure:
    """Across and along the valley, at the gradient point."""
    fig, (left, right) = plotting.subplots(1, 2, size=(plotting.WIDTH, 3.8))
    lines = {
        "Muon, fast": ("Muon", "-", "Muon"),
        "AMUSE": ("AMUSE", "-", "AMUSE"),
        "fixed coefficient": ("fixed coefficient", "-", "its first coefficient, fixed"),
        "fixed coefficient, 0.95": ("fixed coefficient", ":", "0.95, fixed"),
        "SGD": ("SGD", "-", "SGD"),
    }
    seen = result.t >= 30
    for name, (colour, dashes, label) in lines.items():
        k, style = result.of(name), {"color": COLOURS[colour], "linestyle": dashes, "label": label, "lw": 1.4}
        left.loglog(result.t[seen], result.steep[seen, k].mean(1), **style)
        right.loglog(result.t[seen], result.flat[seen, k].mean(1), **style)
    left.set(xlabel="step", ylabel="loss", title="Across: excess loss")
    right.set(xlabel="step", title="Along: loss still to go")
    plotting.legend_below(fig, left, ncols=3)
    return fig


@plotting.figure(
    alt="Excess loss in the steep directions late in the run with full noise and with a tenth of it, on a logarithmic "
    "axis. SGD falls a hundredfold, along the dashed line, Muon only about eightfold."
)
def noise(result: Rivers) -> Figure:
    """What is left of the excess when the noise falls to a tenth."""
    fig, ax = plotting.subplots(size=(6.0, 3.5))
    for name in ("Muon", "AMUSE", "Adam", "SGD"):
        k = result.of(name)
        loud, quiet = result.late(result.steep)[k].mean(), result.late(result.quiet)[k]
        ax.semilogy([0, 1], [loud, quiet], f"{MARKS[name]}-", color=COLOURS[name])
        ax.annotate(name, (1.04, quiet), color=COLOURS[name], va="center", fontsize=10)
        if name == "SGD":
            ax.semilogy([0, 1], [loud, loud / 100], label="noise squared", **THEORY)
    ax.set_xticks([0, 1], ["all of the noise", "a tenth of it"])
    ax.set(xlim=(-0.15, 1.35), ylabel="late excess loss", title="Muon keeps more of its motion")
    ax.legend(loc="lower left")
    return fig


@plotting.figure(
    alt="Each network as a point: motion in the dominant directions against the way made in the bulk. Muon far to the "
    "right and high up, SGD high and far to the left, Adam left, AMUSE in the middle and lowest. A slow Muon lies near "
    "the origin on Muon's line."
)
def motion(result: Networks) -> Figure:
    """Across against along, a point a network."""
    fig, ax = plotting.subplots(size=(6.4, 3.9))
    for name, mark in MARKS.items():
        k, muon = result.of(name), name.startswith("Muon")
        colour = COLOURS["Muon" if muon else name]
        ax.plot(result.bulk[k], result.path[k], mark, ms=8, color=colour, label=name,
                markerfacecolor="white" if name == "Muon, slow" else colour)  # fmt: skip
    muon = result.of("Muon")
    slope = result.path[muon].mean() / result.bulk[muon].mean()
    ends = np.array([0, result.bulk[muon].mean()])
    ax.plot(ends, slope * ends, color=COLOURS["Muon"], lw=0.8)
    ax.set(xlabel="way made in the bulk", ylabel="dominant part of a step", xlim=(0, None), ylim=(0, None))
    ax.set_title("AMUSE: far along, little across")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


@plotting.figure(
    alt="Offset along the leading eigenvector over the last steps, for four methods. Muon, the fixed coefficient and "
    "SGD swing from side to side; AMUSE drifts slowly."
)
def zigzag(result: Networks) -> Figure:
    """The same offset against time."""
    fig, axes = plotting.subplots(2, 2, size=(plotting.WIDTH, 4.4), sharex=True, sharey=True)
    for ax, name in zip(axes.flat, ("Muon", "AMUSE", "fixed coefficient", "SGD"), strict=True):
        k = result.of(name)
        across = result.trace[:, k, 0]
        ax.plot(np.arange(len(across)) - len(across) + 1, across - across.mean(), color=COLOURS[name], lw=1.4)
        ax.set_title(f"{name}: coherence {result.coherence[k].mean():.2f}")
    for ax in axes[1]:
        ax.set_xlabel("step before the end")
    for ax in axes[:, 0]:
        ax.set_ylabel("offset")
    return fig


@plotting.figure(
    alt="Loss on text over the first coefficient, in two stretches of the run. With a coefficient that stays fixed it "
    "is high for small ones late, and high for large ones early; with a rising one it is low throughout."
)
def coefficients(result: Language) -> Figure:
    """Fixed and rising coefficients, early and late."""
    fig, axes = plotting.subplots(1, 2, size=(plotting.WIDTH, 3.5))
    share, entrants = result.t / result.t[-1], result.entrants
    stretches = ((0.125, 0.25, "Early: second eighth"), (0.75, 1.0, "Late: last quarter"))
    for ax, (begin, end, title) in zip(axes, stretches, strict=True):
        means = result.loss[(share > begin) & (share <= end)].mean(0)
        for kinds, name, label in (
            (("fixed", "searched"), "fixed coefficient", "fixed"),
            (("rising",), "AMUSE", "rising from there"),
        ):
            rows = sorted((k for kind in kinds for k in entrants.of(kind)), key=lambda k: entrants.beta1[k])
            ax.plot(entrants.beta1[rows], means[rows], f"{MARKS[name]}-", color=COLOURS[name], ms=7, label=label)
        ax.set(xlabel="first coefficient $\\beta_1$", title=title)
    axes[0].set_ylabel("loss, nats")
    plotting.legend_below(fig, axes[0])
    return fig


@plotting.figure(
    alt="Test accuracy over the steps, each method at its best rate. AMUSE is highest from the second quarter on, "
    "close to Schedule-Free AdamW and, at the end, to Muon with a cosine; Muon at a constant rate and AdamW lie below."
)
def images(result: Images) -> Figure:
    """Accuracies along the run."""
    fig, ax = plotting.subplots(size=(plotting.WIDTH, 3.8))
    accuracy = 100 * result.accuracy.mean(2)
    seen = result.t >= result.t[-1] / 8
    for name in RACERS:
        row = _best(result, name, -accuracy)
        ax.plot(result.t[seen], accuracy[seen, row], color=COLOURS[name], label=_ratelabel(result, name, row))
    ax.set(xlabel="step", ylabel="test accuracy, %", title="Images: one run against four")
    ax.legend(loc="lower right")
    return fig
