"""The command line in this process: what each command takes, refuses and passes on.

No notebook is executed and nothing is trained: what a command would start is replaced
by a function that notes how it was called. What `workbench methods` says is tested in
test_methods.py, `workbench lab` as a whole in tests/runner/test_lab.py.
"""

import ast
import importlib
import inspect
import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import workbench
from workbench import catalogue, cli
from workbench.book import binding
from workbench.cli import common, notebooks, train
from workbench.cli import lab as labs
from workbench.cli import methods as listing
from workbench.core import ending, notes
from workbench.core.claimed import claimed
from workbench.core.errors import BadOption, MissingInput
from workbench.models import hub, smollm
from workbench.runner import build, job, publish, series, speed, workspace
from workbench.runner import lab_server as jupyter
from workbench.runner.verdict import Failure

COMMANDS = typer.main.get_command(cli.app).commands
NAMES = ("run", "methods", "train", "compare", "site", "lab")
NAMES += ("student", "grade", "slides", "audit", "model", "compare-runs", "sweep")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal in which no option is cut."""
    monkeypatch.setenv("COLUMNS", "120")


def run(*arguments: object):
    """The command in this process: status, stdout, stderr."""
    done = CliRunner().invoke(cli.app, [str(word) for word in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def flat(text: str) -> str:
    """Text without the frame and the line ends that a terminal's width makes."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return " ".join(re.sub(r"[─│╭╮╰╯]", " ", plain).split())


