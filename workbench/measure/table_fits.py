"""Tables of scores at the minimum of a loss, in float64: no network and no steps.

Where a loss has its minimum on given labels is a question of the loss alone. A network
adds what it can say and how far it was trained; a table says anything.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.errors import BadCall
from workbench.feedback.annotator import Annotator

Rewards = Float[Tensor, " response"]


def fitted(
    method: Any,
    cfg: Any,
    batch: Callable[[Float[Tensor, "seed response"]], Any],
    shape: tuple[int, int],
    *,
    ridge: float = 1e-3,
) -> Float[Tensor, "seed response"]:
    """The table of scores with the least loss, one for each seed.

    Minimised is the sum over seeds of the mean loss of a seed's rows plus
    ½·ridge·Σ r², by L-BFGS to rounding. The ridge is a normal prior around 0: it fixes
    the free constant, and keeps a score finite that wins or loses all comparisons.

    Args:
        method: has ``loss(batch, cfg)``.
        cfg: the method's Config.
        batch: from the scores to what the loss reads; equally many rows for each seed.
        shape: seeds and responses.
        ridge: nats per squared reward unit.

    Returns:
        reward units, float64.

    Raises:
        BadCall: the loss has no minimum that the ridge can hold.
    """
    scores = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [scores],
        max_iter=2000,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        history_size=30,
        line_search_fn="strong_wolfe",
    )

    def cost() -> Tensor:
        search.zero_grad()
        value = method.loss(batch(scores), cfg).mean() * shape[0]
        value = value + 0.5 * ridge * scores.square().sum()
        value.backward()
        return value

    search.step(cost)
    cost()
    slope = scores.grad
    if slope is None or not slope.abs().max() < 1e-5:
        raise BadCall(f"{method.card.key}: no minimum was found; raise the ridge")
    return scores.detach()


def compared(
    rewards: Rewards,
    n: int,
    annotator: Annotator,
    generators: Sequence[torch.Generator],
) -> tuple[Int[Tensor, "side seed pair"], Float[Tensor, "seed pair"]]:
    """Pairs of two different responses, all equally often, labelled for each seed.

    Args:
        rewards: what the annotator perceives of each response, reward units.
        n: pairs for each seed.
        annotator: who labels; flips exchange the sides, a length bias has no say.
        generators: one for each seed.

    Returns:
        numbers of the chosen and of the rejected responses, and how far apart the two
        were felt, reward units, at least 0, whichever way the label was recorded.
    """
    every = torch.triu_indices(len(rewards), len(rewards), 1)
    sides, felt = [], []
    for source in generators:
        two = every[:, torch.randint(every.shape[1], (n,), generator=source)]
        first, second = annotator.utilities(rewards[two], source)
        coin = torch.rand(n, generator=source, dtype=torch.float64)
        first_chosen = (first > second) != (coin < annotator.flip)
        sides.append(torch.where(first_chosen, two, two.flip(0)))
        felt.append((first - second).abs())
    return torch.stack(sides, 1), torch.stack(felt)


def ranked(
    rewards: Rewards,
    n: int,
    group: int,
    annotator: Annotator,
    generators: Sequence[torch.Generator],
) -> tuple[Int[Tensor, "seed list group"], Float[Tensor, "seed list group"]]:
    """Lists of different responses, all equally often, and what was felt for each.

    Args:
        rewards: what the annotator perceives of each response, reward units.
        n: lists for each seed.
        group: responses in a list.
        annotator: who ranks, by Plackett–Luce.
        generators: one for each seed.

    Returns:
        numbers of the responses, in no order, and utilities whose order is the ranking.
    """
    shape, lists, felt = (n, len(rewards)), [], []
    for source in generators:
        some = torch.rand(shape, generator=source).argsort(-1)[:, :group]
        lists.append(some)
        felt.append(annotator.utilities(rewards[some], source))
    return torch.stack(lists), torch.stack(felt)


def scores_of(
    table: Float[Tensor, "seed response"], numbers: Int[Tensor, "seed *shape"]
) -> Float[Tensor, "seed *shape"]:
    """Each seed's scores of the responses with these numbers."""
    return table.gather(1, numbers.flatten(1)).unflatten(1, numbers.shape[1:])
