"""The claims of the paper's abstract, each with its criterion and a control on which it must fail."""

from collections.abc import Callable
from typing import Any

import numpy as np

from companion.analysis import pruning
from companion.chapters.dual_pruning.experiments import (
    PAPER,
    PRESETS,
    TOP_SHARE,
    Parameters,
    Proxies,
    Results,
)
from companion.claims import Claim, Control, Undecided, Verdicts, judge

Measure = Callable[[Results], dict[str, Any]]


def _per_dataset(measure: Callable[..., dict[str, float]]) -> Measure:
    """Measure on every data set; each name gets the data set's key, ``gain`` becomes ``gain_digits`` and
    ``gain_mini``.
    """

    def measured(results: Results) -> dict[str, Any]:
        found = {}
        for index, proxy in enumerate(results.proxies):
            for name, value in measure(results, index).items():
                found[f"{name}_{proxy.preset.key}"] = value
        return found

    return measured


def _joined(general: str, **special: str) -> Callable[[Parameters], str]:
    """The criterion of every data set that was run, joined by "and"; ``@`` stands for the data set's key."""

    def criterion(params: Parameters) -> str:
        keys = [PRESETS[name].key for name in params.datasets]
        return " and ".join(special.get(key, general).replace("@", key) for key in keys)

    return criterion


def gain(results: Results, index: int, scenario: str, ratio: float, method: str, over: str = "random") -> float:
    """Mean over replicas of the difference in accuracy of two methods, on the replicas that both were run on."""
    cells = results.retrained[index]
    for name in (method, over):
        if (scenario, ratio, name) not in cells:
            raise Undecided(f"needs pruning ratio {ratio:g} among ratios")
    first, second = cells[scenario, ratio, method], cells[scenario, ratio, over]
    count = min(len(first), len(second))
    return float((first[:count] - second[:count]).mean())


def mild_gain(results: Results, index: int, method: str, over: str = "random") -> float:
    """The gain on clean data averaged over the data set's mild pruning ratios."""
    return float(np.mean([gain(results, index, "clean", r, method, over) for r in results.proxies[index].preset.mild]))


def chosen(results: Results, index: int, scenario: str, ratio: float, method: str) -> np.ndarray:
    """The coresets of a cell."""
    try:
        return results.coresets[index].chosen[scenario, ratio, method]
    except KeyError:
        raise Undecided(f"needs pruning ratio {ratio:g} among ratios") from None


def wrong_share(results: Results, index: int, ratio: float, method: str) -> float:
    """Share of wrong labels in a method's coresets under label noise."""
    picks = chosen(results, index, "noise", ratio, method)
    return float(np.take_along_axis(results.proxies[index].wrong, picks, axis=1).mean())


def damaged_share(results: Results, index: int, ratio: float, method: str) -> float:
    """Share of damaged images in a method's coresets under corruption."""
    picks = chosen(results, index, "corrupt", ratio, method)
    return float((np.take_along_axis(results.proxies[index].kind, picks, axis=1) >= 0).mean())


def easiness(results: Results, index: int, ratio: float, method: str) -> float:
    """Mean probability of the selected minus that of all, on clean data."""
    picks, mean = chosen(results, index, "clean", ratio, method), results.coresets[index].mean_prob["clean"]
    return float(np.take_along_axis(mean, picks, axis=1).mean() - mean.mean())


def overlaps(proxy: Proxies, window: int, epochs: int, power: float) -> np.ndarray:
    """Overlap of the top of the early score with the top of full-run Dyn-Unc, for each replica."""
    clean = proxy.dynamics["clean"]
    early, full = clean.dual(window, epochs, power), clean.dyn_unc(window)
    top = int(TOP_SHARE * early.shape[1])
    return np.array(
        [pruning.overlap(pruning.top_n(a, top), pruning.top_n(b, top)) for a, b in zip(early, full, strict=True)]
    )


