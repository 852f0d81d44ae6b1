# ---
# jupyter:
#   workbench:
#     title: "40 · Cyclic preferences and Nash-MD"
#     part: games
#     budget_s: {ci: 60, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 40 · Cyclic preferences and Nash-MD
#
# **Claim of this notebook.** A crowd whose majority runs in circles has no
# reward, but it has an equilibrium: the policy that no rival beats. Nash
# mirror descent reaches it with its *last* policy, because it plays against a
# mixture of itself and the reference.
#
# *Munos et al. 2023, "Nash Learning from Human Feedback", arXiv 2312.00886.*

# %% [markdown]
# After this hour you can
#
# * build a majority that runs in circles out of people who do not,
# * compute best response, duality gap and equilibrium of three responses,
# * check a convergence theorem at every step,
# * say what the mixture does to the temperature,
# * spot a KL term that multiplies token by token.
#
# You need notebook 01 (π\*, KL) and notebook 30 (policy gradients). It runs in
# about a minute on one free core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
import pandas as pd
import torch

from workbench import teach, views
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.game_rollouts import GameRollouts
from workbench.loops import games as loop

# %%
from workbench.methods.games import nash_md
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.worlds import people, preference_games, solutions
from workbench.worlds.reviews import Reviews

# %%
steps = {"ci": 2, "lecture": 60, "figure": 600}[PROFILE]
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
TAU, MIXES = 0.05, (0.0, 0.125, 0.25, 0.5, 1.0)
world = Reviews(max_words=3)
reference = tiny.reference(world).to(DEVICE)
ref = reference.response_logps(world).detach()
crowd = preference_games.population(
    people.rewards(world), people.shares(), 0.5
)

# %% [markdown]
# ## The question
#
# Reward models assume that there is one number a response, and that the
# better number wins. What if more people prefer A to B, more prefer B to C,
# and more prefer C to A?
#
# **Predict before you read on.** Write down:
#
# 1. Fit a Bradley–Terry reward to such a crowd and optimise it. Can a rival
#    beat the result?
# 2. A policy plays against itself and improves, again and again. Does it
#    come to rest?
# 3. Does playing against a mixture with the reference help, and what does it
#    cost?

# %% [markdown]
# ## Look at the data
#
# Three reviews of the film and three kinds of people. Fans want praise,
# editors few words, poets many different ones. Each person is Bradley–Terry
# with a reward of their own.

# %%
texts = ("(silence)", "dull but bad", "very good and")
trio = [world.index(text) for text in texts]
felt, rows = people.rewards(world)[:, 0, trio] / 0.5, {}
for a, b in ((0, 1), (1, 2), (2, 0)):
    each = (felt[:, a] - felt[:, b]).sigmoid().tolist()
    all_of = crowd[0, trio[a], trio[b]].item()
    assert all_of > 0.5
    rows[f"{texts[a]} ≻ {texts[b]}"] = [*each, all_of]
pd.DataFrame(rows, index=[*people.TYPES, "crowd"]).T.round(2)

# %% [markdown]
# The last column is above one half in every row: the crowd goes round in a
# circle, and no member of it does.

# %% [markdown]
# ## By hand: three responses
#
# The sharpest such crowd: one kind ranks 1 ≻ 2 ≻ 3, one 2 ≻ 3 ≻ 1, one
# 3 ≻ 1 ≻ 2. `P[i, j]` is p(y_i ≻ y_j), and P + Pᵀ = 1.

# %%
names = ["rock", "paper", "scissors"]
P = preference_games.annotator_mixture(people.shares())
assert torch.allclose(P + P.T, torch.ones_like(P))
pd.DataFrame(P.tolist(), columns=names, index=names)

# %% [markdown]
# ## What a Bradley–Terry reward makes of it
#
# The best reward in the sense of maximum likelihood, for pairs drawn from
# π_ref, and for each β its optimum π ∝ π_ref exp(r/β): what a reward model
# with RL, or DPO, would reach with all the data in the world.

