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
# # Lab: Newton's method and the Newton neural tangent kernel
#
# This notebook trains wide two-layer networks by regularized Newton steps with the full, indefinite Hessian, and holds
# them against the equation that [the chapter](../book/newton-nntk.md) derives for infinite width. The data lie on a
# circle, so the kernels' eigenvectors are Fourier modes, and *frequency* can be taken literally.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
# widths N of the comparison with the limit, increasing; the largest is trained to the end: a list of 3 to 8, each an
# integer from 20 to 1000000, a multiple of 2
widths = None
n_seeds = None  # networks of each width: an integer from 2 to 64
M = None  # training points on the circle, M: an integer from 6 to 64, a multiple of 2
s = None  # standard deviation of the input weights at the start: a number from 0.5 to 10
s_b = None  # standard deviation of the biases at the start: a number from 0.1 to 10
activation = None  # activation of the units: erf, tanh
lam0 = None  # constant λ₀ of the vanishing regularization λ₀ N^-δ: a number from 0.01 to 100
lam_decay = None  # its decay δ; below 1/2 in the theorem: a number from 0.05 to 0.49
lam_fixed = None  # the regularization λ that is the same at all widths: a number from 0.01 to 100
eta = None  # step size η of Newton's method: a number from 0.05 to 1
steps = None  # steps of the comparison with the limit: an integer from 8 to 200
long_steps = None  # steps of the training to the end: an integer from 20 to 1000
target_freqs = None  # frequencies of the target, increasing: a list of 2 to 6, each an integer from 1 to 32
# widths N of the map of regularizations, increasing: a list of 2 to 6, each an integer from 20 to 1000000, a multiple
# of 2
map_widths = None
# decays δ of the map, increasing; some below and some above 1/2: a list of 2 to 16, each a number from 0 to 1
map_decays = None
map_seeds = None  # networks at each point of the map: an integer from 1 to 64
dense_width = None  # width N at which the whole Hessian is diagonalized: an integer from 40 to 400, a multiple of 2
exponents = None  # exponents b of the output's scale N^-b, increasing: a list of 1 to 4, each a number from 0.5 to 0.8
noise = None  # standard deviation of the noise on the labels: a number from 0.05 to 5

# %%
import inspect

import numpy as np

from companion import plotting
from companion.chapters.newton_nntk import Parameters, Results, experiments, figures, kernels, newton, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## A step
#
# The Hessian of the loss is $H=\frac1MJ^\top J+\mathrm{blockdiag}(B_1,\dots,B_N)$: a matrix of rank $M$ and a small
# block for each unit. With $A=\mathrm{blockdiag}(B_i)+\lambda I$ and the residual $r$,
#
# $$(H+\lambda I)^{-1}\nabla L=A^{-1}J^\top(MI+JA^{-1}J^\top)^{-1}r,$$
#
# so a step costs time linear in the width, and the Hessian is never formed.

# %%
print(inspect.getsource(newton.newton_direction))

# %% [markdown]
# ## The limit
#
# As $N\to\infty$ the matrix $JA^{-1}J^\top$ tends to $K/\lambda$, with $K$ the tangent kernel of gradient descent, and
# the outputs follow $g_{k+1}=g_k-\eta\,K(K+M\lambda I)^{-1}(g_k-y)$. First the whole chapter at a glance: Newton's
# method and gradient descent on a wide network, and networks of growing width beside the limit.

# %%
speed = experiments.speed(params)
convergence = experiments.convergence(params)
plotting.show(figures.glance(speed, convergence), name="glance")

# %% [markdown]
# What to see: on the left, gradient descent is faster at the lowest frequency and falls far behind at the others;
# Newton's points lie within a small factor of each other. On the right, networks come closer to Newton's limit as
# they widen, and gradient descent does not: it follows another equation.

# %%
plotting.show(figures.convergence(convergence), name="convergence")

# %% [markdown]
# Each width has a regularization of its own, and a limit of its own, dashed. With a fixed regularization the distance
# falls along the dashed slope; a vanishing one magnifies the randomness of the kernel, and the distance falls more
# slowly.

# %%
print("     N   lambda_N   distance   least eigenvalue of the Newton kernel: network, limit")
for k, width in enumerate(convergence.widths):
    root = np.sqrt((convergence.error[1, k] ** 2).mean())
    print(f"{width:6d} {convergence.lam[1, k]:10.4f} {root:10.4f} {convergence.least[1, k].min():42.4f}"
          f" {convergence.least_limit[1, k]:8.4f}")  # fmt: skip

