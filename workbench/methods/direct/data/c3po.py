"""C3PO: preferences where a wish applies, the reference's own words where it does not.

Objective:
    L = −log σ(β·D) − s_out·log π(y_out|x_out) − s_near·log π(y_near|x_near),
    a pair in scope of the wish (revised over original), and the reference's own
    responses to a prompt out of scope and to one that only looks in scope.

Compared with DPO:
    two log-likelihoods of single responses are added. They do not pull towards good
    responses but towards π_ref: E over y ~ π_ref of −log π(y|x) is KL(π_ref‖π) plus the
    entropy of π_ref, which is constant.

Valid only if:
    responses outside and near are drawn from π_ref at temperature 1, and many: few are
    learned by heart, greedy ones narrow π to the mode. Log-probs are sums. The official
    code divides by the tokens of the batch: its s is ours times their mean number.

Minimiser:
    in scope that of DPO, elsewhere π_ref, where the policy tells prompts apart: for a
    table of logits s_out and s_near change nothing in scope. A network shares weights
    between prompts; there they are the price of a change elsewhere.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) a plus: the responses outside are unlearned.
    (3) the two strengths exchanged.
    (4) likelihood of the chosen response instead: RPO, which protects nothing outside.
    (5) only the responses outside are held; near prompts take the wish over.
    (6) prompt or padding counted: the mask ignored.
    (7) a mean over each response's own tokens: at π_ref it still pulls, to short ones.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.scoped_pairs import ScopedPairLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="c3po",
    title="Constrained preferences from a verbal wish (C3PO)",
    parents=("dpo", "sft"),
    needs=("pairs", "reference", "responses"),
    paper="Stephan et al. 2024 (2402.10893)",
    check="Its expected gradient out of scope is that of s·KL(π_ref‖π).",
    claim="It keeps a wish in scope and cuts the change out of scope by about 30%.",
    notebook="29b",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of C3PO.

    Attributes:
        beta: reward units per nat.
        outside: s_out, nats of this loss per nat of KL(π_ref‖π) out of scope.
        near: s_near, the same on prompts near the scope.
    """

    outside: float = 0.2  # official config, sigma_soft; see above
    near: float = 0.1  # official config, sigma_hard; see above


def loss(batch: ScopedPairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(βD) − s_out·log π(y_out) − s_near·log π(y_near) of each row, in nats."""
    weighted = cfg.outside * batch.outside.logps() + cfg.near * batch.near.logps()
    return dpo.loss(batch, cfg) - weighted


def _chosen_held(batch: ScopedPairLogps, cfg: Config) -> Tensor:
    weighted = (cfg.outside + cfg.near) * batch.chosen.logps()
    return dpo.loss(batch, cfg) - weighted


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 plus": edits.with_config(
        loss, outside=lambda cfg: -cfg.outside, near=lambda cfg: -cfg.near
    ),
    "3 strengths exchanged": edits.with_config(
        loss, outside=lambda cfg: cfg.near, near=lambda cfg: cfg.outside
    ),
    "4 chosen response held": _chosen_held,
    "5 near prompts forgotten": edits.with_config(loss, near=0.0),
    "6 prompt or padding counted": edits.mask_ignored(
        loss, "outside_mask", "near_mask"
    ),
    "7 mean over own tokens": edits.mean_over_tokens(
        loss, "policy_outside", "policy_near"
    ),
}
