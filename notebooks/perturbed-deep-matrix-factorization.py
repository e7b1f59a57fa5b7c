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
# # Lab: the low-rank phase of deep matrix factorization, and noise
#
# This notebook reruns what [the chapter](../book/perturbed-deep-matrix-factorization.md) proves. Gradient descent on
# $\frac12\|W_N\cdots W_1-\widehat W\|_F^2$ learns large eigenvalues first. If the target is a matrix of low rank plus
# symmetric noise, there can be a stretch of iterations in which the matrix of low rank is learned and the noise is not:
# the *low-rank phase*. When does it exist, how long is it, and how much noise does it bear?

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
n = None  # size of the matrices: an integer from 4 to 1000
spectrum = None  # eigenvalues of the target of low rank, largest first: a list of 1 to 20, each a number from 0.2 to 10
depths = None  # numbers of factors N: a list of 1 to 7, each an integer from 2 to 8
start = None  # start of the product, α^N: a number from 1e-06 to 0.1
step = None  # step, as a fraction of the largest that the theorems allow: a number from 0.02 to 1
noise_list = None  # spectral norms e of the noise: a list of 3 to 12, each a number from 0.01 to 5
draws = None  # draws of the noise: an integer from 2 to 200
eps = None  # an eigenvalue is learned up to this share of itself, ε: a number from 0.01 to 0.5
delta = None  # what counts as not yet learned, δ: a number from 0.001 to 0.2
# second eigenvalues of the targets without noise, the first being one: a list of 2 to 16, each a number from 0.05 to
# 0.99
seconds = None
starts = None  # starts α^N of the runs without noise: a list of 2 to 16, each a number from 1e-06 to 0.1
map_points = None  # points on each axis of the phase maps: an integer from 21 to 401
limit_steps = None  # iterations for which the smallest starts are chosen: an integer from 500 to 1000000
matrix_n = None  # size of the matrices in runs with full factors: an integer from 4 to 200
matrix_runs = None  # random starts of such runs: an integer from 1 to 50
matrix_start = None  # size of the product at random starts: a number from 1e-06 to 0.5
matrix_noise = None  # norm of the noise in such runs: a number from 0.05 to 1
matrix_steps = None  # iterations of such runs: an integer from 200 to 100000

# %%
import inspect

