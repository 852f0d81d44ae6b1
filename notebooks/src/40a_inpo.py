# ---
# jupyter:
#   workbench:
#     title: "40a · INPO, iterative DPO and Nash-MD"
#     part: games
#     budget_s: {ci: 60, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 40a · Does INPO end nearer to the Nash policy?
#
# *A study beside lesson 40.*
#
# **Question.** A crowd's majority runs in circles. In rounds of writing and
# labelling, does INPO end nearer to the Nash policy than iterative DPO and
# than Nash-MD with a constant step? And does its advantage vanish where the
# preferences are Bradley–Terry?
#
# **Setting.** The crowd of lesson 40 (fans, editors and poets), and its fans
# alone, who are Bradley–Terry; all reviews of at most three words. First
# every round is solved exactly: no network, no sampling. Then a small
# transformer learns from pairs. The measure is the duality gap at τ, a sum
# over all responses, which is 0 only at the Nash policy. Iterative DPO keeps
# π_ref as its reference and gets, after the fact, the best β of a grid. The
# answer in one sentence, with its numbers, is computed in the cell before the
# last section.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
import pandas as pd
import torch
from IPython.display import Markdown

from workbench import teach, views
from workbench.loops import games, rounds
from workbench.measure import exact
from workbench.methods.direct.links import dpo
from workbench.methods.games import nash_md
from workbench.methods.iterative import inpo
from workbench.models import tiny
from workbench.worlds import people, preference_games, reviews, solutions

