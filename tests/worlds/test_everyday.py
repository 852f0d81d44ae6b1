"""Everyday questions: their gold reward by hand, and the file that was made of them."""

import json

import pytest
import torch
from safetensors.torch import load_file

from workbench.feedback import files
from workbench.feedback.records import text_of
from workbench.models import smollm
from workbench.worlds import everyday


@pytest.mark.parametrize(
    ("answer", "word", "reward"),
    [
        ("A spoon stirs soup.", "spoon", 3.0),
        ("It stirs soup.", "spoon", 2.0),  # the word is missing
        ("A spoon stirs. It is small.", "spoon", 2.0),  # two sentences
        ("A spoon stirs soup and", "spoon", 1.0),  # cut
        ("I like a spoon and I like a spoon.", "spoon", 2.0),  # "i like a" comes twice
        ("He said: “Spoons!”", "spoon", 3.0),  # another form of the word
        ("Use soap!)", "soap", 3.0),
        ("", "soap", 0.0),
        ("no no no no", "soap", -1.0),  # "no no no" comes twice
        ("Teaspoons are small.", "spoon", 2.0),  # another word
    ],
)
def test_gold_by_hand(answer, word, reward):
    assert everyday.gold(answer, word) == reward


def test_there_are_300_questions_that_hold_their_word():
    questions = everyday.questions()
    assert len({q.text for q in questions}) == 300
    for q in questions:
        assert q.word in everyday.words_of(q.text), q


@pytest.fixture(scope="module")
def read():
    return files.read(everyday.PAIRS)


def test_the_file_holds_each_question_once(read):
    asked = [record.prompt[-1].content for record in read.records]
    assert sorted(asked) == sorted(q.text for q in everyday.questions())
    assert {record.prompt[0].content for record in read.records} == {everyday.SYSTEM}


def test_the_gold_of_the_file_is_that_of_its_texts(read):
    words = {q.text: q.word for q in everyday.questions()}
    for record in read.records:
        word = words[record.prompt[-1].content]
        assert record.extra["word"] == word
        for side in ("chosen", "rejected"):
            text = text_of(getattr(record, side))
            assert record.extra[f"gold_{side}"] == everyday.gold(text, word), text


def test_labels_are_noisy_and_on_the_side_of_gold(read):
    gap = [r.extra["gold_chosen"] - r.extra["gold_rejected"] for r in read.records]
    right, wrong = (sum(sign * g > 0 for g in gap) for sign in (1, -1))
    assert 0.1 < wrong / (right + wrong) < 0.4


def test_the_table_holds_what_the_records_say(read):
    row, record = everyday.table(read.records).iloc[7], read.records[7]
    assert row.question == record.prompt[-1].content
    assert (row.chosen, row.rejected) == (
        text_of(record.chosen), text_of(record.rejected),
    )  # fmt: skip
    assert row.gold_rejected == record.extra["gold_rejected"]


def test_the_two_files_hold_all_pairs_once(read, tmp_path):
    parts = [files.read(path).records for path in everyday.split(tmp_path)]
    assert [len(part) for part in parts] == [200, 100]
    assert [*parts[1], *parts[0]] == list(read.records)


@pytest.mark.parametrize("name", ["ada", "ben"])
def test_an_adapter_is_small_whole_and_says_nothing_of_a_machine(name):
    """q and v of ten layers, rank 4: 10 · 4 · (576 + 576 + 576 + 192) numbers."""
    folder = everyday.COLLEAGUES / name
    told = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert told["base_model_name_or_path"] == smollm.HUB and told["r"] == 4
    weights = load_file(folder / "adapter_model.safetensors")
    assert sum(w.numel() for w in weights.values()) == 10 * 4 * 1920
    assert all(
        w.dtype is torch.float16 and w.isfinite().all() for w in weights.values()
    )
    assert max(w.abs().max() for n, w in weights.items() if "lora_B" in n) > 1e-3
    assert {n.split(".layers.")[1].split(".")[0] for n in weights} == {
        str(layer) for layer in range(20, 30)
    }
