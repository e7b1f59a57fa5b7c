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
# # Lab: incremental gradient descent with few epochs
#
# This notebook reruns what [the chapter](../book/incremental-gradient-small-epochs.md) proves: on ill-conditioned
# problems, a few passes over the data in a fixed order can be far slower than the same number of random steps. Every
# comparison tunes the constant step of every method first, on a grid that reaches past stability; at one common step
# the methods look alike, and nothing is learned.
#
# Components are quadratics, so that an epoch is an affine map and a run is a power of a small matrix: the final gap is
# exact, for hundreds of step sizes at once.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
n = None  # number of components n: an integer from 8 to 16384, a multiple of 4
kappa = None  # condition number κ = L/μ: a number from 8 to 65536
mu = None  # strong convexity μ of the sum: a number from 0.001 to 1000
G = None  # bound G on the components' gradients at the optimum: a number from 0.001 to 1000
# numbers of epochs K; at most κ/2 is the small-epoch regime: a list of 1 to 24, each an integer from 1 to 65536
epochs = None
order = None  # order of IGD's passes: blocked, alternating, random
step_points = None  # step sizes on the grid over which every method is tuned: an integer from 20 to 2000
# numbers of components of the comparison with SGD over n: a list of 2 to 12, each an integer from 8 to 16384, a
# multiple of 4
sizes = None
rr_seeds = None  # runs of random reshuffling: an integer from 1 to 1024
rr_epochs = None  # largest K at which random reshuffling is simulated: an integer from 1 to 8192
large_kappas = None  # condition numbers of the many-epochs instances: a list of 2 to 8, each a number from 8 to 65536
# components of the many-epochs instances, best several times the largest κ: an integer from 8 to 16384, a multiple of 4
large_n = None
problems = None  # random problems for the upper bounds; a quarter of them for herding: an integer from 1 to 4096
images = None  # handwritten digits in the logistic regression: an integer from 50 to 1297
image_epochs = None  # epochs of the logistic regression: an integer from 1 to 200

# %%
from companion import plotting
from companion.chapters.incremental_gradient_small_epochs import Parameters, Results, experiments, figures, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## The dilemma of the step
#
# Question: which constant step should incremental gradient descent (IGD) take? All components share one Hessian here,
# $\mathrm{diag}(\mu,\mu K,L)$. A step below $1/(\mu nK)$ cannot travel along the flat direction in $nK$ steps. A larger
# one lets half a pass push the middle coordinate away and the other half push it back. With $c=\eta\mu nK$ the gap is
#
# $$\begin{aligned}
# \frac{G^2}{\mu K}\cdot\tfrac12\bigl(\tanh^2(c/4)+e^{-2c}\bigr)&\quad\text{for IGD},\\
# \frac{G^2}{\mu K}\Bigl(\frac c{4n}+\tfrac12e^{-2c}\Bigr)&\quad\text{for SGD with replacement.}
# \end{aligned}$$

# %%
step_dilemma = experiments.step_dilemma(params)
plotting.show(figures.dilemma(step_dilemma), name="dilemma")

# %% [markdown]
# What to see: to the left of $c=1$ all methods agree, since the flat direction decides. To the right IGD turns up at
# once, SGD a factor of about $n$ lower. Interleaving the two halves (the alternating order) beats both, with the same
# components and the same cost.

# %% [markdown]
# ## A factor of almost $n$
#
# Minimizing the two formulas over $c$ predicts the ratio of the tuned gaps, $0.0864\cdot8n/(1+\ln4n)$.

# %%
comparison = experiments.size_comparison(params)
plotting.show(figures.sizes(comparison), name="sizes")

# %% [markdown]
# What to see: the prediction cannot be told from the measurement, and the alternating order gains on SGD what the
# blocked one loses. In numbers:

# %%
print("     n   IGD/SGD  predicted")
for count, igd, sgd, predicted in zip(comparison.n, comparison.igd, comparison.sgd, comparison.predicted, strict=True):
    print(f"{count:6d} {igd / sgd:9.2f} {predicted:10.2f}")

