"""The paper, the chapter's parameters and its random numbers."""

from typing import Annotated

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="local-pl-rates",
    title="Optimal Asymptotic Rates for (Stochastic) Gradient Descent under the Local PL-Condition: A Geometric "
    "Approach",
    authors=("Sebastian Kassing", "Thomas Kruse"),
    venue="arXiv preprint",
    year=2026,
    key="kassing2026optimal",
    arxiv="2605.14663",
)

MOST_NUMBERS = 10**8  # that the states or records of one experiment may hold

Noise = Annotated[float, pydantic.Field(ge=0.1, le=500)]
Batch = Annotated[int, pydantic.Field(ge=1, le=64)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. Rates are factors per step of f − f*."""

    mu: float = parameter("least normal eigenvalue μ on the valley", quick=1.0, ge=0.1, le=10)
    L: float = parameter("largest normal eigenvalue L, at least 1.5 μ", quick=10.0, ge=0.15, le=100)
    sigma_list: list[Noise] = parameter(
        "noise levels σ: E|ξ|² is at most σ (f − f*)", quick=[2.0, 10.0, 18.0, 40.0], min_length=1, max_length=8
    )
    sigma: float = parameter("noise level of the single experiments", quick=10.0, ge=0.1, le=500)
    m_block: int = parameter(
        "dimension of the eigenspace that carries the noise", quick=200, paper=2000, ge=200, le=5000
    )
    n_gamma: int = parameter("step sizes of gradient descent", quick=30, paper=200, ge=5, le=1000)
    n_rep: int = parameter("replicas of each run", quick=6, paper=64, ge=2, le=500)
    n_steps: int = parameter("steps of a run, at most", quick=3000, paper=10_000, ge=50, le=100_000)
    h0: float = parameter("height of the starts over the valley's floor", quick=0.03, ge=1e-3, le=0.09)
    turn: float = parameter("how much the normal Hessian changes along the winding valley", quick=0.4, ge=0.1, le=0.8)
    n_paths: int = parameter("runs in the winding valley", quick=30, paper=200, ge=4, le=1000)
    n_momentum: int = parameter("momenta of heavy ball", quick=25, paper=100, ge=5, le=500)
    n_noises: int = parameter("random noise covariances", quick=4000, paper=20_000, ge=10, le=200_000)
    n_nets: int = parameter("networks", quick=8, paper=64, ge=1, le=200)
    n_samples: int = parameter("samples of each network, N", quick=6, paper=32, ge=2, le=64)
    width: int = parameter("width of the networks", quick=24, paper=256, ge=4, le=1024)
    d_in: int = parameter("dimension of their inputs", quick=4, ge=1, le=64)
    init_scale: float = parameter("size of the initial weights", quick=0.5, ge=0.05, le=3)
    target_scale: float = parameter("size of the targets", quick=1.0, ge=0.1, le=5)
    batches: list[Batch] = parameter(
        "batch sizes of SGD on the networks", quick=[1, 4], paper=[1, 2, 4, 8, 16], min_length=1, max_length=8
    )
    train_steps: int = parameter("steps of training, at most", quick=20_000, paper=500_000, ge=100, le=10**6)
    net_steps: int = parameter("steps compared with the linear recursion", quick=1000, paper=10_000, ge=100, le=10**5)

    @pydantic.model_validator(mode="after")
    def _sensible(self) -> "Parameters":
        if not 1.5 * self.mu <= self.L <= 100 * self.mu:
            raise ValueError(
                f"L: got {self.L}, allowed: from 1.5 mu to 100 mu ({1.5 * self.mu:g} to {100 * self.mu:g})"
            )
        if self.n_samples > self.width * (self.d_in + 1) // 2:
            most = self.width * (self.d_in + 1) // 2
            raise ValueError(f"n_samples: got {self.n_samples}, allowed: at most {most}, half the number of weights")
        for name, numbers in (
            ("n_rep", 8 * self.n_rep * (self.m_block + 4)),
            ("n_paths", 4 * self.n_paths * (self.m_block + 4)),
            ("n_steps", self.n_steps * 4 * max(self.n_gamma, self.n_momentum)),
            ("n_noises", 25 * self.n_noises),
            ("n_nets", 4 * self.n_nets * (self.n_samples * self.width + self.net_steps)),
        ):
            if numbers > MOST_NUMBERS:
                most = getattr(self, name) * MOST_NUMBERS // numbers
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: about {most} at these sizes (memory)")
        return self

    def rng(self, stream: int) -> np.random.Generator:
        """Independent random numbers for each use, by its number."""
        return np.random.default_rng([self.seed, stream])

    def generator(self, stream: int) -> torch.Generator:
        """The same for tensors, on the device of the run."""
        seed = int(np.random.SeedSequence([self.seed, stream]).generate_state(1)[0])
        return torch.Generator(self.device).manual_seed(seed)
