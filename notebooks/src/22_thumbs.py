# ---
# jupyter:
#   workbench:
#     title: "22 · Thumbs"
#     part: offline
#     path: elective
#     needs: ["01", "20"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 22 · Thumbs: where should a single response stand?
#
# **The idea in one sentence.** A thumb up has no partner, so its loss must
# say by itself where the log-ratio of a response shall stand: binary
# classifier optimisation (BCO) names a finite place for each response, and
# Kahneman–Tversky optimisation (KTO) names only a direction.
#
# After this lesson you can
#
# * train a policy on thumbs up and down, without any pairs;
# * compute where BCO lets a response rest, and show that KTO never does;
# * say what a log-ratio is compared with, and when that comparison breaks;
# * weight a data set in which one kind of thumb is rare.
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

from workbench.feedback.kinds.thumbs import Thumbs, sample_thumbs
from workbench.lesson import *
from workbench.measure import single_responses
from workbench.methods.direct.unpaired import bco, kto
from workbench.views.agreement import agreement
from workbench.views.instruments import thumb_explorer

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 120, 1000),
    thumbs=(128, 4000, 20000),
)
beta, world = 1.0, Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %% [markdown]
# ## The question
#
# The readers of a film page do not compare reviews. Each of them reads one
# review and presses a thumb. DPO cannot learn from that: it reads the
# difference of two log-ratios, and here there is only one,
# $d(y) = \log\frac{\pi(y)}{\pi_{\text{ref}}(y)}$. So a loss of thumbs must
# compare $d$ with *something*.
#
# Suppose that 60 % of the readers like a review. Write your predictions into
# `mine` before you go on.

# %%
places = ["to a finite number", "upwards without end"]
display(
    teach.predict(
        "22-1", "60 % like a review. BCO is a classifier of thumbs. Where "
        "does it push the log-ratio of this review?", places,
    ),
    teach.predict(
        "22-2", "KTO takes the sigmoid where BCO takes its logarithm. "
        "Where does KTO push the same log-ratio?", places, mine="",
    ),
    teach.predict(
        "22-3", "The readers thumb every review often. Can one policy give "
        "each review the log-ratio that BCO asks for?",
        ["yes, and it is the optimum of DPO", "no"],
    ),
)
views.pipeline(here=("preferences", "dpo"))

# %% [markdown]
# ## Three data points
#
# A reader compares a review with a bar and presses a thumb up with
# probability $q(y) = \sigma(r(y) - b)$. Our readers have seen many reviews of
# this kind: their bar is the mean reward of the reference,
# $b = \mathbb{E}_{\text{ref}}[r]$. No row below has a partner.

# %%
gold = world.gold.double()
bar = solutions.expectation(ref, gold)[:, None]
liked = (gold - bar).sigmoid()  # q, of every review of every prompt
draws = [generator(seed, "thumbs") for seed in range(SEED, SEED + size.seeds)]
how = world, ref, size.thumbs, Annotator()
thumbs = Thumbs.cat([sample_thumbs(*how, d, gold - bar) for d in draws])
x, y = thumbs.tokens.prompt[:3].tolist(), thumbs.tokens.response[:3].tolist()
shown = {"prompt": [world.prompts[i] for i in x]}
shown |= {"review": [world.text(i) for i in y], "thumb up": thumbs.up[:3]}
pd.DataFrame(shown | {"share who like it": liked[x, y]}).round(2)

