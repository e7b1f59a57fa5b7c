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
# # Lab: where Adam goes, one sample at a time
#
# This notebook reruns what [the chapter](../book/incremental-adam.md) proves. Logistic regression on separable data has
# no minimizer: the weights grow for ever, and an optimizer shows its character in the *direction* in which they grow.
# Full-batch Adam goes to the $\ell_\infty$-max-margin classifier. With one sample a step it goes elsewhere, and a fixed
# point computed from the data alone says where.
#
# For a direction $w$ and the largest margins $\gamma_p$ we look at
#
# $$r_p(w)=\frac{\min_ix_i^\top w}{\lVert w\rVert_p\,\gamma_p}\le1,\qquad p=2,\infty,$$
#
# with $r_p=1$ exactly at a max-margin direction. Labels are absorbed into the samples $x_i$.

# %% tags=["parameters"]
profile = "quick"  # "quick" or "paper"
device = "auto"  # "auto", "cpu" or "cuda"
seed = 0
datasets = None  # datasets of each kind; None keeps the profile's value
N = None  # samples
d = None  # dimensions, at least N
beta1 = None  # Adam's rate of the first moment, at most beta2
beta2 = None  # Adam's rate of the second moment
eta0 = None  # first step of Adam and SGD
t0 = None  # steps before the step size falls
decay = None  # exponent of the step size's decay
epochs = None  # epochs with one sample a step
steps = None  # steps with larger batches
batch_sizes = None  # divisors of N
beta_signum = None  # Signum's momentum
eta_signum = None  # Signum's first step
beta2_grid = None  # values of beta2 at which the epoch map is iterated
epsilons = None  # Adam's stability constants
deltas = None  # offsets of the shifted diagonal
map_sizes = None  # sample counts of the map over N and beta2
images = None  # digits of each of two classes

# %%
import inspect

from companion import plotting
from companion.chapters import incremental_adam as chapter
from companion.chapters.incremental_adam import limits, theory
from companion.chapters.incremental_adam.incremental import incremental

params = chapter.Parameters.resolve(
    profile=profile,
    device=device,
    seed=seed,
    datasets=datasets,
    N=N,
    d=d,
    beta1=beta1,
    beta2=beta2,
    eta0=eta0,
    t0=t0,
    decay=decay,
    epochs=epochs,
    steps=steps,
    batch_sizes=batch_sizes,
    beta_signum=beta_signum,
    eta_signum=eta_signum,
    beta2_grid=beta2_grid,
    epsilons=epsilons,
    deltas=deltas,
    map_sizes=map_sizes,
    images=images,
)
params

# %% [markdown]
# ## The engine
#
# A sample of margin $z$ has a gradient of size $e^{-z}$; Adam squares it, and double precision ends near $z=350$. But
# without $\epsilon$ Adam does not change if all gradients are multiplied by one constant, and neither does Signum. So
# the moments are kept in units of $e^{-\mathrm{ref}}$, with ref the least margin at the start of the epoch, and are
# rescaled when it moves. That is exact. All datasets and settings of a comparison run in one loop.

# %%
source = inspect.getsource(incremental)
print(source[source.index("    for epoch in range") :])

# %% [markdown]
# ## Same rule, same data, another limit
#
# Question: where do Adam, Signum and SGD go, and does it matter how many samples a step sees? Two kinds of data:
# independent Gaussian entries, and *scaled Rademacher* data, random signs times one scale for each sample.

# %%
runs = chapter.runs(params)
plotting.show(
    chapter.figure_margins(runs),
    alt="Normalized margins over the steps for two kinds of data. Full-batch Adam's infinity-norm margin rises to one "
    "while its 2-norm margin stays low; with one sample a step the infinity-norm margin stays low and the 2-norm margin "
    "rises, to one on scaled Rademacher data and to just below one on Gaussian data.",
    name="margins",
)

# %% [markdown]
# What to see: on scaled Rademacher data the two batch sizes go to two different max-margin classifiers. On Gaussian data
# one sample a step comes close to $\ell_2$ and stops short of it. The shortfall is real, and explained below.

# %%
print("last normalized margins, mean over the datasets   Gaussian        scaled Rademacher")
rows = [(f"Adam, batch {b}", curve) for b, curve in zip(runs.batches, runs.adam, strict=True)]
rows += [("Adam, reshuffled", runs.sampled[0]), ("Adam, with replacement", runs.sampled[1])]
rows += [(f"Signum, batch {b}", curve) for b, curve in zip(runs.batches, runs.signum, strict=True)]
rows += [("signSGD, batch 1", runs.sign_sgd), ("SGD, batch 1", runs.sgd[0])]
for name, curve in rows:
    shown = "     ".join(f"r2 {curve.r2[-1, k].mean():.3f} rinf {curve.rinf[-1, k].mean():.3f}" for k in runs.kinds)
    print(f"{name:26s} {shown}")