# %%
teach.show(preference_games.bradley_terry)

# %%
mu = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
reward = preference_games.bradley_terry(P, mu)
said = (reward[:, None] - reward[None, :]).sigmoid()
pd.DataFrame(said.tolist(), columns=names, index=names).round(3)

# %% [markdown]
# A reward cannot draw a circle: compare with P above.
#
# ## A game instead of a reward
#
# Two policies write, the crowd votes, and each pays τ for a nat of drift:
#
# J(π, π′) = P(π ≻ π′) − τ KL(π‖μ) + τ KL(π′‖μ),  μ = π_ref.
#
# Against a fixed π′ this is the problem of notebook 01 with the reward
# p(y ≻ π′), so the **best response** is ∝ μ(y) exp(p(y ≻ π′)/τ). The
# equilibrium answers itself:
#
# **π\*_τ(y) ∝ μ(y) exp(p(y ≻ π\*_τ)/τ).**
#
# The **duality gap** of π is what a best-responding rival gains on either
# side, max_a J(a, π) − min_b J(π, b). It is 0 at π\*_τ and nowhere else.


# %%
def J(a, b):  # what a earns against b
    drift = solutions.kl(a, mu) - solutions.kl(b, mu)
    return a.exp() @ P @ b.exp() - TAU * drift


even = torch.full((3,), 1 / 3, dtype=torch.float64).log()
rival, nash = (
    preference_games.best_response(P, even, mu, TAU),
    preference_games.nash(P, mu, TAU),
)
by_hand = J(rival, even) - J(even, rival)
assert torch.allclose(by_hand, preference_games.duality_gap(P, even, mu, TAU))
frame = {"μ": mu, "best response to even": rival, "π*_τ": nash}
pd.DataFrame({k: v.exp().tolist() for k, v in frame.items()}, names).round(3)

# %% [markdown]
# Now give the reward its best chance: the β with the smallest gap, on the
# three responses and on all reviews.

# %%
betas = torch.logspace(0.5, -1.7, 45).tolist()
whole = preference_games.bradley_terry(crowd, ref)


def least(matrix, law, r):  # smallest gap over β
    tried = [solutions.optimal_policy(law, r, b) for b in betas]
    gaps = [
        preference_games.duality_gap(matrix, p, law, TAU).mean() for p in tried
    ]
    return min(gaps).item()


# %%
teach.claim(
    key="no_reward_is_nash", paper="Munos et al. 2023 (2312.00886)",
    statement="At every β a rival beats the optimum of the fitted reward.",
    effect=[least(P, mu, reward), least(crowd, ref, whole)],
    expected=(1e-3, float("inf")), kind="exact", out=OUT or None,
    unit="duality gap (probability)", setting=f"τ = {TAU}, best of 45 β",
)  # fmt: skip

# %% [markdown]
# ## Nash mirror descent
#
# Best responses to best responses chase each other in a circle. Nash-MD takes
# small steps, and takes them against a **mixture**:
#
# μ_t ∝ π_t^(1 − η_t τ) μ^(η_t τ),  π_{t+1} ∝ μ_t exp(η_t p(y ≻ μ_t)).
#
# The pull towards μ enters twice: in what the step starts from, and in whom
# it plays.

# %%
teach.show(nash_md.step)

# %%
cfg = nash_md.Config(tau=TAU)


def mirror(matrix, law, eta=lambda t: nash_md.schedule(t, cfg)):
    """The rule of Nash-MD in a game, with its step sizes."""
    return lambda t, p: nash_md.step(p, law, matrix, eta(t), cfg)


def walk(rule, n, start=mu):
    """The first n policies of a rule, the start included."""
    path = [start]
    for t in range(n):
        path.append(rule(t, path[-1]))
    return torch.stack(path)


