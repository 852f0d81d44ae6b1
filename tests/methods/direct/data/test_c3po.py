"""C3PO by hand, the KL behind its likelihoods, and a wish that stays in its scope."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps, token_logps
from tests.methods.pairwise import all_pairs, pair
from tests.methods.tokenwise import gradients
from workbench.core.seeds import generator
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.kinds.scoped_pairs import ScopedPairLogps, ScopedPairs
from workbench.loops import offline
from workbench.measure.exact import response_logps as exact_logps
from workbench.methods.direct.data import c3po
from workbench.methods.direct.links import dpo
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import entropy, kl, optimal_policy

CFG = c3po.Config(beta=0.4, outside=0.3, near=0.7)
N = TREE.n_responses


def hand_batch():
    """D = 2.5, βD = 1; outside −1 − 2 = −3 nats, near −0.5 nats."""
    inner = pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])
    other = pair([-1.0, -2.0], [-0.5], [-0.3, -0.4], [-0.6])
    return ScopedPairLogps(
        **vars(inner),
        policy_outside=other.policy_chosen, ref_outside=other.ref_chosen,
        outside_mask=other.chosen_mask, policy_near=other.policy_rejected,
        ref_near=other.ref_rejected, near_mask=other.rejected_mask,
    )  # fmt: skip


def own_words(policy, ref):
    """A pair of no weight beside every response to a prompt outside and one near.

    Row y holds response y twice; weighted with π_ref(y) it is an expectation.
    """
    even = random_logps(0)
    start = all_pairs(even, even)
    rows = torch.zeros(N, dtype=torch.long)
    inner = {k: v[rows].detach() for k, v in vars(start).items()}
    tokens, mask = token_logps(TREE, policy)
    ref_tokens, _ = token_logps(TREE, ref)
    return ScopedPairLogps(
        **inner, policy_outside=tokens, ref_outside=ref_tokens, outside_mask=mask,
        policy_near=tokens, ref_near=ref_tokens, near_mask=mask,
    )  # fmt: skip


def check_hand_number(loss):
    """L = log(1 + e^−1) + 0.3 · 3 + 0.7 · 0.5."""
    expected = math.log1p(math.exp(-1)) + 0.9 + 0.35
    assert_close(loss(hand_batch(), CFG).tolist(), [expected])


def check_hand_gradient(loss):
    """−s on the tokens outside and near; those of DPO on the pair; none on π_ref."""
    batch = hand_batch()
    found = gradients(loss, batch, CFG)
    push = 0.4 / (1 + math.e)
    assert_close(found["policy_chosen"], -push * batch.chosen_mask.to(F64))
    assert_close(found["policy_rejected"], push * batch.rejected_mask.to(F64))
    assert_close(found["policy_outside"], -0.3 * batch.outside_mask.to(F64))
    assert_close(found["policy_near"], -0.7 * batch.near_mask.to(F64))
    rest = [g for k, g in found.items() if k.startswith("ref")]
    assert len(rest) == 4 and all(g.abs().max() == 0 for g in rest)


def check_out_of_scope_it_is_the_kl_to_the_reference(loss):
    """E_ref[−log π] = KL(π_ref‖π) + H(π_ref): value and gradient, by enumeration."""
    ref = random_logps(1)
    for at in (random_logps(2), ref):
        logits = at.clone().requires_grad_()
        policy = logits.log_softmax(-1)
        each = loss(own_words(policy, ref), CFG) - math.log(2)
        expected = (CFG.outside + CFG.near) * (kl(ref, policy) + entropy(ref))
        value = ref.exp() @ each
        assert_close(value, expected)
        one = torch.autograd.grad(value, logits, retain_graph=True)[0]
        two = torch.autograd.grad(expected, logits)[0]
        assert_close(one, two, atol=1e-12, rtol=1e-9)


CHECKS = [
    check_hand_number,
    check_hand_gradient,
    check_out_of_scope_it_is_the_kl_to_the_reference,
]


def test_without_strengths_it_is_dpo():
    cfg = c3po.Config(beta=0.4, outside=0.0, near=0.0)
    assert_close(c3po.loss(hand_batch(), cfg), dpo.loss(hand_batch(), cfg))
    one = gradients(c3po.loss, hand_batch(), cfg)
    two = gradients(dpo.loss, hand_batch(), cfg)
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_a_mean_over_own_tokens_pulls_to_short_responses_even_at_the_reference():
    """E_ref[∇(1/T) log π] ≠ 0: the wrong version moves a policy that is π_ref."""
    ref, lengths = random_logps(1), TREE.n_response_words.to(F64)
    for loss, moves in (
        (c3po.loss, False),
        (c3po.mistakes["7 mean over own tokens"], True),
    ):
        logits = ref.clone().requires_grad_()
        value = ref.exp() @ loss(own_words(logits.log_softmax(-1), ref), CFG)
        down = -torch.autograd.grad(value, logits)[0]
        assert (down.abs().max() > 0.01) == moves
        if moves:
            assert (down * lengths).sum() < 0


WORLD = Reviews(max_words=2)
WISH = torch.isin(
    torch.arange(WORLD.n_responses),
    torch.tensor([i for i in range(WORLD.n_responses) if "fun" in WORLD.text(i)]),
)  # reviews of films are to say "fun"


def scoped(ref_logps, n=96):
    """Films in scope, plots near, cast and music outside; fun is chosen over no fun."""
    prompt = torch.zeros(n, dtype=torch.long)
    sides = []
    for keep in (WISH, ~WISH):
        drawn = torch.where(keep, ref_logps, -torch.inf)
        sides.append(WORLD.draw_for(drawn, prompt, generator(len(sides))))
    pairs = Pairs(*sides, torch.ones(n, dtype=F64))
    far, near = torch.arange(n) % 2 + 2, torch.ones_like(prompt)
    outside = WORLD.draw_for(ref_logps, far, generator(2))
    return ScopedPairs(pairs, outside, WORLD.draw_for(ref_logps, near, generator(3)))


def after(policy, reference, data, cfg, **settings):
    """log π of every response after training."""
    run = offline.fit(policy, reference, data, c3po, cfg, **settings)
    return exact_logps(run.policy, WORLD)[0]


def test_a_table_learns_the_wish_and_the_strengths_do_not_reach_the_scope():
    ref = WORLD.author.double()
    reference, data = TabularPolicy(WORLD, ref), scoped(ref)
    settings = {"steps": 20, "batch_size": 96, "lr": 0.08}
    weak, strong = (
        after(TabularPolicy(WORLD, ref), reference, data, cfg, **settings)
        for cfg in (
            c3po.Config(beta=1.0, outside=0.0, near=0.0),
            c3po.Config(beta=1.0, outside=1.0, near=1.0),
        )
    )
    assert_close(weak[0], strong[0])
    assert weak[0].exp()[WISH].sum() > ref[0].exp()[WISH].sum() + 0.1
    assert_close(weak[1:], ref[1:])


def test_in_a_network_the_strengths_keep_the_wish_in_its_scope():
    """Films change much; without strengths the other prompts follow, with them less."""
    reference = tiny.reference(WORLD)
    ref = exact_logps(reference, WORLD)[0]
    data = scoped(ref)
    free, regularised = (
        after(reference.copies(1), reference, data, cfg, steps=15, lr=2e-3)
        for cfg in (
            c3po.Config(beta=0.5, outside=0.0, near=0.0),
            c3po.Config(beta=0.5, outside=1.0, near=1.0),
        )
    )
    shares = [each[0].exp()[WISH].sum().item() for each in (ref, free, regularised)]
    change = [kl(ref[1:], each[1:]).mean().item() for each in (free, regularised)]
    assert min(shares[1:]) > shares[0] + 0.1
    assert change[1] < change[0] / 2


def test_the_minimiser_out_of_scope_is_the_reference():
    """KL(π_ref‖π) + H has its one minimum there, for any strength."""
    ref = random_logps(1)
    other = optimal_policy(ref, random(3, N), 1.0)
    values = [
        ref.exp() @ c3po.loss(own_words(at, ref), CFG)
        for at in (ref, random_logps(2), other)
    ]
    assert values[0] < min(values[1:])
