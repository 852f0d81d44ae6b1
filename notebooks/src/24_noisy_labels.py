# ---
# jupyter:
#   workbench:
#     title: "24 · Noisy labels"
#     part: offline
#     path: elective
#     needs: ["01", "20"]
#     minutes: 90
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 24 · Noisy labels: what does a flipped label do, and what undoes it?
#
# **The idea in one sentence.** If labels are flipped with probability
# $\varepsilon$, what a pair says is multiplied by $1 - 2\varepsilon$; DPO
# keeps this factor, cDPO multiplies by it once more, and rDPO divides it out.
#
# After this lesson you can
#
# * compute where each of the three losses ends if the flip rate is known;
# * say what happens if the loss is told a wrong flip rate;
# * explain why a loss that is right on average can still be far from right;
# * recognise a loss without a minimum by its curve.
#
# *Needs*: lessons 01 (the exact optimum) and 20 (DPO, direct preference
# optimisation). About 90 minutes. Unknown words stand in the
# [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.lesson import *
from workbench.measure import gradient_weights, implicit_accuracy
from workbench.methods.direct.links import dpo, ipo
from workbench.methods.direct.noise import cdpo, rdpo
from workbench.views.instruments import noise_explorer
from workbench.worlds import flipped_labels

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 80, 600),
    pairs=(48, 1000, 4800),
)
rates, true_rate, beta = (0.0, 0.2, 0.4), 0.2, 1.0
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %% [markdown]
# ## The question
#
# One label in five was recorded the wrong way round. Nobody knows which ones,
# but somebody knows that it is one in five. Two losses use this number.
# *Conservative* DPO (cDPO) trusts each label only to $1 - \varepsilon$.
# *Robust* DPO (rDPO) subtracts what a flip would have added. (rDPO has
# nothing to do with R-DPO, the *regularised* DPO of lesson 25, which puts a
# price on length.)
#
# Write your predictions into `mine` before you go on.

# %%
display(
    teach.predict(
        "24-1",
        "Two labels in five are flipped, and cDPO and rDPO are told so. "
        "Which of the three ends with the most gold reward?",
        ["DPO", "cDPO", "rDPO"],
    ),
    teach.predict(
        "24-2",
        "cDPO is told the true flip rate. Are the differences between the "
        "implicit rewards at its minimum larger or smaller than DPO's?",
        ["larger", "smaller"],
    ),
)
views.pipeline(here="preferences")

# %% [markdown]
# ## Three data points
#
# An annotator prefers $a$ to $b$ with probability
# $p(a \succ b) = \sigma(r_a - r_b)$, where $r$ is the gold reward. Afterwards
# each label is flipped if a second coin says so. A flipped label looks like
# any other: only because we tossed the coin ourselves do we know the last
# column.


# %%
def flip(pairs, wrong):
    swapped = Pairs(pairs.rejected, pairs.chosen, pairs.weight)
    return Pairs.cat([pairs[~wrong], swapped[wrong]])


clean, coins, data = [], [], {rate: [] for rate in rates}
for seed in range(SEED, SEED + size.seeds):
    draw, coin = generator(seed, "pairs"), generator(seed, "flips")
    clean.append(sample_pairs(world, ref, size.pairs, Annotator(), draw))
    coins.append(torch.rand(size.pairs, generator=coin))
    for rate in rates:
        data[rate].append(flip(clean[-1], coins[-1] < rate))

# %%
given, wrong, rows = clean[0], coins[0] < true_rate, []
start = int(wrong.nonzero()[0])
for i in range(start, start + 3):
    both = int(given.chosen.response[i]), int(given.rejected.response[i])
    won, lost = world.text(both[0]), world.text(both[1])
    recorded = f"{lost} ≻ {won}" if wrong[i] else f"{won} ≻ {lost}"
    rows.append((f"{won} ≻ {lost}", recorded, bool(wrong[i])))
pd.DataFrame(rows, columns=["annotator says", "recorded label", "flipped?"])

