# ---
# jupyter:
#   workbench:
#     title: "28a · Longer lists"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 28a · Is a long list worth more than many short ones?
#
# *A study beside lesson 28.*
#
# **Question.** Papers about lists of responses say that longer lists help.
# Does a loss gain from lists of 8 instead of 2, if it may read equally many
# scored responses? And does a soft target on a list resist noisy scores
# better than pairs do?
#
# **Setting.** All reviews of at most three words; lists drawn from one
# reference model and scored by the gold reward; 32 scored responses per step,
# as 16 lists of 2 or 4 lists of 8; $\beta = 0.5$. The losses are DPO (direct
# preference optimisation) on all pairs of a list, `list_mle` (the likelihood
# of the ranking), LiPO (listwise preference optimisation: pairs weighted by
# what their swap would cost the ranking), PRO (preference ranking
# optimisation: mean log-probs, no reference) and `dpo_rw`, which is InfoNCA
# (lesson 28). The answer in one sentence is computed before the claims.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 8
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace

from workbench.feedback.kinds.lists import Lists, sample_lists
from workbench.lesson import *
from workbench.methods.direct.lists import (
    adpo,
    dpo_rw,
    lipo,
    list_mle,
    pair_logistic,
    pro,
)

size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 40, 400))
beta, budget = 0.5, 32  # reward units per nat; scored responses per step
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()
tracker = exact.Tracker(world, ref, gold=world.gold, beta=beta)


# %%
def lists_of(length, noise=0.0):
    number = budget * size.steps // length
    draws = [generator(SEED + i, "d") for i in range(size.seeds)]
    return Lists.cat([
        sample_lists(world, ref, number, length, draw, noise=noise)
        for draw in draws
    ])


def train(method, cfg, lists):
    return offline.fit(
        reference.copies(size.seeds), reference, lists, method, cfg,
        batch_size=budget // lists.group, steps=size.steps, seed=SEED,
        every=size.steps, measures=[tracker],
    )


# %% [markdown]
# ## Five losses, two lengths

# %%
losses = {"DPO, all pairs": (pair_logistic, pair_logistic.Config(beta))}
losses["list_mle"] = list_mle, list_mle.Config(beta)
losses["LiPO"] = lipo, lipo.Config(beta)
losses["PRO"] = pro, pro.Config()
losses["InfoNCA (dpo_rw)"] = dpo_rw, dpo_rw.Config(1.0, beta)
data = {length: lists_of(length) for length in (2, 8)}
ends = pd.concat(
    train(*loss, lists).last.assign(loss=name, length=length)
    for name, loss in losses.items() for length, lists in data.items()
)
ends = ends.set_index(["loss", "length", "seed"]).sort_index()
gold = {length: ends.gold.xs(length, level="length") for length in data}
grew = gold[8] - gold[2]

# %%
names = list(losses)
mean = ends.groupby(["loss", "length"]).mean(numeric_only=True)
mean = mean[["gold", "kl", "kl_to_optimum"]].unstack().loc[names]
mean.round(3)

# %%
gained = grew.groupby("loss").mean()
views.bars(
    grew.rename("gain").reset_index(), "loss", "gain", spread="interval",
    label="gold at length 8 minus gold at length 2 (reward units)",
    title="What a longer list adds", horizontal=True,
    caption="Gold gained by longer lists: "
    + ", ".join(f"{name} {gained[name]:+.3f}" for name in names) + ".",
)

# %% [markdown]
# ## Noisy scores
#
# Each score gets Gaussian noise of 1.5 reward units. ADPO (anchored direct
# preference optimisation) changes two things against DPO: its target is soft,
# and it reads lists. Each has a row. The last row leaves out the anchor, a
# known mistake. The win mass is the probability of the best review.

