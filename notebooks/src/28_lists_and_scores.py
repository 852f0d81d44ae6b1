# ---
# jupyter:
#   workbench:
#     title: "28 · Lists and scores"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 28 · Lists and scores: what is left once the scale is known?
#
# **The claim in one sentence.** With scores in place of comparisons the
# losses of this lesson fall into two families, one that matches a softmax
# and one that regresses differences; both rest at π*_β whoever drew the
# responses, and most of their names are settings of one another.
#
# After this lesson you can
#
# * say which two listwise losses are one, and with which factor;
# * tell a contrastive gradient from an off-policy one with a baseline;
# * predict which losses survive bad data, and why;
# * choose between a longer list and more lists.
#
# Run time at `lecture`: a bit over a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
import copy
from dataclasses import replace
from types import SimpleNamespace as method

import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core.batches import ListLogps, PairLogps, Tokens
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.lists import Lists, sample_lists
from workbench.feedback.pairs import Pairs, sample_pairs

# %%
from workbench.feedback.scored import ValuedResponses
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.methods.offline import a_lol, adpo, brain, copg, dpo, dpo_rw
from workbench.methods.offline import infonca, ipo, lipo, list_mle, pro
from workbench.methods.offline import pair_logistic, r_gold, rebel, rso, wbc
from workbench.methods.offline import reward_augmented as augmented
from workbench.methods.supervised import sft
from workbench.models import goals as goal_models
from workbench.models import tiny
from workbench.worlds import exact, goals
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 2, "lecture": 40, "figure": 400}[PROFILE]
epochs = {"ci": 2, "lecture": 100, "figure": 100}[PROFILE]  # of the bandit
beta, sizes, n = 0.5, (2, 4, 8), 32 * steps  # n scored responses a seed

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The question
#
# A reward model has scored every response. You may show a loss two responses
# at a time, or eight; you may show it differences of scores, or only their
# order. The number of scored responses is the same.
#
# **Write down a prediction.** Which losses gain from longer lists: one that
# reads the scores through a softmax, one that reads only the order, one that
# weighs each pair by its place in the ranking? And what happens to each when
# the responses were not drawn from π_ref?
#
# ## Three data points
#
# The first three responses of one list of eight: same prompt, each with its
# score and with the log-probability of the law that drew it.


# %%
def stacked(kind, draw, name="lists"):
    names = [generator(s, name) for s in range(SEED, SEED + seeds)]
    return kind.cat([draw(g) for g in names])


