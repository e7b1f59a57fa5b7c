"""The alignment identity: what homogeneity says about the parameters and the gradient of the sharpness."""

import torch

from companion.analysis.curvature import gradient, hessian_operator, jacobian
from companion.chapters.weight_decay_stability.networks import Network, predict


def gauss_newton_sharpness(
    network: Network, theta: torch.Tensor, prepared: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest eigenvalue ``(R,)`` of ``J^T J / n`` and its unit eigenvector ``(R, P)``, by a dense solver.

    It is the Hessian of the squared loss without the part that the residuals bring.
    """

    def outputs(point: torch.Tensor) -> torch.Tensor:
        return predict(network, point, prepared).flatten(1)

    rows = jacobian(outputs, theta)
    n = predict(network, theta, prepared).shape[2]
    values, vectors = torch.linalg.eigh(rows @ rows.mT / n)
    top = (vectors[:, None, :, -1] @ rows)[:, 0]
    return values[:, -1], top / top.norm(dim=1, keepdim=True)


def gauss_newton_alignment(
    network: Network, theta: torch.Tensor, vector: torch.Tensor, prepared: torch.Tensor
) -> torch.Tensor:
    """``theta . grad (|J w|^2 / n)`` with ``w = vector (R, P)`` held fixed, ``(R,)``."""

    def curvature(point: torch.Tensor) -> torch.Tensor:
        moved = torch.func.jvp(lambda p: predict(network, p, prepared), (point,), (vector,))[1]
        return moved.square().sum(1).mean(1)

    return (theta * gradient(curvature, theta)).sum(1)


def label_curvature(
    network: Network, theta: torch.Tensor, vector: torch.Tensor, prepared: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """``kappa``: the mean over samples of ``y . d^2 f / dw^2``, ``(R,)``, for unit vectors ``w = vector (R, P)``.

    For the squared loss and a network of degree D, ``theta . grad S = 2 (D - 1) S + D kappa``: what is left of the
    residuals in the alignment with the full Hessian.

    Parameters
    ----------
    network, theta, prepared : see :mod:`companion.chapters.weight_decay_stability.networks`
    vector : ``(R, P)``
    targets : ``y``, ``(R, classes, n)``
    """

    def labelled(point: torch.Tensor) -> torch.Tensor:
        return (predict(network, point, prepared) * targets).sum(1).mean(1)

    return (vector * hessian_operator(labelled, theta)(vector)).sum(1)
