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
from time import perf_counter
from types import SimpleNamespace as method

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from torch.nn.functional import one_hot

from workbench import teach, views
from workbench.core.batches import PairLogps

# %%
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs, sample_pairs
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.methods.offline import cpo, dpo, ld_dpo, length_dpo, ln_dpo
from workbench.methods.offline import orpo, simpo
from workbench.models import tiny
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 2, "lecture": 90, "figure": 1000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 1000, "figure": 20000}[PROFILE]
beta, price = 1.0, 1.0  # β; what annotators pay for a token (reward units)

world = Reviews(4)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
tokens = (world.n_words + 1).clamp(max=world.max_words)  # |y|
usual = exact.expectation(ref, tokens).mean().item()  # E_ref|y|

# %% [markdown]
# ## The question
#
# People overrate long answers. Give a data set that does so to several
# losses: DPO; R-DPO, which prices a token; LN-DPO and SimPO, which take a
# mean over tokens; CPO and ORPO, which have no reference at all.
#
# **Write down a prediction.** Order them by the length of what they write.
# Is a mean over tokens enough to be fair to short answers?
#
# ## Three data points
#
# Reviews of at most four words. |y| counts *tokens*, as the losses do: the
# words and the end, but a review of four words ends by itself and writes no
# end. The annotator perceives r + b|y| with b = 1: a token is worth as much
# as the word "good". The last two columns are p(label) without and with
# that.

# %%
rated = world.gold + price * tokens
parts = []
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, n_pairs, Annotator(), draw, rated))
pairs, rows = Pairs.cat(parts), []
for i in range(3):
    x = pairs.chosen.prompt[i].item()
    c, l = (t.response[i].item() for t in (pairs.chosen, pairs.rejected))
    said = [world.text(c), world.text(l), (tokens[c] - tokens[l]).item()]
    won = [(r[x, c] - r[x, l]).sigmoid().item() for r in (world.gold, rated)]
    rows.append((world.prompts[x], *said, *won))
names = ["prompt", "chosen", "rejected", "|y_c| − |y_r|", "honest", "paid"]
pd.DataFrame(rows, columns=names).round(3)

# %% [markdown]
# ## The objective, in the symbols of the code
#
# A Bradley–Terry annotator of r + b|y| makes DPO's optimum
#
# $$\pi^*(y) \propto \pi_{ref}(y)\, e^{(r(y) + b|y|)/\beta}.$$
#
# R-DPO adds α(|y_c| − |y_r|) to βD inside the sigmoid. The labels fix the
# *sum* at r(y_c) − r(y_r) + b(|y_c| − |y_r|), so what is left for βD is the
# reward less (α − b)|y|. With α = b, π is DPO's optimum on honest labels.
#
# LN-DPO puts a mean where DPO has a sum. The labels now fix β/|y| times the
# log-ratio, up to one constant c:
#
# $$\pi(y) = \pi_{ref}(y)\, e^{|y|\,(r(y) + b|y| + c)/\beta},
# \qquad \sum_y \pi(y) = 1.$$
#
# Nothing subtracts b|y|. The length is divided out of the *units*, and the
# preference for length stays.

# %%
shown = length_dpo.loss, ln_dpo.loss, simpo.loss, cpo.loss
display(*map(teach.show, shown))

# %% [markdown]
# **No reference** means a reference that is not written down. CPO is DPO
# with π_ref left out, so its preference term (α = 0) ends at
# exp(r/β)/Z: the same as DPO from a law that finds every response *equally
# likely*, and most responses are long. SimPO (γ = 0) is LN-DPO with π_ref
# left out: π(y) = exp(|y|(r + c)/β), which for a constant r gives every
# *token* the same price.
#
# Both optima, and the mean forms, need the c that makes the sum 1. The sum
# grows with c, so bisection finds it.


# %%
def tilt(base, reward, beta, size=tokens):
    """log of base·exp(|y|(r + c)/β) with the c that makes it sum to 1."""
    low = torch.full_like(reward[..., :1], -1000.0)
    high = -low
    for _ in range(80):
        c = (low + high) / 2
        over = (base + size * (reward + c) / beta).logsumexp(
            -1, keepdim=True
        ) > 0
        low, high = torch.where(over, low, c), torch.where(over, c, high)
    return base + size * (reward + low) / beta


