"""What the field calls the same thing: one table of column names, roles and keys.

``canonical`` turns a row of any of these into one with our names. What it does not
know can be named by the user (``--columns prompt=instruction,…``); what can be read in
two ways is refused.
"""

import re
from collections.abc import Mapping
from typing import Any

from workbench.feedback.row_errors import Problem
from workbench.feedback.rows import Row, kind

# our column: what others call it, the first that is there
COLUMNS = {
    "prompt": (
        "conversations", "conversation", "messages", "instruction", "question",
        "query", "prompt_messages",
    ),
    "chosen": (
        "chosen_response", "chosen_messages", "chosen_answer", "response_chosen",
        "answer_chosen", "preferred", "response_j",
    ),
    "rejected": (
        "rejected_response", "rejected_messages", "rejected_answer",
        "response_rejected", "answer_rejected", "dispreferred", "response_k",
    ),
    "label": ("kto_tag", "thumb", "thumbs_up"),
}  # fmt: skip
COMPLETION = ("response", "output", "answer", "reply")
# what stands before a prompt, or belongs to it
SYSTEM = ("system", "system_prompt", "system_message")
INPUT, HISTORY = "input", "history"
# keys of a message, and who speaks
ROLE, CONTENT = ("role", "from"), ("content", "value", "text")
ROLES = {
    "human": "user", "prompter": "user", "gpt": "assistant", "model": "assistant",
    "bot": "assistant", "chatgpt": "assistant", "observation": "tool",
}  # fmt: skip
# several responses with scores or ranks
RESPONSES = ("responses", "completions", "outputs", "candidates", "answers")
SCORES = ("scores", "rewards", "ratings")
RANKS = ("ranks", "ranking", "rankings")
TEXT = ("response", "completion", "output", "answer", "text", "content")
SCORE = ("overall_score", "score", "reward", "rating")
RANK = ("rank",)
# what a user may name with --columns
NAMED = (
    "prompt", "chosen", "rejected", "completion", "label", "system", "input", "history",
    "tools", "responses", "scores", "ranks", "users", "score_chosen", "score_rejected",
)  # fmt: skip
# two responses, and which of them is better: response_a and response_b, A and B, …
_SIDE = re.compile(
    r"(?:(response|answer|completion|output|candidate|human_ref|text|summary)_?)?"
    r"([012aAbB])"
)
VERDICTS = (
    "better_response_id", "better", "winner", "preference", "preferred", "choice",
    "overall_preference", "label", "labels", "chosen",
)  # fmt: skip
_OWN = {"prompt", "chosen", "rejected"}
# what belongs to a row of our own names as well
_MORE = {INPUT, HISTORY, *SYSTEM, "label", *COLUMNS["label"]}
_NEITHER = {"tie", "both", "draw", "equal", "none", "neither", "same"}


def canonical(row: Row, columns: Mapping[str, str] | None = None) -> Row:
    """A row with our names for what it holds.

    Args:
        row: fields of one line.
        columns: our name → the file's, from the user.

    Raises:
        Problem: a column of the user's is missing, or the row can be read in two ways.
    """
    if not columns and _OWN <= row.keys() and not _MORE & row.keys():
        return row
    made = dict(row)
    for ours, theirs in (columns or {}).items():
        if theirs not in made:
            there = ", ".join(map(str, made))
            raise Problem("missing field", f"no {theirs}; found {there}")
        made[ours] = made.pop(theirs)
    _take_sides(made)
    for ours, names in COLUMNS.items():
        _rename(made, ours, names)
    is_pair = made.get("chosen") is not None or made.get("rejected") is not None
    if is_pair and row.get("prompt") is None and _is_answered(made.get("prompt")):
        made["prompt"] = None  # a whole dialogue beside its two ends asks nothing
    elif made.get("label") is not None and not is_pair:
        _rename(made, "completion", COMPLETION)
        _split_thumb(made)
    if made.get("prompt") is None:
        _rename(made, "prompt", (INPUT, HISTORY))
    _ask(made)
    return made


def _rename(row: dict[str, Any], ours: str, names: tuple[str, ...]) -> None:
    if row.get(ours) is not None:
        return
    there = [name for name in names if row.get(name) is not None]
    if there:
        row[ours] = row.pop(there[0])


