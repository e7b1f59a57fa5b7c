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

# %% tags=["parameters"]
profile = "quick"  # "quick" or "paper"
device = "auto"  # "auto", "cpu" or "cuda"
seed = 0
games = None  # None keeps the profile's value
d = None
actions = None
contexts = None
strength = None
regularizer = None
eta_list = None
eta_huge = None
rounds = None
rounds_huge = None
environments = None
environments_huge = None
update_growth = None
ridge = None
commit_d = None
commit_eta = None
shift = None
horizons = None
exploration = None
nuclear = None
d_list = None
rank_rounds = None
rank_environments = None

# %%
from companion import plotting
from companion.chapters import generalized_bilinear_preference_rlhf as chapter

params = chapter.Parameters.resolve(
    profile=profile,
    device=device,
    seed=seed,
    games=games,
    d=d,
    actions=actions,
    contexts=contexts,
    strength=strength,
    regularizer=regularizer,
    eta_list=eta_list,
    eta_huge=eta_huge,
    rounds=rounds,
    rounds_huge=rounds_huge,
    environments=environments,
    environments_huge=environments_huge,
    update_growth=update_growth,
    ridge=ridge,
    commit_d=commit_d,
    commit_eta=commit_eta,
    shift=shift,
    horizons=horizons,
    exploration=exploration,
    nuclear=nuclear,
    d_list=d_list,
    rank_rounds=rank_rounds,
    rank_environments=rank_environments,
)
params

# %% [markdown]
# ## A circle of three actions
#
# Three features at 120° in a plane, and $\Theta_\star$ a quarter turn: each action beats the next. A model with rewards
# (Bradley–Terry) and the bilinear model are fitted to the same duels.

# %%
cycle = chapter.cycle(params)
plotting.show(
    chapter.figure_cycle(cycle),
    alt="Three triangles of actions with arrows from winner to loser. The true probabilities and the bilinear fit agree, near one on "
    "each side; the Bradley-Terry fit says one half on each side.",
    name="cycle",
)

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
gap_law = chapter.gap_law(params)
plotting.show(
    chapter.figure_bounds(gap_law),
    alt="Left: dual gap against the size of the error. With moderate regularization the lines have slope two and lie below the bound "
    "with eta; at huge eta the slope is near one, below the dashed first-order bound. Right: largest ratio of dual gap to three bounds "
    "for four regularizers; the bound by duality is nearly attained, the other two are loose.",
    name="bounds",
)

# %%
print("regularizer   largest gap / corrected bound   by duality   slope in the error")
for name, slopes in gap_law.slopes.items():
    print(
        f"{name:11}   {gap_law.smooth[name].max():29.3f}   {gap_law.sharp[name][0].max():10.3f}   "
        f"{slopes.min():.3f} to {slopes.max():.3f}"
    )
print("\ntwo actions, gap / bound without η        ε =", *(f"{e:6g}" for e in gap_law.epsilons))
for name, ratios in zip(("as printed", "corrected"), gap_law.pair, strict=True):
    print(f"{name:40}     ", *(f"{ratio:6.3f}" for ratio in ratios))
print(f"\nlargest residual of any equilibrium: {gap_law.residual:.1e}")

# %% [markdown]
# The bound without $\eta$, with the constant as printed, fails on two actions by a factor that tends to two. With the corrected
# constant it is sharp there.
#
# ## Greedy sampling: regret that grows like a logarithm
#
# Each round the max-player plays the equilibrium of the current estimate, the min-player explores uniformly, and the estimate is
# refitted. All runs (environments, all $\eta$, and the controls) advance together as one batch; regret is the true dual gap of the
# policy played, summed over rounds.

# %%
learning = chapter.learning(params)
plotting.show(
    chapter.figure_glance(gap_law, learning),
    alt="Left: the dual gap of the greedy policy against the estimation error for four eta on logarithmic axes; lines of slope two, "
    "and slope near one at the largest eta. Right: regret over eta against the logarithm of the round: straight lines that coincide "
    "with a predicted dashed slope for moderate eta; curves that bend upwards without regularization or without exploration.",
    name="glance",
)

