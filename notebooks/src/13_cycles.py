# ---
# jupyter:
#   workbench:
#     title: "13 · Cycles: when no score explains the choices"
#     part: reward models
#     path: elective
#     needs: ["01", "10"]
#     minutes: 75
#     budget_s: {ci: 30, lecture: 60, figure: 600}
# ---

# %% [markdown]
# # 13 · Cycles: what if no score explains the choices?
#
# **The idea in one sentence.** One score per response can only say a ranking;
# if a crowd prefers a to b, b to c and c to a, part of what it says is lost,
# unless each response gets two numbers or more instead of one.
#
# After this lesson you can
#
# * split the log-odds of a crowd into a ranking and a circle;
# * say what a circle costs a Bradley–Terry reward model, in nats per label;
# * compute a preference from two vectors, and show that it can run round;
# * say from how many labels on such vectors predict better than scores.
#
# *Needs*: lessons 01 and 10 (Bradley–Terry). About 75 minutes. Words in doubt
# stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.feedback.kinds.ordered_pairs import OrderedPairs
from workbench.feedback.kinds.pair_vectors import PairVectors
from workbench.lesson import *
from workbench.loops import reward
from workbench.measure import preference_fit as fit
from workbench.methods.reward.preferences import rm_gpm, rm_pairpm
from workbench.models.pair_reader import PairReader
from workbench.models.preference_vectors import lead
from workbench.views.instruments import cycle_explorer
from workbench.worlds import people
from workbench.worlds import preference_games as game

# %%
size = sizes(
    PROFILE, seeds=(2, SEEDS, 10), turns=(3, 5, 6), steps=(4, 150, 1000),
    labels=((300, 3000), (1000, 3000, 10_000, 30_000), (1000, 100_000)),
)
world = Reviews(max_words=2)
felt = people.rewards(world) / 0.25  # temperature, reward units
crowd = game.population(felt, people.shares())[0]  # of reviews of the film
seeds = range(SEED, SEED + size.seeds)

# %% [markdown]
# ## The question
#
# Lesson 10 took for granted that people choose by a score. But a file of
# preferences comes from many people. Each may well have a score of their own;
# does the crowd have one? Please predict before you read on.

# %%
amount = ["less than a third", "a third to two thirds", "more than two thirds"]
display(
    teach.predict(
        "13-1",
        "A beats b, b beats c and c beats a, each with probability 0.9. Which "
        "chances does the best score model state for the three choices?",
        ["0.9 each", "0.9 twice and 0.1", "one half each"],
    ),
    teach.predict(
        "13-2",
        "Fitted to a crowd's true chances, scores lose more per label than "
        "the best possible loss. Six numbers per review in the place of one "
        "score: how much of this surplus do they remove?",
        amount,
    ),
    teach.predict(
        "13-3",
        f"Fitted to {size.labels[0]:,} labels, which of the two predicts "
        "fresh labels better?",
        ["one score", "six numbers", "both alike"],
    ),
)

# %% [markdown]
# ## Three data points
#
# Three kinds of people judge short reviews of a film. Fans want praise.
# Editors want few words, poets many different ones; where that is equal, both
# like the harsher review. Each person chooses by a score, and is nearly
# certain. Of the crowd 36 % are fans, 34 % editors and 30 % poets; its column
# is the mean with these weights.

# %%
texts = ["good fun", "(silence)", "very bad"]
rows = [world.index(text) for text in texts]
votes = {}
for a, b in ((0, 1), (1, 2), (2, 0)):
    each = felt[:, 0, rows[a]] - felt[:, 0, rows[b]]
    told = [*each.sigmoid().tolist(), crowd[rows[a], rows[b]].item()]
    votes[f"{texts[a]} ≻ {texts[b]}"] = told
pd.DataFrame(votes, index=[*people.TYPES, "crowd"]).T.round(2)

