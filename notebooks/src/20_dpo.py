# ---
# jupyter:
#   workbench:
#     title: "20 · DPO"
#     part: offline
#     path: core
#     needs: ["01", "10"]
#     minutes: 90
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 20 · DPO: why do the chosen rewards fall?
#
# **The idea in one sentence.** Direct preference optimisation (DPO) trains a
# policy on pairs as if the policy were a reward model, and whether the
# reward of the *chosen* responses rises or falls can be computed before any
# training.
#
# After this lesson you can
#
# * derive the DPO loss in five lines, and its gradient;
# * say, for a given $\beta$, whether the chosen reward will rise or fall;
# * read the reward of a single word out of a trained policy;
# * recognise a mean over tokens, the most common bug, by its curves.
#
# *Needs*: lessons 01 (the exact optimum) and 10 (reward models). About
# 90 minutes. Unknown words stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.feedback.kinds.pairs import PairLogps
from workbench.lesson import *
from workbench.measure import chosen_reward
from workbench.methods.direct.links import dpo
from workbench.views.instruments import (
    dpo_playground,
    token_microscope,
    token_state,
)

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 200, 1000),
    pairs=(64, 2000, 20000),
)
betas, main_beta = (0.1, 0.3, 1.0, 3.0), 0.3
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The question
#
# You train a model with DPO. The loss falls, and the margin between chosen
# and rejected responses grows. Then you look at the log-probability of the
# *chosen* responses alone, and it goes down. Forum threads call this a bug.
# Is it one?
#
# The reward that the policy gives to a response is
# $\hat r = \beta\log(\pi/\pi_{\text{ref}})$, its *implicit reward*. It is
# zero before training. Write your predictions into `mine` before you go on.

# %%
display(
    teach.predict(
        "20-1",
        "At a small β of 0.1, does the mean implicit reward of the chosen "
        "responses end above or below zero?",
        ["above", "below"],
    ),
    teach.predict(
        "20-2", "And at a large β of 3?", ["above", "below"], mine=""
    ),
    teach.predict(
        "20-3",
        "Somebody takes the mean over a response's tokens where DPO takes "
        "the sum. Do the reviews that the policy writes get longer or "
        "shorter, compared with right DPO?",
        ["longer", "shorter"],
    ),
)

# %% [markdown]
# ## Three data points
#
# Two different reviews are drawn from $\pi_{\text{ref}}$. An annotator says
# which is better, following Bradley and Terry:
# $p(a \succ b) = \sigma(r_a - r_b)$, where $r$ is the gold reward. A label
# is one toss of that coin, so the worse review sometimes wins. The last
# column is the probability of the label that was given: below one half, the
# worse review won.

# %%
pairs, rows = [], []
for seed in range(SEED, SEED + size.seeds):
    draw = generator(seed, "pairs")
    pairs.append(sample_pairs(world, ref, size.pairs, Annotator(), draw))
pairs = Pairs.cat(pairs)
for i in range(3):
    film, won = int(pairs.chosen.prompt[i]), int(pairs.chosen.response[i])
    lost = int(pairs.rejected.response[i])
    odds = (world.gold[film, won] - world.gold[film, lost]).sigmoid().item()
    rows.append((world.prompts[film], world.text(won), world.text(lost), odds))
names = ["prompt", "chosen", "rejected", "p(this label)"]
pd.DataFrame(rows, columns=names).round(2)

# %% [markdown]
# ## The objective, step by step
#
# 1. Lesson 01: the policy that maximises
#    $\mathbb{E}_\pi[r] - \beta\,\mathrm{KL}(\pi\Vert\pi_{\text{ref}})$ is
#    $\pi^*(y) = \pi_{\text{ref}}(y)\,e^{r(y)/\beta}/Z$.
# 2. Take logarithms and solve for the reward:
#    $r(y) = \beta\log\frac{\pi^*(y)}{\pi_{\text{ref}}(y)} + \beta\log Z$.
# 3. Lesson 10: a comparison sees only a difference of rewards. In
#    $r(y_c) - r(y_r)$ the unknown $\beta\log Z$ cancels.
# 4. Write $D = \log\frac{\pi(y_c)}{\pi_{\text{ref}}(y_c)} -
#    \log\frac{\pi(y_r)}{\pi_{\text{ref}}(y_r)}$ for the difference of the two
#    log-ratios. The likelihood of the label is $\sigma(\beta D)$.
# 5. Its negative logarithm is the loss: $L = -\log\sigma(\beta D)$, and its
#    slope is $-\frac{dL}{dD} = \beta\,\sigma(-\beta D)$.
#
# So the policy is fitted like the reward model of lesson 10, with
# $\hat r = \beta\log(\pi/\pi_{\text{ref}})$ in the place of a score. At the
# optimum $\hat r$ is not $r$. It is $r - \beta\log Z$: an offset that no
# comparison can see.

