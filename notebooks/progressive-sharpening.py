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
# # Lab: progressive sharpening with one neuron per layer
#
# This notebook reruns [the chapter](../book/progressive-sharpening.md). The sharpness, the largest eigenvalue of the
# loss's Hessian, climbs while a network is trained. How far? In a deep linear network with one neuron in each layer
# the answer is a formula, and the formula says what the data set, the depth, the batch size and the step size do.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
classes = None  # the two digits that the minimalist model tells apart: a list of 2, each an integer from 0 to 9
# depths D of the minimalist model; the first two are also trained with small batches: a list of 2 to 5, each an integer
# from 2 to 6
depths = None
n_samples = None  # images N in a data set that the minimalist model is trained on: an integer from 8 to 30
draws = None  # such data sets: an integer from 2 to 50
init_scale = None  # expected length of the first layer u at the start: a number from 0.001 to 0.3
v0 = None  # the other layers at the start: a number from 0.8 to 1.5
beyond = None  # 2/η relative to the limit sharpness, where the edge comes first: a number from 0.5 to 0.9
below = None  # 2/η relative to the limit sharpness, where the edge is never reached: a number from 1.2 to 4
n_steps = None  # steps of gradient descent on the minimalist model: an integer from 500 to 200000
easy = None  # factor on the labels that makes a data set easy: a number from 0.01 to 0.2
# batch sizes B below N; the full batch is always run beside them: a list of 1 to 4, each an integer from 1 to 29
batch_sizes = None
# step sizes η of the small batches, in units of one over the limit sharpness: a list of 2 to 4, each a number from 0.1
# to 1.2
step_fracs = None
sgd_steps = None  # steps with small batches: an integer from 120 to 100000
replicas = None  # runs of each small batch: an integer from 1 to 32
sizes = None  # sizes N of the data sets in closed form: a list of 2 to 8, each an integer from 2 to 40
data_sets = None  # data sets of each size in closed form: an integer from 2 to 2000
# shares of labels with the wrong sign; the largest counts: a list of 2 to 8, each a number from 0 to 0.5
flip_rates = None
cases = None  # random imbalances on which equal and unequal layers are compared: an integer from 100 to 1000000
dataset = None  # images of the nonlinear networks: digits, fashion-mini, fashion-mnist, mnist, cifar10
mlp_classes = None  # their two classes: a list of 2, each an integer from 0 to 9
# depths of these networks, all layers counted; the middle one is trained with small batches: a list of 2 to 4, each an
# integer from 2 to 6
mlp_depths = None
mlp_width = None  # their width: an integer from 8 to 2048
mlp_samples = None  # sizes N of their data sets: a list of 2 to 5, each an integer from 4 to 800
mlp_draws = None  # data sets of each size, with a network each: an integer from 2 to 20
label_flip = None  # share of labels with the wrong sign in the difficult ones: a number from 0.2 to 0.5
mlp_lr = None  # step size η of the networks; a third of it is run, too: a number from 0.001 to 0.05
mlp_batch = None  # a batch size between one and the full batch: an integer from 2 to 400
mlp_loss = None  # share of the loss of a zero output at which their training stops: a number from 0.0001 to 0.05
mlp_steps = None  # largest number of steps of a network: an integer from 500 to 1000000

# %%
import inspect

import numpy as np

from companion import plotting
from companion.chapters.progressive_sharpening import (
    Parameters,
    Results,
    experiments,
    figures,
    limit,
    networks,
    neuron,
    verify,
)

params = Parameters.of(globals())
params

# %% [markdown]
# ## At a glance
#
# Four experiments that the rest of the lab takes apart.

# %%
edge = experiments.edge(params)
growth = experiments.growth(params)
imbalance = experiments.imbalance(params)
network_growth = experiments.network_growth(params)
plotting.show(figures.glance(edge, growth, imbalance, network_growth), name="glance")

# %% [markdown]
# What to see: the sharpness climbs to a limit that is known before training, unless $2/\eta$ lies lower (upper left).
# The limit is a power of the data's difficulty $Q$, dashed, with an exponent that grows with the depth (upper right).
# Large steps and small batches lower it (lower left). Tanh networks on images, for which there is no formula, show the
# same tendencies (lower right).
#
# ## The model
#
# $f(x)=(x^\top u)\,v_1\cdots v_{D-1}$ with squared loss. Two classes of digits are the data, with labels $\pm1$. The
# whole Hessian is a few lines, so nothing about the sharpness is estimated.

