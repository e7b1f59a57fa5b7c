"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np
from scipy.stats import spearmanr

from companion.chapters.progressive_sharpening.experiments import Results
from companion.chapters.progressive_sharpening.experiments.runs import LATE
from companion.chapters.progressive_sharpening.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LAST = 10  # looks at a network at the edge that are averaged
LABEL = "progressive-sharpening"  # ends the labels of the page's statements
DIRECTION = "The abstract says that the influence is analysed, not which way it goes; here it has a direction."


def _geometric(values: np.ndarray) -> np.ndarray:
    """Geometric mean over the last axis."""
    return np.exp(np.log(values).mean(-1))


def late_sharpness(results: Results, group: str) -> np.ndarray:
    """Mean sharpness over the last records of one group: ``(depths, draws)``."""
    return results.edge.sharpness[results.edge.groups.index(group)][..., -LATE:].mean(-1)


def plateau(results: Results, group: str) -> Measured:
    """Late sharpness over 2/η, worst of depths and data sets; its rise, mean over data sets, least of the depths."""
    r, late = results.edge, late_sharpness(results, group)
    k = r.groups.index(group)
    return {
        "low": (late / r.edge[k]).min(),
        "high": (late / r.edge[k]).max(),
        "rise": _geometric(late / r.sharpness[k, ..., 0]).min(),
        "flow": np.abs(r.predicted[k, ..., -1] / r.edge[k] - 1).max(),
    }


C1a = Claim(
    id="C1a",
    says="One neuron per layer is enough for the edge of stability: where gradient flow would end above 2/η, the "
    "sharpness of gradient descent rises to 2/η and stays there.",
    criterion="0.93 <= low and high <= 1.02 and rise > 1.1 and flow < 0.05",
    reason="late sharpness over 2/η, and how far the sharpness at which gradient flow would end from the last iterate "
    "is from 2/η, worst of all depths and data sets; the rise over the start, mean over data sets, least of the depths",
    measure=plateau,
    on="beyond",
    control=Control("steps small enough that gradient flow's limit lies below 2/η", on="below"),
    figure="edge",
)


def sharpening(results: Results, group: str) -> Measured:
    """Late sharpness over the start, and over the limit of gradient flow: means over data sets, of all depths."""
    r, late = results.edge, late_sharpness(results, group)
    k = r.groups.index(group)
    reached = _geometric(late / r.predicted[k, ..., 0])
    return {
        "rise": _geometric(late / r.sharpness[k, ..., 0]).min(),
        "reached": reached.min(),
        "most": reached.max(),
    }


C1b = Claim(
    id="C1b",
    says="One neuron per layer is enough for progressive sharpening: with small steps the sharpness rises, to the "
    "limit of gradient flow.",
    criterion="rise > 1.5 and reached > 0.95 and most < 1.02",
    reason="geometric means over data sets, at the depth where they are least, and late sharpness over the limit also "
    "where it is largest; the slowest data sets have not quite converged",
    measure=sharpening,
    on="below",
    control=Control("the same runs with short labels: nothing hard to learn, nothing sharpens", on="easy"),
    figure="edge",
    theorem=f"thm-{LABEL}-limit",
)


def closed_form(results: Results, start: str) -> Measured:
    """Largest relative error of the closed form for the limit sharpness."""
    r = results.flow
    formula = {"its own imbalance": r.predicted, "balanced": r.balanced}[start]
    return {"error": np.abs(formula / r.measured - 1).max(), "drift": r.drift.max(), "loss": r.loss.max()}


C2a = Claim(
    id="C2a",
    says="The data enter the limit sharpness through the difficulty Q = ‖X⁺y‖, the labels and the images' covariance: "
    "gradient flow ends at the sharpness of a closed form.",
    criterion="error < 1e-4 and drift < 1e-5",
    reason="relative error, and change of the imbalances, on flows in all coordinates from starts with unequal layers "
    "of both signs and a part outside the row space; the solver's tolerance is 1e-8",
    measure=closed_form,
    on="its own imbalance",
    control=Control("the closed form for a balanced start", on="balanced"),
    stance="added",
    figure="limits",
    theorem=f"thm-{LABEL}-limit",
)


