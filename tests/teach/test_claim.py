"""Verdicts by hand: three effects, a t-quantile from the table, and the side."""

import csv
import json
import math
import re
import subprocess
import sys

import pytest

from workbench.teach import claim, claims_table
from workbench.teach.claim import MIME

PAPER = "Author 2024, 2401.00001"


def judged(effect, expected="positive", **more):
    """A claim with the fields that do not matter here filled in."""
    given = {"key": "k", "paper": PAPER, "statement": "a is above b"} | more
    return claim(effect=effect, expected=expected, **given)


def test_interval_by_hand():
    """Effects 1, 2, 3: mean 2, s = 1, t(2) = 4.302653, half = 4.302653/√3 = 2.484."""
    seen = judged([1.0, 2.0, 3.0])
    assert seen.mean == pytest.approx(2.0)
    assert seen.low == pytest.approx(2.0 - 2.484138, abs=1e-5)
    assert seen.high == pytest.approx(2.0 + 2.484138, abs=1e-5)
    assert seen.seeds == 3


@pytest.mark.parametrize(
    ("effect", "expected", "verdict"),
    [
        # 10, 11, 12: half-width 2.48, so the interval is [8.5, 13.5]
        ([10, 11, 12], "positive", "reproduced"),
        ([10, 11, 12], "negative", "contradicted"),
        ([-10, -11, -12], "negative", "reproduced"),
        ([-10, -11, -12], "positive", "contradicted"),
        ([1, 2, 3], "positive", "undecided"),
        ([1, 2, 3], "negative", "undecided"),
        ([10, 11, 12], (8.0, 14.0), "reproduced"),
        ([10, 11, 12], (9.0, 14.0), "undecided"),
        ([10, 11, 12], (14.0, 20.0), "contradicted"),
        ([0, 0, 0], "positive", "contradicted"),
        ([10, 11], "positive", "too few seeds"),
        ([10], "positive", "too few seeds"),
    ],
)
def test_verdict_is_where_the_interval_lies(effect, expected, verdict):
    assert judged(effect, expected).verdict == verdict


def test_zero_needs_a_tolerance_and_a_narrow_interval():
    """±0.1 around 0 has half-width 4.302653·0.1/√3 = 0.2484."""
    with pytest.raises(ValueError, match="tolerance"):
        judged([0.0, 0.1, -0.1], "zero")
    near = [0.0, 0.1, -0.1]
    assert judged(near, "zero", tolerance=0.25).verdict == "reproduced"
    assert judged(near, "zero", tolerance=0.24).verdict == "undecided"
    assert judged([5, 5.1, 4.9], "zero", tolerance=0.25).verdict == "contradicted"


def test_exact_claim_is_true_at_every_value_or_false():
    exact = {"kind": "exact", "tolerance": 1e-6}
    assert judged(1e-9, "zero", **exact).verdict == "reproduced"
    assert judged([1e-9, 1e-5], "zero", **exact).verdict == "contradicted"
    assert judged(1.0, "positive", kind="exact").verdict == "reproduced"
    assert judged([1.0, -1.0], "positive", kind="exact").verdict == "contradicted"


@pytest.mark.parametrize("effect", [[], [1.0, math.nan, 2.0], [math.inf]])
def test_effects_without_a_number_are_refused(effect):
    with pytest.raises(ValueError, match="finite"):
        judged(effect)


@pytest.mark.parametrize("expected", ["bigger", (1.0, 1.0), (2.0, 1.0)])
def test_unknown_expectation_is_refused(expected):
    with pytest.raises(ValueError):
        judged([1, 2, 3], expected)


def test_what_still_moves_is_not_converged_whatever_the_interval():
    """From 2.0 to 1.5 is a quarter of what is left; 1.0 to 0.95 a twentieth."""
    for effect in ([10, 11, 12], [-10, -11, -12], [1, 2, 3]):
        made = judged(effect, rest=([2.0, 2.0, 2.0], [1.5, 1.5, 1.5]))
        assert made.verdict == "not converged" and "from 2 to 1.5" in made.reason
        assert judged(effect, rest=([1.0] * 3, [0.95] * 3)).verdict != "not converged"


def test_a_control_that_fails_the_same_test_says_that_the_run_cannot_show_it():
    """rDPO's slope is to be 1, and so is that of DPO on clean labels after as long."""
    near_one = {"expected": (0.9, 1.1)}
    control = ([0.58, 0.57, 0.59], "DPO on clean labels")
    made = judged([0.5, 0.51, 0.49], control=control, **near_one)
    assert made.verdict == "not converged" and "DPO on clean labels" in made.reason
    good = ([1.0, 1.01, 0.99], "DPO on clean labels")
    assert judged([0.5, 0.51, 0.49], control=good, **near_one).verdict == "contradicted"


