"""Step-DPO by hand, beside DPO, and what it learns from the labels of two values."""

import math
from dataclasses import replace
from types import SimpleNamespace

import torch
from torch.testing import assert_close

from tests.methods.enumerated import random
from tests.methods.pairwise import pair
from tests.methods.tokenwise import gradients, greedy, node_gradient, node_logits
from tests.methods.tokenwise import labels as of_responses
from workbench.feedback.kinds.step_pairs import PairSteps
from workbench.measure.prefix_values import of_policy
from workbench.methods.direct.links import dpo
from workbench.methods.direct.tokens import step_dpo, tdpo1
from workbench.methods.values import soft_backup
from workbench.worlds.tree import PrefixTree

CFG = step_dpo.Config(beta=0.4)
TREE = PrefixTree(n_words=2, depth=3)
ACTIONS = TREE.n_words + 1


def columns(*numbers):
    """True in these columns of a row of six."""
    return torch.tensor([[i in numbers for i in range(6)]])


def hand_batch():
    """A shared token, then steps of two and one tokens, then one more of the chosen.

    D of the steps = (−1 + 2) + (−2 + 2.5) − (−3 + 2) = 2.5, βD = 1.
    """
    batch = pair(
        [-0.5, -1.0, -2.0, -0.7], [-0.5, -3.0], [-1.5, -2.0, -2.5, -0.1], [-1.5, -2.0]
    )
    return PairSteps(**vars(batch), chosen_step=columns(2, 3), rejected_step=columns(2))


def all_steps(policy, ref, more=True):
    """Every prefix s with every two actions a, b: row (s, a, b).

    The step is the one token a or b; a token behind it does not belong to it.
    """
    nodes, actions = TREE.paths(torch.arange(TREE.n_nodes))
    length = TREE.n_response_words[: TREE.n_nodes]
    s, a, b = torch.cartesian_prod(
        torch.arange(TREE.n_nodes), torch.arange(ACTIONS), torch.arange(ACTIONS)
    ).unbind(1)
    at = torch.arange(TREE.depth)
    inside, here = at <= length[s][:, None], at == length[s][:, None]
    behind = at == length[s][:, None] + 1

    def row(table, last, junk):
        taken = torch.where(here, last[:, None], actions[s].clamp(min=0))
        tokens = table[nodes[s].clamp(min=0), taken]
        return torch.where(inside, tokens, junk)

    mask = inside | (behind & more)
    chosen, ref_chosen = row(policy, a, -1.3), row(ref, a, -0.4)
    rejected, ref_rejected = row(policy, b, -0.2), row(ref, b, -2.0)
    return PairSteps(chosen, rejected, ref_chosen, ref_rejected, mask, mask, here, here)


def labels(q, seed):
    """w_sab σ(Q(s, a) − Q(s, b)) with random w, symmetric in a and b."""
    weight = random(seed, TREE.n_nodes, ACTIONS, ACTIONS).exp()
    weight = weight + weight.transpose(1, 2)
    return (weight * (q[:, :, None] - q[:, None]).sigmoid()).flatten()


def slope(loss, at, ref, wins, more=True):
    """Gradient of the labelled steps in next-token logits at a policy."""
    logits = at.clone().requires_grad_()
    each = loss(all_steps(logits.log_softmax(-1), ref, more), CFG)
    return torch.autograd.grad(wins @ each, logits)[0]


def check_hand_number(loss):
    """βD = 1: L = log(1 + e^−1)."""
    assert_close(loss(hand_batch(), CFG).tolist(), [math.log1p(math.exp(-1))])


def check_hand_gradient(loss):
    """The push 0.4/(1 + e) on tokens of the steps alone, and none on π_ref."""
    found = gradients(loss, hand_batch(), CFG)
    push = 0.4 / (1 + math.e)
    assert_close(found["policy_chosen"], -push * columns(2, 3).double())
    assert_close(found["policy_rejected"], push * columns(2).double())
    assert found["ref_chosen"].abs().max() == found["ref_rejected"].abs().max() == 0


def check_optimal_values_give_the_optimal_policy(loss):
    """Labels σ(V*(s·a) − V*(s·b)): π*_β is stationary at every prefix."""
    ref, reward = node_logits(1, TREE).log_softmax(-1), 2 * random(2, TREE.n_responses)
    exact = soft_backup.backup(TREE, ref, reward, CFG.beta)
    left = slope(loss, exact.log_policy, ref, labels(exact.Q, 3))
    assert left.abs().max() < 1e-11


def check_a_longer_rejected_step_counts_whole(loss):
    """Steps of one and two tokens: D = (−1 + 2) − (−3 + 2 − 2 + 1.5) = 2.5 again."""
    inner = pair([-0.5, -1.0], [-0.5, -3.0, -2.0], [-1.5, -2.0], [-1.5, -2.0, -1.5])
    batch = PairSteps(
        **vars(inner),
        chosen_step=columns(2)[:, :5],
        rejected_step=columns(2, 3)[:, :5],
    )
    assert_close(loss(batch, CFG).tolist(), [math.log1p(math.exp(-1))])


