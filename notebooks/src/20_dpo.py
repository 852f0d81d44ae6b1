# ---
# jupyter:
#   workbench:
#     title: "20 · DPO, anatomy"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 20 · DPO, anatomy: why do the chosen rewards fall?
#
# **The claim in one sentence.** The implicit reward of the *chosen*
# responses is negative at the exact optimum of DPO whenever β is small: a
# fall during training is what the objective asks for, and theory says at
# which β it stops.
#
# After this lesson you can
#
# * derive the DPO loss and its gradient weight from the optimal policy;
# * say, before training, whether the chosen reward will rise or fall;
# * read a token's implicit reward next to its exact advantage;
# * recognise a mean over tokens from its plots.
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
from IPython.display import Markdown, display

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import PairLogps, Pairs, sample_pairs

# %%
from workbench.loops import offline
from workbench.loops import reward as reward_loop
from workbench.measure import chosen_reward, token_advantages
from workbench.measure import exact as measure
from workbench.measure import implicit_accuracy as answers
from workbench.methods.direct.links import dpo
from workbench.methods.reward.pairwise import bt
from workbench.models import heads, tiny
from workbench.views.instruments import token_microscope, token_state
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 200, "figure": 1000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 2000, "figure": 20000}[PROFILE]
betas, main = (0.1, 0.3, 1.0, 3.0), 0.3

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The question
#
# You train with DPO. The loss falls, the margin between chosen and rejected
# responses grows, and the log-probability of the *chosen* responses goes
# down. Forum threads call this a bug. Is it?
#
# **Write down a prediction.** For β = 0.1 and for β = 3: does the mean
# implicit reward β log(π/π_ref) of the chosen responses end above or below
# zero? And that of the rejected ones?

# %% [markdown]
# ## Three data points
#
# Two different reviews are drawn from π_ref, and a Bradley–Terry annotator
# says which is better: p(a ≻ b) = σ(r_a − r_b). A label is one toss of that
# coin, so the worse review sometimes wins.

# %%
parts = []
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, n_pairs, Annotator(), draw))
pairs, rows = Pairs.cat(parts), []
for i in range(3):
    x = int(pairs.chosen.prompt[i])
    c, l = int(pairs.chosen.response[i]), int(pairs.rejected.response[i])
    won = (world.gold[x, c] - world.gold[x, l]).sigmoid().item()
    rows.append((world.prompts[x], world.text(c), world.text(l), won))
pd.DataFrame(rows, columns=["prompt", "chosen", "rejected", "p(label)"])

# %% [markdown]
# ## The objective, in the symbols of the code
#
# The policy that maximises E_π[r] − β KL(π‖π_ref) is
#
# $$\pi^*(y|x) = \pi_{ref}(y|x)\, e^{r(x,y)/\beta} / Z(x).$$
#
# Solve for the reward:
#
# $$r(x,y) = \beta \log \frac{\pi^*(y|x)}{\pi_{ref}(y|x)} + \beta\log Z(x).$$
#
# A comparison sees r only as r(x, y_c) − r(x, y_r), and β log Z(x) cancels.
# With D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r), the likelihood of
# a label is σ(βD), and the loss is `link(D)` = −log σ(βD). Its slope is the
# *weight* of a pair, −dL/dD = β σ(−βD).
#
# The first term, β log(π/π_ref), is the **implicit reward** r̂. At the
# optimum it is not r. It is r − β log Z: an offset that no comparison sees.

# %%
display(teach.show(dpo.loss), teach.show(dpo.weight))

# %% [markdown]
# ## By hand, on four responses
#
# Let the film have four possible reviews, with π_ref restricted to them.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
q = ref[0, four].softmax(-1)  # π_ref
r = world.gold[0, four]
tilted = q * (r / main).exp()
Z = tilted.sum()
r_hat = main * (tilted / Z / q).log()
hand = {"π_ref": q, "r": r, "π_ref·exp(r/β)": tilted, "π*": tilted / Z}
hand |= {"r̂ = β log π*/π_ref": r_hat, "r − β log Z": r - main * Z.log()}
display(Markdown(f"β = {main}, Z = {Z:.3f}, β log Z = {main * Z.log():.3f}"))
pd.DataFrame({k: v.tolist() for k, v in hand.items()}, index=texts).round(3)

# %% [markdown]
# The last two columns agree. A good review has a negative implicit reward as
# soon as it is worse than β log Z, the soft maximum of the rewards.
#
# Who is *chosen*? Two different responses meet, each drawn with probability
# π_ref, and y beats y′ with probability σ(r − r′). Chosen responses follow
# p_w(y) ∝ π_ref(y) Σ_{y′ ≠ y} π_ref(y′) σ(r − r′), rejected ones p_l. These
# laws know nothing of β.