# %% [markdown]
# ## The objective, step by step
#
# 1. A flip turns the probability $p$ into
#    $\tilde p = (1-\varepsilon)\,p + \varepsilon\,(1-p)$. Subtract one half:
#    $\tilde p - \frac12 = (1 - 2\varepsilon)(p - \frac12)$.
# 2. Let $M = \beta D$ be the margin of DPO and $\ell(M) = -\log\sigma(M)$
#    its loss. The mean over labels, $\tilde p\,\ell(M) +
#    (1 - \tilde p)\,\ell(-M)$, is least where $\sigma(M) = \tilde p$: DPO
#    fits the probability that it sees.
# 3. **cDPO**, told $\hat\varepsilon$, mixes both labels:
#    $(1-\hat\varepsilon)\,\ell(M) + \hat\varepsilon\,\ell(-M)$. In the mean
#    this is one more flip: another factor $1 - 2\hat\varepsilon$.
# 4. **rDPO** asks for a loss $L$ whose mean over flips is the clean one:
#    $(1-\varepsilon)\,L(M) + \varepsilon\,L(-M) = \ell(M)$. Write the same
#    equation for $-M$ and solve the two:
#    $L(M) = \frac{(1-\varepsilon)\,\ell(M) - \varepsilon\,\ell(-M)}
#    {1-2\varepsilon}$.
# 5. Told $\hat\varepsilon$, the factor of $\ell(M)$ in its mean is
#    $\frac{\tilde p - \hat\varepsilon}{1 - 2\hat\varepsilon}$. Subtract one
#    half: $(\tilde p - \frac12)/(1 - 2\hat\varepsilon)$.
#
# All three in one table:
#
# | loss | it fits $\frac12$ plus $(p - \frac12)$ times … |
# |---|---|
# | DPO | $1 - 2\varepsilon$ |
# | cDPO, told $\hat\varepsilon$ | $(1-2\hat\varepsilon)(1-2\varepsilon)$ |
# | rDPO, told $\hat\varepsilon$ | $(1-2\varepsilon)/(1-2\hat\varepsilon)$ |
#
# cDPO is DPO on labels that were flipped *twice*. rDPO, told the truth, is
# DPO on clean labels. One sign and one factor make the difference:

# %%
display(teach.show(cdpo.link), teach.show(rdpo.link))

# %% [markdown]
# ## By hand, on four pairs
#
# One label in five is flipped, and both losses are told so. *Kept* is the
# factor of the table above. A pair alone comes to rest where $M$ is the
# log-odds of the probability that the loss fits. The library's `weight`,
# $-dL/dD$, must agree: there the pushes of both labels cancel.

# %%
texts = ["very good", "good", "dull"]
three = torch.tensor([world.index(text) for text in texts])
q, r = ref[0, three].softmax(-1), world.gold[0, three].double()
p = torch.cat([(r[[0, 1, 0]] - r[[1, 2, 2]]).sigmoid(), torch.tensor([0.99])])
t = 1 - 2 * true_rate
kept = {"dpo": t, "cdpo": t * t, "rdpo": t / t}
losses = {"dpo": dpo, "cdpo": cdpo, "rdpo": rdpo}
told = {"dpo": dpo.Config(beta), "cdpo": cdpo.Config(beta, true_rate)}
told["rdpo"] = rdpo.Config(beta, true_rate)

# %%
seen = 0.5 + t * (p - 0.5)
hand = {name: (0.5 + kept[name] * (p - 0.5)).logit() for name in losses}
balances = []
for name, M in hand.items():
    up, down = (losses[name].weight(m, told[name]) for m in (M, -M))
    balances.append(seen * up - (1 - seen) * down)
assert torch.allclose(torch.stack(balances), torch.zeros(3, 4).double())
table = {"p": p, "seen": seen, "clean labels": p.logit(), **hand}
table["dpo / 0.6"] = hand["dpo"] / t
order = ["very good ≻ good", "good ≻ dull", "very good ≻ dull", "a clear case"]
pd.DataFrame({k: v.tolist() for k, v in table.items()}, order).round(3)

