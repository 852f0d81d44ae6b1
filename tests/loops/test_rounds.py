"""Rounds: who writes, who is asked, what each update reads, and that it learns."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from workbench.core.errors import BadCall
from workbench.core.logps import sequence_logps
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.round_pairs import RoundPairLogps
from workbench.loops import rounds
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session
from workbench.measure.exact import Tracker
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import infonca
from workbench.methods.iterative import inpo
from workbench.models import tiny
from workbench.models.policy import Policy, TabularPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(2)
REF = tiny.reference(WORLD)
REF_LOGPS = REF.response_logps(WORLD).detach()
CFG = dpo.Config(beta=0.3)
TRACKER = Tracker(WORLD, REF_LOGPS, gold=WORLD.gold, beta=0.3)


def bradley_terry(one: Tokens, two: Tokens) -> torch.Tensor:
    """p(one ≻ two) of an annotator who perceives the gold reward."""
    return (WORLD.gold_reward(one) - WORLD.gold_reward(two)).sigmoid()


def lower_number_wins(chance: float):
    """The response with the lower number wins this often; a tie is even."""

    def preference(one, two):
        gap = (two.response - one.response).sign()
        return 0.5 + (chance - 0.5) * gap.double()

    return preference


def train(policy, preference=bradley_terry, method=dpo, cfg=CFG, **rest):
    settings = {"steps": 6, "batch_size": 8, "every": 2, "measures": [TRACKER]}
    return rounds.fit(policy, REF, WORLD, preference, method, cfg, **settings | rest)


def weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def spy(seen: list) -> SimpleNamespace:
    """INPO that keeps what each update reads."""

    def loss(batch, cfg):
        seen.append(batch)
        return inpo.loss(batch, cfg)

    return SimpleNamespace(card=inpo.card, reads=RoundPairLogps, loss=loss)


def written(policy, preference, n=4000, seed=0):
    """The pairs of one round."""
    session = Session(policy, Schedule(steps=1, seed=seed))
    asked = torch.arange(n) % WORLD.n_prompts
    return rounds.collect(policy, WORLD, preference, asked, session, 0)


# ---- it learns ----------------------------------------------------------------------


def test_dpo_trains_by_rounds_and_moves_away_with_swapped_pairs():
    """Iterative DPO with a fixed reference: its minimiser is π*_β all along."""
    swapped = SimpleNamespace(loss=dpo.mistakes["1 swapped pair"], card=dpo.card)
    for method, better in ((dpo, True), (swapped, False)):
        policy = TabularPolicy(WORLD, REF_LOGPS)
        run = train(policy, method=method, steps=30, batch_size=64, lr=0.1, every=30)
        first, last = run.metrics.kl_to_optimum
        assert last < 0.7 * first if better else last > 1.3 * first


def test_a_network_trains_by_rounds():
    run = train(REF.copies(2), steps=12, batch_size=32, updates=2, every=12)
    first, last = run.metrics[run.metrics.step == 0], run.last
    assert (last.gold.to_numpy() > first.gold.to_numpy() + 0.3).all()
    assert run.config["loop"] == "rounds" and run.config["updates"] == 2


def test_the_same_call_twice_gives_the_same_numbers_and_another_seed_others():
    runs = (train(REF.copies(1), steps=3, seed=seed) for seed in (0, 0, 1))
    one, two, other = runs
    pd.testing.assert_frame_equal(one.metrics, two.metrics, check_exact=True)
    assert torch.equal(weights(one.policy), weights(two.policy))
    assert not torch.equal(weights(one.policy), weights(other.policy))


def test_an_interrupted_run_resumes_bit_for_bit(tmp_path):
    class Killed(Exception):
        pass

    def make():
        return REF.copies(1).member(0)

    calls = iter(range(100))

    def bomb(policy):
        if next(calls) == 2:
            raise Killed
        return TRACKER(policy)

    whole = train(make(), out=tmp_path / "whole", updates=2)
    with pytest.raises(Killed):
        train(make(), out=tmp_path / "cut", updates=2, measures=[bomb])
    resumed = train(make(), out=tmp_path / "cut", updates=2, resume=True)
    assert torch.equal(weights(whole.policy), weights(resumed.policy))
    for name in ("metrics.csv", "run.json", "policy/model.safetensors"):
        ours, theirs = tmp_path / "cut" / name, tmp_path / "whole" / name
        assert ours.read_bytes() == theirs.read_bytes(), name


# ---- what a round reads -------------------------------------------------------------


def totals(batch: RoundPairLogps, name: str) -> torch.Tensor:
    """Nats per response of a field, chosen and rejected, in order of size."""
    batches = [
        sequence_logps(getattr(batch, f"{name}_{side}"), getattr(batch, f"{side}_mask"))
        for side in ("chosen", "rejected")
    ]
    return torch.cat(batches).detach().sort().values


def test_the_last_iterate_is_the_policy_that_began_the_round():
    """Three updates per round: the first finds π = π_t, the others have left it."""
    seen, near = [], {"atol": 1e-4, "rtol": 0}
    train(REF.copies(1), method=spy(seen), cfg=inpo.Config(), steps=3, updates=3)
    assert len(seen) == 9
    for first, *later in (seen[0:3], seen[3:6], seen[6:9]):
        assert_close(first.policy_chosen, first.old_chosen, **near)
        assert_close(first.policy_rejected, first.old_rejected, **near)
        for batch in later:
            assert_close(totals(batch, "old"), totals(first, "old"))
            assert (totals(batch, "policy") - totals(batch, "old")).abs().max() > 1e-3
    assert_close(totals(seen[0], "old"), totals(seen[0], "ref"), **near)
    assert (totals(seen[3], "old") - totals(seen[3], "ref")).abs().max() > 1e-3


def test_the_reference_stays_the_reference():
    """Its log-prob of every response is one of π_ref's, however far π_t has gone."""
    seen = []
    train(REF.copies(1), method=spy(seen), cfg=inpo.Config(), steps=4, lr=1e-2)
    for batch in seen:
        gap = totals(batch, "ref")[:, None] - REF_LOGPS.flatten()
        assert gap.abs().min(-1).values.max() < 1e-4
    gap = totals(seen[-1], "old")[:, None] - REF_LOGPS.flatten()
    assert gap.abs().min(-1).values.max() > 1e-2


