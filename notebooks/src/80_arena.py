# ---
# jupyter:
#   workbench:
#     title: "80 · The arena"
#     part: practice
#     path: core
#     needs: ["20", "21"]
#     minutes: 90
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 80 · The arena: is your own loss any good?
#
# **The idea in one sentence.** Two losses can be compared only when labels,
# start, optimiser and number of responses are the same, and when the ruler
# charges for drift; then anybody's loss can enter, yours too.
#
# After this lesson you can
#
# * say what has to be equal before two methods are compared;
# * read gold reward, drift and regret together, with their intervals;
# * enter a loss of your own from one file, and say where it lands;
# * notice a wrong loss that trains without complaint.
#
# *Needs*: lessons 20 (DPO) and 21 (links). About 90 minutes. Unknown words
# stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
import tempfile
from functools import partial
from pathlib import Path

from workbench import experiment
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.thumbs import ThumbLogps
from workbench.lesson import *

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(2, 60, 400),
    pairs=(64, 256, 1024),
)
ruler_beta = 0.1  # of the optimum to which regret is measured
seeds = range(SEED + 10, SEED + 10 + size.seeds)
problem = experiment.of_reviews(seeds, n_pairs=size.pairs, beta=ruler_beta)
world, labels = problem.world, problem.labels[0]
budget = experiment.Schedule(steps=size.steps, batch_size=32, lr=1e-3)

# %% [markdown]
# ## The question
#
# Every paper has a table in which its own method wins. You have learned
# several losses by now, and you may have an idea for one. How would you find
# out whether it is any good?
#
# Tables mislead when something besides the loss differs: the data, the
# number of responses that were read, the start, the step size, or the
# measure. Here all of these are equal.

# %%
display(
    teach.predict(
        "80-1",
        "DPO and IPO run at their published settings (β = τ = 0.1), for "
        "equally many steps. Which of them has drifted further?",
        ["DPO", "IPO"],
    ),
    teach.predict(
        "80-2",
        "Somebody exchanges chosen and rejected in DPO by mistake. On pairs "
        "held out, how often does its reward order the pair rightly?",
        ["less than half", "half", "more than half"],
    ),
)

# %% [markdown]
# ## One annotator, every form of feedback
#
# The annotator gives each response a *utility*, once: the gold reward plus
# random noise. A pair keeps the order of two utilities. A thumb keeps, for
# each response, whether it was the better one. A list keeps four utilities
# of one prompt. So all methods learn from the same utilities of the same
# responses.

# %%
rows = []
for i in range(3):
    better, worse = labels.pairs.chosen, labels.pairs.rejected
    words = [world.text(int(side.response[i])) for side in (better, worse)]
    utilities = [column[i].item() for column in labels.utilities]
    rows.append((*words, *utilities))
examples = {
    "pairs": len(labels.pairs), "thumbs": len(labels.data(ThumbLogps)),
    "lists of four": len(labels.data(ListLogps)),
}
say(f"The same labels as {examples}.")
names = ["chosen", "rejected", "utility of chosen", "utility of rejected"]
pd.DataFrame(rows, columns=names).round(2)

# %% [markdown]
# ## The ruler, step by step
#
# Gold alone rewards recklessness, and drift alone rewards doing nothing.
#
# 1. Let $J(\pi) = \mathbb{E}_\pi[r] - \beta\,\mathrm{KL}(\pi\Vert
#    \pi_{\text{ref}})$: gold minus the price of drift.
# 2. From lesson 01, $r = \beta\log(\pi^*/\pi_{\text{ref}}) + \beta\log Z$.
# 3. Insert it: $J(\pi) = \beta\log Z + \beta\,\mathbb{E}_\pi[\log\pi^* -
#    \log\pi] = \beta\log Z - \beta\,\mathrm{KL}(\pi\Vert\pi^*)$.
# 4. At $\pi = \pi^*$ the divergence is zero, so $J(\pi^*) - J(\pi) =
#    \beta\,\mathrm{KL}(\pi\Vert\pi^*)$.
#
# This difference is the **regret**. The ruler has a $\beta$ of its own, here
# 0.1. It is a choice: a ruler with $\beta = 1$ charges ten times as much for
# the same drift and may turn the order round. The loop that compares
# candidates gives each of them the same start, batches and steps:

# %%
teach.show(experiment.compare)

# %% [markdown]
# ## By hand, on three responses

# %%
reference = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
reward = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
policy, beta = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64), 0.5
tilted = reference * (reward / beta).exp()
optimum = tilted / tilted.sum()


