"""The methods, collected from their cards: tables, METHODS.md, generic tests.

Nothing is registered by hand. Every module below ``workbench.methods`` with a ``card``
is a method. ``cards`` reads the files without importing them, ``methods`` imports them.
``python -m workbench.catalogue --write`` renews METHODS.md, CLAIMS.md, the tables of
README.md and the claims that the package ships; ``--check`` tells whether they are up
to date.
"""

from workbench.catalogue.collect import (
    ENTRY_POINTS,
    all_problems,
    entry_point,
    known_mistakes,
    methods,
    problems,
    section,
    table,
)
from workbench.catalogue.describe import card_fields, describe
from workbench.catalogue.index import FAMILIES, Entry, cards
from workbench.catalogue.pages import (
    ROOT,
    between,
    claims,
    claims_markdown,
    claims_page,
    generated,
    methods_markdown,
    methods_page,
    seen,
    stale,
)
from workbench.catalogue.select import Wanted, chosen, method, near_methods, wanted

__all__ = [
    "ENTRY_POINTS",
    "FAMILIES",
    "ROOT",
    "Entry",
    "Wanted",
    "all_problems",
    "between",
    "card_fields",
    "cards",
    "chosen",
    "claims",
    "claims_markdown",
    "claims_page",
    "describe",
    "entry_point",
    "generated",
    "known_mistakes",
    "method",
    "methods",
    "methods_markdown",
    "methods_page",
    "near_methods",
    "problems",
    "section",
    "seen",
    "stale",
    "table",
    "wanted",
]
