"""RPO: DPO with an SFT term that is an adversary's value in disguise.

Objective:
    L = −log σ(βD) − ηβ log π(y_c), summed over tokens ("cumulative"), or
    L = −log σ(βD) − η log π(y_c)/|y_c|, without β ("average"). Both are the authors'.

Compared with DPO:
    the chosen response is pulled up as a demonstration is. The cumulative form is
    offline VPO with α = η, up to a constant; the average form is the DPO + NLL of
    iterative reasoning preference optimisation (Pang et al. 2024, 2404.19733).

Valid only if:
    the chosen responses are worth imitating. β, sum and mean change the weight of the
    term by orders of magnitude: an η belongs to its form.

Fixed point:
    cumulative, pairs drawn in either order with weights w_ij = w_ji: for every y_k,
    Σ_j w_kj [P(k ≻ j) − σ(βD_kj)] = η [π(y_k) − b(y_k)], b the distribution of the
    chosen responses. η = 0 is DPO's minimiser, η → ∞ is π = b. With r̂ = β log π/π_ref,
    −β E_b[log π/π_ref] = max_π′ {E_π′[r̂] − β KL(π′‖π_ref)} − E_b[r̂]: the reward is
    the one that is worth least, beyond b, to the policy that exploits it most.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) a mean over tokens in the cumulative form, or a sum in the average one.
    (3) β left out of the cumulative form, or left in the average one.
    (4) the sign of the SFT term.
    (5) the SFT term on both responses: the rejected one is imitated too.
    (6) the SFT term within the sigmoid.
"""

from dataclasses import dataclass, replace

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
    key="rpo",
    title="Regularised preference optimisation",
    parents=("dpo", "sft"),
    needs=("pairs", "reference"),
    paper="Liu et al. 2024 (2405.16436)",
    check="Loss minus DPO is η times the value gap of its own reward, plus a constant.",
    claim="The chosen log-prob does not fall, and gold does not turn down late.",
    notebook="27",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of RPO; the defaults are the cumulative form, ``AVERAGE`` the other.

    Attributes:
        beta: reward units per nat.
        eta: weight of the SFT term.
        reduce: ``"sum"`` or ``"mean"`` over the tokens of the chosen response.
        times_beta: whether β multiplies the SFT term.
    """

    beta: float = 0.01  # authors' recipe, zephyr-beta; 0.05 for gemma
    eta: float = 0.005  # authors' recipe, with that β
    reduce: Reduce = "sum"  # paper; authors' alignment-handbook code
    times_beta: bool = True  # paper; authors' alignment-handbook code


# authors' OpenRLHF code and README
AVERAGE = Config(beta=0.5, eta=0.2, reduce="mean", times_beta=False)


def anchor(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """The SFT term of base responses, in nats of loss."""
    strength = cfg.eta * (cfg.beta if cfg.times_beta else 1.0)
    return -strength * responses.logps(cfg.reduce)


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(βD) of each pair, plus the SFT term of its chosen response."""
    return dpo.loss(batch, cfg) + anchor(batch.chosen, cfg)


def _other_reduction(batch: PairLogps, cfg: Config) -> Tensor:
    return loss(batch, replace(cfg, reduce="mean" if cfg.reduce == "sum" else "sum"))


def _both_imitated(batch: PairLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) + anchor(batch.rejected, cfg)


def _inside(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.link(batch.margin() - anchor(batch.chosen, cfg) / cfg.beta, cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 the other reduction": _other_reduction,
    "3 the other factor": edits.with_config(
        loss, times_beta=lambda cfg: not cfg.times_beta
    ),
    "4 wrong sign": edits.with_config(loss, eta=lambda cfg: -cfg.eta),
    "5 both imitated": _both_imitated,
    "6 inside the sigmoid": _inside,
}
