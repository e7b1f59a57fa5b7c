"""How many entries are needed, the spectrum behind it, and the speed of the descent."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.inductive_matrix_completion import theory
from companion.chapters.inductive_matrix_completion.completion import Sample, descend, gradients
from companion.chapters.inductive_matrix_completion.parameters import Parameters
from companion.chapters.inductive_matrix_completion.problems import Problem, draw, observe, singular_values
from companion.results import experiment

ARRIVED = 1e-2  # relative error at which a noiseless run has succeeded; failed ones stay above a tenth
WINDOW = (1e-10, 1e-4)  # of errors on which a rate is fitted: past the start, above rounding


def middle(sizes: list[int]) -> int:
    """The middle one of some sizes, the smaller one of two."""
    listed = sorted(set(sizes))
    return listed[(len(listed) - 1) // 2]


def stretch(eta: float, kappa: float) -> float:
    """How many times as many steps slow descents get: as ``kappa / eta`` over what it is by default, at least one."""
    return max(1.0, 0.25 * kappa / eta)


def left_after(steps: int, eta: float, kappa: float) -> float:
    """About which share of the start's error is left after these steps: at half the rate with every entry seen."""
    return (1 - eta / kappa / 2) ** steps


def crossing(m: np.ndarray, rate: np.ndarray) -> float:
    """Where the success rate, interpolated linearly in ``m``, first reaches a half; infinity if nowhere."""
    reached = np.flatnonzero(rate >= 0.5)
    if not len(reached):
        return np.inf
    k = reached[0]
    return float(m[0] if k == 0 else np.interp(0.5, rate[k - 1 : k + 1], m[k - 1 : k + 1]))


@dataclass(frozen=True)
class Thresholds:
    """Share of noiseless runs that recover the matrix, over the entries seen."""

    #: a, n: features and sizes, ``(A,)`` and ``(N,)``
    a: np.ndarray
    n: np.ndarray
    #: entries seen, ``(A, K)``
    m: np.ndarray
    #: share of successes with features, ``(A, N, K)``
    rate: np.ndarray
    #: n_mc: sizes without features, ``(N',)``
    n_mc: np.ndarray
    #: m_mc: entries seen there, ``(N', K')``
    m_mc: np.ndarray
    #: rate_mc: share of successes there, ``(N', K')``
    rate_mc: np.ndarray
    #: rank, runs for each number of entries
    r: int
    trials: int

    def half(self) -> np.ndarray:
        """Entries at which half of the runs succeed, ``(A, N)``."""
        return np.array([[crossing(m, rate) for rate in of_a] for m, of_a in zip(self.m, self.rate, strict=True)])

    def half_mc(self) -> np.ndarray:
        """The same without features, ``(N',)``."""
        return np.array([crossing(m, rate) for m, rate in zip(self.m_mc, self.rate_mc, strict=True)])


def _success(params: Parameters, rng: np.random.Generator, n: int, a: int, m: np.ndarray, features: bool, **kind):
    """Share of runs that arrive, for each number of entries; all runs in one batch."""
    problem = draw(rng, len(m) * params.trials, n, a, params.r, params.kappa, **kind)
    sample = observe(rng, problem, np.repeat(m, params.trials)).to(params.device)
    problem = problem.to(params.device)
    X, Y = (problem.X, problem.Y) if features else (None, None)
    ended = descend(sample, X, Y, (problem.A, problem.B), eta=params.eta, iters=params.iters, stop=ARRIVED)
    return (ended.errors[-1] <= ARRIVED).double().view(len(m), -1).mean(1).cpu().numpy()


@experiment
def thresholds(params: Parameters) -> Thresholds:
    """Success rates with features, over ``m / ar``, and without, over ``m / nr``."""
    r, sizes, sizes_mc = params.r, sorted(set(params.n_list)), sorted(set(params.n_mc))
    a_list, few = sorted(set(params.a_list)), min(params.a, min(sizes_mc) - r)
    m = r * np.array(a_list)[:, None] * np.sort(params.m_over_ar)
    m_mc = r * np.array(sizes_mc)[:, None] * np.sort(params.m_over_nr)
    rate = [
        [_success(params, params.rng(1, a, n), n, a, m[row], features=True) for n in sizes]
        for row, a in enumerate(a_list)
    ]
    # The features only serve to draw the matrices here; the method does not see them.
    rate_mc = [
        _success(params, params.rng(2, n), n, max(few, r), m_mc[row], features=False) for row, n in enumerate(sizes_mc)
    ]
    return Thresholds(np.array(a_list), np.array(sizes), m, np.array(rate), np.array(sizes_mc), m_mc,
                      np.array(rate_mc), r, params.trials)  # fmt: skip


