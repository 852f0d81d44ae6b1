# ---
# jupyter:
#   workbench:
#     title: "23 · Other divergences"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 23 · Other divergences: how far may a good response rise?
#
# **The claim in one sentence.** The divergence in E[r] − β D(π‖π_ref) decides
# how π*/π_ref grows with the reward, exponentially for DPO's KL and in a
# straight line for χ², and so how much one wrong reward can buy.
#
# After this lesson you can
#
# * turn any divergence with f′(0) = −∞ into a loss on pairs;
# * say which quantity is the implicit reward, and why β log u is not;
# * compute each loss's own optimum and hold a trained policy against it;
# * bound the gold reward from below when the reward is a proxy.
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
from workbench.core import divergences as D
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs, sample_pairs
from workbench.feedback.responses import Responses

# %%
from workbench.loops import offline
from workbench.measure import calibration
from workbench.measure import exact as measure
from workbench.methods.offline import chi2_direct, chipo, dpo, f_dpo
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 120, "figure": 1000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 2000, "figure": 20000}[PROFILE]
few = {"ci": (16, 32)}.get(PROFILE, (25, 100, 400))
beta, small = 0.3, 0.1
kinds = D.REVERSE_KL, D.CHI2_KL, D.JENSEN_SHANNON, D.alpha(0.5), D.FORWARD_KL
names = [f.name for f in kinds]
looks = {name: views.series(i) for i, name in enumerate(names)}
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref, gold = reference.response_logps(world).detach(), world.gold

# %% [markdown]
# ## The question
#
# Lesson 20 found π* ∝ π_ref exp(r/β). At β = 0.1 a response that is worth one
# reward unit more rises by a factor e¹⁰. If that unit is an error of the
# reward model, the policy writes the error.
#
# The exponential comes from one choice, the reverse KL. **Write down a
# prediction.** Of the policies with one and the same gold reward, which
# divergence leaves the most entropy? And with a heavy-tailed error on the
# reward, which gives the most gold?

# %% [markdown]
# ## Three data points
#
# Pairs from π_ref with Bradley–Terry labels, as in lesson 20. Beside them
# stands u* = π*/π_ref of the chosen response under two divergences, β = 0.3.

# %%
stars = [exact.optimal_policy_f(ref, gold, beta, f) for f in kinds]
stars = dict(zip(names, stars, strict=True))


def draw(law, n):
    every = [generator(s, "pairs") for s in range(SEED, SEED + seeds)]
    parts = [sample_pairs(world, law, n, Annotator(), g) for g in every]
    return Pairs.cat(parts)


# %%
pairs, rows = draw(ref, n_pairs), []
for i in range(3):
    x = int(pairs.chosen.prompt[i])
    c, l = int(pairs.chosen.response[i]), int(pairs.rejected.response[i])
    u = [(stars[k] - ref)[x, c].exp().item() for k in names[:2]]
    rows.append((world.prompts[x], world.text(c), world.text(l), *u))
columns = ["prompt", "chosen", "rejected"]
columns += [f"u*, {k}" for k in names[:2]]
pd.DataFrame(rows, columns=columns).round(3)

# %% [markdown]
# ## The objective, in the symbols of the code
#
# Let u = π/π_ref and D_f(π‖π_ref) = E_ref[f(u)], f convex. Maximise
#
# $$E_{\pi}[r] - \beta\, E_{ref}[f(u)] \quad\text{with}\quad E_{ref}[u]=1.$$
#
# The derivative with respect to u(y), divided by π_ref(y), is
# r − β f′(u) − λ(x). It is 0 at the optimum, unless u(y) = 0 is the end of
# the road. If f′(u) → −∞ as u → 0 that end is never reached, and
#
# $$r(x,y) = \beta f'(u(x,y)) + \lambda(x).$$
#
# A comparison cancels λ. So **f-DPO** is DPO with f′ in place of log:
# −log σ(β f′(u_c) − β f′(u_r)). **χPO** is the case
# f = ½(u − 1)² + u log u, f′ = u + log u (less 1), with the difference of
# rewards cut at ±2R.
#
# | divergence | f′(u) | u as a function of v = (r − λ)/β |
# |---|---|---|
# | reverse KL | log u | eᵛ |
# | χ² + KL | u − 1 + log u | the root; about v for large v |
# | Jensen–Shannon | log 2u/(1 + u) | eᵛ/(2 − eᵛ) |
# | α | (1 − u^−α)/α | (1 − αv)^(−1/α) |
# | forward KL | 1 − 1/u | 1/(1 − v) |