def _formula(at_power: float) -> Measure:
    def measure(results: Results) -> dict[str, float]:
        c = results.crossing
        row = int(np.flatnonzero(c.powers == at_power)[0])
        base = int(np.flatnonzero(c.powers == 0)[0])
        return {
            "error": float(np.abs(c.formula / c.bisected - 1).max()),
            "ratio": float((c.bisected[row] / c.bisected[base]).max()),
        }

    return measure


def _ordering(kind: str) -> Measure:
    def measure(results: Results) -> dict[str, float]:
        c = results.crossing
        return {"violations": int(getattr(c, kind).sum()), "earlier": float(c.earlier.mean())}

    return measure


def _lead(power: float | None) -> Measure:
    def measure(results: Results, index: int) -> dict[str, float]:
        proxy = results.proxies[index]
        params = proxy.params
        used = params.difficulty_power if power is None else power
        with_power = overlaps(proxy, params.window, params.epochs_early, used)
        without = overlaps(proxy, params.window, params.epochs_early, 0.0)
        return {"lead": float((with_power - without).min())}

    return _per_dataset(measure)


def _cost(early: str, cifar: float, imagenet: float) -> Measure:
    def measure(results: Results) -> dict[str, float]:
        passes = {
            name: sum(3 * proxy.work[name].trained + proxy.work[name].evaluated for proxy in results.proxies)
            for name in ("early", "full")
        }
        return {"work": passes[early] / passes["full"], "cifar": cifar, "imagenet": imagenet}

    return measure


def _mild(method: str) -> Measure:
    return _per_dataset(lambda results, k: {"gain": mild_gain(results, k, method)})


def _near(method: str) -> Measure:
    return _per_dataset(
        lambda results, k: {
            "ccs": mild_gain(results, k, method, "CCS"),
            "dynunc": mild_gain(results, k, method, "Dyn-Unc"),
        }
    )


def _ccs_lead(method: str, ccs: str = "CCS") -> Measure:
    return _per_dataset(lambda results, k: {"lead": gain(results, k, "noise", 0.9, ccs, method)})


def _extreme(method: str) -> Measure:
    return _per_dataset(lambda results, k: {"gain": gain(results, k, "clean", 0.9, method)})


def _repair(method: str) -> Measure:
    return _per_dataset(
        lambda results, k: {
            "repair": gain(results, k, "clean", 0.9, method, "DUAL"),
            "gain": gain(results, k, "clean", 0.9, method),
        }
    )


def _adaptive(method: str) -> Measure:
    return _per_dataset(
        lambda results, k: {
            "mild": easiness(results, k, 0.5, method),
            "extreme": easiness(results, k, 0.9, method),
        }
    )


def _purity(top: str, sampled: str) -> Measure:
    return _per_dataset(
        lambda results, k: {
            "dual": wrong_share(results, k, 0.7, top),
            "beta": wrong_share(results, k, 0.7, sampled),
            "el2n": wrong_share(results, k, 0.7, "EL2N"),
        }
    )


def _noisy(method: str) -> Measure:
    return _per_dataset(
        lambda results, k: {
            "at70": gain(results, k, "noise", 0.7, method),
            "at90": gain(results, k, "noise", 0.9, method),
        }
    )


def _early_phase(fast: bool) -> Measure:
    def measure(results: Results) -> dict[str, float]:
        for proxy in results.proxies:
            if proxy.fast is not None:
                break
        else:
            raise Undecided("measured on digits only, where five times the learning rate memorizes wrong labels early")
        dynamics = proxy.fast if fast else proxy.dynamics["noise"]
        score = dynamics.dual(proxy.params.window, proxy.params.epochs_early, proxy.params.difficulty_power)
        n = pruning.kept(score.shape[1], 0.7)
        shares = [wrong[pruning.top_n(row, n)].mean() for wrong, row in zip(proxy.wrong, score, strict=True)]
        return {"share": float(np.mean(shares)), "base": float(proxy.wrong.mean())}

    return measure


