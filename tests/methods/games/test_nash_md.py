"""Nash-MD: the theorem's bound at every step, and the sampled gradient by sums."""

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps, token_logps
from workbench.feedback.kinds.game_rollouts import GameRollouts
from workbench.methods.games import nash_md
from workbench.worlds.solutions import kl
from workbench.worlds.tree import PrefixTree

CFG = nash_md.Config(tau=0.2)
N = TREE.n_responses
BIASED_RPS = torch.tensor(
    [[0.5, 0.8, 0.3], [0.2, 0.5, 0.6], [0.7, 0.4, 0.5]], dtype=F64
)


def preference(seed, n=N):
    """A random preference matrix, p(i ≻ j) + p(j ≻ i) = 1; full of cycles."""
    draw = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=F64)
    half = torch.eye(n, dtype=F64) / 2
    return draw.triu(1) + half + (1 - draw.T).tril(-1)


def nash(prefers, ref, tau):
    """π*_τ by extragradient steps; the residual that defines it is checked."""
    logps, size = ref, 1 / (1 + tau)
    for _ in range(4000):
        half = logps
        for opponent in (0, 1):
            wins = prefers @ (half if opponent else logps).exp()
            mixed = (1 - size * tau) * logps + size * tau * ref + size * wins
            half = mixed.log_softmax(-1)
        logps = half
    residual = logps - ref - prefers @ logps.exp() / tau
    assert residual.max() - residual.min() < 1e-10
    return logps


GAMES = {
    "biased rock-paper-scissors": (BIASED_RPS, random_logps(0, 3)),
    "ten random": (preference(1, 10), random_logps(1, 10)),
    "all responses of a tree": (preference(2), random_logps(2)),
}


def hand_batch():
    """Two tokens: log π = −3, l = (−1 + 2) + (−2 + 1.5) = 0.5."""
    return GameRollouts(
        policy=torch.tensor([[-9.0, -1, -2, -7]], dtype=F64),
        ref=torch.tensor([[-8.0, -2, -1.5, -3]], dtype=F64),
        mask=torch.tensor([[False, True, True, False]]),
        preference=torch.tensor([0.9], dtype=F64),
    )


def gradients(loss, tree, mix, seed=3):
    """Σ_y π(y) E ∇L(y), and the gradient of the objective with a stopped opponent."""
    n = tree.n_responses
    prefers, ref = preference(seed, n), random_logps(seed, n)
    logits = random_logps(seed + 1, n).clone().requires_grad_()
    logps = logits.log_softmax(-1)
    opponent = nash_md.mixture(logps, ref, mix).detach()
    wins = prefers @ opponent.exp()
    tokens, mask = token_logps(tree, logps)
    batch = GameRollouts(tokens, token_logps(tree, ref)[0], mask, wins)
    each = logps.detach().exp() @ loss(batch, CFG)
    (sampled,) = torch.autograd.grad(each, logits, retain_graph=True)
    value = logps.exp() @ wins - CFG.tau * kl(logps, ref)
    return sampled, -torch.autograd.grad(value, logits)[0]


def check_hand_number(loss):
    """−(0.9 − 0.5 − 0.2 · 0.5)(−3) = 0.9."""
    assert_close(loss(hand_batch(), CFG).tolist(), [0.9])


def check_gradient_is_minus_the_bracket(loss):
    """dL/d log π_t = −(0.9 − 0.5 − 0.1) = −0.3 on response tokens."""
    batch = hand_batch()
    batch.policy.requires_grad_()
    (got,) = torch.autograd.grad(loss(batch, CFG).sum(), batch.policy)
    assert_close(got, -0.3 * batch.mask.to(F64))


def check_expected_gradient_is_that_of_the_game(loss):
    """E[(p − 1/2 − τ l) ∇log π] = ∇(P(π ≻ π′) − τ KL), π′ held still."""
    for mix in (0.0, 0.25):
        sampled, exact = gradients(loss, TREE, mix)
        assert (sampled - exact).norm() < 1e-8 * exact.norm()


CHECKS = [
    check_hand_number,
    check_gradient_is_minus_the_bracket,
    check_expected_gradient_is_that_of_the_game,
]


