# ---
# jupyter:
#   workbench:
#     title: "03 · Supervised fine-tuning"
#     part: foundations
#     path: core
#     needs: ["01"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 03 · Supervised fine-tuning: what do copied choices teach?
#
# **The idea in one sentence.** Supervised fine-tuning (SFT) ends at the
# distribution of its data, so that training on the *chosen* responses of
# pairs can at most double a probability of the model that wrote them, and
# whether the *rejected* responses become likelier too depends on the start.
#
# After this lesson you can
#
# * say to which policy SFT converges, and why;
# * bound what SFT on chosen responses is worth, before any training;
# * compute whether the rejected responses rise or fall;
# * recognise a mean over tokens and a missing end token by the length.
#
# *Needs*: lesson 01 (the exact world and its frontier). About 90 minutes.
# Unknown words stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.feedback.kinds.responses import ResponseLogps, Responses
from workbench.lesson import *
from workbench.measure import chosen_reward
from workbench.methods.decoding import best_of_n
from workbench.methods.supervised import sft
from workbench.views.aggregate import curve
from workbench.views.instruments import start_explorer

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 160, 1000))
world, seeds = Reviews(3), range(SEED, SEED + size.seeds)
film = world.prompts.index("film")
writer = tiny.reference(world, DEVICE)  # it writes all pairs
mu = exact.response_logps(writer, world)[0]  # log μ(y|x)
# log p_c and log p_r; pairs of twice the same review are kept
sides_of = partial(chosen_reward.pair_distributions, repeats=True)

# %% [markdown]
# ## The question
#
# You hold pairs: a chosen and a rejected review of the same thing. Before
# any preference method, most recipes fine-tune the model on the chosen
# reviews. What does that step do by itself? How much better can it make the
# policy, and what happens to the rejected reviews, which it never sees?
#
# Write your predictions into `mine` before you go on. A **base model** is one
# that was trained on other texts and is new to these reviews.

# %%
display(
    teach.predict(
        "03-1",
        "You train the model that wrote the pairs on the chosen reviews of "
        "endlessly many. By which factor can a probability grow at most?",
        ["2", "10", "there is no limit"],
    ),
    teach.predict(
        "03-2",
        "You start from a base model and train on chosen reviews only. Does "
        "the mean log-probability of the rejected reviews rise or fall?",
        ["rise", "fall"],
    ),
    teach.predict(
        "03-3",
        "And if you start from the model that wrote both reviews?",
        ["rise", "fall"],
    ),
)

# %% [markdown]
# ## Three data points
#
# Both reviews of a pair are drawn from one policy $\mu$. A Bradley–Terry
# annotator says which is better: $y$ beats $y'$ with probability
# $\sigma(r(y) - r(y'))$, where $r$ is the gold reward. The last column is
# the probability of the label that was given. SFT reads the column `chosen`
# and nothing else.

# %%
pairs, rows = sample_pairs(world, mu, 3, Annotator(), generator(SEED)), []
for i in range(3):
    topic = int(pairs.chosen.prompt[i])
    won, lost = (int(s.response[i]) for s in (pairs.chosen, pairs.rejected))
    odds = (world.gold[topic, won] - world.gold[topic, lost]).sigmoid().item()
    two = world.text(won), world.text(lost)
    rows.append((world.prompts[topic], *two, odds))
names = ["prompt", "chosen", "rejected", "p(this label)"]
pd.DataFrame(rows, columns=names).round(2)

# %% [markdown]
# ## The objective, step by step
#
# 1. SFT minimises the mean negative log-probability of its data. With $p$ for
#    the distribution of the data: $L(\pi) = -\sum_y p(y)\log\pi(y)$.
# 2. Add and subtract $\sum_y p(y)\log p(y)$:
#    $L(\pi) = -\sum_y p(y)\log p(y) +
#    \sum_y p(y)\log\frac{p(y)}{\pi(y)}$.
# 3. The first sum is the entropy of the data, a constant. The second is
#    $\mathrm{KL}(p\,\Vert\,\pi)$, which is zero for $\pi = p$ only.
#
# So SFT copies the distribution of its data. It has no opinion about
# quality, and it copies mistakes too.
#
# Which distribution do the chosen reviews have?
#
# 4. A review $y$ is chosen if it was drawn first and won, or was drawn second
#    and won. Both cases are equally likely:
#    $p_c(y) = 2\,\mu(y)\,B(y)$.
# 5. $B(y) = \sum_{y'}\mu(y')\,\sigma(r(y) - r(y'))$ is the probability that
#    $y$ beats a rival drawn from $\mu$.
# 6. The rejected reviews have $p_r(y) = 2\,\mu(y)\,(1 - B(y))$.
# 7. $B$ is a probability, so $p_c(y)/\mu(y) = 2B(y)$ is at most 2.
#
# A pair of twice the same review is kept here, and a toss of a coin decides
# it. (The library draws such a pair again if you do not ask for
# `repeats=True`, because it says nothing about preferences.)

