"""Weighted behaviour cloning: the likelihood of each response, times its reward.

Objective:
    L = −r(x, y) log π(y|x), log-probabilities summed over response tokens.

Compared with SFT:
    the loss of a response is multiplied by its reward. Nothing else changes.

Valid only if:
    rewards are positive (the authors send those of dialogues through a sigmoid). A
    response with r < 0 is pushed down without end. Adding a constant to the reward
    changes the method.

Minimiser:
    π(y|x) ∝ μ(y|x) r(x, y) for responses from a distribution μ and r ≥ 0, and
    ``reduce="sum"``; with ``"mean"`` μ r / |y|. The policy improves on μ once, by the
    factor r, and stays there: no pull to a reference is needed.

Known mistakes:
    (1) the sign: the best responses become unlikely fastest.
    (2) a mean over tokens where the sum is meant.
    (3) prompt or padding tokens counted: the mask ignored.
    (4) the reward left out: SFT on all responses, bad ones included.
    (5) a baseline taken off: A-LoL's advantage, without its maximum with 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.loops import offline
from workbench.methods.supervised import sft

card = Card(
    key="wbc",
    title="Weighted behaviour cloning",
    parents=("sft",),
    needs=("responses", "reward"),
    paper="Baheti et al. 2023 (2305.14718)",
    check="For r > 0 the population minimiser is ∝ μ r, over all responses.",
    claim="With low-reward responses mixed in, it loses reward and A-LoL does not.",
    notebook="28c",
    loop=offline,
)

Config = sft.Config


def loss(batch: ScoredLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−r log π(y|x) of each response, in reward units times nats."""
    return batch.scores * sft.loss(batch, cfg)


def _baseline(batch: ScoredLogps, cfg: Config) -> Tensor:
    return (batch.scores - batch.baseline) * sft.loss(batch, cfg)


mistakes = {
    "1 wrong sign": edits.wrong_sign(loss),
    "2 mean over tokens": edits.with_config(loss, reduce="mean"),
    "3 prompt or padding counted": edits.mask_ignored(loss),
    "4 no reward": edits.with_batch(
        loss, scores=lambda batch: torch.ones_like(batch.scores)
    ),
    "5 baseline taken off": _baseline,
}
