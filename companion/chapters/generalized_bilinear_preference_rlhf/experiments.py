"""Experiments: cycles, the dual-gap law, explore-then-commit, ranks; and the whole run."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.rates import loglog_slope
from companion.chapters.generalized_bilinear_preference_rlhf import estimation, games
from companion.chapters.generalized_bilinear_preference_rlhf.estimation import Counts
from companion.chapters.generalized_bilinear_preference_rlhf.greedy import (
    MOST,
    Learning,
    Run,
    Simplex,
    draw_duels,
    greedy_sampling,
    learning,
    simplex,
)
from companion.chapters.generalized_bilinear_preference_rlhf.setting import (
    FLOAT,
    Environments,
    Parameters,
    environments,
    generator,
    payoff,
    uniform,
)

SLOPE = 0.25  # L, the largest slope of the logistic link
PLAIN_RIDGE = 1e-3  # keeps a plain fit finite where the duels leave it open, and does no more

# --- a cycle ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cycle:
    """Three actions in a circle, duelled evenly, and two models fitted to the same duels.

    Attributes
    ----------
    features : three unit vectors at 120 degrees, ``(3, 2)``
    truth, bilinear, bradley_terry : probabilities that the row's action beats the column's: true, fitted by a bilinear
        model and fitted by a Bradley-Terry model, ``(3, 3)``
    equilibrium : of the true game at each ``eta`` of the run, ``(n, 3)``
    excess : cross-entropy of the two fitted models minus the entropy of the truth, nats per duel, ``(2,)``
    """

    features: np.ndarray
    truth: np.ndarray
    bilinear: np.ndarray
    bradley_terry: np.ndarray
    equilibrium: np.ndarray
    excess: np.ndarray


def cycle(params: Parameters, duels: int = 3000) -> Cycle:
    """C1. A cycle that no reward can express."""
    angle = 2 * math.pi * torch.arange(3, dtype=FLOAT) / 3
    features = torch.stack([angle.cos(), angle.sin()], -1)[None, None]
    theta = torch.tensor([[[0.0, 4.0], [-4.0, 0.0]]], dtype=FLOAT)
    true = payoff(features, theta)
    even = torch.full((1, 1, 3), 1 / 3, dtype=FLOAT)
    uniforms = torch.rand(1, duels, 4, dtype=FLOAT, generator=generator(params, 1))
    counts = draw_duels(even, even, true + 0.5, uniforms)
    design = estimation.upper(features)
    bilinear = estimation.skew(estimation.skew_mle(design, counts, 1e-6, design.new_zeros(1, 1), 1e-9, 50), 2)
    # The Bradley-Terry model is the bilinear one with features (e_a, 1) and Theta = ((0, theta), (-theta^T, 0)):
    # of its design keep the columns that multiply rewards.
    rewards = torch.cat([torch.eye(3, dtype=FLOAT), torch.ones(3, 1, dtype=FLOAT)], -1)[None, None]
    columns = torch.nonzero(torch.triu_indices(4, 4, 1)[1] == 3)[:, 0]
    reward = estimation.skew_mle(
        estimation.upper(rewards)[..., columns], counts, 1e-6, design.new_zeros(1, 3), 1e-9, 50
    )[0]
    fitted = [payoff(features, bilinear)[0, 0], torch.tanh((reward[:, None] - reward) / 2) / 2]
    etas = torch.tensor([*params.eta_list, params.eta_huge], dtype=FLOAT)
    solved = games.symmetric_equilibrium(true[0].expand(len(etas), 3, 3), etas, even[0, 0], games.REGULARIZERS["kl"])
    off = ~torch.eye(3, dtype=torch.bool)
    p = true[0, 0][off] + 0.5
    excess = [float((p * (p / (q[off] + 0.5)).log()).mean()) * 2 for q in fitted]
    return Cycle(
        features[0, 0].numpy(),
        (true[0, 0] + 0.5).numpy(),
        (fitted[0] + 0.5).numpy(),
        (fitted[1] + 0.5).numpy(),
        (solved.y.exp() / 3).numpy(),
        np.array(excess),
    )


# --- the dual-gap law -------------------------------------------------------------------------------------------------

# Regularizers and the etas at which the bounds are tried; "euclidean" is half the squared 2-norm, chi-square at K eta.
BOUND_ETAS = {
    "kl": (0.1, 1.0, 10.0, 100.0, 1000.0),
    "tsallis": (0.1, 1.0, 10.0, 100.0),
    "chi2": (0.3, 1.0, 3.0, 10.0),
    "mixed": (0.1, 1.0, 10.0, 100.0),
}
SCALES = (0.03, 0.3, 3.0)
EPSILONS = (1.0, 0.3, 0.1, 0.03, 0.01)


@dataclass(frozen=True)
class GapLaw:
    """Dual gaps of the greedy policy of a wrong estimate, against every bound.

    Attributes
    ----------
    smooth, first : by regularizer, DGap over the corrected two bounds of the theorem, ``(etas, scales, games)``
    printed : by regularizer, DGap over the bound with eta as printed
    sharp : by regularizer, DGap over ``eta beta / 8 range(h)^2`` and over ``max h``, ``(2, etas, scales, games)``
    euclidean : the first of these for half the squared 2-norm with beta = 1 instead of K, ``(etas, games)``
    linear : DGap over the corrected bound with eta, linear link, KL, ``(etas, games)``
    epsilons : of the two-action game
    pair : its DGap over the printed and over the corrected eta-free bound, ``(2, epsilons)``
    sizes : Frobenius norms of the error, ``(k,)``
    etas : of the slopes; the last is eta_huge
    gaps : KL dual gaps averaged over games, ``(etas, k)``
    bounds : averages of the corrected bound with eta, ``(etas, k)``, and of the eta-free one, ``(k,)``
    slopes : by regularizer, of log DGap against log error at eta = 1, one per game
    slope_huge : of the averaged KL dual gap at eta_huge; single games may have a gap of exactly 0 there
    residual : largest residual of any equilibrium, relative to ``max(1, eta / 100)``
    """

    smooth: dict[str, np.ndarray]
    first: dict[str, np.ndarray]
    printed: dict[str, np.ndarray]
    sharp: dict[str, np.ndarray]
    euclidean: np.ndarray
    linear: np.ndarray
    epsilons: np.ndarray
    pair: np.ndarray
    sizes: np.ndarray
    etas: np.ndarray
    gaps: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]
    slopes: dict[str, np.ndarray]
    slope_huge: float
    residual: float


@dataclass(frozen=True)
class _Greedy:
    """Dual gap of an estimate's equilibrium and what the bounds are made of, all of the same batch shape."""

    gap: torch.Tensor
    mean: torch.Tensor  # E |E phi|
    mean_square: torch.Tensor  # E |E phi|^2
    spread: torch.Tensor  # max h - min h
    top: torch.Tensor  # max h
    residual: float


