# ---
# jupyter:
#   workbench:
#     title: "00 · What RLHF is"
#     part: foundations
#     path: core
#     needs: []
#     minutes: 60
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 00 · What RLHF is: how does a model learn from comparisons?
#
# **The idea in one sentence.** Reinforcement learning from human feedback
# (RLHF) moves the probabilities of a language model toward the answers that
# people prefer, and charges a price $\beta$ for every step away from the
# model it started with, because what people prefer is known only roughly.
#
# After this lesson you can
#
# * read a language model as a table of probabilities;
# * name the stages between a model that imitates text and one that is liked;
# * compute by hand how far one model is from another (KL), and say why that
#   distance has a price;
# * read the three pictures that every later lesson draws.
#
# *Needs*: Python and a first course in probability, no other lesson. About
# 60 minutes. Unknown words stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 6
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace

from workbench.lesson import *
from workbench.loops import reward as reward_loop
from workbench.measure.implicit_reward import PairTracker
from workbench.methods.direct.links import dpo
from workbench.methods.reward.pairwise import bt
from workbench.models.heads import ScoreModel
from workbench.views.instruments import annotator, dpo_playground

# %%
size = sizes(
    PROFILE,
    seeds=(2, SEEDS, 2 * SEEDS),
    steps=(4, 120, 1000),
    reward_steps=(4, 100, 100),
)
n_pairs, main_beta = 1000, 0.5
every_seed = range(SEED + 10, SEED + 10 + size.seeds)
world = Reviews(4)
reference = tiny.reference(world, DEVICE)
ref, gold = reference.response_logps(world).detach(), world.gold

# %% [markdown]
# ## The question
#
# A language model that was trained on all kinds of text can continue any
# sentence. It continues it as people write, which is not what people want:
# they want answers that are true, helpful and pleasant. Nobody can write
# that down as a formula. Yet anybody can look at two answers and say which
# is better. How does a model learn from such comparisons, and what can go
# wrong on the way?
#
# | stage | learns from | what comes out |
# | --- | --- | --- |
# | pretraining | all text there is | a model that writes fluently |
# | supervised fine-tuning (SFT) | good answers | the *reference* model |
# | preferences | people | which of two answers is called better |
# | reward model | preferences | a score for any answer |
# | reinforcement learning (RL) | the score | the *policy*: high scores |
# | direct preference optimisation (DPO) | preferences | the policy, at once |
#
# The picture shows the same from left to right; later lessons show it again
# with their own stage lit. Then write three predictions: `mine="…"` inside
# each call. A wrong one teaches more than a right one. (The first cell holds
# the settings: `PROFILE` is how long runs are, `SEEDS` how often each is
# repeated, `OUT` a folder for results.)
#
# Then be one of those people: say twenty times which of two reviews is better
# (the reviews are short and made of eight words). After each answer a reward
# is fitted to all you said so far; look how its error bars shrink, and what a
# policy writes that is best for *your* reward. Beside it DPO, without a
# reward, trains a table of all reviews on your labels. In a page without
# Python a machine answers.

# %%
display(
    views.pipeline(),
    teach.predict(
        "00-1",
        "DPO is trained on pairs. Afterwards, are the chosen answers of new "
        "pairs more or less likely than before training, on average?",
        ["more likely", "less likely"],
    ),
    teach.predict(
        "00-2",
        "A policy maximises the score of a reward model, harder and harder. "
        "What becomes of the reward that people really mean?",
        ["it rises to the end", "it rises, then falls", "it only falls"],
    ),
    teach.predict(
        "00-3",
        "By mistake, chosen and rejected are swapped in every pair. What does "
        "the training loss do?",
        ["it rises", "it hardly moves", "it falls as usual"],
    ),
)

# %%
annotator()

