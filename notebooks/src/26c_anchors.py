# ---
# jupyter:
#   workbench:
#     title: "26c · Anchors for the chosen"
#     part: offline
#     budget_s: {ci: 30, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 26c · Which losses hold the chosen response in place?
#
# *A study beside lesson 26.*
#
# **Question.** Four losses add to DPO something that reads one response
# alone: DPOP (a penalty on a chosen response below the reference), RPO (an
# SFT term), VPO (value-incentivised preference optimisation, pessimism about
# what the policy can attain) and χPO (a link in which large ratios are
# linear). Which keep the chosen from falling, and does DPOP matter most for
# pairs that differ in one word?
#
# **Setting.** All reviews of at most three words, a hundred Bradley–Terry
# pairs per seed, $\beta = 0.1$, one reference model. $d(y)$ is the log-ratio
# $\log\pi(y)/\pi_{\text{ref}}(y)$ in nats.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.lesson import *
from workbench.measure import displacement, implicit_reward
from workbench.methods.direct.links import dpo, dpop
from workbench.methods.direct.pessimism import chipo, rpo, vpo_offline

size = sizes(PROFILE, seeds=(2, SEEDS, 10), steps=(4, 80, 600))
world, beta = Reviews(3), 0.1
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()


# %%
def collect(count, name):
    draws = [generator(SEED + k, name) for k in range(size.seeds)]
    return [sample_pairs(world, ref, count, Annotator(), g) for g in draws]


def train(method, cfg, pairs):
    known = pairs.reference_logps(reference)
    looks = [implicit_reward.PairTracker(pairs, known, 1.0)]
    looks += [exact.Tracker(world, ref, gold=world.gold)]
    settings = {"steps": size.steps, "batch_size": 16, "seed": SEED}
    settings |= {"measures": looks, "every": max(1, size.steps // 4)}
    start = reference.copies(size.seeds)
    run = offline.fit(start, reference, pairs, method, cfg, **settings)
    return run.metrics


# %% [markdown]
# ## Five losses on the same pairs
#
# RPO in its average form with weight 0.2, DPOP with $\lambda = 5$, VPO
# with $\alpha = 1$, χPO with its default.

# %%
pairs = Pairs.cat(collect(100, "pairs"))
average = rpo.Config(beta, 0.2, reduce="mean", times_beta=False)
losses = {
    "dpo": (dpo, dpo.Config(beta)),
    "RPO": (rpo, average),
    "DPOP": (dpop, dpop.Config(beta, 5.0)),
    "VPO": (vpo_offline, vpo_offline.Config(beta, 1.0)),
    "χPO": (chipo, chipo.Config(beta)),
}
runs = [train(*how, pairs).assign(run=name) for name, how in losses.items()]
log = pd.concat(runs)
last = log[log.step == size.steps].set_index(["run", "seed"])

# %%
columns = ["chosen", "rejected", "margin", "kl", "gold"]
mean = last.groupby("run", sort=False)[columns].mean()
display(mean.round(2))
held = mean.index[mean.chosen > -0.05]
labels = {k: f"{k}: mean log π/π_ref (nats)" for k in ("chosen", "rejected")}
caption = (
    f"Only {', '.join(held)} end with the mean of the chosen at or above the "
    f"start; DPO ends at {mean.chosen['dpo']:+.2f} nats."
)
views.training_curves(log, labels, by="run", zero=True, caption=caption)

# %% [markdown]
# ## Near and far pairs
#
# As many pairs at an edit distance of one word as at three or more.

# %%
near, far = [], []
for pool in collect(1500, "pool"):
    edits = displacement.edit_distance(pool.chosen, pool.rejected)
    edits = torch.tensor(edits)
    near.append(pool[(edits == 1).nonzero()[:100, 0]])
    far.append(pool[(edits >= 3).nonzero()[:100, 0]])

# %%
sets = {"one edit": Pairs.cat(near), "three or more": Pairs.cat(far)}
held_at, both = {}, {"dpo": losses["dpo"], "DPOP": losses["DPOP"]}
for name, how in both.items():
    for distance, some in sets.items():
        metrics = train(*how, some)
        ended = metrics[metrics.step == size.steps].set_index("seed")
        held_at[name, distance] = ended.chosen

# %%
table = pd.DataFrame(held_at).melt(var_name=["method", "edits"])
help_near, help_far = (held_at["DPOP", d] - held_at["dpo", d] for d in sets)
views.bars(
    table.assign(seed=list(range(size.seeds)) * 4),
    "edits",
    "value",
    by="method",
    label="log π/π_ref of the chosen (nats)",
    title="The chosen after training",
    caption=f"DPOP minus DPO is {help_near.mean():+.2f} nats at one edit and "
    f"{help_far.mean():+.2f} at three or more.",
)

# %% [markdown]
# ## Claims

# %%
said = {
    "rpo": "RPO (η = 0.2, average) keeps the chosen from falling.",
    "vpo": "Pessimistic VPO (α = 1) ends with the chosen higher than DPO.",
    "chipo": "χPO ends with the chosen higher than DPO.",
    "dpop-near": "At one edit DPO lowers the chosen.",
    "dpop-far": "At three edits DPOP differs from DPO less than at one.",
}
where = f"100 pairs, {size.steps} steps, β = 0.1, one reference model"
pal, special = "Pal et al. 2024 (2402.13228)", {}
lifted = {k: last.chosen[k] - last.chosen["dpo"] for k in ("VPO", "χPO")}
rpo_end, near_end = last.chosen["RPO"], held_at["dpo", "one edit"]
table = [
    ("rpo", "Liu et al. 2024 (2405.16436)", rpo_end, "positive", "nats"),
    ("vpo", "ours", lifted["VPO"], "positive", "nats"),
    ("chipo", "ours", lifted["χPO"], "positive", "nats"),
    ("dpop-near", pal, near_end, "negative", "nats"),
    ("dpop-far", pal, help_near - help_far, "positive", "nats"),
]

# %%
for key, paper, effect, expected, unit in table:
    more = {"setting": where, "out": OUT or None, "statement": said[key]}
    more |= {"effect": effect, "expected": expected, "unit": unit}
    teach.claim(key=key, paper=paper, **more | special.get(key, {}))

# %%
say(
    f"**Answer.** DPO leaves the chosen at {mean.chosen['dpo']:+.2f} nats; "
    + ", ".join(f"{k} at {v:+.2f}" for k, v in mean.chosen[1:].items())
    + f". DPOP helps by {help_near.mean():.2f} nats at one edit and by "
    f"{help_far.mean():.2f} at three or more."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# Whoever holds the chosen also learns less of the pair: compare the margins
# in the table. In this world DPO lowers the chosen of far pairs as well,
# since all reviews are made of the same eight words and so every pair touches
# every other, and DPOP helps there too. The published $\lambda$ of DPOP is not
# at hand; with 50 it hardly trains.
#
# ## References
#
# * [Pal et al. 2024](https://arxiv.org/abs/2402.13228): DPOP.
# * [Liu et al. 2024](https://arxiv.org/abs/2405.16436): RPO.
# * [Cen et al. 2024](https://arxiv.org/abs/2405.19320): VPO.
# * [Huang et al. 2024](https://arxiv.org/abs/2407.13399): χPO.
