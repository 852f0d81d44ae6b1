# ---
# jupyter:
#   workbench:
#     title: "29 · Tokens: from r to Q*"
#     part: offline
#     path: elective
#     needs: ["01", "20"]
#     minutes: 90
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 29 · Tokens: what is each word of a review worth?
#
# **The idea in one sentence.** A reward for whole responses already fixes
# what each *token* is worth, namely how much it changes the value of what can
# still come, and methods that look at tokens differ in whose value they take.
#
# After this lesson you can
#
# * compute the value of a prefix and the worth of each token by hand;
# * say what the reward of a token shows and what it does not;
# * tell the optimum from the one-step-greedy policy, and prove which of them
#   token-level DPO (TDPO) learns;
# * choose labels of single words by the policy that they lead to.
#
# *Needs*: lessons 01 (the exact optimum) and 20 (implicit rewards). About
# 90 minutes. Unknown words stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.feedback.as_text import as_text
from workbench.feedback.kinds import distribution_pairs, step_pairs
from workbench.lesson import *
from workbench.measure import token_advantages, token_credit
from workbench.methods.direct.links import dpo
from workbench.methods.direct.tokens import step_dpo, tdpo1
from workbench.methods.values import soft_backup
from workbench.views.instruments import token_microscope, token_state
from workbench.views.rewards import token_heat

size = sizes(
    PROFILE, seeds=(2, SEEDS, 10), steps=(2, 100, 1000), pairs=(64, 2000, 9000)
)
beta, world = 0.3, Reviews(3)
tree, gold = world.tree, world.gold
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %% [markdown]
# ## The question
#
# An annotator compares whole reviews. Nobody says which *word* made one of
# them better. Yet after DPO every word has an implicit reward of its own,
# $\rho(s,a) = \beta\log\frac{\pi(a|s)}{\pi_{\text{ref}}(a|s)}$, where $s$ is
# the prompt with the words before, and $a$ is the word. Over a review the
# $\rho$ of its words add up to its implicit reward (lesson 20).

# %%
display(
    teach.predict(
        "29-1",
        "In “good and fun” replace “fun” by “dull”. Whose ρ can change?",
        ["all words", "the last word and the end only"],
    ),
    teach.predict(
        "29-2",
        "Exactly, is “fun” worth more after “good and” or after “dull and”?",
        ["after good and", "after dull and", "the same"],
    ),
    teach.predict(
        "29-3",
        "TDPO adds to the implicit reward of a response the KL along its "
        "way. Does it end nearer to the optimum π*, or to a policy that "
        "chooses each word as if the reference wrote the rest?",
        ["the optimum", "the other policy"],
    ),
)
views.pipeline(here="dpo")

# %% [markdown]
# ## Three data points
#
# Pairs of whole reviews with Bradley–Terry labels, as in lesson 20.

# %%
block = range(SEED, SEED + size.seeds)
how = world, ref, size.pairs, Annotator()
parts = [sample_pairs(*how, generator(k, "pairs")) for k in block]
pairs = Pairs.cat(parts)
as_text(pairs[torch.arange(3)], world)

# %% [markdown]
# ## The objective, word by word
#
# We maximise $\mathbb{E}_\pi[r] - \beta\,\text{KL}(\pi\Vert\pi_{\text{ref}})$
# as in lesson 01, but one word at a time, from the last word to the first.
#
# 1. A prefix is a *state* $s$, a next word an *action* $a$, and $s\cdot a$
#    the prefix with the word appended. The reward is paid at the end.
# 2. $V^*(s)$ is the most that can still be had from $s$: reward minus
#    $\beta$ times the KL still to be spent. At the end of a review
#    $V^*(y) = r(y)$.
# 3. $Q^*(s,a) = V^*(s\cdot a)$ is the same once $a$ has been chosen.
# 4. To choose $a$ at $s$ is lesson 01 with $Q^*$ in the place of the reward:
#    $\pi^*(a|s) = \pi_{\text{ref}}(a|s)\,e^{(Q^*(s,a) - V^*(s))/\beta}$.
# 5. The normaliser is the value of the state, a soft maximum:
#    $V^*(s) = \beta\log\sum_a\pi_{\text{ref}}(a|s)\,e^{Q^*(s,a)/\beta}$.
# 6. Solve line 4 for the exponent:
#    $\rho^*(s,a) = \beta\log\frac{\pi^*(a|s)}{\pi_{\text{ref}}(a|s)}
#    = V^*(s\cdot a) - V^*(s)$.
#
# Line 6 is the lesson. **The worth of a word is a difference of values.**
# Along a review the values of neighbours cancel, and the $\rho^*$ of its
# words add up to $r(y) - V^*(x)$, where $V^*(x) = \beta\log Z$ is the value of
# the empty prefix.