def greedy_of(
    features: torch.Tensor,
    theta: torch.Tensor,
    estimate: torch.Tensor,
    eta: torch.Tensor,
    regularizer: games.Regularizer,
    link=None,
) -> _Greedy:
    """Equilibrium of the estimated game, its dual gap in the true one, and ``h = (M_star - M_hat) pi_hat``.

    ``features`` ``(N, K, d)``, ``theta`` and ``estimate`` broadcast to ``(..., N, d, d)``, ``eta`` to ``(..., N)``.
    """
    link = link or (lambda logits: torch.tanh(logits / 2) / 2)
    true, wrong = (link(features @ matrix @ features.mT) for matrix in (theta, estimate))
    true, wrong = torch.broadcast_tensors(true, wrong)
    eta = eta.expand(torch.broadcast_shapes(eta.shape, true.shape[:-2]))
    true, wrong = true.expand(*eta.shape, *true.shape[-2:]), wrong.expand(*eta.shape, *true.shape[-2:])
    ref = uniform(true)
    solved = games.symmetric_equilibrium(wrong, eta, ref, regularizer)
    pi = games.policy(solved.y, ref, regularizer)
    sizes = (features @ (theta - estimate).mT).norm(dim=-1)
    h = ((true - wrong) @ pi[..., None])[..., 0]
    return _Greedy(
        games.dual_gap(true, solved.y, eta, ref, regularizer),
        (pi * sizes).sum(-1),
        (pi * sizes**2).sum(-1),
        h.amax(-1) - h.amin(-1),
        h.amax(-1),
        float((solved.residual / (eta / 100).clamp_min(1)).max()),
    )