# %%
wins = (r[:, None] - r).sigmoid()
meets = q[:, None] * q * (1 - torch.eye(4))
p_w = (meets * wins).sum(1) / meets.sum()
p_l = (meets * wins).sum(0) / meets.sum()
for b in betas:
    value = b * (q * (r / b).exp()).sum().log()
    c, l = (p_w * r).sum() - value, (p_l * r).sum() - value
    print(f"β = {b:<4} β log Z = {value:+.3f}", end="   ")
    print(f"chosen {c:+.3f}   rejected {l:+.3f}   margin {c - l:.3f}")

# %% [markdown]
# **The sign rule.** At the optimum the mean implicit reward of the chosen
# responses is E_{p_w}[r] − β log Z. The first term belongs to the data. The
# second grows as β shrinks, from E_ref[r] at β → ∞ to max r at β → 0. So the
# chosen reward is negative below some β. The rejected one is negative at
# every β. Their difference does not depend on β.
#
# ### The gradient, by hand
#
# dL = −β σ(−βD) · (d log π(y_c) − d log π(y_r)). Compare autograd with it.

# %%
logps = torch.tensor([[-1.2], [-0.7]], dtype=torch.float64)
logps.requires_grad_()
at, real = torch.full((1, 1), -1.0).double(), torch.ones(1, 1).bool()
batch = PairLogps(logps[:1], logps[1:], at, at, real, real)
loss = dpo.loss(batch, dpo.Config(beta=main))
loss.sum().backward()
D = batch.margin().item()
push = main / (1 + np.exp(main * D))
print(f"D = {D:.3f} nats   loss = {loss.item():.4f}   βσ(−βD) = {push:.4f}")
print("gradient on log π(y_c), log π(y_r):", logps.grad.flatten().tolist())

# %% [markdown]
# Equal and opposite pushes on two *log-probabilities*. But parameters are
# shared and probabilities sum to 1: pushing the rejected review down may
# take the chosen one with it, and nothing in the loss minds.
#
# ## The sign rule over all responses
#
# The same sums over all responses of all prompts. No training yet.

# %%
rule = chosen_reward.decline(
    ref, world.gold, np.geomspace(0.03, 10, 31).tolist()
)
turn = float(np.exp(np.interp(0, rule.chosen, np.log(rule.beta))))
said = f"The chosen reward at π*_β is negative for every β below {turn:.2f}."
display(Markdown(f"**{said}** In reward units:"), rule.iloc[::5].round(3))

# %% [markdown]
# ## Train
#
# One run per β, all seeds in one batched model. `DeclineTracker` measures
# the implicit rewards over the *law* of the pairs, as an infinite data set
# would show them.


