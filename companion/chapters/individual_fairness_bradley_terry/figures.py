"""The chapter's figures, each drawn from experiments' results."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from companion import plotting
from companion.chapters.individual_fairness_bradley_terry.experiments.metric import (
    CONVEX_DIMS,
    Annotators,
    Convergence,
    Plane,
    Rates,
    Spectral,
)
from companion.chapters.individual_fairness_bradley_terry.experiments.predictors import (
    FEATURES,
    METHODS,
    Diabetes,
    Downstream,
    Transfer,
)
from companion.chapters.individual_fairness_bradley_terry.experiments.tuning import HEADS, Tuning
from companion.chapters.individual_fairness_bradley_terry.learning import STARTS
from companion.plotting import PALETTE, THEORY, band

LABEL = {
    "spectral": "spectral, raw",
    "spectral_rescaled": "spectral, rescaled",
    "random": "random",
    "small_random": "random, small",
    "unconstrained": "no constraint",
    "Euclidean metric": "Euclidean",
    "random metric": "random metric",
    "true metric": "true metric",
    "learned metric": "learned metric",
    "light removed": "light direction removed",
}
COLOURS = {
    "learned metric": PALETTE["blue"],
    "true metric": PALETTE["green"],
    "Euclidean metric": PALETTE["orange"],
    "random metric": PALETTE["purple"],
    "unconstrained": PALETTE["red"],
}
START = {
    "spectral": PALETTE["sky"],
    "spectral_rescaled": COLOURS["learned metric"],
    "random": PALETTE["grey"],
    "small_random": PALETTE["purple"],
}
COLOR = COLOURS | {"light removed": COLOURS["true metric"]}
MIDDLE = 0.8  # share of the metrics inside a band
MARK = dict(zip(METHODS, "os^Dv", strict=True))


def _distances(ax: Axes, runs: Convergence, values: np.ndarray) -> None:
    """Median over metrics of a distance for the four starts, on a logarithmic axis."""
    for k, name in enumerate(STARTS):
        ax.semilogy(np.median(values[:, k], axis=-1), color=START[name], label=LABEL[name])
    ax.set(xlabel="gradient step")


def _error_m(ax: Axes, rates: Rates) -> None:
    names = ("learned metric", "rescaled start", "raw start")
    colors = (COLOURS["learned metric"], PALETTE["green"], PALETTE["sky"])
    for values, name, color in zip(rates.error_m, names, colors, strict=True):
        band(ax, rates.sizes, values, color, name, "o-", within=MIDDLE)
    mean = rates.error_m[0].mean(-1)
    ax.plot(rates.sizes, mean[0] * np.sqrt(rates.sizes[0] / rates.sizes) * 0.75, **THEORY, label="slope −½")
    ax.set(xscale="log", yscale="log", xlabel="answers m", ylabel="error of M, relative")


@plotting.figure(
    alt="Left: distance to the true metric against gradient steps from four starts, all ending on one floor, "
    "the spectral start first. Right: accuracy against the gap between twins; predictors fair for the "
    "learned metric sit on those fair for the true one."
)
def glance(runs: Convergence, task: Downstream) -> Figure:
    """The algorithm's path, and what the learned metric buys."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.6))
    _distances(axes[0], runs, runs.to_truth)
    axes[0].axhline(np.median(runs.floor), **THEORY)
    axes[0].set(ylabel="distance to U*, relative", title="One floor from every start")
    axes[0].legend()
    _frontier(axes[1], task)
    axes[1].set_title("Twins are treated alike")
    return fig


