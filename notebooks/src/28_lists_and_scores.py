# ---
# jupyter:
#   workbench:
#     title: "28 · Lists and scores"
#     part: offline
#     path: elective
#     needs: ["01", "20", "21"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 28 · Lists and scores: how many different losses are there?
#
# **The idea in one sentence.** If a reward model has scored the responses of
# a prompt, nothing is unknown but one constant per prompt, and there are two
# ways not to see a constant: compare two softmax distributions, or compare
# differences.
#
# After this lesson you can
#
# * derive both families of losses from $\pi^*_\beta$ in a few lines;
# * tell from their gradients which published losses are one loss;
# * say why the responses may come from anybody;
# * recognise a policy gradient that was applied to foreign data.
#
# *Needs*: lessons 01 (the exact optimum), 20 (DPO) and 21 (links). About
# 90 minutes. Unknown words stand in the [glossary](../GLOSSARY.md).

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

from workbench.catalogue import methods
from workbench.feedback.kinds.lists import ListLogps, Lists, sample_lists
from workbench.lesson import *
from workbench.measure import expected_descent, list_pushes
from workbench.methods.direct.links import dpo, ipo
from workbench.methods.direct.lists import copg, infonca
from workbench.views.angle_table import angle_table
from workbench.views.instruments import list_explorer

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 160, 1000),
    descent=(400, 4000, 8000),
)
beta, budget = 0.5, 32  # reward units per nat; scored responses per step
world, named = Reviews(3), SimpleNamespace(**methods())
reference = tiny.reference(world, DEVICE)
angles, of_lists = list_pushes.angles, list_pushes.of_lists
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The question
#
# In lesson 20 an annotator said which of two responses is better. Now a
# reward model gives a *score* to each response of a list. Six losses for such
# data were published within two years, each with a name of its own: InfoNCA
# (noise contrastive alignment), `dpo_rw` (DPO on rewards), ADPO (anchored
# DPO), BRAIn (Bayesian reward-conditioned inference), CoPG (contrastive
# policy gradient) and REBEL (regression to relative rewards). How many of
# them differ? Write your predictions into `mine`.

# %%
display(
    teach.predict(
        "28-1",
        "Losses that differ by a constant factor count as one. How many "
        "different losses are the six?",
        ["one", "two", "three or more"],
    ),
    teach.predict(
        "28-2",
        "The responses were not drawn from the reference. They come from "
        "somebody who writes the worst response in eight cases of ten. Where "
        "does CoPG end?",
        ["at the same optimum", "elsewhere"],
    ),
    teach.predict(
        "28-3",
        "Each step reads 32 scored responses, as 16 lists of 2 or as 4 "
        "lists of 8. With which lists does InfoNCA end nearer the optimum?",
        ["lists of 2", "lists of 8"],
    ),
)
views.pipeline(here="dpo")

# %% [markdown]
# ## Three data points
#
# A list is several responses to one prompt, each with its score $r$, here the
# gold reward. The last column is the log-prob of the response under whoever
# drew it, here the reference. We see the first three of a list of eight.


# %%
def lists_of(length):
    draws = [generator(SEED + i, "lists") for i in range(size.seeds)]
    number = budget * size.steps // length
    return Lists.cat(
        [sample_lists(world, ref, number, length, draw) for draw in draws]
    )


lists = {length: lists_of(length) for length in (2, 8)}
columns = {"score": lists[8].scores[0], "log-prob": lists[8].proposal[0]}
said = [world.text(int(y)) for y in lists[8].tokens.response[:8]]
pd.DataFrame(columns, index=said).head(3).round(3)

