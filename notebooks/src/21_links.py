# ---
# jupyter:
#   workbench:
#     title: "21 · The link is the method"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 21 · The link is the method
#
# **The claim in one sentence.** A loss that reads a pair through its margin D
# alone is one curve, and the slope of that curve says where training ends:
# DPO's never reaches 0, so on labels that always agree no β holds it back.
#
# After this lesson you can
#
# * read a pairwise loss as a function of one number and find where it stops;
# * name the weight that each pair gets in the gradient, and what goes wrong
#   without it;
# * compute what IPO converges to, for any preferences, cyclic ones too;
# * tell a loss of the margin from one that judges each response by itself.
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
from workbench.core.batches import PairLogps
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs, sample_pairs

# %%
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.measure import implicit_reward, pull
from workbench.methods.offline import apo_down, apo_zero, cdpo, discopop, dpo
from workbench.methods.offline import exo_pref, hinge, ipo, rdpo, slic
from workbench.models import tiny
from workbench.views.links import links, stops
from workbench.worlds import exact, games
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 120, "figure": 2000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 500, "figure": 20000}[PROFILE]
strengths, main, tau = (0.1, 0.5, 1.0), 1.0, 0.5
smooth = {"beta": main, "epsilon": 0.1}

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The question
#
# In lesson 20 labels were coins: σ(r_a − r_b). Often they are not. A test
# passes or fails; two annotators out of two agree; each pair is labelled
# once, and once is all the loss sees. Then the better response *always* wins.
#
# DPO's β is called the strength of the pull to the reference. **Write down
# two predictions.** You train on such labels with β = 0.1, 0.5 and 1 for a
# very long time: which run ends furthest from the reference? And one of the
# seven losses below pushes a fresh pair the *wrong* way: what does it train?
#
# ## Three data points
#
# A deterministic annotator: p(label) is 1 (equal rewards are a fair coin).

# %%
judge, parts, rows = Annotator(deterministic=True), [], []
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, n_pairs, judge, draw))
pairs = Pairs.cat(parts)
for i in range(3):
    x = int(pairs.chosen.prompt[i])
    c, l = int(pairs.chosen.response[i]), int(pairs.rejected.response[i])
    won = judge.probability(world.gold[x, c], world.gold[x, l]).item()
    rows.append((world.prompts[x], world.text(c), world.text(l), won))
pd.DataFrame(rows, columns=["prompt", "chosen", "rejected", "p(label)"])

# %% [markdown]
# ## The objective, in the symbols of the code
#
# Write d(y) = log π(y)/π_ref(y) and D = d(y_c) − d(y_r), both in nats. A
# method of this lesson is a function `link(D)`. Its gradient has one form,
#
# $$dL = -w \,\bigl(d\log\pi(y_c) - d\log\pi(y_r)\bigr), \qquad
# w = \mathtt{weight}(D) = -\frac{dL}{dD}.$$
#
# Everything a link can choose is w: how hard each pair pushes, and where the
# push ends. DPO has w = β σ(−βD), the chance that the implicit reward orders
# the pair wrongly; it is never 0. The hinge has β or nothing. IPO has
# 2(1/(2τ) − D): past its target it pushes *back*.
#
# Why that target? IPO maximises E[p(y ≻ μ)] − τ KL(π‖π_ref), a chance of
# winning against a law μ, which is bounded, in place of a reward, which is
# not. Its maximiser is π*(y) ∝ π_ref(y) exp(p(y ≻ μ)/τ), so
# D* = (p(y_c ≻ μ) − p(y_r ≻ μ))/τ. Draw both responses from μ and let I = 1
# if the first wins, else 0. The regression of (I − ½)/τ = ±1/(2τ) on D has
# D* as its solution. Written with the winner first, that is IPO.

# %%
display(*(teach.show(each.weight) for each in (dpo, hinge, ipo, exo_pref)))

# %% [markdown]
# ## Seven links on one picture
#
# Here β = 1, so that βD is D, and τ = ½, so that IPO asks for 1/(2τ) = 1 nat
# as the hinge asks for 1/β. cDPO, rDPO and EXO smooth the label by ε = 0.1.

