"""What labels are made of: which responses, drawn how, whose proposal, what length."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.lists import ListLogps, sample_lists
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.feedback.labels import collect_labels
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(2)
SHAPE = (WORLD.n_prompts, WORLD.n_responses)
LOGPS = WORLD.author  # no two responses to a prompt are equally likely
POLICY = TabularPolicy(WORLD, LOGPS)
NOTHING = torch.zeros(SHAPE, dtype=torch.float64)


def few(chances: dict[int, float]) -> torch.Tensor:
    """A distribution over a few responses, the same for every prompt."""
    table = torch.zeros(SHAPE, dtype=torch.float64)
    for response, chance in chances.items():
        table[:, response] = chance
    return table.log()


# Three responses a, b, c of (0.6, 0.3, 0.1). Two draws that differ are {a, b}, {a, c}
# and {b, c} with chances in proportion to 0.18, 0.06 and 0.03. A new partner for an
# equal first would give 0.71, 0.22 and 0.08, and more first responses a.
SHARES = {(1, 2): 18 / 27, (1, 3): 6 / 27, (2, 3): 3 / 27}
THREE = few({1: 0.6, 2: 0.3, 3: 0.1})


def check_shares(pairs) -> None:
    n = len(pairs)
    both = (
        torch.stack([pairs.chosen.response, pairs.rejected.response], 1).sort().values
    )
    for pair, share in SHARES.items():
        seen = (both == torch.tensor(pair)).all(1).double().mean().item()
        assert abs(seen - share) < 4 * (share * (1 - share) / n) ** 0.5


def test_pairs_that_differ_have_the_chances_of_two_independent_draws():
    check_shares(sample_pairs(WORLD, THREE, 4000, Annotator(), generator(0)))


def test_labels_that_differ_have_the_chances_of_two_independent_draws():
    policy = TabularPolicy(WORLD, THREE)
    check_shares(collect_labels(WORLD, policy, 4000, Annotator(), generator(1)).pairs)


def test_a_policy_of_one_response_makes_no_pair_and_says_so():
    alone = few({7: 1.0})
    with pytest.raises(BadCall, match="no two different responses .* prompt 0, 1, 2"):
        sample_pairs(WORLD, alone, 8, Annotator(), generator(0))
    with pytest.raises(BadCall, match="no two different responses"):
        policy = TabularPolicy(WORLD, alone)
        collect_labels(WORLD, policy, 4, Annotator(), generator(0))


@pytest.mark.parametrize("bias", [50.0, -50.0])
def test_a_length_bias_decides_where_the_rewards_are_equal(bias):
    """In words for ``sample_pairs``, in tokens for ``collect_labels``."""
    annotator = Annotator(length_bias=bias)
    logps = few({0: 0.4, 1: 0.3, 20: 0.3})  # of no word, one and two
    drawn = sample_pairs(WORLD, logps, 200, annotator, generator(0), NOTHING)
    words = [WORLD.n_words[t.response] for t in (drawn.chosen, drawn.rejected)]
    labels = collect_labels(
        WORLD, TabularPolicy(WORLD, logps), 200, annotator, generator(0),
        lambda tokens: torch.zeros(len(tokens)).double(),
    )  # fmt: skip
    tokens = [labels.pairs.chosen.lengths, labels.pairs.rejected.lengths]
    for chosen, rejected in (words, tokens):
        gap = (chosen - rejected) * (1 if bias > 0 else -1)
        assert (gap >= 0).all() and (gap > 0).sum() > 10


def test_a_small_length_bias_adds_its_reward_to_every_token():
    """Silence, one token, is paid 0.5 and a word with its end, two tokens, nothing.

    A bias of 0.3 makes them 0.8 and 0.6, one of 0.7 makes them 1.2 and 1.4.
    """
    reward = few({0: 1.0}).exp() * 0.5
    policy = TabularPolicy(WORLD, few({0: 0.5, 1: 0.5}))
    for bias, wins, utilities in ((0.3, 0, (0.8, 0.6)), (0.7, 1, (1.4, 1.2))):
        annotator = Annotator(deterministic=True, length_bias=bias)
        made = collect_labels(
            WORLD, policy, 20, annotator, generator(0),
            lambda tokens: reward[tokens.prompt, tokens.response],
        )  # fmt: skip
        assert made.pairs.chosen.response.tolist() == [wins] * 20
        for felt, want in zip(made.utilities, utilities, strict=True):
            assert felt.tolist() == pytest.approx([want] * 20)


def test_each_side_has_its_own_proposal():
    made = collect_labels(WORLD, POLICY, 60, Annotator(), generator(0))
    for side, proposal in zip(
        (made.pairs.chosen, made.pairs.rejected), made.proposal, strict=True
    ):
        assert_close(proposal, LOGPS[side.prompt, side.response])


def test_each_response_of_a_list_has_its_own_proposal():
    drawn = sample_lists(WORLD, LOGPS, 12, 4, generator(0))
    joined = collect_labels(WORLD, POLICY, 40, Annotator(), generator(0)).data(
        ListLogps
    )
    for lists in (drawn, joined):
        own = LOGPS[lists.tokens.prompt, lists.tokens.response]
        assert_close(lists.proposal.flatten(), own)


def test_own_responses_are_draws_of_the_policy_and_not_the_judged_ones():
    """Of (3/4, 1/4) a judged pair holds each once; unjudged ones are 3/4 common."""
    n = 2000
    policy = TabularPolicy(WORLD, few({1: 0.75, 2: 0.25}))
    made = collect_labels(WORLD, policy, n, Annotator(), generator(0))
    assert (made.pairs.both.response == 1).double().mean() == 0.5
    assert len(made.own) == 2 * n
    assert torch.equal(made.own.prompt, (torch.arange(n) % WORLD.n_prompts).repeat(2))
    common = (made.own.response == 1).double().mean().item()
    assert abs(common - 0.75) < 4 * (0.75 * 0.25 / (2 * n)) ** 0.5


def test_a_flip_hands_each_response_the_utility_of_the_other():
    """Half of all pairs are flipped: the worse is then chosen, as the better."""
    made = collect_labels(
        WORLD, POLICY, 400, Annotator(deterministic=True, flip=0.5), generator(2)
    )
    gold = [
        WORLD.gold_reward(side) for side in (made.pairs.chosen, made.pairs.rejected)
    ]
    turned = gold[0] < gold[1]
    assert 0.3 < turned.double().mean() < 0.7
    assert_close(made.utilities[0], torch.maximum(*gold))
    assert_close(made.utilities[1], torch.minimum(*gold))
