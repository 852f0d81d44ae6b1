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
from dataclasses import replace
from types import SimpleNamespace as method

import pandas as pd
import torch
from IPython.display import display

from workbench import teach, views
from workbench.core.batches import ListLogps, PairLogps
from workbench.core.seeds import generator
from workbench.feedback.lists import Lists, sample_lists

# %%
from workbench.feedback.pairs import Pairs
from workbench.feedback.scored import ValuedResponses
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.methods.offline import a_lol, adpo, brain, copg, dpo, dpo_rw
from workbench.methods.offline import infonca, ipo, lipo, list_mle, pro, rso
from workbench.methods.offline import pair_logistic, r_gold, rebel, wbc
from workbench.methods.offline import reward_augmented as told
from workbench.methods.supervised import sft
from workbench.models import goals, tiny

# %%
from workbench.worlds import exact
from workbench.worlds.goals import Goals
from workbench.worlds.reviews import Reviews

seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 40, "figure": 400}[PROFILE]
epochs = {"ci": 1, "lecture": 100, "figure": 100}[PROFILE]  # of the bandit
b, n = 0.5, 32 * steps  # β everywhere; scored responses a seed
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

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
    each = range(SEED, SEED + seeds)
    return kind.cat([draw(generator(seed, "draw")) for seed in each])


