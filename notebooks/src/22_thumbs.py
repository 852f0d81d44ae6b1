# ---
# jupyter:
#   workbench:
#     title: "22 · Thumbs instead of pairs"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 22 · Thumbs instead of pairs: how far should a good response go?
#
# **The claim in one sentence.** A loss of single responses must say where a
# log-ratio is to stand, not only how two of them differ: BCO and NCA name a
# finite place, KTO only names a direction.
#
# After this lesson you can
#
# * train on thumbs up and down, with no pairs at all;
# * say what a log-ratio is compared with: z₀, δ or zero;
# * compute where each loss stops, or show that it never does;
# * weight a data set in which one kind of thumb is rare.
#
# Run time at `lecture`: about a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from math import log
from types import SimpleNamespace as method

import numpy as np
import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core.batches import ListLogps, ThumbLogps
from workbench.core.seeds import generator

# %%
from workbench.feedback.annotator import Annotator
from workbench.feedback.lists import Lists
from workbench.feedback.pairs import Pairs, sample_pairs
from workbench.feedback.thumbs import Thumbs, sample_thumbs
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.methods.offline import bco, dpo, infonca, kto, nca
from workbench.models import tiny
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 120, "figure": 1000}[PROFILE]
n_pairs = {"ci": 40, "lecture": 1000, "figure": 20000}[PROFILE]
main = 0.1  # β of every method

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %% [markdown]
# ## The question
#
# Readers do not compare reviews. They read one and press a thumb. DPO cannot
# use that: it reads a difference of two log-ratios, and whatever is added to
# both cancels. A thumb stands alone, so its loss must compare the log-ratio
# d = log π(y)/π_ref(y) with *something*.
#
# **Write down a prediction.** A response gets a thumb up from 60 % of its
# readers. Where does training push its d: to a number that you can compute,
# or to +∞? And does the likelihood of *chosen* responses, which DPO lets
# fall, hold when each is judged by itself?

# %% [markdown]
# ## Three data points
#
# The annotator compares a single response with a bar, here 0:
# p(up) = σ(r − bar). No row has a partner.

# %%
draw = generator(SEED, "look")
seen, rows = sample_thumbs(world, ref, 12, Annotator(), draw), []
for i in range(3):
    x, y = int(seen.tokens.prompt[i]), int(seen.tokens.response[i])
    p = Annotator().thumb_probability(world.gold[x, y]).item()
    rows.append((world.prompts[x], world.text(y), bool(seen.up[i]), p))
pd.DataFrame(rows, columns=["prompt", "response", "thumb up", "p(up)"])

# %% [markdown]
# ## The objectives, in the symbols of the code
#
# All three judge each response by itself. With s = βd:
#
# * **BCO** is a classifier: −log σ(s − δ) for a thumb up, −log σ(δ − s) for
#   one down. `reference_mean` is the batch mean of d; δ is β times that.
# * **KTO** takes the sigmoid itself, 1 − σ(±β(d − z₀)). Its z₀ is the mean d
#   of *mismatched* prompts and responses, `reference_point`, clamped at 0: an
#   estimate of KL(π‖π_ref). Both z₀ and δ are constants.
# * **NCA** reads a list, −Σ_k p_k log σ(s_k) − (1/K) Σ_k log σ(−s_k), with
#   p = softmax(r/α): draws of the target are told from draws of π_ref, and
#   s = 0 is "as likely as under π_ref". Nothing is subtracted.
#
# InfoNCA, −Σ_k p_k log softmax_k(s), is the contrast: the same lists, and
# only differences of s count. On a pair with α → 0 it is DPO.

# %%
display(teach.show(bco.loss), teach.show(kto.loss), teach.show(nca.loss))

# %% [markdown]
# ## What each asks of a good response
#
# We build batches of one-token responses with a given d, by hand.


# %%
def thumb(d, up, point=0.0, mean=0.0):
    flat, full = torch.zeros_like(d).detach(), torch.ones(len(d), 1).bool()
    aside = (torch.full(d.shape, up), flat + point, flat + mean)
    return ThumbLogps(d[:, None], flat[:, None], full, *aside)


def pair(chosen, rejected):
    d = torch.stack([chosen, rejected], -1)[..., None]
    score = torch.tensor([1.0, 0.0]).double().expand(len(d), 2)
    return ListLogps(d, 0 * d.detach(), d.isfinite(), score, 0 * score)


