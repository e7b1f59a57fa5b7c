"""Projected gradient descent with spectral initialization, for a batch of matrices of which some entries are seen.

The estimate is ``A B^T`` with ``A = X U`` and ``B = Y V``. With orthonormal features ``X, Y`` of ``a`` columns this is
inductive matrix completion (IMC); without features, ``X = Y = I``, the same code is matrix completion (MC).

Factors of a batch have shape ``(n, runs, r)``, with the rows first: all runs share the features, and ``X U`` for all
of them is one product of matrices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from companion.models.stepping import Stepper

Features = torch.Tensor | None
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Sample:
    """The entries seen of a batch of matrices."""

    #: run, row and column of each entry, ``(M,)``
    run: torch.Tensor
    row: torch.Tensor
    col: torch.Tensor
    #: what was seen there, ``(M,)``
    value: torch.Tensor
    #: share of the entries that is seen, for each run, ``(runs,)``
    p: torch.Tensor

    @cached_property
    def weight(self) -> torch.Tensor:
        """``1 / p`` of the run of each entry."""
        return 1 / self.p[self.run]

    @cached_property
    def of_rows(self) -> torch.Tensor:
        """Place of ``(row, run)`` in a factor whose first two axes are one."""
        return self.row * len(self.p) + self.run

    @cached_property
    def of_cols(self) -> torch.Tensor:
        """Place of ``(column, run)`` likewise."""
        return self.col * len(self.p) + self.run

    def to(self, device: str) -> "Sample":
        """The same on another device."""
        return Sample(*(part.to(device) for part in (self.run, self.row, self.col, self.value, self.p)))

    def keep(self, chosen: torch.Tensor) -> "Sample":
        """The chosen runs alone; ``chosen`` holds their numbers, each once, in their new order."""
        place = torch.full_like(self.p, -1, dtype=torch.long)
        place[chosen] = torch.arange(len(chosen), device=chosen.device)
        run = place[self.run]
        seen = run >= 0
        return Sample(run[seen], self.row[seen], self.col[seen], self.value[seen], self.p[chosen])


def lift(X: Features, U: torch.Tensor) -> torch.Tensor:
    """``X U``, or ``U`` where there are no features."""
    return U if X is None else torch.tensordot(X, U, 1)


def pull(X: Features, A: torch.Tensor) -> torch.Tensor:
    """``X^T A``, or ``A`` where there are no features."""
    return A if X is None else torch.tensordot(X.T, A, 1)


def take(factor: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Rows of a factor ``(n, runs, r)`` at the places of the entries: ``(M, r)``."""
    return factor.flatten(0, 1).index_select(0, places)


def give(weight: torch.Tensor, found: torch.Tensor, places: torch.Tensor, n: int, runs: int) -> torch.Tensor:
    """The transpose of :func:`take`: sums of ``weight * found`` over the entries of each place, ``(n, runs, r)``."""
    total = torch.zeros((n * runs, found.shape[1]), dtype=found.dtype, device=found.device)
    return total.index_add_(0, places, weight[:, None] * found).view(n, runs, -1)


def gradients(
    sample: Sample,
    X: Features,
    Y: Features,
    U: torch.Tensor,
    V: torch.Tensor,
) -> Pair:
    """Gradients of the loss in ``U`` and ``V``; nothing of size ``n x n`` is formed.

    ``f = |P_Omega(X U V^T Y^T - y)|^2 / 2p + |U^T U - V^T V|^2 / 8``
    """
    A, B = lift(X, U), lift(Y, V)
    A_seen, B_seen = take(A, sample.of_rows), take(B, sample.of_cols)
    residual = ((A_seen * B_seen).sum(-1) - sample.value) * sample.weight
    to_rows = give(residual, B_seen, sample.of_rows, *A.shape[:2])
    to_cols = give(residual, A_seen, sample.of_cols, *B.shape[:2])
    skew = gram(U, U) - gram(V, V)
    return pull(X, to_rows) + mix(U, skew) / 2, pull(Y, to_cols) - mix(V, skew) / 2


