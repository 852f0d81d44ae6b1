"""A known mistake counts as known when some check refuses it."""

from collections.abc import Callable, Sequence


def assert_caught(wrong: Callable, checks: Sequence[Callable]) -> None:
    """Passes when at least one check fails on the wrong version.

    Args:
        wrong: an entry of a method's ``mistakes``.
        checks: functions of a loss that raise AssertionError; an error of any other
            kind is a broken check, and comes through.
    """
    for check in checks:
        try:
            check(wrong)
        except AssertionError:
            return
    names = ", ".join(check.__name__ for check in checks)
    raise AssertionError(f"none of {names} sees anything wrong")
