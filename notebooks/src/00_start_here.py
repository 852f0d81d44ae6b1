# ---
# jupyter:
#   workbench:
#     title: "00 · Start here"
#     part: foundations
#     budget_s: {ci: 60, lecture: 90, figure: 600}
# ---

# %% [markdown]
# # 00 · Start here
#
# **The claim in one sentence.** A preference method can be read from three
# pictures and one distance: what it came to prefer, how far it went, what
# that bought, and how far it stands from the best policy there is.
#
# After this notebook you can
#
# - train a method on preferences in a minute and read its three pictures,
# - say what every symbol of the series means,
# - open any other notebook and know where to look first.
#
# Run time: about a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace

import pandas as pd
import torch

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs

# %%
from workbench.loops import offline, reward
from workbench.measure import drift
from workbench.measure.exact import Tracker
from workbench.measure.implicit_reward import PairTracker, of_tokens
from workbench.methods.direct.links import dpo
from workbench.methods.reward.pairwise import bt
from workbench.models import tiny
from workbench.models.heads import ScoreModel
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
SIZES = {"ci": (2, 10, 200), "lecture": (SEEDS, 240, 4_000),
         "figure": (SEEDS, 600, 40_000)}  # fmt: skip
seeds, steps, samples = SIZES[PROFILE]
beta, n_pairs = 0.5, 2_000
world = Reviews(max_words=3)
gold = world.gold

# %% [markdown]
# `PROFILE` is the one dial of every notebook: `ci` runs every cell in
# seconds, `lecture` is what you are reading, `figure` is the larger run for a
# GPU. A seed and a profile give the same numbers each time.
#
# ## The question
#
# People compare two answers and say which is better. A language model is to
# learn from this. Did it learn, what did it cost, and was it the best that
# could be done?
#
# **Write down a prediction.** DPO makes the chosen review likelier *than the
# rejected one*. After training, has the probability of the chosen reviews
# risen or fallen?

# %% [markdown]
# ## The words of the series
#
# Every symbol stands here once. Come back when one is unfamiliar.
#
# | symbol | in the code | what it is |
# | --- | --- | --- |
# | $x$, $y$ | `prompt`, `response` | a prompt and a response |
# | $\pi(y\mid x)$ | `policy` | the model that learns |
# | $\pi_\text{ref}$ | `reference`, `ref` | where it starts, frozen |
# | $\mu$ | `mu` | the law that the data were drawn from |
# | $r(x,y)$ | `gold` | what is really wanted, in reward units |
# | proxy | `proxy` | what a reward model says instead |
# | $y_c, y_r$ | `chosen`, `rejected` | the two responses of a pair |
# | $\beta$ | `beta` | price of drift, reward units per nat |
# | KL | `kl` | distance between two laws, nats a sequence |

# %% [markdown]
# | symbol | in the code | what it is |
# | --- | --- | --- |
# | $\hat r$ | `implicit` | implicit reward, $\beta\log(\pi/\pi_\text{ref})$ |
# | $D$ | `margin` | log-ratio of chosen minus that of rejected, nats |
# | $\sigma$ | `sigmoid` | $1/(1+e^{-z})$ |
# | $J_\beta(\pi)$ | `J` | expected $r$ minus $\beta$ KL |
# | $\pi^*$ | `optimal_policy` | the policy with the largest $J_\beta$ |
# | $Z$ | `log_partition` | $\sum_y\pi_\text{ref}(y)e^{r(y)/\beta}$ |
# | $V^*, Q^*$ | `soft_backup` | best value of a prefix, of a next token |
# | seed | `seed` | one of several independent runs |
#
# Logarithms are natural, so KL is in nats. Log-probabilities of a response
# are *sums* over its tokens, the end included.

# %% [markdown]
# ## The way data flows
#
# ```
# worlds    what can be said, and how good it is
#   → feedback   what an annotator tells of it: pairs, scores, thumbs
#     → models     policies, reward models, critics
#       → methods    one objective a file: loss(batch, cfg)
#         → loops      the only training loops
#           → measure    a policy in, a table out
#             → views      a table in, a figure out
# ```
#
# What stands further down knows what stands above it, never the reverse. A
# method sees log-probabilities and nothing else: no model, no optimiser.
#
# ## Look at three data points
#
# The world is a language of reviews so small that all responses can be
# listed. A Bradley–Terry annotator compares two reviews by the reference:
# the better one wins with probability $\sigma(r - r')$.

# %%
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world)


