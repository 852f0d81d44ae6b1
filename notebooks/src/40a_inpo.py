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
# labelling, does iterative Nash policy optimisation (INPO) end nearer to the
# Nash policy than iterative DPO and than Nash-MD with a constant step? And
# does its advantage vanish where the preferences are Bradley–Terry?
#
# **Setting.** The crowd of lesson 40 (fans, editors and poets), and its fans
# alone, who are Bradley–Terry; all reviews of at most three words. First
# every round is solved exactly: no network, no sampling. Then a small
# transformer learns from pairs. The measure is the duality gap at $\tau$, a
# sum over all responses, which is 0 only at the Nash policy. Iterative DPO
# keeps $\pi_{\text{ref}}$ as its reference and gets, after the fact, the best
# $\beta$ of a grid. The answer in one sentence, with its numbers, is computed
# in the cell before the last section.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from functools import partial

from workbench.lesson import *
from workbench.loops import games, rounds
from workbench.methods.direct.links import dpo
from workbench.methods.games import nash_md
from workbench.methods.iterative import inpo
from workbench.worlds import people
from workbench.worlds import preference_games as game

size = sizes(
    PROFILE, seeds=(2, SEEDS, 2 * SEEDS), exact_rounds=(2, 12, 30),
    rounds=(1, 24, 300), betas=((0.3,), (0.2, 0.3, 0.5), (0.2, 0.3, 0.5)),
)
# settings were chosen on seeds 0 and 1: the claims are judged on others
first, tau, eta, noise = SEED + 10, 0.05, 0.15, 0.5
world = Reviews(max_words=3)
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach().double()

# %%
felt = people.rewards(world).double()
crowds = {
    "cyclic crowd": game.population(felt, people.shares(), noise),
    "fans alone": game.population(felt[:1], torch.ones(1), noise),
}


def gap(crowd, logps):
    """Duality gap at τ, mean over prompts."""
    return game.duality_gap(crowds[crowd], logps, ref, tau).mean(-1)


# %% [markdown]
# ## Exact rounds
#
# INPO's round ends at
#
# $$\pi_{t+1} \propto \pi_{\text{ref}}^{\tau/\eta}\,\pi_t^{1-\tau/\eta}\,
# e^{p(y \succ \pi_t)/\eta},$$
#
# and Nash-MD steps by $1/\eta$ from, and against, the mixture of $\pi_t$ and
# $\pi_{\text{ref}}$. Iterative DPO's round ends at
# $\pi_{\text{ref}}\,e^{r_t/\beta}/Z$, where $r_t$ is the Bradley–Terry
# reward of maximum likelihood for pairs drawn from $\pi_t$. If the
# preferences are Bradley–Terry, $r_t$ is the same in all rounds.

# %%
inpo_config = inpo.Config(tau=tau, eta=eta)
md_config = nash_md.Config(tau=tau, mix=tau / eta)


def solved(crowd, policy, beta):
    """One exact round of iterative DPO."""
    reward = felt[0] / noise
    if crowd == "cyclic crowd":
        reward = game.bradley_terry(crowds[crowd], policy)
    return solutions.optimal_policy(ref, reward, beta)


# %%
def rules(crowd):
    """Name to one exact round, log-probabilities to log-probabilities."""
    wins = crowds[crowd]
    known = {
        "INPO": lambda now: inpo.step(now, ref, wins, inpo_config),
        "Nash-MD": lambda now: nash_md.step(
            now, ref, wins, 1 / eta, md_config
        ),
    }
    for beta in size.betas:
        known[f"DPO, β = {beta}"] = partial(solved, crowd, beta=beta)
    return known


# %%
rows = []
for crowd in crowds:
    for name, rule in rules(crowd).items():
        policy = ref
        for t in range(size.exact_rounds + 1):
            rows.append((crowd, name, t, gap(crowd, policy).item()))
            policy = rule(policy)

