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

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
# data sets, each scored, pruned and retrained: a list of 1 to 5, each digits, fashion-mini, fashion-mnist, cifar10,
# cifar100
datasets = None
# training samples N, at most what the set has; none: the data set's preset: an integer from 500 to 1000000 or none
n_train = None
# repetitions S, each with its own weights, noise, corruption and draws; none: the preset: an integer from 1 to 50 or
# none
replicas = None
model = None  # network that scores and is retrained: mlp, cnn, resnet18
epochs_full = None  # epochs of a full scoring run, T_full: an integer from 2 to 1000
epochs_early = None  # epochs T that DUAL uses: an integer from 2 to 1000
window = None  # window J of the running mean and spread, epochs: an integer from 2 to 100
ratios = None  # pruning ratios r, share removed: a list of 1 to 20, each a number above 0 and below 1
# exponent c_D of the Beta law; none: the preset, or chosen on a validation split: a number of at most 100 above 0 or
# none
c_d = None
difficulty_power = None  # exponent p of the difficulty (1 - P)^p; 0 is Dyn-Unc: a number from 0 to 10
label_noise = None  # share of wrong labels in the noise scenario, η: a number from 0 to 0.8
corruption = None  # share of damaged images in the corruption scenario, κ: a number from 0 to 1
score_lr = None  # learning rate of the scoring run; none: the preset: a number of at most 10 above 0 or none
train_lr = None  # learning rate of retraining; none: the preset: a number of at most 10 above 0 or none
train_steps = None  # updates of each retraining; none: the preset: an integer from 1 to 100000 or none
record = None  # probabilities noted: after each epoch (eval) or from the training batches (train): eval, train

# %%
from companion import plotting
from companion.chapters.dual_pruning import Parameters, Results, experiments, figures, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## Two samples: when does a score turn to the hard one?
#
# A linear classifier starts at zero and follows gradient flow on exponential loss. For an easy sample of squared norm $a_1$ and an
# orthogonal hard one of $a_2 < a_1$ the probability of the right label is $p_i(t) = (1 + a_i t)/(2 + a_i t)$. Dyn-Unc scores by the
# speed $\dot p_i$, DUAL by $(1 - p_i)\,\dot p_i$. Both prefer the easy sample at first and the hard one in the end.

# %%
crossing = experiments.crossing(params)
plotting.show(figures.crossing(crossing), name="crossing")

# %% [markdown]
# DUAL's curves cross no later than half way to Dyn-Unc's crossing; the dots come from gradient descent and the very code that scores
# images below. The next cell looks at pairs that are *not* orthogonal, trained on logistic loss: how DUAL's crossing compares with
# Dyn-Unc's, and how often the hard sample leads in spread without leading in DUAL.

# %%
print(f"pairs                                 {len(crossing.ratio)}")
print(f"windows that break the implication    {crossing.violations.sum()}")
print(f"the same, samples exchanged           {crossing.swapped.sum()}")
print(f"T_dual / T_unc, smallest to largest   {crossing.ratio.min():.2f} to {crossing.ratio.max():.2f}")

# %% [markdown]
# ## Scoring: a run that stops early, and one that does not
#
# All replicas train as one batched network. The early run has clean data, wrong labels and damaged images, stops after the early
# epochs and keeps the learning rates of the long schedule; DUAL is computed from it alone. The full run, on clean data, serves the
# methods that need it. After each epoch the probability of the given label is noted.

# %%
scored = experiments.score(params)
for entry in scored.sets.values():
    print(entry.described)
    spent, full = entry.early["clean"].operations, entry.full.operations
    print(f"operations for one network: {spent:.3g} in the early run, {full:.3g} in the full run, {spent / full:.0%}\n")

# %% [markdown]
# Each sample is a point with its window's mean and spread of that probability. The dashed half-moon is the largest spread that a
# mean allows; the thin lines join points of equal $(1 - \bar P)\,s$.