# %%
teach.show(sft.loss)

# %% [markdown]
# `batch.logps("sum")` is $\log\pi(y)$, the sum over the tokens of a response.
# With `"mean"` each response is divided by its own number of tokens. That is
# another method, and you break it below.
#
# ## By hand, on four reviews
#
# Let only four reviews be possible. `wins` says how often the row beats the
# column; its diagonal is ½, because a review ties with itself. $B$ is the
# mean of a row, weighted with $\mu$. The last column of the second table is
# the factor by which SFT on the chosen reviews changes each probability.

# %%
texts = ["very good", "good", "dull", "not fun"]
four = [world.index(text) for text in texts]
m = mu[film, four].softmax(-1)  # the writer on these four
r = world.gold[film, four]
wins = (r[:, None] - r).sigmoid()
B = wins @ m
p_c, p_r = 2 * m * B, 2 * m * (1 - B)
table = {"μ": m, "r": r, "B": B, "p_c": p_c, "p_r": p_r, "p_c/μ": p_c / m}
library = torch.cat(sides_of(m.log()[None], r[None])).exp()
assert torch.allclose(torch.stack([p_c, p_r]), library)
display(pd.DataFrame(wins.numpy(), texts, texts).round(3))
pd.DataFrame({k: v.tolist() for k, v in table.items()}, texts).round(3)

# %% [markdown]
# Both $p_c$ and $p_r$ sum to one, because
# $\sigma(z) + \sigma(-z) = 1$: in each pair exactly one review wins, so $B$ is
# one half on average.
#
# ## How far can it go?
#
# The largest factor is 2. How large can the whole drift be, in nats?
#
# 1. $\mathrm{KL}(p_c\Vert\mu) = \sum_y \mu(y)\,2B(y)\log 2B(y)$: the mean of
#    a convex function of $B$. It grows when $B$ is spread out.
# 2. Take the reviews with the highest $B$, of mass $t$ together. Among
#    themselves they win one half of their meetings, and the others at most
#    always: $\sum \mu B \le \frac{t^2}{2} + t(1-t)$.
# 3. The right side is $\int_{1-t}^{1} u\,du$: the sum for a $B$ that is evenly
#    spread over $[0, 1]$. So no annotator spreads $B$ more than that: it
#    has the same mean, and for every $t$ its top share is not larger, so the
#    mean of a convex function of it is not larger either.
# 4. Hence
#    $\mathrm{KL}(p_c\Vert\mu) \le \int_0^1 2u\log 2u\,du = \log 2 - \frac12$.
#
# The bound is reached only if the annotator makes no mistake *and* every
# single review is rare. A review of mass $\mu(y)$ ties with itself, and then
# $B$ is not evenly spread. Noise and ties both bring $p_c$ nearer to $\mu$.
# Here it is on all 585 reviews, for annotators of temperature $T$, who choose
# with probability $\sigma((r(y) - r(y'))/T)$. The column `ratio` is the
# largest $p_c/\mu$ of all reviews. The last one, `frontier_gap`, is the gold
# that the exact frontier of lesson 01 would earn more with the same nats.

# %%
bound = best_of_n.kl_bound(2)  # log 2 − ½
noise = {f"T = {t:g}": t for t in (4, 2, 1, 0.5, 0.25)} | {"no noise": 1e-6}
chosen_by = {k: sides_of(mu, world.gold / t)[0] for k, t in noise.items()}
reach = pd.concat(
    {k: exact.evaluate(p, world, mu, gold=world.gold).assign(
        ratio=(p - mu).exp().max().item()) for k, p in chosen_by.items()},
    names=["annotator"]).reset_index(level=0)
