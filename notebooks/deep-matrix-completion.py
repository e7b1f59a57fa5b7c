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
# # Lab: deep matrix completion, coupled or not
#
# This notebook reruns what [the chapter](../book/deep-matrix-completion.md) proves. Some entries of a matrix are known
# and $W_L\cdots W_1$ is fitted to them by gradient flow. Which completion comes out? At depth two the answer can depend
# on the start for ever; from depth three on, training several blocks of entries at once makes them act on each other,
# and that is what brings the rank down. It is also what saves deep networks when they were pre-trained on less data.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
depths = None  # depths above two; depth two is always run beside them: a list of 1 to 4, each an integer from 3 to 6
deepest = None  # largest depth at which coupling is followed: an integer from 3 to 6
eps_list = None  # scales ε of the start in the family: a list of 2 to 8, each a number from 1e-08 to 0.3
m = None  # diagonal over off-diagonal entries of the family's coupled start: a number from 4 to 50
n_blocks = None  # observed blocks of the family: an integer from 2 to 8
block_size = None  # size of the larger blocks; blocks of size one run beside them: an integer from 2 to 4
n_starts = None  # random starts of each kind on which one entry is watched: an integer from 8 to 2000
n_menon = None  # random starts of the 2×2 problem at each scale: an integer from 20 to 50000
d_depth = None  # dimension in which depths are compared: an integer from 3 to 32
n_depth = None  # random starts at each depth there: an integer from 4 to 1000
d_lop = None  # dimension of the random rank-one matrices: an integer from 9 to 60, a multiple of 3
p_obs = None  # share of their entries that is observed in the end: a number from 0.2 to 0.8
eps_lop = None  # scale ε of the start there: a number from 1e-08 to 0.01
n_lop = None  # random matrices: an integer from 3 to 400
lop_steps = None  # largest number of steps of pre-training and of training: an integer from 100 to 100000
d_data = None  # dimension of the completion problem of the paper's kind: an integer from 10 to 200
r_data = None  # rank of its target: an integer from 1 to 10
p_data = None  # share of its entries that is observed: a number from 0.1 to 0.8
eps_data = None  # scale ε of the start there: a number from 1e-06 to 0.1
n_data = None  # random problems of that kind: an integer from 2 to 100
data_steps = None  # largest number of steps there: an integer from 100 to 100000

# %%
import inspect

import numpy as np

from companion import plotting
from companion.chapters.deep_matrix_completion import (
    Parameters,
    Results,
    coupling,
    experiments,
    family,
    figures,
    verify,
)
from companion.models import linear

params = Parameters.of(globals())
params

# %% [markdown]
# ## The flow
#
# The loss $\frac12\lVert P_\Omega(W_L\cdots W_1-W^*)\rVert_F^2$ sees the product only. Each factor gets
# $W_{L:l+1}^\top R\,W_{l-1:1}^\top$, with $R$ the residual on the observed entries. All runs below are batches of
# networks `(B, L, d, d)`.

# %%
print(inspect.getsource(linear.gradient))

# %% [markdown]
# A plain Euler step follows the flow while its length is bounded twice: for stability near a solution, and so that no
# factor changes by more than a few percent while everything is small.

# %%
print(inspect.getsource(linear.step_size))

# %% [markdown]
# ## The chapter at a glance
#
# Two experiments, explained further down: the limit under block-diagonal observations, by the scale of the start, and
# the completion of random matrices of rank one, from scratch or after pre-training on diagonal blocks.

# %%
limits = experiments.family(params)
resumed = experiments.resumed(params)
plotting.show(figures.glance(limits, resumed), name="glance")

# %% [markdown]
# What to see: on the left, smaller starts lower the rank at the larger depths and change nothing at depth two. On the
# right, pre-training costs depth two orders of magnitude and the others next to nothing.
#
# ## Do the entries feel each other?
#
# Observe the diagonal. Train once on all of it and once on its first entry alone, from the same start. If the first
# entry takes the same path both times, the dynamics is decoupled.

