# ---
# jupyter:
#   workbench:
#     title: "23b · Diversity and calibration"
#     part: offline
#     budget_s: {ci: 40, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 23b · Does the divergence change diversity and calibration?
#
# *A study beside lesson 23.*
#
# **Question.** The paper of f-DPO (direct preference optimisation for an
# f-divergence) finds that divergences nearer to the forward KL buy the same
# alignment with more diversity, and that the divergence changes the
# calibration error. Is it so here, at the exact optima and in runs?
#
# **Setting.** All reviews of at most three words; Bradley–Terry pairs of
# $\pi_{\text{ref}}$; five divergences at $\beta = 0.3$. Diversity is the
# entropy at *equal gold reward*: the same $\beta$ is a different strength in
# each divergence, as $f''(1)$ is 1 for both KL and for α, ½ for
# Jensen–Shannon and 2 for $\chi^2$ + KL. The answer in one sentence is
# computed before the claims.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from itertools import product

from workbench.core import divergences
from workbench.lesson import *
from workbench.measure import calibration
from workbench.methods.direct.links import f_dpo

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), steps=(4, 80, 1000),
    pairs=(64, 2000, 20000), grid=(8, 30, 60),
)
beta = 0.3
world = Reviews(3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()
gold = world.gold.double()
kinds = (
    divergences.REVERSE_KL, divergences.CHI2_KL, divergences.JENSEN_SHANNON,
    divergences.alpha(0.5), divergences.FORWARD_KL,
)

# %% [markdown]
# ## Without training
#
# Follow each family of optima from $\beta = 5$ to $\beta = 0.08$, and read
# the entropy at the same gold.

# %%
rows, levels = [], [0.0, 0.3, 0.6, 0.9, 1.2]
for f, b in product(kinds, np.geomspace(5, 0.08, size.grid).tolist()):
    best = solutions.optimal_policy_f(ref, gold, b, f)
    at = solutions.expectation(best, gold), solutions.entropy(best)
    rows.append((f.name, *(float(value.mean()) for value in at)))
optima = pd.DataFrame(rows, columns=["kind", "gold", "entropy"])
at = {k: np.interp(levels, v.gold, v.entropy)
      for k, v in optima.groupby("kind")}
gap = at["forward KL"] - at["reverse KL"]
views.training_curves(
    optima.rename(columns={"gold": "gold (reward units)"}),
    {"entropy": "entropy (nats)"}, x="gold (reward units)", by="kind",
    caption=f"At equal gold the forward KL's optimum has {gap.min():+.2f} to "
    f"{gap.max():+.2f} nats of entropy relative to the reverse KL's.",
)

# %% [markdown]
# A theorem to hold beside it: if $\pi_{\text{ref}}$ is uniform,
# $\text{KL}(\pi\Vert\pi_{\text{ref}})$ is a constant minus the entropy. Then
# the optimum of the reverse KL has, by definition, the *largest* entropy among
# all policies of its gold. Only a reference far from uniform, or a training
# that stops short, can put another one above it.
#
# ## Runs

# %%
def draw(use):
    drawn = [generator(s, use) for s in range(SEED, SEED + size.seeds)]
    how = world, ref, size.pairs, Annotator()
    return Pairs.cat([sample_pairs(*how, each) for each in drawn])


pairs, held = draw("pairs"), draw("held out")
tracker, runs = exact.Tracker(world, ref, gold=gold), {}
for f in kinds:
    runs[f.name] = offline.fit(
        reference.copies(size.seeds), reference, pairs, f_dpo,
        f_dpo.Config(beta=beta, divergence=f), steps=size.steps,
        seed=SEED, measures=(tracker,), every=max(1, size.steps // 8),
    )
curves = pd.concat([v.metrics.assign(kind=k) for k, v in runs.items()])

# %%
last = curves[curves.step == size.steps].groupby("kind").kl.mean()
views.training_curves(
    curves, {"gold": "gold (reward units)", "entropy": "entropy (nats)"},
    by="kind",
    caption=f"After {size.steps} steps {last.idxmax()} has drifted furthest "
    f"({last.max():.2f} nats), {last.idxmin()} least ({last.min():.2f}).",
)

# %% [markdown]
# At equal gold: the gold that every run of a seed reaches, and the entropy of
# each run when it first gets there.

# %%
same = {}
for seed, part in curves.groupby("seed"):
    up = {k: v[v.gold >= v.gold.cummax()] for k, v in part.groupby("kind")}
    least = min(v.gold.max() for v in up.values())
    same[seed] = {k: np.interp(least, v.gold, v.entropy)
                  for k, v in up.items()}
same = pd.DataFrame(same).T[list(runs)]
same.mean().round(3).rename("mean entropy at equal gold").to_frame()

# %% [markdown]
# ## Calibration
#
# Two readings of the expected calibration error (ECE), on held-out pairs. The
# paper's script calls the mean probability of a token of the chosen response,
# $\exp(\frac{1}{|y|}\log\pi)$, the confidence, and asks whether it exceeds
# the rejected one's. The other reading is that of lesson 20a: the
# forecast $\sigma(\beta f'(u_c) - \beta f'(u_r))$ of the label.

# %%
rows, x = [], held.chosen.prompt
c, l = held.chosen.response, held.rejected.response
for f, seed in product(kinds, range(size.seeds)):
    logps = exact.response_logps(runs[f.name].policy, world)[seed]
    reward = beta * f.slope(logps - ref)
    forecast = (reward[x, c] - reward[x, l]).sigmoid()
    score = calibration.ece(forecast, torch.ones(len(x)))
    token = logps / (world.n_words + 1)
    sure, right = token[x, c].exp(), (token[x, c] > token[x, l]).double()
    off = torch.bincount((10 * sure).int(), sure - right).abs().sum()
    rows.append((f.name, seed, score, off.item() / len(x)))

# %%
ece = pd.DataFrame(rows, columns=["kind", "seed", "forecast", "script"])
width = ece.drop(columns="kind").groupby("seed").agg(np.ptp)
means = ece.groupby("kind")[["forecast", "script"]].mean().loc[list(runs)]
lead = same["forward KL"] - same["reverse KL"]
say(
    f"**Answer.** At equal gold the forward KL has {lead.mean():+.3f} nats "
    f"more entropy than the reverse KL in the runs, and {gap.min():+.2f} to "
    f"{gap.max():+.2f} at the optima. The divergence moves the error of the "
    f"forecast by {width.forecast.mean():.3f} and that of the paper's "
    f"confidence by {width.script.mean():.3f}."
)
means.round(3)

# %% [markdown]
# ## Claims

# %%
wang = "Wang et al. 2023 (2309.16240)"
runs_of = f"{size.pairs} pairs, {size.steps} steps, one reference model"
table = [
    ("entropy-runs", lead, "positive", "nats", "seeds",
     "In runs stopped at equal gold the forward KL leaves more entropy than "
     "the reverse KL."),
    ("entropy-optima", gap, "positive", "nats", "exact",
     "At the exact optima the forward KL leaves more entropy than the "
     "reverse KL at each of five levels of gold."),
    ("ece-forecast", width.forecast, (0.02, 1.0), "max − min ECE", "seeds",
     "The divergence moves the ECE of the forecast of the label, "
     "σ(βf′(u_c) − βf′(u_r)), by over 0.02."),
    ("ece-script", width.script, (0.02, 1.0), "max − min ECE", "seeds",
     "The divergence moves the ECE of the paper's confidence, the mean token "
     "probability of the chosen response, by over 0.02."),
]

# %%
says = ("entropy-runs", "ece-script")  # what the paper measures
for key, effect, expected, unit, kind, statement in table:
    teach.claim(
        key=key, paper=wang if key in says else "ours", unit=unit,
        statement=statement, effect=effect, expected=expected, kind=kind,
        setting=runs_of if kind == "seeds" else "closed forms, all reviews",
        out=OUT or None,
    )

# %% [markdown]
# ## What did not come out
#
# More entropy at equal gold holds at some levels of gold and not at others.
# A likely reason is the theorem above: near a uniform reference the reverse KL
# is best, and nothing says how far from it a reference must be.
#
# ## References
#
# * [Wang et al. 2023](https://arxiv.org/abs/2309.16240), *Beyond reverse KL*.
