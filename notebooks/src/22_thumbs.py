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
from copy import deepcopy
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
from workbench.feedback.supply import sample_supply
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
main, hard = 0.1, 1e-3  # β of all methods; α that makes targets hard

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
# readers. Where does training leave its d: at a small positive number, at
# +∞, or wherever the other responses leave it?

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
    chance = Annotator().thumb_probability(world.gold[x, y]).item()
    told = "up" if seen.up[i] else "down"
    rows.append((world.prompts[x], world.text(y), told, chance))
pd.DataFrame(rows, columns=["prompt", "response", "thumb", "p(up)"])

# %% [markdown]
# ## The objectives, in the symbols of the code
#
# All three judge each response by itself. With s = βd:
#
# * **BCO** is a classifier: −log σ(s − δ) for a thumb up, −log σ(δ − s) for
#   one down. `reference_mean` is the batch mean of d, δ is β times that.
# * **KTO** takes the sigmoid itself, 1 − σ(±β(d − z₀)), and z₀ =
#   `reference_point.clamp(min=0)` is the mean d of *mismatched* prompts and
#   responses, an estimate of KL(π‖π_ref). z₀ and δ are constants.
# * **NCA** reads a list, Σ_k p_k·(−log σ(s_k)) + (1/K) Σ_k (−log σ(−s_k)),
#   p = softmax(r/α): draws of the target are told from draws of π_ref, and
#   s = 0 is "as likely as in π_ref". There is nothing to subtract.
#
# InfoNCA, −Σ_k p_k log softmax_k(s), is the contrast: the same list, and
# only differences of s count. On a pair with α → 0 it is DPO.

# %%
display(teach.show(bco.loss), teach.show(kto.loss), teach.show(nca.loss))

# %% [markdown]
# ## What each asks of one response
#
# The push −dL/ds at β = 1 (s = d), with z₀ = δ = 0. For NCA, the chosen and
# the rejected response of a pair with hard targets.


# %%
def thumb(d, up, point=0.0, mean=0.0):
    flat, full = torch.zeros_like(d).detach(), torch.ones(len(d), 1).bool()
    which = torch.as_tensor(up).expand(len(d))
    aside = (flat + point, flat + mean)
    return ThumbLogps(d[:, None], flat[:, None], full, which, *aside)


def pair(chosen, rejected):
    d = torch.stack(torch.broadcast_tensors(chosen, rejected), -1)[..., None]
    score = torch.tensor([1.0, 0.0]).double().expand(len(d), 2)
    flat, full = torch.zeros_like(d).detach(), torch.ones_like(d).bool()
    return ListLogps(d, flat, full, score, flat[..., 0])


# %%
def push(values, at):
    return -torch.autograd.grad(values.sum(), at)[0]


one, none = (
    (bco.Config(beta=1.0), kto.Config(beta=1.0)),
    torch.zeros(1).double(),
)
sure, s = nca.Config(beta=1.0, alpha=hard), torch.linspace(-6, 6, 121).double()
s.requires_grad_()
up, down = {}, {}
up["nca"] = push(nca.loss(pair(s, none), sure), s)
down["nca"] = push(nca.loss(pair(none, s), sure), s)
for module, cfg in zip((bco, kto), one, strict=True):
    up[module.card.key] = push(module.loss(thumb(s, True), cfg), s)
    down[module.card.key] = push(module.loss(thumb(s, False), cfg), s)

# %%
charts, x = [], s.tolist()
for title, pushes in (
    ("Thumb up, chosen", up),
    ("Thumb down, rejected", down),
):
    layers = [views.HLine(0.0), views.VLine(log(2), "log 2")]
    for i, (name, y) in enumerate(pushes.items(), start=1):
        layers.append(views.Line(x, y.tolist(), name, views.series(i)))
    charts.append(
        views.Chart(title, "s (reward units)", "push −dL/ds", layers)
    )
