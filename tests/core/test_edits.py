"""Each edit on a loss of pairs, a loss of lists, and a batch with odd names."""

from dataclasses import dataclass, fields, replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from workbench.core import edits
from workbench.core.fields import constant, frozen, learned, masks
from workbench.core.logps import sequence_logps
from workbench.feedback.kind import batch_class, kinds
from workbench.feedback.kinds.game_rollouts import GameRollouts
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.thumbs import ThumbLogps
from workbench.teach.properties import gradients, leaves, with_garbage

SEEDS = (0, 1)


@dataclass(frozen=True)
class Config:
    """Two settings."""

    beta: float = 0.4
    alpha: float = 3.0


def pairwise(batch: PairLogps, cfg: Config) -> Tensor:
    """−log σ(βD), which is DPO."""
    return -logsigmoid(cfg.beta * batch.margin())


def listwise(batch: ListLogps, cfg: Config) -> Tensor:
    """Cross-entropy of softmax(r) and softmax(βd)."""
    logits = (cfg.beta * batch.logratio()).log_softmax(-1)
    return -(batch.scores.softmax(-1) * logits).sum(-1)


def dirty(kind, seed: int):
    """A random batch with noise outside its masks."""
    generator = torch.Generator().manual_seed(seed)
    return with_garbage(kind.example(generator, dtype=torch.float64), seed)


def answer(loss, batch, cfg=None):
    """Value and gradients; ``batch`` is read with its own leaves."""
    batch = leaves(batch)
    value = loss(batch, Config() if cfg is None else cfg)
    return value.detach(), gradients(value, batch)


def assert_same(one, other):
    """Value and all gradients agree."""
    assert_close(one[0], other[0], rtol=0, atol=1e-12)
    for name, gradient in one[1].items():
        assert_close(gradient, other[1][name], rtol=0, atol=1e-12)


def by_hand(value):
    """Pairs: −log σ(β·value(batch)). Lists: the cross-entropy of softmax(β·value)."""

    def loss(batch, cfg):
        logits = cfg.beta * value(batch)
        if isinstance(batch, PairLogps):
            return -logsigmoid(logits)
        return -(batch.scores.softmax(-1) * logits.log_softmax(-1)).sum(-1)

    return loss


def of_sides(read):
    """The difference of both sides of a pair, or the values of a list."""

    def value(batch):
        if isinstance(batch, PairLogps):
            return read(batch.chosen) - read(batch.rejected)
        return read(batch)

    return value


def undetached(side):
    """The log-ratio with a gradient through the reference."""
    return sequence_logps(side.policy - side.ref, side.mask)


EDITS = {
    edits.mean_over_tokens: lambda side: side.logratio("mean"),
    edits.no_reference: lambda side: side.logps(),
    edits.mask_ignored: lambda side: (side.policy - side.ref.detach()).sum(-1),
    edits.through_reference: undetached,
}
LOSSES = [(pairwise, PairLogps), (listwise, ListLogps)]


@pytest.mark.parametrize(("loss", "kind"), LOSSES)
@pytest.mark.parametrize("edit", EDITS)
def test_edit_has_the_value_and_the_gradient_of_the_mistake_by_hand(edit, loss, kind):
    for seed in SEEDS:
        batch = dirty(kind, seed)
        hand = by_hand(of_sides(EDITS[edit]))
        assert_same(answer(edit(loss), batch), answer(hand, batch))


@pytest.mark.parametrize(("loss", "kind"), LOSSES)
@pytest.mark.parametrize(
    "edit", [*EDITS, edits.swapped, edits.end_left_out, edits.wrong_sign]
)
def test_only_the_gradient_through_the_reference_leaves_the_value(edit, loss, kind):
    batch = dirty(kind, 2)
    value, gradient = answer(edit(loss), batch)
    right, slope = answer(loss, batch)
    agrees = torch.allclose(value, right, rtol=0, atol=1e-12)
    assert agrees == (edit is edits.through_reference)
    assert any(not torch.allclose(g, slope[name]) for name, g in gradient.items())


