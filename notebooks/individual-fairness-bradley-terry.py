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

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
d = None  # features d of an individual: an integer from 2 to 200
rank = None  # rank r of the metric, below d: an integer from 1 to 10
scale = None  # smallest eigenvalue of the metric M*; the answers are noisier the smaller it is: a number from 0.05 to 4
cond = None  # largest over smallest non-zero eigenvalue of M*: a number from 1 to 10
# triplets m that the metric is learned from, at least 50 d r; none: 400 d r: an integer from 100 to 1000000 or none
n_triplets = None
# numbers of triplets m of the rates, increasing, from 50 d r on; none: 50 d r times 1, 2, 4, 8, 16: a list of 2 to 10,
# each an integer from 100 to 1000000 or none
sizes = None
# dimensions d of the rate in d, increasing, above r, 50 d r at most n_triplets; none: 3, 6, 12, 24 times r, or four up
# to 48 and 2 d where these are fewer: a list of 2 to 8, each an integer from 2 to 240 or none
dims = None
label_flip = None  # chance that an answer is turned round, on top of the model: a number from 0 to 0.45
init = None  # start of the runs that learn the metric: spectral, spectral_rescaled, random, small_random
step_c = None  # constant c in the step size c / ||U₀||²: a number of at most 2 above 0
gd_steps = None  # gradient steps of a run that learns a metric: an integer from 1 to 5000
path_steps = None  # gradient steps of the runs from the four starts: an integer from 50 to 5000
seeds = None  # metrics and sets of triplets B in each batch: an integer from 2 to 100
rate_seeds = None  # the same for the rate in m, at least seeds: an integer from 2 to 100
noise_scales = None  # values of scale in the comparison of starts: a list of 1 to 8, each a number from 0.05 to 4
# chances of a turned answer in the extension on annotators: a list of 1 to 8, each a number from 0 to 0.45
flips = None
pairs = None  # pairs of individuals on which fairness is measured: an integer from 100 to 1000000
n_train = None  # labelled individuals of the downstream task: an integer from 50 to 100000
protected_strength = None  # weight of the protected direction in the logit of the label: a number from 0 to 5
lipschitz = None  # Lipschitz constant L demanded of fair predictors: a number from 0.01 to 100
# values of L on the curve of accuracy against fairness: a list of 1 to 20, each a number from 0.01 to 100
lipschitz_grid = None
diabetes_replicas = None  # splits and sets of answers on the diabetes data: an integer from 2 to 200
diabetes_triplets = None  # triplets of real patients; at least 50 · 10 · 2 = 1000: an integer from 1000 to 1000000
tuning_replicas = None  # networks in the experiment on model tuning: an integer from 2 to 50
tuning_triplets = None  # triplets of images; at least 50 · 12 · 5 = 3000: an integer from 3000 to 1000000
spurious = None  # chance that the light agrees with the label when a head is tuned: a number from 0.5 to 1

# %%
from companion import plotting
from companion.chapters.individual_fairness_bradley_terry import Parameters, Results, experiments, figures, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## The picture in the plane
#
# Two individuals $i$ and $j$ differ in a protected coordinate only. The metric in people's minds ignores it: its unit ball is a
# strip, and $j$ is at distance zero from $i$. In the Euclidean metric they are far apart. What do noisy answers teach?

# %%
plane = experiments.plane(params)
plotting.show(figures.plane(plane), name="plane")

# %% [markdown]
# A hundred answers tilt the strip; with three thousand it is nearly upright, and both individuals lie within it.
#
# ## An answer is a bilinear measurement
#
# With the contrast $u=x_j-x_k$ and the centre $v=2x_i-x_j-x_k$ the logit of an answer is $u^\top Mv$. For Gaussian individuals $u$ and
# $v$ are independent. The whole of metric learning from triplets is then logistic regression with a low-rank matrix.

# %%
import inspect

from companion.chapters.individual_fairness_bradley_terry import learning, triplets

print(inspect.getsource(triplets.triplet_design))

model = experiments.model(params)
print(f"identity, largest relative error: {model.identity[0]:.1e}")
print(f"dependence of u and v: {model.dependence[0]:.1f}, for Laplace-distributed features {model.dependence[1]:.1f}")
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

spectral = experiments.spectral(params)
plotting.show(figures.spectrum(spectral), name="spectrum")

# %% [markdown]
# The gap after the $r$-th eigenvalue is visible at every noise level, so an unknown rank can be read off. Rescaling helps as
# soon as the logits are not tiny. Where they are enormous no single number suffices, since the eigenvalues shrink unevenly.