def push(values, at):
    return -torch.autograd.grad(values.sum(), at)[0]


# %%
s = torch.linspace(-6, 6, 121).double().requires_grad_()
sure, x = nca.Config(beta=1.0, alpha=1e-3), s.tolist()  # hard targets
losses = {"nca": nca.loss(pair(s, 0 * s.detach()), sure)}
for module in (bco, kto):
    cfg = module.Config(beta=1.0)
    losses[module.card.key] = module.loss(thumb(s, True), cfg)
pushes = {name: push(values, s).tolist() for name, values in losses.items()}
layers = [views.HLine(0.0), views.VLine(log(2), "log 2")]
for i, (name, y) in enumerate(pushes.items(), start=1):
    layers.append(views.Line(x, y, name, views.series(i)))

# %%
back = " and ".join(name for name, y in pushes.items() if min(y) < 0)
title, axes = "One thumb up, or the chosen of a pair", ("s", "push −dL/ds")
views.Fig(
    views.Panels([views.Chart(title, *axes, layers)]),
    f"The push turns round, at log 2, only under {back} (β = 1, z₀ = δ = 0).",
    pd.DataFrame({"s": x} | pushes),
)

# %% [markdown]
# KTO's push is a bump: responses that are very good or very bad already are
# left alone. BCO pushes a misjudged response with full force. For both, a
# thumb has one sign, so a response ends where the *mixture* of its thumbs
# leaves it. NCA pulls both ways within one pair.
#
# ## By hand: one response, many readers
#
# A share q of the readers press up. The expected loss of BCO has the slope
# σ(s − δ) − q, which is 0 at s − δ = log(q/(1−q)). That of KTO is
# const − (λ_d q − λ_u(1−q))·σ(β(d − z₀)): linear in a sigmoid, with no
# minimum at any finite d. Follow the push.


# %%
def risk(module, d, q, point=0.0, mean=0.0):
    cfg, aside = module.Config(beta=1.0), (point, mean)
    up, down = (module.loss(thumb(d, t, *aside), cfg) for t in (True, False))
    return q * up + (1 - q) * down


q, rows = torch.tensor([0.1, 0.4, 0.6, 0.9]).double(), []
odds = (q / (1 - q)).log()
for module in (bco, kto):
    d = torch.zeros(4).double().requires_grad_()
    for step in range(1, 1001):
        d = (d + push(risk(module, d, q), d)).detach().requires_grad_()
        if step in (10, 100, 1000):
            rows.append((f"{module.card.key}, {step} steps", *d.tolist()))

# %%
rows.append(("log(q/(1 − q))", *odds.tolist()))
names = ["d after", *(f"q = {share:.1f}" for share in q)]
pd.DataFrame(rows, columns=names).round(3)

# %% [markdown]
# BCO lands on the log-odds. KTO goes on, like a logarithm of the steps, in
# the direction of the majority: 60 % are as good as 90 %, only slower.
#
# ## By hand: four responses that share one sum
#
# Probabilities add up to 1, so four log-ratios are not free. Let four
# reviews be drawn from π_ref and thumbed with bar = E_ref[r]. BCO wants
# s − δ = r − E_ref[r]. The law π* ∝ π_ref e^{r/β} has s = r − β log Z and
# δ = E_ref[s] = E_ref[r] − β log Z: **it grants every wish at once**, and
# BCO ends at DPO's optimum. (β = 1; the z₀ of KTO is here the exact KL.)


# %%
def crowd(module, logp, base, shown, liked):
    d = logp - base
    point, mean = (logp.exp() @ d).detach(), (shown @ d).detach()
    return shown @ risk(module, d, liked, point, mean)


def minimise(module, base, shown, liked):
    at = base.clone().requires_grad_()
    optimizer = torch.optim.Adam([at], lr=0.02)
    for _ in range(1500):
        optimizer.zero_grad()
        crowd(module, at.log_softmax(-1), base, shown, liked).backward()
        optimizer.step()
    return at.softmax(-1).detach()


# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
base, r = ref[0, four].log_softmax(-1), world.gold[0, four].double()
told = (base, base.exp(), (r - base.exp() @ r).sigmoid())
star = (base + r).softmax(-1)
ends = {"π_ref": told[1], "r": r, "p(up)": told[2], "π* (DPO)": star}
ends |= {each.card.key: minimise(each, *told) for each in (bco, kto)}
pd.DataFrame({k: v.tolist() for k, v in ends.items()}, index=texts).round(3)

