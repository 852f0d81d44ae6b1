"""BRAIn: self-normalised importance sampling towards the reward-conditioned posterior.

Objective:
    L = −Σ_k â_k log softmax_k(log π(y_k) − log q′(y_k)),
    â = softmax_k(log π_ref(y_k) + r_k/β − log q′(y_k)), a constant;
    q′ is the distribution that the n responses of a prompt were drawn from.
    Its gradient is −Σ_k (â_k − b̂_k)∇log π(y_k), b̂ the softmax in L.

Compared with INFONCA:
    draws from any q′, corrected in the target and in the policy. For q′ = π_ref it is
    InfoNCA with α = β and log-ratios times 1: no β multiplies them.

Valid only if:
    log q′ is that of the sampler as it ran: temperature, top-k and all; q′ covers π*.

Fixed point:
    π*_β ∝ π_ref exp(r/β), for a Bradley–Terry reward model the posterior given a good
    response. There â = b̂ on every list: each sampled gradient is 0, whatever q′ is.
    For finite n the gradient is that of the self-normalised KL, not of KL(π*‖π).
    Derived here: GDC++, with weights (π*/q′ − π/q′)/n, has no variance there either if
    Z is known exactly, and has some with any other Z. BRAIn needs no Z. DPG, without
    the second term, always has variance. All three checked list by list.

Known mistakes:
    (1) q′ left out of the policy's part: the baseline b̂ is then not that of the draws.
    (2) q′ taken for the reference.
    (3) β multiplied into the policy's log-ratio, as in DPO.
    (4) no baseline: DPG, whose gradient varies at the optimum too.
    (5) no self-normalisation: GDC++ with an unknown Z.
    (6) a mean over tokens.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits, softmax_targets
from workbench.core.card import Card
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline

card = Card(
    key="brain",
    title="Bayesian reward-conditioned amortised inference",
    parents=("infonca",),
    needs=("lists", "reward", "reference", "proposal"),
    paper="Pandey et al. 2024 (2402.02479)",
    check="At π*_β each sampled gradient is 0, for every proposal and sample set.",
    claim="Far from the posterior its gradient varies less than GDC++'s and DPG's.",
    notebook="28b",
    loop=offline,
    scale="beta",
    optimum="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of BRAIn.

    Attributes:
        beta: reward units per nat of the posterior; it multiplies no log-ratio.
    """

    beta: float = 0.1  # ours: that of DPO, for one π*_β; we know no published default


def evidence(batch: ListLogps, cfg: Config) -> Float[Tensor, "batch group"]:
    """log π_ref + r/β − log q′ of each response, a constant, in nats."""
    ref = sequence_logps(batch.ref, batch.mask)
    return (ref + batch.scores / cfg.beta - batch.proposal).detach()


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Cross-entropy of the normalised importance weights of each list, in nats."""
    target = softmax_targets.targets(evidence(batch, cfg), 1.0)
    return softmax_targets.cross_entropy(
        target, batch.logps() - batch.proposal.detach()
    )


def _proposal_left_out(batch: ListLogps, cfg: Config) -> Tensor:
    return softmax_targets.cross_entropy(
        softmax_targets.targets(evidence(batch, cfg), 1.0), batch.logps()
    )


def _beta_multiplied(batch: ListLogps, cfg: Config) -> Tensor:
    target = softmax_targets.targets(evidence(batch, cfg), 1.0)
    logits = cfg.beta * (batch.logps() - batch.proposal.detach())
    return softmax_targets.cross_entropy(target, logits)


def _no_baseline(batch: ListLogps, cfg: Config) -> Tensor:
    return -(evidence(batch, cfg).exp() * batch.logps()).mean(-1)


def _not_normalised(batch: ListLogps, cfg: Config) -> Tensor:
    policy = (batch.logps() - batch.proposal).detach().exp()
    return -((evidence(batch, cfg).exp() - policy) * batch.logps()).mean(-1)


mistakes = {
    "1 proposal left out of the policy's part": _proposal_left_out,
    "2 proposal taken for the reference": edits.with_batch(
        loss, proposal=lambda batch: sequence_logps(batch.ref, batch.mask)
    ),
    "3 beta multiplied": _beta_multiplied,
    "4 no baseline": _no_baseline,
    "5 no self-normalisation": _not_normalised,
    "6 mean over tokens": edits.mean_over_tokens(loss, "policy"),
}