@plotting.figure(
    alt="Three panels with two individuals one above the other. The true metric's unit ball is a vertical "
    "strip that holds both. The strip learned from few answers is tilted or has another width; from many "
    "answers it is nearly the true one."
)
def plane(plane: Plane) -> Figure:
    """Unit balls in the plane around two individuals who differ in the protected coordinate only."""
    fig, axes = plotting.subplots(1, 1 + len(plane.sizes), size=(7.6, 3.1), sharex=True, sharey=True)
    names = ["true metric", *["learned metric"] * len(plane.sizes)]
    titles = ["True metric", *[f"From {m} answers" for m in plane.sizes]]
    for ax, factor, name, title in zip(axes, [plane.truth, *plane.factors], names, titles, strict=True):
        direction = factor[:, 0] / (factor[:, 0] @ factor[:, 0])  # the point at distance one along the factor
        along = np.array([-factor[1, 0], factor[0, 0]]) / np.linalg.norm(factor)
        ends = [sign * direction + np.array([[-9], [9]]) * along for sign in (-1, 1)]
        corners = np.array([ends[0][0], ends[0][1], ends[1][1], ends[1][0]])
        ax.fill(*corners.T, color=COLOR[name], alpha=0.18, lw=0)
        for end in ends:
            ax.plot(*end.T, color=COLOR[name])
        turn = np.linspace(0, 2 * np.pi, 121)
        ax.plot(np.cos(turn), np.sin(turn), color=COLOURS["Euclidean metric"], lw=1.3)
        ax.plot([0, 0], [0, 2.1], ":", color="black", lw=1)
        ax.plot([0, 0], [0, 2.1], "o", color="black", ms=6)
        for height, text in ((0.0, "i"), (2.1, "j")):
            ax.annotate(text, (0.12, height + 0.08), fontsize=11, style="italic")
        ax.set(title=title, xlabel="relevant coordinate", xlim=(-2.6, 2.6), ylim=(-2.6, 2.9), aspect="equal")
    axes[0].set_ylabel("protected coordinate")
    axes[0].annotate("Euclidean\nunit circle", (0.0, -1.62), ha="center", fontsize=9.6, color="#9A6A00")
    return fig


@plotting.figure(
    alt="Measured eigenvalues of the moment matrix lie on their predictions and bend away from the line 6 "
    "lambda; eigenvalues in decreasing order with a gap after the rank; the raw start gets worse with the "
    "spread of the logits, the rescaled one stays close over a wide range."
)
def spectrum(spectral: Spectral) -> Figure:
    """Shrinkage of eigenvalues, the gap, and what rescaling repairs."""
    fig = plotting.blank(size=(7.6, 6.6))
    grid = fig.add_gridspec(2, 2)
    axes = [fig.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1])]
    ax = axes[0]
    ax.loglog(spectral.curve_lam, spectral.curve, **THEORY, label="s(λ), rank 1")
    ax.loglog(spectral.curve_lam, 6 * spectral.curve_lam, ":", color=PALETTE["grey"], label="6λ")
    colors = [PALETTE[name] for name in ("sky", "blue", "green", "orange", "red", "purple", "grey", "black")]
    for n, color in enumerate(colors[: len(spectral.scales)]):
        ax.plot(spectral.lam[n], spectral.predicted[n], "_", color="black", ms=13, mew=1.4)
        ax.plot(spectral.lam[n], spectral.along[n].mean(0), "o", color=color, ms=5)
    ax.plot([], [], "o", color=PALETTE["grey"], label=f"measured, rank {spectral.lam.shape[1]}")
    ax.plot([], [], "_", color="black", ms=10, label="its prediction")
    ax.set(xlabel="eigenvalue λ of M*", ylabel="moment matrix", title="Eigenvalues shrink", ylim=(0.04, 9))
    ax.legend(loc="lower right")
    ax = axes[1]
    index = np.arange(1, spectral.spectrum.shape[-1] + 1)
    for n, color in enumerate(colors[: len(spectral.scales)]):
        ax.plot(index, spectral.spectrum[n].mean(0), "o-", color=color, lw=1, label=f"logits ± {spectral.std[n]:.1f}")
    ax.axvline(spectral.lam.shape[1] + 0.5, **THEORY)
    ax.set(xlabel="index", ylabel="eigenvalue of Ŝ", title="A gap shows the rank")
    ax.legend()
    ax = axes[2]
    for values, name in zip(spectral.start_error, ("spectral", "spectral_rescaled"), strict=True):
        band(ax, spectral.std, values, START[name], LABEL[name], "o-", within=MIDDLE)
    ax.set(xscale="log", xlabel="spread of the logits", ylabel="distance of the start to U*")
    ax.set(title="One number repairs the start", ylim=(0, None))
    ax.legend()
    return fig


