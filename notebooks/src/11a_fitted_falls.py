# ---
# jupyter:
#   workbench:
#     title: "11a · Formulas for the fall of gold"
#     part: reward models
#     budget_s: {ci: 30, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 11a · Do two formulas describe how gold rises and falls?
#
# *A study beside lesson 11.*
#
# **Question.** Gao, Schulman and Hilton optimised learned rewards by
# best-of-n and by reinforcement learning. With $d = \sqrt{\text{KL}}$ and
# gold counted from its value under the reference, they describe gold by
# $d\,(\alpha - \beta_c\, d)$ along best-of-n and by
# $d\,(\alpha - \beta_c \log d)$ along reinforcement learning. ($\beta_c$ is a
# coefficient of the fit, and no price of KL.) Do these scaling laws fit here?
# Do both optimisers peak, and what do more comparisons change?
#
# **Setting.** All reviews of at most three words. Reward models (Bradley and
# Terry) learn from 100 to 3,000 pairs, a quarter of them recorded the wrong
# way round. Best-of-n is exact. Reinforcement learning is RLOO, REINFORCE
# leave-one-out: the baseline of a response is the mean reward of the other
# responses to its prompt (lesson 30). It has no penalty on KL, as in most of
# the paper's runs, and its KL and gold are summed over all responses. The
# answer in one sentence, with its numbers, is computed near the end.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 10
DEVICE = "cpu"
OUT = ""

# %%
from workbench.lesson import *
from workbench.loops import online, reward
from workbench.measure import overoptimisation as over
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.methods.reward.pairwise import bt
from workbench.models import heads

# %%
size = sizes(
    PROFILE, seeds=(2, SEEDS, 20), steps=(20, 200, 200), rl=(4, 120, 400)
)
amounts, main, flip = (100, 300, 3000), 300, 0.25
ns = sorted({round(2 ** (k / 2)) for k in range(25)})
# the settings were chosen on other seeds than these
block = range(SEED + 100, SEED + 100 + size.seeds)
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref, gold = reference.response_logps(world).detach().double(), world.gold
start = solutions.expectation(ref, gold).mean().item()

# %% [markdown]
# ## Train the reward models, then the policies


# %%
def proxies(n):
    """Scores of one reward model per seed, learned from n pairs."""
    people, parts = Annotator(flip=flip), []
    for seed in block:
        draw = generator(seed, "pairs")
        parts.append(sample_pairs(world, ref, n, people, draw))
    models = [heads.ScoreModel.tiny(world.vocab, seed=seed) for seed in block]
    model, how = heads.ScoreModel.stack(models), {"steps": size.steps}
    pairs = Pairs.cat(parts)
    run = reward.fit(model, pairs, bt, bt.Config(), seed=SEED, **how)
    return run.policy.score_all(world)


tables = {n: proxies(n) for n in amounts}
proxy = tables[main]  # [seed, prompt, response]

