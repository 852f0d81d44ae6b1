"""One figure object for every place a notebook is read in.

Live in JupyterLab (plotly JSON), a picture in HTML and on GitHub (PNG drawn by
matplotlib), a sentence for those who cannot see it; below it a caption that could
be false and the data as a table.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.views import draw_matplotlib, draw_plotly
from workbench.views.chart import Panels
from workbench.views.table import below_figure

PLOTLY = "application/vnd.plotly.v1+json"


@dataclass(frozen=True)
class Fig:
    """A drawn chart with its caption and data.

    Args:
        panels: what is drawn.
        caption: one sentence that could be false.
        data: the numbers behind the picture, shown as a folded table.
        rows: how many rows the table shows at most.

    Raises:
        ValueError: the caption is empty.
    """

    panels: Panels
    caption: str
    data: pd.DataFrame
    rows: int = 12

    def __post_init__(self) -> None:
        if not self.caption.strip():
            raise ValueError(
                "a figure needs a caption: one sentence that could be false"
            )

    @cached_property
    def png(self) -> bytes:
        """The picture, drawn by matplotlib."""
        return draw_matplotlib.render(self.panels)

    @cached_property
    def plotly(self) -> dict[str, Any]:
        """The live figure as plotly JSON; `plotly.graph_objects.Figure(fig.plotly)`."""
        return draw_plotly.render(self.panels)

    @property
    def alt(self) -> str:
        """One sentence for readers who do not see the picture."""
        heads = [self.panels.title, *(chart.title for chart in self.panels.charts)]
        shown = "; ".join(
            f"{chart.y_label} against {chart.x_label}"
            for chart in self.panels.charts
            if chart.x_label and chart.y_label
        )
        parts = [". ".join(head for head in heads if head), shown, self.caption.strip()]
        return "Figure: " + ". ".join(part.rstrip(".") for part in parts if part) + "."

    @property
    def html_below(self) -> str:
        """Caption and folded data table, escaped."""
        return below_figure(self.caption, self.data, self.rows)

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        """The picture alone: text/html here would hide the PNG from nbconvert."""
        bundle = {PLOTLY: self.plotly, "image/png": self.png, "text/plain": self.alt}
        # the file has twice the pixels: the page shows it at the size of its inches
        wide, high = (round(side * draw_matplotlib.DPI) for side in self.panels.size)
        shown = {"alt": self.alt, "width": wide, "height": high}
        return bundle, {"image/png": shown}

    def _ipython_display_(self) -> None:
        """Show the picture, then caption and table as a second output."""
        from base64 import b64encode

        from IPython.display import display

        bundle, metadata = self._repr_mimebundle_()
        bundle = bundle | {"image/png": b64encode(self.png).decode()}
        display(bundle, metadata=metadata, raw=True)
        below = {"text/html": self.html_below, "text/plain": self.caption}
        display(below, raw=True)

    def save(self, path: str | Path) -> Path:
        """Write the PNG to `path` and return it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.png)
        return path
