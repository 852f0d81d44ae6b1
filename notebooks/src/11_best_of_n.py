# ---
# jupyter:
#   workbench:
#     title: "11 · Best-of-n and overoptimisation"
#     part: reward models
#     path: core
#     needs: ["01", "10"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 11 · Best-of-n: when does more optimisation do harm?
#
# **The idea in one sentence.** Optimise a learned reward harder and harder,
# and what people really wanted first rises, then peaks, then falls; it peaks
# exactly where the two rewards stop moving together *under the policy of that
# moment*, that is, where their covariance is zero.
#
# After this lesson you can
#
# * compute the distribution of best-of-n, ties included, and its KL;
# * derive in four lines why and where the gold reward turns over;
# * say from one covariance whether more optimisation still helps;
# * recognise numbers that belong to no policy, because they beat the frontier.
#
# *Needs*: lessons 01, 10. About 90 minutes. Words in doubt stand in the
# [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 10
DEVICE = "cpu"
OUT = ""

# %%
from workbench.lesson import *
from workbench.loops import reward
from workbench.measure import overoptimisation as over
from workbench.methods.decoding import best_of_n
from workbench.methods.reward.pairwise import bt
from workbench.models import heads
from workbench.views.instruments import best_of_n_dial, peak_explorer

# %%
size = sizes(PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(20, 200, 200))
n_pairs, flip = 300, 0.25
ns = sorted({round(2 ** (k / 2)) for k in range(25)})  # 1, 2, 3, 4, … 4,096

world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
gold = world.gold

# %% [markdown]
# ## The question
#
# Lesson 10 ended with a reward model. Now somebody uses it. The simplest
# optimiser needs no gradient and no training: draw $n$ responses from the
# reference, keep the one that the reward model scores highest. This is
# **best-of-n**. With $n = 1$ nothing is optimised; with a large $n$ the
# reward model decides everything.
#
# Your reward model comes from 300 comparisons, a quarter of them recorded the
# wrong way round. It is a *proxy*: something you can compute, in place of the
# *gold* reward, which you want and which nobody can compute outside this
# world. Please predict before you read on.

# %%
teach.predict(
    "11-1",
    "At which n, from 1 to 4,096, is the gold reward of the kept response "
    "highest?",
    ["n = 1", "2 to 8", "9 to 64", "65 to 1,024", "more than 1,024"],
)

# %%
teach.predict(
    "11-2",
    "The exact optimum of the same proxy, for every price of KL, is another "
    "optimiser. Along which of the two does gold peak at the smaller KL?",
    ["best-of-n", "the exact optimum", "equal within half a nat"],
)

# %% [markdown]
# ## Train the proxies, and look at three reviews
#
# One reward model per seed, each from pairs of its own. The seeds differ from
# those on which the settings were chosen. Proxies differ much from seed to
# seed, so the pictures of this lesson show the *middle* one: sort the proxies
# by the $\beta$ at which gold turns over (how it is found is the subject of
# this lesson), and take the one in the middle.
#
# Three reviews of a film follow: the proxy's favourite, gold's favourite, and
# the one that the reference writes most often. Look at both scores of the
# first two. An optimiser of the proxy cannot know where to stop in between.

# %%
block = range(SEED + 100, SEED + 100 + size.seeds)
people, parts = Annotator(flip=flip), []
for seed in block:
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, n_pairs, people, draw))
models = [heads.ScoreModel.tiny(world.vocab, seed=seed) for seed in block]
model, pairs = heads.ScoreModel.stack(models), Pairs.cat(parts)
run = reward.fit(model, pairs, bt, bt.Config(), steps=size.steps, seed=SEED)
proxies = run.policy.score_all(world)  # [seed, prompt, response]

