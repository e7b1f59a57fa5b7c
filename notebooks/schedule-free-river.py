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
# # Lab: Schedule-Free methods and the river
#
# This notebook reruns [the chapter](../book/schedule-free-river.md). A loss landscape with a *river* has a floor that
# falls slowly along a curve, between steep walls. Steps that are too large for the walls bounce between them, and
# progress along the river stays hidden until the rate is decayed or iterates are averaged. Schedule-Free methods need
# neither: they average while they go. We check this where everything can be computed, then on networks, then on small
# language models.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
# interpolations β of the language models; the smallest and the largest are compared: a list of 2 to 6, each a number
# from 0.05 to 0.98
betas = None
# step sizes γ that each method is given; at the largest, methods are compared side by side: a list of 2 to 6, each a
# number from 0.0001 to 0.05
rates = None
C = None  # C of the refined method: a number from 1 to 1000
steps = None  # steps S of the language models before decay phases branch off: an integer from 60 to 100000
extra = None  # steps S' of a decay phase, and of the runs that go on: an integer from 20 to 50000
batch = None  # windows in a batch: an integer from 1 to 512
ema = None  # decay ρ of the running averages over the last S' steps: a number from 0.5 to 0.9999
starts = None  # starts from which AdamW and SF-AdamW are compared side by side: an integer from 1 to 8
big_batch = None  # windows in a large batch: an integer from 2 to 1024
big_steps = None  # steps with the large and with the small batch: an integer from 30 to 50000
big_C = None  # C of the refined method there: a number from 1 to 1000
big_replicas = None  # runs of each method there, with starts of their own: an integer from 1 to 16
width = None  # width of the language models, a multiple of heads: an integer from 8 to 1024
blocks = None  # their blocks: an integer from 1 to 12
heads = None  # their heads: an integer from 1 to 16
context = None  # symbols that a prediction may look back on: an integer from 4 to 1024
corpus = None  # symbols of text, a tenth of them for validation: an integer from 20000 to 1000000000
windows = None  # windows of validation, half to choose rates and half to report: an integer from 8 to 4096
edge_betas = None  # interpolations β of the networks on digits: a list of 2 to 6, each a number from 0 to 0.98
edge_rate = None  # their effective step size (1 − β)γ along the gradient: a number from 0.1 to 0.3
edge_adam = None  # their effective step size along Adam's direction: a number from 0.0001 to 0.003
edge_steps = None  # their steps: an integer from 50 to 100000
edge_images = None  # their images: an integer from 20 to 1500
edge_width = None  # their width: an integer from 4 to 512
bend_rate = None  # step size γ on the bent river: a number from 0.001 to 0.05
bend_steps = None  # steps on the bent river: an integer from 100 to 20000
bend_C = None  # C of the refined method on the bent river: a number from 1 to 200
replicas = None  # noises on the straight river: an integer from 10 to 100000
river_steps = None  # steps T on the straight river: an integer from 200 to 50000
river_rate = None  # effective step size (1 − β)γ there: a number from 0.02 to 0.5

# %%
import inspect

import numpy as np
import torch

from companion import plotting
from companion.chapters.schedule_free_river import Parameters, Results, experiments, figures, schedule_free, verify
from companion.chapters.schedule_free_river.experiments.networks import RULES
from companion.chapters.schedule_free_river.experiments.storage import KEEPERS
from companion.optim import ScheduleFreeAdamW

params = Parameters.of(globals())
params

# %% [markdown]
# ## The picture first: language models
#
# Small transformers learn to predict the next character of Python's own sources: AdamW, Schedule-Free AdamW (SF-AdamW)
# and its refined variant, each at the same rates, all on the same windows of text from the same start. At step $S$ decay
# phases branch off. Everything runs as one ensemble: members are stacked, and one pass backwards gives every member its
# own gradient.

# %%
language = experiments.language(params)
print(f"{language.numbers} weights a model; text: {language.source}")
plotting.show(figures.glance(language), name="glance")