def gram(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """``A^T B`` of every run, ``(runs, r, r)``."""
    return A.permute(1, 2, 0) @ B.transpose(0, 1)


def mix(A: torch.Tensor, M: torch.Tensor) -> torch.Tensor:
    """``A M`` for every run, with ``M (runs, r, s)``."""
    return (A.transpose(0, 1) @ M).transpose(0, 1)


def spectral_start(
    sample: Sample, X: Features, Y: Features, shape: tuple[int, int], rank: int, steps: int = 20
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Balanced factors of the best approximation of ``W = X^T P_Omega(y) Y / p`` of the given rank.

    Subspace iteration with four columns to spare, from a fixed start.

    Returns
    -------
    ``U (a, runs, r)``, ``V (a, runs, r)`` with ``U V^T`` the approximation and ``U^T U = V^T V``, and the largest
    singular values ``(runs,)``
    """
    runs, weight = len(sample.p), sample.value * sample.weight

    def right(V: torch.Tensor) -> torch.Tensor:
        return pull(X, give(weight, take(lift(Y, V), sample.of_cols), sample.of_rows, shape[0], runs))

    def left(U: torch.Tensor) -> torch.Tensor:
        return pull(Y, give(weight, take(lift(X, U), sample.of_rows), sample.of_cols, shape[1], runs))

    sizes = [n if F is None else F.shape[1] for n, F in zip(shape, (X, Y), strict=True)]
    generator = torch.Generator().manual_seed(0)
    V = torch.randn((sizes[1], 1, min(rank + 4, *sizes)), generator=generator, dtype=weight.dtype).to(weight.device)
    V = V.expand(-1, runs, -1)
    for _ in range(steps):
        Q, _ = qr(right(V))
        V, R = qr(left(Q))
    U, S, W = torch.linalg.svd(R.mT)  # W is about Q R^T V^T
    root = S[:, :rank].sqrt()[:, None]
    return mix(Q, U[..., :rank] * root), mix(V, W.mT[..., :rank] * root), S[:, 0]


def qr(A: torch.Tensor) -> Pair:
    """Thin QR factorization of every run: ``Q (n, runs, r)`` and ``R (runs, r, r)``."""
    Q, R = torch.linalg.qr(A.transpose(0, 1))
    return Q.transpose(0, 1), R


def clip(A: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Rows of ``A (n, runs, r)`` shortened to at most ``radius (runs,)``."""
    return A * (radius / A.norm(dim=-1).clamp_min(1e-300)).clamp_max(1)[..., None]


def project(X: Features, U: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """``U`` with the rows of ``X U`` clipped and mapped back by ``X^T``."""
    A = lift(X, U)
    if A.device.type == "cpu" and not (A.norm(dim=-1) > radius).any():
        return U  # nothing to clip; on a GPU, looking costs more than clipping
    return pull(X, clip(A, radius))


def shrink(P: torch.Tensor, A: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Implicit step of the penalty ``lam |(I - P P^T) A|^2 / 2``: what sticks out of the features' span, shrunk.

    ``amount (runs,)`` is step length times ``lam``; infinity projects.
    """
    inside = lift(P, pull(P, A))
    return inside + (A - inside) / (1 + amount)[:, None]


def step_of(
    sample: Sample,
    X: Features,
    Y: Features,
    length: torch.Tensor,
    radius: torch.Tensor,
    toward: Pair | None = None,
    lam: torch.Tensor | None = None,
) -> Callable[..., Pair]:
    """One step of projected gradient descent as a function of ``(U, V)``.

    Parameters
    ----------
    sample : entries seen
    X, Y : features ``(n, a)`` with orthonormal columns, or ``None`` for none
    length : step lengths, ``(runs,)``
    radius : to which rows of ``X U`` and ``Y V`` are clipped, ``(runs,)``
    toward, lam : features that a penalty draws to, where ``X = Y = None``, and its weights ``(runs,)``
    """
    s = length[:, None]

    def step(U: torch.Tensor, V: torch.Tensor) -> Pair:
        dU, dV = gradients(sample, X, Y, U, V)
        U, V = U - s * dU, V - s * dV
        if toward is not None:
            U, V = shrink(toward[0], U, length * lam), shrink(toward[1], V, length * lam)
        return project(X, U, radius), project(Y, V, radius)

    return step


@dataclass(frozen=True)
class Descent:
    """Where projected gradient descent ended, and its errors on the way."""

    #: the estimates' factors, ``(n, runs, r)``
    A: torch.Tensor
    B: torch.Tensor
    #: relative errors after 0, every, 2 every, ... steps, ``(times, runs)``; the last one where a run has stopped
    errors: torch.Tensor
    #: step lengths, ``(runs,)``
    length: torch.Tensor


def descend(
    sample: Sample,
    X: Features,
    Y: Features,
    truth: Pair,
    *,
    eta: float = 0.5,
    iters: int = 300,
    every: int = 10,
    stop: float = -1.0,
    toward: Pair | None = None,
    lam: torch.Tensor | None = None,
) -> Descent:
    """Projected gradient descent from the spectral start.

    Steps have length ``eta / s`` with ``s`` the largest singular value at the start, which few samples inflate, kept
    within a factor of four of ``sigma_1``, with a finite penalty not below ``sigma_1``. Rows are clipped at 1.5 times
    the longest row of the true factors: the theory bounds that by the incoherence, which it takes as known.

    Parameters
    ----------
    sample, X, Y, toward, lam : as in :func:`step_of`; with a penalty, runs of positive weight start within the span
    truth : balanced factors ``A*, B* (n, runs, r)`` of the matrices, for errors, radius and ``sigma_1``
    eta, iters : length and number of the steps
    every : after so many steps the errors are taken
    stop : a run at or below this error has arrived and takes no further steps
    """
    A_true, B_true = truth
    shape, rank = (len(A_true), len(B_true)), A_true.shape[-1]
    largest = torch.linalg.eigvalsh(gram(A_true, A_true))[:, -1]
    radius = 1.5 * torch.maximum(A_true.norm(dim=-1).amax(0), B_true.norm(dim=-1).amax(0))
    U, V, top = spectral_start(sample, X, Y, shape, rank)
    if toward is not None:
        inside = spectral_start(sample, *toward, shape, rank)
        drawn = (lam > 0)[:, None]
        U, V = (torch.where(drawn, lift(P, F), G) for P, F, G in zip(toward, inside, (U, V), strict=False))
        top = torch.where(lam > 0, inside[2], top)
    least = largest / 4
    if toward is not None:  # the entries speak for what sticks out of the span, which the start within it does not see
        least = torch.where(lam.isfinite(), largest, least)
    length = eta / torch.minimum(torch.maximum(top, least), 4 * largest)
    U, V = project(X, U, radius), project(Y, V, radius)
    A, B = lift(X, U).clone(), lift(Y, V).clone()
    errors = [relative_error(A, B, A_true, B_true)]
    active, stepper = torch.arange(len(length), device=length.device), None
    for _ in range(iters // every):
        going = errors[-1][active] > stop
        if not going.any():
            break
        if stepper is None or not going.all():
            U, V, active = U[:, going], V[:, going], active[going]
            weights = None if lam is None else lam[active]
            step = step_of(sample.keep(active), X, Y, length[active], radius[active], toward, weights)
            stepper = Stepper(step, (U, V))
        stepper.run(every)
        U, V = stepper.state
        A[:, active], B[:, active] = lift(X, U), lift(Y, V)
        latest = errors[-1].clone()
        latest[active] = relative_error(A[:, active], B[:, active], A_true[:, active], B_true[:, active])
        errors.append(latest)
    return Descent(A=A, B=B, errors=torch.stack(errors), length=length)


def relative_error(A: torch.Tensor, B: torch.Tensor, A_true: torch.Tensor, B_true: torch.Tensor) -> torch.Tensor:
    """``|A B^T - A* B*^T|_F / |A* B*^T|_F`` for each run, without forming the matrices and without cancellation.

    With the rotation ``Q`` that brings ``(A, B)`` closest to the truth the difference is
    ``(A Q - A*) (B Q)^T + A* (B Q - B*)^T``, whose norm needs only small Gram matrices.
    """
    left, _, right = torch.linalg.svd(gram(A, A_true) + gram(B, B_true))
    A, B = mix(A, left @ right), mix(B, left @ right)
    dA, dB = A - A_true, B - B_true

    def inner(F: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
        return (F * G).sum((1, 2))

    square = inner(gram(dA, dA), gram(B, B)) + inner(gram(A_true, A_true), gram(dB, dB))
    square = square + 2 * inner(gram(dA, A_true), gram(B, dB))
    return (square.clamp_min(0) / inner(gram(A_true, A_true), gram(B_true, B_true))).sqrt()
