"""The frame in which a notebook shows what was found: a coloured line on the left."""

BLUE, RED = "#0072b2", "#d55e00"


def framed(inner: str, colour: str = BLUE) -> str:
    """HTML in the frame.

    Args:
        inner: HTML, escaped already.
        colour: of the line.
    """
    return f"<div style='border-left:4px solid {colour};padding:4px 10px'>{inner}</div>"


def sign(passed: bool) -> str:
    """✓ or ✗."""
    return "✓" if passed else "✗"


def colour_of(passed: bool) -> str:
    """Blue for what passed, red for what did not."""
    return BLUE if passed else RED
