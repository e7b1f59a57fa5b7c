"""Adam, Signum and SGD in training: batch sizes, rates and orders, epsilon, Signum's momentum."""

from dataclasses import dataclass

import numpy as np

from companion.chapters.incremental_adam import theory
from companion.chapters.incremental_adam.data import Data, cancelling_pair
from companion.chapters.incremental_adam.experiments.datasets import draw, draw_gaussian
from companion.chapters.incremental_adam.incremental import incremental
from companion.chapters.incremental_adam.parameters import Parameters
from companion.results import experiment

# Pairs (beta1, beta2) that are tried besides the chapter's own.
OTHER_BETAS = ((0.5, 0.9), (0.9, 0.99))
RANDOM_ORDERS = ("reshuffled", "replacement")


def log_spaced(last: int, count: int = 40) -> list[int]:
    """Whole numbers from 1 to ``last``, spaced evenly on a logarithmic scale."""
    return sorted({round(k) for k in np.geomspace(1, last, count)})


# --- all rules, all batch sizes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """One rule with one setting on all datasets."""

    #: steps after which it was looked at, ``(K,)``
    steps: np.ndarray
    #: r2, rinf: normalized margins over the largest ones, ``(K, rows)``
    r2: np.ndarray
    rinf: np.ndarray
    #: the last iterates, ``(rows, d)``
    last: np.ndarray
    #: the last iterates' least margins, ``(rows,)``
    margin: np.ndarray


@dataclass(frozen=True)
class Runs:
    """Runs on Gaussian (first half of the rows) and scaled Rademacher data (second half)."""

    #: the datasets
    data: Data
    #: pairs ``(beta1, beta2)``, the chapter's own first
    betas: tuple[tuple[float, float], ...]
    #: batch sizes, from 1 to N
    batches: list[int]
    #: incremental Adam in cyclic order, a curve for each pair
    cyclic: tuple[Curve, ...]
    #: incremental Adam reshuffled every epoch and with replacement, with the first pair
    sampled: tuple[Curve, ...]
    #: full-batch Adam, a curve for each pair
    full: tuple[Curve, ...]
    #: a curve for each batch size, in cyclic order, with the first pair
    adam: tuple[Curve, ...]
    signum: tuple[Curve, ...]
    sgd: tuple[Curve, ...]
    #: Signum without momentum, one sample a step
    sign_sgd: Curve
    #: least over the datasets and runs of ``gamma_inf`` times the sum of Adam's steps: margins do not grow beyond
    room: float
    #: the same for Signum
    room_signum: float

    @property
    def kinds(self) -> tuple[slice, slice]:
        """The rows of Gaussian and of scaled Rademacher data."""
        half = len(self.data.Z) // 2
        return slice(0, half), slice(half, None)