# %% [markdown]
# No person's column is above one half three times: no person runs round. The
# crowd's column is: it prefers each of the three to the next, and none is
# first.
#
# ## A ranking and a circle
#
# 1. Write a preference as log-odds: $o_{ij} = \log\frac{p(i \succ j)}
#    {p(j \succ i)}$, so that $o_{ji} = -o_{ij}$.
# 2. Scores can say $o_{ij} = r_i - r_j$. Add up along three responses:
#    $(r_1 - r_2) + (r_2 - r_3) + (r_3 - r_1) = 0$, whatever the scores are.
# 3. So $\kappa = \frac13(o_{12} + o_{23} + o_{31})$ is what scores cannot
#    say. We call it the **circle**. Taking $\kappa$ off each of the three
#    leaves differences of scores.
# 4. In a table of $n$ responses let $r_i$ be the mean of row $i$, with
#    $o_{ii} = 0$. Then the rows of the rest, $o_{ij} - (r_i - r_j)$, add up
#    to zero, for all $r_i$ add up to zero. These scores fit the log-odds best
#    by squares. The scores of least *loss*, which a reward model has and
#    which we use below, differ a little.
#
# A circle need not be seen. With scores $r_1 \ge r_2 \ge r_3$ the majority
# itself runs round only if $\kappa > r_1 - r_3$, for then the third is
# preferred to the first. Move the two parts, and find this place. (The slider
# *ranking* is the step from one score to the next.)

# %%
cycle_explorer()

# %% [markdown]
# ## By hand: three choices

# %%
odds = crowd[rows][:, rows].logit()
around = (odds[0, 1] + odds[1, 2] + odds[2, 0]) / 3
scores = odds.mean(1)
rest = odds - (scores[:, None] - scores)
found, left = fit.circle(odds)
assert torch.allclose(scores, found) and torch.allclose(rest, left)
assert torch.allclose(around, rest[0, 1])
names = [f"{part}: {t}" for part in ("log-odds", "rest") for t in texts]
both = torch.cat([odds, rest], 1).tolist()
display(pd.DataFrame(both, texts, names).round(2))
say(f"The circle of these three is {around:+.2f} in log-odds.")

# %% [markdown]
# The right half is what no score explains. It holds one number, with a plus or
# a minus.
#
# ## A turn instead of a difference
#
# Give each response two numbers $(u, v)$, an arrow in the plane, and let
#
# $$s(y, y') = u\,v' - v\,u', \qquad p(y \succ y') = \sigma(s(y, y')).$$
#
# Exchange the two and the sign changes, so that $p(y \succ y') + p(y' \succ
# y) = 1$. With $v = 1$ for all it is $u - u'$: a difference of scores. In
# general it is the product of the two lengths and the sine of the angle from
# $y$ to $y'$. So $y$ beats what lies less than half a circle ahead of it,
# counter-clockwise; go on in this way, and you come back to the start. We call
# such a term a **turn**. The **general preference model** (GPM) adds up $k$
# turns, so that a response has $2k$ numbers.

# %%
angles = torch.tensor([0, 1, 2]).double() * 2 * np.pi / 3
arrows = 2 * torch.stack([angles.cos(), angles.sin()], dim=1)
hand = torch.zeros(3, 3).double()
for i in range(3):
    for j in range(3):
        (u, v), (u_other, v_other) = arrows[i], arrows[j]
        hand[i, j] = u * v_other - v * u_other
assert torch.allclose(hand, lead(arrows[:, None], arrows[None])[..., 0])
pair = PairVectors(arrows[:1], arrows[1:2], torch.ones(1, 1).double())
plain = rm_gpm.Config(k=1, tau=1.0, gated=False)
assert torch.allclose(rm_gpm.loss(pair, plain), -hand[0, 1].sigmoid().log())

# %%
display(
    pd.DataFrame(hand.sigmoid().tolist()).round(2), teach.show(rm_gpm.loss)
)

# %% [markdown]
# Three arrows of length 2, a third of a circle apart: each beats the next, and
# the last beats the first. The paper's model has two things more: the sum is
# divided by a temperature τ, and a *gate*, numbers that depend on the prompt
# alone, says how much each turn counts. Both are left out in this lesson.
#
# ## How much of the crowd is a circle?
#
# Now all reviews of at most two words, each pair asked equally often. A table
# of numbers is fitted to the crowd's true chances, with no network and no
# noise between: a score for each review (0 turns), or $k$ turns. What is left
# is the **excess loss**: the expected loss of a fresh label, less the least
# that any model can have, which is the entropy of the label, in nats.

