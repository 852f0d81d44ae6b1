# ---
# jupyter:
#   workbench:
#     title: "03 · Supervised fine-tuning"
#     part: foundations
#     budget_s: {ci: 60, lecture: 90, figure: 600}
# ---

# %% [markdown]
# # 03 · Supervised fine-tuning
#
# **The claim in one sentence.** Supervised fine-tuning on chosen responses
# ends at a law you can write down, $2\mu(y)B(y)$, and whether it makes the
# *rejected* responses likelier too depends on where you start, not on the
# loss.
#
# After this notebook you can
#
# - say what SFT converges to, and what chosen-SFT is worth,
# - predict the sign of both implicit rewards before training,
# - recognise a mean over tokens and a missing end token by the length.
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
from workbench.feedback.kinds.responses import Responses
from workbench.loops import offline
from workbench.measure import chosen_reward
from workbench.measure.exact import evaluate
from workbench.measure.frontier import Frontier
from workbench.measure.implicit_reward import PairTracker
from workbench.methods.decoding import best_of_n
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
SIZES = {"ci": (2, 10), "lecture": (SEEDS, 240), "figure": (SEEDS, 1200)}
seeds, steps = SIZES[PROFILE]
n_pairs = 32 * steps  # a batch is 32: no pair is seen twice
world = Reviews(max_words=3)
gold, n_words = world.gold, world.n_words.double()
mu = tiny.reference(world).response_logps(world)  # log μ: writes the pairs
film = world.prompts.index("film")

# %% [markdown]
# ## The question
#
# You hold pairs: a chosen and a rejected review of the same thing. Before any
# preference method, most recipes fine-tune on the chosen ones. What does that
# step do by itself? How good can it make the policy, and what has happened to
# the rejected reviews when DPO takes over?
#
# **Write down a prediction.** Only chosen reviews are trained on. Does the
# log-probability of the rejected ones (a) rise, (b) fall, (c) depend on
# something? If (c), on what?

# %% [markdown]
# ## Look at three data points
#
# Both reviews of a pair are drawn from one law $\mu$ (here the shipped
# reference) and a Bradley–Terry annotator says which is better: the better
# one wins with probability $\sigma(r - r')$, so the data hold mistakes.


# %%
def draw(seed, n, name="pairs"):
    stream = generator(seed, name)
    return sample_pairs(world, mu, n, Annotator(), stream)


train = Pairs.cat([draw(SEED + s, n_pairs) for s in range(seeds)])
a, b = train.chosen, train.rejected
pd.DataFrame({
    "prompt": [world.prompts[p] for p in a.prompt[:3]],
    "chosen": [world.text(int(i)) for i in a.response[:3]],
    "rejected": [world.text(int(i)) for i in b.response[:3]],
    "r − r′": (world.gold_reward(a) - world.gold_reward(b))[:3],
}).round(2)  # fmt: skip

# %% [markdown]
# ## The objective
#
# $L(\pi) = -\mathbb{E}_{y \sim p}\left[\log\pi(y|x)\right]$ with $p$ the law
# of the data. Add and subtract the data's own entropy:
#
# $$L(\pi) = \mathrm{H}(p) + \mathrm{KL}(p\,\|\,\pi),$$
#
# so the only minimiser is $\pi = p$. SFT has no opinion about quality: it
# copies the law of its data, mistakes included. The KL here runs from data to
# policy, the other way round than in $J_\beta$ of notebook 01.
#
# **The law of the chosen reviews.** Both reviews come from $\mu$. The chosen
# one is $y$ if $y$ was the first and won, or the second and won:
#
# $$p_w(y) = 2\,\mu(y)\,B(y),\qquad
# B(y) = \textstyle\sum_{y'}\mu(y')\,\sigma(r(y)-r(y')).$$
#
# $B$ is how often $y$ beats a rival from $\mu$. It is at most one, so
# $p_w/\mu \le 2$: whatever the data size, chosen-SFT at most doubles a
# probability. The rejected law is $p_l(y) = 2\mu(y)(1 - B(y))$.

# %% [markdown]
# ## The library's source

# %%
teach.show(sft.loss)

# %% [markdown]
# `reduce` is an argument because its two values are two methods: nats a
# response, or nats a token. You break that below.
#
# ## By hand on four responses

# %%
four = [world.index(t) for t in ["very good", "good", "dull", "not fun"]]
m = mu[film, four].softmax(-1)  # μ of the four, as if they were all
r = gold[film, four]
wins = torch.sigmoid(r[:, None] - r[None, :])
names = [world.text(i) for i in four]
pd.DataFrame(wins.numpy(), names, names).round(3)  # row beats column

