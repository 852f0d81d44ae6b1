"""Which examples of a preference file no run trains on."""

from collections.abc import Collection

import torch

from workbench.core.errors import MissingInput
from workbench.core.seeds import generator
from workbench.feedback.labels import Labels

SHARE, MOST = 0.1, 200  # of the pairs, and never more pairs than these
WIDEST = 0.25  # a whole prompt may be held out up to this share of the pairs
FEW = 20


def split(
    labels: Labels, asked: list[str], size: int | None = None
) -> tuple[Labels, Labels, list[str]]:
    """Hold some out, all examples of a prompt on one side where that can be.

    Args:
        labels: pairs, or responses with thumbs.
        asked: the prompt of each.
        size: how many are held out, about; None is a tenth, and at most 200.

    Returns:
        the labels to train on, those held out, and sentences for the user.

    Raises:
        MissingInput: there are fewer than two examples, or none is left to train on.
    """
    total, what = len(asked), _kind(labels)
    if total < 2:
        raise MissingInput(f"one {what} is left: there is nothing to hold out")
    if size is None:
        size = max(1, min(MOST, round(SHARE * total)))
    if size >= total:
        raise MissingInput(f"--held-out {size} leaves none of {total} {what}s to train")
    held_out = _whole_prompts(asked, size)
    notes = []
    if held_out is None:
        order = torch.randperm(total, generator=generator(0, "held out"))
        held_out = torch.zeros(total, dtype=torch.bool)
        held_out[order[:size]] = True
        notes.append(
            f"too many {what}s share a prompt to hold whole prompts out: some prompts "
            "are on both sides, so the held-out measures say nothing of new prompts"
        )
    train, out = int((~held_out).sum()), int(held_out.sum())
    notes.insert(0, f"{train} to train, {out} held out")
    if out < FEW:
        notes.append(f"a held-out {what} is {1 / out:.0%} of the accuracy: it is rough")
    if train < FEW:
        notes.append(f"{train} {what}s are few to learn from")
    rows = torch.arange(total)
    return labels[rows[~held_out]], labels[rows[held_out]], notes


Side = tuple[Labels, list[str]]


def given(
    train: Side, held_out: Side, name: str, used: Collection[str] = ()
) -> tuple[Labels, Labels, list[str]]:
    """The same where a file of its own is held out.

    Args:
        train, held_out: labels, and the prompt of each.
        name: of the file that is held out.
        used: columns that a method reads.

    Raises:
        MissingInput: the files hold other kinds of feedback, or the held-out one lacks
            a column that the method reads.
    """
    (labels, asked), (unseen, others) = train, held_out
    kinds = [_kind(one) for one in (labels, unseen)]
    if kinds[0] != kinds[1]:
        raise MissingInput(
            f"--eval-pairs {name} holds {kinds[1]}s, --pairs {kinds[0]}s"
        )
    columns = [
        set() if x.pairs is None else set(x.pairs.columns) for x in (labels, unseen)
    ]
    if lost := sorted((columns[0] - columns[1]) & set(used)):
        raise MissingInput(f"--eval-pairs {name} has no {', '.join(lost)}; --pairs has")
    notes = [f"{len(asked)} to train, {len(others)} of {name} held out"]
    if both := set(asked) & set(others):
        notes.append(
            f"warning: {len(both)} of {len(set(others))} prompts of {name} are in "
            "--pairs, too: the held-out measures say less of new prompts"
        )
    return labels, unseen, notes


def _kind(labels: Labels) -> str:
    """What there is one of in each row."""
    if labels.pairs is None:
        return "response"
    return "pair" if labels.groups is None else "group"


def _whole_prompts(asked: list[str], size: int) -> torch.Tensor | None:
    """Rows of prompts drawn at random, at most ``size`` in all.

    If the prompts that fit are less than half of it, one prompt with more pairs is
    taken; None if that would be too large a part of the data.
    """
    groups = {text: i for i, text in enumerate(dict.fromkeys(asked))}
    group = torch.tensor([groups[text] for text in asked])
    sizes = torch.bincount(group).tolist()
    order = torch.randperm(len(groups), generator=generator(0, "held out")).tolist()
    taken, total = [], 0
    for one in order:
        if total + sizes[one] <= size:
            taken.append(one)
            total += sizes[one]
    if 2 * total < size:
        most = WIDEST * len(asked)
        enough = [one for one in order if size / 2 <= sizes[one] <= most]
        if not enough:
            return None
        taken = [min(enough, key=lambda one: sizes[one])]
    return torch.isin(group, torch.tensor(taken))