def test_a_gradient_through_the_reference_is_minus_that_of_the_policy():
    """In p it is that of the right loss; in q, where that has none, minus it."""
    batch = dirty(PairLogps, 3)
    _, right = answer(pairwise, batch)
    _, wrong = answer(edits.through_reference(pairwise), batch)
    for side in ("chosen", "rejected"):
        assert right[f"ref_{side}"].abs().max() == 0
        assert_close(wrong[f"policy_{side}"], right[f"policy_{side}"], rtol=0, atol=0)
        assert_close(wrong[f"ref_{side}"], -right[f"policy_{side}"], rtol=0, atol=0)


def test_swapped_pairs_have_minus_the_margin():
    batch = dirty(PairLogps, 4)
    hand = by_hand(lambda batch: -batch.margin())
    assert_same(answer(edits.swapped(pairwise), batch), answer(hand, batch))


def test_swapped_lists_have_the_worst_response_as_their_best():
    """Scores (2, 0) and log-ratios (1, 0): the target σ(±2) meets σ(β)."""
    batch = ListLogps(
        policy=torch.tensor([[[1.0], [0.0]]]),
        ref=torch.zeros(1, 2, 1),
        mask=torch.ones(1, 2, 1, dtype=torch.bool),
        scores=torch.tensor([[2.0, 0.0]]),
        proposal=torch.zeros(1, 2),
    )
    beta = torch.tensor([0.4])
    win, right = torch.tensor(-2.0).sigmoid(), torch.tensor(2.0).sigmoid()
    for loss, p in ((edits.swapped(listwise), win), (listwise, right)):
        expected = -p * logsigmoid(beta) - (1 - p) * logsigmoid(-beta)
        assert_close(loss(batch, Config()), expected)


def test_the_last_token_is_left_out_and_padding_stays_out():
    """Token log-ratios 1, 2, 4 and 8, 16: d falls from 7 to 3, and from 24 to 8."""
    mask = torch.tensor([[False, True, True, True], [False, True, True, False]])
    values = torch.tensor([[9.0, 1, 2, 4], [9.0, 8, 16, 9]])
    batch = PairLogps(values, 0 * values, 0 * values, 0 * values, mask, mask)
    margin = edits.without_end(batch).margin()
    assert batch.margin().tolist() == [7, 24] and margin.tolist() == [3, 8]


def test_a_response_of_one_token_has_none_without_its_end():
    mask = torch.tensor([[False, True, False]])
    values = torch.tensor([[9.0, 1, 9]])
    batch = PairLogps(values, values, values, values, mask, mask)
    assert not edits.without_end(batch).chosen_mask.any()


def test_a_sum_for_the_mean_undoes_a_mean_for_the_sum():
    def of_means(batch: PairLogps, cfg: Config) -> Tensor:
        return -logsigmoid(cfg.beta * batch.margin("mean"))

    batch = dirty(PairLogps, 5)
    assert_same(answer(edits.sum_over_tokens(of_means), batch), answer(pairwise, batch))


def test_named_fields_are_edited_and_no_others():
    batch = dirty(PairLogps, 6)
    moved = edits.averaged(batch, "policy_chosen")
    length = batch.chosen_mask.sum(-1, keepdim=True)
    assert_close(moved.policy_chosen * length, batch.policy_chosen)
    for name in ("policy_rejected", "ref_chosen", "ref_rejected"):
        assert vars(moved)[name] is vars(batch)[name]
    open_ = edits.unmasked(batch, "rejected_mask")
    assert open_.rejected_mask.all() and open_.chosen_mask is batch.chosen_mask


def test_settings_are_replaced_by_values_and_by_functions_of_the_config():
    def settings(batch, cfg):
        return torch.tensor([cfg.beta, cfg.alpha])

    wrong = edits.with_config(settings, beta=1.0, alpha=lambda cfg: 1 / cfg.alpha)
    assert_close(wrong(None, Config()), torch.tensor([1.0, 1 / 3]))


def test_fields_are_replaced_by_functions_of_the_batch():
    batch = dirty(ListLogps, 7)
    wrong = edits.with_batch(listwise, scores=lambda batch: 2 * batch.scores)
    doubled = replace(batch, scores=2 * batch.scores)
    assert_close(wrong(batch, Config()), listwise(doubled, Config()))


