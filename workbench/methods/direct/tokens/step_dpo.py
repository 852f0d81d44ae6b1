"""Step-DPO: compare two next steps from one prefix, not two whole responses.

Objective:
    L = −log σ(β·(d(s_c|x′) − d(s_r|x′))),  x′ = the prompt and the steps before,
    d(s|x′) = log π(s|x′)/π_ref(s|x′) summed over the tokens of that ONE step.

Compared with DPO:
    the shared steps move into the prompt and what follows is cut off. It is DPO on
    pairs that share their first steps and end with the one in which they part.

Valid only if:
    both steps continue the same prefix; the step is where the first error is made. No
    end token is appended to a step: it would teach to stop there.

Minimiser:
    at every prefix s that is compared π(a|s) ∝ π_ref(a|s) exp(V(s·a)/β), V being the
    value whose Bradley–Terry labels the steps carry (derived here). With V* of the
    soft backup at β this is π*_β. With V^ref, what π_ref earns from there on (for
    right and wrong: its success rate), it is the one-step-greedy policy of TDPO1. With
    V of the latest policy, KL still to come deducted, each round of labels is one of
    soft policy iteration: prefixes of height h are π*_β after h rounds.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) everything from the step on counted: what follows is no part of it.
    (3) the whole response counted: DPO. The prefix cancels, what follows does not.
    (4) a mean over the tokens of the step.
    (5) the reference left out.
    (6) a gradient through the reference.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.step_pairs import PairSteps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="step_dpo",
    title="Step-DPO",
    parents=("dpo",),
    needs=("pairs", "reference", "steps"),
    paper="Lai et al. 2024 (2406.18629)",
    check="Labels of V* give π*_β; labels of V^ref the minimiser of TDPO1.",
    claim="With equally many pairs it beats DPO on whole solutions.",
    notebook="29",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of Step-DPO.

    Attributes:
        beta: reward units per nat.
    """

    beta: float = 0.5  # official 7B script; its yaml says 0.05 and is overridden


def steps(batch: PairSteps) -> PairLogps:
    """The pair with everything outside the two steps masked."""
    return PairLogps(
        policy_chosen=batch.policy_chosen,
        policy_rejected=batch.policy_rejected,
        ref_chosen=batch.ref_chosen,
        ref_rejected=batch.ref_rejected,
        chosen_mask=batch.chosen_mask & batch.chosen_step,
        rejected_mask=batch.rejected_mask & batch.rejected_step,
    )


def loss(batch: PairSteps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·D) of the two steps of each pair, in nats."""
    return dpo.loss(steps(batch), cfg)


def _rest_counted(batch: PairSteps, cfg: Config) -> Tensor:
    from_here = [batch.chosen_step.cumsum(-1) > 0, batch.rejected_step.cumsum(-1) > 0]
    longer = replace(batch, chosen_step=from_here[0], rejected_step=from_here[1])
    return loss(longer, cfg)


def _mean_over_tokens(batch: PairSteps, cfg: Config) -> Tensor:
    return dpo.link(steps(batch).margin("mean"), cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 everything from the step on counted": _rest_counted,
    "3 whole response counted": edits.instead(loss, dpo.loss),
    "4 mean over the tokens of the step": _mean_over_tokens,
    "5 no reference": edits.no_reference(loss),
    "6 gradient through the reference": edits.through_reference(loss),
}
