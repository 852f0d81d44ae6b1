# ---
# jupyter:
#   workbench:
#     title: "02 · Probes: a debugging clinic"
#     part: foundations
#     path: elective
#     needs: ["01"]
#     minutes: 75
#     budget_s: {ci: 30, lecture: 60, figure: 300}
# ---

# %% [markdown]
# # 02 · Probes: which part of a training loop is broken?
#
# **The idea in one sentence.** Five tiny problems with known answers are
# ordered so that each tries one more part of a training loop, and the first
# one that fails names the broken part, while a fault that no problem tries
# stays unseen.
#
# After this lesson you can
#
# * say, for a loss that "trains", for which of its parts you have evidence;
# * predict the number at which a wrong loss comes to rest;
# * recognise a forgotten $\beta$, a mean over tokens, a missing end token or
#   a missing reference by its reading;
# * run the ladder on a training function of your own.
#
# *Needs*: lesson 01 (the exact optimum). About 75 minutes. Unknown words
# stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

from workbench.feedback.kinds.pairs import PairLogps, population_pairs
from workbench.lesson import *
from workbench.measure.implicit_reward import PairTracker
from workbench.methods.direct.links import dpo
from workbench.models.policy import Policy, TabularPolicy
from workbench.views.instruments import Instrument, fault_switchboard
from workbench.views.instruments.controls import Slider
from workbench.worlds.probes import PROBES, broken_part, diagnose

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(8, 50, 200))
price = PROBES[-1]  # the last probe
beta, cfg = price.beta, dpo.Config(beta=price.beta)

# %% [markdown]
# ## The question
#
# A loss falls, a margin grows, and the model is no better. Something is
# wrong: the sign, the mask, the reference, the labels, the step size. A large
# run cannot tell you which, because nobody knows what its margin *should*
# be. Can a tiny one?
#
# The patient is direct preference optimisation (DPO). It learns from pairs of
# answers; lesson 20 derives it, and here its loss is enough:
#
# $$L = -\log\sigma(\beta D),\qquad D = \log\frac{\pi}{\pi_{\text{ref}}}
# (\text{better}) - \log\frac{\pi}{\pi_{\text{ref}}}(\text{worse}).$$
#
# Below, the right $\beta D$ is 1 reward unit, all answers have two tokens,
# and $\beta = \frac12$. Write your predictions into `mine`.

# %%
display(
    teach.predict(
        "02-1",
        "Somebody takes the mean over an answer's tokens where the sum is "
        "meant. At which βD does training stop?",
        ["0.5", "1", "2", "it never stops"],
    ),
    teach.predict(
        "02-2",
        "Somebody forgets β inside the loss. At which βD does training stop?",
        ["0.5", "1", "2", "it never stops"],
    ),
    teach.predict(
        "02-3",
        "Somebody cleans the noisy labels: the better answer always wins. "
        "At which βD does training stop?",
        ["0.5", "1", "2", "it never stops"],
    ),
)

# %% [markdown]
# ## Look at the data: a language of two words
#
# The probes speak “yes” and “no”, at most twice: seven answers. The first
# table shows three of them, with their rewards in the first probe. “yes” has
# two tokens, for its end is a token too. The second table is the ladder: each
# probe compares a `better` with a `worse` answer.

# %%
world, shown = PROBES[0].world, ["yes", "no", "yes yes"]
number = torch.tensor([world.index(text) for text in shown])
batch = world.tokens(torch.zeros(3, dtype=int), number)
answers = {"tokens": batch.lengths, "reward": world.gold[0, number]}
display(pd.DataFrame(answers, shown))
pd.DataFrame([
    {"probe": p.name, "tries": p.part, "better": ", ".join(p.better),
     "worse": ", ".join(p.worse), "right reading": p.answer,
     "passes": f"{p.low:g} to {p.high:g}"} for p in PROBES
])

# %% [markdown]
# 1. **One answer**: one prompt, and “yes” is good. Does any gradient arrive,
#    in the right direction?
# 2. **Two prompts**: the second one asks for “no”. Is the prompt read?
# 3. **The end**: “yes” against “yes yes”. They differ in the *last* token
#    alone. Does it count?
# 4. **No reward**: all answers are worth the same, and $\pi_{\text{ref}}$
#    prefers one of them. With nothing to gain, only the reference speaks.
# 5. **A price**: noisy labels put a price on a large margin. Does training
#    stop at the right size?
#
# ## The objective: why one number is enough
#
# 1. Lesson 01: the optimum is
#    $\pi^*(y) = \pi_{\text{ref}}(y)\,e^{r(y)/\beta}/Z$.
# 2. Take logarithms:
#    $\beta\log\frac{\pi^*}{\pi_{\text{ref}}}(y) = r(y) - \beta\log Z$.
# 3. Subtract two answers to one prompt, and $Z$ cancels:
#    $\beta D = r(\text{better}) - r(\text{worse})$.
#
# The left side, $\beta D$, is the **reading** of a probe. The right side is
# its answer, in reward units. It is the same for each method whose optimum
# is $\pi^*$.
#
# The first three probes ask for the sign only, so a wrong size does not trip
# them. In all but the fourth the reference is even, so a forgotten reference
# does not trip them either. **That is why the first failure names the part.**

