"""What scores, and what turns, can explain of a table of preferences.

A table p(i ≻ j) of the responses to one prompt is explained by log-odds o_ij = −o_ji: a
difference of scores (Bradley–Terry), or a sum of k turns of vectors
(``models.preference_vectors``). Pairs are drawn evenly unless a weight is given.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.pairwise_sums import differences
from workbench.feedback.kinds.ordered_pairs import OrderedPairs
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.feedback.kinds.pair_vectors import PairVectors
from workbench.feedback.kinds.pairs import Pairs, in_order
from workbench.methods.reward.pairwise import bt
from workbench.methods.reward.preferences import rm_gpm
from workbench.models.preference_vectors import lead

Matrix = Float[Tensor, "response response"]


def even(n: int) -> Matrix:
    """Weight of each ordered pair of two different responses, adding up to 1."""
    return (1 - torch.eye(n, dtype=torch.float64)) / (n * (n - 1))


def votes(matrix: Matrix, n: int, generator: torch.Generator) -> Matrix:
    """How often each response was chosen over each other, in shares of n labels.

    Args:
        matrix: p(i ≻ j).
        n: labels; the two responses of each are drawn evenly and differ.
        generator: source of randomness.
    """
    many = len(matrix)
    i, j = _two(many, n, generator)
    won = torch.rand(n, generator=generator, dtype=torch.float64) < matrix[i, j]
    better, worse = torch.where(won, i, j), torch.where(won, j, i)
    counts = torch.zeros(many, many, dtype=torch.float64)
    one = torch.ones(n, dtype=torch.float64)
    return counts.index_put_((better, worse), one, accumulate=True) / n


def voted(
    world,
    matrix: Float[Tensor, "prompt response response"],
    n: int,
    generator: torch.Generator,
) -> Pairs:
    """Pairs of two evenly drawn responses, chosen as a crowd votes.

    Args:
        world: an enumerable world.
        matrix: p(i ≻ j) of each prompt.
        n: pairs, prompts in equal shares.
        generator: source of randomness.
    """
    prompt = torch.arange(n) % len(matrix)
    i, j = _two(matrix.shape[-1], n, generator)
    chance = torch.rand(n, generator=generator, dtype=torch.float64)
    sides = world.tokens(prompt, i), world.tokens(prompt, j)
    weight = torch.ones(n, dtype=torch.float64)
    return Pairs(*in_order(*sides, chance < matrix[prompt, i, j]), weight)


def _two(many: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Numbers of two different responses of ``many``, drawn evenly, n times."""
    i = torch.randint(many, (n,), generator=generator)
    return i, (i + torch.randint(1, many, (n,), generator=generator)) % many


@torch.no_grad()
def contradiction(model, pairs: Pairs) -> Float[Tensor, " member"]:
    """Mean |p(a ≻ b) + p(b ≻ a) − 1| of a model that reads one order at a time.

    Args:
        model: a ``models.pair_reader.PairReader``, or a stack of them.
        pairs: comparisons; their labels are not used.
    """
    every = OrderedPairs(Pairs.cat([pairs] * model.members))
    odds = every.batch(model, torch.arange(len(every)))
    total = odds.chosen_first.sigmoid() + odds.rejected_first.sigmoid()
    return (total.double() - 1).abs().unflatten(0, (model.members, -1)).mean(-1)


def fitted(share: Matrix, k: int, price: float = 0.0, seed: int = 0) -> Matrix:
    """Log-odds of the table of numbers with the least loss.

    Each response has one score (k = 0, the loss of ``bt``) or k pairs of numbers (the
    loss of ``rm_gpm`` without gate and temperature). k > 0 is not convex: it is the
    minimum that L-BFGS finds from one random start.

    Args:
        share: of all labels, how many chose i over j.
        k: turns; 0 for scores.
        price: nats per squared number, against margins that grow for ever.
        seed: of the start.
    """
    n, plain = len(share), rm_gpm.Config(k=max(k, 1), tau=1.0, gated=False)
    i, j = share.nonzero(as_tuple=True)
    start = torch.Generator().manual_seed(seed)
    table = torch.randn(n, max(1, 2 * k), generator=start, dtype=torch.float64)
    table = (0.3 * table).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [table], max_iter=200, history_size=20, tolerance_grad=1e-8,
        tolerance_change=0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def each() -> Tensor:
        if k == 0:
            scores = PairScores(table[i, 0], table[j, 0])
            return bt.loss(scores, bt.Config())
        gate = torch.ones(len(i), k, dtype=torch.float64)
        return rm_gpm.loss(PairVectors(table[i], table[j], gate), plain)

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = (share[i, j] * each()).sum() + price * table.square().sum()
        value.backward()
        return value

    optimiser.step(closure)
    found = table.detach()
    if k == 0:
        return differences(found[:, 0])
    return lead(found[:, None], found[None]).sum(-1)


def excess(odds: Matrix, matrix: Matrix, weight: Matrix | None = None) -> float:
    """Expected loss of a fresh label beyond its entropy, nats per label.

    Args:
        odds: log-odds that are stated.
        matrix: p(i ≻ j).
        weight: of each ordered pair; even if None.
    """
    log = torch.nn.functional.logsigmoid
    weight = even(len(matrix)) if weight is None else weight
    true = torch.logit(matrix)
    gap = matrix * (log(true) - log(odds)) + (1 - matrix) * (log(-true) - log(-odds))
    return (weight * gap).sum().item()


def agreement(odds: Matrix, matrix: Matrix, weight: Matrix | None = None) -> float:
    """Share of pairs on which the stated side is that of the majority."""
    weight = even(len(matrix)) if weight is None else weight
    same = (odds > 0) == (matrix > 0.5)
    return (weight * same).sum().item()


def circle(odds: Matrix) -> tuple[Float[Tensor, " response"], Matrix]:
    """Scores and what no scores can say: o_ij = r_i − r_j + rest.

    The scores are the means of the rows, which is the best fit by squares; all rows of
    the rest add up to 0. Source: Jiang et al. 2011 (0811.1067), for evenly drawn pairs.

    Args:
        odds: log-odds of each pair, antisymmetric.
    """
    scores = odds.mean(-1)
    return scores, odds - differences(scores)
