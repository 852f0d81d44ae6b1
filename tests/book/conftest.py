"""One small book, built by Sphinx once a session, and how it is read."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nbformat.v4 as v4
import pandas as pd
import pytest

from tests.book.made import (
    Project,
    claim,
    display,
    figure,
    put,
    source,
    states,
    stored,
)  # fmt: skip
from tests.browser.conftest import Watched
from tests.local import folder_served
from tests.runner.test_safe import MARKUP
from workbench import catalogue, experiment
from workbench.book import binding
from workbench.runner.publish import STATES
from workbench.views.instruments.clip_explorer import clip_explorer

WORDS = r"""Formulas: $\beta \log Z$ and

$$\begin{aligned} a &= b \\ c &= d \end{aligned}$$

See [the other](11_other.ipynb), [there](11_other.ipynb#a-part), the
[glossary](../GLOSSARY.md), [data](20_pairs.csv) and
[theirs](https://a.invalid/21_b.ipynb)."""
ACTING = """```{raw} html
<script>steal()</script>
```

```{include} secret.txt
```

:::{note}
no note
:::

{ref}`genindex` and ![](https://evil.invalid/a.png)

% no comment

(target)=
"""
SOLVED = """
# %% [markdown]
# ## A part

# %% tags=["solution"]
folded_cell = 2

# %% [markdown] tags=["solution"]
# folded words

# %%
{long}
"""
GLOSSARY = """# Glossary

Symbols: $\\pi$ is a policy.

## Words

| word | meaning | example |
|---|---|---|
| **zebrafish** | a word that stands nowhere else, $\\log 2$ | `good` |
| **end of sequence, EOS** | the last token | <script>steal()</script> |
"""
LONG = "\n".join(f"line_{n} = {n}" for n in range(30))
BIBTEX = "@misc{rafailov2023_2305_18290,"


def outputs() -> list:
    """What a lesson may show: figures, an instrument, claims, a wide table."""
    remark = "Run this notebook in JupyterLab to move it."
    moved = display({STATES: states(), "text/html": remark, "text/plain": remark})
    svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>steal()</script></svg>"
    wide = "".join(f"<td>column {n}</td>" for n in range(40))
    told = [
        *figure('reward "<b>" & KL', "The first caption."),
        *figure("a dial", "The caption of the dial."), moved,
        display({"image/svg+xml": svg, "text/plain": "a drawing"}),
        claim("first"), claim("second", paper="ours", statement=MARKUP[0]),
        display({"text/html": f"<table><tr>{wide}</tr></table>", "text/plain": "w"}),
    ]  # fmt: skip
    return told


def arena():
    """A table whose heads are pressed: by gold a is best, by KL b is."""
    rows = [("a", 0, 0.9, 3.0), ("b", 0, 0.4, 0.2), ("<i>c</i>", 0, 0.1, 1.0)]
    frame = pd.DataFrame(rows, columns=["method", "seed", "gold", "kl"])
    return experiment.sorter(frame.assign(outside=False, problem=""), live=False)


def acting() -> list:
    """Every markup in every kind of output."""
    told = []
    for text in MARKUP:
        told.append(display({"text/html": f"<p>before</p>{text}"}))
        told.append(display({"text/markdown": f"*before*\n\n{text}"}))
        told.append(display({"text/plain": text, "application/javascript": text}))
        told.append(v4.new_output("stream", name="stdout", text=f"{text}\n"))
        told.append(v4.new_output("error", ename="E", evalue=text, traceback=[text]))
    return told


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Project:
    """A lesson that shows everything, a study of it, and an elective."""
    made = Project(tmp_path_factory.mktemp("book"))
    titled = source("Lesson ten", WORDS, path="core", minutes="90")
    put(made.source("10_all"), titled + SOLVED.format(long=LONG))
    marked = source("Lesson eleven", "\n\n".join([*MARKUP, ACTING]), path="elective")
    put(made.source("11_other"), marked + SOLVED.format(long="x = 1"))
    put(made.source("10a_study"), source("Study ten a"))
    made.commit("10_all", *outputs())
    moved = stored(clip_explorer(live=False)) + stored(arena())
    made.commit("10a_study", *moved, claim("of-study"))
    made.passed("11_other", *acting())
    put(made.root / "data/results/10_all/numbers.csv", "a,b\n1,2\n")
    put(made.root / "GLOSSARY.md", GLOSSARY)
    put(made.root / "notebooks" / "secret.txt", "secret")
    return made


def methods() -> dict:
    """Two methods, one with markup wherever a card and a docstring have text."""
    found = {key: catalogue.cards()[key] for key in ("dpo", "ipo")}
    entry = found["ipo"]
    every = " ".join(MARKUP)
    card = replace(entry.card, title=every, check=every, claim=every, notebook="10")
    fenced = f"Objective:\n    {every}\n    ```\n    x\n"
    doc = entry.doc.replace("Objective:\n", fenced)
    doc = doc.replace("Known mistakes:\n", f"Known mistakes:\n    (1) {every}\n", 1)
    return found | {"ipo": replace(entry, card=card, doc=f"{every}\n\n{doc}")}


@pytest.fixture(scope="session")
def book(project) -> Path:
    """The folder of the small book's pages."""
    rooms = {"core": "Small tools"}
    binding.build_book(project.settings, methods=methods(), rooms=rooms)
    return project.root / "site"


@pytest.fixture(scope="session")
def served(book) -> Iterator[str]:
    """The small book's address on this machine."""
    with folder_served(book) as address:
        yield address


@pytest.fixture
def reader(chrome):
    """Opens pages as wide as it is told; fails on an error or a look elsewhere."""
    opened = []

    def read(width: int = 1280, scheme: str = "light") -> Watched:
        page = chrome.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        watched = Watched(page)
        watched.listen()
        opened.append(watched)
        return watched

    yield read
    for watched in opened:
        watched.page.close()
        assert watched.complaints == []
        remote = [u for u in watched.elsewhere if not u.startswith("file:")]
        assert remote == []
