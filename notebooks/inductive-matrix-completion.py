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
# # Lab: inductive matrix completion
#
# This notebook reruns what [the chapter](../book/inductive-matrix-completion.md) states: a low-rank matrix is found
# again from a few of its entries, and if features of its rows and columns are known, the number of entries needed has
# nothing to do with the size of the matrix. Everything is done twice, with features and without, by the same code.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
r = None  # rank of the matrices: an integer from 1 to 10
kappa = None  # condition number κ of the matrices, largest over least singular value: a number from 1 to 20
eta = None  # step length η of the descent, in units of 1/σ₁: a number from 0.05 to 0.8
iters = None  # steps within which a run must arrive: an integer from 20 to 5000
a_list = None  # features a of the thresholds: a list of 1 to 8, each an integer from 1 to 1000
n_list = None  # sizes n of the thresholds and of the rates: a list of 2 to 6, each an integer from 12 to 10000
# sizes n at which the threshold of completion without features is found: a list of 2 to 6, each an integer from 12 to
# 10000
n_mc = None
m_over_ar = None  # entries seen at the thresholds, in units of a·r: a list of 2 to 16, each a number from 0.5 to 100
m_over_nr = None  # the same without features, in units of n·r: a list of 2 to 16, each a number from 0.5 to 100
trials = None  # matrices for each number of entries: an integer from 2 to 1000
a = None  # features a of the other experiments: an integer from 1 to 200
# entries seen in the experiments on the spectrum, fewest first: a list of 1 to 6, each an integer from 10 to 20000
m = None
sigma = None  # noise σ; entries have mean square one: a number from 0.001 to 2
repeats = None  # matrices in each cell of the experiment on noise: an integer from 2 to 1000
tilts = None  # tilts τ of the matrices out of the features' span: a list of 2 to 12, each a number from 0.01 to 0.9
# weights λ between matrix completion (0) and its inductive form (∞): a list of 1 to 12, each a number from 0.01 to
# 100000
lams = None
tilt = None  # tilt τ in the experiment on these weights: a number from 0 to 0.9
private = None  # features that belong to one row alone, in the coherent case: an integer from 1 to 20
# the ratings; auto takes MovieLens if it is there and synthetic ratings if not: stand-in, movielens-small, auto
ratings = None
users = None  # users, and films, of the ratings: an integer from 40 to 600
# shares of the ratings to be completed that are seen: a list of 2 to 8, each a number from 0.02 to 0.8
fractions = None
splits = None  # random splits of the ratings: an integer from 1 to 20

# %%
import inspect

