# ---
# jupyter:
#   workbench:
#     title: "26 · Displacement"
#     part: offline
#     path: core
#     needs: ["01", "20"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 26 · Displacement: why do both likelihoods fall?
#
# **The idea in one sentence.** DPO (direct preference optimisation) reads only
# the *difference* between the two responses of a pair, and all responses
# share their parameters, so the pushes of other pairs can take a chosen
# response down while its loss improves.
#
# After this lesson you can
#
# * compute what one step on one pair does to any response;
# * say why a table of probabilities never lowers its own chosen response, and
#   a network may;
# * tell from the pairs, before training, which chosen responses fall most;
# * recognise a penalty with the wrong sign from two curves.
#
# *Needs*: lessons 01 (the exact optimum) and 20 (DPO). About 90 minutes.
# Unknown words stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 6
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.feedback.as_text import as_text
from workbench.feedback.kinds.pairs import PairLogps
from workbench.lesson import *
from workbench.measure import displacement, implicit_reward
from workbench.methods.direct.links import dpo, dpop
from workbench.models.policy import TabularPolicy
from workbench.views.instruments.influence_explorer import (
    influence_explorer,
    pair_walk,
)

size = sizes(PROFILE, seeds=(2, SEEDS, 12), steps=(4, 80, 600))
world, beta = Reviews(3), 0.1
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %% [markdown]
# ## The question
#
# You watch a run of DPO. The margin grows, as it should. But the
# log-probability of the *chosen* responses goes down, only less than that of
# the rejected ones. Lesson 20 showed that a small $\beta$ asks for this on
# average. It did not show *how* it happens, or to whom. Write your
# predictions into `mine`.

# %%
display(
    teach.predict(
        "26-1",
        "Four reviews share a hidden vector. You train it on the single pair "
        "dull ≻ bad. Does dull get more likely or less likely?",
        ["more likely", "less likely"],
    ),
    teach.predict(
        "26-2",
        "You train a small decoder on the single pair good ≻ fun, at each of "
        "four prompts. At how many of them does good get more likely?",
        ["all", "some", "none"],
    ),
    teach.predict(
        "26-3",
        "Now a hundred pairs together. How many of the chosen responses end "
        "less likely than before?",
        ["at most half", "more than half"],
    ),
)

# %% [markdown]
# ## Three data points
#
# Two reviews are drawn from $\pi_{\text{ref}}$; the annotator follows Bradley
# and Terry. Each seed has its own hundred pairs.


# %%
def collect(count, name):
    draws = [generator(SEED + k, name) for k in range(size.seeds)]
    return [sample_pairs(world, ref, count, Annotator(), g) for g in draws]


parts = collect(100, "pairs")
pairs = Pairs.cat(parts)
as_text(pairs[:3], world, Annotator()).round(2)

# %% [markdown]
# ## The objective, step by step
#
# 1. Write $d(y) = \log\frac{\pi(y)}{\pi_{\text{ref}}(y)}$ and
#    $D = d(y_c) - d(y_r)$. DPO's loss is $-\log\sigma(\beta D)$.
# 2. Its gradient is $-w\,\bigl(\nabla\log\pi(y_c) - \nabla\log\pi(y_r)\bigr)$
#    with $w = \beta\,\sigma(-\beta D)$ (lesson 20).
# 3. A step of size $\eta$ against the gradient changes the log-probability of
#    *any* response $y$, to first order, by
#    $\eta\,w\,\langle \nabla\log\pi(y),\;
#    \nabla\log\pi(y_c) - \nabla\log\pi(y_r)\rangle$.
# 4. The inner product is the **influence** of the pair on $y$. It depends on
#    the gradients alone: on how shared parameters and the sum to 1 tie the
#    responses together, and not on the loss.
# 5. In a *table* each response has a logit of its own, and
#    $\nabla\log\pi(y_c) = e_{y_c} - \pi$, where $e_y$ is 1 at $y$ and 0
#    elsewhere. The influence of a pair on its own chosen response is then
#    $1 - \pi(y_c) + \pi(y_r)$, which is above zero.
# 6. In a network the gradients of different responses are not independent,
#    and the influence can have any sign.

# %%
teach.show(displacement.influence)

