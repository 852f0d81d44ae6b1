"""``reward`` is what the preference term of its own loss compares."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from workbench.catalogue import methods
from workbench.feedback.kinds.pairs import PairLogps
from workbench.methods.direct.length import ln_dpo, simpo
from workbench.methods.direct.links import cpo, f_dpo, orpo
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
    gap = module.reward(batch.chosen, cfg) - module.reward(batch.rejected, cfg)
    assert_close(module.loss(batch, cfg), -logsigmoid(gap - lead))


def test_orpo_adds_the_logistic_of_its_log_odds_to_the_likelihood():
    cfg, batch = orpo.Config(), example()
    gap = orpo.reward(batch.chosen, cfg) - orpo.reward(batch.rejected, cfg)
    without = orpo.loss(batch, replace(cfg, lam=0.0))
    assert_close(orpo.loss(batch, cfg), without + cfg.lam * -logsigmoid(gap))


def test_every_implicit_reward_of_the_catalogue_is_tested_here():
    own = {key for key, module in methods().items() if "reward" in vars(module)}
    assert own == {module.card.key for module in BARE} | {"orpo"}