# %% [markdown]
# ## What epsilon does
#
# All of this is about $\epsilon=0$. Frameworks add $\epsilon=10^{-8}$ to the denominator, and on separable data the
# gradients fall below any $\epsilon$. Then $\sqrt{v}$ no longer counts, the update is $m/\epsilon$, and that is
# gradient descent with momentum. The engine runs this case too, without underflow.

# %%
epsilon = chapter.epsilon(params)
plotting.show(
    chapter.figure_epsilon(epsilon),
    alt="Normalized margins of full-batch Adam over the steps. Without epsilon the infinity-norm margin rises to the "
    "end; with every positive epsilon it turns and falls soon after a dot that marks where gradients are below epsilon, "
    "while the 2-norm margin rises.",
    name="epsilon",
)

# %% [markdown]
# What to see: the dots mark where the gradient's largest entry has fallen below $\epsilon$. From there on the curves part
# from $\epsilon=0$: the bias of Adam in a framework is not that of the theorem, unless training stops before.

# %% [markdown]
# ## One epoch is one step of a map
#
# Freeze the weights over the memory of the averages. Then an epoch of incremental Adam moves them by $-\eta\,C$ times
#
# $$\sum_i\frac{\sum_j\beta_1^{(i-j)\bmod N}\nabla L_j}{\sqrt{\sum_j\beta_2^{(i-j)\bmod N}(\nabla L_j)^2}}.$$
#
# In the denominator stands a sum of squares, not the square of a sum.

# %%
print(inspect.getsource(theory.epoch_map))
epoch_map = chapter.epoch_map(params)
plotting.show(
    chapter.figure_epoch_map(epoch_map),
    alt="Relative error over an epoch against the step size on log axes. The epoch map's error falls in proportion to the "
    "step size, along the dashed line; the sign of the full gradient keeps an error of more than a half.",
    name="epoch-map",
)

# %% [markdown]
# ## The dual fixed point
#
# As $\beta_2\to1$ the map becomes AdamProxy, $w\leftarrow w-\eta\,\nabla L/\sqrt{\sum_i(\nabla L_i)^2}$. In the limit the
# gradients' sizes have proportions $c$, and the update is $M(c)^{-1}\sum_ic_ix_i$ with
# $M(c)=\mathrm{diag}\sqrt{\sum_ic_i^2x_i^2}$. It must point where $w$ points, with $c_i>0$ only for the samples of least
# margin. These are the optimality conditions of a support vector machine in the metric $M(c)$, whose dual solution is
# $c$ itself.

# %%
print(inspect.getsource(theory.dual_map))
found = chapter.fixed_points(params)
plotting.show(
    chapter.figure_fixed_point(found),
    alt="Left: weights of the samples at one fixed point, unequal, around a dashed line at equal weights. Right: distances "
    "of incremental Adam's last direction from three candidates for four pairs of rates; its own fixed point is closest "
    "by far for all, AdamProxy's only for beta2 near one, the 2-norm direction for none.",
    name="fixed-point",
)

# %%
print("(beta1, beta2)    mean 1 - cos to its own fixed point    to AdamProxy's    to the 2-norm direction")
for pair, own, limit, l2 in zip(found.betas, found.own, found.limit, found.l2, strict=True):
    print(f"{pair!s:17s} {own.mean():20.1e} {limit.mean():28.1e} {l2.mean():20.1e}")
print("applications of the dual map until it moves by less than 1e-12:", found.iterations.tolist())
print("largest difference between six starts:", f"{found.spread.max():.0e}")

# %% [markdown]
# What to see: the same argument works without $\beta_2\to1$. The epoch map is $\sum_jc_jS_j(c)x_j$ with a diagonal matrix
# $S_j$ for each sample, and the support vector machine becomes a linear complementarity problem. Its fixed point predicts
# the limit for every pair of rates, also where AdamProxy's is far off.

# %%
print(inspect.getsource(theory.dual_map_at))

# %% [markdown]
# Is there only one fixed point? On Gaussian data every start leads to the same. On the two
# samples $x_1=(2,4,2,6)$ and $x_2=(6,3,2,2)$ there are three, two of which attract.

# %%
for start, weights in zip(limits.TWO_STARTS, found.two_c, strict=True):
    print(f"weights {start} lead the dual map to [{weights[0]:.4f} {weights[1]:.4f}]")
print(
    "1 - cos of incremental Adam from these starts to their own fixed points:", [f"{x:.0e}" for x in found.starts_own]
)
print(f"1 - cos of its two ends: {found.starts_apart:.1e}; of two ends on Gaussian data: {found.again_apart.max():.0e}")

# %% [markdown]
# What to see: incremental Adam goes where the dual map goes from the same proportions. Where there are several fixed
# points, the start decides between them.

# %% [markdown]
# ## How fast the limit becomes AdamProxy's
#
# Weights $\beta_2^{(i-j)\bmod N}$ deviate from one in proportion to $1-\beta_2$, directions do the same, and $1-\cos$ is
# quadratic in an angle. To keep the step size out of it we iterate the epoch map itself, without momentum.

