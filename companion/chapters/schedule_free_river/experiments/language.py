"""Language models: decay phases, averages, interpolations and rates in one ensemble, and a large batch."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.schedule_free_river.language import (
    AdamW,
    ScheduleFree,
    corpus,
    evaluate,
    halves,
    together,
)
from companion.chapters.schedule_free_river.parameters import Parameters
from companion.models import ensemble
from companion.models.ensemble import Shape
from companion.results import experiment

BETA1, BETA2 = 0.9, 0.99
VARIANTS = ("original", "refined")
LOOKS = 8  # at the losses before step S
LAST = 5  # looks at AdamW's last iterates, whose losses scatter,
APART = 5  # every so many steps
SEGMENT = np.linspace(0, 1, 9)


@dataclass(frozen=True)
class Language:
    """Validation losses in nats per symbol, after S + S' steps where not said otherwise.

    Axes: rates G, interpolations B, variants (original, refined).
    """

    rates: np.ndarray  #: (G,)
    betas: np.ndarray  #: (B,)
    source: str  #: of the text
    numbers: int  #: weights of one model
    steps: np.ndarray  #: at which the paths were looked at, the last two S and S + S', (K,)
    adam_path: np.ndarray  #: AdamW at the largest rate, (K,)
    x_path: np.ndarray  #: at x, the largest rate, (B, 2, K)
    y_path: np.ndarray  #: at y, the largest rate, (B, 2, K)
    adam: np.ndarray  #: AdamW at a constant rate, mean over the last iterates, (G,)
    x: np.ndarray  #: at x, (G, B, 2)
    y: np.ndarray  #: at y, (G, B, 2)
    chosen_adam: np.ndarray  #: AdamW after its decay on the half that chooses rates, (G,)
    chosen_x: np.ndarray  #: x at the end on that half, (G, B, 2)
    branched: np.ndarray  #: which of the interpolations have decay phases, their least and largest, (2,)
    adam_decayed: np.ndarray  #: AdamW after a decay phase of S' steps, (G,)
    adam_average: np.ndarray  #: running average of AdamW's last S' iterates, (G,)
    x_decayed: np.ndarray  #: the best rate's decay phase that branched off x, largest rate, original, (2,)
    x_average: np.ndarray  #: running average of the last S' of x, (G, B, 2)
    y_average: np.ndarray  #: running average of the last S' of y, (G, B, 2)
    z: np.ndarray  #: at z at the end, (G, B, 2)
    alpha: np.ndarray  #: places on the segment from step S to S + S', (A,)
    adam_segment: np.ndarray  #: AdamW along it at the largest rate, (A,)
    x_segment: np.ndarray  #: x along it at the largest rate, original, (2, A)


def _shape(params: Parameters) -> Shape:
    return Shape(params.width, params.blocks, params.heads, params.context)


def _lattice(params: Parameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rate, beta and C of the Schedule-Free members, (G B 2,) each."""
    rates, betas = np.array(params.all_rates), np.array(params.all_betas)
    rate, beta, refined = (a.ravel() for a in np.meshgrid(rates, betas, [False, True], indexing="ij"))
    return rate, beta, np.where(refined, params.C, 1 / (1 - beta))


