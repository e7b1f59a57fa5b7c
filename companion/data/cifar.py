"""CIFAR-10 and CIFAR-100 from the publisher's archive of pickled batches.

A pickle can run any code, so the archive is unpickled only after its hash matched, from the very bytes that were
hashed. Its members are read in memory: nothing is unpacked to disk.
"""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np

from companion.data.converted import converted
from companion.data.parts import Parts, verified
from companion.data.sources import Source

_TRAIN = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "train")
_TEST = ("test_batch", "test")
_LABELS = (b"labels", b"fine_labels")


def read_folder(source: Source, folder: Path) -> Parts:
    """The dataset, from the archive in a folder.

    Raises
    ------
    NotHere
        If the folder has no such archive.
    DatasetCorruptError
        If the archive's hash is another one; it is not opened then.
    """
    ((name, expected),) = source.hashes.items()
    content = verified(source, folder, name)
    arrays = converted(source, expected, lambda: _unpickle(content))
    return Parts(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"], expected, folder / name)


def _unpickle(content: bytes) -> dict[str, np.ndarray]:
    batches = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            if member.isfile() and name in (*_TRAIN, *_TEST):
                batches[name] = pickle.load(archive.extractfile(member), encoding="bytes")
    arrays = {}
    for part, names in (("train", _TRAIN), ("test", _TEST)):
        chosen = [batches[name] for name in names if name in batches]
        arrays[f"x_{part}"] = np.concatenate([batch[b"data"] for batch in chosen]).reshape(-1, 3, 32, 32)
        labels = [batch[key] for batch in chosen for key in _LABELS if key in batch]
        arrays[f"y_{part}"] = np.concatenate(labels).astype(np.uint8)
    return arrays
