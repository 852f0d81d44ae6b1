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
from IPython.display import Markdown, display

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs, sample_pairs
from workbench.feedback.steps import sample_steps
from workbench.feedback.tokenwise import LawPairs, ScopedPairs, StepPairs

# %%
from workbench.feedback.tokenwise import TokenRewardPairs
from workbench.loops import offline
from workbench.measure import advantages, beams, values
from workbench.measure import exact as measure
from workbench.methods.offline import c3po, dpo, step_dpo, t_reg, tdpo1, tdpo2
from workbench.methods.values import soft_backup
from workbench.models import tiny
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 140, "figure": 1000}[PROFILE]
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
# Then replace "good" by "dull" instead. In each case, which words' ρ
# changes? And is a word that is *always* bad for the reward given a negative
# ρ wherever it stands?
#
# ## Three data points
#
# Two forms of data. First whole reviews, as in lesson 20.

# %%
parts = []
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, n_pairs, Annotator(), draw))
pairs, rows = Pairs.cat(parts), []
for i in range(3):
    x = int(pairs.chosen.prompt[i])
    c, l = int(pairs.chosen.response[i]), int(pairs.rejected.response[i])
    won = (gold[x, c] - gold[x, l]).sigmoid().item()
    rows.append((world.prompts[x], world.text(c), world.text(l), won))
pd.DataFrame(rows, columns=["prompt", "chosen", "rejected", "p(label)"])

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

# %%
teach.show(soft_backup.backup)

# %% [markdown]
# ## By hand, on four responses
#
# π_ref restricted to four reviews of the film. Two of them share the prefix
# "not". V^ref is the mean of what π_ref earns from a prefix, V\* its soft
# maximum.

# %%
texts = ["good", "bad", "not good", "not bad"]
four = torch.tensor([world.index(text) for text in texts])
q, r = ref[0, four].softmax(-1), gold[0, four]
after = q[2:] / q[2:].sum()  # π_ref(· | not)
V_not = main * (after * (r[2:] / main).exp()).sum().log()
mean_not = (after * r[2:]).sum()  # V^ref(not)
first = torch.stack([q[0], q[1], q[2:].sum()])  # good, bad, not
Q = torch.stack([r[0], r[1], V_not])
V = main * (first * (Q / main).exp()).sum().log()
print(f"V*(not) = {V_not:.3f}   V^ref(not) = {mean_not:.3f}   V*(x) = {V:.3f}")

# %%
one, two = (Q - V)[[0, 1, 2, 2]], torch.cat([0 * r[:2], r[2:] - V_not])
star = q * ((r - V) / main).exp()
once = first * (torch.stack([r[0], r[1], mean_not]) / main).exp()
once = once / once.sum()  # one-step-greedy: V^ref where π* has V*
later = after * (r[2:] / main).exp() / (V_not / main).exp()
once = torch.cat([once[:2], once[2] * later])
hand = {"π_ref": q, "r": r, "ρ*, 1st word": one, "ρ*, 2nd word": two}
hand |= {"sum": one + two, "r − V*(x)": r - V, "π*": star, "greedy": once}
pd.DataFrame({k: v.tolist() for k, v in hand.items()}, index=texts).round(3)

# %% [markdown]
# "sum" and "r − V\*(x)" agree: the reward of a review is spread over its
# words as differences of value. "not" is charged for what it leads to, not
# for a reward that is paid there.
#
# The last column replaces V\*(not) by V^ref(not). It is the **one-step-greedy**
# policy: at each word it assumes that π_ref writes the rest. π\* knows that
# it will itself write the rest, so it writes "not" more often.
#
# ## All prefixes of the world

# %%
best = soft_backup.backup(tree, was, gold, main)
linear = soft_backup.linear(tree, was, gold)
star = tree.response_logps(best.log_policy)  # log π* of every response
greedy = tree.response_logps((was + linear.Q / main).log_softmax(-1))
root = main * exact.log_partition(ref, gold, main)  # β log Z
apart = exact.kl(star, greedy).mean().item()
print("V*(x) − β log Z:", (best.V[:, 0] - root).abs().max().item())
print(f"KL(π*‖greedy) = {apart:.3f} nats")

