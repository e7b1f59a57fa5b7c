"""The paper, the chapter's parameters and its streams of random numbers."""

from typing import Annotated, Literal

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.chapters.weight_decay_stability.networks import Activation, LossName
from companion.chapters.weight_decay_stability.samples import SIDES
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="weight-decay-stability",
    title="Does Weight Decay Enhance Training Stability?",
    authors=("Marius Saether", "Amir Kolic", "Tomaso Poggio", "Pierfrancesco Beneventano"),
    venue="preprint",
    year=2026,
    key="saether2026does",
    arxiv="2605.16622",
)

MOST_NUMBERS = 10**9  # that one tensor of an experiment may hold

Decay = Annotated[float, pydantic.Field(ge=1e-5, le=0.1)]
Case = Literal["MLP", "tanh", "GELU", "four layers", "cross-entropy", "CNN"]
StepSize = Annotated[float, pydantic.Field(ge=0.2, le=4)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. Both architectures get the same data, step size and decay."""

    dataset: Literal["digits", "fashion-mini"] = parameter("images", quick="digits")
    n_samples: int = parameter("training samples of each seed", quick=128, ge=20, le=1000)
    label_noise: float = parameter("share of wrong labels", quick=0.3, ge=0, le=0.9)
    lr: float = parameter("step size η", quick=0.7, ge=0.1, le=4)
    lam: float = parameter("weight decay λ at which architectures and filters are compared", quick=0.005, ge=1e-5,
                           le=0.1)  # fmt: skip
    lams_mlp: list[Decay] = parameter("further decays of the MLP", quick=[1e-3, 1e-2],
                                      paper=[3e-4, 6e-4, 1e-3, 2e-3, 1e-2], min_length=1, max_length=12)  # fmt: skip
    lams_cnn: list[Decay] = parameter("further decays of the CNN", quick=[1.5e-2],
                                      paper=[1e-3, 3e-3, 6e-3, 1e-2, 1.5e-2], min_length=1, max_length=12)  # fmt: skip
    steps_mlp: int = parameter("steps of the MLP", quick=1100, paper=1300, ge=100, le=20_000)
    steps_cnn: int = parameter("steps of the CNN", quick=600, ge=100, le=20_000)
    width: int = parameter("width of the MLP's hidden layers", quick=32, ge=4, le=256)
    depth: int = parameter("layers of the MLP", quick=3, ge=2, le=6)
    channels: int = parameter(
        "channels of the CNN's first convolution; the second has twice as many", quick=4, ge=2, le=32
    )
    activation: Activation = parameter("activation of MLP and CNN", quick="relu")
    loss: LossName = parameter("loss of MLP and CNN", quick="mse")
    n_seeds: int = parameter("seeds of the MLP", quick=4, paper=10, ge=2, le=100)
    n_seeds_few: int = parameter("seeds of all other runs", quick=3, paper=10, ge=2, le=100)
    every: int = parameter("steps between measurements of the sharpness", quick=40, paper=10, ge=5, le=50)
    products: int = parameter("Hessian-vector products of a measurement", quick=4, paper=8, ge=2, le=40)
    lr_below: float = parameter("step size where sharpening is watched below the edge", quick=0.2, ge=0.05, le=0.5)
    time_below: float = parameter("steps times step size there", quick=20.0, ge=5, le=300)
    below: list[Case] = parameter("networks there, beside the normalized one",
                                  quick=["MLP", "tanh", "cross-entropy", "CNN"],
                                  paper=["MLP", "tanh", "GELU", "four layers", "cross-entropy", "CNN"],
                                  min_length=1, max_length=6)  # fmt: skip
    lams_below: list[Decay] = parameter("decays there, beside none", quick=[3e-3, 1e-2], min_length=1, max_length=6)
    lrs: list[StepSize] = parameter("step sizes whose plateaus are compared", quick=[0.4, 0.8, 2.0],
                                    paper=[0.2, 0.4, 0.8, 1.4, 2.0], min_length=2, max_length=6)  # fmt: skip
    time_lrs: float = parameter("steps times step size there", quick=600.0, ge=50, le=5000)
    steps_filter: int = parameter("steps with a filtered decay", quick=600, paper=700, ge=100, le=20_000)
    refresh: int = parameter("steps for which a filter keeps its direction", quick=5, paper=1, ge=1, le=20)
    lr_kernel: float = parameter("step size where kernels are compared", quick=1.0, ge=0.2, le=4)
    lam_kernel: float = parameter("decay where kernels are compared", quick=0.01, ge=1e-5, le=0.1)
    steps_kernel: int = parameter(
        "steps of the smooth networks whose kernels are compared", quick=900, ge=100, le=20_000
    )
    n_probes: int = parameter(
        "test inputs on which outputs and kernels are compared", quick=20, paper=48, ge=10, le=200
    )

    @pydantic.model_validator(mode="after")
    def _affordable(self) -> "Parameters":
        pixels = SIDES[self.dataset] ** 2
        mlp = pixels * self.width + (self.depth - 2) * self.width**2 + 10 * self.width
        places = pixels // 4
        # Of a network: parameters in a basis of Lanczos vectors, hidden units of all samples, the CNN's second layer.
        single = max(10 * self.products * mlp, self.n_samples * 9 * pixels, self.n_samples * self.channels * pixels,
                     2 * self.channels**2 * places**2, 10 * self.n_probes * mlp // 4)  # fmt: skip
        for name, count in (
            ("n_seeds", self.n_seeds * (2 + len(self.lams_mlp))),
            ("n_seeds_few", self.n_seeds_few * (2 + max(len(self.lams_cnn), len(self.lams_below)))),
        ):
            if single * count > MOST_NUMBERS:
                most = max(1, getattr(self, name) * MOST_NUMBERS // (single * count))
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at most {most} at these sizes (memory)")
        return self

    def child_seed(self, stream: int, part: int = 0) -> int:
        """An independent seed for one use of randomness."""
        return int(np.random.SeedSequence([self.seed, stream, part]).generate_state(1)[0] % 2**31)

    def seeds(self, count: int) -> list[int]:
        """Seeds of the replicates: the first ones are the same in every experiment."""
        return [self.child_seed(1, part) for part in range(count)]

    def generators(self, count: int) -> list[torch.Generator]:
        """Generators of the initial weights of the replicates, anew at each call."""
        return [torch.Generator().manual_seed(self.child_seed(2, part)) for part in range(count)]

    def decays(self, others: list[float]) -> list[float]:
        """No decay, the common one and others, increasing and without repeats."""
        return sorted({0.0, self.lam, *others})
