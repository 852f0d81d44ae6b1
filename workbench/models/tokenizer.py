"""Tokenizers built from the texts at hand, and preference records as tokens.

Both kinds are ordinary Hugging Face fast tokenizers and are saved as such. A sequence
is ``<bos> prompt response <eos>``. Prompt and response are tokenised apart, so the
boundary between them never depends on what follows it, and special tokens written
inside a text are plain text.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from workbench.core.errors import BadCheckpoint, BadRecord, MissingInput, printable
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
    Text,
    ThumbRecord,
    responses_of,
    text_of,
)
from workbench.worlds.vocab import Vocab

Kind = Literal["auto", "word", "byte"]
Row = tuple[list[int], list[int]]  # the tokens of a prompt and of a response
PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"

# The form of HH-RLHF. The generation prompt ends with the blank after the colon, so
# prompt + response is what the whole conversation renders to, character for character.
CHAT_TEMPLATE = (
    "{%- set names = {'user': 'Human', 'assistant': 'Assistant', "
    "'system': 'System'} -%}"
    "{%- for m in messages -%}"
    "{{ '\n\n' + names.get(m['role'], m['role']) + ': ' + m['content'] }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '\n\nAssistant: ' }}{%- endif -%}"
)


def build(texts: Iterable[str], kind: Kind = "auto", max_words: int = 4096):
    """Make a tokenizer from texts; the same texts give the same tokenizer.

    Args:
        texts: every text it will have to write or, at least, a fair share of them.
        kind: ``"word"`` splits at blanks and before punctuation, and writes words with
            single blanks between them; ``"byte"`` has the 256 bytes and loses nothing;
            ``"auto"`` takes words if there are at most ``max_words`` of them.
        max_words: most words a word-level tokenizer knows; the rarest are unknown.

    Returns:
        a ``PreTrainedTokenizerFast`` whose padding and end of sequence differ.
    """
    if kind not in ("auto", "word", "byte"):
        raise ValueError(f"kind is auto, word or byte, not {kind!r}")
    if kind == "byte":
        return _byte_level()
    counts = _word_counts(texts)
    if kind == "auto" and len(counts) > max_words:
        return _byte_level()
    return _word_level(counts, max_words)


def texts_of(tokenizer, records: Iterable[Record]) -> Iterable[str]:
    """Every text of the records as the tokenizer will see it.

    Args:
        tokenizer: for its chat template; None is the template of ``build``.
        records: preferences or thumbs.

    Raises:
        BadCheckpoint: the chat template refuses a conversation.
    """
    for record in records:
        try:
            yield _prompt_text(tokenizer, record.prompt)
        except _Refusal as refusal:
            raise _bad(tokenizer, "chat template", str(refusal)) from None
        yield from map(text_of, responses_of(record))


def vocab_of(tokenizer) -> Vocab:
    """The tokens in the form that ``models.tiny.decoder`` takes.

    Padding and the start are never written; an unknown word may be.
    """
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    pad, bos = tokenizer.pad_token_id, tokenizer.bos_token_id
    words = tuple(word for word, _ in by_id)
    unwritten = {pad, bos} - {None, tokenizer.eos_token_id}
    return Vocab(
        words,
        pad=pad_id(tokenizer),
        eos=tokenizer.eos_token_id,
        forbidden=tuple(sorted(unwritten)),
    )


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
    """

    labels: Labels
    kept: tuple[int, ...]
    cut: Counter[str]
    rejected: Rejected = "random"

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
) -> Encoded:
    """Turn preference records into tokens: pairs, groups, or responses with thumbs.

    Args:
        tokenizer: of ``build`` or of a checkpoint.
        records: all of one form.
        max_length: longest sequence in tokens, prompt, response and end together. A
            response is shortened at its end only if it alone is longer, and then has
            no end of sequence; a prompt keeps its end.
        file: where the records are from, for errors.
        lines: line of each record in that file; None counts from 1.
        skip_bad: leave out conversations that the chat template refuses, and count
            them, instead of stopping.
        rejected: of a group, which response the best one makes a pair with: a key of
            ``feedback.groups.REJECTED``.

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
    prompts, refused = _prompt_ids(tokenizer, [r.prompt for r in records])
    cut: Counter[str] = Counter()
    if refused:
        first, reason = next(iter(refused.items()))
        line = first + 1 if lines is None else lines[first]
        if len(refused) == sum(not isinstance(r.prompt, str) for r in records):
            detail = f"it refuses every conversation of {file}; line {line}: {reason}"
            raise _bad(tokenizer, "chat template", detail)
        if not skip_bad:
            raise BadRecord(file, line, "chat template", f"it refuses this: {reason}")
        why = f"the chat template refuses them (first: line {line}: {reason})"
        what = {PreferenceRecord: "pairs", GroupRecord: "groups"}
        what = what.get(type(records[0]), "responses")
        cut[f"{what} left out: {why}"] = len(refused)
    kept, rows = _cut_to_fit(tokenizer, prompts, records, max_length, cut)
    some, source = [records[i] for i in kept], Path(file).name
    if forms == {GroupRecord}:
        every = [row for group in rows for row in group]
        groups = Groups.of(some, _right_padded(every, pad_id(tokenizer)))
        more = {"columns": columns_of([r.extra for r in some]), "source": source}
        labels = label_groups(groups, rejected, generator(0, "rejected"), **more)
    else:
        sides = zip(*rows, strict=True)
        tokens = [_right_padded(list(side), pad_id(tokenizer)) for side in sides]
        labels = _labels(some, tokens, source)
    cut = Counter({what: n for what, n in cut.items() if n})
    return Encoded(labels, tuple(kept), cut, rejected)


def encode_pairs(tokenizer, records: Sequence[Record], *more, **named) -> Encoded:
    """``encode`` of records that have to be pairs.

    Raises:
        MissingInput: they are thumbs.
    """
    if any(not isinstance(r, PreferenceRecord) for r in records):
        raise MissingInput("pairs need chosen and rejected; these records are thumbs")
    return encode(tokenizer, records, *more, **named)


def _cut_to_fit(
    tokenizer,
    prompts: dict[int, list[int]],
    records: Sequence[Record],
    max_length: int,
    cut: Counter[str],
) -> tuple[list[int], list[list[Row]]]:
    """The records that are kept, and (prompt, response) of each of their responses."""
    kept: list[int] = []
    rows: list[list[Row]] = []
    for i, prompt in prompts.items():
        texts = [text_of(response) for response in responses_of(records[i])]
        whole = _response_ids(tokenizer, texts)
        # all responses see the same prompt: it is cut for the longest of them
        short = [response[: max_length - 2] for response in whole]
        room = max_length - max(map(len, short))
        if same := _same_tokens(records[i], short):
            cut[same] += 1
            continue
        lead = _shorten(prompt, room, tokenizer.bos_token_id)
        cut["prompts shortened"] += len(lead) < len(prompt)
        for response, before in zip(short, whole, strict=True):
            cut["responses shortened"] += len(response) < len(before)
        rows.append([(lead, response) for response in short])
        kept.append(i)
    if not kept:
        raise MissingInput("no pair is left: both sides become the same tokens")
    return kept, rows


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


def _shorten(prompt: list[int], room: int, bos: int | None) -> list[int]:
    if len(prompt) <= room:
        return prompt
    lead = prompt[:1] if prompt[0] == bos and room > 1 else []
    return lead + prompt[len(prompt) - (room - len(lead)) :]


def _prompt_ids(
    tokenizer, prompts: Sequence[Text]
) -> tuple[dict[int, list[int]], dict[int, str]]:
    """Tokens by the prompt's place, and why the template refuses the others."""
    start = _start_ids(tokenizer)
    # a response needs one token before it to be predicted from
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    lone = [eos if bos is None else bos]
    rows, refused = {}, {}
    for i, prompt in enumerate(prompts):
        try:
            text = _prompt_text(tokenizer, prompt)
        except _Refusal as refusal:
            refused[i] = str(refusal)
            continue
        # a chat template writes special tokens on purpose; a plain prompt does not
        plain = isinstance(prompt, str) or tokenizer.chat_template is None
        ids = _ids(tokenizer, text, plain)
        rows[i] = (ids if start and ids[: len(start)] == start else start + ids) or lone
    return rows, refused


