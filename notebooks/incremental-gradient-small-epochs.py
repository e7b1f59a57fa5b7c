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

# %% tags=["parameters"]
profile = "quick"  # "quick" or "paper"
device = "auto"  # "auto", "cpu" or "cuda"
seed = 0
n = None  # components; None keeps the profile's value
kappa = None  # condition number L / mu
mu = None  # strong convexity of the sum
G = None  # bound on the components' gradients at the optimum
epochs = None  # numbers of epochs K
order = None  # IGD's order: "blocked", "alternating" or "random"
step_points = None  # step sizes on the tuning grid
sizes = None  # numbers of components for the comparison over n
rr_seeds = None  # runs of random reshuffling
rr_epochs = None  # largest K at which reshuffling is simulated
large_kappas = None  # condition numbers of the many-epochs instances
large_n = None  # components of the many-epochs instances
problems = None  # random problems
images = None  # digits in the logistic regression
image_epochs = None  # epochs of the logistic regression

# %%
import inspect

from companion import plotting
from companion.analysis.finite_sum import FiniteSumQuadratic, herding_order, product, second_moment_superoperator
from companion.chapters import incremental_gradient_small_epochs as chapter

params = chapter.Parameters.resolve(
    profile=profile,
    device=device,
    seed=seed,
    n=n,
    kappa=kappa,
    mu=mu,
    G=G,
    epochs=epochs,
    order=order,
    step_points=step_points,
    sizes=sizes,
    rr_seeds=rr_seeds,
    rr_epochs=rr_epochs,
    large_kappas=large_kappas,
    large_n=large_n,
    problems=problems,
    images=images,
    image_epochs=image_epochs,
)
params

# %% [markdown]
# ## The engine
#
# A gradient step on $f_i(x)=\tfrac12x^\top H_ix-b_i^\top x$ is the matrix $I+\eta B_i$ acting on $(x,1)$, with
# $B_i=\begin{pmatrix}-H_i&b_i\\0&0\end{pmatrix}$. One epoch is the product of $n$ of them, multiplied pairwise and for
# all step sizes together. With-replacement SGD needs no simulation either: one linear map carries the second moment of
# $(x,1)$ over a step.

# %%
print(inspect.getsource(product))
print(inspect.getsource(FiniteSumQuadratic.final_gap))
print(inspect.getsource(second_moment_superoperator))

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
step_dilemma = chapter.step_dilemma(params)
plotting.show(
    chapter.figure_dilemma(step_dilemma),
    alt="Final gap over the step size on log axes. The curves of SGD and of the alternating order dip into deep "
    "valleys; IGD's valley is shallow. Dashed leading-order theory lies on IGD's and SGD's curves.",
    name="dilemma",
)

# %% [markdown]
# What to see: to the left of $c=1$ all methods agree, since the flat direction decides. To the right IGD turns up at
# once, SGD a factor of about $n$ lower. Interleaving the two halves (the alternating order) beats both, with the same
# components and the same cost.

# %% [markdown]
# ## A factor of almost $n$
#
# Minimizing the two formulas over $c$ predicts the ratio of the tuned gaps, $0.0864\cdot8n/(1+\ln4n)$.

# %%
sizes_result = chapter.sizes(params)
plotting.show(
    chapter.figure_sizes(sizes_result),
    alt="Tuned gap over SGD's for several numbers of components. IGD in the blocked order rises almost like n along the "
    "dashed prediction; the alternating order lies below one and falls.",
    name="sizes",
)

# %%
print("     n   IGD/SGD  predicted")
for count, igd, sgd, predicted in zip(
    sizes_result.n, sizes_result.igd, sizes_result.sgd, sizes_result.predicted, strict=True
):
    print(f"{count:6d} {igd / sgd:9.2f} {predicted:10.2f}")

# %% [markdown]
# ## Different Hessians: the turning polygon
#
# Now every component is strongly convex, steep across one direction of a plane and flat along it, and the directions
# turn through a full circle. Seen from a frame that turns along, every step is the same affine map, so the iterates
# settle on a regular $n$-gon. With $s=1-\cos(2\pi/n)$ its radius is
#
# $$v=\frac{\eta G\sqrt{\eta^2L^2+2s(1-\eta L)}}{\eta^2\mu L+s\,(2-\eta(L+\mu))}.$$

# %%
polygon = chapter.polygon_orbits(params)
plotting.show(
    chapter.figure_polygon(polygon),
    alt="Left: the iterates of IGD's last epoch form a circle around the optimum, on the dashed radius of the closed "
    "form, inside the larger circle of the components' minimizers. Right: the orbit of a random order, enlarged, is a "
    "small cloud around the optimum.",
    name="polygon",
)

# %% [markdown]
# What to see: no component pulls the iterates to the optimum for long, and their pulls arrive in the worst order, one
# neighbour after the other. The same components in a random order leave the iterates close to the optimum.

# %% [markdown]
# ## Concave components: contract, then expand
#
# In the last instance the second half of the components is concave in one coordinate: curvature $-L/2$ after $L$, so
# that their mean stays strongly convex. What the noise leaves after the first half is expanded by
# $(1+\eta L/2)^{n/2}$ in the second.

# %%
within_epoch = chapter.within_epoch(params)
plotting.show(
    chapter.figure_within_epoch(within_epoch),
    alt="Distance of one coordinate from the optimum within one epoch, logarithmic. IGD's curve, on the dashed closed "
    "form, falls in the convex half and grows exponentially in the concave half; three runs of random reshuffling "
    "fluctuate at a low level.",
    name="within-epoch",
)

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
bounds_map = chapter.bounds_map(params)
plotting.show(
    chapter.figure_glance(bounds_map),
    alt="Three panels: best final gap over the number of epochs for components with one Hessian, strongly convex "
    "components, and half-concave components. IGD's curve is parallel to the dashed lower bound in each, far above SGD "
    "and random reshuffling for few epochs; the alternating order is lowest.",
    name="glance",
)

