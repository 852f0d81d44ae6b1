"""The ladder of probes: the exact answer passes, and each fault fails where it should.

The faults are put into the exact answer itself, so nothing is trained here.
"""

import pytest
import torch

from workbench.worlds import probes, solutions
from workbench.worlds.probes import PROBES, broken_part, diagnose

NAMES = [probe.name for probe in PROBES]


def solved(probe, beta=None, ref=None, reward=None):
    """log π* of a probe, or of a probe with one thing wrong."""
    ref = probe.ref_logps if ref is None else ref
    reward = probe.world.gold if reward is None else reward
    return solutions.optimal_policy(ref, reward, beta or probe.beta)


def without_end(probe):
    """The optimum of a learner that never sees a response's last token."""
    world = probe.world
    tree, best = world.tree, solved(probe)
    first = tree.conditionals(best)[:, :1]
    rest = tree.conditionals(probe.ref_logps)[:, 1:]
    return tree.response_logps(torch.cat([first, rest], dim=1))


def prompts_confused(probe):
    """The optimum of a learner that does not read the prompt."""
    gold = probe.world.gold
    return solved(probe, reward=gold.mean(0, keepdim=True).expand_as(gold))


FAULTS = {
    "nothing": solved,
    "the gradient": lambda p: p.ref_logps,
    "the prompt": prompts_confused,
    "the last token": without_end,
    "the reference": lambda p: solved(p, ref=torch.zeros_like(p.ref_logps)),
    "the scale": lambda p: solved(p, beta=1.0),
}


@pytest.mark.parametrize("part", FAULTS)
def test_the_first_failure_names_the_part_that_is_broken(part):
    assert broken_part(diagnose(FAULTS[part])) == part


def test_a_wrong_sign_is_found_by_the_first_probe():
    found = diagnose(lambda p: solved(p, reward=-p.world.gold))
    assert broken_part(found) == "the gradient"


def test_every_fault_names_another_probe_and_every_probe_has_its_fault():
    assert [probe.part for probe in PROBES] == list(FAULTS)[1:]


@pytest.mark.parametrize("probe", PROBES, ids=NAMES)
def test_the_reading_of_the_optimum_is_the_gap_in_reward(probe):
    assert probe.readings(solved(probe)) == pytest.approx([probe.answer], abs=1e-12)
    pair = probe.world.gold.gather(-1, probe.pair)
    torch.testing.assert_close(
        pair[:, 0] - pair[:, 1],
        torch.full((probe.world.n_prompts,), probe.answer, dtype=torch.float64),
    )
    assert probe.low <= probe.answer <= probe.high


@pytest.mark.parametrize("probe", PROBES, ids=NAMES)
def test_the_reference_is_a_distribution_with_the_odds_it_states(probe):
    ref = probe.ref_logps
    torch.testing.assert_close(ref.logsumexp(-1), torch.zeros_like(ref[:, 0]))
    first, second = ref.gather(-1, probe.pair).unbind(-1)
    torch.testing.assert_close(
        (first - second).exp(), torch.full_like(first, probe.odds)
    )


def test_the_reading_by_hand():
    probe = PROBES[0]
    probs = torch.full((1, 7), 0.1, dtype=torch.float64)
    probs[0, probe.world.index("yes")] = 0.4
    # 0.5 · log(0.4 / 0.1), π_ref being even
    assert probe.readings(probs.log()) == pytest.approx([0.6931471805599453])


def test_of_two_prompts_the_one_further_off_is_read():
    probe = PROBES[1]
    log_probs = solved(probe).clone()
    log_probs[1] = probe.ref_logps[1]
    assert probe.readings(log_probs) == pytest.approx([0.0], abs=1e-12)
    assert probe.readings(torch.stack([log_probs, solved(probe)])) == pytest.approx(
        [0.0, 1.0], abs=1e-12
    )


def test_seeds_are_judged_one_by_one():
    both = diagnose(lambda p: torch.stack([solved(p), p.ref_logps]))
    parts = [broken_part(rows) for _, rows in both.groupby("seed")]
    assert parts == ["nothing", "the gradient"]
    assert len(both) == 2 * len(PROBES)


def test_the_answers_of_the_tiny_language_are_numbered_and_written():
    world = probes.YesNo({"yes": 1.0, "no no": -2.0}, {"(silence)": 0.5})
    texts = [world.text(i) for i in range(world.n_responses)]
    assert texts == ["(silence)", "yes", "no", "yes yes", "yes no", "no yes", "no no"]
    assert [world.index(text) for text in texts] == list(range(7))
    assert world.gold.tolist() == [[0, 1, 0, 0, 0, 0, -2], [0.5, 0, 0, 0, 0, 0, 0]]
    tokens = world.tokens(torch.tensor([1]), torch.tensor([world.index("no")]))
    assert [world.vocab.tokens[i] for i in tokens.ids[0]] == ["right?", "no", "<eos>"]
    assert world.vocab.forbidden == (0, 2, 3)
