# ---
# jupyter:
#   workbench:
#     title: "24 · Noisy labels"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 24 · Noisy labels: what a flipped label does, and what undoes it
#
# **The claim in one sentence.** Flipping labels with probability ε multiplies
# what a pair says by 1 − 2ε; DPO leaves that factor in, cDPO multiplies by it
# once more, rDPO divides it out, and dividing by too small a factor leaves no
# minimum at all.
#
# After this lesson you can
#
# * compute what each loss converges to when the flip rate is known;
# * say what happens when the flip rate is guessed too low, or too high;
# * tell a policy that points the wrong way from one that stops too early;
# * separate three things that robust list losses change at once.
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
from IPython.display import display

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.pairs import sample_pairs

# %%
from workbench.feedback.labels import collect_labels
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.measure import implicit_accuracy as answers
from workbench.methods.direct.links import dpo, ipo
from workbench.methods.direct.lists import adpo, adpo_pair
from workbench.methods.direct.noise import cdpo, rdpo
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 60, "figure": 600}[PROFILE]
n_pairs = {"ci": 48, "lecture": 480, "figure": 4800}[PROFILE]
rates, true, beta, tau = (0.0, 0.1, 0.2, 0.3, 0.4), 0.2, 1.0, 0.25

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %% [markdown]
# ## The question
#
# One label in five was recorded the wrong way round. Nobody knows which, but
# somebody knows that it is one in five. What should the loss do about it?
#
# **Write down a prediction.** Which of these ends with the most gold reward
# when two labels in five are flipped: DPO, which takes labels as they are;
# cDPO, which trusts each label to 1 − ε; rDPO, which subtracts what a flip
# would have added; IPO, which is bounded? And which is nearest to its clean
# self?
#
# ## Three data points
#
# The annotator is a Bradley–Terry coin, p = σ(r_a − r_b), and then the label
# is flipped with probability ε. The same pairs and the same random numbers
# are drawn at each ε: where two columns differ, there was a flip. Here p is
# the clean chance of the first label.


# %%
def drawn(flip, seed):
    how = Annotator(flip=flip), generator(seed, "pairs")
    return sample_pairs(world, ref, n_pairs, *how)


data = {e: [drawn(e, SEED + s) for s in range(seeds)] for e in rates}
some = {e: each[0][:3].chosen.response for e, each in data.items()}
x, beaten = data[0.0][0].chosen.prompt[:3], data[0.0][0].rejected.response[:3]
p = (world.gold[x, some[0.0]] - world.gold[x, beaten]).sigmoid()
rows = {f"chosen, ε = {e}": map(world.text, some[e].tolist()) for e in rates}
pd.DataFrame({"p": p} | {k: list(v) for k, v in rows.items()}).round(3)

# %% [markdown]
# ## The objective, in the symbols of the code
#
# With D = d(y_c) − d(y_r), d = log π/π_ref, and ℓ(M) = −log σ(M) at M = βD:
#
# $$L_{cDPO} = (1-\varepsilon)\,\ell(M) + \varepsilon\,\ell(-M),\qquad
# L_{rDPO} = \frac{(1-\varepsilon)\,\ell(M) - \varepsilon\,\ell(-M)}
# {1-2\varepsilon}.$$
#
# One sign and one factor apart, they do opposite things. Let p be the clean
# chance that a response wins. A flip turns it into p̃ with
#
# p̃ − ½ = (1 − 2ε)(p − ½).
#
# Average a loss over the label and collect the factors of ℓ(M) and ℓ(−M). They
# sum to 1, so the mean loss is DPO's for the factor of ℓ(M) as a chance:
#
# | loss | the chance it fits, less ½ |
# |---|---|
# | DPO | (1 − 2ε) (p − ½) |
# | cDPO, told ε̂ | (1 − 2ε̂)(1 − 2ε) (p − ½) |
# | rDPO, told ε̂ | (1 − 2ε)/(1 − 2ε̂) · (p − ½) |
#
# So cDPO is DPO on labels flipped *twice*, and rDPO with ε̂ = ε is DPO on
# clean labels. IPO's D is linear in p − ½ to begin with: flips multiply it by
# 1 − 2ε, and τ(1 − 2ε) in place of τ takes that away.

