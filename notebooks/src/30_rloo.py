# ---
# jupyter:
#   workbench:
#     title: "30 · Policy gradients: REINFORCE to RLOO"
#     part: online RL
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 30 · Policy gradients: from REINFORCE to RLOO
#
# **Claim of this notebook.** The mean reward of a response's siblings is a
# baseline that costs nothing: it leaves the expected gradient exactly where it
# was, and makes its noise independent of where the reward's zero lies.
#
# *Ahmadian et al. 2024, "Back to Basics", arXiv 2402.14740.*

# %% [markdown]
# After this hour you can
#
# * derive the gradient of E[r] − β KL as an average over samples,
# * compute leave-one-out advantages of four responses on paper,
# * prove by enumeration that an estimator is unbiased, and measure its
#   variance,
# * say how far a trained policy is from the exact optimum,
# * recognise two wrong versions by their curves.
#
# You need notebook 01 (π\*, β, KL). It runs in about a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core.advantages import leave_one_out
from workbench.core.seeds import generator
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops import online
from workbench.measure import drift

# %%
from workbench.measure.exact import Tracker
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

steps = {"ci": 6, "lecture": 80, "figure": 600}[PROFILE]
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
BETA, world = 0.3, Reviews(max_words=3)
reference = tiny.reference(world, DEVICE)
ref_logps = reference.response_logps(world)

# %% [markdown]
# ## The question
#
# A policy writes a review and is told a number. It is not told which word
# earned it, nor what another review would have earned. How does it learn?
#
# **Predict before you read on.** Write down:
#
# 1. Subtracting a constant from every reward: does it change the expected
#    gradient? Does it change the noise?
# 2. With four responses a prompt, is the mean of *all four* as good a baseline
#    as the mean of the *other three*?

# %% [markdown]
# ## Look at the data
#
# Four responses of π_ref to each of two prompts, with their gold reward.
# Training data does not exist here: the policy writes it, step after step.

# %%
asked = torch.tensor([0, 0, 0, 0, 3, 3, 3, 3])
seen = reference.sample(world, asked, generator(SEED, "look"))
pd.DataFrame(
    {
        "prompt": [world.prompts[p] for p in seen.prompt],
        "response": [world.text(int(r)) for r in seen.response],
        "gold reward": world.gold_reward(seen).round(decimals=2),
    }
)

# %% [markdown]
# ## The objective and its gradient
#
# J(π) = E_{y∼π}[ r(y) − β·l(y) ], with l(y) = log π(y) − log π_ref(y).
#
# Differentiate the sum Σ_y π(y)·(r(y) − β l(y)):
#
# ∇J = Σ_y ∇π(y)·(r − β l) − β Σ_y π(y)·∇log π(y).
#
# The last sum is ∇Σ_y π(y) = ∇1 = 0, and ∇π = π ∇log π, so
#
# **∇J = E_{y∼π}[ R(y)·∇log π(y) ],  R(y) = r(y) − β·l(y), held fixed.**
#
# That is REINFORCE. The KL sits inside the reward, and no gradient flows
# through it.
#
# ## A baseline is free
#
# For any number b that does not depend on y, E[b·∇log π(y)] = b·∇1 = 0. So
# (R − b)·∇log π has the same mean, and a well-chosen b gives it less variance.
#
# **RLOO** draws k responses to the same prompt and takes for each one the mean
# reward of the others:
#
# A_i = R_i − (1/(k−1))·Σ_{j≠i} R_j.
#
# The others are independent of y_i, so b may be *their* mean. The mean of all
# k is not independent of y_i: it contains R_i.
#
# ## The library's code
#
# The advantage is one function of `core`, the method two.

# %%
teach.show(leave_one_out)

# %%
display(teach.show(rloo.advantages), teach.show(rloo.loss))

# %% [markdown]
# ## By hand, on four responses
#
# One prompt, four one-word answers, k = 4. We write down probabilities and
# rewards and print every intermediate.

# %%
pi = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
pi_ref = torch.full((4,), 0.25, dtype=torch.float64)
r = torch.tensor([1.0, 0.0, -1.0, 2.0], dtype=torch.float64)
l = (pi / pi_ref).log()
R = r - BETA * l
others = (R.sum() - R) / 3
row = {"π": pi, "r": r, "l": l, "R": R, "others": others, "A": R - others}
pd.DataFrame(row).round(3)

# %% [markdown]
# The same four through the library: a batch of rollouts with one token each.
# (Column 0 is the prompt, which the mask leaves out.)


