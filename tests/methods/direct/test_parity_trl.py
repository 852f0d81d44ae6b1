"""Pairwise losses against TRL's own loss code, on random log-probs.

The stand-ins are in ``trl_stubs``; each place where TRL is another method than its name
says has a test of its own.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.direct.trl_stubs import (
    EXACT,
    assert_parity,
    dpo_losses,
    dpo_whole,
    example,
    rows_of,
)
from workbench.core import divergences
from workbench.feedback.kinds.distribution_pairs import PairDistributions
from workbench.feedback.kinds.pairs import PairLogps
from workbench.methods.direct.length import ld_dpo, ln_dpo
from workbench.methods.direct.links import (
    apo_down,
    apo_zero,
    discopop,
    dpo,
    exo_pref,
    f_dpo,
    hinge,
    ipo,
)
from workbench.methods.direct.noise import cdpo, rdpo
from workbench.methods.direct.weighted import wpo
from workbench.methods.supervised import sft

# ours, its config at a β, TRL's name for it and further settings of TRL
SAME = {
    "dpo": (dpo, lambda b: dpo.Config(beta=b), "sigmoid", {}),
    "ipo": (ipo, lambda b: ipo.Config(tau=b, reduce="mean"), "ipo", {}),
    "hinge": (hinge, lambda b: hinge.Config(beta=b), "hinge", {}),
    "rdpo": (
        rdpo,
        lambda b: rdpo.Config(beta=b, epsilon=0.2),
        "robust",
        {"label_smoothing": 0.2},
    ),
    "exo_pref": (
        exo_pref,
        lambda b: exo_pref.Config(beta=b, epsilon=0.03125),
        "exo_pair",
        {"label_smoothing": 0.03125},
    ),
    "apo_zero": (apo_zero, lambda b: apo_zero.Config(beta=b), "apo_zero", {}),
    "apo_down": (apo_down, lambda b: apo_down.Config(beta=b), "apo_down", {}),
    "ln_dpo": (ln_dpo, lambda b: ln_dpo.Config(beta=b), "sigmoid_norm", {}),
    "ld_dpo": (
        ld_dpo,
        lambda b: ld_dpo.Config(beta=b, a=0.3),
        "sigmoid",
        {"ld_alpha": 0.3},
    ),
}


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("key", SAME)
def test_value_and_gradient_are_those_of_trl(key, beta):
    module, config, name, settings = SAME[key]
    batch = example()
    theirs = dpo_losses(batch, name, beta, **settings)
    assert_parity(module.loss(batch, config(beta)), theirs, batch)


@pytest.mark.parametrize("a", [0.0, 0.7, 1.0])
def test_ld_dpo_at_its_ends_is_trl_ld_alpha(a):
    batch = example()
    theirs = dpo_losses(batch, "sigmoid", 0.5, ld_alpha=a)
    assert_parity(ld_dpo.loss(batch, ld_dpo.Config(beta=0.5, a=a)), theirs, batch)


def test_trl_sigmoid_ignores_label_smoothing():
    """cDPO is not in TRL: the setting is read by `robust` and `exo_pair`, not here."""
    batch = example()
    theirs = dpo_losses(batch, "sigmoid", 0.5, label_smoothing=0.3)
    assert_parity(dpo.loss(batch, dpo.Config(beta=0.5)), theirs, batch)
    smoothed = cdpo.loss(batch, cdpo.Config(beta=0.5, epsilon=0.3))
    assert (smoothed - theirs).abs().max() > 0.1


def test_trl_robust_without_smoothing_is_dpo():
    batch = example()
    assert_parity(
        dpo.loss(batch, dpo.Config(beta=0.5)), dpo_losses(batch, "robust", 0.5), batch
    )


def test_exo_pair_holds_its_epsilon_in_single_precision():
    """1e-3 is 1.00000005e-3 there: the values differ by about 5e-8."""
    batch = example()
    ours = exo_pref.loss(batch, exo_pref.Config(beta=0.5, epsilon=1e-3))
    theirs = dpo_losses(batch, "exo_pair", 0.5, label_smoothing=1e-3)
    assert_parity(ours, theirs, batch)
    assert 1e-12 < (ours - theirs).abs().max() < 1e-6


@pytest.mark.parametrize("beta", [0.02, 0.1])
def test_discopop_is_trl_discopop(beta):
    batch = example()
    ours = discopop.loss(batch, discopop.Config(beta=beta, tau=0.05))
    assert_parity(ours, dpo_losses(batch, "discopop", beta), batch)


def test_discopop_of_trl_is_not_finite_far_on_the_wrong_side():
    """It multiplies σ(M/τ) = 0 by e^−M = ∞; ours has one exponential."""
    tokens, mask = torch.full((1, 3), -300.0), torch.tensor([[False, True, True]])
    far = PairLogps(5 * tokens, tokens, tokens, tokens, mask, mask)
    assert not dpo_losses(far, "discopop", 0.5).isfinite().all()
    assert discopop.loss(far, discopop.Config(beta=0.5)).isfinite().all()


def test_ipo_of_the_paper_differs_from_trl_by_the_length_squared():
    """Both responses of T tokens: TRL's D is D/T, and its target is nats per token.

    T² (D/T − 1/(2τ))² = (D − 1/(2τ/T))²: the paper's loss at τ/T is T² times TRL's
    at τ.
    """
    batch = PairLogps.example(torch.Generator().manual_seed(4), batch=8, time=6)
    full = torch.zeros(8, 6, dtype=torch.bool)
    full[:, 1:] = True
    logps = [getattr(batch, f) for f in batch.__dataclass_fields__][:4]
    batch = PairLogps(*(x - 0.5 for x in logps), full, full)
    tau, length = 0.3, 5
    theirs = dpo_losses(batch, "ipo", tau)
    paper = ipo.loss(batch, ipo.Config(tau=tau / length))
    assert_close(paper, length**2 * theirs, **EXACT)
    assert (ipo.loss(batch, ipo.Config(tau=tau)) - theirs).abs().max() > 0.1


def test_ipo_over_sums_is_not_trl_ipo():
    batch = example()
    theirs = dpo_losses(batch, "ipo", 0.1)
    assert (ipo.loss(batch, ipo.Config()) - theirs).abs().min() > 1e-6


# ---- f-divergences ----------------------------------------------------------------

KNOWN = {
    "reverse_kl": divergences.REVERSE_KL,
    "forward_kl": divergences.FORWARD_KL,
    "js_divergence": divergences.JENSEN_SHANNON,
}


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("name", KNOWN)
def test_f_dpo_is_trl_with_a_divergence(name, beta):
    batch = example()
    cfg = f_dpo.Config(beta=beta, divergence=KNOWN[name])
    theirs = dpo_losses(batch, "sigmoid", beta, f_divergence_type=name)
    assert_parity(f_dpo.loss(batch, cfg), theirs, batch)


def of_alpha(batch, beta, coefficient):
    return dpo_losses(
        batch, "sigmoid", beta,
        f_divergence_type="alpha_divergence", f_alpha_divergence_coef=coefficient,
    )  # fmt: skip


@pytest.mark.parametrize("a", [0.2, 0.5, 0.7])
def test_the_alpha_of_trl_is_one_minus_that_of_the_paper(a):
    """Single precision, the only one besides half that TRL's clamp has a limit for."""
    batch = example(dtype=torch.float32)
    cfg = f_dpo.Config(beta=0.1, divergence=divergences.alpha(a))
    ours = f_dpo.loss(batch, cfg)
    assert_parity(ours, of_alpha(batch, 0.1, 1 - a), batch, atol=1e-5, rtol=1e-5)
    if a != 0.5:
        assert (ours - of_alpha(batch, 0.1, a)).abs().max() > 0.1


