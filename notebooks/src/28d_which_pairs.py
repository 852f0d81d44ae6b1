# ---
# jupyter:
#   workbench:
#     title: "28d · Which pairs to show"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 28d · Can the scores choose better pairs for DPO?
#
# *A study beside lesson 28.*
#
# **Question.** Scores can enter a loss (lesson 28), or they can shape the
# data *before* an ordinary loss. RSO (statistical rejection sampling
# optimisation) keeps those responses that look as if they came from the
# optimum, and pairs them. Reward-augmented data tell each pair twice, once
# for the score of each response. Is direct preference optimisation (DPO) on
# such pairs better than on random ones?
#
# **Setting.** All reviews of at most three words; one reference model; gold
# rewards as scores; DPO at RSO's published $\gamma = 0.05$ for all runs. RSO
# keeps 8 of 64 candidates; its control keeps 8 at random. All runs have
# equally many labels, except that augmented data count each label twice. The
# answer in one sentence is computed before the claims.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 8
DEVICE = "cpu"
OUT = ""

# %%
from workbench.feedback.kinds.lists import sample_lists
from workbench.lesson import *
from workbench.methods.direct.data import reward_augmented, rso
from workbench.methods.direct.links import dpo
from workbench.models.goal_conditioned_policy import conditioned
from workbench.worlds.goal_conditioned_world import Goals

size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 40, 400))
cfg, batch = rso.Config(), 16
number = 8 * size.steps  # pairs per seed
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
goals = Goals(world, [-2.0, -1.0, 0.0, 1.0, 2.0])

# %% [markdown]
# ## Two ways to choose
#
# Rejection accepts a candidate with probability $e^{(r - \max r)/\beta}$. With
# a huge $\beta$ each is accepted: this is the control. We keep only pairs
# whose scores lie at different goals, since augmentation needs those.

# %%
def score(pairs):
    return [world.gold_reward(t) for t in (pairs.chosen, pairs.rejected)]


def chosen_pairs(beta, seed):
    draw = generator(seed, "d")
    candidates = sample_lists(world, ref, number, 64, draw)
    pairs = rso.pairs(candidates, rso.Config(beta=beta), draw)
    high, low = map(goals.nearest, score(pairs))
    return pairs[high > low][:number]


# %%
def train(start, frozen, data, method, config, measures=()):
    return offline.fit(
        start.copies(size.seeds), frozen, data, method, config,
        batch_size=batch, steps=size.steps, seed=SEED, every=size.steps,
        measures=measures,
    )


# %%
seeds = range(SEED, SEED + size.seeds)
kept = [chosen_pairs(cfg.beta, seed) for seed in seeds]
plain = [chosen_pairs(1e9, seed) for seed in seeds]
tracker = [exact.Tracker(world, ref, gold=world.gold)]
with_rso = train(
    reference, reference, Pairs.cat(kept), rso, cfg, tracker
)
with_dpo = train(
    reference, reference, Pairs.cat(plain), dpo, dpo.Config(cfg.gamma), tracker
)
rich = with_rso.last.gold - with_dpo.last.gold

# %%
gold = pd.concat([
    with_rso.last.assign(pairs="kept by rejection (RSO)"),
    with_dpo.last.assign(pairs="kept at random"),
])
columns = {"gold (reward units)": gold.groupby("pairs").gold.mean()}
columns["KL(π‖π_ref) (nats)"] = gold.groupby("pairs").kl.mean()
sets = {"kept by rejection": kept, "kept at random": plain}
for name, parts in sets.items():
    both = torch.cat([torch.cat(score(part)) for part in parts])
    say(f"Mean score of the responses {name}: {both.mean():+.2f}.")
pd.DataFrame(columns).round(3)

# %% [markdown]
# ## The same pair, told twice
#
# A pair with scores 2 and 1 becomes two: the first is right if the prompt asks
# for 2, the second if it asks for 1. So a rejected response that is good is
# not simply pushed down. What becomes of the best quarter of the rejected
# responses?

