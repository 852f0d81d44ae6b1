# ---
# jupyter:
#   workbench:
#     title: "60 · Decoding with values"
#     part: values and decoding
#     path: core
#     needs: ["01", "11"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 600}
# ---

# %% [markdown]
# # 60 · Decoding with values: which value makes a frozen model optimal?
#
# **The idea in one sentence.** A frozen model whose next word is tilted by the
# soft values $V^*$ *is* the optimal policy $\pi^*_\beta$; the values that its
# own samples teach are others, $V^{\text{ref}}$, and they stop short of it.
#
# After this lesson you can
#
# * back up a reward through a tree of three prefixes by hand,
# * tell $V^*$ from $V^{\text{ref}}$, and say what decoding with each gives,
# * read from a heat map which word changed the outlook,
# * compare steering with best-of-n at equal KL,
# * recognise a value that is read one token late.
#
# *Needs*: lessons 01 ($\pi^*_\beta$, $Z$) and 11 (best-of-n).
# About 90 minutes. Words are explained in the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.core.logps import sequence_logps
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.scored_prefixes import ScoredResponses
from workbench.lesson import *
from workbench.loops import values
from workbench.measure import overoptimisation, steering, token_advantages
from workbench.methods.decoding import best_of_n, vas
from workbench.methods.values import soft_backup
from workbench.models import heads
from workbench.models.policy import TabularPolicy
from workbench.views.instruments import tree_walk
from workbench.worlds.tree import PrefixTree

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(5, 300, 2000))
beta, n_scored = 0.3, 2000
world = Reviews(max_words=3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
base, gold = world.tree.conditionals(ref), world.gold  # log π_ref(a | s), r

# %% [markdown]
# ## The question
#
# You may not change a model's weights, and you know a reward. Best-of-n draws
# n responses and keeps one. A *value* could tell at every word where a
# response is heading, and tilt the choice of the next word. Which value?
#
# Choose an answer to each prediction: write it into the cell as `mine="…"`.

# %%
display(
    teach.predict(
        "60-1",
        "A value is the mean reward of the samples that pass through a "
        "prefix. Does steering by it give the optimum π*?",
        ["yes", "no"],
    ),
    teach.predict(
        "60-2",
        "At the KL of best-of-10: who has more gold reward, best-of-10 or "
        "steering by learned values, with responses of at most three words?",
        ["best-of-10", "steering"],
    ),
    teach.predict(
        "60-3",
        "Which word of the review `good but dull` is to blame?",
        ["good", "but", "dull", "the end"],
    ),
)

# %% [markdown]
# ## Three data points
#
# Samples of the frozen model with the reward of the whole response. From such
# pairs a value model learns what a *prefix* is worth. Note that a word has no
# reward of its own: it is paid at the end.

# %%
seen = reference.sample(world, torch.arange(3), generator(SEED, "look"))
rows = zip(world.prompts, seen.response, world.gold_reward(seen), strict=False)
rows = [(prompt, world.text(int(y)), float(r)) for prompt, y, r in rows]
pd.DataFrame(rows, columns=["prompt", "response", "reward"]).round(2)

# %% [markdown]
# ## The soft value, derived
#
# 1. A state $s$ is a prefix. An action $a$ is the next word, or the end.
# 2. After an action the state is $s{\cdot}a$. So the value of an action is
#    $Q(s, a) = V(s{\cdot}a)$, or $r(y)$ if $a$ finishes the response $y$.
# 3. At one prefix, choose $\pi(\cdot\mid s)$ so that
#    $E_\pi[Q(s, a)] - \beta\,\text{KL}(\pi(\cdot\mid s)\Vert
#    \pi_{\text{ref}}(\cdot\mid s))$ is as large as possible.
# 4. This is the problem of lesson 01 with actions for responses. Its optimum
#    is $\pi^*(a\mid s) \propto \pi_{\text{ref}}(a\mid s)\,
#    e^{Q^*(s,a)/\beta}$.
# 5. What it earns is the soft value
#    $$V^*(s) = \beta \log \sum_a \pi_{\text{ref}}(a\mid s)\,
#    e^{Q^*(s, a)/\beta}.$$
# 6. Begin at the longest prefixes and go up. At the root the sums telescope
#    into one sum over responses: $V^*(\text{root}) = \beta \log Z$.
#
# ## By hand: a tree of three prefixes
#
# Two words, at most two of them: seven responses, and three prefixes at which
# a word is chosen (the root, `good`, `bad`). The columns of `q` are good, bad
# and the end.

# %%
display(teach.show(soft_backup.backup))
tree = PrefixTree(n_words=2, depth=2)
names = "(silence)|good|bad|good good|good bad|bad good|bad bad".split("|")
q = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.3, 0.4, 0.3]]
q = torch.tensor(q, dtype=torch.float64).log()  # log π_ref(a | s)
r = torch.tensor([-1, 1, -1, 0.5, 0, 0.8, -1.5], dtype=torch.float64)
y = tree.response_logps(q)
pd.DataFrame({"π_ref": y.exp().tolist(), "r": r.tolist()}, names).T.round(3)