def test_kl_token_by_token_is_right_for_single_tokens_only():
    wrong = next(f for name, f in nash_md.mistakes.items() if "token" in name)
    sampled, exact = gradients(wrong, PrefixTree(n_words=5, depth=1), 0.25)
    assert (sampled - exact).norm() < 1e-8 * exact.norm()
    sampled, exact = gradients(wrong, TREE, 0.25)
    assert (sampled - exact).norm() > 1e-2 * exact.norm()


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("tau", [0.05, 0.2, 1.0])
def test_theorem_bounds_the_distance_to_nash_at_every_step(game, tau):
    """KL_{t+1} ≤ (1 − η_t τ) KL_t + 2η_t², and KL_t ≤ 8/(τ²(t + 1)), from π_ref."""
    prefers, ref = GAMES[game]
    assert_close(prefers + prefers.T, torch.ones_like(prefers))
    cfg = nash_md.Config(tau=tau)
    best, logps = nash(prefers, ref, tau), ref
    distance = [kl(best, logps).item()]
    for t in range(400):
        eta = nash_md.schedule(t, cfg)
        logps = nash_md.step(logps, ref, prefers, eta, cfg)
        distance.append(kl(best, logps).item())
        assert distance[-1] <= (1 - eta * tau) * distance[-2] + 2 * eta**2
        assert distance[-1] <= 8 / (tau**2 * (t + 2))
    assert distance[-1] < 1e-3


def test_one_step_by_hand():
    """Two responses, p = 0.9: η = 1, τ = 0.5, from (1/2, 1/2) to π_ref = (4/5, 1/5).

    The mixture is ∝ (√(2/5), √(1/10)) = (2/3, 1/3); wins are 1/2 · 2/3 + 0.9 · 1/3
    and 0.1 · 2/3 + 1/2 · 1/3, that is 19/30 and 7/30, so the odds become 2 e^0.4.
    """
    ref = torch.tensor([0.8, 0.2], dtype=F64).log()
    start = torch.tensor([0.5, 0.5], dtype=F64).log()
    prefers = torch.tensor([[0.5, 0.9], [0.1, 0.5]], dtype=F64)
    got = nash_md.step(start, ref, prefers, 1.0, nash_md.Config(tau=0.5))
    odds = 2 * torch.tensor(0.4, dtype=F64).exp()
    assert_close(got.exp(), torch.stack([odds, torch.ones_like(odds)]) / (1 + odds))


@pytest.mark.parametrize("game", GAMES)
def test_constant_step_ends_where_its_mixture_is_nash_at_a_higher_temperature(game):
    """π = μ exp(η p(μ)) and μ = π^(1 − ητ) π_ref^(ητ) give μ = Nash of τ/(1 − ητ)."""
    (prefers, ref), eta, cfg = GAMES[game], 0.5, nash_md.Config(tau=0.5)
    logps = ref
    for _ in range(3000):
        logps = nash_md.step(logps, ref, prefers, eta, cfg)
    mixed = nash_md.mixture(logps, ref, eta * cfg.tau)
    warmer = nash(prefers, ref, cfg.tau / (1 - eta * cfg.tau))
    assert_close(mixed, warmer, atol=1e-9, rtol=0)
    assert kl(nash(prefers, ref, cfg.tau), logps) > 1e-7


def test_nash_is_where_the_expected_gradient_of_self_play_vanishes():
    """With b = 0 and π = π*_τ: p − 1/2 − τ l is the same for every response."""
    prefers, ref = GAMES["all responses of a tree"]
    best = nash(prefers, ref, CFG.tau)
    tokens, mask = token_logps(TREE, best)
    wins = prefers @ best.exp()
    batch = GameRollouts(tokens, token_logps(TREE, ref)[0], mask, wins)
    bracket = nash_md.loss(batch, CFG) / -best
    assert_close(bracket, bracket[0].expand(N), atol=1e-8, rtol=0)


def test_mixture_runs_from_the_policy_to_the_reference():
    logps, ref = random_logps(5), random_logps(6)
    assert_close(nash_md.mixture(logps, ref, 0.0), logps)
    assert_close(nash_md.mixture(logps, ref, 1.0), ref)
    assert_close(
        nash_md.mixture(random(7, 2, N), ref.expand(2, N), 0.3).exp().sum(-1),
        torch.ones(2, dtype=F64),
    )
