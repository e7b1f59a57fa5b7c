"""The law of the dual gap: bounds, orders, and the game of two actions."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.rates import loglog_slope
from companion.chapters.generalized_bilinear_preference_rlhf import bounds, games
from companion.chapters.generalized_bilinear_preference_rlhf.parameters import Parameters, generator
from companion.chapters.generalized_bilinear_preference_rlhf.preferences import FLOAT, environments
from companion.results import experiment

# Regularizers and the etas at which the bounds are tried.
BOUND_ETAS = {
    "kl": (0.1, 1.0, 10.0, 100.0, 1000.0),
    "tsallis": (0.1, 1.0, 10.0, 100.0),
    "chi2": (0.3, 1.0, 3.0, 10.0),
    "mixed": (0.1, 1.0, 10.0, 100.0),
}
SCALES = (0.03, 0.3, 3.0)  # of the error, in Frobenius norm
EPSILONS = (1.0, 0.3, 0.1, 0.03, 0.01)  # of the game of two actions
PAIR_ETAS = (10.0, 100.0, 200.0, 1000.0, 10_000.0)  # at which its worst case is sought
CONSTANTS = ("printed", "corrected")  # of the bound without eta


@dataclass(frozen=True)
class GapLaw:
    """Dual gaps of the greedy policy of a wrong estimate, against every bound."""

    #: by policy and regularizer, largest DGap over the corrected bound with eta
    squared: dict[str, dict[str, float]]
    #: the same over the corrected bound without eta
    first_order: dict[str, dict[str, float]]
    #: by regularizer, largest DGap over the bound with eta as printed
    printed: dict[str, float]
    #: by regularizer, largest DGap over ``eta beta / 8 range(h)^2``
    sharp: dict[str, float]
    #: by regularizer, largest DGap over ``max h``
    top: dict[str, float]
    #: ``sharp`` of two equally likely actions as the error vanishes: KL, and half the squared 2-norm with beta = 1
    attained: dict[str, float]
    #: ``sharp`` for half the squared 2-norm with beta = 1 instead of K
    euclidean: float
    #: largest DGap over the corrected bound with eta, linear link, KL
    linear: float
    #: of the game of two actions, ``(k,)``
    epsilons: np.ndarray
    #: its DGap over the bound without eta at eta = 1e7 / epsilon, by the bound's constant, ``(k,)``
    pair: dict[str, np.ndarray]
    #: inverse regularization strengths, ``(m,)``
    pair_etas: np.ndarray
    #: the largest such ratio at each, over errors of the two-action game, by the bound's constant, ``(m,)``
    pair_worst: dict[str, np.ndarray]
    #: Frobenius norms of the error, ``(k,)``
    sizes: np.ndarray
    #: of the slopes; the last is eta_huge
    etas: np.ndarray
    #: KL dual gaps averaged over games, ``(etas, k)``
    gaps: np.ndarray
    #: averages of the corrected bound with eta, ``(etas, k)``, and of the one without, ``(k,)``
    bounds: tuple[np.ndarray, np.ndarray]
    #: by regularizer, slopes of log DGap against log error at eta = 1, one per game
    slopes: dict[str, np.ndarray]
    #: of the averaged KL dual gap at eta_huge; single games may have a gap of exactly 0 there
    slope_huge: float
    #: largest residual of any equilibrium, relative to ``max(1, eta / 100)``
    residual: float


@experiment
def gap_law(params: Parameters) -> GapLaw:
    """C2. Both inequalities on random games, their order in the error, and the two-action game."""
    source = generator(params, 2)
    n, d, actions, r = params.games, 4, 8, 1
    env = environments(n, 1, actions, d, r, 6.0, source)
    raw = torch.randn(n, d, d, dtype=FLOAT, generator=source)
    direction = (raw - raw.mT) / (raw - raw.mT).norm(dim=(-2, -1), keepdim=True)
    env, direction = env.to(params.device), direction.to(params.device)
    features, theta = env.features[:, 0], env.theta

    def tensor(values):
        return torch.tensor(values, dtype=FLOAT, device=params.device)

    scales = tensor(SCALES)[:, None, None, None]
    squared, first_order = ({policy: {} for policy in bounds.POLICIES} for _ in range(2))
    printed, sharp, top, residuals = {}, {}, {}, []
    for name, values in BOUND_ETAS.items():
        regularizer, eta = games.REGULARIZERS[name], tensor(values)[:, None, None]
        strength = eta * regularizer.beta
        for policy in bounds.POLICIES:
            got = bounds.greedy_of(features, theta, theta - scales * direction, eta, regularizer, policy=policy)
            squared[policy][name] = float(got.squared(strength).max())
            first_order[policy][name] = float(got.first_order().max())
            residuals.append(got.residual)
            if policy == "equilibrium":
                printed[name] = float(got.squared_as_printed(strength).max())
                sharp[name] = float(got.by_duality(strength).max())
                top[name] = float((got.gap / got.top).max())
    eta = tensor((0.1, 0.3, 1.0))[:, None]
    # Half the squared 2-norm is chi-square divided by K, up to a constant.
    got = bounds.greedy_of(features, theta, theta - 0.3 * direction, actions * eta, games.REGULARIZERS["chi2"])
    euclidean = float(got.by_duality(eta).max())
    eta = tensor((0.1, 1.0, 10.0, 100.0))[:, None]
    small = 0.4 * theta / torch.linalg.matrix_norm(theta, 2)[:, None, None]
    got = bounds.greedy_of(features, small, small - 0.1 * direction, eta, games.REGULARIZERS["kl"], link=lambda z: z)
    linear = float((got.gap / (2 * eta * got.mean**2)).max())

    sizes, etas = np.geomspace(0.01, 0.1, 7), np.array([1.0, 10.0, 100.0, params.eta_huge])
    steps = torch.from_numpy(sizes).to(params.device)[:, None, None, None]

    def along(name, eta):
        got = bounds.greedy_of(features, theta, theta - steps * direction, tensor(eta), games.REGULARIZERS[name])
        residuals.append(got.residual)
        return got, got.gap.cpu().numpy()

    slopes = {name: loglog_slope(sizes, along(name, 1.0)[1].T) for name in BOUND_ETAS}
    gaps, with_eta = [], []
    for value in etas:
        got, gap = along("kl", float(value))
        gaps.append(gap.mean(-1))
        with_eta.append((got.gap / got.squared(tensor(float(value)))).mean(-1).cpu().numpy())
    pair, worst = _two_actions()
    return GapLaw(
        squared=squared,
        first_order=first_order,
        printed=printed,
        sharp=sharp,
        top=top,
        attained=_attained(),
        euclidean=euclidean,
        linear=linear,
        epsilons=np.array(EPSILONS),
        pair=pair,
        pair_etas=np.array(PAIR_ETAS),
        pair_worst=worst,
        sizes=sizes,
        etas=etas,
        gaps=np.stack(gaps),
        bounds=(np.stack(with_eta), (bounds.SLOPE * got.mean).mean(-1).cpu().numpy()),
        slopes=slopes,
        slope_huge=float(loglog_slope(sizes, gaps[-1])),
        residual=max(residuals),
    )


def _by_constant(got: bounds.Greedy) -> dict[str, np.ndarray]:
    return dict(zip(CONSTANTS, (got.first_order_as_printed().numpy(), got.first_order().numpy()), strict=True))


def _two_actions() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Ratios at ``delta = eps / 1000`` and ``eta delta = 1e4``; and the largest over ``eps``, ``delta`` at each eta."""
    kl, epsilon = games.REGULARIZERS["kl"], torch.tensor(EPSILONS, dtype=FLOAT)
    pair = _by_constant(bounds.two_actions(epsilon, epsilon / 1000, 1e4 / (epsilon / 1000), kl))
    grid = torch.cartesian_prod(torch.logspace(-3, 0.5, 36, dtype=FLOAT), torch.logspace(-5, 0.5, 56, dtype=FLOAT))
    eta = torch.tensor(PAIR_ETAS, dtype=FLOAT).repeat_interleave(len(grid))
    found = _by_constant(bounds.two_actions(*grid.repeat(len(PAIR_ETAS), 1).T, eta, kl))
    return pair, {name: ratios.reshape(len(PAIR_ETAS), -1).max(-1) for name, ratios in found.items()}


def _attained() -> dict[str, float]:
    """The bound by duality at two equally likely actions and an error of 0.01, eta = 1."""
    one = torch.ones(1, dtype=FLOAT)
    kl = bounds.two_actions(0.01 * one, 0 * one, one, games.REGULARIZERS["kl"])
    euclidean = bounds.two_actions(0.01 * one, 0 * one, 2 * one, games.REGULARIZERS["chi2"])
    return {"1-norm": float(kl.by_duality(one)), "2-norm": float(euclidean.by_duality(one))}
