# ---
# jupyter:
#   workbench:
#     title: "31 · PPO, part by part"
#     part: online RL
#     path: core
#     needs: ["01", "30"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 1200}
# ---

# %% [markdown]
# # 31 · PPO, part by part: what do a critic and a clip add to RLOO?
#
# **The idea in one sentence.** Proximal policy optimisation (PPO) is RLOO
# with two additions, a learned value that gives each *token* its own
# advantage, and a clip that stops the push on a token once it has moved far
# enough, so that one batch of responses can be used several times.
#
# After this lesson you can
#
# * pay a reward token by token, and compute advantages by hand for any
#   $\lambda$;
# * say which tokens the clip leaves alone, and why there is a minimum;
# * compare a critic with the exact values that it should have learned;
# * say what several passes over a batch buy, and what they cost;
# * recognise a critic whose targets are on the wrong scale.
#
# *Needs*: lessons 01 and 30 (advantage, baseline, RLOO). About 90 minutes.
#
# Words are explained in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 8
DEVICE = "cpu"
OUT = ""

# %%
from dataclasses import replace
from types import SimpleNamespace

from workbench.core import advantages, statistics, surrogate
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.lesson import *
from workbench.loops import online
from workbench.measure import prefix_values
from workbench.methods.policy_gradient.ppo import ppo
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.models.heads import ValueModel
from workbench.views.agreement import agreement
from workbench.views.instruments import gae_explorer
from workbench.views.instruments.clip_explorer import clip_explorer

# %%
size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(3, 20, 200), many=(4, 8, 16)
)
beta, cfg = 0.3, ppo.Config(beta=0.3)  # reward units per nat
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref_logps = reference.response_logps(world).detach()
tracker = exact.Tracker(world, ref_logps, gold=world.gold, beta=beta)

# %% [markdown]
# ## The question
#
# RLOO gives one advantage to a whole response: in `very good` both words are
# praised alike. And it uses each response for one gradient step, although
# writing responses is the expensive part of training. PPO answers both:
#
# $$\text{responses} \rightarrow \text{rewards per token} \rightarrow
# \text{critic} \rightarrow \text{advantages per token} \rightarrow
# \text{several clipped steps} \rightarrow \text{new responses} \dots$$
#
# What does each part do, and is the critic right? Predict first.

# %%
display(
    teach.predict(
        "31-1",
        "A fresh critic says 0 for every prefix, and λ = 0. Which tokens of a "
        "review hear of its score in the first step?",
        ["all of them", "only the last one", "none"], mine="",
    ),
    teach.predict(
        "31-2",
        "A token deserves praise (A > 0), but earlier passes made it less "
        "likely: its ratio is 0.7, outside the clip 1 ± 0.2. Is it pushed?",
        ["no, it is clipped", "yes"], mine="",
    ),
    teach.predict(
        "31-3",
        "RLOO with a clip and PPO make the same number of steps on the same "
        "number of responses. Who ends nearer to the optimum?",
        ["RLOO", "PPO", "it cannot be told"], mine="",
    ),
)

# %% [markdown]
# ## Three data points: two responses, token by token
#
# `very good` and `dull`, each with its end token, with made-up numbers: the
# probability of each token under the policy that wrote it
# ($\pi_{\text{old}}$) and under the reference, and what a critic said of the
# prefix *before* the token ($V$). Column 0 of a batch is the prompt, and the
# last column of the short response is padding; the mask leaves both out.

# %%
def rows(*lists):
    return torch.tensor(lists, dtype=torch.float64)


def table(**columns):
    shown = {name: value[mask].tolist() for name, value in columns.items()}
    return pd.DataFrame({"token": words, **shown}).round(3)


