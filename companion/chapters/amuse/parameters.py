"""The paper, the chapter's parameters and its streams of random numbers."""

from typing import Annotated, Literal

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="amuse",
    title="AMUSE: Anytime Muon with Stable Gradient Evaluation",
    authors=("Jueun Kim", "Baekrok Shin", "Jihun Yun", "Beomhan Baek", "Minhak Song", "Chulhee Yun"),
    venue="arXiv preprint",
    year=2026,
    key="kim2026amuse",
    arxiv="2605.22432",
)

MOST_NUMBERS = 10**9  # that the weights and moving averages of all members may hold

Rate = Annotated[float, pydantic.Field(ge=1e-4, le=0.5)]
Settling = Annotated[float, pydantic.Field(ge=0.0, le=0.95)]
Coefficient = Annotated[float, pydantic.Field(ge=0.0, le=0.99)]


def _rates(what: str, quick: list[float], paper: list[float]) -> list[float]:
    return parameter(f"learning rates {what}", quick=quick, paper=paper,
                     min_length=1, max_length=4)  # fmt: skip


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    momentum: float = parameter("Muon's momentum μ", quick=0.95, ge=0.0, le=0.99)
    rhos: list[Settling] = parameter(
        "exponents ρ of the averaging window and of the motion between two walls", quick=[0.0, 0.3, 0.5, 0.8],
        min_length=2, max_length=5,
    )  # fmt: skip
    wall_steps: int = parameter("sign steps between two walls", quick=20_000, paper=100_000, ge=4000, le=200_000)
    river_steps: int = parameter("steps in the river valley", quick=1200, paper=4000, ge=480, le=20_000)
    river_replicas: int = parameter("river valleys, each of its own data", quick=3, paper=32, ge=1, le=64)
    river_beta1: float = parameter("first coefficient β₁ in the river valley and in the network", quick=0.6, ge=0.0,
                                   le=0.9)  # fmt: skip
    river_rho: float = parameter("exponent ρ there", quick=0.5, ge=0.0, le=1.0)
    network_seeds: int = parameter("networks whose curvature is looked at, for each method", quick=3, paper=16, ge=1,
                                   le=32)  # fmt: skip
    network_steps: int = parameter("steps of training them", quick=400, paper=1000, ge=60, le=5000)
    label_noise: float = parameter("share of their labels that is drawn at random", quick=0.2, ge=0.0, le=0.9)
    window: int = parameter("last steps whose motion is measured", quick=40, paper=100, ge=10, le=200)
    dominant: int = parameter("leading eigenvectors of the Hessian that span the dominant subspace", quick=10, ge=2,
                              le=15)  # fmt: skip
    beta1: float = parameter("first coefficient β₁ of AMUSE on text", quick=0.3, paper=0.6, ge=0.0, le=0.9)
    rho: float = parameter("exponent ρ of AMUSE on text", quick=0.3, paper=0.8, ge=0.0, le=1.0)
    warmup: float = parameter("warm-up on text, as a share of the steps", quick=0.05, paper=0.375, ge=0.01, le=0.5)
    starts: list[Coefficient] = parameter(
        "first coefficients from which one rising and one fixed are compared on text", quick=[0.0, 0.3],
        paper=[0.3, 0.6], min_length=1, max_length=4,
    )  # fmt: skip
    searched: list[Coefficient] = parameter(
        "further fixed coefficients on text, of which the best is searched for", quick=[0.6, 0.75, 0.95],
        paper=[0.8, 0.9, 0.95],
        min_length=1, max_length=4,
    )  # fmt: skip
    language_steps: int = parameter("steps on text", quick=640, paper=4000, ge=64, le=20_000)
    width: int = parameter("width of the language model, a multiple of 4", quick=32, paper=384, ge=8, le=768,
                           multiple_of=4)  # fmt: skip
    blocks: int = parameter("its blocks", quick=1, paper=6, ge=1, le=12)
    context: int = parameter("symbols that it sees", quick=32, paper=128, ge=4, le=512)
    batch: int = parameter("windows of text in a batch", quick=2, paper=16, ge=1, le=64)
    text_bytes: int = parameter("bytes of text", quick=1_500_000, paper=10_000_000, ge=100_000, le=20_000_000)
    muon_lrs: list[Rate] = _rates("of Muon on text; as many for every method", [0.01, 0.02], [0.002, 0.004])
    amuse_lrs: list[Rate] = _rates("of AMUSE on text; coefficients are compared at the last", [0.01, 0.02],
                                   [0.005, 0.01])  # fmt: skip
    sf_lrs: list[Rate] = _rates("of Schedule-Free AdamW on text", [0.01, 0.02], [0.002, 0.004])
    adamw_lrs: list[Rate] = _rates("of AdamW on text", [0.005, 0.01], [0.001, 0.002])
    images: Literal["fashion-mini", "fashion-mnist", "digits"] = parameter(
        "data set of the networks on images", quick="fashion-mini", paper="fashion-mnist"
    )
    image_steps: int = parameter("steps on images", quick=320, paper=4000, ge=64, le=20_000)
    image_seeds: int = parameter("networks on images for each method and rate", quick=3, paper=8, ge=1, le=32)
    image_width: int = parameter("width of their hidden layers", quick=32, paper=128, ge=8, le=256)
    image_batch: int = parameter("images in a batch", quick=32, paper=64, ge=1, le=256)
    image_beta1: float = parameter("first coefficient β₁ of AMUSE on images", quick=0.3, paper=0.8, ge=0.0, le=0.9)
    image_rho: float = parameter("exponent ρ of AMUSE on images", quick=0.3, ge=0.0, le=1.0)
    image_muon_lrs: list[Rate] = _rates("of Muon on images; as many for every method", [0.012, 0.025], [0.003, 0.006])
    image_amuse_lrs: list[Rate] = _rates("of AMUSE on images", [0.025, 0.05], [0.006, 0.012])
    image_sf_lrs: list[Rate] = _rates("of Schedule-Free AdamW on images", [0.012, 0.025], [0.003, 0.006])
    image_adamw_lrs: list[Rate] = _rates("of AdamW on images", [0.012, 0.025], [0.0015, 0.003])

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Parameters":
        for kind in ("", "image_"):
            lists = {name: getattr(self, kind + name) for name in ("muon_lrs", "amuse_lrs", "sf_lrs", "adamw_lrs")}
            if len({len(rates) for rates in lists.values()}) > 1:
                raise ValueError(
                    f"{kind}amuse_lrs: got {len(lists['amuse_lrs'])} rates, allowed: as many for every method"
                )
        if self.window >= self.network_steps // 2:
            raise ValueError(f"window: got {self.window}, allowed: less than half of network_steps")
        members = 5 * len(self.amuse_lrs) + 2 * len(self.starts) + len(self.searched)
        held = 5 * members * (12 * self.blocks * self.width**2 + (192 + self.context) * self.width)
        if held > 5 * MOST_NUMBERS:
            raise ValueError(f"width: got {self.width}, allowed: less with so many blocks and members (memory)")
        seen = members * self.batch * self.context * self.width * (20 * self.blocks + 10)
        if seen > 12 * MOST_NUMBERS:
            raise ValueError(f"batch: got {self.batch}, allowed: less at these sizes (memory)")
        return self

    def rng(self, stream: int) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream]))

    def torch_rng(self, stream: int) -> torch.Generator:
        """The same for torch, on the CPU."""
        state = np.random.SeedSequence([self.seed, stream]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(state >> 1))
