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
# # Lab: MiMuon, a mix of Muon and momentum SGD
#
# Muon replaces a momentum $M=U\Sigma V^\top$ by its orthogonal factor $UV^\top$. MiMuon does so only where a test of
# the singular values allows it, and steps along $M$ elsewhere. [The chapter](../book/mimuon.md) asks what this changes:
# how far two runs part whose data differ in one example, how much worse they are on new examples than on those they
# were trained on, how fast they converge, and whether a language model is trained as well.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
images = None  # examples of the classifiers: digits, fashion-mini
# training set sizes N, increasing; the second is looked at closely: a list of 3 to 8, each an integer from 20 to 3900
sizes = None
replicas = None  # pairs of neighbouring data sets for each N: an integer from 4 to 500
label_noise = None  # share of wrong labels, in training and test alike: a number from 0 to 0.5
eta = None  # step size η of all methods: a number from 0.001 to 0.5
beta = None  # weight β of the new gradient in the momentum: a number from 0.01 to 1
batch = None  # examples in a batch: an integer from 1 to 256
steps = None  # steps T on neighbouring data sets: an integer from 30 to 5000
tau_gap = None  # threshold τ on the smallest gap of singular values: a number from 1e-08 to 100
tau_norm = None  # threshold τ on the Frobenius norm: a number from 1e-08 to 100
tau_sigma = None  # threshold τ on the least singular value: a number from 1e-08 to 100
tau_clip = None  # level τ at which the spectrum is clipped: a number from 1e-08 to 100
eta_matched = None  # step size at which SGD reaches MiMuon's training loss: a number from 0.001 to 10
net_sizes = None  # training set sizes of the network: a list of 1 to 4, each an integer from 20 to 3900
width = None  # width of the network's two hidden layers: an integer from 4 to 256
net_replicas = None  # networks for each size and method: an integer from 2 to 200
net_steps = None  # steps of training the network: an integer from 20 to 5000
net_batch = None  # examples in a batch there: an integer from 1 to 256
net_tau_gap = None  # threshold τ on the gap there: a number from 1e-08 to 100
net_tau_norm = None  # threshold τ on the norm there: a number from 1e-08 to 100
net_eta_matched = None  # step size at which SGD reaches MiMuon's training loss there: a number from 0.001 to 10
# numbers of steps T at which convergence is compared, increasing: a list of 3 to 5, each an integer from 50 to 100000
horizons = None
rate_replicas = None  # runs for each of them: an integer from 2 to 512
rate_eta = None  # η₀ of the step size η₀T^(−3/4): a number from 0.1 to 10
lm_steps = None  # steps of training the language models: an integer from 20 to 20000
lm_batch = None  # windows in a batch: an integer from 1 to 256
lm_width = None  # width of the language models, a multiple of 4: an integer from 16 to 512, a multiple of 4
lm_blocks = None  # blocks of the language models: an integer from 1 to 8
lm_context = None  # symbols that they see: an integer from 8 to 256
# settings tried with each optimizer, of a list of five; the best on validation text is kept: an integer from 1 to 5
lm_trials = None

# %%
import inspect

import numpy as np

from companion import plotting
from companion.chapters.mimuon import Parameters, Results, experiments, figures, neighbours, rule, spectrum, verify
from companion.chapters.mimuon.experiments.language import TRIALS
from companion.chapters.mimuon.experiments.linear import METHODS
from companion.chapters.mimuon.experiments.networks import LAYERS

params = Parameters.of(globals())
params

# %% [markdown]
# ## The rule
#
# $M_t=\beta g_t+(1-\beta)M_{t-1}$, where $\beta$ weighs the *new* gradient, and $W_t=W_{t-1}-\eta D(M_t)$. Three tests
# decide whether $D(M)$ is $UV^\top$ or $M$ itself; minima are over the nonzero singular values.

# %%
print(inspect.getsource(rule.passes))

# %% [markdown]
# Nothing of this needs a singular value decomposition. On a wide matrix the small Gram matrix $MM^\top$ holds the
# singular values, and Newton-Schulz steps are polynomials in it.

# %%
print(inspect.getsource(spectrum.newton_schulz))

# %% [markdown]
# ## One example out of N
#
# Pairs of training sets that differ in one example; both runs of a pair start at zero and draw the same places. A
# linear classifier of images, a share of the labels wrong in training and test alike. Everything that was not trained
# on is the test set.

# %%
print(inspect.getsource(neighbours.train))

# %%
near = experiments.neighbours(params)
plotting.show(figures.glance(near), name="glance")

# %% [markdown]
# What to see: on the left all curves fall about like $1/N$, Muon's highest. On the right, too, with one exception: the
# gap test flattens out. Its two runs take different branches again and again, and then step apart however close they
# were. The clipped spectrum, which has no branches, keeps the slope.

