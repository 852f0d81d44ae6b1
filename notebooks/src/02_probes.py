# ---
# jupyter:
#   workbench:
#     title: "02 · Probes: a debugging clinic"
#     part: foundations
#     budget_s: {ci: 60, lecture: 90, figure: 300}
# ---

# %% [markdown]
# # 02 · Probes: a debugging clinic
#
# **The claim in one sentence.** Order five problems with known answers so that
# each tries one more part of a training loop: the first that fails names the
# broken part, and a fault that no problem exercises stays unseen.
#
# After this notebook you can
#
# - say, for a loss that "trains", which of its parts you have evidence for,
# - read a margin and recognise a forgotten $\beta$, a mean over tokens, a
#   missing end token or a missing reference by its *number*,
# - run the ladder on a training function of your own.
#
# Run time: a good minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import torch

from workbench import teach, views
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, population_pairs

# %%
from workbench.loops import offline, online
from workbench.measure.exact import evaluate
from workbench.measure.implicit_reward import PairTracker
from workbench.methods.direct.links import dpo
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.models import tiny
from workbench.models.policy import Policy, TabularPolicy
from workbench.worlds import probes, solutions
from workbench.worlds.probes import PROBES, broken_part, diagnose

# %%
SIZES = {"ci": (2, 8), "lecture": (SEEDS, 70), "figure": (SEEDS, 200)}
seeds, steps = SIZES[PROFILE]
annotator = Annotator()

# %% [markdown]
# ## The question
#
# A loss falls, a margin grows, and the model is no better. Something is
# wrong: the sign, the mask, the reference, the labels, the step size. A large
# run cannot tell you which, because nobody knows what its margin *should*
# be. Can a tiny one?
#
# **Write down a prediction.** Somebody takes the mean over tokens in DPO
# where the sum is meant, and somebody else forgets $\beta$. Both train
# without an error. In a world where the right margin is 1 reward unit, all
# answers have two tokens and $\beta = \tfrac12$: what margin does each of
# them reach?

# %% [markdown]
# ## Look at the data: a language of two words
#
# The probes speak “yes” and “no”, at most twice: seven answers. A prompt
# asks, and each answer has a reward.

# %%
world = PROBES[0].world
pd.DataFrame({
    "answer": [world.text(i) for i in range(world.n_responses)],
    "tokens": [world.tokens(torch.tensor([0]), torch.tensor([i])).lengths
               .item() for i in range(world.n_responses)],
    "reward": world.gold[0],
})  # fmt: skip

# %% [markdown]
# A one-word answer has two tokens, for its end is a token too. Here is the
# ladder. Each probe compares a `better` with a `worse` answer.

# %%
pd.DataFrame([
    {"probe": p.name, "part on trial": p.part, "better": ", ".join(p.better),
     "worse": ", ".join(p.worse), "answer": p.answer,
     "passes": f"{p.low:g} to {p.high:g}"} for p in PROBES
])  # fmt: skip

# %% [markdown]
# 1. **one answer** · one prompt, “yes” is good. Does any gradient arrive, in
#    the right direction?
# 2. **two prompts** · the second asks for “no”. Is the prompt read?
# 3. **the end** · “yes” against “yes yes”: they differ in the *last* token
#    alone. Does it count?
# 4. **no reward** · all answers are worth the same and $\pi_\text{ref}$
#    prefers one. With nothing to gain, only the reference speaks.
# 5. **a price** · the labels are noisy, and a noisy label has a price: does
#    training stop at the Bradley–Terry margin?

# %% [markdown]
# ## Why one number is enough
#
# Notebook 01: $\pi^*(y) = \pi_\text{ref}(y)\,e^{r(y)/\beta}/Z$. Take logs of
# two answers and subtract; $Z$ goes:
#
# $$\beta\left[\log\frac{\pi^*}{\pi_\text{ref}}(\text{better}) -
# \log\frac{\pi^*}{\pi_\text{ref}}(\text{worse})\right] =
# r(\text{better}) - r(\text{worse}).$$
#
# The left side is what every probe *reads*, the right side is its known
# answer, in reward units. It holds for every method whose optimum is $\pi^*$:
# DPO, RLOO and PPO must all read the same.
#
# The first three probes ask for the sign only, so a wrong scale does not trip
# them (the last one asks the first one's question again, for the size); in
# all but “no reward” the reference is even, so a forgotten reference
# does not either. **That is why the first failure names the part.**