# %%
nodes, words = tree.paths(torch.tensor([world.index("good and fun")]))
ends = ["(start)", "good", "good and"]
film = {"V^ref": linear.V, "V*": best.V}
film = {k: v[0, nodes[0]].tolist() for k, v in film.items()}
film["ρ* of the next word"] = best.advantage[0, nodes[0], words[0]].tolist()
pd.DataFrame(film, index=ends).round(3)

# %% [markdown]
# ## Train
#
# DPO sees whole reviews only. `look` measures, at every checkpoint and over
# ALL prefixes, the correlation of ρ with the exact advantage at each depth;
# the rank correlation over words of held-out reviews; the distances to π\*
# and to the greedy policy; and the sequential KL that TDPO will need,
# K(y) = Σ_t KL(π_ref(·|s_t) ‖ π(·|s_t)), of rejected training reviews.

# %%
held = world.draw(ref, 400, generator(SEED, "held out"))
asked = (held.prompt, held.response)
tracker = measure.Tracker(world, ref, gold=gold, beta=main)


def sequential_kl(logps, tokens):
    node_kl = exact.kl(was.expand_as(now := tree.conditionals(logps)), now)
    member = torch.arange(len(tokens)) * len(logps) // len(tokens)
    visited, _ = tree.paths(tokens.response)
    at = (member[:, None], tokens.prompt[:, None], visited.clamp(min=0))
    total = torch.where(visited >= 0, node_kl[at], 0.0).sum(-1)
    return total.view(len(logps), -1).mean(-1).tolist()


# %%
def look(policy):
    logps = measure.law(policy, world)
    seen = tracker(logps).set_index("seed")
    seen["to_greedy"] = exact.kl(logps, greedy).mean(-1).tolist()
    seen["K_rejected"] = sequential_kl(logps, pairs.rejected)
    by = advantages.exact_by_depth(logps, world, ref, beta=main)
    for depth, part in by.groupby("depth"):
        seen[f"word {depth + 1}"] = part.correlation.tolist()
    both = (reference, world, *asked)
    tokens = advantages.beside_advantage(policy, *both, beta=main)
    rank = tokens.groupby("seed")[["reward", "advantage"]].corr("spearman")
    seen["rank"] = rank.reward.xs("advantage", level=1)
    return seen.reset_index()


# %%
def train(name, data, module, cfg, measures=(look,)):
    run = offline.fit(
        reference.copies(seeds), reference, data, module, cfg, steps=steps,
        seed=SEED, measures=measures, every=steps // 4,
    )  # fmt: skip
    runs[name] = run
    curves[name] = run.metrics[run.metrics.step > 0].assign(method=name)
    last[name] = run.metrics[run.metrics.step == steps].set_index("seed")


runs, curves, last = {}, {}, {}
train("dpo", pairs, dpo, dpo.Config(beta=main))

# %% [markdown]
# ## The signature views
#
# Correlation of ρ with Q\* − V\*, first, second and third word:

# %%
depths = ["word 1", "word 2", "word 3"]
long = curves["dpo"].melt(["seed", "step"], depths, "place", "correlation")
ends = last["dpo"][depths].mean()
views.training_curves(
    long,
    {"correlation": "correlation of ρ and Q* − V*"},
    by="place",
    caption=f"At the end ρ of DPO correlates {ends.iloc[0]:.2f} with the exact "
    f"advantage at the first word and {ends.iloc[2]:.2f} at the third.",
)

# %% [markdown]
# ## One corrupted word
#
# Back to your prediction. Each review below differs from the first in one
# word; the second table is exact.

# %%
said = ["good and fun", "good and dull", "dull and fun", "good but fun"]
shown = torch.tensor([world.index(text) for text in said])
at = (reference, world, torch.zeros(4).long(), shown)
four = advantages.beside_advantage(runs["dpo"].policy, *at, beta=main)
four["review"] = [said[i] for i in four.row]
truth = four.assign(reward=four.advantage, review="exact: " + four.review)
heat = pd.concat([four.assign(review="DPO: " + four.review), truth])
cell = four.groupby(["row", "position"])[["reward", "advantage"]].mean()
fall = cell.loc[(1, 2)] - cell.loc[(0, 2)]  # fun → dull, third word

