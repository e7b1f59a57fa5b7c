"""Greedy sampling: regret over eta, missing assumptions, and paths in the triangle."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.generalized_bilinear_preference_rlhf import games
from companion.chapters.generalized_bilinear_preference_rlhf.greedy import greedy_sampling, regret_constant
from companion.chapters.generalized_bilinear_preference_rlhf.parameters import Parameters, generator
from companion.chapters.generalized_bilinear_preference_rlhf.preferences import (
    FLOAT,
    Environments,
    environments,
    starved,
    uniform,
)
from companion.results import experiment

MODERATE = 10.0  # etas up to here are asked to show the logarithmic law within the horizon


@dataclass(frozen=True)
class Learning:
    """Greedy sampling over a range of eta, and runs in which an assumption is missing.

    Curves are averages over environments.
    """

    #: dimension of the features
    d: int
    #: environments averaged over
    environments: int
    #: inverse regularization strengths, ``(n,)``
    etas: np.ndarray
    #: rounds, ``(k,)``
    t: np.ndarray
    #: MBR-Reg(t), ``(n, k)``
    regret: np.ndarray
    #: dual gap of the policy played, ``(n, k)``
    gap: np.ndarray
    #: the predicted constant before ``log T``, ``(n,)``
    constant: np.ndarray
    #: the smallest eta and the largest moderate one, ``(2,)``
    tilted_etas: np.ndarray
    #: final regret at these when exploration prefers one action by ``e^eta``, ``(2,)``
    tilted: np.ndarray
    #: the predicted constant there, ``(2,)``
    tilted_constant: np.ndarray
    #: the entry of ``etas`` nearest to 3, at which the next three were run
    eta_control: float
    #: regret when the explorer's features lie in a plane and leave a part of Theta unseen, ``(k,)``
    starved: np.ndarray
    #: regret of both players together when both play the equilibrium, ``(k,)``
    symmetric: np.ndarray
    #: regret of both players together under greedy sampling, ``(k,)``
    one_sided: np.ndarray
    #: dual gap of the uniform policy at each eta, ``(n,)``
    explore: np.ndarray
    #: mean distance of the probability of a win from one half, over pairs of actions
    decisiveness: float
    #: dual gap of the averaged policy, and ``MBR-Reg(T) / T``, ``(2, n)``
    averaged: np.ndarray
    #: of the run at eta_huge
    eta_huge: float
    #: its rounds, ``(k',)``
    t_huge: np.ndarray
    #: its regret, ``(k',)``
    regret_huge: np.ndarray
    #: its dual gaps, ``(k',)``
    gap_huge: np.ndarray
    #: the predicted constant there
    constant_huge: float
    #: largest residual of any equilibrium at ``etas``
    residual: float
    #: largest residual of any equilibrium at eta_huge
    residual_huge: float


@experiment
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

    regret, gap, regret_min = (mean(v) for v in (run.regret, run.gap, run.regret_min))
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
        d=d,
        environments=count,
        etas=etas,
        t=run.t,
        regret=regret[:n],
        gap=gap[:n],
        constant=np.array([constants(eta) for eta in etas]),
        tilted=regret[n : n + 2, -1],
        tilted_etas=etas[list(ends)],
        tilted_constant=np.array([constants(etas[p], tilt[p]) for p in ends]),
        eta_control=float(etas[k]),
        starved=regret[-2],
        explore=gap[:n, 0],
        decisiveness=float(env.payoff.abs().mean()) * actions / (actions - 1),
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


@dataclass(frozen=True)
class Simplex:
    """Greedy sampling on one lopsided game of three actions."""

    #: inverse regularization strengths, ``(n,)``
    etas: np.ndarray
    #: of a few runs, ``(n, runs, stretches, 3)``
    policies: np.ndarray
    #: of the true game, ``(n, 3)``
    equilibrium: np.ndarray
    #: policies on a grid, ``(g, 3)``
    grid: np.ndarray
    #: their dual gaps, ``(n, g)``
    gaps: np.ndarray


@experiment
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
