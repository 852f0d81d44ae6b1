"""A critic of tokens: its columns, its slow copy, its folder."""

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.token_values import TokenResponses
from workbench.loops import values
from workbench.methods.values import ilql
from workbench.models.q_heads import TokenCritic
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
SIZE = {"width": 16, "layers": 1}


def some_tokens(n=12):
    prompt = torch.arange(n) % WORLD.n_prompts
    return WORLD.tokens(prompt, (torch.arange(n) * 7) % WORLD.n_responses)


def data():
    tokens = some_tokens()
    return TokenResponses(tokens, WORLD.gold_reward(tokens))


@torch.no_grad()
def stirred(seed=0):
    """A critic whose heads say something, and whose slow copy says something else."""
    critic = TokenCritic.tiny(WORLD.vocab, seed=seed, **SIZE)
    for weight in critic.parameters():
        weight += 0.2 * torch.randn(weight.shape, generator=generator(seed))
    return critic


def test_a_fresh_critic_knows_nothing_and_says_0():
    read = TokenCritic.tiny(WORLD.vocab, 3, **SIZE).before(some_tokens())
    assert read.q.shape == (12, 3, 3, len(WORLD.vocab.tokens))
    assert all(each.abs().max() == 0 for each in read)


def test_columns_stand_before_their_token_and_see_nothing_behind():
    critic, tokens = stirred(), some_tokens()
    before, after = critic.before(tokens), critic.after(tokens.ids)
    row, column = tokens.mask.nonzero(as_tuple=True)
    for one, other in zip(before, after, strict=True):
        assert_close(one[row, column], other[row, column - 1])
        assert one[~tokens.mask].abs().max() == 0
    wide = tokens.padded(tokens.ids.shape[1] + 3)
    dirty = torch.where(wide.attention, wide.ids, 9)
    dirty = Tokens(dirty, wide.mask, wide.attention, wide.prompt, wide.response)
    for one, other in zip(critic.before(dirty), before, strict=True):
        assert_close(one[:, : other.shape[1]], other)
    assert_close(critic.values(tokens), before.v)


def test_the_slow_copy_moves_by_the_polyak_rate():
    critic = stirred()
    before = {k: v.clone() for k, v in critic.network.named_parameters()}
    critic.follow(0.25)
    after = dict(critic.network.named_parameters())
    slow = [name for name in after if name.startswith("target_")]
    assert len(slow) == len(after) - 4 - len(slow)  # V has four weights and no copy
    for name in slow:
        own = before[name.removeprefix("target_")]
        assert_close(after[name], 0.75 * before[name] + 0.25 * own)
    assert all(torch.equal(after[n], before[n]) for n in after if n not in slow)
    critic.follow(1.0)
    read = critic.before(some_tokens())
    assert_close(read.target, read.q)


def test_gradients_reach_all_but_the_slow_copy():
    critic = stirred()
    batch = data().batch(critic, torch.arange(12), None)
    ilql.loss(batch, ilql.Config()).sum().backward()
    for name, weight in critic.network.named_parameters():
        moved = weight.grad is not None and weight.grad.any()
        assert moved != name.startswith("target_"), name


def test_a_saved_critic_says_the_same(tmp_path):
    critic = stirred()
    critic.save(tmp_path)
    again = TokenCritic.tiny(WORLD.vocab, **SIZE)
    again.network.load_state_dict(load_file(tmp_path / "critic.safetensors"))
    for one, other in zip(
        again.before(some_tokens()), critic.before(some_tokens()), strict=True
    ):
        assert torch.equal(one, other)


def test_a_run_that_was_cut_off_goes_on_bit_for_bit(tmp_path):
    """The slow copy is part of the state: without it the rest would differ."""

    class Cut(Exception):
        pass

    def train(out, resume=False, stop=None):
        def measure(critic):
            if critic.steps == stop:
                raise Cut
            critic.steps += 2
            slow = critic.before(some_tokens()).target
            return pd.DataFrame({"size": [slow.norm().item()]})

        critic = TokenCritic.tiny(WORLD.vocab, **SIZE)
        critic.steps = 0
        cfg = ilql.Config(polyak=0.3)
        return values.fit(
            critic, data(), ilql, cfg, steps=6, every=2, batch_size=4, out=out,
            resume=resume, measures=[measure],
        )  # fmt: skip

    whole = train(tmp_path / "whole")
    with pytest.raises(Cut):
        train(tmp_path / "cut", stop=4)
    resumed = train(tmp_path / "cut", resume=True)
    for one, other in zip(
        whole.policy.parameters(), resumed.policy.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    assert whole.metrics.equals(resumed.metrics)
    assert whole.metrics["size"].nunique() == 4


def test_members_of_a_stack_are_as_they_are_alone():
    critics = [stirred(seed) for seed in (0, 1)]
    stack, tokens = TokenCritic.stack(critics), some_tokens()
    rows = torch.arange(12)
    both = stack.before(Tokens.cat([tokens, tokens]))
    for number, critic in enumerate(critics):
        for one, other in zip(both, critic.before(tokens), strict=True):
            assert_close(one[12 * number + rows], other, atol=1e-6, rtol=1e-5)
    for each in (stack, *critics):
        each.follow(0.5)
    twice = stack.before(Tokens.cat([tokens, tokens])).target
    assert_close(twice[12:], critics[1].before(tokens).target, atol=1e-6, rtol=1e-5)
    learn = [weight for weight in stack.parameters() if weight.requires_grad]
    own = [weight for weight in critics[0].parameters() if weight.requires_grad]
    assert len(learn) == len(own)