def _corrupted(method: str) -> Measure:
    return _per_dataset(
        lambda results, k: {
            "at50": gain(results, k, "corrupt", 0.5, method),
            "at90": gain(results, k, "corrupt", 0.9, method),
        }
    )


def transferred(results: Results, index: int, learner: str, scenario: str, method: str) -> float:
    """Gain over random of another learner on coresets of ratio 0.7."""
    reached = results.transferred[index]
    if not reached:
        raise Undecided("needs pruning ratio 0.7 among ratios")
    first, second = reached[learner, scenario, method], reached[learner, scenario, "random"]
    count = min(len(first), len(second))
    return float((first[:count] - second[:count]).mean())


def other_network(results: Results) -> str:
    """The network to which coresets are transferred."""
    return "cnn" if results.proxies[0].params.model == "mlp" else "mlp"


def _other_learners(method: str) -> Measure:
    return _per_dataset(
        lambda results, k: {
            "svm": transferred(results, k, "svm", "noise", method),
            "network": transferred(results, k, other_network(results), "noise", method),
        }
    )


def _cifar(method: str, early: str) -> Measure:
    def measure(results: Results) -> dict[str, Any]:
        for index, proxy in enumerate(results.proxies):
            if proxy.name.startswith("cifar"):
                work = proxy.work[early].trained / proxy.work["full"].trained
                return {"gain": gain(results, index, "clean", 0.9, method), "work": work}
        raise Undecided(
            'needs CIFAR-10 or CIFAR-100, which may not be shipped, and a GPU for hours: datasets=["cifar10"]'
        )

    return measure


