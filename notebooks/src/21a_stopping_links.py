# ---
# jupyter:
#   workbench:
#     title: "21a · Links that stop"
#     part: offline
#     budget_s: {ci: 30, lecture: 90, figure: 900}
# ---

# %% [markdown]
# # 21a · Where do the links that stop come to rest?
#
# *A study beside lesson 21.*
#
# **Question.** Five losses of pairs have a slope that reaches zero: IPO
# (identity preference optimisation), the hinge, cDPO (conservative DPO: label
# smoothing), EXO (efficient exact optimisation) and SLiC (sequence likelihood
# calibration, a hinge on log-probs plus an SFT term). Where does each stop on
# labels that always agree, and does it stay nearer to the reference than DPO?
#
# **Setting.** All reviews of at most three words, a deterministic annotator,
# one reference model. The seeds differ in the pairs and their order. $D$ is
# the margin of a pair, the log-ratio of the chosen minus that of the rejected
# response, in nats.

# %% tags=["parameters"]
PROFILE = "lecture"
SEED = 0
SEEDS = 5
DEVICE = "cpu"
OUT = ""

# %%
from workbench.lesson import *
from workbench.measure import gradient_weights, implicit_reward
from workbench.methods.direct.links import dpo, exo_pref, hinge, ipo, slic
from workbench.methods.direct.noise import cdpo

size = sizes(PROFILE, seeds=(2, SEEDS, 10), steps=(4, 160, 2000))
world, beta, tau, noise = Reviews(3), 1.0, 0.5, 0.1
reference = tiny.reference(world, DEVICE)
ref = reference.response_logps(world).detach()

# %% [markdown]
# ## The pushes
#
# $\beta = 1$, $\tau = \frac12$, and a smoothing of $\varepsilon = 0.1$.

# %%
links = {"dpo": (dpo, dpo.Config(beta)), "ipo": (ipo, ipo.Config(tau))}
links["hinge"] = (hinge, hinge.Config(beta))
links["cdpo"] = (cdpo, cdpo.Config(beta, noise))
links["exo_pref"] = (exo_pref, exo_pref.Config(beta, noise))
grid = torch.linspace(-2, 5, 281).double()
curves = [
    gradient_weights.of_grid(*link, grid, 0.0).assign(method=name)
    for name, link in links.items()
]
curves = pd.concat(curves)

# %%
late = curves[curves.margin == 5].set_index("method").push_chosen
positive = ", ".join(late.index[late > 0])
caption = f"At D = 5 nats only {positive} still pushes forward."
views.links(curves, loss_range=(-0.5, 4), push_range=(-2, 3), caption=caption)

# %% [markdown]
# ## One pair that is always won
#
# The margin is a free number and walks along its push, 20,000 steps of 0.1.

# %%
stop, rows = np.log((1 - noise) / noise), []
cases = [(ipo, ipo.Config(t), 1 / (2 * t)) for t in (0.1, 0.5, 1.0)]
cases += [(hinge, hinge.Config(beta), 1 / beta)]
cases += [(m, m.Config(beta, noise), stop) for m in (cdpo, exo_pref)]
for module, cfg, goal in cases:
    margin = torch.zeros(1).double()
    for _ in range(20_000):
        margin = margin + 0.1 * module.weight(margin, cfg)
    rows.append((module.card.key, str(cfg), goal, margin.item()))
walks = pd.DataFrame(
    rows, columns=["link", "settings", "goal", "D at the end"]
)
walks.round(3)

# %% [markdown]
# The hinge stops with the first step past its margin, so up to a step too
# far. The others rest where their push is zero.
#
# ## Train
#
# SLiC has no reference: its hinge asks for a difference of 1 nat between the
# log-probs themselves, and an SFT term takes the place of the reference.

# %%
parts = []
for seed in range(SEED, SEED + size.seeds):
    draw, sure = generator(seed, "pairs"), Annotator(deterministic=True)
    parts.append(sample_pairs(world, ref, 300, sure, draw))
