# ---
# jupyter:
#   workbench:
#     title: "11 · Best-of-n and the laws of overoptimisation"
#     part: reward models
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 11 · Best-of-n and the laws of overoptimisation
#
# **The claim in one sentence.** Optimise a learned reward harder and harder
# and the true reward can rise, peak and fall; along the exact optimum the
# peak lies where the covariance of the two rewards, under the optimised
# policy, crosses zero.
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
from workbench.feedback.kinds.pairs import Pairs, sample_pairs

# %%
from workbench.loops import online, reward
from workbench.measure import exact as measure
from workbench.measure import overoptimisation as over
from workbench.methods.decoding import best_of_n
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.methods.reward.pairwise import bt
from workbench.models import heads, tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": 2 * SEEDS, "figure": 4 * SEEDS}[PROFILE]
steps = {"ci": 20, "lecture": 200, "figure": 200}[PROFILE]
rl_steps = {"ci": 4, "lecture": 120, "figure": 400}[PROFILE]
sizes, main, flip = (100, 300, 1000, 3000), 300, 0.25
ns = sorted({round(2 ** (k / 2)) for k in range(25)})  # 1 to 4,096
block = range(SEED + 100, SEED + 100 + seeds)

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()
gold, start = world.gold, solutions.expectation(ref, world.gold).mean().item()

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
# One reward model a seed, each from pairs of its own. Proxies differ a lot:
# there are twice as many here as seeds elsewhere. The number and the whole
# protocol were fixed on other seeds than these.


# %%
def proxies(n):
    who, parts = Annotator(flip=flip), []
    for s in block:
        parts.append(sample_pairs(world, ref, n, who, generator(s, "pairs")))
    models = [heads.ScoreModel.tiny(world.vocab, seed=s) for s in block]
    model, how = heads.ScoreModel.stack(models), {"steps": steps, "seed": SEED}
    fit = reward.fit(model, Pairs.cat(parts), bt, bt.Config(), **how)
    return fit.policy.score_all(world)


tables = {n: proxies(n) for n in sizes}
proxy = tables[main]  # [seed, prompt, response]

# %% [markdown]
# ## Three data points
#
# Gold turns over at another β for every proxy (0: never). The pictures of
# this lesson show the middle one. Here is its favourite film review, gold's,
# and the one that π_ref writes most often.

