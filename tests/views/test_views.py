"""What the views compute before anything is drawn."""

import numpy as np
import pandas as pd
import pytest

from tests.views import frames
from workbench import views
from workbench.views.aggregate import note, summary
from workbench.views.layers import Band, Bars, HLine, Line, Points
from workbench.views.simplex import HEIGHT, corner_xy
from workbench.views.style import METHODS, ROLES, series

SAID = {"caption": "Something."}


def layers(figure, kind, panel=0):
    """The layers of one kind in a panel."""
    return [la for la in figure.panels.charts[panel].layers if isinstance(la, kind)]


def test_a_band_is_the_range_over_seeds_and_says_so():
    run = frames.training(3)
    figure = views.implicit_rewards(run, **SAID)
    band, line = layers(figure, Band)[0], layers(figure, Line)[0]
    at_end = run[run["step"] == 100]["chosen"]
    assert (band.low[-1], band.high[-1]) == (at_end.min(), at_end.max())
    assert line.y[-1] == pytest.approx(at_end.mean())
    assert figure.panels.charts[0].note == "band: min–max over 3 seeds"


def test_an_interval_is_students_and_says_so():
    """Values 1, 2, 3: mean 2, s = 1, t(2) = 4.302653, half width t/√3."""
    frame = pd.DataFrame({"seed": [0, 1, 2], "step": 0, "kl": [1.0, 2.0, 3.0]})
    row = summary(frame, "step", "kl", "interval").iloc[0]
    half = 4.302653 / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((2 - half, 2 + half))
    assert note(frame, "interval") == "band: 95 % interval of the mean over 3 seeds"


def test_one_seed_has_no_band_and_no_note():
    figure = views.implicit_rewards(frames.training(1), **SAID)
    assert layers(figure, Band) == [] and figure.panels.charts[0].note == ""


def test_a_missing_column_is_named():
    with pytest.raises(KeyError, match="missing column margin"):
        views.implicit_rewards(frames.training().drop(columns="margin"), **SAID)


def test_an_unknown_spread_is_refused():
    with pytest.raises(ValueError, match="range, interval"):
        views.kl_drift(frames.training(), spread="sd", **SAID)


def test_the_median_of_runs_along_beta_reaches_from_end_to_end():
    """A smaller β goes further: sorted by β, a run comes back to the reference."""
    runs = frames.curve(3)
    runs["beta"] = -runs["kl"]
    lines = layers(views.overoptimisation(runs, by="beta", **SAID), Line)
    gold = [line for line in lines if line.label == "gold"][0]
    assert len(gold.x) > 10 and gold.x[0] < gold.x[-1]
    forwards = layers(views.overoptimisation(runs, by="kl", **SAID), Line)
    same = [line for line in forwards if line.label == "gold"][0]
    assert gold.y == pytest.approx(same.y)


def test_overoptimisation_is_drawn_against_the_root_of_kl():
    figure = views.overoptimisation(frames.curve(), **SAID)
    gold = [line for line in layers(figure, Line) if line.label == "gold"][0]
    assert gold.x[10] == pytest.approx(1.0) and gold.y[10] == pytest.approx(1.4)
    assert gold.style == ROLES["gold"]


def test_a_law_starts_at_the_references_gold_reward():
    law = {"law": lambda d: 0 * d}
    figure = views.overoptimisation(frames.curve(), laws=law, start=-0.5, **SAID)
    drawn = [line for line in layers(figure, Line) if line.label == "law"][0]
    assert set(drawn.y) == {-0.5}


def test_a_measured_law_can_be_drawn():
    from workbench.measure.overoptimisation_fit import fit

    curve = frames.curve()
    law = fit(curve["kl"] ** 0.5, curve["gold"], "bon")
    figure = views.overoptimisation(curve, laws={"law": law}, **SAID)
    drawn = [line for line in layers(figure, Line) if line.label == "law"][0]
    x = np.array(drawn.x)
    assert drawn.y == pytest.approx((2 * x - 0.6 * x**2).tolist())


def test_a_path_that_turns_back_is_drawn_in_its_order():
    back = pd.DataFrame({"kl": [0.0, 4.0, 1.0], "gold": 1.0, "proxy": 2.0})
    figure = views.overoptimisation(back, **SAID)
    assert layers(figure, Line)[0].x == [0.0, 2.0, 1.0]