# %%
display(teach.show(dpo.loss), teach.show(dpo.weight))

# %% [markdown]
# ## By hand, on four reviews
#
# Let only four reviews be possible. From left to right: the reference, the
# reward, the tilted weights, the optimum, its implicit reward, and
# $r - \beta\log Z$. The last two columns agree.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
q = ref[0, four].softmax(-1)  # the reference on these four
r = world.gold[0, four]
tilted = q * (r / main_beta).exp()
Z = tilted.sum()
optimum = tilted / Z
implicit = main_beta * (optimum / q).log()
table = {"π_ref": q, "r": r, "π_ref·exp(r/β)": tilted, "π*": optimum}
table |= {"β log(π*/π_ref)": implicit, "r − β log Z": r - main_beta * Z.log()}
assert torch.allclose(implicit, r - main_beta * Z.log())
pd.DataFrame({k: v.tolist() for k, v in table.items()}, texts).round(3)

# %% [markdown]
# A good review has a negative implicit reward as soon as its reward is below
# $\beta\log Z$, which lies between the mean reward under $\pi_{\text{ref}}$
# (for a large $\beta$) and the highest reward (for a small one).
#
# Who is *chosen*? Two different reviews meet, $y$ with probability
# $\pi_{\text{ref}}(y)$ and $y'$ with $\pi_{\text{ref}}(y')$, and $y$ wins with
# probability $\sigma(r(y) - r(y'))$. Summing over all meetings gives the
# distribution $p_c$ of the chosen review, and $p_r$ of the rejected one. Both
# belong to the data: they know nothing of $\beta$.

# %%
meets = q[:, None] * q * (1 - torch.eye(4))
wins = meets * (r[:, None] - r).sigmoid() / (meets.sum() / 2)
p_chosen, p_rejected, by_hand = wins.sum(1), wins.sum(0), {}
for beta in betas:
    offset = beta * (q * (r / beta).exp()).sum().log()
    both = p_chosen @ (r - offset), p_rejected @ (r - offset)
    by_hand[beta] = offset, *both
by_hand = pd.DataFrame(by_hand, ["β log Z", "chosen", "rejected"]).T
by_hand = by_hand.astype(float).round(4)
library = chosen_reward.decline(q.log()[None], r[None], list(betas))
assert np.allclose(by_hand.chosen, library.chosen, atol=1e-4)
by_hand.assign(margin=by_hand.chosen - by_hand.rejected)

# %% [markdown]
# **The sign rule.** At the optimum the mean implicit reward of the chosen
# responses is $\mathbb{E}_{p_c}[r] - \beta\log Z$. The first term does not
# depend on $\beta$. The second grows as $\beta$ shrinks, up to the highest
# reward of all. So the chosen reward is negative below some $\beta$: in the
# table its sign flips between $\beta = 0.3$ and $\beta = 1$. The margin of
# the optimum is the same at every $\beta$.
#
# ## By hand: the gradient
#
# The loss pushes $\log\pi(y_c)$ up and $\log\pi(y_r)$ down, both by
# $\beta\,\sigma(-\beta D)$. Autograd agrees.

# %%
logps = torch.tensor([[-1.2], [-0.7]], dtype=torch.float64, requires_grad=True)
ref_logps, mask = torch.full((1, 1), -1.0).double(), torch.ones(1, 1).bool()
pair = PairLogps(logps[:1], logps[1:], ref_logps, ref_logps, mask, mask)
dpo.loss(pair, dpo.Config(beta=main_beta)).sum().backward()
D = (-1.2 - -1.0) - (-0.7 - -1.0)
push = main_beta / (1 + np.exp(main_beta * D))
assert np.allclose(logps.grad.flatten(), [-push, push])
print(f"D = {D:.2f} nats, push β·σ(−βD) = {push:.4f}")

