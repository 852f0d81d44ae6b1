"""Be the annotator: what answers teach, by hand, and the buttons without a browser."""

import json
import math

import pytest
import torch

from workbench.feedback.kinds.pair_scores import PairScores
from workbench.methods.reward.pairwise import bt
from workbench.views.instruments import annotator, label_files
from workbench.views.instruments.annotated_state import (
    NEIGHBOURS_SD,
    PAIRS,
    SILENCE_SD,
    Task,
    agreement,
    annotated,
    annotation_task,
    doubt,
    review_features,
)
from workbench.views.instruments.annotator_desk import compared
from workbench.views.instruments.label_training import RATE, labels, trained
from workbench.views.instruments.playground_state import table_path
from workbench.views.instruments.states import MOST
from workbench.views.layers import Bars
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

BETA = 0.5


@pytest.fixture(scope="module")
def world():
    return Reviews(3)


@pytest.fixture(scope="module")
def task(world):
    return annotation_task(world, world.author)


@pytest.fixture
def desk(world, tmp_path):
    """The instrument, live, with a folder of its own."""
    return annotator(world, world.author, folder=tmp_path, live=True)


def buttons(desk):
    """The buttons and the field of the panel, by what stands on them first."""
    _, *rows, _ = desk.widgets["answers"].children
    (left, right), (undo, machine), (name, save, load), (others,) = (
        row.children for row in rows
    )
    found = {"left": left, "right": right, "undo": undo, "machine": machine}
    return found | {"name": name, "save": save, "load": load, "compare": others}


def said(desk):
    """What the panel says below its buttons."""
    return desk.widgets["answers"].children[-1].value


# ---- the state -----------------------------------------------------------------------


def test_a_review_is_counted_by_hand(world):
    table = review_features(world)
    row = table[world.index("good and good")]
    good, both = world.words.index("good"), world.words.index("and")
    expected = torch.zeros(8 + 64 + 1).double()
    expected[good], expected[both] = 2.0, 1.0
    expected[8 + 8 * good + both] = expected[8 + 8 * both + good] = NEIGHBOURS_SD
    assert torch.equal(row, expected)
    silent = table[world.index("(silence)")]
    assert silent[-1] == SILENCE_SD and silent[:-1].abs().sum() == 0


def test_the_pairs_are_twenty_different_short_ones(task, world):
    met = {frozenset(both) for both in zip(task.first, task.second, strict=True)}
    assert len(met) == PAIRS and all(len(both) == 2 for both in met)
    used = torch.tensor([*task.first, *task.second])
    assert 1 <= world.n_words[used].min() and world.n_words[used].max() <= 3
    again = annotation_task(Reviews(3), world.author)
    assert (again.first, again.machine) == (task.first, task.machine)
    lead = world.gold[0, list(task.first)] - world.gold[0, list(task.second)]
    right = (lead.sign() * torch.tensor(task.machine) > 0).double().mean()
    assert 0.6 < right < 1  # it knows gold, and tosses a coin


def test_the_mode_is_where_loss_and_prior_balance(task):
    """Autograd of the library's loss plus |w|²/2: its slope at the mode is zero."""
    judged = annotated(task, task.machine, BETA)
    weights = judged.weights.clone().requires_grad_()
    scores = task.features @ weights
    first, second = list(task.first), list(task.second)
    wins = torch.tensor(task.machine) > 0
    chosen = torch.where(wins, scores[first], scores[second])
    rejected = torch.where(wins, scores[second], scores[first])
    loss = bt.loss(PairScores(chosen, rejected), bt.Config()).sum()
    (loss + 0.5 * weights.square().sum()).backward()
    assert weights.grad.abs().max() < 1e-10
    assert judged.weights.abs().max() > 0.3

    def misfit(w):
        scores = task.features @ w
        return -torch.nn.functional.logsigmoid(scores[first] - scores[second]).sum()

    # the label's sign does not matter to the curvature
    slope = torch.autograd.functional.hessian(misfit, judged.weights)
    curvature = slope + torch.eye(len(slope), dtype=torch.float64)
    assert torch.allclose(judged.precision, curvature, atol=1e-9)