# %%
teach.show(probes.diagnose)

# %% [markdown]
# ## By hand: the last probe
#
# Two answers, rewards 1 and 0. A Bradley–Terry annotator calls “yes” better
# with probability $\sigma(1)$. DPO's expected loss is a function of the one
# number $D = \log\frac{\pi}{\pi_\text{ref}}(\text{yes}) -
# \log\frac{\pi}{\pi_\text{ref}}(\text{no})$.

# %%
p = torch.tensor(1.0).sigmoid()
beta = PROBES[-1].beta
for D in (0.0, 1.0, 2.0, 4.0):
    z = torch.tensor(beta * D)
    loss = -(p * z.sigmoid().log() + (1 - p) * (-z).sigmoid().log())
    slope = beta * (z.sigmoid() - p)
    print(f"D = {D:.0f}   βD = {z:.1f}   σ(βD) = {z.sigmoid():.4f}",
          f"  loss {loss:.4f}   dL/dD {slope:+.4f}")  # fmt: skip

# %% [markdown]
# The slope is $\beta\,[\sigma(\beta D) - p]$: zero where the policy's own
# belief $\sigma(\beta D)$ equals the annotator's $p$, at $\beta D = 1$. With
# the mean over two tokens the loss sees $D/2$; without $\beta$ it sees $D$
# bare. Solve the same equation for both:

# %%
print("mean over tokens: β·D/2 = 1,   the reading β·D is", 2)
print("β forgotten:        D   = 1,   the reading β·D is", beta)

# %% [markdown]
# These are the predictions of the first cell. A wrong loss does not fail at
# random: it solves another equation, exactly.
#
# ## A training function
#
# `diagnose` wants a function that solves a probe from scratch and returns
# $\log\pi$ of all answers. This one runs the library's own loop on a
# transformer of one layer, all seeds at once. The labels are in population
# form: both orders of the pair, weighted by their probability.


# %%
def labels(probe):
    return Pairs.cat([
        population_pairs(probe.world, x, ref, annotator,
                         responses=probe.pair[x])
        for x, ref in enumerate(probe.ref_logps)
    ])  # fmt: skip


def fresh(world):
    small = {"width": 16, "layers": 1}
    return Policy.stack(
        [tiny.decoder(world.vocab, seed=SEED + s, **small)
         for s in range(seeds)]
    )  # fmt: skip


# %%
def trainer(loss=dpo.loss, edit=lambda pairs: pairs, lr=1e-2, measures=()):
    method = SimpleNamespace(loss=loss, card=dpo.card)

    def train(probe):
        data = Pairs.cat([edit(labels(probe))] * seeds)
        run = offline.fit(
            fresh(probe.world), TabularPolicy(probe.world, probe.ref_logps),
            data, method, dpo.Config(beta=probe.beta), steps=steps, lr=lr,
            batch_size=len(data), measures=measures, every=10,
        )  # fmt: skip
        train.metrics = run.metrics
        return run.policy.response_logps(probe.world)

    return train


# %% [markdown]
# First the healthy patient. Every reading should be its answer.

# %%
healthy = diagnose(trainer())
healthy.groupby("probe", sort=False)["reading"].describe().iloc[:, [1, 3, 7]]

# %% [markdown]
# ## The signature views, on one probe
#
# Watch the last probe train: the chosen and rejected implicit rewards part
# until the margin is 1, and stay there. Overoptimisation has no place here:
# the labels come from the true reward, in unlimited number.

# %%
price = PROBES[-1]
ref = price.ref_logps
pair = labels(price)[:1]  # the order that the annotator mostly says
table = TabularPolicy(price.world, ref)
seen = PairTracker(pair, pair.reference_logps(table), beta, shared=True)


def distance(policy):
    gold = price.world.gold
    return evaluate(policy, price.world, ref, gold=gold, beta=beta)


watched = trainer(measures=[seen, distance])
solved = watched(price)

# %%
margin = watched.metrics.groupby("step")["margin"].mean()
views.implicit_rewards(
    watched.metrics, caption="Noisy labels do not push forever: the margin "
    f"ends at {margin.iloc[-1]:.3f} reward units, the answer is "
    f"{price.answer:.0f}.",
)  # fmt: skip

# %%
drift = watched.metrics.groupby("step").mean()
best = solutions.optimal_policy(ref, price.world.gold, beta)
views.kl_drift(
    watched.metrics, caption=f"The drift ends at {drift['kl'].iloc[-1]:.3f} "
    f"nats; π* stands at {solutions.kl(best, ref).item():.3f}.",
)  # fmt: skip

