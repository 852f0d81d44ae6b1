# ---
# jupyter:
#   workbench:
#     title: "21 · The link is the method"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 21 · The link is the method
#
# **The claim in one sentence.** A loss that reads a pair through its margin D
# alone is one curve, and the slope of that curve says where training ends:
# DPO's never reaches 0, so on labels that always agree no β holds it back.
#
# After this lesson you can
#
# * read a pairwise loss as a function of one number and find where it stops;
# * name the weight that each pair gets in the gradient, and say where
#   training goes without it;
# * compute what IPO converges to, for any preferences, cyclic ones too;
# * tell a loss of the margin from one that judges each response by itself.
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
from workbench.catalogue import methods
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import PairLogps, Pairs, sample_pairs

# %%
from workbench.loops import offline
from workbench.measure import exact as measure
from workbench.measure import gradient_weights, implicit_reward
from workbench.measure.gradient_weights import of_grid
from workbench.models import tiny
from workbench.views.loss_curves import links, stops
from workbench.worlds import preference_games, solutions
from workbench.worlds.reviews import Reviews

# %%
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
steps = {"ci": 4, "lecture": 120, "figure": 2000}[PROFILE]
n_pairs = {"ci": 64, "lecture": 500, "figure": 20000}[PROFILE]
strengths, main, tau, eps = (0.1, 0.5, 1.0), 1.0, 0.5, 0.1

zoo, world = methods(), Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The question
#
# In lesson 20 labels were coins: σ(r_a − r_b). Often they are not. A test
# passes or fails; two annotators out of two agree; each pair is labelled
# once, and once is all the loss sees. Then the better response *always* wins.
#
# DPO's β is called the strength of the pull to the reference. **Write down
# two predictions.** You train on such labels with β = 0.1, 0.5 and 1 for a
# very long time: which run ends furthest from the reference? And one of the
# seven losses below pushes a fresh pair the *wrong* way: what does it train?
#
# ## Three data points
#
# A deterministic annotator: p(label) is 1 (equal rewards are a fair coin).

# %%
judge, parts = Annotator(deterministic=True), []
for seed in range(SEED, SEED + seeds):
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, n_pairs, judge, draw))
pairs, rows = Pairs.cat(parts), {}
for i, x in enumerate(pairs.chosen.prompt[:3].tolist()):
    two = int(pairs.chosen.response[i]), int(pairs.rejected.response[i])
    won = judge.probability(*world.gold[x, list(two)]).item()
    rows[world.prompts[x]] = [*map(world.text, two), won]
pd.DataFrame(rows, index=["chosen", "rejected", "p(label)"]).T

# %% [markdown]
# ## The objective, in the symbols of the code
#
# Write d(y) = log π(y)/π_ref(y) and D = d(y_c) − d(y_r), both in nats. A
# method of this lesson is a function `link(D)`. Its gradient has one form,
#
# $$dL = -w \,\bigl(d\log\pi(y_c) - d\log\pi(y_r)\bigr), \qquad
# w = \mathtt{weight}(D) = -\frac{dL}{dD}.$$
#
# Everything a link can choose is w: how hard each pair pushes, and where the
# push ends. DPO has w = β σ(−βD), β times the chance that the implicit reward
# gives the pair the other way round; it is never 0. The hinge has β or
# nothing. IPO has 2(1/(2τ) − D): past its target it pushes *back*.
#
# Why that target? IPO maximises E[p(y ≻ μ)] − τ KL(π‖π_ref), a chance of
# winning against a law μ, which is bounded, in place of a reward, which is
# not. Its maximiser is π*(y) ∝ π_ref(y) exp(p(y ≻ μ)/τ), so
# D* = (p(y_c ≻ μ) − p(y_r ≻ μ))/τ. Draw both responses from μ and let I = 1
# if the first wins, else 0. The regression of (I − ½)/τ = ±1/(2τ) on D has
# D* as its solution. Written with the winner first, that is IPO.