# %%
views.token_rewards(
    heat[["seed", "review", "position", "token", "reward"]],
    by="review",
    caption=f"Where dull replaces fun, ρ changes by {fall.reward:+.2f} reward "
    f"units, the exact advantage by {fall.advantage:+.2f}.",
)

# %% [markdown]
# Words before the corrupted one keep their ρ to the last digit: they cannot
# know. Words after it may change, since the value they start from has. ρ
# says where the *value* changes, not where a reward is paid.
#
# The same over many reviews of π\*, each with one word replaced so that gold
# falls:

# %%
draw = generator(SEED, "corrupt")
fine = world.draw(star, 600, draw)
fine = fine[world.n_words[fine.response] > 0]
size, (_, spoken) = world.n_words[fine.response], tree.paths(fine.response)
at = (torch.rand(len(fine), generator=draw) * size).long()
old = spoken.gather(1, at[:, None])[:, 0]
new = (old + torch.randint(1, 8, old.shape, generator=draw)) % 8
spoilt = fine.response + (new - old) * 8 ** (size - 1 - at)
worse = gold[fine.prompt, spoilt] < gold[fine.prompt, fine.response]

# %%
falls = []
for which in (fine.response, spoilt):
    on = (reference, world, fine.prompt[worse], which[worse])
    frame = advantages.beside_advantage(runs["dpo"].policy, *on, beta=main)
    hit = frame[frame.position.values == at[worse].numpy()[frame.row]]
    falls.append(hit.groupby("seed")[["reward", "advantage"]].mean())
fall = falls[1] - falls[0]
told = f"{fall.reward.mean():+.2f} (exact: {fall.advantage.mean():+.2f})"
display(Markdown(f"{int(worse.sum())} reviews, ρ at the spoilt word: {told}"))

# %% [markdown]
# ## Beam search on a DPO policy
#
# A wider beam finds responses that π thinks likelier, Σ log π. What DPO
# learned is another sum, Σ log π/π_ref. **Predict**: gold of the best review
# found, for beams of 1 to 8 and each of the two sums.

# %%
found = []
for by in ("likelihood", "implicit reward"):
    frame = beams.by_width(runs["dpo"].policy, world, ref, range(1, 9), by)
    found.append(frame.assign(search=by))
found = pd.concat(found)
beam = found[found.search == "likelihood"].pivot(index="seed", columns="width")
mean = found.groupby(["search", "width"]).gold.mean()
views.sweep(
    found, "width", {"gold": "gold (reward units)", "length": "words"},
    "search", x_label="beam width", exact={"gold": float(gold.amax(-1).mean())},
    exact_label="best review",
    caption=f"From width 1 to 8 gold goes from {mean['likelihood', 1]:.2f} to "
    f"{mean['likelihood', 8]:.2f} by likelihood and from "
    f"{mean['implicit reward', 1]:.2f} to {mean['implicit reward', 8]:.2f} by "
    "implicit reward.",
)  # fmt: skip

# %% [markdown]
# ## TDPO: add the sequential KL
#
# TDPO1 scores a response by β(d(y) + K(y)), d = log π/π_ref, K the sum of
# KL(π_ref ‖ π) over its prefixes. Under π_ref, E[log π/π_ref(a|s)] is
# exactly −KL(π_ref ‖ π) in every state, so the score is a fair game, a
# **martingale**: its steps have mean 0. Labels ask for score = r + const. The
# only martingale that ends at r − E_ref[r] has the steps V^ref(s·a) − V^ref(s).
# So the minimiser is the one-step-*greedy* policy, not π\*.

# %%
display(teach.show(tdpo1.loss), teach.show(tdpo2.loss))

# %%
now = tree.conditionals(greedy)
node_kl = exact.kl(was, now)
visited, _ = tree.paths(torch.arange(world.n_responses))
K = torch.where(visited >= 0, node_kl[:, visited.clamp(min=0)], 0.0).sum(-1)
score = main * (greedy - ref + K)
off = (score - (gold - linear.V[:, :1])).abs().max().item()
print(f"at the greedy policy |score − (r − V^ref(x))| ≤ {off:.1e}")