def test_the_frontier_shows_every_seed_and_their_mean():
    figure = views.frontier(frames.points(), frames.curve(), **SAID)
    seeds, mean = layers(figure, Points)[:2]
    assert seeds.faint and seeds.x == [1.0, 1.1]
    assert mean.x == pytest.approx([1.05]) and mean.style == METHODS["dpo"]


def test_estimates_of_several_seeds_are_drawn_minus_their_own_exact_value():
    drift = frames.training()
    figure = views.kl_drift(drift, estimates=frames.estimates(2), **SAID)
    k2 = layers(figure, Points, 1)[1]
    assert k2.y == pytest.approx([0.3, 0.3]) and layers(figure, HLine, 1)[0].y == 0.0
    single = views.kl_drift(drift, estimates=frames.estimates(), **SAID)
    assert layers(single, Points, 1)[1].y == [2.3]
    assert layers(single, HLine, 1)[0].y == 2.0


def test_a_word_said_twice_has_two_bars():
    words = frames.tokens()
    figure = views.token_rewards(words[words["row"] == 0], **SAID)
    assert layers(figure, Bars)[0].names == ["very", "very", "good"]
    assert figure.plotly["data"][0]["x"] == [0, 1, 2]


def test_tokens_of_several_responses_must_be_told_apart():
    with pytest.raises(ValueError, match="several tokens at one position"):
        views.token_rewards(frames.tokens(), **SAID)


def test_an_empty_bin_is_left_out_of_the_reliability_diagram():
    figure = views.reliability(frames.bins(), **SAID)
    assert layers(figure, Line)[1].y == [0.2, 0.4, 0.8]


def test_corners_of_the_simplex_and_its_middle():
    assert corner_xy((1, 0, 0)) == (0, 0)
    assert corner_xy((0, 1, 0)) == (1, 0)
    assert corner_xy((0, 0, 1)) == (0.5, HEIGHT)
    assert corner_xy((1 / 3, 1 / 3, 1 / 3)) == pytest.approx((0.5, HEIGHT / 3))
    with pytest.raises(ValueError, match="no mixture"):
        corner_xy((0.5, 0.6, 0.1))


def test_bars_have_error_bars_over_seeds():
    figure = views.bars(frames.training(3), "step", "kl", label="KL (nats)", **SAID)
    drawn = layers(figure, Bars)[0]
    assert (drawn.y[-1], drawn.low[-1], drawn.high[-1]) == (2.0, 1.0, 3.0)
    assert figure.panels.charts[0].note == "error bars: min–max over 3 seeds"


def test_each_measure_has_a_panel_of_bars():
    units = {"kl": "KL (nats)", "loss": "loss (nats)"}
    figure = views.bar_panels(frames.training(3), "step", units, **SAID)
    charts = figure.panels.charts
    assert [chart.title for chart in charts] == ["KL", "Loss"]
    for chart, (name, label) in zip(charts, units.items(), strict=True):
        alone = views.bars(frames.training(3), "step", name, label=label, **SAID)
        assert chart.layers == alone.panels.charts[0].layers
    assert [c.note for c in charts] == ["error bars: min–max over 3 seeds", ""]


def test_histograms_share_bins_and_have_area_one():
    figure = views.distribution(
        {"chosen": [0.0, 1.0, 4.0], "rejected": [2.0, 2.5]},
        label="nats",
        bins=8,
        **SAID,
    )
    width = figure.data["bin"].diff().iloc[1]
    areas = figure.data[["chosen", "rejected"]].sum() * width
    assert areas.tolist() == pytest.approx([1.0, 1.0])


def test_no_two_methods_and_no_two_roles_look_alike():
    looks = [(s.colour, s.marker) for s in METHODS.values()]
    assert len(looks) == len(set(looks))
    pairs = [("chosen", "rejected"), ("gold", "proxy"), ("policy", "reference")]
    for one, other in pairs:
        assert ROLES[one].colour != ROLES[other].colour
    exact = ROLES["exact"]
    assert (exact.colour, exact.dash) == ("#000000", "dash")


