"""GRPO by hand, its biases and fixed points by enumeration, and TRL's losses."""

import itertools
import math
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from tests.methods.caught import assert_caught
from tests.methods.direct.trl_stubs import EXACT, state, trainer_class
from tests.methods.enumerated import F64, TREE, random, random_logps, token_logps
from workbench.core.kl import categorical_kl
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops import online
from workbench.methods.policy_gradient.group import grpo
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import optimal_policy
from workbench.worlds.tree import PrefixTree

CFG = grpo.Config(beta=0.5, clip_high=0.4, scale=False)
DR = grpo.Config(beta=0.0, scale=False, aggregation="constant")
WORDS = PrefixTree(n_words=5, depth=1)  # six responses of one token each
N = TREE.n_responses


def filled(batch, cfg=CFG):
    return replace(batch, advantages=grpo.advantages(batch, cfg))


def hand_batch(cfg=CFG):
    """Two prompts with two responses each, of 2 and 1, 1 and 2 tokens.

    A = (1, −1) and (−2, 2). ρ is (1.5, 1); 0.5; 0.7; (1.1, 2). The first token of row 0
    is twice, that of row 2 half as likely as under the reference.
    """
    mask = torch.tensor([[0, 1, 1], [0, 1, 0], [0, 1, 0], [0, 1, 1]], dtype=torch.bool)
    ratio = torch.tensor([[7, 1.5, 1], [7, 0.5, 9], [7, 0.7, 9], [7, 1.1, 2]])
    over = torch.tensor([[8, 2, 1], [8, 1, 3], [8, 0.5, 3], [8, 1, 1]])
    policy = torch.full((4, 3), -2.0, dtype=F64)
    batch = Rollouts(
        policy=policy,
        old=policy - ratio.to(F64).log(),
        ref=policy - over.to(F64).log(),
        mask=mask,
        scores=torch.tensor([3.0, 1, 2, 6], dtype=F64),
        group=2,
    )
    return filled(batch, cfg)


# β k3 of rows 0 and 2: ½(½ − 1 + log 2) and ½(2 − 1 − log 2)
UP, DOWN = 0.5 * (math.log(2) - 0.5), 0.5 * (1 - math.log(2))
TOTAL = torch.tensor([UP - 2.4, 0.8, DOWN + 1.6, -5], dtype=F64)


def check_hand_numbers(loss):
    """Gains min(1.5, 1.4) + 1; −max(0.5, 0.8); −2·max(0.7, 0.8); 2(1.1 + 1.4)."""
    divisors = {"response": (2, 1, 1, 2), "token": (1.5,) * 4, "constant": (4,) * 4}
    for name, divisor in divisors.items():
        cfg = replace(CFG, aggregation=name, length=4.0)
        hand = TOTAL / torch.tensor(divisor, dtype=F64)
        assert_close(loss(hand_batch(), cfg), hand)


def check_gradient_by_hand(loss):
    """−ρA where the clip is silent, 0 where it acts; β(1 − π_ref/π) of the KL."""
    batch = hand_batch()
    batch.policy.requires_grad_()
    cfg = replace(CFG, aggregation="constant")
    (got,) = torch.autograd.grad(loss(batch, cfg).sum(), batch.policy)
    hand = [[0, 0.25, -1], [0, 0, 0], [0, -0.5, 0], [0, -2.2, 0]]
    assert_close(got, torch.tensor(hand, dtype=F64))


def check_groups_are_prompts(loss):
    """Another prompt's rewards, and its responses, change nothing here."""
    batch = hand_batch()
    other = filled(replace(batch, scores=batch.scores * torch.tensor([1.0, 1, 9, 9])))
    for name in ("response", "token", "constant"):
        cfg = replace(CFG, aggregation=name)
        alone = loss(batch[:2], cfg)
        assert_close(loss(batch, cfg)[:2], alone)
        assert_close(loss(other, cfg)[:2], alone)


def check_weighed_kl_by_hand(loss):
    """The KL of row 0 times 1.5, of row 2 times 0.7."""
    cfg = replace(CFG, aggregation="constant", weigh_kl=True)
    more = torch.tensor([0.5 * UP, 0, -0.3 * DOWN, 0], dtype=F64)
    assert_close(loss(hand_batch(), cfg), TOTAL + more)


