"""Every form of the same labelling: the same responses, the same noise."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from workbench.core.errors import MissingInput
from workbench.core.seeds import generator
from workbench.feedback import labels
from workbench.feedback.annotator import Annotator
from workbench.feedback.kind import DataSet, kinds
from workbench.feedback.kinds.distribution_pairs import PairDistributions
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.feedback.kinds.scoped_pairs import ScopedPairLogps
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.feedback.kinds.step_pairs import PairSteps
from workbench.feedback.kinds.thumbs import ThumbLogps, Thumbs
from workbench.feedback.kinds.token_pairs import PairTokenRewards
from workbench.feedback.labels import Labels, collect_labels
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
POLICY = TabularPolicy(WORLD)


def labelled(n=40, annotator=None, seed=0):
    return collect_labels(WORLD, POLICY, n, annotator or Annotator(), generator(seed))


def test_the_chosen_response_has_the_greater_utility():
    chosen, rejected = labelled().utilities
    assert (chosen > rejected).all()


def test_labels_follow_bradley_terry():
    """σ(gap) of the pairs as they were drawn: the mean hit rate is E[σ(|gap|)]."""
    made = labelled(4000)
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
        made = labelled(2000, annotator, seed=1)
        gold = [WORLD.gold_reward(t) for t in (made.pairs.chosen, made.pairs.rejected)]
        agree.append((gold[0] >= gold[1]).double().mean().item())
    assert agree[0] == 1
    assert 0.45 < agree[1] < 0.65


def test_no_pair_holds_the_same_response_twice():
    made = labelled(400)
    assert (made.pairs.chosen.response != made.pairs.rejected.response).all()
    assert (made.pairs.chosen.prompt == made.pairs.rejected.prompt).all()


def test_lists_hold_the_pairs_of_one_prompt_with_their_utilities():
    made = labelled()
    lists = made.data(ListLogps)
    assert (len(lists), lists.group) == (20, 4)
    prompt = lists.tokens.prompt.unflatten(0, (-1, 4))
    assert (prompt == prompt[:, :1]).all()
    assert (lists.scores[:, 0] > lists.scores[:, 1]).all()
    assert_close(lists.scores.sum(), sum(u.sum() for u in made.utilities))
    table = POLICY.response_logps()[lists.tokens.prompt, lists.tokens.response]
    assert_close(lists.proposal.flatten(), table.detach())


def test_baseline_is_the_mean_utility_of_the_prompt():
    valued = labelled().data(ScoredLogps)
    for prompt in range(WORLD.n_prompts):
        rows = valued.tokens.prompt == prompt
        advantage = (valued.scores - valued.baseline)[rows]
        assert abs(advantage.mean()) < 1e-12


@pytest.mark.parametrize("kind", list(kinds().values()), ids=lambda k: k.batch.__name__)
def test_every_kind_makes_the_batches_that_it_names(kind):
    made = labelled(8)
    n = len(made.pairs)
    whole = Labels(
        **vars(made) | {"token_reward": lambda t: torch.zeros(t.ids.shape).double()}
    )
    user = {"users": torch.arange(n) % 2}
    whole = replace(whole, pairs=replace(whole.pairs, columns=user))
    if not kind.ways:
        with pytest.raises(MissingInput, match="writes itself"):
            whole.data(kind.batch)
        return
    data = whole.data(kind.batch)
    assert isinstance(data, DataSet) and len(data.weight) == len(data)
    assert type(kind.batch.example(generator(0), batch=3)) is kind.batch


@pytest.mark.parametrize(
    "reads",
    [
        PairLogps, ResponseLogps, ThumbLogps, ListLogps, ScoredLogps, PairDistributions,
        PairTokenRewards, PairSteps, ScopedPairLogps,
    ],
)  # fmt: skip
def test_a_policy_reads_every_kind(reads):
    made = labelled(8)
    zeros = Labels(
        **vars(made) | {"token_reward": lambda t: torch.zeros(t.ids.shape).double()}
    )
    data = zeros.data(reads)
    got = data.batch(POLICY, torch.arange(2), data.reference_logps(POLICY))
    assert type(got) is reads


class Coin:
    """A policy of two responses: the first has probability 3/4."""

    members = 1

    def sample(self, world, prompt, generator):
        common = torch.rand(len(prompt), generator=generator) < 0.75
        return WORLD.tokens(prompt, torch.where(common, 1, 2))

    def token_logps(self, tokens):
        return torch.zeros(tokens.ids.shape)


def test_both_of_two_equal_responses_are_drawn_again():
    """Given that they differ, first and second are equally often the common one.

    Two independent draws of (3/4, 1/4) that differ are (1, 2) or (2, 1), 3/16 each. A
    new partner alone would keep an equal first one, mostly the common 1: (1, 2) would
    come with 3/16 + 9/16 = 3/4 and (2, 1) with 1/4.
    """
    n, seen = 4000, []
    first, second = labels._different(
        WORLD, Coin(), torch.zeros(n).long(), generator(3)
    )
    assert (first.response != second.response).all()
    seen = (first.response == 1).double().mean().item()
    assert abs(seen - 0.5) < 4 * 0.5 / n**0.5


def test_a_file_of_thumbs_has_thumbs_and_no_pairs():
    thumbs = Thumbs.of_pairs(labelled(4).pairs)
    made = Labels(thumbs=thumbs, source="thumbs.jsonl")
    assert made.data(ThumbLogps) is thumbs
    good = made.data(ResponseLogps)
    assert len(good) == 4
    with pytest.raises(MissingInput, match="thumbs.jsonl gives no pairs"):
        made.data(PairLogps)
    assert made[torch.tensor([0, 5])].thumbs.up.tolist() == [True, False]


def test_what_is_missing_is_named():
    made = labelled(8)
    with pytest.raises(MissingInput, match="no reward of each token"):
        made.data(PairTokenRewards)
    with pytest.raises(MissingInput, match="groups of scored responses, nor scores"):
        Labels(made.pairs).data(ListLogps)
    with pytest.raises(MissingInput, match="writes itself"):
        made.data(Rollouts)
