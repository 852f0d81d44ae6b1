# ---
# jupyter:
#   workbench:
#     title: "01 · The exact world"
#     part: foundations
#     budget_s: {ci: 60, lecture: 90, figure: 300}
# ---

# %% [markdown]
# # 01 · The exact world
#
# **The claim in one sentence.** Of all policies, the one that earns the most
# reward at a given price of drift is the reference, reweighted:
# $\pi^*(y|x) \propto \pi_\text{ref}(y|x)\,e^{r(x,y)/\beta}$. Any other policy
# loses exactly $\beta\,\mathrm{KL}(\pi\,\|\,\pi^*)$.
#
# After this notebook you can
#
# - derive $\pi^*$ in three lines and compute it by hand on four responses,
# - read a policy's regret as a distance,
# - tell three wrong optima from the right one.
#
# Run time: well under a minute on one core.

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
from workbench.core.seeds import generator
from workbench.core.statistics import interval
from workbench.measure.exact import evaluate
from workbench.measure.frontier import Frontier
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.views.instruments import beta_explorer
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
SIZES = {"ci": (30, 500), "lecture": (400, 4_000), "figure": (800, 40_000)}
steps, samples = SIZES[PROFILE]
BETA = 1.0  # reward units per nat
world = Reviews(max_words=3)
gold = world.gold

# %% [markdown]
# ## The question
#
# A language model $\pi_\text{ref}$ writes reviews. You want better ones, yet
# near enough to $\pi_\text{ref}$ that they stay language. What is the *best*
# policy, as a formula? In most worlds nobody can say what it is worth,
# because nobody can sum over all responses. Here you can.
#
# **Write down a prediction.** $\beta$ is the price of drift. Take a rare
# review that is worth one reward unit more than a common one. At
# $\beta = 1$, by which factor does the optimum change the odds between the
# two? And what does the optimum become for $\beta \to \infty$ and for
# $\beta \to 0$?

# %% [markdown]
# ## Look at a few reviews
#
# The language has eight words and reviews of at most three of them. The
# *gold reward* $r(x, y)$ adds a judgement's worth, word by word ("not" flips
# it, "very" scales it), and takes something off for bad grammar.

# %%
reviews = ["very good", "good and fun", "not bad", "dull", "good good bad"]
numbers = torch.tensor([world.index(text) for text in reviews])
pd.DataFrame(gold[:, numbers].T, reviews, world.prompts).round(2)

# %% [markdown]
# The columns differ: $r$ depends on the prompt $x$, so a policy that does
# not read the prompt cannot be optimal. Gold is known to this notebook
# and to nobody else: annotators, reward models and policies only ever see it
# through noise.
#
# ## π_ref, on every response
#
# The reference is a small transformer, trained on a corpus of reviews. Its
# log-probability of a whole review is a sum over tokens. There are few
# enough reviews that you can ask for all of them.

# %%
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world)  # log π_ref, [prompt, response]
pd.Series(ref.exp().sum(-1), world.prompts, name="Σ π_ref").round(12)

# %%
film = world.prompts.index("film")
top = ref[film].topk(6).indices
pd.DataFrame(
    {"review": [world.text(int(i)) for i in top],
     "π_ref": ref[film, top].exp(), "gold": gold[film, top]}
).round(3)  # fmt: skip

# %% [markdown]
# With all probabilities at hand, an expectation is a sum,
# $\mathbb{E}_\pi[r] = \sum_y \pi(y|x)\,r(x,y)$. Elsewhere it is an estimate
# from samples. Put the two side by side once.

# %%
asked = torch.arange(samples) % world.n_prompts
drawn = reference.sample(world, asked, generator(SEED, "look"))
truth = solutions.expectation(ref, gold).mean().item()
told = "mean {:.3f}, 95 % interval {:.3f} to {:.3f}"
print(f"exact E_ref[gold]  {truth:.4f} reward units")
print(samples, "samples:", told.format(*interval(world.gold_reward(drawn))))

# %% [markdown]
# ## The objective
#
# For a prompt $x$, with everything below conditional on it,
#
# $$J_\beta(\pi) = \mathbb{E}_\pi[r] -
# \beta\,\mathrm{KL}(\pi\,\|\,\pi_\text{ref}) = \sum_y \pi(y)
# \left[r(y) - \beta \log\frac{\pi(y)}{\pi_\text{ref}(y)}\right].$$
#
# `beta` is in reward units per nat: what one nat of drift costs.
#
# **Lagrange.** Maximise over $\pi(y)$ with $\sum_y \pi(y) = 1$ and multiplier
# $\lambda$:
#
# 1. the derivative by $\pi(y)$ is zero,
#    $r(y) - \beta\log\frac{\pi(y)}{\pi_\text{ref}(y)} - \beta - \lambda = 0$;
# 2. solve for $\pi$:
#    $\pi(y) = \pi_\text{ref}(y)\,e^{r(y)/\beta}\cdot e^{-1-\lambda/\beta}$;
# 3. the last factor does not depend on $y$, so it normalises:
#    $\pi^*(y) = \pi_\text{ref}(y)\,e^{r(y)/\beta}/Z$ with
#    $Z = \sum_y \pi_\text{ref}(y)\,e^{r(y)/\beta}$.

