# ---
# jupyter:
#   workbench:
#     title: "27 · Overoptimisation without a reward model"
#     part: offline
#     path: elective
#     needs: ["11", "20", "21"]
#     minutes: 90
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 27 · Overoptimisation: can it happen without a reward model?
#
# **The idea in one sentence.** Train a policy by direct preference
# optimisation (DPO) many times over the same few pairs, and the gold reward
# first rises and then falls while the training loss falls all the way,
# because the policy itself is the reward model that is overoptimised.
#
# After this lesson you can
#
# * show on four responses which labels make gold turn over, and when;
# * find the reward model inside a policy, and its covariance with gold;
# * tell a fall of gold from a lucky maximum;
# * say what a term of supervised fine-tuning (SFT) does to the fall.
#
# *Needs*: lessons 11 (why gold turns over), 20 (DPO) and 21 (IPO). About
# 90 minutes. Unknown words stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 10
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.feedback.as_text import as_text
from workbench.feedback.kinds.pairs import PairLogps
from workbench.lesson import *
from workbench.measure import direct_alignment_fit, implicit_reward
from workbench.methods.direct.links import dpo, ipo
from workbench.methods.direct.pessimism import rpo
from workbench.views.instruments import peak_explorer, stop_explorer

size = sizes(PROFILE, seeds=(2, SEEDS, 16), steps=(4, 160, 600))
n_pairs, flip, beta = 100, 0.3, 0.1
world = Reviews(3)
gold = world.gold
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %% [markdown]
# ## The question
#
# In lesson 11 a reward model was optimised too hard: its score rose, and the
# gold reward rose, peaked and fell. DPO has no reward model, so there is
# nothing to exploit. Or is there?
#
# You get a hundred pairs. Three labels in ten were recorded the wrong way
# round. You train DPO on them for 160 steps of 16 pairs, so that every pair
# is read about 25 times. Predict before you read on.

# %%
display(
    teach.predict(
        "27-1",
        "What does the gold reward of the policy do during the training?",
        ["rises to the end", "rises, then falls", "falls from the start"],
    ),
    teach.predict(
        "27-2",
        "And the training loss, from the step where gold is highest to the "
        "end?",
        ["falls", "does not fall"],
    ),
    teach.predict(
        "27-3",
        "You add a term that raises the likelihood of the chosen responses, "
        "as in SFT. After its peak, does gold fall more or less than with "
        "DPO?",
        ["less", "more"],
    ),
)
views.pipeline(here="dpo")

# %% [markdown]
# ## Three data points
#
# Two reviews are drawn from $\pi_{\text{ref}}$, a Bradley–Terry annotator
# compares them, and with probability 0.3 the label is recorded the wrong way
# round. A negative gap means that the worse review is called better.

# %%
judges = Annotator(flip=flip)
draws = [generator(SEED + i, "pairs") for i in range(size.seeds)]
parts = [sample_pairs(world, ref, n_pairs, judges, draw) for draw in draws]
pairs = Pairs.cat(parts)
three = as_text(pairs[torch.arange(3)], world)
better, worse = pairs.chosen, pairs.rejected
gap = gold[better.prompt, better.response] - gold[worse.prompt, worse.response]
display(three.assign(gap=gap[:3].tolist()).round(2))
say(f"In {(gap < 0).double().mean():.0%} of all pairs the gap is negative.")

# %% [markdown]
# ## The objective, step by step
#
# 1. DPO fits $D = \log\frac{\pi(y_c)}{\pi_{\text{ref}}(y_c)} -
#    \log\frac{\pi(y_r)}{\pi_{\text{ref}}(y_r)}$ by the loss
#    $-\log\sigma(\beta D)$.
# 2. With the implicit reward $\hat r = \beta\log(\pi/\pi_{\text{ref}})$ this
#    is $-\log\sigma(\hat r(y_c) - \hat r(y_r))$: the loss of a reward model
#    (lesson 10), fitted to these pairs.
# 3. Solve the definition of $\hat r$ for the policy:
#    $\pi = \pi_{\text{ref}}\,e^{\hat r/\beta}$. This is the exact optimum of
#    $\hat r$ (lesson 01, with $Z = 1$).
# 4. So every policy is the perfect optimiser of its own implicit reward. Who
#    fits $\pi$ to pairs fits a proxy $\hat r$ and optimises it at once.
# 5. Lesson 11: let a fixed proxy be optimised harder, $\pi_\eta \propto
#    \pi_{\text{ref}}\,e^{\eta\hat r}$. Gold $g$ then moves by
#    $\frac{d}{d\eta}E_{\pi_\eta}[g] = \text{Cov}_{\pi_\eta}(g, \hat r)$.
#
# Gold falls where gold and the implicit reward disagree *under the policy of
# that moment*, exactly as with a separate reward model. What differs is that
# $\hat r$ itself changes during training. By hand we shall see how.

