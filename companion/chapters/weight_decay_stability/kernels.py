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
    runs, _, n = predict(network, theta, prepared).shape
    # Each sample alone with a copy of its run's parameters: no pass backwards runs through the others.
    alone = prepared.unflatten(2, (-1, n)).permute(0, 3, 1, 2).flatten(0, 1)

    def outputs(point: torch.Tensor) -> torch.Tensor:
        return predict(network, point, alone).flatten(1)

    rows = jacobian(outputs, theta.repeat_interleave(n, dim=0)).unflatten(0, (runs, n))
    return torch.einsum("ricp,rjcp->rij", rows, rows)


def kernel_step(network: Network, theta: torch.Tensor, before: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
    """``|K(theta) - K(before)|_F / |K(theta)|_F``, ``(R,)``."""
    now, then = (tangent_kernel(network, point, prepared) for point in (theta, before))
    return (now - then).flatten(1).norm(dim=1) / now.flatten(1).norm(dim=1)
