# ---
# jupyter:
#   workbench:
#     title: "29 · Tokens: from r to Q*"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 29 · Tokens: from r to Q\*
#
# **The claim in one sentence.** A reward for whole responses already says
# what each *token* is worth, namely Q\*(s, a) − V\*(s), and methods that look
# at tokens differ in which value they put in the place of V\*.
#
# After this lesson you can
#
# * compute V\*, Q\* and the advantage of every token, and say what a token's
#   implicit reward shows and what it does not;
# * tell π\* from the one-step-greedy policy, and know who converges to which;
# * choose labels of steps by the policy they lead to;
# * measure how far a wish for one prompt leaks to the others.
#
# Run time at `lecture`: about a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace as method

import numpy as np
import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback import scopes, steps, tokenwise
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs, sample_pairs

# %%
from workbench.loops import offline
from workbench.measure import advantages, beams, drift, implicit_reward, values
from workbench.measure import exact as measure
from workbench.methods.offline import c3po, dpo, step_dpo, t_reg, tdpo1, tdpo2
from workbench.methods.values import soft_backup
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
n_steps = {"ci": 2, "lecture": 140, "figure": 1000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 2000, "figure": 20000}[PROFILE]
main = 0.3  # β

world = Reviews(3)
tree, gold = world.tree, world.gold
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()
was = tree.conditionals(ref)  # log π_ref(a|s), [prompt, prefix, token]

# %% [markdown]
# ## The question
#
# An annotator compares whole reviews. Nobody says which *word* made one of
# them better. After training with DPO every word has an implicit reward of
# its own, ρ = β log π(a|s)/π_ref(a|s).
#
# **Write down a prediction.** In "good and fun" replace "fun" by "dull".
# Then, instead, replace "good" by "dull". In each case, which words' ρ
# change? And does "not" have the sign of its ρ wherever it stands?
#
# ## Three data points
#
# Whole reviews with Bradley–Terry labels, as in lesson 20.


# %%
def per_seed(name, make):
    return [make(generator(s, name)) for s in range(SEED, SEED + seeds)]


how = (n_pairs, Annotator())
pairs = per_seed("pairs", lambda g: sample_pairs(world, ref, *how, g))
pairs, rows = Pairs.cat(pairs), []
for side in (pairs.chosen, pairs.rejected):
    rows.append([world.text(y) for y in side.response[:3].tolist()])
pd.DataFrame(rows, ["chosen", "rejected"], world.prompts[:3])

# %% [markdown]
# ## The objective, in the symbols of the code
#
# A prefix is a *state* s = (x, y_<t), a token an *action* a, and s·a the
# prefix with the token appended. Reward r(x, y) is paid at the end. Solve
# max E[r] − β KL from the leaves to the root:
#
# $$Q^*(s,a) = V^*(s\cdot a), \quad V^*(y) = r(x,y),$$
# $$V^*(s) = \beta\log\sum_a \pi_{ref}(a|s)\, e^{Q^*(s,a)/\beta},$$
# $$\pi^*(a|s) = \pi_{ref}(a|s)\, e^{(Q^*(s,a)-V^*(s))/\beta}.$$
#
# The last line, solved for the exponent, is the lesson:
#
# $$\rho^*(s,a) = \beta\log\frac{\pi^*(a|s)}{\pi_{ref}(a|s)}
#   = V^*(s\cdot a) - V^*(s).$$
#
# Along a response the V\* of neighbours cancel, and
# Σ_t ρ\*_t = r(x, y) − V\*(x) with V\*(x) = β log Z(x): the implicit reward
# of the whole response. (The paper's Q\* contains β log π_ref; ours, the
# library's, does not. The advantage is the same number.)
#
# The backup, and four losses whose sections follow below:

# %%
display(teach.show(soft_backup.backup))
display(*[teach.show(m.loss) for m in (tdpo1, t_reg, step_dpo, c3po)])

# %% [markdown]
# ## By hand, on four responses
#
# π_ref restricted to four reviews of the film. Two of them share the prefix
# "not". V^ref(s) is the mean of what π_ref earns from a prefix, V\*(s) the
# soft maximum.