# %%
display(teach.show(dpo.link), teach.show(dpo.weight))

# %% [markdown]
# ## By hand, on four reviews
#
# There are nine labels. Against `dull`, each of two good reviews won three
# times out of four. And once there was a slip of the pen: `not fun` beat
# `very good`, and nobody ever compared these two again.
#
# The policy is a table of four logits $z$. In a difference of two
# log-probabilities the normaliser of the softmax cancels, so
# $D = (z_c - z_r) - (q_c - q_r)$, where $q$ is $\log\pi_{\text{ref}}$. The
# gradient step raises $z_c$ and lowers $z_r$, both by
# $\beta\,\sigma(-\beta D)$ times the share of the label.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = [world.index(text) for text in texts]
q, worth = ref[0, four].log_softmax(-1).numpy(), gold[0, four].numpy()
winner, loser = np.array([1, 2, 0, 2, 3]), np.array([2, 1, 2, 0, 1])
times, price = np.array([3, 1, 3, 1, 1]), 0.5  # price is β


def pushes(z):
    D = (z[winner] - z[loser]) - (q[winner] - q[loser])
    push = times / 9 * price / (1 + np.exp(price * D))
    return np.bincount(winner, push, 4) - np.bincount(loser, push, 4)


# %%
def walk(move):
    logits = [q]
    for _ in range(1000):
        logits.append(logits[-1] + move(logits[-1]))
    return np.array(logits)


z = walk(pushes)
probability = np.exp(z) / np.exp(z).sum(1, keepdims=True)
gold_by_hand = probability @ worth

# %%
D = (z[:, winner] - z[:, loser]) - (q[winner] - q[loser])
loss = np.log1p(np.exp(-price * D)) @ times / 9
table = pd.DataFrame(probability, columns=texts)
table["D of very good ≻ dull"], table["D of the slip"] = D[:, 0], D[:, 4]
table["loss"], table["gold"] = loss, gold_by_hand
say(f"The gold of the four is {', '.join(f'{x:+.2f}' for x in worth)}.")
table.loc[[0, 3, 10, 30, 100, 300, 1000]].round(3)

# %%
# The same walk with the gradient of the library's loss.
def library(z):
    logits = torch.tensor(z, requires_grad=True)
    now, real = logits.log_softmax(-1)[:, None], torch.ones(5, 1).bool()
    old = torch.tensor(q)[:, None]
    sides = now[winner], now[loser], old[winner], old[loser]
    each = dpo.loss(PairLogps(*sides, real, real), dpo.Config(beta=price))
    total = (torch.tensor(times / 9) * each).sum()
    return -torch.autograd.grad(total, logits)[0].numpy()


assert np.allclose(walk(library), z)

# %% [markdown]
# Read the table from the top. First the labels about `dull` act, and
# gold rises. These pairs are *contested*: three labels pull one way and one
# the other, and at $\sigma(\beta D) = 3/4$ they balance. The push is gone.
# The slip is contested by nobody. Nothing stops its $D$, which grows for
# ever, if slowly, and in the end nearly everything is `not fun`. The loss
# fell at every step.
#
# So the order of events is: first what many labels agree on, then what single
# labels happen to say. The turn of gold lies between the two.
#
# ## Train
#
# All seeds at once, each with pairs of its own. The settings were chosen on
# other seeds.

# %%
margins = implicit_reward.PairTracker(
    pairs, pairs.reference_logps(reference), beta=1.0
)
measures = exact.Tracker(world, ref, gold=gold), margins


