"""Ratings of films: MovieLens or its stand-in, side information from ratings kept apart, and the methods compared."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.inductive_matrix_completion.completion import (
    Features,
    Pair,
    Sample,
    give,
    lift,
    pull,
    shrink,
    spectral_start,
    take,
)
from companion.data import Dataset

SHRINKAGE = 5.0  # ratings at the overall mean that a mean of few ratings is averaged with
DIRECTIONS = 8  # singular vectors in the features that come from a subspace


@dataclass(frozen=True)
class Ratings:
    """Ratings by ``users`` users of ``movies`` films, from 0.5 to 5 in half steps."""

    #: user, movie, rating: one entry for each rating, ``(M,)``
    user: np.ndarray
    movie: np.ndarray
    rating: np.ndarray
    #: genres: of the films, true or false, ``(movies, G)``
    genres: np.ndarray
    #: year: of the films, 0 if unknown, ``(movies,)``
    year: np.ndarray
    #: how many users there are
    users: int

    def take(self, chosen: np.ndarray) -> "Ratings":
        """Some of the ratings, about the same users and films."""
        return Ratings(self.user[chosen], self.movie[chosen], self.rating[chosen], self.genres, self.year, self.users)


def most_active(data: Dataset, users: int, movies: int) -> Ratings:
    """The most rated films of a data set, and the users who rated most of these."""
    user, movie = data.x_train.T
    films = np.argsort(-np.bincount(movie), kind="stable")[:movies]
    place = np.full(movie.max() + 1, -1)
    place[films] = np.arange(len(films))
    kept = place[movie] >= 0
    people = np.argsort(-np.bincount(user[kept], minlength=user.max() + 1), kind="stable")[:users]
    seat = np.full(user.max() + 1, -1)
    seat[people] = np.arange(len(people))
    kept &= seat[user] >= 0
    genres = data.extra.get("genres", np.zeros((place.size, 0), bool))[films]
    year = data.extra.get("year", np.zeros(place.size, np.int64))[films]
    return Ratings(seat[user[kept]], place[movie[kept]], data.y_train[kept], genres, year, len(people))


def stand_in(rng: np.random.Generator, users: int, movies: int) -> Ratings:
    """Synthetic ratings with what matters of real ones: popular films, active users, biases, tastes, noise, a grid.

    Films lie in a plane, mostly by their genres; what a user thinks of a film is its quality, the user's mildness, and
    how far the film lies in the direction of the user's taste.
    """
    genres = rng.random((movies, 10)) < rng.uniform(0.1, 0.4, 10)
    place = (genres - genres.mean(0)) @ rng.normal(size=(10, 2)) + 0.5 * rng.normal(size=(movies, 2))
    taste = rng.normal(size=(users, 2)) * np.array([0.55, 0.4])
    opinion = 3.6 + 0.35 * rng.normal(size=(users, 1)) + 0.35 * rng.normal(size=movies)
    opinion += taste @ (place / place.std(0)).T
    heard = np.exp(0.7 * rng.normal(size=(users, 1)) + 0.6 * rng.normal(size=movies))
    seen = rng.random((users, movies)) < np.minimum(0.32 * heard / heard.mean(), 0.95)
    user, movie = np.nonzero(seen)
    noisy = opinion[user, movie] + 0.6 * rng.normal(size=len(user))
    rating = np.clip(np.rint(2 * noisy) / 2, 0.5, 5)
    return Ratings(user, movie, rating, genres, rng.integers(1950, 2016, movies), users)


def shrunken(index: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Mean of ``values`` for each index, drawn towards zero where there are few."""
    count = np.bincount(index, minlength=size)
    return np.bincount(index, weights=values, minlength=size) / (count + SHRINKAGE)


def biases(known: Ratings, sweeps: int = 10) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean, and shrunken deviations of users and of films, by alternating."""
    mean = known.rating.mean()
    of_user, of_movie = np.zeros(known.users), np.zeros(len(known.year))
    for _ in range(sweeps):
        of_movie = shrunken(known.movie, known.rating - mean - of_user[known.user], len(of_movie))
        of_user = shrunken(known.user, known.rating - mean - of_movie[known.movie], len(of_user))
    return mean, of_user, of_movie


def orthonormal_columns(raw: np.ndarray) -> torch.Tensor:
    """An orthonormal basis of the columns' span, columns that the others explain left out."""
    U, s, _ = np.linalg.svd(raw / np.linalg.norm(raw, axis=0).clip(1e-12), full_matrices=False)
    return torch.from_numpy(U[:, s > 1e-6 * s[0]].copy())


