# ---
# jupyter:
#   workbench:
#     title: "26d · Where DPO starts"
#     part: offline
#     budget_s: {ci: 30, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 26d · Does it matter where DPO starts?
#
# *A study beside lesson 26.*
#
# **Question.** How far the chosen can rise depends on where a run starts. A
# start that does not know them has room above it; a start fitted to them has
# none. What do SFT (supervised fine-tuning) on the chosen, a slower SFT, and
# `implicit_sft` (SFT with χ² for its divergence, which holds a demonstration
# back once it is far above the reference) leave for DPO?
#
# **Setting.** All reviews of at most three words, a hundred Bradley–Terry
# pairs per seed, DPO with $\beta = 0.1$, one reference model that wrote the
# pairs. The *base* is an untrained decoder, one per seed. Log-ratios are to
# each run's own start.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from copy import deepcopy
from types import SimpleNamespace

from workbench.lesson import *
from workbench.measure import chosen_reward, implicit_reward
from workbench.methods.direct.links import dpo
from workbench.methods.direct.unpaired import implicit_sft
from workbench.methods.supervised import sft
from workbench.models.policy import Policy

size = sizes(PROFILE, seeds=(2, SEEDS, 10), steps=(4, 80, 600))
world, beta = Reviews(3), 0.1
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()


# %%
def collect(count, name):
    draws = [generator(SEED + k, name) for k in range(size.seeds)]
    return [sample_pairs(world, ref, count, Annotator(), g) for g in draws]


pairs = Pairs.cat(collect(100, "pairs"))
gold = exact.Tracker(world, ref, gold=world.gold, beta=beta)


# %% [markdown]
# ## The ceiling
#
# For every policy
# $\mathbb{E}_{p_c}\bigl[\log\frac{\pi}{\pi_{\text{start}}}\bigr] =
# \mathrm{KL}(p_c\Vert\pi_{\text{start}}) - \mathrm{KL}(p_c\Vert\pi)$, where
# $p_c$ is the distribution of the chosen. So the chosen cannot rise by more
# than $\mathrm{KL}(p_c\Vert\pi_{\text{start}})$.