def train(method, cfg):
    return offline.fit(
        reference.copies(size.seeds), reference, pairs, method, cfg,
        steps=size.steps, lr=3e-3, batch_size=16, seed=SEED,
        measures=measures, every=max(1, size.steps // 16),
    )


run = train(dpo, dpo.Config(beta=beta))
curves = run.metrics.assign(proxy=beta * run.metrics.margin)

# %% [markdown]
# ## The hump
#
# Every thin line is one run, drawn against its own KL; the bold lines are
# their medians. The *proxy* is what the loss can see: the margin of the
# implicit reward, $\beta D$, over the training pairs. No policy lies above
# the dashed frontier of lesson 01.
#
# In the second picture, stop the training where you like, or press play. What
# does stopping early give? And does the loss show where to stop?

# %%
mean = curves.groupby("step").mean()
top, end = mean.gold.idxmax(), mean.index[-1]
best = solutions.frontier(ref, gold, gold, np.geomspace(20, 0.02, 60))
views.overoptimisation(
    curves, exact=best[best.kl < curves.kl.max()],
    title="DPO: the proxy rises, gold does not",
    caption=f"Mean gold is highest at step {top}, with {mean.gold[top]:.2f}; "
    f"at step {end} it is {mean.gold[end]:.2f}, while the proxy has risen "
    f"from {mean.proxy[top]:.2f} to {mean.proxy[end]:.2f}.",
)

# %%
warned = curves[curves.step > 0].groupby("step").loss.mean()
at_top = warned[warned.index >= top].iloc[0]
stop_explorer(curves, best[best.kl < curves.kl.max()])

# %% [markdown]
# ## A fall, and how not to be fooled
#
# The highest of many noisy values lies above the last one even where nothing
# falls: choose the maximum, and you choose a lucky moment. So let the *other*
# seeds choose the step of the peak. Then read this seed there, and subtract
# its gold at the end. Without a fall this number is zero on average.

# %%
fall = direct_alignment_fit.later_fall(curves)
lucky = curves.groupby("seed").gold.agg(lambda g: g.max() - g.iloc[-1])
both = pd.DataFrame({"own maximum": lucky, "others choose": fall})
display(both.round(2).T.assign(mean=both.mean().round(2)))

# %% [markdown]
# ## The reward model inside
#
# Take the trained policy of one seed and read its implicit reward off all
# 585 reviews of each prompt. It is a proxy like those of lesson 11. Optimise
# it lightly, at a large $\beta$, or hard, at a small one. At the $\beta$ of
# the training (the dashed line) the optimum *is* the trained policy. In a
# live notebook a slider moves the line.

# %%
worst = int(fall.to_numpy().argmax())
trained = exact.response_logps(run.policy, world)[worst]
inside = beta * (trained - ref)
again = solutions.optimal_policy(ref, inside, beta)
assert torch.allclose(again, trained, atol=1e-6)
peak_explorer(world, ref, inside, beta=beta)

# %% [markdown]
# The bars are the reviews that this policy likes best, with their gold. Where
# the covariance is below zero, whoever had optimised this same implicit
# reward less hard would have more gold. That is lesson 11 once more.
#
# ## Two remedies
#
# * **IPO** (identity preference optimisation, lesson 21) asks each pair for
#   $D = 1/(2\tau)$ and no more, so an uncontested slip cannot grow for ever.
# * **RPO** (regularised preference optimisation) adds an SFT term,
#   $-\eta\,\log\pi(y_c)/|y_c|$: the chosen response is imitated as well, and
#   the policy cannot leave the data.

# %%
display(teach.show(rpo.anchor))
average = rpo.Config(beta, eta=0.2, reduce="mean", times_beta=False)
others = {"IPO": (ipo, ipo.Config(tau=beta)), "RPO": (rpo, average)}
runs = {"DPO": curves}
runs |= {name: train(*how).metrics for name, how in others.items()}
falls = pd.DataFrame(
    {k: direct_alignment_fit.later_fall(one) for k, one in runs.items()}
)

# %%
joined = pd.concat([one.assign(loss_is=k) for k, one in runs.items()])
tops = joined.groupby(["loss_is", "step"]).gold.mean().groupby("loss_is").max()
views.training_curves(
    joined, {"gold": "gold (reward units)"}, title="Three losses",
    by="loss_is", spread="interval",
    caption="From its peak to the end gold falls by "
    + ", ".join(f"{falls[k].mean():.2f} ({k})" for k in runs)
    + "; the highest mean gold is "
    + ", ".join(f"{tops[k]:+.2f} ({k})" for k in runs) + ".",
)

# %% [markdown]
# ## Distance to the exact optimum
#
# The frontier gap is the gold that the best policy of the same KL would have
# more. It holds the cost of few and wrong labels together with the cost of
# staying too long. Falling little is no merit by itself: $\pi_{\text{ref}}$
# does not fall at all. So read each fall beside its peak.
#
# IPO falls as well. Its target stops each pair, but three labels in ten are
# wrong, and each of them is followed up to its target.

# %%
ends = joined[joined.step == size.steps].groupby("loss_is", sort=False)
ends = ends[["gold", "kl", "chosen", "frontier_gap"]].mean()
ends.insert(0, "peak", tops)
ends.assign(fall=falls.mean()).round(2)

# %% [markdown]
# ## Break it: the sign of the SFT term
#
# Mistake (4) of RPO adds $+\eta\log\pi(y_c)/|y_c|$. It is a single character.
# To punish what the data praise has a name, *optimism*: whatever the data do
# not contain is promised to be better.

# %%
wrong = SimpleNamespace(card=rpo.card, loss=rpo.mistakes["4 wrong sign"])
broken = train(wrong, average).metrics
signs = {"RPO": runs["RPO"], "wrong sign": broken}
signs = pd.concat([one.assign(sign=k) for k, one in signs.items()])
ended = signs[signs.step == size.steps].groupby("sign").mean()
views.training_curves(
    signs, by="sign", zero=True,
    columns={"chosen": "log π/π_ref of the chosen (nats)"},
    caption="The chosen responses end at "
    f"{ended.chosen['RPO']:+.1f} nats with RPO and at "
    f"{ended.chosen['wrong sign']:+.1f} with the wrong sign; gold at "
    f"{ended.gold['RPO']:.2f} and {ended.gold['wrong sign']:.2f}.",
)

# %% [markdown]
# **Its signature.** The chosen responses become less likely from the first
# step on, without end, although the loss calls them better. Nothing in fixed
# data ever contradicts a promise about responses that the data do not hold.
#
# ## Answers and claims
#
# The claims were made for models of billions of parameters, trained for one
# or a few passes. Here the model is tiny and the pairs are read many times.

# %%
shape = {mean.index[0]: "falls from the start", end: "rises to the end"}
less = falls.RPO.mean() < falls.DPO.mean()
display(
    teach.reveal(
        "27-1", shape.get(top, "rises, then falls"),
        f"mean gold starts at {mean.gold.iloc[0]:.2f}, is highest at step "
        f"{top} with {mean.gold[top]:.2f}, and ends at {mean.gold[end]:.2f}.",
    ),
    teach.reveal(
        "27-2", "falls" if warned.iloc[-1] < at_top else "does not fall",
        f"it goes from {at_top:.2f} to {warned.iloc[-1]:.2f}: single labels "
        "are learned by heart, wrong ones among them.",
    ),
    teach.reveal(
        "27-3", "less" if less else "more",
        f"it falls by {falls.RPO.mean():.2f} instead of "
        f"{falls.DPO.mean():.2f}. But its peak is {tops['RPO']:+.2f}, that of "
        f"DPO {tops['DPO']:+.2f}: RPO stays nearer to the reference.",
    ),
)

# %%
where = f"{n_pairs} pairs, flip {flip}, {size.steps} steps, one reference"
judge = partial(
    teach.claim, setting=where, out=OUT or None, unit="reward units",
    paper="Rafailov et al. 2024 (2406.02900)",
)
for name in ("DPO", "IPO"):
    judge(
        key=f"hump-{name.lower()}", effect=falls[name], expected="positive",
        statement=f"Gold falls after its peak with {name}.",
        meaning="Overoptimisation needs no reward model.",
    )

# %%
half = curves.pivot(index="seed", columns="step", values="loss")
change = half[size.steps] / half[size.steps // 2] - 1
judge(
    key="loss-falls", effect=change, expected="negative", unit="share",
    statement="The loss of DPO falls in the second half of the training.",
    meaning="The training loss gives no warning.",
)
judge(
    key="rpo-less", effect=falls.DPO - falls.RPO, expected="positive",
    paper="Liu et al. 2024 (2405.16436)",
    statement="Gold falls less with RPO than with DPO.",
    meaning="Imitating the chosen responses protects against the fall.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("27-1")` gives a hint; a second call gives the next one.
#
# **27-1 · Read the table** (●○○, 5 minutes). In the walk by hand, which of
# the four reviews has the highest probability at step 1000?

# %%
teach.answer("27-1", None)

# %% tags=["solution"]
teach.solution("27-1", table[texts].loc[1000].idxmax())

# %% [markdown]
# **27-2 · A contested pair** (●○○, 10 minutes). Nine of ten labels say that
# $a$ is better than $b$, one says the opposite. $\beta = 0.5$. At which $D$
# does the push of DPO vanish?

# %%
teach.answer("27-2", None)

# %% tags=["solution"]
teach.solution("27-2", np.log(9 / 1) / 0.5)

# %% [markdown]
# **27-3 · Bug hunt** (●●○, 15 minutes). With this "RPO" the KL stays small,
# the chosen responses gain, and the margin hardly grows. One line is wrong.
# Find it, and mend it until the check passes.


# %%
def suspect(batch, cfg):
    weight = cfg.eta * (cfg.beta if cfg.times_beta else 1.0)
    imitate = batch.chosen.logps(cfg.reduce)
    imitate = imitate + batch.rejected.logps(cfg.reduce)
    return dpo.link(batch.margin(), cfg) - weight * imitate


teach.check.rpo(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    weight = cfg.eta * (cfg.beta if cfg.times_beta else 1.0)
    imitate = batch.chosen.logps(cfg.reduce)  # the rejected was imitated too
    return dpo.link(batch.margin(), cfg) - weight * imitate


assert teach.check.rpo(mended).passed

# %% [markdown]
# **27-4 · Stop in time** (●●○, 15 minutes). Give the walk by hand a budget:
# stop at its last step with $\text{KL} \le k$, computed from `probability`
# and `q`. Which $k$ of 0.05, 0.1, 0.2, 0.5 and 1 leaves the most gold? And
# could you have chosen it without seeing gold?

# %%
teach.answer("27-4", None)

# %% tags=["solution"]
nats = (probability * (np.log(probability) - q)).sum(1)
budgets = (0.05, 0.1, 0.2, 0.5, 1.0)
left = {k: gold_by_hand[np.flatnonzero(nats <= k)[-1]] for k in budgets}
print({k: round(float(value), 3) for k, value in left.items()})
teach.solution("27-4", max(left, key=left.get))

# %% [markdown]
# **27-5 · Contest the slip** (●●●, 20 minutes). Add labels
# `very good` ≻ `not fun` to the nine. How many are needed at least, so that
# the gold of the walk after 1000 steps is above its gold at the start?

# %%
teach.answer("27-5", None)

# %% tags=["solution"]
def ends_with(more):
    who, whom = np.append(winner, 1), np.append(loser, 3)
    share = np.append(times, more) / (9 + more)

    def move(z):
        gap = (z[who] - z[whom]) - (q[who] - q[whom])
        each = share * price / (1 + np.exp(price * gap))
        return np.bincount(who, each, 4) - np.bincount(whom, each, 4)

    last = np.exp(walk(move)[-1])
    return last / last.sum() @ worth


print({more: round(float(ends_with(more)), 3) for more in range(4)})
enough = [more for more in range(4) if ends_with(more) > gold_by_hand[0]]
teach.solution("27-5", enough[0])

# %% [markdown]
# ## Recap
#
# * Every policy is the exact optimum of its own implicit reward, so DPO fits
#   a proxy and optimises it at once.
# * First the labels act that agree with each other, and gold rises. Then
#   single labels act that nobody contests, and gold falls.
# * The training loss falls all the while and gives no warning.
# * A maximum of noisy values is lucky: let other seeds choose the peak.
# * An SFT term keeps the policy near the data. It falls less, from a lower
#   peak.
#
# Three questions to end with: call `teach.quiz("27")`. Your letters behind the
# number, as in `teach.quiz("27", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Rafailov et al. 2024](https://arxiv.org/abs/2406.02900), *Scaling laws
#   for reward model overoptimization in direct alignment algorithms*.
# * [Gao et al. 2023](https://arxiv.org/abs/2210.10760), *Scaling laws for
#   reward model overoptimization*.
# * [Liu et al. 2024](https://arxiv.org/abs/2405.16436), *Provably mitigating
#   overoptimization in RLHF: your SFT loss is implicitly an adversarial
#   regularizer*: RPO.
#
# Study [**27a**](27a_scaling_law.ipynb) fits a scaling law to the hump and
# asks what the size of the model and the data do; study
# [**26c**](26c_anchors.ipynb) compares RPO with its relatives. Next: [**28 ·
# Lists and scores**](28_lists_and_scores.ipynb). A pair is the shortest list.
