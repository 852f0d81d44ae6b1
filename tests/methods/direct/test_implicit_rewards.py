"""``implicit_reward`` is what the preference term of its own loss compares."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from workbench.catalogue import methods
from workbench.feedback.kinds.pairs import PairLogps
from workbench.methods.direct.length import length_dpo, ln_dpo, simpo
from workbench.methods.direct.links import cpo, f_dpo, orpo, slic
from workbench.methods.direct.lists import adpo, adpo_pair, infonca, nca, pro
from workbench.methods.direct.pessimism import chipo

# settings at which nothing but the comparison is left, and the lead it asks for
BARE = {
    chipo: (chipo.Config(beta=0.3, r_max=1e6), 0.0),
    cpo: (cpo.Config(beta=0.3, alpha=0.0), 0.0),
    f_dpo: (f_dpo.Config(beta=0.3), 0.0),
    ln_dpo: (ln_dpo.Config(beta=3.0), 0.0),
    simpo: (simpo.Config(beta=2.0, gamma=0.7), 0.7),
}


def example():
    return PairLogps.example(torch.Generator().manual_seed(4))


@pytest.mark.parametrize("module", BARE, ids=lambda m: m.card.key)
def test_the_loss_is_the_logistic_of_the_difference_of_rewards(module):
    cfg, lead = BARE[module]
    batch = example()
    gap = module.implicit_reward(batch.chosen, cfg) - module.implicit_reward(
        batch.rejected, cfg
    )
    assert_close(module.loss(batch, cfg), -logsigmoid(gap - lead))


def test_orpo_adds_the_logistic_of_its_log_odds_to_the_likelihood():
    cfg, batch = orpo.Config(), example()
    gap = orpo.implicit_reward(batch.chosen, cfg) - orpo.implicit_reward(
        batch.rejected, cfg
    )
    without = orpo.loss(batch, replace(cfg, lam=0.0))
    assert_close(orpo.loss(batch, cfg), without + cfg.lam * -logsigmoid(gap))


def test_slic_compares_log_probs_and_knows_no_reference():
    """λ = 0: L = max(0, δ − (r̂_c − r̂_r)), r̂ = log π(y)."""
    cfg, batch = slic.Config(lam=0.0), example()
    gap = slic.implicit_reward(batch.chosen, cfg) - slic.implicit_reward(
        batch.rejected, cfg
    )
    assert_close(slic.loss(batch, cfg), (cfg.delta - gap).relu())


def test_length_dpo_adds_its_price_to_the_reward():
    """σ(βD + α(|y_c| − |y_r|)) is the chance that it gives: r̂ = βd + α|y|."""
    cfg, batch = length_dpo.Config(beta=0.3, alpha=0.2), example()
    gap = length_dpo.implicit_reward(batch.chosen, cfg)
    gap = gap - length_dpo.implicit_reward(batch.rejected, cfg)
    assert_close(length_dpo.loss(batch, cfg), -logsigmoid(gap))


def test_nca_takes_the_reward_of_infonca_and_adpo_pair_that_of_adpo():
    """Compared with the exact optimum in test_declared_scales where there is one."""
    assert nca.implicit_reward is infonca.implicit_reward
    responses = example().chosen
    told = adpo_pair.implicit_reward(responses, adpo.Config(tau=0.5, beta_r=2.0))
    assert_close(told, 4 * responses.logratio())


def test_pro_ranks_by_the_mean_log_prob():
    responses = example().chosen
    told = pro.implicit_reward(responses, pro.Config())
    assert_close(told, responses.logps() / responses.mask.sum(-1))


def test_every_implicit_reward_of_the_catalogue_is_tested():
    """Here, or against the exact optimum that the method declares."""
    own = {
        key
        for key, module in methods().items()
        if "implicit_reward" in module.card.hooks
    }
    exact = {key for key in own if "optimum" in methods()[key].card.hooks}
    here = {"orpo", "slic", "length_dpo", "nca", "adpo", "adpo_pair", "pro"}
    assert own == {module.card.key for module in BARE} | here | exact
    assert exact == {"dpo_rw", "exo_rw", "infonca", "rebel"}