def draw(seed, n, annotator=Annotator(), name="pairs"):  # noqa: B008
    stream = generator(seed, name)
    return sample_pairs(world, ref, n, annotator, stream)


every_seed = range(SEED, SEED + seeds)
pairs = Pairs.cat([draw(seed, n_pairs) for seed in every_seed])

# %%
a, b = pairs.chosen[:3], pairs.rejected[:3]
texts = [[world.text(int(i)) for i in side.response] for side in (a, b)]
pd.DataFrame({
    "prompt": [world.prompts[p] for p in a.prompt],
    "chosen": texts[0], "rejected": texts[1],
    "r(chosen)": world.gold_reward(a), "r(rejected)": world.gold_reward(b),
})  # fmt: skip

# %% [markdown]
# Look for a pair in which the worse review won. Labels are noisy, and no
# method may ask the gold reward for help.
#
# ## The objective
#
# Two facts make DPO. (1) Bradley–Terry: $p(y_c \succ y_r) = \sigma(r(y_c) -
# r(y_r))$. (2) At the best policy for a reward, $r(y) =
# \beta\log\frac{\pi^*(y)}{\pi_\text{ref}(y)} + \beta\log Z$; notebook 01
# derives it. Put (2) into (1): the unknown $\beta\log Z$ is in both rewards
# and cancels. What is left is the likelihood of the labels as a function of
# the *policy*:
#
# $$L = -\log\sigma(\beta D),\qquad
# D = \log\frac{\pi(y_c)}{\pi_\text{ref}(y_c)}
# - \log\frac{\pi(y_r)}{\pi_\text{ref}(y_r)}.$$

# %%
teach.show(dpo.loss)

# %%
teach.show(dpo.link)

# %% [markdown]
# That is the whole method; the docstring of the module says when it is
# valid, what it converges to, and seven ways to get it wrong.
#
# ## By hand on three pairs
#
# Pretend that the policy has moved: its log-probabilities below are the
# reference's plus a change that you can follow.

# %%
log_ref_c = ref[a.prompt, a.response]
log_ref_r = ref[b.prompt, b.response]
change_c = torch.tensor([0.5, -0.2, 0.0]).double()  # nats
change_r = torch.tensor([-0.5, -1.2, 0.4]).double()
D = (log_ref_c + change_c - log_ref_c) - (log_ref_r + change_r - log_ref_r)
steps_by_hand = {
    "log π_ref(c)": log_ref_c, "log π_ref(r)": log_ref_r, "D": D,
    "β·D": beta * D, "σ(β·D)": (beta * D).sigmoid(),
    "loss": -(beta * D).sigmoid().log(),
}  # fmt: skip
pd.DataFrame(steps_by_hand, texts[0]).round(3)

# %% [markdown]
# In the second row *both* responses became less likely, and the loss is as
# low as in the first: $D$ is all that counts. Keep this in mind.
#
# ## Train
#
# One call. `measures` are functions of the policy that the loop calls on a
# schedule; each returns a row a seed. All seeds train at once, each on its
# own pairs.

# %%
held_out = draw(SEED, 1_000, name="held out")
before = held_out.reference_logps(reference)
judged = PairTracker(held_out, before, beta, shared=True)
distance = Tracker(world, ref, gold=gold, beta=beta)


def train(method):
    return offline.fit(
        reference.copies(seeds), reference, pairs, method,
        dpo.Config(beta=beta), steps=steps, lr=5e-4, seed=SEED,
        measures=[judged, distance], every=steps // 10,
    )  # fmt: skip


run = train(dpo)
last = run.last

# %% [markdown]
# ## View 1: implicit rewards
#
# $\hat r = \beta\log\frac{\pi}{\pi_\text{ref}}$ says how much likelier a
# response has become, in reward units. At 0 the policy is the reference.

# %%
fell = last["chosen"].mean() < 0
views.implicit_rewards(
    run.metrics, caption="The margin on unseen pairs ends at "
    f"{last['margin'].mean():.2f} reward units; the chosen reviews "
    f"{'lose' if fell else 'gain'} probability on average "
    f"({last['chosen'].mean():+.2f}).",
)  # fmt: skip

# %% [markdown]
# Compare with your prediction. Chosen reviews *can* fall while the margin
# grows; notebook 20 computes beforehand when they do. Where in a review does
# the reward sit? Take one pair and split $\hat r$ by token.