@dataclass(frozen=True)
class Unstructured:
    """Success where the entries are fewer than the ``a^2`` products of features, and with more."""

    #: features, and entries seen: fewer than ``a^2``
    a: int
    m: int
    #: rate_imc, rate_full: share of successes of low rank, and of least squares in all products
    rate_imc: float
    rate_full: float
    #: median relative error of least squares there, and with ``1.5 a^2`` entries
    error_full: float
    error_more: float
    #: about which share of the start's error the steps leave
    left: float


REGRESSIONS = 6  # of least squares, which costs more than all of the descent


def _least_squares(problem: Problem, sample: Sample) -> np.ndarray:
    """Relative errors of the least-norm ``M`` with ``X M Y^T`` through the entries seen."""
    errors = []
    for t in range(min(problem.A.shape[1], REGRESSIONS)):
        of_run = sample.run == t
        Z = (problem.X[sample.row[of_run]][:, :, None] * problem.Y[sample.col[of_run]][:, None]).flatten(1)
        found = torch.linalg.lstsq(Z, sample.value[of_run, None], driver="gelsd").solution[:, 0]
        truth = ((problem.X.T @ problem.A[:, t]) @ (problem.Y.T @ problem.B[:, t]).T).flatten()
        errors.append(float((found - truth).norm() / truth.norm()))
    return np.array(errors)


@experiment
def unstructured(params: Parameters) -> Unstructured:
    """Inductive completion and unstructured least squares on the same entries, six for each of ``a r``."""
    a, n, rng = params.a, middle(params.n_list), params.rng(3)
    m = 6 * a * params.r
    problem = draw(rng, params.trials, n, a, params.r, params.kappa)
    sample = observe(rng, problem, np.array(float(m)))
    ended = descend(sample, problem.X, problem.Y, (problem.A, problem.B), eta=params.eta, iters=params.iters,
                    stop=ARRIVED)  # fmt: skip
    error = _least_squares(problem, sample)
    more = _least_squares(problem, observe(rng, problem, np.array(1.5 * a**2)))
    return Unstructured(
        a=a,
        m=m,
        rate_imc=float((ended.errors[-1] <= ARRIVED).double().mean()),
        rate_full=float((error <= ARRIVED).mean()),
        error_full=float(np.median(error)),
        error_more=float(np.median(more)),
        left=left_after(params.iters, params.eta, params.condition),
    )


@dataclass(frozen=True)
class Spectrum:
    """Extreme eigenvalues of the sampled quadratic form on the tangent space, and the regularity condition."""

    #: n, m: sizes and entries seen, ``(N,)`` and ``(K,)``
    n: np.ndarray
    m: np.ndarray
    #: least, largest: extreme eigenvalues with features, ``(N, K, draws)``
    least: np.ndarray
    largest: np.ndarray
    #: coherence: ``n^2 max |P_T(e_i e_j^T)|^2``, mean over the draws, ``(N,)``
    coherence: np.ndarray
    #: convex, smooth: constants of the regularity condition at points near the truth, ``(N, points)``; most entries
    convex: np.ndarray
    smooth: np.ndarray
    #: n_mc: the size without features, with the same numbers of entries
    n_mc: int
    #: least_mc, largest_mc: extreme eigenvalues there, ``(K,)``
    least_mc: np.ndarray
    largest_mc: np.ndarray
    #: convex_mc, smooth_mc: the regularity condition there, ``(points,)``
    convex_mc: np.ndarray
    smooth_mc: np.ndarray
    #: features, rank
    a: int
    r: int