# %% [markdown]
# The columns after *seen* are margins $M$ at rest. Two things to see.
#
# **A smaller $\beta$ is no cure.** DPO with $\beta(1-2\varepsilon)$ in
# place of $\beta$ divides the margins of DPO by 0.6 (last column). For close
# pairs this is nearly the margin of clean labels, for log-odds are nearly
# proportional to $p - \frac12$ there. For a clear winner it is far too
# small: a few flips take most of large log-odds away, and no factor brings
# them back.
#
# **One policy for all pairs.** On clean labels the margins of the first two
# pairs add up to that of the third. Those of DPO and cDPO do not, so the
# policy settles between them: where the mean push on each response is zero.
#
# Below the table of these policies, move the true flip rate and the rate that
# cDPO and rDPO are told. When does rDPO pass the dashed line? Is there a
# rate at which cDPO comes nearer to it than DPO?

# %%
shown = {"π_ref": q.log(), "π*": solutions.optimal_policy(q.log(), r, beta)}
for name, factor in kept.items():
    shown[name] = flipped_labels.dpo_minimiser(q.log(), r, beta, factor)
assert torch.allclose(shown["rdpo"], shown["π*"])
pd.DataFrame({k: v.exp().tolist() for k, v in shown.items()}, texts).T.round(3)

# %%
noise_explorer(q.log(), r, texts, flip=true_rate, assumed=true_rate)

# %% [markdown]
# Told the truth, rDPO ends at $\pi^*$, although it saw flipped labels only.
# DPO stops short of it, and cDPO stops shorter still. Told too much, rDPO
# goes past it.
#
# ## What the pushes look like
#
# The margin on the axis is $D$, at $\beta = 1$. A push above zero drives
# the pair on.

# %%
grid, curves = torch.linspace(-3, 4, 281).double(), []
for name, module in losses.items():
    curve = gradient_weights.of_grid(module, told[name], grid, 0.0)
    curves.append(curve.assign(method=name))
curves = pd.concat(curves)
least = curves.groupby("method").push_chosen.min()
views.links(
    curves,
    caption=f"Told {true_rate}, the push of cDPO falls to {least['cdpo']:.2f},"
    f" below zero; that of rDPO stays above {least['rdpo']:.2f}.",
)

# %% [markdown]
# cDPO pulls back beyond $M = \log\frac{1-\varepsilon}{\varepsilon}$. The
# push of rDPO never falls below
# $\beta\varepsilon/(1-2\varepsilon)$: a pair that is seen with one label
# only is pushed for ever, and its loss goes to $-\infty$.
#
# ## Train
#
# All flip rates and seeds of a loss are one batched model; `epsilon` holds
# one number for each row of the batch. On clean labels, told zero, the three
# losses are one, so this run is made once.
#
# The *slope* is that of $\beta D$ on the difference of gold rewards, over
# pairs drawn from the reference: 1 if implicit rewards are rewards.

# %%
draw = generator(SEED, "ask")
asked = implicit_accuracy.sampled(world, ref, world.gold, 4000, draw)
asked = world, ref, asked, implicit_accuracy.logratio_score(beta)
trackers = [implicit_accuracy.ScoreTracker(*asked)]
trackers += [exact.Tracker(world, ref, gold=world.gold, beta=beta)]
measured = {"measures": trackers, "every": size.steps, "batch_size": 16}


def train(module, cfg, flips):
    stack = Pairs.cat([pairs for rate in flips for pairs in data[rate]])
    policies = reference.copies(len(flips) * size.seeds)
    how = {"steps": size.steps, "seed": SEED} | measured
    ends = offline.fit(policies, reference, stack, module, cfg, **how).last
    return ends.assign(flip=np.repeat(flips, size.seeds))


# %%
flips = rates[1:]
epsilon = torch.tensor(flips).repeat_interleave(16 * size.seeds)
runs = {"dpo": train(dpo, dpo.Config(beta), rates)}
unflipped = runs["dpo"].query("flip == 0")
for name, module in (("cdpo", cdpo), ("rdpo", rdpo)):
    trained = train(module, module.Config(beta, epsilon), flips)
    runs[name] = pd.concat([unflipped, trained])
