"""The chapter's figures: results in, matplotlib figures out."""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import beta as beta_law

from companion import plotting
from companion.analysis import pruning
from companion.chapters.dual_pruning import theory
from companion.chapters.dual_pruning.experiments import (
    TRANSFER_METHODS,
    TRANSFER_RATIO,
    Coresets,
    Crossing,
    Heat,
    Overlaps,
    Pictures,
    Retrained,
    Scored,
    Transferred,
    Tuned,
)
from companion.plotting import PALETTE, THEORY

COLOURS = {
    "random": PALETTE["grey"],
    "DUAL": PALETTE["orange"],
    "DUAL+Beta": PALETTE["red"],
    "Dyn-Unc": PALETTE["sky"],
    "EL2N": PALETTE["purple"],
    "AUM": PALETTE["green"],
    "CCS": PALETTE["blue"],
}
EARLY = ("DUAL", "DUAL+Beta", "EL2N")  # need the early epochs only, on clean data
MOST = 9  # ratios that can be told apart in one legend


@plotting.figure(
    alt="Left: the scores of an easy and a hard sample fall over time; under DUAL the curves cross at half the time at "
    "which they cross under Dyn-Unc. Right: the crossing time falls with the difficulty power like one over one plus p."
)
def crossing(result: Crossing) -> Figure:
    """The two scores of an easy and a hard sample over time, and the crossing time against the difficulty power."""
    easy, hard = 4.0, 1.0
    t = np.linspace(0, 2.0, 400)
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 3.7), width_ratios=(1.15, 1))
    for power, method, name in ((0.0, "Dyn-Unc", "$T_{unc}$"), (1.0, "DUAL", "$T_{dual}$")):
        scale = theory.weighted_speed(easy, 0.0, power)
        for norm, which, dash in ((easy, "easy", "-"), (hard, "hard", (0, (1, 1)))):
            curve = theory.weighted_speed(norm, t, power) / scale
            left.plot(t, curve, color=COLOURS[method], ls=dash, label=f"{method}, {which} sample")
        time = float(theory.crossing_time(easy, hard, power))
        left.axvline(time, **THEORY)
        left.annotate(name, (time, 0.93), xytext=(4, 0), textcoords="offset points")
    left.set(xlabel="time $t$ of gradient flow", ylabel="score / easy sample's start", ylim=(0, 1.02), xlim=(0, 2))
    left.set_title("DUAL turns to the hard sample first")
    left.legend(loc="upper right", bbox_to_anchor=(1.0, 0.88))
    p = np.linspace(-0.5, 4, 200)
    for ratio, colour in ((4.0, PALETTE["blue"]), (100.0, PALETTE["green"])):
        curve = theory.crossing_time(ratio, 1.0, p) / theory.crossing_time(ratio, 1.0, 0.0)
        right.plot(p, curve, color=colour, label=f"norms {ratio:g} : 1")
    base = result.simulated[result.powers == 0][0]
    right.plot(result.powers, (result.simulated / base)[:, 0], "o", color="black", label="in training, 1.02 : 1")
    right.plot(p, 1 / (1 + p), **THEORY, label="limit $1/(1+p)$")
    right.set(xlabel="difficulty power $p$", ylabel="$T_p / T_0$", ylim=(0, 2.9))
    right.set_title("More difficulty, earlier")
    right.legend(loc="upper right")
    return fig


