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
# # Lab: pruning data early
#
# Which training samples can be thrown away, and can one tell without training to the end? This notebook scores, prunes and
# retrains, on clean data, under wrong labels and on damaged images. The theorems and what did not reproduce are in
# [the chapter](../book/dual-pruning.md).

# %% tags=["parameters"]
profile = "quick"  # "quick" or "paper"
device = "auto"  # "auto", "cpu" or "cuda"
seed = 0
datasets = None  # None keeps the profile's value
n_train = None
replicas = None
model = None
epochs_full = None
epochs_early = None
window = None
ratios = None
c_d = None
difficulty_power = None
label_noise = None
corruption = None
score_lr = None
train_lr = None
train_steps = None
record = None

# %%
from companion import plotting
from companion.chapters import dual_pruning as chapter

params = chapter.Parameters.resolve(
    profile=profile,
    device=device,
    seed=seed,
    datasets=datasets,
    n_train=n_train,
    replicas=replicas,
    model=model,
    epochs_full=epochs_full,
    epochs_early=epochs_early,
    window=window,
    ratios=ratios,
    c_d=c_d,
    difficulty_power=difficulty_power,
    label_noise=label_noise,
    corruption=corruption,
    score_lr=score_lr,
    train_lr=train_lr,
    train_steps=train_steps,
    record=record,
)
params

# %% [markdown]
# ## Two samples: when does a score turn to the hard one?
#
# A linear classifier starts at zero and follows gradient flow on exponential loss. For an easy sample of squared norm $a_1$ and an
# orthogonal hard one of $a_2 < a_1$ the probability of the right label is $p_i(t) = (1 + a_i t)/(2 + a_i t)$. Dyn-Unc scores by the
# speed $\dot p_i$, DUAL by $(1 - p_i)\,\dot p_i$. Both prefer the easy sample at first and the hard one in the end.

# %%
crossing = chapter.crossing(params)
plotting.show(
    chapter.figure_crossing(crossing),
    alt="Left: the scores of an easy and a hard sample fall over time; under DUAL the curves cross at half the time at which "
    "they cross under Dyn-Unc. Right: the crossing time falls with the difficulty power like one over one plus p.",
    name="crossing",
)

# %% [markdown]
# DUAL's curves cross no later than half way to Dyn-Unc's crossing. The next cell looks at pairs that are *not* orthogonal, trained
# by gradient descent on logistic loss: how DUAL's crossing compares with Dyn-Unc's, and how often the hard sample leads in spread
# without leading in DUAL.

# %%
print(f"pairs                                 {len(crossing.ratio)}")
print(f"windows that break the implication    {crossing.violations.sum()}")
print(f"the same, samples exchanged           {crossing.swapped.sum()}")
print(f"T_dual / T_unc, smallest to largest   {crossing.ratio.min():.2f} to {crossing.ratio.max():.2f}")

# %% [markdown]
# ## Scoring: one run over all data, in three scenarios
#
# All replicas train as one batched network: clean data for all epochs; wrong labels and damaged images for the early epochs only,
# with the learning rate of the long schedule. After each epoch the probability of the given label is noted.

# %%
proxies = chapter.score(params)
for proxy in proxies:
    print(proxy.dataset.describe())
    early, full = proxy.work["early"], proxy.work["full"]
    print(f"samples trained on: {early.trained:,} in the early run, {full.trained:,} in the full run\n")

# %% [markdown]
# Each sample is a point with its window's mean and spread of that probability. The dashed half-moon is the largest spread that a
# mean allows; the thin lines join points of equal $(1 - \bar P)\,s$.

# %%
plotting.show(
    chapter.figure_plane(proxies[-1]),
    alt="Four scatter plots of window spread against window mean, at growing epochs. The cloud fills the inside of a half-moon, "
    "drifts to the right, and lies on the floor at the end. The highest DUAL values are at the upper left.",
    name="plane",
)

# %% [markdown]
# Uncertainty alone favours the top of the moon; the factor $1 - \bar P$ tilts the preference to the left, to samples that will
# arrive at the top later. That is why DUAL can be read off early:

