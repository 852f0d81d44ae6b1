# ---
# jupyter:
#   workbench:
#     title: "26a · Who falls, and CHES"
#     part: offline
#     budget_s: {ci: 30, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 26a · Does a cheap score say which chosen responses fall?
#
# *A study beside lesson 26.*
#
# **Question.** Razin et al. propose CHES (centered hidden embedding
# similarity), a score of a pair computed from hidden states alone, and say
# that high scores foretell the fall of the chosen response, better than the
# edit distance of the pair does. Does it here, and does leaving out the half
# with the highest scores help? Can one pair alone lose its chosen response?
#
# **Setting.** All reviews of at most three words, a hundred Bradley–Terry
# pairs per seed, DPO with $\beta = 0.1$, one reference model. $d(y)$ is the
# log-ratio $\log\pi(y)/\pi_{\text{ref}}(y)$ in nats.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.feedback.as_text import as_text
from workbench.lesson import *
from workbench.measure import displacement, implicit_reward
from workbench.methods.direct.links import dpo

size = sizes(PROFILE, seeds=(2, SEEDS, 10), steps=(4, 80, 600))
world, beta = Reviews(3), 0.1
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()


# %%
def collect(count, name):
    draws = [generator(SEED + k, name) for k in range(size.seeds)]
    return [sample_pairs(world, ref, count, Annotator(), g) for g in draws]


