"""The datasets that the experiments share."""

from companion.chapters.incremental_adam.data import Data, random_datasets
from companion.chapters.incremental_adam.parameters import Parameters
from companion.results import experiment


@experiment
def draw(params: Parameters) -> Data:
    """The chapter's datasets with their maximum margins: first the Gaussian ones, then the scaled Rademacher ones."""
    return Data.of(random_datasets(params.rng(0), params.datasets, params.N, params.d))


@experiment
def draw_gaussian(params: Parameters) -> Data:
    """The Gaussian half of them."""
    return draw(params).rows(slice(0, params.datasets))