def gap_law(params: Parameters) -> GapLaw:
    """C2. Both inequalities on random games, their order in the error, and the two-action game."""
    source = generator(params, 2)
    n, d, actions, r = params.games, 4, 8, 1
    env = environments(n, 1, actions, d, r, 6.0, source)
    raw = torch.randn(n, d, d, dtype=FLOAT, generator=source)
    direction = (raw - raw.mT) / (raw - raw.mT).norm(dim=(-2, -1), keepdim=True)
    env, direction = env.to(params.device), direction.to(params.device)
    features, theta = env.features[:, 0], env.theta

    def etas_of(values):
        return torch.tensor(values, dtype=FLOAT, device=params.device)

    scales = etas_of(SCALES)[:, None, None, None]
    smooth, first, printed, sharp, residuals = {}, {}, {}, {}, []
    for name, values in BOUND_ETAS.items():
        regularizer, eta = games.REGULARIZERS[name], etas_of(values)[:, None, None]
        got = greedy_of(features, theta, theta - scales * direction, eta, regularizer)
        strength = eta * regularizer.beta
        smooth[name] = got.gap / (2 * SLOPE**2 * strength * got.mean**2 + SLOPE * got.mean_square)
        first[name] = got.gap / (SLOPE * got.mean)
        printed[name] = got.gap / ((SLOPE**2 * strength + SLOPE) * got.mean_square)
        sharp[name] = torch.stack([got.gap / (strength / 8 * got.spread**2), got.gap / got.top])
        residuals.append(got.residual)
    eta = etas_of((0.1, 0.3, 1.0))[:, None]
    # Half the squared 2-norm is chi-square divided by K, up to a constant.
    got = greedy_of(features, theta, theta - 0.3 * direction, actions * eta, games.REGULARIZERS["chi2"])
    euclidean = got.gap / (eta / 8 * got.spread**2)
    eta = etas_of((0.1, 1.0, 10.0, 100.0))[:, None]
    small = 0.4 * theta / torch.linalg.matrix_norm(theta, 2)[:, None, None]
    got = greedy_of(features, small, small - 0.1 * direction, eta, games.REGULARIZERS["kl"], link=lambda z: z)
    linear = got.gap / (2 * eta * got.mean**2)
    sizes, etas = np.geomspace(0.01, 0.1, 7), np.array([1.0, 10.0, 100.0, params.eta_huge])
    steps = torch.from_numpy(sizes).to(params.device)[:, None, None, None]

    def along(name, eta):
        got = greedy_of(features, theta, theta - steps * direction, etas_of(eta), games.REGULARIZERS[name])
        residuals.append(got.residual)
        return got, got.gap.cpu().numpy()

    slopes = {name: _slopes(sizes, along(name, 1.0)[1]) for name in BOUND_ETAS}
    gaps, with_eta = [], []
    for value in etas:
        got, gap = along("kl", float(value))
        gaps.append(gap.mean(-1))
        with_eta.append((2 * SLOPE**2 * value * got.mean**2 + SLOPE * got.mean_square).mean(-1).cpu().numpy())
    return GapLaw(
        smooth=_numpy(smooth),
        first=_numpy(first),
        printed=_numpy(printed),
        sharp=_numpy(sharp),
        euclidean=euclidean.cpu().numpy(),
        linear=linear.cpu().numpy(),
        epsilons=np.array(EPSILONS),
        pair=_pair(),
        sizes=sizes,
        etas=etas,
        gaps=np.stack(gaps),
        bounds=(np.stack(with_eta), (SLOPE * got.mean).mean(-1).cpu().numpy()),
        slopes=slopes,
        slope_huge=float(loglog_slope(sizes, gaps[-1])),
        residual=max(residuals),
    )