def objective(pi):
    return (pi * (reward - beta * (pi / reference).log())).sum()


# %%
regret = objective(optimum) - objective(policy)
star = solutions.optimal_policy(reference.log(), reward, beta)
library = beta * solutions.kl(policy.log(), star)
assert torch.allclose(optimum, star.exp())
assert torch.allclose(regret, library)
print("optimum:", [round(p, 3) for p in optimum.tolist()])
print(f"J of π* {objective(optimum):.3f}, of π {objective(policy):.3f}")
print(f"regret {regret:.3f}, β·KL(π‖π*) {library:.3f}")

# %% [markdown]
# ## Enter the arena
#
# A loss from a file takes part like any method of the library: it gets a
# batch and its settings. `batch.margin()` is the difference $D$ of the two
# log-ratios. Here is a guest: its loss is the square of $D - 2$.

# %%
folder = Path(tempfile.mkdtemp())
guest_file = folder / "square.py"
guest_file.write_text(
    "def loss(batch, cfg):\n"
    "    return (batch.margin() - 2) ** 2\n"
)
entrants = [
    one for one in experiment.candidates("direct/links")[0]
    if one.key in ("dpo", "ipo")
]
entrants.append(experiment.from_file(guest_file))
table = experiment.compare(entrants, problem, budget)

# %% [markdown]
# ## Where they land
#
# The first figure ranks by gold. In a live page a head of the table ranks by
# its column: watch who changes place (a second press turns the rows round).
# The right panel holds two methods against each other seed by seed: a
# difference that every seed shows is worth more than two means.

# %%
experiment.sorter(table)

# %%
mean = table.groupby("method").mean(numeric_only=True)
ref = problem.reference.response_logps(world).detach()
path = solutions.frontier(
    ref, world.gold, world.gold, np.geomspace(20, 0.05, 41)
)
views.frontier(
    table[["method", "kl", "gold"]], path[path.kl < 1.5 * table.kl.max()],
    caption="Gold below the frontier at equal KL: "
    + ", ".join(f"{key} {gap:.2f}" for key, gap in mean.frontier_gap.items())
    + ".",
)

# %% [markdown]
# Read the picture in two directions. Up and down, at one KL, shows how well
# the drift was spent. Left and right shows how much of it a loss buys in
# these steps. The optimiser, Adam, divides out the scale of a gradient, so
# this is mostly the *shape* of the link (lesson 21): the guest turns round at
# $D = 2$, IPO at $D = 5$, DPO nowhere.
#
# ## Break it: chosen and rejected exchanged
#
# A wrong loss trains without complaint. It enters from a file, as anybody's
# would.

# %%
wrong_file = folder / "exchanged.py"
wrong_file.write_text(
    "from torch.nn.functional import softplus\n"
    "def loss(batch, cfg):\n"
    "    return softplus(0.1 * batch.margin())\n"
)
wrong = experiment.from_file(wrong_file)
broken = experiment.compare([wrong], problem, budget)
dpo_rows = table[table.method == "dpo"]
both = pd.concat([dpo_rows, broken])
views.bars(
    both, "method", "accuracy", label="held-out accuracy (share of pairs)",
    exact=0.5, title="Accuracy on held-out pairs; dashed: a coin",
    caption=f"DPO orders {dpo_rows.accuracy.mean():.0%} of the held-out pairs "
    f"rightly, the exchanged loss {broken.accuracy.mean():.0%}.",
)

# %% [markdown]
# **Its signature.** It trains without complaint, and the accuracy on held-out
# pairs lies below one half.
#
# ## Answers

# %%
accuracy = broken.accuracy.mean()
words = ("less than half", "half", "more than half")
place = 0 if accuracy < 0.5 else 1 if accuracy == 0.5 else 2
drift = mean.kl
display(
    teach.reveal(
        "80-1", "IPO" if drift.ipo > drift.dpo else "DPO",
        f"IPO is at {drift.ipo:.2f} nats and DPO at {drift.dpo:.2f}: Adam "
        "divides out how hard a loss pushes; IPO turns round at D = 5, and "
        "DPO never stops.",
    ),
    teach.reveal(
        "80-2", words[place],
        f"it orders {accuracy:.0%} rightly: the same information is learned "
        "with the wrong sign.",
    ),
)

# %% [markdown]
# ## Claims

