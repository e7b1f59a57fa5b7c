"""Where gradient flow ends on the one-neuron-per-layer network, and how sharp it is there, in closed form.

Gradient flow conserves ``C_i = ||u||^2 - v_i^2`` and the part of u orthogonal to the rows of X. Where it fits the
data, ``p u`` is the interpolator of least norm ``Q = ||X^+ y||``, so that ``a = ||u||^2`` in the row space satisfies

    a (a - C_1) ... (a - C_{D-1}) = Q^2,

with C_i less the squared length of the orthogonal part. From a follow ``v_i^2 = a - C_i`` and ``p^2 = Q^2 / a``, and
the Hessian is ``(p^2 X X^T + h y y^T) / N`` seen from the samples, ``h = sum_i 1 / v_i^2``.

Arrays have leading axes ``(...)`` that broadcast: C ``(..., D - 1)``, Q ``(...)``.

>>> ends = limit(np.zeros(2), 8.0)           # balanced, three layers: p^2 = Q^(4/3), h = 2 Q^(-2/3)
>>> round(float(ends.p2), 12), round(float(ends.h), 12)
(16.0, 0.5)
"""

from dataclasses import dataclass

import numpy as np

_ITERATIONS = 100  # Newton's method converges in ten or so; it stops where nothing moves


@dataclass(frozen=True)
class Limit:
    """The end of gradient flow."""

    #: squared length of u in the row space, ``(...)``
    a: np.ndarray
    #: squares of the other layers, ``(..., D - 1)``
    v2: np.ndarray
    #: square of their product, ``(...)``
    p2: np.ndarray
    #: weight of the labels in the Hessian, ``sum_i 1 / v_i^2``, ``(...)``
    h: np.ndarray


def limit(C: np.ndarray, Q: np.ndarray) -> Limit:
    """Solve ``a prod_i (a - C_i) = Q^2`` for the root above ``m = max(0, max_i C_i)``.

    In ``t = log(a - m)`` the logarithm of the equation is convex and has slopes from
    1 to D, and at ``t = (2/D) log Q`` it is not negative: Newton's method comes down
    to the root from there.

    Parameters
    ----------
    C : imbalances ``(..., D - 1)``, less the squared length of what of u is
        orthogonal to the rows
    Q : difficulties, positive, ``(...)``
    """
    C, Q = np.asarray(C, float), np.asarray(Q, float)
    m = np.maximum(C.max(-1), 0)
    offsets = np.concatenate([m[..., None], m[..., None] - C], axis=-1)
    t = 2 * np.log(Q) / offsets.shape[-1] + np.zeros(m.shape)
    for _ in range(_ITERATIONS):
        grown = np.exp(t)[..., None]
        factors = grown + offsets
        excess = np.log(factors).sum(-1) - 2 * np.log(Q)
        down = excess / (grown / factors).sum(-1)
        t = t - down
        if not (np.abs(down) > 1e-15 * np.maximum(1, np.abs(t))).any():
            break
    factors = np.exp(t)[..., None] + offsets
    a, v2 = factors[..., 0], factors[..., 1:]
    return Limit(a=a, v2=v2, p2=v2.prod(-1), h=(1 / v2).sum(-1))


def difficulty(s: np.ndarray, d: np.ndarray) -> np.ndarray:
    """``Q = ||X^+ y||`` from singular values s and labels in left singular coordinates d, both ``(..., N)``."""
    return np.sqrt(((np.asarray(d) / np.asarray(s)) ** 2).sum(-1))


def sharpness_at(s: np.ndarray, d: np.ndarray, p2: np.ndarray, h: np.ndarray) -> np.ndarray:
    """``lambda_max(p^2 diag(s^2) + h d d^T) / N`` for s, d ``(..., N)`` and p2, h ``(...)``."""
    s, d, p2, h = np.asarray(s), np.asarray(d), np.asarray(p2), np.asarray(h)
    H = h[..., None, None] * d[..., :, None] * d[..., None, :]
    H = H + p2[..., None, None] * (s**2)[..., None] * np.eye(s.shape[-1])
    finite = np.isfinite(H).all((-2, -1))
    top = np.linalg.eigvalsh(np.where(finite[..., None, None], H, 0))[..., -1] / s.shape[-1]
    return np.where(finite, top, np.nan)


def limit_sharpness(s: np.ndarray, d: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Sharpness of the end of gradient flow from a start with imbalances C: ``(...)``.

    Parameters
    ----------
    s, d : singular values of X and labels in its left singular coordinates, ``(..., N)``
    C : imbalances ``(..., D - 1)``, as :func:`limit` takes them
    """
    ends = limit(C, difficulty(s, d))
    return sharpness_at(s, d, ends.p2, ends.h)
