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
from itertools import product
from types import SimpleNamespace as method

import numpy as np
import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core import divergences as D
from workbench.core.seeds import generator
from workbench.feedback import annotator
from workbench.feedback.kinds import responses
from workbench.feedback.kinds.pairs import Pairs, sample_pairs

# %%
from workbench.loops import offline
from workbench.measure import calibration
from workbench.measure import exact as measure
from workbench.methods.direct.links import dpo, f_dpo
from workbench.methods.direct.pessimism import chi2_direct, chipo
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.worlds import reviews, solutions

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 80, "figure": 1000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 2000, "figure": 20000}[PROFILE]
beta, small, few = 0.3, 0.1, (25, 100, 400)
divs = D.REVERSE_KL, D.CHI2_KL, D.JENSEN_SHANNON, D.alpha(0.5), D.FORWARD_KL
world = reviews.Reviews(3)
reference = tiny.reference(world, DEVICE)
ref, gold = reference.response_logps(world).detach(), world.gold
stars = {f.name: solutions.optimal_policy_f(ref, gold, beta, f) for f in divs}
names, unit = list(stars), "gold (reward units)"

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
# Pairs from π_ref with Bradley–Terry labels, as in lesson 20. Only the loss
# changes in this lesson.


# %%
def draw(law, n, use="pairs"):
    rng = (generator(s, use) for s in range(SEED, SEED + seeds))
    judge = annotator.Annotator()
    return Pairs.cat([sample_pairs(world, law, n, judge, g) for g in rng])


pairs, rows = draw(ref, n_pairs), []
for i, x in enumerate(pairs.chosen.prompt[:3].tolist()):
    c, l = (int(t.response[i]) for t in (pairs.chosen, pairs.rejected))
    rows.append((world.prompts[x], world.text(c), world.text(l)))
pd.DataFrame(rows, columns=["prompt", "chosen", "rejected"])

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
# f = ½(u − 1)² + u log u, f′ = u + log u, with the difference of rewards cut
# at ±2R, where |r| ≤ R. (A constant in f′ cancels; the library's f′(1) is 0.)
#
# | divergence | f′(u) | u as a function of v = (r − λ)/β |
# |---|---|---|
# | reverse KL | log u | eᵛ |
# | χ² + KL | u − 1 + log u | the root; about v for large v |
# | Jensen–Shannon | log 2u/(1 + u) | eᵛ/(2 − eᵛ) |
# | α | (1 − u^−α)/α | (1 − αv)^(−1/α) |
# | forward KL | 1 − 1/u | 1/(1 − v) |

# %%
display(teach.show(f_dpo.slope_margin), teach.show(chipo.loss))

# %% [markdown]
# `CHI2_KL` is χPO's f. `_cut` is DPO's −log σ after a clamp at ±2R.
#
# ## By hand, on four responses
#
# The optimum of each divergence is found through λ: raise it until the
# masses π_ref u add up to 1. Then subtract β f′(u) from r. The last three
# rows are no f-DPO: what β log u leaves under the forward KL, and **pure χ²**
# (c stands for β, f = (u − 1)², its slope 2u up to a constant).

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
q, r = ref[0, four].softmax(-1), gold[0, four]
u = {
    f: solutions.optimal_policy_f(q.log(), r, beta, f).exp() / q for f in divs
}
cut = solutions.optimal_policy_chi2(q.log(), r, beta).exp() / q
hand = {"π_ref": q, "r": r} | {f"u, {f.name}": u[f] for f in divs}
levels = {f"λ, {f.name}": r - beta * f.slope(u[f].log()) for f in divs}
logged = {"r − β log u, forward KL": r - beta * u[D.FORWARD_KL].log()}
hand |= levels | logged | {"u, χ²": cut, "r − 2cu, χ²": r - 2 * beta * cut}
pd.DataFrame(hand, index=texts).T.round(4)

