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

import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds import (
    distribution_pairs,
    scoped_pairs,
    step_pairs,
    token_pairs,
)
from workbench.feedback.kinds.pairs import Pairs, sample_pairs

# %%
from workbench.loops import offline
from workbench.measure import (
    beam_search,
    drift,
    prefix_values,
    token_advantages,
    token_credit,
)
from workbench.measure import exact as measure
from workbench.measure.implicit_reward import token_rewards
from workbench.methods.direct.data import c3po
from workbench.methods.direct.links import dpo
from workbench.methods.direct.tokens import step_dpo, t_reg, tdpo1, tdpo2
from workbench.methods.values import soft_backup
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
n_steps = {"ci": 2, "lecture": 100, "figure": 1000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 2000, "figure": 20000}[PROFILE]
main, world = 0.3, Reviews(3)  # β

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
# change? Should "fun" be worth the same after "good and" and "dull and"?
#
# ## Three data points
#
# Whole reviews with Bradley–Terry labels, as in lesson 20.


# %%
def per_seed(name, make):
    return [make(generator(s, name)) for s in range(SEED, SEED + seeds)]


how = (world, ref, n_pairs, Annotator())
pairs = Pairs.cat(per_seed("pairs", lambda g: sample_pairs(*how, g)))
few = pairs.chosen.response[:3], pairs.rejected.response[:3]
few = [[world.text(y) for y in side.tolist()] for side in few]
pd.DataFrame(few, ["chosen", "rejected"], world.prompts[:3])

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
V_not = main * (after * (r[2:] / main).exp()).sum().log()
Q = torch.cat([r[:2], V_not[None]])  # of good, bad, not
first = torch.cat([q[:2], q[2:].sum()[None]])  # their π_ref
V = main * (first * (Q / main).exp()).sum().log()
print(f"V*(not) = {V_not:.3f}   V^ref(not) = {(after * r[2:]).sum():.3f}")

# %%
one, two = (Q - V)[[0, 1, 2, 2]], torch.cat([0 * r[:2], r[2:] - V_not])
hand = {"π_ref": q, "r": r, "ρ*, 1st word": one, "ρ*, 2nd word": two}
hand |= {"sum": one + two, "r − V*(x)": r - V}
hand["π*"] = q * ((r - V) / main).exp()
pd.DataFrame({k: v.tolist() for k, v in hand.items()}, index=texts).round(3)

# %% [markdown]
# "sum" and "r − V\*(x)" agree: the reward of a review is spread over its
# words as differences of value. The ρ\* of "not" is about what it leads to;
# no reward is paid there.
#
# Put V^ref(not) in the place of V\*(not) and you get the **one-step-greedy**
# policy, π(a|s) ∝ π_ref(a|s) exp(V^ref(s·a)/β): at each word it assumes that
# π_ref writes the rest. π\* knows that it will write the rest itself, and
# V\* ≥ V^ref, so it is the more willing to write "not".
#
# ## Train
#
# Both policies are known at all prefixes of the world. DPO sees whole
# reviews only. At every checkpoint two trackers measure the distances to π\*
# and to the greedy policy, the correlation of ρ with the exact advantage
# over ALL prefixes, depth by depth, and the rank correlation over the words
# of held-out reviews.

# %%
best = soft_backup.backup(tree, was, gold, main)
linear = soft_backup.linear(tree, was, gold)  # V^ref
star = tree.response_logps(best.log_policy)  # log π* of every response
greedy = token_credit.greedy_policy(world, ref, main)
print(f"KL(π*‖greedy) = {solutions.kl(star, greedy).mean():.3f} nats")
held = world.draw(ref, 400, generator(SEED, "held out"))
tracks = [measure.Tracker(world, ref, gold=gold, beta=main)]
tracks += [token_credit.CreditTracker(world, reference, held, main)]
curves, last = {}, {}