last = pd.concat([run.assign(method=name) for name, run in runs.items()])
last["seed"] %= size.seeds

# %% [markdown]
# ## Distance to the exact optimum
#
# The dashed curves are the slopes at the minimum of each loss, for infinitely
# many pairs and a policy that can be anything. That of rDPO is 1.

# %%
goals = []
for rate in np.linspace(0, rates[-1], 5):
    for name, flips_left in {"dpo": 1, "cdpo": 2, "rdpo": 0}.items():
        factor = (1 - 2 * rate) ** flips_left
        end = flipped_labels.dpo_minimiser(ref, world.gold, beta, factor)
        slope = implicit_accuracy.of_policy(end, *asked).slope[0]
        goals.append({"flip": rate, "method": name, "slope": slope})
goals = pd.DataFrame(goals)

# %%
units = {"slope": "slope of βD on Δr", "gold": "gold (reward units)"}
units["kl_to_optimum"] = "KL(π‖π*) (nats)"
low, high = (last[last.flip == e].groupby("method").mean() for e in (0, 0.4))
views.sweep(
    last, "flip", units, "method", exact={"slope": goals}, x_label="flip rate",
    caption=f"With {rates[-1]:.0%} of the labels flipped DPO ends at a slope "
    f"of {high.slope['dpo']:.2f}, cDPO at {high.slope['cdpo']:.2f} and rDPO "
    f"at {high.slope['rdpo']:.2f} (clean labels: {low.slope['dpo']:.2f}); "
    f"{high.kl_to_optimum.idxmin()} ends nearest to π*.",
)

# %% [markdown]
# The runs are short: on clean labels, too, the slope has not reached 1. What
# a loss does about flips is read against its own clean run, at the left.
#
# **Right on average is not near.** rDPO multiplies the signal by
# $1/(1-2\varepsilon)$ and the noise of the labels with it. At the highest
# flip rate it has the most gold and still lies furthest from the optimum: see
# the band in the right panel.
#
# **The wrong flip rate.** Nobody knows $\varepsilon$ exactly. Told
# $\hat\varepsilon$, rDPO keeps
# $t = (1-2\varepsilon)/(1-2\hat\varepsilon)$ of the signal. Told too
# little, $t < 1$, and it lies between DPO and clean labels. Told too much,
# $t > 1$, and the "probability" $\frac12 + t(p - \frac12)$ that it fits
# passes 1 for a clear winner: such a pair has no minimum, even with
# infinitely many labels. Study **24a** trains it.
#
# ## Break it: one sign
#
# Mistake (2) of cDPO has a minus before the flipped term. That is the
# numerator of rDPO, and its minimum over infinitely many pairs is right.
# Give both only forty pairs and let them pass many times.

# %%
minus = cdpo.mistakes["2 minus before the flipped term"]
broken = []
for sign, loss in {"plus (cDPO)": cdpo.loss, "minus": minus}.items():
    run = offline.fit(
        reference, reference, [pairs[:40] for pairs in data[true_rate]],
        SimpleNamespace(card=cdpo.card, loss=loss),
        told["cdpo"], steps=2 * size.steps, every=size.steps // 4, seed=SEED,
        measures=trackers[1:], batch_size=16, seeds=size.seeds,
    )
    broken.append(run.metrics.assign(sign=sign))

# %%
plus, minus = (one[-size.seeds:].mean(numeric_only=True) for one in broken)
views.training_curves(
    pd.concat(broken), by="sign", zero=True,
    columns={"loss": "training loss (nats)", "kl": "KL(π‖π_ref) (nats)"},
    caption=f"With a minus the loss ends at {minus.loss:.2f} and the KL "
    f"at {minus.kl:.2f} nats; with the plus at {plus.loss:.2f} and "
    f"{plus.kl:.2f} nats.",
)

