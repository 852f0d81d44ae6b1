"""What the catalogue knows of a method."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """One method in a table row.

    Attributes:
        key: short name, the module's name.
        title: full name.
        family: folder of the method: supervised, reward, offline, online, games,
            values or decoding.
        parents: keys of the methods it changes one thing of.
        needs: what it consumes (pairs, responses, rollouts, reward, reference,
            value head, preference oracle, group).
        paper: authors, year and identifier.
        check: the exact check, in one sentence.
        claim: what the paper says, in one sentence.
        notebook: number of the notebook that trains it.
    """

    key: str
    title: str
    family: str
    parents: tuple[str, ...]
    needs: tuple[str, ...]
    paper: str
    check: str
    claim: str
    notebook: str
