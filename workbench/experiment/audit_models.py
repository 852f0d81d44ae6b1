"""What an audit loads: a reference, a policy with its tokenizer, and a reward model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.core.errors import BadCheckpoint, BadOption, BadRecord
from workbench.experiment import run_folders
from workbench.feedback.records import Text, ThumbRecord
from workbench.models import adapter, checkpoint, encoding, prompts
from workbench.models.policy import Policy


@dataclass(frozen=True)
class Loaded:
    """The two sides of an audit.

    Attributes:
        reference, policy: both frozen, one member each.
        coder: the policy's tokenizer, which fits both.
        notes: sentences on what was chosen.
    """

    reference: Policy
    policy: Policy
    coder: Any
    notes: list[str]


def load(reference: str, trained: run_folders.Trained, longest: int) -> Loaded:
    """Both checkpoints.

    Args:
        reference: folder of the checkpoint that training started from.
        trained: what came of it; an adapter is merged into the reference.
        longest: sequences that will be read, tokens.

    Raises:
        BadCheckpoint: one cannot be loaded, or their tokenizers differ.
        BadOption: one has too few positions.
    """
    first, known = checkpoint.load(reference)
    base, notes = None, list(trained.notes)
    if adapter.is_adapter(trained.model):
        base, named = reference, adapter.base_name(trained.model)
        if Path(named).name != checkpoint.unpacked(Path(reference)).name:
            notes.append(f"the adapter names its base {named!r}: the reference is used")
    second, coder = checkpoint.load(trained.model, base)
    for one in (first, second):
        one.requires_grad_(False).eval()
    if _words(known) != _words(coder):
        detail = f"its tokenizer is not that of {reference}"
        raise BadCheckpoint(trained.model, "another tokenizer", detail)
    if _template(known) != _template(coder):
        notes.append("the two have other chat templates: that of the policy is used")
    for folder, one in ((reference, first), (trained.model, second)):
        most = prompts.positions(one.network.config)
        if most is not None and longest > most:
            raise BadOption(
                f"{folder} has {most} positions: --max-length {longest} is too long"
            )
    return Loaded(first, second, coder, notes)


def _words(coder: Any) -> dict[str, int]:
    return coder.get_vocab()


def _template(coder: Any) -> str | None:
    return coder.chat_template


class Scorer:
    """A reward model on disk: what it says of answers, in its own units.

    A conversation is written by the reward model's own chat template, a text as prompt
    and answer with its end of sequence. Each answer is scored alone, so padding plays
    no part.

    Args:
        folder: a sequence classifier with one label.
        max_length: longest sequence, tokens; fewer where it has fewer positions.
    """

    def __init__(self, folder: str, max_length: int):
        self.folder = folder
        self.model, self.coder = checkpoint.load_scorer(folder)
        most = prompts.positions(self.model.config)
        self.longest = max_length if most is None else min(max_length, most)

    @torch.no_grad()
    def __call__(self, asked: Sequence[Text], answers: Sequence[Text]) -> list[float]:
        """The reward of each answer to its prompt.

        Raises:
            BadCheckpoint: its chat template refuses a conversation.
        """
        records = [
            ThumbRecord(prompt, answer, True)
            for prompt, answer in zip(asked, answers, strict=True)
        ]
        try:
            coded = encoding.encode(self.coder, records, self.longest)
        except BadRecord as error:
            raise BadCheckpoint(self.folder, error.reason, error.detail) from None
        rated = coded.labels.thumbs
        assert rated is not None  # that is what was encoded
        tokens, found = rated.tokens, []
        for ids, seen in zip(tokens.ids, tokens.attention, strict=True):
            row = ids[seen][None]
            answer = self.model(input_ids=row, attention_mask=torch.ones_like(row))
            found.append(answer.logits[0, 0].double().item())
        return found
