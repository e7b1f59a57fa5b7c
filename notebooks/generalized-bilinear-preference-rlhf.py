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
# # Lab: learning to play from preferences
#
# Two players are shown a prompt, each gives an answer, and a judge says which is better. What is learned from such duels, how fast,
# and what does the regularizer do for it? This notebook solves the games, runs greedy sampling and explore-then-commit, and measures
# every rate. The theorems and their proofs are in [the chapter](../book/generalized-bilinear-preference-rlhf.md).

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
games = None  # random games of the dual-gap law, for each regularizer: an integer from 1 to 10000
d = None  # feature dimension d of greedy sampling: an integer from 3 to 32
actions = None  # actions K of greedy sampling, at least d: an integer from 3 to 128
contexts = None  # contexts of every environment, equally likely: an integer from 1 to 16
strength = None  # nuclear norm S of Θ⋆ in greedy sampling: a number of at most 200 above 0
regularizer = None  # regularizer ψ of greedy sampling, explore-then-commit and the rank study: kl, tsallis, chi2, mixed
# inverse regularization strengths η of greedy sampling, increasing: a list of 2 to 24, each a number from 0.01 to 10000
eta_list = None
eta_huge = None  # the η at which the regularizer hardly counts: a number from 100 to 10000
rounds = None  # rounds T of greedy sampling: an integer from 500 to 1000000
rounds_huge = None  # rounds of greedy sampling at eta_huge: an integer from 500 to 1000000
environments = None  # environments averaged over: greedy sampling and explore-then-commit: an integer from 1 to 1000
environments_huge = None  # environments at eta_huge, greedy sampling: an integer from 1 to 1000
update_growth = None  # greedy sampling refits when t has grown by this factor; 1 is every round: a number from 1 to 2
ridge = None  # ridge of the maximum-likelihood fits, in place of a norm ball: a number of at most 10 above 0
commit_d = None  # feature dimension of explore-then-commit, which has 16 actions: an integer from 3 to 16
commit_eta = None  # η of explore-then-commit: a number from 0.01 to 100
shift = None  # share α of the common direction in the features of explore-then-commit: a number of at least 0 below 1
# horizons T of explore-then-commit, increasing: a list of 2 to 10, each an integer from 256 to 100000000
horizons = None
exploration = None  # c in T₀ = c √T: a number of at most 15 above 0
nuclear = None  # c in the nuclear-norm weight λ = c √(log d / (d T₀)): a number of at most 10 above 0
# dimensions of the rank study, increasing: a list of 2 to 8, each an integer from 4 to 64, a multiple of 2
d_list = None
rank_rounds = None  # exploration rounds T₀ of the rank study: an integer from 100 to 10000000
rank_environments = None  # environments of each cell of the rank study: an integer from 1 to 100

# %%
from companion import plotting
from companion.chapters.generalized_bilinear_preference_rlhf import Parameters, Results, experiments, figures, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## A circle of three actions
#
# Three features at 120° in a plane, and $\Theta_\star$ a quarter turn: each action beats the next. A model with rewards
# (Bradley–Terry) and the bilinear model are fitted to the same duels.

# %%
cycle = experiments.cycle(params)
plotting.show(figures.cycle(cycle), name="cycle")

# %% [markdown]
# Rewards put the three in an order, and every order contradicts one of the three sides; the best compromise is to predict nothing.
# The regularized game has one symmetric Nash equilibrium, here the uniform policy at every $\eta$.

# %%
import inspect

from companion.chapters.generalized_bilinear_preference_rlhf import games as solver

print(inspect.getsource(solver.best_response))
print(inspect.getsource(solver.dual_gap))
print("largest distance of the equilibria from uniform:", f"{abs(cycle.equilibrium - 1 / 3).max():.1e}")

# %% [markdown]
# ## The greedy policy's dual gap is of second order
#
# Take a random game, spoil $\Theta_\star$ by an error $E$, play the equilibrium of the spoiled game, and ask how much a best response
# wins against it in the true one. Four regularizers, errors over two orders of magnitude.

# %%
gap_law = experiments.gap_law(params)
plotting.show(figures.bounds(gap_law), name="bounds")

# %% [markdown]
# Points below their dotted lines: the bound with $\eta$ holds, and is loose by a factor that does not depend on the error. The bound by
# duality leaves almost nothing.

# %%
print("regularizer   largest gap / corrected bound   by duality   slope in the error")
for name, slopes in gap_law.slopes.items():
    print(
        f"{name:11}   {gap_law.squared['equilibrium'][name]:29.3f}   {gap_law.sharp[name]:10.3f}   "
        f"{slopes.min():.3f} to {slopes.max():.3f}"
    )
