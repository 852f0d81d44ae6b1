# ---
# jupyter:
#   workbench:
#     title: "02a · The ladder for a method that samples"
#     part: foundations
#     budget_s: {ci: 30, lecture: 60, figure: 300}
# ---

# %% [markdown]
# # 02a · Does the ladder find the faults of a method that samples?
#
# *A study beside lesson 02.*
#
# **Question.** The probes of lesson 02 were tried on a loss over pairs. Do
# they also name what is broken in REINFORCE leave-one-out (RLOO), which
# writes its own answers and is told their rewards?
#
# **Setting.** RLOO: the policy writes eight answers to a prompt, and an
# answer with more reward than the mean of the other seven becomes likelier.
# The reward of an answer is $r - \beta\log\frac{\pi}{\pi_{\text{ref}}}$, so
# the optimum is $\pi^*$ of lesson 01, and the right readings of the five
# probes stay as they are. The patients have the known mistakes 1 (its own
# reward is in the baseline), 3 (the KL is added twice) and 6 (divided by the
# group's standard deviation, as GRPO does). A transformer of one layer is
# trained from several first weights. Words stand in the
# [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.lesson import *
from workbench.loops import online
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.models.policy import Policy, TabularPolicy
from workbench.worlds.probes import PROBES, broken_part, diagnose

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(8, 80, 300))
price, beta = PROBES[-1], PROBES[-1].beta

# %% [markdown]
# ## What each patient should read
#
# 1. With the KL twice, the policy maximises
#    $\mathbb{E}_\pi[r] - 2\beta\,\mathrm{KL}(\pi\Vert\pi_{\text{ref}})$. At
#    its optimum $2\beta D = r(\text{better}) - r(\text{worse})$, so the last
#    probe reads ½ instead of 1.
# 2. The own reward in the baseline multiplies each gradient by
#    $\frac{k-1}{k}$, with $k = 8$ answers. Where it is zero it stays zero, so
#    the end is right. Adam divides a constant factor out of each step, so even
#    the way there is the same.
# 3. A division by the standard deviation weighs each group anew. At $\pi^*$
#    the reward with its KL is $\beta\log Z$ for each answer, so all advantages
#    are zero and nothing is left to weigh: the end should be right here too.
#
# ## Up the ladder


# %%
def fresh(world):
    return Policy.stack([
        tiny.decoder(world.vocab, width=16, layers=1, seed=SEED + seed)
        for seed in range(size.seeds)])


def sampler(loss):
    method = SimpleNamespace(
        loss=loss, card=rloo.card, advantages=rloo.advantages)
    return lambda p: online.fit(
        fresh(p.world), TabularPolicy(p.world, p.ref_logps), p.world,
        online.TableReward(p.world.gold), method, rloo.Config(beta=p.beta),
        steps=size.steps, prompts=4, group=8, lr=1e-2, seed=SEED, decay=True,
    ).policy.response_logps(p.world)


# %%
named = {
    "own reward in the baseline": "1 own reward in the baseline",
    "KL twice": "3 KL added twice",
    "divided by the deviation": "6 divided by the group's deviation",
}
patients = {name: rloo.mistakes[key] for name, key in named.items()}
patients = {"right": rloo.loss} | patients
visits = {name: diagnose(sampler(loss)) for name, loss in patients.items()}
visits = pd.concat(visits, names=["patient"]).reset_index(level=0)
readings = visits.pivot_table("reading", "patient", "probe", sort=False)
readings.round(2)

# %% [markdown]
# The answers are sampled, and yet the readings hardly differ between seeds.
# At $\pi^*$ each answer has the same reward with its KL, so all advantages
# are zero, and with them the noise.

# %%
last = visits[visits.probe == price.name]
found = {
    (name, seed): broken_part(rows)
    for (name, seed), rows in visits.groupby(["patient", "seed"])}
found = pd.Series(found, name="found").rename_axis(["patient", "seed"])
mean = last.groupby("patient").reading.mean()
views.bars(
    last, "patient", "reading", exact=price.answer,
    label="reading βD (reward units)", title="What the last probe reads",
    caption=f"The right loss reads {mean['right']:.2f}, the KL twice "
    f"{mean['KL twice']:.2f}; the right answer is {price.answer:.0f} "
    "(dashed).")

# %%
found.reset_index().pivot_table(
    "seed", "patient", "found", aggfunc="count", fill_value=0, sort=False)

# %% [markdown]
# The table counts the seeds by the part that the first failing probe names.
#
# ## The answer

# %%
scale = (found["KL twice"] == "the scale").sum()
passes = (found["own reward in the baseline"] == "nothing").sum()
say(f"The ladder names the scale in {scale} of {size.seeds} seeds with the KL "
    f"twice, and says “nothing” in {passes} of {size.seeds} where the own "
    "reward is in the baseline.")

# %% [markdown]
# ## Claims

# %%
judge = partial(teach.claim, out=OUT or None, unit="reward units",
                setting=f"last probe, {size.steps} steps, 4 × 8 samples each")
of = last.set_index("patient").reading
tests = [
    ("rloo-reads-one", "right", price.answer, "RLOO reads the margin of π*.",
     "A method without pairs has the same optimum, and the same answer."),
    ("kl-twice-reads-half", "KL twice", price.answer / 2,
     "With the KL in the reward and in the loss the probe reads one half.",
     "A KL that is counted twice optimises for twice the β."),
    ("own-reward-reads-one", "own reward in the baseline", price.answer,
     "With the own reward in the baseline the probe still reads 1.",
     "A constant factor of the gradient moves no optimum."),
]
for key, patient, right, statement, meaning in tests:
    judge(key=key, effect=of[patient] - right, expected="zero",
          tolerance=0.15, paper="ours", statement=statement, meaning=meaning)

# %% [markdown]
# ## What did not come out
#
# Two of three faults pass the ladder. It reads only where a run ends, so it is
# no test for a fault that changes the way there or the noise, or for one that
# vanishes where all advantages are zero. The exact gradients of lesson 30
# find these. The probes have no long answers either, so RLOO's mistakes about
# tokens were not sent up.
#
# ## References
#
# * [Ahmadian et al. 2024](https://arxiv.org/abs/2402.14740), *Back to Basics*:
#   RLOO for language models.
# * [Osband et al. 2020](https://arxiv.org/abs/1908.03568), *Behaviour suite
#   for reinforcement learning*.
#
# Back to [**02 · Probes**](02_probes.ipynb). Next: [**03 · Supervised
# fine-tuning**](03_supervised.ipynb).