# %% [markdown]
# The two numbers need not agree. The labels compare two answers out of
# seven: the margin between those is fixed by the data, and the mass of the
# other five is left free. A probe therefore reads the margin and not
# $\mathrm{KL}(\pi\|\pi^*)$. Here is how far each answer ends from the optimum.

# %%
views.training_curves(
    watched.metrics, {"kl_to_optimum": "KL(π‖π*) (nats)"},
    caption="The distance to π* ends at "
    f"{drift['kl_to_optimum'].iloc[-1]:.3f} nats, "
    "none of it between the two answers that the labels compare.",
)  # fmt: skip

# %% [markdown]
# ## Break it, one part at a time
#
# Ten patients. Seven losses are *all* the known mistakes in DPO's docstring;
# three have the right loss and a fault elsewhere: in the optimiser, in the
# data, in the labels. **Before you run the next cells, write down for each
# patient which probe fails first.** `PATIENTS` holds beside each fault the
# part that is in truth broken.


# %%
def same_prompt(pairs):  # every question is asked as "left?"
    def hide(tokens):
        ids = tokens.ids.clone()
        ids[:, 0] = pairs.chosen.ids[0, 0]
        return replace(tokens, ids=ids)

    return Pairs(hide(pairs.chosen), hide(pairs.rejected), pairs.weight)


def majority(pairs):  # the noise is cleaned away: the likelier order only
    return pairs[pairs.weight >= 1]


# %%
PATIENTS = {
    "healthy": ({}, "nothing"),
    "step size 0": ({"lr": 0.0}, "the gradient"),
    "prompt hidden": ({"edit": same_prompt}, "the prompt"),
    "noise removed": ({"edit": majority}, "the scale"),
}
BROKEN = ("gradient", "scale", "mask", "reference", "scale", "reference",
          "last token")  # fmt: skip
for (name, loss), part in zip(dpo.mistakes.items(), BROKEN, strict=True):
    PATIENTS[name] = ({"loss": loss}, f"the {part}")

# %%
visits = {k: diagnose(trainer(**fault)) for k, (fault, _) in PATIENTS.items()}
visits = pd.concat(visits, names=["patient"]).reset_index(level=0)
table = visits.pivot_table("reading", "patient", "probe", sort=False)
table.round(2)

# %%
passed = visits.pivot_table("passed", "patient", "probe", sort=False)
heat = views.Heat(
    z=(2 * passed - 1).to_numpy().tolist(), rows=list(passed.index),
    text=[[f"{value:+.2f}" for value in row] for row in table.to_numpy()],
    label="passes (+1) or fails (−1)",
)  # fmt: skip
order = [f"{n} {p.part.removeprefix('the ')}" for n, p in enumerate(PROBES, 1)]
chart = views.Chart("Mean readings (reward units)", ", ".join(order), "",
                    [heat], x_names="12345")  # fmt: skip

# %%
views.Fig(
    views.Panels([chart], height=4.8),
    "Read each row from the left: the first brown cell names the part. "
    f"{passed.all(axis=1).sum() - 1} of the ten sick rows have no such cell.",
    visits, rows=10,
)  # fmt: skip

# %% [markdown]
# Compare the last column with your prediction. Three patients fail the same
# probe, and the *number* tells them apart: one half, two, and a margin that
# keeps growing because a label without noise has no price. And two of the
# sick look healthy; more about them below.
#
# ## Diagnosis

# %%
diagnosis = pd.DataFrame([
    {"patient": name, "seed": seed, "found": broken_part(rows),
     "broken": PATIENTS[name][1]}
    for (name, seed), rows in visits.groupby(["patient", "seed"], sort=False)
])  # fmt: skip
diagnosis["right"] = diagnosis["found"] == diagnosis["broken"]
diagnosis.groupby("patient", sort=False).agg(
    found=("found", "first"), broken=("broken", "first"),
    right=("right", "mean"),
)  # fmt: skip

# %% [markdown]
# ## The same ladder for a method that samples
#
# RLOO has no labels and no pairs; it writes its own answers and is told
# their reward. Its optimum is $\pi^*$ as well, so the ladder and its answers
# stay as they are. Here are three of RLOO's seven known mistakes. The third
# adds the KL twice, in the reward and in the loss: it optimises for
# $2\beta$. Which reading do you expect on the last probe?