# %%
turns = [over.peak_beta(ref, each, gold) or 0.03 for each in proxies]
middle = int(np.argsort(turns)[size.seeds // 2])
proxy, turn = proxies[middle], turns[middle]
who = {"the proxy": proxy[0], "gold": gold[0], "the reference": ref[0]}
three = [int(values.argmax()) for values in who.values()]
columns = {"review": [world.text(i) for i in three]}
columns["proxy score"] = proxy[0, three].tolist()
columns["gold reward"] = gold[0, three].tolist()
columns["reference probability"] = ref[0, three].exp().tolist()
pd.DataFrame(columns, index=[f"favourite of {name}" for name in who]).round(5)

# %% [markdown]
# ## The distribution of best-of-n, step by step
#
# Which response does best-of-n keep, and how often? Write
# $F_{\le}(y)$ for the probability that the reference writes a response that
# scores *at most* $r(y)$, and $F_{<}(y)$ for *strictly less*.
#
# 1. All $n$ draws score at most $r(y)$ with probability $F_{\le}(y)^n$,
#    because the draws are independent.
# 2. All $n$ draws score less than $r(y)$ with probability $F_{<}(y)^n$.
# 3. The best score is exactly $r(y)$ in the first case without the second:
#    with probability $F_{\le}(y)^n - F_{<}(y)^n$.
# 4. Responses with this same score share that probability as the reference
#    does. Their own mass is $F_{\le}(y) - F_{<}(y)$, so
#
# $$P_n(y) = \pi_{\text{ref}}(y)\,
# \frac{F_{\le}(y)^n - F_{<}(y)^n}{F_{\le}(y) - F_{<}(y)} .$$
#
# If every response is very rare, the fraction is nearly the derivative
# $n F^{n-1}$, and with $F$ uniform on $[0, 1]$
#
# $$\text{KL}(P_n \Vert \pi_{\text{ref}}) = \log n - \frac{n-1}{n} .$$
#
# With ties the KL is *smaller*: among equals the reference decides. As $n$
# grows without end only the responses with the highest score are left, and
# the KL stops at minus the logarithm of their mass.

# %%
teach.show(best_of_n.log_distribution)

# %% [markdown]
# ## By hand: best-of-2 on four responses, two of them tied
#
# With $n = 2$ there are only 16 draws. List them all, and compare with the
# formula and with the library.

# %%
q = torch.tensor([0.4, 0.3, 0.2, 0.1]).double()  # the reference
score = torch.tensor([0.0, 1.0, 1.0, 2.0]).double()
at_most = torch.stack([q[score <= s].sum() for s in score])
below = torch.stack([q[score < s].sum() for s in score])
formula = q * (at_most**2 - below**2) / (at_most - below)
listed = torch.zeros(4).double()
for i, j in torch.cartesian_prod(torch.arange(4), torch.arange(4)):
    first_wins = 0.5 + 0.5 * (score[i] - score[j]).sign()  # tied: a fair coin
    listed[i] += q[i] * q[j] * first_wins
    listed[j] += q[i] * q[j] * (1 - first_wins)

# %%
library = best_of_n.log_distribution(q.log(), score, 2).exp()
hand = {"score": score, "reference": q, "at most": at_most, "below": below}
hand |= {"16 draws": listed, "formula": formula, "library": library}
display(pd.DataFrame({k: v.tolist() for k, v in hand.items()}).round(3))
kl = (formula * (formula / q).log()).sum()
say(f"KL = {kl:.3f} nats; without ties {best_of_n.kl_bound(2):.3f}.")
assert torch.allclose(listed, library) and torch.allclose(formula, library)

# %% [markdown]
# ## More draws: the proxy rises, gold does not
#
# Now the 585 reviews of each prompt, exactly, for every $n$. Nothing is
# sampled: the formula gives the probability of each review. The sentence
# below tells of the middle proxy.
#
# And other proxies? The dial fits a smaller reward model while you move it:
# one weight for each word and one for each two words side by side, ten epochs
# on pairs of its own, so its numbers differ from those in the sentence.
# **Try** $n$ from 1 to 4,096 with few pairs and with many, with no label
# flipped and with 40 percent. **Look for** the line in the middle panel: it
# is the slope of gold, and where it crosses zero gold turns over. Which of
# the sliders moves that place to the right? (In a live notebook they move.)

# %%
draws = over.best_of_n_curve(ref, proxy, gold, ns)
top, last = draws.loc[draws.gold.idxmax()], draws.iloc[-1]
say(
    f"Gold is {draws.gold.iloc[0]:.2f} at n = 1, highest at n = {top.n:.0f} "
    f"with {top.gold:.2f}, and {last.gold:.2f} at n = {ns[-1]:,}. The proxy "
    f"rises from {draws.proxy.iloc[0]:.2f} to {last.proxy:.2f}."
)
best_of_n_dial(world, ref, pairs=n_pairs, flip=flip, seed=SEED)

# %% [markdown]
# ## Why there is a peak, and where
#
# Take the other optimiser, the exact optimum of lesson 01, because it can be
# differentiated. Write $p(y)$ for the proxy, $g(y)$ for gold and
# $\eta = 1/\beta$ for how hard the proxy is optimised:
# $\pi_\eta(y) = \pi_{\text{ref}}(y)\,e^{\eta p(y)} / Z_\eta$. At each prompt:
#
# 1. Take logarithms:
#    $\log\pi_\eta = \log\pi_{\text{ref}} + \eta\,p - \log Z_\eta$.
# 2. The normaliser moves with the mean proxy:
#    $\frac{d}{d\eta}\log Z_\eta = \sum_y \pi_\eta(y)\,p(y)
#    = E_{\pi_\eta}[p]$.
# 3. So a response gains if its proxy is above the mean:
#    $\frac{d}{d\eta}\pi_\eta(y) = \pi_\eta(y)\,(p(y) - E_{\pi_\eta}[p])$.
# 4. Multiply by gold and add up:
#
# $$\frac{d}{d\eta} E_{\pi_\eta}[g]
# = E_{\pi_\eta}\big[g\,(p - E_{\pi_\eta}[p])\big]
# = \text{Cov}_{\pi_\eta}(g, p) .$$
#
# **Gold rises while its covariance with the proxy is positive, under the
# policy of that moment, and falls when it is negative.** Nothing else enters:
# not the accuracy of the proxy, not its mean error. With the proxy in the
# place of gold the same line says $\frac{d}{d\eta}E[p] = \text{Var}(p) \ge 0$:
# the proxy always rises.
#
# Best-of-n obeys the same rule with another push. In place of the proxy stands
# $\frac{d}{d\log n}\log P_n(y)$, which is $1 + n \log F(y)$ if nothing ties:
# the *rank* of a review counts, not its score. The middle panel above is the
# covariance of gold with that push under $P_n$, ties included, and it is
# exactly the slope of gold in $\log n$.
#
# ## By hand: the slope is the covariance
#
# The same four responses with a gold reward that agrees with the scores on
# the first three and disagrees on the last. The slope is a difference
# quotient, the covariance is $E[gp] - E[g]\,E[p]$.


# %%
def tilted(eta):
    weight = q * (eta * score).exp()
    return weight / weight.sum()


want = torch.tensor([-1.0, 1.0, 0.5, -0.5]).double()  # gold of the four
rows, step = [], 1e-4
for eta in (0.0, 0.5, 1.0, 1.5, 2.0):
    p = tilted(eta)
    by_hand = (p * want * score).sum() - (p * want).sum() * (p * score).sum()
    rise = (tilted(eta + step) - tilted(eta - step)) @ want / (2 * step)
    known = solutions.covariance(p.log(), want, score)
    rows.append([eta, p @ want, rise, by_hand, known])

# %%
rows = torch.tensor(rows).double()
names = ["η", "gold", "slope of gold", "covariance by hand", "library"]
display(pd.DataFrame(rows.numpy(), columns=names).round(3))
assert torch.allclose(rows[:, 3], rows[:, 4])
assert torch.allclose(rows[:, 2], rows[:, 4], atol=1e-6)

# %% [markdown]
# Gold grows as long as the last two columns are positive. At some place
# between two rows they change sign, and there gold is highest.
#
# ## One line through both pictures
#
# This is the middle proxy again. On the left gold, beside it the covariance,
# both as means over the four prompts, for every optimum $\pi^*_\beta$ of the
# proxy. The dashed line stands at the same $\sqrt{\text{KL}}$ in both. On the
# right are the film reviews that the policy *at the line* likes most, each
# with its gold reward. In a live notebook a slider moves the line.

# %%
peak_explorer(world, ref, proxy, beta=turn)

# %% [markdown]
# Read it from left to right. The covariance falls because the policy leaves
# the reviews on which the two rewards agree. Where it crosses zero, gold
# stands still. Beyond, every further nat costs gold, although the proxy is
# still rising. Only the *sign* carries over from the middle to the left: the
# covariance is a slope per step of $1/\beta$ and the axis is
# $\sqrt{\mathrm{KL}}$, so at the far right it is small where gold falls fast.
#
# Now the covariance itself, at three places on the path: four times lighter
# optimisation than at the peak, the peak, and four times harder. First the
# four favourite film reviews at each place. Then all reviews: every dot is a
# review, as large as its probability, placed by its proxy and its gold
# reward, both counted from the policy's mean. The dotted line through the
# dots has the slope $\text{Cov}(g, p) / \text{Var}(p)$.

# %%
places = {"Before the peak": 4 * turn, "At the peak": turn}
places["Beyond the peak"] = turn / 4
written = over.responses_at(world, ref, proxy, places)
film = written[written.prompt == world.prompts[0]].round(2)
four = film.drop(columns="prompt").groupby("place", sort=False).head(4)
display(four.set_index("place"))
along = over.tilt_curve(ref, proxy, gold, list(places.values()))
views.clouds(
    written,
    caption="The covariance at the three places is "
    + ", ".join(f"{value:+.2f}" for value in along.covariance),
)

# %% [markdown]
# On the right the policy has already taken what the proxy could tell it. Of
# what is left, the reviews that the proxy likes still better are those that
# it is wrong about.
#
# ## Do both optimisers peak at the same place?
#
# Best-of-n and $\pi^*_\beta$ are different families of policies. We compare
# them at equal KL, with $\sqrt{\text{KL}}$ on the axis, because for small
# KL every reward grows like $\sqrt{\text{KL}}$.
#
# Below the picture stands the distance to the frontier, the optimum of gold.
# Stop each
# optimiser at its gold peak, with hindsight that nobody has. The column
# *possible* is the gold that the same KL buys if gold is the reward.

# %%
both = over.paths(ref, proxy, gold, ns=ns)
peaks = both.loc[both.groupby("curve").gold.idxmax()].set_index("curve")
kl_n, kl_star = peaks.kl["best of n"], peaks.kl["optimum"]
best = solutions.frontier(ref, gold, gold, np.geomspace(20, 0.05, 40))
views.overoptimisation(
    both.replace({"curve": {"optimum": "π*"}}),
    exact=best,
    rewards=["gold"],
    title="Gold along two optimisers of one proxy",
    caption=f"Gold peaks at {kl_n:.2f} nats along best-of-n and at "
    f"{kl_star:.2f} nats along π*.",
)

# %%
bought = np.interp(peaks.kl, best.kl, best.gold)
table = peaks[["kl", "gold", "proxy"]].assign(possible=bought)
display(table.assign(lost=bought - peaks.gold).round(2))
honest = over.best_of_n_curve(ref, gold, gold, ns)
falls = "falls" if honest.gold.diff().min() < -1e-9 else "never falls"
say(f"With gold as the proxy, gold {falls} from n = 1 to {ns[-1]:,}.")

# %% [markdown]
# Even at the peak much of what was possible is lost. Stopping in time avoids
# harm; it does not repair the proxy. The last line is a test of the theory:
# if the proxy *is* gold, the covariance is a variance and never negative, so
# gold never falls.
#
# Does a network that is trained on the proxy by reinforcement learning peak at
# the same KL? It need not pass through these policies. In our runs its gold
# mostly did not turn over at all before the network came to rest, because it
# never found the reviews that the proxy overrates most. Study 11a shows this,
# with the formulas that Gao and co-authors fitted to such curves.
#
# ## Break it: forget the ties
#
# Code in the wild often uses $n\,\pi_{\text{ref}}\,F_{\le}^{n-1}$, the
# formula for scores that never tie. Let the proxy be a judge who gives whole
# stars, gold rounded to integers, so that there are many ties.

# %%
stars, few, frames = gold.round(), [1, 2, 4, 8, 16, 32], []
kinds = {"right": best_of_n.log_distribution}
kinds["ties forgotten"] = best_of_n.mistakes["1 score without atoms"]
for kind, distribution in kinds.items():
    for n in few:
        logps = distribution(ref, stars, n)
        kl = (logps.exp() * (logps - ref)).sum(-1).mean().item()
        value = solutions.expectation(logps, gold).mean().item()
        total = logps.exp().sum(-1).mean().item()
        frames.append([kind, n, kl, value, total])
ties = pd.DataFrame(frames, columns=["kind", "n", "kl", "gold", "mass"])

# %%
line = list(best.kl), list(best.gold), "exact frontier", views.role("exact")
layers, highest = [views.Line(*line)], gold.max()
for i, (kind, part) in enumerate(ties.groupby("kind")):
    curve = list(part.kl), list(part.gold), kind, views.series(i)
    layers.append(views.Line(*curve, markers=True))
axes = "KL(π‖π_ref) (nats)", "gold (reward units)"
chart = views.Chart("Best of n by whole stars", *axes, layers)
said = f"With the ties forgotten gold reaches {ties.gold.max():.2f}; the best "
said += f"review of all is worth {highest:.2f}. The total mass reaches "
said += f"{ties.mass.max():.2f}."
views.Fig(views.Panels([chart]), said, ties)

# %% [markdown]
# **Its signature.** For larger n the curve passes above the frontier, and then
# above the best review that exists; for small n it lies below, and the picture
# would not give it away. No policy can do that, so these numbers belong to no
# policy: the "probabilities" sum to more than 1.
#
# ## Answers and claim

# %%
edges = [1, 8, 64, 1024]
options = ["n = 1", "2 to 8", "9 to 64", "65 to 1,024", "more than 1,024"]
teach.reveal(
    "11-1",
    right=options[int(np.searchsorted(edges, top.n))],
    because=f"gold is highest at n = {top.n:.0f}, at {top.kl:.2f} nats, with "
    f"{top.gold:.2f}. One draw has {draws.gold.iloc[0]:.2f} and {ns[-1]:,} "
    f"draws have {last.gold:.2f}. Other proxies peak elsewhere.",
)

# %%
apart = kl_n - kl_star
nearer = "best-of-n" if apart < 0 else "the exact optimum"
teach.reveal(
    "11-2",
    right="equal within half a nat" if abs(apart) <= 0.5 else nearer,
    because=f"gold peaks at {kl_n:.2f} nats along best-of-n and at "
    f"{kl_star:.2f} nats along the exact optimum of this proxy. Both move "
    "probability towards the reviews that the proxy scores highest.",
)

# %%
curves = [over.best_of_n_curve(ref, each, gold, ns).gold for each in proxies]
where = f"reviews, one reference model, {n_pairs} pairs, {flip:.0%} flipped"
teach.claim(
    key="hump-bon",
    paper="Gao et al. 2023 (2210.10760)",
    statement="Along best-of-n gold peaks and then falls by at least 0.1.",
    meaning="A learned reward can be optimised too hard without training.",
    effect=[each.max() - each.iloc[-1] for each in curves],
    expected=(0.1, float("inf")),
    **{"unit": "reward units", "setting": where, "out": OUT or None},
)

# %% [markdown]
# ## Exercises
#
# **11-1 · Read the two panels** (●○○, 5 minutes). Between two places on the
# path the covariance falls from 1.5 to 0.5. What does gold do in between?
# Answer `"rises ever faster"`, `"rises ever more slowly"` (both measured per
# step of $1/\beta$) or `"falls"`.

# %%
teach.answer("11-1", None)

# %% tags=["solution"]
teach.solution("11-1", "rises ever more slowly")

# %% [markdown]
# **11-2 · Two winners** (●○○, 10 minutes). Three responses, equally likely,
# score 0, 1 and 1. Compute the three probabilities under best-of-2 on paper.

# %%
teach.answer("11-2", None)

# %% tags=["solution"]
third = torch.full((3,), 1 / 3).double().log()
tied = torch.tensor([0.0, 1.0, 1.0]).double()
two = best_of_n.log_distribution(third, tied, 2).exp()
teach.solution("11-2", two)

# %% [markdown]
# **11-3 · Fill the line** (●●○, 10 minutes). Write the slope of gold from
# three lists. The check tries it on the four responses by hand at
# $\eta = 0.5$.


# %%
def my_slope(policy, gold_, proxy_):
    return None  # the covariance of gold_ and proxy_ under policy


teach.answer("11-3", my_slope(tilted(0.5), want, score))


# %% tags=["solution"]
def slope_of_gold(policy, gold_, proxy_):
    return (policy * gold_ * (proxy_ - (policy * proxy_).sum())).sum()


teach.solution("11-3", slope_of_gold(tilted(0.5), want, score))

# %% [markdown]
# **11-4 · Bug hunt** (●●○, 10 minutes). A colleague's best-of-n returns
# probabilities that sum to 1, and every test on different scores passes. Look
# at its numbers for the four responses. What is wrong? Answer `"the worst is
# kept"`, `"ties go to the later one"`, `"the strict mass is used"` or
# `"nothing"`.

# %%
suspect = [*best_of_n.mistakes.values()][2]
found = suspect(q.log(), score, 2).exp()
numbers = {"score": score, "suspect": found, "16 draws": listed}
display(pd.DataFrame({k: v.tolist() for k, v in numbers.items()}).round(3))
teach.answer("11-4", None)

# %% tags=["solution"]
assert torch.allclose(found[1:3].sum(), listed[1:3].sum())
teach.solution("11-4", "ties go to the later one")

# %% [markdown]
# **11-5 · Pure noise** (●●●, 20 minutes). A proxy that is right on average:
# gold plus independent Gaussian noise of standard deviation 1 for each
# response. Make ten of them with `torch.randn(gold.shape,
# generator=generator(seed, "noise")).double()`, seeds 0 to 9. For how many
# does gold turn over at some $\beta$ above 0.01? Use `over.peak_beta`.

# %%
teach.answer("11-5", None)

# %% tags=["solution"]
turned = 0
for number in range(10):
    source = generator(number, "noise")
    noise = torch.randn(gold.shape, generator=source).double()
    turned += over.peak_beta(ref, gold + noise, gold) is not None
teach.solution("11-5", turned)

# %% [markdown]
# ## Recap
#
# * Best-of-n draws $n$ responses and keeps the one with the highest proxy;
#   its distribution and its KL are known exactly, ties included.
# * The proxy never falls with optimisation. With these learned proxies gold
#   rises, peaks and falls.
# * The slope of gold in $1/\beta$ is its covariance with the proxy under the
#   policy of that moment, so gold peaks where the covariance is zero.
# * The covariance under the reference, and the accuracy on held-out pairs,
#   cannot tell you where that is: the policy has left those responses.
# * A curve above the exact frontier belongs to no policy.
#
# Three questions to end with: call `teach.quiz("11")`. Your letters behind the
# number, as in `teach.quiz("11", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * Gao, Schulman, Hilton 2023, *Scaling laws for reward model
#   overoptimization*, [2210.10760](https://arxiv.org/abs/2210.10760).
# * Stiennon et al. 2020, *Learning to summarize from human feedback*,
#   [2009.01325](https://arxiv.org/abs/2009.01325): best-of-n in practice.
# * Beirami et al. 2024, *Theoretical guarantees on the best-of-n alignment
#   policy*, [2401.01879](https://arxiv.org/abs/2401.01879): the bound on KL.
#
# Next: [**20 · DPO**](20_dpo.ipynb), which optimises without a reward model
# in between.