DRAWS = 8
POINTS = 30  # random points of the regularity condition, besides those along the flattest directions
FLATTEST = 4
MOST_MC = 600  # rows and columns without features: the spectrum is that of a dense matrix of more than n r rows
DISTANCE = 0.2  # of the points from the truth, in units of sqrt(r sigma_r)


def _of_run(problem: Problem, sample: Sample, t: int):
    seen = sample.run == t
    return problem.A[:, t], problem.B[:, t], sample.row[seen], sample.col[seen]


def _extremes(X, Y, problem: Problem, sample: Sample) -> np.ndarray:
    """Extreme eigenvalues of ``P_T P_Omega P_T / p`` for every run, ``(2, runs)``."""
    found = []
    for t, p in enumerate(sample.p.tolist()):
        Phi = theory.tangent_rows(X, Y, *_of_run(problem, sample, t))
        if len(Phi) < Phi.shape[1]:
            values = torch.cat([torch.zeros(1), torch.linalg.eigvalsh(Phi @ Phi.T / p)])
        else:
            values = torch.linalg.eigvalsh(Phi.T @ Phi / p)
        found.append((max(float(values[0]), 0.0), float(values[-1])))
    return np.array(found).T


def _regular(params: Parameters, X, Y, problem: Problem, sample: Sample, rng: np.random.Generator):
    """The regularity condition of the first run: at random points and along the flattest directions."""
    r = params.r
    A, B, row, col = _of_run(problem, sample, 0)
    U, V = (F if P is None else P.T @ F for P, F in ((X, A), (Y, B)))
    p, values = float(sample.p[0]), singular_values(len(A), r, params.kappa)
    _, vectors = torch.linalg.eigh(theory.hessian(X, Y, A, B, row, col, p))
    gauge = r * (r - 1) // 2
    flat = vectors[:, gauge : gauge + FLATTEST].T
    some = torch.from_numpy(rng.normal(size=(POINTS, flat.shape[1])))
    ways = torch.cat([some, flat, -flat])
    ways = ways / ways.norm(dim=1, keepdim=True) * DISTANCE * (r * values.min()) ** 0.5
    F = torch.cat([U, V]).flatten() + ways
    points = F.view(len(ways), len(U) + len(V), r)
    truth = torch.cat([U, V])
    away = theory.from_nearest(points, truth)
    runs, count = len(ways), len(row)
    repeated = Sample(
        torch.arange(runs).repeat_interleave(count), row.repeat(runs), col.repeat(runs),
        (A[row] * B[col]).sum(1).repeat(runs),
        torch.full((runs,), p, dtype=torch.float64),
    )  # fmt: skip
    G, H = (part.transpose(0, 1) for part in points.split([len(U), len(V)], 1))
    slope = torch.cat([part.transpose(0, 1) for part in gradients(repeated, X, Y, G, H)], 1)
    return [part.numpy() for part in theory.regularity(slope.flatten(1), away.flatten(1), values.min(), values.max())]