# %%
teach.show(soft_backup.backup)

# %% [markdown]
# ## By hand, on four reviews
#
# Two of the four begin with `not`. We go from the right to the left: first
# the value of `not`, then that of the empty prefix.

# %%
texts = ["good", "bad", "not good", "not bad"]
four = [world.index(text) for text in texts]
q, r = ref[0, four].softmax(-1), gold[0, four]
p_not = q[2:].sum()
after_not = q[2:] / p_not  # the reference after the word "not"
V_not = beta * (after_not * (r[2:] / beta).exp()).sum().log()
Q = torch.stack([r[0], r[1], V_not])  # of good, bad and not
first = torch.stack([q[0], q[1], p_not])
V = beta * (first * (Q / beta).exp()).sum().log()
say(f"The value of `not` is {V_not:.3f}, of the empty prefix {V:.3f}.")

# %%
word_1 = (Q - V)[[0, 1, 2, 2]]
word_2 = torch.cat([torch.zeros(2), r[2:] - V_not])
hand = {"π_ref": q, "r": r, "ρ* of word 1": word_1, "ρ* of word 2": word_2}
hand |= {"sum": word_1 + word_2, "r − V*": r - V}
hand["π*"] = q * ((r - V) / beta).exp()
library = solutions.optimal_policy(q.log()[None], r[None], beta)[0]
assert torch.allclose(hand["π*"], library.exp())
pd.DataFrame({k: v.tolist() for k, v in hand.items()}, texts).round(3)

# %% [markdown]
# Look at the word `not`. No reward is ever paid there. Its $\rho^*$ is below
# zero because of what it leads to: whoever may choose the next word gets
# `not bad`, which is fair, but `good` would have been better. So $\rho$ says
# where the *value* changes, not where reward is paid.
#
# ## By hand: the other policy, and a fair game
#
# Let $V^{\text{ref}}(s)$ be the mean reward of what *the reference* writes
# after $s$. The **greedy** policy puts it in the place of $V^*$:
# $\pi(a|s) \propto \pi_{\text{ref}}(a|s)\,e^{V^{\text{ref}}(s\cdot a)/\beta}$.
# It chooses each word as if the reference wrote the rest. $\pi^*$ knows that
# it will write the rest itself.
#
# TDPO scores a review by $\beta\,(d(y) + K(y))$, where $d$ is the log-ratio
# and $K(y) = \sum_t \text{KL}(\pi_{\text{ref}}(\cdot|s_t) \Vert
# \pi(\cdot|s_t))$. Then
#
# 1. In every state the mean of $\log\frac{\pi}{\pi_{\text{ref}}}(a|s)$ under
#    the reference is $-\text{KL}(\pi_{\text{ref}}\Vert\pi)$.
# 2. So each step of the score has the mean 0 under the reference. The score
#    is a fair game, a *martingale*, whatever $\pi$ is.
# 3. The labels ask that the score be $r(y)$ plus a constant at the end.
# 4. In a fair game the score at $s$ is the mean of its end. So at $s$ it is
#    $V^{\text{ref}}(s) - V^{\text{ref}}(x)$: there is only one such game.
# 5. Its steps are $V^{\text{ref}}(s\cdot a) - V^{\text{ref}}(s)$, and the
#    policy with these steps is the greedy one, **not** $\pi^*$.
#
# The cell checks line 5: for the greedy policy the score of each of the four
# reviews is $r - V^{\text{ref}}(x)$.

# %%
mean_not, mean_all = after_not @ r[2:], q @ r  # V^ref of "not", and of all
goal = torch.stack([r[0], r[1], mean_not])
greedy_1 = (first.log() + goal / beta).log_softmax(-1)
greedy_2 = (after_not.log() + r[2:] / beta).log_softmax(-1)
gain_1 = greedy_1 - first.log()
step_1 = gain_1 - first @ gain_1
gain_2 = greedy_2 - after_not.log()
step_2 = gain_2 - after_not @ gain_2  # log-ratio plus KL
score = beta * torch.cat([step_1[:2], step_1[2] + step_2])
assert torch.allclose(score, r - mean_all)
game = torch.stack([score, r - mean_all], -1).numpy().round(3)
pd.DataFrame(game, texts, ["score at greedy", "r − V^ref"])

