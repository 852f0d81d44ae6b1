"""What a card declares of β is true: the implicit reward's scale, and the optimum.

``scale`` and ``optimum`` decide which reward is plotted and which distance is shown;
a wrong one is a wrong number in a table (dpo_rw once stood there at ten times its β).
Both are compared with the exact world, for every method that declares them.
"""

import pytest
import torch
from torch.testing import assert_close

from workbench.catalogue import methods
from workbench.core.seeds import generator
from workbench.experiment.evaluation import has_reward, implicit_reward, optimum
from workbench.feedback.annotator import Annotator
from workbench.feedback.kind import reads
from workbench.feedback.kinds.lists import ListLogps, Lists
from workbench.feedback.kinds.pairs import PairLogps, population_pairs
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.models.policy import TabularPolicy
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=1)
METHODS = methods()
DECLARED = {
    key: module
    for key, module in METHODS.items()
    if module.card.loop is not None
    and optimum(module, module.Config()) is not None
    and reads(module) in (PairLogps, ListLogps)
}
# labels of these come as ranks with noise; the scores of the others are at rest
RANKS = {"list_mle", "pair_logistic"}


def reference() -> TabularPolicy:
    """Some policy that is not uniform."""
    logits = torch.randn(
        WORLD.n_prompts, WORLD.n_responses, generator=generator(5), dtype=torch.float64
    )
    return TabularPolicy(WORLD, logits.log_softmax(-1))


def every_pair(policy, ref, prompt: int, ranks: bool) -> Lists:
    """All lists of two responses to a prompt; with ranks each order has its chance."""
    i, j = torch.cartesian_prod(*[torch.arange(WORLD.n_responses)] * 2).unbind(1)
    i, j = i[i != j], j[i != j]
    both = torch.stack([i, j], dim=1)
    gold = WORLD.gold[prompt][both].double()
    weight = torch.ones(len(i), dtype=torch.float64)
    scores = gold
    if ranks:
        weight = (gold[:, 0] - gold[:, 1]).sigmoid()
        scores = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(len(i), 2)
    tokens = WORLD.tokens(torch.full((2 * len(i),), prompt), both.flatten())
    proposal = ref.response_logps()[prompt][both].detach()
    return Lists(tokens, scores.contiguous(), proposal, weight)


def residual(module, policy, ref) -> float:
    """The greatest gradient of the expected loss, over all logits of all prompts."""
    total = torch.zeros((), dtype=torch.float64)
    for prompt in range(WORLD.n_prompts):
        if reads(module) is PairLogps:
            log_probs = ref.response_logps()[prompt].detach()
            data = population_pairs(WORLD, prompt, log_probs, Annotator())
        else:
            ranks = module.card.key in RANKS
            data = every_pair(policy, ref, prompt, ranks)
        rows = torch.arange(len(data))
        batch = data.batch(policy, rows, data.reference_logps(ref))
        total = total + (data.weight * module.loss(batch, module.Config())).mean()
    (gradient,) = torch.autograd.grad(total, [policy.table])
    return gradient.abs().max().item()


@pytest.mark.parametrize("key", DECLARED)
def test_the_declared_optimum_is_where_the_loss_comes_to_rest(key):
    """At π*_β of gold the expected gradient is 0; at twice that β it is not."""
    module, ref = DECLARED[key], reference()
    start, gold = ref.response_logps().detach(), WORLD.gold.double()
    beta = optimum(module, module.Config())
    there = TabularPolicy(WORLD, solutions.optimal_policy(start, gold, beta))
    elsewhere = TabularPolicy(WORLD, solutions.optimal_policy(start, gold, 2 * beta))
    at_rest, moved = residual(module, there, ref), residual(module, elsewhere, ref)
    assert at_rest < 1e-8 < 1e-6 < moved, (at_rest, moved)


@pytest.mark.parametrize("key", DECLARED)
def test_the_implicit_reward_of_the_optimum_is_gold_up_to_a_constant(key):
    """r̂ = r − β log Z: differences between responses are those of gold."""
    module, ref = DECLARED[key], reference()
    start, gold = ref.response_logps().detach(), WORLD.gold.double()
    beta = optimum(module, module.Config())
    best = solutions.optimal_policy(start, gold, beta)
    one = torch.ones(WORLD.n_responses, 1, dtype=torch.bool)
    for prompt in range(WORLD.n_prompts):
        table = ResponseLogps(best[prompt][:, None], start[prompt][:, None], one)
        told = implicit_reward(module, module.Config())(table)
        assert_close(told - told[0], gold[prompt] - gold[prompt][0])


def test_some_methods_declare_an_optimum():
    assert {"dpo", "exo_rw", "dpo_rw", "infonca", "rebel", "brain"} <= set(DECLARED)


def test_a_method_without_a_reward_has_no_calibration():
    """Cloning with weights defines no reward: its log-ratio is all there is to show."""
    without = {k for k, m in METHODS.items() if m.card.loop and not has_reward(m)}
    assert {"sft", "a_lol", "wbc", "r_lol", "oppo"} <= without
    assert not without & {"dpo", "simpo", "orpo", "dpo_rw", "slic", "ipo", "rso"}