# %% [markdown]
# What to see. Left: at the same rate AdamW hovers above the floor, and drops by its decay phase; SF-AdamW with the
# largest $\beta$ is there already, and a decay phase adds nothing. Right: with small $\beta$ the original loses; the
# refined method does not.

# %% [markdown]
# ## The rule
#
# With a direction $d_k$ computed at $y_{k-1}$:
#
# $$z_k=z_{k-1}-\gamma_kd_k,\qquad x_k=(1-c_k)x_{k-1}+c_kz_k,\qquad y_k=(1-\beta)z_k+\beta x_k.$$

# %%
print(inspect.getsource(schedule_free.advance))

# %% [markdown]
# Eliminating $z$ leaves $x$ as an average of the $y$, and the update as one with momentum. Both are identities, so on
# the same noisy gradients only rounding may differ:

# %%
identities = experiments.identities(params)
print(" beta     C   momentum form   weighted average   plain average")
for row in zip(
    identities.beta, identities.C, identities.momentum, identities.weighted, identities.uniform, strict=True
):
    print("{:5.2f} {:5.1f} {:15.1e} {:18.1e} {:15.2f}".format(*row))

# %% [markdown]
# How old is the average? In the original method $\beta$ decides; in the refined one the constant $C$ does.

# %%
weights = experiments.weights(params)
plotting.show(figures.weights(weights), name="weights")

# %% [markdown]
# What to see. Left: with $\beta=0.1$ the whole run is averaged almost evenly, with $\beta=0.9$ its last tenth. Right: the
# refined curves for all three $\beta$ lie on each other. An exponential average and a decay phase have windows of their
# own, which somebody has to choose.
#
# And nothing more has to be stored for it. Numbers kept beside each weight, counted in the optimizers:

# %%
storage = experiments.storage(params)
for keeper, numbers in zip(KEEPERS, storage.numbers, strict=True):
    print(f"{keeper:22s} {numbers:g}")

# %% [markdown]
# The optimizer is in the library. It has two modes, as the point where gradients are taken is not the one to use:

# %%
torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
optimizer = ScheduleFreeAdamW(model.parameters(), lr=0.05, betas=(0.9, 0.99), C=20)
inputs = torch.randn(64, 3)
for _ in range(200):
    optimizer.zero_grad()
    ((model(inputs) - inputs.sum(1, keepdim=True)) ** 2).mean().backward()
    optimizer.step()
optimizer.eval()  # the average x; optimizer.train() goes back to y
print("weights near one:", bool((model.weight - 1).abs().max() < 0.01))

# %% [markdown]
# ## Stability
#
# On an eigenvalue $\lambda$ of a quadratic the threshold is $\gamma\lambda=2/(1-\beta)$, not $2$. The map shows by how many
# orders of magnitude a run from one blows up on its way.

# %%
thresholds = experiments.thresholds(params)
plotting.show(figures.stability(thresholds), name="stability")

# %% [markdown]
# What to see. Below the dotted line nothing grows; above the dashed curve everything does. Between the two a run blows up
# while $c_k$ is still large, and comes back: large $\beta$ wants a warm-up.

# %%
print("beta   below the threshold   above    below 2   above 2")
for row in zip(
    thresholds.beta, thresholds.below, thresholds.above, thresholds.gd_below, thresholds.gd_above, strict=True
):
    print("{:4.1f} {:21.2f} {:8.1f} {:10.2f} {:9.2f}".format(*row))
print("\nbeta    C   power of t at x, and at y")
for row in zip(thresholds.power_beta, thresholds.power_C, thresholds.x_power, thresholds.y_power, strict=True):
    print("{:4.1f} {:4.1f} {:10.3f} {:10.3f}".format(*row))

# %% [markdown]
# The powers are $-C$ and $-C-1$. In a valley without noise SF-AdamW does not converge, it swings with amplitude
# $(1-\beta)\gamma/2$:

# %%
oscillation = experiments.oscillation(params)
for beta, amplitude, law in zip(oscillation.beta, oscillation.amplitude, oscillation.law, strict=True):
    print(f"beta {beta:4.2f}: amplitude {amplitude:.6f}, law {law:.6f}")

