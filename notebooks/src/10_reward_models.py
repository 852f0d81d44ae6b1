# ---
# jupyter:
#   workbench:
#     title: "10 · Reward models from comparisons"
#     part: reward models
#     path: core
#     needs: ["01"]
#     minutes: 90
#     budget_s: {ci: 30, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 10 · Reward models: what can comparisons teach?
#
# **The idea in one sentence.** From comparisons a network soon learns which
# review is better; train it on, and it ranks no better but becomes surer than
# the labels allow, and a policy that trusts its scores too far may end with
# less of what people wanted than it had on the way.
#
# After this lesson you can
#
# * derive the loss of a reward model and the push of one pair;
# * say which part of a reward comparisons can identify, and which never;
# * tell ranking (accuracy) from calibration (reliability, temperature);
# * read the picture of this course, the hump of the gold reward;
# * recognise `log(sigmoid(d) + 1e-5)` by its gradient.
#
# *Needs*: lesson 01. About 90 minutes. Words in doubt stand in the
# [glossary](../GLOSSARY.md).

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 8
DEVICE = "cpu"
OUT = ""

# %%
from types import SimpleNamespace as method

from workbench.feedback.as_text import as_text
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.lesson import *
from workbench.loops import reward
from workbench.measure import calibration, reward_model
from workbench.measure import overoptimisation as over
from workbench.methods.reward.pairwise import bt
from workbench.models import heads
from workbench.views.instruments import annotator, reliability_explorer

# %%
size = sizes(
    PROFILE, seeds=(2, SEEDS, 16), pairs=(64, 1000, 10000), epochs=(2, 10, 10)
)
epoch = size.pairs // 32  # steps in which each pair is seen once
world, beta = Reviews(3), 0.5
ref = tiny.reference(world, DEVICE).response_logps(world).detach().double()
gold = world.gold

# %% [markdown]
# ## The question
#
# People cannot say what a review is worth in numbers. But they can say which
# of two they like better. The usual road from people to a policy therefore
# has three steps: people compare; a network, the **reward model**, learns a
# score that explains the comparisons; a policy is trained on that score. This
# lesson is about the middle step.
#
# You fit a network to a thousand comparisons, and go through them ten times
# (ten *epochs*). Please predict before you read on.

# %%
change = ["down by more than 0.05", "by at most 0.05", "up by more than 0.05"]
growth = ["it shrinks", "it grows by at most a quarter", "it grows by more"]
display(
    teach.predict(
        "10-1",
        "From the first epoch to the last, how does the accuracy on pairs "
        "that the model has not seen change?",
        change,
    ),
    teach.predict(
        "10-2",
        "And the spread of the scores, their standard deviation?",
        growth,
    ),
)

# %%
teach.predict(
    "10-3",
    "A policy takes the learned score as its reward, at an ever lower price "
    "of KL. What does its true reward do, for the first of our models?",
    ["it rises to the end", "it rises, then falls", "it falls at once"],
)

# %% [markdown]
# ## Three data points
#
# Both reviews of a pair are written by the reference. The annotator knows the
# *gold* reward, and prefers the better review most of the time: a difference
# of 1 gives a probability of 0.73. The last column is the probability of the
# label that was drawn. Where it is below one half, the worse review won.

# %%
parts = []
for seed in range(SEED, SEED + size.seeds):
    draw = generator(seed, "pairs")
    parts.append(sample_pairs(world, ref, size.pairs, Annotator(), draw))
pairs = Pairs.cat(parts)
as_text(pairs[:3], world, Annotator()).round(3)

