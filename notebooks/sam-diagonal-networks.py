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
# # Lab: minor first, major last
#
# Sharpness-aware minimization (SAM) on linear diagonal networks, rerun: what it converges to at depth 1 and 2, what it does on
# the way, why, and how far that reaches. The theorems and their proofs are in [the chapter](../book/sam-diagonal-networks.md).

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
# example μ of the amplification runs, strictly increasing: a list of 2 to 64, each a number of at most 10 above 0
mu = None
rho = None  # radius ρ of the ℓ₂-SAM perturbation: a number from 0.001 to 1
scales = None  # initialization scales α/ρ shown one by one, increasing: a list of 1 to 40, each a number from 0.05 to 4
grid = None  # initialization scales of the phase diagram: an integer from 2 to 1000
lr = None  # step size η of the amplification runs; ημ_d at most 0.05: a number of at most 0.05 above 0
steps = None  # steps of the amplification runs: an integer from 100 to 1000000
record_every = None  # steps between records of the amplification runs: an integer from 1 to 1000
random_problems = None  # random problems for the vertex rule: an integer from 1 to 1000
dimensions = None  # dimensions of the sweep, μ evenly spaced on [1, 4]: a list of 1 to 8, each an integer from 2 to 64
radii = None  # radii ρ of the sweep: a list of 1 to 8, each a number from 0.001 to 1
datasets = None  # random separable data sets at depth 1 and at depth 2: an integer from 1 to 500
rho_depth_one = None  # radius ρ at depth 1: a number from 0 to 2
steps_depth_one = None  # loss-normalized steps at depth 1: an integer from 100 to 1000000
steps_depth_two = None  # loss-normalized steps at depth 2 on several examples: an integer from 100 to 30000
mu_gates = None  # example μ of the gate runs, increasing: a list of 2 to 6, each a number of at most 10 above 0
rho_linf = None  # radius ρ of ℓ∞-SAM in the gate runs: a number from 0.05 to 1
digit_pairs = None  # pairs of digits to tell apart: a list of 1 to 45, each a list of 2, each an integer from 0 to 9
# digits: initial vertex as a fraction of the strongest feature, increasing: a list of 2 to 20, each a number of at most
# 1 above 0
vertex_fractions = None
rho_digits = None  # radius ρ on digits: a number from 0.01 to 1
steps_digits = None  # steps on digits (step size 0.2): an integer from 100 to 100000
mlp_seeds = None  # initial weights of the ReLU networks: an integer from 2 to 100
run_cnn = None  # whether to train the convolutional networks (minutes on a CPU): true or false
cnn_seeds = None  # initial weights of the convolutional networks: an integer from 2 to 100

# %%
from companion import plotting
from companion.chapters.sam_diagonal_networks import Parameters, Results, experiments, figures, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## At a glance
#
# One example $\mu$, two layers, plain steps in *physical* time. Every method starts from every scale $\alpha/\rho$ in one batch;
# the colour is the coordinate that leads the predictor.

# %%
amplification = experiments.amplification(params)
plotting.show(figures.phase(amplification), name="glance")

# %% [markdown]
# Gradient descent (GD) has one colour. $\ell_2$-SAM has bands: minor coordinates at small scales and early steps, the largest
# one at large scales. The dashed borders come from a scalar differential equation alone, and runs below the critical scale
# collapse.
#
# ## The algorithm, for a batch of networks
#
# A network of depth $L$ has layers $w^{(1)},\dots,w^{(L)}\in\mathbb R^d$ and the predictor
# $\beta=w^{(1)}\odot\cdots\odot w^{(L)}$. With signed examples $z_i=y_ix_i$ its gradient is a formula, so thousands of networks
# fit in one array; one call below serves GD, $\ell_2$-SAM, $\ell_\infty$-SAM and the un-normalized variant,
# each row with its own radius. These arrays are tiny and the steps sequential, so a CPU beats a GPU at them; only the digits,
# the wide sweep of the paper profile and the networks that are not diagonal live on `device`.

# %%
import inspect

from companion.chapters.sam_diagonal_networks import sam

print(inspect.getsource(sam.perturbation))
print(inspect.getsource(sam.sam_gradient))

# %% [markdown]
# ## Depth 1: SAM goes where GD goes
#
# For a plain linear model both SAMs should reach the $\ell_2$ max-margin direction, whatever $\rho$ and the start. In
# loss-normalized steps (divide by the mean of $|\ell'_i|$, a change of clock) the missing margin falls like one over the step.

# %%
depth_one = experiments.depth_one(params)
plotting.show(figures.depth_one(depth_one), name="depth-one")

# %% [markdown]
# Left, the three curves are one; sign-GD, which maximizes another margin, stops at a plateau: the check would notice another
# geometry. Right, the runs are not the same: on one example either SAM comes to lead GD by a margin of $\rho$ times the dual norm
# of $\mu$, on the predicted (dashed) curve.
#
# ## Depth 2 and 3: the gates of ℓ∞-SAM
#
# On one example $\mu$ with $\ell_\infty$-SAM the coordinates decouple, and each has a gate at $\rho$: a coordinate that starts
# below it dies at depth 2. Trajectories in the plane of predictors for $\mu=(1,2)$:

# %%
gates = experiments.gates(params)
plotting.show(figures.paths(gates), name="paths")

# %% [markdown]
# Under $\ell_\infty$-SAM the side of the gates on which a run starts decides where it goes; under GD every run turns to $e_2$.
#
# Which axis leads in the end, over a square of starts, by running the algorithm in rescaled time. The dashed lines are the theorem.

# %%
plotting.show(figures.winners(gates), name="winners")