def turned(results: Results, fixed: str) -> Measured:
    """Least change from one singular vector to the next, from the second on, and that from the first to the last."""
    sharpness = results.turning.sharpness[("length", "difficulty").index(fixed)]
    return {"least": (sharpness[2:] / sharpness[1:-1]).min(), "whole": sharpness[-1] / sharpness[0]}


C2b = Claim(
    id="C2b",
    says="Labels on smaller singular directions of the images are harder and end sharper, on the same "
    "images and with labels of the same length.",
    criterion="least > 1 and whole > 10",
    reason="ratios of limit sharpness as the labels go through the singular vectors one by one, from the second on, "
    "where the theorem has them above one, and from the first to the last: (σ₁/σ_N)^(4/3)/3 at depth three",
    measure=turned,
    on="length",
    control=Control("the same directions, the labels scaled to one difficulty", on="difficulty"),
    stance="restated",
    changed=DIRECTION,
    figure="difficulty",
    theorem=f"thm-{LABEL}-difficulty",
)


def grown(results: Results, labels: str) -> Measured:
    """Least change of Q from a data set to a larger one, and mean growth of the limit sharpness in each depth."""
    r = results.growth
    k = r.labels.index(labels)
    return {
        "step": (r.Q[k, 1:] / r.Q[k, :-1]).min(),
        "growth": _geometric(r.balanced[k, :, -1] / r.balanced[k, :, 0]).min(),
    }


C2c = Claim(
    id="C2c",
    says="More images make a data set harder: adding samples never lowers Q, and the limit sharpness grows, though "
    "the loss is a mean.",
    criterion="step >= 1 - 1e-9 and growth > 2.5",
    reason="least ratio of Q, a theorem up to rounding; growth from the smallest to the largest size, geometric mean "
    "over data sets, at the depth where it is least",
    measure=grown,
    on="classes",
    control=Control("labels that five principal directions explain, on the same images", on="explained"),
    stance="restated",
    changed=DIRECTION,
    figure="difficulty",
    theorem=f"thm-{LABEL}-difficulty",
)


def noisy(results: Results, before: str) -> Measured:
    """How much the largest share of wrong labels multiplies Q, geometric mean over data sets."""
    r = results.flips
    if r.rates[0] > 0 or r.rates[-1] < 0.25:
        raise Undecided("flip_rates: needs the rate 0 and one of at least 0.25")
    k = ("classes", "random").index(before)
    return {"factor": _geometric(r.Q[k, -1] / r.Q[k, 0])}


C2d = Claim(
    id="C2d",
    says="Wrong labels make a data set harder.",
    criterion="factor > 1.5",
    reason="geometric mean over data sets of Q with the largest share of wrong labels over Q without any; on fresh "
    "seeds at least 2.5",
    measure=noisy,
    on="classes",
    control=Control("the same signs turned in labels that were random already", on="random"),
    stance="restated",
    changed=DIRECTION,
    figure="flips",
)


def sandwich(results: Results, difficulty: str) -> Measured:
    """N S over ``s_1^2 Q^(2 - 2/D)``: least value, and largest in units of D."""
    r = results.growth
    Q = {"Q": r.Q, "least Q": r.least}[difficulty][:, None]
    power = (2 - 2 / r.depths)[:, None, None]
    ratio = r.sizes[:, None] * r.balanced / (r.top * Q**power)
    return {"low": ratio.min(), "high": (ratio / r.depths[:, None, None]).max()}


C2e = Claim(
    id="C2e",
    says="From a balanced start the limit sharpness is Q^(2 − 2/D) times the images' largest eigenvalue, up to a "
    "factor from 1 to D.",
    criterion="low >= 1 - 1e-9 and high <= 1 + 1e-9",
    reason="both sides of the sandwich, the upper in units of D, over all data sets and depths; a theorem up to "
    "rounding",
    measure=sandwich,
    on="Q",
    control=Control("the length of the labels in place of Q: the least that Q can be for that length", on="least Q"),
    stance="added",
    figure="glance",
    theorem=f"thm-{LABEL}-difficulty",
)


def deeper(results: Results, labels: str) -> Measured:
    """Least ratio of limit sharpness between neighbouring depths, where Q is at least one, and from the start."""
    r = results.growth
    hard = r.Q[0] >= 1
    if not hard.any():
        raise Undecided("sizes: no data set is so hard that Q ≥ 1")
    S = {"as they are": r.balanced[0], "small": r.scaled}[labels]
    return {
        "balanced": (S[1:] / S[:-1])[:, hard].min(),
        "median": np.median((S[1:] / S[:-1])[:, hard]),
        "started": (r.started[1:] / r.started[:-1]).min(),
    }


