"""A guest's file may do anything: it is named with the phase and the reason."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench import experiment
from workbench.core.errors import NonFiniteGradient, WorkbenchError
from workbench.experiment import comparison
from workbench.experiment.candidates import Candidate
from workbench.feedback.kinds.pairs import PairLogps
from workbench.methods.direct.links import dpo

BRIEF = experiment.Schedule(steps=4, batch_size=8)
HEAD = """
import os, random, sys
import numpy as np
import torch
from torch.nn.functional import logsigmoid
from dataclasses import dataclass
"""
LOSS = """
def loss(batch, cfg):
    return -logsigmoid(0.1 * batch.margin())
"""
# two seeds of eight pairs in single precision: only training gives such a batch, first
# where π = π_ref and then at each step
LATE = """
calls = 0
def loss(batch, cfg):
    global calls
    value = -logsigmoid(0.1 * batch.margin())
    calls += len(value) == 16 and value.dtype == torch.float32
    if calls > 3:
        {}
    return value
"""


def entered(path, problem):
    """Everything that `compare` does with a guest, but for the command."""
    return experiment.compare([experiment.from_file(path)], problem, BRIEF)


def refused(path, problem) -> experiment.BadMethod:
    with pytest.raises(experiment.BadMethod) as caught:
        entered(path, problem)
    assert str(path) in str(caught.value)
    return caught.value


IMPORTS = {
    "exit 0": "import sys; sys.exit(0)",
    "exit 3": "raise SystemExit(3)",
    "base exception": "class Odd(BaseException): ...\nraise Odd",
    "generator exit": "raise GeneratorExit",
    "stop iteration": "raise StopIteration",
    "recursion": "def f(): f()\nf()",
    "syntax": "def loss(:",
    "null byte": "x = 1\0",
    "no text": b"\xff\xfe\xff",
    "no message": "class Odd(Exception):\n  def __str__(self): raise SystemExit\n"
    "raise Odd",
    "Config exits": HEAD + LOSS + "def Config(): sys.exit(0)",
    "Config raises": HEAD + LOSS + "def Config(): raise RuntimeError('no')",
    "Config is no class": HEAD + LOSS + "Config = 3",
    "reward is no function": HEAD + LOSS + "implicit_reward = 3",
    "reward of one argument": HEAD + LOSS + "def implicit_reward(responses): ...",
    "annotation of nothing": "def loss(batch: 'Nothing', cfg): ...",
    "loss without signature": "import torch\nloss = torch.sub",
    "loss is an object": "class L:\n  def __call__(self, batch, cfg): ...\nloss = L()",
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_what_fails_while_importing_is_named_so(written, problem, kind):
    assert refused(written(IMPORTS[kind]), problem).phase == "while importing"


TRIALS = {
    "exit": "def loss(batch, cfg): sys.exit(0)",
    "exit on some examples": "def loss(batch, cfg):\n"
    "  return -batch.margin() if len(batch.margin()) == 8 else sys.exit(0)",
    "base exception": "def loss(batch, cfg): raise BaseException('x')",
    "number": "def loss(batch, cfg): return 3",
    "nothing": "def loss(batch, cfg): ...",
    "complex": "def loss(batch, cfg): return batch.margin() * 1j",
    "coroutine": "def loss(batch, cfg): yield batch.margin()",
    "array": "def loss(batch, cfg): return batch.margin().detach().numpy()",
    "no data": "def loss(batch, cfg): return batch.margin().to('meta')",
    "exit in backward": """
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, g): sys.exit(0)
def loss(batch, cfg): return F.apply(-batch.margin())""",
    "reward is a number": LOSS + "def implicit_reward(responses, cfg): return 3",
    "reward raises": LOSS + "def implicit_reward(responses, cfg): raise ValueError",
    "reward exits": LOSS + "def implicit_reward(responses, cfg): sys.exit(0)",
    "reward of a shape": LOSS
    + "def implicit_reward(r, cfg): return r.logratio().mean()",
    "reward of whole numbers": LOSS
    + "def implicit_reward(r, cfg): return r.logratio().long()",
    "reward of NaN": LOSS
    + "def implicit_reward(r, cfg): return r.logratio() * float('nan')",
    "beta is a word": LOSS + "class Config:\n  beta = 'x'",
    "beta is NaN": LOSS + "class Config:\n  beta = float('nan')",
}


@pytest.mark.parametrize("kind", TRIALS)
def test_what_fails_in_the_trial_is_named_so(written, problem, kind):
    assert refused(written(HEAD + TRIALS[kind]), problem).phase == "in the trial"


LATER = {
    "raises": "raise ValueError('boom')",
    "exits": "sys.exit(0)",
    "base exception": "raise BaseException('x')",
    "shape": "value = value.mean()",
    "longer": "value = torch.cat([value, value])",
    "NaN": "value = value * float('nan')",
    "infinite": "value = value + float('inf')",
    "complex": "value = value * 1j",
    "number": "return 3",
    "detached": "value = value.detach()",
    "changes the mask": "batch.chosen_mask.zero_()",
    "changes data": "batch.policy_chosen.data.zero_()",
    "changes what it learns from": "batch.policy_chosen.mul_(2)",
    "changes torch": "torch.set_default_dtype(torch.float64)",
}


@pytest.mark.parametrize("kind", LATER)
def test_what_fails_later_is_named_with_its_step(written, problem, kind):
    error = refused(written(HEAD + LATE.format(LATER[kind])), problem)
    assert error.phase == "at step 2" and "at step 2" in str(error)


def test_an_exit_in_a_later_backward_pass_is_named_with_its_step(written, problem):
    function = TRIALS["exit in backward"].split("def loss")[0]
    text = HEAD + function + LATE.format("value = F.apply(value)")
    assert refused(written(text), problem).phase == "at step 2"


def test_a_later_gradient_that_is_not_finite_is_named_with_file_and_step(
    written, problem
):
    steep = "value = value + (value - value.detach()).sqrt()"
    path = written(HEAD + LATE.format(steep))
    with pytest.raises(NonFiniteGradient, match="mine: .* at step 2") as caught:
        entered(path, problem)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "body",
    ["return responses.logratio()[:4]", "raise ValueError", "sys.exit(0)", "return 3"],
)
def test_a_reward_that_fails_when_the_policy_is_measured_is_named_so(
    written, problem, body
):
    reward = f"""
