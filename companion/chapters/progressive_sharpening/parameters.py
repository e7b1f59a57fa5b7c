"""The paper, the chapter's parameters and its streams of random numbers."""

from typing import Annotated, Literal

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.chapters.progressive_sharpening.networks import CHECK
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="progressive-sharpening",
    title="Understanding Sharpness Dynamics in NN Training with a Minimalist Example: "
    "The Effects of Dataset Difficulty, Depth, Stochasticity, and More",
    authors=("Geonhui Yoo", "Minhak Song", "Chulhee Yun"),
    venue="ICML",
    year=2025,
    key="yoo2025understanding",
    arxiv="2506.06940",
)

MOST_NUMBERS = 10**8  # that one tensor of an experiment may hold
CHUNK = 100  # steps whose batches are drawn at once

Class = Annotated[int, pydantic.Field(ge=0, le=9)]
Dataset = Literal["digits", "fashion-mini", "fashion-mnist", "mnist", "cifar10"]
LEAST_OF_CLASSES = {"digits": 300, "fashion-mini": 900}  # training images of two classes, at the least


class Parameters(parameters.Parameters):
    """Parameters of the chapter. Depths D count all layers; step sizes are given relative to a sharpness."""

    classes: list[Class] = parameter("the two digits that the minimalist model tells apart", quick=[3, 8],
                                     min_length=2, max_length=2)  # fmt: skip
    depths: list[Annotated[int, pydantic.Field(ge=2, le=6)]] = parameter(
        "depths D of the minimalist model; the first two are also trained with small batches",
        quick=[2, 3, 4, 5], paper=[2, 3, 4, 5, 6], min_length=2, max_length=5,
    )  # fmt: skip
    n_samples: int = parameter("images N in a data set that the minimalist model is trained on", quick=20, ge=8, le=30)
    draws: int = parameter("such data sets", quick=5, paper=20, ge=2, le=50)
    init_scale: float = parameter("expected length of the first layer u at the start", quick=0.1, ge=1e-3, le=0.3)
    v0: float = parameter("the other layers at the start", quick=1.0, ge=0.8, le=1.5)
    beyond: float = parameter("2/η relative to the limit sharpness, where the edge comes first", quick=0.6, ge=0.5,
                              le=0.9)  # fmt: skip
    below: float = parameter("2/η relative to the limit sharpness, where the edge is never reached", quick=1.4, ge=1.2,
                             le=4)  # fmt: skip
    n_steps: int = parameter("steps of gradient descent on the minimalist model", quick=8000, paper=50_000, ge=500,
                             le=200_000)  # fmt: skip
    easy: float = parameter("factor on the labels that makes a data set easy", quick=0.1, ge=0.01, le=0.2)
    batch_sizes: list[Annotated[int, pydantic.Field(ge=1, le=29)]] = parameter(
        "batch sizes B below N; the full batch is always run beside them", quick=[8, 2, 1], min_length=1, max_length=4
    )
    step_fracs: list[Annotated[float, pydantic.Field(ge=0.1, le=1.2)]] = parameter(
        "step sizes η of the small batches, in units of one over the limit sharpness",
        quick=[0.5, 1.0],
        min_length=2,
        max_length=4,
    )
    sgd_steps: int = parameter("steps with small batches", quick=3000, paper=20_000, ge=120, le=100_000)
    replicas: int = parameter("runs of each small batch", quick=4, paper=8, ge=1, le=32)
    sizes: list[Annotated[int, pydantic.Field(ge=2, le=40)]] = parameter(
        "sizes N of the data sets in closed form", quick=[5, 10, 20, 30, 40], min_length=2, max_length=8
    )
    data_sets: int = parameter("data sets of each size in closed form", quick=20, paper=200, ge=2, le=2000)
    flip_rates: list[Annotated[float, pydantic.Field(ge=0, le=0.5)]] = parameter(
        "shares of labels with the wrong sign; the largest counts", quick=[0.0, 0.1, 0.25, 0.5],
        min_length=2, max_length=8,
    )  # fmt: skip
    cases: int = parameter("random imbalances on which equal and unequal layers are compared", quick=4000,
                           paper=200_000, ge=100, le=10**6)  # fmt: skip
    dataset: Dataset = parameter("images of the nonlinear networks", quick="digits", paper="fashion-mini")
    mlp_classes: list[Class] = parameter("their two classes", quick=[3, 8], paper=[4, 6], min_length=2, max_length=2)
    mlp_depths: list[Annotated[int, pydantic.Field(ge=2, le=6)]] = parameter(
        "depths of these networks, all layers counted; the middle one is trained with small batches", quick=[2, 3, 4],
        paper=[2, 3, 4, 5], min_length=2, max_length=4,
    )  # fmt: skip
    mlp_width: int = parameter("their width", quick=32, paper=512, ge=8, le=2048)
    mlp_samples: list[Annotated[int, pydantic.Field(ge=4, le=800)]] = parameter(
        "sizes N of their data sets", quick=[8, 16, 32], paper=[16, 48, 144], min_length=2, max_length=5
    )
    mlp_draws: int = parameter("data sets of each size, with a network each", quick=5, ge=2, le=20)
    label_flip: float = parameter("share of labels with the wrong sign in the difficult ones", quick=0.5, ge=0.2,
                                  le=0.5)  # fmt: skip
    mlp_lr: float = parameter("step size η of the networks; a third of it is run, too", quick=0.03, paper=0.003,
                              ge=1e-3, le=0.05)  # fmt: skip
    mlp_batch: int = parameter("a batch size between one and the full batch", quick=4, paper=16, ge=2, le=400)
    mlp_loss: float = parameter("share of the loss of a zero output at which their training stops", quick=0.01,
                                ge=1e-4, le=0.05)  # fmt: skip
    mlp_steps: int = parameter("largest number of steps of a network", quick=20_000, paper=400_000, ge=500,
                               le=10**6)  # fmt: skip

    @pydantic.model_validator(mode="after")
    def _sensible(self) -> "Parameters":
        for name in ("classes", "mlp_classes"):
            if len(set(getattr(self, name))) < 2:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: two different classes")
        for name in ("depths", "step_fracs", "sizes", "mlp_depths", "mlp_samples", "flip_rates"):
            if len(set(getattr(self, name))) < 2:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at least two different values")
        if max(self.batch_sizes) >= self.n_samples:
            raise ValueError(f"batch_sizes: got {max(self.batch_sizes)} in it, allowed: less than n_samples")
        if self.mlp_batch >= max(self.mlp_samples):
            raise ValueError(f"mlp_batch: got {self.mlp_batch}, allowed: less than the largest of mlp_samples")
        if max(self.mlp_samples) > LEAST_OF_CLASSES.get(self.dataset, 10**4):
            raise ValueError(
                f"mlp_samples: got {max(self.mlp_samples)} in it, allowed: at most {LEAST_OF_CLASSES[self.dataset]} of "
                f"{self.dataset}"
            )
        runs = 4 * self.draws * self.replicas * len(self.step_fracs) * (1 + len(self.batch_sizes))
        numbers = CHUNK * runs * self.n_samples
        if numbers > MOST_NUMBERS:
            most = self.replicas * MOST_NUMBERS // numbers
            raise ValueError(f"replicas: got {self.replicas}, allowed: at most {most} at these sizes (memory)")
        return self

    @property
    def all_depths(self) -> list[int]:
        """The depths of the minimalist model, increasing and without repeats."""
        return sorted(set(self.depths))

    @property
    def batches(self) -> list[int]:
        """The full batch and the others, decreasing and without repeats."""
        return [self.n_samples, *sorted(set(self.batch_sizes), reverse=True)]

    @property
    def check(self) -> int:
        """Steps of a network between two looks at its loss: at most some hundred looks, for a look takes long."""
        return max(CHECK, self.mlp_steps // 400)

    def rng(self, stream: int) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream]))

    def generator(self, stream: int, part: int = 0) -> torch.Generator:
        """An independent generator of torch, on the CPU."""
        state = np.random.SeedSequence([self.seed, stream, part]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(state >> 1))