# %%
walks = pd.DataFrame(rows, columns=["crowd", "method", "round", "gap"])
end = walks[walks["round"] == size.exact_rounds]
table = end.pivot(index="method", columns="crowd", values="gap")
tried = table.loc[[f"DPO, β = {beta}" for beta in size.betas]]
best = {crowd: size.betas[tried[crowd].argmin()] for crowd in crowds}
table.round(5)

# %%
walks = walks.set_index(["method", "round"]).groupby("crowd").gap
wide = pd.DataFrame(dict(iter(walks)))
low = {crowd: table[crowd].sort_values().index for crowd in crowds}
views.training_curves(
    wide.reset_index(), {c: f"{c}: duality gap (probability)" for c in crowds},
    x="round", by="method", log_y=True, title="Every round solved exactly",
    caption=f"In the cyclic crowd {low['cyclic crowd'][0]} ends lowest, then "
    f"{low['cyclic crowd'][1]}, and highest {low['cyclic crowd'][-1]}; with "
    f"fans alone {low['fans alone'][0]} ends lowest.",
)

# %% [markdown]
# ## Rounds of sampled pairs
#
# A transformer, 32 pairs per round and two updates on them. INPO and DPO hear
# one drawn label per pair. Nash-MD hears $p(y \succ y')$ of each pair, which
# is more, and so does INPO in its form with soft labels.