# %%
asked = conditioned(reference, world, goals)
told = Pairs.cat([
    reward_augmented.augment(part, *score(part), goals) for part in plain
])
aware = train(
    asked, asked, told, reward_augmented, reward_augmented.Config(cfg.gamma)
)
high = exact.response_logps(aware.policy, goals)[:, goals.at(-1)]

# %%
after = {"DPO": exact.response_logps(with_dpo.policy, world)}
after["told twice, goal 2"] = high
rows = []
for name, logps in after.items():
    for seed, part in enumerate(plain):
        grade, at = score(part)[1], part.rejected
        best = grade > grade.quantile(0.75)
        moved = (logps[seed] - ref)[at.prompt, at.response][best]
        rows.append((name, seed, moved.mean().item()))
fate = pd.DataFrame(rows, columns=["policy", "seed", "moved"])

# %%
moved = fate.pivot(index="seed", columns="policy", values="moved")
earned = {k: solutions.expectation(v, world.gold).mean(-1)
          for k, v in after.items()}
mean = moved.mean()
views.bars(
    fate, "policy", "moved", spread="interval",
    label="mean log-ratio to the reference (nats)",
    title="The best quarter of the rejected responses",
    caption=f"DPO moves them by {mean['DPO']:+.2f} nats, the policy that is "
    f"asked for the highest goal by {mean['told twice, goal 2']:+.2f}.",
)

# %%
say(
    f"**Answer.** RSO's pairs earn {rich.mean():+.2f} gold against random "
    f"ones. DPO moves good rejected responses by {mean['DPO']:+.2f} nats; "
    f"told twice, by {mean['told twice, goal 2']:+.2f}, but gold is "
    f"{earned['told twice, goal 2'].mean():.2f} instead of "
    f"{earned['DPO'].mean():.2f}: what is hardly learned does not fall."
)

# %% [markdown]
# ## Claims

# %%
paper, goal = reward_augmented.card.paper, moved["told twice, goal 2"]
table = [
    ("rso", rso.card.paper, rich, "positive", "reward units",
     "At as many labels RSO's pairs give more gold than random ones.",
     "Which responses are paired matters, not only how many."),
    ("told-dpo", paper, moved["DPO"], "negative", "nats",
     "DPO lowers the best quarter of the rejected responses.",
     "To lose a comparison is not to be bad."),
    ("told-goal", paper, goal - moved["DPO"], "positive", "nats",
     "Asked for the highest goal, augmented DPO keeps them higher.",
     "A goal in the prompt gives each response a place to be right."),
    ("told-keeps", paper, goal, "positive", "nats",
     "Asked for the highest goal, it does not lower them at all.",
     "The rejected responses are not harmed."),
]

# %%
rich_enough = bool(earned["told twice, goal 2"].mean() > earned["DPO"].mean())
learned = rich_enough, "the policy asked for the goal earns as much as DPO"
for key, source, effect, expected, unit, statement, meaning in table:
    teach.claim(
        key=key, paper=source, effect=effect, expected=expected, unit=unit,
        statement=statement, meaning=meaning, out=OUT or None,
        condition=learned if key in ("told-goal", "told-keeps") else None,
        setting=f"{number} pairs, {size.steps} steps, one reference model",
    )

# %% [markdown]
# ## What did not come out
#
# The paper's policies, asked for the highest goal, are better than DPO. Here
# they are not, so its two claims about them are not judged ("other setting").
# The highest goal is stated by few pairs, so the policy that is asked for it
# stays near the reference. Its rejected responses are hardly pushed, neither
# down nor up, and gold hardly rises. The paper trains large models whose
# goals are words, so that one goal teaches its neighbours; here each goal is
# a token of its own.
#
# ## References
#
# * [Liu et al. 2023](https://arxiv.org/abs/2309.06657), *Statistical rejection
#   sampling improves preference optimization*: RSO.
# * [Zhang et al. 2024](https://arxiv.org/abs/2410.08067), *Reward-augmented
#   data enhances direct preference alignment of LLMs*.
