# ---
# jupyter:
#   workbench:
#     title: "25 · Length, and no reference"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 25 · Length, and no reference: what does a loss count?
#
# **The claim in one sentence.** When annotators pay for length, R-DPO's term
# α(|y_c| − |y_r|) takes exactly that out of DPO's optimum and a mean over
# tokens does not; and a loss without a reference still has one, which nobody
# chose.
#
# After this lesson you can
#
# * write down the optimum of DPO, R-DPO, LN-DPO, SimPO and CPO for labels
#   that pay for length;
# * tell a longer policy from a better one, with length-controlled reward;
# * say what the NLL term holds in place of a reference;
# * check that a loss and an annotator count the same thing.
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

import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import PairLogps, Pairs, sample_pairs

# %%
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 1, "lecture": 80, "figure": 1000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 800, "figure": 20000}[PROFILE]
beta, price = 1.0, 1.0  # β; b, what annotators pay a token (reward units)

world = Reviews(4)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
tokens = (world.n_words + 1).clamp(max=world.max_words)  # |y|
usual = solutions.expectation(ref, tokens).mean().item()  # E_ref|y|
per = usual * beta  # of a mean over tokens: as strong as β at the usual |y|

# %% [markdown]
# ## The question
#
# People overrate long answers. Give labels that do so to several losses:
# DPO; R-DPO, which puts a price on a token; LN-DPO and SimPO, which take a
# mean over tokens; LD-DPO, which discounts the tokens that the shorter
# response does not have; CPO and ORPO, which like SimPO have no reference.
#
# **Write down a prediction.** Order them by the length of what they write.
# Is a mean over tokens enough to be fair to short answers?
#
# ## Three data points
#
# Reviews of at most four words, two drawn from π_ref a pair. |y| counts
# *tokens*, as the losses do: the words and the end, but a review of four
# words ends by itself and writes no end. The annotator perceives r + b|y|
# with b = 1: a token is worth as much as the word "good". Here are pairs
# that differ in length; the last two columns are p(label) without and with
# that bonus.

# %%
rated = world.gold + price * tokens
draws = [generator(seed, "pairs") for seed in range(SEED, SEED + seeds)]
ask = world, ref, n_pairs, Annotator()
pairs, rows = Pairs.cat([sample_pairs(*ask, d, rated) for d in draws]), []
more = tokens[pairs.chosen.response] - tokens[pairs.rejected.response]
for k in more.nonzero()[:3, 0].tolist():
    x, c = pairs.chosen.prompt[k].item(), pairs.chosen.response[k].item()
    l, n = pairs.rejected.response[k].item(), more[k].item()
    p = [(r[x, c] - r[x, l]).sigmoid().item() for r in (world.gold, rated)]
    rows.append([world.prompts[x], world.text(c), world.text(l), n, *p])
names = ["prompt", "chosen", "rejected", "|y_c| − |y_r|", "without", "with"]
pd.DataFrame(rows, columns=names).round(3)

# %% [markdown]
# ## The objective, in the symbols of the code
#
# The labels are Bradley–Terry labels of r + b|y|, so DPO's optimum is
#
# $$\pi^*(y) \propto \pi_{ref}(y)\, e^{(r(y) + b|y|)/\beta}.$$
#
# **R-DPO** adds α(|y_c| − |y_r|) to βD inside the sigmoid. The labels fix
# the *sum* at r(y_c) − r(y_r) + b(|y_c| − |y_r|), so what is left for βD is
# the difference of r + (b − α)|y|. With α = b the policy is DPO's optimum on
# honest labels.
#
# **LN-DPO** puts a mean where DPO has a sum. The labels now fix β/|y| times
# the log-ratio, up to one constant c:
#
# $$\pi(y) = \pi_{ref}(y)\, e^{|y|\,(r(y) + b|y| + c)/\beta},
# \qquad \sum_y \pi(y) = 1.$$
#
# Nothing subtracts b|y|. Length is divided out of the *units* of the reward,
# and what the annotators pay for it stays.

# %%
from workbench.methods.direct.length import length_dpo, ln_dpo, simpo
from workbench.methods.direct.links import cpo, dpo

display(*(teach.show(m.loss) for m in (length_dpo, ln_dpo, simpo, cpo)))

