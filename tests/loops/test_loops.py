"""Loops: they learn, repeat themselves, resume, and stop on nonsense."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from workbench.core.errors import BadRun, NonFiniteLoss
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.feedback.kinds.scored_prefixes import ScoredResponses
from workbench.loops import games, offline, online, order, reward, values
from workbench.loops.run import read
from workbench.measure.exact import Tracker
from workbench.methods.decoding import vas
from workbench.methods.direct.links import dpo
from workbench.methods.games import nash_md
from workbench.methods.policy_gradient.ppo import ppo
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.methods.reward.pairwise import bt
from workbench.models import tiny
from workbench.models.heads import ScoreModel, ValueModel
from workbench.models.policy import Policy
from workbench.worlds import people
from workbench.worlds.preference_games import population
from workbench.worlds.reviews import Reviews

WORLD = Reviews(2)
REF = tiny.reference(WORLD)
REF_LOGPS = REF.response_logps(WORLD)


def pairs(seed: int = 0, n: int = 64) -> Pairs:
    return sample_pairs(WORLD, REF_LOGPS, n, Annotator(), generator(seed))


def tracker(beta: float = 0.3) -> Tracker:
    return Tracker(WORLD, REF_LOGPS, gold=WORLD.gold, beta=beta)


def train(policy, steps=6, **rest):
    settings = {"steps": steps, "batch_size": 8, "every": 2} | rest
    settings.setdefault("measures", [tracker()])
    cfg = dpo.Config(beta=0.3)
    data = rest.pop("data", None) or pairs()
    settings.pop("data", None)
    return offline.fit(policy, REF, data, dpo, cfg, **settings)


def weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_the_same_call_twice_gives_the_same_numbers():
    first, second = (train(REF.copies(1)) for _ in range(2))
    pd.testing.assert_frame_equal(first.metrics, second.metrics, check_exact=True)
    assert torch.equal(weights(first.policy), weights(second.policy))


def test_another_seed_gives_other_numbers():
    first, second = train(REF.copies(1)), train(REF.copies(1), seed=1)
    assert not torch.equal(weights(first.policy), weights(second.policy))


def test_a_stack_trains_each_member_as_if_it_were_alone():
    data = [pairs(0), pairs(1)]
    together = train(REF.copies(2), data=Pairs.cat(data))
    for m in (0, 1):
        alone = train(REF.copies(1).member(0), data=data[m], seed=m)
        rows = together.metrics[together.metrics.seed == m].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, alone.metrics, atol=2e-4, rtol=1e-3)


def test_seeds_asks_for_a_stack_with_a_data_set_each():
    data = [pairs(0), pairs(1)]
    by_hand = train(REF.copies(2), data=Pairs.cat(data))
    asked = train(REF, data=data, seeds=2)
    pd.testing.assert_frame_equal(asked.metrics, by_hand.metrics)
    with pytest.raises(ValueError, match="3 seeds need 3 data sets, not 2"):
        train(REF, data=data, seeds=3)


def test_an_interrupted_run_resumes_bit_for_bit(tmp_path):
    def make():
        return REF.copies(1).member(0)

    whole = train(make(), out=tmp_path / "whole")

    class Killed(Exception):
        pass

    calls = iter(range(100))

    def bomb(policy):
        if next(calls) == 2:
            raise Killed
        return tracker()(policy)

    with pytest.raises(Killed):
        train(make(), out=tmp_path / "cut", measures=[bomb])
    resumed = train(make(), out=tmp_path / "cut", resume=True)
    assert torch.equal(weights(whole.policy), weights(resumed.policy))
    files = ("metrics.csv", "run.json", "policy/model.safetensors")
    for name in files:
        ours, theirs = tmp_path / "cut" / name, tmp_path / "whole" / name
        assert ours.read_bytes() == theirs.read_bytes(), name


def test_a_folder_of_another_run_is_not_resumed(tmp_path):
    train(REF.copies(1).member(0), out=tmp_path)
    with pytest.raises(BadRun, match="another run"):
        train(REF.copies(1).member(0), out=tmp_path, resume=True, lr=5e-3)


def test_a_run_reads_back_as_it_was_written(tmp_path):
    run = train(REF.copies(1).member(0), out=tmp_path)
    config, metrics = read(tmp_path)
    assert config["method"] == "dpo" and config["method_config"] == {"beta": 0.3}
    pd.testing.assert_frame_equal(metrics, run.metrics, check_exact=True)


def test_a_loss_that_is_not_finite_stops_with_step_and_row():
    def loss(batch, cfg):
        values = dpo.loss(batch, cfg)
        spoilt = torch.zeros_like(values)
        spoilt[3] = torch.nan
        return values + spoilt

    broken = SimpleNamespace(loss=loss, card=dpo.card)
    policy = REF.copies(1)
    before = weights(policy).clone()
    with pytest.raises(NonFiniteLoss, match="step 0.*row 3") as caught:
        offline.fit(policy, REF, pairs(), broken, dpo.Config(), steps=3, batch_size=8)
    assert caught.value.rows == [3]
    assert torch.equal(weights(policy), before)


def test_every_epoch_visits_every_row_once():
    seen = torch.cat([order.batch(0, 2, step, 48, 6) for step in range(4)])
    assert sorted(seen.tolist()) == list(range(48))
    again = torch.cat([order.batch(0, 2, step, 48, 6) for step in range(4, 8)])
    assert sorted(again.tolist()) == list(range(48))
    assert not torch.equal(seen, again)


def test_weights_of_examples_scale_their_gradient():
    data = pairs()
    none = Pairs(data.chosen, data.rejected, torch.zeros(len(data)))
    policy = REF.copies(1)
    before = weights(policy).clone()
    train(policy, data=none)
    assert torch.equal(weights(policy), before)


def test_dpo_moves_towards_the_optimum_and_a_swapped_pair_moves_away():
    good = train(
        REF.copies(2), steps=60, data=Pairs.cat([pairs(s, 400) for s in (0, 1)])
    )
    wrong = SimpleNamespace(loss=dpo.mistakes["1 swapped pair"], card=dpo.card)
    data = Pairs.cat([pairs(s, 400) for s in (0, 1)])
    bad = offline.fit(
        REF.copies(2), REF, data, wrong, dpo.Config(0.3), steps=60, batch_size=8,
        measures=[tracker()], every=60,
    )  # fmt: skip
    start = good.metrics[good.metrics.step == 0].kl_to_optimum.mean()
    assert good.last.kl_to_optimum.mean() < 0.7 * start
    assert bad.last.kl_to_optimum.mean() > 1.2 * start


def test_a_reward_model_learns_the_order_of_held_out_pairs():
    models = [ScoreModel.tiny(WORLD.vocab, width=32, layers=1, seed=s) for s in (0, 1)]
    data = Pairs.cat([pairs(s, 400) for s in (0, 1)])
    run = reward.fit(ScoreModel.stack(models), data, bt, bt.Config(), steps=80)
    scores = run.policy.score_all(WORLD)
    held_out = sample_pairs(
        WORLD, REF_LOGPS, 400, Annotator(deterministic=True), generator(9)
    )
    for table in scores:
        gap = (
            table[held_out.chosen.prompt, held_out.chosen.response]
            - table[held_out.rejected.prompt, held_out.rejected.response]
        )
        assert (gap > 0).double().mean() > 0.75


def test_rloo_climbs_the_reward_it_is_given():
    run = online.fit(
        REF.copies(2), REF, WORLD, online.TableReward(WORLD.gold), rloo,
        rloo.Config(beta=0.3), steps=30, measures=[tracker()], every=30,
    )  # fmt: skip
    first, last = run.metrics[run.metrics.step == 0], run.last
    assert (last.gold.to_numpy() > first.gold.to_numpy() + 0.5).all()


def test_ppo_trains_policy_and_critic():
    critic = ValueModel.stack(
        [ValueModel.tiny(WORLD.vocab, width=32, layers=1, seed=s) for s in (0, 1)]
    )
    run = online.fit(
        REF.copies(2), REF, WORLD, online.TableReward(WORLD.gold), ppo,
        ppo.Config(beta=0.3), critic=critic, steps=10, epochs=2, minibatches=2,
        measures=[tracker()], every=10,
    )  # fmt: skip
    first, last = run.metrics[run.metrics.step == 0], run.last
    assert (last.gold.to_numpy() > first.gold.to_numpy() + 0.3).all()
    tokens = WORLD.corpus(8, generator(0))
    with torch.no_grad():
        assert run.critic.network.member(0) is not None
        assert run.critic.values(tokens).abs().max() > 0.01


def test_each_member_of_a_stack_may_have_a_reward_of_its_own():
    table = torch.stack([WORLD.gold, -WORLD.gold])
    tokens = type(WORLD.corpus(4, generator(0))).cat(
        [WORLD.corpus(4, generator(0))] * 2
    )
    rewards = online.TableReward(table)(tokens)
    torch.testing.assert_close(rewards[:4], -rewards[4:])


def test_minibatches_keep_groups_whole_and_members_side_by_side():
    stream = generator(0, "order")
    parts = list(order.minibatches(48, members=2, group=4, parts=2, stream=stream))
    assert sorted(torch.cat(parts).tolist()) == list(range(48))
    for rows in parts:
        member = rows.unflatten(0, (2, -1)) // 24
        assert torch.equal(member, torch.tensor([[0], [1]]).expand_as(member))
        groups = rows.unflatten(0, (-1, 4)) // 4
        assert (groups == groups[:, :1]).all()


def test_nash_md_closes_the_duality_gap_of_a_cyclic_crowd():
    from workbench.worlds.preference_games import duality_gap

    crowd = population(people.rewards(WORLD), people.shares())

    def gap(policy):
        log_probs = policy.response_logps(WORLD).reshape(-1, 4, WORLD.n_responses)
        return pd.DataFrame(
            {
                "gap": [
                    duality_gap(crowd, x, REF_LOGPS, 0.1).mean().item()
                    for x in log_probs
                ]
            }
        )

    run = games.fit(
        REF.copies(2), REF, WORLD, lambda p, a, b: crowd[p, a, b], nash_md,
        nash_md.Config(tau=0.1), steps=40, measures=[gap], every=40,
    )  # fmt: skip
    first = run.metrics[run.metrics.step == 0].gap.mean()
    assert run.last.gap.mean() < 0.6 * first


def test_loading_a_trained_policy_from_its_run_folder_gives_the_same_distribution(
    tmp_path,
):
    run = train(REF.copies(1).member(0), out=tmp_path)
    loaded = Policy.load(tmp_path / "policy")
    with torch.no_grad():
        assert torch.equal(
            loaded.response_logps(WORLD), run.policy.response_logps(WORLD)
        )


def test_a_critic_is_kept_in_its_run_folder(tmp_path):
    tokens = WORLD.draw(REF_LOGPS, 16, generator(0))
    data = ScoredResponses(tokens, WORLD.gold_reward(tokens))
    critic = ValueModel.tiny(WORLD.vocab, width=16, layers=1)
    values.fit(critic, data, vas, vas.Config(), steps=2, batch_size=8, out=tmp_path)
    assert (tmp_path / "policy" / "model.safetensors").is_file()
