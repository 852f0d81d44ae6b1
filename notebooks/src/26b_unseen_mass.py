# ---
# jupyter:
#   workbench:
#     title: "26b · What no pair mentions"
#     part: offline
#     budget_s: {ci: 30, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 26b · Where does the mass go that no pair mentions?
#
# *A study beside lesson 26.*
#
# **Question.** A margin is a difference of log-ratios along a pair. Of the
# mass on responses that no pair names (the *unseen* mass) a loss of the
# margins says nothing. Which losses do say something, and where does DPO
# leave that mass in practice? Methods: DPO, IPO, the hinge, DPOP, RPO
# (regularised preference optimisation, an SFT term) and χPO (a χ² link).
#
# **Setting.** All reviews of at most three words, a hundred Bradley–Terry
# pairs per seed, $\beta = 0.1$, one reference model.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.lesson import *
from workbench.measure import implicit_reward
from workbench.measure import rank_deficiency as rank
from workbench.methods.direct.links import dpo, dpop, hinge, ipo
from workbench.methods.direct.pessimism import chipo, rpo
from workbench.models.policy import TabularPolicy

size = sizes(PROFILE, seeds=(2, SEEDS, 10), steps=(4, 80, 600))
world, beta = Reviews(3), 0.1
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()


# %%
def collect(count, name):
    draws = [generator(SEED + k, name) for k in range(size.seeds)]
    return [sample_pairs(world, ref, count, Annotator(), g) for g in draws]


parts = collect(100, "pairs")
pairs = Pairs.cat(parts)
average = rpo.Config(beta, 0.2, reduce="mean", times_beta=False)
methods = {"rpo": (rpo, average)}
for module in (dpo, ipo, hinge, dpop, chipo):
    methods[module.card.key] = (module, module.Config(beta))
methods["dpop"] = (dpop, dpop.Config(beta, lam=5.0))

# %% [markdown]
# ## Two policies that a margin cannot tell apart
#
# Take a policy, multiply its probabilities on all unseen responses by 0.1,
# and renormalise the rest. How much does the loss of a pair change? The
# policy is $\pi^*_1$, so that no log-ratio is zero.

# %%
policy, mine = solutions.optimal_policy(ref, world.gold, 1.0), parts[0]
twin = rank.rescaled(policy, ~rank.seen(mine, world), 0.1)
rows, known = torch.arange(100), mine.reference_logps(reference)
one, two = (
    mine.batch(TabularPolicy(world, logps), rows, known)
    for logps in (policy, twin)
)
gap = {
    key: (method.loss(one, cfg) - method.loss(two, cfg)).abs().max().item()
    for key, (method, cfg) in methods.items()
}
pd.DataFrame(gap, ["largest change of a pair's loss"]).round(4)

# %% [markdown]
# ## Train
#
# RPO is the average form with weight 0.2, DPOP has $\lambda = 5$. `margin` is
# in nats.


