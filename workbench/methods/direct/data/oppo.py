"""OPPO: learn to write every response from a code of it, then the code to write from.

Objective:
    L = −log π(y_c|x, z_c) − log π(y_r|x, z_r)
        + c_p·T(sg z*, z_c, z_r) + c_w·T(z*, sg z_c, sg z_r)
        + c_n·((‖z_c‖ − 1)² + (‖z_r‖ − 1)²),
    T(z*, z_c, z_r) = max(0, ‖z* − z_c‖ − ‖z* − z_r‖ + m), z = encoder(y), Euclidean
    distances. The policy in the end is π(·|x, z*).

Compared with SFT:
    the policy is told a code of what it is to write, bad responses are learned too, and
    preferences only arrange the codes. No reward model, no reference, no KL.

Valid only if:
    a code is too small to hold the response, or every code is one response's own. The
    paper is about control, with errors of actions; likelihoods of text are ours.

Minimiser:
    of the first line, for codes that take a few values: π(y|x, z) = p_data(y|x, z), the
    distribution of the data that share the code, good or bad. At z* so trained it is
    that of what lies nearest, no better. T is 0 if and only if the chosen code is
    nearer by m.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) squared distances.
    (3) z* moved by both triplets.
    (4) codes moved by both triplets.
    (5) only the chosen response written: the rejected codes then mean nothing.
    (6) no pull to norm 1: codes run apart until every margin holds.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.latent_pairs import LatentPairLogps, LatentPairs
from workbench.feedback.labels import Labels
from workbench.loops import offline
from workbench.models.latent_policy import LatentPolicy
from workbench.models.prepared import Prepared

card = Card(
    key="oppo",
    title="Offline preference-guided policy optimisation",
    parents=("sft",),
    needs=("pairs", "codes"),
    paper="Kang et al. 2023 (2305.16217)",
    check="T is 0 iff margins hold; few codes: the optimum is the data given the code.",
    claim="The distance of a code to z* orders responses by their gold reward.",
    notebook="80a",
    loop=offline,
    hooks=("prepare",),
)


@dataclass(frozen=True)
class Config:
    """Settings of OPPO.

    Attributes:
        preference: c_p, nats per unit of distance, moves the codes.
        ideal: c_w, the same for z*; Adam's steps on z* hardly depend on it.
        norm: c_n, nats per squared unit.
        margin: m, by how much a chosen code is to be nearer.
    """

    preference: float = 0.1  # official scripted/args.py; human/args.py has 10
    ideal: float = 1.0  # official: a step of its own, at second hand
    norm: float = 0.1  # official args.py, at second hand
    margin: float = 1.0  # official pdt_trainer.py, at second hand


def triplet(
    ideal: Float[Tensor, "batch dim"],
    chosen: Float[Tensor, "batch dim"],
    rejected: Float[Tensor, "batch dim"],
    margin: float,
) -> Float[Tensor, " batch"]:
    """max(0, ‖z* − z_c‖ − ‖z* − z_r‖ + m)."""
    near = vector_norm(ideal - chosen, dim=-1)
    return (near - vector_norm(ideal - rejected, dim=-1) + margin).relu()


def loss(batch: LatentPairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Log-loss of both responses, two triplets and two norms of each pair, in nats."""
    first, second = batch.logps()
    codes = (batch.code_chosen, batch.code_rejected)
    fixed = (batch.code_chosen.detach(), batch.code_rejected.detach())
    arrange = triplet(batch.policy_ideal.detach(), *codes, cfg.margin)
    aim = triplet(batch.policy_ideal, *fixed, cfg.margin)
    size = sum((vector_norm(code, dim=-1) - 1) ** 2 for code in codes)
    own = -first - second + cfg.norm * size
    return own + cfg.preference * arrange + cfg.ideal * aim


def prepare(labels: Labels, world, reference, cfg: Config, seed: int) -> Prepared:
    """A decoder that starts from the reference, with codes; it writes from z*."""
    policy = LatentPolicy.tiny(reference, world.vocab, seed=seed)
    data = LatentPairs(labels.comparisons)
    return Prepared(data, policy, None, lambda it: it.at_ideal().response_logps(world))


def _squared(batch: LatentPairLogps, cfg: Config) -> Tensor:
    def far(ideal: Tensor, chosen: Tensor, rejected: Tensor) -> Tensor:
        gap = ((ideal - chosen) ** 2).sum(-1) - ((ideal - rejected) ** 2).sum(-1)
        return (gap + cfg.margin).relu()

    ideal, chosen, rejected = batch.policy_ideal, batch.code_chosen, batch.code_rejected
    plain = loss(batch, replace(cfg, preference=0.0, ideal=0.0))
    aim = far(ideal, chosen.detach(), rejected.detach())
    arrange = far(ideal.detach(), chosen, rejected)
    return plain + cfg.preference * arrange + cfg.ideal * aim


def _ideal_twice(batch: LatentPairLogps, cfg: Config) -> Tensor:
    codes = (batch.code_chosen, batch.code_rejected)
    plain = loss(batch, replace(cfg, preference=0.0))
    return plain + cfg.preference * triplet(batch.policy_ideal, *codes, cfg.margin)


def _codes_twice(batch: LatentPairLogps, cfg: Config) -> Tensor:
    codes = (batch.code_chosen, batch.code_rejected)
    plain = loss(batch, replace(cfg, ideal=0.0))
    return plain + cfg.ideal * triplet(batch.policy_ideal, *codes, cfg.margin)


def _chosen_only(batch: LatentPairLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) + batch.logps()[1]


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 squared distances": _squared,
    "3 ideal code moved twice": _ideal_twice,
    "4 codes moved twice": _codes_twice,
    "5 chosen response alone": _chosen_only,
    "6 no norm": edits.with_config(loss, norm=0.0),
}