# %%
display(teach.show(f_dpo.slope_margin), teach.show(f_dpo.loss))
display(teach.show(chipo.loss))

# %% [markdown]
# ## By hand, on four responses
#
# The optimum of each divergence is found through λ: raise it until the
# masses π_ref u add up to 1. Then subtract β f′(u) from r.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
q, r = ref[0, four].softmax(-1), gold[0, four]
ratios, lambdas = {"π_ref": q, "r": r}, {}
for f in kinds:
    u = (exact.optimal_policy_f(q.log(), r, beta, f) - q.log()).exp()
    ratios[f"u, {f.name}"] = u
    lambdas[f.name] = r - beta * f.slope(u.log())
hand = pd.DataFrame({k: v.tolist() for k, v in ratios.items()}, index=texts)
hand.round(4)

# %%
table = {f"λ, {k}": v.tolist() for k, v in lambdas.items()}
wrong_log = r - beta * torch.tensor(hand["u, forward KL"].to_numpy()).log()
table["r − β log u, forward KL"] = wrong_log.tolist()
pd.DataFrame(table, index=texts).round(4)

# %% [markdown]
# Each λ is one number down its column: β f′(u) *is* the reward, up to that
# number. The last column is not constant. A trainer that logs β log u while
# it trains with the forward KL logs something that is no reward.
#
# ### Pure χ² leaves responses out
#
# For f = (u − 1)² the slope at u = 0 is −2: finite. Below the level ν the
# road ends at u = 0, and no log-ratio reaches it. The optimum is a straight
# line that is cut, u = max(0, r − ν)/(2c).

# %%
cut = exact.optimal_policy_chi2(q.log(), r, beta).exp()
line = cut / q * 2 * beta
where = {"r": r, "u": cut / q, "2c·u": line, "r − 2c·u": r - line}
pd.DataFrame({k: v.tolist() for k, v in where.items()}, index=texts).round(4)

# %% [markdown]
# r − 2c·u is ν for the responses that are left, and r itself for those that
# are not: there is no single constant, so no link can undo it.
#
# ## One picture of all of them
#
# All reviews of the film: β log u and u at each divergence's optimum,
# against the reward.

# %%
order = gold[0].argsort()
film, laws = gold[0, order].tolist(), dict(stars)
laws["pure χ²"] = exact.optimal_policy_chi2(ref, gold, beta)
logs, plain = [], []
for i, (name, star) in enumerate(laws.items()):
    d = (star - ref)[0, order]
    look = name, views.series(i)
    kept = (d > -torch.inf).tolist()
    some = [x for x, keep in zip(film, kept, strict=True) if keep]
    logs.append(views.Line(some, (beta * d[kept]).tolist(), *look))
    plain.append(views.Line(film, d.exp().tolist(), *look))

# %%
axes = "reward (reward units)", "β log u (reward units)"
left = views.Chart("β log u is the reward once", *axes, logs)
axes = "reward (reward units)", "u = π*/π_ref"
top = float((laws["reverse KL"] - ref)[0].exp().max())
right = views.Chart("How far a response rises", *axes, plain, y_log=False)
low = [k for k, v in laws.items() if (v[0] == -torch.inf).any()]
tops = {k: float((v - ref)[0].exp().max()) for k, v in laws.items()}
said = f"Only {' and '.join(low)} leaves responses out; the best review rises "
said += ", ".join(f"{v:.3g}-fold ({k})" for k, v in tops.items()) + "."
views.Fig(views.Panels([left, right]), said, pd.DataFrame([tops]))

