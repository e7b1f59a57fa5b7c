# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lab: who is similar to whom?
#
# Individual fairness asks that similar people be treated alike; somebody has to say who is similar. This lab learns that metric
# from noisy answers to questions about triplets, checks how fast and how well, and trains predictors that are fair for it. The
# theorems and proofs are in [the chapter](../book/individual-fairness-bradley-terry.md).

# %% tags=["parameters"]
profile = "quick"  # "quick" or "paper"
device = "auto"  # "auto", "cpu" or "cuda"
seed = 0
d = None  # None keeps the profile's value
rank = None
scale = None
cond = None
n_triplets = None
sizes = None
dims = None
label_flip = None
init = None
step_c = None
gd_steps = None
path_steps = None
seeds = None
rate_seeds = None
noise_scales = None
flips = None
pairs = None
n_train = None
protected_strength = None
lipschitz = None
lipschitz_grid = None
diabetes_replicas = None
diabetes_triplets = None
tuning_replicas = None
tuning_triplets = None
spurious = None

# %%
from companion import plotting
from companion.chapters import individual_fairness_bradley_terry as chapter

params = chapter.Parameters.resolve(
    profile=profile,
    device=device,
    seed=seed,
    d=d,
    rank=rank,
    scale=scale,
    cond=cond,
    n_triplets=n_triplets,
    sizes=sizes,
    dims=dims,
    label_flip=label_flip,
    init=init,
    step_c=step_c,
    gd_steps=gd_steps,
    path_steps=path_steps,
    seeds=seeds,
    rate_seeds=rate_seeds,
    noise_scales=noise_scales,
    flips=flips,
    pairs=pairs,
    n_train=n_train,
    protected_strength=protected_strength,
    lipschitz=lipschitz,
    lipschitz_grid=lipschitz_grid,
    diabetes_replicas=diabetes_replicas,
    diabetes_triplets=diabetes_triplets,
    tuning_replicas=tuning_replicas,
    tuning_triplets=tuning_triplets,
    spurious=spurious,
)
params

# %% [markdown]
# ## The picture in the plane
#
# Two individuals $i$ and $j$ differ in a protected coordinate only. The metric in people's minds ignores it: its unit ball is a
# strip, and $j$ is at distance zero from $i$. In the Euclidean metric they are far apart. What do noisy answers teach?

# %%
plane = chapter.plane(params)
plotting.show(
    chapter.figure_plane(plane),
    alt="Three panels with two individuals one above the other. The true metric's unit ball is a vertical strip that holds "
    "both. The strip learned from few answers is tilted or has another width; from many answers it is nearly the true one.",
    name="plane",
)

# %% [markdown]
# ## An answer is a bilinear measurement
#
# With the contrast $u=x_j-x_k$ and the centre $v=2x_i-x_j-x_k$ the logit of an answer is $u^\top Mv$. For Gaussian individuals $u$ and
# $v$ are independent. The whole of metric learning from triplets is then logistic regression with a low-rank matrix.

# %%
import inspect

from companion.chapters.individual_fairness_bradley_terry import learning, triplets

print(inspect.getsource(triplets.triplet_design))

model = chapter.model(params)
print(f"identity, largest relative error: {model.identity[0]:.1e}")
print(f"standard deviation of the logits: {model.std:.2f}")
for name, share in zip(
    ("true metric", "learned", "Euclidean, rescaled", "from coin flips"), model.accuracy, strict=True
):
    print(f"fresh answers predicted, {name:20s} {share.mean():.3f}")

# %% [markdown]
# Single answers are noisy, so even the true metric misses many of them; the learned metric misses no more.
#
# ## The spectral start
#
# One matrix, $\hat S=\frac1m\sum_t(2y_t-1)\,\mathrm{sym}(u_tv_t^\top)$, holds nearly everything. Its eigenvectors are right in expectation;
# its eigenvalues are shrunk by a function that is one integral (dashed). Fitting a single number then repairs the scale.

# %%
print(inspect.getsource(learning.spectral_init))

spectral = chapter.spectral(params)
plotting.show(
    chapter.figure_spectrum(spectral),
    alt="Left: measured eigenvalues of the moment matrix lie on their predictions and bend away from the line 6 lambda. Middle: "
    "eigenvalues in decreasing order with a gap after the rank. Right: the raw start gets worse with the spread of the "
    "logits, the rescaled one stays close over a wide range.",
    name="spectrum",
)

