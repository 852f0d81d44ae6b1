"""R-DPO: a price on every token is added to DPO's margin.

Objective:
    L = −log σ(β·D + α·(|y_c| − |y_r|)),  D the difference of log-ratios of DPO.

Compared with DPO:
    α·(|y_c| − |y_r|) stands inside the sigmoid: a longer chosen response is partly
    explained by its length already, and the policy need not raise it as much.

Valid only if:
    both responses answer the same prompt; the reward is wanted without its part that is
    linear in length, α reward units per token; |y| counts response tokens, the end of
    sequence included.

Minimiser:
    π ∝ π_ref exp((r − α|y|)/β) for Bradley–Terry labels of reward r: π*_β of the reward
    less its price. If annotators add α per token to r, this is π*_β of r itself.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the sign: subtracted, the term is a bonus on length, and the minimiser has +α.
    (3) α inside the bracket of β: β times too small.
    (4) |y_c| − |y_r| without its sign: short and long chosen responses alike.
    (5) lengths of the padded rows: equal, so the term vanishes.
    (6) a gradient through the reference: the values agree, the training does not.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="length_dpo",
    title="R-DPO, length-regularised",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Park et al. 2024 (2403.19159)",
    check="The population minimiser is ref·exp((r − α|y|)/β), normalised.",
    claim="Length stays where DPO's grows, at the same length-controlled reward.",
    notebook="25",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of R-DPO.

    Attributes:
        beta: reward units per nat.
        alpha: price of a token, reward units.
    """

    beta: float = 0.1  # as DPO
    alpha: float = 0.1  # SamPO's code, at second hand; the paper searches


def longer(batch: PairLogps) -> Float[Tensor, " batch"]:
    """|y_c| − |y_r| in tokens."""
    tokens = batch.chosen_mask.sum(-1) - batch.rejected_mask.sum(-1)
    return tokens.to(batch.policy_chosen)


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """β·log π/π_ref + α·|y|: what the loss takes for the reward, reward units."""
    length = responses.mask.sum(-1)
    return cfg.beta * responses.logratio() + cfg.alpha * length


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·D + α·(|y_c| − |y_r|)) of each pair, in nats."""
    return -logsigmoid(cfg.beta * batch.margin() + cfg.alpha * longer(batch))


def _no_sign(batch: PairLogps, cfg: Config) -> Tensor:
    return -logsigmoid(cfg.beta * batch.margin() + cfg.alpha * longer(batch).abs())


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 bonus on length": edits.with_config(loss, alpha=lambda cfg: -cfg.alpha),
    "3 alpha times beta": edits.with_config(
        loss, alpha=lambda cfg: cfg.alpha * cfg.beta
    ),
    "4 length difference without its sign": _no_sign,
    # rows are padded to one width, so their difference is 0
    "5 lengths of padded rows": edits.with_config(loss, alpha=0.0),
    "6 gradient through the reference": edits.through_reference(loss),
}