def _slopes(sizes: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    return loglog_slope(sizes, gaps.T)


def _numpy(values: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.cpu().numpy() for name, value in values.items()}


def _pair() -> np.ndarray:
    """Two actions, ``Theta_star = eps J``, ``Theta_hat = -delta J``, ``delta = eps / 1000`` and ``eta delta = 1e4``."""
    j = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=FLOAT)
    epsilon = torch.tensor(EPSILONS, dtype=FLOAT)
    features = torch.eye(2, dtype=FLOAT).expand(len(epsilon), 2, 2)
    delta = epsilon / 1000
    theta, estimate = epsilon[:, None, None] * j, -delta[:, None, None] * j
    got = greedy_of(features, theta, estimate, 1e4 / delta, games.REGULARIZERS["kl"])
    return np.stack(
        [
            (got.gap / (SLOPE / 2 * (got.mean + got.mean_square))).numpy(),
            (got.gap / (SLOPE * got.mean)).numpy(),
        ]
    )


# --- explore, then commit ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Commit:
    """Explore-then-commit at several exploration lengths.

    Attributes
    ----------
    lengths : exploration rounds of the gap study, ``(k,)``
    eta, eta_huge : the two inverse regularization strengths
    gaps, gaps_huge : dual gap of the committed policy there, averaged over environments, at the one and at the other
    explore : dual gap of the exploration policy, averaged
    horizons : ``(n,)``
    t0, regret : exploration rounds and regret of the schedules sqrt(T), T^(2/3) and constant, ``(3, n)``
    committed : share of the regret that the commit phase incurs, ``(3, n)``
    greedy_t, greedy : greedy sampling's regret on some of the same environments
    singular : singular values of the estimates at the shortest and at the longest exploration, ``(2, environments, d)``
    residual : largest residual of any equilibrium, relative to ``max(1, eta / 100)``
    """

    lengths: np.ndarray
    eta: float
    eta_huge: float
    gaps: np.ndarray
    gaps_huge: np.ndarray
    explore: float
    horizons: np.ndarray
    t0: np.ndarray
    regret: np.ndarray
    committed: np.ndarray
    greedy_t: np.ndarray
    greedy: np.ndarray
    singular: np.ndarray
    residual: float


