# ---
# jupyter:
#   workbench:
#     title: "80a · The whole field"
#     part: practice
#     budget_s: {ci: 90, lecture: 360, figure: 3600}
# ---

# %% [markdown]
# # 80a · Which direct method wins, when all else is equal?
#
# *A study beside lesson 80.*
#
# **Question.** Every direct method of the library learns from the same
# labels, for the same steps, from the same start. Does the form of the
# feedback decide, or the link, or the reference? And does the order carry
# over to another world?
#
# **Setting.** Reviews of at most three words, where gold, KL and the frontier
# are exact; and stories, where they are estimated from samples. Every method
# runs at its published settings, so a small number in the table does not
# refute a method: it ran on small models, for few steps. A first look used
# seeds 0, 1 and 2; the claims are judged on others. The answer in one
# sentence, with its numbers, is computed in the cell before the claims.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from pathlib import Path

from workbench import experiment
from workbench.core.statistics import rank_correlation
from workbench.lesson import *

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(2, 60, 400),
    pairs=(64, 256, 1024), story_seeds=(1, 3, 5), story_steps=(1, 12, 200),
)
seeds = range(SEED + 10, SEED + 10 + size.seeds)
problem = experiment.of_reviews(seeds, n_pairs=size.pairs, beta=0.1)
world = problem.world

# %%
candidates, left_out = experiment.candidates("direct")
listed = pd.DataFrame({"method": [one.key for one in candidates]})
listed["reads"] = [one.reads.__name__ for one in candidates]
say(f"{len(candidates)} methods take part; left out: {', '.join(left_out)}.")
listed.groupby("reads")["method"].agg(["count", ", ".join])

# %% [markdown]
# ## Reviews, where everything is exact
#
# A step reads equally many responses, whatever the form. What is not equal
# is the information: a score says more than an order.

# %%
budget = experiment.Schedule(steps=size.steps, batch_size=32, lr=1e-3)
reviews = experiment.compare(candidates, problem, budget)
done = reviews[reviews.problem == ""]
mean = done.groupby("method").mean(numeric_only=True)
first = mean.gold.idxmax()
far = mean[mean.kl > mean.kl.median()]
closest = far.frontier_gap.idxmin()
experiment.picture(
    reviews, problem,
    caption=f"{first} has the highest mean gold, {mean.gold[first]:.2f} at "
    f"{mean.kl[first]:.2f} nats; of the half that drifts more {closest} "
    f"stays nearest the frontier, {mean.frontier_gap[closest]:.2f} below.",
)

# %%
experiment.sorter(reviews)

# %% [markdown]
# ## Does the form of the data decide?

# %%
forms = done.groupby(["seed", "data"], as_index=False)["gold"].mean()
by_form = forms.groupby("data")["gold"].mean()
views.bars(
    forms, "data", "gold", label="mean gold of the methods (reward units)",
    title="Gold by what a method learns from", spread="interval",
    caption=f"Mean gold is {by_form.lists:.2f} over the methods that read "
    f"lists and {by_form.pairs:.2f} over those that read pairs.",
)

# %% [markdown]
# A bar is a mean over the methods of a form, and some forms have only two.
# The form of the data and the choice of methods are confounded.
#
# ## Chosen and rejected, accuracy and gold
#
# On the left the mean log-ratio of the training pairs' responses: below zero
# the response became less likely than under the reference. On the right, the
# number that training logs show against the one that is meant.

# %%
up, down = mean.chosen_logratio, mean.rejected_logratio
even = [float(down.min()), 0.5]
look = {"style": views.series(0), "hover": mean.index.tolist()}
left = views.Chart(
    "Both fall, the rejected further", "chosen (log-ratio, nats)",
    "rejected (log-ratio, nats)",
    [views.Line(even, even, "equal", views.role("reference")),
     views.Points(up.tolist(), down.tolist(), "one method", **look)],
)

# %%
right = views.Chart(
    "Accuracy against gold", "held-out accuracy (share)",
    "gold reward (reward units)",
    [views.Points(
        mean.accuracy.tolist(), mean.gold.tolist(), "one method", **look)],
)
rank = rank_correlation(mean.accuracy, mean.gold)
fell = int(((up < 0) & (down < up)).sum())
views.Fig(
    views.Panels([left, right]),
    f"In {fell} of {len(mean)} methods both fall and the rejected more; "
    f"accuracy and gold have a rank correlation of {rank:.2f}.",
    mean[["chosen_logratio", "rejected_logratio", "accuracy", "gold"]],
)

