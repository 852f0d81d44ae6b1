# ---
# jupyter:
#   workbench:
#     title: "01 · The exact world"
#     part: foundations
#     path: core
#     needs: ["00"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 300}
# ---

# %% [markdown]
# # 01 · The exact world: which policy is best, and what do others lose?
#
# **The idea in one sentence.** The best policy at a given price of drift is
# the reference, reweighted by the exponential of the reward,
# $\pi^*(y) \propto \pi_{\text{ref}}(y)\,e^{r(y)/\beta}$, and any other policy
# loses exactly $\beta\,\mathrm{KL}(\pi\Vert\pi^*)$.
#
# After this lesson you can
#
# * derive $\pi^*$ in four lines and compute it on four answers;
# * say what a smaller or larger $\beta$ does to a policy, in numbers;
# * read how much a policy loses as its divergence from the best one;
# * tell three wrong optima from the right one.
#
# *Needs*: lesson 00 (what RLHF is). About 90 minutes. Unknown words stand in
# the [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.lesson import *
from workbench.measure.frontier import Frontier
from workbench.models.policy import TabularPolicy
from workbench.views.instruments import beta_explorer

# %%
size = sizes(PROFILE, steps=(30, 400, 800), samples=(500, 4000, 40000))
beta = 1.0  # reward units per nat
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()  # [prompt, response]
gold = world.gold
film = world.prompts.index("film")
views.pipeline("policy")

# %% [markdown]
# ## The question
#
# A language model $\pi_{\text{ref}}$ writes reviews. You want better ones,
# yet near enough to $\pi_{\text{ref}}$ that they stay language. Every method
# at the right end of the picture, by RL or by DPO, tries to find the same
# policy. What *is* that policy, and how much is it worth? Elsewhere nobody
# can say, because nobody can sum over all answers. Here you can.
#
# Write your predictions before you go on: `mine="…"` inside each call.

# %%
display(
    teach.predict(
        "01-1",
        "“good and fun” is rare and worth one reward unit more than “fun”, "
        "which is common. By which factor does the best policy at β = 1 "
        "multiply the odds of the rare one against the common one?",
        ["1.65", "2.72", "7.39", "it depends on how rare it is"],
    ),
    teach.predict(
        "01-2",
        "What does the best policy become when β grows without bound?",
        ["the reference", "only the best review", "equal chances for all"],
    ),
    teach.predict(
        "01-3",
        "Somebody forgets the reference, multiplies by β where one divides, "
        "or takes the reward with the wrong sign. Which of these mistakes "
        "cannot be seen in a plot of gold reward against KL?",
        ["forgotten reference", "wrong scale", "wrong sign"],
    ),
)

# %% [markdown]
# ## Look at a few reviews
#
# The language has eight words and reviews of at most three of them, 585 in
# all. The gold reward $r(x, y)$ of a review $y$ for a prompt $x$ adds what
# its words are worth ("not" flips, "very" scales) and takes something off
# for bad grammar.

# %%
reviews = ["very good", "good and fun", "fun", "not bad", "dull"]
numbers = torch.tensor([world.index(text) for text in reviews])
pd.DataFrame(gold[:, numbers].T, reviews, world.prompts).round(2)

# %% [markdown]
# The columns differ: a policy that does not read the prompt cannot be the
# best one. Gold is known to this notebook and to nobody else; annotators and
# reward models see it through noise.
#
# The reference gives each review a probability, one word after the other; we
# ask for all 585. With all probabilities at hand, a mean is a sum,
# $\mathbb{E}_\pi[r] = \sum_y \pi(y)\,r(y)$. With a real model it is estimated
# from samples. Here are both, side by side.

# %%
asked = torch.arange(size.samples) % len(gold)
sample = reference.sample(world, asked, generator(SEED, "look"))
estimate = world.gold_reward(sample)
spread = 1.96 * estimate.std() / len(estimate) ** 0.5
say(
    f"The probabilities for “film” sum to {ref[film].exp().sum():.6f}. Mean "
    "gold reward of the reference: exactly "
    f"{solutions.expectation(ref, gold).mean():.3f}; "
    f"from {size.samples:,} samples {estimate.mean():.3f} ± {spread:.3f}."
)