# %% [markdown]
# TDPO2 stops the gradient of K(y_c) and weighs the rest with α: the loss
# asks only for a small K on *rejected* responses.

# %%
laws = LawPairs(pairs)
train("tdpo1", laws, tdpo1, tdpo1.Config(beta=main))
train("tdpo2", laws, tdpo2, tdpo2.Config(beta=main))
three = pd.concat([curves[k] for k in ("dpo", "tdpo1", "tdpo2")])
ends = {k: frame.mean() for k, frame in last.items()}
near = ends["tdpo1"]
views.training_curves(
    three,
    {"kl_to_optimum": "KL(π‖π*) (nats)", "to_greedy": "KL(π‖greedy) (nats)"},
    by="method",
    caption=f"TDPO1 ends {near.to_greedy:.2f} nats from the greedy policy and "
    f"{near.kl_to_optimum:.2f} from π*; DPO {ends['dpo'].to_greedy:.2f} and "
    f"{ends['dpo'].kl_to_optimum:.2f}.",
)

# %%
views.training_curves(
    three,
    {"K_rejected": "K(y_r), training pairs (nats)", "gold": "gold"},
    by="method",
    caption=f"K of rejected reviews ends at {ends['dpo'].K_rejected:.2f} nats "
    f"(DPO), {near.K_rejected:.2f} (TDPO1) and "
    f"{ends['tdpo2'].K_rejected:.2f} (TDPO2).",
)

# %% [markdown]
# ## T-REG: token rewards from outside
#
# T-REG multiplies a token's push by 1 + α r_t on the chosen and 1 − α r_t on
# the rejected side. The paper asks the model itself, under two prompts, for
# r_t = σ(log p(y_t|better) − log p(y_t|worse)) − ½. Give it the best possible
# informant: π\* as "better", π_ref as "worse", so r_t = σ(ρ\*_t/β) − ½. And
# the worst: the same numbers, dealt out to the tokens at random.


# %%
def informed(tokens):
    seen, taken = tree.paths(tokens.response)
    row, keep = (tokens.prompt[:, None], seen.clamp(min=0)), taken >= 0
    row = (*row, taken.clamp(min=0))
    reward = t_reg.token_rewards(best.log_policy[row], was[row])
    return torch.nn.functional.pad(torch.where(keep, reward, 0.0), (1, 0))


def dealt(rewards, mask):
    order = torch.randperm(int(mask.sum()), generator=draw)
    return rewards.masked_scatter(mask, rewards[mask][order])


# %%
sides, cfg = (pairs.chosen, pairs.rejected), t_reg.Config(beta=main, alpha=0.5)
right = [informed(side) for side in sides]
noise = [dealt(v, s.mask) for v, s in zip(right, sides, strict=True)]
train("t-reg", TokenRewardPairs(pairs, *right), t_reg, cfg)
train("t-reg, random", TokenRewardPairs(pairs, *noise), t_reg, cfg)
area = {k: frame.groupby("seed")["rank"].mean() for k, frame in curves.items()}
views.training_curves(
    pd.concat([curves[k] for k in ("dpo", "t-reg", "t-reg, random")]),
    {"rank": "rank correlation of ρ with Q* − V*"},
    by="method",
    caption="Averaged over the checkpoints T-REG lies "
    f"{(area['t-reg'] - area['dpo']).mean():+.3f} from DPO with right token "
    f"rewards and {(area['t-reg, random'] - area['dpo']).mean():+.3f} with "
    "random ones.",
)

# %% [markdown]
# ## Step-DPO: compare next words
#
# One prefix, two next words, a label for the two. Which label? It needs a
# *value* of a prefix, and the minimiser is
# π(a|s) ∝ π_ref(a|s) exp(V(s·a)/β) with the V behind the labels: V\* leads
# to π\*; V^ref, what rollouts of π_ref estimate, leads to the greedy policy.

# %%
teach.show(step_dpo.loss)

# %%
data = {}
for name, table in (("step, V*", best.Q), ("step, V^ref", linear.Q)):
    parts = []
    for seed in range(SEED, SEED + seeds):
        how = (n_pairs, Annotator(), generator(seed, "steps"))
        parts.append(sample_steps(world, ref, table, *how))
    data[name] = StepPairs.cat(parts)
    train(name, data[name], step_dpo, step_dpo.Config(beta=main))
