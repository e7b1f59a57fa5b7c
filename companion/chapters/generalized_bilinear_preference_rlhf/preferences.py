"""Preference environments: features, skew-symmetric matrices, and the games that they make."""

from dataclasses import dataclass

import torch

FLOAT = torch.float64


@dataclass(frozen=True)
class Environments:
    """Preference environments with logistic link, ``P(a beats b | x) = sigmoid(phi_a^T Theta phi_b)``."""

    #: ``(N, C, K, d)``, of norm at most 1
    features: torch.Tensor
    #: skew-symmetric, ``(N, d, d)``
    theta: torch.Tensor

    @property
    def payoff(self) -> torch.Tensor:
        """``P - 1/2`` of every context, skew-symmetric, ``(N, C, K, K)``."""
        return payoff(self.features, self.theta)

    def __getitem__(self, rows) -> "Environments":
        return Environments(self.features[rows], self.theta[rows])

    def __len__(self) -> int:
        return len(self.theta)

    def join(self, other: "Environments") -> "Environments":
        """These environments followed by others."""
        return Environments(torch.cat([self.features, other.features]), torch.cat([self.theta, other.theta]))

    def repeat(self, times: int) -> "Environments":
        """These environments, as a whole, several times over."""
        return Environments(self.features.repeat(times, 1, 1, 1), self.theta.repeat(times, 1, 1))

    def to(self, device: str) -> "Environments":
        """These environments on a device."""
        return Environments(self.features.to(device), self.theta.to(device))


def payoff(features: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """``sigmoid(phi_a^T Theta phi_b) - 1/2`` as ``tanh(logit / 2) / 2``, which is odd to the last bit."""
    logits = features @ theta[:, None] @ features.mT
    return torch.tanh((logits - logits.mT) / 4) / 2


def uniform(payoff: torch.Tensor) -> torch.Tensor:
    """The uniform policy over the actions of a payoff matrix, ``(K,)``: the reference policy of this chapter."""
    actions = payoff.shape[-1]
    return torch.full((actions,), 1 / actions, dtype=payoff.dtype, device=payoff.device)


def skew_low_rank(d: int, r: int, nuclear_norm: float, frames: torch.Tensor) -> torch.Tensor:
    """Skew matrices of rank ``2r`` with equal singular values that sum to ``nuclear_norm``.

    ``Theta = S / (2r) sum_k (q_{2k-1} q_{2k}^T - q_{2k} q_{2k-1}^T)`` over orthonormal columns ``q`` of ``frames``,
    ``(N, d, d)``.
    """
    first, second = frames[..., 0 : 2 * r : 2], frames[..., 1 : 2 * r : 2]
    plane = first @ second.mT
    return nuclear_norm / (2 * r) * (plane - plane.mT)


def environments(
    count: int,
    contexts: int,
    actions: int,
    d: int,
    r: int,
    nuclear_norm: float,
    generator: torch.Generator,
    *,
    shift: float = 0.0,
) -> Environments:
    """Random environments: features on the unit sphere, ``Theta`` of rank ``2r`` in random planes.

    With ``shift`` = alpha the features are ``sqrt(1 - alpha^2) z + alpha m``, shortened to norm 1 where they are
    longer, ``m`` in the first plane of ``Theta``: then some actions beat most others and the uniform policy is poor.
    """

    def normal(*shape):
        return torch.randn(*shape, dtype=FLOAT, generator=generator, device=generator.device)

    frames = torch.linalg.qr(normal(count, d, d))[0]
    theta = skew_low_rank(d, r, nuclear_norm, frames)
    z = normal(count, contexts, actions, d)
    z = z / z.norm(dim=-1, keepdim=True)
    if shift:
        z = (1 - shift**2) ** 0.5 * z + shift * frames[:, None, None, :, 0]
        z = z / z.norm(dim=-1, keepdim=True).clamp_min(1.0)
    return Environments(z, theta)


def starved(env: Environments) -> Environments:
    """The same environments with the first half of the actions flattened into the first two coordinates.

    An explorer who plays only these never shows the block of ``Theta`` that the other coordinates span.
    """
    features = env.features.clone()
    half = features.shape[-2] // 2
    features[..., :half, 2:] = 0
    features[..., :half, :] /= features[..., :half, :].norm(dim=-1, keepdim=True)
    return Environments(features, env.theta)