# %% [markdown]
# ## The engine
#
# A gradient step on $f_i(x)=\tfrac12x^\top H_ix-b_i^\top x$ is the matrix $I+\eta B_i$ acting on $(x,1)$, with
# $B_i=\begin{pmatrix}-H_i&b_i\\0&0\end{pmatrix}$. One epoch is the product of $n$ of them, multiplied pairwise and for
# all step sizes together. With-replacement SGD needs no simulation either: one linear map carries the second moment of
# $(x,1)$ over a step.

# %%
import inspect

from companion.analysis.finite_sum import FiniteSumQuadratic, herding_order, product, second_moment_superoperator

print(inspect.getsource(product))
print(inspect.getsource(FiniteSumQuadratic.final_gap))
print(inspect.getsource(second_moment_superoperator))

# %% [markdown]
# ## Different Hessians: the turning polygon
#
# Now every component is strongly convex, steep across one direction of a plane and flat along it, and the directions
# turn through a full circle. Seen from a frame that turns along, every step is the same affine map, so the iterates
# settle on a regular $n$-gon. With $s=1-\cos(2\pi/n)$ its radius is
#
# $$v=\frac{\eta G\sqrt{\eta^2L^2+2s(1-\eta L)}}{\eta^2\mu L+s\,(2-\eta(L+\mu))}.$$

# %%
polygon = experiments.polygon_orbits(params)
plotting.show(figures.polygon(polygon), name="polygon")

# %% [markdown]
# What to see: no component pulls the iterates to the optimum for long, and their pulls arrive in the worst order, one
# neighbour after the other. The same components in a random order leave the iterates close to the optimum.

# %% [markdown]
# ## Concave components: contract, then expand
#
# In the next instance the second half of the components is concave in one coordinate: curvature $-L/2$ after $L$, so
# that their mean stays strongly convex. What the noise leaves after the first half is expanded by
# $(1+\eta L/2)^{n/2}$ in the second.

# %%
within_epoch = experiments.within_epoch(params)
plotting.show(figures.within_epoch(within_epoch), name="within-epoch")

# %% [markdown]
# What to see: random reshuffling uses the same components, once each per epoch, and never lets an expansion run for
# long.

# %% [markdown]
# ## The map of bounds
#
# Tuned gaps of all methods for every number of epochs. The instance depends on $K$, and so does its start: the lower
# bounds say that *some* problem and start are bad for every step. Left of $K=\kappa$ are the instances for few epochs,
# right of it those for many.

# %%
bounds_map = experiments.bounds_map(params)
plotting.show(figures.glance(bounds_map), name="glance")

# %% [markdown]
# What to see: three different slopes for the same $n$, $\kappa$ and $K$. With few epochs the kind of components decides
# over orders of magnitude. As $K$ approaches $\kappa$ the exponential is over, and the half-concave instance drops below
# the strongly convex one. In numbers:

# %%
print("     K   one Hessian   strongly convex   half concave      SGD (one Hessian)")
for column, K in enumerate(bounds_map.epochs):
    first, second, third = bounds_map.of("IGD")[:, column]
    print(f"{K:6d} {first:13.2e} {second:17.2e} {third:14.2e} {bounds_map.of('SGD')[0, column]:19.2e}")

# %% [markdown]
# That does not make problems with concave components harmless there: another one takes over, in which a pass drifts
# (below, under many epochs).

# %%
plotting.show(figures.throughout(bounds_map), name="throughout")

# %% [markdown]
# What to see: the worse of the two stays above the strongly convex instance by a margin, for every small $K$.

# %%
phase_map = experiments.phase_map(params)
plotting.show(figures.phase_map(phase_map), name="phase-map")