# %%
def one_token(responses, policy_logps, reward=r):
    """Rollouts of single-token responses, as the library sees them."""
    mask = torch.tensor([[False, True]]).expand(len(responses), -1)
    prompt = torch.zeros(len(responses), 1, dtype=torch.float64)
    now = torch.cat([prompt, policy_logps[responses][:, None]], dim=1)
    was = torch.cat([prompt, pi_ref.log()[responses][:, None]], dim=1)
    score, group = reward[responses], len(responses)
    return Rollouts(now, now.detach(), was, mask, score, group)


# %%
cfg = rloo.Config(beta=BETA)
A = rloo.advantages(one_token(torch.arange(4), pi.log()), cfg)[:, 1]
assert torch.allclose(A, R - others)
A

# %% [markdown]
# The advantages add up to zero, and the response with the largest R gets the
# largest one. The loss of each response is −A·log π; its gradient moves log π
# by A.

# %% [markdown]
# ## Unbiased? Enumerate all samples
#
# With four answers and k = 2 there are 16 possible samples. We take the
# gradient of the loss for each of them, weigh it with the sample's
# probability, and compare with the gradient of J itself. No random number is
# drawn.


# %%
def sample_gradient(sample, loss=rloo.loss, offset=0.0):
    """Gradient of one sample's mean loss, in the four logits."""
    logits = pi.log().clone().requires_grad_()
    rolls = one_token(torch.tensor(sample), logits.log_softmax(0), r + offset)
    rolls = replace(rolls, advantages=rloo.advantages(rolls, cfg))
    return torch.autograd.grad(loss(rolls, cfg).mean(), logits)[0]


# %%
logits = pi.log().clone().requires_grad_()
law = logits.log_softmax(0)
J = (law.exp() * (r - BETA * (law - pi_ref.log()))).sum()
exact_gradient = torch.autograd.grad(-J, logits)[0]
pairs = [(i, j) for i in range(4) for j in range(4)]
chance = torch.outer(pi, pi).reshape(-1, 1)
expected = sum(
    c * sample_gradient(p) for c, p in zip(chance, pairs, strict=True)
)
pd.DataFrame({"exact −∇J": exact_gradient, "E[RLOO gradient]": expected})

# %%
paper = {"paper": "Ahmadian et al. 2024 (2402.14740)", "out": OUT or None}
error = (expected - exact_gradient).norm() / exact_gradient.norm()
teach.claim(
    key="rloo_is_unbiased", **paper, kind="exact", unit="relative error",
    statement="The expected RLOO gradient is the gradient of E[r] − β KL.",
    effect=error.item(), expected="zero", tolerance=1e-8, must_hold=True,
    setting="four responses, k = 2, all 16 samples enumerated",
)  # fmt: skip

# %% [markdown]
# ## The noise, exactly
#
# Variance is enumerable as well: the trace of the gradient's covariance. We
# compare at **four generations** each: REINFORCE without a baseline, RLOO with
# two pairs (k = 2) and with one group of four (k = 4).
#
# The zero of a reward is arbitrary: a reward model is identified only up to a
# constant a prompt, and adding one changes no optimum. So we add a constant c
# to every reward.


# %%
def noise(k, loss=rloo.loss, offset=0.0, generations=4):
    """Trace of the gradient's covariance at a number of generations."""
    samples = torch.cartesian_prod(*[torch.arange(4)] * k).reshape(-1, k)
    weight = pi[samples].prod(1)
    each = [sample_gradient(t.tolist(), loss, offset) for t in samples]
    away = torch.stack(each) - sum(
        w * g for w, g in zip(weight, each, strict=True)
    )
    return (weight * (away**2).sum(1)).sum().item() * k / generations


def spread(values, rolls):
    """One number a response, repeated on each of its tokens."""
    return torch.where(rolls.mask, values[:, None], 0.0)


# %%
def no_baseline(rolls, cfg):
    """REINFORCE: the penalised reward itself, nothing subtracted."""
    values = rloo.penalised_reward(rolls, cfg)
    return rloo.loss(replace(rolls, advantages=spread(values, rolls)), cfg)


shown = [("REINFORCE", 2, no_baseline), ("RLOO k = 2", 2, rloo.loss)]
shown += [("RLOO k = 4", 4, rloo.loss)]
zeros = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
found = [(n, c, noise(k, f, c)) for n, k, f in shown for c in zeros]
variance = pd.DataFrame(found, columns=["estimator", "c", "variance"])

# %%
views.training_curves(
    variance, {"variance": "variance of the gradient"}, x="c", by="estimator",
    title="Four generations each, enumerated",
    caption="RLOO's variance does not depend on the reward's zero c; that of "
    "REINFORCE is smallest near centred rewards and grows as a parabola.",
)  # fmt: skip