print("\nthe same where one best response is played instead of the equilibrium")
for name, ratio in gap_law.squared["one best response"].items():
    print(f"{name:11}   {ratio:29.1f}")
print(f"\nlargest residual of any equilibrium: {gap_law.residual:.1e}")

# %%
plotting.show(figures.pair(gap_law), name="pair")

# %% [markdown]
# The bound without $\eta$, with the constant as printed, fails on two actions by a factor that tends to two, but only where $\eta$ is
# in the hundreds. With the corrected constant it is sharp there.
#
# ## Greedy sampling: regret that grows like a logarithm
#
# Each round the max-player plays the equilibrium of the current estimate, the min-player explores uniformly, and the estimate is
# refitted. All runs (environments, all $\eta$, and the controls) advance together as one batch; regret is the true dual gap of the
# policy played, summed over rounds.

# %%
learning = experiments.learning(params)
plotting.show(figures.glance(gap_law, learning), name="glance")

# %% [markdown]
# At moderate $\eta$ the curves over $\eta$ are one curve, and it is straight in $\log t$, with the slope that was predicted.

# %%
plotting.show(figures.greedy(learning), name="greedy")

# %% [markdown]
# The assumption of feature diversity is not decoration: an explorer confined to a plane leaves a part of $\Theta_\star$ unseen, and
# the regret heads for linear growth. How does regret depend on $\eta$? Earlier analyses of the KL case carried a factor $e^{9\eta}$.

# %%
plotting.show(figures.eta(learning), name="eta")

# %% [markdown]
# Regret follows the dashed line of slope one; what is exponential in $\eta$ leaves the picture at once.

# %%
print("     η   regret     over η   constant: predicted, over η")
for value, regret, constant in zip(learning.etas, learning.regret[:, -1], learning.constant, strict=True):
    print(f"{value:6g}   {regret:6.3f}   {regret / value:8.3f}   {constant / value:27.4f}")
print(f"\nlargest residual of any equilibrium: {learning.residual:.1e}, at the huge η {learning.residual_huge:.1e}")

# %% [markdown]
# ## Extension: does anyone have to explore?
#
# Greedy sampling's regret counts the max-player only; the explorer pays its full gap in every round. If both play the equilibrium
# instead, nobody explores on purpose. For a KL regularizer the equilibrium gives every action at least $e^{-\eta}$ of its reference
# probability, and that turns out to be exploration enough.

# %%
plotting.show(figures.symmetric(learning), name="symmetric")

# %% [markdown]
# Another one: the average of all policies played is itself a good policy, because the dual gap is convex: its gap is at most the
# average regret.

# %%
for value, averaged, bound in zip(learning.etas, *learning.averaged, strict=True):
    print(f"η = {value:<5g}  gap of the averaged policy {averaged:.2e}, regret / T {bound:.2e}")

# %% [markdown]
# ## Three actions, seen in the triangle
#
# A lopsided cycle: policies start at even play and walk to the equilibrium, over the contours of the true dual gap.

# %%
simplex = experiments.simplex(params)
plotting.show(figures.simplex(simplex), name="simplex")

# %% [markdown]
# The larger $\eta$, the narrower the valley, and the further a policy strays while little is known.
#
# ## Explore, then commit
#
# $T_0$ rounds of exploration on both sides, one fit with a nuclear norm, and its equilibrium from then on. The square-root schedule
# alone makes the exploration cost $\sqrt T$; what has to be seen is that the committed gap falls like $1/T_0$.

# %%
commit = experiments.commit(params)
plotting.show(figures.commit(commit), name="commit")

# %% [markdown]
# The orange line on the left falls with slope minus one: twice the exploration, half the gap. Without regularization it would take four
# times the exploration.
#
# ## What the nuclear norm gains, and where
#
# The same number of exploration rounds for growing $d$. The nuclear norm pays when the rank is low; when it is not, shrinking costs
# more than it saves. Singular values of skew matrices come in equal pairs, and the estimates keep that.

# %%
ranks = experiments.ranks(params)
plotting.show(figures.ranks(ranks), name="ranks")

# %% [markdown]
# Blue above one from some dimension on: at rank two, plain maximum likelihood spends its duels on unknowns that are zero.

# %%
plotting.show(figures.scaling(commit, ranks), name="scaling")

# %% [markdown]
# What $\sqrt{\eta rT}$ is made of. The commit phase costs $\sqrt\eta$ where exploration grows with it; the squared error of the
# nuclear-norm estimate grows with the rank, and with $d$ like the number of unknowns of rank two.
#
# ## Verdicts

# %%
results = Results(cycle=cycle, gap_law=gap_law, learning=learning, simplex=simplex, commit=commit, ranks=ranks)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
