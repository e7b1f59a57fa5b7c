"""How large the error is: noise, side information that is not exact, rows never seen, incoherence."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.inductive_matrix_completion import theory
from companion.chapters.inductive_matrix_completion.completion import Descent, Sample, descend
from companion.chapters.inductive_matrix_completion.experiments.sampling import ARRIVED, left_after, middle, stretch
from companion.chapters.inductive_matrix_completion.parameters import Parameters
from companion.chapters.inductive_matrix_completion.problems import Problem, draw, observe, repeat
from companion.results import experiment

STEPS = 100  # of a descent that ends in noise or misfit, where further steps change nothing
FEWER = 60  # where the noise is larger


def _steps(params: Parameters, steps: int) -> int:
    """More steps where they are short or the matrices ill conditioned, up to ``iters``."""
    return max(steps, min(params.iters, round(steps * stretch(params.eta, params.condition))))


def _run(params: Parameters, problem: Problem, sample: Sample, features: bool, steps: int = STEPS) -> Descent:
    there, seen = problem.to(params.device), sample.to(params.device)
    X, Y = (there.X, there.Y) if features else (None, None)
    iters = _steps(params, steps)
    return descend(seen, X, Y, (there.A, there.B), eta=params.eta, iters=iters, every=iters)


@dataclass(frozen=True)
class Noise:
    """Relative errors under noise, and what the degrees of freedom predict."""

    #: n, a, m, sigma: of the cells, ``(C,)``
    n: np.ndarray
    a: np.ndarray
    m: np.ndarray
    sigma: np.ndarray
    #: relative errors, ``(C, repeats)``
    error: np.ndarray
    #: predictions ``sigma sqrt(df / (m - df))``, NaN where there are too few entries, ``(C,)``
    predicted: np.ndarray
    #: n_mc, m_mc: size and entries of the run without features
    n_mc: int
    m_mc: int
    #: errors there, ``(3,)``
    error_mc: np.ndarray
    #: predicted_mc, predicted_imc: predictions there, by the degrees of freedom without features and with
    predicted_mc: float
    predicted_imc: float
    #: rank
    r: int
    #: about which share of the start's error the steps leave
    left: float


def _predicted(sigma: float, d: int, r: int, m: int) -> float:
    return theory.predicted_error(sigma, d, r, m) if m > theory.degrees_of_freedom(d, r) else np.nan


@experiment
def noise(params: Parameters) -> Noise:
    """Cells that change size, features, entries and noise one at a time; and one run without features."""
    a, r, s, sizes = params.a, params.r, params.sigma, sorted(set(params.n_list))
    n, m = middle(sizes), 50 * params.a * params.r
    cells = [(size, a, m, s) for size in sizes]
    cells += [(n, 2 * a, m, s), (n, a, m // 2, s), (n, a, 2 * m, s), (n, a, m, s / 5), (n, a, m, 2 * s)]
    errors = []
    cells = [(size, features, min(count, size**2), level) for size, features, count, level in cells]
    for row, (size, features, count, level) in enumerate(cells):
        rng = params.rng(11, row)
        problem = draw(rng, params.repeats, size, features, r, params.kappa)
        sample = observe(rng, problem, np.array(float(count)), level)
        errors.append(_run(params, problem, sample, features=True, steps=FEWER).errors[-1].cpu().numpy())
    rng = params.rng(12)
    m_mc = min(10 * n * r, n**2)
    problem = draw(rng, 3, n, a, r, params.kappa)
    sample = observe(rng, problem, np.array(float(m_mc)), s)
    error_mc = _run(params, problem, sample, features=False).errors[-1].cpu().numpy()
    columns = [np.array(column) for column in zip(*cells, strict=True)]
    return Noise(
        *columns,
        error=np.array(errors),
        predicted=np.array([_predicted(level, features, r, count) for _, features, count, level in cells]),
        n_mc=n,
        m_mc=m_mc,
        error_mc=error_mc,
        predicted_mc=_predicted(s, n, r, m_mc),
        predicted_imc=_predicted(s, a, r, m_mc),
        r=r,
        left=left_after(_steps(params, FEWER), params.eta, params.condition),
    )


@dataclass(frozen=True)
class Inexact:
    """Noiseless errors where the matrix sticks out of the features' span."""

    #: tilts, zero first, ``(T,)``
    tilt: np.ndarray
    #: floor that no ``X M Y^T`` gets below, ``(T,)``
    floor: np.ndarray
    #: m: entries seen, few and many
    m: tuple[int, int]
    #: error, error_mc: with features and without, ``(2, T, trials)``
    error: np.ndarray
    error_mc: np.ndarray
    #: error_large, error_large_mc: the same with few entries at twice the size, ``(T, trials)``
    error_large: np.ndarray
    error_large_mc: np.ndarray
    #: features, rank
    a: int
    r: int
    #: size
    n: int
    #: about which share of the start's error the steps leave
    left: float