# %%
n = {"ci": 2, "lecture": 12, "figure": 30}[PROFILE]  # exact rounds
steps = {"ci": 1, "lecture": 24, "figure": 300}[PROFILE]  # sampled rounds
seeds = {"ci": 2, "lecture": SEEDS, "figure": 2 * SEEDS}[PROFILE]
betas = (0.3,) if PROFILE == "ci" else (0.2, 0.3, 0.5)
# settings were chosen on seeds 0 and 1: the claims are judged on others
FIRST, TAU, ETA, NOISE = SEED + 10, 0.05, 0.15, 0.5
world = reviews.Reviews(max_words=3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %%
felt = people.rewards(world).double()
alone = torch.ones(1, dtype=torch.float64)
crowds = {
    "cyclic": preference_games.population(felt, people.shares(), NOISE),
    "Bradley–Terry": preference_games.population(felt[:1], alone, NOISE),
}


def gap(crowd, logps):
    """Duality gap at τ, mean over prompts."""
    each = preference_games.duality_gap(crowds[crowd], logps, ref, TAU)
    return each.mean(-1)


# %% [markdown]
# ## Exact rounds
#
# INPO's round ends at π_{t+1} ∝ π_ref^(τ/η) π_t^(1 − τ/η) exp(p(y ≻ π_t)/η),
# and Nash-MD steps by 1/η from, and against, the mixture of π_t and π_ref.
# Iterative DPO's round ends at π_ref exp(r_t/β), where r_t is the
# Bradley–Terry reward of maximum likelihood for pairs drawn from π_t. If the
# preferences are Bradley–Terry, r_t is the same in all rounds.

# %%
cfg = inpo.Config(tau=TAU, eta=ETA)
md = nash_md.Config(tau=TAU, mix=TAU / ETA)


def solved(crowd, p, beta):
    """One exact round of iterative DPO from π_t = p."""
    reward = felt[0] / NOISE
    if crowd == "cyclic":
        reward = preference_games.bradley_terry(crowds[crowd], p)
    return solutions.optimal_policy(ref, reward, beta)


# %%
def walk(crowd, name, rule):
    """The gap after each exact round of a rule."""
    p, rows = ref, []
    for t in range(n + 1):
        rows.append((crowd, name, t, gap(crowd, p).item()))
        p = rule(p) if t < n else p
    return rows


# %%
rows, best = [], {}
for c, P in crowds.items():
    rows += walk(c, "INPO", lambda p, P=P: inpo.step(p, ref, P, cfg))
    rule = lambda p, P=P: nash_md.step(p, ref, P, 1 / ETA, md)
    rows += walk(c, "Nash-MD", rule)
    tried = {b: walk(c, f"DPO, β = {b}", lambda p, b=b, c=c: solved(c, p, b))
             for b in betas}  # fmt: skip
    best[c] = min(betas, key=lambda b: tried[b][-1][-1])
    rows += sum(tried.values(), [])

# %%
path = pd.DataFrame(rows, columns=["crowd", "method", "step", "gap"])
end = path[path.step == n]
wide = path.pivot(index=["method", "step"], columns="crowd", values="gap")
wide = wide.reset_index()
wide[wide.step == n].set_index("method")[list(crowds)].round(5)

# %%
views.training_curves(
    wide, dict.fromkeys(crowds, "duality gap (probability)"),
    by="method", log_y=True, title="Every round solved exactly",
    caption="In the cyclic crowd only INPO's gap falls to the end; Nash-MD's "
    "stops at its bias, and DPO's stays higher at every β.",
)  # fmt: skip


# %%
def judge(ends, key, crowd, said, a, b, source, **expected):
    """Judge a difference of final gaps: that of a minus that of b."""
    gaps = ends[ends.crowd == crowd].set_index("method").gap
    return teach.claim(
        key=key, statement=said, unit="duality gap (probability)",
        effect=gaps.loc[[a]].values - gaps.loc[[b]].values, **expected,
        **source, setting=f"{crowd}, τ = {TAU}, {ends.step.max()} rounds",
    )  # fmt: skip


paper = {"paper": "Zhang et al. 2024 (2407.00617)", "out": OUT or None}
ours, more = {"paper": "ours", "out": OUT or None}, {"expected": "positive"}
# %%
held = {crowd: f"DPO, β = {beta}" for crowd, beta in best.items()}
exact_dpo = judge(
    end, "exact_dpo", "cyclic", "INPO ends nearer to Nash than iterative DPO.",
    held["cyclic"], "INPO", paper, kind="exact", **more)  # fmt: skip
exact_md = judge(
    end, "exact_nash_md", "cyclic", "INPO ends nearer than Nash-MD.",
    "Nash-MD", "INPO", ours, kind="exact", **more)  # fmt: skip
BT, zero = "Bradley–Terry", {"expected": "zero", "tolerance": 0.005}
exact_bt = judge(
    end, "exact_bradley_terry", BT, "Without cycles DPO ends as near.",
    held[BT], "INPO", ours, kind="exact", **zero)  # fmt: skip

# %% [markdown]
# ## Rounds of sampled pairs
#
# A transformer, 32 pairs per round and two updates on them. INPO and DPO hear
# one drawn label per pair. Nash-MD hears p(y ≻ y′) of each pair, which is
# more, and so does INPO in its form with soft labels.


# %%
def watch(crowd):
    """The settings of all runs, with the gap as their measure."""

    def look(policy):
        law = exact.response_logps(policy, world)
        return pd.DataFrame({"gap": gap(crowd, law)})

    return {"measures": [look], "batch_size": 32, "seed": FIRST, "decay": True}


# %%
def in_rounds(crowd, name, method, setting):
    """All seeds of a method that learns from pairs of its own."""
    run = rounds.fit(
        reference.copies(seeds), reference, world,
        lambda a, b: crowds[crowd][a.prompt, a.response, b.response],
        method, setting, steps=steps, updates=2,
        every=max(1, steps // 6), **watch(crowd),
    )  # fmt: skip
    return run.metrics.assign(crowd=crowd, method=name)


# %%
def in_games(crowd):
    """Nash-MD with as many updates: two games' steps stand for a round."""
    run = games.fit(
        reference.copies(seeds), reference, world,
        lambda *at: crowds[crowd][at], nash_md, md, steps=2 * steps,
        every=2 * max(1, steps // 6), **watch(crowd),
    )  # fmt: skip
    found = run.metrics.assign(crowd=crowd, method="Nash-MD")
    return found.assign(step=found["step"] // 2)


# %%
soft = inpo.Config(tau=TAU, eta=ETA, soft=True)
runs = [in_rounds("cyclic", "INPO, soft", inpo, soft)]
for crowd, beta in best.items():
    runs += [in_rounds(crowd, "INPO", inpo, cfg), in_games(crowd)]
    runs.append(in_rounds(crowd, "DPO", dpo, dpo.Config(beta=beta)))
sampled = pd.concat(runs, ignore_index=True)
last = sampled[sampled.step == steps].sort_values("seed")
last.groupby(["crowd", "method"])[["gap"]].mean().round(4)

# %%
order = last[last.crowd == "cyclic"].groupby("method").gap.mean().sort_values()
views.training_curves(
    sampled[sampled.crowd == "cyclic"], {"gap": "duality gap (probability)"},
    x="step", by="method", title="Cyclic crowd, sampled pairs",
    caption=f"After {steps} rounds the mean gap is smallest for "
    f"{order.index[0]} and largest for {order.index[-1]}.",
)  # fmt: skip

# %%
dpo_more = judge(
    last, "sampled_dpo", "cyclic", "From labels INPO ends nearer than DPO.",
    "DPO", "INPO", paper, **more)  # fmt: skip
md_more = judge(
    last, "sampled_nash_md", "cyclic", "INPO ends nearer than Nash-MD.",
    "Nash-MD", "INPO", ours, **more)  # fmt: skip
bt_more = judge(
    last, "sampled_bradley_terry", BT, "INPO and DPO end alike.",
    "DPO", "INPO", ours, expected="zero", tolerance=0.02)  # fmt: skip
soft_more = judge(
    last, "soft_labels", "cyclic", "Soft labels bring INPO nearer to Nash.",
    "INPO", "INPO, soft", ours, **more)  # fmt: skip

# %%
said = lambda c: f"{c.mean:.2g} ({c.verdict})"
Markdown(
    f"**Answer.** After {n} exact rounds in the cyclic crowd the best DPO is "
    f"further from Nash than INPO by {said(exact_dpo)} of the gap and Nash-MD "
    f"by {said(exact_md)}, and under Bradley–Terry DPO by {said(exact_bt)}; "
    f"after {steps} rounds of sampled pairs the gap of DPO minus that of INPO "
    f"is {said(dpo_more)}, that of Nash-MD minus that of INPO {said(md_more)}."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# PENDING
#
# ## References
#
# * Zhang et al. 2024, *Iterative Nash policy optimization*, arXiv 2407.00617.
# * Munos et al. 2023, *Nash learning from human feedback*, arXiv 2312.00886.
# * Rafailov et al. 2023, *Direct preference optimization*, arXiv 2305.18290.