# %%
display(*map(teach.show, (cdpo.link, rdpo.link, cdpo.weight, rdpo.weight)))

# %% [markdown]
# The weights say the rest. cDPO's push is 0 at M = log((1 − ε)/ε) and pulls
# back beyond. rDPO's never falls below βε/(1 − 2ε): nothing stops a pair that
# is seen with one label only, and its loss goes to −∞.
#
# ## By hand, on three responses
#
# Infinitely many pairs of three reviews, one label in five flipped. A pair by
# itself comes to rest where M is the log-odds of the chance that the loss
# fits:

# %%
texts = ["very good", "good", "dull"]
three = torch.tensor([world.index(text) for text in texts])
q, r = ref[0, three].softmax(-1), world.gold[0, three]
p, t = (r[:2] - r[1:]).sigmoid(), 1 - 2 * true
fits = {"clean": 1, "dpo": t, "cdpo": t * t, "rdpo": t / t}
fits = {k: (0.5 + s * (p - 0.5)).logit().tolist() for k, s in fits.items()}
pd.DataFrame(fits, ["very good ≻ good", "good ≻ dull"]).round(3)

# %% [markdown]
# Only the clean M are differences of a reward; over a third pair, very good ≻
# dull, those of DPO and cDPO would not add up. A policy cannot be at rest on
# all three pairs and settles between them. Which policy? Give each response a
# logit of its own and walk along the mean push, with the `weight` of each
# method.


# %%
def settle(module, cfg, flip):
    """Where the mean push of infinitely many flipped labels is 0."""
    p, d = Annotator(flip=flip).probability(r[:, None], r), 0 * r
    for _ in range(1000):
        push = p * module.weight(d[:, None] - d, cfg)
        d = d + 0.25 * (push - push.T) @ q
    return (q.log() + d).log_softmax(-1)


known = {dpo: [beta], ipo: [tau], cdpo: [beta, true], rdpo: [beta, true]}
laws = {m.card.key: settle(m, m.Config(*v), true) for m, v in known.items()}

# %%
star = solutions.optimal_policy(q.log(), r, beta)
apart = {k: solutions.kl(law, star).item() for k, law in laws.items()}
table = np.exp(pd.DataFrame(laws | {"π*": star, "π_ref": q.log()}, texts).T)
table.assign(**{"KL(π‖π*)": pd.Series(apart)}).round(4)

# %% [markdown]
# rDPO is at π*, told ε and nothing else. DPO falls short of it and cDPO by
# more. IPO has another target, E[win rate] in place of E[r]; τ = β/4 makes
# the two agree for small Δr.
#
# ## Train
#
# The decoder, five flip rates and all seeds in one stack. Each cDPO and rDPO
# is told the flip rate of its own data: `epsilon` holds one value a row. A
# control keeps DPO's loss and gives it β(1 − 2ε), so that pairs with small
# Δr land where they should.
#
# Three measures. *Gold* is E_π[r]. The *slope* is that of β ΔD on Δr over
# pairs from π_ref: 1 if implicit rewards are rewards. The *frontier gap* is
# the gold that π*_β′ of the true reward has at the KL of π, less that of π:
# what the nats of π have bought in vain.

# %%
asked = answers.sampled(world, ref, world.gold, 4000, generator(SEED, "ask"))
asked = world, ref, asked, answers.logratio_score(beta)
tracks = [answers.ScoreTracker(*asked)]
tracks += [measure.Tracker(world, ref, gold=world.gold, beta=beta)]


# %%
def train(name, module, cfg, parts, n=16, see=tracks):
    ds = [each for sets in parts.values() for each in sets]
    run = offline.fit(
        reference.copies(len(ds)), reference, type(ds[0]).cat(ds), module,
        cfg, steps=steps, every=steps, batch_size=n, seed=SEED, measures=see,
    )  # fmt: skip
    seed, flip = list(range(seeds)) * len(parts), np.repeat([*parts], seeds)
    return run.last.assign(method=name, flip=flip, seed=seed)