# %%
def train(name, data, module, cfg, measures=tracks):
    run = offline.fit(
        reference.copies(seeds), reference, data, module, cfg, steps=n_steps,
        seed=SEED, measures=measures, every=max(1, n_steps // 4),
    )  # fmt: skip
    curves[name] = run.metrics[run.metrics.step > 0].assign(method=name)
    last[name] = run.metrics[run.metrics.step == n_steps].set_index("seed")
    return run.policy


policy = {"dpo": train("dpo", pairs, dpo, dpo.Config(beta=main))}

# %% [markdown]
# ## The signature views
#
# How well ρ follows Q\* − V\*, at the first, second and third token:

# %%
depths = ["depth 0", "depth 1", "depth 2"]
long = curves["dpo"].melt(["seed", "step"], depths, "place", "correlation")
views.training_curves(
    long, {"correlation": "correlation of ρ and Q* − V*"}, by="place",
    caption="At the end ρ of DPO correlates "
    f"{last['dpo']['depth 0'].mean():.2f} with the exact advantage at the "
    f"first token and {last['dpo']['depth 2'].mean():.2f} at the third.",
)  # fmt: skip

# %% [markdown]
# ### One corrupted word
#
# Back to your prediction: words of four reviews, after DPO and exactly.

# %%
said = ["good and fun", "good and dull", "dull and fun", "good but fun"]
shown = torch.tensor([world.index(text) for text in said] * 4)
on = (reference, world, torch.arange(4).repeat_interleave(4), shown)
four = token_advantages.beside_advantage(policy["dpo"], *on, beta=main)
four["review"] = [said[row % 4] for row in four.row]
truth = four.assign(reward=four.advantage, review="exact: " + four.review)
both = ["reward", "advantage"]
third = four[four.position == 2].pivot_table(both, "seed", "review")
fall = third.reward["good and dull"] - third.reward["good and fun"]
third = third.mean().unstack()

# %%
views.token_rewards(
    pd.concat([four, truth]), by="review",
    caption="In the mean over prompts ρ of the third word changes by "
    f"{fall.mean():+.2f} where dull replaces fun; fun has "
    f"{third['good and fun'].reward:+.2f} after “good and” and "
    f"{third['dull and fun'].reward:+.2f} after “dull and” (exact: "
    f"{third['good and fun'].advantage:+.2f} and "
    f"{third['dull and fun'].advantage:+.2f}).",
)  # fmt: skip

# %% [markdown]
# Words before the corrupted one keep their ρ to the last digit: they cannot
# know. Exactly, the words after it change too, since the value they start
# from has changed; whether the network has learnt that is the difference
# between the two halves. ρ says where the *value* changes, not where a
# reward is paid.
#
# ### Beam search on a DPO policy
#
# A wider beam finds responses that π thinks likelier, Σ log π. What DPO
# learned is another sum, Σ log π/π_ref. Once a beam has found the best of
# its sum, a wider one changes nothing. **Predict** the gold of the best
# review found by beams of 1 to 8, for each of the two sums.

# %%
found, on = {}, (policy["dpo"], world, ref, range(1, 9))
for by in ("likelihood", "implicit reward"):
    found[by] = beam_search.by_width(*on, by).assign(search=by)
beam = found["likelihood"].pivot(index="seed", columns="width")
mean = pd.concat(found.values()).groupby(["search", "width"]).gold.mean()

# %%
views.sweep(
    pd.concat(found.values()), "width",
    {"gold": "gold (reward units)", "length": "length (words)"}, "search",
    exact={"gold": gold.amax(-1).mean().item()}, exact_label="best review",
    caption="Gold with beams of 1, 4 and 8 is "
    f"{mean['likelihood', 1]:.2f}, {mean['likelihood', 4]:.2f} and "
    f"{mean['likelihood', 8]:.2f} by likelihood, "
    f"{mean['implicit reward', 1]:.2f}, {mean['implicit reward', 4]:.2f} and "
    f"{mean['implicit reward', 8]:.2f} by implicit reward.",
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
# policy, not π\*. (Exercise 2 checks it on all responses.)
#
# TDPO2 stops the gradient of K(y_c) and weighs K with α: the loss asks for
# a small K on *rejected* responses.

# %%
laws, three = (
    distribution_pairs.DistributionPairs(pairs),
    ("dpo", "tdpo1", "tdpo2"),
)
for key, module in (("tdpo1", tdpo1), ("tdpo2", tdpo2)):
    policy[key] = train(key, laws, module, module.Config(beta=main))
K = {k: (reference, policy[k], pairs.rejected) for k in three}
K = {k: drift.sequence_values(*on)["rao-blackwell"] for k, on in K.items()}
K = pd.DataFrame({k: v.view(seeds, -1).mean(-1) for k, v in K.items()})

# %%
views.training_curves(
    pd.concat([curves[k] for k in three]), by="method", columns={
        "kl_to_optimum": "KL(π‖π*) (nats)",
        "kl_to_greedy": "KL(π‖greedy) (nats)",
    },
    caption="TDPO1 ends at "
    f"{last['tdpo1'].kl_to_optimum.mean():.2f} nats from π* (DPO: "
    f"{last['dpo'].kl_to_optimum.mean():.2f}) and "
    f"{last['tdpo1'].kl_to_greedy.mean():.2f} from the greedy policy (DPO: "
    f"{last['dpo'].kl_to_greedy.mean():.2f}); K(y_r) is {K.dpo.mean():.2f} "
    f"under DPO, {K.tdpo1.mean():.2f} and {K.tdpo2.mean():.2f} under TDPO1/2.",
)  # fmt: skip

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
truth = (TabularPolicy(world, table) for table in (star, ref))
gap = token_rewards(*truth, pairs.both, 1.0)
right, mask = t_reg.token_rewards(gap, 0 * gap), pairs.both.mask
order = torch.randperm(int(mask.sum()), generator=generator(SEED, "deal"))
noise = right.masked_scatter(mask, right[mask][order])
cfg = t_reg.Config(beta=main, alpha=0.5)
for name, given in (("t-reg", right), ("t-reg, random", noise)):
    train(
        name, token_pairs.TokenRewardPairs(pairs, *given.chunk(2)), t_reg, cfg
    )

# %%
area = {k: frame.groupby("seed")["rank"].mean() for k, frame in curves.items()}
gain = {k: area[k] - area["dpo"] for k in ("t-reg", "t-reg, random")}
views.training_curves(
    pd.concat([curves[k] for k in ("dpo", *gain)]), by="method",
    columns={"rank": "rank correlation of ρ and Q* − V*"},
    caption="Averaged over the checkpoints the rank correlation is "
    f"{gain['t-reg'].mean():+.3f} from DPO's with right token rewards and "
    f"{gain['t-reg, random'].mean():+.3f} with random ones.",
)  # fmt: skip

# %% [markdown]
# ## Step-DPO: compare next words
#
# One prefix, two next words, a label for the two. A label needs a *value* of
# a prefix, and the minimiser is π(a|s) ∝ π_ref(a|s) exp(V(s·a)/β), with the V
# behind the labels. V\* leads to π\*. V^ref, what rollouts of π_ref estimate,
# leads to the greedy policy. Equally many labels as DPO had:

# %%
for name, table in (("step, V^ref", linear.Q), ("step, V*", best.Q)):
    on = (world, ref, table, n_pairs, Annotator())
    parts = per_seed("steps", lambda g, on=on: step_pairs.sample_steps(*on, g))
    one_each = step_pairs.StepPairs.cat(parts)
    train(name, one_each, step_dpo, step_dpo.Config(beta=main))

# %% [markdown]
# ## Distance to the exact optimum
#
# `kl` is KL(π‖π_ref); `kl_reverse` is KL(π_ref‖π), the mean of K(y) under
# π_ref; both in nats. Read gold beside them: a policy that stays put has a
# small K for free, and T-REG, whose good tokens gain from chosen *and*
# rejected reviews, has a fixed point other than π\*.

# %%
names = ["gold", "kl", "kl_reverse", "kl_to_optimum", "kl_to_greedy", "rank"]
pd.DataFrame({k: f.mean() for k, f in last.items()}).T[names].round(3)

# %% [markdown]
# **From V^ref to V\* in rounds.** Let the *latest* policy judge: V^π(s) is
# its expected reward from s minus β times the KL it has yet to spend. Label,
# train to the end, label again: that is soft policy iteration. Without a
# network, the largest error of log π(a|s) after each round, by height h
# (the tokens still to come):

# %%
height = tree.depth - tree.n_response_words[: tree.n_nodes]
at, rounds = ref, {}
for done in ("round 1", "round 2", "round 3"):
    Q_now = tree.action_values(
        prefix_values.of_policy(at, world, ref, main), gold
    )
    law = (was + Q_now[0] / main).log_softmax(-1)
    at = tree.response_logps(law)
    error = (law - best.log_policy).abs().amax((0, 2))
    rounds[done] = [error[height == h].max().item() for h in (1, 2, 3)]
pd.DataFrame(rounds, ["h = 1", "h = 2", "h = 3"]).map("{:.1e}".format)

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
how = (world, ref, torch.tensor(fun), n_pairs // 4)
on = {"prompts": ((0,), (2, 3), (1,))}  # in scope, outside, near
wish = per_seed("wish", lambda g: scoped_pairs.sample_scoped(*how, g, **on))
wish, law = scoped_pairs.ScopedPairs.cat(wish), {"reference": ref[None]}
free = c3po.Config(beta=main, outside=0.0, near=0.0)
for name, cfg in (("dpo", free), ("c3po", c3po.Config(beta=main))):
    law[name] = measure.response_logps(
        train(name + " film", wish, c3po, cfg, ()), world
    )

# %%
rate = {k: (v.exp() * how[2]).sum(-1).numpy() for k, v in law.items()}
leak = {k: solutions.kl(v, ref).mean(0).tolist() for k, v in law.items()}
leak = pd.DataFrame(leak, world.prompts)
share = pd.DataFrame({k: v.mean(0) for k, v in rate.items()}, world.prompts)
pd.concat({"share with fun": share, "KL (nats)": leak}, axis=1).round(3)

# %% [markdown]
# ## Break it: a step followed by an end token
#
# Mistake (2) of Step-DPO counts everything from the step on. Our steps are
# stored as reviews that end right after the step, so the end token that
# follows a good step is pushed up with it.

# %%
wrong = step_dpo.mistakes["2 everything from the step on counted"]
wrong, cfg = method(card=step_dpo.card, loss=wrong), step_dpo.Config(beta=main)
train("end counted", one_each, wrong, cfg)
views.training_curves(
    pd.concat([curves["step, V*"], curves["end counted"]]), by="method",
    columns={"length": "words a review", "kl_to_optimum": "KL(π‖π*) (nats)"},
    caption="With the end counted π writes "
    f"{last['end counted'].length.mean():.2f} words (without: "
    f"{last['step, V*'].length.mean():.2f}) and is "
    f"{last['end counted'].kl_to_optimum.mean():.2f} nats from π* (without: "
    f"{last['step, V*'].kl_to_optimum.mean():.2f}).",
)  # fmt: skip

# %% [markdown]
# ## Claims
#
# What the papers say, and three statements derived in this lesson.

# %%
says = {
    "rtoq-credit": "ρ comes to follow the advantage along training.",
    "rtoq-corrupt": "ρ falls at the corrupted word (dull for fun).",
    "rtoq-beam-rises": "By likelihood 4 beams find more gold than 1.",
    "rtoq-beam-falls": "By likelihood 8 beams find less gold than 4.",
    "rtoq-beam-long": "By likelihood 8 beams find longer reviews than 1.",
    "tdpo-greedy": "TDPO1 ends nearer to greedy than to π* (derived).",
    "tdpo-rejected": "K of rejected reviews is smaller with TDPO2 than DPO.",
    "tdpo-score": "TDPO1's score at greedy is r − V^ref(x) (derived).",
}

# %%
says |= {
    "t_reg-sooner": "Right token rewards bring ρ to the truth sooner.",
    "t_reg-random": "Random token rewards bring no gain (at most 0.01).",
    "step-gold": "With as many labels (V^ref) Step-DPO has more gold.",
    "step-rounds": "After h rounds of labels height h is π* (derived).",
    "c3po-leak": "After DPO on films the plot is called fun more often.",
    "c3po-keeps": "C3PO keeps 0.9 or more of the gain in scope.",
    "c3po-cuts": "C3PO cuts the change elsewhere by 30 % or more.",
}


# %%
def claim(key, effect, expected, unit="reward units", **more):
    teach.claim(
        key=key, paper=papers[key[:4]], statement=says[key], effect=effect,
        expected=expected, unit=unit, out=OUT or None, **more,
        setting=f"reviews, {n_pairs} pairs, {n_steps} steps, β = {main}",
    )  # fmt: skip


papers = {m.card.key[:4]: m.card.paper for m in (tdpo1, t_reg, step_dpo, c3po)}
papers["rtoq"] = "Rafailov et al. 2024 (2404.12358)"

# %%
exactly, rho = {"kind": "exact", "tolerance": 1e-9}, "rank correlation"
along = curves["dpo"].pivot(index="seed", columns="step", values="rank")
claim("rtoq-credit", along.iloc[:, -1] - along.iloc[:, 0], "positive", rho)
claim("rtoq-corrupt", fall, "negative")
claim("rtoq-beam-rises", beam.gold[4] - beam.gold[1], "positive")
claim("rtoq-beam-falls", beam.gold[8] - beam.gold[4], "negative")
claim("rtoq-beam-long", beam.length[8] - beam.length[1], "positive", "words")
side = last["tdpo1"].kl_to_optimum - last["tdpo1"].kl_to_greedy
claim("tdpo-greedy", side, "positive", "nats")
claim("tdpo-rejected", K.tdpo2 - K.dpo, "negative", "nats")

# %%
claim("t_reg-sooner", gain["t-reg"], "positive", rho)
claim("t_reg-random", gain["t-reg, random"], (-float("inf"), 0.01), rho)
claim("step-gold", last["step, V^ref"].gold - last["dpo"].gold, "positive")
zeros = [e for n, r in enumerate(rounds.values()) for e in r[: n + 1]]
claim("step-rounds", zeros, "zero", "nats", **exactly)
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
# **2 · The fair game** (●●○, 10 minutes). Show on all responses that TDPO1's
# score at the greedy policy is r − V^ref(x). (Hint: `drift.sequence_values`
# of two `TabularPolicy` gives Σ_t KL(first ‖ second) as "rao-blackwell".)

# %% tags=["solution"]
every = world.tokens(*torch.cartesian_prod(*map(torch.arange, ref.shape)).T)
two = (TabularPolicy(world, table) for table in (ref, greedy))
fair = drift.sequence_values(*two, every, world)["rao-blackwell"]
fair = fair.view(ref.shape)  # K of every response
off = main * (greedy - ref + fair) - (gold - linear.V[:, :1])
off = off.abs().max().item()
claim("tdpo-score", off, "zero", **exactly)
assert torch.allclose(
    solutions.expectation(ref, fair), solutions.kl(ref, greedy)
)
assert off < 1e-9

# %% [markdown]
# ## What must hold

# %%
log_Z = solutions.log_partition(ref, gold, main)
assert torch.allclose(best.V[:, 0], main * log_Z)
assert torch.allclose(star, solutions.optimal_policy(ref, gold, main))
assert torch.allclose(hand["sum"], r - V) and checked.passed
assert max(zeros) < 1e-9 < rounds["round 2"][2]

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
