"""The arena: files are tried before they are trained, and the table tells the truth."""

import math
from collections import Counter

import pandas as pd
import pytest
import torch

from workbench import experiment
from workbench.core.errors import BadOption, NonFiniteGradient
from workbench.experiment import arena_table, comparison
from workbench.experiment.evaluation import has_reward
from workbench.experiment.leaderboard import leaderboard, markdown
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.lists import ListLogps
from workbench.methods.direct.links import dpo
from workbench.worlds import people

GOOD = """
from dataclasses import dataclass
from torch.nn.functional import logsigmoid

@dataclass(frozen=True)
class Config:
    beta: float = 0.1

def loss(batch, cfg):
    return -logsigmoid(cfg.beta * batch.margin())
"""
BROKEN = {
    "missing loss": "def los(batch, cfg):\n    return batch.margin()",
    "wrong arguments": "def loss(batch):\n    return batch.margin()",
    "wrong shape": "def loss(batch, cfg):\n    return -batch.margin().mean()",
    "non-finite loss": "def loss(batch, cfg):\n    return batch.margin() / 0",
    "no gradient": "def loss(batch, cfg):\n    return batch.margin().detach()",
    "non-finite gradient": """
def loss(batch, cfg):
    D = batch.margin()
    return (D - D.detach()).abs().sqrt() - D""",
    "loss fails on an example": "def loss(batch, cfg):\n    return batch.marign()",
    "the file cannot be executed": "import nothing_of_this_name",
    "unknown annotation": """
from workbench.feedback.kinds.rollouts import Rollouts
def loss(batch: Rollouts, cfg):
    return batch.scores""",
}


BRIEF = experiment.Schedule(steps=2, batch_size=8)


