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

# %% tags=["parameters"]
profile = "quick"  # "quick" or "paper"
device = "auto"  # "auto", "cpu" or "cuda"
seed = 0
mu = None  # None keeps the profile's value
rho = None
scales = None
grid = None
lr = None
steps = None
record_every = None
random_problems = None
dimensions = None
radii = None
datasets = None
rho_depth_one = None
steps_depth_one = None
steps_depth_two = None
mu_gates = None
rho_linf = None
digit_pairs = None
vertex_fractions = None
rho_digits = None
steps_digits = None
mlp_seeds = None
run_cnn = None
cnn_seeds = None

# %%
from companion import plotting
from companion.chapters import sam_diagonal_networks as chapter

params = chapter.Parameters.resolve(
    profile=profile,
    device=device,
    seed=seed,
    mu=mu,
    rho=rho,
    scales=scales,
    grid=grid,
    lr=lr,
    steps=steps,
    record_every=record_every,
    random_problems=random_problems,
    dimensions=dimensions,
    radii=radii,
    datasets=datasets,
    rho_depth_one=rho_depth_one,
    steps_depth_one=steps_depth_one,
    steps_depth_two=steps_depth_two,
    mu_gates=mu_gates,
    rho_linf=rho_linf,
    digit_pairs=digit_pairs,
    vertex_fractions=vertex_fractions,
    rho_digits=rho_digits,
    steps_digits=steps_digits,
    mlp_seeds=mlp_seeds,
    run_cnn=run_cnn,
    cnn_seeds=cnn_seeds,
)
params

# %% [markdown]
# ## The algorithm, for a batch of networks
#
# A network of depth $L$ has layers $w^{(1)},\dots,w^{(L)}\in\mathbb R^d$ and the predictor
# $\beta=w^{(1)}\odot\cdots\odot w^{(L)}$. With signed examples $z_i=y_ix_i$ its gradient is a formula, so thousands of networks
# fit in one array; one call below serves gradient descent (GD), $\ell_2$-SAM, $\ell_\infty$-SAM and the un-normalized variant,
# each row with its own radius. These arrays are tiny and the steps sequential, so a CPU beats a GPU at them; only the digits,
# the wide sweep of the paper profile and the convolutional networks live on `device`.

# %%
import inspect

from companion.chapters.sam_diagonal_networks import setting

print(inspect.getsource(setting.perturbation))
print(inspect.getsource(setting.sam_gradient))

# %% [markdown]
# ## Depth 1: SAM goes where GD goes
#
# For a plain linear model both SAMs should reach the $\ell_2$ max-margin direction, whatever $\rho$ and the start. In
# loss-normalized steps (divide by the mean of $|\ell'_i|$, a change of clock) the missing margin falls like one over the step.

# %%
depth_one = chapter.depth_one(params)
plotting.show(
    chapter.figure_depth_one(depth_one),
    alt="Missing l2 margin against steps on log axes: GD, l2-SAM and linf-SAM lie on top of each other and fall with "
    "slope -1; sign-GD stays on a plateau.",
    name="depth-one",
)

# %% [markdown]
# The three curves are one. Sign-GD, which maximizes another margin, stops at a plateau: the check would notice another geometry.
#
# ## Depth 2 and 3: the gates of ℓ∞-SAM
#
# On one example $\mu$ with $\ell_\infty$-SAM the coordinates decouple, and each has a gate at $\rho$: a coordinate that starts
# below it dies. Left: trajectories in the plane of predictors for $\mu=(1,2)$.

# %%
gates = chapter.gates(params)
plotting.show(
    chapter.figure_paths(gates),
    alt="Trajectories of linf-SAM, l2-SAM and GD in the plane of predictors from four starts. Under linf-SAM they end at "
    "zero, on either axis or near the second axis, depending on the side of the dashed gates; under GD all turn to e2.",
    name="paths",
)

# %% [markdown]
# Which axis leads in the end, over a square of starts, by running the algorithm in rescaled time. The dashed lines are the theorem.

# %%
plotting.show(
    chapter.figure_winners(gates),
    alt="Four maps over the starts. linf-SAM at depth 2: a black square where both coordinates are below rho, e1 to its "
    "right, e2 above. GD at depth 2: e2 everywhere. Depth 3: slanted borders for both, as the theorem's dashed lines say.",
    name="winners",
)

# %% [markdown]
# At depth 2 GD ignores the start and $\ell_\infty$-SAM does not. At depth 3 GD has a slanted border of its own: the stark contrast
# is a statement about depth 2.
#
# ## Depth 2: the limit of ℓ₂-SAM
#
# On several examples the limit is the $\ell_1$ max-margin direction, GD's limit. The measure is the $\ell_1$ margin over its maximum
# (from a linear program), not an angle: nearly degenerate programs have good margins at large angles.

# %%
limits = chapter.limits(params)
print(
    "ℓ₂ max-margin direction, its ℓ₁ margin over the maximum:",
    [round(float(value), 2) for value in limits.ratio_l2[:6]],
)
plotting.show(
    chapter.figure_limits(limits),
    alt="l1 margin over its maximum against steps: GD and l2-SAM tend to one on every data set; linf-SAM with half of the "
    "coordinates below the gate stays far below.",
    name="limits",
)

# %% [markdown]
# ## On the way there: amplification from minor to major
#
# Now the finite-time story, in *physical* time: plain steps, the original logistic loss. Every method starts from every scale
# $\alpha/\rho$ in one batch. The colour is the coordinate that leads.

