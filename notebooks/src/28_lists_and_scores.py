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
from workbench.core.batches import ListLogps, PairLogps
from workbench.core.seeds import generator
from workbench.feedback.lists import Lists, sample_lists

# %%
from workbench.feedback.pairs import Pairs
from workbench.feedback.scored import ValuedResponses
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.methods.offline import a_lol, adpo, brain, copg, dpo, dpo_rw
from workbench.methods.offline import infonca, ipo, lipo, list_mle, pro
from workbench.methods.offline import pair_logistic, r_gold, rebel
from workbench.methods.offline import reward_augmented as told
from workbench.methods.offline import rso, wbc
from workbench.methods.supervised import sft
from workbench.models import goals, tiny

# %%
from workbench.worlds import exact
from workbench.worlds.goals import Goals
from workbench.worlds.reviews import Reviews

seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 2, "lecture": 40, "figure": 400}[PROFILE]
epochs = {"ci": 1, "lecture": 100, "figure": 100}[PROFILE]  # of the bandit
b, n = 0.5, 32 * max(4, steps)  # β everywhere; scored responses a seed
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


def lists_of(K, **noise):
    how = (world, ref, n // K, K)
    return stacked(Lists, lambda g: sample_lists(*how, g, **noise))


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
hand |= {"R_β − mean of others": 4 / 3 * (R_β - R_β.mean())}
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
pd.DataFrame(felt, index=texts).T.assign(sum=lambda f: f.sum(axis=1)).round(3)

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
score = torch.tensor([[1.0, 0.0]] * 8).double()
won = ListLogps(*(v[:, :2] for v in (lot.policy, lot.ref, lot.mask)), score, score)
quarter = replace(won, scores=score / 2 - 0.25)

# %%
D, I = (paired(dpo.loss), dpo.Config(b)), (paired(ipo.loss), ipo.Config(b))
N, C, L = (infonca.loss, nca), (copg.loss, regress), lipo.Config(b, "scores")
Δ = (1 / torch.tensor([2.0, 3.0]).double().log()).diff().abs().item()
tree = {
    "infonca = dpo_rw": (lot, *N, dpo_rw.loss, dpo_rw.Config(1.0, b), 1),
    "infonca = adpo": (lot, *N, adpo.loss, adpo.Config(1.0, b), 1),
    "infonca = brain": (lot, *N, brain.loss, brain.Config(b), 1),
    "infonca (2, hard) = dpo": (won, N[0], infonca.Config(b, 1e-3), *D, 1),
    "lipo (2) = Δ dpo": (won, lipo.loss, L, *D, Δ),
    "copg (±1/4) = β/2 ipo": (quarter, *C, *I, b / 2),
    "rebel = 2β(K−1) copg": (lot, rebel.loss, rebel.Config(1 / b), *C, 4 * b),
}

# %%
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
even, size = (R * 0).log_softmax(-1), 10_000 if epochs > 1 else 512
star = exact.optimal_policy(even, R, b)
draws = torch.tensor([[0.1, 0.2, 0.7], [0.05, 0.05, 0.9]]).double()
x, y = (torch.multinomial(m, seeds * size, True, generator=g) for m in draws)
wins = torch.rand(len(x), generator=g) < (R[x] - R[y]).sigmoid()
code = torch.where(wins, 3 * x + y, 3 * y + x).view(seeds, size)  # winner first


def worth(law):
    return exact.expectation(law, R) - b * exact.kl(law, even)


# %%
def pg(values):
    def loss(batch, law):
        earned = (batch.scores - b * batch.logratio()).detach()
        base = (law.exp() * values(law)).sum(-1, keepdim=True).detach()
        return -((earned - base) * batch.logps()).sum(-1)

    return loss


half = copg.mistakes["2 stop-gradient on the half"]
lines = {k: lambda batch, _, f=f, c=c: f(batch, c) for k, (f, c) in
         {"copg": C, "ipo": I, "copg, broken": (half, regress)}.items()}  # fmt: skip
lines |= {"pg, 0": pg(lambda law: 0 * law), "pg, E[R]": pg(lambda law: R)}
lines |= {"pg, E[R_β]": pg(lambda law: R - b * (law - even))}

# %% [markdown]
# A batch is summed up by how often each of the nine ordered pairs came. (The
# line "copg, broken" belongs to a later section.)

# %%
arm = torch.cartesian_prod(torch.arange(3), torch.arange(3)).repeat(seeds, 1)
who = torch.arange(seeds).repeat_interleave(9)
fixed = (even[arm][..., None], arm[..., None] >= 0, R[arm], even[arm])
logits = torch.zeros(len(lines), seeds, 3).double().requires_grad_()
optimizer, path = torch.optim.Adam([logits], lr=1e-3), [logits.detach().clone()]

# %%
for _ in range(epochs):
    for rows in torch.randperm(size, generator=g).split(512):
        came = torch.nn.functional.one_hot(code[:, rows], 9).double().mean(1)
        total = 0.0
        for law, loss in zip(logits, lines.values(), strict=True):
            law = law.log_softmax(-1)[who]
            batch = ListLogps(law.gather(1, arm)[..., None], *fixed)
            total = total + came.flatten() @ loss(batch, law)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    path.append(logits.detach().clone())

# %%
ends = dict(zip(lines, path[-1].log_softmax(-1), strict=True))
regret = {k: worth(star) - worth(law) for k, law in ends.items()}
walk = worth(star) - worth(torch.stack(path).log_softmax(-1)).mean(-1)
walk = pd.DataFrame(walk, columns=list(lines)).drop(columns="copg, broken")
views.training_curves(
    walk.rename_axis("epoch").reset_index().melt("epoch"), x="epoch",
    columns={"value": "regret J(π*) − J(π) (reward units)"}, by="variable",
    caption=f"Final regret: CoPG {regret['copg'].mean():.4f}, pg with E[R_β] "
    f"{regret['pg, E[R_β]'].mean():.4f}, pg with E[R] "
    f"{regret['pg, E[R]'].mean():.4f}, IPO {regret['ipo'].mean():.3f}, pg "
    f"with 0 {regret['pg, 0'].mean():.3f}.",
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
gain = {k: (gold[f"{k}, 8"] - gold[f"{k}, 2"]).mean() for k in list(losses)[:5]}
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
# ## Noisy scores: soft, anchored, listwise
#
# Each score gets Gaussian noise of 1.5 reward units. ADPO changes three
# things against DPO: soft targets, lists, an anchor. A row for each. (At
# K = 2 with a hard target ADPO is DPO at β = 1/τ.) The win mass is what π
# puts on the best review of a prompt.

# %%
noisy, ad = {K: lists_of(K, noise=1.5) for K in (2, 4)}, adpo.Config()
loose = method(card=adpo.card, loss=adpo.mistakes["2 no anchor"])
tries = {"dpo": (pair_logistic, pair_logistic.Config(1 / ad.tau), 2)}
tries |= {"soft pair": (adpo, ad, 2), "list": (adpo, ad, 4)}
tries |= {"list, no anchor": (loose, ad, 4)}
best, mass = torch.nn.functional.one_hot(world.gold.argmax(-1), ref.shape[1]), {}
for name, (module, cfg, K) in tries.items():
    law = measure.law(train(module, cfg, noisy[K], 32 // K).policy, world)
    mass[name] = (law.exp() * best).sum(-1).mean(-1)
pd.DataFrame({k: v.tolist() for k, v in mass.items()}).T.round(4)

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
rows = [(k, m / 4, s, variance(rules[k], m / 4, SEED + s))
        for k in rules for m in range(5) for s in range(seeds)]  # fmt: skip
toy = pd.DataFrame(rows, columns=["estimator", "m", "seed", "variance"])
noise = toy.pivot(index=["seed", "m"], columns="estimator", values="variance")
near, away = noise.xs(0.0, level="m"), noise.xs(1.0, level="m")
still = {k: variance(f, 1.0, SEED, at=0.0) for k, f in rules.items()}

# %%
views.sweep(
    toy, "m", {"variance": "variance of the gradient"}, "estimator",
    x_label="mean m of the proposal (posterior 0, policy 1)", log_y=True,
    caption=f"At m = 1 the variances are {away.brain.mean():.2f} (BRAIn), "
    f"{away['gdc++'].mean():.2f} and {away.dpg.mean():.2f} (DPG); at m = 0 "
    f"{near.brain.mean():.2f}, {near['gdc++'].mean():.2f} and "
    f"{near.dpg.mean():.2f}. With the policy at the posterior and m = 1: "
    f"{still['brain']:.1g}, {still['gdc++']:.1g} and {still['dpg']:.2f}.",
)  # fmt: skip

# %% [markdown]
# GDC++ is at rest at the posterior here because its normaliser is known (it
# is 1). In the exact world it is not; BRAIn never needs it.
#
# ## REBEL: rounds of regression are mirror descent
#
# Each round regresses on lists drawn from its own snapshot π_t. The exact
# step is π_t exp(ηr)/Z, with η = ½; after three rounds π_0 exp(3ηr)/Z.

# %%
policy, rows, goal = reference.copies(seeds), [], ref
for t in range(3):
    old, law = copy.deepcopy(policy), measure.law(policy, world)
    data = Lists.cat([sample_lists(world, law[m], 2000 // seeds // 4, 4,
        generator(SEED + m, "round", t)) for m in range(seeds)])  # fmt: skip
    policy = offline.fit(policy, old, data, rebel, rebel.Config(eta=0.5),
        steps=steps, batch_size=8, seed=SEED).policy  # fmt: skip
    new, goal = measure.law(policy, world), goal + 0.5 * world.gold
    pair = law, exact.optimal_policy(law, world.gold, 2.0), goal.log_softmax(-1)
    kls = [exact.kl(new, to).mean(-1).tolist() for to in pair]
    rows += [(t + 1, *kl) for kl in zip(range(seeds), *kls, strict=True)]

# %%
names = ["round", "seed", "snapshot", "exact step", "mirror path"]
rounds = pd.DataFrame(rows, columns=names).melt(["round", "seed"], var_name="to")
end = rounds[rounds["round"] == 3].groupby("to").value.mean()
views.sweep(
    rounds, "round", {"value": "KL(π‖·) (nats)"}, "to",
    caption=f"In round 3 the policy moves {end['snapshot']:.2f} nats, ends "
    f"{end['exact step']:.2f} nats from the exact step and "
    f"{end['mirror path']:.2f} from the exact path.",
)

# %% [markdown]
# ## Single scores: who survives bad data?
#
# A share of the responses is replaced by random ones that score below V(x).
# Scores go through a sigmoid: wBC and R-GOLD need them positive.

# %%
good = world.gold.sigmoid()
V = exact.expectation(ref, good)
junk = (good < V[:, None]).double().log().log_softmax(-1)


def mixed(share, g):
    bad = int(share * n)
    parts = [world.draw(ref, n - bad, g), world.draw(junk, bad, g)]
    return ValuedResponses.cat([
        ValuedResponses(t, good[t.prompt, t.response], V[t.prompt]) for t in parts
    ])  # fmt: skip


# %%
frames = []
for share in (0.0, 0.4, 0.8):
    data = stacked(ValuedResponses, lambda g, share=share: mixed(share, g))
    for m in (sft, wbc, r_gold, a_lol):
        run = train(m, m.Config(), data)
        frames.append(run.last.assign(loss=m.card.key, share=share))
junked = pd.concat(frames).set_index(["loss", "share"])
fell = {k: junked.gold[k, 0.0].to_numpy() - junked.gold[k, 0.8].to_numpy()
        for k in ("sft", "wbc", "r_gold", "a_lol")}  # fmt: skip
views.sweep(
    junked.reset_index(), "share", {"gold": "gold (reward units)",
    "entropy": "entropy (nats)"}, "loss", x_label="share of random bad data",
    caption="Gold lost from no bad data to a share of 0.8: "
    + ", ".join(f"{k} {v.mean():.2f}" for k, v in fell.items()) + ".",
)  # fmt: skip

# %% [markdown]
# ## Choosing the data: RSO and reward-augmented pairs
#
# RSO keeps 8 of 64 candidates by rejection towards π*_β, then pairs them.
# Its control keeps 8 at random. Both train DPO at γ on as many labels.
#
# Reward augmentation tells each pair twice, once for the goal of each score:
# the rejected response is right for its own. Its control is the same plain
# run. What happens to *rejected responses of high quality*?

# %%
stated = Goals(world, [-2.0, -1.0, 0.0, 1.0, 2.0])
asked = goals.conditioned(reference, world, stated)


def picked(g, cfg):
    pairs = rso.pairs(sample_lists(world, ref, n // 4, 64, g), cfg, g)
    high, low = (world.gold_reward(t) for t in (pairs.chosen, pairs.rejected))
    return pairs[stated.nearest(high) > stated.nearest(low)][: n // 4]


def twice(pairs):
    sides = [world.gold_reward(t) for t in (pairs.chosen, pairs.rejected)]
    return told.augment(pairs, *sides, stated)


# %%
plain, kept = rso.Config(beta=1e9), rso.Config()
sets = {k: stacked(Pairs, lambda g, c=c: picked(g, c)) for k, c in
        {"plain": plain, "rso": kept}.items()}  # fmt: skip
runs = {k: train(rso, kept, pairs, 16) for k, pairs in sets.items()}
each = torch.arange(len(sets["plain"])).view(seeds, -1)
double = Pairs.cat([twice(sets["plain"][rows]) for rows in each])
aware = train(told, told.Config(kept.gamma), double, 16, asked, False).policy
laws = {"dpo": measure.law(runs["plain"].policy, world)}
laws["reward_augmented"] = measure.law(aware, stated)[:, stated.at(-1)]