def test_a_method_nobody_styled_keeps_its_look():
    assert views.method("a_new_one") == views.method("a_new_one")
    assert views.method("a_new_one") != views.method("b_new_one")
    assert series(0) != series(1)


def test_an_unknown_role_lists_the_roles():
    with pytest.raises(KeyError, match="gold"):
        views.role("golden")


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="'x': 2, 'y': 1"):
        Line([0.0, 1.0], [2.0])


def test_a_title_is_the_label_in_words_without_its_unit():
    from workbench.views.aggregate import headline

    assert headline("gold reward (reward units)") == "Gold reward"
    assert headline("KL(π‖π_ref) (nats per sequence)") == "KL(π‖π_ref)"
    assert headline("π(unseen) (probability)") == "π(unseen)"
    assert headline("step") == "Step"


def test_the_bold_curve_is_the_median_of_the_runs_at_equal_distance():
    """Three runs gold = c·√KL with c = 1, 2, 6: the median is 2·√KL at every distance,
    wherever a run stood at a step; a run that turns back adds nothing.
    """
    rows = []
    for seed, (slope, roots) in enumerate(
        [(1, [0, 2, 4]), (2, [0, 3, 2]), (6, [0, 4])]
    ):
        for step, root in enumerate(roots):
            rows.append((seed, step, root**2, slope * root, 0.0))
    frame = pd.DataFrame(rows, columns=["seed", "step", "kl", "gold", "proxy"])
    figure = views.overoptimisation(frame, **SAID)
    bold = [line for line in layers(figure, Line) if line.label == "gold"]
    thin = [line for line in layers(figure, Line) if line.faint]
    inside = np.array(bold[0].x) <= 3
    assert len(bold) == 1 and len(thin) == 6
    assert np.allclose(np.array(bold[0].y)[inside], 2 * np.array(bold[0].x)[inside])
    assert (np.diff(bold[0].x) > 0).all()


def test_of_two_lines_that_coincide_both_are_seen():
    x = [0.0, 1.0, 2.0]
    lines = [Line(x, [0.0, 1.0, 2.0], "a"), Line(x, [0.0, 1.001, 2.0], "b")]
    far = Line(x, [0.0, 1.5, 2.0], "c")
    chart = views.Chart("Two", "x", "y", [*lines, far])
    assert [line.wide for line in chart.drawn] == [True, False, False]


def test_on_a_logarithmic_axis_lines_coincide_by_their_logarithms():
    x, high = [0, 1, 2], [1000.0, 100.0, 10.0]
    lines = [
        Line(x, y, name)
        for name, y in (("a", high), ("b", [1e-3, 1e-4, 1e-5]), ("c", [1e-3, 1e-5, 0]))
    ]
    seen = views.Chart("t", "x", "y", lines, y_log=True).drawn
    assert not any(la.wide for la in seen)
    assert views.Chart("t", "x", "y", lines).drawn[1].wide
    same = [*lines, Line(x, [1e-3, 1e-5, 0], "d")]
    drawn = views.Chart("t", "x", "y", same, y_log=True).drawn
    assert [la.wide for la in drawn] == [False, False, True, False]


def test_no_series_but_a_role_has_the_colour_of_a_role():
    from workbench.views import style

    roles = {look.colour for look in ROLES.values()}
    free = {look.colour for key, look in METHODS.items() if key not in ("bt",)}
    free -= {ROLES["exact"].colour}  # soft_backup is exact
    assert not roles & (free | {series(i).colour for i in range(12)})
    looks = style.looks([f"series {i}" for i in range(10)]).values()
    assert not roles & {look.colour for look in looks}
    assert all(
        look.dash != "dash" for key, look in METHODS.items() if key != "soft_backup"
    )


def test_the_cross_of_the_simplex_can_be_no_equilibrium():
    """An optimum is not called an equilibrium."""
    path = pd.DataFrame({"curve": "a", "step": [0], "x": 0.2, "y": 0.3, "z": 0.5})
    drawn = views.simplex(
        path, (0.2, 0.3, 0.5), names=["x", "y", "z"], goal="optimum", caption="One."
    )
    (chart,) = drawn.panels.charts
    labels = [getattr(layer, "label", "") for layer in chart.layers]
    assert "optimum" in labels and "Nash equilibrium (exact)" not in labels
