"""Preference records as tokens: what the model sees, and which tokens count.

A text is ``<bos> prompt response <eos>``: prompt and response are tokenised apart, so
the boundary between them never depends on what follows it. A conversation is what the
checkpoint's chat template writes; it is tokenised as a whole, and what it has more than
the prompt alone is the response. Nothing is begun or ended twice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from workbench.core.errors import BadRecord, MissingInput
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.columns import SCORES, columns_of
from workbench.feedback.groups import Groups, Rejected
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.kinds.thumbs import Thumbs
from workbench.feedback.labels import Labels, label_groups
from workbench.feedback.records import (
    GroupRecord,
    PreferenceRecord,
    Record,
    ThumbRecord,
)
from workbench.models.rendering import (
    Refusal,
    Rendered,
    bad,
    render,
)
from workbench.models.token_writer import Row, Writer
from workbench.models.tokenizer import pad_id

WARN = 0.05  # share of shortened sequences from which a summary warns


@dataclass(frozen=True)
class Encoded:
    """Preference records as tokens, and what had to be cut.

    Attributes:
        labels: pairs, or responses with thumbs, one row per record that was kept. The
            columns of the file that every record has travel with the pairs.
        kept: index of the record of each row.
        cut: number of prompts and responses that were shortened, and of pairs left out
            because both responses became the same tokens.
        rejected: how pairs are made of groups, as in ``encode``.
        left: of each prompt that was shortened, the share of its tokens that is left.
        notes: sentences about special tokens, ends and templates.
        max_length: longest sequence, tokens.
        responses: how many there are, on both sides of pairs or in groups.
    """

    labels: Labels
    kept: tuple[int, ...]
    cut: Counter[str]
    rejected: Rejected = "random"
    left: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    max_length: int = 512
    responses: int = 0

    @property
    def pairs(self) -> Pairs:
        """The pairs, of records that are pairs.

        Raises:
            MissingInput: they are thumbs.
        """
        return self.labels.comparisons

    def summary(self) -> str:
        """One sentence: how many pairs or responses, and what was cut."""
        losses = ", ".join(f"{n} {what}" for what, n in sorted(self.cut.items()))
        what = "responses" if self.labels.pairs is None else "pairs"
        if self.labels.groups is not None:
            what = f"groups of {self.labels.groups.extent} responses"
        return f"{len(self.kept)} {what} as tokens, {losses or 'nothing cut'}"

    @property
    def warnings(self) -> list[str]:
        """Sentences on losses that more than ``WARN`` of the sequences have."""
        told = []
        limit = f"the limit is --max-length {self.max_length}"
        share = self.cut["responses shortened"] / max(1, self.responses)
        if share > WARN:
            told.append(
                f"warning: {share:.0%} of the responses lost their end; {limit}"
            )
        share = len(self.left) / max(1, len(self.kept))
        if share > WARN:
            told.append(
                f"warning: {share:.0%} of the prompts lost their start, and the median "
                f"one keeps {median(self.left):.0%} of its tokens; {limit}"
            )
        return told

    @property
    def pairing(self) -> list[str]:
        """How pairs are made of groups, in a sentence; nothing where there are none."""
        groups = self.labels.groups
        return [] if groups is None else [groups.pairing(self.rejected)]


def encode(
    tokenizer,
    records: Sequence[Record],
    max_length: int = 512,
    *,
    file: str | Path = "records",
    lines: Sequence[int] | None = None,
    skip_bad: bool = False,
    rejected: Rejected = "random",
    special: bool = True,
) -> Encoded:
    """Turn preference records into tokens: pairs, groups, or responses with thumbs.

    Args:
        tokenizer: of ``tokenizer.build`` or of a checkpoint.
        records: all of one form.
        max_length: longest sequence in tokens, prompt, response and end together. Where
            one is longer, responses are shortened at their end (which is lost), though
            not below half of it; then the prompt at its start, to no less than half.
        file: where the records are from, for errors.
        lines: line of each record in that file; None counts from 1.
        skip_bad: leave out conversations that the chat template refuses, and count
            them, instead of stopping.
        rejected: of a group, which response the best one makes a pair with: a key of
            ``feedback.groups.REJECTED``.
        special: the tokenizer's special tokens that stand in a text are read as such,
            and a note counts the rows; False reads them as characters.

    Raises:
        MissingInput: the tokenizer has no end of sequence, or nothing is left.
        BadRecord: the chat template refuses a conversation, without ``skip_bad``.
        BadCheckpoint: the chat template refuses every conversation, or the tokenizer
            cannot write a text.
    """
    if tokenizer.eos_token_id is None:
        raise MissingInput("the tokenizer has no end-of-sequence token")
    if max_length < 4:
        raise ValueError(f"max_length is at least 4 tokens, not {max_length}")
    forms = {type(record) for record in records}
    if len(forms) > 1:
        raise MissingInput("records are pairs, thumbs or groups, all of one kind")
    cut: Counter[str] = Counter()
    texts, refused = _texts(tokenizer, records)
    _tell_refused(tokenizer, records, refused, cut, skip_bad, file, lines)
    writer = Writer(tokenizer, special)
    kept, rows, left = _cut_to_fit(writer, texts, records, max_length, cut)
    some, source = [records[i] for i in kept], Path(file).name
    pad = pad_id(tokenizer)
    if forms == {GroupRecord}:
        every = [row for group in rows for row in group]
        groups = Groups.of(some, _right_padded(every, pad))
        more = {"columns": columns_of([r.extra for r in some]), "source": source}
        labels = label_groups(groups, rejected, generator(0, "rejected"), **more)
    else:
        sides = zip(*rows, strict=True)
        tokens = [_right_padded(list(side), pad) for side in sides]
        labels = _labels(some, tokens, source)
    cut = Counter({what: n for what, n in cut.items() if n})
    notes = tuple(writer.notes([texts[i] for i in kept]))
    total = sum(map(len, rows))
    return Encoded(labels, tuple(kept), cut, rejected, left, notes, max_length, total)


def encode_pairs(tokenizer, records: Sequence[Record], *more, **named) -> Encoded:
    """``encode`` of records that have to be pairs.

    Raises:
        MissingInput: they are thumbs.
    """
    if any(not isinstance(r, PreferenceRecord) for r in records):
        raise MissingInput("pairs need chosen and rejected; these records are thumbs")
    return encode(tokenizer, records, *more, **named)


def _texts(
    tokenizer, records: Sequence[Record]
) -> tuple[dict[int, Rendered], dict[int, str]]:
    """Texts by the record's place, and why the template refuses the others."""
    texts, refused = {}, {}
    for i, record in enumerate(records):
        try:
            texts[i] = render(tokenizer, record)
        except Refusal as refusal:
            refused[i] = str(refusal)
    return texts, refused


