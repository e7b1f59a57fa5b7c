"""The paper and the chapter's parameters."""

import itertools
from typing import Annotated

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="spectral-gradient-flow-lora",
    title="Uniform Spectral Growth and Convergence of Muon in LoRA-Style Matrix Factorization",
    authors=("Changmin Kang", "Jihun Yun", "Baekrok Shin", "Yeseul Cho", "Chulhee Yun"),
    venue="arXiv preprint",
    year=2026,
    key="kang2026uniform",
    arxiv="2602.06385",
)

MOST_STEPS = 60_000  # of a convergence run
MOST_NUMBERS = 3 * 10**8  # that the looks at all convergence runs may hold

Value = Annotated[float, pydantic.Field(ge=0.05, le=20.0)]
Start = Annotated[float, pydantic.Field(ge=1e-4, le=0.2)]
Scale = Annotated[float, pydantic.Field(ge=0.01, le=4.0)]
Rate = Annotated[float, pydantic.Field(ge=1e-4, le=3.0)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    rows: int = parameter("rows m of the target M", quick=20, paper=256, ge=2, le=512)
    columns: int = parameter("columns n of the target M", quick=15, paper=256, ge=2, le=512)
    spectrum: list[Value] = parameter(
        "singular values of M, decreasing; as many as the rank r of the factors", quick=[5.0, 4.0, 3.0, 2.0, 1.0],
        paper=[round(10 / k**0.75, 4) for k in range(1, 33)], min_length=2, max_length=64,
    )  # fmt: skip
    alphas: list[Start] = parameter(
        "sizes α of the random starts: entries of B and A of variance α²/m and α²/n", quick=[0.1, 0.01, 0.001],
        min_length=2, max_length=6,
    )  # fmt: skip
    seeds: int = parameter("random starts of each size", quick=6, paper=32, ge=1, le=64)
    eta: float = parameter("step size η of the spectral flow", quick=2.5e-3, ge=2e-4, le=1e-2)
    beta: float = parameter("smoothing β where the polar factor is meant", quick=1e-7, ge=1e-8, le=1e-6)
    level: float = parameter("share κ of its target at which a mode has arrived", quick=0.9, ge=0.5, le=0.95)
    narrow_rank: int = parameter("rank r of the factors where the target has more", quick=4, paper=16, ge=2, le=32)
    narrow_modes: int = parameter(
        "singular values of that target, equally spaced down from the largest", quick=10, paper=40, ge=3, le=64
    )
    band_alpha: float = parameter(
        "start of the smoothed flow that is held against its band", quick=0.3, paper=0.4, ge=0.05, le=0.7
    )
    band_beta: float = parameter("its smoothing β", quick=0.02, ge=1e-4, le=0.05)
    conv_rows: int = parameter("rows m of the target of the convergence runs", quick=16, paper=64, ge=2, le=256)
    conv_columns: int = parameter("columns n of that target", quick=12, paper=48, ge=2, le=256)
    conv_spectrum: list[Value] = parameter(
        "singular values of that target, decreasing", quick=[5.0, 4.0, 3.0, 2.0, 1.0, 0.5], min_length=2, max_length=32
    )
    conv_rank: int = parameter("rank r of the factors in the convergence runs", quick=4, ge=2, le=32)
    beta_conv: float = parameter("smoothing β of the convergence runs", quick=0.1, ge=0.02, le=1.0)
    t_conv: float = parameter("time at which the convergence runs end", quick=8.0, paper=12.0, ge=1.0, le=50.0)
    lams: list[Annotated[float, pydantic.Field(ge=0.05, le=10.0)]] = parameter(
        "weights λ of the squared norms; runs without them come along", quick=[0.3, 2.5], min_length=1, max_length=4
    )
    init_scales: list[Scale] = parameter(
        "sizes of the random starts of the convergence runs", quick=[0.1, 1.0, 2.0], paper=[0.1, 1.0, 3.0],
        min_length=1, max_length=4,
    )  # fmt: skip
    conv_seeds: int = parameter("starts of each size", quick=4, paper=64, ge=1, le=128)
    sweep_seeds: int = parameter("starts of the sweep over the smoothing", quick=8, paper=16, ge=1, le=32)
    digits_seeds: int = parameter("networks adapted to turned digits", quick=3, paper=16, ge=1, le=64)
    digits_steps: int = parameter("steps of training upright digits", quick=150, paper=400, ge=20, le=5000)
    lora_rank: int = parameter("rank r of the adaptations", quick=8, paper=16, ge=2, le=32)
    width: int = parameter(
        "width of the language model, a multiple of 4", quick=64, paper=256, ge=32, le=512, multiple_of=4
    )
    blocks: int = parameter("blocks of the language model", quick=1, paper=4, ge=1, le=8)
    context: int = parameter("symbols that it sees", quick=32, paper=256, ge=8, le=512)
    text_bytes: int = parameter("bytes of each text", quick=1_000_000, paper=3_000_000, ge=20_000, le=10_000_000)
    pretrain_steps: int = parameter("steps of training on the first text", quick=200, paper=4000, ge=10, le=20_000)
    batch: int = parameter("windows in a batch", quick=16, paper=32, ge=2, le=128)
    language_seeds: int = parameter("language models trained and adapted", quick=1, paper=2, ge=1, le=8)
    adapt_steps: int = parameter("most steps of an adaptation", quick=200, paper=400, ge=4, le=2000)
    loss_drop: float = parameter("fall of the loss, in nats, at which spectra are compared", quick=0.4, ge=0.02, le=1.5)
    muon_lrs: list[Rate] = parameter("learning rates of Muon on text", quick=[0.03], paper=[0.01, 0.03, 0.1],
                                     min_length=1, max_length=4)  # fmt: skip
    adamw_lrs: list[Rate] = parameter("learning rates of AdamW on text", quick=[0.01], paper=[0.003, 0.01, 0.03],
                                      min_length=1, max_length=4)  # fmt: skip
    sgd_lrs: list[Rate] = parameter("learning rates of SGD on text", quick=[0.3], paper=[0.1, 0.3, 1.0],
                                    min_length=1, max_length=4)  # fmt: skip

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Parameters":
        for name in ("spectrum", "conv_spectrum"):
            values = getattr(self, name)
            if any(first <= second for first, second in itertools.pairwise(values)):
                raise ValueError(f"{name}: got {values}, allowed: decreasing, no value twice")
        for name, most in (("spectrum", min(self.rows, self.columns)),
                           ("conv_spectrum", min(self.conv_rows, self.conv_columns))):  # fmt: skip
            if len(getattr(self, name)) > most:
                raise ValueError(
                    f"{name}: got {len(getattr(self, name))} values, allowed: at most {most} at this shape"
                )
        for name, most in (("narrow_modes", min(self.rows, self.columns)), ("narrow_rank", self.narrow_modes - 1),
                           ("conv_rank", len(self.conv_spectrum))):  # fmt: skip
            if getattr(self, name) > most:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at most {most} here")
        if self.spectrum[0] > 50 * self.spectrum[-1]:
            raise ValueError(f"spectrum: got {self.spectrum}, allowed: the largest at most 50 times the least")
        if self.band_alpha**2 >= self.spectrum[-1] / 2:
            raise ValueError(f"band_alpha: got {self.band_alpha}, allowed: a square below half the least of spectrum")
        if max(self.alphas) ** 2 >= self.spectrum[-1] / 20:
            raise ValueError(
                f"alphas: got {max(self.alphas)} in it, allowed: squares below a twentieth of the spectrum"
            )
        fastest = 8 * max(self.init_scales) ** 2 + 2 * self.conv_spectrum[0] + max(self.lams)
        if self.t_conv * fastest / self.beta_conv > MOST_STEPS:
            most = MOST_STEPS * self.beta_conv / fastest
            raise ValueError(f"t_conv: got {self.t_conv}, allowed: at most {most:.3g} at this beta_conv (steps)")
        runs = (1 + len(self.lams)) * len(self.init_scales) * self.conv_seeds
        kept = runs * (self.conv_rows + self.conv_columns) * self.conv_rank * 400
        if kept > MOST_NUMBERS:
            most = self.conv_seeds * MOST_NUMBERS // kept
            raise ValueError(f"conv_seeds: got {self.conv_seeds}, allowed: at most {most} at these sizes (memory)")
        return self

    def rng(self, stream: int, part: int = 0) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream, part]))

    def torch_rng(self, stream: int, part: int = 0) -> torch.Generator:
        """The same for torch, on the CPU."""
        state = np.random.SeedSequence([self.seed, stream, part]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(state >> 1))
