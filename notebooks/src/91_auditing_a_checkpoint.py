# ---
# jupyter:
#   workbench:
#     title: "91 · Auditing a checkpoint"
#     part: practice
#     path: elective
#     needs: ["10", "20", "90"]
#     minutes: 90
#     budget_s: {ci: 70, lecture: 400, figure: 900}
# ---

# %% [markdown]
# # 91 · Auditing a checkpoint: what did it learn?
#
# **The idea in one sentence.** You can examine a checkpoint without knowing
# how it was trained: a few numbers, each with an interval, tell what it
# learned and what went wrong.
#
# After this lesson you can
#
# * audit any checkpoint against its reference, in three lines;
# * put an interval around an accuracy and around a drift, by hand;
# * tell a checkpoint that learned its task from one that did not;
# * say which question each number of an audit answers, and which it cannot.
#
# *Needs*: lessons 10 (reward models), 20 (DPO) and 90 (a real preference
# file). About 90 minutes, of which some are for the machine. Unknown words
# stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
DEVICE = "cpu"
OUT = ""

# %%
from pathlib import Path
from tempfile import mkdtemp

from workbench.core import kl
from workbench.core.errors import WorkbenchError
from workbench.core.statistics import cluster_interval, interval, student_t
from workbench.experiment import audit_figures, audit_signs
from workbench.experiment.audit import Settings, audit
from workbench.feedback import files
from workbench.lesson import *
from workbench.measure import pair_audit
from workbench.models import smollm
from workbench.views.instruments import audit_explorer
from workbench.worlds import everyday

# %%
size = sizes(
    PROFILE, most=(2, 40, 64), samples=(2, 32, 200), longest=(4, 32, 32),
    few=(4, 16, 60),
)
pd.set_option("display.max_colwidth", None)
train, held_out = map(str, everyday.split(Path(mkdtemp())))
try:
    model = str(smollm.folder())
except WorkbenchError as error:
    raise SystemExit(f"This lesson needs SmolLM2: {error}") from None

# %% [markdown]
# ## The question
#
# Ada and Ben, two colleagues, have trained SmolLM2 by DPO on the preference
# file of lesson 90, with LoRA and $\beta = 0.1$. A hundred of the 300 pairs
# were kept from both of them. Each has sent you an adapter and says that all
# went well. One of the two is mistaken.
#
# There is no log, no code and no exact world. What can you find out? Please
# predict first.

# %%
display(
    teach.predict(
        "91-1",
        "A checkpoint is audited against itself, and a tie counts one half. "
        "What is its accuracy?",
        ["0", "0.5", "1"],
    ),
    teach.predict(
        "91-2",
        "Of the pairs that Ada's checkpoint was trained on, in what share has "
        "the chosen answer become less likely than before?",
        ["less than a third", "one to two thirds", "more than two thirds"],
    ),
    teach.predict(
        "91-3",
        "Every pair stands four times in a file. An interval that counts "
        "pairs, and not prompts, is then",
        ["as wide as before", "half as wide", "twice as wide"],
    ),
)

# %% [markdown]
# ## Three data points
#
# Three of the pairs that nobody was trained on, and what came from the
# colleagues. An adapter is small, and says where it sits; it says nothing of
# the pairs that it was trained on.

# %%
table = everyday.table(files.read(held_out).records)
display(table[["question", "chosen", "rejected"]].head(3))
pd.DataFrame(
    {
        "bytes": {
            f"{name}: {file.name}": file.stat().st_size
            for name in ("ada", "ben")
            for file in sorted((everyday.COLLEAGUES / name).iterdir())
        }
    }
)

