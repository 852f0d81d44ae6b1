"""Finding methods: by what a user types, and by what they have in common."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.catalogue.index import FAMILIES, GROUPS, Entry, plain
from workbench.catalogue.lessons import lesson_number, lessons
from workbench.core.errors import BadOption, printable
from workbench.core.suggest import suggest


@dataclass(frozen=True)
class Wanted:
    """What methods must have; an empty field asks for nothing.

    Attributes:
        families: one of these families, by folder; ``direct`` holds all of
            ``direct/links`` and its other groups.
        needs: all of these needs.
        lessons: one of these lessons.
        text: this text in key, title, objective or paper.
    """

    families: Sequence[str] = ()
    needs: Sequence[str] = ()
    lessons: Sequence[str] = ()
    text: str = ""

    def __str__(self) -> str:
        parts = {
            "family": " or ".join(self.families),
            "needs": " and ".join(self.needs),
            "lesson": " or ".join(self.lessons),
            "text": self.text and printable(repr(self.text), 80),
        }
        return ", ".join(f"{name} {part}" for name, part in parts.items() if part)


def method(word: str, entries: Mapping[str, Entry]) -> Entry | None:
    """The method that a word names: by its key, or by a name that is its alone.

    Args:
        word: a key or a title; upper and lower case, dashes and spaces are alike.
        entries: the methods to look in.
    """
    asked = plain(word)
    by_key = [entry for key, entry in entries.items() if plain(key) == asked]
    by_name = [e for e in entries.values() if asked in map(plain, e.names)]
    found = by_key or by_name
    return found[0] if len(found) == 1 else None


def near_methods(word: str, entries: Mapping[str, Entry]) -> str:
    """A phrase with the keys, or else the names, that are near to a word."""
    same = [k for k, e in entries.items() if plain(word) in map(plain, e.names)]
    if same:
        return f"; did you mean {' or '.join(same)}?"
    names = (name for entry in entries.values() for name in entry.names)
    return suggest(word, entries) or suggest(word, names)


def family_names(entries: Mapping[str, Entry]) -> dict[str, str]:
    """What families and groups are called, as ``plain`` text, and their folders.

    ``direct/links`` is also called ``links``, and by its title.
    """
    families = dict.fromkeys(entry.family for entry in entries.values())
    folders = dict.fromkeys(
        f for each in families for f in (each.partition("/")[0], each)
    )
    titles = FAMILIES | GROUPS
    names = {plain(titles.get(folder, folder)): folder for folder in folders}
    # a folder's own name is the surest, so it comes last
    names |= {plain(folder.rpartition("/")[2]): folder for folder in reversed(folders)}
    return names | {plain(folder): folder for folder in folders}


def wanted(
    entries: Mapping[str, Entry],
    families: Iterable[str] = (),
    needs: Iterable[str] = (),
    lessons: Iterable[str] = (),
    text: str = "",
) -> Wanted:
    """Filters as a user types them, with the names they stand for.

    Args:
        entries: the methods there are.
        families: families or groups by folder or title; several in one word by
            commas.
        needs: needs, likewise.
        lessons: lessons by number, name or path.
        text: any text.

    Raises:
        BadOption: there is no such family, need or lesson.
    """
    cards = [entry.card for entry in entries.values()]
    known = family_names(entries)
    consumed = {plain(need): need for card in cards for need in card.needs}
    return Wanted(
        families=tuple(_known(word, known, "family") for word in _split(families)),
        needs=tuple(_known(word, consumed, "need") for word in _split(needs)),
        lessons=tuple(_lesson(word, entries) for word in _split(lessons)),
        text=text,
    )


def chosen(entries: Mapping[str, Entry], wanted: Wanted) -> dict[str, Entry]:
    """The methods that have all that is wanted, in their order."""
    return {key: entry for key, entry in entries.items() if _fits(entry, wanted)}


def known_lessons(entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Every lesson by name, and by number those that only cards know yet."""
    names = lessons()
    numbers = {name.partition("_")[0] for name in names}
    named = {entry.card.notebook for entry in entries.values()}
    return (*names, *sorted(named - numbers))


def of_lesson(entry: Entry, number: str) -> bool:
    """Whether a lesson, or a study beside it, trains a method.

    Args:
        entry: the method.
        number: 28 is the lesson with its studies, 28a the study alone.
    """
    trained = entry.card.notebook
    return trained == number or (number.isdecimal() and trained[:2] == number)


def _fits(entry: Entry, wanted: Wanted) -> bool:
    card = entry.card
    texts = (card.key, card.title, entry.objective, card.paper)
    return (
        (not wanted.families or any(_within(entry, f) for f in wanted.families))
        and set(wanted.needs) <= set(card.needs)
        and (not wanted.lessons or any(of_lesson(entry, n) for n in wanted.lessons))
        and any(wanted.text.casefold() in text.casefold() for text in texts)
    )


def _within(entry: Entry, folder: str) -> bool:
    return f"{entry.family}/".startswith(f"{folder}/")


def _split(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield from word.split(",")


def _known(word: str, known: Mapping[str, str], what: str) -> str:
    if plain(word) in known:
        return known[plain(word)]
    full = dict.fromkeys(known.values())
    short = (name.rpartition("/")[2] for name in full)
    raise BadOption(_unknown(what, word, dict.fromkeys((*full, *short)), full))


def _lesson(word: str, entries: Mapping[str, Entry]) -> str:
    known = known_lessons(entries)
    number = lesson_number(word, known)
    if number is None:
        titles = [name.partition("_")[2] or name for name in known]
        raise BadOption(_unknown("lesson", word, titles, known))
    return number


def _unknown(
    what: str, word: str, names: Iterable[str], everything: Iterable[str]
) -> str:
    near = suggest(word, names) or f"; there are {', '.join(everything)}"
    return f"no {what} {printable(repr(word), 80)}{near}"