# %%
turns = [over.peak_beta(ref, table, gold) or 0.0 for table in proxy]
typical = int(np.argsort(turns)[seeds // 2])
turn = turns[typical]
print("gold turns over at β =", [round(t, 2) for t in sorted(turns)])
film = {"proxy": proxy[typical, 0], "gold": gold[0], "π_ref": ref[0].exp()}
top = [int(table.argmax()) for table in film.values()]
columns = {"its favourite": [world.text(i) for i in top]}
columns |= {name: table[top].tolist() for name, table in film.items()}
pd.DataFrame(columns, index=list(film)).round(3)

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
q = torch.tensor((4, 3, 2, 1)).double() / 10
score = torch.tensor([0.0, 1.0, 1.0, 2.0]).double()
upto = torch.stack([q[score <= s].sum() for s in score])
below = torch.stack([q[score < s].sum() for s in score])
law = q * (upto**2 - below**2) / (upto - below)  # n = 2
listed = torch.zeros(4).double()
for i, j in torch.cartesian_prod(torch.arange(4), torch.arange(4)):
    first = 0.5 + 0.5 * (score[i] - score[j]).sign()  # equals: a fair coin
    listed[i] += q[i] * q[j] * first
    listed[j] += q[i] * q[j] * (1 - first)

# %%
hand = {"score": score, "π_ref": q, "F≤": upto, "F<": below, "law": law}
exactly = best_of_n.log_law(q.log(), score, 2).exp()
hand |= {"16 draws": listed, "library": exactly}
kl = (law * (law / q).log()).sum().item()
bound = best_of_n.kl_bound(2)
display(Markdown(f"KL = {kl:.4f} nats, below log 2 − ½ = {bound:.4f}"))
pd.DataFrame({k: v.tolist() for k, v in hand.items()}).round(3)

# %% [markdown]
# ## Three ways to spend nats
#
# Optimising costs drift, and KL(π‖π_ref) is the currency in which methods
# compare. The axis is √KL because to first order a reward grows like √KL
# along every path that starts at π_ref.
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
curves = []
for s, table in enumerate(proxy):
    run = {"RLOO": rl[rl.seed == SEED + s]}
    curves.append(over.paths(ref, table, gold, ns=ns, runs=run).assign(seed=s))
curves = pd.concat(curves)

# %%
one = curves[curves.seed == typical].reset_index()
tops = one.groupby("curve").gold.agg(["max", "last"]).itertuples()
best = solutions.frontier(ref, gold, gold, np.geomspace(20, 0.1, 30))
views.overoptimisation(
    one, by="index", exact=best,
    caption="Gold peaks and ends at "
    + ", ".join(f"{t[1]:.2f} and {t[2]:.2f} ({t[0]})" for t in tops) + ".",
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
betas = [*np.geomspace(30, 0.05, 60), turn or 0.05]
path = over.tilt_curve(ref, proxy[typical], gold, betas)
at, path = path.kl.iloc[-1] ** 0.5, path[:-1]
rank = path.gold.idxmax()
views.training_curves(
    path.assign(**{"√KL (√nats)": path.kl**0.5}),
    {"gold": "gold (reward units)", "covariance": "Cov (reward units²)"},
    x="√KL (√nats)", title="Along π*_β of the middle proxy",
    caption="Gold is highest at √KL = "
    f"{path.kl[rank] ** 0.5:.2f} on the grid; the covariance crosses zero "
    f"at √KL = {at:.2f}.",
)  # fmt: skip

# %% [markdown]
# Read the two panels together. Where the covariance is positive, gold climbs;
# at the zero it stands still; below, every further nat costs gold. Nothing
# else enters: not the accuracy of the proxy, not its mean error, only how
# the two rewards move together under the policy of that moment.
#
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
# their coefficients: least squares. (β_c is a coefficient, no KL weight.) A
# peak beyond the last point of a curve is an extrapolation.

# %%
fits, forms = {}, {"best of n": "bon", "RLOO": "rl"}
for (name, s), frame in curves.groupby(["curve", "seed"]):
    if name in forms:
        xy = (frame.sqrt_kl.tolist(), frame.gold.tolist(), forms[name])
        fits[name, s] = over.fit(*xy, start=start)

# %%
laws = {f"law of {name}": fits[name, typical] for name in forms}
fitted = laws.values()
table = {"α": [f.alpha for f in fitted], "β_c": [f.beta for f in fitted]}
table |= {"β_c, 95 %": [np.round(f.intervals["beta"], 2) for f in fitted]}
table |= {"R²": [f.r2 for f in fitted]}
table |= {"peak at √KL": [f.peak and f.peak[0] for f in fitted]}
pd.DataFrame(table, index=list(laws)).round(2)

# %%
r2 = {n: [f.r2 for k, f in fits.items() if k[0] == n] for n in forms}
views.overoptimisation(
    one[one.curve != "optimum"], by="index", laws=laws, start=start,
    caption="Mean R² over proxies: "
    + ", ".join(f"{name} {np.mean(v):.2f}" for name, v in r2.items()) + ".",
)  # fmt: skip

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
peaks = pd.DataFrame(rows, columns=["pairs", "seed", "height", "distance"])

# %%
height = peaks.groupby("pairs").height.mean()
views.training_curves(
    peaks,
    {"height": "peak gold (reward units)", "distance": "√KL (√nats)"},
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
tops = tops.assign(lost=bought - tops.gold).groupby("curve")
tops[["kl", "gold", "lost"]].mean().round(3)

# %% [markdown]
# Compare the column *gold*: does the worst optimiser of the proxy have the
# worst peak? π*_β and best-of-n read the table of scores: they find every
# response that the proxy overrates, however odd. A network trained by RL
# moves whole families of responses at once, and buys less proxy for a nat.
# Being a worse optimiser of the wrong reward can be an advantage; it is no
# plan.

# %% [markdown]
# ## Break it: forget the ties
#
# Mistake (1): the law of a score without atoms, n π_ref F≤ⁿ⁻¹. Watch its
# total mass on a coarse judge, who gives whole stars, and on a proxy, whose
# scores are all different.

# %%
wrong = best_of_n.mistakes["1 law of a score without atoms"]
right, stars, some = best_of_n.log_law, gold.round(), ns[::4]
cases = {"stars": (right, stars), "stars, forgotten": (wrong, stars)}
cases |= {"proxy, forgotten": (wrong, proxy[typical])}
sums = {
    name: [f(ref, scores, n).exp().sum(-1).mean().item() for n in some]
    for name, (f, scores) in cases.items()
}
masses = pd.DataFrame(sums, index=pd.Index(some, name="n"))
masses.round(3)

# %% [markdown]
# **Its signature.** Probabilities that sum to more than 1, and so a gold
# reward and a "KL" that no policy has. At small n different scores hide the
# mistake. They do not cure it: the world is finite, and a response that may
# be drawn twice is tied with itself.

# %% [markdown]
# ## Claims

# %%
setting = f"reviews, {main} pairs, {flip:.0%} flipped, {steps} steps, lr 1e-3"


def claim(key, statement, effect, expected, unit, where=setting):
    return teach.claim(
        key=key, paper="Gao et al. 2023 (2210.10760)", statement=statement,
        effect=effect, expected=expected, unit=unit, setting=where,
        out=OUT or None,
    )  # fmt: skip


# %%
golds = {c: f.groupby("seed").gold for c, f in curves.groupby("curve")}
fall = {c: f.max() - f.last() for c, f in golds.items()}
above = (0.1, float("inf"))
said = "gold peaks before the end and falls (peak − end, at least 0.1)."
for name, form in forms.items():
    what = f"With {name} {said}"
    claim(f"hump-{form}", what, fall[name], above, "reward units")

# %%
words = {"best of n": "d(α − β_c d)", "RLOO": "d(α − β_c log d)"}
for name, form in forms.items():
    said = f"{words[name]} explains gold along {name} with R² above 0.9."
    claim(f"law-{form}", said, r2[name], (0.9, 1.0), "R²")

# %%
extra = []
for _, frame in curves.groupby("seed"):
    two = [frame[frame.curve == c] for c in ("best of n", "RLOO")]
    gains = [f.proxy.cummax() - f.proxy.iloc[0] for f in two]
    half = 0.5 * min(gain.max() for gain in gains)
    used = [np.interp(half, g, f.kl) for g, f in zip(gains, two, strict=True)]
    extra.append(used[1] - used[0])
said = "For half the proxy gain that both reach, best-of-n uses less KL."
claim("bon-uses-less-kl", said, extra, "positive", "nats (RLOO − best-of-n)")

# %%
each, where = [f for _, f in peaks.groupby("seed")], f"{sizes} pairs"
many = {"distance": ("at a larger √KL", "√nats a decade")}
many |= {"height": ("higher", "reward units a decade")}
for column, (how, unit) in many.items():
    slope = [np.polyfit(np.log10(f.pairs), f[column], 1)[0] for f in each]
    said = f"With more comparisons best-of-n's gold peaks {how}."
    claim(f"more-pairs-{column}", said, slope, "positive", unit, where)

# %%
eta = np.linspace(0.2, 4, 401)
near = over.tilt_curve(ref, proxy[typical], gold, 1 / eta)
errors = (np.gradient(near.gold, eta) - near.covariance).abs()[1:-1]
teach.claim(
    key="slope-is-covariance", kind="exact", expected="zero", tolerance=1e-3,
    statement="Along π*_β gold's slope in 1/β is Cov(gold, proxy).",
    effect=errors, paper="an identity", out=OUT or None, must_hold=True,
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
    noise = torch.randn(gold.shape, generator=generator(s, "noise")).double()
    print("noise", s, "β =", over.peak_beta(ref, gold + noise, gold))

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
assert torch.allclose(exactly, law) and kl <= bound
assert over.peak_beta(ref, gold, gold) is None
assert null.gold.diff().min() > -1e-9 and (null.kl <= null.bound + 1e-9).all()
assert np.allclose(masses["stars"], 1)
assert (masses.filter(like="forgotten").max() > 1.1).all()
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