def check_only_the_policy_learns(loss):
    """Nothing flows into the reference, the policy that sampled, or A."""
    batch = hand_batch()
    frozen = [batch.old, batch.ref, batch.advantages]
    batch.policy.requires_grad_()
    for each in frozen:
        each.requires_grad_()
    for weigh in (False, True):
        total = loss(batch, replace(CFG, weigh_kl=weigh)).sum()
        got = torch.autograd.grad(total, frozen, allow_unused=True)
        assert all(g is None or g.abs().max() == 0 for g in got)


CHECKS = [
    check_hand_numbers,
    check_gradient_by_hand,
    check_groups_are_prompts,
    check_weighed_kl_by_hand,
    check_only_the_policy_learns,
]


@pytest.mark.parametrize("check", CHECKS)
def test_loss_passes(check):
    check(grpo.loss)


@pytest.mark.parametrize("name", grpo.mistakes)
def test_mistake_is_caught(name):
    assert_caught(grpo.mistakes[name], CHECKS)


# ---- advantages ---------------------------------------------------------------------


def test_advantages_by_hand():
    """Rewards (3, 1) and (2, 6): deviation √2 and 2√2, or 1 and 2 divided by n."""
    batch = hand_batch()
    for cfg, hand in (
        (CFG, [1.0, -1, -2, 2]),
        (grpo.Config(eps=0.0), [0.5**0.5, -(0.5**0.5), -(0.5**0.5), 0.5**0.5]),
        (grpo.Config(eps=0.0, correction=0), [1.0, -1, -1, 1]),
        (grpo.Config(eps=1.0, correction=0), [1 / 2, -1 / 2, -2 / 3, 2 / 3]),
    ):
        spread = batch.mask * torch.tensor(hand, dtype=F64)[:, None]
        assert_close(grpo.advantages(batch, cfg), spread)


def test_scaled_advantages_ignore_shift_and_scale_of_the_reward():
    batch, cfg = hand_batch(), grpo.Config(eps=0.0)
    moved = replace(batch, scores=3 * batch.scores + 7)
    assert_close(grpo.advantages(moved, cfg), grpo.advantages(batch, cfg))
    centred = grpo.advantages(batch, CFG)
    assert_close(grpo.advantages(moved, CFG), 3 * centred)


def test_equal_rewards_leave_only_the_kl():
    batch = replace(hand_batch(), scores=torch.ones(4, dtype=F64))
    got = grpo.loss(filled(batch, grpo.Config()), replace(CFG, aggregation="constant"))
    assert_close(got.tolist(), [UP, 0.0, DOWN, 0.0])


def test_a_single_response_is_refused():
    with pytest.raises(ValueError, match="at least two responses"):
        grpo.advantages(replace(hand_batch(), group=1), CFG)


# ---- the expected gradient, by enumeration ------------------------------------------


def every_group(logits, ref, reward, k, tree=TREE):
    """All groups of k responses to one prompt, with their chance under the policy."""
    rows = torch.tensor(list(itertools.product(range(tree.n_responses), repeat=k)))
    tokens, mask = token_logps(tree, logits.log_softmax(-1))
    ref_tokens, _ = token_logps(tree, ref)
    flat = rows.flatten()
    batch = Rollouts(
        policy=tokens[flat],
        old=tokens[flat].detach(),
        ref=ref_tokens[flat],
        mask=mask[flat],
        scores=reward[flat],
        group=k,
    )
    return batch, logits.detach().log_softmax(-1)[rows].sum(-1).exp()


def expected_gradient(cfg, k, reward, at=None, ref=None, tree=TREE, loss=grpo.loss):
    """Σ over groups of their chance times the gradient of the mean of their losses."""
    n = tree.n_responses
    logits = (random_logps(2, n) if at is None else at).clone().requires_grad_()
    ref = random_logps(0, n) if ref is None else ref
    batch, chance = every_group(logits, ref, reward, k, tree)
    each = loss(filled(batch, cfg), cfg).reshape(-1, k).mean(-1)
    return torch.autograd.grad(chance @ each, logits)[0]


def ascent(value, at=None, n=N):
    """∇ Σ_y π(y) value(y), the value held still."""
    logits = (random_logps(2, n) if at is None else at).clone().requires_grad_()
    total = logits.softmax(-1) @ value.detach()
    return torch.autograd.grad(total, logits)[0]


