"""The paper, the chapter's parameters, what depends on the data set, and the random numbers."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="dual-pruning",
    title="Lightweight Dataset Pruning without Full Training via Example Difficulty and Prediction Uncertainty",
    authors=("Yeseul Cho", "Baekrok Shin", "Changmin Kang", "Chulhee Yun"),
    venue="ICML",
    year=2025,
    key="cho2025dual",
    arxiv="2502.06905",
)

SCENARIOS = ("clean", "noise", "corrupt")


@dataclass(frozen=True)
class Preset:
    """What depends on the data set: its short name in measured values, and defaults of parameters that are None."""

    key: str
    score_lr: float
    train_lr: float
    train_steps: int
    c_d: float | None  # None: chosen on the validation split
    mild: tuple[float, ...]
    replicas: int
    n_train: int
    size: int  # training samples that there are beside the validation split
    pixels: int
    validation: int = 0
    draws: int = 1  # trainings of each replica in the cells on which narrow claims turn
    score_batch: int = 64
    hidden: int = 64
    channels: tuple[int, int] = (8, 16)
    fast: bool = False  # whether five times the learning rate memorizes wrong labels within the early epochs


PRESETS = {
    "digits": Preset(
        "digits",
        score_lr=0.01,
        train_lr=0.05,
        train_steps=300,
        c_d=None,
        mild=(0.3, 0.5),
        replicas=6,
        n_train=1000,
        size=1000,
        pixels=64,
        validation=297,
        draws=4,
        fast=True,
    ),
    "fashion-mini": Preset(
        "mini",
        score_lr=0.02,
        train_lr=0.05,
        train_steps=300,
        c_d=None,
        mild=(0.3,),
        replicas=3,
        n_train=2000,
        size=4000,
        pixels=196,
        validation=1000,
        draws=3,
        channels=(4, 8),
    ),
    "fashion-mnist": Preset(
        "fashion",
        score_lr=0.02,
        train_lr=0.02,
        train_steps=3000,
        c_d=4.0,
        mild=(0.3, 0.5),
        replicas=5,
        n_train=60000,
        size=60000,
        pixels=784,
        score_batch=128,
        channels=(16, 32),
    ),
    "cifar10": Preset(
        "cifar10",
        score_lr=0.1,
        train_lr=0.1,
        train_steps=8000,
        c_d=5.5,
        mild=(0.3, 0.5),
        replicas=5,
        n_train=50000,
        size=50000,
        pixels=3072,
        score_batch=128,
        channels=(32, 64),
    ),
    "cifar100": Preset(
        "cifar100",
        score_lr=0.1,
        train_lr=0.1,
        train_steps=8000,
        c_d=4.0,
        mild=(0.3, 0.5),
        replicas=5,
        n_train=50000,
        size=50000,
        pixels=3072,
        score_batch=128,
        channels=(32, 64),
    ),
}

DatasetName = Literal["digits", "fashion-mini", "fashion-mnist", "cifar10", "cifar100"]
GIVEN = ("n_train", "replicas", "c_d", "score_lr", "train_lr", "train_steps")

BYTES_PER_NOTE = 7  # three half-precision numbers and a truth value for each sample, epoch and network
MOST_BYTES = 16 * 10**9
MOST_UPDATES = 500_000  # some ten minutes on a CPU for each data set, at a millisecond each


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    datasets: list[DatasetName] = parameter(
        "data sets, each scored, pruned and retrained",
        quick=["digits", "fashion-mini"],
        paper=["fashion-mnist"],
        min_length=1,
        max_length=5,
    )
    n_train: int | None = parameter(
        "training samples N, at most what the set has; none: the data set's preset", quick=None, ge=500, le=10**6
    )
    replicas: int | None = parameter(
        "repetitions S, each with its own weights, noise, corruption and draws; none: the preset",
        quick=None,
        ge=1,
        le=50,
    )
    model: Literal["mlp", "cnn", "resnet18"] = parameter(
        "network that scores and is retrained", quick="mlp", paper="cnn"
    )
    epochs_full: int = parameter("epochs of a full scoring run, T_full", quick=100, ge=2, le=1000)
    epochs_early: int = parameter("epochs T that DUAL uses", quick=15, ge=2, le=1000)
    window: int = parameter("window J of the running mean and spread, epochs", quick=10, ge=2, le=100)
    ratios: list[Annotated[float, pydantic.Field(gt=0, lt=1)]] = parameter(
        "pruning ratios r, share removed",
        quick=[0.3, 0.5, 0.7, 0.9],
        paper=[0.3, 0.5, 0.7, 0.8, 0.9],
        min_length=1,
        max_length=20,
    )
    c_d: float | None = parameter(
        "exponent c_D of the Beta law; none: the preset, or chosen on a validation split", quick=None, gt=0, le=100
    )
    difficulty_power: float = parameter("exponent p of the difficulty (1 - P)^p; 0 is Dyn-Unc", quick=1.0, ge=0, le=10)
    label_noise: float = parameter("share of wrong labels in the noise scenario, η", quick=0.2, ge=0, le=0.8)
    corruption: float = parameter("share of damaged images in the corruption scenario, κ", quick=0.3, ge=0, le=1)
    score_lr: float | None = parameter("learning rate of the scoring run; none: the preset", quick=None, gt=0, le=10)
    train_lr: float | None = parameter("learning rate of retraining; none: the preset", quick=None, gt=0, le=10)
    train_steps: int | None = parameter("updates of each retraining; none: the preset", quick=None, ge=1, le=100_000)
    record: Literal["eval", "train"] = parameter(
        "probabilities noted: after each epoch (eval) or from the training batches (train)", quick="eval", paper="train"
    )

    @pydantic.model_validator(mode="after")
    def _windows_fit(self):
        if self.epochs_early > self.epochs_full:
            raise ValueError(
                f"epochs_early: got {self.epochs_early}, allowed: at most epochs_full = {self.epochs_full}"
            )
        if self.window > self.epochs_early:
            raise ValueError(f"window: got {self.window}, allowed: at most epochs_early = {self.epochs_early}")
        for name in ("datasets", "ratios"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: a list without repetitions")
        return self

    @pydantic.model_validator(mode="after")
    def _machine_suffices(self):
        for name in self.datasets:
            preset = self.preset(name)
            noted = BYTES_PER_NOTE * preset.n_train * preset.replicas * (self.epochs_full + 3 * self.epochs_early)
            images = 4 * preset.pixels * preset.n_train * (preset.replicas + 1)
            if noted + images > MOST_BYTES:
                raise ValueError(
                    f"replicas: got {preset.replicas}, allowed: what {MOST_BYTES / 1e9:.0f} GB hold; {name} with "
                    f"{self.epochs_full} epochs takes {(noted + images) / 1e9:.0f}"
                )
            steps = self.epochs_full * -(-preset.n_train // preset.score_batch) + len(self.ratios) * preset.train_steps
            if steps > MOST_UPDATES:
                raise ValueError(
                    f"epochs_full: got {self.epochs_full}, allowed: what {MOST_UPDATES} updates make; {name} with "
                    f"{len(self.ratios)} ratios of {preset.train_steps} takes {steps}"
                )
        return self

    def preset(self, dataset: str) -> Preset:
        """The data set's preset, with every value that was given here put in."""
        given = {name: getattr(self, name) for name in GIVEN if getattr(self, name) is not None}
        preset = replace(PRESETS[dataset], **given)
        return replace(preset, n_train=min(preset.n_train, preset.size))


def random_numbers(params: Parameters, *stream: int) -> np.random.Generator:
    """Independent random numbers by the stream's numbers."""
    return np.random.default_rng([params.seed, *stream])


def torch_numbers(params: Parameters, stream: int) -> torch.Generator:
    """The same for initial weights and orders of samples."""
    return torch.Generator().manual_seed(params.seed + stream)
