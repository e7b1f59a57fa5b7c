"""Low-rank adaptation of networks by three optimizers, and the spectra that come of it."""

import copy
from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.spectral_gradient_flow_lora import finetuning
from companion.chapters.spectral_gradient_flow_lora.finetuning import METHODS, Adaptation, AdaptedMLP, optimizer
from companion.chapters.spectral_gradient_flow_lora.parameters import Parameters
from companion.models.batched import BatchedMLP
from companion.models.decoder import Decoder, next_symbol_loss
from companion.models.lora import adapt
from companion.results import experiment

DIGITS_RATES = {"Muon": 0.02, "AdamW": 3e-3, "SGD": 0.03}
DIGITS_LEVEL = 0.5  # loss on turned digits at which spectra are compared


@dataclass(frozen=True)
class Digits:
    """A ReLU network trained on upright digits, adapted to turned ones."""

    #: for each of METHODS
    runs: tuple[Adaptation, ...]
    #: singular values of the factors ``A`` at the start, ``(seeds, layers, rank)``
    start: np.ndarray
    #: loss on upright digits before, and on turned ones, ``(2, seeds)``
    before: np.ndarray


@experiment
def digits(params: Parameters) -> Digits:
    """All seeds in one batch, one optimizer after the other, from the same weights and factors."""
    rank, generator = min(params.lora_rank, 32), params.torch_rng(50)
    x, turned, y = (part.to(params.device) for part in finetuning.digit_tasks(int(params.rng(51).integers(2**31))))
    model = BatchedMLP((64, 128, 128, 10), params.digits_seeds, generator=generator).to(params.device)
    finetuning.train_digits(model, x, y, params.digits_steps, generator)
    rows = torch.randint(len(x), (params.digits_seeds, 256), generator=generator).to(params.device)
    began = generator.get_state()
    runs = []
    for method in METHODS:
        generator.set_state(began)
        adapted = AdaptedMLP(model, rank, generator)
        factors = [factor for pair in adapted.factors for factor in pair]

        def evaluate(images: torch.Tensor = turned, adapted: AdaptedMLP = adapted) -> np.ndarray:
            with torch.no_grad():
                return adapted.losses(images[rows], y[rows]).double().cpu().numpy()

        def training_loss(adapted: AdaptedMLP = adapted) -> torch.Tensor:
            drawn = torch.randint(len(x), (params.digits_seeds, 64), generator=generator).to(params.device)
            return adapted.losses(turned[drawn], y[drawn]).sum()

        start = np.stack(
            [np.linalg.svd(A.detach().double().cpu().numpy(), compute_uv=False) for _, A in adapted.factors], axis=-2
        )
        before = np.stack([evaluate(x), evaluate(turned)])
        runs.append(
            finetuning.follow(
                adapted.factors, training_loss, evaluate, optimizer(method, factors, DIGITS_RATES[method]),
                level=np.full(params.digits_seeds, DIGITS_LEVEL), steps=400, every=2,
            )
        )  # fmt: skip
    return Digits(tuple(runs), start, before)


@dataclass(frozen=True)
class Language:
    """Language models trained on one text and adapted to another, by each optimizer at each of its rates."""

    #: for each run: number of the seed, method, learning rate, ``(runs,)``
    seeds: np.ndarray
    methods: tuple[str, ...]
    rates: np.ndarray
    runs: tuple[Adaptation, ...]
    #: singular values of the factors ``A`` at the start, ``(seeds, layers, rank)``
    start: np.ndarray
    #: losses before the adaptation, on the first and on the second text, ``(2, seeds)``
    before: np.ndarray
    #: the adapted matrices, and the two texts in words
    layers: tuple[str, ...]
    texts: tuple[str, str]

    def flatness(self) -> np.ndarray:
        """``sigma_r / sigma_1`` of ``B A`` when the loss has fallen, median over the matrices, ``(runs,)``."""
        return np.array([np.median(ratio(run.spectra()[0])) for run in self.runs])

    def growth(self) -> np.ndarray:
        """The same of what the singular values gained over the second half of the way, mean over matrices, ``(runs,)``.

        Half a way is a dozen steps, and a median of few matrices would be noisy.
        """
        return np.array([np.mean(ratio(run.growth()[0])) for run in self.runs])

    def own(self) -> np.ndarray:
        """``sigma_r / sigma_1`` of the factors ``A`` at the start, median over the matrices, ``(runs,)``."""
        return np.median(ratio(self.start), axis=1)[self.seeds]


def ratio(values: np.ndarray) -> np.ndarray:
    """Smallest over largest along the last axis, of values in decreasing order; NaN where the largest is zero."""
    return values[..., -1] / np.where(values[..., 0] != 0, values[..., 0], np.nan)


@experiment
def language(params: Parameters) -> Language:
    """For each seed: train, freeze, and adapt once for each optimizer and rate from the same factors and batches."""
    text = finetuning.texts(params.text_bytes)
    home, away = text.home.to(params.device), text.away.to(params.device)
    lists = zip(METHODS, (params.muon_lrs, params.adamw_lrs, params.sgd_lrs), strict=True)
    rates = [(method, rate) for method, tried in lists for rate in tried]
    found, start, before = [], [], []
    for seed in range(params.language_seeds):
        generator = params.torch_rng(60, seed)
        model = Decoder(params.width, params.blocks, 4, params.context, generator=generator).to(params.device)
        finetuning.train_language(
            model, home, steps=params.pretrain_steps, batch=params.batch, lr=3e-3, generator=generator
        )
        held = [finetuning.windows(part, 64, params.context, generator) for part in (home, away)]
        began = generator.get_state()
        for method, rate in rates:
            generator.set_state(began)
            adapted = copy.deepcopy(model)
            layers = adapt(adapted, min(params.lora_rank, params.width), generator=generator)

            def evaluate(symbols: torch.Tensor = held[1], adapted: Decoder = adapted) -> np.ndarray:
                with torch.no_grad():
                    return np.array([float(next_symbol_loss(adapted, symbols))])

            def training_loss(adapted: Decoder = adapted, generator: torch.Generator = generator) -> torch.Tensor:
                return next_symbol_loss(adapted, finetuning.windows(away, params.batch, params.context, generator))

            first = evaluate()
            factors = [(layer.B, layer.A) for layer in layers.values()]
            spectra = [np.linalg.svd(A.detach().double().cpu().numpy(), compute_uv=False) for _, A in factors]
            rule = optimizer(method, [factor for pair in factors for factor in pair], rate)
            run = finetuning.follow(
                factors, training_loss, evaluate, rule,
                level=first - params.loss_drop, steps=params.adapt_steps, every=2,
            )  # fmt: skip
            found.append((seed, method, rate, run))
        start.append(spectra)
        before.append([float(evaluate(symbols, model)[0]) for symbols in held])
    seeds, methods, tried, runs = zip(*found, strict=True)
    return Language(
        np.array(seeds), methods, np.array(tried), runs, np.array(start), np.array(before).T, tuple(layers), text.names
    )
