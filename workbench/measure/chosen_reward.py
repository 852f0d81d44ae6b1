"""Why the implicit reward of chosen responses falls: what theory predicts.

At DPO's optimum r̂(y) = r(y) − β log Z(x). The chosen responses' mean of r does not
depend on β and β log Z does: for small β it is the greater, and the mean implicit
reward of the CHOSEN responses is negative at the very optimum. A fall is therefore
no failure by itself (Rafailov et al. 2024, 2406.02900, section 3.5).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure.exact import response_logps
from workbench.worlds import solutions

Law = Float[Tensor, "prompt response"]


def _beats(
    mass: Float[Tensor, " response"],
    reward: Float[Tensor, " response"],
) -> Float[Tensor, " response"]:
    """Σ_y′ mass(y′) σ(r(y) − r(y′)), once for each distinct reward."""
    levels, which = reward.unique(return_inverse=True)
    held = torch.zeros_like(levels).index_add(0, which, mass)
    parts = [(part[:, None] - levels).sigmoid() @ held for part in levels.split(1024)]
    return torch.cat(parts)[which]


def pair_laws(ref_logps: Law, reward: Law) -> tuple[Law, Law]:
    """Log-probabilities of being the chosen and of being the rejected response.

    Two different responses are drawn from π_ref and a Bradley–Terry annotator of
    temperature 1 says which is better: p_w(y) ∝ π_ref(y) Σ_{y′≠y} π_ref(y′) σ(r − r′).

    Args:
        ref_logps: the law both responses are drawn from.
        reward: reward units; divide it by the annotator's temperature.
    """
    laws = []
    for sign in (1, -1):
        rows = []
        for logps, values in zip(
            ref_logps.double(), sign * reward.double(), strict=True
        ):
            mass = logps.exp()
            # a response does not meet itself: its own term is π_ref(y)/2
            rows.append(logps + (_beats(mass, values) - mass / 2).log())
        laws.append(torch.stack(rows).log_softmax(-1))
    return laws[0], laws[1]


def decline(ref_logps: Law, reward: Law, betas: float | Sequence[float]):
    """Mean implicit rewards at the exact optimum π*_β, for pairs drawn from π_ref.

    Args:
        ref_logps: log π_ref, which the pairs are drawn from as well.
        reward: reward units; divide it by the annotator's temperature.
        betas: reward units per nat.

    Returns:
        DataFrame[beta, chosen, rejected, margin, value]: E_{p_w}[r̂], E_{p_l}[r̂], their
        difference, and β log Z, all in reward units and averaged over prompts. The
        chosen reward is negative where E_{p_w}[r] < β log Z; the rejected one always.
    """
    import pandas as pd

    ref, reward = ref_logps.double(), reward.double()
    means = [
        solutions.expectation(law, reward).mean() for law in pair_laws(ref, reward)
    ]
    rows = []
    for beta in [betas] if isinstance(betas, float) else betas:
        value = (beta * solutions.log_partition(ref, reward, beta)).mean()
        chosen, rejected = (mean.item() - value.item() for mean in means)
        rows.append((beta, chosen, rejected, chosen - rejected, value.item()))
    names = ["beta", "chosen", "rejected", "margin", "value"]
    return pd.DataFrame(rows, columns=names)


class DeclineTracker:
    """A policy's mean implicit rewards over the law of the pairs, for ``measures``.

    ``of_pairs`` on infinitely many pairs: no sample, so a fit to the noise of the
    training pairs does not show. At π*_β its rows are those of ``decline``.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref, which the pairs are drawn from as well.
        reward: reward units; divide it by the annotator's temperature.
        beta: reward units per nat.
    """

    def __init__(self, world, ref_logps: Law, reward: Law, beta: float):
        self.world, self.ref, self.beta = world, ref_logps.detach().double(), beta
        self.laws = pair_laws(self.ref, reward)

    def __call__(self, policy):
        """DataFrame[seed, chosen, rejected, margin], a row a seed, reward units."""
        import pandas as pd

        rewards = self.beta * (response_logps(policy, self.world) - self.ref)
        chosen, rejected = (
            (side.exp() * rewards).sum(-1).mean(-1) for side in self.laws
        )
        columns = {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected}
        held = {name: value.tolist() for name, value in columns.items()}
        return pd.DataFrame({"seed": range(len(chosen)), **held})
