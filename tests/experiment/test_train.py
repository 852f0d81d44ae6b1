"""``workbench train``: what it leaves, that it repeats, that it survives kill -9."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from workbench.core.errors import BadOption, BadRecord, BadRun, MissingInput
from workbench.core.seeds import generator
from workbench.experiment.training import run_command
from workbench.feedback import files
from workbench.feedback.records import PreferenceRecord
from workbench.models import encoding, prompts, tiny, tokenizer
from workbench.worlds.reviews import Reviews

QUICK = {"steps": 6, "every": 3, "n_pairs": 60, "batch_size": 8}
SMALL = {"steps": 4, "every": 2, "batch_size": 4, "samples": 8, "max_new": 6}
SMALL |= {"reference_steps": 6, "max_length": 24}


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Thirty pairs about films, the pleasant one chosen."""
    films = ["heat", "ran", "alien", "brazil", "persona"]
    records = [
        PreferenceRecord(f"is {film} good ?", f"yes , {word} fun", f"no , {word} dull")
        for film in films
        for word in ("very", "quite", "so", "rather", "most", "just")
    ]
    return files.write(tmp_path / "films.jsonl", records)


def quiet(line: str) -> None:
    """Say nothing."""


def run(method: str, out: Path, **settings) -> pd.DataFrame:
    run_command(method, out=out, echo=quiet, **settings)
    return pd.read_csv(out / "metrics.csv")


@pytest.mark.parametrize(
    "method",
    [
        "dpo",
        "kto",
        "list_mle",
        "a_lol",
        "tdpo1",
        "step_dpo",
        "sft",
        "rloo",
        "ppo",
        "nash_md",
    ],
)
def test_every_family_trains_a_policy_on_the_exact_world(tmp_path, method):
    from workbench.models.policy import Policy

    frame = run(
        method, tmp_path / "run", world="reviews", max_words=2, seeds=2, **QUICK
    )
    assert frame[["seed", "step"]].values.tolist() == [
        [seed, step] for seed in (0, 1) for step in (0, 3, 6)
    ]
    start, end = (frame[frame["step"] == step] for step in (0, 6))
    assert (start["kl"].abs() < 1e-9).all() and (end["kl"] > 1e-4).all()
    assert (start["chosen"] == 0).all() and (end["chosen"] != 0).all()
    assert end["kl"].nunique() == 2  # seeds differ
    world = Reviews(2)
    before = tiny.reference(world).response_logps(world)
    for seed in (0, 1):
        folder = tmp_path / "run" / f"seed-{seed}"
        policy = Policy.load(folder / "policy")
        with torch.no_grad():
            logps = policy.response_logps(world)
        drift = (logps.exp() * (logps - before)).sum(-1).mean().item()
        assert drift == pytest.approx(end["kl"].iloc[seed], rel=1e-4)
        assert json.loads((folder / "run.json").read_text())["seed"] == seed
        assert (folder / "metrics.csv").is_file()
    for name in ("implicit_rewards.png", "kl_drift.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")


def test_a_reward_model_learns_and_ends_with_its_reliability(tmp_path):
    quick = QUICK | {"steps": 60, "every": 30, "n_pairs": 400, "batch_size": 32}
    frame = run("bt", tmp_path / "run", world="reviews", max_words=2, **quick)
    first, last = frame.iloc[0], frame.iloc[-1]
    assert last["gold_correlation"] > max(0.5, first["gold_correlation"])
    assert last["accuracy"] > 0.6
    assert (tmp_path / "run" / "reliability.png").is_file()
    assert not (tmp_path / "run" / "kl_drift.png").exists()


def test_stories_have_estimates_with_their_standard_errors(tmp_path):
    small = {"steps": 2, "every": 2, "batch_size": 4, "n_pairs": 12, "samples": 6}
    frame = run(
        "dpo", tmp_path / "run", world="stories", reference_steps=2, width=32, **small
    )
    last = frame.iloc[-1]
    for name in ("kl", "gold"):
        assert last[f"{name}_low"] < last[name] < last[f"{name}_high"]
        assert last[f"{name}_stderr"] > 0
    assert frame.iloc[0]["kl"] == pytest.approx(0, abs=1e-6)
    report = (tmp_path / "run" / "report.html").read_text()
    assert "standard error" in report


