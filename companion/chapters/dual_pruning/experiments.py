"""Parameters and experiments: score on all data, prune, retrain on what is left, and transfer to other learners."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import pydantic
import torch
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from companion import parameters
from companion.analysis import pruning
from companion.chapters.dual_pruning import theory
from companion.chapters.dual_pruning.resnet import BatchedResNet18, crop_and_flip
from companion.data import Dataset, load_dataset
from companion.data.corruptions import corrupt_images, symmetric_label_noise
from companion.models import batched
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
FROZEN_RATIO = 0.3  # the ratio at which the "frozen" control fixes the Beta law
OTHER_C = 4.0  # the paper's default of c_D, tried where our own default is smaller
TOP_SHARE = 0.3  # share of the data in the overlap with the full-run score
FASTER = 5  # learning-rate factor at which wrong labels are memorized within the early epochs


@dataclass(frozen=True)
class Preset:
    """What depends on the data set: its short name in measured values, and defaults of parameters that are None."""

    key: str
    score_lr: float
    train_lr: float
    train_steps: int
    c_d: float
    mild: tuple[float, ...]
    replicas: int
    size: int
    draws: int = 1  # coresets of each replica where random draws differ most: clean data, ratio 0.9
    n_train: int | None = None
    score_batch: int = 64
    hidden: int = 64
    channels: tuple[int, int] = (8, 16)


PRESETS = {
    "digits": Preset(
        "digits",
        score_lr=0.01,
        train_lr=0.05,
        train_steps=500,
        c_d=1.5,
        mild=(0.5, 0.7),
        replicas=6,
        size=1297,
        draws=4,
    ),
    "fashion-mini": Preset(
        "mini",
        score_lr=0.02,
        train_lr=0.05,
        train_steps=600,
        c_d=2.0,
        mild=(0.3, 0.5),
        replicas=4,
        size=5000,
        n_train=4000,
    ),
    "fashion-mnist": Preset(
        "fashion",
        score_lr=0.02,
        train_lr=0.02,
        train_steps=3000,
        c_d=4.0,
        mild=(0.3, 0.5),
        replicas=5,
        size=60000,
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
        size=50000,
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
        size=50000,
        score_batch=128,
        channels=(32, 64),
    ),
}

DatasetName = Literal["digits", "fashion-mini", "fashion-mnist", "cifar10", "cifar100"]


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    datasets: list[DatasetName] = parameter(
        "data sets, each scored, pruned and retrained",
        quick=["digits", "fashion-mini"],
        paper=["fashion-mnist"],
        min_length=1,
    )
    n_train: int | None = parameter(
        "training samples N, at most what the set has; none: the data set's preset", quick=None, ge=500
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
        "pruning ratios r, share removed", quick=[0.3, 0.5, 0.7, 0.9], paper=[0.3, 0.5, 0.7, 0.8, 0.9], min_length=1
    )
    c_d: float | None = parameter("exponent c_D of the Beta law; none: the data set's preset", quick=None, gt=0, le=100)
    difficulty_power: float = parameter("exponent p of the difficulty (1 - P)^p; 0 is Dyn-Unc", quick=1.0, ge=0, le=10)
    label_noise: float = parameter("share of wrong labels in the noise scenario, η", quick=0.2, ge=0, le=0.8)
    corruption: float = parameter("share of damaged images in the corruption scenario, κ", quick=0.3, ge=0, le=1)
    score_lr: float | None = parameter("learning rate of the scoring run; none: the preset", quick=None, gt=0, le=10)
    train_lr: float | None = parameter("learning rate of retraining; none: the preset", quick=None, gt=0, le=10)
    train_steps: int | None = parameter("updates of each retraining; none: the preset", quick=None, ge=1, le=1_000_000)
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

    def preset(self, dataset: str) -> Preset:
        """The data set's preset, with every value that was given here put in."""
        given = {
            name: getattr(self, name) for name in ("n_train", "replicas", "c_d", "score_lr", "train_lr", "train_steps")
        }
        preset = replace(PRESETS[dataset], **{name: value for name, value in given.items() if value is not None})
        return replace(preset, n_train=preset.n_train and min(preset.n_train, preset.size))


