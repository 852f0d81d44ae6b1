"""DPO on rewards: the forward form of EXO on lists.

Objective:
    L = −Σ_k p_k log q_k,  p = softmax(r/β_r),  q = softmax(β_π·log π/π_ref), over the K
    responses of a list: KL(p‖q) and the entropy of p, which is a constant.

Compared with EXO_RW:
    the KL is turned round: the mean is taken under p. It is InfoNCA with α = β_r and
    β = β_π, and stands here under the name that it has in EXO's comparison.

Valid only if:
    as for InfoNCA: one prompt per list, comparable scores.

Minimiser:
    π ∝ π_ref exp(r/(β_r β_π)), that of EXO: a policy class that holds it cannot tell
    the two apart. One that does not covers all of p here and seeks a mode there. The
    push β_π(p − q) stays large where q is badly wrong.

Known mistakes:
    (1) the KL turned round: EXO, less the entropy.
    (2) scores negated.
    (3) β_r multiplied into the scores.
    (4) β_π and β_r swapped.
    (5) a mean over tokens.
"""

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits, softmax_targets
from workbench.core.card import Card
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.lists import exo_rw

card = Card(
    key="dpo_rw",
    title="DPO on rewards",
    parents=("exo_rw", "infonca"),
    needs=("lists", "reward", "reference"),
    paper="Ji et al. 2024 (2402.00856)",
    check="Equals InfoNCA; less the entropy of p it is KL(p‖q), EXO's turned round.",
    claim="With too small a policy it covers all where EXO seeks a mode.",
    notebook="28a",
    loop=offline,
    hooks=("implicit_reward", "optimum"),
)
Config = exo_rw.Config


implicit_reward, optimum = exo_rw.implicit_reward, exo_rw.optimum


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Cross-entropy of the target of each list, in nats."""
    target = softmax_targets.targets(batch.scores, cfg.beta_r)
    return softmax_targets.cross_entropy(target, cfg.beta_pi * batch.logratio())


mistakes = {
    "1 KL turned round": exo_rw.loss,
    "2 scores negated": edits.swapped(loss),
    "3 beta_r multiplied": edits.with_config(loss, beta_r=lambda cfg: 1 / cfg.beta_r),
    "4 betas swapped": edits.with_config(
        loss, beta_r=lambda cfg: cfg.beta_pi, beta_pi=lambda cfg: cfg.beta_r
    ),
    "5 mean over tokens": edits.mean_over_tokens(loss),
}