# %% [markdown]
# Neither side wins everywhere. The siblings' mean is itself noisy: at k = 2 it
# adds variance, and where the rewards lie around zero by luck, no baseline is
# better. What RLOO buys is that nobody has to be lucky.

# %%
wide = variance.pivot(index="c", columns="estimator", values="variance")
assert wide["RLOO k = 4"].max() - wide["RLOO k = 4"].min() < 1e-12
luckier = wide["REINFORCE"] < wide["RLOO k = 4"]
assert luckier[0.0] and not luckier[3.0]
wide.round(3)

# %%
teach.claim(
    key="variance_falls_with_k", **paper, kind="exact", expected="positive",
    statement="At equal generations RLOO is less noisy with k = 4 than k = 2.",
    effect=(wide["RLOO k = 2"] - wide["RLOO k = 4"])[0.0],
    unit="squared gradient", setting="four responses, four generations",
)  # fmt: skip

# %% [markdown]
# ## Train a transformer
#
# The loop is the pseudocode of the paper: sample, score, subtract the
# siblings' mean, step. Three estimators get the same number of generations.
# Seeds run side by side as one batched model.
#
# One run sees the gold reward as it is. The others see gold + 3, which has
# the same optimum and the same exact gradient.

# %%
teach.show(online.fit)


# %%
plain = SimpleNamespace(
    card=rloo.card, loss=rloo.loss,
    advantages=lambda x, cfg: spread(rloo.penalised_reward(x, cfg), x),
)  # fmt: skip
tracker = Tracker(world, ref_logps, gold=world.gold, beta=BETA)


# %%
def train(method, group, name, offset=3.0):
    """One run of all seeds; 32 generations a step and seed."""
    run = online.fit(
        reference.copies(seeds), reference, world,
        online.TableReward(world.gold + offset), method, cfg,
        steps=steps, prompts=32 // group, group=group, seed=SEED,
        every=max(2, steps // 8), measures=[tracker],
    )  # fmt: skip
    run.metrics["method"] = name
    return run


# %%
names = ["REINFORCE, gold", "REINFORCE, gold + 3"]
names += ["RLOO k = 2, gold + 3", "RLOO k = 4, gold + 3"]
runs = [train(plain, 4, names[0], 0.0), train(plain, 4, names[1])]
runs += [train(rloo, 2, names[2]), train(rloo, 4, names[3])]
curves = pd.concat([run.metrics for run in runs], ignore_index=True)
curves["generations"] = 32 * curves["step"]
last = curves[curves.step == curves.step.max()]

# %% [markdown]
# ## How far from the optimum?
#
# J(π\*) − J(π) = β·KL(π‖π\*) holds for every policy, so KL(π‖π\*) *is* the
# regret, in nats. No sampled reward curve shows it; here it is a sum over all
# responses.

# %%
views.training_curves(
    curves,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "gold": "gold reward (reward units)"},
    x="generations", by="method", log_y=False,
    title="Equal generations, and a reward whose zero has moved",
    caption="With the reward's zero moved by three units, REINFORCE without a "
    "baseline stays furthest from π*.",
)  # fmt: skip

# %%
table = last.groupby("method")[["kl_to_optimum", "gold", "kl"]]
table.agg(["mean", "min", "max"]).round(2)


# %%
def compare(key, statement, worse, better):
    """Judge how much nearer to the optimum the second run ends."""
    ends = [
        last[last.method == n].kl_to_optimum.values for n in (worse, better)
    ]
    return teach.claim(
        key=key, statement=statement + ", at equal generations.", **paper,
        effect=ends[0] - ends[1], expected="positive", unit="nats of KL(π‖π*)",
        setting=f"reviews-3, β = {BETA}, {steps} steps of 32 generations",
    )  # fmt: skip


# %%
moved = compare(
    "baseline_when_zero_moves",
    "With rewards off centre by 3 units RLOO (k = 4) ends nearer to the "
    "optimum than REINFORCE without a baseline", names[1], names[3],
)  # fmt: skip

# %%
centred = compare(
    "baseline_when_centred",
    "Where rewards lie around zero, too, RLOO (k = 4) ends nearer to the "
    "optimum than REINFORCE without a baseline", names[0], names[3],
)  # fmt: skip

# %%
siblings = compare(
    "four_siblings_beat_two",
    "RLOO ends nearer to the optimum with k = 4 than with k = 2",
    names[2], names[3],
)  # fmt: skip

