"""Stability in function space: how far one step moves outputs and the tangent kernel."""

import torch

from companion.analysis.curvature import jacobian
from companion.chapters.weight_decay_stability.networks import Network, predict


def output_step(network: Network, theta: torch.Tensor, before: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
    """``|f(theta) - f(before)| / |f(theta)|`` over all outputs on the given inputs, ``(R,)``."""
    now, then = predict(network, theta, prepared), predict(network, before, prepared)
    return (now - then).flatten(1).norm(dim=1) / now.flatten(1).norm(dim=1)


def tangent_kernel(network: Network, theta: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
    """``K_ij = sum_c grad f_c(x_i) . grad f_c(x_j)``, ``(R, n, n)``: the kernel of a network, summed over outputs."""
    runs, classes, n = predict(network, theta, prepared).shape

    def outputs(point: torch.Tensor) -> torch.Tensor:
        return predict(network, point, prepared).flatten(1)

    rows = jacobian(outputs, theta).reshape(runs, classes, n, -1)
    return torch.einsum("rcip,rcjp->rij", rows, rows)


def kernel_step(network: Network, theta: torch.Tensor, before: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
    """``|K(theta) - K(before)|_F / |K(theta)|_F``, ``(R,)``."""
    now, then = (tangent_kernel(network, point, prepared) for point in (theta, before))
    return (now - then).flatten(1).norm(dim=1) / now.flatten(1).norm(dim=1)
