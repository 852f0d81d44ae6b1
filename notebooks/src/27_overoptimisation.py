# ---
# jupyter:
#   workbench:
#     title: "27 · Overoptimisation without a reward model"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 27 · Overoptimisation without a reward model
#
# **The claim in one sentence.** No reward model is trained here, and none is
# overoptimised, yet DPO's gold reward rises and then falls as π leaves
# π_ref, while its training loss falls all the way.
#
# After this lesson you can
#
# * show on four responses which pairs make gold turn over, and when;
# * fit Gao's law to runs of DPO, IPO and the hinge, and test the instrument
#   on a path where nothing can fall;
# * say what an SFT term does to the hump, and why its sign is pessimism;
# * tell a fall from a lucky maximum.
#
# Run time at `lecture`: about a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 8
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
from workbench.feedback.kinds.responses import Responses

# %%
from workbench.loops import offline
from workbench.measure import (
    direct_alignment_fit,
    implicit_reward,
    overoptimisation_fit,
)
from workbench.measure import exact as measure
from workbench.methods.direct.links import dpo, hinge, ipo
from workbench.methods.direct.pessimism import chipo, rpo
from workbench.methods.direct.pessimism import vpo_offline as vpo
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
SIZES = {"ci": (2, 2, 64, 128, 256), "figure": (16, 600, 100, 300, 3000)}
seeds, steps, few, *more = SIZES.get(PROFILE, (SEEDS, 80, 100, 300, 1000))
size, lr, betas, main, low = 16, 3e-3, (0.1, 0.03, 0.3), 0.1, 0.03
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()
start = solutions.expectation(ref, world.gold).mean().item()

# %% [markdown]
# ## The question
#
# Lesson 11 overoptimised a reward model: best-of-n of a wrong proxy raises
# the proxy and, past some n, lowers gold. DPO has no reward model, so there
# is nothing to exploit. Or is there?
#
# **Write down a prediction.** A hundred pairs, a fifth of the labels
# flipped, many epochs. Draw gold reward against √KL for DPO with a small β.
# Does it rise and level off, rise and fall, or rise all the way? Does IPO
# look the same? Does a larger decoder fall further, or less far?
#
# ## Three data points
#
# Reviews of π_ref, a Bradley–Terry annotator, and each label recorded the
# wrong way round with probability 0.2.

# %%
judge = Annotator(flip=0.2)


def collect(n):
    draws = [generator(SEED + s, "pairs") for s in range(seeds)]
    return Pairs.cat([sample_pairs(world, ref, n, judge, g) for g in draws])


# %%
pairs = collect(few)
p, c, l = pairs.chosen.prompt, pairs.chosen.response, pairs.rejected.response
gap = world.gold[p, c] - world.gold[p, l]
three = {"chosen": [world.text(i) for i in c[:3]]}
three |= {"rejected": [world.text(i) for i in l[:3]], "gold gap": gap[:3]}
pd.DataFrame(three, index=[world.prompts[i] for i in p[:3]]).round(2)

# %% [markdown]
# ## The objective, in the symbols of the code
#
# All three losses read a pair through one number, D = log π(y_c)/π_ref(y_c)
# − log π(y_r)/π_ref(y_r), in nats: DPO's −log σ(βD), IPO's (D − 1/(2τ))²
# and the hinge max(0, 1 − βD), which is SLiC's with the reference kept. The
# family is E[g(D)], with g convex.
#
# And a reward model *is* there. Every policy is the optimum of its own
# implicit reward r̂ = β log π/π_ref, exactly. Fitting π to pairs is fitting
# r̂ to pairs, and its maximisation comes along unasked. Tilt π_ref by a fixed
# r̂, π ∝ π_ref e^{r̂/β}, and lower β:
#
# $$\frac{d\,E_\pi[r]}{d(1/\beta)} = \mathrm{Cov}_\pi(r, \hat r).$$
#
# Gold falls once gold and implicit reward disagree *under π*. Gao et al.
# (2023) describe such paths, with d = √KL(π‖π_ref) and the gain R in gold,
# by
#
# $$R(d) = d\,(\alpha - \beta_c \log d),$$
#
# which peaks at d = exp(α/β_c − 1). (β_c is the law's, no KL weight.)

