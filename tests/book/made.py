"""A small series made by hand: nothing has to be executed to build its book."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import nbformat.v4 as v4

from workbench.runner import build, series

FIXTURES = Path(__file__).parents[1] / "runner" / "fixtures"
PLAIN = (FIXTURES / "pass_plain.py").read_text()
CLAIM = "application/vnd.workbench.claim+json"
STATES = "application/vnd.workbench.states+json"
PLOTLY = "application/vnd.plotly.v1+json"


def put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def source(title: str, words: str = "", **header: str) -> str:
    """A py:percent source with these words below its heading."""
    lines = "".join(f"#     {key}: {value}\n" for key, value in header.items())
    text = PLAIN.replace('title: "Plain"\n', f'title: "{title}"\n{lines}')
    heading = f"# # {title}: a question?"
    prose = "".join(f"\n# {line}".rstrip() for line in ["", *words.split("\n")])
    return text.replace("# # Plain", heading + prose)


def copy_of(path: Path, text: str, *more: Any) -> Any:
    """A whole copy of a lesson, with one word in it that tells it from others."""
    notebook = build.read(path).notebook
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    code[-1].outputs = [v4.new_output("stream", name="stdout", text=text), *more]
    return notebook


class Project:
    """Lessons of which any copy can be put in place."""

    def __init__(self, root: Path, *names: str):
        self.root, self.settings = root, series.Settings(root=root)
        for name in names:
            put(self.source(name), source(f"Lesson {name}"))

    def source(self, name: str) -> Path:
        return self.root / "notebooks" / "src" / f"{name}.py"

    def committed(self, name: str) -> Path:
        return self.root / "notebooks" / f"{name}.ipynb"

    def executed(self, name: str) -> Path:
        return self.settings.folder / f"{name}.ipynb"

    def record(self, name: str) -> Path:
        return self.settings.folder / ".records" / f"{name}.json"

    def commit(self, name: str, *more: Any, text: str = "COMMITTED") -> None:
        build.write(copy_of(self.source(name), text, *more), self.committed(name))

    def passed(self, name: str, *more: Any, text: str = "EXECUTED") -> None:
        build.write(copy_of(self.source(name), text, *more), self.executed(name))
        put(self.record(name), json.dumps({"failures": [], "seconds": 1.5}))


def display(data: dict, metadata: dict | None = None) -> Any:
    return v4.new_output("display_data", data=data, metadata=metadata or {})


def claim(key: str, **fields: Any) -> Any:
    """A judged claim as a lesson shows it."""
    told = {
        "key": key, "statement": f"the statement of {key}", "verdict": "reproduced",
        "paper": "Rafailov et al. 2023 (2305.18290)", "expected": "positive",
        "mean": 1.0, "low": 0.5, "high": 1.5, "seeds": 3, "unit": "nats",
    } | fields  # fmt: skip
    shown = f"<table><tr><th>we test</th><td>{key}</td></tr></table>"
    return display({CLAIM: told, "text/html": shown, "text/plain": key})


def chart(high: float = 3.0) -> dict:
    """Plotly JSON of two panels side by side, as `views` draws them."""
    heads = [
        {"text": f"Panel {n}", "xref": "paper", "yref": "paper", "x": x, "y": 1.0,
         "showarrow": False, "xanchor": "left", "yanchor": "bottom"}
        for n, x in ((1, 0.0), (2, 0.55))
    ]  # fmt: skip
    lines = [
        {"type": "scatter", "x": [0, 1], "y": [0, high], "name": "a"},
        {"type": "scatter", "x": [0, 1], "y": [1, 0], "name": "b", "xaxis": "x2",
         "yaxis": "y2", "legend": "legend2"},
    ]  # fmt: skip
    layout = {
        "width": 840, "height": 393, "annotations": heads, "shapes": [],
        "margin": {"l": 62, "r": 12, "t": 34, "b": 105},
        "xaxis": {"domain": [0.0, 0.46], "anchor": "y"}, "yaxis": {"anchor": "x"},
        "xaxis2": {"domain": [0.55, 1.0], "anchor": "y2"}, "yaxis2": {"anchor": "x2"},
        "legend": {"x": 0, "y": -0.17}, "legend2": {"x": 0.55, "y": -0.17},
    }  # fmt: skip
    return {"data": lines, "layout": layout}


def png() -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (168, 78), "white").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def figure(alt: str, caption: str) -> list[Any]:
    """A figure, and its caption as a second output."""
    shown = {"alt": alt, "width": 840, "height": 393}
    bundle = {PLOTLY: chart(), "image/png": png(), "text/plain": alt}
    below = f"<p><em>{caption}</em></p><details><summary>Data</summary>1</details>"
    return [
        display(bundle, {"image/png": shown}),
        display({"text/html": below, "text/plain": caption}),
    ]


def states() -> dict:
    """An instrument of two sliders, each with its own effect on the first figure."""
    found = {}
    for high in range(3):
        for other in range(2):
            found[f"{high},{other}"] = [
                {"path": ["data", 0, "y"], "value": [0, high + 1]},
                {"path": ["data", 1, "name"], "value": f"b{other}"},
                {"path": ["caption"], "value": f"It rises to {high + 1}, b{other}."},
            ]
    controls = [
        {"name": "high", "label": "Height", "values": ["1", "2", "3"], "start": 2},
        {"name": "other", "label": "Other", "values": ["no", "yes"], "start": 0},
    ]
    return {"name": "Dial", "controls": controls, "base": chart(), "alt": "a dial",
            "caption": "It rises to 3.", "states": found}  # fmt: skip


def stored(instrument: Any) -> list[Any]:
    """What a stored notebook keeps of an instrument of the library."""
    bundle, metadata = instrument.start._repr_mimebundle_()
    bundle["image/png"] = base64.b64encode(bundle["image/png"]).decode()
    caption = instrument.start.caption
    below = {"text/html": instrument.start.html_below, "text/plain": caption}
    kept = {STATES: instrument.states(), "text/plain": "Run it to move it."}
    told = json.loads(json.dumps([[bundle, metadata], [below, {}], [kept, {}]]))
    return [display(data, details) for data, details in told]
