"""Curvature of losses along training: Hessian-vector products, leading eigenvalues, and how they change.

Runs are independent and share one batch. Their parameters are the rows of one matrix ``theta`` of shape ``(R, P)``, and
a loss maps it to one number for each run, ``(R, P) -> (R,)``, of which entry r depends on row r alone; a network takes
its layers from the rows by :func:`split`. One pass backwards through the sum of the losses is then the gradient of
every run, and one pass backwards through that gradient a Hessian-vector product of every run.

The *sharpness* is the largest eigenvalue of the Hessian, by :func:`lanczos` from a few products:

>>> import torch
>>> def loss(theta):
...     return 0.5 * (torch.tensor([1.0, 2.0, 5.0]) * theta**2).sum(-1)
>>> theta = torch.ones(2, 3)
>>> top = sharpness(loss, theta, start=torch.ones(2, 3), steps=3)
>>> [round(value, 4) for value in top.value.tolist()]
[5.0, 5.0]
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Loss = Callable[[torch.Tensor], torch.Tensor]
Product = Callable[[torch.Tensor], torch.Tensor]


def split(theta: torch.Tensor, shapes: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Views ``(R, *shape)`` of the rows of ``theta (R, P)``, one for each shape, in order.

    Raises
    ------
    ValueError
        If the shapes do not hold P numbers together.
    """
    sizes = [math.prod(shape) for shape in shapes]
    if sum(sizes) != theta.shape[1]:
        raise ValueError(f"shapes: they hold {sum(sizes)} numbers, theta has {theta.shape[1]}")
    return [
        part.reshape(len(theta), *shape) for part, shape in zip(theta.split(sizes, dim=1), shapes, strict=True)
    ]  # fmt: skip


def gradient(loss: Loss, theta: torch.Tensor) -> torch.Tensor:
    """Gradients ``(R, P)`` of each run's loss at ``theta (R, P)``."""
    return _gradient(loss, _leaf(theta)).detach()


def hessian_operator(loss: Loss, theta: torch.Tensor) -> Product:
    """The function ``v -> H v`` of ``(R, P)``, row by row, at a fixed ``theta``.

    The gradient and its graph are made once; a product costs one more pass backwards (Pearlmutter, 1994).
    """
    point = _leaf(theta)
    slope = _gradient(loss, point, keep=True)
    return lambda v: _pull(slope, point, v).detach()


def jacobian(function: Loss, theta: torch.Tensor) -> torch.Tensor:
    """Derivatives ``(R, n, P)`` of ``function: (R, P) -> (R, n)``, whose row r depends on row r of ``theta`` alone.

    n passes backwards, made together. ``J J^T`` is the tangent kernel of outputs.
    """
    point = _leaf(theta)
    with torch.enable_grad():
        values = function(point)
    runs, n = values.shape
    # Output i of every run in pass i.
    picks = torch.eye(n, dtype=values.dtype, device=values.device)[:, None, :].expand(n, runs, n)
    rows = torch.autograd.grad(values, point, picks, is_grads_batched=True)[0]
    return rows.transpose(0, 1)


def dense_hessian(loss: Loss, theta: torch.Tensor) -> torch.Tensor:
    """Hessians ``(R, P, P)``, by P products: for small P."""
    product = hessian_operator(loss, theta)
    units = torch.eye(theta.shape[1], dtype=theta.dtype, device=theta.device)
    return torch.stack([product(unit.expand_as(theta)) for unit in units], dim=-1)


@dataclass(frozen=True, slots=True)
class Ritz:
    """Approximate eigenpairs of R symmetric operators, largest first."""

    values: torch.Tensor
    """``(R, k)``."""
    vectors: torch.Tensor
    """Unit vectors ``(R, k, P)``."""
    residuals: torch.Tensor
    """``||A x - value x||``, ``(R, k)``: some eigenvalue is this near to the value."""


