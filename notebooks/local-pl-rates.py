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
# # Lab: gradient descent along valleys of minimizers
#
# This notebook reruns what [the chapter](../book/local-pl-rates.md) states: where the Polyak–Łojasiewicz inequality
# holds near a minimizer, gradient descent and SGD end at the rate of a strongly convex quadratic, although the function
# is not convex and its minimizers are not isolated. We need functions for which everything is known exactly: valleys
# along a torus, with prescribed curvature across and none along.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
mu = None  # least normal eigenvalue μ on the valley: a number from 0.1 to 10
L = None  # largest normal eigenvalue L, at least 1.5 μ: a number from 0.15 to 100
sigma_list = None  # noise levels σ: E|ξ|² is at most σ (f − f*): a list of 1 to 8, each a number from 0.1 to 500
sigma = None  # noise level of the single experiments: a number from 0.1 to 500
m_block = None  # dimension of the eigenspace that carries the noise: an integer from 200 to 5000
n_gamma = None  # step sizes of gradient descent: an integer from 5 to 1000
n_rep = None  # replicas of each run: an integer from 2 to 500
n_steps = None  # steps of a run, at most: an integer from 50 to 100000
h0 = None  # height of the starts over the valley's floor: a number from 0.001 to 0.09
turn = None  # how much the normal Hessian changes along the winding valley: a number from 0.1 to 0.8
n_paths = None  # runs in the winding valley: an integer from 4 to 1000
n_momentum = None  # momenta of heavy ball: an integer from 5 to 500
n_noises = None  # random noise covariances: an integer from 10 to 200000
n_nets = None  # networks: an integer from 1 to 200
n_samples = None  # samples of each network, N: an integer from 2 to 64
width = None  # width of the networks: an integer from 4 to 1024
d_in = None  # dimension of their inputs: an integer from 1 to 64
init_scale = None  # size of the initial weights: a number from 0.05 to 3
target_scale = None  # size of the targets: a number from 0.1 to 5
batches = None  # batch sizes of SGD on the networks: a list of 1 to 8, each an integer from 1 to 64
train_steps = None  # steps of training, at most: an integer from 100 to 1000000
net_steps = None  # steps compared with the linear recursion: an integer from 100 to 100000

# %%
import inspect

import numpy as np

