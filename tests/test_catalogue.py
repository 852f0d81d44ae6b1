"""The catalogue finds methods by itself, sees what is missing, writes the tables."""

import csv
import dataclasses
import importlib
import inspect
import io
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from workbench import catalogue
from workbench.catalogue import pages
from workbench.catalogue.__main__ import main
from workbench.catalogue.index import plain
from workbench.catalogue.lessons import lessons, owners
from workbench.catalogue.markdown import cell
from workbench.catalogue.settings import settings
from workbench.core.card import HOOKS, Card
from workbench.loops import online, reward, values
from workbench.teach import claim

METHODS = catalogue.methods()
ENTRIES = catalogue.cards()


def test_every_method_file_is_found():
    files = (catalogue.ROOT / "workbench/methods").rglob("*.py")
    names = {path.stem for path in files if not path.stem.startswith("_")}
    assert set(METHODS) == names


def test_methods_stand_by_family_and_group():
    families = [catalogue.family_of(module.__name__) for module in METHODS.values()]
    tops = [family.partition("/")[0] for family in families]
    ranks = [list(catalogue.FAMILIES).index(top) for top in tops]
    assert ranks == sorted(ranks)
    groups = [family for family in families if "/" in family]
    ranks = [list(catalogue.GROUPS).index(group) for group in groups]
    assert ranks == sorted(ranks)


def test_no_name_of_a_family_or_group_means_two():
    meant: dict[str, set[str]] = {}
    for folder, title in (catalogue.FAMILIES | catalogue.GROUPS).items():
        for name in (folder, folder.rpartition("/")[2], title):
            meant.setdefault(plain(name), set()).add(folder)
            # the command line parts families by commas
            assert "," not in name
    assert [name for name, folders in meant.items() if len(folders) > 1] == []


def test_a_family_is_the_folder_below_methods():
    assert catalogue.family_of("workbench.methods.direct.links.dpo") == "direct/links"
    assert catalogue.family_of("workbench.methods.games.nash_md") == "games"
    assert catalogue.family_title("games") == "Games and self-play"
    title = "Direct preference optimisation · pairs: links"
    assert catalogue.family_title("direct/links") == title
    assert catalogue.family_title("odd/even") == "odd · even"


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
    assert (dpo["family"], dpo["loop"]) == ("direct/links", "offline")
    assert all(isinstance(value, str) for row in rows for value in row.values())


def test_table_is_the_same_read_or_imported():
    assert catalogue.table() == catalogue.table(METHODS)


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
        ({"card": Card(**CARD | {"paper": ""})}, "paper is empty"),
    ],
)
def test_what_is_missing_is_named(changes, problem):
    assert any(problem in found for found in catalogue.problems(copy_of_dpo(**changes)))


def hook(*arguments):
    """Stands for any hook of a module."""


def changed(fields: dict, **names) -> list[str]:
    """The problems of DPO with some fields of its card and names of its file changed.

    A name is as it would be found in the module; DPO has no problem of its own.
    """
    return catalogue.problems(copy_of_dpo(card=Card(**CARD | fields), **names))


@pytest.mark.parametrize(
    ("fields", "names", "problem"),
    [
        ({"hooks": ("prepare",)}, {}, "names the hook prepare, which the module does"),
        ({}, {"prepare": hook}, "it has the hook prepare, which its card does not"),
        (
            {"hooks": ("decode",)},
            {"decode": hook},
            "offline does not know the hook dec",
        ),
        ({"loop": online}, {}, "the loop online cannot do without the hook advantages"),
        ({"loop": values}, {}, "the loop values cannot do without the hook decode"),
        ({"loop": "offline"}, {}, "the card's loop 'offline' is no module"),
        ({"loop": inspect}, {}, "is no module of workbench.loops"),
        ({"scale": "gamma"}, {}, "the card's scale 'gamma' is no field of Config"),
        ({"optimum": "gamma"}, {}, "the card's optimum 'gamma' is no field of Config"),
        (
            {"hooks": ("implicit_reward",)},
            {"implicit_reward": hook},
            "the field scale and the hook implicit_reward: leave one out",
        ),
        (
            {"hooks": ("optimum",)},
            {"optimum": hook},
            "the field optimum and the hook optimum: leave one out",
        ),
    ],
)
def test_a_card_that_disagrees_with_its_module_or_loop_is_named(fields, names, problem):
    [found] = changed(fields, **names)
    assert problem in found


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, {}),
        ({"hooks": ("prepare",)}, {"prepare": hook}),
        ({"loop": online, "hooks": ("advantages",)}, {"advantages": hook}),
        ({"loop": None}, {}),
        ({"loop": None, "hooks": ("optimum",), "optimum": None}, {"optimum": hook}),
        # the loop that is called as a hook is: a module is no function
        ({"loop": reward}, {"reward": reward}),
        ({"scale": None, "optimum": None}, {}),
    ],
)
def test_a_card_that_agrees_has_no_problem(fields, names):
    assert changed(fields, **names) == []