# %% [markdown]
# ## The identity
#
# Take logs of line 3: $r(y) = \beta\log\frac{\pi^*(y)}{\pi_\text{ref}(y)} +
# \beta\log Z$. Put this into $J_\beta(\pi)$ of *any* policy:
#
# $$J_\beta(\pi) = \beta\log Z - \beta\sum_y \pi(y)\log\frac{\pi(y)}{\pi^*(y)}
# = \beta\log Z - \beta\,\mathrm{KL}(\pi\,\|\,\pi^*).$$
#
# KL is never negative and is zero only at $\pi = \pi^*$. So $\pi^*$ is the
# only maximiser, its value is $\beta\log Z$, and the regret of every other
# policy is a distance. It is also where DPO starts: a reward and an optimal
# policy are two names for one thing, up to the constant $\beta\log Z$.

# %% [markdown]
# ## The library's source
#
# Line 3 is one line of code: `log_softmax` is the division by $Z$.

# %%
teach.show(solutions.optimal_policy)

# %% [markdown]
# ## By hand on four responses
#
# Suppose these four were all there is. Their reference probabilities are
# rescaled to add up to one; every column is one step of the formula.

# %%
four = [world.index(t) for t in ["very good", "good", "dull", "not fun"]]
p = ref[film, four].softmax(-1)  # π_ref of the four
r = gold[film, four]
tilted = p * (r / BETA).exp()
hand = pd.DataFrame({"π_ref": p, "r": r, "exp(r/β)": (r / BETA).exp()})
hand["π_ref·exp(r/β)"] = tilted
hand.set_axis([world.text(i) for i in four]).round(4)

# %%
Z = tilted.sum()
star = tilted / Z
library = solutions.optimal_policy(p.log(), r, BETA).exp()
print("Z       =", f"{Z:.4f}")
print("β log Z =", f"{BETA * Z.log():.4f}", "reward units")
print("π*      =", [f"{v:.4f}" for v in star])
print("library =", [f"{v:.4f}" for v in library])

# %% [markdown]
# Compute $J_\beta(\pi^*)$ from its definition, without using $Z$, and you
# meet $\beta\log Z$ again. Then take a policy that is clearly not optimal,
# the uniform one, and compare both sides of the identity.


# %%
def J(law):
    """E[r] − β KL of a law over the four, in reward units."""
    return (law * (r - BETA * (law / p).log())).sum()


uniform = torch.full_like(p, 1 / len(p))
distance = (uniform * (uniform / star).log()).sum()
print("J(π*)           =", f"{J(star):.4f}")
print("J(uniform)      =", f"{J(uniform):.4f}")
print("J(π*) − J(unif) =", f"{J(star) - J(uniform):.4f}")
print("β KL(unif‖π*)   =", f"{BETA * distance:.4f}")

# %%
odds = (star[0] / star[1]) / (p[0] / p[1])
print(f"“very good” is worth {r[0] - r[1]:.1f} reward units more than “good”,")
print(f"and π* multiplies its odds by {odds:.3f} = exp(Δr/β)")

# %% [markdown]
# That is your first prediction. How rare a review is plays no part in the
# factor.

# %% [markdown]
# ## Train: walk uphill on J
#
# Nothing above needs training. Do it once all the same, with the exact
# gradient of $J_\beta$ over all responses, from several random starts: if
# the derivation is right, every walk ends in the same place and the height
# that is missing is $\beta\,\mathrm{KL}(\pi\,\|\,\pi^*)$ at *every* step.


# %%
def climb(seed):
    noise = torch.randn(gold.shape, generator=generator(seed, "start"))
    policy = TabularPolicy(world, ref + noise)
    adam = torch.optim.Adam(policy.parameters(), lr=0.05)
    for step in range(steps + 1):
        law = policy.response_logps()
        aim = solutions.expectation(law, gold) - BETA * solutions.kl(law, ref)
        adam.zero_grad()
        (-aim.mean()).backward()
        adam.step()
        if step % 10 == 0:
            yield step, aim.mean().item(), law.detach()


# %%
best = solutions.optimal_policy(ref, gold, BETA)
ceiling = (BETA * solutions.log_partition(ref, gold, BETA)).mean().item()
rows = [
    {"seed": seed, "step": step, "lost": ceiling - value,
     "distance": BETA * solutions.kl(law, best).mean().item(),
     "kl": solutions.kl(law, ref).mean().item(),
     "gold": solutions.expectation(law, gold).mean().item()}
    for seed in range(SEED, SEED + SEEDS)
    for step, value, law in climb(seed)
]  # fmt: skip
walks = pd.DataFrame(rows)
last = walks[walks["step"] == steps]