# %% [markdown]
# In study 29a the same is checked on all 585 reviews of each prompt.
#
# ## Train
#
# DPO first. It sees whole reviews only. The trackers measure the distance to
# both policies, and how well $\rho$ follows the exact $\rho^*$ over all
# prefixes, by the number of words before (*depth*).

# %%
held = world.draw(ref, 400, generator(SEED, "held out"))
credit = token_credit.CreditTracker(world, reference, held, beta)
measures = exact.Tracker(world, ref, gold=gold, beta=beta), credit


def train(method, cfg, data):
    return offline.fit(
        reference.copies(size.seeds), reference, data, method, cfg,
        steps=size.steps, seed=SEED, measures=measures,
        every=max(1, size.steps // 4),
    )


runs = {"DPO": train(dpo, dpo.Config(beta), pairs)}

# %% [markdown]
# ## One corrupted word
#
# Back to your predictions: four reviews, the learned $\rho$ of each word on
# the left and the exact one on the right, as means over prompts and seeds.

# %%
said = ["good and fun", "good and dull", "dull and fun", "good but fun"]
shown = torch.tensor([world.index(text) for text in said] * 4)
film = torch.arange(4).repeat_interleave(4)
on = runs["DPO"].policy, reference, world, film, shown
cells = token_advantages.beside_advantage(*on, beta=beta)
cells["review"] = [said[row % 4] for row in cells.row]
keys, both = ["review", "seed"], ["reward", "advantage"]
third = cells[cells.position == 2].groupby(keys)[both].mean()
mean = third.groupby("review").mean()
fall = third.reward["good and dull"] - third.reward["good and fun"]

# %%
truth = cells.assign(reward=cells.advantage)
heats = {"DPO": token_heat(cells, "review")}
heats["Exact"] = token_heat(truth, "review")
charts = [views.Chart(k, "position", "", [h]) for k, h in heats.items()]
views.Fig(
    views.Panels(charts, height=3.2),
    f"Where dull replaces fun the third word changes by {fall.mean():+.2f}; "
    f"“fun” has {mean.reward['good and fun']:+.2f} after “good and” and "
    f"{mean.reward['dull and fun']:+.2f} after “dull and” (exact: "
    f"{mean.advantage['good and fun']:+.2f} and "
    f"{mean.advantage['dull and fun']:+.2f}).",
    cells,
)

# %% [markdown]
# Words before the corrupted one keep their $\rho$ to the last digit: a word
# is written before the rest is known. Words *after* it change in the exact
# picture, since the value that they start from has changed: after `dull and`
# little can be won or lost by `fun`. Look whether the network has learned
# that, or whether a word has the same worth for it wherever it stands. In a
# live notebook the next picture shows other pairs.

# %%
learned = exact.response_logps(runs["DPO"].policy, world)[0]
policies = ref, ref, learned
how = {"reward": gold, "beta": beta, "limit": 8}
token_microscope(token_state.token_frame(world, pairs, *policies, **how))

# %% [markdown]
# ## Whose value labels the words?
#
# * **TDPO**, on the same pairs, with $K$.
# * **Step-DPO** compares two next words after one prefix. Its minimiser is
#   $\pi(a|s) \propto \pi_{\text{ref}}(a|s)\,e^{V(s\cdot a)/\beta}$, with the
#   $V$ that stands behind the labels. If the labels come from what the
#   reference writes afterwards, as in the paper, this is $V^{\text{ref}}$ and
#   the greedy policy. With $V^*$ it is $\pi^*$.

# %%
whole = distribution_pairs.DistributionPairs(pairs)
runs["TDPO"] = train(tdpo1, tdpo1.Config(beta), whole)
was = tree.conditionals(ref)
labels = {"Step-DPO, V^ref": soft_backup.linear(tree, was, gold).Q}
labels["Step-DPO, V*"] = soft_backup.backup(tree, was, gold, beta).Q
for name, table in labels.items():
    how = world, ref, table, size.pairs, Annotator()
    draw = partial(step_pairs.sample_steps, *how)
    parts = [draw(generator(k, "steps")) for k in block]
    steps = step_pairs.StepPairs.cat(parts)
    runs[name] = train(step_dpo, step_dpo.Config(beta), steps)
ends = {k: run.last.set_index("seed") for k, run in runs.items()}

# %%
curves = [run.metrics.assign(method=k) for k, run in runs.items()]
near = pd.concat(ends).groupby(level=0, sort=False).mean()
nearer = near.kl_to_greedy < near.kl_to_optimum
distances = {"kl_to_optimum": "KL(π‖π*) (nats)"}
distances["kl_to_greedy"] = "KL(π‖greedy) (nats)"
views.training_curves(
    pd.concat(curves), distances, by="method",
    caption="Nearer to the greedy policy than to π* end: "
    f"{', '.join(nearer.index[nearer]) or 'none'}.",
)

# %% [markdown]
# ## Distance to the exact optimum
#
# `rank` is the rank correlation of $\rho$ and $\rho^*$ over the words of 400
# held-out reviews. The minimiser of DPO is $\pi^*$, but these few steps do
# not carry it there, and on its way it may be nearer to the greedy policy. So
# compare TDPO with DPO, and look at who goes on towards which.

# %%
near[["gold", "kl", "kl_to_optimum", "kl_to_greedy", "rank"]].round(2)

# %% [markdown]
# ## Break it: a word followed by an end token
#
# Mistake (2) of Step-DPO counts everything from the compared word on. Our
# words are stored as reviews that end right after them, so the end token
# that follows a good word is pushed up with it.

# %%
wrong = step_dpo.mistakes["2 everything from the step on counted"]
wrong = SimpleNamespace(card=step_dpo.card, loss=wrong)
broken = train(wrong, step_dpo.Config(beta), steps)
both = {"one word": runs["Step-DPO, V*"], "end counted": broken}
both = pd.concat([run.metrics.assign(counts=k) for k, run in both.items()])
ended = both[both.step == size.steps].groupby("counts").length.mean()
views.training_curves(
    both, by="counts",
    columns={"length": "words per review", "kl_to_optimum": "KL(π‖π*) (nats)"},
    caption="With the end token counted the policy writes "
    f"{ended['end counted']:.2f} words, without it {ended['one word']:.2f}.",
)

# %% [markdown]
# **Its signature.** The reviews get short: the loss teaches to stop.
#
# ## Answers and claims

# %%
changed = cells.pivot_table("reward", "position", "review")
before = (changed[said[0]] - changed[said[1]]).loc[:1].abs().max()
fun = [mean.advantage[f"{word} and fun"] for word in ("good", "dull")]
which = ["after good and", "after dull and"][int(fun[1] > fun[0])]
display(
    teach.reveal(
        "29-1",
        "all words" if before > 1e-6 else "the last word and the end only",
        f"the first two words change by {before:.3f}: they are "
        "written before the third is known.",
    ),
    teach.reveal(
        "29-2", "the same" if abs(fun[0] - fun[1]) < 0.005 else which,
        f"it is {fun[0]:+.2f} after good and {fun[1]:+.2f} after dull. The "
        "worth of a word is a difference of values, so it depends on what "
        "was to be expected without it.",
    ),
    teach.reveal(
        "29-3", ["the optimum", "the other policy"][int(nearer["TDPO"])],
        f"it ends {near.kl_to_optimum['TDPO']:.2f} nats from the optimum and "
        f"{near.kl_to_greedy['TDPO']:.2f} from the greedy policy, as the fair "
        "game says.",
    ),
)

# %%
where = f"{size.pairs} pairs, {size.steps} steps, β = {beta}, one reference"
how = {"setting": where, "out": OUT or None, "expected": "positive"}
judge = partial(teach.claim, **how)
trail = runs["DPO"].metrics.pivot_table("rank", "seed", "step")
r_to_q = "Rafailov et al. 2024 (2404.12358)"
judge(
    key="rtoq-credit", paper=r_to_q, unit="rank correlation",
    effect=trail.iloc[:, -1] - trail.iloc[:, 1],
    statement="Along the training of DPO ρ comes to follow ρ*.",
    meaning="Labels of whole reviews teach the worth of words.",
)
judge(
    key="rtoq-corrupt", paper=r_to_q, effect=fall, expected="negative",
    statement="ρ falls at the corrupted word (dull for fun).",
    meaning="A trained policy points at the wrong word.", unit="reward units",
)

# %%
lean = {k: end.kl_to_optimum - end.kl_to_greedy for k, end in ends.items()}
gain = ends["Step-DPO, V^ref"].gold - ends["DPO"].gold
judge(
    key="tdpo-greedy", paper="ours", effect=lean["TDPO"] - lean["DPO"],
    statement="TDPO leans to the greedy policy, away from π*, more than DPO.",
    meaning="The KL along the way changes the optimum.", unit="nats",
)
judge(
    key="step-gold", paper="Lai et al. 2024 (2406.18629)", effect=gain,
    statement="With as many labels Step-DPO has more gold than DPO.",
    meaning="A label of a word is worth more.", unit="reward units",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("29-1")` gives a hint; a second call gives the next one.
#
# **29-1 · Read the table** (●○○, 5 minutes). In the table by hand, which
# word of `not bad` has the larger $\rho^*$, "not" or "bad"?

# %%
teach.answer("29-1", None)

# %% tags=["solution"]
teach.solution("29-1", "not" if word_1[3] > word_2[3] else "bad")

# %% [markdown]
# **29-2 · A value by hand** (●○○, 10 minutes). After a prefix the reference
# ends with a review of reward 2 or with one of reward 0, each with
# probability ½. $\beta = 1$. What is $V^*$ of the prefix?

# %%
teach.answer("29-2", None)

# %% tags=["solution"]
teach.solution("29-2", np.log((np.exp(2) + np.exp(0)) / 2))

# %% [markdown]
# **29-3 · Fill the lines** (●●○, 10 minutes). Write Step-DPO: sum the
# log-ratio of each side over the tokens of the step alone. The step is where
# `batch.chosen_mask & batch.chosen_step` holds, and the same for `rejected`.


# %%
def my_step_dpo(batch, cfg):
    return dpo.loss(batch, cfg)  # the sum runs over whole responses


teach.check.step_dpo(my_step_dpo)


# %% tags=["solution"]
def right_step_dpo(batch, cfg):
    better = batch.policy_chosen - batch.ref_chosen.detach()
    worse = batch.policy_rejected - batch.ref_rejected.detach()
    counted = batch.chosen_mask & batch.chosen_step
    better = torch.where(counted, better, 0.0).sum(-1)
    counted = batch.rejected_mask & batch.rejected_step
    worse = torch.where(counted, worse, 0.0).sum(-1)
    return dpo.link(better - worse, cfg)


assert teach.check.step_dpo(right_step_dpo).passed

# %% [markdown]
# **29-4 · Bug hunt** (●●○, 10 minutes). This TDPO ends near $\pi^*$ and not
# near the greedy policy, and its $K$ is larger than that of DPO. One sign is
# wrong. Mend it.


# %%
def suspect(batch, cfg):
    chosen, rejected = tdpo1.kls(batch)
    return dpo.link(batch.margin() - chosen + rejected, cfg)


teach.check.tdpo1(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    chosen, rejected = tdpo1.kls(batch)
    return dpo.link(batch.margin() + chosen - rejected, cfg)


assert teach.check.tdpo1(mended).passed

# %% [markdown]
# **29-5 · When does it matter?** (●●●, 20 minutes). Compute
# $\text{KL}(\pi^*\Vert\text{greedy})$, the mean over prompts, for $\beta$ of
# 0.1, 0.3, 1 and 3. Predict first where the two policies agree. Answer with
# the value at $\beta = 1$.

# %%
teach.answer("29-5", None)

# %% tags=["solution"]
gaps = {}
for price in (0.1, 0.3, 1.0, 3.0):
    optimum = solutions.optimal_policy(ref, gold, price)
    other = token_credit.greedy_policy(world, ref, price)
    gaps[price] = solutions.kl(optimum, other).mean().item()
print({price: round(gap, 4) for price, gap in gaps.items()})
teach.solution("29-5", gaps[1.0])

# %% [markdown]
# ## Recap
#
# * $V^*(s)$ is the most that can still be had from a prefix, a soft maximum
#   over the next words, computed from the end to the beginning.
# * The worth of a word is $\rho^*(s,a) = V^*(s\cdot a) - V^*(s)$. It says
#   where the value changes, not where reward is paid.
# * DPO learns it from whole reviews.
# * The score of TDPO is a fair game under the reference, so TDPO learns the
#   greedy policy and not $\pi^*$.
# * Labels of single words lead to the policy whose values made them.
#
# Three questions to end with: call `teach.quiz("29")`. Your letters behind the
# number, as in `teach.quiz("29", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Rafailov et al. 2024](https://arxiv.org/abs/2404.12358), *From r to Q\**.
# * [Zeng et al. 2024](https://arxiv.org/abs/2404.11999), *Token-level direct
#   preference optimization*.
# * [Lai et al. 2024](https://arxiv.org/abs/2406.18629), *Step-DPO*.
#
# Study [**29a**](29a_token_rewards.ipynb) tries token rewards from outside,
# beam search and rounds of labels; study [**29b**](29b_scoped_wishes.ipynb)
# asks how far a wish for one prompt leaks to the others. Next: [**30 · Policy
# gradients**](30_policy_gradients.ipynb). The policy writes its own data.
