"""The metric itself: the bilinear form, the spectral start, convergence, rates, annotators who err."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import subspace_angles

from companion.chapters.individual_fairness_bradley_terry import learning
from companion.chapters.individual_fairness_bradley_terry.learning import STARTS, numpy
from companion.chapters.individual_fairness_bradley_terry.parameters import Parameters, random_numbers
from companion.chapters.individual_fairness_bradley_terry.triplets import (
    Triplets,
    answers,
    dependence,
    eigenvalues,
    gaussian_triplets,
    ground_truth,
    individuals,
    logits,
    shrinkage,
    spread,
    squared_distance,
    triplet_design,
)
from companion.results import experiment

POPULATIONS = ("Gaussian", "Laplace")
PREDICTORS = ("true metric", "learned metric", "Euclidean metric", "coin flips")
FEATURES_OF = ("independent", "correlated")
STARTS_OF_RATES = ("learned metric", "rescaled start", "raw start")
ESTIMATORS = ("low-rank factor", "whole matrix")

QUESTIONS = 20_000  # triplets that the identity is tried on: for Laplace features √m/7 is 20 standard errors
CHUNK = 2**31  # bytes of u and v together that one batch may hold
MANY_STEPS = 120  # further steps after which a run stands for its sample's optimum
WIDE_BATCH, WIDE_STEPS = 4, 600  # metrics of a batch learned with one column too many, and steps to their optimum
CONVEX_DIMS, CONVEX_BATCH, CONVEX_STEPS = 3, 4, 40  # the convex baseline: first dimensions, metrics in the last, steps


def chunks(batch: int, m: int, d: int) -> Iterator[slice]:
    """Parts of a batch of ``batch`` problems whose triplets fit into ``CHUNK`` bytes."""
    most = max(1, CHUNK // (16 * m * d))
    for first in range(0, batch, most):
        yield slice(first, min(first + most, batch))


def _learned(
    params: Parameters, data: Triplets, source: torch.Generator, spectral: torch.Tensor | None = None
) -> torch.Tensor:
    """The metric's factor from the parameters' start, step size and number of steps, ``(B, d, r)``.

    The rescaled ``spectral`` start, which sets the step size whatever the start, may be given.
    """
    if spectral is None:
        spectral = learning.spectral_init(data, params.rank)
    start = learning.start_factor(params.init, data, spectral, source)[None]
    size = learning.squared_norm(spectral)
    return learning.factored_gd(start, data, params.gd_steps, params.step_c, size).last[0]


# --- a picture in the plane -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plane:
    """A metric in two dimensions that ignores one direction, and what is learned of it."""

    #: ``U*``, ``(2, 1)``
    truth: np.ndarray
    #: numbers of triplets, ``(K,)``
    sizes: np.ndarray
    #: learned from each, ``(K, 2, 1)``
    factors: np.ndarray


@experiment
def plane(params: Parameters) -> Plane:
    """The unit balls of a metric of rank one in the plane, learned from few and from many answers."""
    source = random_numbers(params, 10)
    truth = torch.tensor([[[0.9], [0.0]]], dtype=torch.float64, device=params.device)
    sizes = (100, 3000)
    data = gaussian_triplets(truth, sizes[-1], params.label_flip, source)
    factors = [numpy(learning.learn(data.first(m), 1, 100)[0]) for m in sizes]
    return Plane(numpy(truth[0]), np.array(sizes), np.stack(factors))


# --- the bilinear form and the point of it ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """The bilinear form of the answers, and what a learned metric predicts."""

    #: largest ``|d^2(i, k) - d^2(i, j) - u' M v|`` over the logit's standard deviation, for POPULATIONS, ``(2,)``
    identity: np.ndarray
    #: largest correlation of an entry of ``u`` with one of ``v``, or of their squares, in standard errors, likewise
    dependence: np.ndarray
    #: of the logits
    std: float
    #: share of fresh answers predicted, for PREDICTORS, ``(4, B)``
    accuracy: np.ndarray
    #: mean log loss minus the true metric's, same rows
    regret: np.ndarray
    #: number of answers learned from
    m: int


@experiment
def model(params: Parameters) -> Model:
    """C1: the identity on random triples, and answers to questions nobody asked before."""
    source = random_numbers(params, 1)
    m = params.m
    found: list[tuple[torch.Tensor, ...]] = []
    for part in chunks(params.seeds, 2 * m, params.d):
        truth = ground_truth(part.stop - part.start, params.d, params.rank, params.scale, params.cond, source)
        data = gaussian_triplets(truth, m, params.label_flip, source)
        flips = Triplets(data.u, data.v, torch.bernoulli(torch.full_like(data.y, 0.5), generator=source))
        identity = torch.eye(params.d, dtype=truth.dtype, device=truth.device).expand(len(truth), -1, -1)
        factors = [
            truth,
            _learned(params, data, source),
            learning.rescaled(0.1 * identity, data),
            _learned(params, flips, source),
        ]
        fresh = gaussian_triplets(truth, m, params.label_flip, source)
        right = [((logits(f, fresh.u, fresh.v) > 0) == (fresh.y > 0.5)).double().mean(-1) for f in factors]
        losses = [learning.loss(f, fresh) for f in factors]
        found.append((torch.stack(right), torch.stack(losses)))
    accuracy, loss = (numpy(torch.cat(column, dim=1)) for column in zip(*found, strict=True))
    truth = truth[0]
    errors, dependences, spreads = [], [], []
    for population in POPULATIONS:
        x = individuals(population, (3, QUESTIONS, params.d), source)
        u, v = triplet_design(*x)
        difference = squared_distance(truth, x[0], x[2]) - squared_distance(truth, x[0], x[1])
        errors.append((difference - logits(truth, u, v)).abs().max() / difference.std())
        dependences.append(dependence(u, v))
        spreads.append(difference.std())
    return Model(
        identity=numpy(torch.stack(errors)),
        dependence=numpy(torch.stack(dependences)),
        std=float(spreads[0]),
        m=m,
        accuracy=accuracy,
        regret=loss - loss[0],
    )


# --- the spectral start -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spectral:
    """What the moment matrix knows."""

    #: numbers of triplets, ``(K,)``
    sizes: np.ndarray
    #: sine of the largest angle between the top eigenspace and the range of ``M*``, for FEATURES_OF, ``(2, K, B)``
    sine: np.ndarray
    #: smallest eigenvalues of ``M*`` that are compared, ``(N,)``
    scales: np.ndarray
    #: standard deviation of the logits at each, ``(N,)``
    std: np.ndarray
    #: eigenvalues of ``M*`` at each, ``(N, r)``
    lam: np.ndarray
    #: eigenvalues of the expected moment matrix, ``(N, r)``
    predicted: np.ndarray
    #: all eigenvalues of the moment matrices at ``n_triplets``, decreasing, ``(N, B, d)``
    spectrum: np.ndarray
    #: the moment matrices along the true eigenvectors, ``q' S q``, ``(N, B, r)``
    along: np.ndarray
    #: relative Procrustes distance of the raw and of the rescaled start, ``(2, N, B)``
    start_error: np.ndarray
    #: number of triplets behind ``spectrum`` and ``along``
    m: int
    #: curve_lam, curve: shrinkage at rank 1, ``(G,)`` each
    curve_lam: np.ndarray
    curve: np.ndarray


@experiment
def spectral(params: Parameters) -> Spectral:
    """C2: angles against the number of triplets, eigenvalues against their expectation, starts against the truth."""
    source = random_numbers(params, 2)
    sines = []
    for part in chunks(params.seeds, params.ms[-1], params.d):
        batch = part.stop - part.start
        truth = ground_truth(batch, params.d, params.rank, params.scale, params.cond, source)
        data = gaussian_triplets(truth, params.ms[-1], params.label_flip, source)
        unequal = gaussian_triplets(truth, params.ms[-1], params.label_flip, source, spread(params.d, truth))
        for kind in (data, unequal):
            tops = [learning.top_eigenpairs(learning.moment_matrix(kind.first(m)), params.rank)[1] for m in params.ms]
            sines.append(np.sin(_largest_angle(numpy(torch.stack(tops)), numpy(truth))))
    sine = np.stack([np.concatenate(sines[kind::2], axis=-1) for kind in range(2)])
    spectra, errors, along = [], [], []
    for scale in params.noise_scales:
        parts = []
        for part in chunks(params.seeds, params.m, params.d):
            truth = ground_truth(part.stop - part.start, params.d, params.rank, scale, params.cond, source)
            data = gaussian_triplets(truth, params.m, params.label_flip, source)
            starts = torch.stack([learning.spectral_init(data, params.rank, rescale) for rescale in (False, True)])
            error = learning.procrustes_distance(starts, truth) / torch.linalg.matrix_norm(truth)
            moment = learning.moment_matrix(data)
            frame = truth / torch.linalg.vector_norm(truth, dim=-2, keepdim=True)
            parts.append((torch.linalg.eigvalsh(moment).flip(-1), (frame * (moment @ frame)).sum(-2), error.mT))
        spectrum, quotient, error = (numpy(torch.cat(column)) for column in zip(*parts, strict=True))
        spectra.append(spectrum)
        along.append(quotient)
        errors.append(error.T)
    lam = np.stack([eigenvalues(params.rank, scale, params.cond).numpy() for scale in params.noise_scales])
    curve_lam = np.geomspace(1e-2, 10, 61)
    return Spectral(
        sizes=np.array(params.ms),
        sine=sine,
        scales=np.array(params.noise_scales),
        std=np.sqrt(12) * np.linalg.norm(lam, axis=-1),
        lam=lam,
        predicted=(1 - 2 * params.label_flip) * shrinkage(lam),
        spectrum=np.stack(spectra),
        along=np.stack(along),
        start_error=np.stack(errors, axis=1),
        m=params.m,
        curve_lam=curve_lam,
        curve=shrinkage(curve_lam[:, None])[:, 0],
    )


def _largest_angle(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Largest principal angle between column spaces, ``(K, B, d, r)`` against ``(B, d, r)``."""
    return np.array([[subspace_angles(a, b)[0] for a, b in zip(row, truth, strict=True)] for row in frames])


