"""Flows of a factorized matrix: growth, order of arrival, convergence."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.spectra import hitting_time, product_singular_values
from companion.chapters.spectral_gradient_flow_lora import theory
from companion.chapters.spectral_gradient_flow_lora.flow import (
    gradient_flow,
    loss,
    muon_run,
    spectral_flow,
    warm_up,
)
from companion.chapters.spectral_gradient_flow_lora.parameters import Parameters
from companion.results import experiment

STARTS = ("both Gaussian", "B zero")
LOOKS = 200  # at a run, at least, if it has so many steps
BANDS = (3.0, 10.0)
BETAS = np.logspace(-3, 2, 11)


@dataclass(frozen=True)
class Runs:
    """Runs of one rule. A look is a time at which the product is looked at."""

    #: ``(looks, 1 or sizes)``
    times: np.ndarray
    #: singular values of ``B A``, largest first, ``(looks, sizes, starts, seeds, r)``
    values: np.ndarray
    #: ``u_i^T B A v_i`` for the target's singular vectors, ``(looks, sizes, starts, seeds, modes)``
    modes: np.ndarray

    def at(self, size: int) -> "Runs":
        """The runs from starts of one size."""
        return Runs(self.times[:, [min(size, self.times.shape[1] - 1)]], self.values[:, [size]], self.modes[:, [size]])

    def clock(self) -> np.ndarray:
        """Times that broadcast against ``values[..., 0]``."""
        return self.times[:, :, None, None]

    def arrivals(self, levels: np.ndarray) -> np.ndarray:
        """When each mode reaches its level, ``(sizes, starts, seeds, modes)``; infinite where it does not."""
        series = np.moveaxis(self.modes, 0, -1)
        times = np.broadcast_to(self.times.T[:, None, None, None, :], series.shape)
        return hitting_time(series, times, levels)


@dataclass(frozen=True)
class Growth:
    """The same random starts under three rules."""

    #: singular values of the target, ``(r,)``
    s: np.ndarray
    #: share of its target at which a mode has arrived
    level: float
    #: sizes of the starts, decreasing, ``(sizes,)``
    alphas: np.ndarray
    #: step size of the spectral flow
    eta: float
    #: spectral norms of the two factors at the start, ``(2, sizes, starts, seeds)``
    norms: np.ndarray
    spectral: Runs
    gradient: Runs
    #: starts of the size ``alphas[muon_size]`` only
    muon: Runs
    muon_size: int


def _frame(params: Parameters, rows: int, columns: int, modes: int, stream: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random orthonormal columns ``U`` and ``V``."""
    rng = params.rng(stream)
    return tuple(
        torch.tensor(np.linalg.qr(rng.normal(size=(size, modes)))[0], device=params.device) for size in (rows, columns)
    )