def test_the_alpha_divergence_of_trl_refuses_double_precision():
    with pytest.raises(KeyError):
        of_alpha(example(), 0.1, 0.5)


# ---- the loss over a batch --------------------------------------------------------


def test_sft_of_trl_is_one_mean_over_the_chosen_tokens_of_the_batch():
    """Alone a response has its own token mean; in a batch it weighs |y|/mean length."""
    batch = example()
    ours = sft.loss(batch.chosen, sft.Config(reduce="mean"))
    assert_parity(ours, dpo_losses(batch, "sft", 0.1), batch)
    length = batch.chosen_mask.sum(-1)
    weighed = (ours * length / length.double().mean()).mean()
    assert_close(weighed, dpo_whole(batch, "sft", 0.1), **EXACT)
    assert (weighed - ours.mean()).abs() > 1e-3


@pytest.mark.parametrize("name", ["sigmoid", "hinge", "apo_zero", "sigmoid_norm"])
def test_trl_takes_the_mean_over_pairs(name):
    batch = example(batch=5)
    alone = torch.stack([dpo_whole(row, name, 0.5) for row in rows_of(batch)])
    assert_close(alone.mean(), dpo_whole(batch, name, 0.5), **EXACT)


# ---- weights ----------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_wpo_without_its_cap_is_trl_with_use_weighting(beta):
    """TRL does not cap the product of the weights; the authors' code caps it at 1."""
    batch = PairDistributions.example(
        torch.Generator().manual_seed(3), batch=32, time=9
    )
    batch.policy_chosen.requires_grad_()
    batch.policy_rejected.requires_grad_()
    log_probs = torch.cat(
        [batch.policy_chosen_distribution, batch.policy_rejected_distribution]
    )
    squares = (2 * log_probs).logsumexp(-1)
    rows = [squares[[i, i + 32]] for i in range(32)]
    theirs = [
        dpo_whole(pair, "sigmoid", beta, log_squares=row, use_weighting=True)
        for pair, row in zip(rows_of(batch), rows, strict=True)
    ]
    ours = wpo.loss(batch, wpo.Config(beta=beta, cap=math.inf))
    assert_parity(ours, torch.stack(theirs), batch)
    capped = wpo.loss(batch, wpo.Config(beta=beta, cap=1.0))
    assert (capped - torch.stack(theirs)).abs().max() > 0.1