# %% [markdown]
# Under each divergence β f′(u) *is* the reward: what is left of r, λ, is one
# number along its row. β log u under the forward KL leaves another number for
# each response: a trainer that logs it logs something that is no reward.
#
# Pure χ² has a finite slope at u = 0. Below a level ν its optimum gives a
# response up, u = max(0, r − ν)/(2c), and the constant breaks: no link of
# log-ratios undoes that. The logarithm in χPO's u + log u mends it.
#
# ## One picture of all of them
#
# All reviews of the film at each optimum, against the reward.

# %%
laws = stars | {"pure χ²": solutions.optimal_policy_chi2(ref, gold, beta)}
x, place = np.unique(gold[0], return_index=True)
u = {k: (law - ref)[0, place].exp() for k, law in laws.items()}
frame = pd.DataFrame(u, index=x).melt(var_name="kind", ignore_index=False)
frame["β log u"] = beta * np.log(frame.value.replace(0, np.nan))
frame["u"] = frame.value.where(frame.value < 10)
views.training_curves(
    frame.rename_axis("reward").reset_index().round(3), x="reward", by="kind",
    columns={"β log u": "reward units", "u": "π*/π_ref, below 10"},
    caption=f"At β = {beta} the best review rises {u['reverse KL'].max():.3g}"
    f"-fold under reverse KL, {u['pure χ²'].max():.3g}-fold under pure χ².",
)  # fmt: skip

# %% [markdown]
# Left, only the reverse KL's line is straight, with slope 1: only there is
# β log u the reward. Right, the reverse KL's curve is an exponential, pure χ²
# a straight line that starts at ν, and χ² + KL bends into a line. Where f′ has
# a ceiling (Jensen–Shannon, α, forward KL), u has a pole just above the best
# reward: these go further than the exponential at the very top.
#
# ## Entropy at equal gold, without training
#
# The f-DPO paper finds that divergences nearer to the forward KL buy the same
# alignment with more diversity. Follow each family of optima from β = 5 to
# β = 0.08, and read the entropy at the same gold.


# %%
rows, levels = [], [0.0, 0.3, 0.6, 0.9, 1.2]
for f, b in product(divs, np.geomspace(5, 0.08, min(30, steps)).tolist()):
    law = solutions.optimal_policy_f(ref, gold, b, f)
    at = solutions.expectation(law, gold).mean(), solutions.entropy(law).mean()
    rows.append((f.name, *map(float, at)))
best = pd.DataFrame(rows, columns=["kind", "gold", "entropy"])

# %%
at = {k: np.interp(levels, v.gold, v.entropy) for k, v in best.groupby("kind")}
gap = at["forward KL"] - at["reverse KL"]
views.training_curves(
    best, {"entropy": "entropy (nats)"}, x="gold", by="kind",
    caption=f"At equal gold the forward KL's optimum has {gap.min():+.2f} to "
    f"{gap.max():+.2f} nats of entropy relative to the reverse KL's.",
)  # fmt: skip

# %% [markdown]
# A theorem to hold beside it: if π_ref is uniform, KL(π‖π_ref) is a constant
# minus the entropy. Then the reverse KL's optimum has, by definition, the
# *largest* entropy among all policies of its gold. Only a π_ref far from
# uniform, or a training that stops short, can put another one above it.
#
# ## Train
#
# One run a divergence, all seeds in one batched model, the same pairs.


