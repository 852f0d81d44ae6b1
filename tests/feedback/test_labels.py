"""Every form of the same labelling: the same responses, the same noise."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core import batches
from workbench.core.errors import MissingInput
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.labels import Supply, collect_labels
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
POLICY = TabularPolicy(WORLD)


def supply(n=40, annotator=None, seed=0):
    return collect_labels(WORLD, POLICY, n, annotator or Annotator(), generator(seed))


def test_the_chosen_response_has_the_greater_utility():
    chosen, rejected = supply().utilities
    assert (chosen > rejected).all()


def test_labels_follow_bradley_terry():
    """σ(gap) of the pairs as they were drawn: the mean hit rate is E[σ(|gap|)]."""
    made = supply(4000)
    gold = [
        WORLD.gold_reward(t).double() for t in (made.pairs.chosen, made.pairs.rejected)
    ]
    gap = gold[0] - gold[1]
    expected = gap.abs().sigmoid()
    error = (expected * (1 - expected)).mean().sqrt() / 4000**0.5
    seen = (gap > 0).double() + 0.5 * (gap == 0)
    assert abs(seen.mean() - expected.mean()) < 4 * error


def test_a_flip_exchanges_the_utilities():
    honest = Annotator(deterministic=True)
    liar = Annotator(deterministic=True, flip=0.5)
    agree = []
    for annotator in (honest, liar):
        made = supply(2000, annotator, seed=1)
        gold = [WORLD.gold_reward(t) for t in (made.pairs.chosen, made.pairs.rejected)]
        agree.append((gold[0] >= gold[1]).double().mean().item())
    assert agree[0] == 1
    assert 0.45 < agree[1] < 0.65


def test_no_pair_holds_the_same_response_twice():
    made = supply(400)
    assert (made.pairs.chosen.response != made.pairs.rejected.response).all()
    assert (made.pairs.chosen.prompt == made.pairs.rejected.prompt).all()


def test_lists_hold_the_pairs_of_one_prompt_with_their_utilities():
    made = supply()
    lists = made.data(batches.ListLogps)
    assert (len(lists), lists.group) == (20, 4)
    prompt = lists.tokens.prompt.unflatten(0, (-1, 4))
    assert (prompt == prompt[:, :1]).all()
    assert (lists.scores[:, 0] > lists.scores[:, 1]).all()
    assert_close(lists.scores.sum(), sum(u.sum() for u in made.utilities))
    table = POLICY.response_logps()[lists.tokens.prompt, lists.tokens.response]
    assert_close(lists.proposal.flatten(), table.detach())


def test_baseline_is_the_mean_utility_of_the_prompt():
    valued = supply().data(batches.ScoredLogps)
    for prompt in range(WORLD.n_prompts):
        rows = valued.tokens.prompt == prompt
        advantage = (valued.scores - valued.baseline)[rows]
        assert abs(advantage.mean()) < 1e-12


def test_every_form_feeds_its_loss():
    made = supply(8)
    zeros = Supply(
        **vars(made) | {"token_reward": lambda t: torch.zeros(t.ids.shape).double()}
    )
    for kind in (
        batches.PairLogps, batches.ResponseLogps, batches.ThumbLogps, batches.ListLogps,
        batches.ScoredLogps, batches.PairDistributions, batches.PairTokenRewards,
        batches.PairSteps, batches.ScopedPairLogps,
    ):  # fmt: skip
        data = zeros.data(kind)
        got = data.batch(POLICY, torch.arange(2), data.reference_logps(POLICY))
        assert type(got) is kind


def test_what_is_missing_is_named():
    made = supply(8)
    with pytest.raises(MissingInput, match="token reward"):
        made.data(batches.PairTokenRewards)
    with pytest.raises(MissingInput, match="utilities"):
        Supply(made.pairs).data(batches.ListLogps)
    with pytest.raises(MissingInput, match="Rollouts"):
        made.data(batches.Rollouts)