# %% [markdown]
# ## Frequency by frequency
#
# A step multiplies the residual at frequency $k$ by $1-\eta\,\mu_k/(\mu_k+M\lambda)$; gradient descent's factor is
# $1-\eta\,\mu_k/M$, and its step is limited by the largest eigenvalue.

# %%
plotting.show(figures.frequencies(speed), name="frequencies")

# %% [markdown]
# The lines of the first panel stay together. With a large regularization, beside it, Newton's method is gradient
# descent with a small step. In the lower panels the highest frequency hardly moves, also with the largest step that is
# stable. Where the lowest frequency leaves its dashed line, the finite network's kernel, which is not exactly diagonal,
# feeds it from the others.

# %%
print("rates for each step                 " + "".join(f"{f'k = {k}':>10s}" for k in speed.freqs))
for name, measured, factor in zip(experiments.METHODS, speed.rates(), speed.factor, strict=True):
    print(f"{name:20s} network        " + "".join(f"{rate:10.4f}" for rate in measured))
    print(f"{'':20s} limit          " + "".join(f"{-np.log(abs(f)):10.4f}" for f in factor))

# %% [markdown]
# ## Two spectra
#
# More points on the circle bring higher frequencies, at which the tangent kernel's eigenvalues tend to zero. The Newton
# kernel lifts those above the regularization to one, and leaves the others to fall.

# %%
spectra = experiments.spectra(params)
plotting.show(figures.spectra(spectra, convergence), name="spectra")

# %% [markdown]
# On the left each curve has a plateau and then falls in parallel to the tangent kernel's: at a fixed regularization
# uniformity is lost sooner or later. On the right, a regularization that vanishes with the width restores it, slowly.
# The closed form of the kernel, checked against quadrature:

# %%
angles = np.linspace(0, np.pi, 7)
closed = kernels.erf_kernel(angles, params.s, params.s_b)
quadrature = kernels.quadrature_kernel(angles, params.s, params.s_b, "erf")
print("closed form and quadrature agree:", bool(np.allclose(closed, quadrature, atol=1e-12)))

# %% [markdown]
# ## How little to regularize
#
# The blocks $B_i$ are of size $N^{-b}$. With $\lambda_N=\lambda_0N^{-\delta}$ and $b=\frac12$ their share of the
# regularization is of size $N^{\delta-1/2}$.

# %%
regularization = experiments.regularization(params)
plotting.show(figures.window(regularization), name="window")

# %% [markdown]
# On the left, lines with $\delta<\frac12$ fall away from the dashed line with the width, the others rise above it, at
# the very start. On the right, the full Hessian's runs leave the limit just there. Without the blocks nothing happens.

# %%
definiteness = experiments.definiteness(params)
plotting.show(figures.hessian(definiteness), name="hessian")

# %% [markdown]
# Half of the Hessian's eigenvalues are negative, in both panels and at every step. The regularization has to lift the
# lowest of them above zero.
#
# ## Nearly linear
#
# The theorem rests on units that hardly move. How far they move depends on the scale $N^{-b}$ of the output.

# %%
scales = experiments.scales(params)
plotting.show(figures.lazy(scales), name="lazy")

# %% [markdown]
# For $b<1$ displacements fall along the dashed slopes and the network comes close to its linearization; at $b=1$, the
# mean-field scale, neither happens. And the start has to be zero:

# %%
print("     N   distance from the limit: paired units   independent units")
for row in zip(scales.widths, scales.error_paired, scales.error_independent, strict=True):
    print("{:6d} {:39.4f} {:19.4f}".format(*row))

# %% [markdown]
# ## The price: noise
#
# An extension. If all frequencies are learned at one pace, so is the noise on the labels. The outputs of the limit are
# linear in the labels, so that the expected error is computed exactly.

# %%
noisy = experiments.noise(params)
plotting.show(figures.noise(noisy), name="noise")

# %% [markdown]
# On the left, gradient descent passes closer to the truth before it, too, fits the noise: its slowness at high
# frequencies is a filter. On the right there is nothing to filter, and it is only slow.
#
# ## Verdicts

# %%
results = Results(
    convergence=convergence,
    speed=speed,
    spectra=spectra,
    regularization=regularization,
    definiteness=definiteness,
    scales=scales,
    noise=noisy,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
