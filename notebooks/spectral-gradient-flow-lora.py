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
# # Lab: Muon in low-rank adaptation
#
# This notebook reruns what [the chapter](../book/spectral-gradient-flow-lora.md) says about Muon and about spectral
# gradient flow, its idealization: in a product $BA$ of two thin factors all singular values grow at one rate, so that
# small targets are reached before large ones, and the flow ends at a global minimum from almost every start. First a
# language model and a small classifier, adapted by low-rank products; then matrices, where everything can be compared
# with formulas.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
rows = None  # rows m of the target M: an integer from 2 to 512
columns = None  # columns n of the target M: an integer from 2 to 512
# singular values of M, decreasing; as many as the rank r of the factors: a list of 2 to 64, each a number from 0.05 to
# 20
spectrum = None
# sizes α of the random starts: entries of B and A of variance α²/m and α²/n: a list of 2 to 6, each a number from
# 0.0001 to 0.2
alphas = None
seeds = None  # random starts of each size: an integer from 1 to 64
eta = None  # step size η of the spectral flow: a number from 0.0002 to 0.01
beta = None  # smoothing β where the polar factor is meant: a number from 1e-08 to 1e-06
level = None  # share κ of its target at which a mode has arrived: a number from 0.5 to 0.95
narrow_rank = None  # rank r of the factors where the target has more: an integer from 2 to 32
narrow_modes = None  # singular values of that target, equally spaced down from the largest: an integer from 3 to 64
band_alpha = None  # start of the smoothed flow that is held against its band: a number from 0.05 to 0.7
band_beta = None  # its smoothing β: a number from 0.0001 to 0.05
conv_rows = None  # rows m of the target of the convergence runs: an integer from 2 to 256
conv_columns = None  # columns n of that target: an integer from 2 to 256
conv_spectrum = None  # singular values of that target, decreasing: a list of 2 to 32, each a number from 0.05 to 20
conv_rank = None  # rank r of the factors in the convergence runs: an integer from 2 to 32
beta_conv = None  # smoothing β of the convergence runs: a number from 0.02 to 1
t_conv = None  # time at which the convergence runs end: a number from 1 to 50
# weights λ of the squared norms; runs without them come along: a list of 1 to 4, each a number from 0.05 to 10
lams = None
init_scales = None  # sizes of the random starts of the convergence runs: a list of 1 to 4, each a number from 0.01 to 4
conv_seeds = None  # starts of each size: an integer from 1 to 128
sweep_seeds = None  # starts of the sweep over the smoothing: an integer from 1 to 32
digits_seeds = None  # networks adapted to turned digits: an integer from 1 to 64
digits_steps = None  # steps of training upright digits: an integer from 20 to 5000
lora_rank = None  # rank r of the adaptations: an integer from 2 to 32
width = None  # width of the language model, a multiple of 4: an integer from 32 to 512, a multiple of 4
blocks = None  # blocks of the language model: an integer from 1 to 8
context = None  # symbols that it sees: an integer from 8 to 512
text_bytes = None  # bytes of each text: an integer from 20000 to 10000000
pretrain_steps = None  # steps of training on the first text: an integer from 10 to 20000
batch = None  # windows in a batch: an integer from 2 to 128
language_seeds = None  # language models trained and adapted: an integer from 1 to 8
adapt_steps = None  # most steps of an adaptation: an integer from 4 to 2000
loss_drop = None  # fall of the loss, in nats, at which spectra are compared: a number from 0.02 to 1.5
muon_lrs = None  # learning rates of Muon on text: a list of 1 to 4, each a number from 0.0001 to 3
adamw_lrs = None  # learning rates of AdamW on text: a list of 1 to 4, each a number from 0.0001 to 3
sgd_lrs = None  # learning rates of SGD on text: a list of 1 to 4, each a number from 0.0001 to 3

# %%
import inspect

import numpy as np

