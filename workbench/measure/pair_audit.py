"""What a policy says of preference pairs, without training: rewards, lengths, tokens.

Rewards are β · (log π − log π_ref) of whole responses. Intervals count prompts and not
pairs: pairs of one prompt are no independent draws.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.statistics import cluster_interval, rank_correlation, student_t
from workbench.feedback.kinds.pairs import Pairs
from workbench.measure import calibration, measured_rows
from workbench.measure.pair_values import pair_values

ALIKE = 0.1  # lengths that differ by less than this share count as equal
STEPS = 100  # of Newton's method, for one number


def rewards(policy, reference, pairs: Pairs, beta: float):
    """The implicit rewards of every pair.

    Args:
        policy: what is audited, one member.
        reference: what its rewards are measured from.
        pairs: chosen and rejected.
        beta: reward units per nat.

    Returns:
        DataFrame[chosen, rejected, margin, chosen_logp, rejected_logp,
        chosen_tokens, rejected_tokens], one row per pair; rewards and margin in reward
        units, logp = log π(y|x) of the policy in nats, lengths in tokens.
    """
    import pandas as pd

    def read(batch) -> Tensor:
        sides = (batch.chosen, batch.rejected)
        return torch.stack(
            [beta * side.logratio().double() for side in sides]
            + [side.logps().double() for side in sides]
        )

    ref = pairs.reference_logps(reference)
    _, values = pair_values(policy, pairs, ref, read)
    chosen, rejected, *logps = values[:, 0].tolist()
    frame = pd.DataFrame({"chosen": chosen, "rejected": rejected})
    frame["margin"] = frame["chosen"] - frame["rejected"]
    frame["chosen_logp"], frame["rejected_logp"] = logps
    frame["chosen_tokens"] = pairs.chosen.lengths.tolist()
    frame["rejected_tokens"] = pairs.rejected.lengths.tolist()
    return frame


def summary(frame, prompts: Sequence[int], beta: float):
    """What the rewards of many pairs say.

    Args:
        frame: of ``rewards``.
        prompts: which prompt each pair has, by number.
        beta: with which they were computed.

    Returns:
        DataFrame[measure, value, low, high, n, unit]: 95 % intervals where the measure
        is a mean, clustered by prompt; NaN elsewhere, and where nothing can be said.
    """
    clusters = torch.as_tensor(list(prompts))
    margin, chosen, rejected = (
        torch.tensor(frame[name].tolist(), dtype=torch.float64)
        for name in ("margin", "chosen", "rejected")
    )
    right, fell = 0.5 + 0.5 * margin.sign(), (chosen < 0).double()
    longer, alike = _lengths(frame)
    share, reward = "share of pairs", "reward units"
    means = [
        ("accuracy", right, None, share),
        ("accuracy, equal lengths", right, alike, share),
        ("accuracy, chosen longer", right, ~alike & (longer > 0), share),
        ("accuracy, chosen shorter", right, ~alike & (longer < 0), share),
        ("chosen", chosen, None, reward),
        ("rejected", rejected, None, reward),
        ("margin", margin, None, reward),
        ("chosen fell", fell, None, share),
        ("both fell", fell * (rejected < 0), None, share),
    ]
    rows = [
        measured_rows.of_mean(name, values, clusters, unit, where)
        for name, values, where, unit in means
    ]
    chance, rank = margin.sigmoid(), float("nan")
    if len(set(longer.tolist())) > 1 and len(set(margin.tolist())) > 1:
        rank = rank_correlation(margin.tolist(), longer.tolist())
    numbers = {
        "rank correlation of margin and length difference": (rank, ""),
        "calibration error": (calibration.ece(chance, torch.ones_like(chance)), ""),
        "β implied by the labels": (implied_beta(margin / beta), f"{reward} per nat"),
    }
    rows += [
        measured_rows.of_number(name, value, len(frame), unit)
        for name, (value, unit) in numbers.items()
    ]
    return measured_rows.table(rows)


def gap(training, seen: Sequence[int], held_out, unseen: Sequence[int]):
    """What training pairs have that held-out ones have not.

    Args:
        training, held_out: of ``rewards``.
        seen, unseen: which prompt each of their pairs has, by number.

    Returns:
        DataFrame[measure, training, held_out, gap, low, high, unit]: means, their
        difference, and its 95 % interval of Welch over prompts; NaN where one side has
        one prompt only.
    """
    import pandas as pd

    def means(frame, prompts) -> dict[str, tuple[float, float, int]]:
        clusters = torch.as_tensor(list(prompts))
        degrees = len(clusters.unique()) - 1
        columns = {
            name: torch.tensor(frame[name].tolist(), dtype=torch.float64)
            for name in ("margin", "chosen", "rejected")
        }
        columns = {"accuracy": 0.5 + 0.5 * columns["margin"].sign(), **columns}
        return {
            name: (*cluster_interval(values, clusters)[:2], degrees)
            for name, values in columns.items()
        }

    sides = means(training, seen), means(held_out, unseen)
    rows = []
    for name, one in sides[0].items():
        other = sides[1][name]
        half = _welch(one[1:], other[1:])
        low, high = one[0] - other[0] - half, one[0] - other[0] + half
        unit = "share of pairs" if name == "accuracy" else "reward units"
        rows.append((name, one[0], other[0], one[0] - other[0], low, high, unit))
    names = ["measure", "training", "held_out", "gap", "low", "high", "unit"]
    return pd.DataFrame(rows, columns=names)


def _welch(one: tuple[float, int], other: tuple[float, int]) -> float:
    """Half the 95 % interval of a difference, from (standard error, degrees)."""
    (first, n), (second, m) = one, other
    total = first**2 + second**2
    if min(n, m) < 1 or not total > 0:
        return 0.0 if min(n, m) >= 1 else float("nan")
    degrees = total**2 / (first**4 / n + second**4 / m)
    return student_t(max(1, int(degrees))) * total**0.5


def _lengths(frame) -> tuple[Tensor, Tensor]:
    """By how many tokens the chosen side is longer, and whether that is hardly any."""
    sides = [
        torch.tensor(frame[f"{n}_tokens"].tolist()) for n in ("chosen", "rejected")
    ]
    longer = sides[0] - sides[1]
    return longer, longer.abs() <= ALIKE * torch.maximum(*sides)


def implied_beta(gap: Float[Tensor, " pair"]) -> float:
    """The β under which the labels are most likely: max Σ log σ(β · gap).

    Args:
        gap: log-ratio of the chosen less that of the rejected response, nats.

    Returns:
        β; infinite where every pair is ordered rightly (no finite β is the best), and
        minus infinite where none is; NaN where no pair has a gap.
    """
    gap = gap.double()
    gap = gap[gap != 0]
    if not len(gap):
        return float("nan")
    if (gap > 0).all() or (gap < 0).all():
        return float("inf") if gap[0] > 0 else float("-inf")
    scale = gap.abs().max()
    unit, beta = gap / scale, torch.zeros((), dtype=torch.float64)
    for _ in range(STEPS):
        wrong = (-beta * unit).sigmoid()
        step = (wrong * unit).sum() / (wrong * (1 - wrong) * unit**2).sum()
        beta = beta + step.clamp(-5, 5)
    return (beta / scale).item()


@torch.no_grad()
def token_rewards(policy, reference, pairs: Pairs, rows: Tensor, beta: float):
    """β · log-ratio of each token of some pairs: where a margin comes from.

    Args:
        policy, reference: as in ``rewards``.
        pairs: all of them.
        rows: which of them.
        beta: reward units per nat.

    Returns:
        (token ids, rewards) of the chosen and of the rejected response of each row.
    """
    found = []
    for row in rows.tolist():
        sides = []
        for tokens in (pairs.chosen, pairs.rejected):
            one = tokens[torch.tensor([row])]
            gap = policy.token_logps(one).double() - reference.token_logps(one).double()
            here = one.mask[0]
            sides.append((one.ids[0][here].tolist(), (beta * gap[0][here]).tolist()))
        found.append(tuple(sides))
    return found