display(reach[["annotator", "kl", "ratio", "gold", "frontier_gap"]].round(3))
views.bars(
    reach, "annotator", "kl", exact=bound,
    label="drift from the writer (nats)",
    title="How far SFT on chosen reviews can go",
    caption="No annotator takes SFT on chosen reviews further than "
    f"log 2 − ½ = {bound:.4f} nats (dashed). The one without noise reaches "
    f"{reach.kl.max():.4f}.")

# %% [markdown]
# An annotator without noise keeps the better of two draws: *best-of-2*.
# Lesson 11 asks what the best of $n$ draws is worth.
#
# ## One identity decides both signs
#
# Take any distribution $p$, a policy $\pi$ and the start $\pi_0$ of training.
#
# 1. $\mathbb{E}_p\!\left[\log\frac{\pi}{\pi_0}\right] =
#    \mathbb{E}_p\!\left[\log\frac{p}{\pi_0}\right] -
#    \mathbb{E}_p\!\left[\log\frac{p}{\pi}\right]$, because $\log p$ cancels.
# 2. The right side is
#    $\mathrm{KL}(p\Vert\pi_0) - \mathrm{KL}(p\Vert\pi)$.
# 3. SFT ends at $\pi = p_c$. For the chosen reviews $p = p_c$: their mean
#    log-ratio is $\mathrm{KL}(p_c\Vert\pi_0)$, which is never negative.
# 4. For the rejected reviews $p = p_r$: it is
#    $\mathrm{KL}(p_r\Vert\pi_0) - \mathrm{KL}(p_r\Vert p_c)$. They rise if
#    they are nearer to the chosen reviews than to the start.
#
# So the start decides. Compare a **base model**, trained on other texts in
# these words, with the **writer** of the pairs. The base model is trained by
# SFT too, on reviews of a flattened author: the *author* is the distribution
# that the world's texts are drawn from, and raised to the power 0.2 its words
# are nearly equally likely.
#
# The tracker gives the mean log-ratios of both sides, here with $p_c$ in the
# place of a trained policy: this is what SFT will reach in the end.

# %%
flat = (0.2 * world.author).log_softmax(-1)
read = Responses.of(world.draw(flat, 4096, generator(SEED, "base")))
base = tiny.decoder(world.vocab, seed=SEED)
offline.fit(base, None, read, sft, sft.Config(), steps=size.steps, decay=True)
starts = {"base model": base.requires_grad_(False), "writer": writer}
sides = sides_of(mu, world.gold)
p_chosen = sides[0]
ratios = {name: chosen_reward.DeclineTracker(
    world, exact.response_logps(start, world)[0], world.gold, beta=1.0,
    sides=sides) for name, start in starts.items()}
goal = pd.concat({k: of(p_chosen) for k, of in ratios.items()}).droplevel(1)
goal[["chosen", "rejected"]].round(3)

# %% [markdown]
# Loss, data and endpoint are the same in both rows, and yet the sign of the
# rejected column differs. Where between such starts does it flip? Take
# $\pi_0 \propto \mu^a$: at $a = 0$ all reviews are equally likely, at $a = 1$
# the start is the writer. In Jupyter you move the start with a slider.
#
# The middle panel follows the way to the end: the steps of SFT of a table,
# on exact data. It sorts the reviews into those that are mostly chosen, those
# that are mostly rejected, and those that 1,000 pairs hold less than once on
# average. **Try** $a = 0$ and $a = 1$, and play the steps. **Look for** the
# mass that the chosen reviews gain: which of the other two groups loses it?

# %%
start_explorer(world, mu, *sides, a=0.3)

# %% [markdown]
# ## Train
#
# Now a transformer learns from drawn reviews. Its data are the chosen
# reviews of pairs, drawn from $p_c$. The second tracker measures
# $\mathrm{KL}(p_c\Vert\pi)$ (as `kl_reverse`: the tracker takes $p_c$ for
# its reference, and this is the other order), gold and length.

# %%
n = 32 * size.steps  # 32 reviews per step
drawn = [world.draw(p_chosen, n, generator(seed, "chosen")) for seed in seeds]
data = Responses.cat([Responses.of(reviews) for reviews in drawn])
distance = exact.Tracker(world, p_chosen, gold=world.gold)