# %% [markdown]
# ## A language model is a distribution
#
# A language model gives every possible answer a probability, and the
# probabilities sum to one: this is a *distribution*. Real models have more
# answers than anybody can list. In our world the answers are film reviews
# of at most four words from a vocabulary of eight, so the list is complete.
# The reference $\pi_{\text{ref}}$ is a small transformer (a neural network
# that predicts the next word) that has read many such reviews. These are its
# six favourites for the prompt "film"; "(silence)" is the review without
# words. The last column is the *gold reward* $r$: how good a review really is.

# %%
top = ref[0].topk(6).indices
six = pd.DataFrame(
    {"probability": ref[0, top].exp(), "gold reward": gold[0, top]},
    [world.text(int(i)) for i in top],
)
display(six.round(3))
mean_gold = solutions.expectation(ref, gold)
say(
    f"The other {ref.shape[-1] - 6:,} reviews share "
    f"{1 - six['probability'].sum():.3f}. A review that the reference writes "
    f"has a mean gold reward of {mean_gold.mean():.2f}."
)

# %% [markdown]
# ## Three data points
#
# Two reviews $a$ and $b$ are drawn from the reference, and an annotator says
# which is better. The annotator follows Bradley and Terry:
# $p(a \succ b) = \sigma(r_a - r_b)$ with $\sigma(z) = 1/(1 + e^{-z})$. A
# label is one toss of that coin. In the third row the coin fell on the worse
# review: labels are noisy, and no method is told which of them are wrong.

# %%


def draw(seed, purpose):
    stream = generator(seed, purpose)
    return sample_pairs(world, ref, n_pairs, Annotator(), stream)


parts = [draw(seed, "pairs") for seed in every_seed]
pairs, unseen = Pairs.cat(parts), draw(SEED, "unseen")

# %%
chosen, rejected = parts[0].chosen, parts[0].rejected
lead = world.gold_reward(chosen) - world.gold_reward(rejected)
table = {
    "prompt": [world.prompts[i] for i in chosen.prompt],
    "chosen": [world.text(int(i)) for i in chosen.response],
    "rejected": [world.text(int(i)) for i in rejected.response],
    "p(this label)": lead.sigmoid(),
}
words = world.n_words
short = (words[chosen.response] < 3) & (words[rejected.response] < 3)
right, wrong = (short & (lead > 1)).nonzero(), (short & (lead < -1)).nonzero()
pd.DataFrame(table).iloc[torch.cat([right[:2, 0], wrong[:1, 0]])].round(2)

# %% [markdown]
# ## The objective, step by step
#
# 1. We want a policy $\pi$ whose reviews have a high mean reward,
#    $\mathbb{E}_\pi[r] = \sum_y \pi(y)\,r(y)$.
# 2. Nobody knows $r$. What is optimised in its place is a *proxy* that was
#    learned from comparisons of reviews that the reference wrote. On reviews
#    that it never wrote the proxy is a guess.
# 3. So the policy shall stay near the reference. How far it went is the
#    Kullback–Leibler divergence, $\mathrm{KL}(\pi\Vert\pi_{\text{ref}}) =
#    \sum_y \pi(y)\log\frac{\pi(y)}{\pi_{\text{ref}}(y)}$, in nats. It is zero
#    if nothing has moved and positive otherwise.
# 4. The objective subtracts a price for it: $J_\beta(\pi) =
#    \mathbb{E}_\pi[r] - \beta\,\mathrm{KL}(\pi\Vert\pi_{\text{ref}})$. The
#    price $\beta$ is in reward units per nat. This is the objective of RLHF.
# 5. Its best policy is $\pi^*(y) \propto \pi_{\text{ref}}(y)\,e^{r(y)/\beta}$:
#    the reference, reweighted. Lesson 01 derives it.
# 6. Solve step 5 for the reward: $r(y) =
#    \beta\log\frac{\pi^*(y)}{\pi_{\text{ref}}(y)} + \text{constant}$. A
#    policy stands for a reward.
# 7. DPO puts this into Bradley and Terry's probability of a label, so that no
#    reward model is needed. For a chosen review $y_c$ and a rejected one
#    $y_r$ the constant cancels. With $D =
#    \log\frac{\pi(y_c)}{\pi_{\text{ref}}(y_c)} -
#    \log\frac{\pi(y_r)}{\pi_{\text{ref}}(y_r)}$ the loss is
#    $L = -\log\sigma(\beta D)$. Lesson 20 takes its time over it.

