"""The IDX format of MNIST and its relatives.

Big-endian: two zero bytes, a type byte (``0x08`` for unsigned bytes), the number of dimensions, each dimension as a
32-bit integer, then the values row by row.

>>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
array([7, 9], dtype=uint8)
"""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from companion.data.errors import DatasetCorruptError, NotHere
from companion.data.parts import Parts, corrupt, digest, joint_digest, read_at_most, too_large
from companion.data.sources import SOURCES, Source

_UNSIGNED_BYTE = 0x08


def parse_idx(content: bytes) -> np.ndarray:
    """The array of unsigned bytes that an IDX file holds.

    Raises
    ------
    ValueError
        For a wrong magic number, or a length that is not the header's.
    """
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _UNSIGNED_BYTE or magic[3] == 0:
        raise ValueError(f"its first bytes are {magic.hex(' ') or 'missing'}, not the magic number of IDX bytes")
    start = 4 + 4 * magic[3]
    if len(content) < start:
        raise ValueError(f"it ends within its header, after {len(content)} of {start} bytes")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) != start + math.prod(shape):
        wanted = start + math.prod(shape)
        raise ValueError(f"it holds {len(content)} bytes, its header of shape {shape} announces {wanted}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_folder(source: Source, folder: Path) -> Parts:
    """A dataset of four IDX files, each plain or compressed, checked against the table.

    Raises
    ------
    NotHere
        If the folder lacks some of the files, or holds all those of another dataset of the table: MNIST and its
        relatives share their file names.
    DatasetCorruptError
        If a file's content is not the dataset's.
    """
    paths = {name: _locate(folder, name) for name in source.hashes}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise NotHere(f"{len(paths) - len(missing)} of {len(paths)} files" if len(missing) < len(paths) else "no file")
    contents = {name: _read(source, path, _most_bytes(source, name)) for name, path in paths.items()}
    digests = {name: digest(content) for name, content in contents.items()}
    wrong = [name for name in paths if digests[name] != source.hashes[name]]
    if wrong:
        owners = {name: _owner(name, digests[name]) for name in paths}
        name = wrong[0]
        if owners[name] and len(set(owners.values())) == 1:
            raise NotHere(f"holds {owners[name]}")
        why = f"it is that of {owners[name]}" if owners[name] else _what_is_wrong(contents[name])
        raise corrupt(
            source.name, paths[name].name, why, expected=source.hashes[name], got=digests[name], path=paths[name]
        )
    arrays = [parse_idx(contents[name]) for name in source.hashes]
    return Parts(*arrays, sha256=joint_digest(digests), path=folder)


def _locate(folder: Path, name: str) -> Path | None:
    names = (name, name.replace("-idx", ".idx"))  # some mirrors write the dot that the format's page writes
    candidates = (folder / f"{one}{ending}" for one in names for ending in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _most_bytes(source: Source, name: str) -> int:
    """Size of the dataset's file: a header, and a byte for each label or pixel."""
    n = max(source.n_train, source.n_test)
    return 16 + n * (math.prod(source.shape) if "images" in name else 1)


def _read(source: Source, path: Path, limit: int) -> bytes:
    """The content, uncompressed; a small file that inflates to a large one is left before it does."""
    if path.suffix != ".gz":
        return read_at_most(source, path, limit)
    packed = read_at_most(source, path, limit + 2**20)  # what cannot be compressed grows a little
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            content = file.read(limit + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetCorruptError(
            f"{source.name!r} cannot be read: {path.name} cannot be decompressed ({error}).\n  path {path}\n"
            "  The file is left untouched; delete it or point elsewhere."
        ) from error
    if len(content) > limit:
        raise too_large(source.name, path.name, limit, path)
    return content


def _owner(name: str, sha256: str) -> str | None:
    return next((source.name for source in SOURCES.values() if source.hashes.get(name) == sha256), None)


def _what_is_wrong(content: bytes) -> str:
    try:
        parse_idx(content)
    except ValueError as error:
        return str(error)
    return "it is well formed, but holds other values"
