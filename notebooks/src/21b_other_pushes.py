# ---
# jupyter:
#   workbench:
#     title: "21b · Pushes that point elsewhere"
#     part: offline
#     budget_s: {ci: 30, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 21b · What if a pair's push points elsewhere?
#
# *A study beside lesson 21.*
#
# **Question.** The push of DPO points forward and becomes weaker as a pair is
# won. What becomes of training if the push never weakens (the loss is
# $-\beta D$, the "unlikelihood" baseline of the DPO paper), if it points
# backwards at the start (DiscoPOP, a link found by a search over programs),
# or if the two responses are pushed each by itself (APO, anchored preference
# optimisation)?
#
# **Setting.** All reviews of at most three words, a deterministic annotator,
# one reference model. $d(y)$ is the log-ratio of a response to the reference
# and $D = d(y_c) - d(y_r)$, both in nats. The seeds differ in the pairs.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace

from workbench.lesson import *
from workbench.measure import (
    gradient_weights,
    implicit_reward,
    rank_deficiency,
)
from workbench.methods.direct.links import apo_down, apo_zero, discopop, dpo
from workbench.views.loss_curves import stops

size = sizes(PROFILE, seeds=(2, SEEDS, 10), steps=(8, 160, 2000))
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## One push for the pair: DPO, DiscoPOP, a constant
#
# The left panel shows the losses, the right one the pushes, at $\beta = 1$.

# %%
flat = SimpleNamespace(card=dpo.card)
flat.loss = lambda batch, cfg: -cfg.beta * batch.margin()
one = {"dpo": dpo, "discopop": discopop, "constant push": flat}
grid, curves = torch.linspace(-2, 4, 241).double().round(decimals=4), []

# %%
for name, module in one.items():
    cfg = discopop.Config(1.0) if name == "discopop" else dpo.Config(1.0)
    curve = gradient_weights.of_grid(module, cfg, grid, 0.0)
    curves.append(curve.assign(method=name))
curves = pd.concat(curves)
zero = curves[curves.margin.abs() < 1e-9].set_index("method").push_chosen
caption = (
    f"At D = 0 DiscoPOP pushes with {zero['discopop']:+.2f}, backwards, and "
    f"DPO with {zero['dpo']:+.2f}."
)
ranges = {"loss_range": (-2, 3), "push_range": (-1.5, 1.5)}
views.links(curves, caption=caption, **ranges)

# %% [markdown]
# ## A push for each response: APO
#
# APO-zero pushes the chosen response up and the rejected one down, each with
# a sigmoid of its own. APO-down means both to fall. Here the rejected
# response is held at $d(y_r) = -2$ and the chosen one moves.

# %%
two, curves = {"dpo": dpo, "apo_zero": apo_zero, "apo_down": apo_down}, []
for name, module in two.items():
    curve = gradient_weights.of_grid(
        module, module.Config(1.0), grid - 2, -2.0
    )
    curves.append(curve.assign(method=name))
curves = pd.concat(curves)
down = curves[curves.method == "apo_down"]
half = stops(down.margin, down.push_chosen)[0] - 2
caption = f"At d(y_r) = −2 apo_down lets d(y_c) fall to {half:.2f}."
views.links(curves, caption=caption)

# %% [markdown]
# ## Train
#
# The constant push and APO at $\beta = 1$, DiscoPOP at its published
# $\beta = 0.1$, DPO at both.

# %%
parts = []
for seed in range(SEED, SEED + size.seeds):
    draw, sure = generator(seed, "pairs"), Annotator(deterministic=True)
    parts.append(sample_pairs(world, ref, 300, sure, draw))
pairs = Pairs.cat(parts)
known = pairs.reference_logps(reference)
measures = [exact.Tracker(world, ref, gold=world.gold)]
measures += [implicit_reward.PairTracker(pairs, known, 1.0)]


# %%
def train(module, cfg):
    return offline.fit(
        reference.copies(size.seeds),
        reference,
        pairs,
        module,
        cfg,
        steps=size.steps,
        batch_size=16,
        measures=measures,
        every=size.steps // 8,
        seed=SEED,
    )