# %%
grid = {
    f"{each.card.key}, {b}": (each, each.Config(**{name: b}))
    for each, name in ((dpo, "beta"), (ipo, "tau"))
    for b in strengths
}
shelf = {"dpo": grid[f"dpo, {main}"], "ipo": grid[f"ipo, {tau}"]}
shelf["hinge"] = hinge, hinge.Config(beta=main)
for each in (cdpo, exo_pref, rdpo):
    shelf[each.card.key] = each, each.Config(**smooth)
shelf["discopop"] = discopop, discopop.Config(beta=main)

# %%
D = torch.linspace(-2, 5, 701).double()
curves = {k: pull.of_grid(*each, D, 0.0) for k, each in shelf.items()}
never = [k for k, f in curves.items() if (f.push_chosen > 0).all()]
links(
    pd.concat([f.assign(method=k) for k, f in curves.items()]),
    loss_range=(-0.5, 3), push_range=(-1.1, 1.6),
    caption=f"Only {' and '.join(never)} push up at every D of the picture.",
)  # fmt: skip

# %% [markdown]
# Three families, and a stranger. DPO and rDPO never stop (rDPO's push does
# not even fade). The hinge stops at once. IPO, cDPO and EXO stop and pull
# back. DiscoPOP, found by a search over programs, pushes a pair at D = 0
# *down*, to its marker, and up only from beyond a hump.
#
# ## Two responses, two curves
#
# Other losses of a pair are no function of D: each response has a push of its
# own. Hold the rejected response at d = −2 and move the chosen one.
# SLiC is a hinge on log π itself, plus λ times the SFT loss. APO-zero is
# −σ(βd(y_c)) + σ(βd(y_r)); APO-down pushes *both* down.

# %%
alone = {"dpo": shelf["dpo"], "slic": (slic, slic.Config())}
for each in (apo_zero, apo_down):
    alone[each.card.key] = each, each.Config(beta=main)
curves = {k: pull.of_grid(*each, D - 2, -2.0) for k, each in alone.items()}
down = curves["apo_down"]
half = stops(down.margin, down.push_chosen)[0] - 2
links(
    pd.concat([f.assign(method=k) for k, f in curves.items()]),
    caption=f"At d(y_r) = −2, apo_down lets the chosen response fall to {half:.2f}; "
    "apo_zero and slic push it up everywhere.",
)  # fmt: skip

# %% [markdown]
# APO-down's push on the chosen response is β(σ′(βD) − σ′(βd(y_c))), with
# σ′ = σ(1 − σ): 0 where D and d(y_c) are equally far from 0. It lets the
# chosen response follow the rejected one half the way. (The next lesson's
# KTO is APO-zero with a reference point in place of 0.)
#
# ## By hand: one pair that is always won
#
# Two responses, one parameter D. Walk along −dL/dD from D = 0, in steps of
# 0.02 · push, and look in now and then.

# %%
marks, rows = (0, 10, 100, 1000, 20_000), {}
for name, (module, cfg) in (shelf | grid).items():
    at, rows[name] = torch.zeros(1).double(), {}
    for step in range(marks[-1] + 1):
        if step in marks:
            rows[name][f"D after {step}"] = at.item()
        at = at + 0.02 * module.weight(at, cfg)
walk = pd.DataFrame(rows).T
walk.round(3)

# %% [markdown]
# Each link lands where its push is 0: IPO on 1/(2τ), the hinge on 1/β, cDPO
# and EXO on the *same* log((1 − ε)/ε)/β, DiscoPOP on the wrong side. DPO's D
# grows like log(steps)/β: a larger β is *slower*, no tighter. In the limit
# every β gives the same policy, the one that never says the loser.
#
# ## By hand: three responses that beat each other in a circle
#
# Rock, paper, scissors with unequal stakes. No reward explains it, so DPO
# has no π* to find. IPO does: the solution of the regression above. Minimise
# the expected loss over all ordered pairs, drawn from μ = π_ref, numerically.

