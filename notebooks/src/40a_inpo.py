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
from workbench.measure.exact import response_logps
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
crowds = {
    "cyclic": preference_games.population(felt, people.shares(), NOISE),
    "fans": preference_games.population(felt[:1], torch.ones(1), NOISE),
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
wide = path.set_index(["method", "step", "crowd"]).gap.unstack().reset_index()
wide[wide.step == n].set_index("method")[list(crowds)].round(5)

# %%
views.training_curves(
    wide, dict.fromkeys(crowds, "duality gap (probability)"),
    by="method", log_y=True, title="Every round solved exactly",
    caption="In the cyclic crowd INPO ends lowest, then Nash-MD, then DPO at "
    "every β; with fans alone DPO's gap is the same from round 1 on.",
)  # fmt: skip


# %%
def judge(ends, key, crowd, said, a, b="INPO", paper="ours", **expected):
    """Judge a difference of final gaps: that of a minus that of b."""
    gaps = ends[ends.crowd == crowd].set_index("method").gap
    return teach.claim(
        key=key, statement=said, paper=paper, out=OUT or None, **expected,
        effect=gaps.loc[[a]].values - gaps.loc[[b]].values,
        unit="duality gap (probability)",
        kind="exact" if ends is end else "seeds",
        setting=f"{crowd}, τ = {TAU}, {ends.step.max()} rounds",
    )  # fmt: skip


# %%
inpo_paper, up = "Zhang et al. 2024 (2407.00617)", {"expected": "positive"}
beaten = ("cyclic", "INPO ends nearer to Nash than iterative DPO.")
ahead = ("cyclic", "INPO ends nearer to Nash than Nash-MD.")
alike = ("fans", "INPO and iterative DPO end equally near to Nash.")
held = [f"DPO, β = {best[crowd]}" for crowd in crowds]
zero = lambda most: {"expected": "zero", "tolerance": most}
made = [
    judge(end, "exact_dpo", *beaten, held[0], paper=inpo_paper, **up),
    judge(end, "exact_nash_md", *ahead, "Nash-MD", **up),
    judge(end, "exact_bradley_terry", *alike, held[1], **zero(0.005)),
]  # fmt: skip

# %% [markdown]
# ## Rounds of sampled pairs
#
# A transformer, 32 pairs per round and two updates on them. INPO and DPO hear
# one drawn label per pair. Nash-MD hears p(y ≻ y′) of each pair, which is
# more, and so does INPO in its form with soft labels.


# %%
def share(crowd, k):
    """What all runs have in common; a round is k steps of the loop."""

    def look(policy):
        return pd.DataFrame({"gap": gap(crowd, response_logps(policy, world))})

    return {"measures": [look], "batch_size": 32, "seed": FIRST, "decay": True,
            "steps": k * steps, "every": k * max(1, steps // 6)}  # fmt: skip


# %%
def train(crowd, name, method, setting):
    """All seeds of one method; two updates of Nash-MD stand for a round."""
    start, P = (reference.copies(seeds), reference, world), crowds[crowd]
    if method is nash_md:
        run = games.fit(*start, lambda *at: P[at], method, setting,
                        **share(crowd, 2))  # fmt: skip
        run.metrics["step"] //= 2
    else:
        ask = lambda a, b: P[a.prompt, a.response, b.response]
        run = rounds.fit(*start, ask, method, setting, updates=2,
                         **share(crowd, 1))  # fmt: skip
    return run.metrics.assign(crowd=crowd, method=name)


# %%
soft = inpo.Config(tau=TAU, eta=ETA, soft=True)
runs = [train("cyclic", "INPO, soft", inpo, soft)]
for c, beta in best.items():
    runs += [train(c, "INPO", inpo, cfg), train(c, "Nash-MD", nash_md, md)]
    runs.append(train(c, "DPO", dpo, dpo.Config(beta=beta)))
sampled = pd.concat(runs, ignore_index=True)
last = sampled[sampled.step == steps].sort_values("seed")
last.groupby(["crowd", "method"])[["gap"]].mean().round(4)

# %%
views.training_curves(
    sampled[sampled.crowd == "cyclic"], {"gap": "duality gap (probability)"},
    x="step", by="method", title="Cyclic crowd, sampled pairs",
    caption="INPO and DPO, who hear labels, end with a larger gap than "
    "Nash-MD and INPO with soft labels, who hear probabilities.",
)  # fmt: skip

# %%
made += [
    judge(last, "sampled_dpo", *beaten, "DPO", paper=inpo_paper, **up),
    judge(last, "sampled_nash_md", *ahead, "Nash-MD", **up),
    judge(last, "sampled_bradley_terry", *alike, "DPO", **zero(0.02)),
    judge(last, "soft_labels", "cyclic", "Soft labels bring INPO nearer.",
          "INPO", "INPO, soft", **up),
]  # fmt: skip

# %%
said = {c.key: f"{c.mean:.2g} ({c.verdict})" for c in made}
Markdown(
    "**Answer.** A positive number is a gap larger than INPO's. After "
    f"{n} exact rounds in the cyclic crowd: {said['exact_dpo']} for the best "
    f"DPO and {said['exact_nash_md']} for Nash-MD; under Bradley–Terry "
    f"{said['exact_bradley_terry']} for DPO. After {steps} rounds of sampled "
    f"pairs in the cyclic crowd: {said['sampled_dpo']} for DPO and "
    f"{said['sampled_nash_md']} for Nash-MD; under Bradley–Terry "
    f"{said['sampled_bradley_terry']} for DPO."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# From sampled pairs the advantage of exact rounds did not show. INPO and DPO,
# who hear one label per pair, end alike in the cyclic crowd, and Nash-MD ends
# nearer to the Nash policy than INPO. The likely reason is noise, not the
# fixed point: all runs stop far above the gaps of exact rounds, and INPO with
# soft labels, who hears as much as Nash-MD, ends much lower than INPO with
# drawn ones. A round of two updates is also only begun, not solved.
#
# Three limits. The paper's INPO takes the best and the worst of eight
# responses per prompt; ours takes two independent ones, as its theory does.
# Under Bradley–Terry a win rate is no reward, so DPO's optimum is not the
# Nash policy at any β, and the remaining gap is that of the best β of three.
# The grid's β was chosen by its own last gap, which favours DPO.
# Exact rounds have no seeds, and a first look at them came before the
# tolerance of 0.005 was fixed.
#
# ## References
#
# * Zhang et al. 2024, *Iterative Nash policy optimization*, arXiv 2407.00617.
# * Munos et al. 2023, *Nash learning from human feedback*, arXiv 2312.00886.
# * Rafailov et al. 2023, *Direct preference optimization*, arXiv 2305.18290.