# %% [markdown]
# ## The objectives, step by step
#
# Write $s = \beta d$ for the implicit reward of lesson 20.
#
# 1. **BCO** is a classifier whose logit is $s - \delta$. A thumb up costs
#    $-\log\sigma(s - \delta)$, a thumb down $-\log\sigma(\delta - s)$. The
#    shift $\delta$ is the mean of $s$ over the batch, taken as a constant.
# 2. If a share $q$ of the readers press up, the mean cost of a review is
#    $-q\log\sigma(s-\delta) - (1-q)\log\sigma(\delta-s)$.
# 3. Its push, which is minus its slope in $s$, is $q - \sigma(s - \delta)$.
# 4. The push is zero at $s - \delta = \log\frac{q}{1-q}$, the log-odds of a
#    thumb up. **BCO names a finite place.**
# 5. **KTO** takes the sigmoid without a logarithm: a thumb up costs
#    $1 - \sigma(\beta(d - z_0))$ and a thumb down $\sigma(\beta(d - z_0))$.
#    Its $z_0$ is a constant as well: an estimate of
#    $\text{KL}(\pi\Vert\pi_{\text{ref}})$, never below zero.
# 6. The mean cost of a review is $q - (2q-1)\,\sigma(\beta(d - z_0))$.
# 7. Its push is $(2q - 1)$ times the slope of the sigmoid, and that slope is
#    above zero everywhere. The push has one sign at every $d$: that of the
#    majority. **KTO names a direction and no place.**

# %%
display(teach.show(bco.loss), teach.show(kto.loss), teach.show(kto._value))

# %% [markdown]
# `batch.reference_mean` is the mean log-ratio of the batch, so
# $\delta$ is $\beta$ times it. `batch.reference_point` is the mean log-ratio
# of prompts with the responses of other prompts; clamped at zero it is $z_0$.
#
# ## By hand: one review, many readers
#
# Let $q = 0.6$, $\beta = 1$ and $\delta = z_0 = 0$. The table has the push of
# both losses at four log-ratios. The third of them is
# $\log\frac{0.6}{0.4} = 0.405$. Autograd through the library's losses agrees.

# %%
share, d = 0.6, torch.tensor([-2.0, 0.0, np.log(0.6 / 0.4), 2.0]).double()
sigmoid = 1 / (1 + (-beta * d).exp())
hand_bco = beta * (share - sigmoid)
hand_kto = beta * (2 * share - 1) * sigmoid * (1 - sigmoid)
by_bco = single_responses.push(bco, bco.Config(beta=beta), d, share)
by_kto = single_responses.push(kto, kto.Config(beta=beta), d, share)
assert torch.allclose(hand_bco, by_bco) and torch.allclose(hand_kto, by_kto)
table = torch.stack([d, sigmoid, hand_bco, hand_kto], 1).round(decimals=3)
pd.DataFrame(table, columns=["d", "σ(βd)", "push of BCO", "push of KTO"])

# %% [markdown]
# ## Three reviews, over a range of log-ratios
#
# Under the pushes of both losses stands what KTO makes of a single thumb.
# Move $z_0$: who is pushed, and who is left alone? Then make $\lambda_U$, the
# weight of thumbs down, larger than $\lambda_D$: which reviews still rise?

# %%
grid, shares = torch.linspace(-6, 6, 121).double(), (0.2, 0.6, 0.9)
curves = pd.concat([
    single_responses.of_grid(method, method.Config(beta=beta), shares, grid)
    for method in (bco, kto)
])
ends = curves.groupby(["method", "share"]).push.agg(["min", "max"])
turns = ((ends["min"] < 0) & (ends["max"] > 0)).groupby("method").sum()
views.thumb_pushes(
    curves, caption=f"The push changes its sign on {turns['bco']} of 3 curves "
    f"of BCO and on {turns['kto']} of 3 curves of KTO.",
)

# %%
thumb_explorer(beta)

# %% [markdown]
# To KTO a review that 60 % like is as good as one that 90 % like, only
# slower. And the push of KTO is a bump: a review that stands far from
# $z_0$ is left where it is, even if it is on the wrong side. The weights say
# from which share of readers on a review rises, and not where it stops.
#
# ## By hand: four reviews that share one sum
#
# Probabilities sum to one, so four log-ratios are not free: BCO asks for four
# numbers, and there may be no policy that has them all.
#
# 1. BCO asks each review for $s - \delta = \log\frac{q}{1-q} = r - b$.
# 2. The optimum of lesson 01 has $s = r - \beta\log Z$.
# 3. Its mean under $\pi_{\text{ref}}$ is
#    $\delta = \mathbb{E}_{\text{ref}}[r] - \beta\log Z$.
# 4. Subtract 3 from 2: $s - \delta = r - \mathbb{E}_{\text{ref}}[r]$.
#
# So if the bar of the readers is the mean reward,
# $b = \mathbb{E}_{\text{ref}}[r]$, the optimum of DPO meets all requests of
# BCO together. We check this with gradient descent on the library's losses,
# from $\pi_{\text{ref}}$, over four reviews.