def test_a_preference_file_gives_a_policy_with_its_tokenizer(tmp_path, pairs):
    from workbench.models import checkpoint

    small = SMALL | {"steps": 40, "every": 20, "reference_steps": 40}
    told: list[str] = []
    out = run_command(
        "dpo", out=tmp_path / "run", pairs=pairs, echo=told.append, **small
    )
    frame = pd.read_csv(out / "metrics.csv")
    assert frame.iloc[-1]["accuracy"] > 0.999  # yes against no is easy
    assert frame.iloc[-1]["margin"] > 0.05
    assert frame.iloc[0]["margin"] == 0
    assert any("30 standard records" in line for line in told)
    policy, coder = checkpoint.load(out / "seed-0" / "policy")
    record = files.read(pairs).records[0]
    tokens = encoding.encode_pairs(coder, [record]).pairs
    gap = (
        policy.token_logps(tokens.chosen).sum()
        - policy.token_logps(tokens.rejected).sum()
    )
    assert gap > 0


@pytest.mark.parametrize(
    ("method", "learns"),
    [("dpo", True), ("simpo", True), ("orpo", True), ("sft", False), ("bt", False)],
)
def test_a_policy_learns_to_write_before_it_is_told_what_is_better(
    tmp_path, pairs, method, learns
):
    """SimPO reads no reference, and starts from a policy that writes all the same."""
    told: list[str] = []
    run_command(method, out=tmp_path / "run", pairs=pairs, echo=told.append, **SMALL)
    assert (tmp_path / "run" / "reference").exists() == learns
    assert any("small decoder after" in line for line in told) == learns