def test_without_answers_the_reward_is_the_prior(task, world):
    judged = annotated(task, (), BETA)
    assert judged.reward.abs().max() == 0 and judged.kl == pytest.approx(0.0)
    assert torch.allclose(judged.policy, task.ref.log_softmax(-1))
    at = [world.index("very good"), world.index("bad")]
    by_hand = task.features[at].square().sum(1).sqrt()
    assert torch.allclose(doubt(task, judged, at), by_hand)


def test_each_answer_leaves_less_doubt(task):
    every = range(task.world.n_responses)
    before, *rest = (
        doubt(task, annotated(task, task.machine[:n], BETA), every)
        for n in (0, 5, 10, 20)
    )
    for after in rest:
        assert after.mean() < before.mean()
        before = after
    assert (before <= doubt(task, annotated(task, (), BETA), every) + 1e-12).all()


def test_opposite_answers_teach_the_opposite_reward(task):
    right = annotated(task, task.machine, BETA)
    wrong = annotated(task, [-a for a in task.machine], BETA)
    assert torch.allclose(right.reward, -wrong.reward, atol=1e-10)
    assert torch.allclose(right.precision, wrong.precision, atol=1e-9)
    assert wrong.gold < right.gold


def test_an_answer_raises_what_it_praises(task):
    for sign in (1, -1):
        judged = annotated(task, [sign], BETA)
        lead = judged.reward[task.first[0]] - judged.reward[task.second[0]]
        assert sign * lead > 0


def test_the_policy_is_the_optimum_of_the_learned_reward(task, world):
    judged = annotated(task, task.machine, BETA)
    mean = (task.ref.exp() * judged.reward).sum()
    assert mean.abs() < 1e-12
    weight = task.ref.exp() * (judged.reward / BETA).exp()
    best = weight / weight.sum()
    assert torch.allclose(judged.policy.exp(), best)
    assert judged.kl == pytest.approx((best * (best.log() - task.ref)).sum().item())
    assert judged.gold == pytest.approx((best * world.gold[0]).sum().item())


def test_people_are_compared_pair_by_pair(task):
    mine, other = task.machine[:4], tuple(-a for a in task.machine[:2])
    table = compared(task, {"ann": other}, mine, BETA).set_index("who")
    assert table.index.tolist() == ["you", "ann", "machine"]
    assert table["answers"].tolist() == [4, 2, PAIRS]
    assert table["like you"].tolist() == [1.0, 0.0, 1.0]
    gold = annotated(task, other, BETA).gold
    assert table.at["ann", "gold (β = 0.5)"] == pytest.approx(gold)
    assert agreement((1, 1, -1), (1, -1, -1, 1)) == pytest.approx(2 / 3)
    assert math.isnan(agreement((), (1,)))


# ---- DPO on the labels ---------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_one_label_moves_its_pair_and_nothing_else(task, sign):
    """By hand: each step adds 2 · 0.4/β · σ(−βD) to the margin D, which begins at 0."""
    moved = trained(task, [sign], BETA).logps - task.ref.log_softmax(-1)
    margin = 0.0
    for _ in range(200):
        margin += 0.8 / BETA / (1 + math.exp(BETA * margin))
    first, second = task.first[0], task.second[0]
    assert sign * (moved[first] - moved[second]).item() == pytest.approx(margin)
    rest = torch.ones_like(moved, dtype=torch.bool)
    rest[[first, second]] = False
    assert (moved[rest] - moved[rest][0]).abs().max() < 1e-12
    # the chosen rises as far above the rest as the rejected falls below it
    assert (moved[first] + moved[second]) / 2 == pytest.approx(moved[rest][0].item())


def test_dpo_of_no_label_is_the_reference(task, world):
    state = trained(task, (), BETA)
    assert torch.allclose(state.logps, task.ref.log_softmax(-1))
    assert state.kl == pytest.approx(0.0, abs=1e-9)
    assert state.gold == pytest.approx((task.ref.exp() * world.gold[0]).sum().item())