# %%
teach.show(diagnose)

# %% [markdown]
# ## By hand: the last probe
#
# “yes” has reward 1 and “no” has reward 0. A Bradley–Terry annotator calls
# “yes” better with probability $p = \sigma(1)$. Over both labels the expected
# loss is $-p\log\sigma(\beta D) - (1-p)\log\sigma(-\beta D)$, and its slope
# in $D$ is $\beta\,[\sigma(\beta D) - p]$.


# %%
def expected(loss, D, p):  # over both labels; answers of two tokens
    half = (D / 4)[:, None].expand(-1, 2)  # ±D/2, spread over the tokens
    zero, mask = torch.zeros_like(half), torch.ones_like(half).bool()
    pair = PairLogps(half, -half, zero, zero, mask, mask)
    return p * loss(pair, cfg) + (1 - p) * loss(pair.swapped(), cfg)


D, p = torch.tensor([0.0, 1.0, 2.0, 4.0]), torch.tensor(1.0).sigmoid()
right, wrong = (beta * D).sigmoid(), (-beta * D).sigmoid()
hand = -p * right.log() - (1 - p) * wrong.log()
assert torch.allclose(hand, expected(dpo.loss, D, p))
table = {"D": D, "βD": beta * D, "σ(βD)": right, "loss": hand}
table["slope"] = beta * (right - p)
pd.DataFrame({k: v.tolist() for k, v in table.items()}).round(3)

# %% [markdown]
# The slope is zero where $\sigma(\beta D) = p$, so at $\beta D = 1$. A wrong
# loss has a slope too, with its own zero:
#
# * **Mean over tokens**: the loss sees $D/2$. It rests at $\beta D/2 = 1$, and
#   the reading is $\beta D = 2$.
# * **$\beta$ forgotten**: the loss sees $D$. It rests at $D = 1$, and the
#   reading is $\beta D = \frac12$.
#
# A wrong loss does not fail at random: it solves another equation, exactly.
# The library's wrong losses agree: at these places their slope is zero. In
# Jupyter the slider below them changes the rewards, and all minima move.

# %%
losses = {
    "right": (dpo.loss, 1.0),
    "mean over tokens": (dpo.mistakes["2 mean over tokens"], 2.0),
    "β forgotten": (dpo.mistakes["5 no beta"], 0.5),
}
for name, (loss, reading) in losses.items():
    D = torch.tensor([reading / beta], requires_grad=True)
    expected(loss, D, p).sum().backward()
    assert torch.allclose(D.grad, torch.zeros(1), atol=1e-6)
    print(f"{name}: rests at βD = {reading}, slope {abs(D.grad.item()):.3f}")


# %%
def minima(gap):
    at, layers, p = torch.linspace(0, 4, 161), [], torch.tensor(gap).sigmoid()
    for i, (name, (loss, _)) in enumerate(losses.items()):
        values, look = expected(loss, at / beta, p), views.series(i)
        layers += [views.Line(at.tolist(), values.tolist(), name, look),
                   views.VLine(at[values.argmin()].item(), "", look)]
    chart = views.Chart(
        "Where each loss has its minimum",
        "reading βD (reward units)",
        "expected loss (nats)",
        layers, y_range=(0.4, 1.2))
    said = (f"Rewards {gap:g} apart: the right loss is lowest at βD = "
            f"{gap:g}, the mean at {2 * gap:g}, the one without β at "
            f"{gap / 2:g}.")
    return views.Fig(views.Panels([chart]), said, pd.DataFrame({"βD": at}))


gaps = Slider("rewards apart", (0.5, 0.75, 1.0, 1.25, 1.5), 1.0)
Instrument("Minima", minima, {"gap": gaps})

# %% [markdown]
# ## Train
#
# `diagnose` wants a function that solves a probe from scratch and returns
# $\log\pi$ of all answers. Ours runs the library's loop on a transformer of
# one layer, all seeds at once. The labels are exact: both orders of a pair,
# weighted with their probability.