# %% [markdown]
# ## The objective, step by step
#
# 1. **Bradley and Terry's model.** Every response has a score $r(x, y)$, and
#    $a$ beats $b$ with probability
#    $P(a \succ b) = \sigma(r(x, a) - r(x, b))$, where
#    $\sigma(d) = 1/(1 + e^{-d})$.
# 2. **The lead** of the chosen response $y_c$ over the rejected $y_r$ is
#    $d = r(x, y_c) - r(x, y_r)$. The label had the probability $\sigma(d)$.
# 3. **The loss** of one pair is the negative log-likelihood of its label:
#    $\ell = -\log\sigma(d)$.
# 4. **The push.** As $\frac{d}{dd}\log\sigma(d) = 1 - \sigma(d)$, the
#    gradient is $-(1 - \sigma(d))$ on the chosen score and
#    $+(1 - \sigma(d))$ on the rejected one. A pair pushes as hard as its
#    label is surprising.
# 5. **What cannot be seen.** Only $d$ enters. Add any number $f(x)$ to all
#    scores of a prompt and no probability changes. Comparisons identify
#    $r(x, y)$ *up to a free constant per prompt*.
#
# So the scores of two different prompts must never be compared. Does the
# constant do harm? In the optimal policy of lesson 01 it goes into the
# normaliser:
#
# $$\pi^*_\beta(y\mid x) = \frac{\pi_{\text{ref}}(y\mid x)\,
# e^{(r(x, y) + f(x))/\beta}}{Z(x)\,e^{f(x)/\beta}}
# = \frac{\pi_{\text{ref}}(y\mid x)\, e^{r(x, y)/\beta}}{Z(x)} .$$
#
# Below the loss is a desk where *you* label. A reward that is linear in words
# and their neighbours is fitted to your answers by this loss and a normal
# prior, which gives it an error bar. Which reviews stay unsure after twenty
# answers, and what does a policy at a small $\beta$ make of them? DPO learns
# from the same labels without a reward. Its policy here is a table, to which
# no two reviews are alike: those that were never compared keep their odds to
# each other.

# %%
display(teach.show(bt.loss), annotator())

# %% [markdown]
# ## By hand: one pair, then four responses
#
# First the loss and the push of one pair, on paper and by the library.

# %%
first = torch.tensor([0.3, 2.0]).double().requires_grad_()
second = torch.tensor([0.9, 0.5]).double()
library = bt.loss(PairScores(first, second), bt.Config())
library.sum().backward()
lead = first.detach() - second
said = 1 / (1 + torch.exp(-lead))
hand = {"lead d": lead, "σ(d)": said, "loss": -said.log(), "push": 1 - said}
hand |= {"library's loss": library.detach(), "library's push": -first.grad}
display(pd.DataFrame({k: v.tolist() for k, v in hand.items()}).round(3))
assert torch.allclose(hand["loss"], library)
assert torch.allclose(hand["push"], -first.grad)

# %% [markdown]
# The surprising label, the first row, pushes 3.5 times as hard. Now let
# four responses meet in all pairs, labelled as often as Bradley and Terry
# say: $a$ beats $b$ in a share $w_{ab}$ of their meetings. The pushes of a
# pair with scores that say $s_{ab}$ add up to
# $w_{ab}(1 - s_{ab}) - (1 - w_{ab})\,s_{ab} = w_{ab} - s_{ab}$. Start from
# zero, and let every score follow its pushes until they are gone. Then
# compare the optimal policies of the truth and of the scores found.

# %%
truth = torch.tensor([0.0, 0.5, 1.0, 2.0]).double()
wins = (truth[:, None] - truth).sigmoid()
found = torch.zeros(4).double()
for _ in range(500):
    found = found + (wins - (found[:, None] - found).sigmoid()).sum(1)
four = torch.tensor([0.4, 0.3, 0.2, 0.1]).double()  # a reference
weight = four * (found / beta).exp()
star = solutions.optimal_policy(four.log(), truth, beta).exp()
hand = {"truth": truth, "found": found, "found − truth": found - truth}
hand |= {"π* of found": weight / weight.sum(), "π* of truth (library)": star}
display(pd.DataFrame({k: v.tolist() for k, v in hand.items()}).round(3))
assert torch.allclose(hand["π* of found"], star)

