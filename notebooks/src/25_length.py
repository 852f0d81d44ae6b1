# ---
# jupyter:
#   workbench:
#     title: "25 · Length"
#     part: offline
#     path: elective
#     needs: ["01", "20"]
#     minutes: 90
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 25 · Length: what does a loss count, and against what?
#
# **The idea in one sentence.** When annotators pay for length, a price on
# tokens takes exactly that out of the optimum of direct preference
# optimisation (DPO) and a mean over tokens does not; and a loss without a
# reference still has one, which nobody chose.
#
# After this lesson you can
#
# * write down where DPO, R-DPO and length-normalised DPO end when labels pay
#   for length;
# * tell a longer policy from a better one by length-controlled gold;
# * name the hidden reference of a loss that has none;
# * recognise a price on length with the wrong sign.
#
# *Needs*: lessons 01 (the exact optimum) and 20 (DPO). About 90 minutes.
# Unknown words stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.feedback.kinds.pairs import PairLogps
from workbench.lesson import *
from workbench.measure import length_control
from workbench.methods.direct.length import length_dpo, ln_dpo, simpo
from workbench.methods.direct.links import cpo, dpo
from workbench.views.instruments import length_explorer
from workbench.worlds.length_optima import per_token_optimum

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 80, 1000),
    pairs=(64, 800, 20000),
)
beta, price = 1.0, 1.0  # price: what annotators pay per token
world = Reviews(4)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
tokens = length_control.tokens(world)  # |y|
usual = solutions.expectation(ref, tokens.double()).mean().item()

# %% [markdown]
# ## The question
#
# People overrate long answers. Give labels that do so to three losses: DPO;
# R-DPO, *regularised* DPO, which puts a price on each token (it has nothing
# to do with rDPO, the *robust* DPO of lesson 24); and length-normalised DPO
# (LN-DPO), which takes a mean over tokens where DPO takes a sum.
#
# Write your predictions into `mine` before you go on.

# %%
display(
    teach.predict(
        "25-1",
        "Is a mean over tokens fair to short answers? How long are the "
        "reviews at the optimum of LN-DPO?",
        ["nearer to those of DPO", "nearer to those of honest labels"],
    ),
    teach.predict(
        "25-2",
        "SimPO and CPO are losses without a reference. At a very large β the "
        "reward hardly counts. Do they then stay at the reference policy?",
        ["yes", "no"],
    ),
    teach.predict(
        "25-3",
        "DPO and R-DPO learn from the same labels. Among reviews of one "
        "length, do their optima prefer different ones?",
        ["yes", "no"],
    ),
)
views.pipeline(here="preferences")

# %% [markdown]
# ## Three data points
#
# Two reviews of at most four words are drawn from $\pi_{\text{ref}}$. The
# length $|y|$ counts *tokens*, as the losses do: the words and the end. (A
# review of four words ends by itself and writes no end.) The annotator
# perceives $r + b|y|$ with $b = 1$: a token is worth as much as the word
# "good". Here are pairs of different lengths, with the probability of the
# label without and with the bonus.

# %%
felt_reward, parts, rows = world.gold + price * tokens, [], []
for seed in range(SEED, SEED + size.seeds):
    how = size.pairs, Annotator(), generator(seed, "pairs"), felt_reward
    parts.append(sample_pairs(world, ref, *how))
pairs = Pairs.cat(parts)
more = tokens[pairs.chosen.response] - tokens[pairs.rejected.response]
for i in more.nonzero()[:3, 0].tolist():
    film, won = int(pairs.chosen.prompt[i]), int(pairs.chosen.response[i])
    lost = int(pairs.rejected.response[i])
    both = torch.stack([world.gold, felt_reward])[:, film]
    p = (both[:, won] - both[:, lost]).sigmoid().tolist()
    rows.append([world.text(won), world.text(lost), int(more[i]), *p])

# %%
names = ["chosen", "rejected", "tokens more", "p without", "p with bonus"]
pd.DataFrame(rows, columns=names).round(3)

