"""What the model sees: the checkpoint's template, its signs, and what is cut.

The families of ``families.py`` stand for ChatML, Gemma and [INST]; ``by_hand`` writes
what each of their templates says, without the code under test.
"""

import pytest
import torch

from tests.models import families
from workbench.core.errors import BadCheckpoint, BadRecord
from workbench.feedback.records import Message, PreferenceRecord, ThumbRecord
from workbench.models import encoding, rendering, token_writer

QUESTION, GOOD, BAD = "Name a colour for the cup.", "The cup is green.", "Paint it!"
CODERS = {family: families.coder(family) for family in families.SIGNS}


def talk(good=GOOD, bad=BAD, prompt=(("user", QUESTION),), **extra) -> PreferenceRecord:
    """A conversation; a side is a text of the assistant or a tuple of turns."""

    def turns(side):
        side = (("assistant", side),) if isinstance(side, str) else side
        return tuple(Message(role, text) for role, text in side)

    asked = tuple(Message(role, text) for role, text in prompt)
    return PreferenceRecord(asked, turns(good), turns(bad), extra)


def by_hand(family: str, question=QUESTION, answer=GOOD) -> tuple[str, str]:
    """What the template of a family writes: the prompt, and what follows."""
    if family == "chatml":
        return (
            f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n",
            f"{answer}<|im_end|>\n",
        )
    if family == "gemma":
        return (
            f"<bos><start_of_turn>user\n{question}<end_of_turn>\n"
            "<start_of_turn>model\n",
            f"{answer}<end_of_turn>\n",
        )
    return f"<s>[INST] {question} [/INST]", f" {answer}</s>"


def parts(coder, record, side="chosen", **named) -> tuple[str, str]:
    """The prompt, and the tokens that count, as text."""
    encoded = encoding.encode_pairs(coder, [record], 256, **named)
    tokens = getattr(encoded.pairs, side)
    lead = tokens.attention[0] & ~tokens.mask[0]
    return coder.decode(tokens.ids[0][lead]), coder.decode(
        tokens.ids[0][tokens.mask[0]]
    )


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_conversation_is_what_its_template_writes(family):
    """Known mistake: the prompt by the template, the answer as plain text and EOS."""
    coder = CODERS[family]
    assert parts(coder, talk()) == by_hand(family)
    assert parts(coder, talk(), "rejected") == by_hand(family, answer=BAD)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_conversation_has_the_tokens_of_the_whole(family):
    coder = CODERS[family]
    tokens = encoding.encode_pairs(coder, [talk()]).pairs.chosen
    whole = coder("".join(by_hand(family)), add_special_tokens=False).input_ids
    assert tokens.ids[0][tokens.attention[0]].tolist() == whole


ENDS = {"chatml": ["<|im_end|>"], "gemma": ["<eos>", "<end_of_turn>"],
        "inst": ["</s>"], "bare": ["<|endoftext|>"]}  # fmt: skip


@pytest.mark.parametrize("family", ENDS)
def test_a_response_ends_with_the_turn_or_the_sequence(family):
    coder = CODERS[family]
    assert list(token_writer.ends(coder)) == coder.convert_tokens_to_ids(ENDS[family])


def test_an_end_of_turn_that_was_added_later_ends_a_response():
    """A base model with ChatML: <|im_end|> is an added token and no special one."""
    coder = families.coder("bare")
    coder.add_tokens(["<|im_start|>", "<|im_end|>"])
    coder.chat_template = families.CHATML
    end = coder.convert_tokens_to_ids("<|im_end|>")
    assert token_writer.ends(coder) == (coder.eos_token_id, end)
    assert parts(coder, talk()) == by_hand("chatml")
    ids = encoding.encode_pairs(coder, [talk()]).pairs.chosen.ids[0]
    assert end in ids and coder.eos_token_id not in ids


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_rendered_text_is_the_conversation(family):
    """c01: 38 tokens of characters, or 18 with the template's signs."""
    coder, (prompt, answer) = CODERS[family], by_hand(family)
    bad = by_hand(family, answer=BAD)[1]
    written = encoding.encode_pairs(coder, [PreferenceRecord(prompt, answer, bad)])
    spoken = encoding.encode_pairs(coder, [talk()])
    for side in ("chosen", "rejected"):
        one, other = getattr(written.pairs, side), getattr(spoken.pairs, side)
        assert one.ids.tolist() == other.ids.tolist()
        assert one.mask.tolist() == other.mask.tolist()
    (note,) = written.notes
    assert "1 of 1 rows hold special tokens" in note and "read as such" in note
    assert spoken.notes == ()


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_rendered_prompt_with_a_plain_answer_ends_as_a_turn_does(family):
    coder, (prompt, _) = CODERS[family], by_hand(family)
    record = PreferenceRecord(prompt, GOOD, BAD)
    end = coder.convert_tokens_to_ids(ENDS[family])[-1]
    for side in ("chosen", "rejected"):
        tokens = getattr(encoding.encode_pairs(coder, [record]).pairs, side)
        ids = tokens.ids[0][tokens.mask[0]].tolist()
        assert ids[-1] == end
        assert sum(i in token_writer.ends(coder) for i in ids) == 1


