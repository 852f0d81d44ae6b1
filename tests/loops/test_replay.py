"""Earlier batches again, and several rewards at once, as a method is given them."""

import pytest
from torch.testing import assert_close

from tests.loops.test_given_inputs import NUMBERS, Recorder, numbers, play, start, table
from workbench.core.errors import BadCall
from workbench.models.table_reward import TableReward


def test_replay_reads_earlier_batches_as_they_were_sampled():
    """Steps 0, 1, 2 with one batch kept: updates read batch 0, then 0 1, then 1 2.

    What was known at sampling stays: π_old of a batch read again is that of its own
    time, and only the policy's log-probs are those of now.
    """
    policy = start()
    spy = Recorder(policy)
    play(spy, policy, steps=3, replay=1)
    fresh = [sorted(numbers(batch).tolist()) for batch in spy.judged]
    read = [sorted(numbers(batch).tolist()) for batch in spy.read]
    assert read == [fresh[0], fresh[0], fresh[1], fresh[1], fresh[2]]
    again, first = spy.read[1], spy.read[0]
    assert_close(again.old.sum(-1).sort()[0], first.old.sum(-1).sort()[0])
    assert not again.policy.allclose(again.old)


def test_without_replay_nothing_is_read_again():
    spy = Recorder()
    play(spy, start(), steps=3)
    assert len(spy.read) == 3


def test_several_rewards_add_up_and_each_is_known():
    """r_1 is the number of the response and r_2 twice it: the score is three times."""
    spy = Recorder()
    play(spy, start(), paid=[TableReward(NUMBERS), TableReward(2 * NUMBERS)])
    batch = spy.read[0]
    parts = batch.part_scores
    assert parts.shape == (len(batch.scores), 2)
    assert_close(parts[:, 1], 2 * parts[:, 0])
    assert_close(batch.scores, 3 * parts[:, 0])


def test_one_reward_has_no_parts():
    spy = Recorder()
    policy = start()
    play(spy, policy)
    assert spy.read[0].part_scores is None
    assert_close(table(NUMBERS, spy.read[0]), spy.read[0].scores)


def test_a_run_with_replay_is_not_resumed(tmp_path):
    with pytest.raises(BadCall, match="memory is not kept"):
        play(Recorder(), start(), replay=1, resume=True, out=tmp_path)