# %% [markdown]
# ## Entropy at equal gold, without training
#
# The f-DPO paper finds that divergences nearer to the forward KL buy the same
# alignment with more diversity. Follow each family of optima from large β to
# small, and read the entropy at the same gold.

# %%
places = {"ci": 4}.get(PROFILE, 14)
rows = []
for f in kinds:
    for b in np.geomspace(10, 0.05, places):
        law = exact.optimal_policy_f(ref, gold, float(b), f)
        at = exact.expectation(law, gold).mean(), exact.entropy(law).mean()
        rows.append((f.name, float(b), *map(float, at)))
family = pd.DataFrame(rows, columns=["divergence", "beta", "gold", "entropy"])
ends = family.groupby("divergence").gold
levels = np.linspace(ends.min().max(), ends.max().min(), 7)[1:-1]


# %%
def entropy_at(frame, level):
    frame = frame.sort_values("gold")
    return np.interp(level, frame.gold, frame.entropy)


exactly = {k: entropy_at(g, levels) for k, g in family.groupby("divergence")}
gap = exactly["forward KL"] - exactly["reverse KL"]
layers = []
for name, part in family.groupby("divergence", sort=False):
    line = part.gold.tolist(), part.entropy.tolist(), name, looks[name]
    layers.append(views.Line(*line))

# %%
axes = "gold (reward units)", "entropy (nats per sequence)"
chart = views.Chart("Exact optima, β from 10 to 0.05", *axes, layers)
said = "At equal gold the forward KL's optimum has "
said += f"{gap.min():+.2f} to {gap.max():+.2f} nats of entropy against the "
said += "reverse KL's."
views.Fig(views.Panels([chart]), said, family)

# %% [markdown]
# Why? If π_ref is uniform, KL(π‖π_ref) is a constant minus the entropy. Then
# the reverse KL's optimum has, by its definition, the *largest* entropy among
# all policies of its gold. Only a π_ref that is far from uniform, or a
# training that stops short of the optimum, can put another one above it.
#
# ## Train
#
# One run a divergence, all seeds in one batched model, the same pairs.


