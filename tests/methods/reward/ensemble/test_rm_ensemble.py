"""Several models: each learns as if alone; what their combined reward guarantees."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.caught import assert_caught
from tests.methods.enumerated import F64, every_pair, random, random_logps
from workbench.core.contracts import RewardModel
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.ensemble_scores import EnsemblePairs, EnsembleScores
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.loops import reward
from workbench.methods.reward.ensemble import rm_ensemble
from workbench.methods.reward.ensemble.rm_ensemble import Config
from workbench.methods.reward.pairwise import bt
from workbench.models.heads import ScoreModel
from workbench.models.reward_ensemble import combined
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import expectation, kl, log_partition, optimal_policy

PLAIN = Config(score_l2=0.0)
N, MODELS = 12, 4
ALL = ("mean", "worst", "uncertainty")


def scores(chosen, rejected):
    return EnsembleScores(
        torch.tensor(chosen, dtype=F64), torch.tensor(rejected, dtype=F64)
    )


def drawn(seed=0, rows=6):
    return EnsembleScores(random(seed, rows, MODELS), random(seed + 1, rows, MODELS))


def slopes(loss, batch, cfg, weight=None):
    """Gradient in the chosen and in the rejected scores."""
    sides = [side.clone().requires_grad_() for side in (batch.chosen, batch.rejected)]
    value = loss(EnsembleScores(*sides), cfg)
    total = (value if weight is None else value * weight).sum()
    return torch.autograd.grad(total, sides)


def check_by_hand(loss):
    """Margins 2 and 0: log(1 + e^−2) + log 2, and ¼(4 + 1 + 0 + 1) with c = ½."""
    batch = scores([[2.0, 1.0]], [[0.0, 1.0]])
    fit = math.log1p(math.exp(-2)) + math.log(2)
    assert_close(loss(batch, PLAIN).tolist(), [fit])
    assert_close(loss(batch, Config(score_l2=0.5)).tolist(), [fit + 1.5])


def check_each_model_learns_as_if_alone(loss):
    """The slope in one model's scores is that of Bradley–Terry on them alone."""
    batch, weight = drawn(), random(9, 6).exp()
    got = slopes(loss, batch, PLAIN, weight)
    for model in range(MODELS):
        sides = [
            s[:, model].clone().requires_grad_() for s in (batch.chosen, batch.rejected)
        ]
        alone = (bt.loss(PairScores(*sides), bt.Config()) * weight).sum()
        wanted = torch.autograd.grad(alone, sides)
        for one, two in zip(got, wanted, strict=True):
            assert_close(one[:, model], two)


def check_the_square_pulls_both_scores_to_0(loss):
    """c > 0 adds c·r to the slope in every score."""
    batch = drawn(3)
    plain, squared = (slopes(loss, batch, Config(score_l2=c)) for c in (0.0, 0.3))
    assert_close(squared[0] - plain[0], 0.3 * batch.chosen)
    assert_close(squared[1] - plain[1], 0.3 * batch.rejected)


CHECKS = [
    check_by_hand,
    check_each_model_learns_as_if_alone,
    check_the_square_pulls_both_scores_to_0,
]


@pytest.mark.parametrize("check", CHECKS)
def test_loss_passes(check):
    check(rm_ensemble.loss)


@pytest.mark.parametrize("name", rm_ensemble.mistakes)
def test_mistake_is_caught(name):
    assert_caught(rm_ensemble.mistakes[name], CHECKS)