# %% [markdown]
# ## The objective, step by step
#
# For one prompt, with $\beta$ in reward units per nat:
#
# 1. The objective is the mean reward minus the price of drift,
#    $J_\beta(\pi) = \sum_y \pi(y)\left[r(y) -
#    \beta\log\frac{\pi(y)}{\pi_{\text{ref}}(y)}\right]$.
# 2. Maximise over all $\pi(y)$ under $\sum_y \pi(y) = 1$, with a multiplier
#    $\lambda$. The derivative by $\pi(y)$ is zero:
#    $r(y) - \beta\log\frac{\pi(y)}{\pi_{\text{ref}}(y)} - \beta -
#    \lambda = 0$.
# 3. Solve for the policy:
#    $\pi(y) = \pi_{\text{ref}}(y)\,e^{r(y)/\beta}\cdot e^{-1-\lambda/\beta}$.
# 4. The last factor is the same for every $y$, so it only makes the sum one:
#    $\pi^*(y) = \pi_{\text{ref}}(y)\,e^{r(y)/\beta}/Z$ with
#    $Z = \sum_y \pi_{\text{ref}}(y)\,e^{r(y)/\beta}$.
#
# The numbers $e^{r/\beta}$ are weights: the reference decides what can be
# said at all, the reward tilts it, and $\beta$ says how strongly.

# %% [markdown]
# ## What any other policy loses
#
# 5. Take logarithms in step 4 and solve for the reward:
#    $r(y) = \beta\log\frac{\pi^*(y)}{\pi_{\text{ref}}(y)} + \beta\log Z$.
# 6. Put this into step 1, for *any* policy $\pi$. The logarithms of
#    $\pi_{\text{ref}}$ cancel:
#    $J_\beta(\pi) = \beta\log Z -
#    \beta\sum_y \pi(y)\log\frac{\pi(y)}{\pi^*(y)}$.
# 7. The sum is a KL: $J_\beta(\pi) = \beta\log Z -
#    \beta\,\mathrm{KL}(\pi\Vert\pi^*)$.
#
# A KL is never negative and is zero only if both are equal. So $\pi^*$ is
# the only maximum, its value is $\beta\log Z$, and what another policy
# loses, its *regret*, is $\beta\,\mathrm{KL}(\pi\Vert\pi^*)$. Step 5 is where
# DPO will start in lesson 20: a reward and its best policy say the same, up
# to the constant $\beta\log Z$.
#
# In the library, step 4 is one line: `log_softmax` divides by $Z$.

# %%
teach.show(solutions.optimal_policy)

# %% [markdown]
# ## By hand on four reviews
#
# Suppose these four were all there is. Their reference probabilities are
# rescaled to sum to one; each column is one step of the formula.

# %%
texts = ["good and fun", "fun", "dull", "not fun"]
four = [world.index(text) for text in texts]
p_ref = ref[film, four].softmax(-1)
r = gold[film, four]
weight = (r / beta).exp()
Z = (p_ref * weight).sum()
star = p_ref * weight / Z
hand = {"reference": p_ref, "r": r, "exp(r/β)": weight}
hand |= {"reference · exp(r/β)": p_ref * weight, "π*": star}
hand["implicit reward"] = beta * (star / p_ref).log()
hand["r − β log Z"] = r - beta * Z.log()
pd.DataFrame(hand, texts).round(3)

# %%
library = solutions.optimal_policy(p_ref.log(), r, beta).exp()
assert torch.allclose(star, library)
odds = (star[0] / star[1]) / (p_ref[0] / p_ref[1])
say(
    f"Z = {Z:.3f} and β log Z = {beta * Z.log():.3f}. The optimum multiplies "
    f"the odds of “{texts[0]}” against “{texts[1]}” by {odds:.3f}."
)

# %% [markdown]
# The last two columns are equal, which is step 5: the *implicit reward*
# $\beta\log\frac{\pi^*}{\pi_{\text{ref}}}$ of the best policy is the reward
# minus one constant. Differences between reviews mean something, a single
# value does not.
#
# Now the identity of step 7. Compute $J_\beta$ from step 1, without $Z$, for
# the optimum and for a policy that is clearly not the best: equal chances.


# %%
def objective(policy):
    drift = (policy * (policy / p_ref).log()).sum()
    return (policy * r).sum() - beta * drift


equal = torch.full_like(p_ref, 0.25)
divergence = (equal * (equal / star).log()).sum()
lost = objective(star) - objective(equal)
say(
    f"J of the optimum is {objective(star):.4f}, of equal chances "
    f"{objective(equal):.4f}: a loss of {lost:.4f}. And β KL(equal‖π*) is "
    f"{beta * divergence:.4f}."
)
assert torch.allclose(lost, beta * solutions.kl(equal.log(), library.log()))
assert torch.allclose(objective(star), beta * Z.log())