# %% [markdown]
# ## Drift and what it buys
#
# The reward is the gold reward itself, so nothing can be overoptimised: the
# policies climb towards the exact frontier (dashed) and none can pass it.

# %%
betas = torch.logspace(1.5, -0.8, 40)
path = solutions.frontier(ref_logps, world.gold, world.gold, betas)
assert (last.frontier_gap > -1e-9).all()
views.frontier(
    last, path,
    caption="Every policy lies on or below the exact frontier at its own KL.",
)  # fmt: skip

# %%
policy = runs[3].policy
asked = torch.arange(512) % world.n_prompts
samples = policy.sample(world, asked, generator(SEED, "drift"))
guesses = drift.estimates(policy, reference, samples, world=world)
views.kl_drift(
    runs[3].metrics, estimates=guesses[guesses.seed == 0],
    caption="k1 and the Rao–Blackwell estimate lie within their error bars of "
    "the exact KL; k2 is biased upwards; k3 has by far the widest interval.",
)  # fmt: skip

# %% [markdown]
# ## Break it
#
# Two mistakes from public code, each switched on alone:
#
# * **KL not detached**: the penalty is differentiated as well as rewarded, so
#   a gradient flows through the number that should only judge;
# * **KL a token**: the penalty is averaged over the response, so β buys less
#   of it the longer the review.


# %%
def broken(number):
    """Metrics of a run with one known mistake switched on."""
    name = list(rloo.mistakes)[number - 1]
    wrong = SimpleNamespace(
        card=rloo.card, advantages=rloo.advantages, loss=rloo.mistakes[name]
    )
    return train(wrong, 4, name[2:]).metrics


right = curves[curves.method == names[3]].drop(columns="generations")
broken_curves = pd.concat([right, broken(2), broken(5)], ignore_index=True)

# %%
views.training_curves(
    broken_curves,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "kl": "KL(π‖π_ref) (nats)"},
    by="method", title="One mistake at a time",
    caption="The undetached KL keeps the policy far from π*; the KL a token "
    "lets it drift further from the reference than the correct run.",
)  # fmt: skip

# %% [markdown]
# A reward curve alone would show none of this: all three climb. The distance
# to π\* tells which of them solves the problem that was posed.
#
# ## Exercises
#
# **1. Leave-one-out (●○○, 5 minutes).** Write the loss of RLOO without its
# clip: `my_loss(batch, cfg)` gets `batch.advantages`, `batch.policy` and
# `batch.mask` (the advantage is the same on every token of a response) and
# returns one value an example.


# %%
def my_loss(batch, cfg):
    raise NotImplementedError(
        "Exercise 1: minus advantage times log-probability"
    )


teach.check.rloo(my_loss)


# %% tags=["solution"]
def my_solution(batch, cfg):
    count = batch.mask.sum(-1)
    advantage = (batch.advantages * batch.mask).sum(-1) / count
    return -advantage.detach() * (batch.policy * batch.mask).sum(-1)


verdict = teach.check.rloo(my_solution)
assert verdict.passed
verdict

# %% [markdown]
# **2. The group's own mean (●●○, 10 minutes).** Use R_i − mean(R) over all k
# instead. By what factor is the expected gradient wrong? Check with
# `sample_gradient`.

# %% tags=["solution"]
own = rloo.mistakes["1 own reward in the baseline"]
shrunk = sum(
    c * sample_gradient(p, own) for c, p in zip(chance, pairs, strict=True)
)
factor = (shrunk / exact_gradient).mean()
assert abs(factor - 0.5) < 1e-12
print(f"factor (k − 1)/k = {factor:.3f}: same direction, half as long")

# %% [markdown]
# **3. β = 0 (●●●, 15 minutes).** Train with `rloo.Config(beta=0.0)` and a
# reward model of notebook 10 in place of the gold reward. Where does gold turn
# over? Notebook 11 has the answer.

# %% [markdown]
# ## What must hold
#
# Identities and the honesty of the verdicts; nothing here was tuned until
# true.

# %%
verdicts = {"reproduced", "contradicted", "not at this scale", "too few seeds"}
assert error < 1e-8
assert {moved.verdict, centred.verdict, siblings.verdict} <= verdicts

# %% [markdown]
# ## References, and what comes next
#
# * Williams 1992, *Simple statistical gradient-following algorithms*
#   (REINFORCE).
# * Kool, van Hoof, Welling 2019, *Buy 4 REINFORCE samples, get a baseline for
#   free*.
# * Ahmadian et al. 2024, *Back to Basics*, arXiv 2402.14740.
#
# Next: **31**, PPO, part by part: what a learned value and a clip add to this.
