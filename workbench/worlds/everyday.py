"""Everyday questions whose answers have a gold reward: a plain function of the text.

A question asks about one thing, the *asked word*. An answer earns a point each for
naming it, for ending as a whole sentence and for being a single sentence, as the
question wants; a phrase of three words that comes twice costs a point. Nobody would
call this the quality of an answer: it is a quality that is known, so that a policy can
be judged by it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM = "Answer in one short sentence."
# 300 pairs of answers by SmolLM2-135M-Instruct, made by data/make_preferences.py
# the annotator of these pairs: 0.05 reward units for each token, one label in ten wrong
LABELLED = {"temperature": 0.5, "flip": 0.1, "length_bias": 0.05}
PAIRS = Path(__file__).parents[1] / "data" / "preferences" / "everyday.jsonl"
# adapters of SmolLM2 that learned from these pairs, made by data/make_colleagues.py;
# the first HELD_OUT pairs are nobody's
COLLEAGUES = Path(__file__).parents[1] / "data" / "colleagues"
HELD_OUT = 100

_ASKED = {
    "What is {} used for?": "a spoon, a ladder, a needle, soap, a pillow, a map, a "
    "hammer, a towel, a bucket, glue",
    "Why do people like {}?": "music, coffee, holidays, football, chocolate, gardens, "
    "dogs, dancing, cheese, stories",
    "How do I clean {}?": "a window, a carpet, a mirror, a kettle, a bathtub, an oven, "
    "a bicycle, a keyboard, a jacket, a sink",
    "What does {} do all day?": "a dentist, a farmer, a baker, a teacher, a nurse, a "
    "pilot, a judge, a sailor, a painter, a plumber",
    "Where can I buy {}?": "bread, flowers, stamps, shoes, paint, fish, furniture, "
    "medicine, a ticket, honey",
    "What is {} made of?": "paper, glass, a candle, butter, a coin, concrete, cheese, "
    "a brick, ink, a rope",
    "How do I cook {}?": "rice, an egg, a potato, soup, pasta, beans, a pancake, "
    "salmon, spinach, mushrooms",
    "Describe {} to a child.": "a lemon, the moon, a volcano, snow, a whale, a shadow, "
    "a rainbow, the wind, a river, an island",
    "Why is {} important?": "sleep, water, exercise, reading, trust, breakfast, "
    "friendship, practice, sunlight, vaccination",
    "Give me a tip for {}.": "travelling, gardening, painting, running, swimming, "
    "shopping, camping, cooking, saving, studying",
    "What do I do with {}?": "a broken cup, old clothes, spare keys, stale bread, "
    "empty bottles, used batteries, a wet book, ripe bananas, a lost dog, a flat tyre",
    "When should I eat {}?": "soup, dessert, fruit, a salad, nuts, porridge, yoghurt, "
    "a sandwich, ginger, oysters",
    "How is {} different from a cat?": "a tiger, a rabbit, a fox, a horse, a mouse, an "
    "owl, a snake, a goat, a bear, a turtle",
    "What happens in {}?": "spring, a theatre, a library, a kitchen, a court, a "
    "hospital, a bakery, winter, an election, a museum",
    "How do I look after {}?": "a cactus, a puppy, a goldfish, my teeth, my bicycle, a "
    "guitar, leather, my eyes, a lawn, a sofa",
    "Is it hard to learn {}?": "chess, French, cycling, juggling, skating, the piano, "
    "knitting, algebra, surfing, sewing",
    "Tell me a fact about {}.": "bees, Paris, iron, sharks, deserts, Mars, penguins, "
    "salt, bamboo, clouds",
    "What should I wear for {}?": "a wedding, the beach, an interview, hiking, skiing, "
    "a picnic, yoga, rain, a funeral, a concert",
    "How long does {} take?": "a haircut, a marathon, pregnancy, a flight to Rome, "
    "laundry, an exam, digestion, a divorce, a nap, baking",
    "What can go wrong with {}?": "a barbecue, a parachute, a lift, a tattoo, a boat, "
    "a loan, a diet, a password, a fireplace, a tent",
    "Who needs {}?": "an umbrella, a visa, glasses, insurance, a lawyer, a helmet, a "
    "passport, a calculator, a nanny, a compass",
    "How do I choose {}?": "a mattress, a melon, a name, wine, a gift, a school, a "
    "bank, a hat, a hotel, a camera",
    "What is good about {}?": "autumn, silence, rain, Mondays, trains, mistakes, small "
    "towns, old age, winter, cities",
    "How do I make {}?": "tea, a sandwich, lemonade, a kite, popcorn, a bookshelf, a "
    "snowman, a scarf, pizza, jam",
    "What would you say to {}?": "a stranger, a tired friend, my boss, a shy child, a "
    "neighbour, the mayor, a thief, a new colleague, grandmother, a robot",
    "Can I eat {} every day?": "eggs, chocolate, apples, rice, carrots, bacon, tofu, "
    "garlic, oranges, cereal",
    "Why does {} smell?": "garlic, the sea, petrol, a rose, milk, the fridge, paint, "
    "smoke, mint, a shoe",
    "What colour is {}?": "the sky at night, a ruby, grass, a flamingo, blood, a "
    "pumpkin, coal, an emerald, sand, an aubergine",
    "What do you think of {}?": "winter sports, fast food, poetry, alarm clocks, "
    "newspapers, spiders, opera, lotteries, uniforms, selfies",
    "How can I get rid of {}?": "ants, a headache, hiccups, stress, a stain, mould, "
    "weeds, noise, rust, boredom",
}  # fmt: skip
_END = re.compile(r"[.!?][\"'”’)\]]*$")
_INNER = re.compile(r"[.!?][\"'”’)\]]*\s+\S")


@dataclass(frozen=True)
class Question:
    """What is asked, and about what.

    Attributes:
        text: the question.
        word: the last word of what it is about, in small letters.
    """

    text: str
    word: str


def questions() -> list[Question]:
    """The 300 questions, those of one kind beside each other."""
    return [
        Question(form.format(thing), thing.split()[-1].lower())
        for form, things in _ASKED.items()
        for thing in things.split(", ")
    ]


def asked(question: str) -> list[dict[str, str]]:
    """A question as a conversation of two turns, in the field's form."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": question},
    ]


