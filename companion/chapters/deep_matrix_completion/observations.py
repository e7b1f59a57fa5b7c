"""Which entries are observed, and of which matrices."""

import numpy as np
from scipy.sparse.csgraph import connected_components


def blocks(count: int, size: int) -> np.ndarray:
    """Ones on ``count`` diagonal blocks of size ``size``: shape ``(d, d)``, ``d = count * size``."""
    return np.kron(np.eye(count), np.ones((size, size)))


def components(mask: np.ndarray) -> np.ndarray:
    """Labels of the connected parts of the bipartite graph of rows and columns, an edge for each observed entry.

    Shape ``(2 d,)``: first the rows, then the columns.
    """
    d = len(mask)
    graph = np.zeros((2 * d, 2 * d))
    graph[:d, d:] = mask
    return connected_components(graph, directed=False)[1]


def is_connected(mask: np.ndarray) -> bool:
    """Whether the observed entries hang together, as a matrix of rank one needs to be determined by them."""
    return components(mask).max() == 0


def random_mask(dim: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Every entry with probability ``share``, and one more for each part by which the graph falls apart."""
    mask = (rng.random((dim, dim)) < share).astype(float)
    while not is_connected(mask):
        labels = components(mask)
        apart = labels[:dim, None] != labels[dim:]
        row, column = rng.choice(np.argwhere(apart))
        mask[row, column] = 1.0
    return mask


def rank_one(dim: int, rng: np.random.Generator) -> np.ndarray:
    """``u v^T`` with normal entries pushed half a unit away from zero, scaled to a mean square of one."""
    u, v = (x + 0.5 * np.sign(x) for x in rng.normal(size=(2, dim)))
    matrix = np.outer(u, v)
    return matrix / np.sqrt((matrix**2).mean())


def low_rank(dim: int, rank: int, rng: np.random.Generator) -> np.ndarray:
    """``U V^T`` of normal factors with ``rank`` columns, scaled to a mean square of one."""
    left, right = rng.normal(size=(2, dim, rank))
    matrix = left @ right.T
    return matrix / np.sqrt((matrix**2).mean())
