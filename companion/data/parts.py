"""What the readers of the formats hand to the loader, and the hashes they check."""

import codecs
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from companion.data.errors import DatasetCorruptError, NotHere
from companion.data.sources import Source


@dataclass(frozen=True)
class Parts:
    """A dataset as it lies in its files.

    Attributes
    ----------
    x_train, y_train : examples and targets; all of them where the publisher draws no line
    x_test, y_test : the publisher's test part, or ``None``
    sha256 : hash of the content
    path : file or folder they came from, or ``None`` for what ships in a package
    extra : further arrays
    source, licence, citation : replace the place's label and the table's words, where the reader knows better
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    sha256: str
    path: Path | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    source: str | None = None
    licence: str | None = None
    citation: str | None = None


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def array_digest(array: np.ndarray) -> str:
    """SHA-256 of an array's values: little-endian, in C order, whatever the machine and the array's layout."""
    return digest(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())


def joint_digest(digests: Mapping[str, str]) -> str:
    """One hash for a dataset of several files or arrays: of their hashes, one per line, in the table's order."""
    return digest("\n".join(digests.values()).encode())


def corrupt(name: str, what: str, why: str, *, expected: str, got: str, path: Path | None) -> DatasetCorruptError:
    """The error for content that is not the dataset's."""
    lines = [f"{name!r} cannot be read: {what} is not the dataset's file ({why}).", f"expected SHA-256 {expected}"]
    lines.append(f"got              {got}")
    if path is not None:
        lines += [f"path             {path}", "The file is left untouched; delete it or point elsewhere."]
    return DatasetCorruptError("\n  ".join(lines))


def too_large(name: str, what: str, limit: int, path: Path) -> DatasetCorruptError:
    """The error for a file that holds more bytes than the dataset's can."""
    return DatasetCorruptError(
        f"{name!r} cannot be read: {what} is too large to be the dataset's (more than {limit} bytes).\n"
        f"  path {path}\n  The file is left untouched; delete it or point elsewhere."
    )


def read_at_most(source: Source, path: Path, limit: int) -> bytes:
    """A file's content, of which no more is read than the dataset's file can hold.

    Raises
    ------
    DatasetCorruptError
        If it holds more.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, limit) + 1) if size <= limit else b""  # one byte more: it may be growing
    if max(size, len(content)) > limit:
        raise too_large(source.name, path.name, limit, path)
    return content


def without_mark(source: Source, what: str, path: Path, content: bytes) -> bytes:
    """Text without the byte order mark that some editors put before it.

    Raises
    ------
    DatasetCorruptError
        If the mark is that of UTF-16 or UTF-32.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise DatasetCorruptError(
            f"{source.name!r} cannot be read: {what} begins with the byte order mark of UTF-16 or UTF-32, "
            f"save it as UTF-8.\n  path {path}\n  The file is left untouched."
        )
    return content.removeprefix(codecs.BOM_UTF8)


def verified(source: Source, folder: Path, name: str) -> bytes:
    """A file's content, given that its hash is the table's.

    Raises
    ------
    NotHere
        If the folder has no such file.
    DatasetCorruptError
        If the hash is another one, or the file is too large to have it.
    """
    path = folder / name
    if not path.is_file():
        raise NotHere("no file")
    content = read_at_most(source, path, source.most_bytes)
    got, expected = digest(content), source.hashes[name]
    if got != expected:
        raise corrupt(
            source.name, name, "it has another hash, and was not opened", expected=expected, got=got, path=path
        )
    return content
