# ---
# jupyter:
#   workbench:
#     title: "10 · Reward models from comparisons"
#     part: reward models
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 10 · Reward models from comparisons
#
# **The claim in one sentence.** A reward model ranks held-out pairs almost as
# well after one epoch as after ten; what the other nine add is scale, and
# with it confidence that the labels do not support.
#
# After this lesson you can
#
# * say which part of a reward comparisons can identify, and which never;
# * tell ranking (accuracy) from calibration (ECE, temperature);
# * follow a reward's errors into the policy that is optimal for it;
# * recognise `log(sigmoid(d) + 1e-5)` from a training curve.
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
from torch.nn.functional import logsigmoid

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.feedback.kinds.pairs import Pairs, sample_pairs

# %%
from workbench.loops import reward as reward_loop
from workbench.measure import calibration, reward_model
from workbench.measure import overoptimisation as over
from workbench.methods.reward.pairwise import bt
from workbench.models import heads, tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
n_pairs = {"ci": 64, "lecture": 1000, "figure": 10000}[PROFILE]
epochs = {"ci": 2, "lecture": 10, "figure": 10}[PROFILE]
epoch = n_pairs // 32  # steps
beta = 0.5

world = Reviews(3)
ref = tiny.reference(world, DEVICE).response_logps(world)
gold = world.gold

# %% [markdown]
# ## The question
#
# Nobody can say what a review is worth, but people can say which of two they
# like better. You fit a network to a thousand such answers. **Write down a
# prediction.** From epoch 1 to epoch 10, which of these still change, and in
# which direction: training loss, held-out accuracy, held-out negative
# log-likelihood, the spread of the scores?

# %% [markdown]
# ## Three data points
#
# Both reviews of a pair are drawn from π_ref; the annotator prefers a to b
# with probability σ(r_a − r_b).

# %%
parts = []
for s in range(SEED, SEED + seeds):
    draw = generator(s, "pairs")
    parts.append(sample_pairs(world, ref, n_pairs, Annotator(), draw))
pairs, rows = Pairs.cat(parts), []
for i in range(3):
    x = int(pairs.chosen.prompt[i])
    c, l = int(pairs.chosen.response[i]), int(pairs.rejected.response[i])
    won = (gold[x, c] - gold[x, l]).sigmoid().item()
    rows.append((world.prompts[x], world.text(c), world.text(l), won))
pd.DataFrame(rows, columns=["prompt", "chosen", "rejected", "p(label)"])

# %% [markdown]
# ## The objective, in the symbols of the code
#
# Bradley and Terry: P(a ≻ b) = σ(r(x, a) − r(x, b)). The negative
# log-likelihood of a label with lead d = r(chosen) − r(rejected) is
# −log σ(d). Its gradient is −(1 − p) on the chosen score and +(1 − p) on the
# rejected one, with p = σ(d): a pair pushes as hard as it is surprising.
#
# Only d enters. Add any f(x) to all scores of a prompt and no label changes
# its probability: the reward is identified *up to f(x)*, prompt by prompt.
# Scores of different prompts cannot be compared.

# %%
teach.show(bt.loss)

# %% [markdown]
# ## By hand, on four responses
#
# Four scores, all twelve ordered pairs, weighted by how often the annotator
# would label them so. First one pair, with its gradient; then the minimum.

# %%
truth = torch.tensor([0.0, 0.5, 1.0, 2.0], dtype=torch.float64)
P = (truth[:, None] - truth).sigmoid()
first = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
second = torch.tensor([0.9], dtype=torch.float64, requires_grad=True)
value = bt.loss(PairScores(first, second), bt.Config())
value.sum().backward()
p = (first - second).sigmoid().item()
print(f"d = {(first - second).item():+.2f}   p = {p:.4f}", end="   ")
print(f"loss = {value.item():.4f}   −log p = {-np.log(p):.4f}")
print(f"gradient: {first.grad.item():+.4f} and {second.grad.item():+.4f}")