@experiment
def runs(params: Parameters) -> Runs:
    """Every rule at every batch size on the same data, incremental and full-batch Adam at all rates, three orders."""
    data, N, sizes = draw(params), params.N, params.batches
    rows = len(data.Z)
    betas = ((params.beta1, params.beta2), *OTHER_BETAS)

    def curves(rule: str, batch_size: int, settings: int, epochs: int, **options) -> list[Curve]:
        keep = log_spaced(epochs)
        path = incremental(np.tile(data.Z, (settings, 1, 1)), rule, epochs=epochs, batch_size=batch_size, keep=keep,
                           device=params.device, **options)  # fmt: skip
        w = path.w.reshape(len(keep), settings, rows, -1)
        least = np.einsum("rnd,srd->srn", data.Z, w[-1]).min(-1)
        steps = path.epochs * (N // batch_size)
        return [
            Curve(steps, data.r2(w[:, s]), data.rinf(w[:, s]), w[-1, s], least[s]) for s in range(settings)
        ]  # fmt: skip

    def passes(batch_size: int) -> int:
        return params.epochs if batch_size == 1 else max(1, params.steps * batch_size // N)

    def rates(pairs: list[tuple[float, float]]) -> dict[str, np.ndarray]:
        return {"beta1": np.repeat([b1 for b1, _ in pairs], rows), "beta2": np.repeat([b2 for _, b2 in pairs], rows)}

    orders = ["cyclic"] * len(betas) + list(RANDOM_ORDERS)
    single = curves(
        "adam", 1, len(orders), params.epochs, **params.step, **rates([*betas, betas[0], betas[0]]),
        order=np.repeat(orders, rows).tolist(), rng=params.rng(1),
    )  # fmt: skip
    full = curves("adam", N, len(betas), passes(N), **params.step, **rates([*betas]))
    between = [curves("adam", b, 1, passes(b), **params.step, **rates([betas[0]]))[0] for b in sizes[1:-1]]
    slow = {**params.step, "eta0": params.eta_signum}
    momentum = np.repeat([params.beta_signum, 0.0], rows)
    signum, sign_sgd = curves("signum", 1, 2, params.epochs, beta1=momentum, **slow)
    larger = [curves("signum", b, 1, passes(b), beta1=params.beta_signum, **slow)[0] for b in sizes[1:]]
    # SGD is here for comparison only: half the length is enough.
    sgd = [curves("sgd", b, 1, max(1, passes(b) // 2), **params.step)[0] for b in sizes]
    fewest = min(passes(b) * (N // b) for b in sizes)
    room = data.margins[1].min() * ((1 + np.arange(fewest) / params.t0) ** -params.decay).sum()
    return Runs(
        data=data,
        betas=betas,
        batches=sizes,
        cyclic=tuple(single[: len(betas)]),
        sampled=tuple(single[len(betas) :]),
        full=tuple(full),
        adam=(single[0], *between, full[0]),
        signum=(signum, *larger),
        sgd=tuple(sgd),
        sign_sgd=sign_sgd,
        room=float(params.eta0 * room),
        room_signum=float(params.eta_signum * room),
    )


# --- epsilon ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Epsilon:
    """Full-batch Adam on Gaussian data with a stability constant."""

    #: from zero up, ``(E,)``
    epsilons: np.ndarray
    #: ``(K,)``
    steps: np.ndarray
    #: r2, rinf: ``(K, E, datasets)``
    r2: np.ndarray
    rinf: np.ndarray
    #: the first kept step at which the gradient's largest entry is below epsilon in the median, ``(E,)``; or NaN
    reached: np.ndarray


@experiment
def epsilon(params: Parameters) -> Epsilon:
    """What Adam's epsilon does to the direction, from zero to the largest one asked for."""
    data = draw_gaussian(params)
    epsilons = np.array([0.0, *sorted(set(params.epsilons))])
    steps = max(10, params.steps // 2)
    keep = log_spaced(steps, 60)
    E, D = len(epsilons), len(data.Z)
    path = incremental(
        np.tile(data.Z, (E, 1, 1)), "adam", epochs=steps, batch_size=params.N, beta1=params.beta1,
        beta2=params.beta2, eps=np.repeat(epsilons, D), keep=keep, device=params.device, **params.step,
    )  # fmt: skip
    w = path.w.reshape(len(keep), E, D, -1)
    z = np.einsum("rnd,kerd->kern", data.Z, w)
    size = np.abs(np.einsum("kern,rnd->kerd", np.exp(-np.logaddexp(0, z)), data.Z)).max(-1) / params.N
    below = np.median(size, axis=-1) < epsilons
    reached = np.where(below.any(0), path.epochs[below.argmax(0)].astype(float), np.nan)
    return Epsilon(epsilons, path.epochs, data.r2(w), data.rinf(w), reached)


# --- Signum's memory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """Signum with one sample a step over its momentum, with small steps and with larger ones."""

    #: ``(B,)``
    beta: np.ndarray
    #: first steps, from small to large, ``(3,)``
    eta: np.ndarray
    #: ``(3, B, datasets)``
    rinf: np.ndarray
    #: ``1 - epsilon(beta) R / gamma_inf``, ``(B, datasets)``
    bound: np.ndarray
    #: grid, grid_bound: the bound on a fine grid of momenta, ``(G,)`` and ``(G, datasets)``
    grid: np.ndarray
    grid_bound: np.ndarray


BETAS_SIGNUM = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999)
LARGER = (1, 5, 25)


@experiment
def memory(params: Parameters) -> Memory:
    """How close to 1 Signum's momentum has to be, and how small its steps then."""
    data = draw_gaussian(params)
    D, B = len(data.Z), len(BETAS_SIGNUM)
    eta = params.eta_signum * np.array(LARGER, dtype=float)
    path = incremental(
        np.tile(data.Z, (len(eta) * B, 1, 1)), "signum", epochs=params.epochs, t0=params.t0, decay=params.decay,
        beta1=np.tile(np.repeat(BETAS_SIGNUM, D), len(eta)), eta0=np.repeat(eta, B * D), device=params.device,
    )  # fmt: skip

    def bound(betas: np.ndarray) -> np.ndarray:
        terms = np.array([[theory.signum_bound(Z, beta) for Z in data.Z] for beta in betas])
        return 1 - terms[..., 0] * terms[..., 1] / data.margins[1]

    beta, grid = np.array(BETAS_SIGNUM), 1 - np.geomspace(1, 1 - BETAS_SIGNUM[-1], 100)
    rinf = data.rinf(path.last.reshape(len(eta), B, D, -1))
    return Memory(beta, eta, rinf, bound(beta), grid, bound(grid))


@dataclass(frozen=True)
class Attained:
    """Signum with one sample a step on two samples that are made for its momentum, and on the same with more of it."""

    #: momenta for which the pairs are made, ``(B,)``
    made_for: np.ndarray
    #: momenta of the runs: those, and others, which forget a fifth as fast, ``(2, B)``
    beta: np.ndarray
    #: normalized margins at the end, ``(2, B)``
    rinf: np.ndarray
    #: the bound for each, ``(2, B)``
    bound: np.ndarray


MADE_FOR = (0.5, 0.8, 0.9)


@experiment
def attained(params: Parameters) -> Attained:
    """How much of what the bound allows Signum can lose."""
    made_for = np.array(MADE_FOR)
    data = Data.of(np.array([cancelling_pair(beta) for beta in MADE_FOR]))
    beta = np.array([made_for, 1 - (1 - made_for) / 5])
    end = incremental(
        np.tile(data.Z, (2, 1, 1)), "signum", epochs=params.epochs, t0=params.t0, decay=params.decay,
        beta1=beta.ravel(), eta0=params.eta_signum, device=params.device,
    ).last  # fmt: skip
    terms = np.array([[theory.signum_bound(Z, b) for Z, b in zip(data.Z, row, strict=True)] for row in beta])
    bound = 1 - terms[..., 0] * terms[..., 1] / data.margins[1]
    return Attained(made_for, beta, data.rinf(end.reshape(2, len(MADE_FOR), -1)), bound)
