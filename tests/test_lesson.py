"""What a lesson begins with: its names, and the settings of a profile."""

import re

import pytest

from workbench import lesson


def test_the_docstring_names_what_a_star_brings():
    """A reader looks the names up there."""
    named = re.findall(r"^(\w+(?:, \w+)*) {2,}\S", lesson.__doc__, re.MULTILINE)
    names = {name for cell in named for name in cell.split(", ")}
    assert names - {"name"} == set(lesson.__all__)


def test_every_profile_has_its_own_value():
    chosen = [
        lesson.sizes(profile, steps=(4, 200, 1000), seeds=(2, 5, 10))
        for profile in ("ci", "lecture", "figure")
    ]
    assert [size.steps for size in chosen] == [4, 200, 1000]
    assert [size.seeds for size in chosen] == [2, 5, 10]


def test_a_wrong_profile_or_a_missing_value_is_named():
    with pytest.raises(ValueError, match="ci, lecture, figure, not 'slides'"):
        lesson.sizes("slides", steps=(1, 2, 3))
    with pytest.raises(ValueError, match="steps needs a value for each"):
        lesson.sizes("ci", steps=(1, 2))


def test_the_star_of_an_optimum_is_no_emphasis(monkeypatch):
    """π* … π* would be a sentence in italics without its stars; a formula stays."""
    shown = []
    monkeypatch.setattr(lesson, "display", shown.append)
    lesson.say("π* and π*_β, **bold** and $\\pi^*$")
    assert shown[0].data == "π\\* and π\\*_β, **bold** and $\\pi^*$"