def test_a_run_can_start_from_the_checkpoint_that_another_left(tmp_path, pairs):
    run("sft", tmp_path / "one", pairs=pairs, **SMALL)
    model = tmp_path / "one" / "seed-0" / "policy"
    frame = run("dpo", tmp_path / "two", pairs=pairs, model=model, lr=1e-3, **SMALL)
    assert frame.iloc[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert frame.iloc[-1]["kl"] > 0
    assert not (tmp_path / "two" / "reference").exists()


def test_no_prompt_is_on_both_sides_of_the_held_out_split(tmp_path, pairs):
    from workbench.experiment import training_problem
    from workbench.experiment.training_settings import Settings

    settings = Settings("sft", pairs=str(pairs), **SMALL)
    problem = training_problem.of_file(
        settings, tmp_path / "x", resume=False, learn=False
    )
    train, held_out = problem.pairs, problem.held_out.pairs
    asked = [
        set(map(tuple, prompts.prompts_of(part.chosen))) for part in (train, held_out)
    ]
    assert not asked[0] & asked[1]
    assert len(train) + len(held_out) == 30
    assert len(held_out) == 6  # a tenth is 3, a prompt has 6


def test_bad_lines_stop_the_command_or_are_counted_for_the_user(tmp_path, pairs):
    with pairs.open("a") as file:
        file.write('{"prompt": "half\n')
    with pytest.raises(BadRecord, match="films.jsonl, line 31: malformed JSON"):
        run("dpo", tmp_path / "run", pairs=pairs, **SMALL)
    told: list[str] = []
    run_command(
        "dpo",
        out=tmp_path / "run",
        pairs=pairs,
        skip_bad=True,
        echo=told.append,
        **SMALL,
    )
    assert any("1 malformed JSON (first: line 31)" in line for line in told)
    report = (tmp_path / "run" / "report.html").read_text()
    assert "1 malformed JSON" in report


def test_text_of_the_user_is_escaped_in_the_report(tmp_path, pairs):
    evil = pairs.rename(pairs.with_name("<script>alert(1)<!--.jsonl"))
    out = run_command("sft", out=tmp_path / "run", pairs=evil, echo=quiet, **SMALL)
    report = (out / "report.html").read_text()
    # plotly, its loader and the data of two figures
    assert len(re.findall("<script", report)) == 4 and "<script>alert" not in report
    assert "&lt;script&gt;" in report


@pytest.mark.parametrize(
    ("error", "message", "settings"),
    [
        (BadOption, "no method 'dop'", {"method": "dop", "world": "reviews"}),
        (MissingInput, "either --world", {"method": "dpo"}),
        (MissingInput, "either --world", {"world": "reviews", "pairs": "x.jsonl"}),
        (BadOption, "not 'moon'", {"world": "moon"}),
        (BadOption, "--seeds is at least 1", {"world": "reviews", "seeds": 0}),
        (BadOption, "--model goes with", {"world": "reviews", "model": "m"}),
        (BadOption, "no setting 'bta'", {"world": "reviews", "options": {"bta": "1"}}),
        (BadOption, "like 0.1", {"world": "reviews", "options": {"beta": "big"}}),
        (MissingInput, "needs a reward", {"method": "rloo", "pairs": "x.jsonl"}),
        (MissingInput, "preference oracle", {"method": "nash_md", "pairs": "x.jsonl"}),
        (
            MissingInput,
            "use --world reviews",
            {"method": "nash_md", "world": "stories"},
        ),
        (MissingInput, "notebook 11", {"method": "best_of_n", "world": "reviews"}),
        (BadRun, "nothing to resume", {"world": "reviews", "resume": True}),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    tmp_path, error, message, settings
):
    settings = {"method": "dpo"} | settings
    with pytest.raises(error, match=message):
        run_command(out=tmp_path / "run", echo=quiet, **settings)
    assert not (tmp_path / "run").exists()


def test_settings_given_as_text_reach_the_method(tmp_path):
    options = {"beta": "1"}
    run("dpo", tmp_path / "a", world="reviews", max_words=2, options=options, **QUICK)
    config = json.loads((tmp_path / "a" / "seed-0" / "run.json").read_text())
    assert config["method_config"]["beta"] == 1.0


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadRun, match="folder in use"):
        run("dpo", tmp_path, world="reviews", max_words=2, **QUICK)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_another_command_is_not_resumed(tmp_path):
    out = tmp_path / "run"
    run("dpo", out, world="reviews", max_words=2, **QUICK)
    before = (out / "metrics.csv").read_bytes()
    with pytest.raises(BadRun, match="steps was 6"):
        run(
            "dpo",
            out,
            world="reviews",
            max_words=2,
            resume=True,
            **QUICK | {"steps": 9},
        )
    assert (out / "metrics.csv").read_bytes() == before


def test_responses_to_prompts_of_different_lengths_are_those_to_each_alone():
    """Near temperature 0 sampling is greedy, so batching must not change a token."""
    made = tokenizer.build(["a b c d e f g"], "word")
    policy = tiny.decoder(tokenizer.vocab_of(made), width=16, layers=1)
    with torch.no_grad():
        policy.network.model.lm_head.weight.mul_(100_000)
    asked = [[1, 4], [1, 5, 6, 7, 8], [1, 9, 10]]
    policy.network.config.eos_token_id = -1  # no response ends early
    together = prompts.respond(policy, asked, 5, generator(0))
    assert prompts.prompts_of(together) == asked
    assert together.lengths.tolist() == [5, 5, 5]
    for row, prompt in enumerate(asked):
        ids = torch.tensor([prompt])
        for _ in range(5):
            best = policy.logits(ids)[:, -1:].argmax(-1)
            ids = torch.cat([ids, best], dim=1)
        assert together.ids[row][together.attention[row]].tolist() == ids[0].tolist()


def start(out: Path, die_at: int = 0, **settings) -> subprocess.Popen:
    """The command in a process of its own, which may kill itself before a step.

    Args:
        out: folder of the command.
        die_at: number of the optimiser step, the reference's counted first; 0 is never.
        settings: the command's other arguments.
    """
    code = """if True:
        import json, os, signal, sys
        from workbench.loops.session import Session
        from workbench.experiment.training import run_command
        left, real = int(sys.argv[2]), Session.step
        def step(self, *args, **more):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, *args, **more)
        Session.step = step
        run_command(**json.loads(sys.argv[1]))
    """
    asked = json.dumps(settings | {"out": str(out)})
    environment = os.environ | {"WORKBENCH_PROGRESS": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, asked, str(die_at)],
        env=environment,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate()
    assert process.returncode == 0, output.decode()


def died(process: subprocess.Popen, run: Path) -> None:
    """It was killed while it wrote the folder of this run."""
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output.decode()
    assert (run / "state" / "latest").exists()
    assert not (run / "metrics.csv").exists()


def contents(out: Path) -> dict[str, bytes]:
    """Every file that a finished command leaves, but the states and the pictures."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and "state" not in path.parts and path.suffix != ".png"
    }


@pytest.mark.parametrize("where", ["reviews", "file"])
def test_killed_and_resumed_is_bit_for_bit_the_uninterrupted_run(
    tmp_path, pairs, where
):
    if where == "reviews":
        # two passes a step: 20 optimiser steps per seed, 8 of them in the state it has
        asked = {"method": "ppo", "world": "reviews", "max_words": 2, "seeds": 2}
        asked |= {"steps": 10, "every": 2, "n_pairs": 60, "batch_size": 8}
        first, then, kills = "seed-0", "seed-1", (11, 12 + 9)
    else:
        asked = {"method": "dpo", "pairs": str(pairs)} | SMALL
        asked |= {"steps": 10, "reference_steps": 20}
        first, then, kills = "reference", "seed-0", (10, 12 + 6)
    finish(start(tmp_path / "whole", **asked))
    out = tmp_path / "killed"
    died(start(out, kills[0], **asked), out / first)
    # once more, later: in the second seed, or after the reference
    died(start(out, kills[1], resume=True, **asked), out / then)
    finish(start(out, resume=True, **asked))
    whole, resumed = contents(tmp_path / "whole"), contents(out)
    assert whole.keys() == resumed.keys()
    assert {"metrics.csv", "seed-0/policy/model.safetensors"} <= whole.keys()
    assert [name for name in whole if whole[name] != resumed[name]] == []


def test_the_same_command_twice_gives_the_same_bytes_in_the_same_folder(tmp_path):
    asked = {"world": "reviews", "max_words": 2, "echo": quiet} | QUICK
    run_command("rloo", out=tmp_path / "run", **asked)
    before = contents(tmp_path / "run")
    run_command("rloo", out=tmp_path / "run", overwrite=True, **asked)
    assert contents(tmp_path / "run") == before
    run_command("rloo", out=tmp_path / "run", resume=True, **asked)  # nothing to do
    assert contents(tmp_path / "run") == before


def test_figure_means_ten_million_parameters_five_seeds_and_a_gpu():
    from workbench.experiment.training_settings import sizes
    from workbench.models import tiny
    from workbench.worlds.stories import Stories

    size = sizes("figure")
    shape = {"width": size["width"], "layers": size["layers"]}
    policy = tiny.decoder(Stories().vocab, **shape)
    count = sum(p.numel() for p in policy.parameters())
    assert 9.5e6 < count < 10.5e6
    assert (size["seeds"], size["device"]) == (5, "cuda")
    assert sizes("figure", seeds=2, device="cpu")["seeds"] == 2
    assert sizes("lecture") == {"seeds": 1, "width": 64, "layers": 2, "device": "cpu"}
    with pytest.raises(BadOption, match="--profile"):
        sizes("huge")


def test_the_figure_profile_falls_back_to_the_cpu_with_a_warning(tmp_path):
    from workbench.experiment.training_settings import sizes

    small = {"steps": 1, "every": 1, "batch_size": 2, "n_pairs": 4, "samples": 4}
    size = sizes("figure", seeds=1, width=32, layers=1)
    warned = pytest.warns(UserWarning, match="no CUDA device")
    with contextlib.nullcontext() if torch.cuda.is_available() else warned:
        run(
            "dpo", tmp_path / "run", world="stories", reference_steps=1, **small, **size
        )
    assert (tmp_path / "run" / "kl_drift.png").is_file()