# %% [markdown]
# At depth 2 GD ignores the start and $\ell_\infty$-SAM does not. At depth 3 GD has a slanted border of its own: the stark contrast
# is a statement about depth 2.
#
# ## Depth 2: the limit of ℓ₂-SAM
#
# On several examples the limit is the $\ell_1$ max-margin direction, GD's limit. The measure is the $\ell_1$ margin over its maximum
# (from a linear program), not an angle: nearly degenerate programs have good margins at large angles.

# %%
limits = experiments.limits(params)
print(
    "ℓ₂ max-margin direction, its ℓ₁ margin over the maximum:",
    [round(float(value), 2) for value in limits.ratio_l2[:6]],
)
plotting.show(figures.limits(limits), name="limits")

# %% [markdown]
# From layers that start apart GD and $\ell_2$-SAM end at the maximum on every data set, on different ways. From equal layers the
# predictor cannot turn negative, and both stop at the best that a non-negative direction has (dashed).
#
# ## On the way there: the parabola
#
# Along a run of the first figure, two clocks $s$ and $A$ fix everything:
# $\log\beta_j=\log\beta_j(0)+2\mu_js-2\rho\mu_j^2A$ is a parabola in $\mu_j$, and the leader is the coordinate nearest to its
# vertex $m=s/(2\rho A)$.

# %%
plotting.show(figures.parabola(amplification), name="parabola")

# %% [markdown]
# The dots are the run, the dashed curves the two clocks put into the formula. As the top moves right it hands the lead from one
# coordinate to the next, each time at a midpoint. Now the shares of the coordinates, from several scales:

# %%
plotting.show(figures.heat(amplification), name="heat")

# %% [markdown]
# Small scales start low and may even step down before they climb; some have not reached the largest coordinate at the end of
# the run, although the limit says that they will.
#
# ## The cause: the factor 1/‖∇L‖
#
# The same start, five perturbations.

# %%
plotting.show(figures.ablation(amplification), name="ablation")

# %% [markdown]
# Without the normalization the same $\rho$ changes nothing visible. A radius of 1 does invert the order, but through $\rho\mu$
# being large, alike at every small scale of $\alpha$.
#
# ## Extension: other problems, uneven starts, and the collapse boundary
#
# Does the rule hold elsewhere? Random $\mu$, $\rho$ and dimensions; starts with unequal coordinates, where the parabola
# carries offsets $\log\beta_j(0)$; and a sweep over dimensions.

# %%
sweep = experiments.sweep(params)
print("random problems, uniform starts, vertex:           ", f"{sweep.agreement_random.min():.3f}")
print("random problems, uneven starts, parabola + offsets:", f"{sweep.agreement_uneven.min():.3f}")
print("random problems, uneven starts, vertex alone:      ", f"{sweep.agreement_uneven_plain.min():.3f}")
for d, radius, share, monotone in zip(sweep.dimensions, sweep.radii, sweep.agreement, sweep.monotone, strict=True):
    print(f"sweep d = {d:2d}, ρ = {radius:g}: agreement {share:.3f}, index monotone in α: {monotone}")

# %% [markdown]
# Below a critical scale $\alpha_c$ the flow collapses to zero. Bisection on the scalar equation gives $\alpha_c$; the algorithm's
# own boundary should approach it as the step size falls.

# %%
boundary = experiments.boundary(params)
plotting.show(figures.boundary(boundary), name="boundary")

# %% [markdown]
# The distance falls in proportion to the step size, as it must for a method of first order.
#
# ## Many examples, and digits
#
# Gaussian examples around $(1,2)$: the smaller coordinate first.

# %%
plane = experiments.plane(params)
plotting.show(figures.plane_data(plane), name="plane-data")

# %% [markdown]
# GD prefers the larger coordinate from the first step on; $\ell_2$-SAM from small scales gives it away before it takes it back.
#
# Pairs of digits (8×8 pixels), depth-2 networks. A pixel's strength $m_j$ is the absolute mean of $y_ix_{ij}$; the effective
# strength of a predictor is $E=\sum_j\beta_jm_j/\sum_j\beta_j$. Plotted against the training *loss*, since SAM needs more steps.

# %%
digits = experiments.digits(params)
plotting.show(figures.digits(digits), name="digits")

# %% [markdown]
# $\ell_2$-SAM dips below its start, to weak pixels, and stays below GD at equal loss, the more so the smaller the start. At the
# dotted loss the predictors look like this:

# %%
plotting.show(figures.pixels(digits), name="pixels")

# %% [markdown]
# GD has picked the strongest pixels, SAM from a small start those on the rim and in the gaps of the strokes.
#
# ## Where it ends: networks that are not diagonal
#
# A bias-free two-layer ReLU network on the same digits, measured by its mean absolute input gradients, GD and $\ell_2$-SAM from
# the same weights at equal loss; and, at the paper profile or with `run_cnn`, a small convolutional one. Where the effect carries
# over, SAM's strength is the lower one.

# %%
relu_mlp = experiments.relu_mlp(params)
cnn = experiments.cnn(params)
plotting.show(figures.networks(relu_mlp, cnn), name="networks")

# %% [markdown]
# With the default parameters the ReLU networks lie along the diagonal: the mechanism needs weights that multiply along each
# coordinate. The chapter says more.
#
# ## Verdicts

# %%
results = Results(
    depth_one=depth_one,
    gates=gates,
    limits=limits,
    amplification=amplification,
    sweep=sweep,
    boundary=boundary,
    plane=plane,
    digits=digits,
    relu_mlp=relu_mlp,
    cnn=cnn,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
