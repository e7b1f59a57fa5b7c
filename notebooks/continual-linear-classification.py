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

# %% tags=["parameters"]
profile = "quick"  # "quick" or "paper"
device = "auto"  # "auto", "cpu" or "cuda"
seed = 0
datasets = None  # None keeps the profile's value
M = None
n_per_task = None
d = None
K = None
eta = None
n_cycles = None
between = None
bias = None
gap = None
tasks_list = None
budgets = None
spreads = None
cycles_constants = None
angles = None
clashing_sets = None
eta_const = None
horizons = None
digit_pairs = None
digits_per_task = None
cycles_digits = None

# %%
from companion import plotting
from companion.chapters import continual_linear_classification as chapter

params = chapter.Parameters.resolve(
    profile=profile,
    device=device,
    seed=seed,
    datasets=datasets,
    M=M,
    n_per_task=n_per_task,
    d=d,
    K=K,
    eta=eta,
    n_cycles=n_cycles,
    between=between,
    bias=bias,
    gap=gap,
    tasks_list=tasks_list,
    budgets=budgets,
    spreads=spreads,
    cycles_constants=cycles_constants,
    angles=angles,
    clashing_sets=clashing_sets,
    eta_const=eta_const,
    horizons=horizons,
    digit_pairs=digit_pairs,
    digits_per_task=digits_per_task,
    cycles_digits=cycles_digits,
)
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
plane = chapter.plane(params)
direction = chapter.direction(params)
plotting.show(
    chapter.figure_glance(plane, direction),
    alt="Left: in the plane, iterates zig-zag between the directions of three tasks and close in on the dashed joint "
    "max-margin direction. Right: against cycles, the angle to the joint direction falls for cyclic and random order and "
    "stays high for training on the first task alone.",
    name="glance",
)

# %% [markdown]
# The angle falls, but only like $1/\ln J$: $w\approx\ln(J)\,\hat w$ plus a bounded residual. Its limit can be read off much
# earlier from the *slope* of $w$ against $\ln J$, taken between two cycles at the same phase. One dot per data set below. The
# projections are the limit of training every task to convergence with vanishing regularization: they too solve all tasks, but at
# another place.

# %%
plotting.show(
    chapter.figure_slopes(direction),
    alt="Angles to the joint max-margin direction on a log axis, one dot per data set. Smallest for cyclic order, then unequal "
    "budgets, random order; projections are often several degrees off; leaving out a task or training on one is far off.",
    name="slopes",
)

# %% [markdown]
# The residual comes to rest, and the weights $\eta KJ|\ell'_i|$ of the examples tend to the multipliers of the joint max-margin
# problem: the run solves the dual too.

# %%
plotting.show(
    chapter.figure_residual(direction),
    alt="Left: components of the residual against cycles, flat after some ten to a hundred. Right: weights during training "
    "against the multipliers of the joint max-margin problem, on the diagonal; other examples at zero.",
    name="residual",
)

# %% [markdown]
# ## How small must the step be?
#
# The theorems ask for steps that are smaller by orders of magnitude than those that work. Against $\eta KJ$ all runs share one curve.

# %%
step_sizes = chapter.step_sizes(params)
for name, eta_used in zip(["cyclic theorem", "random-order theorem"], step_sizes.eta, strict=False):
    print(f"{name}: step sizes below {eta_used:.2e}")
plotting.show(
    chapter.figure_steps(step_sizes),
    alt="Joint loss against step size times budget times cycles on log axes: five step sizes follow one curve that ends on the "
    "dashed closed form; the theorems' step sizes cover only its start, the largest step starts off the curve and joins it.",
    name="steps",
)

# %% [markdown]
# ## What is forgotten?
#
# Cycle-averaged forgetting: loss of each task at the end of the cycle minus loss right after its own stage, averaged. The same four points,
# dealt to two tasks in two ways: in one the tasks contradict each other, in the other they agree.

# %%
forgetting = chapter.forgetting(params)
plotting.show(
    chapter.figure_forgetting(forgetting),
    alt="Left: forgetting against cycles on a symmetric log axis, positive for contradicting tasks and negative for aligned ones, "
    "inside dotted bounds and on dashed lines constant over J squared. Right: saw-tooth of two contradicting tasks' losses; "
    "each falls while its task trains and rises while the other does.",
    name="forgetting",
)