# %%
texts = ["good", "bad", "not good", "not bad"]
four = torch.tensor([world.index(text) for text in texts])
q, r = ref[0, four].softmax(-1), gold[0, four]
after = q[2:] / q[2:].sum()  # π_ref(· | not)
first = torch.cat([q[:2], q[2:].sum()[None]])  # good, bad, not
V_not = main * (after * (r[2:] / main).exp()).sum().log()
mean_not = (after * r[2:]).sum()  # V^ref(not)
Q = torch.cat([r[:2], V_not[None]])
V = main * (first * (Q / main).exp()).sum().log()
print(f"V*(not) = {V_not:.3f}   V^ref(not) = {mean_not:.3f}   V*(x) = {V:.3f}")

# %%
one, two = (Q - V)[[0, 1, 2, 2]], torch.cat([0 * r[:2], r[2:] - V_not])
short = torch.cat([r[:2], mean_not[None]])  # V^ref where Q has V*
short = (first.log() + short / main).softmax(-1)[[0, 1, 2, 2]]
hand = {"π_ref": q, "r": r, "ρ*, 1st word": one, "ρ*, 2nd word": two}
hand |= {"sum": one + two, "r − V*(x)": r - V}
hand |= {"π*": q * ((r - V) / main).exp()}
hand["greedy"] = short * (q / first[[0, 1, 2, 2]]) * (two / main).exp()
pd.DataFrame({k: v.tolist() for k, v in hand.items()}, index=texts).round(3)

# %% [markdown]
# "sum" and "r − V\*(x)" agree: the reward of a review is spread over its
# words as differences of value. The ρ\* of "not" is about what it leads to;
# no reward is paid there.
#
# The last column puts V^ref(not) in the place of V\*(not). It is the
# **one-step-greedy** policy: at each word it assumes that π_ref writes the
# rest. π\* knows that it will write the rest itself, and V\* ≥ V^ref, so it
# is the more willing to write "not".
#
# The same at all prefixes of the world:

# %%
best = soft_backup.backup(tree, was, gold, main)
linear = soft_backup.linear(tree, was, gold)
star = tree.response_logps(best.log_policy)  # log π* of every response
greedy = tree.response_logps((was + linear.Q / main).log_softmax(-1))
root = main * exact.log_partition(ref, gold, main)  # β log Z
apart = exact.kl(star, greedy).mean().item()
print(f"|V*(x) − β log Z| ≤ {(best.V[:, 0] - root).abs().max():.1e}")
print(f"KL(π*‖greedy) = {apart:.3f} nats")

# %% [markdown]
# ## Train
#
# DPO sees whole reviews only. `look` measures at every checkpoint the
# correlation of ρ with the exact advantage over ALL prefixes, depth by
# depth, the rank correlation over words of held-out reviews, and the
# distances to π\* and to the greedy policy.

# %%
held = world.draw(ref, 400, generator(SEED, "held out"))
asked = (reference, world, held.prompt, held.response)
tracker = measure.Tracker(world, ref, gold=gold, beta=main)


def look(policy):
    logps = measure.law(policy, world)
    by = advantages.exact_by_depth(logps, world, ref, beta=main)
    by = by.pivot(index="seed", columns="depth", values="correlation")
    words = advantages.beside_advantage(policy, *asked, beta=main)
    rank = words.groupby("seed")[["reward", "advantage"]].corr("spearman")
    near = exact.kl(logps, greedy).mean(-1).tolist()
    seen = tracker(logps).set_index("seed").join(by.add_prefix("depth "))
    seen["rank"] = rank.reward.xs("advantage", level=1)
    return seen.assign(to_greedy=near).reset_index()


