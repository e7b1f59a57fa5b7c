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
# # Lab: large steps on a linear transformer with two factors
#
# This notebook reruns what [the chapter](../book/two-factor-linear-transformer.md) proves and observes. A linear
# transformer is trained on one prompt by gradient descent with a constant step. All of it is a map of the plane with
# one parameter, the effective step size $\mu$, and small enough to be seen whole.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
mu_min = None  # least effective step size μ of the diagram: a number from 0.01 to 1.9
mu_max = None  # largest μ of the diagram: a number from 0.1 to 2.5
n_mu = None  # values of μ in the diagram: an integer from 50 to 10000
n_transient = None  # steps before orbits are looked at: an integer from 100 to 50000
n_keep = None  # steps for which they are then followed: an integer from 64 to 5000
n_starts = None  # balanced starts for each μ of the diagram: an integer from 4 to 1024
mu_list = None  # values of μ at which the whole plane is explored: a list of 2 to 8, each a number from 0.05 to 1.99
n_grid = None  # points on a side of the maps of the plane: an integer from 20 to 3000
n_steps_basin = None  # steps of each point of these maps: an integer from 50 to 5000
n_points = None  # random starts for each μ: an integer from 100 to 100000
n_steps = None  # steps of random starts: an integer from 200 to 50000
n_exponents = None  # values of μ at which exponents are measured: an integer from 4 to 1000
n_prompts = None  # prompts on which the transformer is trained: an integer from 2 to 64
dim = None  # dimension d of the regression: an integer from 2 to 64
context = None  # examples in a prompt, N: an integer from 2 to 1000
# means m of the steps m ± r of mini-batches: a law that should stabilize, one that should destabilize: a list of 2,
# each a number from 0.05 to 1.9
mb_mean = None
mb_half_width = None  # half widths r of these laws: a list of 2, each a number from 0 to 1
mb_bound = None  # bound M of the steps of mini-batches: a number from 0.2 to 1.98
mb_grid = None  # points on a side of the map of laws: an integer from 5 to 300
label_noise = None  # standard deviation of a batch's best product, ς: a number from 0.01 to 0.2

# %%
import inspect

import numpy as np

