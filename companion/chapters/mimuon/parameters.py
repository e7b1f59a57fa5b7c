"""The paper and the chapter's parameters."""

import itertools
from typing import Annotated, Literal

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="mimuon",
    title="MiMuon: Mixed Muon Optimizer with Improved Generalization for Large Models",
    authors=("Feihu Huang", "Yuning Luo", "Songcan Chen"),
    venue="arXiv preprint",
    year=2026,
    key="huang2026mimuon",
    arxiv="2605.19619",
)

MOST_STEPS = 3 * 10**8  # of single runs, summed over what is trained side by side
EXAMPLES = {"digits": 1797, "fashion-mini": 8000}

Size = Annotated[int, pydantic.Field(ge=20, le=3900)]
Horizon = Annotated[int, pydantic.Field(ge=50, le=100_000)]
Threshold = Annotated[float, pydantic.Field(ge=1e-8, le=100.0)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    images: Literal["digits", "fashion-mini"] = parameter(
        "examples of the classifiers", quick="digits", paper="fashion-mini"
    )
    sizes: list[Size] = parameter(
        "training set sizes N, increasing; the second is looked at closely", quick=[50, 100, 200, 400, 800],
        paper=[50, 100, 200, 400, 800, 1600, 3200], min_length=3, max_length=8,
    )  # fmt: skip
    replicas: int = parameter("pairs of neighbouring data sets for each N", quick=24, paper=200, ge=4, le=500)
    label_noise: float = parameter("share of wrong labels, in training and test alike", quick=0.2, ge=0.0, le=0.5)
    eta: float = parameter("step size η of all methods", quick=0.05, ge=1e-3, le=0.5)
    beta: float = parameter("weight β of the new gradient in the momentum", quick=0.1, ge=0.01, le=1.0)
    batch: int = parameter("examples in a batch", quick=10, ge=1, le=256)
    steps: int = parameter("steps T on neighbouring data sets", quick=150, paper=300, ge=30, le=5000)
    tau_gap: Threshold = parameter("threshold τ on the smallest gap of singular values", quick=0.002)
    tau_norm: Threshold = parameter("threshold τ on the Frobenius norm", quick=0.2)
    tau_sigma: Threshold = parameter("threshold τ on the least singular value", quick=0.02)
    tau_clip: Threshold = parameter("level τ at which the spectrum is clipped", quick=0.1)
    eta_matched: float = parameter("step size at which SGD reaches MiMuon's training loss", quick=0.5, ge=1e-3, le=10.0)
    net_sizes: list[Size] = parameter(
        "training set sizes of the network", quick=[100, 400], paper=[100, 400, 1600], min_length=1, max_length=4
    )
    width: int = parameter("width of the network's two hidden layers", quick=32, ge=4, le=256)
    net_replicas: int = parameter("networks for each size and method", quick=6, paper=50, ge=2, le=200)
    net_steps: int = parameter("steps of training the network", quick=200, paper=400, ge=20, le=5000)
    net_batch: int = parameter("examples in a batch there", quick=16, ge=1, le=256)
    net_tau_gap: Threshold = parameter("threshold τ on the gap there", quick=5e-4)
    net_tau_norm: Threshold = parameter("threshold τ on the norm there", quick=0.2)
    net_eta_matched: float = parameter(
        "step size at which SGD reaches MiMuon's training loss there", quick=0.3, ge=1e-3, le=10.0
    )
    horizons: list[Horizon] = parameter(
        "numbers of steps T at which convergence is compared, increasing", quick=[64, 256, 1024],
        paper=[100, 1000, 10_000, 50_000], min_length=3, max_length=5,
    )  # fmt: skip
    rate_replicas: int = parameter("runs for each of them", quick=8, paper=16, ge=2, le=512)
    rate_eta: float = parameter("η₀ of the step size η₀T^(−3/4)", quick=3.0, ge=0.1, le=10.0)
    lm_steps: int = parameter("steps of training the language models", quick=700, paper=1500, ge=20, le=20_000)
    lm_batch: int = parameter("windows in a batch", quick=4, paper=32, ge=1, le=256)
    lm_width: int = parameter(
        "width of the language models, a multiple of 4", quick=32, paper=128, ge=16, le=512, multiple_of=4
    )
    lm_blocks: int = parameter("blocks of the language models", quick=1, paper=2, ge=1, le=8)
    lm_context: int = parameter("symbols that they see", quick=32, paper=128, ge=8, le=256)
    lm_trials: int = parameter(
        "settings tried with each optimizer, of a list of five; the best on validation text is kept",
        quick=1, paper=5, ge=1, le=5,
    )  # fmt: skip

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Parameters":
        for name in ("sizes", "horizons", "net_sizes"):
            values = getattr(self, name)
            if any(second <= first for first, second in itertools.pairwise(values)):
                raise ValueError(f"{name}: got {values}, allowed: increasing, no value twice")
        for name in ("sizes", "net_sizes"):
            most = EXAMPLES[self.images] // 2 - 1
            if getattr(self, name)[-1] > most:
                raise ValueError(f"{name}: got {getattr(self, name)[-1]}, allowed: at most {most} of {self.images}")
        for name, runs in (
            ("steps", 14 * len(self.sizes) * self.replicas * self.steps),
            ("net_steps", 15 * len(self.net_sizes) * self.net_replicas * self.net_steps),
            ("lm_steps", 5 * self.lm_trials * self.lm_blocks * self.lm_batch * self.lm_steps),
            ("horizons", 3 * self.rate_replicas * sum(self.horizons)),
        ):
            if runs > MOST_STEPS:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {runs / MOST_STEPS:.2g} times less work")
        return self

    def rng(self, stream: int, part: int = 0) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream, part]))

    def torch_rng(self, stream: int, part: int = 0) -> torch.Generator:
        """The same for torch, on the CPU."""
        state = np.random.SeedSequence([self.seed, stream, part]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(state >> 1))