# %%
shown = ("dpo", "hinge", "ipo", "exo_pref")
display(*(teach.show(zoo[key].weight) for key in shown))

# %% [markdown]
# ## Seven links on one picture
#
# Here β = 1, so that βD is D, and τ = ½, so that IPO asks for 1/(2τ) = 1 nat
# as the hinge asks for 1/β. cDPO, rDPO and EXO smooth the label by ε = 0.1.

# %%
shelf = {"dpo": (main,), "ipo": (tau,), "hinge": (main,), "cdpo": (main, eps)}
shelf |= {"exo_pref": (main, eps), "rdpo": (main, eps), "discopop": (main,)}
shelf = {k: (zoo[k], zoo[k].Config(*v)) for k, v in shelf.items()}
D = torch.linspace(-1.26, 1.71, 81).double() ** 3  # dense about 0
curves = {k: of_grid(*each, D, 0.0) for k, each in shelf.items()}
never = [k for k, f in curves.items() if (f.push_chosen > 0).all()]
links(
    pd.concat([f.assign(method=k) for k, f in curves.items()]),
    loss_range=(-0.5, 3),
    push_range=(-1.1, 1.6),
    caption=f"Only {' and '.join(never)} push up at every D of the picture.",
)

# %% [markdown]
# Three families, and a stranger. DPO and rDPO never stop (rDPO's push stays
# above βε/(1 − 2ε)). The hinge stops at once. IPO, cDPO and EXO stop and pull
# back. DiscoPOP, found by a search over programs, pushes a pair at D = 0
# *down*, to its marker, and up only from beyond a hump.
#
# ## Two responses, two curves
#
# Other losses of a pair are no function of D: each response has a push of its
# own. Hold the rejected response at d = −2 and move the chosen one; π_ref
# gives both the same probability. SLiC is a hinge on log π itself, plus λ
# times the SFT loss. APO-zero is −σ(βd(y_c)) + σ(βd(y_r)), up and down.
# APO-down is σ(βd(y_c)) − σ(βD), which means both responses to fall.

# %%
alone = {"dpo": (main,), "slic": (), "apo_zero": (main,), "apo_down": (main,)}
alone = {k: (zoo[k], zoo[k].Config(*v)) for k, v in alone.items()}
curves = {k: of_grid(*each, D - 2, -2.0) for k, each in alone.items()}
half = stops(*curves["apo_down"][["margin", "push_chosen"]].T.values)[0] - 2
lift = [k for k, f in curves.items() if (f.push_chosen > 0).all()]
links(
    pd.concat([f.assign(method=k) for k, f in curves.items()]),
    caption=f"At d(y_r) = −2 apo_down lets d(y_c) fall to {half:.2f}; only "
    f"{', '.join(lift)} push the chosen response up everywhere.",
)

# %% [markdown]
# APO-down's push on the chosen response is β(σ′(βD) − σ′(βd(y_c))), with
# σ′ = σ(1 − σ): 0 where D and d(y_c) are equally far from 0. It lets the
# chosen response follow the rejected one half the way. (The next lesson's
# KTO is APO-zero with a reference point in place of 0.)
#
# ## By hand: one pair that is always won
#
# Two responses, one parameter D. Walk along −dL/dD from D = 0, in steps of
# 0.1 · push, and look in now and then.


# %%
names = {b: ("dpo" if b == main else f"dpo, {b}") for b in strengths}
goals = {b: ("ipo" if b == tau else f"ipo, {b}") for b in strengths}
grid = {names[b]: (zoo["dpo"], zoo["dpo"].Config(b)) for b in strengths}
grid |= {goals[b]: (zoo["ipo"], zoo["ipo"].Config(b)) for b in strengths}
marks, walk = (0, 10, 100, 1000, 5000), {}
for name, (module, cfg) in (shelf | grid).items():
    at, walk[name] = torch.zeros(1).double(), {}
    for step in range(marks[-1] + 1):
        walk[name] |= {f"D after {step}": at.item()} if step in marks else {}
        at = at + 0.1 * module.weight(at, cfg)
