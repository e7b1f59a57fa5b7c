"""What is trained on coresets: batched networks, a support vector machine, nearest neighbours."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from companion.chapters.dual_pruning.pools import Pool
from companion.chapters.dual_pruning.resnet import BatchedResNet18, crop_and_flip
from companion.models import batched

RESNETS_AT_ONCE = 4  # what a GPU holds at a time


def build(
    model: str,
    pool: Pool,
    replicas: int,
    *,
    hidden: int,
    channels: tuple[int, int],
    generator: torch.Generator,
) -> batched.Batched:
    """A batched network for the data set."""
    if model == "mlp":
        return batched.BatchedMLP((int(np.prod(pool.shape)), hidden, pool.classes), replicas, generator=generator)
    if model == "cnn":
        return batched.GroupedCNN(pool.shape, pool.classes, replicas, channels=channels, generator=generator)
    return BatchedResNet18(pool.shape[0], pool.classes, replicas, generator=generator)


def augmentation(model: str, streams: Sequence[int], seed: int) -> Callable | None:
    """What happens to the images of a batch: networks of one stream see the same crops, whatever else is trained."""
    if model != "resnet18":
        return None
    own = torch.Generator().manual_seed(seed + 3)
    return lambda images, _: crop_and_flip(images, own, streams)


def fit_coresets(
    start: batched.Batched,
    pool: Pool,
    rows: np.ndarray,
    labels: np.ndarray,
    streams: Sequence[int],
    *,
    model: str,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    on_validation: bool = False,
) -> np.ndarray:
    """Accuracy on clean data after training on each row of ``rows``, ``(R,)``; all are trained as one batch.

    Parameters
    ----------
    start : initial weights, one replica for each stream; networks of one stream start alike and see their positions
        in the same order, which takes the luck of the start out of their differences
    rows, labels : pool rows and given labels of each coreset, ``(R, n)``
    on_validation : judge on the validation split in place of the test set
    """
    x, y = (pool.x_validation, pool.y_validation) if on_validation else (pool.x_test, pool.y_test)
    reached = np.empty(len(streams))
    for part in _parts(np.asarray(streams), model):
        network = start.select(streams[part]).to(pool.x.device)
        batched.fit_many(
            network,
            pool.x,
            torch.from_numpy(rows[part]),
            torch.from_numpy(labels[part]),
            steps=steps,
            batch=batch,
            lr=lr,
            generator=torch.Generator().manual_seed(seed),
            streams=streams[part],
            augment=augmentation(model, streams[part], seed),
        )
        reached[part] = batched.accuracy(network, x, y).cpu().numpy()
    return reached


def _parts(streams: np.ndarray, model: str) -> list[np.ndarray]:
    """Which networks are trained together: all, or as many ResNets as fit, those of one stream together."""
    if model != "resnet18":
        return [np.arange(len(streams))]
    by_stream = [np.flatnonzero(streams == stream) for stream in np.unique(streams)]
    return [group[k : k + RESNETS_AT_ONCE] for group in by_stream for k in range(0, len(group), RESNETS_AT_ONCE)]


def svm_accuracy(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Accuracy of a support vector machine with a Gaussian kernel."""
    if len(np.unique(y)) == 1:
        return float((y_test == y[0]).mean())
    gamma = 1 / x.shape[1]
    # Kernels by matrix product: many times faster.
    fitted = SVC(C=5.0, kernel="precomputed").fit(rbf_kernel(x, x, gamma), y)
    return float((fitted.predict(rbf_kernel(x_test, x, gamma)) == y_test).mean())


def neighbour_accuracy(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Accuracy of the vote of the five nearest neighbours."""
    return float(KNeighborsClassifier(min(5, len(y))).fit(x, y).score(x_test, y_test))
