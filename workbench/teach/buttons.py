"""A prediction in a live notebook: buttons to click, or a line to write into.

The question is an output of its own, which a click renews, so that a saved notebook
shows the answer; the buttons are another one.
"""

import html
from collections.abc import Callable
from typing import Any

from workbench.teach.box import framed


def show(prediction: Any, choose: Callable[[str], tuple[Any, bool]]) -> Any:
    """Show a prediction with its control.

    Args:
        prediction: the question, its options and the answer so far.
        choose: keeps an answer; returns the prediction with it, and whether it will
            be there for the next kernel.

    Returns:
        The control, an ipywidget.
    """
    from IPython.display import display

    shown = display(bundle(prediction), raw=True, display_id=True)
    widget = control(prediction)

    def changed(change: dict[str, Any]) -> None:
        made, stays = choose(change["new"] or "")
        if shown is not None:
            shown.update(bundle(made, stays), raw=True)

    widget.observe(changed, names="value")
    display(widget)
    return widget


def control(prediction: Any) -> Any:
    """Toggle buttons, one an option; a line of text where anything may be said."""
    from ipywidgets import Layout, Text, ToggleButtons

    if not prediction.options:
        return Text(
            value=prediction.mine,
            placeholder="your answer, then Enter",
            continuous_update=False,
            layout=Layout(width="34em"),
        )
    return ToggleButtons(
        options=list(prediction.options),
        value=prediction.mine or None,
        tooltips=[f"answer {option}" for option in prediction.options],
        style={"button_width": "auto"},
    )


def bundle(prediction: Any, stays: bool = True) -> dict[str, str]:
    """The question and the answer so far, as HTML and text.

    Args:
        prediction: what to show.
        stays: whether the next kernel will know the answer.
    """
    where = "choose below" if prediction.options else "write it below"
    told = html.escape(prediction.mine) or f"none yet: {where}"
    lost = "" if stays else " (until the kernel ends: this folder keeps no answers)"
    rows = [
        f"<b>Prediction {html.escape(prediction.id)}.</b> "
        f"{html.escape(prediction.question)}",
        f"<span role='status'>Your answer: <i>{told}</i>{lost}</span>",
    ]
    return {"text/html": framed("<br>".join(rows)), "text/plain": repr(prediction)}