@plotting.figure(
    alt="Left: distance to the truth against steps; all four starts end on the same plateau, the spectral "
    "ones after a few steps, the random ones after many. Right: distance to the sample's optimum; "
    "straight lines of the same slope."
)
def convergence(runs: Convergence) -> Figure:
    """Distance to the truth and to the sample's own optimum."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.8))
    _distances(axes[0], runs, runs.to_truth)
    axes[0].axhline(np.median(runs.floor), **THEORY)
    axes[0].set(ylabel="distance to U*, relative", title="To the truth: a plateau")
    axes[0].annotate(
        "error of the sample's optimum", (len(runs.to_truth) * 0.4, np.median(runs.floor) * 0.76), fontsize=9.6
    )
    axes[0].set_ylim(bottom=np.median(runs.floor) * 0.6)
    axes[0].legend()
    _distances(axes[1], runs, runs.to_optimum)
    k = STARTS.index("spectral_rescaled")
    path = np.median(runs.to_optimum[:, k], axis=-1)
    steps = np.arange(10, min(60, len(path) - 1) + 1)
    if (path[steps] > 0).all():
        line = np.poly1d(np.polyfit(steps, np.log(path[steps]), 1))
        axes[1].semilogy(np.arange(len(path)), np.exp(line(np.arange(len(path)))), **THEORY, label="straight line")
    axes[1].set(ylabel="distance to the optimum, relative", title="To the optimum: a line")
    axes[1].set_ylim(bottom=max(1e-10, path.min() / 3))
    axes[1].legend()
    return fig


@plotting.figure(
    alt="Left: the error of the learned metric falls along a dashed line of slope minus one half in the "
    "number of answers; the raw spectral start stays flat, the rescaled one flattens. Right: against the "
    "dimension, the low-rank factor has slope one half and convex regression for the whole matrix slope "
    "one."
)
def rates(rates: Rates) -> Figure:
    """Error against the number of answers and against the dimension."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.8))
    _error_m(axes[0], rates)
    axes[0].set(title="More answers help: slope −½", ylim=(0.5 * rates.error_m[0].min(), 1.3))
    axes[0].legend(loc="lower left")
    ax, few = axes[1], slice(0, CONVEX_DIMS)
    band(ax, rates.dims, rates.error_d[0], COLOURS["learned metric"], "low-rank factor", "o-", within=MIDDLE)
    band(ax, rates.dims[few], rates.error_d[1, few], PALETTE["orange"], "convex, whole matrix", "o-", within=MIDDLE)
    first = rates.error_d[0].mean(-1)[0]
    ax.plot(rates.dims, 0.8 * first * np.sqrt(rates.dims / rates.dims[0]), **THEORY, label="slopes ½ and 1")
    start = 1.12 * np.nanmean(rates.error_d[1, 0])
    ax.plot(rates.dims[few], start * rates.dims[few] / rates.dims[0], **THEORY)
    ax.set(xscale="log", yscale="log", xlabel="dimension d", ylabel="error of M, relative")
    ax.set_title("The dimension costs √d, not d")
    ax.set_xticks(rates.dims, [str(d) for d in rates.dims])
    low, high = ax.get_ylim()
    ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.legend()
    return fig


@plotting.figure(
    alt="Left: the norm of the learned metric over the true one falls steeply with the chance of a turned "
    "answer. Right: the relative error grows as steeply, but after the best rescaling it grows slowly."
)
def annotators(careless: Annotators) -> Figure:
    """What turned answers do to the metric's direction and size."""
    fig, axes = plotting.subplots(1, 2, size=(7.6, 3.3))
    band(
        axes[0], careless.flips, careless.size, PALETTE["orange"], "size of the learned M over M*", "o-", within=MIDDLE
    )
    axes[0].set(
        xlabel="chance that an answer is turned",
        ylabel="ratio of norms",
        title="Carelessness shrinks the metric",
        ylim=(0, 1.15),
    )
    band(axes[1], careless.flips, careless.error, PALETTE["orange"], "error of M", "o-", within=MIDDLE)
    band(
        axes[1],
        careless.flips,
        careless.shape_error,
        COLOURS["learned metric"],
        "after the best rescaling",
        "o-",
        within=MIDDLE,
    )
    axes[1].set(
        xlabel="chance that an answer is turned", ylabel="relative error", title="Its shape survives", ylim=(0, None)
    )
    axes[1].legend()
    return fig


