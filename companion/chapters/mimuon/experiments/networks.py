"""A small network: what each method generalizes to, and the spectra of Muon's momenta."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.mimuon.experiments.linear import GAP, MATCHED, MUON, NORM, SGD
from companion.chapters.mimuon.neighbours import CLASSES, neighbouring_pairs
from companion.chapters.mimuon.networks import initial, scores, train
from companion.chapters.mimuon.parameters import Parameters
from companion.chapters.mimuon.rule import Rule
from companion.chapters.mimuon.samples import images
from companion.chapters.mimuon.spectrum import RTOL, singular_values, smallest_gap, smallest_value
from companion.results import experiment

METHODS = (SGD, MATCHED, MUON, GAP, NORM)
LAYERS = ("first layer", "second layer", "head")
LOOKS = 20  # times at which spectra are taken


@dataclass(frozen=True)
class Networks:
    """Networks of three layers, K methods, S training set sizes, R replicas."""

    #: ``(S,)``
    sizes: np.ndarray
    #: train, test, error: training loss, held-out loss and held-out 0-1 error, ``(K, S, R)``
    train: np.ndarray
    test: np.ndarray
    error: np.ndarray
    #: share of orthogonalized steps for each layer, ``(K, 3)``
    share: np.ndarray
    #: shapes of the layers, as text
    shapes: tuple[str, ...]
    #: smallest, mean: the smallest and the mean gap of Muon's momenta, over the norm, ``(3 layers, looks)``
    smallest: np.ndarray
    mean: np.ndarray
    #: the smallest gap as it is, which a threshold is compared with, ``(3, looks)``
    kappa: np.ndarray
    #: median of the smallest gap over the norm of Gaussian matrices of the layers' shapes, ``(3,)``
    gaussian: np.ndarray


@experiment
def networks(params: Parameters) -> Networks:
    """Train every method on the same sets, batches and initial weights."""
    x, labels = images(params.images)
    replicas, sizes, steps = params.net_replicas, params.net_sizes, params.net_steps
    device = params.device
    examples = torch.tensor(x, dtype=torch.float32, device=device)
    drawn, targets, sets = [], [], []
    for k, n in enumerate(sizes):
        rng = params.rng(20, k)
        found = neighbouring_pairs(labels, n, replicas, params.label_noise, rng)
        places = torch.tensor(rng.integers(0, n, (steps, replicas, params.net_batch)))
        chosen = found.members[:, 0].expand(steps, -1, -1).gather(-1, places)
        drawn.append(chosen)
        targets.append(found.labels.expand(steps, -1, -1).gather(-1, chosen))
        sets.append(found)
    drawn, targets = torch.cat(drawn, 1).to(device), torch.cat(targets, 1).to(device)
    rules = [
        Rule(SGD, "never"),
        Rule(MATCHED, "never", lr=params.net_eta_matched),
        Rule(MUON, "always"),
        Rule(GAP, "gap", params.net_tau_gap),
        Rule(NORM, "fro", params.net_tau_norm),
    ]
    widths = (x.shape[1], params.width, params.width, CLASSES)
    start = initial(widths, replicas * len(sizes), params.torch_rng(21))
    share, spectra = 0, []
    looks = set(np.unique(np.linspace(1, steps, LOOKS).round().astype(int)).tolist())

    def watch(step: int, momenta: list[torch.Tensor], chosen: list[torch.Tensor]) -> None:
        nonlocal share
        share = share + torch.stack([layer.double().mean(1) for layer in chosen], 1) / steps
        if step in looks:
            spectra.append([singular_values(layer[METHODS.index(MUON)].double()) for layer in momenta])

    layers = train(
        lambda step: (examples[drawn[step]], targets[step]),
        rules,
        [w.to(device) for w in start],
        steps,
        params.eta,
        params.beta,
        watch,
    )
    judged = np.empty((3, len(rules), len(sizes), replicas))
    for s, found in enumerate(sets):
        part = slice(s * replicas, (s + 1) * replicas)
        judged[:, :, s] = _judge([w[:, part] for w in layers], found, examples)
    values = [torch.stack(looked) for looked in zip(*spectra, strict=True)]  # (looks, members, k) of each layer
    relative = np.array([_gaps(layer) for layer in values])
    shapes = [tuple(w.shape[-2:]) for w in start]
    normal = params.torch_rng(22)
    gaussian = [singular_values(torch.randn(200, *shape, generator=normal, dtype=torch.float64)) for shape in shapes]
    return Networks(
        sizes=np.array(sizes),
        train=judged[0],
        test=judged[1],
        error=judged[2],
        share=share.cpu().numpy(),
        shapes=tuple("×".join(map(str, shape)) for shape in shapes),
        smallest=relative[:, 0],
        mean=relative[:, 1],
        kappa=relative[:, 2],
        gaussian=np.array([np.median(_gaps(layer)[0]) for layer in gaussian]),
    )


def _gaps(values: torch.Tensor) -> np.ndarray:
    """Smallest gap and mean gap over the norm, and the smallest gap itself: ``(3, matrices)``."""
    values = values.flatten(0, -2)
    norm = values.square().sum(-1).sqrt().clamp(min=torch.finfo(values.dtype).tiny)
    nonzero = (values > RTOL * values[:, :1]).sum(-1)
    least, gap = smallest_value(values), smallest_gap(values)
    mean = (values[:, 0] - least) / (nonzero - 1).clamp(min=1)
    return torch.stack([gap / norm, mean / norm, gap]).cpu().numpy()


def _judge(layers: list[torch.Tensor], found, examples: torch.Tensor) -> np.ndarray:
    """Training loss, held-out loss and held-out error, ``(3, K, R)``."""
    members, labels, held_out = (
        each.to(examples.device) for each in (found.members[:, 0], found.labels, found.held_out)
    )
    rows = []
    for one in zip(*layers, strict=True):
        z = scores(list(one), examples)
        losses = -torch.log_softmax(z, -1).gather(-1, labels[..., None])[..., 0]
        wrong = (z.argmax(-1) != labels).to(losses.dtype)
        held = [(each * held_out).sum(-1) / held_out.sum(-1) for each in (losses, wrong)]
        rows.append(torch.stack([losses.gather(-1, members).mean(-1), *held]))
    return torch.stack(rows, 1).double().cpu().numpy()
