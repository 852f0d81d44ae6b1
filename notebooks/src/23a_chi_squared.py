# ---
# jupyter:
#   workbench:
#     title: "23a · Chi-squared against errors"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 23a · Does χ² hold back a reward that is wrong?
#
# *A study beside lesson 23.*
#
# **Question.** Under $\chi^2$ a ratio $u = \pi/\pi_{\text{ref}}$ grows in a
# line with the reward. Does that protect the gold reward where the reward is
# wrong without anybody having planted the error: learned from pairs that
# seldom show some responses, or a proxy with heavy-tailed errors?
#
# **Setting.** Two. (1) An editor removes nearly all reviews with a grammar
# error, and a reference fine-tuned on the rest writes the pairs; $\chi^2$
# preference optimisation (χPO) and direct preference optimisation (DPO) learn
# from few of them. (2) Gold plus an error of half its spread, in closed form:
# the optimum of $\mathbb{E}_\pi[R] - c\,\chi^2$ beside that of the KL. The
# answer in one sentence is computed before the claims.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from itertools import product

from workbench.core import divergences
from workbench.feedback.kinds import responses
from workbench.lesson import *
from workbench.methods.direct.links import dpo
from workbench.methods.direct.pessimism import chi2_direct, chipo
from workbench.methods.supervised import sft

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 80, 1000),
    corpus=(1000, 32000, 320000),
)
small, few = 0.1, (25, 100, 400)
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref, gold = reference.response_logps(world).detach(), world.gold
places = range(SEED, SEED + size.seeds)
teach.show(chipo.loss)

# %% [markdown]
# χPO is f-DPO for $f = \frac12(u-1)^2 + u\log u$, so $f' = u + \log u$ up to
# a constant, with the difference of rewards cut at $\pm 2R$, where
# $|r| \le R$.
#
# ## Pairs that seldom show an error
#
# The *words* of "good fun very" look splendid: sentiment is what a learner
# picks up, and gold adds fluency.

# %%
flawed = world.attributes["fluency"] < 0
edited = (ref - 4.6 * flawed).log_softmax(-1)  # a hundredth is left
corpus = world.draw(edited, size.corpus, generator(SEED, "corpus"))
clean = offline.fit(
    reference.copies(1), None, responses.Responses.of(corpus), sft,
    sft.Config(), steps=2 * size.steps, batch_size=128, seed=SEED,
).policy.member(0).requires_grad_(False)
thin = clean.response_logps(world).detach()
bad = [(v.exp() * flawed).sum(-1).mean() for v in (ref, thin)]
say(f"Flawed: {bad[0]:.1%} of the reference, {bad[1]:.1%} of the edited one.")

