"""Steps part at one token, follow their distribution, and are labelled by values."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.step_pairs import sample_steps, stopped
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
TREE = WORLD.tree
LOGPS = WORLD.author.double()
SURE = Annotator(deterministic=True)


def values(seed=3):
    """A value for every token at every prefix."""
    shape = WORLD.n_prompts, TREE.n_nodes, TREE.n_words + 1
    return 2 * torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def parting(data):
    """Prefix and the two tokens behind it: node [batch], chosen, rejected action."""
    sides = [TREE.paths(t.response) for t in (data.pairs.chosen, data.pairs.rejected)]
    (nodes, chosen), (_, rejected) = sides
    at = (chosen != rejected).double().argmax(-1, keepdim=True)
    return [part.gather(1, at)[:, 0] for part in (nodes, chosen, rejected)]


def test_a_stopped_response_is_the_prefix_and_the_word():
    node = TREE.index([2])
    words = torch.tensor([4, TREE.n_words])
    got = stopped(TREE, torch.tensor([node, node]), words)
    assert got.tolist() == [TREE.index([2, 4]), node]
    root = stopped(TREE, torch.tensor([0, 0]), torch.tensor([7, 8]))
    assert root.tolist() == [TREE.index([7]), 0]


def test_the_two_share_everything_before_the_step_and_it_is_one_token():
    data = sample_steps(WORLD, LOGPS, values(), 400, Annotator(), generator(0))
    chosen, rejected = data.pairs.chosen, data.pairs.rejected
    assert_close(chosen.prompt, rejected.prompt)
    assert_close(chosen.prompt, torch.arange(400) % 4)
    assert_close(data.chosen_step, data.rejected_step)
    assert (data.chosen_step.sum(-1) == 1).all()
    before = data.chosen_step.long().cumsum(-1) == 0
    assert (chosen.ids == rejected.ids)[before].all()
    assert (chosen.ids != rejected.ids)[data.chosen_step].all()
    behind = data.chosen_step.long().cumsum(-1).roll(1, -1) * chosen.mask
    behind[:, 0] = 0
    assert (chosen.ids[behind > 0] == WORLD.vocab.eos).all()


def test_a_sure_annotator_chooses_the_token_of_the_greater_value():
    table = values()
    data = sample_steps(WORLD, LOGPS, table, 400, SURE, generator(1))
    node, chosen, rejected = parting(data)
    prompt = data.pairs.chosen.prompt
    assert (table[prompt, node, chosen] > table[prompt, node, rejected]).all()


def test_labels_follow_bradley_terry_in_the_values():
    """The mean of "the greater value won" is the mean of σ(|gap|), within 4 errors."""
    table, n = values(), 20_000
    data = sample_steps(WORLD, LOGPS, table, n, Annotator(), generator(2))
    node, chosen, rejected = parting(data)
    prompt = data.pairs.chosen.prompt
    gap = table[prompt, node, chosen] - table[prompt, node, rejected]
    chance = gap.abs().sigmoid()
    error = (chance * (1 - chance)).mean().sqrt() / n**0.5
    assert abs((gap > 0).double().mean() - chance.mean()) < 4 * error


def test_prefixes_and_tokens_come_from_the_distribution():
    """At the root: the chance to be cut there is E[1/T], tokens follow π."""
    n = 40_000
    data = sample_steps(WORLD, LOGPS, values(), n, SURE, generator(4))
    node, *actions = parting(data)
    film = data.pairs.chosen.prompt == 0
    tokens = (WORLD.n_words + 1).clamp(max=WORLD.max_words).double()
    expected = (LOGPS[0].exp() / tokens).sum().item()
    seen = (node[film] == 0).double().mean().item()
    assert seen == pytest.approx(expected, abs=0.02)
    # two different tokens, the second from what the first leaves
    probs = TREE.conditionals(LOGPS)[0, 0].exp()
    both = probs[:, None] * probs / (1 - probs[:, None])
    both = both.fill_diagonal_(0)
    rate = both.sum(0) + both.sum(1)
    here = torch.cat([a[film & (node == 0)] for a in actions])
    share = torch.bincount(here, minlength=9).double() / (len(here) / 2)
    assert_close(share, rate, atol=0.03, rtol=0)


def test_it_is_a_data_set_of_the_offline_loop():
    data = sample_steps(WORLD, LOGPS, values(), 8, Annotator(), generator(5))
    policy = TabularPolicy(WORLD, LOGPS)
    batch = data.batch(policy, torch.tensor([5, 2]), data.reference_logps(policy))
    assert batch.chosen_step.sum(-1).tolist() == [1, 1]
    assert (batch.chosen_mask & batch.chosen_step).sum(-1).tolist() == [1, 1]
