"""Tokenizers and token pairs: what is read is what was written, boundary included."""

import json

import pytest
import torch

from workbench.core.errors import BadCheckpoint, BadRecord, MissingInput
from workbench.feedback.records import Message, PreferenceRecord, ThumbRecord
from workbench.models import checkpoint, encoding, rendering, tiny, tokenizer

TEXTS = ["the film is good .", "the plot , not so good", "the cast is dull"]


def pair(prompt, chosen, rejected):
    return PreferenceRecord(prompt, chosen, rejected)


def words(kind="word", **options):
    return tokenizer.build(TEXTS, kind, **options)


def test_a_word_tokenizer_has_the_words_of_the_texts_and_four_more():
    made = words()
    known = {w for text in TEXTS for w in text.split()}
    assert set(made.get_vocab()) == known | {"<pad>", "<bos>", "<eos>", "<unk>"}
    assert (
        made.decode(made("the cast", add_special_tokens=False).input_ids) == "the cast"
    )
    assert made("zebra", add_special_tokens=False).input_ids == [made.unk_token_id]


def test_the_rarest_words_are_unknown_and_ties_are_broken_by_spelling():
    made = words(max_words=3)
    # the 3, good 2, is 2; the others once
    kept = set(made.get_vocab()) - {"<pad>", "<bos>", "<eos>", "<unk>"}
    assert kept == {"the", "good", "is"}
    shuffled = tokenizer.build(TEXTS[::-1], "word", max_words=3)
    assert shuffled.get_vocab() == made.get_vocab()


def test_a_byte_tokenizer_loses_nothing():
    made = words("byte")
    for text in ("naïve — 日本 \n\n  x\t", "<eos> is <pad>", "\x00 🎬"):
        ids = made(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert len(ids) == len(text.encode())
        assert made.decode(ids) == text


def test_auto_takes_words_while_they_are_few_and_bytes_beyond():
    assert "film" in tokenizer.build(TEXTS).get_vocab()
    assert len(tokenizer.build(TEXTS, max_words=5)) == 256 + 3


@pytest.mark.parametrize("kind", ["word", "byte"])
def test_a_saved_tokenizer_is_the_same_when_loaded_and_saves_the_same_bytes(
    tmp_path, kind
):
    from transformers import AutoTokenizer

    made = words(kind)
    made.save_pretrained(tmp_path / "a")
    words(kind).save_pretrained(tmp_path / "b")
    back = AutoTokenizer.from_pretrained(tmp_path / "a", local_files_only=True)
    text = "the plot , dull"
    assert back(text).input_ids == made(text).input_ids
    assert back.get_vocab() == made.get_vocab()
    assert (back.pad_token, back.eos_token) == ("<pad>", "<eos>")
    assert back.pad_token_id != back.eos_token_id
    assert back.chat_template == made.chat_template
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_row_is_start_prompt_response_and_end_with_the_mask_on_the_response():
    made = words()
    one, two = pair("the film", "good", "not so good"), pair("cast", "is good", "dull")
    pairs = encoding.encode_pairs(made, [one, two]).pairs
    ids = made.get_vocab()

    def row(*names):
        return [ids[name] for name in names]

    chosen, rejected = pairs.chosen, pairs.rejected
    assert chosen.ids.tolist() == [
        row("<bos>", "the", "film", "good", "<eos>"),
        row("<bos>", "cast", "is", "good", "<eos>"),
    ]
    assert rejected.ids.tolist() == [
        row("<bos>", "the", "film", "not", "so", "good", "<eos>"),
        row("<bos>", "cast", "dull", "<eos>", "<pad>", "<pad>", "<pad>"),
    ]
    assert chosen.mask.int().tolist() == [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]
    assert rejected.mask.int().tolist() == [
        [0, 0, 0, 1, 1, 1, 1],
        [0, 0, 1, 1, 0, 0, 0],
    ]
    assert rejected.attention.int().tolist() == [[1] * 7, [1] * 4 + [0] * 3]
    assert chosen.lengths.tolist() == [2, 3]
    assert pairs.weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["word", "byte"])
def test_the_tokens_of_a_prompt_do_not_depend_on_the_response(kind):
    made = words(kind)
    prompt = "the fil"  # "the film" is one word more if the two are glued
    records = [pair(prompt, "m is good", "dull"), pair(prompt, "good", "m")]
    encoded = encoding.encode_pairs(made, records).pairs
    starts = set()
    for tokens in (encoded.chosen, encoded.rejected):
        for i in range(len(tokens)):
            lead = tokens.attention[i] & ~tokens.mask[i]
            starts.add(tuple(tokens.ids[i][lead].tolist()))
    assert len(starts) == 1


def test_a_special_token_written_in_a_text_can_be_read_as_characters():
    made = words("byte")
    record = pair("a <eos> b", "c <eos> d", "<pad>")
    encoded = encoding.encode_pairs(made, [record], special=False)
    ids, mask = encoded.pairs.chosen.ids[0], encoded.pairs.chosen.mask[0]
    assert (ids == made.eos_token_id).nonzero().tolist() == [[len(ids) - 1]]
    assert made.decode(ids[mask][:-1]) == "c <eos> d"
    assert made.pad_token_id not in encoded.pairs.rejected.ids[0][:10].tolist()