# %%
def train(method, cfg, start, lr=1e-3):
    known = pairs.reference_logps(start)
    looks = [gold, implicit_reward.PairTracker(pairs, known, 1.0)]
    settings = {"steps": size.steps, "batch_size": 16, "seed": SEED, "lr": lr}
    settings |= {"measures": looks, "every": max(1, size.steps // 4)}
    policy = deepcopy(start)
    return offline.fit(policy, start, pairs, method, cfg, **settings)


def tune(method, cfg, lr=1e-3):
    """Train on the chosen response of each pair alone."""
    learner = SimpleNamespace(card=method.card)
    learner.loss = lambda batch, cfg: method.loss(batch.chosen, cfg)
    return train(learner, cfg, reference.copies(size.seeds), lr).policy


# %%
ids = range(SEED, SEED + size.seeds)
raw = [tiny.decoder(world.vocab, seed=seed) for seed in ids]
starts = {"π_ref": reference.copies(size.seeds), "base": Policy.stack(raw)}
starts["SFT"] = tune(sft, sft.Config())
starts["SFT, lr/5"] = tune(sft, sft.Config(), 2e-4)
starts["χ²-SFT"] = tune(implicit_sft, implicit_sft.Config(1.0))
runs = {k: train(dpo, dpo.Config(beta), p) for k, p in starts.items()}
log = pd.concat([run.metrics.assign(start=k) for k, run in runs.items()])
last = log[log.step == size.steps].set_index(["start", "seed"])
first = log[log.step == 0].set_index(["start", "seed"])
mean = last.groupby("start", sort=False).mean(numeric_only=True)

# %%
p_chosen = chosen_reward.pair_distributions(ref, world.gold)[0]
room, off = {}, []
for name, start in starts.items():
    old, new = (
        exact.response_logps(policy, world)
        for policy in (start, runs[name].policy)
    )
    ceiling, left = (
        solutions.kl(p_chosen.expand_as(q), q).mean() for q in (old, new)
    )
    rise = (p_chosen.exp() * (new - old)).sum(-1).mean()
    off.append((rise - (ceiling - left)).item())
    room[name] = [ceiling.item(), rise.item()]

# %%
table = pd.DataFrame(room, ["ceiling (nats)", "rise over p_c (nats)"]).T
table["KL before"] = first.kl.groupby("start").mean()
table["KL after"], table["gold"] = mean.kl, mean.gold
table["margin"] = mean.margin
table.round(2)

# %%
labels = {k: f"{k}: mean log π/π_start (nats)" for k in ("chosen", "rejected")}
caption = (
    f"The chosen end at {mean.chosen['π_ref']:+.2f} nats from the reference, "
    f"{mean.chosen['base']:+.2f} from the base and {mean.chosen['SFT']:+.2f} "
    "from SFT."
)
shown = log[log.start.isin(["π_ref", "base", "SFT"])]
views.training_curves(shown, labels, by="start", zero=True, caption=caption)

# %% [markdown]
# ## Claims

# %%
said = {
    "base-rises": "DPO from a base that knows no such text: chosen rise.",
    "sft-falls": "DPO from SFT on the chosen: the chosen fall.",
    "margin": "The margin rises from every start (the smallest).",
    "ceiling": "The rise is KL(p_c‖start) − KL(p_c‖π), at every start.",
    "sft-lr": "A fifth of SFT's step size leaves more gold after DPO.",
    "chi-kl": "χ²-SFT (β = 1) moves less from π_ref than SFT does.",
    "chi-gold": "χ²-SFT (β = 1) leaves more gold after DPO than SFT does.",
}
where = f"100 pairs, {size.steps} steps, β = 0.1, one reference model"
rafailov, wang = "Rafailov et al. 2024 (2406.02900)", "Wang et al. 2025"
wang, smallest = f"{wang} (2507.00018)", last.margin.groupby("seed").min()
slow, chi = (last.gold[k] - last.gold["SFT"] for k in ("SFT, lr/5", "χ²-SFT"))
nearer, units = first.kl["SFT"] - first.kl["χ²-SFT"], "reward units"

# %%
table = [
    ("base-rises", rafailov, last.chosen["base"], "positive", "nats"),
    ("sft-falls", rafailov, last.chosen["SFT"], "negative", "nats"),
    ("margin", rafailov, smallest, "positive", "nats"),
    ("ceiling", "ours", off, "zero", "nats"),
    ("sft-lr", wang, slow, "positive", units),
    ("chi-kl", wang, nearer, "positive", "nats"),
    ("chi-gold", wang, chi, "positive", units),
]
special = {"ceiling": {"kind": "exact", "tolerance": 1e-9}}

# %%
for key, paper, effect, expected, unit in table:
    more = {"setting": where, "out": OUT or None, "statement": said[key]}
    more |= {"effect": effect, "expected": expected, "unit": unit}
    teach.claim(key=key, paper=paper, **more | special.get(key, {}))

# %%
say(
    f"**Answer.** The chosen end at {mean.chosen['base']:+.2f} nats from the "
    f"base, {mean.chosen['π_ref']:+.2f} from the reference and "
    f"{mean.chosen['SFT']:+.2f} from SFT. Gold after DPO is "
    f"{mean.gold['SFT']:.2f} from SFT, {mean.gold['SFT, lr/5']:.2f} from slow "
    f"SFT and {mean.gold['χ²-SFT']:.2f} from χ²-SFT."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# Room above a start is not used by itself: the untrained base has the highest
# ceiling, but the loss asks for margins only, and nothing tells it to write
# reviews. SFT on a hundred responses fits these hundred and moves *away* from
# the distribution they came from, so its ceiling is above that of the
# reference: the closest start is the one that wrote the pairs. With five
# seeds the differences in gold are as large as those between the seeds. The
# equations of Wang et al. were not at hand: their χ² loss is derived here, not
# copied, so their claims are judged with care.
#
# ## References
#
# * [Rafailov et al. 2024](https://arxiv.org/abs/2406.02900), section 3.5.
# * [Wang et al. 2025](https://arxiv.org/abs/2507.00018), *Implicit reward as
#   the bridge*.
