"""Gram matrices of real features, scaled to unit diagonal."""

import numpy as np

from companion.chapters.random_permutation_coordinate_descent.operators import unit_diagonal
from companion.data import load_dataset

RIDGE = 0.1
DATA = ("diabetes", "wine", "breast_cancer")


def gram_matrices(features: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Unit-diagonal Gram matrices of three data sets, centred or not, without and with a ridge: names, matrices."""
    names, matrices = [], []
    for name in DATA:
        data = load_dataset(name, normalize="none", dtype="float64")
        X = np.vstack([data.x_train, data.x_test])[:, :features]
        for centred in (True, False):
            Z = X - X.mean(0) if centred else X
            correlation = unit_diagonal(Z.T @ Z)
            for ridge in (0.0, RIDGE):
                matrices.append(unit_diagonal(correlation + ridge * np.eye(features)))
                label = name.replace("_", " ") + (", centred" if centred else ", not centred")
                names.append(label + (", ridge" if ridge else ""))
    return tuple(names), np.stack(matrices)
