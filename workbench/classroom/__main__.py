"""``python -m workbench.classroom --write`` renews the table of TEACHING.md."""

import argparse
import sys

from workbench.classroom import syllabus
from workbench.runner.series import find_root


def main(arguments: list[str] | None = None) -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(prog="python -m workbench.classroom")
    parser.add_argument("--write", action="store_true", help="renew the table")
    parser.add_argument("--check", action="store_true", help="fail if it is stale")
    asked = parser.parse_args(arguments)
    root = find_root()
    if asked.write:
        syllabus.write(root)
    if asked.check and syllabus.is_stale(root):
        print(f"{syllabus.PAGE} is stale: run --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
