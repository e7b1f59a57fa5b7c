"""What weight decay does to the sharpness: the forces on it, and the identity behind them.

With ``S`` the largest eigenvalue of the Hessian of L and w its unit eigenvector, a step of gradient descent with decay
changes S by ``lr * (alpha - lam * theta . grad S)`` to first order: *progressive sharpening*
``alpha = -grad L . grad S`` against a pull of decay.
"""

from dataclasses import dataclass

import torch

from companion.analysis.curvature import Loss, Sharpness, gradient, hessian_operator, lanczos, sharpness_gradient

DIVERGED = 1e6  # a loss above this does not come back
OVERFLOW = 1e15  # single precision cannot square more


class Tracker:
    """The sharpness along runs: each measurement starts from the eigenvectors of the last one.

    Parameters
    ----------
    loss : ``(R, P) -> (R,)``
    start : random vectors ``(R, P)``
    products : Hessian-vector products of a measurement; five times as many of the first
    """

    def __init__(self, loss: Loss, start: torch.Tensor, products: int):
        self._loss, self._vector, self._products = loss, start, products
        self._first = True

    def __call__(self, theta: torch.Tensor) -> Sharpness:
        """The sharpness at ``theta (R, P)``; NaN of a run that has diverged."""
        alive = (self._loss(theta) < DIVERGED)[:, None]
        product = hessian_operator(self._loss, theta.where(alive, 0))

        def guarded(v: torch.Tensor) -> torch.Tensor:
            nonlocal alive
            image = product(v)
            alive = alive & (image.abs().amax(1, keepdim=True) < OVERFLOW)  # false of NaN
            return image.where(alive, 0)

        top = lanczos(guarded, self._vector, self._products * (5 if self._first else 1))
        self._vector, self._first = top.vectors[:, 0], False
        return Sharpness(top.values[:, 0].where(alive[:, 0], torch.nan), self._vector, top.residuals[:, 0])


@dataclass(frozen=True)
class Forces:
    """What moves the sharpness of R runs; every array is ``(R,)``."""

    sharpening: torch.Tensor
    """``alpha = -grad L . grad S``, without the parts of both along w."""
    pull: torch.Tensor
    """``theta . grad S``, without the parts of both along w: times lam, what decay does across w."""
    alignment: torch.Tensor
    """``theta . grad S``."""
    cosine: torch.Tensor
    """``theta . grad S / (|theta| |grad S|)``."""


def forces(loss: Loss, theta: torch.Tensor, vector: torch.Tensor) -> Forces:
    """Progressive sharpening and alignment; eigenvectors are ``vector (R, P)``.

    At the edge of stability the iterates jump to and fro along w. The gradient's part
    along w is that jump, far larger than the drift, and of either sign: it is left out
    of alpha, and for the sake of the balance out of the pull. Where training has come
    to rest, ``grad L = -lam theta`` and ``alpha = lam * pull`` exactly.
    """
    downhill = -gradient(loss, theta)
    rising = sharpness_gradient(loss, theta, vector)
    across = _without(rising, vector)
    alignment = (theta * rising).sum(1)
    lengths = theta.norm(dim=1) * rising.norm(dim=1)
    return Forces(
        sharpening=(_without(downhill, vector) * across).sum(1),
        pull=(_without(theta, vector) * across).sum(1),
        alignment=alignment,
        cosine=alignment / lengths.clamp_min(torch.finfo(theta.dtype).tiny),
    )


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows ``(R, P)`` divided by their lengths; zero where they are zero."""
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(torch.finfo(vectors.dtype).tiny)


def at_angle(theta: torch.Tensor, aside: torch.Tensor, cosine: torch.Tensor) -> torch.Tensor:
    """Unit vectors ``(R, P)`` at a given angle to theta, turned towards ``aside``.

    Parameters
    ----------
    theta, aside : ``(R, P)``
    cosine : of the angle, ``(R, 1)``
    """
    along = unit(theta)
    return cosine * along + (1 - cosine**2).sqrt() * unit(_without(aside, along))


def _without(vectors: torch.Tensor, unit_vectors: torch.Tensor) -> torch.Tensor:
    return vectors - (vectors * unit_vectors).sum(1, keepdim=True) * unit_vectors