# %% [markdown]
# BCO's column is π*. KTO's all but empties the responses below the bar.
#
# ## One labelling, three forms
#
# The same Bradley–Terry labels as pairs for DPO, as thumbs for BCO and KTO
# (up for the chosen, down for the rejected), and as lists of two with hard
# targets for NCA. Every step of every run reads 32 responses.

# %%
sets = []
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "pairs")
    sets.append(sample_pairs(world, ref, n_pairs, Annotator(), draw))
pairs = Pairs.cat(sets)
thumbs = Thumbs.cat([*map(Thumbs.of_pairs, sets)])
order = torch.arange(2 * len(pairs)).unflatten(0, (2, -1)).T.flatten()
score = torch.tensor([1.0, 0.0]).double().expand(len(pairs), 2)
twos = Lists(pairs.both[order], score, 0 * score, pairs.weight)

# %% [markdown]
# ## Train
#
# The world is small enough to look up the log-ratio d of every response, so
# each measure is over the whole data set. `point` is the mean d of all
# mismatched responses: what z₀ estimates from a batch, before its clamp.


# %%
def gaps(policy, tokens, base=ref):
    d = measure.law(policy, world) - base
    who = torch.arange(seeds).repeat_interleave(len(tokens) // seeds)
    return d[who, tokens.prompt, tokens.response].unflatten(0, (seeds, -1))


def watch(policy, beta=main, base=ref):
    sides = {"chosen": pairs.chosen, "rejected": pairs.rejected}
    sides["point"] = thumbs.mismatched
    d = {name: gaps(policy, side, base) for name, side in sides.items()}
    D = d["chosen"] - d["rejected"]
    d["dpo_loss"] = dpo.link(D, dpo.Config(beta=beta))
    return pd.DataFrame({k: v.mean(-1).tolist() for k, v in d.items()})


# %%
tracker = measure.Tracker(world, ref, gold=world.gold, beta=main)


def train(name, module, cfg, data, look=watch, base=reference):
    run = offline.fit(
        reference.copies(seeds), base, data, module, cfg, steps=steps,
        batch_size=32 if isinstance(data, Thumbs) else 16, seed=SEED,
        measures=(look, tracker), every=steps // 4,
    )  # fmt: skip
    return run.policy, run.metrics.assign(method=name)


def last(frame):
    return frame[frame.step == steps].set_index("seed")


# %%
strict = nca.Config(beta=main, alpha=1e-3)
runs = {"dpo": train("dpo", dpo, dpo.Config(beta=main), pairs)[1]}
runs["nca"] = train("nca", nca, strict, twos)[1]
runs["bco"] = train("bco", bco, bco.Config(beta=main), thumbs)[1]
runs["kto"] = train("kto", kto, kto.Config(beta=main), thumbs)[1]
final = {name: last(frame) for name, frame in runs.items()}
mean = {name: f.mean(numeric_only=True) for name, f in final.items()}

# %% [markdown]
# ## The signature views
#
# The log-ratio of what was called good and of what was called bad, and the
# loss of DPO. (BCO bounds it: on a pair −log σ(a) − log σ(b) ≥
# −log σ(a + b), and with a = s_c − δ, b = δ − s_r the right side is DPO's
# loss. So training a classifier that never sees a pair should lower it.)

# %%
panels = {"chosen": "mean d (nats)", "rejected": "mean d (nats)"}
panels |= {"dpo_loss": "loss of all pairs (nats)"}
drop = [name for name in mean if mean[name].chosen < 0]
views.training_curves(
    pd.concat(runs.values()), panels, by="method",
    caption=f"The chosen end below 0 under {', '.join(drop) or 'no method'} "
    f"(DPO at {mean['dpo'].chosen:+.2f}, NCA at {mean['nca'].chosen:+.2f}); "
    f"DPO's loss, {log(2):.3f} at first, ends at {mean['bco'].dpo_loss:.3f} "
    f"under BCO.",
)  # fmt: skip

# %% [markdown]
# What does KTO compare d with? Its z₀ stands for KL(π‖π_ref) and needs no
# sampling: it takes the response of one row under the prompt of the next.
# But these responses come from π_ref, not from π. On draws of π_ref the mean
# of log π/π_ref is −KL(π_ref‖π), *negative*, where prompts do not matter;
# then the clamp makes it 0.

# %%
z0, ids = final["kto"].point.clip(lower=0), ["seed", "step"]
views.training_curves(
    runs["kto"].melt(ids, ["kl", "point"], "what", "nats"),
    {"nats": "nats a sequence"}, by="what",
    caption=f"At the end of KTO the KL(π‖π_ref) is {mean['kto'].kl:.2f} nats, "
    f"the mismatched mean {mean['kto'].point:+.2f} and z₀ {z0.mean():.2f}.",
)  # fmt: skip

# %% [markdown]
# ## Does δ matter?
#
# While π is near π_ref, s is near 0 and so is δ. Now anchor the same run at
# another π_ref: the raw, untrained network. Every response that our policy
# writes, chosen or rejected, then has d well above 0, and without δ all look
# good already. (β = 1, so that the offset counts.)

# %%
raw = tiny.decoder(world.vocab, seed=SEED)
anchor, pair_of = raw.response_logps(world).detach().double(), {}
for name, centred in (("δ = batch mean", True), ("δ = 0", False)):
    cfg = bco.Config(beta=1.0, centred=centred)
    look = lambda policy: watch(policy, 1.0, anchor)
    pair_of[name] = train(name, bco, cfg, thumbs, look, raw)[1]
shift, plain = map(last, pair_of.values())

# %%
panels = {"dpo_loss": "loss of all pairs (nats)", "chosen": "mean d (nats)"}
views.training_curves(
    pd.concat(pair_of.values()), panels, by="method",
    caption=f"DPO's loss ends at {shift.dpo_loss.mean():.3f} with δ and at "
    f"{plain.dpo_loss.mean():.3f} without; the chosen end at "
    f"d = {shift.chosen.mean():+.2f} and {plain.chosen.mean():+.2f}.",
)  # fmt: skip

# %% [markdown]
# ## Break it: thumbs up are rare, and the weights swapped
#
# Delete 90 % of the thumbs up. KTO pushes a response up only where
# λ_d n_d q > λ_u n_u (1 − q), so unweighted it would ask q > 10/11. The
# authors ask for λ_d n_d/(λ_u n_u) between 1 and 4/3; λ_d = 10 restores 1.
# Mistake (5) gives the 10 to the thumbs down. It runs without complaint.

# %%
kept = torch.arange(n_pairs // 10), torch.arange(n_pairs, 2 * n_pairs)
few = [Thumbs.of_pairs(each)[torch.cat(kept)] for each in sets]
few, ten = Thumbs.cat(few), kto.Config(beta=main, desirable=10.0)
wrong = method(card=kto.card, loss=kto.mistakes["5 weights swapped"])
_, rare = train("kto, 10 % up", kto, ten, few)
_, broken = train("weights swapped", wrong, ten, few)
spare, off = last(rare), last(broken)

# %%
panels = {"chosen": "mean d (nats)", "gold": "gold (reward units)"}
views.training_curves(
    pd.concat([runs["dpo"], runs["kto"], rare, broken]), panels, by="method",
    caption=f"With the weights swapped the chosen end at "
    f"d = {off.chosen.mean():+.2f} nats and gold at {off.gold.mean():.2f}; "
    f"with the right ones gold is {spare.gold.mean():.2f}.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** What was called good falls with what was called bad. A
# thumb down weighs a hundred times what a thumb up does, so the mass leaves
# the data for responses that nobody was asked about.
#
# ## Distance to the exact optimum
#
# π*_β of gold, its frontier, and where these few steps from π_ref lead.

# %%
points = pd.concat([*final.values(), spare])
path = exact.frontier(ref, world.gold, world.gold, np.geomspace(20, 0.1, 41))
near = points.groupby("method", sort=False).mean(numeric_only=True)
gap = near.frontier_gap
views.frontier(
    points, path[path.kl < 1.3 * points.kl.max()],
    caption=f"The gap to the frontier is smallest for {gap.idxmin()} "
    f"({gap.min():.2f}) and largest for {gap.idxmax()} ({gap.max():.2f}).",
)  # fmt: skip

# %%
near[["gold", "kl", "frontier_gap", "kl_to_optimum"]].round(3)

# %% [markdown]
# ## Contradictions
#
# Five readers see one pair; three prefer a, two prefer b. DPO's optimum is
# π ∝ π_ref·(share)^{1/β}: with π_ref(a) = 0.1 and β = 1 it still says b.
# KTO's pushes have one sign, that of the majority (theorem 4.3 of the
# paper). First the exact case, then pairs with a 3 : 2 vote each, where the
# three are right by gold.

# %%
share, start = torch.tensor([[0.6, 0.4], [0.1, 0.9]]).double()
by_dpo = (start * share / (start @ share))[0].item()
even = torch.full_like(share, 0.5)
by_kto = minimise(kto, start.log(), even, share)[0].item()
print(f"π(a): π_ref 0.100, DPO {by_dpo:.3f}, KTO {by_kto:.3f}")

# %%
agree, split, judge = [], [], Annotator(deterministic=True)
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "votes")
    three = sample_pairs(world, ref, n_pairs // 10, judge, draw)
    two = Pairs(three.rejected, three.chosen, three.weight)
    agree.append(three)
    split.append(Pairs.cat([three] * 3 + [two] * 2))
right, noisy = Pairs.cat(agree), Thumbs.cat([*map(Thumbs.of_pairs, split)])
fair, voted = dpo.Config(beta=1.0), {"π_ref": reference.copies(seeds)}
voted["dpo"] = train("dpo", dpo, fair, Pairs.cat(split))[0]
voted["kto"] = train("kto", kto, kto.Config(beta=1.0), noisy)[0]

# %%
rows, majority, (a, b) = [], {}, (right.chosen, right.rejected)
old = ref[a.prompt, a.response] - ref[b.prompt, b.response]
for name, policy in voted.items():
    D = gaps(policy, a) - gaps(policy, b)
    ahead = D + old.unflatten(0, (seeds, -1)) > 0
    majority[name] = ahead.double().mean(-1)
    rows.append((name, D.mean().item(), majority[name].mean().item()))
names = ["policy", "mean D of the majority (nats)", "share with π(a) > π(b)"]
pd.DataFrame(rows, columns=names).round(3)

# %% [markdown]
# On each such pair alone DPO's optimum has D = log(3/2) = 0.41; KTO has
# none.
#
# ## Claims


# %%
def claim(key, paper, effect, expected, unit, statement, **how):
    where = f"{n_pairs} BT pairs a seed, {steps} steps, lr 1e-3, β = {main}"
    teach.claim(
        key=key, paper=paper, statement=statement, effect=effect, unit=unit,
        expected=expected, out=OUT or None, **{"setting": where} | how,
    )  # fmt: skip


chen, jung = "Chen et al. 2024 (2402.05369)", "Jung et al. 2024 (2404.04656)"
ethayarajh, endless = "Ethayarajh et al. 2024 (2402.01306)", float("inf")

# %%
# fmt: off
claim("dpo-falls", chen, final["dpo"].chosen, "negative", "nats",
      "DPO (InfoNCA on hard pairs) lets the likelihood of the chosen fall.")
claim("nca-holds", chen, final["nca"].chosen, (0.0, endless), "nats",
      "NCA on the same pairs, at the same β, does not let it fall.")
claim("bco-lowers-dpo", jung, log(2) - final["bco"].dpo_loss, "positive",
      "nats",
      "Training BCO on thumbs lowers the DPO loss of the pairs behind them.")
claim("bco-shift", jung, plain.dpo_loss - shift.dpo_loss, "positive", "nats",
      "Where chosen and rejected are both far from π_ref, the shift δ makes "
      "BCO lower DPO's loss further.", setting="anchor: raw network, β = 1")

# %%
# fmt: off
lead = spare.gold - final["dpo"].gold
claim("kto-few", ethayarajh, lead, (-0.1, endless), "reward units",
      "With 90 % of the thumbs up deleted and λ re-weighted, KTO's gold is "
      "at most 0.1 below that of DPO on all pairs, after as many steps.")
claim("kto-z0", ethayarajh, z0 / final["kto"].kl, (0.5, 2.0), "ratio",
      "KTO's reference point is within a factor of two of KL(π‖π_ref).")
lead = majority["kto"] - majority["dpo"]
claim("majority", ethayarajh, lead, "positive", "share of pairs",
      "Of pairs with a 3 : 2 vote, KTO makes the majority's response the "
      "likelier one more often than DPO does.", setting="3 : 2 votes, β = 1")

# %%
# fmt: off
exactly = {"kind": "exact", "setting": "by hand, β = 1"}
lead = [0.5 - by_dpo, by_kto - 0.5]
claim("contradiction", ethayarajh, lead, "positive", "probability",
      "Theorem 4.3: at 3 : 2 with π_ref(a) = 0.1 DPO's optimum prefers the "
      "minority's b and KTO's the majority's a.", **exactly)
grid = torch.linspace(-15, 15, 61).double().requires_grad_()
signs = [(2 * p - 1) * push(risk(kto, grid, p), grid) for p in q.tolist()]
claim("kto-never", ethayarajh, torch.cat(signs), "positive", "push",
      "KTO has no finite minimiser: its push has the sign of 2q − 1 at "
      "every d.", **exactly)

# %%
# fmt: off
zero = {"expected": "zero", "tolerance": 1e-9} | exactly
at = odds.clone().requires_grad_()
claim("bco-odds", jung, effect=push(risk(bco, at, q), at), unit="push", **zero,
      statement="BCO rests at s − δ = log(q/(1 − q)).")
at = star.log().requires_grad_()
claim("bco-star", "derived here", unit="push", **zero,
      effect=push(crowd(bco, at.log_softmax(-1), *told), at),
      statement="With the bar at E_ref[r], BCO rests at π*_β.")

# %%
# fmt: off
at = torch.full((5,), log(2)).double().requires_grad_()
bad = torch.linspace(-6, 6, 5).double()
claim("nca-log-2", chen, unit="push", **zero,
      effect=push(nca.loss(pair(at, bad), sure), at),
      statement="NCA rests at s = log 2 of the chosen, for any rejected.")
apart = infonca.loss(pair(at, bad), sure) - dpo.link(at - bad, fair)
claim("infonca-dpo", chen, effect=apart.detach(), unit="nats", **zero,
      statement="On lists of two with hard targets InfoNCA is DPO.")

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write KTO from
# `batch.logratio()`, `batch.reference_point`, `batch.up` and `cfg.beta`,
# `cfg.desirable`, `cfg.undesirable`. The check names the mistake it sees.


# %%
def my_kto(batch, cfg):
    raise NotImplementedError


teach.check.kto(my_kto)


# %% tags=["solution"]
def solution(batch, cfg):
    point = batch.reference_point.detach().clamp(min=0)
    value = (cfg.beta * (batch.logratio() - point)).sigmoid()
    good = cfg.desirable * (1 - value)
    return torch.where(batch.up, good, cfg.undesirable * value)


checked = teach.check.kto(solution)
checked

# %% [markdown]
# **2 · Another bar** (●●○, 10 minutes). Raise the bar of the four responses
# by 2. Does BCO still end at π*? Predict whether its KL from π_ref gets
# larger or smaller.

# %% tags=["solution"]
stern = (told[2].logit() - 2).sigmoid()
moved = minimise(bco, base, base.exp(), stern)
for name, law in (("bar at E_ref[r]", ends["bco"]), ("raised by 2", moved)):
    kl = law @ (law.log() - base)
    print(f"{name}: π = {[round(p, 3) for p in law.tolist()]}, KL = {kl:.3f}")

# %% [markdown]
# **3 · How rare may it be?** (●●○, 10 minutes). KTO with λ_d = λ_u = 1, and
# only a share ρ of the thumbs up is kept. Which share q of the readers must
# like a response before it is pushed up? Check ρ = 1/10 against the text.

# %% tags=["solution"]
for rho in (1.0, 0.5, 0.1):
    print(f"ρ = {rho}: ρ q > 1 − q, so q > {1 / (1 + rho):.3f}")

# %% [markdown]
# ## What must hold

# %%
assert torch.allclose(ends["bco"], star, atol=1e-3)
assert by_dpo < 0.5 < by_kto and checked.passed
everything = pd.concat([*runs.values(), rare, broken])
assert (everything.frontier_gap > -1e-6).all()
assert np.isfinite(everything[["kl", "chosen", "dpo_loss"]]).all(axis=None)
assert everything[everything.step == 0].chosen.abs().max() < 1e-4
assert (torch.cat(signs) > 0).all()

# %% [markdown]
# ## References and next
#
# * Chen et al. 2024, *Noise contrastive alignment of language models with
#   explicit rewards* (2402.05369).
# * Jung et al. 2024, *Binary classifier optimization for large language
#   model alignment* (2404.04656).
# * Ethayarajh et al. 2024, *KTO: model alignment as prospect theoretic
#   optimization* (2402.01306), theorem 4.3.
#
# Next: **23 · Other divergences**. All methods here measure drift by one
# divergence. There are others.
