# ---
# jupyter:
#   workbench:
#     title: "26 · Why both likelihoods fall"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 26 · Why both likelihoods fall
#
# **The claim in one sentence.** DPO's loss reads one difference, so nothing in
# it holds the *chosen* response: at small β its own optimum lowers it, the
# other pairs of the batch lower it through shared parameters, and of the mass
# on responses that no pair mentions the loss says nothing at all.
#
# After this lesson you can
#
# * tell a fall that theory predicts from one that it does not;
# * compute what a step on one pair does to another, and test the cheap
#   stand-in CHES against it;
# * move a large share of a policy's mass without changing its loss;
# * say what DPOP, RPO, χPO and a gentler SFT hold in place.
#
# Run time at `lecture`: a good minute on one core.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from copy import deepcopy
from types import SimpleNamespace as method

import numpy as np
import pandas as pd
import torch

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator

# %%
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.loops import offline
from workbench.measure import chosen_reward, displacement, implicit_reward
from workbench.measure import exact as measure
from workbench.measure import rank_deficiency as rank
from workbench.methods.direct.links import dpo, dpop, hinge, ipo
from workbench.methods.direct.pessimism import chipo, rpo
from workbench.methods.direct.unpaired import implicit_sft as soft
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.models.policy import Policy, TabularPolicy
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

# %%
SIZES = {"ci": (2, 2, 24), "lecture": (SEEDS, 60, 100)}
SIZES["figure"] = (2 * SEEDS, 600, 100)
seeds, steps, n_pairs = SIZES[PROFILE]
world, main = Reviews(3), 0.1
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()
frozen = reference.copies(seeds)  # π_ref, one a seed

# %% [markdown]
# ## The question
#
# You watch a DPO run. The margin grows, as it should. But the log-probability
# of the chosen responses goes *down*, only less than that of the rejected.
# Probabilities sum to one. So where is the mass going?
#
# **Write down three predictions.** (1) You fine-tune on the chosen responses
# first, then run DPO on the same pairs: does that protect the chosen? (2) You
# train on the single pair `good` ≻ `fun`: can `good` lose? (3) A hundred
# pairs name 40 % of what π_ref writes. After DPO, is the share of the rest
# larger or smaller?
#
# ## Three data points
#
# Reviews of π_ref, labelled by a Bradley–Terry annotator.


# %%
def collect(n, name="pairs"):
    drawn = [generator(s, name) for s in range(SEED, SEED + seeds)]
    return [sample_pairs(world, ref, n, Annotator(), each) for each in drawn]


parts = collect(n_pairs)
pairs, each = Pairs.cat(parts), world.text
look = zip(pairs.chosen.response[:3], pairs.rejected.response, strict=False)
pd.DataFrame([(each(int(c)), each(int(l))) for c, l in look],
             world.prompts[:3], ["chosen", "rejected"])  # fmt: skip

# %% [markdown]
# ## The objective, in the symbols of the code
#
# d(y) = log π(y)/π_ref(y) in nats, D = d(y_c) − d(y_r), and DPO's loss is
# `link(D)` with slope −`weight(D)`. A step of size η on pair j changes the
# chosen response of pair i, to first order, by η · weight(D_j) times
#
# $$\langle \nabla\log\pi(y_c^i),\;
#   \nabla\log\pi(y_c^j) - \nabla\log\pi(y_r^j)\rangle .$$
#
# This is `displacement.influence`. For i = j and a **table** (own logits for
# each response) it is 1 − π(y_c) + π(y_r) > 0: a pair alone never displaces
# its own chosen response. With shared parameters it may have any sign.
#
# CHES keeps the part that hidden states h alone can tell, summed over the
# positions that predict the response:
# ⟨Σh(y_c), Σh(y_r)⟩ − ‖Σh(y_c)‖². High scores are to foretell a fall.
#
# **DPOP** pays λ nats of margin for each nat below π_ref, inside the sigmoid.

# %%
teach.show(dpop.loss)

# %% [markdown]
# ## By hand, on four responses
#
# One pair, `dull` ≻ `bad`. Every response has a fixed row of W, and only h is
# trained: log π = log softmax(Wh). The first column of W is the mood, the
# second a shade of it. `dull` and `bad` are close; `good` is far. At h = 0 all
# have π = ¼. The gradient of log π(`dull`) is W_dull − Σ π W, and the pair
# pushes h along W_dull − W_bad. With a table the product is 1 − ¼ + ¼ = 1.