# %% [markdown]
# ## The objective, step by step
#
# 1. The labels are Bradley–Terry labels of $r + b|y|$. By lesson 20 the
#    optimum of **DPO** is
#    $\pi(y) \propto \pi_{\text{ref}}(y)\,e^{(r(y) + b|y|)/\beta}$.
# 2. **R-DPO** adds $\alpha(|y_c| - |y_r|)$ to $\beta D$ inside the sigmoid.
#    The labels fix the *sum* of the two at
#    $r(y_c) - r(y_r) + b(|y_c| - |y_r|)$.
# 3. What is left for $\beta D$ is the difference of $r + (b - \alpha)|y|$.
#    With $\alpha = b$ the policy is the optimum on honest labels.
# 4. **LN-DPO** divides each log-ratio by its length. The labels fix
#    $\frac{\beta}{|y|}\log\frac{\pi(y)}{\pi_{\text{ref}}(y)}$ up to one
#    constant $c$.
# 5. Solve for the policy:
#    $\pi(y) = \pi_{\text{ref}}(y)\,e^{|y|(r(y) + b|y| + c)/\beta}$, with the
#    $c$ that makes the sum 1. Nothing subtracts $b|y|$: length is divided out
#    of the *unit* of the reward, and what annotators pay for it stays.

# %%
display(teach.show(length_dpo.loss), teach.show(ln_dpo.loss))

# %% [markdown]
# ## No reference is a reference, too
#
# CPO (contrastive preference optimisation) without its likelihood term is DPO
# with $\log\pi$ in place of $\log(\pi/\pi_{\text{ref}})$. SimPO (simple
# preference optimisation) with $\gamma = 0$ is LN-DPO with the same change.
# Put a 1 in place of $\pi_{\text{ref}}$ in the lines above:
#
# * CPO ends at $\pi(y) \propto e^{r(y)/\beta}$. Its hidden reference finds
#   each *response* equally likely, and most responses are long.
# * SimPO ends at $\pi(y) = e^{|y|(r(y) + c)/\beta}$. Its hidden reference
#   finds each *token* equally dear.


# %%
def optima(base, reward, size, beta):
    """Where each loss ends; a mean over tokens gets β times the usual |y|."""
    tilt, mean_beta = solutions.optimal_policy, usual * beta
    return {
        "DPO": tilt(base, reward, beta),
        "R-DPO": tilt(base, reward - price * size, beta),
        "LN-DPO": per_token_optimum(base, reward, mean_beta, size),
        "SimPO": per_token_optimum(0 * base, reward, mean_beta, size),
        "CPO": tilt(0 * base, reward, beta),
    }


# %% [markdown]
# ## By hand, on four reviews
#
# Let only four reviews be possible, each a token longer than the one before.
# A good short one stands against a bad long one.

# %%
texts = ["(silence)", "good", "not dull", "dull and not good"]
four = torch.tensor([world.index(text) for text in texts])
q, r, n = ref[0, four].log_softmax(-1), world.gold[0, four], tokens[four]
felt = r + price * n
ends = optima(q, felt, n, beta)
table = {"|y|": n, "r": r, "r + b|y|": felt, "π_ref": q.exp()}
table |= {name: end.exp() for name, end in ends.items()}
pd.DataFrame({k: v.tolist() for k, v in table.items()}, texts).round(3)

# %% [markdown]
# Look at the last row, the long bad review. DPO and LN-DPO leave it nearly
# where the reference has it, paid for its length; R-DPO takes almost all of
# it away. SimPO and CPO make it more likely than the reference does, as they
# do not know that the reference hardly ever writes it.
#
# Are these the minima? Each loss is $-\log\sigma(z)$, and its mean over
# Bradley–Terry labels is least where $z$ *is* the difference of what the
# annotator feels. So give the optima to the library's losses, read
# $z = -\log(e^{L} - 1)$ from the loss, and compare.

# %%
plans = {
    "DPO": (dpo, dpo.Config(beta=beta)),
    "R-DPO": (length_dpo, length_dpo.Config(beta=beta, alpha=price)),
    "LN-DPO": (ln_dpo, ln_dpo.Config(beta=usual * beta)),
    "SimPO": (simpo, simpo.Config(beta=usual * beta, gamma=0.0)),
    "CPO": (cpo, cpo.Config(beta=beta, alpha=0.0)),
}
first, second = torch.cartesian_prod(torch.arange(4), torch.arange(4)).mT
mask, rest = torch.arange(4) < n[:, None], torch.zeros(4, 3).double()
old, found = torch.cat([q[:, None], rest], 1), []

# %%
for name, (module, cfg) in plans.items():
    now = torch.cat([ends[name][:, None], rest], 1)  # all in the first token
    fields = (side[k] for side in (now, old, mask) for k in (first, second))
    z = -module.loss(PairLogps(*fields), cfg).expm1().log()
    found.append(z)