def commit(params: Parameters) -> Commit:
    """C4. The committed gap against the length of exploration, and the regret of three schedules."""
    source = generator(params, 4)
    count, d, contexts = params.environments, params.commit_d, params.contexts
    actions = 16
    env = environments(count, contexts, actions, d, 1, 20.0, source, shift=params.shift)
    horizons = np.array(params.horizons)
    t0 = np.stack(
        [
            np.minimum(params.exploration * horizons**0.5, horizons),
            np.minimum(params.exploration * horizons ** (2 / 3), horizons),
            np.full(len(horizons), params.exploration * horizons[0] ** 0.5 / 2),
        ]
    ).astype(int)
    t0 = np.maximum(t0, 1)
    lengths = 500 * 2 ** np.arange(7)
    needed = np.unique(np.concatenate([t0.ravel(), lengths]))
    even = torch.full((count, contexts, actions), 1 / actions, dtype=FLOAT)
    counts, seen, reached = [], None, 0
    for length in needed:
        for stretch in _stretches(int(length) - reached, count):
            new = draw_duels(even, even, env.payoff + 0.5, torch.rand(count, stretch, 4, dtype=FLOAT, generator=source))
            seen = new if seen is None else Counts(seen.duels + new.duels, seen.wins + new.wins)
        counts.append(seen)
        reached = int(length)
    env = env.to(params.device)
    # One row for every environment and length, all fitted together.
    repeated = env.repeat(len(needed))
    rows = Counts(*(torch.cat([getattr(c, k) for c in counts]).to(params.device) for k in ("duels", "wins")))
    weight = torch.from_numpy(params.nuclear * np.sqrt(math.log(d) / (d * needed))).repeat_interleave(count)
    theta = estimation.nuclear_norm_mle(repeated.features, rows, weight.to(params.device))
    regularizer = games.REGULARIZERS[params.regularizer]
    ref = uniform(repeated.payoff)
    residuals = []

    def committed_gap(eta: float, chosen: np.ndarray) -> np.ndarray:
        picked = torch.from_numpy((chosen[:, None] * count + np.arange(count)).ravel()).to(params.device)
        strength = torch.full((len(picked), contexts), eta, dtype=FLOAT, device=params.device)
        game = payoff(repeated.features[picked], theta[picked])
        solved = games.symmetric_equilibrium(game, strength, ref, regularizer)
        residuals.append(float(solved.residual.max()) / max(1, eta / 100))
        gap = games.dual_gap(repeated.payoff[picked], solved.y, strength, ref, regularizer)
        return gap.mean(-1).reshape(-1, count).mean(-1).cpu().numpy()

    gap = committed_gap(params.commit_eta, np.arange(len(needed)))
    of_lengths = np.searchsorted(needed, lengths)
    at_ref = regularizer.centre(torch.zeros(count, contexts, actions, dtype=FLOAT, device=params.device), ref)
    strength = torch.full((count, contexts), params.commit_eta, dtype=FLOAT, device=params.device)
    explore = float(games.dual_gap(env.payoff, at_ref, strength, ref, regularizer).mean())
    commit_part = (horizons - t0) * gap[np.searchsorted(needed, t0)]
    regret = t0 * explore + commit_part
    # Greedy sampling plays for longer here, so it plays on fewer environments.
    some = min(count, 8)
    run = _greedy_on(params, env[:some], int(horizons[-1]), source)
    first_last = torch.from_numpy(np.concatenate([k * count + np.arange(count) for k in (0, len(needed) - 1)]))
    return Commit(
        lengths=lengths,
        eta=params.commit_eta,
        eta_huge=params.eta_huge,
        gaps=gap[of_lengths],
        gaps_huge=committed_gap(params.eta_huge, of_lengths),
        explore=explore,
        horizons=horizons,
        t0=t0,
        regret=regret,
        committed=commit_part / regret,
        greedy_t=run.t,
        greedy=run.regret.mean(0),
        singular=torch.linalg.svdvals(theta[first_last.to(params.device)]).reshape(2, count, d).cpu().numpy(),
        residual=max(residuals),
    )


def _greedy_on(params: Parameters, env: Environments, rounds: int, source: torch.Generator) -> Run:
    """Greedy sampling on given environments at commit_eta."""
    count, actions = len(env), env.features.shape[-2]
    device = params.device
    return greedy_sampling(
        env,
        torch.full((count,), params.commit_eta, dtype=FLOAT, device=device),
        torch.full((count, actions), 1 / actions, dtype=FLOAT, device=device),
        torch.zeros(count, dtype=torch.bool, device=device),
        rounds=rounds,
        growth=max(params.update_growth, 1.06),
        ridge=params.ridge,
        regularizer=games.REGULARIZERS[params.regularizer],
        source=source,
    )