from companion import plotting
from companion.chapters.perturbed_deep_matrix_factorization import (
    Parameters,
    Results,
    counts,
    experiments,
    figures,
    recursion,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## A first look
#
# The target has a few eigenvalues and is zero otherwise; the noise $E$ is a random symmetric matrix with
# $\|E\|_2=e$. The phase begins at $T_0$, when the target's eigenvalues are learned up to a share $\varepsilon$, and ends
# at $T_1$, when the first of the others reaches $\delta$.

# %%
spectra = experiments.spectra(params)
passages = experiments.passages(params, spectra)
paths = experiments.paths(params, spectra, passages)
plotting.show(figures.glance(paths, passages), name="glance")

# %% [markdown]
# What to see: on the left the phase, in green, with the theorem's edges. On the right its beginning, which the noise
# hardly changes, and its end, inversely proportional to the noise. Where they meet the phase is over.
#
# ## One eigenvalue at a time
#
# From equal starts $W_j=\alpha I$ all factors keep the eigenvectors of $\widehat W$. What is left are scalar recursions,
# one for each eigenvalue $\hat\lambda$, with $d^N$ the eigenvalue of the product:

# %%
print(inspect.getsource(recursion.descent))

# %%
reduction = experiments.reduction(params)
print("N   full matrices minus recursion: equal start, Gaussian start of the same size")
for depth, equal, other in zip(reduction.depths, *reduction.error, strict=True):
    print(f"{depth}   {equal:.1e}   {other:.1e}")

# %% [markdown]
# Rounding for equal starts. From Gaussian factors the recursion says nothing; the last section looks at them.
#
# For comparison, *spectral descent* takes the polar factor of each gradient (the step that Muon approximates). It keeps
# the eigenvectors too, and every eigenvalue of a factor grows by the same amount:

# %%
print(inspect.getsource(recursion.spectral))

# %% [markdown]
# ## How many iterations?
#
# The flow $\dot x=x^{N-1}(\lambda-x^N)$ has closed-form times. The iteration lags behind it as long as the speed grows,
# by a factor of at most $(1+\eta G)^{N-1}$, and leads afterwards. So the first iteration with $d^N\ge\ell$ lies between
# two closed forms:

# %%
print(inspect.getsource(counts.k_upper))

# %%
bounds = experiments.counts(params)
plotting.show(figures.counts(bounds), name="counts")

# %% [markdown]
# What to see: no point on the wrong side of the dashed line, at steps up to nearly twice the largest without overshoot.
# At small steps both bounds are close.
#
# ## The phase without noise
#
# Targets with the eigenvalues $1$ and $\lambda_2$; rank one is to be learned. $T_0$ is the first iteration with
# $d_1^N\ge1-\varepsilon$, $T_1$ the first with $d_2^N\ge\delta$. The theorem promises an interval inside $[T_0,T_1]$
# wherever its condition holds.

# %%
phases = experiments.phases(params)
print(" N  lambda_2    start      promised           measured GD       SpecGD")
for i, depth in enumerate(phases.depths):
    for j, second in enumerate(phases.seconds):
        for k, size in enumerate(phases.starts):
            begin, end = phases.begin[i, j, k], phases.end[i, j, k]
            promised = f"[{begin:7.1f}, {end:7.1f}]" if begin < end else "none              "
            measured = [f"[{phases.T0[m, i, j, k]:5.0f}, {phases.T1[m, i, j, k]:5.0f}]" for m in range(2)]
            print(f"{depth:2d} {second:9g} {size:8g}   {promised}   {measured[0]}   {measured[1]}")

# %% [markdown]
# Where the first number of a pair exceeds the second there is no phase. Spectral descent has none anywhere: it gets to
# $\delta$ before it gets to $1-\varepsilon$.

# %%
maps = experiments.maps(params)
plotting.show(figures.phase_map(maps), name="map")

# %% [markdown]
# What to see: the phase needs a gap and a small start; more factors need less of both. The step (last panel) hardly
# moves the measured boundary until the first eigenvalue is no longer stable; the theorem's line, which has to hold for
# all cases, is more careful.
#
# As the start shrinks, every gap becomes large enough. The ratio $T_1/T_0$ tends to $\lambda_1/\lambda_2$, with two
# factors to $\log(1+\eta\lambda_1)/\log(1+\eta\lambda_2)$:

# %%
limits = experiments.limits(params)
plotting.show(figures.limits(limits), name="limits")

# %% [markdown]
# What to see: gradient descent reaches the dashed limits. Spectral descent stays below one at every start.
#
# ## With noise
#
# $\widehat W=W+E$ with $W$ of low rank, $E$ symmetric, $\|E\|_2=e$. The run *is* a run without noise on the target
# $\widehat W$, so the same theorem applies, and Weyl's inequality turns it into a statement about $W$ and $e$. The runs of the first
# look in numbers:

# %%
print(" N      e     promised               T0 (mean)  T1 (mean)")
for i, depth in enumerate(passages.depths):
    for k, size in enumerate(passages.sizes):
        begin, end = passages.begin[i, k], passages.end[i, k]
        promised = f"[{begin:8.1f}, {end:8.1f}]" if begin < end else "none                "
        T0, T1 = (t[0, i, k, :-1].mean() for t in (passages.T0, passages.T1))
        print(f"{depth:2d} {size:6g}   {promised}   {T0:9.1f} {T1:10.1f}")

# %%
plotting.show(figures.eigenvalues(paths, passages), name="eigenvalues")

# %% [markdown]
# What to see: the order of learning stays, the time between shrinks. With three factors the phase is longer, and it
# exists for some noise for which the theorem promises nothing.
#
# ## The end of the phase

# %%
plotting.show(figures.length(passages), name="length")

# %% [markdown]
# What to see: slope minus one for a target of exact low rank. A target with a tail has its own end, and little noise
# does not change it.
#
# ## Convergence, and the step
#
# In the limit gradient descent fits the noise: it converges to the positive part of $\widehat W$. The noise can lift the
# largest eigenvalue, and then the step that was right for $W$ is too long.

# %%
limit = experiments.limit(params, spectra)
plotting.show(figures.steps(limit), name="steps")

# %% [markdown]
# What to see: on the right the run without noise still converges, slowly; the run with noise ends up between two
# values.
#
# ## How many iterations more?

# %%
recovery = experiments.recovery(params, spectra)
plotting.show(figures.slowdown(passages, spectra, recovery), name="slowdown")

# %% [markdown]
# What to see: an eigenvalue that noise lowers by a tenth takes a ninth longer. Spectral descent does the opposite:
# smaller targets are reached first.
#
# ## How well are the eigenvalues recovered?

# %%
plotting.show(figures.recovery(limit, recovery), name="recovery")

# %% [markdown]
# What to see: never worse than the norm of the noise, and that bad only for a noise made for the purpose. Gaussian noise
# moves a learned eigenvalue by $e^2/4\lambda$ on average; what it adds among the unlearned ones is of size $e$.
#
# ## How much noise is too much?
#
# For a very small start the phase exists as long as $\hat\lambda_r>\hat\lambda_{r+1}$. The worst noise of norm $e$ closes
# the gap at half its size. Gaussian noise does not aim.

# %%
threshold = experiments.threshold(params)
plotting.show(figures.threshold(threshold), name="threshold")

# %% [markdown]
# What to see: red points fall below one at the dotted line, half the gap. The blue band follows the prediction for large
# matrices and is still above one at twice that norm.
#
# ## What the phase is good for
#
# Who stops inside the phase keeps the signal and leaves out most of the noise.

# %%
plotting.show(figures.denoise(paths, passages, spectra), name="denoise")

# %% [markdown]
# What to see: the error of gradient descent is smallest during the phase, near the dashed prediction, and then grows
# until the noise is fitted. Spectral descent fits noise and signal at the same rate; there is nothing to stop for.
#
# ## Beyond the theorems: Gaussian factors
#
# Nothing above covers the starts that people use. So we run full matrices from Gaussian factors, small and large.

# %%
gaussian = experiments.gaussian(params)
plotting.show(figures.gaussian(gaussian), name="gaussian")

# %% [markdown]
# What to see: from a small start the nuclear rank dips towards one (the first eigenvalue is alone), rests at the target's
# rank, and rises with the noise; the error is least while it rests. From a start of size 0.3 nothing rests.
#
# ## Verdicts

# %%
results = Results(
    reduction=reduction,
    counts=bounds,
    phases=phases,
    maps=maps,
    limits=limits,
    spectra=spectra,
    passages=passages,
    limit=limit,
    recovery=recovery,
    paths=paths,
    threshold=threshold,
    gaussian=gaussian,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
