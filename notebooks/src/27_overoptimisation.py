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
# overoptimised, yet gold reward rises and then falls as π leaves π_ref,
# while the training loss falls all the way.
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
from workbench.core.batches import PairLogps
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs, sample_pairs
from workbench.feedback.responses import Responses

# %%
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.measure import implicit_reward, laws, scaling
from workbench.methods.offline import chipo, dpo, hinge, ipo, rpo
from workbench.methods.offline import vpo_offline as vpo
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

# %%
SIZES = {"ci": (2, 4, 64), "lecture": (SEEDS, 120, 1000)}
SIZES["figure"] = (2 * SEEDS, 600, 3000)
seeds, steps, most = SIZES[PROFILE]
n_pairs, size, lr = (100 if most > 99 else most), 16, 3e-3
betas, main = (0.03, 0.1, 0.3, 1.0), 0.1
widest = betas[0]

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()
start = exact.expectation(ref, world.gold).mean().item()

# %% [markdown]
# ## The question
#
# Lesson 11 overoptimised a reward model: best-of-n of a wrong proxy raises
# the proxy and, past some n, lowers gold. DPO has no reward model, so there
# is nothing to exploit. Or is there?
#
# **Write down a prediction.** A hundred pairs, a fifth of the labels wrong,
# many epochs. Draw gold reward against √KL for DPO with a small β. Does it
# rise and level off, rise and fall, or rise all the way? Does IPO look the
# same? Does a larger decoder fall further, or less far?

# %% [markdown]
# ## Three data points
#
# Reviews of π_ref, a Bradley–Terry annotator, and each label recorded the
# wrong way round with probability 0.2.

# %%
judge = Annotator(flip=0.2)


def collect(n):
    drawn = range(SEED, SEED + seeds)
    args = [(world, ref, n, judge, generator(s, "pairs")) for s in drawn]
    return Pairs.cat([sample_pairs(*each) for each in args])


pairs = collect(n_pairs)

# %%
rows = []
for i in range(3):
    x = int(pairs.chosen.prompt[i])
    c, l = int(pairs.chosen.response[i]), int(pairs.rejected.response[i])
    gap = (world.gold[x, c] - world.gold[x, l]).item()
    rows.append((world.prompts[x], world.text(c), world.text(l), gap))
table = pd.DataFrame(
    rows, columns=["prompt", "chosen", "rejected", "gold gap"]
)
p, c, l = pairs.chosen.prompt, pairs.chosen.response, pairs.rejected.response
wrong = (world.gold[p, c] < world.gold[p, l]).double().mean().item()
display(Markdown(f"Share of pairs with the worse review chosen: {wrong:.2f}."))
table.round(2)

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
# r̂ to pairs; the maximisation comes for free, and cannot be stopped early on
# its own. Along such optima, π ∝ π_ref e^{r̂/β},
#
# $$\frac{d\,E_\pi[r]}{d(1/\beta)} = \mathrm{Cov}_\pi(r, \hat r).$$
#
# Gold falls once gold and implicit reward disagree *under π*. Gao et al.
# (2023) fit such paths, with d = √KL(π‖π_ref) and gain R, by
#
# $$R(d) = d\,(\alpha - \beta_c \log d),$$
#
# which peaks at d = exp(α/β_c − 1). (β_c is the law's, no KL weight.)

# %%
display(teach.show(laws.fit), teach.show(hinge.link))

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
counts = ((1, 2, 3), (2, 1, 1), (0, 2, 3), (2, 0, 1), (3, 1, 1))
win, lose, times = (torch.tensor(column) for column in zip(*counts))
share, real = times / times.sum(), torch.ones(len(win), 1).bool()
pd.DataFrame({"gold": r, "π_ref": q.exp()}, index=texts).round(3)

# %%
marks = (0, 3, 10, 30, 100, 300, 1000)