def _starts(params: Parameters, rank: int, alphas: np.ndarray, stream: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors ``(sizes, starts, seeds, m, r)`` and ``(sizes, starts, seeds, r, n)``, the same draw at every size."""
    rng, size = params.rng(stream), torch.tensor(alphas, device=params.device)[:, None, None, None, None]
    B = torch.tensor(rng.normal(size=(params.seeds, params.rows, rank)), device=params.device) / params.rows**0.5
    A = torch.tensor(rng.normal(size=(params.seeds, rank, params.columns)), device=params.device) / params.columns**0.5
    return size * torch.stack([B, 0 * B]), size * torch.stack([A, A])


def _looks(steps: float) -> tuple[int, int]:
    """Steps between two looks, and at least as many steps as asked for, so that the last one is looked at."""
    every = max(1, int(steps) // LOOKS)
    return every, int(np.ceil(np.ceil(steps) / every)) * every


def _looked(size: np.ndarray | float, steps: int, every: int) -> np.ndarray:
    """Times of the looks: ``(looks, ...)`` from step sizes ``(steps, ...)`` or one number."""
    sizes = np.broadcast_to(size, (steps, *np.shape(size)[1:])) if np.ndim(size) else np.full((steps, 1), size)
    return np.concatenate([np.zeros((1, *sizes.shape[1:])), np.cumsum(sizes, 0)[every - 1 :: every]])


@dataclass(frozen=True)
class _Problem:
    """A random target with given singular values, random starts, and how runs from them are made and kept."""

    s: np.ndarray
    alphas: np.ndarray
    #: frames and target
    U: torch.Tensor
    V: torch.Tensor
    M: torch.Tensor
    #: ``(sizes, starts, seeds, m, r)`` and ``(sizes, starts, seeds, r, n)``
    B: torch.Tensor
    A: torch.Tensor

    def record(self, B: torch.Tensor, A: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return product_singular_values(B, A), ((self.U.mT @ B) @ (A @ self.V)).diagonal(dim1=-2, dim2=-1)

    def _kept(self, found: tuple[torch.Tensor, ...], times: np.ndarray) -> Runs:
        shape = (-1, times.shape[1] if times.shape[1] > 1 else len(found[0][0]) // self.per_size, *self.B.shape[1:3])
        return Runs(times, *(part.cpu().numpy().reshape(*shape, part.shape[-1]) for part in found))

    @property
    def per_size(self) -> int:
        return self.B.shape[1] * self.B.shape[2]

    def _flat(self, chosen: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(factor[chosen].flatten(0, 2) for factor in (self.B, self.A))

    def _warm(self, eta: float, chosen: list[int], horizon: float) -> tuple[np.ndarray, torch.Tensor]:
        sizes = warm_up(eta, self.alphas[chosen], horizon)
        _, steps = _looks(len(sizes))
        sizes = np.concatenate([sizes, np.zeros((steps - len(sizes), len(chosen)))])
        return sizes, torch.tensor(sizes.repeat(self.per_size, 1), device=self.M.device)

    def spectral(self, eta: float, beta: float, horizon: float) -> Runs:
        every_size = list(range(len(self.alphas)))
        sizes, each = self._warm(eta, every_size, horizon)
        every, _ = _looks(len(sizes))
        found = spectral_flow(*self._flat(every_size), self.M, each, beta=beta, record=self.record, every=every)
        return self._kept(found, _looked(sizes, len(sizes), every))

    def muon(self, eta: float, size: int, horizon: float) -> Runs:
        sizes, each = self._warm(eta, [size], horizon)
        every, _ = _looks(len(sizes))
        found = muon_run(*self._flat([size]), self.M, each, record=self.record, every=every)
        return self._kept(found, _looked(sizes, len(sizes), every))

    def gradient(self, end: float) -> Runs:
        # Looks in a window of growth that is short where the least target is small, but not too many of them.
        window = 0.1 * self.s[-1] ** 0.5
        size = min(0.25 / self.s[0], window)
        steps = end / size
        every = max(1, min(int(steps) // LOOKS, int(window / size)), int(steps) // (20 * LOOKS))
        steps = int(np.ceil(steps / every)) * every
        flat = self._flat(list(range(len(self.alphas))))
        found = gradient_flow(*flat, self.M, steps=steps, size=size, record=self.record, every=every)
        return self._kept(found, _looked(size, steps, every))


def _problem(params: Parameters, s: np.ndarray, rank: int, alphas: np.ndarray, stream: int) -> _Problem:
    U, V = _frame(params, params.rows, params.columns, len(s), stream)
    M = (U * torch.tensor(s, device=params.device)) @ V.mT
    return _Problem(s, alphas, U, V, M, *_starts(params, rank, alphas, stream + 1))


@experiment
def growth(params: Parameters) -> Growth:
    """Random starts of several sizes, factors of the target's rank."""
    s, alphas = np.array(params.spectrum), np.array(sorted(set(params.alphas), reverse=True))
    problem, horizon, middle = _problem(params, s, len(s), alphas, 0), 1.1 * s[0] ** 0.5, len(alphas) // 2
    return Growth(
        s=s, level=params.level, alphas=alphas, eta=params.eta,
        norms=torch.stack([torch.linalg.matrix_norm(factor, 2) for factor in (problem.B, problem.A)]).cpu().numpy(),
        spectral=problem.spectral(params.eta, params.beta, horizon),
        # Random starts overlap a mode less than their size says: three times what theory asks of aligned ones.
        gradient=problem.gradient(3 * float(theory.gradient_time(s[-1], alphas.min(), params.level))),
        muon=problem.muon(2 * params.eta, middle, horizon), muon_size=middle,
    )  # fmt: skip


@dataclass(frozen=True)
class Narrow:
    """Factors of smaller rank than the target, from starts of the middle size."""

    #: singular values of the target, ``(modes,)``
    s: np.ndarray
    rank: int
    alpha: float
    spectral: Runs
    gradient: Runs


@experiment
def narrow(params: Parameters) -> Narrow:
    """As :func:`growth` with factors that can hold the largest singular values only."""
    s = np.linspace(params.spectrum[0], params.spectrum[0] / params.narrow_modes, params.narrow_modes)
    alphas = np.array(sorted(set(params.alphas), reverse=True))
    alphas = alphas[[len(alphas) // 2]]
    problem = _problem(params, s, params.narrow_rank, alphas, 10)
    spectral = problem.spectral(2 * params.eta, params.beta, 2.5 * s[0] ** 0.5)
    last = s[params.narrow_rank - 1]
    gradient = problem.gradient(3 * float(theory.gradient_time(last, alphas[0], params.level)))
    return Narrow(s, params.narrow_rank, float(alphas[0]), spectral, gradient)


@dataclass(frozen=True)
class Band:
    """The smoothed flow from an aligned start, against the scalar flow and the band."""

    #: singular values of the target, ``(r,)``; alpha, beta: start and smoothing
    s: np.ndarray
    alpha: float
    beta: float
    #: ``(looks,)``
    times: np.ndarray
    #: square roots of ``u_i^T B A v_i`` under the smoothed flow and under gradient flow, ``(looks, r)``
    spectral: np.ndarray
    gradient: np.ndarray
    #: under the smoothed flow from factors that are rotated against each other, zero where they are negative
    rotated: np.ndarray
    #: the same from the scalar flow, ``(looks, r)``
    scalar: np.ndarray

    def violation(self, roots: np.ndarray, K: float) -> float:
        """How far roots leave the band for this K while their modes are active, at most."""
        active = (roots * (self.s - roots**2) >= K * self.beta).cumprod(0).astype(bool)
        low, high = theory.band(self.times[:, None], self.alpha, K)
        return float(np.where(active, np.maximum(low - roots, roots - high), -np.inf).max())


@experiment
def band(params: Parameters) -> Band:
    """A start ``B = alpha U Q``, ``A = alpha Q^T V^T`` with a random rotation Q, and one with another rotation in A."""
    s, alpha, beta = np.array(params.spectrum), params.band_alpha, params.band_beta
    U, V = _frame(params, params.rows, params.columns, len(s), 20)
    turns = np.linalg.qr(params.rng(21).normal(size=(2, len(s), len(s))))[0]
    Q = torch.tensor(turns, device=params.device)
    target = torch.tensor(s, device=params.device)
    M, B, A = (U * target) @ V.mT, alpha * U @ Q[[0, 0]], alpha * (V @ Q).mT

    def record(B: torch.Tensor, A: torch.Tensor) -> tuple[torch.Tensor]:
        return (((U.mT @ B) * (A @ V).mT).sum(-1),)

    size = min(params.eta, beta / (2 * s[0]))
    every, steps = _looks(1.1 * s[0] ** 0.5 / size)
    lengths = torch.full((steps, 2), size, dtype=torch.float64, device=params.device)
    (spectral,) = spectral_flow(B, A, M, lengths, beta=beta, record=record, every=every)
    (gradient,) = gradient_flow(B[:1], A[:1], M, steps=steps // every, size=every * size, record=record, every=1)
    start = np.full(len(s), alpha)
    a, b = theory.scalar_flow(start, start, s, beta, np.full(steps, size))
    modes = (spectral[:, 0], gradient[:, 0], spectral[:, 1])
    roots = (np.sqrt(np.maximum(part.cpu().numpy(), 0)) for part in modes)
    return Band(s, alpha, beta, _looked(size, steps, every)[:, 0], *roots, np.sqrt(a * b)[::every])


@dataclass(frozen=True)
class Sweep:
    """Order of arrival over the smoothing, from the polar flow to gradient flow."""

    #: singular values of the target, ``(r,)``
    s: np.ndarray
    #: share of its target at which a mode has arrived
    level: float
    #: ``(betas,)``
    betas: np.ndarray
    #: sizes of a small and a large start
    alphas: tuple[float, float]
    #: Kendall's correlation of arrival times with targets, ``(2, betas, seeds)``
    order: np.ndarray
    #: arrival times over the first one, mean over the seeds, ``(2, betas, r)``
    relative: np.ndarray


@experiment
def sweep(params: Parameters) -> Sweep:
    """Scalar flows of all modes from starts around a small size and around one that is nearly there."""
    s, rng = np.array(params.spectrum), params.rng(30)
    alphas = (min(params.alphas), 0.9 * float(np.sqrt(params.level * s[-1])))
    spread = np.exp(0.02 * rng.normal(size=(2, params.sweep_seeds, 1)))
    orders, relatives = [], []
    for alpha in alphas:
        a, b = (np.broadcast_to(alpha * one, (len(BETAS), params.sweep_seeds, len(s))) for one in spread)
        slowest = theory.gradient_time(s, 0.8 * alpha, params.level).max()
        horizon = 1.2 * (s[0] ** 0.5 + BETAS * (slowest + 1 / s[-1]))
        steps = 4000
        lengths = np.broadcast_to((horizon / steps)[:, None, None], (steps, len(BETAS), 1, 1))
        a, b = theory.scalar_flow(a, b, s, BETAS[:, None, None], lengths)
        clock = horizon[:, None, None, None] * np.linspace(0, 1, steps + 1)
        series = np.moveaxis(a * b, 0, -1)
        arrived = hitting_time(series, np.broadcast_to(clock, series.shape), params.level * s)
        orders.append(theory.order(arrived))
        relatives.append((arrived / arrived.min(-1, keepdims=True)).mean(1))
    return Sweep(s, params.level, BETAS, alphas, np.array(orders), np.array(relatives))


@dataclass(frozen=True)
class Portrait:
    """Paths of one mode in the plane of its two factors, target one."""

    #: factors under the polar flow and under gradient flow, ``(steps, starts)`` each
    spectral: tuple[np.ndarray, np.ndarray]
    gradient: tuple[np.ndarray, np.ndarray]


@experiment
def portrait(params: Parameters) -> Portrait:
    """Starts around the origin, among them two on the stable manifold ``a = -b`` of the saddle."""
    angle = np.radians(np.array([-45, -35, -15, 10, 45, 80, 105, 125, 135, 145, 190, 225, 260, 305, 324]))
    a, b = 1.6 * np.cos(angle), 1.6 * np.sin(angle)
    on = np.isclose(a, -b)
    b = np.where(on, -a, b)
    paths = [theory.scalar_flow(a, b, 1.0, beta, np.full(1200, 0.004)) for beta in (1e-3, np.inf)]
    return Portrait(*paths)


@dataclass(frozen=True)
class Convergence:
    """Smoothed flows to the end, with and without squared norms in the loss."""

    #: singular values of the target, ``(modes,)``; rank of the factors; smoothing
    s: np.ndarray
    rank: int
    beta: float
    #: sizes of the starts, ``(scales,)``; weights, the first one zero, ``(lams,)``
    scales: np.ndarray
    lams: np.ndarray
    #: ``(looks, scales, seeds)``, the same for every weight
    times: np.ndarray
    #: loss minus its least value, ``(looks, lams, scales, seeds)``
    excess: np.ndarray
    #: ``||B^T B - A A^T||_F`` and ``||A||_F^2 + ||B||_F^2``, ``(looks, lams, scales, seeds)``
    imbalance: np.ndarray
    squares: np.ndarray
    #: loss at the start, ``(lams, scales, seeds)``
    first: np.ndarray
    #: largest spectral norm of a factor's displacement between looks, over the time between, ``(lams, scales, seeds)``
    speed: np.ndarray
    #: the product at the end: distance from the global minimum, singular values, ``(lams, scales, seeds, …)``
    distance: np.ndarray
    final: np.ndarray
    #: a run on the stable manifold of a saddle, and the same with noise: excess loss ``(looks, 2)``
    saddle: np.ndarray
    #: ``(looks,)`` and ``(2,)``
    saddle_times: np.ndarray
    saddle_speed: np.ndarray


def _speeds(path: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Largest ``||X(t_{k+1}) - X(t_k)||_2 / (t_{k+1} - t_k)``, for paths ``(looks, runs, m, n)``."""
    moved = path[1:] - path[:-1]
    moved = moved if moved.shape[-1] <= moved.shape[-2] else moved.mT
    norms = torch.linalg.eigvalsh(moved.mT @ moved)[..., -1].clamp(min=0).sqrt()
    return (norms / (times[1:] - times[:-1])).amax(0)


@experiment
def convergence(params: Parameters) -> Convergence:
    """Random starts at several sizes, with every weight."""
    s, rank, beta, device = np.array(params.conv_spectrum), params.conv_rank, params.beta_conv, params.device
    rows, columns = params.conv_rows, params.conv_columns
    scales, lams = np.array(sorted(set(params.init_scales))), np.array([0.0, *sorted(set(params.lams))])
    U, V = _frame(params, rows, columns, len(s), 40)
    M = (U * torch.tensor(s, device=device)) @ V.mT
    rng = params.rng(41)
    shape = (len(lams), len(scales), params.conv_seeds)
    size = torch.tensor(scales, device=device)[:, None, None, None]
    B = torch.tensor(rng.normal(size=(*shape[1:], rows, rank)), device=device) / rows**0.5 * size
    A = torch.tensor(rng.normal(size=(*shape[1:], rank, columns)), device=device) / columns**0.5 * size
    # Beyond this size of steps the end is a cycle of two points and not the minimum.
    bound = torch.linalg.matrix_norm(A, 2) ** 2 + torch.linalg.matrix_norm(B, 2) ** 2 + 2 * s[0] + lams[-1]
    lengths = (beta / bound).cpu().numpy()
    every, steps = _looks(params.t_conv / lengths.min())
    # Small starts could take long steps and get far beyond the end; nothing happens there.
    lengths = np.minimum(lengths, 3 * params.t_conv / steps)
    runs = [part.expand(len(lams), *part.shape).flatten(0, 2) for part in (B, A)]
    lam = torch.tensor(lams, device=device).repeat_interleave(shape[1] * shape[2])
    sizes = torch.tensor(lengths, device=device).flatten().repeat(len(lams)).expand(steps, -1)
    least = torch.tensor([theory.least_loss(s, rank, one) for one in lams], device=device, dtype=torch.float64)

    def record(B: torch.Tensor, A: torch.Tensor) -> tuple[torch.Tensor, ...]:
        squares = A.square().sum((-2, -1)) + B.square().sum((-2, -1))
        return loss(B, A, M, lam), torch.linalg.matrix_norm(B.mT @ B - A @ A.mT), squares, B, A

    losses, imbalance, squares, Bs, As = spectral_flow(*runs, M, sizes, beta=beta, lam=lam, record=record, every=every)
    times = torch.arange(len(losses), device=device)[:, None] * every * sizes[0]
    best = torch.stack(
        [(U * torch.tensor(theory.soft_threshold(s, rank, one), device=device)) @ V.mT for one in lams]
    ).repeat_interleave(shape[1] * shape[2], 0)
    end = Bs[-1] @ As[-1]
    speed = torch.maximum(_speeds(Bs, times), _speeds(As, times))
    saddle, saddle_times, saddle_speed = _saddle(params, s, rank)

    def shaped(part: torch.Tensor) -> np.ndarray:
        return part.cpu().numpy()

    def looked(part: torch.Tensor) -> np.ndarray:
        return shaped(part.reshape(-1, *shape))

    return Convergence(
        s=s, rank=rank, beta=beta, scales=scales, lams=lams, times=looked(times)[:, 0],
        excess=looked(losses - least.repeat_interleave(shape[1] * shape[2])),
        imbalance=looked(imbalance), squares=looked(squares), first=looked(losses)[0],
        speed=shaped(speed.reshape(shape)), distance=shaped(torch.linalg.matrix_norm(end - best).reshape(shape)),
        final=shaped(product_singular_values(Bs[-1], As[-1]).reshape(*shape, rank)),
        saddle=saddle, saddle_times=saddle_times, saddle_speed=saddle_speed,
    )  # fmt: skip


def _saddle(params: Parameters, s: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A start on the stable manifold of a saddle, and one beside it: excess losses, times, speeds.

    The target is diagonal and the start has exact zeros, so that no rounding leads away from the manifold; on the CPU,
    whose eigenvectors of a diagonal matrix are exact.
    """
    rows, columns, beta = params.conv_rows, params.conv_columns, params.beta_conv
    M = torch.zeros(rows, columns, dtype=torch.float64)
    M[: len(s), : len(s)] = torch.diag(torch.tensor(s))
    signs = torch.ones(rank, dtype=torch.float64)
    signs[1] = -1
    B, A = torch.zeros(2, rows, rank, dtype=torch.float64), torch.zeros(2, rank, columns, dtype=torch.float64)
    B[:, :rank] = 0.5 * torch.eye(rank, dtype=torch.float64)
    A[:, :, :rank] = 0.5 * torch.diag(signs)
    rng = params.rng(42)
    for factor in (B, A):
        factor[1] += 1e-3 * torch.tensor(rng.normal(size=factor.shape[1:]))
    size = beta / (0.5 + 2 * s[0])
    every, steps = _looks(params.t_conv / size)

    def record(B: torch.Tensor, A: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return loss(B, A, M) - theory.least_loss(s, rank, 0.0), B, A

    sizes = torch.full((steps, 2), size, dtype=torch.float64)
    excess, Bs, As = spectral_flow(B, A, M, sizes, beta=beta, record=record, every=every)
    times = torch.arange(len(excess), dtype=torch.float64)[:, None] * every * size
    speed = torch.maximum(_speeds(Bs, times), _speeds(As, times))
    return excess.numpy(), times[:, 0].numpy(), speed.numpy()