# %%
def labels(probe):
    each = [population_pairs(probe.world, prompt, ref, Annotator(),
                             responses=probe.pair[prompt])
            for prompt, ref in enumerate(probe.ref_logps)]
    return Pairs.cat(each)


def fresh(world):
    return Policy.stack([
        tiny.decoder(world.vocab, width=16, layers=1, seed=SEED + seed)
        for seed in range(size.seeds)])


# %%
def fit(probe, loss=dpo.loss, edit=lambda pairs: pairs, lr=1e-2, seen=()):
    data = Pairs.cat([edit(labels(probe))] * size.seeds)
    return offline.fit(
        fresh(probe.world), TabularPolicy(probe.world, probe.ref_logps), data,
        SimpleNamespace(loss=loss, card=dpo.card), dpo.Config(probe.beta),
        steps=size.steps, lr=lr, batch_size=len(data), measures=seen, every=5)


def trainer(**fault):
    return lambda p: fit(p, **fault).policy.response_logps(p.world)


# %% [markdown]
# ## Distance to the exact optimum
#
# First the healthy patient. Beside its readings stands what the ladder reads
# of $\pi^*$ itself, without any training.

# %%
both = {"π*": lambda p: solutions.optimal_policy(
    p.ref_logps, p.world.gold, p.beta), "DPO": trainer()}
both = {name: diagnose(solve) for name, solve in both.items()}
assert both["π*"].passed.all()
pd.DataFrame({
    name: rows.groupby("probe", sort=False).reading.mean()
    for name, rows in both.items()
}).assign(distance=lambda t: t["DPO"] - t["π*"]).round(3)

# %% [markdown]
# A probe compares two of seven answers and reads nothing else. The
# probability of the other five is left free, so a healthy policy need not be
# $\pi^*$: its reading is.
#
# ## Break it, one part at a time
#
# Ten patients. Seven have a wrong loss: *all* the known mistakes in DPO's
# docstring. Three have the right loss and a fault elsewhere: the optimiser
# does not step, the prompt is hidden, or the labels are cleaned of noise.
# Beside each fault stands the part that is broken in truth. **Before you run
# the next cells, write down for each patient which probe fails first.**


# %%
def hide_prompt(pairs):  # every question is asked as "left?"
    left = pairs.chosen.ids[:1, :1].expand(len(pairs), 1)
    chosen, rejected = (
        replace(side, ids=torch.cat([left, side.ids[:, 1:]], dim=1))
        for side in (pairs.chosen, pairs.rejected))
    return replace(pairs, chosen=chosen, rejected=rejected)


# %%
patients = {
    "healthy": ({}, "nothing"),
    "step size 0": ({"lr": 0.0}, "the gradient"),
    "prompt hidden": ({"edit": hide_prompt}, "the prompt"),
    "noise removed": ({"edit": lambda p: p[p.weight >= 1]}, "the scale"),
}
parts = ("the gradient", "the scale", "the mask", "the reference",
         "the scale", "the reference", "the last token")
for (name, loss), part in zip(dpo.mistakes.items(), parts, strict=True):
    patients[name] = ({"loss": loss}, part)
visits = {k: diagnose(trainer(**fault)) for k, (fault, _) in patients.items()}
visits = pd.concat(visits, names=["patient"]).reset_index(level=0)
readings = visits.pivot_table("reading", "patient", "probe", sort=False)
passed = visits.pivot_table("passed", "patient", "probe", sort=False) == 1
readings.map("{:+.2f} ".format) + passed.replace({True: "✓", False: "✗"})

# %%
diagnosis = pd.DataFrame([
    {"patient": name, "seed": seed, "found": broken_part(rows),
     "broken": patients[name][1]}
    for (name, seed), rows in visits.groupby(["patient", "seed"], sort=False)])
diagnosis["right"] = diagnosis.found == diagnosis.broken
display(diagnosis.groupby("patient", sort=False).agg(
    {"found": "first", "broken": "first", "right": "mean"}))
fault_switchboard(fault="2 mean over tokens")

# %% [markdown]
# Read each row of the first table from the left: the first ✗ names the part.
# The second table says for which share of the seeds the name is right. Three
# patients fail at the last probe, and the *number* tells them apart. Two of
# the sick look healthy.
#
# The switchboard trains a table in the place of the transformer, fast enough
# to follow your buttons, and its readings agree with those above. **Try** two
# faults at once: a mean over tokens *and* the hidden prompt. **Look for** the
# first ✗. The ladder names one of the two; mend it, and climb again.
#
# A probe tries only what its data exercise, and it reads only the end. An
# ignored mask (3) does no harm here, because the library writes zeros outside
# the mask; a gradient through the reference (4) does none, because the
# library freezes the reference. The checks of `teach.check` find both, with
# dirty padding and with a reference that asks for a gradient. Probes stand
# beside such tests and do not replace them.
#
# ## What the last probe shows during training