# %% [markdown]
# ## Stories, where everything is estimated
#
# Longer answers, a larger vocabulary, no enumeration: gold and KL are means
# over samples. Methods whose own stage needs an exact world stay out.

# %%
held_out = {"held_out_pairs": 32, "samples": 48}
story_block = range(SEED, SEED + size.story_seeds)
plot = experiment.of_stories(story_block, n_pairs=size.pairs // 2, **held_out)
short = experiment.Schedule(steps=size.story_steps, batch_size=16, lr=2e-4)
stories = experiment.compare(candidates, plot, short)
measured = stories[stories.problem == ""]
there = measured.groupby("method").mean(numeric_only=True)
experiment.picture(stories, plot)

# %%
both = mean.join(there.add_suffix("_stories"), how="inner")
transfer = rank_correlation(both.gold, both.gold_stories)
noise, spread = measured.gold_stderr.mean(), there.gold.std()
say(
    f"**Answer.** In reviews {first} ends with the most gold, methods that "
    f"read lists with {by_form.lists - by_form.pairs:+.2f} more than pairwise "
    "ones; between the worlds the order of methods correlates by "
    f"{transfer:.2f}, which says little: in stories one value of gold has a "
    f"standard error of {noise:.2f}, and the methods differ by a standard "
    f"deviation of {spread:.2f}."
)

# %%
if OUT:
    every = pd.concat([reviews, stories])
    every.drop(columns="seconds").to_csv(Path(OUT) / "runs.csv", index=False)
    spent = every.groupby(["world", "method"])["seconds"].first().round(2)
    spent.to_csv(Path(OUT) / "seconds.csv")

# %% [markdown]
# ## Claims
#
# Effects are per seed, from the exact world.

# %%
wide = done.pivot(index="seed", columns="method")
table = forms.pivot(index="seed", columns="data", values="gold")
free = ["cpo", "simpo", "orpo", "slic"]
gaps = wide.frontier_gap[free].mean(axis=1) - wide.frontier_gap.dpo
by_seed = done.groupby("seed")
ranks = [rank_correlation(part.accuracy, part.gold) for _, part in by_seed]
daa = "Rafailov et al. 2024 (2406.02900)"
tdpo = wide.gold.tdpo1 - wide.gold.dpo

# %%
claims = [
    ("lists-beat-pairs", "ours", table.lists - table.pairs, "positive",
     "Methods that read lists of scores end with more gold than pairwise."),
    ("chosen-falls", daa, wide.chosen_logratio.dpo, "negative",
     "DPO lowers the log-prob of the chosen training responses."),
    ("reference-free", "ours", gaps, "positive",
     "Without a reference the frontier gap is larger than DPO's."),
    ("accuracy-is-no-guide", daa, ranks, (-0.5, 0.5),
     "Over methods, implicit accuracy does not predict gold."),
    ("tdpo-over-dpo", "Zeng et al. 2024 (2404.11999)", tdpo, "positive",
     "TDPO on the same pairs ends with more gold than DPO."),
]
units = dict.fromkeys([c[0] for c in claims], "reward units")
units |= {"chosen-falls": "nats", "accuracy-is-no-guide": "rank correlation"}

# %%
setting = f"{size.pairs} pairs, {size.steps} steps of 32, one reference model"
for key, paper, effect, expected, statement in claims:
    teach.claim(
        key=key, paper=paper, effect=effect, expected=expected,
        statement=statement, unit=units[key], setting=setting, out=OUT or None,
    )
teach.claim(
    key="nobody-above", kind="exact", expected="positive", paper="ours",
    effect=[done.frontier_gap.min() + 1e-6], unit="reward units",
    statement="No method lies above the exact frontier.", out=OUT or None,
)

# %% [markdown]
# ## What did not come out
#
# The order of methods does not carry over to stories, and it could not: there
# the methods differ by less than the error of one measurement. A longer run
# with more samples would be needed.
#
# ## References
#
# * The pages of all methods are in METHODS.md, each with its paper.
# * [Rafailov et al. 2024](https://arxiv.org/abs/2406.02900), *Scaling laws for
#   reward model overoptimization in direct alignment algorithms*.
# * [Zeng et al. 2024](https://arxiv.org/abs/2404.11999), *Token-level direct
#   preference optimization*.