# %% [markdown]
# The pushes act on two *log-probabilities*. But probabilities sum to one and
# all responses share the parameters: pushing the rejected review down may
# take the chosen one with it, and nothing in the loss prevents that. Lesson
# 26 is about this.
#
# ## The rule over all reviews
#
# The same sums over all 585 reviews of each prompt, without any training;
# the column `value` is $\beta\log Z$:

# %%
grid = np.geomspace(0.03, 10, 31).tolist()
rule = chosen_reward.decline(ref, world.gold, grid)
turn = float(np.exp(np.interp(0, rule.chosen, np.log(rule.beta))))
say(f"The chosen reward of the optimum is negative for each β < {turn:.2f}.")
rule.iloc[::6].round(3)

# %% [markdown]
# ## Train
#
# One run per $\beta$; all seeds are trained at once as one stacked model.
# The tracker measures the implicit rewards over the exact distributions
# $p_c$ and $p_r$, as an infinite data set would show them.


# %%
def train(beta, method=dpo):
    trackers = (
        chosen_reward.DeclineTracker(world, ref, world.gold, beta),
        exact.Tracker(world, ref, gold=world.gold, beta=beta),
    )
    return offline.fit(
        reference.copies(size.seeds), reference, pairs, method,
        dpo.Config(beta=beta), steps=size.steps, seed=SEED,
        measures=trackers, every=max(1, size.steps // 8),
    )


# %%
runs = {beta: train(beta) for beta in betas}
curves = pd.concat([run.metrics.assign(beta=b) for b, run in runs.items()])
last = curves[curves.step == size.steps]
ends = last.groupby("beta").mean(numeric_only=True)

# %% [markdown]
# ## What the runs show
#
# The first figure shows the run with the smallest $\beta$: both rewards fall,
# and the margin grows. The second shows the ends of all runs beside the rule,
# which is dashed.

# %%
small = ends.loc[betas[0]]
views.implicit_rewards(
    runs[betas[0]].metrics,
    caption=f"At β = {betas[0]} the chosen reward ends at "
    f"{small.chosen:+.2f}, the rejected one at {small.rejected:+.2f}, the "
    f"margin at {small.margin:+.2f}.",
)

# %%
sides = ["chosen", "rejected"]
trained_ends = last.melt(["seed", "beta"], sides, "side", "reward")
optimum_ends = rule.melt(["beta"], sides, "side", "reward")
goal = {b: np.interp(b, rule.beta, rule.chosen) for b in betas}
views.sweep(
    trained_ends, "beta", {"reward": "mean implicit reward (reward units)"},
    "side", exact=optimum_ends, exact_label="at the optimum", log_x=True,
    x_label="β (reward units per nat)", title="The sign rule and four runs",
    caption=f"At β = {betas[-1]} the chosen reward ends at "
    f"{ends.chosen[betas[-1]]:+.2f}, at the optimum it is "
    f"{goal[betas[-1]]:+.2f}; at β = {betas[0]} it ends at "
    f"{ends.chosen[betas[0]]:+.2f}, far from {goal[betas[0]]:+.2f}.",
)

# %% [markdown]
# The signs are those of the rule. At a small $\beta$ the runs stop short of
# their optimum: it lies many nats away from the reference, and the pairs,
# which were all drawn from the reference, hardly describe it.
#
# ## Which words carry the reward
#
# A response's implicit reward is a sum over its tokens, so each word has its
# share. The exact share is $\beta\log\pi^*(a|s)/\pi_{\text{ref}}(a|s)$ for the
# word $a$ after the words $s$; the legend calls it the advantage
# $Q^* - V^*$, and lesson 29 says why. Before training all shares are zero.
# Press another row of the table: where is the worse review the chosen one, and
# which word pays for it?

# %%
trained = runs[main_beta].policy
policies = (ref, ref, exact.response_logps(trained, world)[0])
frame = token_state.token_frame(
    world, pairs, *policies, reward=world.gold, beta=main_beta, limit=8
)
token_microscope(frame)

# %% [markdown]
# ## Distance to the exact optimum
#
# No policy earns more gold than the frontier of lesson 01 at the same KL. How
# far below it do runs end? The instrument trains DPO anew at every move, on a
# table with one number for each review in the place of the network. The
# frontier is dashed; the sentence below gives $\mathrm{KL}(\pi\Vert\pi^*)$.
#
# Move $\beta$: the margin stays, and both rewards shift together, as the sign
# rule says. Go down to 100 pairs and follow the steps: gold rises, then falls.

# %%
say(
    "The runs above end below the frontier by "
    f"{ends.frontier_gap[betas[-1]]:.2f} reward units at β = {betas[-1]} and "
    f"by {ends.frontier_gap[betas[0]]:.2f} at β = {betas[0]}."
)
dpo_playground(world, ref, beta=main_beta)

# %% [markdown]
# ## Break it: a mean over tokens
#
# Mistake (2) of DPO divides each log-ratio by the length of its response.
# Public code does this, and everything still runs.

# %%
wrong = SimpleNamespace(card=dpo.card, loss=dpo.mistakes["2 mean over tokens"])
broken = train(main_beta, wrong)
both = {"sum (DPO)": runs[main_beta], "mean over tokens": broken}
both = pd.concat([run.metrics.assign(takes=k) for k, run in both.items()])
ends_of = both[both.step == size.steps].groupby("takes").mean()
bad, right = ends_of.loc["mean over tokens"], ends_of.loc["sum (DPO)"]
views.training_curves(
    both,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "length": "words per response"},
    by="takes",
    caption=f"With the mean, the policy ends {bad.kl_to_optimum:.2f} nats "
    f"from its optimum (sum: {right.kl_to_optimum:.2f}) and writes "
    f"{bad.length:.2f} words (sum: {right.length:.2f}).",
)