C3 = Claim(
    id="C3",
    says="Depth sharpens: with Q ≥ 1 the limit sharpness from a balanced start grows with the depth.",
    criterion="balanced > 1",
    reason="least ratio between neighbouring depths over data sets with Q ≥ 1; a theorem, no tolerance",
    measure=deeper,
    on="as they are",
    control=Control("the same labels scaled to Q = 0.2, where depth flattens", on="small"),
    stance="restated",
    changed=DIRECTION + " It needs Q ≥ 1.",
    figure="depth",
    theorem=f"thm-{LABEL}-depth",
)


def _means(results: Results, kind: str) -> np.ndarray:
    """Limit sharpness from the last iterate, mean over replicas: ``(draws, depths, steps, batches)``."""
    r = results.imbalance
    return r.predicted[r.kinds.index(kind), ..., -1].mean(-1)


def smaller_batches(results: Results, kind: str) -> Measured:
    """How much lower a smaller batch ends than the next larger one: least, and smallest batch against the full one."""
    S = _means(results, kind)
    return {"least": (1 - S[..., 1:] / S[..., :-1]).min(), "whole": (1 - S[..., -1] / S[..., 0]).min()}


C4 = Claim(
    id="C4",
    says="Smaller batches sharpen less: from the usual start, and for every step size, depth and data set, the limit "
    "sharpness of gradient flow from the last iterate falls with each smaller batch.",
    criterion="least > 0.003",
    reason="least relative difference of neighbouring batch sizes, means over replicas; on fresh seeds at least 0.005",
    measure=smaller_batches,
    on="negative",
    control=Control(
        "a start whose first layer is longer than the others and along the images' main direction (C > 0): there "
        "smaller batches sharpen",
        on="positive",
    ),
    stance="restated",
    changed=DIRECTION + " It needs layers after the first that outweigh it (C ≤ 0).",
    figure="imbalance",
    theorem=f"thm-{LABEL}-steps",
)


def larger_steps(results: Results, kind: str) -> Measured:
    """How much lower the largest step ends than the smallest: with the full batch, and with the smallest."""
    S = _means(results, kind)
    least = 1 - S[:, :, 1:] / S[:, :, :-1]
    return {"full": least[..., 0].min(), "smallest": least[..., -1].min()}


C5a = Claim(
    id="C5a",
    says="Larger steps sharpen less, below the edge of stability too: a little with the full batch, much with small "
    "ones.",
    criterion="full > 0.0003 and smallest > 0.05",
    reason="least relative difference of neighbouring step sizes; on fresh seeds at least 0.0005 with the full batch",
    measure=larger_steps,
    on="negative",
    control=Control(
        "a start whose first layer is longer than the others and along the images' main direction (C > 0)",
        on="positive",
    ),
    stance="restated",
    changed=DIRECTION + " It needs layers after the first that outweigh it (C ≤ 0).",
    figure="imbalance",
    theorem=f"thm-{LABEL}-steps",
)


def mechanism(results: Results, kind: str) -> Measured:
    """Error of the one-step formula, least gain of the imbalance, largest rise of the predicted sharpness."""
    r = results.imbalance
    k = r.kinds.index(kind)
    counted = r.C[k] <= np.maximum(r.C[k][..., :1], 0) + 1e-12
    both = counted[..., 1:] & counted[..., :-1]
    rises = np.diff(r.predicted[k]) / r.predicted[k][..., :-1]
    return {"error": r.error[k], "gain": r.gain[k], "rise": rises[both].max()}


C5b = Claim(
    id="C5b",
    says="Both act through the imbalance: while C ≤ 0 no step of any batch and size lowers it, and as it grows, the "
    "sharpness at which gradient flow would end falls.",
    criterion="error < 1e-9 and gain >= 0 and rise <= 1e-12",
    reason="error of the one-step formula, least gain of a step, and largest relative rise of that sharpness between "
    "looks, while C is at most the larger of zero and its start; theorems up to rounding",
    measure=mechanism,
    on="negative",
    control=Control("a start with C > 0, where steps can lower C and raise that sharpness", on="positive"),
    stance="added",
    figure="imbalance",
    theorem=f"thm-{LABEL}-steps",
)