# %% [markdown]
# Does a network know? Tanh networks on digits, full batch, one effective rate $(1-\beta)\gamma$ for all $\beta$. For
# SF-AdamW the Hessian is divided by Adam's diagonal.

# %%
sharpness = experiments.sharpness(params)
plotting.show(figures.edge(sharpness), name="edge")

# %% [markdown]
# What to see. The solid curves, sharpness at $y$, rise to one and stay there, for every $\beta$: the gradient points train
# at the edge of stability. Dotted: at $x$, later or below.

# %%
for rule, at_y in zip(RULES, sharpness.y, strict=True):
    settled = at_y[:, -5:].mean(-1)
    for beta, value in zip(sharpness.beta, settled, strict=True):
        print(
            f"{rule:9s} beta {beta:4.2f}: over 2/((1-beta)gamma) {value * (1 - beta):5.2f}, over 2/gamma {value:6.2f}"
        )

# %% [markdown]
# ## Rivers
#
# A river that bends: $\frac12(w_1w_2-1)^2+\log(1+e^{-w_2})$.

# %%
bent = experiments.bent(params)
plotting.show(figures.bend(bent), name="bend")

# %% [markdown]
# What to see. $y$ follows the river in all six panels. In the original method with small $\beta$ the average $x$ cuts the
# bend, because it still remembers its beginning.
#
# A straight river with noise across it can be solved: $x$ is $T/(1+C)$ steps behind, and its variance is
# $\frac{C^2}{2C-1}\frac{\sigma^2}{\lambda^2T}$.

# %%
straight = experiments.straight(params)
print(" beta     C     lag   law    Var y/law   Var x/law")
for row in zip(
    straight.beta, straight.C, straight.lag, straight.lag_law, straight.y_variance / straight.y_law,
    straight.x_variance / straight.x_law, strict=True,
):  # fmt: skip
    print("{:5.2f} {:5.1f} {:7.1f} {:7.1f} {:9.3f} {:11.3f}".format(*row))

# %%
plotting.show(figures.tradeoff(straight), name="tradeoff")

# %% [markdown]
# What to see. Left: a short average keeps up with the river, a long one quiets the noise; with a larger batch there is less
# noise, and the best $C$ moves to the right. Right: the lag is a matter of $C$ alone.
#
# ## Language models again
#
# Between two checkpoints, does the loss dip?

# %%
plotting.show(figures.segment(language), name="segment")

# %% [markdown]
# What to see. AdamW's two checkpoints lie on the two walls of a valley, with lower loss between them. SF-AdamW's lie one
# behind the other.
#
# Every rate and every $\beta$. Each method was given the same rates, and the best of them was chosen on windows that are not
# those on which losses are reported.

# %%
with np.printoptions(precision=3, suppress=True):
    print("rates", language.rates)
    print("AdamW, constant   ", language.adam)
    print("AdamW, decayed    ", language.adam_decayed)
    for b, beta in enumerate(language.betas):
        print(f"original, beta {beta:4.2f}", language.x[:, b, 0])
        print(f"refined,  beta {beta:4.2f}", language.x[:, b, 1])

# %%
plotting.show(figures.betas(language), name="betas")

# %% [markdown]
# What to see. Left: the original's $x$ falls behind an average over the last gradient points of its own run, the more the
# smaller $\beta$; the refined method's never does. Right: what that costs at each rate.
#
# A large batch leaves less noise to average away:

# %%
large = experiments.large(params)
plotting.show(figures.batch(large), name="batch")

# %% [markdown]
# What to see. With the small batch the longer average of the original is the better one; with the large batch the refined
# method is ahead.
#
# ## Verdicts

# %%
verdicts = verify(
    params,
    Results(
        identities=identities,
        weights=weights,
        storage=storage,
        thresholds=thresholds,
        oscillation=oscillation,
        straight=straight,
        bent=bent,
        sharpness=sharpness,
        language=language,
        large=large,
    ),
)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