def _stretches(total: int, count: int) -> list[int]:
    """``total`` rounds of ``count`` environments in stretches that fit in memory."""
    most = max(MOST // (4 * count), 1)
    return [min(most, total - start) for start in range(0, total, most)]


# --- ranks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranks:
    """Nuclear-norm and plain estimates after the same exploration, for low and for full rank.

    Attributes
    ----------
    d : dimensions, ``(n,)``
    error : relative Frobenius error of the nuclear-norm estimate, of the plain one, and of the one with the ridge of
        greedy sampling, ``(2 ranks, n, environments, 3)``
    gap : dual gap of the committed policies, the same shape
    singular : singular values of the nuclear-norm and the plain estimate of one environment at the largest ``d``, and
        of the truth, ``(2 ranks, 3, d)``
    coverage : ``d`` times the smallest eigenvalue of the covariance of features under uniform exploration,
        ``(2, n, environments)``
    """

    d: np.ndarray
    error: np.ndarray
    gap: np.ndarray
    singular: np.ndarray
    coverage: np.ndarray


def ranks(params: Parameters) -> Ranks:
    """C5. What the nuclear norm gains where the rank is low, and loses where it is not."""
    source = generator(params, 5)
    count, contexts, t0 = params.rank_environments, params.contexts, params.rank_rounds
    regularizer = games.REGULARIZERS[params.regularizer]
    error, gap, coverage = [], [], []
    for d in params.d_list:
        actions = 2 * d
        both = [environments(count, contexts, actions, d, r, 3 * d * r**0.5, source) for r in (1, d // 2)]
        env = both[0].join(both[1])
        even = torch.full((2 * count, contexts, actions), 1 / actions, dtype=FLOAT)
        counts = None
        for stretch in _stretches(t0, 2 * count):
            uniforms = torch.rand(2 * count, stretch, 4, dtype=FLOAT, generator=source)
            new = draw_duels(even, even, env.payoff + 0.5, uniforms)
            counts = new if counts is None else Counts(counts.duels + new.duels, counts.wins + new.wins)
        env, counts = env.to(params.device), Counts(counts.duels.to(params.device), counts.wins.to(params.device))
        weight = torch.full((2 * count,), params.nuclear * (math.log(d) / (d * t0)) ** 0.5, dtype=FLOAT)
        nuclear = estimation.nuclear_norm_mle(env.features, counts, weight.to(params.device))
        design = estimation.upper(env.features)
        start = design.new_zeros(len(design), design.shape[-1])
        plain, ridged = (
            estimation.skew(estimation.skew_mle(design, counts, ridge, start, 1e-3, 30), d)
            for ridge in (PLAIN_RIDGE, params.ridge)
        )
        ref = uniform(env.payoff)
        eta = torch.full((2 * count, contexts), 10.0, dtype=FLOAT, device=params.device)
        gaps = []
        for estimate in (nuclear, plain, ridged):
            solved = games.symmetric_equilibrium(payoff(env.features, estimate), eta, ref, regularizer)
            gaps.append(games.dual_gap(env.payoff, solved.y, eta, ref, regularizer).mean(-1))
        size = env.theta.norm(dim=(-2, -1))
        errors = [(estimate - env.theta).norm(dim=(-2, -1)) / size for estimate in (nuclear, plain, ridged)]
        error.append(torch.stack(errors, -1).reshape(2, count, 3).cpu().numpy())
        gap.append(torch.stack(gaps, -1).reshape(2, count, 3).cpu().numpy())
        flat = env.features.flatten(1, 2)
        smallest = torch.linalg.eigvalsh(flat.mT @ flat / flat.shape[1])[:, 0]
        coverage.append((d * smallest).reshape(2, count).cpu().numpy())
    singular = torch.stack([torch.linalg.svdvals(m[[0, count]]) for m in (nuclear, plain, env.theta)], 1)
    return Ranks(
        np.array(params.d_list), np.stack(error, 1), np.stack(gap, 1), singular.cpu().numpy(), np.stack(coverage, 1)
    )


@dataclass(frozen=True)
class Results:
    """Everything that the claims are judged on."""

    cycle: Cycle
    gap_law: GapLaw
    learning: Learning
    simplex: Simplex
    commit: Commit
    ranks: Ranks


def run(params: Parameters) -> Results:
    """All experiments."""
    return Results(cycle(params), gap_law(params), learning(params), simplex(params), commit(params), ranks(params))