@experiment
def spectrum(params: Parameters) -> Spectrum:
    """The tangent space under sampling, with features and without; dense eigenvalues, on the CPU."""
    a, r, sizes, counts = params.a, params.r, sorted(set(params.n_list)), np.array(sorted(set(params.m)))
    least, largest, coherence, convex, smooth = [], [], [], [], []
    for n in sizes:
        rng = params.rng(4, n)
        problem = draw(rng, DRAWS, n, a, r, params.kappa)
        samples = [observe(rng, problem, np.array(float(m))) for m in counts]
        low, high = np.array([_extremes(problem.X, problem.Y, problem, one) for one in samples]).transpose(1, 0, 2)
        least.append(low)
        largest.append(high)
        coherence.append(
            np.mean([theory.coherence(problem.X, problem.Y, problem.A[:, t], problem.B[:, t]) for t in range(DRAWS)])
        )
        one, other = _regular(params, problem.X, problem.Y, problem, samples[-1], rng)
        convex.append(one)
        smooth.append(other)
    rng = params.rng(5)
    n_mc = min(max(150, params.a + r, int(counts[-1]) // 8), sizes[-1], MOST_MC)
    problem = draw(rng, 1, n_mc, min(a, n_mc - r), r, params.kappa)
    samples = [observe(rng, problem, np.array(float(m))) for m in counts]
    extremes = np.array([_extremes(None, None, problem, one)[:, 0] for one in samples])
    convex_mc, smooth_mc = _regular(params, None, None, problem, samples[-1], rng)
    return Spectrum(
        n=np.array(sizes), m=counts, least=np.array(least), largest=np.array(largest), coherence=np.array(coherence),
        convex=np.array(convex), smooth=np.array(smooth), n_mc=n_mc, least_mc=extremes[:, 0],
        largest_mc=extremes[:, 1], convex_mc=convex_mc, smooth_mc=smooth_mc, a=a, r=r,
    )  # fmt: skip


@dataclass(frozen=True)
class Convergence:
    """Errors of noiseless runs over the steps, and the rates that the Hessian at the truth predicts."""

    #: sizes, ``(N,)``
    n: np.ndarray
    #: steps at which errors are taken, ``(T,)``
    steps: np.ndarray
    #: errors, errors_mc: with features and without, ``(N, T, trials)``
    errors: np.ndarray
    errors_mc: np.ndarray
    #: predicted, population: factors from the Hessian of the entries seen, and of all entries, ``(N, trials)``
    predicted: np.ndarray
    population: np.ndarray
    #: entries seen
    m: int

    def arrived(self) -> bool:
        """Whether all runs with features have errors enough within :data:`WINDOW` to fit a line to."""
        return bool((((self.errors > WINDOW[0]) & (self.errors < WINDOW[1])).sum(1) >= LINE).all())

    def fits(self, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor for each step and R² of the straight line, ``(N, trials)``.

        Fitted where errors are within :data:`WINDOW`, or on the second half of a run that never gets there.
        """
        factor, straight = np.empty((2, len(self.n), errors.shape[2]))
        for i, k in np.ndindex(factor.shape):
            one = errors[i, :, k]
            chosen = (one > WINDOW[0]) & (one < WINDOW[1])
            if chosen.sum() < LINE:
                chosen = np.arange(len(one)) >= len(one) // 2
            x, y = self.steps[chosen], np.log(np.maximum(one[chosen], 1e-16))
            line = np.polyfit(x, y, 1)
            factor[i, k] = np.exp(line[0])
            straight[i, k] = 1 - ((y - np.polyval(line, x)) ** 2).sum() / max(((y - y.mean()) ** 2).sum(), 1e-300)
        return factor, straight


EVERY = 5
LINE = 5  # errors that a line is fitted to, at least


@experiment
def convergence(params: Parameters) -> Convergence:
    """Noiseless runs at forty entries for each of ``a r``, with features and without."""
    a, r, m = params.a, params.r, 40 * params.a * params.r
    sizes, iters = sorted(set(params.n_list)), min(params.iters, round(150 * stretch(params.eta, params.condition)))
    errors, errors_mc, predicted, population = [], [], [], []
    for n in sizes:
        rng = params.rng(6, n)
        problem = draw(rng, params.trials, n, a, r, params.kappa)
        sample = observe(rng, problem, np.array(float(m)))
        there, seen = problem.to(params.device), sample.to(params.device)
        runs = [
            descend(seen, *sides, (there.A, there.B), eta=params.eta, iters=iters, every=EVERY)
            for sides in ((there.X, there.Y), (None, None))
        ]
        errors.append(runs[0].errors.cpu().numpy())
        errors_mc.append(runs[1].errors.cpu().numpy())
        values = singular_values(n, r, params.kappa)
        lengths = runs[0].length.tolist()
        predicted.append(
            [
                theory.contraction(
                    torch.linalg.eigvalsh(
                        theory.hessian(problem.X, problem.Y, *_of_run(problem, sample, t), float(sample.p[t]))
                    ),
                    length,
                    r,
                )
                for t, length in enumerate(lengths)
            ]
        )
        population.append([theory.population_contraction(length, values) for length in lengths])
    steps = EVERY * np.arange(errors[0].shape[0])
    return Convergence(
        n=np.array(sizes), steps=steps, errors=np.array(errors), errors_mc=np.array(errors_mc),
        predicted=np.array(predicted), population=np.array(population), m=m,
    )  # fmt: skip
