"""Datasets that ship inside a package: scikit-learn's, and the bundled Fashion-MNIST stand-in."""

import zipfile
import zlib

import numpy as np

from companion.data import fashion_mini
from companion.data.errors import DatasetCorruptError
from companion.data.parts import Parts, array_digest, corrupt, joint_digest
from companion.data.sources import Source


def read_scikit_learn(source: Source) -> Parts:
    """One of scikit-learn's datasets, not yet split."""
    from sklearn import datasets  # its import costs more than all the rest here

    # the raw diabetes table: scaling it is arithmetic, whose last bits may differ between machines
    options = {"scaled": False} if source.name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{source.name}")(**options)
    kind = np.float64 if source.n_classes is None else np.int64
    arrays = {"data": np.asarray(bunch.data, np.float64), "target": np.asarray(bunch.target, kind)}
    sha256 = _check(source, arrays)
    return Parts(arrays["data"].reshape(-1, *source.shape), arrays["target"], None, None, sha256)


def read_fashion_mini(source: Source) -> Parts:
    """The bundled stand-in for Fashion-MNIST."""
    try:
        arrays = fashion_mini.read_bundled()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetCorruptError(
            f"{source.name!r} cannot be read: {fashion_mini.FILE} of this installation is missing or damaged ({error})."
        ) from error
    sha256 = _check(source, arrays)
    return Parts(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"], sha256)


def _check(source: Source, arrays: dict[str, np.ndarray]) -> str:
    digests = {name: array_digest(arrays[name]) if name in arrays else "no such array" for name in source.hashes}
    for name, expected in source.hashes.items():
        if digests[name] != expected:
            why = "the installed package carries other values"
            raise corrupt(source.name, name, why, expected=expected, got=digests[name], path=None)
    return joint_digest(digests)