mask, score = rows([0, 1, 1, 1], [0, 1, 1, 0]).bool(), rows(1.5, -0.8)
old = rows([1, 0.5, 0.6, 0.5], [1, 0.2, 0.5, 1]).log()
ref = rows([1, 0.25, 0.5, 0.5], [1, 0.3, 0.5, 1]).log()
V = rows([0, 0.2, 0.8, 1.3], [0, 0.2, -0.5, 0])
two = Rollouts(old, old, ref, mask, score, 1, values=V, old_values=V)
words = ["very", "good", "(end)", "dull", "(end)"]
table(π_old=old.exp(), π_ref=ref.exp(), V=V)

# %% [markdown]
# ## The objective, token by token
#
# A token is an action, and the prefix before it is a state $s_t$.
#
# 1. The penalised reward of lesson 30, $R = r - \beta\sum_t l_t$, is a sum
#    over tokens, so it can be paid as it falls due:
#    $r_t = -\beta\,l_t$, and the score $r$ is added to the last token.
# 2. The critic $V(s)$ is to predict the rewards still to come. The surprise
#    of one token is $\delta_t = r_t + V(s_{t+1}) - V(s_t)$, with $V = 0$
#    after the end.
# 3. Generalised advantage estimation (GAE) adds up this surprise and later
#    ones, faded by $\lambda$: $A_t = \delta_t + \lambda\,A_{t+1}$.
# 4. At $\lambda = 0$ it is $A_t = \delta_t$: little noise, all trust in the
#    critic. At $\lambda = 1$ the later values cancel, and
#    $A_t = \sum_{s\ge t} r_s - V(s_t)$: no trust in later values, and $V(s_t)$
#    is a baseline, as the siblings' mean was in RLOO.
# 5. The target of the critic is $G_t = A_t + V(s_t)$.
# 6. In later passes the policy is no longer $\pi_{\text{old}}$. The ratio
#    $\rho_t = \pi(y_t\mid s_t)\,/\,\pi_{\text{old}}(y_t\mid s_t)$ says how far
#    a token has moved, and the gain is
#    $\min\big(\rho A,\ \text{clip}(\rho, 1\pm\epsilon)\,A\big)$.

# %%
display(teach.show(advantages.gae), teach.show(ppo.policy_loss))

# %% [markdown]
# ## By hand: from rewards to advantages
#
# Lines 1 to 5 for the two responses, with $\lambda = 0.95$. Below their table
# is a response of five tokens. Move $\lambda$ and see what its first token
# hears of a wrong critic, and of a lucky score. ($\gamma$ below 1 would count
# later rewards less. We keep it at 1.)

# %%
l = torch.where(mask, old - ref, 0.0)
r = -beta * l
r[0, 3] += score[0]  # paid with the last token
r[1, 2] += score[1]
after = V.roll(-1, dims=1)  # V of the next prefix; column 0 holds a 0
delta = torch.where(mask, r + after - V, 0.0)
A, later = torch.zeros_like(r), 0.0
for t in (3, 2, 1):
    A[:, t] = later = delta[:, t] + 0.95 * later
assert torch.allclose(r, ppo.token_rewards(two, cfg))
assert torch.allclose(A, advantages.gae(r, V, mask, lam=0.95))
table(l=l, r=r, V=V, δ=delta, A=A, G=A + V)

# %%
gae_explorer([-0.1, 0.1, -0.2, 0.0, 1.5], [0.2, 0.8, 0.3, 0.9, 1.2])

# %% [markdown]
# In the table, after `good` the critic's value rises from 0.8 to 1.3: `good`
# has a positive surprise, and `very` before it shares in that. In the other
# response `dull` is blamed more than the end token after it.
#
# ## By hand: ratio and clip
#
# PPO *whitens* the advantages: it subtracts their mean over the batch and
# divides by their deviation. Suppose that the first pass has moved the tokens
# by the ratios `rho` below. The push is the derivative of the gain in the
# log-prob of a token: $\rho A$ where the free gain is the smaller one, and
# zero where the clipped one is. Below it, the two gains as curves; in a live
# notebook a slider moves $\epsilon$.