few = data["step, V*"].pairs[:3]
rows = [[world.prompts[int(p)] for p in few.chosen.prompt]]
rows += [
    [world.text(int(y)) for y in s.response]
    for s in (few.chosen, few.rejected)
]
pd.DataFrame(rows, index=["prompt", "chosen", "rejected"]).T

# %% [markdown]
# The two differ in their last token; the shorter one has *ended* there.
# Distances at equal numbers of labels:

# %%
names = ["dpo", "tdpo1", "tdpo2", "t-reg", "step, V^ref", "step, V*"]
ends = {k: frame.mean() for k, frame in last.items()}
table = pd.DataFrame({k: ends[k] for k in names}).T
shown = {"gold": "gold", "kl": "KL(π‖π_ref)", "kl_to_optimum": "KL(π‖π*)"}
shown |= {"to_greedy": "KL(π‖greedy)", "rank": "rank correlation of ρ"}
table[list(shown)].rename(columns=shown).round(3)

# %% [markdown]
# **From V^ref to V\* in rounds.** Let the *latest* policy judge: V^π(s) is
# its expected reward from s minus β times the KL it still spends. Label,
# train to the end, label again: that is soft policy iteration. The last
# word is right after one round, the one before it after two. No network
# here: the table below is the exact largest error of log π, by the number
# of words still to come (the height).

# %%
height, at, rounds = (
    tree.depth - tree.n_response_words[: tree.n_nodes],
    ref,
    {},
)
for done in range(1, tree.depth + 1):
    V = values.of_policy(at, world, ref, main)[0]
    law = (was + tree.action_values(V, gold) / main).log_softmax(-1)
    at = tree.response_logps(law)
    error = (law - best.log_policy).abs().amax((0, 2))
    rounds[f"round {done}"] = [error[height == h].max() for h in (1, 2, 3)]
index = [f"height {h}" for h in (1, 2, 3)]
rounds = pd.DataFrame(rounds, index=index).astype(float)
rounds.map("{:.1e}".format)

# %% [markdown]
# ## C3PO: a wish for one prompt
#
# "Call films *fun*." Pairs exist for the film only: a review with "fun" is
# chosen over one without. Plot is declared near the scope, cast and music
# outside. C3PO adds the log-likelihood of the reference's *own* reviews
# there; in expectation that is KL(π_ref‖π). Its strengths 0 are DPO.
# **Predict**: how often does each other prompt say "fun" after DPO?

