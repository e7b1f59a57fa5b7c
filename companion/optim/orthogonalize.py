"""The orthogonal factor of a matrix, exact, smoothed or by Newton-Schulz: what Muon puts in a gradient's place.

A matrix ``G = sum_i g_i u_i v_i^T`` (singular values ``g_i > 0``) keeps its singular vectors, and its singular values
are replaced:

    polar            g -> 1
    smoothed_polar   g -> g / sqrt(g^2 + beta^2)
    newton_schulz    g -> p(... p(g / ||G||_F)),    p(x) = a x + b x^3 + c x^5

Directions in which ``G`` vanishes stay zero under all three. All work on the last two axes, tall or wide, and carry
leading axes (seeds, layers) along; the smoothed factor and Newton-Schulz multiply on the shorter side.

>>> import torch
>>> G = torch.tensor([[3.0, 0.0], [0.0, -0.5], [0.0, 0.0]])
>>> polar(G).tolist()
[[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]]
>>> [round(x, 3) for x in torch.linalg.svdvals(newton_schulz(G, steps=5)).tolist()]
[1.042, 0.714]
"""

import torch

MUON = (3.4445, -4.7750, 2.0315)
"""Muon's coefficients (Jordan and others 2024): steep at zero, and they never settle at one."""
CONVERGENT = (15 / 8, -10 / 8, 3 / 8)
"""Taylor's coefficients of order five: with steps, every singular value in (0, sqrt(7/3)) tends to one."""


def polar(matrix: torch.Tensor, rtol: float | None = None) -> torch.Tensor:
    """The orthogonal factor ``U V^T`` of the thin singular value decomposition ``U S V^T``.

    It is the step of steepest descent under the spectral norm: of all matrices with no singular value above one it has
    the largest inner product with ``matrix``.

    Parameters
    ----------
    matrix : ``(..., m, n)``
    rtol : singular values up to ``rtol`` times the largest count as zero; by default ``max(m, n)`` times the rounding
        unit of the type

    Returns
    -------
    Tensor ``(..., m, n)`` whose singular values are one and zero; zero where ``matrix`` is zero.

    Raises
    ------
    ValueError
        If ``matrix`` has fewer than two axes, or ``rtol`` is not in [0, 1).
    """
    _check_matrix(matrix)
    rtol = max(matrix.shape[-2:]) * torch.finfo(matrix.dtype).eps if rtol is None else rtol
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol: got {rtol!r}, allowed: at least 0 and less than 1")
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return (left * (values > rtol * values[..., :1]).to(matrix.dtype)[..., None, :]) @ right


def smoothed_polar(matrix: torch.Tensor, beta: float | torch.Tensor) -> torch.Tensor:
    """``G (G^T G + beta^2 I)^(-1/2)``: singular values ``g -> g / sqrt(g^2 + beta^2)``.

    Analytic in ``G``, with a derivative at zero (the identity over ``beta``); tends to
    :func:`polar` as ``beta`` tends to zero, and to ``G / beta`` as ``beta`` grows.

    Parameters
    ----------
    matrix : ``G``, shape ``(..., m, n)``
    beta : positive; a tensor that broadcasts against the leading axes, its own for each
        matrix, is not checked

    Returns
    -------
    Tensor ``(..., m, n)``, all singular values below one.

    Raises
    ------
    ValueError
        If ``matrix`` has fewer than two axes, or ``beta`` is not a positive number.

    Notes
    -----
    By eigenvectors of the Gram matrix, which squares condition numbers: singular values
    below ``1e-8`` of the largest (float64; ``3e-4`` in float32) are lost in rounding,
    so ``beta`` should not be smaller than that.
    """
    _check_matrix(matrix)
    if isinstance(beta, torch.Tensor):
        beta = beta[..., None]
    elif not 0 < beta < float("inf"):
        raise ValueError(f"beta: got {beta!r}, allowed: a positive number")
    wide = matrix.shape[-2] < matrix.shape[-1]
    gram = matrix @ matrix.mT if wide else matrix.mT @ matrix
    squares, vectors = torch.linalg.eigh(gram)
    scales = (squares.clamp(min=0) + beta**2).rsqrt()
    root = (vectors * scales[..., None, :]) @ vectors.mT
    return root @ matrix if wide else matrix @ root


def newton_schulz(
    matrix: torch.Tensor,
    steps: int = 5,
    coefficients: tuple[float, float, float] = MUON,
    eps: float = 1e-7,
) -> torch.Tensor:
    """``steps`` times ``X <- a X + (b X X^T + c (X X^T)^2) X`` from ``X = G / ||G||_F``, as Muon orthogonalizes.

    Products of matrices only. With :data:`MUON` and five steps, singular values above 0.002 of the Frobenius norm
    end between 0.68 and 1.21, smaller ones below; with :data:`CONVERGENT` they tend to one. Each step multiplies what
    is next to zero by ``a``, rounding of a matrix without full rank included: five steps by 500, forty by 1e21.

    Parameters
    ----------
    matrix : ``G``, shape ``(..., m, n)``; computed in its own type (``torch.optim.Muon`` computes in bfloat16)
    steps : at least 0
    coefficients : ``(a, b, c)``
    eps : Frobenius norms below it are not divided by, as in Muon

    Returns
    -------
    Tensor ``(..., m, n)``

    Raises
    ------
    ValueError
        If ``matrix`` has fewer than two axes, or ``steps`` is negative.
    """
    _check_matrix(matrix)
    if steps < 0:
        raise ValueError(f"steps: got {steps!r}, allowed: at least 0")
    a, b, c = coefficients
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def _check_matrix(matrix: torch.Tensor) -> None:
    if matrix.ndim < 2:
        raise ValueError(f"matrix: got {matrix.ndim} axes, allowed: at least two")