# %%
cfg, sharp = adpo.Config(), pair_logistic.Config(1 / adpo.Config().tau)
loose = SimpleNamespace(card=adpo.card, loss=adpo.mistakes["2 no anchor"])
noisy = {length: lists_of(length, noise=1.5) for length in (2, 4)}
tries = {"DPO, pairs": (pair_logistic, sharp, noisy[2])}
tries["ADPO, pairs"] = adpo, cfg, noisy[2]
tries["ADPO, lists of 4"] = adpo, cfg, noisy[4]
tries["no anchor, lists of 4"] = loose, cfg, noisy[4]

# %%
best, mass, drift = world.gold.argmax(-1), {}, {}
for name, (method, config, lists) in tries.items():
    run = train(method, config, lists)
    logps = exact.response_logps(run.policy, world)
    wins = logps[:, torch.arange(len(best)), best].exp()
    mass[name], drift[name] = wins.mean(-1).tolist(), run.last.kl.tolist()
mass, drift = pd.DataFrame(mass), pd.DataFrame(drift)
columns = {"win mass": mass.mean(), "KL(π‖π_ref)": drift.mean()}
pd.DataFrame(columns).round(3)

# %%
rise = [name for name in names if gained[name] > 0]
soft = mass["ADPO, lists of 4"] - mass["DPO, pairs"]
say(
    f"**Answer.** {len(rise)} of {len(names)} losses gain gold on average "
    f"from lists of 8; the largest gain is {gained.max():+.3f} "
    f"({gained.idxmax()}), the smallest {gained.min():+.3f} "
    f"({gained.idxmin()}). With noisy scores soft anchored lists put "
    f"{soft.mean():+.4f} more mass on the best review than DPO."
)

# %% [markdown]
# ## Claims

# %%
lipo_paper = "T. Liu et al. 2024 (2402.01878)"
table = [
    ("lipo", lipo_paper, gold[8]["LiPO"] - gold[2]["DPO, all pairs"],
     "LiPO on lists of 8 earns more gold than DPO on pairs."),
    ("lipo-length", lipo_paper, grew["LiPO"],
     "LiPO gains gold from longer lists."),
    ("lipo-only", lipo_paper, grew["LiPO"] - grew["list_mle"],
     "LiPO gains more from length than list_mle, which reads no values."),
    ("pro-length", pro.card.paper, grew["PRO"],
     "PRO gains gold from longer lists."),
    ("adpo", adpo.card.paper, soft,
     "With noisy scores soft anchored lists keep more mass on the best."),
]
meanings = {
    "lipo": "Pairs weighted by rank make use of a list.",
    "lipo-length": "A response tells more among seven others than among one.",
    "lipo-only": "What a swap costs is worth more than the order alone.",
    "pro-length": "A longer ranking is worth its price.",
    "adpo": "A soft target believes a noisy score less than a winner does.",
}

# %%
for key, paper, effect, statement in table:
    teach.claim(
        key=key, paper=paper, statement=statement, effect=effect,
        expected="positive", meaning=meanings[key], out=OUT or None,
        unit="probability" if key == "adpo" else "reward units",
        setting=f"{size.steps} steps of {budget} scored responses, "
        "equally many at each length, one reference model",
    )

# %% [markdown]
# ## What did not come out
#
# The papers compare lists at an equal number of *prompts*, where a longer list
# also brings more responses. Here the number of scored responses is equal, so
# only the arrangement can help, and its gain is below a tenth of a reward
# unit. For LiPO and PRO it is too small for eight seeds to settle it. The
# win mass of the best of 585 reviews is small in every run, since
# $\beta_r/\tau$ keeps all of them near the reference.
#
# ## References
#
# * [T. Liu et al. 2024](https://arxiv.org/abs/2402.01878), *LiPO*.
# * [Song et al. 2023](https://arxiv.org/abs/2306.17492), *PRO*.
# * [Wang 2025](https://arxiv.org/abs/2510.18913), *ADPO*.
# * [Ji et al. 2024](https://arxiv.org/abs/2402.00856): `dpo_rw`.