@pytest.mark.parametrize("k", [2, 3])
def test_dr_grpo_climbs_the_reward_and_only_the_reward(k):
    """E ∇L = −(k − 1)/k ∇E[r]/length."""
    reward = random(1, N)
    got = expected_gradient(replace(DR, length=5.0), k, reward)
    assert_close(got, -(k - 1) / k * ascent(reward) / 5)


@pytest.mark.parametrize("k", [2, 3])
def test_length_bias_of_a_mean_per_response(k):
    """E ∇L = −(k − 1)/k ∇E[(r − r̄)/|y|], r̄ = E[r] held still: another objective."""
    reward = random(1, N)
    length = token_logps(TREE, random_logps(2))[1].sum(-1)
    centred = reward - random_logps(2).exp() @ reward
    got = expected_gradient(replace(DR, aggregation="response"), k, reward)
    assert_close(got, -(k - 1) / k * ascent(centred / length))
    true = expected_gradient(DR, k, reward)
    assert torch.cosine_similarity(got, true, dim=0) < 0.999


def test_a_wrong_answer_of_two_tokens_falls_half_as_fast_as_one_of_one():
    """One right answer of 13, all equally likely.

    A wrong answer has the same A on average, whatever its length: Dr. GRPO pushes all
    of them down alike, and a mean per response pushes by 1/|y|.
    """
    reward = torch.zeros(N, dtype=F64)
    reward[5] = 1.0
    even = torch.full((N,), -math.log(N), dtype=F64)
    length = token_logps(TREE, even)[1].sum(-1)
    for cfg, factor in ((DR, 1.0), (replace(DR, aggregation="response"), 2.0)):
        batch, chance = every_group(even, even, reward, 2)
        batch = filled(batch, cfg)
        policy = batch.policy.clone().requires_grad_()
        each = grpo.loss(replace(batch, policy=policy), cfg).reshape(-1, 2).mean(-1)
        (push,) = torch.autograd.grad(chance @ each, policy)
        push = push.sum(-1) / batch.mask.sum(-1)  # it is the same on all tokens
        member = torch.cartesian_prod(torch.arange(N), torch.arange(N)).flatten()
        total = torch.zeros(N, dtype=F64).index_add(0, member, push)
        short, long = (total[(length == n) & (reward == 0)] for n in (1, 2))
        assert_close(short, factor * long[:1].expand_as(short))
        assert (short > 0).all()


def test_a_mean_over_the_tokens_of_a_group_by_enumeration():
    """E ∇L = −½ Σ over pairs of π π′ (r − r′)(∇log π − ∇log π′)/(|y| + |y′|).

    With responses of one length it is Dr. GRPO's gradient over that length; not here.
    """
    reward, logits = random(1, N), random_logps(2).clone().requires_grad_()
    logps, length = (
        logits.log_softmax(-1),
        token_logps(TREE, random_logps(2))[1].sum(-1),
    )
    chance = (logps[:, None] + logps).detach().exp()
    gap = reward[:, None] - reward
    pull = (logps[:, None] - logps) * gap / (length[:, None] + length)
    (hand,) = torch.autograd.grad(-(chance * pull).sum() / 2, logits)
    got = expected_gradient(replace(DR, aggregation="token"), 2, reward)
    assert_close(got, hand)
    true = expected_gradient(DR, 2, reward)
    assert torch.cosine_similarity(got, true, dim=0) < 0.999


def test_dr_grpo_is_rloo_up_to_k_minus_1_over_k():
    """On policy and without KL, sample by sample."""
    batch, _ = every_group(
        random_logps(2).requires_grad_(), random_logps(0), random(1, N), 3
    )
    ours = grpo.loss(filled(batch, DR), DR)
    free = rloo.Config(beta=0.0)
    theirs = rloo.loss(replace(batch, advantages=rloo.advantages(batch, free)), free)
    weight = random(4, len(ours))
    one, two = (
        torch.autograd.grad(weight @ x, batch.policy, retain_graph=True)[0]
        for x in (ours, theirs)
    )
    assert_close(one, 2 / 3 * two)


# ---- difficulty bias: 0/1 rewards ---------------------------------------------------