# %%
def sampler(loss=rloo.loss):
    parts = {"card": rloo.card, "advantages": rloo.advantages}
    method = SimpleNamespace(loss=loss, **parts)

    def train(probe):
        world, cfg = probe.world, rloo.Config(beta=probe.beta)
        run = online.fit(
            fresh(world), TabularPolicy(world, probe.ref_logps), world,
            online.TableReward(world.gold), method, cfg, steps=steps,
            prompts=4, group=8, lr=1e-2, seed=SEED, decay=True,
        )  # fmt: skip
        return run.policy.response_logps(world)

    return train


# %%
losses = {"RLOO": rloo.loss} | dict(list(rloo.mistakes.items())[:3])
rl = {name: diagnose(sampler(loss)) for name, loss in losses.items()}
rl = pd.concat(rl, names=["patient"]).reset_index(level=0)
rl.pivot_table("reading", "patient", "probe", sort=False).round(2)

# %% [markdown]
# ## What the ladder cannot see
#
# A probe only tries what its data exercise, and it only reads the end.
#
# - DPO's mistakes 3 (mask ignored) and 4 (gradient through the reference)
#   pass all five: the library writes zeros outside the mask and freezes its
#   reference, so neither can do harm *here*.
# - Those of RLOO's mistakes that pass change the noise or the speed of
#   learning on these probes, and not where it ends.
#
# The unit tests of a loss catch both kinds, with dirty padding, a reference
# that asks for a gradient, and exact gradients. Probes stand beside unit
# tests, they do not replace them.
#
# ## What the source said, what we saw

# %%
about = {"out": OUT or None, "setting": f"five probes, {steps} steps, DPO"}
jones = "Jones 2021, Debugging RL systems; bsuite (1908.03568)"
sick = diagnosis[diagnosis["patient"] != "healthy"]
teach.claim(
    key="ladder-names-the-part", paper=jones, expected=(0.99, 1.01),
    statement="The first failing probe names the broken part, for each of "
    "ten faults.",
    effect=sick.groupby("seed")["right"].mean(), unit="share", **about,
)  # fmt: skip

# %%
last = visits[visits["probe"] == price.name].set_index("patient")["reading"]
teach.claim(
    key="stops-at-the-margin", effect=last["healthy"] - price.answer,
    paper="Rafailov et al. 2023 (2305.18290)", expected="zero",
    statement="With noisy labels DPO stops at the Bradley–Terry margin.",
    tolerance=0.05, unit="reward units", **about,
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# **1** (●○○, 5 minutes). Write DPO's loss with `batch.margin()`. Let the
# checker name your mistake, then make one on purpose.


# %%
def my_dpo(batch, cfg):
    return None  # your code


teach.check.dpo(my_dpo)


# %% tags=["solution"]
def solution(batch, cfg):
    return -torch.nn.functional.logsigmoid(cfg.beta * batch.margin())


teach.check.dpo(solution)

# %% [markdown]
# **2** (●●○, 10 minutes). Set `probes.BETA` to 1 in your head. Which patient
# is now cured, and why is a probe at $\beta = 1$ a bad probe?

# %% [markdown] tags=["solution"]
# “no β”: at $\beta = 1$ forgetting it changes nothing. A probe must sit where
# the mistake makes a difference; 1, 0 and equal lengths hide the most.

# %% [markdown]
# **3** (●●●, 20 minutes). Design a sixth probe that fails when the mask is
# ignored. What would the data have to contain, and which line of
# `Policy.token_logps` would have to be different for it to fail?

# %% [markdown]
# ## What must hold

# %%
optimum = diagnose(
    lambda p: solutions.optimal_policy(p.ref_logps, p.world.gold, p.beta)
)
assert optimum["passed"].all()
assert visits["reading"].notna().all() and rl["reading"].notna().all()
within = (solved[:, 0, price.pair[0]].log_softmax(-1)
          - best[0, price.pair[0]].log_softmax(-1)).abs()  # fmt: skip
assert PROFILE == "ci" or within.max() < 0.01

# %% [markdown]
# ## References, next
#
# - Andy Jones 2021, *Debugging RL, without the agonizing pain*: probe
#   environments.
# - Osband et al. 2020, *Behaviour suite for RL* (1908.03568).
# - ARENA, chapter on RL: probes for PPO.
#
# Next: **03 · Supervised fine-tuning**, where the end token and the mean over
# tokens come back with consequences.