# %%
def train(beta, method=dpo):
    tracks = (
        chosen_reward.DeclineTracker(world, ref, world.gold, beta),
        measure.Tracker(world, ref, gold=world.gold, beta=beta),
    )
    return offline.fit(
        reference.copies(seeds), reference, pairs, method,
        dpo.Config(beta=beta), steps=steps, seed=SEED, measures=tracks,
        every=max(1, steps // 8),
    )  # fmt: skip


# %%
runs = {beta: train(beta) for beta in betas}
curves = pd.concat([run.metrics.assign(beta=b) for b, run in runs.items()])
last = curves[curves.step == steps]
mean = last.groupby("beta").mean(numeric_only=True)

# %% [markdown]
# ## The signature views
#
# Implicit rewards of the run with the smallest β:

# %%
low = mean.loc[betas[0]]
views.implicit_rewards(
    runs[betas[0]].metrics,
    caption=f"At β = {betas[0]} the chosen reward ends at {low.chosen:+.2f}, "
    f"the rejected one at {low.rejected:+.2f}, the margin at "
    f"{low.margin:+.2f}.",
)

# %% [markdown]
# The same pairs and the same loss at every other β, held against the rule:

# %%
layers = [views.HLine(0.0)]
for name in ("chosen", "rejected"):
    look, seen = views.role(name), last.groupby("beta")[name]
    line = (list(rule.beta), list(rule[name]), f"{name}, exact", look)
    bars = {"low": list(seen.min()), "high": list(seen.max())}
    dots = (list(betas), list(seen.mean()), f"{name}, trained", look)
    layers += [views.Line(*line), views.Points(*dots, **bars)]

# %%
axes = ("β (reward units per nat)", "mean r̂ (reward units)")
note = "bars: min–max over seeds"
chart = views.Chart("Rule and run", *axes, layers, note, x_log=True)
same = (mean.chosen * np.interp(betas, rule.beta, rule.chosen) > 0).sum()
said = f"The trained sign is the predicted one at {same} of {len(betas)} β."
views.Fig(views.Panels([chart]), said, last[["beta", "seed", "chosen"]])

# %% [markdown]
# At small β the runs stop short of the rule: that optimum lies many nats
# away, and the pairs, all drawn near π_ref, hardly describe it. Drift and
# gold along training:

# %%
views.training_curves(
    curves.assign(beta="β = " + curves.beta.astype(str)),
    {"kl": "KL(π‖π_ref) (nats)", "gold": "gold (reward units)"},
    by="beta",
    caption=f"β = {betas[0]} drifts {mean.kl[betas[0]]:.2f} nats, "
    f"β = {betas[-1]} drifts {mean.kl[betas[-1]]:.2f}.",
)

# %% [markdown]
# ## Which words carry the reward
#
# A response's implicit reward is a sum over its tokens. Each term has an
# exact counterpart: β log π*(a|s)/π_ref(a|s) = Q*(s, a) − V*(s), the
# advantage of the token in the KL-regularised problem. The microscope puts
# them side by side; in JupyterLab a slider shows other pairs.

# %%
trained = runs[main].policy
laws, goal = (ref, ref, measure.response_logps(trained, world)[0]), world.gold
how = {"reward": goal, "beta": main, "limit": 8}
token_microscope(token_state.token_frame(world, pairs, *laws, **how))

# %%
asked, said = pairs.chosen.prompt[:200], pairs.chosen.response[:200]
tokens = token_advantages.beside_advantage(
    trained, reference, world, asked, said, beta=main
)
by_seed = tokens.groupby("seed")[["reward", "advantage"]].corr()
credit = by_seed.reward.xs("advantage", level=1)
lowest = f"{credit.mean():.2f} on average, {credit.min():.2f} at least"
display(Markdown(f"Correlation of implicit reward and advantage: {lowest}."))

# %% [markdown]
# ## Distance to the exact optimum
#
# Two distances: KL(π‖π*_β) to the run's own target, and the gold reward that
# the exact frontier reaches at the same KL. Beside each DPO run stands a
# second student of the *same pairs*: a reward model, then a **perfect**
# optimiser, π*_β′ of the learned reward with β′ set to the run's KL. What it
# loses is lost in the labels, none of it in the optimisation.

# %%
models = [heads.ScoreModel.tiny(world.vocab, seed=s) for s in range(seeds)]
model = heads.ScoreModel.stack(models)
fit = reward_loop.fit(model, pairs, bt, bt.Config(), steps=steps, seed=SEED)
tilts, tables = np.geomspace(20, 0.02, 41), fit.policy.score_all(world)
paths = [solutions.frontier(ref, t, world.gold, tilts) for t in tables]
own = [paths[int(s) - SEED] for s in last.seed]
rival = [np.interp(k, p.kl, p.gold) for k, p in zip(last.kl, own, strict=True)]
last = last.assign(ahead=last.gold - rival)

# %%
points = last.assign(method="DPO, β = " + last.beta.astype(str))
best = solutions.frontier(ref, world.gold, world.gold, tilts)
views.frontier(
    points[["method", "kl", "gold"]], best[best.kl < 1.3 * last.kl.max()],
    caption="No point lies above the frontier; DPO's gap to it grows from "
    f"{mean.frontier_gap[betas[-1]]:.2f} at β = {betas[-1]} to "
    f"{mean.frontier_gap[betas[0]]:.2f} at β = {betas[0]}.",
)  # fmt: skip

# %%
ahead = last.groupby("beta").ahead.mean()
said = {"KL(π‖π*_β) (nats)": mean.kl_to_optimum}
said |= {"gold below the frontier": mean.frontier_gap}
said |= {"gold above perfect RL on the same pairs": ahead}
pd.DataFrame(said).round(3)

# %% [markdown]
# ## Does a stated 0.8 come true?
#
# σ(r̂_a − r̂_b) is a probability that a is preferred, and here the true one is
# known for every pair of responses. **Predict**: on which side of the
# diagonal do the bins lie after training on pairs labelled once?

# %%
asked, say = answers.population(ref, world.gold), answers.logratio_score(main)
odds = answers.reliability(runs[main].policy, world, ref, asked, say)
one = odds[odds.seed == 0].eval("gap = share * abs(predicted - observed)")
views.reliability(
    one,
    caption=f"At β = {main} stated and true probability differ by "
    f"{one.gap.sum():.3f} on average over all {len(asked):,} pairs (seed 0).",
)

# %% [markdown]
# ## Break it: a mean over tokens
#
# Mistake (2) of the docstring divides each log-ratio by the length of its
# response. Everything still runs, and the loss still falls.

# %%
wrong = method(card=dpo.card, loss=dpo.mistakes["2 mean over tokens"])
broken = train(main, wrong)
both = {"sum": runs[main].metrics, "mean over tokens": broken.metrics}
both = pd.concat([frame.assign(loss_is=k) for k, frame in both.items()])

# %%
ends = both[both.step == steps].groupby("loss_is").mean()
mean_, sum_ = ends.loc["mean over tokens"], ends.loc["sum"]
views.training_curves(
    both,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "length": "words a response"},
    by="loss_is",
    caption=f"With the mean, π ends {mean_.kl_to_optimum:.2f} nats from π* "
    f"(sum: {sum_.kl_to_optimum:.2f}) and writes {mean_.length:.2f} words "
    f"(sum: {sum_.length:.2f}).",
)

