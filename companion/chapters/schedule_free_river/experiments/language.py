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
LOOKS = 6  # at the losses before step S
LAST = 10  # looks at AdamW's last iterates, whose losses scatter,
APART = 5  # every so many steps
FOR_SMALL = 3  # times as many replicas with the small batch, whose losses scatter more
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
    adam_decayed: np.ndarray  #: AdamW after a decay phase of S' steps, (G,)
    chosen_adam: np.ndarray  #: the same on the half that chooses rates, (G,)
    x: np.ndarray  #: at x, (G, B, 2)
    chosen_x: np.ndarray  #: on the half that chooses rates, (G, B, 2)
    y: np.ndarray  #: at y, (G, B, 2)
    z: np.ndarray  #: at z, (G, B, 2)
    y_average: np.ndarray  #: running average of the last S' of y, (G, B, 2)
    side: np.ndarray  #: AdamW and x of the original with the largest beta, largest rate, several starts, (2, starts)
    side_decayed: np.ndarray  #: after a decay phase; of those of x the best, chosen on the other half, (2, starts)
    side_average: np.ndarray  #: running averages over the last S' steps, (2, starts)
    alpha: np.ndarray  #: places on the segment from step S to S + S', (A,)
    side_segment: np.ndarray  #: AdamW, and x of the original with the largest beta, along it, (2, starts, A)
    small_segment: np.ndarray  #: x of the original with the least beta, largest rate, (A,)


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

    def both(rows: torch.Tensor) -> np.ndarray:
        return evaluate(shape, rows, held_out)

    def losses(rows: torch.Tensor) -> np.ndarray:
        return evaluate(shape, rows, held_out[1:])[:, 0]

    # The lattice from one start; then the two methods that are compared at the largest rate, from further starts and
    # on windows of their own.
    more = params.starts - 1
    twins = ensemble.flatten(ensemble.initial(shape, more, generator, distinct=True)).to(device)
    adam_starts = torch.cat([start.repeat(len(rates), 1), twins])
    adam = AdamW(adam_starts, np.append(rates, np.full(more, rates[-1])), (BETA1, BETA2))
    free = ScheduleFree(
        torch.cat([start.repeat(len(rate), 1), twins]),
        *(np.append(values, np.full(more, values[-len(VARIANTS)])) for values in (rate, beta, C)),
        BETA2,
    )
    grid, slow, fast = len(rate), len(rates), len(rate) - lattice[1] * lattice[2]  # the largest rate from ``fast`` on
    # The original method with the largest beta from every start, and AdamW.
    pair = np.append(grid - len(VARIANTS), np.arange(grid, grid + more))
    rivals = np.arange(slow - 1, slow + more)
    own = np.arange(1, params.starts)  # the windows that a member sees, by number
    seen = [np.append(np.zeros(count, int), own) for count in (slow, grid, slow)] + [np.tile(np.append(0, own), slow)]
    before, after = (torch.tensor(np.concatenate(some), device=device) for some in (seen[:2], seen))
    looks = sorted({round(params.steps * k / LOOKS) for k in range(1, LOOKS + 1)} | {params.steps + params.extra})
    scattered = {params.steps + params.extra - APART * k for k in range(LAST)}
    paths: list[np.ndarray] = []
    last: list[np.ndarray] = []
    decayed = branches = averages = None
    for step in range(1, params.steps + params.extra + 1):
        drawn = ensemble.windows(text.train, params.starts * params.batch, params.context, generator).to(device)
        drawn = drawn.unflatten(0, (params.starts, params.batch))
        warm = min(1.0, step / params.warm_up)
        if step <= params.steps:
            together(shape, (adam, free), drawn[before], (warm, warm))
        else:
            left = 1 - (step - params.steps - 1) / params.extra
            together(shape, (adam, free, decayed, branches), drawn[after], (1.0, 1.0, left, left))
            newest = torch.cat([adam.points, free.x, free.points])
            averages = torch.lerp(newest, averages, params.ema)
        if step == params.steps:
            snapshot = torch.cat([adam.points[rivals], free.x[pair], free.x[fast : fast + 1]])
            decayed = adam.branch()
            branches = AdamW(free.x[pair].repeat(len(rates), 1), rates.repeat(len(pair)), (BETA1, BETA2))
            averages = torch.cat([adam.points, free.x, free.points])
        if step in scattered:
            last.append(losses(adam.points))
        if step in looks:
            paths.append(losses(torch.cat([adam.points[slow - 1 : slow], free.x[fast:grid], free.points[fast:grid]])))
    path = np.stack(paths, axis=-1)
    x_path, y_path = path[1:].reshape(2, *lattice[1:], -1)
    x, y, z = both(free.x), losses(free.points[:grid]), losses(free.z[:grid])
    adam_now, adam_decayed = np.mean(last, axis=0), both(decayed.points)
    branched = both(branches.points).reshape(len(rates), len(pair), 2)
    x_decayed = branched[branched[..., 0].argmin(0), np.arange(len(pair)), 1]
    of_adam, of_x, of_y = (losses(rows) for rows in averages.split([len(adam.points), len(free.x), len(free.points)]))
    end = torch.cat([adam.points[rivals], free.x[pair], free.x[fast : fast + 1]])
    segment = np.stack([losses(torch.lerp(snapshot, end, float(a))) for a in SEGMENT], axis=-1)
    return Language(
        rates=rates,
        betas=betas,
        source=text.source,
        numbers=shape.numbers,
        steps=np.array(looks),
        adam_path=path[0],
        x_path=x_path,
        y_path=y_path,
        adam=adam_now[:slow],
        adam_decayed=adam_decayed[:slow, 1],
        chosen_adam=adam_decayed[:slow, 0],
        x=x[:grid, 1].reshape(lattice),
        chosen_x=x[:grid, 0].reshape(lattice),
        y=y.reshape(lattice),
        z=z.reshape(lattice),
        y_average=of_y[:grid].reshape(lattice),
        side=np.stack([adam_now[rivals], x[pair, 1]]),
        side_decayed=np.stack([adam_decayed[rivals, 1], x_decayed]),
        side_average=np.stack([of_adam[rivals], of_x[pair]]),
        alpha=SEGMENT,
        side_segment=segment[:-1].reshape(2, len(pair), -1),
        small_segment=segment[-1],
    )