# %%
rate = preference_games.win_rate
hedge = lambda t, p: (p + 0.5 * rate(P, p)).log_softmax(-1)
answer = lambda t, p: preference_games.best_response(P, p, mu, TAU)
paths = {"nash_md": walk(mirror(P, mu), 80), "τ = 0": walk(hedge, 400),
         "best responses": walk(answer, 24)}  # fmt: skip
away = {name: solutions.kl(nash, path[-1]) for name, path in paths.items()}
assert min(away, key=away.get) == "nash_md"
shown = [pd.DataFrame(path.exp().tolist(), columns=names).assign(curve=k)
         for k, path in paths.items()]  # fmt: skip
shown = pd.concat(shown).rename_axis("step").reset_index()
said = "Of the three paths only that of nash_md ends at the cross."
views.simplex(shown, nash.exp().tolist(), names=names, caption=said)

# %% [markdown]
# `best responses` answers the last policy in full, and falls into an orbit.
# `τ = 0` is self-play without a reference: it spirals outwards, although its
# average does not (exercise 2).

# %% [markdown]
# ## The theorem, at every step
#
# With η_t = 2/(τ(t + 2)): KL(π\*_τ‖π_t) ≤ 8/(τ²(t + 1)) for the last iterate.
# We check it on the three responses and on all reviews, where a step is one
# product with a matrix of 585 × 585 a prompt.

# %%
n = {"ci": 20, "lecture": 200, "figure": 1000}[PROFILE]
nash_all = preference_games.nash(crowd, ref, TAU, tolerance=1e-8)
here, there = walk(mirror(P, mu), n), walk(mirror(crowd, ref), n, ref)
distance = pd.DataFrame({"t + 1": range(1, n + 2)})
distance["three responses"] = solutions.kl(nash.expand_as(here), here).tolist()
far = solutions.kl(nash_all.expand_as(there), there)
distance["all reviews"] = far.amax(-1)
distance["bound"] = 8 / (TAU**2 * distance["t + 1"])
slack = -distance.iloc[:, 1:3].sub(distance.bound, axis=0).max()
frame = distance.melt("t + 1", var_name="curve", value_name="kl")

# %%
teach.claim(
    key="last_iterate_bound", paper="Munos et al. 2023 (2312.00886)",
    statement="KL(π*_τ‖π_t) stays below 8/(τ²(t + 1)) at every t.",
    effect=slack, expected="positive", kind="exact", unit="nats of slack",
    setting=f"τ = {TAU}, {n} steps", out=OUT or None, must_hold=True,
)  # fmt: skip
views.training_curves(
    frame, {"kl": "KL(π*_τ‖π_t) (nats)"}, x="t + 1", by="curve",
    caption="Both distances stay below the bound.", log_x=True, log_y=True,
)  # fmt: skip

# %% [markdown]
# ## What a constant step costs
#
# Keep η fixed instead. The limit π_∞ satisfies π_∞ ∝ μ_∞ exp(η p(y ≻ μ_∞))
# with μ_∞ ∝ π_∞^(1−ητ) μ^(ητ). Insert one into the other:
# μ_∞ ∝ μ exp(((1 − ητ)/τ) p(y ≻ μ_∞)). So the *mixture* is the equilibrium of
# the warmer temperature τ/(1 − ητ), and π_∞ is none.

# %%
fixed = 0.25 / TAU
limit = walk(mirror(P, mu, lambda t: fixed), 4000)[-1]
warm = preference_games.nash(P, mu, TAU / (1 - fixed * TAU))
error = (nash_md.mixture(limit, mu, fixed * TAU) - warm).expm1()
teach.claim(
    key="constant_step_is_warmer", paper="derived here, for 2312.00886",
    statement="With a constant η the mixture's limit is Nash at τ/(1 − ητ).",
    effect=error, expected="zero", tolerance=1e-8, kind="exact",
    unit="relative error", setting=f"ητ = {fixed * TAU}", out=OUT or None,
)  # fmt: skip