def implicit_reward(responses, cfg):
    if len(responses.mask) == 8:
        return responses.logratio()
    {body}
"""
    error = refused(written(HEAD + LOSS + reward), problem)
    assert error.phase == "while its policy is measured"


def test_the_line_of_the_file_is_told(written, problem):
    text = "def loss(batch, cfg):\n    x = 1\n    raise ValueError('boom')\n"
    assert "ValueError: boom (line 3)" in str(refused(written(text), problem))


def test_of_several_guests_the_one_that_fails_is_named(written, problem):
    good = written(HEAD + LOSS, "good.py")
    bad = written(HEAD + LATE.format("value = value * float('nan')"), "bad.py")
    with pytest.raises(experiment.BadMethod) as caught:
        experiment.compare(
            [experiment.from_file(p) for p in (good, bad)], problem, BRIEF
        )
    assert str(bad) in str(caught.value) and str(good) not in str(caught.value)


def test_a_data_set_that_cannot_be_made_names_the_guest(written):
    """Few pairs of many prompts make no list of four responses."""
    path = written(
        "from workbench.feedback.kinds.lists import ListLogps\n"
        "def loss(batch: ListLogps, cfg):\n"
        "    return -(batch.scores * batch.logratio()).sum(-1)"
    )
    few = experiment.of_reviews([3], n_pairs=2, max_words=2, held_out_pairs=4)
    error = refused(path, few)
    assert "no prompt has the 4 responses" in str(error)


# ---- what a guest changes -----------------------------------------------------------

CHANGES = {
    "chosen_mask": "batch.chosen_mask.zero_()",
    "rejected_mask": "batch.rejected_mask.fill_(True)",
    "policy_chosen": "batch.policy_chosen.data.zero_()",
    "policy_rejected": "batch.policy_rejected.data.mul_(2)",
    "ref_chosen": "with torch.no_grad(): batch.ref_chosen.add_(1)",
    "ref_rejected": "object.__setattr__(batch, 'ref_rejected', batch.ref_chosen)",
    "torch's default dtype": "torch.set_default_dtype(torch.float64)",
    "torch's seed": "torch.manual_seed(7)",
    "torch's recording of gradients": "torch.set_grad_enabled(False)",
    "torch's number of threads": "torch.set_num_threads(3)",
    "torch's default device": "torch.set_default_device('meta')",
    "torch's choice of algorithms": "torch.use_deterministic_algorithms("
    "not torch.are_deterministic_algorithms_enabled())",
    "the working folder": "os.chdir('..')",
    "cfg": "cfg.beta *= 2",
}


def state() -> tuple:
    return (
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(),
        torch.get_default_device(), torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), os.getcwd(),
    )  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_loss_changes_is_refused_by_name_and_undone(written, problem, name):
    text = f"""
