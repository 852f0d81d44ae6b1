"""Policies: the neural one, the stacked one and the table agree on every question."""

import pytest
import torch

from workbench.core.seeds import generator
from workbench.models import device, tiny
from workbench.models.heads import ScoreModel, ValueModel
from workbench.models.network import Network
from workbench.models.policy import Policy, TabularPolicy
from workbench.worlds.reviews import Reviews
from workbench.worlds.stories import Stories

WORLD = Reviews(3)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return tiny.decoder(WORLD.vocab, width=32, layers=2, seed=3).requires_grad_(False)


def test_all_responses_together_have_probability_one(policy):
    total = policy.response_logps(WORLD).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(4, dtype=torch.float64))


def test_shared_prefixes_give_what_reading_every_response_gives(policy):
    every = torch.arange(WORLD.n_responses)
    log_probs = policy.response_logps(WORLD)
    for p in range(4):
        tokens = WORLD.tokens(torch.full_like(every, p), every)
        read = policy.token_logps(tokens).sum(-1).double()
        torch.testing.assert_close(read, log_probs[p], atol=2e-5, rtol=0)


def test_a_table_with_the_same_distribution_has_the_same_token_log_probs(policy):
    table = TabularPolicy(WORLD, policy.response_logps(WORLD))
    tokens = WORLD.corpus(40, generator(0))
    torch.testing.assert_close(
        table.token_logps(tokens), policy.token_logps(tokens).double(),
        atol=2e-5, rtol=0,
    )  # fmt: skip


def test_forbidden_tokens_have_no_probability(policy):
    logits = policy.logits(WORLD.prompt_tokens)[:, -1]
    assert (logits[:, list(WORLD.vocab.forbidden)] == -torch.inf).all()


def test_padding_changes_no_log_prob(policy):
    tokens = WORLD.corpus(10, generator(0))
    wide = tokens.padded(9)
    torch.testing.assert_close(
        policy.token_logps(wide)[:, : tokens.ids.shape[1]], policy.token_logps(tokens)
    )


def test_a_stack_answers_for_each_member(policy):
    others = [tiny.decoder(WORLD.vocab, width=32, layers=2, seed=s) for s in (3, 4)]
    stack = Policy.stack(others)
    with torch.no_grad():
        log_probs = stack.response_logps(WORLD)
        for member, expected in zip(others, log_probs, strict=True):
            torch.testing.assert_close(
                member.response_logps(WORLD), expected, atol=2e-5, rtol=0
            )
    torch.testing.assert_close(
        stack.member(1).response_logps(WORLD), log_probs[1], atol=2e-5, rtol=0
    )


def test_a_stack_of_stacks_has_all_their_members(policy):
    others = [tiny.decoder(WORLD.vocab, width=32, seed=s) for s in range(3)]
    together = Policy.stack([Policy.stack(others[:2]), others[2]])
    assert together.members == 3
    with torch.no_grad():
        log_probs = Policy.stack(others).response_logps(WORLD)
        assert torch.equal(together.response_logps(WORLD), log_probs)


def test_copies_are_trainable_and_leave_the_original_alone(policy):
    before = policy.response_logps(WORLD)
    stack = policy.copies(2)
    torch.optim.SGD(stack.parameters(), lr=1.0).zero_grad()
    stack.token_logps(WORLD.corpus(8, generator(0))).sum().backward()
    with torch.no_grad():
        for weight in stack.parameters():
            weight -= weight.grad
    assert torch.equal(policy.response_logps(WORLD), before)
    assert not torch.allclose(stack.response_logps(WORLD)[0].detach(), before)


def test_samples_follow_the_enumerated_distribution(policy):
    """4,000 samples per prompt with a key-value cache; 5 standard errors each."""
    asked = torch.arange(16_000) % 4
    tokens = policy.sample(WORLD, asked, generator(0))
    probs = policy.response_logps(WORLD)[1].exp()
    seen = tokens.response[tokens.prompt == 1]
    frequency = torch.bincount(seen, minlength=len(probs)) / len(seen)
    error = (probs * (1 - probs) / len(seen)).sqrt()
    assert ((frequency - probs).abs() <= 5 * error + 1 / len(seen)).all()


def test_samples_carry_the_mask_and_number_of_their_tokens(policy):
    tokens = policy.sample(WORLD, torch.tensor([0, 1, 2, 3] * 8), generator(1))
    again = WORLD.tokens(tokens.prompt, tokens.response).padded(tokens.ids.shape[1])
    width = tokens.ids.shape[1]
    assert torch.equal(tokens.mask, again.mask[:, :width])
    assert torch.equal(tokens.ids, again.ids[:, :width])


@pytest.mark.parametrize("members", [1, 3])
def test_a_stack_samples_in_any_world_member_by_member(policy, members):
    asked = torch.arange(8) % 4
    tokens = policy.copies(members).sample(WORLD, asked, generator(0))
    assert torch.equal(tokens.prompt, asked.repeat(members))
    stories = Stories()
    writer = tiny.decoder(stories.vocab, width=16, layers=1).copies(members)
    tokens = writer.sample(stories, asked, generator(0))
    assert len(tokens) == 8 * members and (tokens.lengths > 0).all()