# %%
share, floors = fit.even(len(crowd)) * crowd, []
for k in range(size.turns + 1):
    table = fit.fitted(share, k)
    row = {"excess": fit.excess(table, crowd), "turns": k}
    floors.append(row | {"agreement": fit.agreement(table, crowd)})
floors = pd.DataFrame(floors)
none, *_, end = floors.itertuples()  # no turn, and the most
explained = 1 - floors.excess[3] / none.excess

# %%
views.sweep(
    floors,
    "turns",
    {
        "excess": "excess loss (nats per label)",
        "agreement": "pairs on the side of the majority",
    },
    x_label="turns of the model (0: scores)",
    caption=f"Scores leave {none.excess:.4f} nats per label and are on the "
    f"side of the majority in {none.agreement:.0%} of the pairs; {end.turns} "
    f"turns leave {end.excess:.4f} and are in {end.agreement:.0%}.",
)

# %% [markdown]
# What would 0 turns leave of one kind of people alone? Exercise 13-5 asks.
#
# ## With labels instead of chances
#
# A score is one number for each review, three turns are six. More numbers fit
# more of the crowd, and more of the luck of the labels. From how many labels
# on do turns lose less? Each point is a table fitted to so many labels, judged
# on the true chances. A small price on large numbers, the same for all, keeps
# them finite; a larger one would help the turns where labels are few.

# %%
kinds, curves = {"scores": 0, "1 turn": 1, "3 turns": 3}, []
for n in size.labels:
    for seed in seeds:
        told = fit.votes(crowd, n, generator(seed, f"votes {n}"))
        for name, k in kinds.items():
            table = fit.fitted(told, k, price=0.3 / n, seed=seed)
            row = {"labels": n, "seed": seed, "model": name}
            curves.append(row | {"excess": fit.excess(table, crowd)})
curves = pd.DataFrame(curves)

# %%
by = curves.set_index(["model", "labels", "seed"]).excess.unstack("seed")
few, many, mean = size.labels[0], size.labels[-1], by.mean(axis=1)
wins = [n for n in size.labels if mean["3 turns", n] < mean["scores", n]]
half = fit.excess(torch.zeros_like(crowd), crowd)
say(
    f"Three turns are ahead at {', '.join(f'{n:,}' for n in wins) or 'none'} "
    f"labels. Stating one half for every pair loses {half:.3f} nats."
)

# %%
views.sweep(
    curves,
    "labels",
    {"excess": "excess loss (nats per label)"},
    by="model",
    log_x=True,
    log_y=True,
    caption=f"With {few:,} labels scores lose {mean['scores', few]:.3f} nats "
    f"per label and three turns {mean['3 turns', few]:.3f}; with {many:,} "
    f"they lose {mean['scores', many]:.3f} and {mean['3 turns', many]:.3f}.",
)

# %% [markdown]
# The curve of the scores goes flat: its floor is what no score can say, and no
# number of labels moves it. The floors of the turns are lower, and they begin
# much higher. A model that *could* say a circle has not yet learned it.
#
# ## A network that reads both
#
# The **pairwise preference model** (PairPM) is another way out. A transformer
# reads the prompt, one response, and then the other, and says whether the
# first is better. Nothing in it knows that exchanging the two must exchange
# the chances. We train a few steps, and ask of each pair in both orders.

# %%
every = game.population(felt, people.shares())  # of all four prompts
learnt = [fit.voted(world, every, 2000, generator(s, "v")) for s in seeds]
readers = [PairReader.tiny(world.vocab, seed=seed) for seed in seeds]
how = {"steps": size.steps, "batch_size": 32, "seed": SEED}
data, cfg = OrderedPairs(Pairs.cat(learnt)), rm_pairpm.Config()
stack = PairReader.stack(readers)
trained = reward.fit(stack, data, rm_pairpm, cfg, **how).policy

# %%
fresh = fit.voted(world, every, 400, generator(SEED, "fresh"))
apart = fit.contradiction(trained, fresh)
say(
    f"With a in front it states p(a ≻ b), with b in front p(b ≻ a). Their "
    f"sum misses 1 by {apart.mean():.3f} on average."
)