# %%
def soft(q, Q):  # β log Σ_a π_ref(a|s) exp(Q(s, a)/β)
    return beta * (q.exp() * (Q / beta).exp()).sum().log()


Q_good, Q_bad = r[[3, 4, 1]], r[[5, 6, 2]]  # then good, bad, the end
V_good, V_bad = soft(q[1], Q_good), soft(q[2], Q_bad)
Q_root = torch.stack([V_good, V_bad, r[0]])
V = torch.stack([soft(q[0], Q_root), V_good, V_bad])
small = soft_backup.backup(tree, q, r, beta)
assert torch.allclose(V, small.V)
assert torch.allclose(V[0], beta * solutions.log_partition(y, r, beta))
rows = torch.stack([Q_root, Q_good, Q_bad]).T.tolist()
table = dict(zip(["Q(s, good)", "Q(s, bad)", "Q(s, end)"], rows, strict=True))
pd.DataFrame({**table, "V": V.tolist()}, ["root", "good", "bad"]).round(3)

# %% [markdown]
# ## The other value
#
# What samples teach is the mean of what the frozen model would write,
# $V^{\text{ref}}(s) = E_{\pi_{\text{ref}}}[r \mid s]$. The soft value lies
# above the mean (Jensen's inequality), most where the best ending is rare.
#
# Steer by either of them with the rule of *value-augmented sampling* (VAS,
# strength $b = 1/\beta$): add $b$ times the value to the logit of each word.

# %%
display(teach.show(vas.next_token_logits))
mean = soft_backup.linear(tree, q, r)
laid = {"π_ref": y}
for name, Q in (("V^ref", mean.Q), ("V*", small.Q)):
    laid[name] = steering.steered(tree, q, Q, 1 / beta)
assert torch.allclose(laid["V*"], solutions.optimal_policy(y, r, beta))
table = pd.DataFrame({k: p.exp().tolist() for k, p in laid.items()}, names).T
J = [(p.exp() @ r - beta * solutions.kl(p, y)).item() for p in laid.values()]
display(table.assign(J=J).round(3))
say(
    f"At `bad` the mean is {mean.V[2]:.2f}, the soft value {small.V[2]:.2f}. "
    "Under the frozen model the good ending of `bad` is no likelier than its "
    "bad ones, and **the mean does not know that a steered policy would take "
    "it**. Steered by the mean the model writes `bad good` with probability "
    f"{table.loc['V^ref', 'bad good']:.2f}; the optimum does so with "
    f"{table.loc['V*', 'bad good']:.2f}."
)

# %% [markdown]
# The last row is $\pi^*_\beta$. Its $J = E[r] - \beta\,\text{KL}$ is
# $V^*(\text{root})$, the largest that is possible.
#
# ## On all reviews, exactly
#
# The same on 585 reviews of four prompts, for three prices $\beta$. Below it
# stands the favourite review of a model that is pushed hard, with $b = 30$.

# %%
V_ref, parts = soft_backup.linear(world.tree, base, gold), []
for price in (0.1, 0.3, 1.0):
    star = soft_backup.backup(world.tree, base, gold, price)
    three = torch.stack([0 * base, V_ref.Q, star.Q])
    part = steering.sweep(world, ref, three, [1 / price], beta=price)
    parts.append(part.assign(by=["no value", "V^ref", "V*"], β=price))
exactly = pd.concat(parts).set_index(["β", "by"]).unstack()
exactly[["J", "kl_to_optimum"]].round(3)

# %%
star = soft_backup.backup(world.tree, base, gold, 1 / 30)
for name, Q in (("V^ref", V_ref.Q), ("V*", star.Q)):
    p = steering.steered(world.tree, base, Q, 30.0)[0]
    top = int(p.argmax())
    print(f"{name}: '{world.text(top)}', gold {gold[0, top]:.2f}")

