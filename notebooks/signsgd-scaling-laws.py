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
# # Lab: scaling laws of signSGD
#
# This notebook reruns [the chapter](../book/signsgd-scaling-laws.md) on linear regression with power-law random
# features. A step of SGD is a residual times a feature vector. signSGD takes the sign of both. How does the risk fall
# with the number of steps, with the number of features, and with their product, the compute?

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
M_sim = None  # features M of the simulated runs: an integer from 16 to 2000
N_sim = None  # steps N of the simulated runs: an integer from 200 to 1000000
gamma_sim = None  # step size γ of the simulated runs of signSGD: a number from 1e-05 to 0.05
chains = None  # simulated runs on each sketch: an integer from 2 to 1000
sketches = None  # sketches at each point (α, β): an integer from 1 to 50
# step size γ at which noise floors are measured, and twice and half of it: a number from 0.001 to 0.05
floor_gamma = None
floor_steps = None  # steps of the runs on the floor, the last two thirds averaged: an integer from 300 to 1000000
drift_M = None  # features of the runs whose drift exponents are measured: an integer from 32 to 2000
drift_N = None  # most steps of those runs: an integer from 200 to 1000000
drift_gamma = None  # their step size γ for signSGD: a number from 1e-05 to 0.02
drift_width = None  # decimal logarithm of the width at which the equations' drift is read off: a number from 3 to 9
spectrum_M = None  # features of the sketch whose noise spectra are shown: an integer from 60 to 2000
term_sketches = None  # sketches averaged for the noise sum: an integer from 1 to 100
widths_per_decade = None  # widths M in a decade of the grid of a frontier: an integer from 2 to 20
rates_per_decade = None  # step sizes in a decade of that grid: an integer from 2 to 40
far = None  # decimal logarithm of the most compute f; slopes over its last four decades: an integer from 11 to 18
map_points = None  # points on each axis of the measured map of the plane: an integer from 2 to 40
sketch_widths = None  # widths M of the frontiers on sampled sketches: a list of 4 to 40, each an integer from 4 to 2000
sketch_groups = None  # groups of sketches, a frontier for each: an integer from 2 to 50
decay_fraction = None  # share of a run in which the step size of WSD decays linearly: a number from 0.05 to 1

# %%
import inspect