class Config:
    beta = 0.1
def loss(batch, cfg):
    value = -logsigmoid(cfg.beta * batch.margin())
    {CHANGES[name]}
    return value
"""
    before = state()
    error = refused(written(HEAD + text), problem)
    assert error.phase == "in the trial"
    assert f"changed {name};" in str(error)
    assert state() == before


@pytest.mark.parametrize(
    ("made", "change"),
    [
        ("class Config:\n  n = 0", "Config.n += 1"),
        ("@dataclass(frozen=True)\nclass Config:\n  n: int = 0",
         "object.__setattr__(cfg, 'n', 1)"),
        ("@dataclass(frozen=True, slots=True)\nclass Config:\n  n: int = 0",
         "object.__setattr__(cfg, 'n', 1)"),
        ("def Config(): return {'n': [0]}", "cfg['n'].append(1)"),
        ("def Config(): return {'n': {0}}", "cfg['n'].add(1)"),
        ("def Config(): return torch.zeros(2)", "cfg.add_(1)"),
        ("def Config(): return [np.zeros(2)]", "cfg[0][1] = 4"),
        ("def Config(): return torch.nn.Linear(1, 1)", "cfg.weight.data.add_(1)"),
    ],
)  # fmt: skip
def test_settings_of_any_kind_that_a_loss_changes_are_noticed(
    written, problem, made, change
):
    text = f"{made}\ndef loss(batch, cfg):\n    {change}\n    return -batch.margin()"
    assert "changed cfg" in str(refused(written(HEAD + text), problem))


def test_a_reward_that_changes_its_responses_is_refused(written, problem):
    reward = "def implicit_reward(r, cfg):\n    r.mask.zero_()\n    return r.logratio()"
    error = refused(written(HEAD + LOSS + reward), problem)
    assert "implicit_reward changed mask" in str(error)


@pytest.mark.parametrize("name", [n for n in CHANGES if n[:3] in ("tor", "the")])
def test_what_importing_a_file_changes_is_undone_and_noted_by_name(
    written, problem, name
):
    before = state()
    guest = experiment.from_file(written(f"{HEAD}\n{CHANGES[name]}\n{LOSS}"))
    assert state() == before
    assert any(name in note for note in guest.notes)
    assert entered(guest.file, problem)["gold"].notna().all()


def test_a_guest_changes_nobody_else_s_numbers(written, problem):
    """With or without noisy company, DPO has the same numbers to the last bit."""
    noisy = HEAD + "random.seed(1)\nnp.random.seed(1)\ntorch.manual_seed(1)\n"
    noisy += """
def loss(batch, cfg):
    noise = torch.rand(len(batch.chosen_mask)) + random.random() + np.random.rand()
    return -noise * batch.margin()
