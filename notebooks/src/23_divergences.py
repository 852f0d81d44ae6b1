# ---
# jupyter:
#   workbench:
#     title: "23 · Divergences"
#     part: offline
#     path: elective
#     needs: ["01", "20"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 23 · Divergences: how far may a good response rise?
#
# **The idea in one sentence.** The penalty that keeps a policy near its
# reference decides how $\pi^*/\pi_{\text{ref}}$ grows with the reward,
# exponentially under the Kullback–Leibler divergence (KL) and along a
# straight line under $\chi^2$, and so how much a single wrong reward can buy.
#
# After this lesson you can
#
# * turn a divergence into a loss on pairs, in six lines;
# * compute the optimum of a divergence by hand, and its growth;
# * say which quantity of a trained policy is the reward, and which is not;
# * notice a divergence that is the wrong way round, before you train.
#
# *Needs*: lessons 01 (the exact optimum) and 20 (direct preference
# optimisation, DPO). About 90 minutes. Unknown words stand in the
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

from workbench.core import divergences
from workbench.feedback.as_text import as_text
from workbench.lesson import *
from workbench.methods.direct.links import f_dpo
from workbench.views.instruments.divergence_explorer import (
    divergence_explorer,
    ratios,
)

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 150, 1000),
    pairs=(64, 8000, 20000),
)
world, beta, small = Reviews(3), 1.0, 0.3
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
gold = world.gold.double()

# %% [markdown]
# ## The question
#
# Lesson 20 found $\pi^* = \pi_{\text{ref}}\,e^{r/\beta}/Z$. At $\beta = 0.1$
# a review that is worth one reward unit more rises by a factor of
# $e^{10} = 22\,026$. If that unit is an error of the reward model, the policy
# writes the error.
#
# The exponential is not bound to be. It comes from one choice: that the
# distance from the reference is measured by the KL of the policy from the
# reference (the *reverse* KL). Other choices are $\chi^2$ and KL together, or
# the *forward* KL, which takes the two distributions in the other order.
# Write your predictions into `mine`.

# %%
growth = ["further", "less far", "less than a quarter as far"]
runs_of = ["the forward KL", "the reverse KL, so DPO", "neither of the two"]
display(
    teach.predict(
        "23-1", "At β = 0.3 the reverse KL lets the best review of the film "
        "rise 37-fold. How far does χ² + KL let it rise?", growth,
    ),
    teach.predict(
        "23-2", "Three policies have the same gold reward. Then the reward of "
        "one bad review is wrong by 5 units. Which policy writes it most?",
        ["reverse KL", "χ² + KL", "forward KL"],
    ),
    teach.predict(
        "23-3", "You ask for the forward KL and swap the two distributions "
        "by mistake. What do you train with?", runs_of,
    ),
)
views.pipeline(here="dpo")

# %% [markdown]
# ## Three data points
#
# Pairs with Bradley–Terry labels, as in lesson 20. Only the loss changes in
# this lesson. The last column is the probability of the label that was given.

# %%
draws = [generator(seed, "pairs") for seed in range(SEED, SEED + size.seeds)]
how = world, ref, size.pairs, Annotator()
pairs = Pairs.cat([sample_pairs(*how, draw) for draw in draws])
as_text(pairs[:3], world, Annotator()).round(2)

# %% [markdown]
# ## The objective, step by step
#
# 1. Write $u(y) = \pi(y)/\pi_{\text{ref}}(y)$. An *f-divergence* is
#    $D_f = \mathbb{E}_{\text{ref}}[f(u)]$ with a convex $f$.
# 2. Maximise $\mathbb{E}_{\pi}[r] - \beta D_f$ over all $u$ with
#    $\mathbb{E}_{\text{ref}}[u] = 1$. In terms of $u$, the first part is
#    $\mathbb{E}_{\text{ref}}[u\,r]$. Let $\lambda$ be the multiplier of the
#    condition.
# 3. The derivative with respect to $u(y)$, divided by $\pi_{\text{ref}}(y)$,
#    is $r - \beta f'(u) - \lambda$.
# 4. It is zero at the optimum, unless the optimum sets $\pi(y)$ to zero (a
#    boundary solution). If $f'(u) \to -\infty$ as $u \to 0$, no response is
#    set to zero, and $r(y) = \beta f'(u(y)) + \lambda$ everywhere.
# 5. A comparison sees a difference of rewards, in which $\lambda$ cancels. So
#    DPO with $f'(u)$ in the place of $\log u$ fits that optimum:
#    $L = -\log\sigma\bigl(\beta f'(u_c) - \beta f'(u_r)\bigr)$. This is
#    *f-DPO*.
# 6. Solve step 4 for $u$, with $v = (r - \lambda)/\beta$. The inverse of $f'$
#    is the growth:
#
# | divergence | $f'(u)$ | growth $u(v)$ |
# |---|---|---|
# | reverse KL | $\log u$ | $e^v$: exponential |
# | $\chi^2$ + KL | $u - 1 + \log u$ | about $v$ for large $v$: a line |
# | forward KL | $1 - 1/u$ | $1/(1 - v)$: a pole at $v = 1$ |
#
# The constant in $f'$ is a matter of taste: it cancels as well. Here
# $f'(1) = 0$.

