"""Build notebooks from their reviewed sources, deterministically.

A source is `notebooks/src/NN_name.py` in jupytext's py:percent form. It opens with a
YAML header whose `jupyter.workbench` mapping declares what the runner needs:

    # ---
    # jupyter:
    #   workbench:
    #     title: "20 · DPO, anatomy"
    #     part: offline
    #     path: core
    #     needs: ["01", "10"]
    #     minutes: 90
    #     budget_s: {ci: 30, lecture: 60, figure: 900}
    #     stderr_allow: ["^Setting `pad_token_id`"]
    # ---

    # %% [markdown]
    # # 20 · DPO, anatomy

    # %% tags=["parameters"]
    PROFILE = "lecture"
    SEED = 0

* `title` (required): shown in the site and in progress lines.
* `part` (optional): groups notebooks in the site's index.
* `path` (lessons): core or elective; a study, `NNx_name`, has none.
* `needs`, `minutes` (lessons): the lessons to have done before, the time it takes.
* `budget_s` (required): wall-clock seconds allowed per profile, kernel start included.
* `stderr_allow` (optional): regular expressions; a line on stderr that none of them
  matches fails the notebook.

The parameters cell holds literals only (a derived value would keep its default when a
parameter is injected) and declares at least `PROFILE`. The runner injects those of
`PROFILE`, `OUT`, `DEVICE` and `SEED` that are declared. Two cell tags matter to the
verdict: `parameters`, and `raises-exception` on a cell whose error is intended. Cells
tagged `solution` are folded, in JupyterLab and on the site.

`jupytext --to py:percent` of an edited notebook gives the header back: pyproject.toml
keeps `workbench` in jupytext's metadata filter.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.runner import colab, grammar
from workbench.runner.stamp import ADDED, cells_hash, code_hash

STUDY = re.compile(r"\d\d[a-z]_")  # 22a_bco, beside the lesson 22_thumbs
PROFILES = ("ci", "lecture", "figure")
KEPT_CELL_METADATA = ("tags", "slideshow", "editable", "collapsed", "jupyter")
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


class SourceError(ValueError):
    """A notebook source lacks something that the runner needs."""


class BrokenNotebook(ValueError):
    """A file ends in .ipynb and holds no notebook; the message says what it holds."""


@dataclass(frozen=True)
class Source:
    """A notebook source and what it declares.

    Attributes:
        path: the py:percent file.
        notebook: the notebook built from it, without outputs.
        title: shown in the site.
        part: group in the site's index, may be empty.
        kind: core, elective or study; empty for a notebook of another sort.
        needs: numbers of the lessons that a reader should have done before.
        minutes: how long a reader takes, 0 if it does not say.
        budget_s: profile -> wall-clock seconds.
        stderr_allow: patterns of expected lines on stderr.
        parameters: declared parameter names -> their defaults.
    """

    path: Path
    notebook: Any
    title: str
    part: str
    kind: str
    needs: tuple[str, ...]
    minutes: int
    budget_s: dict[str, float]
    stderr_allow: tuple[str, ...]
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        """The file's name without its ending, such as `20_dpo`."""
        return self.path.stem

    @property
    def folder(self) -> Path:
        """The working directory of the kernel: `notebooks/`, as in JupyterLab."""
        parent = self.path.resolve().parent
        return parent.parent if parent.name == "src" else parent


def read(path: Path) -> Source:
    """Read a py:percent source.

    Args:
        path: the source.

    Returns:
        The source with its notebook: stable cell ids, no outputs, kernelspec python3.

    Raises:
        SourceError: a missing or malformed header or parameters cell.
    """
    grammar.leave_out()
    import jupytext

    notebook = jupytext.read(path, fmt="py:percent")
    declared = notebook.metadata.get("workbench") or {}
    title, budget = declared.get("title"), declared.get("budget_s")
    if not isinstance(title, str) or not title.strip():
        raise SourceError(f"{path}: the header has no jupyter.workbench.title")
    if not isinstance(budget, dict) or set(budget) != set(PROFILES):
        raise SourceError(
            f"{path}: jupyter.workbench.budget_s must give seconds for each of "
            f"{', '.join(PROFILES)}"
        )
    allow = tuple(declared.get("stderr_allow", ()))
    for pattern in allow:
        try:
            re.compile(pattern)
        except re.error as error:
            raise SourceError(f"{path}: stderr_allow {pattern!r}: {error}") from None
    source = Source(
        path=path,
        notebook=notebook,
        title=title,
        part=str(declared.get("part", "")),
        kind="study" if STUDY.match(path.stem) else str(declared.get("path", "")),
        needs=tuple(map(str, declared.get("needs", ()))),
        minutes=int(declared.get("minutes", 0)),
        budget_s={profile: float(budget[profile]) for profile in PROFILES},
        stderr_allow=allow,
        parameters=_parameters(path, notebook),
    )
    repository = colab.address(source.folder.parent)
    if repository:
        colab.add(notebook, source.name, repository)
    _normalise(source)
    return source


