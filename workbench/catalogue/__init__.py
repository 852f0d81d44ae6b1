"""The methods, collected from their cards: tables, METHODS.md, generic tests.

Nothing is registered by hand. Every module below ``workbench.methods`` with a ``card``
is a method. ``python -m workbench.catalogue --write`` renews METHODS.md, CLAIMS.md and
the tables of README.md, ``--check`` tells whether they are up to date.
"""

from workbench.catalogue.collect import (
    ENTRY_POINTS,
    FAMILIES,
    all_problems,
    entry_point,
    known_mistakes,
    methods,
    problems,
    section,
    table,
)
from workbench.catalogue.pages import (
    ROOT,
    between,
    claims,
    claims_markdown,
    claims_page,
    generated,
    methods_markdown,
    methods_page,
    stale,
)

__all__ = [
    "ENTRY_POINTS",
    "FAMILIES",
    "ROOT",
    "all_problems",
    "between",
    "claims",
    "claims_markdown",
    "claims_page",
    "entry_point",
    "generated",
    "known_mistakes",
    "methods",
    "methods_markdown",
    "methods_page",
    "problems",
    "section",
    "stale",
    "table",
]