# %% [markdown]
# **Its signature.** The loss sees 1/|y| of each log-ratio, so the log-ratios
# must grow |y| times further before it is content: rewards run away from π*.
# And a nat counts most in a short review, so length collapses.

# %% [markdown]
# ## Claims

# %%
ends = dict(iter(last.groupby("beta")))


def claim(key, paper, statement, effect, expected, where, unit="reward units"):
    return teach.claim(
        key=key, paper=paper, statement=statement, effect=effect, unit=unit,
        expected=expected, out=OUT or None,
        setting=f"{n_pairs} BT pairs, {steps} steps, lr 1e-3, β = {where}",
    )  # fmt: skip


# %%
paper = "Rafailov et al. 2024 (2406.02900), section 3.5"
said = "The implicit reward of the chosen responses falls below 0."
chosen = ends[betas[0]].chosen
claim("chosen-falls", paper, said, chosen, "negative", betas[0])
said = "At a β above the turning point the same pairs raise it."
chosen = ends[betas[-1]].chosen
claim("chosen-rises", "the sign rule", said, chosen, "positive", betas[-1])

# %%
paper = "Rafailov et al. 2023 (2305.18290)"
said = "The margin rises in every seed (the smallest over β)."
margin = last.groupby("seed").margin.min()
claim("margin-rises", paper, said, margin, "positive", betas)
said = "At equal KL DPO's gold is not below that of RL on a reward model of \
the same pairs (a perfect optimiser stands for PPO)."
near = (-0.05, float("inf"))
for beta in (main, betas[0]):
    claim(f"frontier-{beta}", paper, said, ends[beta].ahead, near, beta)

# %%
paper = "Rafailov et al. 2024 (2404.12358)"
said = "A token's implicit reward follows its exact advantage."
claim("credit", paper, said, credit, (0.5, 1.0), main, "correlation")

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write DPO's loss from
# `batch.policy_chosen`, `batch.ref_chosen`, …, the two masks and `cfg.beta`.
# The check names the mistake it sees.


# %%
def my_dpo(batch, cfg):
    raise NotImplementedError


teach.check.dpo(my_dpo)


# %% tags=["solution"]
def solution(batch, cfg):
    c = batch.policy_chosen - batch.ref_chosen.detach()
    l = batch.policy_rejected - batch.ref_rejected.detach()
    c = torch.where(batch.chosen_mask, c, 0.0).sum(-1)
    l = torch.where(batch.rejected_mask, l, 0.0).sum(-1)
    return torch.nn.functional.softplus(-cfg.beta * (c - l))


checked = teach.check.dpo(solution)
checked

# %% [markdown]
# **2 · The turning point** (●●○, 10 minutes). The annotator gets twice as
# decisive: p = σ(2(r_a − r_b)). Does the β of the turn rise or fall? Predict
# first. (Hint: `decline` takes the reward divided by the temperature.)

# %% tags=["solution"]
sharp = chosen_reward.decline(ref, 2 * world.gold, list(rule.beta))
sharp = float(np.exp(np.interp(0, sharp.chosen, np.log(sharp.beta))))
print(f"β = {sharp:.2f} instead of {turn:.2f}")

# %% [markdown]
# ## What must hold
#
# Identities and exact facts hold at every size; a verdict may be any of the
# honest ones.

# %%
assert torch.allclose(r_hat, r - main * Z.log())
pushed = torch.tensor([[-push], [push]], dtype=torch.float64)
assert torch.allclose(logps.grad, pushed)
star = solutions.optimal_policy(ref, world.gold, main)
seen = chosen_reward.DeclineTracker(world, ref, world.gold, main)(star)
exactly = chosen_reward.decline(ref, world.gold, main)
assert abs(seen.chosen[0] - exactly.chosen[0]) < 1e-9
assert (rule.rejected < 0).all() and rule.margin.std() < 1e-9
assert (last.frontier_gap > -1e-6).all() and last.notna().all().all()
assert checked.passed

# %% [markdown]
# ## References and next
#
# * Rafailov et al. 2023, *Direct Preference Optimization* (2305.18290).
# * Rafailov et al. 2024, *From r to Q\** (2404.12358): the token-level view.
# * Rafailov et al. 2024, *Scaling laws for reward model overoptimization in
#   direct alignment algorithms* (2406.02900), section 3.5.
#
# Next: **21 · The link is the method**. The labels here were coins. What
# if one side always wins?
