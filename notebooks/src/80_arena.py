# ---
# jupyter:
#   workbench:
#     title: "80 · The arena"
#     part: practice
#     budget_s: {ci: 90, lecture: 360, figure: 3600}
# ---

# %% [markdown]
# # 80 · The arena
#
# **The claim in one sentence.** On the same labels, the same steps and the
# same starting point, methods that read lists of scores end with more gold,
# on average, than methods that read pairs; none lies on the exact frontier.
#
# After this lesson you can
#
# * read a comparison of objectives: what was equal, what was not;
# * tell gold reward, drift and distance to the exact frontier apart;
# * say why the regret at β is β · KL(π‖π*_β), and use it as a ruler;
# * enter an objective of your own, from one file, against all of them.
#
# Run time at `lecture`: five minutes on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
import tempfile
from pathlib import Path

import pandas as pd
import torch
from torch.nn.functional import logsigmoid

from workbench import experiment as arena
from workbench import teach, views
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.feedback.kinds.thumbs import ThumbLogps
from workbench.measure.displacement import rank_correlation
from workbench.worlds import solutions

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 2, "lecture": 60, "figure": 400}[PROFILE]
story_seeds = {"ci": 1, "lecture": 3, "figure": 5}[PROFILE]
story_steps = {"ci": 1, "lecture": 12, "figure": 200}[PROFILE]
few = {
    "held_out_pairs": 32,
    "samples": 48,
}  # what stands for a policy in stories
n_pairs = {"ci": 64, "lecture": 256, "figure": 1024}[PROFILE]
BETA = 0.1  # of the optimum that regret is measured to
# a first look used seeds 0, 1 and 2: the claims are judged on others
block = range(SEED + 10, SEED + 10 + seeds)

# %% [markdown]
# ## The question
#
# Lessons 20 to 29 trained one family at a time, each where it shows best. A
# reader of papers wants one table. Tables of methods mislead when something
# besides the objective differs: the data, the number of responses read, the
# start, the optimiser, the measure.
#
# **Write down a prediction.** You rank all offline objectives by gold reward
# after the same number of steps. Which matters most: the link function of
# the loss, whether there is a reference, or whether the method sees pairs,
# thumbs, or scores?
#
# ## One annotator, every form
#
# An annotator feels a utility for each response, *once*: gold plus Gumbel
# noise. Calling the greater of two better is Bradley–Terry; ranking by it
# is Plackett–Luce. So pairs, thumbs, lists and scores can be made of the
# same utilities, about the same responses.

# %%
problem = arena.of_reviews(block, n_pairs=n_pairs, beta=BETA)
world, labels = problem.world, problem.labels[0]
rows = []
for i in range(3):
    x = int(labels.pairs.chosen.prompt[i])
    sides = labels.pairs.chosen, labels.pairs.rejected
    said = [world.text(int(side.response[i])) for side in sides]
    felt = [utility[i].item() for utility in labels.utilities]
    true = [world.gold[x, int(side.response[i])].item() for side in sides]
    rows.append((world.prompts[x], *said, *felt, *true))
names = "prompt,better,worse,felt (b),felt (w),gold (b),gold (w)"
pd.DataFrame(rows, columns=names.split(",")).round(2)

# %% [markdown]
# A pair keeps the order of two utilities. A thumb keeps, for each response,
# whether it was the greater. A list keeps four utilities of one prompt, a
# score keeps one. The same labelling, with less and less thrown away:

# %%
lists, thumbs = labels.data(ListLogps), labels.data(ThumbLogps)
scored = labels.data(ScoredLogps)
sizes = {
    "pairs": len(labels.pairs),
    "thumbs": len(thumbs),
    "lists of 4": len(lists),
    "scored responses": len(scored),
}
pd.DataFrame({"examples": sizes, "responses": 2 * len(labels.pairs)})

# %% [markdown]
# The number of *responses* is equal in every row, and a training step reads
# equally many of them, whatever the form. What is not equal is the
# information: a score says more than an order. The table's column `data`
# keeps that in sight.
#
# ## The ruler
#
# Gold alone rewards recklessness, and KL alone rewards doing nothing. Two
# numbers combine them.
#
# *Frontier gap*: the gold of the best law at the same KL, minus gold.
#
# *Regret* at β: J(π) = E[r] − β KL(π‖π_ref) is greatest at π*_β, and
#
# J(π*_β) − J(π) = β · KL(π‖π*_β).
#
# By hand, on three responses:

