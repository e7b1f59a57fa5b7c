"""How far the orthogonal factor moves when a matrix moves: pairs of matrices near and far from singular."""

import numpy as np
import torch

from companion.optim.orthogonalize import polar


def matrix_pairs(
    rows: int, columns: int, least: float, gap: float, size: float, count: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs ``A`` and ``A + E`` of full rank, ``rows >= columns``, with ``||E||_F = size * least``.

    ``A`` has random singular vectors and the singular values ``least, least + gap, least + 2 gap, ...``. The first
    pair moves in the direction in which the orthogonal factor reacts most, the others in random ones: with singular
    vectors ``u, v`` of the two least singular values ``s_n <= s_{n-1}``

        rows > columns      E ~ w v_n^T, w orthogonal to all u               amplified by 1 / s_n
        rows = columns      E ~ u_n v_{n-1}^T - u_{n-1} v_n^T                amplified by 2 / (s_n + s_{n-1})

    Returns
    -------
    Tensors ``(count, rows, columns)``, float64
    """
    left = np.linalg.qr(rng.normal(size=(rows, rows)))[0]
    right = np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    values = least + gap * np.arange(columns)[::-1]
    A = (left[:, :columns] * values) @ right.T
    E = rng.normal(size=(count, rows, columns))
    if rows > columns:
        E[0] = np.outer(left[:, -1], right[:, -1])
    else:
        E[0] = np.outer(left[:, -1], right[:, -2]) - np.outer(left[:, -2], right[:, -1])
    E *= size * least / np.linalg.norm(E, axis=(1, 2), keepdims=True)
    return torch.tensor(np.broadcast_to(A, E.shape).copy()), torch.tensor(A + E)


def amplification(A: torch.Tensor, B: torch.Tensor, function=polar) -> np.ndarray:
    """``||f(A) - f(B)||_F / ||A - B||_F`` of each pair ``(..., m, n)``; ``f`` is the orthogonal factor by default."""
    norm = torch.linalg.matrix_norm
    return (norm(function(A) - function(B)) / norm(A - B)).numpy()