by_hand = (felt[first] - felt[second]).expand(len(plans), -1).double()
assert torch.allclose(torch.stack(found), by_hand)

# %% [markdown]
# ## Over all responses, exactly
#
# First DPO alone, on all 4,681 reviews of each prompt. Move $b$, what
# annotators pay per token: the dashed lines are honest labels. How much gold
# does the same KL buy when length is paid, and when shortness is ($b < 0$)?
#
# Then all five optima, for every $\beta$.
# *Controlled gold* takes the lengths from the reference and the words from
# the policy, so it tells a better policy from a longer one.

# %%
length_explorer(world, ref, bonus=price, beta=beta)

# %%
sweep, betas = [], (0.3, 1.0, 3.0, 10.0, 30.0)
for one in betas:
    for name, end in optima(ref, felt_reward, tokens, one).items():
        row = length_control.facts(end, world, ref)
        sweep.append(row.assign(method=name, beta=one))
sweep = pd.concat(sweep)
free = sweep[sweep.beta == betas[-1]].set_index("method")
views.sweep(
    sweep, "beta", {"tokens": "length (tokens)", "kl": "KL(π‖π_ref) (nats)"},
    "method", log_x=True, x_label="β (reward units per nat)",
    exact={"tokens": usual, "kl": 0.0}, exact_label="reference",
    caption=f"At β = {betas[-1]:.0f} DPO is {free.kl['DPO']:.3f} nats from "
    f"the reference, R-DPO {free.kl['R-DPO']:.3f}, LN-DPO "
    f"{free.kl['LN-DPO']:.3f}, SimPO {free.kl['SimPO']:.2f} and CPO "
    f"{free.kl['CPO']:.2f}.",
)

# %% [markdown]
# At a large $\beta$ the reward is gone, and what is left is the reference
# that each loss has in mind. The lengths of LN-DPO run close to those of DPO.
# R-DPO holds the length of *honest labels*, which is not that of the
# reference: at a moderate $\beta$ it is a little shorter, for short reviews
# have fewer faults.
#
# ## Train
#
# All seeds of a loss are one batched model. The figure below shows the runs.