# %%
print("     K   one Hessian   strongly convex   half concave      SGD (one Hessian)")
for column, K in enumerate(bounds_map.epochs):
    first, second, third = bounds_map.igd[:, column]
    print(f"{K:6d} {first:13.2e} {second:17.2e} {third:14.2e} {bounds_map.sgd[0, column]:19.2e}")

# %% [markdown]
# What to see: three different slopes for the same $n$, $\kappa$ and $K$. With few epochs the kind of components decides
# over orders of magnitude. As $K$ approaches $\kappa$ the exponential is over, and the half-concave instance drops below
# the strongly convex one.

# %%
phase_map = chapter.phase_map(params)
plotting.show(
    chapter.figure_phase_map(phase_map),
    alt="Colour map of the logarithm of IGD's over SGD's tuned gap over epochs and condition number. A broad band of "
    "one colour between the lines K = 4 kappa / n and K = kappa, falling off to the right, where IGD wins in the end.",
    name="phase-map",
)

# %% [markdown]
# Between the two lines the factor is constant. To the left of the dotted line even SGD is held up by $\eta\le2/L$. To
# the right of $K=\kappa$ IGD's gap falls like $1/K^2$, SGD's like $1/K$, and the order of the two is reversed at last.

# %% [markdown]
# ## One common start
#
# An exponentially large gap sounds like divergence, but it needs an exponentially bad start. Start all instances at
# distance $G/\mu$ along the flattest direction instead, and tune again.

# %%
common_start = chapter.common_start(params)
plotting.show(
    chapter.figure_common_start(common_start),
    alt="Best final gap over the initial gap for the three kinds of components from one common start. IGD makes almost "
    "no progress for few epochs on strongly convex and half-concave components; SGD and random reshuffling are orders "
    "of magnitude lower.",
    name="common-start",
)

# %%
print("     K   best step of IGD as a share of 1/(mu n K): one Hessian, strongly convex, half concave")
for K, shares in zip(common_start.epochs, common_start.reach.T, strict=True):
    print(f"{K:6d}   " + "   ".join(f"{share:6.2f}" for share in shares))

# %% [markdown]
# What to see: the best step shrinks below $1/(\mu nK)$, too small to arrive, because every larger one is worse. In this
# reading the exponential lower bound means almost no progress, not a blow-up.

# %% [markdown]
# ## Many epochs
#
# From $K=\kappa$ on the bounds are $LG^2/(\mu K)^2$ for convex components and $\kappa$ times that if some are concave.
# The instance for the latter lets a pass drift: concave parts where the noise has pushed least, convex parts where it
# has pushed most.

# %%
many_epochs = chapter.many_epochs(params)
plotting.show(
    chapter.figure_many_epochs(many_epochs),
    alt="Left: best gap over the bound, flat in K and on the dashed constants for both instances. Right: the ratio of "
    "the two gaps grows in proportion to kappa if the concave parts let a pass drift, and not if they lie in two halves.",
    name="many-epochs",
)

# %% [markdown]
# A lower bound alone proves nothing about tightness. So, at the step of the theory: random problems in random and
# sorted orders, and the hard instances, against the upper bounds without any constant.

# %%
upper_bounds = chapter.upper_bounds(params)
plotting.show(
    chapter.figure_upper_bounds(upper_bounds),
    alt="Gaps over the upper bounds for random problems of four kinds in random and sorted orders, all below one, with "
    "the lower-bound instances as stars just below; the drifting instance held against the convex bound crosses one as "
    "kappa grows.",
    name="upper-bounds",
)

# %% [markdown]
# ## Orders that help
#
# What the order contributes to the bias is the longest partial sum of the gradients at the optimum, $HG$. Sorted, it is
# of order $nG$; shuffled, $\sqrt n\,G$; herded, of order $G$. A greedy herding order takes, at each step, the gradient
# that makes the partial sum shortest.

# %%
print(inspect.getsource(herding_order))

# %%
herding = chapter.herding(params)
plotting.show(
    chapter.figure_herding(herding),
    alt="Tuned gap over SGD's against the herding constant for random problems with different Hessians: herded orders "
    "far below one, random orders below one, sorted orders above it.",
    name="herding",
)

# %% [markdown]
# ## A real problem
#
# Softmax regression with a small ridge on scanned digits. Sorted by class is how such files are often stored; herded
# uses the gradients at the optimum, which one does not know in advance, so it shows what an order could achieve.

# %%
digits = chapter.digits(params)
plotting.show(
    chapter.figure_digits(digits),
    alt="Best gap over the initial gap after each epoch of logistic regression on digits: sorted by class is slowest by "
    "far, with replacement and reshuffled are close to each other, herded is lowest.",
    name="digits",
)

# %%
print("method              first epoch   last epoch")
for name, gaps in zip(digits.names, digits.gaps, strict=True):
    print(f"{name:18s} {gaps[0]:12.4f} {gaps[-1]:12.5f}")

# %% [markdown]
# What to see: nothing here was built to be hard, and the first epochs in class order are nearly lost all the same. One
# shuffle per epoch removes the problem.

# %% [markdown]
# ## Verdicts

# %%
results = chapter.Results(
    bounds_map=bounds_map,
    step_dilemma=step_dilemma,
    sizes=sizes_result,
    polygon=polygon,
    within_epoch=within_epoch,
    phase_map=phase_map,
    common_start=common_start,
    many_epochs=many_epochs,
    upper_bounds=upper_bounds,
    herding=herding,
    digits=digits,
)
verdicts = chapter.verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