# %% [markdown]
# ## Exactly how much, late in training?
#
# With $v_m=\sum_{i\in I_m}\lambda_ix_i$, the share of task $m$ in the joint classifier $\hat w=\sum_mv_m$, the chapter derives
# $J\mathcal L\to1/(\eta K\phi^2)$ and $J^2\,\mathcal{CF}\to(\sum_m\lVert v_m\rVert^2-\lVert\hat w\rVert^2)/(2\eta KM)$. Many
# random data sets, with several numbers of tasks and budgets:

# %%
constants = chapter.constants(params)
plotting.show(
    chapter.figure_constants(constants),
    alt="Left: measured forgetting constants on the diagonal against the closed form, negative and positive. Right: relative errors "
    "of both constants against cycles on log axes, parallel to slope minus one.",
    name="constants",
)

# %% [markdown]
# ## Extension: does the order of the tasks matter?
#
# The formula is symmetric in the tasks, so the average must not depend on their order, though each task's own forgetting does.
# With unequal budgets the symmetry is gone.

# %%
orders = chapter.orders(params)
plotting.show(
    chapter.figure_orders(orders),
    alt="Forgetting constants in six orders of three tasks: flat for equal budgets, varying and on the theory for unequal "
    "budgets; the forgetting of task 1 alone varies widely.",
    name="orders",
)

# %% [markdown]
# ## Extension: the angle at which forgetting turns into transfer
#
# Two tasks whose shares $v_1,v_2$ form an angle $\theta$, plus many examples that are no support vectors and agree with each other.
# Early on all examples have a say; late only the shares count.

# %%
two_tasks = chapter.two_tasks(params)
plotting.show(
    chapter.figure_angle(two_tasks),
    alt="Left: late forgetting against the angle between the tasks' shares, on a dashed curve that crosses zero at 90 degrees. Right: "
    "forgetting in the first cycle, whose zero crossing lies at a larger angle.",
    name="angle",
)

# %% [markdown]
# Between the two crossings tasks help each other at first and harm each other later.
#
# ## Tasks that cannot be solved together
#
# Each task separable, their union not: the joint loss has a unique minimizer $w_\star$. A step that knows its horizon reaches it; a constant
# one stalls at a floor whose height the chapter computes; GD on all tasks at once has no floor.

# %%
clashing = chapter.clashing(params)
print("random draws needed:", clashing.drawn)
print("curvature at the minimizer, accepted sets:", np.round(np.sort(clashing.curvature), 3))
print("curvature at the minimizer, nearly separable ones:", np.round(np.sort(clashing.near_curvature), 4))
plotting.show(
    chapter.figure_clashing(clashing),
    alt="Left: excess loss against the horizon falls along dashed predictions for horizon-dependent steps, more slowly for nearly "
    "separable sets, and not at all for the largest step kept constant. Right: constant steps end on dashed floors, GD on all "
    "tasks at once falls on.",
    name="clashing",
)

# %% [markdown]
# ## Real tasks: pairs of digits
#
# Three pairs of handwritten digits, told apart in turn by one linear classifier without a bias; and, at half the resolution, all pairs,
# which no linear classifier tells apart together though each pair alone is separable.

# %%
digits = chapter.digits(params)
print("joint margin of the first three pairs:", f"{digits.margin:.4f}")
print("all pairs, coarse: each separable", digits.separable, "together", digits.joint_separable)
plotting.show(
    chapter.figure_digits(digits),
    alt="Left: the angle to the joint max-margin direction falls steadily when three pairs are learned in turn, and stays high on the "
    "first pair alone. Right: excess loss of clashing pairs falls to floors near the dashed predictions and grows on one pair alone.",
    name="digits",
)

# %% [markdown]
# Real tasks have many examples that are almost support vectors; the angle is still on its way after all these cycles, slower
# than on the planted tasks. The chapter gives the exponent.
#
# ## Verdicts

# %%
results = chapter.Results(
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
verdicts = chapter.verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
