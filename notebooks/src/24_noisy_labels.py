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
from functools import cache, partial
from types import SimpleNamespace as method

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from torch.nn.functional import softplus

from workbench import teach, views
from workbench.core.batches import ListLogps
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import sample_pairs

# %%
from workbench.feedback.supply import sample_supply
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.measure import implicit_accuracy as answers
from workbench.methods.offline import adpo, adpo_pair, cdpo, dpo, ipo, rdpo
from workbench.models import tiny
from workbench.worlds import exact
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
# is flipped with probability ε. The same pairs and the same coins are drawn at
# each ε, so whatever differs between two columns below is a flip.


# %%
def drawn(flip, seed):
    judge, draw = Annotator(flip=flip), generator(seed, "pairs")
    return sample_pairs(world, ref, n_pairs, judge, draw)


data = {e: [drawn(e, SEED + s) for s in range(seeds)] for e in rates}
rows, both = {}, (data[0.0][0].chosen, data[0.0][0].rejected)
for k, two in enumerate(zip(*(t.response[:3].tolist() for t in both))):
    r = world.gold[both[0].prompt[k], list(two)]
    chance = [Annotator(flip=e).probability(*r).item() for e in (0, 0.4)]
    same = bool(data[0.4][0].chosen.response[k] == two[0])
    rows[k] = [*map(world.text, two), *chance, same]
heads = ["chosen", "rejected", "p, ε = 0", "ε = 0.4", "same label"]
pd.DataFrame.from_dict(rows, "index", columns=heads).round(3)

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
display(*(teach.show(module.loss) for module in (cdpo, rdpo)))
display(*(teach.show(module.weight) for module in (cdpo, rdpo)))

# %% [markdown]
# The weights say the rest. cDPO's push is 0 at M = log((1 − ε)/ε) and pulls
# back beyond. rDPO's never falls below βε/(1 − 2ε): nothing stops a pair that
# is seen with one label only, and its loss goes to −∞.
#
# ## By hand, on three responses
#
# Infinitely many pairs of three reviews, one label in five flipped. First
# each pair by itself: the M at which its mean push is 0 is the log-odds of
# the chance that the loss fits.

# %%
texts = ["very good", "good", "dull"]
three = torch.tensor([world.index(text) for text in texts])
q, r = ref[0, three].double().softmax(-1), world.gold[0, three].double()
i, j = torch.triu_indices(3, 3, 1)
gap, t = r[i] - r[j], 1 - 2 * true
p = gap.sigmoid()
fits = {"clean p": p, "DPO": 0.5 + t * (p - 0.5)}
fits |= {"cDPO": 0.5 + t * t * (p - 0.5), "rDPO": 0.5 + t / t * (p - 0.5)}
table = {f"M, {k}": v.logit().tolist() for k, v in fits.items()}
names = [f"{texts[a]} ≻ {texts[b]}" for a, b in zip(i, j, strict=True)]
pd.DataFrame({"Δr": gap.tolist(), **table}, names).round(3)

# %% [markdown]
# The clean column adds up: the first and the third row give the second.
# DPO's and cDPO's columns do not, since no reward has these log-odds. A
# policy cannot be at rest on all three pairs and settles between them. Which
# policy? Give each response a logit of its own and minimise the mean loss.


# %%
def settle(loss, p, mu, d):
    """The d of least mean loss over pairs from μ, won with chance p."""
    d, how = d.clone().requires_grad_(), {"line_search_fn": "strong_wolfe"}
    optimiser = torch.optim.LBFGS([d], max_iter=60, **how)
    weight = mu[..., None] * mu[..., None, :] * p

    def total():
        mean = (weight * loss(d[..., None] - d[..., None, :])).sum()
        d.grad = torch.autograd.grad(mean, d)[0]
        return mean

    optimiser.step(total)
    return d.detach()


# %%
p = Annotator(flip=true).probability(r[:, None], r)
known, ends = {"dpo": (dpo, beta), "ipo": (ipo, tau)}, {}
known |= {"cdpo": (cdpo, beta, true), "rdpo": (rdpo, beta, true)}
for name, (module, *how) in known.items():
    link = partial(module.link, cfg=module.Config(*how))
    ends[name] = settle(link, p, q, 0 * r)