# %%
B = wins @ m
hand = {"μ": m, "r": r, "B": B, "p_w = 2μB": 2 * m * B}
hand |= {"p_l = 2μ(1−B)": 2 * m * (1 - B), "p_w/μ": 2 * B}
pd.DataFrame(hand, names).round(4)

# %%
drift = (2 * m * B * (2 * B).log()).sum()
print(f"Σ p_w = {(2 * m * B).sum():.6f}, KL(p_w‖μ) = {drift:.4f} nats")

# %% [markdown]
# Why does $\sum_y 2\mu B$ equal one? Because $\sigma(z) + \sigma(-z) = 1$:
# in every pair somebody wins, and $B$ averages to one half.
#
# ## How far can chosen-SFT go?
#
# The best case is an annotator without noise. Then $p_w$ is the law of the
# better of two draws: *best-of-2*. If no two scores tie, $B$ is uniform on
# $[0, 1]$ under $\mu$, and
# $\mathrm{KL}(p_w\|\mu) = \int_0^1 2u\log 2u\,du = \log 2 - \tfrac12$.
# Ties and noise only bring $p_w$ nearer to $\mu$. On all responses:

# %%
bound = best_of_n.kl_bound(2)


def better_of_two(t):  # log 2μB for an annotator of temperature t
    wins = torch.sigmoid((gold[:, :, None] - gold[:, None, :]) / t)
    return mu + (2 * wins @ mu.exp()[:, :, None])[..., 0].log()


laws = {f"T = {t:g}": better_of_two(t) for t in (4, 2, 1, 0.5, 0.25, 0.1)}
laws["no noise"] = best_of_n.log_law(mu, gold, 2)
ruler = {"gold": gold, "frontier": Frontier(mu, gold)}
reach = {k: evaluate(law, world, mu, **ruler) for k, law in laws.items()}
reach = pd.concat(reach, names=["annotator"]).droplevel(1).reset_index()
reach["ratio"] = [(law - mu).exp().max().item() for law in laws.values()]
reach[["annotator", "kl", "gold", "frontier_gap", "ratio"]].round(3)

# %% [markdown]
# `frontier_gap` is what the frontier of notebook 01 would earn more with the
# same nats: chosen-SFT goes a short way, and wastes little of it.

# %%
views.bars(
    reach, "annotator", "kl", exact=bound, label="KL(p_w‖μ) (nats)",
    caption="No annotator takes chosen-SFT further than log 2 − ½ = "
    f"{bound:.3f} nats (dashed); the best of them reaches "
    f"{reach['kl'].max():.3f}.",
)  # fmt: skip

# %% [markdown]
# The pairs that the library draws hold two *different* reviews, so its
# `pair_laws` leaves out $y' = y$ and differs a little from $2\mu B$. From
# here on $p_w$ and $p_l$ are those.
#
# ## One identity decides both signs
#
# Take any law $p$ and two policies. From the definition of KL,
#
# $$\mathbb{E}_p\left[\log\tfrac{\pi}{\pi_\text{ref}}\right] =
# \mathrm{KL}(p\,\|\,\pi_\text{ref}) - \mathrm{KL}(p\,\|\,\pi).$$
#
# After chosen-SFT $\pi = p_w$. Put in $p = p_w$: the chosen log-ratio is
# $\mathrm{KL}(p_w\|\pi_\text{ref}) \ge 0$, it rises. Put in $p = p_l$: the
# rejected log-ratio is
# $\mathrm{KL}(p_l\|\pi_\text{ref}) - \mathrm{KL}(p_l\|p_w)$. It rises if the
# rejected reviews are *nearer to the chosen ones than to the start*.
#
# So compare two starts: a **base** model that has seen little of this
# language, and the model $\mu$ that **wrote** the pairs.

# %%
chosen_law, rejected_law = chosen_reward.pair_laws(mu, gold)
flat = (0.3 * world.author).log_softmax(-1)  # of what the base has read