CHECKS = [
    check_hand_number,
    check_hand_gradient,
    check_a_longer_rejected_step_counts_whole,
    check_optimal_values_give_the_optimal_policy,
]


def test_it_is_dpo_where_pairs_share_their_prefix_and_end_with_the_step():
    """The prefix cancels in D, and in the gradient of the shared parameters."""
    ref, policy = (node_logits(s, TREE).log_softmax(-1) for s in (1, 4))
    batch = all_steps(policy, ref, more=False)
    assert_close(step_dpo.loss(batch, CFG), dpo.loss(batch, CFG))
    wins = labels(random(5, TREE.n_nodes, ACTIONS), 6)
    one = slope(step_dpo.loss, policy, ref, wins, more=False)
    assert_close(one, slope(dpo.loss, policy, ref, wins, more=False))
    longer = all_steps(policy, ref)
    assert (step_dpo.loss(longer, CFG) - dpo.loss(longer, CFG)).abs().max() > 0.1


def test_tokens_outside_the_step_are_not_read():
    batch = hand_batch()
    moved = replace(
        batch,
        policy_chosen=batch.policy_chosen + 3.0 * ~batch.chosen_step,
        ref_rejected=batch.ref_rejected - 2.0 * ~batch.rejected_step,
    )
    assert_close(step_dpo.loss(moved, CFG), step_dpo.loss(batch, CFG))


def test_values_of_the_reference_give_the_policy_that_tdpo1_ends_at():
    """Labels σ(V^ref(s·a) − V^ref(s·b)) of steps, labels σ(r_i − r_j) of responses."""
    ref, reward = node_logits(1, TREE).log_softmax(-1), 2 * random(2, TREE.n_responses)
    linear = soft_backup.linear(TREE, ref, reward)
    best, _ = greedy(TREE, ref, reward, CFG.beta)
    assert slope(step_dpo.loss, best, ref, labels(linear.Q, 3)).abs().max() < 1e-11
    wins, cfg = of_responses(reward, 5), tdpo1.Config(beta=CFG.beta)
    whole = node_gradient(tdpo1.loss, cfg, best, ref, wins, TREE)
    assert whole.abs().max() < 1e-10


def test_each_value_gives_its_own_policy_and_not_the_other():
    ref, reward = node_logits(1, TREE).log_softmax(-1), 2 * random(2, TREE.n_responses)
    linear = soft_backup.linear(TREE, ref, reward)
    exact = soft_backup.backup(TREE, ref, reward, CFG.beta)
    best, _ = greedy(TREE, ref, reward, CFG.beta)
    for at, q in ((best, exact.Q), (exact.log_policy, linear.Q)):
        assert slope(step_dpo.loss, at, ref, labels(q, 3)).abs().max() > 0.1


def minimise(ref, wins):
    """The policy with the smallest labelled loss, from the reference."""
    logits = ref.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [logits], max_iter=200, tolerance_grad=1e-11, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimiser.zero_grad()
        each = step_dpo.loss(all_steps(logits.log_softmax(-1), ref), CFG)
        value = wins @ each / len(wins)
        value.backward()
        return value

    optimiser.step(closure)
    return logits.detach().log_softmax(-1)


def test_training_finds_the_policy_of_the_labels():
    ref = node_logits(1, TREE).log_softmax(-1)
    q = random(8, TREE.n_nodes, ACTIONS)
    expected = (ref + q / CFG.beta).log_softmax(-1)
    assert_close(minimise(ref, labels(q, 3)), expected, atol=1e-6, rtol=0)


def test_rounds_of_labels_by_the_latest_policy_reach_the_optimal_one():
    """Soft policy iteration: as many rounds as a response has tokens, and not fewer."""
    ref, reward = node_logits(1, TREE).log_softmax(-1), 2 * random(2, TREE.n_responses)
    star = soft_backup.backup(TREE, ref, reward, CFG.beta).log_policy
    world, ref_logps = SimpleNamespace(tree=TREE), TREE.response_logps(ref)[None]
    height = TREE.depth - TREE.n_response_words[: TREE.n_nodes]
    policy = ref
    for done in range(1, TREE.depth + 1):
        logps = TREE.response_logps(policy)[None]
        values = of_policy(logps, world, ref_logps, CFG.beta, reward[None])[0, 0]
        q = TREE.action_values(values, reward)
        policy = (ref + q / CFG.beta).log_softmax(-1)
        assert slope(step_dpo.loss, policy, ref, labels(q, 3)).abs().max() < 1e-11
        off = (policy - star).abs().amax(-1)
        assert off[height <= done].max() < 1e-10
        assert off[height > done].numel() == 0 or off[height > done].max() > 1e-3