# %%
texts, cfg = ["dull", "bad", "good", "fun"], dpo.Config(beta=1.0)
W = torch.tensor([[-1.0, 0.0], [-1.2, -0.3], [1.0, 0.0], [0.9, 0.1]]).double()
slope, push = W[0] - W.mean(0), W[0] - W[1]
print("W_dull − Σ π W, W_dull − W_bad:", slope.tolist(), push.tolist())
print(f"product {slope @ push:+.3f}; logits gain", (W @ push).tolist())


# %%
def walk(features):
    at, rows = torch.zeros(features.shape[1]).double(), {}
    for step in range(41):
        logps = (features @ at).log_softmax(-1)
        D = logps[0] - logps[1]
        rows[step] = [*logps.exp().tolist(), dpo.link(D, cfg).item()]
        at = at + dpo.weight(D, cfg) * (features[0] - features[1])
    return pd.DataFrame(rows, [*texts, "loss"]).T.iloc[[0, 10, 40]]


shared, table = walk(W), walk(torch.eye(4).double())
pd.concat({"shared h": shared, "table": table}).round(3)

# %% [markdown]
# The loss falls in both. With shared h, "less bad" is understood as "better
# mood", and the mass goes to `good` and `fun`: the *chosen* review loses. With
# a table the chosen one can only win, for nobody else is attached to it.
#
# ## The sign rule: the fall that the objective asks for
#
# Lesson 20: at π*_β the mean implicit reward of the chosen responses is
# E_{p_w}[r] − β log Z, p_w being the law of the chosen. It is negative if and
# only if E_{p_w}[r] < β log Z. No training, no sharing, no small sample.

# %%
rule = chosen_reward.decline(
    ref, world.gold, np.geomspace(0.03, 10, 31).tolist()
)
views.sweep(
    rule.melt(["beta"], ["chosen", "rejected"], "side", "reward"), "beta",
    {"reward": "mean r̂ at π*_β (reward units)"}, by="side", log_x=True,
    x_label="β (reward units per nat)",
    caption="The chosen are below 0 at every β under "
    f"{np.exp(np.interp(0, rule.chosen, np.log(rule.beta))):.2f}; the "
    f"rejected are at most {rule.rejected.max():.2f} at every β.",
)  # fmt: skip

# %% [markdown]
# ## Train: one set of pairs, five starts
#
# How far the chosen can rise depends on where a run *starts*. For every π,
#
# $$E_{p_w}\left[\log\frac{\pi}{\pi_{start}}\right] =
#   KL(p_w\|\pi_{start}) - KL(p_w\|\pi) \;\le\; KL(p_w\|\pi_{start}).$$
#
# A start that does not know the chosen has room above it; a start fitted to
# them has none. The starts: π_ref, which wrote the pairs; a *base*, an
# untrained decoder; SFT on the chosen of each seed, with the usual step size
# and with a fifth of it; and `implicit_sft`, SFT with χ² for its divergence:
# a demonstration pushes with weight 1 − βd/2 in place of 1, so that at β = 1
# it is pulled back once it is 2 nats above π_ref.


# %%
plain, frozen = dpo.Config(beta=main), reference.copies(seeds)
gold = measure.Tracker(world, ref, gold=world.gold, beta=main)


