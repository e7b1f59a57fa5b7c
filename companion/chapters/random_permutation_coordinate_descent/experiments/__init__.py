"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.random_permutation_coordinate_descent.experiments.exact import (
    Blocks,
    Certificates,
    Curves,
    Grid,
    Limits,
    RandomMatrices,
    RealData,
    Reduction,
    Speedup,
    Torus,
    blocks,
    certificates,
    curves,
    grid,
    limits,
    random_matrices,
    real_data,
    reduction,
    speedup,
    torus,
)
from companion.chapters.random_permutation_coordinate_descent.experiments.runs import (
    Trajectories,
    Typical,
    trajectories,
    typical,
)
from companion.chapters.random_permutation_coordinate_descent.experiments.search import Search, search
from companion.chapters.random_permutation_coordinate_descent.parameters import Parameters

__all__ = [
    "Results",
    "blocks",
    "certificates",
    "curves",
    "grid",
    "limits",
    "random_matrices",
    "real_data",
    "reduction",
    "run",
    "search",
    "speedup",
    "torus",
    "trajectories",
    "typical",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    curves: Curves
    grid: Grid
    speedup: Speedup
    limits: Limits
    reduction: Reduction
    certificates: Certificates
    blocks: Blocks
    random_matrices: RandomMatrices
    real_data: RealData
    torus: Torus
    search: Search
    trajectories: Trajectories
    typical: Typical


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        curves=curves(params),
        grid=grid(params),
        speedup=speedup(params),
        limits=limits(params),
        reduction=reduction(params),
        certificates=certificates(params),
        blocks=blocks(params),
        random_matrices=random_matrices(params),
        real_data=real_data(params),
        torus=torus(params),
        search=search(params),
        trajectories=trajectories(params),
        typical=typical(params),
    )