CLAIMS = (
    Claim(
        id="C1a",
        says="Difficulty times uncertainty finds the hard sample earlier: for two orthogonal samples the closed-form "
        "crossing times are exact, and T_dual ≤ T_unc / 2",
        criterion="error < 0.001 and ratio <= 0.5",
        reason="the crossing-time theorem: the formula is exact and one half is its constant; 0.001 allows for "
        "bisection",
        measure=_formula(1.0),
        control=Control("difficulty exponent p = -1/2, which rewards easy samples", _formula(-0.5)),
    ),
    Claim(
        id="C1b",
        says="DUAL is never later than uncertainty alone: in every window of 200 correlated pairs, a hard sample "
        "that leads in spread leads in DUAL, and T_dual < T_unc",
        criterion="violations == 0 and earlier == 1",
        reason="the ordering proposition has no exception",
        measure=_ordering("violations"),
        control=Control("the easy and the hard sample exchanged in the implication", _ordering("swapped")),
    ),
    Claim(
        id="C2",
        says="The early DUAL score selects what a full training's uncertainty selects, better than early uncertainty "
        "does",
        criterion=_joined("lead_@ > 0.02"),
        reason="overlap of the top 30 % with full-run Dyn-Unc, the smallest lead of any replica; 0.02 is a quarter "
        "of the smallest lead of development runs",
        measure=_lead(None),
        control=Control("difficulty exponent p = -1/2, which rewards easy samples", _lead(-0.5)),
    ),
    Claim(
        id="C3",
        says="Scoring takes 15 % of the usual cost on CIFAR (30 of 200 epochs) and 66 % on ImageNet (60 of 90 epochs)",
        criterion="abs(work - 0.15) < 0.005 and abs(cifar - 0.15) < 0.005 and abs(imagenet - 0.66) < 0.01",
        reason="the abstract's two percentages; work counts the samples that our early and full runs really "
        "processed, a training pass as three forward passes",
        measure=_cost("early", 30 / 200, 60 / 90),
        control=Control("scores of a full training", _cost("full", 1.0, 1.0)),
    ),
    Claim(
        id="C4a",
        says="At mild pruning, keeping the samples of largest DUAL is better than keeping random ones",
        criterion=_joined("gain_@ > 0"),
        reason="better means a positive mean gain in accuracy",
        measure=_mild("DUAL"),
        control=Control("the samples of smallest DUAL", _mild("lowest DUAL")),
    ),
    Claim(
        id="C4b",
        says="At mild pruning DUAL is level with CCS and Dyn-Unc, scores of a full training: within two points of both",
        criterion=_joined("ccs_@ > -0.02 and dynunc_@ > -0.02"),
        reason="the abstract says superior; at our scale the three differ by a point or less in either direction, "
        "which few repetitions cannot order",
        measure=_near("DUAL"),
        control=Control("the samples of smallest DUAL", _near("lowest DUAL")),
        stance="restated",
    ),
    Claim(
        id="C4c",
        says="DUAL with Beta sampling is superior to the state of the art at extreme pruning: it is not at our "
        "scale, CCS is better under label noise at ratio 0.9",
        criterion=_joined("lead_@ > 0"),
        reason="a positive lead of CCS over DUAL+Beta, both from the early epochs, contradicts the claim as worded",
        measure=_ccs_lead("DUAL+Beta"),
        control=Control(
            "CCS that drops no samples of small margin, so that wrong labels stay", _ccs_lead("DUAL+Beta", "CCS uncut")
        ),
        stance="refuted",
    ),
    Claim(
        id="C5a",
        says="At ratio 0.9 the samples of largest DUAL collapse far below random ones",
        criterion=_joined("gain_@ < -0.08"),
        reason="eight points, half of the mildest collapse of development runs",
        measure=_extreme("DUAL"),
        control=Control("CCS, a coreset of the same size that covers easy and hard samples", _extreme("CCS")),
    ),
    Claim(
        id="C5b",
        says="Beta sampling repairs the collapse at ratio 0.9",
        criterion=_joined(
            "repair_@ > 0.08 and gain_@ > 0",
            digits="repair_digits > 0.08 and gain_digits > -0.02",
        ),
        reason="it regains what C5a says is lost; and it is not below random, to two points on digits, where 129 "
        "samples remain",
        measure=_repair("DUAL+Beta"),
        control=Control("the Beta law frozen as at r = 0.3", _repair("Beta frozen")),
    ),
    Claim(
        id="C5c",
        says="The sampling adapts to the ratio: it is harder than the population at 0.5 and easier at 0.9; on large "
        "sets, where a larger c_D keeps its target below the population, it is easier at 0.9 than at 0.5",
        criterion=_joined(
            "mild_@ < 0 and extreme_@ > mild_@",
            digits="mild_digits < 0 and extreme_digits > 0",
            mini="mild_mini < 0 and extreme_mini > 0",
        ),
        reason="the mean of the Beta law rises with r from the hardest samples' mean to 1",
        measure=_adaptive("DUAL+Beta"),
        control=Control("the Beta law frozen as at r = 0.3", _adaptive("Beta frozen")),
    ),
    Claim(
        id="C6a",
        says="Under 20 % label noise DUAL at ratio 0.7 keeps fewer wrong labels than there are, and with Beta "
        "sampling hardly any",
        criterion=_joined("dual_@ < 0.135 and beta_@ < 0.02 and el2n_@ > 0.4"),
        reason="two thirds and a tenth of the noise rate, while EL2N doubles it",
        measure=_purity("DUAL", "DUAL+Beta"),
        control=Control("EL2N and AUM in place of the two", _purity("EL2N", "AUM")),
    ),
    Claim(
        id="C6b",
        says="Under label noise DUAL with Beta sampling beats random pruning by more than three points at ratios 0.7 "
        "and 0.9",
        criterion=_joined("at70_@ > 0.03 and at90_@ > 0.03"),
        reason="three points, more than the spread between replicas explains",
        measure=_noisy("DUAL+Beta"),
        control=Control("EL2N in the place of DUAL with Beta sampling", _noisy("EL2N")),
    ),
    Claim(
        id="C6c",
        says="DUAL's resistance to label noise belongs to the early phase of training, before wrong labels are "
        "memorized",
        criterion="share < base",
        reason="DUAL must keep fewer wrong labels than a random choice",
        measure=_early_phase(False),
        control=Control(
            "five times the learning rate: wrong labels are memorized within the same epochs", _early_phase(True)
        ),
        stance="restated",
    ),
    Claim(
        id="C7",
        says="With 30 % damaged images DUAL with Beta sampling is not below random pruning at ratios 0.5 and 0.9",
        criterion=_joined(
            "at50_@ > -0.005 and at90_@ > 0",
            digits="at50_digits > -0.005 and at90_digits > -0.02",
        ),
        reason="half a point at 0.5; above random at 0.9, to two points on digits, where 129 samples remain",
        measure=_corrupted("DUAL+Beta"),
        control=Control("the samples of largest DUAL", _corrupted("DUAL")),
    ),
    Claim(
        id="C8",
        says="Coresets carry over: chosen with one network under label noise, they beat random ones for an SVM and "
        "another network",
        criterion=_joined("svm_@ > 0 and network_@ > 0"),
        reason="better means a positive mean gain in accuracy, ratio 0.7",
        measure=_other_learners("DUAL+Beta"),
        control=Control("coresets of EL2N", _other_learners("EL2N")),
    ),
    Claim(
        id="C9a",
        says="On ImageNet-1k 60 % test accuracy at 90 % pruning",
        criterion="needs ImageNet-1k and days of GPU time, which nobody here has",
        reason="the abstract's number",
        stance="undecided",
    ),
    Claim(
        id="C9b",
        says="On CIFAR DUAL with Beta sampling beats random pruning at ratio 0.9 at 15 % of the scoring cost",
        criterion="gain > 0 and work < 0.16",
        reason="the abstract's cost and, from the paper's plots, 3 points on CIFAR-10 and 9 on CIFAR-100",
        measure=_cifar("DUAL+Beta", "early"),
        control=Control("the samples of largest full-run Dyn-Unc", _cifar("Dyn-Unc", "full")),
    ),
)


