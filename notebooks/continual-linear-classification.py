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
# # Lab: one task after the other
#
# Gradient descent (GD) on linear classification tasks in turn, a fixed budget of steps for each: where the classifier goes, what is
# forgotten on the way, and what happens when no classifier solves all tasks. The theorems and their proofs are in
# [the chapter](../book/continual-linear-classification.md).

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
datasets = None  # random data sets per experiment: an integer from 2 to 5000
M = None  # tasks M of a planted data set: an integer from 2 to 10
n_per_task = None  # examples per task: an integer from 1 to 100
d = None  # dimension d, at least M: an integer from 2 to 64
K = None  # budget K: gradient steps per stage: an integer from 1 to 200
eta = None  # step size η: a number of at most 0.5 above 0
n_cycles = None  # cycles J of the runs on planted data: an integer from 100 to 1000000
# variance of the tasks' support vectors across the joint classifier; tasks contradict above 1: a number from 0.2 to 10
between = None
bias = None  # norm of the offset common to the other examples: a number from 0 to 10
gap = None  # least margin of the other examples (the support vectors have 1): a number from 1.05 to 10
# numbers of tasks M of the data sets that check the constants: a list of 1 to 8, each an integer from 2 to 10
tasks_list = None
budgets = None  # budgets K of the data sets that check the constants: a list of 1 to 8, each an integer from 1 to 200
spreads = None  # least and largest variance between the tasks there: a list of 2, each a number from 0.2 to 10
cycles_constants = None  # cycles there and with two tasks: an integer from 100 to 1000000
# angles between two tasks' shares of the joint classifier, degrees: a list of 2 to 40, each a number from 55 to 165
angles = None
clashing_sets = None  # data sets without a joint classifier: an integer from 2 to 1000
eta_const = None  # constant step sizes there, falling: a list of 2 to 8, each a number of at most 0.5 above 0
# horizons J of the horizon-dependent step size, rising: a list of 3 to 12, each an integer from 20 to 100000
horizons = None
# pairs of digits, a task each: the first three as separable tasks, all of them, coarsely, as clashing ones: a list of 3
# to 10, each a list of 2, each an integer from 0 to 9
digit_pairs = None
digits_per_task = None  # images per pair of digits: an integer from 10 to 340, a multiple of 2
cycles_digits = None  # cycles on digits: an integer from 100 to 200000

# %%
from companion import plotting
from companion.chapters.continual_linear_classification import Parameters, Results, experiments, figures, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## The algorithm, for a batch of task sequences
#
# Task $m$ has signed examples $x_i$ (the label is absorbed) and the loss
# $\mathcal L_m(w)=\sum_i\log(1+e^{-\langle x_i,w\rangle})$: a *sum*, so each step adds
# $\eta\sum_i|\ell'_i|\,x_i$. The order of the tasks, the budgets and the step size may differ from row to row of the batch, so
# that cyclic order, random order and training on one task alone are rows of the same arrays. Stripped of the records, a cycle is:

# %%
import numpy as np
from scipy.special import expit


def cycle(w, tasks, eta, K, order):
    """One cycle, for one sequence of tasks (M, n, d); tests hold the batched engine to it."""
    after = {}
    for m in order:
        for _ in range(K):
            w = w + eta * tasks[m].T @ expit(-tasks[m] @ w)
        after[m] = np.logaddexp(0, -tasks[m] @ w).sum()
    forgetting = np.mean([np.logaddexp(0, -tasks[m] @ w).sum() - after[m] for m in order])
    return w, forgetting


points = np.array([[[1.0, 2.0, 0.6, 0.0], [1.0, 2.0, -0.6, 0.0]], [[1.0, -2.0, 0.0, 0.6], [1.0, -2.0, 0.0, -0.6]]])
w = np.zeros(4)
for J in range(5):
    w, forgets = cycle(w, points, eta=0.05, K=10, order=[0, 1])
    print(f"cycle {J}: w = {np.round(w, 3)}, forgetting {forgets:.4f}")

# %% [markdown]
# ## Where does the classifier go?
#
# Trained alone, a task leads to its own max-margin direction. In turn, each stage pulls toward the goal of its task. The paper says
# that the sum of these pulls leads to the *joint* max margin, the goal of training on all data at once. First a toy that can be
# drawn, three tasks of two points in the plane; then random tasks whose joint max-margin classifier was planted, so that it is known exactly.

# %%
plane = experiments.plane(params)
direction = experiments.direction(params)
plotting.show(figures.glance(plane, direction), name="glance")

# %% [markdown]
# The angle falls, but only like $1/\ln J$: $w\approx\ln(J)\,\hat w$ plus a bounded residual. Its limit can be read off much
# earlier from the *slope* of $w$ against $\ln J$, taken between two cycles at the same phase. One dot per data set below. The
# projections are the limit of training every task to convergence with vanishing regularization: they too solve all tasks, but at
# another place.