@experiment
@torch.no_grad()
def language(params: Parameters) -> Language:
    """AdamW and Schedule-Free at every rate and interpolation, on the same windows, with what branches off them."""
    shape, device = _shape(params), params.device
    text = corpus(params.corpus, params.context)
    generator = params.generator(1)
    start = ensemble.flatten(ensemble.initial(shape, 1, generator)).to(device)
    held_out = halves(text.validation, params.windows, params.context).to(device)
    rates, betas = np.array(params.all_rates), np.array(params.all_betas)
    lattice = (len(rates), len(betas), len(VARIANTS))
    rate, beta, C = _lattice(params)

    def losses(rows: torch.Tensor) -> np.ndarray:
        return evaluate(shape, rows, held_out)

    adam = AdamW(start.repeat(len(rates), 1), rates, (BETA1, BETA2))
    free = ScheduleFree(start.repeat(len(rate), 1), rate, beta, C, BETA2)
    looks = sorted({round(params.steps * k / LOOKS) for k in range(1, LOOKS + 1)} | {params.steps + params.extra})
    paths: list[np.ndarray] = []
    fastest = len(rate) - lattice[1] * lattice[2]  # from here on members have the largest rate
    ends = np.array([fastest, len(rate) - len(VARIANTS)])  # the original method with the least and the largest beta
    scattered = {params.steps + params.extra - APART * k for k in range(LAST)}
    last: list[np.ndarray] = []
    decayed = branches = averages = None
    for step in range(1, params.steps + params.extra + 1):
        symbols = ensemble.windows(text.train, params.batch, params.context, generator).to(device)
        warm = min(1.0, step / params.warm_up)
        if step <= params.steps:
            together(shape, (adam, free), symbols, (warm, warm))
        else:
            left = 1 - (step - params.steps - 1) / params.extra
            together(shape, (adam, free, decayed, branches), symbols, (1.0, 1.0, left, left))
            newest = torch.cat([adam.points, free.x, free.points])
            averages = torch.lerp(newest, averages, params.ema)
        if step == params.steps:
            snapshot = torch.cat([adam.points[-1:], free.x[ends]])
            decayed = adam.branch()
            branches = AdamW(free.x[ends].repeat(len(rates), 1), rates.repeat(len(ends)), (BETA1, BETA2))
            averages = torch.cat([adam.points, free.x, free.points])
        if step in scattered:
            last.append(losses(adam.points)[:, 1])
        if step in looks:
            paths.append(losses(torch.cat([adam.points[-1:], free.x[fastest:], free.points[fastest:]])))
    path = np.stack(paths, axis=-1)[:, 1]
    x_path, y_path = path[1:].reshape(2, *lattice[1:], -1)
    x, y = losses(free.x), losses(free.points)
    adam_decayed = losses(decayed.points)
    branched = losses(branches.points).reshape(len(rates), len(ends), 2)
    x_decayed = branched[branched[..., 0].argmin(0), np.arange(len(ends)), 1]
    of_adam, of_x, of_y = averages.split([len(rates), len(rate), len(rate)])
    end = torch.cat([adam.points[-1:], free.x[ends]])
    segment = np.stack([losses(torch.lerp(snapshot, end, float(a)))[:, 1] for a in SEGMENT], axis=-1)
    return Language(
        rates=rates,
        betas=betas,
        source=text.source,
        numbers=shape.numbers,
        steps=np.array(looks),
        adam_path=path[0],
        x_path=x_path,
        y_path=y_path,
        adam=np.mean(last, axis=0),
        x=x[:, 1].reshape(lattice),
        y=y[:, 1].reshape(lattice),
        chosen_adam=adam_decayed[:, 0],
        chosen_x=x[:, 0].reshape(lattice),
        branched=betas[[0, -1]],
        adam_decayed=adam_decayed[:, 1],
        adam_average=losses(of_adam)[:, 1],
        x_decayed=x_decayed,
        x_average=losses(of_x)[:, 1].reshape(lattice),
        y_average=losses(of_y)[:, 1].reshape(lattice),
        z=losses(free.z)[:, 1].reshape(lattice),
        alpha=SEGMENT,
        adam_segment=segment[0],
        x_segment=segment[1:],
    )


@dataclass(frozen=True)
class Large:
    """Validation losses at x after as many steps with a small and with a large batch; largest beta, largest rate."""

    rate: float
    beta: float
    C: float  #: of the refined method
    batches: np.ndarray  #: windows in a batch, (2,)
    x: np.ndarray  #: original and refined, (2, replicas, 2)

    def gain(self) -> np.ndarray:
        """How much lower the refined method's loss is, ``(2, replicas)``."""
        return self.x[..., 0] - self.x[..., 1]


@experiment
@torch.no_grad()
def large(params: Parameters) -> Large:
    """Original and refined method, in replicas with a start and windows of their own."""
    shape, device, replicas = _shape(params), params.device, params.big_replicas
    text = corpus(params.corpus, params.context)
    generator = params.generator(8)
    starts = ensemble.flatten(ensemble.initial(shape, replicas, generator, distinct=True))
    starts = starts.repeat_interleave(len(VARIANTS), 0).to(device)
    held_out = halves(text.validation, params.windows, params.context)[1:].to(device)
    beta, rate = params.all_betas[-1], params.all_rates[-1]
    C = np.tile([1 / (1 - beta), params.big_C], replicas)
    warm_up = max(1, params.big_steps // 10)
    losses, batches = [], [params.batch, params.big_batch]
    for batch in batches:
        free = ScheduleFree(starts, np.full(len(C), rate), np.full(len(C), beta), C, BETA2)
        for step in range(1, params.big_steps + 1):
            drawn = ensemble.windows(text.train, replicas * batch, params.context, generator).to(device)
            symbols = drawn.unflatten(0, (replicas, batch)).repeat_interleave(len(VARIANTS), 0)
            together(shape, (free,), symbols, (min(1.0, step / warm_up),))
        losses.append(evaluate(shape, free.x, held_out).reshape(replicas, len(VARIANTS)))
    return Large(rate, beta, params.big_C, np.array(batches), np.stack(losses))
