"""Preferences as games: matrices with known equilibria, and their exact solution.

P[i, j] = p(y_i ≻ y_j), with P + Pᵀ = 1 and ½ on the diagonal. The regularised game pays
J(π, π′) = P(π ≻ π′) − τ KL(π‖μ) + τ KL(π′‖μ); its Nash equilibrium π*_τ is unique and
solves π ∝ μ exp(p(y ≻ π)/τ).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.kl import categorical_kl

Matrix = Float[Tensor, "*lead response response"]
LogDistribution = Float[Tensor, "*lead response"]


def biased_rps(a: float = 0.3, b: float = 0.1, c: float = 0.2) -> Matrix:
    """Rock, paper, scissors with unequal stakes: P12 = ½ + a, P23 = ½ + b, P31 = ½ + c.

    Its unregularised Nash equilibrium is (b, c, a)/(a + b + c).
    """
    skew = torch.tensor([[0, a, -c], [-a, 0, b], [c, -b, 0]], dtype=torch.float64)
    return 0.5 + skew


def rps(d: float = 0.5) -> Matrix:
    """Rock, paper, scissors won with probability ½ + d; Nash is uniform."""
    return biased_rps(d, d, d)


def annotator_mixture(shares: Float[Tensor, " type"]) -> Matrix:
    """Three kinds of annotator, each sure of itself, in a cycle of opinions.

    Kind 1 ranks 1 ≻ 2 ≻ 3, kind 2 ranks 2 ≻ 3 ≻ 1, kind 3 ranks 3 ≻ 1 ≻ 2. With every
    share below ½ the Nash equilibrium is (1 − 2f₃, 1 − 2f₁, 1 − 2f₂).
    """
    f1, f2, f3 = shares.double().tolist()
    skew = torch.zeros(3, 3, dtype=torch.float64)
    for i, j, wins in ((0, 1, f1 + f3), (1, 2, f1 + f2), (2, 0, f2 + f3)):
        skew[i, j], skew[j, i] = wins - 0.5, 0.5 - wins
    return 0.5 + skew


def circulant(n: int, d: float) -> Matrix:
    """n items (odd), each beats the next (n − 1)/2 with probability ½ + d; uniform."""
    if n % 2 == 0:
        raise ValueError("a circulant game needs an odd number of items")
    gap = (torch.arange(n)[None] - torch.arange(n)[:, None]) % n
    sign = torch.where(gap == 0, 0.0, torch.where(gap <= n // 2, 1.0, -1.0))
    return 0.5 + d * sign.double()


def population(
    rewards: Float[Tensor, "type *lead response"],
    shares: Float[Tensor, " type"],
    temperature: float = 1.0,
) -> Matrix:
    """How often each response wins when annotators of several types vote.

    Every type is Bradley–Terry with its own reward; their mixture need not be, and may
    be cyclic.

    Args:
        rewards: one reward per type, reward units.
        shares: of the types, adding up to 1.
        temperature: reward units.
    """
    gap = (rewards[..., :, None] - rewards[..., None, :]) / temperature
    return torch.tensordot(shares.to(gap), gap.sigmoid(), dims=1)


def win_rate(matrix: Matrix, logps: LogDistribution) -> LogDistribution:
    """p(y ≻ π) of every response y against a policy."""
    return (matrix @ logps.exp()[..., None])[..., 0]


def best_response(
    matrix: Matrix, logps: LogDistribution, ref: LogDistribution, tau: float
) -> LogDistribution:
    """log of μ exp(p(y ≻ π)/τ), the best answer to π in the regularised game."""
    return (ref + win_rate(matrix, logps) / tau).log_softmax(-1)


def duality_gap(
    matrix: Matrix, logps: LogDistribution, ref: LogDistribution, tau: float
) -> Float[Tensor, "*lead"]:
    """What a best-responding rival gains on either side; 0 only at π*_τ.

    2·(τ log Σ μ exp(p(y ≻ π)/τ) + τ KL(π‖μ) − ½), a probability.
    """
    prize = tau * (ref + win_rate(matrix, logps) / tau).logsumexp(-1)
    return 2 * (prize + tau * categorical_kl(logps, ref.expand_as(logps)) - 0.5)


def nash(
    matrix: Matrix,
    ref: LogDistribution,
    tau: float,
    tolerance: float = 1e-12,
    most: int = 20000,
) -> LogDistribution:
    """log π*_τ, the Nash equilibrium of the regularised game.

    Extragradient steps of size 1/(1 + τ) from μ, until log π − log μ − p(y ≻ π)/τ is
    constant over responses: linear convergence, where best responses alone diverge for
    small τ and Nash-MD with a constant step is biased.

    Args:
        matrix: P.
        ref: log μ.
        tau: reward units (here probability) per nat.
        tolerance: largest allowed span of the residual times τ.
        most: iterations.

    Raises:
        ArithmeticError: not converged.

    Source: Zhou, Fazel, Du 2025 (2503.08942).
    """
    size = 1 / (1 + tau)
    logps = ref.log_softmax(-1)

    def ahead(base: LogDistribution, against: LogDistribution) -> LogDistribution:
        pull = (1 - size * tau) * base + size * tau * ref
        return (pull + size * win_rate(matrix, against)).log_softmax(-1)

    for _ in range(most):
        logps = ahead(logps, ahead(logps, logps))
        rest = tau * (logps - ref) - win_rate(matrix, logps)
        if (rest.amax(-1) - rest.amin(-1)).max() < tolerance:
            return logps
    raise ArithmeticError(f"no equilibrium after {most} extragradient steps")


def resting_point(
    matrix: Matrix, ref: LogDistribution, tau: float, mix: float
) -> LogDistribution:
    """log π where learning against the mixture π^(1 − mix) μ^mix comes to rest.

    It is the best response to the mixture, which is the Nash equilibrium of
    temperature τ/(1 − mix): only self-play, mix = 0, rests at π*_τ.

    Args:
        matrix: P.
        ref: log μ.
        tau: reward units (here probability) per nat.
        mix: weight of μ in the opponent, 0 to 1.
    """
    opponent = ref if mix == 1 else nash(matrix, ref, tau / (1 - mix), tolerance=1e-8)
    return best_response(matrix, opponent, ref, tau)


def bradley_terry(
    matrix: Matrix, logps: LogDistribution, most: int = 100
) -> LogDistribution:
    """The reward of maximum likelihood, for pairs drawn independently.

    Newton steps until every response wins as often as the reward says it should.

    Args:
        matrix: P, Bradley–Terry or not.
        logps: log-probabilities with which both responses of a pair are drawn.
        most: Newton steps.

    Returns:
        reward units with mean 0 under ``logps``; exact where P is Bradley–Terry.

    Raises:
        ArithmeticError: not converged: some response may win always, or never.
    """
    rival = logps.softmax(-1)[..., None, :]
    reward = torch.zeros_like(logps)
    for _ in range(most):
        predicted = (reward[..., :, None] - reward[..., None, :]).sigmoid()
        miss = ((matrix - predicted) * rival).sum(-1)
        if miss.abs().max() < 1e-12:
            return reward - (rival[..., 0, :] * reward).sum(-1, keepdim=True)
        slope = predicted * (1 - predicted) * rival
        # only differences count: the rival's row fixes the mean
        system = torch.diag_embed(slope.sum(-1)) - slope + rival
        reward = reward + torch.linalg.solve(system, miss).clamp(-2, 2)
    raise ArithmeticError(f"no reward after {most} Newton steps")