# %% [markdown]
# ## The objective, step by step
#
# 1. Write $d_k = \log\frac{\pi(y_k)}{\pi_{\text{ref}}(y_k)}$ for the log-ratio
#    of the response $k$ of a list, and $r_k$ for its score.
# 2. Lesson 01: the optimum has $d_k = r_k/\beta - \log Z$.
# 3. Scores are known, so all that is unknown is $\log Z$, and within a list
#    it is the same number for every $k$.
# 4. *First way.* A softmax does not see a constant. Compare
#    $p = \mathrm{softmax}(r/\beta)$ with $q = \mathrm{softmax}(d)$ by the
#    cross-entropy $L = -\sum_k p_k\log q_k$. The push on $\log\pi(y_k)$ is
#    $p_k - q_k$. This is InfoNCA.
# 5. *Second way.* A difference does not see a constant. Let
#    $R_k = r_k - \beta d_k$, the score after the price of the drift; at the
#    optimum it is $\beta\log Z$ for all $k$. Regress:
#    $L = \frac{1}{2\beta(K-1)}\sum_{i>j}(R_i - R_j)^2$ for lists of $K$. The
#    push on $\log\pi(y_k)$ is $R_k$ less the mean $R$ of the others. This is
#    CoPG.
#
# In both, the push is zero at the optimum on *every single list*. No average
# over lists is needed, so it does not matter who drew them.
#
# Below both losses stands InfoNCA at its first step, where all $d_k$ are 0, on
# the list above. Lower the temperature $\beta$ of the target: what becomes of
# it? Then add responses: who pays for the push on the best one?

# %%
display(teach.show(infonca.loss), teach.show(copg.loss))

# %%
list_explorer(said[:6], lists[8].scores[0, :6], temperature=beta)

# %% [markdown]
# InfoNCA has two temperatures. They divide the scores ($\alpha$) and multiply
# the log-ratios (its $\beta$), and only their product matters for the
# optimum. We set them to $0.5$ and $1$, so that the product is our
# $\beta = 0.5$. CoPG is shown in the form of its paper; opening the square
# gives the same up to a constant.
#
# ## By hand: one list of four
#
# Four reviews, one prompt. The policy has already moved by $d$.

# %%
texts = ["good", "very good", "dull", "not fun"]
places = torch.tensor([world.index(text) for text in texts])
r, start = world.gold[0, places], ref[0, places].double()
d = torch.tensor([0.9, -0.4, 0.3, -0.2]).double()
p, q, R = (r / beta).softmax(-1), d.softmax(-1), r - beta * d
others = (R.sum() - R) / 3
hand = {"r": r, "d": d, "p": p, "q": q, "push: p − q": p - q, "R = r − βd": R}
hand |= {"mean R of the others": others, "push: R − others": R - others}
pd.DataFrame(hand, index=texts).T.round(3)


# %%
softmax, regress = (infonca, infonca.Config(1.0, beta)), copg.Config(beta)
now = (start + d)[None, :, None]
one = ListLogps(now, start[None, :, None], now < 0, r[None], start[None])
assert torch.allclose(of_lists(*softmax, one)[0], p - q)
assert torch.allclose(of_lists(copg, regress, one)[0], R - others)

# %% [markdown]
# Both rows of pushes sum to zero: what one response gains, its siblings lose.
# "Good" has moved up by 0.9 nats, and the two losses disagree about it.
# InfoNCA compares shares: "good" should have the share $p$ of this list and
# has more, so it is pushed back. CoPG compares with the average sibling, and
# two siblings are much worse, so it is still pushed up, though less than
# without the price of the drift. They agree only where both stop.
#
# ## By hand: a list of two, told only who won
#
# Take two responses, and let the margin be $D = d_1 - d_2$. With a hard target
# $p = (1, 0)$ the first way pushes by $1 - q_1 = \sigma(-D)$: this is DPO.
# With scores $\pm\frac14$ the second way pushes by $\frac12 - \beta D$: this
# is IPO (identity preference optimisation) with $\tau = \beta$, times
# $\beta/2$.

# %%
winner, D = torch.tensor([[1.0, 0.0]]).double(), d[0] - d[1]
pair = [part[:, :2] for part in (one.policy, one.ref, one.mask)]
target = infonca.Config(1.0, 1e-3)  # so sharp that the winner gets it all
hard = of_lists(infonca, target, ListLogps(*pair, winner, winner))[0, 0]
quarters = ListLogps(*pair, winner / 2 - 0.25, winner)
soft = of_lists(copg, regress, quarters)[0, 0]
assert torch.allclose(hard, dpo.weight(D, dpo.Config(1.0)))
assert torch.allclose(soft, beta / 2 * ipo.weight(D, ipo.Config(beta)))
print(f"D = {D:.2f}: the winner is pushed by {hard:.3f} and {soft:.3f}")