def slope(p, k):
    """What multiplies ∇p in the expected gradient with 0/1 rewards, by derivation.

    K of k answers are right. A right one has (1 − K/k)/s, a wrong one −(K/k)/s, with
    s² = K(k − K)/(k(k − 1)); ∇log π is ∇p/p on average over right answers and
    −∇p/(1 − p) over wrong ones. Hence √(k(k − 1))/k² · E√(K(k − K)) / (p(1 − p)).
    """
    right = torch.arange(k + 1, dtype=F64)
    chance = torch.distributions.Binomial(k, torch.tensor(p, dtype=F64))
    root = chance.log_prob(right).exp() @ (right * (k - right)).sqrt()
    return math.sqrt(k * (k - 1)) / k**2 * root.item() / (p * (1 - p))


@pytest.mark.parametrize("shift", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_difficulty_bias_by_enumeration_of_all_groups(k, shift):
    """The same answers are right; the policy gives them more and more chance."""
    n = WORDS.n_responses
    reward = (torch.arange(n) < 2).to(F64)
    at = (random_logps(2, n) + shift * reward).log_softmax(-1)
    p = (at.exp() @ reward).item()
    cfg = replace(DR, scale=True, eps=1e-13)
    got = expected_gradient(cfg, k, reward, at=at, tree=WORDS)
    hand = -slope(p, k) * ascent(reward, at=at)
    assert_close(got, hand, atol=1e-10, rtol=1e-8)


def expected_slope(p, k, cfg):
    """The same number by the module's own advantages: one group for each K."""
    right = torch.arange(k + 1)
    scores = (torch.arange(k) < right[:, None]).to(F64)
    one = torch.ones(scores.numel(), 1, dtype=F64)
    batch = Rollouts(one, one, one, one.bool(), scores.flatten(), group=k)
    value = grpo.advantages(batch, cfg).reshape(k + 1, k)
    mean = (value * (scores / p - (1 - scores) / (1 - p))).mean(-1)
    chance = torch.distributions.Binomial(k, torch.tensor(p, dtype=F64))
    return (chance.log_prob(right.to(F64)).exp() @ mean).item()


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5, 0.9])
def test_with_many_answers_scaled_rewards_climb_the_arcsine_of_the_chance(p):
    """d(2 arcsin √p)/dp = 1/√(p(1 − p)); without scale the slope is (k − 1)/k."""
    cfg = grpo.Config(eps=1e-13)
    limit = 1 / math.sqrt(p * (1 - p))
    gaps = [abs(expected_slope(p, k, cfg) / limit - 1) for k in (64, 256, 1024)]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.02
    assert expected_slope(p, 64, cfg) == pytest.approx(slope(p, 64))
    assert expected_slope(p, 64, DR) == pytest.approx(63 / 64)


def test_two_or_three_answers_know_no_difficulty():
    """K(k − K) is the same for every mixed group then; with 64 answers it is not."""
    cfg = grpo.Config(eps=1e-13)
    for p in (0.02, 0.5, 0.9):
        assert expected_slope(p, 2, cfg) == pytest.approx(1 / 2**0.5)
        assert expected_slope(p, 3, cfg) == pytest.approx(2 / 3**0.5)
    hard, even = (expected_slope(p, 64, cfg) for p in (0.02, 0.5))
    assert hard / even == pytest.approx(2.955, abs=1e-3)


# ---- the KL, and where it all comes to rest -----------------------------------------


@pytest.mark.parametrize("weigh", [False, True])
def test_pull_of_k3_is_the_forward_kl_and_that_of_k3_times_rho_the_reverse(weigh):
    """Of each token, the prefixes visited by π held still."""
    logits, ref = random_logps(2).clone().requires_grad_(), random_logps(0)
    mine, other = (TREE.conditionals(x.log_softmax(-1)) for x in (logits, ref))
    visits = TREE.reach_logps(mine).exp().detach()
    drift = categorical_kl(mine, other) if weigh else categorical_kl(other, mine)
    (hand,) = torch.autograd.grad(visits @ drift, logits)
    cfg = replace(DR, beta=1.0, weigh_kl=weigh)
    got = expected_gradient(cfg, 2, torch.zeros(N, dtype=F64))
    assert_close(got, hand)


def test_k1_in_the_loss_holds_nobody():
    nothing = torch.zeros(N, dtype=F64)
    cfg = replace(DR, beta=1.0)
    got = expected_gradient(cfg, 2, nothing, loss=grpo.mistakes["2 k1 for k3"])
    assert got.abs().max() < 1e-12


