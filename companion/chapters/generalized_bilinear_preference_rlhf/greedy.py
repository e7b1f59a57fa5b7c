"""Greedy sampling: the algorithm, its runs, and the constant that its regret approaches."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.generalized_bilinear_preference_rlhf import estimation, games
from companion.chapters.generalized_bilinear_preference_rlhf.duels import MOST, Counts, draw_duels
from companion.chapters.generalized_bilinear_preference_rlhf.preferences import FLOAT, Environments, payoff, uniform

NEVER = 1e-12  # share of the largest Fisher information below which a direction counts as never seen


@dataclass(frozen=True)
class Run:
    """Runs of greedy sampling, one row each."""

    #: rounds at the ends of the stretches between refits, ``(n,)``
    t: np.ndarray
    #: dual gap of the max-player's policy during each stretch, averaged over contexts, ``(N, n)``
    gap: np.ndarray
    #: its sum over rounds, MBR-Reg(t), ``(N, n)``
    regret: np.ndarray
    #: the same sum for the min-player's policy, ``(N, n)``
    regret_min: np.ndarray
    #: Frobenius norm of ``Theta_hat - Theta_star`` after each refit, ``(N, n)``
    error: np.ndarray
    #: dual gap of the average of all policies played, ``(N,)``
    averaged: np.ndarray
    #: largest residual of any equilibrium
    residual: float
    #: the max-player's policies in the first context, ``(N, n, K)``, if they were asked for
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
    env, eta, rho, symmetric : one entry per row: environment, inverse regularization
        strength, exploration policy ``(N, K)``, and whether the opponent plays the same
        equilibrium instead of exploring
    growth : refit when the number of rounds has grown by this factor; regret accrues as
        rounds times dual gap
    ridge : of the maximum-likelihood fit
    source : random numbers, drawn on its device
    """
    count, contexts, actions, d = env.features.shape
    truth, design = env.payoff, estimation.upper(env.features)
    ref = uniform(truth)
    eta = eta[:, None].expand(count, contexts)
    explore = rho[:, None].expand(count, contexts, actions)
    explore_gap = _gap_of(truth, explore, eta, ref, regularizer)

    counts = Counts(torch.zeros_like(truth), torch.zeros_like(truth))
    theta = design.new_zeros(count, design.shape[-1])
    z = truth.new_zeros(count, contexts, actions)
    pi, gap, average = explore, explore_gap, torch.zeros_like(explore)
    t, residual, most = 0, 0.0, max(MOST // (4 * count), 1)
    ends, gaps, gaps_min, errors, policies = [], [], [], [], []
    while t < rounds:
        stretch = min(max(int(t * (growth - 1)), 1), rounds - t, most)
        opponent = torch.where(symmetric[:, None, None], pi, explore)
        uniforms = torch.rand(count, stretch, 4, dtype=FLOAT, generator=source)
        uniforms = uniforms.to(truth.device)
        counts = counts + draw_duels(pi, opponent, truth + 0.5, uniforms)
        average, t = average + stretch * pi, t + stretch
        ends.append(t)
        gaps.append(gap)
        gaps_min.append(torch.where(symmetric, gap, explore_gap))
        if keep_policies:
            policies.append(pi[:, 0])

        theta = estimation.skew_mle(design, counts, ridge, theta, 1e-2)
        estimate = estimation.skew(theta, d)
        game = payoff(env.features, estimate)
        solved = games.symmetric_equilibrium(game, eta, ref, regularizer, z, 1e-9)
        z, pi = solved.z, games.policy(solved.y, ref, regularizer)
        gap = games.dual_gap(truth, solved.y, eta, ref, regularizer).mean(-1)
        errors.append((estimate - env.theta).norm(dim=(-2, -1)))
        residual = max(residual, float(solved.residual.max()))

    gap = torch.stack(gaps, -1).cpu().numpy()
    gap_min = torch.stack(gaps_min, -1).cpu().numpy()
    return Run(
        t=np.array(ends),
        gap=gap,
        regret=accrued(np.array(ends), gap),
        regret_min=accrued(np.array(ends), gap_min),
        error=torch.stack(errors, -1).cpu().numpy(),
        averaged=_gap_of(truth, average / t, eta, ref, regularizer).cpu().numpy(),
        residual=residual,
        policies=torch.stack(policies, 1).cpu().numpy() if keep_policies else None,
    )


def accrued(ends: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Regret at the ends of stretches of rounds: each round costs the gap of the policy it was played with."""
    return (np.diff(ends, prepend=0) * gaps).cumsum(-1)


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
    # A direction that the duels at equilibrium never show carries no weight in Q either: both vanish together.
    values, frame = torch.linalg.eigh(information)
    seen = values > NEVER * values[:, -1:]
    weight = (frame * (q @ frame)).sum(-2)
    return eta / 2 * torch.where(seen, weight / values.where(seen, 1), 0).sum(-1)


def growth_per_factor(t: np.ndarray, regret: np.ndarray) -> float:
    """Growth of the regret over the last part of the run, for each factor e in ``t``."""
    start = int(np.searchsorted(t, t[-1] / 20))
    return float((regret[-1] - regret[start]) / np.log(t[-1] / t[start]))