# %%
plotting.show(
    chapter.figure_greedy(learning),
    alt="Left: regret divided by its final value against log t. Moderate eta give straight lines; large eta, missing coverage and the "
    "uniform policy bend upwards. Right: the fit in log t is better at small eta, the fit in the square root of t at the largest.",
    name="greedy",
)

# %% [markdown]
# The assumption of feature diversity is not decoration: an explorer confined to a plane leaves a part of $\Theta_\star$ unseen, and
# the regret heads for linear growth. How does regret depend on $\eta$? Earlier analyses of the KL case carried a factor $e^{9\eta}$.

# %%
plotting.show(
    chapter.figure_eta(learning),
    alt="Left: final regret against eta on logarithmic axes follows a dashed line proportional to eta; exploration with exponentially "
    "small coverage lies far above; the exponential bound leaves the plot at once. Right: measured growth per unit of log t over eta "
    "lies on the dashed prediction for moderate eta.",
    name="eta",
)

# %%
print("     η   regret     over η   constant: predicted, over η")
for eta, regret, constant in zip(learning.etas, learning.regret[:, -1], learning.constant, strict=True):
    print(f"{eta:6g}   {regret:6.3f}   {regret / eta:8.3f}   {constant / eta:27.4f}")
print(f"\nlargest residual of any equilibrium: {learning.residual:.1e}, at the huge η {learning.residual_huge:.1e}")

# %% [markdown]
# ## Extension: does anyone have to explore?
#
# Greedy sampling's regret counts the max-player only; the explorer pays its full gap in every round. If both play the equilibrium
# instead, nobody explores on purpose. For a KL regularizer the equilibrium gives every action at least $e^{-\eta}$ of its reference
# probability, and that turns out to be exploration enough.

# %%
plotting.show(
    chapter.figure_symmetric(learning),
    alt="Regret of both players together against rounds on logarithmic axes: linear when one player explores, flattening like a "
    "logarithm when both play the equilibrium.",
    name="symmetric",
)

# %% [markdown]
# Another one: the average of all policies played is itself a good policy, because the dual gap is convex: its gap is at most the
# average regret.

# %%
for eta, averaged, bound in zip(learning.etas, *learning.averaged, strict=True):
    print(f"η = {eta:<5g}  gap of the averaged policy {averaged:.2e}, regret / T {bound:.2e}")

# %% [markdown]
# ## Three actions, seen in the triangle
#
# A lopsided cycle: policies start at even play and walk to the equilibrium, over the contours of the true dual gap.

# %%
simplex = chapter.simplex(params)
plotting.show(
    chapter.figure_simplex(simplex),
    alt="Two triangles of policies over three actions, coloured by the dual gap, with paths of three runs from the centre to a star at "
    "the bottom of the valley; at the larger eta the valley is narrower and the paths wander more.",
    name="simplex",
)

# %% [markdown]
# ## Explore, then commit
#
# $T_0$ rounds of exploration on both sides, one fit with a nuclear norm, and its equilibrium from then on. The square-root schedule
# alone makes the exploration cost $\sqrt T$; what has to be seen is that the committed gap falls like $1/T_0$.

# %%
commit = chapter.commit(params)
plotting.show(
    chapter.figure_commit(commit),
    alt="Left: committed gap against exploration rounds: slope minus one at moderate eta, minus one half at huge eta. Right: regret "
    "against horizon: slope one half for the square-root schedule, two thirds for the usual one, growing steepness for constant "
    "exploration; greedy sampling far below all.",
    name="commit",
)

# %% [markdown]
# ## What the nuclear norm gains, and where
#
# The same number of exploration rounds for growing $d$. The nuclear norm pays when the rank is low; when it is not, shrinking costs
# more than it saves. Singular values of skew matrices come in equal pairs, and the estimates keep that.

# %%
ranks = chapter.ranks(params)
plotting.show(
    chapter.figure_ranks(ranks),
    alt="Left and middle: error and committed gap of plain and ridge fits over those of the nuclear norm against the dimension; growing "
    "beyond one at rank two, below one at full rank. Right: singular values in pairs; the nuclear norm keeps one large pair and shrinks the rest.",
    name="ranks",
)

# %% [markdown]
# ## Verdicts

# %%
results = chapter.Results(cycle=cycle, gap_law=gap_law, learning=learning, simplex=simplex, commit=commit, ranks=ranks)
verdicts = chapter.verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