# %%
for m, good, unequal in zip(spectral.sizes, *spectral.sine.mean(-1), strict=True):
    print(f"m = {m:6d}: sine of the largest angle {good:.3f}, features of unequal variance {unequal:.3f}")

# %% [markdown]
# ## Gradient descent: a plateau and a straight line
#
# From four starts on the same answers. Towards the truth each run ends on a plateau, the error of the sample itself. Towards the
# *sample's own optimum* the distance falls without end, along a straight line on the logarithmic axis: linear convergence.

# %%
print(inspect.getsource(learning.gradient))

convergence = experiments.convergence(params)
plotting.show(figures.convergence(convergence), name="convergence")

# %% [markdown]
# Left one plateau for all, right straight lines of one slope. How many steps to the plateau?

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
rates = experiments.rates(params)
plotting.show(figures.rates(rates), name="rates")

# %% [markdown]
# The moment matrix alone has a bias that no number of answers removes: descent is needed for consistency. And the low rank
# is needed for the dimension: the convex alternative estimates $d(d+1)/2$ numbers where $dr$ would do.
#
# ## Fairness carries over
#
# A function that is fair in the learned metric is nearly fair in the true one. The slack comes in two forms, of which the one
# through the factor is smaller and falls twice as fast on the logarithmic axis.

# %%
transfer = experiments.transfer(params, rates)
plotting.show(figures.slack(transfer), name="slack")

# %% [markdown]
# Both slacks fall along their dashed lines. What the extremal predictor does to some pair runs just below the smaller one.

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
downstream = experiments.downstream(params, rates)
print(f"{'':16s}accuracy  twin gap     leak    excess")
for k, name in enumerate(downstream.methods):
    row = [
        values[k, -1].mean() for values in (downstream.accuracy, downstream.twin, downstream.leak, downstream.excess)
    ]
    print(f"{name:16s}  {row[0]:.3f}     {row[1]:.3f}    {row[2]:.3f}   {row[3]:.1e}")

# %%
plotting.show(figures.pairs(downstream), name="pairs")

# %% [markdown]
# Marks above the dashed line are pairs that the true metric calls more similar than the predictor treats them. The grey band is
# the slack that the theorem allows the predictor that is fair for the learned metric.

# %%
plotting.show(figures.tradeoff(downstream), name="tradeoff")

# %% [markdown]
# The marks of the learned metric sit on those of the true one: same accuracy, no gap. A smaller $L$ makes the Euclidean classifier
# fairer only by taking its accuracy. Below, the leak of the learned metric falls with the number of answers; a random
# metric's does not.

# %% [markdown]
# ## The chapter at a glance

# %%
plotting.show(figures.glance(convergence, downstream), name="glance")

# %% [markdown]
# Left the algorithm: every start ends on the floor that the sample allows, the spectral one at once. Right what it is good for.

# %% [markdown]
# ## Real features: diabetes patients
#
# Ten features of real patients, which are neither Gaussian nor uncorrelated: whiten, learn, map back. No public data set of
# human answers to such questions exists, so the answers are *simulated*, from a metric that looks at body-mass index, blood
# pressure and s5, not at age and sex.

# %%
diabetes = experiments.diabetes(params)
for row, name in enumerate(diabetes.methods):
    print(f"{name:16s}  effect of exchanging sex {diabetes.flip[row].mean():.3f}   R² {diabetes.r2[row].mean():.3f}")
print(f"error of the metric, relative: whitened {diabetes.error[0].mean():.2f}, not {diabetes.error[1].mean():.2f}")
plotting.show(figures.diabetes(diabetes), name="diabetes")

# %% [markdown]
# The metric itself is far from exact here, while the predictor is fair: directions of small weight are hard to learn
# and do little harm.
#
# ## Extension: careless annotators
#
# Some answers are turned round at random, beyond the noise of the model.

# %%
annotators = experiments.annotators(params)
plotting.show(figures.annotators(annotators), name="annotators")

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
tuning = experiments.tuning(params)
for k, name in enumerate(tuning.heads):
    print(
        f"{name:16s}  neutral light {tuning.accuracy[k].mean():.3f}   misleading data's light {tuning.biased[k].mean():.3f}"
        f"   change dark to bright {tuning.sensitivity[k].mean():.3f}"
    )
plotting.show(figures.tuning(tuning), name="tuning")

# %% [markdown]
# The green marks know the light's direction and remove just that. The learned representation does without this
# knowledge and pays with the directions that annotators' answers do not cover.
#
# ## Verdicts

# %%
results = Results(
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
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
