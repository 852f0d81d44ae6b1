"""Connection: every method is trained by its own driver, or refused in a sentence.

A method that is green by itself may still be joined to no data, no model and no loop.
Here each one takes two steps on each problem, as ``workbench train`` would have it.
"""

import dataclasses
import json

import pandas as pd
import pytest
import torch

from workbench.catalogue import methods
from workbench.core.errors import MissingInput
from workbench.experiment import task, training
from workbench.experiment.evaluation import optimum
from workbench.experiment.training import run_command
from workbench.experiment.training_settings import Settings

METHODS = methods()
BRIEF = {"steps": 2, "every": 2, "batch_size": 8, "samples": 4, "width": 16}
BRIEF |= {"layers": 1, "reference_steps": 2, "max_length": 24, "max_new": 4}
PROBLEMS = {
    "reviews": {"world": "reviews", "max_words": 2, "n_pairs": 24},
    "users": {"world": "reviews", "max_words": 2, "n_pairs": 24, "users": 3},
    # two prompts are held out: one alone has no interval
    "pairs": {"pairs": "pairs.jsonl", "held_out": 10},
    "thumbs": {"pairs": "thumbs.jsonl", "held_out": 20},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two preference files: pairs with the user who judged, and thumbs."""
    folder = tmp_path_factory.mktemp("files")
    topics = ["heat", "ran", "alien", "brazil", "persona", "stalker"]
    pairs, thumbs = [], []
    for n, topic in enumerate(topics * 5):
        good, bad = f"yes , very fun {n}", f"no , quite dull {n}"
        row = {"prompt": f"is {topic} good ?", "chosen": good, "rejected": bad}
        pairs.append(row | {"user": "ab"[n % 2]})
        for text, label in ((good, True), (bad, False)):
            asked = {"prompt": f"is {topic} good ?", "completion": text}
            thumbs.append(asked | {"label": label})
    for name, rows in (("pairs", pairs), ("thumbs", thumbs)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


# labels of several users differ from those of one in a column alone
CASES = [
    (key, where)
    for where in PROBLEMS
    for key in METHODS
    if where != "users" or key in ("vpl", "dpo", "bt", "rloo")
]


@pytest.mark.parametrize(("key", "where"), CASES)
def test_every_method_trains_or_is_refused_in_one_sentence(
    tmp_path, monkeypatch, files, key, where
):
    """As the command does it, without its figures."""
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")
    asked = dict(PROBLEMS[where]) | BRIEF
    if "pairs" in asked:
        asked["pairs"] = str(files / asked["pairs"])
    module, settings = METHODS[key], Settings(key, **asked)
    try:
        task.check(module, settings)
        problem = training.problem_of(module, settings, tmp_path, resume=False)
        one = task.Task(module, module.Config(), problem, settings)
        one.check()
    except MissingInput as refusal:
        message = str(refusal)
        assert message.startswith(key) and "\n" not in message and len(message) < 260, (
            message
        )
        assert not list(tmp_path.iterdir()), "something was written before it"
        return
    one = dataclasses.replace(one, problem=problem.ready())
    frame = one.run(0, tmp_path / "run", resume=False).metrics
    assert frame["step"].tolist() == [0, 2]
    told = frame.select_dtypes("number").drop(columns=["ece"], errors="ignore").iloc[-1]
    assert told.notna().all(), told
    if where == "reviews" and one.trains == "policy":
        aims = optimum(module, module.Config()) is not None
        assert ("kl_to_optimum" in frame) == aims, "a distance to what nobody aims at"
    # something has been learned: the last measures are not those of the start
    first, last = (frame.drop(columns=["step", "loss"]).iloc[i] for i in (0, 1))
    assert not first.equals(last)


TRAINED = {
    "reviews": {"dpo", "kto", "lipo", "a_lol", "tdpo1", "step_dpo", "t_reg", "c3po",
                "rso", "reward_augmented", "oppo", "sft", "bt", "rloo", "ppo",
                "nash_md"},
    "pairs": {"dpo", "kto", "tdpo1", "step_dpo", "sft", "bt"},
    "thumbs": {"kto", "bco", "sft"},
}  # fmt: skip


@pytest.mark.parametrize("where", TRAINED)
def test_these_are_not_refused(tmp_path, monkeypatch, files, where):
    """A refusal of everything would pass the test above."""
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")
    asked = dict(PROBLEMS[where])
    if "pairs" in asked:
        asked["pairs"] = str(files / asked["pairs"])
    for key in sorted(TRAINED[where]):
        task.check(METHODS[key], Settings(key, **asked))


def test_train_and_compare_are_two_faces_of_one_experiment(tmp_path, monkeypatch):
    """The same method, seed, labels and budget end with the same numbers in both."""
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")
    from workbench import experiment
    from workbench.experiment.fit import examples

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for key in ("dpo", "simpo", "rso", "reward_augmented", "lipo"):
            module = METHODS[key]
            problem = experiment.of_reviews([0], n_pairs=64, max_words=2)
            data = problem.prepared(module, module.Config()).data
            size = examples(16, data, problem)
            out = run_command(
                key, out=tmp_path / key, echo=lambda line: None, world="reviews",
                max_words=2, n_pairs=64, steps=6, every=6, batch_size=size,
            )  # fmt: skip
            trained = pd.read_csv(out / "metrics.csv").iloc[-1]
            one = experiment.candidate(module, module.Config())
            budget = experiment.Schedule(steps=6, batch_size=16)
            problem = experiment.of_reviews([0], n_pairs=64, max_words=2)
            compared = experiment.fit(one, problem, budget).iloc[0]
            for name in ("gold", "kl", "chosen", "rejected", "accuracy", "ece"):
                told, other = trained[name], compared[name]
                assert told == pytest.approx(other, rel=1e-5, abs=1e-6), (key, name)
    finally:
        torch.set_num_threads(threads)