walk = pd.DataFrame(walk).T
walk.round(3)

# %% [markdown]
# Each link lands where its push is 0: IPO on 1/(2τ), the hinge at most one
# step past 1/β, cDPO and EXO on the *same* log((1 − ε)/ε)/β, DiscoPOP on the
# wrong side. DPO's D grows like log(steps)/β: in the long run a larger β is
# *slower*, no tighter. In the limit every β gives the same policy, the one
# that never says the loser. rDPO's D grows for ever at a constant rate.
#
# ## Train
#
# Now a decoder on the deterministic pairs: DPO and IPO at three strengths,
# the hinge, cDPO, both APOs, and DiscoPOP at β = 0.1. One more, which is no
# method: the loss −βD. Its weight is β for every pair; what is lost against
# DPO is only σ(−βD). Adam divides by the size of the gradient, so what tells
# the runs apart is the *shape* of a link, hardly its scale. Plain `dpo` and
# `ipo` are β = 1 and τ = ½; along training D is a mean over 200 pairs a seed.

# %%
few = torch.arange(len(pairs)).unflatten(0, (seeds, -1))[:, :200].flatten()
few = pairs[few], pairs[few].reference_logps(reference), 1.0  # β = 1: nats
tracks, policies = [implicit_reward.PairTracker(*few)], {}
tracks += [measure.Tracker(world, ref, gold=world.gold)]