from companion import plotting
from companion.chapters.inductive_matrix_completion import (
    Parameters,
    Results,
    completion,
    experiments,
    figures,
    theory,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## The algorithm
#
# The estimate is $AB^\top$ with $A=XU$ and $B=YV$: the features $X,Y$ have $a$ columns, $U,V$ have $r$. The loss is the
# squared error on the entries seen, over $2p$, plus a term that keeps the two factors balanced. A step of gradient
# descent, then long rows are cut:

# %%
print(inspect.getsource(completion.gradients))
print(inspect.getsource(completion.project))

# %% [markdown]
# It starts at the best rank-$r$ approximation of $X^\top P_\Omega(y)Y/p$. Without features, `X = Y = None`, this is
# ordinary matrix completion.
#
# ## How many entries?
#
# Question: at which number of entries $m$ does the descent begin to recover the matrix, without noise?

# %%
thresholds = experiments.thresholds(params)
plotting.show(figures.glance(thresholds), name="glance")

# %% [markdown]
# What to see: on the left a line and its dashed companion belong to matrices of very different size, and lie together;
# what moves the threshold is the number of features. On the right there are no features, and the size moves it.

# %%
print("features  degrees of freedom   entries at which half succeed, over a r")
for count, row in zip(thresholds.a, thresholds.half(), strict=True):
    shares = [f"{half / count / thresholds.r:.2f} (n = {size})" for half, size in zip(row, thresholds.n, strict=True)]
    print(f"{count:8d} {theory.degrees_of_freedom(count, thresholds.r):19d}   {'  '.join(shares)}")
pairs = zip(thresholds.half_mc(), thresholds.n_mc, strict=True)
print(
    "without features, over n r:  ", "  ".join(f"{half / size / thresholds.r:.2f} (n = {size})" for half, size in pairs)
)

# %% [markdown]
# Is that just regression on the $a^2$ products of features? No: it works where $m<a^2$, and there least squares in all
# products cannot.

# %%
unstructured = experiments.unstructured(params)
print(f"a = {unstructured.a}, products: {unstructured.a**2}, entries: {unstructured.m}")
print(f"low rank succeeds in {unstructured.rate_imc:.0%}, least squares in {unstructured.rate_full:.0%}, "
      f"with a relative error of {unstructured.error_full:.2f}")  # fmt: skip
print(f"with half as many entries again as products, least squares errs by {unstructured.error_more:.0e}")

# %% [markdown]
# ## Why: the curvature survives sampling
#
# Near the truth only directions in the tangent space matter. Sampling turns the identity there into
# $\mathcal P_T\frac1pP_\Omega\mathcal P_T$, whose extreme eigenvalues are on the left. On the right: the regularity
# condition, at random points near the truth and along the flattest directions, which are the hard ones.

# %%
spectrum = experiments.spectrum(params)
plotting.show(figures.spectrum(spectrum), name="spectrum")

# %% [markdown]
# What to see: with features nothing depends on $n$. Without them the same number of entries leaves rows that are seen
# fewer than $r$ times: such a row can be changed and no entry notices, so there is an eigenvalue zero and a direction
# along which the gradient is silent.

# %%
df = theory.degrees_of_freedom(spectrum.a, spectrum.r)
print(f"n^2 |P_T(e_i e_j^T)|^2, largest over the entries; their mean is the degrees of freedom, {df}")
for size, value in zip(spectrum.n, spectrum.coherence, strict=True):
    print(f"n = {size:4d}: {value:8.0f}")

# %% [markdown]
# ## Speed
#
# The Hessian at the truth, restricted to what rotations of the factors leave, gives the rate before a run is made.

# %%
convergence = experiments.convergence(params)
plotting.show(figures.convergence(convergence), name="convergence")

# %% [markdown]
# What to see: straight lines down to rounding, of one slope for all sizes, which is the dashed one.

# %%
factor, _ = convergence.fits(convergence.errors)
print("   n   factor for each step: measured   predicted   if all entries were seen")
for k, size in enumerate(convergence.n):
    row = (factor[k].mean(), convergence.predicted[k].mean(), convergence.population[k].mean())
    print("{:4d} {:30.3f} {:11.3f} {:26.3f}".format(size, *row))

# %% [markdown]
# ## Noise
#
# Linearized at the truth, the descent is least squares in $df=(2a-r)r$ unknowns, with relative error
# $\sigma\sqrt{df/(m-df)}$. The cells change one thing at a time: size, features, entries, noise.

# %%
noise = experiments.noise(params)
plotting.show(figures.noise(noise), name="noise")

# %% [markdown]
# What to see: every blue point on the diagonal. The orange square is completion without features, held against the
# features' prediction; the diamond holds it against its own, with $n$ for $a$.

# %%
print("    n   a      m  sigma   mean error over prediction")
for k in range(len(noise.n)):
    print(f"{noise.n[k]:5d} {noise.a[k]:3d} {noise.m[k]:6d} {noise.sigma[k]:6g} "
          f"{noise.error[k].mean() / noise.predicted[k]:28.3f}")  # fmt: skip

# %% [markdown]
# ## Features that are not exact
#
# The matrix is tilted out of the features' span by $\tau$ on either side. No $XMY^\top$ can express what sticks out,
# so the error has a floor.

# %%
inexact = experiments.inexact(params)
plotting.show(figures.inexact(inexact), name="inexact")

# %% [markdown]
# What to see: blue follows the dashed floor, with few entries already. Orange needs many, and then does not know of a
# floor.
#
# Between the two lies a penalty on what sticks out of the span, with a weight $\lambda$: the features guide, and the
# entries may overrule them.

# %%
mixture = experiments.mixture(params)
plotting.show(figures.mixture(mixture), name="mixture")

# %% [markdown]
# What to see: with inexact features the best weight is in between, and smaller with more entries. With exact features
# every doubt in them costs.
#
# ## Rows without an entry
#
# A tenth of the rows is never seen, as with users who are new.

# %%
cold = experiments.cold(params)
plotting.show(figures.cold(cold), name="cold")

# %% [markdown]
# What to see: without features a row of which nothing was seen stays at zero, an error of one.
#
# ## What features must not be
#
# If a feature belongs to a single row, that row has to be seen $r$ times, and a sample of $m$ entries sees it $m/n$
# times. The size is back.

# %%
coherent = experiments.coherent(params)
print(f"{coherent.m} entries\n   n   features spread out: succeed, coherence   private ones: succeed, coherence")
for row in zip(coherent.n, coherent.spread, coherent.coherence_spread, coherent.private, coherent.coherence_private,
               strict=True):  # fmt: skip
    print("{:4d} {:29.0%} {:11.0f} {:22.0%} {:11.0f}".format(*row))

# %% [markdown]
# ## Ratings
#
# Half of the ratings is put aside, and the features of users and films come from there; the other half is the matrix to
# be completed. Rank, ridge and weight are chosen on a quarter of the ratings that a method may see, and a tenth of all
# ratings is for the test.

# %%
films = experiments.films(params)
print(films.described)
plotting.show(figures.films(films), name="films")

# %% [markdown]
# What to see: features pay where ratings are few, and the lead melts as more come in. Random features, as many, are
# worth nothing: it is what they say that helps, and not that there are few of them.

# %%
print(f"{'ratings seen':22s}" + " ".join(f"{count:8d}" for count in films.count))
for name, values in zip(experiments.METHODS, films.rmse.mean(-1), strict=True):
    print(f"{name:22s}" + " ".join(f"{value:8.3f}" for value in values))

# %% [markdown]
# ## Verdicts

# %%
results = Results(
    thresholds=thresholds,
    unstructured=unstructured,
    spectrum=spectrum,
    convergence=convergence,
    noise=noise,
    inexact=inexact,
    mixture=mixture,
    cold=cold,
    coherent=coherent,
    films=films,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
