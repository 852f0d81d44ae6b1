"""Measures of a run on a checkpoint take at most half of the work of its training."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from tests.experiment.common import pairs_file, run
from workbench.catalogue import methods
from workbench.core.tokens import Tokens
from workbench.experiment.measuring import Chosen, Work, choose, counted, fitted
from workbench.experiment.problem import Problem
from workbench.experiment.training_settings import Settings
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.labels import Labels
from workbench.models import tiny
from workbench.worlds.reviews import Reviews

WORK = Work(10_000.0, 100, row=10.0, once=10.0, answer=5.0, sampling=100.0)
MOST = Chosen(every=25, rows=40, answers=20)
DPO, BT, SFT = (methods()[key] for key in ("dpo", "bt", "sft"))


def test_the_work_of_measures_by_hand():
    """Five measures of 40·10 + 100 + 20·5, and 40 rows that the reference reads."""
    assert WORK.share(MOST) == pytest.approx((5 * 600 + 400) / 10_000)
    # no answers, no sampling; two measures
    assert WORK.share(Chosen(100, 40, 0)) == pytest.approx((2 * 400 + 400) / 10_000)
    assert WORK.share(Chosen(30, 1, 1)) == pytest.approx((5 * 115 + 10) / 10_000)


def test_a_long_run_is_measured_as_usual():
    assert choose(WORK, MOST) == MOST


def test_a_shorter_run_is_measured_on_fewer_rows_as_often():
    work = replace(WORK, training=5_000.0)
    chosen = choose(work, MOST)
    assert chosen.every == 25
    assert MOST.rows / 4 <= chosen.rows < MOST.rows and chosen.answers < MOST.answers
    assert 0.45 < work.share(chosen) <= 0.5


def test_a_short_run_is_measured_before_and_after():
    work = replace(WORK, training=1_100.0)
    chosen = choose(work, MOST)
    assert chosen.every == 100 and work.share(chosen) <= 0.5


def test_the_least_is_measured_however_short_a_run_is():
    assert choose(replace(WORK, training=1.0), MOST) == Chosen(100, 8, 4)
    few = Chosen(every=25, rows=3, answers=0)
    assert choose(replace(WORK, training=1.0), few) == Chosen(100, 3, 0)


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({"every"}, Chosen(25, 8, 4)),
        ({"rows"}, Chosen(100, 40, 4)),
        ({"answers", "every"}, Chosen(25, 8, 20)),
        ({"rows", "answers", "every"}, MOST),
    ],
)
def test_what_the_user_asks_for_is_done(fixed, expected):
    assert choose(replace(WORK, training=1.0), MOST, fixed) == expected


@pytest.mark.parametrize("training", [700.0, 1_500.0, 3_000.0, 6_000.0, 50_000.0])
@pytest.mark.parametrize("steps", [1, 7, 40, 300])
def test_more_training_is_never_measured_less(training, steps):
    works = [replace(WORK, training=t, steps=steps) for t in (training, 2 * training)]
    less, more = (choose(work, MOST) for work in works)
    assert more.every <= less.every
    assert more.every < less.every or more.rows >= less.rows


# ---- files ------------------------------------------------------------------------


def tokens(count: int, prompt: int, response: int) -> Tokens:
    """So many rows of a prompt and a response, in twelve columns."""
    at = torch.arange(12).expand(count, -1)
    inside, number = at < prompt + response, torch.arange(count)
    return Tokens(number[:, None] % 5 + 0 * at, inside & (at >= prompt), inside, number,
                  number)  # fmt: skip


def labels(count: int) -> Labels:
    """Pairs of 3 + 4 and 3 + 6 tokens."""
    return Labels(
        Pairs(tokens(count, 3, 4), tokens(count, 3, 6), torch.ones(count).double())
    )


def problem(held_out: int = 60) -> Problem:
    world = Reviews(max_words=2)
    reference = tiny.decoder(world.vocab, width=16, layers=1)
    file = labels(100), labels(held_out)
    return Problem("p.jsonl", reference, world.vocab, file=file, max_new=10)


def asked(**more) -> Settings:
    return Settings("dpo", pairs="p.jsonl", model="there", batch_size=10, **more)


def test_the_work_of_a_file_by_hand():
    """16 tokens a pair. A step reads each with 3 passes (2 with an adapter), and the
    reference once; it reads no pair twice."""
    work = counted(DPO, problem(), asked(), 6)
    assert work.training == 60 * 16 * 3 + 60 * 16
    assert (work.row, work.once) == (32, 32)
    # the prompt, ten tokens at 1.5, and three passes over thirteen tokens
    assert (work.answer, work.sampling) == (3 + 15 + 39, 330)
    assert (
        counted(DPO, problem(), asked(lora="r=2"), 20).training == 200 * 32 + 100 * 16
    )
    assert counted(DPO, problem(), asked(checkpointing=True), 6).training == 60 * 16 * 5
    assert counted(SFT, problem(), asked(), 6).training == 60 * 7 * 3
    reward = counted(BT, problem(), asked(), 6)
    assert reward == Work(60.0 * 16 * 3, 6, 32.0, 0.0, 0.0, 0.0)


def test_fewer_rows_are_some_of_those_held_out():
    made, settings = fitted(DPO, DPO.Config(), problem(), asked(steps=12, every=12))
    rows = made.file[1].pairs.chosen.prompt
    assert 8 <= len(rows) == made.held_out_pairs < 60
    assert rows.tolist() == sorted(set(rows.tolist())) != [*range(len(rows))]
    assert len(made.file[0].pairs) == 100
    assert settings.samples == made.samples and settings.every == 12
    share = counted(DPO, problem(), asked(), 12).share(
        Chosen(12, len(rows), made.samples)
    )
    assert made.notes[-1] == (
        f"measures: {len(rows)} held-out pairs and {made.samples} sampled answers "
        f"before and after, about {share:.0%} of the training's work"
    )
    again, _ = fitted(DPO, DPO.Config(), problem(), asked(steps=12, every=12))
    assert torch.equal(again.file[1].pairs.chosen.prompt, rows)


def test_a_problem_without_a_checkpoint_is_as_it_was():
    here, settings = problem(), Settings("dpo", pairs="p.jsonl")
    assert fitted(DPO, DPO.Config(), here, settings) == (here, settings)
    assert (settings.every, settings.samples) == (25, 128)


def test_rows_that_the_user_holds_out_are_all_measured():
    more = {"steps": 2, "held_out": 60}
    made, _ = fitted(DPO, DPO.Config(), problem(), asked(**more))
    assert len(made.file[1].pairs) == 60


def test_a_command_says_what_it_measures_and_measures_that(tmp_path):
    from tests.experiment.test_checkpoints import checkpoint

    folder = checkpoint(tmp_path / "model", "llama", 128)
    pairs = pairs_file(tmp_path / "p.jsonl", [f"is it {i} ?" for i in range(120)])
    common = {"pairs": pairs, "model": folder, "max_length": 24, "batch_size": 4}
    lines = run("dpo", tmp_path / "out", steps=8, max_new=4, **common)
    (told,) = [line for line in lines if line.startswith("measures: ")]
    assert "held-out pairs and" in told and "before and after" in told
    frame = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert frame["step"].tolist() == [0, 8]
    lines = run("bt", tmp_path / "reward", steps=40, every=20, **common)
    (told,) = [line for line in lines if line.startswith("measures: ")]
    assert told.startswith("measures: 12 held-out pairs every 20 steps, about")
    frame = pd.read_csv(tmp_path / "reward" / "metrics.csv")
    assert frame["step"].tolist() == [0, 20, 40]