turns = [name for name, y in up.items() if (y < 0).any()]
said = (
    f"Of a thumb up, only {' and '.join(turns)} ever takes back: beyond log 2."
)
views.Fig(views.Panels(charts), said, pd.DataFrame({"s": x}))

# %% [markdown]
# KTO's push is a bump: responses that are very good or very bad already are
# left alone. BCO pushes a misjudged response with full force. Both have
# one sign for a thumb, so where a response ends is decided by the *mixture*
# of its thumbs. NCA has both signs within one pair.
#
# ## By hand: one response, many readers
#
# A share q of the readers press up. The expected loss of BCO has the slope
# σ(s − δ) − q, which is 0 at s − δ = log(q/(1−q)). That of KTO is
# const − (λ_d q − λ_u(1−q))·σ(β(d − z₀)): linear in a sigmoid, with no
# minimum at any finite d. Follow the push.

# %%
q, marks, rows = (
    torch.tensor([0.1, 0.4, 0.6, 0.9]).double(),
    (10, 100, 1000),
    [],
)
for module, cfg in zip((bco, kto), one, strict=True):
    d = torch.zeros(4).double().requires_grad_()
    for step in range(1, marks[-1] + 1):
        liked = q * module.loss(thumb(d, True), cfg)
        risk = liked + (1 - q) * module.loss(thumb(d, False), cfg)
        d = (d + push(risk, d)).detach().requires_grad_()
        if step in marks:
            rows.append((module.card.key, step, *d.tolist()))
odds = (q / (1 - q)).log()
rows.append(("log(q/(1−q))", 0, *odds.tolist()))
pd.DataFrame(rows, columns=["loss", "steps", *map(str, q.tolist())]).round(3)

# %% [markdown]
# BCO lands on the log-odds. KTO goes on, like a logarithm of the steps, in
# the direction of the majority: 60 % are as good as 90 %, only slower.
#
# ## By hand: four responses that share one sum
#
# Probabilities add up to 1, so four log-ratios are not free. Let four
# reviews be drawn from π_ref and thumbed with bar = E_ref[r]. BCO then wants
# s − δ = r − E_ref[r]. The law π* ∝ π_ref e^{r/β} has s = r − β log Z and
# δ = E_ref[s] = E_ref[r] − β log Z: **it grants every wish at once**, and
# BCO ends at DPO's optimum. (z₀ of KTO is here the exact KL.)

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
base, r = ref[0, four].log_softmax(-1), world.gold[0, four].double()
mean_r = base.exp() @ r
star = (base + r).softmax(-1)  # β = 1


def thumbs_risk(logp, module, cfg, base, shown, liked):
    d = logp - base
    aside = ((logp.exp() @ d).detach(), (shown @ d).detach())
    good = module.loss(thumb(d, True, *aside), cfg)
    return shown @ (liked * good) + shown @ (
        (1 - liked) * module.loss(thumb(d, False, *aside), cfg)
    )


# %%
def pairs_risk(logp, base, r):
    i, j = torch.cartesian_prod(torch.arange(4), torch.arange(4)).T
    chance = 2 * base.exp()[i] * base.exp()[j] * (r[i] - r[j]).sigmoid()
    d = logp - base
    return chance @ nca.loss(pair(d[i], d[j]), sure)


def minimise(risk, base, turns=1500):
    at = base.clone().requires_grad_()
    optimizer = torch.optim.Adam([at], lr=0.02)
    for _ in range(turns):
        optimizer.zero_grad()
        risk(at.log_softmax(-1)).backward()
        optimizer.step()
    return at.softmax(-1).detach()


# %%
told = (base, base.exp(), (r - mean_r).sigmoid())
ends = {"π_ref": base.exp(), "r": r, "p(up)": told[2], "π* (DPO)": star}
for module, cfg in zip((bco, kto), one, strict=True):
    ends[module.card.key] = minimise(
        lambda logp, m=module, c=cfg: thumbs_risk(logp, m, c, *told), base
    )
