# ---
# jupyter:
#   workbench:
#     title: "20a · Inside a DPO policy"
#     part: offline
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 20a · How good is the reward inside a DPO policy?
#
# *A study beside lesson 20.*
#
# **Question.** A policy trained by direct preference optimisation (DPO) is a
# reward model too: its implicit reward is
# $\beta\log(\pi/\pi_{\text{ref}})$. Does it credit the right words? Are the
# probabilities that it states true? And does DPO reach as much gold reward as
# reinforcement learning on a reward model of the *same* pairs?
#
# **Setting.** All reviews of at most three words; two thousand pairs per
# seed, labelled once by a Bradley–Terry annotator; four values of $\beta$.
# The rival is a reward model trained on the same pairs, followed by a
# *perfect* optimiser: the exact optimum of the learned reward, at the KL that
# DPO spent. What the rival loses is lost in the labels, none of it in the
# optimisation. The answer in one sentence, with its numbers, is computed in
# the cell before the last section.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.lesson import *
from workbench.loops import reward as reward_loop
from workbench.measure import implicit_accuracy, token_advantages
from workbench.methods.direct.links import dpo
from workbench.methods.reward.pairwise import bt
from workbench.models import heads

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 200, 1000),
    pairs=(64, 2000, 20000),
)
betas, main_beta = (0.1, 0.3, 1.0, 3.0), 0.3
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %%
pairs = []
for seed in range(SEED, SEED + size.seeds):
    draw = generator(seed, "pairs")
    pairs.append(sample_pairs(world, ref, size.pairs, Annotator(), draw))
pairs = Pairs.cat(pairs)


def train(beta):
    tracker = exact.Tracker(world, ref, gold=world.gold, beta=beta)
    return offline.fit(
        reference.copies(size.seeds), reference, pairs, dpo,
        dpo.Config(beta=beta), steps=size.steps, seed=SEED,
        measures=(tracker,), every=size.steps,
    )


# %%
runs = {beta: train(beta) for beta in betas}
ends = [run.last.assign(beta=beta) for beta, run in runs.items()]
last = pd.concat(ends, ignore_index=True)
trained = runs[main_beta].policy

# %% [markdown]
# ## Does it credit the right words?
#
# The exact share of a word is its advantage in the KL-regularised problem,
# $Q^*(s,a) - V^*(s) = \beta\log\pi^*(a|s)/\pi_{\text{ref}}(a|s)$.

# %%
films, reviews = pairs.chosen.prompt[:200], pairs.chosen.response[:200]
tokens = token_advantages.beside_advantage(
    trained, reference, world, films, reviews, beta=main_beta
)
credit = tokens.groupby("seed")[["reward", "advantage"]].corr()
credit = credit.reward.xs("advantage", level=1)

# %%
one = tokens[tokens.seed == tokens.seed.min()]
axes = ("exact advantage (reward units)", "implicit reward (reward units)")
ends = [one.advantage.min(), one.advantage.max()]
equal = views.Line(ends, ends, "equal", views.role("exact"))
cloud = (one.advantage.tolist(), one.reward.tolist(), "one token")
dots = views.Points(*cloud, views.role("policy"), size=4, faint=True)
views.Fig(
    views.Panels([views.Chart("Reward of each token", *axes, [equal, dots])]),
    f"The correlation over tokens is {credit.mean():.2f} on average over "
    f"seeds and {credit.min():.2f} at least.",
    one,
)

# %% [markdown]
# ## Do its probabilities come true?
#
# $\sigma(\hat r_a - \hat r_b)$ is a probability that $a$ is preferred, and
# here the true one is known for every pair of responses.

# %%
every_pair = implicit_accuracy.population(ref, world.gold)
score = implicit_accuracy.logratio_score(main_beta)
bins = implicit_accuracy.reliability(trained, world, ref, every_pair, score)
one = bins[bins.seed == 0].eval("gap = share * abs(predicted - observed)")
views.reliability(
    one,
    caption=f"At β = {main_beta} stated and true probability differ by "
    f"{one.gap.sum():.3f} on average over all {len(every_pair):,} pairs "
    "(seed 0).",
)