def pretrained(seed):
    read = world.draw(flat, 2048, generator(seed, "corpus"))
    policy = tiny.decoder(world.vocab, seed=seed)
    offline.fit(policy, None, Responses.of(read), sft, sft.Config(),
                steps=steps // 2, seed=seed)  # fmt: skip
    return policy.requires_grad_(False)


# %%
base = pretrained(SEED)
STARTS = {"base": base, "wrote the pairs": tiny.reference(world)}


def foretell(start):  # E_p[log π/π_ref] in nats, at the optimum π = p_w
    gap = chosen_law - start
    return {
        "chosen": solutions.expectation(chosen_law, gap).mean().item(),
        "rejected": solutions.expectation(rejected_law, gap).mean().item(),
    }


foretold = {k: foretell(s.response_logps(world)) for k, s in STARTS.items()}
foretold = pd.DataFrame(foretold).T
foretold.round(3)

# %% [markdown]
# The loss, the data and the endpoint are the same in both rows. The sign of
# the rejected column is not. Where between the two starts does it flip? Take
# starts $\propto \mu^{a}$, from $a = 0$ (uniform) to $a = 1$ ($\mu$ itself).

# %%
powers = torch.linspace(0, 1, 21).tolist()
flip = pd.DataFrame([foretell((a * mu).log_softmax(-1)) for a in powers])
flip.insert(0, "a", powers)
crossing = flip.loc[flip["rejected"] > 0, "a"].max()

# %%
views.training_curves(
    flip.melt("a", var_name="side"), {"value": "E[log π/π_ref] (nats)"},
    x="a", by="side", caption="The chosen log-ratio is never negative; the "
    f"rejected one is positive up to a = {crossing:.2f} and negative for a "
    "start near μ.",
)  # fmt: skip

# %% [markdown]
# ## Train
#
# Now the transformer, on sampled pairs. Only `chosen` enters the loss; the
# implicit rewards are measured on pairs that no policy trains on, at
# $\beta = 1$, so they are in nats.

# %%
held_out = draw(SEED, 1000, "held out")
chosen = Responses.of(train.chosen)


def run_sft(start, method=sft):
    before = held_out.reference_logps(start)
    seen = PairTracker(held_out, before, 1.0, shared=True)
    return offline.fit(
        start.copies(seeds), start, chosen, method, sft.Config(), steps=steps,
        seed=SEED, lr=5e-4, measures=[seen, to_law], every=steps // 10,
    )  # fmt: skip


# %%
def to_law(policy):
    laws = policy.response_logps(world).reshape(-1, *mu.shape)
    truth = chosen_law.expand_as(laws)
    numbers = {"to_data_law": solutions.kl(truth, laws),
               "gold": solutions.expectation(laws, gold),
               "length": solutions.expectation(laws, n_words)}  # fmt: skip
    numbers = {k: v.mean(-1).tolist() for k, v in numbers.items()}
    return pd.DataFrame({"seed": range(len(laws)), **numbers})


runs = {name: run_sft(start) for name, start in STARTS.items()}

# %% [markdown]
# ## The signature views
#
# First from the base model, the setting of the papers.


# %%
def rewards(name):
    ends, told = runs[name].last, foretold.loc[name]
    sides = ", ".join(
        f"{side} ends at {ends[side].mean():+.2f} (theory: {told[side]:+.2f})"
        for side in ("chosen", "rejected")
    )
    said = f"Start: {name}. No rejected review is trained on; {sides} nats."
    return views.implicit_rewards(runs[name].metrics, caption=said)


rewards("base")

# %%
rewards("wrote the pairs")

# %% [markdown]
# The margin grows in both, by a fraction of a nat. The start shifts the two
# log-ratios up or down *together*: how much of SFT goes into what a review
# looks like, which chosen and rejected reviews share.
#
# ## Distance to the exact optimum
#
# The optimum is the law of the data, so the distance is
# $\mathrm{KL}(p_w\|\pi)$, over all responses.

# %%
both = pd.concat({k: run.metrics for k, run in runs.items()}, names=["start"])
both = both.reset_index(level=0)
goal = solutions.expectation(chosen_law, gold).mean().item()
left = both.loc[both["step"] == steps, "to_data_law"].max()
views.training_curves(
    both, {"to_data_law": "KL(p_w‖π) (nats)", "gold": "gold (reward units)"},
    by="start", log_y=False, caption="At the last step no run is further "
    f"than {left:.2f} nats from the data law, whose gold reward is "
    f"{goal:.2f}: the ceiling of this data, however long you train.",
)  # fmt: skip

# %% [markdown]
# ## Break it
#
# Two slips in one line each. **A mean over tokens** divides each response's
# loss by its own length: a short review counts more, and the minimiser is
# $p_w(y)/|y|$, normalised. **The end token left out** of the mask: nothing
# ever asks the policy to stop.

# %%
BROKEN = {
    "mean over tokens": sft.mistakes["3 mean over tokens"],
    "end left out": sft.mistakes["2 end of sequence left out"],
}
lengths = {
    name: run_sft(STARTS["wrote the pairs"],
                  SimpleNamespace(loss=loss, card=sft.card)).last
    for name, loss in BROKEN.items()
}  # fmt: skip
lengths |= {"right": runs["wrote the pairs"].last}
lengths = pd.concat(lengths, names=["method"]).reset_index(level=0)

# %%
tokens = n_words + (world.n_words < world.max_words)  # the end is a token
short = (chosen_law - tokens.log()).log_softmax(-1)
data_length = solutions.expectation(chosen_law, n_words).mean().item()
mean_length = solutions.expectation(short, n_words).mean().item()
got = lengths.groupby("method")["length"].mean()
views.bars(
    lengths, "method", "length", exact=data_length, label="words a review",
    caption=f"The data have {data_length:.2f} words a review (dashed). The "
    f"mean over tokens ends at {got['mean over tokens']:.2f} (its exact "
    f"minimiser: {mean_length:.2f}), and without the end token reviews grow "
    f"to {got['end left out']:.2f}.",
)  # fmt: skip

# %% [markdown]
# Neither slip shows in the loss curve, which falls in all three. The length
# is what gives them away.
#
# ## What the papers said, what we saw

# %%
about = {"out": OUT or None, "unit": "nats", "setting": "reviews, 3 words, "
         f"{n_pairs} chosen, held-out pairs"}  # fmt: skip
teach.claim(
    key="rejected-rises-from-base", effect=runs["base"].last["rejected"],
    statement="SFT raises the log-prob of rejected as well as chosen: from a "
    "base model.", expected="positive", paper="Hong et al. 2024 (2403.07691)",
    **about,
)  # fmt: skip

# %%
teach.claim(
    key="rejected-rises-from-author",
    effect=runs["wrote the pairs"].last["rejected"],
    statement="SFT raises the log-prob of rejected as well as chosen: from "
    "the model that wrote the pairs.", expected="positive",
    paper="Hong et al. 2024 (2403.07691)", **about,
)  # fmt: skip

# %%
spare = [bound - solutions.kl(law, mu).max().item() for law in laws.values()]
teach.claim(
    key="best-of-two-bound", paper="Gao et al. 2023 (2210.10760), best-of-n",
    statement="Chosen-SFT drifts at most log 2 − ½ nats, for every annotator "
    "and prompt.", effect=spare, expected="positive", kind="exact", **about,
)  # fmt: skip

# %% [markdown]
# The second verdict is what the identity foretold: the sentence of the paper
# is about models that are new to the data, and false for the model that
# wrote them.
#
# ## Exercises
#
# **1** (●○○, 5 minutes). Write the loss. `batch.policy` holds token log-probs
# [batch, time], `batch.mask` says which of them count.


# %%
def my_sft(batch):
    return None  # your code


teach.check.sft(my_sft)


# %% tags=["solution"]
def solution(batch):
    return -torch.where(batch.mask, batch.policy, 0.0).sum(-1)


teach.check.sft(solution)

# %% [markdown]
# **2** (●●○, 10 minutes). Fine-tune on *both* reviews of each pair. What is
# the law of that data, and what happens to the margin? Answer with one line
# of algebra from the by-hand table.

# %% [markdown] tags=["solution"]
# $\tfrac12(p_w + p_l) = \mu(B + 1 - B) = \mu$: the law that wrote the pairs.
# Nothing is learned about quality, and the margin is zero.

# %% [markdown]
# **3** (●●●, 15 minutes). Fine-tune on the chosen reviews, write new pairs
# with the new policy, fine-tune again. After $k$ rounds with a noise-free
# annotator, what is the law, and what bounds its KL?

# %% tags=["solution"]
law = mu
for n in (2, 4, 8):
    law = best_of_n.log_law(law, gold, 2)  # one more round
    same = torch.allclose(law, best_of_n.log_law(mu, gold, n))
    told = (
        f"KL {solutions.kl(law, mu).mean():.3f} ≤ {best_of_n.kl_bound(n):.3f}"
    )
    print(f"best-of-{n}: {same}, {told}")

# %% [markdown]
# ## What must hold

# %%
assert min(spare) > 0
assert torch.allclose(laws["T = 1"].exp().sum(-1), torch.ones(4).double())
assert (flip["chosen"] >= 0).all() and flip["rejected"].iloc[-1] < 0
assert mean_length < data_length and both["to_data_law"].ge(0).all()
if PROFILE != "ci":
    assert both.loc[both["step"] == steps, "margin"].between(0, 1).all()

# %% [markdown]
# ## References, next
#
# - Ouyang et al. 2022, *InstructGPT* (2203.02155): SFT before preferences.
# - Hong, Lee, Thorne 2024, *ORPO* (2403.07691): rejected log-probs rise
#   during SFT.
# - Rafailov et al. 2024 (2406.02900), section 3.5: why chosen rewards then
#   fall under DPO.
#
# Next: **10 · Reward models** learns $r$ from the same pairs. **20 · DPO**
# starts where this notebook ends.