@pytest.mark.parametrize("family", families.SIGNS)
def test_nothing_is_begun_or_ended_twice(family):
    coder = CODERS[family]
    bos, eos = coder.bos_token or "", coder.eos_token
    for prompt, good in (
        ("p", "good"),
        (bos + "p", "good" + eos),
        ("p", f"good{eos}\n"),
    ):
        tokens = encoding.encode_pairs(
            coder, [PreferenceRecord(prompt, good, "bad")]
        ).pairs.chosen
        ids = tokens.ids[0][tokens.attention[0]].tolist()
        assert ids.count(coder.eos_token_id) == 1
        if bos:
            assert ids.count(coder.bos_token_id) == 1 and ids[0] == coder.bos_token_id


def test_special_tokens_can_be_characters_and_the_note_says_so():
    coder = CODERS["chatml"]
    record = PreferenceRecord("<|im_start|>user", "a", "b")
    encoded = encoding.encode_pairs(coder, [record], special=False)
    start = coder.convert_tokens_to_ids("<|im_start|>")
    assert start not in encoded.pairs.chosen.ids
    assert "which are read as characters" in encoded.notes[0]


def test_marks_of_another_template_are_told():
    prompt = by_hand("chatml")[0]
    record = PreferenceRecord(prompt, "a", "b")
    (note,) = encoding.encode_pairs(CODERS["gemma"], [record], 256).notes
    assert note.startswith("warning: 1 of 1 rows hold marks of a chat template")
    # [INST] is no special token of this family, but its template's own
    inst = PreferenceRecord("[INST] p [/INST]", "a", "b")
    assert encoding.encode_pairs(CODERS["inst"], [inst]).notes == ()


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_turn_that_was_begun_is_continued(family):
    """c18: no second turn of the assistant, and no end between the two parts."""
    prompt = (("user", QUESTION), ("assistant", "The cup"))
    record = talk(" is green.", " is red.", prompt)
    lead, rest = by_hand(family)
    start = GOOD.removesuffix(" is green.")
    at = rest.index(start) + len(start)
    assert parts(CODERS[family], record) == (lead + rest[:at], rest[at:])


def test_several_turns_of_a_side_all_count():
    """As TRL scores them: what follows the prompt, the user's turns among it."""
    more = (("assistant", GOOD), ("user", "More?"), ("assistant", "No."))
    lead, rest = parts(CODERS["chatml"], talk(more, BAD))
    assert lead == by_hand("chatml")[0]
    assert rest == (
        f"{GOOD}<|im_end|>\n<|im_start|>user\nMore?<|im_end|>\n"
        "<|im_start|>assistant\nNo.<|im_end|>\n"
    )


THINK = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{{ '<|im_end|>\n' }}{% endfor -%}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}"
    "{% endif -%}"
)


def test_an_opening_that_answers_lack_is_left_out_and_told():
    coder = families.coder("chatml")
    coder.chat_template = THINK
    assert parts(coder, talk()) == by_hand("chatml")
    (note,) = encoding.encode_pairs(coder, [talk()]).notes
    assert "'<think>\\n'" in note and "1 of 1 rows" in note


REFUSES = {
    "the prompt otherwise": "{{ messages | length ~ messages[0].content }}",
    "nothing of the answer": "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ m.content }}{% endif %}{% endfor %}",
}


@pytest.mark.parametrize("words", REFUSES)
def test_a_template_that_cannot_write_an_answer_is_refused(words):
    coder = families.coder("chatml")
    coder.chat_template = REFUSES[words]
    with pytest.raises(BadCheckpoint, match=f"it writes {words}"):
        encoding.encode_pairs(coder, [talk()])


