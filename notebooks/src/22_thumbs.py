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

import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core.seeds import generator

# %%
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.lists import ListLogps, Lists
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.feedback.kinds.thumbs import ThumbLogps, Thumbs, sample_thumbs
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import infonca, nca
from workbench.methods.direct.unpaired import bco, kto
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 120, "figure": 1000}[PROFILE]
n_pairs = {"ci": 40, "lecture": 1000, "figure": 20000}[PROFILE]
main, sure = 0.1, nca.Config(beta=1.0, alpha=1e-3)  # β; NCA on hard targets

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
seen = sample_thumbs(world, ref, 3, Annotator(), generator(SEED, "look"))
x, y = seen.tokens.prompt, seen.tokens.response
told = zip(x.tolist(), y.tolist(), strict=True)
rows = {"review": [f"{world.prompts[i]}: {world.text(j)}" for i, j in told]}
p = Annotator().thumb_probability(world.gold[x, y]).tolist()
pd.DataFrame(rows | {"thumb up": seen.up.tolist(), "p(up)": p})

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
# ## By hand: one response, many readers
#
# A share q of the readers press up. At β = 1 the expected loss of BCO has
# the slope σ(d − δ) − q, which is 0 at d − δ = log(q/(1−q)). That of KTO is
# const − (λ_d q − λ_u(1−q))·σ(d − z₀): linear in a sigmoid, with no minimum
# at any finite d. NCA sees no thumbs; of a pair with hard targets its
# chosen d costs −log σ(d) − ½ log σ(−d), with the minimum at log 2. The
# batches below hold one-token responses with a given d.


# %%
def thumb(d, up, point=0.0, mean=0.0):
    flat, full = torch.zeros_like(d).detach(), torch.ones(len(d), 1).bool()
    aside = (torch.full(d.shape, up), flat + point, flat + mean)
    return ThumbLogps(d[:, None], flat[:, None], full, *aside)


def pair(chosen, rejected):
    d = torch.stack([chosen, rejected], -1)[..., None]
    score = torch.tensor([1.0, 0.0]).double().expand(len(d), 2)
    return ListLogps(d, 0 * d.detach(), d.isfinite(), score, 0 * score)


# %%
def risk(module, d, q, point=0.0, mean=0.0):
    cfg, aside = module.Config(beta=1.0), (point, mean)
    up, down = (module.loss(thumb(d, t, *aside), cfg) for t in (True, False))
    return q * up + (1 - q) * down


def push(values, at):
    return -torch.autograd.grad(values.sum(), at)[0]


# %%
d = torch.linspace(-8, 8, 161).double().requires_grad_()
losses = {"nca": nca.loss(pair(d, 0 * d.detach()), sure)}
losses |= {each.card.key: risk(each, d, 0.6) for each in (bco, kto)}
pushes = {name: push(loss, d).tolist() for name, loss in losses.items()}
layers = [views.HLine(0.0), views.VLine(log(1.5), "log(0.6/0.4)")]
for i, (name, y) in enumerate(pushes.items(), start=1):
    layers.append(views.Line(d.tolist(), y, name, views.series(i)))
never = " and ".join(name for name, y in pushes.items() if min(y) > 0)
said = f"Only the push of {never} is above 0 at every d."
chart = views.Chart("60 % like it", "d (nats)", "push −dL/dd", layers)
views.Fig(views.Panels([chart]), said, pd.DataFrame(pushes))

# %% [markdown]
# A share of 60 % is as good to KTO as one of 90 %, only slower. And its push
# is a bump: what is far from z₀ is left alone, wherever it belongs.
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


def descend(module, base, shown, liked):
    at = base.clone().requires_grad_()
    for _ in range(1000):
        pull = push(crowd(module, at.log_softmax(-1), base, shown, liked), at)
        at = (at + 20 * pull).detach().requires_grad_()
    return at.softmax(-1).detach()


# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
base, r = ref[0, four].log_softmax(-1), world.gold[0, four].double()
told = (base, base.exp(), (r - base.exp() @ r).sigmoid())
star = (base + r).softmax(-1)
ends = {"π_ref": told[1], "r": r, "p(up)": told[2], "π* (DPO)": star}
ends |= {each.card.key: descend(each, *told) for each in (bco, kto)}
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
def sampled(name, n, annotator):
    seed, of = range(SEED, SEED + seeds), (world, ref, n, annotator)
    return [sample_pairs(*of, generator(each, name)) for each in seed]


