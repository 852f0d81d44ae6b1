"""Contrastive preference optimisation: DPO without a reference, with an NLL term.

Objective:
    L = −log σ(β·(log π(y_c) − log π(y_r))) + α·NLL(y_c), log-probs summed over response
    tokens in the first term; NLL(y_c) = −log π(y_c)/|y_c| ("mean") or −log π(y_c)
    ("sum").

Compared with DPO:
    the reference is left out, which is DPO under a reference that gives both responses
    the same log-prob; the NLL of the chosen response takes its place as the anchor.

Valid only if:
    both responses answer the same prompt; longer responses are not meant to lose for
    their length, since log π(y) falls with every token. The NLL is one value per
    example. TRL and the official code take one mean over all chosen tokens of a batch:
    example i then weighs |y_i|/(mean length of the batch) times what it weighs here,
    and the two agree when all chosen responses are of one length.

Minimiser:
    α = 0, Bradley–Terry labels of reward r: π ∝ exp(r/β). With α > 0 the distribution
    of the chosen responses pulls too: p_c(y) for "sum", p_c(y)/|y| normalised for
    "mean" (as in SFT). Where the distribution that pulls is exp(r/β)/Z itself, α
    changes nothing. With hard labels and α = 0 the infimum lies at a margin of ∞.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the reference kept: DPO with an NLL term.
    (3) a mean over tokens in the preference term: SimPO without its margin.
    (4) the NLL of both responses: the rejected one is raised too.
    (5) the sign of the NLL.
    (6) β multiplied into the NLL as well: α ten times smaller at β = 0.1.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import Reduce
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="cpo",
    title="Contrastive preference optimisation",
    parents=("dpo", "sft"),
    needs=("pairs",),
    paper="Xu et al. 2024 (2401.08417)",
    check="With α = 0 the population minimiser is exp(r/β), normalised.",
    claim="Without a reference it matches DPO; without its NLL it degenerates.",
    notebook="25a",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of CPO.

    Attributes:
        beta: reward units per nat.
        alpha: weight of the NLL of the chosen response.
        nll: ``"mean"`` is nats per token of the response, ``"sum"`` nats per response.
    """

    beta: float = 0.1  # TRL 1.16
    alpha: float = 1.0  # TRL 1.16, where it is called cpo_alpha
    nll: Reduce = "mean"  # TRL 1.16, up to the weight |y|/mean length (see above)


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """β·log π(y), the implicit reward, reward units."""
    return cfg.beta * responses.logps()


def gap(batch: PairLogps) -> Float[Tensor, " batch"]:
    """log π(y_c) − log π(y_r), in nats."""
    return batch.chosen.logps() - batch.rejected.logps()


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·gap) + α·NLL(y_c) of each pair, in nats."""
    return dpo.link(gap(batch), cfg) - cfg.alpha * batch.chosen.logps(cfg.nll)


def _reference_kept(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.loss(batch, cfg) - cfg.alpha * batch.chosen.logps(cfg.nll)


def _preference_of_means(batch: PairLogps, cfg: Config) -> Tensor:
    means = batch.chosen.logps("mean") - batch.rejected.logps("mean")
    return dpo.link(means, cfg) - cfg.alpha * batch.chosen.logps(cfg.nll)


def _nll_of_both(batch: PairLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) - cfg.alpha * batch.rejected.logps(cfg.nll)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 reference kept": _reference_kept,
    "3 preference of means": _preference_of_means,
    "4 NLL of both responses": _nll_of_both,
    "5 sign of the NLL": edits.with_config(loss, alpha=lambda cfg: -cfg.alpha),
    "6 beta on the NLL": edits.with_config(
        loss, alpha=lambda cfg: cfg.alpha * cfg.beta
    ),
}