def test_low_temperature_sampling_follows_the_tempered_distribution_token_by_token(
    policy,
):
    tempered = (policy.conditionals(WORLD) / 0.3).log_softmax(-1)
    probs = WORLD.tree.response_logps(tempered)[0].exp()
    table = TabularPolicy(WORLD, policy.response_logps(WORLD))
    asked = torch.zeros(4000, dtype=torch.long)
    for source in (policy, table):
        tokens = source.sample(WORLD, asked, generator(2), temperature=0.3)
        frequency = torch.bincount(tokens.response, minlength=585) / len(asked)
        error = (probs * (1 - probs) / len(asked)).sqrt()
        assert ((frequency - probs).abs() <= 5 * error + 1 / len(asked)).all()


def test_a_device_that_is_not_there_becomes_the_cpu_with_a_warning():
    if torch.cuda.is_available():
        assert device.pick("cuda") == "cuda"
    else:
        with pytest.warns(UserWarning, match="no CUDA device"):
            assert device.pick("cuda") == "cpu"
    assert device.pick("cpu") == "cpu"


def test_bfloat16_moves_log_probs_by_hundredths_of_a_nat(policy):
    half = Policy(Network(policy.network.model, bf16=True))
    tokens = WORLD.corpus(40, generator(0))
    gap = (half.token_logps(tokens) - policy.token_logps(tokens)).abs()
    assert 0 < gap.max() < 0.05


def test_a_saved_policy_loads_as_it_was(policy, tmp_path):
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded.response_logps(WORLD), policy.response_logps(WORLD))
    assert (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("max_words", [2, 3, 4, 5])
def test_the_shipped_reference_is_close_to_the_author_and_not_equal(max_words):
    world = Reviews(max_words)
    ref = tiny.reference(world).response_logps(world)
    gap = (world.author.exp() * (world.author - ref)).sum(-1)
    assert (gap > 1e-4).all() and (gap < 0.02).all()


def test_a_score_is_read_at_the_last_real_token():
    model = ScoreModel.tiny(WORLD.vocab, width=16, layers=1, seed=0)
    tokens = WORLD.tokens(torch.tensor([0, 1]), torch.tensor([0, 584]))
    with torch.no_grad():
        scores = model.scores(tokens)
        torch.testing.assert_close(model.scores(tokens.padded(8)), scores)
        outputs = model.network(tokens.ids)[..., 0]
    # "film <eos>" is read at column 1, a full review at column 3
    torch.testing.assert_close(scores, outputs[[0, 1], [1, 3]])


def test_scores_of_all_responses_agree_with_scores_of_some():
    model = ScoreModel.tiny(WORLD.vocab, width=16, layers=1, seed=0)
    tokens = WORLD.corpus(20, generator(0))
    table = model.score_all(WORLD)
    with torch.no_grad():
        torch.testing.assert_close(
            table[tokens.prompt, tokens.response], model.scores(tokens).double()
        )
    both = ScoreModel.stack([model, ScoreModel.tiny(WORLD.vocab, 16, 1, seed=1)])
    torch.testing.assert_close(both.score_all(WORLD)[0], table, atol=1e-5, rtol=0)


def test_a_critic_sees_the_prefix_and_not_the_token_it_judges():
    critic = ValueModel.tiny(WORLD.vocab, width=16, layers=1, seed=0)
    torch.nn.init.normal_(critic.network.model.score.weight)
    first, second = WORLD.index("good and fun"), WORLD.index("good and bad")
    tokens = WORLD.tokens(torch.tensor([0, 0]), torch.tensor([first, second]))
    with torch.no_grad():
        values = critic.values(tokens)
    # the two reviews share "film good and": V before the last word is the same
    torch.testing.assert_close(values[0], values[1])
    assert (values[:, 0] == 0).all()


def test_values_of_all_prefixes_agree_with_values_along_a_review():
    critic = ValueModel.tiny(WORLD.vocab, width=16, layers=1, seed=0)
    torch.nn.init.normal_(critic.network.model.score.weight)
    table = critic.value_all(WORLD)
    assert table.shape == (WORLD.n_prompts, WORLD.tree.n_nodes)
    tokens = WORLD.corpus(20, generator(0))
    nodes, _ = WORLD.tree.paths(tokens.response)
    expected = table[tokens.prompt[:, None], nodes.clamp(min=0)]
    with torch.no_grad():
        values = critic.values(tokens)[:, 1:].double()
    torch.testing.assert_close(torch.where(nodes >= 0, expected, 0.0), values)
    both = ValueModel.stack([critic, ValueModel.tiny(WORLD.vocab, 16, 1, seed=1)])
    torch.testing.assert_close(both.value_all(WORLD)[0], table, atol=1e-5, rtol=0)


def test_the_head_starts_with_the_spread_that_is_asked_for():
    """A head 30 times too large is lesson 10's broken start: its scores are 30 times.

    The same draws, scaled: by default the deviation is 1/√(width + 1).
    """
    usual, large = (
        ScoreModel.tiny(WORLD.vocab, 16, 1, seed=3, spread=spread)
        for spread in (None, 30 / 17**0.5)
    )
    scores = usual.score_all(WORLD)
    torch.testing.assert_close(
        large.score_all(WORLD), 30 * scores, rtol=1e-4, atol=1e-4
    )