# %%
def train(module, cfg):
    return offline.fit(
        reference.copies(size.seeds), reference, pairs, module, cfg,
        steps=size.steps, seed=SEED, every=max(1, size.steps // 8),
        measures=(length_control.Tracker(world, ref),), batch_size=16,
    )


runs = {name: train(*plans[name]) for name in ("DPO", "R-DPO", "LN-DPO")}
curves = [run.metrics.assign(loss=name) for name, run in runs.items()]
curves = pd.concat(curves)
last = {name: run.last.set_index("seed") for name, run in runs.items()}
mean = pd.DataFrame({name: rows.mean() for name, rows in last.items()}).T

# %%
views.training_curves(
    curves, by="loss",
    columns={"tokens": "length (tokens)", "controlled": "controlled gold"},
    caption=f"From {usual:.2f} tokens DPO ends at {mean.tokens['DPO']:.2f}, "
    f"LN-DPO at {mean.tokens['LN-DPO']:.2f} and R-DPO at "
    f"{mean.tokens['R-DPO']:.2f}.",
)

# %% [markdown]
# ## Distance to the exact optimum
#
# The last column is what no training mends: where the labels lead a loss. The
# runs are short. DPO and LN-DPO are still on their way up, and R-DPO has gone
# past the length of its optimum and comes back slowly.

# %%
goals, rows = optima(ref, felt_reward, tokens, beta), {}
goal_facts = {k: length_control.facts(g, world, ref) for k, g in goals.items()}
for name, run in runs.items():
    logps = exact.response_logps(run.policy, world)
    left = solutions.kl(logps, goals[name]).mean().item()
    goal = goal_facts[name].tokens[0]
    rows[name] = left, mean.tokens[name], goal
columns = ["KL to its optimum", "length", "length of its optimum"]
pd.DataFrame(rows, columns).T.round(3)

# %% [markdown]
# ## Break it: the sign of the price
#
# Mistake (2) of R-DPO subtracts $\alpha(|y_c| - |y_r|)$. Everything runs, and
# the loss falls.

# %%
wrong = length_dpo.mistakes["2 bonus on length"]
wrong = SimpleNamespace(card=length_dpo.card, loss=wrong)
broken = train(wrong, plans["R-DPO"][1])
shown = curves[curves.loss != "LN-DPO"]
longest = broken.last.tokens.mean()
views.training_curves(
    pd.concat([shown, broken.metrics.assign(loss="R-DPO, wrong sign")]),
    {"tokens": "mean length (tokens)"}, by="loss",
    caption=f"With the wrong sign R-DPO ends at {longest:.2f} tokens, with "
    f"the right one at {mean.tokens['R-DPO']:.2f}; DPO without any price at "
    f"{mean.tokens['DPO']:.2f}.",
)

# %% [markdown]
# **Its signature.** A penalty on length that makes responses *longer* than no
# penalty does. One run of DPO beside it gives it away.
#
# ## Answers

# %%
at = {name: rows.tokens[0] for name, rows in goal_facts.items()}
to_dpo, to_honest = (abs(at["LN-DPO"] - at[k]) for k in ("DPO", "R-DPO"))
words = {k: rows.controlled[0] for k, rows in goal_facts.items()}
display(
    teach.reveal(
        "25-1", "nearer to those of DPO" if to_dpo < to_honest
        else "nearer to those of honest labels",
        f"they have {at['LN-DPO']:.2f} tokens, those of DPO {at['DPO']:.2f} "
        f"and those of honest labels {at['R-DPO']:.2f}.",
    ),
    teach.reveal(
        "25-2", "yes" if free.kl[["SimPO", "CPO"]].max() < 0.1 else "no",
        f"they end {free.kl['SimPO']:.2f} and {free.kl['CPO']:.2f} nats away "
        "from it: at references that nobody chose.",
    ),
    teach.reveal(
        "25-3", "no" if abs(words["DPO"] - words["R-DPO"]) < 1e-9 else "yes",
        "a price on tokens moves mass between lengths and none within: both "
        f"optima have a controlled gold of {words['DPO']:.3f}.",
    ),
)

# %% [markdown]
# ## Claims
#
# Each is judged over the seeds of the pairs, for this one reference model.

# %%
judge = partial(
    teach.claim, out=OUT or None, unit="tokens",
    setting=f"{size.pairs} pairs, {size.steps} steps, one reference model",
)
plain, priced, normed = (last[name] for name in runs)
judge(
    key="dpo-grows", effect=plain.tokens - usual, expected="positive",
    paper="Park et al. 2024 (2403.19159)",
    statement="Where length is paid, DPO's reviews grow.",
    meaning="DPO learns whatever the labels pay for.",
)
judge(
    key="rdpo-keeps", effect=priced.tokens - usual, expected=(-0.15, 0.15),
    paper="Park et al. 2024 (2403.19159)",
    statement="R-DPO keeps the length of the reference.",
    meaning="A price on tokens takes the bonus of the annotators back.",
)

# %%
good = {"expected": (-0.1, float("inf")), "unit": "reward units"}
judge(
    key="rdpo-quality", effect=priced.controlled - plain.controlled, **good,
    paper="Park et al. 2024 (2403.19159)",
    statement="R-DPO loses no controlled gold against DPO.",
    meaning="The shorter reviews are not worse ones.",
)
judge(
    key="ln-shorter", effect=plain.tokens - normed.tokens,
    expected="positive", paper="Lambert et al. 2024 (2411.15124)",
    statement="LN-DPO's reviews grow less than DPO's.",
    meaning="A mean over tokens protects from a bonus on length.",
)
judge(
    key="ln-quality", effect=normed.controlled - plain.controlled, **good,
    paper="Lambert et al. 2024 (2411.15124)",
    statement="LN-DPO loses no controlled gold against DPO.",
    meaning="A mean over tokens costs no quality.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("25-1")` gives a hint; a second call gives the next one.
#
# **25-1 · Read the figure** (●○○, 5 minutes). At the largest $\beta$ of the
# exact figure one loss writes the longest reviews although no reward is left.
# Which one? Answer "DPO", "R-DPO", "LN-DPO", "SimPO" or "CPO".

# %%
teach.answer("25-1", None)

# %% tags=["solution"]
teach.solution("25-1", free.tokens.idxmax())

# %% [markdown]
# **25-2 · A price by hand** (●○○, 5 minutes). Two reviews are equally good
# and equally likely under $\pi_{\text{ref}}$; one has two tokens more.
# Annotators pay $b = 1$ per token, and $\beta = 2$. How many times as likely
# is the longer one at the optimum of R-DPO with $\alpha = 0.5$?

# %%
teach.answer("25-2", None)

# %% tags=["solution"]
teach.solution("25-2", float(np.exp((1 - 0.5) * 2 / 2)))

# %% [markdown]
# **25-3 · Fill a line** (●●○, 10 minutes). This is DPO. Make it R-DPO with
# `longer` and `cfg.alpha`.


# %%
def my_length_dpo(batch, cfg):
    longer = batch.chosen_mask.sum(-1) - batch.rejected_mask.sum(-1)
    logit = cfg.beta * batch.margin() + 0 * longer
    return torch.nn.functional.softplus(-logit)


teach.check.length_dpo(my_length_dpo)


# %% tags=["solution"]
def priced_dpo(batch, cfg):
    longer = batch.chosen_mask.sum(-1) - batch.rejected_mask.sum(-1)
    logit = cfg.beta * batch.margin() + cfg.alpha * longer.double()
    return torch.nn.functional.softplus(-logit)


assert teach.check.length_dpo(priced_dpo).passed

# %% [markdown]
# **25-4 · Bug hunt** (●●○, 10 minutes). This is meant to be LN-DPO, and has
# one planted mistake. On pairs of equal length nobody would notice. Mend it
# until the check passes.


# %%
def suspect(batch, cfg):
    mean_margin = batch.margin() / batch.chosen_mask.sum(-1)
    return -torch.nn.functional.logsigmoid(cfg.beta * mean_margin)


teach.check.ln_dpo(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    sides = batch.chosen, batch.rejected
    chosen, rejected = (y.logratio() / y.mask.sum(-1) for y in sides)
    gap = chosen - rejected  # each by its own length
    return -torch.nn.functional.logsigmoid(cfg.beta * gap)


assert teach.check.ln_dpo(mended).passed

# %% [markdown]
# **25-5 · Words or tokens** (●●○, 15 minutes). Let annotators pay 1 for each
# *word*, while R-DPO still takes 1 for each *token*. What bonus or penalty is
# left for a review of four words, compared with one of three words?

# %%
teach.answer("25-5", None)

# %% tags=["solution"]
left_over = price * (world.n_words - tokens)
of_words = [float(left_over[world.n_words == k][0]) for k in range(5)]
teach.solution("25-5", of_words[4] - of_words[3])

# %% [markdown]
# **25-6 · Own experiment: a wrong price** (●●●, 20 minutes). Nobody tells you
# $b$. Take the optima of R-DPO for $\alpha$ from 0 to $2b$ with
# `solutions.optimal_policy` and measure them with `length_control.facts`.
# Which $\alpha$ has the most controlled gold? Answer "0", "b", "2b" or "all
# the same".

# %%
teach.answer("25-6", None)

# %% tags=["solution"]
tried = {}
for alpha in (0.0, 0.5 * price, price, 2 * price):
    unpaid = felt_reward - alpha * tokens
    priced_end = solutions.optimal_policy(ref, unpaid, beta)
    tried[alpha] = length_control.facts(priced_end, world, ref).iloc[0]
tried = pd.DataFrame(tried).T  # α decides about lengths, not about words
print(tried.round(3))
spread = tried.controlled.max() - tried.controlled.min()
teach.solution("25-6", "all the same" if spread < 1e-9 else "b")

# %% [markdown]
# ## Recap
#
# * DPO learns the bonus on length as a part of the reward.
# * R-DPO with the right price ends where DPO ends on honest labels.
# * A mean over tokens changes the unit of the reward and subtracts nothing.
# * Without a reference, SimPO and CPO have a hidden one: equally dear tokens,
#   equally likely responses.
# * Controlled gold tells a better policy from a longer one.
#
# Three questions to end with: call `teach.quiz("25")`. Your letters behind the
# number, as in `teach.quiz("25", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Park et al. 2024](https://arxiv.org/abs/2403.19159), *Disentangling length
#   from quality in direct preference optimization*: R-DPO.
# * [Lambert et al. 2024](https://arxiv.org/abs/2411.15124), *Tülu 3*: LN-DPO.
# * [Meng, Xia and Chen 2024](https://arxiv.org/abs/2405.14734), *SimPO*.
# * [Xu et al. 2024](https://arxiv.org/abs/2401.08417), *Contrastive preference
#   optimization*: CPO.
#
# Study [**25a**](25a_no_reference.ipynb) trains the losses without a
# reference, and [**25b**](25b_extra_tokens.ipynb) asks whether a discount on
# extra tokens helps. Next: [**26 · Displacement**](26_displacement.ipynb).