# %% [markdown]
# ## The objective, step by step
#
# An audit maximises nothing. It reads a policy $\pi$ and its reference
# $\pi_{\text{ref}}$, and asks five questions.
#
# 1. *Which answer of a pair does it prefer?* The implicit reward is
#    $\hat r(y) = \beta\,(\log\pi(y) - \log\pi_{\text{ref}}(y))$, the margin of
#    a pair $m = \hat r_c - \hat r_r$. **Accuracy** is the share of pairs with
#    $m > 0$; a tie counts one half.
# 2. *How sure is that?* Pairs of one prompt are no independent draws. So
#    deviations are added up prompt by prompt. With $n$ values $x_i$ on $G$
#    prompts, the standard error is
#    $s = \frac{1}{n}\sqrt{\frac{G}{G-1}\sum_g\big(\sum_{i \in g}(x_i -
#    \bar x)\big)^2}$, and the interval is $\bar x \pm t_{G-1}\,s$.
# 3. *Why does it prefer it?* Because it is longer? Then the accuracy on pairs
#    of equal length is $\frac12$. Because it has seen it? Then pairs that it
#    was trained on are better ordered than held-out ones: the **gap**.
# 4. *How far has it moved?* With $y$ drawn from $\pi$ and
#    $l = \log\pi(y) - \log\pi_{\text{ref}}(y)$, the drift
#    $\text{KL}(\pi\|\pi_{\text{ref}})$ is estimated by the means of
#    $k_1 = l$, $k_2 = l^2/2$ and $k_3 = e^{-l} - 1 + l$, or by adding up the
#    exact KL of the next token along $y$ (Rao and Blackwell's way).
# 5. *Is it as sure as it is right?* The model says that the chosen answer
#    wins with the probability $\sigma(\beta d)$, where $d$ is the difference
#    of log-ratios, in nats. The **implied** $\beta$ is the one under which
#    the labels are most likely: $\hat\beta$ maximises
#    $\sum_i \log\sigma(\beta d_i)$. If it is much below the stated one, the
#    margins are too sure of themselves.

# %%
display(teach.show(cluster_interval), teach.show(pair_audit.implied_beta))

# %% [markdown]
# ## By hand: an accuracy and its interval
#
# Six pairs on three prompts; 1 is a pair that is ordered as it is labelled.

# %%
right = torch.tensor([1.0, 1, 1, 0, 1, 1])
prompt = torch.tensor([0, 0, 0, 1, 1, 2])
off = right - right.mean()
sums = torch.stack([off[prompt == g].sum() for g in range(3)])
error = (3 / 2 * sums.square().sum()).sqrt() / 6
by_prompt = student_t(2) * error.item()
by_pair = interval(right)[2] - right.mean().item()
assert np.isclose(cluster_interval(right, prompt)[1], error.item())
say(
    f"The accuracy is {right.mean():.2f}. The deviations of the prompts add "
    f"up to {', '.join(f'{x:+.2f}' for x in sums)}; the standard error is "
    f"{error:.3f} and the interval ±{by_prompt:.2f}. Had we counted pairs, "
    f"it would be ±{by_pair:.2f}: too sure. The factor of an interval grows "
    f"as draws become few: it is {student_t(2):.2f} with three prompts and "
    f"{student_t(5):.2f} with six pairs. An end above 1, where no accuracy "
    "can be, says that three prompts are too few."
)

# %% [markdown]
# ## By hand: three estimators of the drift
#
# A world of three answers, so small that each estimator's mean can be written
# out. Which of them have the KL as their mean? Which can be negative in a
# sample?

# %%
new, old = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.3, 0.3, 0.4])
ratio = new.log() - old.log()
values = {"k1": kl.k1(ratio), "k2": kl.k2(ratio), "k3": kl.k3(ratio)}
assert torch.allclose(values["k3"], (-ratio).exp() - 1 + ratio)
means = {name: (new * value).sum().item() for name, value in values.items()}
exact_kl = kl.categorical_kl(new.log(), old.log()).item()
assert np.isclose(means["k1"], exact_kl) and np.isclose(means["k3"], exact_kl)
display(pd.DataFrame({"π": new, "π_ref": old, "l": ratio} | values).round(3))
say(
    f"The KL is {exact_kl:.3f}; the means are "
    + ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
)

