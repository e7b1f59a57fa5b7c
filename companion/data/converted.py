"""Arrays that took a pickle to get, kept in our cache as ``.npz`` so that no later run unpickles the same file again.

A copy is named after the hash of what it was made from, which the caller has verified, and carries a hash of its own
arrays. A damaged copy is made anew.
"""

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from companion.data.parts import array_digest, joint_digest
from companion.data.places import cache_folder
from companion.data.sources import Source

_OWN_HASH = "sha256"


def converted(source: Source, origin: str, convert: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays made from a file of hash ``origin``: from the cache, else by ``convert()``, which fills the cache."""
    path = cache_folder(source.name) / f"{origin[:16]}.npz"
    arrays = _read(path, source.most_bytes)
    if arrays is None:
        arrays = convert()
        _write(path, arrays)
    return arrays


def _hash(arrays: dict[str, np.ndarray]) -> str:
    return joint_digest({name: f"{name} {a.dtype} {a.shape} {array_digest(a)}" for name, a in arrays.items()})


def _read(path: Path, limit: int) -> dict[str, np.ndarray] | None:
    try:
        if not path.is_file():
            return None
        with zipfile.ZipFile(path) as archive:  # whose members give no more bytes than its table of contents says
            if sum(member.file_size for member in archive.infolist()) > limit:
                return None
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    own = arrays.pop(_OWN_HASH, None)
    return arrays if own is not None and str(own) == _hash(arrays) else None


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays, **{_OWN_HASH: np.array(_hash(arrays))})
        os.replace(temporary, path)
    except OSError:  # a home that cannot be written to costs time, not the result
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