# %% [markdown]
# ## A family tree, in numbers
#
# Now all six, on 200 random lists of three that were drawn from the reference.
# Put the pushes of a loss on all lists into one long vector. Two losses that
# differ by a factor have vectors of the same direction: the angle is 0.
# The last row is a loss that sees only the *order* of the scores: DPO on all
# pairs of the list (`pair_logistic`).

# %%
drawn = ListLogps.example(generator(SEED, "tree"), batch=200)
drawn = replace(drawn, proposal=(drawn.ref * drawn.mask).sum(-1))
settings = {"infonca": softmax[1], "dpo_rw": named.dpo_rw.Config(1.0, beta)}
settings["adpo"] = named.adpo.Config(1.0, beta)
settings |= {"brain": named.brain.Config(beta), "copg": regress}
settings["rebel"] = named.rebel.Config(1 / beta)
settings["pair_logistic"] = named.pair_logistic.Config(beta)
losses = {k: (getattr(named, k), cfg) for k, cfg in settings.items()}
table = angles(losses, drawn)
different = len(np.unique(table.iloc[:6, :6] < 1e-6, axis=0))
angle_table(
    table,
    caption=f"The six losses of scores (1 to 6) fall into {different} groups "
    f"with an angle of 0, {table.loc['infonca', 'copg']:.0f} degrees apart.",
)

# %% [markdown]
# The first four names are one softmax. They differ in where the temperatures
# are written; BRAIn alone corrects for lists that were drawn from elsewhere.
# CoPG and REBEL are one regression, which REBEL repeats in rounds (study 28b).
#
# ## Who drew the responses: three arms
#
# The smallest case can be solved without any sampling: three responses with
# rewards 2.5, 2 and 1 and a uniform reference. The first response of each
# pair is drawn with probabilities $(0.1, 0.2, 0.7)$, the second with
# $(0.05, 0.05, 0.9)$: the worst one fills the data. We follow the *expected*
# gradient over all nine pairs.

# %%
arms = torch.tensor([2.5, 2.0, 1.0]).double()
flat = torch.zeros(3).double().log_softmax(-1)
optimum = solutions.optimal_policy(flat, arms, beta)
shares = torch.tensor([[0.1, 0.2, 0.7], [0.05, 0.05, 0.9]]).double()
chance = shares[0, :, None] * shares[1]
at_optimum = expected_descent.every_pair(optimum, flat, arms)
left = {k: of_lists(*v, at_optimum).abs().max() for k, v in losses.items()}
left = pd.Series({name: float(value) for name, value in left.items()})
left.to_frame("largest push at the optimum").round(6).T

# %% [markdown]
# At the optimum none of the six pushes on any of the nine pairs, however often
# a pair comes. DPO on the order still pushes: it knows who is better, not by
# how much. So InfoNCA and CoPG should walk to the optimum, and DPO past it.

# %%
three = {"InfoNCA": losses["infonca"], "CoPG": losses["copg"]}
three["DPO on the order"] = losses["pair_logistic"]
bandit = {"ref": flat, "rewards": arms, "chance": chance}
follow = partial(expected_descent.descend, steps=size.descent, **bandit)
marks = {"nash": optimum.exp().tolist(), "goal": "optimum (exact)"}
marks["names"] = ["best", "middle", "worst"]
paths = {name: follow(*loss) for name, loss in three.items()}
end = {name: path[-1].exp() for name, path in paths.items()}
views.simplex(
    expected_descent.as_curves(paths, marks["names"]), **marks,
    title="Three responses, foreign data",
    caption=f"The best response gets {end['InfoNCA'][0]:.2f} from InfoNCA, "
    f"{end['CoPG'][0]:.2f} from CoPG, {optimum.exp()[0]:.2f} at the optimum "
    f"and {end['DPO on the order'][0]:.2f} from DPO on the order.",
)

