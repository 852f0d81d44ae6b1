# ---
# jupyter:
#   workbench:
#     title: "21 · Links"
#     part: offline
#     path: core
#     needs: ["01", "20"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 21 · Links: when does a pair stop pushing?
#
# **The idea in one sentence.** A loss that sees a pair only through its
# margin $D$ is one curve, and the slope of that curve decides where training
# ends: the slope of DPO is never zero, so on labels that always agree no
# $\beta$ stops it.
#
# After this lesson you can
#
# * read the slope of a loss as the push on a pair, and sort losses by it;
# * derive the target $1/(2\tau)$ of IPO (identity preference optimisation);
# * say where training ends when one response always wins;
# * recognise a target in the wrong unit by one number of a run.
#
# *Needs*: lessons 01 (the exact optimum) and 20 (DPO). About 90 minutes.
# Unknown words stand in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 6
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial
from types import SimpleNamespace

from workbench.feedback.as_text import as_text
from workbench.lesson import *
from workbench.measure import gradient_weights, implicit_reward
from workbench.methods.direct.links import dpo, hinge, ipo
from workbench.views.instruments import link_explorer
from workbench.worlds import preference_games

size = sizes(PROFILE, seeds=(2, SEEDS, 16), steps=(4, 240, 2000))
world, beta, tau = Reviews(3), 1.0, 0.5
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The question
#
# In lesson 20 a label was one toss of a coin: the worse review won now and
# then. Often labels are not like that. A unit test passes or fails, or each
# pair is labelled once and that label is all the loss ever sees. Then one
# side of a pair *always* wins.
#
# The $\beta$ of DPO is called the strength of the pull to the reference. Does
# it still pull when one side always wins? Write your predictions into `mine`.

# %%
display(
    teach.predict(
        "21-1",
        "One side of a pair always wins, and DPO trains without end. What "
        "does a β that is ten times larger change?",
        ["it ends nearer", "nothing ends at any β"],
    ),
    teach.predict(
        "21-2",
        "After training, how many pairs does IPO push backwards, so that "
        "the chosen review gets less likely?",
        ["none", "fewer than one in ten", "more than one in ten"],
    ),
)

# %% [markdown]
# ## Three data points
#
# This annotator is deterministic: the review with the higher gold reward
# always wins (equal rewards are a fair coin). The last column is the
# probability of the label that was given.

# %%
annotator, parts = Annotator(deterministic=True), []
for seed in range(SEED, SEED + size.seeds):
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, 300, annotator, draw))
pairs = Pairs.cat(parts)
as_text(pairs[:3], world, annotator)

# %% [markdown]
# ## The objective, step by step
#
# 1. Write $d(y) = \log\frac{\pi(y)}{\pi_{\text{ref}}(y)}$ for the log-ratio
#    of a response, and $D = d(y_c) - d(y_r)$ for the margin of a pair, in
#    nats.
# 2. DPO, IPO and the hinge are functions of $D$ alone: $L = \ell(D)$. Such a
#    function is called a *link*.
# 3. The chain rule gives
#    $-\nabla L = w(D)\,\bigl(\nabla\log\pi(y_c) - \nabla\log\pi(y_r)\bigr)$
#    with $w(D) = -\ell'(D)$.
# 4. The direction in parameter space is the same for every link. All that a
#    link can choose is the number $w(D)$: how hard the pair pushes. Above
#    zero the chosen response rises against the rejected one, below zero it
#    falls back.
#
# | link | loss $\ell(D)$ | push $w(D)$ | family |
# |---|---|---|---|
# | DPO | $-\log\sigma(\beta D)$ | $\beta\,\sigma(-\beta D)$ | never stops |
# | hinge | $\max(0, 1 - \beta D)$ | $\beta$ below $1/\beta$, else 0 | stops |
# | IPO | $(D - \frac{1}{2\tau})^2$ | $2(\frac{1}{2\tau} - D)$ | pulls back |
#
# A link *stops* if its push is zero from some margin on, and *pulls back* if
# its push is negative there.

# %%
display(*(teach.show(module.weight) for module in (dpo, hinge, ipo)))

# %% [markdown]
# ## Three families on one picture
#
# With $\beta = 1$ and $\tau = \frac12$ the hinge and IPO both ask for a margin
# of 1 nat. The marker shows where a push ends or turns round. A second curve
# of DPO has a tenth of the strength.

