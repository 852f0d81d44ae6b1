"""A small course and what students hand in of it, good and bad."""

from pathlib import Path

import nbformat.v4 as v4

from workbench.classroom.edition import data_of
from workbench.runner import build

HEADER = """# ---
# jupyter:
#   workbench:
#     title: "20 · DPO"
#     path: core
#     budget_s: {ci: 1, lecture: 1, figure: 1}
# ---

# %% [markdown]
# # 20 · DPO

# %% tags=["parameters"]
PROFILE = "lecture"

# %%
from workbench.lesson import *

# %% [markdown]
# ## Exercises
#
# **20-2 · A number** (●○○, 5 minutes). How much?

# %%
teach.answer("20-2", None)

# %% tags=["solution"]
teach.solution("20-2", 0.5 * np.log(2))

# %% [markdown]
# **20-3 · Bug hunt** (●●○, 10 minutes). Mend it.

# %%
def suspect(batch, cfg):
    raise NotImplementedError

teach.check.dpo(suspect)

# %% [markdown]
# **20-4 · A word** (●●●, 10 minutes). Which?

# %%
teach.answer("20-4", None)

# %% [markdown]
# ## Recap
"""
RIGHT = """
def suspect(batch, cfg):
    return -torch.nn.functional.logsigmoid(cfg.beta * batch.margin())

teach.check.dpo(suspect)"""
WRONG = """
def suspect(batch, cfg):
    return -torch.nn.functional.logsigmoid(-cfg.beta * batch.margin())

teach.check.dpo(suspect)"""
# A cell of a submission: what stands in the place of each open cell, by exercise.
GOOD = {"20-2": 'teach.answer("20-2", 0.3466)', "20-3": RIGHT,
        "20-4": 'teach.answer("20-4", "none")'}  # fmt: skip


def course(root: Path) -> Path:
    """A clone with one lesson of three exercises, worth 1, 2 and 3 points."""
    folder = root / "notebooks" / "src"
    folder.mkdir(parents=True)
    (folder / "20_dpo.py").write_text(HEADER, encoding="utf-8")
    return root


def submission(root: Path, cells: dict[str, str]) -> bytes:
    """A student's notebook.

    Args:
        root: the clone.
        cells: exercise -> code of its open cell; "setup" stands before all exercises.
    """
    notebook = build.read(root / "notebooks/src/20_dpo.py").notebook
    notebook.metadata["workbench"] = {"title": "20", "lesson": "20_dpo"}
    kept, here = [], None
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "Exercises" in cell.source:
            kept.append(v4.new_code_cell(cells.get("setup", "")))
        if "solution" in cell.metadata.get("tags", []):
            continue
        if cell.cell_type == "markdown" and "**20-" in cell.source:
            here = cell.source.partition("**")[2][:4]
        elif cell.cell_type == "code" and here in cells:
            cell.source = cells[here]
        kept.append(cell)
    notebook.cells = kept
    return data_of(notebook)
