"""The pairs of a file as an audit reads them: rewards of each, the worst and best."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from workbench.core.errors import MissingInput
from workbench.experiment import file_notes
from workbench.experiment.audit_models import Loaded
from workbench.experiment.audit_settings import Settings
from workbench.feedback import files
from workbench.feedback.columns import NAMES
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.records import Record, Text, text_of
from workbench.measure import pair_audit
from workbench.models import encoding, prompts, readable

EXTREMES = 3  # pairs with the lowest margins, and with the highest, token by token


@dataclass(frozen=True)
class Extreme:
    """A pair with one of the lowest or highest margins, token by token.

    Attributes:
        line: of the file.
        prompt: its text.
        margin: reward units.
        sides: "chosen" and "rejected" → (text, reward) of each piece.
    """

    line: int
    prompt: str
    margin: float
    sides: dict[str, list[tuple[str, float]]]


@dataclass(frozen=True)
class Judged:
    """The pairs of one file.

    Attributes:
        pairs: as tokens.
        records: of the file, one per pair.
        frame: DataFrame[line, prompt, …], the columns of ``pair_audit.rewards``.
        notes: what was read, cut and left out.
    """

    pairs: Pairs
    records: Sequence[Record]
    frame: Any
    notes: list[str]

    @staticmethod
    def of(settings: Settings, both: Loaded, read: files.PreferenceFile) -> "Judged":
        """The rewards of a file's pairs.

        Raises:
            WorkbenchError: the file holds no pairs, or one cannot be written.
        """
        coded = encoding.encode(
            both.coder, list(read.records[: settings.most]), settings.max_length,
            file=read.path, lines=read.lines, skip_bad=settings.skip_bad,
            special=settings.special_tokens == "yes",
        )  # fmt: skip
        pairs = coded.labels.pairs
        if pairs is None:
            raise MissingInput(f"{read.path.name} holds thumbs; an audit reads pairs")
        records = [read.records[i] for i in coded.kept]
        frame = pair_audit.rewards(both.policy, both.reference, pairs, settings.beta)
        frame.insert(0, "line", [read.lines[i] for i in coded.kept])
        frame.insert(1, "prompt", [text_of(record.prompt) for record in records])
        return Judged(pairs, records, frame, _notes(settings, read, coded, both.coder))

    @cached_property
    def clusters(self) -> list[int]:
        """Which prompt each pair has, by number."""
        texts = self.frame["prompt"].tolist()
        numbers = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        return [numbers[text] for text in texts]

    def prompts(self, room: int) -> list[tuple[Text, list[int]]]:
        """Each prompt once, in the order of the numbers: as it is, and as tokens.

        Args:
            room: tokens that a prompt may have; the others are cut at their start.
        """
        written = prompts.prompts_of(self.pairs.chosen)
        once: dict[int, tuple[Text, list[int]]] = {}
        for number, record, ids in zip(
            self.clusters, self.records, written, strict=True
        ):
            once.setdefault(number, (record.prompt, ids[-room:]))
        return [once[number] for number in sorted(once)]

    def shared_with(self, other: "Judged") -> list[str]:
        """A sentence, if prompts of another file are prompts of this one."""
        mine, theirs = set(self.frame["prompt"]), set(other.frame["prompt"])
        if not (both := mine & theirs):
            return []
        return [
            f"warning: {len(both)} of {len(theirs)} held-out prompts are in --pairs, "
            "too: the gap says less of new prompts"
        ]

    def extremes(self, settings: Settings, both: Loaded) -> list[Extreme]:
        """The pairs with the lowest and the highest margins, token by token."""
        margin = self.frame["margin"].tolist()
        order = torch.tensor(margin).argsort()
        rows = torch.cat([order[:EXTREMES], order[-EXTREMES:]]).tolist()
        rows = list(dict.fromkeys(rows))
        found = pair_audit.token_rewards(
            both.policy, both.reference, self.pairs, torch.tensor(rows), settings.beta
        )
        return [
            Extreme(
                int(self.frame["line"][row]), self.frame["prompt"][row], margin[row],
                {
                    name: _words(both.coder, ids, values)
                    for name, (ids, values) in zip(
                        ("chosen", "rejected"), sides, strict=True
                    )
                },
            )
            for row, sides in zip(rows, found, strict=True)
        ]  # fmt: skip


def _words(coder, ids: list[int], values: list[float]) -> list[tuple[str, float]]:
    """Pieces of text with the sum of their tokens' rewards."""
    found, at = [], 0
    for text, size in readable.pieces(coder, ids):
        found.append((text, sum(values[at : at + size])))
        at += size
    return found


def _notes(settings: Settings, read: files.PreferenceFile, coded, coder) -> list[str]:
    """What was read, cut and left out."""
    records = read.records[: settings.most]
    notes = [read.summary(), coded.summary(), *coded.warnings, *coded.notes]
    notes += file_notes.of_columns(coder, records, NAMES.values())
    notes += file_notes.of_conflicts(records)
    if len(read) > settings.most:
        notes.append(f"the first {settings.most} of {len(read)} rows (--most)")
    return notes