# %%
eps, shrunk = torch.tensor(rates).repeat_interleave(16 * seeds), "dpo, β(1−2ε)"
work = {"dpo": (dpo, beta), "ipo": (ipo, tau), "cdpo": (cdpo, beta, eps)}
work |= {"rdpo": (rdpo, beta, eps), shrunk: (dpo, beta * (1 - 2 * eps))}
work = {k: (module, module.Config(*how)) for k, (module, *how) in work.items()}
last = pd.concat([train(k, *each, data) for k, each in work.items()])

# %% [markdown]
# ## Distance to the exact optimum
#
# What would infinite pairs and a free policy give? By the table above every
# loss but IPO is DPO at *some* flip rate, so one function serves all. DPO's
# mean push on a response is 0 where the win rate that π states for it,
# E_μ[σ(βD)], is its win rate under the labels: the iteration below moves each
# response by the difference of the two over the slope of the first.


# %%
def slope_of(d):
    return answers.of_policy(ref + d[..., 0], *asked).slope[0]


r_all, mu = world.gold[..., None], ref.exp()[..., None]  # columns
win_rate = (r_all - r_all.mT).sigmoid() @ mu


# %%
def dpo_slope(trust):
    """The slope of DPO's minimiser where p − ½ is multiplied by trust."""
    d, aim = trust * r_all / beta, 0.5 + trust * (win_rate - 0.5)
    for _ in range(20):
        p = (beta * (d - d.mT)).sigmoid()
        d = d + (aim - p @ mu) / (beta * p * (1 - p) @ mu)
    return slope_of(d)


# %%
t = 1 - 2 * pd.Series(rates, rates)
goals = pd.DataFrame({"dpo": t.map(dpo_slope), "cdpo": (t * t).map(dpo_slope)})
goals = goals.assign(rdpo=1.0, ipo=t * slope_of(win_rate / tau))
goals[shrunk] = goals.dpo / t
goals.rename_axis("ε").round(3)

# %% [markdown]
# DPO keeps even less than 1 − 2ε of its slope: a pair with large Δr loses
# most of its log-odds to a few flips. A rescaled β undoes the factor and not
# the bend. Beside it stand the runs:

# %%
units = {
    "slope": "slope of βΔD on Δr",
    "gold": "gold (reward units)",
    "kl": "KL(π‖π_ref) (nats)",
    "kl_to_optimum": "KL(π‖π*) (nats)",
    "frontier_gap": "gold below the frontier",
    "win_mass": "mass on the best of four",
}


# %%
def plot(frame, shown, x_label="labels flipped (share)", **how):
    shown = {k: units[k] for k in shown.split()}
    return views.sweep(frame, "flip", shown, "method", x_label=x_label, **how)


def dashed(wide):
    tidy = wide.stack().rename("slope").rename_axis(["flip", "method"])
    return {"slope": tidy.reset_index()}


# %%
low, high = (last[last.flip == e].groupby("method").mean() for e in (0, 0.4))
plot(
    last, "slope gold", exact=dashed(goals),
    caption=f"From no flips to {rates[-1]:.0%} the slope of dpo goes from "
    f"{low.slope['dpo']:.2f} to {high.slope['dpo']:.2f}, that of cdpo to "
    f"{high.slope['cdpo']:.2f} and that of rdpo to {high.slope['rdpo']:.2f}.",
)  # fmt: skip

# %% [markdown]
# Finite pairs and few steps have a slope of their own, below 1 on clean
# labels too. What a loss does about flips is therefore read against its own
# clean run. And unbiased is not the same as near: rDPO multiplies the signal
# by 1/(1 − 2ε), and the noise of the labels with it, so that for pairs near
# p = ½ it needs 1/(1 − 2ε)² times the labels.

# %%
far, lag = high.kl_to_optimum, high.frontier_gap
plot(
    last, "kl kl_to_optimum frontier_gap",
    caption=f"At {rates[-1]:.0%} flips the nearest to π* is {far.idxmin()} "
    f"({far.min():.2f} nats), the farthest {far.idxmax()} ({far.max():.2f}); "
    f"nearest to the frontier is {lag.idxmin()}, {lag.min():.2f} below it.",
)  # fmt: skip

# %% [markdown]
# ## The wrong flip rate
#
# Nobody knows ε. Here it is 0.2, and the losses are told another ε̂. By the
# table rDPO then fits ½ + t(p − ½) with t = (1 − 2ε)/(1 − 2ε̂). Told too
# little it is between DPO and clean. Told too much, t > 1 and the "chance"
# passes 1 wherever p > ½ + 1/(2t): such a pair has no minimum, even with
# infinitely many labels.

