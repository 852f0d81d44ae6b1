"""What a comparison gives every method: as many responses a step, its own reward."""

import pytest
import torch
from torch.testing import assert_close

from workbench.experiment.candidates import candidates
from workbench.experiment.evaluation import implicit_reward, optimum
from workbench.experiment.fit import examples, fit
from workbench.experiment.problem import of_reviews
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops.schedule import Schedule
from workbench.methods.direct.data import rso
from workbench.methods.direct.length import simpo
from workbench.methods.direct.links import dpo, ipo
from workbench.methods.direct.lists import infonca
from workbench.methods.supervised import sft


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_every_kind_of_data_reads_as_many_responses_a_step(seeds):
    """16 pairs a seed: 8 lists of four, 16 chosen responses; 8 pairs are 4 lists."""
    problem = of_reviews(seeds, 2, n_pairs=16, held_out_pairs=4)
    each = {dpo: 8, infonca: 4, sft: 8}
    for method, want in each.items():
        assert examples(8, problem.data(method), problem) == want
    assert examples(100, problem.data(infonca), problem) == 8  # there are no more
    assert examples(1, problem.data(infonca), problem) == 1  # and never none


def test_the_implicit_reward_is_the_scaled_log_ratio():
    """log π = −3 and log π_ref = −5 in two tokens, a prompt and padding beside them."""
    f64 = torch.float64
    response = ResponseLogps(
        policy=torch.tensor([[-9.0, -1, -2, -7]], dtype=f64),
        ref=torch.tensor([[-4.0, -2, -3, -8]], dtype=f64),
        mask=torch.tensor([[False, True, True, False]]),
    )
    for method, cfg, want in (
        (dpo, dpo.Config(beta=0.3), 0.6),
        (rso, rso.Config(beta=0.7, gamma=0.2), 0.4),
        (ipo, ipo.Config(tau=0.1), 0.2),
        (sft, sft.Config(), 2.0),
        (simpo, simpo.Config(beta=2.0), -3.0),  # no reference: the mean log-prob
    ):
        assert_close(implicit_reward(method, cfg)(response).tolist(), [want])


def test_the_beta_of_a_comparison_is_not_the_temperature_of_a_sampling():
    found = {one.key: one.cfg for one in candidates("direct", beta=0.7)[0]}
    assert found["dpo"].beta == found["simpo"].beta == 0.7
    assert (found["rso"].beta, found["rso"].gamma) == (0.5, 0.05)


def test_too_few_candidates_for_rso_are_a_row_that_says_so():
    """12 pairs are 6 candidates to each of four prompts, and eight are kept."""
    problem = of_reviews((0,), 2, n_pairs=12, held_out_pairs=4)
    one = next(one for one in candidates("direct/data")[0] if one.key == "rso")
    row = fit(one, problem, Schedule(steps=1, batch_size=4)).iloc[0]
    assert row["problem"] == "6 candidates are too few to keep 8"


def test_the_optimum_is_at_the_beta_that_the_card_names():
    assert optimum(dpo, dpo.Config(beta=0.3)) in (0.3, None)
    assert optimum(sft, sft.Config()) is None
