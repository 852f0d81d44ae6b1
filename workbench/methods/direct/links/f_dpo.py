"""f-DPO: DPO for another divergence from the reference than the reverse KL.

Objective:
    L = −log σ(β f′(u_c) − β f′(u_r)),  u = π(y|x)/π_ref(y|x), summed over tokens: the
    optimum of E_π[r] − β D_f(π‖π_ref) has r = β f′(u) + λ(x), and λ cancels.

Compared with DPO:
    the implicit reward β log u becomes β f′(u). With the reverse KL it is DPO.

Valid only if:
    f′(u) → −∞ as u → 0: no response of the reference is left out by the optimum. Pure
    χ² fails this. An implicit reward is then β f′(u), not β log u as TRL logs it.

Minimiser:
    argmax E_π[r] − β D_f(π‖π_ref) for Bradley–Terry labels of r, whatever pairs are
    drawn, as long as they connect all responses.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) β log u taken for the reward whatever the divergence: DPO.
    (3) the other direction, D_f(π_ref‖π): for α it is 1 − α, TRL's coefficient.
    (4) f′ of the quotient u_c/u_r instead of the difference of two f′.
    (5) a mean over tokens inside u.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.divergences import Divergence, alpha
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="f_dpo",
    title="f-DPO",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Wang et al. 2023 (2309.16240)",
    check="The optimum of E[r] − β D_f is stationary, for each f and any pair weights.",
    claim="At equal reward, entropy is higher the closer f is to forward KL.",
    notebook="23",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of f-DPO.

    Attributes:
        beta: reward units per unit of f′.
        divergence: an object of ``core.divergences``.
    """

    beta: float = 0.1  # paper: 0.1, 0.3 and 0.9 on HH
    divergence: Divergence = alpha(0.3)  # paper: α 0.3, 0.5, 0.7; 0.3 is nearest to DPO


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """β f′(u), the implicit reward up to a constant of the prompt, reward units."""
    return cfg.beta * cfg.divergence.slope(responses.logratio())


def slope_margin(batch: PairLogps, divergence: Divergence) -> Float[Tensor, " batch"]:
    """f′(u_c) − f′(u_r), which stands where DPO has D."""
    chosen = divergence.slope(batch.chosen.logratio())
    return chosen - divergence.slope(batch.rejected.logratio())


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β f′(u_c) − β f′(u_r)) of each pair, in nats."""
    return dpo.link(slope_margin(batch, cfg.divergence), cfg)


def _other_direction(batch: PairLogps, cfg: Config) -> Tensor:
    def slope(logratio: Tensor) -> Tensor:
        # of u f(1/u), which generates D_f(π_ref‖π)
        inverse = (-logratio).exp()
        f = cfg.divergence
        return f.generator(inverse) - inverse * f.slope(-logratio)

    margin = slope(batch.chosen.logratio()) - slope(batch.rejected.logratio())
    return dpo.link(margin, cfg)


def _of_the_quotient(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.link(cfg.divergence.slope(batch.margin()), cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 log-ratio as reward": dpo.loss,
    "3 other direction": _other_direction,
    "4 slope of the quotient": _of_the_quotient,
    "5 mean over tokens": edits.mean_over_tokens(loss),
}