# %% [markdown]
# So the model contradicts itself. Take the mean of $p(a \succ b)$ and
# $1 - p(b \succ a)$: read so, the two chances add up to 1 exactly.
#
# ## What a policy makes of it
#
# Lesson 10's policy maximised the score. Without a score there is a *game*:
# two policies write, the crowd votes, and each pays 0.05 per nat of KL. Its
# equilibrium, a policy that no rival beats, is the subject of lesson 40. Here
# each table of true chances, with 0, 1 and 3 turns, gives the equilibrium that
# it believes in. The **duality gap** of that policy in the true crowd, twice
# what the best rival gains against it, is its distance to the exact optimum,
# where it is 0.

# %%
ref = tiny.reference(world, DEVICE).response_logps(world)[0].detach().double()
tau, gaps = 0.05, {}
for name, k in kinds.items():
    believed = fit.fitted(share, k).sigmoid()
    policy = game.nash(believed, ref, tau, tolerance=1e-8)
    gaps[name] = game.duality_gap(crowd, policy, ref, tau).item()
pd.Series(gaps, name="duality gap (probability)").to_frame().round(4)

# %% [markdown]
# One turn helps a policy little here, and three bring it close: this crowd has
# more than one circle.
#
# ## Break it: a plus in the turn
#
# One sign in $u v' - v u'$ decides everything. With a plus the lead is the
# same both ways, so that the model says of a pair and of the pair exchanged
# the same. Here are four pairs of random arrows, each in both orders.

# %%
wrong = rm_gpm.mistakes["2 plus in the block"]
draw = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(SEED))
(first, second), ones = draw.double(), torch.ones(4, 1).double()
told = {}
for name, loss in {"right": rm_gpm.loss, "with a plus": wrong}.items():
    forth = loss(PairVectors(first, second, ones), plain).neg().exp()
    back = loss(PairVectors(second, first, ones), plain).neg().exp()
    told[f"{name}: p(a ≻ b) + p(b ≻ a)"] = (forth + back).tolist()
pd.DataFrame(told).round(3)

# %% [markdown]
# **Its signature.** The two chances no longer add up to 1. Whichever way a
# label falls, the loss of its pair is less if this one lead is larger, so that
# both orders push the same way. With longer and longer arrows the loss falls
# towards 0, below the entropy of the labels, which no model can reach: a loss
# that is too good is the sign. And nobody is preferred to anybody.
#
# ## Answers

# %%
circular = game.rps(0.4)
best = game.bradley_terry(circular, torch.zeros(3).double().log_softmax(-1))
state = (best[0] - best[1]).sigmoid().item()
more = mean["3 turns", few] - mean["scores", few]
display(
    teach.reveal(
        "13-1",
        "one half each" if abs(state - 0.5) < 0.01 else "0.9 twice and 0.1",
        f"the best scores are equal and state {state:.2f}: a first place for "
        "any of the three would be as wrong about one choice as it is right "
        "about another.",
    ),
    teach.reveal(
        "13-2",
        amount[int(explained > 1 / 3) + int(explained > 2 / 3)],
        f"three turns, so six numbers, remove {explained:.0%} of the excess "
        "loss of scores, when the true chances are known.",
    ),
    teach.reveal(
        "13-3",
        "both alike" if abs(more) < 0.01 else
        ("one score" if more > 0 else "six numbers"),
        f"three turns lose {more:+.3f} nats per label more than scores: so "
        "many numbers fit the luck of so few labels.",
    ),
)

# %% [markdown]
# ## Claims

# %%
about = {"setting": f"{len(crowd)} reviews, three kinds of people"}
about |= {"unit": "nats per label", "out": OUT or None}
zhang = "Zhang et al. 2024 (2410.02197)"
gain = by.loc["scores", many] - by.loc["3 turns", many]
teach.claim(
    key="turns-win-with-many-labels", effect=gain.tolist(), paper=zhang,
    expected="positive", **about,
    statement=f"With {many:,} labels of one prompt three turns beat scores.",
    meaning="Where cycles are and labels are many, a score is not enough.",
)