def write(notebook: Any, path: Path) -> None:
    """Write a notebook atomically, with sorted keys, so that equal means same bytes."""
    grammar.leave_out()
    import nbformat

    text = nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    partial.replace(path)


def load(path: Path) -> Any:
    """Read an .ipynb file as notebook format 4.

    Raises:
        BrokenNotebook: it holds no notebook, such as after a conflict or a full disk.
    """
    grammar.leave_out()
    import nbformat

    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.strip():
        raise BrokenNotebook("is empty")
    if re.search(r"(?m)^(<{7}|>{7}) ", text):
        raise BrokenNotebook("holds the marks of a merge conflict")
    try:
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises what it meets, KeyError among it
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BrokenNotebook(f"is no notebook ({first[:120]})") from None
    return notebook


def carry_outputs(built: Any, executed: Any) -> Any | None:
    """Put the outputs of an executed copy into a freshly built notebook.

    Prose may change without a new execution: only the code decides.

    Args:
        built: a notebook without outputs.
        executed: an executed copy, perhaps of older prose.

    Returns:
        A copy of `built` with outputs, or None if the code differs.
    """
    import copy

    if code_hash(built) != code_hash(executed):
        return None
    merged = copy.deepcopy(built)
    merged.metadata = copy.deepcopy(executed.metadata)
    merged.metadata["workbench"] = {
        **executed.metadata.get("workbench", {}),
        **built.metadata["workbench"],
    }
    code = (cell for cell in executed.cells if _is_own_code(cell))
    for cell in merged.cells:
        if _is_own_code(cell):
            old = next(code)
            cell.outputs = copy.deepcopy(old.outputs)
            cell.execution_count = old.execution_count
    return merged


def sync(source: Source, target: Path) -> str:
    """Bring `notebooks/NN_name.ipynb` up to date with its source.

    A notebook that somebody edited in JupyterLab is left alone. One whose code is
    unchanged keeps its outputs; one whose code changed loses them and its stamp, until
    it is published again.

    Args:
        source: the reviewed source.
        target: the notebook that people open.

    Returns:
        "written", "kept" (nothing to do) or "edited" (left alone).
    """
    if not target.exists():
        write(source.notebook, target)
        return "written"
    current = load(target)
    written = current.metadata.get("workbench", {}).get("source")
    if written != cells_hash(current):
        return "edited"
    if written == cells_hash(source.notebook):
        return "kept"
    write(carry_outputs(source.notebook, current) or source.notebook, target)
    return "written"


def _is_own_code(cell: Any) -> bool:
    tags = cell.metadata.get("tags", [])
    return cell.cell_type == "code" and not ADDED & set(tags)


def _parameters(path: Path, notebook: Any) -> dict[str, Any]:
    """Names and literal values of the one cell tagged `parameters`."""
    cells = [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(cells) != 1:
        raise SourceError(f"{path}: {len(cells)} cells tagged parameters, expected one")
    found: dict[str, Any] = {}
    try:
        for node in ast.parse(cells[0].source).body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                target = node.target
            else:
                raise ValueError(ast.unparse(node))
            if not isinstance(target, ast.Name):
                raise ValueError(ast.unparse(node))
            found[target.id] = ast.literal_eval(node.value)
    except (SyntaxError, ValueError) as error:
        raise SourceError(
            f"{path}: the parameters cell holds NAME = literal only: {error}"
        ) from None
    return found


def _normalise(source: Source) -> None:
    """Stable ids and only the metadata that means something."""
    import nbformat

    notebook = source.notebook
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        kept = {k: cell.metadata[k] for k in KEPT_CELL_METADATA if k in cell.metadata}
        if "solution" in kept.get("tags", ()):
            # JupyterLab folds it: a reader opens it after an attempt
            kept["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
        cell.metadata = nbformat.from_dict(kept)
        # Hash of the text and of how often it occurred: inserting a cell does not
        # change the ids of the others.
        key = f"{cell.cell_type}\0{cell.source}"
        seen[key] = seen.get(key, 0) + 1
        cell.id = hashlib.sha256(f"{key}\0{seen[key]}".encode()).hexdigest()[:12]
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": KERNELSPEC,
            "language_info": {"name": "python"},
            "workbench": {
                **notebook.metadata["workbench"],
                "source": cells_hash(notebook),
            },
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