# %%
def fit(data, cfg, loss=f_dpo.loss, start=reference, near=ref):
    return offline.fit(
        start.copies(seeds), start, data, method(card=f_dpo.card, loss=loss),
        cfg, steps=steps, seed=SEED, every=max(1, steps // 8),
        measures=[measure.Tracker(world, near, gold=gold)],
    )  # fmt: skip


cfgs = {f.name: f_dpo.Config(beta=beta, divergence=f) for f in divs}
runs = {k: fit(pairs, cfg) for k, cfg in cfgs.items()}
curves = pd.concat([v.metrics.assign(kind=k) for k, v in runs.items()])

# %% [markdown]
# ## The signature views

# %%
last = curves[curves.step == steps].groupby("kind").kl.mean()
views.training_curves(
    curves, {"gold": unit, "kl": "KL(π‖π_ref) (nats)", "entropy": "nats"},
    by="kind",
    caption=f"After {steps} steps {last.idxmax()} has drifted furthest "
    f"({last.max():.2f} nats), {last.idxmin()} least ({last.min():.2f}).",
)  # fmt: skip

# %% [markdown]
# The same β means a different strength in each: f″(1) is 1 for the KLs and
# α, ½ for Jensen–Shannon and 2 for χ² + KL. So compare at equal gold, not at
# equal β or step: take the gold that every run of a seed reaches, and the
# entropy of each run when it first gets there.

# %%
rows = {}
for seed, part in curves.groupby("seed"):
    up = {k: v[v.gold >= v.gold.cummax()] for k, v in part.groupby("kind")}
    g = min(v.gold.max() for v in up.values())
    rows[seed] = {k: np.interp(g, v.gold, v.entropy) for k, v in up.items()}
same = pd.DataFrame(rows).T[names]
same.round(3)

# %% [markdown]
# ## Distance to the exact optimum
#
# Each loss has its own target. Row: what was trained. Column: KL(π‖π*_f) to
# the optimum of divergence f, at the same β. The first row is π_ref itself;
# the diagonal below it is the distance of a run to its own target. A run that
# stops early need not be nearest to its own: a target that asks for little
# change is near to every young run.

# %%
trained = {
    k: measure.response_logps(run.policy, world) for k, run in runs.items()
}
left, rows = {}, {"π_ref": ref[None]} | trained
for (k, law), g in product(rows.items(), names):
    left[k, g] = solutions.kl(law, stars[g]).mean().item()
pd.Series(left).unstack().loc[[*rows], names].round(3)

# %% [markdown]
# ## Calibration
#
# The paper says that the divergence changes the calibration error (ECE). Its
# script calls exp(mean token log-prob of the chosen response) the confidence,
# and asks whether that mean exceeds the rejected one's. The other reading is
# the forecast σ(β f′(u_c) − β f′(u_r)) of the label. Both, on held-out pairs:

# %%
held, rows = draw(ref, n_pairs, "held out"), []
x, c, l = held.chosen.prompt, held.chosen.response, held.rejected.response
for f, seed in product(divs, range(seeds)):
    law = trained[f.name][seed]
    r_hat, per = beta * f.slope(law - ref), law / (world.n_words + 1)
    forecast = (r_hat[x, c] - r_hat[x, l]).sigmoid()
    score = calibration.ece(forecast, torch.ones(len(x)))
    sure, right = per[x, c].exp(), (per[x, c] > per[x, l]).double()
    off = torch.bincount((10 * sure).int(), sure - right).abs().sum() / len(x)
    rows.append((f.name, seed, score, off.item()))

# %%
ece = pd.DataFrame(rows, columns=["kind", "seed", "forecast", "script"])
width = ece.drop(columns="kind").groupby("seed").agg(np.ptp)
ece.groupby("kind")[["forecast", "script"]].mean().loc[names].round(4)

# %% [markdown]
# ## χPO where the data are thin
#
# An editor throws away nearly every review that has a grammar error or no
# words. A reference fine-tuned on the rest writes "good fun very" less often,
# so pairs seldom show what such a review is worth. Its *words* look splendid:
# sentiment is the proxy that a learner picks up, gold adds fluency. Now few
# pairs, and many passes over them: DPO and χPO from the edited π_ref.

# %%
flawed = world.attributes["fluency"] < 0
edited = (ref - 4.6 * flawed).log_softmax(-1)  # a hundredth is left
corpus = world.draw(edited, 16 * n_pairs, generator(SEED, "corpus"))
clean = offline.fit(
    reference.copies(1), None, responses.Responses.of(corpus), sft,
    sft.Config(), steps=2 * steps, batch_size=128, seed=SEED,
).policy.member(0).requires_grad_(False)  # fmt: skip
thin = clean.response_logps(world).detach()
bad = [(v.exp() * flawed).sum(-1).mean() for v in (ref, thin)]
print(f"flawed reviews: {bad[0]:.1%} of π_ref, {bad[1]:.1%} of the edited one")

# %%
rows, sizes = [], [f"{n} pairs" for n in few]
for n, (key, m) in product(few, {"dpo": dpo, "χPO": chipo}.items()):
    run = fit(draw(thin, n), m.Config(beta=small), m.loss, clean, thin)
    rows.append(run.metrics.assign(method=key, pairs=f"{n} pairs"))
thinly = pd.concat(rows).set_index(["method", "seed", "step", "pairs"])
thinly = thinly.gold.unstack()[sizes]
final = thinly.xs(steps, level="step")
drop = thinly.groupby(level=["method", "seed"]).max() - final

# %%
fall, end = (v[sizes[0]].unstack("method") for v in (drop, final))
views.training_curves(
    thinly.reset_index(), dict.fromkeys(sizes, unit), by="method",
    caption=f"From {sizes[0]} gold ends {fall.dpo.mean():.2f} below its peak "
    f"with DPO and {fall.χPO.mean():.2f} with χPO, at {end.dpo.mean():.2f} "
    f"and {end.χPO.mean():.2f}.",
)  # fmt: skip

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
# Give every response an error of half gold's spread under π_ref, drawn from
# Student's law with 1000 degrees of freedom (all but Gaussian) or with two:
# the same size, another tail.


# %%
def proxy(seed, freedom):
    rng = np.random.default_rng([seed, 23])
    error = torch.tensor(rng.standard_t(freedom, gold.shape))
    g, e = (solutions.covariance(ref, v, v)[:, None] for v in (gold, error))
    return gold + 0.5 * (g / e).sqrt() * error


def gain(laws, reward):
    rise = solutions.expectation(laws, reward) - solutions.expectation(
        ref, reward
    )
    return (rise / solutions.covariance(ref, reward, reward).sqrt()).mean(-1)


# %%
both = {
    "reverse KL": solutions.optimal_policy,
    "χ²": solutions.optimal_policy_chi2,
}
tails, ticks = {"light_tail": 1000, "heavy_tail": 2}, np.arange(1, 7) / 4
rows, above, fine = {}, [], np.geomspace(30, 0.05, 40).tolist()
for name, seed, tail in product(both, range(seeds), tails):
    R = proxy(SEED + seed, tails[tail])
    laws = torch.stack([both[name](ref, R, b) for b in fine])
    floor = chi2_direct.gold_floor(laws, ref, R, gold)
    above.append((solutions.expectation(laws, gold) - floor).min().item())
    rows[name, seed, tail] = np.interp(ticks, gain(laws, R), gain(laws, gold))

# %%
equal = pd.DataFrame(rows, index=pd.Index(ticks, name="proxy gain"))
equal = equal.rename_axis(columns=["penalty", "seed", "tail"])
lead = (equal["χ²"] - equal["reverse KL"]).loc[1.0].unstack("tail")
equal = equal.T.stack().unstack("tail").reset_index()
views.sweep(
    equal, "proxy gain", by="penalty",
    y=dict.fromkeys(tails, "gain in gold (sd under π_ref)"),
    x_label="gain in proxy (sd under π_ref)",
    caption=f"At a proxy gain of 1 sd χ² leads the KL by "
    f"{lead.light_tail.mean():+.3f} sd of gold with light-tailed errors and "
    f"by {lead.heavy_tail.mean():+.3f} with heavy-tailed ones.",
)  # fmt: skip

# %% [markdown]
# ## Break it: the divergence the wrong way round
#
# The α of the f-DPO paper goes from the reverse KL (0) to the forward KL (1);
# TRL's coefficient is 1 − α. Read one for the other and you train with
# D_f(π_ref‖π): mistake (3). Ask for the forward KL that way.

# %%
broken = fit(pairs, cfgs["forward KL"], f_dpo.mistakes["3 other direction"])
got = measure.response_logps(broken.policy, world)
apart = {k: solutions.kl(got, v).mean().item() for k, v in trained.items()}
views.training_curves(
    pd.concat([curves, broken.metrics.assign(kind="forward, broken")])
    .groupby(["kind", "step"], sort=False).mean().reset_index(),
    {"kl": "KL(π‖π_ref) (nats)", "entropy": "nats"}, by="kind",
    caption="The run that asked for the forward KL ends "
    f"{apart['forward KL']:.3f} nats from that run and "
    f"{apart['reverse KL']:.1g} from DPO's.",
)  # fmt: skip

# %% [markdown]
# **Its signature** (means over seeds). Nothing fails: it is DPO, curve for
# curve; the last line lies on the first. Before you train, evaluate f′ once at
# u = 0.1: −9 under the forward KL, −2.3 under the reverse.
#
# ## Claims
#
# First the statements, then what was seen.

# %%
says = {
    "entropy": "At equal gold forward KL leaves more entropy than reverse.",
    "exact": "So it is at the exact optima, at each of five levels of gold.",
    "ece": "The divergence moves the calibration error by over 0.02.",
    "linear": "At χPO's optimum u is at most 1 + (max r − min r)/β.",
    "falls": "From few, thin pairs DPO's gold peaks, then falls.",
    "flatter": "From few, thin pairs χPO's gold falls less from its peak.",
    "rises": "χPO's final gold rises with every step in the pairs.",
    "heavy": "At equal proxy gain χ² has more gold where tails are heavy.",
    "tail": "That lead over the KL is larger than where tails are light.",
    "floor": "Gold is never below the floor, on any path.",
}

# %%
where = {
    "Wang et al. 2023 (2309.16240)": "π_ref's own BT pairs, "
    f"{n_pairs} of them, {steps} steps, lr 1e-3, β = {beta}",
    "Huang et al. 2024 (2407.13399)": "BT pairs of the edited π_ref, "
    f"{few} of them, {steps} steps, lr 1e-3, β = {small}",
    "Laidlaw et al. 2024 (2403.03185)": "closed forms, a proxy drawn for "
    "each seed, error ½ sd of gold, gain 1 sd",
    "exact": "closed forms, all reviews",
}
wang, huang, laidlaw, _ = where


# %%
def claim(key, paper, x, side="positive", unit="reward units", kind="seeds"):
    more = {"paper": paper, "setting": where.get(kind, where[paper])}
    more |= {"statement": says[key.split("-")[0]], "unit": unit, "kind": kind}
    return teach.claim(
        key=key, effect=x, expected=side, out=OUT or None, **more
    )


claim("entropy", wang, same["forward KL"] - same["reverse KL"], unit="nats")
claim("exact", wang, gap, unit="nats", kind="exact")
for key in ("forecast", "script"):
    claim(f"ece-{key}", wang, width[key], (0.02, 1.0), "max − min ECE")

# %%
over = (stars["χ² + KL"] - ref).exp().amax(-1) - 1
over = over - (gold.amax(-1) - gold.amin(-1)) / beta
claim("linear", huang, over, (-np.inf, 0.0), "excess of u", "exact")
claim("falls", huang, fall.dpo, (0.05, np.inf))
claim("flatter", huang, fall.dpo - fall.χPO)
claim("rises", huang, final.loc["χPO"].diff(axis=1).min(axis=1))
claim("heavy", laidlaw, lead.heavy_tail, unit="sd of gold")
claim("tail", laidlaw, lead.heavy_tail - lead.light_tail, unit="sd of gold")
claim("floor", laidlaw, above, (-1e-9, np.inf), kind="exact")

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write f-DPO from
# `batch.chosen.logratio()`, `batch.rejected.logratio()`,
# `cfg.divergence.slope` and `cfg.beta`.


# %%
def my_f_dpo(batch, cfg):
    raise NotImplementedError


teach.check.f_dpo(my_f_dpo)


# %% tags=["solution"]
def solution(batch, cfg):
    c = cfg.divergence.slope(batch.chosen.logratio())
    l = cfg.divergence.slope(batch.rejected.logratio())
    return torch.nn.functional.softplus(-cfg.beta * (c - l))


checked = teach.check.f_dpo(solution)
checked

# %% [markdown]
# **2 · A uniform reference** (●●○, 10 minutes). Repeat the entropy figure's
# comparison on the film with a uniform π_ref: the reverse KL must win. Check.

# %% tags=["solution"]
flat, levels_flat = torch.zeros_like(ref[:1]).log_softmax(-1), [-0.5, 0.0, 0.5]
flat_rows, best_entropy = [], {}
for f in (D.REVERSE_KL, D.FORWARD_KL):
    for b in np.geomspace(20, 0.1, 12):
        law = solutions.optimal_policy_f(flat, gold[:1], float(b), f)
        at = solutions.expectation(law, gold[:1]), solutions.entropy(law)
        flat_rows.append((f.name, *map(float, at)))
flat_rows = pd.DataFrame(flat_rows, columns=["f", "gold", "entropy"])
for name, part in flat_rows.groupby("f"):
    best_entropy[name] = np.interp(levels_flat, part.gold, part.entropy)
pd.DataFrame(best_entropy, index=levels_flat).round(3)

# %% [markdown]
# **3 · The best guarantee** (●●●, 15 minutes). Laidlaw's preferred penalty is
# λ√χ². Show that λ = sd(R)√(1 − ρ²)/ρ maximises the floor, and that for
# ρ² ≤ ½ the floor is never above the gold of π_ref.

# %% tags=["solution"]
R = proxy(SEED, 2)[:1]
sds = [solutions.covariance(ref[:1], v, v).sqrt() for v in (R, gold[:1])]
rho = (solutions.covariance(ref[:1], R, gold[:1]) / sds[0] / sds[1]).item()
best = sds[0].item() * (1 - rho**2) ** 0.5 / rho
for share in (0.5, 0.8, 1.0, 1.2, 1.9):
    cfg = chi2_direct.Config(share * best)
    law = chi2_direct.log_law(ref[:1], R, cfg)
    floor = chi2_direct.gold_floor(law, ref[:1], R, gold[:1]).item()
    print(f"{share:.1f} of the best λ: floor {floor:+.4f} reward units")

# %% [markdown]
# The floor is ρΔR/sd(R) − √(1 − ρ²)√χ², so ρ/sd(R) times E[R] − λ√χ² with
# that λ. And λ ≥ sd(R) leaves π_ref as it is: that is ρ² ≤ ½.

# %% [markdown]
# ## What must hold

# %%
assert all(v.std() < 1e-6 for k, v in hand.items() if k[0] == "λ")
assert (cut == 0).any() and (over <= 1e-9).all() and min(above) > -1e-9
assert apart["reverse KL"] < 1e-3 and bad[1] < bad[0] and checked.passed
assert (curves.frontier_gap > -1e-6).all() and thinly.notna().all().all()

# %% [markdown]
# ## References and next
#
# * Wang et al. 2023, *Beyond reverse KL* (2309.16240): f-DPO.
# * Huang et al. 2024, *Correcting the mythos of KL-regularization*
#   (2407.13399): χPO.
# * Laidlaw, Singhal and Dragan 2024, *Correlated proxies* (2403.03185).
#
# Next: **24 · Noisy labels**. A divergence guards against a reward that is
# wrong; what if the labels are?