def parts(answer: str, word: str) -> dict[str, int]:
    """The points of an answer, by what they are for.

    Args:
        answer: without special tokens.
        word: that the question asks about.
    """
    text, words = answer.strip(), words_of(answer)
    phrases = list(zip(words, words[1:], words[2:], strict=False))
    stem = word.removesuffix("s")
    ends = bool(_END.search(text))
    return {
        "names the word": int(any(each.startswith(stem) for each in words)),
        "whole sentence": int(ends),
        "one sentence": int(ends and not _INNER.search(text)),
        "repeats a phrase": -int(len(set(phrases)) < len(phrases)),
    }


def gold(answer: str, word: str) -> float:
    """The gold reward of an answer: the sum of its ``parts``, from −1 to 3."""
    return float(sum(parts(answer, word).values()))


def words_of(answer: str) -> list[str]:
    """The words of an answer, in small letters and without marks."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", answer.lower())


def split(folder: Path) -> tuple[Path, Path]:
    """Write the pairs into two files, as somebody has them who trains on them.

    Args:
        folder: of the files; it is there.

    Returns:
        train.jsonl, and held_out.jsonl with the ``HELD_OUT`` first ones.
    """
    lines = PAIRS.read_text(encoding="utf-8").splitlines(keepends=True)
    train, held_out = folder / "train.jsonl", folder / "held_out.jsonl"
    train.write_text("".join(lines[HELD_OUT:]), encoding="utf-8")
    held_out.write_text("".join(lines[:HELD_OUT]), encoding="utf-8")
    return train, held_out


def table(records: Sequence[Any]):
    """The pairs of the file as one table.

    Args:
        records: as ``feedback.files.read`` gives them.

    Returns:
        DataFrame[question, word, chosen, rejected, gold_chosen, gold_rejected], one
        row per pair.
    """
    import pandas as pd

    rows = []
    for record in records:
        row = {"question": record.prompt[-1].content, "word": record.extra["word"]}
        for side in ("chosen", "rejected"):
            row[side] = getattr(record, side)[0].content
            row[f"gold_{side}"] = record.extra[f"gold_{side}"]
        rows.append(row)
    return pd.DataFrame(rows)