# %% [markdown]
# **No reference** means a reference that is not written down. CPO's
# preference term (α = 0) is DPO's without π_ref and ends at exp(r/β)/Z: DPO
# from a law that finds every *response* equally likely, and most responses
# are long. SimPO (γ = 0) is LN-DPO without π_ref and ends at
# exp(|y|(r + c)/β): every *token* costs the same.
#
# The mean forms need the c that makes the sum 1. The sum grows with c, so
# bisection finds it.


# %%
def tilt(base, reward, beta, size):
    """log of base·exp(|y|(r + c)/β), with the c that makes it sum to 1."""
    low, high = (torch.full_like(reward[..., :1], c) for c in (-1e3, 1e3))
    for _ in range(80):
        c = (low + high) / 2
        over = (base + size * (reward + c) / beta).logsumexp(-1, True) > 0
        low, high = torch.where(over, low, c), torch.where(over, c, high)
    return base + size * (reward + low) / beta


# %%
def optima(base, reward, size, beta):
    """Where each loss ends; a mean over tokens gets E_ref|y| times the β."""
    return {
        "dpo": solutions.optimal_policy(base, reward, beta),
        "length_dpo": solutions.optimal_policy(
            base, reward - price * size, beta
        ),
        "ln_dpo": tilt(base, reward, usual * beta, size),
        "simpo, γ = 0": tilt(0 * base, reward, usual * beta, size),
        "cpo, α = 0": solutions.optimal_policy(0 * base, reward, beta),
    }


# %% [markdown]
# ## By hand, on four responses
#
# Let the film have these reviews only, a token longer each. A good short one
# stands against a bad long one.

# %%
texts = ["(silence)", "good", "not dull", "dull and not good"]
four = torch.tensor([world.index(text) for text in texts])
q, r, n = ref[0, four].log_softmax(-1), world.gold[0, four], tokens[four]
felt = r + price * n
laws = optima(q, felt, n, beta)
hand = {"|y|": n, "r": r, "r + b|y|": felt, "π_ref": q.exp()}
hand |= {key: law.exp() for key, law in laws.items()}
pd.DataFrame({k: v.tolist() for k, v in hand.items()}, texts).round(3)

# %% [markdown]
# Are these the minimisers? Each loss is −log σ(logit), and the expectation
# over Bradley–Terry labels is least where the logit *is* the difference of
# what the annotator feels. Feed the laws to the library's losses and read
# the logit back from the loss: logit = −log(e^loss − 1). (The log-prob of a
# review stands in its first token; the mask has its |y|.)

# %%
exactly = {
    "dpo": (dpo, dpo.Config(beta=beta)),
    "length_dpo": (length_dpo, length_dpo.Config(beta=beta, alpha=price)),
    "ln_dpo": (ln_dpo, ln_dpo.Config(beta=per)),
    "simpo, γ = 0": (simpo, simpo.Config(beta=per, gamma=0.0)),
    "cpo, α = 0": (cpo, cpo.Config(beta=beta, alpha=0.0)),
}

# %%
i, j = torch.cartesian_prod(torch.arange(4), torch.arange(4)).unbind(1)


def batch(law, size):
    now, old = (torch.nn.functional.pad(t[:, None], (0, 3)) for t in (law, q))
    mask = torch.arange(4) < size[:, None]
    return PairLogps(now[i], now[j], old[i], old[j], mask[i], mask[j])


off = {}
for key, (module, cfg) in exactly.items():
    logit = -module.loss(batch(laws[key], n), cfg).expm1().log()
    off[key] = (logit - felt[i] + felt[j]).abs().max().item()
pd.DataFrame({"largest error of a logit": off}).T

# %% [markdown]
# `length_dpo` is what DPO makes of honest labels. `ln_dpo` gives the long bad
# review nearly as much as `dpo` does. Without a reference the two reviews
# that π_ref hardly writes gain most: neither SimPO nor CPO knows of it.
#
# ## Over all responses, exactly
#
# The same optima on all reviews, for every β. *Fluency* is
# E_π[log π_ref(y)/|y|], nats a token. *Controlled* gold takes the lengths
# from π_ref and the words from π: Σ_n π_ref(|y| = n) E_π[r | |y| = n]. It
# tells a better policy from a longer one.

