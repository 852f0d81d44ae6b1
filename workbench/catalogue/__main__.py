"""``python -m workbench.catalogue --write`` renews the generated pages."""

import argparse
import sys

from workbench.catalogue import pages
from workbench.catalogue.clone import is_clone
from workbench.catalogue.collect import table
from workbench.catalogue.missing import all_problems


def main(arguments: list[str] | None = None) -> int:
    """Write or check the generated files; without an option, list the methods."""
    parser = argparse.ArgumentParser(prog="python -m workbench.catalogue")
    parser.add_argument("--write", action="store_true", help="renew the tables")
    parser.add_argument("--check", action="store_true", help="fail if they are stale")
    asked = parser.parse_args(arguments)
    if not (asked.write or asked.check):
        for row in table():
            print(f"{row['key']:14} {row['family']:24} {row['title']}")
        return 0
    if not is_clone(pages.ROOT):
        print("the generated pages lie in a clone of workbench", file=sys.stderr)
        return 1
    listed = all_problems()
    for problem in listed:
        print(problem, file=sys.stderr)
    if asked.write and not listed:
        pages.write()
    old = pages.stale() if asked.check else []
    for path in old:
        print(f"{path.name} is stale: run --write", file=sys.stderr)
    return 1 if listed or old else 0


if __name__ == "__main__":
    raise SystemExit(main())