def test_with_many_labels_dpo_ends_at_the_exact_optimum():
    """Rewards 0 and log 3 in turn; of four labels of neighbours three are right.

    Three in four are σ(log 3), so that the minimiser is π* of this reward exactly.
    """
    world = Reviews(1)
    n, ref = world.n_responses, world.author[0]
    reward = torch.tensor([math.log(3) * (y % 2) for y in range(n)]).double()
    chain = [(y, y + 1) for y in range(n - 1) for _ in range(4)]
    answers = [
        (1 if one % 2 else -1) * s for one, _ in chain[::4] for s in (1, 1, 1, -1)
    ]
    first, second = (tuple(side) for side in zip(*chain, strict=True))
    task = Task(world, 0, ref, first, second, tuple(answers), review_features(world))
    state = trained(task, answers, BETA)
    best = solutions.optimal_policy(ref, reward, BETA)
    assert solutions.kl(state.logps, best) < 1e-4
    assert state.kl == pytest.approx(solutions.kl(best, ref).item(), rel=0.01)
    assert solutions.kl(ref, best) > 0.1


def test_labels_name_the_chosen_of_each_pair(task):
    pairs = labels(task, [1, -1])
    assert pairs.chosen.response.tolist() == [task.first[0], task.second[1]]
    assert pairs.rejected.response.tolist() == [task.second[0], task.first[1]]


def test_a_step_never_leaps_over_the_lowest_point_of_twenty_labels(task):
    """The loss falls at every step that is kept, at any β."""
    for beta in (0.03, 3.0):
        ref, pairs = task.ref.log_softmax(-1)[None], labels(task, task.machine)
        path = table_path(ref, pairs, beta, mean=False, rate=RATE * PAIRS)
        ratio = (path - ref)[:, 0]
        margin = ratio[:, pairs.chosen.response] - ratio[:, pairs.rejected.response]
        losses = torch.nn.functional.softplus(-beta * margin).sum(-1)
        assert (losses.diff() < 0).all()


# ---- the figure ----------------------------------------------------------------------


def test_gold_is_shown_when_all_is_answered_and_not_before(desk, task):
    for n, names in ((19, ["your reward"]), (20, ["your reward", "gold"])):
        figure = desk.draw(task.machine[:n], BETA)
        layers = figure.panels.charts[0].layers
        assert [layer.label for layer in layers] == names
        assert f"After {n} of 20 answers" in figure.caption
    bars = layers[0]
    assert isinstance(bars, Bars)
    judged = annotated(task, task.machine, BETA)
    at = [task.world.index(name) for name in bars.names]
    assert list(bars.y) == pytest.approx(judged.reward[at].tolist())
    wide = doubt(task, judged, at)
    assert list(bars.high) == pytest.approx((judged.reward[at] + wide).tolist())
    assert f"earns {judged.gold:.2f} gold at a KL of {judged.kl:.2f}" in figure.caption
    dpo = trained(task, task.machine, BETA)
    assert f"labels {dpo.gold:.2f} at {dpo.kl:.2f}" in figure.caption
    table = figure.data.set_index("review")
    for column, logps in (("policy", judged.policy), ("DPO", dpo.logps)):
        name = task.world.text(int(logps.argmax()))
        assert table.at[name, column] == pytest.approx(logps.max().exp().item())


def test_the_path_passes_through_the_point_of_its_beta(desk, task):
    figure = desk.draw(task.machine, 0.03)  # the end of the path
    best, path, steps, star, here, dpo = figure.panels.charts[1].layers
    assert (path.x[-1], path.y[-1]) == pytest.approx((here.x[0], here.y[0]))
    assert (steps.x[-1], steps.y[-1]) == pytest.approx((dpo.x[0], dpo.y[0]))
    assert (best.x[-1], best.y[-1]) == pytest.approx((star.x[0], star.y[0]))
    top = solutions.optimal_policy(task.ref, task.gold, 0.03)
    gold = solutions.expectation(top, task.world.gold[0]).item()
    assert best.y[-1] == pytest.approx(gold)


def test_the_states_of_a_book_fit_a_page(desk):
    found = desk.states()
    assert found["controls"][0]["values"][:2] == ["0 answers", "1 answers"]
    assert found["controls"][0]["start"] == 0
    text = json.dumps(found, separators=(",", ":"))
    assert 10_000 < len(text.encode()) <= MOST


def test_a_stored_copy_begins_with_the_answers_of_the_machine(world, desk):
    stored = annotator(world, world.author, live=False)
    assert "After 20 of 20 answers" in stored.start.caption
    assert stored.states()["controls"][0]["start"] == 8
    assert "After 0 of 20 answers" in desk.start.caption


# ---- the buttons ---------------------------------------------------------------------