# %%
ref = (torch.tensor([5, 3, 2]).double() / 10).log()
reward, beta = torch.tensor([0.0, 1.0, 2.0]).double(), 0.5
star = solutions.optimal_policy(ref, reward, beta)
other = (torch.tensor([2, 2, 6]).double() / 10).log()


def J(law):
    return solutions.expectation(law, reward) - beta * solutions.kl(law, ref)


# %%
gap = (J(star) - J(other)).item()
ruler = (beta * solutions.kl(other, star)).item()
print(f"pi*          {[round(p, 4) for p in star.exp().tolist()]}")
print(f"J(pi*)       {J(star).item():.6f}")
print(f"J(pi)        {J(other).item():.6f}")
print(f"difference   {gap:.6f}")
print(f"beta KL      {ruler:.6f}")

# %% [markdown]
# ## Who takes part
#
# Every module of the direct family with a loss, at its published defaults.
# Two of the defaults' meanings differ between papers, so a method with a
# small number in the table is not thereby refuted: it ran *as published*, on
# small models, for few steps.

# %%
candidates, left_out = arena.candidates("direct")
listed = pd.DataFrame({"method": [e.key for e in candidates]})
listed["reads"] = [e.reads.__name__ for e in candidates]
print(len(candidates), "objectives;", *left_out.items())
listed.groupby("reads")["method"].agg(["count", ", ".join])

# %% [markdown]
# The loop that runs them:

# %%
teach.show(arena.compare)

# %% [markdown]
# ## Reviews, where everything is exact

# %%
budget = arena.Schedule(steps=steps, batch_size=32, lr=1e-3)
reviews = arena.compare(candidates, problem, budget)
done = reviews[reviews.problem == ""]
mean = done.groupby("method").mean(numeric_only=True)
mean["data"] = done.groupby("method")["data"].first()
first = mean.gold.idxmax()
print(len(mean), "methods measured;", len(reviews) - len(done), "rows lost")

# %%
far = mean[mean.kl > mean.kl.median()]
closest = far.frontier_gap.idxmin()
arena.picture(
    reviews,
    problem,
    caption=f"{first} has the highest mean gold, {mean.gold[first]:.2f} at "
    f"{mean.kl[first]:.2f} nats; of the half that drifts more {closest} "
    f"stays nearest the frontier, {mean.frontier_gap[closest]:.2f} below.",
)

# %% [markdown]
# Read the picture in two directions. Up and down at one KL is how well the
# drift was spent. Left and right is how much of it the method buys in these
# steps: mostly the scale of its gradient where it starts, and where its link
# saturates.
#
# ## One table, sorted as you like
#
# In JupyterLab the slider sorts it by another column. Regret and frontier
# gap do not order the methods as gold does.

# %%
arena.sorter(reviews)

# %%
by_gold = arena.leaderboard(done, "gold")["method"].tolist()
by_regret = arena.leaderboard(done, "regret")["method"].tolist()
by_gap = arena.leaderboard(done, "frontier_gap")["method"].tolist()
pd.DataFrame({"gold": by_gold, "regret": by_regret, "gap": by_gap}).head(8)

# %% [markdown]
# The smallest frontier gap belongs to whoever hardly moved: at KL 0 nobody
# can be below the frontier. That is why the gap is read *together with* KL.
#
# ## Does the form of the data decide?

# %%
forms = done.groupby(["seed", "data"], as_index=False)["gold"].mean()
told = forms.groupby("data")["gold"].mean()
views.bars(
    forms,
    "data",
    "gold",
    label="mean gold of the methods (reward units)",
    title="Gold by what a method learns from",
    caption=f"Mean gold is {told.lists:.2f} over the methods that read lists "
    f"and {told.pairs:.2f} over those that read pairs.",
)

# %% [markdown]
# Read it with care. A bar is a mean over the methods of a form, and thumbs
# are only two, KTO and BCO: they hear no more than pairs do and stand above
# the lists. The form of the data and the choice of methods are confounded.
#
# ## Chosen and rejected
#
# The mean log-ratio of the training pairs' responses. Above zero the chosen
# response became likelier than it was under the reference.