# %%
pair = labels(price)[:1]  # the order that the annotator mostly says
before = pair.reference_logps(TabularPolicy(price.world, price.ref_logps))
seen = PairTracker(pair, before, beta, shared=True)
shown = {
    "right": "healthy", "mean over tokens": "2 mean over tokens",
    "β forgotten": "5 no beta", "noise removed": "noise removed",
}
margins = pd.concat([
    fit(price, **patients[key][0], seen=[seen]).metrics.assign(patient=name)
    for name, key in shown.items()])

# %%
known = pd.DataFrame([
    {"patient": name, "step": at, "margin": reading}
    for name, (_, reading) in losses.items() for at in (0, size.steps)])
end = margins[margins.step == size.steps].groupby("patient").margin.mean()
views.sweep(
    margins, "step", {"margin": "reading βD (reward units)"}, by="patient",
    exact=known, exact_label="zero of the slope, by hand",
    title="Three losses rest where their slope is zero",
    caption=f"The right loss ends at {end['right']:.2f}, the mean over tokens "
    f"at {end['mean over tokens']:.2f} and the loss without β at "
    f"{end['β forgotten']:.2f}; without noise the margin is at "
    f"{end['noise removed']:.2f} and still grows.")

# %% [markdown]
# The ladder is not tied to DPO. Study **02a** sends a method up that writes
# its own answers, and has no pairs at all.
#
# ## Answers

# %%
far = expected(dpo.loss, torch.tensor([20.0, 40.0]), torch.tensor(1.0))
display(
    teach.reveal(
        "02-1",
        f"{losses['mean over tokens'][1]:g}",
        "a loss that sees D/2 rests at βD/2 = 1. The run ends at "
        f"{end['mean over tokens']:.2f}.",
    ),
    teach.reveal(
        "02-2",
        f"{losses['β forgotten'][1]:g}",
        "a loss that sees D in the place of βD rests at D = 1. The run ends "
        f"at {end['β forgotten']:.2f}.",
    ),
    teach.reveal(
        "02-3",
        "it never stops" if far[1] < far[0] else "1",
        "with p = 1 the slope β[σ(βD) − 1] is negative at each D. The run is "
        f"at {end['noise removed']:.2f} when it ends.",
    ),
)

# %% [markdown]
# ## Claims
#
# The labels are exact, so the seeds are those of the first weights.

# %%
judge = partial(teach.claim, out=OUT or None, setting="five probes of seven "
                f"answers, DPO, exact labels, {size.steps} steps")
harmless = ["3 prompt or padding counted", "4 gradient through the reference"]
sick = diagnosis[~diagnosis.patient.isin(["healthy", *harmless])]
last = visits[visits.probe == price.name].set_index("patient").reading
judge(
    key="ladder-names-the-part", effect=sick.groupby("seed").right.mean(),
    expected=(0.99, 1.01), unit="share of faults",
    paper="ours",
    statement="The first failing probe names the broken part, for each of "
    "the eight faults that can do harm in this library.",
    meaning="A ladder of exact problems replaces a search through the code.")
judge(
    key="stops-at-the-margin", effect=last["healthy"] - price.answer,
    expected="zero", tolerance=0.05, unit="reward units",
    paper="Rafailov et al. 2023 (2305.18290)",
    statement="With noisy labels DPO stops at the Bradley–Terry margin.",
    meaning="A margin that never stops is a sign of labels without noise.")

# %%
judge(
    key="mean-reads-two", effect=last["2 mean over tokens"] - 2,
    expected="zero", tolerance=0.1, unit="reward units",
    paper="ours",
    statement="A mean over two tokens stops at twice the right margin.",
    meaning="A wrong loss solves another equation, exactly.")

# %% [markdown]
# ## Exercises
#
# `teach.hint("02-1")` gives a hint; a second call gives the next one.
#
# **02-1 · Read the table** (●○○, 5 minutes). Look at the row of the patient
# “7 end of sequence left out”. Which probe fails first? Write its name.

# %%
teach.answer("02-1", None)

# %% tags=["solution"]
yes, yes_yes = "yes + end", "yes yes"  # without its end, "yes" loses a token
teach.solution("02-1", PROBES[2].name)

# %% [markdown]
# **02-2 · A reading by hand** (●○○, 5 minutes). A policy gives the better
# answer the probability 0.6 and the worse one 0.1; the reference gives 0.2 to
# both; $\beta = 0.5$. What does the probe read?

