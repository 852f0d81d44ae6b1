# ---
# jupyter:
#   workbench:
#     title: "28c · Single scores"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 28c · One scored response at a time: who survives bad data?
#
# *A study beside lesson 28.*
#
# **Question.** If each response comes alone, with a score and no siblings,
# a loss can only weigh its log-prob. Which weights survive a data set into
# which bad responses were mixed?
#
# **Setting.** All reviews of at most three words; responses drawn from one
# reference model; a share of them replaced by random responses that score
# below $V(x)$, the mean score of the reference at the prompt. Scores are the
# gold rewards through a sigmoid, since two of the losses need them positive.
# The losses are SFT (supervised fine-tuning: every response counts alike),
# wBC (weighted behaviour cloning, $-r\log\pi$), R-GOLD (the same, with each
# token weighted by its own probability) and A-LoL (advantage leftover lunch,
# $-A\,w\log\pi$ with $A = \max(0, r - V(x))$ and $w$ a clipped ratio to the
# reference). The answer in one sentence is computed before the claims.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 8
DEVICE = "cpu"
OUT = ""

# %%
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.scored import ValuedResponses
from workbench.lesson import *
from workbench.methods.direct.weighted import a_lol, r_gold, wbc
from workbench.methods.supervised import sft

size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 40, 400))
shares, batch = (0.0, 0.4, 0.8), 32  # of bad responses; responses per step
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
scores = world.gold.sigmoid()
value = solutions.expectation(ref, scores)  # V(x), by enumeration
bad = (scores < value[:, None]).double()
bad = bad / bad.sum(-1, keepdim=True)  # equally likely bad responses


# %%
def responses(share, number):
    logps = ((1 - share) * ref.exp() + share * bad).log()
    draws = [generator(SEED + i, "d") for i in range(size.seeds)]
    tokens = Tokens.cat([world.draw(logps, number, draw) for draw in draws])
    at = tokens.prompt, tokens.response
    return ValuedResponses(tokens, scores[at], value[tokens.prompt])


def train(method, data, batch_size=batch):
    return offline.fit(
        reference.copies(size.seeds), reference, data, method, method.Config(),
        batch_size=batch_size, steps=size.steps, seed=SEED, every=size.steps,
        measures=[exact.Tracker(world, ref, gold=world.gold)],
    ).last


# %% [markdown]
# ## Three data points
#
# Some responses of the set with a share of 0.8. Only those whose advantage is
# above zero are ever read by A-LoL.

# %%
losses = {"SFT": sft, "wBC": wbc, "R-GOLD": r_gold, "A-LoL": a_lol}
sets = {share: responses(share, batch * size.steps) for share in shares}
some = sets[shares[-1]]
texts = [world.text(int(y)) for y in some.tokens.response[:5]]
advantage = (some.scores - some.baseline).relu()
read = float((advantage > 0).double().mean())
columns = {"score": some.scores[:5], "V(x)": some.baseline[:5]}
columns["advantage"] = advantage[:5]
pd.DataFrame({k: v.tolist() for k, v in columns.items()}, texts).round(3)

# %% [markdown]
# ## What each loss makes of it

# %%
ends = pd.concat(
    train(method, sets[share]).assign(loss=name, share=share)
    for name, method in losses.items() for share in shares
)
start = float(solutions.expectation(ref, world.gold).mean())
gold = ends.pivot(index="seed", columns=["share", "loss"], values="gold")
fell = gold[shares[0]] - gold[shares[-1]]
mean = fell.mean()
views.sweep(
    ends, "share", {"gold": "gold (reward units)"}, "loss", exact=start,
    exact_label="reference", x_label="share of random bad responses",
    title="Gold after training on bad data",
    caption=f"From a share of 0 to one of {shares[-1]} gold falls by "
    + ", ".join(f"{mean[name]:.2f} ({name})" for name in losses) + ".",
)

# %% [markdown]
# ## How much of the fall is lack of data?
#
# A-LoL does not read a bad response. But where four fifths are bad, it also
# reads fewer good ones. The control is A-LoL on clean data, a fifth of it,
# with a fifth of the batch. What it loses is no damage by bad responses.

# %%
few = responses(0.0, batch * size.steps // 5)
clean = train(a_lol, few, batch // 5).set_index("seed").gold
control = gold[shares[0]]["A-LoL"] - clean
rivals = fell.drop(columns="A-LoL").min(axis=1) - fell["A-LoL"]
say(
    f"**Answer.** A-LoL loses {mean['A-LoL']:.2f} reward units, of which "
    f"{control.mean():.2f} go to having a fifth of the data; the others lose "
    f"{mean.drop('A-LoL').min():.2f} and more. It reads {read:.0%} of the bad "
    "data set."
)
pd.DataFrame({"gold lost": mean}).assign(control=control.mean()).round(3)

# %% [markdown]
# ## Claims

# %%
setting = f"share {shares[-1]}, {size.steps} steps, one reference model"
teach.claim(
    key="a_lol-keeps", paper=a_lol.card.paper, effect=fell["A-LoL"],
    expected=(-0.1, 0.1), unit="reward units", setting=setting,
    control=(control, "clean data, a fifth of them"), out=OUT or None,
    statement=f"With a share of {shares[-1]} bad responses A-LoL keeps its "
    "gold.",
    meaning="What has no advantage is not read, so it does no harm.",
)
teach.claim(
    key="a_lol", paper=a_lol.card.paper, effect=rivals, expected="positive",
    unit="reward units", setting=setting, out=OUT or None,
    statement="SFT, wBC and R-GOLD each lose more than A-LoL.",
    meaning="A weight that is positive for each response imitates each.",
)

# %% [markdown]
# ## What did not come out
#
# A-LoL does lose some gold. The control shows what the same loss loses on
# clean data of the size that is left; the paper mixes its data so that the
# good responses stay and only bad ones are added.
#
# ## References
#
# * [Baheti et al. 2023](https://arxiv.org/abs/2305.14718), *Leftover lunch*:
#   A-LoL, and the comparison with wBC and R-GOLD.
# * [Pang and He 2021](https://arxiv.org/abs/2009.07839): GOLD.
