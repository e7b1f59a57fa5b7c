"""The paper, the chapter's parameters, and the algorithm for whole batches of networks."""

import itertools
from dataclasses import dataclass
from typing import Annotated

import pydantic
import torch

from companion import parameters
from companion.models.diagonal import diagonal_gradient
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="sam-diagonal-networks",
    title="Minor First, Major Last: A Depth-Induced Implicit Bias of Sharpness-Aware Minimization",
    authors=("Chaewon Moon", "Dongkuk Si", "Chulhee Yun"),
    venue="ICLR",
    year=2026,
    key="moon2026minor",
    arxiv="2603.08290",
)

Positive = Annotated[float, pydantic.Field(gt=0, le=10)]
Fraction = Annotated[float, pydantic.Field(gt=0, le=1)]
Pair = Annotated[list[Annotated[int, pydantic.Field(ge=0, le=9)]], pydantic.Field(min_length=2, max_length=2)]
TINY = 1e-300


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    mu: list[Positive] = parameter(
        "the example μ of the amplification runs, strictly increasing",
        quick=[1.0, 2.0, 3.0, 4.0],
        min_length=2,
        max_length=64,
    )
    rho: float = parameter("radius ρ of the ℓ₂-SAM perturbation", quick=0.1, ge=1e-3, le=1)
    scales: list[Annotated[float, pydantic.Field(ge=0.05, le=4)]] = parameter(
        "initialization scales α/ρ shown one by one, increasing",
        quick=[0.36, 0.41, 0.42, 0.45, 0.5, 0.6, 0.8, 1.0],
        min_length=1,
        max_length=40,
    )
    grid: int = parameter("initialization scales of the phase diagram", quick=60, paper=200, ge=2, le=1000)
    lr: float = parameter("step size η of the amplification runs; ημ_d at most 0.05", quick=4e-3, gt=0, le=0.05)
    steps: int = parameter("steps of the amplification runs", quick=20_000, ge=100, le=1_000_000)
    record_every: int = parameter("steps between records of the amplification runs", quick=25, ge=1, le=1000)
    random_problems: int = parameter("random problems for the vertex rule", quick=12, paper=100, ge=1, le=1000)
    dimensions: list[Annotated[int, pydantic.Field(ge=2, le=64)]] = parameter(
        "dimensions d of the sweep, μ evenly spaced on [1, 4]",
        quick=[2, 16],
        paper=[2, 4, 16, 64],
        min_length=1,
        max_length=8,
    )
    radii: list[Annotated[float, pydantic.Field(ge=1e-3, le=1)]] = parameter(
        "radii ρ of the sweep", quick=[0.1], paper=[0.03, 0.1, 0.3], min_length=1, max_length=8
    )
    datasets: int = parameter("random separable data sets at depth 1 and at depth 2", quick=6, paper=50, ge=1, le=500)
    rho_depth_one: float = parameter("radius ρ at depth 1", quick=0.5, ge=0, le=2)
    steps_depth_one: int = parameter(
        "loss-normalized steps at depth 1", quick=12_000, paper=40_000, ge=100, le=1_000_000
    )
    steps_depth_two: int = parameter(
        "loss-normalized steps at depth 2 on several examples", quick=8000, paper=20_000, ge=100, le=30_000
    )
    mu_gates: list[Positive] = parameter(
        "the example μ of the gate runs, strictly increasing", quick=[1.0, 2.0, 3.0], min_length=2, max_length=6
    )
    rho_linf: float = parameter("radius ρ of ℓ∞-SAM in the gate runs", quick=0.5, ge=0.05, le=1)
    digit_pairs: list[Pair] = parameter(
        "pairs of digits to tell apart",
        quick=[[0, 1], [3, 8], [2, 7]],
        paper=[[0, 1], [3, 8], [2, 7], [4, 9], [5, 6], [1, 7], [0, 8], [3, 5], [6, 8], [4, 7]],
        min_length=1,
        max_length=45,
    )
    vertex_fractions: list[Fraction] = parameter(
        "digits: initial vertex as a fraction of the strongest feature, increasing",
        quick=[0.31, 0.34, 0.38, 0.45],
        min_length=2,
        max_length=20,
    )
    rho_digits: float = parameter("radius ρ on digits", quick=0.3, ge=0.01, le=1)
    steps_digits: int = parameter("steps on digits (step size 0.2)", quick=3000, ge=100, le=100_000)
    mlp_seeds: int = parameter("initial weights of the ReLU networks", quick=5, paper=10, ge=2, le=100)
    run_cnn: bool = parameter("whether to train the convolutional networks (minutes on a CPU)", quick=False, paper=True)
    cnn_seeds: int = parameter("initial weights of the convolutional networks", quick=3, paper=10, ge=2, le=100)

    @pydantic.model_validator(mode="after")
    def _lists_fit(self):
        for name in ("mu", "mu_gates", "scales", "vertex_fractions"):
            values = getattr(self, name)
            if any(b <= a for a, b in itertools.pairwise(values)):
                raise ValueError(f"{name}: got {values}, allowed: strictly increasing values")
        if self.lr * self.mu[-1] > 0.05 * (1 + 1e-9):
            raise ValueError(f"lr: got {self.lr}, allowed: at most {0.05 / self.mu[-1]:.3g} for mu up to {self.mu[-1]}")
        if any(a == b for a, b in self.digit_pairs):
            raise ValueError(f"digit_pairs: got {self.digit_pairs}, allowed: pairs of different digits")
        if self.record_every > self.steps:
            raise ValueError(f"record_every: got {self.record_every}, allowed: at most steps = {self.steps}")
        return self


@dataclass(frozen=True)
class Radii:
    """Radius of each run's perturbation, ``(R, 1, 1)``; one of the three is non-zero, none for gradient descent."""

    l2: torch.Tensor
    linf: torch.Tensor
    none: torch.Tensor

    @classmethod
    def of(cls, norms: list[str], radii: list[float], device: str = "cpu") -> "Radii":
        """One run per entry; the norm is ``"l2"``, ``"linf"``, ``"none"`` or, for gradient descent, ``"gd"``."""
        rows = {
            name: [r if norm == name else 0.0 for norm, r in zip(norms, radii, strict=True)]
            for name in ("l2", "linf", "none")
        }
        return cls(
            **{name: torch.tensor(row, dtype=torch.float64, device=device)[:, None, None] for name, row in rows.items()}
        )


def joint_norm(gradient: torch.Tensor) -> torch.Tensor:
    """Euclidean norm over all layers together: ``(..., L, d)`` to ``(..., 1, 1)``."""
    return (gradient * gradient).sum((-2, -1), keepdim=True).sqrt_()


def perturbation(gradient: torch.Tensor, norm: torch.Tensor, radii: Radii) -> torch.Tensor:
    """SAM's ascent step ``eps`` from the gradient ``(..., R, L, d)``; zero where the gradient is zero."""
    return gradient * (radii.l2 / norm.clamp_min(TINY) + radii.none) + radii.linf * gradient.sign()


def sam_gradient(
    w: torch.Tensor, z: torch.Tensor, radii: Radii, count: torch.Tensor | None = None, *, normalized: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient and slopes ``-l'`` at the perturbed weights, for a batch of networks that may differ in their norm.

    ``normalized`` divides by the slopes' mean, which is the change of clock to rescaled time.
    """
    gradient, _ = diagonal_gradient(w, z, count, normalized=normalized)
    return diagonal_gradient(w + perturbation(gradient, joint_norm(gradient), radii), z, count, normalized=normalized)
