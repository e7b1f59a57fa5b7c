"""Finite sums of quadratics, and what an order of visiting their components costs, exactly and for many steps at once.

The components are ``f_i(x) = x^T H_i x / 2 - b_i^T x`` and ``F = (f_1 + ... + f_n) / n``. A gradient step on ``f_i`` is
affine, so in homogeneous coordinates ``z = (x, 1)`` it is a matrix,

    z <- A_i z,   A_i = I + eta B_i,   B_i = [[-H_i, b_i], [0, 0]],

an epoch is a product of n such matrices, and K epochs in one order are its K-th power. With-replacement SGD has no
single map, but its second moment does: ``E[z z^T]`` after a step is ``mean_i A_i (z z^T) A_i^T``, a linear map too.
Everything is double precision; steps that overflow have the gap infinity.

>>> import numpy as np
>>> problem = FiniteSumQuadratic(np.ones((2, 1, 1)), np.array([[-1.0], [1.0]]))
>>> rho = 1 - 0.5                       # the orbit settles where half an epoch maps it to its mirror image
>>> gap = problem.final_gap(np.zeros(1), 50, np.array([0.5]), np.array([0, 1]))
>>> bool(np.isclose(gap[0], ((1 - rho) / (1 + rho)) ** 2 / 2))
True
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch

OrderKind = Literal["blocked", "alternating", "random", "reshuffled", "herded"]

# Matrix entries held at once while an epoch is multiplied out: 8 MiB of doubles suit a CPU's caches, a GPU wants more.
_ENTRIES = {"cpu": 2**20, "cuda": 2**26}


class FiniteSumQuadratic:
    """``F(x) = mean_i (x^T H_i x / 2 - b_i^T x)``.

    Parameters
    ----------
    H : symmetric Hessians of the components, ``(n, d, d)``; only their mean has to be positive definite
    b : linear terms, ``(n, d)``
    device : where the products are computed

    Attributes
    ----------
    B : generators of the homogeneous maps, ``(n, d + 1, d + 1)``: a step on component i is ``I + eta B[i]``
    mean_hessian : ``mean_i H_i``, ``(d, d)``
    minimizer : ``x* = mean_hessian^{-1} mean_i b_i``, ``(d,)``
    """

    def __init__(self, H: np.ndarray, b: np.ndarray, device: str = "cpu"):
        H, b = np.asarray(H, dtype=float), np.asarray(b, dtype=float)
        if H.ndim != 3 or b.ndim != 2 or H.shape != (*b.shape, b.shape[1]):
            raise ValueError(f"H, b: got shapes {H.shape} and {b.shape}, allowed: (n, d, d) and (n, d)")
        self.H, self.b, self.device = H, b, torch.device(device)
        self.n, self.d = b.shape
        self.mean_hessian = H.mean(0)
        self.minimizer = np.linalg.solve(self.mean_hessian, b.mean(0))
        generators = np.zeros((self.n, self.d + 1, self.d + 1))
        generators[:, : self.d, : self.d] = -H
        generators[:, : self.d, self.d] = b
        self.B = torch.tensor(generators, device=self.device)

    def value(self, x: np.ndarray) -> np.ndarray:
        """``F(x)`` of points ``(..., d)``."""
        return 0.5 * np.einsum("...i,ij,...j->...", x, self.mean_hessian, x) - x @ self.b.mean(0)

    def grad_i(self, x: np.ndarray, i: int) -> np.ndarray:
        """Gradient of component ``i`` at points ``(..., d)``."""
        return x @ self.H[i] - self.b[i]

    def gap(self, x: np.ndarray) -> np.ndarray:
        """``F(x) - F(x*) = (x - x*)^T mean_hessian (x - x*) / 2`` of points ``(..., d)``."""
        away = x - self.minimizer
        return 0.5 * np.einsum("...i,ij,...j->...", away, self.mean_hessian, away)

    def epoch_map(self, etas: np.ndarray, order: np.ndarray | torch.Tensor) -> torch.Tensor:
        """The affine map of one pass, for every step size and every order.

        Parameters
        ----------
        etas : step sizes, ``(E,)``
        order : indices of the components, first visited first, ``(..., m)``

        Returns
        -------
        ``A_{order[m-1]} ... A_{order[0]}``, shape ``(..., E, d + 1, d + 1)``
        """
        etas = torch.tensor(np.asarray(etas, dtype=float), device=self.device)
        order = torch.as_tensor(order, device=self.device)
        flat = order.reshape(-1, order.shape[-1])
        entries = flat.shape[1] * (self.d + 1) ** 2
        at_once = max(1, _ENTRIES[self.device.type] // entries)
        steps = min(len(etas), at_once)
        rows = max(1, at_once // steps)
        blocks = [
            torch.cat([product(self.B[some], part) for part in etas.split(steps)], dim=-3) for some in flat.split(rows)
        ]
        return torch.cat(blocks).reshape(*order.shape[:-1], len(etas), self.d + 1, self.d + 1)

    def final_gap(self, x0: np.ndarray, epochs: int, etas: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Gap after ``epochs`` passes in one fixed order (``(n,)``) from ``x0``, for every step size: ``(E,)``."""
        power = torch.linalg.matrix_power(self.epoch_map(etas, order), epochs)
        return self._gap_of(power @ self._lift(x0))

    def shuffled_gap(self, x0: np.ndarray, etas: np.ndarray, passes: Iterable[torch.Tensor | np.ndarray]) -> np.ndarray:
        """Gap after passes whose order changes, for several runs at once.

        Parameters
        ----------
        x0 : start, ``(d,)``
        etas : step sizes, ``(E,)``
        passes : one array of orders for each epoch, ``(runs, n)``; :func:`reshuffled` draws them

        Returns
        -------
        Array of shape ``(runs, E)``
        """
        passes, z = iter(passes), self._lift(x0)[:, None]
        while ahead := list(islice(passes, 1)):
            # As many epochs at once as fit: their maps, multiplied together, act on the states of all runs.
            runs, n = ahead[0].shape
            at_once = max(1, _ENTRIES[self.device.type] // (runs * len(etas) * n * (self.d + 1) ** 2))
            ahead += islice(passes, at_once - 1)
            stacked = torch.stack([torch.as_tensor(order, device=self.device) for order in ahead], dim=1)
            z = chain(self.epoch_map(etas, stacked).movedim(1, -3)) @ z
        return self._gap_of(z[..., 0])

    def with_replacement_gap(self, x0: np.ndarray, steps: int, etas: np.ndarray) -> np.ndarray:
        """Expected gap after ``steps`` steps of SGD with replacement, exact, for every step size: ``(E,)``."""
        z = self._lift(x0)
        power = torch.linalg.matrix_power(second_moment_superoperator(self, etas), steps)
        D = self.d + 1
        second = (power @ torch.outer(z, z).reshape(-1)).reshape(-1, D, D).cpu().numpy()
        # E[(x - x*)(x - x*)^T] from the blocks E[x x^T] and E[x] of E[z z^T].
        shift = np.eye(D)
        shift[: self.d, self.d] = -self.minimizer
        with np.errstate(over="ignore", invalid="ignore"):
            centred = (shift @ second @ shift.T)[:, : self.d, : self.d]
            return _finite_or_inf(0.5 * np.einsum("ij,eij->e", self.mean_hessian, centred))

    def periodic_point(self, etas: np.ndarray, order: np.ndarray) -> np.ndarray:
        """The point that a pass maps to itself, ``(E, d)``: where constant-step IGD in one order settles."""
        M = self.epoch_map(etas, order).cpu().numpy()
        return np.linalg.solve(np.eye(self.d) - M[:, : self.d, : self.d], M[:, : self.d, self.d :])[..., 0]

    def orbit(self, x0: np.ndarray, eta: float, order: np.ndarray) -> np.ndarray:
        """Iterates of consecutive steps from ``x0``, start included, ``(len(order) + 1, d)``; a plain loop."""
        path = [np.asarray(x0, dtype=float)]
        for i in order:
            path.append(path[-1] - eta * self.grad_i(path[-1], i))
        return np.array(path)

    def _lift(self, x0: np.ndarray) -> torch.Tensor:
        return torch.tensor(np.append(np.asarray(x0, dtype=float), 1.0), device=self.device)

    def _gap_of(self, z: torch.Tensor) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return _finite_or_inf(self.gap(z[..., : self.d].cpu().numpy()))


def product(generators: torch.Tensor, etas: torch.Tensor) -> torch.Tensor:
    """``(I + eta B_m) ... (I + eta B_1)`` for every step size.

    Parameters
    ----------
    generators : ``(..., m, D, D)``, first factor to act first
    etas : ``(E,)``

    Returns
    -------
    Tensor of shape ``(..., E, D, D)``
    """
    D = generators.shape[-1]
    identity = torch.eye(D, dtype=generators.dtype, device=generators.device)
    return chain(identity + etas[:, None, None, None] * generators.unsqueeze(-4))


def chain(factors: torch.Tensor) -> torch.Tensor:
    """``A_m ... A_1`` of factors ``(..., m, D, D)``.

    Multiplied pairwise: log2(m) batched products instead of m.
    """
    while factors.shape[-3] > 1:
        pairs = factors.shape[-3] // 2 * 2
        halved = factors[..., 1:pairs:2, :, :] @ factors[..., :pairs:2, :, :]
        factors = torch.cat([halved, factors[..., pairs:, :, :]], dim=-3)
    return factors[..., 0, :, :]


def second_moment_superoperator(
    problem: FiniteSumQuadratic,
    etas: np.ndarray,
) -> torch.Tensor:
    """The map ``E[z z^T] -> mean_i A_i E[z z^T] A_i^T`` of a with-replacement step.

    On row-major vectors it is the matrix

        mean_i A_i (x) A_i = I + eta (I (x) B + B (x) I) + eta^2 mean_i B_i (x) B_i

    with ``B = mean_i B_i``, a polynomial in the step size, so that the mean over the
    components is taken once for all steps.

    Returns
    -------
    Tensor of shape ``(E, D^2, D^2)`` with ``D = d + 1``
    """
    B, D = problem.B, problem.d + 1
    identity = torch.eye(D, dtype=B.dtype, device=B.device)
    mean = B.mean(0)
    linear = torch.kron(identity, mean) + torch.kron(mean, identity)
    flat = B.reshape(problem.n, -1)
    products = (flat.T @ flat / problem.n).reshape(D, D, D, D)
    quadratic = products.transpose(1, 2).reshape(D * D, D * D)
    etas = torch.tensor(np.asarray(etas, dtype=float), device=B.device)[:, None, None]
    unchanged = torch.eye(D * D, dtype=B.dtype, device=B.device)
    return unchanged + etas * linear + etas**2 * quadratic


def _finite_or_inf(gaps: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(gaps), gaps, np.inf)


# --- orders -------------------------------------------------------------------------------------------------------


def orders(
    kind: OrderKind,
    n: int,
    epochs: int = 1,
    rng: np.random.Generator | None = None,
    vectors: np.ndarray | None = None,
) -> np.ndarray:
    """An order for each epoch, ``(epochs, n)``.

    Parameters
    ----------
    kind : ``"blocked"``: 0, 1, …, n-1; ``"alternating"``: 0, n/2, 1, n/2 + 1, …; ``"random"``: one shuffle, kept;
        ``"reshuffled"``: a new shuffle every epoch; ``"herded"``: :func:`herding_order` of ``vectors``, kept
    rng : for the two random kinds
    vectors : the components' gradients at the optimum, ``(n, d)``, for ``"herded"``
    """
    if kind == "blocked":
        kept = np.arange(n)
    elif kind == "alternating":
        half = (n + 1) // 2
        kept = np.empty(n, dtype=int)
        kept[::2], kept[1::2] = np.arange(half), np.arange(half, n)
    elif kind == "random":
        kept = rng.permutation(n)
    elif kind == "reshuffled":
        return np.argsort(rng.random((epochs, n)), axis=1)
    elif kind == "herded":
        kept = herding_order(vectors)
    else:
        raise ValueError(f"kind: got {kind!r}, allowed: blocked, alternating, random, reshuffled, herded")
    return np.tile(kept, (epochs, 1))


def reshuffled(
    n: int, runs: int, epochs: int, seed: int, device: str = "cpu", block: int | None = None
) -> Iterator[torch.Tensor]:
    """Random reshuffling of many runs: for each epoch their orders, ``(runs, n)``, drawn as they are asked for.

    ``block`` keeps every run of ``block`` consecutive components together and in place, and shuffles inside it.
    """
    generator = torch.Generator(device).manual_seed(seed)
    block = block or n
    first = torch.arange(0, n, block, device=device)[:, None]
    for _ in range(epochs):
        keys = torch.rand((runs, n // block, block), generator=generator, device=device, dtype=torch.float64)
        yield (keys.argsort(-1) + first).reshape(runs, -1)


def herding_order(vectors: np.ndarray) -> np.ndarray:
    """Order vectors of zero sum so that every partial sum stays short, ``(n,)``.

    Greedy herding: each step takes, among the vectors left, the one that makes the
    partial sum shortest; ``O(n^2 d)``.
    """
    vectors = np.asarray(vectors, dtype=float)
    left = np.arange(len(vectors))
    partial, herded = np.zeros(vectors.shape[1]), []
    for _ in range(len(vectors)):
        pick = np.argmin(((partial + vectors[left]) ** 2).sum(1))
        herded.append(left[pick])
        partial = partial + vectors[left[pick]]
        left = np.delete(left, pick)
    return np.array(herded)


def herding_constant(vectors: np.ndarray, order: np.ndarray) -> float:
    """``H = max_m ||v_{order[0]} + ... + v_{order[m-1]}|| / max_i ||v_i||``."""
    vectors = np.asarray(vectors, dtype=float)
    longest = np.linalg.norm(vectors, axis=1).max()
    return float(np.linalg.norm(np.cumsum(vectors[order], axis=0), axis=1).max() / longest) if longest else 0.0


# --- step sizes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TunedStep:
    """The best constant step of a curve.

    Attributes
    ----------
    eta, gap : the best step size and its gap
    interior : whether steps both smaller and larger were tried and are worse
    """

    eta: float
    gap: float
    interior: bool


def step_grid(smallest: float, L: float, points: int) -> np.ndarray:
    """Step sizes from ``smallest`` to ``3 / L``, evenly spaced in logarithm, and 40 more that close in on ``2 / L``.

    Close to ``2 / L`` the factor ``1 - eta L`` of the stiffest direction is almost -1: an orbit may then end where it
    began although no smaller step comes near. A geometric grid steps over such a window.
    """
    spread = np.geomspace(smallest, 3 / L, points)
    return np.sort(np.concatenate([spread, 2 / L * (1 - np.geomspace(1e-7, 0.3, 40))]))


def tune_step(gap: Callable[[np.ndarray], np.ndarray], etas: np.ndarray, refine: int = 25) -> TunedStep:
    """The best step size: the best of ``etas``, then of ``refine`` steps between its neighbours.

    Parameters
    ----------
    gap : step sizes ``(E,)`` to gaps ``(E,)``, infinite where diverged
    etas : increasing
    """
    gaps = gap(etas)
    best = int(np.argmin(gaps))
    interior = 0 < best < len(etas) - 1
    if interior and refine:
        finer = np.geomspace(etas[best - 1], etas[best + 1], refine)
        finer_gaps = gap(finer)
        k = int(np.argmin(finer_gaps))
        if finer_gaps[k] < gaps[best]:
            return TunedStep(float(finer[k]), float(finer_gaps[k]), interior)
    return TunedStep(float(etas[best]), float(gaps[best]), interior)
