"""Matrices alone: how the orthogonal factor reacts, and convergence on a rippled bowl."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.rates import loglog_slope
from companion.chapters.mimuon.bounds import convergence_bound, least_horizon
from companion.chapters.mimuon.landscape import descend, value
from companion.chapters.mimuon.parameters import Parameters
from companion.chapters.mimuon.perturbation import amplification, matrix_pairs
from companion.chapters.mimuon.rule import Rule
from companion.chapters.mimuon.spectrum import clipped
from companion.results import experiment

SHAPES = ((6, 6), (9, 6))
LEAST = np.geomspace(1e-3, 1, 7)
GAPS = np.array([1e-6, 1e-3, 0.03, 0.3, 1.0])
SMALL_STEP = 1e-3  # length of the perturbation over the least singular value
TAU = 0.1  # of the clipped spectrum
_PAIRS = 40


@dataclass(frozen=True)
class Amplification:
    """How much farther apart than two matrices their orthogonal factors are."""

    #: least: the least singular value, ``(A,)``; gaps: distance of neighbouring ones, ``(B,)``
    least: np.ndarray
    gaps: np.ndarray
    #: worst direction for each of SHAPES, ``(2, A, B)``
    worst: np.ndarray
    #: largest over all directions, times the least singular value of the two or their smallest gap, ``(2, A, B)``
    by_least: np.ndarray
    by_gap: np.ndarray
    #: largest over all directions for the clipped spectrum, times TAU, ``(2, A, B)``
    clipped: np.ndarray
    #: of ``diag(1, e)`` and ``diag(1, -e)`` for the values of ``least``, ``(A,)``
    diagonal: np.ndarray


@experiment
def lipschitz(params: Parameters) -> Amplification:
    """Pairs of matrices over a grid of least singular values and gaps."""
    rng = params.rng(10)
    worst, by_least, by_gap, smooth = np.empty((4, len(SHAPES), len(LEAST), len(GAPS)))
    for a, shape in enumerate(SHAPES):
        for b, least in enumerate(LEAST):
            for c, gap in enumerate(GAPS):
                A, B = matrix_pairs(*shape, least, gap, SMALL_STEP, _PAIRS, rng)
                ratio = amplification(A, B)
                values = torch.linalg.svdvals(torch.stack([A, B])).numpy()
                worst[a, b, c] = ratio[0]
                by_least[a, b, c] = (ratio * values[..., -1].min(0)).max()
                by_gap[a, b, c] = (ratio * (values[..., :-1] - values[..., 1:]).min((0, 2))).max()
                smooth[a, b, c] = amplification(A, B, lambda M: clipped(M, TAU)).max() * TAU
    first, second = (torch.diag_embed(torch.tensor(np.stack([np.ones_like(LEAST), e], 1))) for e in (LEAST, -LEAST))
    return Amplification(LEAST, GAPS, worst, by_least, by_gap, smooth, amplification(first, second))


# --- convergence ----------------------------------------------------------------------------------------------------

METHODS = ("Muon", "MiMuon, gap", "MiMuon, norm")
HEIGHT, FREQUENCY, ROWS, COLUMNS = 0.3, 3.0, 8, 6
SMOOTHNESS = 1 + HEIGHT * FREQUENCY**2
NOISE = 1.0  # root of the variance of a gradient
_TAU = {"gap": 0.02, "fro": 1.0}
_LONG_WAY = 20.0  # many times the spectral norm of a start
CAREFUL = 0.25  # the step size's factor for which the theorem holds from T = 47 on


@dataclass(frozen=True)
class Convergence:
    """Mean gradient norms over T steps, K methods."""

    #: ``(H,)``
    horizons: np.ndarray
    #: mean over the steps of the Frobenius norm of the gradient, ``(K, H)``
    norm: np.ndarray
    #: the same for steps as long, and momenta as short, as for the first horizon, ``(K, H)``
    fixed: np.ndarray
    #: share of orthogonalized steps, ``(K, H)``
    share: np.ndarray
    #: for small steps: the first two horizons, the theorem's left-hand side ``(K, 2)``, and its bound ``(2,)``
    careful: np.ndarray
    bound: np.ndarray
    #: the least T for which the theorem speaks of the long and of the small steps, ``(2,)``
    least_horizons: np.ndarray
    #: whether fixed steps have had the time to stall: four times the first horizon, and a long way
    stalls: bool

    def slopes(self, steps: str) -> np.ndarray:
        """Exponents of T between the last two horizons, ``(K,)``; of ``"scheduled"`` or ``"fixed"`` steps."""
        values = {"scheduled": self.norm, "fixed": self.fixed}[steps]
        return loglog_slope(self.horizons[-2:], values[:, -2:])


@experiment
def convergence(params: Parameters) -> Convergence:
    """Muon and MiMuon on the rippled bowl, with the theorem's step sizes and with fixed ones.

    On the CPU whatever the device: a step is some dozens of tiny operations, which a GPU takes longer to launch.
    """
    rules = [Rule("Muon", "always"), Rule("MiMuon, gap", "gap", _TAU["gap"]), Rule("MiMuon, norm", "fro", _TAU["fro"])]
    drawn = params.rng(11).normal(size=(params.rate_replicas, ROWS, COLUMNS))
    start = torch.tensor(3 * drawn / np.sqrt(ROWS * COLUMNS))
    horizons = np.array(params.horizons)

    def run(eta0: float, T: int, of: int, part: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``T`` steps, with sizes that are meant for ``of`` steps; means over the runs, cumulative over the steps."""
        generator = params.torch_rng(12, part)
        return descend(start, rules, T, eta0 * of**-0.75, of**-0.5, HEIGHT, FREQUENCY, NOISE, generator)

    first = params.horizons[0]
    scheduled = [run(params.rate_eta, T, T, k) for k, T in enumerate(params.horizons)]
    fixed = run(params.rate_eta, params.horizons[-1], first, 0)[0]
    careful = [run(CAREFUL, T, T, 10 + k)[1][:, -1] for k, T in enumerate(params.horizons[:2])]
    return Convergence(
        horizons=horizons,
        norm=np.stack([norm[:, -1] for norm, _, _ in scheduled], 1),
        fixed=fixed[:, horizons - 1],
        share=np.stack([share[:, -1] for _, _, share in scheduled], 1),
        careful=np.stack(careful, 1),
        bound=convergence_bound(
            horizons[:2],
            CAREFUL,
            float(value(start, HEIGHT, FREQUENCY).mean()),
            min(ROWS, COLUMNS),
            SMOOTHNESS,
            NOISE**2,
        ),
        least_horizons=np.array([least_horizon(eta0, SMOOTHNESS) for eta0 in (params.rate_eta, CAREFUL)]),
        stalls=bool(horizons[-2] >= 4 * first and params.rate_eta * first**-0.75 * horizons[-2] >= _LONG_WAY),
    )