# %% [markdown]
# ## The audit, in three lines
#
# Give it the reference, what came of it, and a file of pairs. On the command
# line it is `workbench audit REFERENCE ADAPTER --pairs FILE --out DIR`, which
# leaves all of what follows as one page.


# %%
def audited(name, pairs=train, held=held_out, **more):
    adapter = str(everyday.COLLEAGUES / name)
    how = {"samples": size.samples, "max_new": size.longest}
    how |= {"most": size.most, "held_out": held}
    return audit(Settings(model, adapter, pairs, **how | more))


found = {"Ada": audited("ada"), "Ben": audited("ben")}

# %% [markdown]
# ## Side by side
#
# The pairs are the first ones of the file that the colleagues were trained on;
# the held-out ones are those that were kept from them. *Chosen* and *rejected*
# are mean rewards; *fell* means a reward below 0, a response that has become
# less likely; lengths count as equal if they differ by less than a tenth. A
# *rank correlation* above 0 means that margins grow with the length of the
# chosen answer, compared with the rejected one. Read it row by row. Which
# single number would have made you choose the wrong checkpoint?

# %%
beside = audit_signs.side_by_side(found)
beside

# %% [markdown]
# Three traps. An accuracy of 1.00 has a Student interval of no width, which
# claims too much: if all of $n$ pairs are right, up to about $3/n$ of *all
# pairs that were trained on* may still be wrong. Of held-out pairs it says
# nothing. An implied $\beta$ is infinite there, as no finite one is the
# best. And the intervals count prompts, not trainings: another seed gives
# another checkpoint.
#
# ## Rewards of each pair
#
# One point per pair of the training file: first Ada's, then Ben's. Above the
# diagonal a pair is ordered as it is labelled. Left of 0 the rejected answer
# has lost probability, below 0 the chosen one has. Look at the scales of the
# axes, too.
#
# Then **move it**: choose the checkpoint and the file, and let only pairs
# count whose lengths hardly differ. Which of the two orders pairs that it has
# not seen? Does length explain what it does?

# %%
figures = {name: audit_figures.of(one) for name, one in found.items()}
display(figures["Ada"]["rewards"], figures["Ben"]["rewards"])
columns = ["prompt", "chosen", "rejected", "margin"]
columns += ["chosen_tokens", "rejected_tokens"]
rows = [
    frame[columns].assign(checkpoint=name, pairs=which).round(3)
    for name, one in found.items()
    for which, frame in (("trained on", one.pairs), ("held out", one.held_out))
]
audit_explorer(pd.concat(rows))

# %% [markdown]
# ## Drift
#
# Each checkpoint answers prompts of the file; the log-ratios of its own
# answers estimate how far it has moved. $k_1$ and $k_3$ have the KL as their
# mean, and so has the exact KL of the next token, added up along an answer
# (*rao-blackwell*): these three should agree within their intervals. $k_2$ has
# another mean; if it is far from them, the log-ratios are large. Then $e^{-l}$
# is near 0 in every sample, and $k_3$ is $k_1 - 1$. If $k_1$ has a wide
# interval, trust *rao-blackwell*, which has the least noise.
#
# Answers that were cut at the limit would have gone on, and drifted more: the
# numbers are **at least** so large.

# %%
drifts = {
    name: one.drawn.drift.set_index("estimator")[["mean", "low", "high"]]
    for name, one in found.items()
}
display(pd.concat(drifts, axis=1).round(2))
figures["Ben"]["drift"]

# %% [markdown]
# ## Where margins come from
#
# The pair with the lowest and the one with the highest margin, of each. Which
# pieces of the answers make the difference: the end of the answer, a name, a
# word that anybody would use? And numbers are not enough: below stands what
# each writes, to the same questions and with the same random numbers.

# %%
for name, one in found.items():
    loud = audit_signs.loudest(one)
    display(pd.concat([loud.head(2), loud.tail(2)]).round(2).assign(of=name))
