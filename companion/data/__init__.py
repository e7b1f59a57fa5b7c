"""Datasets, offline first: bundled, found where the user keeps them, or, if allowed, downloaded; always verified."""

from companion.data.errors import DatasetArgumentError, DatasetCorruptError, DatasetError, DatasetNotFoundError
from companion.data.inventory import Entry, available
from companion.data.loader import Dataset, load_dataset

__all__ = [
    "Dataset",
    "DatasetArgumentError",
    "DatasetCorruptError",
    "DatasetError",
    "DatasetNotFoundError",
    "Entry",
    "available",
    "load_dataset",
]