# %%
display(teach.show(f_dpo.slope_margin), teach.show(f_dpo.loss))

# %% [markdown]
# ## By hand: the optimum of the forward KL
#
# Let only four reviews be possible. All that is unknown is $\lambda$: the
# probabilities $\pi_{\text{ref}}\,u$ must sum to one. The sum falls as
# $\lambda$ rises, so we halve an interval until it fits. Printed is $u$.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = [world.index(text) for text in texts]
q, r = ref[0, four].softmax(-1), gold[0, four]
low, high, forward = r.max() - small, r.max(), divergences.FORWARD_KL
for _ in range(60):
    middle = (low + high) / 2
    heavy = (q / (1 - (r - middle) / small)).sum() > 1
    low, high = (middle, high) if heavy else (low, middle)
u_hand = 1 / (1 - (r - high) / small)
library = solutions.optimal_policy_f(q.log(), r, small, forward).exp()
assert torch.allclose(q * u_hand, library)
u_hand.numpy().round(3)

# %% [markdown]
# Now all three divergences: the growth $u$ of each review, and what is left of
# the reward if we subtract $\beta f'(u)$. It must be one number along the
# row, $\lambda$. For the reverse KL we know it from lesson 01:
# $\lambda = \beta\log Z$. The last row subtracts $\beta\log u$ under the
# forward KL.

# %%
kinds = divergences.REVERSE_KL, divergences.CHI2_KL, forward
rows, left = {"π_ref": q, "reward": r}, {}
for kind in kinds:
    best = solutions.optimal_policy_f(q.log(), r, small, kind)
    rows[f"u, {kind.name}"] = (best.exp() / q)
    left[f"r − β f′(u), {kind.name}"] = r - small * kind.slope(best - q.log())
beta_log_Z = small * (q * (r / small).exp()).sum().log()
assert torch.allclose(left["r − β f′(u), reverse KL"], beta_log_Z.expand(4))
rows |= left | {"r − β log u, forward KL": r - small * u_hand.log()}
table = {name: column.tolist() for name, column in rows.items()}
pd.DataFrame(table, texts).T.round(3)

# %% [markdown]
# Under each divergence $\beta f'(u)$ *is* the reward, up to a constant. Under
# the forward KL $\beta\log u$ is not: another number is left for each
# review. Public code logs $\beta\log u$ as "reward" whatever the
# divergence; for f-DPO that column means nothing.
#
# ## How far a response rises
#
# All reviews of the film, at the optimum of each divergence. *Pure*
# $\chi^2$ has a finite slope at $u = 0$: its optimum is a straight line that
# sets all reviews below some reward to zero, which no loss of log-ratios can
# do (study 23a). In a live notebook a slider moves $\beta$.

# %%
divergence_explorer(world, ref, gold, beta=small)

# %% [markdown]
# On the logarithmic scale only the reverse KL is straight: it is the
# exponential. On the linear scale $\chi^2$ + KL bends into a line. The
# forward KL stays low for long and then goes *further* than the
# exponential: its pole stands just above the best reward.
#
# ## What one wrong reward buys
#
# The same $\beta$ is a different strength under each divergence. To be fair we
# give each of them the $\beta$ at which its optimum has a gold reward of 0.9.
# Then the review `not fun` of the film gets an error on top of its reward.

# %%
target, grid, fair = 0.9, np.geomspace(0.1, 4, 25), {}
for kind in kinds:
    optima = [solutions.optimal_policy_f(ref, gold, b, kind) for b in grid]
    golds = [solutions.expectation(p, gold).mean().item() for p in optima]
    fair[kind] = np.interp(-target, -np.array(golds), grid)
