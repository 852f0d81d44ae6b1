"""Which notebooks a name means."""

import re

import pytest

from workbench.runner import series

NAMES = (
    "00_start 02_probes 20_dpo 21_links 22_thumbs 22a_bco 28_lists 29_tokens".split()
)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "notebooks" / "src"
    folder.mkdir(parents=True)
    for name in (*NAMES, "helper", "2_short"):
        (folder / f"{name}.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("2", ["02_probes"]),
        ("02", ["02_probes"]),
        ("0", ["00_start"]),
        ("20", ["20_dpo"]),
        ("22", ["22_thumbs"]),
        ("22a", ["22a_bco"]),
        ("dpo", ["20_dpo"]),
        ("bco", ["22a_bco"]),
        ("20_dpo", ["20_dpo"]),
        ("20_d", ["20_dpo"]),
        ("thu", ["22_thumbs"]),
        ("notebooks/src/20_dpo.py", ["20_dpo"]),
        ("notebooks/20_dpo.ipynb", ["20_dpo"]),
        ("20-22", ["20_dpo", "21_links", "22_thumbs", "22a_bco"]),
    ],
)
def test_a_name_means_exactly(root, wanted, found):
    assert [path.stem for path in series.select(root, [wanted])] == found


def test_no_name_means_all_and_a_notebook_named_twice_runs_once(root):
    assert [path.stem for path in series.select(root, [])] == NAMES
    assert [p.stem for p in series.select(root, ["2", "02_probes"])] == ["02_probes"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("3", "no notebook '3'"),
        ("dpoo", "did you mean dpo"),
        ("li", "may be 21_links, 28_lists"),
        ("30-39", "no notebook"),
        ("", "no notebook ''"),
        ("helper", "no notebook 'helper'"),
    ],
)
def test_a_name_that_fits_none_or_several_is_refused(root, wanted, message):
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        series.select(root, [wanted])
