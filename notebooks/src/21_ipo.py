# ---
# jupyter:
#   workbench:
#     title: "21 · IPO, and the loss as a link function"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 21 · IPO, and the loss as a link function
#
# **The claim in one sentence.** When one response always wins, DPO pushes
# its margin towards infinity whatever β is; IPO pulls it to 1/(2τ) and stops.
#
# After this lesson you can
#
# * read a pairwise loss as a function of one number, the margin D;
# * say from its slope where it stops pushing;
# * compute what IPO converges to, for any preferences, cyclic ones too;
# * convert τ between the sum form and the mean form.
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
from workbench.measure import implicit_reward
from workbench.methods.offline import dpo, ipo
from workbench.models import tiny
from workbench.worlds import exact, games
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 160, "figure": 2000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 1000, "figure": 20000}[PROFILE]
strengths, main = (0.1, 0.5, 1.0), 0.5  # β of DPO, τ of IPO

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
# DPO's β is called the strength of the pull to the reference. **Write down a
# prediction.** You train on such labels with β = 0.1, 0.5 and 1, for a very
# long time. Which run ends furthest from the reference?

# %% [markdown]
# ## Three data points
#
# A deterministic annotator: p(label) is 1 in every row (equal rewards are a
# fair coin).

# %%
judge = Annotator(deterministic=True)
parts = []
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, n_pairs, judge, draw))
pairs, rows = Pairs.cat(parts), []
for i in range(3):
    x = int(pairs.chosen.prompt[i])
    c, l = int(pairs.chosen.response[i]), int(pairs.rejected.response[i])
    won = judge.probability(world.gold[x, c], world.gold[x, l]).item()
    rows.append((world.prompts[x], world.text(c), world.text(l), won))
pd.DataFrame(rows, columns=["prompt", "chosen", "rejected", "p(label)"])

# %% [markdown]
# ## The objective, in the symbols of the code
#
# Both losses read a pair through one number,
# D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r), in nats.
#
# * DPO's `link(D)` = −log σ(βD). Its slope −β σ(−βD) is never 0.
# * IPO's `link(D)` = (D − 1/(2τ))². Its slope is 0 at D = 1/(2τ) and pushes
#   *back* beyond.
#
# Where does 1/(2τ) come from? IPO maximises E[p(y ≻ μ)] − τ KL(π‖π_ref): a
# chance of winning against a law μ, which is bounded, in place of a reward,
# which is not. Its maximiser is π*(y) ∝ π_ref(y) exp(p(y ≻ μ)/τ), so
# D* = (p(y_c ≻ μ) − p(y_r ≻ μ))/τ. Draw both responses from μ and let
# I = 1 if the first wins, else 0. The regression of (I − ½)/τ on D has D* as
# its solution, and (I − ½)/τ = ±1/(2τ): written with the winner first, that
# is IPO.

# %%
display(teach.show(dpo.link), teach.show(ipo.link), teach.show(ipo.weight))

# %% [markdown]
# ## One margin, many links
#
# The push −dL/dD against D, relative to the push at D = 0. The hinge of
# SLiC, max(0, 1 − βD), is a third link: it pushes with one force and stops
# at once.

# %%
D = torch.linspace(-2, 6, 161).double()
settings = {b: (dpo.Config(beta=b), ipo.Config(tau=b)) for b in (main, 0.1)}
layers = [views.HLine(0.0)]
for i, (b, (soft, square)) in enumerate(settings.items()):
    for name, module, cfg in (("dpo", dpo, soft), ("ipo", ipo, square)):
        push = module.weight(D, cfg) / module.weight(0 * D, cfg)
        look = (f"{name}, {b}", views.series(i, views.method(name)))
        layers.append(views.Line(D.tolist(), push.tolist(), *look))

# %%
hinge, look = (main * D < 1).double().tolist(), views.role("law")
layers.append(views.Line(D.tolist(), hinge, f"hinge, {main}", look))
axes = ("margin D (nats)", "push −dL/dD, relative to D = 0")
chart = views.Chart("Where a loss stops pushing", *axes, layers)
said = "Only DPO's push is positive at every D; IPO's changes sign at 1/(2τ)."
views.Fig(views.Panels([chart]), said, pd.DataFrame({"D": D}))