# %% [markdown]
# ## Train: walk uphill on the objective
#
# Nothing above needs training. Do it once all the same, with the exact
# gradient of $J_\beta$ over all 585 reviews, from several random starts. If
# the derivation is right, every walk ends in the same place, and the height
# that is still missing is $\beta\,\mathrm{KL}(\pi\Vert\pi^*)$ at *every* step.


# %%
def climb(seed):
    start = torch.randn(gold.shape, generator=generator(seed, "start"))
    policy = TabularPolicy(world, ref + start)
    adam = torch.optim.Adam(policy.parameters(), lr=0.05)
    for step in range(size.steps + 1):
        logps = policy.response_logps()
        drift = solutions.kl(logps, ref)
        value = (solutions.expectation(logps, gold) - beta * drift).mean()
        adam.zero_grad()
        value.neg().backward()
        adam.step()
        yield step, value.item(), logps.detach()


# %%
best = solutions.optimal_policy(ref, gold, beta)
ceiling = (beta * solutions.log_partition(ref, gold, beta)).mean().item()
on_all = exact.Tracker(world, ref, gold=gold, beta=beta)
rows = [
    on_all(logps).assign(seed=seed, step=step, missing=ceiling - value)
    for seed in range(SEED, SEED + SEEDS)
    for step, value, logps in climb(seed)
    if step % 10 == 0
]
walks = pd.concat(rows)
walks["regret"] = beta * walks["kl_to_optimum"]
gap = (walks["missing"] - walks["regret"]).abs().max()

# %%
names = {"missing": "β log Z − J", "regret": "β KL(π‖π*)"}
two = walks.rename(columns=names).melt(
    ["seed", "step"], list(names.values()), "computed as"
)
views.training_curves(
    two, {"value": "what is lost (reward units)"}, by="computed as",
    log_y=True, title="Two computations of the regret",
    caption="The two lines lie on each other: at no step of any walk do "
    f"they differ by more than {gap:.0e} reward units. The walks end "
    f"{walks['regret'][walks['step'] == size.steps].max():.0e} below the top.",
)

# %% [markdown]
# ## The frontier: what $\beta$ buys
#
# Let $\beta$ go from large to small: $\pi^*_\beta$ draws a curve of gold
# reward against KL. No policy lies above it, because one that did would have a
# larger $J_\beta$ than $\pi^*_\beta$ for some $\beta$. This curve is the
# *frontier*, the dashed line of all later lessons. Move the slider, and read
# what the best policy writes. Then tick the box. Now the policy is the best
# one for a *wrong proxy*: somebody adds the penalty for bad grammar where it
# should be subtracted. **Look for** the place where a smaller $\beta$ no
# longer buys gold, although the proxy still grows.

# %%
beta_explorer(world, ref, gold, wrong=gold - 2 * world.attributes["fluency"])

# %% [markdown]
# ## Break it
#
# Three slips of the pen, each of which gives a distribution that looks
# reasonable:
#
# * **forgotten reference**, $\propto e^{r/\beta}$: the habits of language are
#   gone, any string of words is as likely as its reward allows;
# * **wrong scale**, $\propto \pi_{\text{ref}}\,e^{\beta r}$: at $\beta = 1$
#   nobody notices;
# * **wrong sign**, $\propto \pi_{\text{ref}}\,e^{-r/\beta}$: a cost is taken
#   for a reward.
#
# The identity says what each costs: $\beta\,\mathrm{KL}(\pi\Vert\pi^*)$.

# %%
slips = {
    "forgotten reference": lambda b: (gold / b).log_softmax(-1),
    "wrong scale": lambda b: solutions.optimal_policy(ref, gold, 1 / b),
    "wrong sign": lambda b: solutions.optimal_policy(ref, -gold, b),
}
betas = np.geomspace(0.05, 50, 31).tolist()
known = {"world": world, "ref_logps": ref, "gold": gold}
known["frontier"] = Frontier(ref, gold)
broken = pd.concat(
    exact.evaluate(at(b), beta=b, **known).assign(slip=slip, beta=b)
    for slip, at in slips.items()
    for b in betas
)
broken["regret"] = broken["beta"] * broken["kl_to_optimum"]


# %%
def where(rows):
    return rows["kl"].tolist(), rows["gold"].tolist()


frontier = solutions.frontier(ref, gold, gold, betas)
drawn = [views.Line(*where(frontier), "right optimum", views.role("exact"))]
for i, (name, rows) in enumerate(broken.groupby("slip", sort=False)):
    drawn.append(views.Points(*where(rows), name, views.series(i), size=5))
