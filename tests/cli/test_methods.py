"""`workbench methods`: the list, its filters, one method in full, and what it loads."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from workbench import catalogue
from workbench.cli import methods
from workbench.methods.direct import links

APP = typer.Typer()
APP.command()(methods.methods)
ENTRIES = catalogue.cards()
SLOW = ("torch", "numpy", "pandas", "transformers", "matplotlib", "rich.table")


@pytest.fixture(autouse=True)
def read_once(monkeypatch):
    """The files are read once here; that they are read rightly is another test."""
    monkeypatch.setattr(methods, "cards", lambda: ENTRIES)


def run(*arguments: str):
    """The command in this process: status, stdout, stderr."""
    done = CliRunner().invoke(APP, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def listed(*arguments: str) -> list[str]:
    """The keys that the command lists."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return [row["key"] for row in json.loads(done.stdout)]


# ---- what is loaded ---------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--json"],
        ["20"],
        ["dpo"],
        ["dpo", "--json"],
        ["f_dpo"],  # a default that is a call
        ["a_lol_seq"],  # a Config by way of two other files
        ["nosuch"],
        ["--family", "direct", "--needs", "pairs", "--text", "margin"],
    ],
    ids=" ".join,
)
def test_no_method_and_nothing_large_is_imported(arguments):
    code = f"""
import sys
from workbench.cli import app
try:
    app(["methods", *{arguments!r}])
except SystemExit:
    pass
slow = [name for name in {SLOW!r} if name in sys.modules]
below = [m for n, m in sys.modules.items() if n.startswith("workbench.methods.")]
# a folder's __init__ is imported to look into it; no method's file is
print(slow, [m.__name__ for m in below if "__path__" not in vars(m)], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[] []"


# ---- the list and its filters -----------------------------------------------------


def test_every_method_is_a_line_of_its_own_without_tabs():
    lines = run().stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(ENTRIES)
    assert not any("\t" in line or "\x1b" in line for line in lines)


def test_columns_are_aligned():
    lines = run("--lesson", "28").stdout.splitlines()
    entries = [e for e in ENTRIES.values() if e.card.notebook[:2] == "28"]
    assert len({entry.family for entry in entries}) > 1
    for column in ([e.family for e in entries], [e.card.title for e in entries]):
        places = zip(lines, column, strict=True)
        assert len({line.index(f"  {cell}  ") for line, cell in places}) == 1


def test_json_holds_every_field_of_every_card():
    rows = json.loads(run("--json").stdout)
    fields = ("key", "title", "paper", "check", "claim", "notebook", "scale", "optimum")
    for row, entry in zip(rows, ENTRIES.values(), strict=True):
        assert [row[name] for name in fields] == [
            getattr(entry.card, name) for name in fields
        ]
        assert tuple(row["parents"]) == entry.card.parents
        assert tuple(row["needs"]) == entry.card.needs
        assert tuple(row["hooks"]) == entry.card.hooks
        assert row["family"] == entry.family
        assert row["loop"] == (entry.loop or None)
        assert row.keys() == set(vars(entry.card)) | {"family", "module"}


@pytest.mark.parametrize(
    ("arguments", "belongs"),
    [
        (["--needs", "pairs"], lambda c: "pairs" in c.needs),
        (["--needs", "Value-Head"], lambda c: "value head" in c.needs),
        (
            ["--needs", "pairs", "--needs", "reward"],
            lambda c: {"pairs", "reward"} <= set(c.needs),
        ),
        (["--needs", "pairs,reward"], lambda c: {"pairs", "reward"} <= set(c.needs)),
        (["--lesson", "21"], lambda c: c.notebook[:2] == "21"),
        (["--lesson", "3"], lambda c: c.notebook[:2] == "03"),
        (["--lesson", "21_links"], lambda c: c.notebook[:2] == "21"),
        (["--lesson", "Links"], lambda c: c.notebook[:2] == "21"),
        (["--lesson", "notebooks/21_links.ipynb"], lambda c: c.notebook[:2] == "21"),
        (["--lesson", "lists and scores"], lambda c: c.notebook[:2] == "28"),
        (
            ["--lesson", "30", "--lesson", "ppo"],
            lambda c: c.notebook[:2] in ("30", "31"),
        ),
        (["21"], lambda c: c.notebook[:2] == "21"),
        (["links"], lambda c: c.notebook[:2] == "21"),
        (
            ["28", "--needs", "pairs", "--needs", "reward"],
            lambda c: c.notebook[:2] == "28" and {"pairs", "reward"} <= set(c.needs),
        ),
        (["--text", "2309.06657"], lambda c: "2309.06657" in c.paper),
        (["--text", "dPo UnDer"], lambda c: c.key == "list_mle"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_filters_keep_the_methods_that_fit(arguments, belongs):
    right = [key for key, entry in ENTRIES.items() if belongs(entry.card)]
    assert right
    assert listed(*arguments) == right


@pytest.mark.parametrize(
    ("arguments", "families"),
    [
        (["direct"], "direct"),
        (["DIRECT"], "direct"),
        (["Policy-Gradient"], "policy_gradient"),
        (["policy gradients"], "policy_gradient"),
        (["Games and self-play"], "games"),
        (["games"], "games"),
        (["direct/links"], "direct/links"),
        (["Direct/Links"], "direct/links"),
        (["links"], "direct/links"),
        (["pairs: links"], "direct/links"),
        (["Pairs: noisy labels"], "direct/noise"),
        (["policy_gradient/ppo"], "policy_gradient/ppo"),
        (["direct", "games"], "direct games"),
        (["links,noise,games"], "direct/links direct/noise games"),
        (["direct", "links"], "direct"),  # the whole holds the part
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_family_is_its_folder_with_all_within(arguments, families):
    options = [word for name in arguments for word in ("--family", name)]
    right = [
        key
        for key, entry in ENTRIES.items()
        if any(f"{entry.family}/".startswith(f"{f}/") for f in families.split())
    ]
    assert right
    assert listed(*options) == right


def test_a_family_joins_with_other_filters():
    right = [
        key
        for key, e in ENTRIES.items()
        if e.family == "direct/weighted" and e.card.notebook[:2] == "28"
    ]
    assert right
    assert listed("28", "--family", "weighted") == right


def test_a_group_is_not_a_folder_that_begins_like_it():
    entries = {"a": catalogue.Entry(ENTRIES["dpo"].card, "w.methods.direct.link.a", "")}
    entries |= {
        "b": catalogue.Entry(ENTRIES["dpo"].card, "w.methods.direct.links.b", "")
    }
    asked = catalogue.wanted(entries, families=["link"])
    assert list(catalogue.chosen(entries, asked)) == ["a"]


def test_text_is_looked_for_in_the_objective_too():
    card = ENTRIES["dpo"].card
    assert "dpo" in listed("--text", "SUMMED over response")
    assert "summed" not in f"{card.key} {card.title} {card.paper}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--family", "games", "--needs", "pairs"], "family games, needs pairs"),
        (["--text", "no such thing"], "text 'no such thing'"),
        (["--text", "[bold]\x1b[2J"], "text '[bold]\\x1b[2J'"),
        (["1"], "lesson 01"),
        (["--lesson", "02_probes"], "lesson 02"),
        (["80", "--needs", "thumbs"], "lesson 80, needs thumbs"),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_empty_result_is_a_sentence_and_status_1(arguments, message, form):
    done = run(*arguments, *form)
    assert done.exit_code == 1
    assert done.stderr == f"no method fits: {message}\n"
    assert done.stdout == ("[]\n" if form else "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--family", "dirct"], "no family 'dirct'; did you mean direct or"),
        (["--family", "lnks"], "no family 'lnks'; did you mean links?"),
        (["--family", "direct/lnks"], "no family 'direct/lnks'; did you mean direct/l"),
        (["--family", "directs/links"], "no family 'directs/links'; did you mean dire"),
        (["--family", "offline"], "no family 'offline'; there are supervised, reward"),
        (["--family", "zebra"], "no family 'zebra'; there are supervised, reward"),
        (["--family", ""], "no family ''; there are supervised"),
        (["--needs", "pair"], "no need 'pair'; did you mean pairs?"),
        (["--needs", "valuehead"], "no need 'valuehead'; did you mean value head?"),
        (["--needs", "pairs,rewards"], "no need 'rewards'; did you mean reward or"),
        (["--lesson", "lnks"], "no lesson 'lnks'; did you mean links?"),
        (["--lesson", "99"], "no lesson '99'; there are 00_start_here, 01_exact"),
        (["--lesson", ""], "no lesson ''; there are 00_start_here"),
    ],
)
def test_an_unknown_filter_is_refused_with_what_was_meant(arguments, message):
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


# ---- one method -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("dpo", "dpo"),
        ("DPO", "dpo"),
        (" Dpo ", "dpo"),
        ("direct preference optimisation", "dpo"),
        ("best-of-n", "best_of_n"),
        ("Best of N", "best_of_n"),
        ("R-DPO", "length_dpo"),
        ("rdpo", "rdpo"),
        ("χPO", "chipo"),
        ("LiPO-λ", "lipo"),
        ("A-LoL", "a_lol"),
        ("Conservative DPO", "cdpo"),
        ("C3PO", "c3po"),
        ("Bradley-Terry reward model", "bt"),
        ("ppo", "ppo"),  # also the name of a lesson
    ],
)
def test_a_method_is_found_by_key_or_title_in_any_case(word, key):
    assert json.loads(run(word, "--json").stdout)["key"] == key


def test_every_title_leads_to_its_method():
    for key, entry in ENTRIES.items():
        assert catalogue.method(entry.card.title, ENTRIES) is entry, key


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("dpoo", "no method or lesson 'dpoo'; did you mean dpo"),
        ("SQARED", "no method or lesson 'SQARED'; workbench methods lists all"),
        ("kahneman", "no method or lesson 'kahneman'; did you mean Kahneman–Tversky"),
        ("exo", "no method or lesson 'exo'; did you mean exo_rw or exo_pref? "),
        (
            "token-level DPO",
            "no method or lesson 'token-level DPO'; did you mean tdpo1",
        ),
        ("offline", "no method or lesson 'offline'; did you mean vpo_offline? work"),
        ("Direct", "no method or lesson 'Direct'; did you mean --family direct? "),
        (
            "pessimism",
            "no method or lesson 'pessimism'; did you mean --family direct/pessimism? ",
        ),
        (
            "direct/links",
            "no method or lesson 'direct/links'; did you mean --family di",
        ),
        ("one score", "no method or lesson 'one score'; did you mean --family reward"),
        ("99", "no method or lesson '99'; workbench methods lists all"),
        ("", "no method or lesson ''; workbench methods lists all"),
        (
            "a\nb\x1b[2J",
            "no method or lesson 'a\\nb\\x1b[2J'; workbench methods lists all",
        ),
        ("x" * 100_000, "no method or lesson 'xxx"),
    ],
    ids=lambda value: value[:20],
)
def test_an_unknown_method_is_one_line_with_what_was_meant(word, message):
    done = run(word)
    assert done.exit_code == 1
    assert done.stderr.startswith(message)
    assert done.stderr.endswith(f"workbench methods lists all {len(ENTRIES)}\n")
    assert len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < 300


def test_filters_beside_a_method_are_refused():
    done = run("dpo", "--family", "games")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "leave out the filters" in done.stderr


@pytest.mark.parametrize("key", ENTRIES)
def test_the_card_of_every_method_is_complete(key):
    text = run(key).stdout
    flat = " ".join(text.split())
    entry = ENTRIES[key]
    told = json.loads(run(key, "--json").stdout)
    for part in (entry.card.title, entry.card.paper, entry.card.check, entry.objective):
        assert " ".join(part.split()) in flat
    assert entry.card.claim in flat
    assert f"Family {entry.family}: {catalogue.family_title(entry.family)}" in flat
    assert f"Trained by {entry.loop or 'no loop'} Objective" in flat
    assert told["rests_at"]["text"] in flat
    assert told["valid_only_if"] in flat
    lines = [line.strip() for line in text.splitlines()]
    starts = [re.sub(r"^Known mistakes +", "", line) for line in lines]
    for number in entry.mistakes:
        assert sum(line.startswith(f"({number}) ") for line in starts) == 1
    for setting in told["settings"]:
        assert f"{setting['name']} = {setting['default']}" in flat
        assert setting["source"] in flat and setting["source"]
    for claim in told["claims"]:
        assert f"{claim['verdict']}: {' '.join(claim['statement'].split())}" in flat
    assert max(map(len, text.splitlines())) <= 88


def test_the_lesson_is_told_with_the_path_of_its_notebook(monkeypatch, tmp_path):
    monkeypatch.chdir(catalogue.ROOT)
    assert "Lesson          20: notebooks/20_dpo.ipynb" in run("dpo").stdout
    monkeypatch.chdir(catalogue.ROOT / "notebooks")
    assert "Lesson          20: 20_dpo.ipynb" in run("dpo").stdout
    monkeypatch.chdir(tmp_path)
    where = json.loads(run("dpo", "--json").stdout)["lesson"]["notebook"]
    assert Path(where).is_file()


def test_a_method_without_a_claim_of_its_own_tells_how_many_its_lesson_has():
    told = json.loads(run("wpo", "--json").stdout)
    assert told["claims"] == []
    count = told["lesson"]["claims"]
    assert f"none of this method alone; its lesson has judged {count}" in " ".join(
        run("wpo").stdout.split()
    )


def test_json_is_ascii_where_the_output_cannot_hold_greek_letters():
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "methods", "dpo", "--json"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert json.loads(done.stdout)["objective"] == ENTRIES["dpo"].objective


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "card = Card(",
            "'(' was never closed (workbench.methods.direct.links.mine, line 1)",
        ),
        (
            "from workbench.methods.direct.links.dpo import card",
            "key dpo is in workbench",
        ),
        (
            "from workbench.core.card import Card\n"
            'card = Card("mine", "M", (), ("pears",), "P", "C", "D", "20")',
            "mine: no hook or need is called pears",
        ),
        (
            "from workbench.core.card import Card\n"
            'card = Card("mine", "M", (), (), "P", "C", "D", "20", hooks=("looss",))',
            "mine: no hook or need is called looss",
        ),
    ],
)
def test_a_file_that_cannot_be_a_method_is_named_in_one_line(
    monkeypatch, tmp_path, text, message
):
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(links, "__path__", [*links.__path__, str(tmp_path)])
    monkeypatch.setattr(methods, "cards", catalogue.cards)
    done = run()
    sys.modules.pop("workbench.methods.direct.links.mine", None)
    vars(links).pop("mine", None)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"the methods cannot be listed: {message}")
    assert len(done.stderr.splitlines()) == 1


# ---- on a terminal ----------------------------------------------------------------


def on_terminal(*arguments: str, columns: int = 60, **variables: str) -> str:
    """What the command writes to a terminal of some width."""
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm", **variables}
    env.pop("FORCE_COLOR", None)
    command = [sys.executable, "-m", "workbench", "methods", *arguments]
    with subprocess.Popen(command, stdout=theirs, stdin=theirs, env=env) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # the other end is closed
                more = b""
            if not more:
                break
            output += more
    os.close(ours)
    assert process.returncode == 0
    return output.decode()


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_the_table_wraps_to_the_terminal(columns):
    text = on_terminal("--lesson", "28", columns=columns)
    assert "\x1b[" in text
    lines = uncoloured(text).splitlines()
    assert max(map(len, lines)) <= columns
    words = " ".join(lines)
    keys = [key for key, entry in ENTRIES.items() if entry.card.notebook == "28"]
    assert all(key in words for key in keys)


def test_the_table_has_a_heading_for_each_family():
    text = uncoloured(on_terminal("--family", "games,values", columns=80))
    assert "Games and self-play" in text
    assert "Values and planning" in text
    assert "Supervised" not in text


def test_the_table_has_a_heading_for_each_group():
    text = uncoloured(on_terminal("--family", "links,noise", columns=80))
    assert "Direct preference optimisation · pairs: links" in text
    assert "Direct preference optimisation · pairs: noisy labels" in text
    assert "pessimism" not in text


def test_no_colour_is_respected():
    text = on_terminal("--family", "games", NO_COLOR="1")
    assert not re.search(r"\x1b\[3\dm", text)


@pytest.mark.parametrize("columns", [50, 200])
def test_a_card_wraps_to_the_terminal(columns):
    text = uncoloured(on_terminal("dpo", columns=columns))
    assert max(map(len, text.splitlines())) <= min(columns, 88)
    assert "Direct preference optimisation" in text


# ---- in an installed package ------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A function that runs a module of a copy of the package that lies in no clone."""
    site = tmp_path_factory.mktemp("installed") / "site"
    package = Path(catalogue.__file__).parent.parent
    skipped = shutil.ignore_patterns("__pycache__", "reference")
    shutil.copytree(package, site / "workbench", ignore=skipped)

    def call(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=site.parent,
            env=os.environ | {"PYTHONPATH": str(site)},
        )

    code = "import workbench; print(workbench.__file__)"
    assert call("-c", code).stdout.startswith(str(site))
    return call


def test_an_installed_package_tells_the_claims_it_was_shipped_with(installed):
    done = installed("-m", "workbench", "methods", "dpo", "--json")
    assert done.stderr == ""
    told, here = json.loads(done.stdout), json.loads(run("dpo", "--json").stdout)
    assert told["lesson"] == here["lesson"] | {"notebook": None}
    assert told["claims"] == here["claims"] != []


@pytest.mark.parametrize(
    "arguments", [[], ["21"], ["links"], ["--lesson", "21_links"], ["--json"]]
)
def test_an_installed_package_lists_what_a_clone_lists(installed, arguments):
    done = installed("-m", "workbench", "methods", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run(*arguments).stdout


def test_an_installed_package_says_where_the_notebook_is(installed):
    assert "20_dpo, in a clone" in installed("-m", "workbench", "methods", "dpo").stdout


@pytest.mark.parametrize("option", ["--write", "--check"])
def test_an_installed_package_has_no_pages_to_renew(installed, option):
    done = installed("-m", "workbench.catalogue", option)
    assert done.returncode == 1
    assert done.stderr == "the generated pages lie in a clone of workbench\n"
    assert installed("-m", "workbench.catalogue").returncode == 0