def descend(module, cfg, rate):
    z, rows = q.clone().requires_grad_(), []
    for step in range(marks[-1] + 1):
        lp = z.log_softmax(-1)[:, None]
        batch = PairLogps(lp[win], lp[lose], q[win, None], q[lose, None],
                          real, real)  # fmt: skip
        loss = (share * module.loss(batch, cfg)).sum()
        slope = torch.autograd.grad(loss, z)[0]
        rows.append((step, loss.item(), *z.softmax(-1).tolist()))
        z = (z - rate * slope).detach().requires_grad_()
    return pd.DataFrame(rows, columns=["step", "loss", *texts])


# %%
walks = {"dpo": descend(dpo, dpo.Config(beta=0.5), 1.0)}
walks["ipo"] = descend(ipo, ipo.Config(tau=0.5), 0.1)
for name, walk in walks.items():
    law = torch.tensor(walk[texts].to_numpy())
    walk["gold"] = (law * r).sum(-1)
    walk["KL"] = (law * (law.log() - q)).sum(-1)
    display(Markdown(f"**{name}**"), walk.loc[list(marks)].round(3))

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
null = scaling.null_path(ref, world.gold, levels)
null_fit = scaling.scaling(null, start)
keep = ["alpha", "beta", "rmse", "rmse_quadratic", "peak_kl", "hump", "drop"]
null_fit[keep].round(3)

# %% [markdown]
# No drop and no hump within the data: the law rises throughout. But note the
# two errors. The law fits far better than a quadratic in KL *where nothing
# is overoptimised*: gain starts like √KL, and a polynomial in KL cannot. A
# small RMSE is evidence for the √KL start, not for a hump.
#
# ## Train
#
# Three losses, four β, all seeds. A stack needs no equal settings: a Config
# may hold one β for every row of the batch, so each loss is one model of
# β × seeds members.

# %%
gold = measure.Tracker(world, ref, gold=world.gold)