def refused(*arguments: object, status: int = 1) -> str:
    """What a command says that ends with an error and no output."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    return flat(done.stderr)


class Calls(list):
    """Stands for a function: keeps how it was called, and returns one thing."""

    def __init__(self, answer: object = None):
        self.answer = answer

    def __call__(self, *arguments, **named):
        self.append(SimpleNamespace(arguments=arguments, named=named))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


# ---- all commands -----------------------------------------------------------------


def test_the_commands_are_those_of_the_readme():
    assert set(COMMANDS) == set(NAMES)


def test_without_a_command_all_are_listed():
    output = flat(run().output)
    for name, command in COMMANDS.items():
        assert f"{name} {flat(command.help).split('.')[0]}" in output


@pytest.mark.parametrize("name", NAMES)
def test_help_names_and_explains_each_option(name):
    done = run(name, "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    output = flat(done.stdout)
    assert f"Usage: root {name} [OPTIONS]" in output
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{name} does not say what {parameter.name} is"
        if parameter.param_type_name == "option":
            assert parameter.opts[0] in output


def test_version_is_the_packages():
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"workbench {workbench.__version__}\n")


# what `lab` does not know is Jupyter's, and what `sweep` does not, of `train`
@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("lab", "sweep")]
)
def test_an_unknown_option_is_refused_by_name(name):
    assert "--nosuch" in refused(name, "--nosuch", status=2)


def test_an_unknown_command_is_refused_by_name():
    assert "No such command 'trian'" in refused("trian", status=2)


# ---- methods ----------------------------------------------------------------------


def test_methods_are_listed_filtered_and_told():
    every = run("methods").stdout.splitlines()
    some = run("methods", "--family", "links").stdout.splitlines()
    assert 0 < len(some) < len(every)
    assert all(" direct/links " in line for line in some)
    [dpo] = [line for line in some if line.startswith("dpo ")]
    assert dpo.endswith("pairs, reference")
    told = json.loads(run("methods", "dpo", "--json").stdout)
    assert (told["key"], told["family"], told["loop"]) == (
        "dpo",
        "direct/links",
        "offline",
    )


def test_a_terminal_gets_a_table_per_group(capsys):
    entries = catalogue.cards()
    asked = catalogue.wanted(entries, families=["links", "games"])
    listing._table(catalogue.chosen(entries, asked))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    first = lines.index("Direct preference optimisation · pairs: links")
    assert first < lines.index("Games and self-play")
    assert lines[-1] == "workbench methods dpo tells more of one"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dpoo"], "no method or lesson 'dpoo'; did you mean dpo"),
        (["--family", "lnks"], "no family 'lnks'; did you mean links?"),
        (["dpo", "--family", "links"], "dpo is one method: leave out the filters"),
        (["--text", "no such text"], "no method fits: text 'no such text'"),
    ],
)
def test_methods_refuses_in_one_sentence(arguments, message):
    assert refused("methods", *arguments).startswith(message)


# ---- run and site -----------------------------------------------------------------


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with two lessons and a study, to be in."""
    folder = tmp_path / "notebooks" / "src"
    folder.mkdir(parents=True)
    for name in ("20_dpo", "21_links", "21a_more"):
        (folder / f"{name}.py").write_text("# %%\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_clone(tmp_path, monkeypatch):
    """A folder outside any clone, and a package that lies in none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(series, "__file__", str(tmp_path / "series.py"))


@pytest.fixture
def work(clone, monkeypatch):
    """What `run` would start: one call if it came so far."""
    started = Calls(([], []))
    monkeypatch.setattr(notebooks, "_run", started)
    monkeypatch.setattr(speed, "measure", Calls(speed.Speed()))
    return started


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["lnks"], 1, "no notebook 'lnks'; did you mean links or 21_links?"),
        (["99"], 1, "no notebook '99'; there are 20_dpo, 21_links, 21a_more"),
        (["30-39"], 1, "no notebook '30-39'; there are 20_dpo"),
        (["20", "nosuch"], 1, "no notebook 'nosuch'; there are 20_dpo"),
        (["--profile", "nosuch"], 2, "--profile"),
        (["--jobs", "0"], 2, "--jobs"),
        (["--jobs", "two"], 2, "--jobs"),
        (["--memory", "0"], 2, "--memory"),
        (["--seed", "1.5"], 2, "--seed"),
        (["--publish", "--profile", "ci"], 2, "--publish needs --profile lecture"),
        (["--publish", "--seed", "1"], 2, "--publish takes no --device and no --seed"),
        (
            ["--publish", "--device", "cpu"],
            2,
            "--publish takes no --device and no --se",
        ),
    ],
)
def test_run_refuses_before_any_work(work, arguments, status, message):
    assert message in refused("run", *arguments, status=status)
    assert work == [] == speed.measure


@pytest.mark.parametrize("name", ["run", "site", "lab"])
def test_outside_a_clone_there_are_no_lessons(name, no_clone):
    message = "no notebooks/src here or above: run this inside a clone of workbench"
    assert refused(name) == message


def test_run_passes_on_what_it_was_told(work, clone, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    options = "--profile ci --jobs 3 --force --seed 7 --device cpu --memory 2.5".split()
    assert run("run", "21", "dpo", *options).exit_code == 0
    [call] = work
    paths, settings, jobs, with_site, published = call.arguments
    assert [path.stem for path in paths] == ["21_links", "20_dpo"]
    assert (jobs, with_site, published) == (3, False, False)
    assert (settings.root, settings.profile, settings.force) == (clone, "ci", True)
    assert (settings.device, settings.seed, settings.memory_gb) == ("cpu", 7, 2.5)
    assert not settings.enforce


def test_run_alone_is_every_lesson_as_published(work):
    assert run("run").exit_code == 0
    [call] = work
    paths, settings, jobs, with_site, published = call.arguments
    assert [path.stem for path in paths] == ["20_dpo", "21_links", "21a_more"]
    assert (settings.profile, settings.device, settings.seed) == ("lecture", None, None)
    assert (jobs, with_site, published) == (2, False, False)


@pytest.mark.parametrize(("profile", "enforced"), [("ci", True), ("lecture", False)])
def test_only_ci_enforces_budgets(work, profile, enforced, monkeypatch):
    monkeypatch.setenv("CI", "true")
    run("run", "--profile", profile)
    assert work[0].arguments[1].enforce == enforced


def test_two_commands_do_not_execute_at_once(work, clone):
    with claimed(clone / "build" / "ci"):
        assert "in use" in refused("run", "--profile", "ci")
    assert work == []
    assert run("run", "--profile", "ci").exit_code == 0


def result(name: str, *failures: Failure, cached: bool = False) -> job.Result:
    """What came of a notebook."""
    executed = Path(f"{name}.ipynb")
    messages = ("a package: FutureWarning: soon",)
    return job.Result(
        name, "lecture", executed, failures, 1.0, (), cached=cached, notes=messages
    )


@pytest.fixture
def executed(clone, monkeypatch):
    """A call of `run` whose notebooks come out as it is told."""
    monkeypatch.setattr(speed, "measure", Calls(speed.Speed()))
    monkeypatch.setattr(build, "read", Calls())
    monkeypatch.setattr(build, "sync", Calls("same"))
    monkeypatch.setattr(binding, "build_book", Calls(clone / "site" / "index.html"))

    def call(results, *options, ends: BaseException | None = None):
        def execute(paths, settings, jobs, progress, on_result):
            for each in results:
                on_result(each)
            if ends:
                raise ends
            return results

        monkeypatch.setattr(series, "run", execute)
        return CliRunner().invoke(cli.app, ["run", *options])

    return call


def test_the_last_line_of_run_counts(executed, clone):
    done = executed([result("20_dpo"), result("21_links", cached=True)])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == (
        "2 notebooks at lecture: 1 executed, 1 unchanged, 0 failed"
    )
    assert "1 note(s) from other packages" in done.stdout
    assert (clone / "build/lecture/junit.xml").is_file()
    assert binding.build_book == []


def test_a_failed_notebook_is_told_and_fails_the_command(executed):
    failure = Failure("claim", "the claim is off", 3, "a long story")
    done = executed([result("20_dpo", failure), result("21_links")])
    assert done.exit_code == 1
    assert "20_dpo (lecture) failed" in done.stdout and "a long story" in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        "failed: 20_dpo",
        "2 notebooks at lecture: 2 executed, 0 unchanged, 1 failed",
    ]


def test_the_results_of_run_as_json_are_alone_on_stdout(executed, clone):
    failure = Failure("claim", "the claim is off", 3, "a long story")
    found = [result("21_links", failure), result("20_dpo", cached=True)]
    done = executed(found, "--json", "--site")
    assert done.exit_code == 1
    first, second = json.loads(done.stdout)
    assert (first["notebook"], first["executed"], first["failures"]) == (
        "20_dpo", False, [],
    )  # fmt: skip
    assert second == {
        "notebook": "21_links", "profile": "lecture", "passed": False,
        "executed": True, "seconds": 1.0,
        "failures": ["claim: cell 3: the claim is off"], "copy": "21_links.ipynb",
    }  # fmt: skip
    assert "a long story" in done.stderr and "1 unchanged, 1 failed" in done.stderr
    assert (clone / "site" / "index.html").as_uri() in done.stderr


def test_a_stopped_run_says_what_is_kept(executed):
    done = executed([result("20_dpo")], ends=KeyboardInterrupt())
    assert done.exit_code != 0
    message = "stopped: 1 of 3 notebooks are done and kept; the same command goes on"
    assert message in flat(done.output)


def test_with_a_site_run_renews_it_and_says_where_it_is(executed, clone):
    done = executed([result("20_dpo"), result("21_links", cached=True)], "--site")
    address = (clone / "site" / "index.html").as_uri()
    assert f"the published lessons: {address}\n" in done.stdout
    assert f"\nsite: {address}\n" in done.stdout
    # at the start and at the end
    assert len(binding.build_book) == 2


def test_what_cannot_be_published_fails_the_command(executed, monkeypatch):
    asked = []

    def refuse(each, settings):
        asked.append(each.name)
        if each.name == "21_links":
            raise publish.PublishError("21_links: it has lost a table")

    monkeypatch.setattr(publish, "publish", refuse)
    bad = result("21a_more", Failure("claim", "off"))
    done = executed([result("20_dpo"), result("21_links"), bad], "--publish")
    assert asked == ["20_dpo", "21_links"]
    assert done.exit_code == 1
    assert "not published: 21_links: it has lost a table" in done.stdout
    assert "failed: 21a_more, 21_links\n" in done.stdout


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("edited", "notebooks/20_dpo.ipynb has your edits: left alone\n"),
        (
            build.BrokenNotebook("is no JSON"),
            "notebooks/20_dpo.ipynb is no JSON: left alone (git checkout "
            "notebooks/20_dpo.ipynb mends it)\n",
        ),
        ("written", ""),
    ],
    ids=["edited", "broken", "written"],
)
def test_a_readers_notebook_is_left_alone(clone, monkeypatch, capsys, answer, message):
    monkeypatch.setattr(build, "read", Calls())
    monkeypatch.setattr(build, "sync", Calls(answer))
    notebooks._build([clone / "notebooks/src/20_dpo.py"], clone)
    assert capsys.readouterr().out == message


def test_without_a_source_run_says_so(executed, clone):
    for path in (clone / "notebooks/src").iterdir():
        path.unlink()
    assert "there is no notebook in notebooks/src yet" in executed([]).stdout


def test_site_prints_its_address(clone, monkeypatch):
    built = Calls(clone / "site" / "index.html")
    monkeypatch.setattr(binding, "build_book", built)
    assert run("site", "--profile", "figure").stdout == f"{built.answer.as_uri()}\n"
    [call] = built
    assert call.arguments[0] == job.Settings(root=clone, profile="figure")


def test_site_refuses_a_profile_that_there_is_not(clone):
    assert "--profile" in refused("site", "--profile", "nosuch", status=2)


# ---- lab --------------------------------------------------------------------------


@pytest.fixture
def opened(clone, monkeypatch):
    """What `lab` would become, and a workspace in which one lesson can be opened."""
    space = workspace.Workspace(clone / "work", ("21_links",), ("20_dpo: is broken",))
    became = Calls()
    monkeypatch.setattr(workspace, "renew", Calls(space))
    monkeypatch.setattr(jupyter, "lay_out", Calls())
    monkeypatch.setattr(jupyter, "is_root", lambda: True)
    monkeypatch.setattr(os, "execve", became)
    return became


@pytest.mark.parametrize("arguments", [["nosuch"], ["--fresh", "nosuch"]])
def test_lab_refuses_a_lesson_that_there_is_not(opened, arguments):
    message = "no notebook 'nosuch'; there are 20_dpo, 21_links, 21a_more"
    assert refused("lab", *arguments) == message
    assert opened == [] == workspace.renew


@pytest.mark.parametrize(
    ("arguments", "fresh", "page", "message"),
    [
        ([], [], "/lab/tree/21_links.ipynb", ""),
        (["links"], [], "/lab/tree/21_links.ipynb", ""),
        (["dpo"], [], "/lab", "20_dpo cannot be opened; the others are in the file"),
        (["--fresh", "dpo"], ["20_dpo"], "/lab/tree/21_links.ipynb", ""),
        (
            ["--fresh", "all"],
            ["20_dpo", "21_links", "21a_more"],
            "/lab/tree/21_links.ipynb",
            "",
        ),
    ],
)
def test_lab_opens_what_can_be_opened(opened, arguments, fresh, page, message):
    done = run("lab", *arguments, "--port", "9999")
    [call] = opened
    assert workspace.renew[0].arguments[1] == fresh
    assert f"--LabApp.default_url={page}" in call.arguments[1]
    assert call.arguments[1][-2:] == ["--port", "9999"]
    assert done.stdout.startswith(f"20_dpo: is broken\n{message}")
    assert labs.AS_ROOT in done.stdout


# ---- train ------------------------------------------------------------------------


def package(monkeypatch, **modules: SimpleNamespace) -> None:
    """Put modules in the place of those of `workbench.experiment`."""
    name = "workbench.experiment"
    whole = ModuleType(name)
    whole.__path__ = []
    monkeypatch.setitem(sys.modules, name, whole)
    for part, module in modules.items():
        vars(whole)[part] = module
        monkeypatch.setitem(sys.modules, f"{name}.{part}", module)


@pytest.fixture
def training(monkeypatch):
    """What `train` would start."""
    started = Calls()

    def sizes(profile, seeds=None, width=None, layers=None, device=None):
        return {"sizes": (profile, seeds, width, layers, device)}

    package(
        monkeypatch,
        training=SimpleNamespace(run_command=started),
        training_settings=SimpleNamespace(sizes=sizes),
    )
    return started


IN_A_WORLD = ("dpo", "--out", "x", "--world", "reviews")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'method'"),
        (["dpo"], "'--out'"),
        (["dpo", "--out", "x"], "give either --world or --pairs"),
        ([*IN_A_WORLD, "--pairs", "y"], "give either --world or --pairs"),
        ([*IN_A_WORLD, "--set", "beta"], "--set takes name=value"),
        ([*IN_A_WORLD, "--set", "beta=1", "--set", "x"], "--set takes name=value"),
        ([*IN_A_WORLD, "--profile", "huge"], "--profile"),
        ([*IN_A_WORLD, "--seeds", "0"], "--seeds"),
        ([*IN_A_WORLD, "--steps", "0"], "--steps"),
        ([*IN_A_WORLD, "--steps", "many"], "--steps"),
        ([*IN_A_WORLD, "--lr", "fast"], "--lr"),
        ([*IN_A_WORLD, "--batch-size", "0"], "--batch-size"),
        ([*IN_A_WORLD, "--max-length", "7"], "--max-length"),
        ([*IN_A_WORLD, "--users", "-1"], "--users"),
        ([*IN_A_WORLD, "--group", "0"], "--group"),
        ([*IN_A_WORLD, "--epochs", "0"], "--epochs"),
        ([*IN_A_WORLD, "--width", "wide"], "--width"),
        ([*IN_A_WORLD, "--layers", "1.5"], "--layers"),
        ([*IN_A_WORLD, "more"], "more"),
    ],
)
def test_train_refuses_before_any_work(training, arguments, message):
    assert message in refused("train", *arguments, status=2)
    assert training == []


def test_train_in_a_world_takes_the_defaults(training):
    assert run("train", *IN_A_WORLD).exit_code == 0
    [call] = training
    assert call.arguments == ("dpo",)
    told = call.named
    assert (told.pop("out"), told.pop("world")) == (Path("x"), "reviews")
    assert told.pop("sizes") == ("lecture", None, None, None, None)
    assert (told.pop("batch_size"), told.pop("max_length")) == (32, 512)
    assert told.pop("rejected") == "random"
    assert (told.pop("users"), told.pop("group")) == (0, 4)
    assert told.pop("options") == told.pop("columns") == {}
    assert told.pop("special_tokens") == "yes"
    # what they mean depends on whether there is a checkpoint
    assert (told.pop("every"), told.pop("samples")) == (None, None)
    assert told.pop("max_new") == 64
    assert told.pop("again").endswith(" --resume")
    del told["echo"]
    assert set(told) == {
        "pairs", "model", "steps", "lr", "epochs", "resume", "overwrite", "skip_bad",
        "show", "held_out", "lora", "micro_batch", "warmup", "clip",
        "checkpointing", "log", "eval_pairs",
    }  # fmt: skip
    assert not any(told.values())


def test_train_on_a_file_passes_on_what_it_was_told(training):
    options = (
        "--pairs f.jsonl --model m --profile figure --seeds 2 --steps 9 --lr 0.1 "
        "--set beta=0.3 --set name=a=b --batch-size 4 --max-length 8 --width 16 "
        "--users 5 --group 6 --epochs 7 --layers 1 --device cpu --resume --overwrite "
        "--skip-bad --rejected worst --columns prompt=q,chosen=a --special-tokens no "
        "--show 2 --lora r=2 --micro-batch 2 --warmup 3 --clip 0.5 --checkpointing "
        "--eval-every 3 --samples 9 --max-new 11 --held-out 13 "
        "--log wandb --eval-pairs g.jsonl"
    )
    assert run("train", "ipo", "--out", "x", *options.split()).exit_code == 0
    [call] = training
    told = {k: v for k, v in call.named.items() if k not in ("echo", "again")}
    assert told == {
        "world": None, "pairs": Path("f.jsonl"), "model": Path("m"), "out": Path("x"),
        "sizes": ("figure", 2, 16, 1, "cpu"), "steps": 9, "lr": 0.1, "batch_size": 4,
        "max_length": 8, "users": 5, "group": 6, "epochs": 7,
        "options": {"beta": "0.3", "name": "a=b"}, "resume": True, "overwrite": True,
        "skip_bad": True, "rejected": "worst", "special_tokens": "no", "show": 2,
        "columns": {"prompt": "q", "chosen": "a"}, "every": 3, "samples": 9,
        "max_new": 11, "held_out": 13, "lora": "r=2",
        "micro_batch": 2, "warmup": 3, "clip": 0.5, "checkpointing": True,
        "log": "wandb", "eval_pairs": "g.jsonl",
    }  # fmt: skip


def test_train_fetches_the_hubs_model_it_was_told_and_no_other(training, monkeypatch):
    asked = Calls(Path("kept/it"))
    monkeypatch.setattr(hub, "fetch", asked)
    words = ["train", "dpo", "--out", "x", "--pairs", "f.jsonl"]
    done = run(*words, "--hub", "me/it")
    assert done.exit_code == 0 and "me/it of the Hugging Face hub" in done.stdout
    assert asked[0].arguments[0] == "me/it"
    assert training[0].named["model"] == Path("kept/it")
    assert "either" in refused(*words, "--hub", "a/b", "--model", "m", status=2)
    asked.answer = MissingInput("no network")
    assert refused(*words, "--hub", "me/it") == "no network"


def test_model_says_what_it_fetched_and_knows_one_name(monkeypatch, tmp_path):
    assert "did you mean smollm2" in refused("model", "smolm2")
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1_000_000)
    made = Calls(tmp_path)
    monkeypatch.setattr(smollm, "folder", made)
    monkeypatch.setattr(smollm, "is_there", lambda to: bool(made))
    said = run("model", "smollm2", "--to", "d").stdout
    assert "Apache-2.0; 1 MB" in said and f"now in {tmp_path}" in said
    assert made[0].arguments == (Path("d"),)
    assert f"already there in {tmp_path}" in run("model", "smollm2").stdout
    made.answer = MissingInput("no network")
    assert refused("model", "smollm2") == "no network"
    asked = Calls(Path("kept"))
    monkeypatch.setattr(hub, "fetch", asked)
    assert "is in kept" in run("model", "smollm2", "--hub", "--to", "d").stdout
    assert asked[0].arguments == ("HuggingFaceTB/SmolLM2-135M-Instruct", Path("d"))


def test_a_world_is_passed_on_by_name(training, contest):
    run("train", "dpo", "--out", "x", "--world", "moon")
    assert training[0].named["world"] == "moon"
    run("compare", "--world", "moon")
    assert contest.settings[0].named["world"] == "moon"


def test_train_tells_an_error_in_one_line(training):
    training.answer = BadOption("no method 'dppo'; did you mean dpo?")
    assert refused("train", *IN_A_WORLD) == "no method 'dppo'; did you mean dpo?"


def test_the_command_that_goes_on_is_the_same_with_resume(training, monkeypatch):
    words = ["train", "dpo", "--out", "my runs", "--overwrite", "--resume"]
    monkeypatch.setattr(sys, "argv", ["workbench", *words])
    run("train", *IN_A_WORLD)
    again = training[0].named["again"]
    assert again == "workbench train dpo --out 'my runs' --resume"


@pytest.mark.parametrize(
    ("encoding", "message"), [("utf-8", "β = 1\n"), ("ascii", "\\u03b2 = 1\n")]
)
def test_a_terminal_without_greek_letters_gets_their_codes(
    monkeypatch, encoding, message
):
    calls = Calls()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding=encoding))
    monkeypatch.setattr(typer, "echo", calls)
    train._echo("β = 1")
    assert calls[0].arguments == (message.strip(),)


# ---- compare ----------------------------------------------------------------------


@pytest.fixture
def contest(monkeypatch):
    """What `compare` would start, and the table that comes of it."""
    rows = {"method": ["dpo", "mine"], "gold": [0.5, float("nan")]}
    started = Calls(pd.DataFrame(rows | {"problem": ["", "it diverged"]}))
    settings = Calls("the settings")
    package(monkeypatch, comparison=SimpleNamespace(run=started, Settings=settings))
    started.settings = settings
    return started


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "--seeds"),
        (["--seeds", "some"], "--seeds"),
        (["--steps", "0"], "--steps"),
        (["--batch-size", "0"], "--batch-size"),
        (["--lr", "fast"], "--lr"),
        (["--beta", "small"], "--beta"),
        (["dpo"], "dpo"),
    ],
)
def test_compare_refuses_before_any_work(contest, arguments, message):
    assert message in refused("compare", *arguments, status=2)
    assert contest == [] == contest.settings


def test_compare_passes_on_what_it_was_told(contest):
    options = (
        "--family links --method a.py --method b.py --only dpo --only ipo --world "
        "stories --seeds 2 --steps 5 --batch-size 8 --lr 0.1 --beta 0.2 --by kl "
        "--out x --resume --overwrite"
    )
    assert run("compare", *options.split()).exit_code == 0
    assert contest.settings[0].named == {
        "family": "links", "files": (Path("a.py"), Path("b.py")),
        "only": ("dpo", "ipo"), "world": "stories", "seeds": 2, "steps": 5,
        "batch_size": 8, "lr": 0.1, "beta": 0.2, "by": "kl", "out": Path("x"),
        "resume": True, "overwrite": True,
    }  # fmt: skip
    assert contest[0].arguments[0] == "the settings"


def test_compare_alone_is_a_whole_family_in_reviews(contest):
    assert run("compare").exit_code == 0
    told = contest.settings[0].named
    assert (told["family"], told["world"], told["seeds"]) == ("direct", "reviews", 3)
    assert (told["by"], told["files"], told["only"]) == ("gold", (), ())
    left = ("steps", "batch_size", "lr", "beta", "out", "resume", "overwrite")
    assert not any(told[name] for name in left)


def test_a_table_as_json_is_alone_on_stdout(contest, monkeypatch):
    def noisy(settings, echo):
        print("a guest's own words")
        echo("a sentence of ours")
        return contest.answer

    vars(sys.modules["workbench.experiment.comparison"])["run"] = noisy
    done = run("compare", "--json")
    assert json.loads(done.stdout) == [
        {"method": "dpo", "gold": 0.5, "problem": ""},
        {"method": "mine", "gold": None, "problem": "it diverged"},
    ]
    assert done.stderr == "a guest's own words\na sentence of ours\n"
    assert run("compare").stdout == done.stderr


def test_a_comparison_without_a_result_fails(contest):
    contest.answer["problem"] = "it diverged"
    message = "no objective could be trained and measured"
    assert refused("compare") == message
    assert run("compare", "--json").exit_code == 1


def test_compare_tells_an_error_in_one_line(contest):
    contest.answer = BadOption("--lr is positive and at most 1, not 3.0")
    assert refused("compare", "--lr", "3") == str(contest.answer)


def test_what_is_missing_is_null_and_what_is_infinite_a_word():
    frame = pd.DataFrame({"a": [0.0, float("nan")], "b": ["", "nan"]})
    told = json.loads(common.json_of({"table": frame, "most": [float("-inf"), 1]}))
    rows = [{"a": 0.0, "b": ""}, {"a": None, "b": "nan"}]
    assert told == {"table": rows, "most": ["-inf", 1]}


# ---- what the commands call is there ----------------------------------------------


def definition(file: str, name: str) -> ast.stmt:
    """A function or class of `workbench.experiment`, read and not imported."""
    path = Path(workbench.__file__).parent / "experiment" / f"{file}.py"
    [found] = [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
    ]
    return found


def signature(file: str, name: str) -> inspect.Signature:
    """How a function can be called."""
    node = definition(file, name)
    node.body, node.returns, node.decorator_list = [ast.Pass()], None, []
    for each in ast.walk(node.args):
        if isinstance(each, ast.arg):
            each.annotation = None
    node.args.defaults = [ast.Constant(0) for _ in node.args.defaults]
    node.args.kw_defaults = [d and ast.Constant(0) for d in node.args.kw_defaults]
    made: dict = {}
    module = ast.fix_missing_locations(ast.Module([node], []))
    exec(compile(module, file, "exec"), made)
    return inspect.signature(made[name])


def test_train_calls_what_there_is(training):
    run("train", *IN_A_WORLD)
    [call] = training
    sizes = call.named.pop("sizes")
    signature("training_settings", "sizes").bind(*sizes)
    # the sizes go to the settings, and so does all that the function does not name
    signature("training", "run_command").bind(*call.arguments, **call.named)
    named = set(signature("training", "run_command").parameters)
    known = definition("training_settings", "Settings").body
    fields = {line.target.id for line in known if isinstance(line, ast.AnnAssign)}
    assert set(call.named) <= named | fields


def test_compare_calls_what_there_is(contest):
    run("compare")
    signature("comparison", "run").bind(*contest[0].arguments)
    known = definition("comparison_settings", "Settings").body
    fields = {line.target.id for line in known if isinstance(line, ast.AnnAssign)}
    assert set(contest.settings[0].named) <= fields


# ---- the program ------------------------------------------------------------------


@pytest.fixture
def program(monkeypatch):
    """The program with a command in it that does as told; its exit status."""
    monkeypatch.setattr(ending, "raise_on_signals", Calls())
    monkeypatch.setattr(notes, "listen", Calls())
    monkeypatch.setattr(notes, "kept", Calls([]))

    def call(outcome: BaseException | None) -> object:
        monkeypatch.setattr(cli, "app", Calls(outcome))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    return call


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        (None, 0, ""),
        (SystemExit(2), 2, ""),
        (KeyboardInterrupt(), 130, ""),
        (
            FileNotFoundError(2, "No such file", "a\x1b[2Jb"),
            1,
            "workbench: a\\x1b[2Jb: No such file\n",
        ),
        (OSError("disk is gone"), 1, "workbench: disk is gone\n"),
        (OSError(), 1, "workbench: OSError\n"),
    ],
    ids=repr,
)
def test_the_exit_status_and_the_last_words(program, capsys, outcome, status, message):
    assert program(outcome) == status
    assert capsys.readouterr().err == message


def test_the_notes_of_other_packages_come_last(program, capsys):
    notes.kept.answer = ["torch: FutureWarning: soon"]
    assert program(None) == 0
    assert capsys.readouterr().err.splitlines() == [
        "1 note(s) from other packages, no fault of this run:",
        "  torch: FutureWarning: soon",
    ]


def test_a_signal_is_the_exit_status(program, monkeypatch):
    monkeypatch.setattr(ending, "_received", [15])
    assert program(ending.Stopped(15)) == 143


def test_the_commands_are_a_module_too(program, monkeypatch):
    program(None)  # a stand-in is there
    monkeypatch.delitem(sys.modules, "workbench.cli.__main__", raising=False)
    with pytest.raises(SystemExit):
        importlib.import_module("workbench.cli.__main__")
    assert len(cli.app) == 2


# ---- a shell's completion ----------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "some", "none"),
    [
        ("train dp", {"dpo", "dpop"}, {"ipo", "20_dpo"}),
        ("methods 2", {"20_dpo", "21_links"}, {"dpo", "10_reward_models"}),
        ("methods rl", {"rloo"}, {"20_dpo"}),
        ("run 80", {"80_arena"}, {"20_dpo"}),
    ],
)
def test_a_shell_completes_methods_and_lessons(words, some, none):
    asked = {
        "_WORKBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": f"workbench {words}", "COMP_CWORD": str(len(words.split())),
    }  # fmt: skip
    done = CliRunner().invoke(cli.app, [], prog_name="workbench", env=asked)
    told = set(done.stdout.split())
    assert some <= told and not none & told