asked = everyday.table(files.read(train).records)
said = pd.DataFrame({n: one.drawn.after for n, one in found.items()})
said.insert(0, "before", found["Ada"].drawn.before)
said.insert(0, "question", asked.question[: len(said)])
said.head(5)

# %% [markdown]
# ## Distance to the exact optimum
#
# There is none to measure it to, as in lesson 90. An audit sees no gold
# reward either: it is the labels that everything is held against, with their
# noise. So an audit can say *follows the labels*; it cannot say *is better*.
#
# ## Which of the two?
#
# Decide now, and say by which number. Then read on.

# %%
teach.predict(
    "91-4",
    "Which checkpoint went wrong, and which one mistake explains all that you "
    "saw, the gap too?",
    [
        "Ada: it learned length",
        "Ada: it knows its pairs by heart",
        "Ben: it learned length",
        "Ben: it knows its pairs by heart",
        "Ben: it was not taught where an answer ends",
    ],
)

# %% [markdown]
# ## Break it: count pairs instead of prompts
#
# Many files hold several pairs per prompt: all pairs of four answers, say.
# Take Ada's held-out pairs and write each of them four times. Nothing new is
# known. What do the two intervals say?


# %%
def widths(frame):
    right = 0.5 + 0.5 * torch.tensor(frame.margin.tolist()).sign()
    prompts = torch.tensor(frame.prompt.factorize()[0])
    _, _, low, high = cluster_interval(right, prompts)
    _, pair_low, pair_high = interval(right)
    return {"over prompts": high - low, "over pairs": pair_high - pair_low}


once = found["Ada"].held_out
copies = pd.DataFrame(
    {"once": widths(once), "four times": widths(pd.concat([once] * 4))}
)
narrow = copies["four times"] / copies["once"]
copies.round(3)

# %% [markdown]
# The signature: the interval shrinks with every copy of the file, towards a
# certainty that nobody has. Over prompts it stays as it is.
#
# ## Answers
#
# What was done? Ada's run read each of the 200 pairs once. Ben had tried his
# script on the first 64 pairs, and forgot to take that limit out: his 75
# steps, half as large as Ada's 25, read each of these pairs about nine times,
# and no other.
#
# On the training file alone Ben looks better: the same accuracy, larger
# margins, a smaller calibration error. Nor is a gap of *accuracy* a verdict,
# as both have one: a single reading is enough to set the sign of a pair's
# margin. And margins grow with every step, so do not compare the sizes of the
# two. Compare what each keeps on pairs that it has not read: of Ada's margin a
# part is left, and its interval is above 0; of Ben's next to nothing, and its
# interval holds 0. His implied $\beta$ is near 0 there. The drift, the cut
# answers and the text say what his memory cost: the end of an answer is among
# the tokens that lost most, but that is an effect. A mask without ends would
# treat read and unread pairs alike.
#
# The pairs of this audit are the first of the file, so all are among Ben's 64.
# From the end of the file we would have seen no gap. In an audit of your own,
# draw pairs from the whole file.
#
# Ada is not beyond doubt. She may like short answers, or answers that come to
# an end: in this file these are mostly the same answers, so that the audit
# cannot separate the two. Below are the answers to the predictions, and then
# the gold reward, which no audit sees.

