"""OPPO by hand, where its gradients stop, and what writing from a code converges to."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import (
    F64,
    TREE,
    every_pair,
    random,
    random_logps,
    token_logps,
)
from tests.methods.tokenwise import gradients
from workbench.feedback.kinds.latent_pairs import LatentPairLogps
from workbench.methods.direct.data import oppo

CFG = oppo.Config(preference=0.1, ideal=0.3, norm=0.05, margin=1.5)
N = TREE.n_responses


def row(*numbers):
    return torch.tensor([numbers], dtype=F64)


def hand_batch(rejected=(3.0, 0.0)):
    """z* = (3, 1), z_c = (0, 5) at distance 5, z_r = (3, 0) at distance 1.

    Log-probs −1 − 2 of the chosen and −0.5 of the rejected response; the rest is prompt
    and padding.
    """
    masks = torch.tensor([[[False, True, True]], [[False, True, False]]])
    return LatentPairLogps(
        policy_chosen=row(-9.0, -1.0, -2.0), policy_rejected=row(-8.0, -0.5, -7.0),
        chosen_mask=masks[0], rejected_mask=masks[1], code_chosen=row(0.0, 5.0),
        code_rejected=row(*rejected), policy_ideal=row(3.0, 1.0),
    )  # fmt: skip


def check_hand_number(loss):
    """3.5 of words, T = 5 − 1 + 1.5 with 0.1 + 0.3, (5 − 1)² + (3 − 1)² with 0.05."""
    assert_close(loss(hand_batch(), CFG).tolist(), [3.5 + 0.4 * 5.5 + 0.05 * 20])


def check_hand_gradient(loss):
    """z_c: 0.1(−3, 4)/5 + 0.05 · 2 · 4(0, 1); z_r: 0.1(0, 1) + 0.05 · 2 · 2(1, 0).

    z*: 0.3((3, −4)/5 − (0, 1)). Each token of either response: −1.
    """
    found = gradients(loss, hand_batch(), CFG)
    assert_close(found["code_chosen"], row(-0.06, 0.08 + 0.4))
    assert_close(found["code_rejected"], row(0.2, 0.1))
    assert_close(found["policy_ideal"], row(0.18, -0.24 - 0.3))
    assert_close(found["policy_chosen"], row(0.0, -1.0, -1.0))
    assert_close(found["policy_rejected"], row(0.0, -1.0, 0.0))


def check_beyond_the_margin_preferences_are_silent(loss):
    """z_r = (3, 8) is 7 from z*, z_c is 5: at m = 1.5 nothing moves z*, at 2.5 all."""
    batch = hand_batch(rejected=(3.0, 8.0))
    words = 3.5 + 0.05 * (16 + (math.sqrt(73) - 1) ** 2)
    for margin, height in ((1.5, 0.0), (2.5, 0.5)):
        cfg = oppo.Config(preference=0.1, ideal=0.3, norm=0.05, margin=margin)
        assert_close(loss(batch, cfg).tolist(), [words + 0.4 * height])
        moved = gradients(loss, batch, cfg)["policy_ideal"].abs().max() > 0
        assert moved == (height > 0)


def check_few_codes_learn_the_data_given_the_code(loss):
    """A table π(y|z), codes z(y): Σ μ_i μ_j L(i, j) is flat at p_data(y|z) alone."""
    mu, code = random_logps(1), torch.arange(N) % 3
    place = torch.eye(3, dtype=F64)[code]
    i, j = every_pair(N)
    cfg = oppo.Config(preference=0.1, ideal=0.3, norm=0.05)

    def slope(table):
        logits = table.clone().requires_grad_()
        parts = [token_logps(TREE, row) for row in logits.log_softmax(-1)]
        tokens = torch.stack([part[0] for part in parts])[code, torch.arange(N)]
        mask = parts[0][1]
        batch = LatentPairLogps(
            tokens[i], tokens[j], mask[i], mask[j], place[i], place[j], place[i] * 0
        )
        value = (mu[i] + mu[j]).exp() @ loss(batch, cfg)
        return torch.autograd.grad(value, logits)[0].abs().max()

    member = code == torch.arange(3)[:, None]
    given = torch.where(member, mu, -60.0).log_softmax(-1)
    assert slope(given) < 1e-12 < 0.01 < slope(given + 0.3 * random(2, 3, N))


CHECKS = [
    check_hand_number,
    check_hand_gradient,
    check_beyond_the_margin_preferences_are_silent,
    check_few_codes_learn_the_data_given_the_code,
]


def test_the_triplet_is_zero_if_and_only_if_the_chosen_code_is_nearer_by_the_margin():
    ideal, chosen, rejected = random(3, 3, 500, 4)
    got = oppo.triplet(ideal, chosen, rejected, 0.5)
    rows = zip(ideal, chosen, rejected, strict=True)
    holds = torch.stack(
        [torch.dist(i, c) + 0.5 <= torch.dist(i, r) for i, c, r in rows]
    )
    assert ((got == 0) == holds).all()
    assert 20 < holds.sum() < 480


def test_with_equal_strengths_the_two_triplets_have_the_gradient_of_one_that_is_free():
    cfg = oppo.Config(preference=0.3, ideal=0.3, norm=0.0, margin=1.5)
    found = gradients(oppo.loss, hand_batch(), cfg)

    def free(batch, cfg):
        codes = (batch.code_chosen, batch.code_rejected)
        return 0.3 * oppo.triplet(batch.policy_ideal, *codes, 1.5)

    expected = gradients(free, hand_batch(), cfg)
    for name in ("code_chosen", "code_rejected", "policy_ideal"):
        assert_close(found[name], expected[name])


def test_a_code_at_the_ideal_or_at_zero_has_a_finite_gradient():
    batch = hand_batch(rejected=(3.0, 1.0))
    batch = LatentPairLogps(**vars(batch) | {"code_chosen": row(0.0, 0.0)})
    found = gradients(oppo.loss, batch, CFG)
    assert all(g.isfinite().all() for g in found.values())
