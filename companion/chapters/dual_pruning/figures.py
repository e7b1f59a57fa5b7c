"""The chapter's figures: results in, matplotlib figures out."""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import beta as beta_law

from companion import plotting
from companion.analysis import pruning
from companion.chapters.dual_pruning import theory
from companion.chapters.dual_pruning.claims import wrong_share
from companion.chapters.dual_pruning.experiments import Coresets, Parameters, Proxies, Results

EARLY = ("DUAL", "DUAL+Beta", "EL2N")  # peers that need the early epochs only, on clean data


@plotting.style()
def figure_crossing(result: theory.Crossing) -> Figure:
    """The two scores of an easy and a hard sample over time, and the crossing time against the difficulty power."""
    easy, hard = 4.0, 1.0
    t = np.linspace(0, 2.0, 400)
    times = {p: float(theory.crossing_time(easy, hard, p)) for p in (0.0, 1.0)}
    fig, (left, right) = plotting.subplots(1, 2, size=(7.8, 3.4), width_ratios=(1.25, 1))
    for power, method in ((0.0, "Dyn-Unc"), (1.0, "DUAL")):
        colour = plotting.METHOD[method]
        scale = theory.weighted_speed(easy, 0.0, power)
        left.plot(t, theory.weighted_speed(easy, t, power) / scale, color=colour, label=f"{method}, easy sample")
        left.plot(
            t,
            theory.weighted_speed(hard, t, power) / scale,
            color=colour,
            lw=1.2,
            ls=(0, (1, 1)),
            label=f"{method}, hard sample",
        )
        left.axvline(times[power], **plotting.THEORY)
        left.annotate(
            ["$T_{unc}$", "$T_{dual}$"][int(power)], (times[power], 0.93), xytext=(4, 0), textcoords="offset points"
        )
    left.set(xlabel="time $t$ of gradient flow", ylabel="score / easy sample's start", ylim=(0, 1.02), xlim=(0, 2))
    left.set_title("DUAL turns to the hard sample first")
    left.legend(loc="upper right", bbox_to_anchor=(1.0, 0.86))
    p = np.linspace(-0.5, 4, 200)
    for ratio, colour in ((4.0, plotting.PALETTE["blue"]), (100.0, plotting.PALETTE["green"])):
        curve = theory.crossing_time(ratio, 1.0, p) / theory.crossing_time(ratio, 1.0, 0.0)
        right.plot(p, curve, color=colour, label=f"norms {ratio:g} : 1")
    base = result.bisected[result.powers == 0][0]
    right.plot(
        result.powers, (result.bisected / base)[:, 0], "o", color="black", ms=4, label="bisection, norms 1.02 : 1"
    )
    right.plot(p, 1 / (1 + p), **plotting.THEORY, label="limit $1/(1+p)$")
    right.set(xlabel="difficulty power $p$", ylabel="$T_p / T_0$", ylim=(0, 2.7))
    right.set_title("More difficulty, earlier crossing")
    right.legend()
    return fig


