"""SFT by hand, and its minimiser over all responses of a small world."""

import math
from dataclasses import replace

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps, token_logps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.methods.supervised import sft
from workbench.worlds.solutions import kl

CFG = sft.Config()
POLICY = torch.tensor([[-9.0, -1, -2, -7], [-9.0, -0.5, -0.25, -1.25]], dtype=F64)
MASK = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 1]], dtype=torch.bool)


def hand_batch(policy=POLICY):
    return ResponseLogps(policy=policy, ref=torch.zeros_like(POLICY), mask=MASK)


def expected_gradient(loss, data, at, cfg=CFG):
    """Gradient of Σ p_data(y) L(y) in the logits of a tabular policy."""
    logits = at.clone().requires_grad_()
    tokens, mask = token_logps(TREE, logits.log_softmax(-1))
    batch = ResponseLogps(tokens, torch.zeros_like(tokens), mask)
    return torch.autograd.grad(data.exp() @ loss(batch, cfg), logits)[0]


def check_nats_of_the_response_tokens(loss):
    """1 + 2 and 0.5 + 0.25 + 1.25; the prompt's 9 and the padding's 7 are not read."""
    assert_close(loss(hand_batch(), CFG), torch.tensor([3.0, 2.0], dtype=F64))


def check_gradient_is_minus_one_on_response_tokens(loss):
    """L = −Σ_t log π_t, so dL/d log π_t = −1 inside the mask and 0 outside."""
    policy = POLICY.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(hand_batch(policy), CFG).sum(), policy)
    assert_close(gradient, -MASK.to(F64))


def check_data_distribution_is_stationary(loss):
    """Σ_y p(y) ∇log π(y) = ∇ Σ_y π(y) = 0 where π = p."""
    data = random_logps(1)
    assert expected_gradient(loss, data, data).abs().max() < 1e-12


CHECKS = [
    check_nats_of_the_response_tokens,
    check_gradient_is_minus_one_on_response_tokens,
    check_data_distribution_is_stationary,
]


def test_mean_over_tokens_divides_by_the_length_of_each_response():
    mean = sft.loss(hand_batch(), sft.Config(reduce="mean"))
    assert_close(mean, torch.tensor([3 / 2, 2 / 3], dtype=F64))


def test_mean_over_tokens_has_the_data_distribution_over_length_as_its_minimiser():
    """Σ p(y)/|y| log π(y) is a likelihood with weights p(y)/|y|."""
    data, cfg = random_logps(1), sft.Config(reduce="mean")
    _, mask = token_logps(TREE, data)
    tilted = (data - mask.sum(-1).double().log()).log_softmax(-1)
    assert expected_gradient(sft.loss, data, tilted, cfg).abs().max() < 1e-12
    assert expected_gradient(sft.loss, data, data, cfg).abs().max() > 1e-3


def test_sft_on_chosen_responses_is_a_noisy_best_of_two():
    """Distribution of the chosen one: Σ_j μ_i μ_j 2 P_ij = 2 μ_i B_i, at most twice μ.

    With noise-free labels and no ties, B_i is the rank of i under μ, and the KL is at
    most that of a rank uniform on (0, 1): ∫ 2u log 2u du = log 2 − 1/2.
    """
    mu, reward = random_logps(2), 3 * random(3, TREE.n_responses)
    for scale in (1.0, 1e9):
        prefers = (scale * (reward[:, None] - reward)).sigmoid()
        chosen = mu + (2 * (prefers * mu.exp()).sum(-1)).log()
        assert_close(chosen.exp().sum(), torch.tensor(1.0, dtype=F64))
        assert expected_gradient(sft.loss, chosen, chosen).abs().max() < 1e-12
        assert (chosen - mu).max() <= math.log(2)
        assert 0 < kl(chosen, mu) <= math.log(2) - 0.5


def test_reference_is_not_read():
    batch = hand_batch()
    other = replace(batch, ref=torch.full_like(POLICY, -3.0))
    assert_close(sft.loss(batch, CFG), sft.loss(other, CFG))
