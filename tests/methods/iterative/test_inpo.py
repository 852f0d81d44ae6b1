"""INPO by hand, the minimiser of a round, and where exact rounds end."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from tests.methods.caught import assert_caught
from tests.methods.enumerated import (
    F64,
    TREE,
    every_pair,
    random,
    random_logps,
    token_logps,
)
from workbench.feedback.kinds.round_pairs import RoundPairLogps
from workbench.loops import rounds
from workbench.methods.direct.links import ipo
from workbench.methods.games import nash_md
from workbench.methods.iterative import inpo
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.worlds import people
from workbench.worlds.preference_games import (
    best_response,
    biased_rps,
    duality_gap,
    nash,
    population,
    rps,
    win_rate,
)
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import kl

CFG = inpo.Config(tau=0.1, eta=0.25)
FORMS = {"hard": CFG, "soft": replace(CFG, soft=True)}
N = TREE.n_responses


def preference(seed, n=N):
    """A random preference matrix, p(i ≻ j) + p(j ≻ i) = 1; full of cycles."""
    draw = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=F64)
    half = torch.eye(n, dtype=F64) / 2
    return draw.triu(1) + half + (1 - draw.T).tril(-1)


GAMES = {
    "biased rock-paper-scissors": (biased_rps(), random_logps(0, 3)),
    "ten random": (preference(1, 10), random_logps(1, 10)),
    "all responses of a tree": (preference(2), random_logps(2)),
}


def hand_batch():
    """D log π = −3 + 3 = 0, D log π_ref = −4.5 + 2 = −2.5, D log π_t = −4 + 1 = −3."""
    return RoundPairLogps(
        policy_chosen=torch.tensor([[-9.0, -1, -2]], dtype=F64),
        policy_rejected=torch.tensor([[-9.0, -3, -4]], dtype=F64),
        ref_chosen=torch.tensor([[-6.0, -2, -2.5]], dtype=F64),
        ref_rejected=torch.tensor([[-7.0, -2, -1]], dtype=F64),
        chosen_mask=torch.tensor([[False, True, True]]),
        rejected_mask=torch.tensor([[False, True, False]]),
        old_chosen=torch.tensor([[-5.0, -3, -1]], dtype=F64),
        old_rejected=torch.tensor([[-3.0, -1, -8]], dtype=F64),
        preference=torch.tensor([0.75], dtype=F64),
    )


def population_gradient(loss, cfg, at, ref, old, prefers, weight=None):
    """Gradient of Σ_ij w_ij p(i ≻ j) L(i, j) in the logits of a tabular policy.

    w is π_t × π_t unless told: both responses are draws of the policy of the round.
    """
    logits = at.clone().requires_grad_()
    tokens, mask = token_logps(TREE, logits.log_softmax(-1))
    ref_tokens, old_tokens = (token_logps(TREE, x)[0] for x in (ref, old))
    weight = (old[:, None] + old).exp() if weight is None else weight
    i, j = every_pair(N)
    batch = RoundPairLogps(
        tokens[i], tokens[j], ref_tokens[i], ref_tokens[j], mask[i], mask[j],
        old_tokens[i], old_tokens[j], prefers.flatten(),
    )  # fmt: skip
    total = (weight * prefers).flatten() @ loss(batch, cfg)
    return torch.autograd.grad(total, logits)[0]


def check_hand_numbers(loss):
    """h = 0 + 0.4·2.5 + 0.6·3 = 2.8; the targets are 1/0.5 = 2 and 0.25/0.25 = 1."""
    for form, hand in (("hard", 0.8**2), ("soft", 1.8**2)):
        assert_close(loss(hand_batch(), FORMS[form]).tolist(), [hand])


def check_gradient_is_twice_the_distance(loss):
    """dL/d log π_t = ±2(h − target) on response tokens, and nothing elsewhere."""
    for form, hand in (("hard", 1.6), ("soft", 3.6)):
        batch = hand_batch()
        inputs = [batch.policy_chosen, batch.policy_rejected]
        frozen = [batch.ref_chosen, batch.ref_rejected, batch.old_chosen]
        frozen += [batch.old_rejected, batch.preference]
        for each in inputs + frozen:
            each.requires_grad_()
        total = loss(batch, FORMS[form]).sum()
        got = torch.autograd.grad(total, inputs + frozen, allow_unused=True)
        assert_close(got[0], hand * batch.chosen_mask.to(F64))
        assert_close(got[1], -hand * batch.rejected_mask.to(F64))
        assert all(g is None or g.abs().max() == 0 for g in got[2:])


def check_minimiser_of_a_round(loss):
    """π_{t+1} ∝ π_ref^(τ/η) π_t^(1 − τ/η) exp(p(y ≻ π_t)/η), for labels and chances."""
    ref, old, prefers = random_logps(1), random_logps(2), preference(3)
    rest = 0.4 * ref + 0.6 * old + 4 * (prefers @ old.exp())
    for cfg in FORMS.values():
        known = (rest.log_softmax(-1), ref, old, prefers)
        gradient = population_gradient(loss, cfg, *known)
        assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_numbers,
    check_gradient_is_twice_the_distance,
    check_minimiser_of_a_round,
]


@pytest.mark.parametrize("check", CHECKS)
def test_loss_passes(check):
    check(inpo.loss)


@pytest.mark.parametrize("name", inpo.mistakes)
def test_mistake_is_caught(name):
    assert_caught(inpo.mistakes[name], CHECKS)


# ---- the loss of a round ------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_in_the_first_round_it_is_ipo(form):
    """π_t = π_ref: value and gradient of IPO at τ = η, with the label as it is drawn.

    Averaged over labels the soft form has the same gradient: (h − 1/(2η))² with chance
    p and (h + 1/(2η))² with 1 − p is (h − (p − 1/2)/η)² and a constant.
    """
    ref, at, prefers = random_logps(1), random_logps(2), preference(3)
    got = population_gradient(inpo.loss, FORMS[form], at, ref, ref, prefers)
    weight = (ref[:, None] + ref).exp()

    def as_pairs(batch, cfg):
        return ipo.loss(batch, ipo.Config(tau=cfg.eta))

    theirs = population_gradient(as_pairs, CFG, at, ref, ref, prefers, weight)
    assert_close(got, theirs)
    batch = replace(hand_batch(), old_chosen=hand_batch().ref_chosen)
    batch = replace(batch, old_rejected=batch.ref_rejected)
    if form == "hard":
        assert_close(inpo.loss(batch, CFG), as_pairs(batch, CFG))


def test_labels_and_chances_have_the_same_gradient_on_average():
    known = (random_logps(4), random_logps(1), random_logps(2), preference(3))
    hard, soft = (population_gradient(inpo.loss, c, *known) for c in FORMS.values())
    assert hard.norm() > 0.1
    assert_close(hard, soft)


def test_soft_loss_does_not_ask_who_won_the_draw():
    """Chosen and rejected exchanged, and p with them: the same value."""
    batch = RoundPairLogps.example(torch.Generator().manual_seed(5))
    turned = replace(batch.swapped(), preference=1 - batch.preference)
    soft = FORMS["soft"]
    assert_close(inpo.loss(batch, soft), inpo.loss(turned, soft))
    assert (inpo.loss(batch, CFG) - inpo.loss(turned, CFG)).abs().max() > 0.1


def test_pairs_that_the_policy_of_the_round_would_not_write_move_the_minimiser():
    """As with the best and the worst of many."""
    ref, old, prefers = random_logps(1), random_logps(2), preference(3)
    rest = inpo.step(old, ref, prefers, CFG)
    weight = random(4, N, N).exp()
    known = (rest, ref, old, prefers, weight + weight.T)
    assert population_gradient(inpo.loss, CFG, *known).abs().max() > 1


def test_step_is_the_round_solved_by_newton():
    """The loss is quadratic in the logits: one solve from anywhere lands on it."""
    ref, old, prefers = random_logps(1), random_logps(2), preference(3)

    def slope(at):
        return population_gradient(inpo.loss, CFG, at, ref, old, prefers)

    zero = torch.zeros(N, dtype=F64)
    base = slope(zero)
    curvature = torch.stack([slope(row) - base for row in torch.eye(N, dtype=F64)])
    found = torch.linalg.solve(curvature + 1 / N, -base).log_softmax(-1)
    assert_close(found, inpo.step(old, ref, prefers, CFG), atol=1e-9, rtol=0)


# ---- exact rounds -------------------------------------------------------------------


def walk(prefers, ref, cfg, rounds, start=None):
    """π_t after a number of exact rounds."""
    logps = ref if start is None else start
    for _ in range(rounds):
        logps = inpo.step(logps, ref, prefers, cfg)
    return logps


@pytest.mark.parametrize("eta", [0.6, 1.5])
@pytest.mark.parametrize("game", GAMES)
def test_exact_rounds_end_at_nash_for_every_step_and_nash_md_does_not(game, eta):
    prefers, ref = GAMES[game]
    cfg = inpo.Config(tau=0.5, eta=eta)
    best = nash(prefers, ref, cfg.tau)
    found = walk(prefers, ref, cfg, 400)
    assert kl(best, found) < 1e-12
    assert duality_gap(prefers, found, ref, cfg.tau).abs() < 1e-12
    biased = ref
    for _ in range(400):
        biased = nash_md.step(
            biased, ref, prefers, 1 / eta, nash_md.Config(tau=cfg.tau)
        )
    assert kl(best, biased) > 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_nash_is_where_a_round_has_nothing_to_learn(form):
    """At π_t = π*_τ the gradient of the round vanishes at π_t; elsewhere not."""
    prefers, ref = GAMES["all responses of a tree"]
    best = nash(prefers, ref, CFG.tau)
    rest = (best, ref, best, prefers)
    assert population_gradient(inpo.loss, FORMS[form], *rest).abs().max() < 1e-10
    other = best_response(prefers, best + 0.1 * random(6, N), ref, CFG.tau)
    away = (other, ref, other, prefers)
    assert population_gradient(inpo.loss, FORMS[form], *away).abs().max() > 1e-3


def distances(prefers, ref, tau, etas, start=None):
    """KL(π*_τ‖π_t) from the start, π_ref unless told, and S of every iterate."""
    best, logps = nash(prefers, ref, tau), ref if start is None else start
    away, spans = [kl(best, logps).item()], []
    for eta in etas:
        force = win_rate(prefers, logps) - tau * (logps - ref)
        spans.append((force.max() - force.min()).item())
        logps = inpo.step(logps, ref, prefers, inpo.Config(tau=tau, eta=eta))
        away.append(kl(best, logps).item())
    return away, spans


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("tau", [0.05, 0.2, 1.0])
def test_bound_on_the_distance_to_nash_holds_in_every_round(game, tau):
    """KL_{t+1} ≤ (1 − τ/η) KL_t + S²/(8η²), so ≤ S²/(2τ²(t + 2)) by the schedule."""
    prefers, ref = GAMES[game]
    etas = [tau * (t + 2) / 2 for t in range(300)]
    away, spans = distances(prefers, ref, tau, etas)
    largest = max(spans)
    for t, eta in enumerate(etas):
        slack = spans[t] ** 2 / (8 * eta**2)
        assert away[t + 1] <= (1 - tau / eta) * away[t] + slack + 1e-12
        assert away[t + 1] <= largest**2 / (2 * tau**2 * (t + 2)) + 1e-12
    assert away[-1] < 1e-3


def test_a_round_comes_close_to_its_bound():
    """In a cycle a long step from near Nash adds almost S²/(8η²): the 8 is right."""
    (prefers, ref), tau, eta = GAMES["biased rock-paper-scissors"], 0.01, 0.05
    start = (nash(prefers, ref, tau) + 0.01 * random(6, 3)).log_softmax(-1)
    away, spans = distances(prefers, ref, tau, [eta] * 15, start)
    added = [away[t + 1] - (1 - tau / eta) * away[t] for t in range(15)]
    parts = [x / (s**2 / (8 * eta**2)) for x, s in zip(added, spans, strict=True)]
    assert 0.9 < max(parts) <= 1


@pytest.mark.parametrize(("turn", "settles"), [(2.10, True), (2.20, False)])
def test_rounds_of_a_cycle_settle_below_the_stated_step_and_circle_above(turn, settles):
    """Rock, paper, scissors at d = 1/2, τ = 0.1: 2τ/(τ² + d²/3) = 2.143."""
    even = torch.full((3,), -math.log(3), dtype=F64)
    start = (even + torch.tensor([1e-3, 0, -1e-3], dtype=F64)).log_softmax(-1)
    cfg = inpo.Config(tau=0.1, eta=1 / turn)
    found = walk(rps(0.5), even, cfg, 2000, start)
    assert (kl(even, found) < kl(even, start) / 100) == settles
    assert (kl(even, found) > 1e-3) == (not settles)


# ---- training -----------------------------------------------------------------------


@pytest.mark.parametrize(("soft", "most"), [(False, 0.6), (True, 0.3)])
def test_rounds_lower_the_duality_gap_of_a_cyclic_crowd(soft, most):
    """From 0.062 to 0.022 with drawn labels, to 0.003 with chances; as many pairs."""
    world = Reviews(2)
    reference = tiny.reference(world)
    ref = reference.response_logps(world).detach()
    crowd = population(people.rewards(world), people.shares())

    def gap(policy):
        left = duality_gap(crowd, policy.response_logps(world), ref, 0.1)
        return pd.DataFrame({"gap": [left.mean().item()]})

    run = rounds.fit(
        TabularPolicy(world, ref), reference, world,
        lambda one, two: crowd[one.prompt, one.response, two.response],
        inpo, inpo.Config(tau=0.1, eta=0.3, soft=soft), steps=20, updates=2,
        batch_size=256, lr=0.05, measures=[gap], every=20,
    )  # fmt: skip
    first, last = run.metrics.gap
    assert last < most * first