def test_fixed_point_of_two_scaled_answers_knows_only_the_order_of_rewards():
    """π = π_ref/(1 − a/β), a = E_π sign(r − r′)/√2; given π, this is π_ref."""
    reward, n, beta = random(1, WORDS.n_responses), WORDS.n_responses, 0.9
    rest = random_logps(2, n)
    order = (reward[:, None] - reward).sign() @ rest.exp() / math.sqrt(2)
    ref = (rest.exp() * (1 - order / beta)).log()
    assert_close(ref.exp().sum().item(), 1.0)
    cfg = grpo.Config(beta=beta, eps=1e-13)
    for scale in (reward, 10 * reward**3):
        got = expected_gradient(cfg, 2, scale, at=rest, ref=ref, tree=WORDS)
        assert got.abs().max() < 1e-10
    best = optimal_policy(ref, reward, beta)
    there = expected_gradient(cfg, 2, reward, at=best, ref=ref, tree=WORDS)
    assert there.abs().max() > 1e-2


@pytest.mark.parametrize("k", [2, 3])
def test_dr_grpo_with_a_weighed_kl_rests_at_the_optimum_for_single_tokens(k):
    """Our β is (k − 1)/k times that of π*_β; k3 alone rests elsewhere."""
    reward, ref = random(1, WORDS.n_responses), random_logps(0, WORDS.n_responses)
    best = optimal_policy(ref, reward, 0.5)
    cfg = replace(DR, beta=0.5 * (k - 1) / k, weigh_kl=True)
    got = expected_gradient(cfg, k, reward, at=best, ref=ref, tree=WORDS)
    assert got.abs().max() < 1e-12
    plain = replace(cfg, weigh_kl=False)
    other = expected_gradient(plain, k, reward, at=best, ref=ref, tree=WORDS)
    assert other.abs().max() > 1e-3


def test_more_than_one_token_has_no_such_optimum():
    """The KL of a token pays for no prefix that it leads to."""
    reward, ref = random(1, N), random_logps(0)
    best = optimal_policy(ref, reward, 0.5)
    cfg = replace(DR, beta=0.25, weigh_kl=True)
    got = expected_gradient(cfg, 2, reward, at=best, ref=ref)
    assert got.abs().max() > 1e-2


# ---- TRL ----------------------------------------------------------------------------


def trl_loss(batch, loss_type, beta=0.0, **settings):
    """What GRPOTrainer returns for rollouts: one number."""
    cls = trainer_class("trl", "GRPOTrainer")
    told = {"use_bias_correction_kl": False, "delta": None, "steps_per_generation": 1}
    told |= {"sapo_temperature_pos": 1.0, "sapo_temperature_neg": 1.05}
    told |= {"vespo_k_pos": 2.0, "vespo_lambda_pos": 3.0}
    told |= {"vespo_k_neg": 3.0, "vespo_lambda_neg": 2.0}
    known = {name: settings.pop(name) for name in tuple(settings) if name in told}
    settings_of_trl = {
        "loss_type": loss_type, "beta": beta, "args": SimpleNamespace(**told | known),
        "epsilon_low": 0.2, "epsilon_high": 0.28, "max_completion_length": 7,
        "top_entropy_quantile": 1.0, "off_policy_mask_threshold": None,
        "importance_sampling_level": "token", "use_vllm": False,
        "current_gradient_accumulation_steps": 1, "_entropy_bonus_enabled": False,
        "_metrics": {"train": defaultdict(list)},
        "accelerator": SimpleNamespace(
            gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1
        ),
    }  # fmt: skip
    trainer = state(cls, **settings_of_trl | settings)
    zero = torch.zeros_like(batch.policy)
    answer = (batch.policy, zero, None)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: answer
    ids = torch.zeros_like(batch.mask, dtype=torch.long)
    value = batch.advantages.sum(-1) / batch.mask.sum(-1)  # one per response
    inputs = {
        "prompt_ids": ids[:, :0], "prompt_mask": ids[:, :0], "completion_ids": ids,
        "completion_mask": batch.mask.long(), "advantages": value,
        "old_per_token_logps": batch.old, "ref_per_token_logps": batch.ref,
        "num_items_in_batch": batch.mask.sum(),
    }  # fmt: skip
    return cls._compute_loss(trainer, trainer.model, inputs)