# %%
links = {"DPO, β = 1": (dpo, dpo.Config(beta))}
links["hinge, β = 1"] = (hinge, hinge.Config(beta))
links["IPO, τ = ½"] = (ipo, ipo.Config(tau))
links["DPO, β = 0.1"] = (dpo, dpo.Config(0.1))
grid, curves = torch.linspace(-2, 4, 241).double(), {}
for name, link in links.items():
    curves[name] = gradient_weights.of_grid(*link, grid, 0.0)
endless = [k for k, f in curves.items() if (f.push_chosen > 0).all()]
curves = pd.concat([f.assign(method=k) for k, f in curves.items()])
caption = f"Only {' and '.join(endless)} push forward at every margin."
views.links(curves, loss=False, push_range=(-2.2, 3.2), caption=caption)

# %% [markdown]
# ## Why IPO asks for $1/(2\tau)$
#
# 1. Draw an opponent from $\pi_{\text{ref}}$ and let
#    $p(y) = P(y \succ \text{opponent})$. A probability is at most 1, while a
#    reward fitted to a pair that always wins is infinite.
# 2. IPO maximises
#    $\mathbb{E}_\pi[p(y)] - \tau\,\mathrm{KL}(\pi\Vert\pi_{\text{ref}})$. By
#    lesson 01 the optimum is
#    $\pi^*(y) \propto \pi_{\text{ref}}(y)\,e^{p(y)/\tau}$.
# 3. Its margin is therefore $D^* = \bigl(p(y_c) - p(y_r)\bigr)/\tau$.
# 4. Nobody knows $p$, but a label $I$ is 1 or 0 with the right mean. Fit $D$
#    of two random responses to $(I - \frac12)/\tau$ by least squares: the
#    best fit is $D^*$.
# 5. Name the winner first. Then $I = 1$ always, the target is $1/(2\tau)$,
#    and the loss is $\bigl(D - \frac{1}{2\tau}\bigr)^2$.
#
# ## By hand: one pair that is always won
#
# Take a pair whose margin $D$ is a free number that starts at 0. One step of
# gradient descent adds $0.1\,w(D)$. The next table shows three steps of each
# link, and the push at every margin. The library differentiates its own
# losses at the same margins, and the cell asserts that the pushes agree.


# %%
def push_dpo(margin, beta=beta):
    return beta / (1 + np.exp(beta * margin))


def push_hinge(margin, beta=beta):
    return beta if beta * margin < 1 - 1e-9 else 0.0  # ten tenths are 1


def push_ipo(margin, tau=tau):
    return 2 * (1 / (2 * tau) - margin)


def walk(push, steps):
    margins = [0.0]
    for _ in range(steps):
        margins.append(margins[-1] + 0.1 * push(margins[-1]))
    return np.array(margins)


# %%
pushes, rows = {"DPO, β = 1": push_dpo, "hinge, β = 1": push_hinge}, {}
pushes["IPO, τ = ½"] = push_ipo
pushes["DPO, β = 0.1"] = partial(push_dpo, beta=0.1)
for name, push in pushes.items():
    margins = walk(push, 3)
    hand = [push(margin) for margin in margins]
    at = torch.from_numpy(margins)
    library = gradient_weights.of_grid(*links[name], at, 0.0).push_chosen
    assert np.allclose(hand, library)
    rows[name, "margin D"], rows[name, "push w(D)"] = margins, hand
pd.DataFrame(rows, [f"step {step}" for step in range(4)]).T.round(3)

# %% [markdown]
# Check one row with a pencil. IPO pushes with $2(1 - 0) = 2$, so $D$ becomes
# $0.2$; there it pushes with $2(1 - 0.2) = 1.6$, and so on. Now ten thousand
# steps.

# %%
seen = np.unique(np.geomspace(1, 10_000, 41).astype(int))
walks = {name: walk(push, 10_000)[seen] for name, push in pushes.items()}
ends = {name: margins[-1] for name, margins in walks.items()}
assert np.isclose(ends["IPO, τ = ½"], 1 / (2 * tau))
walks = pd.DataFrame(walks | {"step": seen}).melt("step", var_name="link")
columns = {"value": "margin of a pair that always wins (nats)"}
caption = (
    f"IPO rests at {ends['IPO, τ = ½']:.2f} nats, the hinge at "
    f"{ends['hinge, β = 1']:.2f}; DPO is at {ends['DPO, β = 1']:.1f} with "
    f"β = 1, at {ends['DPO, β = 0.1']:.1f} with β = 0.1, and still climbs."
)
views.training_curves(walks, columns, by="link", log_x=True, caption=caption)

# %%
link_explorer()

