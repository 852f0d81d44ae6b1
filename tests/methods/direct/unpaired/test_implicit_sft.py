"""SFT as implicit reward: conjugates by definition, duality, and SFT as a case."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps, token_logps
from workbench.core.divergences import PEARSON, SQUARED_HELLINGER, TOTAL_VARIATION
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.methods.direct.unpaired import implicit_sft
from workbench.methods.direct.unpaired.implicit_sft import Config
from workbench.methods.supervised import sft
from workbench.teach.properties import PROPERTIES, Subject
from workbench.worlds.solutions import expectation, kl

ALL = [TOTAL_VARIATION, PEARSON, SQUARED_HELLINGER]
SMOOTH = [PEARSON, SQUARED_HELLINGER]
BETA, N = 0.4, TREE.n_responses
EXPERT = random_logps(3, scale=0.5)


def each(conjugates):
    return pytest.mark.parametrize("conjugate", conjugates, ids=lambda c: c.name)


def configs(offset=0.1, reduce="sum"):
    return [Config(BETA, conjugate, offset, reduce) for conjugate in ALL]


def hand_batch():
    """d = 1.5 over two tokens; the prompt and the padding must not be read."""
    return ResponseLogps(
        policy=torch.tensor([[-9.0, -1.0, -2.0, -5.0]], dtype=F64),
        ref=torch.tensor([[-7.0, -2.0, -2.5, -1.0]], dtype=F64),
        mask=torch.tensor([[False, True, True, False]]),
    )


def demonstrations(policy, ref):
    """All responses, once each."""
    (tokens, mask), (ref_tokens, _) = token_logps(TREE, policy), token_logps(TREE, ref)
    return ResponseLogps(tokens, ref_tokens, mask)


def population(loss, cfg, logits, ref, expert=EXPERT):
    """E_E[L] and its gradient in the logits of a tabular policy."""
    logits = logits.clone().requires_grad_()
    value = expert.exp() @ loss(demonstrations(logits.log_softmax(-1), ref), cfg)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def solved(conjugate):
    """A reference that makes a given π the minimiser of D_f(π‖E) + β KL, and c.

    Stationary: f′(π/E) + β log π/π_ref is constant. So π_ref ∝ π e^{f′(π/E)/β}, and
    r = −f′(π/E) = β log π/π_ref + c.
    """
    best = random_logps(4, scale=0.5)
    ratio = (best - EXPERT).exp().requires_grad_()
    (slope,) = torch.autograd.grad(conjugate.generator(ratio).sum(), ratio)
    ref = (best + slope / BETA).log_softmax(-1)
    shift = -slope - BETA * (best - ref)
    assert_close(shift, shift[:1].expand_as(shift))
    return best, ref, shift[0].item()


def primal(conjugate, policy, ref):
    """D_f(π‖E) + β KL(π‖π_ref)."""
    ratio = (policy - EXPERT).exp()
    divergence = expectation(EXPERT, conjugate.generator(ratio))
    return divergence + BETA * kl(policy, ref)


def check_hand_numbers(loss):
    """t = −0.7: t, t + t²/4 or t/(1 − t), plus 0.1; for means t = −0.4."""
    for reduce, t in (("sum", -0.7), ("mean", -0.4)):
        for cfg, star in zip(
            configs(reduce=reduce), [t, t + t**2 / 4, t / (1 - t)], strict=True
        ):
            assert_close(loss(hand_batch(), cfg).tolist(), [star + 0.1])


def check_pushes_and_reference(loss):
    """β, β (1 − 0.7/2), β/1.7² on every token; a mean shares them among two."""
    for reduce, share, r in (("sum", 1, 0.7), ("mean", 0.5, 0.4)):
        for cfg, push in zip(
            configs(reduce=reduce), [1, 1 - r / 2, (1 + r) ** -2], strict=True
        ):
            batch = hand_batch()
            batch.policy.requires_grad_()
            batch.ref.requires_grad_()
            found = torch.autograd.grad(
                loss(batch, cfg).sum(), (batch.policy, batch.ref), allow_unused=True
            )
            assert_close(-found[0], BETA * push * share * batch.mask.to(F64))
            assert found[1] is None or found[1].abs().max() == 0


def check_minus_the_loss_is_the_least_divergence_at_the_best_shift(loss):
    """−E_E[L] = min D_f(π‖E) + β KL(π‖π_ref), and both are stationary there."""
    for conjugate in SMOOTH:
        best, ref, shift = solved(conjugate)
        value, gradient = population(loss, Config(BETA, conjugate, shift), best, ref)
        assert_close(-value, primal(conjugate, best, ref))
        assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_numbers,
    check_pushes_and_reference,
    check_minus_the_loss_is_the_least_divergence_at_the_best_shift,
]


@each(ALL)
@pytest.mark.parametrize("name", PROPERTIES)
def test_generic_properties_hold_for_each_conjugate(conjugate, name):
    subject = Subject(implicit_sft.loss, ResponseLogps, Config(BETA, conjugate))
    assert PROPERTIES[name](subject) is None


@each(SMOOTH)
def test_no_policy_and_no_shift_beat_the_optimum(conjugate):
    """Weak duality: −E_E[L] ≤ D_f + β KL for all policies and shifts on either side."""
    best, ref, shift = solved(conjugate)
    least = primal(conjugate, best, ref)
    for seed in range(10, 30):
        other = (best + 0.3 * random(seed, N)).log_softmax(-1)
        assert primal(conjugate, other, ref) > least
        cfg = Config(BETA, conjugate, shift + random(seed, 1).item())
        assert -population(implicit_sft.loss, cfg, other, ref)[0] < least


@each(SMOOTH)
def test_another_shift_has_another_fixed_point(conjugate):
    best, ref, shift = solved(conjugate)
    cfg = Config(BETA, conjugate, shift + 0.5)
    gradient = population(implicit_sft.loss, cfg, best, ref)[1]
    assert gradient.abs().max() > 1e-3


@each(ALL)
def test_fixed_point_is_the_expert_reweighted_by_the_push(conjugate):
    """In the logits: −β (E w − π E_E[w]) with w = f*′(−βd − c)."""
    ref, at, cfg = (
        random_logps(1, scale=0.5),
        random_logps(5, scale=0.5),
        Config(BETA, conjugate, 0.1),
    )
    t = (-BETA * (at - ref) - 0.1).requires_grad_()
    (w,) = torch.autograd.grad(conjugate.value(t).sum(), t)
    want = -BETA * (EXPERT.exp() * w - at.exp() * expectation(EXPERT, w))
    assert_close(population(implicit_sft.loss, cfg, at, ref)[1], want)


def test_total_variation_is_sft():
    """The gradient is β times that of SFT; the value differs by β log π_ref, not c."""
    batch = demonstrations(random_logps(5), random_logps(1))
    for offset in (0.0, 3.0):
        cfg = Config(BETA, TOTAL_VARIATION, offset)
        got = implicit_sft.loss(batch, cfg)
        assert_close(got, BETA * (sft.loss(batch, sft.Config()) + random_logps(1)))
    cfg = Config(BETA, TOTAL_VARIATION)
    gradient = population(implicit_sft.loss, cfg, EXPERT, random_logps(1))[1]
    assert gradient.abs().max() < 1e-15


def test_pearson_at_its_best_shift_is_sft_and_a_quarter_of_the_variance():
    """c = −E_E[βd], and no other c is better."""
    ref, at = random_logps(1), random_logps(5)
    implicit = BETA * (at - ref)
    mean = expectation(EXPERT, implicit)
    variance = expectation(EXPERT, (implicit - mean) ** 2)
    best = Config(BETA, PEARSON, -mean.item())
    value = population(implicit_sft.loss, best, at, ref)[0]
    assert_close(value, -mean + variance / 4)
    for offset in (-1.0, 0.0, -mean.item() + 1e-3):
        other = replace(best, offset=offset)
        assert population(implicit_sft.loss, other, at, ref)[0] > value


def one_token(d, conjugate):
    """Push −dL/dd of a response with log-ratio d, at β = 0.4 and c = 0."""
    policy = torch.tensor([[d]], dtype=F64, requires_grad=True)
    batch = ResponseLogps(policy, torch.zeros(1, 1, dtype=F64), policy.detach() < 99)
    value = implicit_sft.loss(batch, Config(BETA, conjugate)).sum()
    return -torch.autograd.grad(value, policy)[0].item()


def test_pushes_are_alike_at_the_start_and_part_later():
    """At d = 0 all push β. At βd = 2 SFT pushes as ever, χ² stops, then pulls back."""
    for conjugate in ALL:
        assert one_token(0.0, conjugate) == pytest.approx(BETA)
    assert one_token(5.0, TOTAL_VARIATION) == pytest.approx(BETA)
    assert one_token(5.0, PEARSON) == pytest.approx(0)
    assert one_token(7.5, PEARSON) == pytest.approx(-BETA / 2)
    assert one_token(5.0, SQUARED_HELLINGER) == pytest.approx(BETA / 9)


def test_hellinger_pushes_at_most_a_hundred_times_as_hard():
    """Its pole at βd = −1 is a line from βd = −0.9 on."""
    assert one_token(-2.24, SQUARED_HELLINGER) == pytest.approx(BETA / 0.104**2)
    for d in (-2.3, -2.5, -400.0):
        assert one_token(d, SQUARED_HELLINGER) == pytest.approx(100 * BETA)
    assert math.isfinite(one_token(-600.0, SQUARED_HELLINGER))