# %%
plotting.show(figures.slopes(direction), name="slopes")

# %% [markdown]
# Cyclic and random order head for the joint direction, with equal budgets or unequal ones. Projections often stop a few degrees
# away; who never sees a task goes elsewhere.
#
# The residual comes to rest, and the weights $\eta KJ|\ell'_i|$ of the examples tend to the multipliers of the joint max-margin
# problem: the run solves the dual too.

# %%
plotting.show(figures.residual(direction), name="residual")

# %% [markdown]
# All components level off, and the marks lie on the diagonal: the weights that examples have in training are the multipliers.
#
# ## How small must the step be?
#
# The theorems ask for steps that are smaller by orders of magnitude than those that work. Against $\eta KJ$ all runs share one curve.

# %%
step_sizes = experiments.step_sizes(params)
for name, eta_used in zip(["cyclic theorem", "random-order theorem"], step_sizes.eta, strict=False):
    print(f"{name}: step sizes below {eta_used:.2e}")
plotting.show(figures.steps(step_sizes), name="steps")

# %% [markdown]
# What counts is the amount of training; only the largest step leaves the curve for a while.
#
# ## What is forgotten?
#
# Cycle-averaged forgetting: loss of each task at the end of the cycle minus loss right after its own stage, averaged. The same four points,
# dealt to two tasks in two ways: in one the tasks contradict each other, in the other they agree.

# %%
forgetting = experiments.forgetting(params)
plotting.show(figures.forgetting(forgetting), name="forgetting")

# %% [markdown]
# One way of dealing makes tasks that forget in every cycle, the other tasks that help each other; both die out like $1/J^2$.
#
# ## Exactly how much, late in training?
#
# With $v_m=\sum_{i\in I_m}\lambda_ix_i$, the share of task $m$ in the joint classifier $\hat w=\sum_mv_m$, the chapter derives
# $J\mathcal L\to1/(\eta K\phi^2)$ and $J^2\,\mathcal{CF}\to(\sum_m\lVert v_m\rVert^2-\lVert\hat w\rVert^2)/(2\eta KM)$. Many
# random data sets, with several numbers of tasks and budgets:

# %%
constants = experiments.constants(params)
plotting.show(figures.constants(constants), name="constants")

# %% [markdown]
# The measured constants, of either sign, lie on the diagonal; errors fall like $1/J$.
#
# ## Extension: does the order of the tasks matter?
#
# The formula is symmetric in the tasks, so the average must not depend on their order, though each task's own forgetting does.
# With unequal budgets the symmetry is gone.

# %%
orders = experiments.orders(params)
plotting.show(figures.orders(orders), name="orders")

# %% [markdown]
# The blue marks are level, the orange ones are not; both are where theory has them.
#
# ## Extension: the angle at which forgetting turns into transfer
#
# Two tasks whose shares $v_1,v_2$ form an angle $\theta$, plus many examples that are no support vectors and agree with each other.
# Early on all examples have a say; late only the shares count.

# %%
two_tasks = experiments.two_tasks(params)
plotting.show(figures.angle(two_tasks), name="angle")

# %% [markdown]
# Between the two crossings tasks help each other at first and harm each other later.
#
# ## Tasks that cannot be solved together
#
# Each task separable, their union not: the joint loss has a unique minimizer $w_\star$. A step that knows its horizon reaches it; a constant
# one stalls at a floor whose height the chapter computes; GD on all tasks at once has no floor.

# %%
clashing = experiments.clashing(params)
print("random draws needed:", clashing.drawn)
print("curvature at the minimizer, accepted sets:", np.round(np.sort(clashing.curvature), 3))
print("curvature at the minimizer, nearly separable ones:", np.round(np.sort(clashing.near_curvature), 4))
plotting.show(figures.clashing(clashing), name="clashing")

# %% [markdown]
# The circles lie on the lines: what is left at the horizon is the floor of that run's own step. A constant step ends on its floor.
#
# ## Real tasks: pairs of digits
#
# Three pairs of handwritten digits, told apart in turn by one linear classifier without a bias; and, at half the resolution, all pairs,
# which no linear classifier tells apart together though each pair alone is separable.

# %%
digits = experiments.digits(params)
print("joint margin of the first three pairs:", f"{digits.margin:.4f}")
print("all pairs, coarse: each separable", digits.separable, "together", digits.joint_separable)
plotting.show(figures.digits(digits), name="digits")

# %% [markdown]
# Real tasks have many examples that are almost support vectors; the angle is still on its way after all these cycles, slower
# than on the planted tasks. The chapter gives the exponent.
#
# ## Verdicts

# %%
results = Results(
    direction=direction,
    plane=plane,
    step_sizes=step_sizes,
    forgetting=forgetting,
    constants=constants,
    orders=orders,
    two_tasks=two_tasks,
    clashing=clashing,
    digits=digits,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