axes = "KL(π‖π_ref) (nats per sequence)", "gold reward (reward units)"
chart = views.Chart("Three wrong optima, β from 0.05 to 50", *axes, drawn)
below = broken.groupby("slip")["frontier_gap"].mean().abs()
views.Fig(
    views.Panels([chart]),
    "The points of the wrong scale lie on the frontier (mean gap "
    f"{below['wrong scale']:.3f}); those of the forgotten reference lie "
    f"{below['forgotten reference']:.2f} and those of the wrong sign "
    f"{below['wrong sign']:.2f} reward units below it on average.",
    broken[["slip", "beta", "kl", "gold"]],
)

# %%
cost = broken.pivot(index="beta", columns="slip", values="regret")
cheapest = cost["wrong scale"].idxmin()
views.training_curves(
    broken.rename(columns={"beta": "β (reward units per nat)"}),
    {"regret": "regret β KL(π‖π*) (reward units)"},
    x="β (reward units per nat)", by="slip", log_x=True, log_y=True,
    caption=f"The wrong scale costs least at β = {cheapest:.2g}; it costs "
    f"{cost['wrong scale'].iloc[0]:.1f} reward units at β = {betas[0]:.2f}. "
    "The cost of the forgotten reference grows with β, that of the wrong sign "
    "falls.",
)

# %% [markdown]
# The wrong scale is the dangerous one. Each of its points is the right
# optimum of *another* $\beta$, so no plot of gold against KL accuses it. Only
# the objective, with the $\beta$ that was meant, does.
#
# ## Answers

# %%
far, near = frontier.iloc[-1], frontier.iloc[0]
limits = {"the reference": far["kl"], "only the best review": near["kl"]}
display(
    teach.reveal(
        "01-1",
        right=f"{odds:.2f}",
        because="in step 4 everything but exp(r/β) cancels in the factor: it "
        f"is exp(1/1) = {np.e:.2f}, however rare the review is. (1.65 belongs "
        "to half a unit, 7.39 to two.)",
    ),
    teach.reveal(
        "01-2",
        right=min(limits, key=limits.get),
        because=f"at β = {far['beta']:.0f} the best policy is {far['kl']:.4f} "
        "nats from the reference: drift has become too dear. At "
        f"β = {near['beta']:.2f} its gold reward is {near['gold']:.2f}, and "
        f"always the best review would give {gold.amax(-1).mean():.2f}.",
    ),
    teach.reveal(
        "01-3",
        right=below.idxmin(),
        because=f"its points lie {below.min():.3f} reward units below the "
        "frontier on average: each is the right answer for another β.",
    ),
)

# %% [markdown]
# ## Claims
#
# Both are theorems, checked by enumeration: one value that fails would be a
# mistake in the derivation or in the library.

# %%
setting = "reviews of 3 words, gold reward, all reviews, one reference model"
about = {"out": OUT or None, "setting": setting, "unit": "reward units"}
teach.claim(
    key="regret-is-kl", paper="ours", kind="exact",
    effect=(walks["missing"] - walks["regret"]).tolist(),
    expected="zero", tolerance=1e-9, must_hold=True,
    statement="Every policy loses exactly β KL(π‖π*), along whole walks.",
    meaning="A loss in reward units and a divergence are one thing.", **about,
)
teach.claim(
    key="nobody-above", paper="ours", kind="exact",
    effect=walks["frontier_gap"].tolist(),
    expected=(-1e-6, np.inf), must_hold=True,
    statement="No policy of the walks earns more gold than π*_β at its KL.",
    meaning="The dashed line of later figures is a true upper bound.", **about,
)

# %% [markdown]
# ## Exercises
#
# **01-1 · Read the figure** (●○○, 5 minutes). In the last figure of *Break
# it* one curve has a deep notch. At which $\beta$ is it, and why there?

# %%
teach.answer("01-1", None)

# %% tags=["solution"]
# r/β and β r are equal where β = 1/β
teach.solution("01-1", cheapest)

# %% [markdown]
# **01-2 · An optimum with pencil and paper** (●○○, 10 minutes). Three answers
# have reference probabilities 0.5, 0.4, 0.1 and rewards 0, 1, 2. What is the
# probability of the third under $\pi^*_\beta$ at $\beta = 0.5$?

# %%
teach.answer("01-2", None)

# %% tags=["solution"]
small = torch.tensor([0.5, 0.4, 0.1]) * torch.tensor([0.0, 2.0, 4.0]).exp()
teach.solution("01-2", (small / small.sum())[2].item())

# %% [markdown]
# **01-3 · The objective in code** (●●○, 10 minutes). Write $J_\beta$ of a
# policy that is given as log-probabilities. It is then asked for equal
# chances on all 585 reviews of "film" at $\beta = 0.5$.


