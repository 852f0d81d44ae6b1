"""What holds for every method, from the catalogue: no list to keep.

`property_problem` and `mistake_problems` take a module, so that the example method of
CONTRIBUTING.md goes through the same checks (tests/test_contributing.py). That each
check can fail is shown at the end, on losses that break one property each.
"""

import dataclasses
import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.methods.caught import assert_caught
from workbench import catalogue
from workbench.catalogue import methods, problems
from workbench.feedback.kind import batch_class
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.teach.check import other_values
from workbench.teach.properties import (
    PROPERTIES,
    Subject,
    gradients,
    leaves,
    same,
    with_garbage,
)

METHODS = methods()
LOSSES = [key for key, module in METHODS.items() if "loss" in vars(module)]
TESTS = Path(__file__).parent


def subject_of(module: ModuleType, loss=None, cfg=None) -> Subject:
    """A module's loss, or another of the same signature, with its batches."""
    return Subject(
        loss=loss or module.loss,
        batch_class=batch_class(module.loss),
        cfg=cfg or module.Config(),
        needs=module.card.needs,
    )


def configs(module: ModuleType) -> list:
    """The default config and those with one field changed."""
    cfg = module.Config()
    return [cfg] + [
        dataclasses.replace(cfg, **{field.name: value})
        for field in dataclasses.fields(cfg)
        for value in other_values(cfg, field.name)
    ]


def property_problem(module: ModuleType, name: str) -> str | None:
    """The first config at which the property fails, in words."""
    for cfg in configs(module):
        problem = PROPERTIES[name](subject_of(module, cfg=cfg))
        if problem:
            return f"{module.card.key} at {cfg}: {problem}"
    return None


def differs(one: Subject, two: Subject) -> bool:
    """Value or some gradient differs on a batch with noise outside its masks."""
    for seed in range(3):
        answers = []
        for subject in (one, two):
            batch = leaves(with_garbage(subject.example(seed), seed))
            value = subject.loss(batch, subject.cfg)
            answers.append([value.detach(), *gradients(value, batch).values()])
        if not all(same(a, b) for a, b in zip(*answers, strict=True)):
            return True
    return False


def mistake_problems(module: ModuleType) -> list[str]:
    """Wrong versions that no example batch tells from the loss."""
    return [
        f"{module.card.key}: mistake {name!r} equals the loss"
        for name, wrong in module.mistakes.items()
        if not any(
            differs(subject_of(module, cfg=cfg), subject_of(module, wrong, cfg))
            for cfg in configs(module)
        )
    ]


@pytest.mark.parametrize("key", METHODS)
def test_module_is_complete(key):
    assert problems(METHODS[key]) == []


@pytest.mark.parametrize("key", LOSSES)
@pytest.mark.parametrize("name", PROPERTIES)
def test_property_holds(key, name):
    assert property_problem(METHODS[key], name) is None


@pytest.mark.parametrize("key", LOSSES)
def test_every_mistake_changes_value_or_gradient(key):
    assert mistake_problems(METHODS[key]) == []


def load_tests(key: str) -> ModuleType:
    """The test module of a method, found by its name; pytest explains its asserts."""
    folder = catalogue.family_of(METHODS[key].__name__)
    path = TESTS / folder / f"test_{key}.py"
    assert path.exists(), f"{key} has no {path.relative_to(TESTS.parent)}"
    return importlib.import_module(
        f"tests.methods.{folder.replace('/', '.')}.test_{key}"
    )


@pytest.mark.parametrize("key", METHODS)
def test_method_has_its_own_tests(key):
    names = [name for name in vars(load_tests(key)) if name.startswith("test_")]
    assert names, f"tests of {key} hold no test"


@pytest.mark.parametrize("key", LOSSES)
def test_own_checks_pass_the_loss_and_catch_every_mistake(key):
    module, checks = METHODS[key], load_tests(key).CHECKS
    for check in checks:
        check(module.loss)
    for wrong in module.mistakes.values():
        assert_caught(wrong, checks)


# ---- each property can fail -------------------------------------------------------


def margin(batch: PairLogps) -> torch.Tensor:
    return batch.margin()


BROKEN = {
    "one_value_per_example": lambda b, c: margin(b).mean(),
    "finite_at_extremes": lambda b, c: margin(b).exp().log1p() ** 2,
    "padding_changes_nothing": lambda b, c: b.policy_chosen.sum(-1),
    "order_changes_nothing": lambda b, c: margin(b) * torch.arange(len(margin(b))),
    "rows_do_not_mix": lambda b, c: margin(b) - margin(b).mean(),
    "no_gradient_into_frozen": lambda b, c: margin(b) + b.ref_chosen[:, 1],
    "learns": lambda b, c: margin(b).detach(),
    "precision_changes_little": lambda b, c: (margin(b) * 1e6).cos(),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_can_fail(name):
    assert PROPERTIES[name](Subject(BROKEN[name], PairLogps, None))


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_can_hold(name):
    def good(batch, cfg):
        return torch.nn.functional.softplus(-margin(batch))

    assert PROPERTIES[name](Subject(good, PairLogps, None)) is None


def test_groups_may_mix_and_single_rows_then_not():
    """A group mean is fine for rows of one prompt; a batch mean is not."""

    def in_group(batch: Rollouts, cfg):
        value = batch.policy.mul(batch.mask).sum(-1).reshape(-1, batch.group)
        return (value - value.mean(-1, keepdim=True)).flatten()

    def in_batch(batch: Rollouts, cfg):
        value = batch.policy.mul(batch.mask).sum(-1)
        return value - value.mean()

    check = PROPERTIES["rows_do_not_mix"]
    assert check(Subject(in_group, Rollouts, None)) is None
    assert check(Subject(in_batch, Rollouts, None))
    assert check(Subject(in_batch, Rollouts, None, needs=("whitening",))) is None


def test_a_mistake_equal_to_the_loss_is_noticed():
    module = ModuleType("copy")
    vars(module).update(vars(METHODS["dpo"]))
    module.mistakes = {"1 no mistake": module.loss, "2 sign": lambda b, c: -margin(b)}
    assert mistake_problems(module) == ["dpo: mistake '1 no mistake' equals the loss"]


def test_mistake_that_only_the_reference_feels_differs():
    dpo = METHODS["dpo"]
    through = next(w for name, w in dpo.mistakes.items() if "reference" in name)
    assert differs(subject_of(dpo), subject_of(dpo, through))
