"""The catalogue finds methods by itself, sees what is missing, writes the tables."""

import re
import sys
from types import ModuleType

import pytest

from workbench import catalogue
from workbench.catalogue import pages
from workbench.catalogue.__main__ import main
from workbench.core.card import Card
from workbench.teach import claim

METHODS = catalogue.methods()


def test_every_method_file_is_found():
    files = (catalogue.ROOT / "workbench/methods").glob("*/*.py")
    names = {path.stem for path in files if not path.stem.startswith("_")}
    assert set(METHODS) == names


def test_methods_stand_by_family():
    families = [module.card.family for module in METHODS.values()]
    ranks = [list(catalogue.FAMILIES).index(family) for family in families]
    assert ranks == sorted(ranks)


def test_nothing_is_missing():
    assert catalogue.all_problems() == []


def test_generated_files_are_up_to_date():
    names = [path.name for path in catalogue.stale()]
    assert names == [], "run python -m workbench.catalogue --write"


def test_table_has_a_row_a_method():
    rows = catalogue.table()
    assert [row["key"] for row in rows] == list(METHODS)
    dpo = next(row for row in rows if row["key"] == "dpo")
    assert dpo["needs"] == "pairs, reference"
    assert dpo["module"] == "workbench.methods.offline.dpo"


def test_known_mistakes_are_read_from_the_docstring():
    module = ModuleType("m")
    module.__doc__ = """Title.

    Objective: f(1) = x (2) is no mistake.
    Compared with DPO: nothing.
    Valid only if: always.
    Minimiser: none.
    Known mistakes:
        (1) first, with log(2) in it,
            over two lines.
        (2) second.
    """
    told = catalogue.known_mistakes(module)
    assert told == {1: "first, with log(2) in it, over two lines", 2: "second"}
    assert catalogue.section(module, "Valid only if") == "always."
    assert catalogue.section(module, "Objective") == "f(1) = x (2) is no mistake."


def copy_of_dpo(**changes) -> ModuleType:
    """DPO's module with some names changed; None deletes one."""
    dpo = METHODS["dpo"]
    module = ModuleType(dpo.__name__)
    vars(module).update(vars(dpo))
    for name, value in changes.items():
        delattr(module, name) if value is None else setattr(module, name, value)
    return module


DOC = METHODS["dpo"].__doc__
CARD = vars(METHODS["dpo"].card)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"__doc__": DOC.replace("Minimiser:", "Optimum:")}, "no heading 'Minimiser"),
        ({"__doc__": ""}, "no heading 'Objective'"),
        ({"__doc__": "Objective:" + DOC.partition("Objective:")[2]}, "one line"),
        ({"__doc__": DOC.replace("(2)", "(9)")}, "numbered"),
        ({"mistakes": {}}, "mistakes has []"),
        ({"mistakes": {"swapped": None}}, "mistakes has ['swapped']"),
        ({"Config": None}, "Config"),
        ({"Config": object}, "Config"),
        ({"loss": None}, "it defines none of loss"),
        ({"card": Card(**CARD | {"key": "odd"})}, "key 'odd'"),
        ({"card": Card(**CARD | {"family": "odd"})}, "family 'odd'"),
        ({"card": Card(**CARD | {"paper": ""})}, "paper is empty"),
    ],
)
def test_what_is_missing_is_named(changes, problem):
    assert any(problem in found for found in catalogue.problems(copy_of_dpo(**changes)))


def test_headings_out_of_order_are_a_problem():
    head, objective, rest = DOC.partition("Objective:")
    moved = head + "Known mistakes: (1) sign.\n\n" + objective + rest
    found = catalogue.problems(copy_of_dpo(__doc__=moved))
    assert any("out of order" in problem for problem in found)


def test_unknown_parent_is_a_problem():
    orphan = copy_of_dpo(card=Card(**CARD | {"parents": ("nobody",)}))
    assert any("'nobody'" in p for p in catalogue.all_problems({"dpo": orphan}))


