"""What chance alone would decide: the tail, the rate, and the sentence, by hand."""

import math

import pytest

from workbench.catalogue import chance, pages
from workbench.core.statistics import discoveries, student_t, student_tail


@pytest.mark.parametrize("df", [1, 2, 4, 9, 40])
def test_the_tail_beyond_the_quantile_is_a_fortieth(df):
    """Fisher's table: beyond the two-sided 95 % quantile lie 2.5 % on each side."""
    assert student_tail(student_t(df), df) == pytest.approx(0.025, abs=1e-5)
    assert student_tail(0.0, df) == pytest.approx(0.5, abs=1e-6)


def test_one_degree_of_freedom_is_cauchys():
    """P(T > t) = ½ − arctan(t)/π."""
    assert student_tail(3.0, 1) == pytest.approx(0.5 - math.atan(3.0) / math.pi, 1e-5)


def test_benjamini_and_hochberg_by_hand():
    """Rate 5 %, four p-values; thresholds 0.0125, 0.025, 0.0375, 0.05.

    0.03 is above its own threshold 0.025, but 0.035 ≤ 0.0375 is the third smallest:
    the three smallest stand.
    """
    assert discoveries([0.03, 0.2, 0.001, 0.035]) == [True, False, True, True]
    assert discoveries([0.03, 0.2, 0.3, 0.4]) == [False] * 4
    assert discoveries([]) == []


def row(**new):
    """A reproduced claim: mean 1, five seeds, positive expected."""
    half = new.pop("half", 0.5)
    made = {
        "key": "k", "notebook": "20_dpo", "kind": "seeds", "verdict": "reproduced",
        "mean": "1", "low": str(1 - half), "high": str(1 + half), "seeds": "5",
        "from_": "5e-324", "to": "inf", "paper": "ours", "statement": "It rises.",
        "setting": "two steps", "expected": "positive", "unit": "nats", "reason": "",
    }  # fmt: skip
    return made | new


def test_the_p_value_is_the_tail_beyond_the_limit():
    """An interval that ends at the limit has the p-value of its level, 2.5 %."""
    assert chance.p_value(row(half=1.0)) == pytest.approx(0.025, abs=1e-4)
    wrong = row(half=1.0, verdict="contradicted", from_="-inf", to="0")
    assert chance.p_value(wrong) == pytest.approx(0.025, abs=1e-4)
    both = row(half=1.0, from_="0", to="1.5")
    assert chance.p_value(both) > 0.1  # the nearer limit decides


def test_a_verdict_at_its_limit_falls_among_many_that_were_tested():
    """A p of 2.5 % stands alone (the threshold is 5 %) and beside a sure one (the
    larger of two has 5 %). Beside an undecided claim it is the smaller of two and
    would need 2.5 % or less: at 2.6 % it falls.
    """
    edge, sure = row(key="edge", half=0.999), row(key="sure", half=0.01)
    assert chance.fragile([edge]) == chance.fragile([edge, sure]) == set()
    late = row(key="late", half=1.02)  # reproduced by a hair's breadth too little
    open_ = row(key="open", half=4.0, verdict="undecided")
    assert 0.025 < chance.p_value(late) < 0.03 < chance.p_value(open_)
    assert chance.fragile([late]) == set()
    assert chance.fragile([late, open_]) == {("20_dpo", "late")}
    assert chance.fragile([late, open_ | {"notebook": "21_x"}]) == set()


def test_an_exact_claim_is_no_matter_of_chance():
    exact = row(kind="exact")
    assert chance.by_interval([exact]) == [] and chance.fragile([exact]) == set()


def test_the_page_tells_chance_setting_source_and_reason():
    moves = {"verdict": "not converged", "reason": "it still moves"}
    open_ = row(key="o", paper="A 2024", **moves)
    text = pages.claims_page([row(), open_])
    assert "1 of them are judged by a 95 % interval" in text
    assert "It rises. (ours) [two steps]" in text and "(after A 2024)" in text
    assert "*not converged*: it still moves" in text
