"""Reward model ensembles: several Bradley–Terry models, optimised as one reward.

Objective:
    L = Σ_i −log σ(r_i(x, y_chosen) − r_i(x, y_rejected)) + ½c·(the squares of both);
    a policy then maximises mean_i r_i, min_i r_i (worst case), or mean_i r_i − λ·var_i
    r_i (uncertainty-weighted; the variance has divisor n).

Compared with BT:
    nothing changes in the training of a model; there are several, and a policy is paid
    less where they disagree.

Valid only if:
    the models err differently where no pair tells (each starts from weights of its own;
    in the paper each also has its own order of the pairs, here they share it): an error
    that all share stays. Scores have a common level (``CombinedReward.normalised``):
    BT leaves r_i + f_i(x) open, and f changes who wins by minimum or variance.

Minimiser:
    for each model that of BT, a little shrunk; of all r + f(x), c > 0 takes the one
    with mean 0 over the compared responses. Tables then agree where there are pairs.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the mean reward is trained: a model stops learning once the others are right.
    (3) the worst-case reward is trained: only the lowest model of a response learns.
    (4) a mean over the models: each learns with 1/n of its step.
    (5) the square of the rejected score with a minus: no level is fixed.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.fields import tensors
from workbench.feedback.kinds.ensemble_scores import EnsembleScores
from workbench.loops import reward as reward_loop
from workbench.models.reward_ensemble import (
    Combine,
    CombinedReward,
    RewardEnsemble,
    combined,
)

card = Card(
    key="rm_ensemble",
    title="Reward model ensemble",
    parents=("bt",),
    needs=("pairs", "several reward models"),
    paper="Coste et al. 2023 (2310.02743)",
    check="Each model trains as BT alone; worst ≤ uncertainty if λ(max − mean) ≤ 1.",
    claim="Worst case and uncertainty weighting nearly end overoptimisation.",
    notebook="10a",
    loop=reward_loop,
    hooks=("build", "reward", "margin"),
)


@dataclass(frozen=True)
class Config:
    """Settings of the ensemble.

    Attributes:
        size: number of models.
        combine: the reward that a policy is to maximise.
        weight: λ of "uncertainty", per reward unit.
        score_l2: c, nats per squared reward unit.
    """

    size: int = 5  # paper: five seeds
    combine: Combine = "uncertainty"  # ours: the paper compares all three
    weight: float = 0.1  # official config_rl.yaml, for PPO; 0.5 for best-of-n
    score_l2: float = 0.001  # official config_rm.yaml, as in Open-Assistant


def build(vocab, cfg: Config, seed: int) -> RewardEnsemble:
    """Fresh models; no two seeds share one."""
    return RewardEnsemble.tiny(vocab, cfg.size, seed=seed)


def reward(model: RewardEnsemble, cfg: Config) -> CombinedReward:
    """The one reward that a policy is to maximise."""
    return model.combined(cfg.combine, cfg.weight)


def margin(batch: EnsembleScores, cfg: Config) -> Float[Tensor, " batch"]:
    """Combined reward of the chosen minus that of the rejected response."""
    how = (cfg.combine, cfg.weight)
    return combined(batch.chosen, *how) - combined(batch.rejected, *how)


def loss(batch: EnsembleScores, cfg: Config) -> Float[Tensor, " batch"]:
    """Σ_i −log P_i(chosen ≻ rejected) + ½c·(the squares of both scores), in nats."""
    size = (batch.chosen.square() + batch.rejected.square()) / 2
    return (cfg.score_l2 * size - logsigmoid(batch.margin())).sum(-1)


def _trained_as_one(how: Combine) -> edits.Loss:
    """The loss of the combined reward, as if it were the score of one model."""

    def one(side: str):
        return lambda batch: combined(tensors(batch)[side], how, 0.0)[:, None]

    return edits.with_batch(loss, chosen=one("chosen"), rejected=one("rejected"))


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 mean reward trained": _trained_as_one("mean"),
    "3 worst-case reward trained": _trained_as_one("worst"),
    "4 mean over the models": lambda batch, cfg: (
        loss(batch, cfg) / batch.chosen.shape[-1]
    ),
    "5 rejected square with a minus": lambda batch, cfg: (
        loss(batch, cfg) - cfg.score_l2 * batch.rejected.square().sum(-1)
    ),
}
