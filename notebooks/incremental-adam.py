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

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
datasets = None  # datasets of each kind, all run at once: an integer from 1 to 1000
N = None  # samples N: an integer from 2 to 80
d = None  # dimensions d, at least N: an integer from 2 to 400
beta1 = None  # Adam's rate β₁ of the first moment, at most β₂: a number from 0 to 0.999
beta2 = None  # Adam's rate β₂ of the second moment: a number from 0.1 to 0.9999
eta0 = None  # first step η₀ of Adam and SGD: a number of at most 0.1 above 0
t0 = None  # steps t₀ before the step size falls: a number from 1 to 1e+06
decay = None  # exponent of the step size's decay: a number from 0 to 1
epochs = None  # epochs of the runs with one sample a step: an integer from 10 to 100000
steps = None  # steps of the runs with larger batches: an integer from 10 to 10000000
batch_sizes = None  # batch sizes, divisors of N; 1 and N are added: a list of 1 to 12, each an integer from 1 to 80
beta_signum = None  # Signum's momentum β: a number from 0 to 0.9999
eta_signum = None  # Signum's first step: a number of at most 0.1 above 0
beta2_grid = None  # values of β₂ in the epoch map's runs: a list of 2 to 20, each a number from 0.1 to 0.9999
epsilons = None  # Adam's stability constants ε: a list of 1 to 8, each a number of at most 0.1 above 0
deltas = None  # offsets δ of the shifted diagonal: a list of 1 to 8, each a number above 0 and below 1
map_sizes = None  # sample counts of the map over N and β₂: a list of 1 to 8, each an integer from 2 to 160
images = None  # digits of each of two classes: an integer from 1 to 40

# %%
import inspect

from companion import plotting
from companion.chapters.incremental_adam import Parameters, Results, experiments, figures, incremental, theory, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## Same rule, same data, another limit
#
# Question: where do Adam, Signum and SGD go, and does it matter how many samples a step sees? Two kinds of data:
# independent Gaussian entries, and *scaled Rademacher* data, random signs times one scale for each sample.

# %%
runs = experiments.runs(params)
found = experiments.fixed_points(params)
plotting.show(figures.glance(runs, found), name="glance")

# %% [markdown]
# What to see: for Adam the batch size is a knob that turns the bias from a dual fixed point, explained below, to
# $\ell_\infty$. On scaled Rademacher data one sample a step ends where SGD ends.

# %%
plotting.show(figures.margins(runs), name="margins")

# %% [markdown]
# What to see: on scaled Rademacher data the two batch sizes go to two different max-margin classifiers. On Gaussian data
# one sample a step comes close to $\ell_2$ and stops short of it. The shortfall is real.

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
# ## The engine
#
# A sample of margin $z$ has a gradient of size $e^{-z}$; Adam squares it, and double precision ends near $z=350$. But
# without $\epsilon$ Adam does not change if all gradients are multiplied by one constant, and neither does Signum. So
# the moments are kept in units of $e^{-\mathrm{ref}}$, with ref the least margin at the start of the epoch, and are
# rescaled when it moves. That is exact. All datasets and settings of a comparison run in one loop.

# %%
print(inspect.getsource(incremental.scale_free_epoch))

# %% [markdown]
# ## What epsilon does
#
# All of this is about $\epsilon=0$. Frameworks add $\epsilon=10^{-8}$ to the denominator, and on separable data the
# gradients fall below any $\epsilon$. Then $\sqrt{v}$ no longer counts, the update is $m/\epsilon$, and that is
# gradient descent with momentum. The engine runs this case too, without underflow.

# %%
epsilon = experiments.epsilon(params)
plotting.show(figures.epsilon(epsilon), name="epsilon")

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
epoch_map = experiments.epoch_map(params)
plotting.show(figures.epoch_map(epoch_map), name="epoch-map")

# %% [markdown]
# What to see: the map's error falls with the step size, at the end in proportion to it. The sign of the full gradient,
# which is full-batch Adam's step, is off by more than a half, however small the steps are.

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
plotting.show(figures.fixed_point(found), name="fixed-point")

# %% [markdown]
# What to see: the same argument works without $\beta_2\to1$. The epoch map is $\sum_jc_jS_j(c)x_j$ with a diagonal matrix
# $S_j$ for each sample, and the support vector machine becomes a linear complementarity problem. Its fixed point predicts
# the limit for every pair of rates, also where AdamProxy's is far off.

# %%
print("(beta1, beta2)    mean 1 - cos to its own fixed point    to AdamProxy's    to the 2-norm direction")
for pair, own, limit, l2 in zip(found.betas, found.own, found.limit, found.l2, strict=True):
    print(f"{pair!s:17s} {own.mean():20.1e} {limit.mean():28.1e} {l2.mean():20.1e}")
