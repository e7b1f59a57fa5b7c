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
# # Lab: AMUSE
#
# This notebook reruns what [the chapter](../book/amuse.md) says: Muon runs fast along the floor of a valley and swings
# between its walls; AMUSE takes the gradient ever nearer to an average of Muon's iterates, keeps the speed, loses the
# swing, and needs no schedule of the learning rate.

# %% tags=["parameters", "hide-input"]
profile = "quick"  # scale: seconds on a CPU, or the paper's on a GPU: quick, paper
device = "auto"  # where tensors live; auto takes a GPU if there is one: auto, cpu, cuda
seed = 0  # seed of every random number in the run: an integer from 0 to 2147483647
momentum = None  # Muon's momentum μ: a number from 0 to 0.99
# exponents ρ of the averaging window and of the motion between two walls: a list of 2 to 5, each a number from 0 to
# 0.95
rhos = None
wall_steps = None  # sign steps between two walls: an integer from 4000 to 200000
river_steps = None  # steps in the river valley: an integer from 480 to 20000
river_replicas = None  # river valleys, each of its own data: an integer from 1 to 64
river_beta1 = None  # first coefficient β₁ in the river valley and in the network: a number from 0 to 0.9
river_rho = None  # exponent ρ there: a number from 0 to 1
network_seeds = None  # networks whose curvature is looked at, for each method: an integer from 1 to 32
network_steps = None  # steps of training them: an integer from 60 to 5000
label_noise = None  # share of their labels that is drawn at random: a number from 0 to 0.9
window = None  # last steps whose motion is measured: an integer from 10 to 200
dominant = None  # leading eigenvectors of the Hessian that span the dominant subspace: an integer from 2 to 15
beta1 = None  # first coefficient β₁ of AMUSE on text: a number from 0 to 0.9
rho = None  # exponent ρ of AMUSE on text: a number from 0 to 1
warmup = None  # warm-up on text, as a share of the steps: a number from 0.01 to 0.5
# first coefficients from which one rising and one fixed are compared on text: a list of 1 to 4, each a number from 0 to
# 0.99
starts = None
# further fixed coefficients on text, of which the best is searched for: a list of 1 to 4, each a number from 0 to 0.99
searched = None
language_steps = None  # steps on text: an integer from 64 to 20000
width = None  # width of the language model, a multiple of 4: an integer from 8 to 768, a multiple of 4
blocks = None  # its blocks: an integer from 1 to 12
context = None  # symbols that it sees: an integer from 4 to 512
batch = None  # windows of text in a batch: an integer from 1 to 64
text_bytes = None  # bytes of text: an integer from 100000 to 20000000
# learning rates of Muon on text; as many for every method: a list of 1 to 4, each a number from 0.0001 to 0.5
muon_lrs = None
# learning rates of AMUSE on text; coefficients are compared at the last: a list of 1 to 4, each a number from 0.0001 to
# 0.5
amuse_lrs = None
sf_lrs = None  # learning rates of Schedule-Free AdamW on text: a list of 1 to 4, each a number from 0.0001 to 0.5
adamw_lrs = None  # learning rates of AdamW on text: a list of 1 to 4, each a number from 0.0001 to 0.5
images = None  # data set of the networks on images: fashion-mini, fashion-mnist, digits
image_steps = None  # steps on images: an integer from 64 to 20000
image_seeds = None  # networks on images for each method and rate: an integer from 1 to 32
image_width = None  # width of their hidden layers: an integer from 8 to 256
image_batch = None  # images in a batch: an integer from 1 to 256
image_beta1 = None  # first coefficient β₁ of AMUSE on images: a number from 0 to 0.9
image_rho = None  # exponent ρ of AMUSE on images: a number from 0 to 1
# learning rates of Muon on images; as many for every method: a list of 1 to 4, each a number from 0.0001 to 0.5
image_muon_lrs = None
image_amuse_lrs = None  # learning rates of AMUSE on images: a list of 1 to 4, each a number from 0.0001 to 0.5
# learning rates of Schedule-Free AdamW on images: a list of 1 to 4, each a number from 0.0001 to 0.5
image_sf_lrs = None
image_adamw_lrs = None  # learning rates of AdamW on images: a list of 1 to 4, each a number from 0.0001 to 0.5

# %%
import inspect

from companion import plotting
from companion.chapters.amuse import Parameters, Results, experiments, figures, networks, schedule, training, verify

params = Parameters.of(globals())
params

# %% [markdown]
# ## The whole at a glance
#
# Small networks on digits with wrong labels, trained by Muon and by AMUSE, seen across their valley; then small
# language models, trained by five methods at two learning rates each.

# %%
network = experiments.network(params)
language = experiments.language(params)
plotting.show(figures.glance(network, language), name="glance")