from companion import plotting
from companion.chapters.spectral_gradient_flow_lora import (
    Parameters,
    Results,
    experiments,
    figures,
    flow,
    muon,
    theory,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## The question in one figure
#
# The target of the factorization is a random matrix $M$ with known singular values; $B$ and $A$ start small and random.
# Spectral gradient flow moves each factor against the *polar factor* of its gradient, gradient flow against the
# gradient itself. Beside the two, a small language model trained on the sources of Python's standard library, frozen,
# and adapted to C++ headers: every weight matrix $W$ becomes $W+BA$, with $B=0$ and $A$ random at the start.

# %%
growth = experiments.growth(params)
language = experiments.language(params)
plotting.show(figures.glance(growth, language), name="glance")

# %% [markdown]
# What to see. Above: under the spectral flow all modes climb *one* line, whatever their target, and leave it when they
# arrive, the smallest first; under gradient flow each mode waits its turn, the largest first. Below: Muon, which
# orthogonalizes the two factors separately, leaves a product about as flat as its random factor $A_0$; AdamW and SGD
# concentrate on a few directions.

# %%
print("texts:", *language.texts, sep="\n  ")
print("losses before the adaptation, in nats:", ", ".join(f"{loss:.3f}" for loss in language.before.mean(1)))
print("\nmethod    rate  seed  steps   sigma_r/sigma_1   its growth   that of A_0")
flat, gained, own = language.flatness(), language.growth(), language.own()
for k, (name, run) in enumerate(zip(language.methods, language.runs, strict=True)):
    print(f"{name:6s} {language.rates[k]:7g} {language.seeds[k]:5d} {run.steps[-1]:6d}"
          f" {flat[k]:17.3f} {gained[k]:12.3f} {own[k]:13.3f}")  # fmt: skip

# %% [markdown]
# The comparison is made when the loss on the new text has fallen by the same amount. Muon's step:

# %%
print(inspect.getsource(muon.muon_step))

# %% [markdown]
# ## A classifier
#
# The same with a ReLU network trained on upright digits and adapted to digits turned by 90 degrees.

# %%
turned = experiments.digits(params)
print("losses before the adaptation, upright and turned:", *(f"{loss:.2f}" for loss in turned.before.mean(1)))
plotting.show(figures.digits(turned), name="digits")

# %% [markdown]
# What to see: under Muon all lines rise as a bundle. Under AdamW and SGD one leads by far. Dashed: where the common
# loss is reached.
#
# ## Equal rates
#
# Spectral gradient flow, as a loop of small steps. The steps must not be longer than the factors themselves at the
# start: the polar factor has unit speed at any scale, and a mode that begins with the wrong sign would jump over zero
# for ever. Hence a warm-up.

# %%
print(inspect.getsource(flow.spectral_flow))
print(inspect.getsource(flow.warm_up))

# %% [markdown]
# Deviations from equal rates are of the size of the start, and no mode can run ahead of $(\|B_0\|+t)(\|A_0\|+t)$.

# %%
plotting.show(figures.deviation(growth), name="deviation")

# %% [markdown]
# What to see: a line of slope one for the spectral flow. For gradient flow the smallest singular value is negligible
# when the largest is half-way, from whatever start; and the largest shoots through the bound.
#
# The factors may have smaller rank than the target. Then the product's own singular values, sorted, show the same.

# %%
thin = experiments.narrow(params)
plotting.show(figures.narrow(thin), name="narrow")

# %% [markdown]
# The dotted lines are the target's values, black for those that the factors can hold. All grow at one rate; the last
# one has to turn towards its direction at the end, which takes a while.
#
# From an *aligned* start the matrix flow is exactly a scalar flow for each mode, and smoothing the polar factor costs
# little: a lag of at most $t/2K^2$ while the gradient of a mode is at least $K\beta$.

# %%
lag = experiments.band(params)
print(f"distance of matrix flow and scalar flow: {np.abs(lag.spectral - lag.scalar).max():.1e}")
plotting.show(figures.band(lag), name="band")

# %% [markdown]
# Dots mark where a mode's gradient falls below $10\beta$: up to there it keeps within the wedge.
#
# Muon has momentum, and its five Newton–Schulz steps send singular values not to one but to somewhere between 0.68 and
# 1.21.

# %%
plotting.show(figures.muon(growth), name="muon")

# %% [markdown]
# What to see: not one line but a sheaf, each mode at its own pace within the two dashed slopes; and momentum carries
# modes beyond their targets before they settle.
#
# ## Order of arrival
#
# Modes are followed by name, $u_i^\top BAv_i$; sorted singular values would hide who comes first.

# %%
plotting.show(figures.arrivals(growth), name="arrivals")

# %% [markdown]
# What to see: the spectral flow's times lie on $\sqrt{\kappa s_i}$. Gradient flow's fall with the target. They are
# later than the dashed law, which is for starts of size $\alpha$ in the mode itself: a random start of that size overlaps
# each mode less.

# %%
spectral, gradient = (runs.arrivals(growth.level * growth.s)[-1] for runs in (growth.spectral, growth.gradient))
print("target   spectral flow: theory, median     gradient flow: theory (aligned start), median")
for k, target in enumerate(growth.s):
    law = theory.gradient_time(target, growth.alphas[-1], growth.level)
    print(f"{target:6.3g} {theory.spectral_time(target, 0, growth.level):21.3f} {np.median(spectral[..., k]):9.3f}"
          f" {law:36.3f} {np.median(gradient[..., k]):9.3f}")  # fmt: skip

# %% [markdown]
# An extension: the smoothing is a dial between the two flows. For $\beta\to0$ it is the polar flow; for large $\beta$,
# gradient flow slowed down by $\beta$.

# %%
dial = experiments.sweep(params)
plotting.show(figures.sweep(dial), name="sweep")

# %% [markdown]
# What to see: the order turns around where $\beta$ is about the size of the gradients. From starts that are nearly there
# gradient flow has no clear order at all, and the dial stops in between.
#
# ## Where it ends
#
# One mode has two factors, $a$ and $b$. Phase portraits of both flows, target one:

# %%
plane = experiments.portrait(params)
plotting.show(figures.portrait(plane), name="portrait")

# %% [markdown]
# What to see: both flows have a saddle at the origin and one line that leads into it, $a=-b$. Every other start gets away.
#
# In full, with a target of more singular values than the factors can hold:

# %%
ends = experiments.convergence(params)
plotting.show(figures.convergence(ends), name="convergence")

# %% [markdown]
# What to see: all random starts fall to rounding, whatever their size. Only the start that was put on the stable
# manifold stays; one beside it does not.
#
# Squared norms in the loss bound the factors and balance them.

# %%
plotting.show(figures.thresholds(ends), name="thresholds")

# %% [markdown]
# What to see: the product ends at the soft-thresholded target, and $B^\top B-AA^\top$ goes to zero. Without the squared
# norms the factors stay as unbalanced as the start left them.
#
# ## Verdicts

# %%
results = Results(
    growth=growth,
    narrow=thin,
    band=lag,
    sweep=dial,
    portrait=plane,
    convergence=ends,
    digits=turned,
    language=language,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