@dataclass(frozen=True)
class Large:
    """How much lower the refined method's loss at x is than the original's; largest beta, largest rate.

    After as many steps with a small and with a large batch, in replicas.
    """

    rate: float
    beta: float
    C: float  #: of the refined method
    batches: np.ndarray  #: windows in a batch, (2,)
    small: np.ndarray  #: gains with the small batch, (3 replicas,)
    large: np.ndarray  #: gains with the large batch, (replicas,)


@experiment
@torch.no_grad()
def large(params: Parameters) -> Large:
    """Original and refined method, in replicas with a start and windows of their own."""
    shape, device = _shape(params), params.device
    text = corpus(params.corpus, params.context)
    generator = params.generator(8)
    held_out = halves(text.validation, params.windows, params.context)[1:].to(device)
    beta, rate = params.all_betas[-1], params.all_rates[-1]
    warm_up = max(1, params.big_steps // 10)
    gains = []
    for batch, replicas in ((params.batch, FOR_SMALL * params.big_replicas), (params.big_batch, params.big_replicas)):
        starts = ensemble.flatten(ensemble.initial(shape, replicas, generator, distinct=True))
        C = np.tile([1 / (1 - beta), params.big_C], replicas)
        free = ScheduleFree(
            starts.repeat_interleave(len(VARIANTS), 0).to(device),
            np.full(len(C), rate), np.full(len(C), beta), C, BETA2,
        )  # fmt: skip
        for step in range(1, params.big_steps + 1):
            drawn = ensemble.windows(text.train, replicas * batch, params.context, generator).to(device)
            symbols = drawn.unflatten(0, (replicas, batch)).repeat_interleave(len(VARIANTS), 0)
            together(shape, (free,), symbols, (min(1.0, step / warm_up),))
        original, refined = evaluate(shape, free.x, held_out).reshape(replicas, len(VARIANTS)).T
        gains.append(original - refined)
    return Large(rate, beta, params.big_C, np.array([params.batch, params.big_batch]), *gains)