# %%
display(teach.show(dpo.loss), teach.show(dpo.link))

# %% [markdown]
# ## By hand: KL, and why it has a price
#
# Let only three reviews be possible. A policy has moved probability from
# the first to the others. Each term of the KL is the policy's probability
# times the logarithm of how much more likely the review has become.

# %%
three = ["dull", "good", "good good"]
old = torch.tensor([0.60, 0.35, 0.05]).double()
new = torch.tensor([0.30, 0.50, 0.20]).double()
by_hand = pd.DataFrame({"reference": old, "policy": new}, three)
by_hand["ratio"] = new / old
by_hand["log ratio"] = (new / old).log()
by_hand["term"] = new * (new / old).log()
display(by_hand.round(3))
say(f"The terms sum to a KL of {by_hand['term'].sum():.3f} nats.")
library = solutions.kl(new.log(), old.log())
assert torch.allclose(torch.tensor(by_hand["term"].sum()), library)

# %% [markdown]
# Single terms may be negative, the sum may not. Now give the three reviews
# rewards. The proxy has seen few reviews such as "good good" and overrates
# it. The best policy *for the proxy* follows from step 5; make the price
# smaller from row to row and watch the last two columns.

# %%
proxy_of = torch.tensor([0.0, 1.0, 1.5]).double()
gold_of = torch.tensor([0.0, 1.0, -1.0]).double()
rows = {}
for beta in (100.0, 1.0, 0.5, 0.2, 0.1):
    weights = old * (proxy_of / beta).exp()
    best = weights / weights.sum()
    nats = (best * (best / old).log()).sum()
    earned = [(best * proxy_of).sum(), (best * gold_of).sum()]
    rows[f"β = {beta:g}"] = [float(n) for n in (*best, nats, *earned)]
library = solutions.optimal_policy(old.log(), proxy_of, beta)
assert torch.allclose(nats, solutions.kl(library, old.log()))
pd.DataFrame(rows, [*three, "KL", "proxy", "gold"]).T.round(3)

# %% [markdown]
# The proxy rises to the end. Gold rises first, while the policy leaves
# "dull", and then falls, when it moves on to the overrated review. A policy
# without a price finds every mistake of its proxy. That is why $\beta$ is
# there, and this is the phenomenon to watch for in every lesson.
#
# ## Train: DPO in a minute
#
# One call trains all seeds side by side, each on 1,000 pairs of its own.
# `measures` look at the policies along the way: one at unseen pairs, one at
# all reviews. (The settings were chosen on seeds 0 to 7; these are others.)

# %%
before = unseen.reference_logps(reference)
on_pairs = PairTracker(unseen, before, main_beta, shared=True)
on_all = exact.Tracker(world, ref, gold=gold, beta=main_beta)