# %% [markdown]
# The gap after the $r$-th eigenvalue is visible at every noise level, so an unknown rank can be read off. Rescaling helps as
# soon as the logits are not tiny. Where they are enormous no single number suffices, since the eigenvalues shrink unevenly.

# %%
for m, good, coin in zip(spectral.sizes, *spectral.sine.mean(-1), strict=True):
    print(f"m = {m:6d}: sine of the largest angle {good:.3f}, from coin flips {coin:.3f}")

# %% [markdown]
# ## Gradient descent: a plateau and a straight line
#
# From four starts on the same answers. Towards the truth each run ends on a plateau, the error of the sample itself. Towards the
# *sample's own optimum* the distance falls without end, along a straight line on the logarithmic axis: linear convergence.

# %%
print(inspect.getsource(learning.gradient))

convergence = chapter.convergence(params)
plotting.show(
    chapter.figure_convergence(convergence),
    alt="Left: distance to the truth against steps; all four starts end on the same plateau, the spectral ones after a few "
    "steps, the random ones after many. Right: distance to the sample's optimum; straight lines of the same slope.",
    name="convergence",
)

# %%
import numpy as np

for name, steps in zip(
    (*convergence.starts, "spectral start of coin flips"), convergence.steps_to_floor(), strict=True
):
    print(f"{name:30s} median steps to 1.2 times the floor: {np.median(steps):g}")

# %% [markdown]
# Random starts do not fail here; they are slow to begin with. What the spectral start buys is most of the iterations, and
# a theory that needs nothing beyond a neighbourhood of the truth.
#
# ## How many answers are needed?

# %%
rates = chapter.rates(params)
plotting.show(
    chapter.figure_rates(rates),
    alt="Left: the error of the learned metric falls along a dashed line of slope minus one half in the number of answers; the "
    "raw spectral start stays flat, the rescaled one flattens. Right: against the dimension, the low-rank factor has slope one "
    "half and convex regression for the whole matrix slope one.",
    name="rates",
)

# %% [markdown]
# The moment matrix alone has a bias that no number of answers removes: descent is needed for consistency. And the low rank
# is needed for the dimension: the convex alternative estimates $d(d+1)/2$ numbers where $dr$ would do.
#
# ## Fairness carries over
#
# A function that is fair in the learned metric is nearly fair in the true one. The slack comes in two forms, of which the one
# through the factor is smaller and falls twice as fast on the logarithmic axis.

# %%
transfer = chapter.transfer(params, rates)
plotting.show(
    chapter.figure_slack(transfer),
    alt="Slack per unit of distance against the number of answers: the square-root form falls with slope minus one quarter, the "
    "factor form with slope minus one half; the largest excess seen on a pair runs just below the latter.",
    name="slack",
)

# %%
for m, worst, kernel in zip(transfer.sizes, *transfer.excess[0].max(-1), strict=True):
    print(
        f"m = {m:6d}: largest excess over the bound, ordinary pairs {worst:.4f}, pairs at true distance zero {kernel:.4f}"
    )

# %% [markdown]
# Negative numbers: the bound holds on every pair, as a theorem should.
#
# ## Fair predictors
#
# A linear score is $L$-Lipschitz for $M=UU^\top$ exactly if it is $\langle c,U^\top x\rangle$ with $\lVert c\rVert\le L$. Fair training is
# training on the learned representation with a norm ball. The label depends on the protected direction as well, so fairness
# must cost accuracy: the oracle with the true metric pays, too. All fairness is judged by the *true* metric.

# %%
downstream = chapter.downstream(params, rates)
print(f"{'':16s}accuracy  twin gap     leak    excess")
for k, name in enumerate(downstream.methods):
    row = [
        values[k, -1].mean() for values in (downstream.accuracy, downstream.twin, downstream.leak, downstream.excess)
    ]
    print(f"{name:16s}  {row[0]:.3f}     {row[1]:.3f}    {row[2]:.3f}   {row[3]:.1e}")

# %%
plotting.show(
    chapter.figure_pairs(downstream),
    alt="Differences of predictions against true distance for four predictors with the dashed line L d. Without constraint many "
    "pairs lie above it; for the Euclidean metric those at small distance; for the learned and the true metric none to speak of.",
    name="pairs",
)

