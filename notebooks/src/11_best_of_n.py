# ---
# jupyter:
#   workbench:
#     title: "11 · Best-of-n and the laws of overoptimisation"
#     part: reward models
#     budget_s: {ci: 60, lecture: 150, figure: 900}
# ---

# %% [markdown]
# # 11 · Best-of-n and the laws of overoptimisation
#
# **The claim in one sentence.** Optimise a learned reward harder and harder
# and the true reward rises, peaks and falls; the peak lies exactly where the
# covariance of the two rewards, under the optimised policy, crosses zero.
#
# After this lesson you can
#
# * compute the law of best-of-n, ties included, and its KL;
# * read an overoptimisation curve and fit Gao et al.'s two laws to it;
# * say from one covariance whether more optimisation still helps.
#
# Run time at `lecture`: about a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs, sample_pairs

# %%
from workbench.loops import online
from workbench.loops import reward as reward_loop
from workbench.measure import exact as measure
from workbench.measure import overoptimisation as over
from workbench.methods.decoding import best_of_n
from workbench.methods.online import rloo
from workbench.methods.reward import bt
from workbench.models import heads, tiny
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 4 * SEEDS}[PROFILE]
steps = {"ci": 20, "lecture": 200, "figure": 200}[PROFILE]
rl_steps = {"ci": 4, "lecture": 120, "figure": 400}[PROFILE]
sizes, main, flip = (100, 300, 1000, 3000), 300, 0.25
ns = sorted({round(2 ** (k / 2)) for k in range(25)})  # 1 to 4,096

world = Reviews(3)
reference = tiny.reference(world)
ref = reference.response_logps(world).detach()
gold, start = world.gold, exact.expectation(ref, world.gold).mean().item()

# %% [markdown]
# ## The question
#
# The simplest optimiser has no gradient: draw n responses from π_ref, keep
# the one that the reward model likes best. You have a reward model learned
# from 300 comparisons, a quarter of them recorded the wrong way round.
#
# **Write down a prediction.** At which n, from 1 to 4,096, is the *gold*
# reward of the kept response highest? Is that at the same KL at which an RL
# run on the same reward model peaks?

# %% [markdown]
# ## Train the proxies
#
# One reward model a seed, each from pairs of its own.


# %%
def proxies(n):
    parts = []
    for s in range(SEED, SEED + seeds):
        who, draw = Annotator(flip=flip), generator(s, "pairs")
        parts.append(sample_pairs(world, ref, n, who, draw))
    models = [heads.ScoreModel.tiny(world.vocab, seed=s) for s in range(seeds)]
    fit = reward_loop.fit(
        heads.ScoreModel.stack(models), Pairs.cat(parts), bt, bt.Config(),
        steps=steps, seed=SEED,
    )  # fmt: skip
    return fit.policy.score_all(world)


tables = {n: proxies(n) for n in sizes}
proxy = tables[main]  # [seed, prompt, response]

# %% [markdown]
# ## Three data points
#
# Of one proxy: its favourite film review, the reference's, and gold's.

# %%
picks = {"proxy's best": proxy[0, 0], "π_ref's": ref[0], "gold's": gold[0]}
rows = {}
for name, table in picks.items():
    i = int(table.argmax())
    value = (world.text(i), proxy[0, 0, i], gold[0, i], ref[0, i].exp())
    rows[name] = [v if isinstance(v, str) else v.item() for v in value]
columns = ["review", "proxy", "gold", "π_ref"]
pd.DataFrame.from_dict(rows, "index", columns=columns).round(3)

# %% [markdown]
# ## The law, in the symbols of the code
#
# Let F≤(y) be the mass of π_ref on responses that score at most r(y), and
# F<(y) the mass strictly below. All n draws score at most r(y) with
# probability F≤ⁿ, all below with F<ⁿ. So the kept *score* is r(y) with
# probability F≤ⁿ − F<ⁿ. Responses of equal score share it as π_ref does:
#
# P(y) = π_ref(y) · (F≤ⁿ − F<ⁿ) / (F≤ − F<).
#
# If no score has a mass of its own, log P/π_ref = log n + (n − 1) log F with
# F uniform on [0, 1] under π_ref, and KL(P‖π_ref) = log n − (n − 1)/n. With
# ties it is *less*: they leave the choice to π_ref.

# %%
teach.show(best_of_n.log_law)

# %% [markdown]
# ## By hand, on four responses, two of them tied
#
# n = 2, so the law can be checked by listing all 16 draws.

# %%
q = torch.tensor([0.4, 0.3, 0.2, 0.1]).double()
score = torch.tensor([0.0, 1.0, 1.0, 2.0]).double()
upto = torch.stack([q[score <= s].sum() for s in score])
below = torch.stack([q[score < s].sum() for s in score])
law = q * (upto**2 - below**2) / (upto - below)
listed = torch.zeros(4).double()
for i in range(4):
    for j in range(4):
        tie = 0.5 if score[i] == score[j] else float(score[i] > score[j])
        listed[i] += q[i] * q[j] * tie
        listed[j] += q[i] * q[j] * (1 - tie)

