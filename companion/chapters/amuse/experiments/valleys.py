"""Across and along the valley: an exact river valley, and the Hessian of small networks."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.amuse import networks
from companion.chapters.amuse.parameters import Parameters
from companion.chapters.amuse.training import Ensemble, Recipe, orthogonal, timetable, train
from companion.chapters.amuse.valley import COLUMNS, River, steep_share
from companion.data import load_dataset
from companion.results import experiment

WARMUP = 50
QUIET = 0.1  # noise of the quiet valley, relative to the others
EVERY = 10

SIZES = (64, 32, 32, 10)
IMAGES = 1280
BATCH = 64
NETWORK_WARMUP = 30
PRODUCTS = 24  # with the Hessian, to find its leading eigenvectors
TRACE = 60  # steps that are drawn
SHARES_EVERY = 4
RANDOM = 100  # random directions that stand for any subspace


def river_recipes(beta1: float, rho: float) -> list[Recipe]:
    """Muon and its averages at one rate; Muon, Adam and SGD at rates that bring them equally far in a sixth."""
    return [
        Recipe("Muon", "Muon", 0.043),
        Recipe("Muon, fast", "Muon", 0.1),
        Recipe("AMUSE", "Muon", 0.1, beta1, rho),
        Recipe("fixed coefficient", "Muon", 0.1, beta1),
        Recipe("fixed coefficient, 0.95", "Muon", 0.1, 0.95),
        Recipe("Adam", "Adam", 0.012),
        Recipe("SGD", "SGD", 0.08),
    ]


@dataclass(frozen=True)
class Rivers:
    """Runs in the river valley."""

    names: tuple[str, ...]
    #: steps looked at, ``(n,)``
    t: np.ndarray
    #: loss in the steep columns at the gradient point, ``(n, M, R)``
    steep: np.ndarray
    #: loss in the flat columns there, ``(n, M, R)``
    flat: np.ndarray
    #: both at the answer X, ``(n, M, R)``
    steep_answer: np.ndarray
    flat_answer: np.ndarray
    #: as ``steep``, in a valley with a tenth of the noise, ``(n, M)``
    quiet: np.ndarray
    #: share of the steep columns in the momentum and in what is made of it by orthogonalizing, at a sixth, ``(M, R)``
    momentum_share: np.ndarray
    orthogonal_share: np.ndarray
    #: the same of four random directions
    momentum_random: np.ndarray
    orthogonal_random: np.ndarray

    def of(self, name: str) -> int:
        """Where a run is."""
        return self.names.index(name)

    def early(self, values: np.ndarray) -> np.ndarray:
        """Values at a sixth of the run."""
        return values[np.searchsorted(self.t, self.t[-1] / 6)]

    def mid(self, values: np.ndarray) -> np.ndarray:
        """Means over a stretch around a third."""
        return values[(self.t >= 0.29 * self.t[-1]) & (self.t <= 0.38 * self.t[-1])].mean(0)

    def late(self, values: np.ndarray) -> np.ndarray:
        """Means over the last eighth."""
        return values[self.t >= 0.875 * self.t[-1]].mean(0)


@experiment
def river(params: Parameters) -> Rivers:
    """All methods in the same valleys, with the same batches; the last valley is quiet."""
    generator, device = params.torch_rng(20), params.device
    drawn = River.draw(params.river_replicas + 1, generator)
    valley = River(drawn.target.to(device))
    volume = torch.ones(params.river_replicas + 1, 1, 1)
    volume[-1] = QUIET
    recipes = river_recipes(params.river_beta1, params.river_rho)
    ensemble = Ensemble(recipes, [True], momentum=params.momentum, second=0.999)
    start = torch.zeros(len(recipes), *drawn.target.shape, device=device)
    table = timetable(recipes, params.river_steps, WARMUP, start)

    def gradient(points: list[torch.Tensor], k: int) -> list[torch.Tensor]:
        inputs, noise = valley.batch(generator, volume)
        return [valley.gradient(points[0], inputs, noise)]

    axes = torch.linalg.qr(torch.randn(COLUMNS, COLUMNS, generator=generator))[0].to(device)
    looks, sixth = [], EVERY * (params.river_steps // 6 // EVERY)
    for t, points, found, state in train(ensemble, [start], table, gradient):
        if t % EVERY == 0:
            at_answer = valley.losses(ensemble.answers(state)[0])
            looks.append(torch.stack([*valley.losses(points[0]), *at_answer]))
        if t == sixth:
            momentum = ensemble.mixtures(state, found)[0][:, :-1]
            turned = orthogonal([momentum])[0]
    # One Gaussian batch gives all columns some gradient; four random columns are four columns of turned axes.
    shares = [steep_share(u @ a) for a in (torch.eye(COLUMNS, device=device), axes) for u in (momentum, turned)]
    values = torch.stack(looks).double().cpu().numpy()
    steep, flat, steep_answer, flat_answer = (values[:, k, :, :-1] for k in range(4))
    return Rivers(
        tuple(recipe.name for recipe in recipes),
        EVERY * np.arange(1, len(looks) + 1),
        steep,
        flat,
        steep_answer,
        flat_answer,
        values[:, 0, :, -1],
        *(s.double().cpu().numpy() for s in shares),
    )


def network_recipes(beta1: float, rho: float) -> list[Recipe]:
    """What trains the networks; the slow Muon crosses the valley as little as AMUSE does."""
    return [
        Recipe("Muon", "Muon", 0.03),
        Recipe("Muon, slow", "Muon", 0.006),
        Recipe("AMUSE", "Muon", 0.06, beta1, rho),
        Recipe("fixed coefficient", "Muon", 0.06, beta1),
        Recipe("Adam", "Adam", 0.003),
        Recipe("SGD", "SGD", 0.5),
    ]


@dataclass(frozen=True)
class Networks:
    """Motion of networks over their last updates, the dominant subspace taken at the end."""

    names: tuple[str, ...]
    #: training loss at the end, ``(M, R)``
    loss: np.ndarray
    #: leading eigenvalues of the Hessian, ``(M, R, k)``
    eigenvalues: np.ndarray
    #: see :class:`companion.chapters.amuse.networks.Motion`, ``(M, R)``
    path: np.ndarray
    coherence: np.ndarray
    bulk: np.ndarray
    #: loss that a Newton step in the dominant subspace would remove, ``(M, R)``
    excess: np.ndarray
    #: dominant share of the momentum and of what is made of it, means over the updates, ``(M, R)``
    momentum_share: np.ndarray
    orthogonal_share: np.ndarray
    #: the same of random directions, as many
    momentum_random: np.ndarray
    orthogonal_random: np.ndarray
    #: places in the first network of each method, along the leading eigenvector and along its way through the bulk,
    #: ``(n, M, 2)``
    trace: np.ndarray

    def of(self, name: str) -> int:
        """Where a run is."""
        return self.names.index(name)


@experiment
def network(params: Parameters) -> Networks:
    """Digits, of whose labels a part is random, so that neither loss nor Hessian vanish."""
    generator, device = params.torch_rng(30), params.device
    data = load_dataset("digits", seed=0, flatten=True)
    images = torch.from_numpy(data.x_train[:IMAGES]).to(device)
    true = torch.from_numpy(data.y_train[:IMAGES])
    seeds = params.network_seeds
    wrong = torch.rand(seeds, IMAGES, generator=generator) < params.label_noise
    labels = torch.where(wrong, torch.randint(10, (seeds, IMAGES), generator=generator), true).to(device)
    recipes = network_recipes(params.river_beta1, params.river_rho)
    start = [w.to(device) for w in networks.initial(SIZES, seeds, len(recipes), generator)]
    ensemble = Ensemble(recipes, [True] * len(start), momentum=params.momentum, second=0.999)
    table = timetable(recipes, params.network_steps, NETWORK_WARMUP, start[0])

    def gradients(points: list[torch.Tensor], k: int) -> tuple[torch.Tensor, ...]:
        rows = torch.randint(IMAGES, (seeds, BATCH), generator=generator).to(device)
        return networks.gradients(points, images[rows], labels.gather(1, rows))

    steps, kept, window = params.network_steps, [], params.window
    momenta, turned, seen = [], [], max(window, min(TRACE, params.network_steps - 1))
    for t, points, found, state in train(ensemble, start, table, gradients):
        if t >= steps - seen:
            kept.append(networks.flat(points))
        if t > steps - window and t % SHARES_EVERY == 0:
            mixtures = ensemble.mixtures(state, found)
            momenta.append(networks.flat(mixtures))
            turned.append(networks.flat(orthogonal(mixtures)))
    places = torch.stack(kept)
    values, basis, slope = networks.leading(points, images[None], labels, params.dominant, PRODUCTS, generator)
    moved = networks.motion(places[-window - 1 :], basis)
    anywhere = torch.linalg.qr(torch.randn(places.shape[-1], RANDOM, generator=generator))[0].mT.to(device)
    shares = [networks.share(torch.stack(updates), basis).mean(0) for updates in (momenta, turned)]
    shares += [params.dominant / RANDOM * networks.share(torch.stack(u), anywhere).mean(0) for u in (momenta, turned)]
    measured = (
        networks.losses(points, images[None], labels),
        values,
        moved.path,
        moved.coherence,
        moved.bulk,
        networks.excess(slope, values, basis),
        *shares,
        _trace(places[:, :, 0], basis[:, 0]),
    )
    return Networks(tuple(recipe.name for recipe in recipes), *(m.detach().double().cpu().numpy() for m in measured))


def _trace(places: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Places ``(n, M, P)`` in two coordinates ``(n, M, 2)``: along the first of a basis ``(M, k, P)``, and along the
    way from the first place to the last, less its dominant part.
    """
    way = places[-1] - places[0]
    way = way - ((basis @ way[..., None]).mT @ basis)[:, 0]
    ahead = way / way.norm(dim=-1, keepdim=True)
    offsets = places - places[-1:]
    return torch.stack([(offsets * basis[:, 0]).sum(-1), ((places - places[:1]) * ahead).sum(-1)], dim=-1)