# %%
curves = {proxy.name: chapter.overlap_curve(params, proxy) for proxy in proxies}
plotting.show(
    chapter.figure_overlap(curves, params.epochs_early),
    alt="Overlap with the samples that a full run of Dyn-Unc selects, against the epoch at which scoring stops. DUAL starts high "
    "and stays; Dyn-Unc starts low and overtakes only late.",
    name="overlap",
)

# %% [markdown]
# ## Pruning: from a score to a subset
#
# Keeping the samples of largest score is right while much is kept. For heavy pruning the chance of being drawn is the score times a
# Beta density of the mean probability, whose peak moves to easy samples as the pruning ratio grows.

# %%
coresets = chapter.prune(params, proxies)
plotting.show(
    chapter.figure_beta(proxies[-1], coresets[-1]),
    alt="Left: Beta densities over the histogram of mean probabilities; the peak moves to the right as the pruning ratio grows. "
    "Right: the mean of the law against the pruning ratio for three exponents, with the means of what was drawn.",
    name="beta",
)

# %% [markdown]
# At small ratios the dots lie above the law: most samples near its peak are taken, and without replacement the rest of the budget
# has to come from elsewhere. What the methods keep looks like this:

# %%
plotting.show(
    chapter.figure_images(proxies[-1], coresets[-1]),
    alt="Rows of images: ambiguous ones have the largest DUAL, plain ones the smallest; draws of the Beta law are in between and "
    "varied. Under label noise the largest EL2N scores are wrong labels.",
    name="images",
)

# %% [markdown]
# ## Retraining on what is left
#
# A fresh network is trained on each subset for a fixed number of steps, and tested on clean data. Filled marks: scores from the early
# epochs; open marks: scores from the full run, or none.

# %%
retrained = chapter.retrain(params, proxies, coresets)
plotting.show(
    chapter.figure_accuracy(params, proxies, retrained),
    alt="Test accuracy against the share removed. All methods are close at mild pruning. At ninety percent the methods that keep "
    "the highest scores fall far below random pruning; DUAL with Beta sampling and CCS do not.",
    name="glance",
)

# %% [markdown]
# The collapse and its repair are the chapter's main picture. Who is best at the right end is a matter of a point or two, and there
# CCS, an older method, is not beaten at this scale.
#
# ## Other learners
#
# Subsets chosen with one network serve others: a support vector machine, another network, nearest neighbours.

# %%
transferred = chapter.transfer(params, proxies, coresets)
for proxy, reached in zip(proxies, transferred, strict=True):
    for (learner, scenario, method), accuracy in reached.items():
        if method != "random":
            base = reached[learner, scenario, "random"][: len(accuracy)]
            gain = 100 * (accuracy[: len(base)].mean() - base.mean())
            print(f"{proxy.name:14} {learner:4} {scenario:6} {method:10} minus random: {gain:+6.1f} points")

# %% [markdown]
# ## Wrong labels

# %%
results = chapter.Results(
    crossing=crossing, proxies=proxies, coresets=coresets, retrained=retrained, transferred=transferred
)
plotting.show(
    chapter.figure_noise(results),
    alt="Bars: the share of wrong labels among the selected is far above the base rate for EL2N and AUM, below it for DUAL, and "
    "almost zero for CCS and DUAL with Beta sampling. Accuracy after retraining follows.",
    name="noise",
)

# %% [markdown]
# A sample with a wrong label is hard but not uncertain while the network has not memorized it: its probability stays near zero, and
# so does its spread. The Beta law, whose density vanishes there, removes most of the rest.
#
# ## Extension: how much difficulty, how long a window?
#
# The score $(1 - \bar P)^p\, s$ has two knobs. Difficulty moves the preferred mean from $\tfrac12$ to $\tfrac1{2(1+p)}$: too little
# and the early score is too early, too much and it collects wrong labels.

# %%
maps = {proxy.name: chapter.heat_map(params, proxy) for proxy in proxies}
plotting.show(
    chapter.figure_heat(maps),
    alt="Heat maps over difficulty power and window. The overlap with the full run rises from power zero to one and then flattens; "
    "the share of wrong labels keeps rising with the power.",
    name="heat",
)

# %% [markdown]
# ## Verdicts

# %%
verdicts = chapter.verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