pairs = Pairs.cat(parts)
known = pairs.reference_logps(reference)
measures = [exact.Tracker(world, ref, gold=world.gold)]
measures += [implicit_reward.PairTracker(pairs, known, 1.0)]
often = max(1, size.steps // 4)


# %%
def train(module, cfg):
    return offline.fit(
        reference.copies(size.seeds),
        reference,
        pairs,
        module,
        cfg,
        steps=size.steps,
        batch_size=16,
        measures=measures,
        every=often,
        seed=SEED,
    )


# %%
runs = {name: train(*link) for name, link in links.items()}
runs["slic"] = train(slic, slic.Config())
main = list(runs)
runs["dpo, β = ½"] = train(dpo, dpo.Config(0.5))
runs["ipo, τ = 0.1"] = train(ipo, ipo.Config(0.1))
runs["ipo, τ = 1"] = train(ipo, ipo.Config(1.0))
log = pd.concat([run.metrics.assign(run=name) for name, run in runs.items()])
last = log[log.step == size.steps].set_index(["run", "seed"])
half = log[log.step == size.steps // 2].set_index(["run", "seed"])
columns = ["kl", "margin", "gold", "entropy", "frontier_gap"]
last.groupby("run", sort=False)[columns].mean().round(2)

# %%
kl = last.kl.groupby("run").mean()[main]
columns = {"kl": "KL(π‖π_ref) (nats)", "margin": "mean margin D (nats)"}
caption = (
    f"The KL ends lowest with {kl.idxmin()} ({kl.min():.2f} nats) and "
    f"highest with {kl.idxmax()} ({kl.max():.2f} nats)."
)
shown = log[log.run.isin(main)]
views.training_curves(shown, columns, by="run", caption=caption)

# %% [markdown]
# ## The spike of the hinge
#
# Zhao et al. and Liu et al. describe pairs that gather at the margin where
# the hinge stops.

# %%
ended = {}
for name in ("dpo", "ipo", "hinge"):
    trained = runs[name].policy
    judged = gradient_weights.of_pairs(*links[name], trained, pairs, known)
    ended[name] = judged.set_index("seed").margin
near = {name: ((at - 1).abs() < 0.1).mean() for name, at in ended.items()}
views.distribution(
    ended,
    bins=60,
    label="margin D of a training pair (nats)",
    title="Margins after training",
    marks={"target of the hinge and of IPO": 1.0},
    caption=f"Within 0.1 nats of the target lie {near['hinge']:.0%} of the "
    f"margins of the hinge, {near['ipo']:.0%} of IPO, "
    f"{near['dpo']:.0%} of DPO.",
)

# %% [markdown]
# ## Claims

# %%
share = (last.kl - half.kl) / last.kl
rounded = (5 * ended["hinge"].abs()).round() / 5
mode = rounded.groupby("seed").agg(lambda values: values.mode()[0])
resting = [exo_pref.weight(torch.tensor(stop), links["exo_pref"][1]).item()]
resting += [cdpo.weight(torch.tensor(stop), links["cdpo"][1]).item()]
azar, more = "Azar et al. 2023 (2310.12036)", float("inf")
rso = "Zhao et al. 2023 (2305.10425), Liu et al. 2023 (2309.06657)"
ends = walks[walks.link == "ipo"]
tenth = last.kl["ipo, τ = 0.1"] / last.kl["ipo, τ = 1"]
hinge_below = last.kl["dpo"] - last.kl["hinge"]
slic_below = last.kl["dpo"] - last.kl["slic"]

# %%
said = {
    "dpo-grows": "On deterministic preferences DPO's KL grows on (β = ½).",
    "ipo-heeds-tau": "IPO's KL depends on τ: a tenth of τ gives over 3 × KL.",
    "hinge-spike": "Under the hinge |βD| has a spike at 1 (fullest 0.2-bin).",
    "hinge-kl": "The hinge's KL stays below DPO's, trained equally long.",
    "slic-kl": "SLiC's KL stays below DPO's, trained equally long.",
    "exo-cdpo": "cDPO and EXO stop at the same D = log((1 − ε)/ε)/β.",
    "one-pair": "On a pair that is always won IPO ends at D = 1/(2τ), any τ.",
}
ji, apart = "Ji et al. 2024 (2402.00856)", ends["D at the end"] - ends.goal
table = [
    ("dpo-grows", azar, share["dpo, β = ½"], (0.1, 1.0), "share of KL"),
    ("ipo-heeds-tau", azar, tenth, (3.0, more), "ratio of KL"),
    ("hinge-spike", rso, mode, (0.8, 1.2), "nats"),
    ("hinge-kl", rso, hinge_below, "positive", "nats"),
    ("slic-kl", rso, slic_below, "positive", "nats"),
    ("exo-cdpo", ji, resting, "zero", "loss per nat"),
    ("one-pair", azar, apart, "zero", "nats"),
]

# %%
fixed = {"kind": "exact", "tolerance": 1e-9}
for key, paper, effect, expected, unit in table:
    where = f"300 sure pairs, {size.steps} steps, one reference model"
    more = {"setting": where, "out": OUT or None, "statement": said[key]}
    more |= {"effect": effect, "expected": expected, "unit": unit}
    more |= fixed if expected == "zero" else {}
    teach.claim(key=key, paper=paper, **more)

# %%
below = [name for name in kl.index if kl[name] < kl["dpo"]]
say(
    f"**Answer.** After {size.steps} steps {', '.join(below)} end nearer to "
    f"the reference than DPO ({kl['dpo']:.2f} nats): "
    + ", ".join(f"{name} {kl[name]:.2f}" for name in below)
    + f". One pair alone stops at 1/β, 1/(2τ) or {stop:.2f} nats."
)

# %% [markdown]
# ## What did not come out, and what is not said
#
# Where a verdict is *undecided*, the
# seeds differ more in their pairs than the links do in their slopes.
#
# A spike is sharp when the optimiser may reach it: with Adam the steps are as
# large near the margin as far from it, so that pairs are carried past it.
# SLiC differs from the hinge in two ways at once, and nothing here tells
# which of the two matters.
#
# ## References
#
# * [Azar et al. 2023](https://arxiv.org/abs/2310.12036): IPO, equation 17.
# * [Zhao et al. 2023](https://arxiv.org/abs/2305.10425), *SLiC-HF*: the hinge
#   without a reference.
# * [Liu et al. 2023](https://arxiv.org/abs/2309.06657), *Statistical rejection
#   sampling*: the hinge with a reference.
# * [Ji et al. 2024](https://arxiv.org/abs/2402.00856), *EXO*.
# * [Mitchell 2023](https://ericmitchell.ai/cdpo.pdf): cDPO.