# %%
white = (A - A[mask].mean()) / A[mask].std(correction=0) * mask
rho = rows([1, 1.3, 1.1, 0.7], [1, 1.3, 0.7, 1])
gain, held = rho * white, rho.clamp(0.8, 1.2) * white
push = torch.where(gain <= held, gain, 0.0)
policy = (old + rho.log()).requires_grad_()
batch = replace(two, policy=policy, advantages=ppo.advantages(two, cfg))
library = -ppo.policy_loss(batch, cfg)
force = torch.autograd.grad(library.sum(), policy)[0]
assert torch.allclose(torch.minimum(gain, held).sum(1), library)
assert torch.allclose(push, force)
display(table(A=white, ρ=rho, free=gain, clipped=held, push=push))
clip_explorer(0.2)

# %% [markdown]
# The push is zero in two cases: a praised token above $1 + \epsilon$ (`very`)
# and a punished token below $1 - \epsilon$ (the second end token). A token
# that went the *wrong* way keeps its full push (`dull`): that is what the
# minimum is for.
#
# ## Train
#
# Each run draws 32 responses per step and seed, and makes four passes over
# them. RLOO gets the same clip and the same four passes, so the number of
# optimiser steps is equal, too. The step size was not searched.

# %%
def train(method, cfg, passes=4):
    """All seeds of one setting; only PPO has a critic."""
    fresh = [ValueModel.tiny(world.vocab, seed=s) for s in range(size.seeds)]
    critic = None if method is rloo else ValueModel.stack(fresh).to(DEVICE)
    return online.fit(
        reference.copies(size.seeds), reference, world,
        online.TableReward(world.gold), method, cfg, critic=critic,
        prompts=8, group=4, epochs=passes, steps=size.steps, seed=SEED,
        every=max(1, size.steps // 5), measures=[tracker],
    )


# %%
runs = {
    "RLOO": train(rloo, rloo.Config(beta=beta, clip=0.2)),
    "PPO": train(ppo, cfg),
}
curves = pd.concat(run.metrics.assign(method=m) for m, run in runs.items())
regret = {m: run.last.kl_to_optimum.to_numpy() for m, run in runs.items()}
middle, low, high = statistics.interval(regret["RLOO"] - regret["PPO"])
views.training_curves(
    curves,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "gold": "gold reward (reward units)"},
    by="method", title="Equal responses, equal optimiser steps",
    caption=f"PPO ends {middle:.2f} nats nearer to the optimum than RLOO; the "
    f"95 % interval of this difference is [{low:.2f}, {high:.2f}].",
)

# %% [markdown]
# ## Distance to the exact optimum: many passes, with and without the clip
#
# Now more passes over each batch. We also wrap the loss, to note the share of
# tokens outside $1 \pm 0.2$ in each pass. In the first pass the policy *is*
# $\pi_{\text{old}}$: any other share than 0 would mean that something stands
# between sampling and learning, such as dropout. It is the best unit test of
# a PPO loop.

# %%
noted = []


def noting(batch, cfg):
    """PPO's loss; notes the share of tokens outside the clip."""
    ratio = surrogate.importance_ratio(batch.policy, batch.old).detach()
    noted.append(surrogate.clip_fraction(ratio, batch.mask, 0.2))
    return ppo.loss(batch, cfg)


watched = SimpleNamespace(**{**vars(ppo), "loss": noting})
runs["clip"] = train(ppo, cfg, size.many)
runs["no clip"] = train(watched, replace(cfg, clip=1e6), size.many)
share = torch.tensor(noted).unflatten(0, (-1, size.many))  # a row per batch
shares = {f"pass {i + 1}": [s] for i, s in enumerate(share.mean(0).tolist())}
pd.DataFrame(shares, index=["share of tokens outside"]).round(3)