def test_two_modules_with_one_key_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "twice"
    package.mkdir()
    (package / "__init__.py").touch()
    text = "from workbench.methods.offline.dpo import card\n"
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("twice")
    try:
        with pytest.raises(ValueError, match="dpo"):
            catalogue.methods(module)
    finally:
        for name in ("twice", "twice.one", "twice.two"):
            sys.modules.pop(name, None)


@pytest.fixture
def results(tmp_path):
    """Two notebooks with a claim each."""
    shared = {"paper": "A 2024", "expected": "positive"}
    root = tmp_path / "results"
    claim(key="a", statement="x | <b>y</b>", effect=[10, 11, 12], unit="nats",
          out=root / "20_b", **shared)  # fmt: skip
    claim(key="b", statement="z", effect=[1, 2, 3], out=root / "01_a", **shared)
    return root


def test_claims_table_counts_and_escapes(results):
    text = catalogue.claims_page(catalogue.claims(results))
    assert "2 claims judged: 1 not at this scale, 1 reproduced." in text
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row[2:4] for row in rows] == ["01", "20"]
    assert "x \\| &lt;b&gt;y&lt;/b&gt; (A 2024)" in rows[1]
    assert "11 nats [8.52, 13.5], 3 seeds" in rows[1]


def test_claims_are_counted_by_notebook(results):
    text = catalogue.claims_markdown(catalogue.claims(results))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| Notebook | not at this scale | reproduced |"
    assert rows[2:] == ["| 01 a | 1 |  |", "| 20 b |  | 1 |"]


def test_text_brings_no_markup_of_its_own():
    assert pages._cell("π*_β a|b <i>") == "π\\*\\_β a\\|b &lt;i&gt;"
    assert pages._cell("as ``a_b`` in c_d") == "as ``a_b`` in c\\_d"


def test_no_claims_is_said():
    assert catalogue.claims_markdown([]) == "No claim has been judged yet."


def test_markers_are_replaced_and_the_rest_is_kept():
    text = "a\n<!-- m:begin -->\nold\n<!-- m:end -->\nb\n"
    once = catalogue.between(text, "m", "new")
    assert once == "a\n<!-- m:begin -->\nnew\n<!-- m:end -->\nb\n"
    assert catalogue.between(once, "m", "new") == once
    with pytest.raises(ValueError, match="markers"):
        catalogue.between("a", "m", "new")


def test_a_changed_readme_is_stale(tmp_path):
    root = tmp_path
    text = (catalogue.ROOT / "README.md").read_text(encoding="utf-8")
    (root / "README.md").write_text(text, encoding="utf-8")
    pages.write(root)
    assert catalogue.stale(root) == []
    (root / "METHODS.md").write_text("edited by hand", encoding="utf-8")
    assert [path.name for path in catalogue.stale(root)] == ["METHODS.md"]


def test_links_in_the_pages_lead_somewhere():
    anchors = set(re.findall(r"^### (\S+)$", catalogue.methods_page(), re.MULTILINE))
    assert set(re.findall(r"\]\(#(\w+)\)", catalogue.methods_page())) <= anchors
    readme = (catalogue.ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"METHODS\.md#(\w+)", readme)) == anchors
    assert set(METHODS) == anchors


def test_local_links_of_the_readme_exist():
    readme = (catalogue.ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#\w+)?\)", readme)
    missing = [link for link in links if not (catalogue.ROOT / link).exists()]
    assert missing == []


def test_readme_lists_every_notebook():
    readme = (catalogue.ROOT / "README.md").read_text(encoding="utf-8")
    path = readme.partition("## Reading path")[2].partition("##")[0]
    listed = set(re.findall(r"\| (\d\d) ", path))
    sources = (catalogue.ROOT / "notebooks/src").glob("[0-9][0-9]_*.py")
    assert {source.name[:2] for source in sources} <= listed


def test_citation_has_the_version_of_the_package():
    import workbench

    text = (catalogue.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {workbench.__version__}\n" in text


def test_command_lists_the_methods(capsys):
    assert main([]) == 0
    assert set(METHODS) <= set(capsys.readouterr().out.split())