# %% [markdown]
# ## With a neural policy
#
# Nobody enumerates responses of a real model. Nash-MD-PG samples y from π and
# the rival y′ from the mixture with a **fixed** weight b:
#
# L = −sg[p(y ≻ y′) − ½ − τ log π(y)/μ(y)] · log π(y).
#
# b = 0 is self-play, b = 1 plays against the reference for ever.

# %%
teach.show(nash_md.loss)

# %% [markdown]
# ## What b does to the fixed point, exactly
#
# The bracket is constant where π_b ∝ μ exp(p(y ≻ m_b)/τ). By the algebra
# above m_b is Nash at τ/(1 − b): mixing changes the temperature. Here is the
# gap of π_b at the *same* τ, without any training.


# %%
def gap(logps):  # averaged over prompts
    return preference_games.duality_gap(crowd, logps, ref, TAU).mean(-1)


at = preference_games.resting_point
rest = [gap(at(crowd, ref, TAU, b)).item() for b in MIXES]
teach.claim(
    key="mixing_moves_the_fixed_point", paper="derived here, for 2312.00886",
    statement="More reference in the opponent: a larger gap at rest.",
    effect=[b - a for a, b in zip(rest, rest[1:], strict=False)], kind="exact",
    expected="positive", unit="duality gap (probability)",
    setting=f"reviews-3, τ = {TAU}", out=OUT or None,
)  # fmt: skip

# %% [markdown]
# In the limit self-play is best by construction. The paper's claim is about
# training: the mixture may steady a policy that chases itself. Train and see.


# %%
def measure(policy):
    law = policy.response_logps(world).detach().reshape(-1, *ref.shape)
    kl = solutions.kl(law, ref).mean(-1)
    return pd.DataFrame({"gap": gap(law), "kl": kl})