@plotting.style()
def figure_plane(proxy: Proxies, replica: int = 0) -> Figure:
    """The mean–spread plane in the window that ends at four epochs, coloured by the DUAL score of that window."""
    params, clean = proxy.params, proxy.dynamics["clean"]
    history = clean.target_prob[:, replica].astype(np.float32)
    ends = sorted(
        {
            min(e, clean.epochs)
            for e in (max(2, params.epochs_early // 3), params.epochs_early, 2 * params.epochs_early, clean.epochs)
        }
    )
    fig, axes = plotting.subplots(1, len(ends), size=(2.0 * len(ends) + 0.6, 2.7), sharey=True, squeeze=False)
    grid = np.linspace(1e-3, 1 - 1e-3, 200)
    for axis, end in zip(axes[0], ends, strict=True):
        window = min(params.window, end)
        seen = history[end - window : end]
        mean, std = seen.mean(0), seen.std(0, ddof=1)
        dots = axis.scatter(mean, std, c=(1 - mean) * std, s=3, vmin=0, vmax=0.15, linewidths=0, rasterized=True)
        moon = np.sqrt(window / (window - 1) * grid * (1 - grid))
        axis.plot(grid, moon, **plotting.THEORY)
        for level in (0.05, 0.1, 0.2):
            curve = level / (1 - grid)
            axis.plot(grid[curve < moon], curve[curve < moon], color="#555555", lw=0.7)
        axis.set(xlim=(0, 1), ylim=(0, 0.58), xlabel="window mean $\\bar P$", title=f"epoch {end}")
    axes[0, 0].set_ylabel("window spread $s$")
    fig.colorbar(dots, ax=axes[0].tolist(), label="DUAL of the window", extend="max", aspect=25)
    _headline(fig, "Samples rise on the left, drift to the right, and come to rest")
    return fig


@plotting.style()
def figure_overlap(curves: dict[str, tuple[np.ndarray, np.ndarray]], epochs_early: int) -> Figure:
    """Overlap with the set that a full run selects, against the epoch at which scoring stops."""
    fig, axes = plotting.subplots(1, len(curves), size=(max(3.9 * len(curves), 6.0), 3.0), sharey=True, squeeze=False)
    for axis, (name, (epochs, overlaps)) in zip(axes[0], curves.items(), strict=True):
        for kind, method in enumerate(("DUAL", "Dyn-Unc")):
            _banded(axis, epochs, overlaps[kind], method)
        axis.axvline(epochs_early, color="#999999", lw=1)
        axis.annotate(
            f"T = {epochs_early}", (epochs_early, 0.32), xytext=(4, 0), textcoords="offset points", color="#555555"
        )
        axis.set(xlabel="epochs of scoring", xscale="log", ylim=(0.3, 1.02), title=name)
        ticks = sorted({int(epochs[0]), 20, 50, int(epochs[-1])} & set(range(int(epochs[0]), int(epochs[-1]) + 1)))
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
    axes[0, 0].set_ylabel("overlap with full-run Dyn-Unc")
    axes[0, 0].legend(loc="lower right")
    _headline(fig, "DUAL finds the full run's samples early")
    return fig


@plotting.style()
def figure_accuracy(params: Parameters, proxies: tuple[Proxies, ...], retrained: tuple[dict, ...]) -> Figure:
    """Accuracy on clean data against the pruning ratio, all methods, with the range over replicas."""
    fig, axes = plotting.subplots(1, len(proxies), size=(max(3.95 * len(proxies), 6.5), 3.6), squeeze=False)
    ratios = sorted(params.ratios)
    for axis, proxy, cells in zip(axes[0], proxies, retrained, strict=True):
        for method in ("EL2N", "Dyn-Unc", "CCS", "random", "DUAL", "DUAL+Beta"):
            reached = [100 * cells["clean", ratio, method] for ratio in ratios]
            used = 0 if method == "random" else params.epochs_early if method in EARLY else params.epochs_full
            label = method if method == "random" else f"{method} ({used} epochs)"
            colour = plotting.METHOD[method]
            percent = 100 * np.array(ratios)
            axis.fill_between(
                percent, [r.min() for r in reached], [r.max() for r in reached], color=colour, alpha=0.15, lw=0
            )
            filled = colour if method in EARLY else "white"
            width = 2.4 if method in ("DUAL", "DUAL+Beta") else 1.4
            axis.plot(percent, [r.mean() for r in reached], "-o", color=colour, mfc=filled, label=label, lw=width)
        axis.set(xlabel="removed from the training set, %", title=proxy.name)
        axis.set_xticks(percent)
    axes[0, 0].set_ylabel("test accuracy, %")
    axes[0, 0].legend(loc="lower left", fontsize=8)
    _headline(fig, "The hardest samples alone fail at heavy pruning; adaptive sampling repairs it")
    return fig


@plotting.style()
def figure_beta(proxy: Proxies, coresets: Coresets, replica: int = 0) -> Figure:
    """The Beta law of each ratio over the histogram of mean probabilities, and the mean of the law against the
    ratio.
    """
    mean, score = coresets.mean_prob["clean"][replica], coresets.dual["clean"][replica]
    top = float(mean[pruning.top_n(score, 10)].mean())
    ratios, c_d = sorted(proxy.params.ratios), proxy.preset.c_d
    fig, (left, right) = plotting.subplots(1, 2, size=(7.8, 3.2))
    left.hist(mean, bins=40, range=(0, 1), density=True, color="#D9D9D9", label=f"all {len(mean)} samples")
    grid = np.linspace(0.001, 0.999, 400)
    shades = np.linspace(0.25, 1.0, len(ratios))
    colour = plotting.METHOD["DUAL+Beta"]
    for ratio, shade in zip(ratios, shades, strict=True):
        alpha, beta = pruning.beta_parameters(top, ratio, c_d)
        left.plot(
            grid,
            beta_law.pdf(grid, alpha, max(beta, 1e-9)),
            color=colour,
            alpha=shade,
            label=f"Beta law, r = {ratio:g}",
        )
    left.set(xlabel="mean probability of the label, $\\bar P$", ylabel="density", xlim=(0, 1), ylim=(0, 8))
    left.set_title("The target moves to easy samples")
    left.legend(loc="upper left")
    r = np.linspace(0, 1, 200)
    for c, dash in ((0.5, (0, (1, 1))), (c_d, "-"), (4.0, (0, (5, 1)))):
        means = [1 - pruning.beta_parameters(top, x, c)[1] / 16 for x in r]
        right.plot(
            r, means, color=colour, ls=dash, lw=2.2 if c == c_d else 1.2, label=f"mean of the law, $c_D$ = {c:g}"
        )
    spots = [mean[coresets.chosen["clean", ratio, "DUAL+Beta"][replica]].mean() for ratio in ratios]
    right.plot(ratios, spots, "o", color="black", label="mean $\\bar P$ of what is drawn")
    right.axhline(mean.mean(), color="#999999", lw=1, label="mean $\\bar P$ of all")
    right.set(xlabel="pruning ratio $r$", ylabel="$\\bar P$", ylim=(0, 1.02), xlim=(0, 1))
    right.set_title("Larger $c_D$: hard for longer")
    right.legend(loc="lower right", fontsize=7.5)
    return fig


@plotting.style()
def figure_noise(results: Results) -> Figure:
    """Share of wrong labels and of damaged images among the selected, and accuracy, by method."""
    proxies = results.proxies
    methods = ("random", "EL2N", "AUM", "DUAL", "CCS", "DUAL+Beta")
    ratio = min(proxies[0].params.ratios, key=lambda r: abs(r - 0.7))
    fig, axes = plotting.subplots(
        1,
        len(proxies) + 1,
        size=(3.1 * (len(proxies) + 1), 3.1),
        squeeze=False,
        width_ratios=[1] * len(proxies) + [1.1],
    )
    for index, (axis, proxy) in enumerate(zip(axes[0], proxies, strict=False)):
        shares = [100 * wrong_share(results, index, ratio, method) for method in methods]
        axis.barh(methods, shares, color=[plotting.METHOD[m] for m in methods])
        axis.axvline(100 * proxy.params.label_noise, **plotting.THEORY)
        for row, share in enumerate(shares):
            axis.annotate(
                f"{share:.1f}",
                (share, row),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                bbox={"color": "white", "pad": 0.5},
            )
        axis.set(xlabel="wrong labels in the coreset, %", title=f"{proxy.name}, r = {ratio:g}", xlim=(0, 100))
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    last = axes[0, -1]
    shown = ("random", "EL2N", "DUAL", "DUAL+Beta", "CCS")
    labels = []
    for index, proxy in enumerate(proxies):
        for ratio in (0.7, 0.9):
            cells = results.retrained[index]
            if ("noise", ratio, "random") not in cells:
                continue
            column = len(labels)
            labels.append(f"{proxy.preset.key}\nr = {ratio:g}")
            for place, method in enumerate(shown):
                last.bar(
                    column + (place - 2) * 0.16,
                    100 * cells["noise", ratio, method].mean(),
                    0.15,
                    color=plotting.METHOD[method],
                    label=method if column == 0 else None,
                )
    last.set_xticks(range(len(labels)), labels)
    last.set(ylabel="test accuracy, %", title="… and after retraining")
    last.grid(axis="x", visible=False)
    _headline(fig, "DUAL leaves most wrong labels out; EL2N and AUM collect them")
    return fig


@plotting.style()
def figure_images(proxy: Proxies, coresets: Coresets, replica: int = 0, columns: int = 12) -> Figure:
    """Images of largest and smallest DUAL and draws of the Beta law, on clean, noisy and damaged data."""
    dataset, total = proxy.dataset, len(proxy.dataset.y_train)
    dual = coresets.dual
    rng = np.random.default_rng([proxy.params.seed, 5])
    ratio = max(proxy.params.ratios)
    drawn = {s: rng.permutation(coresets.chosen[s, ratio, "DUAL+Beta"][replica])[:columns] for s in dual}
    rows = [
        ("clean: largest DUAL", "clean", pruning.top_n(dual["clean"][replica], columns)),
        (f"clean: drawn at r = {ratio:g}", "clean", drawn["clean"]),
        ("clean: smallest DUAL", "clean", pruning.top_n(-dual["clean"][replica], columns)),
        ("noise: largest DUAL", "noise", pruning.top_n(dual["noise"][replica], columns)),
        (
            "noise: largest EL2N",
            "noise",
            pruning.top_n(proxy.dynamics["noise"].el2n(proxy.params.epochs_early)[replica], columns),
        ),
        ("damaged: largest DUAL", "corrupt", pruning.top_n(dual["corrupt"][replica], columns)),
        (f"damaged: drawn at r = {ratio:g}", "corrupt", drawn["corrupt"]),
    ]
    fig, axes = plotting.subplots(len(rows), columns, size=(0.56 * columns + 1.5, 0.66 * len(rows) + 0.4))
    for line, (name, scenario, picks) in zip(axes, rows, strict=True):
        first = int(proxy.offset[scenario][replica])
        labels = proxy.labels[scenario][replica]
        for axis in line[len(picks) :]:
            axis.set_axis_off()
        for axis, pick in zip(line, picks, strict=False):
            image = proxy.x[first + pick].cpu().numpy()
            axis.imshow(np.moveaxis(_to_unit(image), 0, -1).squeeze(), cmap="gray_r", interpolation="nearest")
            spoiled = (scenario == "noise" and proxy.wrong[replica, pick]) or (
                scenario == "corrupt" and proxy.kind[replica, pick] >= 0
            )
            axis.set_xticks([]), axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set(visible=bool(spoiled), color=plotting.PALETTE["red"], linewidth=2)
            axis.set_title(
                _class_name(dataset.name, int(labels[pick])), fontsize=6.5, fontweight="normal", loc="center", pad=1.5
            )
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    _headline(fig, f"What is kept of {dataset.name} ({total} images); framed: wrong label or damaged")
    return fig


@plotting.style()
def figure_heat(maps: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Overlap with the full run, and wrong labels, over difficulty power and window."""
    fig, axes = plotting.subplots(len(maps), 2, size=(7.6, 2.5 * len(maps)), squeeze=False)
    for row, (name, (powers, windows, overlap, wrong)) in zip(axes, maps.items(), strict=True):
        for axis, values, title, cmap in (
            (row[0], overlap, "overlap with full run, %", "viridis"),
            (row[1], wrong, "wrong labels kept, %", "magma_r"),
        ):
            image = axis.imshow(100 * values, cmap=cmap, aspect="auto", origin="lower")
            low, high = image.get_clim()
            for i in range(len(powers)):
                for j in range(len(windows)):
                    dark = (100 * values[i, j] - low) / max(high - low, 1e-9) > 0.55
                    ink = "black" if dark == (cmap == "viridis") else "white"
                    axis.annotate(f"{100 * values[i, j]:.0f}", (j, i), ha="center", va="center", fontsize=8, color=ink)
            axis.set_xticks(range(len(windows)), [str(w) for w in windows])
            axis.set_yticks(range(len(powers)), [f"{p:g}" for p in powers])
            axis.set(xlabel="window $J$, epochs", ylabel="difficulty power $p$", title=f"{name}: {title}")
            axis.grid(visible=False)
    _headline(fig, "Power 1 balances: without difficulty it is too early, with more it keeps wrong labels")
    return fig


def _headline(fig: Figure, text: str) -> None:
    fig.suptitle(text, x=0.01, ha="left", fontsize=10.5, fontweight="bold")


def _banded(axis, x: np.ndarray, values: np.ndarray, method: str) -> None:
    """Mean over the last axis as a line, its range as a band."""
    colour = plotting.METHOD[method]
    axis.fill_between(x, values.min(-1), values.max(-1), color=colour, alpha=0.2, lw=0)
    axis.plot(x, values.mean(-1), color=colour, label=method)


def _to_unit(image: np.ndarray) -> np.ndarray:
    return (image - image.min()) / max(float(np.ptp(image)), 1e-9)


def _class_name(dataset: str, label: int) -> str:
    names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
    return names[label] if dataset.startswith("fashion") else str(label)
