"""What each method scores by, what its score cost, and which samples it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from companion.analysis import pruning
from companion.chapters.dual_pruning.scoring import Run

FROZEN_RATIO = 0.3  # the ratio at which the "frozen" control fixes the Beta law
OTHER_C = 4.0  # the paper's default of c_D, tried beside our choice
CUT_RATIOS, CUTS = (0.5, 0.7, 0.8, 0.9), (0.0, 0.1, 0.2, 0.3)
OVER_NOISE = 1.5  # under label noise CCS is told to cut this multiple of the noise rate
LEAST_CUT = 0.1  # what CCS cuts at least where images are damaged


@dataclass(frozen=True)
class Scores:
    """The scores of every sample in one scenario, and what each method's score cost."""

    dual: np.ndarray  #: (S, N), from the early run
    mean_prob: np.ndarray  #: (S, N), mean probability of the given label, from the early run
    el2n: np.ndarray  #: (S, N), at the last early epoch
    aum_early: np.ndarray  #: (S, N), from the early run
    aum: np.ndarray  #: (S, N), from the run that the peers use
    dyn_unc: np.ndarray  #: (S, N), from the run that the peers use
    operations: dict[str, float]  #: floating-point operations behind the score, by method


def score_all(early: Run, peers: Run, window: int, power: float) -> Scores:
    """All scores: DUAL and EL2N from the run that stopped early, AUM, CCS and Dyn-Unc from the run of the peers.

    Parameters
    ----------
    early, peers : where nobody made a full run, both are the early one
    window, power : length of the window and exponent of the difficulty
    """
    few, many = early.dynamics, peers.dynamics
    cheap = dict.fromkeys(("EL2N", "CCS early", "DUAL", "DUAL+Beta"), early.operations)
    dear = dict.fromkeys(("AUM", "Dyn-Unc", "CCS"), peers.operations)
    return Scores(
        dual=few.dual(window, power=power),
        mean_prob=few.mean_prob(),
        el2n=few.el2n(few.epochs),
        aum_early=few.aum(),
        aum=many.aum(),
        dyn_unc=many.dyn_unc(window),
        operations=cheap | dear,
    )


def ccs_cut(scenario: str, ratio: float, label_noise: float) -> float:
    """Share of smallest margins that CCS drops: it grows with the ratio, and under noise is at least 1.5 times it."""
    usual = float(np.interp(ratio, CUT_RATIOS, CUTS))
    if scenario == "noise":
        usual = max(usual, OVER_NOISE * label_noise)
    elif scenario == "corrupt":
        usual = max(usual, LEAST_CUT)
    return min(usual, ratio)


def choose_exponent(candidates: Sequence[float], accuracy: np.ndarray) -> float:
    """The smallest exponent that is worse than the best by no more than the standard error of their difference.

    Parameters
    ----------
    candidates : in ascending order
    accuracy : on a validation split, ``(candidates, ratios, S)``
    """
    runs = accuracy.mean(1)
    behind = runs[runs.mean(1).argmax()] - runs
    count = behind.shape[1]
    error = behind.std(1, ddof=1) / np.sqrt(count) if count > 1 else np.zeros(len(behind))
    return candidates[int(np.argmax(behind.mean(1) <= error))]


def select(
    scores: Scores, replica: int, *, n: int, ratio: float, c_d: float, cut: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The ``n`` samples that each method keeps in one replica."""
    p, d, total = scores.mean_prob[replica], scores.dual[replica], scores.dual.shape[1]

    def drawn(at: float, exponent: float) -> np.ndarray:
        return pruning.beta_sampling(d, p, n=n, ratio=at, c_d=exponent, rng=rng)

    return {
        "random": pruning.random(total, n, rng),
        "EL2N": pruning.top_n(scores.el2n[replica], n),
        "AUM": pruning.top_n(-scores.aum[replica], n),
        "Dyn-Unc": pruning.top_n(scores.dyn_unc[replica], n),
        "CCS": pruning.ccs(scores.aum[replica], cut, n, rng),
        "CCS uncut": pruning.ccs(scores.aum[replica], 0.0, n, rng),
        "CCS early": pruning.ccs(scores.aum_early[replica], cut, n, rng),
        "DUAL": pruning.top_n(d, n),
        "DUAL+Beta": drawn(ratio, c_d),
        "Beta frozen": drawn(FROZEN_RATIO, c_d),
        "Beta, c = 4": drawn(ratio, OTHER_C),
        "lowest DUAL": pruning.top_n(-d, n),
    }


def top_overlap(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Overlap of the top ``share`` of the samples under two scores ``(S, N)``, for each replica ``(S,)``."""
    top = max(1, int(share * first.shape[1]))
    pairs = zip(first, second, strict=True)
    return np.array([pruning.overlap(pruning.top_n(a, top), pruning.top_n(b, top)) for a, b in pairs])