# %%
plotting.show(
    chapter.figure_tradeoff(downstream),
    alt="Left: accuracy against the gap between twins; learned and true metric sit together at gap zero, the Euclidean metric buys "
    "fairness only with a small L. Middle: excess over the true Lipschitz bound against L. Right: the leak of the learned metric "
    "falls with the number of answers, that of random metrics does not.",
    name="tradeoff",
)

# %% [markdown]
# ## The chapter at a glance

# %%
plotting.show(
    chapter.figure_glance(convergence, rates, downstream),
    alt="Left: distance to the true metric against gradient steps from four starts, all ending on one floor, the spectral start "
    "first. Middle: error of the learned metric falls with the number of answers, slope minus one half. Right: accuracy against "
    "the gap between twins; predictors fair for the learned metric sit on those fair for the true one.",
    name="glance",
)

# %% [markdown]
# ## Real features: diabetes patients
#
# Ten features of real patients, which are neither Gaussian nor uncorrelated: whiten, learn, map back. No public data set of
# human answers to such questions exists, so the answers are *simulated*, from a metric that looks at body-mass index, blood
# pressure and s5, not at age and sex.

# %%
diabetes = chapter.diabetes(params)
for row, name in enumerate(diabetes.methods):
    print(f"{name:16s}  effect of exchanging sex {diabetes.flip[row].mean():.3f}   R² {diabetes.r2[row].mean():.3f}")
print(f"error of the metric, relative: whitened {diabetes.error[0].mean():.2f}, not {diabetes.error[1].mean():.2f}")
plotting.show(
    chapter.figure_diabetes(diabetes),
    alt="Left: coefficients of ridge regression without constraint, fair for the learned and for the true metric; the fair ones "
    "vanish at age and sex. Right: held-out R squared against the effect of exchanging the recorded sex; the fair predictors sit "
    "near zero effect at nearly the same R squared.",
    name="diabetes",
)

# %% [markdown]
# The metric itself is far from exact here, while the predictor is fair: directions of small weight are hard to learn
# and do little harm.
#
# ## Extension: careless annotators
#
# Some answers are turned round at random, beyond the noise of the model.

# %%
annotators = chapter.annotators(params)
plotting.show(
    chapter.figure_annotators(annotators),
    alt="Left: the norm of the learned metric over the true one falls steeply with the chance of a turned answer. Right: the "
    "relative error grows as steeply, but after the best rescaling it grows slowly.",
    name="annotators",
)

# %% [markdown]
# Carelessness looks like noise, and noise is what the scale of $M$ measures: the metric shrinks and keeps its shape. A
# shrunken metric is a stricter demand for the same $L$, so the error is on the safe side.
#
# ## Extension: tuning a small network
#
# An autoencoder is trained on digits under changing light. A head that tells large from small digits is tuned on its embedding,
# with data in which the light nearly always agrees with the label. Annotators, who judge the drawing and do not care for the light,
# answer triplets; the head may use the representation learned from their answers.

# %%
tuning = chapter.tuning(params)
for k, name in enumerate(tuning.heads):
    print(
        f"{name:16s}  neutral light {tuning.accuracy[k].mean():.3f}   misleading data's light {tuning.biased[k].mean():.3f}"
        f"   change dark to bright {tuning.sensitivity[k].mean():.3f}"
    )
plotting.show(
    chapter.figure_tuning(tuning),
    alt="A digit in dark and bright light. Middle: probabilities of the unconstrained head change completely between the two, those "
    "of the head on the learned representation stay near the diagonal. Right: accuracy in neutral light against that change; "
    "learned heads are at high accuracy and small change, unconstrained ones at the opposite end.",
    name="tuning",
)

# %% [markdown]
# The green marks know the light's direction and remove just that. The learned representation does without this
# knowledge and pays with the directions that annotators' answers do not cover.
#
# ## Verdicts

# %%
results = chapter.Results(
    plane=plane,
    model=model,
    spectral=spectral,
    convergence=convergence,
    rates=rates,
    annotators=annotators,
    transfer=transfer,
    downstream=downstream,
    diabetes=diabetes,
    tuning=tuning,
)
verdicts = chapter.verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