# %% [markdown]
# The scores are the truth minus one constant, and the optimal policy is the
# same. Which constant comes out depends only on where the scores started.
#
# ## Train, and look at pairs that nobody has seen
#
# We measure on 4,000 fresh pairs. For each we know the annotator's true
# probability, so no second coin toss blurs the numbers.
#
# * **Accuracy**: the chance to agree with a fresh label. Its *ceiling* is
#   what the gold reward reaches, as labels are coin tosses.
# * **Held-out loss**: the mean of $-\log\sigma(d)$ over fresh labels, in nats
#   per pair.
# * **Spread**: the standard deviation of the scores of a prompt.
# * **Temperature** $\hat T$: the number by which the leads should be divided,
#   so that $\sigma(d/\hat T)$ has the least held-out loss. Above 1 the model
#   is overconfident: its scores are spread too far.

# %%
fresh = sample_pairs(world, ref, 4000, Annotator(), generator(SEED, "held"))
held_out = reward_model.HeldOut(world, ref, fresh)


def train(module, steps, every, spread=None):
    seeds, how = range(size.seeds), {"spread": spread}
    models = [heads.ScoreModel.tiny(world.vocab, seed=s, **how) for s in seeds]
    model, when = heads.ScoreModel.stack(models), {"every": every}
    when |= {"steps": steps, "seed": SEED, "measures": (held_out,)}
    return reward.fit(model, pairs, module, bt.Config(), **when)


# %%
run = train(bt, size.epochs * epoch, epoch)
metrics = run.metrics.query("step > 0").eval(f"epoch = step / {epoch}")
mean = metrics.groupby("epoch").mean(numeric_only=True)
one, end = mean.iloc[0], mean.iloc[-1]
views.training_curves(
    metrics,
    {
        "accuracy": "held-out accuracy",
        "nll": "held-out loss (nats per pair)",
        "spread": "spread of the scores (reward units)",
    },
    x="epoch",
    caption=f"From the first to the last epoch accuracy goes from "
    f"{one.accuracy:.3f} to {end.accuracy:.3f} (ceiling {one.ceiling:.3f}), "
    f"held-out loss from {one.nll:.3f} to {end.nll:.3f}, "
    f"spread from {one.spread:.2f} to {end.spread:.2f}.",
)

# %% [markdown]
# Look at the scales: the whole axis of the accuracy spans a few hundredths.
#
# Accuracy asks only for the *sign* of a lead. The likelihood asks for its
# size too, and for a pair that was labelled once, the training loss wants an
# infinite lead in favour of that label, whether it was luck or not. This is
# how a reward model **overfits**: its ranking stays, its scale grows.
#
# ## Does a stated 0.9 come true?
#
# Sort the fresh pairs by the probability that a model states for them, and
# count how often it comes true. Each pair counts in both orders. A model on
# the diagonal is *calibrated*. (That alone is worth little: a model that
# scores every review 0 states one half for every pair, and is perfectly
# calibrated.)
#
# The picture is that of a smaller model, linear in words and their
# neighbours, which is fitted anew while you move a slider. Play the epochs:
# the dots turn away from the diagonal, and the ranking stays. Then give it
# four times the pairs, or flip a quarter of the labels.

# %%
tables = run.policy.score_all(world)
lead = held_out.margins(tables[0])
sure = calibration.reliability(lead.sigmoid(), held_out.chance).iloc[-1]
say(
    f"In the last bin the first model states {sure.predicted:.2f}, and "
    f"{sure.observed:.2f} of the pairs are won."
)
reliability_explorer(world, ref, held_out)

# %% [markdown]
# ## From the scores to a policy: the hump
#
# A reward model is a means. Its end is the policy that is optimal for it,
# $\pi^*_\beta \propto \pi_{\text{ref}}\, e^{\hat r/\beta}$, where $\hat r$ is
# the learned score, called the *proxy* from here on. It is exact: no
# optimiser and no sample stands between the score and what follows from it.
# Each $\beta$ gives one point. From left to right $\beta$ falls from 20 to
# 0.1, the policy leaves the reference, and the KL grows.