def optimum(key, base, reward, beta, size=tokens, per=usual):
    """Where a loss ends; the mean forms get per·β, reward units per nat a token."""
    base = base if key in ("dpo", "length_dpo", "ln_dpo") else 0 * base
    if key in ("ln_dpo", "simpo"):
        return tilt(base, reward, per * beta, size)
    paid = reward - price * size * (key == "length_dpo")
    return exact.optimal_policy(base, paid, beta)


# %% [markdown]
# ## By hand, on four responses
#
# A short good review against a long bad one.

# %%
texts = ["(silence)", "good", "not dull", "dull and not good"]
four = torch.tensor([world.index(text) for text in texts])
q, r, n = ref[0, four].log_softmax(-1), world.gold[0, four], tokens[four]
felt = r + price * n
losses = (dpo, length_dpo, ln_dpo, simpo, cpo)
ends = {m.card.key: optimum(m.card.key, q, felt, beta, n) for m in losses}
hand = {"|y|": n, "r": r, "r + b|y|": felt, "π_ref": q.exp()}
hand |= {key: law.exp() for key, law in ends.items()}
hand = pd.DataFrame({k: v.tolist() for k, v in hand.items()}, index=texts)
hand.round(3)

# %% [markdown]
# Are these the minimisers? Minimise the expected loss over all ordered pairs
# numerically (a review's log-prob stands in its first token, |y| is in the
# mask).

# %%
i, j = torch.cartesian_prod(torch.arange(4), torch.arange(4)).unbind(1)
meet = (q[i] + q[j]).exp() * (felt[i] - felt[j]).sigmoid()
mask, column = torch.arange(4) < n[:, None], torch.eye(4).double()[:1]


def risk(module, cfg, logps):
    now, old = logps[:, None] * column, q[:, None] * column
    sides = now[i], now[j], old[i], old[j], mask[i], mask[j]
    return (meet * module.loss(PairLogps(*sides), cfg)).sum()


# %%
mean_beta = usual * beta  # as strong as β on a response of usual length
exactly = {
    "dpo": dpo.Config(beta=beta),
    "length_dpo": length_dpo.Config(beta=beta, alpha=price),
    "ln_dpo": ln_dpo.Config(beta=mean_beta),
    "simpo": simpo.Config(beta=mean_beta, gamma=0.0),
    "cpo": cpo.Config(beta=beta, alpha=0.0),
}


def minimise(module):
    at, cfg = q.clone().requires_grad_(), exactly[module.card.key]
    search = torch.optim.LBFGS(
        [at], max_iter=300, line_search_fn="strong_wolfe"
    )

    def closure():
        search.zero_grad()
        value = risk(module, cfg, at.log_softmax(-1))
        value.backward()
        return value

    search.step(closure)
    return at.log_softmax(-1).detach()


# %%
found = {m.card.key: minimise(m) for m in losses}
off = {key: (found[key] - ends[key]).abs().max() for key in found}
honest = exact.optimal_policy(q, r, beta)
repaired = (found["length_dpo"] - honest).abs().max().item()
far = max(off.values())
display(Markdown(f"Largest error of the formulas: {far:.1e} nats."))
pd.DataFrame({k: v.exp().tolist() for k, v in found.items()}, texts).round(3)

# %% [markdown]
# `length_dpo` is DPO on honest labels; `ln_dpo` moves part of the way and
# ends nowhere near. Without a reference the odd reviews gain: π_ref(silence)
# and π_ref(good) differ, and neither SimPO nor CPO knows.
#
# ## Over all responses, exactly
#
# The same optima on all reviews, for every β (the mean forms get β times the
# usual |y|). *Fluency* is E_π[log π_ref(y)/|y|], nats a token.


# %%
def facts(law):
    """What a law over all reviews is worth, prompts in equal shares."""
    mass = law.exp() @ by_length
    given = (law.exp() * world.gold) @ by_length / mass
    each = {
        "tokens": exact.expectation(law, tokens),
        "gold": exact.expectation(law, world.gold),
        "controlled": (given * share).sum(-1),
        "fluency": exact.expectation(law, ref / tokens),
        "kl": exact.kl(law, ref),
    }
    return {name: value.mean(-1).tolist() for name, value in each.items()}


by_length = one_hot(tokens - 1).double()
share = ref.exp() @ by_length  # p(|y|) under π_ref

# %%
rows, grid = [], np.geomspace(0.3, 30, 9).tolist()
for key in exactly:
    for b in grid:
        law = optimum(key, ref, rated, b)
        rows.append({"method": key, "beta": b, **facts(law)})
