"""What a loop hands to its method: whose numbers, of which responses, how often.

Every response of the exact world has a reward of its own here, its number, so a batch
tells which responses it holds, and a table tells what their log-probs are to be.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.game_rollouts import GameRollouts
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops import experience, games, online, reward
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session
from workbench.methods.games import nash_md
from workbench.methods.policy_gradient.ppo import ppo
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.methods.reward.pairwise import bt
from workbench.models import tiny
from workbench.models.heads import ScoreModel
from workbench.models.policy import TabularPolicy
from workbench.models.table_reward import TableReward
from workbench.worlds.reviews import Reviews

WORLD = Reviews(2)
SHAPE = (WORLD.n_prompts, WORLD.n_responses)
REF_LOGPS = WORLD.author
START = (2 * torch.randn(SHAPE, generator=generator(3)).double()).log_softmax(-1)
NUMBERS = torch.arange(WORLD.n_prompts * WORLD.n_responses).double().view(SHAPE)


def start() -> TabularPolicy:
    """What learns; its log-probs are not those of the reference."""
    return TabularPolicy(WORLD, START)


REFERENCE = TabularPolicy(WORLD, REF_LOGPS)


def numbers(batch: Rollouts) -> Tensor:
    """Which responses a batch holds, by their reward."""
    return batch.scores.long()


def table(logps: Tensor, batch: Rollouts) -> Tensor:
    """The log-prob of each response of a batch in a table over all of them."""
    return logps.flatten()[numbers(batch)]


def nats(values: Tensor) -> Tensor:
    """Token log-probs added up: they are 0 outside the response."""
    return values.detach().sum(-1)


class Recorder:
    """A method of the online loop that keeps what it is given, and pushes the policy.

    Attributes:
        method: what the loop is given.
        judged: the rollouts of each call of ``advantages``.
        policies: log π of all responses when they were judged.
        read: the batch of each update.
        called: how often ``after_step`` was.
    """

    def __init__(self, policy=None, returns: bool = False):
        self.policy, self.judged, self.policies, self.read = policy, [], [], []
        self.called = 0
        hooks = ("advantages", "after_step") + (("returns",) if returns else ())
        self.method = SimpleNamespace(
            card=replace(rloo.card, hooks=hooks), reads=Rollouts,
            advantages=self.advantages, loss=self.loss, after_step=self.after_step,
            returns=lambda rollouts, cfg: 7 * rollouts.mask.to(rollouts.old),
        )  # fmt: skip

    def advantages(self, rollouts: Rollouts, cfg) -> Tensor:
        self.judged.append(rollouts)
        if self.policy is not None:
            self.policies.append(self.policy.response_logps(WORLD).detach().clone())
        return torch.zeros_like(rollouts.old)

    def loss(self, batch: Rollouts, cfg) -> Tensor:
        self.read.append(batch)
        values = 0.0 if batch.values is None else batch.values.square().sum(-1)
        return batch.policy.sum(-1) + values

    def after_step(self, policy, cfg) -> None:
        self.called += 1


def play(spy: Recorder, policy, paid=None, **settings):
    settings = {"prompts": 4, "group": 2, "steps": 2, "lr": 0.1} | settings
    paid = paid or TableReward(NUMBERS)
    return online.fit(policy, REFERENCE, WORLD, paid, spy.method, None, **settings)


# ---- own responses ------------------------------------------------------------------


def test_every_update_reads_the_reference_the_sampler_and_the_policy_as_it_is_now():
    """π_ref never moves, π_old once a step, π at every update."""
    policy = start()
    spy = Recorder(policy)
    play(spy, policy, epochs=2, minibatches=2)
    assert len(spy.read) == 8
    for update, batch in enumerate(spy.read):
        old = spy.policies[update // 4]
        assert_close(nats(batch.ref), table(REF_LOGPS, batch))
        assert_close(nats(batch.old), table(old, batch))
        moved = (nats(batch.policy) - nats(batch.old)).abs().max()
        if update % 4 == 0:
            assert moved < 1e-9
        elif update % 4 > 1:  # the second epoch: every response has been read before
            assert moved > 1e-3
    assert_close(spy.policies[0], START)
    assert (spy.policies[1] - START).abs().max() > 1e-2


def test_an_epoch_reads_every_response_once_in_groups_and_in_an_order_of_its_own():
    """Three epochs of two minibatches: each four of the eight groups."""
    spy = Recorder()
    play(spy, start(), prompts=8, group=3, epochs=3, minibatches=2, steps=2)
    assert len(spy.read) == 2 * 3 * 2 and spy.called == 12
    written = [sorted(numbers(rollouts).tolist()) for rollouts in spy.judged]
    orders = []
    for epoch in range(6):
        halves = [numbers(batch) for batch in spy.read[2 * epoch : 2 * epoch + 2]]
        assert [len(half) for half in halves] == [12, 12]
        assert sorted(torch.cat(halves).tolist()) == written[epoch // 3]
        groups = numbers(spy.judged[epoch // 3]).unflatten(0, (8, 3)).tolist()
        found = torch.cat(halves).unflatten(0, (8, 3)).tolist()
        orders.append([groups.index(one) for one in found])
    # eight groups have 40,320 orders
    assert len({tuple(order) for order in orders}) == 6


def test_prompts_come_in_turn_and_responses_anew():
    """Three of four prompts a step; with a step size of 0 only chance differs."""
    spy, asked = Recorder(), []

    def paid(tokens):
        asked.append(tokens.prompt.tolist())
        return WORLD.gold_reward(tokens)

    play(spy, start(), paid, prompts=3, steps=3, lr=0.0)
    assert asked == [[0, 0, 1, 1, 2, 2], [3, 3, 0, 0, 1, 1], [2, 2, 3, 3, 0, 0]]
    again = Recorder()
    play(again, start(), prompts=4, group=8, steps=2, lr=0.0)
    one, two = map(numbers, again.judged)
    assert (one != two).sum() > 16


def test_each_member_of_a_stack_is_judged_on_its_own_responses():
    """Member 0 is paid 0 for everything and member 1 is paid 1: nothing is mixed."""
    paid = TableReward(torch.stack([torch.zeros(SHAPE), torch.ones(SHAPE)]).double())
    spy = Recorder(returns=True)
    policy = tiny.reference(WORLD).copies(2)
    play(spy, policy, paid, steps=1, critic=Flat(2))
    assert [set(part.scores.tolist()) for part in spy.judged] == [{0.0}, {1.0}]
    assert [len(part.scores) for part in spy.judged] == [8, 8]


def test_whitened_advantages_of_a_stack_are_those_of_its_members():
    """A hundred times the reward in one seed changes nothing in the other."""
    rollouts = Rollouts.example(generator(0), batch=16)
    scale = torch.tensor([1.0, 100]).repeat_interleave(8)
    far = replace(rollouts, scores=rollouts.scores * scale)
    cfg = ppo.Config()
    one, two = (experience.judge(each, ppo, cfg, 2) for each in (rollouts, far))
    assert_close(one.advantages[:8], two.advantages[:8])
    assert_close(one.returns[:8], two.returns[:8])
    assert (one.advantages[8:] - two.advantages[8:]).abs().max() > 0.1


def test_a_reward_of_each_token_adds_up_over_the_response_alone():
    """One for every column of the prompt, two words and padding: silence is one."""
    for response, tokens in ((0, 1), (1, 2), (72, 2)):
        spy, policy = Recorder(), TabularPolicy(WORLD, certain(response))
        play(spy, policy, lambda tokens: torch.ones(tokens.ids.shape), steps=1)
        (rollouts,) = spy.judged
        assert rollouts.scores.tolist() == [tokens] * 8
        assert_close(rollouts.token_scores, torch.ones(8, 3).double())


class Flat(nn.Module):
    """A critic that predicts one number, 2 at first, before every token."""

    def __init__(self, members: int = 1):
        super().__init__()
        self.members = members
        self.value = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def values(self, tokens):
        return self.value * tokens.mask


def test_a_critic_is_read_when_it_samples_and_again_at_every_update():
    """V_old stays 2 over the epochs while V falls, as its square is the loss."""
    spy, critic = Recorder(returns=True), Flat()
    play(spy, start(), critic=critic, epochs=3, steps=1)
    seen = [batch.values[batch.mask].unique().tolist() for batch in spy.read]
    assert seen[0] == [2.0] and 2.0 > seen[1][0] > seen[2][0]
    for batch in spy.read:
        assert_close(batch.old_values, 2 * batch.mask.double())
        assert_close(batch.returns, 7 * batch.mask.double())
    assert critic.value.item() < seen[2][0]


# ---- games --------------------------------------------------------------------------


def certain(response: int) -> Tensor:
    """log π of a policy that always writes the same response, almost."""
    logps = torch.full(SHAPE, -60.0, dtype=torch.float64)
    logps[:, response] = 0.0
    return logps.log_softmax(-1)


class Game:
    """A method of the game loop, and a preference, that keep what they are given."""

    def __init__(self, against=None):
        self.against, self.policies, self.asked, self.read = against, [], [], []
        self.method = SimpleNamespace(
            card=replace(nash_md.card, hooks=("opponent",)), reads=GameRollouts,
            opponent=self.opponent, loss=self.loss,
        )  # fmt: skip

    def opponent(self, logps, ref, cfg):
        self.policies.append((logps.clone(), ref.clone()))
        return logps if self.against is None else self.against

    def preference(self, prompt, one, two):
        self.asked.append((prompt, one, two))
        return torch.linspace(0, 1, len(prompt)).double()

    def loss(self, batch, cfg):
        self.read.append(batch)
        return batch.policy.sum(-1)

    def play(self, policy, **settings):
        settings = {"steps": 1, "batch_size": 12} | settings
        return games.fit(
            policy, REFERENCE, WORLD, self.preference, self.method, None, **settings
        )


def test_a_game_is_played_against_the_opponent_that_the_method_names():
    """The policy writes response 5 and its opponent response 9, to every prompt."""
    game, policy = Game(certain(9)), TabularPolicy(WORLD, certain(5))
    game.play(policy)
    prompt, own, other = game.asked[0]
    assert own.tolist() == [5] * 12 and other.tolist() == [9] * 12
    assert prompt.tolist() == [0, 1, 2, 3] * 3
    (logps, ref), (batch,) = game.policies[0], game.read
    assert_close(logps, certain(5))
    assert_close(ref, REF_LOGPS)
    assert_close(nats(batch.ref), REF_LOGPS[prompt, 5])
    assert_close(batch.preference, torch.linspace(0, 1, 12).double())


def test_games_are_drawn_anew_and_the_opponent_is_no_copy_of_the_player():
    """Against oneself, at a step size of 0: four batches of independent draws."""
    game = Game()
    game.play(start(), steps=2, lr=0.0, batch_size=40)
    draws = [side for _, *sides in game.asked for side in sides]
    for i, one in enumerate(draws):
        assert all((one != two).sum() > 20 for two in draws[:i])


# ---- steps --------------------------------------------------------------------------


class Two(nn.Module):
    """Two members with a number each."""

    members = 2

    def __init__(self):
        super().__init__()
        self.number = nn.Parameter(torch.zeros(2, dtype=torch.float64))


def test_each_member_steps_on_the_mean_of_its_own_losses():
    """Losses w₀·(1, 2, 6) and w₁·(3, 3, 0): gradients 3 and 2, or as weights say."""
    factor = torch.tensor([1.0, 2, 6, 3, 3, 0], dtype=torch.float64)
    for weight, want in (
        (None, [3, 2]),
        (torch.tensor([1.0, 1, 0.5, 1, 0, 1]), [2, 1]),
    ):
        model = Two()
        session = Session(model, Schedule(steps=1))
        session.step(model.number.repeat_interleave(3) * factor, weight)
        assert model.number.grad.tolist() == pytest.approx(want)


@pytest.mark.parametrize(("decay", "want"), [(True, [4, 3, 2, 1]), (False, [4] * 4)])
def test_the_step_size_falls_in_a_line_if_it_is_told_to(decay, want):
    """Adam's first steps of a constant gradient are as long as its step size."""
    model, at = Two(), []
    for _ in (session := Session(model, Schedule(steps=4, lr=0.04, decay=decay))):
        before = model.number.detach().clone()
        session.step(model.number.repeat_interleave(2))
        at.append((before - model.number).detach()[0].item())
    assert at == pytest.approx([0.01 * x for x in want], rel=1e-5)


def test_a_pair_of_weight_zero_teaches_a_reward_model_nothing():
    data = sample_pairs(WORLD, REF_LOGPS, 16, Annotator(), generator(0))
    model = ScoreModel.tiny(WORLD.vocab, width=16, layers=1)
    before = [p.detach().clone() for p in model.parameters()]
    silent = replace(data, weight=torch.zeros(16))
    reward.fit(model, silent, bt, bt.Config(), steps=2, batch_size=8)
    assert all(map(torch.equal, before, model.parameters()))
    reward.fit(model, data, bt, bt.Config(), steps=2, batch_size=8)
    assert not all(map(torch.equal, before, model.parameters()))