from companion import plotting
from companion.chapters.two_factor_linear_transformer import (
    Parameters,
    Results,
    attention,
    cubic,
    experiments,
    figures,
    minibatch,
    product_map,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## The phases at a glance
#
# Balanced factors $u=v=z$ stay balanced and follow a cubic map of the line. For each $\mu$: where do random starts end?

# %%
print(inspect.getsource(cubic.cubic_step))
diagram = experiments.diagram(params)
plotting.show(figures.glance(diagram), name="glance")

# %% [markdown]
# What to see: one solution of either sign up to $\mu=1$, cycles whose period doubles, bands of chaos that merge across
# zero, and nothing beyond 2. Below: where the red exponent is positive, neighbours part; the blue one is the fate of a
# small imbalance, zero up to $\mu=1$ and negative beyond; the dashed one belongs to an ellipse in the plane, met further
# down.
#
# ## From a transformer to two factors
#
# The model predicts $\hat y=a\,\frac1N\sum_iy_i\,x_i^\top Wx$ for a query $x$. It is trained by autograd, with a full
# matrix $W$, on one prompt. Along the way only $a$ and one coordinate of $W$ change:

# %%
print(inspect.getsource(attention.LinearAttention.forward))
print(inspect.getsource(product_map.product_step))

# %%
transformer = experiments.transformer(params)
plotting.show(figures.reduction(transformer), name="reduction")

# %% [markdown]
# The dots are trained transformers, one marker for each prompt, the dashed line is the map. How far do they differ?

# %%
runs = {
    "one": "one prompt, free W",
    "together": "all prompts, free W",
    "scalar": "all prompts, W = bI",
    "whitened": "mini-batches, W = bI, whitened",
    "unwhitened": "mini-batches, W = bI, plain",
}
print(f"{'run':32s} largest distance   motion of the rest of W")
for run, words in runs.items():
    found = getattr(transformer, run)
    distance = np.abs(found.model - found.map).max()
    print(f"{words:32s} {distance:16.1e} {found.moved.max():24.1e}")

# %% [markdown]
# With a free matrix several prompts pull in several directions, and no map of two factors follows. With $W=bI$ it does;
# on mini-batches it does if they agree on the best product.
#
# ## Monotone, catapult
#
# One step of the balanced map takes the error $e=z^2-1$ to $e\,(1-2\mu+(\mu^2-2\mu)e+\mu^2e^2)$. Does the loss of some
# start rise?

# %%
phases = experiments.phases(params)
plotting.show(figures.catapult(phases), name="catapult")

# %% [markdown]
# The curve for $2\sqrt2-2$ touches the border of the grey region from within; beyond, part of it is outside. All starts
# converge all the same up to $\mu=1$:

# %%
print("phase             mu   loss rises   converged   bounded   Lyapunov exponent")
for row, (phase, values) in enumerate(experiments.balanced.GROUPS.items()):
    for k, mu in enumerate(values):
        rising, converged = phases.rising[row, k], phases.converged[row, k]
        bounded, exponent = phases.bounded[row, k], phases.lyapunov[row, k]
        print(f"{phase:12s} {mu:7.4f} {rising:12.1%} {converged:11.1%} {bounded:9.1%}"
              f" {exponent:19.3f}")  # fmt: skip

# %% [markdown]
# ## Period doubling
#
# At certain $\mu$ the critical point of the cubic lies on a cycle of period 1, 2, 4, …; random starts find these cycles.

# %%
cycles = experiments.cycles(params)
print("period          mu   ratio of differences")
for k, mu in enumerate(cycles.superstable):
    ratio = f"{cycles.ratios[k - 2]:22.5f}" if k >= 2 else ""
    print(f"{2**k:6d} {mu:11.7f} {ratio}")
print(f" limit {cycles.accumulation:11.7f} {cubic.FEIGENBAUM:22.5f}   (Feigenbaum)")

# %% [markdown]
# ## The whole plane
#
# Unbalanced starts, in the coordinates $u+v$ and $u-v$; balance is the horizontal axis. Dashed: the ellipse
# $\frac\mu4\bigl(\frac{(u+v)^2}{2+\mu}+\frac{(u-v)^2}{2-\mu}\bigr)=1$. Thin white: the solutions $uv=1$; thick, those
# that attract; dots, the attractor of the balanced map. Inside, colour is the side on which a start ends and darkness
# how long it takes (to the solution for $\mu<1$, to balance for $\mu>1$); outside, how long it takes to leave.

# %%
basins = experiments.basins(params)
plotting.show(figures.atlas(basins), name="atlas")

# %% [markdown]
# What to see: the ellipse is the border, to the last pixel. In numbers, for random starts:

# %%
regions = experiments.regions(params)
print("               inside                                            outside")
print("  mu   bounded   converged   balanced   mu R / 2   mean loss    diverged")
for k, mu in enumerate(regions.mu):
    print(f"{mu:4g} {regions.bounded[0, k]:9.1%} {regions.converged[k]:11.1%}"
          f" {regions.balanced[k]:10.1%} {regions.flatness[k]:10.3f}"
          f" {regions.loss[k]:11.2g} {regions.diverged[0, k]:11.1%}")  # fmt: skip

# %% [markdown]
# ## On the ellipse, and off it
#
# On the ellipse a step takes the angle $\theta$ to $\pi-3\theta$: chaos, with both factors apart. Orbits are put back onto
# the ellipse after each step on the left, and left alone on the right.

# %%
exponents = experiments.exponents(params)
escapes = experiments.escapes(params)
plotting.show(figures.on_ellipse(exponents, escapes), name="ellipse")

# %% [markdown]
# The histogram is flat. On the right an error of the sixteenth digit grows until the orbit is elsewhere: nobody who
# trains will see this chaos. What one sees is decided by exponents across:

# %%
plotting.show(figures.exponents(exponents), name="exponents")

# %% [markdown]
# Purple, above zero: the distance from the ellipse grows. Blue, below zero: the distance from balance shrinks, at the
# rate that the cubic map alone predicts.
#
# ## What training gives
#
# Does a larger step get there faster? Up to $\mu=\frac12$, more or less.

# %%
sweep = experiments.sweep(params)
plotting.show(figures.training(sweep), name="training")

# %% [markdown]
# At one the final loss leaves the ground and does not return: not slower training, but another attractor.
#
# ## Mini-batches
#
# With whitened contexts a mini-batch draws $\mu$ at random. Where it never exceeds $M<2$, the ellipse of $M$ protects:

# %%
robust = experiments.robust(params)
print("steps                       largest Q reached   starts that stay bounded")
kinds = ("uniform, up to M", "an adversary's, up to M", "uniform, up to 2.6")
for words, most, share in zip(kinds, robust.reached, robust.bounded, strict=True):
    print(f"{words:27s} {most:17.4g} {share:26.1%}")

# %% [markdown]
# And whether it converges is decided by the mean of $\ln|1-2\mu|$, not by the mean of $\mu$:

# %%
laws = experiments.laws(params)
plotting.show(figures.laws(laws, params.mb_mean, params.mb_half_width), name="laws")

# %% [markdown]
# The region of convergence lies between the dashed curves, drawn by theory. Filled circles are steps with noise, open
# ones the same means without.
#
# Last, batches that disagree on the best product:

# %%
print(inspect.getsource(minibatch.noisy_step))
label_noise_runs = experiments.label_noise(params)
plotting.show(figures.disagreement(label_noise_runs), name="disagreement")

# %% [markdown]
# They leave a floor that grows with the step, and they balance the factors: noise looks for the flattest solution.
#
# ## Verdicts

# %%
results = Results(
    transformer=transformer,
    diagram=diagram,
    phases=phases,
    cycles=cycles,
    regions=regions,
    exponents=exponents,
    escapes=escapes,
    robust=robust,
    laws=laws,
    label_noise=label_noise_runs,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
