"""A cycle that no reward can express."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.generalized_bilinear_preference_rlhf import estimation, games
from companion.chapters.generalized_bilinear_preference_rlhf.duels import explore_evenly
from companion.chapters.generalized_bilinear_preference_rlhf.parameters import Parameters, generator
from companion.chapters.generalized_bilinear_preference_rlhf.preferences import FLOAT, payoff, uniform
from companion.results import experiment

DUELS = 3000


@dataclass(frozen=True)
class Cycle:
    """Three actions in a circle, duelled evenly, and two models fitted to the same duels."""

    #: three unit vectors at 120 degrees, ``(3, 2)``
    features: np.ndarray
    #: probability that the row's action beats the column's, ``(3, 3)``
    truth: np.ndarray
    #: the same by the fitted models, ``"bilinear"`` and ``"Bradley-Terry"``
    fitted: dict[str, np.ndarray]
    #: cross-entropy of each fitted model minus the entropy of the truth, nats per duel of different actions
    excess: dict[str, float]
    #: equilibria of the true game at each ``eta`` of the run, ``(n, 3)``
    equilibrium: np.ndarray


@experiment
def cycle(params: Parameters) -> Cycle:
    """C1. A cycle that no reward can express."""
    angle = 2 * math.pi * torch.arange(3, dtype=FLOAT) / 3
    features = torch.stack([angle.cos(), angle.sin()], -1)[None, None]
    theta = torch.tensor([[[0.0, 4.0], [-4.0, 0.0]]], dtype=FLOAT)
    true = payoff(features, theta)
    counts = explore_evenly(true + 0.5, DUELS, generator(params, 1))
    design = estimation.upper(features)
    bilinear = estimation.skew(estimation.skew_mle(design, counts, 1e-6, design.new_zeros(1, 1), 1e-9, 50), 2)
    # The Bradley-Terry model is the bilinear one with features (e_a, 1) and Theta = ((0, theta), (-theta^T, 0)):
    # of its design keep the columns that multiply rewards.
    rewards = torch.cat([torch.eye(3, dtype=FLOAT), torch.ones(3, 1, dtype=FLOAT)], -1)[None, None]
    columns = torch.nonzero(torch.triu_indices(4, 4, 1)[1] == 3)[:, 0]
    reward = estimation.skew_mle(
        estimation.upper(rewards)[..., columns], counts, 1e-6, design.new_zeros(1, 3), 1e-9, 50
    )[0]
    off, p = ~torch.eye(3, dtype=torch.bool), true[0, 0] + 0.5
    fitted = {
        "bilinear": payoff(features, bilinear)[0, 0] + 0.5,
        "Bradley-Terry": torch.tanh((reward[:, None] - reward) / 2) / 2 + 0.5,
    }
    etas = torch.tensor([*params.eta_list, params.eta_huge], dtype=FLOAT)
    solved = games.symmetric_equilibrium(true[0].expand(len(etas), 3, 3), etas, uniform(true), games.REGULARIZERS["kl"])
    return Cycle(
        features[0, 0].numpy(),
        p.numpy(),
        {name: q.numpy() for name, q in fitted.items()},
        {name: float((p * (p / q).log())[off].mean()) * 2 for name, q in fitted.items()},
        (solved.y.exp() / 3).numpy(),
    )
