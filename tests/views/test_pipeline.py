"""The drawn pipeline: which stage is lit, and that the site shows it."""

import re
from xml.etree import ElementTree

import nbformat.v4 as v4
import pytest

from workbench import views
from workbench.runner import safe
from workbench.views.pipeline import HIGH, LIT, STAGES, WIDE

SVG = "{http://www.w3.org/2000/svg}"


def fills(figure) -> dict[str, str]:
    """The fill of each box by the title that stands in it."""
    root = ElementTree.fromstring(figure.svg)
    boxes = [child for child in root if child.tag == SVG + "rect"]
    titles = [t.text for t in root.iter(SVG + "text") if t.get("font-weight")]
    return dict(zip(titles, [b.get("fill") for b in boxes], strict=False))


@pytest.mark.parametrize("name", STAGES)
def test_the_stage_named_is_lit_and_no_other(name):
    lit = [title for title, fill in fills(views.pipeline(name)).items() if fill == LIT]
    assert lit == [STAGES[name].title]
    assert f"Here: {STAGES[name].title}." in repr(views.pipeline(name))


def test_several_stages_or_none():
    assert list(fills(views.pipeline(("reward", "rl"))).values()).count(LIT) == 2
    assert LIT not in fills(views.pipeline()).values()


def test_an_unknown_stage_is_named():
    with pytest.raises(KeyError, match="'rlhf'; stages: pretraining, sft"):
        views.pipeline("rlhf")


def test_every_word_stands_on_a_box_and_nothing_leaves_the_picture():
    """A picture's ground is the page's, light or dark: only boxes are sure."""
    root = ElementTree.fromstring(views.pipeline().svg)
    boxes = [
        [float(b.get(side)) for side in ("x", "y", "width", "height")]
        for b in root.iter(SVG + "rect")
    ]
    for text in root.iter(SVG + "text"):
        x, y = float(text.get("x")), float(text.get("y"))
        inside = [b for b in boxes if b[1] < y < b[1] + b[3] and b[0] < x < b[0] + b[2]]
        assert len(inside) == 1, text.text
        # a letter is about half as wide as it is high
        assert len(text.text) * float(text.get("font-size")) * 0.52 < inside[0][2]
    assert all(x + w < WIDE and y + h < HIGH for x, y, w, h in boxes)


def test_the_site_shows_it_as_a_picture_with_a_sentence():
    data, metadata = views.pipeline("dpo")._repr_mimebundle_()
    output = v4.new_output("display_data", data=data, metadata=metadata)
    shown = safe.safe_output(output).data["text/html"]
    assert re.search(r'<img src="data:image/svg\+xml;base64,[\w+/=]+"', shown)
    assert "Here: DPO." in shown