def _take_sides(row: dict[str, Any]) -> None:
    """Two responses and a verdict, as chosen and rejected."""
    if row.get("chosen") is not None and row.get("rejected") is not None:
        return
    sides: dict[str, list[tuple[str, str]]] = {}
    for name in row:
        found = _SIDE.fullmatch(str(name))
        if found and row[name] is not None:
            sides.setdefault(found[1] or "", []).append((found[2].lower(), name))
    two = [sorted(pair) for pair in sides.values() if len(pair) == 2]
    verdict = next((v for v in VERDICTS if row.get(v) is not None), None)
    if len(two) != 1 or verdict is None:
        return
    (first, one), (second, other) = two[0]
    if _better(row[verdict], verdict, one, first, second):
        row["chosen"], row["rejected"] = row[one], row[other]
    else:
        row["chosen"], row["rejected"] = row[other], row[one]
    for name in {one, other, verdict} - {"chosen"}:
        del row[name]


def _better(value: object, name: str, one: str, first: str, second: str) -> bool:
    """Whether a verdict means the first of two responses."""
    if name == "overall_preference" and isinstance(value, int | float):
        if value == 0:
            raise Problem("tie", f"{name} is 0")
        return value < 0  # HelpSteer: from −3, the first is much better, to 3
    if name == "labels" and one.startswith("human_ref") and value in (0, 1):
        return value == 1  # SHP: 1 says that A is preferred
    text = str(value).strip().lower()
    if text in _NEITHER:
        raise Problem("tie", f"{name} is {value!r}")
    last = re.split(r"[_\s]", text)[-1]
    if isinstance(value, bool) or last not in (first, second):
        detail = f"{name} is {value!r}; is {first!r} meant, or {second!r}?"
        raise Problem("unclear verdict", detail)
    return last == first


def _split_thumb(row: dict[str, Any]) -> None:
    """A dialogue with a thumb: its last turn is what the thumb is for."""
    talk = row.get("prompt")
    if row.get("completion") is None and isinstance(talk, list) and len(talk) > 1:
        row["prompt"], row["completion"] = talk[:-1], talk[-1:]


def _is_answered(talk: object) -> bool:
    """Whether a list of messages ends with a turn of the assistant."""
    last = talk[-1] if isinstance(talk, list) and talk else None
    who = [last.get(key) for key in ROLE] if isinstance(last, dict) else []
    return any(r == "assistant" or ROLES.get(str(r)) == "assistant" for r in who)


def _ask(row: dict[str, Any]) -> None:
    """Input, history and system message become part of the prompt."""
    prompt = row.get("prompt")
    if isinstance(prompt, str) and isinstance(row.get(INPUT), str):
        more = row.pop(INPUT)
        row["prompt"] = prompt = f"{prompt}\n{more}" if more.strip() else prompt
    if prompt is None:  # dialogues: what stands beside them is named as unused
        return
    named = [name for name in SYSTEM if name in row]
    said = [text for text in map(row.pop, named) if text is not None and text != ""]
    if len(said) > 1:
        raise Problem("two system messages", " and ".join(named))
    earlier = row.pop(HISTORY, None) or []
    if not (said or earlier):
        return
    talk = list(prompt) if isinstance(prompt, list) else [_message("user", prompt)]
    talk = [*_turns(earlier), *talk]
    if said:
        if any(_is_system(turn) for turn in talk):
            raise Problem("two system messages", f"{named[0]}, and one in the prompt")
        talk.insert(0, _message("system", said[0]))
    row["prompt"] = talk


def _turns(history: object) -> list[Any]:
    """Earlier turns: messages, or pairs of a question and its answer."""
    if not isinstance(history, list):
        raise Problem("wrong type", f"{HISTORY} is {kind(history)}, not a list")
    turns: list[Any] = []
    for i, turn in enumerate(history):
        if isinstance(turn, dict):
            turns.append(turn)
        elif isinstance(turn, list) and len(turn) == 2:
            turns += map(_message, ("user", "assistant"), turn)
        else:
            what = f"{HISTORY}[{i}] is no question with its answer, and no message"
            raise Problem("wrong type", what)
    return turns


def _message(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def _is_system(turn: object) -> bool:
    return isinstance(turn, dict) and any(turn.get(k) == "system" for k in ROLE)
