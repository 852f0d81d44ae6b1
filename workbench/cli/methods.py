"""`workbench methods`: what there is to train."""

from typing import Annotated

import typer

from workbench.cli.common import fail


def methods(
    key: Annotated[str | None, typer.Argument(help="Show one method in full.")] = None,
) -> None:
    """List the methods, or show the docstring of one."""
    import inspect

    from workbench import catalogue

    if key is None:
        rows = catalogue.table()
        width = max((len(row["key"]) for row in rows), default=0)
        for row in rows:
            typer.echo(f"{row['key']:<{width}}  {row['family']:<10}  {row['title']}")
        return
    found = catalogue.methods()
    if key not in found:
        fail(f"no method {key!r}; there are {', '.join(found)}")
    typer.echo(inspect.getdoc(found[key]))
