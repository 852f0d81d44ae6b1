# ---
# jupyter:
#   workbench:
#     title: "30b · The noise of gradients and of KL estimates"
#     part: online RL
#     budget_s: {ci: 30, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 30b · How noisy are the numbers that a policy gradient reads from samples?
#
# *A study beside lesson 30.*
#
# **Question.** Two numbers are read from sampled responses: the gradient, and
# the KL to the reference. How does the noise of the gradient depend on the
# number $k$ of siblings, at an equal number of responses, and does it show
# after training? And which of the estimators k1, k2, k3 of the KL should be
# read, near the reference and far from it?
#
# **Setting.** Four answers for what is enumerated (lesson 30); all reviews of
# at most three words, one reference model and $\beta = 0.3$ for what is
# trained. The noise of the KL estimators is an exact sum over all reviews
# along the path of exact optima. The answer in one sentence, with its
# numbers, is computed near the end. Words are in the
# [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 16
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace

from workbench.core import kl
from workbench.core.advantages import leave_one_out
from workbench.lesson import *
from workbench.loops import online
from workbench.measure import drift, group_gradients
from workbench.methods.policy_gradient.reinforce import rloo

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 40, 400))
beta, cfg = 0.3, rloo.Config(beta=0.3)
first = SEED + 10  # settings were chosen on other seeds than these
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
gold = world.gold.double()

# %% [markdown]
# ## Siblings, exactly
#
# The answers and the policy are those of lesson 30. All groups of 1, 2, 4 and
# 6 are enumerated; a larger group uses more responses, so each variance is
# multiplied by $k/12$: twelve responses for everyone. REINFORCE has no
# baseline and is measured with rewards as they are and with 3 added.


# %%
def no_baseline(rewards, k):
    """REINFORCE: the reward is the advantage."""
    return rewards


pi = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
R = torch.tensor([1.0, 0.0, -1.0, 2.0]).double() - beta * (4 * pi).log()
exactly = {}
for k in (2, 4, 6):
    one_group = group_gradients.variance(pi, R, leave_one_out, k)
    exactly[f"RLOO, k = {k}"] = one_group * k / 12
for c in (0, 3):
    plain = group_gradients.variance(pi, R + c, no_baseline, 1) / 12
    exactly[f"REINFORCE, rewards + {c}"] = plain
pd.DataFrame({"variance at twelve responses": exactly}).round(3)

# %% [markdown]
# ## Siblings, after training
#
# 32 responses per step, in groups of two or of four, and REINFORCE without a
# baseline where the rewards lie around zero as they are.


# %%
def as_they_are(rollouts, cfg):
    """REINFORCE: the penalised reward itself, on each token of a response."""
    rewards = rloo.penalised_reward(rollouts, cfg)
    return torch.where(rollouts.mask, rewards[:, None], 0.0)