# %% [markdown]
# Below one half the bins lie above the diagonal and above one half below it
# if the policy is over-confident; the other way round if it is too timid.

# %%
models = [
    heads.ScoreModel.tiny(world.vocab, seed=seed) for seed in range(size.seeds)
]
model = heads.ScoreModel.stack(models)
fit = reward_loop.fit(
    model, pairs, bt, bt.Config(), steps=size.steps, seed=SEED
)
path = np.geomspace(20, 0.02, 41)
scores = fit.policy.score_all(world)
rivals = [solutions.frontier(ref, one, world.gold, path) for one in scores]
near = [rivals[int(seed) - SEED] for seed in last.seed]
both = zip(last.kl, near, strict=True)
rival = [np.interp(kl, path.kl, path.gold) for kl, path in both]
last = last.assign(rival=rival, ahead=last.gold - rival)

# %% [markdown]
# ## DPO beside a perfect optimiser of the same labels

# %%
mean = last.groupby("beta").mean(numeric_only=True)
views.sweep(
    last, "beta", {"ahead": "DPO minus perfect RL (reward units)"},
    exact=0.0, exact_label="equal gold at equal KL", log_x=True,
    x_label="β (reward units per nat)", title="Gold at the KL that DPO spent",
    caption="DPO minus perfect reinforcement learning (RL) at equal KL: "
    + ", ".join(f"{mean.ahead[b]:+.2f} at β = {b}" for b in betas) + ".",
)

# %%
timid = ((one.predicted - 0.5).abs() < (one.observed - 0.5).abs()).mean()
say(
    f"**Answer.** The words are credited well (correlation {credit.mean():.2f}"
    f"), {timid:.0%} of the bins state too little confidence, and against a "
    "perfect optimiser of the same labels DPO is at "
    f"{mean.ahead[main_beta]:+.2f} gold at β = {main_beta} and at "
    f"{mean.ahead[betas[0]]:+.2f} at "
    f"β = {betas[0]}."
)
mean[["kl_to_optimum", "frontier_gap", "ahead"]].round(3)

# %% [markdown]
# ## Claims
#
# That DPO's frontier is at least that of PPO is a claim about PPO as it is
# trained. A perfect optimiser is a stronger rival than any PPO run, so where
# DPO falls behind it, the paper is not contradicted; where DPO is not
# behind, the claim holds against every PPO.

# %%
setting = f"{size.pairs} pairs, {size.steps} steps, one reference model"
not_below = (-0.05, float("inf"))
for beta in (main_beta, betas[0]):
    teach.claim(
        key=f"frontier-{beta}", paper="ours", expected=not_below,
        statement=f"At equal KL DPO (β = {beta}) has no less gold than a "
        "perfect optimiser of a reward model of the same pairs.",
        effect=last[last.beta == beta].ahead, unit="reward units",
        meaning="DPO loses nothing by leaving out the reward model.",
        setting=setting, out=OUT or None,
    )

# %%
teach.claim(
    key="credit", paper="Rafailov et al. 2024 (2404.12358)",
    statement="A token's implicit reward follows its exact advantage.",
    effect=credit, expected=(0.5, float("inf")), unit="correlation",
    meaning="The sum that DPO fits is divided among the right words.",
    setting=f"{setting}, β = {main_beta}", out=OUT or None,
)

# %% [markdown]
# ## What did not come out
#
# At the smallest $\beta$ DPO falls behind the perfect optimiser: 200 steps on
# pairs drawn near the reference do not carry a policy to an optimum that lies
# many nats away, while the rival pays nothing for the way.
#
# ## References
#
# * [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), *Direct
#   Preference Optimization*.
# * [Rafailov et al. 2024](https://arxiv.org/abs/2404.12358), *From r to Q\**.
