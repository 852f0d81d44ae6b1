"""What a training command is asked for is judged before anything is read or written."""

from dataclasses import fields

import pytest
import torch

from tests.experiment.common import TINY, contents, run
from workbench import catalogue
from workbench.core.errors import BadOption, WorkbenchError
from workbench.experiment.training_settings import configure, find

METHODS = catalogue.methods()


def numbers(kind: type) -> list[tuple[str, str]]:
    """Every setting of every method that takes numbers of a kind."""
    return [
        (key, f.name)
        for key, method in METHODS.items()
        for f in fields(method.Config)
        if f.type is kind or f.type == kind | None
    ]


@pytest.mark.parametrize(("key", "name"), numbers(float))
def test_a_number_of_a_method_is_finite(key, name):
    texts = ("1e999", "-1e999", "nan", "inf", "-inf", "9" * 400, "9" * 5000, "1j")
    for text in (*texts, "True", "'1'", "[1.0]", "(" * 300, "\0"):
        with pytest.raises(BadOption, match=f"{key}'s {name} is"):
            configure(METHODS[key], {name: text})


@pytest.mark.parametrize(("key", "name"), numbers(int))
def test_a_count_of_a_method_is_a_number_that_a_machine_can_count_to(key, name):
    for text in ("9" * 400, "9" * 5000, str(2**31), "1.5", "nan", "True"):
        with pytest.raises(BadOption, match=f"{key}'s {name} is"):
            configure(METHODS[key], {name: text})


@pytest.mark.parametrize(
    ("key", "name"),
    [(k, n) for k, n in numbers(float) if n == "tau" or n.startswith("beta")],
)
def test_a_temperature_of_a_method_is_positive(key, name):
    for text in ("0", "-0.0", "-1", "-1e-9", "1e-999"):
        with pytest.raises(BadOption, match="is positive"):
            configure(METHODS[key], {name: text})
    assert getattr(configure(METHODS[key], {name: "2"}), name) == 2.0


@pytest.mark.parametrize(
    ("key", "name", "text", "message"),
    [
        ("cpo", "nll", "men", "one of sum, mean, not 'men'; did you mean mean"),
        ("copg", "form", "1", "one of contrastive, squared"),
        ("vpo_offline", "sign", "0", "one of -1, 1"),
        ("vpo_offline", "sign", "True", "one of -1, 1"),
        ("f_dpo", "divergence", "x", "is like"),
        ("rloo", "clip", "x", "is like None, not 'x'"),
        ("dpo", "Beta", "1", "did you mean beta"),
    ],
)
def test_a_setting_that_is_a_word_is_one_of_those_there_are(key, name, text, message):
    with pytest.raises(BadOption, match=message):
        configure(METHODS[key], {name: text})


@pytest.mark.parametrize("key", ["DPO", "dpo ", "rlooo", "nash-md"])
def test_a_method_that_is_nearly_one_is_suggested(key):
    with pytest.raises(BadOption, match="did you mean (dpo|rloo|nash_md)"):
        find(key)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("lr", value) for value in (float("nan"), float("inf"), 0.0, -1.0, 1e-400)],
        *[("device", d) for d in ("nosuch", "meta", "cuda:99", "", "CPU", "cuda:-1")],
        *[("steps", 10**40), ("batch_size", 2**31), ("seeds", 10**6), ("every", 0)],
        *[("width", 10**6), ("width", 17), ("layers", 10**6), ("max_length", 10**30)],
        ("options", {"beta": "nan"}),
    ],
)
def test_a_setting_that_cannot_be_is_refused_and_nothing_is_made(tmp_path, name, value):
    with pytest.raises(BadOption, match="--|device|beta"):
        run("dpo", tmp_path / "o", **TINY | {name: value})
    assert not (tmp_path / "o").exists()


def test_a_device_that_is_none_is_told_those_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BadOption, match="this machine has cpu, cuda:0, cuda:1"):
        run("dpo", tmp_path / "o", **TINY, device="cuda:2")


def test_a_gpu_that_is_not_there_is_the_cpu_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.warns(UserWarning, match="no CUDA device"):
        run("dpo", tmp_path / "o", **TINY | {"steps": 1}, device="cuda")


@pytest.mark.parametrize("text", ["0", "-1", "1e30"])
def test_a_setting_outside_a_methods_domain_is_found_before_the_folder(tmp_path, text):
    with pytest.raises(BadOption, match=f"exo_pref cannot work with epsilon={text}"):
        run("exo_pref", tmp_path / "o", **TINY, options={"epsilon": text})
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("lr", [1e30, 1e38, 1e300])
@pytest.mark.parametrize("method", ["dpo", "rloo", "nash_md", "bt"])
def test_a_step_size_that_ruins_the_weights_is_an_error_with_its_step(
    tmp_path, method, lr
):
    with pytest.raises(WorkbenchError, match="step .* not finite|not finite .* step"):
        run(method, tmp_path / "o", **TINY, lr=lr)
    before = contents(tmp_path / "o")
    with pytest.raises(WorkbenchError, match="not finite"):
        run(method, tmp_path / "o", **TINY, lr=lr, resume=True)
    assert before.keys() <= contents(tmp_path / "o").keys()


@pytest.mark.parametrize(
    ("method", "asked", "used"),
    [
        ("ppo", 1, 4),
        ("ppo", 2, 4),
        ("rloo", 10, 8),
        ("rloo", 8, None),
        ("dpo", 5, None),
    ],
)
def test_a_batch_that_is_no_multiple_of_the_group_is_told(
    tmp_path, method, asked, used
):
    lines = run(method, tmp_path / "o", **TINY | {"batch_size": asked, "steps": 1})
    told = [line for line in lines if "--batch-size" in line]
    assert len(told) == (used is not None)
    if used:
        assert f"--batch-size {asked} " in told[0]
        assert f"{used} responses per" in told[0]
        assert told[0] in (tmp_path / "o" / "report.html").read_text()


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "not enough memory: you tried to allocate 999 bytes",
    ],
)
def test_too_little_memory_is_told_with_what_needs_less(tmp_path, monkeypatch, message):
    def fail(*args, **more):
        raise RuntimeError(message)

    monkeypatch.setattr("workbench.loops.session.Session.step", fail)
    with pytest.raises(
        WorkbenchError, match="out of memory on cpu; a smaller --micro-batch"
    ):
        run("dpo", tmp_path / "o", **TINY)


def test_an_error_of_the_program_itself_is_not_hidden(tmp_path, monkeypatch):
    def fail(*args, **more):
        raise RuntimeError("a bug")

    monkeypatch.setattr("workbench.loops.session.Session.step", fail)
    with pytest.raises(RuntimeError, match="^a bug$"):
        run("dpo", tmp_path / "o", **TINY)