def train(method):
    return offline.fit(
        reference.copies(size.seeds), reference, pairs, method,
        dpo.Config(beta=main_beta), steps=size.steps, lr=5e-4, seed=SEED,
        measures=[on_pairs, on_all], every=max(1, size.steps // 10),
    )


run = train(dpo)
last = run.last
views.pipeline("dpo")

# %% [markdown]
# ## Views 1 and 2: what it came to prefer, and how far it went
#
# The *implicit reward* of a review is $\hat r =
# \beta\log\frac{\pi}{\pi_{\text{ref}}}$: how much more likely it has become,
# in reward units. It is zero before training, so the zero line in the left
# panel is the reference. The right panel shows the difference, the *margin*.
# The drift $\mathrm{KL}(\pi\Vert\pi_{\text{ref}})$ is a sum over all reviews,
# as in the cell by hand.
#
# The second figure trains while you move its controls: a table of all reviews
# of at most three words takes the place of the transformer. It shows both
# views and, on the right, the third: gold against drift, with the most that
# any policy has at that drift dashed. Take 100 pairs and follow the steps, or
# flip labels: both rewards part as before, but gold rises, turns and falls.

# %%
views.implicit_rewards(
    run.metrics,
    caption=f"The margin on unseen pairs ends at {last['margin'].mean():.2f} "
    "reward units. The mean implicit reward of the chosen reviews ends at "
    f"{last['chosen'].mean():+.2f}, that of the rejected ones at "
    f"{last['rejected'].mean():+.2f}. The policies end "
    f"{last['kl'].min():.2f} to {last['kl'].max():.2f} nats away.",
)

# %%
dpo_playground()

# %% [markdown]
# ## View 3: what the drift bought
#
# The other way through the picture: train a reward model on the same pairs,
# then take the policy that is best for it. This world is small, so that
# policy is computed exactly and no weakness of an optimiser disturbs. From
# left to right the price $\beta$ falls from 50 to 0.05 and the policy drifts;
# the axis is $\sqrt{\mathrm{KL}}$, which spreads the beginning. The dashed
# line is the *frontier*: the highest gold reward that any policy can have at
# that distance. It ends where the best reviews have all the probability.
# Comparisons fix a reward up to a constant; it is chosen here so that gold
# and proxy agree at the reference.

# %%
models = [ScoreModel.tiny(world.vocab, seed=seed) for seed in every_seed]
scorer = reward_loop.fit(
    ScoreModel.stack(models), pairs, bt, bt.Config(),
    steps=size.reward_steps, seed=SEED,
)
proxies = scorer.policy.score_all(world).detach().double()
proxies += (mean_gold - solutions.expectation(ref, proxies))[..., None]
views.pipeline(("reward", "rl"))

# %%
betas = np.geomspace(50, 0.05, 31)  # ten steps per factor of ten
paths = {
    seed: solutions.frontier(ref, proxy, gold, betas)
    for seed, proxy in zip(every_seed, proxies, strict=True)
}
curves = pd.concat(paths, names=["seed"]).reset_index(level=0)
most = solutions.frontier(ref, gold, gold, np.geomspace(50, 0.02, 60))
by_beta = curves.groupby("beta")[["kl", "gold", "proxy"]].mean()[::-1]
peak, end = by_beta["gold"].idxmax(), by_beta.index[-1]
views.overoptimisation(
    curves, by="beta", exact=most[most["kl"] < curves["kl"].max()],
    caption=f"The proxies promise {by_beta['proxy'][end]:.2f} reward units at "
    f"the end. The mean gold reward is {by_beta['gold'][peak]:.2f} at "
    f"β = {peak:.2f} and {by_beta['gold'][end]:.2f} at β = {end:.2f}. These "
    "are means at equal β; the bold lines are medians at equal KL, over the "
    "models that reach it.",
)

# %% [markdown]
# This is *overoptimisation*. See it with your own labels: go back to the
# twenty pairs, answer them all and move $\beta$ down, step by step. The gold
# of your policy (orange) rises and then most often falls, and in the end it
# writes a review such as “good good good good”, of which you said nothing.
#
# ## Distance to the exact optimum
#
# In this world the best policy $\pi^*_\beta$ of step 5 is known. The last
# column, $\mathrm{KL}(\pi\Vert\pi^*)$, is one number for everything that a
# training run has missed; at the optimum it is zero.

# %%
star = solutions.optimal_policy(ref, gold, main_beta)
rows = {"reference": on_all(ref), "DPO": last, "optimum": on_all(star)}
table = pd.DataFrame({name: row.mean() for name, row in rows.items()}).T
table["J"] = table["gold"] - main_beta * table["kl"]
table[["gold", "kl", "J", "kl_to_optimum"]].round(3) + 0.0

# %% [markdown]
# ## Break it: swap chosen and rejected
#
# The most common mistake in a preference file is a column read as the other
# one. Train on it, with nothing else changed, and compare with the right
# run.

# %%
swapped_loss = dpo.mistakes["1 swapped pair"]
swapped = train(SimpleNamespace(loss=swapped_loss, card=dpo.card))
both = {"right labels": run.metrics, "swapped": swapped.metrics}
views.training_curves(
    pd.concat(both, names=["labels"]).reset_index(level=0),
    {"loss": "training loss (nats)", "gold": "gold reward (reward units)"},
    by="labels",
    caption="Both losses fall alike, to "
    f"{last['loss'].mean():.2f} and {swapped.last['loss'].mean():.2f} nats. "
    f"Gold ends at {last['gold'].mean():.2f} with the right labels and at "
    f"{swapped.last['gold'].mean():.2f} with swapped ones.",
)

# %% [markdown]
# The loss compares the policy with the labels, so it cannot say that the
# labels are wrong. Only a measure from outside shows it: the gold reward
# here, human eyes on samples elsewhere.
#
# ## Answers

# %%
fell = last["chosen"].mean() < 0
fall, usual = (np.log(2) - each.last["loss"].mean() for each in (swapped, run))
course = "it falls as usual" if fall > usual / 2 else "it hardly moves"
shapes = {betas[0]: "it only falls", betas[-1]: "it rises to the end"}
display(
    teach.reveal(
        "00-1",
        right="less likely" if fell else "more likely",
        because=f"their mean implicit reward is {last['chosen'].mean():+.2f}. "
        "A chosen review was only called better: its mean gold reward "
        f"is {world.gold_reward(chosen).mean():.2f}, and the policy moves on "
        f"to reviews of {last['gold'].mean():.2f}. What goes there is taken "
        "from common reviews, chosen ones among them.",
    ),
    teach.reveal(
        "00-2",
        right=shapes.get(peak, "it rises, then falls"),
        because=f"mean gold goes from {by_beta['gold'].iloc[0]:.2f} to "
        f"{by_beta['gold'][peak]:.2f} and ends at {by_beta['gold'][end]:.2f}: "
        "far from the reference the reward model only guesses, and the policy "
        "goes where the guess is too high.",
    ),
    teach.reveal(
        "00-3",
        right="it rises" if fall < -usual / 2 else course,
        because=f"it ends at {swapped.last['loss'].mean():.2f} nats after "
        f"{np.log(2):.2f} at the start: the loss fits whatever labels it is "
        "given.",
    ),
)

# %% [markdown]
# ## Claims
#
# Papers say things; every lesson tests a few. The verdict is computed from
# the 95 % interval over seeds: *reproduced* if all of it lies on the claimed
# side, *contradicted* if all of it lies on the other, *undecided* otherwise.

# %%
setting = f"reviews of 4 words, {n_pairs} pairs, one reference model"
about = {"out": OUT or None, "setting": setting}
teach.claim(
    key="accuracy", paper="ours", effect=last["accuracy"] - 0.5,
    expected="positive", unit="above one half",
    statement="DPO's implicit reward orders unseen pairs better than a coin.",
    meaning="A policy that was trained on pairs is also a reward model.",
    **about,
)
by_seed = curves.pivot(index="seed", columns="beta", values="gold")
teach.claim(
    key="overoptimisation", paper="Gao et al. 2022 (2210.10760)",
    effect=by_seed.iloc[:, 0] - by_seed.iloc[:, 10], expected="negative",
    statement="Optimised from β = 0.5 on to 0.05, a learned proxy loses gold.",
    meaning="A better score of the reward model may be a worse policy.",
    unit="reward units", **about,
)

# %% [markdown]
# ## Exercises
#
# Each has a check; `teach.hint("00-1")` gives a hint, another one each time.
#
# **00-1 · Read the axis** (●○○, 5 minutes). In the figure of view 3 a curve
# has its peak at 1.6 on the horizontal axis. How many nats is that policy
# from the reference?

# %%
teach.answer("00-1", None)

# %% tags=["solution"]
teach.solution("00-1", 1.6**2)

# %% [markdown]
# **00-2 · KL with pencil and paper** (●○○, 10 minutes). A reference gives two
# answers the probabilities ¼ and ¾, a policy gives both ½. How large is
# $\mathrm{KL}(\pi\Vert\pi_{\text{ref}})$, in nats?

# %%
teach.answer("00-2", None)

# %% tags=["solution"]
teach.solution("00-2", 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))

