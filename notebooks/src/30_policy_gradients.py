# ---
# jupyter:
#   workbench:
#     title: "30 · Policy gradients: REINFORCE, RLOO, GRPO"
#     part: online RL
#     path: core
#     needs: ["01"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 30 · Policy gradients: how does a policy learn from a number alone?
#
# **The idea in one sentence.** A policy that is told only how good its
# responses were can still follow the exact gradient of its objective, and
# REINFORCE, RLOO and GRPO differ in what they subtract from a reward and by
# what they divide it (GRPO also in where it puts the KL).
#
# After this lesson you can
#
# * derive the policy gradient, and show that a baseline costs nothing;
# * compute the advantages of REINFORCE, RLOO and GRPO on paper;
# * prove by enumeration that an estimator is unbiased, and measure its noise;
# * say which of the three methods rests at the optimum of lesson 01;
# * recognise a KL penalty that was not detached.
#
# *Needs*: lesson 01 (the optimum, $\beta$, KL). About 90 minutes.
#
# RLOO is *REINFORCE leave-one-out*, GRPO is *group relative policy
# optimisation*; other words are in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 8
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace

from workbench.core.advantages import baseline, group_relative, leave_one_out
from workbench.lesson import *
from workbench.loops import online
from workbench.measure import group_gradients
from workbench.methods.policy_gradient.group import grpo
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.views.instruments import baseline_explorer

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(6, 60, 600))
beta, cfg = 0.3, rloo.Config(beta=0.3)  # reward units per nat
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref_logps = reference.response_logps(world).detach().double()

# %% [markdown]
# ## The question
#
# A policy writes a review and is told a number. It is not told which word
# earned the number, nor what another review would have earned. In the loop
# below there is no data set: the policy writes its own data, is scored, takes
# a step, and writes again.
#
# $$\text{policy} \rightarrow \text{responses} \rightarrow \text{rewards}
# \rightarrow \text{advantages} \rightarrow \text{step} \rightarrow
# \text{policy} \rightarrow \dots$$
#
# An **advantage** says how much better a response was than expected. The
# whole lesson is about the arrow that leads to the advantages.
#
# Before you read on, predict three things: write an option into `mine=""`.

# %%
display(
    teach.predict(
        "30-1",
        "You add 3 to every reward. What becomes of the expected gradient?",
        ["it stays as it is", "it becomes longer", "its direction changes"],
    ),
    teach.predict(
        "30-2",
        "And of the noise of REINFORCE, which has no baseline?",
        ["it stays as it is", "it grows", "it shrinks"], mine="",
    ),
    teach.predict(
        "30-3",
        "Four responses earn (0, 0, 0, 1), four others (0, 0, 0, 0.01). How "
        "many times as hard does GRPO push the best of the first group?",
        ["about 1 time", "about 10 times", "about 100 times"], mine="",
    ),
)

# %% [markdown]
# ## Three data points, and a fourth
#
# Four responses of the reference to one prompt, with their gold reward. They
# are called a **group**, and the other three are the *siblings* of each: RLOO
# and GRPO compare the responses within a group and nothing else.

# %%
asked = torch.zeros(4, dtype=torch.long)
group = reference.sample(world, asked, generator(SEED, "look"))
texts = [world.text(int(response)) for response in group.response]
gold = world.gold_reward(group).tolist()
pd.DataFrame({"response": texts, "gold reward": gold}).round(2)