# --- convergence ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convergence:
    """Gradient descent from four starts on the same answers."""

    #: names of the starts, ``(S,)``; after them the spectral start of coin flips
    starts: tuple[str, ...]
    #: Procrustes distance to ``U*`` over ``||U*||``, ``(T + 1, S + 1, B)``
    to_truth: np.ndarray
    #: to the sample's own optimum, over the same, ``(T + 1, S + 1, B)``
    to_optimum: np.ndarray
    #: distance to its own optimum of a factor with one column too many, over that optimum's norm, ``(T + 1, B'')``
    one_too_many: np.ndarray
    #: of the sample's optimum to ``U*``, over the same, ``(B,)``
    floor: np.ndarray
    #: relative error of ``M`` when the factor has one column too few, and with all of them, ``(2, B)``
    low_rank_error: np.ndarray

    def steps_to_floor(self, slack: float = 1.2) -> np.ndarray:
        """First step at which the distance to the truth is at most ``slack`` times the floor, ``(S + 1, B)``.

        One for a start that is there already, the number of steps for a run that never gets there.
        """
        there = self.to_truth <= slack * self.floor
        first = np.where(there.any(0), there.argmax(0), len(self.to_truth) - 1)
        return np.maximum(first, 1)


@experiment
def convergence(params: Parameters) -> Convergence:
    """C3: the four starts side by side, a rank that is too large and one that is too small."""
    source = random_numbers(params, 3)
    found = []
    for part in chunks(params.seeds, params.m, params.d):
        truth = ground_truth(part.stop - part.start, params.d, params.rank, params.scale, params.cond, source)
        data = gaussian_triplets(truth, params.m, params.label_flip, source)
        found.append(_descents(params, truth, data, source))
    path, optimum, wide, floor, rank_error = (np.concatenate(column, axis=-1) for column in zip(*found, strict=True))
    return Convergence(STARTS, path, optimum, wide, floor, rank_error)