# %%
print(inspect.getsource(neuron.gradient))
print(inspect.getsource(neuron.hessian))

# %% [markdown]
# ## The climb, and the edge
#
# Question: does so small a model show what large networks show? Three groups of runs from one start: small steps, with
# $2/\eta$ above the limit of gradient flow; large steps, with $2/\eta$ below it; small steps and short labels.

# %%
plotting.show(figures.edge(edge), name="edge")

# %% [markdown]
# What to see: with small steps the sharpness multiplies and ends on the dashed line. With large steps it overshoots
# $2/\eta$, swings around it and stays, while the loss goes on falling. Short labels are learned without any climb.

# %%
late = edge.sharpness[..., -20:].mean(-1)
print("depth  group    sharpness: start     late    2/eta   limit of the flow")
for row, D in enumerate(edge.depths):
    for group, begin, end, bound, flow_limit in zip(
        edge.groups, edge.sharpness[:, row, 0, 0], late[:, row, 0], edge.edge[:, row, 0], edge.predicted[:, row, 0, 0],
        strict=True,
    ):  # fmt: skip
        print(f"{D:5d}  {group:8s} {begin:16.2f} {end:8.2f} {bound:8.2f} {flow_limit:19.2f}")

# %% [markdown]
# ## Where gradient flow ends
#
# The imbalances $C_i=\|u\|^2-v_i^2$ never change along gradient flow. With the least norm of an interpolator,
# $Q=\|X^+y\|$, they decide the end: one equation for one number, solved by Newton's method from above.

# %%
print(inspect.getsource(limit.limit))

# %% [markdown]
# The test is gradient flow itself, by a stiff solver in all coordinates, from starts with unequal layers of both signs
# and with a part of $u$ that no image sees.

# %%
flow = experiments.flow(params)
plotting.show(figures.limits(flow), name="limits")

# %%
print("depth   measured   closed form   balanced formula   relative error   drift of C")
for row in zip(flow.depths, flow.measured, flow.predicted, flow.balanced, np.abs(flow.predicted / flow.measured - 1),
               flow.drift, strict=True):  # fmt: skip
    print("{:5d} {:10.4f} {:13.4f} {:18.4f} {:16.1e} {:12.1e}".format(*row))

# %% [markdown]
# What to see: dots on the diagonal, crosses far from it. The imbalance of the start matters as much as the data.
#
# ## Difficulty
#
# From a balanced start, $C_i=0$, the limit sharpness lies between $1$ and $D$ times $Q^{2-2/D}\sigma_1^2/N$. So the
# question what a data set does becomes the question what $Q$ is. We add images, and we turn the labels.

# %%
turning = experiments.turning(params)
plotting.show(figures.difficulty(growth, turning), name="difficulty")

# %% [markdown]
# What to see: left, every thin line rises, one data set each, because an interpolator of more images interpolates the
# fewer, too. Labels that five directions explain stay easy however many images there are. Right, one set of images and
# labels of one length: on the last singular vector they end more than a hundred times as sharp as on the first.

# %%
print("  N   Q, mean   S, depth", "   S, depth ".join(str(D) for D in growth.depths))
for k, N in enumerate(growth.sizes):
    means = np.exp(np.log(growth.balanced[0, :, k]).mean(-1))
    print(f"{N:3d} {np.exp(np.log(growth.Q[0, k]).mean()):9.2f} " + " ".join(f"{value:12.1f}" for value in means))

# %% [markdown]
# Wrong labels are noise, which only small directions can explain:

# %%
flips = experiments.flips(params)
plotting.show(figures.flips(flips), name="flips")

# %% [markdown]
# What to see: a tenth of wrong labels makes much of the difference. Labels that were random before lose nothing.
#
# ## Depth

# %%
plotting.show(figures.depth(growth), name="depth")

