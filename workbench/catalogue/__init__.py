"""The methods, collected from their cards: tables, METHODS.md, generic tests.

Nothing is registered by hand. Every module below ``workbench.methods`` with a ``card``
is a method. ``cards`` reads the files without importing them, ``methods`` imports them.
``python -m workbench.catalogue --write`` renews METHODS.md, CLAIMS.md, the tables of
README.md and the claims that the package ships; ``--check`` tells whether they are up
to date.
"""

from workbench.catalogue.clone import ROOT
from workbench.catalogue.collect import (
    ENTRY_POINTS,
    entry_point,
    known_mistakes,
    methods,
    section,
    table,
)
from workbench.catalogue.describe import describe
from workbench.catalogue.index import (
    FAMILIES,
    GROUPS,
    Entry,
    card_fields,
    cards,
    family_of,
    family_title,
    loop_name,
)
from workbench.catalogue.method_pages import methods_markdown, methods_page
from workbench.catalogue.missing import all_problems, problems
from workbench.catalogue.pages import (
    between,
    claims,
    claims_markdown,
    claims_page,
    generated,
    seen,
    stale,
)
from workbench.catalogue.select import (
    Wanted,
    chosen,
    family_names,
    method,
    near_methods,
    wanted,
)

__all__ = [
    "ENTRY_POINTS",
    "FAMILIES",
    "GROUPS",
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
    "family_names",
    "family_of",
    "family_title",
    "generated",
    "known_mistakes",
    "loop_name",
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