# %% [markdown]
# ## By hand, on four reviews
#
# One pair, `dull` ≻ `bad`. Each review has a fixed row of two numbers, its
# mood and a shade, and only the hidden vector $h$ is trained:
# $\log\pi = \log\mathrm{softmax}(Wh)$. At $h = 0$ each review has probability
# one quarter, $\nabla_h\log\pi(y) = W_y - \bar W$ with the mean row $\bar W$,
# and the pair pushes $h$ along $W_{\text{dull}} - W_{\text{bad}}$.

# %%
texts = ["dull", "bad", "good", "fun"]
rows = [[-1.0, 0.0], [-1.2, -0.3], [1.0, 0.0], [0.9, 0.1]]
W = torch.tensor(rows).double()
direction = W[0] - W[1]
hand = pd.DataFrame(rows, texts, ["mood", "shade"])
hand["logit gains"] = (W @ direction).tolist()
hand["log π gains"] = ((W - W.mean(0)) @ direction).tolist()
say(f"The pair pushes mood and shade along {direction.numpy().round(1)}.")
hand.round(3)

# %% [markdown]
# The step understands "less bad" as "better mood". It raises the logits of
# `good` and `fun`, and lowers that of `dull`, although `dull` was chosen: its
# influence on itself is negative. With a table it would be
# $1 - \frac14 + \frac14 = 1$. The next cell checks two things with the
# library: the direction of the push, by the gradient of its DPO loss, and
# $1 - \pi(y_c) + \pi(y_r)$, by `displacement.influence` of a table over all
# reviews. Then come forty steps
# of size 1, once with the shared $h$ and once with a table of four logits. In
# a live notebook a slider moves the shade of `bad`.

# %%
hidden = torch.zeros(2, dtype=torch.float64, requires_grad=True)
logps = (W @ hidden).log_softmax(-1)[:, None]
start, mask = logps[:1].detach(), torch.ones(1, 1).bool()  # log ¼
one = PairLogps(logps[:1], logps[1:2], start, start, mask, mask)
dpo.loss(one, dpo.Config(1.0)).sum().backward()
assert torch.allclose(-hidden.grad, 0.5 * direction)  # w = σ(0) = ½
table, few, p = TabularPolicy(world, ref), pairs[:3], ref.exp()
library = displacement.influence(table, few)[0].diagonal()
p_chosen = p[few.chosen.prompt, few.chosen.response]
p_rejected = p[few.rejected.prompt, few.rejected.response]
assert torch.allclose(1 - p_chosen + p_rejected, library)

# %%
rows_of = dict(zip(texts, rows, strict=True))
shared = pair_walk(W)[-1, 0].item()  # π(dull) after forty steps
influence_explorer(rows_of)

# %% [markdown]
# In both panels the loss falls, for chosen and rejected move apart. On the
# left the probability goes to two reviews that no pair mentions.
#
# ## One pair, a real decoder
#
# Is a decoder like the left panel or like the right one? Train it on the
# single pair `good` ≻ `fun`, at each of the four prompts alone. The table
# shows $d$ of `good` (chosen) and of `fun` (rejected) at the end, in nats.