ends["nca, pairs"] = minimise(lambda logp: pairs_risk(logp, base, r), base)
wins = (r[:, None] - r).sigmoid() @ base.exp()
ends["2 π_ref p(win)"] = 2 * base.exp() * wins
pd.DataFrame({k: v.tolist() for k, v in ends.items()}, index=texts).round(3)

# %% [markdown]
# BCO's column is π*. KTO's has all but emptied the two responses below the
# bar and would go on. NCA on hard pairs at β = 1 lets no response more than
# double: its optimum is 2 π_ref(y) p(y wins), a law by itself.
#
# ## One labelling, three forms
#
# An annotator feels one noisy utility for each response. Of the same
# utilities we make pairs, thumbs (up for the chosen, down for the rejected)
# and lists of four. Every step of every run reads 32 responses.

# %%
supplies = []
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "supply")
    felt = sample_supply(world, reference, n_pairs, Annotator(), draw)
    supplies.append(felt)
sets = [felt.pairs for felt in supplies]
pairs = Pairs.cat(sets)
thumbs = Thumbs.cat([Thumbs.of_pairs(each) for each in sets])
fours = Lists.cat([felt.data(ListLogps) for felt in supplies])

# %%
order = torch.arange(2 * len(pairs)).unflatten(0, (2, -1)).T.flatten()
score = torch.tensor([1.0, 0.0]).double().expand(len(pairs), 2)
twos = Lists(pairs.both[order], score, 0 * score, pairs.weight)
best = fours.scores.argmax(-1) + 4 * torch.arange(len(fours))
rest = torch.ones(len(fours.tokens)).bool()
rest[best] = False
in_fours = (fours.tokens[best], fours.tokens[rest.nonzero()[:, 0]])
in_pairs = (pairs.chosen, pairs.rejected)

# %% [markdown]
# ## Train
#
# The world is small enough to look up the log-ratio d of every response, so
# each measure below is over a whole data set. `point` is the mean d of all
# mismatched responses: what z₀ estimates from a batch, before its clamp.