# %% [markdown]
# ## The objective, and its gradient
#
# We maximise, for one prompt, the reward minus $\beta$ times the KL:
#
# 1. $J(\pi) = \sum_y \pi(y)\,\big(r(y) - \beta\,l(y)\big)$ with the log-ratio
#    $l(y) = \log\pi(y) - \log\pi_{\text{ref}}(y)$.
# 2. The product rule, with $\nabla l = \nabla\log\pi$, gives
#    $\nabla J = \sum_y \nabla\pi(y)\,(r(y) - \beta\,l(y)) -
#    \beta\sum_y \pi(y)\,\nabla\log\pi(y)$.
# 3. A probability times the gradient of its logarithm is its gradient:
#    $\pi\,\nabla\log\pi = \nabla\pi$.
# 4. So the last sum of line 2 is $\nabla\sum_y\pi(y) = \nabla 1 = 0$.
# 5. With line 3 in the first sum, and $R(y) = r(y) - \beta\,l(y)$,
#    $$\nabla J = E_{y\sim\pi}\big[R(y)\,\nabla\log\pi(y)\big].$$
#
# The right side is a mean over samples of the policy: sample, weigh each
# $\nabla\log\pi(y)$ by the number $R(y)$, average. That is **REINFORCE**. The
# KL is part of the reward. In line 5 nothing differentiates $R$: it is a
# number that judges, held fixed (*detached*).
#
# ## A baseline is free
#
# 6. For a number $b$ that does not depend on $y$,
#    $E[b\,\nabla\log\pi(y)] = b\,\nabla 1 = 0$.
# 7. So $(R - b)\,\nabla\log\pi$ has the same mean as $R\,\nabla\log\pi$, for
#    every $b$. A good $b$ makes it less noisy.
#
# The advantage $A_i$ that takes the place of $R_i$, for $k$ responses
# $y_1, \dots, y_k$ to the same prompt:
#
# | method | advantage $A_i$ |
# |---|---|
# | REINFORCE | $R_i$ |
# | RLOO | $R_i - \frac{1}{k-1}\sum_{j\ne i} R_j$ |
# | GRPO | $(r_i - \bar r)\,/\,\text{sd}(r_1,\dots,r_k)$ |
#
# Here $\bar r$ is the mean of the group and sd its standard deviation. Line 7
# covers RLOO: the other rewards do not depend on $y_i$. It does not cover
# GRPO, whose mean and deviation contain $r_i$.
#
# In the library these are three functions. Compare the lines that begin with
# `return`, `others` and `centred`. The loss below them is the same for all
# three: minus the advantage times the log-prob of the response. (Its `clip`
# is a matter of lesson 31.)

# %%
display(*map(teach.show, (baseline, leave_one_out, group_relative, rloo.loss)))

# %% [markdown]
# ## By hand, on one group of four
#
# One prompt has four possible answers of one word. The policy `pi` wrote each
# of them once. We write down probabilities and rewards, and print every
# intermediate number. The last lines compare with the library. To compare the
# divisions alone, this cell and the enumeration below give the same $R$, with
# the KL inside, to all three; GRPO as in the table takes the bare $r$, and
# does so from "Train a transformer" on.

# %%
pi = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
pi_ref = torch.full_like(pi, 0.25)
r = torch.tensor([1.0, 0.0, -1.0, 2.0]).double()
l = (pi / pi_ref).log()
R = r - beta * l
others = (R.sum() - R) / 3
A_rloo, A_grpo = R - others, (R - R.mean()) / (R.std() + 1e-4)
assert torch.allclose(A_rloo, leave_one_out(R, 4))
assert torch.allclose(A_grpo, group_relative(R, 4))
hand = [pi, r, l, R, others, A_rloo, A_grpo]
names = ["π", "r", "l", "R", "mean of others", "A of RLOO", "A of GRPO"]
pd.DataFrame(dict(zip(names, hand, strict=True))).round(3)

# %% [markdown]
# Both columns of advantages add up to zero, and both rank the answers alike.
# GRPO's numbers are those of RLOO times *one* factor: subtracting the mean of
# all four instead of the other three makes them 3/4 as large, and then they
# are divided by the group's deviation.
#
# GRPO's largest possible advantage in a group of four is 1.5, however large
# the reward; RLOO's grows with the reward.
#
# ## Unbiased? Enumerate all samples
#
# With four answers and groups of $k = 4$ there are $4^4 = 256$ possible
# groups. The gradient of one group is the mean of
# $A_i\,\nabla\log\pi(y_i)$; in the four logits of a softmax,
# $\nabla\log\pi(y)$ is the unit vector of $y$ minus $\pi$. We weigh the 256
# gradients with the probabilities of their groups, and compare with the
# gradient of $J$ itself, which automatic differentiation takes of the sum in
# line 1. No random number is drawn.

# %%
def no_baseline(rewards, k):
    """REINFORCE: the reward is the advantage."""
    return rewards


free = pi.log().requires_grad_()
now = free.softmax(0)
J = (now * (r - beta * (now / pi_ref).log())).sum()
true = torch.autograd.grad(J, free)[0]
ways = {"REINFORCE": no_baseline, "RLOO": leave_one_out}
ways["GRPO"] = group_relative
means = {name: group_gradients.mean(pi, R, ways[name], 4) for name in ways}
lifted = group_gradients.mean(pi, R + 3, no_baseline, 4)
display(teach.show(group_gradients.every_group))
pd.DataFrame({"exact": true, "rewards + 3": lifted} | means).round(3)

