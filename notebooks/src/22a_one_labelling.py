# ---
# jupyter:
#   workbench:
#     title: "22a · One labelling, three forms"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 22a · Do losses of single responses keep up with DPO?
#
# *A study beside lesson 22.*
#
# **Question.** The same labels can be read as pairs by direct preference
# optimisation (DPO), as thumbs by binary classifier optimisation (BCO) and
# Kahneman–Tversky optimisation (KTO), and as lists of two by noise
# contrastive alignment (NCA). Does a loss that judges each response by itself
# keep the chosen responses up, which DPO lets fall? Does it keep up with DPO
# in gold reward, even if most thumbs up are lost?
#
# **Setting.** All reviews of at most three words; Bradley–Terry labels of
# pairs; the chosen response of a pair has a thumb up and the rejected one a
# thumb down. Each step of each run reads 32 responses; $\beta = 0.1$ unless
# said otherwise. The answer in one sentence, with its numbers, is computed
# before the claims.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.feedback.kinds.lists import ListLogps, Lists
from workbench.feedback.kinds.thumbs import Thumbs
from workbench.lesson import *
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import infonca, nca
from workbench.methods.direct.unpaired import bco, kto

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 120, 1000),
    pairs=(40, 1000, 20000),
)
main, hard = 0.1, 1e-3  # β; α of NCA: its target is the chosen response alone
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
places = range(SEED, SEED + size.seeds)


# %%
def sampled(name, count, annotator):
    drawn = [generator(seed, name) for seed in places]
    return [sample_pairs(world, ref, count, annotator, each) for each in drawn]