def test_a_click_answers_and_shows_the_next_pair(desk, task, world):
    on = buttons(desk)
    words = [world.text(task.first[0]), world.text(task.second[0])]
    assert [on["left"].description, on["right"].description] == words
    assert on["undo"].disabled
    told = desk.status.value
    on["left"].click()
    assert desk.values["answers"] == (1,) and desk.last_error is None
    assert desk.status.value != told and "After 1 of 20" in desk.status.value
    assert on["left"].description == world.text(task.first[1])
    assert "pair 2 of 20" in desk.widgets["answers"].children[0].value
    on["right"].click()
    assert desk.values["answers"] == (1, -1)
    on["undo"].click()
    assert desk.values["answers"] == (1,)


def test_the_machine_answers_the_rest_and_reset_forgets_all(desk, task):
    on = buttons(desk)
    mine = -task.machine[0]
    on["left" if mine == 1 else "right"].click()
    on["machine"].click()
    assert desk.values["answers"] == (mine, *task.machine[1:])
    assert on["left"].disabled and on["right"].disabled and on["machine"].disabled
    assert "all pairs answered" in desk.widgets["answers"].children[0].value
    desk.reset()
    assert desk.values["answers"] == () and not on["left"].disabled


def test_labels_are_kept_and_read_again(desk, task, tmp_path):
    on = buttons(desk)
    on["left"].click()
    on["right"].click()
    on["name"].value = " ann "
    on["save"].click()
    assert "2 answers are kept in labels-ann.json" in said(desk)
    assert json.loads((tmp_path / "labels-ann.json").read_text())["answers"] == [1, -1]
    desk.reset()
    on["load"].click()
    assert desk.values["answers"] == (1, -1)
    on["name"].value = "ben"
    on["machine"].click()
    on["save"].click()
    on["compare"].click()
    for word in ("ann", "ben", "machine", "like you", "gold"):
        assert word in said(desk)


@pytest.mark.parametrize("name", ["", "../ann", "a/b", "a" * 21, "1a", "a.b", "é"])
def test_an_odd_name_is_refused_and_nothing_is_written(desk, tmp_path, name):
    on = buttons(desk)
    on["name"].value = name
    for press in ("save", "load"):
        on[press].click()
        assert 'role="alert"' in said(desk) and "a name is a letter" in said(desk)
    assert list(tmp_path.iterdir()) == [] and desk.values["answers"] == ()


PAIR = [("good", "bad"), ("fun", "dull")]
STRANGE = [
    ("", "holds no labels"),
    ("[1, 2]", "holds no labels"),
    ('{"pairs": []}', "holds no labels"),
    ('{"pairs": [["good", "bad"]], "answers": [1]}', "labels of other pairs"),
    ('{"pairs": [["good", "bad"], ["fun", "dull"]], "answers": [2]}', "neither"),
    ('{"pairs": [["good", "bad"], ["fun", "dull"]], "answers": [true]}', "neither"),
    ('{"pairs": [["good", "bad"], ["fun", "dull"]], "answers": "1"}', "neither"),
    ('{"pairs": [["good", "bad"], ["fun", "dull"]], "answers": [1, 1, 1]}', "neither"),
    ("[" * 5000, "holds no labels"),
    ("1" * 20_000, "too large"),
]


@pytest.mark.parametrize(("text", "why"), STRANGE, ids=range(len(STRANGE)))
def test_a_strange_file_is_refused(tmp_path, text, why):
    path = label_files.label_file("ann", tmp_path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=why):
        label_files.read(path, PAIR)
    assert label_files.everybody(tmp_path, PAIR) == {}


def test_everybody_is_read_by_name(tmp_path):
    for name, answers in (("ben", (1,)), ("ann", (-1, 1))):
        label_files.keep(label_files.label_file(name, tmp_path), PAIR, answers)
    (tmp_path / "labels-a b.json").write_text("{}")
    found = label_files.everybody(tmp_path, PAIR)
    assert list(found.items()) == [("ann", (-1, 1)), ("ben", (1,))]


def test_labels_never_lie_among_the_published_lessons(tmp_path):
    published = tmp_path / "notebooks"
    (published / "src").mkdir(parents=True)
    assert label_files.working_folder(published) == tmp_path / "work"
    assert label_files.working_folder(tmp_path / "work") == tmp_path / "work"