# %%
sweep = chapter.sweep(params)
plotting.show(
    chapter.figure_sweep(sweep),
    alt="Distance of the epoch map's end from AdamProxy's fixed point over one minus beta2 on log axes: a straight line of "
    "slope two on the dashed line computed from fixed points alone; the distance to the 2-norm direction levels off.",
    name="sweep",
)

# %% [markdown]
# Since fixed points need no training, a whole map of them costs a second. How large may $N$ be? What enters is an
# average over the other samples of their lags, and its fluctuation over the steps, not the lag itself, turns the
# direction. It grows like $\sqrt N$.

# %%
scaling = chapter.scaling(params)
plotting.show(
    chapter.figure_scaling(scaling),
    alt="Left: colour map of the distance between the limit direction and AdamProxy's over the number of samples and one "
    "minus beta2. Right: all values fall within a factor of about two of one dashed line when drawn over the square "
    "root of N times one minus beta2.",
    name="scaling",
)

# %% [markdown]
# ## Batch sizes
#
# Batches of $b$ samples change the map in one place, the squares are those of the batches' gradients. So the fixed point
# predicts every batch size below $N$.

# %%
plotting.show(
    chapter.figure_batches(runs, found),
    alt="Normalized margins over the batch size. Adam's infinity-norm margin rises with the batch size along the dashed "
    "prediction of the fixed points, its 2-norm margin falls; Signum's and SGD's curves are flat.",
    name="batches",
)

# %%
plotting.show(
    chapter.figure_glance(runs, found),
    alt="Paths of four algorithms in the plane of the two normalized margins. On Gaussian data full-batch Adam and Signum "
    "end at the infinity-norm corner, SGD at the 2-norm corner, Adam with one sample a step at a dual fixed point, and "
    "larger batches between along the dashed line of fixed points. On scaled Rademacher data Adam with one sample a step "
    "ends with SGD at the 2-norm corner.",
    name="glance",
)

# %% [markdown]
# What to see: for Adam the batch size is a knob that turns the bias from the fixed point to $\ell_\infty$. Signum ends in
# the same corner whatever the batch size, SGD in the other.

# %% [markdown]
# ## Datasets that decide
#
# On scaled Rademacher data every $M(c)$ is a multiple of the identity, and the fixed point is the $\ell_2$ direction. On
# the *shifted diagonal* $x_i=a_ie_i+\delta\sum_{j\ne i}e_j$ the smallest sample takes all the weight, and the fixed point
# is $(1,\dots,1)$, the $\ell_\infty$ direction: one sample a step, and yet $\ell_\infty$. Flip the signs of that sample's
# small entries, and the condition is gone.

# %%
reductions = chapter.reductions(params)
plotting.show(
    chapter.figure_reductions(reductions),
    alt="Entries of three directions on the shifted diagonal. Left: fixed point and incremental Adam have four equal "
    "entries, the 2-norm direction falls off. Right, with flipped signs: all three fall off alike.",
    name="reductions",
)

# %% [markdown]
# ## Signum's memory
#
# Signum sees the full gradient if its memory $1/(1-\beta)$ is long against an epoch. But steps must be small against
# $1-\beta$, or the weights run past before the momentum turns. The theorem takes $\eta\to0$ first, then $\beta\to1$.

# %%
memory = chapter.memory(params)
plotting.show(
    chapter.figure_memory(memory),
    alt="Signum's normalized infinity-norm margin with one sample a step over one minus beta. For small steps it rises to "
    "nearly one and drops at the longest memory; for larger steps it drops sooner. The dashed lower bound rises from "
    "below zero and is crossed only where steps are too large for the memory.",
    name="memory",
)

# %%
print("beta       " + "  ".join(f"{beta:6g}" for beta in memory.beta))
for eta, rinf in zip(memory.eta, memory.rinf.mean(-1), strict=True):
    print(f"eta0 {eta:5g} " + "  ".join(f"{value:6.3f}" for value in rinf))
print("bound      " + "  ".join(f"{value:6.2f}" for value in memory.bound.mean(-1)))

# %% [markdown]
# ## Images
#
# Pairs of scanned digits, standardized so that no entry is zero, the two classes in turn.

# %%
images = chapter.images(params)
plotting.show(
    chapter.figure_images(images),
    alt="Distances on three pairs of digits: incremental Adam is closest to its dual fixed point by two orders of "
    "magnitude, farther from the 2-norm direction, farthest from an infinity-norm direction; full-batch Adam is far from "
    "the fixed point.",
    name="images",
)

# %% [markdown]
# What to see: nothing here is Gaussian or structured, only some samples are support vectors, and the direction is
# predicted from the data without training.

# %% [markdown]
# ## Verdicts

# %%
results = chapter.Results(
    runs=runs,
    epsilon=epsilon,
    epoch_map=epoch_map,
    fixed_points=found,
    sweep=sweep,
    scaling=scaling,
    reductions=reductions,
    memory=memory,
    images=images,
)
verdicts = chapter.verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