# %%
wrong = dict.fromkeys(rates, data[true])
same = last[(last.method == "dpo") & (last.flip == true)]  # told nothing
guess = [train(k, *work[k], wrong) for k in ("cdpo", "rdpo")]
guess = pd.concat([*(same.assign(flip=g) for g in rates), *guess])
aims = {"cdpo": t * t[true], "rdpo": t[true] / t[:true]}
aims = pd.DataFrame({k: v.map(dpo_slope) for k, v in aims.items()})
# %%
ends = guess[guess.method == "rdpo"].groupby("flip").mean(numeric_only=True)
plot(
    guess, "slope kl", "ε̂ that the loss is told", exact=dashed(aims),
    caption=f"Told 0.4 in place of 0.2 rdpo's slope goes from "
    f"{ends.slope[true]:.2f} to {ends.slope[0.4]:.2f} and its KL from "
    f"{ends.kl[true]:.2f} to {ends.kl[0.4]:.2f} nats.",
)  # fmt: skip

# %% [markdown]
# The dashed line of rDPO ends at ε̂ = ε, for there its minimiser ends.
#
# ## Lists, softness, anchors
#
# ADPO answers noise in another way: no ε, but a *soft* target. An annotator
# feels a noisy utility for each of four responses (reward + Gumbel noise);
# a flip exchanges two of them. The list loss matches softmax(u/β_r) with
# softmax(d/τ); its pairwise form has the label σ(Δu/β_r). Against hard
# pairwise labels (DPO on all six pairs) that changes three things at once:
# soft targets, lists, and, if log π stands in place of d, no anchor. Their
# comparison takes a run for each. The settings are those of the authors'
# first code, τ = 0.8 and β_r = 0.5: with clean scores soft labels aim at
# π_ref exp(1.6 r), hard ones at π_ref exp(0.8 r). Softness comes with a
# stronger pull, so each run is also held against the frontier at its own KL.
#
# The measure of the paper is the **win mass**: the mass that π, restricted to
# a list of four fresh responses, puts on the best one.

# %%
draw, x = generator(SEED, "fresh"), torch.arange(8000) // 4 % len(ref)
fresh = world.draw_for(ref, x, draw).response.unflatten(0, (-1, 4))
x = x.unflatten(0, (-1, 4))
best = world.gold[x, fresh] == world.gold[x, fresh].amax(-1, keepdim=True)


def win_mass(policy):
    inside = measure.response_logps(policy, world)[:, x, fresh].softmax(-1)
    return pd.DataFrame({"win_mass": (inside * best).sum(-1).mean(-1)})


# %%
def listed(flip, seed):
    how = Annotator(flip=flip), generator(seed, "lists")
    return collect_labels(world, reference, n_pairs, *how).data(ListLogps)


some = {e: [listed(e, SEED + s) for s in range(seeds)] for e in rates[::2]}
ways = {"soft list": adpo.loss, "soft pairs": adpo_pair.loss}
ways["hard pairs"] = adpo_pair.mistakes["1 hard label"]
ways["soft list, no anchor"] = adpo.mistakes["2 no anchor"]
ways = {k: method(card=adpo.card, loss=loss) for k, loss in ways.items()}
how = adpo.Config(), some, 8, [tracks[1], win_mass]
lists = pd.concat([train(k, way, *how) for k, way in ways.items()])

# %%
worst = lists[lists.flip == rates[-1]].groupby("method").mean()
plot(
    lists, "win_mass frontier_gap kl", exact=dict(win_mass(ref).loc[0]),
    exact_label="π_ref",
    caption=f"At {rates[-1]:.0%} flips the most win mass is that of "
    f"{worst.win_mass.idxmax()}, {worst.win_mass.max():.3f}; nearest to "
    f"the frontier is {worst.frontier_gap.idxmin()}, "
    f"{worst.frontier_gap.min():.2f} below it.",
)  # fmt: skip