# %% [markdown]
# **Its signature.** The loss falls through zero and goes on falling. A
# cross-entropy cannot be negative; the loss of rDPO can, by design. So its
# training loss is no sign of progress: hold it by early stopping or by a
# penalty on the KL.
#
# ## Answers

# %%
gold, ideal = high.gold, goals.groupby("method").slope.last()
display(
    teach.reveal(
        "24-1", {"dpo": "DPO", "cdpo": "cDPO", "rdpo": "rDPO"}[gold.idxmax()],
        f"DPO ends at {gold['dpo']:+.2f}, cDPO at {gold['cdpo']:+.2f} and "
        f"rDPO at {gold['rdpo']:+.2f}. DPO keeps 0.2 of the signal, cDPO "
        "0.04, and rDPO all of it.",
    ),
    teach.reveal(
        "24-2", "smaller" if ideal["cdpo"] < ideal["dpo"] else "larger",
        f"the slope at its minimum is {ideal['cdpo']:.2f} at 40 % flips, "
        f"that of DPO {ideal['dpo']:.2f}: cDPO adds a flip of its own.",
    ),
)

# %% [markdown]
# ## Claims
#
# Effects are taken seed by seed and averaged over the flip rates above zero,
# for this one reference model. "Loses" compares with the clean run.

# %%
judge = partial(
    teach.claim, out=OUT or None, unit="reward units",
    setting=f"{size.pairs} pairs, {size.steps} steps, one reference model",
)
runs = last.set_index(["method", "flip", "seed"]).unstack("method")
noisy, honest = runs.loc[0.1:].groupby("seed").mean(), runs.loc[0.0]
lost = honest.gold - noisy.gold
less = lost[["dpo", "cdpo"]].min(axis=1) - lost.rdpo
judge(
    key="rdpo-loses-less", effect=less, expected="positive",
    paper="Ray Chowdhury et al. 2024 (2403.00409)",
    statement="With flips rDPO loses less gold than DPO and than cDPO.",
    meaning="A known flip rate can be divided out.",
)