def unequal(results: Results, layers: str) -> Measured:
    """Largest change of the limit sharpness, as a logarithm, when a negative imbalance is raised."""
    return {"rise": results.layers.change[("unequal", "equal").index(layers)].max()}


C5c = Claim(
    id="C5c",
    says="Equal layers are needed: with unequal ones, all C ≤ 0, raising one imbalance towards zero can raise the "
    "limit sharpness.",
    criterion="rise > 1e-4",
    reason="largest rise over random problems, of the order of a few parts in a thousand; rounding is of order 1e-15",
    measure=unequal,
    on="unequal",
    control=Control("all layers equal and raised together", on="equal"),
    stance="added",
    unseen="a single number: the lab prints it",
    theorem=f"thm-{LABEL}-imbalance",
)


def _networks_reached(reached: bool) -> None:
    if not reached:
        raise Undecided("mlp_steps: some network is not down to mlp_loss, and sharpness compares at equal loss only")


def harder_images(results: Results, labels: str) -> Measured:
    """Growth of the mean sharpness from the smallest to the largest data set, at the middle depth."""
    r = results.network_growth
    _networks_reached(r.reached)
    mean = r.sharpness[r.labels.index(labels), len(r.depths) // 2].mean(-1)
    return {"growth": mean[-1] / mean[0]}


C6a = Claim(
    id="C6a",
    says="Nonlinear networks on real images: the sharpness after training grows with the size of a data set whose "
    "labels are hard.",
    criterion="growth > 2",
    reason="ratio of mean sharpness on the largest and smallest sets, middle depth, equal loss; on fresh seeds at "
    "least 2.9, and for clean labels at most 1.3",
    measure=harder_images,
    on="noisy",
    control=Control("the same images with their right labels", on="clean"),
    stance="restated",
    changed=DIRECTION,
    figure="networks",
)


def deeper_networks(results: Results, labels: str) -> Measured:
    """Least ratio of mean sharpness between depths, and how much more the deepest networks sharpen."""
    r = results.network_growth
    _networks_reached(r.reached)
    ends, begins = {"noisy": (r.sharpness[0, :, -1], r.start[:, -1]), "small": (r.small, r.start[:, 0])}[labels]
    mean, degree = ends.mean(-1), ends.mean(-1) / begins.mean(-1)
    return {"least": (mean[1:] / mean[:-1]).min(), "degree": degree[-1] / degree[0]}


C6b = Claim(
    id="C6b",
    says="Nonlinear networks on real images: deeper networks sharpen more.",
    criterion="least > 1.1 and degree > 1.3",
    reason="least ratio of mean sharpness between neighbouring depths, largest sets with noisy labels; and the ratio "
    "of end to start at the largest depth over that at the smallest",
    measure=deeper_networks,
    on="noisy",
    control=Control("short labels, on the smallest sets: sharpness stays near its start", on="small"),
    stance="restated",
    changed=DIRECTION,
    figure="networks",
)


def noise_in_networks(results: Results, step: str) -> Measured:
    """Sharpness of single samples over that of the full batch, and that of the batch between, means."""
    r = results.noise
    _networks_reached(r.reached)
    k = ("larger", "smaller").index(step)
    full = r.sharpness[0, k].mean()
    return {"single": r.sharpness[1, k].mean() / full, "middle": r.middle.mean() / r.sharpness[0, 0].mean()}


C6c = Claim(
    id="C6c",
    says="Nonlinear networks on real images: smaller batches sharpen less.",
    criterion="single < 0.62 and middle < 0.97",
    reason="mean sharpness with single samples, and with the batch size between, over that with the full batch, at one "
    "step size and equal loss; midway between 0.53, the most for single samples on fresh seeds, and 0.72, the least "
    "with a third of the step",
    measure=noise_in_networks,
    on="larger",
    control=Control("a third of the step: single samples are then too little noise", on="smaller"),
    stance="restated",
    changed=DIRECTION,
    figure="noise",
)


def steps_in_networks(results: Results, batch: str) -> Measured:
    """Sharpness with the larger step over that with a third of it, means."""
    r = results.noise
    _networks_reached(r.reached)
    S = r.sharpness[("full", "single").index(batch)].mean(-1)
    return {"ratio": S[0] / S[1]}


C6d = Claim(
    id="C6d",
    says="Nonlinear networks on real images: larger steps sharpen less, where batches are small.",
    criterion="ratio < 0.8",
    reason="mean sharpness with the larger step over that with a third of it, single samples, equal loss",
    measure=steps_in_networks,
    on="single",
    control=Control("the full batch, below the edge: the step hardly matters", on="full"),
    stance="restated",
    changed=DIRECTION + " It needs small batches: below the edge the full batch shows no effect.",
    figure="noise",
)


def network_edge(results: Results, step: str) -> Measured:
    """Late sharpness over 2/η, least and largest of the data sets."""
    r = results.noise
    _networks_reached(r.reached)
    ratio = {"beyond": r.edge_path[-LAST:].mean(0) * r.edge_lr, "below": r.sharpness[0, 0] * r.lr[0]}[step] / 2
    return {"low": ratio.min(), "high": ratio.max()}


C6e = Claim(
    id="C6e",
    says="Nonlinear networks on real images: with the full batch, too, a step large enough caps the sharpness, at 2/η.",
    criterion="0.9 <= low and high <= 1.05",
    reason="late sharpness over 2/η, least and largest of the data sets",
    measure=network_edge,
    on="beyond",
    control=Control("the small step", on="below"),
    figure="noise",
)


def predicted_by(results: Results, number: str) -> Measured:
    """Rank correlation of a number known at the start with the sharpness at the end, for each depth."""
    r = results.network_growth
    _networks_reached(r.reached)
    known = {"difficulty": r.difficulty, "sharpness": np.broadcast_to(r.start, r.sharpness.shape)}[number]
    rank = [spearmanr(known[:, k].ravel(), r.sharpness[:, k].ravel())[0] for k in range(len(r.depths))]
    return {"rank": np.array(rank), "mean": np.mean(rank)}


C6f = Claim(
    id="C6f",
    says="The difficulty is known before training: the length of the way that the linearized network would go orders "
    "data sets by the sharpness after training.",
    criterion="mean > 0.5",
    reason="Spearman's rank correlation over data sets of all sizes, noisy and clean, mean over depths",
    measure=predicted_by,
    on="difficulty",
    control=Control("the sharpness at the start as predictor", on="sharpness"),
    stance="added",
    figure="kernel",
)

CLAIMS = (C1a, C1b, C2a, C2b, C2c, C2d, C2e, C3, C4, C5a, C5b, C5c, C6a, C6b, C6c, C6d, C6e, C6f)


def _quantities(params: Parameters, results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    growth, imbalance, networks, noise = results.growth, results.imbalance, results.network_growth, results.noise
    slopes = [
        np.polyfit(np.log(networks.difficulty[:, k].ravel()), np.log(networks.sharpness[:, k].ravel()), 1)[0]
        for k in range(len(networks.depths))
    ]
    C = imbalance.C[imbalance.kinds.index("negative")]
    gain = (C[..., -1] - C[..., 0]).mean((0, -1))
    return {
        "sizes": growth.sizes,
        "Q": _geometric(growth.Q[0]),
        "Q_explained": _geometric(growth.Q[1]),
        "shallow": _geometric(growth.balanced[0, 0]),
        "deep": _geometric(growth.balanced[0, -1]),
        "depths": growth.depths,
        "easy_share": (growth.Q[0] < 1).mean(-1),
        "gain_share": (gain[..., 0] / gain[..., -1]).max(),
        "gain_doubled": gain[:, -1, -1] / gain[:, 0, -1],
        "network_sizes": networks.sizes,
        "network_depths": networks.depths,
        "noise_at": [noise.depth, noise.size],
        "noisy": networks.sharpness[0].mean(-1),
        "clean": networks.sharpness[1].mean(-1),
        "hessian_error": np.abs(networks.hessian / networks.sharpness[0, :, -1] - 1).max(),
        "slopes": slopes,
        "noise": noise.sharpness.mean(-1),
        "middle": noise.middle.mean(),
        "batch": noise.batch,
        "width": params.mlp_width,
        "sgd_steps": params.sgd_steps,
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(params, results))