# %% [markdown]
# **Its signature.** The loss sees only $1/|y|$ of each log-ratio, so the
# log-ratios must grow $|y|$ times further before the loss is content: the
# policy runs away from its optimum. And a nat counts most in a short review,
# so the reviews get short.
#
# ## Answers

# %%
word = {True: "above", False: "below"}
below, above = ends.chosen[betas[0]], ends.chosen[betas[-1]]
display(
    teach.reveal(
        "20-1", word[below > 0],
        f"it ends at {below:+.2f}, and the rule says {goal[betas[0]]:+.2f}. "
        "β log Z is near the highest reward, so chosen reviews lie below it.",
    ),
    teach.reveal(
        "20-2", word[above > 0],
        f"it ends at {above:+.2f}, and the rule says {goal[betas[-1]]:+.2f}. "
        "β log Z is near the mean reward, so chosen reviews lie above it.",
    ),
    teach.reveal(
        "20-3", "shorter" if bad.length < right.length else "longer",
        f"they have {bad.length:.2f} words instead of {right.length:.2f}: "
        "divided by its length, a long review's log-ratio counts less.",
    ),
)

# %% [markdown]
# ## Claims
#
# Each is judged over the seeds of the pairs, for this one reference model.

# %%
setting = f"{size.pairs} pairs, {size.steps} steps, one reference model"
judge = partial(
    teach.claim, setting=setting, unit="reward units", out=OUT or None
)
low, high = (last[last.beta == beta].chosen for beta in (betas[0], betas[-1]))
judge(
    key="chosen-falls", effect=low, expected="negative",
    paper="Rafailov et al. 2024 (2406.02900), section 3.5",
    statement=f"The chosen implicit reward falls below 0 at β = {betas[0]}.",
    meaning="A falling chosen reward is what the objective asks for.",
)