@dataclass(frozen=True)
class Proxies:
    """One data set in its three scenarios, and the dynamics of the networks that were trained on all of it.

    Attributes
    ----------
    name, params, preset : the data set, the run's parameters, and the data set's settings
    dataset : images in [0, 1]
    x : standardized pool of images ``(M, channels, side, side)``, rows ``0..N-1`` clean, then ``N`` corrupted ones
        for each replica
    labels, offset : given labels and first pool row, by scenario, ``(S, N)`` and ``(S,)``
    wrong, kind : mask of wrong labels and kind of damage (-1: none), ``(S, N)``
    dynamics : by scenario; ``clean`` over all epochs, the others over the early ones only
    fast : dynamics under noise at a larger learning rate, for digits only
    work : passes of samples through the network (forward and backward, and forward only) in the early run and in the
        full run
    """

    name: str
    params: Parameters
    preset: Preset
    dataset: Dataset
    x: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    labels: dict[str, np.ndarray]
    offset: dict[str, np.ndarray]
    wrong: np.ndarray
    kind: np.ndarray
    dynamics: dict[str, pruning.TrainingDynamics]
    fast: pruning.TrainingDynamics | None
    work: dict[str, batched.Work]


@dataclass(frozen=True)
class Coresets:
    """What each method keeps.

    Attributes
    ----------
    chosen : positions in the training set by (scenario, ratio, method), ``(S, n)``
    again : further draws of the random methods in the cells that turn on luck, ``((draws - 1) * S, n)``
    mean_prob : mean probability of the given label over the early epochs, by scenario, ``(S, N)``
    dual : the DUAL score of the early epochs, by scenario, ``(S, N)``
    """

    chosen: dict[tuple[str, float, str], np.ndarray]
    again: dict[tuple[str, float, str], np.ndarray]
    mean_prob: dict[str, np.ndarray]
    dual: dict[str, np.ndarray]


@dataclass(frozen=True)
class Results:
    """Everything that the claims are judged on; the tuples have one entry for each data set."""

    crossing: theory.Crossing
    proxies: tuple[Proxies, ...]
    coresets: tuple[Coresets, ...]
    retrained: tuple[dict[tuple[str, float, str], np.ndarray], ...]
    transferred: tuple[dict[tuple[str, str, str], np.ndarray], ...]


def crossing(params: Parameters) -> theory.Crossing:
    """The solvable model: crossing times and random pairs."""
    return theory.crossing(params.seed)


def score(params: Parameters) -> tuple[Proxies, ...]:
    """Train on all data in every scenario and note the dynamics, all replicas at once."""
    return tuple(_score(params, name) for name in params.datasets)