# %%
def train(name, mix, method=nash_md):
    """All seeds with one mixture weight; the step size shrinks to 0."""
    run = loop.fit(
        reference.copies(seeds).to(DEVICE), reference, world,
        lambda x, y, other: crowd[x, y, other], method,
        nash_md.Config(tau=TAU, mix=mix), steps=steps, batch_size=32,
        seed=SEED, every=max(1, steps // 6), measures=[measure], decay=True,
    )  # fmt: skip
    return run.metrics.assign(opponent=name)


COLUMNS = {"gap": "duality gap (probability)", "kl": "KL(π‖π_ref) (nats)"}
# %%
runs = pd.concat([train(f"b = {b}", b) for b in MIXES], ignore_index=True)
said = "Every opponent brings the gap down from that of π_ref."
views.training_curves(runs, COLUMNS, by="opponent", caption=said)

# %%
last = runs[runs.step == steps].sort_values("seed")
end = [last[last.opponent == f"b = {b}"].gap.to_numpy() for b in MIXES]
table = {"b": MIXES, "trained": [g.mean() for g in end], "at rest": rest}
pd.DataFrame(table).round(4)

# %% [markdown]
# Read the two columns together. Where the trained gaps stand far above the
# gaps at rest, noise and time decide, and the opponent hardly does.

# %%
small, verdicts = (end[1] + end[2]) / 2, set()
for name, other in (("0", end[0]), ("1", end[-1])):
    made = teach.claim(
        key=f"mixture_beats_b_{name}", paper="Munos et al. 2023 (2312.00886)",
        statement=f"b = 0.125, 0.25 end with a smaller gap than b = {name}.",
        effect=other - small, expected="positive", out=OUT or None,
        unit="duality gap (probability)",
        setting=f"reviews-3, τ = {TAU}, {steps} steps of 32 games",
    )  # fmt: skip
    verdicts.add(made.verdict)

# %% [markdown]
# ## Break it: the KL token by token
#
# A public trainer writes the KL term as Σ_t sg[l_t]·log π_t: each token's
# log-ratio meets its own log-prob only. Early words then hear nothing of the
# drift that they lead to. In training the noise hides it. So we take the noise
# out: a table of logits, all reviews enumerated, the exact mean of the loss.

# %%
prompt = torch.arange(4).repeat_interleave(world.n_responses)
every = world.tokens(prompt, torch.arange(world.n_responses).repeat(4))
base = TabularPolicy(world, ref).token_logps(every).detach()


def mean_loss(policy, loss):
    """Expected loss of self-play; its gradient has no noise."""
    law, now = policy.response_logps().detach(), policy.token_logps(every)
    wins = preference_games.win_rate(crowd, law).flatten()
    batch = GameRollouts(now, base, every.mask, wins)
    return law.exp().flatten() @ loss(batch, cfg)


# %%
def descend(name, loss):  # exact gradient steps from π_ref
    policy, rows = TabularPolicy(world, ref), []
    adam = torch.optim.Adam(policy.parameters(), lr=0.05)
    decay = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, 6 * steps)
    for step in range(6 * steps):
        rows.append(measure(policy).assign(step=step, loss=name))
        adam.zero_grad()
        mean_loss(policy, loss).backward()
        adam.step(), decay.step()
    return pd.concat(rows[:: max(1, steps // 6)])


# %%
tokenwise = nash_md.mistakes["1 KL token by token"]
both = [descend("library", nash_md.loss), descend("tokenwise", tokenwise)]
views.training_curves(
    pd.concat(both), {"gap": COLUMNS["gap"]}, by="loss", log_y=True,
    caption="Only the library's loss brings the gap down to the end.",
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# **1. The loss (●○○, 5 minutes).** `batch.preference` is p(y ≻ y′); one value
# a response, and no gradient into the bracket.


# %%
def my_loss(batch, cfg):
    raise NotImplementedError("Exercise 1: minus the bracket times log π(y)")


teach.check.nash_md(my_loss)


# %% tags=["solution"]
def my_solution(batch, cfg):
    l = sequence_logps(batch.policy - batch.ref, batch.mask)
    bracket = batch.preference - 0.5 - cfg.tau * l
    return -bracket.detach() * sequence_logps(batch.policy, batch.mask)


verdict = teach.check.nash_md(my_solution)
assert verdict.passed, verdict

# %% [markdown]
# **2. The average (●●○, 10 minutes).** Self-play with τ = 0 never rests. What
# does the *average* of its policies do? Compare max_y p(y ≻ π) − ½.

# %% tags=["solution"]
circling = walk(hedge, 4000).exp()
beaten = [(P @ p).max() - 0.5 for p in (circling[-1], circling.mean(0))]
assert beaten[1] < beaten[0]
print(f"last policy: beaten by {beaten[0]:.3f}, average: {beaten[1]:.3f}")

# %% [markdown]
# **3. A crowd without circles (●●●, 20 minutes).** Set the shares of editors
# and poets to zero. Which of the gaps of `no_reward_is_nash` becomes zero, and
# which does not, and why? (A win rate is bounded, a reward is not.)

# %% [markdown]
# ## What must hold

# %%
known = {"reproduced", "contradicted", "not at this scale", "too few seeds"}
assert (
    set(verdicts) <= known and runs.gap.notna().all() and (runs.gap > 0).all()
)
assert slack.min() > 0 and abs(rest[0]) < 1e-6 < rest[-1] < gap(ref)

# %% [markdown]
# ## References, and what comes next
#
# * Munos et al. 2023, *Nash learning from human feedback*, arXiv 2312.00886.
# * Swamy et al. 2024, *A minimaximalist approach to RLHF*, arXiv 2401.04056
#   (self-play, and the average policy of exercise 2).
# * Calandriello et al. 2024, *Human alignment of LLMs through online
#   preference optimisation*, arXiv 2403.08635 (IPO-MD, the same fixed point).
# * Zhou, Fazel, Du 2025, arXiv 2503.08942 (extragradient: how `games.nash`
#   finds the equilibrium).
#
# Next: **60**, where the weights stay as they are.