# %%
error = (walks["lost"] - walks["distance"]).abs().round(12)
views.training_curves(
    walks,
    {"lost": "β log Z − J (reward units)",
     "distance": "β KL(π‖π*) (reward units)"},
    log_y=True,
    caption="Two different computations, one curve: over all steps of all "
    f"walks they differ by {error.max():g} reward units, to twelve decimals.",
)  # fmt: skip

# %%
target = solutions.kl(best, ref).mean().item()
views.kl_drift(
    walks,
    caption="The walks start away from π_ref and all end near "
    f"KL(π*‖π_ref) = {target:.3f} nats; the last step lies within "
    f"{(last['kl'] - target).abs().max():.3f} nats of it.",
)

# %% [markdown]
# ## The implicit reward of the optimum
#
# Read line 3 backwards: $\beta\log\frac{\pi^*(y)}{\pi_\text{ref}(y)} = r(y) -
# \beta\log Z$. This is the *implicit reward*. At the optimum it equals gold
# minus one constant a prompt, so differences between two responses are
# exact, and a single value means nothing by itself.

# %%
implicit = BETA * (best - ref)
held = {"gold": gold[film, four], "policy": implicit[film, four]}
table = pd.DataFrame({"review": [world.text(i) for i in four], **held})
shift = BETA * solutions.log_partition(ref, gold, BETA)[film]
views.bars(
    table.melt("review"), "review", "value", by="variable",
    label="reward units", caption="Gold r and the implicit reward of the "
    f"policy π* differ by the same {shift:.3f} reward units on every review: "
    "β log Z of “film”.",
)  # fmt: skip

# %% [markdown]
# ## The frontier, and the β explorer
#
# Slide $\beta$ from $\infty$ to $0$ and $\pi^*_\beta$ draws a curve in the
# plane (KL, E[gold]). No policy lies above it: one that did would have a
# larger $J_\beta$ than $\pi^*_\beta$ for the $\beta$ that is the curve's
# slope there. The dashed line of every later notebook is this curve.

# %%
beta_explorer(world, ref, gold, beta=BETA)

# %%
betas = torch.logspace(-1.3, 1.7, 40, dtype=torch.float64).tolist()
frontier = solutions.frontier(ref, gold, gold, betas)
far, near = frontier.iloc[0], frontier.iloc[-1]
print(f"β = {near['beta']:.0f}: KL(π*‖π_ref) = {near['kl']:.4f} nats")
print(f"β = {far['beta']:.2f}: gold reward {far['gold']:.3f}, the best review",
      f"of every prompt is worth {gold.amax(-1).mean():.3f}")  # fmt: skip

# %% [markdown]
# Your second prediction: $\beta \to \infty$ gives $\pi_\text{ref}$ back, and
# $\beta \to 0$ keeps only the best review.

# %% [markdown]
# ## Break it
#
# Three wrong optima, each one slip of the pen:
#
# 1. **π_ref forgotten**: $\propto e^{r/\beta}$. The prior of the language is
#    gone, every ungrammatical string is as likely as its reward allows.
# 2. **wrong scale**: $\propto \pi_\text{ref}\,e^{\beta r}$. At $\beta = 1$
#    nobody notices.
# 3. **wrong sign**: $\propto \pi_\text{ref}\,e^{-r/\beta}$, a cost taken for
#    a reward.
#
# The identity says what each slip costs: $\beta\,\mathrm{KL}(\pi\,\|\,\pi^*)$.

# %%
WRONG = {
    "π_ref forgotten": lambda b: (gold / b).log_softmax(-1),
    "wrong scale": lambda b: solutions.optimal_policy(ref, gold, 1 / b),
    "wrong sign": lambda b: solutions.optimal_policy(ref, -gold, b),
}
ruler = {"gold": gold, "frontier": Frontier(ref, gold)}
measured = {
    (name, b): evaluate(wrong(b), world, ref, beta=b, **ruler)
    for name, wrong in WRONG.items() for b in betas
}  # fmt: skip
broken = pd.concat(measured, names=["law", "beta"]).reset_index()

# %%
broken["regret"] = broken["beta"] * broken["kl_to_optimum"]
columns = ["law", "beta", "kl", "gold", "regret"]
broken[broken["beta"].between(0.28, 0.31)][columns].round(3)