def train(name, module, cfg):
    often = max(1, steps // (8 if name == "discopop" else 4))
    run = offline.fit(
        reference.copies(seeds), reference, pairs, module, cfg, steps=steps,
        batch_size=16, measures=tracks, every=often, seed=SEED,
    )  # fmt: skip
    policies[name] = run.policy
    return run.metrics.assign(run=name)


# %%
flat = method(card=zoo["dpo"].card, loss=lambda b, cfg: -cfg.beta * b.margin())
work = grid | {"w = 1": (flat, zoo["dpo"].Config(main))}
for key in ("hinge", "cdpo", "apo_zero", "apo_down"):
    work[key] = (shelf | alone)[key]
work["discopop"] = zoo["discopop"], zoo["discopop"].Config(0.1)
logs = pd.concat([train(name, *each) for name, each in work.items()])
logs["surprise"] = logs.kl + logs.entropy
last = logs[logs.step == steps].set_index(["run", "seed"])
mean = last.groupby("run").mean(numeric_only=True).T

# %%
units = {
    "kl": "KL(π‖π_ref) (nats)",
    "margin": "mean D (nats)",
    "gold": "gold (reward units)",
    "surprise": "−log π_ref(y), y ~ π (nats)",
    "entropy": "entropy of π (nats)",
    "chosen": "mean d(y_c) (nats)",
    "rejected": "mean d(y_r) (nats)",
}


# %%
def plot(runs, shown, caption):
    how, lines = {k: units[k] for k in shown.split()}, logs.run.isin(runs)
    return views.sweep(logs[lines], "step", how, "run", caption=caption)


plot(
    list(grid),
    "kl margin",
    caption=f"At strength 1 DPO ends {mean['dpo'].kl:.2f} nats from the "
    f"reference, IPO {mean['ipo, 1.0'].kl:.2f}.",
)

# %% [markdown]
# ## Distance to the exact optimum
#
# IPO's target is π*_τ of the "reward" p(y ≻ μ) with μ = π_ref: its KL is
# known before training. DPO's column has no target beside it, for its infimum
# is at D = ∞ for every β: what you see there is how far the optimiser got.

# %%
beats = judge.probability(world.gold[..., None], world.gold[:, None])
win_rate, rows = preference_games.win_rate(beats, ref), {}  # p(y ≻ μ)
for b in strengths:
    star, own = solutions.optimal_policy(ref, win_rate, b), mean[goals[b]]
    gap = solutions.kl(
        measure.response_logps(policies[goals[b]], world), star
    ).mean()
    rows[b] = [solutions.kl(star, ref).mean(), own.kl, gap, mean[names[b]].kl]
shown = ["KL of IPO's π*", "KL of IPO", "KL(π‖π*)", "KL of DPO"]
pd.DataFrame(rows, index=shown, dtype=float).T.round(3)

# %% [markdown]
# (KL itself cannot grow for ever in a world of finitely many reviews: it ends
# at −log π_ref of the best one. D has no such ceiling.)
#
# ## The weights of a real run
#
# After training, ask each loss what it makes of its own training pairs, by
# differentiating it: `pull.of_pairs`. A pair still pushes forward, has
# stopped, or is pulled back.

# %%
known, pushed, rows = pairs.reference_logps(reference), {}, {}
for key in ("dpo", "ipo", "hinge", "cdpo"):
    judged = gradient_weights.of_pairs(
        *shelf[key], policies[key], pairs, known
    )
    pushed[key], push = judged, judged.push_chosen
    rows[key] = [(push > 0).mean(), (push == 0).mean(), (push < 0).mean()]
    rows[key] += [judged.margin.mean(), push.abs().mean()]
shown = ["forward", "stopped", "back", "mean D", "mean |push|"]
pd.DataFrame(rows, index=shown).T.round(3)

# %%
scaled = {k: main * pushed[k].margin for k in ("dpo", "hinge", "cdpo")}
near = {k: (abs(v.abs() - 1) < 0.1).mean() for k, v in scaled.items()}
views.distribution(
    scaled,
    bins=60,
    label="βD of a training pair (reward units)",
    marks={"the hinge's margin": 1.0},
    caption=f"{near['hinge']:.0%} of the hinge's pairs end within 0.1 of "
    f"|βD| = 1, {near['dpo']:.0%} of DPO's.",
)

# %% [markdown]
# ## What the weight is for
#
# With w = 1 a pair that is long won pushes as hard as one that is lost. A
# free policy then walks along π_ref · exp(t · c), where c(y) is the chance
# of y to be chosen minus that to be rejected, and ends on *one* response a
# prompt (exercise 3). Three numbers tell what becomes of the reviews: gold;
# the mean −log π_ref(y) over y ~ π, the *surprise* of the reference (its exp
# is a perplexity); and the entropy of π.

# %%
start = logs[logs.step == 0].mean(numeric_only=True)
loose, tied = mean["w = 1"], mean["dpo"]
plot(
    ("dpo", "w = 1"),
    "gold surprise entropy",
    caption=f"Gold goes from {start.gold:.2f} to {tied.gold:.2f} with DPO and "
    f"to {loose.gold:.2f} with w = 1, surprise from {start.surprise:.2f} to "
    f"{tied.surprise:.2f} and {loose.surprise:.2f} nats, entropy from "
    f"{start.entropy:.2f} to {tied.entropy:.2f} and {loose.entropy:.2f}.",
)

# %% [markdown]
# ## Pushed the wrong way
#
# DiscoPOP's hump is 0.19/β nats wide, two nats at the published β = 0.1. A
# pair must be carried over it by what other pairs do.

# %%
wide, tied = mean["discopop"], mean["dpo, 0.1"]
plot(
    ("discopop", "dpo, 0.1"),
    "margin gold",
    caption=f"DiscoPOP ends at a mean D of {wide.margin:+.2f} nats and gold "
    f"{wide.gold:.2f}, DPO with the same β at {tied.margin:+.2f} and "
    f"{tied.gold:.2f}.",
)

# %% [markdown]
# ## Two responses, each by itself
#
# The next plot averages over the training pairs. "Chosen" is a role in a
# pair: a response that wins here may lose most of its other pairs, and with a
# loss that is linear in σ(βd) the majority of its pairs decides alone.

# %%
rose, fell = mean["apo_zero"].chosen, mean["apo_down"].chosen
plot(
    ("dpo", "apo_zero", "apo_down"),
    "chosen rejected",
    caption=f"d(y_c) ends at {rose:+.2f} nats with apo_zero, {fell:+.2f} with "
    f"apo_down and {mean['dpo'].chosen:+.2f} with dpo.",
)

# %% [markdown]
# ## All runs on one picture

# %%
goal, tilts = world.gold, torch.logspace(1, -2, 41).tolist()
lag = mean.T.frontier_gap
views.points(
    last.reset_index().rename(columns={"run": "method"}),
    solutions.frontier(ref, goal, goal, tilts),
    by=None,
    caption=f"Nearest to the frontier ends {lag.idxmin()}, {lag.min():.2f} "
    f"below it; farthest {lag.idxmax()}, {lag.max():.2f} below.",
)

# %% [markdown]
# ## Break it: the mean form with the sum's τ
#
# The paper's D sums over tokens, and so does `reduce="sum"`; TRL and HALOs
# take the mean. On responses of n tokens D_mean = D_sum/n, so
#
# (D_sum/n − 1/(2τ))² = (D_sum − n/(2τ))²/n²:
#
# the mean form with τ is the sum form with τ/n. Mistake (4) of the docstring
# is the mean form with the τ of a paper that sums.

# %%
wrong = zoo["ipo"].mistakes["4 always a mean over tokens"]
wrong = method(card=zoo["ipo"].card, loss=wrong)
logs = pd.concat([logs, train("mean, same τ", wrong, shelf["ipo"][1])])
after = logs[logs.step == steps].groupby("run").margin.mean()
words = pairs.both.lengths.double().mean().item()
plot(
    ("ipo", "mean, same τ"),
    "margin",
    caption=f"The mean form ends at D = {after['mean, same τ']:.2f} nats, "
    f"the sum at {after['ipo']:.2f}; a response has {words:.1f} tokens.",
)

# %% [markdown]
# **Its signature.** No error, a falling loss, and a policy several times
# further away than τ promises. Compare the *final D* with 1/(2τ): it is the
# one number that gives the convention away.
#
# ## Claims
#
# Does the KL still grow in the second half of training? The effect is the
# share of the final KL that was gained there. Differences are taken seed by
# seed. Of w = 1 the paper says that the model degenerates, and the claims read
# that as lost gold and as text that is strange to π_ref. The entropy above is
# a third reading: one review for all.

# %%
said = {
    "ipo-plateaus": "On deterministic preferences IPO's KL plateaus (τ = ½).",
    "dpo-grows": "On deterministic preferences DPO's KL grows on (β = ½).",
    "dpo-ignores-beta": "DPO's KL hardly depends on β (one infimum for all).",
    "ipo-heeds-tau": "IPO's KL depends on τ: a tenth of τ gives over 3 × KL.",
    "one-pair": "On a pair that is always won IPO ends at D = 1/(2τ), any τ.",
    "hinge-spike": "Under the hinge |βD| has a spike at 1 (fullest 0.2-bin).",
    "hinge-kl": "The hinge's KL stays below DPO's, trained equally long.",
    "exo-cdpo": "cDPO and EXO stop at the same D = log((1 − ε)/ε)/β, any ε.",
    "discopop": "DiscoPOP ends with more gold than DPO (β = 0.1).",
    "wrong-way": "At an eighth of the steps DiscoPOP's mean D is negative.",
}

# %%
said |= {
    "w1-degenerates": "Without the weight gold ends below the reference's.",
    "w1-gold": "Without the weight gold ends below DPO's.",
    "w1-surprise": "Without it samples surprise π_ref more than DPO's do.",
    "apo-zero": "The mean log-ratio of chosen responses rises (APO-zero).",
    "apo-down": "The mean log-ratio of chosen responses falls (APO-down).",
}

# %%
papers = {
    "azar": "Azar et al. 2023 (2310.12036)",
    "rso": "Zhao et al. 2023 (2305.10425), Liu et al. 2023 (2309.06657)",
    "dpo": "Rafailov et al. 2023 (2305.18290), section 4",
    "apo": "D'Oosterlinck et al. 2024 (2408.06266)",
    "exo": "Ji et al. 2024 (2402.00856)",
    "lu": "Lu et al. 2024 (2406.08414)",
    "own": "derived in the docstring of discopop",
}


# %%
def claim(key, paper, effect, expected, unit="nats", **more):
    more = {"setting": f"{n_pairs} sure pairs, {steps} steps, lr 1e-3"} | more
    teach.claim(
        key=key, paper=papers[paper], statement=said[key], effect=effect,
        expected=expected, unit=unit, out=OUT or None, **more,
    )  # fmt: skip


kl, gold, goods = last.kl, last.gold, "reward units"
late = 1 - logs[logs.step == steps // 2].set_index(["run", "seed"]).kl / kl
claim("ipo-plateaus", "azar", late["ipo"], (-0.1, 0.1), "share of KL")
claim("dpo-grows", "azar", late["dpo, 0.5"], (0.1, 1.0), "share of KL")

# %%
ratio, times = kl["dpo, 0.1"] / kl["dpo"], "KL at 0.1 over KL at 1"
claim("dpo-ignores-beta", "azar", ratio, (0.67, 1.5), times)
ratio = kl["ipo, 0.1"] / kl["ipo, 1.0"]
claim("ipo-heeds-tau", "azar", ratio, (3.0, float("inf")), times)
bins = (5 * main * pushed["hinge"].margin.abs()).round() / 5
mode = bins.groupby(pushed["hinge"].seed).agg(lambda values: values.mode()[0])
claim("hinge-spike", "rso", mode, (0.8, 1.2), goods)
claim("hinge-kl", "rso", kl["dpo"] - kl["hinge"], "positive")

# %%
loose = last.loc["w = 1"]
claim("w1-degenerates", "dpo", loose.gold - start.gold, "negative", goods)
claim("w1-gold", "dpo", loose.gold - gold["dpo"], "negative", goods)
claim("w1-surprise", "dpo", loose.surprise - last.surprise["dpo"], "positive")
claim("apo-zero", "apo", last.chosen["apo_zero"], "positive")
claim("apo-down", "apo", last.chosen["apo_down"], "negative")
claim("discopop", "lu", gold["discopop"] - gold["dpo, 0.1"], "positive", goods)
early = logs[(logs.run == "discopop") & (logs.step == max(1, steps // 8))]
claim("wrong-way", "own", early.margin, "negative")

# %%
exactly, push = {"kind": "exact", "expected": "zero", "tolerance": 1e-9}, []
exactly |= {"unit": "", "setting": "no training"}
for noise in (0.001, 0.1, 0.3):
    goal = torch.tensor([1 / noise - 1], dtype=torch.float64).log() / main
    for key in ("cdpo", "exo_pref"):
        push += zoo[key].weight(goal, zoo[key].Config(main, noise)).tolist()
claim("exo-cdpo", "exo", push, **exactly)
ends = [2 * b * walk.iloc[:, -1][goals[b]] - 1 for b in strengths]
claim("one-pair", "azar", ends, **exactly)

# %% [markdown]
# ## Exercises
#
# **1 · The loss from memory** (●○○, 5 minutes). Write IPO from
# `batch.margin(cfg.reduce)` and `cfg.tau`.


# %%
def my_ipo(batch, cfg):
    raise NotImplementedError


teach.check.ipo(my_ipo)


# %% tags=["solution"]
def solution(batch, cfg):
    return (batch.margin(cfg.reduce) - 0.5 / cfg.tau) ** 2


checked = teach.check.ipo(solution)
checked

# %% [markdown]
# **2 · Rock, paper, scissors** (●●○, 15 minutes). With stakes
# `games.biased_rps()` three responses beat each other in a circle. No reward
# explains that, so DPO has no π* to find. IPO has. Take its expected loss
# over all ordered pairs drawn from μ = π_ref = (0.5, 0.3, 0.2) and show that
# π_ref · exp(p(y ≻ μ)/τ) minimises it. (Hint: it is a square in log π.)

# %% tags=["solution"]
P, q = preference_games.biased_rps(), torch.tensor((5, 3, 2)).double() / 10
i, j = torch.cartesian_prod(torch.arange(3), torch.arange(3)).T[..., None]
theory, mask = q.log() + P @ q / tau, torch.ones(9, 1).bool()
free, old = theory.clone().requires_grad_(), q.log()
new = free.log_softmax(-1)
batch = PairLogps(new[i], new[j], old[i], old[j], mask, mask)
losses = zoo["ipo"].loss(batch, shelf["ipo"][1])
(q[i] * q[j] * P[i, j])[:, 0].dot(losses).backward()
circle = {"π_ref = μ": q, "p(y ≻ μ)": P @ q, "π*": theory.softmax(-1)}
circle |= {"gradient there": free.grad}
pd.DataFrame(circle, ["rock", "paper", "scissors"]).round(9)

# %% [markdown]
# **3 · Where w = 1 leads** (●●○, 15 minutes). Give each response a logit of
# its own and let c(y) be the chance to be the chosen one minus the chance to
# be the rejected one of a pair drawn from π_ref. Show that gradient descent
# on −βD visits π ∝ π_ref · exp(t · c). Which response wins as t → ∞, and is
# it the best one?

# %% tags=["solution"]
# dE[−βD]/dlogit(y) = −β(c(y) − π(y) Σ c) = −β c(y), for Σ c = 0: the logits
# grow at a constant rate. The winner is chosen often, so it is frequent.
c = ref.exp() * (2 * win_rate - 1)  # up to a factor of the prompt
for x, prompt in enumerate(world.prompts):
    y, top = int(c[x].argmax()), int(world.gold[x].argmax())
    print(f"{prompt}: {world.text(y)} ({world.gold[x, y]:.2f})", end="; ")
    print(f"the best is {world.text(top)} ({world.gold[x, top]:.2f})")

# %% [markdown]
# **4 · Chosen, and falling** (●●○, 10 minutes). Split the mean d(y_c) of the
# APO-zero run by whether the chosen response wins most of its pairs,
# p(y ≻ μ) > ½. Then say why a mean over pairs hides what the loss does.

# %% tags=["solution"]
x, y = pairs.chosen.prompt, pairs.chosen.response
member = torch.arange(seeds).repeat_interleave(n_pairs)
d = (measure.response_logps(policies["apo_zero"], world) - ref)[member, x, y]
most = win_rate[x, y] > 0.5
print(
    f"wins most pairs: {d[most].mean():+.2f}   others: {d[~most].mean():+.2f}"
)

# %% [markdown]
# ## What must hold
#
# Exact facts, at every size.

# %%
end, pair = walk.iloc[:, -1], pushed["dpo"]
assert free.grad.abs().max() < 1e-12 and checked.passed
assert never == ["dpo", "rdpo"] and abs(half + 1) < 0.01
assert end["discopop"] < 0 and abs(end["cdpo"] - end["exo_pref"]) < 1e-6
assert (pair.push_chosen + pair.push_rejected).abs().max() < 1e-9
assert (last.frontier_gap > -1e-6).all() and last.notna().all(axis=None)

# %% [markdown]
# ## References and next
#
# * Rafailov et al. 2023, *Direct Preference Optimization* (2305.18290),
#   section 4: the gradient and its weight.
# * Azar et al. 2023, *A general theoretical paradigm to understand learning
#   from human preferences* (2310.12036), equation 17.
# * Zhao et al. 2023, *SLiC-HF* (2305.10425), and Liu et al. 2023, *Statistical
#   rejection sampling* (2309.06657): the hinge, without and with a reference.
# * Ji et al. 2024, *EXO* (2402.00856); Lu et al. 2024, *DiscoPOP*
#   (2406.08414); D'Oosterlinck et al. 2024, *APO* (2408.06266).
#
# Next: **22 · Thumbs instead of pairs**, where no response has a partner.