# %% [markdown]
# ## By hand: one pair that is always won
#
# Two responses, π_ref even. Follow −dL/dD and print every few steps. (D is
# itself the parameter here; a step is D + 0.1 · push.)

# %%
marks, rows = (0, 10, 100, 1000, 10_000), []
for b in strengths:
    for name, module in (("dpo", dpo), ("ipo", ipo)):
        cfg = dpo.Config(beta=b) if name == "dpo" else ipo.Config(tau=b)
        at, row = torch.zeros(1).double(), {"loss": name, "β or τ": b}
        for step in range(marks[-1] + 1):
            if step in marks:
                row[f"D after {step}"] = at.item()
            at = at + 0.1 * module.weight(at, cfg)
        rows.append(row)
walk = pd.DataFrame(rows)
walk.round(3)

# %% [markdown]
# IPO lands on 1/(2τ). DPO's D keeps growing, like log(steps)/β: a larger β
# is *slower*, no tighter. In the limit every β gives the same policy, the
# one that never says the loser.
#
# ## By hand: three responses that beat each other in a circle
#
# Rock, paper, scissors with unequal stakes. No reward explains it, so DPO
# has no π* to find. IPO does: the solution of the regression above. Minimise
# the expected loss over all ordered pairs, drawn from μ = π_ref, numerically.