# %%
tracker, runs = exact.Tracker(world, thin, gold=gold), []
for n, (key, method) in product(few, {"dpo": dpo, "χPO": chipo}.items()):
    drawn = [generator(seed, "pairs") for seed in places]
    data = [sample_pairs(world, thin, n, Annotator(), each) for each in drawn]
    run = offline.fit(
        clean.copies(size.seeds), clean, Pairs.cat(data), method,
        method.Config(beta=small), steps=size.steps, seed=SEED,
        measures=(tracker,), every=max(1, size.steps // 8),
    )
    runs.append(run.metrics.assign(method=key, pairs=f"{n} pairs"))

# %%
names = [f"{n} pairs" for n in few]
thinly = pd.concat(runs).set_index(["method", "seed", "step", "pairs"])
thinly = thinly.gold.unstack()[names]
final = thinly.xs(size.steps, level="step")
drop = thinly.groupby(level=["method", "seed"]).max() - final
fall, end = (v[names[0]].unstack("method") for v in (drop, final))
views.training_curves(
    thinly.reset_index(), {n: f"gold from {n} (reward units)" for n in names},
    by="method",
    caption=f"From {names[0]} gold ends {fall.dpo.mean():.2f} below its peak "
    f"with DPO and {fall.χPO.mean():.2f} with χPO, at {end.dpo.mean():.2f} "
    f"and {end.χPO.mean():.2f}.",
)

# %% [markdown]
# ## A proxy with heavy-tailed errors
#
# Laidlaw, Singhal and Dragan penalise $\chi^2$ itself. Let $R$ be the proxy,
# $G$ the gold reward and $\rho$ their correlation under $\pi_{\text{ref}}$.
# Cauchy–Schwarz on the part of $G$ that $R$ does not explain gives, for
# **every** policy, a floor:
#
# $$\frac{\Delta G}{\text{sd}(G)} \ge \rho\,\frac{\Delta R}{\text{sd}(R)}
#   - \sqrt{(1-\rho^2)\,\chi^2(\pi\Vert\pi_{\text{ref}})}.$$
#
# At a given gain $\Delta R$ the optimum with $\chi^2$ has the least $\chi^2$,
# hence the best floor. The optimum is
# $\pi = \pi_{\text{ref}}\max(0, R - \nu)/(2c)$: below the level $\nu$ it gives
# a response up, which no loss of log-ratios can do. The errors are drawn from
# Student's distribution with 1000 degrees of freedom (all but Gaussian) or
# with two: the same size, another tail.


# %%
def proxy(seed, freedom):
    draw = np.random.default_rng([seed, 23])
    error = torch.tensor(draw.standard_t(freedom, gold.shape))
    g, e = (solutions.covariance(ref, v, v)[:, None] for v in (gold, error))
    return gold + 0.5 * (g / e).sqrt() * error


def gain(policies, reward):
    spread = solutions.covariance(ref, reward, reward).sqrt()
    ends, start = (solutions.expectation(p, reward) for p in (policies, ref))
    return ((ends - start) / spread).mean(-1)


def with_chi2(ref_logps, reward, coefficient):
    cfg = chi2_direct.Config(coefficient, root=False)
    return chi2_direct.log_distribution(ref_logps, reward, cfg)


# %%
both = {"reverse KL": solutions.optimal_policy, "χ²": with_chi2}
tails, ticks = {"light": 1000, "heavy": 2}, np.arange(1, 7) / 4
rows, above, fine = {}, [], np.geomspace(30, 0.05, 40).tolist()
many = range(SEED, SEED + 4 * size.seeds)  # closed forms cost little
for name, seed, tail in product(both, many, tails):
    R = proxy(seed, tails[tail])
    path = torch.stack([both[name](ref, R, strength) for strength in fine])
    floor = chi2_direct.gold_floor(path, ref, R, gold)
    above.append((solutions.expectation(path, gold) - floor).min().item())
    rows[name, seed, tail] = np.interp(ticks, gain(path, R), gain(path, gold))

# %%
equal = pd.DataFrame(rows, index=pd.Index(ticks, name="proxy gain"))
equal = equal.rename_axis(columns=["penalty", "seed", "tail"])
lead = (equal["χ²"] - equal["reverse KL"]).loc[1.0].unstack("tail")
equal = equal.T.stack().unstack("tail").reset_index()
views.sweep(
    equal, "proxy gain", by="penalty",
    y={t: f"gold with {t} tails (sd under π_ref)" for t in tails},
    x_label="gain in proxy (sd under π_ref)",
    caption=f"At a proxy gain of 1 sd χ² leads the KL by "
    f"{lead.light.mean():+.3f} sd of gold with light-tailed errors and by "
    f"{lead.heavy.mean():+.3f} with heavy-tailed ones.",
)

# %%
fell = final.loc["χPO"].diff(axis=1).min(axis=1)
say(
    f"**Answer.** From {names[0]} gold falls {fall.dpo.mean():.2f} from its "
    f"peak with DPO and {fall.χPO.mean():.2f} with χPO. At equal proxy gain "
    f"$\\chi^2$ leads the KL by {lead.heavy.mean():.2f} sd of gold where the "
    "errors of the proxy have heavy tails, and by "
    f"{lead.light.mean():.2f} where they have light ones."
)

# %% [markdown]
# ## Claims

# %%
huang = "Huang et al. 2024 (2407.13399)"
laidlaw = "Laidlaw et al. 2024 (2403.03185)"
trained = f"pairs of the edited π_ref, {size.steps} steps, β = {small}"
closed = "closed forms, a proxy per seed, error ½ sd of gold, gain 1 sd"
best = solutions.optimal_policy_f(ref, gold, small, divergences.CHI2_KL)
over = (best - ref).exp().amax(-1) - 1
over = over - (gold.amax(-1) - gold.amin(-1)) / small
table = [
    ("falls", huang, fall.dpo, (0.05, np.inf), "reward units", trained,
     "From 25 thin pairs DPO's gold peaks, then falls."),
    ("flatter", huang, fall.dpo - fall.χPO, "positive", "reward units",
     trained, "From 25 thin pairs χPO's gold falls less from its peak."),
    ("rises", huang, fell, "positive", "reward units", trained,
     "χPO's final gold rises from 25 to 100 and from 100 to 400 pairs."),
]

# %%
table += [
    ("heavy", laidlaw, lead.heavy, "positive", "sd of gold", closed,
     "At equal proxy gain χ² has more gold than the KL where the errors "
     "have heavy tails."),
    ("tail", laidlaw, lead.heavy - lead.light, "positive", "sd of gold",
     closed, "The lead of χ² over the KL is larger with heavy tails than "
     "with light ones."),
]
for key, paper, effect, expected, unit, setting, statement in table:
    teach.claim(
        key=key, paper=paper, statement=statement, effect=effect, unit=unit,
        expected=expected, setting=f"{setting}, one reference model",
        out=OUT or None,
    )
exactly = {"kind": "exact", "out": OUT or None, "setting": "closed forms"}

# %%
teach.claim(
    key="linear-small", paper=huang, effect=over, expected=(-np.inf, 0.0),
    statement=f"At χPO's optimum u is at most 1 + (max r − min r)/β, also at "
    f"β = {small}.", unit="excess of u", **exactly,
)
teach.claim(
    key="floor", paper="ours", effect=above, expected=(-1e-9, np.inf),
    statement="Gold is never below the floor, on any path of optima.",
    unit="reward units", **exactly,
)

# %% [markdown]
# The floor has a best penalty: it is $\rho/\text{sd}(R)$ times
# $\mathbb{E}[R] - \lambda\sqrt{\chi^2}$ plus a constant, with
# $\lambda = \text{sd}(R)\sqrt{1-\rho^2}/\rho$. At
# $\lambda \ge \text{sd}(R)$ the optimum is $\pi_{\text{ref}}$ itself, so for
# $\rho^2 \le \frac12$ no gain can be guaranteed. The factor in the table
# multiplies this $\lambda$.

# %%
R = proxy(SEED, 2)[:1]
sds = [solutions.covariance(ref[:1], v, v).sqrt() for v in (R, gold[:1])]
rho = (solutions.covariance(ref[:1], R, gold[:1]) / sds[0] / sds[1]).item()
best, floors = sds[0].item() * (1 - rho**2) ** 0.5 / rho, {}
for factor in (0.5, 0.8, 1.0, 1.2, 1.9):
    policy = chi2_direct.log_distribution(
        ref[:1], R, chi2_direct.Config(factor * best)
    )
    floors[factor] = chi2_direct.gold_floor(policy, ref[:1], R, gold[:1])
floors = pd.Series({k: v.item() for k, v in floors.items()}, name="floor")
floors.rename_axis("factor").to_frame().round(4)

# %% [markdown]
# ## What did not come out
#
# That more pairs always help χPO is not seen at this size: the gold of five
# seeds of 25 to 400 pairs spreads more than the step between them.
#
# ## References
#
# * [Huang et al. 2024](https://arxiv.org/abs/2407.13399), *Correcting the
#   mythos of KL-regularization*.
# * [Laidlaw et al. 2024](https://arxiv.org/abs/2403.03185), *Correlated
#   proxies*.