def _start_ids(tokenizer) -> list[int]:
    """What the tokenizer itself puts before a text, without an end of sequence."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and bos in tokenizer("").input_ids[:1] else []


def _response_ids(tokenizer, texts: Sequence[str]) -> list[list[int]]:
    end = [tokenizer.eos_token_id]
    return [_ids(tokenizer, text, True) + end for text in texts]


def _ids(tokenizer, text: str, plain: bool) -> list[int]:
    try:
        coded = tokenizer(text, add_special_tokens=False, split_special_tokens=plain)
    except Exception as error:  # tokenizers raises bare exceptions
        raise _bad(tokenizer, "cannot write a text", _reason(error)) from error
    return list(coded.input_ids)


class _Refusal(Exception):
    """A chat template cannot write a conversation, and why."""


def _prompt_text(tokenizer, prompt: Text) -> str:
    if isinstance(prompt, str):
        return prompt
    messages = [{"role": m.role, "content": m.content} for m in prompt]
    if tokenizer is None or tokenizer.chat_template is None:
        return _render(messages)
    try:
        return tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # a template is a program: it may raise anything
        raise _Refusal(_reason(error)) from error


def _reason(error: Exception) -> str:
    name, message = type(error).__name__, str(error).strip()
    return printable(f"{name}: {message.splitlines()[0]}" if message else name, 200)


def _bad(tokenizer, reason: str, detail: str) -> BadCheckpoint:
    return BadCheckpoint(tokenizer.name_or_path or "tokenizer", reason, detail)


def _render(messages: list[dict[str, str]]) -> str:
    """``CHAT_TEMPLATE`` with a generation prompt, rendered by hand."""
    names = {"user": "Human", "assistant": "Assistant", "system": "System"}
    turns = [f"\n\n{names.get(m['role'], m['role'])}: {m['content']}" for m in messages]
    return "".join(turns) + "\n\nAssistant: "


def pad_id(tokenizer) -> int:
    """Padding; without one any other id does, since masks tell padding, not ids."""
    if tokenizer.pad_token_id is not None:
        return tokenizer.pad_token_id
    return 0 if tokenizer.eos_token_id != 0 else 1


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


def _word_counts(texts: Iterable[str]) -> Counter[str]:
    from tokenizers import pre_tokenizers

    split = pre_tokenizers.Whitespace()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in split.pre_tokenize_str(text))
    return counts


def _word_level(counts: Counter[str], max_words: int):
    from tokenizers import Tokenizer, models, pre_tokenizers

    special = [PAD, BOS, EOS, UNKNOWN]
    # ties by spelling, so that the order of the texts does not matter
    common = sorted(counts, key=lambda word: (-counts[word], word))[:max_words]
    words = special + sorted(set(common) - set(special))
    ids = {word: i for i, word in enumerate(words)}
    core = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return _wrapped(core, unk_token=UNKNOWN)


def _byte_level():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    signs = [PAD, BOS, EOS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE({sign: i for i, sign in enumerate(signs)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    core.decoder = decoders.ByteLevel()
    return _wrapped(core)


def _wrapped(core, **special: str):
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    bos = (BOS, core.token_to_id(BOS))
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[bos]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        **special,
    )