def test_a_role_that_a_template_refuses_is_an_error_with_its_line():
    """c33: a traceback of jinja2 was raised."""
    system = talk(prompt=(("system", "Be brief."), ("user", QUESTION)))
    place = {"file": "c33.jsonl", "lines": (4, 7)}
    with pytest.raises(BadRecord, match="c33.jsonl, line 7: .*System role not supp"):
        encoding.encode_pairs(CODERS["gemma"], [talk(), system], **place)
    kept = encoding.encode_pairs(
        CODERS["gemma"], [talk(), system], **place, skip_bad=True
    )
    assert kept.kept == (0,)


TOOL = {"type": "function", "function": {"name": "look_up"}}


@pytest.mark.parametrize("form", [[TOOL], '[{"name": "look_up"}]'])
def test_tools_stand_in_the_prompt(form):
    lead, _ = parts(CODERS["chatml"], talk(tools=form))
    assert lead.startswith("<|im_start|>system\nTools: ") and "look_up" in lead


@pytest.mark.parametrize("family", ["gemma", "inst", "bare"])
def test_tools_that_a_template_leaves_out_are_refused(family):
    with pytest.raises(BadCheckpoint, match="tools"):
        encoding.encode_pairs(CODERS[family], [talk(tools=[TOOL])])


def call(**extra) -> PreferenceRecord:
    turn = Message("assistant", "", {"tool_calls": [TOOL], **extra})
    bad = (Message("assistant", BAD),)
    return PreferenceRecord((Message("user", QUESTION),), (turn,), bad)


def test_a_call_in_an_answer_counts():
    _, rest = parts(CODERS["chatml"], call())
    assert rest.startswith("<call>[") and "look_up" in rest
    with pytest.raises(BadCheckpoint, match="does not write tool_calls"):
        encoding.encode_pairs(CODERS["gemma"], [call()])


def test_keys_that_change_nothing_are_named():
    assert rendering.unwritten(CODERS["chatml"], call(weight=2)) == {"weight"}
    assert rendering.unwritten(CODERS["chatml"], call(weight=None)) == set()


# ---- what is cut ------------------------------------------------------------------


def cut(prompt: int, good: int, bad: int, limit: int) -> tuple[int, int, int, str]:
    """Tokens that are left of a prompt and of both sides, and the summary."""
    coder = CODERS["inst"]  # "a" and "b" and "c" are one token each, and BOS another
    record = PreferenceRecord("a " * prompt, "b " * good, "c " * bad)
    encoded = encoding.encode_pairs(coder, [record], limit)
    pairs = encoded.pairs
    lead = (pairs.chosen.attention & ~pairs.chosen.mask).sum()
    sizes = (lead, pairs.chosen.mask.sum(), pairs.rejected.mask.sum())
    return (*map(int, sizes), encoded.summary())


def whole(prompt: int, good: int, bad: int) -> tuple[int, int, int]:
    return cut(prompt, good, bad, 2000)[:3]


def test_a_long_answer_leaves_the_question_alone():
    """c13: the prompt lost all but 2 of its tokens."""
    lead, good, bad = whole(8, 1, 300)
    assert cut(8, 1, 300, 64)[:3] == (lead, good, 64 - lead)


def test_a_long_prompt_keeps_half_of_the_room_at_least():
    lead, good, bad = whole(200, 100, 3)
    assert min(lead, good) > 32
    assert cut(200, 100, 3, 64)[:3] == (32, 32, bad)


def test_a_long_prompt_with_short_answers_gives_them_what_they_need():
    lead, good, bad = whole(200, 4, 3)
    assert cut(200, 4, 3, 64)[:3] == (64 - max(good, bad), good, bad)


def test_losses_are_told_with_their_shares():
    coder = CODERS["inst"]
    records = [PreferenceRecord("a", f"{i}", "c") for i in range(38)]
    records += [PreferenceRecord("a " * 300, "b " * 300, "c")]
    encoded = encoding.encode_pairs(coder, records, 64)
    assert encoded.cut == {"prompts shortened": 1, "responses shortened": 1}
    assert encoded.warnings == []  # 1 of 78 responses, 1 of 39 prompts
    few = encoding.encode_pairs(coder, records[30:], 64)
    first, second = few.warnings
    assert "warning: 6% of the responses lost their end" in first  # 1 of 18
    assert "warning: 11% of the prompts" in second and "--max-length 64" in second


def test_thumbs_are_rendered_too():
    record = ThumbRecord(
        (Message("user", QUESTION),), (Message("assistant", GOOD),), True
    )
    tokens = encoding.encode(CODERS["gemma"], [record]).labels.thumbs.tokens
    ids = tokens.ids[0][tokens.attention[0]]
    assert CODERS["gemma"].decode(ids) == "".join(by_hand("gemma"))
    assert isinstance(tokens.ids, torch.Tensor)