# %%
betas = np.geomspace(20, 0.1, 40)
paths = [over.tilt_curve(ref, each, gold, betas) for each in tables]
path, start = paths[0], paths[0].iloc[0]
path["proxy"] += start.gold - start.proxy  # the free constant: start together
top, last = path.loc[path.gold.idxmax()], path.iloc[-1]
falls = [each.gold.max() - each.gold.iloc[-1] for each in paths]
best = solutions.frontier(ref, gold, gold, np.geomspace(20, 0.02, 60))

# %%
views.overoptimisation(
    path,
    exact=best[best.kl < 1.1 * last.kl],
    by="beta",
    others=paths[1:],
    peak=top.kl,
    title="What the proxy promises, and what people get",
    caption=f"The first model's proxy promises {last.proxy:.2f}; gold rises "
    f"to {top.gold:.2f} and falls to {last.gold:.2f}. With "
    f"{sum(fall >= 0.1 for fall in falls)} of {size.seeds} models gold falls "
    "by at least 0.1 before β = 0.1.",
)

# %% [markdown]
# This is **overoptimisation**. (The proxy is shifted by a constant so that it
# starts where gold does; it has a free constant anyway.) The dashed line is
# what the same KL buys when gold itself is the reward: the distance between
# it and gold is what the labels did not teach. The thin lines are models that
# saw other pairs. Some of them turn over later, outside this picture; lesson
# 11 says exactly where.
#
# Where does the loss come from? From reviews that the reference hardly ever
# writes, so that they were in no pair, and that the model overrates. The
# first model's favourites, at the peak and at the end of the path:

# %%
places = {"gold is highest": top.beta, "the end": betas[-1]}
written = over.responses_at(world, ref, tables[0], places)
film = written[written.prompt == world.prompts[0]].round(2)
display(film.groupby("place", sort=False).head(4).set_index("place"))
wanted = solutions.optimal_policy(ref, gold, beta)
learned = solutions.optimal_policy(ref, tables, beta)
far = solutions.kl(learned, wanted).mean().item()
say(
    f"**Distance to the exact optimum**: at β = {beta} the policy of a "
    f"learned reward is {far:.2f} nats from π* of gold; times β, that "
    f"is a regret of {beta * far:.2f} reward units (means over models)."
)

# %% [markdown]
# ## Break it: `log(sigmoid(d) + 1e-5)`
#
# Public code contains this line, with the small number against $\log 0$.
# Where the model is confidently wrong, the loss is then flat: it cannot
# exceed $-\log 10^{-5} \approx 11.5$, and the gradient is gone.
#
# Leads so large are rare if the scores start small, and then the mistake
# never shows. So we start with scores about 30 times too large, as after a
# bad initialisation, and train with the right loss and with the wrong one.

# %%
wrong = bt.mistakes["2 log of sigmoid plus 1e-5"]
leads, runs = torch.tensor([2.0, 0, -5, -10, -15, -20]).double(), []
pushes = {"lead d": leads.tolist()}
for name, loss_of in {"−log σ(d)": bt.loss, "with 1e-5": wrong}.items():
    at = leads.clone().requires_grad_()
    loss_of(PairScores(at, torch.zeros(6)), bt.Config()).sum().backward()
    pushes[f"push, {name}"] = (-at.grad).tolist()
    module = method(card=bt.card, loss=loss_of)
    broken = train(module, 6 * size.epochs, size.epochs, spread=4.0)
    runs.append(broken.metrics.assign(loss=name))
pd.DataFrame(pushes).round(3)

# %%
runs = pd.concat(runs)
ends = runs[runs.step == runs.step.max()].groupby("loss").nll.mean()
views.training_curves(
    runs,
    {"nll": "held-out loss (nats per pair)"},
    by="loss",
    log_y=True,
    caption=f"After {runs.step.max()} steps the mean held-out loss is "
    f"{ends['−log σ(d)']:.2f} with the right loss and "
    f"{ends['with 1e-5']:.2f} with the wrong one.",
)