# %% [markdown]
# All columns but the last agree: adding 3 to the rewards of REINFORCE, or
# subtracting the mean of the others, changes nothing *on average*. GRPO's
# column is another vector: its deviation is computed from the very rewards
# that it divides.
#
# ## Three answers, drawn
#
# A gradient in three logits has the sum 0, so it fits on a page. Each thin
# line is the gradient of one possible group of three. Move $b$: the lines
# move, their mean (blue) does not. Where is the noise least? Then choose the
# other advantages, and look for those that move the mean.

# %%
baseline_explorer([0.5, 0.3, 0.2], [1.0, 0.0, 2.0])

# %% [markdown]
# ## The noise, exactly
#
# Back to four answers: the variance is a sum over the same 256 groups. The
# zero of a reward is arbitrary: comparisons determine a reward model only up
# to a constant, and adding a constant moves no optimum. So we add a constant
# $c$ to every reward, which is a baseline of $b = -c$, and look at the noise.

# %%
shift, rows = "c added to every reward (reward units)", []
for c in np.linspace(-3, 3, 25):
    for name in ("REINFORCE", "RLOO"):
        noise = group_gradients.variance(pi, R + c, ways[name], 4)
        rows.append({shift: c, "method": name, "variance": noise})
variance = pd.DataFrame(rows)
wide = variance.pivot(index=shift, columns="method", values="variance")
quiet, label = wide.REINFORCE.idxmin(), "variance (squared reward units)"
views.training_curves(
    variance, {"variance": label}, x=shift, by="method",
    title="Noise of the gradient: all 256 groups of four, enumerated",
    caption=f"RLOO's noise is {wide.RLOO.mean():.2f} at every c; that of "
    f"REINFORCE is a parabola with its lowest point, "
    f"{wide.REINFORCE.min():.2f}, at c = {quiet:.2f}.",
)

# %% [markdown]
# Near its lowest point REINFORCE is the *less* noisy one: the mean of three
# siblings is itself noisy. What RLOO buys is that nobody has to know where
# the zero of the reward should lie. The study **30b** repeats this for other
# sizes of the group.
#
# ## Train a transformer
#
# The loop is the drawing at the top. Each method gets the same prompts, 32
# responses per step, and the gold reward plus 3. All seeds of a method run
# side by side as one batched model.
#
# One more difference is easily overlooked: RLOO has the KL in the reward $R$;
# GRPO scales the bare reward $r$ and adds a penalty
# $\beta\,(e^{-l} - 1 + l)$ per token to the *loss*, where $l$ is now the
# log-ratio of one token (the k3 of the glossary). We sum the loss over
# tokens for both; the paper's division by the length is in study **30a**.

# %%
def as_they_are(rollouts, cfg):
    """REINFORCE: the penalised reward itself, on each token of a response."""
    rewards = rloo.penalised_reward(rollouts, cfg)
    return torch.where(rollouts.mask, rewards[:, None], 0.0)


def train(method, cfg):
    return online.fit(
        reference.copies(size.seeds), reference, world, plus_3, method, cfg,
        prompts=8, group=4, steps=size.steps, seed=SEED,
        every=max(2, size.steps // 8), measures=[tracker],
    )


tracker = exact.Tracker(world, ref_logps, gold=world.gold, beta=beta)
plus_3 = online.TableReward(world.gold + 3)

# %%
plain = SimpleNamespace(card=rloo.card, loss=rloo.loss, advantages=as_they_are)
runs = {
    "REINFORCE": train(plain, cfg),
    "RLOO": train(rloo, cfg),
    "GRPO": train(grpo, grpo.Config(beta=beta, aggregation="constant")),
}
curves = pd.concat(run.metrics.assign(method=m) for m, run in runs.items())
curves["responses"] = 32 * curves.step
last = curves[curves.step == size.steps].sort_values("seed")
final = last.groupby("method")[["gold", "kl", "kl_to_optimum"]].mean()
final.round(2)

# %% [markdown]
# ## The picture: equal numbers of responses
#
# Lesson 01 showed that $J(\pi^*) - J(\pi) = \beta\,\text{KL}(\pi\Vert\pi^*)$
# for every policy: the KL to the optimum *is* what is still missing. No
# sampled reward curve shows it. Here it is a sum over all 585 responses.

# %%
far = final.kl_to_optimum
views.training_curves(
    curves,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "gold": "gold reward (reward units)"},
    x="responses", by="method",
    caption=f"After {32 * size.steps} responses per seed REINFORCE is "
    f"{far['REINFORCE']:.2f} nats from the optimum, RLOO {far['RLOO']:.2f}, "
    f"GRPO {far['GRPO']:.2f}.",
)