# %% [markdown]
# Pushed hard, $V^{\text{ref}}$ writes one good word and
# stops: the mean of going on is lower than what `good` has already. The soft
# values go on, since they know that the rest will be steered as well.
#
# ## The credit of a word
#
# $A^*(s, a) = Q^*(s, a) - V^*(s) = \beta \log
# \frac{\pi^*(a\mid s)}{\pi_{\text{ref}}(a\mid s)}$ is the *advantage* of a
# word, and the implicit reward of the optimum. It does not say where reward is
# paid (that is the end). It says where the outlook changed.

# %%
star = TabularPolicy(world, solutions.optimal_policy(ref, gold, beta))
shown = ["very good", "good and fun", "good but dull", "not good and"]
row = torch.tensor([world.index(text) for text in shown])
how = {"prompt": 0 * row, "response": row, "beta": beta}
credit = token_advantages.beside_advantage(star, reference, world, **how)
credit["review"] = [shown[i] for i in credit.row]
low = credit.loc[credit.advantage.idxmin()]
said = f"The lowest advantage is that of '{low.token}' in '{low.review}'."
views.token_rewards(credit, by="review", caption=said)

# %% [markdown]
# ## Walk the tree
#
# Write a review word by word, in a live notebook with the buttons. At each
# prefix stand the chances of the next word under four policies, and its two
# values. Look for a prefix where the mean says “stop” and the soft value says
# “go on”, then move the strength.

# %%
tree_walk(world, ref, gold, strength=1 / beta)

# %% [markdown]
# ## Train: learn the value from samples
#
# A small decoder with one number per prefix learns by a squared error to TD(λ)
# (temporal difference) targets. Every $\lambda$ has the fixed point
# $V^{\text{ref}}$, and the policy is never touched.

# %%
prompts, drawn = torch.arange(n_scored) % world.n_prompts, []
for seed in range(SEED, SEED + size.seeds):
    drawn.append(reference.sample(world, prompts, generator(seed, "vas")))
drawn = Tokens.cat(drawn)
data = ScoredResponses(drawn, world.gold_reward(drawn))
fresh = [heads.ValueModel.tiny(world.vocab, seed=s) for s in range(size.seeds)]
critics = heads.ValueModel.stack(fresh).to(DEVICE)
run = values.fit(critics, data, vas, vas.Config(), steps=size.steps, seed=SEED)
learned = world.tree.action_values(run.policy.value_all(world).double(), gold)

# %% [markdown]
# ## Gold against KL
#
# A finished response needs no value, since its reward is known;
# `action_values` puts both together. We sweep the strength $b$ and read gold
# and KL of the steered policy over all responses. Beside it stand the exact
# distribution of best-of-n and two exact curves: steering by $V^*$, which is
# the frontier, and steering by the exact $V^{\text{ref}}$.

# %%
strengths = np.geomspace(0.05, 30, 36)
by_learned = steering.sweep(world, ref, learned, strengths)
by_mean = steering.sweep(world, ref, V_ref.Q, strengths)
bon = overoptimisation.best_of_n_curve(ref, gold, gold, [2, 4, 10])
frontier = solutions.frontier(ref, gold, gold, (1 / strengths).tolist())
ten = bon.set_index("n").loc[10]
ahead = steering.gold_at(by_learned, ten.kl) - ten.gold

# %%
views.gold_curves(
    frontier,
    exact={"V^ref, exact": by_mean},
    learned={"V^ref, learned": by_learned},
    best_of_n=bon,
    caption="Steering by the exact mean stops rising at gold "
    f"{by_mean.gold.max():.2f}; best-of-10 has {ten.gold:.2f}.",
)

# %% [markdown]
# Near the reference the dotted curve follows the frontier: for a light push,
# the value of going on *unsteered* is nearly right. The harder the push, the
# less the rest of the response resembles what $V^{\text{ref}}$ is the mean of.
# Gold stops rising while KL goes on, and then falls a little. Best-of-n looks
# at whole responses and has no such error. Between the dotted and the coloured
# curve lies the second error, that of learning $V$ from samples.
#
# ## Break it: a value that is read one token late
#
# $V(s)$ is put where $V(s{\cdot}a)$ belongs. All words at a prefix then have
# the same value, and only the end, whose reward is known, differs. The
# signature: the policy hardly leaves the reference, and its length changes.