# %%
by_length = (tokens[:, None] == torch.arange(1, 5)).double()
columns = ("tokens", "gold", "fluency", "controlled", "kl")


def facts(law):
    """What a law over all reviews is worth, prompts in equal shares."""
    values = tokens, world.gold, ref / tokens
    each = [solutions.expectation(law, value) for value in values]
    given = (law.exp() * world.gold) @ by_length / (law.exp() @ by_length)
    each += [(given * (ref.exp() @ by_length)).sum(-1), solutions.kl(law, ref)]
    return {c: v.mean(-1).tolist() for c, v in zip(columns, each, strict=True)}


# %%
rows, start = [], facts(ref)
for b in (0.3, 1.0, 3.0, 10.0, 30.0):
    for key, law in optima(ref, rated, tokens, b).items():
        rows.append({"method": key, "beta": b, **facts(law)})
sweep = pd.DataFrame(rows)
far = sweep[sweep.beta == 30].kl.tolist()
units = {"tokens": "E[|y|] (tokens)", "controlled": "gold (reward units)"}
held = {"fluency": "log π_ref (nats a token)", "kl": "KL(π‖π_ref) (nats)"}

# %%
views.sweep(
    sweep, "beta", {"tokens": units["tokens"], **held}, "method", exact=start,
    exact_label="π_ref", x_label="β (reward units a nat)", log_x=True,
    caption=f"At β = 30 DPO, R-DPO and LN-DPO are {max(far[:3]):.3f} "
    f"nats from π_ref or less, SimPO {far[3]:.2f} and CPO {far[4]:.2f}.",
)  # fmt: skip

# %% [markdown]
# Towards β = ∞ the reward is gone and what is left is the reference that
# each loss has in mind: π_ref for three of them, equally likely *responses*
# for CPO, equally dear *tokens* for SimPO.
#
# Two more things to see. R-DPO does not hold the length of π_ref: it holds
# that of honest labels, here a little shorter at moderate β, since short
# reviews of π_ref make fewer errors. And of what it changes against DPO,
# nothing is quality: a price on tokens moves mass between lengths and none
# within, so both have the same controlled gold at every β.
#
# ## Train
#
# All losses on the same pairs, all seeds of a loss in one batched model, Adam
# at 1e-3, batches of 16. γ of SimPO is 0.8 β, as in the official code's first
# setting, and CPO has its NLL.
# `track` keeps the exact facts, and over the training pairs: log π(y)/|y| of
# both responses, how often it is *right* about the label, and how often it
# is wrong where the log-ratio to π_ref is right (*crossed*).

# %%
seed = torch.arange(seeds).repeat_interleave(n_pairs)
sides = [(seed, t.prompt, t.response) for t in (pairs.chosen, pairs.rejected)]


def track(policy):
    law = measure.response_logps(policy, world)
    a, b, c, l = (v[at] for v in (law - ref, law / tokens) for at in sides)
    own = {"chosen": c, "rejected": l, "gap": c - l, "right": c > l}
    own["crossed"] = (a > b) & (c < l)
    own = {k: v.double().view(seeds, -1).mean(-1) for k, v in own.items()}
    return pd.DataFrame({"seed": range(seeds), **facts(law), **own})


# %%
from workbench.methods.direct.length import ld_dpo
from workbench.methods.direct.links import orpo