# %%
teach.claim(
    key="turns-explain-circles", effect=[explained], paper=zhang,
    expected=(0.8, 1.0), kind="exact", **about | {"unit": "share"},
    statement="Three turns explain most of what scores leave of a crowd.",
    meaning="The circles of this crowd are few in kind.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("13-1")` gives one hint after another.
#
# **13-1 · The circle of three** (●○○, 5 minutes). $p(1 \succ 2) = 0.8$,
# $p(2 \succ 3) = 0.7$ and $p(3 \succ 1) = 0.6$. How large is $\kappa$, the
# circle, in log-odds?

# %%
teach.answer("13-1", None)

# %% tags=["solution"]
teach.solution("13-1", torch.tensor([0.8, 0.7, 0.6]).logit().mean().item())

# %% [markdown]
# **13-2 · A turn by hand** (●○○, 5 minutes). Two turns:
# $y = (1, 2 \mid 0, 1)$ and $y' = (1, 3 \mid -2, 1)$, τ = 1, no gate. What is
# $p(y \succ y')$?

# %%
teach.answer("13-2", None)

# %% tags=["solution"]
lead_of_two = (1 * 3 - 2 * 1) + (0 * 1 - 1 * -2)
teach.solution("13-2", 1 / (1 + np.exp(-lead_of_two)))

# %% [markdown]
# **13-3 · Bug hunt** (●●○, 10 minutes). This loss of a general preference
# model has one mistake. The check names what is wrong; mend it.


# %%
def suspect(batch, cfg):
    one = batch.chosen.unflatten(-1, (-1, 2))
    two = batch.rejected.unflatten(-1, (-1, 2))
    each = one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]
    each = batch.gate * each if cfg.gated else each
    return -torch.nn.functional.logsigmoid(each.sum(-1) * cfg.tau)


teach.check.rm_gpm(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    one = batch.chosen.unflatten(-1, (-1, 2))
    two = batch.rejected.unflatten(-1, (-1, 2))
    each = one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]
    each = batch.gate * each if cfg.gated else each
    return -torch.nn.functional.logsigmoid(each.sum(-1) / cfg.tau)


assert teach.check.rm_gpm(mended).passed  # τ divides

# %% [markdown]
# **13-4 · How many numbers?** (●●○, 10 minutes). A crowd has $n = 50$
# responses, and all its log-odds are different. How many turns $k$ are enough
# for *any* such crowd? (An antisymmetric table of $n$ rows has an even rank of
# at most $n$.)

# %%
teach.answer("13-4", None)

# %% tags=["solution"]
teach.solution("13-4", 50 // 2)

# %% [markdown]
# **13-5 · One person** (●●●, 15 minutes). Take the fans alone,
# `game.population(felt[:1], torch.ones(1))[0]`. How many nats per label does
# the best table of scores leave of them? Use `fit.fitted` and `fit.excess`.

# %%
teach.answer("13-5", None)

# %% tags=["solution"]
fans = game.population(felt[:1], torch.ones(1))[0]
scored = fit.fitted(fit.even(len(fans)) * fans, 0)
finite = fans.clamp(1e-9, 1 - 1e-9)  # 0 and 1 have infinite log-odds
teach.solution("13-5", fit.excess(scored, finite))

# %% [markdown]
# ## Recap
#
# * Log-odds are a ranking plus circles; scores can only say the ranking.
# * People with scores of their own make a crowd that may have none.
# * A turn, $u v' - v u'$, can say a circle; $k$ turns say any table of rank
#   $2k$.
# * More turns need more labels: scores predict better where labels are few.
# * A model that reads both responses must be asked in both orders.
#
# Three questions to end with: call `teach.quiz("13")`. Your letters behind the
# number, as in `teach.quiz("13", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Zhang et al. 2024](https://arxiv.org/abs/2410.02197), *Beyond
#   Bradley-Terry models: a general preference model for language model
#   alignment*.
# * [Dong et al. 2024](https://arxiv.org/abs/2405.07863), *RLHF workflow: from
#   reward modeling to online RLHF*: the pairwise preference model.
# * [Jiang et al. 2011](https://arxiv.org/abs/0811.1067), *Statistical ranking
#   and combinatorial Hodge theory*: rankings and circles.
#
# Next: lesson 40 finds the policy that nobody beats when the majority runs in
# circles.
