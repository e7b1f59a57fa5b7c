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
# # Lab: weight decay at the edge of stability
#
# This notebook reruns what [the chapter](../book/weight-decay-stability.md) derives: what weight decay does to the
# *sharpness* $S$, the largest eigenvalue of the Hessian of the loss, and through it to the stability of training. Two
# small networks without biases, an MLP and a CNN, learn the same few digits with the same step size $\eta$ and the same
# decay $\lambda$, by gradient descent on the whole training set:
#
# $$\theta\leftarrow\theta-\eta\,(\nabla L(\theta)+\lambda\theta).$$

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
dataset = None  # images: digits, fashion-mini
n_samples = None  # training samples of each seed: an integer from 20 to 1000
label_noise = None  # share of wrong labels: a number from 0 to 0.9
lr = None  # step size η: a number from 0.1 to 4
lam = None  # weight decay λ at which architectures and filters are compared: a number from 1e-05 to 0.1
lams_mlp = None  # further decays of the MLP: a list of 1 to 12, each a number from 1e-05 to 0.1
lams_cnn = None  # further decays of the CNN: a list of 1 to 12, each a number from 1e-05 to 0.1
steps_mlp = None  # steps of the MLP: an integer from 100 to 20000
steps_cnn = None  # steps of the CNN: an integer from 100 to 20000
width = None  # width of the MLP's hidden layers: an integer from 4 to 256
depth = None  # layers of the MLP: an integer from 2 to 6
channels = None  # channels of the CNN's first convolution; the second has twice as many: an integer from 2 to 32
activation = None  # activation of MLP and CNN: relu, gelu, tanh
loss = None  # loss of MLP and CNN: mse, ce
n_seeds = None  # seeds of the MLP: an integer from 2 to 100
n_seeds_few = None  # seeds of all other runs: an integer from 2 to 100
every = None  # steps between measurements of the sharpness: an integer from 5 to 50
products = None  # Hessian-vector products of a measurement: an integer from 2 to 40
lr_below = None  # step size where sharpening is watched below the edge: a number from 0.05 to 0.5
time_below = None  # steps times step size there: a number from 5 to 300
# networks there, beside the normalized one: a list of 1 to 6, each MLP, tanh, GELU, four layers, cross-entropy, CNN
below = None
lams_below = None  # decays there, beside none: a list of 1 to 6, each a number from 1e-05 to 0.1
lrs = None  # step sizes whose plateaus are compared: a list of 2 to 6, each a number from 0.2 to 4
time_lrs = None  # steps times step size there: a number from 50 to 5000
steps_filter = None  # steps with a filtered decay: an integer from 100 to 20000
refresh = None  # steps for which a filter keeps its direction: an integer from 1 to 20
lr_kernel = None  # step size where kernels are compared: a number from 0.2 to 4
lam_kernel = None  # decay where kernels are compared: a number from 1e-05 to 0.1
steps_kernel = None  # steps of the smooth networks whose kernels are compared: an integer from 100 to 20000
n_probes = None  # test inputs on which outputs and kernels are compared: an integer from 10 to 200

# %%
import inspect

import numpy as np