# %%
dash = views.role("exact")
line = views.Line(frontier["kl"], frontier["gold"], "π*, exact", dash)
dots = [
    views.Points(rows["kl"], rows["gold"], name, views.series(i), size=4)
    for i, (name, rows) in enumerate(broken.groupby("law", sort=False))
]
axes = "KL(π‖π_ref) (nats per sequence)", "gold reward (reward units)"
chart = views.Chart("Three wrong optima, β swept", *axes, [line, *dots])

# %%
said = "Forgetting π_ref lies below the frontier, the wrong sign runs " \
    "downhill, and the wrong scale lies ON it: it is the optimum of " \
    "another β, which J shows and this plot does not."  # fmt: skip
views.Fig(views.Panels([chart]), said, broken[columns])

# %%
views.training_curves(
    broken, {"regret": "β KL(π‖π*) (reward units)"}, x="beta", by="law",
    log_x=True, log_y=True, caption="The wrong scale costs least at β = 1, "
    "where it is right; forgetting π_ref costs more the larger β is, because "
    "the optimum then is π_ref itself.",
)  # fmt: skip

# %% [markdown]
# ## What the paper said, what we saw

# %%
said = {"paper": "Rafailov et al. 2023 (2305.18290), section 4",
        "setting": "reviews, 3 words, gold reward, enumeration",
        "unit": "reward units", "out": OUT or None}  # fmt: skip
teach.claim(
    key="regret-is-kl", effect=error.tolist(), expected="zero",
    statement="Every policy loses exactly β KL(π‖π*), along whole walks.",
    tolerance=1e-9, kind="exact", **said,
)  # fmt: skip

# %%
seen = torch.tensor(walks[["kl", "gold"]].to_numpy())
below = Frontier(ref, gold).gold(seen[:, 0]) - seen[:, 1]
teach.claim(
    key="nobody-above", effect=below.tolist(), expected="positive",
    statement="No policy of the walks earns as much gold as π*_β at its KL.",
    kind="exact", **said,
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# **1** (●○○, 5 minutes). Write `my_optimum(ref, reward, beta)`, log-probs in
# and out, for rewards as large as 10,000 at $\beta = 0.1$. Which step of the
# by-hand computation overflows, and what does `log_softmax` do instead?


# %%
def my_optimum(ref, reward, beta):
    return None  # your code


def check(mine):
    law, big = mine(ref, gold * 1e4, 0.1), gold * 1e4
    if law is None:
        return "not written yet"
    same = torch.allclose(law, solutions.optimal_policy(ref, big, 0.1))
    return "agrees" if same else "differs: is anything inf or nan?"


check(my_optimum)


# %% tags=["solution"]
def solution(ref, reward, beta):
    # exp(r/β) is inf beyond about 700; logsumexp subtracts the maximum first
    logits = ref + reward / beta
    return logits - logits.logsumexp(-1, keepdim=True)


check(solution)

# %% [markdown]
# **2** (●●○, 10 minutes). Add a bonus of 5 reward units to *every* review of
# “plot”. Which of π\*, Z, β log Z and the regret of π_ref change? Predict
# first, then compute.

# %% tags=["solution"]
bonus = gold.clone()
bonus[1] += 5
moved = solutions.optimal_policy(ref, bonus, BETA)
value = solutions.log_partition(ref, bonus, BETA)[1]
value = BETA * (value - solutions.log_partition(ref, gold, BETA)[1])
print("π* stays:", torch.allclose(moved, best))  # and so does every regret
print(f"β log Z of plot grows by {value:.3f}")

# %% [markdown]
# **3** (●●●, 15 minutes). The slope of the frontier, d E[gold] / d KL, equals
# $\beta$. Show it from $J_\beta(\pi^*_\beta) = \beta\log Z$, then check it on
# the table `frontier` with differences of neighbouring rows.

# %% tags=["solution"]
slope = frontier["gold"].diff() / frontier["kl"].diff()
middle = (frontier["beta"] * frontier["beta"].shift()) ** 0.5
print("largest relative error", f"{(slope / middle - 1).abs().max():.3f}")

# %% [markdown]
# ## What must hold

# %%
assert error.max() < 1e-9 and (below > 0).all()
assert abs(J(star) - BETA * Z.log()) < 1e-9
assert torch.allclose(implicit[film] - gold[film], -shift)
assert (broken["regret"] > -1e-9).all()
assert PROFILE == "ci" or (last["lost"] < 1e-2).all()

# %% [markdown]
# ## References, next
#
# - Rafailov et al. 2023, *Direct Preference Optimization* (2305.18290),
#   Eq. 3–5 and appendix A.1.
# - Ziebart 2010, *Modeling purposeful adaptive behavior with the principle of
#   maximum causal entropy*.
# - Korbak et al. 2022, *RL with KL penalties is better viewed as Bayesian
#   inference* (2205.11275): π\* as a posterior.
#
# Next: **02 · Probes** uses known optima like this one to find out which part
# of a training loop is broken. **20 · DPO** turns the implicit reward into a
# loss.