# %% [markdown]
# What to see, for one Hessian again: between the two lines the factor is constant. To the left of the dotted line even
# SGD is held up by $\eta\le2/L$. To the right of $K=\kappa$ IGD's gap falls like $1/K^2$, SGD's like $1/K$, and the order
# of the two is reversed at last.

# %% [markdown]
# ## One common start
#
# An exponentially large gap sounds like divergence, but it needs an exponentially bad start. Start all instances at
# distance $G/\mu$ along the flattest direction instead, and tune again.

# %%
common_start = experiments.common_start(params)
plotting.show(figures.common_start(common_start), name="common-start")

# %% [markdown]
# What to see: in this reading the exponential lower bound means almost no progress, not a blow-up. The best step shrinks
# below $1/(\mu nK)$, too small to arrive, because every larger one is worse:

# %%
print("     K   best step of IGD as a share of 1/(mu n K): one Hessian, strongly convex, half concave")
for K, shares in zip(common_start.epochs, common_start.reach.T, strict=True):
    print(f"{K:6d}   " + "   ".join(f"{share:6.2f}" for share in shares))

# %% [markdown]
# ## Many epochs
#
# From $K=\kappa$ on the bounds are $LG^2/(\mu K)^2$ for convex components and $\kappa$ times that if some are concave.
# The instance for the latter lets a pass drift: concave parts where the noise has pushed least, convex parts where it
# has pushed most.

# %%
many_epochs = experiments.many_epochs(params)
plotting.show(figures.many_epochs(many_epochs), name="many-epochs")

# %% [markdown]
# What to see: both gaps are constant multiples of their bounds, the multiples of the theory. The price of concave parts is
# proportional to $\kappa$, and vanishes if the same parts stand in two halves.
#
# A lower bound alone proves nothing about tightness. So, at the step of the theory: random problems in random and
# sorted orders, and the hard instances, against the upper bounds without any constant.

# %%
upper_bounds = experiments.upper_bounds(params)
plotting.show(figures.upper_bounds(upper_bounds), name="upper-bounds")

# %% [markdown]
# What to see: sorted orders are worse than random ones, the hard instances worse than either, and all stay below the bound
# of their kind. At the theory's step the share of the bound does not depend on $K$: the rate is right. A step that does
# not shrink with $K$ crosses every bound in the end.

# %% [markdown]
# ## Orders that help
#
# What the order contributes to the bias is the longest partial sum of the gradients at the optimum, $HG$. Sorted, it is
# of order $nG$; shuffled, $\sqrt n\,G$; herded, of order $G$. A greedy herding order takes, at each step, the gradient
# that makes the partial sum shortest.

# %%
print(inspect.getsource(herding_order))

# %%
herding = experiments.herding(params)
plotting.show(figures.herding(herding), name="herding")

# %% [markdown]
# What to see: the three orders form three clouds on one rising line. A herded order beats random draws by far, a sorted one
# loses to them, with the same components.

# %% [markdown]
# ## A real problem
#
# Softmax regression with a small ridge on scanned digits. Sorted by class is how such files are often stored; herded
# uses the gradients at the optimum, which one does not know in advance, so it shows what an order could achieve.

# %%
digits = experiments.digits(params)
plotting.show(figures.digits(digits), name="digits")

# %% [markdown]
# What to see: nothing here was built to be hard, and the first epochs in class order are nearly lost all the same. One
# shuffle per epoch removes the problem.

# %%
print("method              first epoch   last epoch")
for name, gaps in zip(digits.names, digits.gaps, strict=True):
    print(f"{name:18s} {gaps[0]:12.4f} {gaps[-1]:12.5f}")

# %% [markdown]
# ## Verdicts

# %%
results = Results(
    bounds_map=bounds_map,
    step_dilemma=step_dilemma,
    sizes=comparison,
    polygon=polygon,
    within_epoch=within_epoch,
    phase_map=phase_map,
    common_start=common_start,
    many_epochs=many_epochs,
    upper_bounds=upper_bounds,
    herding=herding,
    digits=digits,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
