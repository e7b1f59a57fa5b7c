"""Dual gaps of the greedy policy of a wrong estimate, and what bounds them."""

from dataclasses import dataclass

import torch

from companion.chapters.generalized_bilinear_preference_rlhf import games
from companion.chapters.generalized_bilinear_preference_rlhf.preferences import FLOAT, uniform

SLOPE = 0.25  # L, the largest slope of the logistic link
POLICIES = ("equilibrium", "one best response")


@dataclass(frozen=True)
class Greedy:
    """Dual gap of an estimate's equilibrium and what the bounds are made of, all of the same batch shape."""

    gap: torch.Tensor
    mean: torch.Tensor  # E |E phi|
    mean_square: torch.Tensor  # E |E phi|^2
    spread: torch.Tensor  # max h - min h
    top: torch.Tensor  # max h
    residual: float

    def squared(self, strength: torch.Tensor) -> torch.Tensor:
        """Gap over ``2 L^2 eta beta (E|E phi|)^2 + L E|E phi|^2``; ``strength`` is ``eta beta``."""
        return self.gap / (2 * SLOPE**2 * strength * self.mean**2 + SLOPE * self.mean_square)

    def squared_as_printed(self, strength: torch.Tensor) -> torch.Tensor:
        """Gap over ``(L^2 eta beta + L) E|E phi|^2``."""
        return self.gap / ((SLOPE**2 * strength + SLOPE) * self.mean_square)

    def first_order(self) -> torch.Tensor:
        """Gap over ``L E|E phi|``."""
        return self.gap / (SLOPE * self.mean)

    def first_order_as_printed(self) -> torch.Tensor:
        """Gap over ``(L / 2) E[|E phi| + |E phi|^2]``."""
        return self.gap / (SLOPE / 2 * (self.mean + self.mean_square))

    def by_duality(self, strength: torch.Tensor) -> torch.Tensor:
        """Gap over ``eta beta / 8 (max h - min h)^2``."""
        return self.gap / (strength / 8 * self.spread**2)


def greedy_of(
    features: torch.Tensor,
    theta: torch.Tensor,
    estimate: torch.Tensor,
    eta: torch.Tensor,
    regularizer: games.Regularizer,
    link=None,
    policy: str = "equilibrium",
) -> Greedy:
    """Equilibrium of the estimated game, its dual gap in the true one, and ``h = (M_star - M_hat) pi_hat``.

    Parameters
    ----------
    features : ``(N, K, d)``
    theta, estimate : broadcast to ``(..., N, d, d)``
    eta : broadcast to ``(..., N)``
    link : probability minus one half, from the logit; logistic by default
    policy : ``"one best response"``, to the uniform policy in the estimated game, is what somebody might play who does
        not solve for an equilibrium
    """
    link = link or (lambda logits: torch.tanh(logits / 2) / 2)
    true, wrong = (link(features @ matrix @ features.mT) for matrix in (theta, estimate))
    true, wrong = torch.broadcast_tensors(true, wrong)
    eta = eta.expand(torch.broadcast_shapes(eta.shape, true.shape[:-2]))
    true, wrong = true.expand(*eta.shape, *true.shape[-2:]), wrong.expand(*eta.shape, *true.shape[-2:])
    ref = uniform(true)
    if policy == "equilibrium":
        solved = games.symmetric_equilibrium(wrong, eta, ref, regularizer)
        y, residual = solved.y, float((solved.residual / (eta / 100).clamp_min(1)).max())
    else:
        y, residual = games.best_response(wrong, ref.expand(true.shape[:-1]), eta, ref, regularizer), 0.0
    pi = games.policy(y, ref, regularizer)
    sizes = (features @ (theta - estimate).mT).norm(dim=-1)
    h = ((true - wrong) @ pi[..., None])[..., 0]
    return Greedy(
        games.dual_gap(true, y, eta, ref, regularizer),
        (pi * sizes).sum(-1),
        (pi * sizes**2).sum(-1),
        h.amax(-1) - h.amin(-1),
        h.amax(-1),
        residual,
    )


def two_actions(
    epsilon: torch.Tensor, delta: torch.Tensor, eta: torch.Tensor, regularizer: games.Regularizer
) -> Greedy:
    """Two actions with the unit vectors as features, ``Theta_star = eps J`` and ``Theta_hat = -delta J``.

    The arguments are of one shape, ``(N,)``.
    """
    j = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=FLOAT)
    features = torch.eye(2, dtype=FLOAT).expand(len(epsilon), 2, 2)
    return greedy_of(features, epsilon[:, None, None] * j, -delta[:, None, None] * j, eta, regularizer)