# %%
i, j = (torch.arange(16) // 4), (torch.arange(16) % 4)
r = torch.zeros(4, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([r], lr=0.05)
for _ in range(1000):
    every_pair = PairScores(r[i], r[j])
    loss = (P[i, j] * bt.loss(every_pair, bt.Config())).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
shift = (r.detach() - truth).tolist()
print("scores:", [round(v, 4) for v in r.tolist()])
print("scores − truth:", [round(v, 4) for v in shift])

# %% [markdown]
# The scores are the truth minus one constant. Which constant depends on
# where the optimiser started, and nothing downstream may depend on it:
# π*_β ∝ π_ref exp(r/β) does not, as f(x) goes into Z(x).

# %%
f = torch.tensor([[5.0], [-3.0], [0.0], [1.0]], dtype=torch.float64)
star = solutions.optimal_policy(ref, gold, beta)
moved = solutions.optimal_policy(ref, gold + f, beta)
same = solutions.kl(moved, star).max().item()
print(f"KL between π* of r and of r + f(x): {same:.1e} nats")

# %% [markdown]
# ## Train, and look at held-out pairs
#
# Fresh pairs of the same kind, and for each the annotator's true probability
# in place of one more coin toss: no label noise in the measurement.
#
# * *accuracy*: chance to agree with a fresh label; its *ceiling* is the best
#   that any score reaches, as labels are coins.
# * *nll*: −E log σ(d), nats a pair.
# * *ece*: mean gap between stated and true probability, in ten bins.
# * *T̂*: the temperature that σ(d/T) should have had. Above 1: overconfident.
# * *spread*: standard deviation of the scores under π_ref (gold's is shown).

# %%
held = sample_pairs(world, ref, 4000, Annotator(), generator(SEED, "held"))
x, c, l = held.chosen.prompt, held.chosen.response, held.rejected.response
chance = (gold[x, c] - gold[x, l]).sigmoid()


def spread(score):
    return solutions.covariance(ref, score, score).mean().item() ** 0.5


# %%
def judge_one(score):
    d = score[x, c] - score[x, l]
    row = reward_model.against_truth(d, chance)
    said = chance * logsigmoid(d) + (1 - chance) * logsigmoid(-d)
    row |= {"nll": -said.mean().item(), "spread": spread(score)}
    row |= {"ece": calibration.ece(d.sigmoid(), chance)}
    row |= {"T": calibration.temperature(d, chance)}
    policy = solutions.optimal_policy(ref, score, beta)
    return row | {"to_optimum": solutions.kl(policy, star).mean().item()}


def judge(model):
    return pd.DataFrame([judge_one(score) for score in model.score_all(world)])


# %%
def train(module=bt, scale=1.0, steps=epochs * epoch, every=epoch):
    models = [heads.ScoreModel.tiny(world.vocab, seed=s) for s in range(seeds)]
    for model in models:
        model.network.model.score.weight.data *= scale
    return reward_loop.fit(
        heads.ScoreModel.stack(models), pairs, module, bt.Config(),
        steps=steps, every=every, seed=SEED, measures=(judge,),
    )  # fmt: skip


# %%
run = train()
metrics = run.metrics.assign(epoch=run.metrics.step / epoch)
mean = metrics.groupby("epoch").mean()

# %%
shown = {"loss": "training loss (nats)", "accuracy": "held-out accuracy"}
shown["spread"] = "std of scores (reward units)"
views.training_curves(
    metrics[metrics.epoch >= 1], shown,
    x="epoch",
    caption=f"From epoch 1 to {epochs} the training loss goes from "
    f"{mean.loss[1]:.3f} to {mean.loss[epochs]:.3f}, accuracy from "
    f"{mean.accuracy[1]:.3f} to {mean.accuracy[epochs]:.3f} (ceiling "
    f"{mean.ceiling[1]:.3f}), the spread from {mean.spread[1]:.2f} to "
    f"{mean.spread[epochs]:.2f}; gold's is {spread(gold):.2f}.",
)  # fmt: skip

# %%
views.training_curves(
    metrics[metrics.epoch >= 1],
    {"nll": "nll (nats a pair)", "ece": "ECE", "T": "best temperature T̂"},
    x="epoch",
    caption=f"Held-out nll is lowest at epoch {mean.nll.idxmin():.0f}; T̂ "
    f"goes from {mean['T'][1]:.2f} to {mean['T'][epochs]:.2f}.",
)

# %% [markdown]
# The measured pairs are drawn like the training pairs, so many of the same
# reviews occur in both. On reviews that π_ref hardly writes all of this is
# worse, and no held-out pair of this kind will tell you: lesson 11 goes
# there.
#
# Accuracy asks for the sign of d alone. The likelihood asks for its size,
# and on a pair seen once and labelled once the training likelihood wants
# that size infinite. A single T̂ would repair the size and leave every
# ranking as it is.
#
# ## Calibration
#
# Of the pairs to which the first model gives a probability near 0.9, how
# many are won? Each pair counts in both orders: "chosen" always stands first
# in the data, and that order knows the answer.

# %%
score = run.policy.score_all(world)[0]
d = score[x, c] - score[x, l]
bins = calibration.reliability(d.sigmoid(), chance)
top = bins.iloc[-1]
views.reliability(
    bins,
    caption=f"In the last bin the model says {top.predicted:.2f} and "
    f"{top.observed:.2f} of the pairs are won.",
)

# %% [markdown]
# ## From reward to policy: the signature views
#
# A reward model is a means. Its policy is π*_β ∝ π_ref exp(r̂/β), exact here:
# no optimiser stands between the reward and its consequences. Implicit
# reward of that policy: r̂ − β log Z, so the ranking of tokens and reviews is
# the model's. KL and gold, for every β:

# %%
betas = np.geomspace(20, 0.1, 40)
path = over.tilt_curve(ref, score, gold, betas)
centre = path.proxy[0] - path.gold[0]
best = solutions.frontier(ref, gold, gold, np.geomspace(20, 0.02, 60))
loss_at = np.interp(path.kl, best.kl, best.gold) - path.gold

# %%
views.overoptimisation(
    path.assign(proxy=path.proxy - centre), by="beta",
    exact=best[best.kl < path.kl.max()],
    caption="The proxy (shifted by a constant to start at gold) promises "
    f"{path.proxy.iloc[-1] - centre:.2f}, gold ends at "
    f"{path.gold.iloc[-1]:.2f} and the frontier is {loss_at.max():.2f} above "
    "it at most.",
)  # fmt: skip

# %% [markdown]
# ## Distance to the exact optimum
#
# KL(π*_r̂‖π*_gold) at one β. Times β, it is the regret in E[r] − β KL.

# %%
far = mean.to_optimum.loc[[0, 1, epochs]]
names = (f"KL to π* at β = {beta} (nats)", "regret (reward units)")
pd.DataFrame(dict(zip(names, (far, beta * far), strict=True))).round(3)

# %% [markdown]
# ## Break it: `log(sigmoid(d) + 1e-5)`
#
# Mistake (2), from a public code base: a small number against log 0. Where
# the model is confidently wrong the loss is flat and the gradient is gone.

# %%
leads = torch.tensor([2.0, 0, -5, -10, -15, -20], dtype=torch.float64)
wrong = bt.mistakes["2 log of sigmoid plus 1e-5"]
slopes = {"d": leads.tolist()}
for name, loss_of in (("−log σ(d)", bt.loss), ("with 1e-5", wrong)):
    at = leads.clone().requires_grad_()
    lead = PairScores(at, torch.zeros(6).double())
    loss_of(lead, bt.Config()).sum().backward()
    slopes[name] = at.grad.tolist()
pd.DataFrame(slopes).round(5)

# %% [markdown]
# With the head's usual initialisation, N(0, 1/(width + 1)), no lead is that
# large and the mistake never shows. Start with a head 30 times too large.

# %%
short = {"ci": 4, "lecture": 90, "figure": 300}[PROFILE]
broken = {}
for name, loss_of in (("−log σ(d)", bt.loss), ("with 1e-5", wrong)):
    module = method(card=bt.card, loss=loss_of)
    fit = train(module, scale=30.0, steps=short, every=max(1, short // 6))
    broken[name] = fit.metrics.assign(loss_is=name)

# %%
broken = pd.concat(broken.values())
ends = broken[broken.step == short].groupby("loss_is").nll.mean()
views.training_curves(
    broken,
    {"nll": "held-out nll (nats a pair)", "spread": "std (reward units)"},
    by="loss_is", log_y=True,
    caption=f"After {short} steps the held-out nll is "
    + " and ".join(f"{e:.2f} ({k})" for k, e in ends.items()) + ".",
)  # fmt: skip

# %% [markdown]
# **Its signature.** The reported loss looks *better*: it cannot exceed
# −log 1e-5 ≈ 11.5 a pair. The held-out likelihood, computed properly,
# recovers late or not at all, because the worst pairs have stopped pushing:
# look at the band, some seeds are still stuck. Use `logsigmoid`.
#
# A second classic, for which no loss can be blamed: reading the score at the
# last *column* instead of the last real token. Then a review's reward
# depends on how long its neighbours in the batch are. `ScoreModel.scores`
# takes the position from the attention mask.

# %% [markdown]
# ## Claims

# %%
at = {k: f.set_index("seed") for k, f in metrics.groupby("epoch")}
one, two, last = at[1], at[min(2, epochs - 1)], at[epochs]
instruct = "Ouyang et al. 2022 (2203.02155)"
guo = "Guo et al. 2017 (1706.04599)"


def claim(key, paper, statement, effect, expected, unit):
    return teach.claim(
        key=key, paper=paper, statement=statement, effect=effect,
        expected=expected, unit=unit, out=OUT or None,
        setting=f"reviews, {n_pairs} BT pairs, {epochs} epochs, lr 1e-3",
    )  # fmt: skip


# %%
gain = last.accuracy - one.accuracy
said = "Held-out accuracy saturates in about one epoch (gain after it)."
claim("accuracy-saturates", instruct, said, gain, (-0.02, 0.02), "accuracy")
said = "The training loss keeps falling (last epoch minus second)."
drop = last.loss - two.loss
claim("loss-falls-on", instruct, said, drop, "negative", "nats")

# %%
said, more = "The scores keep spreading.", last.spread - one.spread
claim("scale-grows", instruct, said, more, "positive", "reward units")
said = "The overtrained model is overconfident: T̂ above 1."
claim("overconfident", guo, said, last["T"], (1.0, float("inf")), "T̂")

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). `batch.chosen`,
# `batch.rejected`, `cfg.margin`.


# %%
def my_bt(batch, cfg):
    raise NotImplementedError


teach.check.bt(my_bt)


# %% tags=["solution"]
def solution(batch, cfg):
    return -logsigmoid(batch.chosen - batch.rejected - cfg.margin)


checked = teach.check.bt(solution)
checked

# %% [markdown]
# **2 · A hesitant annotator** (●●○, 10 minutes). Labels come from
# σ((r_a − r_b)/2). What is T̂ of the *gold* reward on them?

# %% tags=["solution"]
d = gold[x, c] - gold[x, l]
hesitant = calibration.temperature(d, (d / 2).sigmoid())
print(f"T̂ = {hesitant:.4f}")

# %% [markdown]
# **3 · Perfectly calibrated and useless** (●●○, 10 minutes). Which scores
# have ECE = 0 and accuracy ½? Which number of this lesson exposes them?

# %% tags=["solution"]
nothing = torch.zeros_like(d)
print("ECE", calibration.ece(nothing.sigmoid(), chance), end="   ")
useless = reward_model.against_truth(nothing, chance)
print(f"accuracy {useless['accuracy']:.2f}, nll {np.log(2):.3f}")

# %% [markdown]
# ## What must hold

# %%
assert abs(first.grad.item() + (1 - p)) < 1e-12
assert max(shift) - min(shift) < 1e-4
assert same < 1e-9 and abs(hesitant - 2) < 1e-6
assert (metrics.accuracy <= metrics.ceiling + 1e-9).all()
assert slopes["−log σ(d)"][-1] < -0.99 and slopes["with 1e-5"][-1] > -1e-3
assert np.isfinite(metrics[metrics.epoch >= 1]).all().all()
assert checked.passed

# %% [markdown]
# ## References and next
#
# * Bradley & Terry 1952, *Rank analysis of incomplete block designs*.
# * Ouyang et al. 2022, *InstructGPT* (2203.02155): one epoch, and why.
# * Guo et al. 2017, *On calibration of modern neural networks* (1706.04599).
#
# Next: **11 · Best-of-n** asks how far such a model may be trusted.