@plotting.figure(
    alt="Scatter plots of window spread against window mean, at growing epochs. The cloud fills the inside of a "
    "half-moon, drifts to the right, and lies on the floor at the end. The highest DUAL values are at the upper left."
)
def plane(scored: Scored, replica: int = 0) -> Figure:
    """The mean–spread plane in the window that ends at four epochs, coloured by the DUAL score of that window."""
    *_, entry = scored.sets.values()
    clean = entry.full.dynamics
    history = clean.target_prob[:, replica].astype(np.float32)
    wanted = max(2, scored.epochs_early // 3), scored.epochs_early, 2 * scored.epochs_early, clean.epochs
    ends = sorted({min(end, clean.epochs) for end in wanted})
    fig, axes = plotting.subplots(2, 2, size=(7.6, 5.6), sharey=True, sharex=True, squeeze=False)
    grid = np.linspace(1e-3, 1 - 1e-3, 200)
    for axis in axes.flat[len(ends) :]:
        axis.set_visible(False)
    for axis, end in zip(axes.flat, ends, strict=False):
        window = min(scored.window, end)
        seen = history[end - window : end]
        mean, std = seen.mean(0), seen.std(0, ddof=1)
        dots = axis.scatter(mean, std, c=(1 - mean) * std, s=4, vmin=0, vmax=0.15, linewidths=0, rasterized=True)
        moon = np.sqrt(window / (window - 1) * grid * (1 - grid))
        axis.plot(grid, moon, **THEORY)
        for level in (0.05, 0.1, 0.2):
            curve = level / (1 - grid)
            axis.plot(grid[curve < moon], curve[curve < moon], color="#555555", lw=0.7)
        axis.set(xlim=(0, 1), ylim=(0, 0.58), title=f"epoch {end}")
    for axis in axes[-1]:
        axis.set_xlabel("window mean $\\bar P$")
    for axis in axes[:, 0]:
        axis.set_ylabel("window spread $s$")
    fig.colorbar(dots, ax=axes.ravel().tolist(), label="DUAL of the window", extend="max", aspect=35)
    plotting.headline(fig, "Samples rise on the left, drift to the right, and come to rest")
    return fig


@plotting.figure(
    alt="Overlap with the samples that a full run of Dyn-Unc selects, against the epoch at which scoring stops. DUAL "
    "starts high and stays; Dyn-Unc starts low and overtakes only late."
)
def overlap(curves: Overlaps, scored: Scored) -> Figure:
    """Overlap with the set that a full run selects, against the epoch at which scoring stops."""
    names = list(curves.dual)
    fig, axes = _panels(len(names), height=3.2)
    for axis, name in zip(axes, names, strict=True):
        plotting.band(axis, curves.epochs, curves.dual[name], COLOURS["DUAL"], "DUAL")
        plotting.band(axis, curves.epochs, curves.dyn_unc[name], COLOURS["Dyn-Unc"], "Dyn-Unc")
        axis.axvline(scored.epochs_early, color="#999999", lw=1)
        low = min(0.3, float(np.min(curves.dyn_unc[name])) - 0.05)
        spot = (scored.epochs_early, low)
        axis.annotate(f"T = {scored.epochs_early}", spot, xytext=(4, 4), textcoords="offset points", color="#555555")
        axis.set(xlabel="epochs of scoring", xscale="log", ylim=(low, 1.02), title=name)
        first, last = int(curves.epochs[0]), int(curves.epochs[-1])
        ticks = sorted({first, last} | {tick for tick in (20, 50) if first < tick < last})
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
    axes[0].set_ylabel("overlap with full-run Dyn-Unc")
    axes[0].legend(loc="lower right")
    plotting.headline(fig, "DUAL finds the full run's samples early")
    return fig


@plotting.figure(
    alt="Accuracy on the validation split against the exponent of the Beta law, at heavy pruning ratios, with the "
    "chosen exponent marked. Small images hardly care; for fashion images large exponents lose many points."
)
def tuning(tuned: Tuned) -> Figure:
    """Validation accuracy of each candidate exponent."""
    names = list(tuned.accuracy)
    if not names:
        fig, axis = plotting.subplots(size=(7.6, 1.2))
        axis.set_axis_off()
        axis.set_title("c_D is given: " + ", ".join(f"{name} {value:g}" for name, value in tuned.c_d.items()))
        return fig
    fig, axes = _panels(len(names), height=3.2, sharey=False)
    dashes = ("-", "--", ":", "-.")
    for axis, name in zip(axes, names, strict=True):
        for place, ratio in enumerate(tuned.ratios[:MOST]):
            plotting.band(
                axis,
                tuned.candidates,
                100 * tuned.accuracy[name][:, place],
                COLOURS["DUAL+Beta"],
                f"r = {ratio:g}",
                dashes[place % len(dashes)],
            )
        axis.axvline(tuned.c_d[name], color="#555555", lw=1, label=f"chosen: {tuned.c_d[name]:g}")
        axis.set(xlabel="exponent $c_D$ of the Beta law", title=name)
        axis.set_xticks(tuned.candidates, [f"{c:g}" for c in tuned.candidates])
        axis.legend(loc="lower left")
    axes[0].set_ylabel("validation accuracy, %")
    plotting.headline(fig, "The validation split decides how late to turn to easy samples")
    return fig


@plotting.figure(
    alt="Test accuracy against the share removed. All methods are close at mild pruning. At ninety percent the methods "
    "that keep the highest scores fall far below random pruning; DUAL with Beta sampling and CCS do not."
)
def glance(scored: Scored, retrained: Retrained) -> Figure:
    """Accuracy on clean data against the pruning ratio, all methods, with the range over runs."""
    names = list(retrained.sets)
    fig, axes = _panels(len(names), height=4.0, sharey=False)
    for axis, name in zip(axes, names, strict=True):
        cells = retrained.sets[name]
        ratios = sorted({ratio for scenario, ratio, _ in cells if scenario == "clean"})
        percent = 100 * np.array(ratios)
        for method in ("EL2N", "Dyn-Unc", "CCS", "random", "DUAL", "DUAL+Beta"):
            reached = [100 * cells["clean", ratio, method] for ratio in ratios]
            used = scored.epochs_early if method in EARLY else scored.epochs_full
            label = method if method == "random" else f"{method} ({used} epochs)"
            colour = COLOURS[method]
            axis.fill_between(
                percent, [r.min() for r in reached], [r.max() for r in reached], color=colour, alpha=0.15, lw=0
            )
            filled = colour if method in EARLY else "white"
            width = 2.4 if method in ("DUAL", "DUAL+Beta") else 1.4
            axis.plot(percent, [r.mean() for r in reached], "-o", color=colour, mfc=filled, label=label, lw=width)
        axis.set(xlabel="removed from the training set, %", title=name)
        axis.set_xticks(percent if len(percent) <= MOST else percent[[0, -1]])
    axes[0].set_ylabel("test accuracy, %")
    plotting.legend_below(fig, axes[0], ncols=3)
    plotting.headline(fig, "The hardest samples alone fail at heavy pruning; adaptive sampling repairs it")
    return fig


@plotting.figure(
    alt="Left: Beta densities over the histogram of mean probabilities; the peak moves to the right as the pruning "
    "ratio grows. Right: the mean of the law against the pruning ratio for three exponents, with the means of what "
    "was drawn."
)
def beta(scored: Scored, tuned: Tuned, coresets: Coresets, replica: int = 0) -> Figure:
    """The Beta law of each ratio over the histogram of mean probabilities, and its mean against the ratio."""
    name = list(scored.sets)[-1]
    scores, chosen, c_d = scored.sets[name].scores["clean"], coresets.sets[name].chosen, tuned.c_d[name]
    mean, score = scores.mean_prob[replica], scores.dual[replica]
    top = float(mean[pruning.top_n(score, min(10, len(score)))].mean())
    ratios = sorted({ratio for _, ratio, _ in chosen})
    fig, (left, right) = plotting.subplots(1, 2, size=(7.6, 4.2))
    left.hist(mean, bins=40, range=(0, 1), density=True, color="#D9D9D9", label=f"all {len(mean)} samples")
    grid = np.linspace(0.001, 0.999, 400)
    colour = COLOURS["DUAL+Beta"]
    shown = ratios if len(ratios) <= MOST else ratios[:: len(ratios) // MOST + 1]
    for ratio, shade in zip(shown, np.linspace(0.25, 1.0, len(shown)), strict=True):
        law = pruning.beta_parameters(top, ratio, c_d)
        density = beta_law.pdf(grid, law[0], max(law[1], 1e-9))
        left.plot(grid, density, color=colour, alpha=shade, label=f"Beta law, r = {ratio:g}")
    left.set(xlabel="mean probability of the label, $\\bar P$", ylabel="density", xlim=(0, 1), ylim=(0, 8))
    left.set_title("The target moves to easy samples")
    left.legend(loc="upper left")
    r = np.linspace(0, 1, 200)
    for c, dash in ((0.5, (0, (1, 1))), (c_d, "-"), (8.0, (0, (5, 1)))):
        means = [1 - pruning.beta_parameters(top, x, c)[1] / 16 for x in r]
        width = 2.4 if c == c_d else 1.2
        right.plot(r, means, color=colour, ls=dash, lw=width, label=f"the law's mean, $c_D$ = {c:g}")
    spots = [mean[chosen["clean", ratio, "DUAL+Beta"][replica]].mean() for ratio in ratios]
    right.plot(ratios, spots, "o", color="black", label="mean $\\bar P$ of what is drawn")
    right.axhline(mean.mean(), color="#999999", lw=1, label="mean $\\bar P$ of all")
    right.set(xlabel="pruning ratio $r$", ylabel="$\\bar P$", ylim=(0, 1.02), xlim=(0, 1))
    right.set_title("Larger $c_D$: hard for longer")
    plotting.legend_below(fig, right, ncols=3)
    return fig


@plotting.figure(
    alt="Bars: the share of wrong labels among the selected is far above the base rate for EL2N and AUM, below it for "
    "DUAL, and almost zero for CCS and DUAL with Beta sampling. Accuracy after retraining follows."
)
def noise(scored: Scored, coresets: Coresets, retrained: Retrained) -> Figure:
    """Share of wrong labels among the selected, and accuracy after retraining, by method."""
    names = list(scored.sets)
    chosen = coresets.sets[names[0]].chosen
    ratio = min({ratio for _, ratio, _ in chosen}, key=lambda r: abs(r - 0.7))
    methods = ("random", "EL2N", "AUM", "Dyn-Unc", "DUAL", "CCS", "DUAL+Beta")
    fig, axes = plotting.subplots(len(names), 2, size=(7.6, 2.9 * len(names) + 0.5), squeeze=False)
    for (left, right), name in zip(axes, names, strict=True):
        wrong, chosen = scored.sets[name].wrong, coresets.sets[name].chosen
        shares = [100 * np.take_along_axis(wrong, chosen["noise", ratio, m], axis=1).mean() for m in methods]
        left.barh(methods, shares, color=[COLOURS[m] for m in methods])
        left.axvline(100 * scored.label_noise, **THEORY)
        for row, share in enumerate(shares):
            box = {"color": "white", "pad": 0.5}
            spot = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "bbox": box}
            left.annotate(f"{share:.1f}", (share, row), **spot)
        left.set(xlabel="wrong labels in the coreset, %", title=f"{name}, r = {ratio:g}", xlim=(0, 100))
        left.invert_yaxis()
        left.grid(axis="y", visible=False)
        shown = [m for m in methods if m != "AUM"]
        _bars(right, {f"r = {r:g}": {m: retrained.sets[name].get(("noise", r, m)) for m in shown} for r in (0.7, 0.9)})
        right.set(ylabel="test accuracy, %", title="… and after retraining", ylim=(0, 100))
    plotting.headline(fig, "DUAL leaves most wrong labels out; EL2N and AUM collect them")
    return fig


@plotting.figure(
    alt="Bars of test accuracy after training on coresets of damaged images. At half the data all methods are close; "
    "at a tenth EL2N and the top of DUAL collapse, while DUAL with Beta sampling and CCS stay above random pruning."
)
def damage(retrained: Retrained) -> Figure:
    """Accuracy on clean data after pruning a pool with damaged images."""
    names = list(retrained.sets)
    fig, axes = _panels(len(names), height=3.4)
    methods = ("random", "EL2N", "DUAL", "CCS", "DUAL+Beta")
    for axis, name in zip(axes, names, strict=True):
        cells = retrained.sets[name]
        _bars(axis, {f"r = {r:g}": {m: cells.get(("corrupt", r, m)) for m in methods} for r in (0.5, 0.9)})
        axis.set(title=name, ylim=(0, 100))
    axes[0].set_ylabel("test accuracy, %")
    if any(("corrupt", r, "random") in retrained.sets[names[0]] for r in (0.5, 0.9)):
        plotting.legend_below(fig, axes[0], ncols=5)
    plotting.headline(fig, "With damaged images sampling keeps above random pruning, near CCS")
    return fig


@plotting.figure(
    alt="Bars of test accuracy of a support vector machine and another network trained on coresets with wrong labels. "
    "Coresets of CCS and of DUAL with Beta sampling are above random ones, those of EL2N far below."
)
def transfer(transferred: Transferred, scored: Scored) -> Figure:
    """Accuracy of other learners on coresets that were chosen under label noise."""
    names = list(transferred.sets) or list(scored.sets)
    fig, axes = _panels(len(names), height=3.4)
    for axis, name in zip(axes, names, strict=True):
        reached = transferred.sets.get(name, {})
        groups = {
            label: {m: reached.get((learner, "noise", m)) for m in TRANSFER_METHODS}
            for label, learner in (("SVM", "svm"), (scored.other_network.upper(), scored.other_network))
        }
        _bars(axis, groups)
        axis.set(title=f"{name}, r = {TRANSFER_RATIO:g}", ylim=(0, 100))
    axes[0].set_ylabel("test accuracy, %")
    if transferred.sets:
        plotting.legend_below(fig, axes[0], ncols=4)
    plotting.headline(fig, "What one network selects under wrong labels serves other learners")
    return fig


@plotting.figure(
    alt="Rows of images: ambiguous ones have the largest DUAL, plain ones the smallest; draws of the Beta law are in "
    "between and varied. Under label noise the largest EL2N scores are wrong labels."
)
def images(result: Pictures) -> Figure:
    """Images of largest and smallest DUAL and draws of the Beta law, on clean, noisy and damaged data."""
    rows, columns = result.labels.shape
    fig, axes = plotting.subplots(rows, columns, size=(7.6, 0.86 * rows + 0.4))
    for row, line in enumerate(axes):
        for column, axis in enumerate(line):
            axis.set_xticks([]), axis.set_yticks([])
            axis.grid(visible=False)
            label = int(result.labels[row, column])
            if label < 0:
                axis.set_axis_off()
                continue
            image = np.moveaxis(result.images[row, column], 0, -1).squeeze()
            axis.imshow(image, cmap="gray_r", interpolation="nearest", vmin=0, vmax=1)
            for spine in axis.spines.values():
                spine.set(visible=bool(result.spoiled[row, column]), color=PALETTE["red"], linewidth=2.5)
            name = _class_name(result.name, label)
            axis.set_title(name, fontsize=9.6, fontweight="normal", loc="center", pad=1.5)
        line[0].set_ylabel(result.rows[row].replace(": ", ":\n"), rotation=0, ha="right", va="center", fontsize=9.6)
        line[0].set_axis_on()
    plotting.headline(fig, f"What is kept of {result.name}; framed: wrong label or damaged")
    return fig


@plotting.figure(
    alt="Heat maps over difficulty power and window. The overlap with the full run rises from power zero to one and "
    "then flattens or falls; the share of wrong labels keeps rising with the power."
)
def heat(maps: Heat) -> Figure:
    """Overlap with the full run, and wrong labels, over difficulty power and window."""
    names = list(maps.overlap)
    fig, axes = plotting.subplots(len(names), 2, size=(7.6, 2.7 * len(names) + 0.3), squeeze=False)
    for row, name in zip(axes, names, strict=True):
        for axis, values, title, cmap in (
            (row[0], maps.overlap[name], "overlap, %", "viridis"),
            (row[1], maps.wrong[name], "wrong labels, %", "magma_r"),
        ):
            image = axis.imshow(100 * values, cmap=cmap, aspect="auto", origin="lower")
            low, high = image.get_clim()
            for (i, j), value in np.ndenumerate(100 * values):
                above = (value - low) / max(high - low, 1e-9) > 0.55
                ink = "black" if above == (cmap == "viridis") else "white"
                axis.annotate(f"{value:.0f}", (j, i), ha="center", va="center", color=ink)
            axis.set_xticks(range(len(maps.windows)), [str(w) for w in maps.windows])
            axis.set_yticks(range(len(maps.powers)), [f"{p:g}" for p in maps.powers])
            axis.set(xlabel="window $J$, epochs", ylabel="difficulty power $p$", title=f"{name}: {title}")
            axis.grid(visible=False)
    plotting.headline(fig, "Power 1 balances: without difficulty it is too early, with more it keeps wrong labels")
    return fig


def _panels(count: int, height: float, sharey: bool = True) -> tuple[Figure, list]:
    """One panel for each data set, two in a row."""
    rows, cols = -(-count // 2), min(count, 2)
    fig, axes = plotting.subplots(rows, cols, size=(7.6, height * rows), sharey=sharey, squeeze=False)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return fig, list(axes.flat[:count])


def _bars(axis, groups: dict[str, dict[str, np.ndarray | None]]) -> None:
    """Groups of bars of mean accuracies in percent; a method that was not run leaves a gap."""
    for column, values in enumerate(groups.values()):
        width = 0.84 / len(values)
        for place, (method, reached) in enumerate(values.items()):
            if reached is not None:
                x = column + (place - (len(values) - 1) / 2) * width
                label = method if column == 0 or groups[next(iter(groups))][method] is None else None
                axis.bar(x, 100 * reached.mean(), 0.93 * width, color=COLOURS[method], label=label)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.set_xlim(-0.5, len(groups) - 0.5)
    axis.grid(axis="x", visible=False)


def _class_name(dataset: str, label: int) -> str:
    names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
    return names[label] if dataset.startswith("fashion") else str(label)