# %%
up, down = mean.chosen_logratio, mean.rejected_logratio
fell = mean[(up < 0) & (down < up)]
look = views.Points(
    up.tolist(), down.tolist(), "a method",
    views.role("policy"), hover=mean.index.tolist(),
)  # fmt: skip
low = float(down.min())
even = views.Line([low, 0.5], [low, 0.5], "equal", views.role("reference"))

# %%
axes = ("log-ratio of the chosen (nats)", "of the rejected (nats)")
chart = views.Chart("Both fall, the rejected further", *axes, [even, look])
said = (
    f"In {len(fell)} of {len(mean)} methods both fall and the rejected more."
)
views.Fig(
    views.Panels([chart]), said, mean[["chosen_logratio", "rejected_logratio"]]
)

# %% [markdown]
# ## Does accuracy tell who is best?
#
# Held-out accuracy of the implicit reward is the number that training logs
# show. Gold is the one that is meant.

# %%
look = views.Points(
    mean.accuracy.tolist(), mean.gold.tolist(), "a method",
    views.role("gold"), hover=mean.index.tolist(),
)  # fmt: skip
rank = rank_correlation(mean.accuracy, mean.gold)
axes = ("held-out accuracy", "gold reward (reward units)")
chart = views.Chart("Accuracy against gold, over methods", *axes, [look])
said = (
    f"Over methods, accuracy and gold have a rank correlation of {rank:.2f}."
)
views.Fig(views.Panels([chart]), said, mean[["accuracy", "gold"]])

# %% [markdown]
# ## Stories, where everything is estimated
#
# Longer answers, a larger vocabulary, no enumeration: gold and KL are means
# over samples. Methods whose own stage needs an exact world stay out.