def test_a_round_asks_once_and_learns_as_often_as_it_is_told():
    """Prompts come in turn, two responses to each; every member asks the same ones."""
    seen, asked = [], []

    def preference(one, two):
        assert torch.equal(one.prompt, two.prompt)
        asked.append(one.prompt.tolist())
        return bradley_terry(one, two)

    settings = {"steps": 3, "batch_size": 3, "updates": 4}
    known = {"method": spy(seen), "cfg": inpo.Config()}
    train(REF.copies(2), preference, **known, **settings)
    assert asked == [[0, 1, 2] * 2, [3, 0, 1] * 2, [2, 3, 0] * 2]
    assert len(seen) == 12 and all(len(x.preference) == 6 for x in seen)


def test_every_round_draws_anew():
    """New responses to the same prompts, and new labels to the same responses."""
    seen, still = [], TabularPolicy(WORLD, REF_LOGPS)
    train(still, method=spy(seen), cfg=inpo.Config(), steps=2, batch_size=40, lr=0.0)
    assert (totals(seen[0], "old") - totals(seen[1], "old")).abs().max() > 0.1

    class Two(TabularPolicy):
        def sample(self, world, prompt, generator, temperature=1.0):
            replies.append(3 if len(replies) % 2 == 0 else 5)
            return world.tokens(prompt, torch.full_like(prompt, replies[-1]))

    replies, asked = [], torch.arange(40) % WORLD.n_prompts
    policy, even = Two(WORLD, REF_LOGPS), lower_number_wins(0.5)
    session = Session(policy, Schedule(steps=2))
    labels = [
        rounds.collect(policy, WORLD, even, asked, session, step).pairs.chosen.response
        for step in (0, 0, 1)
    ]
    assert torch.equal(labels[0], labels[1]) and not torch.equal(labels[0], labels[2])


def test_more_updates_go_further():
    far = []
    for updates in (1, 4):
        policy = TabularPolicy(WORLD, REF_LOGPS)
        run = train(policy, steps=2, updates=updates, lr=0.05)
        far.append(run.last.kl.item())
    assert far[1] > 2 * far[0]


@pytest.mark.parametrize("updates", [0, -1])
def test_a_round_without_an_update_is_refused(updates):
    with pytest.raises(BadCall, match="at least one update"):
        train(REF.copies(1), updates=updates)


def test_what_moves_after_each_step_is_called_after_each_update():
    calls = []
    method = SimpleNamespace(
        card=replace(dpo.card, hooks=("after_step",)),
        loss=dpo.loss,
        after_step=lambda policy, cfg: calls.append(weights(policy)),
    )
    policy = TabularPolicy(WORLD, REF_LOGPS)
    train(policy, method=method, steps=3, updates=2)
    assert len(calls) == 6
    assert torch.equal(calls[-1], weights(policy))
    assert not torch.equal(calls[-2], calls[-1])


def test_a_loss_that_reads_something_else_is_refused():
    with pytest.raises(BadCall, match="reads"):
        train(REF.copies(1), method=infonca, cfg=infonca.Config())