from companion import plotting
from companion.chapters.local_pl_rates import (
    Parameters,
    Results,
    descent,
    experiments,
    figures,
    networks,
    rates,
    valleys,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## The question
#
# In the textbook, the PL inequality $\|\nabla f\|^2\ge2\mu(f-f^*)$ and an $L$-Lipschitz gradient give the factor
# $1-\frac\mu L$ per step of $f-f^*$, at the step $\frac1L$. A strongly convex quadratic has
# $\bigl(\frac{L-\mu}{L+\mu}\bigr)^2\approx1-\frac{4\mu}L$ at the step $\frac2{\mu+L}$. Which of the two does a valley
# have that is not convex?

# %%
print(inspect.getsource(valleys.Valley.value_and_gradient))
print(inspect.getsource(descent.sgd))

# %%
ring = experiments.ring(params)
plain = experiments.descent(params)
noisy = experiments.noisy(params)
plotting.show(figures.glance(ring, plain, noisy), name="glance")

# %% [markdown]
# What to see: every measured point lies on the quadratic's curve, at every step size, with noise and without. The
# textbook's bound is far above. On the left a valley with one circle: inside the ring it curves downwards along the
# circles around the centre.

# %%
print("step     valley   bowl     quadratic  textbook")
for k in range(0, len(plain.lr), max(1, len(plain.lr) // 8)):
    row = plain.lr[k], plain.valley[k], plain.bowl[k], plain.predicted[k], plain.textbook[k]
    print("{:6.4f}  {:7.4f}  {:7.4f}  {:8.4f}  {:8.4f}".format(*row))
print(f"at 1.02 times the largest step, least f after all steps: {plain.unstable:.2g}")

# %% [markdown]
# ## What PL means
#
# Near its minimizers a $C^2$ function with the PL inequality looks like a valley: they form a manifold, along which the
# Hessian vanishes and across which it is at least $\mu$. To check it we take the Hessian at minimizers, and sample the
# best constant $\|\nabla f\|^2/2f$ in shells around them. The control has the same minimizers and the profile
# $\lambda h^4$, whose Hessian is zero there.

# %%
geometry = experiments.geometry(params)
plotting.show(figures.geometry(geometry, plain), name="geometry")

# %% [markdown]
# What to see: in the valley the constant tends to $\mu$, and $\log f$ falls along a line. In the quartic valley the
# constant dies out, and gradient descent slows down for ever.

# %%
print("eigenvalues of the Hessian at one minimizer over the factor of the place")
for name, spectrum in zip(("valley ", "quartic"), geometry.eigenvalues, strict=True):
    print(name, " ".join(f"{value:5.2f}" for value in np.abs(spectrum[0])))

# %% [markdown]
# ## The spectrum at the limit
#
# The iterates move along the valley before they come to rest, and the curvature across it changes on the way. Which
# curvature counts? The winding valley has the factor $g(\varphi)=1+t\sin\varphi$ in front; every run starts at an angle
# of its own.

# %%
limits = experiments.limits(params)
plotting.show(figures.limits(limits), name="limits")

# %% [markdown]
# What to see: with the spectrum at the limit point, the prediction is exact for gradient descent and as good as a path's
# luck allows for SGD. With the spectrum at the start the runs are slower than predicted, since they slide towards
# flatter places.
#
# ## Noise that vanishes with f
#
# Now $\mathbb E\|\xi\|^2\le\sigma(f-f^*)$. For the worst case the noise goes into one eigenspace, of large dimension, so
# that a path's factor is that of the mean square.

# %%
plotting.show(figures.noise(noisy), name="noise")

# %% [markdown]
# What to see: the circles, measured in the valley, and the plus signs, measured on the quadratic itself, lie on the
# dashed curves. Noise along the valley (crosses) costs nothing: its factor is that of gradient descent.

# %%
print("sigma   step     valley   bowl     theory   textbook")
for row, level in enumerate(noisy.sigma):
    for k in range(3):
        values = [one[row, k] for one in (noisy.lr, noisy.valley, noisy.bowl, noisy.predicted, noisy.textbook)]
        print(f"{level:5g}  " + "  ".join(f"{value:7.4f}" for value in values))

# %% [markdown]
# The best constant step follows from minimizing $\rho(\gamma)=\max_\lambda\{(1-\gamma\lambda)^2+\frac12\gamma^2\sigma
# \lambda\}$ over the step. Up to the noise $\sigma=2(L-\mu)$ both ends of the spectrum matter; beyond, the flat end
# alone.

# %%
optimum = experiments.optimum(params)
plotting.show(figures.optimum(optimum), name="optimum")

# %% [markdown]
# What to see: each curve leaves its own branch at a circle and joins the dashed one, which knows nothing of $L$. Markers
# are a numerical minimization.
#
# Is noise in one eigendirection really the worst? On a quadratic the second moments obey a linear recursion, whose
# Perron root is the exact rate for any covariance of the noise:

# %%
print(inspect.getsource(rates.moment_matrix))
covariances = experiments.covariances(params)
print(f"largest excess of random covariances over the worst single direction: {covariances.excess.max():.1e}")
print(
    f"all noise in the worst direction, largest difference:                 {abs(covariances.concentrated).max():.1e}"
)
print(f"noise spread evenly, median difference:                               {np.median(covariances.even):.3f}")

# %% [markdown]
# ## Paths, and noise that stays

# %%
paths = experiments.paths(params)
plotting.show(figures.paths(paths), name="paths")

# %% [markdown]
# What to see, left: additive noise stops the descent at a plateau. Right: a single path does better than the mean
# square, which rare bad paths dominate. In one direction the difference is large; it dies out like one over the
# dimension.
#
# ## Networks
#
# Networks with more weights than samples interpolate, and near interpolation the gradient of a single sample is
# noisy in proportion to its residual: multiplicative noise. All small networks here have data of their own; the
# residuals near the end should obey $r\leftarrow(I-\frac\gamma NK)r$ with the tangent kernel $K=JJ^\top$ at the limit.

# %%
print(inspect.getsource(networks.linearized))

# %%
trained = experiments.networks(params)
plotting.show(figures.networks(trained), name="networks")

# %% [markdown]
# What to see, left: over more than ten decades of the loss the noise stays in proportion to it; networks that cannot
# interpolate keep their noise while the gap closes. Right: network and linear recursion agree, for SGD up and down with
# every sample drawn; with the kernel at the random start they do not.

# %%
print("network  condition   GD: largest |ratio - 1|, limit   start     SGD: limit   start")
for k, condition in enumerate(trained.condition[:16]):
    off = [
        np.nanmax(np.abs(one[:, k] - 1)) for one in (trained.gd, trained.gd_initial, trained.sgd, trained.sgd_initial)
    ]
    print("{:5d} {:11.0f} {:33.1e} {:7.2f} {:15.1e} {:7.2f}".format(k, condition, *off))

# %% [markdown]
# ## Extension: momentum
#
# Heavy ball on a quadratic has the factor $\bigl(\frac{\sqrt\kappa-1}{\sqrt\kappa+1}\bigr)^2$ for $f$ at its best
# parameters. It keeps it in the valley.

# %%
momentum = experiments.momentum(params, plain)
plotting.show(figures.momentum(momentum), name="momentum")

# %% [markdown]
# What to see: the circles follow the quadratic's curve through its minimum, far below gradient descent at its best step.
#
# ## Verdicts

# %%
results = Results(
    ring=ring,
    geometry=geometry,
    descent=plain,
    limits=limits,
    noisy=noisy,
    optimum=optimum,
    covariances=covariances,
    paths=paths,
    networks=trained,
    momentum=momentum,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