def lists_of(K, noise=0.0):
    how, more = (world, ref, n // K, K), {"noise": noise}
    return stacked(Lists, lambda g: sample_lists(*how, g, **more))


lists = {K: lists_of(K) for K in (2, 4, 8)}
said = [world.text(int(y)) for y in lists[8].tokens.response[:3]]
some = {"score": lists[8].scores[0, :3], "log q′": lists[8].proposal[0, :3]}
pd.DataFrame(some, index=said).round(3)

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
r, start = world.gold[0, four], ref[0, four].log_softmax(-1)
d = torch.tensor([0.9, -0.4, 0.3, -0.2]).double()
now = (start + d)[None, :, None]
one = ListLogps(now, start[None, :, None], now < 0, r[None], start[None])
p, q, R_β = (r / b).softmax(-1), d.softmax(-1), r - b * d
hand = {"r": r, "d": d, "p": p, "q": q, "p − q": p - q, "R_β": R_β}
hand["R_β − mean of others"] = 4 / 3 * (R_β - R_β.mean())
pd.DataFrame(hand, index=texts).round(3)


# %%
def pushes(loss, cfg, batch):
    live = batch.policy.detach().requires_grad_()
    value = loss(replace(batch, policy=live), cfg).sum()
    return -torch.autograd.grad(value, live)[0]


nca, regress = infonca.Config(1.0, b), copg.Config(b)  # both end at π*_β
losses = {"lipo": (lipo, lipo.Config(b)), "pro": (pro, pro.Config())}
losses |= {"list_mle": (list_mle, list_mle.Config(b))}
losses |= {"infonca": (infonca, nca), "copg": (copg, regress)}
felt = {k: pushes(m.loss, c, one).flatten() for k, (m, c) in losses.items()}
pd.DataFrame(felt, index=texts).T.round(3)

# %% [markdown]
# Rows "infonca" and "copg" are the columns p − q and R_β − mean above. All
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
def paired(loss):
    def of_lists(batch, cfg):
        tokens = (batch.policy, batch.ref, batch.mask)
        return loss(PairLogps(*(v[:, i] for v in tokens for i in (0, 1))), cfg)

    return of_lists


lot = ListLogps.example(generator(SEED, "tree"))
lot = replace(lot, proposal=(lot.ref * lot.mask).sum(-1))  # q′ = π_ref
two, won = (v[:, :2] for v in (lot.policy, lot.ref, lot.mask)), [[1.0, 0.0]]
won = torch.tensor(won * len(lot.policy)).double()
won = ListLogps(*two, won, won)

# %%
D, I = (paired(dpo.loss), dpo.Config(b)), (paired(ipo.loss), ipo.Config(b))
N, C, L = (infonca.loss, nca), (copg.loss, regress), lipo.Config(b, "scores")
Δ = (1 / torch.tensor([2.0, 3.0]).double().log()).diff().abs().item()
even = replace(won, scores=won.scores / 2 - 0.25)  # ±1/4
tree = {
    "infonca = dpo_rw": (lot, *N, dpo_rw.loss, dpo_rw.Config(1.0, b), 1),
    "infonca = adpo": (lot, *N, adpo.loss, adpo.Config(1.0, b), 1),
    "infonca = brain": (lot, *N, brain.loss, brain.Config(b), 1),
    "infonca (2, hard) = dpo": (won, N[0], infonca.Config(b, 1e-3), *D, 1),
    "lipo (2) = Δ dpo": (won, lipo.loss, L, *D, Δ),
    "copg (±1/4) = β/2 ipo": (even, *C, *I, b / 2),
}

# %%
tree["rebel = 2β(K−1) copg"] = lot, rebel.loss, rebel.Config(1 / b), *C, 4 * b
equal = {}
for name, (batch, left, cfg, right, theirs, factor) in tree.items():
    mine, other = pushes(left, cfg, batch), pushes(right, theirs, batch)
    off = (mine - factor * other).abs().max() / mine.abs().max()
    equal[name] = {"factor": factor, "relative difference": off.item()}
pd.DataFrame(equal).T.map("{:.3g}".format)

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
# E_π[R_β]?

# %%
R, g = torch.tensor([2.5, 2.0, 1.0]).double(), generator(SEED, "bandit")
flat, size = (R * 0).log_softmax(-1), 10_000 if epochs > 1 else 512
star = exact.optimal_policy(flat, R, b)
laws = torch.tensor([[0.1, 0.2, 0.7], [0.05, 0.05, 0.9]]).double()
x, y = (torch.multinomial(m, seeds * size, True, generator=g) for m in laws)
wins = torch.rand(len(x), generator=g) < (R[x] - R[y]).sigmoid()
code = torch.where(wins, 3 * x + y, 3 * y + x).view(seeds, size)


# %%
def pg(values):
    def loss(batch, law):
        earned = (batch.scores - b * batch.logratio()).detach()
        base = (law.exp() * values(law)).sum(-1, keepdim=True).detach()
        return -((earned - base) * batch.logps()).sum(-1)

    return loss


lines = {"copg": lambda batch, law: copg.loss(batch, regress)}
lines["ipo"] = lambda batch, law: I[0](batch, I[1])
lines |= {"pg, 0": pg(lambda law: 0 * law), "pg, E[R]": pg(lambda law: R)}
lines["pg, E[R_β]"] = pg(lambda law: R - b * (law - flat))

# %% [markdown]
# A batch is summed up by how often each of the nine ordered pairs, winner
# first, came in it.

# %%
arm = torch.cartesian_prod(torch.arange(3), torch.arange(3)).repeat(seeds, 1)
who = torch.arange(seeds).repeat_interleave(9)
fixed = (flat[arm][..., None], arm[..., None] >= 0, R[arm], flat[arm])
logits = torch.zeros(len(lines), seeds, 3).double().requires_grad_()
optimizer, path = torch.optim.Adam([logits], lr=1e-3), [logits.detach().clone()]

# %%
for _ in range(epochs):
    for rows in torch.randperm(size, generator=g).split(512):
        came = torch.nn.functional.one_hot(code[:, rows], 9).double().mean(1)
        loss = 0.0
        for law, line in zip(logits, lines.values(), strict=True):
            law = law.log_softmax(-1)[who]
            batch = ListLogps(law.gather(1, arm)[..., None], *fixed)
            loss = loss + came.flatten() @ line(batch, law)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path.append(logits.detach().clone())

# %% [markdown]
# The regret J(π*) − J(π) of J = E[R] − β KL(π‖π_ref) is β KL(π‖π*).

# %%
walk = b * exact.kl(torch.stack(path).log_softmax(-1), star)
regret = dict(zip(lines, walk[-1], strict=True))
ends = {k: v.mean().item() for k, v in regret.items()}
walk = pd.DataFrame(walk.mean(-1), columns=list(lines))
views.training_curves(
    walk.rename_axis("epoch").reset_index().melt("epoch"), x="epoch",
    columns={"value": "regret J(π*) − J(π) (reward units)"}, by="variable",
    caption=f"Final regret: CoPG {ends['copg']:.4f}, pg with E[R_β] "
    f"{ends['pg, E[R_β]']:.4f}, pg with E[R] {ends['pg, E[R]']:.4f}, IPO "
    f"{ends['ipo']:.3f}, pg with 0 {ends['pg, 0']:.3f}.",
)  # fmt: skip

# %% [markdown]
# A baseline that is harmless on policy moves the fixed point off policy;
# with the penalty inside it happens to find it again *here*. IPO is right
# for its own question, p(y ≻ μ), and so its answer depends on who drew.
#
# ## Train: longer lists, as many scored responses
#
# A transformer on reviews, all seeds in one stack. Each step reads 32 scored
# responses: 16 lists of 2, 8 of 4 or 4 of 8. "dpo" is the logistic loss on
# lists of 2.


# %%
def train(module, cfg, data, size=32, model=reference, near=True):
    track = measure.Tracker(world, ref, gold=world.gold, beta=b)
    return offline.fit(
        model.copies(seeds), model, data, module, cfg, steps=steps, seed=SEED,
        batch_size=size, measures=near * (track,), every=max(1, steps // 4),
    )  # fmt: skip


losses["dpo"] = (pair_logistic, pair_logistic.Config(b))
frames = []
for name, (module, cfg) in losses.items():
    for K in lists if name != "dpo" else (2,):
        run = train(module, cfg, lists[K], 32 // K)
        frames.append(run.metrics.assign(loss=name, K=K, run=f"{name}, {K}"))

# %%
curves = pd.concat(frames)
last = curves[curves.step == steps].set_index("run")
gold = {run: last.gold[run].to_numpy() for run in last.index.unique()}
gain = {k: (gold[f"{k}, 8"] - gold[f"{k}, 2"]).mean() for k in felt}
views.sweep(
    last[last.loss != "dpo"], "K", {"gold": "gold (reward units)"}, "loss",
    exact=gold["dpo, 2"].mean(), exact_label="dpo, K = 2", log_x=True,
    x_label="responses a list, K",
    caption="Gold gained from K = 2 to K = 8 at as many scored responses: "
    + ", ".join(f"{k} {v:+.3f}" for k, v in gain.items()) + ".",
)  # fmt: skip

# %% [markdown]
# ## Distance to the exact optimum
#
# InfoNCA and CoPG have one and the same target, π*_β of the scores; the
# other losses only pass it by.

# %%
pick = curves[curves.loss.isin(["infonca", "copg"]) & (curves.K != 4)]
far = last.kl_to_optimum.groupby("run").mean()
views.training_curves(
    pick, {"kl_to_optimum": "KL(π‖π*_β) (nats)"}, by="run",
    caption=f"At the end InfoNCA is {far['infonca, 2']:.2f} nats from π*_β "
    f"with K = 2 and {far['infonca, 8']:.2f} with K = 8, CoPG "
    f"{far['copg, 2']:.2f} and {far['copg, 8']:.2f}.",
)  # fmt: skip

# %% [markdown]
# ## Break it: noisy scores, and no anchor
#
# Each score gets Gaussian noise of 1.5 reward units. ADPO changes two things
# against DPO, soft targets and lists; a row for each. (At K = 2 with a hard
# target ADPO is DPO at β = 1/τ.) The last row is a known mistake: the anchor
# left out, softmax(log π/τ). The win mass is what π puts on the best review.

# %%
top, mass, ad = world.gold.argmax(-1), {}, adpo.Config()
loose = method(card=adpo.card, loss=adpo.mistakes["2 no anchor"])
tries = {"dpo": (pair_logistic, pair_logistic.Config(1 / ad.tau), 2)}
tries |= {"soft pair": (adpo, ad, 2), "soft list": (adpo, ad, 4)}
for name, (m, cfg, K) in (tries | {"no anchor": (loose, ad, 4)}).items():
    run = train(m, cfg, lists_of(K, 1.5), 32 // K)
    won = measure.law(run.policy, world)[:, torch.arange(len(top)), top].exp()
    mass[name] = run.last.assign(win_mass=won.mean(-1))
noisy = pd.concat(mass, names=["loss"])[["win_mass", "gold", "kl"]]
noisy.groupby("loss", sort=False).mean().round(4)

# %% [markdown]
# **The signature of a missing anchor.** No error and a falling loss; the
# list's target is matched by π itself instead of π/π_ref, so what π_ref
# thought of the four responses is unlearned. Compare the KL column.

# %% [markdown]
# ## BRAIn: no variance at the optimum
#
# BRAIn corrects for any q′ and normalises both sides within the list. GDC++
# does not normalise; DPG has no second side. The authors' toy: the posterior
# is N(0, 1), the policy N(1, 1), and eight draws come from N(m, 1).


# %%
def variance(loss, m, seed, at=1.0):
    g = generator(seed, "toy")
    x = m + torch.randn(2000, 8, 1, generator=g, dtype=torch.float64)
    θ = torch.full((2000, 1, 1), at).double().requires_grad_()
    laws = [-((x - centre) ** 2) / 2 for centre in (θ, 0.0, m)]
    batch = ListLogps(*laws[:2], x == x, 0 * x[..., 0], laws[2][..., 0])
    value = loss(batch, brain.Config(1.0)).sum()
    return torch.autograd.grad(value, θ)[0].var().item()


# %%
rules = {"brain": brain.loss, "gdc++": brain.mistakes["5 no self-normalisation"]}
rules["dpg"] = brain.mistakes["4 no baseline"]
still = {k: variance(f, 1.0, SEED, at=0.0) for k, f in rules.items()}
rows = [(k, m / 4, s, variance(rules[k], m / 4, SEED + s))
        for k in rules for m in range(5) for s in range(seeds)]  # fmt: skip
toy = pd.DataFrame(rows, columns=["estimator", "m", "seed", "variance"])
noise = toy.pivot(index=["m", "seed"], columns="estimator", values="variance")
lo, hi = noise.loc[0.0].mean(), noise.loc[1.0].mean()

# %%
views.sweep(
    toy, "m", {"variance": "variance of the gradient"}, "estimator",
    x_label="mean m of the proposal (posterior 0, policy 1)", log_y=True,
    caption=f"At m = 1 the variances are {hi.brain:.2f} (BRAIn), "
    f"{hi['gdc++']:.2f} (GDC++) and {hi.dpg:.2f} (DPG); at m = 0 "
    f"{lo.brain:.2f}, {lo['gdc++']:.2f} and {lo.dpg:.2f}. With the policy at "
    f"the posterior and m = 1: {still['brain']:.1g}, {still['gdc++']:.1g} "
    f"and {still['dpg']:.2f}.",
)  # fmt: skip

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
V = exact.expectation(ref, good)
junk = (good < V[:, None]).double()
junk = junk / junk.sum(-1, keepdim=True)


def scored(share, g):
    t = world.draw(((1 - share) * ref.exp() + share * junk).log(), n, g)
    return ValuedResponses(t, good[t.prompt, t.response], V[t.prompt])


# %%
frames, shares = [], (0.0, 0.4, 0.8)
for share in shares:
    data = stacked(ValuedResponses, lambda g, share=share: scored(share, g))
    for m in (sft, wbc, r_gold, a_lol):
        run = train(m, m.Config(), data)
        frames.append(run.last.assign(loss=m.card.key, share=share))
bad = pd.concat(frames)
end = bad.pivot(index="seed", columns=["loss", "share"], values="gold")
fell = end.xs(0.0, axis=1, level=1) - end.xs(0.8, axis=1, level=1)

# %%
views.sweep(
    bad, "share", {"gold": "gold (reward units)", "entropy": "entropy (nats)"},
    "loss", x_label="share of random bad responses",
    caption="Gold lost from a share of 0 to a share of 0.8: "
    + ", ".join(f"{k} {v:.2f}" for k, v in fell.mean().items()) + ".",
)  # fmt: skip

# %% [markdown]
# ## Choosing the pairs: RSO and reward-augmented data
#
# RSO keeps 8 of 64 candidates by rejection towards π*_½ and pairs them; its
# control keeps 8 at random. Both train DPO at γ on as many labels.
#
# Reward augmentation tells each pair twice, once for the goal of each score:
# the rejected response is right for its own. **Predict** what becomes of
# *rejected responses of high quality*, under DPO and under this at the
# highest goal.

# %%
stated = Goals(world, [-2.0, -1.0, 0.0, 1.0, 2.0])
asked = goals.conditioned(reference, world, stated)
how = {"rso": rso.Config(), "dpo": rso.Config(beta=1e9)}  # all accepted


def score(pairs):
    return [world.gold_reward(t) for t in (pairs.chosen, pairs.rejected)]


def picked(g, cfg):
    pairs = rso.pairs(sample_lists(world, ref, n // 4, 64, g), cfg, g)
    high, low = map(stated.nearest, score(pairs))
    return pairs[high > low][: n // 4]


# %%
sets = {k: stacked(Pairs, lambda g, c=c: picked(g, c)) for k, c in how.items()}
pair = {k: train(rso, how["rso"], pairs, 16) for k, pairs in sets.items()}
ours = [sets["dpo"][rows] for rows in torch.arange(n // 4 * seeds).view(seeds, -1)]
data = Pairs.cat([told.augment(p, *score(p), stated) for p in ours])
run = train(told, told.Config(rso.Config().gamma), data, 16, asked, False)
after = {"dpo": measure.law(pair["dpo"].policy, world)}
after["reward_augmented"] = measure.law(run.policy, stated)[:, stated.at(-1)]

# %%
rows = []
for name, law in after.items():
    for s, p in enumerate(ours):
        x, y = p.rejected.prompt, p.rejected.response
        moved = (law[s] - ref)[x, y]
        part = pd.qcut(pd.Series(score(p)[1]).rank(method="first"), 4, labels=False)
        rows += zip([name] * len(x), [s] * len(x), part + 1, moved.tolist())
fate = pd.DataFrame(rows, columns=["loss", "seed", "quarter", "d"])
fate = fate.groupby(["loss", "seed", "quarter"]).d.mean()
best = fate.xs(4, level="quarter").unstack("loss")
views.bars(
    fate.reset_index(), "quarter", "d", by="loss", label="log π/π_ref (nats)",
    caption=f"The best quarter of the rejected responses moves by "
    f"{best.dpo.mean():+.2f} nats under DPO and by "
    f"{best.reward_augmented.mean():+.2f} at the highest goal.",
)  # fmt: skip

# %% [markdown]
# Two more methods of this part. **WPO** multiplies DPO's loss of a pair by
# how likely the policy is to write it; any such weight leaves π*_β where it
# is. **OPPO** learns a code of each response and writes from the best code.
#
# ## Claims
#
# A row: key, card, statement; effect and expected range.


# %%
def claim(module, key, statement, effect, expected, kind="seeds", tiny=0.01):
    return teach.claim(
        key=key, paper=module.card.paper, statement=statement, effect=effect,
        expected=expected, kind=kind, tolerance=tiny, out=OUT or None,
        setting=f"reviews, β = {b}, {steps} steps of 32 scored responses"
        if kind == "seeds" else "exact",
    )  # fmt: skip
