"""A plotly figure that changes in place while a control is dragged."""

import html
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from workbench.views.fig import Fig


class LivePicture:
    """The picture of an instrument.

    A figure with the same kinds of marks as the one before is changed in place, which
    takes milliseconds; another one is drawn anew.

    Args:
        figure: what is shown first.
        picks: per name of a series, what is done with the number of a clicked point.

    Attributes:
        widget: the ipywidget; without the package anywidget, an image.
    """

    def __init__(
        self, figure: Fig, picks: Mapping[str, Callable[[int], object]] | None = None
    ):
        self._picks = dict(picks or {})
        self._plotly: Any = _figure_widget(figure)
        self._listen()
        self._image: Any = None
        if self._plotly is None:
            from ipywidgets import HTML

            self._image = HTML(_image(figure))
        self.widget = self._plotly if self._image is None else self._image

    def show(self, figure: Fig) -> None:
        """Show another figure.

        Args:
            figure: drawn instead of the present one.
        """
        if self._image is not None:
            self._image.value = _image(figure)
            return
        now, new = self._plotly, figure.plotly
        kinds = [trace["type"] for trace in new["data"]]
        with now.batch_update():
            if kinds == [trace.type for trace in now.data]:
                for trace, values in zip(now.data, new["data"], strict=True):
                    trace.update(values, overwrite=True)
            else:
                now.data = []
                now.add_traces(new["data"])
                self._listen()
            now.layout.update(new["layout"], overwrite=True)

    def _listen(self) -> None:
        """Wait for clicks: a trace that was drawn anew knows of none."""
        for trace in () if self._plotly is None else self._plotly.data:
            if act := self._picks.get(trace.name):
                trace.on_click(
                    lambda _, points, __, act=act: (
                        act(points.point_inds[0]) if points.point_inds else None
                    )
                )


def _figure_widget(figure: Fig) -> Any:
    """A FigureWidget, or None where anywidget, which carries it, is not installed."""
    from plotly.graph_objects import FigureWidget

    try:
        return FigureWidget(figure.plotly)
    except ImportError:
        return None


def _image(figure: Fig) -> str:
    source = b64encode(figure.png).decode()
    return f'<img alt="{html.escape(figure.alt)}" src="data:image/png;base64,{source}">'
