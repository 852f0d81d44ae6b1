"""The value fit by hand and at its fixed point; decoding with exact values."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.methods.caught import assert_caught
from tests.methods.enumerated import (
    F64,
    TREE,
    node_values,
    random,
    random_logps,
    token_logps,
)
from workbench.feedback.kinds.scored_prefixes import FinishedResponses, ValueRollouts
from workbench.methods.decoding import vas
from workbench.methods.values import soft_backup
from workbench.models import tiny
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import expectation, kl, optimal_policy

CFG = vas.Config(lam=0.5)
ALL = 10**6  # more candidates than any vocabulary


def hand_batch():
    """V_old = (1, 0.5), score 2: δ = (−0.5, 1.5), A = (0.25, 1.5), target (1.25, 2)."""
    return ValueRollouts(
        values=torch.tensor([[7.0, 1, 1, 7]], dtype=F64),
        old_values=torch.tensor([[9.0, 1, 0.5, 9]], dtype=F64),
        mask=torch.tensor([[False, True, True, False]]),
        scores=torch.tensor([2.0], dtype=F64),
    )


def fit_gradient(loss, values, cfg, old=None):
    """Σ_y π_ref(y) ∇L(y) in a table of values, one for each prefix."""
    ref, reward = random_logps(0), random(1, TREE.n_responses)
    table = values.clone().requires_grad_()
    _, mask = token_logps(TREE, ref)
    old = values if old is None else old
    batch = ValueRollouts(
        node_values(TREE, table), node_values(TREE, old, 3.0), mask, reward
    )
    return torch.autograd.grad(ref.exp() @ loss(batch, cfg), table)[0]


def reference_values():
    """V^ref(s) = E[r | s] of every prefix."""
    conditionals = TREE.conditionals(random_logps(0))
    return soft_backup.linear(TREE, conditionals, random(1, TREE.n_responses)).V


def check_hand_number(loss):
    """½ (1 − 1.25)² + ½ (1 − 2)² = 0.53125."""
    assert_close(loss(hand_batch(), CFG).tolist(), [0.53125])


def check_gradient_is_the_error(loss):
    """dL/dV = V − target = (−0.25, −1); targets are held still."""
    batch = hand_batch()
    batch.values.requires_grad_()
    (got,) = torch.autograd.grad(loss(batch, CFG).sum(), batch.values)
    assert_close(got, torch.tensor([[0.0, -0.25, -1, 0]], dtype=F64))


def check_discounted_hand_number(loss):
    """γ = ½: δ = (−0.75, 1.5), A = (−0.75 + ¼·1.5, 1.5), targets (0.625, 2)."""
    got = loss(hand_batch(), replace(CFG, gamma=0.5))
    assert_close(got.tolist(), [0.375**2 / 2 + 0.5])


def check_targets_are_constants(loss):
    """No gradient into V_old, of which the targets are made."""
    batch = hand_batch()
    batch.values.requires_grad_()
    batch.old_values.requires_grad_()
    total = loss(batch, CFG).sum()
    (got,) = torch.autograd.grad(total, batch.old_values, allow_unused=True)
    assert got is None or got.abs().max() == 0


def check_value_of_the_reference_is_the_fixed_point(loss):
    """E[A | s] = 0 at V_old = V^ref, for every λ."""
    for lam in (0.0, 0.5, 1.0):
        cfg = replace(CFG, lam=lam)
        gradient = fit_gradient(loss, reference_values(), cfg)
        assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_gradient_is_the_error,
    check_discounted_hand_number,
    check_targets_are_constants,
    check_value_of_the_reference_is_the_fixed_point,
]


@pytest.mark.parametrize("check", CHECKS)
def test_loss_passes(check):
    check(vas.loss)


@pytest.mark.parametrize("name", vas.mistakes)
def test_mistake_is_caught(name):
    assert_caught(vas.mistakes[name], CHECKS)


def test_lambda_one_fits_the_score_itself_whatever_the_old_critic_says():
    cfg = replace(CFG, lam=1.0)
    got = vas.targets(hand_batch(), cfg)
    assert got.tolist() == [[0, 2, 2, 0]]
    wrong = random(3, TREE.n_nodes)
    gradient = fit_gradient(vas.loss, reference_values(), cfg, old=wrong)
    assert gradient.abs().max() < 1e-12


def test_another_value_is_no_fixed_point():
    soft = soft_backup.backup(
        TREE, TREE.conditionals(random_logps(0)), random(1, TREE.n_responses), 0.5
    ).V
    assert fit_gradient(vas.loss, soft, CFG).abs().max() > 1e-2


WORLD = Reviews(max_words=2)
REWARD = WORLD.gold.double()
REF = random(2, WORLD.n_prompts, WORLD.n_responses).log_softmax(-1)
CONDITIONALS = WORLD.tree.conditionals(REF)
MEAN = soft_backup.linear(WORLD.tree, CONDITIONALS, REWARD)


def decoded(values, strength, top_k=ALL):
    """Next-token log-probs and response log-probs of the steered policy."""
    cfg = vas.Config(strength=strength, top_k=top_k)
    logits = vas.next_token_logits(CONDITIONALS, values, cfg)
    steered = logits.log_softmax(-1)
    return steered, WORLD.tree.response_logps(steered)


@pytest.mark.parametrize("beta", [0.1, 0.3, 1.0])
def test_decoding_with_soft_values_is_the_optimal_policy(beta):
    soft = soft_backup.backup(WORLD.tree, CONDITIONALS, REWARD, beta)
    _, got = decoded(soft.Q, 1 / beta)
    assert_close(got, optimal_policy(REF, REWARD, beta))


@pytest.mark.parametrize("beta", [0.1, 0.3, 1.0])
def test_decoding_with_mean_values_improves_and_is_not_optimal(beta):
    """J(π_ref) < J(π) < J(π*) = V*(root), with J = E[r] − β KL."""
    _, got = decoded(MEAN.Q, 1 / beta)
    value = expectation(got, REWARD) - beta * kl(got, REF)
    best = soft_backup.backup(WORLD.tree, CONDITIONALS, REWARD, beta).V[:, 0]
    assert (expectation(REF, REWARD) < value).all()
    assert (value < best - 1e-4).all()


def test_no_strength_is_the_base_policy():
    assert_close(decoded(MEAN.Q, 0.0, top_k=3)[1], REF)


def test_great_strength_is_greedy_improvement_at_every_prefix():
    """The value of always taking the best token by V^ref is at least V^ref."""
    steered, _ = decoded(MEAN.Q, 1e6)
    greedy = soft_backup.linear(WORLD.tree, steered, REWARD).V
    assert (greedy >= MEAN.V - 1e-9).all()
    assert (greedy[:, 0] > MEAN.V[:, 0] + 0.1).all()


def test_with_all_candidates_the_centre_does_not_matter():
    moved = MEAN.Q + random(4, 4, WORLD.tree.n_nodes, 1)
    assert_close(decoded(moved, 3.0)[0], decoded(MEAN.Q, 3.0)[0])


def test_tokens_outside_the_top_keep_their_logits_and_the_bonus_is_centred():
    """Top 2 of (1, 0, −1) with values (4, 2, 9), b = 0.5: bonuses 0.5 and −0.5."""
    base = torch.tensor([1.0, 0, -1], dtype=F64)
    cfg = vas.Config(strength=0.5, top_k=2)
    got = vas.next_token_logits(base, torch.tensor([4.0, 2, 9], dtype=F64), cfg)
    assert_close(got.tolist(), [1.5, -0.5, -1.0])


def test_without_the_centre_all_tokens_outside_the_top_are_punished():
    """Equal values must change nothing; an uncentred bonus of b V moves the top."""
    base = random_logps(7, 9)
    cfg = vas.Config(strength=2.0, top_k=3)
    same = torch.full((9,), 5.0, dtype=F64)
    assert_close(vas.next_token_logits(base, same, cfg), base)


def test_forbidden_tokens_stay_forbidden():
    base = torch.tensor([0.0, -torch.inf, 0.0], dtype=F64)
    got = vas.next_token_logits(base, random(8, 3), vas.Config())
    assert got.isneginf().tolist() == [False, True, False]


# ---- the hook: a policy that reads its critic at finished responses too -----------


class Known(nn.Module):
    """A critic that knows V of every prefix and the reward of every response.

    Args:
        v: [prompt, node], reward units.
        reward: [prompt, response].
    """

    members = 1

    def __init__(self, v, reward):
        super().__init__()
        self.v, self.reward = nn.Parameter(v.clone()), nn.Parameter(reward.clone())

    def after(self, ids):
        """Value of the prefix that ends with each token; a prompt is one token."""
        tree, first = WORLD.tree, WORLD.action_ids[0]
        prompt = ids[:, 0] - WORLD.prompt_tokens[0, 0]
        code = words = torch.zeros_like(prompt)
        ended, found = torch.zeros_like(prompt, dtype=torch.bool), []
        starts = torch.tensor([tree.offset(n) for n in range(tree.depth + 1)])
        for t, column in enumerate(ids.unbind(1)):
            is_word = (column >= first) & ~ended & (words < tree.depth)
            if t:
                code = torch.where(is_word, code * tree.n_words + column - first, code)
                words, ended = words + is_word, ended | (column == WORLD.vocab.eos)
            place, done = starts[words] + code, ended | (words == tree.depth)
            node = torch.where(done, 0, place)
            value = torch.where(done, self.reward[prompt, place], self.v[prompt, node])
            found.append(value)
        return torch.stack(found, dim=1)

    def values(self, tokens):
        """The same before each place that counts."""
        before = nn.functional.pad(self.after(tokens.ids)[:, :-1], (1, 0))
        return torch.where(tokens.mask, before, 0.0)


@pytest.fixture(scope="module")
def reference():
    return tiny.reference(WORLD)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_a_critic_that_knows_the_soft_values_writes_the_optimum(reference, beta):
    was = reference.conditionals(WORLD).detach()
    soft = soft_backup.backup(WORLD.tree, was, REWARD, beta)
    cfg = vas.Config(strength=1 / beta)
    got = vas.decode(Known(soft.V, REWARD), reference, cfg).response_logps(WORLD)
    best = optimal_policy(reference.response_logps(WORLD).detach(), REWARD, beta)
    assert_close(got.detach(), best, atol=2e-5, rtol=0)


def test_the_policy_steers_the_same_candidates_as_the_table(reference):
    """Top 2 of 9 tokens at every prefix, against the values of the tree."""
    was, cfg = reference.conditionals(WORLD).detach(), vas.Config(top_k=2)
    mean = soft_backup.linear(WORLD.tree, was, REWARD)
    wanted = vas.next_token_logits(was, mean.Q, cfg).log_softmax(-1)
    policy = vas.decode(Known(mean.V, REWARD), reference, cfg)
    got = policy.conditionals(WORLD).detach()
    assert_close(got, wanted, atol=2e-5, rtol=0)


def test_with_finished_responses_the_fixed_point_is_v_ref_and_the_reward():
    """Every response as often as π_ref writes it: no gradient is left in V of any
    prefix, nor in what is said of finished responses; elsewhere there is one."""
    prompt, response = (
        torch.arange(WORLD.n_prompts * WORLD.n_responses) // WORLD.n_responses,
        torch.arange(WORLD.n_prompts * WORLD.n_responses) % WORLD.n_responses,
    )
    data = FinishedResponses(WORLD.tokens(prompt, response), REWARD.flatten())
    for lam in (0.0, 0.5, 1.0):
        sizes = []
        for finished in (REWARD, REWARD + 0.1):
            critic = Known(MEAN.V, finished)
            batch = data.batch(critic, torch.arange(len(data)), None)
            each = vas.loss(batch, vas.Config(lam=lam))
            total = REF.flatten().exp() @ each
            found = torch.autograd.grad(total, [critic.v, critic.reward])
            sizes.append(max(part.abs().max().item() for part in found))
        assert sizes[0] < 1e-12 and sizes[1] > 1e-3