# %%
pair = ("clip", "no clip")
both = pd.concat(runs[name].metrics.assign(run=name) for name in pair)
end = {name: runs[name].last for name in pair}
views.training_curves(
    both,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "entropy": "entropy (nats)"},
    by="run", title=f"{size.many} passes over each batch",
    caption=f"After {size.many} passes per batch the seeds end between "
    f"{end['clip'].kl_to_optimum.min():.2f} and "
    f"{end['clip'].kl_to_optimum.max():.2f} nats with the clip, between "
    f"{end['no clip'].kl_to_optimum.min():.2f} and "
    f"{end['no clip'].kl_to_optimum.max():.2f} without it.",
)

# %% [markdown]
# ## Is the critic right?
#
# In an exact world the value of a prefix is a sum over all ways to go on from
# it. We compare, for the trained policy of one seed, at each prefix that it
# visits with a chance above 2 %. (They are dots in the figure of the next
# section.)

# %%
def compare(run):
    """The critic beside the exact value, at prefixes visited often."""
    sides = (run.policy, run.critic, world, ref_logps, beta)
    return prefix_values.beside_critic(*sides, often=0.02)


seen = compare(runs["PPO"])
first = seen[seen.seed == 0]
miss = first.critic - first.exact
say(
    f"In one run the correlation is {first.exact.corr(first.critic):.2f}; "
    "prefixes worth less than 0.5 are overrated by "
    f"{miss[first.exact < 0.5].mean():.2f}, the others by "
    f"{miss[first.exact >= 0.5].mean():.2f}."
)

# %% [markdown]
# So it tells good prefixes from bad ones, but its values are squeezed: over-
# and underrating of the good ones cancel, and bad ones are overrated. We
# suspect that bad prefixes are visited too seldom to be learned. And
# the policy moves while the critic learns. A critic that is wrong at
# $s_{t+1}$ makes $\delta_t$ wrong; that is why $\lambda$ stays near 1.
#
# ## Break it: targets from whitened advantages
#
# The targets are $G = A + V$ with $A$ *before* whitening. Someone whitens
# first. Nothing fails, and the policy learns nearly as well. But whitened
# advantages have the mean 0, so the mean of the targets is the mean of the
# critic's own old values: the targets hold no news of its level.

# %%
wrong = SimpleNamespace(
    **{**vars(ppo), "loss": ppo.mistakes["4 returns from whitened advantages"]}
)
runs["whitened"] = train(wrong, cfg)
broken = compare(runs["whitened"])
off = (broken.critic - broken.exact)[broken.seed == 0].mean()
axes = {"x_label": "exact value (reward units)"}
axes["y_label"] = "the critic's value (reward units)"
both_critics = {"right": first, "whitened": broken[broken.seed == 0]}
agreement(
    both_critics, "exact", "critic", **axes, title="Two critics",
    caption=f"The critic with whitened targets is off by {off:+.2f} on "
    f"average, the right one by {miss.mean():+.2f}.",
)

# %% [markdown]
# ## Answers

# %%
fresh = replace(two, old_values=0 * V)
heard = ppo.advantages(fresh, replace(cfg, lam=0.0, whiten=False))
alone = torch.allclose(heard, ppo.token_rewards(two, cfg))
nearer = "it cannot be told" if low < 0 < high else ("RLOO", "PPO")[low > 0]
sign = surrogate.clipped_gain(rows(0.7), rows(1.0), 0.2).item()
display(
    teach.reveal(
        "31-1", "only the last one" if alone else "all of them",
        "then the advantage is the token's own reward, and the score is paid "
        f"at the end: `very` hears {heard[0, 1]:.2f}, the end token "
        f"{heard[0, 3]:.2f}. News travels to earlier tokens through V or λ.",
    ),
    teach.reveal(
        "31-2", "yes" if sign < 0.8 else "no, it is clipped",
        f"its gain is {sign:.1f}, the smaller of 0.7 and 0.8, and that one is "
        "not clipped: the minimum calls back what went the wrong way.",
    ),
    teach.reveal(
        "31-3", nearer,
        f"the difference is {middle:.2f} nats, its interval from {low:.2f} to "
        f"{high:.2f}: these seeds tell a difference from chance only if the "
        "interval leaves out zero.",
    ),
)

