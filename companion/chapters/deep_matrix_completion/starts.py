"""Where the factors start: the paper's family, diagonal factors, and diagonal factors seen from rotated layers.

All return factors ``(..., L, d, d)`` in float64, whose product is of the size ``scale``.
"""

import torch


def family(depth: int, dim: int, scale: float, m: float) -> torch.Tensor:
    """The same matrix for every layer: ``alpha`` on its diagonal and ``alpha / m`` off it, ``alpha = scale^(1/L)``.

    With ``m = inf`` the start is ``alpha I``. Shape ``(depth, dim, dim)``.
    """
    alpha = scale ** (1 / depth)
    factor = torch.full((dim, dim), alpha / m, dtype=torch.float64).fill_diagonal_(alpha)
    return factor.repeat(depth, 1, 1)


def diagonal(replicas: int, depth: int, dim: int, scale: float, generator: torch.Generator) -> torch.Tensor:
    """Random diagonal factors, their entries uniform from 1/2 to 3/2, times ``scale^(1/L)``.

    They are positive, because at depth three and more a product of diagonal entries keeps its sign.
    """
    entries = 0.5 + torch.rand(replicas, depth, dim, generator=generator, dtype=torch.float64)
    return torch.diag_embed(entries * scale ** (1 / depth))


def rotations(replicas: int, count: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    """Independent random orthogonal matrices, ``(replicas, count, dim, dim)``."""
    return torch.linalg.qr(torch.randn(replicas, count, dim, dim, generator=generator, dtype=torch.float64))[0]


def rotated(W: torch.Tensor, generator: torch.Generator, *, matched: bool = True) -> torch.Tensor:
    """Factors ``Q_l W_l Q_{l-1}^T`` with ``Q_0 = Q_L = I``: hidden layers in other coordinates, the same product.

    Parameters
    ----------
    W : factors, ``(replicas, L, d, d)``
    generator : of the rotations
    matched : otherwise every layer reads its input in coordinates of its own, and nothing cancels
    """
    replicas, depth, dim, _ = W.shape
    identity = torch.eye(dim, dtype=W.dtype).expand(replicas, 1, dim, dim)
    written = rotations(replicas, depth - 1, dim, generator)
    read = written if matched else rotations(replicas, depth - 1, dim, generator)
    return torch.cat([written, identity], 1) @ W @ torch.cat([identity, read], 1).mT