def test_another_setting_than_the_papers_is_told_before_all_else():
    here = (False, "responses are longer than four words")
    made = judged([-10, -11, -12], condition=here, rest=([2.0] * 3, [1.0] * 3))
    assert made.verdict == "other setting" and "longer than four words" in made.reason
    assert judged([10, 11, 12], condition=(True, "x")).verdict == "reproduced"


def test_too_few_seeds_are_told_first():
    made = judged([1.0], condition=(False, "x"))
    assert made.verdict == "too few seeds" and made.reason == ""


def test_the_box_says_that_we_test_and_after_whom():
    shown = judged([10, 11, 12], meaning="It can be trusted.").bundle()["text/html"]
    assert "we test" in shown and f"after {PAPER}" in shown
    assert "It can be trusted." in shown
    assert "ours" in judged([1, 2, 3], paper="ours").bundle()["text/html"]


def test_the_file_keeps_range_meaning_and_reason(tmp_path):
    judged([1, 2, 3], key="a", out=tmp_path, meaning="m", expected=(0.5, 2.5))
    row = claims_table([tmp_path]).iloc[0]
    assert (row["from_"], row["to"], row["meaning"]) == (0.5, 2.5, "m")


def test_a_file_of_before_these_columns_is_read(tmp_path):
    judged([1, 2, 3], key="a", out=tmp_path)
    path = tmp_path / "claims.csv"
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    old = [k for k in rows[0] if k not in ("meaning", "reason", "from_", "to")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, old, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert claims_table([tmp_path]).iloc[0]["meaning"] == ""


def test_missed_only_when_judged_and_it_must_hold():
    assert judged([-10, -11, -12], must_hold=True).missed
    assert judged([1, 2, 3], must_hold=True).missed
    assert not judged([1, 2, 3]).missed
    assert not judged([10, 11, 12], must_hold=True).missed
    assert not judged([-10.0], must_hold=True).missed, "one seed judges nothing"


def test_bundle_is_json_and_escapes_html():
    bundle = judged([1.0], statement="<script>alert(1)</script>").bundle()
    record = json.loads(json.dumps(bundle[MIME], allow_nan=False))
    assert record["low"] is None and record["missed"] is False
    assert record["verdict"] == "too few seeds"
    assert "<script>" not in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]
    assert "too few seeds" in bundle["text/plain"]


def test_file_has_one_row_a_key_and_the_folder_as_notebook(tmp_path):
    out = tmp_path / "20_dpo"
    judged([1, 2, 3], key="a", out=out)
    judged([10, 11, 12], key="b", out=out, unit="nats", setting='x, "y"\nz')
    judged([10, 11, 12], key="a", out=out)
    assert [p.name for p in out.iterdir()] == ["claims.csv"]
    with (out / "claims.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["key"], r["verdict"]) for r in rows] == [
        ("a", "reproduced"),
        ("b", "reproduced"),
    ]
    assert {r["notebook"] for r in rows} == {"20_dpo"}


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    judged([1, 2, 3], key="a", out=tmp_path)
    before = (tmp_path / "claims.csv").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        judged([10, 11, 12], key="b", out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["claims.csv"]
    assert (tmp_path / "claims.csv").read_bytes() == before


def test_same_effects_write_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        judged([1 / 3, 2.0, 3.0], out=tmp_path / name / "nb")
    one, two = ((tmp_path / n / "nb/claims.csv").read_bytes() for n in ("one", "two"))
    assert one == two


def test_table_of_two_notebooks(tmp_path):
    judged([10, 11, 12], key="a", out=tmp_path / "00_a", unit="")
    judged([4.0], key="b", out=tmp_path / "01_b", unit="nats", must_hold=True)
    table = claims_table([tmp_path / "00_a", tmp_path / "01_b/claims.csv"])
    assert list(table["notebook"]) == ["00_a", "01_b"]
    assert list(table["must_hold"]) == [False, True]
    assert list(table["unit"]) == ["", "nats"]
    assert table["mean"].tolist() == [11.0, 4.0]
    assert math.isnan(table["low"][1]) and table["seeds"].tolist() == [3, 1]


def test_table_of_nothing_has_the_columns():
    assert {"key", "verdict", "mean"} <= set(claims_table([]).columns)


CELL = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
cell = '''
from workbench.teach import claim
made = claim(key="k", paper="p", statement="s", effect=[1, 2, 3], expected="positive")
made
'''
with capture_output() as seen:
    shell.run_cell(cell, store_history=True)
print(sum("vnd.workbench" in str(o.data) for o in seen.outputs), seen.stderr)
with capture_output() as seen:
    shell.run_cell("made", store_history=True)
print(sum("vnd.workbench" in str(o.data) for o in seen.outputs), seen.stderr)
"""


def test_a_cell_shows_its_claim_once():
    done = subprocess.run(
        [sys.executable, "-c", CELL], capture_output=True, text=True, check=True
    )
    assert re.findall(r"\d", done.stdout) == ["1", "1"], done.stdout + done.stderr