# %%
def train(method, cfg, pairs, members, batch=16):
    known = pairs.reference_logps(reference)
    trackers = [implicit_reward.PairTracker(pairs, known, 1.0)]
    settings = {"steps": size.steps, "batch_size": batch, "seed": SEED}
    settings |= {"measures": trackers, "every": max(1, size.steps // 8)}
    start = reference.copies(members)
    return offline.fit(start, reference, pairs, method, cfg, **settings)


# %%
prompts, ones = torch.arange(4), torch.ones(4, dtype=torch.float64)
words = [torch.full((4,), world.index(word)) for word in ("good", "fun")]
lone = Pairs(*(world.tokens(prompts, word) for word in words), ones)
alone = train(dpo, dpo.Config(beta), lone, members=4, batch=1).metrics
alone = alone.query("step == @size.steps").set_index(pd.Index(world.prompts))
alone[["chosen", "rejected"]].round(2)

# %% [markdown]
# ## A hundred pairs together
#
# Alone, *this* pair raises its chosen review. In a batch the step is the
# *mean* over pairs, and a review is also moved by what is done to others.

# %%
run = train(dpo, dpo.Config(beta), pairs, members=size.seeds)
last = run.metrics[run.metrics.step == size.steps]
sides = ["chosen", "rejected", "margin"]
log = run.metrics.melt(["step", "seed"], sides, "of", "nats")
end = last[sides].mean()
label = {"nats": "mean log π/π_ref of the training pairs (nats)"}
caption = (
    f"The chosen end at {end.chosen:+.2f} nats, the rejected at "
    f"{end.rejected:+.2f}, and the margin at {end.margin:+.2f}."
)
views.training_curves(log, label, by="of", zero=True, caption=caption)

# %% [markdown]
# ## Who falls?
#
# `displacement.influence` gives, *before* any training, the influence of
# every pair on every chosen response. Split the mean over the hundred pairs
# in two: the pair's own share, and the share of the other 99.

# %%
free = reference.member(0).requires_grad_(True)
known = pairs.reference_logps(reference)
moves = displacement.change(run.policy, pairs, known)
tables = [displacement.influence(free, part)[0] for part in parts]
own = torch.cat([table.diagonal() / 100 for table in tables])
total = torch.cat([table.mean(1) for table in tables])
moves["own"], moves["others"] = (-own).tolist(), (own - total).tolist()
falls = (moves.chosen < 0).mean()
scores = {"own": "loss through its own pair (nats per unit step)"}
scores["others"] = "loss through the other pairs (nats per unit step)"
caption = (
    f"The own pair lowers {(moves.own > 0).mean():.1%} of the chosen "
    f"responses, the other pairs lower {(moves.others > 0).mean():.0%}; after "
    f"training {falls:.0%} have fallen."
)
views.displacement(moves, scores, caption=caption)

# %% [markdown]
# A pair's own push says almost nothing about who falls. The pushes of the
# other pairs, read off before the first step, tell well who falls *further
# than others*, but not how many.
#
# ## Distance to the exact optimum
#
# At $\beta = 0.1$ the optimum itself lowers nearly every chosen response
# (lesson 20). So is the fall simply the way to the optimum? Compare both
# explanations: what the optimum asks for,
# $\log\pi^*/\pi_{\text{ref}}$, and the first-order push of the other pairs.

# %%
optimum = solutions.optimal_policy(ref, world.gold, beta)
asked = (optimum - ref)[pairs.chosen.prompt, pairs.chosen.response]
apart = solutions.kl(exact.response_logps(run.policy, world), optimum).mean()
moves["asked"], columns = asked.tolist(), ["chosen", "asked", "others"]
ranks = moves.groupby("seed")[columns].corr("spearman").chosen.unstack()
say(
    f"The optimum asks the chosen for {asked.mean():+.1f} nats on average; "
    f"the run is at {end.chosen:+.1f}, and {apart:.0f} nats away from the "
    "optimum. The rank correlation with the change of each response is "
    f"{ranks.asked.mean():.2f} for what the optimum asks and "
    f"{-ranks.others.mean():.2f} for the push of the other pairs."
)

# %% [markdown]
# ## A remedy, and break it
#
# DPOP (DPO-Positive) takes off $\lambda$ nats of margin for each nat that a
# chosen response has lost: $D - \lambda\max(0, -d(y_c))$ in the place of $D$.
# It was made for pairs that differ in *one* word, so train on such pairs.
# Mistake (4) has one wrong sign: $\max(0, d(y_c))$.

# %%
near, steady = [], dpop.Config(beta, lam=5.0)
for pool in collect(1500, "pool"):
    edits = displacement.edit_distance(pool.chosen, pool.rejected)
    near.append(pool[(torch.tensor(edits) == 1).nonzero()[:100, 0]])
near = Pairs.cat(near)
wrong = SimpleNamespace(card=dpop.card, loss=dpop.mistakes["4 gains punished"])
remedies = {"DPO": train(dpo, dpo.Config(beta), near, size.seeds)}
remedies["DPOP"] = train(dpop, steady, near, size.seeds)
remedies["wrong sign"] = train(wrong, steady, near, size.seeds)
runs = [r.metrics.assign(run=name) for name, r in remedies.items()]
runs = pd.concat(runs)
ends = runs[runs.step == size.steps].set_index(["run", "seed"])

# %%
columns = {k: f"{k}: mean log π/π_ref (nats)" for k in sides[:2]}
mean = ends.groupby("run").mean(numeric_only=True)
caption = (
    f"The chosen end at {mean.chosen['DPO']:+.2f} nats with DPO, "
    f"{mean.chosen['DPOP']:+.2f} with DPOP and "
    f"{mean.chosen['wrong sign']:+.2f} with the wrong sign; the margins at "
    f"{mean.margin['DPO']:.2f}, {mean.margin['DPOP']:.2f} and "
    f"{mean.margin['wrong sign']:.2f}."
)
views.training_curves(runs, columns, by="run", zero=True, caption=caption)

# %% [markdown]
# **Its signature.** With the wrong sign a chosen response that rises is fined
# and one that falls is not. Both curves fall from the very start; with plain
# DPO the chosen rise for a few steps before they fall. The
# right DPOP keeps the chosen above zero and pays with a smaller margin.
#
# ## Answers

# %%
display(
    teach.reveal(
        "26-1",
        "less likely" if shared < 0.25 else "more likely",
        f"it goes from 0.25 to {shared:.2f}: the step moves "
        "the shared mood, and good and fun gain most.",
    ),
    teach.reveal(
        "26-2",
        {1.0: "all", 0.0: "none"}.get((alone.chosen > 0).mean(), "some"),
        f"its log-ratio ends between {alone.chosen.min():.2f} and "
        f"{alone.chosen.max():.2f} nats: alone, this pair "
        "raises its own chosen review.",
    ),
    teach.reveal(
        "26-3",
        "more than half" if falls > 0.5 else "at most half",
        f"{falls:.0%} fall. At the first step the others lower fewer; the "
        "rest fall later, and at β = 0.1 the optimum asks for it as well.",
    ),
)

# %% [markdown]
# ## Claims
#
# Judged over the seeds of the pairs, for one reference model. The studies
# **26a** to **26d** judge more: a cheap score for who falls (26a), mass on
# responses that no pair mentions (26b), other remedies (26c), and other
# starts (26d).

# %%
where = f"100 pairs, {size.steps} steps, β = 0.1, one reference model"
judge = partial(teach.claim, setting=where, out=OUT or None)
judge(
    key="own-falls",
    paper="Rafailov et al. 2024 (2406.02900)",
    statement="DPO from the π_ref that wrote the pairs: chosen fall.",
    effect=last.chosen,
    expected="negative",
    unit="nats",
    meaning="Both likelihoods fall in a run where nothing is broken.",
)

# %%
judge(
    key="others-foretell",
    paper="ours",
    statement="The push of the other pairs foretells who falls.",
    effect=-ranks.others,
    expected="positive",
    unit="rank correlation",
    meaning="Displacement comes from what is done to other responses.",
)
judge(
    key="dpop-holds",
    paper="Pal et al. 2024 (2402.13228)",
    statement="At one edit DPOP (λ = 5) does not lower the chosen.",
    effect=ends.chosen["DPOP"],
    expected=(-0.05, float("inf")),
    unit="nats",
    meaning="A penalty on one response holds it where a margin cannot.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("26-1")` gives a hint; a second call gives the next one.
#
# **26-1 · Read the table** (●○○, 5 minutes). Which of the four reviews gains
# most log-probability from the first step on `dull` ≻ `bad`?

# %%
teach.answer("26-1", None)

# %% tags=["solution"]
teach.solution("26-1", hand["log π gains"].idxmax())

# %% [markdown]
# **26-2 · A table by hand** (●○○, 10 minutes). In a table
# $\pi(y_c) = 0.3$, $\pi(y_r) = 0.1$, and a third response has
# $\pi(y) = 0.2$. What is the influence of the pair on the chosen response,
# and on the third? Give two numbers.

# %%
teach.answer("26-2", None)

# %% tags=["solution"]
# ⟨e_y − π, e_c − e_r⟩ for y = c, and for a y outside the pair
teach.solution("26-2", [1 - 0.3 + 0.1, -0.3 + 0.1])

# %% [markdown]
# **26-3 · How far apart?** (●●○, 15 minutes). Lower the shade of `bad`,
# $-0.3$, to a number $s$. Below which $s$ does the first step no longer lower
# `dull`?

# %%
teach.answer("26-3", None)


# %% tags=["solution"]
def own_influence(shade):
    moved = torch.tensor([rows[0], [-1.2, shade], *rows[2:]]).double()
    return float((moved[0] - moved.mean(0)) @ (moved[0] - moved[1]))


low, high = -2.0, -0.3  # the influence is above zero at low, below at high
for _ in range(40):
    middle = (low + high) / 2
    low, high = (middle, high) if own_influence(middle) > 0 else (low, middle)
teach.solution("26-3", high)

# %% [markdown]
# **26-4 · DPOP from memory** (●●○, 10 minutes). Write its loss from
# `batch.margin()`, `batch.chosen.logratio()`, `cfg.lam` and `cfg.beta`.


# %%
def my_dpop(batch, cfg):
    raise NotImplementedError


teach.check.dpop(my_dpop)


# %% tags=["solution"]
def written_dpop(batch, cfg):
    lost = (-batch.chosen.logratio()).relu()
    inside = cfg.beta * (batch.margin() - cfg.lam * lost)
    return -torch.nn.functional.logsigmoid(inside)


assert teach.check.dpop(written_dpop).passed

# %% [markdown]
# **26-5 · Bug hunt** (●●○, 10 minutes). This loss has one planted mistake.
# The cell prints its mean over three pairs *before* the first step, when the
# policy is the reference. Which value would a right DPOP have there? Then
# find the line, and mend it with `teach.check.dpop(suspect)`.


# %%
def suspect(batch, cfg):
    lost = (-batch.chosen.logps()).relu()
    return dpo.link(batch.margin() - cfg.lam * lost, cfg)


fresh = few.batch(reference, torch.arange(3), few.reference_logps(reference))
print(f"loss before training: {suspect(fresh, steady).mean():.3f}")
teach.answer("26-5", None)

# %% tags=["solution"]
# `lost` reads log π where it should read log π/π_ref: at the start D = 0 and
# nothing is lost, so the loss is −log σ(0).
teach.solution("26-5", np.log(2))

# %% [markdown]
# **26-6 · Your own experiment** (●●●, 20 minutes). Take the hundred pairs
# `sample_pairs(world, ref, 100, Annotator(), generator(0, "pairs"))` and the
# table `TabularPolicy(world, ref)`. Which share of the chosen responses does
# the whole batch lower at the first step? Why can a table lower any, and
# which ones?

# %%
teach.answer("26-6", None)

# %% tags=["solution"]
hundred = sample_pairs(world, ref, 100, Annotator(), generator(0, "pairs"))
own_logits = TabularPolicy(world, ref)
push = displacement.influence(own_logits, hundred)[0].mean(1)
fallen = as_text(hundred, world)[(push < 0).numpy()]
print(fallen.head())  # reviews that are rejected in other pairs
teach.solution("26-6", (push < 0).double().mean().item())

# %% [markdown]
# ## Recap
#
# * A pair pushes along $\nabla\log\pi(y_c) - \nabla\log\pi(y_r)$, and every
#   response that shares parameters moves with it.
# * In a table a pair always raises its own chosen response, by
#   $1 - \pi(y_c) + \pi(y_r)$ per unit of its weight.
# * Alone, a pair of our decoder raises its chosen review; in a batch the other
#   pairs decide.
# * The influences are known before training, and they tell who will fall.
# * DPOP holds the chosen response, at the price of a smaller margin.
#
# Three questions to end with: call `teach.quiz("26")`. Your letters behind the
# number, as in `teach.quiz("26", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Razin et al. 2024](https://arxiv.org/abs/2410.08847), *Unintentional
#   unalignment: likelihood displacement in direct preference optimization*.
# * [Pal et al. 2024](https://arxiv.org/abs/2402.13228), *Smaug: fixing failure
#   modes of preference optimisation with DPO-Positive*.
# * [Rafailov et al. 2024](https://arxiv.org/abs/2406.02900), section 3.5: both
#   likelihoods fall.
#
# Next: [**27 · Overoptimisation**](27_overoptimisation.ipynb): what happens
# to the gold reward when the policy has moved far.
