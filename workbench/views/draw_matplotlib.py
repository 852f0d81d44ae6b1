"""Draw `Panels` with matplotlib, off screen, the same bytes every time."""

import io
import warnings

from workbench.views.chart import Chart, Panels
from workbench.views.marks_matplotlib import Place, draw, plain
from workbench.views.style import GREY

DPI = 100  # two panels fit the 865 pixels of a notebook cell on a small screen
SHARP = 2  # pixels of the file per pixel of the page: crisp on a dense screen
COLOURS = 64  # a palette image is a third of a full-colour one
_RC = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
}


def _decorate(axes, chart: Chart) -> None:
    axes.set_title(plain(chart.title), loc="left")
    axes.set_xlabel(plain(chart.x_label))
    axes.set_ylabel(plain(chart.y_label))
    if chart.x_log:
        axes.set_xscale("log")
    if chart.y_log:
        axes.set_yscale("log")
    if chart.x_range:
        axes.set_xlim(*chart.x_range)
    if chart.y_range:
        axes.set_ylim(*chart.y_range)
    if chart.x_ticks:
        axes.set_xticks(chart.x_ticks, [f"{at:g}" for at in chart.x_ticks])
        axes.minorticks_off()
    if chart.x_names:
        names = [plain(name, 24) for name in chart.x_names]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.6, len(names) - 0.4)
    if chart.bare:
        axes.set_aspect("equal")
        axes.set_axis_off()


def _legend(axes, below, chart: Chart, columns: int) -> None:
    """Put the legend of `axes` into the empty axes under it."""
    from matplotlib.patches import Patch

    below.set_axis_off()
    handles, labels = axes.get_legend_handles_labels()
    if chart.note:
        handles.append(Patch(color=GREY, alpha=0.35 if chart.notes_band else 0.0))
        labels.append(plain(chart.note))
    if handles:
        box = {
            "loc": "upper left",
            "borderaxespad": 0.0,
            "frameon": False,
            "ncols": columns,
        }
        below.legend(handles, labels, **box)


def _compose(figure, panels: Panels) -> None:
    charts = panels.charts
    ratios = [panels.height, panels.legend_height]
    grid = {"height_ratios": ratios, "width_ratios": panels.widths}
    top, bottom = figure.subplots(2, len(charts), squeeze=False, gridspec_kw=grid)
    for chart, axes, below in zip(charts, top, bottom, strict=True):
        bars = chart.bar_layers
        for layer in chart.drawn:
            index = next((i for i, bar in enumerate(bars) if bar is layer), 0)
            draw(layer, axes, Place(index, len(bars), chart.horizontal))
        _decorate(axes, chart)
        _legend(axes, below, chart, panels.legend_columns)
    if panels.title:
        figure.suptitle(plain(panels.title), x=0.01, ha="left", fontsize=11)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def _palette(png: bytes, panels: Panels) -> bytes:
    """The same picture in few colours, those of its series among them exactly.

    Median cut gives colours to what covers many pixels, and a thin line would take
    the colour of its neighbour: so the colours of the series are not left to it.
    """
    import numpy as np
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    cut = picture.quantize(COLOURS, dither=Image.Dither.NONE).getpalette() or []
    kept = dict.fromkeys([(255, 255, 255), *map(_rgb, panels.colours)])
    levels = np.array([*kept, *zip(*[iter(cut)] * 3, strict=True)][:256])
    # one integer per colour sorts much faster than rows of three
    packed = np.array(picture).astype("int32") @ np.array([1 << 16, 1 << 8, 1])
    seen, which = np.unique(packed, return_inverse=True)
    colours = np.stack([seen >> 16, seen >> 8 & 255, seen & 255], axis=1)
    gaps = np.stack([((colours - level) ** 2).sum(1) for level in levels])
    nearest = gaps.argmin(0).astype("uint8")[which.reshape(packed.shape)]
    drawn = Image.fromarray(nearest)
    drawn.putpalette(levels.astype("uint8").tobytes())
    small = io.BytesIO()
    drawn.save(small, format="png", optimize=True)
    return small.getvalue()


def render(panels: Panels) -> bytes:
    """Draw `panels`.

    Args:
        panels: what to draw.

    Returns:
        A PNG file's bytes; the same panels give the same bytes on one machine.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    png = io.BytesIO()
    # The caller's rcParams must not leak in, nor ours out.
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcParams.update(matplotlib.rcParamsDefault)
        matplotlib.rcParams.update(_RC)
        # Data may hold any script; a missing glyph is drawn as a box, not reported.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        sharp = SHARP * DPI
        figure = Figure(figsize=panels.size, dpi=sharp, layout="constrained")
        FigureCanvasAgg(figure)
        _compose(figure, panels)
        figure.savefig(png, format="png", metadata={"Software": None})
    return _palette(png.getvalue(), panels)
