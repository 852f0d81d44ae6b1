"""The catalogue finds methods by itself, sees what is missing, writes the tables."""

import csv
import dataclasses
import importlib
import inspect
import io
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from workbench import catalogue
from workbench.catalogue import pages
from workbench.catalogue.__main__ import main
from workbench.catalogue.lessons import lessons, owners
from workbench.catalogue.settings import settings
from workbench.core.card import Card
from workbench.teach import claim

METHODS = catalogue.methods()
ENTRIES = catalogue.cards()


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
    assert dpo["module"] == "workbench.methods.direct.links.dpo"


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
    text = "from workbench.methods.direct.links.dpo import card\n"
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
    listed = set(re.findall(r"\| \[?(\d\d) ", path))
    sources = (catalogue.ROOT / "notebooks/src").glob("[0-9][0-9]_*.py")
    assert {source.name[:2] for source in sources} <= listed


def test_citation_has_the_version_of_the_package():
    import workbench

    text = (catalogue.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {workbench.__version__}\n" in text


def test_command_lists_the_methods(capsys):
    assert main([]) == 0
    assert set(METHODS) <= set(capsys.readouterr().out.split())


# ---- read off the text, without an import -----------------------------------------


def test_the_cards_as_read_are_the_cards_as_imported():
    assert list(ENTRIES) == list(METHODS)
    for key, module in METHODS.items():
        entry = ENTRIES[key]
        assert entry.card == module.card
        assert entry.module == module.__name__
        assert entry.doc == inspect.getdoc(module)
        assert entry.mistakes == catalogue.known_mistakes(module)


def same_default(setting, field, module) -> bool:
    """Whether a default as read is that of the field; code is run in its module."""
    if setting.required or field.default is dataclasses.MISSING:
        return setting.required and field.default is field.default_factory
    if setting.default == field.default:
        return type(setting.default) is type(field.default)
    return eval(setting.default, dict(vars(module))) == field.default


@pytest.mark.parametrize("key", METHODS)
def test_the_settings_as_read_are_the_fields_of_config(key):
    module = METHODS[key]
    fields = dataclasses.fields(module.Config)
    read = settings(module.__name__)
    assert [setting.name for setting in read] == [field.name for field in fields]
    for setting, field in zip(read, fields, strict=True):
        assert same_default(setting, field, module), setting
        assert len(setting.source) > 2


TEXT = """
from dataclasses import replace

import workbench.core.card as cards
from workbench.core.card import Card
from workbench.core.card import Card as Entry
from workbench.methods.offline import dpo

LESSON = "20"
FIELDS = dict(key="odd", title="Odd", family="offline", parents=("dpo",),
    needs=("pairs",), paper="A 2020", check="c", claim="d", notebook="20")
"""
WORDS = """key="odd", title="Odd", family="offline", parents=("dpo",),
    needs=("pairs",), paper="A 2020", check="c", claim="d", notebook="20"
"""
CARDS = {
    "literal": f"card = Card({WORDS})",
    "annotated": f"card: Card = Card({WORDS})",
    "renamed import": f"card = Entry({WORDS})",
    "by position": 'card = Card("odd", "Odd", "offline", ("dpo",), ("pairs",), '
    '"A 2020", "c", "d", "20")',
    "module of Card": f"card = cards.Card({WORDS})",
    "a sum": f"card = Card({WORDS})".replace('"Odd"', '"O" + "dd"'),
    "an f-string": f"card = Card({WORDS})".replace('"Odd"', 'f"{LESSON} Odd"'),
    "a constant": f"card = Card({WORDS})".replace('"20"', "LESSON"),
    "a dictionary": "card = Card(**FIELDS)",
    "a change of another": 'card = replace(dpo.card, key="odd", title="Odd")',
    "two assignments": f'card = Card({WORDS})\ncard = replace(card, title="Even")',
    "under a condition": f"if LESSON:\n    card = Card({WORDS})",
    "two targets": f"card = other = Card({WORDS})",
    "a pair": f"card, other = Card({WORDS}), 1",
    "inside an expression": f"both = (card := Card({WORDS}))",
    "a function": f"def make():\n    return Card({WORDS})\ncard = make()",
    "another Card": "def Card(**words):\n    return Entry(**words | {'title': 'No'})\n"
    f"card = Card({WORDS})",
    "a loop": f"for card in [Card({WORDS})]:\n    pass",
    "a new docstring": f"__doc__ = 'Other.'\ncard = Card({WORDS})",
}
READABLE = ("literal", "annotated", "renamed import", "by position", "module of Card")
NO_CARDS = {
    "no card": "",
    "a word": "# this card = Card(nothing)",
    "a module": "from workbench.core import card",
    "a local name": f"def f():\n    card = Card({WORDS})\n    return card",
    "a member": f"class A:\n    card = Card({WORDS})",
    "another thing": "card = 3",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that makes an importable package with one module, ``odd``."""
    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A package."""', encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def make(text: str) -> ModuleType:
        (folder / "odd.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        return importlib.import_module("strange")

    yield make
    for name in [n for n in sys.modules if n.split(".")[0] == "strange"]:
        del sys.modules[name]


@pytest.mark.parametrize("form", CARDS)
def test_a_card_built_in_any_way_is_found(package, form):
    made = package(f'"""Odd: one.\n\nObjective: L.\n"""\n{TEXT}\n{CARDS[form]}\n')
    read = catalogue.cards(made)
    assert ("strange.odd" in sys.modules) == (form not in READABLE)
    [(key, module)] = catalogue.methods(made).items()
    doc = inspect.getdoc(module)
    assert read == {key: catalogue.Entry(module.card, "strange.odd", doc)}


def test_a_card_that_is_imported_from_another_file_is_found(package):
    for line in ("import card", "import *"):
        made = package(f"from workbench.methods.direct.links.dpo {line}")
        assert list(catalogue.cards(made)) == ["dpo"]
        del sys.modules["strange.odd"]


@pytest.mark.parametrize("form", NO_CARDS)
def test_what_only_looks_like_a_card_is_none(package, form):
    made = package(f"{TEXT}\n{NO_CARDS[form]}\n")
    assert catalogue.cards(made) == {} == catalogue.methods(made)


def test_two_files_with_one_key_are_refused_as_they_are_read(package):
    text = f"{TEXT}\ncard = Card({WORDS})\n"
    made = package(text)
    (Path(made.__path__[0]) / "even.py").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="key odd is in strange.even and strange.odd"):
        catalogue.cards(made)


CONFIG = """
from dataclasses import KW_ONLY, dataclass, field
from math import inf
from typing import ClassVar

from workbench.methods.offline import dpo, nca, rpo
from workbench.methods.direct.links.dpo import Config as Base
from workbench.methods.direct.pessimism.rpo import Config as Wide

WIDTH = 3
"""
FROZEN = "@dataclass(frozen=True)\nclass Config"
CONFIGS = {
    "own fields": f"{FROZEN}:\n    a: int\n    b: float = -1e-3  # ours\n"
    "    c: tuple = (1, 'x')  # ours",
    "code": f"{FROZEN}:\n    a: float = inf  # ours\n    b: int = WIDTH * 2  # ours",
    "an alias": "Config = rpo.Config",
    "an alias of an alias": "Config = nca.Config",
    "an imported name": "Config = Wide",
    "an import": "from workbench.methods.direct.pessimism.rpo import Config",
    "a base": f"{FROZEN}(Base):\n    a: int = 1  # ours",
    "a base that is changed": f"{FROZEN}(rpo.Config):\n    reduce: str = 'mean'  # ours"
    "\n    a: int = 1  # ours",
    "two bases": "@dataclass(frozen=True)\nclass One:\n    a: int = 1  # ours\n"
    f"{FROZEN}(One, Base):\n    beta: float = 2.0  # ours",
    "no field": f"{FROZEN}:\n    pass",
    "no Config": "",
    "a base with nothing new": 'class Config(dpo.Config):\n    """As DPO."""',
    "fields of all kinds": f"{FROZEN}:\n    a: ClassVar[int] = 1\n"
    "    b: int = field(default=2)\n    c: list = field(default_factory=list)\n"
    "    d: int = field(init=False)",
    "words only": f"{FROZEN}:\n    _: KW_ONLY\n    a: int = 1",
    "under a condition": "if WIDTH:\n    Config = dpo.Config",
    "a call": "Config = dataclass(frozen=True)(type('Config', (dpo.Config,), {}))",
    "no dataclass": "class Config(dpo.Config):\n    a: int = 1",
}


@pytest.mark.parametrize("form", CONFIGS)
def test_settings_of_any_config_are_told(package, form):
    package(f"{CONFIG}\n{CONFIGS[form]}\n")
    read = settings("strange.odd")
    module = importlib.import_module("strange.odd")
    config = vars(module).get("Config")
    fields = [f for f in dataclasses.fields(config) if f.init] if config else []
    assert [setting.name for setting in read] == [field.name for field in fields]
    for setting, field in zip(read, fields, strict=True):
        if field.default_factory is not dataclasses.MISSING:
            assert setting.default == field.default_factory()
        else:
            assert same_default(setting, field, module), setting


def test_a_base_whose_name_was_bound_anew_is_the_new_one(package):
    package(f"{CONFIG}\nBase = rpo.Config\n{FROZEN}(Base):\n    a: int = 1")
    names = [setting.name for setting in settings("strange.odd")]
    assert names == [f.name for f in dataclasses.fields(METHODS["rpo"].Config)] + ["a"]


def test_an_inherited_default_keeps_its_source_and_takes_the_new_meaning(package):
    package(f'''{CONFIG}
@dataclass(frozen=True)
class Config(dpo.Config):
    """Mine.

    Attributes:
        beta: as in DPO,
            in nats.
        a: a number.
    """

    a: int = (
        1  # ours: the least
    )
''')
    beta, a = settings("strange.odd")
    assert (beta.source, beta.meaning) == ("paper, appendix B", "as in DPO, in nats.")
    assert (a.source, a.meaning) == ("ours: the least", "a number.")


# ---- whose claim is whose ---------------------------------------------------------


@pytest.mark.parametrize(
    ("notebook", "statement", "keys"),
    [
        # the only method of its lesson, named or not
        ("20_dpo", "The implicit reward of the chosen responses falls", "dpo"),
        ("20_dpo", "At a β above the turning point", "dpo"),
        ("31_ppo", "Whitening helps", "ppo"),
        ("11_best_of_n", "With more comparisons best-of-n's gold", "best_of_n"),
        # named by key, by title, or by what its docstring begins with
        ("21_links", "IPO's KL depends on τ", "ipo"),
        ("21_links", "The mean log-ratio of chosen responses rises", "apo_zero"),
        ("23_divergences", "χPO's final gold rises", "chipo"),
        ("24_noisy_labels", "At 20 % flips rDPO keeps the slope", "rdpo"),
        ("25_length", "R-DPO keeps the length", "length_dpo"),
        ("25_length", "LN-DPO's responses grow less", "ln_dpo"),
        ("27_overoptimisation", "Gold falls less with pessimistic VPO", "vpo_offline"),
        ("28_lists_and_scores", "NLL, wBC and R-GOLD", "a_lol r_gold wbc"),
        ("25_length", "On equal lengths T, SimPO at", "cpo simpo"),
        # not named, but of the paper of one method
        ("21_links", "cDPO and EXO stop at the same D", "exo_pref"),
        ("25_length", "The odds-ratio term parts the pair", "orpo"),
        # of another lesson's method, or of no method alone
        ("21_links", "Without the weight gold ends below DPO's", ""),
        ("26_displacement", "DPO from SFT on the chosen", ""),
        ("80_arena", "No method lies above the exact frontier", ""),
        ("01_exact_world", "No policy of the walks", ""),
    ],
)  # fmt: skip
def test_a_judged_claim_belongs_to_the_methods_it_is_about(notebook, statement, keys):
    rows = [
        row
        for row in catalogue.claims()
        if row["notebook"] == notebook and row["statement"].startswith(statement)
    ]
    assert rows
    for found in owners(rows, ENTRIES.values()):
        assert " ".join(sorted(found)) == keys


def named(statement: str, paper: str = "nobody", notebook: str = "25_x") -> list[str]:
    """The owners of a claim that was never made."""
    row = {"statement": statement, "paper": paper, "notebook": notebook}
    return owners([row], ENTRIES.values())[0]


def test_a_name_inside_a_longer_name_or_word_is_not_named():
    assert named("Length-normalised DPO is not DPO.") == ["ln_dpo"]
    assert named("Scpo, cpop, cpo-like and a-CPO are something else.") == []
    assert named("The CPO's loss.") == ["cpo"]
    assert named("length\u2013normalised dpo wins.") == ["ln_dpo"]
    assert named("cdpo wins.", notebook="24_x") == ["cdpo"]


def test_a_claim_of_a_paper_that_two_methods_share_is_of_neither():
    paper = ENTRIES["a_lol"].card.paper
    assert named("It wins.", paper, "28_x") == []
    assert named("A-LoL wins.", paper, "28_x") == ["a_lol"]


def test_no_claim_is_given_to_a_method_of_another_lesson():
    rows = catalogue.claims()
    for row, keys in zip(rows, owners(rows, ENTRIES.values()), strict=True):
        lessons_of = {ENTRIES[key].card.notebook for key in keys}
        assert lessons_of <= {row["notebook"].partition("_")[0]}


def test_describe_holds_the_judged_claims_with_numbers():
    told = catalogue.describe(ENTRIES["dpo"], ENTRIES)
    assert len(told["claims"]) == told["lesson"]["claims"] >= 5
    first = told["claims"][0]
    assert first["verdict"] == "reproduced"
    assert first["low"] < first["mean"] < first["high"] < 0
    assert "5 seeds" in first["seen"]


# ---- the claims that the package ships --------------------------------------------


def test_without_a_clone_the_claims_are_those_that_were_shipped(monkeypatch, tmp_path):
    here = catalogue.claims()
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    assert catalogue.claims() == here != []


def test_claims_survive_the_way_through_the_file(results):
    rows = catalogue.claims(results)
    text = pages.claims_csv([*rows, rows[0] | {"statement": 'a "b", c\nd', "new": "e"}])
    back = list(csv.DictReader(io.StringIO(text)))
    assert back[2]["statement"] == 'a "b", c\nd'
    assert [row["new"] for row in back] == ["", "", "e"]


def test_changed_shipped_claims_are_stale(tmp_path):
    text = (catalogue.ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    pages.write(tmp_path)
    shipped = tmp_path / "workbench/data/claims.csv"
    shipped.write_text("", encoding="utf-8")
    assert catalogue.stale(tmp_path) == [shipped]


def test_judged_lessons_have_the_same_names_outside_a_clone(monkeypatch, tmp_path):
    here = lessons()
    monkeypatch.setattr("workbench.catalogue.lessons.ROOT", tmp_path)
    judged = {row["notebook"] for row in catalogue.claims()}
    assert lessons() == tuple(name for name in here if name in judged)
