"""The columns of a preference file that travel with its pairs, as numbers.

A number stays a number; a name (of a user, an annotator, a source) becomes its place
among the names of that column, in the order in which they appear.
"""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

# what files call the same thing, and what we call it
NAMES = {
    "user": "users", "user_id": "users", "annotator": "users", "annotator_id": "users",
    "worker": "users", "worker_id": "users", "rater": "users", "rater_id": "users",
    "score_chosen": "score_chosen", "chosen_score": "score_chosen",
    "score_rejected": "score_rejected", "rejected_score": "score_rejected",
    "rating_chosen": "score_chosen", "chosen_rating": "score_chosen",
    "rating_rejected": "score_rejected", "rejected_rating": "score_rejected",
    "turn": "turn",
}  # fmt: skip
SCORES = ("score_chosen", "score_rejected")


def columns_of(extras: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """One value per record of each column that every record has.

    Args:
        extras: the columns of each record beyond prompt and responses, verbatim.

    Returns:
        by our name; float64 for numbers, int64 for names. A column with other values
        (lists, nothing, numbers beside names), or two columns with one name of ours,
        are left out: no method reads them.
    """
    shared = set.intersection(*(set(extra) for extra in extras)) if extras else set()
    found: dict[str, Tensor] = {}
    for column in sorted(shared, key=str):
        name = NAMES.get(str(column).lower(), str(column))
        values = _numbers([extra[column] for extra in extras], name)
        if values is not None and name not in found:
            found[name] = values
    return found


def _numbers(values: list[Any], name: str) -> Tensor | None:
    """Numbers as they are, names by their place; user ids are names in any case."""
    if name != "users" and all(
        isinstance(value, Real) and not isinstance(value, bool) for value in values
    ):
        numbers = torch.tensor([float(value) for value in values], dtype=torch.float64)
        return numbers if numbers.isfinite().all() else None
    if not all(isinstance(value, str | int) for value in values):
        return None
    place = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return torch.tensor([place[value] for value in values])