def _tell_refused(
    tokenizer, records, refused: dict[int, str], cut, skip_bad: bool, file, lines
) -> None:
    if not refused:
        return
    first, why = next(iter(refused.items()))
    line = first + 1 if lines is None else lines[first]
    if len(refused) == sum(not isinstance(r.prompt, str) for r in records):
        detail = f"it refuses every conversation of {file}; line {line}: {why}"
        raise bad(tokenizer, "chat template", detail)
    if not skip_bad:
        detail = f"it refuses this: {why}; --skip-bad leaves such lines out"
        raise BadRecord(file, line, "chat template", detail)
    what = {PreferenceRecord: "pairs", GroupRecord: "groups"}
    what = what.get(type(records[0]), "responses")
    told = f"the chat template refuses them (first: line {line}: {why})"
    cut[f"{what} left out: {told}"] = len(refused)


def _cut_to_fit(
    writer: Writer,
    texts: dict[int, Rendered],
    records: Sequence[Record],
    max_length: int,
    cut: Counter[str],
) -> tuple[list[int], list[list[Row]], tuple[float, ...]]:
    """The records that are kept, the rows of each, and shares of shortened prompts."""
    kept: list[int] = []
    rows: list[list[Row]] = []
    left: list[float] = []
    for i, rendered in texts.items():
        whole = writer.rows(rendered)
        (prompt, _), responses = whole[0], [response for _, response in whole]
        longest = max(map(len, responses))
        # responses are cut first, to half; all of them see the same prompt
        lead = _shorten(
            prompt, max(max_length - longest, max_length // 2), writer.start
        )
        room = max_length - len(lead)
        short = [response[:room] for response in responses]
        if same := _same_tokens(records[i], short):
            cut[same] += 1
            continue
        if len(lead) < len(prompt):
            cut["prompts shortened"] += 1
            left.append(len(lead) / len(prompt))
        cut["responses shortened"] += sum(
            len(response) > room for response in responses
        )
        rows.append([(lead, response) for response in short])
        kept.append(i)
    if not kept:
        raise MissingInput("no pair is left: both sides become the same tokens")
    return kept, rows, tuple(left)


def _same_tokens(record: Record, responses: list[list[int]]) -> str | None:
    """Why the responses of a record cannot be compared as tokens, if so."""
    if isinstance(record, PreferenceRecord) and responses[0] == responses[1]:
        return "pairs left out: the same tokens on both sides"
    if isinstance(record, GroupRecord):
        top = max(record.scores)
        best = responses[record.scores.index(top)]
        both = zip(responses, record.scores, strict=True)
        if all(response == best for response, score in both if score < top):
            return "groups left out: the same tokens, best and lower ones"
    return None


def _labels(records: Sequence[Record], tokens: list[Tokens], source: str) -> Labels:
    weight = torch.ones(len(records), dtype=torch.float64)
    if len(tokens) == 1:
        thumbs = [record for record in records if isinstance(record, ThumbRecord)]
        up = torch.tensor([record.label for record in thumbs])
        return Labels(thumbs=Thumbs(tokens[0], up, weight), source=source)
    columns = columns_of([record.extra for record in records])
    chosen, rejected = tokens
    pairs = Pairs(chosen, rejected, weight, columns)
    better, worse = SCORES
    if better not in columns or worse not in columns:
        return Labels(pairs, source=source)
    utilities = (columns[better].double(), columns[worse].double())
    return Labels(pairs, utilities=utilities, source=source)


def _shorten(prompt: list[int], room: int, start: list[int]) -> list[int]:
    """The end of a prompt, with its start sign."""
    if len(prompt) <= room:
        return prompt
    lead = (
        start if start and prompt[: len(start)] == start and room > len(start) else []
    )
    return lead + prompt[len(prompt) - (room - len(lead)) :]


def _right_padded(rows: list[Row], pad: int) -> Tokens:
    lead = torch.tensor([len(prompt) for prompt, _ in rows])
    total = torch.tensor([len(prompt) + len(response) for prompt, response in rows])
    ids = torch.full((len(rows), int(total.max())), pad)
    for row, (prompt, response) in zip(ids, rows, strict=True):
        row[: len(prompt) + len(response)] = torch.tensor(prompt + response)
    position = torch.arange(ids.shape[1])
    attention = position < total[:, None]
    mask: Tensor = attention & (position >= lead[:, None])
    none = torch.full((len(rows),), -1)
    return Tokens(ids, mask, attention, prompt=none, response=none.clone())