# %% [markdown]
# What to see: on the left the two paths come as far along the bulk as their lengths say, and Muon's swings several
# times as wide. On the right every line is a rival at the better of its rates at each step, against *one* run of
# AMUSE, the horizontal line. From a quarter of the run on it is ahead on average; before, its answer is an average of
# too few points for that to be sure.
#
# ## The method
#
# Each step moves $Z$ by Muon, averages it into $X$, and places the next gradient between the two:
#
# $$Z_t=Z_{t-1}-\eta_tO_t,\qquad X_t=(1-c_t)X_{t-1}+c_tZ_t,\qquad Y_t=(1-\beta_t)Z_t+\beta_tX_t .$$

# %%
print(inspect.getsource(training.orthogonal))
print(inspect.getsource(training.moved))
print(inspect.getsource(training.gradient_point))
print(inspect.getsource(schedule.coefficients))

# %% [markdown]
# $X$ is then a moving average of the gradient points themselves, over a window that grows like $t^{1-\rho}$.

# %%
averages = experiments.averages(params)
plotting.show(figures.window(averages), name="window")

# %% [markdown]
# What to see: from $\rho=0$, the window of a plain mean, to larger exponents the window grows ever more slowly. The
# mean age of what is averaged follows the dashed closed form once the start is forgotten.
#
# ## Between two walls
#
# One number, $y^2/2$, and steps of the sign: the smallest Muon there is.

# %%
walls = experiments.walls(params)
print("exponents ", walls.rho[1:])
print("slopes    ", walls.slopes()[1:].round(3))
print("|X - Z| over a step, at most", walls.apart.round(2))
plotting.show(figures.walls(walls), name="walls")

# %% [markdown]
# What to see: Muon swings for ever by its step length, a fixed coefficient by a part of it. A rising coefficient comes
# to rest along the dashed lines although the learning rate never falls.
#
# ## A river valley
#
# A quadratic of $16\times32$ matrices, steep in four columns and flat in the others; noisy gradients; a start near the
# floor and far from the end.

# %%
river = experiments.river(params)
plotting.show(figures.river(river), name="river")

# %% [markdown]
# What to see: Muon is first along the valley and stays high across it. AMUSE is nearly as fast as its first coefficient
# kept fixed, and goes on to come down where that stays level. A coefficient of 0.95 is as calm late, but it is slow
# and far from calm before. SGD, whose steps shrink with the gradient, is slow along the river and goes on to the end.

# %%
plotting.show(figures.noise(river), name="noise")

# %% [markdown]
# What to see: with a tenth of the noise, SGD's excess falls by about a hundred, as for any method that is linear in the
# gradient. Muon gives its steps their full length back and keeps more.
#
# ## Networks
#
# The dominant subspace is spanned by the leading eigenvectors of the Hessian at the end. Orthogonalizing turns updates
# away from it:

# %%
plotting.show(figures.shares(river, network), name="shares")

# %% [markdown]
# What to see: the blue bars are a fraction of the grey ones, whatever method made the momentum.

# %%
print(inspect.getsource(networks.motion))
plotting.show(figures.motion(network), name="motion")

# %% [markdown]
# What to see: a ray through the origin is a fixed price in motion across for progress along. A smaller rate moves Muon
# down its ray, open circles; AMUSE leaves it. SGD and Adam pay more for their way than Muon.

# %%
plotting.show(figures.zigzag(network), name="zigzag")

# %% [markdown]
# What to see: swings, but for AMUSE. The coherence compares the net motion across the valley with the path.
#
# ## Text
#
# All members in one batch: five methods at two rates each, and fixed and rising coefficients from the same starts.

# %%
entrants = language.entrants
print(f"{language.numbers} weights a model, text from {language.source}")
print("method                 rate   beta1  rho   loss at a quarter, a half, the end")
quarter = len(language.t) // 4
for k, name in enumerate(entrants.names):
    losses = language.loss[[quarter - 1, 2 * quarter - 1, -1], k]
    print(f"{name:22s} {entrants.lr[k]:<6g} {entrants.beta1[k]:<6.2g} {entrants.rho[k]:<5.2g}", losses.round(3))
print("AMUSE at Z, where its steps move:", language.moving_loss[entrants.of("AMUSE")].round(2))

# %%
plotting.show(figures.coefficients(language), name="coefficients")

# %% [markdown]
# What to see: of the fixed coefficients the small ones end high, and one in between is best; rising ones end low from
# every start. What is saved is the search, not the loss at its end.
#
# ## Images

# %%
pictures = experiments.images(params)
plotting.show(figures.images(pictures), name="images")

# %% [markdown]
# What to see: the order of the methods hardly changes from the second quarter on, which is what anytime means.
#
# ## Verdicts

# %%
results = Results(
    averages=averages,
    walls=walls,
    river=river,
    network=network,
    language=language,
    images=pictures,
)
verdicts = verify(params, results)
verdicts

# %%
# NBVAL_CHECK_OUTPUT
print(verdicts.summary())
