"""Explore-then-commit, and what the nuclear norm gains."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.generalized_bilinear_preference_rlhf import estimation, games
from companion.chapters.generalized_bilinear_preference_rlhf.commitment import SCHEDULES, exploration_lengths, regret
from companion.chapters.generalized_bilinear_preference_rlhf.duels import Counts, explore_evenly
from companion.chapters.generalized_bilinear_preference_rlhf.greedy import Run, greedy_sampling
from companion.chapters.generalized_bilinear_preference_rlhf.parameters import Parameters, generator
from companion.chapters.generalized_bilinear_preference_rlhf.preferences import (
    FLOAT,
    Environments,
    environments,
    payoff,
    uniform,
)
from companion.results import experiment

ACTIONS = 16  # of explore-then-commit
LENGTHS = 500 * 2 ** np.arange(7)  # of exploration, at which the committed gap is followed
MIDDLE = 3  # the length at which commit_eta is played when eta is varied
STEPS = np.arange(-2, 3)  # eta is commit_eta times 4 to these powers, and the length twice as many doublings on
ETA_SCHEDULES = ("square root of eta", "whatever eta")
ESTIMATORS = ("nuclear", "plain", "ridge")
PLAIN_RIDGE = 1e-3  # keeps a plain fit finite where the duels leave it open, and does no more
RANK_D = 16  # dimension of the study of single ranks
SINGLE_RANKS = (1, 2, 4)  # halves of the rank there


@dataclass(frozen=True)
class Commit:
    """Explore-then-commit at several exploration lengths."""

    #: exploration rounds of the gap study, ``(k,)``
    lengths: np.ndarray
    #: inverse regularization strength of the run
    eta: float
    #: that of its counterpart with hardly any regularization
    eta_huge: float
    #: dual gap of the committed policy at these lengths and ``eta``, averaged over environments, ``(k,)``
    gaps: np.ndarray
    #: the same at ``eta_huge``, ``(k,)``
    gaps_huge: np.ndarray
    #: inverse regularization strengths of the study of eta, ``(m,)``
    etas: np.ndarray
    #: the horizon of that study
    horizon: int
    #: by schedule in eta, exploration rounds at each of ``etas``, ``(m,)``
    eta_lengths: dict[str, np.ndarray]
    #: by schedule in eta, regret of the commit phase at the horizon, ``(m,)``
    eta_committed: dict[str, np.ndarray]
    #: horizons, ``(n,)``
    horizons: np.ndarray
    #: by schedule, exploration rounds at the horizons, ``(n,)``
    t0: dict[str, np.ndarray]
    #: by schedule, regret at the horizons, ``(n,)``
    regret: dict[str, np.ndarray]
    #: by schedule, share of the regret that the commit phase incurs, ``(n,)``
    committed: dict[str, np.ndarray]
    #: greedy sampling's rounds on some of the same environments, ``(j,)``
    greedy_t: np.ndarray
    #: its regret there, ``(j,)``
    greedy: np.ndarray
    #: mean distance of the probability of a win from one half, over pairs of actions
    decisiveness: float
    #: largest residual of any equilibrium, relative to ``max(1, eta / 100)``
    residual: float


@experiment
def commit(params: Parameters) -> Commit:
    """C4. The committed gap against the length of exploration and eta, and the regret of three schedules."""
    source = generator(params, 4)
    count, d, contexts = params.environments, params.commit_d, params.contexts
    env = environments(count, contexts, ACTIONS, d, 1, 20.0, source, shift=params.shift)
    horizons = np.array(params.horizons)
    t0 = exploration_lengths(horizons, params.exploration)
    needed = np.unique(np.concatenate([t0.ravel(), LENGTHS]))
    counts, seen, reached = [], Counts(torch.zeros_like(env.payoff), torch.zeros_like(env.payoff)), 0
    for length in needed:
        seen = seen + explore_evenly(env.payoff + 0.5, int(length) - reached, source)
        counts.append(seen)
        reached = int(length)
    env = env.to(params.device)
    # One row for every environment and length, all fitted together.
    repeated = env.repeat(len(needed))
    rows = Counts(torch.cat([c.duels for c in counts]), torch.cat([c.wins for c in counts])).to(params.device)
    weight = torch.from_numpy(params.nuclear * np.sqrt(math.log(d) / (d * needed))).repeat_interleave(count)
    theta = estimation.nuclear_norm_mle(repeated.features, rows, weight.to(params.device))
    regularizer = games.REGULARIZERS[params.regularizer]
    ref = uniform(repeated.payoff)
    residuals = []

    def strengths(eta: float, rows: int) -> torch.Tensor:
        return torch.full((rows, contexts), float(eta), dtype=FLOAT, device=params.device)

    def committed_gap(eta: float, chosen: np.ndarray) -> np.ndarray:
        picked = torch.from_numpy((chosen[:, None] * count + np.arange(count)).ravel()).to(params.device)
        strength = strengths(eta, len(picked))
        game = payoff(repeated.features[picked], theta[picked])
        solved = games.symmetric_equilibrium(game, strength, ref, regularizer)
        residuals.append(float(solved.residual.max()) / max(1, eta / 100))
        gap = games.dual_gap(repeated.payoff[picked], solved.y, strength, ref, regularizer)
        return gap.mean(-1).reshape(-1, count).mean(-1).cpu().numpy()

    gap = committed_gap(params.commit_eta, np.arange(len(needed)))
    of_lengths = np.searchsorted(needed, LENGTHS)
    at_ref = regularizer.centre(torch.zeros(count, contexts, ACTIONS, dtype=FLOAT, device=params.device), ref)
    explore = games.dual_gap(env.payoff, at_ref, strengths(params.commit_eta, count), ref, regularizer)
    committed_at = gap[np.searchsorted(needed, t0)]
    total = regret(horizons, t0, float(explore.mean()), committed_at)

    etas, horizon = params.commit_eta * 4.0**STEPS, int((LENGTHS[MIDDLE] / params.exploration) ** 2)
    horizon = max(horizon, int(4 * LENGTHS[-1]))
    places = {ETA_SCHEDULES[0]: MIDDLE + STEPS, ETA_SCHEDULES[1]: np.full(len(STEPS), MIDDLE)}
    at_etas = np.stack([committed_gap(eta, of_lengths) for eta in etas])

    # Greedy sampling plays for longer here, so it plays on fewer environments.
    some = min(count, 8)
    run = _greedy_on(params, env[:some], int(horizons[-1]), source)
    return Commit(
        lengths=LENGTHS,
        eta=params.commit_eta,
        eta_huge=params.eta_huge,
        gaps=gap[of_lengths],
        gaps_huge=committed_gap(params.eta_huge, of_lengths),
        etas=etas,
        horizon=horizon,
        eta_lengths={name: LENGTHS[place] for name, place in places.items()},
        eta_committed={
            name: regret(horizon, LENGTHS[place], 0.0, at_etas[np.arange(len(etas)), place])
            for name, place in places.items()
        },
        horizons=horizons,
        t0=dict(zip(SCHEDULES, t0, strict=True)),
        regret=dict(zip(SCHEDULES, total, strict=True)),
        committed=dict(zip(SCHEDULES, regret(horizons, t0, 0.0, committed_at) / total, strict=True)),
        greedy_t=run.t,
        greedy=run.regret.mean(0),
        decisiveness=float(env.payoff.abs().mean()) * ACTIONS / (ACTIONS - 1),
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


@dataclass(frozen=True)
class Ranks:
    """Nuclear-norm and plain estimates after the same exploration, for low and for full rank."""

    #: rounds of exploration
    rounds: int
    #: dimensions, ``(n,)``
    d: np.ndarray
    #: relative Frobenius error of each of :data:`ESTIMATORS`, ``(2 ranks, n, environments, 3)``: rank two, full rank
    error: np.ndarray
    #: dual gap of the committed policies, the same shape
    gap: np.ndarray
    #: singular values of the nuclear-norm and the plain estimate of one environment at the largest ``d``, and of the
    #: truth, ``(2 ranks, 3, d)``
    singular: np.ndarray
    #: ranks at one dimension, ``(m,)``
    single: np.ndarray
    #: the errors there, ``(m, environments, 3)``
    single_error: np.ndarray


@dataclass(frozen=True)
class _Cell:
    """Estimates of a batch of environments after even exploration."""

    env: Environments
    estimates: list[torch.Tensor]
    error: torch.Tensor  # (N, 3)
    gap: torch.Tensor  # (N, 3)


@experiment
def ranks(params: Parameters) -> Ranks:
    """C5. What the nuclear norm gains where the rank is low, and loses where it is not."""
    source = generator(params, 5)
    count, contexts = params.rank_environments, params.contexts
    error, gap = [], []
    for d in params.d_list:
        both = [environments(count, contexts, 2 * d, d, r, 3 * d * r**0.5, source) for r in (1, d // 2)]
        cell = _estimated(params, both[0].join(both[1]), params.rank_rounds, source)
        error.append(cell.error.reshape(2, count, -1).cpu().numpy())
        gap.append(cell.gap.reshape(2, count, -1).cpu().numpy())
    values = [torch.linalg.svdvals(m[[0, count]]) for m in (*cell.estimates[:2], cell.env.theta)]
    each = [environments(count, contexts, 2 * RANK_D, RANK_D, r, 3 * RANK_D * r**0.5, source) for r in SINGLE_RANKS]
    single = _estimated(params, each[0].join(each[1]).join(each[2]), 2 * params.rank_rounds, source)
    return Ranks(
        params.rank_rounds,
        np.array(params.d_list),
        np.stack(error, 1),
        np.stack(gap, 1),
        torch.stack(values, 1).cpu().numpy(),
        2 * np.array(SINGLE_RANKS),
        single.error.reshape(len(SINGLE_RANKS), count, -1).cpu().numpy(),
    )


def _estimated(params: Parameters, env: Environments, rounds: int, source: torch.Generator) -> _Cell:
    """Explore evenly, fit by all estimators, and commit."""
    d = env.theta.shape[-1]
    counts = explore_evenly(env.payoff + 0.5, rounds, source).to(params.device)
    env = env.to(params.device)
    weight = torch.full((len(env),), params.nuclear * (math.log(d) / (d * rounds)) ** 0.5, dtype=FLOAT)
    design = estimation.upper(env.features)
    nuclear = estimation.nuclear_norm_mle(env.features, counts, weight.to(params.device))
    # Both are unique minima; a start nearby saves steps of Newton's method.
    ridge = estimation.skew_mle(design, counts, params.ridge, _upper_triangle(nuclear), 1e-3, 30)
    plain = estimation.skew_mle(design, counts, PLAIN_RIDGE, ridge, 1e-3, 30)
    estimates = [nuclear, estimation.skew(plain, d), estimation.skew(ridge, d)]
    regularizer, ref = games.REGULARIZERS[params.regularizer], uniform(env.payoff)
    eta = torch.full(env.features.shape[:2], 10.0, dtype=FLOAT, device=params.device)
    gaps, errors, size = [], [], env.theta.norm(dim=(-2, -1))
    for estimate in estimates:
        solved = games.symmetric_equilibrium(payoff(env.features, estimate), eta, ref, regularizer)
        gaps.append(games.dual_gap(env.payoff, solved.y, eta, ref, regularizer).mean(-1))
        errors.append((estimate - env.theta).norm(dim=(-2, -1)) / size)
    return _Cell(env, estimates, torch.stack(errors, -1), torch.stack(gaps, -1))


def _upper_triangle(theta: torch.Tensor) -> torch.Tensor:
    i, j = torch.triu_indices(*theta.shape[-2:], 1, device=theta.device)
    return theta[..., i, j]