# ---- objectives from files --------------------------------------------------------


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_file_is_named_with_its_fault(written, reason):
    path = written(BROKEN[reason])
    with pytest.raises(experiment.BadMethod, match=reason) as caught:
        experiment.from_file(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(experiment.BadMethod, match="no such file"):
        experiment.from_file(tmp_path / "absent.py")


def test_a_gradient_that_is_not_finite_at_the_start_is_named(written, problem):
    """√|D| is fine on examples; at π = π_ref D is 0 and its slope infinite."""
    entrant = experiment.from_file(
        written("def loss(batch, cfg):\n    return batch.margin().abs().sqrt()")
    )
    with pytest.raises(NonFiniteGradient, match="mine: the gradient is not finite"):
        experiment.compare([entrant], problem, BRIEF)


def test_a_file_is_ranked_as_the_method_that_it_repeats(written, problem):
    """DPO written by hand gets DPO's numbers to the last bit."""
    mine = experiment.from_file(written(GOOD))
    members = {e.key: e for e in experiment.candidates("direct")[0]}
    frame = experiment.compare([mine, members["dpo"]], problem, BRIEF).set_index(
        "method"
    )
    numbers = frame.drop(columns=["seconds", "outside", "world", "data", "problem"])
    assert numbers.loc["mine"].to_numpy().tolist() == (
        numbers.loc["dpo"].to_numpy().tolist()
    )
    assert frame.loc["mine", "outside"].all() and not frame.loc["dpo", "outside"].any()


def test_the_annotation_decides_what_a_file_reads(written):
    entrant = experiment.from_file(
        written(
            "from workbench.feedback.kinds.lists import ListLogps\n"
            "def loss(batch: ListLogps, cfg):\n"
            "    return -(batch.scores * batch.logratio()).sum(-1)"
        )
    )
    assert entrant.reads is ListLogps


def test_a_generic_property_that_fails_is_a_note(written):
    entrant = experiment.from_file(
        written(
            "def loss(batch, cfg):\n"
            "    return -batch.policy_chosen.sum(-1) + batch.policy_rejected.sum(-1)"
        )
    )
    assert any("mask" in note for note in entrant.notes)


# ---- the contest ------------------------------------------------------------------


def test_every_direct_method_takes_part_or_says_why_not(problem):
    """No method is lost on the way, and none fails in two steps."""
    everyone, left_out = experiment.candidates("direct")
    assert set(left_out) == {"chi2_direct"}
    # two of each kind of data, and whoever brings data of its own: that every method
    # trains is asked in test_every_method
    members, count = [], Counter()
    for one in everyone:
        own = "prepare" in one.hooks
        count[one.reads] += not own
        if own or count[one.reads] <= 2 or not has_reward(one):
            members.append(one)
    frame = experiment.compare(members, problem, BRIEF)
    assert (frame["problem"] == "").all(), frame[frame["problem"] != ""]
    numbers = frame.select_dtypes("number").drop(columns="ece")
    assert numbers.notna().all(axis=None)
    rated = {one.key for one in members if has_reward(one)}
    assert rated == set(frame.loc[frame["ece"].notna(), "method"])
    assert sorted(frame["seed"].unique()) == [3, 4]
    assert (frame["frontier_gap"] > -1e-6).all()


@pytest.mark.parametrize("family", ["policy_gradient", "games", "iterative"])
def test_methods_that_learn_from_their_own_responses_are_compared_too(problem, family):
    """They write as many responses per step as others read, and are measured alike."""
    members, left_out = experiment.candidates(family)
    frame = experiment.compare(members, problem, BRIEF)
    assert members and not left_out
    assert (frame["problem"] == "").all(), frame["problem"].unique()
    assert (frame["kl"] > 0).all() and frame["seed"].tolist() == [3, 4] * len(members)


def test_what_a_world_cannot_give_is_a_problem_of_the_row():
    stories = experiment.of_stories([0], n_pairs=8, held_out_pairs=4, samples=4)
    (game,), _ = experiment.candidates("games")
    frame = experiment.compare([game], stories, BRIEF)
    assert "whose responses are all known, and stories is none" in frame["problem"][0]


def test_labels_repeat_and_seeds_differ():
    one, two = (
        experiment.of_reviews([3, 4], n_pairs=40, max_words=2) for _ in range(2)
    )
    first, other = one.labels
    assert (first.pairs.chosen.ids == two.labels[0].pairs.chosen.ids).all()
    assert (first.pairs.chosen.ids != other.pairs.chosen.ids).any()


def test_a_distribution_is_measured_as_its_policy_is(problem):
    """The two roads of evaluation agree on the same policy."""
    policy = problem.reference.copies(2)
    with torch.no_grad():
        for value in policy.parameters():
            value += 0.05 * torch.randn(value.shape, generator=torch.Generator())
    cfg = dpo.Config(beta=0.3)
    by_policy = experiment.Evaluation(problem, dpo, cfg, 0.1)(policy)
    known = policy.response_logps(problem.world)
    parts = [
        experiment.Evaluation(problem.of_seed(seed), dpo, cfg, 0.1).of_distribution(one)
        for seed, one in zip(problem.seeds, known, strict=True)
    ]
    by_distribution = pd.concat(parts)
    for name in by_policy.columns:
        got, expected = by_distribution[name].tolist(), by_policy[name].tolist()
        assert got == pytest.approx(expected, abs=2e-4), name


def test_the_reference_itself_has_no_drift(problem):
    evaluation = experiment.Evaluation(problem, dpo, dpo.Config())
    frame = evaluation(problem.reference.copies(2))
    assert frame["kl"].abs().max() < 1e-6
    assert frame["chosen"].abs().max() < 1e-5
    assert frame["accuracy"].tolist() == pytest.approx([0.5, 0.5], abs=0.5)


def test_beta_is_set_where_a_config_has_one():
    members = {e.key: e for e in experiment.candidates("direct", beta=0.7)[0]}
    assert members["dpo"].cfg == dpo.Config(beta=0.7)
    assert members["ipo"].cfg.tau == 0.1


def test_an_unknown_family_is_refused():
    with pytest.raises(BadOption, match="no family 'none'"):
        experiment.candidates("none")


# ---- the table --------------------------------------------------------------------


def table_frame():
    rows = [("a", s, g, 1.0 - g) for s, g in ((0, 0.1), (1, 0.3))]
    rows += [("b", s, g, 1.0 - g) for s, g in ((0, 0.5), (1, 0.5))]
    frame = pd.DataFrame(rows, columns=["method", "seed", "gold", "kl"])
    return frame.assign(outside=False, problem="", seconds=1.0)


def test_means_and_intervals_by_hand():
    """0.1 and 0.3: mean 0.2, standard error 0.1, t(1) = 12.706."""
    table = leaderboard(table_frame())
    assert table["method"].tolist() == ["b", "a"]
    row = table.set_index("method").loc["a"]
    assert row["gold"] == pytest.approx(0.2)
    assert row["gold_high"] - row["gold"] == pytest.approx(1.2706, rel=1e-3)


def test_small_is_good_for_drift_and_great_for_gold():
    frame = table_frame()
    assert leaderboard(frame, "kl")["method"].tolist() == ["b", "a"]
    frame["kl"] = -frame["kl"]
    assert leaderboard(frame, "kl")["method"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="sort by one of"):
        leaderboard(frame, "beauty")


def test_a_method_without_numbers_stands_last_with_its_problem():
    lost = pd.DataFrame(
        {"method": ["c"], "seed": [0], "outside": [False], "problem": ["no data"]}
    )
    table = leaderboard(pd.concat([table_frame(), lost], ignore_index=True))
    assert table["method"].tolist()[-1] == "c"
    assert math.isnan(table["gold"].iloc[-1])
    assert "no data" in markdown(table).splitlines()[-1]


# ---- the command ------------------------------------------------------------------


def test_the_command_ranks_a_file_among_methods(written, tmp_path):
    lines = []
    settings = comparison.Settings(
        files=[written(GOOD)], only=["dpo", "kto"], seeds=2, steps=2, out=tmp_path / "o"
    )
    comparison.run(settings, lines.append)
    text = "\n".join(lines)
    assert "mine is number" in text and "of 3 by gold" in text
    runs = pd.read_csv(tmp_path / "o" / "runs.csv")
    assert set(runs["method"]) == {"mine", "dpo", "kto"}
    assert (tmp_path / "o" / "arena.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_may_not_take_the_name_of_a_method(written):
    settings = comparison.Settings(files=[written(GOOD, "dpo.py")], only=["dpo"])
    with pytest.raises(BadOption, match="rename the file"):
        comparison.run(settings, lambda line: None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"only": ["nope"]}, "no method 'nope'"),
        ({"only": ["chi2_direct"]}, "closed form"),
        ({"seeds": 0}, "--seeds"),
        ({"lr": -1.0}, "positive"),
        ({"world": "moon"}, "--world"),
    ],
)
def test_bad_options_are_named(wrong, message):
    with pytest.raises(BadOption, match=message):
        comparison.run(comparison.Settings(**wrong), lambda line: None)