# %%
ada, ben = found.values()
fell, new = ((one.chosen < 0).mean() for one in (ada.pairs, ada.held_out))
low, high = "less than a third", "more than two thirds"
share = low if fell < 1 / 3 else high if fell > 2 / 3 else "one to two thirds"
gap = {n: one.gap.set_index("measure") for n, one in found.items()}
worst = max(gap, key=lambda name: gap[name].gap.margin)
seen = gap[worst].loc["margin"]
display(
    teach.reveal(
        "91-1", "0.5",
        "every margin is 0, and a tie counts one half.",
    ),
    teach.reveal("91-2", share,
        f"it is {fell:.0%}, and {new:.0%} of the held-out ones: a few "
        "steps lift the answers that they are made for, and hardly others."),
    teach.reveal(
        "91-3", "half as wide",
        f"it is {narrow['over pairs']:.2f} times as wide: there are four "
        "times as many values, and the root of four is two.",
    ),
    teach.reveal(
        "91-4", f"{worst}: it knows its pairs by heart",
        f"its mean margin is {seen.training:.2f} on pairs that it has read "
        f"and {seen.held_out:.2f} on the others: a gap of {seen.gap:.2f} "
        f"[{seen.low:.2f}, {seen.high:.2f}]. Length would help on both, and "
        "a lost end alone would leave no gap.",
    ),
)

# %%
def gold_of(texts, numbers):
    words = [asked.word[int(i)] for i in numbers]
    points = [everyday.gold(*both) for both in zip(texts, words, strict=True)]
    mean, _, low, high = cluster_interval(torch.tensor(points), numbers)
    return {"gold": mean, "low": low, "high": high}


told = {"before": gold_of(ada.drawn.before, ada.drawn.clusters)}
told |= {"Ada": gold_of(ada.drawn.after, ada.drawn.clusters)}
told |= {"Ben": gold_of(ben.drawn.after, ben.drawn.clusters)}
pd.DataFrame(told).T.round(2)

# %% [markdown]
# The intervals say that Ben's answers are worth less than Ada's. Whether Ada's
# are worth more than those before the training, so few answers cannot say.
#
# ## Claims
#
# The first is exact. In the others the values are pairs of one checkpoint
# each, so they speak of these adapters and not of every run like theirs; and
# they were worded after a first look at them, so they confirm nothing new.

# %%
how = {"paper": "ours", "out": OUT or None}
change = copies["four times"] - copies["once"]
teach.claim(
    key="copies-tell-nothing", effect=change["over prompts"], kind="exact",
    expected="zero", tolerance=1e-9, unit="share of pairs", **how,
    statement="With every pair written four times, an interval clustered by "
    "prompt stays as it is.",
    meaning="What is no new draw must not make an interval narrower.",
)