# %% [markdown]
# **00-3 · KL in one line** (●●○, 10 minutes). Write the KL of a policy from a
# reference when both are given as *log*-probabilities of all answers. It is
# then asked for the optimum `star` at the prompt "film".


# %%
def my_kl(log_policy, log_reference):
    return None  # your line


teach.answer("00-3", my_kl(star[0], ref[0]))


# %% tags=["solution"]
def kl_solution(log_policy, log_reference):
    return (log_policy.exp() * (log_policy - log_reference)).sum()


teach.solution("00-3", kl_solution(star[0], ref[0]))

# %% [markdown]
# **00-4 · Bug hunt: a negative KL** (●●○, 10 minutes). A colleague's function
# prints a negative number, which a KL cannot be. One of its three lines is
# wrong. Which one: 1, 2 or 3?


# %%
def their_kl(log_policy, log_reference):
    log_ratio = log_policy - log_reference  # line 1
    weight = log_reference.exp()  # line 2
    return (weight * log_ratio).sum()  # line 3


print(f"their KL: {their_kl(star[0], ref[0]):.3f} nats")
teach.answer("00-4", None)

# %% [markdown] tags=["solution"]
# The mean is taken over what the *reference* writes. It must be taken over
# what the policy writes. With these weights the sum is
# $-\mathrm{KL}(\pi_{\text{ref}}\Vert\pi)$, which is never positive.