# %%
def train(method, cfg):
    reading = pairs.reference_logps(reference)
    looks = [implicit_reward.PairTracker(pairs, reading, 1.0)]
    looks += [exact.Tracker(world, ref, gold=world.gold)]
    looks += [rank.UnseenTracker(world, pairs)]
    settings = {"steps": size.steps, "batch_size": 16, "seed": SEED}
    settings |= {"measures": looks, "every": max(1, size.steps // 8)}
    start = reference.copies(size.seeds)
    return offline.fit(start, reference, pairs, method, cfg, **settings)


# %%
trained = ("dpo", "rpo", "dpop", "chipo")
runs = {key: train(*methods[key]).metrics for key in trained}
log = pd.concat([m.assign(method=key) for key, m in runs.items()])
last = log[log.step == size.steps].set_index(["method", "seed"])
before = log[log.step == size.steps * 3 // 4].set_index(["method", "seed"])
start = log[log.step == 0].set_index(["method", "seed"])
begun = start.unseen["dpo"]
mean = last.groupby("method").mean(numeric_only=True)
mean[["unseen", "margin", "chosen", "gold"]].round(3)

# %%
caption = (
    f"From {begun.mean():.2f} the unseen mass goes to "
    f"{mean.unseen['dpo']:.2f} with DPO, {mean.unseen['rpo']:.2f} with RPO, "
    f"{mean.unseen['dpop']:.2f} with DPOP and {mean.unseen['chipo']:.2f} with "
    "χPO."
)
axis = ("margin", "mean margin D (nats)")
views.unseen_mass(log, against=axis, start=begun.mean(), caption=caption)

# %% [markdown]
# ## At equal margins
#
# DPO's runs and another method's are compared at the smaller of their two
# final margins, seed by seed.


# %%
def excess(key):
    out = []
    for seed in range(size.seeds):
        two = [runs[name][runs[name].seed == seed] for name in ("dpo", key)]
        level = min(frame.margin.iloc[-1] for frame in two)
        at = [np.interp(level, frame.margin, frame.unseen) for frame in two]
        out.append(at[0] - at[1])
    return out


# %% [markdown]
# ## Claims

# %%
said = {
    "same-loss": "Unseen mass × 0.1: no loss changes (DPO, IPO, hinge).",
    "other-loss": "It changes a loss of RPO, of χPO.",
    "unseen": "DPO ends with more unseen mass than π_ref has.",
    "rpo-unseen": "At equal margin DPO has more of it than RPO.",
    "chipo-unseen": "At equal margin DPO has more of it than χPO.",
}
where = f"100 pairs, {size.steps} steps, β = 0.1, one reference model"
rafailov = "Rafailov et al. 2024 (2406.02900)"
same = [gap[key] for key in ("dpo", "ipo", "hinge")]
other, more_mass = [gap["rpo"], gap["chipo"]], last.unseen["dpo"] - begun
table = [
    ("same-loss", rafailov, same, "zero", "nats"),
    ("other-loss", "ours", other, "positive", "nats"),
    ("unseen", rafailov, more_mass, "positive", "share"),
    ("rpo-unseen", "ours", excess("rpo"), "positive", "share"),
    ("chipo-unseen", "ours", excess("chipo"), "positive", "share"),
]
rest = (before.unseen["dpo"], last.unseen["dpo"])
special = {"same-loss": {"kind": "exact", "tolerance": 1e-9}}
special |= {"other-loss": {"kind": "exact"}, "unseen": {"rest": rest}}
few = (begun.mean() > 0.9, "pairs mention under a tenth of the mass")
special["unseen"]["condition"] = few

# %%
for key, paper, effect, expected, unit in table:
    more = {"setting": where, "out": OUT or None, "statement": said[key]}
    more |= {"effect": effect, "expected": expected, "unit": unit}
    teach.claim(key=key, paper=paper, **more | special.get(key, {}))

# %%
say(
    f"**Answer.** DPO, IPO and the hinge cannot see the unseen mass (a change "
    f"of {max(same):.0e} nats), RPO and χPO can. In training it goes from "
    f"{begun.mean():.2f} to {mean.unseen['dpo']:.2f} with DPO and to "
    f"{mean.unseen['rpo']:.2f} with RPO."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# The theory says that the loss leaves the mass free, and where it goes is up
# to the model and the optimiser. In large models it has been seen to grow on
# unseen text, where the pairs name next to nothing of what a model can write.
# Here the pairs were drawn from the reference itself and name its likeliest
# reviews, four tenths of the mass. What the small decoder learns about a word
# of one review it applies to others; nothing forces the mass outward. DPOP
# reads where a chosen response stands only if that is below the reference, so
# it is not among the losses that must change.
#
# ## References
#
# * [Rafailov et al. 2024](https://arxiv.org/abs/2406.02900), section 3.5 and
#   proposition 1: what the loss leaves free.
# * [Liu et al. 2024](https://arxiv.org/abs/2405.16436): RPO. [Huang et al.
#   2024](https://arxiv.org/abs/2407.13399): χPO.
