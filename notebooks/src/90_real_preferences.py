# ---
# jupyter:
#   workbench:
#     title: "90 · A real preference file"
#     part: practice
#     path: core
#     needs: ["10", "20"]
#     minutes: 90
#     budget_s: {ci: 40, lecture: 400, figure: 900}
# ---

# %% [markdown]
# # 90 · A real preference file: does it train what you think?
#
# **The idea in one sentence.** With a real language model most mistakes
# happen before the first step, in what the model is shown and which tokens
# count; a few numbers tell them, if you look at the right ones.
#
# After this lesson you can
#
# * read a preference file, and print what the model will see of it;
# * say which tokens count in the loss, and what it must be at step 0;
# * train a language model with LoRA and DPO, on a laptop, in minutes;
# * recognise three common mistakes by their curves.
#
# *Needs*: lessons 10 (reward models) and 20 (DPO). About 90 minutes, of
# which ten are for the machine. Unknown words stand in the
# [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
DEVICE = "cpu"
OUT = ""

# %%
from dataclasses import replace
from types import SimpleNamespace as method

from workbench.core.errors import WorkbenchError
from workbench.experiment import file_notes
from workbench.experiment.problem import Read
from workbench.feedback import files
from workbench.lesson import *
from workbench.measure import answers, implicit_reward
from workbench.methods.direct.links import dpo
from workbench.models import encoding, lora, mask_faults, prompts, smollm
from workbench.models.shortened import last_layers, load
from workbench.views.instruments import mask_state, mask_viewer
from workbench.worlds import everyday

# %%
size = sizes(
    PROFILE, layers=(2, 30, 30), adapted=(1, 10, 30), steps=(2, 16, 15),
    held=(4, 32, 60), batch=(2, 4, 16), pairs=(4, 64, 240),
    longest=(8, 32, 32),
)
beta, rate = 0.1, 4e-3  # reward units per nat, step size
try:
    policy, coder = load(smollm.folder(), size.layers)
except WorkbenchError as error:
    raise SystemExit(f"This lesson needs SmolLM2: {error}") from None

# %% [markdown]
# ## The question
#
# Somebody hands you a file of preferences and a checkpoint, and asks for a
# better checkpoint. No exact world stands behind them: nobody can sum over
# all answers of a language model. How do you know that the right thing is
# being trained?
#
# The model is SmolLM2-135M-Instruct, of 135 million weights. It comes from
# Python's package index, once, and stays in your cache. Please predict first.

# %%
display(
    teach.predict(
        "90-1",
        "By mistake the tokens of the prompt count as well. What does that "
        "change in the DPO loss of a pair?",
        ["nothing", "it is larger", "it is smaller"],
    ),
    teach.predict(
        "90-2",
        "By mistake the reference is not frozen: it is the policy itself. "
        "What does the training loss do?",
        ["it falls", "it stays where it started", "it rises"],
    ),
    teach.predict(
        "90-3",
        "By mistake chosen and rejected are exchanged in the file. What is "
        "the mean training loss, compared with that of the right run?",
        ["higher by more than 0.03", "about the same", "lower by that much"],
    ),
)

# %% [markdown]
# ## Three data points
#
# The questions of the file are our own, 300 of them. SmolLM2 wrote two
# answers to each, drawn from its own distribution and cut at 32 tokens. It is
# a small model, and often talks nonsense. A recipe,
# `data/make_preferences.py`, drew and labelled them.
#
# The **gold reward** is a plain function of the text: a point for naming the
# word that was asked about, one for ending as a whole sentence, one more if it
# is a single sentence, as the system message wants; minus one for a phrase
# that comes twice. The annotator tosses a coin as in lesson 10, with gold plus
# 0.05 reward units per token as its reward: it likes long answers. After that
# one label in ten is flipped. So gold contradicts more than one in ten.

# %%
pd.set_option("display.max_colwidth", None)
read = files.read(everyday.PAIRS)
table = everyday.table(read.records)
gap = table.gold_chosen - table.gold_rejected
words = table[["chosen", "rejected"]].map(lambda text: len(text.split()))
longer = (words.chosen - words.rejected).mean()
display(table.head(3))
say(
    f"Gold agrees with {sum(gap > 0)} of {len(read)} labels, contradicts "
    f"{sum(gap < 0)}, and is equal in {sum(gap == 0)}. A chosen answer has "
    f"{longer:+.1f} words more than the rejected one."
)