# %%
def gaps(policy, tokens):
    d = measure.law(policy, world) - ref
    who = torch.arange(seeds).repeat_interleave(len(tokens) // seeds)
    d = d[who, tokens.prompt, tokens.response]
    return d.unflatten(0, (seeds, -1))


def watch(chosen, rejected, beta=main):
    sides = {"chosen": chosen, "rejected": rejected}
    sides["point"] = thumbs.mismatched

    def look(policy):
        d = {name: gaps(policy, side) for name, side in sides.items()}
        means = {name: values.mean(-1).tolist() for name, values in d.items()}
        if len(chosen) == len(rejected):
            losses = dpo.link(d["chosen"] - d["rejected"], dpo.Config(beta))
            means["dpo_loss"] = losses.mean(-1).tolist()
        return pd.DataFrame(means)

    return look


# %%
tracker = measure.Tracker(world, ref, gold=world.gold, beta=main)


def train(name, module, cfg, data, size, look, start=None):
    policy = deepcopy(start) if start else reference.copies(seeds)
    run = offline.fit(
        policy, reference, data, module, cfg, steps=steps, seed=SEED,
        batch_size=size, measures=(look, tracker), every=steps // 4,
    )  # fmt: skip
    return run.policy, run.metrics.assign(method=name)


# %%
look, strict = watch(*in_pairs), nca.Config(beta=main, alpha=hard)
soft, look_four = bco.Config(beta=main), watch(*in_fours)
table = [("dpo", dpo, dpo.Config(beta=main), pairs, 16, look)]
table += [("nca", nca, strict, twos, 16, look)]
table += [("bco", bco, soft, thumbs, 32, look)]
table += [("kto", kto, kto.Config(beta=main), thumbs, 32, look)]
table += [("infonca, fours", infonca, strict, fours, 8, look_four)]
table += [("nca, fours", nca, strict, fours, 8, look_four)]
runs = {row[0]: train(*row) for row in table}
curves = pd.concat([frame for _, frame in runs.values()])


# %%
def last(frame):
    return frame[frame.step == steps].set_index("seed")


final = {name: last(frame) for name, (_, frame) in runs.items()}
mean = {name: f.mean(numeric_only=True) for name, f in final.items()}

# %% [markdown]
# ## The signature views
#
# The log-ratio of what was called good and of what was called bad (in lists
# of four: of the favourite, and of the other three).

# %%
drop = [name for name in mean if mean[name].chosen < 0]
views.training_curves(
    curves,
    {"chosen": "mean d, chosen (nats)", "rejected": "mean d, rejected (nats)"},
    by="method",
    caption=f"The chosen end below 0 under {', '.join(drop) or 'no method'} "
    f"(DPO: {mean['dpo'].chosen:+.2f}, NCA: {mean['nca'].chosen:+.2f}).",
)

# %% [markdown]
# What does KTO compare d with? Its z₀ stands for KL(π‖π_ref) and needs no
# sampling: it takes the response of one row under the prompt of the next.
# But these responses come from π_ref, not from π. On draws of π_ref the mean
# of log π/π_ref is −KL(π_ref‖π), *negative*, where prompts do not matter;
# then the clamp makes it 0.

# %%
ours = runs["kto"][1]
names = {"kl": "exact KL(π‖π_ref)", "point": "mean d, mismatched"}
parts = [ours.assign(what=names[k], nats=ours[k]) for k in names]
z0 = ours.point.clip(lower=0)
parts.append(ours.assign(what="mean d, mismatched and clamped", nats=z0))
point = final["kto"].point.clip(lower=0)
views.training_curves(
    pd.concat(parts), {"nats": "nats"}, by="what",
    caption=f"At the end of KTO, KL(π‖π_ref) is {mean['kto'].kl:.2f} nats "
    f"and the clamped mismatched mean {point.mean():.2f}.",
)  # fmt: skip

# %% [markdown]
# BCO is a bound: on a pair, −log σ(a) − log σ(b) ≥ −log σ(a + b), and with
# a = s_c − δ, b = δ − s_r the right side is DPO's loss. So training the
# classifier, which never sees a pair, should lower the loss of DPO.

# %%
views.training_curves(
    curves[curves.dpo_loss.notna()],
    {"dpo_loss": "DPO loss of all pairs (nats)"}, by="method",
    caption=f"From log 2 = {log(2):.3f}, BCO takes DPO's loss to "
    f"{mean['bco'].dpo_loss:.3f}, DPO itself to {mean['dpo'].dpo_loss:.3f}.",
)  # fmt: skip

# %% [markdown]
# ## Does δ matter?
#
# While π is near π_ref, s is near 0 and so is δ. Take a second round: the
# policy that DPO trained writes new pairs, and π_ref stays. Now chosen *and*
# rejected have d above 0. Without δ both look good already. β is 1 here, so
# that the offset counts.

# %%
pupil, rounds = runs["dpo"][0], []
for m, law in enumerate(measure.law(pupil, world), start=SEED):
    draw = generator(m, "second")
    rounds.append(sample_pairs(world, law, n_pairs, Annotator(), draw))
later, again = Pairs.cat(rounds), Thumbs.cat([*map(Thumbs.of_pairs, rounds)])
far, both = watch(later.chosen, later.rejected, beta=1.0), []
for name, centred in (("δ = batch mean", True), ("δ = 0", False)):
    cfg = bco.Config(beta=1.0, centred=centred)
    both.append(train(name, bco, cfg, again, 32, far, pupil)[1])
with_shift, no_shift = map(last, both)

# %%
panels = {"dpo_loss": "DPO loss, new pairs (nats)"}
panels |= {"chosen": "mean d, chosen (nats)"}
views.training_curves(
    pd.concat(both), panels, by="method",
    caption=f"DPO's loss ends at {with_shift.dpo_loss.mean():.3f} with δ and "
    f"at {no_shift.dpo_loss.mean():.3f} without; the chosen end at "
    f"d = {with_shift.chosen.mean():+.2f} and {no_shift.chosen.mean():+.2f}.",
)  # fmt: skip

# %% [markdown]
# ## Break it: thumbs up are rare, and the weights swapped
#
# Delete 90 % of the thumbs up. KTO pushes a response up only where
# λ_d n_d q > λ_u n_u (1 − q), so unweighted it would ask q > 10/11. The
# authors ask for λ_d n_d/(λ_u n_u) between 1 and 4/3; λ_d = 10 restores 1.
# Mistake (5) gives the 10 to the thumbs down. It runs without complaint.

# %%
few = []
for each in map(Thumbs.of_pairs, sets):
    kept = torch.arange(n_pairs // 10), torch.arange(n_pairs, 2 * n_pairs)
    few.append(each[torch.cat(kept)])
few, ten = Thumbs.cat(few), kto.Config(beta=main, desirable=10.0)
wrong = method(card=kto.card, loss=kto.mistakes["5 weights swapped"])
_, rare = train("10 % of thumbs up", kto, ten, few, 32, look)
_, broken = train("weights swapped", wrong, ten, few, 32, look)
spare, off = last(rare), last(broken)

# %%
every = ours.assign(method="all thumbs")
panels = {"chosen": "mean d, chosen (nats)", "gold": "gold (reward units)"}
views.training_curves(
    pd.concat([every, rare, broken]), panels, by="method",
    caption=f"With the weights swapped the chosen end at "
    f"d = {off.chosen.mean():+.2f} nats and gold at {off.gold.mean():.2f}; "
    f"with the right ones gold is {spare.gold.mean():.2f}.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** What was called good falls with what was called bad: a
# response would need ten thumbs up for every thumb down, ten times over, to
# be worth a push, so the mass leaves the data for responses that nobody was
# asked about.
#
# ## Distance to the exact optimum
#
# π*_β of gold, its frontier, and where these few steps from π_ref lead.

# %%
rows = [*final.items(), ("kto, 10 % up", spare)]
points = pd.concat([f.assign(method=name) for name, f in rows])
path = exact.frontier(ref, world.gold, world.gold, np.geomspace(20, 0.1, 41))
near = points.groupby("method", sort=False).mean(numeric_only=True)
gap = near.frontier_gap
views.frontier(
    points, path[path.kl < 1.3 * points.kl.max()],
    caption=f"The gap to the frontier is smallest for {gap.idxmin()} "
    f"({gap.min():.2f}) and largest for {gap.idxmax()} ({gap.max():.2f}).",
)  # fmt: skip

# %%
names = {"kl": "KL(π‖π_ref) (nats)", "gold": "gold (reward units)"}
names |= {"frontier_gap": "gold below the frontier"}
names |= {"kl_to_optimum": "KL(π‖π*_β) (nats)"}
near[list(names)].rename(columns=names).round(3)

# %% [markdown]
# ## Contradictions
#
# Five readers see one pair; three prefer a, two prefer b. DPO's optimum is
# π ∝ π_ref·(share)^{1/β}: with π_ref(a) = 0.1 and β = 1 it still says b.
# KTO's pushes have one sign, that of the majority (theorem 4.3 of the
# paper). First the exact case, then pairs with a 3 : 2 vote each, where the
# three are right by gold.

# %%
share = torch.tensor([0.6, 0.4]).double()
start = torch.tensor([0.1, 0.9]).double().log()
vote = (start, torch.full_like(share, 0.5), share)
by_dpo = (start + share.log()).softmax(-1)[0].item()
by_kto = minimise(lambda logp: thumbs_risk(logp, kto, one[1], *vote), start)
by_kto = by_kto[0].item()
print(f"π(a): π_ref 0.100, DPO {by_dpo:.3f}, KTO {by_kto:.3f}")

# %%
agree, split, judge = [], [], Annotator(deterministic=True)
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "votes")
    three = sample_pairs(world, ref, n_pairs // 10, judge, draw)
    two = Pairs(three.rejected, three.chosen, three.weight)
    agree.append(three)
    split.append(Pairs.cat([three] * 3 + [two] * 2))
right, fair = Pairs.cat(agree), dpo.Config(beta=1.0)
voted = {"π_ref": reference.copies(seeds)}
split_thumbs = Thumbs.cat([*map(Thumbs.of_pairs, split)])
voted["dpo"] = train("dpo", dpo, fair, Pairs.cat(split), 16, look)[0]
voted["kto"] = train("kto", kto, one[1], split_thumbs, 32, look)[0]

# %%
D, majority, sides = {}, {}, (right.chosen, right.rejected)
old = [ref[side.prompt, side.response] for side in sides]
old = (old[0] - old[1]).unflatten(0, (seeds, -1))
for name, policy in voted.items():
    D[name] = gaps(policy, sides[0]) - gaps(policy, sides[1])
    majority[name] = (D[name] + old > 0).double().mean(-1)
rows = [(k, D[k].mean().item(), majority[k].mean().item()) for k in D]
names = ["policy", "mean D of the majority (nats)", "share with π(a) > π(b)"]
pd.DataFrame(rows, columns=names).round(3)

# %% [markdown]
# DPO's optimum has D = log(3/2) = 0.41 on each such pair alone; KTO's has
# none.
#
# ## Claims


# %%
def claim(key, paper, statement, effect, expected, unit="nats", **how):
    where = f"{n_pairs} BT pairs a seed, {steps} steps, lr 1e-3, β = {main}"
    teach.claim(
        key=key, paper=paper, statement=statement, effect=effect, unit=unit,
        expected=expected, out=OUT or None, **{"setting": where} | how,
    )  # fmt: skip


held, exactly = (0.0, float("inf")), {"kind": "exact", "setting": "by hand"}

# %%
paper = "Chen et al. 2024 (2402.05369)"
said = "DPO lets the likelihood of the chosen responses fall."
claim("dpo-falls", paper, said, final["dpo"].chosen, "negative")
said = "NCA on the same pairs, at the same β, does not."
claim("nca-holds", paper, said, final["nca"].chosen, held)
said = "InfoNCA lets the likelihood of the best of four fall."
claim("infonca-falls", paper, said, final["infonca, fours"].chosen, "negative")
said = "NCA on the same lists does not."
claim("nca-holds-fours", paper, said, final["nca, fours"].chosen, held)

# %%
paper, far = "Jung et al. 2024 (2404.04656)", {"setting": "round two, β = 1"}
said = "Training BCO on thumbs lowers the DPO loss of the pairs behind them."
gain = log(2) - final["bco"].dpo_loss
claim("bco-lowers-dpo", paper, said, gain, "positive")
said = "Where chosen and rejected are both far from π_ref, the shift δ makes \
BCO lower DPO's loss further."
gain = no_shift.dpo_loss - with_shift.dpo_loss
claim("bco-shift", paper, said, gain, "positive", **far)

# %%
paper = "Ethayarajh et al. 2024 (2402.01306)"
said = "With 90 % of the thumbs up deleted and λ re-weighted, KTO's gold is \
at most 0.1 below that of DPO on all pairs, after as many steps."
lead = spare.gold - final["dpo"].gold
claim("kto-few", paper, said, lead, (-0.1, float("inf")), "reward units")
said = "KTO's reference point is within a factor of two of KL(π‖π_ref)."
claim("kto-z0", paper, said, point / final["kto"].kl, (0.5, 2.0), "ratio")

# %%
said = "Of pairs with a 3 : 2 vote, KTO makes the majority's response the \
likelier one more often than DPO does."
lead, where = majority["kto"] - majority["dpo"], "3 : 2 votes, β = 1"
claim("majority", paper, said, lead, "positive", "share", setting=where)
said = "Theorem 4.3: at 3 : 2, β = 1 and π_ref(a) = 0.1 DPO's optimum \
prefers b and KTO's a."
lead = [0.5 - by_dpo, by_kto - 0.5]
claim("contradiction", paper, said, lead, "positive", "share", **exactly)

# %%
grid = torch.linspace(-15, 15, 61).double().requires_grad_()
signs = []
for share in q.tolist():
    liked = share * kto.loss(thumb(grid, True), one[1])
    risk = liked + (1 - share) * kto.loss(thumb(grid, False), one[1])
    signs += ((2 * share - 1) * push(risk, grid)).tolist()
said = "KTO has no finite minimiser: its push has the sign of 2q − 1 at all d."
claim("kto-never", paper, said, signs, "positive", "push", **exactly)

# %%
zero = {"expected": "zero", "tolerance": 1e-9} | exactly
paper, said = "Jung et al. 2024", "BCO rests at s − δ = log(q/(1 − q))."
at = odds.clone().requires_grad_()
liked = q * bco.loss(thumb(at, True), one[0])
rest = liked + (1 - q) * bco.loss(thumb(at, False), one[0])
claim("bco-odds", paper, said, push(rest, at), unit="push", **zero)
said = "With the bar at E_ref[r], π*_β is where BCO rests (four responses)."
at = star.log().requires_grad_()
rest = thumbs_risk(at.log_softmax(-1), bco, one[0], *told)
claim("bco-star", "derived here", said, push(rest, at), unit="push", **zero)

# %%
paper, at = "Chen et al. 2024", torch.full((5,), log(2)).double()
at.requires_grad_()
bad = torch.linspace(-6, 6, 5).double()
said = "On a hard pair NCA rests at s = log 2 of the chosen, for any rejected."
rest = push(nca.loss(pair(at, bad), sure), at)
claim("nca-log-2", paper, said, rest, unit="push", **zero)
said = "On hard lists of two InfoNCA is DPO."
apart = infonca.loss(pair(at, bad), sure) - dpo.link(at - bad, fair)
claim("infonca-dpo", paper, said, apart, **zero)

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
# by 2. Where does BCO end now, and why not at π*? Predict whether its KL
# from π_ref gets larger or smaller.

# %% tags=["solution"]
higher = (base, base.exp(), (r - mean_r - 2).sigmoid())
moved = minimise(lambda logp: thumbs_risk(logp, bco, one[0], *higher), base)
for name, law in (("bar at E_ref[r]", ends["bco"]), ("raised by 2", moved)):
    kl = law @ (law.log() - base)
    print(f"{name}: π = {[round(p, 3) for p in law.tolist()]}, KL = {kl:.3f}")

# %% [markdown]
# **3 · How rare may it be?** (●●○, 10 minutes). KTO with λ_d = λ_u = 1 on
# data with n_d thumbs up for n_u down, all responses equally often in both.
# Which share q of *all* readers must like a response before it is pushed up?
# Check n_d/n_u = 1/10 against the text above.

# %% tags=["solution"]
for ratio in (1.0, 0.5, 0.1):
    # λ_d n_d q > λ_u n_u (1 − q)  ⇔  q > 1/(1 + ratio)
    print(f"n_d/n_u kept at {ratio}: q > {1 / (1 + ratio):.3f}")

# %% [markdown]
# ## What must hold

# %%
assert torch.allclose(ends["bco"], star, atol=1e-3)
assert torch.allclose(ends["nca, pairs"], ends["2 π_ref p(win)"], atol=1e-3)
assert abs(ends["2 π_ref p(win)"].sum() - 1) < 1e-6
assert (points.frontier_gap > -1e-6).all()
assert np.isfinite(curves.kl).all() and np.isfinite(broken.kl).all()
first = curves[curves.step == 0]
assert first.chosen.abs().max() < 1e-4 and by_dpo < 0.5 < by_kto
assert checked.passed

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
