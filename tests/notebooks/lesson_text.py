"""What the rules of form read: prose, code, exercises, and a copy's outputs."""

import ast
import csv
import re
from pathlib import Path
from typing import Any

PLOTLY = "application/vnd.plotly.v1+json"
EXERCISE = re.compile(r"^\*\*(\d\d-\d+) · ", re.M)
# Captions, claims and settings are prose that happens to stand in a call.
SENTENCE = re.compile(
    r"\s*((caption|statement|title|setting|paper|meaning|because|question)=)?"
    r'\(?f?".*"[\),]*$'
)


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def taught(cells: list) -> list:
    """The cells of a student's copy: without the solutions."""
    return [cell for cell in cells if "solution" not in tags(cell)]


def code(cell: Any) -> list[str]:
    """Lines of a code cell but imports, sentences, closing brackets and blank lines."""
    lines = cell.source.splitlines()
    imports = {
        number
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, node.end_lineno + 1)
    }
    numbered = enumerate(lines, start=1)
    kept = [line for n, line in numbered if line.strip() and n not in imports]
    return [x for x in kept if not SENTENCE.match(x) and x.strip(" )]},")]


def headings(cell: Any) -> list[str]:
    """The headings in a markdown cell, without their marks."""
    if cell.cell_type != "markdown":
        return []
    return re.findall(r"^#{1,4} (.+)$", cell.source, re.M)


def exercise_blocks(cells: list) -> dict[str, list]:
    """The cells of each exercise by its id, from its text to the next heading."""
    blocks: dict[str, list] = {}
    here = None
    for cell in cells:
        if cell.cell_type == "markdown":
            found = EXERCISE.search(cell.source)
            if found:
                here = found[1]
            elif headings(cell):
                here = None
        if here:
            blocks.setdefault(here, []).append(cell)
    return blocks


def names_defined(cell: Any) -> set[str]:
    """Names that a cell binds, those inside its functions aside."""
    tree = cell if isinstance(cell, ast.AST) else ast.parse(cell.source)
    found, todo = set(), list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.Lambda | ast.comprehension):
            continue
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp):
            continue
        if isinstance(node, ast.GeneratorExp):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(a.asname or a.name).split(".")[0] for a in node.names}
        todo += list(ast.iter_child_nodes(node))
    return found


def names_used(cell: Any) -> set[str]:
    """Names that a cell reads."""
    return {
        node.id
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def prose(cells: list) -> str:
    """The text that a reader reads: markdown, and sentences in calls.

    Formulas, code between backticks, addresses and references are left out.
    """
    parts = []
    for cell in cells:
        if cell.cell_type == "markdown":
            parts.append(without_formulas(cell.source).partition("## References")[0])
        else:
            parts += re.findall(r'caption=\(?\s*f?"([^"]*)"', cell.source)
    return re.sub(r"https?://\S+", "", "\n".join(parts))


def without_formulas(text: str) -> str:
    """Markdown without formulas, code and the targets of links."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)
    text = re.sub(r"\$[^$]*\$", "", text)
    text = re.sub(r"`[^`]*`", "", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def raw_formulas(cell: Any) -> list[str]:
    """Formulas in letters of prose: a symbol with an index, a sum, a logarithm."""
    if cell.cell_type != "markdown":
        return []
    text = without_formulas(cell.source)
    symbol = r"[A-Za-zα-ωΑ-Ω]_[A-Za-z{π]\w*|[βλτ] log|log π|Σ[_ ]?\w|E_\w|[πQV]\*|√\w"
    return re.findall(symbol, text)


def outputs(notebook: dict) -> list[dict]:
    """All outputs of a committed copy."""
    code_cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [output for cell in code_cells for output in cell.get("outputs", [])]


def figures(notebook: dict) -> list[dict]:
    """The live figures of a committed copy."""
    return [o["data"][PLOTLY] for o in outputs(notebook) if PLOTLY in o.get("data", {})]


def figure_titles(notebook: dict) -> list[str]:
    """The titles over panels and over whole figures."""
    titles = []
    for figure in figures(notebook):
        layout = figure["layout"]
        titles += [note["text"] for note in layout.get("annotations", [])]
        titles += [layout["title"]["text"]] if "title" in layout else []
    return titles


def printed(notebook: dict) -> str:
    """What the cells print or show as text or table, source listings aside."""
    parts = []
    for output in outputs(notebook):
        data = output.get("data", {})
        if PLOTLY in data or "text/html" in data and "workbench-source" in str(data):
            continue
        text = [output.get("text", ""), data.get("text/plain", "")]
        text.append(data.get("text/markdown", ""))
        parts += ["".join(part) for part in text]
    return "\n".join(parts)


def claims(root: Path, name: str) -> list[dict]:
    """The judged claims of a notebook."""
    path = root / "data/results" / name / "claims.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