def test_a_long_prompt_keeps_its_start_sign_and_its_end_on_both_sides_and_is_counted():
    made = words("byte")
    records = [pair("0123456789", "abc", "wxyz"), pair("0", "ab", "c")]
    encoded = encoding.encode_pairs(made, records, max_length=10)
    # longest response: 4 bytes and the end, so 5 tokens are left for the prompt
    for tokens, response in (
        (encoded.pairs.chosen, "abc"),
        (encoded.pairs.rejected, "wxyz"),
    ):
        ids = tokens.ids[0][tokens.attention[0]]
        assert ids[0] == made.bos_token_id
        assert made.decode(ids[1:-1]) == "6789" + response
        assert ids[-1] == made.eos_token_id
    assert encoded.cut == {"prompts shortened": 1}
    assert encoded.summary() == "2 pairs as tokens, 1 prompts shortened"


def test_a_response_longer_than_all_loses_its_end_and_is_counted():
    made = words("byte")
    encoded = encoding.encode_pairs(made, [pair("p", "a" * 30, "b")], max_length=8)
    ids = encoded.pairs.chosen.ids[0]
    assert len(ids) == 8
    assert made.decode(ids[2:]) == "a" * 6
    assert made.eos_token_id not in ids
    assert encoded.cut["responses shortened"] == 1


def test_pairs_that_become_equal_tokens_are_left_out_and_counted():
    made = words()
    records = [pair("the film", "zebra", "giraffe"), pair("cast", "good", "dull")]
    encoded = encoding.encode_pairs(made, records)
    assert encoded.kept == (1,)
    assert encoded.cut == {"pairs left out: the same tokens on both sides": 1}
    with pytest.raises(MissingInput, match="no pair is left"):
        encoding.encode_pairs(made, records[:1])


def test_thumbs_are_no_pairs():
    with pytest.raises(MissingInput, match="thumbs"):
        encoding.encode_pairs(words(), [ThumbRecord("p", "good", True)])


def test_a_conversation_is_rendered_by_the_template_up_to_the_answer():
    made = words("byte")
    talk = (Message("system", "be short"), Message("user", "{{ 7 * 7 }} <eos>"))
    answer = (Message("assistant", "good"),)
    record = PreferenceRecord(talk, answer, (Message("assistant", "bad"),))
    tokens = encoding.encode_pairs(made, [record]).pairs.chosen
    ids, mask = tokens.ids[0], tokens.mask[0]
    lead = made.decode(ids[~mask][1:])
    assert lead == "\n\nSystem: be short\n\nHuman: {{ 7 * 7 }} <eos>\n\nAssistant: "
    turns = [{"role": m.role, "content": m.content} for m in talk + answer]
    whole = made.apply_chat_template(turns, tokenize=False)
    assert lead + made.decode(ids[mask][:-1]) == whole
    assert list(rendering.texts_of(None, [record]))[0] == lead


def talk(*contents: str) -> PreferenceRecord:
    """A pair whose prompt has these turns, the user's first."""
    roles = ("user", "assistant")
    prompt = tuple(Message(roles[i % 2], text) for i, text in enumerate(contents))
    good, bad = ((Message("assistant", text),) for text in ("good", "bad"))
    return PreferenceRecord(prompt, good, bad)


REFUSES = {
    "of its own accord": "{{ raise_exception('no dull films') }}",
    "for an undefined name": "{{ nothing.role }}",
    "for a missing message": "{{ messages[9].role }}",
    "outside the sandbox": "{{ ''.__class__.__mro__ }}",
    "with an error of Python": "{{ 1 / 0 }}",
    "for a type": "{{ 'a' + 1 }}",
    "for want of other files": "{% include 'another' %}",
}
BROKEN = {
    "for a syntax error": "{% if %}",
    "for a missing end": "{% for m in messages %}",
    "for an unknown filter": "{{ messages | polish }}",
    "for want of a default": {"tools": "x"},
    "for being a number": 3,
}


@pytest.mark.parametrize("name", REFUSES)
def test_a_conversation_that_the_template_refuses_is_named_by_its_line(name):
    made = words("byte")
    dull = "{% if 'dull' in messages[-1].content %}" + REFUSES[name] + "{% endif %}"
    made.chat_template = dull + rendering.CHAT_TEMPLATE
    records = [talk("a film"), talk("dull"), talk("b", "c", "d"), talk("so dull")]
    place = {"file": "talk.jsonl", "lines": (2, 5, 7, 9)}
    with pytest.raises(BadRecord, match="talk.jsonl, line 5: chat template"):
        encoding.encode_pairs(made, records, **place)
    with pytest.raises(BadRecord, match="line 2: chat template"):
        encoding.encode_pairs(made, records)
    encoded = encoding.encode_pairs(made, records, **place, skip_bad=True)
    assert encoded.kept == (0, 2)
    assert encoded.cut.total() == 2
    assert "2 pairs left out: the chat template refuses" in encoded.summary()
    assert "first: line 5" in encoded.summary()
    alone = encoding.encode_pairs(made, [records[0], records[2]])
    for side in ("chosen", "rejected"):
        ours, theirs = getattr(encoded.pairs, side), getattr(alone.pairs, side)
        assert torch.equal(ours.ids, theirs.ids)
        assert torch.equal(ours.mask, theirs.mask)