# %%
track = exact.Tracker(world, ref, gold=gold, proxy=proxy)
start_policies, judge = reference.copies(size.seeds), online.TableReward(proxy)
parts = start_policies, reference, world, judge, rloo, rloo.Config(beta=0.0)
how = {"steps": size.rl, "seed": SEED, "every": max(1, size.rl // 24)}
learned = online.fit(*parts, measures=(track,), **how).metrics

# %%
curves = []
for seed, table in enumerate(proxy):
    run = {"RLOO": learned[learned.seed == SEED + seed]}
    paths = over.paths(ref, table, gold, ns=ns, runs=run)
    curves.append(paths.assign(seed=seed))
curves = pd.concat(curves)
names = ("best of n", "RLOO")
tops = curves.groupby(["curve", "seed"]).gold.agg(["max", "last"])
fall = (tops["max"] - tops["last"]).loc[list(names)].groupby("curve").mean()

# %%
both = curves[curves.curve.isin(names)]
both = both.assign(step=both.groupby(["curve", "seed"]).cumcount())
views.overoptimisation(
    both,
    title="Best-of-n and RLOO on the same proxies",
    caption=f"From its peak to its end gold falls by {fall['best of n']:.2f} "
    f"along best-of-n and by {fall['RLOO']:.2f} along RLOO (means over "
    f"{size.seeds} proxies).",
)

# %% [markdown]
# ## The two fits
#
# Both formulas are linear in their coefficients, so this is least squares,
# one fit per proxy. A peak beyond the last point is an extrapolation.

# %%
fits, forms = {}, {"best of n": "bon", "RLOO": "rl"}
for (name, seed), part in both.groupby(["curve", "seed"]):
    points = part.sqrt_kl.tolist(), part.gold.tolist()
    fits[name, seed] = over.fit(*points, forms[name], start=start)
rows = []
for (name, seed), fit in fits.items():
    peak = fit.peak[0] if fit.peak else np.nan
    rows.append((name, seed, fit.alpha, fit.beta, fit.r2, peak, fit.hump))
table = pd.DataFrame(
    rows, columns=["curve", "seed", "α", "β_c", "R²", "peak √KL", "in data"]
)
shown = table.groupby("curve").agg("median", numeric_only=True)
shown.drop(columns=["seed"]).round(2)

# %%
middle = int(table[table.curve == "best of n"]["R²"].argsort().iloc[-1])
one = curves[(curves.seed == middle) & curves.curve.isin(names)]
laws = {f"fit of {name}": fits[name, middle] for name in names}
quality = {n: part["R²"].to_numpy() for n, part in table.groupby("curve")}
views.overoptimisation(
    one.drop(columns="seed").reset_index(),
    by="index",
    laws=laws,
    start=start,
    title="The proxy that is fitted best",
    caption=f"Over all proxies the mean share of variance explained is "
    f"{quality['best of n'].mean():.2f} for best-of-n and "
    f"{quality['RLOO'].mean():.2f} for RLOO.",
)

# %% [markdown]
# ## More comparisons
#
# Along exact best-of-n: how high is the peak of gold, and how far out?

# %%
rows = []
for n, several in tables.items():
    for seed, each in enumerate(several):
        curve = over.best_of_n_curve(ref, each, gold, ns)
        top = curve.loc[curve.gold.idxmax()]
        rows.append((n, seed, top.gold, top.kl**0.5))

# %%
peaks = pd.DataFrame(rows, columns=["pairs", "seed", "height", "distance"])
height = peaks.groupby("pairs").height.mean()
panels = {"height": "gold at its peak (reward units)"}
panels["distance"] = "√KL at the peak of gold (√nats)"
how = {"x": "pairs", "log_x": True}
views.training_curves(
    peaks,
    panels,
    **how,
    caption=f"From {amounts[0]} to {amounts[-1]} pairs the peak rises from "
    f"{height[amounts[0]]:.2f} to {height[amounts[-1]]:.2f} reward units.",
)

# %% [markdown]
# ## Seven claims
#
# Sides and limits were written down before the judging seeds were drawn. That
# gold falls along best-of-n is judged in lesson 11.

# %%
extra, kls = [], []
for _, part in curves.groupby("seed"):
    two = [part[part.curve == name] for name in names]
    gains = [p.proxy.cummax() - p.proxy.iloc[0] for p in two]
    half = 0.5 * min(gain.max() for gain in gains)
    used = [np.interp(half, g, p.kl) for g, p in zip(gains, two, strict=True)]
    extra.append(used[1] - used[0])
    kls.append(np.interp([0.75, 1], np.linspace(0, 1, len(two[1])), two[1].kl))
slopes = {"height": [], "distance": []}
for _, part in peaks.groupby("seed"):
    for name, values in slopes.items():
        values.append(np.polyfit(np.log10(part.pairs), part[name], 1)[0])

# %%
eta = np.linspace(0.2, 4, 401)
near = over.tilt_curve(ref, proxy[0], gold, 1 / eta)
off = (np.gradient(near.gold, eta) - near.covariance).abs()[1:-1]
rl = (tops["max"] - tops["last"]).loc["RLOO"]
some, high, gao = (0.1, np.inf), (0.9, np.inf), "Gao et al. 2023 (2210.10760)"
effects = {
    "hump-rl": (rl, some, "reward units"),
    "fit-bon": (quality["best of n"], high, "R²"),
    "fit-rl": (quality["RLOO"], high, "R²"),
    "bon-uses-less-kl": (extra, "positive", "nats"),
    "more-pairs-height": (slopes["height"], "positive", "per decade"),
    "more-pairs-distance": (slopes["distance"], "positive", "per decade"),
    "slope-is-covariance": (off, "zero", "reward units"),
}

# %%
texts = [
    "Along RLOO gold peaks before the end and falls by at least 0.1.",
    "d(α − β_c d) explains gold along best-of-n with R² above 0.9.",
    "d(α − β_c log d) explains gold along RLOO with R² above 0.9.",
    "For half the proxy gain that both reach RLOO uses more KL.",
    "With more comparisons the gold of best-of-n peaks higher.",
    "With more comparisons the gold of best-of-n peaks at a larger √KL.",
    "Along the exact optimum the slope of gold in 1/β is Cov(gold, proxy).",
]
means = [
    "Reinforcement learning on a noisy reward does harm here, too.",
    "Two numbers describe the whole curve of best-of-n.",
    "Two numbers describe the whole curve of RLOO.",
    "Best-of-n is the better optimiser of a proxy, nat for nat.",
    "More labels buy more gold before the turn.",
    "More labels let one optimise further before the turn.",
    "The peak of gold can be read from the covariance alone.",
]

# %%
verdicts, where = {}, f"one reference model, {main} pairs, {flip:.0%} flipped"
special = {"hump-rl": {"rest": list(zip(*kls, strict=True))}}  # KL at rest?
special["slope-is-covariance"] = {"kind": "exact", "tolerance": 1e-3}
for key, text, meaning in zip(effects, texts, means, strict=True):
    effect, expected, unit = effects[key]
    told = {"statement": text, "meaning": meaning, "unit": unit}
    told |= {"setting": where, "out": OUT or None, "expected": expected}
    told |= {"paper": "ours" if key.startswith("slope") else gao}
    told |= special.get(key, {})
    verdicts[key] = teach.claim(key=key, effect=effect, **told)

# %%
told = {k: f"{c.mean:.2f} ({c.verdict})" for k, c in verdicts.items()}
say(
    f"**Answer.** The formulas explain a share of {told['fit-bon']} of the "
    f"variance of gold along best-of-n and of {told['fit-rl']} along RLOO; "
    f"gold falls by {told['hump-rl']} along RLOO, which uses "
    f"{told['bon-uses-less-kl']} nats more than best-of-n for the same half "
    f"of the proxy's gain; tenfold comparisons raise the peak by "
    f"{told['more-pairs-height']} and move it by "
    f"{told['more-pairs-distance']} in √KL."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# *RLOO's peak.* Lesson 11 asks whether a trained network peaks at the KL of
# best-of-n. For most proxies it does not peak at all: when the run stops, its
# KL has nearly come to rest and its gold is still near its highest. At equal
# KL its gold is higher than that of best-of-n, and its proxy is lower. The
# likely reason is that best-of-n and the exact optimum read the table of
# scores, and find each review that the proxy overrates, however odd. A
# network moves whole families of reviews at once, settles on a few of them,
# and then never writes the odd ones, so that it never learns how highly the
# proxy scores them. That is a poor search, and no protection: a wider search
# would find them. This was not tried.
#
# *The fit of best-of-n.* The formula is a parabola in $\sqrt{\text{KL}}$. In
# this small world KL ends where the one favourite review of each prompt is
# left, and gold falls steeply just before. In the paper, with its very many
# responses, no curve comes near such an end.
#
# *The place of the peak.* It did not move with the number of comparisons. In
# a world of 585 reviews per prompt the whole axis is short.
#
# ## References
#
# * Gao, Schulman, Hilton 2023, *Scaling laws for reward model
#   overoptimization*, [2210.10760](https://arxiv.org/abs/2210.10760).
# * Ahmadian et al. 2024, *Back to basics* (RLOO),
#   [2402.14740](https://arxiv.org/abs/2402.14740).
