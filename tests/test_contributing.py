"""The example of CONTRIBUTING.md is a method: it goes through every check of one."""

import dataclasses
import importlib
import json
import re
import sys
from types import ModuleType

import pandas as pd
import pytest
import torch

import workbench.methods.direct.links as links
from tests import test_house_rules as rules
from tests.methods.test_every_method import mistake_problems, property_problem
from workbench import catalogue
from workbench.core.contracts import Loop
from workbench.core.errors import MissingInput
from workbench.core.seeds import generator
from workbench.experiment import task, training
from workbench.experiment.training_settings import Settings
from workbench.feedback.annotator import Annotator
from workbench.feedback.kind import kinds
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models.policy import TabularPolicy
from workbench.teach import check
from workbench.teach.properties import PROPERTIES
from workbench.worlds.registry import worlds
from workbench.worlds.reviews import Reviews

TEXT = (catalogue.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(
    re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```\n", TEXT, re.DOTALL)
)
KIND = "workbench/feedback/kinds/sure_pairs.py"
LOOP = "workbench/loops/easiest_first.py"
WORLD = "workbench/worlds/lights.py"
MEASURE = "workbench/measure/support.py"
METHOD = "workbench/methods/direct/links/squared_hinge.py"
TEST = "tests/methods/direct/links/test_squared_hinge.py"
NAME = "workbench.methods.direct.links.squared_hinge"


@pytest.fixture
def squared_hinge(tmp_path, monkeypatch):
    """The example, importable under the name it would have."""
    (tmp_path / "squared_hinge.py").write_text(EXAMPLES[METHOD], encoding="utf-8")
    monkeypatch.setattr(links, "__path__", [*links.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield importlib.import_module(NAME)
    del sys.modules[NAME]
    del links.squared_hinge


@pytest.fixture
def its_tests(squared_hinge, tmp_path):
    """The names that the example's test file defines."""
    names = {}
    exec(compile(EXAMPLES[TEST], TEST, "exec"), names)
    return names


def test_the_text_holds_two_files_for_a_method_and_one_for_everything_else():
    assert list(EXAMPLES) == [METHOD, TEST, KIND, LOOP, WORLD, MEASURE]


def test_the_example_is_about_twenty_lines_of_code():
    code = EXAMPLES[METHOD].split('"""', 2)[2]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 25


def test_it_is_complete(squared_hinge):
    assert catalogue.problems(squared_hinge) == []


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_holds(squared_hinge, name):
    assert property_problem(squared_hinge, name) is None


def test_its_mistakes_differ_from_it(squared_hinge):
    assert mistake_problems(squared_hinge) == []


def test_its_own_tests_pass(squared_hinge, its_tests):
    for each in its_tests["CHECKS"]:
        its_tests["test_squared_hinge"](each)


def test_its_own_checks_catch_every_mistake(squared_hinge, its_tests):
    for wrong in squared_hinge.mistakes.values():
        with pytest.raises(AssertionError):
            for each in its_tests["CHECKS"]:
                each(wrong)


def test_catalogue_finds_it_without_another_edit(squared_hinge):
    found = catalogue.methods()
    assert "squared_hinge" in found
    assert catalogue.all_problems(found) == []
    assert "### squared_hinge" in catalogue.methods_page(found)
    assert "METHODS.md#squared_hinge" in catalogue.methods_markdown(
        catalogue.table(found)
    )


def test_a_student_can_be_checked_on_it(squared_hinge):
    assert check.squared_hinge(squared_hinge.loss)
    assert (
        check.squared_hinge(squared_hinge.mistakes["2 no beta"]).mistake == "2 no beta"
    )
    assert not check.squared_hinge(lambda batch, cfg: torch.zeros(8))


@pytest.mark.parametrize(
    "rule",
    [rule for rule, files in rules.RULES.items() if set(rules.METHODS) <= set(files)],
    ids=lambda rule: rule.__name__,
)
def test_it_keeps_the_house_rules(rule):
    assert rule(METHOD, EXAMPLES[METHOD]) == []


# ---- a kind, a loop, a world and a measure: one file each ---------------------


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Make an example importable as the one new file of its room."""
    made = []

    def add(path: str) -> ModuleType:
        room, name = path.removesuffix(".py").replace("/", ".").rsplit(".", 1)
        package = importlib.import_module(room)
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.py").write_text(EXAMPLES[path], encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        importlib.invalidate_caches()
        kinds.cache_clear(), worlds.cache_clear()
        made.append((package, name))
        return importlib.import_module(f"{room}.{name}")

    yield add
    for package, name in made:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        vars(package).pop(name, None)
    kinds.cache_clear(), worlds.cache_clear()


@pytest.mark.parametrize("path", [KIND, LOOP, WORLD, MEASURE])
def test_an_example_keeps_the_house_rules(path):
    for rule, files in rules.RULES.items():
        if set(rules.LIBRARY) <= set(files):
            assert rule(path, EXAMPLES[path]) == [], rule.__name__


def test_a_method_that_reads_the_new_kind_is_trained_from_a_file(
    added, tmp_path, monkeypatch
):
    """A loss, its card, and `workbench train` finds the column of the file."""
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")
    kind = added(KIND)
    rows = [
        {"prompt": f"is {n} good ?", "chosen": f"yes {n}", "rejected": f"no {n}",
         "sure": n / 20}
        for n in range(20)
    ]  # fmt: skip
    file = tmp_path / "sure.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def loss(batch, cfg):
        return batch.sure * dpo.loss(batch, cfg)

    loss.__annotations__["batch"] = kind.SurePairLogps
    method = ModuleType("sure_dpo")
    vars(method).update(vars(dpo) | {"loss": loss})
    method.card = dataclasses.replace(dpo.card, key="sure_dpo")
    for name in PROPERTIES:
        assert property_problem(method, name) is None
    small = {"steps": 2, "every": 2, "batch_size": 4, "samples": 4, "width": 16}
    small |= {"layers": 1, "reference_steps": 2, "max_new": 4}
    settings = Settings("sure_dpo", pairs=str(file), **small)
    task.check(method, settings)
    problem = training.problem_of(method, settings, tmp_path, resume=False).ready()
    one = task.Task(method, dpo.Config(), problem, settings)
    one.check()
    run = one.run(0, tmp_path / "run", resume=False)
    assert run.metrics["step"].tolist() == [0, 2]
    without = [{k: v for k, v in row.items() if k != "sure"} for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in without))
    problem = training.problem_of(method, settings, tmp_path, resume=False)
    with pytest.raises(MissingInput, match="sure.jsonl gives no column sure"):
        task.Task(method, dpo.Config(), problem, settings).check()


def test_the_new_loop_trains_a_method_that_names_it(added):
    loop = added(LOOP)
    assert isinstance(loop, Loop)
    world = Reviews(max_words=1)
    policy, reference = TabularPolicy(world), TabularPolicy(world)
    logps = reference.response_logps().detach()
    pairs = sample_pairs(world, logps, 12, Annotator(), generator(0))
    run = loop.fit(policy, reference, pairs, dpo, dpo.Config(), steps=3, lr=0.1)
    assert run.config["loop"] == "easiest_first"
    assert (policy.response_logps() - logps).abs().max() > 0


def test_the_new_world_is_known_by_name_and_trained_in(added, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")
    added(WORLD)
    assert "lights" in worlds()
    asked = {"steps": 40, "every": 40, "n_pairs": 64, "width": 16, "layers": 1}
    out = training.run_command(
        "rloo", out=tmp_path / "run", world="lights", reference_steps=20, lr=0.02,
        echo=lambda line: None, **asked,
    )  # fmt: skip
    frame = pd.read_csv(out / "metrics.csv")
    assert frame["gold"].iloc[-1] > frame["gold"].iloc[0]
    assert frame["frontier_gap"].iloc[-1] >= -1e-6


def test_the_new_measure_is_recorded_by_a_loop(added):
    """Uniform over N responses writes N of them, whatever N is."""
    measure, world = added(MEASURE), Reviews(max_words=1)
    policy = TabularPolicy(world)
    pairs = sample_pairs(
        world, policy.response_logps().detach(), 4, Annotator(), generator(0)
    )
    run = offline.fit(
        policy, TabularPolicy(world), pairs, dpo, dpo.Config(), steps=1,
        measures=[measure.support(world)],
    )  # fmt: skip
    assert run.metrics["support"].iloc[0] == pytest.approx(world.n_responses)