def train(pairs, members=size.seeds, batch=16):
    known = pairs.reference_logps(reference)
    looks = [implicit_reward.PairTracker(pairs, known, 1.0)]
    looks += [exact.Tracker(world, ref, gold=world.gold)]
    settings = {"steps": size.steps, "batch_size": batch, "seed": SEED}
    settings |= {"measures": looks, "every": max(1, size.steps // 8)}
    start, cfg = reference.copies(members), dpo.Config(beta)
    return offline.fit(start, reference, pairs, dpo, cfg, **settings)


# %% [markdown]
# ## One pair alone
#
# All ordered pairs of `good`, `bad`, `fun` and `dull` at each of the four
# prompts: 48 pairs, each trained alone, as 48 members of one stack. Nothing is
# random here, so this is a count over 48 cases and no statement about seeds.
# `first` is the influence of a pair on its own chosen word, `lowest` and `end`
# are $d$ of that word, its lowest checkpoint and its last one.

# %%
four = [world.index(word) for word in ("good", "bad", "fun", "dull")]
cases = [(x, a, b) for x in range(4) for a in four for b in four if a != b]
prompt, first, second = torch.tensor(cases).T
sides = world.tokens(prompt, first), world.tokens(prompt, second)
lone = Pairs(*sides, torch.ones(len(prompt), dtype=torch.float64))
alone = train(lone, members=len(prompt), batch=1).metrics
chosen = alone.groupby("seed").chosen
free = reference.member(0).requires_grad_(True)
words = as_text(lone, world)
words["first"] = displacement.first_order(free, lone).chosen
words["lowest"], words["end"] = chosen.min().values, chosen.last().values
words.sort_values("lowest").head().round(2)

# %%
dips, lost = (words.lowest < 0).sum(), (words.end < 0).sum()
say(
    f"Of 48 pairs {(words['first'] < 0).sum()} have a negative influence on "
    f"themselves; {dips} are below the start at some checkpoint (Adam's first "
    f"steps overshoot), and {lost} end below it."
)

# %% [markdown]
# ## A hundred pairs together

# %%
parts = collect(100, "pairs")
pairs = Pairs.cat(parts)
run = train(pairs)
known = pairs.reference_logps(reference)
moves = displacement.change(run.policy, pairs, known)
moves["ches"] = displacement.ches(reference, pairs).ches
moves["edits"] = displacement.edit_distance(pairs.chosen, pairs.rejected)
batch = [displacement.first_order(free, part).chosen_batch for part in parts]
moves["first"] = -pd.concat(batch).to_numpy()
scores = {"ches": "CHES (hidden units²)"}
scores["first"] = "first-order loss through the batch (nats)"

# %%
columns = ["chosen", "ches", "edits", "first"]
ranks = moves.groupby("seed")[columns].corr("spearman").chosen.unstack()
caption = (
    "The rank correlation with the fall is "
    f"{-ranks.ches.mean():+.2f} for CHES, {-ranks.edits.mean():+.2f} for the "
    f"edit distance and {-ranks['first'].mean():+.2f} for the first-order "
    "effect of the batch."
)
views.displacement(moves, scores, caption=caption)

# %% [markdown]
# ## Leave out the half with the highest CHES
#
# The control leaves out a half at random.

# %%
order = torch.tensor(moves.ches.to_numpy()).view(size.seeds, 100).argsort(-1)
mild = [part[rows[:50]] for part, rows in zip(parts, order, strict=True)]
kept = {"low CHES": mild, "random half": [part[:50] for part in parts]}
kept = {name: train(Pairs.cat(half)).metrics for name, half in kept.items()}
ends = {k: m[m.step == size.steps].set_index("seed") for k, m in kept.items()}
gain = ends["low CHES"] - ends["random half"]
pd.DataFrame({k: f[["chosen", "gold"]].mean() for k, f in ends.items()}).round(
    2
)

# %% [markdown]
# ## Claims

# %%
said = {
    "one-pair": "A pair trained alone can end with its chosen word lower.",
    "ches": "The higher its CHES, the further a chosen response falls.",
    "ches-edits": "CHES foretells the fall better than edit distance.",
    "filter-chosen": "Low CHES keeps more of the chosen than a random half.",
    "filter-gold": "Low CHES ends at more gold than a random half.",
}
where = f"100 pairs, {size.steps} steps, β = 0.1, one reference model"
razin, lowest = "Razin et al. 2024 (2410.08847)", [words.end.min()]
better, ahead = ranks.edits - ranks.ches, gain.gold
table = [
    ("one-pair", razin, lowest, "negative", "nats, lowest of 48 pairs"),
    ("ches", razin, -ranks.ches, "positive", "rank correlation"),
    ("ches-edits", razin, better, "positive", "rank correlation"),
    ("filter-chosen", razin, gain.chosen, "positive", "nats"),
    ("filter-gold", razin, ahead, "positive", "reward units"),
]
negative = bool((words["first"] < 0).any())
tried = (negative, "the influence of some pair on itself is negative")
special = {"one-pair": {"kind": "exact", "condition": tried}}

# %%
for key, paper, effect, expected, unit in table:
    more = {"setting": where, "out": OUT or None, "statement": said[key]}
    more |= {"effect": effect, "expected": expected, "unit": unit}
    teach.claim(key=key, paper=paper, **more | special.get(key, {}))

# %%
say(
    f"**Answer.** CHES has a rank correlation of {-ranks.ches.mean():+.2f} "
    f"with the fall, edit distance {-ranks.edits.mean():+.2f}, the "
    f"first-order effect of the batch {-ranks['first'].mean():+.2f}; without "
    f"the half of high scores the chosen end {gain.chosen.mean():+.2f} nats "
    f"higher than without a random half. Alone, {lost} of 48 pairs lose their "
    "chosen word."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# CHES keeps one part of the influence of a pair *on itself*: the hidden states
# of its two responses. In this decoder that influence is positive for every
# one of the 48 pairs, and lesson 26 shows that the *other* pairs of the batch
# decide who falls. The paper's models have thousands of hidden units, and
# pairs whose responses are near to each other in meaning, such as `No` and
# `Never`. So these verdicts are about a small decoder with many pairs per
# prompt. With $\beta = 0.1$ the optimum asks for a fall as well.
#
# ## References
#
# * [Razin et al. 2024](https://arxiv.org/abs/2410.08847), *Unintentional
#   unalignment: likelihood displacement in direct preference optimization*.
