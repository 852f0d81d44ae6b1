"""A figure is a picture, a live plot, a sentence, a caption and a table."""

import io
import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.views.conftest import CAPTION
from workbench.views.fig import PLOTLY, Fig

KINDS = (
    "implicit_rewards",
    "token_bars",
    "token_heat",
    "kl_drift",
    "kl_seeds",
    "overoptimisation",
    "frontier",
    "reliability",
    "simplex",
    "training",
    "bars",
    "distribution",
    "sweep",
    "points",
    "displacement",
    "unseen_mass",
)


def test_every_kind_of_figure_is_in_the_list(figures):
    assert set(KINDS) == set(figures)


@pytest.mark.parametrize("kind", KINDS)
def test_plotly_accepts_the_live_figure_and_it_is_small(figures, kind):
    import plotly.graph_objects as go

    live = figures[kind].plotly
    go.Figure(live)
    text = json.dumps(live, allow_nan=False)
    assert len(text) < 12_000
    floats = [float(found) for found in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text)]
    assert all(value == float(f"{value:.5g}") for value in floats)


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_is_a_small_png_and_drawn_alike_twice(figures, kind):
    from PIL import Image

    figure = figures[kind]
    again = Fig(figure.panels, figure.caption, figure.data)
    assert again.png == figure.png
    assert len(figure.png) < 60_000
    picture = Image.open(io.BytesIO(figure.png))
    assert picture.format == "PNG" and picture.width <= 1800
    edges = (picture.crop((0, 0, picture.width, 1)), picture.crop((0, 0, 1, 600)))
    for edge in edges:  # nothing is cut off at the top or on the left
        assert edge.convert("L").getextrema() == (255, 255)


@pytest.mark.parametrize("kind", KINDS)
def test_axes_name_their_quantity_and_unit(figures, kind):
    for chart in figures[kind].panels.charts:
        if not chart.bare:
            assert chart.x_label or chart.y_label
        for label in (chart.x_label, chart.y_label):
            if "reward" in label or label.startswith(("KL", "√KL")):
                assert re.search(r"\(.*(units|nats).*\)", label), label


def test_the_picture_outranks_html_because_there_is_none_beside_it(figures):
    bundle, metadata = figures["frontier"]._repr_mimebundle_()
    assert set(bundle) == {PLOTLY, "image/png", "text/plain"}
    assert (
        metadata["image/png"]["alt"] == bundle["text/plain"] == figures["frontier"].alt
    )
    assert (
        "gold reward" in figures["frontier"].alt
        and CAPTION[:10] in bundle["text/plain"]
    )


def test_text_from_data_is_escaped_everywhere(figures):
    figure = figures["token_heat"]
    assert "<script" not in figure.html_below
    assert (
        "&lt;script&gt;" in figure.html_below and "&lt;after&gt;" in figure.html_below
    )
    assert "<script" not in json.dumps(figure.plotly)


def test_dollar_signs_are_letters_and_no_formula(figures):
    """`$x^$` is no valid mathtext: drawing it as such would raise."""
    assert figures["token_heat"].png
    assert "$" not in json.dumps(figures["token_heat"].plotly)


def test_an_empty_caption_is_refused(figures):
    with pytest.raises(ValueError, match="caption"):
        Fig(figures["bars"].panels, "  ", figures["bars"].data)


def test_the_table_says_how_many_rows_are_left_out(figures):
    assert "Data (12 of 33 rows)" in figures["implicit_rewards"].html_below
    assert "Data (5 rows)" in figures["token_heat"].html_below


def test_a_script_without_glyphs_draws_without_a_warning():
    """The runner fails a notebook on stderr, and matplotlib warns about glyphs."""
    import pandas as pd

    from workbench import views

    frame = pd.DataFrame({"position": [0], "token": ["好看"], "reward": [1.0]})
    assert views.token_rewards(frame, caption="One word.").png


def test_the_callers_matplotlib_settings_stay_out_and_untouched(figures):
    import matplotlib

    figure = figures["bars"]
    with matplotlib.rc_context({"font.size": 30}):
        assert Fig(figure.panels, figure.caption, figure.data).png == figure.png
        assert matplotlib.rcParams["font.size"] == 30


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook that shows one figure, executed by a real kernel."""
    import os
    from pathlib import Path

    from nbclient import NotebookClient

    root = Path(__file__).resolve().parents[2]
    source = (
        "from tests.views.frames import training\n"
        "from workbench import views\n"
        "views.implicit_rewards(training(), caption='Both <b>fall</b>.')"
    )
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    book = new_notebook(cells=[new_code_cell(source)], metadata=kernel)
    with pytest.MonkeyPatch.context() as patch:
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        patch.setenv("PYTHONPATH", path)
        NotebookClient(book, timeout=120).execute()
    return book


def test_an_executed_notebook_stores_live_plot_picture_and_caption(executed):
    kinds = [set(output.data) for output in executed.cells[0].outputs]
    assert kinds == [{PLOTLY, "image/png", "text/plain"}, {"text/html", "text/plain"}]
    assert len(nbformat.writes(executed)) < 80_000


def test_the_html_of_a_notebook_holds_the_picture_and_no_plotly(executed):
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter(template_name="lab").from_notebook_node(executed)
    assert len(re.findall(r"<img[^>]*data:image/png;base64", page)) == 1
    assert "Both &lt;b&gt;fall&lt;/b&gt;." in page
    assert "<summary>Data (12 of 33 rows)" in page
    assert "Plotly.newPlot" not in page and "plotly.min.js" not in page


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_has_every_colour_of_its_series_exactly(figures, kind):
    """A palette by median cut gave thin lines the colour of their neighbour."""
    import numpy as np
    from PIL import Image

    figure = figures[kind]
    picture = np.array(Image.open(io.BytesIO(figure.png)).convert("RGB")).reshape(-1, 3)
    drawn = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(picture, axis=0)}
    assert set(figure.panels.colours) <= drawn
    assert "#ffffff" in drawn


def test_the_picture_is_shown_at_half_of_its_pixels(figures):
    """Twice the pixels are for dense screens: the page keeps the size in inches."""
    from PIL import Image

    figure = figures["bars"]
    shown = figure._repr_mimebundle_()[1]["image/png"]
    picture = Image.open(io.BytesIO(figure.png))
    assert (picture.width, picture.height) == (2 * shown["width"], 2 * shown["height"])