# %%
def shared(crowd, updates):
    """What all runs have in common; a round is some steps of the loop."""
    look = lambda policy: pd.DataFrame(
        {"gap": gap(crowd, exact.response_logps(policy, world))}
    )
    every = updates * max(1, size.rounds // 12)
    return {"measures": [look], "batch_size": 32, "seed": first,
            "decay": True, "steps": updates * size.rounds, "every": every}


# %%
def train(crowd, name, method, settings):
    """All seeds of one method; two updates of Nash-MD stand for a round."""
    start = reference.copies(size.seeds), reference, world
    wins, updates = crowds[crowd], 1
    if method is nash_md:
        vote, updates = lambda *at: wins[at], 2
        run = games.fit(*start, vote, method, settings, **shared(crowd, 2))
    else:
        vote = lambda a, b: wins[a.prompt, a.response, b.response]
        plan = shared(crowd, 1) | {"updates": 2}
        run = rounds.fit(*start, vote, method, settings, **plan)
    done = run.metrics.step // updates
    return run.metrics.assign(crowd=crowd, method=name, round=done)


# %%
runs, soft_config = [], inpo.Config(tau=tau, eta=eta, soft=True)
for crowd, beta in best.items():
    runs.append(train(crowd, "INPO", inpo, inpo_config))
    runs.append(train(crowd, "Nash-MD", nash_md, md_config))
    runs.append(train(crowd, "DPO", dpo, dpo.Config(beta=beta)))
runs.append(train("cyclic crowd", "INPO, soft", inpo, soft_config))
sampled = pd.concat(runs, ignore_index=True)
last = sampled[sampled["round"] == size.rounds]
mean = last.groupby(["method", "crowd"]).gap.mean().unstack()
mean.round(4)

# %%
labels = mean.loc[["INPO", "DPO"], "cyclic crowd"].min()
chances = mean.loc[["Nash-MD", "INPO, soft"], "cyclic crowd"].max()
views.training_curves(
    sampled[sampled.crowd == "cyclic crowd"],
    {"gap": "duality gap (probability)"}, x="round", by="method",
    title="Cyclic crowd, sampled pairs",
    caption="INPO and DPO, who hear labels, end with a gap of at least "
    f"{labels:.3f}; Nash-MD and INPO with soft labels, who hear "
    f"probabilities, end at {chances:.3f} at most.",
)

# %% [markdown]
# ## Claims
#
# Each is a final gap minus that of INPO. An exact round has no seeds. Of the
# sampled rounds it is asked first whether INPO's gap has come to rest.


# %%
def at(crowd, name, when):
    """The gap of a sampled run after a round, one value per seed."""
    rows = sampled[(sampled.crowd == crowd) & (sampled.method == name)]
    return rows[rows["round"] == when].sort_values("seed").gap.to_numpy()


paper = "Zhang et al. 2024 (2407.00617)"
beaten = {
    "statement": "INPO ends nearer to Nash than iterative DPO.",
    "meaning": "No reward that is fitted to votes replaces the game.",
    "expected": "positive", "paper": paper,
}
ahead = {
    "statement": "INPO ends nearer to Nash than Nash-MD.",
    "meaning": "The constant step keeps Nash-MD away from the Nash policy.",
    "expected": "positive", "paper": "ours",
}
alike = {
    "statement": "INPO and iterative DPO end equally near to Nash.",
    "meaning": "Where a reward explains the votes the game adds nothing.",
    "expected": "zero", "paper": "ours",
}

# %%
cyclic, fans = crowds
unit, where = "duality gap (probability)", f"τ = {tau}, one reference model"
judge, made = partial(teach.claim, out=OUT or None, unit=unit), []
claimed = [
    ("dpo", cyclic, "DPO", beaten), ("nash_md", cyclic, "Nash-MD", ahead),
    ("bradley_terry", fans, "DPO", alike),
]
for key, crowd, rival, how in claimed:
    name = f"DPO, β = {best[crowd]}" if rival == "DPO" else rival
    small = {"tolerance": 0.005} if how is alike else {}
    made.append(judge(
        key=f"exact_{key}", kind="exact", **how, **small,
        effect=table[crowd][name] - table[crowd]["INPO"],
        setting=f"{crowd}, {size.exact_rounds} exact rounds, {where}",
    ))

# %%
hard, soft = (at(cyclic, f"INPO{s}", size.rounds) for s in ("", ", soft"))
setting = f"{size.rounds} rounds of 32 sampled pairs, {where}"
for key, crowd, rival, how in claimed:
    ends = [at(crowd, "INPO", size.rounds * part // 4) for part in (3, 4)]
    other = at(crowd, rival, size.rounds)
    more = {"tolerance": 0.02} if how is alike else {}
    made.append(judge(
        key=f"sampled_{key}", rest=ends, effect=other - ends[1], **how, **more,
        setting=f"{crowd}, {setting}",
    ))

# %%
made.append(judge(
    key="soft_labels", effect=hard - soft, setting=f"{cyclic}, {setting}",
    statement="Soft labels bring INPO nearer.", expected="positive",
    meaning="What INPO lacks from drawn labels is information.", paper="ours",
))

# %%
told = {c.key: f"{c.mean:.2g} ({c.verdict})" for c in made}
say(
    "**Answer.** A positive number is a gap larger than INPO's. After "
    f"{size.exact_rounds} exact rounds in the cyclic crowd it is "
    f"{told['exact_dpo']} for the best DPO and {told['exact_nash_md']} for "
    f"Nash-MD, and with fans alone {told['exact_bradley_terry']} for DPO; "
    f"after {size.rounds} rounds of sampled pairs in the cyclic crowd it is "
    f"{told['sampled_dpo']} for DPO, {told['sampled_nash_md']} for Nash-MD "
    f"and {told['soft_labels']} more for INPO's drawn labels than for its "
    f"soft ones, and with fans alone {told['sampled_bradley_terry']} for DPO."
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
# Nash policy at any $\beta$, and the remaining gap is that of the best
# $\beta$ of three. The grid's $\beta$ was chosen by its own last gap, which
# favours DPO. Exact rounds have no seeds, and a first look at them came
# before the tolerance of 0.005 was fixed.
#
# ## References
#
# * [Zhang et al. 2024](https://arxiv.org/abs/2407.00617), *Iterative Nash
#   policy optimization*.
# * [Munos et al. 2023](https://arxiv.org/abs/2312.00886), *Nash learning from
#   human feedback*.
# * [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), *Direct
#   preference optimization*.