# %%
def my_objective(log_policy, log_reference, reward, beta):
    return None  # your lines


all_equal = torch.full_like(ref[film], -np.log(ref.shape[-1]))
teach.answer("01-3", my_objective(all_equal, ref[film], gold[film], 0.5))


# %% tags=["solution"]
def objective_solution(log_policy, log_reference, reward, beta):
    value = reward - beta * (log_policy - log_reference)
    return (log_policy.exp() * value).sum()


solved = objective_solution(all_equal, ref[film], gold[film], 0.5)
teach.solution("01-3", solved.item())

# %% [markdown]
# **01-4 · A gift** (●●○, 10 minutes). Add 5 reward units to *every* review of
# one prompt. Which of these changes: `"the optimum"`, `"β log Z"` or
# `"the regret of the reference"`?

# %%
teach.answer("01-4", None)

# %% tags=["solution"]
moved = solutions.optimal_policy(ref[film], gold[film] + 5, beta)
assert torch.allclose(moved, best[film])  # so the regrets stay, too
before, after = (
    beta * solutions.log_partition(ref[film], gold[film] + gift, beta)
    for gift in (0, 5)
)
print(f"β log Z of “film”: {before:.3f}, with the gift {after:.3f}")
teach.solution("01-4", "β log Z")

# %% [markdown]
# **01-5 · Bug hunt: an optimum that does not sum to one** (●●○, 10 minutes).
# A colleague's optimum looks fine review by review. The sums over the
# reviews of each prompt are printed. Which line is wrong: 1, 2 or 3?


# %%
def their_optimum(log_reference, reward, beta):
    tilted = log_reference + reward / beta  # line 1
    log_z = tilted.logsumexp(0, keepdim=True)  # line 2
    return tilted - log_z  # line 3


sums = their_optimum(ref, gold, beta).exp().sum(-1)
print("sum per prompt:", [round(value, 1) for value in sums.tolist()])
teach.answer("01-5", None)

# %% [markdown] tags=["solution"]
# $Z$ is a sum over reviews, the *last* axis. Over axis 0 each review is
# normalised over the four prompts, and all sums together are 585.

# %% tags=["solution"]
right_z = (ref + gold / beta).logsumexp(-1, keepdim=True)
assert torch.allclose(ref + gold / beta - right_z, best)
teach.solution("01-5", 2)

# %% [markdown]
# **01-6 · Your own experiment: the exchange rate** (●●●, 20 minutes). How much
# gold does the next nat buy? Measure the slope of the frontier, gold per
# nat, around $\beta = 0.3$, with two values of $\beta$ close to it. Then show
# that the result is no accident.

# %%
teach.answer("01-6", None)

# %% tags=["solution"]
pair = solutions.frontier(ref, gold, gold, [0.301, 0.299])
step_gold, step_kl = pair["gold"].diff()[1], pair["kl"].diff()[1]
teach.solution("01-6", step_gold / step_kl)

# %% [markdown] tags=["solution"]
# At the maximum of $\mathbb{E}_\pi[r] - \beta\,\mathrm{KL}$ a small step along
# the frontier changes nothing to first order. So
# $d\,\mathbb{E}[r] - \beta\,d\,\mathrm{KL} = 0$: the slope is $\beta$. This is
# what "price" means.

# %% [markdown]
# ## Recap
#
# 1. The best policy is the reference times $e^{r/\beta}$, made to sum to one.
# 2. One reward unit multiplies odds by $e^{1/\beta}$, however rare the answer.
# 3. What a policy loses is $\beta\,\mathrm{KL}(\pi\Vert\pi^*)$, exactly.
# 4. $\beta$ is an exchange rate: the slope of the frontier.
# 5. A policy on the frontier may still be the optimum of the wrong $\beta$.
#
# Three questions to end with: call `teach.quiz("01")`. Your letters behind the
# number, as in `teach.quiz("01", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# - Rafailov et al. 2023, *Direct Preference Optimization*
#   ([2305.18290](https://arxiv.org/abs/2305.18290)), section 4 and
#   appendix A.1: the same derivation.
# - Korbak et al. 2022, *RL with KL penalties is better viewed as Bayesian
#   inference* ([2205.11275](https://arxiv.org/abs/2205.11275)).
# - Ziebart 2010, *Modeling purposeful adaptive behavior with the principle of
#   maximum causal entropy*.
#
# Next: [**02 · Probes**](02_probes.ipynb) uses optima like this one to find
# out which part of a training loop is broken; [**03 · Supervised
# fine-tuning**](03_supervised.ipynb) is the stage before preferences.