def test_what_has_no_loss_needs_no_runnable_mistakes():
    module = copy_of_dpo(loss=None, mistakes=None, log_distribution=hook)
    assert catalogue.problems(module) == []
    assert catalogue.problems(copy_of_dpo(mistakes=None)) != []


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_must_be_declared(name):
    assert any(f"has the hook {name}, which" in p for p in changed({}, **{name: hook}))


@pytest.mark.parametrize(
    ("paper", "problem"),
    [
        ("Bradley & Terry 1952", "no identifier"),
        ("Rafailov et al. 2023", "no identifier"),
        ("Rafailov et al. 2023 (a note)", "no identifier"),
        ("Rafailov et al. 2023 (2399.18290)", "no identifier"),  # no month is 99
        ("Rafailov et al. 2023 (23.18290)", "no identifier"),
        ("Rafailov et al. 2023 (in 2023)", "no identifier"),
        ("Rafailov et al. (2305.18290)", "no year"),
        ("2305.18290", "no year"),
    ],
)
def test_a_paper_that_cannot_be_found_is_a_problem(paper, problem):
    [found] = changed({"paper": paper})
    assert problem in found


@pytest.mark.parametrize(
    "paper",
    [
        "Rafailov et al. 2023 (2305.18290)",
        "Bradley & Terry 1952 (10.2307/2334029)",
        "Ng & Russell 2000 (ICML 2000)",
        "Mitchell 2023 (note, ericmitchell.ai/cdpo.pdf)",
        "Bradley & Terry 1952; Ouyang et al. 2022 (2203.02155)",
    ],
)
def test_a_paper_is_found_by_number_doi_venue_or_address(paper):
    assert changed({"paper": paper}) == []


@pytest.mark.parametrize(
    ("made", "number", "found"),
    [
        ("20_dpo.py", "20", False),
        ("20_dpo.py", "21", True),
        ("20_dpo.ipynb", "20", True),
        ("22a_bco.py", "22a", False),
        ("22a_bco.py", "22", True),
        (None, "20", False),  # an installed package has no lessons to ask
    ],
)
def test_a_card_whose_lesson_does_not_exist_is_a_problem(tmp_path, made, number, found):
    if made is not None:
        (tmp_path / "notebooks/src").mkdir(parents=True)
        (tmp_path / "notebooks/src" / made).touch()
    module = copy_of_dpo(card=Card(**CARD | {"notebook": number, "parents": ()}))
    problems = (
        [f"dpo: notebooks/src has no lesson '{number}' of its card"] if found else []
    )
    assert catalogue.all_problems({"dpo": module}, tmp_path) == problems


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
    assert "2 claims judged: 1 undecided, 1 reproduced." in text
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row[2:4] for row in rows] == ["01", "20"]
    assert "x \\| &lt;b&gt;y&lt;/b&gt; (after A 2024)" in rows[1]
    assert "11 nats [8.52, 13.5], 3 seeds" in rows[1]


def test_claims_are_counted_by_notebook(results):
    text = catalogue.claims_markdown(catalogue.claims(results))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| Notebook | undecided | reproduced |"
    assert rows[2:] == ["| 01 a | 1 |  |", "| 20 b |  | 1 |"]


def test_text_brings_no_markup_of_its_own():
    assert cell("π*_β a|b <i>") == "π\\*\\_β a\\|b &lt;i&gt;"
    assert cell("as ``a_b`` in c_d") == "as ``a_b`` in c\\_d"


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


@pytest.fixture(scope="module")
def methods_page() -> str:
    """METHODS.md as it would be written now."""
    return catalogue.methods_page(METHODS)


def part(page: str, key: str) -> str:
    """What a page says of one method."""
    return re.search(rf"^####? {key}\n(.*?)(?=^#|\Z)", page, re.M | re.S).group(1)


def test_links_in_the_pages_lead_somewhere(methods_page):
    anchors = set(re.findall(r"^####? (\w+)$", methods_page, re.MULTILINE))
    assert set(METHODS) <= anchors
    assert set(re.findall(r"\]\(#(\w+)\)", methods_page)) <= set(METHODS)
    table = catalogue.methods_markdown()
    assert sorted(re.findall(r"METHODS\.md#(\w+)", table)) == sorted(METHODS)
    links = set(re.findall(r"\]\(([^)#:]+)\)", methods_page))
    assert [link for link in links if not (catalogue.ROOT / link).exists()] == []