# %%
more = {"expected": "positive", "unit": "reward units", **how}
more["setting"] = "one checkpoint of each; the values are pairs, not seeds"
# row i of both files are other questions: only the mean has a meaning
by_ada = ada.pairs.margin - ada.held_out.margin
by_ben = ben.pairs.margin - ben.held_out.margin
teach.claim(
    key="the-gap-is-bens", effect=(by_ben - by_ada).tolist(), **more,
    statement="The margins of Ben's checkpoint are larger on pairs that it "
    "was trained on than on held-out ones, by more than Ada's are.",
    meaning="An audit finds memorised pairs without having seen the run.",
)
teach.claim(
    key="ada-orders-new-pairs", effect=ada.held_out.margin.tolist(), **more,
    statement="Ada's checkpoint gives held-out pairs a positive margin.",
    meaning="A little that was learned holds for pairs that nobody read.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("91-1")` gives a hint; a second call gives the next one.
#
# **91-1 · Read the numbers** (●○○, 5 minutes). An audit of somebody else
# prints: accuracy 0.66 [0.59, 0.73] on held-out pairs; equal lengths 0.50
# [0.38, 0.62]; chosen longer 0.97; chosen shorter 0.11. What did that
# checkpoint learn: "the labels", "length" or "its pairs by heart"?

# %%
teach.answer("91-1", None)

# %% tags=["solution"]
teach.solution("91-1", "length")

# %% [markdown]
# **91-2 · The implied β** (●●○, 10 minutes). The log-ratios of five pairs
# differ by 3, 3, 3, 3 and −3 nats. Under which $\beta$ are the labels most
# likely? Where the differences have one size, $\sigma(\beta d)$ should be the
# share of pairs that are ordered as labelled.

# %%
teach.answer("91-2", None)

# %% tags=["solution"]
five_gaps = torch.tensor([3.0, 3, 3, 3, -3])
assert np.isclose(pair_audit.implied_beta(five_gaps), np.log(4) / 3)
teach.solution("91-2", np.log(4) / 3)

# %% [markdown]
# **91-3 · Bug hunt** (●●○, 10 minutes). Four answers were drawn from a policy.
# This function is meant to estimate its drift by $k_3$, and has one planted
# mistake. Mend it, and enter what it gives.


# %%
own = torch.tensor([-10.0, -12.0, -9.0, -11.0])  # log π of each answer
known = torch.tensor([-10.5, -11.8, -10.2, -11.3])  # log π_ref


def suspect(policy, reference):
    ratio = reference - policy
    return ((-ratio).exp() - 1 + ratio).mean().item()


print(f"{suspect(own, known):.4f}")
teach.answer("91-3", None)


# %% tags=["solution"]
def mended(policy, reference):
    ratio = policy - reference  # the answers are the policy's
    return ((-ratio).exp() - 1 + ratio).mean().item()


teach.solution("91-3", mended(own, known))

# %% [markdown]
# **91-4 · Which mistake?** (●●○, 10 minutes). A third adapter has the same
# accuracy on training and on held-out pairs, 0.6, and no preference for long
# answers among them. But its samples have grown from 29 to 32 tokens, and 97 %
# of them are cut at 32 tokens, where 70 % were cut before. What did its
# training leave out: "the prompt", "the end of the turn" or "the rejected
# answers"?

# %%
teach.answer("91-4", None)

# %% tags=["solution"]
teach.solution("91-4", "the end of the turn")

# %% [markdown]
# **91-5 · Check the confession** (●●●, 20 minutes). Ben says that he read 64
# pairs only. Audit his adapter on the pairs of the training file that come
# after them (write them into a file of their own; no samples are needed). Are
# its accuracy and margins there like those on the pairs that it was "trained
# on", or like those of the pairs "held out"?

# %%
teach.answer("91-5", None)

# %% tags=["solution"]
later = Path(mkdtemp()) / "later.jsonl"
later.write_text("".join(Path(train).read_text().splitlines(True)[64:]))
few = {"most": size.few, "samples": 2, "max_new": 1}
after_64 = audited("ben", str(later), None, **few).pairs.margin
say(
    f"Over {size.few} later pairs its accuracy is {(after_64 > 0).mean():.2f} "
    f"and its mean margin {after_64.mean():+.2f}."
)
half = gap["Ben"].loc["margin"].training / 2
teach.solution("91-5", "held out" if after_64.mean() < half else "trained on")

# %% [markdown]
# ## Recap
#
# * A checkpoint and its reference are enough: no log, no code.
# * Every number needs an interval, and the interval counts prompts.
# * On pairs that were trained on, accuracy says nothing: one reading sets the
#   sign. Read it on pairs held out, and on pairs of equal length.
# * Compare sizes: margins on both files, the implied $\beta$, the drift.
# * A sampled drift is a lower bound where answers are cut.
# * An audit measures against labels; the reward that was wanted it cannot see.
#
# Quiz of this lesson: `teach.quiz("91")`.
#
# ## References
#
# * [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), *Direct
#   Preference Optimization*: the implicit reward.
# * [Park et al. 2024](https://arxiv.org/abs/2403.19159), *Disentangling length
#   from quality in direct preference optimization*.
# * [Miller 2024](https://arxiv.org/abs/2411.00640), *Adding error bars to
#   evals*: standard errors clustered by question.
# * [Amini et al. 2025](https://arxiv.org/abs/2504.10637), *Better estimation
#   of the KL divergence between language models*: the fourth estimator.
#
# Next: a checkpoint of your own. `workbench audit REFERENCE NEW --pairs FILE
# --held-out-pairs FILE --out DIR` writes all of this on one page, and
# `workbench compare-runs DIR …` lays several such pages side by side.