rows, wrong_one = [], world.index("not fun")
for kind, error in [(k, e) for k in kinds for e in np.linspace(0, 6, 25)]:
    seen = gold[0].clone()
    seen[wrong_one] += error
    p = solutions.optimal_policy_f(ref[0], seen, fair[kind], kind).exp()
    rows.append((kind.name, error, p[wrong_one].item(), (p @ gold[0]).item()))
bought = pd.DataFrame(rows, columns=["kind", "error", "share", "gold"])

# %%
at_five = bought[bought.error == 5].set_index("kind").share
views.training_curves(
    bought.rename(columns={"error": "error of one reward (reward units)"}),
    {"share": "probability of the wrong review",
     "gold": "gold of the film (reward units)"},
    x="error of one reward (reward units)", by="kind", zero=True,
    caption="With an error of 5 the wrong review has a probability of "
    + ", ".join(f"{p:.2f} ({name})" for name, p in at_five.items()) + ".",
)

# %% [markdown]
# ## Train
#
# One run per divergence, on the same pairs, at $\beta = 1$, where the optima
# are near enough to be reached in a minute. All seeds are trained at once.

# %%
tracker = exact.Tracker(world, ref, gold=gold)


def train(kind, method=f_dpo):
    return offline.fit(
        reference.copies(size.seeds), reference, pairs, method,
        f_dpo.Config(beta=beta, divergence=kind), steps=size.steps,
        seed=SEED, measures=(tracker,), every=max(1, size.steps // 8),
    )


runs = {kind.name: train(kind) for kind in kinds}
stars = {k.name: solutions.optimal_policy_f(ref, gold, beta, k) for k in kinds}
trained = {k: exact.response_logps(v.policy, world) for k, v in runs.items()}

# %% [markdown]
# ## The growth of the trained policies
#
# Dots are reviews of the film with at least 0.2 % under $\pi_{\text{ref}}$
# (mean over seeds), dashed lines the optima.

# %%
known, x, charts = ref[0] > np.log(0.002), np.argsort(gold[0].numpy()), []
for kind, look in zip(kinds[:2], map(views.series, range(2)), strict=True):
    curve = (stars[kind.name] - ref)[0].exp().numpy()
    goal = gold[0].numpy()[x].tolist(), curve[x].tolist(), "its optimum"
    u = (trained[kind.name][:, 0] - ref[0]).exp().mean(0)[known].tolist()
    dots = views.Points(gold[0, known].tolist(), u, "trained", look)
    layers = [views.Line(*goal, views.role("exact")), dots]
    axes = "reward (reward units)", "π/π_ref"
    chart = views.Chart(f"Trained with {kind.name}", *axes, layers)
    charts.append(chart)

# %%
top = {k: (p - ref)[:, 0, known].exp() for k, p in trained.items()}
top = {k: u.mean(0).max() for k, u in top.items()}
views.Fig(
    views.Panels(charts, "Growth of the reviews, trained and exact"),
    f"The review that rises most rises {top['reverse KL']:.1f}-fold in the "
    f"runs of the reverse KL and {top['χ² + KL']:.1f}-fold in those of "
    "χ² + KL.",
    pd.DataFrame({"reward": gold[0].tolist(), "u": curve.tolist()}),
)

# %% [markdown]
# ## Distance to the exact optimum
#
# Each loss has its own target. Row: what was trained. Column:
# $\text{KL}(\pi\Vert\pi^*_f)$ in nats from the optimum of the divergence $f$.
# Read down a column: which run comes nearest to that optimum?

# %%
policies = {"π_ref": ref[None]} | trained
far = {
    goal: {k: solutions.kl(p, star).mean(-1) for k, p in policies.items()}
    for goal, star in stars.items()
}
pd.DataFrame(far).map(lambda gap: gap.mean().item()).round(3)

# %% [markdown]
# No run comes near the optimum of the forward KL, not even its own. Its push
# on a chosen review shrinks like $1/u$ as the review rises, and its optimum
# asks for a very large $u$: it would take far longer.
#
# ## Break it: the divergence the wrong way round
#
# Mistake (3) of f-DPO swaps the two distributions: $D_f(\pi_{\text{ref}}\Vert
# \pi)$. A coefficient $\alpha$ that one library counts from the other end does
# the same. We ask for the forward KL that way.

# %%
swapped = SimpleNamespace(
    card=f_dpo.card, loss=f_dpo.mistakes["3 other direction"]
)
broken = train(forward, swapped)
got = exact.response_logps(broken.policy, world)
apart = {k: solutions.kl(got, p).mean().item() for k, p in trained.items()}
shown = {k: run.metrics for k, run in runs.items()}
shown["forward KL, swapped"] = broken.metrics
views.training_curves(
    pd.concat([m.assign(run=k) for k, m in shown.items()])
    .groupby(["run", "step"], sort=False).mean().reset_index(),
    {"kl": "KL(π‖π_ref) (nats)", "gold": "gold (reward units)"}, by="run",
    caption=f"The swapped run ends {apart['forward KL']:.2f} nats from the "
    f"run of the forward KL and {apart['reverse KL']:.2f} from that of the "
    "reverse KL (means over seeds).",
)

# %% [markdown]
# **Its signature.** Nothing fails. The run *is* DPO, curve for curve: the
# thin line lies on the wide one. Before you train, evaluate $f'$ once at
# $u = 0.1$: it is $-9$ under the forward KL and $-2.3$ under the reverse.
#
# ## Answers

# %%
rise = ratios(ref[0], gold[0], small).iloc[-1]
share = rise["χ² + KL"] / rise["reverse KL"]
display(
    teach.reveal(
        "23-1", growth[int(share < 1) + int(share < 0.25)],
        f"it rises {rise['χ² + KL']:.1f}-fold, not "
        f"{rise['reverse KL']:.0f}-fold: u grows like r/β and not like its "
        "exponential.",
    ),
    teach.reveal(
        "23-2", at_five.idxmax(),
        f"its probability is {at_five.max():.2f}, under χ² + KL it is "
        f"{at_five['χ² + KL']:.2f}: near a pole a little more reward "
        "buys any ratio.",
    ),
    teach.reveal(
        "23-3", runs_of[int(apart["reverse KL"] < apart["forward KL"])],
        "the forward KL with its distributions swapped is the reverse KL: the "
        f"policies are {apart['reverse KL']:.4f} nats apart.",
    ),
)

# %% [markdown]
# ## Claims
#
# The first two are exact, the third is judged over the seeds of the pairs.

# %%
exactly = partial(teach.claim, kind="exact", out=OUT or None)
over = (stars["χ² + KL"] - ref).exp().amax(-1) - 1
over = over - (gold.amax(-1) - gold.amin(-1)) / beta
exactly(
    key="linear", paper="Huang et al. 2024 (2407.13399)", effect=over,
    expected=(-np.inf, 0.0), unit="excess of u", setting="β = 1, four prompts",
    statement="At the optimum of χ² + KL no ratio is above "
    "1 + (max r − min r)/β.",
    meaning="Under χ² a reward error buys a ratio in proportion, not more.",
)
least = at_five["reverse KL"] - at_five["χ² + KL"]
exactly(
    key="wrong-reward", paper="ours", effect=least, expected="positive",
    unit="probability", setting="`not fun` of the film, error 5, gold 0.9",
    statement="At equal gold a wrong reward buys less under χ² + KL than "
    "under the reverse KL.",
    meaning="The divergence is a guard against errors of the reward.",
)

# %%
reverse, line = far["reverse KL"], far["χ² + KL"]
first = reverse["χ² + KL"] - reverse["reverse KL"]
second = line["reverse KL"] - line["χ² + KL"]
teach.claim(
    key="own-optimum", paper="ours", effect=torch.minimum(first, second),
    expected="positive", unit="nats",
    setting=f"{size.pairs} pairs, {size.steps} steps, one reference model",
    statement="Of the runs with the reverse KL and with χ² + KL, the nearer "
    "to an optimum is the one that was trained for it.",
    meaning="f-DPO fits the optimum of its own divergence.", out=OUT or None,
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("23-1")` gives a hint; a second call gives the next one.
#
# **23-1 · Read the figure** (●○○, 5 minutes). The review `good` has a reward
# of 1. Find it in the figure of the explorer ($\beta = 0.3$). Under which
# divergence is its ratio the smallest: "reverse KL", "χ² + KL" or
# "forward KL"?

# %%
teach.answer("23-1", None)

# %% tags=["solution"]
growing = ratios(ref[0], gold[0], small).set_index("reward")
of_good = growing.loc[gold[0, world.index("good")].item()]
print(of_good.round(2))
teach.solution("23-1", of_good.drop("pure χ²").idxmin())

# %% [markdown]
# **23-2 · An implicit reward by hand** (●○○, 5 minutes). A policy was trained
# with $\chi^2$ + KL at $\beta = 0.5$. It writes a review with probability
# 0.2, the reference with 0.1. What is the implicit reward $\beta f'(u)$?

# %%
teach.answer("23-2", None)

# %% tags=["solution"]
ratio = torch.tensor(0.2 / 0.1)
teach.solution("23-2", 0.5 * divergences.CHI2_KL.slope(ratio.log()).item())

# %% [markdown]
# **23-3 · Fill a line** (●●○, 10 minutes). This is DPO. Change two lines, so
# that it is f-DPO for `cfg.divergence`.


# %%
def my_f_dpo(batch, cfg):
    chosen = batch.chosen.logratio()  # your line
    rejected = batch.rejected.logratio()  # your line
    return torch.nn.functional.softplus(-cfg.beta * (chosen - rejected))


teach.check.f_dpo(my_f_dpo)


# %% tags=["solution"]
def full_f_dpo(batch, cfg):
    chosen = cfg.divergence.slope(batch.chosen.logratio())
    rejected = cfg.divergence.slope(batch.rejected.logratio())
    return torch.nn.functional.softplus(-cfg.beta * (chosen - rejected))


assert teach.check.f_dpo(full_f_dpo).passed

# %% [markdown]
# **23-4 · Bug hunt** (●●○, 10 minutes). The author of this loss thought that
# two lines are one too many. With the reverse KL it is right. What is wrong
# with every other divergence? The check names it. Mend the loss.


# %%
def suspect(batch, cfg):
    margin = batch.chosen.logratio() - batch.rejected.logratio()
    gap = cfg.beta * cfg.divergence.slope(margin)
    return torch.nn.functional.softplus(-gap)


teach.check.f_dpo(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    slope = cfg.divergence.slope
    gap = slope(batch.chosen.logratio()) - slope(batch.rejected.logratio())
    return torch.nn.functional.softplus(-cfg.beta * gap)


assert teach.check.f_dpo(mended).passed  # f′ of a quotient is no difference

# %% [markdown]
# **23-5 · The fourth divergence** (●●○, 10 minutes). For the α-divergence with
# $\alpha = \frac12$, $f'(u) = 2(1 - u^{-1/2})$. Which $v$ is the pole of the
# growth, that is, above which $v = (r - \lambda)/\beta$ is there no $u$?

# %%
teach.answer("23-5", None)

# %% tags=["solution"]
teach.solution("23-5", divergences.alpha(0.5).supremum)

# %% [markdown]
# **23-6 · A stricter test** (●●●, 20 minutes). Repeat the section on the wrong
# reward for the review `good fun very` in the place of `not fun`, with an
# error of 5. What probability does the forward KL give it, at its $\beta$ in
# `fair`? Compare this with $\pi_{\text{ref}}$.

# %%
teach.answer("23-6", None)

# %% tags=["solution"]
odd = world.index("good fun very")
print(f"reference: {ref[0, odd].exp():.5f}")
for kind_of in kinds:
    felt = gold[0].clone()
    felt[odd] += 5
    given = solutions.optimal_policy_f(ref[0], felt, fair[kind_of], kind_of)
    print(f"{kind_of.name}: {given[odd].exp():.3f}")
    if kind_of is forward:
        asked = given[odd].exp().item()
teach.solution("23-6", asked)

# %% [markdown]
# ## Recap
#
# * At the optimum of $\mathbb{E}_\pi[r] - \beta D_f$ the reward is
#   $\beta f'(u)$ plus a constant.
# * f-DPO is DPO with $f'(u)$ in the place of $\log u$.
# * The inverse of $f'$ is the growth: exponential, a line, or a pole.
# * At equal gold a wrong reward buys least under $\chi^2$ + KL.
# * The forward KL with its arguments swapped is DPO: look at $f'$ once.
#
# Three questions to end with: call `teach.quiz("23")`. Your letters behind the
# number, as in `teach.quiz("23", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Wang et al. 2023](https://arxiv.org/abs/2309.16240), *Beyond reverse KL*:
#   f-DPO.
# * [Huang et al. 2024](https://arxiv.org/abs/2407.13399), *Correcting the
#   mythos of KL-regularization*: $\chi^2$ + KL.
#
# Study [**23a**](23a_chi_squared.ipynb) asks how $\chi^2$ fares with errors
# that nobody planted, study [**23b**](23b_diversity.ipynb) whether a
# divergence changes diversity and calibration. Next: [**24 · Noisy
# labels**](24_noisy_labels.ipynb). A divergence guards against a reward that
# is wrong; what if the labels are?