# ---- labels -------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.0, 0.2, 0.8, 1.0])
def test_labels_follow_the_preference_and_the_batch_is_told_it(chance):
    data = written(TabularPolicy(WORLD, REF_LOGPS), lower_number_wins(chance))
    gap = data.pairs.rejected.response - data.pairs.chosen.response
    differ = gap != 0
    share = (gap > 0)[differ].double().mean()
    assert abs(share - chance) < (0.03 if 0 < chance < 1 else 1e-9)
    told = torch.where(gap > 0, chance, 1 - chance)
    told = torch.where(differ, told, 0.5).double()
    assert_close(data.preference, told)


def test_both_responses_have_the_distribution_of_the_policy():
    """Even labels: chosen and rejected are draws of π_t, and not the same draw."""
    data = written(TabularPolicy(WORLD, REF_LOGPS), lower_number_wins(0.5))
    asked = data.pairs.chosen.prompt
    assert torch.equal(asked, torch.arange(len(asked)) % WORLD.n_prompts)
    expected = (REF_LOGPS.exp() * WORLD.gold).sum(-1).mean()
    for side in (data.pairs.chosen, data.pairs.rejected):
        assert abs(WORLD.gold_reward(side).mean() - expected) < 0.1
    same = data.pairs.chosen.response == data.pairs.rejected.response
    twice = (2 * REF_LOGPS).exp().sum(-1).mean()
    assert abs(same.double().mean() - twice) < 0.03


@pytest.mark.parametrize("policy", [REF, TabularPolicy(WORLD, REF_LOGPS)])
def test_a_pair_of_equal_responses_weighs_nothing_and_every_other_one(policy):
    """Also where the two sides were written in batches of other widths."""
    policy = policy.copies(1).member(0) if isinstance(policy, Policy) else policy
    data = written(policy, bradley_terry, n=400)
    same = data.pairs.chosen.response == data.pairs.rejected.response
    assert same.any() and not same.all()
    assert_close(data.weight, (~same).double())


def test_a_loss_on_equal_pairs_alone_is_not_felt():
    """It is 1 where both responses are the same, in whatever order the rows come."""

    def loss(batch, cfg):
        gap = batch.chosen.logps() - batch.rejected.logps()
        count.append((gap == 0).sum().item())
        return (gap == 0).double() + 0 * gap

    count = []
    method = SimpleNamespace(card=dpo.card, loss=loss, reads=PairLogps)
    policy = TabularPolicy(WORLD, REF_LOGPS)
    run = train(policy, method=method, steps=2, updates=3, batch_size=400, every=1)
    assert min(count) > 10
    assert run.metrics.loss.tolist()[1:] == [0, 0]


def test_equal_pairs_are_counted_in_the_mean():
    """At π_ref each pair costs log 2: the mean is log 2 times the share that differ."""
    policy = TabularPolicy(WORLD, REF_LOGPS)
    weight = written(policy, bradley_terry, n=100).weight
    run = train(policy, steps=1, batch_size=100, every=1)
    assert 0.5 < weight.mean() < 1
    assert run.last.loss.item() == pytest.approx(math.log(2) * weight.mean().item())


# ---- a stack ------------------------------------------------------------------------


def test_a_member_of_a_stack_is_what_it_would_be_alone(monkeypatch):
    """With the responses that it wrote in the stack, and labels without chance."""
    draw, tape, alone = Policy.sample, [], []

    def record(self, *args, **kwargs):
        tape.append(draw(self, *args, **kwargs))
        return tape[-1]

    settings = {"preference": lower_number_wins(1.0), "updates": 2, "steps": 4}
    with monkeypatch.context() as patch:
        patch.setattr(Policy, "sample", record)
        stack = train(REF.copies(2), **settings)
    for m in (0, 1):
        rows = slice(8 * m, 8 * m + 8)
        again = iter([tokens[rows] for tokens in tape])
        with monkeypatch.context() as patch:
            patch.setattr(Policy, "sample", lambda self, *_, it=again, **__: next(it))
            alone.append(train(REF.copies(1).member(0), seed=m, **settings))
        rows = stack.metrics[stack.metrics.seed == m].reset_index(drop=True)
        near = {"atol": 2e-4, "rtol": 1e-3}
        pd.testing.assert_frame_equal(rows, alone[m].metrics, **near)
    assert (alone[0].last.gold.item() - alone[1].last.gold.item()) != 0


def test_the_first_member_does_not_notice_the_second():
    """One stream writes for all members in turn: the first is drawn as if alone."""
    stack, alone = train(REF.copies(2)), train(REF.copies(1))
    rows = stack.metrics[stack.metrics.seed == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, alone.metrics, atol=2e-4, rtol=1e-3)
    other = stack.metrics[stack.metrics.seed == 1].reset_index(drop=True)
    assert (other.gold - rows.gold).abs().max() > 1e-4
