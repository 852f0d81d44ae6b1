"""nbformat without a second of preparation for addresses that no notebook has."""

import sys


def leave_out() -> None:
    """Import nbformat without jsonschema's check of international web addresses.

    nbformat imports jsonschema, which imports rfc3987_syntax where that is installed
    (jupyter_events wants it), and that compiles a grammar: a second of processor time
    in every process that reads a notebook. jsonschema does without where the import
    fails, and the format of notebooks has no such address.
    """
    absent = "rfc3987_syntax"
    if absent in sys.modules or "jsonschema" in sys.modules:
        return
    sys.modules[absent] = None  # type: ignore[assignment]
    try:
        import nbformat  # noqa: F401
    finally:
        del sys.modules[absent]
