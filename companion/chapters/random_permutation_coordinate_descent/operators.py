"""Coordinate descent on quadratics: its maps, and how an update or an epoch acts on second moments, exactly.

On ``f(x) = x^T A x / 2`` with unit diagonal, exact minimization over coordinate i is the matrix
``U_i = I - e_i a_i^T``, ``a_i`` row i of ``A``. With coordinates drawn at random, ``E[x x^T]`` is mapped linearly:

    RCD, one update:   X -> mean_i U_i X U_i^T = X - (A X + X A) / n + Diag(A X A) / n
    RPCD, one epoch:   X -> mean_p T_p X T_p^T,   T_p = U_{p_n} ... U_{p_1}, p over all n! orders

and the spectral radii of these maps are the mean-square contraction rates. The second needs no n! products: grouped by
the set of coordinates already visited, the orders are summed by dynamic programming over 2^n sets. Everything is
double precision and batched over matrices.

>>> import torch
>>> A = equicorrelation(2, 0.5)
>>> round(float(rates(A[None], rpcd_moments)[0]), 6)        # (q^2 + q^4) / 2 with q = 1 - sigma
0.15625
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
import torch

Moments = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Doubles held at once by the dynamic program: 16 MiB suit a CPU's caches, a GPU wants more.
_ENTRIES = {"cpu": 2**21, "cuda": 2**27}


# --- matrices -----------------------------------------------------------------------------------------------------


def unit_diagonal(Q: np.ndarray) -> np.ndarray:
    """``D^{-1/2} Q D^{-1/2}`` with ``D`` the diagonal of ``Q``: a rescaling of x that coordinate steps do not see.

    Parameters
    ----------
    Q : positive definite, ``(..., n, n)``
    """
    scale = np.sqrt(np.diagonal(Q, axis1=-2, axis2=-1))
    return Q / (scale[..., :, None] * scale[..., None, :])


def equicorrelation(n: int, sigma: float, block: int | None = None) -> torch.Tensor:
    """``A_sigma = sigma I + (1 - sigma) 1 1^T``, ``(n, n)``; with ``block``, of that size, and ones on the rest."""
    A = torch.eye(n, dtype=torch.float64)
    k = n if block is None else block
    A[:k, :k] = sigma * torch.eye(k, dtype=torch.float64) + (1 - sigma)
    return A


def simplex(n: int, sigma: float) -> torch.Tensor:
    """The other permutation-invariant matrix of unit diagonal and least eigenvalue sigma: off-diagonal entries
    ``-(1 - sigma) / (n - 1)``, the Gram matrix of a regular simplex.
    """
    C = (n * torch.eye(n, dtype=torch.float64) - 1) / (n - 1)
    return sigma * torch.eye(n, dtype=torch.float64) + (1 - sigma) * C


def with_least_eigenvalue(V: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
    """``sigma I + (1 - sigma) C`` with ``C`` the Gram matrix of the normalized rows of ``V``.

    Every unit-diagonal matrix with least eigenvalue sigma is of this form with a singular ``C``, and conversely.

    Parameters
    ----------
    V : ``(..., n, r)`` with ``r < n``
    sigma : broadcast against the leading axes of ``V``
    """
    V = V / V.norm(dim=-1, keepdim=True)
    n = V.shape[-2]
    sigma = torch.as_tensor(sigma, dtype=V.dtype, device=V.device)[..., None, None]
    A = (1 - sigma) * (V @ V.mT)
    identity = torch.eye(n, dtype=V.dtype, device=V.device)
    return torch.where(identity.bool(), identity, A)


# --- maps of the iterate ------------------------------------------------------------------------------------------


def epoch_map(A: torch.Tensor, order: np.ndarray | torch.Tensor) -> torch.Tensor:
    """``T_p = U_{p_n} ... U_{p_1}`` of matrices ``(..., n, n)`` and orders ``(..., n)``, broadcast: ``(..., n, n)``."""
    order = torch.as_tensor(order, device=A.device)
    n = A.shape[-1]
    lead = torch.broadcast_shapes(A.shape[:-2], order.shape[:-1])
    A = A.expand(*lead, n, n)
    order = order.expand(*lead, order.shape[-1])
    T = torch.eye(n, dtype=A.dtype, device=A.device).repeat(*lead, 1, 1)
    for i in order.movedim(-1, 0):
        rows = i[..., None, None].expand(*lead, 1, n)
        T = T.scatter_add(-2, rows, -(A.gather(-2, rows) @ T))
    return T


def map_radius(T: torch.Tensor) -> np.ndarray:
    """Spectral radii of the maps ``(..., n, n)``; the mean-square rate of one fixed order is the square."""
    return np.abs(np.linalg.eigvals(T.cpu().numpy())).max(-1)


# --- maps of the second moment ------------------------------------------------------------------------------------


def rcd_moments(A: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """``mean_i U_i X U_i^T``, the second moment after one update of RCD; ``A`` and ``X`` ``(..., n, n)``."""
    AX = A @ X
    return X - (AX + AX.mT - torch.diag_embed(torch.diagonal(AX @ A, dim1=-2, dim2=-1))) / A.shape[-1]


def rpcd_moments(A: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """``mean_p T_p X T_p^T``, the second moment after one epoch of RPCD.

    By dynamic programming over sets:

    ``Y_S``, the mean over the orders of visiting exactly the set S, obeys
    ``Y_S = mean over i in S of U_i Y_{S - i} U_i^T``, i the last coordinate visited.

    Parameters
    ----------
    A, X : ``(..., n, n)``, ``X`` symmetric
    """
    n = A.shape[-1]
    lead = torch.broadcast_shapes(A.shape[:-2], X.shape[:-2])
    Y = X.expand(1, *lead, n, n)
    for size, steps in enumerate(_steps(n, str(X.device)), 1):
        grown = X.new_zeros((comb(n, size), *lead, n, n))
        for i, (target, source) in enumerate(steps):
            Z = Y[source]
            a = A[..., i, :]
            Z[..., i, :] -= (a[..., None] * Z).sum(-2)
            Z[..., :, i] -= (Z * a[..., None, :]).sum(-1)
            grown[target] += Z
        Y = grown / size
    return Y[0]


@lru_cache
def _steps(n: int, device: str) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """For each size and each coordinate i: the sets of that size with i, and the positions of the same without i."""
    steps, known = [], {0: 0}
    for size in range(1, n + 1):
        sets = [sum(1 << i for i in chosen) for chosen in combinations(range(n), size)]
        pairs = []
        for i in range(n):
            having = [k for k, mask in enumerate(sets) if mask >> i & 1]
            without = [known[sets[k] ^ (1 << i)] for k in having]
            pairs.append((torch.tensor(having, device=device), torch.tensor(without, device=device)))
        steps.append(pairs)
        known = {mask: k for k, mask in enumerate(sets)}
    return steps


def rpcd_moments_by_enumeration(A: torch.Tensor, X: torch.Tensor, orders: np.ndarray) -> torch.Tensor:
    """The same from the given orders ``(m, n)`` one by one: what the dynamic program must equal."""
    T = epoch_map(A[..., None, :, :], orders)
    return (T @ X[..., None, :, :] @ T.mT).mean(-3)


# --- spectral radii -----------------------------------------------------------------------------------------------


@lru_cache
def _basis(n: int) -> torch.Tensor:
    """An orthonormal basis of the symmetric matrices, ``(n (n + 1) / 2, n, n)``, the diagonal ones first."""
    pairs = [(i, i) for i in range(n)] + list(combinations(range(n), 2))
    basis = torch.zeros((len(pairs), n, n), dtype=torch.float64)
    for k, (i, j) in enumerate(pairs):
        basis[k, i, j] = basis[k, j, i] = 1.0 if i == j else 0.5**0.5
    return basis


def operator(A: torch.Tensor, moments: Moments) -> torch.Tensor:
    """The matrix of a second-moment map on symmetric matrices, in orthonormal coordinates.

    Parameters
    ----------
    A : ``(m, n, n)``
    moments : :func:`rcd_moments` or :func:`rpcd_moments`

    Returns
    -------
    Tensor of shape ``(m, d, d)`` with ``d = n (n + 1) / 2``
    """
    n = A.shape[-1]
    basis = _basis(n).to(A.device)
    per_matrix = len(basis) * n * n * comb(n, n // 2)
    at_once = _ENTRIES[A.device.type] // per_matrix
    if at_once:
        images = torch.cat([moments(some[:, None], basis) for some in A.split(at_once)])
    else:  # one matrix is too much for one go: its basis in parts
        part = max(1, _ENTRIES[A.device.type] * len(basis) // per_matrix)
        images = torch.stack([torch.cat([moments(one, some) for some in basis.split(part)]) for one in A])
    return torch.einsum("bij,mcij->mbc", basis, images)


def spectral_radius(M: torch.Tensor) -> np.ndarray:
    """Largest absolute eigenvalues of ``(..., d, d)``, by a dense eigenvalue solver."""
    return np.abs(np.linalg.eigvals(M.cpu().numpy())).max(-1)


def perron_radius(M: torch.Tensor, squarings: int = 16) -> torch.Tensor:
    """The same for operators that keep the positive semidefinite cone, by ``2^squarings`` power iterations at once.

    ``M^(2^k) vec(I)`` tends to the Perron eigenmatrix, whose trace ``M`` multiplies by the rate. Faster than an
    eigenvalue solver on very many small operators, and it stays on the device.
    """
    d = M.shape[-1]
    n = int((2 * d) ** 0.5)
    trace = torch.zeros(d, dtype=M.dtype, device=M.device)
    trace[:n] = 1
    tiny = torch.finfo(M.dtype).tiny
    P = M
    for _ in range(squarings):
        P = P / P.abs().amax((-1, -2), keepdim=True).clamp_min(tiny)
        P = P @ P
    X = (P / P.abs().amax((-1, -2), keepdim=True).clamp_min(tiny)) @ trace
    return ((M @ X[..., None])[..., 0] @ trace) / (X @ trace).clamp_min(tiny)


def rates(A: torch.Tensor, moments: Moments) -> np.ndarray:
    """Mean-square contraction rates of matrices ``(m, n, n)``: per update for RCD, per epoch for RPCD."""
    return spectral_radius(operator(A, moments))


def order_rate(A: torch.Tensor, order: np.ndarray | torch.Tensor) -> np.ndarray:
    """Mean-square rates for each epoch of fixed orders ``(..., n)`` on matrices ``(..., n, n)``: ``rho(T)^2``."""
    return map_radius(epoch_map(A, order)) ** 2


def cyclic_rate(A: torch.Tensor) -> np.ndarray:
    """The same of the order 1, …, n."""
    return order_rate(A, np.arange(A.shape[-1]))


def perron_rates(A: torch.Tensor, at_once: int = 2**14) -> np.ndarray:
    """RPCD's rates of very many small matrices ``(m, n, n)``: ``(m,)``."""
    return np.concatenate([perron_radius(operator(some, rpcd_moments)).cpu().numpy() for some in A.split(at_once)])
