# ---
# jupyter:
#   workbench:
#     title: "40 · Nash-MD: what to learn when the majority runs in circles"
#     part: games
#     path: core
#     needs: ["01", "10", "30"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 40 · Nash-MD: what can be learned when the majority runs in circles?
#
# **The idea in one sentence.** A crowd that prefers a to b, b to c and c to a
# has no reward, but it has an equilibrium: a mixture of responses that no
# rival beats, and small steps with a pull towards the reference lead there.
#
# After this lesson you can
#
# * build a majority that runs in circles out of people who do not,
# * compute the best response, the duality gap and one step of Nash mirror
#   descent (Nash-MD) on three responses by hand,
# * derive how much nearer one step brings a policy,
# * tell a bound that says something from one that every program passes.
#
# *Needs*: lessons 01 ($\pi^*_\beta$, KL), 10 (Bradley–Terry rewards) and 30
# (policy gradients). About 90 minutes. Words are explained in the
# [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.core.logps import sequence_logps
from workbench.lesson import *
from workbench.loops import games
from workbench.measure import equilibrium
from workbench.methods.games import nash_md
from workbench.views.instruments import walk_explorer
from workbench.worlds import people
from workbench.worlds import preference_games as game

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 100, 1000))
tau = 0.05  # preference probability per nat of drift
world = Reviews(max_words=3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
crowd = game.population(people.rewards(world), people.shares(), 0.5)

# %% [markdown]
# ## The question
#
# A reward model gives each response one number, and the larger number wins.
# Now let more people prefer a to b, more prefer b to c, and more prefer c to
# a. This is a *Condorcet cycle*. What should a policy learn from such people?
#
# Choose an answer to each prediction: write it into the cell as `mine="…"`.

# %%
display(
    teach.predict(
        "40-1",
        "Three kinds of people vote, each by a reward of their own. Can the "
        "majority run in a circle, and can one reward say so?",
        ["no circle", "a circle, and a reward", "a circle, and no reward"],
    ),
    teach.predict(
        "40-2",
        "A policy is replaced by the best response to itself, again and "
        "again. Does it come to rest?",
        ["it comes to rest", "it keeps moving"],
    ),
    teach.predict(
        "40-3",
        "It takes small steps against itself, without a pull towards the "
        "reference. Does it come nearer to the equilibrium of that game?",
        ["nearer", "further away"],
    ),
)

# %% [markdown]
# ## Three data points
#
# Three reviews and three kinds of people: fans want praise, editors want few
# words, poets want many different ones. Each person is Bradley–Terry with a
# reward of their own. The crowd votes; its column is the mean over people.

# %%
names, circle = ["silence", "dull", "praise"], [(0, 1), (1, 2), (2, 0)]
texts = ["(silence)", "dull but bad", "very good and"]
rows = [world.index(text) for text in texts]
felt = people.rewards(world)[:, 0, rows] / 0.5
P, votes = crowd[0, rows][:, rows], {}
for a, b in circle:
    each = (felt[:, a] - felt[:, b]).sigmoid().tolist()
    votes[f"{texts[a]} ≻ {texts[b]}"] = [*each, P[a, b].item()]
pd.DataFrame(votes, index=[*people.TYPES, "crowd"]).T.round(2)

# %% [markdown]
# Read the rows from left to right: nobody is undecided, and nobody runs in a
# circle. The last column is above one half in every row: the crowd does.
#
# ## What one reward makes of it
#
# The table `P` holds $P_{ij} = p(y_i \succ y_j)$ of the three reviews. Beside
# it stands what the best Bradley–Terry (BT) reward says, by maximum
# likelihood, for pairs drawn from a reference $\pi_{\text{ref}}$ that writes
# the three with probabilities 0.6, 0.3 and 0.1.

# %%
base = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
reward = game.bradley_terry(P, base)
stated = (reward[:, None] - reward[None, :]).sigmoid()
both = torch.cat([P, stated], dim=1).tolist()
heads = [f"{who}: ≻ {name}" for who in ("crowd", "BT") for name in names]
pd.DataFrame(both, columns=heads, index=names).round(2)

# %% [markdown]
# A reward is a ranking, and a ranking has a first place. The crowd's table
# has none.
#
# ## A game instead of a reward
#
# 1. Two policies write, the crowd votes, and each pays $\tau$ per nat of
#    drift. What $\pi$ earns against $\pi'$ is
#    $$J(\pi, \pi') = p(\pi \succ \pi') - \tau\,\text{KL}(\pi\Vert
#    \pi_{\text{ref}}) + \tau\,\text{KL}(\pi'\Vert\pi_{\text{ref}}).$$
# 2. Against a fixed $\pi'$ this is the problem of lesson 01. The reward of
#    $y$ is its chance to win, $p(y \succ \pi')$, and $\beta$ is $\tau$.
# 3. So the **best response** to $\pi'$ is
#    $\pi_{\text{ref}}(y)\, e^{p(y \succ \pi')/\tau}$, normalised.
# 4. The **Nash equilibrium** is the policy that answers itself:
#    $$\pi^*_\tau(y) \propto \pi_{\text{ref}}(y)\,
#    e^{p(y \succ \pi^*_\tau)/\tau}.$$
# 5. The **duality gap** of $\pi$ is what a rival with the best response $a$
#    gains on either side, $J(a, \pi) - J(\pi, a)$. It is 0 at $\pi^*_\tau$ and
#    positive everywhere else.
#
# ## By hand: the gap of the even policy

# %%
even = torch.full((3,), 1 / 3, dtype=torch.float64)
wins = P @ even  # p(y ≻ even)
tilted = base.exp() * (wins / tau).exp()
rival = tilted / tilted.sum()
table = {"π_ref": base.exp(), "p(y ≻ even)": wins, "best response": rival}
table = {name: column.tolist() for name, column in table.items()}
display(pd.DataFrame(table, index=names).round(3))
drift = [(p * (p.log() - base)).sum() for p in (rival, even)]
earned = rival @ P @ even - tau * drift[0] + tau * drift[1]
gap = earned - (1 - earned)  # J(a, even) + J(even, a) = 1
print(f"drift {drift[0]:.3f}, {drift[1]:.3f}; J {earned:.3f}; gap {gap:.3f}")
assert torch.allclose(gap, game.duality_gap(P, even.log(), base, tau))

# %% [markdown]
# ## No reward leads there
#
# Give the reward its best chance: all the data in the world, and any price
# $\beta$. The optimum $\pi_{\text{ref}}\, e^{r/\beta}$ then moves along one
# curve, drawn in the triangle of all mixtures of three responses.

# %%
nash = game.nash(P, base, tau)
betas = torch.logspace(0.5, -1.7, 45).tolist()
fits = [solutions.optimal_policy(base, reward, beta) for beta in betas]
nearest = min(solutions.kl(nash, fit).item() for fit in fits)
curve = pd.DataFrame(torch.stack(fits).exp().tolist(), columns=names)
curve = curve.assign(curve="optimum of the reward, every β", step=range(45))
said = f"The curve misses the cross: it stays {nearest:.2f} nats away from it."
cross = nash.exp().tolist()
views.simplex(curve, cross, names=names, title="One reward", caption=said)

# %% [markdown]
# ## Nash mirror descent
#
# Best responses to best responses chase each other in a circle. Nash-MD takes
# small steps of size $\eta_t$, and plays them against a **mixture** $m_t$ of
# the policy and the reference:
#
# 1. The opponent: $m_t(y) \propto \pi_t(y)^{1 - \eta_t\tau}\,
#    \pi_{\text{ref}}(y)^{\eta_t\tau}$.
# 2. The step: $\pi_{t+1}(y) \propto m_t(y)\, e^{\eta_t\, p(y \succ m_t)}$.
# 3. The sizes: $\eta_t = \frac{2}{\tau(t + 2)}$ for $t = 0, 1, 2, \ldots$
#
# The pull towards $\pi_{\text{ref}}$ enters twice: the step starts from the
# mixture, and it plays against the mixture.
#
# ## By hand: one step
#
# From the even policy, with $\eta = 2$, so that $\eta\tau = 0.1$.

# %%
display(teach.show(nash_md.step))
eta, cfg = 2.0, nash_md.Config(tau=tau)
mixed = even**0.9 * base.exp() ** 0.1
mixed = mixed / mixed.sum()
wins = P @ mixed
tilted = mixed * (eta * wins).exp()
after = tilted / tilted.sum()
assert torch.allclose(after.log(), nash_md.step(even.log(), base, P, eta, cfg))
table = {"even": even, "mixture m": mixed, "p(y ≻ m)": wins, "next": after}
pd.DataFrame({k: v.tolist() for k, v in table.items()}, names).round(3)

# %% [markdown]
# ## The walk
#
# Three ways to improve against oneself, from the same start: Nash-MD, best
# responses, and small steps with $\tau = 0$, which is self-play without a
# reference. In a live notebook you choose the start (by a click on a dot, or
# with its slider), the price $\tau$ and who beats whom, and play the steps.
# Make one response win against both others: do all three walks agree now?

# %%
walk_explorer(P, base, names, tau=tau)

# %% [markdown]
# The best responses jump from corner to corner: each answers the last one in
# full. Self-play has no price on drift, so its equilibrium is another one; it
# runs around that one on a widening spiral. Nash-MD alone comes to rest.
#
# ## Why it comes to rest: one step, derived
#
# Write $D_t = \text{KL}(\pi^*_\tau\Vert\pi_t)$, $\eta$ for $\eta_t$, and let
# $S$ be the largest spread of $p(y \succ y')$ over $y$.
#
# 1. By the rule of the step, $D_{t+1} = \text{KL}(\pi^*_\tau\Vert m_t) -
#    \eta\, p(\pi^*_\tau \succ m_t) + \log \sum_y m_t(y)\,
#    e^{\eta\, p(y \succ m_t)}$.
# 2. A bounded variable obeys Hoeffding's lemma: the logarithm is at most
#    $\frac{\eta}{2} + \frac{\eta^2 S^2}{8}$, since $p(m_t \succ m_t) =
#    \frac12$.
# 3. By the rule of the mixture, $\text{KL}(\pi^*_\tau\Vert m_t) \le
#    (1 - \eta\tau) D_t + \eta\tau\,[\text{KL}(\pi^*_\tau\Vert
#    \pi_{\text{ref}}) - \text{KL}(m_t\Vert\pi_{\text{ref}})]$.
# 4. Insert both. What remains beside $(1 - \eta\tau) D_t$ and
#    $\frac{\eta^2 S^2}{8}$ is $-\eta\,[J(\pi^*_\tau, m_t) - \frac12]$, and the
#    equilibrium never earns less than one half.
# 5. So $D_{t+1} \le (1 - \eta_t\tau)\, D_t + \frac{\eta_t^2 S^2}{8}$, and with
#    the sizes above $D_t \le \frac{S^2}{2\tau^2 (t + 1)}$.
#
# The paper has $2\eta^2$ in the place of $\frac{\eta^2 S^2}{8}$, which is
# larger and so holds as well.

# %% [markdown]
# ## Break it: a check that wrong programs must fail
#
# A bound is a test of a program only where a wrong program would break it. We
# run three wrong ones: one never moves, one reads the preference the wrong
# way round, one takes a tenth of each step.

# %%
n, right = 2000, equilibrium.mirror(P, base, tau)
rules = {
    "Nash-MD": right,
    "never moves": lambda t, p: p,
    "preference transposed": equilibrium.mirror(P.T, base, tau),
    "a tenth of each step": equilibrium.mirror(P, base, tau, 0.1),
}
runs = {name: equilibrium.walk(rule, n, base) for name, rule in rules.items()}
far = {k: solutions.kl(nash.expand_as(p), p) for k, p in runs.items()}
spread = (P.amax(0) - P.amin(0)).max()
bound = spread**2 / (2 * tau**2 * torch.arange(1, n + 2))

# %%
at = np.unique(np.geomspace(1, n + 1, 70).astype(int))
lines = {"bound": bound, "the paper's bound": 16 * bound / spread**2} | far
looks = [*map(views.role, ("fitted", "guide")), *map(views.series, range(4))]
layers = []
for (name, line), look in zip(lines.items(), looks, strict=True):
    layers.append(views.Line(at.tolist(), line[at - 1].tolist(), name, look))
axes = ("t + 1 (steps)", "KL(π*‖π_t) (nats)", layers)
chart = views.Chart("Distance to equilibrium", *axes, x_log=True, y_log=True)
over = ", ".join(name for name, kl in far.items() if (kl > bound).any())
said = f"Above the dotted bound at some step: {over}."
views.Fig(views.Panels([chart], height=3.8), said, pd.DataFrame({"t + 1": at}))

# %% [markdown]
# Look at the grey line, the bound with the paper's constant: all four programs
# stay below it for all 2,000 steps. It is a theorem, and at this size it is no
# test. The dotted bound becomes one where it falls below the start.
#
# A single step says more. Its *ratio* is $D_{t+1}$ divided by the right-hand
# side of line 5. We take the largest over all steps, and add all 585 reviews
# of four prompts, where a step is one product with a matrix of 585 × 585.

# %%
goal = game.nash(crowd, ref, tau, tolerance=1e-8)
steps = equilibrium.walk(equilibrium.mirror(crowd, ref, tau), 100, ref)
wide = (crowd.amax(-2) - crowd.amin(-2)).amax(-1)
ratios = {"all reviews": equilibrium.one_step_ratio(steps, goal, wide, tau)}
for name, path in runs.items():
    ratios[name] = equilibrium.one_step_ratio(path, nash, spread, tau)
ratios = {name: value.max().item() for name, value in ratios.items()}
assert {name for name in ratios if ratios[name] > 1} == {*rules} - {"Nash-MD"}
pd.Series(ratios, name="largest ratio").to_frame().round(3)

# %% [markdown]
# ## Train a neural policy
#
# Nobody enumerates the responses of a real model. Nash-MD samples: $y$ from
# $\pi$, the rival $y'$ from a mixture with a fixed weight of the reference.
# Its loss is a policy gradient, with the chance to win as the reward and one
# half as the baseline:
#
# $$L = -\,\text{sg}\Big[p(y \succ y') - \tfrac12 - \tau \log
# \frac{\pi(y)}{\pi_{\text{ref}}(y)}\Big] \log \pi(y),$$
#
# where $\text{sg}$ lets no gradient through.

# %%
measure = equilibrium.Tracker(world, crowd, ref, tau, goal)
vote_of = lambda prompt, mine, other: crowd[prompt, mine, other]
players = (reference.copies(size.seeds).to(DEVICE), reference, world, vote_of)
every = max(1, size.steps // 10)
plan = {"steps": size.steps, "batch_size": 32, "seed": SEED, "every": every}
run = games.fit(*players, nash_md, cfg, measures=[measure], decay=True, **plan)

# %%
walked = measure(steps).assign(run="exact", seed=0, step=range(len(steps)))
trained = run.metrics.assign(run="sampled games")
both = pd.concat([walked[walked.step <= size.steps], trained])
ends = both[both.step == size.steps].groupby("run").gap.mean()
reward_gap = equilibrium.least_gap(crowd, ref, tau, betas)
said = f"At the end sampled games have a gap of {ends['sampled games']:.3f}, "
said += f"exact steps {ends['exact']:.4f}, the best reward {reward_gap:.3f}."
label = {"gap": "duality gap (probability)", "distance": "KL(π*‖π) (nats)"}
views.training_curves(both, label, by="run", log_y=True, caption=said)

# %% [markdown]
# Both panels measure the distance to the exact optimum. Sampled games lose
# most of the gap and about half of the KL, and then hardly move: the step size
# fades, and a fixed mixture has a fixed point of its own (study 40b). Exact
# steps go on. The last number of the caption is a *perfect* optimiser of the
# best reward. It is harder to beat than our short sampled run; but that is its
# floor, and exact steps pass it.
#
# ## Answers

# %%
voted = [P[a, b].item() for a, b in circle]
scored = [stated[a, b].item() for a, b in circle]
kind = "a circle, and " + ("a" if min(scored) > 0.5 else "no") + " reward"
around = [" ".join(f"{p:.2f}" for p in column) for column in (voted, scored)]
teach.reveal(
    "40-1",
    right=kind if min(voted) > 0.5 else "no circle",
    because=f"around the circle the crowd votes {around[0]}, and the best "
    f"reward says {around[1]}: three differences of one score add up to 0 "
    "around a circle, so not all of them can be positive.",
)

# %%
walks = equilibrium.walks(P, base, tau, 80)
jumps, spiral = walks["best responses"], walks["self-play, τ = 0"]
moved = solutions.kl(jumps[-2], jumps[-1]).item()
teach.reveal(
    "40-2",
    right="it keeps moving" if moved > 0.01 else "it comes to rest",
    because=f"the last two best responses are still {moved:.2f} nats apart: "
    "each beats the policy before it, and is beaten by the next.",
)

# %%
free = torch.linalg.solve(P, torch.ones_like(even)).log().log_softmax(-1)
ends = [solutions.kl(free, spiral[t]).item() for t in (0, -1)]
teach.reveal(
    "40-3",
    right="nearer" if ends[1] < ends[0] else "further away",
    because="the KL from the equilibrium of the game without a price goes "
    f"from {ends[0]:.2f} to {ends[1]:.2f} nats: each step is right about the "
    "policy that it leaves, and that policy is then gone.",
)

# %% [markdown]
# ## Claims

# %%
about = {"kind": "exact", "out": OUT or None}
claim = teach.claim(
    key="no_reward_is_nash",
    paper="Munos et al. 2023 (2312.00886)",
    statement="At every β a rival beats the optimum of the fitted reward.",
    meaning="A cycle is lost when preferences become one score.",
    effect=[equilibrium.least_gap(P, base, tau, betas), reward_gap],
    expected=(1e-3, float("inf")),
    unit="duality gap (probability)",
    setting="three responses and all reviews, best of 45 β, one reference",
    **about,
)

# %%
claim = teach.claim(
    key="one_step",
    paper="ours",
    statement="KL(π*‖π_{t+1}) ≤ (1 − ητ) KL(π*‖π_t) + η²S²/8 at each step.",
    meaning="Each step brings the last policy nearer, up to an error of η².",
    effect=[ratios["Nash-MD"], ratios["all reviews"]],
    expected=(0.0, 1.0),
    unit="left-hand side / right-hand side",
    setting="τ = 0.05, one reference model; three wrong programs exceed 1",
    must_hold=True,
    **about,
)

# %% [markdown]
# What the weight of the reference in a sampled opponent changes, and what a
# KL term does that multiplies token by token, is the study **40b**. Rounds of
# pairs instead of steps are the study **40a**.
#
# ## Exercises
#
# `teach.hint("40-1")` gives one hint after another.
#
# **40-1 · When a bound begins to speak** (●○○, 5 minutes). In the figure of
# *Break it*: at about which $t + 1$ does the dotted bound fall below the line
# of the program that never moves?

# %%
teach.answer("40-1", None)

# %% tags=["solution"]
below = bound < far["never moves"][0]
teach.solution("40-1", below.nonzero()[0].item() + 1)

# %% [markdown]
# **40-2 · Two responses** (●●○, 10 minutes). There are two responses, a beats
# b with probability 0.8, the reference writes each with probability ½, and
# $\tau = 0.2$. With which probability does $\pi^*_\tau$ write a?

# %%
teach.answer("40-2", None)

# %% tags=["solution"]
pair = torch.tensor([[0.5, 0.8], [0.2, 0.5]], dtype=torch.float64)
coin = torch.tensor([0.5, 0.5], dtype=torch.float64).log()
teach.solution("40-2", game.nash(pair, coin, 0.2).exp()[0])

# %% [markdown]
# **40-3 · The loss** (●●○, 10 minutes). `batch.preference` is
# $p(y \succ y')$, one number per response; `batch.policy` and `batch.ref` are
# log-probs per token, and `sequence_logps(values, batch.mask)` sums over the
# tokens. Let no gradient into the bracket.


# %%
def my_loss(batch, cfg):
    raise NotImplementedError("40-3: minus the bracket times log π(y)")


teach.check.nash_md(my_loss)


# %% tags=["solution"]
def my_solution(batch, cfg):
    logratio = sequence_logps(batch.policy - batch.ref, batch.mask)
    bracket = batch.preference - 0.5 - cfg.tau * logratio
    return -bracket.detach() * sequence_logps(batch.policy, batch.mask)


teach.check.nash_md(my_solution)

# %% [markdown]
# **40-4 · Bug hunt** (●●○, 10 minutes). A public trainer once wrote the loss
# like this. It runs, it is right for responses of one token, and it learns. In
# which line is the mistake: 1, 2 or 3?


# %%
def suspect(batch, cfg):
    logratio = batch.policy - batch.ref  # line 1
    bracket = batch.preference[:, None] - 0.5 - cfg.tau * logratio  # line 2
    return -sequence_logps(bracket.detach() * batch.policy, batch.mask)  # 3


teach.answer("40-4", None)

# %% tags=["solution"]
display(teach.check.nash_md(suspect))
teach.solution("40-4", 1)

# %% [markdown]
# **40-5 · A crowd without circles** (●●●, 25 minutes). Let all people be fans,
# who are Bradley–Terry: `game.population(felt[:1], torch.ones(1).double())`.
# Compute the smallest duality gap over $\beta$ on the three reviews, at the
# price $\tau = 0.1$. Is it `"zero"`, `"smaller"` than that of the crowd but
# not zero, or `"larger"`? And a second experiment: which is harder to beat,
# the last policy of 4,000 steps of self-play with $\tau = 0$, or the average
# of all of them?

# %%
teach.answer("40-5", None)

# %% tags=["solution"]
fans = game.population(felt[:1], torch.ones(1).double())
gaps = [equilibrium.least_gap(m, base, 0.1, betas) for m in (fans, P)]
longer = equilibrium.walks(P, base, tau, 800)["self-play, τ = 0"].exp()
beaten = [(P @ p).max() - 0.5 for p in (longer[-1], longer.mean(0))]
say(
    f"Gaps: fans {gaps[0]:.4f}, crowd {gaps[1]:.4f}. A rival wins beyond one "
    f"half: last {beaten[0]:.3f}, average {beaten[1]:.3f}."
)
less = "smaller" if gaps[0] < gaps[1] else "larger"
teach.solution("40-5", "zero" if gaps[0] < 1e-6 else less)

# %% [markdown] tags=["solution"]
# The reward is right about every pair of the fans. But the game pays for wins,
# and a win rate is at most 1: it saturates where a reward goes on growing. So
# no $\beta$ turns $e^{r/\beta}$ into $e^{p(y \succ \pi)/\tau}$ for all
# responses at once. The average of the spiral lies near the point that the
# spiral runs around, so it is hardly beaten, although no single policy on the
# way is like it.

# %% [markdown]
# ## Recap
#
# * People with one reward each can form a majority that runs in a circle.
# * One score per response cannot draw a circle, at no price $\beta$.
# * The game has an equilibrium $\pi^*_\tau$: the policy that is the best
#   response to itself, with a duality gap of 0.
# * Best responses and self-play without a reference keep moving. Nash-MD pulls
#   towards the reference, and its last policy comes to rest.
# * Before you trust a bound, run a wrong program against it.
#
# Three questions to end with: call `teach.quiz("40")`. Your letters behind the
# number, as in `teach.quiz("40", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * Munos et al. 2023, *Nash learning from human feedback*,
#   [2312.00886](https://arxiv.org/abs/2312.00886).
# * Swamy et al. 2024, *A minimaximalist approach to reinforcement learning
#   from human feedback*, [2401.04056](https://arxiv.org/abs/2401.04056):
#   self-play, and the average policy of exercise 40-5.
# * Calandriello et al. 2024, *Human alignment of large language models through
#   online preference optimisation*,
#   [2403.08635](https://arxiv.org/abs/2403.08635): the same fixed point.
# * Zhou, Fazel, Du 2025, [2503.08942](https://arxiv.org/abs/2503.08942): how
#   `nash` in `worlds.preference_games` finds the equilibrium.
#
# Next: [**60 · Decoding with values**](60_decoding_with_values.ipynb), where
# the weights stay as they are.