# %%
print(f"N = {near.sizes[1]}, after {len(near.kappa)} steps")
print(f"{'':24s} training loss  held-out loss  error   distance  orthogonalized  branches differ")
for k, name in enumerate(METHODS):
    row = (near.train[k, 1].mean(), near.test[k, 1].mean(), near.error[k, 1].mean(), near.distance[k, 1].mean())
    print(f"{name:24s} {row[0]:13.3f} {row[1]:14.3f} {row[2]:6.3f} {row[3]:10.3f} {near.share[k, 1]:15.1%}"
          f" {near.disagree[k, 1]:16.1%}")  # fmt: skip

# %% [markdown]
# The same at all sizes, with two more methods: a test of the least singular value, and momentum SGD with the larger
# step that brings it to the training loss of the gap rule.

# %%
plotting.show(figures.generalization(near), name="generalization")

# %% [markdown]
# The gap rule cannot be told from SGD with the larger step. Is that a coincidence? Let thresholds and step sizes slide.

# %%
slider = experiments.slider(params)
plotting.show(figures.slider(slider), name="slider")

# %% [markdown]
# All methods are on one curve, Muon with smaller steps too: what differs at equal step size and time is how far the
# training set is fitted.
#
# ## What a small singular value does
#
# How far does the orthogonal factor move when its matrix moves? Pairs of matrices, spectra with a least value and an
# equal gap between neighbours, the worst direction.

# %%
lipschitz = experiments.lipschitz(params)
plotting.show(figures.lipschitz(lipschitz), name="lipschitz")

# %% [markdown]
# Rectangular matrices: one over the least singular value, whatever the gap. Square ones are protected by a gap as long
# as the move is small; the crosses are pairs on two sides of a singular matrix, and nothing protects them.
#
# With the least singular values that Muon's momenta really have, a bound by $1/\kappa$ in every step explodes. The runs
# do not.

# %%
plotting.show(figures.bounds(near), name="bounds")

# %% [markdown]
# Distances grow about linearly in time, below the bound by the length of the steps, which knows no singular value.
#
# Move one example by a tiny amount, and see how the trained weights react.

# %%
sensitivity = experiments.sensitivity(params)
plotting.show(figures.sensitivity(sensitivity), name="sensitivity")

# %% [markdown]
# MiMuon reacts less than Muon, SGD least of all. The outlier is Muon with *all* of $UV^\top$: the columns of a softmax
# gradient sum to zero, so one singular value vanishes, and its singular vectors are what rounding makes of them.
#
# ## A small network

# %%
networks = experiments.networks(params)
plotting.show(figures.networks(networks), name="networks")

# %% [markdown]
# Muon is far above the others, in loss and in error. Again SGD with a larger step does as well as MiMuon.

# %%
plotting.show(figures.spectra(networks, near, params.net_tau_gap), name="spectra")

# %% [markdown]
# In hidden layers the smallest gap hardly ever reaches the threshold: there the gap rule *is* momentum SGD, and the
# head alone is orthogonalized. On the right: tests compare with a fixed number, gradients shrink, so MiMuon is Muon
# early and SGD late.

# %%
print(f"{'':14s} smallest gap / norm  mean gap / norm  smallest, Gaussian entries")
for k, layer in enumerate(LAYERS):
    print(f"{layer:14s} {np.median(networks.smallest[k]):19.1e} {np.median(networks.mean[k]):16.3f}"
          f" {networks.gaussian[k]:27.1e}")  # fmt: skip

# %% [markdown]
# ## Convergence
#
# $F(W)=\frac12\|W\|_F^2+a\sum_{ij}(1-\cos\omega W_{ij})$ with $a\omega^2>1$: smooth, not convex, with noisy gradients.

# %%
convergence = experiments.convergence(params)
plotting.show(figures.convergence(convergence), name="convergence")

# %% [markdown]
# Left: MiMuon is no slower than Muon, and both follow the slope $-1/4$ or better; with fixed steps Muon stalls. The
# theorem speaks of such long steps only for astronomically many of them; for the small steps on the right it speaks, and
# its bound holds.

# %%
print("share of orthogonalized steps")
print(f"{'':14s}" + "".join(f"  T = {T:<6d}" for T in convergence.horizons))
for name, shares in zip(("Muon", "gap test", "norm test"), convergence.share, strict=True):
    print(f"{name:14s}" + "".join(f"{share:12.1%}" for share in shares))

# %% [markdown]
# ## A language model
#
# A small transformer on the sources of Python's standard library. The blocks' matrices are trained by each optimizer,
# everything else by Adam; step sizes fall linearly to zero. Each optimizer had five trials, settings that
# `experiments/language.py` lists.

# %%
language = experiments.language(params)
print(language.source)
plotting.show(figures.language(language), name="language")

# %% [markdown]
# Muon and the two MiMuon end together, SGD and Adam above them.

# %%
print(f"{'':18s} kept: step size, threshold   validation loss   test loss")
for k, name in enumerate(language.methods):
    lr, tau = TRIALS[name][language.kept[k]]
    print(f"{name:18s} {lr:15g} {tau:11g} {language.validation[k].min():17.3f} {language.test[k]:11.3f}")

# %% [markdown]
# ## Verdicts

# %%
results = Results(
    lipschitz=lipschitz,
    neighbours=near,
    sensitivity=sensitivity,
    slider=slider,
    networks=networks,
    convergence=convergence,
    language=language,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