TWICE = 2  # matrices for each tilt: their errors differ little


@experiment
def inexact(params: Parameters) -> Inexact:
    """All tilts in one batch: 25 entries for each of ``a r``, at two sizes, and 10 for each of ``n r``."""
    a, r, n = params.a, params.r, max(max(params.n_list) // 2, 2 * params.a + params.r)
    tilts = np.array([0.0, *sorted(set(params.tilts))])
    counts = (25 * a * r, 10 * n * r)
    errors: list[list[np.ndarray]] = [[], []]
    for size, m in ((n, counts[0]), (n, counts[1]), (2 * n, counts[0])):
        rng = params.rng(13, m, size)
        problem = draw(rng, len(tilts) * TWICE, size, a, r, params.kappa, tilt=np.repeat(tilts, TWICE))
        sample = observe(rng, problem, np.array(float(m)))
        for which, features in enumerate((True, False)):
            ended = _run(params, problem, sample, features=features)
            errors[which].append(ended.errors[-1].view(len(tilts), TWICE).cpu().numpy())
    return Inexact(
        tilt=tilts, floor=theory.floor(tilts), m=counts, error=np.array(errors[0][:2]),
        error_mc=np.array(errors[1][:2]), error_large=errors[0][2], error_large_mc=errors[1][2], a=a, r=r, n=n,
        left=left_after(_steps(params, STEPS), params.eta, params.condition),
    )  # fmt: skip


@dataclass(frozen=True)
class Mixture:
    """Errors between matrix completion and its inductive form, over the weight of the penalty."""

    #: weights, from 0 (no features) to infinity (features only), ``(L,)``
    lam: np.ndarray
    #: entries seen, ``(K,)``
    m: np.ndarray
    #: tilted: errors with inexact side information, ``(K, L)``; exact: with exact one and the fewest entries, ``(L,)``
    tilted: np.ndarray
    exact: np.ndarray
    #: how far the matrices are tilted, noise
    tilt: float
    sigma: float
    #: about which share of the start's error the steps leave
    left: float


TRIALS = 3
MIXED = 120  # size of the matrices there, at least
MIXED_NOISE = 0.3


@experiment
def mixture(params: Parameters) -> Mixture:
    """All weights on the same matrices and entries; few entries for matrix completion, and more."""
    r = params.r
    a = max(r, (3 * params.a) // 4)
    n = max(MIXED, 8 * a, a + 2 * r)
    lam = np.array([0.0, *sorted(set(params.lams)), np.inf])
    counts, iters = np.array([7, 12]) * n * r, _steps(params, FEWER)
    found = []
    for m, tilt in ((counts[0], params.tilt), (counts[1], params.tilt), (counts[0], 0.0)):
        rng = params.rng(14, int(m))
        one = draw(rng, TRIALS, n, a, r, params.kappa, tilt=tilt)
        sample = observe(rng, one, np.array(float(m)), MIXED_NOISE)
        times = len(lam)
        offset = TRIALS * torch.arange(times).repeat_interleave(len(sample.run))
        same = Sample(
                sample.run.repeat(times) + offset, *(part.repeat(times) for part in (sample.row, sample.col)),
                sample.value.repeat(times), sample.p.repeat(times),
            ).to(params.device)  # fmt: skip
        many = repeat(one, times).to(params.device)
        weights = torch.from_numpy(np.repeat(lam, TRIALS)).to(params.device)
        ended = descend(same, None, None, (many.A, many.B), eta=params.eta, iters=iters, every=iters,
                            toward=(many.X, many.Y), lam=weights)  # fmt: skip
        found.append(ended.errors[-1].view(times, TRIALS).mean(1).cpu().numpy())
    return Mixture(
        lam=lam, m=counts, tilted=np.array(found[:2]), exact=found[2], tilt=params.tilt, sigma=MIXED_NOISE,
        left=left_after(iters, params.eta, params.condition),
    )  # fmt: skip


@dataclass(frozen=True)
class Cold:
    """Errors by row where a tenth of the rows is never seen."""

    #: imc, mc: relative error of every row, ``(rows, trials)``
    imc: np.ndarray
    mc: np.ndarray
    #: how many rows, the first ones, are never seen
    hidden: int
    #: entries seen
    m: int
    #: about which share of the start's error the steps leave
    left: float


@experiment
def cold(params: Parameters) -> Cold:
    """New users: rows without a single entry, with slightly inexact side information and noise."""
    a, r, n, rng = params.a, params.r, middle(params.n_list), params.rng(15)
    hidden, m = n // 10, 10 * n * r
    problem = draw(rng, TRIALS, n, a, r, params.kappa, tilt=0.1)
    sample = observe(rng, problem, np.array(float(m)), 0.3)
    kept = sample.row >= hidden
    sample = Sample(sample.run[kept], sample.row[kept], sample.col[kept], sample.value[kept], sample.p)
    length = torch.einsum("itr,trs,its->it", problem.A, gram_of(problem.B), problem.A).sqrt()
    found = []
    for features in (True, False):
        ended = _run(params, problem, sample, features=features)
        A, B = torch.cat([ended.A.cpu(), -problem.A], -1), torch.cat([ended.B.cpu(), problem.B], -1)
        square = torch.einsum("itr,trs,its->it", A, gram_of(B), A).clamp_min(0)
        found.append((square.sqrt() / length).numpy())
    return Cold(
        imc=found[0],
        mc=found[1],
        hidden=hidden,
        m=m,
        left=left_after(_steps(params, STEPS), params.eta, params.condition),
    )


def gram_of(B: torch.Tensor) -> torch.Tensor:
    """``B^T B`` of every run."""
    return torch.einsum("jtr,jts->trs", B, B)


@dataclass(frozen=True)
class Coherent:
    """Recovery where some features belong to a single row, beside features spread over all rows."""

    #: sizes, ``(N,)``
    n: np.ndarray
    #: share of successes with private features and without, ``(N,)``
    private: np.ndarray
    spread: np.ndarray
    #: n^2 max |P_T(e_i e_j^T)|^2 of one matrix each, ``(N,)``
    coherence_private: np.ndarray
    coherence_spread: np.ndarray
    #: entries seen, rank
    m: int
    r: int
    #: about which share of the start's error the steps leave
    left: float


@experiment
def coherent(params: Parameters) -> Coherent:
    """The same number of entries, six for each of ``a r``, at the largest size and half of it."""
    a, r, sizes = params.a, params.r, sorted({max(params.a, max(params.n_list) // 2), max(params.n_list)})
    m = 6 * a * r
    shares: dict[int, list[float]] = {0: [], 1: []}
    coherences: dict[int, list[float]] = {0: [], 1: []}
    for n in sizes:
        for which, private in enumerate((0, min(params.private, a))):
            rng = params.rng(16, n, which)
            problem = draw(rng, params.trials, n, a, r, params.kappa, private=private)
            sample = observe(rng, problem, np.array(float(m))).to(params.device)
            there = problem.to(params.device)
            ended = descend(sample, there.X, there.Y, (there.A, there.B), eta=params.eta, iters=params.iters,
                            stop=ARRIVED)  # fmt: skip
            shares[which].append(float((ended.errors[-1] <= ARRIVED).double().mean()))
            coherences[which].append(theory.coherence(problem.X, problem.Y, problem.A[:, 0], problem.B[:, 0]))
    return Coherent(
        n=np.array(sizes), private=np.array(shares[1]), spread=np.array(shares[0]),
        coherence_private=np.array(coherences[1]), coherence_spread=np.array(coherences[0]), m=m, r=r,
        left=left_after(params.iters, params.eta, params.condition),
    )  # fmt: skip