# %%
judge(
    key="chosen-rises", effect=high, expected="positive", paper="ours",
    statement=f"At β = {betas[-1]}, above the turn, the same pairs raise it.",
    meaning="β and the data decide the sign, not a bug.",
)
judge(
    key="margin-rises", effect=last.groupby("seed").margin.min(),
    expected="positive", paper="Rafailov et al. 2023 (2305.18290)",
    statement="The margin rises at each β (the smallest of them, per seed).",
    meaning="Preferences are learned even where both rewards fall.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("20-1")` gives a hint; a second call gives the next one.
#
# **20-1 · Read the table** (●○○, 5 minutes). Look at the table of the rule.
# You go from $\beta = 3$ to $\beta = 0.1$. Does the margin of the optimum
# become "larger", "smaller", or does it stay the "same"?

# %%
teach.answer("20-1", None)

# %% tags=["solution"]
change = float(rule.margin.max() - rule.margin.min())
teach.solution("20-1", "same" if change < 1e-9 else "larger")

# %% [markdown]
# **20-2 · An implicit reward by hand** (●○○, 5 minutes). The reference writes
# `good` with probability 0.2, the trained policy with 0.4, and $\beta = 0.5$.
# What is the implicit reward of `good`?

# %%
teach.answer("20-2", None)

# %% tags=["solution"]
teach.solution("20-2", 0.5 * np.log(0.4 / 0.2))

# %% [markdown]
# **20-3 · Bug hunt** (●●○, 10 minutes). This loss has one planted mistake.
# Its curves look healthy: the loss falls and the margin grows. The check
# names the mistake. Mend the loss until the check passes.


# %%
def suspect(batch, cfg):
    chosen = batch.policy_chosen * batch.chosen_mask
    rejected = batch.policy_rejected * batch.rejected_mask
    margin = chosen.sum(-1) - rejected.sum(-1)
    return -torch.nn.functional.logsigmoid(cfg.beta * margin)


teach.check.dpo(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    chosen = batch.policy_chosen - batch.ref_chosen.detach()
    rejected = batch.policy_rejected - batch.ref_rejected.detach()
    chosen, rejected = (
        chosen * batch.chosen_mask,
        rejected * batch.rejected_mask,
    )
    margin = chosen.sum(-1) - rejected.sum(-1)
    return -torch.nn.functional.logsigmoid(cfg.beta * margin)


assert teach.check.dpo(mended).passed  # the reference was missing

# %% [markdown]
# **20-4 · Three sentences often read in tutorials** (●●○, 15 minutes).
# (a) A larger $\beta$ lets the policy diverge more from the reference.
# (b) If the policy overfits, lower $\beta$. (c) A mean over tokens is DPO as
# well. Measure each of them on the runs above (`ends.kl`, `ends_of`). Which
# are true? Answer "a", "b", "c", "all" or "none".

# %%
teach.answer("20-4", None)

# %% tags=["solution"]
print(ends[["kl", "frontier_gap"]].round(2))  # falls with β: not a, not b
print(
    ends_of[["kl_to_optimum"]].round(2)
)  # the mean has another optimum: not c
teach.solution("20-4", "none")

# %% [markdown]
# **20-5 · The turning point** (●●●, 20 minutes). An annotator who is twice as
# decisive says $p = \sigma(2(r_a - r_b))$. At which $\beta$ does the sign of
# the chosen reward turn now? Predict first whether it rises or falls.

# %%
teach.answer("20-5", None)

# %% tags=["solution"]
decisive = chosen_reward.decline(ref, 2 * world.gold, grid)
turned = float(np.exp(np.interp(0, decisive.chosen, np.log(decisive.beta))))
teach.solution("20-5", turned)

# %% [markdown]
# ## Recap
#
# * DPO fits $\beta\log(\pi/\pi_{\text{ref}})$ as a Bradley–Terry reward.
# * The offset $\beta\log Z$ cancels in every comparison, so the loss never
#   sees it, and the level of the implicit reward is not the reward's.
# * Below a turning $\beta$ the chosen reward of the optimum is negative.
# * A pair pushes by $\beta\,\sigma(-\beta D)$, hard only while it is wrong.
# * A sum over tokens is DPO; a mean is another objective.
#
# Three questions to end with: call `teach.quiz("20")`. Your letters behind the
# number, as in `teach.quiz("20", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), *Direct
#   Preference Optimization*: the method.
# * [Rafailov et al. 2024](https://arxiv.org/abs/2404.12358), *From r to Q\**:
#   the reward of a token.
# * [Rafailov et al. 2024](https://arxiv.org/abs/2406.02900), *Scaling laws for
#   reward model overoptimization in direct alignment algorithms*, section
#   3.5: the falling chosen reward.
#
# Study [**20a**](20a_inside_dpo.ipynb) asks how good the reward inside a DPO
# policy is. Next: [**21 · Links**](21_links.ipynb). The labels here were
# tosses of a coin. What happens if one side always wins?
