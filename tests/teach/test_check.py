"""A right function passes; each known mistake, and each general one, is named."""

import dataclasses

import pytest
import torch

from workbench.catalogue import known_mistakes, methods
from workbench.teach import check

LOSSES = {key: m for key, m in methods().items() if "loss" in vars(m)}
MISTAKES = [
    pytest.param(key, name, id=f"{key}: {name}")
    for key, module in LOSSES.items()
    for name in module.mistakes
]
dpo = methods()["dpo"]


@pytest.mark.parametrize("key", LOSSES)
def test_the_librarys_loss_passes(key):
    verdict = getattr(check, key)(LOSSES[key].loss)
    assert verdict.passed and verdict.mistake is None, verdict
    assert verdict


@pytest.mark.parametrize(("key", "name"), MISTAKES)
def test_every_known_mistake_is_named(key, name):
    module = LOSSES[key]
    verdict = getattr(check, key)(module.mistakes[name])
    assert not verdict
    assert verdict.mistake == name, verdict
    assert known_mistakes(module)[int(name.split()[0])] in verdict.message


def student(batch, cfg):
    """DPO as a student would write it, without the library's helpers."""
    chosen = (batch.policy_chosen - batch.ref_chosen.detach()) * batch.chosen_mask
    rejected = batch.policy_rejected - batch.ref_rejected.detach()
    margin = chosen.sum(-1) - (rejected * batch.rejected_mask).sum(-1)
    return -torch.nn.functional.logsigmoid(cfg.beta * margin)


def test_another_way_to_write_it_passes():
    assert check.dpo(student)


def test_a_function_of_the_batch_alone_cannot_read_the_settings():
    """β fixed at its default agrees at the default only: it is told to take cfg."""
    verdict = check.dpo(lambda batch: student(batch, dpo.Config()))
    assert not verdict and verdict.mistake == "config ignored"
    assert "cfg.beta" in verdict.message


@pytest.mark.parametrize("first", list(dpo.mistakes)[:3])
def test_two_slips_are_both_named(first):
    """A forgotten detach hides every other mistake, unless it is looked through."""

    def twice(batch, cfg):
        wrong = dpo.mistakes[first](batch, cfg)
        leak = (batch.ref_chosen * batch.chosen_mask).sum(-1)
        return wrong + leak - leak.detach()

    verdict = check.dpo(twice)
    assert verdict.mistake == first and "two slips" in verdict.message
    assert "detach" in verdict.message


def test_two_known_mistakes_together_are_both_named():
    from workbench.core import edits

    verdict = check.dpo(edits.swapped(dpo.mistakes["2 mean over tokens"]))
    assert "two slips" in verdict.message, verdict
    assert "mean over" in verdict.message and "swapped" in verdict.message


@pytest.mark.parametrize("key", ["hinge", "cdpo", "ipo"])
def test_the_loss_of_a_neighbour_is_recognised(key):
    other = methods()[key]

    def wrote(batch, cfg):
        names = {field.name for field in dataclasses.fields(other.Config)}
        shared = {k: v for k, v in dataclasses.asdict(cfg).items() if k in names}
        return other.loss(batch, dataclasses.replace(other.Config(), **shared))

    verdict = check.dpo(wrote)
    assert verdict.mistake == f"neighbour {key}", verdict
    assert f"lesson {other.card.notebook}" in verdict.message


def of_batch_alone(batch):
    return batch.policy_choosen.sum(-1)


def test_the_line_of_an_error_is_the_students_even_in_one_argument():
    """The library calls it through a function of its own, which is no news."""
    verdict = check.dpo(of_batch_alone)
    assert verdict.mistake == "raises an error"
    assert "return batch.policy_choosen.sum(-1)" in verdict.message


def unwritten(batch, cfg):
    raise NotImplementedError("your turn")


def leaky(batch, cfg):
    """The value of DPO, with a gradient into the reference of the chosen alone."""
    leak = (batch.ref_chosen * batch.chosen_mask).sum(-1)
    return student(batch, cfg) + leak - leak.detach()


def typo(batch, cfg):
    return batch.policy_choosen.sum(-1)


def per_token(batch, cfg):
    return cfg.beta * (batch.policy_chosen - batch.policy_rejected)


def unstable(batch, cfg):
    margin = cfg.beta * batch.margin()
    return -torch.log(torch.exp(margin) / (1 + torch.exp(margin)))


def unmasked(batch, cfg):
    chosen = batch.chosen.logratio()
    rejected = (batch.policy_rejected - batch.ref_rejected.detach()).sum(-1)
    return -torch.nn.functional.logsigmoid(cfg.beta * (chosen - rejected))


GENERAL = {
    "not written yet": unwritten,
    "raises an error": typo,
    "gradient into a frozen field": leaky,
    "wrong gradient": lambda b, c: 2 * student(b, c) - student(b, c).detach(),
    "returns nothing": lambda batch, cfg: None,
    "not a tensor": lambda batch, cfg: student(batch, cfg).tolist(),
    "not a function": 3.0,
    "batch mean": lambda batch, cfg: student(batch, cfg).mean(),
    "batch sum": lambda batch, cfg: student(batch, cfg).sum(),
    "batch reduced": lambda batch, cfg: batch.margin().max(),
    "token reduction missing": per_token,
    "wrong shape": lambda batch, cfg: student(batch, cfg)[:3],
    "constant": lambda batch, cfg: torch.zeros(8, dtype=torch.float64),
    "wrong sign": lambda batch, cfg: -student(batch, cfg),
    "wrong scale": lambda batch, cfg: cfg.beta * student(batch, cfg),
    "wrong offset": lambda batch, cfg: student(batch, cfg) + 1,
    "wrong value": lambda batch, cfg: student(batch, cfg) ** 2,
    "gradient cut": lambda batch, cfg: student(batch, cfg).detach(),
    "config ignored": lambda batch, cfg: student(batch, dpo.Config()),
    "not finite": lambda batch, cfg: student(batch, cfg) / 0,
    "mask ignored": unmasked,
    "unstable": unstable,
}


@pytest.mark.parametrize("mistake", GENERAL)
def test_general_mistakes_are_named(mistake):
    verdict = check.dpo(GENERAL[mistake])
    assert (verdict.passed, verdict.mistake) == (False, mistake), verdict


def test_the_error_of_the_student_is_quoted():
    message = check.dpo(typo).message
    assert "AttributeError" in message
    assert "return batch.policy_choosen.sum(-1)" in message, "the line that raised"


def test_an_exit_in_the_student_is_a_verdict():
    def leave(batch, cfg):
        raise SystemExit(0)

    assert check.dpo(leave).mistake == "raises an error"


def test_a_student_cannot_spoil_the_batches_in_place():
    def vandal(batch, cfg):
        for field in dataclasses.fields(batch):
            getattr(batch, field.name).detach().zero_()
        return batch.margin()

    assert not check.dpo(vandal)
    assert check.dpo(dpo.loss)


def test_the_check_leaves_the_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    check.dpo(lambda batch, cfg: torch.randn(8, dtype=torch.float64))
    assert torch.equal(torch.get_rng_state(), before)


def test_verdict_is_escaped():
    def loud(batch, cfg):
        raise ValueError("<script>alert(1)</script>")

    bundle = check.dpo(loud)._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"]
    assert "ValueError" in bundle["text/plain"]


def test_unknown_key_suggests_a_near_one():
    with pytest.raises(AttributeError, match="did you mean dpo"):
        _ = check.dp0


def test_dir_lists_the_methods_with_a_loss():
    assert dir(check) == sorted(LOSSES)