def _descents(
    params: Parameters, truth: torch.Tensor, data: Triplets, source: torch.Generator
) -> tuple[np.ndarray, ...]:
    spectral = learning.spectral_init(data, params.rank)
    starts = [learning.start_factor(init, data, spectral, source) for init in STARTS]
    coin = Triplets(data.u, data.v, torch.bernoulli(torch.full_like(data.y, 0.5), generator=source))
    norm = torch.linalg.matrix_norm(truth)
    # the eigenvectors alone: the eigenvalues of coin flips may all be negative
    blind = learning.top_eigenpairs(learning.moment_matrix(coin), params.rank)[1]
    blind = blind * (torch.linalg.matrix_norm(spectral) / params.rank**0.5)[:, None, None]
    size = learning.squared_norm(spectral)
    run = learning.factored_gd(
        torch.stack([*starts, blind]), data, params.path_steps, params.step_c, size=size, keep=True
    )
    near = run.last[STARTS.index("spectral_rescaled")][None]
    optimum = learning.factored_gd(near, data, MANY_STEPS, size=size).last[0]
    wide = np.empty((params.path_steps + 1, 0))
    if params.rank < params.d:
        wide = _one_column_too_many(params, data.part(slice(0, WIDE_BATCH)))
    errors = [torch.full_like(norm, torch.nan), learning.metric_error(optimum, truth)]
    if params.rank > 1:
        errors[0] = learning.metric_error(learning.learn(data, params.rank - 1, params.path_steps), truth)
    return (
        numpy(learning.procrustes_distance(run.path, truth) / norm),
        numpy(learning.procrustes_distance(run.path, optimum) / norm),
        wide,
        numpy(learning.procrustes_distance(optimum, truth) / norm),
        numpy(torch.stack(errors)),
    )