sweep, start = pd.DataFrame(rows), facts(ref)
wide = sweep[sweep.beta == grid[-1]].set_index("method")
level = {name: start[name] for name in ("tokens", "kl", "fluency")}
units = {"tokens": "E[|y|] (tokens)", "kl": "KL(π‖π_ref) (nats)"}
units |= {"fluency": "log π_ref (nats a token)"}

# %%
views.sweep(
    sweep, "beta", units, "method", exact=level, exact_label="π_ref",
    x_label="β (reward units per nat)", log_x=True,
    caption=f"At β = {grid[-1]:.0f} the losses with a reference end within "
    f"{wide.kl[:3].max():.3f} nats of it, SimPO {wide.kl['simpo']:.2f} and CPO "
    f"{wide.kl['cpo']:.2f} nats away.",
)  # fmt: skip

# %% [markdown]
# At β → ∞ the reward is gone and what is left is the reference that each
# loss has in mind: π_ref for three of them, evenly spread *responses* for
# CPO, evenly priced *tokens* for SimPO.
#
# ## Train
#
# All losses on the same pairs, all seeds of a loss in one batched model. γ
# of SimPO is 0.8 β, as in the paper's first setting; CPO has its NLL back.
# **Length-controlled** gold takes the lengths from π_ref and the words from
# π: Σ_n p_ref(|y| = n) E_π[r | |y| = n].


# %%
def in_pairs(values):
    """Values of all reviews, [member prompt response], at each seed's pairs."""
    member = torch.arange(len(values)).repeat_interleave(n_pairs)
    sides = (pairs.chosen, pairs.rejected)
    picked = [values[member, t.prompt, t.response] for t in sides]
    return [p.unflatten(0, (len(values), -1)) for p in picked]


def track(policy):
    law = measure.law(policy, world)
    chosen, rejected = in_pairs(law / tokens)  # nats a token
    own = {"chosen": chosen, "rejected": rejected, "gap": chosen - rejected}
    own |= {"accuracy": (chosen > rejected).double()}
    own = {name: value.mean(-1).tolist() for name, value in own.items()}
    return pd.DataFrame({"seed": range(len(law)), **facts(law), **own})