sets = sampled("pairs", size.pairs, Annotator())
pairs, thumbs = Pairs.cat(sets), Thumbs.cat([*map(Thumbs.of_pairs, sets)])
score = torch.tensor([1.0, 0.0]).double().expand(len(pairs), 2)
both = pairs.both_member_major(len(pairs))
lists = Lists(both, score, 0 * score, pairs.weight)
kept = torch.arange(size.pairs // 10), torch.arange(size.pairs, 2 * size.pairs)
few = Thumbs.cat([Thumbs.of_pairs(each)[torch.cat(kept)] for each in sets])


# %% [markdown]
# ## Train
#
# The mean log-ratio $d$ of all chosen and all rejected responses is looked up
# exactly. `point` is the mean $d$ of all prompts with responses of other
# prompts: what KTO's $z_0$ estimates from a batch, before its clamp at 0.


# %%
def gaps(policy, tokens, base=ref):
    d = exact.response_logps(policy, world) - base
    who = torch.arange(size.seeds)
    who = who.repeat_interleave(len(tokens) // size.seeds)
    d = d[who, tokens.prompt, tokens.response]
    return d.unflatten(0, (size.seeds, -1))


def watch(policy):
    sides = {"chosen": pairs.chosen, "rejected": pairs.rejected}
    sides["point"] = thumbs.mismatched
    d = {name: gaps(policy, side) for name, side in sides.items()}
    d["dpo_loss"] = dpo.link(d["chosen"] - d["rejected"], dpo.Config(main))
    return pd.DataFrame({k: v.mean(-1).tolist() for k, v in d.items()})


# %%
tracker = exact.Tracker(world, ref, gold=world.gold, beta=main)


def train(name, method, cfg, data):
    run = offline.fit(
        reference.copies(size.seeds), reference, data, method, cfg,
        steps=size.steps, batch_size=32 if isinstance(data, Thumbs) else 16,
        seed=SEED, measures=(watch, tracker), every=size.steps // 4,
    )
    return run.policy, run.metrics.assign(method=name)


def at(frame, step=size.steps):
    return frame[frame.step == step].set_index("seed")


# %%
runs = {
    "dpo": train("dpo", dpo, dpo.Config(main), pairs)[1],
    "nca": train("nca", nca, nca.Config(main, hard), lists)[1],
    "bco": train("bco", bco, bco.Config(main), thumbs)[1],
    "kto": train("kto", kto, kto.Config(main), thumbs)[1],
}
rare = train("kto, 10 % up", kto, kto.Config(main, 10.0), few)[1]
mild = train("nca, β = 1", nca, nca.Config(1.0, hard), lists)[1]
final = {name: at(frame) for name, frame in runs.items()}
ends = {k: f"{f.chosen.mean():+.2f} ({k})" for k, f in final.items()}

# %% [markdown]
# ## Chosen and rejected
#
# BCO bounds DPO: on a pair, with $a = s_c - \delta$ and $b = \delta - s_r$,
# $-\log\sigma(a) - \log\sigma(b) \ge -\log\sigma(a + b)$, and the right side
# is the loss of DPO. So a classifier that never sees a pair should lower it.

# %%
views.training_curves(
    pd.concat(runs.values()), {
        "chosen": "log-ratio of the chosen (nats)",
        "rejected": "log-ratio of the rejected (nats)",
    }, by="method", zero=True,
    caption=f"The chosen end at {', '.join(ends.values())} nats; under BCO "
    f"the loss of DPO goes from {np.log(2):.3f} to "
    f"{final['bco'].dpo_loss.mean():.3f}.",
)

# %% [markdown]
# ## When NCA can keep its promise
#
# With hard targets NCA costs
# $-\log\sigma(s_c) - \frac12\log\sigma(-s_c) - \frac12\log\sigma(-s_r)$ on a
# pair. Over all pairs drawn from $\pi_{\text{ref}}$ each response by itself
# asks for $e^{s} = 2\,p(\text{win})$, so for
# $\pi = \pi_{\text{ref}}\,(2\,p(\text{win}))^{1/\beta}$. All requests can be
# met together only if this sums to one.

# %%
gold = world.gold.double()
wins = torch.stack([
    (reward[:, None] - reward).sigmoid() @ mass
    for reward, mass in zip(gold, ref.exp(), strict=True)
])
asked = {b: (ref + (2 * wins).log() / b).exp().sum(-1) for b in (1.0, main)}
sums = pd.DataFrame({f"β = {b}": z.tolist() for b, z in asked.items()})
sums.set_axis(world.prompts).round(3)

# %%
one, least = asked[1.0].mean().item(), asked[main].min().item()
say(
    f"At β = 1 what NCA asks for sums to {one:.3f} for each prompt: it is a "
    "distribution, that of the chosen responses, and the mean $d$ of the "
    "chosen is then a KL, so not negative. At β = "
    f"{main} it sums to at least {least:.0f}: no policy has these "
    "log-ratios, and all of them are cut, those of the chosen too. In the "
    f"runs the chosen end at {final['nca'].chosen.mean():+.2f} nats with "
    f"β = {main}, and at {at(mild).chosen.mean():+.2f} with β = 1."
)

# %% [markdown]
# ## What KTO compares with
#
# $z_0$ stands for $\text{KL}(\pi\Vert\pi_{\text{ref}})$ and needs no sampling:
# it takes the response of one row under the prompt of the next. But these
# responses were drawn from $\pi_{\text{ref}}$ and not from $\pi$. If prompts
# mattered little, the mean of $\log(\pi/\pi_{\text{ref}})$ over them would be
# $-\text{KL}(\pi_{\text{ref}}\Vert\pi)$, which is *below* zero. Then the clamp
# makes $z_0$ zero.

# %%
views.training_curves(
    runs["kto"].rename(columns={"kl": "KL", "point": "mismatched mean"})
    .melt(["seed", "step"], ["KL", "mismatched mean"], "what", "nats"),
    {"nats": "KL and its estimate (nats per sequence)"}, by="what", zero=True,
    caption=f"At the end of KTO the KL is {final['kto'].kl.mean():.2f} "
    f"nats and the mismatched mean {final['kto'].point.mean():+.2f}.",
)

# %% [markdown]
# ## Contradicted votes
#
# Five readers see a pair; three prefer the better response and two the other.
# The optimum of DPO weighs their votes against $\pi_{\text{ref}}$, and KTO
# follows the majority whatever $\pi_{\text{ref}}$ was (exercise 22-6).

# %%
votes, count, majority = [], size.pairs // 10, {}
for three in sampled("votes", count, Annotator(deterministic=True)):
    two = Pairs(three.rejected, three.chosen, three.weight)
    votes.append(Pairs.cat([three] * 3 + [two] * 2))
split, noisy = Pairs.cat(votes), Thumbs.cat([*map(Thumbs.of_pairs, votes)])
for key, method, data in (("dpo", dpo, split), ("kto", kto, noisy)):
    policy, _ = train(key, method, method.Config(beta=1.0), data)
    lead = gaps(policy, split.chosen, 0.0) - gaps(policy, split.rejected, 0.0)
    majority[key] = (lead[:, :count] > 0).double().mean(-1)

# %% [markdown]
# ## The answer

# %%
points = pd.concat([*final.values(), at(rare)])
near = points.groupby("method", sort=False).mean(numeric_only=True)
falls = sum(f.chosen.mean() < 0 for f in final.values())
say(
    f"**Answer.** At β = {main} the chosen fall under {falls} of the four "
    f"losses: {', '.join(ends.values())} nats. Only at β = 1, where the "
    "requests of NCA are a distribution, does a loss of single responses hold "
    f"them ({at(mild).chosen.mean():+.2f}). In gold KTO with a tenth of the "
    f"thumbs up is {near.gold['kto, 10 % up'] - near.gold.dpo:+.2f} reward "
    "units from DPO on all pairs."
)
near[["chosen", "gold", "kl", "frontier_gap"]].round(3)

# %% [markdown]
# ## Claims

# %%
chen, jung = "Chen et al. 2024 (2402.05369)", "Jung et al. 2024 (2404.04656)"
ethayarajh = "Ethayarajh et al. 2024 (2402.01306)"
above = torch.full((5,), np.log(2), dtype=torch.float64).requires_grad_()
below = torch.linspace(-6, 6, 5).double()
s = torch.stack([above, below], -1)[..., None]
listed = ListLogps(s, 0 * s.detach(), s.isfinite(), score[:5], 0 * score[:5])
twos = nca.loss(listed, nca.Config(1.0, hard))
pushed = torch.autograd.grad(twos.sum(), above, retain_graph=True)[0]
apart = infonca.loss(listed, infonca.Config(1.0, hard))
assert torch.allclose(apart, dpo.link(above - below, dpo.Config(1.0)))
early = 3 * (size.steps // 4)
ratio = final["kto"].point.clip(lower=0) / final["kto"].kl

# %%
exactly = {"kind": "exact", "tolerance": 1e-9, "setting": "by hand, β = 1"}
not_below, tenth = (0.0, float("inf")), (-0.1, float("inf"))
ahead = majority["kto"] - majority["dpo"]
table = [
    ("dpo-falls", chen, final["dpo"].chosen, "negative", "nats",
     "DPO lets the likelihood of the chosen responses fall (β = 0.1)."),
    ("nca-holds", chen, final["nca"].chosen, not_below, "nats",
     "NCA on the same pairs does not let it fall, at the same β = 0.1."),
    ("nca-holds-1", "ours", at(mild).chosen, not_below, "nats",
     "NCA does not let it fall at β = 1, where its requests sum to one."),
    ("nca-log-2", "ours", pushed, "zero", "push",
     "On a hard pair NCA rests at s = log 2 of the chosen response."),
    ("bco-lowers-dpo", jung, np.log(2) - final["bco"].dpo_loss, "positive",
     "nats", "BCO on thumbs lowers the DPO loss of the pairs behind them."),
]

# %%
table += [
    ("kto-few", ethayarajh, at(rare).gold - final["dpo"].gold, tenth,
     "reward units", "With 90 % of the thumbs up lost and λ re-weighted, the "
     "gold of KTO is at most 0.1 below that of DPO on all pairs."),
    ("kto-z0", "ours", ratio, (0.5, 2.0), "ratio",
     "KTO's reference point is within a factor of two of KL(π‖π_ref)."),
    ("majority", "ours", ahead, "positive", "share of pairs",
     "Of pairs with a 3 : 2 vote, KTO makes the majority's response the "
     "likelier one more often than DPO does (β = 1)."),
]
seen = f"{size.pairs} pairs per seed, {size.steps} steps, one reference model"
rests = {"nca-holds": (at(runs["nca"], early).chosen, final["nca"].chosen)}
for key, paper, effect, expected, unit, statement in table:
    more = exactly if key == "nca-log-2" else {"setting": seen}
    teach.claim(
        key=key, paper=paper, effect=effect, expected=expected, unit=unit,
        statement=statement, rest=rests.get(key), out=OUT or None, **more,
    )

# %% [markdown]
# ## What did not come out
#
# NCA does not hold the chosen up at $\beta = 0.1$. The likely reason is the
# table of sums above: its requests are far from a distribution. The reference
# point of KTO is clamped to zero throughout: the responses of our prompts are
# alike, so a mismatched one is a draw from $\pi_{\text{ref}}$. With prompts
# that have nothing in common it may be otherwise.
#
# ## References
#
# * [Chen et al. 2024](https://arxiv.org/abs/2402.05369), *Noise contrastive
#   alignment of language models with explicit rewards*.
# * [Jung et al. 2024](https://arxiv.org/abs/2404.04656), *Binary classifier
#   optimization for large language model alignment*.
# * [Ethayarajh et al. 2024](https://arxiv.org/abs/2402.01306), *KTO: model
#   alignment as prospect theoretic optimization*.