# %%
stories_block = range(SEED, SEED + story_seeds)
plot = arena.of_stories(stories_block, n_pairs=n_pairs // 2, **few)
short = arena.Schedule(steps=story_steps, batch_size=16, lr=2e-4)
stories = arena.compare(candidates, plot, short)
heard = stories[stories.problem == ""]
there = heard.groupby("method").mean(numeric_only=True)
lost = stories.loc[stories.problem != "", "method"].unique()
print(len(there), "methods; not here:", *lost)

# %%
arena.picture(stories, plot)

# %%
arena.ranking(stories)

# %%
both = mean.join(there.add_suffix("_stories"), how="inner")
transfer = rank_correlation(both.gold, both.gold_stories)
noise = heard.gold_stderr.mean()
spread = there.gold.std()
print(f"rank correlation of gold between the worlds: {transfer:.2f}")
print(f"standard error of one gold in stories: {noise:.2f}")
print(f"standard deviation of the methods' mean gold there: {spread:.2f}")

# %%
if OUT:
    every = pd.concat([reviews, stories])
    every.drop(columns="seconds").to_csv(Path(OUT) / "runs.csv", index=False)
    spent = every.groupby(["world", "method"])["seconds"].first().round(2)
    spent.to_csv(Path(OUT) / "seconds.csv")

# %% [markdown]
# Before a rank correlation between worlds is read as a fact about methods,
# compare the last two lines: where the methods differ by less than the error
# of a measurement, their order is mostly noise.
#
# ## Break it: an objective with a mistake
#
# DPO with chosen and rejected exchanged, entered from a file as anybody's
# objective would be.

# %%
folder = Path(tempfile.mkdtemp())
wrong = folder / "exchanged.py"
wrong.write_text("""\
from torch.nn.functional import softplus


def loss(batch, cfg):
    return softplus(0.1 * batch.margin())
""")
guest = arena.from_file(wrong)
broken = arena.compare([guest], problem, budget)
worst = broken.gold.mean()
print(f"gold {worst:.2f}, DPO's is {mean.gold['dpo']:.2f}")

# %% [markdown]
# **Its signature.** Nothing fails: the loss falls, KL grows as DPO's does,
# and gold goes *down*. Held-out accuracy below one half gives it away:

# %%
print(f"accuracy {broken.accuracy.mean():.2f}")

# %% [markdown]
# A file that cannot be trained is refused before anything runs, with a name:

# %%
wrong.write_text("def loss(batch, cfg):\n    return batch.margin().mean()\n")
try:
    arena.from_file(wrong)
except arena.BadMethod as error:
    print(f"{error.reason}: {error.detail}")

# %% [markdown]
# The same from a shell, against the whole family:
#
#     workbench compare --family direct
#     workbench compare --method my_method.py --out build/compare
#
# ## Claims
#
# Effects are per seed, from the exact world.

# %%
wide = done.pivot(index="seed", columns="method")


def claim(key, statement, effect, expected, unit, paper):
    where = f"reviews, {n_pairs} pairs, {steps} steps of 32, lr 1e-3, defaults"
    return teach.claim(
        key=key, statement=statement, effect=effect, expected=expected,
        unit=unit, paper=paper, setting=where, out=OUT or None,
    )  # fmt: skip


ours, daa = "ours", "Rafailov et al. 2024 (2406.02900)"

# %%
forms = forms.pivot(index="seed", columns="data", values="gold")
said = "Methods that read lists of scores end with more gold than pairwise."
claim(
    "lists-beat-pairs",
    said,
    forms.lists - forms.pairs,
    "positive",
    "reward",
    ours,
)
said = "DPO lowers the log-prob of the chosen training responses."
claim("chosen-falls", said, wide.chosen_logratio.dpo, "negative", "nats", daa)

# %%
free = ["cpo", "simpo", "orpo", "slic"]
gaps = wide.frontier_gap[free].mean(axis=1) - wide.frontier_gap.dpo
said = (
    "Without a reference drift is spent worse: a larger frontier gap than DPO."
)
claim("reference-free", said, gaps, "positive", "reward", ours)
ranks = [
    rank_correlation(part.accuracy, part.gold)
    for _, part in done.groupby("seed")
]
said = "Over methods, implicit accuracy does not predict gold."
claim("accuracy-is-no-guide", said, ranks, (-0.5, 0.5), "rank corr.", daa)

# %%
said = (
    "Same pairs, same link: tokens' forms (TDPO) end with DPO's gold or more."
)
tokens = wide.gold.tdpo1 - wide.gold.dpo
tdpo = "Zeng et al. 2024 (2404.11999)"
claim("tdpo-over-dpo", said, tokens, "positive", "reward", tdpo)
teach.claim(
    key="nobody-above", kind="exact", expected="positive", unit="reward",
    statement="No method lies above the exact frontier.",
    effect=[done.frontier_gap.min() + 1e-6], paper=ours, out=OUT or None,
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# **1 · Enter the arena** (●○○, 10 minutes). Write an objective of your own
# into a file and compare it: the square (D − 2)², say. Where does it land?

# %% tags=["solution"]
mine = folder / "square.py"
mine.write_text(
    "def loss(batch, cfg):\n    return (batch.margin() - 2) ** 2\n"
)
entered = arena.compare([arena.from_file(mine)], problem, budget)
table = arena.leaderboard(pd.concat([done, entered]), "gold")
table.loc[table.method == "square", ["rank", "gold", "kl", "regret"]].round(2)

# %% [markdown]
# **2 · Equal β** (●●○, 10 minutes). Defaults differ. Run five methods with
# β = 0.3 for all (`arena.candidates("direct", beta=0.3)`): who changes place?

# %% tags=["solution"]
five = {"dpo", "bco", "kto", "chipo", "hinge"}
even = [e for e in arena.candidates("direct", beta=0.3)[0] if e.key in five]
again = arena.compare(even, problem, budget)
after = again.groupby("method").gold.mean()
pd.DataFrame(
    {"default β": mean.gold[list(after.index)], "β = 0.3": after}
).round(2)

# %% [markdown]
# **3 · The identity of the ruler** (●●○, 10 minutes). Show that
# J(π*_β) − J(π) = β · KL(π‖π*_β) for every π. Start from
# log π* = log π_ref + r/β − log Z.

# %% [markdown]
# ## What must hold

# %%
assert abs(gap - ruler) < 1e-12
assert set(left_out) == {"chi2_direct"}
assert set(reviews.method) == {e.key for e in candidates}
assert len(done) == len(reviews), "a method failed in the exact world"
assert (done.frontier_gap > -1e-6).all()
assert (done.regret - BETA * done.kl_to_optimum).abs().max() < 1e-12
assert teach.check.dpo(lambda b, c: -logsigmoid(c.beta * b.margin())).passed

# %% [markdown]
# ## References and next
#
# * The cards of all methods are in METHODS.md, each with its paper.
# * Rafailov et al. 2024, *Scaling laws for reward model overoptimization in
#   direct alignment algorithms* (2406.02900).
#
# Next: point `workbench train` at a preference file of your own.
