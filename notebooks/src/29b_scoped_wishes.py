# ---
# jupyter:
#   workbench:
#     title: "29b · A wish for one prompt"
#     part: offline
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 29b · How far does a wish for one prompt leak to the others?
#
# *A study beside lesson 29.*
#
# **Question.** Somebody says: call *films* fun. Pairs exist for the film only,
# and in each a review with the word "fun" was chosen over one without. Does a
# policy trained on them by direct preference optimisation (DPO) call the
# plot, the cast and the music fun, too? And does C3PO (contextualised
# critiques with constrained preference optimisation) prevent it?
#
# **Setting.** All reviews of at most three words; five hundred pairs per seed
# for the film, $\beta = 0.3$, 100 steps, one reference model. The plot is
# declared near the scope, cast and music outside. C3PO adds there the
# log-likelihood of the reference's *own* reviews, whose expectation is
# $-\text{KL}(\pi_{\text{ref}}\Vert\pi)$ plus a constant. With both strengths
# at 0 it is DPO. The answer is computed near the end.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.feedback.kinds import scoped_pairs
from workbench.lesson import *
from workbench.methods.direct.data import c3po

size = sizes(
    PROFILE, seeds=(2, SEEDS, 10), steps=(4, 100, 1000), pairs=(16, 500, 5000)
)
beta, world = 0.3, Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
texts = [world.text(y) for y in range(world.n_responses)]
fun = torch.tensor(["fun" in text.split() for text in texts])

# %%
how, parts = (world, ref, fun, size.pairs), []
scope = ((0,), (2, 3), (1,))  # in scope, outside, near
for seed in range(SEED, SEED + size.seeds):
    draw = generator(seed, "wish")
    parts.append(scoped_pairs.sample_scoped(*how, draw, prompts=scope))
wish = scoped_pairs.ScopedPairs.cat(parts)

# %%
logps = {"reference": ref[None]}
losses = {"DPO": c3po.Config(beta=beta, outside=0.0, near=0.0)}
losses["C3PO"] = c3po.Config(beta=beta)
for name, cfg in losses.items():
    run = offline.fit(
        reference.copies(size.seeds), reference, wish, c3po, cfg,
        steps=size.steps, seed=SEED,
    )
    logps[name] = exact.response_logps(run.policy, world)

# %% [markdown]
# ## Who is called fun?

# %%
share = {k: (v.exp() * fun).sum(-1).numpy() for k, v in logps.items()}
nats = {k: solutions.kl(v, ref).mean(0).tolist() for k, v in logps.items()}
means = {k: v.mean(0) for k, v in share.items()}
tables = {"share with fun": pd.DataFrame(means, world.prompts)}
tables["KL (nats)"] = pd.DataFrame(nats, world.prompts)
display(pd.concat(tables, axis=1).round(3))
rows = [
    (world.prompts[prompt], seed, name, float(one[prompt]))
    for name in losses
    for seed, one in enumerate(share[name])
    for prompt in range(4)
]

# %%
frame = pd.DataFrame(rows, columns=["prompt", "seed", "loss is", "share"])
views.bars(
    frame, "prompt", "share", label="share of reviews with the word fun",
    by="loss is", title="Asked for the film only",
    caption="After DPO on the film alone the plot is called fun in "
    f"{means['DPO'][1]:.0%} of its reviews, after C3PO in "
    f"{means['C3PO'][1]:.0%}; before training in "
    f"{means['reference'][1]:.0%}.",
)

# %% [markdown]
# ## Claims

# %%
free, held = (share[k] - share["reference"] for k in ("DPO", "C3PO"))
cut = 1 - abs(held[:, 1:]).mean(1) / abs(free[:, 1:]).mean(1)
unit, most = "share of the change", float("inf")
rows = [
    ("c3po-leak", free[:, 1], "positive", "share of reviews"),
    ("c3po-keeps", held[:, 0] / free[:, 0], (0.9, most), "ratio"),
    ("c3po-cuts", cut, (0.3, 1.0), unit),
]
texts = [
    "After DPO on the film the plot is called fun more often.",
    "C3PO keeps 0.9 or more of the gain in scope.",
    "C3PO cuts the change elsewhere by 30 % or more.",
]
meanings = [
    "A wish for one prompt leaks to others.",
    "Restraint elsewhere costs little where the wish holds.",
    "Most of the leak can be prevented.",
]

# %%
verdicts, names = {}, ("key", "effect", "expected", "unit")
where = f"{size.pairs} pairs of one prompt, {size.steps} steps, one reference"
for row, text, meaning in zip(rows, texts, meanings, strict=True):
    told = dict(zip(names, row, strict=True))
    told |= {"statement": text, "meaning": meaning, "setting": where}
    told |= {"paper": c3po.card.paper, "out": OUT or None}
    verdicts[row[0]] = teach.claim(**told)
say(
    "**Answer.** After DPO the share of plot reviews that say fun is "
    f"{verdicts['c3po-leak'].mean:.2f} higher than before; C3PO keeps the "
    f"share {verdicts['c3po-keeps'].mean:.2f} of the gain for the film and "
    f"cuts the change elsewhere by {verdicts['c3po-cuts'].mean:.0%}."
)

# %% [markdown]
# ## What is not said
#
# The prompts of this world are four words, and the tiny decoder has little
# reason to tell them apart, so the leak is nearly complete. In a large model
# the prompts differ in meaning, and the leak is smaller.
#
# ## References
#
# * [Stephan et al. 2024](https://arxiv.org/abs/2402.10893), *RLVF: learning
#   from verbal feedback without overgeneralization* (C3PO).