# %% [markdown]
# ## What the model will see
#
# A model reads no conversation, it reads tokens. The checkpoint's **chat
# template** writes the turns with special tokens around them. What a
# conversation with its answer has more than the prompt alone is the response,
# and only its tokens count: they are the **mask**. Special tokens stand
# between ⟦ and ⟧; `workbench train --show 1` prints the same.

# %%
policy.to(DEVICE)
coded = encoding.encode(coder, list(read.records))
print(file_notes.examples(coder, coded, read.lines, 1)[0])
say(coded.summary())

# %% [markdown]
# Three things to look at, before any training. Is there exactly one beginning
# and one end of each turn? Do the counted tokens begin with the first word of
# the answer? Is the end of the turn, `<|im_end|>`, counted? A model that
# never learns to end will not end.
#
# An answer that was cut at 32 tokens, in mid-sentence, has this end as well:
# the template writes it, and it counts. So cut answers teach where to stop,
# too, and on the rejected side where not to.
#
# ## The objective, step by step
#
# 1. A response has tokens $y_1 \dots y_T$. Its log-prob is
#    $\log\pi(y) = \sum_t m_t \log\pi(y_t \mid x, y_{<t})$, where the mask
#    $m_t$ is 1 on tokens that count and 0 elsewhere.
# 2. Its implicit reward is $\hat r = \beta(\log\pi(y) -
#    \log\pi_{\text{ref}}(y))$, and the margin of a pair is
#    $\hat r_c - \hat r_r$ (lesson 20).
# 3. The loss is $-\log\sigma(\hat r_c - \hat r_r)$.
# 4. At step 0 the policy is the reference: the margin is 0, and the loss is
#    $-\log\frac12 = \log 2 \approx 0.693$ for *every* pair. Any other number
#    says that the two are not the same model, or do not see the same text.
#    The number proves no more than that: a wrong mask, exchanged sides and a
#    reference that follows the policy all start at $\log 2$ as well.
#
# **LoRA** trains a small change beside frozen weights: a matrix $W$ becomes
# $W + \frac{\alpha}{r} B A$. $A$ has $r$ rows and $B$ has $r$ columns, so both
# are thin; $\alpha$ is a fixed number that scales the change (here $r = 16$
# and $\alpha = 32$). $B$ starts at zero, so nothing has changed yet. The
# reference costs no memory: it is the same model with the adapter off. Here
# the adapter sits in the last layers only, so that the backward pass ends
# early.

# %%
where = last_layers(policy, size.adapted, ("q_proj", "v_proj"))
adapter = lora.Lora(policy, lora.Shape(r=16, alpha=32, targets=where))
reference, trained = adapter.reference, adapter.start(SEED)
held, learnt = coded.pairs[: size.held], coded.pairs[60 : 60 + size.pairs]
cfg, few = dpo.Config(beta=beta), held[:3]
say("{:,} of {:,} numbers are trained.".format(*adapter.size))
display(teach.show(lora.Off), teach.show(dpo.loss))

# %% [markdown]
# ## By hand: three pairs at step 0
#
# The sums over the counted tokens, of the chosen answer (c) and the rejected
# one (r), under the policy and the reference.

# %%
def by_hand(some):
    ref = some.reference_logps(reference)
    batch = some.batch(trained, torch.arange(3), ref)
    found = {}
    for name, side in (("c", batch.chosen), ("r", batch.rejected)):
        found[f"log π({name})"] = (side.policy * side.mask).sum(-1).detach()
        found[f"log π_ref({name})"] = (side.ref * side.mask).sum(-1)
    chosen, ref_chosen, rejected, ref_rejected = found.values()
    lead = chosen - ref_chosen - (rejected - ref_rejected)
    found["loss"] = (1 + (-beta * lead).exp()).log()
    assert torch.allclose(found["loss"], dpo.loss(batch, cfg), atol=1e-5)
    return pd.DataFrame({name: v.tolist() for name, v in found.items()})


# %%
start = by_hand(few)
assert np.allclose(start.loss, np.log(2), atol=1e-5)
start.round(3)

# %% [markdown]
# ## Train
#
# The loop is that of every lesson. Rewards are measured on pairs that are
# held out, drift and gold on fresh answers to their questions. For the sake
# of your time a few dozen pairs are learned, once; the profile `figure` takes
# most of the file.


# %%
asked, names = prompts.prompts_of(held.chosen), table.word[: size.held]
kept = coder, lambda i, text: everyday.gold(text, names[i])
written = answers.AnswerTracker(reference, asked, *kept, max_new=size.longest)


