"""A prediction is clicked in a live notebook, and stands as ever in a stored one."""

import json
from types import SimpleNamespace

import IPython.display
import pytest
from IPython.core.formatters import DisplayFormatter

from workbench.teach import kept, predict, reveal
from workbench.teach.predict import ASKED

OPTIONS = ["above", "below"]


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """A live notebook in an empty folder; what it displays and renews."""
    found = SimpleNamespace(displayed=[], renewed=[])

    def display(value, **options):
        found.displayed.append(value)
        return SimpleNamespace(update=lambda new, **rest: found.renewed.append(new))

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(kept, "live", lambda: True)
    monkeypatch.chdir(tmp_path)
    return found


def test_a_stored_prediction_is_text_and_html_as_before():
    """The bundle that committed notebooks hold, byte for byte, and no widget."""
    asked = predict("97-1", "Above or below?", OPTIONS)
    data, _ = DisplayFormatter().format(asked)
    assert data == {
        "text/plain": "Prediction 97-1: Above or below? (above / below) "
        "Your answer: not written yet",
        "text/html": "<div style='border-left:4px solid #0072b2;padding:4px 10px'>"
        "<b>Prediction 97-1.</b> Above or below?<br>Choose: above / below<br>"
        "Your answer: <i>not written yet: fill in <code>mine</code></i></div>",
    }


def test_a_click_is_the_answer_and_stays(shown, tmp_path):
    predict("97-1", "Above or below?", OPTIONS)._ipython_display_()
    question, buttons = shown.displayed
    assert "none yet: choose below" in question["text/html"]
    assert list(buttons.options) == OPTIONS and buttons.value is None
    buttons.value = "below"
    assert "Your answer: <i>below</i>" in shown.renewed[-1]["text/html"]
    assert shown.renewed[-1]["text/plain"].endswith("Your answer: below")
    assert reveal("97-1", "below", "x").correct is True
    assert json.loads((tmp_path / kept.FILE).read_text()) == {"97-1": "below"}
    ASKED.clear()
    assert predict("97-1", "Above or below?", OPTIONS).mine == "below"


def test_what_is_written_counts_more_than_what_was_clicked(shown):
    kept.keep("97-1", "below")
    assert predict("97-1", "Above?", OPTIONS, mine="above").mine == "above"


def test_a_kept_answer_that_is_no_option_is_none(shown):
    kept.keep("97-1", "sideways")
    assert predict("97-1", "Above?", OPTIONS).mine == ""


def test_any_text_is_written_into_a_line(shown):
    predict("97-2", "How many?")._ipython_display_()
    line = shown.displayed[1]
    line.value = "seven"
    assert ASKED["97-2"].mine == "seven"


def test_without_a_reader_nothing_is_kept_or_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / kept.FILE).write_text('{"97-1": "below"}')
    assert predict("97-1", "Above?", OPTIONS).mine == ""
    with pytest.raises(NotImplementedError):
        predict("97-1", "Above?", OPTIONS)._ipython_display_()


def test_the_folder_of_published_lessons_keeps_nothing(shown, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "20_dpo.py").touch()
    predict("97-1", "Above?", OPTIONS)._ipython_display_()
    shown.displayed[1].value = "above"
    assert ASKED["97-1"].mine == "above"
    assert not (tmp_path / kept.FILE).exists()
    assert "until the kernel ends" in shown.renewed[-1]["text/html"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"97-1": 3}', "[" * 100_000])
def test_a_damaged_file_holds_nothing(tmp_path, text):
    (tmp_path / kept.FILE).write_text(text)
    assert kept.answers(tmp_path) == {}
    assert kept.keep("97-2", "x", tmp_path)
    assert kept.answers(tmp_path) == {"97-2": "x"}


def test_an_answer_can_be_taken_back(tmp_path):
    kept.keep("97-1", "above", tmp_path)
    kept.keep("97-1", "", tmp_path)
    assert kept.answers(tmp_path) == {}


def test_markup_in_an_answer_is_escaped(shown):
    predict("97-2", "<b>?</b>", mine="<i>x")._ipython_display_()
    text = shown.displayed[0]["text/html"]
    assert "&lt;b&gt;?" in text and "&lt;i&gt;x" in text
