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
# # Lab: coordinate descent in random orders
#
# This notebook reruns what [the chapter](../book/random-permutation-coordinate-descent.md) proves and conjectures: a
# fresh permutation of the coordinates in every epoch (RPCD) beats uniform sampling (RCD). The effect can be a few parts
# in a million, far below the noise of any simulation, so almost nothing here is simulated. On a quadratic the mean
# square of the iterates obeys a linear recursion, and its spectral radius is the rate, exactly.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
n_list = None  # dimensions n of the grid of exact rates: a list of 2 to 32, each an integer from 2 to 10000
sigma_list = None  # least eigenvalues σ of the grid: a list of 2 to 32, each a number from 0.0001 to 0.999
limit_n = None  # dimension at which the limits n → ∞ are compared: an integer from 100 to 100000
certified_n = None  # largest dimension of the proof by exact arithmetic: an integer from 2 to 60
block_n = None  # largest block size whose rate is computed: an integer from 2 to 2000
torus_points = None  # grid points on each angle of the map for n = 3: an integer from 5 to 481
search_dims = None  # dimensions of the search for worst cases: a list of 1 to 4, each an integer from 3 to 6
search_sigmas = None  # least eigenvalues of the search: a list of 1 to 8, each a number from 0.0001 to 0.999
search_starts = None  # random starts of a search: an integer from 4 to 100000
search_rounds = None  # rounds of local moves of a search: an integer from 0 to 1000
search_proposals = None  # moves proposed in a round for each matrix kept: an integer from 1 to 1000
search_seeds = None  # independent searches for each n and σ: an integer from 1 to 64
random_n = None  # largest dimension of the random matrices: an integer from 2 to 8
random_count = None  # random matrices for each dimension: an integer from 1 to 20000
features = None  # features taken from each real data set: an integer from 2 to 10
mc_n = None  # dimension of the simulated runs: an integer from 2 to 1000
mc_sigma = None  # least eigenvalue of the simulated runs: a number from 0.001 to 0.9
mc_epochs = None  # epochs of the simulated runs; slopes from epoch 4 on: an integer from 8 to 100
mc_trials = None  # simulated runs of each method: an integer from 10 to 1000000
typical_n = None  # dimension at which typical runs are followed: an integer from 5 to 200
typical_epochs = None  # epochs that typical runs are averaged over: an integer from 10 to 10000
typical_trials = None  # runs followed for each σ: an integer from 10 to 100000

# %%
import inspect

import numpy as np
import torch

