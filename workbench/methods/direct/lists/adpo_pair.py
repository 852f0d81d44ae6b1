"""Anchored DPO on pairs: the scores of two responses make a soft label.

Objective:
    L = −q log σ(D/τ) − (1 − q) log σ(−D/τ),  q = σ((r_i − r_j)/β_r),
    D = log π(y_i)/π_anchor(y_i) − log π(y_j)/π_anchor(y_j), sums over tokens;
    of a list: the mean over its K(K − 1)/2 pairs.

Compared with ADPO:
    the list is taken apart into pairs, and the entropy of the label stays in, which
    changes no gradient. DPO with β = 1/τ is q = 1; cDPO is q = 1 − ε on all pairs.

Valid only if:
    r_i − r_j in units of β_r is the log-odds that i beats j: soft labels that are too
    sure or too unsure move the minimiser, as any wrong temperature does.

Minimiser:
    π ∝ π_anchor exp(τr/β_r), that of ADPO, for any pairs: each is at rest by itself.

Known mistakes:
    (1) a hard label: the score difference only says who won.
    (2) the label swapped.
    (3) τ multiplied into the margin, as β is.
    (4) no anchor.
    (5) a mean over ordered pairs, a response with itself among them.
    (6) only neighbours of the list compared.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.lists import adpo

card = Card(
    key="adpo_pair",
    title="Anchored direct preference optimisation on pairs",
    parents=("adpo", "dpo"),
    needs=("lists", "reward", "reference"),
    paper="Wang 2025 (2510.18913)",
    check="Each pair is at rest at D = (τ/β_r)Δr; on lists of two it is ADPO.",
    claim="With noisy labels a soft label keeps more mass on the best than a hard one.",
    notebook="24a",
    loop=offline,
    hooks=("implicit_reward",),
)
Config = adpo.Config


implicit_reward = adpo.implicit_reward


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Mean cross-entropy of the soft labels of each list's pairs, in nats."""
    return _of_pairs(batch.logratio() / cfg.tau, batch.scores, *_upper(batch), cfg)


def _upper(batch: ListLogps) -> tuple[Tensor, Tensor]:
    group = batch.scores.shape[-1]
    first, second = torch.triu_indices(group, group, 1)
    return first, second


def _of_pairs(
    logits: Tensor, scores: Tensor, first: Tensor, second: Tensor, cfg: Config
) -> Tensor:
    margin = logits[:, first] - logits[:, second]
    gap = (scores[:, first] - scores[:, second]).detach() / cfg.beta_r
    return _entropy(margin, gap.sigmoid(), (-gap).sigmoid()).mean(-1)


def _entropy(margin: Tensor, win: Tensor, lose: Tensor) -> Tensor:
    # −log σ(x) = softplus(−x)
    return win * softplus(-margin) + lose * softplus(margin)


def _with_itself(batch: ListLogps, cfg: Config) -> Tensor:
    every = torch.arange(batch.scores.shape[-1])
    first, second = torch.cartesian_prod(every, every).T
    return _of_pairs(batch.logratio() / cfg.tau, batch.scores, first, second, cfg)


def _neighbours(batch: ListLogps, cfg: Config) -> Tensor:
    first = torch.arange(batch.scores.shape[-1] - 1)
    return _of_pairs(batch.logratio() / cfg.tau, batch.scores, first, first + 1, cfg)


mistakes = {
    "1 hard label": edits.with_config(loss, beta_r=1e-6),
    "2 label swapped": edits.swapped(loss),
    "3 tau multiplied": edits.with_config(loss, tau=lambda cfg: 1 / cfg.tau),
    "4 no anchor": edits.no_reference(loss),
    "5 ordered pairs and itself": _with_itself,
    "6 only neighbours": _neighbours,
}