# %%
now = V_ref.V[..., None].expand(-1, -1, base.shape[-1] - 1)
late = torch.cat([now, V_ref.Q[..., -1:]], dim=-1)
star = soft_backup.backup(world.tree, base, gold, beta)
cases = torch.stack([star.Q, V_ref.Q, late, 0 * late])
result = steering.sweep(world, ref, cases, [1 / beta], beta=beta)
result["values"] = ["V*", "V^ref", "V^ref, one token late", "no value"]
result[["values", "J", "gold", "kl", "length"]].round(3)

# %%
label, J = "E[r] − β KL (reward units)", result.J
said = f"One token late, the mean earns {J[2]:.2f} in place of {J[1]:.2f}."
views.bars(result, "values", "J", label=label, caption=said, horizontal=True)

# %% [markdown]
# ## Answers

# %%
worst = exactly.kl_to_optimum.max()
assert worst["V^ref"] > 1e-3  # the wrong value fails what soft values pass
blamed = credit[credit.review == shown[2]].sort_values("advantage").iloc[0]
display(
    teach.reveal(
        "60-1",
        right="yes" if worst["V^ref"] < 1e-9 else "no",
        because=f"it ends up to {worst['V^ref']:.2f} nats from π*, with soft "
        f"values {worst['V*']:.0e}: the mean does not know that a steered "
        "policy would take a good ending.",
    ),
    teach.reveal(
        "60-2",
        right="steering" if ahead.mean() > 0 else "best-of-10",
        because=f"at {ten.kl:.2f} nats best-of-10 has {ten.gold:.2f} and "
        f"steering {ten.gold + ahead.mean():.2f}: a hard push leaves the "
        "policy whose mean the values are.",
    ),
    teach.reveal(
        "60-3",
        right=blamed.token if blamed.token in shown[2] else "the end",
        because=f"its advantage is {blamed.advantage:.2f}, the lowest of the "
        "row: before it, a good ending was still likely under the optimum.",
    ),
)

# %% [markdown]
# ## Claims
#
# The paper compares steering with best-of-n where texts are long. Ours have at
# most three words, so its claim is marked *other setting*, whatever we see.

# %%
about = {"kind": "exact", "out": OUT or None}
assert (
    exactly.kl_to_optimum["V^ref"].min() > 1e-3
)  # the wrong value fails the first claim
claim = teach.claim(
    key="soft_values_are_optimal",
    paper="Rafailov et al. 2024 (2404.12358)",
    statement="Steered by V* at strength 1/β a model is 0 nats from π*.",
    meaning="The right values make a frozen model optimal.",
    effect=exactly.kl_to_optimum["V*"],
    expected="zero",
    tolerance=1e-9,
    setting="reviews-3, β = 0.1, 0.3 and 1, one reference model",
    must_hold=True,
    **about,
)

# %%
J = exactly.J
claim = teach.claim(
    key="V_ref_stops_halfway",
    paper="Mudgal et al. 2024 (2310.17022)",
    statement="Steering by V^ref earns more than π_ref and less than π*.",
    meaning="The mean improves a frozen model, but not as far as possible.",
    effect=[*(J["V^ref"] - J["no value"]), *(J["V*"] - J["V^ref"])],
    expected="positive",
    unit="reward units",
    setting="reviews-3, β = 0.1, 0.3 and 1, one reference model",
    **about,
)

# %%
claim = teach.claim(
    key="vas_kl_of_10",
    paper="Han et al. 2024 (2405.06639)",
    statement="At the KL of best-of-10, steering by learned V has more gold.",
    meaning="A value must be right where the push leads, not where it began.",
    effect=ahead,
    expected="positive",
    condition=(world.max_words >= 16, "responses have 16 words or more"),
    unit="reward units",
    setting=f"reviews-3, {n_scored} scored responses of one reference model",
    out=OUT or None,
)

# %% [markdown]
# Whether longer responses turn this around is the study **60b**; a critic of
# actions (implicit language Q-learning) is the study **60a**.
#
# ## Exercises
#
# `teach.hint("60-1")` gives one hint after another.
#
# **60-1 · Read the map** (●○○, 5 minutes). In the heat map: what does the row
# of `good but dull` add up to, in reward units?

# %%
teach.answer("60-1", None)

# %% tags=["solution"]
teach.solution("60-1", credit[credit.review == shown[2]].advantage.sum())

# %% [markdown]
# **60-2 · Two endings** (●○○, 10 minutes). After a prefix the frozen model
# writes one of two endings, each with probability ½; their rewards are 1 and
# −1. Compute $V^*$ of the prefix for $\beta = 0.5$.