def train(name, data, loss=dpo.loss, lr=rate, **measured):
    def logged(batch, cfg):  # the loss, which also notes its mean
        each = loss(batch, cfg)
        log.setdefault(name, []).append(each.mean().item())
        return each

    wrapped, model = method(card=dpo.card, loss=logged), adapter.start(SEED)
    how = {"steps": size.steps, "batch_size": size.batch, "lr": lr}
    how |= {"seed": SEED, **measured}
    return offline.fit(model, reference, data, wrapped, cfg, **how)


# %%
log, read_once = {}, Read(learnt, reference)
known = held, held.reference_logps(reference), beta
measures = implicit_reward.PairTracker(*known), written
schedule = {"measures": measures, "every": size.steps // 2}
run = train("right", read_once, **schedule)
before, after = written.texts[0], written.texts[-1]
bias = everyday.LABELLED["length_bias"]  # reward units per token
metrics = run.metrics.eval("liked = gold + @bias * length")
first, last = metrics.iloc[0], metrics.iloc[-1]

# %% [markdown]
# ## Three views of a real run
#
# **Implicit rewards** of the held-out pairs, first. Then **drift and gold**,
# both from samples, so both with an interval; it is clustered by question.
# Answers are cut at 32 tokens: the drift is that of what was written, and the
# whole one is at least as large. So few pairs and answers give rough numbers;
# look at the intervals, and hold out hundreds in a run of your own.

# %%
display(
    views.implicit_rewards(
        metrics,
        caption=f"After {size.steps} steps the chosen reward is "
        f"{last.chosen:+.2f}, the rejected one {last.rejected:+.2f}; "
        f"{last.accuracy:.0%} of {size.held} held-out pairs are ordered as "
        "they were labelled.",
    ),
    views.sampled_curves(
        metrics,
        {
            "kl": "KL(π‖π_ref) (nats per answer)",
            "gold": "gold reward (reward units)",
            "length": "length (tokens)",
        },
        caption=f"The drift ends at {last.kl:.1f} nats; gold goes from "
        f"{first.gold:.2f} to {last.gold:.2f} [{last.gold_low:.2f}, "
        f"{last.gold_high:.2f}], the length from {first.length:.0f} to "
        f"{last.length:.0f} tokens, and {last.cut:.0%} of the answers are "
        "cut.",
    ),
)

# %% [markdown]
# **Is this overoptimisation?** The proxy here is what the annotator likes:
# gold plus 0.05 reward units per token. In overoptimisation it rises while
# gold falls. Compare the two, and the interval of gold in the picture above,
# before you use the word; the length says where a change of the proxy comes
# from. And as numbers are not enough, read what it writes: the same questions
# and random numbers, before and after.

# %%
display(
    views.overoptimisation(
        metrics.rename(columns={"liked": "proxy"}),
        caption=f"From step 0 to {size.steps} what the annotator likes "
        f"changes by {last.liked - first.liked:+.2f}, gold by "
        f"{last.gold - first.gold:+.2f} reward units (means of {size.held} "
        "answers).",
        title="What is liked, and what was wanted",
    )
)
said = {"question": table.question[: size.held], "before": before}
display(pd.DataFrame(said | {"after": after}).head(6))

# %% [markdown]
# ## Which tokens count
#
# Four ways to encode the same pair. A token with a number counts, and the
# number is its implicit reward after training: which tokens does a margin come
# from? Choose *no template*: a log-prob per token that has changed much means
# that the model does not know this form of text.

# %%
ends, of = policy.network.signs.ends, mask_faults.of_pairs
plain = map(mask_faults.without_template, read.records[:3])
ways = {
    "by the template": few,
    "with the prompt": of(few, mask_faults.prompt_counted),
    "without the end": of(few, mask_faults.end_left_out, ends),
    "no template": encoding.encode(coder, list(plain)).pairs,
}
frame = mask_state.mask_frame(ways, coder, run.policy, reference, beta)
mask_viewer(frame)

# %% [markdown]
# ## By hand: the prompt cancels
#
# The first three pairs again, now with the trained policy, once with the
# right mask and once with the prompt counted. Both sides of a pair have the
# same prompt, so the same number is added to both log-ratios.

# %%
right, wide = by_hand(few), by_hand(ways["with the prompt"])
assert np.allclose(right.loss, wide.loss, atol=1e-4)
change = (wide - right).abs().max()
both = ("log π(c)", "loss")
added = {f"{name}, with the prompt": wide[name] for name in both}
right.assign(**added).round(3)

# %% [markdown]
# A log-prob changes by many nats, and the loss does not. That is luck of the
# sum: with a
# mean over tokens, or a loss that looks at one response alone (lesson 22), a
# counted prompt does harm. And the rewards of chosen and rejected, taken
# alone, are wrong in either case.
#
# ## Distance to the exact optimum
#
# There is none to measure it to: with 49,152 tokens there are more answers
# than anybody can sum over. What is known is the gold reward of the
# reference, that of the policy, and that nobody gets more than 3.
#
# ## Break it: three mistakes and their curves
#
# Three more runs, each with one mistake. Everything runs, and nothing
# complains.
#
# * *Exchanged*: chosen and rejected have changed places in the training file.
# * *Reference follows*: the adapter was left on in the reference, so the
#   reference is the policy itself.
# * *Step too large*: the step size is five times that of the right run.

# %%
def follows(batch, cfg):
    here = {"ref_chosen": batch.policy_chosen.detach()}
    here["ref_rejected"] = batch.policy_rejected.detach()
    return dpo.loss(replace(batch, **here), cfg)


other = replace(learnt, chosen=learnt.rejected, rejected=learnt.chosen)
broken = {
    "exchanged": (Read(other, reference), dpo.loss, rate),
    "reference follows": (read_once, follows, rate),
    "step too large": (read_once, dpo.loss, 5 * rate),
}

# %%
ends_of = {"before training": first, "right": last}
for name, parts in broken.items():
    wrong = train(name, *parts).policy
    found = [measure(wrong).iloc[0] for measure in measures]
    ends_of[name] = pd.concat(found).drop("seed")
means = pd.DataFrame({name: pd.Series(each) for name, each in log.items()})
means = means.expanding().mean()
final, means = means.iloc[-1], means.rename_axis("step").reset_index()

# %%
columns = ["margin", "accuracy", "kl", "gold", "length", "cut"]
display(
    views.training_curves(
        means.melt("step", var_name="run", value_name="mean"),
        {"mean": "mean loss up to here (nats)"},
        by="run",
        caption=f"In {size.steps} steps the mean loss of 'reference "
        f"follows' stays at {final['reference follows']:.3f}; that of "
        f"'exchanged' ends at {final['exchanged']:.3f}, that of 'step too "
        f"large' at {final['step too large']:.3f} and that of the right run "
        f"at {final['right']:.3f}.",
    ),
    pd.DataFrame(ends_of).T[columns].astype(float).round(2),
)

# %% [markdown]
# **Their signatures.**
#
# * *Exchanged*: in so few steps the mean losses of this run and of the right
#   one stay near $\log 2$, for each pair is read once, and is new when its
#   loss is taken. With more passes both would fall alike: the loss does not
#   know which side is better. Held-out pairs with the right labels tell it by
#   their margin, if there are enough of them. If those are exchanged as well,
#   only what is written does: compare length, cut answers and gold with the
#   right run's, for here the chosen answers are those that come to an end.
# * *Reference follows*: the log shows the margin against its own copy, which
#   is 0, so that the loss is $\log 2$ at every step, to the last digit. The
#   table shows the margin against the true reference: it does learn. Every
#   pair still pushes with $\beta/2$, the policy drifts, and nothing would ever
#   stop it.
# * *Step too large*: the loss jumps above $\log 2$, where the right run's
#   hardly moves in so few steps. The drift grows out of all proportion, and
#   what is written falls apart.
#
# Mind the size of the test. With 32 pairs an accuracy has a standard error of
# about 9 points: a share near one half shows nothing. Use hundreds of pairs.
#
# ## Answers

# %%
level, turned = final["reference follows"], final["exchanged"]
still, more = abs(level - np.log(2)) < 1e-4, turned - final["right"]
compared = "higher by more than 0.03" if more > 0 else "lower by that much"
display(
    teach.reveal(
        "90-1", "nothing",
        f"the log-probs change by up to {change.max():.0f} nats, but both "
        "sides of a pair have the same prompt, and it cancels.",
    ),
    teach.reveal(
        "90-2", "it stays where it started" if still else "it falls",
        f"it is {level:.4f}: the log-ratio of a policy to itself is 0, "
        "whatever the policy has become.",
    ),
    teach.reveal(
        "90-3", "about the same" if abs(more) < 0.03 else compared,
        f"it is {turned:.3f} against {final['right']:.3f}: a loss knows "
        "which side stands first, not which one is better.",
    ),
)

# %% [markdown]
# ## Claims
#
# Both are exact: they hold for every pair, not on average.

# %%
how = {"kind": "exact", "expected": "zero", "unit": "nats", "paper": "ours"}
teach.claim(
    key="log-2-at-step-0", effect=(start.loss - np.log(2)).tolist(),
    tolerance=1e-5, out=OUT or None, **how,
    statement="Before the first step the loss of each pair is log 2.",
    meaning="Any other number says that policy and reference differ.",
)
teach.claim(
    key="prompt-cancels", effect=(wide.loss - right.loss).tolist(),
    tolerance=1e-4, out=OUT or None, **how,
    statement="Counting the prompt does not change the DPO loss of a pair.",
    meaning="DPO forgives this mistake; losses of one response do not.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("90-1")` gives a hint; a second call gives the next one.
#
# **90-1 · Read the mask** (●○○, 5 minutes). In the mask viewer, or in what
# was printed under *What the model will see*: how many tokens count in the
# chosen response of the first pair of the file?

# %%
teach.answer("90-1", None)

# %% tags=["solution"]
teach.solution("90-1", int(coded.pairs.chosen.mask[0].sum()))

# %% [markdown]
# **90-2 · A reward by hand** (●○○, 5 minutes). Three tokens of an answer
# count. Their log-ratios are 1.5, −0.4 and 0.9 nats, and $\beta = 0.1$. What
# is the implicit reward of the answer?

# %%
teach.answer("90-2", None)

# %% tags=["solution"]
teach.solution("90-2", 0.1 * (1.5 - 0.4 + 0.9))

# %% [markdown]
# **90-3 · Bug hunt** (●●○, 10 minutes). This loss has one planted mistake. It
# is of the kind of this lesson. The check names it; mend the loss until the
# check passes.


# %%
def suspect(batch, cfg):
    chosen = (batch.policy_chosen - batch.ref_chosen.detach()).sum(-1)
    rejected = (batch.policy_rejected - batch.ref_rejected.detach()).sum(-1)
    margin = cfg.beta * (chosen - rejected)
    return -torch.nn.functional.logsigmoid(margin)


teach.check.dpo(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    chosen = batch.policy_chosen - batch.ref_chosen.detach()
    rejected = batch.policy_rejected - batch.ref_rejected.detach()
    margin = (chosen * batch.chosen_mask).sum(-1)
    margin = margin - (rejected * batch.rejected_mask).sum(-1)
    return -torch.nn.functional.logsigmoid(cfg.beta * margin)


assert teach.check.dpo(mended).passed  # the masks were not read

# %% [markdown]
# **90-4 · Which mistake?** (●●○, 10 minutes). A colleague's run logs a loss of
# 0.60 at the end and has drifted by 0.8 nats; a run with the same settings
# that is known to be right has drifted by 0.9. On 400 pairs of a second
# annotator its accuracy is 0.29. Which of the three is it: "exchanged",
# "reference follows" or "step too large"?

# %%
teach.answer("90-4", None)

# %% tags=["solution"]
teach.solution("90-4", "exchanged")

# %% [markdown]
# **90-5 · When the prompt does not cancel** (●●●, 20 minutes). Somebody takes
# the mean over tokens. The chosen answer has 10 tokens whose log-ratios add up
# to 1 nat, the rejected one 30 tokens that add up to 3 nats: the means are
# equal, and their difference is 0. What is the difference if the prompt is
# counted as well? It has 30 tokens that add up to 6 nats.

# %%
teach.answer("90-5", None)

# %% tags=["solution"]
teach.solution("90-5", (6 + 1) / (30 + 10) - (6 + 3) / (30 + 30))

# %% [markdown]
# ## Recap
#
# * Print what the model sees, and which tokens count, before any training.
# * At step 0 the loss is $\log 2$ for every pair.
# * LoRA trains a small change; the reference is the model without it.
# * A healthy loss proves little: held-out accuracy, drift, length, the share
#   of cut answers and the text itself tell mistakes apart.
# * Where there is no gold reward, you see only the proxy.
#
# ## References
#
# * [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), *Direct
#   Preference Optimization*: the method.
# * [Hu et al. 2021](https://arxiv.org/abs/2106.09685), *LoRA: low-rank
#   adaptation of large language models*.
# * [Allal et al. 2025](https://arxiv.org/abs/2502.02737), *SmolLM2*: the
#   model and its data.
#
# `workbench train dpo --pairs FILE --model DIR --lora r=16 --show 2` does what
# this lesson did, with a file of your own. Next: [**91 · Auditing a
# checkpoint**](91_auditing_a_checkpoint.ipynb), where others have trained, and
# you find out what came of it.
