"""What theory predicts for the fall of the chosen responses' implicit reward.

At DPO's optimum r̂(y) = r(y) − β log Z(x). The chosen responses' mean of r does not
depend on β and β log Z does. For small β the latter is greater, and the mean implicit
reward of the CHOSEN responses is negative at the very optimum. A fall is therefore
no failure by itself (Rafailov et al. 2024, 2406.02900, section 3.5).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure.exact import response_logps
from workbench.worlds import solutions

Logps = Float[Tensor, "prompt response"]


def _beats(
    mass: Float[Tensor, " response"],
    reward: Float[Tensor, " response"],
) -> Float[Tensor, " response"]:
    """Σ_y′ mass(y′) σ(r(y) − r(y′)), once for each distinct reward."""
    levels, which = reward.unique(return_inverse=True)
    total = torch.zeros_like(levels).index_add(0, which, mass)
    parts = [(part[:, None] - levels).sigmoid() @ total for part in levels.split(1024)]
    return torch.cat(parts)[which]


def pair_distributions(
    ref_logps: Logps, reward: Logps, *, repeats: bool = False
) -> tuple[Logps, Logps]:
    """Log-probabilities of being the chosen and of being the rejected response.

    Two different responses are drawn from π_ref and a Bradley–Terry annotator of
    temperature 1 says which is better: p_w(y) ∝ π_ref(y) Σ_{y′≠y} π_ref(y′) σ(r − r′).

    Args:
        ref_logps: log of the distribution that both responses are drawn from.
        reward: reward units; divide it by the annotator's temperature.
        repeats: pairs of twice the same response are kept, so y′ = y counts as well
            and p_w(y) = 2 π_ref(y) B(y), with B(y) the probability that y wins.
    """
    own = 0.0 if repeats else 0.5
    sides = []
    for sign in (1, -1):
        rows = []
        for logps, values in zip(
            ref_logps.double(), sign * reward.double(), strict=True
        ):
            mass = logps.exp()
            # a meeting of y with itself is a fair coin: its term is π_ref(y)/2
            rows.append(logps + (_beats(mass, values) - own * mass).log())
        sides.append(torch.stack(rows).log_softmax(-1))
    return sides[0], sides[1]


def decline(ref_logps: Logps, reward: Logps, betas: float | Sequence[float]):
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
        solutions.expectation(side, reward).mean()
        for side in pair_distributions(ref, reward)
    ]
    rows = []
    for beta in [betas] if isinstance(betas, float) else betas:
        value = (beta * solutions.log_partition(ref, reward, beta)).mean()
        chosen, rejected = (mean.item() - value.item() for mean in means)
        rows.append((beta, chosen, rejected, chosen - rejected, value.item()))
    names = ["beta", "chosen", "rejected", "margin", "value"]
    return pd.DataFrame(rows, columns=names)


class DeclineTracker:
    """A policy's expected implicit rewards over all pairs, for ``measures``.

    It is ``of_pairs`` on infinitely many pairs. Nothing is sampled, so a fit to the
    noise of the training pairs does not show. At π*_β it gives the rows of ``decline``.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref, which the pairs are drawn from as well.
        reward: reward units; divide it by the annotator's temperature.
        beta: reward units per nat.
        sides: log-probs of being chosen and of being rejected, for pairs that another
            policy than π_ref wrote; ``pair_distributions`` of π_ref if None.
    """

    def __init__(
        self,
        world,
        ref_logps: Logps,
        reward: Logps,
        beta: float,
        *,
        sides: tuple[Logps, Logps] | None = None,
    ):
        self.world, self.ref, self.beta = world, ref_logps.detach().double(), beta
        self.sides = sides or pair_distributions(self.ref, reward)

    def __call__(self, policy):
        """DataFrame[seed, chosen, rejected, margin], one row per seed, reward units."""
        import pandas as pd

        rewards = self.beta * (response_logps(policy, self.world) - self.ref)
        chosen, rejected = (
            (side.exp() * rewards).sum(-1).mean(-1) for side in self.sides
        )
        columns = {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected}
        values = {name: value.tolist() for name, value in columns.items()}
        return pd.DataFrame({"seed": range(len(chosen)), **values})
