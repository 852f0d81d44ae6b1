"""KL estimators: values by hand, gradients by enumeration of six outcomes."""

import math

import pytest
import torch

from workbench.core.kl import categorical_kl, k1, k2, k3
from workbench.core.seeds import generator

LOGITS = torch.tensor([0.3, -1.0, 0.8, 0.0, -0.4, 1.1], dtype=torch.float64)
REF = torch.tensor([0.0, 0.5, 0.2, -0.7, 0.9, -0.1]).double().log_softmax(0)


def expected_gradient(estimator):
    """Σ_y π(y) ∇ estimator(log π(y) − log π_ref(y)), the samples held fixed."""
    logits = LOGITS.clone().requires_grad_()
    logps = logits.log_softmax(0)
    (gradient,) = torch.autograd.grad(
        (logps.detach().exp() * estimator(logps - REF)).sum(), logits
    )
    return gradient


def gradient_of(divergence):
    logits = LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(divergence(logits.log_softmax(0)), logits)
    return gradient


def test_values_by_hand():
    logratio = torch.tensor([math.log(2.0), -math.log(2.0), 0.0], dtype=torch.float64)
    log2 = math.log(2.0)
    assert k1(logratio).tolist() == pytest.approx([log2, -log2, 0])
    assert k2(logratio).tolist() == pytest.approx([log2**2 / 2, log2**2 / 2, 0])
    # e^{−log 2} − 1 + log 2 and e^{log 2} − 1 − log 2
    assert k3(logratio).tolist() == pytest.approx([log2 - 0.5, 1 - log2, 0])


def test_k3_is_exact_and_not_negative_for_tiny_log_ratios():
    tiny = torch.tensor([1e-4, -1e-4, 1e-6], dtype=torch.float64)
    torch.testing.assert_close(k3(tiny), tiny**2 / 2, rtol=1e-3, atol=0)
    assert (k3(tiny) > 0).all()


def test_categorical_kl_by_hand():
    logps = torch.tensor([[0.5, 0.5], [1.0, 0.0]]).double().log()
    ref = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).double().log()
    # ½ log 2 + ½ log ⅔ = ½ log 4/3; a certain outcome costs log 2
    expected = [math.log(4 / 3) / 2, math.log(2)]
    assert categorical_kl(logps, ref).tolist() == pytest.approx(expected)


def test_kl_is_infinite_where_only_the_reference_is_zero():
    half = torch.tensor([0.5, 0.5]).double().log()
    sure = torch.tensor([1.0, 0.0]).double().log()
    assert categorical_kl(half, sure) == math.inf


def test_k1_and_k3_have_the_kl_as_their_mean_and_k2_has_not():
    logps = LOGITS.log_softmax(0)
    exact = categorical_kl(logps, REF)
    means = [(logps.exp() * k(logps - REF)).sum() for k in (k1, k2, k3)]
    assert means[0].item() == pytest.approx(exact.item(), abs=1e-12)
    assert means[2].item() == pytest.approx(exact.item(), abs=1e-12)
    assert abs(means[1] - exact) > 0.01


def test_the_gradient_of_k1_in_the_loss_is_zero():
    assert expected_gradient(k1).abs().max() < 1e-12


def test_the_gradient_of_k2_in_the_loss_is_that_of_the_kl():
    hand = gradient_of(lambda logps: categorical_kl(logps, REF))
    torch.testing.assert_close(expected_gradient(k2), hand, atol=1e-12, rtol=0)


def test_the_gradient_of_k3_in_the_loss_is_that_of_the_other_kl():
    other = gradient_of(lambda logps: categorical_kl(REF, logps))
    torch.testing.assert_close(expected_gradient(k3), other, atol=1e-12, rtol=0)
    right = gradient_of(lambda logps: categorical_kl(logps, REF))
    assert (expected_gradient(k3) - right).abs().max() > 1e-2


def test_the_reversed_k3_estimates_chi_square_minus_kl():
    logps = LOGITS.log_softmax(0)
    chi2 = torch.expm1((2 * logps - REF).logsumexp(0))
    mean = (logps.exp() * k3(REF - logps)).sum()
    assert mean.item() == pytest.approx((chi2 - categorical_kl(logps, REF)).item())


@pytest.mark.parametrize("estimator", [k1, k3])
def test_the_mean_over_samples_lies_within_four_standard_errors(estimator):
    logps = LOGITS.log_softmax(0)
    drawn = torch.multinomial(
        logps.exp(), 20_000, replacement=True, generator=generator(0, "kl")
    )
    values = estimator(logps - REF)[drawn]
    stderr = values.std() / math.sqrt(len(values))
    assert (values.mean() - categorical_kl(logps, REF)).abs() < 4 * stderr
