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
# Run time at `lecture`: about a minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from dataclasses import replace
from types import SimpleNamespace as namespace

import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.catalogue import methods
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.lists import ListLogps, Lists, sample_lists
from workbench.feedback.kinds.scored import ValuedResponses

# %%
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.methods.direct.lists import (
    adpo,
    brain,
    copg,
    infonca,
    lipo,
    pro,
)
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

seeds, steps, epochs = {"ci": (2, 4, 1), "lecture": (SEEDS, 40, 100),
    "figure": (2 * SEEDS, 400, 100)}[PROFILE]  # fmt: skip
b, n = 0.5, 32 * steps  # β everywhere; scored responses a seed
zoo, world = namespace(**methods()), Reviews(3)  # all methods, by name
reference = tiny.reference(world, DEVICE)

# %% [markdown]
# ## The question
#
# A reward model has scored every response. You may show a loss two responses
# at a time, or eight; you may show it the scores, or only their order. The
# number of scored responses is the same.
#
# **Write down a prediction.** Which losses gain from longer lists: one that
# reads the scores through a softmax, one that reads only the order, one that
# weighs each pair by its place in the ranking? And which of them still aim
# at π*_β if the responses were not drawn from π_ref?
#
# ## Three data points
#
# The first three responses of one list of eight: one prompt, and for each
# response its score and the log-probability of the law q′ that drew it.


# %%
def stacked(kind, draw):
    return kind.cat([draw(generator(SEED + s, "d")) for s in range(seeds)])


ref = reference.response_logps(world).detach()