def test_the_square_fixes_the_level_and_the_models_of_a_table_agree():
    """From four starts one minimiser, with mean 0; without it four levels remain."""
    truth = 2 * random(4, N)
    i, j = every_pair(N)
    prefers = (truth[:, None] - truth).sigmoid().flatten()[:, None]

    def minimiser(score_l2):
        table = random(5, N, MODELS).requires_grad_()
        optimiser = torch.optim.LBFGS(
            [table], max_iter=500, tolerance_grad=1e-12, tolerance_change=0,
            line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure():
            optimiser.zero_grad()
            each = rm_ensemble.loss(
                EnsembleScores(table[i], table[j]), Config(score_l2=score_l2)
            )
            value = (prefers[:, 0] * each).sum()
            value.backward()
            return value

        optimiser.step(closure)
        return table.detach()

    found = minimiser(0.01)
    assert_close(found.mean(0), torch.zeros(MODELS, dtype=F64), atol=1e-7, rtol=0)
    assert_close(found, found[:, :1].expand(-1, MODELS), atol=1e-6, rtol=0)
    free = minimiser(0.0)
    centred = free - free.mean(0)
    assert_close(centred[:, 0], truth - truth.mean(), atol=1e-5, rtol=0)
    assert free.mean(0).std() > 0.1


def test_training_an_ensemble_trains_each_model_as_bt_would():
    """Three steps of Adam: the same weights as three models trained one by one."""
    world = Reviews(max_words=2)
    even = torch.zeros(world.n_prompts, world.n_responses, dtype=F64).log_softmax(-1)
    pairs = sample_pairs(world, even, 24, Annotator(), generator(1))
    cfg, plan = Config(size=3, score_l2=0.0), {"steps": 3, "batch_size": 8}
    ensemble = rm_ensemble.build(world.vocab, cfg, seed=2)
    reward.fit(ensemble, EnsemblePairs(pairs), rm_ensemble, cfg, **plan)
    together = ensemble.member_score_all(world)[0]
    for model in range(3):
        alone = ScoreModel.tiny(world.vocab, seed=3 * 2 + model)
        start = alone.score_all(world)
        reward.fit(alone, pairs, bt, bt.Config(), **plan)
        assert_close(together[..., model], alone.score_all(world), atol=1e-4, rtol=0)
        assert (together[..., model] - start).abs().max() > 0.01


# ---- the combined reward ------------------------------------------------------------


def test_combined_rewards_by_hand():
    """1, 2 and 6: mean 3, worst 1, variance (4 + 1 + 9)/3, so 3 − 14λ/3."""
    each = torch.tensor([[1.0, 2.0, 6.0]], dtype=F64)
    assert combined(each, "mean", 0.5).tolist() == [3]
    assert combined(each, "worst", 0.5).tolist() == [1]
    assert_close(combined(each, "uncertainty", 0.5).tolist(), [3 - 7 / 3])


def test_all_agree_where_the_models_agree_and_without_weight():
    same = random(0, N)[:, None].expand(-1, MODELS)
    for how in ALL:
        assert_close(combined(same, how, 0.7), same[:, 0])
    table = random(1, N, MODELS)
    assert_close(combined(table, "uncertainty", 0.0), table.mean(-1))


def test_worst_is_at_most_uncertainty_is_at_most_mean():
    """var ≤ (mean − min)(max − mean): the first holds where λ(max − mean) ≤ 1."""
    table = 3 * random(2, 5000, MODELS)
    mean, worst = combined(table, "mean"), combined(table, "worst")
    most = table.amax(-1) - mean
    for weight in (0.1, 0.5, 2.0):
        value = combined(table, "uncertainty", weight)
        assert (value <= mean).all()
        assert (value >= worst - 1e-12)[weight * most <= 1].all()
    # −10 and 10 have variance 100: with λ = ½ their reward is −50, below the worst
    far = torch.tensor([[-10.0, 10.0]], dtype=F64)
    assert combined(far, "uncertainty", 0.5).item() == -50


def test_a_level_of_one_model_turns_the_order_round_but_not_that_of_the_mean():
    """Responses (0, 2) and (3, 1.9); then the second model 10 lower throughout."""
    table = torch.tensor([[0.0, 2.0], [3.0, 1.9]], dtype=F64)
    lower = table + torch.tensor([0.0, -10.0], dtype=F64)

    def lead(how):
        """By how much the second response leads, before and after."""
        return [combined(t, how, 0.5).diff().item() for t in (table, lower)]

    assert lead("mean") == pytest.approx([1.45, 1.45])
    assert lead("worst") == pytest.approx([1.9, -0.1])
    # variances are a quarter of the squared gaps: 1 and 0.3025, then 16 and 30.8025
    assert lead("uncertainty") == pytest.approx([1.45 + 0.34875, 1.45 - 7.40125])


def test_optimum_of_the_mean_is_the_geometric_mean_of_the_optima():
    ref, table, beta = random_logps(3, N), 2 * random(4, MODELS, N), 0.7
    best = optimal_policy(ref, combined(table.T, "mean"), beta)
    each = optimal_policy(ref.expand(MODELS, N), table, beta)
    assert_close(best, each.mean(0).log_softmax(-1))


@pytest.mark.parametrize("beta", [0.05, 0.5, 5.0])
def test_worst_case_optimum_is_promised_its_value_by_every_model(beta):
    """β log Z of the minimum bounds E r_i − β KL from below, for each model."""
    ref, table = random_logps(5, N), 2 * random(6, MODELS, N)
    worst = combined(table.T, "worst")
    best = optimal_policy(ref, worst, beta)
    promised = beta * log_partition(ref, worst, beta)
    price = beta * kl(best, ref)
    assert_close(expectation(best, worst) - price, promised)
    kept = expectation(best.expand(MODELS, N), table) - price
    assert (kept >= promised - 1e-12).all()
    # every other policy is promised less, that of the mean reward say
    mean = optimal_policy(ref, table.mean(0), beta)
    assert expectation(mean, worst) - beta * kl(mean, ref) < promised


def test_without_kl_the_worst_case_picks_the_response_of_the_max_min_value():
    """By enumeration; a policy that mixes may do better on the worst expectation."""
    ref, table = random_logps(7, N), 2 * random(8, MODELS, N)
    best = optimal_policy(ref, combined(table.T, "worst"), 1e-3)
    values = [min(table[:, y].tolist()) for y in range(N)]
    assert best.argmax().item() == values.index(max(values))
    assert best.max().exp() > 0.999
    # two models with opposite tastes: each response is worth −1 to one of them,
    # both in equal shares are worth 0 to both
    opposite = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=F64)
    half = torch.full((2, 2), 0.5, dtype=F64).log()
    assert combined(opposite, "worst").tolist() == [-1, -1]
    assert expectation(half, opposite).tolist() == [0, 0]


# ---- hooks --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ALL)
def test_hooks_read_one_combined_reward(how):
    """Margin of a batch, reward of responses and the whole table agree."""
    world = Reviews(max_words=2)
    cfg = Config(size=3, combine=how, weight=0.4)
    model = rm_ensemble.build(world.vocab, cfg, seed=0)
    judge = rm_ensemble.reward(model, cfg)
    assert isinstance(judge, RewardModel) and judge.members == 1
    even = torch.zeros(world.n_prompts, world.n_responses, dtype=F64).log_softmax(-1)
    pairs = sample_pairs(world, even, 10, Annotator(), generator(2))
    with torch.no_grad():
        batch = EnsemblePairs(pairs).batch(model, torch.arange(10))
        gap = judge.scores(pairs.chosen) - judge.scores(pairs.rejected)
        table = judge.score_all(world)
    assert_close(rm_ensemble.margin(batch, cfg), gap, atol=1e-5, rtol=0)
    told = table[pairs.chosen.prompt, pairs.chosen.response]
    assert_close(judge(pairs.chosen).double(), told, atol=1e-5, rtol=0)