# %% [markdown]
# **Its signature.** With the right loss the worst pairs push hardest. With
# the wrong one they do not push at all: only pairs that are nearly right do,
# the held-out loss first grows, and most runs are still stuck at the end. On
# the same scores the wrong loss is *smaller*, so it hides this. Use
# `logsigmoid`.
#
# ## Answers and claims

# %%
gain, ratio = end.accuracy - one.accuracy, end.spread / one.spread
display(
    teach.reveal(
        "10-1",
        right=change[int(gain >= -0.05) + int(gain > 0.05)],
        because=f"it changes by {gain:+.3f}: nearly all of the ranking that "
        "these pairs teach is learned in the first epoch.",
    ),
    teach.reveal(
        "10-2",
        right=growth[int(ratio >= 1) + int(ratio > 1.25)],
        because=f"it is multiplied by {ratio:.2f}: each label is explained "
        "better by a larger lead, and the network can give it one.",
    ),
)

# %%
at_once = "it falls at once" if top.name == 0 else "it rises, then falls"
teach.reveal(
    "10-3",
    right="it rises to the end" if falls[0] < 0.05 else at_once,
    because=f"it starts at {start.gold:.2f}, is highest with {top.gold:.2f} "
    f"at {top.kl:.1f} nats and ends at {last.gold:.2f}: the policy "
    "finds the reviews that the model overrates.",
)

# %%
by_epoch = dict(iter(metrics.set_index("seed").groupby("epoch")))
early, late = by_epoch[1], by_epoch[size.epochs]
effects = {
    "accuracy-saturates": late.accuracy - early.accuracy,
    "held-out-loss-rises": late.nll - early.nll,
    "overconfident": late.temperature,
}
ranges = [(-0.02, 0.02), "positive", (1.0, float("inf"))]
texts = [
    "After the first epoch held-out accuracy changes by less than 0.02.",
    "Several epochs worsen the held-out loss (last minus first).",
    "After the last epoch the best temperature is above 1.",
]
meanings = [
    "More passes over the same labels do not improve the ranking.",
    "Whether ten passes harm a reward model is not settled by these seeds.",
    "The trained scores are spread further than the labels support.",
]

# %%
papers = ["ours", "Ouyang et al. 2022 (2203.02155)"]
papers.append("Guo et al. 2017 (1706.04599)")
names = ["expected", "statement", "meaning", "paper", "unit"]
units = ["accuracy", "nats per pair", "temperature"]
rows = zip(ranges, texts, meanings, papers, units, strict=True)
where = f"one reference model, {size.pairs} pairs, {size.epochs} epochs"
for (key, effect), row in zip(effects.items(), rows, strict=True):
    told = dict(zip(names, row, strict=True)) | {"setting": where}
    teach.claim(key=key, effect=effect, out=OUT or None, **told)

# %% [markdown]
# ## Exercises
#
# **10-1 · Read a diagram** (●○○, 5 minutes). In a reliability diagram the
# last bin states 0.95 and 0.85 of its pairs are won; the first bin states
# 0.05 and 0.15 are won. Is the best temperature `"above 1"`, `"below 1"` or
# `"exactly 1"`?

# %%
teach.answer("10-1", None)

# %% tags=["solution"]
stated, seen = torch.tensor([0.95]), torch.tensor([0.85])
best_temperature = calibration.temperature(stated.logit(), seen)
teach.solution("10-1", "above 1" if best_temperature > 1 else "below 1")

# %% [markdown]
# **10-2 · A surprising label** (●○○, 10 minutes). The model scores the chosen
# response 0.3 and the rejected one 1.3. Compute the loss in nats and the
# gradient on the chosen score, in this order.

# %%
teach.answer("10-2", None)

# %% tags=["solution"]
mine = torch.tensor([0.3]).double().requires_grad_()
other = torch.tensor([1.3]).double()
price = bt.loss(PairScores(mine, other), bt.Config())
price.sum().backward()
teach.solution("10-2", [price.item(), mine.grad.item()])