@plotting.figure(
    alt="Slack per unit of distance against the number of answers: the square-root form falls with slope "
    "minus one quarter, the factor form with slope minus one half; the largest excess seen on a pair runs "
    "just below the latter."
)
def slack(transfer: Transfer) -> Figure:
    """The two slacks of the transfer bound, and what the extremal predictor attains."""
    fig, ax = plotting.subplots(size=(7.0, 3.9))
    for name, color, label, power in (
        ("root", PALETTE["orange"], "√‖M̂ − M*‖", -0.25),
        ("factor", COLOURS["learned metric"], "‖Û R − U*‖", -0.5),
    ):
        values = getattr(transfer, name)
        band(ax, transfer.sizes, values, color, label, "o-", within=MIDDLE)
        guide = 1.12 * values.mean(-1)[0] * (transfer.sizes / transfer.sizes[0]) ** power
        ax.plot(transfer.sizes, guide, **THEORY)
    band(ax, transfer.sizes, transfer.largest, PALETTE["grey"], "largest seen on a pair", "o-", within=MIDDLE)
    ax.plot([], [], **THEORY, label="slopes −¼ and −½")
    ax.set(xscale="log", yscale="log", xlabel="answers m", ylabel="slack per unit of ‖x − x′‖")
    ax.set_title("The factor's slack is the useful one")
    ax.legend(loc="lower left")
    ax.set_ylim(bottom=0.3 * transfer.largest.min())
    return fig


@plotting.figure(
    alt="Differences of predictions against true distance for four predictors with the dashed line L d. "
    "Without constraint many pairs lie above it; for the Euclidean metric those at small distance; for "
    "the learned and the true metric none to speak of."
)
def pairs(task: Downstream) -> Figure:
    """Differences of predictions against the true distance."""
    shown = ("unconstrained", "Euclidean metric", "learned metric", "true metric")
    fig, axes = plotting.subplots(2, 2, size=(7.6, 5.6), sharex=True, sharey=True)
    reach = float(task.distance.max())
    for ax, name in zip(axes.flat, shown, strict=True):
        ax.plot(
            task.distance, task.change[METHODS.index(name)], ".", color=COLOR[name], ms=2, alpha=0.5, rasterized=True
        )
        line = np.array([0, 1 / task.lipschitz])
        ax.plot(line, task.lipschitz * line, **THEORY)
        if name == "learned metric":
            lift = task.lipschitz * task.slack * np.quantile(task.length, 0.95)
            ax.fill_between(line, task.lipschitz * line, task.lipschitz * line + lift, color="black", alpha=0.14, lw=0)
        ax.set(title=LABEL[name].capitalize(), xlim=(0, min(reach, 3.2)), ylim=(0, 1))
        ax.label_outer()
    fig.supxlabel("true distance")
    fig.supylabel("|f(x) − f(x′)|")
    return fig


def _frontier(ax: Axes, task: Downstream) -> None:
    """Accuracy against the twin gap as L varies."""
    for k, name in enumerate(METHODS):
        order = np.argsort(task.grid)
        gap, accuracy = task.twin[k].mean(-1)[order], task.accuracy[k].mean(-1)[order]
        plain = name == "unconstrained"  # one point, a ring around what may lie there as well
        looks = {"ms": 9, "mfc": "none", "mew": 1.6, "zorder": 4} if plain else {"ms": 5, "lw": 1.2}
        ax.plot(gap, accuracy, MARK[name] if plain else f"{MARK[name]}-", color=COLOR[name], label=LABEL[name], **looks)
    ax.set(xlabel="gap between twins", ylabel="test accuracy", xlim=(-0.015, None))
    ax.legend(loc="center right")


@plotting.figure(
    alt="Accuracy against the gap between twins: learned and true metric sit together at gap zero, the "
    "Euclidean metric buys fairness only with a small L. Excess over the true Lipschitz bound against L. "
    "The leak of the learned metric falls with the number of answers, that of random metrics does not."
)
def tradeoff(task: Downstream) -> Figure:
    """Accuracy against fairness as L varies, and leakage against the number of answers."""
    fig = plotting.blank(size=(7.6, 7.0))
    grid = fig.add_gridspec(2, 2)
    axes = [fig.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :])]
    _frontier(axes[0], task)
    axes[0].set_title("Fairness has a price")
    order = np.argsort(task.grid)
    for k, name in enumerate(METHODS):
        if name != "true metric":
            values = task.excess[k].mean(-1)[order]
            axes[1].loglog(
                task.grid[order], np.maximum(values, 1e-7), f"{MARK[name]}-", color=COLOR[name], label=LABEL[name]
            )
    axes[1].set(xlabel="Lipschitz constant L", ylabel="mean excess over L d", title="Violations, by the truth")
    axes[1].legend()
    band(axes[2], task.sizes, task.leak_m[0], COLOR["learned metric"], LABEL["learned metric"], "o-", within=MIDDLE)
    band(axes[2], task.sizes, task.leak_m[1], COLOR["random metric"], LABEL["random metric"], "o-", within=MIDDLE)
    plain = task.leak[METHODS.index("unconstrained"), -1].mean()
    axes[2].axhline(plain, color=COLOR["unconstrained"], label=LABEL["unconstrained"])
    guide = 0.7 * task.leak_m[0].mean(-1)[0] * np.sqrt(task.sizes[0] / task.sizes)
    axes[2].plot(task.sizes, guide, **THEORY, label="slope −½")
    axes[2].set(xscale="log", yscale="log", xlabel="answers m", ylabel="leak ‖P w‖", title="The leak closes")
    axes[2].set_ylim(top=3.5 * plain, bottom=0.4 * guide.min())
    axes[2].legend(ncols=2, loc="upper center")
    return fig