@pytest.mark.parametrize("template", [*REFUSES.values(), *BROKEN.values()], ids=str)
@pytest.mark.parametrize("skip", [False, True])
def test_a_template_that_refuses_everything_is_a_bad_checkpoint(template, skip):
    made = words("byte")
    made.name_or_path, made.chat_template = "models/parrot", template
    records = [talk("a film"), talk("a cast")]
    with pytest.raises(BadCheckpoint, match="models/parrot: chat template") as caught:
        encoding.encode_pairs(made, records, file="talk.jsonl", skip_bad=skip)
    assert "talk.jsonl; line 1" in str(caught.value)
    with pytest.raises(BadCheckpoint, match="chat template"):
        list(rendering.texts_of(made, records))


def test_a_broken_template_does_no_harm_to_plain_text():
    made = words("byte")
    made.chat_template = "{% if %}"
    assert encoding.encode_pairs(made, [pair("p", "a", "b")]).kept == (0,)


def test_a_tokenizer_that_has_no_token_for_a_text_is_a_bad_checkpoint():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="<unk>"))
    made = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")
    with pytest.raises(BadCheckpoint, match="cannot write a text"):
        encoding.encode_pairs(made, [pair("a", "b", "c")])


def test_an_empty_prompt_still_has_a_token_to_predict_from():
    tokens = encoding.encode_pairs(words(), [pair("", "good", "dull")]).pairs.chosen
    assert tokens.mask.int().tolist() == [[0, 1, 1]]


@pytest.fixture
def saved(tmp_path):
    """A small checkpoint with its tokenizer."""
    made = words()
    policy = tiny.decoder(tokenizer.vocab_of(made), width=16, layers=1)
    policy.save(tmp_path / "model")
    made.save_pretrained(tmp_path / "model")
    return policy, tmp_path / "model"


def test_a_checkpoint_gives_back_the_same_log_probs(saved):
    policy, folder = saved
    loaded, made = checkpoint.load(folder)
    tokens = encoding.encode_pairs(made, [pair("the film", "is good", "dull")]).pairs
    old, new = (p.token_logps(tokens.chosen) for p in (policy, loaded))
    assert torch.equal(old, new)
    assert (old[tokens.chosen.mask] < 0).all()


def test_a_checkpoint_of_another_family_without_padding_is_read_too(tmp_path):
    """GPT-2 has no ``model.model`` and calls its start and end by one name."""
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    end = "<|endoftext|>"
    core = words("byte").backend_tokenizer
    core.post_processor = None
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=end, eos_token=end)
    size = GPT2Config(
        vocab_size=len(made), n_embd=16, n_layer=1, n_head=2, n_positions=64
    )
    model = GPT2LMHeadModel(size).eval()
    model.save_pretrained(tmp_path)
    made.save_pretrained(tmp_path)
    policy, made = checkpoint.load(tmp_path)
    tokens = encoding.encode_pairs(made, [pair("the film", "good", "dull")]).pairs
    ids, mask = tokens.chosen.ids, tokens.chosen.mask
    with torch.no_grad():
        logps = model(ids).logits.log_softmax(-1)[:, :-1]
    by_hand = logps.gather(-1, ids[:, 1:, None])[..., 0] * mask[:, 1:]
    torch.testing.assert_close(policy.token_logps(tokens.chosen)[:, 1:], by_hand)
    assert ids[0, -1] == made.eos_token_id != policy.network.config.pad_token_id


def test_a_folder_that_is_no_safe_checkpoint_is_refused_with_its_reason(
    saved, tmp_path
):
    _, folder = saved

    def reason(path):
        with pytest.raises(BadCheckpoint) as caught:
            checkpoint.load(path)
        return caught.value.reason

    assert reason(tmp_path / "nothing") == "no checkpoint"
    assert reason("gpt2") == "no checkpoint"
    (tmp_path / "empty").mkdir()
    assert reason(tmp_path / "empty") == "no checkpoint"
    config = json.loads((folder / "config.json").read_text())
    code = config | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(code))
    assert reason(folder) == "needs remote code"
    (folder / "config.json").write_text(json.dumps(config))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert reason(folder) == "cannot be loaded"
    weights.rename(folder / "pytorch_model.bin")
    assert reason(folder) == "no safetensors"


def test_a_checkpoint_without_tokenizer_is_refused(tmp_path):
    tiny.decoder(tokenizer.vocab_of(words()), width=16, layers=1).save(tmp_path)
    with pytest.raises(BadCheckpoint, match="cannot be loaded"):
        checkpoint.load(tmp_path)