# %%
judge(
    key="rdpo-slope", effect=runs.loc[true_rate].slope.rdpo, unit="slope",
    expected=(0.8, 1.2), control=(honest.slope.dpo, "DPO on clean labels"),
    paper="ours", statement="At 20 % flips the slope of rDPO is about 1.",
    meaning="Its implicit rewards are rewards, though labels were flipped.",
)
judge(
    key="cdpo", effect=noisy.gold.cdpo - noisy.gold.dpo, expected="negative",
    paper="ours",
    statement="Told the true flip rate, cDPO ends with less gold than DPO.",
    meaning="Label smoothing is a second flip and no remedy for the first.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("24-1")` gives a hint; a second call gives the next one.
#
# **24-1 · Read the figure** (●○○, 5 minutes). In the figure of the pushes
# cDPO is told 0.2. From which margin $M$ on does it pull a pair back?

# %%
teach.answer("24-1", None)

# %% tags=["solution"]
teach.solution("24-1", np.log(0.8 / 0.2))

# %% [markdown]
# **24-2 · Two flips by hand** (●○○, 5 minutes). A pair wins with $p = 0.9$
# before flips, and $\varepsilon = 0.2$. Which probability does cDPO fit if it
# is told 0.2?

# %%
teach.answer("24-2", None)

# %% tags=["solution"]
teach.solution("24-2", 0.5 + (1 - 2 * 0.2) ** 2 * (0.9 - 0.5))

# %% [markdown]
# **24-3 · Fill a line** (●●○, 10 minutes). Turn DPO into *robust* DPO: replace
# the last line by the loss of step 4.


# %%
def my_robust_dpo(batch, cfg):
    as_recorded = dpo.loss(batch, cfg)
    as_flipped = dpo.link(-batch.margin(), cfg)
    return as_recorded + 0 * as_flipped


teach.check.rdpo(my_robust_dpo)


# %% tags=["solution"]
def robust_dpo(batch, cfg):
    as_recorded = dpo.loss(batch, cfg)
    as_flipped = dpo.link(-batch.margin(), cfg)
    mixed = (1 - cfg.epsilon) * as_recorded - cfg.epsilon * as_flipped
    return mixed / (1 - 2 * cfg.epsilon)


assert teach.check.rdpo(robust_dpo).passed

# %% [markdown]
# **24-4 · Bug hunt** (●●○, 10 minutes). This is meant to be rDPO, and has
# one planted mistake. Find it from step 4: at $\varepsilon = 0.2$ its mean
# over flips is 0.75 of the clean loss. Mend it until the check passes.


# %%
def suspect(batch, cfg):
    as_flipped = cfg.epsilon * dpo.link(-batch.margin(), cfg)
    mixed = (1 - cfg.epsilon) * dpo.loss(batch, cfg) - as_flipped
    return mixed / (1 - cfg.epsilon)


teach.check.rdpo(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    as_flipped = cfg.epsilon * dpo.link(-batch.margin(), cfg)
    mixed = (1 - cfg.epsilon) * dpo.loss(batch, cfg) - as_flipped
    return mixed / (1 - 2 * cfg.epsilon)  # (1 − 2ε)/(1 − ε) is 0.75


assert teach.check.rdpo(mended).passed

# %% [markdown]
# **24-5 · Where the minimum ends** (●●○, 10 minutes). One label in five is
# flipped and rDPO is told 0.3. Pairs up to which clean $p$ have a minimum?

# %%
teach.answer("24-5", None)

# %% tags=["solution"]
too_strong = (1 - 2 * 0.2) / (1 - 2 * 0.3)
teach.solution("24-5", 0.5 + 0.5 / too_strong)

# %% [markdown]
# **24-6 · Own experiment: a robust IPO** (●●●, 20 minutes). IPO (identity
# preference optimisation, lesson 21) has no $\varepsilon$. Its $D$ is
# proportional to $p - \frac12$ and to $1/\tau$. With clean labels you would
# choose $\tau = 0.25$. Which $\tau$ has the same minimum when one label in
# five is flipped? Check your $\tau$ on one pair with the pushes of
# `ipo.weight(D, ipo.Config(tau))`, as in the section by hand.

# %%
teach.answer("24-6", None)

# %% tags=["solution"]
for tau, chance_of in ((0.25, p), (0.25 * t, 0.5 + t * (p - 0.5))):
    D_ipo = (chance_of - 0.5) / tau  # both rows are equal
    push_up = chance_of * ipo.weight(D_ipo, ipo.Config(tau))
    push_down = (1 - chance_of) * ipo.weight(-D_ipo, ipo.Config(tau))
    print(D_ipo.numpy().round(3), (push_up - push_down).numpy().round(3))
teach.solution("24-6", 0.25 * (1 - 2 * 0.2))

# %% [markdown]
# ## Recap
#
# * Flips multiply $p - \frac12$ by $1 - 2\varepsilon$; DPO fits what is left.
# * cDPO multiplies by the same factor once more: it is caution, not a cure.
# * rDPO divides by it and is right on average, at the price of more noise.
# * Told too high a flip rate, rDPO has no minimum for pairs with a clear
#   winner.
# * A training loss below zero is the sign of a loss without a minimum.
#
# Three questions to end with: call `teach.quiz("24")`. Your letters behind the
# number, as in `teach.quiz("24", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Ray Chowdhury, Kini and Natarajan 2024](https://arxiv.org/abs/2403.00409),
#   *Provably robust DPO*.
# * [Mitchell 2023](https://ericmitchell.ai/cdpo.pdf), *A note on DPO with
#   noisy preferences and relationship to IPO*.
# * [Azar et al. 2023](https://arxiv.org/abs/2310.12036), *A general
#   theoretical paradigm to understand learning from human preferences*: IPO.
#
# Study [**24a**](24a_no_rate.ipynb) asks whether a loss resists flips without
# being told their rate. Next: [**25 · Length**](25_length.ipynb), where the
# labels are wrong in one direction.
