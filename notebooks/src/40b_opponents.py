# ---
# jupyter:
#   workbench:
#     title: "40b · How much of the reference should the opponent be?"
#     part: games
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 40b · How much of the reference should the opponent be?
#
# *A study beside lesson 40.*
#
# **Question.** The sampled form of Nash mirror descent (Nash-MD) plays against
# a mixture with a fixed weight $b$ of the reference. What does $b$ do to the
# policy at which it rests, and to training? And what does a KL term do that
# multiplies token by token?
#
# **Setting.** The crowd of lesson 40 (fans, editors and poets), all reviews of
# at most three words, $\tau = 0.05$, one reference model. Resting points and
# the two losses at the end are exact: a table of logits, all reviews
# enumerated, no sampling. In between a small transformer trains on sampled
# games. The measure is the duality gap at $\tau$, a sum over all responses.
# The answer in one sentence is computed in the cell before the last section.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.feedback.kinds.game_rollouts import GameRollouts
from workbench.lesson import *
from workbench.loops import games
from workbench.measure import equilibrium
from workbench.methods.games import nash_md
from workbench.models.policy import TabularPolicy
from workbench.worlds import people
from workbench.worlds import preference_games as game

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 60, 600))
tau, mixes = 0.05, [0.0, 0.125, 0.25, 0.5, 1.0]
world = Reviews(max_words=3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
crowd = game.population(people.rewards(world), people.shares(), 0.5)
measure = equilibrium.Tracker(world, crowd, ref, tau)
start = measure(ref).gap[0]

# %% [markdown]
# ## Where it rests, exactly
#
# With a constant step the limit satisfies $\pi \propto m\, e^{\eta\,
# p(y \succ m)}$ with $m \propto \pi^{1 - \eta\tau}
# \pi_{\text{ref}}^{\eta\tau}$. Insert one into the other: the *mixture* $m$ is
# the equilibrium of the warmer price $\frac{\tau}{1 - \eta\tau}$, and $\pi$ is
# none. In the sampled form $b$ stands for $\eta\tau$. The bracket of its loss
# is constant where $\pi \propto \pi_{\text{ref}}\, e^{p(y \succ m)/\tau}$.

# %%
base = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
rows = [world.index(t) for t in ("(silence)", "dull but bad", "very good and")]
P, cfg, eta = crowd[0, rows][:, rows], nash_md.Config(tau=tau), 0.25 / tau
step = lambda t, p: nash_md.step(p, base, P, eta, cfg)
limit = equilibrium.walk(step, 4000, base)[-1]
warm = game.nash(P, base, tau / (1 - eta * tau))
off = (nash_md.mixture(limit, base, eta * tau) - warm).expm1()
points = [game.resting_point(crowd, ref, tau, b) for b in mixes]
rest = [measure(point).gap[0] for point in points]
pd.DataFrame({"b": mixes, "gap at rest": rest}).round(4)

# %% [markdown]
# At rest, self-play is best by construction. The paper's claim is about
# training: the mixture may steady a policy that chases itself.


# %%
vote = lambda prompt, mine, other: crowd[prompt, mine, other]
plan = {"steps": size.steps, "batch_size": 32, "seed": SEED}
plan |= {"every": size.steps // 4, "measures": [measure], "decay": True}


def train(mix):
    """All seeds with one weight of the reference in the opponent."""
    players = (reference.copies(size.seeds).to(DEVICE), reference, world, vote)
    mixed = nash_md.Config(tau=tau, mix=mix)
    return games.fit(*players, nash_md, mixed, **plan).metrics.assign(b=mix)


runs = pd.concat([train(mix) for mix in mixes], ignore_index=True)
last = runs[runs.step == size.steps].sort_values("seed")
wide = last.pivot(index="seed", columns="b", values="gap")

# %%
low, mean, high = (wide.agg(what).tolist() for what in ("min", "mean", "max"))
exactly = views.Line(mixes, rest, "at rest, exact", views.role("exact"))
look, ends = views.method("nash_md"), {"low": low, "high": high}
trained = views.Points(mixes, mean, "trained", look, **ends)
axes = ("b, weight of the reference", "duality gap (probability)")
layers = [exactly, trained]
title = "At rest and after training"
chart = views.Chart(title, *axes, layers, "bars: range of seeds")
said = (
    f"From b = 0 to 1 the gap at rest rises by {rest[-1] - rest[0]:.3f}; the "
)
said += f"trained means differ by at most {np.ptp(mean):.3f}."
views.Fig(views.Panels([chart]), said, last[["b", "seed", "gap"]])

# %% [markdown]
# ## The KL token by token
#
# A public trainer once wrote the KL term as a sum over tokens of each token's
# log-ratio times its own log-prob. Early words then hear nothing of the drift
# that they lead to. In training the noise hides it. So the noise is taken out:
# a table of logits, all reviews enumerated, the exact mean of the loss.

# %%
prompt = torch.arange(4).repeat_interleave(world.n_responses)
every = world.tokens(prompt, torch.arange(world.n_responses).repeat(4))
fixed = TabularPolicy(world, ref).token_logps(every).detach()


def mean_loss(policy, loss):
    """Expected loss of self-play; its gradient has no noise."""
    logps, now = policy.response_logps().detach(), policy.token_logps(every)
    wins = game.win_rate(crowd, logps).flatten()
    batch = GameRollouts(now, fixed, every.mask, wins)
    return logps.exp().flatten() @ loss(batch, cfg)


# %%
def descend(name, loss):
    """Exact gradient steps from the reference."""
    policy, rows, n = TabularPolicy(world, ref), [], 6 * size.steps
    adam = torch.optim.Adam(policy.parameters(), lr=0.05)
    decay = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, n)
    for step in range(n):
        if step % max(1, n // 8) == 0 or step == n - 1:
            rows.append(measure(policy).assign(step=step, loss=name))
        adam.zero_grad()
        mean_loss(policy, loss).backward()
        adam.step(), decay.step()
    return pd.concat(rows)


# %%
wrong = nash_md.mistakes["1 KL token by token"]
both = [descend("library", nash_md.loss), descend("token by token", wrong)]
final = [part.gap.iloc[-1] for part in both]
views.training_curves(
    pd.concat(both),
    {"gap": "duality gap (probability)"},
    by="loss",
    log_y=True,
    caption=f"The library's loss ends at {final[0]:.4f}, the KL "
    f"token by token at {final[1]:.4f}.",
)

# %% [markdown]
# ## Claims

# %%
small = wide[[0.125, 0.25]].mean(axis=1)
before = runs[runs.step == 3 * (size.steps // 4)]
before = before.pivot(index="seed", columns="b", values="gap")
still = (before[[0.125, 0.25]].mean(axis=1), small)
munos = "Munos et al. 2023 (2312.00886)"
up, certain = {"expected": "positive"}, {"kind": "exact"}
zero = {"expected": "zero", "tolerance": 1e-8}
bends = "With a constant step the mixture rests at Nash of τ/(1 − ητ)."
mixing = "More reference in the opponent: a larger gap at rest."
beats = "b = 0.125, 0.25 end with a smaller gap than b = {}."
tokens = "A KL token by token ends with a larger gap."

# %%
lost, rested = [final[1] - final[0]], up | {"rest": still}
table = [
    ("constant_step_is_warmer", "ours", bends, off, zero | certain),
    (
        "mixing_moves_the_fixed_point",
        "ours",
        mixing,
        np.diff(rest),
        up | certain,
    ),
    ("mixture_beats_b_0", munos, beats.format(0), wide[0.0] - small, rested),
    ("mixture_beats_b_1", munos, beats.format(1), wide[1.0] - small, rested),
    ("token_by_token", "ours", tokens, lost, up | certain),
]

# %%
where = f"reviews-3, τ = {tau}, {size.steps} steps, one reference model"
claims = []
for key, paper, said, effect, how in table:
    how |= {"unit": "relative error" if "warmer" in key else "duality gap"}
    how |= {"paper": paper, "statement": said, "setting": where}
    claims.append(teach.claim(key=key, effect=effect, out=OUT or None, **how))

# %%
told = {c.key: f"{c.mean:.4f} ({c.verdict})" for c in claims}
say(
    "**Answer.** Each step of b raises the gap at rest by "
    f"{told['mixing_moves_the_fixed_point']} on average. After training, the "
    f"gap of b = 0 minus that of small b is {told['mixture_beats_b_0']}, and "
    f"of b = 1 {told['mixture_beats_b_1']}; the reference has {start:.3f}. "
    f"A KL token by token costs {told['token_by_token']}."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# The advantage of a small mixture in training is smaller here than its
# differences between seeds. The likely reason is size: the runs stop far above
# all gaps at rest, so noise and time decide, and the opponent hardly does. The
# paper trains a large model for long on a learned preference. Two exact
# statements are ours: they follow from the algorithm and have no seeds.
#
# ## References
#
# * Munos et al. 2023, *Nash learning from human feedback*,
#   [2312.00886](https://arxiv.org/abs/2312.00886).
# * Calandriello et al. 2024,
#   [2403.08635](https://arxiv.org/abs/2403.08635): the same fixed point.