# %%
fun = ["fun" in world.text(y).split() for y in range(world.n_responses)]
fun, film = torch.tensor(fun), torch.zeros(n_pairs // 4).long()


def scoped(draw):
    never = -float("inf")
    laws = [torch.where(keep, ref, never) for keep in (fun, ~fun)]
    sides = [world.draw_for(law, film, draw) for law in laws]
    far = film + 2 + torch.arange(len(film)) % 2
    own = [world.draw_for(ref, where, draw) for where in (far, film + 1)]
    return ScopedPairs(Pairs(*sides, torch.ones(len(film)).double()), *own)


# %%
seen = range(SEED, SEED + seeds)
wishes = ScopedPairs.cat([scoped(generator(s, "wish")) for s in seen])
free = c3po.Config(beta=main, outside=0.0, near=0.0)
train("dpo, film only", wishes, c3po, free, measures=())
train("c3po", wishes, c3po, c3po.Config(beta=main), measures=())
wish = {"reference": ref.expand(seeds, -1, -1)}
wish |= {k: measure.law(runs[k].policy, world) for k in list(runs)[-2:]}
rate = {k: (v.exp() * fun).sum(-1) for k, v in wish.items()}
leak = {k: exact.kl(v, ref).mean(0).tolist() for k, v in wish.items()}
print("KL(π‖π_ref) by prompt, nats")
pd.DataFrame(leak, index=world.prompts).T.round(3)

# %%
rows = []
for name, table in rate.items():
    for seed, line in enumerate(table.tolist()):
        part = pd.DataFrame({"prompt": world.prompts, "fun": line})
        rows.append(part.assign(method=name, seed=seed))
alone, with_c3po, base = (
    rate[k][:, 1].mean().item()
    for k in ("dpo, film only", "c3po", "reference")
)
views.bars(
    pd.concat(rows), "prompt", "fun", by="method", label="share with “fun”",
    caption=f"Reviews of the plot say fun in {alone:.0%} of cases after DPO on "
    f"films, {with_c3po:.0%} after C3PO and {base:.0%} under π_ref.",
)  # fmt: skip

# %% [markdown]
# ## Break it: a step followed by an end token
#
# Mistake (2) of Step-DPO counts everything from the step on. Our steps are
# stored as reviews that end right after the step, so the end token of a
# good step is now pushed up with it.

# %%
name = "2 everything from the step on counted"
wrong = method(card=step_dpo.card, loss=step_dpo.mistakes[name])
cfg = step_dpo.Config(beta=main)
train("end counted", data["step, V*"], wrong, cfg)
pick = ["step, V*", "end counted"]
short, whole = (last[k].mean() for k in pick[::-1])
views.training_curves(
    pd.concat([curves[k] for k in pick]),
    {"length": "words a review", "kl_to_optimum": "KL(π‖π*) (nats)"},
    by="method",
    caption=f"With the end counted π writes {short.length:.2f} words (without: "
    f"{whole.length:.2f}) and ends {short.kl_to_optimum:.2f} nats from π* "
    f"(without: {whole.kl_to_optimum:.2f}).",
)

# %% [markdown]
# ## Claims

# %%
papers = {"rtoq": "Rafailov et al. 2024 (2404.12358)"}
papers |= {"tdpo": "Zeng et al. 2024 (2404.11999)"}
papers |= {"treg": "Zhou et al. 2024 (2412.02685)"}
papers |= {"step": "Lai et al. 2024 (2406.18629)"}
papers |= {"c3po": "Stephan et al. 2024 (2402.10893)"}


def claim(key, statement, effect, expected, unit="reward units", **kind):
    teach.claim(
        key=key, paper=papers[key.split("-")[0]], statement=statement,
        effect=effect, expected=expected, unit=unit, out=OUT or None, **kind,
        setting=f"reviews, {n_pairs} pairs, {steps} steps, β = {main}",
    )  # fmt: skip


# %%
credit = curves["dpo"].pivot(index="seed", columns="step", values="rank")
claim(
    "rtoq-credit",
    "Along training a token's implicit reward comes to follow its advantage.",
    credit.iloc[:, -1] - credit.iloc[:, 0], "positive", "rank correlation",
)  # fmt: skip
claim(
    "rtoq-corrupt",
    "The implicit reward falls at a corrupted word.",
    fall.reward, "negative",
)  # fmt: skip

# %%
rise = beam.gold[4] - beam.gold[1]
said = "Beam search by likelihood: 4 beams find more gold than 1."
claim("rtoq-beam-rises", said, rise, "positive")
drop = beam.gold[8] - beam.gold[4]
said = "Beyond it gold falls again: 8 beams find less than 4."
claim("rtoq-beam-falls", said, drop, "negative")
longer = beam.length[8] - beam.length[1]
said = "Wide beams are verbose: 8 find longer reviews than 1."
claim("rtoq-beam-length", said, longer, "positive", "words")

# %%
side = last["tdpo1"].kl_to_optimum - last["tdpo1"].to_greedy
said = "TDPO1 ends nearer to the greedy policy than to π* (derived)."
claim("tdpo-greedy", said, side, "positive", "nats")
slow = last["tdpo2"].K_rejected - last["dpo"].K_rejected
said = "Under TDPO2 the KL of rejected reviews grows less than under DPO."
claim("tdpo-rejected", said, slow, "negative", "nats")
said = "At the greedy policy TDPO1's score is r − V^ref(x), all responses."
exactly = {"kind": "exact", "tolerance": 1e-9}
claim("tdpo-score", said, off, "zero", **exactly)

# %%
ahead = []
for seed in last["dpo"].index:
    two = [curves[k][curves[k].seed == seed] for k in ("tdpo1", "dpo")]
    common = min(f.kl_reverse.max() for f in two)
    a, b = (np.interp(common, f.kl_reverse, f.gold) for f in two)
    ahead.append(a - b)
said = "At equal sequential KL TDPO1 earns more gold than DPO."
claim("tdpo-frontier", said, ahead, "positive")

# %%
area = {k: area[k] - area["dpo"] for k in ("t-reg", "t-reg, random")}
said = "Right token rewards bring ρ to the truth sooner than DPO."
claim("treg-sooner", said, area["t-reg"], "positive", "rank correlation")
said = "Random token rewards bring no gain (0.01 at most)."
none = (-float("inf"), 0.01)
claim("treg-random", said, area["t-reg, random"], none, "rank correlation")

# %%
more = last["step, V^ref"].gold - last["dpo"].gold
said = "At equally many labels Step-DPO (V^ref) earns more gold than DPO."
claim("step-gold", said, more, "positive")
nearer = last["dpo"].kl_to_optimum - last["step, V*"].kl_to_optimum
said = "With labels of V* it ends nearer to π* than DPO (derived)."
claim("step-optimum", said, nearer, "positive", "nats")
said = "After h rounds of soft policy iteration height h is π* (derived)."
done = [rounds.iloc[h, n] for n in range(3) for h in range(n + 1)]
claim("step-rounds", said, done, "zero", **exactly)

# %%
gain = {k: (v - rate["reference"]).numpy() for k, v in rate.items()}
free, held = gain["dpo, film only"], gain["c3po"]
said = "After DPO on films alone the wish appears in reviews of the plot."
claim("c3po-leak", said, free[:, 1], "positive", "share")
said = "C3PO keeps at least 0.9 of the gain in scope."
at_least = (0.9, float("inf"))
claim("c3po-keeps", said, held[:, 0] / free[:, 0], at_least, "ratio")
said = "C3PO cuts the change of the other prompts by 30 % or more."
cut = 1 - abs(held[:, 1:]).mean(1) / abs(free[:, 1:]).mean(1)
claim("c3po-cuts", said, cut, (0.3, 1.0), "share")

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
# policy from π\* for β = 0.1, 0.3, 1 and 3? Predict the two limits first.
# (Hint: V\* tends to V^ref for β → ∞; and what is left of a tie for β → 0?)

# %% tags=["solution"]
for b in (0.1, 0.3, 1.0, 3.0):
    target = exact.optimal_policy(ref, gold, b)
    short = tree.response_logps((was + linear.Q / b).log_softmax(-1))
    lost = exact.expectation(target, gold) - exact.expectation(short, gold)
    gap = exact.kl(target, short).mean()
    print(f"β = {b:<4} KL {gap:.3f} nats, gold lost {lost.mean():.3f}")

# %% [markdown]
# **3 · The other martingale** (●●●, 15 minutes). Turn the KL of TDPO1 round:
# K′(y) = Σ_t KL(π ‖ π_ref), subtracted from d. Under which policy is that
# score a martingale, and why can no fixed target be read off it? (Mistake
# (2) of `tdpo1` is its neighbour.)

# %% [markdown]
# ## What must hold

# %%
assert (best.V[:, 0] - root).abs().max() < 1e-12
assert torch.allclose(star, exact.optimal_policy(ref, gold, main))
assert torch.allclose(one + two, r - V) and off < 1e-9
assert (best.V >= linear.V - 1e-12).all()
assert max(done) < 1e-9 < rounds.iloc[2, 1]
k = exact.expectation(ref, K)  # E_ref[K] is the sequence KL
assert torch.allclose(k, exact.kl(ref, greedy))
step = data["step, V*"]
assert (step.chosen_step.sum(-1) == 1).all()
assert all(frame.notna().all().all() for frame in last.values())
assert checked.passed

# %% [markdown]
# ## References and next
#
# * Rafailov et al. 2024, *From r to Q\** (2404.12358).
# * Zeng et al. 2024, *Token-level Direct Preference Optimization*
#   (2404.11999).
# * Zhou et al. 2024, *T-REG* (2412.02685).
# * Lai et al. 2024, *Step-DPO* (2406.18629).
# * Stephan et al. 2024, *RLVF: learning from verbal feedback without
#   overgeneralization* (2402.10893).
#
# Next: **30 · RLOO**. The policy writes its own data.