def test_no_two_headings_have_one_address(methods_page):
    titles = re.findall(r"^#+ (.*)$", methods_page, re.MULTILINE)
    slugs = [re.sub(r"[^\w -]", "", t.casefold()).replace(" ", "-") for t in titles]
    assert len(slugs) == len(set(slugs))


def test_headings_are_families_then_groups_then_methods(methods_page):
    lines = [line for line in methods_page.splitlines() if line.startswith("#")][1:]
    stands, seen = {}, []
    for line in lines:
        marks, _, title = line.partition(" ")
        stands = {n: t for n, t in stands.items() if n < len(marks)}
        assert sorted(stands) == list(range(2, len(marks)))  # no level is left out
        stands[len(marks)] = title
        if title in METHODS:
            family = catalogue.family_of(METHODS[title].__name__)
            assert " · ".join(stands[n] for n in sorted(stands)) == (
                f"{catalogue.family_title(family)} · {title}"
            )
            seen.append(title)
    assert seen == list(METHODS)


@pytest.mark.parametrize("key", METHODS)
def test_the_page_tells_all_of_a_method(key, methods_page):
    page, entry = part(methods_page, key), ENTRIES[key]
    lines = page.splitlines()
    card = entry.card
    rests = re.findall(r"- \*(Minimiser|Fixed point)\*: (.+)", page)
    assert rests == [(entry.rests_at, cell(entry.section(entry.rests_at)))]
    texts = (card.title, card.paper, card.check, card.claim, entry.objective)
    for text in (*texts, entry.section("Valid only if"), ", ".join(card.needs)):
        assert cell(text) in page
    mistakes = [f"  {n}. {cell(text)}" for n, text in entry.mistakes.items()]
    assert [line for line in lines if re.match(r" +\d+\. ", line)] == mistakes
    told = [line for line in lines if line.startswith("  - `")]
    for line, setting in zip(told, settings(entry.module), strict=True):
        assert line.startswith(f"  - `{setting.name}` = {cell(setting.default)} (")
        assert cell(setting.source) in line
        assert cell(setting.meaning) in line
    loop = f"[`{entry.loop}`](workbench/loops/{entry.loop}.py)" if entry.loop else "no"
    assert f"- *Trained by*: {loop}" in page
    assert ("- *Learns from*: " in page) == ("loss" in vars(METHODS[key]))
    assert f"](notebooks/{card.notebook}_" in page


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("kto", "- *Learns from*: thumbs"),
        ("dpo", "- *Compared with* [`bt`](#bt): the score r(x, y) is replaced"),
        ("rloo", "- *Compared with* REINFORCE: the baseline is the mean"),
        ("dpo", "  - `beta` = 0.1 (paper, appendix B): reward units per nat;"),
        ("dpo", "- *Lesson*: [20 dpo](notebooks/20_dpo.ipynb)"),
        ("chi2_direct", "- *Trained by*: nothing is trained"),
    ],
)
def test_a_line_of_the_page(key, line, methods_page):
    assert f"\n{line}" in part(methods_page, key)


def test_without_its_lesson_a_page_has_its_number_and_no_link(tmp_path):
    page = part(catalogue.methods_page({"dpo": METHODS["dpo"]}, tmp_path), "dpo")
    assert page.splitlines()[-1] == "- *Lesson*: 20"


def test_the_table_of_the_readme_has_a_row_per_group():
    _, _, *rows = catalogue.methods_markdown().splitlines()
    cells = [[part.strip() for part in row.strip("|").split(" | ")] for row in rows]
    groups = dict.fromkeys(entry.family for entry in ENTRIES.values())
    assert len(rows) == len(groups)
    links = [re.findall(r"\[`(\w+)`\]\(METHODS.md#\1\)", row[2]) for row in cells]
    for family, row, keys in zip(groups, cells, links, strict=True):
        assert keys == [key for key, e in ENTRIES.items() if e.family == family]
        group = catalogue.GROUPS.get(family)
        assert row[1] == (f"{group} ({len(keys)})" if group else "")
    top = [row[0] for row in cells if row[0]]
    assert top == [
        f"{title} ({len(members)})"
        for folder, title in catalogue.FAMILIES.items()
        if (
            members := [
                e for e in ENTRIES.values() if f"{e.family}/".startswith(folder)
            ]
        )
    ]


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
        entry, loop = ENTRIES[key], module.card.loop
        assert entry.card == dataclasses.replace(
            module.card, loop=None if loop is None else loop.__name__
        )
        assert entry.loop == catalogue.loop_name(module.card)
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
from workbench import loops
from workbench.loops import offline
from workbench.loops import offline as other
from workbench.loops.offline import fit
from workbench.methods.direct.links import dpo

LESSON = "20"
FIELDS = dict(key="odd", title="Odd", parents=("dpo",),
    needs=("pairs",), paper="A 2020", check="c", claim="d", notebook="20")