print("applications of the dual map until it moves by less than 1e-12:", found.iterations.tolist())
print("largest difference between six starts:", f"{found.spread.max():.0e}")

# %%
print(inspect.getsource(theory.dual_map_at))

# %% [markdown]
# Is there only one fixed point? On Gaussian data every start leads to the same. On the two
# samples $x_1=(2,4,2,6)$ and $x_2=(6,3,2,2)$ there are three, two of which attract.

# %%
for name, weights in zip(("(0.5, 0.5)", "(0.9, 0.1)"), found.two_c, strict=True):
    print(f"weights {name} lead the dual map to [{weights[0]:.4f} {weights[1]:.4f}]")
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
sweep = experiments.sweep(params)
plotting.show(figures.sweep(sweep), name="sweep")

# %% [markdown]
# What to see: a line of slope two, on the dashed line that is computed from fixed points alone. The distance from the
# $\ell_2$ direction levels off: that is not where the limit goes.
#
# Since fixed points need no training, a whole map of them costs a second. How large may $N$ be? What enters is an
# average over the other samples of their lags, and its fluctuation over the steps, not the lag itself, turns the
# direction. It grows like $\sqrt N$.

# %%
scaling = experiments.scaling(params)
plotting.show(figures.scaling(scaling), name="scaling")

# %% [markdown]
# What to see: drawn over $\sqrt N(1-\beta_2)$ the values of all $N$ lie near one line, which is not fitted.

# %% [markdown]
# ## Batch sizes
#
# Batches of $b$ samples change the map in one place, the squares are those of the batches' gradients. So the fixed point
# predicts every batch size below $N$.

# %%
plotting.show(figures.batches(runs, found), name="batches")

# %% [markdown]
# What to see: Adam follows the dashed prediction from one limit to another as batches grow. Signum ends in the same
# corner whatever the batch size, SGD in the other.

# %% [markdown]
# ## Datasets that decide
#
# On scaled Rademacher data every $M(c)$ is a multiple of the identity, and the fixed point is the $\ell_2$ direction. On
# the *shifted diagonal* $x_i=a_ie_i+\delta\sum_{j\ne i}e_j$ the smallest sample takes all the weight, and the fixed point
# is $(1,\dots,1)$, the $\ell_\infty$ direction: one sample a step, and yet $\ell_\infty$. Flip the signs of that sample's
# small entries, and the condition is gone.

# %%
reductions = experiments.reductions(params)
plotting.show(figures.reductions(reductions), name="reductions")

# %% [markdown]
# What to see: left, incremental Adam has four nearly equal entries, as its fixed point has, and the $\ell_2$ direction is
# another. Right, all three agree.

# %% [markdown]
# ## Signum's memory
#
# Signum sees the full gradient if its memory $1/(1-\beta)$ is long against an epoch. But steps must be small against
# $1-\beta$, or the weights run past before the momentum turns. The theorem takes $\eta\to0$ first, then $\beta\to1$.

# %%
memory = experiments.memory(params)
plotting.show(figures.memory(memory), name="memory")

# %% [markdown]
# What to see: with small steps the margin rises with the memory and stays above the dashed bound, until the memory is too
# long for the steps. Larger steps fall earlier.

# %%
print("beta       " + "  ".join(f"{beta:6g}" for beta in memory.beta))
for eta, rinf in zip(memory.eta, memory.rinf.mean(-1), strict=True):
    print(f"eta0 {eta:5g} " + "  ".join(f"{value:6.3f}" for value in rinf))
print("bound      " + "  ".join(f"{value:6.2f}" for value in memory.bound.mean(-1)))

# %% [markdown]
# On Gaussian data the bound is far below. It is nearly attained on two samples whose entries all but cancel, made for a
# momentum: every step moves the cancelling coordinates back.

# %%
attained = experiments.attained(params)
for row, name in enumerate(("the momentum it is made for", "a fifth of the forgetting")):
    for beta, rinf, bound in zip(attained.beta[row], attained.rinf[row], attained.bound[row], strict=True):
        print(f"{name:28s} beta {beta:.2f}   rinf {rinf:.3f}   bound {bound:.3f}")

# %% [markdown]
# ## Images
#
# Pairs of scanned digits, standardized so that no entry is zero, the two classes in turn.

# %%
digits = experiments.images(params)
plotting.show(figures.images(digits), name="images")

# %% [markdown]
# What to see: nothing here is Gaussian or structured, only some samples are support vectors, and the direction is
# predicted from the data without training.

# %%
print("share of unseen digits classified rightly, one sample a step:", [f"{share:.3f}" for share in digits.accuracy[0]])

# %% [markdown]
# ## Verdicts

# %%
results = Results(
    runs=runs,
    epsilon=epsilon,
    epoch_map=epoch_map,
    fixed_points=found,
    sweep=sweep,
    scaling=scaling,
    reductions=reductions,
    memory=memory,
    attained=attained,
    images=digits,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