# %% [markdown]
# **10-3 · Fill the line** (●●○, 10 minutes). Some annotators say *how much*
# better a response is. Then one asks for more than a positive lead: the
# chosen score shall be ahead by a margin, `cfg.margin`. Mend the line, so
# that a lead equal to the margin costs $\log 2$.


# %%
def my_bt(batch, cfg):
    lead = batch.chosen - batch.rejected  # something is missing here
    return -torch.nn.functional.logsigmoid(lead)


teach.check.bt(my_bt)


# %% tags=["solution"]
def margin_loss(batch, cfg):
    ahead = batch.chosen - batch.rejected - cfg.margin
    return -torch.nn.functional.logsigmoid(ahead)


teach.check.bt(margin_loss)

# %% [markdown]
# **10-4 · Bug hunt** (●●○, 10 minutes). A reward model learns well on one
# prompt and badly on many. Its loss on four pairs stands below; in each the
# rejected response scores 1 less than the chosen one. Which mistake is it:
# `"chosen and rejected swapped"`, `"a constant inside the logarithm"` or
# `"each score judged alone"`?

# %%
suspect = [*bt.mistakes.values()][3]
upper = torch.tensor([1.0, 3.0, -1.0, 0.0]).double()
batch = PairScores(upper, upper - 1)
cost = {"chosen score": upper, "loss": suspect(batch, bt.Config())}
display(pd.DataFrame({k: v.tolist() for k, v in cost.items()}).round(3))
teach.answer("10-4", None)

# %% tags=["solution"]
alone = torch.nn.functional.softplus(-upper)
alone = alone + torch.nn.functional.softplus(upper - 1)
assert torch.allclose(alone, suspect(batch, bt.Config()))
teach.solution("10-4", "each score judged alone")

# %% [markdown]
# **10-5 · A hesitant annotator** (●●●, 20 minutes). Labels now come from
# $\sigma((r_a - r_b)/2)$ with the gold reward $r$. Find (a) the best
# temperature of the *gold* reward on them, by `calibration.temperature`, and
# (b) the $\beta$ at which a reward model that fits them perfectly has the
# same optimal policy as gold at $\beta = 0.5$. Answer with both numbers, and
# check (b) by `solutions.optimal_policy`.

# %%
teach.answer("10-5", None)

# %% tags=["solution"]
true_lead = held_out.margins(gold)
hesitant = calibration.temperature(true_lead, (true_lead / 2).sigmoid())
weak = solutions.optimal_policy(ref, gold / 2, 0.25)
assert torch.allclose(weak, solutions.optimal_policy(ref, gold, 0.5))
teach.solution("10-5", [hesitant, 0.25])

# %% [markdown]
# ## Recap
#
# * A reward model explains comparisons by leads: the loss is
#   $-\log\sigma(d)$, and a pair pushes as hard as its label is surprising.
# * Scores have a free constant per prompt. The optimal policy does not see it.
# * The ranking is learned in about one epoch. After it the scale grows, and
#   with it a confidence that the labels do not support.
# * Optimise the score far enough, and gold rises, peaks and falls.
# * A constant inside the logarithm silences the pairs that matter most.
#
# Three questions to end with: call `teach.quiz("10")`. Your letters behind the
# number, as in `teach.quiz("10", "a", "c", "b")`, are marked with reasons.
#
# ## References
#
# * Bradley & Terry 1952, *Rank analysis of incomplete block designs*.
# * Ouyang et al. 2022, *Training language models to follow instructions with
#   human feedback*, [2203.02155](https://arxiv.org/abs/2203.02155): one
#   epoch, and why.
# * Guo et al. 2017, *On calibration of modern neural networks*,
#   [1706.04599](https://arxiv.org/abs/1706.04599).
#
# Studies beside this lesson: 10a (do ensembles overoptimise less?) and 10b
# (users of different tastes).
#
# Next: [**11 · Best-of-n**](11_best_of_n.ipynb), which derives where the hump
# has its peak.
