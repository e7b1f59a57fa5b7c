"""The paper, the chapter's parameters and its streams of random numbers."""

from typing import Annotated

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="deep-matrix-completion",
    title="Implicit Bias and Loss of Plasticity in Matrix Completion: Depth Promotes Low-Rankness",
    authors=("Baekrok Shin", "Chulhee Yun"),
    venue="ICLR",
    year=2026,
    key="shin2026implicit",
    arxiv="2603.04703",
)

BLOCKS = 3  # of the random data that networks are pre-trained on
MOST_NUMBERS = 10**8  # that one tensor of an experiment may hold


class Parameters(parameters.Parameters):
    """Parameters of the chapter. Scales of a start are those of the product, so that depths can be compared."""

    depths: list[Annotated[int, pydantic.Field(ge=3, le=6)]] = parameter(
        "depths above two; depth two is always run beside them", quick=[3, 4], paper=[3, 4, 5],
        min_length=1, max_length=4,
    )  # fmt: skip
    deepest: int = parameter("largest depth at which coupling is followed", quick=5, paper=6, ge=3, le=6)
    eps_list: list[Annotated[float, pydantic.Field(ge=1e-8, le=0.3)]] = parameter(
        "scales ε of the start in the family", quick=[1e-1, 1e-3, 1e-5],
        paper=[1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6], min_length=2, max_length=8,
    )  # fmt: skip
    m: float = parameter("diagonal over off-diagonal entries of the family's coupled start", quick=10.0, ge=4, le=50)
    n_blocks: int = parameter("observed blocks of the family", quick=3, ge=2, le=8)
    block_size: int = parameter("size of the larger blocks; blocks of size one run beside them", quick=2, ge=2, le=4)
    n_starts: int = parameter("random starts of each kind on which one entry is watched", quick=16, paper=400, ge=8,
                              le=2000)  # fmt: skip
    n_menon: int = parameter("random starts of the 2×2 problem at each scale", quick=200, paper=5000, ge=20, le=50_000)
    d_depth: int = parameter("dimension in which depths are compared", quick=8, paper=12, ge=3, le=32)
    n_depth: int = parameter("random starts at each depth there", quick=24, paper=200, ge=4, le=1000)
    d_lop: int = parameter("dimension of the random rank-one matrices", quick=18, paper=36, ge=9, le=60, multiple_of=3)
    p_obs: float = parameter("share of their entries that is observed in the end", quick=0.45, ge=0.2, le=0.8)
    eps_lop: float = parameter("scale ε of the start there", quick=1e-4, ge=1e-8, le=1e-2)
    n_lop: int = parameter("random matrices", quick=10, paper=40, ge=3, le=400)
    lop_steps: int = parameter("largest number of steps of pre-training and of training", quick=1200, paper=10_000,
                               ge=100, le=100_000)  # fmt: skip
    d_data: int = parameter("dimension of the completion problem of the paper's kind", quick=20, paper=100, ge=10,
                            le=200)  # fmt: skip
    r_data: int = parameter("rank of its target", quick=2, paper=5, ge=1, le=10)
    p_data: float = parameter("share of its entries that is observed", quick=0.45, paper=0.2, ge=0.1, le=0.8)
    eps_data: float = parameter("scale ε of the start there", quick=1e-2, ge=1e-6, le=0.1)
    n_data: int = parameter("random problems of that kind", quick=6, paper=20, ge=2, le=100)
    data_steps: int = parameter("largest number of steps there", quick=2000, paper=20_000, ge=100, le=100_000)

    @pydantic.model_validator(mode="after")
    def _sensible(self) -> "Parameters":
        if len(set(self.eps_list)) < 2:
            raise ValueError(f"eps_list: got {self.eps_list}, allowed: at least two different scales")
        if self.r_data > self.d_data // 4:
            raise ValueError(f"r_data: got {self.r_data}, allowed: at most d_data / 4, {self.d_data // 4}")
        for name, numbers in (
            ("n_lop", 5 * self.n_lop * max(self.all_depths) * self.d_lop**2),
            ("n_data", self.n_data * max(self.all_depths) * self.d_data**2),
            ("n_depth", 2 * self.n_depth * self.deepest * self.d_depth**2),
        ):
            if numbers > MOST_NUMBERS:
                most = getattr(self, name) * MOST_NUMBERS // numbers
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at most {most} at these sizes (memory)")
        return self

    @property
    def all_depths(self) -> list[int]:
        """Depth two and the others, increasing and without repeats."""
        return [2, *sorted(set(self.depths))]

    @property
    def scales(self) -> list[float]:
        """The scales of the family's start, decreasing and without repeats."""
        return sorted(set(self.eps_list), reverse=True)

    def rng(self, stream: int) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream]))

    def generator(self, stream: int, part: int = 0) -> torch.Generator:
        """An independent generator of torch, on the CPU."""
        state = np.random.SeedSequence([self.seed, stream, part]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(state >> 1))