# %%
teach.answer("02-2", None)

# %% tags=["solution"]
teach.solution("02-2", 0.5 * (np.log(0.6 / 0.2) - np.log(0.1 / 0.2)))

# %% [markdown]
# **02-3 · Three tokens** (●●○, 5 minutes). In a new probe the rewards lie 3
# apart, both answers have three tokens, and $\beta = 0.5$. At which
# $\beta D$ does a mean over tokens stop?

# %%
teach.answer("02-3", None)

# %% tags=["solution"]
teach.solution("02-3", 3 * 3)  # β D/3 = 3

# %% [markdown]
# **02-4 · Fill a line** (●●○, 10 minutes). Let `flipped` exchange the chosen
# and the rejected answer of each pair, and send the patient up the ladder:
# `broken_part(diagnose(trainer(edit=flipped)))` names the part that the first
# failing probe tries. Which is it?


# %%
def flipped(pairs):
    return pairs  # change this line


teach.answer("02-4", None)


# %% tags=["solution"]
def exchanged(pairs):
    return Pairs(pairs.rejected, pairs.chosen, pairs.weight)


visit = diagnose(trainer(edit=exchanged))
teach.solution("02-4", broken_part(visit[visit.seed == 0]))

# %% [markdown]
# **02-5 · Bug hunt** (●●○, 15 minutes). A colleague's loss, below, reads 2 on
# the last probe. “A mean over tokens,” says the colleague, but there is no
# mean in it. (a) Find the mistake, and explain the 2. (b) Which reading would
# it give on a probe with $\beta = \frac14$, where a mean over two tokens still
# gives 2? Answer with the number.


# %%
def suspect(batch, cfg):
    chosen = cfg.beta * batch.chosen.logratio()
    rejected = cfg.beta * batch.rejected.logratio()
    return -torch.nn.functional.logsigmoid(cfg.beta * (chosen - rejected))


teach.answer("02-5", None)


# %% tags=["solution"]
def mended(batch, cfg):
    margin = batch.chosen.logratio() - batch.rejected.logratio()
    return -torch.nn.functional.logsigmoid(cfg.beta * margin)


assert teach.check.dpo(mended).passed
teach.solution("02-5", 1 / 0.25)  # β²D = 1, so the reading βD is 1/β

# %% [markdown]
# **02-6 · A sixth probe** (●●●, 20 minutes). No probe sees that the mask is
# ignored. What must a problem contain so that it is seen: "longer answers",
# "garbage in the padding", "more prompts" or "another beta"? Try it: give the
# right loss and `dpo.mistakes["3 prompt or padding counted"]` a `PairLogps`
# of your own.

# %%
teach.answer("02-6", None)

# %% tags=["solution"]
on, none = torch.tensor([[True, True, False]]), torch.zeros(1, 3)
padded, garbage = (torch.tensor([[-1.0, -2.0, x]]) for x in (0.0, -5.0))
change, ignored = {}, dpo.mistakes["3 prompt or padding counted"]
for kind, its_loss in (("right", dpo.loss), ("mask ignored", ignored)):
    then, later = (its_loss(PairLogps(x, none, none, none, on, on), cfg)
                   for x in (padded, garbage))
    change[kind] = round((later - then).item(), 3)
print(change)
found_out = change["right"] == 0 and change["mask ignored"] != 0
teach.solution("02-6", "garbage in the padding" if found_out else "none")

# %% [markdown]
# ## Recap
#
# * At the optimum $\beta D = r(\text{better}) - r(\text{worse})$: one number
#   with a known answer, for each method whose optimum is $\pi^*$.
# * A ladder tries one more part with each probe, and the first failure names
#   the part.
# * A wrong loss solves another equation: a mean over two tokens reads 2, a
#   forgotten $\beta$ reads $\beta$.
# * Labels without noise have no price, and the margin never stops.
# * A fault that the data do not exercise stays unseen: probes stand beside
#   unit tests.
#
# Three questions to end with: call `teach.quiz("02")`. Your letters behind the
# number, as in `teach.quiz("02", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * Jones 2021, *Debugging reinforcement learning systems without the
#   agonizing pain*: probe environments, each trying one more part.
# * [Osband et al. 2020](https://arxiv.org/abs/1908.03568), *Behaviour suite
#   for reinforcement learning*: small experiments, each for one ability.
# * [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), *Direct
#   Preference Optimization*: the loss of the patient.
#
# Next: [**03 · Supervised fine-tuning**](03_supervised.ipynb). The end token
# and the mean over tokens come back there, with consequences.
