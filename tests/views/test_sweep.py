"""Lines of a swept value, methods as points, labels that cover nothing."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tests.views import frames
from tests.views.test_views import layers
from workbench import views
from workbench.views import label_placement
from workbench.views.layers import Band, HLine, Line, Points, Text
from workbench.views.scatter import means, outer
from workbench.views.style import DATA, METHODS, looks
from workbench.views.sweep import ticks
from workbench.views.unseen_mass import UNIT

SAID = {"caption": "Something."}
GOLD = {"gold": "gold (reward units)"}


def lines(figure, panel=0):
    """The lines of a panel by label."""
    return {line.label: line for line in layers(figure, Line, panel)}


def test_a_line_joins_the_means_and_its_band_is_over_seeds():
    figure = views.sweep(frames.swept(3), "flip", GOLD, "method", **SAID)
    dpo, band = lines(figure)["dpo"], layers(figure, Band)[0]
    assert dpo.x == [0.0, 0.2, 0.4] and dpo.markers
    assert dpo.y == pytest.approx([1.1, 0.9, 0.7])
    assert band.low == pytest.approx([1.0, 0.8, 0.6])
    assert band.high == pytest.approx([1.2, 1.0, 0.8])
    assert figure.panels.charts[0].note == "band: min–max over 3 seeds"
    assert dpo.style == METHODS["dpo"]


def test_a_number_is_a_level_and_a_frame_a_black_curve():
    level = views.sweep(frames.swept(), "flip", GOLD, "method", exact=0.5, **SAID)
    assert layers(level, HLine)[0].y == 0.5
    truth = pd.DataFrame({"flip": [0.4, 0.0], "gold": [0.6, 1.0]})
    curve = views.sweep(frames.swept(), "flip", GOLD, "method", exact=truth, **SAID)
    drawn = lines(curve)["exact"]
    assert (drawn.x, drawn.y) == ([0.0, 0.4], [1.0, 0.6])
    assert (drawn.style.colour, drawn.style.dash) == ("#000000", "dash")


def test_exact_curves_of_their_own_have_the_colour_of_their_line():
    figure = views.sweep(
        frames.swept(), "flip", GOLD, "method", exact=frames.swept(1), **SAID
    )
    drawn = layers(figure, Line)
    dashed = [la for la in drawn if la.style.dash == "dash" and not la.label]
    solid = {la.label: la for la in drawn if la.markers}
    colours = [la.style.colour for la in dashed]
    assert colours == [solid[k].style.colour for k in ("dpo", "a_new_one")]
    assert dashed[0].y == pytest.approx([1.0, 0.8, 0.6])
    assert figure.panels.charts[0].legend.count("exact") == 1


def test_each_panel_has_its_own_exact_value():
    figure = views.sweep(
        frames.swept(), "flip", GOLD | {"kl": "KL (nats)"}, exact={"kl": 1.0}, **SAID
    )
    assert layers(figure, HLine, 0) == [] and layers(figure, HLine, 1)[0].y == 1.0


def test_a_missing_value_is_left_out():
    frame = frames.swept(1)
    frame.loc[(frame["flip"] == 0.2), "gold"] = np.nan
    figure = views.sweep(frame, "flip", GOLD, "method", **SAID)
    assert lines(figure)["dpo"].x == [0.0, 0.4]


def test_names_and_zero_on_a_log_axis_are_refused():
    with pytest.raises(TypeError, match="bars"):
        views.sweep(frames.swept(), "method", GOLD, **SAID)
    with pytest.raises(ValueError, match="log axis"):
        views.sweep(frames.swept(), "flip", GOLD, log_x=True, **SAID)


def test_the_axis_is_labelled_at_the_swept_values_where_they_fit():
    betas = pd.Series([0.03, 0.1, 0.3, 1.0, 3.0] * 2)
    assert ticks(betas, log=True) == [0.03, 0.1, 0.3, 1.0, 3.0]
    assert ticks(betas, log=False) == []  # the small ones would collide
    figure = views.sweep(frames.swept(), "flip", GOLD, "method", **SAID)
    assert figure.panels.charts[0].x_ticks == [0.0, 0.2, 0.4]
    axis = figure.plotly["layout"]["xaxis"]
    assert (axis["tickvals"], axis["ticktext"]) == ([0, 0.2, 0.4], ["0", "0.2", "0.4"])


def test_lines_of_one_chart_never_look_alike():
    names = ["dpo", "ipo", *(f"new_{i}" for i in range(12))]
    chosen = looks(names)
    assert list(chosen) == names and chosen["dpo"] == METHODS["dpo"]
    assert len({(s.colour, s.dash) for s in chosen.values()}) == len(names)
    first = [chosen[name].colour for name in names[:6]]
    assert len(set(first)) == 6  # all colours before any dash
    assert looks(["dpo", "new"])["new"].marker != METHODS["dpo"].marker
    kinds = [(s.colour, s.marker) for s in DATA.values()]
    assert len(set(kinds)) == len({colour for colour, _ in kinds}) == len(DATA)
    with pytest.raises(ValueError, match="too many"):
        looks(f"new_{i}" for i in range(100))


def test_a_method_is_one_point_with_the_range_of_its_seeds():
    table = means(frames.arena(), "data").set_index("method")
    row = table.loc["method_0"]
    assert row["kl"] == 1.0 and row["kind"] == "pairs"
    assert (row["low"], row["gold"], row["high"]) == pytest.approx((1.2, 1.21, 1.22))


def test_colours_tell_the_kind_of_data_in_one_order():
    figure = views.points(frames.arena(), None, **SAID)
    drawn = layers(figure, Points)
    assert [la.label for la in drawn] == ["pairs", "thumbs", "a new kind"]
    assert drawn[1].style == DATA["thumbs"]
    assert sum(len(la.x) for la in drawn) == 20
    names = [name for la in drawn for name in la.hover]
    assert sorted(names) == sorted(set(frames.arena()["method"]))


def test_hover_names_the_point_under_it():
    figure = views.points(frames.arena(seeds=1), None, **SAID)
    truth = frames.arena(seeds=1).set_index("method")
    for layer in layers(figure, Points):
        for name, kl, gold in zip(layer.hover, layer.x, layer.y, strict=True):
            assert (kl, gold) == tuple(truth.loc[name, ["kl", "gold"]])


def test_the_unbeaten_the_furthest_and_the_worst_are_named_first():
    rows = [("a", 1.0, 1.0), ("b", 2.0, 0.9), ("c", 2.5, 1.5), ("d", 0.5, 0.2),
            ("e", 0.6, 0.1), ("f", 3.0, 1.4)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["method", "kl", "gold"])
    # furthest f, worst e; unbeaten c, a, d; then b
    assert outer(table) == ["f", "e", "c", "a", "d", "b"]
    assert outer(table, ["b", "unknown"])[0] == "b"


def test_no_label_covers_a_point_or_another_label():
    figure = views.points(frames.arena(40), frames.curve(1, 0.1), **SAID)
    chart = figure.panels.charts[0]
    sheet = label_placement.Sheet(chart.x_range, chart.y_range, (5.2, 3.7))
    texts = layers(figure, Text)
    assert 8 <= len(texts) <= 12
    boxes = [label_placement.box(sheet.inch((t.x, t.y)), t.side, t.text) for t in texts]
    assert not any(
        label_placement.overlap(*two) for two in itertools.combinations(boxes, 2)
    )
    for layer in layers(figure, Points):
        for spot in zip(layer.x, layer.y, strict=True):
            x, y = sheet.inch(spot)
            assert not any(
                label_placement.overlap((x, y, x + 0.01, y + 0.01), b) for b in boxes
            )
    assert all(sheet.holds(box) for box in boxes)


def test_no_leader_line_runs_through_a_label_or_a_point():
    figure = views.points(frames.arena(40), None, **SAID)
    chart = figure.panels.charts[0]
    sheet = label_placement.Sheet(chart.x_range, chart.y_range, (5.2, 3.7))
    rooms = {
        t.text: label_placement.box(sheet.inch((t.x, t.y)), t.side, t.text)
        for t in layers(figure, Text)
    }
    spots = [
        sheet.inch(spot)
        for layer in layers(figure, Points)
        for spot in zip(layer.x, layer.y, strict=True)
    ]
    dots = [(x - 0.02, y - 0.02, x + 0.02, y + 0.02) for x, y in spots]
    leaders = [line for line in layers(figure, Line) if not line.label]
    assert len(leaders) > 2
    for line in leaders:
        first, last = (sheet.inch(at) for at in zip(line.x, line.y, strict=True))
        for share in np.linspace(0.4, 0.97, 40).tolist():
            x, y = (a + share * (b - a) for a, b in zip(first, last, strict=True))
            here = x, y, x + 0.001, y + 0.001
            assert not any(
                label_placement.overlap(here, room) for room in rooms.values()
            )
            assert not any(label_placement.overlap(here, dot) for dot in dots)


def test_a_label_goes_where_there_is_room_or_nowhere():
    sheet = label_placement.Sheet((0.0, 4.0), (0.0, 4.0), (4.0, 4.0))
    (text,) = label_placement.place([("name", (1.0, 1.0))], sheet, limit=1)
    assert text.side == "right" and text.y == 1.0 and text.x > 1.0
    (text,) = label_placement.place([("name", (3.9, 2.0))], sheet, limit=1)
    assert text.side == "left"
    wall = [(x / 20, y / 20) for x in range(80) for y in range(80)]
    assert (
        label_placement.place([("name", (1.0, 1.0))], sheet, limit=1, around=wall) == []
    )
    near = [(1.0 + dx / 10, 1.0 + dy / 10) for dx in (-2, 0, 2) for dy in (-2, 0, 2)]
    near = [spot for spot in near if spot != (1.0, 1.0)]
    leader, text = label_placement.place(
        [("name", (1.0, 1.0))], sheet, limit=1, around=near
    )
    assert isinstance(leader, Line) and (leader.x[0], leader.y[0]) == (1.0, 1.0)
    assert (leader.x[1], leader.y[1]) == pytest.approx((text.x, text.y))


def test_the_frontier_ends_where_the_methods_do():
    exact = pd.DataFrame({"kl": [0.0, 1.0, 100.0], "gold": [0.0, 2.0, 3.0]})
    figure = views.points(frames.arena(), exact, **SAID)
    path = lines(figure)["exact frontier"]
    assert max(path.x) == pytest.approx(1.15 * frames.arena()["kl"].max())
    rooted = views.points(frames.arena(), exact, root=True, **SAID)
    x = max(x for la in layers(rooted, Points) for x in la.x)
    assert x == pytest.approx(frames.arena()["kl"].max() ** 0.5)


def test_the_rank_correlation_counts_a_fall_as_positive():
    one = frames.displaced(1)
    figure = views.displacement(one, {"good": "score", "bad": "score"}, **SAID)
    heads = [chart.title for chart in figure.panels.charts]
    assert heads[0].endswith(": 1.00") and heads[1].endswith(": -1.00")
    both = views.displacement(frames.displaced(2), {"good": "score"}, **SAID)
    assert both.panels.charts[0].title.endswith("1.00 (1.00 to 1.00)")


def test_mass_starts_at_zero_and_is_drawn_against_another_column():
    figure = views.unseen_mass(
        frames.unseen(), against=("margin", "margin (reward units)"), start=0.3, **SAID
    )
    first, second = figure.panels.charts
    assert first.y_range[0] == 0.0 and first.y_label == UNIT
    path = lines(figure, 1)["dpo"]
    assert (path.x[0], path.x[-1]) == (0.0, 10.0)
    assert path.y[-1] == pytest.approx(0.3 + 0.4 * 1.1)
    assert layers(figure, HLine, 0)[0].y == 0.3
