# ---
# jupyter:
#   workbench:
#     title: "25b · Extra tokens"
#     part: offline
#     budget_s: {ci: 40, lecture: 60, figure: 900}
# ---

# %% [markdown]
# # 25b · Does a discount on extra tokens make answers shorter?
#
# *A study beside lesson 25.*
#
# **Question.** Length-desensitised DPO (LD-DPO) multiplies by $a$ the
# log-ratios of those tokens of the longer response that the shorter one does
# not have: $a = 1$ is DPO, $a = 0$ cuts both to the same length. Does it make
# the policy write less where annotators pay for length?
#
# **Setting.** All reviews of at most four words; annotators who pay 1 reward
# unit per token; one reference model; the seeds differ in the pairs. R-DPO,
# with the right price, is the control: it must shorten.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.lesson import *
from workbench.measure import length_control
from workbench.methods.direct.length import ld_dpo, length_dpo

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 80, 1000),
    pairs=(64, 800, 20000),
)
beta, price, discounts = 1.0, 1.0, (1.0, 0.5, 0.0)
world = Reviews(4)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
tokens = length_control.tokens(world)
usual = solutions.expectation(ref, tokens.double()).mean().item()

# %%
felt, parts = world.gold + price * tokens, []
for seed in range(SEED, SEED + size.seeds):
    how = size.pairs, Annotator(), generator(seed, "pairs"), felt
    parts.append(sample_pairs(world, ref, *how))
pairs = Pairs.cat(parts)


def train(module, cfg):
    run = offline.fit(
        reference.copies(size.seeds), reference, pairs, module, cfg,
        steps=size.steps, seed=SEED, every=max(1, size.steps // 4),
        measures=(length_control.Tracker(world, ref),), batch_size=16,
    )
    return run.metrics


# %% [markdown]
# ## How many tokens are discounted?

# %%
longer, shorter = (
    pick(tokens[pairs.chosen.response], tokens[pairs.rejected.response])
    for pick in (torch.maximum, torch.minimum)
)
extra = ((longer - shorter).sum() / (longer + shorter).sum()).item()
say(
    f"{(longer > shorter).double().mean():.0%} of the pairs differ in length, "
    f"and {extra:.1%} of all tokens are extra tokens."
)

# %%
runs = {}
for a in discounts:
    runs[f"LD-DPO, a = {a:g}"] = train(ld_dpo, ld_dpo.Config(beta=beta, a=a))
cfg = length_dpo.Config(beta=beta, alpha=price)
runs["R-DPO"] = train(length_dpo, cfg)
curves = pd.concat([rows.assign(run=name) for name, rows in runs.items()])
last = curves[curves.step == size.steps]
mean = last.groupby("run", sort=False).mean(numeric_only=True)
mean[["tokens", "gold", "controlled", "fluency", "kl"]].round(3)

# %%
views.training_curves(
    curves, by="run",
    columns={"tokens": "length (tokens)", "controlled": "controlled gold"},
    caption=f"From {usual:.2f} tokens a = 1 (DPO) ends at "
    f"{mean.tokens['LD-DPO, a = 1']:.3f}, a = 0.5 at "
    f"{mean.tokens['LD-DPO, a = 0.5']:.3f}, a = 0 at "
    f"{mean.tokens['LD-DPO, a = 0']:.3f} and R-DPO at "
    f"{mean.tokens['R-DPO']:.3f}.",
)

# %%
by_run = last.pivot(index="seed", columns="run")
length, quality = by_run.tokens, by_run.controlled
shorter_by = 1 - length["LD-DPO, a = 0.5"] / length["LD-DPO, a = 1"]
kept = quality["LD-DPO, a = 0.5"] - quality["LD-DPO, a = 1"]
say(
    f"**Answer.** With a = 0.5 the reviews are {shorter_by.mean():+.1%} "
    "shorter than with DPO; the price of R-DPO makes them "
    f"{1 - mean.tokens['R-DPO'] / mean.tokens['LD-DPO, a = 1']:+.1%} shorter."
)

# %% [markdown]
# ## Claims
#
# The paper reports answers that are a tenth to two fifths shorter, on answers
# of hundreds of tokens. This setting cannot show that, and the verdict says
# so.

# %%
LIU, long = "Liu et al. 2024 (2409.06411)", usual > 20
condition = (long, "responses are long, tens of tokens or more")
at_least = float("inf")
table = [
    ("ld-shorter", shorter_by, (0.1, at_least), "share shorter",
     "LD-DPO's reviews are a tenth shorter than DPO's."),
    ("ld-quality", kept, (-0.1, at_least), "reward units",
     "LD-DPO loses no controlled gold against DPO."),
]
setting = f"{size.pairs} pairs, {size.steps} steps, one reference model"
for key, effect, expected, unit, statement in table:
    teach.claim(
        key=key, paper=LIU, statement=statement, effect=effect, unit=unit,
        expected=expected, setting=setting, condition=condition,
        out=OUT or None,
    )

# %% [markdown]
# ## What did not come out
#
# The discount hardly moves the length here. A bonus on length is a part of
# what the annotator feels about the *whole* response, and DPO with a discount
# may pay it on the shared tokens instead. In answers of hundreds of tokens
# the extra tokens are many and often say nothing new; in four words they are
# the verdict.
#
# ## References
#
# * [Liu et al. 2024](https://arxiv.org/abs/2409.06411), *Length
#   desensitization in DPO*.
# * [Park et al. 2024](https://arxiv.org/abs/2403.19159): R-DPO.