def train(name, method=sft):
    return offline.fit(
        starts[name].copies(size.seeds), starts[name], data, method,
        sft.Config(), steps=size.steps, seed=SEED, decay=True,
        measures=[ratios[name], distance], every=max(1, size.steps // 8))


runs = {name: train(name) for name in starts}
both = pd.concat([r.metrics.assign(start=k) for k, r in runs.items()])
ends = both[both.step == size.steps].groupby("start").mean()

# %% [markdown]
# ## What the runs show
#
# Solid: the runs. Dashed: the value at the optimum, from the table above.

# %%
charts, note = [], f"band: min–max over {size.seeds} seeds"
for name, run in runs.items():
    layers = [views.HLine(0.0)]
    for side in ("chosen", "rejected"):
        look = views.role(side)
        dashed = views.Style(look.colour, "dash")
        layers.append(
            views.HLine(goal[side][name], f"{side}, exact", dashed))
        layers += curve(run.metrics, "step", side, f"{side}, trained", look)
    axes = ("step", "E[log π/π₀] (nats)")
    charts.append(views.Chart(f"Start: {name}", *axes, layers, note))

# %%
told = [
    f"From the {name} the chosen reviews end at {now.chosen:+.2f} (exact: "
    f"{goal.chosen[name]:+.2f}) and the rejected ones at {now.rejected:+.2f} "
    f"(exact: {goal.rejected[name]:+.2f})."
    for name, now in ends.iterrows()
]
views.Fig(views.Panels(charts), " ".join(told), both)

# %% [markdown]
# No rejected review was trained on. From the base model both lines rise,
# because chosen and rejected reviews share what makes a review likely at all:
# its words and its grammar. The writer knows that already, and what is left
# to learn is the difference between the two sides.
#
# Why do the runs not end on the dashed lines? On the chosen side they stop
# short; the rejected line of the base model ends above its goal. Use the
# identity with
# $p = p_c$: what is missing on the chosen side *is*
# $\mathrm{KL}(p_c\Vert\pi)$, the distance that is left. The next cell puts
# the two numbers side by side. For the rejected side there is no such
# equality: their log-ratio depends most on reviews that are rarely chosen,
# and the run has seen few of those.
#
# ## Distance to the exact optimum
#
# The optimum is $p_c$. The gold of $p_c$ is a ceiling: more data and more
# steps of SFT do not lead beyond it.

# %%
off = ends[["chosen", "rejected"]] - goal
for name in runs:
    say(f"{name}: {-off.chosen[name]:.3f} nats are missing on the chosen "
        f"side, and the distance that is left is {ends.kl_reverse[name]:.3f}. "
        f"The rejected side ends {off.rejected[name]:+.3f} from its goal.")
ceiling = solutions.expectation(p_chosen, world.gold).mean().item()
views.sweep(
    both, "step", by="start",
    y={"kl_reverse": "distance to the data (nats)",
       "gold": "gold (reward units)"},
    exact={"kl_reverse": 0.0, "gold": ceiling}, exact_label="at the optimum",
    caption=f"At the last step the runs are {ends.kl_reverse.min():.2f} to "
    f"{ends.kl_reverse.max():.2f} nats from the distribution of their data, "
    f"and their gold is {ends.gold.min():.2f} to {ends.gold.max():.2f}; the "
    f"ceiling is {ceiling:.2f}.",
)

# %% [markdown]
# ## Break it
#
# Two slips of one line each.
#
# * **A mean over tokens** divides each response's loss by its own length
#   $|y|$. That is SFT on data in which $y$ counts $1/|y|$ times, so the
#   minimiser is $p_c(y)/|y|$, normalised.
# * **The end token left out** of the mask: nothing ever asks the policy to
#   stop. (A review of three words ends by itself in this world.)

# %%
slips = {
    "mean over tokens": "3 mean over tokens",
    "end left out": "2 end of sequence left out",
}
after = {"right (sum)": runs["writer"].last}
for name, key in slips.items():
    wrong = SimpleNamespace(card=sft.card, loss=sft.mistakes[key])
    after[name] = train("writer", wrong).last
after = pd.concat(after, names=["version"]).reset_index(level=0)
words = after.groupby("version").length.mean()
tokens = world.n_words + (world.n_words < world.max_words)  # with the end
short = (p_chosen - tokens.log()).log_softmax(-1)
right, mean = (distance(p).length[0] for p in (p_chosen, short))
views.bars(
    after, "version", "length", exact=right, label="words per review",
    title="Length gives both slips away",
    caption=f"The data have {right:.2f} words per review (dashed). With the "
    f"mean reviews have {words['mean over tokens']:.2f} (exact minimiser: "
    f"{mean:.2f}), without the end token {words['end left out']:.2f}.")

# %% [markdown]
# **Their signature.** None of the runs complains. Only what the policy
# writes tells them apart: reviews that are too short point to a mean over
# tokens, reviews that do not stop point to a missing end.
#
# ## Answers

# %%
largest = reach.ratio.max()
verb = {True: "rise", False: "fall"}
nearer = goal.rejected.map(lambda value: verb[value > 0])
display(
    teach.reveal(
        "03-1",
        "2" if largest <= 2 else "there is no limit",
        "the factor is 2B(y), and B(y) is a probability. The largest factor "
        f"of all annotators and reviews in the table is {largest:.2f}.",
    ),
    teach.reveal(
        "03-2",
        verb[ends.rejected["base model"] > 0],
        "their mean log-ratio ends at "
        f"{ends.rejected['base model']:+.2f} nats. At the optimum they "
        f"{nearer['base model']}, by {goal.rejected['base model']:+.2f}.",
    ),
    teach.reveal(
        "03-3",
        verb[ends.rejected["writer"] > 0],
        f"their mean log-ratio ends at {ends.rejected['writer']:+.2f} nats. "
        f"At the optimum they {nearer['writer']}, by "
        f"{goal.rejected['writer']:+.2f}: the writer is nearer to the "
        "rejected reviews than the chosen reviews are.",
    ),
)

# %% [markdown]
# ## Claims
#
# The seeds draw the data. The two starts are one model each.

# %%
judge = partial(teach.claim, unit="nats", out=OUT or None)
setting = f"{n} chosen reviews, {size.steps} steps, one start of each kind"
new = solutions.kl(mu, ratios["base model"].ref).mean().item()
spare = [bound - solutions.kl(p, mu) for p in chosen_by.values()]
judge(
    key="rejected-rises-from-base", expected="positive", setting=setting,
    effect=runs["base model"].last.rejected,
    paper="Hong et al. 2024 (2403.07691)",
    condition=(new > 0.5, "the start is half a nat or more from the writer"),
    statement="From a base model, SFT on chosen reviews makes the rejected "
    "ones likelier too.",
    meaning="What both sides share is learned before what divides them.")
judge(
    key="rejected-falls-from-writer", expected="negative", setting=setting,
    effect=runs["writer"].last.rejected,
    paper="ours",
    statement="From the model that wrote the pairs, the same training makes "
    "the rejected reviews less likely.",
    meaning="The sign belongs to the start, not to the loss.")

# %%
judge(
    key="best-of-two-bound", expected="positive", paper="ours", kind="exact",
    effect=torch.cat(spare), setting="six annotators, four prompts, exact",
    statement="The distribution of the chosen reviews is less than "
    "log 2 − ½ nats from the writer.",
    meaning="One round of SFT on chosen responses goes a short way, always.")

# %% [markdown]
# ## Exercises
#
# `teach.hint("03-1")` gives a hint; a second call gives the next one.
#
# **03-1 · Read the bars** (●○○, 5 minutes). Your annotators become more
# careful: their labels have less noise. Does SFT on the chosen reviews end
# "nearer" to the writer, "further" from it, or "as far" as before?

# %%
teach.answer("03-1", None)

# %% tags=["solution"]
careful = reach.set_index("annotator").kl
grows = careful["T = 0.25"] > careful["T = 4"]
teach.solution("03-1", "further" if grows else "nearer")

# %% [markdown]
# **03-2 · The better of two, by hand** (●○○, 5 minutes). Only two reviews are
# possible. The better one has $\mu = 0.2$, and the annotator makes no
# mistake. Which probability has the better one after SFT on the chosen
# reviews?

# %%
teach.answer("03-2", None)

# %% tags=["solution"]
wins_often = 0.8 * 1 + 0.2 * 0.5  # against the other, and against itself
teach.solution("03-2", 2 * 0.2 * wins_often)

# %% [markdown]
# **03-3 · The loss from memory** (●●○, 10 minutes). `batch.policy` holds the
# log-probs of the tokens, [batch, time]; `batch.mask` is True for those of
# the response. Return one value per response. `cfg.reduce` is `"sum"` or
# `"mean"`. The check names the mistake that it sees.


# %%
def my_sft(batch, cfg):
    raise NotImplementedError


teach.check.sft(my_sft)


# %% tags=["solution"]
def written_sft(batch, cfg):
    logps = torch.where(batch.mask, batch.policy, 0.0).sum(-1)
    if cfg.reduce == "mean":
        logps = logps / batch.mask.sum(-1)
    return -logps


assert teach.check.sft(written_sft).passed

# %% [markdown]
# **03-4 · Bug hunt** (●●○, 15 minutes). A colleague's loss runs, falls, and
# writes odd reviews. Below it stands what it says of two responses: a prompt
# token comes first, then one word and the end, or two words and the end. Their
# tokens have the log-probs −1, −2 and −4. Compute the right losses. Which
# token does the colleague never count: "prompt", "first", "last" or "none"?


# %%
def suspect(batch, cfg):
    counted = batch.policy[:, 1:] * batch.mask[:, :-1]
    return -counted.sum(-1)


logps = torch.tensor([[0.0, -1, -2, 0], [0.0, -1, -2, -4]])
mask = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 1]]).bool()
two_reviews = ResponseLogps(logps, torch.zeros(2, 4), mask)
print("the colleague's losses:", suspect(two_reviews, sft.Config()).tolist())
teach.answer("03-4", None)