# %%
teach.answer("60-2", None)

# %% tags=["solution"]
coin = torch.tensor([0.5, 0.5], dtype=torch.float64)
payoff = torch.tensor([1.0, -1.0], dtype=torch.float64)
teach.solution("60-2", 0.5 * (coin * (payoff / 0.5).exp()).sum().log())

# %% [markdown]
# **60-3 · The value loss** (●●○, 10 minutes). Half the squared distance of
# `batch.values` from `vas.targets(batch, cfg)`, one number per token. Put the
# tokens of a response together by `sequence_logps(half, batch.mask,
# cfg.reduce)`.


# %%
def my_loss(batch, cfg):
    raise NotImplementedError("60-3: half a squared error over the mask")


teach.check.vas(my_loss)


# %% tags=["solution"]
def my_solution(batch, cfg):
    half = (batch.values - vas.targets(batch, cfg)) ** 2 / 2
    return sequence_logps(half, batch.mask, cfg.reduce)


teach.check.vas(my_solution)

# %% [markdown]
# **60-4 · Bug hunt** (●●○, 15 minutes). Somebody steers with the soft values
# of the right $\beta$, and the policy hardly leaves the reference. One thing
# is wrong: `"the values"`, `"the strength"` or `"the reference"`. Compare
# gold and KL with the row of $V^*$ above.

# %%
suspect = steering.sweep(world, ref, star.Q, [beta])
display(suspect[["gold", "kl", "length"]].round(3))
teach.answer("60-4", None)

# %% tags=["solution"]
mended = steering.sweep(world, ref, star.Q, [1 / beta])
assert np.isclose(mended.gold[0], result.gold[0])
teach.solution("60-4", "the strength")

# %% [markdown]
# **60-5 · Blocks** (●●●, 25 minutes). Another way to use a value: at each
# prefix draw k next words and keep the one with the highest $V^{\text{ref}}$
# (blockwise best-of-k). `best_of_n.log_distribution(base, V_ref.Q, k)` is its
# distribution of the next word at every prefix. At k = 3, at equal KL: is its
# gold `"above"` or `"below"` that of steering by the exact
# $V^{\text{ref}}$? Does it pass the highest gold of that curve at any k?

# %%
teach.answer("60-5", None)

# %% tags=["solution"]
def block(many):
    word = best_of_n.log_distribution(base, V_ref.Q, many)
    response = world.tree.response_logps(word)
    return exact.evaluate(response, world, ref, gold=gold).assign(k=many)


blocks = pd.concat(block(many) for many in (2, 3, 4, 8, 16, 64))
blocks["V^ref at equal KL"] = steering.gold_at(by_mean, blocks.kl)[0]
of_blocks = blocks[["k", "kl", "gold", "V^ref at equal KL"]]
display(of_blocks.round(3), f"the curve reaches {by_mean.gold.max():.2f}")
higher = blocks.iloc[1].gold > blocks.iloc[1]["V^ref at equal KL"]
teach.solution("60-5", "above" if higher else "below")

# %% [markdown]
# ## Recap
#
# * A reward that is paid at the end can be backed up to every prefix.
# * With the soft maximum this gives $V^*$, and a frozen model that is steered
#   by it at strength $1/\beta$ is $\pi^*_\beta$.
# * With the mean it gives $V^{\text{ref}}$, which is what samples teach.
# * The mean does not know that a steered policy would take the good ending:
#   light pushes are nearly right, hard ones stop half-way.
# * The advantage of a word says where the outlook changed.
#
# Three questions to end with: call `teach.quiz("60")`. Your letters behind the
# number, as in `teach.quiz("60", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * Rafailov et al. 2024, *From r to Q\**,
#   [2404.12358](https://arxiv.org/abs/2404.12358).
# * Mudgal et al. 2024, *Controlled decoding from language models*,
#   [2310.17022](https://arxiv.org/abs/2310.17022).
# * Han et al. 2024, *Value augmented sampling*,
#   [2405.06639](https://arxiv.org/abs/2405.06639).
# * Stiennon et al. 2020, [2009.01325](https://arxiv.org/abs/2009.01325), and
#   Gao et al. 2023, [2210.10760](https://arxiv.org/abs/2210.10760): best-of-n.
#
# Next: [**80 · The arena**](80_arena.ipynb), where all methods meet on equal
# terms.
