"""Tokenizers built from the texts at hand: words, or bytes.

Both kinds are ordinary Hugging Face fast tokenizers and are saved as such.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from workbench.models.rendering import CHAT_TEMPLATE
from workbench.worlds.vocab import Vocab

Kind = Literal["auto", "word", "byte"]
PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"


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


def pad_id(tokenizer) -> int:
    """Padding; without one any other id does, since masks tell padding, not ids."""
    if tokenizer.pad_token_id is not None:
        return tokenizer.pad_token_id
    return 0 if tokenizer.eos_token_id != 0 else 1


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