def train(module, cfg, data=pairs, base=reference, law=gold, copies=seeds):
    in_nats = (data.reference_logps(base), 1.0)
    tracks = (law, implicit_reward.PairTracker(data, *in_nats))
    return offline.fit(
        base.copies(copies), base, data, module, cfg, steps=steps, lr=lr,
        batch_size=size, seed=SEED, measures=tracks, every=max(1, steps // 12),
    ).metrics  # fmt: skip


# %%
def sweep(module, make):
    held = torch.tensor(betas).repeat_interleave(seeds * size)
    stack = Pairs.cat([pairs] * len(betas))
    frame = train(module, make(held), stack, copies=len(betas) * seeds)
    place = frame.seed - SEED
    frame["beta"] = [betas[i] for i in place // seeds]
    frame["seed"] = SEED + place % seeds
    return frame.assign(method=module.card.key)


grids = [sweep(dpo, lambda b: dpo.Config(beta=b))]
grids += [sweep(ipo, lambda t: ipo.Config(tau=t))]
grids += [sweep(hinge, lambda b: hinge.Config(beta=b))]
grid = pd.concat(grids)
losses = list(grid.method.unique())

# %% [markdown]
# ## The signature views
#
# Every checkpoint of every run: one point a seed, β and step.

# %%
fits = {k: laws.fit(f.kl**0.5, f.gold, "rl", start=start)
        for k, f in grid[grid.kl > 0].groupby("method")}  # fmt: skip
best = null[null.kl < grid.kl.max()]
charts, axes = [], ("√KL(π‖π_ref) (√nats)", "gold reward (reward units)")
for name in losses:
    seen, look = grid[grid.method == name], views.method(name)
    d = np.linspace(0.02, seen.kl.max() ** 0.5, 60)
    dots = (list(seen.kl**0.5), list(seen.gold), "runs", look)
    gain = (start + fits[name](d)).tolist()
    fitted = (list(d), gain, "R(d)", views.role("law"))
    bound = (list(best.kl**0.5), list(best.gold), "exact", views.role("exact"))
    layers = [views.Points(*dots, size=3), views.Line(*fitted)]
    charts.append(views.Chart(name, *axes, [*layers, views.Line(*bound)]))

# %%
tops = [f"{k} at {fits[k].peak[0]:.2f}" for k in losses if fits[k].hump]
said = f"The fitted law peaks inside the data for {len(tops)} of "
said += f"{len(losses)} losses ({', '.join(tops)} √nats)."
data_shown = grid[["method", "beta", "seed", "kl", "gold"]]
views.Fig(views.Panels(charts), said, data_shown)

# %% [markdown]
# The view of lesson 11, for DPO at one β. The proxy is what the loss sees:
# the implicit reward by which chosen training responses lead.

# %%
one = grid[(grid.method == "dpo") & (grid.beta == main)]
one = one.assign(proxy=main * one.margin)
path = one.groupby("step")[["gold", "proxy", "kl"]].mean()
top, final = path.gold.idxmax(), path.iloc[-1]
views.overoptimisation(
    one, start=start, laws={"R(d), all β": fits["dpo"]},
    caption=f"From step {top} to the end gold goes from {path.gold[top]:.2f} "
    f"to {final.gold:.2f} and the implicit margin of the training pairs from "
    f"{path.proxy[top]:.2f} to {final.proxy:.2f}.",
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
    beta = frame.beta if "beta" in frame else 0 * frame.step
    frame = frame.assign(beta=beta)
    table = frame.pivot_table("gold", ["beta", "step"], "seed")
    end = table.loc[table.index[0][0]].iloc[-1]
    tops = {s: table.drop(columns=s).mean(axis=1).idxmax() for s in table}
    return pd.Series({s: table.loc[at, s] - end[s] for s, at in tops.items()})


falls = {k: fall(f) for k, f in grid.groupby("method")}
wide = grid[grid.beta == widest].reset_index(drop=True)
fitted = scaling.scaling(grid, start, ("method", "seed"))
shown = fitted.groupby("method")[keep].mean()
shown.assign(fall={k: v.mean() for k, v in falls.items()}).round(3)

# %% [markdown]
# Means over seeds; `hump` is the share of seeds whose law peaks inside the
# data, `drop` the naive maximum minus the value at the largest KL.
#
# ### What the loss says meanwhile

# %%
first = wide[wide.step == 0].set_index(["method", "seed"])
told = wide[wide.step > 0].copy()
at_once = told.groupby(["method", "seed"]).loss.transform("first")
told["share"] = told.loss / at_once
half = told[told.step >= steps // 2].groupby(["method", "seed"])
change = half[["share", "gold"]].last() - half[["share", "gold"]].first()
moved = change.groupby("method").mean()
said = ", ".join(f"{k} {moved.share[k]:+.2f} and {moved.gold[k]:+.2f}"
                 for k in losses)  # fmt: skip
views.training_curves(
    told, {"share": "loss / its first value", "gold": "gold (reward units)"},
    by="method", caption="Change of relative loss and of gold over the second "
    f"half at β = {widest}: {said}.",
)  # fmt: skip

# %% [markdown]
# ## Size of the model
#
# Three decoders, each fine-tuned on the corpus by one short recipe, then DPO
# on the *same* pairs. Each has its own π_ref, so KL and start are its own.
# One step size for all: a wider network goes further with it, which counts
# against the large ones.

# %%
corpus = Responses.of(world.corpus(20_000, generator(SEED, "corpus")))
sizes = []
for width in (16, 64, 128):
    base = tiny.decoder(world.vocab, width=width, seed=SEED)
    offline.fit(base, None, corpus, sft, sft.Config(), steps=2 * steps,
                batch_size=64, lr=lr, seed=SEED, decay=True)  # fmt: skip
    own = base.requires_grad_(False).response_logps(world)
    law = measure.Tracker(world, own, gold=world.gold)
    run = train(dpo, dpo.Config(beta=main), base=base, law=law)
    apart = exact.kl(world.author, own).mean().item()
    sizes.append(run.assign(width=width, author=apart))


# %%
def ends(frames, x):
    last = [f[f.step == steps].assign(fall=fall(f).to_numpy()) for f in frames]
    means = pd.concat(last).groupby(x)[["gold", "kl", "fall"]].mean()
    return pd.concat(last), means


by_width, mean = ends(sizes, "width")
small, large = mean.index[0], mean.index[-1]
views.sweep(
    by_width, "width", {"fall": "gold lost (reward units)",
                        "kl": "KL(π‖own π_ref) (nats)"}, log_x=True,
    caption=f"Width {small} loses {mean.fall[small]:.2f} after its peak, "
    f"width {large} {mean.fall[large]:.2f}; they end at "
    f"{mean.kl[small]:.2f} and {mean.kl[large]:.2f} nats.",
)  # fmt: skip

# %% [markdown]
# ## Size of the data
#
# The same number of steps on more pairs: fewer epochs.

# %%
dpo_run = train(dpo, dpo.Config(beta=main))
data = [dpo_run.assign(n=n_pairs)]
for n in (3 * n_pairs, max(most, 4 * n_pairs)):
    data.append(train(dpo, dpo.Config(beta=main), collect(n)).assign(n=n))
by_n, mean = ends(data, "n")
few, many = mean.index[0], mean.index[-1]
views.sweep(
    by_n, "n", {"gold": "gold at the end", "fall": "gold lost after the peak"},
    x_label="pairs", log_x=True,
    caption=f"DPO ends at a gold of {mean.gold[few]:.2f} with {few} pairs and "
    f"{mean.gold[many]:.2f} with {many}, having lost {mean.fall[few]:.2f} and "
    f"{mean.fall[many]:.2f}.",
)  # fmt: skip

# %% [markdown]
# ## Three repairs
#
# * **RPO** adds −η log π(y_c)/|y_c|: the chosen response is imitated too.
# * **VPO** asks for the reward that fits the labels *and* promises little:
#   L_BT + αJ*, where J*(r̂) = max_π E_π[r̂] − β KL. Shift r̂ so that its mean
#   over the chosen responses is 0; then J* = −β E[log π(y_c)/π_ref(y_c)].
#   So **pessimism (s = −1) is an SFT term**, and s = +1 is optimism.
# * **χPO** replaces log u by u + log u, u = π/π_ref, within the margin.

# %%
display(teach.show(rpo.anchor), teach.show(vpo.calibration_term))
display(teach.show(chipo.loss))

# %% [markdown]
# RPO's "cumulative" form and pessimistic VPO are one loss up to a constant.
# Both on five random pairs, and the difference that no gradient sees:

# %%
lp = torch.rand(4, 5, 3, generator=generator(SEED, "logps")).double().log()
full = torch.ones(5, 3).bool()
batch = PairLogps(*lp, full, full)
summed = rpo.loss(batch, rpo.Config(beta=main, eta=0.7))
pessimist = vpo.loss(batch, vpo.Config(beta=main, alpha=0.7))
constant = -0.7 * main * batch.ref_chosen.sum(-1)
columns = {"RPO, η = 0.7": summed, "VPO, α = 0.7": pessimist}
columns |= {"difference": summed - pessimist, "−ηβ log π_ref(y_c)": constant}
pd.DataFrame(columns).round(4)

# %%
average = rpo.Config(main, eta=0.2, reduce="mean", times_beta=False)
repairs = {"dpo": dpo_run, "rpo, η = 0.2": train(rpo, average)}
for alpha, sign in ((1.0, -1), (0.1, -1), (0.1, 1)):
    cfg = vpo.Config(main, alpha=alpha, sign=sign)
    repairs[f"vpo, sα = {sign * alpha:+}"] = train(vpo, cfg)
repairs["chipo"] = train(chipo, chipo.Config(beta=main))
tidy = pd.concat([f.assign(method=k) for k, f in repairs.items()])
end = tidy[tidy.step == steps].groupby("method").mean(numeric_only=True)
rest = {k: fall(f) for k, f in repairs.items()}
end["lost"] = {k: v.mean() for k, v in rest.items()}

# %%
anchored = "rpo, η = 0.2"
pessimism = "vpo, sα = -1.0"
lines = ["dpo", anchored, pessimism, "chipo"]
views.training_curves(
    tidy[tidy.method.isin(lines)],
    {"gold": "gold (reward units)", "chosen": "log π/π_ref, chosen (nats)"},
    by="method",
    caption="Gold lost after the peak: "
    + ", ".join(f"{k} {end.lost[k]:.2f}" for k in lines)
    + f"; chosen ends at {end.chosen['dpo']:+.1f} nats with DPO and at "
    f"{end.chosen[anchored]:+.1f} with RPO.",
)

# %% [markdown]
# ## Distance to the exact optimum
#
# The frontier is the most gold that any policy has at a given KL. The gap to
# it, at the run's best checkpoint and at the end: what the labels cost, and
# what staying too long costs on top.

# %%
rows = {}
for name, frame in repairs.items():
    path = frame.groupby("step")[["gold", "kl", "frontier_gap"]].mean()
    at = path.gold.idxmax()
    best_, last_ = path.loc[at].add_suffix(", best"), path.iloc[-1]
    rows[name] = {"best step": at, **best_, **last_.add_suffix(", end")}
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# ## Break it: optimism offline
#
# Mistake (2) of VPO's docstring: the sign. α = 1 as above, s = +1.

# %%
wrong = method(card=vpo.card, loss=vpo.mistakes["2 wrong sign"])
broken = train(wrong, vpo.Config(main, alpha=1.0))
signed = {-1.0: repairs[pessimism], 0.0: dpo_run, 1.0: broken}
signed |= {s: repairs[f"vpo, sα = {s:+}"] for s in (-0.1, 0.1)}
flat = [f.assign(weight=s) for s, f in sorted(signed.items())]
flat, mean = ends(flat, "weight")
right, wrong_ = mean.gold[-1.0], mean.gold[1.0]
views.sweep(
    flat, "weight", {"gold": "gold at the end (reward units)",
                     "chosen": "log π/π_ref, chosen (nats)"}, x_label="s·α",
    caption=f"At α = 1 gold ends at {right:.2f} with pessimism and at "
    f"{wrong_:.2f} with optimism.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** The chosen responses become *less* likely, and margins
# grow all the same. Online, where new pairs correct a mistaken promise, this
# sign explores; offline nothing ever contradicts it.

# %% [markdown]
# ## Claims

# %%
PAPER = "Rafailov et al. 2024 (2406.02900)"
UNIT = "reward units"


def claim(key, statement, effect, expected="positive", unit=UNIT, paper=PAPER):
    where = f"reviews, {n_pairs} pairs, 20 % flipped, {steps} steps of {size}"
    return teach.claim(
        key=key, paper=paper, statement=statement, effect=effect, unit=unit,
        expected=expected, out=OUT or None, setting=f"{where}, lr {lr}",
    )  # fmt: skip


# %%
for name in losses:
    said = f"Gold falls after its peak: {name} (peak chosen by other seeds)."
    claim(f"hump-{name}", said, falls[name])
for other in ("dpo", "hinge"):
    said = f"IPO falls less than {other} at the same β."
    claim(f"ipo-below-{other}", said, falls[other] - falls["ipo"])

# %%
at = wide.groupby(["method", "seed"]).gold.idxmax()
early = wide.loc[at].groupby("seed").step.mean() / steps
said = f"Wide runs (β = {widest}) peak in the first quarter of training."
claim("early-peak", said, early, (0.0, 0.25), "share of the steps")
table = fitted.assign(ratio=fitted.rmse / fitted.rmse_quadratic)
said = "The law's RMSE is about half that of a quadratic in KL, or less."
ratio = table.groupby("seed").ratio.mean()
claim("law-halves-rmse", said, ratio, (0.0, 0.6), "ratio of RMSE")
falling = change.groupby("seed").mean()
said = f"The training loss falls in the second half (β = {widest})."
claim("loss-falls", said, falling.share, "negative", "share of first loss")
said = f"Gold falls in the second half (β = {widest})."
claim("gold-falls", said, falling.gold, "negative")

# %%
said = "The larger decoder falls less (width 16 minus width 128)."
lost = by_width.pivot(index="seed", columns="width", values="fall")
claim("larger-falls-less", said, lost[16] - lost[128])
said = f"Ten times the pairs: DPO falls less (β = {main})."
lost = by_n.pivot(index="seed", columns="n", values="fall")
claim("more-pairs", said, lost[few] - lost[many], paper="ours")

# %%
cards = {anchored: "Liu et al. 2024 (2405.16436)"}
cards |= {pessimism: "Cen et al. 2024 (2405.19320)"}
cards |= {"chipo": "Huang et al. 2024 (2407.13399)"}
for name, paper in cards.items():
    said = f"Gold falls less than with DPO: {name}."
    claim(f"less-{name[:3]}", said, rest["dpo"] - rest[name], paper=paper)

# %%
last = tidy[tidy.step == steps].set_index("seed").groupby("method")
chosen, paper = dict(iter(last.chosen)), cards[anchored]
said = "DPO's chosen log-prob ends below the reference's."
claim("dpo-chosen", said, chosen["dpo"], "negative", "nats", paper)
said = "RPO's chosen log-prob does not fall."
claim("rpo-chosen", said, chosen[anchored], "positive", "nats", paper)
score, paper = dict(iter(last.gold)), cards[pessimism]
said = "Optimism offline ends at less gold than pessimism (α = 0.1)."
gain = score["vpo, sα = -0.1"] - score["vpo, sα = +0.1"]
claim("optimism-worse", said, gain, paper=paper)

# %%
exactly = {"kind": "exact", "expected": "zero", "tolerance": 1e-9}
said = "On the exact gold path gold never falls: the instrument's drop is 0."
teach.claim(key="null", paper="a theorem", statement=said, unit=UNIT,
            effect=null_fit["drop"], out=OUT or None, **exactly)  # fmt: skip
said = "RPO (cumulative) and pessimistic VPO differ by a constant."
teach.claim(key="rpo-is-vpo", paper=cards[pessimism], statement=said,
            effect=(summed - pessimist - constant).tolist(), unit="nats",
            out=OUT or None, **exactly)  # fmt: skip

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
top = np.exp(law.alpha / law.beta - 1)
print(top, law.beta * top, law.peak)

# %% [markdown]
# **3 · Stop in time** (●●○, 15 minutes). Nobody shows you gold. Draw 300
# more pairs as a held-out set. Does their accuracy peak where gold does?

# %% tags=["solution"]
held = sample_pairs(world, ref, 300, judge, generator(SEED + 1000, "held"))
seen = held.reference_logps(reference)
outside = implicit_reward.PairTracker(held, seen, 1.0, shared=True)
run = offline.fit(
    reference.copies(seeds), reference, pairs, dpo, dpo.Config(beta=main),
    steps=steps, lr=lr, batch_size=size, seed=SEED, measures=(gold, outside),
    every=max(1, steps // 12),
)  # fmt: skip
path = run.metrics.groupby("step")[["gold", "accuracy"]].mean()
print("gold peaks at step", path.gold.idxmax(), end=", ")
print("held-out accuracy at step", path.accuracy.idxmax())

# %% [markdown]
# ## What must hold
#
# Identities and exact facts hold at every size; a verdict may be any of the
# honest ones.

# %%
hand = walks["dpo"]
assert hand.loss.is_monotonic_decreasing and hand.gold.idxmax() < 100
assert hand.gold.iloc[-1] < hand.gold[0] < hand.gold.max()
assert null.gold.is_monotonic_increasing and not null_fit.hump[0]
assert torch.allclose(summed - pessimist, constant)
assert (grid.frontier_gap > -1e-6).all() and (tidy.frontier_gap > -1e-6).all()
assert (grid[grid.step == 0].kl < 1e-6).all()
peak = laws.Fit("rl", 1.0, 0.5, {}, 1.0, None, (0.0, 9.0))
d = torch.linspace(0.01, 9, 9000).double()
assert abs(d[peak(d).argmax()] - np.exp(1.0 / 0.5 - 1)) < 2e-3
assert checked.passed

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