from companion import plotting
from companion.analysis.finite_sum import FiniteSumQuadratic
from companion.chapters.random_permutation_coordinate_descent import (
    Parameters,
    Results,
    closed_forms,
    descent,
    experiments,
    figures,
    operators,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## One update, one epoch
#
# With unit diagonal, exact minimization of $\frac12x^\top Ax$ over coordinate $i$ is $x\leftarrow U_ix$ with
# $U_i=I-e_ia_i^\top$, $a_i$ the $i$-th row of $A$. Seen in the coordinates $y=A^{1/2}x$ it is a gradient step of length
# one on $f_i(y)=\frac12(u_i^\top y)^2$ with the unit vector $u_i=A^{1/2}e_i$. So coordinate descent is the incremental
# gradient descent of [another chapter](../book/incremental-gradient-small-epochs.md), with rank-one components and no
# noise at the optimum; its library can run it.

# %%
A = operators.equicorrelation(4, 0.3)
values, vectors = torch.linalg.eigh(A)
root = (vectors * values.sqrt()) @ vectors.T
u = root.numpy()
kaczmarz = FiniteSumQuadratic(u[:, :, None] * u[:, None, :], np.zeros((4, 4)))
order = np.array([2, 0, 3, 1])
epoch = kaczmarz.epoch_map(np.ones(1), order)[0, :4, :4]
by_coordinates = root @ operators.epoch_map(A, order) @ torch.linalg.inv(root)
print("one epoch in both coordinates agrees:", bool(torch.allclose(epoch, by_coordinates, atol=1e-12)))

# %% [markdown]
# A random order maps the second moment $X=\mathbb E\,xx^\top$ linearly. For RCD one update is
#
# $$\mathcal M(X)=\frac1n\sum_iU_iXU_i^\top=X-\frac1n(AX+XA)+\frac1n\operatorname{Diag}(AXA).$$
#
# For RPCD an epoch averages over $n!$ orders. They need not be enumerated: what matters of the past is only *which*
# coordinates have been visited. A dynamic program over the $2^n$ sets sums all orders.

# %%
print(inspect.getsource(operators.rcd_moments))
print(inspect.getsource(operators.rpcd_moments))

# %% [markdown]
# On the permutation-invariant class $A_\sigma=\sigma I+(1-\sigma)\mathbf 1\mathbf 1^\top$ even this collapses: to a
# $2\times2$ matrix, at cost $O(n)$ for any $n$.

# %%
print(inspect.getsource(closed_forms.rpcd_matrix))

# %%
reduction = experiments.reduction(params)
print("n  sigma   closed form   all n! orders   cyclic shifts only")
for row in zip(reduction.n, reduction.sigma, reduction.rpcd, reduction.enumerated, reduction.shifts, strict=True):
    print("{:d}  {:5.2f} {:13.9f} {:15.9f} {:16.9f}".format(*row))

# %% [markdown]
# The last column keeps $n$ of the $n!$ orders. It differs as soon as these are not a random relabelling of the
# coordinates: the reduction to two dimensions rests on the whole symmetry.
#
# ## The sandwich
#
# Question: is an epoch of RPCD better than $n$ updates of RCD on *every* instance of the class? The theorem says yes,
# and names a number between the two, $B=\max\{(1-\frac1n)^n,(1-\frac\sigma n)^{2n}\}$. For small $\sigma$ all rates are
# $1-2\sigma$ to first order, so we draw $-\log\rho/2\sigma$.

# %%
curves = experiments.curves(params)
plotting.show(figures.glance(curves), name="glance")

# %% [markdown]
# What to see: lines are closed forms (the fixed order's: an eigenvalue), circles the operators. The dashed bound separates the methods everywhere. One
# fixed order is another matter: best of all for $n=3$, and hopeless for $n=100$.

# %%
grid = experiments.grid(params)
whole = grid.k == grid.n
print("     n  sigma        RPCD           B       RCD^n")
for n, sigma, rpcd, bound, rcd in zip(
    *(values[whole] for values in (grid.n, grid.sigma, grid.rpcd, grid.bound, grid.rcd)), strict=True
):
    if sigma in (grid.sigma.min(), 0.1, 0.5):
        print(f"{n:6d} {sigma:6g} {rpcd:11.7f} {bound:11.7f} {rcd:11.7f}")

# %% [markdown]
# How much faster? The ratio of the logarithms says how many epochs of RCD one epoch of RPCD is worth.

# %%
speedup = experiments.speedup(params)
plotting.show(figures.speedup(speedup), name="speedup")

# %% [markdown]
# Never below one, and far above it only for few coordinates or $\sigma$ near one. The dashed limit for large $n$ in numbers:

# %%
limits = experiments.limits(params)
print(f"n = {limits.n}\n sigma        RPCD   its limit       RCD^n   its limit")
for row in zip(limits.sigma, limits.rpcd[0], limits.rpcd_limit, limits.rcd[0], limits.rcd_limit, strict=True):
    print("{:6g} {:11.6f} {:11.6f} {:11.6f} {:11.6f}".format(*row))

# %% [markdown]
# The class contains blocks $A_{k,\sigma}\oplus I_{n-k}$ for a reason: for $\sigma$ near one the worst block is not the
# largest.

# %%
blocks = experiments.blocks(params)
plotting.show(figures.blocks(blocks), name="blocks")

# %% [markdown]
# The dots wander off the right end as $\sigma$ approaches one: there the worst member of the class is a smaller block.
#
# ## From a grid to every sigma
#
# A grid checks points. For a given $n$ one can do better: RPCD's rate is the larger root of a quadratic whose
# coefficients are polynomials in $\sigma$ with rational coefficients, so "below the bound for every $\sigma$" is a
# polynomial inequality, and fractions prove it. The last column asks for more than is true.

# %%
certificates = experiments.certificates(params)
print("  n   exponent 2n   exponent 2n + 1   exponent 2n + 3 (false near sigma = 0)")
for n, *proved in zip(certificates.n, certificates.proved, certificates.sharper, certificates.too_sharp, strict=True):
    print(f"{n:3d}   {proved[0]!s:11}   {proved[1]!s:15}   {proved[2]!s}")

# %% [markdown]
# ## The conjecture: is the class the worst case?
#
# Every unit-diagonal matrix with least eigenvalue $\sigma$ is $\sigma I+(1-\sigma)VV^\top$, where the rows of $V$ are
# unit vectors in $n-1$ dimensions. For $n=3$ these are three points on a circle: two angles, and one map shows all
# matrices. The class sits where all angles are $0$ or $180$ degrees.

# %%
torus = experiments.torus(params)
plotting.show(figures.torus(torus), name="torus")

# %% [markdown]
# Peaks at the circles, hollows at the crosses, at every $\sigma$. In numbers:

# %%
print(" sigma   largest on the map   class maximum   least on the map     simplex")
for k, sigma in enumerate(torus.sigma):
    print(f"{sigma:6g} {torus.rate[k].max():20.12f} {torus.maximum[k]:15.12f} {torus.rate[k].min():18.12f}"
          f" {torus.simplex[k]:11.6f}")  # fmt: skip

# %% [markdown]
# For larger $n$: random starts, then local moves of shrinking length, many searches in one batch. This looks for a
# counterexample. Not finding one is evidence, and no proof.

# %%
search = experiments.search(params)
plotting.show(figures.search(search), name="search")

# %% [markdown]
# All searches fall by orders of magnitude towards the class maximum; none gets beyond it.

# %%
print("n  sigma   largest excess over the class   least |A_ij| / (1 - sigma): random starts, best matrix")
for row, n in enumerate(search.n):
    for k, sigma in enumerate(search.sigma):
        excess = (search.best[row, k, :, -1] - search.maximum[row, k]).max()
        flat = search.start_flatness[row, k].mean(), search.flatness[row, k].min()
        print(f"{n:d} {sigma:6g} {excess:31.1e} {flat[0]:38.3f} {flat[1]:13.5f}")

# %% [markdown]
# What to see: no search passes the class, and the best matrices have off-diagonal entries of one absolute value: they
# *are* the class, up to signs.
#
# It is tempting to prove the conjecture by averaging a matrix over relabellings, which leads to one of the two
# permutation-invariant matrices. The rate
# does not cooperate: averaging two relabelled, sign-flipped members keeps $\sigma$ and *lowers* the rate.

# %%
print(f"least eigenvalue of the average: {reduction.averaged_least:.6f}")
print(f"RPCD's rate: members {reduction.member:.6f}, their average {reduction.averaged:.6f}")

# %% [markdown]
# ## All other matrices
#
# With the conjecture, RPCD beats RCD on every positive-definite quadratic. So we compute both rates on random matrices
# of every rank, and on Gram matrices of real features, where the dynamic program visits all $n!$ orders exactly.

# %%
random_matrices = experiments.random_matrices(params)
real_data = experiments.real_data(params)
plotting.show(figures.matrices(random_matrices, real_data), name="matrices")

# %% [markdown]
# The dashed bound separates the two clouds. The real matrices in numbers:

# %%
print(f"{'':36s} {'sigma':>9s} {'RPCD':>9s} {'B':>9s} {'RCD^n':>9s}")
for k, name in enumerate(real_data.names):
    numbers = (real_data.sigma[k], real_data.rpcd[k], real_data.bound[k], real_data.rcd[k])
    print(f"{name:36s} " + " ".join(f"{number:9.6f}" for number in numbers))

# %% [markdown]
# What to see: RPCD never lies below the curve of the class. Features that are not centred have cosines of one sign,
# close to each other: with a ridge their Gram matrix is almost the class itself.
#
# ## Shuffle once, or every epoch?
#
# An extension. Drawing one order and keeping it is cheaper, and in stochastic gradient descent about as good as a fresh
# shuffle. Here the rate is $\rho(T_p)^2$, a lottery ticket: one number for each order.

# %%
plotting.show(figures.once(real_data), name="once")

# %% [markdown]
# What to see: on most of the centred features a kept order beats fresh permutations, whichever it is. On features that
# are not centred, with a ridge, every order loses to uniform sampling, by a wide margin. Fresh permutations gain less
# but never lose: they are an insurance against bad orders. On the class itself all orders are equally bad, so there is
# no luck to have.
#
# ## Runs
#
# Simulated runs, with the expectation from the exact recursion dashed on top.

# %%
print(inspect.getsource(descent.coordinate_descent))

# %%
trajectories = experiments.trajectories(params)
plotting.show(figures.trajectories(trajectories), name="trajectories")

# %% [markdown]
# The means lie on the dashed lines, on either side of the dotted slope.

# %%
print("method   measured slope   exact rate")
for name, slope, rate in zip(trajectories.names, trajectories.slopes(), trajectories.rates, strict=True):
    print(f"{name:6s} {slope:16.5f} {rate:12.5f}")
print(f"bound B {trajectories.bound:27.5f}")

# %% [markdown]
# The cyclic order has not reached its asymptotic slope yet: its slow directions are small at the start.
#
# The mean square is dominated by unlucky runs. What does a *typical* run do? Its rate is the almost-sure limit
# $\lim_K\|x_K\|^{2/K}$, never above the mean-square rate, by Jensen's inequality. No closed form is known to us: here
# only simulation helps, rescaled to length one in each epoch.

# %%
typical = experiments.typical(params)
plotting.show(figures.typical(typical), name="typical")

# %% [markdown]
# What to see: permutations remove much of the luck. RCD's typical runs are clearly better than its mean square, RPCD's
# hardly. The order of the two methods stays.
#
# ## Verdicts

# %%
results = Results(
    curves=curves,
    grid=grid,
    speedup=speedup,
    limits=limits,
    reduction=reduction,
    certificates=certificates,
    blocks=blocks,
    random_matrices=random_matrices,
    real_data=real_data,
    torus=torus,
    search=search,
    trajectories=trajectories,
    typical=typical,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