# %% [markdown]
# What to see: every red curve rises, as it must where $Q\ge1$. The same labels scaled down turn the effect around, so
# "depth sharpens" is a statement with a unit in it.
#
# ## Steps and batches
#
# Gradient flow keeps $C$; a step does not. What it adds is exactly

# %%
print(inspect.getsource(neuron.imbalance_step))

# %% [markdown]
# and never negative while $C\le0$, whatever the batch. Noise in the gradient makes it large. We measure the sharpness
# at which gradient flow *would* end from the last iterate, which does not depend on how much loss is left.

# %%
plotting.show(figures.imbalance(imbalance), name="imbalance")

# %% [markdown]
# What to see: the gain of $C$ over $\eta/B$ is close to one rising band for both depths and all batch sizes (top), and
# the limit falls with it (lower left). From the other side, a long first layer along the images' main direction, the
# same steps *lower* $C$ and can raise the limit (lower right).

# %%
negative = imbalance.predicted[0, ..., -1].mean((0, -1))
print("limit sharpness from the last iterate, mean over data sets\ndepth  eta S   B =",
      "        ".join(str(B) for B in imbalance.batches))  # fmt: skip
for row, D in enumerate(imbalance.depths):
    for k, frac in enumerate(imbalance.fracs):
        print(f"{D:5d} {frac:6.2f}   " + " ".join(f"{value:8.3f}" for value in negative[row, k]))
print("largest error of the one-step formula:", f"{imbalance.error.max():.1e}")

# %% [markdown]
# Why a growing $C$ lowers the limit:

# %%
layers = experiments.layers(params)
plotting.show(figures.layers(layers), name="layers")

# %% [markdown]
# Every curve falls up to $C=0$, which is a theorem, and here beyond. The theorem wants equal layers. With unequal ones
# it fails:

# %%
one = np.ones(1)
for C in ([-0.25, -1, -1], [0, -1, -1]):
    print(f"C = {C}: limit sharpness {float(limit.limit_sharpness(one, one, np.array(C))):.4f}")
for kind, change in zip(("unequal", "equal"), layers.change, strict=True):
    print(f"random problems, {kind} layers: largest rise of log S {change.max():.1e}")

# %% [markdown]
# ## Networks on images
#
# Tanh networks, the same two classes. All are trained to the same share of the loss, because sharpness at different
# losses cannot be compared. At that point the Hessian is the tangent kernel's $JJ^\top/N$ up to little.

# %%
print(inspect.getsource(networks.tangent_kernel))

# %%
plotting.show(figures.networks(network_growth), name="networks")

# %% [markdown]
# What to see: with noisy labels the sharpness grows with the number of images and with the depth; with clean labels
# hardly. Labels made short leave the sharpness where it started, at every depth.

# %%
print("depth    N    start    clean    noisy")
for row, D in enumerate(network_growth.depths):
    for k, N in enumerate(network_growth.sizes):
        values = (
            network_growth.start[row, k],
            network_growth.sharpness[1, row, k],
            network_growth.sharpness[0, row, k],
        )
        print(f"{D:5d} {N:4d} " + " ".join(f"{value.mean():8.2f}" for value in values))

# %% [markdown]
# Batch size and step size, at one depth with noisy labels:

# %%
noise = experiments.noise(params)
plotting.show(figures.noise(noise), name="noise")

# %% [markdown]
# What to see: noise needs both, a small batch and a large step. The full batch does not care about the step until
# $2/\eta$ is reached; then it is held there.
#
# ## Knowing it beforehand
#
# An extension. In the minimalist model $Q$ is the length of the way to the interpolator. For a network the tangent
# kernel $K$ at the start gives the same number for its linearization, $Q_K^2=(y-f)^\top K^{-1}(y-f)$.

# %%
plotting.show(figures.kernel(network_growth), name="kernel")

# %% [markdown]
# What to see: open and filled markers lie on one rising cloud for each depth. That some labels are clean and others
# noisy matters little beyond what $Q_K$ says.
#
# ## Verdicts

# %%
results = Results(
    growth=growth,
    turning=turning,
    flips=flips,
    layers=layers,
    flow=flow,
    edge=edge,
    imbalance=imbalance,
    network_growth=network_growth,
    noise=noise,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