# %%
watched = experiments.intervention(params)
plotting.show(figures.watched(watched), name="watched")

# %% [markdown]
# One curve at depth two, two curves at the next depth. For all starts, the largest distance of the two paths:

# %%
print("depth  start       median gap  largest gap  cross kernel: at the start  at the end")
for row, depth in enumerate(watched.depths):
    for k, kind in enumerate(experiments.interaction.STARTS):
        gap = watched.gap[row, k]
        early, late = (np.median(values[row, k]) for values in (watched.at_start, watched.coupling))
        print(f"{depth:5d}  {kind:10s} {np.median(gap):11.1e} {gap.max():12.1e} {early:27.1e} {late:11.1e}")

# %% [markdown]
# What to see: depth two is decoupled from any start, to the last digit. Deeper networks are coupled, unless they start
# diagonal, or diagonal up to rotations of the hidden layers (`rotated`). Rotations that do not cancel (`unmatched`)
# couple, although at depths three and four the cross kernel vanishes at the very start: coupling is a matter of the
# whole path.
#
# ## Rank one, if and only if coupled
#
# Start all factors at one matrix, $\alpha$ on the diagonal and $\alpha/m$ off it. Then the flow has two or three
# eigenvalues, and its limit solves a scalar equation.

# %%
print(inspect.getsource(family.limit))

# %%
plotting.show(figures.family(limits), name="family")

# %% [markdown]
# Markers are full matrices, trained; dashed lines are the equation. Left: coupled from depth three on. Right: the
# diagonal start, decoupled at every depth, ends at $n$ equal singular values. In numbers, with the equation beside:

# %%
print("depth  m     block   eps     sigma_1 / d  equation    sigma_2 / d  equation")
for i, depth in enumerate(limits.depths):
    for j, size in enumerate(limits.sizes):
        for k, m_value in enumerate(limits.m):
            found, exact = (
                limits.measured[i, j, k, -1] / limits.n / size,
                limits.implicit[i, j, k, -1] / limits.n / size,
            )
            print(f"{depth:5d}  {m_value:4g} {size:6d} {limits.eps[-1]:8.0e} {found[0]:11.5f} {exact[0]:10.5f}"
                  f" {found[1]:12.2e} {exact[1]:10.2e}")  # fmt: skip

# %% [markdown]
# The equation alone, without training, draws the whole map.

# %%
chart = experiments.chart(params)
plotting.show(figures.chart(chart), name="chart")

# %% [markdown]
# At depth two the bands are level: a smaller start does not help. At the next depth they fall off to the lower left.
#
# ## The 2×2 question
#
# Of $\bigl(\begin{smallmatrix}1&a\\b&1\end{smallmatrix}\bigr)$ the diagonal is observed. The fits of rank one lie on $ab=1$. Where do
# Gaussian starts end?

# %%
menon = experiments.menon(params)
plotting.show(figures.menon(menon), name="menon")

# %% [markdown]
# At depth two the small start leads onto the line $a=b$ and spreads along it. Deeper networks go to rank one.

# %%
rest = np.median(np.abs(1 - menon.entries.prod(-1)), axis=-1)
for depth, values in zip(menon.depths, rest, strict=True):
    print(f"depth {depth}: median of |1 - ab| {values[0]:.1e} from the larger start, {values[1]:.1e} from the smaller")

# %% [markdown]
# At depth two the limit is known from the start alone: the angles between the directions $a_i\pm b_i$ of rows and
# columns of the factors.

# %%
print(inspect.getsource(coupling.gram_limit))
gram = experiments.gram(params)
for depth, error in zip(gram.depths, np.median(gram.error, axis=-1), strict=True):
    print(f"depth {depth}: median distance from the Gram matrix {error[0]:.1e}, from a smaller start {error[1]:.1e}")

# %% [markdown]
# ## Depth
#
# Gaussian starts, the diagonal observed, singular values over time:

# %%
spectrum = experiments.spectrum(params)
plotting.show(figures.spectrum(spectrum), name="spectrum")

# %% [markdown]
# At depth two many directions grow side by side, one for each observed entry or so. At the next depth one gathers
# them all.

# %%
depths_result = experiments.depths(params)
plotting.show(figures.depths(depths_result), name="depths")

# %% [markdown]
# With each layer the coupling grows and the rank falls. Diagonal starts, the bars, have neither.
#
# The same on random entries of a random matrix of low rank, where all layers start at one Gaussian matrix:

# %%
completion = experiments.completion(params)
plotting.show(figures.completion(completion), name="completion")

# %% [markdown]
# Depth two ends above the target's effective rank, the others close to it, and their errors are smaller.
#
# ## Loss of plasticity
#
# A 3×3 matrix of ones. First the diagonal is observed, then three more entries, enough to determine a matrix of rank
# one. Four ways to get there:

# %%
clean = experiments.clean(params)
plotting.show(figures.clean(clean), name="clean")

# %% [markdown]
# What to see: flat lines are lost cases. Depth two after the diagonal (top left), and all depths after a diagonal start
# (bottom right). Depth two from scratch, or after a connected set, gets there: decoupled pre-training is to blame, not
# depth two as such.
#
# Random matrices of rank one: pre-training inside three diagonal blocks, then all observed entries.

# %%
plotting.show(figures.resumed(resumed), name="resumed")

# %%
print("depth  effective rank: cold   warm   median error: cold     warm   not fitted: before, after")
for row, depth in enumerate(resumed.depths):
    rank, error = np.median(resumed.rank[row], axis=-1), np.median(resumed.error[row], axis=-1)
    stuck = (resumed.pre_loss[row, -1] > 0.1).sum(), (resumed.loss[row, -1] > 0.1).sum()
    print(f"{depth:5d} {rank[0]:21.3f} {rank[-1]:6.3f} {error[0]:20.1e} {error[-1]:8.1e} {stuck[0]:20d} {stuck[1]:6d}")

# %% [markdown]
# The last columns count networks that had not fitted their data when the steps ran out: saddles, at which blocks have
# the wrong relative sign. Hence medians.
#
# When does the damage happen? Stop pre-training early, at a share of its loss:

# %%
plotting.show(figures.critical(resumed), name="critical")

# %% [markdown]
# At depth two a tenth of the pre-training loss is enough to do harm, and more does more: a critical period. At the
# other depths the line is level.
#
# ## Why depth two cannot go back
#
# Fit the diagonal of a 2×2 matrix, then add one entry. At depth two, $\ln|\det W|$ can move only while the residual is
# there, and a warm start fits the new entry at once.

# %%
print(inspect.getsource(coupling.log_determinant_path))

# %%
determinant = experiments.determinant(params)
plotting.show(figures.determinant(determinant), name="determinant")

# %% [markdown]
# The warm start's loss falls from the first moment on, and its determinant hardly moves. The cold start begins near a
# singular matrix and stays near it.

# %%
for k, kind in enumerate(experiments.plasticity.DETERMINANT_RUNS):
    change = determinant.logdet[-1, k] - determinant.logdet[0, k]
    print(f"{kind:10s} change of ln|det| {change:8.4f}, the integral {determinant.integral[-1, k]:8.4f}, the bound"
          f" {determinant.bound[-1, k]:7.3f}; unseen entry {determinant.unseen[-1, k]:.4f}")  # fmt: skip

# %% [markdown]
# The last run has the same product from unbalanced factors: there the integral is wrong.
#
# ## Verdicts

# %%
results = Results(
    intervention=watched,
    depths=depths_result,
    spectrum=spectrum,
    family=limits,
    menon=menon,
    gram=gram,
    chart=chart,
    clean=clean,
    resumed=resumed,
    determinant=determinant,
    completion=completion,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
