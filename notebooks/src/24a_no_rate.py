# ---
# jupyter:
#   workbench:
#     title: "24a · Without the flip rate"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 24a · Does anything but the true flip rate help against flipped labels?
#
# *A study beside lesson 24.*
#
# **Question.** Robust DPO (rDPO) needs the true flip rate. What becomes of it
# with a wrong one? And do three things that are said to help do so: a smaller
# $\beta$, the bounded target of identity preference optimisation (IPO), and
# the soft targets on lists of anchored DPO (ADPO)?
#
# **Setting.** All reviews of at most three words; pairs drawn from the
# reference, labelled once, a share of the labels flipped; lists of four with
# noisy scores, of which a flip exchanges two. One reference model; the seeds
# differ in the data. Effects are averaged over the flip rates above zero.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace

from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.labels import collect_labels
from workbench.lesson import *
from workbench.methods.direct.links import dpo, ipo
from workbench.methods.direct.lists import adpo, adpo_pair
from workbench.methods.direct.noise import rdpo

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 60, 600),
    data=(48, 480, 4800),
)
rates, true_rate, beta, tau = (0.0, 0.2, 0.4), 0.2, 1.0, 0.25
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
tracker = exact.Tracker(world, ref, gold=world.gold, beta=beta)

# %%
pairs, lists = {}, {}
for rate in rates:
    pairs[rate], lists[rate], noisy = [], [], Annotator(flip=rate)
    for seed in range(SEED, SEED + size.seeds):
        draw = generator(seed, "pairs")
        pairs[rate].append(sample_pairs(world, ref, size.data, noisy, draw))
        how = size.data, noisy, generator(seed, "lists")
        labels = collect_labels(world, reference, *how)
        lists[rate].append(labels.data(ListLogps))


# %%
def train(name, module, cfg, data, flips, rows=16, measures=(tracker,)):
    """All flip rates and seeds in one batched model; a row for each."""
    stack = [one for rate in flips for one in data[rate]]
    run = offline.fit(
        reference.copies(len(stack)), reference, type(stack[0]).cat(stack),
        module, cfg, steps=size.steps, every=size.steps, batch_size=rows,
        seed=SEED, measures=measures,
    )
    last = run.last.assign(method=name, flip=np.repeat(flips, size.seeds))
    return last.assign(seed=last.seed % size.seeds)


# %% [markdown]
# ## Pairs: a smaller β, and IPO
#
# Flips multiply $p - \frac12$ by $1 - 2\varepsilon$. DPO with
# $\beta(1-2\varepsilon)$ divides its margins by that factor, which mends
# close pairs only (lesson 24). IPO has $D = (p - \frac12)/\tau$, without
# logarithms; $\tau = \beta/4$ makes it agree with DPO for close pairs.

# %%
epsilon = torch.tensor(rates).repeat_interleave(16 * size.seeds)
plans = {
    "dpo": (dpo, dpo.Config(beta)),
    "dpo, β(1 − 2ε)": (dpo, dpo.Config(beta * (1 - 2 * epsilon))),
    "rdpo": (rdpo, rdpo.Config(beta, epsilon)),
    "ipo": (ipo, ipo.Config(tau)),
}
on_pairs = [train(k, *plan, pairs, rates) for k, plan in plans.items()]
on_pairs = pd.concat(on_pairs)
most = on_pairs[on_pairs.flip == rates[-1]].groupby("method").mean()

# %%
units = {"gold": "gold (reward units)"}
units["frontier_gap"] = "gold below the frontier (reward units)"
views.sweep(
    on_pairs, "flip", units, "method", x_label="labels flipped (share)",
    caption=f"At {rates[-1]:.0%} flips {most.gold.idxmax()} has the most gold "
    f"({most.gold.max():+.2f}) and {most.frontier_gap.idxmin()} is nearest "
    f"to the frontier ({most.frontier_gap.min():.2f} below it).",
)

# %% [markdown]
# ## The wrong flip rate
#
# One label in five is flipped, and rDPO is told another rate. *Keeps* is the
# factor $(1-2\varepsilon)/(1-2\hat\varepsilon)$ by which it multiplies
# $p - \frac12$. Above 1 it fits a "probability" above 1 for clear winners.

# %%
guesses = [0.0, 0.1, true_rate, 0.3, 0.4]
wrong = torch.tensor(guesses).repeat_interleave(16 * size.seeds)
cfg, same = rdpo.Config(beta, wrong), [true_rate] * len(guesses)
guessed = train("rdpo", rdpo, cfg, pairs, same)
guessed["told"] = np.repeat(guesses, size.seeds)
by_guess = guessed.groupby("told")[["gold", "kl", "kl_to_optimum"]].mean()
keeps = (1 - 2 * true_rate) / (1 - 2 * by_guess.index.to_numpy())
by_guess.assign(keeps=keeps).round(3)

# %% [markdown]
# ## Lists with soft targets
#
# ADPO trusts no label fully: it matches a softmax of noisy scores with a
# softmax of log-ratios to an anchor (here the reference). *Soft pairs* does
# the same pair by pair, *hard pairs* only asks who won, and without an anchor
# the softmax takes $\log\pi$ itself. *Win mass* is the mass that the policy,
# restricted to four fresh responses, puts on the best of them.

