"""The paper and the chapter's parameters."""

from typing import Annotated

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="signsgd-scaling-laws",
    title="Scaling Laws of SignSGD in Linear Regression: When Does It Outperform SGD?",
    authors=("Jihwan Kim", "Dogyoon Song", "Chulhee Yun"),
    venue="ICLR",
    year=2026,
    key="kim2026signsgd",
    arxiv="2603.02069",
)

MOST_NUMBERS = 10**8  # that one array of an experiment may hold

Width = Annotated[int, pydantic.Field(ge=4, le=2000)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. M is the number of features, N that of steps, f = MN the compute."""

    M_sim: int = parameter("features M of the simulated runs", quick=64, paper=500, ge=16, le=2000)
    N_sim: int = parameter("steps N of the simulated runs", quick=2000, paper=20_000, ge=200, le=10**6)
    gamma_sim: float = parameter("step size γ of the simulated runs of signSGD", quick=4e-3, paper=1e-3,
                                 ge=1e-5, le=0.05)  # fmt: skip
    chains: int = parameter("simulated runs on each sketch", quick=24, paper=64, ge=2, le=1000)
    sketches: int = parameter("sketches at each point (α, β)", quick=3, paper=5, ge=1, le=50)
    floor_gamma: float = parameter("step size γ at which noise floors are measured, and twice and half of it",
                                   quick=0.02, ge=1e-3, le=0.05)  # fmt: skip
    floor_steps: int = parameter("steps of the runs on the floor, the last two thirds averaged", quick=1500,
                                 paper=20_000, ge=300, le=10**6)  # fmt: skip
    drift_M: int = parameter("features of the runs whose drift exponents are measured", quick=128, paper=1000,
                             ge=32, le=2000)  # fmt: skip
    drift_N: int = parameter("most steps of those runs", quick=2500, paper=30_000, ge=200, le=10**6)
    drift_gamma: float = parameter("their step size γ for signSGD", quick=2e-3, paper=1e-4, ge=1e-5, le=0.02)
    drift_width: float = parameter("decimal logarithm of the width at which the equations' drift is read off",
                                   quick=6, ge=3, le=9)  # fmt: skip
    spectrum_M: int = parameter("features of the sketch whose noise spectra are shown", quick=300, paper=1500,
                                ge=60, le=2000)  # fmt: skip
    term_sketches: int = parameter("sketches averaged for the noise sum", quick=4, paper=16, ge=1, le=100)
    widths_per_decade: int = parameter("widths M in a decade of the grid of a frontier", quick=4, paper=8, ge=2, le=20)
    rates_per_decade: int = parameter("step sizes in a decade of that grid", quick=10, paper=16, ge=2, le=40)
    far: int = parameter("decimal logarithm of the most compute f; slopes over its last four decades", quick=13,
                         paper=17, ge=11, le=18)  # fmt: skip
    map_points: int = parameter("points on each axis of the measured map of the plane", quick=5, paper=20, ge=2, le=40)
    sketch_widths: list[Width] = parameter(
        "widths M of the frontiers on sampled sketches", quick=[8, 12, 16, 24, 32, 48, 64, 96, 128, 160],
        paper=[8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024], min_length=4, max_length=40,
    )  # fmt: skip
    sketch_groups: int = parameter("groups of sketches, a frontier for each", quick=3, paper=8, ge=2, le=50)
    decay_fraction: float = parameter("share of a run in which the step size of WSD decays linearly", quick=0.5,
                                      ge=0.05, le=1.0)  # fmt: skip

    @pydantic.model_validator(mode="after")
    def _affordable(self) -> "Parameters":
        block = 32 * 9
        for name, numbers in (
            ("chains", self.chains * self.sketches * self.M_sim * block),
            ("sketch_groups", self.sketch_groups * max(self.sketch_widths) ** 2),
        ):
            if numbers > 4 * MOST_NUMBERS:
                most = max(getattr(self, name) * 4 * MOST_NUMBERS // numbers, 1)
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at most {most} at these sizes (memory)")
        if len(set(self.sketch_widths)) < 4:
            raise ValueError(f"sketch_widths: got {self.sketch_widths}, allowed: at least four different widths")
        return self

    def rng(self, stream: int, part: int = 0) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream, part]))

    def generator(self, stream: int) -> torch.Generator:
        """An independent generator of torch, on the device."""
        seed = int(np.random.SeedSequence([self.seed, stream]).generate_state(1)[0])
        return torch.Generator(self.device).manual_seed(seed)