# %% [markdown]
# Without an anchor the softmax compares log π itself. Its target is
# exp(τu/β_r) with no π_ref in front: a review that π_ref would hardly write
# is to be as frequent as a common one with the same score.
#
# ## Break it: one sign
#
# Mistake (2) of cDPO's docstring has a minus before the flipped term. That is
# rDPO's numerator, so nothing is wrong with its minimiser. Give both forty
# pairs and many passes.

# %%
few, signs = [each[:40] for each in data[true]], {"plus": cdpo.loss}
signs["minus"] = cdpo.mistakes["2 minus before the flipped term"]
for name, loss in signs.items():
    signs[name] = offline.fit(
        reference, reference, few, method(card=cdpo.card, loss=loss),
        cdpo.Config(beta, true), steps=2 * steps, batch_size=16, seed=SEED,
        measures=tracks[1:], every=max(1, steps // 2), seeds=seeds,
    ).metrics.assign(method=name)  # fmt: skip

# %%
ends = [each[-seeds:].mean(numeric_only=True) for each in signs.values()]
views.training_curves(
    pd.concat(signs.values()),
    {"loss": "training loss (nats)", "kl": "KL(π‖π_ref) (nats)"}, by="method",
    caption=f"With a minus the loss ends at {ends[1].loss:.2f} and the KL at "
    f"{ends[1].kl:.2f} nats, with the plus at {ends[0].loss:.2f} and "
    f"{ends[0].kl:.2f}.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** A loss that falls through 0 and goes on falling. A
# cross-entropy cannot be negative. rDPO's can, by design, and its training
# loss is no sign of progress: hold it with early stopping, or with a KL.
#
# ## Claims
#
# Effects of runs are taken seed by seed and averaged over the flip rates
# above 0. "Loses" compares a run with its own clean run.

# %%
said = {
    "rdpo-dpo": "As labels are flipped rDPO loses less gold than DPO.",
    "rdpo-cdpo": "As labels are flipped rDPO loses less gold than cDPO.",
    "rdpo-ipo": "As labels are flipped rDPO loses less gold than IPO.",
    "rdpo-slope": "At 20 % flips rDPO's slope of r̂ on r is about 1.",
    "rdpo-kept": "At 20 % flips rDPO keeps the slope of its clean run.",
    "cdpo-kept": "At 20 % flips cDPO's slope is below that of its clean run.",
    "cdpo-dpo": "With flipped labels cDPO ends with more gold than DPO.",
    "direction": "With flips rDPO lies nearer to the frontier than DPO.",
    "rescaled": "With flips rDPO has more gold than DPO with β(1 − 2ε).",
    "too-much": "Told 0.4 in place of 0.2 rDPO ends farther from π*.",
}

# %%
said |= {
    "soft list": "Soft lists put more mass on the best than hard pairs.",
    "soft pairs": "Soft pairs put more mass on the best than hard pairs.",
    "anchor": "Soft lists put more mass on the best with an anchor.",
    "list-gap": "Soft lists end nearer to the frontier than hard pairs.",
    "rdpo-exact": "Told ε, rDPO's minimiser is π* of the clean labels.",
    "cdpo-exact": "cDPO's minimiser is DPO's at flip rate 2ε(1 − ε).",
    "cdpo-short": "cDPO's minimiser has a slope below 1 at every ε > 0.",
    "unbounded": "rDPO is unbounded below: −33.3 at M = 100, ε = 0.2.",
}

# %%
papers = {
    "rdpo": "Ray Chowdhury et al. 2024 (2403.00409)",
    "cdpo": "Mitchell 2023 (ericmitchell.ai/cdpo.pdf)",
    "adpo": "Wang 2025 (2510.18913)",
    "own": "derived in this lesson",
}


def claim(key, paper, effect, expected="positive", unit="reward", **more):
    more = {"setting": f"{n_pairs} pairs, {steps} steps, lr 1e-3"} | more
    teach.claim(
        key=key, paper=papers[paper], statement=said[key], effect=effect,
        expected=expected, unit=unit, out=OUT or None, **more,
    )  # fmt: skip


# %%
def by_seed(frame):
    return frame.set_index(["method", "flip", "seed"]).unstack("method")


runs, far = by_seed(last), by_seed(guess).kl_to_optimum.rdpo
clean, noisy = runs.loc[0.0], runs[0.01:].groupby("seed").mean()
lost, at, was = clean.gold - noisy.gold, runs.loc[true].slope, clean.slope
for key in ("dpo", "cdpo", "ipo"):
    claim(f"rdpo-{key}", "rdpo", lost[key] - lost.rdpo)

# %%
claim("rdpo-slope", "rdpo", at.rdpo, (0.8, 1.2), "slope")
claim("rdpo-kept", "rdpo", at.rdpo / was.rdpo, (0.8, 1.25), "share of slope")
claim("cdpo-kept", "cdpo", at.cdpo / was.cdpo, (0.0, 1.0), "share of slope")
gold, gap = noisy.gold, noisy.frontier_gap
claim("cdpo-dpo", "cdpo", gold.cdpo - gold.dpo)
claim("direction", "own", gap.dpo - gap.rdpo)
claim("rescaled", "own", gold.rdpo - gold[shrunk])
claim("too-much", "own", far[0.4] - far[true], unit="nats")

# %%
noisy = by_seed(lists)[0.01:].groupby("seed").mean()
mass, gap, soft = noisy.win_mass, noisy.frontier_gap, "soft list"
for key in (soft, "soft pairs"):
    claim(key, "adpo", mass[key] - mass["hard pairs"], unit="probability")
more = mass[soft] - mass["soft list, no anchor"]
claim("anchor", "adpo", more, unit="probability")
claim("list-gap", "own", gap["hard pairs"] - gap[soft])

# %%
zero = {"kind": "exact", "setting": "infinitely many pairs, no training"}
nil = zero | {"expected": "zero", "tolerance": 1e-9, "unit": "nats"}
claim("rdpo-exact", "rdpo", apart["rdpo"], **nil)
twice = settle(dpo, dpo.Config(beta), 2 * true * (1 - true))
claim("cdpo-exact", "cdpo", solutions.kl(laws["cdpo"], twice).item(), **nil)
claim("cdpo-short", "cdpo", goals.cdpo[0.1:], (0.0, 0.999), "slope", **zero)
low = rdpo.link(torch.tensor(100.0), rdpo.Config(1.0, 0.2)).item()
claim("unbounded", "rdpo", low, (-33.4, -33.3), "nats", **zero)

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write rDPO from
# `batch.margin()`, `cfg.beta` and `cfg.epsilon`.


# %%
def my_rdpo(batch, cfg):
    raise NotImplementedError


teach.check.rdpo(my_rdpo)


# %% tags=["solution"]
def solution(batch, cfg):
    M, e = cfg.beta * batch.margin(), cfg.epsilon
    up, down = (torch.nn.functional.softplus(s * M) for s in (-1, 1))
    return ((1 - e) * up - e * down) / (1 - 2 * e)


checked = teach.check.rdpo(solution)
checked

# %% [markdown]
# **2 · A robust IPO** (●●○, 10 minutes). IPO has no ε. Show that it needs
# none: with τ(1 − 2ε) in place of τ its minimiser on flipped labels is its
# minimiser on clean ones. (Hint: `settle`.)

# %% tags=["solution"]
both = [settle(ipo, ipo.Config(tau * (1 - 2 * e)), e) for e in (0, true)]
pd.DataFrame(torch.stack(both).exp(), ["clean", "flipped"], texts).round(6)

# %% [markdown]
# ## What must hold
#
# Exact facts, and the loss that is the same loss at ε = 0.

# %%
assert apart["rdpo"] < 1e-9 < apart["dpo"] < apart["cdpo"] and checked.passed
assert (goals.dpo[0.1:] < 1 - 2 * goals.index[1:].to_numpy()).all()
assert clean.gold[["dpo", "cdpo", "rdpo", shrunk]].std(axis=1).max() < 0.02

# %% [markdown]
# ## References and next
#
# * Mitchell 2023, *A note on DPO with noisy preferences and relationship to
#   IPO* (ericmitchell.ai/cdpo.pdf).
# * Ray Chowdhury, Kini, Natarajan 2024, *Provably robust DPO* (2403.00409).
# * Azar et al. 2023, *A general theoretical paradigm to understand learning
#   from human preferences* (2310.12036).
# * Wang 2025, *Anchored direct preference optimization* (2510.18913).
#
# Next: **25 · Length, and no reference**, where the labels are wrong in one
# direction.
