"""ILQL by hand, at its fixed point on a tree, trained on a table, and decoded."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.models.test_steered_policy import Table
from workbench.feedback.kinds.token_values import TokenResponses, TokenValues
from workbench.loops import values
from workbench.methods.values import ilql, soft_backup
from workbench.models import tiny
from workbench.worlds.probes import YesNo
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import optimal_policy

PLAIN = ilql.Config(tau=0.75, gamma=1.0, cql=0.0)
REWARD = random(1, TREE.n_responses)
NOISE = 9.0  # prompt and padding hold it


def hand_batch():
    """Two tokens between a prompt and padding, two heads, three words."""
    return TokenValues(
        q=torch.tensor(
            [[[[9, 9, 9], [9, 9, 9]], [[1, 0, 0], [2, 0, 0]],
              [[0, 3, 0], [0, 1, 0]], [[9, 9, 9], [9, 9, 9]]]], dtype=F64
        ),
        v=torch.tensor([[9, 0.5, 1, 7]], dtype=F64),
        target=torch.tensor([[[9, 9], [1.5, 2.5], [0, 4], [9, 9]]], dtype=F64),
        taken=torch.tensor([[2, 0, 1, 2]]),
        mask=torch.tensor([[False, True, True, False]]),
        scores=torch.tensor([2.0], dtype=F64),
    )  # fmt: skip


def check_hand_number(loss):
    """Token 1: Q = (1, 2) to 0 + V = 1, so 0 + 1; gap 1.5 − 0.5 above, ¾ · 1.
    Token 2: Q = (3, 1) to the score 2, so 1 + 1; gap 0 − 1 below, ¼ · 1. In all 4."""
    assert_close(loss(hand_batch(), PLAIN).tolist(), [4.0])


def check_discounted_mean_by_hand(loss):
    """γ = ½: token 1 has the target ½, so ¼ + 2¼ in place of 1; half of 5.5."""
    cfg = replace(PLAIN, gamma=0.5, reduce="mean")
    assert_close(loss(hand_batch(), cfg).tolist(), [2.75])


def check_price_by_hand(loss):
    """α = ½: log(e + 2) − 1, log(e² + 2) − 2, log(e³ + 2) − 3, log(e + 2) − 1."""
    cfg = replace(PLAIN, cql=0.5)
    powers = torch.tensor([1.0, 2, 3, 1], dtype=F64)
    price = ((powers.exp() + 2).log() - powers).sum() / 2
    assert_close(loss(hand_batch(), cfg), 4 + price[None])


def check_gradients_by_hand(loss):
    """2 (Q − target) for each head, −2 |τ − 1(u < 0)| u for V, and no other: none
    into the slow copy, none from the TD term into the V of the next prefix."""
    batch = hand_batch()
    wanted = {name: getattr(batch, name).requires_grad_() for name in ("q", "v")}
    slow = batch.target.requires_grad_()
    total = loss(batch, PLAIN).sum()
    got = torch.autograd.grad(total, [*wanted.values(), slow], allow_unused=True)
    assert_close(got[0][0, 1, :, 0], torch.tensor([0.0, 2], dtype=F64))
    assert_close(got[0][0, 2, :, 1], torch.tensor([2.0, -2], dtype=F64))
    assert got[0].ne(0).sum() == 3
    assert_close(got[1], torch.tensor([[0, -1.5, 0.5, 0]], dtype=F64))
    assert got[2] is None or got[2].abs().max() == 0


def all_responses(q, v, target=None):
    """Every response of the tree under tables of two heads, noise elsewhere."""
    nodes, actions = TREE.paths(torch.arange(TREE.n_responses))
    at, taken = nodes.clamp(min=0), actions.clamp(min=0)

    def laid(table):
        shape = (*nodes.shape, *[1] * (table.ndim - 1))
        body = torch.where((nodes >= 0).reshape(shape), table[at], NOISE)
        return torch.cat([torch.full_like(body[:, :1], NOISE), body], dim=1)

    taken = torch.nn.functional.pad(taken, (1, 0))
    mask = torch.nn.functional.pad(nodes >= 0, (1, 0))
    slow = laid(q if target is None else target)
    place = taken[..., None, None].expand(*slow.shape[:-1], 1)
    return TokenValues(
        laid(q), laid(v), slow.gather(-1, place)[..., 0].detach(), taken, mask, REWARD
    )


def gradient(loss, logps, q, v, cfg):
    """Σ_y μ(y) ∇L(y) in the tables of Q and V; one table stands for both heads."""
    q, v = (table.clone().requires_grad_() for table in (q, v))
    batch = all_responses(q[:, None].expand(-1, 2, -1), v)
    total = logps.exp() @ loss(batch, cfg)
    return torch.autograd.grad(total, [q, v])


def expectile(q, weight, tau):
    """The root of Σ w |τ − 1(q < v)| (q − v): Newton's steps end after finitely many,
    for the sum is made of straight pieces and falls everywhere."""
    v = (weight * q).sum(-1, keepdim=True)
    for _ in range(50):
        each = weight * torch.where(q < v, 1 - tau, tau)
        v = (each * q).sum(-1, keepdim=True) / each.sum(-1, keepdim=True)
    return v[..., 0]


def fixed_point(logps, tau):
    """Q and V of every prefix, from the leaves to the root; γ = 1 and α = 0."""
    conditionals = TREE.conditionals(logps)
    v = torch.zeros(TREE.n_nodes, dtype=F64)
    for length in reversed(range(TREE.depth)):
        here = TREE.level(length)
        q = TREE.action_values(v, REWARD)[here]
        v[here] = expectile(q, conditionals[here].exp(), tau)
    return TREE.action_values(v, REWARD), v


def check_expectile_backup_is_the_fixed_point(loss):
    """Q = r + V(s·a) and V its τ-expectile under the data: no gradient is left."""
    for tau in (0.5, 0.9, 0.999):
        cfg = replace(PLAIN, tau=tau)
        q, v = fixed_point(random_logps(0), tau)
        for part in gradient(loss, random_logps(0), q, v, cfg):
            assert part.abs().max() < 1e-12


def check_price_pulls_q_to_the_data(loss):
    """At every prefix 2 (2 μ_a (Q_a − r − V(s·a)) + α (softmax(Q)_a − μ_a)), times the
    chance to come there: two heads, each with both terms."""
    q, v = random(3, TREE.n_nodes, TREE.n_words + 1), random(4, TREE.n_nodes)
    cfg, logps = replace(PLAIN, cql=0.7), random_logps(0)
    conditionals = TREE.conditionals(logps)
    error = conditionals.exp() * 2 * (q - TREE.action_values(v, REWARD))
    pull = 0.7 * (q.softmax(-1) - conditionals.exp())
    reach = TREE.reach_logps(conditionals).exp()[:, None]
    got, _ = gradient(loss, logps, q, v, cfg)
    assert_close(got, 2 * reach * (error + pull))


CHECKS = [
    check_hand_number,
    check_discounted_mean_by_hand,
    check_price_by_hand,
    check_gradients_by_hand,
    check_expectile_backup_is_the_fixed_point,
    check_price_pulls_q_to_the_data,
]


# ---- what the fixed point is ------------------------------------------------------


def test_at_one_half_it_is_the_value_of_who_wrote_the_data():
    q, v = fixed_point(random_logps(0), 0.5)
    exact = soft_backup.linear(TREE, TREE.conditionals(random_logps(0)), REWARD)
    assert_close(v, exact.V)
    assert_close(q, exact.Q)


@pytest.mark.parametrize("tau", [0.9, 0.99, 0.9999])
def test_towards_one_it_is_the_best_that_the_data_hold(tau):
    """max − V ≤ (1 − τ)/(τ μ(a*|s)) · (max − min) at a prefix; two levels add up."""
    conditionals = TREE.conditionals(random_logps(0))
    best = soft_backup.maximum(TREE, conditionals, REWARD)
    _, v = fixed_point(random_logps(0), tau)
    rare = conditionals.exp().amin()
    width = REWARD.amax() - REWARD.amin()
    assert (v <= best.V + 1e-12).all()
    assert (best.V - v).max() <= TREE.depth * (1 - tau) / (tau * rare) * width


def test_it_rises_with_the_expectile():
    roots = [fixed_point(random_logps(0), tau)[1] for tau in (0.1, 0.5, 0.7, 0.9, 0.99)]
    assert (torch.stack(roots).diff(dim=0) > 0).all()


def test_what_nobody_wrote_does_not_count_however_good_it_is():
    """The best response is left out of the data: V^max is that of the others, and Q of
    the token that makes it is moved by CQL alone."""
    logps, best = random_logps(0), int(REWARD.argmax())
    logps[best] = -torch.inf
    logps = logps.log_softmax(-1)
    q, v = fixed_point(logps, 1 - 1e-9)
    conditionals = TREE.conditionals(logps)
    kept = soft_backup.maximum(TREE, conditionals, REWARD)
    assert_close(v, kept.V, atol=1e-6, rtol=0)
    assert_close(v[0], REWARD.sort().values[-2], atol=1e-6, rtol=0)
    unseen = conditionals.isneginf()
    (seen_by_td, _) = gradient(ilql.loss, logps, q, v, PLAIN)
    (seen_by_cql, _) = gradient(ilql.loss, logps, q, v, replace(PLAIN, cql=1.0))
    assert unseen.sum() == 1 and seen_by_td[unseen].abs().max() == 0
    assert seen_by_cql[unseen].item() > 1e-3  # it is pushed down, without end


def test_with_a_price_q_is_biased_and_its_mean_under_the_data_is_not():
    """At Q − T = ½ α (1 − softmax(Q)/μ) no gradient is left; Σ μ (Q − T) = 0 where the
    data hold every token, so at τ = ½ V stays V^μ."""
    alpha, conditionals = 0.7, TREE.conditionals(random_logps(0))
    exact = soft_backup.linear(TREE, conditionals, REWARD)
    mu, goal = conditionals.exp(), TREE.action_values(exact.V, REWARD)
    q = goal.clone()
    for _ in range(50):  # Newton's steps on 2 μ (Q − T) + α (softmax(Q) − μ) = 0
        p = q.softmax(-1)
        slope = torch.diag_embed(2 * mu + alpha * p)
        slope = slope - alpha * p[..., :, None] * p[..., None, :]
        force = 2 * mu * (q - goal) + alpha * (p - mu)
        q = q - torch.linalg.solve(slope, force)
    bias = q - goal
    assert_close(bias, alpha / 2 * (1 - q.softmax(-1) / mu))
    assert bias.abs().max() > 0.05
    assert_close((mu * bias).sum(-1), torch.zeros(TREE.n_nodes, dtype=F64))
    cfg = replace(PLAIN, tau=0.5, cql=alpha)
    for part in gradient(ilql.loss, random_logps(0), q, exact.V, cfg):
        assert part.abs().max() < 1e-12


class Learner(Table):
    """A table of the exact world that learns; its slow copy follows at once."""

    def before(self, tokens):
        """What it says of the prefix in which each response token is written."""
        read = self.after(tokens.ids)
        lead = {
            name: torch.zeros_like(each[:, :1]) for name, each in vars(read).items()
        }
        for name, each in vars(read).items():
            setattr(read, name, torch.cat([lead[name], each[:, :-1]], dim=1))
        return read

    def follow(self, rate):
        """``after`` reads the slow copy from the weights that learn."""


def test_training_a_table_comes_to_the_fixed_point():
    """All seven responses to a prompt, each as often: τ = 0.9 and τ = ½."""
    world = YesNo({"yes": 1.0, "no": -1.0, "yes no": 2.0})
    tokens = world.tokens(torch.zeros(7, dtype=torch.long), torch.arange(7))
    tree, data = world.tree, TokenResponses(tokens, world.gold[0])
    even = torch.zeros(1, 7, dtype=F64).log_softmax(-1)
    for tau, root in ((0.5, 2 / 7), (0.9, None)):
        zero = torch.zeros(1, tree.n_nodes, tree.n_words + 1, dtype=F64)
        critic, cfg = Learner(world, zero, zero[..., 0]), replace(PLAIN, tau=tau)
        values.fit(critic, data, ilql, cfg, steps=150, batch_size=7, lr=0.2, decay=True)
        v = torch.zeros(tree.n_nodes, dtype=F64)
        for length in (1, 0):
            here, mu = tree.level(length), tree.conditionals(even)[0].exp()
            q = tree.action_values(v, world.gold[0])
            v[here] = expectile(q[here], mu[here], tau)
        assert root is None or v[0].item() == pytest.approx(root)
        assert_close(critic.v.detach()[0], v, atol=2e-3, rtol=0)


# ---- decoding ---------------------------------------------------------------------

WORLD = Reviews(max_words=2)


@pytest.mark.parametrize("beta", [0.1, 0.3, 1.0])
def test_on_the_tree_soft_values_and_the_inverse_beta_decode_the_optimum(beta):
    soft = soft_backup.backup(TREE, TREE.conditionals(random_logps(0)), REWARD, beta)
    bonus = ilql.advantage(soft.Q[:, None], soft.V) / beta
    steered = TREE.conditionals(random_logps(0)) + bonus
    total = steered.logsumexp(-1)
    assert_close(total, torch.zeros_like(total), atol=1e-12, rtol=0)
    best = optimal_policy(random_logps(0)[None], REWARD[None], beta)[0]
    assert_close(TREE.response_logps(steered), best)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_the_policy_of_a_critic_that_knows_the_soft_values_is_the_optimum(beta):
    """The same through the hook, with the shipped reference in float32."""
    reference, gold = tiny.reference(WORLD), WORLD.gold.double()
    soft = soft_backup.backup(
        WORLD.tree, reference.conditionals(WORLD).detach(), gold, beta
    )
    critic = Table(WORLD, soft.Q, soft.V)
    policy = ilql.decode(critic, reference, ilql.Config(strength=1 / beta))
    ref = reference.response_logps(WORLD).detach()
    got = policy.response_logps(WORLD).detach()
    assert_close(got, optimal_policy(ref, gold, beta), atol=2e-5, rtol=0)


def test_the_smaller_of_the_slow_heads_is_read():
    target = torch.tensor([[1.0, 5], [3, 2]])  # two heads of two tokens
    assert ilql.advantage(target, torch.tensor(0.5)).tolist() == [0.5, 1.5]


def test_a_fresh_critic_leaves_the_reference_as_it_is():
    reference = tiny.reference(WORLD)
    critic = ilql.build(WORLD.vocab, ilql.Config(), seed=0)
    assert critic.heads == 2
    got = ilql.decode(critic, reference, ilql.Config()).response_logps(WORLD)
    assert_close(got, reference.response_logps(WORLD))


def test_after_a_step_the_slow_copy_follows():
    critic = ilql.build(WORLD.vocab, ilql.Config(), seed=0)
    with torch.no_grad():
        critic.network.q[0][2].bias += 1.0
    ilql.after_step(critic, ilql.Config(polyak=0.25))
    slow = critic.network.target_q[0][2].bias
    assert_close(slow, torch.full_like(slow, 0.25))