# %%
plotting.show(figures.plane(scored), name="plane")

# %% [markdown]
# Uncertainty alone favours the top of the moon; the factor $1 - \bar P$ tilts the preference to the left, to samples that will
# arrive at the top later. That is why DUAL can be read off early:

# %%
plotting.show(figures.overlap(experiments.overlap_curves(params, scored), scored), name="overlap")

# %% [markdown]
# At the grey line, where the early run stops, DUAL shares more with the full run's choice than Dyn-Unc does; given enough epochs
# Dyn-Unc agrees with itself, of course.
#
# ## Pruning: from a score to a subset
#
# Keeping the samples of largest score is right while much is kept. For heavy pruning the chance of being drawn is the score times a
# Beta density of the mean probability, whose peak moves to easy samples as the pruning ratio grows. How late it moves is the exponent
# $c_D$; where no value is given, networks trained on clean coresets of each candidate are judged on a validation split that no
# coreset and no test touches, and the smallest exponent within a standard error of the best is taken.

# %%
tuned = experiments.tune(params, scored)
plotting.show(figures.tuning(tuned), name="tuning")

# %% [markdown]
# A large exponent means hard samples, and costs fashion images points; digits hardly mind.

# %%
coresets = experiments.prune(params, scored, tuned)
plotting.show(figures.beta(scored, tuned, coresets), name="beta")

# %% [markdown]
# At small ratios the dots lie above the law: most samples near its peak are taken, and without replacement the rest of the budget
# has to come from elsewhere. What the methods keep looks like this:

# %%
plotting.show(figures.images(experiments.pictures(params, scored, coresets)), name="images")

# %% [markdown]
# Samples of largest DUAL could belong to several classes, those of smallest DUAL could not; under label noise EL2N picks wrong labels.
#
# ## Retraining on what is left
#
# A fresh network is trained on each subset for a fixed number of steps, and tested on clean data. Filled marks: scores from the early
# epochs; open marks: scores from the full run, or none.

# %%
retrained = experiments.retrain(params, scored, coresets)
plotting.show(figures.glance(scored, retrained), name="glance")

# %% [markdown]
# The collapse and its repair are the chapter's main picture. Who is best at the right end is a matter of a few points, and there
# CCS, an older method with a full run behind it, is not beaten at this scale.
#
# ## Wrong labels

# %%
plotting.show(figures.noise(scored, coresets, retrained), name="noise")

# %% [markdown]
# A sample with a wrong label is hard but not uncertain while the network has not memorized it: its probability stays near zero, and
# so does its spread. The Beta law, whose density vanishes there, removes most of the rest.
#
# ## Damaged images

# %%
plotting.show(figures.damage(retrained), name="damage")

# %% [markdown]
# At half the data most choices lie close together; at a tenth the hardest samples alone fail again, and the two methods that sample do
# not.
#
# ## Other learners
#
# Subsets chosen with one network under label noise serve others: a support vector machine, and another network.

# %%
transferred = experiments.transfer(params, scored, coresets)
plotting.show(figures.transfer(transferred, scored), name="transfer")

# %% [markdown]
# Leaving wrong labels out helps everybody; coresets of EL2N, which collect them, help nobody.
#
# ## Extension: how much difficulty, how long a window?
#
# The score $(1 - \bar P)^p\, s$ has two knobs. Difficulty moves the preferred mean from $\tfrac12$ to $\tfrac1{2(1+p)}$: too little
# and the early score is too early, too much and it collects wrong labels.

# %%
plotting.show(figures.heat(experiments.heat_maps(params, scored)), name="heat")

# %% [markdown]
# Left, high numbers are good; right, low ones. Power 1 gives up little on either side.
#
# ## Verdicts

# %%
results = Results(
    crossing=crossing,
    scored=scored,
    tuned=tuned,
    coresets=coresets,
    retrained=retrained,
    transferred=transferred,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