@plotting.figure(
    alt="Above: coefficients of ridge regression without constraint, fair for the learned and for the true "
    "metric; the fair ones vanish at age and sex. Below: held-out R squared against the effect of "
    "exchanging the recorded sex; the fair predictors sit near zero effect at nearly the same R squared."
)
def diabetes(patients: Diabetes) -> Figure:
    """Coefficients with and without fairness."""
    fig, axes = plotting.subplots(2, 1, size=(7.6, 6.4))
    shown = ("unconstrained", "learned metric", "true metric")
    x = np.arange(len(FEATURES))
    for k, name in enumerate(shown):
        w = patients.w[METHODS.index(name)]
        low, high = np.quantile(w, [0.1, 0.9], axis=0)
        mean = w.mean(0)
        error = np.maximum([mean - low, high - mean], 0)
        axes[0].bar(
            x + 0.27 * (k - 1), mean, 0.25, color=COLOR[name], label=LABEL[name], yerr=error, error_kw={"lw": 0.8}
        )
    axes[0].axhline(0, color="black", lw=0.8)
    axes[0].set_xticks(x, FEATURES)
    axes[0].set(ylabel="coefficient", title="The fair predictor drops age and sex")
    axes[0].legend(loc="lower right")
    shown = [METHODS.index(name) for name in METHODS if name != "random metric"]
    for row in shown:
        name = METHODS[row]
        axes[1].plot(
            patients.flip[row], patients.r2[row], MARK[name], color=COLOR[name], ms=4, alpha=0.8, label=LABEL[name]
        )
    axes[1].set(xlabel="effect of exchanging sex", ylabel="held-out R²", title="At little loss of fit")
    low, high = patients.r2[shown].min(), patients.r2[shown].max()
    axes[1].set_ylim(bottom=low - 0.75 * (high - low) - 0.01)
    axes[1].legend(loc="lower right")
    return fig


@plotting.figure(
    alt="A digit in dark and bright light. Probabilities of the unconstrained head change completely between "
    "the two, those of the head on the learned representation stay near the diagonal. Accuracy in neutral "
    "light against that change: learned heads are at high accuracy and small change, unconstrained ones "
    "at the opposite end."
)
def tuning(heads: Tuning) -> Figure:
    """Heads of a small network under a misleading light."""
    fig = plotting.blank(size=(7.6, 5.9))
    grid = fig.add_gridspec(2, 4, height_ratios=(0.7, 1.5))
    for column, name in enumerate(("dark", "bright")):
        ax = fig.add_subplot(grid[0, 1 + column])
        ax.imshow(heads.shown[column], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"the same digit, {name}", fontweight="normal", fontsize=10)
        ax.grid(False)
    ax = fig.add_subplot(grid[1, :2])
    for name in ("unconstrained", "learned metric"):
        dark, bright = heads.scores[HEADS.index(name)]
        ax.plot(dark, bright, ".", color=COLOR[name], ms=3, alpha=0.6, label=LABEL[name])
    ax.plot([0, 1], [0, 1], **THEORY)
    ax.set(xlabel="probability, dark picture", ylabel="probability, bright picture", title="Two lights")
    ax.legend(loc="lower right")
    ax = fig.add_subplot(grid[1, 2:])
    for k, name in enumerate(HEADS):
        ax.plot(
            heads.sensitivity[k], heads.accuracy[k], "D" if k == 4 else "o", color=COLOR[name], ms=5, label=LABEL[name]
        )
    ax.set(xlabel="change between dark and bright", ylabel="accuracy, neutral light", title="Less light, more truth")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(top=0.98)
    ax.legend(loc="upper right")
    return fig
