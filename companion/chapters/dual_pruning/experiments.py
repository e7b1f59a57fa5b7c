"""The experiments: crossing times, scores on all data, the choice of c_D, coresets, retraining, other learners."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis import pruning
from companion.chapters.dual_pruning import learners, scoring, selection, theory
from companion.chapters.dual_pruning.parameters import (
    SCENARIOS,
    Parameters,
    Preset,
    random_numbers,
    torch_numbers,
)
from companion.chapters.dual_pruning.pools import Pool, make_pool
from companion.chapters.dual_pruning.scoring import Run
from companion.chapters.dual_pruning.selection import Scores
from companion.data import load_dataset
from companion.models import batched
from companion.results import experiment

POWERS = (-0.5, 0.0, 0.5, 1.0, 2.0, 4.0)  # exponents of the difficulty in the solvable model
PAIRS, PAIR_LR, PAIR_STEPS, PAIR_WINDOW = 200, 0.02, 1500, 20
SIMULATED_STEPS = 1000  # updates until uncertainty alone turns to the hard sample
C_CANDIDATES = (1.5, 2.0, 3.0, 4.0)
TUNING_FROM = 0.7  # c_D is chosen by the accuracy at the ratios from here on
FASTER = 5  # learning-rate factor at which wrong labels are memorized within the early epochs
TOP_SHARE = 0.3  # share of the data in the overlap with the full-run score
TRANSFER_RATIO = 0.7
TRANSFER_STEPS, TRANSFER_BATCH = 150, 32
TRANSFER_REPLICAS = 4  # of which the network is trained, which takes long
TRANSFER_LR = {"cnn": 0.02, "mlp": 0.05}
TRANSFER_METHODS = ("random", "EL2N", "CCS", "DUAL+Beta")
KERNEL_LIMIT = 2000  # samples that the learners on the CPU train and test on, at most

Cell = tuple[str, float, str]  # scenario, pruning ratio, method


# --- the solvable model --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crossing:
    """When each score turns to the hard sample: in closed form, by bisection, in training, and for random pairs."""

    norms: np.ndarray  #: (cases, 2), squared norms of the easy and the hard sample, orthogonal
    powers: np.ndarray  #: (powers,), exponents p of the score (1 - P)^p s
    formula: np.ndarray  #: (powers, cases), crossing time by the closed form
    bisected: np.ndarray  #: (powers, cases), by bisection
    simulated: np.ndarray  #: (powers, cases), centre of the first window led by the hard sample, gradient descent
    first_spread: np.ndarray  #: (pairs,), correlated pairs, logistic loss: first such window under Dyn-Unc
    first_dual: np.ndarray  #: (pairs,), under DUAL
    windows: int  #: number of windows in which these were sought
    behind: np.ndarray  #: (pairs,), windows in which the easy sample does not lead in mean probability
    violations: np.ndarray  #: (pairs,), windows that break "if the hard sample leads in spread, it leads in DUAL"
    swapped: np.ndarray  #: (pairs,), the same with the samples exchanged

    @property
    def ratio(self) -> np.ndarray:
        """Crossing time of DUAL over that of Dyn-Unc, ``(pairs,)``; a window's time is its centre's."""
        centre = (PAIR_WINDOW - 1) / 2
        return (self.first_dual + centre) / (self.first_spread + centre)


@experiment
def crossing(params: Parameters) -> Crossing:
    """Crossing times of orthogonal pairs, and the ordering of the two scores in correlated ones."""
    rng = random_numbers(params, 1)
    ratios = np.geomspace(1.02, 100, 30)
    hard = rng.uniform(0.2, 2.0, ratios.shape)
    norms = np.stack([ratios * hard, hard], axis=1)
    powers = np.array(POWERS)
    arguments = norms[:, 0], norms[:, 1], powers[:, None]
    formula = theory.crossing_time(*arguments)

    step = theory.crossing_time(norms[:, 0], norms[:, 1], 0.0) / SIMULATED_STEPS
    latest = formula.max(0) / step
    history = theory.train_pairs(
        theory.orthogonal_pairs(norms), step, int(1.05 * latest.max()) + PAIR_WINDOW, theory.exponential_pull
    )
    centre = (PAIR_WINDOW - 1) / 2
    simulated = [(theory.first_lead(theory.window_scores(history, PAIR_WINDOW, p)) + centre) * step for p in powers]

    history = theory.train_pairs(theory.random_pairs(PAIRS, rng), PAIR_LR, PAIR_STEPS, theory.logistic_pull)
    spread, dual = (theory.window_scores(history, PAIR_WINDOW, p) for p in (0.0, 1.0))
    mean = np.lib.stride_tricks.sliding_window_view(history, PAIR_WINDOW, axis=0).mean(-1)
    return Crossing(
        norms=norms,
        powers=powers,
        formula=formula,
        bisected=theory.bisect_crossing(*arguments),
        simulated=np.stack(simulated),
        first_spread=theory.first_lead(spread),
        first_dual=theory.first_lead(dual),
        windows=len(spread),
        behind=(mean[..., 0] <= mean[..., 1]).sum(0),
        violations=((spread[..., 0] <= spread[..., 1]) & (dual[..., 0] >= dual[..., 1])).sum(0),
        swapped=((spread[..., 1] <= spread[..., 0]) & (dual[..., 1] >= dual[..., 0])).sum(0),
    )


# --- scoring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoredSet:
    """The scoring runs of one data set, what was spoiled in it, and the scores."""

    early: dict[str, Run]  #: by scenario, stopped after T epochs
    full: Run  #: clean data, all epochs
    fast: Run | None  #: wrong labels at a larger learning rate, where the preset asks for it
    scores: dict[str, Scores]  #: by scenario
    wrong: np.ndarray  #: (S, N), whether the label is wrong in the noise scenario
    kind: np.ndarray  #: (S, N), kind of damage in the corruption scenario, -1 for none
    described: str  #: the data set, its source, licence and citation


@dataclass(frozen=True)
class Scored:
    """All data sets, scored, with the settings that the claims depend on."""

    sets: dict[str, ScoredSet]  #: by data set
    window: int  #: J
    power: float  #: exponent of the difficulty
    epochs_early: int  #: T
    epochs_full: int  #: T_full
    label_noise: float  #: share of wrong labels
    corruption: float  #: share of damaged images
    other_network: str  #: the network to which coresets are transferred


@experiment
def score(params: Parameters) -> Scored:
    """Train on all data in every scenario and note the dynamics, all replicas at once."""
    return Scored(
        sets={name: _score(params, name) for name in params.datasets},
        window=params.window,
        power=params.difficulty_power,
        epochs_early=params.epochs_early,
        epochs_full=params.epochs_full,
        label_noise=params.label_noise,
        corruption=params.corruption,
        other_network="cnn" if params.model == "mlp" else "mlp",
    )


def _score(params: Parameters, name: str) -> ScoredSet:
    preset, pool = params.preset(name), _pool(params, name)
    total, replicas = pool.wrong.shape[1], preset.replicas

    def watched(scenarios: tuple[str, ...], epochs: int, lr: float) -> list[Run]:
        generator = torch_numbers(params, 0)
        streams = np.tile(np.arange(replicas), len(scenarios))
        run = scoring.watch(
            _start(params, preset, pool, params.model, generator).select(streams).to(params.device),
            pool.x,
            np.arange(total) + np.concatenate([pool.offset[s] for s in scenarios])[:, None],
            np.concatenate([pool.labels[s] for s in scenarios]),
            epochs=epochs,
            horizon=params.epochs_full,
            lr=lr,
            batch=preset.score_batch,
            record=params.record,
            generator=generator,
            streams=streams,
            augment=learners.augmentation(params.model, streams, params.seed),
        )
        return scoring.split(run, len(scenarios))

    (full,) = watched(("clean",), params.epochs_full, preset.score_lr)
    early = dict(zip(SCENARIOS, watched(SCENARIOS, params.epochs_early, preset.score_lr), strict=True))
    fast = watched(("noise",), params.epochs_early, FASTER * preset.score_lr)[0] if preset.fast else None
    # Only on clean data was a full run made; elsewhere the peers make do with the early epochs.
    scores = {
        scenario: selection.score_all(run, full if scenario == "clean" else run, params.window, params.difficulty_power)
        for scenario, run in early.items()
    }
    return ScoredSet(
        early=early,
        full=full,
        fast=fast,
        scores=scores,
        wrong=pool.wrong,
        kind=pool.kind,
        described=load_dataset(name, n_train=preset.n_train, seed=params.seed, normalize="unit").describe(),
    )


def _pool(params: Parameters, name: str) -> Pool:
    preset = params.preset(name)
    return _pool_of(
        name,
        params.seed,
        preset.n_train,
        preset.validation,
        preset.replicas,
        params.label_noise,
        params.corruption,
        params.device,
    )


@functools.lru_cache(maxsize=2)
def _pool_of(
    name: str,
    seed: int,
    n_train: int,
    validation: int,
    replicas: int,
    label_noise: float,
    corruption: float,
    device: str,
) -> Pool:
    """Made from the seed whenever an experiment is computed, and not kept: it would be a gigabyte."""
    return make_pool(
        load_dataset(name, seed=seed, normalize="unit"),
        n_train=n_train,
        validation=validation,
        replicas=replicas,
        label_noise=label_noise,
        corruption=corruption,
        rng_split=np.random.default_rng([seed, 7]),
        rng_spoil=np.random.default_rng([seed, 2]),
        device=device,
    )


def _start(params: Parameters, preset: Preset, pool: Pool, model: str, generator) -> batched.Batched:
    return learners.build(
        model, pool, preset.replicas, hidden=preset.hidden, channels=preset.channels, generator=generator
    )


# --- the choice of c_D ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tuned:
    """The exponent c_D of each data set, and how it was chosen."""

    c_d: dict[str, float]  #: by data set
    candidates: np.ndarray  #: (candidates,), exponents tried where neither preset nor user gives one
    ratios: tuple[float, ...]  #: pruning ratios of the trial
    accuracy: dict[str, np.ndarray]  #: (candidates, ratios, S) on the validation split; only where it was tried


@experiment
def tune(params: Parameters, scored: Scored) -> Tuned:
    """Choose c_D by retraining on clean coresets of each candidate and asking the validation split."""
    ratios = tuple(sorted(r for r in params.ratios if r >= TUNING_FROM)) or (max(params.ratios),)
    tried = {
        name: _try_exponents(params, name, entry.scores["clean"], ratios)
        for name, entry in scored.sets.items()
        if params.preset(name).c_d is None
    }
    best = {name: selection.choose_exponent(C_CANDIDATES, accuracy) for name, accuracy in tried.items()}
    c_d = {name: params.preset(name).c_d or best[name] for name in scored.sets}
    return Tuned(c_d, np.array(C_CANDIDATES), ratios, tried)


def _try_exponents(params: Parameters, name: str, scores: Scores, ratios: tuple[float, ...]) -> np.ndarray:
    pool, replicas = _pool(params, name), params.preset(name).replicas
    found = []
    for ratio in ratios:
        n = pruning.kept(scores.dual.shape[1], ratio)
        # A replica's draws of all candidates share their random numbers.
        chosen = [
            pruning.beta_sampling(
                scores.dual[s],
                scores.mean_prob[s],
                n=n,
                ratio=ratio,
                c_d=c_d,
                rng=random_numbers(params, 8, s, round(1e6 * ratio)),
            )
            for c_d in C_CANDIDATES
            for s in range(replicas)
        ]
        streams = np.tile(np.arange(replicas), len(C_CANDIDATES))
        labels = np.take_along_axis(pool.labels["clean"][streams], np.stack(chosen), axis=1)
        accuracy = _fit(params, name, np.stack(chosen), labels, streams, on_validation=True)
        found.append(accuracy.reshape(len(C_CANDIDATES), replicas))
    return np.stack(found, axis=1)


# --- coresets ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CoresetsOfSet:
    """What each method keeps of one data set."""

    chosen: dict[Cell, np.ndarray]  #: positions in the training set (S, n)
    again: dict[Cell, np.ndarray]  #: further coresets ((draws - 1) * S, n) of cells on which narrow claims turn


@dataclass(frozen=True)
class Coresets:
    """What each method keeps."""

    sets: dict[str, CoresetsOfSet]  #: by data set


@experiment
def prune(params: Parameters, scored: Scored, tuned: Tuned) -> Coresets:
    """Select the coresets of all methods, scenarios and ratios."""
    return Coresets({name: _prune(params, name, entry, tuned.c_d[name]) for name, entry in scored.sets.items()})


def _prune(params: Parameters, name: str, entry: ScoredSet, c_d: float) -> CoresetsOfSet:
    preset = params.preset(name)
    chosen: dict[Cell, np.ndarray] = {}
    again: dict[Cell, np.ndarray] = {}
    for place, scenario in enumerate(SCENARIOS):
        scores = entry.scores[scenario]
        for ratio in params.ratios:
            n = pruning.kept(scores.dual.shape[1], ratio)
            cut = selection.ccs_cut(scenario, ratio, params.label_noise)
            picks: dict[str, list[np.ndarray]] = {}
            for s in range(preset.replicas):
                rng = random_numbers(params, 3, s, place, round(1e6 * ratio))
                picked = selection.select(scores, s, n=n, ratio=ratio, c_d=c_d, cut=cut, rng=rng)
                for method, indices in picked.items():
                    picks.setdefault(method, []).append(indices)
            chosen.update({(scenario, ratio, method): np.stack(sets) for method, sets in picks.items()})
    for cell in repeated(params.ratios, preset.mild) if preset.draws > 1 else []:
        again[cell] = _draw_again(params, preset, entry.scores[cell[0]], c_d, cell, chosen[cell])
    return CoresetsOfSet(chosen, again)


def repeated(ratios: list[float], mild: tuple[float, ...]) -> list[Cell]:
    """Cells that are drawn and retrained several times on each replica, because their claim turns on a point."""
    cells = [("clean", ratio, method) for ratio in mild for method in ("random", "DUAL")]
    cells += [(scenario, 0.9, method) for scenario in ("clean", "corrupt") for method in ("random", "DUAL+Beta", "CCS")]
    return [cell for cell in cells if cell[1] in ratios]


def _draw_again(
    params: Parameters, preset: Preset, scores: Scores, c_d: float, cell: Cell, first: np.ndarray
) -> np.ndarray:
    """Further coresets of a cell; what is not drawn at random stays, and is only trained from other weights."""
    scenario, ratio, method = cell
    total, n = scores.dual.shape[1], first.shape[1]
    found = []
    for draw in range(1, preset.draws):
        for s in range(preset.replicas):
            rng = random_numbers(params, 6, SCENARIOS.index(scenario), draw, s, round(1e6 * ratio))
            if method == "random":
                found.append(pruning.random(total, n, rng))
            elif method == "DUAL+Beta":
                law = dict(n=n, ratio=ratio, c_d=c_d)
                found.append(pruning.beta_sampling(scores.dual[s], scores.mean_prob[s], rng=rng, **law))
            elif method == "CCS":
                cut = selection.ccs_cut(scenario, ratio, params.label_noise)
                found.append(pruning.ccs(scores.aum[s], cut, n, rng))
            else:
                found.append(first[s])
    return np.stack(found)


# --- retraining ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Retrained:
    """What networks reach that were trained on coresets."""

    sets: dict[str, dict[Cell, np.ndarray]]  #: test accuracy (runs,) by data set and cell, replica by replica


def cells(ratios: list[float], mild: tuple[float, ...]) -> list[Cell]:
    """The (scenario, ratio, method) that are retrained: what the claims and figures need, and no more."""
    wanted: list[Cell] = []
    for ratio in ratios:
        methods = ["random", "EL2N", "Dyn-Unc", "CCS", "DUAL", "DUAL+Beta"]
        methods += ["lowest DUAL"] if ratio in mild else []
        methods += ["Beta, c = 4"] if ratio == 0.7 else []
        methods += ["Beta frozen", "CCS early"] if ratio == 0.9 else []
        wanted += [("clean", ratio, method) for method in methods]
        if ratio in (0.7, 0.9):
            methods = ["random", "EL2N", "Dyn-Unc", "CCS", "DUAL", "DUAL+Beta"]
            methods += ["Beta frozen", "CCS uncut"] if ratio == 0.9 else []
            wanted += [("noise", ratio, method) for method in methods]
        if ratio in (0.5, 0.9):
            wanted += [("corrupt", ratio, method) for method in ("random", "EL2N", "CCS", "DUAL", "DUAL+Beta")]
    return wanted


def repetitions(cell: Cell, mild: tuple[float, ...], replicas: int) -> int:
    """How many replicas of a cell are retrained: all where a claim turns on a point or less, else two."""
    scenario, ratio, method = cell
    narrow = {"random", "DUAL+Beta", "CCS"}
    if scenario == "clean" and ratio in mild:
        narrow = {"random", "DUAL"}
    elif scenario == "clean" and ratio != 0.9:
        narrow = set()
    elif scenario == "clean":
        narrow = {"random", "DUAL", "DUAL+Beta", "CCS", "Beta frozen"}
    elif scenario == "noise" and ratio != 0.9:
        narrow = {"random", "DUAL+Beta", "Dyn-Unc"}
    elif scenario == "noise":
        narrow = {"random", "DUAL+Beta", "Dyn-Unc", "CCS"}
    return replicas if method in narrow else min(2, replicas)


@experiment
def retrain(params: Parameters, scored: Scored, coresets: Coresets) -> Retrained:
    """Train afresh on each coreset. The coresets of one ratio are of one size and are trained as one batch."""
    found = {}
    for name in scored.sets:
        preset = params.preset(name)
        count = functools.partial(repetitions, mild=preset.mild, replicas=preset.replicas)
        found[name] = _fit_cells(params, name, coresets.sets[name], cells(params.ratios, preset.mild), count)
    return Retrained(found)


def _fit_cells(
    params: Parameters,
    name: str,
    coresets: CoresetsOfSet,
    wanted: list[Cell],
    count: Callable[[Cell], int],
    **settings,
) -> dict[Cell, np.ndarray]:
    """Train one network on each coreset of the wanted cells, ``count`` of each, one batch for each ratio."""
    preset, pool = params.preset(name), _pool(params, name)
    accuracies = {}
    for ratio in sorted({cell[1] for cell in wanted}):
        group = [cell for cell in wanted if cell[1] == ratio]
        streams, rows, labels = [], [], []
        for cell in group:
            chosen = coresets.chosen[cell][: count(cell)]
            if cell in coresets.again:
                chosen = np.concatenate([chosen, coresets.again[cell]])
            draw, replica = np.divmod(np.arange(len(chosen)), preset.replicas)
            streams.append((replica + draw) % preset.replicas)  # further draws start from another replica's weights
            rows.append(chosen + pool.offset[cell[0]][replica, None])
            labels.append(np.take_along_axis(pool.labels[cell[0]][replica], chosen, axis=1))
        joined = (np.concatenate(parts) for parts in (rows, labels, streams))
        reached = _fit(params, name, *joined, **settings)
        parts = np.split(reached, np.cumsum([len(stream) for stream in streams])[:-1])
        accuracies.update(zip(group, parts, strict=True))
    return accuracies


def _fit(
    params: Parameters,
    name: str,
    rows: np.ndarray,
    labels: np.ndarray,
    streams: np.ndarray,
    *,
    model: str | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    on_validation: bool = False,
) -> np.ndarray:
    """Train on coresets with the data set's settings, or with those that are given."""
    preset, pool = params.preset(name), _pool(params, name)
    model = model or params.model
    return learners.fit_coresets(
        _start(params, preset, pool, model, torch_numbers(params, 1)),
        pool,
        rows,
        labels,
        streams,
        model=model,
        steps=steps or preset.train_steps,
        batch=batch or min(64, max(16, rows.shape[1] // 8)),  # smaller batches for heavy pruning, as in the paper
        lr=lr or preset.train_lr,
        seed=params.seed + 2,
        on_validation=on_validation,
    )


# --- other learners ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transferred:
    """What other learners reach on coresets of ratio 0.7; empty where that ratio is not among the ratios."""

    sets: dict[str, dict[tuple[str, str, str], np.ndarray]]  #: (runs,) by data set and (learner, scenario, method)


@experiment
def transfer(params: Parameters, scored: Scored, coresets: Coresets) -> Transferred:
    """Train other learners on coresets of ratio 0.7."""
    wanted = scored.sets if TRANSFER_RATIO in params.ratios else {}
    return Transferred({name: _transfer(params, name, scored, coresets.sets[name]) for name in wanted})


def _transfer(
    params: Parameters, name: str, scored: Scored, coresets: CoresetsOfSet
) -> dict[tuple[str, str, str], np.ndarray]:
    preset, pool, other = params.preset(name), _pool(params, name), scored.other_network
    noisy = [("noise", TRANSFER_RATIO, method) for method in TRANSFER_METHODS]
    settings = dict(model=other, steps=TRANSFER_STEPS, batch=TRANSFER_BATCH, lr=TRANSFER_LR[other])
    most = min(TRANSFER_REPLICAS, preset.replicas)
    found = _fit_cells(params, name, coresets, noisy, lambda cell: 1 if cell[2] == "EL2N" else most, **settings)
    reached = {(other, "noise", method): accuracy for (_, _, method), accuracy in found.items()}

    total = pool.wrong.shape[1]
    x = pool.x[:total].flatten(1).cpu().numpy()
    x_test, y_test = pool.x_test.flatten(1).cpu().numpy()[:KERNEL_LIMIT], pool.y_test.cpu().numpy()[:KERNEL_LIMIT]
    wanted = [("svm", learners.svm_accuracy, "noise", method) for method in TRANSFER_METHODS]
    for kind, learner in (("svm", learners.svm_accuracy), ("knn", learners.neighbour_accuracy)):
        wanted += [(kind, learner, "clean", method) for method in ("random", "DUAL+Beta")]
    for kind, learner, scenario, method in wanted:
        cell = (scenario, TRANSFER_RATIO, method)
        accuracy = []
        for s, kept in enumerate(coresets.chosen[cell][: repetitions(cell, preset.mild, preset.replicas)]):
            draws = [kept[:KERNEL_LIMIT]]
            if method == "random" and scenario == "noise":
                # A random coreset's luck is as large as the difference sought; it is averaged over two draws.
                rng = random_numbers(params, 4, s)
                draws.append(pruning.random(total, len(draws[0]), rng))
            labels = pool.labels[scenario][s]
            accuracy.append(np.mean([learner(x[rows], labels[rows], x_test, y_test) for rows in draws]))
        reached[kind, scenario, method] = np.array(accuracy)
    return reached


# --- what the figures show beside the claims -----------------------------------------------------------------------


@dataclass(frozen=True)
class Overlaps:
    """Overlap with the top of full-run Dyn-Unc when scoring stops at each epoch."""

    epochs: np.ndarray  #: (epochs,), from the window's length on
    dual: dict[str, np.ndarray]  #: (epochs, S) by data set
    dyn_unc: dict[str, np.ndarray]  #: (epochs, S) by data set


@experiment
def overlap_curves(params: Parameters, scored: Scored) -> Overlaps:
    """Stop the full run's scores at every epoch, thinned out behind the early ones."""
    ends = [
        epoch
        for epoch in range(params.window, params.epochs_full + 1)
        if epoch <= 2 * params.epochs_early or epoch % 5 == 0 or epoch == params.epochs_full
    ]
    curves: tuple[dict[str, np.ndarray], ...] = ({}, {})
    for name, entry in scored.sets.items():
        clean = entry.full.dynamics
        reference = clean.dyn_unc(params.window)
        sums = np.zeros((2, *reference.shape))
        found: tuple[list, list] = ([], [])
        for index, (mean, std) in enumerate(clean.windows(params.window)):
            sums += np.stack([np.maximum(1 - mean, 1e-6) ** params.difficulty_power * std, std])
            if index + params.window in ends:
                for kind in range(2):
                    found[kind].append(selection.top_overlap(sums[kind], reference, TOP_SHARE))
        for kind in range(2):
            curves[kind][name] = np.array(found[kind])
    return Overlaps(np.array(ends), *curves)


@dataclass(frozen=True)
class Heat:
    """What difficulty power and window do to the early score."""

    powers: np.ndarray  #: (powers,)
    windows: np.ndarray  #: (windows,)
    overlap: dict[str, np.ndarray]  #: (powers, windows) by data set, with the top of full-run Dyn-Unc
    wrong: dict[str, np.ndarray]  #: (powers, windows) by data set, share of wrong labels in the top 30 % under noise


@experiment
def heat_maps(params: Parameters, scored: Scored) -> Heat:
    """Overlap with the full run, and wrong labels, over difficulty power and window."""
    powers = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    windows = np.unique([2, 3, 5, min(10, params.epochs_early), params.epochs_early])
    windows = windows[windows <= params.epochs_early]
    shared, wrong = {}, {}
    for name, entry in scored.sets.items():
        reference = entry.full.dynamics.dyn_unc(params.window)
        shared[name], wrong[name] = np.zeros((2, len(powers), len(windows)))
        for i, power in enumerate(powers):
            for j, window in enumerate(windows):
                clean, noisy = (entry.early[s].dynamics.dual(int(window), power=power) for s in ("clean", "noise"))
                shared[name][i, j] = selection.top_overlap(clean, reference, TOP_SHARE).mean()
                picks = np.argsort(-noisy, kind="stable")[:, : pruning.kept(noisy.shape[1], 1 - TOP_SHARE)]
                wrong[name][i, j] = np.take_along_axis(entry.wrong, picks, axis=1).mean()
    return Heat(powers, windows, shared, wrong)


@dataclass(frozen=True)
class Pictures:
    """Images that are kept and left, in rows."""

    name: str  #: the data set
    rows: tuple[str, ...]  #: what each row shows
    images: np.ndarray  #: (rows, columns, channels, side, side), between 0 and 1
    labels: np.ndarray  #: (rows, columns), the label given
    spoiled: np.ndarray  #: (rows, columns), whether label or image is spoiled; columns with no image have label -1


@experiment
def pictures(params: Parameters, scored: Scored, coresets: Coresets) -> Pictures:
    """Images of largest and smallest score and draws of the Beta law, of the first replica of the last data set."""
    columns, ratio, name = 9, max(params.ratios), params.datasets[-1]
    entry, kept, pool = scored.sets[name], coresets.sets[name].chosen, _pool(params, name)
    dual = {scenario: entry.scores[scenario].dual[0] for scenario in SCENARIOS}
    rng = random_numbers(params, 5)
    drawn = {s: rng.permutation(kept[s, ratio, "DUAL+Beta"][0])[:columns] for s in SCENARIOS}
    rows = (
        ("clean: largest DUAL", "clean", pruning.top_n(dual["clean"], columns)),
        (f"clean: drawn at r = {ratio:g}", "clean", drawn["clean"]),
        ("clean: smallest DUAL", "clean", pruning.top_n(-dual["clean"], columns)),
        ("noise: largest DUAL", "noise", pruning.top_n(dual["noise"], columns)),
        ("noise: largest EL2N", "noise", pruning.top_n(entry.scores["noise"].el2n[0], columns)),
        ("damaged: largest DUAL", "corrupt", pruning.top_n(dual["corrupt"], columns)),
        (f"damaged: drawn at r = {ratio:g}", "corrupt", drawn["corrupt"]),
    )
    images = np.zeros((len(rows), columns, *pool.shape), dtype=np.float32)
    labels, spoiled = np.full(images.shape[:2], -1), np.zeros(images.shape[:2], dtype=bool)
    for row, (_, scenario, picks) in enumerate(rows):
        seen = pool.x[torch.from_numpy(pool.offset[scenario][0] + picks)].cpu().numpy()
        low, high = seen.min((1, 2, 3), keepdims=True), seen.max((1, 2, 3), keepdims=True)
        images[row, : len(picks)] = (seen - low) / np.maximum(high - low, 1e-9)
        labels[row, : len(picks)] = pool.labels[scenario][0, picks]
        if scenario != "clean":
            spoiled[row, : len(picks)] = pool.wrong[0, picks] if scenario == "noise" else pool.kind[0, picks] >= 0
    return Pictures(name, tuple(title for title, _, _ in rows), images, labels, spoiled)


# --- all of it -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """Everything that the claims are judged on."""

    crossing: Crossing
    scored: Scored
    tuned: Tuned
    coresets: Coresets
    retrained: Retrained
    transferred: Transferred


def run(params: Parameters) -> Results:
    """All experiments that the claims need."""
    scored = score(params)
    tuned = tune(params, scored)
    coresets = prune(params, scored, tuned)
    return Results(
        crossing=crossing(params),
        scored=scored,
        tuned=tuned,
        coresets=coresets,
        retrained=retrain(params, scored, coresets),
        transferred=transfer(params, scored, coresets),
    )