# %% tags=["solution"]
def mended(batch, cfg):
    return -torch.where(batch.mask, batch.policy, 0.0).sum(-1)


losses = {"right": mended(two_reviews, sft.Config()).tolist(),
          "colleague": suspect(two_reviews, sft.Config()).tolist()}
print(losses)  # 1 nat less: the mask was one place behind the log-probs
teach.solution("03-4", "first")

# %% [markdown]
# **03-5 · Train on both sides** (●●○, 10 minutes). Somebody fine-tunes on
# *both* reviews of each pair. To which distribution does SFT converge: that
# of the "chosen", that of the "rejected", that of the "writer", or "uniform"?
# One line of algebra answers it.

# %%
teach.answer("03-5", None)

# %% tags=["solution"]
mixed = (p_chosen.exp() + sides[1].exp()) / 2  # μB + μ(1 − B) = μ
same = torch.allclose(mixed, mu.exp(), atol=1e-6)
teach.solution("03-5", "writer" if same else "chosen")

# %% [markdown]
# **03-6 · Three rounds** (●●●, 20 minutes). Fine-tune on the chosen reviews,
# let the new policy write new pairs, fine-tune again. After three rounds with
# an annotator of temperature 1, how many nats is the policy from $\mu$, as a
# mean over the prompts? Use the exact distributions, no training. Then
# compare with three times the first round, and find out by which factor a
# probability can grow at most.

