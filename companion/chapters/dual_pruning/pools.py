"""One data set in three scenarios: clean, with wrong labels, with damaged images."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.data import Dataset
from companion.data.corruptions import corrupt_images, symmetric_label_noise
from companion.data.preparation import stratified


@dataclass(frozen=True)
class Pool:
    """What all networks of a data set train on and are tested on. Validation and test images are never spoiled."""

    name: str
    classes: int
    x: torch.Tensor  #: (M, channels, side, side), standardized; rows 0..N-1 clean, then N damaged for each replica
    x_validation: torch.Tensor  #: (V, channels, side, side), of the training part, in no coreset
    y_validation: torch.Tensor  #: (V,)
    x_test: torch.Tensor  #: (n, channels, side, side)
    y_test: torch.Tensor  #: (n,)
    labels: dict[str, np.ndarray]  #: given labels (S, N) by scenario
    offset: dict[str, np.ndarray]  #: first row of ``x`` (S,) by scenario
    wrong: np.ndarray  #: (S, N), whether the label is wrong in the noise scenario
    kind: np.ndarray  #: (S, N), kind of damage in the corruption scenario, -1 for none

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return tuple(self.x.shape[1:])


def make_pool(
    dataset: Dataset,
    *,
    n_train: int,
    validation: int,
    replicas: int,
    label_noise: float,
    corruption: float,
    rng_split: np.random.Generator,
    rng_spoil: np.random.Generator,
    device: str,
) -> Pool:
    """Split off the validation part, spoil labels and images anew for each replica, and standardize by clean pixels.

    Parameters
    ----------
    dataset : images in [0, 1], all of its training part
    n_train, validation : samples to train on, each class in its share, and to choose settings by
    replicas : how often labels and images are spoiled
    label_noise, corruption : shares
    """
    train = stratified(dataset.y_train, n_train, rng_split)
    rest = np.setdiff1d(np.arange(len(dataset.y_train)), train)
    held_out = rng_split.permutation(rest)[:validation]
    clean, labels = dataset.x_train[train], dataset.y_train[train].astype(np.int64)
    noisy, wrong, damaged, kind = [], [], [], []
    for _ in range(replicas):
        y, mask = symmetric_label_noise(labels, label_noise, dataset.n_classes, rng_spoil)
        x, kinds = corrupt_images(clean, corruption, rng_spoil)
        noisy.append(y), wrong.append(mask), damaged.append(x), kind.append(kinds)
    axes = (0, 1, 2) if clean.ndim == 3 else (0, 2, 3)  # colour channels have their own mean
    mean, std = clean.mean(axes, keepdims=True), clean.std(axes, keepdims=True)
    shape = (1, *dataset.image_shape) if len(dataset.image_shape) == 2 else dataset.image_shape

    def standardized(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((images - mean) / std).astype(np.float32)).reshape(-1, *shape).to(device)

    def on_device(y: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(y.astype(np.int64)).to(device)

    none = np.zeros(replicas, dtype=int)
    right = np.stack([labels] * replicas)
    return Pool(
        name=dataset.name,
        classes=dataset.n_classes,
        x=standardized(np.concatenate([clean, *damaged])),
        x_validation=standardized(dataset.x_train[held_out]),
        y_validation=on_device(dataset.y_train[held_out]),
        x_test=standardized(dataset.x_test),
        y_test=on_device(dataset.y_test),
        labels={"clean": right, "noise": np.stack(noisy), "corrupt": right},
        offset={"clean": none, "noise": none, "corrupt": n_train * np.arange(1, replicas + 1)},
        wrong=np.stack(wrong),
        kind=np.stack(kind),
    )
