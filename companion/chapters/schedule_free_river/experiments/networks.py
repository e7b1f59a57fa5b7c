"""Networks on digits at the edge of stability, under Schedule-Free gradient descent and Schedule-Free AdamW."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.schedule_free_river import averaging
from companion.chapters.schedule_free_river.networks import Edge, SquaredLoss, digits, train
from companion.chapters.schedule_free_river.parameters import Parameters
from companion.results import experiment

BETA2 = 0.99
WARM_UP = 0.1  # share of the steps: large beta would be unstable at first
LOOKS = 14  # at the sharpness
PRODUCTS = 6  # with the Hessian for each look
RULES = ("SF-GD", "SF-AdamW")


@dataclass(frozen=True)
class Sharpness:
    """Runs: rules (gradient, Adam) by betas."""

    beta: np.ndarray  #: (B,)
    steps: np.ndarray  #: of the looks, (K,)
    x: np.ndarray  #: (preconditioned) sharpness at x over 2 / lr, (2, B, K)
    y: np.ndarray  #: at y, (2, B, K)
    plain: np.ndarray  #: at y without preconditioner, (2, B, K)
    loss: np.ndarray  #: at y, (2, B, K)


@experiment
def sharpness(params: Parameters) -> Sharpness:
    """Full batch, one effective step size for all betas of a rule."""
    device = params.device
    beta = np.array(sorted(set(params.edge_betas)))
    betas = np.tile(beta, len(RULES))
    adaptive = np.repeat([False, True], len(beta))
    lr = np.where(adaptive, params.edge_adam, params.edge_rate) / (1 - betas)
    images, targets = digits(params.edge_images, params.rng(5))
    loss = SquaredLoss(images.to(device), targets.to(device), [params.edge_width] * 2)
    start = loss.start(params.generator(6)).expand(len(betas), -1).clone()
    warm_up = max(1, int(WARM_UP * params.edge_steps))
    factors = np.minimum(1.0, np.arange(1, params.edge_steps + 1) / warm_up)
    c = averaging.coefficients(np.tile(factors, (len(betas), 1)), betas)
    found: Edge = train(
        loss,
        start,
        torch.tensor(lr, device=device)[:, None],
        torch.tensor(c.T[..., None], device=device),
        *(torch.tensor(a, device=device)[:, None] for a in (betas, adaptive)),
        beta2=BETA2,
        warm_up=warm_up,
        every=max(1, params.edge_steps // LOOKS),
        products=PRODUCTS,
        generator=params.generator(7),
    )
    shape = (len(RULES), len(beta), -1)
    x, y = (found.sharpness[k].reshape(shape) for k in range(2))
    return Sharpness(beta, found.steps, x, y, found.plain.reshape(shape), found.loss[1].reshape(shape))