# %% [markdown]
# ## Train
#
# A decoder on the reviews: InfoNCA, CoPG, and DPO on the order of the same
# lists. Each step reads 32 scored responses as 4 lists of 8. A fourth run
# gives InfoNCA 16 lists of 2.

# %%
tracker = exact.Tracker(world, ref, gold=world.gold, beta=beta)


def train(method, cfg, length):
    return offline.fit(
        reference.copies(size.seeds), reference, lists[length], method, cfg,
        batch_size=budget // length, steps=size.steps, seed=SEED,
        measures=[tracker], every=size.steps // 4,
    )


runs = {name: train(*loss, 8) for name, loss in three.items()}
runs["InfoNCA, lists of 2"] = train(*losses["infonca"], 2)

# %% [markdown]
# ## Distance to the exact optimum
#
# The optimum of the scores is the same $\pi^*_\beta$ for InfoNCA and CoPG.
# DPO on the order has no such place: its margins grow for ever.

# %%
log = pd.concat(run.metrics.assign(run=name) for name, run in runs.items())
last = log[log.step == size.steps].set_index(["run", "seed"])
mean = last.groupby("run").mean(numeric_only=True)
near = mean.kl_to_optimum
views.training_curves(
    log,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "kl": "KL(π‖π_ref) (nats)"},
    by="run",
    caption=f"From the optimum InfoNCA ends {near['InfoNCA']:.2f} nats, "
    f"CoPG {near['CoPG']:.2f}, DPO on the order "
    f"{near['DPO on the order']:.2f}; from the reference they end "
    f"{mean.kl['InfoNCA']:.2f}, {mean.kl['CoPG']:.2f} and "
    f"{mean.kl['DPO on the order']:.2f}.",
)

# %% [markdown]
# ## Break it: no sibling to compare with
#
# Somebody uses the policy gradient of lesson 30 on foreign data: each response
# is pushed by its own $R_k$, held constant, and the mean of the others is left
# out. On the policy's own responses this is correct on average. Here, a
# response that comes often is pushed often.


# %%
def alone(batch, cfg):
    earned = (batch.scores - cfg.beta * batch.logratio()).detach()
    return -(earned * batch.logps()).sum(-1)


broken = follow(SimpleNamespace(loss=alone), regress)
four = paths | {"no sibling": broken}
views.simplex(
    expected_descent.as_curves(four, marks["names"]), **marks,
    title="The same data without a sibling",
    caption=f"CoPG gives the worst response {end['CoPG'][2]:.2f}, without a "
    f"sibling it gets {broken[-1, 2].exp():.2f}; it began at {1 / 3:.2f}.",
)

# %% [markdown]
# **Its signature.** The policy moves towards what the *data* contain most, and
# not towards what scores best. No error is raised. The cure is one
# subtraction: compare with a sibling of the same list.
#
# ## Answers

# %%
gained = near["InfoNCA, lists of 2"] - near["InfoNCA"]
count = {1: "one", 2: "two"}.get(different, "three or more")
display(
    teach.reveal(
        "28-1", count,
        f"the angles have {different} blocks of 0: a softmax of four names "
        "and a regression of two.",
    ),
    teach.reveal(
        "28-2", "at the same optimum" if left["copg"] < 1e-9 else "elsewhere",
        f"there the largest push of any of the nine pairs is "
        f"{left['copg']:.1f}, and so it is for every mixture of pairs.",
    ),
    teach.reveal(
        "28-3", "lists of 8" if gained > 0 else "lists of 2",
        f"it ends {near['InfoNCA']:.2f} nats away with lists of 8 and "
        f"{near['InfoNCA, lists of 2']:.2f} with lists of 2. A list "
        "of 8 holds 28 pairs, four lists of 2 hold 4.",
    ),
)

# %% [markdown]
# ## Claims
#
# The first three are exact: they have no seeds.

