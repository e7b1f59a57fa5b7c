"""Greedy sampling: the algorithm, its runs, and the constant that its regret approaches."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.generalized_bilinear_preference_rlhf import estimation, games
from companion.chapters.generalized_bilinear_preference_rlhf.estimation import Counts
from companion.chapters.generalized_bilinear_preference_rlhf.setting import (
    FLOAT,
    Environments,
    Parameters,
    environments,
    generator,
    payoff,
    uniform,
)

BURN_IN = 100  # rounds before which no law is fitted
MODERATE = 10.0  # etas up to here are asked to show the logarithmic law within the horizon
MOST = 10_000_000  # random numbers drawn at once


def draw_duels(first: torch.Tensor, second: torch.Tensor, chance: torch.Tensor, uniforms: torch.Tensor) -> Counts:
    """Counts of ``n`` duels, contexts drawn evenly, ``a1`` from ``first`` and ``a2`` from ``second``.

    Parameters
    ----------
    first, second : policies, ``(N, C, K)``
    chance : ``P(a1 beats a2)``, ``(N, C, K, K)``
    uniforms : ``(N, n, 4)``, for context, first action, second action and outcome
    """
    count, contexts, actions = first.shape
    x = (uniforms[..., 0] * contexts).long().clamp_max(contexts - 1)

    def pick(policy, u):
        # One increasing table per row, context x in (x, x + 1]: a single search serves all contexts.
        table = policy.cumsum(-1)
        table = table / table[..., -1:] + torch.arange(contexts, device=table.device)[:, None]
        place = torch.searchsorted(table.flatten(1), (x + u).contiguous(), right=True)
        return (place - x * actions).clamp(0, actions - 1)

    a, b = pick(first, uniforms[..., 1]), pick(second, uniforms[..., 2])
    cell = (x * actions + a) * actions + b
    won = (uniforms[..., 3] < chance.flatten(1).gather(1, cell)).to(first.dtype)
    empty = torch.zeros(count, contexts * actions**2, dtype=first.dtype, device=first.device)
    return Counts(
        empty.scatter_add(1, cell, torch.ones_like(won)).reshape(chance.shape),
        empty.scatter_add(1, cell, won).reshape(chance.shape),
    )


@dataclass(frozen=True)
class Run:
    """Runs of greedy sampling, one row each.

    Attributes
    ----------
    t : rounds at the ends of the stretches between refits, ``(n,)``
    gap : dual gap of the max-player's policy during each stretch, averaged over contexts, ``(N, n)``
    regret : its sum over rounds, MBR-Reg(t), ``(N, n)``
    regret_min : the same sum for the min-player's policy, ``(N, n)``
    error : Frobenius norm of ``Theta_hat - Theta_star`` after each refit, ``(N, n)``
    averaged : dual gap of the average of all policies played, ``(N,)``
    residual : largest residual of any equilibrium
    policies : the max-player's policies in the first context, ``(N, n, K)``, if they were asked for
    """

    t: np.ndarray
    gap: np.ndarray
    regret: np.ndarray
    regret_min: np.ndarray
    error: np.ndarray
    averaged: np.ndarray
    residual: float
    policies: np.ndarray | None


def greedy_sampling(
    env: Environments,
    eta: torch.Tensor,
    rho: torch.Tensor,
    symmetric: torch.Tensor,
    *,
    rounds: int,
    growth: float,
    ridge: float,
    regularizer: games.Regularizer,
    source: torch.Generator,
    keep_policies: bool = False,
) -> Run:
    """Play the equilibrium of the estimate against an opponent who explores, and refit.

    Parameters
    ----------
    env, eta, rho, symmetric : one entry per row: environment, inverse regularization strength, exploration policy
        ``(N, K)``, and whether the opponent plays the same equilibrium instead of exploring
    growth : refit when the number of rounds has grown by this factor; regret accrues as rounds times dual gap
    ridge : of the maximum-likelihood fit
    source : random numbers, drawn on its device
    """
    count, contexts, actions, d = env.features.shape
    truth, design = env.payoff, estimation.upper(env.features)
    ref = uniform(truth)
    eta = eta[:, None].expand(count, contexts)
    explore = rho[:, None].expand(count, contexts, actions)
    explore_gap = _gap_of(truth, explore, eta, ref, regularizer)

    duels, wins = torch.zeros_like(truth), torch.zeros_like(truth)
    theta, z = design.new_zeros(count, design.shape[-1]), truth.new_zeros(count, contexts, actions)
    pi, gap, average = explore, explore_gap, torch.zeros_like(explore)
    t, residual = 0, 0.0
    ends, gaps, gaps_min, errors, policies = [], [], [], [], []
    while t < rounds:
        stretch = min(max(int(t * (growth - 1)), 1), rounds - t, max(MOST // (4 * count), 1))
        opponent = torch.where(symmetric[:, None, None], pi, explore)
        uniforms = torch.rand(count, stretch, 4, dtype=FLOAT, generator=source).to(truth.device)
        new = draw_duels(pi, opponent, truth + 0.5, uniforms)
        duels, wins, t = duels + new.duels, wins + new.wins, t + stretch
        average = average + stretch * pi
        ends.append(t)
        gaps.append(gap)
        gaps_min.append(torch.where(symmetric, gap, explore_gap))
        if keep_policies:
            policies.append(pi[:, 0])

        theta = estimation.skew_mle(design, Counts(duels, wins), ridge, theta, 1e-2)
        estimate = estimation.skew(theta, d)
        solved = games.symmetric_equilibrium(payoff(env.features, estimate), eta, ref, regularizer, z, 1e-9)
        z, pi = solved.z, games.policy(solved.y, ref, regularizer)
        gap = games.dual_gap(truth, solved.y, eta, ref, regularizer).mean(-1)
        errors.append((estimate - env.theta).norm(dim=(-2, -1)))
        residual = max(residual, float(solved.residual.max()))

    lengths = np.diff([0, *ends])
    gap, gap_min = (torch.stack(values, -1).cpu().numpy() for values in (gaps, gaps_min))
    return Run(
        t=np.array(ends),
        gap=gap,
        regret=(lengths * gap).cumsum(-1),
        regret_min=(lengths * gap_min).cumsum(-1),
        error=torch.stack(errors, -1).cpu().numpy(),
        averaged=_gap_of(truth, average / t, eta, ref, regularizer).cpu().numpy(),
        residual=residual,
        policies=torch.stack(policies, 1).cpu().numpy() if keep_policies else None,
    )


def _gap_of(truth, pi, eta, ref, regularizer) -> torch.Tensor:
    """Dual gap of policies given as probabilities, averaged over contexts."""
    y = regularizer.dual((pi / ref).clamp_min(1e-300))
    return games.dual_gap(truth, y, eta, ref, regularizer).mean(-1)


def regret_constant(
    env: Environments, eta: torch.Tensor, rho: torch.Tensor, regularizer: games.Regularizer
) -> torch.Tensor:
    """The constant ``c`` in ``MBR-Reg(T) ~ c log T``: ``c = eta / 2 tr(I^{-1} Q)``, ``(N,)``.

    ``I`` is the Fisher information of a round at equilibrium, ``Q = E_x G_x^T P_x G_x`` with ``G_x`` the derivative of
    ``M_x(Theta) pi_x`` with respect to the upper triangle of ``Theta`` and ``P_x`` the derivative of the best response.
    """
    count, contexts, _, d = env.features.shape
    m = env.payoff
    ref = uniform(m)
    y = games.symmetric_equilibrium(m, eta[:, None].expand(count, contexts), ref, regularizer).y
    pi = games.policy(y, ref, regularizer)
    i, j = torch.triu_indices(d, d, 1, device=m.device)
    left, right = env.features[..., :, None, :], env.features[..., None, :, :]
    design = left[..., i] * right[..., j] - left[..., j] * right[..., i]
    slope = 0.25 - m**2  # of the logistic link
    weight = pi[..., None] * rho[:, None, None, :] * slope / contexts
    information = torch.einsum("ncab,ncabp,ncabq->npq", weight, design, design)
    g = torch.einsum("ncab,ncabp,ncb->ncap", slope, design, pi)
    response = ref * regularizer.slope(y)
    total = response.sum(-1, keepdim=True).clamp_min(1e-300)
    centred = g - (response[..., None] * g).sum(-2, keepdim=True) / total[..., None]
    q = torch.einsum("nca,ncap,ncaq->npq", response / contexts, centred, centred)
    return eta / 2 * torch.linalg.solve(information, q).diagonal(dim1=-2, dim2=-1).sum(-1)


def increment(t: np.ndarray, regret: np.ndarray) -> float:
    """Growth of the regret over the last part of the run, for each factor e in ``t``."""
    start = int(np.searchsorted(t, t[-1] / 20))
    return float((regret[-1] - regret[start]) / np.log(t[-1] / t[start]))


@dataclass(frozen=True)
class Learning:
    """Greedy sampling over a range of eta, and runs in which an assumption is missing.

    Curves are averages over environments.

    Attributes
    ----------
    etas, t : ``(n,)``, ``(k,)``
    regret, gap, error : ``(n, k)``
    spread : standard error of the final regret, ``(n,)``
    constant : the predicted constant before ``log T``, ``(n,)``
    tilted, tilted_constant : final regret and predicted constant when exploration prefers one action by ``e^eta``, at
        the smallest eta and at the largest moderate one, ``tilted_etas``, ``(2,)``
    eta_control : eta of the next ones, the entry of ``etas`` nearest to 3
    starved : regret when exploration and the equilibrium's opponents leave a plane of Theta unseen, ``(k,)``
    explore : dual gap of the uniform policy at each eta, ``(n,)``
    symmetric, symmetric_gap : regret of both players together when both play the equilibrium, ``(k,)``
    one_sided : regret of both players together under greedy sampling, ``(k,)``
    averaged : dual gap of the averaged policy, and ``MBR-Reg(T) / T``, ``(2, n)``
    t_huge, regret_huge, gap_huge : at eta_huge, ``(k',)``
    eta_huge, constant_huge : that eta, and the predicted constant there
    residual, residual_huge : largest residuals of any equilibrium
    """

    etas: np.ndarray
    t: np.ndarray
    regret: np.ndarray
    gap: np.ndarray
    error: np.ndarray
    spread: np.ndarray
    constant: np.ndarray
    tilted: np.ndarray
    tilted_etas: np.ndarray
    tilted_constant: np.ndarray
    eta_control: float
    starved: np.ndarray
    explore: np.ndarray
    symmetric: np.ndarray
    one_sided: np.ndarray
    averaged: np.ndarray
    t_huge: np.ndarray
    regret_huge: np.ndarray
    gap_huge: np.ndarray
    eta_huge: float
    constant_huge: float
    residual: float
    residual_huge: float


def learning(params: Parameters) -> Learning:
    """C3. All runs of greedy sampling at once: every eta, the controls, and play without exploration."""
    source = generator(params, 3)
    count, contexts, actions, d = params.environments, params.contexts, params.actions, params.d
    env = environments(count, contexts, actions, d, 1, params.strength, source)
    blind = starved(environments(count, contexts, actions, d, 1, params.strength, source))
    etas, k = np.array(params.eta_list), int(np.abs(np.log(np.array(params.eta_list) / 3)).argmin())
    n = len(etas)
    even = torch.full((count, actions), 1 / actions, dtype=FLOAT)
    half = torch.zeros(count, actions, dtype=FLOAT)
    half[:, : actions // 2] = 1 / (actions // 2)
    preferred = torch.zeros(actions, dtype=FLOAT)
    preferred[0] = 1.0
    tilt = [torch.softmax(min(float(eta), 100.0) * preferred, -1).expand(count, actions) for eta in etas]
    ends = (0, max(int((etas <= MODERATE).sum()) - 1, 0))
    groups = [(env, eta, even, False) for eta in etas]
    groups += [(env, etas[position], tilt[position], False) for position in ends]
    groups += [(blind, etas[k], half, False), (env, etas[k], even, True)]
    everything = groups[0][0]
    for group in groups[1:]:
        everything = everything.join(group[0])

    def settings(groups):
        return (
            torch.tensor([group[1] for group in groups], dtype=FLOAT).repeat_interleave(count).to(params.device),
            torch.cat([group[2] for group in groups]).to(params.device),
            torch.tensor([group[3] for group in groups]).repeat_interleave(count).to(params.device),
        )

    options = dict(ridge=params.ridge, regularizer=games.REGULARIZERS[params.regularizer], source=source)
    run = greedy_sampling(
        everything.to(params.device), *settings(groups), rounds=params.rounds, growth=params.update_growth, **options
    )

    def mean(values):
        return values.reshape(len(groups), count, -1).mean(1)

    regret, gap, error, regret_min = (mean(v) for v in (run.regret, run.gap, run.error, run.regret_min))
    final = run.regret[:, -1].reshape(len(groups), count)
    env = env.to(params.device)

    def constants(eta, rho=even):
        strength = torch.full((count,), float(eta), dtype=FLOAT, device=params.device)
        return float(regret_constant(env, strength, rho.to(params.device), options["regularizer"]).mean())

    some = min(params.environments_huge, count)
    huge = greedy_sampling(
        env[:some],
        torch.full((some,), params.eta_huge, dtype=FLOAT, device=params.device),
        even[:some].to(params.device),
        torch.zeros(some, dtype=torch.bool, device=params.device),
        rounds=params.rounds_huge,
        # At this eta an equilibrium takes a hundred times as long, so it is solved half as often.
        growth=min(2 * params.update_growth - 1, 2.0) if params.update_growth > 1 else 1.02,
        **options,
    )
    return Learning(
        etas=etas,
        t=run.t,
        regret=regret[:n],
        gap=gap[:n],
        error=error[:n],
        spread=final[:n].std(1, ddof=1) / count**0.5 if count > 1 else np.zeros(n),
        constant=np.array([constants(eta) for eta in etas]),
        tilted=regret[n : n + 2, -1],
        tilted_etas=etas[list(ends)],
        tilted_constant=np.array([constants(etas[p], tilt[p]) for p in ends]),
        eta_control=float(etas[k]),
        starved=regret[-2],
        explore=gap[:n, 0],
        symmetric=regret[-1] + regret_min[-1],
        one_sided=regret[k] + regret_min[k],
        averaged=np.stack([run.averaged.reshape(len(groups), count).mean(1)[:n], regret[:n, -1] / run.t[-1]]),
        t_huge=huge.t,
        regret_huge=huge.regret.mean(0),
        gap_huge=huge.gap.mean(0),
        eta_huge=params.eta_huge,
        constant_huge=constants(params.eta_huge),
        residual=run.residual,
        residual_huge=huge.residual,
    )


def starved(env: Environments) -> Environments:
    """The same environments with the first half of the actions flattened into the first two coordinates.

    An explorer who plays only these never shows the block of ``Theta`` that the other coordinates span.
    """
    features = env.features.clone()
    half = features.shape[-2] // 2
    features[..., :half, 2:] = 0
    features[..., :half, :] /= features[..., :half, :].norm(dim=-1, keepdim=True)
    return Environments(features, env.theta)


# --- three actions, drawn in the simplex ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Simplex:
    """Greedy sampling on one lopsided game of three actions.

    Attributes
    ----------
    etas : ``(n,)``
    policies : of a few runs, ``(n, runs, stretches, 3)``
    equilibrium : ``(n, 3)``
    grid, gaps : policies on a grid ``(g, 3)`` and their dual gaps ``(n, g)``
    """

    etas: np.ndarray
    policies: np.ndarray
    equilibrium: np.ndarray
    grid: np.ndarray
    gaps: np.ndarray


def simplex(params: Parameters, runs: int = 3, points: int = 60) -> Simplex:
    """Policies of greedy sampling on their way to the equilibrium, for a cycle of unequal strengths."""
    angle = 2 * torch.pi * torch.arange(3, dtype=FLOAT) / 3
    features = torch.stack([angle.cos(), angle.sin()], -1) * torch.tensor([0.3, 1.0, 1.0], dtype=FLOAT)[:, None]
    theta = torch.tensor([[0.0, 4.0], [-4.0, 0.0]], dtype=FLOAT)
    etas = np.array([10.0, 100.0])
    n = len(etas) * runs
    env = Environments(features.expand(n, 1, 3, 2), theta.expand(n, 2, 2))
    eta = torch.from_numpy(etas).repeat_interleave(runs)
    regularizer = games.REGULARIZERS[params.regularizer]
    run = greedy_sampling(
        env,
        eta,
        torch.full((n, 3), 1 / 3, dtype=FLOAT),
        torch.zeros(n, dtype=torch.bool),
        rounds=1000,
        growth=1.1,
        ridge=params.ridge,
        regularizer=regularizer,
        source=generator(params, 6),
        keep_policies=True,
    )
    ref, strength = uniform(env.payoff), torch.from_numpy(etas)
    true = env.payoff[0].expand(len(etas), 3, 3)
    solved = games.symmetric_equilibrium(true, strength, ref, regularizer)
    a, b = np.meshgrid(np.arange(points + 1), np.arange(points + 1))
    inside = (a + b) <= points
    a, b = a[inside], b[inside]
    grid = np.stack([a, b, points - a - b], -1) / points
    y = regularizer.dual((3 * torch.from_numpy(grid)).clamp_min(1e-300))
    gaps = games.dual_gap(true[:, None], y[None], strength[:, None].expand(-1, len(grid)), ref, regularizer)
    return Simplex(
        etas,
        run.policies.reshape(len(etas), runs, -1, 3),
        games.policy(solved.y, ref, regularizer).numpy(),
        grid,
        gaps.numpy(),
    )
