# ---
# jupyter:
#   workbench:
#     title: "24 · Noisy labels"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 24 · Noisy labels: what a flipped label does, and what undoes it
#
# **The claim in one sentence.** Flipping labels with probability ε multiplies
# what a pair says by 1 − 2ε; DPO leaves that factor in, cDPO multiplies by it
# once more, rDPO divides it out, and dividing by too small a factor leaves no
# minimum at all.
#
# After this lesson you can
#
# * compute what each loss converges to when the flip rate is known;
# * say what happens when the flip rate is guessed too low, or too high;
# * tell a policy that points the wrong way from one that stops too early;
# * separate three things that robust list losses change at once.
#
# Run time at `lecture`: about a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace as method

import numpy as np
import pandas as pd
import torch
from IPython.display import display
from torch.nn.functional import softplus

from workbench import teach, views
from workbench.core.batches import ListLogps
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.lists import Lists

# %%
from workbench.feedback.pairs import Pairs, sample_pairs
from workbench.feedback.supply import sample_supply
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.measure import implicit_accuracy as answers
from workbench.methods.offline import adpo, adpo_pair, cdpo, dpo, ipo, rdpo
from workbench.models import tiny
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 60, "figure": 600}[PROFILE]
n_pairs = {"ci": 48, "lecture": 480, "figure": 4800}[PROFILE]
rates, true, beta, tau = (0.0, 0.1, 0.2, 0.3, 0.4), 0.2, 1.0, 0.25

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The question
#
# One label in five was recorded the wrong way round. Nobody knows which, but
# somebody knows that it is one in five. What should the loss do about it?
#
# **Write down a prediction.** Which of these ends with the most gold reward
# when two labels in five are flipped: DPO, which takes labels as they are;
# cDPO, which trusts each label to 1 − ε; rDPO, which subtracts what a flip
# would have added; IPO, which is bounded? And which is nearest to its clean
# self?
#
# ## Three data points
#
# The annotator is a Bradley–Terry coin, p = σ(r_a − r_b), and then the label
# is flipped with probability ε. The same pairs and the same coins are drawn at
# each ε, so whatever differs between two columns below is a flip.


# %%
def drawn(flip, seed):
    draw = generator(seed, "pairs")
    return sample_pairs(world, ref, n_pairs, Annotator(flip=flip), draw)


data = {e: [drawn(e, SEED + s) for s in range(seeds)] for e in rates}
rows = []
for i in range(3):
    x, one = int(data[0][0].chosen.prompt[i]), data[0][0].chosen.response[i]
    two = data[0][0].rejected.response[i]
    said = [data[e][0].chosen.response[i] == one for e in (0.2, 0.4)]
    gap = (world.gold[x, one] - world.gold[x, two]).item()
    chance = [Annotator(flip=e).probability(gap, 0 * one) for e in (0, 0.4)]
    rows.append([world.text(int(one)), world.text(int(two)), gap, *chance])
    rows[-1] = [*map(str, rows[-1][:2]), round(gap, 2), *map(float, chance)]
    rows[-1] += ["kept" if k else "flipped" for k in said]
heads = ["chosen", "rejected", "Δr", "p, ε = 0", "p, ε = 0.4"]
pd.DataFrame(rows, columns=[*heads, "label, 0.2", "label, 0.4"]).round(3)
