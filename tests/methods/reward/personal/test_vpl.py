"""The bound by quadrature, Bradley–Terry as its limit, and two opposite tastes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.methods.caught import assert_caught
from tests.methods.enumerated import F64, random
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.feedback.kinds.user_pairs import UserPairs, UserPairScores
from workbench.loops import reward
from workbench.methods.reward.pairwise import bt
from workbench.methods.reward.personal import vpl
from workbench.methods.reward.personal.vpl import Config
from workbench.models.heads import ScoreModel
from workbench.models.latent_reward import LatentReward
from workbench.worlds.reviews import Reviews

FREE = Config(beta=0.0)
# Σ_k weight_k f(node_k) = E f(ε), ε ~ N(0, 1)
NODES, WEIGHTS = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(40))
WEIGHTS = WEIGHTS / math.sqrt(2 * math.pi)


def scores(gap, slope, mean, log_std, noise=0.0, pairs=1.0):
    """Pairs with these gaps in r_0 and in φ; tastes have one number."""
    tensors = [
        torch.as_tensor(v, dtype=F64) for v in (gap, slope, mean, log_std, noise)
    ]
    gap, *wide = (v.flatten() for v in torch.broadcast_tensors(*tensors))
    slope, mean, log_std, noise = (v[:, None] for v in wide)
    zero = torch.zeros_like(gap)
    return UserPairScores(
        chosen=gap, rejected=zero, slope_chosen=slope, slope_rejected=0 * slope,
        mean=mean, log_std=log_std, noise=noise, pairs=zero + pairs,
    )  # fmt: skip


def expected(loss, cfg, gap, slope, mean, log_std, pairs=1.0):
    """E_ε L of each pair, by quadrature."""
    tensors = [torch.as_tensor(v, dtype=F64) for v in (gap, slope, mean, log_std)]
    columns = [v.expand(len(tensors[0]))[:, None] for v in tensors]
    values = loss(scores(*columns, NODES, pairs), cfg)
    return values.unflatten(0, (-1, len(NODES))) @ WEIGHTS


def check_kl_by_hand(loss):
    """q = N((1, 0), (1, 2)²): ½(1) + ½(3) − log 2, shared by 4 pairs, at margin 0."""
    zero, wide = torch.zeros(1, dtype=F64), torch.zeros(1, 2, dtype=F64)
    batch = UserPairScores(
        chosen=zero, rejected=zero, slope_chosen=wide, slope_rejected=wide,
        mean=torch.tensor([[1.0, 0.0]], dtype=F64),
        log_std=torch.tensor([[0.0, math.log(2)]], dtype=F64), noise=wide + 1,
        pairs=zero + 4,
    )  # fmt: skip
    kl = 2 - math.log(2)
    for beta in (1.0, 0.3):
        got = loss(batch, Config(beta=beta)).tolist()
        assert_close(got, [math.log(2) + beta * kl / 4])


def check_fit_by_hand(loss):
    """z = ½ + ¼·2 = 1, so the margin is 1 + 2z = 3."""
    batch = scores([1.0], [2.0], [0.5], [math.log(0.25)], [2.0])
    assert_close(loss(batch, FREE).tolist(), [math.log1p(math.exp(-3))])


def check_slopes_by_hand(loss):
    """In μ: −(1 − p)φ + βμ/N; in log s: −(1 − p)φ·s·ε + β(s² − 1)/N; p = σ(3)."""
    batch = scores([1.0], [2.0], [0.5], [math.log(0.25)], [2.0], pairs=10.0)
    mean, log_std = batch.mean.requires_grad_(), batch.log_std.requires_grad_()
    total = loss(replace(batch, mean=mean, log_std=log_std), Config()).sum()
    got = [slope.item() for slope in torch.autograd.grad(total, (mean, log_std))]
    miss = 1 / (1 + math.exp(3))
    assert_close(got, [-2 * miss + 0.05, -2 * miss * 0.5 + (1 / 16 - 1) / 10])


def check_losses_of_a_user_bound_the_log_likelihood(loss):
    """Σ E L = −log p(labels) + KL(q‖posterior), both by densities on a grid of z."""
    gap, slope = random(0, 4), 2 * random(1, 4)
    z = torch.linspace(-12, 12, 24_001, dtype=F64)
    log_joint = -(z**2) / 2 - math.log(2 * math.pi) / 2
    log_joint = log_joint + torch.nn.functional.logsigmoid(
        gap[:, None] + slope[:, None] * z
    ).sum(0)
    step = z[1] - z[0]
    log_p = (log_joint.exp().sum() * step).log()
    for mean, log_std in ((0.0, 0.0), (0.7, -0.6), (-1.0, 0.2)):
        log_q = -(((z - mean) / math.exp(log_std)) ** 2) / 2 - log_std
        log_q = log_q - math.log(2 * math.pi) / 2
        kl = (log_q.exp() * (log_q - log_joint + log_p)).sum() * step
        got = expected(loss, Config(), gap, slope, mean, log_std, pairs=4.0).sum()
        assert_close(got, kl - log_p, atol=1e-6, rtol=0)


def check_one_taste_is_bradley_terry(loss):
    """β = 0 and no noise: the score at z = μ takes the place of that of BT."""
    base, slope = random(2, 2, 7), random(3, 2, 7, 3)
    mean = random(4, 3).expand(7, 3)
    batch = UserPairScores(
        *base, *slope, mean=mean, log_std=random(5, 7, 3), noise=torch.zeros_like(mean),
        pairs=torch.ones(7, dtype=F64),
    )  # fmt: skip
    fixed = PairScores(*(base + slope @ mean[0]))
    assert_close(loss(batch, FREE), bt.loss(fixed, bt.Config()))


CHECKS = [
    check_kl_by_hand,
    check_fit_by_hand,
    check_slopes_by_hand,
    check_losses_of_a_user_bound_the_log_likelihood,
    check_one_taste_is_bradley_terry,
]


@pytest.mark.parametrize("check", CHECKS)
def test_loss_passes(check):
    check(vpl.loss)


@pytest.mark.parametrize("name", vpl.mistakes)
def test_mistake_is_caught(name):
    assert_caught(vpl.mistakes[name], CHECKS)


def minimised(value, *start):
    """Where a function of these tensors is least."""
    leaves = [torch.tensor(s, dtype=F64, requires_grad=True) for s in start]
    optimiser = torch.optim.LBFGS(
        leaves, max_iter=500, tolerance_grad=1e-12, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimiser.zero_grad()
        total = value(*leaves)
        total.backward()
        return total

    optimiser.step(closure)
    return [h.detach() for h in leaves]


def test_the_best_q_is_nearly_the_posterior():
    """Three pairs of one user: the bound comes within 0.005 nats of −log p(labels)."""
    gap, slope = torch.tensor([0.2, -0.5, 0.4], dtype=F64), torch.full((3,), 1.5)

    def total(mean, log_std):
        return expected(vpl.loss, Config(), gap, slope, mean, log_std, 3.0).sum()

    log_lik = torch.nn.functional.logsigmoid(gap[:, None] + slope[:, None] * NODES)
    log_p = (log_lik.sum(0).exp() @ WEIGHTS).log()
    best = minimised(total, 0.0, 0.0)
    assert 0 <= total(*best) + log_p < 5e-3
    assert total(torch.zeros(()), torch.zeros(())) + log_p > 0.1


def test_where_contexts_say_nothing_the_minimiser_is_bt_on_the_mixture():
    """q is the prior for all: φ falls to 0, and r_0 to the log-odds of the mean."""
    prefers = torch.tensor([0.9, 0.3], dtype=F64)  # of two users, a over b

    def value(gap, slope):
        sides = torch.stack([gap, -gap]), torch.stack([slope, -slope])
        up, down = expected(vpl.loss, FREE, *sides, 0.0, 0.0)
        return (prefers * up + (1 - prefers) * down).mean()

    gap, slope = minimised(value, 0.0, 1.0)
    assert gap.item() == pytest.approx(math.log(0.6 / 0.4), abs=1e-6)
    assert abs(slope.item()) < 1e-4


def test_two_opposite_users_in_all_their_choices():
    """One question, answers a and b; each user picks the own answer nine times in ten.

    The context is three earlier choices. All of them, the next choice and the draw of
    z are summed over: what follows has no sampling noise.
    """
    own = 0.9
    picks = torch.cartesian_prod(*[torch.tensor([1.0, -1.0])] * 4).double()
    context, label = picks[:, :3].sum(-1), picks[:, 3]

    def chance(user):  # of three choices and the next, for user a (1) or b (−1)
        return torch.where(picks == user, own, 1 - own).prod(-1)

    weight = (chance(1) + chance(-1)) / 2

    def value(gap, slope, gain, log_std):
        each = expected(
            vpl.loss, Config(), label * gap, label * slope, gain * context, log_std,
            pairs=20.0,
        )  # fmt: skip
        return (weight * each).sum()

    gap, slope, gain, log_std = minimised(value, 0.3, 0.1, 0.1, -0.5)
    assert abs(gap) < 1e-5  # the two users are alike but for the sign
    margin = label * (gap + slope * gain * context)
    accuracy = (weight * (0.5 + 0.5 * margin.sign())).sum().item()
    # Bayes: three choices have a majority of the own answer with this chance
    seen = own**3 + 3 * own**2 * (1 - own)
    assert accuracy == pytest.approx(seen * own + (1 - seen) * (1 - own))
    assert value(gap, slope, gain, log_std) < math.log(2) - 0.2
    # one score for both: right for one exactly where it is wrong for the other
    for one in (-2.0, -0.1, 0.1, 2.0):
        right = (weight * (0.5 + 0.5 * (label * one).sign())).sum().item()
        assert right == pytest.approx(0.5)


def test_two_opposite_users_are_told_apart_by_training():
    """One likes what gold likes, the other the opposite; both judge the same pairs."""
    world = Reviews(max_words=2)
    even = torch.zeros(world.n_prompts, world.n_responses, dtype=F64).log_softmax(-1)

    def judged(n, seed):
        sure = Annotator(deterministic=True)
        one = sample_pairs(world, even, n, sure, generator(seed))
        other = Pairs(one.rejected, one.chosen, one.weight)
        both = Pairs.cat([one, other])
        user = torch.arange(2).repeat_interleave(n)
        return replace(both, columns={"users": user})

    train, unseen = judged(200, 1), judged(100, 2)
    plan, cfg = {"steps": 100, "batch_size": 32, "lr": 1e-2}, Config(dim=2)
    model = LatentReward.tiny(world.vocab, dim=2, width=16, layers=1)
    reward.fit(model, UserPairs(train), vpl, cfg, **plan)
    plain = ScoreModel.tiny(world.vocab, width=16, layers=1)
    reward.fit(plain, train, bt, bt.Config(), **plan)
    with torch.no_grad():
        margin = vpl.margin(UserPairs(unseen).batch(model, torch.arange(200)), cfg)
        score = plain.scores(unseen.chosen) - plain.scores(unseen.rejected)
    accuracy = [(0.5 + 0.5 * gap.sign()).mean().item() for gap in (margin, score)]
    assert accuracy[0] > 0.7
    assert accuracy[1] == 0.5
