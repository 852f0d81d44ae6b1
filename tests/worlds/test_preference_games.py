"""Preference games whose equilibria are known in closed form."""

import pytest
import torch

from workbench.worlds import people, preference_games
from workbench.worlds.reviews import Reviews

UNIFORM = torch.full((3,), 1 / 3, dtype=torch.float64).log()


def test_every_matrix_says_the_same_of_a_pair_in_both_orders():
    shares = torch.tensor([0.4, 0.35, 0.25])
    for matrix in (
        preference_games.biased_rps(),
        preference_games.annotator_mixture(shares),
        preference_games.circulant(5, 0.3),
    ):
        ones = torch.ones_like(matrix)
        torch.testing.assert_close(matrix + matrix.T, ones)


def test_biased_rock_paper_scissors_has_the_equilibrium_b_c_a():
    """Unregularised Nash is (b, c, a)/(a + b + c) = (1, 2, 3)/6: nobody beats it."""
    nash = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64) / 0.6
    wins = preference_games.win_rate(
        preference_games.biased_rps(0.3, 0.1, 0.2), nash.log()
    )
    torch.testing.assert_close(wins, torch.full((3,), 0.5, dtype=torch.float64))


def test_annotator_mixture_has_the_equilibrium_of_its_shares():
    """f = (.4, .35, .25): Nash (1 − 2f₃, 1 − 2f₁, 1 − 2f₂) = (.5, .2, .3)."""
    matrix = preference_games.annotator_mixture(torch.tensor([0.4, 0.35, 0.25]))
    nash = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    wins = preference_games.win_rate(matrix, nash.log())
    torch.testing.assert_close(wins, torch.full((3,), 0.5, dtype=torch.float64))


def test_the_regularised_equilibrium_answers_itself():
    matrix = preference_games.biased_rps()
    nash = preference_games.nash(matrix, UNIFORM, tau=0.2)
    again = preference_games.best_response(matrix, nash, UNIFORM, tau=0.2)
    torch.testing.assert_close(again, nash, atol=1e-10, rtol=0)
    assert preference_games.duality_gap(matrix, nash, UNIFORM, 0.2).abs().item() < 1e-12


def test_the_duality_gap_is_what_best_responses_gain_on_both_sides():
    """max_a J(a, π) − min_b J(π, b), with J written out."""
    matrix, tau = preference_games.biased_rps(), 0.2
    log_probs = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()

    def value(first, second):
        def kl(x):
            return (x.exp() * (x - UNIFORM)).sum()

        wins = first.exp() @ matrix @ second.exp()
        return wins - tau * kl(first) + tau * kl(second)

    answer = preference_games.best_response(matrix, log_probs, UNIFORM, tau)
    gap = value(answer, log_probs) - value(log_probs, answer)
    torch.testing.assert_close(
        preference_games.duality_gap(matrix, log_probs, UNIFORM, tau), gap
    )
    assert gap > 0


def test_the_crowd_of_reviewers_has_no_undisputed_favourite():
    """Every review loses to some other by more than four points of a hundred."""
    world = Reviews(3)
    crowd = preference_games.population(people.rewards(world)[:, 0], people.shares())
    worst = crowd.fill_diagonal_(1.0).amin(-1)
    assert worst.max() < 0.46


def test_a_crowd_of_one_type_is_bradley_terry():
    reward = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    crowd = preference_games.population(reward, torch.ones(1, dtype=torch.float64))
    assert crowd[2, 1].item() == pytest.approx(torch.tensor(2.0).sigmoid().item())


def test_an_equilibrium_that_is_not_reached_is_an_error():
    with pytest.raises(ArithmeticError, match="no equilibrium"):
        preference_games.nash(preference_games.biased_rps(), UNIFORM, tau=0.01, most=3)


@pytest.mark.parametrize("mix", [0.0, 0.25, 0.75, 1.0])
def test_learning_against_a_mixture_rests_where_its_bracket_is_constant(mix):
    """p(y ≻ m) − τ log π/μ is the same for every y, with m ∝ π^(1 − b) μ^b."""
    matrix, tau = preference_games.biased_rps(), 0.1
    ref = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
    rest = preference_games.resting_point(matrix, ref, tau, mix)
    met = ((1 - mix) * rest + mix * ref).log_softmax(-1)
    bracket = preference_games.win_rate(matrix, met) - tau * (rest - ref)
    torch.testing.assert_close(bracket, bracket[0].expand(3), atol=1e-6, rtol=0)
    gap = preference_games.duality_gap(matrix, rest, ref, tau)
    assert gap.abs() < 1e-9 if mix == 0 else gap > 1e-5


def test_bradley_terry_finds_the_reward_of_a_crowd_that_has_one():
    log_probs = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
    reward = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    reward = reward - (log_probs.exp() * reward).sum()
    matrix = (reward[:, None] - reward[None, :]).sigmoid()
    fitted = preference_games.bradley_terry(matrix, log_probs)
    torch.testing.assert_close(fitted, reward, atol=1e-5, rtol=0)


def test_bradley_terry_has_the_win_rates_of_a_cycle_and_not_its_pairs():
    """At the maximum E[σ(r_i − r_j)] = E[P_ij] for every i; a circle has no reward."""
    fitted = preference_games.bradley_terry(preference_games.rps(0.3), UNIFORM)
    torch.testing.assert_close(fitted, torch.zeros_like(fitted), atol=1e-6, rtol=0)
    log_probs = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
    fitted = preference_games.bradley_terry(preference_games.biased_rps(), log_probs)
    predicted = (fitted[:, None] - fitted[None, :]).sigmoid()
    for matrix in (predicted, preference_games.biased_rps()):
        wins = preference_games.win_rate(matrix, log_probs)
        torch.testing.assert_close(
            wins, preference_games.win_rate(predicted, log_probs), atol=1e-6, rtol=0
        )
    assert (predicted - preference_games.biased_rps()).abs().max() > 0.1