lists = {
    K: stacked(Lists, lambda g, K=K: sample_lists(world, ref, n // K, K, g))
    for K in sizes
}
tokens, first = lists[8].tokens[slice(0, 3)], lists[8][slice(0, 1)]
rows = {"review": [world.text(int(y)) for y in tokens.response]}
rows |= {"score": first.scores[0, :3], "log π_ref": first.proposal[0, :3]}
pd.DataFrame(rows).round(3)

# %% [markdown]
# ## The objective, in the symbols of the code
#
# d_k = log π(y_k)/π_ref(y_k) for the K responses of a list, r_k the scores.
#
# **Match a softmax.** π*_β has d = r/β − log Z. Within one list log Z is a
# constant, and a softmax does not see it:
#
# $$L = -\sum_k \operatorname{softmax}_k(r/\alpha)\,
#   \log\operatorname{softmax}_k(\beta d).$$
#
# That is InfoNCA, with π*_{αβ}. The push on log π(y_k) is β(p_k − q_k).
#
# **Regress differences.** Differences do not see log Z either:
#
# $$L = \frac{1}{2\beta(K-1)}\sum_{i>j}
#   \left(r_i - r_j - \beta(d_i - d_j)\right)^2.$$
#
# That is CoPG. With R_β = r − βd the push on log π(y_k) is R_β(y_k) less the
# mean R_β of its siblings: the gradient of RLOO, without on-policy data.
#
# **Keep the order.** LiPO-λ weighs −log σ(β(d_i − d_j)) by the gain Δ_ij that
# a swap would cost; list_mle asks for the ranking's Plackett–Luce chance; PRO
# does so on mean log-probs without a reference. At fixed scores none of the
# three has a minimum: all three infima lie at infinite margins.
#
# **Score one response.** wBC: −r log π. A-LoL: −A w log π with
# A = max(0, r − V(x)).

# %%
display(teach.show(infonca.loss), teach.show(copg.loss), teach.show(lipo.loss))

# %% [markdown]
# ## By hand: one list of four
#
# Four reviews, one token each, so that a push on a token is a push on a
# response. The policy has already moved by d. V is the mean score.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
r, q = world.gold[0, four], ref[0, four].log_softmax(-1)
d = torch.tensor([0.9, -0.4, 0.3, -0.2]).double()
value, real = (q.exp() * r).sum(), torch.ones(1, 4, 1).bool()
one = ListLogps((q + d)[None, :, None], q[None, :, None], real, r[None], q[None])
p, now = (r / beta).softmax(-1), d.softmax(-1)
hand = {"r": r, "d": d, "p = softmax(r/β)": p, "q = softmax(d)": now, "p − q": p - now}
hand |= {"R_β = r − βd": r - beta * d, "A": (r - value).clamp(min=0)}
pd.DataFrame(hand, index=texts).round(3)


# %%
def pushes(loss, cfg, batch):
    live = batch.policy.detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss(replace(batch, policy=live), cfg).sum(), live)
    return -slope


same = {"infonca": (infonca, infonca.Config(beta=1.0, alpha=beta))}
same |= {m.card.key: (m, m.Config(beta=beta)) for m in (copg, lipo, list_mle)}
same |= {"pro": (pro, pro.Config())}
seen = {k: pushes(m.loss, c, one)[0, :, 0] for k, (m, c) in same.items()}
felt = pd.DataFrame(seen, index=texts)
felt.T.assign(sum=felt.sum()).round(3)

# %% [markdown]
# InfoNCA's row is the column p − q above. Its pushes, CoPG's, LiPO's and
# list_mle's sum to 0: raising one response lowers its siblings. PRO's do not,
# for its NLL raises the best one outright. "Good" is worse than "very good"
# and has moved up by 0.9 nats: read off which losses push it back.
#
# ## A family tree, in numbers
#
# Which names are one loss? Each row compares the pushes of two losses on
# random lists, after a factor that theory gives. PairLogps losses see the
# first two responses; there the first is the winner.


# %%
def paired(loss):
    def of_lists(b, cfg):
        sides = [v[:, i] for v in (b.policy, b.ref, b.mask) for i in (0, 1)]
        return loss(PairLogps(*sides), cfg)

    return of_lists


three = ListLogps.example(generator(SEED, "tree"))
own = replace(three, proposal=(three.ref * three.mask).sum(-1))
two = {k: getattr(three, k)[:, :2] for k in ("policy", "ref", "mask", "proposal")}
won = ListLogps(scores=torch.tensor([[0.9, 0.3]] * 8).double(), **two)
quarter = replace(won, scores=torch.tensor([[0.25, -0.25]] * 8).double())

# %%
b, nca = beta, infonca.Config
gain = (2**0.9 - 2**0.3) * (1 / torch.tensor([2.0, 3.0]).log()).diff().abs().item()
soft, hard = lipo.Config(beta=b, labels="scores"), nca(beta=b, alpha=1e-3)
pair, fit = (paired(dpo.loss), dpo.Config(beta=b)), nca(beta=b, alpha=0.7)
square = (paired(ipo.loss), ipo.Config(tau=b))
tree = [
    ("infonca = dpo_rw", infonca, fit, dpo_rw.loss, dpo_rw.Config(b, 0.7), 1, three),
    ("infonca = adpo", infonca, fit, adpo.loss, adpo.Config(1 / b, 0.7), 1, three),
    ("infonca = brain", infonca, nca(1.0, b), brain.loss, brain.Config(b), 1, own),
    ("infonca, 2, hard = dpo", infonca, hard, *pair, 1, won),
    ("list_mle, 2 = dpo", list_mle, list_mle.Config(b), *pair, 1, won),
    ("lipo, 2 = Δ dpo", lipo, soft, *pair, gain, won),
]

# %%
cfgs = rebel.Config(eta=1 / b), copg.Config(beta=b)
tree += [
    ("rebel = 2β(K−1) copg", rebel, cfgs[0], copg.loss, cfgs[1], 4 * b, three),
    ("copg at ±1/4 = β/2 ipo", copg, cfgs[1], *square, b / 2, quarter),
]
rows = []
for name, module, cfg, other, theirs, factor, batch in tree:
    left, right = pushes(module.loss, cfg, batch), pushes(other, theirs, batch)
    off = (left - factor * right).abs().max() / left.abs().max()
    rows.append((name, factor, left.abs().max().item(), off.item()))
names = ["equality", "factor", "largest push", "relative difference"]
table = pd.DataFrame(rows, columns=names).set_index("equality")
table.map("{:.3g}".format)

# %% [markdown]
# The softmax family is one loss under four names, and at K = 2 with a hard
# target it is DPO. The regressions are another, and with scores of ±1/4 they
# are IPO. (CoPG and RLOO agree list by list on policy: exercise 2.)
#
# ## Off policy: the bandit of the CoPG paper
#
# Three arms, R = (2.5, 2, 1), a uniform reference, β = 0.5. The pairs come
# from two laws that hardly try the best arm. Five gradients, 10⁴ pairs,
# batches of 512, Adam at 10⁻³, 100 epochs. PG is −(R_β − b) log π, with the
# weight held constant and no correction for who drew the arm. **Predict**
# which of its baselines b are harmless: 0, E_π[R], or E_π[R_β]?

# %%
R = torch.tensor([2.5, 2.0, 1.0]).double()
mu = torch.tensor([[0.1, 0.2, 0.7], [0.05, 0.05, 0.9]]).double()
even = torch.full((3,), 1 / 3).double().log()
star = exact.optimal_policy(even, R, b)
draw, size = generator(SEED, "bandit"), 10_000 if epochs > 2 else 1024
arms = [torch.multinomial(m, seeds * size, True, generator=draw) for m in mu]
arms = torch.stack(arms, -1)
lost = torch.rand(len(arms), generator=draw) > R[arms].diff()[:, 0].neg().sigmoid()
arms = torch.where(lost[:, None], arms.flip(-1), arms).unflatten(0, (seeds, size))


# %%
def pg(baseline):
    def loss(batch, law):
        earned = (batch.scores - b * batch.logratio()).detach()
        weight = earned - baseline(law.detach())[:, None]
        return -(weight * batch.logps()).sum(-1)

    return loss


half = copg.mistakes["2 stop-gradient on the half"]
mean_kl = lambda law: exact.expectation(law, R - b * (law - even))
lines = {
    "copg": lambda batch, law: copg.loss(batch, cfgs[1]),
    "ipo": lambda batch, law: square[0](batch, square[1]),
    "pg, b = 0": pg(lambda law: torch.zeros(len(law))),
    "pg, b = E[R]": pg(lambda law: exact.expectation(law, R)),
    "pg, b = E[R_β]": pg(mean_kl),
    "copg, broken": lambda batch, law: half(batch, cfgs[1]),
}