sets = sampled("pairs", n_pairs, Annotator())
pairs, thumbs = Pairs.cat(sets), Thumbs.cat([*map(Thumbs.of_pairs, sets)])
hot = torch.tensor([1.0, 0.0]).double().expand(len(pairs), 2)
twos = Lists(pairs.both_member_major(len(pairs)), hot, 0 * hot, pairs.weight)

# %% [markdown]
# ## Train
#
# The world is small enough to look up the log-ratio d of every response, so
# each measure is over the whole data set. `point` is the mean d of all
# mismatched responses: what z₀ estimates from a batch, before its clamp.


# %%
def gaps(policy, tokens, base=ref):
    d = measure.response_logps(policy, world) - base
    who = torch.arange(seeds).repeat_interleave(len(tokens) // seeds)
    return d[who, tokens.prompt, tokens.response].unflatten(0, (seeds, -1))


def watch(policy, beta=main, base=ref):
    sides = {"chosen": pairs.chosen, "rejected": pairs.rejected}
    sides["point"] = thumbs.mismatched
    d = {name: gaps(policy, side, base) for name, side in sides.items()}
    d["dpo_loss"] = dpo.link(d["chosen"] - d["rejected"], dpo.Config(beta))
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
runs = {"dpo": train("dpo", dpo, dpo.Config(beta=main), pairs)[1]}
runs["nca"] = train("nca", nca, nca.Config(main, alpha=1e-3), twos)[1]
runs["bco"] = train("bco", bco, bco.Config(beta=main), thumbs)[1]
runs["kto"] = train("kto", kto, kto.Config(beta=main), thumbs)[1]
final = {name: last(frame) for name, frame in runs.items()}

# %% [markdown]
# ## The signature views
#
# The log-ratio of what was called good and of what was called bad, and the
# loss of DPO. (BCO bounds it: on a pair −log σ(a) − log σ(b) ≥
# −log σ(a + b), and with a = s_c − δ, b = δ − s_r the right side is DPO's
# loss. So training a classifier that never sees a pair should lower it.)

# %%
views.training_curves(
    pd.concat(runs.values()), by="method",
    columns=dict.fromkeys(("chosen", "rejected", "dpo_loss"), "mean (nats)"),
    caption=f"The chosen end at a mean d of "
    f"{', '.join(f'{f.chosen.mean():+.2f} ({k})' for k, f in final.items())} "
    f"nats; under BCO the loss of DPO goes from {log(2):.3f} to "
    f"{final['bco'].dpo_loss.mean():.3f}.",
)  # fmt: skip

# %% [markdown]
# NCA knows where s = 0 is. Whether that holds its chosen up depends on β:
# exercise 3 computes when all its wishes can be granted at once.
#
# What does KTO compare d with? Its z₀ stands for KL(π‖π_ref) and needs no
# sampling: it takes the response of one row under the prompt of the next.
# But these responses come from π_ref, not from π. On draws of π_ref the mean
# of log π/π_ref is −KL(π_ref‖π), *negative*, where prompts do not matter;
# then the clamp makes it 0, and with z₀ = 0 KTO is APO-zero.

# %%
views.training_curves(
    runs["kto"].melt(["seed", "step"], ["kl", "point"], "what", "nats"),
    {"nats": "nats a sequence"}, by="what",
    caption=f"At the end of KTO, KL(π‖π_ref) is "
    f"{final['kto'].kl.mean():.2f} nats and the mismatched mean "
    f"{final['kto'].point.mean():+.2f}, before the clamp at 0.",
)  # fmt: skip

# %% [markdown]
# ## Does δ matter?
#
# While π is near π_ref, s is near 0 and so is δ. Now anchor the same run at
# another π_ref: the raw, untrained network. Chosen and rejected responses
# then both start with a mean d above 0, and δ = 0 compares them with the
# wrong point. (β = 1, so that the offset counts.)

# %%
raw = tiny.decoder(world.vocab, seed=SEED)
anchor = raw.response_logps(world).detach().double()
far = (thumbs, lambda policy: watch(policy, 1.0, anchor), raw)
_, on = train("δ = batch mean", bco, bco.Config(1.0), *far)
_, away = train("δ = 0", bco, bco.Config(1.0, centred=False), *far)
shift, plain = last(on), last(away)

# %%
views.training_curves(
    pd.concat([on, away]), by="method",
    columns=dict.fromkeys(("dpo_loss", "chosen"), "mean (nats)"),
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
few = Thumbs.cat([Thumbs.of_pairs(p)[torch.cat(kept)] for p in sets])
wrong = method(card=kto.card, loss=kto.mistakes["5 weights swapped"])
_, rare = train("kto, 10 % up", kto, kto.Config(main, 10.0), few)
_, broken = train("weights swapped", wrong, kto.Config(main, 10.0), few)
spare, off = last(rare), last(broken)

# %%
panels = {"chosen": "mean d (nats)", "gold": "gold (reward units)"}
views.training_curves(
    pd.concat([runs["dpo"], broken, rare, runs["kto"]]), panels, by="method",
    caption=f"With the weights swapped the chosen end at "
    f"d = {off.chosen.mean():+.2f} nats and gold at {off.gold.mean():.2f}; "
    f"with the right ones gold is {spare.gold.mean():.2f}.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** What was called good falls with what was called bad: 100
# λ-weighted thumbs down stand against each thumb up, so q > 100/101 would
# be needed for a push upwards.
#
# ## Distance to the exact optimum
#
# π*_β of gold, its frontier, and where these few steps from π_ref lead.

# %%
points = pd.concat([*final.values(), spare])
betas = torch.logspace(1.3, -1, 41)
path = solutions.frontier(ref, world.gold, world.gold, betas)
near = points.groupby("method", sort=False).mean(numeric_only=True)
display(near[["gold", "kl", "frontier_gap", "kl_to_optimum"]].round(3))
views.frontier(
    points, path[path.kl < 1.3 * points.kl.max()],
    caption=f"Nearest to the frontier is {near.frontier_gap.idxmin()} "
    f"({near.frontier_gap.min():.2f} below), furthest from it "
    f"{near.frontier_gap.idxmax()} ({near.frontier_gap.max():.2f}).",
)  # fmt: skip

# %% [markdown]
# ## Contradictions
#
# Five readers see one pair; three prefer a, two prefer b. DPO's optimum is
# π ∝ π_ref·(share)^{1/β}: where π_ref is against a by more than that, it
# still says b. KTO's pushes have one sign, that of the majority, so its
# optimum says a whatever π_ref was (theorem 4.3 of the paper; exercise 2).
# We train on pairs with a 3 : 2 vote each, the three being right by gold.

# %%
votes, n_votes, majority = [], n_pairs // 10, {}
for three in sampled("votes", n_votes, Annotator(deterministic=True)):
    two = Pairs(three.rejected, three.chosen, three.weight)
    votes.append(Pairs.cat([three] * 3 + [two] * 2))
split, noisy = Pairs.cat(votes), Thumbs.cat([*map(Thumbs.of_pairs, votes)])
for key, module, data in (("dpo", dpo, split), ("kto", kto, noisy)):
    policy, _ = train(key, module, module.Config(beta=1.0), data)
    lead = gaps(policy, split.chosen, 0.0) - gaps(policy, split.rejected, 0.0)
    majority[key] = (lead[:, :n_votes] > 0).double().mean(-1)
pd.DataFrame({f"share, {k}": v.tolist() for k, v in majority.items()})

# %% [markdown]
# A row is a seed: the share of pairs in which π(a) > π(b).
#
# ## Claims


# %%
where = f"{n_pairs} BT pairs a seed, {steps} steps, lr 1e-3, β = {main}"


def claim(key, paper, effect, expected, unit, statement, setting=where, **how):
    teach.claim(
        key=key, paper=paper, statement=statement, effect=effect, unit=unit,
        expected=expected, out=OUT or None, setting=setting, **how,
    )  # fmt: skip


chen, jung = "Chen et al. 2024 (2402.05369)", "Jung et al. 2024 (2404.04656)"
ethayarajh, endless = "Ethayarajh et al. 2024 (2402.01306)", float("inf")

# %%
# fmt: off
claim("dpo-falls", chen, final["dpo"].chosen, "negative", "nats",
      "DPO (InfoNCA on hard pairs) lets the likelihood of the chosen fall.")
claim("nca-holds", chen, final["nca"].chosen, (0.0, endless), "nats",
      "NCA on the same pairs, at the same β, does not let it fall.")
gain, less = log(2) - final["bco"].dpo_loss, plain.dpo_loss - shift.dpo_loss
claim("bco-lowers-dpo", jung, gain, "positive", "nats",
      "Training BCO on thumbs lowers the DPO loss of the pairs behind them.")
claim("bco-shift", jung, less, "positive", "nats",
      "Where chosen and rejected are both far from π_ref, the shift δ makes "
      "BCO lower DPO's loss further.",
      "reviews, anchored at a raw network, β = 1")

# %%
lead = spare.gold - final["dpo"].gold
claim("kto-few", ethayarajh, lead, (-0.1, endless), "reward units",
      "With 90 % of the thumbs up deleted and λ re-weighted, KTO's gold is "
      "at most 0.1 below that of DPO on all pairs, after as many steps.")
ratio = final["kto"].point.clip(lower=0) / final["kto"].kl
claim("kto-z0", ethayarajh, ratio, (0.5, 2.0), "ratio",
      "KTO's reference point is within a factor of two of KL(π‖π_ref).")
lead = majority["kto"] - majority["dpo"]
claim("majority", ethayarajh, lead, "positive", "share of pairs",
      "Of pairs with a 3 : 2 vote, KTO makes the majority's response the "
      "likelier one more often than DPO does.",
      "reviews, 3 : 2 votes for the better response, β = 1")

# %%
exactly = {"kind": "exact", "setting": "by hand, β = 1"}
shares = torch.tensor([0.1, 0.4, 0.6, 0.9]).double()
signs = torch.cat([(2 * q - 1) * push(risk(kto, d, q), d) for q in shares])
claim("kto-never", ethayarajh, signs, "positive", "push",
      "KTO has no finite minimiser: its push has the sign of 2q − 1 at "
      "every d.", **exactly)
zero = exactly | {"expected": "zero", "tolerance": 1e-9, "unit": "push"}

# %%
at = shares.logit().requires_grad_()
claim("bco-odds", jung, push(risk(bco, at, shares), at), **zero,
      statement="BCO rests at s − δ = log(q/(1 − q)).")
at = star.log().requires_grad_()
rest = crowd(bco, at.log_softmax(-1), *told)
claim("bco-star", "derived here", push(rest, at), **zero,
      statement="With the bar at E_ref[r], BCO rests at π*_β.")

# %%
at = torch.full((5,), log(2), dtype=torch.float64).requires_grad_()
bad = torch.linspace(-6, 6, 5).double()
claim("nca-log-2", chen, push(nca.loss(pair(at, bad), sure), at), **zero,
      statement="NCA rests at s = log 2 of the chosen, for any rejected.")
apart = infonca.loss(pair(at, bad), sure) - dpo.link(at - bad, dpo.Config(1.0))
claim("infonca-dpo", chen, apart.detach(), **zero | {"unit": "nats"},
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
# **2 · Theorem 4.3** (●●○, 10 minutes). Two responses with π_ref(a) = 0.1
# and π_ref(b) = 0.9; a wins 60 % of the votes; β = 1. Compute π(a) at DPO's
# optimum by hand, then let `descend` show where KTO goes.

# %% tags=["solution"]
share, start = torch.tensor([[0.6, 0.4], [0.1, 0.9]]).double()
by_dpo = (start * share / (start @ share))[0].item()
by_kto = descend(kto, start.log(), 0 * share + 0.5, share)[0].item()
print(f"π(a): π_ref 0.100, DPO {by_dpo:.3f}, KTO {by_kto:.3f} and rising")

# %% [markdown]
# **3 · When can NCA keep its promise?** (●●●, 15 minutes). On hard pairs of
# independent draws each response by itself wants e^s = 2 p(win), so
# π = π_ref·(2 p(win))^{1/β}. Sum that over all responses at β = 1 and at the
# β of the runs. Where it is a law, show that the mean d of the chosen is a
# KL, hence not negative. What has to give where it is not?

# %% tags=["solution"]
each = zip(world.gold.double(), ref.exp(), strict=True)
wins = torch.stack([(g[:, None] - g).sigmoid() @ law for g, law in each])
for beta in (1.0, main):
    total = (ref + (2 * wins).log() / beta).exp().sum(-1)
    print(f"β = {beta}: sums {[round(z, 3) for z in total.tolist()]}")
chosen = ref.exp() * 2 * wins  # the law of the chosen, and of NCA at β = 1
print("mean d, β = 1:", (chosen * (2 * wins).log()).sum(-1).mean().item())

# %% [markdown]
# ## What must hold

# %%
assert torch.allclose(ends["bco"], star, atol=1e-3) and (signs > 0).all()
assert (pd.concat([points, off]).frontier_gap > -1e-6).all()
assert (runs["dpo"].chosen[:seeds].abs() < 1e-4).all() and checked.passed

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