def test_the_wrong_sign_is_minus_the_loss():
    batch = dirty(PairLogps, 8)
    assert_close(
        edits.wrong_sign(pairwise)(batch, Config()), -pairwise(batch, Config())
    )


def test_a_wrong_version_reads_the_batch_of_its_loss():
    wrong = [edit(listwise) for edit in (*EDITS, edits.swapped, edits.wrong_sign)]
    wrong += [edits.with_config(listwise, beta=1.0), edits.instead(listwise, pairwise)]
    assert all(batch_class(one) is ListLogps for one in wrong)


# ---- what swapped means for each kind of feedback ------------------------------------

SWAPPED = [kind for kind in kinds() if "swapped" in dir(kind)]
PAIRED = [kind for kind in SWAPPED if any("chosen" in f.name for f in fields(kind))]


def test_pairs_lists_thumbs_and_games_can_be_swapped():
    assert {PairLogps, ListLogps, ThumbLogps, GameRollouts} <= set(SWAPPED)


@pytest.mark.parametrize("kind", SWAPPED)
def test_swapping_twice_changes_nothing_and_once_something(kind):
    batch = dirty(kind, 9)
    once, twice = vars(batch.swapped()), vars(batch.swapped().swapped())
    tensors = {n: v for n, v in vars(batch).items() if isinstance(v, Tensor)}
    assert any(not torch.equal(once[name], value) for name, value in tensors.items())
    for name, value in tensors.items():
        assert_close(twice[name], value)


@pytest.mark.parametrize("kind", PAIRED)
def test_every_field_of_a_pair_is_exchanged_with_its_partner(kind):
    batch = dirty(kind, 10)
    once, sides = vars(batch.swapped()), {"chosen": "rejected", "rejected": "chosen"}
    for name, value in vars(batch).items():
        partner = "_".join(sides.get(word, word) for word in name.split("_"))
        assert once[partner] is value


def test_thumbs_are_turned_and_a_win_is_a_loss():
    thumbs, games = dirty(ThumbLogps, 11), dirty(GameRollouts, 11)
    assert torch.equal(thumbs.swapped().up, ~thumbs.up)
    assert_close(games.swapped().preference, 1 - games.preference)


# ---- the declaration is read, not the names ------------------------------------------


@dataclass(frozen=True)
class Odd:
    """Nothing is named after what it is."""

    ref: Tensor = learned("scores")
    policy: Tensor = frozen("scores")
    table: Tensor = frozen("scores")
    values: Tensor = learned("scores", logps=False)
    scores: Tensor = masks()
    part: Tensor = masks("scores")
    logps: Tensor = constant("scores")


def odd() -> Odd:
    """One response of two tokens after a prompt column; half of it is a part."""
    mask = torch.tensor([[False, True, True]])
    part = torch.tensor([[False, False, True]])
    one = torch.tensor([[5.0, 1.0, 3.0]])
    return Odd(one, 2 * one, torch.ones(1, 3, 4), one, mask, part, 7 * one)


def test_log_probs_are_found_by_their_declaration():
    batch = odd()
    mean, free = edits.averaged(batch), edits.without_reference(batch)
    assert_close(mean.ref, batch.ref / 2)
    assert_close(mean.policy, batch.policy / 2)
    assert free.policy.abs().max() == 0 and free.ref is batch.ref
    for edited in (mean, free):
        # a distribution, a value and a constant are no log-probs of tokens
        for name in ("table", "values", "logps"):
            assert vars(edited)[name] is vars(batch)[name]


def test_masks_are_found_by_their_declaration():
    every, short = edits.unmasked(odd()), edits.without_end(odd())
    assert every.scores.all() and every.part.all()
    assert short.scores.tolist() == [[False, True, False]]
    assert torch.equal(short.part, odd().part)


def test_the_reference_is_attached_to_the_policy_of_its_mask():
    batch = leaves(odd())
    moved = edits.reference_attached(batch)
    assert torch.equal(moved.ref, batch.ref)
    found = torch.autograd.grad(moved.ref.sum(), (batch.ref, batch.policy))
    assert [g.unique().tolist() for g in found] == [[1.0], [-1.0]]
    assert moved.values is batch.values