# %%
texts = ["good", "very good", "dull", "not fun"]
four = torch.tensor([world.index(text) for text in texts])
q_ref, r = ref[0, four].softmax(-1), gold[0, four]
readers = (r - q_ref @ r).sigmoid()
tilted = q_ref * (r / beta).exp()
optimum = tilted / tilted.sum()
found = {"reference": q_ref, "exact": optimum}
for method in (bco, kto):
    cfg = method.Config(beta=beta)
    end = single_responses.descend(method, cfg, q_ref.log(), readers)
    found[method.card.key] = end.exp()
assert torch.allclose(found["bco"], optimum, atol=1e-3)

# %%
table = {"reward": r, "share who like it": readers} | found
table = pd.DataFrame({name: x.tolist() for name, x in table.items()}, texts)
off = {k: (found[k] - optimum).abs().max().item() for k in ("bco", "kto")}
table.round(3)

# %% [markdown]
# The column of BCO is that of the exact optimum. KTO empties the two reviews
# that fewer than half of the readers like.
#
# ## Train
#
# Now the same two losses train a small language model, on drawn thumbs.
# All seeds are trained at once.

# %%
tracker = exact.Tracker(world, ref, gold=gold, beta=beta)


def train(method, cfg, data=thumbs):
    return offline.fit(
        reference.copies(size.seeds), reference, data, method, cfg,
        steps=size.steps, batch_size=64, seed=SEED, measures=(tracker,),
        every=max(1, size.steps // 8),
    )


runs = {"bco": train(bco, bco.Config(beta=beta))}
runs["kto"] = train(kto, kto.Config(beta=beta))

# %% [markdown]
# ## Where each review stands after training
#
# Each dot is a review of the film with at least 0.2 % under
# $\pi_{\text{ref}}$. Across: its reward above the bar. Up: its implicit
# reward $s$ above the mean of $s$. At the exact optimum both are equal, which
# is the dashed line.

# %%
known = ref[0] > np.log(0.002)


def stand(policy):
    s = beta * (exact.response_logps(policy, world)[:, 0] - ref[0]).mean(0)
    where = (s - s @ ref[0].exp())[known].tolist()
    asked = (gold - bar)[0, known].tolist()
    return pd.DataFrame({"asked": asked, "stands": where})


stands = {name.upper(): stand(run.policy) for name, run in runs.items()}
away = {k: (t.stands - t.asked).abs().mean() for k, t in stands.items()}
agreement(
    stands, "asked", "stands", title="Where each review stands",
    x_label="reward above the bar (reward units)",
    y_label="implicit reward above its mean (reward units)",
    caption=f"From the dashed line the reviews are {away['BCO']:.2f} reward "
    f"units away under BCO, and {away['KTO']:.2f} under KTO (mean).",
)

# %% [markdown]
# ## Distance to the exact optimum
#
# Both runs leave $\pi_{\text{ref}}$ in the direction of $\pi^*_\beta$. The
# question is whether they stop there.

# %%
both = pd.concat([run.metrics.assign(method=k) for k, run in runs.items()])
last = both[both.step == size.steps].set_index("seed")
to_optimum = {k: last[last.method == k].kl_to_optimum for k in runs}
views.training_curves(
    both, {"kl_to_optimum": "KL(π‖π*) (nats)", "kl": "KL(π‖π_ref) (nats)"},
    by="method",
    caption=f"BCO ends {to_optimum['bco'].mean():.2f} nats from the optimum, "
    f"KTO {to_optimum['kto'].mean():.2f}; the reference is "
    f"{both[both.step == 0].kl_to_optimum.mean():.2f} nats away from it.",
)

# %% [markdown]
# What is left under BCO is the noise of a few thousand thumbs, and one thing
# more: $\delta$ is one number for a batch, and each prompt has its own
# $\log Z$.
#
# ## Break it: stricter readers
#
# All went well because the bar of the readers was the mean reward. Now the
# same loss meets readers whose bar is one unit higher. They still prefer the
# same reviews; they only press up less often. Beside it stands the same run
# with $\delta$ held at zero, which is a variant in public code.

# %%
again = [generator(seed, "thumbs") for seed in range(SEED, SEED + size.seeds)]
strict = Thumbs.cat([sample_thumbs(*how, d, gold - bar - 1) for d in again])
plain, held = bco.Config(beta=beta), bco.Config(beta=beta, centred=False)
beside = {
    "mean bar": runs["bco"],
    "strict bar": train(bco, plain, strict),
    "strict bar, δ = 0": train(bco, held, strict),
}
lost = beside["strict bar"].last.set_index("seed")
views.training_curves(
    pd.concat([run.metrics.assign(bar=k) for k, run in beside.items()]),
    {"kl_to_optimum": "KL(π‖π*) (nats)", "entropy": "entropy (nats)"},
    by="bar",
    caption=f"With the strict bar BCO ends {lost.kl_to_optimum.mean():.2f} "
    f"nats from the optimum with an entropy of {lost.entropy.mean():.2f}; "
    f"with the mean bar it ends {to_optimum['bco'].mean():.2f} from it.",
)

# %% [markdown]
# **Its signature.** The entropy goes to zero: the policy writes one review
# only. The reason takes three lines.
#
# 1. $\delta$ is the mean of $s$ over what the readers see, so the mean of
#    $s - \delta$ over it is zero, whatever the policy is.
# 2. BCO asks for $s - \delta = r - b$, so for a mean of
#    $\mathbb{E}_{\text{ref}}[r] - b$. With the strict bar that is $-1$.
# 3. No policy can have it. Each step lowers $s$ of what is shown, $\delta$
#    follows, and the next step lowers $s$ again. The policy chases its own
#    shift.
#
# So look at the thumbs before you train: if most of them are down, hold
# $\delta$ or move the bar. ($\delta = 0$ alone is no cure in general: then
# the places contradict each other a little, but they stand still.)
#
# ## Answers

# %%
lowest = ends["min"].xs(0.6, level="share")
met = off["bco"] < 1e-3
display(
    teach.reveal(
        "22-1", places[int(lowest.bco > 0)],
        "its push is q − σ(s − δ), which is zero at the log-odds: with δ = 0 "
        f"and β = 1 at d = {np.log(0.6 / 0.4):.2f} nats.",
    ),
    teach.reveal(
        "22-2", places[int(lowest.kto > 0)],
        "its push is 2q − 1 times the slope of a sigmoid: at the 121 points "
        f"of the figure it is never below {lowest.kto:.4f}.",
    ),
    teach.reveal(
        "22-3", "yes, and it is the optimum of DPO" if met else "no",
        "if the bar is the mean reward, the optimum has s − δ = r − b at each "
        f"review; on four reviews BCO ended within {off['bco']:.3f} of it.",
    ),
)

# %% [markdown]
# ## Claims
#
# The first two are exact. The others are judged over the seeds of the thumbs,
# for this one reference model.

# %%
exactly = partial(
    teach.claim, paper="ours", kind="exact", unit="push", out=OUT or None
)
of_kto = curves[curves.method == "kto"]
majority = (2 * of_kto.share - 1).apply(np.sign)
star = solutions.optimal_policy(ref, gold, beta) - ref
rest = [
    single_responses.push(bco, plain, d, q, mean=mass.exp() @ d)
    for d, q, mass in zip(star, liked, ref, strict=True)
]
exactly(
    key="kto-never", effect=majority * of_kto.push, expected="positive",
    setting="by hand, β = 1, q = 0.2, 0.6 and 0.9, d from −6 to 6",
    statement="The push of KTO has the sign of 2q − 1 at every log-ratio.",
    meaning="KTO has no finite minimiser: it goes on until it is too slow.",
)
exactly(
    key="bco-star", effect=torch.cat(rest), expected="zero", tolerance=1e-9,
    setting="all 585 reviews of four prompts, β = 1",
    statement="If the bar is the mean reward, the optimum of DPO is at rest "
    "under BCO: no review is pushed.",
    meaning="Single thumbs can teach the same policy as pairs.",
)

# %%
judge = partial(
    teach.claim, paper="ours", expected="positive", unit="nats",
    out=OUT or None,
    setting=f"{size.thumbs} thumbs, {size.steps} steps, one reference model",
)
judge(
    key="bco-nearer", effect=to_optimum["kto"] - to_optimum["bco"],
    statement="KTO ends further from the optimum of DPO than BCO does.",
    meaning="A loss without a place runs past the optimum.",
)
judge(
    key="bco-strict", effect=lost.kl_to_optimum - to_optimum["bco"],
    statement="With a bar one unit above the mean reward BCO ends further "
    "from the optimum than with the bar at the mean.",
    meaning="The shift is right only if the thumbs are in balance.",
)

# %% [markdown]
# ## Exercises
#
# `teach.hint("22-1")` gives a hint; a second call gives the next one.
#
# **22-1 · Read the figure** (●○○, 5 minutes). Two reviews are liked by 51 %
# and by 99 % of their readers. KTO trains for as long as you like. Do their
# log-ratios end at "different" finite places, or do they go the "same" way
# without end?

# %%
teach.answer("22-1", None)

# %% tags=["solution"]
two = [
    single_responses.push(kto, kto.Config(beta=beta), grid, q).min()
    for q in (0.51, 0.99)
]
teach.solution("22-1", "same" if min(two) > 0 else "different")

# %% [markdown]
# **22-2 · A place by hand** (●○○, 5 minutes). A review is liked by 90 % of its
# readers, $\beta = 0.5$, and $\delta = 0.2$ reward units. At which log-ratio
# $d$ does BCO let it rest?

# %%
teach.answer("22-2", None)

# %% tags=["solution"]
teach.solution("22-2", (np.log(0.9 / 0.1) + 0.2) / 0.5)

# %% [markdown]
# **22-3 · Fill a line** (●●○, 10 minutes). This is KTO with one line left
# open: with what is the log-ratio compared? The check says what it sees.


# %%
def my_kto(batch, cfg):
    point = 0.0  # your line
    value = (cfg.beta * (batch.logratio() - point)).sigmoid()
    good = cfg.desirable * (1 - value)
    return torch.where(batch.up, good, cfg.undesirable * value)


teach.check.kto(my_kto)


# %% tags=["solution"]
def full_kto(batch, cfg):
    point = batch.reference_point.detach().clamp(min=0)
    value = (cfg.beta * (batch.logratio() - point)).sigmoid()
    good = cfg.desirable * (1 - value)
    return torch.where(batch.up, good, cfg.undesirable * value)


assert teach.check.kto(full_kto).passed

# %% [markdown]
# **22-4 · Bug hunt** (●●○, 10 minutes). This BCO has one planted mistake. All
# runs of this lesson would be the same with it, because they have
# $\beta = 1$. Find it before you run the check, which names it. Mend the loss
# until the check passes.


# %%
def suspect(batch, cfg):
    shift = batch.reference_mean.detach() if cfg.centred else 0.0
    logit = cfg.beta * batch.logratio() - shift
    logit = torch.where(batch.up, logit, -logit)
    return -torch.nn.functional.logsigmoid(logit)


teach.check.bco(suspect)


# %% tags=["solution"]
def mended(batch, cfg):
    shift = batch.reference_mean.detach() if cfg.centred else 0.0
    logit = cfg.beta * (batch.logratio() - shift)
    logit = torch.where(batch.up, logit, -logit)
    return -torch.nn.functional.logsigmoid(logit)


assert teach.check.bco(mended).passed  # nats from nats, and then times β

# %% [markdown]
# **22-5 · Thumbs up are rare** (●●○, 10 minutes). A page loses nine of ten
# thumbs up and no thumb down. A review that a share $q$ of the readers like
# now has $q/10$ thumbs up for $1 - q$ thumbs down. KTO multiplies the cost of
# a thumb up by $\lambda_d$ and that of a thumb down by $\lambda_u$ (both 1).
# Above which $q$ does it still push a review up? (With $\lambda_d = 10$ it
# would be one half again.)

# %%
teach.answer("22-5", None)

# %% tags=["solution"]
many = torch.linspace(0, 1, 100_001).double()
kept_up = many / 10 / (many / 10 + 1 - many)  # the share of what is left
start_at = torch.zeros_like(many)
up = single_responses.push(kto, kto.Config(beta=beta), start_at, kept_up)
teach.solution("22-5", float(many[up > 0][0]))

# %% [markdown]
# **22-6 · A contradicted reference** (●●○, 15 minutes). Only two reviews are
# possible, with $\pi_{\text{ref}}(a) = 0.1$ and $\pi_{\text{ref}}(b) = 0.9$.
# Asked which is better, 60 % of the readers say $a$. At $\beta = 1$, what is
# $\pi(a)$ at the optimum of DPO? Then let `single_responses.descend` show
# where KTO goes, if each of the two is shown equally often.

# %%
teach.answer("22-6", None)

# %% tags=["solution"]
votes, start = torch.tensor([[0.6, 0.4], [0.1, 0.9]]).double()
seen = torch.tensor([0.5, 0.5]).double()
kto_end = single_responses.descend(
    kto, kto.Config(beta=1.0), start.log(), votes, shown=seen
)
print(f"KTO after 1000 steps: π(a) = {kto_end[0].exp():.3f}, still rising")
teach.solution("22-6", (start * votes / (start @ votes))[0].item())

# %% [markdown]
# **22-7 · How strict is too strict?** (●●●, 20 minutes). The readers of the
# four reviews now have a bar that is *half* a unit above the mean reward
# `q_ref @ r`. Give $\text{KL}(\pi\Vert\pi^*)$ in nats at the end of
# `single_responses.descend` with BCO. Then try a bar half a unit below the
# mean, and $\delta = 0$ (`centred=False`).

# %%
teach.answer("22-7", None)

# %% tags=["solution"]
gaps = {}
for above, centred in ((0.5, True), (-0.5, True), (0.5, False)):
    cfg_of = bco.Config(beta=beta, centred=centred)
    felt = (r - q_ref @ r - above).sigmoid()
    last_of = single_responses.descend(bco, cfg_of, q_ref.log(), felt)
    gaps[above, centred] = solutions.kl(last_of, optimum.log()).item()
    print(above, centred, last_of.exp().numpy().round(3))
teach.solution("22-7", gaps[0.5, True])

# %% [markdown]
# ## Recap
#
# * A thumb has no partner, so its loss compares $\beta d$ with a constant.
# * BCO rests at $s - \delta = \log\frac{q}{1-q}$, a finite place.
# * If the bar is the mean reward, all places together are the optimum of DPO.
# * KTO has a direction and no place: what most readers like rises, how
#   much it is liked does not matter.
# * If readers are stricter than that, BCO chases its own shift and ends in
#   one review.
#
# Three questions to end with: call `teach.quiz("22")`. Your letters behind the
# number, as in `teach.quiz("22", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * [Jung et al. 2024](https://arxiv.org/abs/2404.04656), *Binary classifier
#   optimization for large language model alignment*: BCO.
# * [Ethayarajh et al. 2024](https://arxiv.org/abs/2402.01306), *KTO: model
#   alignment as prospect theoretic optimization*.
#
# Study [**22a**](22a_one_labelling.ipynb) trains thumbs, pairs and lists made
# of the same labels. Next: [**23 · Divergences**](23_divergences.ipynb). All
# methods here measure drift from the reference by one divergence. There are
# others.