# %% tags=["solution"]
mended = (star[0].exp() * (star[0] - ref[0])).sum()
assert torch.allclose(mended, solutions.kl(star[0], ref[0]))
teach.solution("00-4", 2)

# %% [markdown]
# **00-5 · Your own experiment: a budget of one nat** (●●●, 15 minutes). You
# may drift one nat from the reference at the prompt "film", no further, and
# you know the gold reward. Which $\beta$ spends exactly that? Try values in
# `solutions.optimal_policy(ref[0], gold[0], beta)`, then let a loop find it.

# %%
teach.answer("00-5", None)

# %% tags=["solution"]
low, high = 0.05, 20.0
for _ in range(50):
    middle = (low * high) ** 0.5
    tried = solutions.optimal_policy(ref[0], gold[0], middle)
    too_far = solutions.kl(tried, ref[0]) > 1
    low, high = (middle, high) if too_far else (low, middle)
teach.solution("00-5", middle)

# %% [markdown]
# ## Recap
#
# 1. A language model is a distribution over answers; preferences are noisy
#    comparisons of two of them.
# 2. RLHF maximises reward minus $\beta$ times KL from the reference, by a
#    reward model and RL, or by DPO straight from the pairs.
# 3. KL is a mean of log-ratios over what the *policy* writes; its price is
#    there because the proxy is only right near the reference.
# 4. Three views: implicit rewards, drift, and gold against proxy. In the
#    third one gold rises and then falls.
# 5. A loss that falls proves nothing; compare with something outside of it.
#
# Three questions to end with: call `teach.quiz("00")`. Your letters behind the
# number, as in `teach.quiz("00", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# - Ouyang et al. 2022, *Training language models to follow instructions with
#   human feedback* ([2203.02155](https://arxiv.org/abs/2203.02155)): the
#   three stages after pretraining.
# - Rafailov et al. 2023, *Direct Preference Optimization*
#   ([2305.18290](https://arxiv.org/abs/2305.18290)).
# - Gao, Schulman, Hilton 2022, *Scaling laws for reward model
#   overoptimization* ([2210.10760](https://arxiv.org/abs/2210.10760)).
#
# Next: [**01 · The exact world**](01_exact_world.ipynb) derives the best
# policy and what every other policy loses.