def _score(params: Parameters, name: str) -> Proxies:
    preset = params.preset(name)
    dataset = load_dataset(name, n_train=preset.n_train, seed=params.seed, normalize="unit")
    clean, labels = dataset.x_train, dataset.y_train.astype(np.int64)
    total, replicas = len(clean), preset.replicas
    rng = np.random.default_rng([params.seed, 2])
    noisy, wrong, damaged, kind = [], [], [], []
    for _ in range(replicas):
        y, mask = symmetric_label_noise(labels, params.label_noise, dataset.n_classes, rng)
        x, kinds = corrupt_images(clean, params.corruption, rng)
        noisy.append(y), wrong.append(mask), damaged.append(x), kind.append(kinds)
    axes = tuple(
        axis for axis in range(clean.ndim) if clean.ndim == 3 or axis != 1
    )  # colour channels have their own mean
    mean, std = clean.mean(axes, keepdims=True), clean.std(axes, keepdims=True)
    shape = image_shape(dataset)

    def standardized(images):
        return torch.from_numpy(((images - mean) / std).astype(np.float32)).reshape(-1, *shape).to(params.device)

    x, x_test = standardized(np.concatenate([clean, *damaged])), standardized(dataset.x_test)
    y_test = torch.from_numpy(dataset.y_test.astype(np.int64)).to(params.device)
    given = {"clean": np.stack([labels] * replicas), "noise": np.stack(noisy), "corrupt": np.stack([labels] * replicas)}
    none = np.zeros(replicas, dtype=int)
    offset = {"clean": none, "noise": none, "corrupt": total * np.arange(1, replicas + 1)}

    def run(scenarios, epochs, lr):
        y = np.concatenate([given[s] for s in scenarios])
        rows = np.arange(total) + np.concatenate([offset[s] for s in scenarios])[:, None]
        streams = np.tile(np.arange(replicas), len(scenarios))
        dynamics, work = record_dynamics(params, dataset, preset, x, rows, y, streams, epochs=epochs, lr=lr)
        parts = [slice(k * replicas, (k + 1) * replicas) for k in range(len(scenarios))]
        return [pruning.TrainingDynamics(*(a[:, part] for a in vars(dynamics).values())) for part in parts], work

    (whole,), full_work = run(["clean"], params.epochs_full, preset.score_lr)
    (under_noise, under_damage), early_work = run(["noise", "corrupt"], params.epochs_early, preset.score_lr)
    # Only on digits is five times the learning rate enough to memorize wrong labels within the early epochs.
    (fast,), _ = run(["noise"], params.epochs_early, FASTER * preset.score_lr) if name == "digits" else ((None,), None)
    return Proxies(
        name=name,
        params=params,
        preset=preset,
        dataset=dataset,
        x=x,
        x_test=x_test,
        y_test=y_test,
        labels=given,
        offset=offset,
        wrong=np.stack(wrong),
        kind=np.stack(kind),
        dynamics={"clean": whole, "noise": under_noise, "corrupt": under_damage},
        fast=fast,
        work={
            # The early run holds two scenarios, the full run one.
            "early": batched.Work(early_work.trained // 2, early_work.evaluated // 2),
            "full": full_work,
        },
    )


def record_dynamics(
    params: Parameters,
    dataset: Dataset,
    preset: Preset,
    x: torch.Tensor,
    rows: np.ndarray,
    labels: np.ndarray,
    streams: np.ndarray,
    *,
    epochs: int,
    lr: float,
) -> tuple[pruning.TrainingDynamics, batched.Work]:
    """Train one network for each row of ``rows`` and note its dynamics.

    The learning rate falls along a cosine over ``epochs_full`` epochs also when the run stops earlier: a cosine
    squeezed
    into the early epochs would be another training.
    """
    generator = torch.Generator().manual_seed(params.seed)
    steps = -(-rows.shape[1] // preset.score_batch)
    network = build(params.model, dataset, preset, preset.replicas, generator).select(streams).to(params.device)
    rows, labels = torch.from_numpy(rows).to(params.device), torch.from_numpy(labels).to(params.device)
    recorder = pruning.Recorder(labels, epochs)
    everything = torch.arange(rows.shape[1], device=params.device).expand(rows.shape)

    def after_epoch(epoch, network):
        recorder.note(epoch, everything, batched.predict(network, x, rows))

    in_eval = params.record == "eval"
    work = batched.fit_many(
        network,
        x,
        rows,
        labels,
        steps=steps * epochs,
        horizon=steps * params.epochs_full,
        batch=preset.score_batch,
        lr=lr,
        generator=generator,
        streams=streams,
        augment=crop_and_flip if params.model == "resnet18" else None,
        on_batch=None if in_eval else recorder.note,
        on_epoch=after_epoch if in_eval else None,
    )
    return recorder.dynamics(), batched.Work(work.trained, rows.numel() * epochs if in_eval else 0)


def image_shape(dataset: Dataset) -> tuple[int, int, int]:
    """Channels, height and width."""
    return (1, *dataset.image_shape) if len(dataset.image_shape) == 2 else dataset.image_shape


def build(model: str, dataset: Dataset, preset: Preset, replicas: int, generator: torch.Generator) -> torch.nn.Module:
    """A batched network for the data set."""
    shape = image_shape(dataset)
    if model == "mlp":
        return batched.BatchedMLP(
            (int(np.prod(shape)), preset.hidden, dataset.n_classes), replicas, generator=generator
        )
    if model == "cnn":
        return batched.GroupedCNN(shape, dataset.n_classes, replicas, channels=preset.channels, generator=generator)
    return BatchedResNet18(shape[0], dataset.n_classes, replicas, generator=generator)


def ccs_cut(scenario: str, ratio: float, label_noise: float) -> float:
    """Share of smallest margins that CCS drops, growing with the ratio; under noise at least somewhat above the
    noise.
    """
    usual = float(np.interp(ratio, [0.5, 0.7, 0.8, 0.9], [0.0, 0.1, 0.2, 0.3]))
    if scenario == "noise":
        usual = max(usual, 1.5 * label_noise)
    elif scenario == "corrupt":
        usual = max(usual, 0.1)
    return min(usual, ratio)


def prune(params: Parameters, proxies: tuple[Proxies, ...]) -> tuple[Coresets, ...]:
    """Select the coresets of all methods, scenarios and ratios."""
    return tuple(_prune(params, proxy) for proxy in proxies)


def _prune(params: Parameters, proxy: Proxies) -> Coresets:
    early, window, power = params.epochs_early, params.window, params.difficulty_power
    c_d = proxy.preset.c_d
    chosen, mean_prob, dual = {}, {}, {}
    for place, scenario in enumerate(SCENARIOS):
        dynamics = proxy.dynamics[scenario]
        mean_prob[scenario] = dynamics.mean_prob(early)
        dual[scenario] = dynamics.dual(window, early, power)
        # Peers use all the epochs that were run: the full run on clean data, the early one elsewhere.
        dyn_unc, aum, aum_early = dynamics.dyn_unc(window), dynamics.aum(), dynamics.aum(early)
        el2n = dynamics.el2n(early)
        for ratio in params.ratios:
            n = pruning.kept(mean_prob[scenario].shape[1], ratio)
            cut = ccs_cut(scenario, ratio, params.label_noise)
            picks: dict[str, list[np.ndarray]] = {}
            for s in range(proxy.preset.replicas):
                p, d = mean_prob[scenario][s], dual[scenario][s]
                rng = np.random.default_rng([params.seed, 3, s, place, round(1e6 * ratio)])
                law = dict(n=n, ratio=ratio, c_d=c_d, rng=rng)
                selection = {
                    "random": pruning.random(len(p), n, rng),
                    "EL2N": pruning.top_n(el2n[s], n),
                    "AUM": pruning.top_n(-aum[s], n),
                    "Dyn-Unc": pruning.top_n(dyn_unc[s], n),
                    "CCS": pruning.ccs(aum[s], cut, n, rng),
                    "CCS uncut": pruning.ccs(aum[s], 0.0, n, rng),
                    "CCS early": pruning.ccs(aum_early[s], cut, n, rng),
                    "DUAL": pruning.top_n(d, n),
                    "DUAL+Beta": pruning.beta_sampling(d, p, **law),
                    "Beta frozen": pruning.beta_sampling(d, p, **law | {"ratio": FROZEN_RATIO}),
                    "Beta, c = 4": pruning.beta_sampling(d, p, **law | {"c_d": OTHER_C}),
                    "lowest DUAL": pruning.top_n(-d, n),
                }
                for method, indices in selection.items():
                    picks.setdefault(method, []).append(indices)
            chosen.update({(scenario, ratio, method): np.stack(sets) for method, sets in picks.items()})
    return Coresets(chosen, _draw_again(params, proxy, mean_prob["clean"], dual["clean"]), mean_prob, dual)


def _draw_again(params: Parameters, proxy: Proxies, mean_prob: np.ndarray, dual: np.ndarray) -> dict:
    """Further coresets of the two random methods on clean data at ratio 0.9."""
    preset, total = proxy.preset, mean_prob.shape[1]
    if 0.9 not in params.ratios or preset.draws == 1:
        return {}
    n, law = pruning.kept(total, 0.9), {"ratio": 0.9, "c_d": preset.c_d}
    uniform, sampled = [], []
    for _ in range(preset.draws - 1):
        for s in range(preset.replicas):
            rng = np.random.default_rng([params.seed, 6, len(uniform)])
            uniform.append(pruning.random(total, n, rng))
            sampled.append(pruning.beta_sampling(dual[s], mean_prob[s], n=n, rng=rng, **law))
    return {("clean", 0.9, "random"): np.stack(uniform), ("clean", 0.9, "DUAL+Beta"): np.stack(sampled)}


def cells(params: Parameters, preset: Preset) -> list[tuple[str, float, str]]:
    """The (scenario, ratio, method) that are retrained: what the claims and figures need, and no more."""
    wanted = []
    for ratio in params.ratios:
        methods = ["random", "EL2N", "Dyn-Unc", "CCS", "DUAL", "DUAL+Beta"]
        methods += ["lowest DUAL"] if ratio in preset.mild else []
        methods += ["Beta, c = 4"] if ratio == 0.7 else []
        methods += ["Beta frozen", "CCS early"] if ratio == 0.9 else []
        wanted += [("clean", ratio, method) for method in methods]
        if ratio in (0.7, 0.9):
            methods = ["random", "EL2N", "CCS", "DUAL", "DUAL+Beta"] + (
                ["Beta frozen", "CCS uncut"] if ratio == 0.9 else []
            )
            wanted += [("noise", ratio, method) for method in methods]
        if ratio in (0.5, 0.9):
            wanted += [("corrupt", ratio, method) for method in ("random", "EL2N", "DUAL", "DUAL+Beta")]
    return wanted


def retrain(
    params: Parameters, proxies: tuple[Proxies, ...], coresets: tuple[Coresets, ...]
) -> tuple[dict[tuple[str, float, str], np.ndarray], ...]:
    """Accuracy on clean test data after training afresh on each coreset, ``(S,)`` by (scenario, ratio, method).

    The coresets of one ratio are of one size and are trained as one batch. Replica ``s`` of every method starts from
    the same
    weights and sees its positions in the same order, which takes the luck of the start out of their differences.
    """
    return tuple(
        _fit_cells(params, proxy, subsets, cells(params, proxy.preset), params.model, proxy.preset.train_lr)
        for proxy, subsets in zip(proxies, coresets, strict=True)
    )


def _fit_cells(
    params: Parameters,
    proxy: Proxies,
    coresets: Coresets,
    wanted: list,
    model: str,
    lr: float,
    steps: int | None = None,
    batch: int | None = None,
) -> dict[tuple[str, float, str], np.ndarray]:
    """Train one network on each coreset of the wanted cells, one batch for each ratio."""
    accuracies = {}
    for ratio in sorted({cell[1] for cell in wanted}):
        group = [cell for cell in wanted if cell[1] == ratio]
        streams, rows, labels, counts = [], [], [], []
        for cell in group:
            chosen = coresets.chosen[cell][: repetitions(cell, proxy.preset)]
            if cell in coresets.again:
                chosen = np.concatenate([chosen, coresets.again[cell]])
            stream = np.arange(len(chosen)) % proxy.preset.replicas
            streams.append(stream)
            rows.append(chosen + proxy.offset[cell[0]][stream, None])
            labels.append(np.take_along_axis(proxy.labels[cell[0]][stream], chosen, axis=1))
            counts.append(len(chosen))
        streams, rows, labels = (np.concatenate(parts) for parts in (streams, rows, labels))
        n = rows.shape[1]
        generator = torch.Generator().manual_seed(params.seed + 1)
        start = build(model, proxy.dataset, proxy.preset, proxy.preset.replicas, generator)
        at_once = 4 if model == "resnet18" else len(streams)
        reached = []
        for first in range(0, len(streams), at_once):
            part = slice(first, first + at_once)
            network = start.select(streams[part]).to(params.device)
            batched.fit_many(
                network,
                proxy.x,
                torch.from_numpy(rows[part]),
                torch.from_numpy(labels[part]),
                steps=steps or proxy.preset.train_steps,
                batch=batch or min(64, max(16, n // 8)),  # smaller batches for heavy pruning, as in the paper
                lr=lr,
                generator=torch.Generator().manual_seed(params.seed + 2),
                streams=streams[part],
                augment=crop_and_flip if model == "resnet18" else None,
            )
            reached.append(batched.accuracy(network, proxy.x_test, proxy.y_test).cpu().numpy())
        parts = np.split(np.concatenate(reached).astype(np.float64), np.cumsum(counts)[:-1])
        accuracies.update(zip(group, parts, strict=True))
    return accuracies


def repetitions(cell: tuple[str, float, str], preset: Preset) -> int:
    """How many replicas of a cell are retrained: all where a claim turns on a point or less, else two."""
    scenario, ratio, method = cell
    narrow = {"random", "DUAL+Beta"}
    if scenario == "clean" and ratio in preset.mild:
        narrow = {"random", "DUAL"}
    elif scenario == "clean" and ratio != 0.9:
        narrow = set()
    elif scenario == "clean":
        narrow = {"random", "DUAL", "DUAL+Beta", "CCS", "Beta frozen"}
    elif scenario == "noise" and ratio == 0.9:
        narrow = {"random", "DUAL+Beta", "CCS"}
    return preset.replicas if method in narrow else min(2, preset.replicas)


def transfer(
    params: Parameters, proxies: tuple[Proxies, ...], coresets: tuple[Coresets, ...]
) -> tuple[dict[tuple[str, str, str], np.ndarray], ...]:
    """Accuracy of other learners on coresets of ratio 0.7, ``(S,)`` by (learner, scenario, method)."""
    if 0.7 not in params.ratios:
        return tuple({} for _ in proxies)
    return tuple(_transfer(params, proxy, subsets) for proxy, subsets in zip(proxies, coresets, strict=True))


def _transfer(params: Parameters, proxy: Proxies, coresets: Coresets) -> dict[tuple[str, str, str], np.ndarray]:
    methods = ("random", "EL2N", "DUAL+Beta")
    other, lr = ("cnn", 0.02) if params.model == "mlp" else ("mlp", 0.05)
    noisy = [("noise", 0.7, method) for method in methods]
    found = _fit_cells(params, proxy, coresets, noisy, other, lr, steps=TRANSFER_STEPS, batch=TRANSFER_BATCH)
    reached = {(other, "noise", method): found["noise", 0.7, method] for method in methods}
    total = len(proxy.dataset.y_train)
    x = proxy.x[:total].flatten(1).cpu().numpy()
    x_test, y_test = proxy.x_test.flatten(1).cpu().numpy()[:KERNEL_LIMIT], proxy.y_test.cpu().numpy()[:KERNEL_LIMIT]

    def mean_accuracy(learner, scenario, s, draws):
        return np.mean([learner(x[rows], proxy.labels[scenario][s, rows], x_test, y_test) for rows in draws])

    for name, learner, scenario in (("svm", _svm, "noise"), ("svm", _svm, "clean"), ("knn", _nearest, "clean")):
        for method in methods if scenario == "noise" else ("random", "DUAL+Beta"):
            # A random coreset's luck is as large as the difference sought; it is averaged over two draws.
            again = 1 if method == "random" and scenario == "noise" else 0
            reached[name, scenario, method] = np.array(
                [
                    mean_accuracy(
                        learner, scenario, s, [chosen[:KERNEL_LIMIT], *_draws(params, s, again, total, len(chosen))]
                    )
                    for s, chosen in enumerate(_kept_sets(coresets, proxy.preset, scenario, method))
                ]
            )
    return reached


def _kept_sets(coresets: Coresets, preset: Preset, scenario: str, method: str) -> np.ndarray:
    """The coresets of ratio 0.7 that other learners are trained on: all for the claim, two for what is only
    reported.
    """
    count = repetitions((scenario, 0.7, method), preset)
    return coresets.chosen[scenario, 0.7, method][:count]


def _draws(params: Parameters, replica: int, count: int, total: int, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng([params.seed, 4, replica])
    return [pruning.random(total, min(n, KERNEL_LIMIT), rng) for _ in range(count)]


def _svm(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    gamma = 1 / x.shape[1]
    fitted = SVC(C=5.0, kernel="precomputed").fit(
        rbf_kernel(x, x, gamma), y
    )  # kernels by matrix product: many times faster
    return float((fitted.predict(rbf_kernel(x_test, x, gamma)) == y_test).mean())


def _nearest(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    return KNeighborsClassifier(5).fit(x, y).score(x_test, y_test)


TRANSFER_STEPS, TRANSFER_BATCH = 200, 32
KERNEL_LIMIT = 5000  # samples that the learners on the CPU train and test on, at most


def overlap_curve(params: Parameters, proxy: Proxies) -> tuple[np.ndarray, np.ndarray]:
    """Overlap with full-run Dyn-Unc of DUAL and of Dyn-Unc when scoring stops at each epoch from the window's length
    on.

    Returns
    -------
    epochs, overlaps ``(2, epochs, S)`` with DUAL first
    """
    clean = proxy.dynamics["clean"]
    reference = clean.dyn_unc(params.window)
    top = int(TOP_SHARE * reference.shape[1])
    keep = [set(pruning.top_n(row, top)) for row in reference]
    sums = np.zeros((2, *reference.shape))
    epochs, found = [], []
    for index, (mean, std) in enumerate(clean.windows(params.window)):
        sums += np.stack([np.maximum(1 - mean, 1e-6) ** params.difficulty_power * std, std])
        epoch = index + params.window
        if epoch <= 2 * params.epochs_early or epoch % 5 == 0 or epoch == clean.epochs:
            picks = np.argpartition(-sums, top - 1, axis=-1)[..., :top]
            epochs.append(epoch)
            found.append([[len(keep[s].intersection(row)) / top for s, row in enumerate(kind)] for kind in picks])
    return np.array(epochs), np.array(found).transpose(1, 0, 2)


def heat_map(params: Parameters, proxy: Proxies) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Overlap with the full-run score, and wrong labels among the selected, over difficulty power and window.

    Returns
    -------
    powers, windows, overlap ``(powers, windows)``, wrong-label share ``(powers, windows)``
    """
    powers = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    windows = np.unique([2, 3, 5, min(10, params.epochs_early), params.epochs_early])
    windows = windows[windows <= params.epochs_early]
    replicas, total = proxy.wrong.shape
    top, n = int(TOP_SHARE * total), pruning.kept(total, 0.7)
    reference = proxy.dynamics["clean"].dyn_unc(params.window)
    shared, wrong = (np.zeros((len(powers), len(windows))) for _ in range(2))
    for i, power in enumerate(powers):
        for j, window in enumerate(windows):
            clean = proxy.dynamics["clean"].dual(int(window), params.epochs_early, power)
            noisy = proxy.dynamics["noise"].dual(int(window), params.epochs_early, power)
            for s in range(replicas):
                pick = pruning.top_n(clean[s], top)
                shared[i, j] += pruning.overlap(pick, pruning.top_n(reference[s], top)) / replicas
                wrong[i, j] += proxy.wrong[s, pruning.top_n(noisy[s], n)].mean() / replicas
    return powers, windows, shared, wrong


def run(params: Parameters) -> Results:
    """All experiments."""
    proxies = score(params)
    coresets = prune(params, proxies)
    return Results(
        crossing=crossing(params),
        proxies=proxies,
        coresets=coresets,
        retrained=retrain(params, proxies, coresets),
        transferred=transfer(params, proxies, coresets),
    )
