"""The paper, the chapter's parameters and its streams of random numbers."""

from typing import Annotated

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="schedule-free-river",
    title="Through the River: Understanding the Benefit of Schedule-Free Methods for Language Model Training",
    authors=("Minhak Song", "Beomhan Baek", "Kwangjun Ahn", "Chulhee Yun"),
    venue="NeurIPS",
    year=2025,
    key="song2025through",
    arxiv="2507.09846",
)

MOST_NUMBERS = 3 * 10**9  # that the layers of all members may hold at once
MOST_ACTIVATIONS = 15 * 10**9  # that a pass backwards may keep

Beta = Annotated[float, pydantic.Field(ge=0, le=0.98)]
Rate = Annotated[float, pydantic.Field(ge=1e-4, le=0.05)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. β interpolates between z and x, C is the refined method's, γ a step size."""

    betas: list[Annotated[float, pydantic.Field(ge=0.05, le=0.98)]] = parameter(
        "interpolations β of the language models; the smallest and the largest are compared", quick=[0.1, 0.5, 0.9],
        paper=[0.1, 0.5, 0.95], min_length=2, max_length=6,
    )  # fmt: skip
    rates: list[Rate] = parameter(
        "step sizes γ that each method is given; at the largest, methods are compared side by side",
        quick=[1e-3, 3e-3, 1e-2], paper=[5e-4, 1e-3, 2e-3], min_length=2, max_length=6,
    )  # fmt: skip
    C: float = parameter("C of the refined method", quick=20.0, paper=50.0, ge=1, le=1000)
    steps: int = parameter("steps S of the language models before decay phases branch off", quick=440, paper=2000,
                           ge=60, le=100_000)  # fmt: skip
    extra: int = parameter("steps S' of a decay phase, and of the runs that go on", quick=140, paper=400, ge=20,
                           le=50_000)  # fmt: skip
    batch: int = parameter("windows in a batch", quick=1, paper=16, ge=1, le=512)
    ema: float = parameter("decay ρ of the running averages over the last S' steps", quick=0.97, paper=0.99, ge=0.5,
                           le=0.9999)  # fmt: skip
    starts: int = parameter("starts from which AdamW and SF-AdamW are compared side by side", quick=3, paper=2, ge=1,
                            le=8)  # fmt: skip
    big_batch: int = parameter("windows in a large batch", quick=32, paper=128, ge=2, le=1024)
    big_steps: int = parameter("steps with the large and with the small batch", quick=50, paper=300, ge=30,
                               le=50_000)  # fmt: skip
    big_C: float = parameter("C of the refined method there", quick=50.0, paper=200.0, ge=1, le=1000)
    big_replicas: int = parameter("runs of each method there, with starts of their own", quick=4, paper=2, ge=1, le=16)
    width: int = parameter("width of the language models, a multiple of heads", quick=32, paper=512, ge=8, le=1024)
    blocks: int = parameter("their blocks", quick=1, paper=6, ge=1, le=12)
    heads: int = parameter("their heads", quick=2, paper=8, ge=1, le=16)
    context: int = parameter("symbols that a prediction may look back on", quick=32, paper=256, ge=4, le=1024)
    corpus: int = parameter("symbols of text, a tenth of them for validation", quick=1_500_000, paper=12_000_000,
                            ge=20_000, le=10**9)  # fmt: skip
    windows: int = parameter("windows of validation, half to choose rates and half to report", quick=192, paper=256,
                             ge=8, le=4096)  # fmt: skip
    edge_betas: list[Beta] = parameter("interpolations β of the networks on digits", quick=[0.0, 0.5, 0.9],
                                       min_length=2, max_length=6)  # fmt: skip
    edge_rate: float = parameter("their effective step size (1 − β)γ along the gradient", quick=0.2, ge=0.1, le=0.3)
    edge_adam: float = parameter("their effective step size along Adam's direction", quick=1e-3, paper=3e-4, ge=1e-4,
                                 le=3e-3)  # fmt: skip
    edge_steps: int = parameter("their steps", quick=700, paper=5000, ge=50, le=100_000)
    edge_images: int = parameter("their images", quick=100, paper=1000, ge=20, le=1500)
    edge_width: int = parameter("their width", quick=32, paper=128, ge=4, le=512)
    bend_rate: float = parameter("step size γ on the bent river", quick=0.02, ge=1e-3, le=0.05)
    bend_steps: int = parameter("steps on the bent river", quick=1000, paper=4000, ge=100, le=20_000)
    bend_C: float = parameter("C of the refined method on the bent river", quick=20.0, ge=1, le=200)
    replicas: int = parameter("noises on the straight river", quick=1500, paper=20_000, ge=10, le=100_000)
    river_steps: int = parameter("steps T on the straight river", quick=3000, paper=10_000, ge=200, le=50_000)
    river_rate: float = parameter("effective step size (1 − β)γ there", quick=0.1, ge=0.02, le=0.5)

    @pydantic.model_validator(mode="after")
    def _sensible(self) -> "Parameters":
        for name in ("betas", "rates", "edge_betas"):
            if len(set(getattr(self, name))) < 2:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at least two different values")
        if self.width % self.heads:
            raise ValueError(f"width: got {self.width}, allowed: a multiple of heads ({self.heads})")
        numbers = self.members * 12 * self.blocks * self.width**2
        if numbers > MOST_NUMBERS:
            most = int((MOST_NUMBERS / (self.members * 12 * self.blocks)) ** 0.5)
            raise ValueError(f"width: got {self.width}, allowed: at most {most} at these sizes (memory)")
        activations = 24 * self.blocks * self.width * self.context
        for name, members in (("batch", self.members), ("big_batch", 2 * self.big_replicas)):
            if members * getattr(self, name) * activations > MOST_ACTIVATIONS:
                most = MOST_ACTIVATIONS // (members * activations)
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at most {most} at these sizes (memory)")
        if self.big_batch <= self.batch:
            raise ValueError(f"big_batch: got {self.big_batch}, allowed: more than batch ({self.batch})")
        return self

    @property
    def members(self) -> int:
        """Language models trained at once, decay phases included."""
        rates, starts = len(self.all_rates), self.starts
        return rates * (2 + 2 * len(self.all_betas) + starts) + 3 * (starts - 1)

    @property
    def all_betas(self) -> list[float]:
        """The interpolations of the language models, increasing and without repeats."""
        return sorted(set(self.betas))

    @property
    def all_rates(self) -> list[float]:
        """The step sizes of the language models, increasing and without repeats."""
        return sorted(set(self.rates))

    @property
    def warm_up(self) -> int:
        """Steps over which the rates of the language models rise linearly."""
        return max(1, self.steps // 25)

    def generator(self, stream: int) -> torch.Generator:
        """An independent generator of torch, on the CPU."""
        state = np.random.SeedSequence([self.seed, stream]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(state >> 1))

    def rng(self, stream: int) -> np.random.Generator:
        """An independent generator of numpy."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream]))