# %%
one = torch.tensor([0] * 2)
both = ["good and fun", "good fun"]
tokens = world.tokens(one, torch.tensor([world.index(t) for t in both]))
frame = of_tokens(run.policy.member(0), reference, tokens, beta, world.vocab)
frame["review"] = [both[i] for i in frame["row"]]
total = frame.groupby("review", sort=False)["reward"].sum()
views.token_rewards(
    frame, by="review", caption="The rewards of its tokens add up to a "
    f"review's: {total.iloc[0]:+.2f} for “{both[0]}” and "
    f"{total.iloc[1]:+.2f} for “{both[1]}” (seed {SEED}).",
)  # fmt: skip

# %% [markdown]
# ## View 2: drift
#
# $\mathrm{KL}(\pi\|\pi_\text{ref})$ says how far the policy went. Here it is
# a sum over all responses. In a real model it is estimated from samples, so
# the estimators stand beside the exact value.

# %%
asked = torch.arange(samples) % world.n_prompts
final = run.policy.member(0)
drawn = final.sample(world, asked, generator(SEED, "drift"))
guesses = drift.estimates(final, reference, drawn, world=world)
error = guesses.set_index("estimator")["stderr"]
k1, k3, whole = error[["k1", "k3", "rao-blackwell"]]
views.kl_drift(
    run.metrics, estimates=guesses, caption="The policies end "
    f"{last['kl'].mean():.2f} nats from the reference. From the same samples "
    f"the standard error of k3 is {k3 / k1:.1f} times that of k1, and that of "
    f"the whole-vocabulary estimate {whole / k1:.1f} times.",
)  # fmt: skip

# %% [markdown]
# ## View 3: what the drift bought
#
# Gold reward against √KL. The dashed line is the exact frontier: the best
# gold reward that *any* policy has at that distance. Nobody passes it.

# %%
betas = torch.logspace(1.5, -1.2, 40, dtype=torch.float64).tolist()
frontier = solutions.frontier(ref, gold, gold, betas)
views.frontier(
    last.assign(method="dpo"), frontier[frontier["kl"] < 3],
    caption="At its own distance DPO leaves "
    f"{last['frontier_gap'].mean():.2f} reward units of gold to the frontier "
    f"(between {last['frontier_gap'].min():.2f} and "
    f"{last['frontier_gap'].max():.2f} over seeds).",
)  # fmt: skip

# %% [markdown]
# A policy that learns from a *reward model* can do worse than stop short: it
# can go too far. Train a reward model on few and noisy labels (a quarter of
# them flipped), and follow the policies that are optimal *for it*, from
# large $\beta$ to small.