def _one_column_too_many(params: Parameters, data: Triplets) -> np.ndarray:
    """Distances of descent with rank + 1 columns to where it ends, ``(T + 1, B)``."""
    start = learning.spectral_init(data, params.rank + 1)
    size = learning.squared_norm(start)
    run = learning.factored_gd(start[None], data, params.path_steps, params.step_c, size=size, keep=True)
    end = learning.factored_gd(run.last, data, WIDE_STEPS, params.step_c, size=size).last[0]
    distance = learning.procrustes_distance(run.path[:, 0], end) / torch.linalg.matrix_norm(end).clamp_min(1e-300)
    return numpy(distance)


# --- rates ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """Error of the learned metric against numbers of triplets and dimensions, and the learned metrics themselves."""

    #: sizes, dims: ``(K,)``, ``(D,)``
    sizes: np.ndarray
    dims: np.ndarray
    #: relative Frobenius error of ``M``, for STARTS_OF_RATES, ``(3, K, B')``, B' of rate_seeds
    error_m: np.ndarray
    #: learned with rank r, and logistic regression for the whole matrix, ``(2, D, B)``; the latter for a few metrics
    #: in the first dimensions, NaN elsewhere
    error_d: np.ndarray
    #: truth, factor: ``U*`` ``(B', d, r)`` and the factors learned from ``sizes`` triplets, ``(K, B', d, r)``
    truth: np.ndarray
    factor: np.ndarray
    #: the factor learned from ``n_triplets``, ``(B', d, r)``
    at_default: np.ndarray