# %% [markdown]
# ## Claims
#
# All seeds start from one and the same reference model.

# %%
setting = f"reviews of 3 words, one reference model, β = {beta}, "
setting += f"{size.steps} batches of 32 responses"
store = {"out": OUT or None, "setting": setting}
gap = end["no clip"].kl_to_optimum.array - end["clip"].kl_to_optimum.array
first_pass = teach.claim(
    key="first_pass_is_on_policy", paper="Huang et al. 2024 (2403.17031)",
    effect=share[:, 0], expected="zero", tolerance=1e-12, kind="exact",
    statement="In the first pass over a batch no ratio leaves 1 ± ε.",
    unit="share of tokens", must_hold=True, **store,
    meaning="Sampling and learning see the same policy: test this first.",
)
matches = teach.claim(
    key="rloo_matches_ppo", paper="Ahmadian et al. 2024 (2402.14740)",
    effect=regret["PPO"] - regret["RLOO"], expected=(-0.05, float("inf")),
    statement="With equal responses and equal optimiser steps RLOO ends at "
    "most 0.05 nats further from the optimum than PPO.",
    unit="nats of KL(π‖π*)", **store,
    meaning="A critic is not needed where responses are short.",
)

# %%
clip_needed = teach.claim(
    key="passes_need_the_clip", paper="Schulman et al. 2017 (1707.06347)",
    effect=gap, expected="positive", unit="nats of KL(π‖π*)", **store,
    statement=f"With {size.many} passes per batch PPO ends nearer to the "
    "optimum with the clip than without.",
    meaning="The clip keeps single seeds from running away.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("31-1")` gives a hint; a second call gives the next one.
#
# **31-1 · Read the clip** (●○○, 5 minutes). Look at the picture of the clip.
# For which ratios is a *punished* token no longer pushed, at $\epsilon = 0.2$:
# "above 1.2", "below 0.8", "both" or "none"?

# %%
teach.answer("31-1", None)

# %% tags=["solution"]
ratios = rows(0.5, 1.5).requires_grad_()
surrogate.clipped_gain(ratios, rows(-1.0, -1.0), 0.2).sum().backward()
still = (ratios.grad == 0).tolist()
teach.solution("31-1", "below 0.8" if still == [True, False] else "another")

# %% [markdown]
# **31-2 · Advantages by hand** (●○○, 10 minutes). A response has two tokens,
# $\beta = 0$ and a score of 1. The critic says 0.5 before the first token and
# 0.8 before the second. What are $A_1$ and $A_2$ for $\lambda = 0.5$?

# %%
teach.answer("31-2", None)  # two numbers

# %% tags=["solution"]
paid, said = rows([0, 1]), rows([0.5, 0.8])
both_tokens = torch.ones(1, 2).bool()
teach.solution("31-2", advantages.gae(paid, said, both_tokens, lam=0.5)[0])

# %% [markdown]
# **31-3 · The whole loss** (●●○, 15 minutes). Write PPO's loss from
# `surrogate.clipped_gain(ratio, advantage, clip)` and
# `surrogate.clipped_error(values, old_values, returns, clip)`: minus the gain
# plus `cfg.value_weight` times the error, summed over the tokens of the mask
# (their mean if `cfg.reduce` is `"mean"`).

# %%
def my_ppo(batch, cfg):
    raise NotImplementedError("minus gain plus weighted error")


teach.check.ppo(my_ppo)


# %% tags=["solution"]
def solved(batch, cfg):
    ratio = surrogate.importance_ratio(batch.policy, batch.old)
    gain = surrogate.clipped_gain(ratio, batch.advantages, cfg.clip)
    known = (batch.old_values, batch.returns, cfg.clip_value)
    error = surrogate.clipped_error(batch.values, *known)
    each = torch.where(batch.mask, cfg.value_weight * error - gain, 0.0)
    tokens = batch.mask.sum(-1) if cfg.reduce == "mean" else 1
    return each.sum(-1) / tokens


assert teach.check.ppo(solved).passed

# %% [markdown]
# **31-4 · Bug hunt: one response is deaf** (●●○, 10 minutes). With $V = 0$ and
# $\lambda = 1$ the first token's advantage must be the whole penalised reward
# $R$ of its response. The function below misses it for one of the two. Which
# mistake is it: "KL of the policy that learns", "score in the last column",
# "mean reward subtracted" or "value of padding bootstrapped"?

# %%
def suspect(batch, cfg):
    rewards = -cfg.beta * batch.old_logratio
    rewards[:, -1] += batch.scores
    return advantages.gae(rewards, 0 * rewards, batch.mask, lam=1.0)


whole = rloo.penalised_reward(two, cfg)
print("R:", whole.numpy().round(3))
print("first token:", suspect(two, cfg)[:, 1].numpy().round(3))
teach.answer("31-4", None)

# %% tags=["solution"]
lost = whole - suspect(two, cfg)[:, 1]
deaf = torch.allclose(lost, rows(0.0, -0.8))  # the score of the short one
# mended: rewards + batch.paid, which pays at the last token of the mask
teach.solution("31-4", "score in the last column" if deaf else "another")

# %% [markdown]
# **31-5 · Own experiment: does the clip bound the ratio?** (●●●, 20 minutes).
# A policy has two tokens with logits (0, 0), and $\pi_{\text{old}}$ is (½, ½).
# Token 1 has $A = 1$, token 2 has $A = -1$. Take up to 50 plain gradient steps
# of size 0.05 on the sum of the two clipped gains ($\epsilon = 0.2$). At which
# ratio does token 1 stop? And with steps of size 0.5?

# %%
teach.answer("31-5", None)  # two ratios


# %% tags=["solution"]
def stops_at(step):
    logits = torch.zeros(2).double().requires_grad_()
    for _ in range(50):
        ratio = logits.softmax(0) / 0.5
        gain = surrogate.clipped_gain(ratio, rows(1.0, -1.0), 0.2).sum()
        slope = torch.autograd.grad(gain, logits)[0]
        logits = (logits + step * slope).detach().requires_grad_()
    return ratio[0].item()


teach.solution("31-5", [stops_at(0.05), stops_at(0.5)])

# %% [markdown]
# ## Recap
#
# * A token is an action. Its reward is $-\beta\,l_t$, and the score comes with
#   the last token.
# * GAE sums surprises, faded by $\lambda$: 0 trusts the critic, 1 trusts the
#   returns.
# * The clip takes away the push on a token that has moved far enough in the
#   right direction, and never that on a token that went the wrong way.
# * With many passes per batch some seeds run away without the clip. With equal
#   passes our seeds cannot tell PPO from RLOO at the end.
# * Compare the critic with exact values: the reward alone need not show a
#   mistake in its targets.
#
# Three questions to end with: call `teach.quiz("31")`. Your letters behind the
# number, as in `teach.quiz("31", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * Schulman et al. 2016, [*High-dimensional continuous control using
#   generalized advantage estimation*](https://arxiv.org/abs/1506.02438).
# * Schulman et al. 2017, [*Proximal policy optimization
#   algorithms*](https://arxiv.org/abs/1707.06347).
# * Ziegler et al. 2019, [*Fine-tuning language models from human
#   preferences*](https://arxiv.org/abs/1909.08593).
# * Ahmadian et al. 2024, [*Back to basics*](https://arxiv.org/abs/2402.14740).
# * Huang et al. 2024, [*The N+ implementation details of RLHF with
#   PPO*](https://arxiv.org/abs/2403.17031).
#
# Beside this lesson: the study **31a** switches PPO's parts off one by one.
#
# Next: [**40 · Nash-MD**](40_nash_md.ipynb), where no reward explains what
# people prefer.
