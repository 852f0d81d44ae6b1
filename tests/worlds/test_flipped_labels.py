"""The policy where DPO's mean loss on flipped labels is least."""

import pytest
import torch

from workbench.worlds import flipped_labels, solutions
from workbench.worlds.reviews import Reviews

REF = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
REWARD = torch.tensor([1.0, 0.2, -0.7], dtype=torch.float64)
BETA = 0.5


def mean_loss(logps: torch.Tensor, kept: float) -> torch.Tensor:
    """Over all ordered pairs of draws from the reference, labels in expectation."""
    d = logps - REF
    chance = 0.5 + kept * ((REWARD[:, None] - REWARD).sigmoid() - 0.5)
    losses = -chance * torch.nn.functional.logsigmoid(BETA * (d[:, None] - d))
    return REF.exp() @ losses @ REF.exp()


def test_two_responses_by_hand():
    """One pair: β D is the log-odds of ½ + t(p − ½)."""
    best = flipped_labels.dpo_minimiser(REF[:2].log_softmax(-1), REWARD[:2], BETA, 0.6)
    ratio = best - REF[:2].log_softmax(-1)
    chance = 0.5 + 0.6 * (torch.tensor(0.8).double().sigmoid() - 0.5)
    torch.testing.assert_close(BETA * (ratio[0] - ratio[1]), chance.logit())


def test_it_is_the_optimum_if_everything_is_kept():
    best = flipped_labels.dpo_minimiser(REF, REWARD, BETA)
    torch.testing.assert_close(best, solutions.optimal_policy(REF, REWARD, BETA))


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.96])
def test_the_mean_loss_is_stationary_there(kept):
    logits = flipped_labels.dpo_minimiser(REF, REWARD, BETA, kept).requires_grad_()
    mean_loss(logits.log_softmax(-1), kept).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(3).double(), atol=1e-9, rtol=0)


def test_nothing_kept_is_the_reference_and_more_is_nearer_to_the_optimum():
    world = Reviews(2)
    ref, best = world.author, solutions.optimal_policy(world.author, world.gold, 1.0)
    assert solutions.kl(best, ref).min() > 0.1
    far = []
    for kept in (0.0, 0.36, 0.6, 1.0):
        one = flipped_labels.dpo_minimiser(ref, world.gold, 1.0, kept)
        far.append(solutions.kl(one, best).mean().item())
        if not kept:
            torch.testing.assert_close(one, ref.log_softmax(-1))
    assert far == sorted(far, reverse=True) and far[-1] < 1e-12


def test_more_than_everything_has_no_minimum():
    with pytest.raises(ValueError, match="no minimum"):
        flipped_labels.dpo_minimiser(REF, REWARD, BETA, 1.5)