# %%
draw, films = generator(SEED, "fresh"), torch.arange(8000) // 4 % len(ref)
fresh = world.draw_for(ref, films, draw).response.unflatten(0, (-1, 4))
films = films.unflatten(0, (-1, 4))
scores = world.gold[films, fresh]
best = scores == scores.amax(-1, keepdim=True)


def win_mass(policy):
    inside = exact.response_logps(policy, world)[:, films, fresh].softmax(-1)
    return pd.DataFrame({"win_mass": (inside * best).sum(-1).mean(-1)})


# %%
ways = {"soft list": adpo.loss, "soft pairs": adpo_pair.loss}
ways["hard pairs"] = adpo_pair.mistakes["1 hard label"]
ways["soft list, no anchor"] = adpo.mistakes["2 no anchor"]
how = adpo.Config(), lists, rates, 8, (tracker, win_mass)
on_lists = []
for name, loss in ways.items():
    way = SimpleNamespace(card=adpo.card, loss=loss)
    on_lists.append(train(name, way, *how))
on_lists = pd.concat(on_lists)
worst = on_lists[on_lists.flip == rates[-1]].groupby("method").mean()

# %%
units = {"win_mass": "mass on the best of four"}
units["frontier_gap"] = "gold below the frontier (reward units)"
views.sweep(
    on_lists, "flip", units, "method", x_label="labels flipped (share)",
    exact={"win_mass": float(win_mass(ref).win_mass[0])},
    exact_label="reference",
    caption=f"At {rates[-1]:.0%} flips the most win mass is that of "
    f"{worst.win_mass.idxmax()}, {worst.win_mass.max():.3f}; nearest to the "
    f"frontier is {worst.frontier_gap.idxmin()}.",
)


# %%
def by_seed(frame):
    noisy = frame[frame.flip > 0].groupby(["seed", "method"])
    return noisy.mean(numeric_only=True).unstack("method")


noisy, soft = by_seed(on_pairs), by_seed(on_lists)
clean = on_pairs[on_pairs.flip == 0].pivot(index="seed", columns="method")
lost, mass = clean.gold - noisy.gold, soft.win_mass
far = guessed.pivot(index="seed", columns="told", values="kl_to_optimum")
effects = {
    "rdpo-ipo": lost.ipo - lost.rdpo,
    "repair": noisy.gold.rdpo - noisy.gold["dpo, β(1 − 2ε)"],
    "frontier": noisy.frontier_gap.dpo - noisy.frontier_gap.rdpo,
    "told-too-much": far[0.4] - far[true_rate],
}

# %%
gap, hard = soft.frontier_gap, mass["hard pairs"]
effects["soft-list"] = mass["soft list"] - hard
effects["soft-pairs"] = mass["soft pairs"] - hard
effects["anchor"] = mass["soft list"] - mass["soft list, no anchor"]
effects["list-gap"] = gap["hard pairs"] - gap["soft list"]
say(
    "**Answer.** With flipped labels rDPO loses "
    f"{effects['rdpo-ipo'].mean():+.2f} reward units of gold less than IPO "
    f"and has {effects['repair'].mean():+.2f} more than DPO with a smaller β;"
    f" told 0.4 in place of 0.2 it ends {effects['told-too-much'].mean():+.2f}"
    " nats further from π*. A soft target on lists moves "
    f"{effects['soft-list'].mean():+.3f} of the mass to the best response, "
    f"and the anchor {effects['anchor'].mean():+.3f}."
)

# %% [markdown]
# ## Claims
#
# The table has the source, the unit, and what we test. Every effect is
# expected to be positive.

# %%
RAY, WANG = "Ray Chowdhury et al. 2024 (2403.00409)", "Wang 2025 (2510.18913)"
table = [
    ("rdpo-ipo", RAY, "reward units", "With flips rDPO loses less than IPO."),
    ("repair", "ours", "reward units", "rDPO has more gold than small-β DPO."),
    ("frontier", "ours", "reward units", "rDPO lies nearer the frontier."),
    ("told-too-much", "ours", "nats", "Told too much, rDPO ends further off."),
    ("soft-list", WANG, "probability", "Soft lists beat hard pairs."),
    ("soft-pairs", WANG, "probability", "Soft pairs beat hard pairs."),
    ("anchor", WANG, "probability", "Soft lists do better with an anchor."),
    ("list-gap", "ours", "reward units", "Soft lists lie nearer to it."),
]

# %%
setting = f"{size.data} data, {size.steps} steps, one reference model"
for key, paper, unit, statement in table:
    teach.claim(
        key=key, paper=paper, statement=statement, effect=effects[key],
        unit=unit, expected="positive", setting=setting, out=OUT or None,
    )

# %% [markdown]
# ## What did not come out
#
# rDPO has more gold than DPO and yet lies further from the frontier: it
# multiplies the noise of the labels by $1/(1-2\varepsilon)$, and a policy that
# follows noise spends KL for nothing. DPO with a smaller $\beta$ has the same
# fault. Soft targets are not better than hard ones here: the hard label is
# read off the same noisy scores of the same four responses, so all six pairs
# together say nearly as much as the scores do. What counts is the anchor.
#
# ## References
#
# * [Ray Chowdhury, Kini and Natarajan 2024](https://arxiv.org/abs/2403.00409).
# * [Wang 2025](https://arxiv.org/abs/2510.18913), *Anchored direct preference
#   optimization*.
# * [Azar et al. 2023](https://arxiv.org/abs/2310.12036): IPO.