# %%
teach.answer("03-6", None)

# %% tags=["solution"]
third = mu
for turn in range(1, 4):
    third = sides_of(third, world.gold)[0]
    factor = (third - mu).exp().max()
    print(f"round {turn}: {solutions.kl(third, mu).mean():.3f} nats from μ, "
          f"largest factor {factor:.2f} of at most {2**turn}")
teach.solution("03-6", solutions.kl(third, mu).mean())

# %% [markdown]
# ## Recap
#
# * SFT minimises $\mathrm{KL}(p\Vert\pi)$ and ends at the distribution of its
#   data.
# * Chosen responses of pairs have $p_c = 2\mu B$: no probability more than
#   doubles, and the drift is at most $\log 2 - \frac12$ nats.
# * The mean log-ratio under $p$ is
#   $\mathrm{KL}(p\Vert\pi_0) - \mathrm{KL}(p\Vert\pi)$.
# * Rejected responses rise from a base model and fall from the writer.
# * A mean over tokens shortens, a missing end token lengthens, and the loss
#   falls in both.
#
# Three questions to end with: call `teach.quiz("03")`. Your letters behind the
# number, as in `teach.quiz("03", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Ouyang et al. 2022](https://arxiv.org/abs/2203.02155), *Training language
#   models to follow instructions with human feedback*: SFT before
#   preferences.
# * [Hong et al. 2024](https://arxiv.org/abs/2403.07691), *ORPO*: the log-probs
#   of rejected responses rise during SFT.
# * [Beirami et al. 2024](https://arxiv.org/abs/2401.01879), *Theoretical
#   guarantees on the best-of-n alignment policy*: the bound for every $n$.
#
# Next: [**10 · Reward models**](10_reward_models.ipynb). SFT forgets who was
# rejected. A reward model learns from both sides of the same pairs.