def lanczos(product: Product, start: torch.Tensor, steps: int, k: int = 1) -> Ritz:
    """The k largest Ritz pairs of symmetric operators in the Krylov space of ``steps`` products.

    Lanczos' method with full reorthogonalization (Golub and Van Loan, Matrix Computations, section 10.1). Where a
    space is invariant before its time, it is continued from a direction orthogonal to it, so that a start from an
    exact eigenvector does no harm. With ``steps = P`` the pairs are exact.

    Parameters
    ----------
    product : ``(R, P) -> (R, P)``, row by row a symmetric matrix times the row
    start : ``(R, P)``, not zero; the eigenvectors of an earlier step, or random vectors. What is orthogonal to a
        start is found only through rounding, so random vectors are the safe choice for the first call
    steps : number of products, at least k; at most P are made
    k : number of pairs

    Raises
    ------
    ValueError
        If k is not between 1 and ``min(steps, P)``, or a start is zero or not finite.
    """
    runs, size = start.shape
    steps = min(steps, size)
    if not 1 <= k <= steps:
        raise ValueError(f"k: got {k}, needs to be from 1 to {steps}")
    length = start.norm(dim=1, keepdim=True)
    if not bool(((length > 0) & length.isfinite()).all()):
        raise ValueError("start: a row is zero or not finite")
    basis = start.new_zeros(runs, steps, size)
    image = start.new_zeros(runs, steps, size)
    basis[:, 0] = start / length
    for step in range(steps):
        image[:, step] = product(basis[:, step])
        following = image[:, step]
        scale = following.norm(dim=1, keepdim=True)
        if step + 1 == steps:
            break
        rest = _orthogonal_to(basis[:, : step + 1], following)
        stuck = rest.norm(dim=1, keepdim=True) <= 100 * torch.finfo(start.dtype).eps * scale
        if bool(stuck.any()):
            rest = torch.where(stuck, _fresh(basis[:, : step + 1]), rest)
        basis[:, step + 1] = rest / rest.norm(dim=1, keepdim=True)
    projected = basis @ image.mT
    values, coordinates = torch.linalg.eigh((projected + projected.mT) / 2)
    values, coordinates = values.flip(-1)[:, :k], coordinates.flip(-1)[:, :, :k].mT
    vectors = coordinates @ basis
    residuals = (coordinates @ image - values[..., None] * vectors).norm(dim=-1)
    return Ritz(values, vectors, residuals)


@dataclass(frozen=True, slots=True)
class Sharpness:
    """The largest eigenvalue of R Hessians."""

    value: torch.Tensor
    """``(R,)``."""
    vector: torch.Tensor
    """Unit eigenvectors ``(R, P)``, of either sign."""
    residual: torch.Tensor
    """``||H w - S w||``, ``(R,)``."""


def sharpness(loss: Loss, theta: torch.Tensor, start: torch.Tensor, steps: int) -> Sharpness:
    """``lambda_max`` of each run's Hessian at ``theta``, from ``steps`` Hessian-vector products.

    Along a trajectory, ``start`` is the vector found before, and few steps are enough; ``residual`` says how good the
    pair is.

    Parameters
    ----------
    loss : ``(R, P) -> (R,)``
    theta, start : ``(R, P)``; see :func:`lanczos`
    steps : products, at least 1
    """
    top = lanczos(hessian_operator(loss, theta), start, steps)
    return Sharpness(top.values[:, 0], top.vectors[:, 0], top.residuals[:, 0])


def sharpness_gradient(loss: Loss, theta: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """``grad_theta (w^T H(theta) w)`` with ``w = vector`` held fixed, ``(R, P)``.

    It is the gradient of the sharpness where ``w`` is the unit eigenvector of a simple largest eigenvalue
    (Hellmann-Feynman).
    """
    point = _leaf(theta)
    slope = _gradient(loss, point, keep=True)
    with torch.enable_grad():
        curvature = (_pull(slope, point, vector, keep=True) * vector).sum()
    return _pull(curvature, point, torch.ones_like(curvature)).detach()


def _leaf(theta: torch.Tensor) -> torch.Tensor:
    return theta.detach().requires_grad_(True)


def _gradient(loss: Loss, point: torch.Tensor, keep: bool = False) -> torch.Tensor:
    with torch.enable_grad():
        total = loss(point).sum()
    return _pull(total, point, torch.ones_like(total), keep=keep)


def _pull(output: torch.Tensor, point: torch.Tensor, weights: torch.Tensor, keep: bool = False) -> torch.Tensor:
    """``weights^T d output / d point``; zero where the output does not depend on the point."""
    if not output.requires_grad:
        return torch.zeros_like(point)
    return torch.autograd.grad(
        output, point, weights, retain_graph=True, create_graph=keep, allow_unused=True, materialize_grads=True
    )[0]


def _orthogonal_to(basis: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Rows ``(R, P)`` less their parts in the orthonormal ``basis (R, j, P)``; twice, for the sake of rounding."""
    for _ in range(2):
        rows = rows - ((basis @ rows[..., None]).mT @ basis)[:, 0]
    return rows


def _fresh(basis: torch.Tensor) -> torch.Tensor:
    """Directions orthogonal to each basis ``(R, j, P)`` of fewer than P vectors: the same random row, projected."""
    row = torch.randn(basis.shape[2], generator=torch.Generator().manual_seed(basis.shape[1]), dtype=torch.float64)
    return _orthogonal_to(basis, row.to(basis).expand(basis.shape[0], -1))