# %%
P, q = games.biased_rps(), torch.tensor((5, 3, 2)).double() / 10
i, j = (torch.arange(9) // 3)[:, None], (torch.arange(9) % 3)[:, None]
chance = (q[i] * q[j] * P[i, j])[:, 0]
logits, real = q.log().requires_grad_(), torch.ones(9, 1).bool()
optimizer, old = torch.optim.Adam([logits], lr=0.02), q.log()
for _ in range(2000):
    logps = logits.log_softmax(-1)
    batch = PairLogps(logps[i], logps[j], old[i], old[j], real, real)
    optimizer.zero_grad()
    (chance * ipo.loss(batch, ipo.Config(tau=tau))).sum().backward()
    optimizer.step()

# %%
found = logits.softmax(-1).detach()
theory = (q.log() + P @ q / tau).softmax(-1)
columns = {"π_ref = μ": q, "p(y ≻ μ)": P @ q, "π_ref·exp(p/τ)/Z": theory}
columns |= {"minimised": found}
pd.DataFrame(columns, index=["rock", "paper", "scissors"]).round(4)

# %% [markdown]
# The last two columns agree, for preferences that no reward has.
#
# ## Train
#
# Now a decoder on the deterministic pairs: DPO and IPO at three strengths,
# the hinge, cDPO, DiscoPOP at two β, both APOs. One more, which is no method:
# the loss −βD. Its weight is β for every pair; what is lost against DPO is
# only σ(−βD). Adam divides by the size of the gradient, so what tells the
# runs apart is the *shape* of a link, hardly its scale.

# %%
few = torch.arange(len(pairs)).unflatten(0, (seeds, -1))[:, :200].flatten()
seen = pairs[few], pairs[few].reference_logps(reference)
tracks = [implicit_reward.PairTracker(*seen, 1.0)]  # β = 1: in nats
tracks += [measure.Tracker(world, ref, gold=world.gold)]


def train(name, module, cfg, looks=4):
    run = offline.fit(
        reference.copies(seeds), reference, pairs, module, cfg, seed=SEED,
        steps=steps, batch_size=16, measures=tracks, every=steps // looks,
    )  # fmt: skip
    run.metrics["surprise"] = run.metrics.kl + run.metrics.entropy
    run.metrics["loss_is"] = name
    return run


# %%
flat = method(
    card=dpo.card, loss=lambda batch, cfg: -cfg.beta * batch.margin()
)
work = grid | {k: shelf[k] for k in ("hinge", "cdpo")}
work |= {"w = 1": (flat, dpo.Config(beta=main))}
work |= {k: alone[k] for k in ("apo_zero", "apo_down")}
runs = {name: train(name, *each) for name, each in work.items()}
for b in (strengths[0], main):
    name, cfg = f"discopop, {b}", discopop.Config(beta=b)
    runs[name] = train(name, discopop, cfg, looks=min(12, steps))
last = {k: f.metrics[f.metrics.step == steps] for k, f in runs.items()}
last = {k: f.set_index("seed") for k, f in last.items()}
mean = {k: f.mean(numeric_only=True) for k, f in last.items()}


# %%
def curve(*names):
    return pd.concat([runs[name].metrics for name in names])


free, held = f"dpo, {main}", f"ipo, {main}"
views.training_curves(
    curve(*grid),
    {"kl": "KL(π‖π_ref) (nats)", "margin": "mean D (nats)"},
    by="loss_is",
    caption=f"At strength {main} DPO ends {mean[free].kl:.2f} nats from the "
    f"reference and IPO {mean[held].kl:.2f}.",
)

# %% [markdown]
# ## Distance to the exact optimum
#
# IPO's target is π*_τ of the "reward" p(y ≻ μ) with μ = π_ref: its KL is
# known before training. DPO's column has no target beside it, for its infimum
# is at D = ∞ for every β: what you see there is how far the optimiser got.

# %%
wins = [
    judge.probability(reward[:, None], reward[None]) @ chances
    for reward, chances in zip(world.gold, ref.exp(), strict=True)
]
win_rate, rows = torch.stack(wins), []  # p(y ≻ μ)
for b in strengths:
    star, name = exact.optimal_policy(ref, win_rate, b), f"ipo, {b}"
    gap = exact.kl(measure.law(runs[name].policy, world), star).mean().item()
    goal = exact.kl(star, ref).mean().item()
    rows.append((b, goal, mean[name].kl, gap, mean[f"dpo, {b}"].kl))
names = "τ or β,KL of IPO's π*,KL of IPO,KL(π‖π*),KL of DPO".split(",")
pd.DataFrame(rows, columns=names).round(3)

# %% [markdown]
# (KL itself cannot grow for ever in a world of finitely many reviews: it ends
# at −log π_ref of the best one. D has no such ceiling.)
#
# ## The weights of a real run
#
# After training, ask each loss what it makes of its own training pairs, by
# differentiating it: `pull.of_pairs`. A pair still pushes forward, has
# stopped, or is pulled back.

# %%
known, pushed, rows = pairs.reference_logps(reference), {}, {}
names = {"dpo": free, "ipo": f"ipo, {tau}", "hinge": "hinge", "cdpo": "cdpo"}
names |= {"discopop": f"discopop, {main}"}
for key, name in names.items():
    judged = pull.of_pairs(*shelf[key], runs[name].policy, pairs, known)
    push, module, cfg = judged.push_chosen, *shelf[key]
    start = abs(module.weight(torch.zeros(1), cfg).item())
    rows[key] = {"forward": (push > 0).mean(), "stopped": (push == 0).mean()}
    rows[key] |= {"back": (push < 0).mean(), "mean D": judged.margin.mean()}
    rows[key]["|push|, end/start"] = push.abs().mean() / start
    pushed[key] = judged
pd.DataFrame(rows).T.round(3)

# %%
last_D = {k: main * pushed[k].margin for k in ("dpo", "hinge", "cdpo")}
near = {k: (abs(v.abs() - 1) < 0.1).mean() for k, v in last_D.items()}
views.distribution(
    last_D, bins=60, label="βD of a training pair (reward units)",
    marks={"the hinge's margin": 1.0},
    caption=f"{near['hinge']:.0%} of the hinge's pairs end within 0.1 of "
    f"|βD| = 1, against {near['dpo']:.0%} of DPO's.",
)  # fmt: skip

# %% [markdown]
# ## What the weight is for
#
# With w = 1 a pair that is long won pushes as hard as one that is lost. Gold
# says what this does to the reviews; the mean −log π_ref(y) over y ~ π, the
# *surprise* of the reference (its exp is a perplexity), says whether they are
# still reviews.

# %%
loose, start = (
    mean["w = 1"],
    runs["w = 1"].metrics.query("step == 0").mean(numeric_only=True),
)
views.training_curves(
    curve(free, "w = 1"),
    {"gold": "gold (reward units)", "surprise": "−log π_ref(y), y ~ π (nats)"},
    by="loss_is",
    caption=f"Gold starts at {start.gold:.2f} and ends at {mean[free].gold:.2f} "
    f"with DPO, at {loose.gold:.2f} with w = 1; the reference's surprise ends "
    f"at {mean[free].surprise:.2f} and at {loose.surprise:.2f} nats.",
)  # fmt: skip

# %% [markdown]
# ## Pushed the wrong way
#
# DiscoPOP's hump is 0.19/β nats wide: at β = 1 a single step may jump it, at
# β = 0.1 it is two nats.

# %%
wrong_way = [f"discopop, {strengths[0]}", f"discopop, {main}"]
low, high = (mean[name] for name in wrong_way)
views.training_curves(
    curve(*wrong_way, f"dpo, {strengths[0]}"),
    {"margin": "mean D (nats)", "gold": "gold (reward units)"},
    by="loss_is",
    caption=f"DiscoPOP ends at a mean D of {low.margin:+.2f} nats with "
    f"β = {strengths[0]} and of {high.margin:+.2f} with β = {main}; its gold at "
    f"{low.gold:.2f} and {high.gold:.2f}, that of DPO at β = {strengths[0]} at "
    f"{mean[f'dpo, {strengths[0]}'].gold:.2f}.",
)

# %% [markdown]
# ## Two responses, each by itself

# %%
up, fell = mean["apo_zero"], mean["apo_down"]
views.training_curves(
    curve(free, "apo_zero", "apo_down"),
    {"chosen": "mean d(y_c) (nats)", "rejected": "mean d(y_r) (nats)"},
    by="loss_is",
    caption=f"d(y_c) ends at {up.chosen:+.2f} with apo_zero, at "
    f"{fell.chosen:+.2f} with apo_down and at {mean[free].chosen:+.2f} with dpo.",
)

# %% [markdown]
# ## All runs on one picture

# %%
ends = {"w = 1": "never", "apo_zero": "one by one", "apo_down": "one by one"}
rows = []
for name, frame in last.items():
    kind = ends.get(name, "at some D")
    kind = "never" if name.startswith("dpo") else kind
    rows.append(frame.reset_index().assign(method=name, ends=kind))
best = exact.frontier(ref, world.gold, world.gold, np.geomspace(20, 0.02, 41))
table = pd.concat(rows)
far = table.groupby("ends").kl.mean()
views.points(
    table, best, "ends", root=True, always=(free, "w = 1", held),
    caption=f"The runs whose push never ends drift {far['never']:.2f} nats on "
    f"average, those that end at some D {far['at some D']:.2f}.",
)  # fmt: skip

# %% [markdown]
# ## Break it: the mean form with the sum's τ
#
# The paper's D sums over tokens, and so does `reduce="sum"`; TRL and HALOs
# take the mean. On responses of n tokens D_mean = D_sum/n, so
#
# (D_sum/n − 1/(2τ))² = (D_sum − n/(2τ))²/n²:
#
# the mean form with τ is the sum form with τ/n. Mistake (4) of the docstring
# is the mean form with the τ of a paper that sums.

# %%
wrong = method(card=ipo.card, loss=ipo.mistakes["4 always a mean over tokens"])
broken = train("mean, same τ", wrong, ipo.Config(tau=tau)).metrics
words = pairs.both.lengths.double().mean().item()
after = broken[broken.step == steps].mean(numeric_only=True)
right = mean[f"ipo, {tau}"]
views.training_curves(
    pd.concat([curve(f"ipo, {tau}"), broken]),
    {"kl": "KL(π‖π_ref) (nats)", "margin": "mean D (nats)"},
    by="loss_is",
    caption=f"The mean form ends at D = {after.margin:.2f} nats, the sum at "
    f"{right.margin:.2f}; a response has {words:.1f} tokens on average.",
)

# %% [markdown]
# **Its signature.** No error, a falling loss, and a policy several times
# further away than τ promises. Compare the *final D* with 1/(2τ): it is the
# one number that gives the convention away.
#
# ## Claims
#
# Does the KL still grow in the second half of training? The effect is the
# share of the final KL that was gained there. Differences are taken seed by
# seed.


# %%
def claim(key, paper, statement, effect, expected, unit, **more):
    where = f"reviews, {n_pairs} deterministic pairs, {steps} steps, lr 1e-3"
    return teach.claim(
        key=key, paper=paper, statement=statement, effect=effect, unit=unit,
        expected=expected, setting=where, out=OUT or None, **more,
    )  # fmt: skip


def late(name):
    table = runs[name].metrics.pivot(index="seed", columns="step", values="kl")
    return 1 - table[steps // 2] / table[steps]


ratio = {}
for key in ("dpo", "ipo"):
    ratio[key] = last[f"{key}, {strengths[0]}"].kl / last[f"{key}, {main}"].kl

# %%
share, times = "share of KL", f"KL at {strengths[0]} over KL at {main}"
azar = "Azar et al. 2023 (2310.12036)"
claim(
    "ipo-plateaus", azar,
    "On deterministic preferences IPO's KL plateaus (τ = 0.5).",
    late("ipo, 0.5"), (-0.1, 0.1), share,
)  # fmt: skip
claim(
    "dpo-grows", azar,
    "On deterministic preferences DPO's KL keeps growing (β = 0.5).",
    late("dpo, 0.5"), (0.1, 1.0), share,
)  # fmt: skip

# %%
claim(
    "dpo-ignores-beta", azar,
    "DPO's KL hardly depends on β (all β share one infimum).",
    ratio["dpo"], (0.67, 1.5), times,
)  # fmt: skip
claim(
    "ipo-heeds-tau", azar,
    "IPO's KL depends on τ: a tenth of τ gives more than 3 × KL.",
    ratio["ipo"], (3.0, float("inf")), times,
)  # fmt: skip

# %%
bins, unit = np.arange(-0.1, 99, 0.2), "reward units"
fullest = [
    0.2 * np.histogram(frame.margin.abs(), bins)[0].argmax()
    for _, frame in pushed["hinge"].groupby("seed")
]
slic_hf = "Zhao et al. 2023 (2305.10425), Liu et al. 2023 (2309.06657)"
claim(
    "hinge-spike", slic_hf,
    "Under the hinge |βD| has a spike at 1 (its fullest bin of width 0.2).",
    fullest, (0.8, 1.2), unit,
)  # fmt: skip

# %%
claim(
    "hinge-kl", slic_hf,
    "The hinge's KL stays below that of DPO trained equally long (β = 1).",
    last[free].kl - last["hinge"].kl, "positive", "nats",
)  # fmt: skip
rafailov = "Rafailov et al. 2023 (2305.18290), section 4"
lost = start.gold - last["w = 1"].gold
claim(
    "w1-degenerates", rafailov,
    "Without the weight (w = 1) gold ends below that of the reference.",
    lost, "positive", unit,
)  # fmt: skip

# %%
claim(
    "w1-gold", rafailov,
    "Without the weight gold ends below that of DPO.",
    last[free].gold - last["w = 1"].gold, "positive", unit,
)  # fmt: skip
claim(
    "w1-perplexity", rafailov,
    "Without the weight the samples surprise the reference more than DPO's.",
    last["w = 1"].surprise - last[free].surprise, "positive", "nats",
)  # fmt: skip

# %%
card = "D'Oosterlinck et al. 2024 (2408.06266)"
said = "The mean log-ratio of the chosen responses rises with APO-zero."
claim("apo-zero", card, said, last["apo_zero"].chosen, "positive", "nats")
said = "The mean log-ratio of the chosen responses falls with APO-down."
claim("apo-down", card, said, last["apo_down"].chosen, "negative", "nats")
card = "Lu et al. 2024 (2406.08414)"
for b, name in zip((strengths[0], main), wrong_way, strict=True):
    said = f"DiscoPOP ends with more gold reward than DPO (β = {b})."
    more = last[name].gold - last[f"dpo, {b}"].gold
    claim(f"discopop-{b}", card, said, more, "positive", unit)
first = runs[wrong_way[0]].metrics.query("step == @steps // 12 or step == 1")
claim(
    "discopop-wrong-way", "derived in the module",
    "DiscoPOP (β = 0.1) first lowers the mean D of its pairs (a twelfth in).",
    first.groupby("seed").margin.last(), "negative", "nats",
)  # fmt: skip

# %%
landed = walk[f"D after {marks[-1]}"]
claim(
    "one-pair", azar,
    "On a pair that is always won IPO ends at D = 1/(2τ), every τ.",
    [2 * b * landed[f"ipo, {b}"] - 1 for b in strengths], "zero", "",
    kind="exact", tolerance=1e-9,
)  # fmt: skip
push = []
for eps in (0.001, 0.1, 0.3):
    goal = (torch.tensor([1 - eps]).double() / eps).log() / main
    for each in (cdpo, exo_pref):
        push += each.weight(goal, each.Config(beta=main, epsilon=eps)).tolist()
claim(
    "exo-cdpo", "Ji et al. 2024 (2402.00856)",
    "cDPO and EXO stop at the same D = log((1 − ε)/ε)/β, at any ε.",
    push, "zero", "push", kind="exact", tolerance=1e-9,
)  # fmt: skip

# %%
off = []
for key, frame in pushed.items():
    module, cfg = shelf[key]
    weight = module.weight(torch.tensor(frame.margin).double(), cfg)
    off += [abs(weight.numpy() - frame.push_chosen).max()]
    off += [abs(frame.push_chosen + frame.push_rejected).max()]
claim(
    "decomposition", rafailov,
    "Differentiated, a link pushes with weight(D) up and weight(D) down.",
    off, "zero", "push", kind="exact", tolerance=1e-5,
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write IPO from
# `batch.margin(cfg.reduce)` and `cfg.tau`.


# %%
def my_ipo(batch, cfg):
    raise NotImplementedError


teach.check.ipo(my_ipo)


# %% tags=["solution"]
def solution(batch, cfg):
    return (batch.margin(cfg.reduce) - 0.5 / cfg.tau) ** 2


checked = teach.check.ipo(solution)
checked

# %% [markdown]
# **2 · Where w = 1 leads** (●●○, 15 minutes). Give each response a logit of
# its own and let c(y) be the chance to be the chosen one minus the chance to
# be the rejected one of a pair drawn from π_ref. Show that gradient descent
# on −βD visits π ∝ π_ref · exp(t · c). Which response wins as t → ∞, and is
# it the best one?

# %% tags=["solution"]
# dE[−βD]/dlogit(y) = −β(c(y) − π(y) Σ c) = −β c(y), for Σ c = 0: the logits
# grow at a constant rate. The winner is chosen often, so it is frequent.
c = ref.exp() * (2 * win_rate - 1)  # up to a factor of the prompt
for x, prompt in enumerate(world.prompts):
    y, top = int(c[x].argmax()), int(world.gold[x].argmax())
    print(f"{prompt}: {world.text(y)} ({world.gold[x, y]:.2f})", end="; ")
    print(f"the best is {world.text(top)} ({world.gold[x, top]:.2f})")

# %% [markdown]
# **3 · Noisy labels** (●●●, 15 minutes). Flip a share ε of the deterministic
# labels. Show that the expected IPO loss of a pair is then least at
# D = (1 − 2ε)/(2τ). Where is DPO's minimum now, and is it finite?

# %% tags=["solution"]
eps, fine = 0.2, torch.linspace(-1, 9, 100_001).double()
for key in ("ipo", "dpo"):
    module, cfg = shelf[key]
    risk = (1 - eps) * module.link(fine, cfg) + eps * module.link(-fine, cfg)
    print(key, "minimum at D =", round(fine[risk.argmin()].item(), 3))
print("(1 − 2ε)/(2τ) =", round((1 - 2 * eps) / (2 * tau), 3))
print("log((1 − ε)/ε)/β =", round(np.log((1 - eps) / eps) / main, 3))

# %% [markdown]
# ## What must hold
#
# Exact facts, at every size.

# %%
assert torch.allclose(found, theory, atol=1e-6)
assert never == ["dpo", "rdpo"] and abs(half + 1) < 0.01
assert abs(landed["cdpo"] - landed["exo_pref"]) < 1e-6
assert landed["discopop"] < 0 < landed["hinge"]
assert all((f.frontier_gap > -1e-6).all() for f in last.values())
assert all(
    np.isfinite(f[["kl", "gold", "margin"]]).all(None) for f in last.values()
)
assert max(off) < 1e-5 and checked.passed

# %% [markdown]
# ## References and next
#
# * Rafailov et al. 2023, *Direct Preference Optimization* (2305.18290),
#   section 4: the gradient and its weight.
# * Azar et al. 2023, *A general theoretical paradigm to understand learning
#   from human preferences* (2310.12036), equation 17.
# * Zhao et al. 2023, *SLiC-HF* (2305.10425), and Liu et al. 2023, *Statistical
#   rejection sampling* (2309.06657): the hinge, without and with a reference.
# * Ji et al. 2024, *EXO* (2402.00856); Lu et al. 2024, *DiscoPOP*
#   (2406.08414); D'Oosterlinck et al. 2024, *APO* (2408.06266).
#
# Next: **22 · Thumbs instead of pairs**, where no response has a partner.