# %% [markdown]
# REINFORCE pays for the moved zero with noise. GRPO begins as fast as RLOO
# and then hardly approaches any more. It has not failed: it solves another
# problem.
#
# ## Distance to the exact optimum: where does each come to rest?
#
# At $\pi^*$ the penalised reward $R(y) = r(y) - \beta\,l(y)$ is the same
# number $\beta\log Z$ for every response (lesson 01). So each advantage of
# RLOO is zero there, in every group: it rests, without noise. GRPO scales $r$
# alone, which differs between responses also at $\pi^*$, and its KL term has
# the expected gradient $\beta\,(\pi - \pi_{\text{ref}})$ in the logits, since
# $E_\pi[(1 - \pi_{\text{ref}}/\pi)\,\nabla\log\pi] =
# -\sum_y \pi_{\text{ref}}\nabla\log\pi$. The two need not cancel at $\pi^*$.
#
# We follow the three expected gradients on the four answers, in steps of one
# half, without any sampling: first the push at $\pi^*$, then the whole path.

# %%
def with_penalty(way, r=r):
    """The expected push if R, with its KL, is turned into advantages."""
    return lambda now: group_gradients.mean(
        now, r - beta * (now / pi_ref).log(), way, 4
    )


def grpo_push(now, r=r):
    """That of GRPO: r is turned into advantages, the KL is beside it."""
    scaled = group_gradients.mean(now, r, group_relative, 4)
    return scaled - beta * (now - pi_ref)


pushes = {name: with_penalty(ways[name]) for name in ("REINFORCE", "RLOO")}
pushes["GRPO"] = grpo_push

# %%
star = (pi_ref.log() + r / beta).softmax(0)
at_star = pd.DataFrame({m: push(star) for m, push in pushes.items()})
paths = {m: group_gradients.follow(pi, push) for m, push in pushes.items()}
far = {m: solutions.kl(path.log(), star.log()) for m, path in paths.items()}
flow = pd.DataFrame(far).rename_axis("step").reset_index()
flow = flow.melt("step", var_name="method", value_name="distance")
stop = flow[flow.step == flow.step.max()].set_index("method").distance
display(at_star.abs().round(3))
views.training_curves(
    flow, {"distance": "KL(π‖π*) (nats)"}, by="method",
    title="The expected gradients, followed to their rest",
    caption=f"RLOO ends {stop['RLOO']:.3f} nats from the optimum, as "
    f"REINFORCE does, and GRPO {stop['GRPO']:.3f}.",
)

# %% [markdown]
# ## Break it: a KL that is not detached
#
# Line 5 held $R$ fixed. Forget that, and automatic differentiation also
# differentiates the $-\beta\,l$ inside $R$. The loss $-A\log\pi$ then pushes
# in addition along $-\beta\,\log\pi\,\nabla\log\pi$, whose mean is $\beta$
# times the gradient of the entropy. The wrong run maximises
# $E[r] - \beta\,\text{KL} + \beta\,\text{entropy}$, and rests at
# $\pi \propto \sqrt{\pi^*}$. So we know before it runs where its expected
# gradient is zero; a run with noisy groups ends near that place.

# %%
undetached = rloo.mistakes["2 KL not detached"]
wrong = SimpleNamespace(
    card=rloo.card, advantages=rloo.advantages, loss=undetached
)
parts = {"right": runs["RLOO"].metrics, "wrong": train(wrong, cfg).metrics}
both = pd.concat(frame.assign(run=name) for name, frame in parts.items())
best = solutions.optimal_policy(ref_logps, world.gold.double(), beta)
root = (best / 2).log_softmax(-1)
goal, rest = (solutions.entropy(p).mean().item() for p in (best, root))