# %%
def fit(start, near, data, module, cfg, loss=None):
    tracks = (measure.Tracker(world, near, gold=gold),)
    return offline.fit(
        start.copies(seeds), start, data,
        method(card=module.card, loss=loss or module.loss), cfg,
        steps=steps, seed=SEED, measures=tracks, every=max(1, steps // 8),
    )  # fmt: skip


# %%
runs = {}
for f in kinds:
    cfg = f_dpo.Config(beta=beta, divergence=f)
    runs[f.name] = fit(reference, ref, pairs, f_dpo, cfg)
curves = [run.metrics.assign(divergence=k) for k, run in runs.items()]
curves = pd.concat(curves)
last = curves[curves.step == steps]
mean = last.groupby("divergence").mean(numeric_only=True)

# %% [markdown]
# ## The signature views

# %%
most, least = mean.kl.idxmax(), mean.kl.idxmin()
views.training_curves(
    curves,
    {
        "gold": "gold (reward units)",
        "kl": "KL(π‖π_ref) (nats)",
        "entropy": "entropy (nats)",
    },
    by="divergence",
    caption=f"After {steps} steps {most} has drifted furthest "
    f"({mean.kl[most]:.2f} nats), {least} least ({mean.kl[least]:.2f}).",
)

# %% [markdown]
# The same β means a different strength in each: f″(1) is 1 for the KLs and
# α, ½ for Jensen–Shannon and 2 for χ² + KL. So compare at equal gold, not at
# equal β or step: the gold that every run of a seed reaches.

# %%
rows = []
for seed, part in curves.groupby("seed"):
    reach = part.groupby("divergence").gold.max().min()
    for name, run in part.groupby("divergence"):
        rise = run.sort_values("step")
        rise = rise[: rise.gold.argmax() + 1]
        rows.append((seed, name, reach, entropy_at(rise, reach)))
matched = pd.DataFrame(rows, columns=["seed", "divergence", "gold", "entropy"])
matched = matched.pivot(index="seed", columns="divergence", values="entropy")
matched[names].round(3)

# %% [markdown]
# ## Distance to the exact optimum
#
# Each loss has its own target. Row: what was trained. Column: KL(π‖π*_f) to
# the optimum of divergence f, at the same β. The first row is π_ref itself.

# %%
trained = {k: measure.law(run.policy, world) for k, run in runs.items()}
away = {"π_ref": ref[None]} | trained
away = {
    k: {g: exact.kl(v, star).mean(-1) for g, star in stars.items()}
    for k, v in away.items()
}
rows = {k: {g: v.mean().item() for g, v in row.items()} for k, row in away.items()}
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# The diagonal is the distance to a run's own target. How much of the way from
# π_ref is done is a claim below.
#
# ## Calibration
#
# The paper says that the divergence changes the calibration error. Its script
# calls exp(mean token log-prob of the chosen response) the confidence, and
# asks whether that mean exceeds the rejected one's. The other reading is the
# forecast σ(β f′(u_c) − β f′(u_r)) against the label. Both, on held-out
# pairs:

# %%
held = sample_pairs(world, ref, 2 * n_pairs, Annotator(), generator(99, "held"))
x, c, l = held.chosen.prompt, held.chosen.response, held.rejected.response
rows = []
for f in kinds:
    for seed, law in enumerate(trained[f.name]):
        per = law / (world.n_words + 1)  # the end token counts
        sure, right = per[x, c].exp(), per[x, c] > per[x, l]
        reward = beta * f.slope(law - ref)
        forecast = (reward[x, c] - reward[x, l]).sigmoid()
        scores = calibration.ece(forecast, torch.ones(len(x)))
        bins = torch.zeros(10).double()
        bins.index_add_(0, (10 * sure).long().clamp(max=9), sure - right.double())
        rows.append((f.name, seed, scores, bins.abs().sum().item() / len(x)))

# %%
known = ["divergence", "seed", "forecast", "script"]
ece = pd.DataFrame(rows, columns=known)
by_kind = ece.groupby("divergence")[["forecast", "script"]]
width = ece.groupby("seed")[["forecast", "script"]].agg(np.ptp)
by_kind.mean().loc[names].round(4)

# %% [markdown]
# ## χPO where the data are thin
#
# An editor throws away nearly every review with a grammar error. A reference
# fine-tuned on what is left hardly writes "good fun very", so pairs hardly
# show what such a review is worth; its *words* look splendid. Sentiment is
# the proxy here, gold is sentiment plus fluency.

# %%
flawed = world.attributes["fluency"] < 0
edited = (ref - 4.6 * flawed).log_softmax(-1)  # a hundredth
corpus = world.draw(edited, 16 * n_pairs, generator(SEED, "corpus"))
clean = offline.fit(
    reference.copies(1), None, Responses.of(corpus), sft, sft.Config(),
    steps=2 * steps, batch_size=128, seed=SEED,
).policy.member(0).requires_grad_(False)  # fmt: skip
thin = clean.response_logps(world).detach()
star = exact.optimal_policy(thin, gold, small)
spread = (star.exp() * (star - thin).exp()).sum(-1).mean()
bad = [(v.exp() * flawed).sum(-1).mean() for v in (ref, thin)]
print(f"π_ref writes {bad[0]:.1%} flawed reviews, the edited one {bad[1]:.1%}")
print(f"concentrability E_π*[π*/π_ref] = {spread:.1f} at β = {small}")

# %%
rows = []
for n in few:
    scarce = draw(thin, n)
    for key, module in (("dpo", dpo), ("chipo", chipo)):
        run = fit(clean, thin, scarce, module, module.Config(beta=small))
        rows.append(run.metrics.assign(method=key, n=n))
thinly = pd.concat(rows)

# %%
shown = thinly.assign(n="gold, " + thinly.n.astype(str) + " pairs")
key = ["method", "seed", "step"]
shown = shown.pivot(index=key, columns="n", values="gold").reset_index()
panels = {f"gold, {n} pairs": "gold (reward units)" for n in few}
drop, final = {}, {}
for (name, n), part in thinly.groupby(["method", "n"]):
    by_seed = part.pivot(index="step", columns="seed", values="gold")
    drop[name, n] = by_seed.max() - by_seed.loc[steps]
    final[name, n] = by_seed.loc[steps]

# %%
n = few[0]
falls = {k: drop[k, n].mean() for k in ("dpo", "chipo")}
views.training_curves(
    shown.sort_values("method", ascending=False),
    panels,
    by="method",
    caption=f"From {n} pairs gold ends {falls['dpo']:.2f} below its peak with "
    f"DPO and {falls['chipo']:.2f} below it with χPO.",
)

# %%
said = [f"{k} {final[k, few[0]].mean():.2f}" for k in ("dpo", "chipo")]
also = [f"{k} {final[k, few[-1]].mean():.2f}" for k in ("dpo", "chipo")]
views.sweep(
    thinly[thinly.step == steps],
    "n",
    {"gold": "gold (reward units)", "chi2": "χ²(π‖π_ref)"},
    "method",
    caption=f"Final gold from {few[0]} pairs: {', '.join(said)}; from "
    f"{few[-1]}: {', '.join(also)}.",
    x_label="pairs",
    log_x=True,
)

# %% [markdown]
# ## When the reward is known to be a proxy
#
# Laidlaw, Singhal and Dragan penalise χ² itself, by reinforcement learning.
# Here the optimum is a closed form. Let R be the proxy, G the gold reward and
# ρ their correlation under π_ref. Cauchy–Schwarz on what R does not explain
# of G gives, for **every** policy,
#
# $$\frac{\Delta G}{sd(G)} \ge \rho\,\frac{\Delta R}{sd(R)}
#   - \sqrt{(1-\rho^2)\,\chi^2(\pi\|\pi_{ref})}.$$
#
# At a given gain ΔR the χ² optimum has the least χ², hence the best floor.
# Give every response an error of half gold's spread, first Gaussian, then
# Student with two degrees of freedom: the same size, another tail.

# %%
display(teach.show(chi2_direct.gold_floor))


# %%
def proxy(seed, tail):
    draw = np.random.default_rng([seed, 23])
    error = draw.standard_t(2, gold.shape) if tail else draw.normal(size=gold.shape)
    error = torch.tensor(error)
    error = error - exact.expectation(ref, error)[:, None]
    size = exact.covariance(ref, gold, gold) / exact.covariance(ref, error, error)
    return gold + 0.5 * size.sqrt()[:, None] * error


def gain(law, reward):
    risen = exact.expectation(law, reward) - exact.expectation(ref, reward)
    return risen / exact.covariance(ref, reward, reward).sqrt()


# %%
laws_of = {
    "reverse KL": lambda R, b: exact.optimal_policy(ref, R, b),
    "pure χ²": lambda R, b: chi2_direct.log_law(
        ref, R, chi2_direct.Config(b, root=False)
    ),
}
rows, grid = [], np.geomspace(30, 0.03, 25)
for seed in range(SEED, SEED + seeds):
    for tail in ("light", "heavy"):
        R = proxy(seed, tail == "heavy")
        for kind, optimum in laws_of.items():
            for b in map(float, grid):
                law = optimum(R, b)
                floor = chi2_direct.gold_floor(law, ref, R, gold)
                at = gain(law, R), gain(law, gold), exact.expectation(law, gold)
                above = (at[2] - floor).min()
                at = [v.mean().item() for v in at]
                rows.append((seed, tail, kind, b, *at, above.item()))

# %%
known = ["seed", "tail", "penalty", "b", "proxy", "gain", "gold", "above"]
paths = pd.DataFrame(rows, columns=known)
ticks, rows = np.linspace(0.1, 1.5, 8), []
for (seed, tail, kind), part in paths.groupby(["seed", "tail", "penalty"]):
    part = part.sort_values("proxy")
    for at in (*ticks, 1.0):
        seen = np.interp(at, part.proxy, part.gain)
        rows.append((seed, tail, kind, at, seen))
equal = pd.DataFrame(rows, columns=["seed", "tail", "penalty", "proxy", "gain"])