# %%
display(teach.show(overoptimisation_fit.fit), teach.show(hinge.link))

# %% [markdown]
# ## By hand, on four responses
#
# Nine labels. Against `dull`, two good reviews won three times out of four.
# And once, a slip of the pen: `not fun` beat `very good`. π is a table of
# four logits, moved by plain gradient descent.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
q, r = ref[0, four].log_softmax(-1), world.gold[0, four]
labels = ((1, 2, 3), (2, 1, 1), (0, 2, 3), (2, 0, 1), (3, 1, 1))
win, lose, times = torch.tensor(labels).T  # winner, loser, how often
share, real = times / times.sum(), torch.ones(len(win), 1).bool()
pd.DataFrame({"gold": r, "π_ref": q.exp()}, index=texts).round(3)


# %%
def descend(module, cfg, rate):
    z, old, rows = q.clone().requires_grad_(), q[:, None], []
    for _ in range(1001):
        lp = z.log_softmax(-1)[:, None]
        batch = PairLogps(lp[win], lp[lose], old[win], old[lose], real, real)
        loss = (share * module.loss(batch, cfg)).sum()
        rows.append((loss.item(), *lp[:, 0].exp().tolist()))
        z = z - rate * torch.autograd.grad(loss, z)[0]
        z = z.detach().requires_grad_()
    walk = pd.DataFrame(rows, columns=["loss", *texts])
    return walk.assign(gold=walk[texts] @ r.numpy())


# %%
hand = descend(dpo, dpo.Config(beta=0.5), 1.0)
calm = descend(ipo, ipo.Config(tau=0.5), 0.1)
marks = [0, 3, 10, 30, 100, 300, 1000]
pd.concat({"DPO": hand.loc[marks], "IPO": calm.loc[marks]}).round(3)

# %% [markdown]
# Read the DPO rows from the top. First the four majority pairs act, and gold
# rises. They are *contested*: at σ(βD) = 3/4 their two sides balance and the
# push is gone. The slip is contested by nobody, so its D grows for ever, and
# a thousand steps later nearly everything is `not fun`. The loss fell
# throughout.
#
# IPO asks the same pair for D = 1/(2τ) and no more. Its gold also rises and
# falls, a little.
#
# ## The instrument's null
#
# A hump is easily made by the instrument. On the exact path of the *gold*
# reward, π*_β with β falling, gold cannot fall. What does the fit say there?

# %%
levels = (30 * (0.05 / 30) ** torch.linspace(0, 1, 41).double()).tolist()
null = direct_alignment_fit.null_path(ref, world.gold, levels)
null_fit = direct_alignment_fit.scaling(null, start)
keep = ["alpha", "beta", "rmse", "rmse_quadratic", "hump", "drop"]
null_fit[keep].round(3)

# %% [markdown]
# No drop, and no hump within the data: the law rises throughout. But compare
# the two errors. The law fits far better than a quadratic in KL *where
# nothing is overoptimised*: gain starts like √KL, which no polynomial in KL
# can do. A small RMSE is evidence for that start, not for a hump.
#
# ## Train
#
# Three losses, three β, all seeds. A stack needs no equal settings: a Config
# may hold one β for every row of the batch, so each loss is one model of
# β × seeds members.

# %%
gold = measure.Tracker(world, ref, gold=world.gold)


def train(module, cfg, data=pairs, base=reference, law=gold, copies=seeds):
    nats = implicit_reward.PairTracker(data, data.reference_logps(base), 1.0)
    return offline.fit(
        base.copies(copies), base, data, module, cfg, steps=steps, lr=lr,
        batch_size=size, seed=SEED, measures=(law, nats), every=steps // 8,
    ).metrics.assign(method=module.card.key, beta=main)  # fmt: skip