"""
    members = [e for e in experiment.candidates("direct")[0] if e.key == "dpo"]
    alone = experiment.compare(members, problem, BRIEF).drop(columns="seconds")
    guest = experiment.from_file(written(noisy))
    both = experiment.compare([guest, *members], problem, BRIEF).drop(columns="seconds")
    assert both[both["method"] == "dpo"].values.tolist() == alone.values.tolist()
    again = experiment.compare([guest], problem, BRIEF).drop(columns="seconds")
    assert both[both["method"] == "mine"].values.tolist() == again.values.tolist()


# ---- what may be --------------------------------------------------------------------

ALLOWED = {
    "postponed annotations": "from __future__ import annotations\n"
    "from dataclasses import dataclass\n@dataclass(frozen=True, slots=True)\n"
    "class Config:\n    beta: float = 0.2\n",
    "plain class": "class Config:\n    beta = 0.2\n",
    "dictionary": "def Config(): return {'a': [1]}\n",
}


@pytest.mark.parametrize("kind", ALLOWED)
def test_settings_may_be_of_any_kind(written, problem, kind):
    frame = entered(written(ALLOWED[kind] + HEAD + LOSS), problem)
    assert frame["gold"].notna().all()


def test_the_beta_of_the_command_reaches_a_guest(written):
    text = HEAD + "@dataclass(frozen=True)\nclass Config:\n    beta: float = 0.1\n"
    path = written(text + LOSS)
    assert experiment.from_file(path).cfg.beta == 0.1
    assert experiment.from_file(path, beta=0.7).cfg.beta == 0.7


def test_nothing_is_left_beside_the_file(written):
    path = written(HEAD + LOSS)
    experiment.from_file(path)
    assert [p.name for p in path.parent.iterdir()] == ["mine.py"]


# ---- a method of the library that fails ---------------------------------------------


def failing(error):
    def loss(batch: PairLogps, cfg):
        raise error

    return Candidate(replace(dpo.card, key="broken"), loss, dpo.Config(), PairLogps)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("no\nsuch"), WorkbenchError("bad"), KeyError(1), SystemExit(0)],
)
def test_a_failing_method_is_recorded_and_the_contest_goes_on(problem, error):
    good = Candidate(dpo.card, dpo.loss, dpo.Config(), PairLogps)
    frame = experiment.compare([failing(error), good], problem, BRIEF)
    table = experiment.leaderboard(frame).set_index("method")
    assert table["rank"].to_dict() == {"dpo": 1, "broken": 2}
    assert table.loc["broken", "problem"] and "\n" not in table.loc["broken", "problem"]
    assert table.loc["dpo", "problem"] == ""


@pytest.mark.parametrize("by", ["gold", "kl", "seconds", "regret"])
def test_standings_of_methods_that_all_failed_are_a_table(problem, by):
    frame = experiment.compare([failing(ValueError("x"))], problem, BRIEF)
    table = experiment.leaderboard(frame, by)
    assert table["method"].tolist() == ["broken"]
    assert "ValueError: x" in experiment.markdown(table)


def test_a_policy_that_training_ruined_is_a_problem_and_no_row_of_nan(problem):
    good = Candidate(dpo.card, dpo.loss, dpo.Config(), PairLogps)
    frame = experiment.compare(
        [good], problem, experiment.Schedule(steps=1, batch_size=8, lr=1e30)
    )
    assert (frame["problem"] != "").all()


# ---- a real process -----------------------------------------------------------------


def test_the_command_fails_with_status_1_when_a_guest_ends_the_program(written):
    path = written("import sys; sys.exit(0)")
    asked = [sys.executable, "-m", "workbench", "compare", "--method", str(path)]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 1
    assert str(path) in done.stderr and "while importing" in done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


def test_ctrl_c_ends_a_guest_with_a_sentence(written, capsys):
    settings = comparison.Settings(files=[written("raise KeyboardInterrupt")])
    with pytest.raises(KeyboardInterrupt):
        comparison.run(settings, lambda line: None)
    assert "without --out nothing is kept" in capsys.readouterr().err