@experiment
def rates(params: Parameters) -> Rates:
    """C4: how many answers are needed. Smaller samples are the beginnings of the largest one."""
    source = random_numbers(params, 4)
    largest = max(params.ms[-1], params.m)
    truths, factors, errors, defaults = [], [], [], []
    for part in chunks(params.rate_seeds, largest, params.d):
        truth = ground_truth(part.stop - part.start, params.d, params.rank, params.scale, params.cond, source)
        data = gaussian_triplets(truth, largest, params.label_flip, source)
        found = {}
        for m in sorted({*params.ms, params.m}):
            some = data.first(m)
            raw = learning.spectral_init(some, params.rank, rescale=False)
            start = learning.rescaled(raw, some)
            found[m] = torch.stack([_learned(params, some, source, start), start, raw])
        at_sizes = torch.stack([found[m] for m in params.ms], dim=1)
        truths.append(truth)
        factors.append(at_sizes[0])
        defaults.append(found[params.m][0])
        errors.append(learning.metric_error(at_sizes, truth))
    return Rates(
        sizes=np.array(params.ms),
        dims=np.array(params.ds),
        error_m=numpy(torch.cat(errors, dim=-1)),
        error_d=np.stack([_error_in(params, d, source) for d in range(len(params.ds))], axis=1),
        truth=numpy(torch.cat(truths)),
        factor=numpy(torch.cat(factors, dim=1)),
        at_default=numpy(torch.cat(defaults)),
    )


def _error_in(params: Parameters, index: int, source: torch.Generator) -> np.ndarray:
    """Error in one dimension, learned and by the convex baseline, ``(2, B)``."""
    d, parts = params.ds[index], []
    for part in chunks(params.seeds, params.m, d):
        truth = ground_truth(part.stop - part.start, d, params.rank, params.scale, params.cond, source)
        data = gaussian_triplets(truth, params.m, params.label_flip, source)
        error = learning.metric_error(_learned(params, data, source), truth)
        whole = torch.full_like(error, torch.nan)
        # its cost grows with d^2, its scatter falls: more metrics in smaller dimensions
        last = params.ds[min(CONVEX_DIMS, len(params.ds)) - 1]
        few = slice(0, max(0, int(CONVEX_BATCH * (last / d) ** 2) - part.start))
        if index < CONVEX_DIMS and few.stop:
            whole[few] = learning.matrix_error(
                learning.convex_logistic(Triplets(data.u[few], data.v[few], data.y[few]), CONVEX_STEPS), truth[few]
            )
        parts.append(torch.stack([error, whole]))
    return numpy(torch.cat(parts, dim=-1))


# --- annotators who err -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Annotators:
    """Extension: answers that are turned round at random, beyond the model's own noise."""

    #: chances, ``(F,)``
    flips: np.ndarray
    #: ``||M|| / ||M*||`` in the Frobenius norm, ``(F, B)``
    size: np.ndarray
    #: relative error of ``M`` after the best rescaling, ``(F, B)``
    shape_error: np.ndarray
    #: without it, ``(F, B)``
    error: np.ndarray


@experiment
def annotators(params: Parameters) -> Annotators:
    """Which part of the metric survives careless annotators: the same questions, more and more answers turned."""
    source = random_numbers(params, 5)
    columns = []
    for part in chunks(params.seeds, params.m, params.d):
        truth = ground_truth(part.stop - part.start, params.d, params.rank, params.scale, params.cond, source)
        data = gaussian_triplets(truth, params.m, 0.0, source)
        z = logits(truth, data.u, data.v)
        target = truth @ truth.mT
        rows = []
        for flip in params.flips:
            factor = _learned(params, Triplets(data.u, data.v, answers(z, flip, source)), source)
            metric = factor @ factor.mT
            overlap, power = (metric * target).sum((-2, -1)), metric.square().sum((-2, -1))
            whole = target.square().sum((-2, -1))
            shape = (1 - overlap**2 / (power * whole).clamp_min(1e-300)).clamp_min(0).sqrt()
            rows.append([numpy((power / whole).sqrt()), numpy(shape), numpy(learning.metric_error(factor, truth))])
        columns.append(np.array(rows))
    size, shape, error = np.concatenate(columns, axis=-1).swapaxes(0, 1)
    return Annotators(np.array(params.flips), size, shape, error)