def test_the_sorter_draws_every_column():
    frame = table_frame()
    instrument = experiment.sorter(frame, live=False)
    assert instrument.start.data["method"].tolist() == ["b", "a"]
    for by in ("gold", "kl", "seconds"):
        assert len(instrument.draw(by, "a", "b", 2).data) == 2


def test_of_many_methods_the_best_have_bars_and_all_stand_in_the_table():
    frame = table_frame()
    figure = arena_table.duel(frame, "gold", "a", "b", top=1)
    [bars] = figure.panels.charts[0].bar_layers
    assert bars.names == ["b"] and figure.data["method"].tolist() == ["b", "a"]
    assert figure.panels.charts[0].title == "1 of 2 methods, best on top"


def test_two_methods_are_compared_seed_by_seed():
    """b − a is 0.4 and 0.2 at equal seeds: mean 0.3, standard error 0.1."""
    frame = table_frame()
    shuffled = frame.iloc[[1, 3, 0, 2]]
    both = arena_table.paired(shuffled, "gold", "b", "a")
    assert both.difference.tolist() == pytest.approx([0.4, 0.2])
    caption = arena_table.duel(shuffled, "gold", "b", "a").caption
    assert caption.endswith(
        "b minus a: +0.30 [-0.97, +1.57] over the same 2 seeds: they do not differ "
        "for certain."
    )
    assert "minus" not in arena_table.duel(frame, "gold", "a", "a").caption


def test_a_pair_is_labelled_by_the_taste_of_the_user_it_names():
    """Without noise the chosen response is the one that its own user likes better.

    Tastes differ: read with another user's, some pairs would stand the wrong way round.
    """
    problem = experiment.of_reviews(
        [0], n_pairs=120, max_words=2, users=3, annotator=Annotator(deterministic=True)
    )
    pairs, tastes = problem.pairs, people.rewards(problem.world)
    sides = [(side.prompt, side.response) for side in (pairs.chosen, pairs.rejected)]

    def gap(user):
        return tastes[user, *sides[0]] - tastes[user, *sides[1]]

    user = pairs.columns["users"]
    assert sorted(user.unique().tolist()) == [0, 1, 2]
    assert (gap(user) >= 0).all()
    assert (gap((user + 1) % 3) < 0).any()
