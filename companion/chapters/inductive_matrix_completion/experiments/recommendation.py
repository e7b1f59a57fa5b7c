"""Ratings: what side information is worth, by how many ratings are seen."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.inductive_matrix_completion.completion import Sample
from companion.chapters.inductive_matrix_completion.parameters import Parameters
from companion.chapters.inductive_matrix_completion.ratings import (
    Fit,
    Ratings,
    biases,
    factorize,
    most_active,
    side_information,
    stand_in,
)
from companion.data import DatasetNotFoundError, load_dataset
from companion.results import experiment

METHODS = ("mean", "biases", "MC", "IMC, genres", "IMC, subspace", "IMC, random features", "interpolation")
GRID = [Fit(rank, ridge) for rank in (1, 2) for ridge in (0.3, 2.0, 12.0)]
WEIGHTS = (30.0, 300.0)


@dataclass(frozen=True)
class Films:
    """Root-mean-square errors on ratings that nothing was fitted to."""

    #: ``"movielens-small"`` or ``"stand-in"``
    name: str
    #: what was used, in words
    described: str
    #: shares of the ratings to be completed that are seen, ``(F,)``
    fraction: np.ndarray
    #: how many ratings these are, ``(F,)``
    count: np.ndarray
    #: errors of :data:`METHODS`, ``(methods, F, splits)``
    rmse: np.ndarray

    def of(self, method: str) -> np.ndarray:
        """Errors of one method, ``(F, splits)``."""
        return self.rmse[METHODS.index(method)]

    def ahead(self, method: str) -> np.ndarray:
        """Lead of a method over the better of MC and the mean, which a validation could choose: ``(F, splits)``."""
        return np.minimum(self.of("MC"), self.of("mean")) - self.of(method)


def _ratings(params: Parameters) -> tuple[Ratings, str, str]:
    if params.ratings != "stand-in":
        try:
            data = load_dataset("movielens-small")
        except DatasetNotFoundError:
            if params.ratings != "auto":
                raise
        else:
            return most_active(data, params.users, params.users), "movielens-small", data.describe()
    found = stand_in(params.rng(21), params.users, params.users)
    return found, "stand-in", f"synthetic ratings in place of MovieLens: {len(found.rating)} ratings"


def _joined(parts: list[Ratings]) -> tuple[Sample, np.ndarray]:
    """Ratings of several runs as one sample, each around its mean; and the means."""
    mean = np.array([part.rating.mean() for part in parts])
    run = np.repeat(np.arange(len(parts)), [len(part.rating) for part in parts])
    user, movie, rating = (np.concatenate([getattr(p, name) for p in parts]) for name in ("user", "movie", "rating"))
    share = [len(part.rating) / part.users / len(part.year) for part in parts]
    arrays = (run, user, movie, rating - mean[run], np.array(share))
    return Sample(*(torch.from_numpy(array) for array in arrays)), mean


def _rmse(guess: np.ndarray, on: Ratings) -> float:
    return float(np.sqrt(np.mean((np.clip(guess, 0.5, 5) - on.rating) ** 2)))


def _fitted(train: list[Ratings], judge: list[Ratings], X, Y, toward, fits: list[Fit]) -> np.ndarray:
    """Error of each fit, trained on one part of the ratings and judged on another."""
    sample, mean = _joined(train)
    A, B = factorize(sample, X, Y, (train[0].users, len(train[0].year)), fits, toward)
    A, B = A.numpy(), B.numpy()
    return np.array([_rmse(mean[k] + (A[on.user, k] * B[on.movie, k]).sum(-1), on) for k, on in enumerate(judge)])


def _chosen(train: list[Ratings], test: Ratings, X, Y, toward=None) -> np.ndarray:
    """Test error for each training set, rank, ridge and weight chosen on a quarter of that training set."""
    grid = GRID if toward is None else [Fit(fit.rank, fit.ridge, lam) for fit in GRID for lam in WEIGHTS]
    cut = [(3 * len(part.rating)) // 4 for part in train]
    early = [part.take(np.arange(c)) for part, c in zip(train, cut, strict=True)]
    late = [part.take(np.arange(c, len(part.rating))) for part, c in zip(train, cut, strict=True)]
    repeated = [[part for part in parts for _ in grid] for parts in (early, late)]
    error = _fitted(*repeated, X, Y, toward, grid * len(train)).reshape(len(train), -1)
    best = [grid[k] for k in error.argmin(1)]
    return _fitted(train, [test] * len(train), X, Y, toward, best)


def _split(ratings: Ratings, fractions: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Errors of all methods on one split: half for side information, a tenth for the test, the rest for training."""
    order = rng.permutation(len(ratings.rating))
    half = len(order) // 2
    known, rest = ratings.take(order[:half]), order[half:]
    test, pool = ratings.take(rest[: len(rest) // 5]), rest[len(rest) // 5 :]
    train = [ratings.take(pool[: max(20, round(f / 0.8 * len(pool)))]) for f in fractions]
    sides = {kind: side_information(known, kind, rng) for kind in ("genre", "subspace", "random")}
    simple = []
    for part in train:
        mean, of_user, of_movie = biases(part)
        flat = np.full(len(test.rating), mean)
        simple.append((_rmse(flat, test), _rmse(flat + of_user[test.user] + of_movie[test.movie], test)))
    rows = [*np.array(simple).T, _chosen(train, test, None, None)]
    rows += [_chosen(train, test, *sides[kind]) for kind in ("genre", "subspace", "random")]
    rows.append(_chosen(train, test, None, None, toward=sides["subspace"]))
    return np.array(rows), np.array([len(part.rating) for part in train])


@experiment
def films(params: Parameters) -> Films:
    """All methods on random splits of the ratings, on the CPU: the arrays are small."""
    ratings, name, described = _ratings(params)
    fractions = np.array(sorted(set(params.fractions)))
    splits = [_split(ratings, fractions, params.rng(22, k)) for k in range(params.splits)]
    rmse = np.stack([errors for errors, _ in splits], -1)
    return Films(name=name, described=described, fraction=fractions, count=splits[0][1], rmse=rmse)