# %%
judge = partial(teach.claim, out=OUT or None)
exactly = partial(judge, kind="exact", setting="exact, no seeds")
exactly(
    key="tree", expected=(-1e-6, 1e-6), paper="ours", unit="degrees",
    effect=[*table.iloc[0, 1:4], table.loc["copg", "rebel"]],
    statement="InfoNCA, dpo_rw, ADPO and BRAIn push alike; so do CoPG, REBEL.",
    meaning="Six published names are two losses.",
)
exactly(
    key="rest", expected=(-1e-12, 1e-12), effect=left[:6],
    paper="ours", unit="largest push",
    statement="At the optimum no pair pushes, whoever drew it (all six).",
    meaning="Off-policy data need no correction if each list rests by itself.",
)
exactly(
    key="bandit", effect=beta * solutions.kl(paths["CoPG"][-1:], optimum),
    paper="Flet-Berliac et al. 2024 (2406.19185)", unit="reward units",
    rest=(paths["CoPG"][size.descent * 3 // 4, :1], paths["CoPG"][-1, :1]),
    expected=(-0.01, 0.01),
    statement="Off policy CoPG reaches the optimum of the bandit.",
    meaning="Followed to the end, CoPG does not mind who drew the responses.",
)

# %%
setting = f"β = {beta}, {size.steps} steps, one reference model"
away = last.kl_to_optimum.unstack("run")
judge(
    key="scores-beat-order", setting=setting, expected="positive",
    paper="ours", unit="nats",
    effect=away["DPO on the order"] - away[["InfoNCA", "CoPG"]].max(axis=1),
    statement="InfoNCA and CoPG end nearer the optimum than DPO on the order.",
    meaning="The size of the scores tells a loss where to stop.",
)
judge(
    key="long-lists", setting=setting, expected="positive", paper="ours",
    unit="nats",
    effect=away["InfoNCA, lists of 2"] - away["InfoNCA"],
    statement="InfoNCA ends nearer with lists of 8 than with lists of 2.",
    meaning="A list pays one response for each, and yields all its pairs.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("28-1")` gives a hint; a second call gives the next one.
#
# **28-1 · Read the figure** (●○○, 5 minutes). Which loss of scores is REBEL,
# up to a factor? Answer with its name in the figure.

# %%
teach.answer("28-1", None)

# %% tags=["solution"]
alike = table.loc["rebel"].drop("rebel")
teach.solution("28-1", alike.idxmin())

# %% [markdown]
# **28-2 · Both ways by hand** (●○○, 15 minutes). Scores $(2, 1, 0)$,
# log-ratios $(1, 0, 0)$, $\beta = 0.5$. How hard do InfoNCA and CoPG push the
# first response? Two numbers, such as `[0.1, 0.2]`.

# %%
teach.answer("28-2", None)

# %% tags=["solution"]
grades, ratios = np.array([2.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
tilted, present = np.exp(grades / 0.5), np.exp(ratios)
softly = tilted[0] / tilted.sum() - present[0] / present.sum()
after_price = grades - 0.5 * ratios
gap = after_price[0] - after_price[1:].mean()
teach.solution("28-2", [softly, gap])

# %% [markdown]
# **28-3 · InfoNCA from memory** (●●○, 10 minutes). Write it from
# `batch.scores`, `batch.logratio()`, `cfg.alpha` and `cfg.beta`. The check
# names the mistake.


# %%
def my_infonca(batch, cfg):
    raise NotImplementedError


teach.check.infonca(my_infonca)


# %% tags=["solution"]
def written_infonca(batch, cfg):
    target = (batch.scores.detach() / cfg.alpha).softmax(-1)
    logits = cfg.beta * batch.logratio()
    return -(target * logits.log_softmax(-1)).sum(-1)


assert teach.check.infonca(written_infonca).passed

# %% [markdown]
# **28-4 · Bug hunt** (●●○, 15 minutes). This CoPG has one planted mistake. Its
# loss falls and nothing looks odd, but the policy drifts too far. Followed on
# the three arms it rests at the optimum of another $\beta$. Which one, if
# `cfg.beta` is 0.5?


# %%
def suspect(batch, cfg):
    earned = batch.scores[:, :, None] - batch.scores[:, None]
    apart = batch.logratio()[:, :, None] - batch.logratio()[:, None]
    weight = (earned - cfg.beta / 2 * apart).detach()
    return -(weight * apart).sum((1, 2)) / 2 / (batch.scores.shape[-1] - 1)


display(teach.check.copg(suspect))
teach.answer("28-4", None)

# %% tags=["solution"]
# The weight is held constant, so it must vanish: the pairs rest where
# apart = earned / (β/2). Without .detach() the product's slope is right.
rested = follow(SimpleNamespace(loss=suspect), regress, steps=4000)[-1]
slope = (arms[0] - arms[2]) / (rested[0] - rested[2])
teach.solution("28-4", float(slope))

# %% [markdown]
# **28-5 · The best response is never drawn** (●●○, 15 minutes). All pairs
# consist of the middle and the worst arm. CoPG starts at the reference. Which
# probability does the *best* arm have in the end? Predict first whether it
# rises or falls.

# %%
teach.answer("28-5", None)

# %% tags=["solution"]
without = torch.tensor([0.0, 0.5, 0.5]).double()
unseen = without[:, None] * without
final = follow(copg, regress, chance=unseen, steps=4000)[-1].exp()
print(final.numpy().round(4))  # e⁰, e¹, e⁻¹, divided by their sum
teach.solution("28-5", float(final[0]))

# %% [markdown]
# **28-6 · On policy it is RLOO** (●●●, 20 minutes). RLOO (REINFORCE
# leave-one-out, lesson 30) pushes a response by its $R$ less the mean of its
# siblings. Build `Rollouts` from `drawn`, with `old` equal to the policy, sum
# the slopes of `rloo.loss` (`workbench.methods.policy_gradient.reinforce`),
# and divide the length of that vector by the length of CoPG's. Which factor
# do you find?

# %%
teach.answer("28-6", None)

# %% tags=["solution"]
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.methods.policy_gradient.reinforce import rloo

leave = rloo.Config(beta=beta)
policy, base, shown = (
    part.flatten(0, 1) for part in (drawn.policy, drawn.ref, drawn.mask)
)
policy = policy.detach().requires_grad_()
rolled = Rollouts(
    policy, policy.detach(), base, shown, drawn.scores.flatten(), 3
)
rolled = replace(rolled, advantages=rloo.advantages(rolled, leave))
rloo.loss(rolled, leave).sum().backward()
slopes = -(policy.grad * shown).sum(-1) / shown.sum(-1)
contrast = of_lists(copg, regress, drawn).flatten()
assert torch.allclose(slopes, contrast)
teach.solution("28-6", float(slopes.norm() / contrast.norm()))

# %% [markdown]
# ## Recap
#
# * With scores, all that is unknown is one constant per prompt.
# * A softmax over the list does not see it: InfoNCA and its other names.
# * A difference within the list does not see it: CoPG and REBEL.
# * At $\pi^*_\beta$ each list rests by itself, so anybody may draw the lists.
# * A loss of the order alone knows no place to stop.
#
# Three questions to end with: call `teach.quiz("28")`. Your letters behind the
# number, as in `teach.quiz("28", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Chen et al. 2024](https://arxiv.org/abs/2402.05369), *Noise contrastive
#   alignment*: InfoNCA.
# * [Flet-Berliac et al. 2024](https://arxiv.org/abs/2406.19185),
#   *Contrastive policy gradient*: CoPG and the bandit.
# * [Gao et al. 2024](https://arxiv.org/abs/2404.16767): REBEL.
# * [Ji et al. 2024](https://arxiv.org/abs/2402.00856): `dpo_rw`;
#   [Pandey et al. 2024](https://arxiv.org/abs/2402.02479): BRAIn;
#   [Wang 2025](https://arxiv.org/abs/2510.18913): ADPO.
#
# Study [**28a**](28a_longer_lists.ipynb) compares losses of rankings,
# [**28b**](28b_who_drew.ipynb) follows scores off policy,
# [**28c**](28c_single_scores.ipynb) takes one response at a time,
# [**28d**](28d_which_pairs.ipynb) chooses the pairs. Next: [**29 ·
# Tokens**](29_tokens.ipynb), where the credit is divided among words.