# %%
ends = both[both.step == size.steps].groupby("run").mean()
views.sweep(
    both, "step", {"entropy": "entropy (nats per response)"}, by="run",
    exact=rest, exact_label="where the wrong loss rests, exact",
    title="A forgotten detach keeps the policy spread out",
    caption=f"The wrong run ends at an entropy of {ends.entropy['wrong']:.2f} "
    f"nats (it rests at {rest:.2f}), the right one at "
    f"{ends.entropy['right']:.2f} (it rests at {goal:.2f}).",
)

# %% [markdown]
# The reward rises in both runs, and the loss of a policy gradient says
# nothing: it is a product that need not fall. The entropy, and the distance
# to the optimum, tell which of the two solves the problem that was posed.
#
# ## Answers

# %%
calm, loud = wide.REINFORCE[0.0], wide.REINFORCE[3.0]
moved = (lifted - means["REINFORCE"]).norm().item()
pushes = [
    group_relative(torch.tensor([0.0, 0.0, 0.0, top]), 4)[3].item()
    for top in (1.0, 0.01)
]
display(
    teach.reveal(
        "30-1",
        "it stays as it is" if moved < 1e-9 else "its direction changes",
        "the gradient of a log-prob has the mean zero, and so has 3 times it: "
        f"the two expected gradients differ by {moved:.3f}.",
    ),
    teach.reveal(
        "30-2", "it grows" if loud > calm else "it shrinks",
        "these rewards lie around zero, near the bottom of a parabola in the "
        f"shift, and 3 leads up its arm: from {calm:.2f} to {loud:.2f}.",
    ),
    teach.reveal(
        "30-3",
        "about 1 time" if pushes[0] < 3 * pushes[1] else "about 100 times",
        f"the deviation is 100 times as large, too: {pushes[0]:.2f} and "
        f"{pushes[1]:.2f}. GRPO hears a group's rewards up to their scale.",
    ),
)

# %% [markdown]
# ## Claims
#
# One is exact, two are judged over seeds. All seeds start from one and the
# same reference model.

# %%
setting = "reviews of 3 words, one reference model, gold + 3, "
setting += f"β = {beta}, {size.steps} steps of 32 responses"
end = last.set_index("method").kl_to_optimum
worse = {m: (end[m].array - end["RLOO"].array) for m in ("REINFORCE", "GRPO")}
off = ((means["RLOO"] - true).norm() / true.norm()).item()
paper = "Ahmadian et al. 2024 (2402.14740)"
store = {"out": OUT or None, "setting": setting}