"""
WORDS = """key="odd", title="Odd", parents=("dpo",),
    needs=("pairs",), paper="A 2020", check="c", claim="d", notebook="20"
"""
CARDS = {
    "literal": f"card = Card({WORDS})",
    "annotated": f"card: Card = Card({WORDS})",
    "renamed import": f"card = Entry({WORDS})",
    "by position": 'card = Card("odd", "Odd", ("dpo",), ("pairs",), "A 2020", '
    '"c", "d", "20")',
    "module of Card": f"card = cards.Card({WORDS})",
    "a loop by name": f"card = Card({WORDS}, loop=offline)",
    "a loop by another name": f"card = Card({WORDS}, loop=other)",
    "a loop of its package": f"card = Card({WORDS}, loop=loops.offline)",
    "a loop of the whole": f"import workbench.loops.games\n"
    f"card = Card({WORDS}, loop=workbench.loops.games)",
    "a loop by position": 'card = Card("odd", "Odd", ("dpo",), ("pairs",), "A 2020", '
    '"c", "d", "20", offline)',
    "no loop": f"card = Card({WORDS}, loop=None)",
    "hooks": f'card = Card({WORDS}, loop=offline, hooks=("prepare",), scale="beta")',
    "a loop as text": f'card = Card({WORDS}, loop="offline")',
    "a loop bound here": f"mine = loops.games\ncard = Card({WORDS}, loop=mine)",
    "a loop bound twice": f"offline = loops.games\ncard = Card({WORDS}, loop=offline)",
    "a loop of two": f"card = Card({WORDS}, loop=offline if LESSON else other)",
    "a loop that is none": f"card = Card({WORDS}, loop=fit)",
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
READABLE = (
    "literal",
    "annotated",
    "renamed import",
    "by position",
    "module of Card",
    "a loop by name",
    "a loop by another name",
    "a loop of its package",
    "a loop of the whole",
    "a loop by position",
    "no loop",
    "hooks",
    "a loop as text",
)
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
    loop, card = module.card.loop, module.card
    if form in READABLE and isinstance(loop, ModuleType):
        card = dataclasses.replace(card, loop=loop.__name__)
    assert read == {key: catalogue.Entry(card, "strange.odd", inspect.getdoc(module))}
    assert read[key].loop == catalogue.loop_name(module.card)


def test_fields_of_any_card_can_be_json(package):
    for form in ("a loop by name", "a loop bound here", "no loop"):
        made = package(f"{TEXT}\n{CARDS[form]}\n")
        [entry] = catalogue.cards(made).values()
        told = json.loads(json.dumps(catalogue.card_fields(entry)))
        right = {"a loop by name": "offline", "a loop bound here": "games"}
        assert told["loop"] == right.get(form)
        assert (told["family"], told["module"]) == ("strange", "strange.odd")
        sys.modules.pop("strange.odd", None)


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

from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import nca
from workbench.methods.direct.pessimism import rpo
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
        ("20_dpo", "The chosen implicit reward falls", "dpo"),
        ("20_dpo", "At β = 3.0, above the turn", "dpo"),
        ("31_ppo", "With 8 passes per batch PPO", "ppo"),
        ("11_best_of_n", "Along best-of-n gold peaks", "best_of_n"),
        # named by key, by title, or by what its docstring begins with
        ("21a_stopping_links", "IPO's KL depends on τ", "ipo"),
        ("21b_other_pushes", "Without it the policy's entropy", ""),
        ("24_noisy_labels", "At 20 % flips the slope of rDPO", "rdpo"),
        ("25_length", "R-DPO keeps the length", "length_dpo"),
        ("25_length", "LN-DPO's reviews grow less", "ln_dpo"),
        ("24_noisy_labels", "With flips rDPO loses less gold", "cdpo rdpo"),
        # not named, but of the paper of one method
        ("21a_stopping_links", "cDPO and EXO stop at the same D", "exo_pref"),
        ("25a_no_reference", "The odds ratio parts the pair", "orpo"),
        # a study's claim about a method of its lesson
        ("20a_inside_dpo", "At equal KL DPO", "dpo"),
        # of another lesson's method, or of no method alone
        ("21b_other_pushes", "Without the weight gold ends below DPO's", ""),
        ("26c_anchors", "χPO ends with the chosen higher", ""),
        ("80_arena", "No run lies above the exact frontier", ""),
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
        lessons_of = {ENTRIES[key].card.notebook[:2] for key in keys}
        assert lessons_of <= {row["notebook"][:2]}


def test_describe_holds_the_judged_claims_with_numbers():
    told = catalogue.describe(ENTRIES["dpo"], ENTRIES)
    # one of the lesson and its study names neither DPO nor its paper
    assert 5 <= len(told["claims"]) < told["lesson"]["claims"]
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