def side_information(known: Ratings, kind: str, rng: np.random.Generator) -> Pair:
    """Features of users and of films from ratings that the completion never sees.

    Parameters
    ----------
    known : the ratings kept apart
    kind : ``"genre"``: means, genres and decades of the films, the users' mean residual for each genre;
        ``"subspace"``: means and the leading singular vectors of the residuals; ``"random"``: as many random ones
    """
    mean, of_user, of_movie = biases(known)
    users, movies = len(of_user), len(of_movie)
    rest = known.rating - mean - of_user[known.user] - of_movie[known.movie]
    if kind == "genre":
        chosen = known.genres[:, known.genres.sum(0) > 2]
        decades = np.stack([known.year < 1980, (known.year >= 1980) & (known.year < 1990), known.year >= 2000], 1)
        told = np.concatenate([chosen, decades[:, decades.any(0)]], 1)
        taste = [shrunken(known.user[of], rest[of], users) for of in chosen.T[:, known.movie]]
        left, right = np.array(taste).reshape(-1, users).T, told.astype(float)
    elif kind == "subspace":
        matrix = np.zeros((users, movies))
        matrix[known.user, known.movie] = rest
        U, _, V = np.linalg.svd(matrix, full_matrices=False)
        left, right = U[:, :DIRECTIONS], V[:DIRECTIONS].T
    else:
        columns = min(DIRECTIONS, users - 2, movies - 2)
        return tuple(orthonormal_columns(rng.normal(size=(size, columns + 2))) for size in (users, movies))
    return (
        orthonormal_columns(np.column_stack([np.ones(users), of_user, left])),
        orthonormal_columns(np.column_stack([np.ones(movies), of_movie, right])),
    )


@dataclass(frozen=True)
class Fit:
    """How one factorization is fitted: rank 1 or 2, ridge, and weight of the penalty that draws to the features."""

    rank: int
    ridge: float
    lam: float = 0.0


def factorize(
    sample: Sample,
    X: Features,
    Y: Features,
    shape: tuple[int, int],
    fits: list[Fit],
    toward: Pair | None = None,
    iters: int = 70,
) -> Pair:
    """Minimize ``sum of squared errors / 2 + ridge (|U|^2 + |V|^2) / 2 + penalty`` by steps in ``U`` and ``V`` in turn.

    A step in one factor has length one over a bound of its curvature: the largest number of ratings in a row, times
    the longest row of the other factor.

    Returns
    -------
    ``A (users, runs, 2)`` and ``B (movies, runs, 2)``
    """
    rank = torch.tensor([fit.rank for fit in fits])
    ridge, lam = (torch.tensor([getattr(fit, name) for fit in fits], dtype=torch.float64) for name in ("ridge", "lam"))
    used = torch.arange(2) < rank[:, None]
    start = spectral_start(sample, *(toward or (X, Y)), shape, 2)[:2]
    A, B = (lift(P, F) * used for P, F in zip(toward or (X, Y), start, strict=True))
    runs = len(fits)

    counts = [
        torch.bincount(places, minlength=size * runs).view(size, runs).amax(0)
        for places, size in zip((sample.of_rows, sample.of_cols), shape, strict=True)
    ]

    def half(P: Features, F: torch.Tensor, G: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor,
             count: torch.Tensor, draw: torch.Tensor | None) -> torch.Tensor:  # fmt: skip
        seen = take(G, theirs)
        error = (take(F, ours) * seen).sum(-1) - sample.value
        length = 1 / (count * (G**2).sum(-1).amax(0) + ridge)
        slope = lift(P, pull(P, give(error, seen, ours, *F.shape[:2]))) + ridge[:, None] * F
        F = F - length[:, None] * slope
        return F if draw is None else shrink(draw, F, length * lam)

    left, right = toward or (None, None)
    for _ in range(iters):
        A = half(X, A, B, sample.of_rows, sample.of_cols, counts[0], left)
        B = half(Y, B, A, sample.of_cols, sample.of_rows, counts[1], right)
    return A, B
