"""A small language model trained with each optimizer, after an equal number of trials."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.mimuon.experiments.linear import GAP, MUON, NORM
from companion.chapters.mimuon.language import Member, train
from companion.chapters.mimuon.parameters import Parameters
from companion.chapters.mimuon.rule import Rule
from companion.data import load_dataset
from companion.models.ensemble import Shape, evaluate, initial, spread, windows
from companion.results import experiment

SGD, ADAM = "SGD, same trials", "Adam"
TEXT, HELD_OUT = 400_000, 80_000  # symbols to train on, and to choose and judge by
ADAM_LR = 0.01  # of embeddings, positions and head, whatever trains the blocks

# Five settings for each optimizer: step size, and threshold where there is one. The first won the trials: it has the
# least sum of validation losses over the seeds 900 and 901 with lm_trials=5, all else as at the quick profile.
TRIALS: dict[str, tuple[tuple[float, float], ...]] = {
    MUON: ((0.01, 0.0), (0.005, 0.0), (0.02, 0.0), (0.04, 0.0), (0.08, 0.0)),
    GAP: ((0.02, 1e-5), (0.01, 1e-5), (0.04, 1e-5), (0.04, 1e-4), (0.1, 1e-4)),
    NORM: ((0.01, 0.05), (0.02, 0.05), (0.04, 0.05), (0.04, 0.2), (0.1, 0.2)),
    SGD: ((0.5, 0.0), (0.1, 0.0), (0.2, 0.0), (1.0, 0.0), (2.0, 0.0)),
    ADAM: ((0.002, 0.0), (0.001, 0.0), (0.005, 0.0), (0.01, 0.0), (0.02, 0.0)),
}
_TESTS = {MUON: "always", GAP: "gap", NORM: "fro", SGD: "never"}


@dataclass(frozen=True)
class Language:
    """The best trial of each of K optimizers."""

    methods: tuple[str, ...]
    #: losses on validation text of all trials, ``(K, trials)``
    validation: np.ndarray
    #: which trial was kept, ``(K,)``
    kept: np.ndarray
    #: its training losses, ``(K, steps)``, and its loss on test text, ``(K,)``
    losses: np.ndarray
    test: np.ndarray
    #: share of the blocks' matrices that it orthogonalized at each step, ``(K, steps)``
    share: np.ndarray
    #: what the text is, in words
    source: str


@experiment
def language(params: Parameters) -> Language:
    """Train all trials of all optimizers side by side, from one start and on the same windows."""
    text = load_dataset("text", n_train=TEXT, n_test=HELD_OUT)
    trained, held_out = (torch.tensor(part) for part in (text.x_train, text.x_test))
    chosen_by, judged_by = held_out.split(HELD_OUT // 2)
    shape = Shape(params.lm_width, params.lm_blocks, 4, params.lm_context)
    generator = params.torch_rng(30)
    members = [
        Member(Rule(name, _TESTS[name], tau) if name in _TESTS else None, lr)
        for name, settings in TRIALS.items()
        for lr, tau in settings[: params.lm_trials]
    ]
    weights = {k: w.to(params.device) for k, w in initial(shape, len(members), generator).items()}
    batches = [
        windows(trained, params.lm_batch, params.lm_context, generator).to(params.device)
        for _ in range(params.lm_steps)
    ]
    weights, losses, share = train(shape, weights, members, batches, params.beta, ADAM_LR)
    validation, test = (
        evaluate(shape, weights, spread(part, 256, params.lm_context).to(params.device)).cpu().numpy()
        for part in (chosen_by, judged_by)
    )
    validation = np.where(np.isfinite(validation), validation, np.inf).reshape(len(TRIALS), params.lm_trials)
    kept = validation.argmin(1)
    best = kept + params.lm_trials * np.arange(len(TRIALS))
    padded = torch.cat([share, share.new_zeros(len(share), len(members) - share.shape[1])], 1)
    return Language(
        methods=tuple(TRIALS),
        validation=validation,
        kept=kept,
        losses=losses.double().cpu().numpy().T[best],
        test=test[best],
        share=padded.cpu().numpy().T[best],
        source=text.source,
    )