# %%
def train(module, cfg, start=reference, looks=3):
    return offline.fit(
        start.copies(seeds), reference, pairs, module, cfg, steps=steps,
        seed=SEED, measures=(track,), every=max(1, steps // looks),
    )  # fmt: skip


settings = exactly | {
    "simpo": simpo.Config(beta=mean_beta, gamma=0.8 * mean_beta),
    "cpo": cpo.Config(beta=beta),
    "ld_dpo": ld_dpo.Config(beta=beta),
}
modules = {m.card.key: m for m in (*losses, ld_dpo)}

# %%
runs = {key: train(modules[key], settings[key]) for key in settings}
curves = pd.concat(run.metrics.assign(method=k) for k, run in runs.items())
last = {key: run.last.set_index("seed") for key, run in runs.items()}
mean = pd.DataFrame({key: frame.mean() for key, frame in last.items()}).T

# %% [markdown]
# ## The signature views

# %%
longest, shortest = mean.tokens.idxmax(), mean.tokens.idxmin()
views.training_curves(
    curves,
    {"tokens": "E[|y|] (tokens)", "gold": "gold (reward units)"},
    by="method",
    caption=f"From {usual:.2f} tokens DPO ends at {mean.tokens.dpo:.2f}; the "
    f"longest reviews are those of {longest}, the shortest of {shortest}.",
)

# %% [markdown]
# Length is one thing, quality another. The table takes them apart.

# %%
names = ["tokens", "gold", "controlled", "kl", "fluency"]
pd.concat([pd.DataFrame(start, ["π_ref"]), mean])[names].round(3)

# %% [markdown]
# ## Is the reward what the policy says?
#
# DPO's reward of a response is relative to π_ref: a pair may be in the right
# order by r̂ and in the wrong one by log π(y)/|y|, which is what decoding
# follows. For SimPO both are the same number.

# %%
rows = {}
for key in ("dpo", "ln_dpo", "simpo", "cpo"):
    law = measure.law(runs[key].policy, world)
    reward = law - ref if key in ("dpo", "ln_dpo") else law
    reward = reward / tokens if key in ("ln_dpo", "simpo") else reward
    (a, b), (c, d) = in_pairs(reward), in_pairs(law / tokens)
    parts = {"r̂ right": a > b, "likelihood right": c > d}
    parts |= {"r̂ right, likelihood wrong": (a > b) & (c < d)}
    rows[key] = {k: v.double().mean(-1).tolist() for k, v in parts.items()}
crossed = pd.DataFrame(rows).T
crossed.map(np.mean).round(3)

# %% [markdown]
# What does the target γ buy? SimPO again with γ = 0:

# %%
runs["simpo, γ = 0"] = train(simpo, exactly["simpo"], looks=1)
plain = runs["simpo, γ = 0"].last.set_index("seed")
lead = {"γ = 0": plain, "γ = 0.8 β": last["simpo"]}
names = ["accuracy", "chosen", "rejected", "tokens", "controlled"]
pd.DataFrame({k: f[names].mean() for k, f in lead.items()}).T.round(3)

# %% [markdown]
# ## No reference: what holds it?
#
# CPO's NLL, weighted by α. Sweep it from 0 to 1.

# %%
anchored = {1.0: last["cpo"]}
for alpha in (0.1, 0.0):
    cfg = cpo.Config(beta=beta, alpha=alpha)
    runs[f"cpo, α = {alpha}"] = train(cpo, cfg, looks=1)
    anchored[alpha] = runs[f"cpo, α = {alpha}"].last.set_index("seed")
anchor = pd.concat(f.assign(alpha=a) for a, f in anchored.items())
anchor, held = anchor.reset_index(), anchor.groupby("alpha").mean()
units = {"fluency": "log π_ref (nats a token)", "kl": "KL(π‖π_ref) (nats)"}
units |= {"gold": "gold (reward units)"}

# %%
views.sweep(
    anchor, "alpha", units, x_label="α, weight of the NLL",
    exact={name: mean[name].dpo for name in units}, exact_label="DPO, trained",
    caption=f"Without its NLL, CPO ends {held.kl[0.0]:.2f} nats from π_ref at "
    f"fluency {held.fluency[0.0]:.2f}; with α = 1 {held.kl[1.0]:.2f} nats and "
    f"{held.fluency[1.0]:.2f}.",
)  # fmt: skip

# %% [markdown]
# What does leaving the reference out save? One model's memory, and where
# pairs are new at every step, a forward pass of it. Measured on a batch:


# %%
def seconds(work, times=5):
    work()
    began = perf_counter()
    for _ in range(times):
        work()
    return perf_counter() - began


one, at = reference.copies(1), torch.arange(64)
few = pairs[at]
known = few.reference_logps(reference)
cfg = settings["dpo"]
step = seconds(
    lambda: dpo.loss(few.batch(one, at, known), cfg).sum().backward()
)
extra = seconds(lambda: few.reference_logps(reference)) / step
said = (
    f"The reference's pass takes {extra:.0%} of the time of a step without it."
)
Markdown(said)

# %% [markdown]
# For a fixed data set it is paid once, before the first step.
#
# ## One stage from a base model
#
# ORPO starts where there is no SFT model yet: here, a decoder that has read
# nothing. Its odds p/(1 − p), p the geometric mean over tokens, are what
# separates a pair; λ = 0 is SFT on the chosen responses.

# %%
base = tiny.decoder(world.vocab, seed=SEED)
ratio = method(card=orpo.card, loss=orpo.mistakes["4 ratio of probabilities"])
plans = {
    "NLL alone": (orpo, 0.0),
    "odds, λ = 0.1": (orpo, 0.1),
    "odds, λ = 1": (orpo, 1.0),
    "probabilities, λ = 1": (ratio, 1.0),
}
stage = {}
for name, (module, lam) in plans.items():
    stage[name] = train(module, orpo.Config(lam=lam), base).metrics

# %%
both = pd.concat(f.assign(loss_is=k) for k, f in stage.items())
first, final = (
    {k: f[f.step == at].set_index("seed") for k, f in stage.items()}
    for at in (0, steps)
)
alone, odds = final["NLL alone"], final["odds, λ = 1"]
rose = (alone.rejected - first["NLL alone"].rejected).mean()
views.training_curves(
    both,
    {"rejected": "log π(y_r) (nats a token)", "gap": "gap (nats a token)"},
    by="loss_is",
    caption=f"The NLL of chosen responses moves the rejected ones by "
    f"{rose:+.2f} nats a token; the gap ends at {alone.gap.mean():.2f} without "
    f"the odds and at {odds.gap.mean():.2f} with λ = 1.",
)

# %% [markdown]
# ## Distance to the exact optimum
#
# Five losses have one in closed form (SimPO with γ = 0, CPO with α = 0).

# %%
twins = {"simpo": "simpo, γ = 0", "cpo": "cpo, α = 0.0"}
star, rows = exact.optimal_policy(ref, world.gold, beta), {}
for key in exactly:
    goal = optimum(key, ref, rated, beta)
    law = measure.law(runs[twins.get(key, key)].policy, world)
    near = {"KL(π‖own optimum)": exact.kl(law, goal).mean().item()}
    near |= {"KL(π‖honest π*)": exact.kl(law, star).mean().item()}
    near |= {"E|y|, trained": np.mean(facts(law)["tokens"])}
    near |= {"E|y|, own optimum": facts(goal)["tokens"]}
    near |= {"KL(own‖honest π*)": exact.kl(goal, star).mean().item()}
    rows[twins.get(key, key)] = near
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# The last column is what no training can mend. It is zero for R-DPO, with
# the α of the annotators.
#
# ## Break it: the sign of α
#
# Mistake (2): α(|y_c| − |y_r|) subtracted. The code runs, the loss falls.

# %%
wrong = length_dpo.mistakes["2 bonus on length"]
wrong = method(card=length_dpo.card, loss=wrong)
broken = train(wrong, settings["length_dpo"])
three = {"dpo": "dpo", "length_dpo": "R-DPO"}
three = [runs[k].metrics.assign(sign=v) for k, v in three.items()]
three += [broken.metrics.assign(sign="R-DPO, subtracted")]
bonus = broken.last.mean()
views.training_curves(
    pd.concat(three), {"tokens": "E[|y|] (tokens)"}, by="sign",
    caption=f"With the sign wrong reviews end at {bonus.tokens:.2f} tokens, "
    f"with the sign right at {mean.tokens.length_dpo:.2f}, DPO's at "
    f"{mean.tokens.dpo:.2f}.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** A length penalty that makes responses *longer* than no
# penalty. One look at the length of DPO beside it gives it away.

# %% [markdown]
# ## Claims


# %%
def claim(key, effect, expected, unit, paper, where="", **how):
    seen = f"{n_pairs} pairs, b = {price}, β = {beta}, {steps} steps, lr 1e-3"
    return teach.claim(
        key=key, paper=papers[paper], statement=says[key], effect=effect,
        expected=expected, unit=unit, setting=where or seen, out=OUT or None,
        **how,
    )  # fmt: skip


papers = {
    "park": "Park et al. 2024 (2403.19159)",
    "lambert": "Lambert et al. 2024 (2411.15124)",
    "liu": "Liu et al. 2024 (2409.06411)",
    "meng": "Meng, Xia & Chen 2024 (2405.14734)",
    "xu": "Xu et al. 2024 (2401.08417)",
    "hong": "Hong, Lee & Thorne 2024 (2403.07691)",
}

# %%
says = {
    "dpo-grows": "Where length is paid, DPO's responses grow beyond π_ref's.",
    "rdpo-keeps": "R-DPO keeps the length of π_ref.",
    "rdpo-quality": "R-DPO loses no length-controlled gold against DPO.",
    "ln-shorter": "LN-DPO's responses grow less than DPO's.",
    "ln-quality": "LN-DPO loses no length-controlled gold against DPO.",
    "ld-shorter": "LD-DPO's responses grow less than DPO's.",
    "crossed": "Many pairs that DPO's r̂ orders right have the wrong likelihood.",
    "rdpo-exact": "R-DPO's minimiser is π* of the reward without its price.",
}

# %%
says |= {
    "gamma-right": "SimPO's γ raises the share of pairs in the right order.",
    "gamma-low": "SimPO's γ lowers the likelihood of the chosen responses.",
    "cpo-equal": "CPO with its NLL is as good as DPO, without a reference.",
    "cpo-fluent": "Without its NLL, CPO loses fluency under π_ref.",
    "sft-raises": "SFT on chosen responses raises the rejected ones too.",
    "odds-part": "The odds-ratio term parts the pair that SFT raises.",
    "odds-mild": "A ratio of probabilities lowers the rejected more than odds.",
    "simpo-cpo": "On equal lengths T, SimPO at β, γ = 0 is CPO at β/T, α = 0.",
}

# %%
size = {key: frame.tokens for key, frame in last.items()}
pure = {key: frame.controlled for key, frame in last.items()}
least, zero = (-0.1, float("inf")), {"expected": "zero", "unit": "tokens"}
claim("dpo-grows", size["dpo"] - usual, "positive", "tokens", "park")
claim(
    "rdpo-keeps",
    size["length_dpo"] - usual,
    paper="park",
    tolerance=0.15,
    **zero,
)
unit, gain = "reward units", pure["length_dpo"] - pure["dpo"]
claim("rdpo-quality", gain, least, unit, "park")
claim(
    "ln-shorter", size["dpo"] - size["ln_dpo"], "positive", "tokens", "lambert"
)
claim("ln-quality", pure["ln_dpo"] - pure["dpo"], least, unit, "lambert")
claim("ld-shorter", size["dpo"] - size["ld_dpo"], "positive", "tokens", "liu")

# %%
share_of = crossed["r̂ right, likelihood wrong"]
claim("crossed", share_of.dpo, (0.25, 1.0), "share of pairs", "meng")
gain, nats = lead["γ = 0.8 β"] - lead["γ = 0"], "nats a token"
claim("gamma-right", gain.accuracy, "positive", "share of pairs", "meng")
claim("gamma-low", gain.chosen, "negative", nats, "meng")
gain = last["cpo"] - last["dpo"]
claim("cpo-equal", gain.gold, least, unit, "xu")
lost = anchored[0.0].fluency - anchored[1.0].fluency
claim("cpo-fluent", lost, "negative", nats, "xu")

# %%
gain = alone.rejected - first["NLL alone"].rejected
claim("sft-raises", gain, "positive", nats, "hong")
gain = final["odds, λ = 0.1"].gap - alone.gap
claim("odds-part", gain, "positive", nats, "hong")
gain = final["probabilities, λ = 1"].rejected - odds.rejected
claim("odds-mild", gain, "negative", nats, "hong")

# %%
how = {"kind": "exact", "expected": "zero", "unit": "nats"}
where = "four responses, all ordered pairs"
claim("rdpo-exact", repaired, paper="park", where=where, tolerance=1e-4, **how)
T, full = 3, torch.ones(5, 3).bool()
logps = torch.rand(4, 5, T, generator=generator(SEED, "logps")).double().log()
same = PairLogps(*logps, full, full)
two = simpo.loss(same, simpo.Config(beta=beta, gamma=0.0))
two = (two - cpo.loss(same, cpo.Config(beta=beta / T, alpha=0.0))).tolist()
claim("simpo-cpo", two, paper="meng", where="T = 3", tolerance=1e-12, **how)

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
    logit = cfg.beta * batch.margin() + cfg.alpha * longer
    return torch.nn.functional.softplus(-logit)


checked = teach.check.length_dpo(solution)
checked

# %% [markdown]
# **2 · A wrong price** (●●○, 10 minutes). Nobody tells you b. How long are
# the reviews of R-DPO's optimum for α from 0 to 2b, and which α gives the
# most length-controlled gold? Predict both, then compute.

# %% tags=["solution"]
rows = {}
for alpha in np.linspace(0, 2 * price, 5):
    law = exact.optimal_policy(ref, rated - alpha * tokens, beta)
    rows[f"α = {alpha:.1f}"] = facts(law)
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# **3 · Words or tokens** (●●○, 10 minutes). Let the annotators pay for a
# *word*: `Annotator(length_bias=1.0)` does. R-DPO still prices tokens. Which
# reviews keep a bonus, and what length does its optimum have?

# %% tags=["solution"]
left = price * (world.n_words - tokens)  # −b, but 0 at four words
law = exact.optimal_policy(ref, world.gold + left, beta)
print(
    "bonus left, by words:",
    [left[world.n_words == k][0].item() for k in range(5)],
)
print("tokens:", facts(law)["tokens"], "instead of", facts(star)["tokens"])

# %% [markdown]
# ## What must hold

# %%
assert far < 1e-4 and repaired < 1e-4 and max(map(abs, two)) < 1e-12
assert torch.allclose(optimum("length_dpo", ref, rated, beta), star)
for key in exactly:
    law = optimum(key, ref, rated, beta)
    assert torch.allclose(law.logsumexp(-1), torch.zeros(4).double())
assert wide.kl[:3].max() < 0.1 < min(wide.kl["simpo"], wide.kl["cpo"])
assert max(crossed["r̂ right, likelihood wrong"].simpo) == 0
assert curves.notna().all().all() and checked.passed

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