TRL = grpo.Config(beta=0.3, clip_high=0.28, length=7.0)
SAME = {  # our aggregation, for one group; TRL's name
    "grpo": "response", "bnpo": "token", "dapo": "token", "dr_grpo": "constant",
}  # fmt: skip


def rollouts(prompts=1, group=6, seed=3):
    """Random responses of 1 to 6 tokens whose ρ is on both sides of the clip."""
    generator = torch.Generator().manual_seed(seed)
    batch = Rollouts.example(generator, batch=prompts * group, time=7)
    batch = replace(batch, group=group, values=None, old_values=None, returns=None)
    batch.policy.requires_grad_()
    return filled(batch, TRL)


def assert_same(ours, theirs, batch):
    """Values agree, and so do gradients in every token of the policy."""
    assert_close(ours, theirs, **EXACT)
    one, two = (
        torch.autograd.grad(x, batch.policy, retain_graph=True)[0]
        for x in (ours, theirs)
    )
    assert one.abs().max() > 0
    assert_close(one, two, **EXACT)


@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("name", SAME)
def test_value_and_gradient_of_a_group_are_those_of_trl(name, weigh):
    batch = rollouts()
    cfg = replace(TRL, aggregation=SAME[name], weigh_kl=weigh)
    theirs = trl_loss(batch, name, TRL.beta, use_bias_correction_kl=weigh)
    assert_same(grpo.loss(batch, cfg).mean(), theirs, batch)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo"])
def test_several_groups_are_those_of_trl_too(name):
    batch = rollouts(prompts=3)
    ours = grpo.loss(batch, replace(TRL, aggregation=SAME[name])).mean()
    assert_same(ours, trl_loss(batch, name, TRL.beta), batch)


@pytest.mark.parametrize("name", ["bnpo", "dapo"])
def test_trl_counts_the_tokens_of_the_batch_and_dapo_those_of_a_group(name):
    """TRL's is our mean with each group weighed by its tokens over the mean of them."""
    batch = rollouts(prompts=3, seed=4)
    each = grpo.loss(batch, replace(TRL, aggregation="token")).reshape(3, -1).mean(-1)
    tokens = batch.mask.sum(-1).reshape(3, -1).sum(-1)
    theirs = trl_loss(batch, name, TRL.beta)
    assert_same((each * tokens / tokens.double().mean()).mean(), theirs, batch)
    assert (each.mean() - theirs).abs() > 1e-3


def test_luspo_over_tokens_is_the_sum():
    """With ratios of tokens TRL's luspo is "constant" with length 1."""
    batch, cfg = rollouts(), replace(TRL, aggregation="constant", length=1.0)
    theirs = trl_loss(batch, "luspo", TRL.beta)
    assert_same(grpo.loss(batch, cfg).mean(), theirs, batch)
    whole = trl_loss(batch, "luspo", 0.0, importance_sampling_level="sequence")
    assert (grpo.loss(batch, replace(cfg, beta=0.0)).mean() - whole).abs() > 1e-3


@pytest.mark.parametrize("name", ["cispo", "sapo", "vespo"])
def test_other_surrogates_of_trl_have_our_gradient_on_policy_and_only_there(name):
    """cispo and vespo over all tokens, sapo per response; the values differ."""
    batch = rollouts()
    same = replace(batch, old=batch.policy.detach())
    way = "response" if name == "sapo" else "token"
    for given, equal in ((same, True), (batch, False)):
        ours = grpo.loss(given, replace(TRL, aggregation=way)).mean()
        theirs = trl_loss(given, name, TRL.beta, epsilon_high=5.0)
        one, two = (torch.autograd.grad(x, batch.policy)[0] for x in (ours, theirs))
        assert torch.allclose(one, two, atol=1e-6) == equal


# ---- training -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["response", "token", "constant"])
def test_it_climbs_the_reward_it_is_given(name):
    world = Reviews(2)
    reference = tiny.reference(world)
    ref = reference.response_logps(world).detach()

    def reward(policy):
        value = (policy.response_logps(world).exp() * world.gold).sum(-1).mean()
        return pd.DataFrame({"gold": [value.item()]})

    run = online.fit(
        TabularPolicy(world, ref), reference, world, online.TableReward(world.gold),
        grpo, grpo.Config(aggregation=name), steps=30, lr=0.1, epochs=2, every=30,
        measures=[reward],
    )  # fmt: skip
    first, last = run.metrics.gold
    assert last > first + 0.5