# %%
teach.claim(
    key="rloo_is_unbiased", paper=paper, effect=off, kind="exact",
    expected="zero", tolerance=1e-8, unit="relative error", must_hold=True,
    statement="The expected RLOO gradient is the gradient of E[r] − β KL.",
    setting="four answers, k = 4, all 256 groups", out=store["out"],
    meaning="Subtracting the mean of the others costs nothing on average.",
)
far_off = teach.claim(
    key="baseline_when_zero_moves", paper=paper, effect=worse["REINFORCE"],
    expected="positive", unit="nats of KL(π‖π*)", **store,
    statement="With rewards 3 units off centre RLOO ends nearer to the "
    "optimum than REINFORCE without a baseline, at equal responses.",
    meaning="A baseline makes the arbitrary zero of a reward harmless.",
)
elsewhere = teach.claim(
    key="grpo_rests_elsewhere", paper="ours", effect=worse["GRPO"],
    expected="positive", unit="nats of KL(π‖π*)", **store,
    statement="At the same β GRPO ends further from the optimum than RLOO.",
    meaning="The β of GRPO is no price of KL in reward units.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("30-1")` gives a hint; a second call gives the next one.
#
# **30-1 · Read the parabola** (●○○, 5 minutes). At which constant $c$ is the
# noise of REINFORCE lowest in the figure "Noise of the gradient"?

# %%
teach.answer("30-1", None)

# %% tags=["solution"]
teach.solution("30-1", quiet)

# %% [markdown]
# **30-2 · Two advantages by hand** (●○○, 5 minutes). Four responses earn 3,
# 1, 1 and 1. What is the advantage of the first under RLOO, and under GRPO
# (the deviation divides by $k - 1$)?

# %%
teach.answer("30-2", None)  # two numbers, such as [0.5, 0.5]

# %% tags=["solution"]
first = torch.tensor([3.0, 1.0, 1.0, 1.0])
in_turn = [leave_one_out(first, 4)[0], group_relative(first, 4)[0]]
teach.solution("30-2", in_turn)

# %% [markdown]
# **30-3 · The loss of RLOO** (●●○, 10 minutes). `batch.advantages` holds the
# same number on every token of a response, `batch.policy` the token log-probs,
# and `batch.mask` is true on the tokens of the response. Return one value per
# response. The check names the mistake that it sees.

# %%
def my_rloo(batch, cfg):
    raise NotImplementedError("minus advantage times log-prob of the response")


teach.check.rloo(my_rloo)


# %% tags=["solution"]
def solved(batch, cfg):
    inside = batch.mask
    total = torch.where(inside, batch.advantages, 0.0).sum(-1)
    advantage = total / inside.sum(-1)
    logp = torch.where(inside, batch.policy, 0.0).sum(-1)
    return -advantage.detach() * logp


assert teach.check.rloo(solved).passed

# %% [markdown]
# **30-4 · Bug hunt: praise for the worse answer** (●●○, 10 minutes).
# Two prompts have two responses each, side by side: rewards 1 and 3 for the
# hard prompt, 10 and 14 for the easy one. The function below calls itself
# RLOO. Run it: the worse answer to the easy prompt is praised. Which mistake
# is it: "own reward in the baseline", "prompts mixed in a group", "divided by
# the deviation" or "wrong sign"?

# %%
def suspect(rewards, k):
    table = rewards.reshape(k, -1)
    siblings = (table.sum(0) - table) / (k - 1)
    return (table - siblings).flatten()


print(suspect(torch.tensor([1.0, 3.0, 10.0, 14.0]), 2).tolist())
teach.answer("30-4", None)

# %% tags=["solution"]
four = torch.tensor([1.0, 3.0, 10.0, 14.0])
crossed = leave_one_out(four[[0, 2, 1, 3]], 2)[[0, 2, 1, 3]]
same = torch.equal(crossed, suspect(four, 2))
# mended: rewards.reshape(-1, k), and the sum over the last axis
teach.solution("30-4", "prompts mixed in a group" if same else "another")

# %% [markdown]
# **30-5 · Own experiment: what does GRPO hear?** (●●●, 20 minutes). The best
# of the four answers now earns 20 instead of 2. Follow both expected gradients
# to their rest, with `group_gradients.follow(pi, push)`. Which probability has
# the best answer in the end, for RLOO and for GRPO? Compare with a best reward
# of 2.

# %%
teach.answer("30-5", None)  # two probabilities


# %% tags=["solution"]
r_20 = torch.tensor([1.0, 0.0, -1.0, 20.0]).double()
higher = (with_penalty(leave_one_out, r_20), lambda now: grpo_push(now, r_20))
ends_at = [group_gradients.follow(pi, push)[-1, 3].item() for push in higher]
teach.solution("30-5", ends_at)

# %% [markdown]
# ## Recap
#
# * The policy gradient is $E[R\,\nabla\log\pi]$: a mean over the policy's
#   own samples, with the KL inside $R$ and held fixed.
# * A baseline that does not depend on the response leaves the mean gradient
#   as it is. RLOO takes the mean of the other responses.
# * RLOO's noise does not depend on the zero of the reward; that of REINFORCE
#   is a parabola in it.
# * GRPO divides by the group's deviation and moves the KL into the loss. It
#   hears a group's rewards up to shift and scale, and rests elsewhere.
# * A KL that is not detached adds an entropy bonus; its resting point
#   $\sqrt{\pi^*}$ is known.
#
# Three questions to end with: call `teach.quiz("30")`. Your letters behind the
# number, as in `teach.quiz("30", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * Williams 1992, *Simple statistical gradient-following algorithms for
#   connectionist reinforcement learning* (REINFORCE).
# * Kool, van Hoof, Welling 2019, *Buy 4 REINFORCE samples, get a baseline for
#   free*.
# * Ahmadian et al. 2024, [*Back to basics*](https://arxiv.org/abs/2402.14740)
#   (RLOO).
# * Shao et al. 2024, [*DeepSeekMath*](https://arxiv.org/abs/2402.03300)
#   (GRPO).
#
# Studies beside this lesson: **30a** takes GRPO's divisions apart, **30b**
# measures the noise of gradients and of KL estimates.
#
# Next: [**31 · PPO, part by part**](31_ppo.ipynb): a value for every token,
# and several steps on one batch.
