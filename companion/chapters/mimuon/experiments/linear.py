"""Linear classifiers on neighbouring data sets: distances, generalization gaps, one example moved, and a slider."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.mimuon.bounds import constants, kappa_bound, travel_bound
from companion.chapters.mimuon.neighbours import CLASSES, Pairs, neighbouring_pairs, train
from companion.chapters.mimuon.parameters import Parameters
from companion.chapters.mimuon.rule import Rule
from companion.chapters.mimuon.samples import images
from companion.chapters.mimuon.spectrum import newton_schulz, newton_schulz_values, singular_values, smallest_value
from companion.results import experiment

SGD, MATCHED, MUON, GAP, NORM, SIGMA, CLIP = METHODS = (
    "SGDM",
    "SGDM, larger step",
    "Muon",
    "MiMuon, gap",
    "MiMuon, norm",
    "MiMuon, least value",
    "clipped spectrum",
)
LOOKED_AT = 1  # the size, of those listed, whose runs are followed step by step


def _rules(params: Parameters) -> list[Rule]:
    return [
        Rule(SGD, "never"),
        Rule(MATCHED, "never", lr=params.eta_matched),
        Rule(MUON, "always"),
        Rule(GAP, "gap", params.tau_gap),
        Rule(NORM, "fro", params.tau_norm),
        Rule(SIGMA, "sigma_min", params.tau_sigma),
        Rule(CLIP, "clip", params.tau_clip),
    ]


@dataclass(frozen=True)
class Neighbours:
    """Every method on pairs of data sets that differ in one example. K methods, S sizes, R pairs, T steps."""

    #: ``(S,)``
    sizes: np.ndarray
    #: distance of the two runs of a pair after the last step, ``(K, S, R)``
    distance: np.ndarray
    #: the same for two runs of different pairs, whose data sets have nothing in common but the distribution
    strangers: np.ndarray
    #: train, test, error: losses and 0-1 error on held-out examples of the first run of each pair, ``(K, S, R)``
    train: np.ndarray
    test: np.ndarray
    error: np.ndarray
    #: loss on held-out examples, as many as were trained on, ``(K, S, R)``
    unseen: np.ndarray
    #: share of the steps at which the two runs of a pair take different branches, ``(K, S)``
    disagree: np.ndarray
    #: share of orthogonalized steps, ``(K, S)``
    share: np.ndarray
    #: at the size looked at: mean distance after each step ``(K, T)``, and the share orthogonalized then ``(K, T)``
    path: np.ndarray
    share_path: np.ndarray
    #: at that size, for each step: the least nonzero singular value of Muon's momenta over all runs, ``(T,)``
    kappa: np.ndarray
    #: log10 of the bound by these values, ``(T,)``
    kappa_bound: np.ndarray
    #: the bound by the length of the steps, ``(T,)`` at that size, and after the last step ``(S,)``
    travel_path: np.ndarray
    travel: np.ndarray


@experiment
def neighbours(params: Parameters) -> Neighbours:
    """Train every method on every pair with the same draws, and judge it on everything else."""
    x, labels = images(params.images)
    rules, sizes = _rules(params), params.sizes
    replicas, steps, count = params.replicas, params.steps, len(rules)
    pairs = [neighbouring_pairs(labels, n, replicas, params.label_noise, params.rng(1, k)) for k, n in enumerate(sizes)]
    examples = torch.tensor(x, dtype=torch.float32, device=params.device)
    draw = _draws(params, pairs, examples)
    start = torch.zeros(count, len(sizes) * replicas * 2, CLASSES, x.shape[1], device=params.device)
    shape = (count, len(sizes), replicas, 2)
    paths, disagree, share, share_paths, kappa = [], 0, 0, [], []

    def watch(step: int, W: torch.Tensor, momentum: torch.Tensor, chosen: torch.Tensor) -> None:
        nonlocal disagree, share
        first, second = W.view(*shape, *W.shape[-2:])[:, LOOKED_AT].unbind(2)
        paths.append(torch.linalg.matrix_norm(first - second).mean(1))
        branch = chosen.view(shape)
        disagree = disagree + (branch[..., 0] != branch[..., 1]).double().mean(-1) / steps
        share = share + branch.double().mean((-1, -2)) / steps
        share_paths.append(branch[:, LOOKED_AT].double().mean((-1, -2)))
        followed = momentum.view(*shape, *W.shape[-2:])[METHODS.index(MUON), LOOKED_AT]
        kappa.append(smallest_value(singular_values(followed.double())).amin())

    W = train(draw, rules, start, steps, params.eta, params.beta, watch=watch)
    W = W.view(*shape, *W.shape[-2:])
    judged = np.stack([_judge(W[:, s, :, 0], pair, examples) for s, pair in enumerate(pairs)], axis=2)
    norm = torch.linalg.matrix_norm
    G, L = constants(x)
    n, least = sizes[LOOKED_AT], torch.stack(kappa).cpu().numpy()
    length = newton_schulz_values(np.linspace(0, 1, 100_001)).max()
    rank = CLASSES

    def travel(T: np.ndarray, n: int) -> np.ndarray:
        return travel_bound(T, params.eta, rank, params.batch, n, length)

    return Neighbours(
        sizes=np.array(sizes),
        distance=norm(W[..., 0, :, :] - W[..., 1, :, :]).cpu().numpy(),
        strangers=norm(W[..., 0, :, :] - W[..., 0, :, :].roll(1, dims=2)).cpu().numpy(),
        train=judged[0],
        test=judged[1],
        error=judged[2],
        unseen=judged[3],
        disagree=disagree.cpu().numpy(),
        share=share.cpu().numpy(),
        path=torch.stack(paths, 1).cpu().numpy(),
        share_path=torch.stack(share_paths, 1).cpu().numpy(),
        kappa=least,
        kappa_bound=kappa_bound(least, params.eta, G, L, n),
        travel_path=travel(np.arange(1, steps + 1), n),
        travel=np.array([travel(np.array([steps]), n)[0] for n in sizes]),
    )


def _draws(
    params: Parameters, pairs: list[Pairs], examples: torch.Tensor
) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """Step to batches ``(S R 2, b, ...)``: both runs of a pair draw the same places."""
    device, most = examples.device, max(pair.members.shape[-1] for pair in pairs)
    places = [
        params.rng(2, k).integers(0, pair.members.shape[-1], (params.steps, len(pair.members), 1, params.batch))
        for k, pair in enumerate(pairs)
    ]
    drawn = torch.tensor(np.stack(places, 1), device=device).expand(-1, -1, -1, 2, -1)
    padded = [torch.nn.functional.pad(pair.members, (0, most - pair.members.shape[-1])) for pair in pairs]
    members = torch.stack(padded).to(device)
    labels = torch.stack([pair.labels for pair in pairs]).to(device)[:, :, None].expand(-1, -1, 2, -1)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = members.gather(-1, drawn[step])
        return examples[chosen].flatten(0, 2), labels.gather(-1, chosen).flatten(0, 2)

    return batch


def _judge(W: torch.Tensor, pair: Pairs, examples: torch.Tensor) -> np.ndarray:
    """Training loss, held-out loss, held-out error and loss on an unseen sample of the size of the training set.

    ``W`` is ``(K, R, classes, d)``; the result ``(4, K, R)``.
    """
    members, n = pair.members[:, 0].to(W.device), pair.members.shape[-1]
    labels, held_out = pair.labels.to(W.device), pair.held_out.to(W.device)
    unseen = held_out & (held_out.cumsum(1) <= n)
    rows = []
    for weights in W:
        scores = examples @ weights.mT
        losses = -torch.log_softmax(scores, -1).gather(-1, labels[..., None])[..., 0]
        wrong = (scores.argmax(-1) != labels).to(losses.dtype)
        rows.append(
            torch.stack(
                [
                    losses.gather(-1, members).mean(-1),
                    (losses * held_out).sum(-1) / held_out.sum(-1),
                    (wrong * held_out).sum(-1) / held_out.sum(-1),
                    (losses * unseen).sum(-1) / unseen.sum(-1),
                ]
            )
        )
    return torch.stack(rows, 1).double().cpu().numpy()


# --- one example, moved by very little ------------------------------------------------------------------------------

NUDGE = 1e-7  # length by which an example is moved
TINY = "MiMuon, gap τ → 0"
NUDGED = (SGD, MUON, TINY, "MiMuon, gap τ/2", GAP, NORM, CLIP)
_NEXT_TO_ZERO = 1e-9  # a threshold that all but equal singular values pass
FULL = "Muon, U Vᵀ of the SVD"


@dataclass(frozen=True)
class Sensitivity:
    """Distance of two runs over the distance of their data, where example 0 is moved by :data:`NUDGE`."""

    #: NUDGED, then FULL
    names: tuple[str, ...]
    #: ``(K, R)``
    ratio: np.ndarray


@experiment
def sensitivity(params: Parameters) -> Sensitivity:
    """The same runs on data of the size looked at, in float64."""
    x, labels = images(params.images)
    n, replicas, rng = params.sizes[LOOKED_AT], params.replicas, params.rng(3)
    pair = neighbouring_pairs(labels, n, replicas, params.label_noise, rng)
    members = pair.members[:, 0]
    data = torch.tensor(x)[members][:, None].repeat(1, 2, 1, 1)
    moved = rng.normal(size=(replicas, x.shape[1]))
    data[:, 1, 0] += torch.tensor(NUDGE * moved / np.linalg.norm(moved, axis=1, keepdims=True))
    targets = pair.labels.gather(-1, members)[:, None].expand(-1, 2, -1)
    places = torch.tensor(rng.integers(0, n, (params.steps, replicas, 1, params.batch))).expand(-1, -1, 2, -1)
    data, targets, places = (each.to(params.device) for each in (data, targets, places))
    width = data.shape[-1]

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = places[step]
        taken = data.gather(2, chosen[..., None].expand(-1, -1, -1, width))
        return taken.flatten(0, 1), targets.gather(-1, chosen).flatten(0, 1)

    tests = (
        ("never", 0.0),
        ("always", 0.0),
        ("gap", _NEXT_TO_ZERO),
        ("gap", params.tau_gap / 2),
        ("gap", params.tau_gap),
        ("fro", params.tau_norm),
        ("clip", params.tau_clip),
    )
    rules = [Rule(name, *test) for name, test in zip(NUDGED, tests, strict=True)]
    found = []
    for some, factor in ((rules, newton_schulz), ([Rule(FULL, "always")], _full_factor)):
        start = torch.zeros(len(some), 2 * replicas, CLASSES, width, dtype=torch.float64, device=params.device)
        W = train(batch, some, start, params.steps, params.eta, params.beta, orthogonalize=factor)
        first, second = W.view(len(some), replicas, 2, CLASSES, width).unbind(2)
        found.append(torch.linalg.matrix_norm(first - second).cpu().numpy() / NUDGE)
    return Sensitivity((*NUDGED, FULL), np.concatenate(found))


def _full_factor(matrix: torch.Tensor) -> torch.Tensor:
    """``U V^T`` with all singular vectors, those of vanishing singular values included.

    Decomposed on the CPU: a GPU takes matrices of this shape one by one.
    """
    left, _, right = torch.linalg.svd(matrix.cpu(), full_matrices=False)
    return (left @ right).to(matrix.device)


# --- from SGD to Muon -----------------------------------------------------------------------------------------------

FAMILIES = (SGD, GAP, NORM, CLIP, MUON)


@dataclass(frozen=True)
class Slider:
    """Training loss and generalization gap, as a threshold or a step size slides. Families of J settings each."""

    #: ``(F, J)``: step sizes of the first and the last of FAMILIES, thresholds of the others
    setting: np.ndarray
    #: train, gap: means over the runs, ``(F, J)``
    train: np.ndarray
    gap: np.ndarray


@experiment
def slider(params: Parameters) -> Slider:
    """Every family at the size looked at, on the same data and draws."""
    x, labels = images(params.images)
    n = params.sizes[LOOKED_AT]
    replicas = max(4, params.replicas // 3)
    pairs = [neighbouring_pairs(labels, n, replicas, params.label_noise, params.rng(4))]
    examples = torch.tensor(x, dtype=torch.float32, device=params.device)
    factors = np.array([0.1, 0.3, 1.0, 2.0, 4.0])
    settings = np.array(
        [
            params.eta_matched * np.array([0.15, 0.5, 1.2, 2.5, 6]),
            params.tau_gap * factors[::-1],
            params.tau_norm * np.array([0.2, 0.4, 0.6, 1, 1.6])[::-1],
            params.tau_clip * factors[::-1],
            params.eta * np.array([0.2, 0.35, 0.5, 0.7, 1]),
        ]
    )
    tests = ("never", "gap", "fro", "clip", "always")
    rules = [
        Rule(name, test, lr=value) if test in ("never", "always") else Rule(name, test, value)
        for name, test, values in zip(FAMILIES, tests, settings, strict=True)
        for value in values.tolist()
    ]
    draw = _draws(params, pairs, examples)

    def first(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(each[::2] for each in draw(step))

    start = torch.zeros(len(rules), replicas, CLASSES, x.shape[1], device=params.device)
    W = train(first, rules, start, params.steps, params.eta, params.beta)
    trained, tested = _judge(W, pairs[0], examples)[:2].mean(-1)
    return Slider(settings, trained.reshape(settings.shape), (tested - trained).reshape(settings.shape))
