"""A reference with goals writes as before, and can learn what they mean."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.models import tiny
from workbench.models.goal_conditioned_policy import conditioned
from workbench.models.policy import Policy
from workbench.worlds.goal_conditioned_world import Goals
from workbench.worlds.reviews import Reviews

BASE = Reviews(max_words=2)
WORLD = Goals(BASE, (-1.0, 0.5, 3.0))


@pytest.fixture(scope="module")
def reference():
    return tiny.reference(BASE)


@pytest.fixture(scope="module")
def policy(reference):
    return conditioned(reference, BASE, WORLD)


def test_at_the_start_no_goal_changes_the_distribution(policy, reference):
    expected = reference.response_logps(BASE)
    assert policy.network.model.dtype == torch.float32
    found = policy.response_logps(WORLD)
    assert_close(found, WORLD.repeated(expected), atol=1e-6, rtol=1e-6)


def test_token_log_probs_agree_too(policy, reference):
    tokens = BASE.draw(torch.zeros_like(BASE.gold), 30, generator(0))
    asked = WORLD.asked(tokens, torch.arange(30) % 3)
    expected = reference.token_logps(tokens)
    assert_close(policy.token_logps(asked), expected, atol=1e-6, rtol=1e-6)


def test_prompt_tokens_are_never_written(policy):
    log_probs = policy.next_token_logps(
        WORLD.tokens(torch.arange(12), torch.arange(12))
    )
    assert (log_probs[:, 1:, list(WORLD.vocab.forbidden)] == -torch.inf).all()
    assert_close(
        log_probs[:, 1:].logsumexp(-1).abs().max().item(), 0.0, atol=1e-6, rtol=0
    )


def test_the_original_stays_as_it_was_and_is_frozen(policy, reference):
    assert reference.network.config.vocab_size == len(BASE.vocab.tokens)
    assert policy.network.config.vocab_size == len(WORLD.vocab.tokens)
    frozen = [*policy.parameters(), *reference.parameters()]
    assert not any(weight.requires_grad for weight in frozen)


def test_a_goal_can_be_learned_without_the_others(policy):
    """One step on one prompt's row leaves the distributions of other goals alone."""
    learner = policy.copies(1).member(0)
    table = learner.network.model.get_input_embeddings().weight
    tokens = WORLD.tokens(torch.tensor([2]), torch.tensor([30]))
    before = learner.response_logps(WORLD).detach()
    loss = -learner.token_logps(tokens).sum()
    (slope,) = torch.autograd.grad(loss, table)
    with torch.no_grad():
        table -= 0.1 * slope * (torch.arange(len(table)) == 4)[:, None]
    after = learner.response_logps(WORLD).detach()
    assert slope[4].abs().max() > 0 and slope[[2, 3, 5]].abs().max() == 0
    assert after[2, 30] > before[2, 30]
    assert_close(after[[0, 1, 3]], before[[0, 1, 3]], atol=1e-6, rtol=1e-6)


def test_it_can_be_saved_and_read_again(policy, tmp_path):
    policy.save(tmp_path)
    again = Policy.load(tmp_path)
    assert_close(again.response_logps(WORLD), policy.response_logps(WORLD))


def test_samples_answer_the_prompt_with_its_goal(policy):
    drawn = policy.sample(WORLD, torch.arange(12), generator(3))
    assert_close(drawn.prompt, torch.arange(12))
    assert (drawn.response < WORLD.n_responses).all()


def test_a_stack_is_refused(reference):
    with pytest.raises(BadCall, match="single reference"):
        conditioned(reference.copies(1), BASE, WORLD)