# %%
def train(name, data, module, cfg, measures=(look,)):
    runs[name] = offline.fit(
        reference.copies(seeds), reference, data, module, cfg, steps=n_steps,
        seed=SEED, measures=measures, every=max(1, n_steps // 4),
    )  # fmt: skip
    seen = runs[name].metrics.assign(method=name)
    curves[name] = seen[seen.step > 0]
    last[name] = seen[seen.step == n_steps].set_index("seed")


runs, curves, last = {}, {}, {}
train("dpo", pairs, dpo, dpo.Config(beta=main))

# %% [markdown]
# ## The signature views
#
# How well ρ follows Q\* − V\*, at the first, second and third token:

# %%
depths = ["depth 0", "depth 1", "depth 2"]
long = curves["dpo"].melt(["seed", "step"], depths, "place", "correlation")
ends = last["dpo"][depths].mean()
views.training_curves(
    long, {"correlation": "correlation of ρ and Q* − V*"}, by="place",
    caption="At the end ρ of DPO correlates "
    f"{ends.iloc[0]:.2f} with the exact advantage at the first token and "
    f"{ends.iloc[2]:.2f} at the third.",
)  # fmt: skip

# %% [markdown]
# ### One corrupted word
#
# Back to your prediction: words of four reviews, after DPO and exactly.

# %%
said = ["good and fun", "good and dull", "dull and fun", "good but fun"]
at = (torch.zeros(4).long(), torch.tensor([world.index(t) for t in said]))
on = (runs["dpo"].policy, reference, world, *at)
four = advantages.beside_advantage(*on, beta=main)
four["review"] = "DPO: " + four.row.map(dict(enumerate(said)))
truth = four.review.str.replace("DPO", "exact")
truth = four.assign(review=truth, reward=four.advantage)
cell = four.groupby(["row", "position"])[["reward", "advantage"]].mean()
fall = cell.loc[(1, 2)] - cell.loc[(0, 2)]  # fun → dull, third word

# %%
views.token_rewards(
    pd.concat([four, truth]),
    by="review",
    caption="Where dull replaces the last word, fun, ρ changes by "
    f"{fall.reward:+.2f} reward units and the exact advantage by "
    f"{fall.advantage:+.2f}.",
)

# %% [markdown]
# Words before the corrupted one keep their ρ to the last digit: they cannot
# know. Words after it may change, since the value they start from has
# changed. ρ says where the *value* changes, not where a reward is paid.
#
# The same for many words that π_ref might write next, a better and a worse
# one by V\* each time:

# %%
how = (400, Annotator(deterministic=True), generator(SEED, "spoilt"))
spoilt, falls = steps.sample_steps(world, ref, best.Q, *how), []
at = spoilt.chosen_step.long().argmax(-1).numpy() - 1
for side in (spoilt.pairs.chosen, spoilt.pairs.rejected):
    on = (runs["dpo"].policy, reference, world, side.prompt, side.response)
    words = advantages.beside_advantage(*on, beta=main)
    words = words[words.position == at[words.row]]
    falls.append(words.groupby("seed")[["reward", "advantage"]].mean())
falls = falls[1] - falls[0]
falls.rename(columns={"reward": "ρ of DPO", "advantage": "exact"}).round(3)

# %% [markdown]
# ### Beam search on a DPO policy
#
# A wider beam finds responses that π thinks likelier, Σ log π. What DPO
# learned is another sum, Σ log π/π_ref. **Predict** the gold of the best
# review found by beams of 1 to 8, for each of the two sums.

# %%
found = {}
for by in ("likelihood", "implicit reward"):
    on = (runs["dpo"].policy, world, ref, range(1, 9), by)
    found[by] = beams.by_width(*on).assign(search=by)
beam = found["likelihood"].pivot(index="seed", columns="width")
mean = {k: v.groupby("width").gold.mean() for k, v in found.items()}
change = {k: f"{v[1]:.2f} to {v[8]:.2f}" for k, v in mean.items()}

# %%
views.sweep(
    pd.concat(found.values()), "width",
    {"gold": "gold (reward units)", "length": "length (words)"}, "search",
    exact={"gold": gold.amax(-1).mean().item()}, exact_label="best review",
    caption="From beam width 1 to 8 gold goes from "
    f"{change['likelihood']} by likelihood and from "
    f"{change['implicit reward']} by implicit reward.",
)  # fmt: skip

# %% [markdown]
# ## TDPO: add the sequential KL
#
# TDPO1 scores a response by β(d(y) + K(y)), d = log π/π_ref,
# K(y) = Σ_t KL(π_ref(·|s_t) ‖ π(·|s_t)). Under π_ref the mean of
# log π/π_ref(a|s) is exactly −KL(π_ref ‖ π), in every state. So the score is
# a **martingale**: each step has mean 0 under π_ref. The labels ask for
# score = r + const, and the only martingale that ends at r − E_ref[r] has
# the steps V^ref(s·a) − V^ref(s). The minimiser is therefore the *greedy*
# policy, not π\*. Check it on all responses:

# %%
every = torch.cartesian_prod(*map(torch.arange, ref.shape))
tables = [TabularPolicy(world, table) for table in (ref, greedy)]
K = drift.sequence_values(*tables, world.tokens(*every.T), world)
K = K["rao-blackwell"].view(ref.shape)  # the KL of each next token, summed
score = main * (greedy - ref + K)
off = (score - (gold - linear.V[:, :1])).abs().max().item()
print(f"at the greedy policy |score − (r − V^ref(x))| ≤ {off:.1e}")

# %% [markdown]
# TDPO2 stops the gradient of K(y_c) and weighs K with α: the loss asks for
# a small K on *rejected* responses.

# %%
laws = tokenwise.LawPairs(pairs)
train("tdpo1", laws, tdpo1, tdpo1.Config(beta=main))
train("tdpo2", laws, tdpo2, tdpo2.Config(beta=main))
three, K_rejected = ("dpo", "tdpo1", "tdpo2"), {}
for name in three:
    on = (reference, runs[name].policy, pairs.rejected)
    each = drift.sequence_values(*on)["rao-blackwell"]
    K_rejected[name] = each.view(seeds, -1).mean(-1).numpy()
pd.DataFrame(K_rejected).rename_axis("K(y_r), nats").round(3)

# %%
end = {k: frame.mean(numeric_only=True) for k, frame in last.items()}
near = {k: (v.kl_to_optimum, v.to_greedy) for k, v in end.items()}
views.training_curves(
    pd.concat([curves[k] for k in three]),
    {"kl_to_optimum": "KL(π‖π*) (nats)", "to_greedy": "KL(π‖greedy) (nats)"},
    by="method",
    caption="Distances to π* and to the greedy policy end at "
    f"{near['dpo'][0]:.2f} and {near['dpo'][1]:.2f} nats for DPO, at "
    f"{near['tdpo1'][0]:.2f} and {near['tdpo1'][1]:.2f} for TDPO1.",
)

# %% [markdown]
# ## T-REG: token rewards from outside
#
# T-REG multiplies a token's push by 1 + α r_t on the chosen and 1 − α r_t on
# the rejected side. The paper asks the model itself, under two prompts:
# r_t = σ(log p(y_t|better) − log p(y_t|worse)) − ½. Give it the best possible
# informant: π\* as "better", π_ref as "worse", so r_t = σ(ρ\*_t/β) − ½. And
# the worst: the same numbers, dealt out to the tokens at random. α = 0.5 is
# the largest of the paper's values.

# %%
truth = [TabularPolicy(world, table) for table in (star, ref)]
right, noise, draw = [], [], generator(SEED, "deal")
for side in (pairs.chosen, pairs.rejected):
    gap = implicit_reward.token_rewards(*truth, side, 1.0)
    right.append(t_reg.token_rewards(gap, 0 * gap))
    known = right[-1][side.mask]
    dealt = known[torch.randperm(len(known), generator=draw)]
    noise.append(right[-1].masked_scatter(side.mask, dealt))
cfg = t_reg.Config(beta=main, alpha=0.5)
for name, given in (("t-reg", right), ("t-reg, random", noise)):
    train(name, tokenwise.TokenRewardPairs(pairs, *given), t_reg, cfg)

# %%
area = {k: frame.groupby("seed")["rank"].mean() for k, frame in curves.items()}
gain = {k: area[k] - area["dpo"] for k in ("t-reg", "t-reg, random")}
views.training_curves(
    pd.concat([curves[k] for k in ("dpo", *gain)]),
    {"rank": "rank correlation of ρ and Q* − V*"},
    by="method",
    caption="Averaged over the checkpoints the rank correlation is "
    f"{gain['t-reg'].mean():+.3f} from DPO's with right token rewards and "
    f"{gain['t-reg, random'].mean():+.3f} with random ones.",
)

# %% [markdown]
# ## Step-DPO: compare next words
#
# One prefix, two next words, a label for the two. A label needs a *value* of
# a prefix, and the minimiser is π(a|s) ∝ π_ref(a|s) exp(V(s·a)/β), with the V
# behind the labels. V\* leads to π\*. V^ref, what rollouts of π_ref estimate,
# leads to the greedy policy. Equally many labels as DPO had:

# %%
one_each, how = {}, (n_pairs, Annotator())
for name, table in (("step, V*", best.Q), ("step, V^ref", linear.Q)):
    on = (world, ref, table, *how)
    parts = per_seed("steps", lambda g, on=on: steps.sample_steps(*on, g))
    one_each[name] = tokenwise.StepPairs.cat(parts)
    train(name, one_each[name], step_dpo, step_dpo.Config(beta=main))

# %% [markdown]
# ## Distance to the exact optimum

# %%
end = {k: frame.mean(numeric_only=True) for k, frame in last.items()}
names = {"gold": "gold", "kl": "KL(π‖π_ref)", "kl_to_optimum": "KL(π‖π*)"}
names |= {"to_greedy": "KL(π‖greedy)", "rank": "rank correlation of ρ"}
pd.DataFrame(end).T[list(names)].rename(columns=names).round(3)

# %% [markdown]
# **From V^ref to V\* in rounds.** Let the *latest* policy judge: V^π(s) is
# its expected reward from s minus β times the KL it has yet to spend. Label,
# train to the end, label again: that is soft policy iteration. Without a
# network, the largest error of log π(a|s) after each round, by height (the
# tokens still to come):

# %%
height, at, rounds = (
    tree.depth - tree.n_response_words[: tree.n_nodes],
    ref,
    {},
)
for done in range(1, tree.depth + 1):
    V_now = values.of_policy(at, world, ref, main)[0]
    law = (was + tree.action_values(V_now, gold) / main).log_softmax(-1)
    at = tree.response_logps(law)
    error = (law - best.log_policy).abs().amax((0, 2))
    rounds[done] = [error[height == h].max().item() for h in (1, 2, 3)]
rounds = pd.DataFrame(rounds, [f"height {h}" for h in (1, 2, 3)])
rounds.add_prefix("round ").map("{:.1e}".format)

# %% [markdown]
# Height h is exact after h rounds. Step-DPO with rollouts of π_ref is the
# first of them.
#
# ## C3PO: a wish for one prompt
#
# "Call films *fun*." Pairs exist for the film only: a review with "fun" is
# chosen over one without. The plot is declared near the scope, cast and
# music outside. C3PO adds the log-likelihood of the reference's *own*
# reviews there; in expectation that is −KL(π_ref‖π) plus a constant. With
# strengths 0 it is DPO. **Predict** how often the other prompts say "fun"
# after DPO on films.

# %%
fun = ["fun" in world.text(y).split() for y in range(world.n_responses)]
fun, places = torch.tensor(fun), ((0,), (2, 3), (1,))
how = (world, ref, fun, n_pairs // 4)
wish = per_seed("wish", lambda g: scopes.sample_scoped(*how, g, places))
wish, law = tokenwise.ScopedPairs.cat(wish), {"reference": ref[None]}
for name, on in (("dpo", {"outside": 0.0, "near": 0.0}), ("c3po", {})):
    cfg = c3po.Config(beta=main, **on)
    train(f"film, {name}", wish, c3po, cfg, measures=())
    law[name] = measure.law(runs[f"film, {name}"].policy, world)
rate = {k: (v.exp() * fun).sum(-1).numpy() for k, v in law.items()}

# %%
say = [
    pd.DataFrame(v, columns=world.prompts).assign(method=k, seed=range(len(v)))
    for k, v in rate.items()
]
plot = {k: f"{v[:, 1].mean():.0%}" for k, v in rate.items()}
views.bars(
    pd.concat(say).melt(["method", "seed"], None, "prompt", "fun"),
    "prompt", "fun", by="method", label="share of reviews with fun",
    caption="Fun is in "
    f"{plot['reference']} of the reviews of the plot under π_ref, in "
    f"{plot['dpo']} after DPO on films and in {plot['c3po']} after C3PO.",
)  # fmt: skip

# %%
leak = {k: exact.kl(v, ref).mean(0).tolist() for k, v in law.items()}
leak = pd.DataFrame(leak, world.prompts).T.rename_axis("KL(π‖π_ref), nats")
leak.round(3)

# %% [markdown]
# ## Break it: a step followed by an end token
#
# Mistake (2) of Step-DPO counts everything from the step on. Our steps are
# stored as reviews that end right after the step, so the end token that
# follows a good step is pushed up with it.

# %%
key, cfg = "2 everything from the step on counted", step_dpo.Config(beta=main)
wrong = method(card=step_dpo.card, loss=step_dpo.mistakes[key])
train("end counted", one_each["step, V*"], wrong, cfg)
pick = ("step, V*", "end counted")
good, bad = (last[k].mean(numeric_only=True) for k in pick)
views.training_curves(
    pd.concat([curves[k] for k in pick]),
    {"length": "words a review", "kl_to_optimum": "KL(π‖π*) (nats)"},
    by="method",
    caption=f"With the end counted π writes {bad.length:.2f} words (without: "
    f"{good.length:.2f}) and is {bad.kl_to_optimum:.2f} nats from π* "
    f"(without: {good.kl_to_optimum:.2f}).",
)

# %% [markdown]
# ## Claims
#
# What the papers say, and three statements derived in this lesson.

# %%
says = {
    "rtoq-credit": "ρ comes to follow the advantage along training.",
    "rtoq-corrupt": "ρ is lower at a word that V* calls worse.",
    "rtoq-beam-rises": "By likelihood 4 beams find more gold than 1.",
    "rtoq-beam-falls": "By likelihood 8 beams find less gold than 4.",
    "rtoq-beam-long": "By likelihood 8 beams find longer reviews than 1.",
    "tdpo-greedy": "TDPO1 ends nearer to the greedy policy than to π*.",
    "tdpo-frontier": "At equal sequential KL TDPO1 has more gold than DPO.",
    "tdpo-rejected": "K of rejected reviews is smaller with TDPO2 than DPO.",
    "tdpo-score": "At the greedy policy TDPO1's score is r − V^ref(x).",
}

# %%
says |= {
    "treg-sooner": "Right token rewards bring ρ to the truth sooner.",
    "treg-random": "Random token rewards bring no gain (at most 0.01).",
    "step-gold": "With as many labels (V^ref) Step-DPO has more gold than DPO.",
    "step-rounds": "After h rounds of labels height h is π*.",
    "c3po-leak": "After DPO on films the plot is called fun more often.",
    "c3po-keeps": "C3PO keeps 0.9 or more of the gain in scope.",
    "c3po-cuts": "C3PO cuts the change elsewhere by 30 % or more.",
}
papers = {
    "rtoq": "Rafailov et al. 2024 (2404.12358)",
    "tdpo": "Zeng et al. 2024 (2404.11999)",
    "treg": "Zhou et al. 2024 (2412.02685)",
    "step": "Lai et al. 2024 (2406.18629)",
    "c3po": "Stephan et al. 2024 (2402.10893)",
}


# %%
def claim(key, effect, expected, unit="reward units", **more):
    teach.claim(
        key=key, paper=papers[key[:4]], statement=says[key], effect=effect,
        expected=expected, unit=unit, out=OUT or None, **more,
        setting=f"reviews, {n_pairs} pairs, {n_steps} steps, β = {main}",
    )  # fmt: skip


exactly, rho = {"kind": "exact", "tolerance": 1e-9}, "rank correlation"
rank = curves["dpo"].pivot(index="seed", columns="step", values="rank")
claim("rtoq-credit", rank.iloc[:, -1] - rank.iloc[:, 0], "positive", rho)
claim("rtoq-corrupt", falls.reward, "negative")

# %%
claim("rtoq-beam-rises", beam.gold[4] - beam.gold[1], "positive")
claim("rtoq-beam-falls", beam.gold[8] - beam.gold[4], "negative")
longer = beam.length[8] - beam.length[1]
claim("rtoq-beam-long", longer, "positive", "words")
claim("treg-sooner", gain["t-reg"], "positive", rho)
claim("treg-random", gain["t-reg, random"], (-float("inf"), 0.01), rho)
claim("step-gold", last["step, V^ref"].gold - last["dpo"].gold, "positive")
zeros = [rounds.iloc[h, n] for n in range(3) for h in range(n + 1)]
claim("step-rounds", zeros, "zero", "nats", **exactly)

# %%
side = last["tdpo1"].kl_to_optimum - last["tdpo1"].to_greedy
claim("tdpo-greedy", side, "positive", "nats")
claim("tdpo-score", off, "zero", **exactly)
slower = K_rejected["tdpo2"] - K_rejected["dpo"]
claim("tdpo-rejected", slower, "negative", "nats")
ahead = []
for seed in last["dpo"].index:
    two = [curves[k][curves[k].seed == seed] for k in ("tdpo1", "dpo")]
    reached = min(f.kl_reverse.max() for f in two)
    ahead.append([np.interp(reached, f.kl_reverse, f.gold) for f in two])
claim("tdpo-frontier", -np.diff(ahead)[:, 0], "positive")

# %%
free, held = (rate[k] - rate["reference"] for k in ("dpo", "c3po"))
claim("c3po-leak", free[:, 1], "positive", "share of reviews")
claim("c3po-keeps", held[:, 0] / free[:, 0], (0.9, float("inf")), "ratio")
cut = 1 - abs(held[:, 1:]).mean(1) / abs(free[:, 1:]).mean(1)
claim("c3po-cuts", cut, (0.3, 1.0), "share of the change")

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write Step-DPO from
# `batch.policy_chosen`, `batch.ref_chosen`, …, `batch.chosen_mask`,
# `batch.chosen_step`, … and `cfg.beta`. The check names the mistake it sees.


# %%
def my_step_dpo(batch, cfg):
    raise NotImplementedError


teach.check.step_dpo(my_step_dpo)


# %% tags=["solution"]
def solution(batch, cfg):
    c = batch.policy_chosen - batch.ref_chosen.detach()
    l = batch.policy_rejected - batch.ref_rejected.detach()
    c = torch.where(batch.chosen_mask & batch.chosen_step, c, 0.0).sum(-1)
    l = torch.where(batch.rejected_mask & batch.rejected_step, l, 0.0).sum(-1)
    return torch.nn.functional.softplus(-cfg.beta * (c - l))


checked = teach.check.step_dpo(solution)
checked

# %% [markdown]
# **2 · When does patience pay?** (●●○, 10 minutes) How far is the greedy
# policy from π\* for β = 0.1, 0.3, 1 and 3, and how much gold does it lose?
# Predict the limit β → ∞ first. (Hint: where does V\* tend?)

# %% tags=["solution"]
for b in (0.1, 0.3, 1.0, 3.0):
    target = exact.optimal_policy(ref, gold, b)
    myopic = tree.response_logps((was + linear.Q / b).log_softmax(-1))
    lost = exact.expectation(target, gold) - exact.expectation(myopic, gold)
    gap = exact.kl(target, myopic).mean()
    print(f"β = {b:<4} KL {gap:.3f} nats, gold lost {lost.mean():.3f}")

# %% [markdown]
# ## What must hold

# %%
assert (best.V[:, 0] - root).abs().max() < 1e-9
assert torch.allclose(star, exact.optimal_policy(ref, gold, main))
assert torch.allclose(hand["sum"], r - V) and off < 1e-9
assert (best.V >= linear.V - 1e-12).all()
assert max(zeros) < 1e-9 < rounds.iloc[2, 1]
assert torch.allclose(exact.expectation(ref, K), exact.kl(ref, greedy))
assert all(v.sum() == len(v) for v in [one_each["step, V*"].chosen_step])
assert all(frame.notna().all().all() for frame in last.values())
assert checked.passed

# %% [markdown]
# ## References and next
#
# * Rafailov et al. 2024, *From r to Q\** (2404.12358).
# * Zeng et al. 2024, *Token-level direct preference optimization*
#   (2404.11999).
# * Zhou et al. 2024, *T-REG* (2412.02685).
# * Lai et al. 2024, *Step-DPO* (2406.18629).
# * Stephan et al. 2024, *RLVF: learning from verbal feedback without
#   overgeneralization* (2402.10893).
#
# Next: **30 · RLOO**. The policy writes its own data.
