"""Make workbench/data/preferences/everyday.jsonl: 300 pairs of answers by SmolLM2.

The questions are our own (``workbench.worlds.everyday``). SmolLM2-135M-Instruct draws
two answers to each at temperature 1, of at most 32 tokens; one that does not end by
itself is cut there. An annotator who sees the gold reward, who likes long answers and
errs, calls one of them better. Same versions, same file.

    python data/make_preferences.py
"""

import json

import torch

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.models import checkpoint, prompts, smollm
from workbench.worlds import everyday

MAX_NEW = 32  # tokens
AT_ONCE = 50  # questions
TRIES = 20


def answers(policy, coder, asked: list[everyday.Question], stream) -> list[dict]:
    """Two different answers to each question, with length and gold reward."""
    lead = [prompt(coder, question.text) for question in asked for _ in range(2)]
    for _ in range(TRIES):
        tokens = prompts.respond(policy, lead, MAX_NEW, stream)
        texts = prompts.written(coder, tokens)
        if all(a.strip() and b.strip() and a != b
               for a, b in zip(texts[::2], texts[1::2], strict=True)):  # fmt: skip
            break
    else:
        raise RuntimeError("the model keeps answering the same")
    words = [question.word for question in asked for _ in range(2)]
    return [
        {"text": text, "tokens": length, "gold": everyday.gold(text, word)}
        for text, length, word in zip(
            texts, tokens.lengths.tolist(), words, strict=True
        )
    ]


def prompt(coder, question: str) -> list[int]:
    """A question as the model is asked it, in tokens."""
    text = coder.apply_chat_template(
        everyday.asked(question), tokenize=False, add_generation_prompt=True
    )
    return coder(text, add_special_tokens=False).input_ids


def labelled(questions: list[everyday.Question], drawn: list[dict]) -> list[dict]:
    """Rows of the file: two answers to each question, compared, in random order."""
    lengths = torch.tensor([one["tokens"] for one in drawn]).unflatten(0, (-1, 2))
    gold = torch.tensor([one["gold"] for one in drawn]).unflatten(0, (-1, 2))
    annotator = Annotator(**everyday.LABELLED)
    wins = annotator.prefers_first(*gold.T, generator(0, "labels"), *lengths.T)
    rows = []
    for i in torch.randperm(len(questions), generator=generator(0, "order")).tolist():
        pair = drawn[2 * i], drawn[2 * i + 1]
        better, worse = pair if wins[i] else pair[::-1]
        row: dict = {"prompt": everyday.asked(questions[i].text)}
        for name, one in (("chosen", better), ("rejected", worse)):
            row[name] = [{"role": "assistant", "content": one["text"]}]
            row[f"gold_{name}"] = one["gold"]
        rows.append(row | {"word": questions[i].word})
    return rows


def main() -> None:
    """Draw, label, shuffle and write; say what came out."""
    torch.set_num_threads(1)
    policy, coder = checkpoint.load(smollm.folder())
    questions, stream = everyday.questions(), generator(0, "preferences")
    drawn: list[dict] = []
    for at in range(0, len(questions), AT_ONCE):
        drawn += answers(policy, coder, questions[at : at + AT_ONCE], stream)
    rows = labelled(questions, drawn)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    everyday.PAIRS.parent.mkdir(parents=True, exist_ok=True)
    everyday.PAIRS.write_text(text, encoding="utf-8")
    right = sum(row["gold_chosen"] > row["gold_rejected"] for row in rows)
    wrong = sum(row["gold_chosen"] < row["gold_rejected"] for row in rows)
    print(f"{len(rows)} pairs; of their labels gold shares {right}, denies {wrong}")


if __name__ == "__main__":
    main()