star = exact.optimal_policy(q.log(), r, beta)
hand = {"π_ref": q, "π*": star.exp()}
laws = {k: (q.log() + d).log_softmax(-1) for k, d in ends.items()}
table = pd.DataFrame({k: v.exp() for k, v in laws.items()} | hand, texts)
apart = {k: exact.kl(law, star).item() for k, law in laws.items()}
table.T.assign(**{"KL(π‖π*)": pd.Series(apart)}).round(4)

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
# it is blind to how *far* π went and sees where it *points*.

# %%
asked = answers.sampled(world, ref, world.gold, 4000, generator(SEED, "ask"))
asked = world, ref, asked, answers.logratio_score(beta)
tracks = [measure.Tracker(world, ref, gold=world.gold, beta=beta)]
tracks += [answers.ScoreTracker(*asked, prefix="answer_")]


# %%
def train(name, module, cfg, parts, size=16, measures=tracks, epochs=1):
    every = [each for sets in parts.values() for each in sets]
    run = offline.fit(
        reference.copies(len(every)), reference, type(every[0]).cat(every),
        module, cfg, steps=epochs * steps, batch_size=size, seed=SEED,
        measures=measures, every=max(1, epochs * steps // 3),
    )  # fmt: skip
    at = (run.metrics.seed - SEED).to_numpy()
    level, seed = np.array(list(parts))[at // seeds], SEED + at % seeds
    return run.metrics.assign(method=name, level=level, seed=seed)


def a_row(values, size=16):
    return torch.tensor(values).repeat_interleave(seeds * size)


# %%
eps, shrunk = a_row(rates), "dpo, β(1 − 2ε)"
work = {"dpo": (dpo, dpo.Config(beta)), "cdpo": (cdpo, cdpo.Config(beta, eps))}
work |= {"rdpo": (rdpo, rdpo.Config(beta, eps)), "ipo": (ipo, ipo.Config(tau))}
work[shrunk] = dpo, dpo.Config(beta * (1 - 2 * eps))
logs = pd.concat([train(k, *each, data) for k, each in work.items()])
logs = logs.rename(columns={"level": "flip"})
last = logs[logs.step == steps].set_index(["method", "flip", "seed"])
last = last.sort_index()
mean = last.groupby(["method", "flip"]).mean()

# %% [markdown]
# ## Distance to the exact optimum
#
# What would infinite pairs and a free policy give? By the table above every
# loss but IPO is DPO at *some* flip rate, so one function serves all. DPO's
# mean push on a response is 0 where the win rate that π states for it,
# E_μ[σ(βD)], is its win rate under the labels: the iteration below moves each
# response by the difference of the two over the slope of the first.


# %%
def against(p):
    """Mean over the second response, drawn from π_ref."""
    return (p @ ref.exp()[..., None])[..., 0]


reward = world.gold.double()
pair = (reward[..., None] - reward[:, None]).sigmoid()
win_rate = against(pair)


def slope_of(d):
    return answers.of_policy(ref + d, *asked).slope[0]


# %%
@cache
def dpo_slope(trust):
    """The slope of DPO's minimiser where p − ½ is multiplied by trust."""
    d, aim = trust * reward / beta, 0.5 + trust * (win_rate - 0.5)
    for _ in range(20):
        p = (beta * (d[..., None] - d[:, None])).sigmoid()
        d = d + (aim - against(p)) / against(beta * p * (1 - p))
    return slope_of(d)


# %%
goals = []
for e in rates:
    t = 1 - 2 * e
    known = {"dpo": dpo_slope(t), "cdpo": dpo_slope(t * t), "rdpo": 1.0}
    known |= {"ipo": slope_of(t * win_rate / tau), shrunk: dpo_slope(t) / t}
    goals += [(e, *item) for item in known.items()]
goals = pd.DataFrame(goals, columns=["flip", "method", "answer_slope"])
goals.pivot(index="flip", columns="method", values="answer_slope").round(3)

# %% [markdown]
# DPO keeps even less than 1 − 2ε of its slope: a pair with large Δr loses
# most of its log-odds to a few flips. A rescaled β undoes the factor and not
# the bend. Beside it stand the runs:

# %%
slope = mean.answer_slope
views.sweep(
    last.reset_index(),
    "flip",
    {"answer_slope": "slope of βΔD on Δr", "gold": "gold (reward units)"},
    "method",
    x_label="labels flipped (share)",
    exact={"answer_slope": goals},
    caption=f"From no flips to {rates[-1]:.0%} the slope of dpo goes from "
    f"{slope['dpo', 0.0]:.2f} to {slope['dpo', 0.4]:.2f}, that of cdpo to "
    f"{slope['cdpo', 0.4]:.2f} and that of rdpo to {slope['rdpo', 0.4]:.2f}.",
)

# %% [markdown]
# Finite pairs and few steps have a slope of their own, below 1 on clean
# labels too. What a loss does about flips is therefore read against its own
# clean run. And unbiased is not the same as near: rDPO multiplies the signal
# by 1/(1 − 2ε), and the noise of the labels with it, so that for pairs near
# p = ½ it needs 1/(1 − 2ε)² times the labels.

# %%
far = mean.kl_to_optimum.xs(rates[-1], level="flip")
lag = mean.frontier_gap.xs(rates[-1], level="flip")
units = {"kl": "KL(π‖π_ref) (nats)", "kl_to_optimum": "KL(π‖π*) (nats)"}
views.sweep(
    last.reset_index(),
    "flip",
    units | {"frontier_gap": "gold below the frontier"},
    "method",
    x_label="labels flipped (share)",
    caption=f"At {rates[-1]:.0%} flips the nearest to π* is {far.idxmin()} "
    f"({far.min():.2f} nats), the farthest {far.idxmax()} ({far.max():.2f}); "
    f"nearest to the frontier is {lag.idxmin()}, {lag.min():.2f} below it.",
)

# %% [markdown]
# ## The wrong flip rate
#
# Nobody knows ε. Here it is 0.2, and the losses are told another ε̂. By the
# table rDPO then fits ½ + t(p − ½) with t = (1 − 2ε)/(1 − 2ε̂). Told too
# little it is between DPO and clean. Told too much, t > 1 and the "chance"
# passes 1 wherever p > ½ + 1/(2t): such a pair has no minimum, even with
# infinitely many labels.

# %%
guesses = (0.1, 0.3, 0.4)
wrong = dict.fromkeys(guesses, data[true])
sides, parts = {"cdpo": cdpo, "rdpo": rdpo}, []
for key, module in sides.items():
    cfg = module.Config(beta, a_row(guesses))
    parts += [train(key, module, cfg, wrong).rename(columns={"level": "told"})]
    for name, g in (("dpo", 0.0), (key, true)):  # two that we have
        known = last.loc[name, true].assign(method=key, told=g, step=steps)
        parts += [known.reset_index()]
guess = pd.concat(parts)
guess = guess[guess.step == steps]

# %%
t, aims = 1 - 2 * true, []
for g in (0.0, *guesses, true):
    aims += [("cdpo", g, dpo_slope(t * (1 - 2 * g)))]
    aims += [("rdpo", g, dpo_slope(t / (1 - 2 * g)))] * (g <= true)
aims = pd.DataFrame(aims, columns=["method", "told", "answer_slope"])
sure = pair > 0.5 + (1 - 2 * guesses[-1]) / (2 * t)
sure = 2 * exact.expectation(ref, against(sure.double())).mean()
Markdown(f"Told {guesses[-1]}, {sure:.0%} of pairs have no minimum.")

# %%
wide = guess.groupby(["method", "told"]).mean().loc["rdpo"]
views.sweep(
    guess,
    "told",
    {"answer_slope": "slope of βΔD on Δr", "kl": "KL(π‖π_ref) (nats)"},
    "method",
    x_label="ε̂, the flip rate that the loss is told",
    exact={"answer_slope": aims},
    caption=f"Told 0.4 in place of 0.2 rdpo's slope goes from "
    f"{wide.answer_slope[true]:.2f} to {wide.answer_slope[0.4]:.2f} and its "
    f"KL from {wide.kl[true]:.2f} to {wide.kl[0.4]:.2f} nats.",
)

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
# stronger pull, so each run is also held against the exact path at its KL.
#
# The measure of the paper is the **win mass**: the mass that π, restricted to
# a list of four fresh responses, puts on the best one.

# %%
draw, n_lists = generator(SEED, "fresh"), 2000
prompt = (torch.arange(n_lists) % len(ref)).repeat_interleave(4)
fresh = world.draw_for(ref, prompt, draw).response.unflatten(0, (-1, 4))
prompt = prompt.unflatten(0, (-1, 4))
value = world.gold[prompt, fresh]
best = value == value.amax(-1, keepdim=True)


def win_mass(policy):
    inside = measure.law(policy, world)[:, prompt, fresh].softmax(-1)
    mass = (inside * best).sum(-1).mean(-1).tolist()
    return pd.DataFrame({"seed": range(len(mass)), "win_mass": mass})


# %%
def listed(flip, seed):
    how = generator(seed, "lists")
    judge = Annotator(flip=flip)
    return sample_supply(world, reference, n_pairs, judge, how).data(ListLogps)


some = {e: [listed(e, SEED + s) for s in range(seeds)] for e in rates[::2]}
short = min(len(each) for sets in some.values() for each in sets)
some = {e: [each[:short] for each in sets] for e, sets in some.items()}

# %%
soft, flat = adpo.Config(), adpo_pair.mistakes
ways = {"soft list": adpo.loss, "soft pairs": adpo_pair.loss}
ways |= {"hard pairs": flat["1 hard label"]}
ways |= {"soft list, no anchor": adpo.mistakes["2 no anchor"]}
ways |= {"soft pairs, no anchor": flat["4 no anchor"]}
runs = []
for name, loss in ways.items():
    module = method(card=adpo.card, loss=loss)
    runs += [train(name, module, soft, some, 8, [tracks[0], win_mass])]
lists = pd.concat(runs).rename(columns={"level": "flip"})
lists = lists[lists.step == steps]

# %%
tilts = torch.logspace(1.5, -2, 50).tolist()
path = exact.frontier(ref, world.gold, world.gold, tilts)
laws = [exact.optimal_policy(ref, world.gold, b) for b in tilts]
path["win_mass"] = [win_mass(law).win_mass[0] for law in laws]
lists["ahead"] = lists.win_mass - np.interp(lists.kl, path.kl, path.win_mass)
won = lists.groupby(["method", "flip"]).mean()
worst = won.xs(rates[-1], level="flip")
units = {"win_mass": "mass on the best of four", "ahead": "above exact path"}

# %%
views.sweep(
    lists,
    "flip",
    units | {"kl": "KL(π‖π_ref) (nats)"},
    "method",
    x_label="labels flipped (share)",
    exact={"win_mass": win_mass(ref).win_mass[0]},
    exact_label="π_ref",
    caption=f"At {rates[-1]:.0%} flips the most win mass is that of "
    f"{worst.win_mass.idxmax()}, {worst.win_mass.max():.3f}; at its own KL "
    f"{worst.ahead.idxmax()} stands best, {worst.ahead.max():+.3f}.",
)

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
few, minus = {true: [each[:40] for each in data[true]]}, {}
signs = {"cdpo": cdpo.loss, "rdpo": rdpo.loss}
signs["a minus in cdpo"] = cdpo.mistakes["2 minus before the flipped term"]
for name, loss in signs.items():
    module = method(card=cdpo.card, loss=loss)
    cfg = cdpo.Config(beta, true)
    minus[name] = train(name, module, cfg, few, epochs=3)
minus = pd.concat(minus.values())

# %%
ends = minus[minus.step == minus.step.max()].groupby("method").mean()
views.training_curves(
    minus,
    {"loss": "training loss (nats)", "kl": "KL(π‖π_ref) (nats)"},
    by="method",
    caption=f"With a minus the loss ends at {ends.loss['a minus in cdpo']:.2f}"
    f" and the KL at {ends.kl['a minus in cdpo']:.2f} nats; with cDPO's plus "
    f"they end at {ends.loss['cdpo']:.2f} and {ends.kl['cdpo']:.2f}.",
)

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
    "list-soft": "Soft lists put more mass on the best than hard pairs.",
    "pair-soft": "Soft pairs put more mass on the best than hard pairs.",
    "anchor": "Soft lists put more mass on the best with an anchor.",
    "list-ahead": "So do soft lists against hard pairs at equal KL.",
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


def claim(key, paper, effect, expected, unit="reward units", **more):
    more = {"setting": f"{n_pairs} pairs, {steps} steps, lr 1e-3"} | more
    teach.claim(
        key=key, paper=papers[paper], statement=said[key], effect=effect,
        expected=expected, unit=unit, out=OUT or None, **more,
    )  # fmt: skip


# %%
def flipped(column, name, frame=last):
    """Mean over the flip rates above 0, one value a seed."""
    rows = frame[column][name].unstack("flip")
    return rows[[e for e in rows if e > 0]].mean(axis=1)


gold, slope = last.gold, last.answer_slope
falls = {k: gold[k, 0.0] - flipped("gold", k) for k in ("dpo", "cdpo", "ipo")}
for key, fall in falls.items():
    less = fall - (gold["rdpo", 0.0] - flipped("gold", "rdpo"))
    claim(f"rdpo-{key}", "rdpo", less, "positive")

# %%
claim("rdpo-slope", "rdpo", slope["rdpo", true], (0.8, 1.2), "slope")
kept = {k: slope[k, true] / slope[k, 0.0] for k in ("rdpo", "cdpo")}
claim("rdpo-kept", "rdpo", kept["rdpo"], (0.8, 1.25), "share of slope")
claim("cdpo-kept", "cdpo", kept["cdpo"], (0.0, 1.0), "share of slope")
more = flipped("gold", "cdpo") - flipped("gold", "dpo")
claim("cdpo-dpo", "cdpo", more, "positive")
gaps = flipped("frontier_gap", "dpo") - flipped("frontier_gap", "rdpo")
claim("direction", "own", gaps, "positive")
more = flipped("gold", "rdpo") - flipped("gold", shrunk)
claim("rescaled", "own", more, "positive")

# %%
away = (
    guess.set_index(["method", "told", "seed"])
    .sort_index()
    .kl_to_optimum["rdpo"]
)
claim("too-much", "own", away[0.4] - away[true], "positive", "nats")
lists = lists.set_index(["method", "flip", "seed"]).sort_index()
mass = {k: flipped("win_mass", k, lists) for k in ways}
ahead = {k: flipped("ahead", k, lists) for k in ways}
unit, hard = "probability", mass["hard pairs"]
claim("list-soft", "adpo", mass["soft list"] - hard, "positive", unit)
claim("pair-soft", "adpo", mass["soft pairs"] - hard, "positive", unit)
more = mass["soft list"] - mass["soft list, no anchor"]
claim("anchor", "adpo", more, "positive", unit)
more = ahead["soft list"] - ahead["hard pairs"]
claim("list-ahead", "own", more, "positive", unit)

# %%
zero = {"kind": "exact", "expected": "zero", "tolerance": 1e-9}
zero |= {"unit": "nats", "setting": "infinitely many pairs, no training"}
claim("rdpo-exact", "rdpo", apart["rdpo"], **zero)
p = Annotator(flip=2 * true * (1 - true)).probability(r[:, None], r)
twice = settle(lambda D: softplus(-beta * D), p, q, 0 * r)
twice = (q.log() + twice).log_softmax(-1)
claim("cdpo-exact", "cdpo", exact.kl(laws["cdpo"], twice).item(), **zero)
zero |= {"unit": "slope", "expected": (0.0, 0.999), "tolerance": None}
short = goals[(goals.method == "cdpo") & (goals.flip > 0)].answer_slope
claim("cdpo-short", "cdpo", short, **zero)
zero |= {"unit": "nats", "expected": (-33.4, -33.3)}
low = torch.tensor(100.0).double() / beta
low = rdpo.link(low, rdpo.Config(beta, 0.2)).item()
claim("unbounded", "rdpo", low, **zero)

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
    return ((1 - e) * softplus(-M) - e * softplus(M)) / (1 - 2 * e)


checked = teach.check.rdpo(solution)
checked

# %% [markdown]
# **2 · A robust IPO** (●●○, 10 minutes). IPO has no ε. Show that it needs
# none: with τ(1 − 2ε) in place of τ its minimiser on flipped labels is its
# minimiser on clean ones. (Hint: `settle`.)

# %% tags=["solution"]
both = []
for e in (0.0, true):
    p = Annotator(flip=e).probability(r[:, None], r)
    link = partial(ipo.link, cfg=ipo.Config(tau * (1 - 2 * e)))
    both += [(q.log() + settle(link, p, q, 0 * r)).softmax(-1)]
pd.DataFrame(both, ["clean", "flipped"], texts).round(6)

# %% [markdown]
# ## What must hold
#
# Exact facts, and the loss that is the same loss at ε = 0.

# %%
goal = goals.set_index(["method", "flip"]).answer_slope
assert apart["rdpo"] < 1e-9 < apart["dpo"] < apart["cdpo"]
assert all(goal["dpo", e] < 1 - 2 * e + 1e-6 for e in rates)
assert all(abs(goal["rdpo"] - 1) < 1e-9) and abs(goal["dpo", 0.0] - 1) < 1e-3
for name in ("cdpo", "rdpo", shrunk):
    same = (last.gold[name, 0.0] - last.gold["dpo", 0.0]).abs().max()
    assert same < 0.02, name
assert (last.frontier_gap > -1e-6).all() and checked.passed
assert last.notna().all(axis=None) and lists.notna().all(axis=None)

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