# %%
noisy = Annotator(flip=0.25)
few = Pairs.cat([draw(seed, 300, noisy, "few") for seed in every_seed])
scorers = [ScoreModel.tiny(world.vocab, seed=seed) for seed in every_seed]
fitted = reward.fit(ScoreModel.stack(scorers), few, bt, bt.Config(),
                    steps=steps // 2, seed=SEED)  # fmt: skip
with torch.no_grad():
    proxies = fitted.policy.score_all(world).double()
proxies = proxies - solutions.expectation(ref, proxies)[..., None]
paths = [solutions.frontier(ref, proxy, gold, betas) for proxy in proxies]
curves = pd.concat(paths, keys=every_seed, names=["seed"])
curves = curves.reset_index(level=0)

# %%
peak = curves.loc[curves.groupby("seed")["gold"].idxmax()]
end = curves.groupby("seed").tail(1)
loss = peak["gold"].mean() - end["gold"].mean()
views.overoptimisation(
    curves, exact=frontier, by="beta",
    caption="The proxy rises to the end; gold peaks on average at "
    f"{peak['kl'].mean():.1f} nats and then loses {loss:.2f} reward units.",
)  # fmt: skip

# %% [markdown]
# This is *overoptimisation*. The two curves part where the reward model is
# wrong and the policy has found out. Notebook 11 shows where the hump must
# stand.
#
# ## Distance to the exact optimum
#
# One number sums up a run: $\mathrm{KL}(\pi\|\pi^*)$. Times $\beta$, it is
# exactly what the policy loses in $J_\beta$.

# %%
path = run.metrics.groupby("step")["kl_to_optimum"].mean()
near = path.idxmin()
views.training_curves(
    run.metrics, {"kl_to_optimum": "KL(π‖π*) (nats)"},
    caption=f"The mean distance to π* falls from {path.iloc[0]:.2f} to "
    f"{path.iloc[-1]:.2f} nats and is smallest at step {near}.",
)  # fmt: skip

# %% [markdown]
# What remains at the end is the price of few pairs and of noise: each seed
# has its own labels, and the labels are not the reward. With all pairs and
# infinitely many labels the distance goes to zero; a test of the library
# checks that.
#
# ## Break it
#
# Swap chosen and rejected. The loss falls just as well: it does not know
# what the labels mean. Only a view that compares with something *outside*
# the loss shows it.

# %%
wrong = dpo.mistakes["1 swapped pair"]
swapped = train(SimpleNamespace(loss=wrong, card=dpo.card))
runs = pd.concat(
    {"dpo": run.metrics, "swapped": swapped.metrics}, names=["method"]
).reset_index(level=0)

# %%
columns = {"loss": "loss (nats)", "margin": "margin (reward units)",
           "gold": "gold (reward units)"}  # fmt: skip
ends = swapped.last[["loss", "gold"]].mean()
views.training_curves(
    runs, columns, by="method", caption="Both losses fall, the swapped one to "
    f"{ends['loss']:.2f} nats; its gold reward ends at {ends['gold']:.2f}, "
    f"the right one's at {last['gold'].mean():.2f}.",
)  # fmt: skip

# %% [markdown]
# ## What the papers said, what we saw
#
# A verdict is computed from the interval over seeds: *reproduced* if all of
# it lies on the claimed side, *contradicted* if all of it lies on the other
# side, *not at this scale* otherwise.

# %%
about = {"paper": "Rafailov et al. 2023 (2305.18290)", "out": OUT or None,
         "setting": f"reviews, 3 words, {n_pairs} pairs, {steps} steps, "
         f"β = {beta}"}  # fmt: skip
teach.claim(
    key="margin-rises", effect=last["margin"], expected="positive",
    statement="DPO raises the margin of unseen pairs, in all seeds.",
    unit="reward units", **about,
)  # fmt: skip

# %%
teach.claim(
    key="accuracy", effect=last["accuracy"] - 0.5, expected="positive",
    statement="The implicit reward orders unseen pairs better than a coin.",
    unit="above one half", **about,
)  # fmt: skip

# %% [markdown]
# ## How to read the other notebooks
#
# | part | notebooks | look first at |
# | --- | --- | --- |
# | foundations | 00–03 | 01 for $\pi^*$, 02 when something is broken |
# | reward models | 10, 11 | the hump of gold against √KL |
# | offline | 20, 21 | why chosen rewards fall; where each loss stops |
# | online | 30, 31 | the variance of the gradient; each part of PPO |
# | games | 40 | orbits on the simplex |
# | decoding | 60 | $Q^*$, best-of-n and search at equal KL |
#
# All have this notebook's order: question, prediction, data, objective, by
# hand, train, views, distance, *break it*, claims, exercises.

# %% [markdown]
# ## Exercises
#
# **1** (●○○, 5 minutes). Write DPO's loss. `batch.margin()` is $D$ and
# `cfg.beta` is $\beta$; return one value a pair.


# %%
def my_dpo(batch, cfg):
    return None  # your code


teach.check.dpo(my_dpo)


# %% tags=["solution"]
def solution(batch, cfg):
    return -torch.nn.functional.logsigmoid(cfg.beta * batch.margin())


teach.check.dpo(solution)

# %% [markdown]
# **2** (●●○, 10 minutes). Set `beta` to 0.1 and run the notebook again.
# Predict first: further from the reference or nearer? Which of the three
# views changes most?
#
# **3** (●●○, 10 minutes). How good can accuracy be at all? The annotator is
# noisy, so even the gold reward does not order every pair.

# %% tags=["solution"]
gap = world.gold_reward(held_out.chosen) - world.gold_reward(held_out.rejected)
best = (0.5 + 0.5 * gap.sign()).mean()
print(f"gold orders {best:.3f} of the unseen pairs as labelled; "
      f"DPO {last['accuracy'].mean():.3f}")  # fmt: skip

# %% [markdown]
# ## What must hold

# %%
assert (run.metrics["frontier_gap"] > -1e-6).all()
start = run.metrics[run.metrics["step"] == 0]
assert (start["kl"] < 1e-9).all() and (start["margin"].abs() < 1e-6).all()
assert torch.isfinite(torch.tensor(runs["gold"].tolist())).all()
assert torch.allclose(D, change_c - change_r)

# %% [markdown]
# ## References, next
#
# - Rafailov et al. 2023, *Direct Preference Optimization* (2305.18290).
# - Gao, Schulman, Hilton 2023, *Scaling laws for reward model
#   overoptimization* (2210.10760).
#
# Next: **01 · The exact world** derives $\pi^*$.
