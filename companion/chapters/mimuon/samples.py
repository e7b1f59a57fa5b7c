"""The images of the classifiers."""

import numpy as np

from companion.data import load_dataset

LENGTH = 2.2  # of an image, root mean square


def images(name: str) -> tuple[np.ndarray, np.ndarray]:
    """All images of a data set, centred and scaled to the root mean square length 2.2, and their labels.

    Parameters
    ----------
    name : ``"digits"`` or ``"fashion-mini"``

    Returns
    -------
    x : ``(examples, pixels)``, float64
    labels : ``(examples,)``
    """
    found = load_dataset(name, split=False, normalize="none", flatten=True, dtype="float64")
    x = found.x_train - found.x_train.mean(0)
    return x * LENGTH / np.sqrt((x**2).sum(1).mean()), found.y_train