# %%
judge = partial(
    teach.claim, paper="ours", out=OUT or None,
    setting=f"{size.pairs} pairs, {size.steps} steps, one reference model",
)
judge(
    key="exchanged-below-half", effect=broken.accuracy - 0.5,
    expected="negative", unit="above one half",
    statement="Exchanged DPO orders fewer than half of the held-out pairs.",
    meaning="Held-out accuracy finds an exchanged label; the loss does not.",
)
everyone = pd.concat([table, broken])
judge(
    key="nobody-above", kind="exact", expected="positive", unit="reward units",
    effect=[everyone.frontier_gap.min() + 1e-6],
    statement="No run lies above the exact frontier.",
    meaning="The frontier is a bound for whatever enters the arena.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("80-1")` gives a hint; a second call gives the next one.
#
# **80-1 · Read the rankings** (●○○, 5 minutes). A policy that never leaves
# the reference enters. In which column does it come first: `gold`, `regret`
# or `frontier_gap` (gold below the frontier at equal KL)?

# %%
teach.answer("80-1", None)

# %% tags=["solution"]
start = objective(reference)  # on three responses
print(f"gold {(reference * reward).sum():.2f}, KL 0, objective {start:.2f}")
teach.solution("80-1", "frontier_gap")

# %% [markdown]
# **80-2 · A regret by hand** (●●○, 10 minutes). Take the three responses from
# above. What is the regret of the *reference* at $\beta = 0.5$?

# %%
teach.answer("80-2", None)

# %% tags=["solution"]
teach.solution("80-2", objective(optimum) - objective(reference))

# %% [markdown]
# **80-3 · Which $\tau$ is the guest?** (●●○, 10 minutes). IPO's loss is
# $(D - \frac{1}{2\tau})^2$. The guest's loss is $(D - 2)^2$. For which
# $\tau$ are they one method?

# %%
teach.answer("80-3", None)

# %% tags=["solution"]
teach.solution("80-3", 1 / (2 * 2))

# %% [markdown]
# **80-4 · Bug hunt: a file that is refused** (●●○, 10 minutes). A friend's
# file holds the lines below. The arena refuses it before anything is
# trained. Which line is to blame: 1, 2, 3 or 4?

# %%
friend = """\
def loss(batch, cfg):
    margin = batch.margin()
    wanted = 2.0
    return ((margin - wanted) ** 2).mean()
"""
print(friend)
teach.answer("80-4", None)

# %% tags=["solution"]
friends_file = folder / "friend.py"
friends_file.write_text(friend)
try:
    experiment.from_file(friends_file)
except experiment.BadMethod as error:
    print(f"{error.reason}: {error.detail}")
teach.solution("80-4", 4)

# %% [markdown]
# **80-5 · Your own loss** (●●●, 30 minutes). Write a loss of your own as a
# function of the batch, put it into a file and compare it with the entrants
# above. The open cell holds a start: the hinge. Is it known already? The
# check knows the losses of the whole library.


# %%
def my_loss(batch, cfg):
    return (1 - cfg.beta * batch.margin()).clamp(min=0)


teach.check.dpo(my_loss)

# %% tags=["solution"]
mine_file = folder / "hinge.py"
mine_file.write_text(
    "def loss(batch, cfg):\n"
    "    return (1 - 0.1 * batch.margin()).clamp(min=0)\n"
)
mine = experiment.compare(
    [experiment.from_file(mine_file)], problem, budget
)
ranked = experiment.leaderboard(pd.concat([table, mine]), "regret")
ranked[["rank", "method", "gold", "kl", "regret"]].round(2)

# %% [markdown]
# ## Recap
#
# * Compare losses on equal labels, starts, steps and responses read.
# * Regret is $\beta\,\mathrm{KL}(\pi\Vert\pi^*)$: how much less gold minus
#   price of drift a policy has than the best one.
# * Equal numbers for $\beta$ and $\tau$ do not mean equal drift.
# * A ranking says something only with its intervals.
# * A loss enters from one file; a wrong one trains without complaint, and
#   held-out accuracy finds it.
#
# From a shell, against all direct methods:
#
# ```
# workbench compare --family direct --method my_loss.py
# ```
#
# Three questions to end with: call `teach.quiz("80")`. Your letters behind the
# number, as in `teach.quiz("80", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Rafailov et al. 2024](https://arxiv.org/abs/2406.02900), *Scaling laws for
#   reward model overoptimization in direct alignment algorithms*.
# * [Azar et al. 2023](https://arxiv.org/abs/2310.12036), *A general
#   theoretical paradigm to understand learning from human preferences*: IPO.
#
# Study **80a** puts the whole library into the arena. Next:
# [**90 · A real preference file**](90_real_preferences.ipynb), where a real
# language model learns from real text.