# %% [markdown]
# The hinge stops with the first step that reaches its margin. For large $D$
# the push of DPO is about $\beta e^{-\beta D}$, so $D$ grows like
# $\log(\text{steps})/\beta$: slowly, and without a limit. In this case
# $\beta$ is no price of drift. It only sets the pace, and every $\beta$ goes
# to the same end, a policy that never says the loser. The sliders move
# $\beta$ of DPO and of the hinge, $\tau$ of IPO, and the share $\varepsilon$
# of labels that say the opposite; a cross marks the loss after the last step.
# Move $\varepsilon$ away from 0: the loss of DPO gets a lowest point, and its
# margin rests there, where
# $(1 - \varepsilon)\,\sigma(-\beta D) = \varepsilon\,\sigma(\beta D)$.
#
# ## Train
#
# Now a decoder on the deterministic pairs, DPO again with two strengths. Adam
# divides by the size of the gradient, so what tells the runs apart is the
# *shape* of a link and hardly its scale.

# %%
known = pairs.reference_logps(reference)
trackers = [exact.Tracker(world, ref, gold=world.gold)]
trackers += [implicit_reward.PairTracker(pairs, known, 1.0)]  # β = 1: nats
settings = {"steps": size.steps, "batch_size": 16, "seed": SEED}
settings |= {"measures": trackers, "every": max(1, size.steps // 8)}


def train(method, cfg):
    start = reference.copies(size.seeds)
    return offline.fit(start, reference, pairs, method, cfg, **settings)


# %%
runs = {name: train(*link) for name, link in links.items()}
log = pd.concat([r.metrics.assign(run=name) for name, r in runs.items()])
half, before, last = (
    log[log.step == int(share * size.steps)].set_index(["run", "seed"])
    for share in (0.5, 0.75, 1)
)
mean = last.groupby("run").mean(numeric_only=True)
mean[["kl", "margin", "gold"]].round(2)

# %%
gained = 1 - half.groupby("run").kl.mean() / mean.kl
columns = {"kl": "KL(π‖π_ref) (nats)", "margin": "mean margin D (nats)"}
caption = (
    "In the second half of the steps IPO with τ = ½ gains "
    f"{gained['IPO, τ = ½']:.0%} of its final KL, DPO with β = 0.1 "
    f"{gained['DPO, β = 0.1']:.0%}."
)
views.training_curves(log, columns, by="run", caption=caption)

# %% [markdown]
# ## What the trained losses still want
#
# After training, ask each loss what it makes of its own pairs, by
# differentiating it once more (`gradient_weights.of_pairs`). The table gives
# the share of pairs that still push forward, that have stopped, and that are
# pulled back.

# %%
wanted, states = {}, {1.0: "forward", 0.0: "stopped", -1.0: "back"}
for name, link in links.items():
    trained = runs[name].policy
    judged = gradient_weights.of_pairs(*link, trained, pairs, known)
    signs = np.sign(judged.push_chosen).map(states)
    wanted[name] = signs.value_counts(normalize=True)
wanted = pd.DataFrame(wanted).reindex(states.values()).fillna(0.0).T
wanted.round(3)

# %% [markdown]
# IPO is a regression: its pairs lie on both sides of the target, and those
# beyond it are pulled back. The hinge leaves a pair alone once it has passed;
# other pairs may then carry it further.
#
# ## Distance to the exact optimum
#
# The optimum of IPO is $\pi^*_\tau$ of the "reward" $p(y)$, so its KL is known
# before training. For DPO there is no such number: on these labels its
# infimum lies at $D = \infty$ for every $\beta$.

# %%
beats = annotator.probability(world.gold[..., None], world.gold[:, None])
win_rate = preference_games.win_rate(beats, ref)  # p(y)
optimum = solutions.optimal_policy(ref, win_rate, tau)
logps = exact.response_logps(runs["IPO, τ = ½"].policy, world)
goal, apart = solutions.kl(optimum, ref), solutions.kl(logps, optimum)
say(
    f"With τ = ½ the optimum of IPO is {goal.mean():.2f} nats from the "
    f"reference, the runs are {mean.kl['IPO, τ = ½']:.2f} nats from it and "
    f"{apart.mean():.2f} nats from the optimum."
)

# %% [markdown]
# ## Break it: the sum's $\tau$ with a mean over tokens
#
# The margin of the paper sums over tokens. Two public implementations divide
# by the length $n$. Then $D$ is $n$ times smaller, and for pairs of $n$ tokens
# $(D/n - \frac{1}{2\tau})^2 = (D - \frac{n}{2\tau})^2/n^2$: the target is $n$
# times as far. Mistake (4) is this form with the $\tau$ of the sum.

# %%
wrong = SimpleNamespace(card=ipo.card)
wrong.loss = ipo.mistakes["4 always a mean over tokens"]
broken, words = train(wrong, ipo.Config(tau)), pairs.both.lengths.double()
both = {"sum (IPO)": runs["IPO, τ = ½"], "mean over tokens": broken}
both = pd.concat([run.metrics.assign(takes=k) for k, run in both.items()])
ends_of = both[both.step == size.steps].groupby("takes").mean()
caption = (
    f"The mean ends at a margin of {ends_of.margin['mean over tokens']:.2f} "
    f"nats, the sum at {ends_of.margin['sum (IPO)']:.2f}; a response has "
    f"{words.mean():.1f} tokens."
)
views.training_curves(both, columns, by="takes", caption=caption)

# %% [markdown]
# **Its signature.** No error, a falling loss, and a policy further away than
# $\tau$ promises. Compare the *final mean margin* with $1/(2\tau)$. A right
# regression stays below its target on average, since some responses are chosen
# in one pair and rejected in another. A mean above it is the wrong unit.
#
# ## Answers

# %%
still, back = push_dpo(ends["DPO, β = 1"]), wanted.back["IPO, τ = ½"]
pulled = "fewer than one in ten" if back < 0.1 else "more than one in ten"
display(
    teach.reveal(
        "21-1",
        "nothing ends at any β" if still > 0 else "it ends nearer",
        f"after 10,000 steps the margins are {ends['DPO, β = 0.1']:.1f} and "
        f"{ends['DPO, β = 1']:.1f} nats, and the push is above zero.",
    ),
    teach.reveal(
        "21-2",
        pulled if back > 0 else "none",
        f"{back:.0%} lie beyond the target: a regression has points on both "
        "sides of its line.",
    ),
)

# %% [markdown]
# ## Claims
#
# Each is judged over the seeds of the pairs, for one reference model. More
# links are compared in the studies **21a** and **21b**.

# %%
judge = partial(
    teach.claim,
    setting=f"300 sure pairs, {size.steps} steps, one reference model",
    out=OUT or None,
)
gain = last.kl - half.kl
judge(
    key="ipo-plateaus",
    paper="Azar et al. 2023 (2310.12036)",
    statement="On deterministic preferences IPO's KL plateaus (τ = ½).",
    effect=gain["IPO, τ = ½"] / last.kl["IPO, τ = ½"],
    expected=(-0.1, 0.1),
    unit="share of KL gained in the second half",
    meaning="A link that pulls back stops where its τ says.",
)

# %%
judge(
    key="dpo-ignores-beta",
    paper="Azar et al. 2023 (2310.12036)",
    statement="DPO's KL hardly depends on β (one infimum for all).",
    effect=last.kl["DPO, β = 0.1"] / last.kl["DPO, β = 1"],
    expected=(0.67, 1.5),
    unit="KL at β = 0.1 over KL at β = 1",
    rest=(before.kl["DPO, β = 0.1"], last.kl["DPO, β = 0.1"]),
    meaning="β sets the pace of DPO, and the end is the same for all β.",
)

# %% [markdown]
# The paper speaks of the *end* of training. A run of DPO on such labels has no
# end that can be reached, so the second claim is judged only if the KL has
# come to rest (it moves by less than a tenth in the last quarter).
#
# ## Exercises
#
# `teach.hint("21-1")` gives a hint; a second call gives the next one.
#
# **21-1 · Read the figure** (●○○, 5 minutes). A pair has the margin $D = 3$
# nats. How hard does IPO with $\tau = \frac12$ push it, with its sign?

# %%
teach.answer("21-1", None)

# %% tags=["solution"]
teach.solution("21-1", push_ipo(3.0))

# %% [markdown]
# **21-2 · Two steps by hand** (●○○, 10 minutes). IPO with $\tau = 0.1$ walks
# from $D = 0$ in steps of $0.1\,w(D)$. Where is $D$ after two steps?

# %%
teach.answer("21-2", None)

# %% tags=["solution"]
first = 0.0 + 0.1 * 2 * (1 / (2 * 0.1) - 0.0)
second = first + 0.1 * 2 * (1 / (2 * 0.1) - first)
print(f"target 5, then {first:.1f}, then {second:.1f}")
teach.solution("21-2", second)

# %% [markdown]
# **21-3 · IPO from memory** (●●○, 10 minutes). Write its loss from
# `batch.margin(cfg.reduce)` and `cfg.tau`. The check names the mistake.


# %%
def my_ipo(batch, cfg):
    raise NotImplementedError


teach.check.ipo(my_ipo)


# %% tags=["solution"]
def written_ipo(batch, cfg):
    return (batch.margin(cfg.reduce) - 1 / (2 * cfg.tau)) ** 2


assert teach.check.ipo(written_ipo).passed

# %% [markdown]
# **21-4 · Bug hunt** (●●○, 15 minutes). A colleague multiplied $\tau$ into
# the margin, "as DPO does with $\beta$". Find from its pushes at
# $\tau = \frac12$ where this loss stops. At which margin does it stop with
# $\tau = 0.1$?


# %%
def suspect(batch, cfg):
    return (cfg.tau * batch.margin(cfg.reduce) - 1 / (2 * cfg.tau)) ** 2


planted = SimpleNamespace(card=ipo.card, loss=suspect)
at = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
table = gradient_weights.of_grid(planted, ipo.Config(tau), at, 0.0)
display(table[["margin", "push_chosen"]].round(3))
teach.answer("21-4", None)

# %% tags=["solution"]
# (τD − 1/(2τ))² is smallest at D = 1/(2τ²): 2 nats at τ = ½.
teach.solution("21-4", 1 / (2 * 0.1**2))

# %% [markdown]
# **21-5 · Rock, paper, scissors** (●●○, 15 minutes). Three responses beat each
# other in a circle, so no reward explains the labels. DPO fits the best reward
# that there is and gets a pair wrong. IPO needs no reward, only the chance to
# win. `P` holds $P(\text{row} \succ \text{column})$. Compute
# $\pi^*$ for $\tau = \frac12$ and $\pi_{\text{ref}} = (0.5, 0.3, 0.2)$: three
# probabilities.

# %%
P = preference_games.biased_rps()
display(pd.DataFrame(P.tolist()).round(2))
teach.answer("21-5", None)

# %% tags=["solution"]
opponent = torch.tensor([0.5, 0.3, 0.2]).double()
wins = P @ opponent  # p(y) against an opponent from the reference
weights = opponent * (wins / 0.5).exp()
teach.solution("21-5", (weights / weights.sum()).tolist())

# %% [markdown]
# **21-6 · A link of your own** (●●●, 20 minutes). Some labels may be wrong, so
# take a little off the push of DPO: $w(D) = \sigma(-D) - \varepsilon$. Walk
# with $\varepsilon = 0.1$ until the margin rests. Where? To which of the
# three families does the new link belong, and what happens to the answer as
# $\varepsilon$ goes to 0?

# %%
teach.answer("21-6", None)

# %% tags=["solution"]
mine = {
    noise: walk(lambda margin, e=noise: push_dpo(margin) - e, 20_000)[-1]
    for noise in (0.1, 0.01, 0.001)
}
for noise, rested in mine.items():  # it pulls back, and log((1 − ε)/ε) grows
    print(
        f"ε = {noise}: {rested:.3f}, log((1 − ε)/ε) = "
        f"{np.log((1 - noise) / noise):.3f}"
    )
teach.solution("21-6", mine[0.1])

# %% [markdown]
# ## Recap
#
# * A loss of the margin alone is a link, and its slope is the push on a pair.
# * DPO never stops, the hinge stops, IPO pulls back.
# * If one side always wins, every $\beta$ of DPO has the same end: infinity.
# * IPO regresses $D$ on $1/(2\tau)$, because a probability of winning is
#   bounded and a reward is not.
# * Compare the final mean margin with the target: a right IPO stays below it.
#
# Three questions to end with: call `teach.quiz("21")`. Your letters behind the
# number, as in `teach.quiz("21", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Azar et al. 2023](https://arxiv.org/abs/2310.12036), *A general
#   theoretical paradigm to understand learning from human preferences*: IPO,
#   and DPO on deterministic preferences.
# * [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), *Direct
#   Preference Optimization*, section 4: the gradient and its weight.
# * [Liu et al. 2023](https://arxiv.org/abs/2309.06657), *Statistical rejection
#   sampling*: the hinge on log-ratios.
#
# Study [**21a**](21a_stopping_links.ipynb) compares six links that stop, and
# [**21b**](21b_other_pushes.ipynb) links whose push points elsewhere. Next:
# [**22 · Thumbs**](22_thumbs.ipynb), where no response has a partner.
