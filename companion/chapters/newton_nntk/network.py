"""Two-layer networks of any width, their Jacobians and the second-order blocks of their units.

``g(x) = N^-b sum_i c_i sigma(w_i . x)`` with all ``c_i`` and ``w_i`` trained. Runs are batched along a leading axis,
and the four parameters of a unit, ``(c, w)``, along the first axis of a Jacobian.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

UNIT = 4  # parameters of a unit: its output weight and three input weights, the last of them its bias


@dataclass(frozen=True)
class Activation:
    """A bounded activation with its first two derivatives, all of a tensor of preactivations."""

    value: Callable[[Tensor], Tensor]
    first: Callable[[Tensor], Tensor]
    second: Callable[[Tensor], Tensor]


def _erf_first(u: Tensor) -> Tensor:
    return 2 / np.sqrt(np.pi) * torch.exp(-(u**2))


ACTIVATIONS = {
    "erf": Activation(torch.erf, _erf_first, lambda u: -2 * u * _erf_first(u)),
    "tanh": Activation(
        torch.tanh,
        lambda u: 1 - torch.tanh(u) ** 2,
        lambda u: -2 * torch.tanh(u) * (1 - torch.tanh(u) ** 2),
    ),
}


@dataclass(frozen=True)
class Network:
    """Weights of several independent networks: ``c`` of shape ``(runs, N)``, ``w`` of shape ``(runs, N, 3)``."""

    c: Tensor
    w: Tensor
    #: N^-b for each run, ``(runs,)``
    scale: Tensor
    activation: Activation

    def outputs(self, x: Tensor) -> Tensor:
        """``g(x)`` at the inputs ``(points, 3)``: ``(runs, points)``."""
        hidden = self.activation.value(self.w @ x.T)
        return self.scale[:, None] * torch.einsum("rn,rnm->rm", self.c, hidden)

    def moved(self, step: Tensor) -> "Network":
        """The network after a step of shape ``(runs, N, 4)``."""
        return Network(self.c + step[..., 0], self.w + step[..., 1:], self.scale, self.activation)

    def chosen(self, runs: slice) -> "Network":
        """Some of the runs."""
        return Network(self.c[runs], self.w[runs], self.scale[runs], self.activation)


def circle(angles: np.ndarray) -> np.ndarray:
    """Points of the unit circle with a constant third coordinate for the biases: ``(points, 3)``."""
    return np.stack([np.cos(angles), np.sin(angles), np.ones_like(angles)], axis=-1)


def initial_weights(
    runs: int, width: int, s: float, s_b: float, antisymmetric: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random signs and Gaussian input weights.

    Parameters
    ----------
    runs, width : sizes; an even width where the start is antisymmetric
    s, s_b : standard deviations of the two weights of the input and of the bias
    antisymmetric : units come in pairs ``(c, w)``, ``(-c, w)``, so that the network starts at zero exactly

    Returns
    -------
    ``c`` of shape ``(runs, width)``, ``w`` of shape ``(runs, width, 3)``
    """
    drawn = width // 2 if antisymmetric else width
    c = rng.choice([-1.0, 1.0], size=(runs, drawn))
    w = rng.normal(size=(runs, drawn, 3)) * np.array([s, s, s_b])
    if antisymmetric:
        c, w = np.concatenate([c, -c], axis=1), np.concatenate([w, w], axis=1)
    return c, w


def jacobian(network: Network, u: Tensor, x: Tensor) -> Tensor:
    """Derivatives of all outputs with respect to all weights: ``(4, runs, N, M)``.

    Parameters
    ----------
    u : preactivations ``(runs, N, M)`` at the inputs ``x``, of shape ``(M, 3)``
    """
    scale = network.scale[:, None, None]
    slope = scale * network.c[..., None] * network.activation.first(u)
    J = torch.empty((UNIT, *u.shape), dtype=u.dtype, device=u.device)
    J[0] = scale * network.activation.value(u)
    for k in range(UNIT - 1):
        J[k + 1] = slope * x[:, k]
    return J


def second_order_blocks(
    network: Network,
    u: Tensor,
    x: Tensor,
    residual: Tensor,
) -> Tensor:
    """What the Hessian of the loss has beyond ``J^T J / M``: a block for each unit.

    ``B_i = (1/M) sum_m r_m (d^2 g(x_m) / d theta_i^2)``, symmetric, with a zero
    where ``c_i`` meets itself.

    Parameters
    ----------
    u, x : as for :func:`jacobian`
    residual : ``g(x_m) - y_m``, ``(runs, M)``

    Returns
    -------
    ``(runs, N, 4, 4)``
    """
    weight = (network.scale[:, None] * residual / len(x))[:, None, :]
    mixed = (weight * network.activation.first(u)) @ x
    squares = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    inner = network.c[..., None] * ((weight * network.activation.second(u)) @ squares)
    B = torch.zeros((*u.shape[:2], UNIT, UNIT), dtype=u.dtype, device=u.device)
    B[..., 0, 1:] = B[..., 1:, 0] = mixed
    B[..., 1:, 1:] = inner.unflatten(-1, (UNIT - 1, UNIT - 1))
    return B