# %%
P, q = games.biased_rps(), torch.tensor((5, 3, 2)).double() / 10
i, j = (torch.arange(9) // 3)[:, None], (torch.arange(9) % 3)[:, None]
weight = (q[i] * q[j] * P[i, j])[:, 0]
logits, real = q.log().requires_grad_(), torch.ones(9, 1).bool()
optimizer = torch.optim.Adam([logits], lr=0.02)
for _ in range(2000):
    logps, old = logits.log_softmax(-1), q.log()
    batch = PairLogps(logps[i], logps[j], old[i], old[j], real, real)
    loss = (weight * ipo.loss(batch, ipo.Config(tau=main))).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %%
found = logits.softmax(-1).detach()
theory = (q.log() + P @ q / main).softmax(-1)
columns = {"π_ref = μ": q, "p(y ≻ μ)": P @ q, "π_ref·exp(p/τ)/Z": theory}
columns |= {"minimised": found}
pd.DataFrame(columns, index=["rock", "paper", "scissors"]).round(4)

# %% [markdown]
# The last two columns agree, for preferences that no reward has.
#
# ## Sum or mean
#
# The paper's D sums over tokens, and so does `reduce="sum"`. TRL and HALOs
# take the mean over tokens. On responses of n tokens each D_mean = D_sum/n,
# so
#
# (D_sum/n − 1/(2τ))² = (D_sum − n/(2τ))²/n²:
#
# the mean form with τ is the sum form with τ/n, times 1/n². The number that
# is called τ = 0.1 in both means n times more drift in one of them.

# %%
n, tau = 3, 0.1
logps = torch.rand(4, 5, n, generator=generator(SEED, "logps")).double().log()
full = torch.ones(5, n).bool()
batch = PairLogps(*logps, full, full)
as_mean = ipo.loss(batch, ipo.Config(tau=tau, reduce="mean"))
as_sum = ipo.loss(batch, ipo.Config(tau=tau / n))
factor = (as_sum / as_mean).tolist()
print("sum form at τ/n, over mean form at τ:", [round(f, 9) for f in factor])

# %% [markdown]
# ## Train
#
# Both losses, three strengths. The exact target of IPO is π*_τ of the
# "reward" p(y ≻ μ) with μ = π_ref, so the tracker measures it like any other.

# %%
wins = []
for reward, law in zip(world.gold, ref.exp(), strict=True):
    wins.append(judge.probability(reward[:, None], reward[None]) @ law)
win_rate = torch.stack(wins)  # p(y ≻ μ)
in_nats = (pairs.reference_logps(reference), 1.0)  # β = 1
margins = implicit_reward.PairTracker(pairs, *in_nats)


# %%
def train(module, cfg):
    strength = cfg.tau if module.card.key == "ipo" else cfg.beta
    near = {"gold": world.gold, "proxy": win_rate, "beta": strength}
    tracks = (margins, measure.Tracker(world, ref, **near))
    return offline.fit(
        reference.copies(seeds), reference, pairs, module, cfg, steps=steps,
        seed=SEED, measures=tracks, every=steps // 4,
    ).metrics.assign(loss_is=f"{module.card.key}, {strength}")  # fmt: skip


# %%
runs = {}
for b in strengths:
    runs["dpo", b] = train(dpo, dpo.Config(beta=b))
    runs["ipo", b] = train(ipo, ipo.Config(tau=b))
curves = pd.concat(runs.values())

# %% [markdown]
# ## The signature views
#
# Implicit rewards first, of IPO at τ = 0.5 (in nats: β is 1 here).

# %%
last = {k: f[f.step == steps].set_index("seed") for k, f in runs.items()}
mean = {k: f.mean(numeric_only=True) for k, f in last.items()}
end = mean["ipo", main]
views.implicit_rewards(
    runs["ipo", main],
    caption=f"IPO at τ = {main}: the margin of the training pairs ends at "
    f"{end.margin:.2f} nats, below 1/(2τ) = {1 / (2 * main):.2f}.",
)

# %% [markdown]
# Why below? A response that beats everyone cannot be 1/(2τ) above each of
# its rivals *and* they above theirs. The target of a pair is an average,
# D* = (p(y_c ≻ μ) − p(y_r ≻ μ))/τ.
#
# Now drift. Same data, same steps, both losses at every strength:

# %%
views.training_curves(
    curves,
    {"kl": "KL(π‖π_ref) (nats)", "margin": "D (nats)"},
    by="loss_is",
    caption=f"At strength {strengths[-1]}, IPO ends at "
    f"{mean['ipo', strengths[-1]].kl:.2f} nats and DPO at "
    f"{mean['dpo', strengths[-1]].kl:.2f}.",
)

# %%
pick = curves[curves.loss_is.isin([f"dpo, {main}", f"ipo, {main}"])]
best = exact.frontier(ref, world.gold, world.gold, np.geomspace(20, 0.05, 25))
views.overoptimisation(
    pick.assign(curve=pick.loss_is, proxy=pick.proxy),
    exact=best[best.kl < 1.2 * pick.kl.max()],
    caption=f"At strength {main} gold ends at {end.gold:.2f} with IPO and at "
    f"{mean['dpo', main].gold:.2f} with DPO; the proxy is p(y ≻ μ).",
)  # fmt: skip

# %% [markdown]
# ## Distance to the exact optimum
#
# IPO has one: its KL from the reference and D are known before training.

# %%
rows = []
for b in strengths:
    star = exact.optimal_policy(ref, win_rate, b)
    goal, got = exact.kl(star, ref).mean().item(), mean["ipo", b]
    free = mean["dpo", b].kl
    rows.append((b, goal, got.kl, got.kl_to_optimum, free))
names = ["τ or β", "KL of IPO's optimum", "KL of IPO, trained"]
names += ["KL(π‖IPO's optimum)", "KL of DPO, trained"]
pd.DataFrame(rows, columns=names).round(3)

# %% [markdown]
# DPO's column has no target beside it: its infimum is at D = ∞ for every β.
# What you see is how far the optimiser got, and that does depend on β. (KL
# itself cannot grow for ever in a world of finitely many reviews: it ends at
# −log π_ref of the best one. D has no such ceiling; compare the two panels
# of the drift figure.)
#
# ## Break it: the mean form with the sum's τ
#
# Mistake (4): a mean over tokens, with the τ of a paper that sums.

# %%
wrong = method(card=ipo.card, loss=ipo.mistakes["4 always a mean over tokens"])
broken = train(wrong, ipo.Config(tau=main)).assign(loss_is="mean, same τ")
right = runs["ipo", main].assign(loss_is="sum")
words = pairs.both.lengths.double().mean().item()
after = broken[broken.step == steps].mean(numeric_only=True)
views.training_curves(
    pd.concat([right, broken]),
    {"kl": "KL(π‖π_ref) (nats)", "margin": "D (nats)"},
    by="loss_is",
    caption=f"The mean form ends at D = {after.margin:.2f} nats instead of "
    f"{end.margin:.2f}; a response has {words:.1f} tokens on average.",
)

# %% [markdown]
# **Its signature.** No error, a falling loss, and a policy several times
# further away than τ promises. Compare the *final D* with 1/(2τ): it is the
# one number that gives the convention away.

# %% [markdown]
# ## Claims
#
# Does the KL still grow in the second half of training? The effect is the
# share of the final KL that was gained there.


# %%
def late(frame):
    at = {k: f.set_index("seed").kl for k, f in frame.groupby("step")}
    return 1 - at[steps // 2] / at[steps]


def claim(key, statement, effect, expected, unit, strength=main):
    where = f"reviews, {n_pairs} deterministic pairs, {steps} steps, lr 1e-3"
    return teach.claim(
        key=key, paper="Azar et al. 2023 (2310.12036)", statement=statement,
        effect=effect, expected=expected, unit=unit, out=OUT or None,
        setting=f"{where}, β = τ = {strength}",
    )  # fmt: skip


# %%
said, unit = "On deterministic preferences IPO's KL plateaus.", "share of KL"
claim("ipo-plateaus", said, late(runs["ipo", main]), (-0.1, 0.1), unit)
said = "On deterministic preferences DPO's KL keeps growing."
claim("dpo-grows", said, late(runs["dpo", main]), (0.1, 1.0), unit)

# %%
ends, unit = strengths[::2], "ratio of KL, lowest to highest strength"
ratio = {k: last[k, ends[0]].kl / last[k, ends[1]].kl for k in ("dpo", "ipo")}
said = "DPO's KL hardly depends on β (all β share one infimum)."
claim("dpo-ignores-beta", said, ratio["dpo"], (0.67, 1.5), unit, ends)
said = "IPO's KL depends on τ: a tenth of τ gives more than 3 × KL."
claim("ipo-heeds-tau", said, ratio["ipo"], (3.0, float("inf")), unit, ends)

# %%
landed = walk[walk.loss == "ipo"].set_index("β or τ")["D after 10000"]
off = [2 * tau * D - 1 for tau, D in landed.items()]
teach.claim(
    key="one-pair", kind="exact", expected="zero", tolerance=1e-9,
    statement="On a pair that is always won IPO ends at D = 1/(2τ), every τ.",
    effect=off, paper="Azar et al. 2023 (2310.12036)", out=OUT or None,
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
# **2 · The law μ matters** (●●○, 10 minutes). DPO's minimiser does not
# depend on which pairs were drawn. IPO's does. Compute it on the circle
# above when the pairs come from μ = (0.1, 0.1, 0.8) and π_ref stays.

# %% tags=["solution"]
mu = torch.tensor((1, 1, 8)).double() / 10
moved = (q.log() + P @ mu / main).softmax(-1)
pd.DataFrame({"μ = π_ref": theory, "other μ": moved}).round(3)

# %% [markdown]
# **3 · Noisy labels** (●●●, 15 minutes). Flip a share ε of the deterministic
# labels. Show that the expected IPO loss of a pair is then least at
# D = (1 − 2ε)/(2τ). Where is DPO's minimum now, and is it finite?

# %% tags=["solution"]
eps, fine = 0.2, torch.linspace(-1, 9, 100_001).double()
for module, cfg in ((ipo, ipo.Config(tau=main)), (dpo, dpo.Config(beta=main))):
    risk = (1 - eps) * module.link(fine, cfg) + eps * module.link(-fine, cfg)
    lowest = fine[risk.argmin()].item()
    print(module.card.key, "minimum at D =", round(lowest, 3))
print("(1 − 2ε)/(2τ) =", round((1 - 2 * eps) / (2 * main), 3))
print("log((1 − ε)/ε)/β =", round(np.log((1 - eps) / eps) / main, 3))

# %% [markdown]
# ## What must hold

# %%
assert torch.allclose(found, theory, atol=1e-6)
assert np.allclose(factor, n**2)
late_walk = walk[walk.loss == "dpo"]
assert (late_walk["D after 10000"] > late_walk["D after 1000"] + 1).all()
assert (curves.frontier_gap > -1e-6).all()
assert np.isfinite(curves.kl).all() and checked.passed

# %% [markdown]
# ## References and next
#
# * Azar et al. 2023, *A general theoretical paradigm to understand learning
#   from human preferences* (2310.12036), equation 17.
# * Zhao et al. 2023, *SLiC-HF* (2305.10425): the hinge.
#
# Next: **30 · Policy gradients**, where the policy writes its own responses.