def train(module, cfg, start=reference):
    return offline.fit(
        start.copies(seeds), reference, pairs, module, cfg, steps=steps,
        seed=SEED, measures=(track,), every=max(1, steps // 2), batch_size=16,
    )  # fmt: skip


# %%
plans = exactly | {
    "simpo": (simpo, simpo.Config(beta=per, gamma=0.8 * per)),
    "cpo": (cpo, cpo.Config(beta=beta)),
    "ld_dpo": (ld_dpo, ld_dpo.Config(beta=beta)),
    "cpo, α = 0.1": (cpo, cpo.Config(beta=beta, alpha=0.1)),
}
runs = {name: train(*plan) for name, plan in plans.items()}
last = lambda name: runs[name].last.set_index("seed")


def drawn(names, units, caption):
    curves = pd.concat(runs[n].metrics.assign(run=n) for n in names)
    return views.training_curves(curves, units, by="run", caption=caption)


# %% [markdown]
# ## The signature views

# %%
mean = pd.DataFrame({name: last(name).mean() for name in runs}).T
table = pd.concat([pd.DataFrame(start, ["π_ref"]), mean])
display(table[[*columns, "chosen", "right", "crossed"]].round(3))
drawn(
    ["dpo", "length_dpo", "ln_dpo", "simpo", "cpo", "ld_dpo"], units,
    caption=f"From {usual:.2f} tokens DPO ends at {mean.tokens.dpo:.2f}, "
    f"R-DPO at {mean.tokens.length_dpo:.2f}, LN-DPO at "
    f"{mean.tokens.ln_dpo:.2f}, SimPO at {mean.tokens.simpo:.2f}, CPO at "
    f"{mean.tokens.cpo:.2f}, LD-DPO at {mean.tokens.ld_dpo:.2f}.",
)  # fmt: skip

# %% [markdown]
# **Crossed pairs.** DPO's reward is relative to π_ref: a pair may be in the
# right order by r̂ = β log π/π_ref and in the wrong one by log π(y)/|y|,
# which is what decoding follows. For SimPO r̂ *is* β log π(y)/|y|, and no
# pair can be crossed by its own reward.
#
# ## No reference: what holds it?
#
# CPO's NLL of the chosen response, weighted by α.

# %%
drawn(
    ["dpo", "cpo, α = 0", "cpo, α = 0.1", "simpo", "cpo"], held,
    caption=f"Without its NLL CPO ends {mean.kl['cpo, α = 0']:.2f} nats from "
    f"π_ref, with α = 1 {mean.kl.cpo:.2f}; DPO ends {mean.kl.dpo:.2f} away.",
)  # fmt: skip

# %% [markdown]
# ## One stage from a base model
#
# ORPO starts where there is no SFT model yet: here, a decoder that has read
# nothing. It adds λ times −log σ of the log odds ratio to the NLL of the
# chosen response, the odds p/(1 − p) of p = π(y)^(1/|y|). λ = 0 is SFT. The
# last run takes the ratio of p in place of that of the odds.

# %%
base = tiny.decoder(world.vocab, seed=SEED)
for lam in (0.0, 0.1, 1.0):
    runs[f"λ = {lam:g}"] = train(orpo, orpo.Config(lam=lam), base)
plain = method(card=orpo.card, loss=orpo.mistakes["4 ratio of probabilities"])
runs["λ = 1, p"] = train(plain, orpo.Config(lam=1.0), base)
rose = last("λ = 0").rejected - runs["λ = 0"].metrics.rejected[:seeds].values
units = {"rejected": "log π(y_r) (nats a token)", "gap": "gap (nats a token)"}

# %%
drawn(
    ["λ = 0", "λ = 0.1", "λ = 1", "λ = 1, p"], units,
    caption=f"SFT moves the rejected responses by {rose.mean():+.2f} nats a "
    f"token; the gap ends at {last('λ = 0').gap.mean():.3f} without the odds, "
    f"at {last('λ = 1').gap.mean():.3f} with λ = 1.",
)  # fmt: skip

# %% [markdown]
# Why odds? The slope of the log odds in log p is 1/(1 − p): at the same p
# they push harder, and as the log odds ratio exceeds the log ratio of p,
# their sigmoid closes earlier. The paper's claim, that odds are the milder
# of the two, is about the second effect; while gaps are small the first
# counts.
#
# ## Distance to the exact optimum
#
# Five losses have one in closed form (SimPO with γ = 0, CPO with α = 0).

# %%
goals, rows = optima(ref, rated, tokens, beta), {}
for name, goal in goals.items():
    left = (
        solutions.kl(measure.response_logps(runs[name].policy, world), goal)
        .mean()
        .item()
    )
    rows[name] = left, mean.tokens[name], facts(goal)["tokens"]
pd.DataFrame(rows, ["KL(π‖optimum)", "E|y|", "E|y|, optimum"]).T.round(3)

# %% [markdown]
# The last column is what no training mends: where the labels themselves lead
# a loss. R-DPO's entry is that of honest labels. LN-DPO's is hardly below
# DPO's: nothing in its optimum subtracts b|y|.
#
# ## Break it: the sign of α
#
# Mistake (2): α(|y_c| − |y_r|) subtracted. The code runs, the loss falls.

# %%
wrong = length_dpo.mistakes["2 bonus on length"]
wrong = method(card=length_dpo.card, loss=wrong)
runs["sign wrong"] = train(wrong, exactly["length_dpo"][1])
drawn(
    ["dpo", "length_dpo", "sign wrong"], {"tokens": "E[|y|] (tokens)"},
    caption=f"Wrong, the reviews of R-DPO end at "
    f"{last('sign wrong').tokens.mean():.2f} tokens, right at "
    f"{mean.tokens.length_dpo:.2f}; those of DPO at {mean.tokens.dpo:.2f}.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** A penalty on length that makes responses *longer* than
# no penalty does. One run of DPO beside it gives it away.
#
# ## Claims

# %%
says = {
    "dpo-grows": "Where length is paid, DPO's responses outgrow π_ref's.",
    "rdpo-keeps": "R-DPO keeps the length of π_ref.",
    "rdpo-quality": "R-DPO loses no length-controlled gold against DPO.",
    "ln-shorter": "LN-DPO's responses grow less than DPO's.",
    "ln-quality": "LN-DPO loses no length-controlled gold against DPO.",
    "ld-shorter": "LD-DPO's responses grow less than DPO's.",
    "crossed": "Of all pairs ¼ or more: right by DPO's r̂, wrong by π(y)/|y|.",
    "rdpo-exact": "R-DPO's minimiser is π* of the reward without the price.",
}

# %%
says |= {
    "gamma-right": "SimPO's γ raises the share of pairs in the right order.",
    "gamma-low": "SimPO's γ lowers the likelihood of the chosen responses.",
    "cpo-equal": "CPO with its NLL is as good as DPO, without a reference.",
    "cpo-fluent": "Without its NLL, CPO loses fluency under π_ref.",
    "sft-raises": "SFT on chosen responses raises the rejected ones too.",
    "odds-part": "The odds-ratio term parts the pair that SFT raises.",
    "odds-mild": "A ratio of p lowers the rejected more than one of odds.",
    "simpo-cpo": "On equal lengths T, SimPO at β, γ = 0 is CPO at β/T, α = 0.",
}


# %%
def claim(key, module, effect, expected, unit, at=""):
    return teach.claim(
        key=key, paper=module.card.paper, statement=says[key], effect=effect,
        unit=unit, expected=expected, kind="exact" if at else "seeds",
        setting=f"{at or f'{n_pairs} pairs, b = β = {beta}, {steps} steps'}",
        out=OUT or None,
    )  # fmt: skip


less = lambda a, b, column: last(a)[column] - last(b)[column]


# %%
up, good, unit = "positive", (-0.1, torch.inf), "reward units"
lc, kept = "controlled", last("length_dpo").tokens - usual
claim("dpo-grows", length_dpo, last("dpo").tokens - usual, up, "tokens")
claim("rdpo-keeps", length_dpo, kept, (-0.15, 0.15), "tokens")
claim("rdpo-quality", length_dpo, less("length_dpo", "dpo", lc), good, unit)
claim("ln-shorter", ln_dpo, less("dpo", "ln_dpo", "tokens"), up, "tokens")
claim("ln-quality", ln_dpo, less("ln_dpo", "dpo", lc), good, unit)
claim("ld-shorter", ld_dpo, less("dpo", "ld_dpo", "tokens"), up, "tokens")

# %%
free, down, nats = "simpo, γ = 0", "negative", "nats a token"
claim("crossed", simpo, last("dpo").crossed, (0.25, 1.0), "share of pairs")
claim("gamma-right", simpo, less("simpo", free, "right"), up, "share of pairs")
claim("gamma-low", simpo, less("simpo", free, "chosen"), down, nats)
claim("cpo-equal", cpo, less("cpo", "dpo", "gold"), good, unit)
claim("cpo-fluent", cpo, less("cpo, α = 0", "cpo", "fluency"), down, nats)
claim("sft-raises", orpo, rose, up, nats)
claim("odds-part", orpo, less("λ = 0.1", "λ = 0", "gap"), up, nats)
claim("odds-mild", orpo, less("λ = 1, p", "λ = 1", "rejected"), down, nats)

# %%
where, zero = "four responses, all ordered pairs", (-1e-9, 1e-9)
claim("rdpo-exact", length_dpo, off["length_dpo"], zero, "reward units", where)
same, T = batch(laws["dpo"], torch.full((4,), 4)), 4
two = simpo.loss(same, simpo.Config(beta=beta, gamma=0.0))
two = two - cpo.loss(same, cpo.Config(beta=beta / T, alpha=0.0))
claim("simpo-cpo", simpo, two.tolist(), zero, "nats", where)

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write R-DPO from
# `batch.margin()`, the two masks, `cfg.beta` and `cfg.alpha`.


# %%
def my_rdpo(batch, cfg):
    raise NotImplementedError


teach.check.length_dpo(my_rdpo)


# %% tags=["solution"]
def solution(batch, cfg):
    longer = batch.chosen_mask.sum(-1) - batch.rejected_mask.sum(-1)
    logit = cfg.beta * batch.margin() + cfg.alpha * longer.double()
    return torch.nn.functional.softplus(-logit)


checked = teach.check.length_dpo(solution)
checked

# %% [markdown]
# **2 · A wrong price** (●●○, 10 minutes). Nobody tells you b. How long are
# the reviews of R-DPO's optimum for α from 0 to 2b, and which α gives the
# most length-controlled gold? Predict both, then compute.

# %% tags=["solution"]
rows = {}
for alpha in (0.0, price / 2, price, 1.5 * price, 2 * price):
    law = solutions.optimal_policy(ref, rated - alpha * tokens, beta)
    rows[f"α = {alpha:.1f}"] = facts(law)
# controlled gold does not move: α decides about lengths, not about words
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# **3 · Words or tokens** (●●○, 10 minutes). Let the annotators pay for a
# *word*: `Annotator(length_bias=1.0)` does. R-DPO still prices tokens. Which
# reviews keep a bonus, and what length does its optimum have?

# %% tags=["solution"]
left = price * (world.n_words - tokens)  # −b, but 0 at four words
law = solutions.optimal_policy(ref, world.gold + left, beta)
print([f"{k} words: {left[world.n_words == k][0]:+.0f}" for k in range(5)])
fair = facts(goals["length_dpo"])["tokens"]
print(f"{facts(law)['tokens']:.3f} tokens instead of {fair:.3f}")

# %% [markdown]
# **4 · What a reference costs** (●○○, 10 minutes). Leaving the reference out
# saves the memory of one model, and where pairs are new at every step, its
# forward pass. Measure the pass as a share of a step without it.

# %% tags=["solution"]
from timeit import timeit

one, known = reference.copies(1), pairs[:64].reference_logps(reference)


def one_step():
    parts = pairs[:64].batch(one, torch.arange(64), known)
    cpo.loss(parts, cpo.Config()).sum().backward()


extra = timeit(lambda: pairs[:64].reference_logps(reference), number=5)
extra /= timeit(one_step, number=5)
print(f"The reference's pass adds {extra:.0%} to the time of a step.")

# %% [markdown]
# For a fixed data set it is paid once, before the first step.
#
# ## What must hold

# %%
assert max(off.values()) < 1e-9 and two.abs().max() < 1e-9
assert max(far[:3]) < 0.1 < min(far[3:]) and checked.passed
within = [facts(goals[key])["controlled"] for key in ("dpo", "length_dpo")]
assert abs(within[0] - within[1]) < 1e-9

# %% [markdown]
# ## References and next
#
# * Park et al. 2024, *Disentangling length from quality in direct preference
#   optimization* (2403.19159): R-DPO.
# * Lambert et al. 2024, *Tülu 3* (2411.15124): length-normalised DPO.
# * Liu et al. 2024, *Length desensitization in DPO* (2409.06411).
# * Meng, Xia & Chen 2024, *SimPO* (2405.14734).
# * Xu et al. 2024, *Contrastive preference optimization* (2401.08417).
# * Hong, Lee & Thorne 2024, *ORPO* (2403.07691).
#
# Next: **26 · Why both likelihoods fall**.