# %%
hand = {"score": score, "π_ref": q, "F≤": upto, "F<": below, "law": law}
hand |= {"16 draws": listed, "library": best_of_n.log_law(q.log(), score, 2).exp()}
kl = (law * (law / q).log()).sum().item()
bound = best_of_n.kl_bound(2)
display(Markdown(f"KL = {kl:.4f} nats, below log 2 − ½ = {bound:.4f}"))
pd.DataFrame({k: v.tolist() for k, v in hand.items()}).round(3)

# %% [markdown]
# ## Three ways to spend nats
#
# For each proxy: exact best-of-n; the policy π*_β that buys most *proxy* for
# its KL; and a real run, RLOO with no KL penalty (Gao et al. use none in
# most runs), tracked exactly.

# %%
track = measure.Tracker(world, ref, gold=gold, proxy=proxy)
rl = online.fit(
    reference.copies(seeds), reference, world, online.TableReward(proxy), rloo,
    rloo.Config(beta=0.0), steps=rl_steps, seed=SEED, measures=(track,),
    every=max(1, rl_steps // 24),
).metrics  # fmt: skip
by_seed = [frame for _, frame in rl.groupby("seed")]
curves = []
for s, (table, run) in enumerate(zip(proxy, by_seed, strict=True)):
    both = over.paths(ref, table, gold, ns=ns, runs={"RLOO": run})
    curves.append(both.assign(seed=s))
curves = pd.concat(curves)

# %%
one = curves[curves.seed == 0]
tops = one.groupby("curve", sort=False).gold.agg(["max", "last"])
best = exact.frontier(ref, gold, gold, np.geomspace(20, 0.1, 30))
views.overoptimisation(
    one, by="kl", exact=best,
    caption="First proxy: gold peaks and ends at "
    + ", ".join(f"{a:.2f} and {b:.2f} ({c})" for c, (a, b) in
                zip(tops.index, tops.to_numpy(), strict=True)) + ".",
)  # fmt: skip

# %% [markdown]
# The proxy rises along every path; it is what is being bought. The dashed
# line is what the same nats buy when gold itself is the proxy.
#
# ## Why there is a hump, and where
#
# Write η = 1/β. Along π*_β ∝ π_ref exp(η·proxy),
#
# d E[gold]/dη = Cov(gold, proxy) under π*_β,
#
# per prompt and on average. Gold rises while the two still agree *on the
# responses that the policy now gives*. Agreement under π_ref is no promise.

# %%
betas = np.geomspace(30, 0.05, 60)
path = over.tilt_curve(ref, proxy[0], gold, betas)
turn = over.peak_beta(ref, proxy[0], gold)
peak = over.tilt_curve(ref, proxy[0], gold, [turn or betas[-1]])
at = float(peak.kl[0] ** 0.5)
panels = []
for name, unit in (("gold", "reward units"), ("covariance", "squared")):
    xy = ((path.kl**0.5).tolist(), path[name].tolist(), "along π*_β")
    layers = [views.HLine(0.0), views.VLine(at, "Cov = 0")]
    layers.append(views.Line(*xy, views.role("gold")))
    axes = ("√KL(π‖π_ref) (√nats)", f"{name} ({unit})")
    panels.append(views.Chart(f"{name} under π*_β", *axes, layers))

# %%
rank = path.gold.idxmax()
said = f"Gold is highest at √KL = {path.kl[rank] ** 0.5:.2f} on the grid; \
the covariance crosses zero at √KL = {at:.2f}."
views.Fig(views.Panels(panels), said, path)

# %% [markdown]
# **The null test.** With proxy = gold the covariance is a variance. It can
# never be negative, so no optimiser path of this kind can have a hump.

# %%
null = over.best_of_n_curve(ref, gold, gold, ns)
print("β where gold turns over:", over.peak_beta(ref, gold, gold))
print("smallest step of gold along n:", f"{null.gold.diff().min():.2e}")

# %% [markdown]
# ## The two laws
#
# With d = √KL and gold counted from its value under π_ref, Gao et al. fit
# d(α − β_c d) to best-of-n and d(α − β_c log d) to RL. Both are linear in
# their coefficients: least squares. (β_c is a coefficient, no KL weight.)

# %%
fits = {}
for name, form in (("best of n", "bon"), ("RLOO", "rl")):
    for s, frame in curves[curves.curve == name].groupby("seed"):
        root = torch.tensor(frame.sqrt_kl.to_numpy())
        fits[name, s] = over.fit(root, frame.gold.tolist(), form, start=start)
rows = []
for (name, s), fit in fits.items():
    low, high = fit.intervals["beta"]
    top = fit.peak[0] if fit.hump else float("nan")
    rows.append((name, s, fit.alpha, fit.beta, low, high, fit.r2, top))
names = ["curve", "seed", "α", "β_c", "low", "high", "R²", "peak at √KL"]
pd.DataFrame(rows, columns=names).round(2)

# %%
charts = []
for name in ("best of n", "RLOO"):
    seen = one[one.curve == name].sort_values("sqrt_kl")
    fit, x = fits[name, 0], seen.sqrt_kl.tolist()
    law_of = (fit(x) + start).tolist()
    dots = views.Points(x, seen.gold.tolist(), "exact", views.role("gold"))
    line = views.Line(x, law_of, f"law, R² = {fit.r2:.2f}", views.role("law"))
    axes = ("√KL(π‖π_ref) (√nats)", "gold (reward units)")
    charts.append(views.Chart(name, *axes, [dots, line]))
r2 = {k: np.mean([f.r2 for key, f in fits.items() if key[0] == k])
      for k in ("best of n", "RLOO")}  # fmt: skip
said = f"Mean R² over seeds: {r2['best of n']:.2f} for best-of-n, \
{r2['RLOO']:.2f} for RLOO."
views.Fig(views.Panels(charts), said, one)

# %% [markdown]
# ## More comparisons
#
# The same protocol with other numbers of pairs. Along exact best-of-n: how
# high is the peak, and how far out?

# %%
rows = []
for n, several in tables.items():
    for s, table in enumerate(several):
        curve = over.best_of_n_curve(ref, table, gold, ns)
        k = curve.gold.idxmax()
        rows.append((n, s, curve.gold[k], curve.kl[k] ** 0.5))
peaks = pd.DataFrame(rows, columns=["pairs", "seed", "peak", "at"])
height = peaks.groupby("pairs").peak.mean()
views.training_curves(
    peaks,
    {"peak": "gold at the peak", "at": "√KL at the peak (√nats)"},
    x="pairs", log_x=True,
    caption=f"From {sizes[0]} to {sizes[-1]} pairs the peak rises from "
    f"{height[sizes[0]]:.2f} to {height[sizes[-1]]:.2f} reward units.",
)  # fmt: skip

# %% [markdown]
# ## Distance to the exact optimum
#
# Stop each path at its own gold peak, with hindsight that nobody has. What
# would the same nats have bought with gold as the reward?

# %%
frontier = track.frontier
tops = curves.sort_values("gold").groupby(["curve", "seed"]).tail(1)
bought = frontier.gold(torch.tensor(tops.kl.to_numpy())).numpy()
tops.assign(lost=bought - tops.gold).groupby("curve")[["kl", "gold", "lost"]].mean()

# %% [markdown]
# ## Break it: forget the ties
#
# Mistake (1): the law of a score without atoms, n π_ref F≤ⁿ⁻¹. Watch its
# total mass on a coarse judge, who gives whole stars.

# %%
stars = gold.round()
rows = []
for n in (1, 2, 4, 16, 64, 256):
    wrong = best_of_n.mistakes["1 law of a score without atoms"]
    for name, rule in (("ties share", best_of_n.log_law), ("forgotten", wrong)):
        mass = rule(ref, stars, n).exp()
        rows.append((n, name, mass.sum(-1).mean().item()))
masses = pd.DataFrame(rows, columns=["n", "ties", "mass"])
masses.pivot(index="n", columns="ties", values="mass").round(3)

# %% [markdown]
# **Its signature.** Probabilities that sum to more than 1, and so a gold
# reward and a "KL" that no policy has. On a continuous score the mistake is
# invisible; round the score and it is not.

# %% [markdown]
# ## Claims

# %%
setting = f"reviews, {main} pairs, {flip:.0%} flipped, {steps} steps, lr 1e-3"
shared = {"paper": "Gao et al. 2023 (2210.10760)", "out": OUT or None}
final = curves[curves.curve == "best of n"].groupby("seed").gold
teach.claim(
    key="hump-best-of-n",
    statement="Best-of-n's gold peaks before the end and falls (peak minus "
    "end, at least 0.1).",
    effect=final.max() - final.last(), expected=(0.1, float("inf")),
    unit="reward units", setting=f"{setting}, n to {ns[-1]}", **shared,
)  # fmt: skip

# %%
last = curves[curves.curve == "RLOO"].groupby("seed").gold
teach.claim(
    key="hump-rl",
    statement="RL's gold peaks before the end and falls (at least 0.1).",
    effect=last.max() - last.last(), expected=(0.1, float("inf")),
    unit="reward units", setting=f"{setting}, {rl_steps} RLOO steps", **shared,
)  # fmt: skip

# %%
for name, form in (("best of n", "d(α − βd)"), ("RLOO", "d(α − β log d)")):
    teach.claim(
        key=f"law-{name.replace(' ', '-')}",
        statement=f"{form} explains gold along {name} with R² above 0.9.",
        effect=[f.r2 for key, f in fits.items() if key[0] == name],
        expected=(0.9, 1.0), unit="R²", setting=setting, **shared,
    )  # fmt: skip

# %%
extra = []
for _, frame in curves.groupby("seed"):
    bon, run = (frame[frame.curve == c] for c in ("best of n", "RLOO"))
    reach = 0.5 * min(f.proxy.max() - f.proxy.iloc[0] for f in (bon, run))
    used = [np.interp(reach, f.proxy.cummax() - f.proxy.iloc[0], f.kl)
            for f in (bon, run)]  # fmt: skip
    extra.append(used[1] - used[0])
teach.claim(
    key="bon-uses-less-kl",
    statement="For the same proxy gain best-of-n uses less KL than RL.",
    effect=extra, expected="positive", unit="nats (RLOO − best-of-n)",
    setting=f"{setting}, half the proxy gain that both reach", **shared,
)  # fmt: skip

# %%
slope = [np.polyfit(np.log10(f.pairs), f["at"], 1)[0]
         for _, f in peaks.groupby("seed")]  # fmt: skip
teach.claim(
    key="peak-moves-out",
    statement="With more comparisons best-of-n's gold peaks at a larger √KL.",
    effect=slope, expected="positive", unit="√nats a decade of pairs",
    setting=f"reviews, {sizes} pairs, {flip:.0%} flipped", **shared,
)  # fmt: skip

# %%
middle, eps = 1 / betas[1:-1], 1e-4
errors = []
for eta in middle[::6]:
    up, down = (over.tilt_curve(ref, proxy[0], gold, [1 / (eta + e)]).gold[0]
                for e in (eps, -eps))  # fmt: skip
    cov = over.tilt_curve(ref, proxy[0], gold, [1 / eta]).covariance[0]
    errors.append(abs((up - down) / (2 * eps) - cov))
teach.claim(
    key="slope-is-covariance", kind="exact", expected="zero", tolerance=1e-5,
    statement="Along π*_β gold's slope in 1/β is Cov(gold, proxy).",
    effect=errors, unit="reward units squared", setting="first proxy",
    paper="identity of exponential families", out=OUT or None,
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# **1 · The law** (●○○, 5 minutes). Best-of-n for n → ∞ on the four responses
# above: which law, and what is its KL? Check with n = 10,000.

# %% tags=["solution"]
limit = best_of_n.log_law(q.log(), score, 10_000).exp()
print([round(v, 4) for v in limit.tolist()], "KL =", round(-np.log(0.1), 3))

# %% [markdown]
# **2 · Regressional Goodhart** (●●○, 10 minutes). Make a proxy = gold +
# independent Gaussian noise of standard deviation 1. Does gold still turn
# over? Does it depend on the draw of the noise?

# %% tags=["solution"]
for s in range(3):
    draw = generator(s, "noise")
    noise = torch.randn(gold.shape, generator=draw, dtype=torch.float64)
    print("noise", s, "turns over at β =", over.peak_beta(ref, gold + noise, gold))

# %% [markdown]
# **3 · Write a reward model's loss** (●●○, 5 minutes). A proxy is only as
# good as its loss. `batch` has `chosen` and `rejected` scores.


# %%
def my_bt(batch, cfg):
    raise NotImplementedError


teach.check.bt(my_bt)


# %% tags=["solution"]
def solution(batch, cfg):
    lead = batch.chosen - batch.rejected - cfg.margin
    return -torch.nn.functional.logsigmoid(lead)


checked = teach.check.bt(solution)
checked

# %% [markdown]
# ## What must hold

# %%
assert torch.allclose(law, listed) and abs(law.sum() - 1) < 1e-12
assert torch.allclose(hand["library"], law) and kl <= bound
assert over.peak_beta(ref, gold, gold) is None
assert null.gold.diff().min() > -1e-9 and (null.kl <= null.bound + 1e-9).all()
assert max(errors) < 1e-5
shared_mass = masses[masses.ties == "ties share"].mass
assert np.allclose(shared_mass, 1) and masses.mass.max() > 1.1
assert np.isfinite(curves[["kl", "gold", "proxy"]]).all().all()
assert checked.passed

# %% [markdown]
# ## References and next
#
# * Gao, Schulman, Hilton 2023, *Scaling laws for reward model
#   overoptimization* (2210.10760).
# * Manheim & Garrabrant 2018, *Categorizing variants of Goodhart's law*
#   (1803.04585).
# * Stiennon et al. 2020 (2009.01325): best-of-n in practice.
#
# Next: **20 · DPO**, which optimises without a reward model in between.
