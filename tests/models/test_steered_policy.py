"""A steered policy by hand; every way to read or write it gives one distribution."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.models import tiny
from workbench.models.prompts import respond
from workbench.models.steered_policy import SteeredPolicy, next_values
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
TREE = WORLD.tree


class Table(nn.Module):
    """A critic of an exact world that knows Q and V of every prefix by heart.

    Args:
        world: it has prompts of one token, and ids of words that follow each other.
        q: [prompt, node, action], reward units.
        v: [prompt, node].
    """

    members = 1

    def __init__(self, world, q, v):
        super().__init__()
        self.world = world
        self.q, self.v = nn.Parameter(q.clone()), nn.Parameter(v.clone())

    def nodes(self, ids):
        """The prefix that ends with each token; −1 where a response has ended."""
        tree, words = self.world.tree, self.world.action_ids[:-1]
        is_word = (ids >= words[0]) & (ids <= words[-1])
        digit = torch.where(is_word, ids - words[0], 0)
        code, found = torch.zeros(len(ids), dtype=torch.long), []
        for t in range(ids.shape[1]):
            code = code * tree.n_words + digit[:, t]
            inside = is_word[:, 1 : t + 1].all(-1) & (t < tree.depth)
            found.append(torch.where(inside, tree.offset(t) + code, -1))
        return torch.stack(found, dim=1)

    def after(self, ids):
        """Q of every token of the vocabulary, from one head, and V; 0 after the end."""
        world, nodes = self.world, self.nodes(ids)
        prompt = (ids[:, :1] - world.prompt_tokens[0, 0]).expand_as(ids)
        inside, at = nodes >= 0, nodes.clamp(min=0)
        wide = self.q.new_zeros(*ids.shape, len(world.vocab.tokens))
        q = wide.index_copy(-1, world.action_ids, self.q[prompt, at])
        q = torch.where(inside[..., None], q, 0.0)[:, :, None]
        v = torch.where(inside, self.v[prompt, at], 0.0)
        return SimpleNamespace(q=q, target=q.detach(), v=v)


def add_q(critic, ids, logits):
    """The plainest way to steer: Q itself, 1 nat per reward unit."""
    return logits + critic.after(ids).q[:, -logits.shape[1] :, 0].to(logits)


def random(seed, *shape):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def reference():
    return tiny.reference(WORLD)


@pytest.fixture(scope="module")
def table():
    q = random(1, WORLD.n_prompts, TREE.n_nodes, TREE.n_words + 1)
    return Table(WORLD, q, random(2, WORLD.n_prompts, TREE.n_nodes))


@pytest.fixture(scope="module")
def steered(reference, table):
    return SteeredPolicy(reference, table, add_q)


@torch.no_grad()
def tilted(reference, table):
    """log π_ref + Q of every prefix, normalised: the distribution by hand."""
    return (reference.conditionals(WORLD) + table.q).log_softmax(-1)


def test_at_every_prefix_it_is_the_reference_tilted_by_the_bonus(
    steered, reference, table
):
    got = steered.conditionals(WORLD).detach()
    total = got.logsumexp(-1)
    assert_close(total, torch.zeros_like(total), atol=1e-12, rtol=0)
    assert_close(got, tilted(reference, table), atol=2e-6, rtol=0)
    assert (got - reference.conditionals(WORLD)).abs().max() > 1


def test_token_log_probs_and_the_distribution_of_responses_agree(steered):
    prompt = torch.arange(20) % WORLD.n_prompts
    tokens = WORLD.tokens(prompt, (torch.arange(20) * 7) % WORLD.n_responses)
    log_probs = steered.response_logps(WORLD)
    assert_close(log_probs.logsumexp(-1), torch.zeros(WORLD.n_prompts).double())
    sums = steered.token_logps(tokens).double().sum(-1)
    assert_close(sums, log_probs[tokens.prompt, tokens.response], atol=1e-5, rtol=0)


def test_without_a_bonus_it_is_the_reference(reference, table):
    same = SteeredPolicy(reference, table, lambda critic, ids, logits: logits)
    got = same.response_logps(WORLD)
    assert_close(got, reference.response_logps(WORLD))


def test_samples_follow_the_distribution(steered):
    drawn = steered.sample(WORLD, torch.full((4000,), 2), generator(3))
    probs = steered.response_logps(WORLD)[2].exp()
    share = torch.bincount(drawn.response, minlength=len(probs)) / 4000
    # five standard errors of each of the 73 shares
    assert (
        (share - probs).abs().le(5 * (probs * (1 - probs) / 4000).sqrt() + 1e-9).all()
    )
    assert (drawn.prompt == 2).all()


def test_no_bonus_makes_a_forbidden_token_possible(reference, table):
    every = SteeredPolicy(reference, table, lambda critic, ids, logits: logits + 50)
    log_probs = every.next_token_logps(WORLD.tokens(torch.arange(4), torch.arange(4)))
    forbidden = log_probs[:, 1:, list(WORLD.vocab.forbidden)]
    assert forbidden.isneginf().all()


def test_a_critic_never_sees_the_padding_before_a_short_prompt(reference, table):
    """It makes the token certain whose number is the length of what it sees + 5."""

    def count(critic, ids, logits):
        wanted = torch.full(logits.shape[:2], ids.shape[1] + 5)
        return logits + 99 * nn.functional.one_hot(wanted, logits.shape[-1])

    counting = SteeredPolicy(reference, table, count)
    got = respond(counting, [[2, 7], [3], [4, 8]], 2, generator(0))
    written = [row[keep].tolist() for row, keep in zip(got.ids, got.mask, strict=True)]
    assert written == [[7, 8], [6, 7], [7, 8]]


def test_the_sampler_leaves_the_settings_of_the_reference_as_they_were(
    steered, reference
):
    before = reference.network.model.generation_config
    steered.sample(WORLD, torch.zeros(2, dtype=torch.long), generator(0))
    assert reference.network.model.generation_config is before


def test_a_stack_is_refused_in_a_sentence(reference, table):
    with pytest.raises(BadCall, match="1 critics cannot steer 2 policies"):
        SteeredPolicy(reference.copies(2), table, add_q)


def test_values_of_prefixes_with_one_more_token(table):
    """V of [prompt · token] beside the same number read from the table."""
    critic = SimpleNamespace(after=lambda ids: table.after(ids).v)
    ids = torch.tensor([[2, 6, 7], [4, 9, 6]])
    choice = torch.tensor([8, 11]).expand(2, 2, 2)
    got = next_values(critic, ids[:, :2], choice)
    # after the prompt alone: words 2 and 5; then two words, where responses end
    assert_close(got[0, 0], table.v[0, [1 + 2, 1 + 5]])
    assert_close(got[1, 0], table.v[2, [1 + 2, 1 + 5]])
    assert got[:, 1].abs().max() == 0