def train(method, group):
    """All seeds of one method, 32 responses per step and seed."""
    return online.fit(
        reference.copies(size.seeds), reference, world,
        online.TableReward(world.gold), method, cfg, steps=size.steps,
        prompts=32 // group, group=group, seed=first,
        every=max(2, size.steps // 5), measures=[tracker],
    )


tracker = exact.Tracker(world, ref, gold=gold, beta=beta)

# %%
alone = SimpleNamespace(
    card=rloo.card, loss=rloo.loss, advantages=as_they_are
)
runs = {"REINFORCE, centred": train(alone, 4)}
runs |= {"RLOO, k = 2": train(rloo, 2), "RLOO, k = 4": train(rloo, 4)}
curves = pd.concat(run.metrics.assign(method=m) for m, run in runs.items())
end = {m: run.last.kl_to_optimum.to_numpy() for m, run in runs.items()}
views.training_curves(
    curves, {"kl_to_optimum": "KL(π‖π*) (nats)"}, by="method",
    title="Equal numbers of responses",
    caption="The final means are "
    + ", ".join(f"{m} {value.mean():.2f}" for m, value in end.items())
    + " nats.",
)

# %% [markdown]
# ## Three estimators of the KL
#
# Let $y$ be sampled from the policy and
# $l = \log\pi(y) - \log\pi_{\text{ref}}(y)$. Then
#
# * **k1** is $l$: its mean is the KL, and single values may be negative;
# * **k2** is $\frac12 l^2$: never negative, and its mean is not the KL;
# * **k3** is $e^{-l} - 1 + l$: never negative, and its mean is the KL, because
#   $E[e^{-l}] = \sum_y \pi_{\text{ref}}(y) = 1$.
#
# The noise of each is a sum over all reviews. We walk along the exact optima
# of many $\beta$, from near the reference to far away.

# %%
columns = {"k1": kl.k1, "k2": kl.k2, "k3": kl.k3}
rows, distance = [], "KL(π‖π_ref) (nats)"
for tilt in np.geomspace(0.15, 10, 25):
    best = solutions.optimal_policy(ref, gold, tilt)
    ratio, far = best - ref, solutions.kl(best, ref).mean().item()
    for name, estimator in columns.items():
        value = estimator(ratio)
        mean = solutions.expectation(best, value)
        noise = solutions.expectation(best, value**2) - mean**2
        row = {distance: far, "estimator": name, "mean": mean.mean().item()}
        rows.append(row | {"deviation": noise.sqrt().mean().item()})
noise = pd.DataFrame(rows)

# %%
wide = noise.pivot(index=distance, columns="estimator", values="deviation")
worse = wide.k3 > wide.k1
crossing = wide.index[worse].min() if worse.any() else float("inf")
views.training_curves(
    noise, {"deviation": "deviation of one sample (nats)"}, x=distance,
    by="estimator", log_x=True, log_y=True,
    title="Noise of the three estimators, exact",
    caption=f"k3 is the less noisy one near the reference and the noisier one "
    f"from a KL of {crossing:.2f} nats on.",
)

# %% [markdown]
# From a trained policy, with samples: beside the three stands the
# **Rao–Blackwell** estimate, which at each prefix of a sample takes the KL of
# the whole next-token distribution instead of the sampled token.

# %%
policy = runs["RLOO, k = 4"].policy
asked = torch.arange(512) % world.n_prompts
samples = policy.sample(world, asked, generator(SEED, "drift"))
guesses = drift.estimates(policy, reference, samples, world=world)
guesses["off"] = guesses["mean"] - guesses["exact"]
spread = guesses.groupby("estimator").off.agg(["mean", "std"])
views.kl_drift(
    runs["RLOO, k = 4"].metrics, estimates=guesses[guesses.seed == 0],
    caption=f"Over seeds k2 is off by {spread['mean']['k2']:+.2f} on average; "
    f"the deviation of k1 is {spread['std']['k1']:.2f}, that of Rao–Blackwell "
    f"{spread['std']['rao-blackwell']:.2f}.",
)

# %% [markdown]
# ## Claims
#
# Sides and tolerances were fixed before the judging seeds were drawn.

# %%
near, distant = wide.index.min(), wide.index.max()
means = noise.pivot(index=distance, columns="estimator", values="mean")
ahmadian = "Ahmadian et al. 2024 (2402.14740)"
schulman = "Schulman 2020 (Approximating KL divergence)"
two, four = exactly["RLOO, k = 2"], exactly["RLOO, k = 4"]
exact_claims = [
    ("variance_falls_with_k", ahmadian, two - four, "squared reward units",
     "At equal responses RLOO is less noisy with k = 4 than with k = 2."),
    ("k2_is_biased", schulman, (means.k2 - means.index)[distant], "nats",
     "Far from the reference the mean of k2 is not the KL."),
    ("k3_is_quiet_near", schulman, (wide.k1 - wide.k3)[near], "nats",
     "Near the reference k3 is less noisy than k1."),
    ("k3_is_loud_far", "ours", (wide.k3 - wide.k1)[distant], "nats",
     "Far from the reference k3 is noisier than k1."),
]

# %%
start, closer = end["REINFORCE, centred"], end["RLOO, k = 4"]
rao = guesses.pivot(index="seed", columns="estimator", values="stderr")
seed_claims = [
    ("baseline_when_centred", "ours", start - closer, "nats of KL(π‖π*)",
     "Where rewards lie around zero RLOO (k = 4) ends nearer to the optimum "
     "than REINFORCE without a baseline."),
    ("four_siblings_beat_two", ahmadian, end["RLOO, k = 2"] - closer,
     "nats of KL(π‖π*)",
     "RLOO ends nearer to the optimum with k = 4 than with k = 2."),
    ("rao_blackwell_is_quieter", "ours", rao["k1"] - rao["rao-blackwell"],
     "nats (standard error)",
     "The Rao–Blackwell estimate of the KL has a smaller error than k1."),
]

# %%
setting = f"reviews of 3 words, one reference model, β = {beta}, "
setting += f"{size.steps} steps of 32 responses"
verdicts = {}
for kind, claims in (("exact", exact_claims), ("seeds", seed_claims)):
    for key, paper, effect, unit, statement in claims:
        verdicts[key] = teach.claim(
            key=key, paper=paper, statement=statement, effect=effect,
            expected="positive", unit=unit, kind=kind, out=OUT or None,
            setting="enumerated" if kind == "exact" else setting,
        )

# %%
say(
    f"**Answer.** Twelve responses give a gradient of variance {two:.3f} in "
    f"groups of two and {four:.3f} in groups of four; after training the "
    f"difference is {verdicts['four_siblings_beat_two'].mean:.3f} nats "
    f"({verdicts['four_siblings_beat_two'].verdict}). k3 is the quietest "
    f"unbiased estimate of the KL below {crossing:.2f} nats, k1 above, and "
    f"Rao–Blackwell is quieter than k1 "
    f"({verdicts['rao_blackwell_is_quieter'].verdict})."
)

# %% [markdown]
# ## What did not come out, and the likely reason
#
# The gain from more siblings is large in the gradient, and small at the end of
# training: Adam divides each step by the size of recent gradients, so noise
# costs less than its variance says. Where the rewards happen to be centred,
# REINFORCE ends nearer to the optimum than RLOO, and the enumeration says why:
# there its gradient is the less noisy one. Lesson 30 shows what happens when
# the rewards are not centred. That k3 is noisy far away is not in the source,
# which looks at two normal distributions close to each other: a response with
# $\pi \ll \pi_{\text{ref}}$ is rarely sampled and has a huge $e^{-l}$.
#
# ## References
#
# * Ahmadian et al. 2024, [*Back to basics*](https://arxiv.org/abs/2402.14740).
# * Kool, van Hoof, Welling 2019, *Buy 4 REINFORCE samples, get a baseline for
#   free*.
# * Schulman 2020, *Approximating KL divergence*, joschu.net/blog.
