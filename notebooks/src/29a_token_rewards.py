# ---
# jupyter:
#   workbench:
#     title: "29a · Token rewards from outside"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 29a · Do token rewards from outside help, and where may one search?
#
# *A study beside lesson 29.*
#
# **Question.** T-REG multiplies the push of each token of a pair by a reward
# that comes from outside. Does it bring the implicit rewards of the tokens
# sooner to the exact ones? TDPO2 restrains the KL of the rejected responses.
# Does it? And does beam search on a policy trained by direct preference
# optimisation (DPO) find more gold with more beams, up to a point?
#
# **Setting.** All reviews of at most three words, two thousand Bradley–Terry
# pairs per seed, 100 steps, $\beta = 0.3$, one reference model. The token
# rewards are the best that can be had: $r_t = \sigma(\rho^*_t/\beta) -
# \frac12$ from the exact optimum; and the worst: the same numbers, dealt out
# to the tokens at random. $\rho$ and $\rho^*$ are those of lesson 29. The
# answer in one sentence, with its numbers, is computed near the end.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.feedback.kinds import distribution_pairs, token_pairs
from workbench.lesson import *
from workbench.measure import beam_search, drift, prefix_values, token_credit
from workbench.measure.implicit_reward import token_rewards
from workbench.methods.direct.links import dpo
from workbench.methods.direct.tokens import t_reg, tdpo2
from workbench.methods.values import soft_backup
from workbench.models.policy import TabularPolicy

size = sizes(
    PROFILE, seeds=(2, SEEDS, 10), steps=(4, 100, 1000), pairs=(64, 2000, 9000)
)
beta, world = 0.3, Reviews(3)
tree, gold = world.tree, world.gold
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %%
block, parts = range(SEED, SEED + size.seeds), []
for seed in block:
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, size.pairs, Annotator(), draw))
pairs = Pairs.cat(parts)
held = world.draw(ref, 400, generator(SEED, "held out"))
measures = (
    exact.Tracker(world, ref, gold=gold, beta=beta),
    token_credit.CreditTracker(world, reference, held, beta),
)