from companion import plotting
from companion.chapters.signsgd_scaling_laws import (
    Parameters,
    Results,
    equations,
    experiments,
    exponents,
    features,
    figures,
    runs,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## The question, and the answer at a glance
#
# Each budget $f=MN$ is split between features $M$ and steps $N$ in the best way, with the best constant step size. The
# risk that is left is a power of $f$. For SGD and signSGD the powers agree over much of the plane of the two decays
# $(\alpha,\beta)$, and differ where SGD's noise dominates.

# %%
frontiers = experiments.frontiers(params)
plane = experiments.plane(params)
plotting.show(figures.glance(frontiers, plane), name="glance")

# %% [markdown]
# What to see: on the left signSGD starts behind and crosses SGD late. On the right the difference of the slopes is
# nothing below $\beta=\alpha$ and grows towards the upper left.
#
# ## The problem, reduced
#
# Given the sketch, the target is a linear function of the M features plus noise that is independent of them. So the
# data in their many dimensions are never sampled.

# %%
print(inspect.getsource(features.sketches))

# %% [markdown]
# ## Two signs, four methods
#
# Take the sign of the residual, of the features, of both, or of neither.

# %%
print(inspect.getsource(runs.direction))

# %% [markdown]
# The sign of the residual decides the clock and how noise depends on the risk; the sign of the features decides the
# spectrum. In intrinsic time all four risks solve one kind of equation. Runs on the same samples:

# %%
races = experiments.races(params)
plotting.show(figures.races(races), name="races")

# %% [markdown]
# Marks are simulated means, bands the deciles of single runs, dashes the equations (for SGD the exact recursion).
# Ratios of simulated to predicted risk, least and largest over the run:

# %%
for method, ratio in races.ratio.items():
    least = "   ".join(f"{low:.3f} to {high:.3f}" for low, high in zip(ratio.min(1), ratio.max(1), strict=True))
    print(f"{method:28s} {least}")

# %% [markdown]
# Where features decay fast, correlations between residual and single features are large, and the equation, which takes
# $\arcsin x$ for $x$, lags behind the runs. With the exact drift of the mean it does not.

# %%
plotting.show(figures.arcsine(races), name="arcsine")

# %% [markdown]
# The line with the exact drift stays at one, within the noise of the runs.
#
# ## Approximation and noise
#
# The least risk of $M$ random features, and the sum that decides where a constant step size ends.

# %%
terms = experiments.terms(params)
plotting.show(figures.terms(terms), name="terms")

# %% [markdown]
# Straight lines: powers of the width. Fitted exponents beside the predicted ones:

# %%
print("alpha  beta   least risk: fitted  predicted")
for (alpha, beta), fitted, theory in zip(
    terms.points, terms.approximation_slopes("sketched"), terms.approximation_theory, strict=True
):
    print(f"{alpha:5g} {beta:5g} {fitted:20.3f} {theory:10.3f}")
for alpha, fitted, theory in zip(terms.alphas, terms.noise_slopes("signed"), terms.noise_theory, strict=True):
    print(f"noise sum at alpha = {alpha:g}: {fitted:.3f}, predicted {theory:g}")

# %% [markdown]
# Runs that start at the best parameters climb to a floor, for which the equations have a closed form.

# %%
floors = experiments.floors(params)
plotting.show(figures.floors(floors), name="floors")

# %% [markdown]
# signSGD's noise does not know the risk: its floor rises with the step size. SGD's noise is proportional to the risk,
# and its floor is the least risk times a factor near one.
#
# Where does the noise go? In the eigenbasis of the features' covariance:

# %%
spectra = experiments.spectra(params)
plotting.show(figures.spectra(spectra), name="spectra")

# %% [markdown]
# The signed features put noise into the tail, at a level of $1-2/\pi$; plain ones hardly any.
#
# ## Drift
#
# Before noise is felt, a drift divided by the root of the risk speeds up as the risk falls.

# %%
drifts = experiments.drifts(params)
plotting.show(figures.drifts(drifts), name="drifts")

# %% [markdown]
# The methods fall into two groups: those whose step forgets the size of the residual, and the others. Exponents of
# the equations at a great width, beside $p$ and $2p/(2-p)$:

# %%
for method, found in drifts.equation.items():
    print(f"{method:28s} " + " ".join(f"{value:7.3f}" for value in found))
print(f"{'p':28s} " + " ".join(f"{value:7.3f}" for value in drifts.plain))
print(f"{'2p / (2 - p)':28s} " + " ".join(f"{value:7.3f}" for value in drifts.normalized))

# %% [markdown]
# ## Compute-optimal frontiers
#
# In intrinsic time the equations are solved exactly in the drift, and a tick of the clock serves all step sizes.
# Widths up to hundreds of millions take a fraction of a second. One curve for each width; the frontier is the envelope.

# %%
plotting.show(figures.frontiers(frontiers), name="frontiers")

# %% [markdown]
# Each thin curve levels off at its approximation error. Slopes over the near and the far window, and the predicted
# ones:

# %%
print("alpha  beta   SGD: near    far  theory   signSGD: near    far  theory")
for row, (alpha, beta) in enumerate(frontiers.points):
    sgd, sign = (frontiers.slope[method.name][row] for method in (equations.SGD, equations.SIGN))
    theory = frontiers.predicted[row]
    print(f"{alpha:5g} {beta:5g} {sgd[0]:11.3f} {sgd[1]:6.3f} {theory[0]:7.3f} {sign[0]:15.3f} {sign[1]:6.3f}"
          f" {theory[1]:7.3f}")  # fmt: skip

# %% [markdown]
# The predicted ones solve a linear program over powers of the compute:

# %%
print(inspect.getsource(exponents.programmed_exponents))

# %% [markdown]
# An ablation: which of the two signs makes the slope steeper?

# %%
plotting.show(figures.halves(frontiers), name="halves")

# %% [markdown]
# The sign of the residual does. The sign of the features alone leaves SGD's slope as it is.
#
# ## Decaying step sizes
#
# The step size stays constant and then falls linearly to zero, the stable and the decay phase of WSD.

# %%
schedules = experiments.schedules(params)
plotting.show(figures.schedules(schedules), name="schedules")

# %% [markdown]
# On sampled sketches, with little compute, decay helps more and more where features decay fast, and not at all where
# they decay slowly. Far out, at $(1,0.3)$, the factor levels off: a better constant, not a better slope.

# %%
for point, gain in zip(schedules.points, schedules.gain, strict=True):
    print(f"alpha = {point[0]:g}, beta = {point[1]:g}: gain in slope near {gain[0]:.3f}, far {gain[1]:.3f}")
for point, found, equation in zip(
    schedules.sketched_points, schedules.simulated.mean(1), schedules.simulated_equation.mean(1), strict=True
):
    print(f"alpha = {point[0]:g}: simulated ratio {found:.3f}, by the equations {equation:.3f}")

# %% [markdown]
# ## Verdicts

# %%
results = Results(
    races=races,
    terms=terms,
    floors=floors,
    spectra=spectra,
    drifts=drifts,
    frontiers=frontiers,
    plane=plane,
    schedules=schedules,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
