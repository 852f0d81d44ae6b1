"""Lists, thumbs and pairs that know their tokens: what a loss reads of each."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.distribution_pairs import DistributionPairs
from workbench.feedback.kinds.lists import Lists, sample_lists
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.feedback.kinds.scoped_pairs import ScopedPairs
from workbench.feedback.kinds.scored import ValuedResponses
from workbench.feedback.kinds.step_pairs import StepPairs
from workbench.feedback.kinds.thumbs import Thumbs, mismatched, sample_thumbs
from workbench.feedback.kinds.token_pairs import TokenRewardPairs
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)


@pytest.fixture(scope="module")
def reference():
    return tiny.reference(WORLD)


@pytest.fixture(scope="module")
def table():
    noise = torch.randn(
        WORLD.n_prompts, WORLD.n_responses, generator=generator(5), dtype=torch.float64
    )
    return TabularPolicy(WORLD, noise)


def uniform():
    return TabularPolicy(WORLD).response_logps().detach()


def some_pairs(n=12, seed=0):
    return sample_pairs(WORLD, uniform(), n, Annotator(), generator(seed))


def response_rows(policy, tokens: Tokens):
    return policy.response_logps(WORLD)[tokens.prompt, tokens.response]


def test_lists_give_the_log_probs_of_each_response_in_its_list(table):
    data = sample_lists(WORLD, uniform(), 6, 3, generator(1))
    ref = data.reference_logps(TabularPolicy(WORLD))
    batch = data.batch(table, torch.tensor([4, 1]), ref)
    expected = response_rows(table, data.tokens).unflatten(0, (6, 3))[[4, 1]]
    assert_close(batch.logps(), expected)
    assert_close(batch.logratio(), expected - data.proposal[[4, 1]])
    gold = WORLD.gold[data.tokens.prompt, data.tokens.response].double()
    assert_close(batch.scores, gold.unflatten(0, (6, 3))[[4, 1]])


def test_a_list_answers_one_prompt_and_rows_keep_lists_together():
    data = sample_lists(WORLD, uniform(), 8, 4, generator(2))
    prompts = data.tokens.prompt.unflatten(0, (8, 4))
    assert (prompts == prompts[:, :1]).all()
    part = data[torch.tensor([5, 0])]
    assert_close(part.tokens.response[:4], data.tokens.response[20:24])
    assert len(Lists.cat([data, part])) == 10


def test_score_noise_is_added_to_the_reward():
    quiet = sample_lists(WORLD, uniform(), 500, 2, generator(3))
    noisy = sample_lists(WORLD, uniform(), 500, 2, generator(3), noise=0.5)
    assert (noisy.scores - quiet.scores).std().item() == pytest.approx(0.5, rel=0.1)


def test_win_rate_of_two_is_the_bradley_terry_probability():
    data = sample_lists(WORLD, uniform(), 5, 2, generator(4))
    batch = data.batch(
        TabularPolicy(WORLD), torch.arange(5), data.reference_logps(None)
    )
    first, second = batch.scores.unbind(-1)
    assert_close(batch.win_rates[:, 0], (first - second).sigmoid())
    assert_close(batch.win_rates.sum(-1), torch.ones(5, dtype=torch.float64))


def test_mismatched_rows_hold_their_prompt_and_the_response_above():
    prompt = torch.tensor([0, 1, 2, 3])
    response = torch.tensor([0, 5, 40, 72])
    got = mismatched(WORLD.tokens(prompt, response))
    expected = WORLD.tokens(prompt, response.roll(1)).padded(got.ids.shape[1])
    assert_close(got.ids * got.attention, expected.ids * expected.attention)
    assert (got.mask == expected.mask).all()
    assert (got.attention == expected.attention).all()
    assert_close(got.response, expected.response)


def test_mismatching_keeps_prompts_of_different_lengths():
    """Rows [a a | x] and [b | y y y]: the first becomes [a a | y y y]."""
    ids = torch.tensor([[7, 7, 1, 0], [8, 2, 3, 4]])
    mask = torch.tensor([[False, False, True, False], [False, True, True, True]])
    attention = torch.tensor([[True, True, True, False], [True] * 4])
    none = torch.full((2,), -1)
    got = mismatched(Tokens(ids, mask, attention, none, none))
    assert got.ids[0].tolist() == [7, 7, 2, 3, 4]
    assert got.mask[0].tolist() == [False, False, True, True, True]
    assert got.ids[1, :2].tolist() == [8, 1]
    assert got.attention[1].tolist() == [True, True, False, False, False]


def test_reference_points_are_means_of_each_seed_alone(reference):
    stack = reference.copies(2)
    with torch.no_grad():
        for value in stack.parameters():
            value[1] += 0.1 * torch.randn(value[1].shape, generator=generator(8))
    one, two = (
        sample_thumbs(WORLD, uniform(), 8, Annotator(), generator(s)) for s in (1, 2)
    )
    data = Thumbs.cat([one, two])
    batch = data.batch(stack, torch.arange(16), data.reference_logps(reference))
    ratios = batch.logratio().detach().unflatten(0, (2, 8))
    expected = ratios.mean(-1).repeat_interleave(8)
    assert_close(batch.reference_mean, expected, atol=1e-5, rtol=1e-4)
    assert batch.reference_mean[0].abs() < 1e-5 < batch.reference_mean[8].abs()
    assert not batch.reference_point.requires_grad
    own = stack.token_logps(data.mismatched) - reference.token_logps(
        data.mismatched[torch.arange(16)]
    )
    assert_close(
        batch.reference_point[8:],
        own.sum(-1).detach()[8:].mean().expand(8),
        atol=1e-5,
        rtol=1e-4,
    )


def test_thumbs_of_pairs_call_chosen_good():
    pairs = some_pairs()
    data = Thumbs.of_pairs(pairs)
    assert_close(data.tokens[data.up].response, pairs.chosen.response)
    assert_close(data.tokens[~data.up].response, pairs.rejected.response)


def test_thumbs_follow_the_bar():
    up = sample_thumbs(
        WORLD, uniform(), 400, Annotator(deterministic=True), generator(6), bar=1.0
    )
    gold = WORLD.gold[up.tokens.prompt, up.tokens.response]
    assert (up.up[gold > 1]).all() and not up.up[gold < 1].any()


@pytest.mark.parametrize("kind", ["table", "network"])
def test_token_distributions_are_distributions_and_hold_the_token_log_probs(
    kind, table, reference
):
    policy = table if kind == "table" else reference
    pairs = some_pairs()
    data = DistributionPairs(pairs)
    ref = data.reference_logps(reference if kind == "network" else TabularPolicy(WORLD))
    rows = torch.tensor([3, 0, 7])
    batch = data.batch(policy, rows, ref)
    plain = pairs.batch(policy, rows, pairs.reference_logps(TabularPolicy(WORLD)))
    assert_close(batch.policy_chosen, plain.policy_chosen)
    assert_close(batch.policy_rejected, plain.policy_rejected)
    sums = batch.policy_chosen_distribution.exp().sum(-1)[batch.chosen_mask]
    assert_close(sums, torch.ones_like(sums))
    sums = batch.ref_rejected_distribution.exp().sum(-1)[batch.rejected_mask]
    assert_close(sums, torch.ones_like(sums))


def test_stacked_distributions_are_member_major(reference):
    stack, pairs = reference.copies(2), some_pairs(8)
    data = DistributionPairs(pairs)
    batch = data.batch(stack, torch.arange(8), data.reference_logps(reference))
    assert_close(batch.margin(), torch.zeros(8), atol=1e-5, rtol=0)
    assert_close(
        batch.policy_chosen, batch.ref_chosen * batch.chosen_mask, atol=1e-5, rtol=0
    )


def test_token_rewards_stay_with_their_rows(table):
    pairs = some_pairs(5)
    width = pairs.chosen.ids.shape[1], pairs.rejected.ids.shape[1]
    chosen = torch.arange(5.0)[:, None].expand(5, width[0]).double()
    data = TokenRewardPairs(pairs, chosen, -torch.ones(5, width[1]).double())
    ref = data.reference_logps(TabularPolicy(WORLD))
    batch = data.batch(table, torch.tensor([4, 2]), ref)
    assert batch.reward_chosen[:, 0].tolist() == [4.0, 2.0]
    assert batch.reward_rejected[0, 0] == -1
    assert_close(batch.policy_chosen.shape, batch.reward_chosen.shape)


def test_the_step_is_where_two_responses_part():
    """'good fun' and 'good bad' part at the second word, 'good' and 'fun' at once."""
    texts = (("good fun", "good", "good"), ("good bad", "fun", "good bad"))
    first, second = (torch.tensor([WORLD.index(t) for t in side]) for side in texts)
    prompt = torch.zeros(3, dtype=torch.long)
    pairs = Pairs(
        WORLD.tokens(prompt, first),
        WORLD.tokens(prompt, second),
        torch.ones(3, dtype=torch.float64),
    )
    data = StepPairs.of_first_difference(pairs)
    assert data.chosen_step.int().tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert data.rejected_step.int().tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1]]
    two = StepPairs.of_first_difference(pairs, size=2)
    assert two.chosen_step.int().tolist() == [[0, 0, 1], [0, 1, 1], [0, 0, 1]]
    ref = data.reference_logps(TabularPolicy(WORLD))
    batch = data.batch(TabularPolicy(WORLD), torch.tensor([1]), ref)
    assert batch.chosen_step.int().tolist() == [[0, 1, 0]]


def test_scoped_pairs_read_three_kinds_of_response(table):
    pairs = some_pairs(6)
    outside, near = (WORLD.draw(uniform(), 6, generator(s)) for s in (3, 4))
    data = ScopedPairs(pairs, outside, near)
    ref = data.reference_logps(TabularPolicy(WORLD))
    rows = torch.tensor([5, 1])
    batch = data.batch(table, rows, ref)
    assert_close(batch.outside.logps(), response_rows(table, outside)[rows])
    assert_close(batch.near.logps(), response_rows(table, near)[rows])
    assert_close(batch.chosen.logps(), response_rows(table, pairs.chosen)[rows])


def test_valued_responses_hold_reward_and_baseline(table):
    tokens = WORLD.draw(uniform(), 6, generator(3))
    scores, baseline = torch.arange(6.0).double(), torch.full((6,), 0.5).double()
    data = ValuedResponses(tokens, scores, baseline)
    batch = data.batch(
        table, torch.tensor([2, 3]), data.reference_logps(TabularPolicy(WORLD))
    )
    assert batch.scores.tolist() == [2.0, 3.0]
    assert batch.baseline.tolist() == [0.5, 0.5]
    assert_close(batch.logps(), response_rows(table, tokens)[[2, 3]])


def test_a_stack_as_reference_reads_each_member_s_own_rows(reference, monkeypatch):
    """A snapshot of several seeds may be the anchor; parts must not mix members."""
    from workbench.feedback.kinds import pairs as module
    from workbench.feedback.kinds import responses

    stack = reference.copies(2)
    with torch.no_grad():
        for value in stack.parameters():
            value[1] += 0.1 * torch.randn(value[1].shape, generator=generator(8))
    data = some_pairs(12)
    whole = data.reference_logps(stack)
    tokens = responses.Responses.of(data.chosen)
    single = tokens.reference_logps(stack)
    monkeypatch.setattr(module, "rows_at_once", lambda policy, time: 8)
    monkeypatch.setattr(responses, "rows_at_once", lambda policy, time: 4)
    for got, expected in zip(data.reference_logps(stack), whole, strict=True):
        assert_close(got, expected)
    assert_close(tokens.reference_logps(stack), single)
    alone = stack.member(1).token_logps(data.chosen[torch.arange(6, 12)])
    assert_close(single[6:], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "kind", [Pairs, DistributionPairs, StepPairs, TokenRewardPairs]
)
def test_a_step_copies_its_rows_and_not_the_data_set(monkeypatch, kind):
    """A batch of four of 400 pairs touches tensors of eight rows, whatever the kind."""
    pairs, table = some_pairs(400), TabularPolicy(WORLD)
    made = {
        Pairs: lambda: pairs,
        DistributionPairs: lambda: DistributionPairs(pairs),
        StepPairs: lambda: StepPairs.of_first_difference(pairs),
        TokenRewardPairs: lambda: TokenRewardPairs(
            pairs,
            torch.zeros(pairs.chosen.ids.shape),
            torch.zeros(pairs.chosen.ids.shape),
        ),
    }
    data = made[kind]()
    ref, seen = data.reference_logps(table), []
    real = Tokens.cat

    def counted(parts):
        seen.append(sum(map(len, parts)))
        return real(parts)

    monkeypatch.setattr(Tokens, "cat", staticmethod(counted))
    data.batch(table, torch.arange(4), ref)
    assert seen and max(seen) <= 8


def test_columns_travel_with_their_pairs():
    pairs = replace(some_pairs(6), columns={"users": torch.arange(6) // 2})
    assert pairs[torch.tensor([5, 0])].columns["users"].tolist() == [2, 0]
    both = Pairs.cat([pairs, pairs])
    assert both.columns["users"].tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert Pairs.cat([pairs, some_pairs(2)]).columns == {}