# %%
def train(method, cfg, data):
    return offline.fit(
        reference.copies(size.seeds), reference, data, method, cfg,
        steps=size.steps, seed=SEED, measures=measures,
        every=max(1, size.steps // 4),
    )


star = solutions.optimal_policy(ref, gold, beta)
truth = (TabularPolicy(world, table) for table in (star, ref))
gap = token_rewards(*truth, pairs.both, 1.0)
right, mask = t_reg.token_rewards(gap, 0 * gap), pairs.both.mask
order = torch.randperm(int(mask.sum()), generator=generator(SEED, "deal"))
dealt = right.masked_scatter(mask, right[mask][order])

# %%
runs = {"DPO": train(dpo, dpo.Config(beta), pairs)}
whole = distribution_pairs.DistributionPairs(pairs)
runs["TDPO2"] = train(tdpo2, tdpo2.Config(beta=beta), whole)
cfg = t_reg.Config(beta=beta, alpha=0.5)  # the largest α of the paper
for name, given in (("T-REG, exact", right), ("T-REG, random", dealt)):
    data = token_pairs.TokenRewardPairs(pairs, *given.chunk(2))
    runs[name] = train(t_reg, cfg, data)

# %% [markdown]
# ## Token rewards

# %%
curves = pd.concat([run.metrics.assign(method=k) for k, run in runs.items()])
curves = curves[curves.step > 0]
area = curves.pivot_table("rank", "seed", "method")
gain = {k: area[k] - area.DPO for k in ("T-REG, exact", "T-REG, random")}
views.training_curves(
    curves[curves.method != "TDPO2"], by="method",
    columns={"rank": "rank correlation of ρ and ρ*"},
    caption="Averaged over the checkpoints the rank correlation is "
    f"{gain['T-REG, exact'].mean():+.3f} from that of DPO with exact token "
    f"rewards and {gain['T-REG, random'].mean():+.3f} with random ones.",
)

# %% [markdown]
# ## The KL of rejected responses
#
# $K(y)$ is the KL of the reference from the policy, summed over the states
# along a response.

# %%
K = {}
for name in ("DPO", "TDPO2"):
    on = reference, runs[name].policy, pairs.rejected
    K[name] = drift.sequence_values(*on)["rao-blackwell"]
    K[name] = K[name].view(size.seeds, -1).mean(-1)
ends = pd.concat({k: run.last.mean() for k, run in runs.items()}, axis=1).T
columns = ["gold", "kl", "kl_reverse", "kl_to_optimum", "kl_to_greedy", "rank"]
ends[columns].round(2)

# %% [markdown]
# T-REG's good tokens gain from chosen *and* from rejected reviews, so its
# fixed point is not $\pi^*$.
#
# ## Beam search
#
# A wider beam finds responses that the policy thinks likelier. What DPO
# learned is another sum, of $\log\pi/\pi_{\text{ref}}$.

# %%
found, on = {}, (runs["DPO"].policy, world, ref, range(1, 9))
for by in ("likelihood", "implicit reward"):
    found[by] = beam_search.by_width(*on, by).assign(search=by)
beam = found["likelihood"].pivot(index="seed", columns="width")
mean = pd.concat(found.values()).groupby(["search", "width"]).gold.mean()
at = {k: [f"{mean[k, width]:.2f}" for width in (1, 4, 8)] for k in found}
views.sweep(
    pd.concat(found.values()), "width", {"gold": "gold (reward units)"},
    "search", exact=gold.amax(-1).mean().item(), exact_label="best review",
    title="Gold of the best review found", x_label="beams",
    caption="With 1, 4 and 8 beams gold is "
    f"{', '.join(at['likelihood'])} by likelihood and "
    f"{', '.join(at['implicit reward'])} by implicit reward.",
)

# %% [markdown]
# ## From the greedy policy to the optimum in rounds
#
# Step-DPO with labels from what the reference writes leads to the greedy
# policy (lesson 29). Now let the *latest* policy write the rest and label
# again. Without a network: the largest error of $\log\pi(a|s)$ after each
# round, by height, which is the number of tokens still to come.

# %%
was = tree.conditionals(ref)
best = soft_backup.backup(tree, was, gold, beta).log_policy
height = tree.depth - tree.n_response_words[: tree.n_nodes]

# %%
now, rounds = ref, {}
for done in (1, 2, 3):
    value = prefix_values.of_policy(now, world, ref, beta)
    Q = tree.action_values(value, gold)[0]
    chosen = (was + Q / beta).log_softmax(-1)
    now = tree.response_logps(chosen)
    error = (chosen - best).abs().amax((0, 2))
    rounds[done] = [error[height == h].max().item() for h in (1, 2, 3)]
table = pd.DataFrame(rounds, [f"height {h}" for h in (1, 2, 3)])
table.rename_axis(columns="round").map("{:.1e}".format)

# %% [markdown]
# ## The score of TDPO is a fair game
#
# At the greedy policy the score $\beta(d + K)$ is $r - V^{\text{ref}}(x)$, on
# all 585 reviews of each prompt.

# %%
greedy = token_credit.greedy_policy(world, ref, beta)
every = torch.cartesian_prod(*map(torch.arange, ref.shape)).T
two = TabularPolicy(world, ref), TabularPolicy(world, greedy)
fair = drift.sequence_values(*two, world.tokens(*every), world)
fair = fair["rao-blackwell"].view(ref.shape)
start = solutions.expectation(ref, gold)[:, None]
off = (beta * (greedy - ref + fair) - (gold - start)).abs().max().item()

# %% [markdown]
# ## Claims

# %%
r_to_q, reg = "Rafailov et al. 2024 (2404.12358)", t_reg.card.paper
up, down, unit = "positive", "negative", "reward units"
exact_ones = [e for n, r in rounds.items() for e in r[:n]]
rank, worst = "rank correlation", (-float("inf"), 0.01)
rows = [
    ("beam-rises", r_to_q, beam.gold[4] - beam.gold[1], up, unit),
    ("beam-falls", r_to_q, beam.gold[8] - beam.gold[4], down, unit),
    ("beam-long", r_to_q, beam.length[8] - beam.length[1], up, "words"),
    ("tdpo2-rejected", tdpo2.card.paper, K["TDPO2"] - K["DPO"], down, "nats"),
    ("t_reg-sooner", reg, gain["T-REG, exact"], up, rank),
    ("t_reg-random", "ours", gain["T-REG, random"], worst, rank),
    ("step-rounds", "ours", exact_ones, "zero", "nats"),
    ("tdpo-score", "ours", off, "zero", unit),
]

# %%
texts = [
    "By likelihood 4 beams find more gold than 1.",
    "By likelihood 8 beams find less gold than 4.",
    "By likelihood 8 beams find longer reviews than 1.",
    "The K of rejected reviews is smaller with TDPO2 than with DPO.",
    "Right token rewards bring ρ to ρ* sooner.",
    "Random token rewards bring no gain (at most 0.01).",
    "After h rounds of labels the policy is exact at height h.",
    "At the greedy policy the score of TDPO is r − V^ref(x).",
]
means = [
    "Searching a trained policy helps as tree search on values does.",
    "Too wide a search exploits what the policy overrates.",
    "What a wide search exploits is length.",
    "The term holds what it is meant to hold.",
    "Knowing which word is good saves labels.",
    "It is the information that helps, not the weighting.",
    "Labels of the latest policy, in rounds, end at the optimum.",
    "TDPO learns the greedy policy.",
]
verdicts, where = {}, f"{size.pairs} pairs, {size.steps} steps, one reference"
names = "key", "paper", "effect", "expected", "unit"
for row, text, meaning in zip(rows, texts, means, strict=True):
    told = dict(zip(names, row, strict=True))
    told |= {"statement": text, "meaning": meaning, "setting": where}
    sure = {"kind": "exact", "tolerance": 1e-9, "must_hold": True}
    told |= sure if row[3] == "zero" else {}
    verdicts[row[0]] = teach.claim(**told, out=OUT or None)

# %%
told = {k: f"{c.mean:+.3f} ({c.verdict})" for k, c in verdicts.items()}
say(
    "**Answer.** Exact token rewards change the rank correlation by "
    f"{told['t_reg-sooner']}, random ones by {told['t_reg-random']}; TDPO2 "
    f"changes the KL along rejected reviews by {told['tdpo2-rejected']} nats; "
    f"from 1 to 4 beams gold changes by {told['beam-rises']} and from 4 to 8 "
    f"by {told['beam-falls']}."
)

# %% [markdown]
# ## What did not come out, and the likely reason
#
# *Beam search.* In the paper a few beams help and many make responses long
# and worse. A review here has at most three words, so there is no length to
# exploit, and once the likeliest review is found a wider beam changes
# nothing.
#
# *T-REG.* The exact token rewards cannot be had outside this world. The paper
# asks the model itself, under two prompts; how good that source is was not
# tested.
#
# ## References
#
# * [Rafailov et al. 2024](https://arxiv.org/abs/2404.12358), *From r to Q\**.
# * [Zeng et al. 2024](https://arxiv.org/abs/2404.11999), *Token-level direct
#   preference optimization* (TDPO).
# * [Zhou et al. 2024](https://arxiv.org/abs/2412.02685), *T-REG*.
