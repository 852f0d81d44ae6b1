"""What a user should know of a preference file before a run: sentences and examples."""

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from workbench.core.errors import printable
from workbench.core.tokens import Tokens
from workbench.experiment.needs import columns
from workbench.feedback.columns import NAMES, SCORES
from workbench.feedback.kind import kind_of, reads
from workbench.feedback.records import PreferenceRecord, Record, responses_of, text_of
from workbench.models.encoding import Encoded
from workbench.models.rendering import has_template, unwritten

LONGEST = 4000  # characters of an example


def used_columns(method: Any) -> set[str]:
    """Columns of a file, by our names, that a method's data set may read."""
    if "loss" not in vars(method):
        return set()
    ways = kind_of(reads(method)).ways
    parts = {part for needed in ways for part in needed}
    found = columns(method) | (parts & {"users"})
    return found | (set(SCORES) if "utilities" in parts else set())


def of_columns(
    tokenizer, records: Sequence[Record], used: Collection[str]
) -> list[str]:
    """Sentences on columns and message keys that nothing reads.

    Args:
        tokenizer: for its chat template; None if a small model will be made.
        records: as they were read.
        used: by our names; see ``used_columns``.
    """
    talks = any(not isinstance(record.prompt, str) for record in records)
    read = {*used, *(["tools"] if talks else [])}
    extra = {str(k) for record in records for k in record.extra}
    idle = sorted(k for k in extra if NAMES.get(k.lower(), k) not in read)
    notes = [f"unused columns: {', '.join(idle)}"] if idle else []
    keys: set[str] = set()
    for record in records:
        if new := _keys(record) - keys:
            keys |= new & unwritten(tokenizer, record)
    if keys:
        named = ", ".join(sorted(keys))
        notes.append(f"message fields that the chat template does not write: {named}")
    if talks and tokenizer is not None and not has_template(tokenizer):
        notes.append(
            "the checkpoint has no chat template: conversations are written as HH-RLHF "
            "does (Human:, Assistant:), and so is the template saved with the policy"
        )
    return notes


def of_conflicts(records: Sequence[Record]) -> list[str]:
    """A sentence on pairs of which the same file says the opposite, too."""
    pairs = [r for r in records if isinstance(r, PreferenceRecord)]
    texts = [tuple(map(text_of, (r.prompt, r.chosen, r.rejected))) for r in pairs]
    said = set(texts)
    n = sum((prompt, worse, better) in said for prompt, better, worse in texts)
    if not n:
        return []
    return [f"{n} of {len(pairs)} pairs contradict others: same texts, other way round"]


def _keys(record: Record) -> set[str]:
    texts = (record.prompt, *responses_of(record))
    return {k for t in texts if not isinstance(t, str) for m in t for k in m.extra}


def examples(tokenizer, coded: Encoded, lines: Sequence[int], count: int) -> list[str]:
    """Encoded examples in words: what the model reads, and which tokens count.

    Args:
        tokenizer: that encoded them.
        coded: the encoded file.
        lines: of the records, in the file.
        count: how many.
    """
    labels = coded.labels
    if labels.groups is not None:
        sides = {"best": labels.pairs.chosen, "lower": labels.pairs.rejected}
    elif labels.pairs is not None:
        sides = {"chosen": labels.pairs.chosen, "rejected": labels.pairs.rejected}
    else:
        sides = {"response": labels.thumbs.tokens}
    told = []
    for row in range(min(count, len(coded.kept))):
        line = lines[coded.kept[row]]
        for name, tokens in sides.items():
            told.append(_example(tokenizer, tokens, row, f"line {line}, {name}"))
    return told


def _example(tokenizer, tokens: Tokens, row: int, name: str) -> str:
    ids, mask = tokens.ids[row], tokens.mask[row]
    lead = tokens.attention[row] & ~mask
    prompt, response = (_decoded(tokenizer, ids[part]) for part in (lead, mask))
    return (
        f"{name}: {int(lead.sum())} tokens of the prompt, {int(mask.sum())} count\n"
        f"  prompt    {printable(prompt, LONGEST)}\n"
        f"  counts    {printable(response, LONGEST)}"
    )


def _decoded(tokenizer, ids: Tensor) -> str:
    """Tokens as text, special ones between ⟦ and ⟧, and line ends as ↵."""
    special = set(tokenizer.all_special_ids)
    added = tokenizer.added_tokens_decoder.items()
    special |= {i for i, token in added if token.special}
    words: list[str] = []
    run: list[int] = []
    for i in ids.tolist():
        if i in special:
            words += [tokenizer.decode(run), f"⟦{tokenizer.decode([i])}⟧"]
            run = []
        else:
            run.append(i)
    return "".join([*words, tokenizer.decode(run)]).replace("\n", "↵")