def train(module, cfg, data=pairs, start=frozen, size=16, lr=1e-3, often=5):
    known = data.reference_logps(start)
    looks = [gold, implicit_reward.PairTracker(data, known, 1.0)]
    return offline.fit(
        deepcopy(start), start, data, module, cfg, steps=steps, seed=SEED,
        measures=[*looks, rank.UnseenTracker(world, data)], batch_size=size,
        lr=lr, every=max(1, steps // often))  # fmt: skip


# %%
def tune(module, cfg, lr=1e-3):
    """Train on the chosen response of each pair alone."""
    of_chosen = lambda batch, cfg: module.loss(batch.chosen, cfg)
    learner = method(card=module.card, loss=of_chosen)
    return train(learner, cfg, lr=lr, often=1).policy


last = lambda run: run.metrics[run.metrics.step == steps].set_index("seed")


raw = [tiny.decoder(world.vocab, seed=SEED + s) for s in range(seeds)]
starts = {"π_ref": frozen, "base": Policy.stack(raw)}
starts["SFT"] = tune(sft, sft.Config())
starts["SFT, lr/5"] = tune(sft, sft.Config(), 2e-4)
starts["χ²-SFT"] = tune(soft, soft.Config(beta=1.0))

# %%
runs = {k: train(dpo, plain, start=p) for k, p in starts.items()}
ends = {name: last(run) for name, run in runs.items()}
firsts = {k: r.metrics.head(seeds).set_index("seed") for k, r in runs.items()}

# %% [markdown]
# ## The signature view: three starts, one data set
#
# Log-ratios of the training pairs to each run's *own* start, in nats: what a
# training log shows, without the β.

# %%
shown = [runs[k].metrics.assign(start=k) for k in ("π_ref", "base", "SFT")]
views.training_curves(
    pd.concat(shown), {k: f"log π/π_start, {k} (nats)" for k in
                       ("chosen", "rejected")}, by="start",
    caption=f"The chosen end at {ends['π_ref'].chosen.mean():+.2f} nats from "
    f"π_ref, {ends['base'].chosen.mean():+.2f} from the base and "
    f"{ends['SFT'].chosen.mean():+.2f} from SFT; the rejected at "
    f"{ends['π_ref'].rejected.mean():+.2f}, "
    f"{ends['base'].rejected.mean():+.2f} and "
    f"{ends['SFT'].rejected.mean():+.2f}.",
)  # fmt: skip

# %% [markdown]
# ## One pair alone
#
# The smallest case of the literature: two one-word answers of like meaning,
# `No` ≻ `Never`. Here all ordered pairs of `good`, `bad`, `fun`, `dull` at
# each prompt, each trained *alone* from π_ref: a stack in which every member
# has one pair.

# %%
words = [(x, world.index(a), world.index(b)) for x in range(4)
    for a in world.words[:4] for b in world.words[:4] if a != b]  # fmt: skip
x, a, b = torch.tensor(words).T
lone = Pairs(world.tokens(x, a), world.tokens(x, b), torch.ones(len(x)))
alone = train(dpo, plain, lone, reference.copies(len(x)), size=1)
d, free = alone.metrics.groupby("seed").chosen, reference.member(0)
signs = displacement.first_order(free.requires_grad_(True), lone)
signs["low"], signs["last"] = d.min().to_numpy(), d.last().to_numpy()
signs["pair"] = [f"{each(c)} ≻ {each(l)}" for _, c, l in words]
signs.sort_values("low")[["pair", "chosen", "low", "last"]].head().round(3)

# %% [markdown]
# The five pairs that went lowest. `chosen` is the inner product of the pair
# with itself, `low` and `last` are log π/π_ref of the chosen word in nats: the
# lowest of the few checkpoints (0, the start, is one), and the end. Compare
# them. A dip that the run makes good is Adam on its way, which is one thing;
# a chosen word that *ends* below π_ref is another.
#
# ## A hundred pairs together
#
# Now a step is the *mean* over pairs, and a chosen response moves with what
# is done to others. Three things are known before training: CHES, the edit
# distance of the pair, and the first-order effect of the whole batch.

# %%
policy = runs["π_ref"].policy
moves = displacement.change(policy, pairs, pairs.reference_logps(frozen))
moves["ches"] = displacement.ches(reference, pairs).ches
moves["edits"] = displacement.edit_distance(pairs.chosen, pairs.rejected)
first = [displacement.first_order(free, part).chosen_batch for part in parts]
moves["first"] = -pd.concat(first).to_numpy()
views.displacement(
    moves, {"ches": "CHES (hidden units²)",
            "first": "−first-order effect of the batch (nats/η)"},
    caption=f"{(moves.chosen < 0).mean():.0%} of the chosen responses fall; "
    f"a step of gradient descent lowers {(moves['first'] > 0).mean():.0%}.",
)  # fmt: skip

# %% [markdown]
# **Filter by CHES.** Leave out the half with the highest scores and train as
# long on the rest. The control leaves out a half at random.

# %%
low = torch.tensor(moves.ches).view(seeds, -1).argsort(-1)[:, : n_pairs // 2]
mild = [part[rows] for part, rows in zip(parts, low, strict=True)]
ends["low CHES"] = last(train(dpo, plain, Pairs.cat(mild)))
some = Pairs.cat([part[: n_pairs // 2] for part in parts])
ends["random half"] = last(train(dpo, plain, some))

# %% [markdown]
# ## What no pair mentions
#
# A margin is a difference of log-ratios along a pair. Multiply π on all the
# responses that no pair names by a constant and renormalise the rest: no
# margin moves. Take a trained policy, and a twin with a tenth of that mass.

# %%
zoo = {m.card.key: (m, m.Config(main)) for m in (dpo, ipo, hinge, dpop, chipo)}
zoo["rpo"] = rpo, rpo.Config(main, 0.2, reduce="mean", times_beta=False)
law, mine = measure.response_logps(policy, world)[0], parts[0]
laws = [law, rank.rescaled(law, ~rank.seen(mine, world), 0.1)]
rows, known = torch.arange(n_pairs), mine.reference_logps(reference)
one, two = (mine.batch(TabularPolicy(world, q), rows, known) for q in laws)
gap = {k: (m.loss(one, cfg) - m.loss(two, cfg)).abs().max().item()
       for k, (m, cfg) in zoo.items()}  # fmt: skip
pd.DataFrame(gap, ["largest change of a pair's loss"])

# %% [markdown]
# DPO, IPO and the hinge cannot tell the two policies apart. The others fix
# where *one* response stands: RPO by its likelihood, χPO by u = π/π_ref
# itself, DPOP where a chosen response is below π_ref.
#
# Which of its equals DPO reaches is then up to the optimiser. Follow the mass
# along training, and at equal margins.

# %%
rivals = {k: train(*zoo[k]) for k in ("rpo", "dpop", "chipo")}
rivals = {"dpo": runs["π_ref"]} | rivals
final = {k: last(run) for k, run in rivals.items()}
views.unseen_mass(
    pd.concat([run.metrics.assign(method=k) for k, run in rivals.items()]),
    against=("margin", "mean D (nats)"), start=firsts["π_ref"].unseen.mean(),
    caption=f"From {firsts['π_ref'].unseen.mean():.3f} the unseen mass goes "
    f"to {final['dpo'].unseen.mean():.3f} with DPO, "
    f"{final['rpo'].unseen.mean():.3f} with RPO, "
    f"{final['dpop'].unseen.mean():.3f} with DPOP, "
    f"{final['chipo'].unseen.mean():.3f} with χPO.",
)  # fmt: skip

# %% [markdown]
# ## An anchor for close pairs
#
# DPOP was made for pairs that differ in *one* word. So: as many pairs at one
# edit as at three or more.

# %%
sets, keys = {"1": [], "3+": []}, ("dpo", "dpop")
for pool in collect(30 * n_pairs, "pool"):
    e = torch.tensor(displacement.edit_distance(pool.chosen, pool.rejected))
    sets["1"] += [pool[(e == 1).nonzero()[:n_pairs, 0]]]
    sets["3+"] += [pool[(e >= 3).nonzero()[:n_pairs, 0]]]
anchored = {(key, edits): train(*zoo[key], Pairs.cat(some))
            for key in keys for edits, some in sets.items()}  # fmt: skip

# %%
d_c = pd.DataFrame({k: last(run).chosen for k, run in anchored.items()})
views.bars(
    d_c.melt(ignore_index=False, var_name=["method", "edits"]).reset_index(),
    "edits", "value", by="method", label="log π/π_ref, chosen (nats)",
    caption="DPOP minus DPO: "
    f"{(d_c.dpop - d_c.dpo)['1'].mean():+.2f} nats at one edit, "
    f"{(d_c.dpop - d_c.dpo)['3+'].mean():+.2f} at three or more.",
)  # fmt: skip

# %% [markdown]
# ## Break it: the wrong side of zero is punished
#
# Mistake (4) of DPOP's docstring: max(0, d_c) for max(0, −d_c). One sign.

# %%
wrong = method(card=dpop.card, loss=dpop.mistakes["4 gains punished"])
broken = train(wrong, zoo["dpop"][1], Pairs.cat(sets["1"]))
views.training_curves(
    broken.metrics, {k: f"log π/π_ref, {k} (nats)" for k in
                     ("chosen", "rejected")},
    caption=f"At one edit the chosen end at {last(broken).chosen.mean():+.2f} "
    f"nats with the wrong sign and at {d_c.dpop['1'].mean():+.2f} with the "
    f"right one, the margins at {last(broken).margin.mean():.2f} and "
    f"{last(anchored['dpop', '1']).margin.mean():.2f}.",
)  # fmt: skip

# %% [markdown]
# **Its signature.** Both curves fall, from the start. A chosen response that
# rises is fined λ-fold and one that falls is not, so the loss can be lowered
# by what DPOP exists to prevent. The curve of the *chosen* shows the sign.
#
# ## Distance to the exact optimum, and a gentler SFT
#
# All runs on the hundred pairs (`π_ref` and `dpo` are the same one): the KL
# before DPO and after, KL(π‖π*_β), gold, and gold below the frontier.

# %%
ended = pd.DataFrame({k: f.mean() for k, f in (ends | final).items()}).T
ended["before"] = pd.Series({k: f.kl.mean() for k, f in firsts.items()})
ended[["before", "kl", "kl_to_optimum", "gold", "frontier_gap"]].round(2)

# %% [markdown]
# ## Claims

# %%
said = {
    "R": "Rafailov et al. 2024 (2406.02900)",
    "U": "Razin et al. 2024 (2410.08847)",
    "L": "Liu et al. 2024 (2405.16436)",
    "P": "Pal et al. 2024 (2402.13228)",
    "W": "Wang et al. 2025 (2507.00018)",
    "O": "ours",
    "sign-rule": "R At π*_β the chosen's mean r̂ is E_{p_w}[r] − β log Z.",
    "base-rises": "R DPO from a base that knows no such text: chosen rise.",
    "sft-falls": "R DPO from SFT on the chosen: the chosen fall.",
    "own-falls": "R DPO from the π_ref that wrote the pairs: chosen fall.",
}

# %%
said |= {
    "margin": "R The margin rises from every start (the smallest).",
    "one-pair": "U 48 one-word pairs, each alone: one is low at a checkpoint.",
    "one-pair-end": "U 48 one-word pairs, each alone: one is low at the end.",
    "ches": "U The higher its CHES, the further a chosen response falls.",
    "ches-edits": "U CHES foretells the fall better than edit distance.",
    "first": "O The batch's first-order effect foretells the fall.",
    "filter-chosen": "U Low CHES keeps more of the chosen than a random half.",
    "filter-gold": "U Low CHES ends at more gold than a random half.",
    "same-loss": "R Unseen mass × 0.1: no loss changes (DPO, IPO, hinge).",
    "other-loss": "O It changes a loss of RPO, of DPOP, of χPO.",
}

# %%
said |= {
    "unseen": "R DPO ends with more unseen mass than π_ref has.",
    "rpo-unseen": "O At equal margin DPO has more of it than RPO.",
    "chipo-unseen": "O At equal margin DPO has more of it than χPO.",
    "rpo": "L RPO (η = 0.2, average) keeps the chosen from falling.",
    "dpop-near": "P At one edit DPO lowers the chosen.",
    "dpop-holds": "P At one edit DPOP does not.",
    "dpop-far": "P At three edits DPOP differs from DPO less than at one.",
    "sft-lr": "W A fifth of SFT's step size leaves more gold after DPO.",
    "chi-kl": "W χ²-SFT (β = 1) moves less from π_ref than SFT does.",
    "chi-gold": "W χ²-SFT (β = 1) leaves more gold after DPO than SFT does.",
}


# %%
def claim(key, effect, expected="positive", unit="nats", **more):
    teach.claim(
        key=key, paper=said[said[key][0]], statement=said[key][2:],
        effect=list(effect), expected=expected, unit=unit, out=OUT or None,
        setting=f"{n_pairs} BT pairs or as said, {steps} steps, β = {main}",
        **more)  # fmt: skip


# %%
zero = {"expected": "zero", "kind": "exact", "tolerance": 1e-9}
tracked = chosen_reward.DeclineTracker
best = [solutions.optimal_policy(ref, world.gold, b) for b in rule.beta]
stars = [tracked(world, ref, world.gold, b)(star).chosen[0]
         for b, star in zip(rule.beta, best, strict=True)]  # fmt: skip
claim("sign-rule", rule.chosen - stars, unit="reward units", **zero)
claim("base-rises", ends["base"].chosen)
claim("sft-falls", ends["SFT"].chosen, "negative")
claim("own-falls", ends["π_ref"].chosen, "negative")
claim("margin", np.min([ends[k].margin for k in starts], axis=0))
claim("one-pair", [signs.low.min()], "negative", kind="exact")
claim("one-pair-end", [signs["last"].min()], "negative", kind="exact")

# %%
corr = -moves.groupby("seed").corr("spearman").chosen.unstack()
claim("ches", corr.ches, unit="correlation")
claim("ches-edits", corr.ches - corr.edits, unit="correlation")
claim("first", corr["first"], unit="correlation")
kept = ends["low CHES"] - ends["random half"]
claim("filter-chosen", kept.chosen)
claim("filter-gold", kept.gold, unit="reward units")
claim("same-loss", [gap[k] for k in ("dpo", "ipo", "hinge")], **zero)
claim("other-loss", [gap[k] for k in ("rpo", "dpop", "chipo")], kind="exact")
claim("unseen", final["dpo"].unseen - firsts["π_ref"].unseen, unit="share")

# %%
for key in ("rpo", "chipo"):
    level = np.minimum(final["dpo"].margin, final[key].margin)
    at = [[np.interp(level[s], f.margin, f.unseen) for s, f in
        rivals[k].metrics.groupby("seed")] for k in ("dpo", key)]  # fmt: skip
    claim(f"{key}-unseen", np.subtract(*at), unit="share")
claim("rpo", final["rpo"].chosen)
claim("dpop-near", d_c.dpo["1"], "negative")
claim("dpop-holds", d_c.dpop["1"], (-0.05, float("inf")))
claim("dpop-far", (d_c.dpop - d_c.dpo) @ [1, -1])
claim("chi-kl", firsts["SFT"].kl - firsts["χ²-SFT"].kl)
for key, name in {"sft-lr": "SFT, lr/5", "chi-gold": "χ²-SFT"}.items():
    claim(key, ends[name].gold - ends["SFT"].gold, unit="reward units")

# %% [markdown]
# ## Exercises
#
# **1 · DPOP from memory** (●○○, 5 minutes). `batch.margin()`,
# `batch.chosen.logratio()`, `cfg.lam`, `cfg.beta`. The check names the
# mistake it sees.


# %%
def my_dpop(batch, cfg):
    raise NotImplementedError


teach.check.dpop(my_dpop)


# %% tags=["solution"]
def solution(batch, cfg):
    lost = (-batch.chosen.logratio()).relu()  # slope 0 at 0
    inside = cfg.beta * (batch.margin() - cfg.lam * lost)
    return torch.nn.functional.softplus(-inside)


checked = teach.check.dpop(solution)
checked

# %% [markdown]
# **2 · The ceiling** (●●○, 15 minutes). Compute KL(p_w‖π_start) for all
# five starts (`decline.pair_laws`, `measure.law`, `exact.kl`), and check the
# identity at the end of each run. Which start has the most room, and does a
# run use it?

# %% tags=["solution"]
p_w, room = chosen_reward.pair_laws(ref, world.gold)[0], {}
for name, start in starts.items():
    old, new = (
        measure.response_logps(p, world) for p in (start, runs[name].policy)
    )
    kl = [solutions.kl(p_w.expand_as(q), q).mean().item() for q in (old, new)]
    rise = (p_w.exp() * (new - old)).sum(-1).mean().item()
    assert abs(rise - (kl[0] - kl[1])) < 1e-9
    room[name] = {"ceiling": kl[0], "rise": rise}
pd.DataFrame(room).T.round(3)

# %% [markdown]
# **3 · What this hour leaves out** (●●●, an hour). Replace PEARSON by
# SQUARED_HELLINGER (weight 1/(1 + βd)²) in `tune`; sweep RPO's η over 0.01,
# 0.05, 0.2, 1; put NCA, which reads each log-ratio by itself, among the
# rivals; score pairs by `ches_mean`. Write your prediction for each first.
#
# ## What must hold
#
# Identities and exact facts hold at every size.

# %%
assert (rule.rejected < 0).all() and (signs.chosen > signs.rejected).all()
assert gap["dpo"] < 1e-9 < gap["rpo"] and shared["dull"][40] < 0.25
assert all(abs(f.chosen).max() < 1e-5 for f in firsts.values())  # own start
assert (ended.frontier_gap > -1e-6).all() and checked.passed

# %% [markdown]
# ## References and next
#
# * Rafailov et al. 2024, *Scaling laws for reward model overoptimization in
#   direct alignment algorithms* (2406.02900), section 3.5, proposition 1.
# * Razin et al. 2024, *Unintentional unalignment: likelihood displacement in
#   direct preference optimization* (2410.08847): CHES.
# * Pal et al. 2024, *Smaug: fixing failure modes of preference optimisation
#   with DPO-Positive* (2402.13228); Liu et al. 2024 (2405.16436): RPO.
# * Wang et al. 2025, *Implicit reward as the bridge* (2507.00018). Its
#   equations were not at hand: the χ² loss here is derived, not copied.
#
# Next: **27 · Overoptimisation**: what the mass that left is worth.