# %%
amplification = chapter.amplification(params)
plotting.show(
    chapter.figure_phase(amplification),
    alt="Two phase diagrams over steps and initialization scale; colour is the leading coordinate. GD: one colour. l2-SAM: "
    "bands from minor coordinates at small scales and early steps to the largest coordinate at large scales; dashed "
    "predicted borders run along the bands; runs below the critical scale collapse.",
    name="glance",
)

# %% [markdown]
# The dashed borders come from a scalar differential equation alone. Along a run, two clocks $s$ and $A$ fix everything:
# $\log\beta_j=\log\beta_j(0)+2\mu_js-2\rho\mu_j^2A$ is a parabola in $\mu_j$, and the leader is the coordinate nearest to its
# vertex $m=s/(2\rho A)$.

# %%
plotting.show(
    chapter.figure_parabola(amplification),
    alt="Left: log beta against mu at five times, dots on dashed parabolas whose marked top moves to the right. Right: the "
    "vertex against steps, crossing the dashed midpoints between the coordinates.",
    name="parabola",
)

# %%
plotting.show(
    chapter.figure_heat(amplification),
    alt="Share of each coordinate against steps, one panel per scale. Weight moves from minor to major coordinates; dashed "
    "vertical lines mark the predicted swaps and sit where the brightest row changes.",
    name="heat",
)

# %% [markdown]
# Small scales start low and may even step down before they climb; some have not reached the largest coordinate at the end of
# the run, although the limit says that they will.
#
# ## The cause: the factor 1/‖∇L‖
#
# The same start, five perturbations. Without the normalization the same $\rho$ changes nothing visible. A radius of 1 does
# invert, but through $\rho\mu$ being large, alike at every small scale of $\alpha$.

# %%
plotting.show(
    chapter.figure_ablation(amplification),
    alt="Shares of the coordinates against steps under GD, l2-SAM, linf-SAM, un-normalized SAM and un-normalized SAM with "
    "radius 1, from the same start.",
    name="ablation",
)

# %% [markdown]
# ## Extension: other problems, uneven starts, and the collapse boundary
#
# Does the rule hold elsewhere? Random $\mu$, $\rho$ and dimensions; starts with unequal coordinates, where the parabola
# carries offsets $\log\beta_j(0)$; and a sweep over dimensions.

# %%
sweep = chapter.sweep(params)
print("random problems, uniform starts, vertex:           ", f"{sweep.agreement_random.min():.3f}")
print("random problems, uneven starts, parabola + offsets:", f"{sweep.agreement_uneven.min():.3f}")
print("random problems, uneven starts, vertex alone:      ", f"{sweep.agreement_uneven_plain.min():.3f}")
for d, radius, share, monotone in zip(sweep.dimensions, sweep.radii, sweep.agreement, sweep.monotone, strict=True):
    print(f"sweep d = {d:2d}, ρ = {radius:g}: agreement {share:.3f}, index monotone in α: {monotone}")

# %% [markdown]
# Below a critical scale $\alpha_c$ the flow collapses to zero. Bisection on the scalar equation gives $\alpha_c$; the algorithm's
# own boundary should approach it as the step size falls.

# %%
boundary = chapter.boundary(params)
plotting.show(
    chapter.figure_boundary(boundary),
    alt="Collapse boundary of discrete SAM over the critical scale against the step size: three points on a line that ends at one.",
    name="boundary",
)

# %% [markdown]
# ## Many examples, and digits
#
# Gaussian examples around $(1,2)$: the smaller coordinate first.

# %%
plane = chapter.plane(params)
plotting.show(
    chapter.figure_plane_data(plane),
    alt="Share of the larger coordinate against steps: GD rises at once; l2-SAM from small scales dips first, the deeper the "
    "smaller the scale, then rises.",
    name="plane-data",
)

# %% [markdown]
# Pairs of digits (8×8 pixels), depth-2 networks. A pixel's strength $m_j$ is the absolute mean of $y_ix_{ij}$; the effective
# strength of a predictor is $E=\sum_j\beta_jm_j/\sum_j\beta_j$. Plotted against the training *loss*, since SAM needs more steps.

# %%
digits = chapter.digits(params)
plotting.show(
    chapter.figure_digits(digits),
    alt="Effective pixel strength against falling training loss for pairs of digits: GD rises at once; l2-SAM dips below one, "
    "then rises, and stays below GD, the more so the smaller the start.",
    name="digits",
)

# %%
plotting.show(
    chapter.figure_pixels(digits),
    alt="8x8 maps at equal loss: pixel strength, GD's predictor on the strongest pixels, SAM's from a small start on weak and "
    "border pixels, SAM's from a larger start nearer to the strong ones.",
    name="pixels",
)

# %% [markdown]
# ## Where it ends: networks that are not diagonal
#
# A bias-free two-layer ReLU network on the same digits, measured by its mean absolute input gradients, GD and $\ell_2$-SAM from
# the same weights at equal loss. If the effect carried over, SAM's strength would be the lower one.

# %%
relu_mlp = chapter.relu_mlp(params)
for target, (median, lower) in zip(relu_mlp.targets, relu_mlp.comparison(), strict=True):
    print(f"ReLU network at loss {target}: SAM / GD strength, median {median:.3f}, lower in {lower:.0%} of runs")
cnn = chapter.cnn(params)
if cnn is None:
    print("convolutional networks: not run (run_cnn = True, or the paper profile)")
else:
    for target, (median, lower) in zip(cnn.targets, cnn.comparison(), strict=True):
        print(f"convolutional at loss {target}: SAM / GD strength, median {median:.3f}, lower in {lower:.0%} of runs")

# %% [markdown]
# With the default parameters the ReLU network shows no such effect: the mechanism needs weights that multiply along each
# coordinate. The chapter says more.
#
# ## Verdicts

# %%
results = chapter.Results(
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
verdicts = chapter.verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