def quantities(results: Results) -> dict[str, Any]:
    """Further measured values that the chapter's page quotes: accuracies, and what did not reproduce."""
    found: dict[str, Any] = {}
    for index, proxy in enumerate(results.proxies):
        key = proxy.preset.key
        cells, subsets = results.retrained[index], results.coresets[index].chosen
        for (scenario, ratio, method), reached in cells.items():
            name = f"{method}_{scenario}_{round(100 * ratio)}_{key}"
            for old, new in (("+", "_"), ("-", "_"), (", c = 4", "_c4"), (" ", "_")):
                name = name.replace(old, new)
            if method == "random":
                found[name] = float(reached.mean())
            else:
                found[name] = 100 * gain(results, index, scenario, ratio, method)
        for ratio in (0.5, 0.7, 0.9):
            if ("corrupt", ratio, "DUAL") in subsets:
                for method, name in (("DUAL", "DUAL"), ("DUAL+Beta", "DUAL_Beta")):
                    found[f"damaged_{name}_{round(100 * ratio)}_{key}"] = damaged_share(results, index, ratio, method)
        if ("noise", 0.7, "EL2N") in subsets:
            for method in ("EL2N", "AUM", "DUAL", "DUAL+Beta", "CCS"):
                found[f"wrong_{method.replace('+', '_')}_{key}"] = wrong_share(results, index, 0.7, method)
        if results.transferred[index]:
            for learner in ("svm", "knn"):
                found[f"{learner}_clean_{key}"] = 100 * transferred(results, index, learner, "clean", "DUAL+Beta")
        found[f"overlap_dual_{key}"] = float(
            overlaps(proxy, proxy.params.window, proxy.params.epochs_early, proxy.params.difficulty_power).mean()
        )
        found[f"overlap_dynunc_{key}"] = float(
            overlaps(proxy, proxy.params.window, proxy.params.epochs_early, 0.0).mean()
        )
    found["median_ratio"] = float(np.median(results.crossing.ratio))
    found["largest_ratio"] = float(results.crossing.ratio.max())
    return found


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge all claims on the results."""
    return judge(CLAIMS, results, PAPER.slug, params, quantities(results))