from companion import plotting
from companion.chapters.weight_decay_stability import (
    Parameters,
    Results,
    alignment,
    descent,
    experiments,
    figures,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## Two architectures, one decay
#
# Without decay gradient descent sharpens until it meets the edge of stability, $S=2/\eta$, and stays there. What does
# decay do? All decays and seeds of one architecture are one batch; the step is the formula above.

# %%
print(inspect.getsource(descent.descend))

# %%
mlp = experiments.edge(params, "MLP")
cnn = experiments.edge(params, "CNN")
plotting.show(figures.glance(mlp, cnn), name="glance")

# %% [markdown]
# What to see: the black curves. The same decay takes the MLP far below the dashed edge and leaves the CNN at it. Three
# times as much (blue, right) takes the CNN below, too. Random networks are sharp, and flatten within a few steps; the
# highest starts are cut off.
#
# ## Calm at the edge
#
# A run at the edge oscillates. How much does its loss change from one step to the next?

# %%
plotting.show(figures.runs(mlp, cnn), name="runs")

# %% [markdown]
# The CNN's sharpness is the same with and without the common decay; its oscillation is not. The MLP is calmer still, for
# another reason: it is no longer at the edge.
#
# ## Progressive sharpening
#
# To first order one step changes the sharpness by $\eta(\alpha-\lambda\,\theta\cdot\nabla S)$, with $\alpha=-\nabla
# L\cdot\nabla S$. If $\theta$ and $\nabla S$ are aligned, decay slows sharpening. Far below the edge, where nothing
# oscillates, that should be all. With normalized layers the alignment is negative.

# %%
below_edge = experiments.sharpening(params)
plotting.show(figures.sharpening(below_edge), name="sharpening")

# %% [markdown]
# More decay, less sharpness, in every network, until layers are normalized: there the order of the curves is reversed.

# %%
print("median S at the end: " + "".join(f"   λ = {one:<5g}" for one in below_edge.lam))
ends = below_edge.sharpness[:, -1]
for name, values, ratio in zip(below_edge.names, ends, below_edge.ratio, strict=True):
    middle = "".join(f"{one:12.3f}" for one in np.median(values, axis=1))
    print(f"{name:20s} {middle}   alignment/S {ratio.mean():6.2f}")

# %% [markdown]
# ## How large is the alignment?
#
# For a network that is homogeneous of degree $m$ it is fixed: $2(m-1)S$ for the Gauss–Newton sharpness, and the Hessian
# adds $m\kappa$, the curvature of the outputs along the top eigenvector, weighed with the labels. Random networks, double
# precision:

# %%
identity = experiments.identity(params)
plotting.show(figures.alignment(identity), name="alignment")

# %% [markdown]
# Points on dashes, squares under crosses, but for tanh.
#
# ## Two forces
#
# Below the edge nothing but these two forces acts on the sharpness, so a plateau is where they balance. At the edge the
# oscillation pushes the sharpness down as well, and sharpening has to be the stronger force. Both are measured without
# their parts along the top eigenvector, where the iterates jump.

# %%
print(inspect.getsource(alignment.forces))

# %%
plotting.show(figures.law(mlp, cnn), name="law")

# %% [markdown]
# One law for both: whoever is clearly below the edge stands on the dashed line; whoever is at the edge stands to the
# right. What differs between the architectures is how fast they sharpen: the decay that would balance it, in numbers.

# %%
for name, edge in (("MLP", mlp), ("CNN", cnn)):
    for row, one in enumerate(edge.lam):
        plateau, critical = np.median(edge.plateau[row]), np.median(edge.critical[row])
        print(f"{name}  λ = {one:<6g} plateau {plateau:.3f} of 2/η,", end="   ")
        print(f"sharpening balanced by λ = {critical:8.5f}")

# %% [markdown]
# The rows without decay are noise: an interpolating MLP hardly drifts at the edge.
#
# A balance of these two forces does not know the step size. The edge does.

# %%
plateaus = experiments.plateaus(params)
plotting.show(figures.plateaus(plateaus), name="plateaus")

# %% [markdown]
# Level with decay, until the edge comes down to it; without decay the points follow the edge.
#
# ## The cause
#
# Is it really the part of the decay along $\nabla S$? Take that part out, in every step, or keep nothing else.

# %%
print(inspect.getsource(descent.filtered_decay))

# %%
filtered = experiments.filtered(params, mlp)
plotting.show(figures.filters(filtered), name="filters")

# %% [markdown]
# What to see, left: without the part along the sharpness gradient (red) the edge returns; that part alone (green) does
# what the whole decay does. Right, the control: a random direction at the same angle to $\theta$, so that as much of the
# decay is taken out. Now red stays below the edge, and green goes where the MLP goes without decay.
#
# ## A model of two numbers
#
# Displacement $x$ along the top eigenvector and sharpness $y$ above the edge. Decay enters through $c=2(D-1)$.

# %%
reduced = experiments.reduced(params)
plotting.show(figures.reduced(reduced), name="map")

# %% [markdown]
# Left: decay damps the cycles, and beyond $\lambda_c$ the sharpness leaves the edge. Right: averages over orbits lie on
# straight lines and on $\alpha/(\lambda c)$.
#
# ## Function space
#
# Does the calm reach outputs and tangent kernel? The relative change in one step, on test inputs.

# %%
smooth = experiments.smooth(params)
plotting.show(figures.functions(mlp, cnn, filtered, smooth), name="functions")

# %% [markdown]
# Left: outputs calm down by a factor of ten, and again it is the part along $\nabla S$. Right: the kernel of a smooth MLP
# comes to rest; a ReLU MLP's hardly does, since samples sit on kinks.
#
# ## Verdicts

# %%
results = Results(
    sharpening=below_edge,
    mlp=mlp,
    cnn=cnn,
    plateaus=plateaus,
    identity=identity,
    filtered=filtered,
    reduced=reduced,
    smooth=smooth,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