# %%
runs = {"dpo": train(dpo, dpo.Config(1.0))}
runs["dpo, β = 0.1"] = train(dpo, dpo.Config(0.1))
runs["constant push"] = train(flat, dpo.Config(1.0))
runs["discopop"] = train(discopop, discopop.Config(0.1))
runs["apo_zero"] = train(apo_zero, apo_zero.Config(1.0))
runs["apo_down"] = train(apo_down, apo_down.Config(1.0))
log = pd.concat([run.metrics.assign(run=name) for name, run in runs.items()])
log["surprise"] = log.kl + log.entropy
last = log[log.step == size.steps].set_index(["run", "seed"])
early = log[log.step == size.steps // 8].set_index(["run", "seed"])
later = log[log.step == size.steps // 8 * 6].set_index(["run", "seed"])

# %%
columns = ["chosen", "rejected", "margin", "gold", "entropy", "surprise"]
mean = last.groupby("run", sort=False)[columns].mean()
mean.round(2)

# %% [markdown]
# *Surprise* is the mean of $-\log\pi_{\text{ref}}(y)$ over the responses of
# the policy: how strange they are to the reference.

# %%
views.training_curves(
    log[log.run.isin(["dpo", "constant push"])],
    {
        "gold": "gold (reward units)",
        "surprise": "surprise (nats)",
        "entropy": "entropy (nats)",
    },
    by="run",
    caption="With a constant push the entropy ends at "
    f"{mean.entropy['constant push']:.2f} nats and the gold at "
    f"{mean.gold['constant push']:.2f}; with DPO at {mean.entropy['dpo']:.2f} "
    f"and {mean.gold['dpo']:.2f}.",
)

# %%
views.training_curves(
    log[log.run.isin(["dpo, β = 0.1", "discopop"])],
    {"margin": "mean margin D (nats)", "gold": "gold (reward units)"},
    by="run",
    caption=f"DiscoPOP ends at a margin of {mean.margin['discopop']:+.2f} "
    f"nats, DPO with the same β at {mean.margin['dpo, β = 0.1']:+.2f}.",
)

# %%
columns = {"chosen": "chosen: mean log-ratio (nats)"}
columns["rejected"] = "rejected: mean log-ratio (nats)"
caption = (
    f"The chosen end at {mean.chosen['apo_zero']:+.2f} nats with APO-zero, "
    f"{mean.chosen['apo_down']:+.2f} with APO-down and "
    f"{mean.chosen['dpo']:+.2f} with DPO."
)
shown = log[log.run.isin(["dpo", "apo_zero", "apo_down"])]
views.training_curves(shown, columns, by="run", caption=caption)

# %% [markdown]
# ## Who is chosen?
#
# "Chosen" is a role in one pair. With a loss that is linear in a sigmoid of
# $\beta d$ the majority of a response's pairs decides. So split the chosen
# responses of APO-zero by whether they win most of their pairs.

# %%
beats = Annotator(deterministic=True).probability(
    world.gold[..., None], world.gold[:, None]
)
wins = (beats @ ref.exp().double()[..., None])[..., 0]
x, y = pairs.chosen.prompt, pairs.chosen.response
member = torch.arange(size.seeds).repeat_interleave(300)
logps = exact.response_logps(runs["apo_zero"].policy, world)
gain, most = (logps - ref)[member, x, y], wins[x, y] > 0.5
say(
    f"With APO-zero chosen responses that win most of their pairs end at "
    f"{gain[most].mean():+.2f} nats, the others at {gain[~most].mean():+.2f}."
)

# %% [markdown]
# ## Claims
#
# The DPO paper says that without its weight the model *degenerates*, and its
# examples are texts that no pair mentions. So the readings by gold and by
# surprise ask that the pairs mention little of what the reference writes. The
# reading by entropy, one review for all, is ours. APO-zero is derived for a
# response that stands in one pair; here many a chosen response is rejected
# elsewhere.

# %%
unseen = rank_deficiency.unseen_mass(reference, world, pairs, shared=True)
few = (unseen.unseen.item() > 0.9, "pairs mention under a tenth of the mass")
place = member * 10_000 + x * 1000
both_roles = torch.isin(place + y, place + pairs.rejected.response)
once = (both_roles.double().mean().item() < 0.05, "a response has one role")
loose, tied = last.loc["constant push"], last.loc["dpo"]
start = log[log.step == 0].groupby("seed").gold.mean()
ahead = last.gold["discopop"] - last.gold["dpo, β = 0.1"]
moves = (later.gold["discopop"], last.gold["discopop"])
falls, rises = last.chosen["apo_down"], last.chosen["apo_zero"]
said = {
    "w1-degenerates": "Without the weight gold ends below the reference's.",
    "w1-gold": "Without the weight gold ends below DPO's.",
    "w1-surprise": "Without it samples surprise π_ref more than DPO's do.",
    "w1-entropy": "Without it the policy's entropy ends below that of DPO.",
    "apo-zero": "The mean log-ratio of chosen responses rises (APO-zero).",
    "apo-down": "The mean log-ratio of chosen responses falls (APO-down).",
    "discopop": "DiscoPOP ends with more gold than DPO (β = 0.1).",
    "wrong-way": "At an eighth of the steps DiscoPOP's mean D is negative.",
}

# %%
weight = "Rafailov et al. 2023 (2305.18290), section 4"
apo = "D'Oosterlinck et al. 2024 (2408.06266)"
lu, strange = "Lu et al. 2024 (2406.08414)", loose.surprise - tied.surprise
spread, back = tied.entropy - loose.entropy, early.margin["discopop"]
table = [
    ("w1-degenerates", weight, loose.gold - start, "negative"),
    ("w1-gold", weight, loose.gold - tied.gold, "negative"),
    ("w1-surprise", weight, strange, "positive"),
    ("w1-entropy", "ours", spread, "positive"),
    ("apo-zero", apo, rises, "positive"),
    ("apo-down", apo, falls, "negative"),
    ("discopop", lu, ahead, "positive"),
    ("wrong-way", "ours", back, "negative"),
]

# %%
conditions = {weight: few, apo: once}
for key, paper, effect, expected in table:
    where = f"300 sure pairs, {size.steps} steps, one reference model"
    more = {"setting": where, "out": OUT or None, "statement": said[key]}
    more |= {"unit": "reward units" if "gold" in said[key] else "nats"}
    more |= {"condition": conditions.get(paper)}
    more |= {"rest": moves if key == "discopop" else None}
    teach.claim(key=key, paper=paper, effect=effect, expected=expected, **more)

# %%
say(
    f"**Answer.** With a constant push the gold ends at "
    f"{mean.gold['constant push']:.2f} (DPO {mean.gold['dpo']:.2f}) and the "
    f"entropy at {mean.entropy['constant push']:.2f} nats (DPO "
    f"{mean.entropy['dpo']:.2f}); DiscoPOP drives the margin to "
    f"{mean.margin['discopop']:+.2f} nats; the chosen responses move by "
    f"{mean.chosen['apo_zero']:+.2f} nats with APO-zero and "
    f"{mean.chosen['apo_down']:+.2f} with APO-down."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# DiscoPOP's hump is $0.19/\beta$ nats wide, two nats at $\beta = 0.1$. A pair
# that starts at $D = 0$ is pushed back and must be carried over the hump by
# other pairs or by noise. A model of 7 billion parameters may do so; this
# small one did not. APO-zero lifts what wins most of its pairs; the mean over
# *all* chosen responses also counts reviews that win seldom, and those fall.
#
# ## References
#
# * [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), section 4 and the
#   appendix: the weight and what happens without it.
# * [Lu et al. 2024](https://arxiv.org/abs/2406.08414), *DiscoPOP*.
# * [D'Oosterlinck et al. 2024](https://arxiv.org/abs/2408.06266), *Anchored
#   preference optimization*.