def lists_of(K, noise=0.0):
    how = (world, ref, n // K, K)
    return stacked(Lists, lambda g: sample_lists(*how, g, noise=noise))


lists = {K: lists_of(K) for K in (2, 4, 8)}
said = [world.text(int(y)) for y in lists[8].tokens.response[:8]]
some = {"score": lists[8].scores[0], "log q′": lists[8].proposal[0]}
pd.DataFrame(some, index=said).head(3).round(3)

# %% [markdown]
# ## The objective, in the symbols of the code
#
# d_k = log π(y_k)/π_ref(y_k) for the K responses of a list, r_k their scores.
# At π*_β, d = r/β − log Z. Within a list log Z is a constant, and there are
# two ways not to see it.
#
# **Match a softmax** (InfoNCA, which ends at π*_{αβ}):
#
# $$L = -\sum_k p_k \log q_k,\qquad p = \mathrm{softmax}(r/\alpha),
#   \quad q = \mathrm{softmax}(\beta d).$$
#
# The push on log π(y_k) is β(p_k − q_k).
#
# **Regress differences** (CoPG, which ends at π*_β):
#
# $$L = \frac{1}{2\beta(K-1)}\sum_{i>j}
#   \left(r_i - r_j - \beta(d_i - d_j)\right)^2.$$
#
# With R_β = r − βd, the push on log π(y_k) is R_β(y_k) less the mean R_β of
# its siblings: the gradient of RLOO, and no on-policy data is asked for.
#
# **Keep the order.** LiPO-λ weighs −log σ(β(d_i − d_j)) by Δ_ij, what a swap
# would cost the ranking; list_mle asks for the ranking's Plackett–Luce
# chance; PRO does so on mean log-probs, without a reference. At fixed scores
# none of the three has a minimum: the margins want to be infinite.
#
# **Score one response.** wBC: −r log π. A-LoL: −A w log π, with
# A = max(0, r − V(x)) and a clipped weight w.

# %%
display(teach.show(infonca.loss), teach.show(copg.loss), teach.show(lipo.loss))

# %% [markdown]
# ## By hand: one list of four
#
# Four reviews, one token each. The policy has already moved by d.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
r, start = world.gold[0, four], ref[0, four]
d = torch.tensor([0.9, -0.4, 0.3, -0.2]).double()
now = (start + d)[None, :, None]
one = ListLogps(now, start[None, :, None], now < 0, r[None], start[None])
p, q, R_β = (r / b).softmax(-1), d.softmax(-1), r - b * d
hand = {"r": r, "d": d, "p": p, "q": q, "p − q": p - q, "R_β": R_β}
hand["R_β − others"] = 4 / 3 * (R_β - R_β.mean())  # their mean
pd.DataFrame(hand, index=texts).round(3)


# %%
def pushes(loss, cfg, batch):
    live = batch.policy.detach().requires_grad_()
    value = loss(replace(batch, policy=live), cfg).sum()
    return -torch.autograd.grad(value, live)[0]


nca, regress = infonca.Config(1.0, b), copg.Config(b)  # both end at π*_β
same = (copg, lipo, zoo.list_mle, zoo.pair_logistic)
losses = {m.card.key: (m, m.Config(b)) for m in same}
losses |= {"infonca": (infonca, nca), "pro": (pro, pro.Config())}
felt = {k: pushes(m.loss, c, one).flatten() for k, (m, c) in losses.items()}
pd.DataFrame(felt, index=texts).T.round(3)

# %% [markdown]
# Rows "infonca" and "copg" are the columns p − q and R_β − others above. All
# rows but PRO's sum to 0: raising one response lowers its siblings. "Good" is
# worse than "very good" and has moved up by 0.9 nats. Read off which losses
# push it back because it has moved too far.
#
# ## A family tree, in numbers
#
# Which names are one loss? Each row compares the pushes of two losses on
# random lists, after the factor that theory gives. Losses of pairs see the
# first two responses, of which the first has won.


# %%
def of_pair(link):
    return lambda batch, cfg: link(-batch.logratio().diff()[:, 0], cfg)


D = of_pair(zoo.dpo.link), zoo.dpo.Config(b)
I = of_pair(zoo.ipo.link), zoo.ipo.Config(b)
lot = ListLogps.example(generator(SEED, "tree"))
lot = replace(lot, proposal=(lot.ref * lot.mask).sum(-1))  # q′ = π_ref
win = torch.eye(2).double()[:1].expand(len(lot.policy), 2)  # scores 1, 0
two = [v[:, :2] for v in (lot.policy, lot.ref, lot.mask)]
won, quarter = (ListLogps(*two, r, r) for r in (win, win / 2 - 0.25))

# %%
forward, rebel = zoo.dpo_rw, zoo.rebel
N, C, hard = (infonca.loss, nca), (copg.loss, regress), infonca.Config(b, 1e-3)
tree = {
    "infonca = dpo_rw": (lot, *N, forward.loss, forward.Config(1.0, b), 1),
    "infonca = adpo": (lot, *N, adpo.loss, adpo.Config(1.0, b), 1),
    "infonca = brain": (lot, *N, brain.loss, brain.Config(b), 1),
    "infonca (2, hard) = dpo": (won, infonca.loss, hard, *D, 1),
    "copg (±1/4) = β/2 ipo": (quarter, *C, *I, b / 2),
    "rebel = 2β(K−1) copg": (lot, rebel.loss, rebel.Config(1 / b), *C, 4 * b),
}

# %%
equal = {}
for name, (batch, left, cfg, right, theirs, factor) in tree.items():
    mine, other = pushes(left, cfg, batch), pushes(right, theirs, batch)
    equal[name] = (mine - factor * other).norm().item() / mine.norm().item()
pd.DataFrame({"relative difference": equal}).map("{:.1g}".format)

# %% [markdown]
# The softmax family is one loss under four names (BRAIn's where q′ = π_ref),
# and at K = 2 with a hard target it is DPO. The regressions are the other
# family; told only who won, they are IPO. On policy CoPG is RLOO: exercise 2.
#
# ## Off policy: the bandit of the CoPG paper
#
# Three arms, R = (2.5, 2, 1), a uniform reference. The pairs come from two
# laws that hardly try the best arm: 10⁴ pairs, batches of 512, 100 epochs,
# Adam at 10⁻³. IPO gets Bradley–Terry labels of the same pairs. "pg" is
# −(R_β − baseline) log π with the weight held constant, and takes no notice
# of who drew the arm. **Predict** which baselines are harmless: 0, E_π[R] or
# E_π[R_β]? (A batch is summed up by how often each of the nine ordered pairs,
# winner first, came in it. The regret in J = E[R] − β KL(π‖π_ref) is
# β KL(π‖π*).)

# %%
R, g = torch.tensor([2.5, 2.0, 1.0]).double(), generator(SEED, "bandit")
flat, size = (R * 0).log_softmax(-1), 10_000
star = solutions.optimal_policy(flat, R, b)
laws = torch.tensor([[0.1, 0.2, 0.7], [0.05, 0.05, 0.9]]).double()
x, y = (torch.multinomial(m, seeds * size, True, generator=g) for m in laws)
wins = torch.rand(len(x), generator=g) < (R[x] - R[y]).sigmoid()
code = torch.where(wins, 3 * x + y, 3 * y + x).view(seeds, size)
arm = torch.cartesian_prod(torch.arange(3), torch.arange(3)).repeat(seeds, 1)


# %%
def pg(values):
    def loss(batch, law):
        earned = (batch.scores - b * batch.logratio()).detach()
        base = (law.exp() * values(law)).sum(-1, keepdim=True).detach()
        return -((earned - base) * batch.logps()).sum(-1)

    return loss


lines = {"copg": lambda q, p: C[0](q, C[1]), "ipo": lambda q, p: I[0](q, I[1])}
lines |= {"pg, 0": pg(lambda p: 0 * p), "pg, E[R]": pg(lambda p: R)}
lines["pg, E[R_β]"] = pg(lambda p: R - b * (p - flat))
fixed = (flat[arm][..., None], arm[..., None] >= 0, R[arm], flat[arm])
logits = torch.zeros(len(lines), seeds, 3).double().requires_grad_()
optimizer, path = torch.optim.Adam([logits], lr=1e-3), [logits.detach() + 0]

# %%
for _ in range(epochs):
    for rows in torch.randperm(size, generator=g).split(512):
        came = torch.nn.functional.one_hot(code[:, rows], 9).double().mean(1)
        ps = logits.log_softmax(-1).repeat_interleave(9, 1)
        qs = [ListLogps(p.gather(1, arm)[..., None], *fixed) for p in ps]
        costs = [lines[k](q, p) for k, q, p in zip(lines, qs, ps, strict=True)]
        optimizer.zero_grad()
        (torch.stack(costs) @ came.flatten()).sum().backward()
        optimizer.step()
    path.append(logits.detach() + 0)

# %%
walk = b * solutions.kl(torch.stack(path).log_softmax(-1), star)
regret = pd.DataFrame(walk[-1].T, columns=list(lines))  # a row a seed
walk, ends = pd.DataFrame(walk.mean(-1), columns=list(lines)), regret.mean()
views.training_curves(
    walk.rename_axis("epoch").reset_index().melt("epoch", value_name="regret"),
    columns={"regret": "regret (reward units)"}, by="variable", x="epoch",
    caption=f"Final regret: CoPG {ends['copg']:.4f}, pg with E[R_β] "
    f"{ends['pg, E[R_β]']:.4f}, pg with E[R] {ends['pg, E[R]']:.4f}, IPO "
    f"{ends['ipo']:.3f}, pg with 0 {ends['pg, 0']:.3f}.",
)  # fmt: skip

# %% [markdown]
# A baseline of 0 is ruinous off policy: what is drawn often is pushed down or
# up for being drawn. IPO is right for its own question, p(y ≻ μ), and so its
# answer depends on who drew. The three low lines have not come to rest: Adam
# at 10⁻³ moves a logit by at most about 10⁻³ a step. Their points of rest
# can be computed: regret 0 for CoPG (exercise 2) and, here, for E[R_β];
# 0.0148 for E[R], which leaves the penalty out of the baseline.
#
# ## Train: longer lists, as many scored responses
#
# A transformer on reviews, all seeds in one stack. Each step reads 32 scored
# responses: 16 lists of 2, 8 of 4 or 4 of 8. pair_logistic, the loss of
# all pairs, is DPO at K = 2.


# %%
near = measure.Tracker(world, ref, gold=world.gold, beta=b)


def train(module, cfg, data, size=32):
    return offline.fit(
        reference.copies(seeds), reference, data, module, cfg, batch_size=size,
        steps=steps, every=steps // 4, measures=(near,), seed=SEED,
    )  # fmt: skip


# %%
curves = pd.concat([
    train(*job, lists[K], 32 // K).metrics.assign(loss=k, K=K, run=f"{k}, {K}")
    for k, job in losses.items() for K in lists
])  # fmt: skip
last = curves[curves.step == steps]
ends = last.pivot(index="seed", columns=["K", "loss"])
gold, far = ends.gold, ends.kl_to_optimum.mean()
grew = gold[8] - gold[2]

# %%
views.sweep(
    last, "K", {"gold": "gold (reward units)"}, "loss", log_x=True,
    caption="Gold gained from K = 2 to K = 8 at as many scored responses: "
    f"infonca {grew.infonca.mean():+.3f}, copg {grew.copg.mean():+.3f}, "
    f"lipo {grew.lipo.mean():+.3f}, list_mle {grew.list_mle.mean():+.3f}, "
    f"pair_logistic {grew.pair_logistic.mean():+.3f}, "
    f"pro {grew.pro.mean():+.3f}.",
)  # fmt: skip

# %% [markdown]
# ## Distance to the exact optimum
#
# InfoNCA and CoPG have one and the same target, π*_β of the scores; the
# other losses only pass it by. Whether a list of 8 is worth more than four
# lists of 2 is in the order of the lines at the right end.

# %%
views.training_curves(
    curves[curves.loss.isin(["infonca", "copg"])], by="run",
    columns={"kl_to_optimum": "KL(π‖π*_β) (nats)"},
    caption=f"At the end InfoNCA is {far[2, 'infonca']:.3f} nats from π*_β "
    f"with K = 2 and {far[8, 'infonca']:.3f} with K = 8, CoPG "
    f"{far[2, 'copg']:.3f} and {far[8, 'copg']:.3f}.",
)  # fmt: skip

# %% [markdown]
# ## Break it: noisy scores, and no anchor
#
# Each score gets Gaussian noise of 1.5 reward units. ADPO changes two things
# against DPO, soft targets and lists; a row for each. (At K = 2 with a hard
# target ADPO is DPO at β = 1/τ.) The last row is a known mistake: the anchor
# left out, softmax(log π/τ). The win mass is what π puts on the best review.

# %%
top, ad = world.gold.argmax(-1), adpo.Config()
loose = namespace(card=adpo.card, loss=adpo.mistakes["2 no anchor"])
tries = {"dpo": (zoo.pair_logistic, zoo.pair_logistic.Config(1 / ad.tau), 2)}
tries |= {"soft pair": (adpo, ad, 2), "soft list": (adpo, ad, 4)}
won, drift = pd.DataFrame(), pd.DataFrame()
for name, (module, cfg, K) in (tries | {"no anchor": (loose, ad, 4)}).items():
    run = train(module, cfg, lists_of(K, 1.5), 32 // K)
    law = measure.response_logps(run.policy, world)[
        :, torch.arange(len(top)), top
    ]
    won[name], drift[name] = law.exp().mean(-1).tolist(), run.last.kl.tolist()
pd.DataFrame({"win mass": won.mean(), "KL(π‖π_ref)": drift.mean()}).round(4)

# %% [markdown]
# **The signature of a missing anchor.** No error and a falling loss; the
# list's target is matched by π itself instead of π/π_ref, so what π_ref
# thought of the four responses is unlearned. Compare the KL column.
#
# ## BRAIn: no variance at the optimum
#
# BRAIn corrects for any q′ and normalises both sides within the list. GDC++
# does not normalise; DPG has no second side. The authors' toy: the posterior
# is N(0, 1), the policy N(1, 1), and eight draws come from N(m, 1). The table
# holds the variance of the gradient for each m; in its last row the policy
# has reached the posterior. **Predict** the zeros of that row.


# %%
def variance(loss, m, seed, at=1.0):
    g = generator(seed, "toy")
    x = m + torch.randn(2000, 8, 1, generator=g, dtype=torch.float64)
    θ = torch.full((2000, 1, 1), at).double().requires_grad_()
    laws = [-((x - centre) ** 2) / 2 for centre in (θ, 0.0, m)]
    batch = ListLogps(*laws[:2], x == x, 0 * x[..., 0], laws[2][..., 0])
    cost = loss(batch, brain.Config(1.0)).sum()
    return torch.autograd.grad(cost, θ)[0].var().item()


# %%
rules = {"brain": brain.loss, "dpg": brain.mistakes["4 no baseline"]}
rules["gdc++"] = brain.mistakes["5 no self-normalisation"]
still = {k: variance(f, 1.0, SEED, at=0.0) for k, f in rules.items()}
noise = {(m / 4, k): [variance(f, m / 4, SEED + s) for s in range(seeds)]
         for m in range(5) for k, f in rules.items()}  # fmt: skip
noise, rest = pd.DataFrame(noise), pd.DataFrame([still], ["π there, m = 1"])
pd.concat([noise.mean().unstack(), rest]).map("{:.2g}".format)

# %% [markdown]
# GDC++ is at rest at the posterior here because its normaliser is known (it
# is 1). In general it is not; BRAIn never needs it.
#
# ## Single scores: who survives bad data?
#
# A share of the responses is drawn evenly from those that score below V(x).
# Scores go through a sigmoid: wBC and R-GOLD need them positive.

# %%
good = world.gold.sigmoid()
V = solutions.expectation(ref, good)
junk = (good < V[:, None]).double().log().softmax(-1)


def scored(share):
    law = ((1 - share) * ref.exp() + share * junk).log()
    t = stacked(Tokens, lambda g: world.draw(law, n, g))
    return ValuedResponses(t, good[t.prompt, t.response], V[t.prompt])


# %%
cloning = zoo.sft, zoo.wbc, zoo.r_gold, zoo.a_lol
bad = pd.concat([
    train(m, m.Config(), scored(share))
    .last.assign(loss=m.card.key, share=share)
    for share in (0.0, 0.4, 0.8) for m in cloning
])  # fmt: skip
end = bad.pivot(index="seed", columns=["share", "loss"], values="gold")
fell = end[0.0] - end[0.8]
fell["rivals"] = fell.drop(columns="a_lol").min(axis=1)

# %%
views.sweep(
    bad, "share", {"gold": "gold (reward units)", "entropy": "entropy (nats)"},
    "loss", x_label="share of random bad responses",
    caption=f"From a share of 0 to 0.8 gold falls by {fell.sft.mean():.2f} "
    f"(sft), {fell.wbc.mean():.2f} (wbc), {fell.r_gold.mean():.2f} (r_gold) "
    f"and {fell.a_lol.mean():.2f} (a_lol).",
)  # fmt: skip

# %% [markdown]
# Two more of this part. **WPO** multiplies DPO's loss of a pair by how likely
# the policy is to write it; any such weight leaves π*_β where it is. **OPPO**
# learns a code for each response and writes from the best code. What can be
# done *before* the loss, to choose pairs or to ask for a score, is exercise 4.
#
# ## Claims


# %%
def claim(statement, key, module, effect, expected, unit):
    return teach.claim(
        key=key, paper=module.card.paper, statement=statement, effect=effect,
        expected=expected, unit=unit, tolerance=0.01, out=OUT or None,
        kind="exact" if isinstance(effect, list) else "seeds",
        setting=f"β = {b}; bandit {epochs} epochs, reviews {steps} steps",
    )  # fmt: skip


made = [claim("InfoNCA = dpo_rw = ADPO = BRAIn, and CoPG ∝ REBEL.", "tree",
    infonca, [*equal.values()], (0, 1e-12), "of the push")]  # fmt: skip

# %%
made += [claim(*row) for row in (
    ("With π at the posterior no sampled gradient of BRAIn varies.",
     "brain-rest", brain, [still["brain"]], (0, 1e-12), "variance"),
    ("Off policy CoPG reaches the optimum of the bandit.",
     "copg-bandit", copg, regret["copg"], (-0.01, 0.01), "reward units"),
    ("IPO on the same pairs rests at a regret of 0.1525.",
     "ipo-bandit", copg, regret["ipo"], (0.13, 0.175), "reward units"),
    ("Policy gradient without a baseline ends worse than it began.",
     "pg-0", copg, regret["pg, 0"] - walk["pg, 0"][0], "positive", "reward"),
    ("With E[R] as its baseline it ends near the optimum (at rest: 0.0148).",
     "pg-value", copg, regret["pg, E[R]"], (0.005, 0.03), "reward units"),
)]  # fmt: skip

# %%
made += [claim(*row) for row in (
    ("With E[R_β] as its baseline it reaches the optimum here (our line).",
     "pg-value-kl", copg, regret["pg, E[R_β]"], (-0.01, 0.01), "reward units"),
    ("LiPO-λ on lists of 8 earns more gold than DPO on pairs.",
     "lipo", lipo, gold[8].lipo - gold[2].pair_logistic, "positive", "gold"),
    ("LiPO-λ gains gold from longer lists.",
     "lipo-length", lipo, grew.lipo, "positive", "reward units, K = 2 to 8"),
    ("LiPO-λ gains more from length than list_mle, which reads no values.",
     "lipo-only", lipo, grew.lipo - grew.list_mle, "positive", "reward units"),
    ("PRO gains gold from longer lists.",
     "pro-length", pro, grew.pro, "positive", "reward units, K = 2 to 8"),
)]  # fmt: skip

# %%
made += [claim(*row) for row in (
    ("With noisy scores soft anchored lists keep more mass on the best.",
     "adpo", adpo, won["soft list"] - won["dpo"], "positive", "probability"),
    ("On policy, far from the posterior, BRAIn varies less than GDC++.",
     "far", brain, noise[1.0]["gdc++"] / noise[1.0].brain, (1, 1e9), "ratio"),
    ("With draws of the posterior BRAIn varies less than DPG.",
     "near", brain, noise[0.0].dpg / noise[0.0].brain, (1, 1e9), "ratio"),
    ("With a share of 0.8 random bad responses A-LoL keeps its gold.",
     "a_lol-keeps", zoo.a_lol, fell.a_lol, (-0.1, 0.1), "reward units"),
    ("NLL, wBC and R-GOLD each lose more than A-LoL.",
     "a_lol", zoo.a_lol, fell.rivals - fell.a_lol, "positive", "reward units"),
)]  # fmt: skip

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write InfoNCA from
# `batch.scores`, `batch.logratio()`, `cfg.alpha` and `cfg.beta`, as
# `my_infonca(batch, cfg)`, and run `teach.check.infonca(my_infonca)`.


# %% tags=["solution"]
def solution(batch, cfg):
    target = (batch.scores.detach() / cfg.alpha).softmax(-1)
    return -(target * (cfg.beta * batch.logratio()).log_softmax(-1)).sum(-1)


checked = teach.check.infonca(solution)
checked

# %% [markdown]
# **2 · On policy CoPG is RLOO** (●●○, 10 minutes). Turn the random lists
# into `Rollouts` whose `old` is the policy itself, and compare the pushes of
# RLOO, summed over each list, with CoPG's. Then compute CoPG's push on each of
# the nine pairs of the bandit at π*.

# %% tags=["solution"]
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.methods.policy_gradient.reinforce import rloo

policy, base, mask = (v.flatten(0, 1) for v in (lot.policy, lot.ref, lot.mask))
policy, cfg = policy.detach().requires_grad_(), rloo.Config(beta=b)
drawn = Rollouts(policy, policy.detach(), base, mask, lot.scores.flatten(), 3)
drawn = replace(drawn, advantages=rloo.advantages(drawn, cfg))
(slope,) = torch.autograd.grad(rloo.loss(drawn, cfg).sum(), policy)
gap = slope.view_as(lot.policy) + pushes(*C, lot)
print("largest difference of the pushes:", f"{gap.abs().max().item():.1g}")
there = pushes(*C, ListLogps(star[arm][..., None], *fixed)).abs().max().item()
made += [claim("At π* CoPG pushes none of the nine pairs of the bandit.",
    "copg-rest", copg, [there], (0, 1e-12), "reward units")]  # fmt: skip

# %% [markdown]
# **3 · REBEL walks down the mirror** (●●●, 15 minutes). Each round draws
# lists from a snapshot π_t and regresses on them; the exact round ends at
# π_t exp(ηr)/Z, and T of them at π_0 exp(Tηr)/Z. Train three rounds at
# η = ½. In the last round, how far does the policy move, and how far from
# the exact step and from the exact path does it end?

# %% tags=["solution"]
import copy

policy, eta, held = reference.copies(seeds), 0.5, rebel.Config(0.5)
for t in range(1, 4):
    old, law = copy.deepcopy(policy), measure.response_logps(policy, world)
    data = Lists.cat([sample_lists(world, law[m], 400 // seeds, 4,
        generator(SEED + m, "round", t)) for m in range(seeds)])  # fmt: skip
    how = {"steps": steps, "batch_size": 8, "seed": SEED}
    policy = offline.fit(policy, old, data, rebel, held, **how).policy
    goals = [solutions.optimal_policy(law, world.gold, 1 / eta)]
    goals += [solutions.optimal_policy(ref, world.gold, 1 / eta / t)]
    new = measure.response_logps(policy, world)
kls = [solutions.kl(new, to.expand_as(new)).mean(-1) for to in (law, *goals)]

# %% tags=["solution"]
print("moved, to the step, to the path:", *(f"{k.mean():.3f}" for k in kls))
whole = solutions.kl(ref, goals[1]).mean()
made += [claim("Three rounds of REBEL follow the path of mirror descent.",
    "rebel", rebel, kls[2] / whole, (0, 0.2), "of KL(π_0‖path)")]  # fmt: skip

# %% [markdown]
# **4 · Choosing the pairs** (●●●, 20 minutes). RSO keeps 8 of 64 candidates
# by rejection towards π*_½ and pairs them; its control keeps 8 at random.
# Both train DPO at γ on as many labels. Reward augmentation tells each pair
# twice, once for the goal of each score: the rejected response is right for
# its own. Its control is DPO on the same pairs, as many steps. What becomes
# of the best quarter of the *rejected* responses? Compare gold as well: a
# goal that few pairs state is hardly learned, and what is not learned does
# not fall.

# %% tags=["solution"]
from workbench.feedback.kinds.pairs import Pairs
from workbench.methods.direct.data import reward_augmented as told
from workbench.methods.direct.data import rso
from workbench.models.goal_conditioned_policy import conditioned
from workbench.worlds.goal_conditioned_world import Goals

stated = Goals(world, [-2.0, -1.0, 0.0, 1.0, 2.0])


def score(pairs):
    return [world.gold_reward(t) for t in (pairs.chosen, pairs.rejected)]


def picked(g, cfg):
    pairs = rso.pairs(sample_lists(world, ref, n // 4, 64, g), cfg, g)
    high, low = map(stated.nearest, score(pairs))
    return pairs[high > low][: n // 4]


# %% tags=["solution"]
paper, every = rso.Config(), rso.Config(beta=1e9)  # every one accepted
draws = [lambda g, c=c: picked(g, c) for c in (paper, every)]
kept, plain = (stacked(Pairs, draw) for draw in draws)
with_rso, dpo_run = (train(rso, paper, data, 16) for data in (kept, plain))
asked = conditioned(reference, world, stated)
parts = [plain[rows] for rows in torch.arange(len(plain)).view(seeds, -1)]
data = Pairs.cat([told.augment(p, *score(p), stated) for p in parts])
goal, how = told.Config(paper.gamma), how | {"batch_size": 16}
aware = offline.fit(asked.copies(seeds), asked, data, told, goal, **how)
law = measure.response_logps(aware.policy, stated)[:, stated.at(-1)]
after = [measure.response_logps(dpo_run.policy, world), law]

# %% tags=["solution"]
fate, gains = [], [solutions.expectation(law, world.gold) for law in after]
for s, p in enumerate(parts):
    at, grade = p.rejected, score(p)[1]
    best = grade > grade.quantile(0.75)
    moved = [(law[s] - ref)[at.prompt, at.response] for law in after]
    fate.append([d[best].mean().item() for d in moved])
fate = pd.DataFrame(fate, columns=["dpo", "told"])
rich = with_rso.last.gold - dpo_run.last.gold
gains = [g.mean(-1).tolist() for g in gains]
fate.assign(gold_dpo=gains[0], gold_told=gains[1]).round(3)

# %% tags=["solution"]
made += [claim(*row) for row in (
    ("At as many labels RSO's pairs give more gold than random ones.",
     "rso", rso, rich, "positive", "reward units"),
    ("DPO lowers the best quarter of the rejected responses.",
     "told-dpo", told, fate.dpo, "negative", "log π/π_ref, nats"),
    ("Asked for a goal that few pairs state, augmented DPO keeps them higher.",
     "told-goal", told, fate.told - fate.dpo, "positive", "nats"),
    ("Asked for that goal it does not lower them at all.",
     "told-keeps", told, fate.told, "positive", "log π/π_ref, nats"),
)]  # fmt: skip

# %% [markdown]
# ## What must hold

# %%
assert all(each.reproduced for each in made if each.kind == "exact")
assert (curves.frontier_gap > -1e-6).all() and (regret > -1e-12).all(axis=None)

# %% [markdown]
# ## References and next
#
# * Chen et al. 2024, *Noise contrastive alignment* (2402.05369): InfoNCA.
# * Flet-Berliac et al. 2024, *Contrastive policy gradient* (2406.19185).
# * Gao et al. 2024, *REBEL* (2404.16767).
# * Liu et al. 2024, *LiPO* (2402.01878); Song et al. 2023, *PRO*
#   (2306.17492).
# * Pandey et al. 2024, *BRAIn* (2402.02479); Wang 2025, *ADPO* (2510.18913).
# * Baheti et al. 2023, *Leftover lunch* (2305.14718).
# * Liu et al. 2023, *RSO* (2309.06657); Zhang et al. 2024, *Reward-augmented
#   data* (2410.08067).
#
# Next: **30 · Policy gradients**, where the policy writes its own responses.