# %%
held = torch.tensor(betas).repeat_interleave(seeds * size)
stack, parts = Pairs.cat([pairs] * len(betas)), []
for module in (dpo, ipo, hinge):
    part = train(module, module.Config(held), stack, copies=len(held) // size)
    place, part["seed"] = part.seed - SEED, SEED + (part.seed - SEED) % seeds
    parts.append(part.assign(beta=[betas[i] for i in place // seeds]))
grid = pd.concat(parts, ignore_index=True)
plain = grid[(grid.method == "dpo") & (grid.beta == main)]

# %% [markdown]
# ## The signature views
#
# The view of lesson 11, at the smallest β. Gold is what is meant. The proxy
# is what a loss of pairs can see: β times D of the training pairs, the
# implicit reward by which chosen responses lead.

# %%
fits, charts, wide = {}, [], grid[grid.beta == low]
for name, one in wide.groupby("method", sort=False):
    root = one.kl.clip(lower=0) ** 0.5
    fits[name] = overoptimisation_fit.fit(root, one.gold, "rl", start=start)
    charts += views.overoptimisation(
        one.assign(proxy=low * one.margin, curve=name), caption="-",
        laws={"R(d)": fits[name]}, start=start,
        exact=null[null.kl < one.kl.max()], title=name,
    ).panels.charts  # fmt: skip

# %%
tops = [f"{k} at {v.peak[0]:.2f} √nats" for k, v in fits.items() if v.hump]
views.Fig(
    views.Panels(charts),
    f"At β = {low} the fitted law has its peak inside the data for "
    f"{len(tops)} of {len(fits)} losses ({', '.join(tops)}).",
    grid[["method", "beta", "seed", "step", "kl", "gold"]],
)  # fmt: skip

# %% [markdown]
# ### A fall, and how not to be fooled
#
# The highest of many noisy values lies above the last one even where nothing
# falls. So let the *other* seeds choose where the peak is, then ask this
# seed what it lost from there to the end of its widest run (smallest β). If
# gold does not fall, that number is zero or below on average.


# %%
def fall(frame):
    table = frame.pivot_table("gold", ["beta", "step"], "seed")
    end = table.loc[frame.beta.min()].iloc[-1]
    tops = {s: table.drop(columns=s).mean(axis=1).idxmax() for s in table}
    return pd.Series({s: table.loc[at, s] - end[s] for s, at in tops.items()})


falls = {k: fall(f) for k, f in grid.groupby("method", sort=False)}
fitted = direct_alignment_fit.scaling(grid, start, ("method", "seed"))
fitted["fall"] = pd.concat(falls).to_numpy()
fitted.groupby("method", sort=False)[[*keep, "fall"]].mean().round(3)

# %% [markdown]
# One fit a seed over its runs of all β, then means over seeds. `hump` is the
# share of seeds whose law peaks inside the data, `drop` the naive maximum
# minus the value at the largest KL, `fall` the careful one.
#
# ## Size of the model
#
# Three decoders, each fine-tuned on the corpus by one short recipe, then DPO
# on the *same* pairs. Each has its own π_ref, so KL and start are its own.
# One step size for all: a wider network goes further with it, which counts
# against the large ones.

# %%
corpus = Responses.of(world.corpus(20_000, generator(SEED, "corpus")))
sizes = {}
for width in (16, 32, 64):
    base = tiny.decoder(world.vocab, width=width, seed=SEED)
    how = {"steps": 2 * steps, "batch_size": 64, "lr": lr, "decay": True}
    offline.fit(base, None, corpus, sft, sft.Config(), seed=SEED, **how)
    own = base.requires_grad_(False).response_logps(world)
    law = measure.Tracker(world, own, gold=world.gold)
    sizes[width] = train(dpo, dpo.Config(main), base=base, law=law)


# %%
def ends(runs, x):
    last = {k: f[f.step == steps].set_index("seed") for k, f in runs.items()}
    last = {k: f.assign(fall=fall(runs[k])) for k, f in last.items()}
    return pd.concat(last, names=[x])


by_width = ends(sizes, "width")
lost, nats = (by_width[k].groupby("width").mean() for k in ("fall", "kl"))
views.sweep(
    by_width.reset_index(), "width", log_x=True,
    y={"fall": "gold lost (reward units)", "kl": "KL(π‖own π_ref) (nats)"},
    caption=f"Width 16 loses {lost[16]:.2f} after its peak, width 64 "
    f"{lost[64]:.2f}; they end at {nats[16]:.2f} and {nats[64]:.2f} nats.",
)  # fmt: skip

# %% [markdown]
# ## Size of the data
#
# The same number of steps on more pairs: fewer epochs.

# %%
data = {n: train(dpo, dpo.Config(main), collect(n)) for n in more}
by_n = ends({few: plain} | data, "pairs")
by_n.groupby("pairs")[["loss", "margin", "kl", "gold", "fall"]].mean().round(2)

# %% [markdown]
# ## Three repairs
#
# * **RPO** adds −η log π(y_c)/|y_c|: the chosen response is imitated too.
# * **VPO** asks for the reward that fits the labels *and* promises little:
#   L_BT + αJ*, where J*(r̂) = max_π E_π[r̂] − β KL. Shift r̂ so that its mean
#   over the chosen responses is 0; then J* = −β E[log π(y_c)/π_ref(y_c)].
#   So **pessimism (s = −1) is an SFT term**, and s = +1 is optimism.
# * **χPO** replaces log u by u + log u, u = π/π_ref, within the margin.
#
# RPO's "cumulative" form and pessimistic VPO are one loss up to a constant,
# −ηβ log π_ref(y_c). Both on five random pairs, and what no gradient sees:

# %%
lp = torch.rand(4, 5, 3, generator=generator(SEED, "logps")).double().log()
batch = PairLogps(*lp, *torch.ones(2, 5, 3).bool())
summed = rpo.loss(batch, rpo.Config(main, eta=0.7))
pessimist = vpo.loss(batch, vpo.Config(main, alpha=0.7))
constant = -0.7 * main * batch.ref_chosen.sum(-1)
display(teach.show(rpo.anchor), teach.show(vpo.calibration_term))
pd.DataFrame({"RPO": summed, "VPO": pessimist, "constant": constant}).round(4)

# %%
average = rpo.Config(main, eta=0.2, reduce="mean", times_beta=False)
repairs = {"dpo": plain, "rpo": train(rpo, average)}
repairs["vpo"] = train(vpo, vpo.Config(main, alpha=1.0))
repairs["chipo"] = train(chipo, chipo.Config(main))
fixed = ends(repairs, "loss_is")
mean = fixed.groupby("loss_is", sort=False).mean(numeric_only=True)
mean["peak"] = [f.groupby("step").gold.mean().max() for f in repairs.values()]

# %%
shown = {"gold": "gold (reward units)", "chosen": "log π/π_ref, chosen (nats)"}
views.training_curves(
    pd.concat(repairs.values()), shown, by="method",
    caption="Highest mean gold: "
    f"{', '.join(f'{k} {v:.2f}' for k, v in mean.peak.items())}; the chosen "
    f"responses end at {mean.chosen['dpo']:+.1f} nats with DPO and at "
    f"{mean.chosen['rpo']:+.1f} with RPO.",
)  # fmt: skip

# %% [markdown]
# ## Distance to the exact optimum
#
# The frontier is the most gold that any policy has at a given KL. The gap to
# it at the end is what few and wrong labels cost and staying too long
# together; `fall` is what staying cost in gold. Falling little is no merit
# by itself: π_ref does not fall at all. Read each fall beside its peak.

# %%
mean[["peak", "fall", "gold", "kl", "frontier_gap"]].round(2)

# %% [markdown]
# ## Break it: optimism offline
#
# Mistake (2) of VPO's docstring: the sign. α = 1 as above, s = +1.

# %%
wrong = method(card=vpo.card, loss=vpo.mistakes["2 wrong sign"])
broken = train(wrong, vpo.Config(main, alpha=1.0))
signs = {"dpo": plain, "s = +1": broken, "s = −1": repairs["vpo"]}
end = ends(signs, "sign")
views.training_curves(
    pd.concat([run.assign(method=k) for k, run in signs.items()]), shown,
    by="method", caption="With s = +1 the chosen responses end at "
    f"{end.chosen['s = +1'].mean():+.1f} nats and gold at "
    f"{end.gold['s = +1'].mean():.2f}; with s = −1 at "
    f"{end.chosen['s = −1'].mean():+.1f} and {end.gold['s = −1'].mean():.2f}.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** The chosen responses become *less* likely from the first
# step on, although the loss calls them better. Online, where new pairs
# correct a mistaken promise, this sign explores; offline nothing ever
# contradicts it.

# %% [markdown]
# ## Claims
#
# The paper trains decoders of 1 to 7 billion parameters for one epoch on 92
# thousand pairs, one seed each. Here the decoders are tiny, the pairs few
# and read many times, and every seed draws its own, so intervals are wide.

# %%
DAA, RPO = "Rafailov et al. 2024 (2406.02900)", "Liu et al. 2024 (2405.16436)"
VPO, CHI = "Cen et al. 2024 (2405.19320)", "Huang et al. 2024 (2407.13399)"


def claims(*rows, out=OUT or None, **kind):
    where = f"reviews, {few} pairs, flip 0.2, {steps} × {size}, lr {lr}"
    names = "statement", "key", "paper", "effect", "expected", "unit"
    for row in rows:
        told = dict(zip(names, row, strict=True)) | kind
        teach.claim(**told, setting="" if kind else where, out=out)


# %%
up, unit = "positive", "reward units"
ratio = (fitted.rmse / fitted.rmse_quadratic).groupby(fitted.seed).mean()
claims(
    *((f"Gold falls after its peak: {k} (peak chosen by other seeds).",
       f"hump-{k}", DAA, lost, up, unit) for k, lost in falls.items()),
    ("IPO falls less than DPO at the same β.",
     "ipo-below-dpo", DAA, falls["dpo"] - falls["ipo"], up, unit),
    ("IPO falls less than the hinge (SLiC) at the same β.",
     "ipo-below-hinge", DAA, falls["hinge"] - falls["ipo"], up, unit),
    ("The law's RMSE is half that of a quadratic in KL, or less (≤ 0.6).",
     "law-rmse", DAA, ratio, (0.0, 0.6), "ratio of RMSE"),
)  # fmt: skip

# %%
tops = wide.loc[wide.groupby(["method", "seed"]).gold.idxmax()]
late = wide.pivot_table("loss", ["seed", "method"], "step")
late = (late[steps] / late[steps // 2] - 1).groupby("seed").mean()
claims(
    (f"Wide runs (β = {low}) peak in the first quarter of training.",
     "early-peak", DAA, tops.groupby("seed").step.mean() / steps, (0.0, 0.25),
     "share of the steps"),
    ("Their training loss falls in the second half.",
     "loss-falls", DAA, late, "negative", "share of the loss"),
)  # fmt: skip

# %%
claims(
    (f"Gold falls less with RPO than with DPO (β = {main}).",
     "rpo-less", RPO, fixed.fall["dpo"] - fixed.fall["rpo"], up, unit),
    (f"Gold falls less with pessimistic VPO than with DPO (β = {main}).",
     "vpo-less", VPO, fixed.fall["dpo"] - fixed.fall["vpo"], up, unit),
    (f"Gold falls less with χPO than with DPO (β = {main}).",
     "chipo-less", CHI, fixed.fall["dpo"] - fixed.fall["chipo"], up, unit),
    (f"DPO's chosen log-prob ends below the reference's (β = {main}).",
     "dpo-chosen", RPO, fixed.chosen["dpo"], "negative", "nats"),
    (f"RPO keeps the chosen log-prob above the reference's (β = {main}).",
     "rpo-chosen", RPO, fixed.chosen["rpo"], up, "nats"),
)  # fmt: skip

# %%
claims(
    ("The larger decoder falls less (width 16 minus width 64).",
     "larger", DAA, by_width.fall[16] - by_width.fall[64], up, unit),
    (f"Optimism offline ends at less gold than pessimism (β = {main}).",
     "optimism", VPO, end.gold["s = −1"] - end.gold["s = +1"], up, unit),
    (f"More pairs, equal steps: DPO falls less (β = {main}).",
     "more-pairs", "ours", by_n.fall[few] - by_n.fall[more[-1]], up, unit),
)  # fmt: skip

# %%
off = (summed - pessimist - constant).tolist()
claims(
    ("On the exact gold path the instrument's drop is 0.",
     "null", "a theorem", null_fit["drop"], "zero", unit),
    ("RPO (cumulative) and pessimistic VPO differ by a constant.",
     "rpo-is-vpo", VPO, off, "zero", "nats"),
    kind="exact", tolerance=1e-9, must_hold=True,
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# **1 · RPO from memory** (●○○, 5 minutes). `cfg.eta`, `cfg.reduce`,
# `cfg.times_beta`, `batch.chosen.logps(reduce)`. The check names the mistake.


# %%
def my_rpo(batch, cfg):
    raise NotImplementedError


teach.check.rpo(my_rpo)


# %% tags=["solution"]
def solution(batch, cfg):
    weight = cfg.eta * (cfg.beta if cfg.times_beta else 1.0)
    likelihood = batch.chosen.logps(cfg.reduce)
    return dpo.link(batch.margin(), cfg) - weight * likelihood


checked = teach.check.rpo(solution)
checked

# %% [markdown]
# **2 · Where is the peak?** (●●○, 10 minutes). Derive d = exp(α/β_c − 1) and
# the height β_c d from R(d), and check both against `fits["dpo"].peak`.

# %% tags=["solution"]
# R' = α − β_c log d − β_c = 0 at log d = α/β_c − 1; there R = d·β_c.
law = fits["dpo"]
top = torch.tensor(law.alpha / law.beta - 1).exp().item()
print(top, law.beta * top, law.peak)

# %% [markdown]
# **3 · Stop in time** (●●○, 10 minutes). Give every run a budget: stop at its
# last checkpoint with KL ≤ k. Which k leaves most gold, for each loss? Could
# you have chosen it without seeing gold?

# %% tags=["solution"]
rows = {}
for budget in (0.25, 0.5, 1, 2, 4, 8):
    inside = grid[grid.kl <= budget]
    stopped = inside.groupby(["method", "beta", "seed"]).last()
    rows[f"KL ≤ {budget}"] = stopped.groupby("method").gold.mean()
pd.DataFrame(rows).round(2)

# %% [markdown]
# ## What must hold
#
# Identities and exact facts hold at every size; a verdict may be any of the
# honest ones.

# %%
assert hand.loss.is_monotonic_decreasing and checked.passed
assert hand.gold.iloc[-1] < hand.gold[0] < hand.gold.max()
assert min(grid.frontier_gap.min(), end.frontier_gap.min()) > -1e-6

# %% [markdown]
# ## References and next
#
# * Rafailov et al. 2024, *Scaling laws for reward model overoptimization in
#   direct alignment algorithms* (2406.02900).
# * Gao et al. 2023, *Scaling laws for reward model overoptimization*
#   (2210.10760).
# * Liu et al. 2024, *Provably mitigating overoptimization in RLHF: your SFT
#   loss is implicitly an adversarial regularizer* (2405.16436).
# * Cen et al. 2024, *Value-incentivized preference optimization*
#   (2405.19320).
# * Huang et al. 2024, *Correcting the mythos of KL-regularization*
#   (2407.13399).
#
# Next: **28 · Lists and scores**. A pair is the shortest list.
